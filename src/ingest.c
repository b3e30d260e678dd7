/*-------------------------------------------------------------------------
 *
 * ingest.c
 *	  Triggers on the events table: one call per statement.
 *
 * A statement's new rows are read from its transition table.  For each row,
 * the network says which atoms and rules its name and its values concern
 * (event.c); filters are evaluated here, once per atom and row, and so are the
 * values that totals add up (total.c).  What passes becomes a hit of the row.
 * Hits are decided together at the end (run.c).  Rows that nothing names cost
 * one look-up in a hash table.  A statement's only row may be settled before
 * all that (settled.c).
 *
 * Events without contact are not looked at, unless they have an anonymous id
 * (identity.c), nor are those without a time.
 * Rules fire for inserted rows only, at once, whatever the event's time.
 *
 * UPDATE and DELETE make the atoms of the old and new rows' names be computed
 * anew from the events that are left; TRUNCATE those of all contacts.
 *
 * In a transaction that defers them (import.c), events are not looked at.
 *
 * A filter or value that raises an error (a bad cast of a property) makes the
 * atom be computed by a scan, which raises it again where it can be recorded:
 * the predicate then counts as not holding.
 *
 * Between the beginning of an INSERT and its trigger, other work of the same
 * statement may look at the new rows: a user's row trigger that updates the
 * contact, or a WITH clause that inserts it.  A count taken then has them in
 * already, and they must not be added to it.  So rows of a statement since whose
 * beginning any count was taken (run_has_counted) make the counts that they match
 * unknown, to be computed again.
 *
 * COPY, INSERT ... SELECT and ON CONFLICT DO NOTHING are statements like
 * others: the transition table has the rows that were really inserted.  ON
 * CONFLICT DO UPDATE and MERGE fire the update trigger for updated rows.  An
 * INSERT that names a partition fires the trigger of that partition
 * (lifecycle_attach and an event trigger create them).  Under
 * session_replication_role = replica, that is on a logical subscriber and
 * while restoring with disabled triggers, nothing fires.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "counter.h"
#include "identity.h"
#include "import.h"
#include "settled.h"
#include "total.h"
#include "window.h"

PG_FUNCTION_INFO_V1(events_insert);
PG_FUNCTION_INFO_V1(events_update);
PG_FUNCTION_INFO_V1(events_delete);
PG_FUNCTION_INFO_V1(events_truncate);

/*
 * How filters are evaluated: without care until one is met, then all in one
 * subtransaction, and if that fails each in its own.
 */
typedef enum FilterMode
{
	FILTER_NONE_YET,
	FILTER_TOGETHER,
	FILTER_ONE_BY_ONE
} FilterMode;

typedef struct Collector
{
	Run		   *run;
	Transition *rows;
	TupleTableSlot *row;		/* that is being looked at */
	ExprContext *econtext;		/* NULL before the first expression */
	FilterMode	mode;
	bool		met_filter;		/* FILTER_NONE_YET: must start again */
	bool		anew;			/* rows were updated or deleted: atoms are to be
								 * computed anew, rules do not fire */
	bool		past;			/* the rows are not there any more */
	bool		counted;		/* counts may have new rows in already */
	Transition *before;			/* UPDATE by identity.c: the rows as they were;
								 * those that changed their contact are new */
	Arrivals   *arrivals;
	Atom	   *atom;			/* whose filter or value is being evaluated */
	ExprState  *filter;
	bool		passes;
	Numeric		amount;			/* the value that a total adds; NULL: none */
	AtomKey    *key;			/* that is being evaluated */
	StringInfoData value;		/* its value of the row */
	bool		no_value;		/* it has none, and so no atom matches */
} Collector;

/* So few rows are not worth a memory context of their own. */
#define FEW_ROWS 16

/* The atoms that a row matches, in the memory of the row. */
typedef struct Matches
{
	int			natoms;
	Atom	  **atoms;
	bool		shared;			/* which is an array of the network's */
	int			namounts;
	int			amounts_allocated;
	Numeric    *amounts;		/* see Hit */
	int			nfailed;
	Atom	  **failed;			/* their filters or values raised an error */
} Matches;

/*
 * The context in which an expression over the row is evaluated.
 */
static ExprContext *
row_context(Collector *collector)
{
	if (collector->econtext == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(collector->run->context);

		collector->econtext = CreateStandaloneExprContext();
		initStringInfo(&collector->value);
		MemoryContextSwitchTo(old);
	}
	ResetExprContext(collector->econtext);
	collector->econtext->ecxt_scantuple = collector->row;
	return collector->econtext;
}

static void
evaluate_filter(void *arg)
{
	Collector  *collector = arg;
	bool		pin = collector->atom->user_functions;
	int			level = pin ? path_pin() : 0;
	bool		isnull;
	Datum		value;

	counter_add(COUNT_FILTERS, 1);
	value = ExecEvalExprSwitchContext(collector->filter,
									  row_context(collector), &isnull);
	if (pin)
		path_unpin(level);
	collector->passes = !isnull && DatumGetBool(value);
}

/*
 * Does the row pass this filter of an atom's?  *failed if the filter raised
 * an error.
 */
static bool
passes_filter(Collector *collector, Atom *atom, ExprState *filter,
			  bool *failed)
{
	ErrorData  *error;

	if (filter == NULL || collector->anew)
		return true;
	collector->atom = atom;
	collector->filter = filter;
	if (atom->cannot_raise)
	{
		evaluate_filter(collector);
		return collector->passes;
	}
	switch (collector->mode)
	{
		case FILTER_NONE_YET:
			collector->met_filter = true;
			return false;
		case FILTER_TOGETHER:
			evaluate_filter(collector);
			return collector->passes;
		case FILTER_ONE_BY_ONE:
			if (run_try(evaluate_filter, collector, &error))
				return collector->passes;
			*failed = true;
			return true;
	}
	return false;
}

/*
 * Does the atom match a row of this name?  An atom of two names has a filter
 * for each; they may be the same name.
 */
static bool
matches_atom(Collector *collector, const EventEntry *entry, Atom *atom,
			 bool *failed)
{
	const char *second = atom->spec != NULL ? atom->spec->second_event : NULL;

	*failed = false;
	if (!atom->filters_compiled && atom->spec != NULL)
		compile_filters(collector->run->model, atom);
	if (second == NULL)
		return passes_filter(collector, atom, atom->filter, failed);
	return (strcmp(atom->spec->event, entry->name) == 0 &&
			passes_filter(collector, atom, atom->filter, failed)) ||
		(strcmp(second, entry->name) == 0 &&
		 passes_filter(collector, atom, atom->second_filter, failed));
}

/*
 * Compute what the row adds to a total, in the run's memory.
 */
static void
evaluate_amount(void *arg)
{
	Collector  *collector = arg;
	bool		pin = collector->atom->user_functions;
	int			level = pin ? path_pin() : 0;
	bool		isnull;
	Datum		value;

	value = ExecEvalExprSwitchContext(collector->atom->value,
									  row_context(collector), &isnull);
	if (pin)
		path_unpin(level);
	collector->amount = NULL;
	if (!isnull)
	{
		MemoryContext old =
			MemoryContextSwitchTo(collector->run->context);

		collector->amount = DatumGetNumericCopy(value);
		MemoryContextSwitchTo(old);
	}
}

/*
 * The same, in the way in which filters are evaluated.  False if it failed,
 * or must be done again with care.
 */
static bool
compute_amount(Collector *collector, Atom *atom)
{
	ErrorData  *error;

	collector->atom = atom;
	if (atom->value_cannot_raise || collector->mode == FILTER_TOGETHER)
	{
		evaluate_amount(collector);
		return true;
	}
	if (collector->mode == FILTER_ONE_BY_ONE)
		return run_try(evaluate_amount, collector, &error);
	collector->met_filter = true;
	return false;
}

/*
 * Note what the row adds to an atom that it matches, if that adds values up.
 * False if computing it failed, or must be done again with care.
 */
static bool
add_amount(Collector *collector, Atom *atom, Matches *matches)
{
	if (collector->anew || atom->method != METHOD_TOTAL ||
		!total_adds_value(atom->spec))
		return true;
	if (!atom->filters_compiled)
		compile_filters(collector->run->model, atom);
	if (!compute_amount(collector, atom))
		return false;
	if (matches->amounts == NULL)
	{
		matches->amounts_allocated = 8;
		matches->amounts = palloc(8 * sizeof(Numeric));
	}
	else if (matches->namounts == matches->amounts_allocated)
	{
		matches->amounts_allocated *= 2;
		matches->amounts = repalloc(matches->amounts,
									matches->amounts_allocated *
									sizeof(Numeric));
	}
	matches->amounts[matches->namounts++] = collector->amount;
	return true;
}

static EventRef *
make_event(Run *run, EventEntry *entry, TupleTableSlot *slot, TimestampTz time)
{
	Model	   *model = run->model;
	const Column *key = &model->table[EVENTS].column[ROLE_KEY];
	MemoryContext old = MemoryContextSwitchTo(run->context);
	EventRef   *event = palloc0(sizeof(EventRef));

	event->entry = entry;
	event->time = time;
	if (key->attno != 0)
	{
		Datum		value = slot_getattr(slot, key->attno, &event->key_null);

		if (!event->key_null)
			event->key = key_copy(&model->event_key, value);
	}
	else
		event->key_null = true;
	if (entry->keeps_row)
		event->row = ExecCopySlotHeapTuple(slot);
	MemoryContextSwitchTo(old);
	return event;
}

/*
 * Compute the value of a key.
 */
static void
evaluate_key(void *arg)
{
	Collector  *collector = arg;
	ExprContext *econtext = row_context(collector);

	collector->no_value = !event_key_value(collector->key, econtext,
										   &collector->value);
}

/*
 * The same, in the way in which filters are evaluated.  False if it failed,
 * or must be done again with care.
 */
static bool
compute_key(Collector *collector, AtomKey *key)
{
	ErrorData  *error;

	if (key->count == 0)
		return false;
	collector->key = key;
	if (key->cannot_raise || collector->mode == FILTER_TOGETHER)
	{
		evaluate_key(collector);
		return true;
	}
	if (collector->mode == FILTER_ONE_BY_ONE)
		return run_try(evaluate_key, collector, &error);
	collector->met_filter = true;
	return false;
}

/*
 * Add those of the atoms that match the row.  If they are `keyed`, the row
 * has their value.
 */
static void
add_matches(Collector *collector, const EventEntry *entry, Atom **atoms,
			int natoms, bool keyed, Matches *matches)
{
	Atom	  **result = matches->natoms == 0 ? atoms : matches->atoms;
	int			count = matches->natoms;

	if (result != atoms)
	{
		result = palloc((count + natoms) * sizeof(Atom *));
		memcpy(result, matches->atoms, count * sizeof(Atom *));
	}
	for (int i = 0; i < natoms; i++)
	{
		Atom	   *atom = atoms[i];
		bool		failed = false;
		bool		matched = (keyed && atom->key_decides) ||
			(matches_atom(collector, entry, atom, &failed) && !failed);

		if (matched && !add_amount(collector, atom, matches))
		{
			matched = false;
			failed = !collector->met_filter;
		}
		if (matched)
		{
			if (result != atoms)
				result[count] = atom;
			count++;
			continue;
		}
		if (result == atoms)
		{
			result = palloc(natoms * sizeof(Atom *));
			memcpy(result, atoms, count * sizeof(Atom *));
		}
		if (failed)
		{
			if (matches->failed == NULL)
				matches->failed = palloc(natoms * sizeof(Atom *));
			else
				matches->failed =
					repalloc(matches->failed,
							 (matches->nfailed + 1) * sizeof(Atom *));
			matches->failed[matches->nfailed++] = atom;
		}
	}
	matches->shared = result == atoms;
	matches->atoms = result;
	matches->natoms = count;
}

/*
 * The atoms that the row matches, which is in the slot of the context: those
 * of its name, and those of its values.
 */
static void
find_matches(Collector *collector, EventEntry *entry, Matches *matches)
{
	Model	   *model = collector->run->model;

	add_matches(collector, entry, entry->atoms, entry->natoms, false,
				matches);
	for (int i = 0; i < entry->nkeys && !collector->met_filter; i++)
	{
		AtomKey    *key = &entry->keys[i];
		KeyedAtoms *keyed;

		if (compute_key(collector, key))
		{
			if (collector->no_value)
				continue;
			keyed = event_keyed_atoms(model, key, collector->value.data,
									  collector->value.len);
			if (keyed != NULL)
				add_matches(collector, entry, keyed->atoms, keyed->natoms,
							true, matches);
		}
		else if (!collector->met_filter)
		{
			int			count;
			Atom	  **atoms = event_atoms_of_key(model, key, &count);

			add_matches(collector, entry, atoms, count, false, matches);
		}
	}
}

/*
 * Collect the hits of one row.
 */
static void
collect_row(Collector *collector, TupleTableSlot *slot)
{
	Run		   *run = collector->run;
	Model	   *model = run->model;
	EventEntry *entry = event_of_row(model, slot, true);
	AppTable   *table = &model->table[EVENTS];
	Matches		matches = {0};
	Hit			hit = {0};
	bool		isnull;
	Datum		value;

	hit.contact = slot_key(slot, &table->column[ROLE_CONTACT],
						   &model->contact_key, &isnull);
	if (!collector->past)
		identity_note(run, collector->arrivals, slot, hit.contact, isnull);
	if (isnull || entry == NULL ||
		(entry->natoms == 0 && entry->nkeys == 0 && entry->rules == NIL))
		return;
	counter_add(COUNT_EVENTS, 1);
	value = slot_getattr(slot, table->column[ROLE_TIME].attno, &isnull);
	if (isnull)
		return;
	hit.time = window_instant(model, table->column[ROLE_TIME].type, value);
	collector->row = slot;
	find_matches(collector, entry, &matches);
	hit.rules = entry->rules != NIL && !collector->anew;
	if (collector->met_filter ||
		(matches.natoms == 0 && !hit.rules && matches.nfailed == 0))
		return;
	hit.contact = run_copy_key(run, &model->contact_key, hit.contact);
	hit.event = make_event(run, entry, slot, hit.time);
	if (matches.nfailed > 0)
	{
		Hit			failures = hit;

		failures.rules = false;
		failures.dirty = true;
		failures.natoms = matches.nfailed;
		failures.atoms = run_copy_atoms(run, matches.failed, matches.nfailed);
		run_add_hit(run, &failures);
	}
	if (matches.natoms > 0 || hit.rules)
	{
		hit.dirty = collector->anew;
		hit.counted = collector->counted;
		hit.natoms = matches.natoms;
		hit.atoms = matches.atoms;
		if (!matches.shared)
			hit.atoms = run_copy_atoms(run, hit.atoms, hit.natoms);
		if (matches.namounts > 0)
		{
			Size		size = matches.namounts * sizeof(Numeric);

			hit.amounts = MemoryContextAlloc(run->context, size);
			memcpy(hit.amounts, matches.amounts, size);
		}
		run_add_hit(run, &hit);
	}
}

/*
 * Collect a row that an UPDATE by identity.c may have given a contact.  It is
 * a new event for that contact, and an event less for the one before; a row
 * that a trigger of the user's updated meanwhile may have kept its contact.
 */
static void
collect_arrival(Collector *collector, TupleTableSlot *old, TupleTableSlot *new)
{
	Model	   *model = collector->run->model;
	const Column *column = &model->table[EVENTS].column[ROLE_CONTACT];
	bool		old_null;
	bool		new_null;
	Datum		before = slot_key(old, column, &model->contact_key, &old_null);
	Datum		now = slot_key(new, column, &model->contact_key, &new_null);
	bool		same = old_null == new_null &&
		(old_null || key_compare(&model->contact_key, before, now) == 0);

	collector->anew = collector->past = true;
	collect_row(collector, old);
	collector->anew = same;
	collector->past = false;
	collect_row(collector, new);
}

static void
collect_rows(void *arg)
{
	Collector  *collector = arg;
	Run		   *run = collector->run;
	bool		few = transition_count(collector->rows) <= FEW_ROWS;
	MemoryContext scratch = few ? run->context :
		AllocSetContextCreate(CurrentMemoryContext, "lifecycle event row",
							  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = CurrentMemoryContext;
	TupleTableSlot *slot;
	UserSpan	span;

	span_read(&span, run->model->table[CONTACTS].owner);
	transition_rewind(collector->rows);
	if (collector->before != NULL)
		transition_rewind(collector->before);
	collector->arrivals->nids = 0;
	while (!collector->met_filter &&
		   (slot = transition_next(collector->rows)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		/* The slot keeps a row read from a file in the current context. */
		MemoryContextSwitchTo(scratch);
		if (collector->before != NULL)
			collect_arrival(collector, transition_next(collector->before),
							slot);
		else
			collect_row(collector, slot);
		MemoryContextSwitchTo(old);
		if (!few)
			MemoryContextReset(scratch);
	}
	span_end(&span);
	if (!few)
		MemoryContextDelete(scratch);
}

/*
 * Collect the hits of all rows of one of the trigger's transition tables, and
 * let new rows find their contacts.
 */
static void
collect(Run *run, TriggerData *trigdata, TupleConversionMap *map, bool past)
{
	Arrivals	arrivals = {0};
	Collector	collector = {.run = run,.past = past,.arrivals = &arrivals};
	bool		inserted = trigdata->tg_oldtable == NULL;
	int			before = list_length(run->hits);
	ErrorData  *error;

	collector.anew = !inserted;
	collector.counted = !past && run_has_counted();
	collector.rows = transition_begin(trigdata, past ? trigdata->tg_oldtable :
									  trigdata->tg_newtable, run->model,
									  EVENTS, map);
	if (run->arriving && !inserted)
		collector.before = transition_begin(trigdata, trigdata->tg_oldtable,
											run->model, EVENTS, map);
	collector.mode = FILTER_NONE_YET;
	collect_rows(&collector);
	if (collector.met_filter)
	{
		run->hits = list_truncate(run->hits, before);
		collector.met_filter = false;
		collector.mode = FILTER_TOGETHER;
		if (!run_try(collect_rows, &collector, &error))
		{
			collector.mode = FILTER_ONE_BY_ONE;
			collect_rows(&collector);
		}
	}
	if (collector.econtext != NULL)
		FreeExprContext(collector.econtext, true);
	if (!past)
		identity_settle(run, &arrivals, collector.rows, inserted, before);
	if (collector.before != NULL)
		transition_end(collector.before);
	transition_end(collector.rows);
}

/*
 * Events that are taken in later find their contacts now.
 */
static void
settle_deferred(Model *model, TriggerData *trigdata, TupleConversionMap *map)
{
	Run		   *run = run_current(model);
	bool		outermost = run == NULL;
	Arrivals	arrivals = {0};
	bool		inserted = trigdata->tg_oldtable == NULL;
	Transition *rows = transition_begin(trigdata, trigdata->tg_newtable, model,
										EVENTS, map);
	TupleTableSlot *slot;

	if (outermost)
		run = run_start(model);
	while ((slot = transition_next(rows)) != NULL)
	{
		bool		isnull;
		Datum		contact = slot_key(slot,
									   &model->table[EVENTS].column[ROLE_CONTACT],
									   &model->contact_key, &isnull);

		CHECK_FOR_INTERRUPTS();
		identity_note(run, &arrivals, slot, contact, isnull);
	}
	identity_settle(run, &arrivals, rows, inserted, list_length(run->hits));
	transition_end(rows);
	if (outermost)
		run_finish(run);
}

/*
 * Collect what a statement did to events, and work it off unless a run that
 * is in progress will.
 */
static void
ingest(TriggerData *trigdata, bool old_rows, bool new_rows)
{
	TupleConversionMap *map;
	Model	   *model = model_for_trigger(trigdata->tg_relation, EVENTS, &map);
	Run		   *run;
	bool		outermost;

	if (model == NULL ||
		(!old_rows && settled_single(model, trigdata, map)))
		return;
	SPI_connect();
	if (import_mode() == IMPORT_DEFER)
	{
		model_use(model);
		import_defer(model, trigdata, map);
		if (new_rows)
			settle_deferred(model, trigdata, map);
		model_release(model);
		SPI_finish();
		return;
	}
	run = run_current(model);
	outermost = run == NULL;
	if (outermost)
	{
		run = run_start(model);
		run->statement_on = EVENTS;
		run->quiet = import_mode() == IMPORT_SILENT;
	}
	if (old_rows && !(new_rows && run->arriving))
		collect(run, trigdata, map, true);
	if (new_rows)
		collect(run, trigdata, map, false);
	if (outermost)
		run_finish_connected(run);
	SPI_finish();
}

/*
 * events_insert(), events_update(), events_delete(), events_truncate():
 * statement triggers on the events table of a model, or a partition of it.
 *
 * They lock rows of contacts (decide.c), and raise 39P01 if not called as
 * the trigger, 55000 if the table is not attached, 54000 for rules that loop.
 */
Datum
events_insert(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = trigger_check_statement(fcinfo, "events_insert",
													TRIGGER_EVENT_INSERT);

	ingest(trigdata, false, true);
	return PointerGetDatum(NULL);
}

Datum
events_update(PG_FUNCTION_ARGS)
{
	ingest(trigger_check_statement(fcinfo, "events_update",
								   TRIGGER_EVENT_UPDATE), true, true);
	return PointerGetDatum(NULL);
}

Datum
events_delete(PG_FUNCTION_ARGS)
{
	ingest(trigger_check_statement(fcinfo, "events_delete",
								   TRIGGER_EVENT_DELETE), true, false);
	return PointerGetDatum(NULL);
}

Datum
events_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = trigger_check_statement(fcinfo, "events_truncate",
													TRIGGER_EVENT_TRUNCATE);
	Model	   *model = model_for_trigger(trigdata->tg_relation, EVENTS, NULL);

	if (model != NULL)
		refresh_all(model);
	return PointerGetDatum(NULL);
}
