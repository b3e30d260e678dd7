/*-------------------------------------------------------------------------
 *
 * decide.c
 *	  What a round's changes mean for each contact.
 *
 * With the contacts locked (prepare.c), read their states, apply the events
 * to them, compute at once for all of them what must be read from the
 * events, evaluate (evaluate.c) and write down (record.c).
 *
 * States are read on a snapshot taken after the locks.  A contact without a
 * state, or with an orphan row, is one of whom nothing is known: its atoms
 * are at their default but for those whose event name it has.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "counter.h"
#include "evaluate.h"
#include "lock.h"
#include "member.h"
#include "prepare.h"
#include "score.h"
#include "total.h"
#include "window.h"

static void
mark_atoms(StateRow *state, Atom **atoms, int count)
{
	for (int i = 0; i < count; i++)
		if (atom_is_kept(atoms[i]))
			state_make_atom(state, atoms[i]->id)->unknown = true;
}

/*
 * Which atoms may be other than at their default for these contacts, of whom
 * nothing is known?  Those whose event name they have.
 */
static void
mark_events(Run *run, Work **works, int count)
{
	Model	   *model = run->model;
	Datum	   *contacts = palloc(count * sizeof(Datum));
	Datum		keys;
	UserSpan	span;
	uint64		rows;
	SPITupleTable *result;

	if (!OidIsValid(model->table[EVENTS].relid) || count == 0 ||
		network_max_atom(model) == 0)
		return;
	for (int i = 0; i < count; i++)
		contacts[i] = works[i]->contact;
	keys = key_array(&model->contact_key, contacts, count);
	span_write(&span, model->table[EVENTS].owner);
	if (model->plan[PLAN_EVENT_NAMES] == NULL)
		model->plan[PLAN_EVENT_NAMES] =
			query_prepare(psprintf("SELECT %s, %s FROM %s AS e"
								   " WHERE e.%s OPERATOR(pg_catalog.=) ANY ($1)"
								   " GROUP BY 1, 2",
								   model_event_contact_sql(model),
								   model_event_name_sql(model),
								   model->table[EVENTS].name,
								   model->table[EVENTS].column[ROLE_CONTACT].quoted),
						  1, &model->contact_key.array);
	rows = query_execute(model->plan[PLAN_EVENT_NAMES], &keys, NULL);
	span_end(&span);
	result = SPI_tuptable;
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		Datum		contact = SPI_getbinval(result->vals[i], result->tupdesc, 1,
											&isnull);
		char	   *name = SPI_getvalue(result->vals[i], result->tupdesc, 2);
		Work	   *work = run_find_work(run, contact);
		EventEntry *entry;

		if (work == NULL || name == NULL)
			continue;
		entry = event_find(model, name, strlen(name));
		mark_atoms(work->state, entry->atoms, entry->natoms);
		for (int k = 0; k < entry->nkeys; k++)
		{
			int			natoms;
			Atom	  **atoms = event_atoms_of_key(model, &entry->keys[k],
												   &natoms);

			mark_atoms(work->state, atoms, natoms);
		}
	}
	SPI_freetuptable(result);
}

/*
 * A contact of whom nothing is known: everything is to be computed.
 */
static void
start_afresh(Run *run, Work *work)
{
	StateRow   *state = state_new(network_max_atom(run->model));

	if (work->state != NULL)
	{
		state->exists = work->state->exists;
		state->clock = work->state->clock;
		for (int i = 0; i < work->state->nsegments; i++)
			state_set_segment(state, work->state->segments[i], true);
	}
	work->state = state;
	work->segments = list_copy(network_all_segments(run->model));
	work->state_changed = true;
	work->touched = true;
}

/*
 * Read the states of some locked contacts, on a snapshot taken after the
 * locks.
 */
static void
read_some_states(Run *run, Work **works, int count)
{
	StateReader *reader = state_begin_read(run->model);

	for (int i = 0; i < count; i++)
	{
		Work	   *work = works[i];

		if (!work->found)
			continue;
		work->state = work->seen != NULL &&
			state_is_current(reader, work->seen) ? work->seen :
			state_read(reader, work->contact);
		work->seen = NULL;
		work->had_state = work->state != NULL;
		if (!run->rewind && run->steps == NULL && work->had_state)
			run->clock = Max(run->clock, work->state->clock);
	}
	state_end_read(reader);
}

/*
 * Contacts for whom time has passed over an instant that nobody has looked
 * at yet go through it first (step.c).
 */
static void
catch_up(Run *run)
{
	Work	  **due = palloc(run->nworks * sizeof(Work *));
	int			count = 0;

	for (int i = 0; i < run->nworks; i++)
		if (step_is_due(run, run->works[i]))
			due[count++] = run->works[i];
	if (count == 0)
		return;
	step_catch_up(run, due, count);
	read_some_states(run, due, count);
}

/*
 * Read the states of the locked contacts.
 */
static void
read_states(Run *run)
{
	Work	  **orphans = palloc(run->nworks * sizeof(Work *));
	Work	  **fresh = palloc(run->nworks * sizeof(Work *));
	int			norphans = 0;
	int			nfresh = 0;

	read_some_states(run, run->works, run->nworks);
	if (run->steps != NULL)
		step_works(run);
	else
		catch_up(run);
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];

		if (work->found && work->had_state && work->state->orphan)
			orphans[norphans++] = work;
	}

	/* Events in flight that were content with the orphan row must be seen. */
	stripe_exclude(run->model, orphans, norphans);

	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];
		ContactChange *change = work->change;

		if (!work->found)
			continue;
		if (work->state == NULL || work->state->orphan ||
			(change != NULL && (change->kind == CONTACT_DEFERRED ||
								(change->kind == CONTACT_REBUILT &&
								 run->only_segments == NIL))))
		{
			start_afresh(run, work);
			fresh[nfresh++] = work;
		}
		else if (change != NULL && change->kind == CONTACT_REBUILT)
			work->segments = list_copy(run->only_segments);
	}
	mark_events(run, fresh, nfresh);
}

static void
add_segments_of(Work *work, const Atom *atom)
{
	ListCell   *cell;

	if (work->segment_set == NULL)
		foreach(cell, work->segments)
			work->segment_set = bms_add_member(work->segment_set,
											   lfirst_int(cell));
	for (int i = 0; i < atom->nsegments; i++)
	{
		if (bms_is_member(atom->segments[i], work->segment_set))
			continue;
		work->segment_set = bms_add_member(work->segment_set,
										   atom->segments[i]);
		work->segments = lappend_int(work->segments, atom->segments[i]);
	}
}

/*
 * May windows of this contact end now?  Not while the shortcut of somebody
 * who may have inserted an event into one is in flight: then they stay as
 * they are, and due.  Nor do windows end that become due while the round is
 * being evaluated, because the clock is moved on (evaluate_scan).
 */
static bool
may_end_windows(Run *run, Work *work)
{
	for (int i = 0; i < work->state->natoms; i++)
	{
		AtomState  *entry = &work->state->atoms[i];
		Atom	   *atom;

		if (entry->due > work_clock(run, work) || entry->count == 0)
			continue;
		atom = network_atom(run->model, entry->id);
		if (atom != NULL && atom->method == METHOD_WINDOW)
			return run->no_lock ||
				stripe_try_exclude(run->model, work->contact);
	}
	return true;
}

/*
 * Time has passed over the due time of some atoms.
 */
static void
apply_due(Run *run, Work *work)
{
	StateRow   *state = work->state;

	if (state->due > work_clock(run, work))
		return;
	work->may_end_windows = may_end_windows(run, work);
	for (int i = 0; i < state->natoms; i++)
	{
		AtomState  *entry = &state->atoms[i];
		Atom	   *atom;

		if (entry->due > work_clock(run, work))
			continue;
		atom = network_atom(run->model, entry->id);
		if (!work->may_end_windows && atom != NULL &&
			atom->method == METHOD_WINDOW && entry->count > 0)
			continue;
		entry->due = NOT_DUE;
		work->state_changed = true;
		if (atom == NULL)
		{
			entry->count = 0;	/* nothing uses it any more */
			entry->sum = NULL;
			continue;
		}
		entry->unknown = atom_is_kept(atom);
		add_segments_of(work, atom);
	}
}

static void
apply_count(Run *run, Work *work, Atom *atom, AtomState *entry, Hit *hit)
{
	if (entry->count >= atom->spec->times)
		return;
	work->state_changed = true;
	if (hit->time > work_clock(run, work))
		entry->due = Min(entry->due, hit->time);
	else if (++entry->count >= atom->spec->times)
	{
		entry->due = NOT_DUE;
		add_segments_of(work, atom);
	}
}

/*
 * A total changes with every event that has a value.
 */
static void
apply_total(Run *run, Work *work, Atom *atom, AtomState *entry, Hit *hit,
			Numeric amount)
{
	if (hit->time > work_clock(run, work))
	{
		if (hit->time < entry->due)
		{
			entry->due = hit->time;
			work->state_changed = true;
		}
		return;
	}
	if (amount == NULL && total_adds_value(atom->spec))
		return;
	if (!total_add(atom, entry, amount))
		entry->unknown = true;
	work->state_changed = true;
	add_segments_of(work, atom);
}

static void
apply_window(Run *run, Work *work, Atom *atom, AtomState *entry, Hit *hit)
{
	Model	   *model = run->model;
	const AtomSpec *spec = atom->spec;

	if (entry->count > 0)
		return;					/* the due time finds later events */
	if (hit->time > work_clock(run, work))
	{
		entry->due = Min(entry->due, hit->time);
		work->state_changed = true;
	}
	else if (hit->time > window_start(model, spec->within, work_clock(run, work)))
	{
		if (spec->times == 1)
		{
			entry->count = 1;
			entry->due = window_change(model, spec->within, hit->time,
									   work_clock(run, work));
		}
		else
			entry->unknown = true;
		work->state_changed = true;
		add_segments_of(work, atom);
	}
	else
	{
		/* older than the window, but perhaps not for ever */
		TimestampTz due = window_change(model, spec->within, hit->time,
										work_clock(run, work));

		if (due < entry->due)
		{
			entry->due = due;
			work->state_changed = true;
		}
	}
}

/*
 * Apply an event to the state of one atom that it matches; a total of values
 * gets this one, or none.
 */
static void
apply_hit(Run *run, Work *work, Hit *hit, Atom *atom, Numeric amount)
{
	AtomState  *entry;

	if (!atom_is_kept(atom))
	{
		add_segments_of(work, atom);
		return;
	}
	entry = state_make_atom(work->state, atom->id);
	if (!entry->unknown &&
		(hit->dirty || (hit->counted && atom->method != METHOD_WINDOW)))
	{
		entry->unknown = true;
		work->state_changed = true;
	}
	if (entry->unknown)
		add_segments_of(work, atom);
	else if (atom->method == METHOD_COUNT)
		apply_count(run, work, atom, entry, hit);
	else if (atom->method == METHOD_TOTAL)
		apply_total(run, work, atom, entry, hit, amount);
	else
		apply_window(run, work, atom, entry, hit);
}

static void
apply_hits(Run *run, Work *work)
{
	ListCell   *cell;

	foreach(cell, work->hits)
	{
		Hit		   *hit = lfirst(cell);
		Numeric    *next = hit->amounts;

		for (int i = 0; i < hit->natoms; i++)
		{
			Atom	   *atom = hit->atoms[i];
			bool		adds = next != NULL && atom->method == METHOD_TOTAL &&
				total_adds_value(atom->spec);

			apply_hit(run, work, hit, atom, adds ? *next++ : NULL);
		}
	}
}

static void
apply_changes(Run *run)
{
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];
		ListCell   *cell;

		if (!work->found || !work->touched)
			continue;
		CHECK_FOR_INTERRUPTS();
		if (work->change != NULL)
		{
			foreach(cell, work->change->values)
			{
				WorkValue  *known = lfirst(cell);

				evaluate_store(run, work, known->atom, known->value);
			}
		}
		apply_due(run, work);
		apply_hits(run, work);
		if (work->columns != NULL || work->company_columns != NULL)
			work->segments =
				list_concat_unique_int(work->segments,
									   network_segments_by_columns(run->model,
																   work->columns,
																   work->company_columns));
	}
}

/* A value that several contacts need. */
typedef struct Need
{
	Atom	   *atom;
	Work	   *work;
	int			order;			/* of the work */
} Need;

typedef struct BatchArg
{
	Run		   *run;
	Need	   *needs;
	int			count;
} BatchArg;

static int
compare_needs(const void *a, const void *b)
{
	const Need *first = a;
	const Need *second = b;

	if (first->atom->id != second->atom->id)
		return first->atom->id < second->atom->id ? -1 : 1;
	return first->order - second->order;
}

/*
 * Compute one atom for several contacts, which are in key order.
 */
static void
scan_batch(void *arg)
{
	BatchArg   *batch = arg;
	Run		   *run = batch->run;
	Work	  **works = palloc(batch->count * sizeof(Work *));
	AtomValue  *values = palloc(batch->count * sizeof(AtomValue));
	UserSpan	span;

	for (int i = 0; i < batch->count; i++)
		works[i] = batch->needs[i].work;
	span_read(&span, run->model->table[CONTACTS].owner);
	evaluate_scan(run, batch->needs[0].atom, works, batch->count, values);
	span_end(&span);
	for (int i = 0; i < batch->count; i++)
		evaluate_store(run, batch->needs[i].work, batch->needs[0].atom,
					   values[i]);
}

/*
 * Compute what more than one contact needs by one statement for all of them.
 * What fails, or is needed once, is left to the evaluation, which asks for
 * it only if it decides.
 */
static void
scan_batches(Run *run)
{
	int			allocated = 64;
	int			count = 0;
	Need	   *needs = palloc(allocated * sizeof(Need));

	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];
		ListCell   *cell;

		if (!work->found || !work->touched || run->nworks == 1)
			continue;
		foreach(cell, work->segments)
		{
			Segment    *segment = network_segment(run->model, lfirst_int(cell));

			for (int a = 0; segment != NULL && a < segment->natoms; a++)
			{
				Atom	   *atom = network_atom(run->model,
												segment->atom_ids[a]);

				if (atom == NULL || !evaluate_needs_scan(run, work, atom))
					continue;
				if (count == allocated)
				{
					allocated *= 2;
					needs = repalloc_huge(needs, mul_size(allocated,
														  sizeof(Need)));
				}
				needs[count].atom = atom;
				needs[count].work = work;
				needs[count].order = i;
				count++;
			}
		}
	}
	pg_qsort(needs, count, sizeof(Need), compare_needs);
	for (int first = 0, next; first < count; first = next)
	{
		BatchArg	batch = {run, &needs[first], 0};
		ErrorData  *error;

		for (next = first; next < count &&
			 needs[next].atom == needs[first].atom; next++)
		{
			/* Two segments of a contact may need the same atom. */
			if (batch.count == 0 ||
				batch.needs[batch.count - 1].work != needs[next].work)
				batch.needs[batch.count++] = needs[next];
		}
		if (batch.count > 1)
			(void) run_try(scan_batch, &batch, &error);
	}
}

static void
load_segments(Run *run)
{
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];
		int			count = list_length(work->segments);
		int		   *ids;
		ListCell   *cell;

		if (count == 0)
			continue;
		ids = palloc(count * sizeof(int));
		foreach(cell, work->segments)
			ids[foreach_current_index(cell)] = lfirst_int(cell);
		network_load_segments(run->model, ids, count);
		pfree(ids);
	}
}

/*
 * Events that are dated after the transaction's start, but not after this
 * instant, are no events of the future: the clock is moved on to them.
 */
static void
move_clock(Run *run, const Hit *hit, TimestampTz *now)
{
	if (hit->time <= run->clock || hit->dirty || run->clock_given ||
		run->model->clock_by_tick)
		return;
	if (*now == 0)
		*now = GetCurrentTimestamp();
	if (hit->time <= *now)
		run->clock = hit->time;
}

/*
 * decide_move_clock: move the clock on to these events.
 */
void
decide_move_clock(Run *run, Hit *const *hits, int count)
{
	TimestampTz now = 0;

	for (int i = 0; i < count; i++)
		move_clock(run, hits[i], &now);
}

static void
move_clock_to_works(Run *run)
{
	TimestampTz now = 0;
	ListCell   *cell;

	for (int i = 0; i < run->nworks; i++)
		foreach(cell, run->works[i]->hits)
			move_clock(run, lfirst(cell), &now);
}

/*
 * decide_round: bring the contacts in work up to date, and write down their
 * states; note their memberships (member.c).
 */
void
decide_round(Run *run)
{
	if (run->nworks == 0)
		return;
	if (run->round == 0 && !run->settled_dropped)
		prepare_drop_settled(run);
	if (run->nworks == 0)
		return;
	move_clock_to_works(run);
	prepare_exclude_shortcuts(run);
	prepare_lock_contacts(run);

	/* A tick that we waited for may have put the clock back. */
	if (run->model->clock_by_tick && !run->clock_given)
		run->clock = run_clock(run->model);
	read_states(run);
	run_record_stage_changes(run);
	apply_changes(run);
	load_segments(run);
	scan_batches(run);
	evaluate_works(run);
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];

		if (!work->found || !work->touched)
			continue;
		counter_add(COUNT_DECIDED, 1);
		if (work->change == NULL || !work->change->again)
			run->tally->contacts++;
	}
	record_states(run);
	member_record(run);
}

/*
 * decide_look_at: one contact as it is now, without locks and without
 * writing, in the run's round context.  No atom is known, so that all are
 * computed from the events; memberships are as recorded.  Raises P0002 if
 * there is no such contact, whose key is `text` in messages.
 */
Work *
decide_look_at(Run *run, Datum contact, const char *text)
{
	MemoryContext old = MemoryContextSwitchTo(run->round_context);
	StateReader *reader;
	StateRow   *state;
	Work	   *work;

	run->no_lock = true;
	run->works_allocated = 1;
	run->works = palloc(sizeof(Work *));
	work = prepare_append_work(run, contact);
	lock_contacts(run, run->works, 1);
	prepare_read_companies(run);
	if (!work->found)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("contact \"%s\" of model \"%s\" does not exist", text,
						run->model->name)));
	reader = state_begin_read(run->model);
	state = state_read(reader, contact);
	state_end_read(reader);

	/* Atoms above 0 are unknown to this state: all are looked up. */
	work->state = state_new(0);
	for (int i = 0; state != NULL && i < state->nsegments; i++)
		state_set_segment(work->state, state->segments[i], true);
	MemoryContextSwitchTo(old);
	return work;
}

/*
 * decide_is_member: evaluate one segment of one contact as of now, from the
 * events, without locks and without writing.  Segments that it names count
 * as recorded.  Raises P0002 if there is no such contact.
 */
bool
decide_is_member(Run *run, Datum contact, const char *text, int segment)
{
	Work	   *work = decide_look_at(run, contact, text);
	MemoryContext old = MemoryContextSwitchTo(run->round_context);
	bool		result;

	work->segments = list_make1_int(segment);
	work->touched = true;
	evaluate_works(run);
	evaluate_end(run);
	result = state_in_segment(work->state, segment);
	run->nworks = 0;
	MemoryContextSwitchTo(old);
	return result;
}
