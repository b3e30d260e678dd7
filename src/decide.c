/*-------------------------------------------------------------------------
 *
 * decide.c
 *	  What a round's changes mean for each contact.
 *
 * The steps: group the changes by contact, in key order; leave out contacts
 * for whom nothing can change (settled); lock the others' rows and read them
 * with their companies'; read their state; apply the events to it; compute
 * at once, for all of them, what must be read from the events; evaluate.
 *
 * The shortcut.  An event whose atoms are all settled (a count that reached
 * its limit, a window that is true and not due) changes nothing, and its
 * contact is neither locked nor written.  stripe.c says why that is right.
 * The state is read on a snapshot taken after the stripe's lock.
 *
 * Contacts that do not exist.  The event is kept, and counts when the contact
 * arrives.  Since the event's transaction and the contact's may overlap, the
 * event leaves an orphan row in contact_state: the contact's own transaction
 * collides with it, or it with the contact's, on the primary key, and
 * whoever is second waits and then sees the other.  An event that finds an
 * orphan row is content, under the stripe's share lock; the contact takes
 * the stripe exclusively when it finds one.
 *
 * Locks: rows of contacts FOR NO KEY UPDATE in key order, so that two
 * statements with the same contacts in opposite order do not deadlock.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "evaluate.h"
#include "run.h"

static int
compare_works(const void *a, const void *b, void *arg)
{
	const Work *first = *(Work *const *) a;
	const Work *second = *(Work *const *) b;
	KeyType    *key = arg;

	if (key->type == INT8OID)
	{
		int64		left = DatumGetInt64(first->contact);
		int64		right = DatumGetInt64(second->contact);

		return (left > right) - (left < right);
	}
	return key_compare(key, first->contact, second->contact);
}

static Work *
append_work(Run *run, Datum contact)
{
	Work	   *work = palloc0(sizeof(Work));

	if (run->nworks == run->works_allocated)
	{
		run->works_allocated *= 2;
		run->works = repalloc_huge(run->works,
								   mul_size(run->works_allocated,
											sizeof(Work *)));
	}
	work->contact = contact;
	run->works[run->nworks++] = work;
	return work;
}

static void
merge_into(Work *target, const Work *source)
{
	target->hits = list_concat(target->hits, source->hits);
	target->columns = bms_add_members(target->columns, source->columns);
	target->company_columns = bms_add_members(target->company_columns,
											  source->company_columns);
	target->touched |= source->touched;
	if (source->change != NULL &&
		(target->change == NULL || source->change->kind == CONTACT_REBUILT ||
		 target->change->kind == CONTACT_UPDATED))
		target->change = source->change;
}

static void
sort_works(Run *run)
{
	int			kept = 0;

	qsort_arg(run->works, run->nworks, sizeof(Work *), compare_works,
			  &run->model->contact_key);
	for (int i = 0; i < run->nworks; i++)
	{
		if (kept > 0 &&
			compare_works(&run->works[kept - 1], &run->works[i],
						  &run->model->contact_key) == 0)
			merge_into(run->works[kept - 1], run->works[i]);
		else
			run->works[kept++] = run->works[i];
	}
	run->nworks = kept;
}

/*
 * decide_gather: group hits and changes by contact.
 */
void
decide_gather(Run *run, List *hits, List *changes)
{
	ListCell   *cell;

	foreach(cell, hits)
	{
		Hit		   *hit = lfirst(cell);
		Work	   *work = append_work(run, hit->contact);

		work->hits = list_make1(hit);
		work->touched = hit->atom != NULL;
	}
	foreach(cell, changes)
	{
		ContactChange *change = lfirst(cell);
		Work	   *work = append_work(run, change->contact);

		work->change = change;
		work->columns = change->columns;
		work->company_columns = change->company_columns;
		work->touched = true;
	}
	sort_works(run);
}

/*
 * decide_add_contacts: contacts that rules need to look at.
 */
void
decide_add_contacts(Run *run, Datum *contacts, int count)
{
	for (int i = 0; i < count; i++)
		(void) append_work(run, contacts[i]);
	if (count > 0)
		sort_works(run);
}

/*
 * Does this hit leave the atom as it is?
 */
static bool
hit_is_settled(const Hit *hit, StateRow *state, TimestampTz clock)
{
	AtomState  *entry;

	if (hit->atom == NULL)
		return true;
	if (hit->dirty || (hit->atom->method != METHOD_COUNT &&
					   hit->atom->method != METHOD_WINDOW))
		return false;
	entry = state_atom(state, hit->atom->id);
	if (entry == NULL || entry->unknown)
		return false;
	if (hit->atom->method == METHOD_COUNT)
		return entry->count >= hit->atom->spec->times;
	return entry->count > 0 && entry->due > clock;
}

static bool
work_is_settled(Run *run, Work *work, StateRow *state)
{
	TimestampTz clock;
	ListCell   *cell;

	if (state == NULL)
		return false;
	if (state->orphan)
		return true;
	clock = Max(run->clock, state->clock);
	if (state->due <= clock)
		return false;
	foreach(cell, work->hits)
		if (!hit_is_settled(lfirst(cell), state, clock))
			return false;
	return true;
}

static bool
has_rule_hit(const Work *work)
{
	ListCell   *cell;

	foreach(cell, work->hits)
		if (((Hit *) lfirst(cell))->atom == NULL)
			return true;
	return false;
}

static bool
has_dirty_hit(const Work *work)
{
	ListCell   *cell;

	foreach(cell, work->hits)
		if (((Hit *) lfirst(cell))->dirty)
			return true;
	return false;
}

static bool
may_be_settled(Run *run)
{
	bool		touched = false;

	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];

		if (work->change != NULL || has_dirty_hit(work))
			return false;
		touched |= work->touched;
	}
	return touched;
}

/*
 * Atoms that are computed anew may become unsettled: wait for the shortcuts
 * in flight, before any contact is locked.
 */
static void
exclude_shortcuts(Run *run)
{
	Work	  **works = palloc(run->nworks * sizeof(Work *));
	int			count = 0;

	if (run->no_lock)
		return;
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];

		if (has_dirty_hit(work) ||
			(work->change != NULL && work->change->kind == CONTACT_REBUILT))
			works[count++] = work;
	}
	stripe_exclude(run->model, works, count);
}

/*
 * The shortcut: leave out contacts for whom nothing can change.
 */
static void
drop_settled(Run *run)
{
	StateReader *reader;
	int			kept = 0;
	MemoryContext scratch;
	MemoryContext old;

	if (!may_be_settled(run) ||
		!stripe_share(run->model, run->works, run->nworks))
		return;

	scratch = AllocSetContextCreate(CurrentMemoryContext, "lifecycle states",
									ALLOCSET_SMALL_SIZES);
	reader = state_begin_read(run->model);
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];

		CHECK_FOR_INTERRUPTS();
		if (work->touched)
		{
			old = MemoryContextSwitchTo(scratch);
			if (work_is_settled(run, work, state_read(reader, work->contact)))
				work->touched = false;
			MemoryContextSwitchTo(old);
			MemoryContextReset(scratch);
		}
		if (work->touched || has_rule_hit(work))
			run->works[kept++] = work;
	}
	state_end_read(reader);
	MemoryContextDelete(scratch);
	run->nworks = kept;
}

/*
 * The statement that locks contacts and reads them with their companies.
 */
static SPIPlanPtr
lock_plan(Run *run)
{
	Model	   *model = run->model;
	PlanId		id = run->no_lock ? PLAN_READ_CONTACTS :
		run->skip_locked ? PLAN_SKIP_CONTACTS : PLAN_LOCK_CONTACTS;
	AppTable   *contacts = &model->table[CONTACTS];
	AppTable   *companies = &model->table[COMPANIES];
	const char *key = contacts->column[ROLE_KEY].quoted;
	StringInfoData sql;

	if (model->plan[id] != NULL)
		return model->plan[id];
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT c.%s, c", key);
	if (OidIsValid(companies->relid) &&
		contacts->column[ROLE_COMPANY].attno != 0)
		appendStringInfo(&sql, ", co, co.%s FROM %s AS c LEFT JOIN %s AS co"
						 " ON co.%s OPERATOR(pg_catalog.=) c.%s",
						 companies->column[ROLE_KEY].quoted,
						 contacts->name, companies->name,
						 companies->column[ROLE_KEY].quoted,
						 contacts->column[ROLE_COMPANY].quoted);
	else
		appendStringInfo(&sql, ", NULL::pg_catalog.record, NULL::%s FROM %s AS c",
						 model->company_key.name, contacts->name);
	appendStringInfo(&sql, " WHERE c.%s OPERATOR(pg_catalog.=) ANY ($1)"
					 " ORDER BY c.%s", key, key);
	if (!run->no_lock)
		appendStringInfo(&sql, " FOR NO KEY UPDATE OF c%s",
						 run->skip_locked ? " SKIP LOCKED" : "");
	model->plan[id] = query_prepare(sql.data, 1, &model->contact_key.array);
	return model->plan[id];
}

/*
 * Lock some of the contacts and read their rows.
 */
static void
lock_some(Run *run, Datum *contacts, int count)
{
	Model	   *model = run->model;
	Datum		keys = key_array(&model->contact_key, contacts, count);
	UserSpan	span;
	uint64		rows;

	span_write(&span, model->table[CONTACTS].owner);
	rows = query_execute(lock_plan(run), &keys, NULL);
	span_end(&span);
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		Work	   *work = run_find_work(run, query_value(i, 1, &isnull));
		Datum		value;

		if (work == NULL)
			continue;
		work->found = true;
		work->row = run_copy_row(query_value(i, 2, &isnull));
		value = query_value(i, 3, &isnull);
		work->company_row = isnull ? NULL : run_copy_row(value);
		value = query_value(i, 4, &work->company_null);
		if (!work->company_null)
			work->company = key_copy(&model->company_key, value);
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Events of contacts that do not exist leave an orphan row, unless the
 * contact has arrived meanwhile.
 */
static void
keep_orphans(Run *run, Datum *contacts, int count)
{
	Model	   *model = run->model;
	Datum		values[2];
	UserSpan	span;
	StateRow   *orphan = state_new(0);
	int			nothers = 0;
	Datum	   *others = palloc(count * sizeof(Datum));

	if (model->plan[PLAN_ORPHAN_INSERT] == NULL)
	{
		Oid			types[2] = {model->contact_key.array, BYTEAOID};

		model->plan[PLAN_ORPHAN_INSERT] =
			query_prepare(psprintf("INSERT INTO %s.contact_state (contact, state)"
								   " SELECT k, $2 FROM pg_catalog.unnest($1) AS k"
								   " ORDER BY k"
								   " ON CONFLICT (contact) DO NOTHING"
								   " RETURNING contact", model->schema),
						  2, types);
	}
	orphan->orphan = true;
	values[0] = key_array(&model->contact_key, contacts, count);
	values[1] = PointerGetDatum(state_pack(orphan));
	span_write(&span, model->owner);
	query_execute(model->plan[PLAN_ORPHAN_INSERT], values, NULL);
	span_end(&span);

	for (int i = 0; i < count; i++)
	{
		bool		inserted = false;

		for (uint64 row = 0; row < SPI_processed && !inserted; row++)
		{
			bool		isnull;

			inserted = key_compare(&model->contact_key, contacts[i],
								   query_value(row, 1, &isnull)) == 0;
		}
		if (!inserted)
			others[nothers++] = contacts[i];
	}
	if (nothers > 0)
		lock_some(run, others, nothers);
}

static bool
has_new_event(const Work *work)
{
	ListCell   *cell;

	foreach(cell, work->hits)
	{
		Hit		   *hit = lfirst(cell);

		if (hit->atom != NULL && !hit->dirty)
			return true;
	}
	return false;
}

static void
lock_contacts(Run *run)
{
	Datum	   *contacts = palloc(run->nworks * sizeof(Datum));
	int			count = 0;

	for (int i = 0; i < run->nworks; i++)
		contacts[count++] = run->works[i]->contact;
	lock_some(run, contacts, count);

	count = 0;
	for (int i = 0; i < run->nworks; i++)
		if (!run->works[i]->found && has_new_event(run->works[i]))
			contacts[count++] = run->works[i]->contact;
	if (count > 0)
		keep_orphans(run, contacts, count);
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
		entry = network_event(model, name, strlen(name));
		for (int a = 0; a < entry->natoms; a++)
			if (entry->atoms[a]->method == METHOD_COUNT ||
				entry->atoms[a]->method == METHOD_WINDOW)
				state_make_atom(work->state, entry->atoms[a]->id)->unknown = true;
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
 * Read the states of the locked contacts, on a snapshot taken after the
 * locks.
 */
static void
read_states(Run *run)
{
	StateReader *reader;
	Work	  **orphans = palloc(run->nworks * sizeof(Work *));
	Work	  **fresh = palloc(run->nworks * sizeof(Work *));
	int			norphans = 0;
	int			nfresh = 0;

	reader = state_begin_read(run->model);
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];

		if (!work->found)
			continue;
		work->state = state_read(reader, work->contact);
		work->had_state = work->state != NULL;
		if (work->had_state && work->state->orphan)
			orphans[norphans++] = work;
		if (!run->rewind && work->had_state)
			run->clock = Max(run->clock, work->state->clock);
	}
	state_end_read(reader);

	/* Events in flight that were content with the orphan row must be seen. */
	stripe_exclude(run->model, orphans, norphans);

	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];
		ContactChange *change = work->change;

		if (!work->found)
			continue;
		if (work->state == NULL || work->state->orphan ||
			(change != NULL && change->kind == CONTACT_REBUILT &&
			 run->only_segments == NIL))
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
	for (int i = 0; i < atom->nsegments; i++)
		work->segments = list_append_unique_int(work->segments,
												atom->segments[i]);
}

/*
 * May windows of this contact end now?  Not while the shortcut of somebody
 * who may have inserted an event into one is in flight: then they stay as
 * they are, and due.
 */
static bool
may_end_windows(Run *run, Work *work)
{
	for (int i = 0; i < work->state->natoms; i++)
	{
		AtomState  *entry = &work->state->atoms[i];
		Atom	   *atom;

		if (entry->due > run->clock || entry->count == 0)
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

	if (state->due > run->clock)
		return;
	work->hold_windows = !may_end_windows(run, work);
	for (int i = 0; i < state->natoms; i++)
	{
		AtomState  *entry = &state->atoms[i];
		Atom	   *atom;

		if (entry->due > run->clock)
			continue;
		atom = network_atom(run->model, entry->id);
		if (work->hold_windows && atom != NULL &&
			atom->method == METHOD_WINDOW && entry->count > 0)
			continue;
		entry->due = NOT_DUE;
		work->state_changed = true;
		if (atom == NULL)
		{
			entry->count = 0;	/* nothing uses it any more */
			continue;
		}
		entry->unknown = atom->method == METHOD_COUNT ||
			atom->method == METHOD_WINDOW;
		add_segments_of(work, atom);
	}
}

static void
apply_count(Run *run, Work *work, Atom *atom, AtomState *entry, Hit *hit)
{
	if (entry->count >= atom->spec->times)
		return;
	work->state_changed = true;
	if (hit->time > run->clock)
		entry->due = Min(entry->due, hit->time);
	else if (++entry->count >= atom->spec->times)
	{
		entry->due = NOT_DUE;
		add_segments_of(work, atom);
	}
}

static void
apply_window(Run *run, Work *work, Atom *atom, AtomState *entry, Hit *hit)
{
	Model	   *model = run->model;
	const AtomSpec *spec = atom->spec;

	if (entry->count > 0)
		return;					/* the due time finds later events */
	if (hit->time > run->clock)
	{
		entry->due = Min(entry->due, hit->time);
		work->state_changed = true;
	}
	else if (hit->time > window_start(model, spec->within, run->clock))
	{
		if (spec->times == 1)
		{
			entry->count = 1;
			entry->due = window_end(model, spec->within, hit->time,
									run->clock);
		}
		else
			entry->unknown = true;
		work->state_changed = true;
		add_segments_of(work, atom);
	}
}

/*
 * Apply an event to the state.
 */
static void
apply_hit(Run *run, Work *work, Hit *hit)
{
	Atom	   *atom = hit->atom;
	AtomState  *entry;

	if (atom->method != METHOD_COUNT && atom->method != METHOD_WINDOW)
	{
		add_segments_of(work, atom);
		return;
	}
	entry = state_make_atom(work->state, atom->id);
	if (hit->dirty && !entry->unknown)
	{
		entry->unknown = true;
		work->state_changed = true;
	}
	if (entry->unknown)
		add_segments_of(work, atom);
	else if (atom->method == METHOD_COUNT)
		apply_count(run, work, atom, entry, hit);
	else
		apply_window(run, work, atom, entry, hit);
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
		foreach(cell, work->hits)
		{
			Hit		   *hit = lfirst(cell);

			if (hit->atom != NULL)
				apply_hit(run, work, hit);
		}
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
	Datum	   *contacts = palloc(batch->count * sizeof(Datum));
	AtomValue  *values = palloc(batch->count * sizeof(AtomValue));
	UserSpan	span;

	for (int i = 0; i < batch->count; i++)
		contacts[i] = batch->needs[i].work->contact;
	span_read(&span, run->model->table[CONTACTS].owner);
	atom_scan(run->model, batch->needs[0].atom, contacts, batch->count,
			  run->clock, values);
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
 * decide_round: bring the contacts of the round up to date, and write down
 * their state and memberships.
 */
void
decide_round(Run *run)
{
	if (run->nworks == 0)
		return;
	if (run->round == 0)
		drop_settled(run);
	if (run->nworks == 0)
		return;
	exclude_shortcuts(run);
	lock_contacts(run);
	read_states(run);
	apply_changes(run);
	load_segments(run);
	scan_batches(run);
	evaluate_works(run);
	record_states(run);
	record_members(run);
}

/*
 * decide_is_member: evaluate one segment of one contact as of now, from the
 * events, without locks and without writing.  Segments that it names count
 * as recorded.  Raises 02000 if there is no such contact.
 */
bool
decide_is_member(Run *run, Datum contact, const char *text, int segment)
{
	MemoryContext old = MemoryContextSwitchTo(run->round_context);
	StateReader *reader;
	StateRow   *state;
	Work	   *work;
	bool		result;

	run->works_allocated = 1;
	run->works = palloc(sizeof(Work *));
	work = append_work(run, contact);
	lock_some(run, &contact, 1);
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
	work->segments = list_make1_int(segment);
	work->touched = true;
	evaluate_works(run);
	evaluate_end(run);
	result = state_in_segment(work->state, segment);
	run->nworks = 0;
	MemoryContextSwitchTo(old);
	return result;
}
