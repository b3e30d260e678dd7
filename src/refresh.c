/*-------------------------------------------------------------------------
 *
 * refresh.c
 *	  Segments of all contacts at once, from the events.
 *
 * When a segment is added or altered, its atoms are computed for all
 * contacts by one statement (scan.c), and contacts are evaluated in batches.
 * The caller (lifecycle.lock_model) holds SHARE ROW EXCLUSIVE locks on the
 * application tables, so nobody changes a contact meanwhile and rows are not
 * locked one by one.  The scan's snapshot is taken after the locks, and the
 * clock is that instant: nobody has events of a later one.
 *
 * If nobody is in the segment yet, two kinds of predicate spare most contacts:
 * of one that does not hold without events, only the contacts that have such
 * events are read, and one of the contact's columns alone, which cannot fail,
 * is the statement's own condition.  What is known of a new segment's members
 * is written by enter.c.
 *
 * If the statement fails, on an event whose property cannot be cast, contacts
 * are evaluated batch by batch instead, so that the failure counts only for
 * the contacts that have it.
 *
 * Taking in a whole model (lifecycle_attach) or rebuilding it goes through
 * all contacts in batches of keys.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"

#include "enter.h"
#include "equality.h"
#include "evaluate.h"
#include "member.h"
#include "refresh.h"
#include "scan.h"

/* So many contacts are looked at in one run. */
#define BATCH 5000

static Run *
start_quiet_run(Model *model, TimestampTz clock)
{
	Run		   *run = run_start(model);

	run->quiet = true;
	run->reason.cause = "rebuild";
	if (clock != DT_NOEND)
	{
		run->clock = clock;
		run->clock_given = true;
	}
	return run;
}

/* What refreshing segments hands to the batches. */
typedef struct SegmentsArg
{
	ContactScan scan;
	List	   *segments;
	Segment    *only;			/* the only one, if it names no other segment */
	bool		empty;			/* it has no member yet */
	bool		alone;			/* nor does anything follow from entering it */
	Run		   *probe;			/* to evaluate it in */
} SegmentsArg;

/*
 * Does the only segment's predicate hold for what is in this work?
 */
static bool
probe(SegmentsArg *arg, Work *work)
{
	bool		isnull;
	Datum		value;

	work->state = state_new(0);
	evaluate_rows(arg->probe, work);
	value = evaluate_expression(arg->probe, work, arg->only->expression,
								&isnull);
	return !isnull && DatumGetBool(value);
}

static bool
has_members(Model *model, Segment *segment)
{
	UserSpan	span;
	uint64		members;

	span_write(&span, model->owner);
	members = query_once(psprintf("SELECT FROM %s.membership"
								  " WHERE segment_id OPERATOR(pg_catalog.=) %d LIMIT 1",
								  model->schema, segment->id),
						 0, NULL, NULL, NULL);
	span_end(&span);
	return members > 0;
}

/*
 * Can the only segment, which is empty, get members only among contacts that
 * have events which its atoms match?  Then all others need not be looked at.
 */
static bool
needs_events(SegmentsArg *arg)
{
	ContactScan *scan = &arg->scan;
	Work		work = {0};
	UserSpan	span;
	bool		holds;

	if (scan->rows || scan->natoms == 0)
		return false;
	for (int i = 0; i < scan->natoms; i++)
	{
		if (!scan_joins(scan->atoms[i]))
			return false;
	}
	for (int i = 0; i < scan->natoms; i++)
	{
		WorkValue  *known = palloc(sizeof(WorkValue));

		known->atom = scan->atoms[i];
		known->value = atom_default(known->atom);
		work.values = lappend(work.values, known);
	}
	span_read(&span, scan->model->table[CONTACTS].owner);
	holds = probe(arg, &work);
	span_end(&span);
	return !holds;
}

/*
 * The only segment's predicate as a condition in SQL, if it is one about the
 * contact's columns that cannot raise an error: then it does not matter in
 * which order its parts are evaluated, and for whom.
 */
static const char *
column_condition(SegmentsArg *arg)
{
	Predicate  *predicate = arg->only->expression->predicate;
	Oid			contacts = arg->scan.model->table[CONTACTS].relid;
	const char *sql;
	int			level;

	if (predicate->atoms != NIL || predicate->contact_columns == NULL ||
		predicate->company_columns != NULL ||
		!equality_cannot_raise((Node *) predicate->expr) ||
		equality_collates((Node *) predicate->expr))
		return NULL;
	level = path_pin();
	sql = deparse_expression((Node *) predicate->expr,
							 deparse_context_for("c", contacts), true, true);
	path_unpin(level);
	return sql;
}

/*
 * What the scan need not look at.
 */
static void
narrow(SegmentsArg *arg)
{
	ContactScan *scan = &arg->scan;
	Model	   *model = scan->model;
	Predicate  *predicate = arg->only->expression->predicate;

	arg->empty = !has_members(model, arg->only);
	arg->alone = arg->empty && network_dependents(model, arg->only) == NIL &&
		network_segment_rules(model, arg->only, true) == NIL;
	scan->rows = predicate->contact_columns != NULL ||
		predicate->company_columns != NULL;
	if (!arg->empty)
	{
		scan->member_of = arg->only->id;
		return;
	}
	scan->events_only = needs_events(arg);
	scan->condition = column_condition(arg);
	if (scan->condition != NULL)
		scan->rows = false;
}

/*
 * Is the contact in this row to be in the only segment?  *values are of its
 * atoms: those of the row, and those of columns that come to it.
 */
static bool
row_holds(SegmentsArg *arg, int row, List **values)
{
	ContactScan *scan = &arg->scan;
	Work		work = {0};
	bool		isnull;
	bool		holds;
	Datum		value;

	if (scan->condition != NULL)
		return true;
	value = scan_value(scan, row, 2, &isnull);
	if (!isnull)
		work.row = run_copy_row(value);
	value = scan_value(scan, row, 3, &isnull);
	if (!isnull)
		work.company_row = run_copy_row(value);
	work.contact = scan_value(scan, row, 1, &isnull);
	work.values = *values;
	holds = probe(arg, &work);
	*values = work.values;
	return holds;
}

/*
 * Will time alone change one of these?
 */
static bool
may_turn(List *values)
{
	ListCell   *cell;

	foreach(cell, values)
		if (((WorkValue *) lfirst(cell))->value.next != NOT_DUE)
			return true;
	return false;
}

/*
 * Need the contact in this row be looked at?  Not if it is in the segment or
 * outside as it should be, and time alone changes nothing.  What the row
 * brings for the contact is in *values.
 */
static bool
row_matters(SegmentsArg *arg, int row, List **values)
{
	List	   *all;
	bool		isnull;
	bool		is_member;

	*values = scan_atoms(&arg->scan, row);
	if (arg->only == NULL || may_turn(*values))
		return true;
	is_member = DatumGetBool(scan_value(&arg->scan, row, 4, &isnull)) &&
		!isnull;
	all = list_copy(*values);
	return row_holds(arg, row, &all) != is_member || may_turn(all);
}

/*
 * Write down who of the batch enters the only segment, if that is all.
 */
static void
enter_batch(SegmentsArg *arg, Run *run)
{
	ContactScan *scan = &arg->scan;
	MemberChange change = {arg->only, true};
	List	   *changes = list_make1(&change);
	UserSpan	span;

	enter_begin(run, scan->count);
	span_read(&span, scan->model->table[CONTACTS].owner);
	for (int i = 0; i < scan->count; i++)
	{
		List	   *values = scan_atoms(scan, i);
		bool		holds = row_holds(arg, i, &values);
		bool		isnull;

		if (holds || may_turn(values))
			enter_add(run, scan_value(scan, i, 1, &isnull), values,
					  holds ? changes : NIL);
	}
	span_end(&span);
	enter_write(run, scan->total);
}

static void
refresh_batch(ContactScan *scan)
{
	SegmentsArg *arg = (SegmentsArg *) scan;
	Run		   *run = start_quiet_run(scan->model, scan->clock);
	MemoryContext old = MemoryContextSwitchTo(run->context);
	UserSpan	span;

	run->no_lock = true;
	run->only_segments = arg->segments;
	if (arg->alone)
		enter_batch(arg, run);
	else
	{
		span_read(&span, scan->model->table[CONTACTS].owner);
		for (int i = 0; i < scan->count; i++)
		{
			List	   *values;
			bool		isnull;

			if (row_matters(arg, i, &values))
				run_add_contact(run, CONTACT_REBUILT,
								scan_value(scan, i, 1, &isnull))->values = values;
		}
		span_end(&span);
	}
	MemoryContextSwitchTo(old);
	run_finish(run);
	if (arg->probe != NULL)
		MemoryContextReset(arg->probe->round_context);
}

/*
 * With one segment, contacts are evaluated before their states are touched.
 */
static void
refresh_try(void *task)
{
	SegmentsArg *arg = task;

	if (arg->only != NULL)
		narrow(arg);
	scan_contacts(&arg->scan);
}

/*
 * The atoms that these segments are made of.
 */
static void
set_atoms(SegmentsArg *arg)
{
	Model	   *model = arg->scan.model;
	List	   *atoms = NIL;
	ListCell   *cell;
	bool		names_segments = false;

	foreach(cell, arg->segments)
	{
		Segment    *segment = network_segment(model, lfirst_int(cell));

		for (int i = 0; segment != NULL && i < segment->natoms; i++)
		{
			Atom	   *atom = network_atom(model, segment->atom_ids[i]);

			if (atom != NULL && atom->method == METHOD_SEGMENT)
				names_segments = true;
			else if (atom != NULL && atom_is_scanned(atom))
				atoms = list_append_unique_ptr(atoms, atom);
		}
	}
	arg->scan.natoms = list_length(atoms);
	arg->scan.atoms = palloc((list_length(atoms) + 1) * sizeof(Atom *));
	foreach(cell, atoms)
		arg->scan.atoms[foreach_current_index(cell)] = lfirst(cell);
	if (arg->scan.natoms > MAX_JOINED_ATOMS)
		arg->scan.natoms = 0;	/* each will be asked for, contact by contact */
	else if (list_length(arg->segments) == 1 && !names_segments)
		arg->only = network_segment(model, linitial_int(arg->segments));
	if (arg->only != NULL && arg->only->column != NULL)
		arg->only = NULL;		/* a score, of which nobody is a member */
}

/*
 * Evaluate a new or altered segment for all contacts; and those that name
 * it, if there are any.
 */
static void
refresh_segments(Model *model, List *segments)
{
	SegmentsArg arg = {{0}};
	ErrorData  *error;

	arg.scan.model = model;
	arg.scan.clock = model->clock_by_tick ? run_clock(model) :
		GetCurrentTimestamp();
	arg.scan.work = refresh_batch;
	arg.segments = segments;
	set_atoms(&arg);
	if (arg.only != NULL)
	{
		if (arg.only->expression == NULL)
			network_compile_segment(model, arg.only);
		arg.probe = start_quiet_run(model, arg.scan.clock);
	}
	if (!run_try(refresh_try, &arg, &error))
	{
		arg.scan.natoms = 0;
		arg.only = NULL;
		arg.alone = false;
		arg.scan.rows = false;
		arg.scan.events_only = false;
		arg.scan.condition = NULL;
		arg.scan.member_of = 0;
		scan_contacts(&arg.scan);
	}
	if (arg.probe != NULL)
	{
		evaluate_end(arg.probe);
		run_finish(arg.probe);
	}
}

/*
 * The contact's company may have to follow it, though its stage does not
 * change: the model did not know it yet, or did not look.
 */
static void
sync_company(Run *run, Datum contact, int row)
{
	StageChange *change = palloc0(sizeof(StageChange));

	change->object = CONTACTS;
	change->key = run_copy_key(run, &run->model->contact_key, contact);
	change->from_stage = change->to_stage = query_text(row, 2);
	change->company = query_value(row, 3, &change->company_null);
	if (change->company_null ||
		(change->to_stage == NULL && !run->model->contacts_follow))
		return;
	change->comes = true;
	change->company = run_copy_key(run, &run->model->company_key,
								   change->company);
	run_add_stage_change(run, change);
}

/*
 * Compute everything anew for all contacts, batch by batch.  With `sync`, the
 * caller holds the locks of lifecycle.lock_model, and companies follow their
 * contacts.
 */
static int64
refresh_contacts(Model *model, TimestampTz clock, bool rewind, bool sync,
				 Tally *tally)
{
	AppTable   *table = &model->table[CONTACTS];
	Column	   *company = &table->column[ROLE_COMPANY];
	Portal		portal;
	int64		count = 0;
	UserSpan	span;

	span_write(&span, model->owner);
	portal = query_cursor(psprintf("SELECT c.%1$s, c.%2$s::pg_catalog.text, %3$s"
								  " FROM %4$s AS c",
								  table->column[ROLE_KEY].quoted,
								  table->column[ROLE_STAGE].quoted,
								  company->attno == 0 ? "NULL" :
								  psprintf("(c.%s)::%s", company->quoted,
										   model->company_key.name),
								  table->name),
						 0, NULL, NULL, NULL);
	span_end(&span);
	for (;;)
	{
		Run		   *run;
		MemoryContext old;
		SPITupleTable *result;

		CHECK_FOR_INTERRUPTS();
		span_write(&span, model->owner);
		SPI_cursor_fetch(portal, true, BATCH);
		span_end(&span);
		if (SPI_processed == 0)
			break;
		result = SPI_tuptable;
		run = start_quiet_run(model, clock);
		run->rewind = rewind;
		run->no_lock = sync;
		if (tally != NULL)
			run->tally = tally;
		old = MemoryContextSwitchTo(run->context);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			bool		isnull;
			Datum		contact = query_value(i, 1, &isnull);

			if (sync)
				sync_company(run, contact, i);
			(void) run_add_contact(run, CONTACT_REBUILT, contact);
			count++;
		}
		MemoryContextSwitchTo(old);
		run_finish(run);
		SPI_freetuptable(result);
	}
	SPI_cursor_close(portal);
	return count;
}

/*
 * refresh_at: compute everything anew at an instant; DT_NOEND for the
 * model's clock.  Takes the locks of decide.c on all contacts.
 */
int64
refresh_at(Model *model, TimestampTz clock, bool rewind, Tally *tally)
{
	int64		count;

	SPI_connect();
	count = refresh_contacts(model, clock, rewind, false, tally);
	SPI_finish();
	return count;
}

/*
 * refresh_all: the same at the model's clock.
 */
int64
refresh_all(Model *model)
{
	return refresh_at(model, DT_NOEND, false, NULL);
}

/*
 * refresh_take_in: evaluate these segments for all contacts; NIL takes in the
 * whole model.  The caller holds the locks of lifecycle.lock_model.
 */
void
refresh_take_in(Model *model, List *segments)
{
	SPI_connect();
	if (segments != NIL)
		refresh_segments(model, segments);
	else
		(void) refresh_contacts(model, DT_NOEND, false, true, NULL);
	SPI_finish();
}

/*
 * refresh_is_member: is the contact in the segment, evaluated now?  Nothing
 * is written or locked.  `text` is the contact's key for messages.
 */
bool
refresh_is_member(Model *model, Datum contact, const char *text, int segment)
{
	Run		   *run = run_start(model);
	bool		result;

	run->clock = run_clock(model);
	result = decide_is_member(run, contact, text, segment);
	run_finish(run);
	return result;
}
