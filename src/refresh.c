/*-------------------------------------------------------------------------
 *
 * refresh.c
 *	  Segments of all contacts at once, from the events.
 *
 * When a segment is added or altered, its atoms are computed for all
 * contacts by one statement: contacts left-joined with one aggregation of
 * events per atom.  The rows are streamed through a cursor and evaluated in
 * batches.  The caller (lifecycle.lock_model) holds SHARE ROW EXCLUSIVE locks
 * on the application tables, so nobody changes a contact meanwhile and rows
 * are not locked one by one.  The cursor's snapshot is taken after the locks,
 * and the clock is that instant: nobody has events of a later one.
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
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

#include "evaluate.h"
#include "meaning.h"
#include "member.h"
#include "refresh.h"

#define BATCH 5000

/*
 * Open a cursor on a snapshot; NULL for the newest, our own changes included.
 */
static Portal
open_cursor(const char *sql, int nargs, Oid *types, Datum *values,
			Snapshot snapshot)
{
	Portal		portal;

	CommandCounterIncrement();
	PushActiveSnapshot(snapshot != NULL ? snapshot : GetLatestSnapshot());
	portal = SPI_cursor_open_with_args(NULL, sql, nargs, types, values, NULL,
									   true, 0);
	PopActiveSnapshot();
	return portal;
}

/*
 * What is the model's own may not be readable by the owner of contacts, and
 * is not joined but read for each batch.
 */
static bool
is_joined(const Atom *atom)
{
	return atom->spec->kind != ATOM_TIME_IN_STAGE;
}

/* A contact of the batch, to be sorted by key. */
typedef struct BatchContact
{
	Datum		contact;
	int			row;
} BatchContact;

static int
compare_contacts(const void *a, const void *b, void *key)
{
	return key_compare(key, ((const BatchContact *) a)->contact,
					   ((const BatchContact *) b)->contact);
}

/*
 * The values of an atom that was not joined, by row of the batch.
 */
static AtomValue *
scan_batch_atom(ContactScan *scan, Atom *atom)
{
	KeyType    *key = &scan->model->contact_key;
	BatchContact *batch = palloc(scan->count * sizeof(BatchContact));
	Datum	   *contacts = palloc(scan->count * sizeof(Datum));
	TimestampTz *clocks = palloc(scan->count * sizeof(TimestampTz));
	AtomValue  *sorted = palloc(scan->count * sizeof(AtomValue));
	AtomValue  *values = palloc(scan->count * sizeof(AtomValue));

	for (int i = 0; i < scan->count; i++)
	{
		bool		isnull;

		batch[i].contact = refresh_value(scan, i, 1, &isnull);
		batch[i].row = i;
	}
	qsort_arg(batch, scan->count, sizeof(BatchContact), compare_contacts, key);
	for (int i = 0; i < scan->count; i++)
	{
		contacts[i] = batch[i].contact;
		clocks[i] = scan->clock;
	}
	atom_scan(scan->model, atom, contacts, scan->count, clocks,
			  scan->snapshot, sorted);
	for (int i = 0; i < scan->count; i++)
		values[batch[i].row] = sorted[i];
	return values;
}

static void
scan_batch_atoms(ContactScan *scan)
{
	scan->values = palloc0((scan->natoms + 1) * sizeof(AtomValue *));
	for (int i = 0; i < scan->natoms; i++)
		if (!is_joined(scan->atoms[i]))
			scan->values[i] = scan_batch_atom(scan, scan->atoms[i]);
}

/*
 * The rows of a scan: contacts left-joined with their atoms; or if only
 * contacts with events matter, the atoms joined with one another and then
 * with the contacts.
 */
static void
append_from(StringInfo sql, ContactScan *scan, bool company)
{
	Model	   *model = scan->model;
	AppTable   *contacts = &model->table[CONTACTS];
	AppTable   *companies = &model->table[COMPANIES];
	const char *key = psprintf("c.%s", contacts->column[ROLE_KEY].quoted);
	StringInfoData found;

	initStringInfo(&found);
	if (!scan->events_only)
		appendStringInfo(sql, " FROM %s AS c", contacts->name);
	for (int i = 0; i < scan->natoms; i++)
	{
		if (!is_joined(scan->atoms[i]))
			continue;
		appendStringInfo(sql, "%s(%s) AS a%d",
						 !scan->events_only ? " LEFT JOIN " :
						 i > 0 ? " FULL JOIN " : " FROM ",
						 meaning_sql(model, scan->atoms[i]->spec, true,
									 MEANING_PARAMS * i + 1), i);
		if (!scan->events_only)
			appendStringInfo(sql, " ON a%d.contact OPERATOR(pg_catalog.=) %s",
							 i, key);
		else if (i > 0)
			appendStringInfo(sql, " ON a%d.contact OPERATOR(pg_catalog.=)"
							 " COALESCE(%s)", i, found.data);
		appendStringInfo(&found, "%sa%d.contact", i > 0 ? ", " : "", i);
	}
	if (scan->events_only)
		appendStringInfo(sql, " JOIN %s AS c ON %s OPERATOR(pg_catalog.=)"
						 " COALESCE(%s)", contacts->name, key, found.data);
	if (company)
		appendStringInfo(sql, " LEFT JOIN %s AS co"
						 " ON co.%s OPERATOR(pg_catalog.=) c.%s",
						 companies->name, companies->column[ROLE_KEY].quoted,
						 contacts->column[ROLE_COMPANY].quoted);
}

/*
 * refresh_scan: hand the values of some atoms for all contacts to a
 * function, batch by batch.
 *
 * `rows` adds the contact's and its company's rows.  The function is called
 * with the current context being one that is reset after each call; it finds
 * the batch in the ContactScan.  Atoms must be of the model's events.
 */
void
refresh_scan(ContactScan *scan)
{
	Model	   *model = scan->model;
	AppTable   *contacts = &model->table[CONTACTS];
	bool		company = scan->rows &&
		OidIsValid(model->table[COMPANIES].relid) &&
		contacts->column[ROLE_COMPANY].attno != 0;
	StringInfoData sql;
	int			nparams = MEANING_PARAMS * scan->natoms;
	Oid		   *types = palloc((nparams + 1) * sizeof(Oid));
	Datum	   *values = palloc((nparams + 1) * sizeof(Datum));
	Portal		portal;
	int			level;
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext,
												"lifecycle scan",
												ALLOCSET_DEFAULT_SIZES);
	UserSpan	span;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT c.%s%s%s",
					 contacts->column[ROLE_KEY].quoted,
					 scan->rows ? ", c" : ", NULL",
					 company ? ", co" : ", NULL");
	if (scan->member_of != 0)
		appendStringInfo(&sql, ", c.%s OPERATOR(pg_catalog.=) ANY (SELECT m.contact"
						 " FROM %s.membership AS m"
						 " WHERE m.segment_id OPERATOR(pg_catalog.=) %d)",
						 contacts->column[ROLE_KEY].quoted, model->schema,
						 scan->member_of);
	else
		appendStringInfoString(&sql, ", NULL::pg_catalog.bool");
	for (int i = 0; i < scan->natoms; i++)
	{
		if (is_joined(scan->atoms[i]))
			appendStringInfo(&sql, ", a%d.value, a%d.turns, a%d.arrives", i, i, i);
		else
			appendStringInfoString(&sql, ", NULL, NULL, NULL");
		meaning_params(model, scan->atoms[i]->spec, scan->clock,
					   types + MEANING_PARAMS * i,
					   values + MEANING_PARAMS * i);
	}
	append_from(&sql, scan, company);

	span_read(&span, contacts->owner);
	level = path_pin();
	portal = open_cursor(sql.data, nparams, types, values, scan->snapshot);
	for (;;)
	{
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, BATCH);
		scan->count = (int) SPI_processed;
		if (scan->count == 0)
			break;
		scan->result = SPI_tuptable;
		old = MemoryContextSwitchTo(batch);
		path_unpin(level);
		span_end(&span);
		scan_batch_atoms(scan);
		scan->work(scan);
		span_read(&span, contacts->owner);
		level = path_pin();
		MemoryContextSwitchTo(old);
		MemoryContextReset(batch);
		SPI_freetuptable(scan->result);
	}
	path_unpin(level);
	span_end(&span);
	SPI_cursor_close(portal);
	MemoryContextDelete(batch);
}

/*
 * refresh_value: a column of the row in work (from 0) of the batch.
 */
Datum
refresh_value(ContactScan *scan, int row, int column, bool *isnull)
{
	return SPI_getbinval(scan->result->vals[row], scan->result->tupdesc,
						 column, isnull);
}

/*
 * refresh_atoms: the values of the atoms for a row of the batch.
 */
List *
refresh_atoms(ContactScan *scan, int row)
{
	List	   *result = NIL;

	for (int i = 0; i < scan->natoms; i++)
	{
		WorkValue  *known = palloc(sizeof(WorkValue));
		SPITupleTable *outer = SPI_tuptable;

		SPI_tuptable = scan->result;
		known->atom = scan->atoms[i];
		known->value = scan->values[i] != NULL ? scan->values[i][row] :
			atom_read(scan->model, known->atom, row, 5 + 3 * i, scan->clock);
		SPI_tuptable = outer;
		result = lappend(result, known);
	}
	return result;
}

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

/*
 * Has the only segment members only among contacts that have events which its
 * atoms match?  Then all others need not be looked at.
 */
static bool
needs_events(SegmentsArg *arg)
{
	ContactScan *scan = &arg->scan;
	Model	   *model = scan->model;
	Work		work = {0};
	UserSpan	span;
	uint64		members;
	bool		holds;

	if (scan->rows || scan->natoms == 0)
		return false;
	for (int i = 0; i < scan->natoms; i++)
	{
		if (!is_joined(scan->atoms[i]))
			return false;
	}
	for (int i = 0; i < scan->natoms; i++)
	{
		WorkValue  *known = palloc(sizeof(WorkValue));

		known->atom = scan->atoms[i];
		known->value = atom_default(known->atom);
		work.values = lappend(work.values, known);
	}
	span_read(&span, model->table[CONTACTS].owner);
	holds = probe(arg, &work);
	span_end(&span);
	if (holds)
		return false;
	span_write(&span, model->owner);
	members = query_once(psprintf("SELECT FROM %s.membership"
								  " WHERE segment_id OPERATOR(pg_catalog.=) %d LIMIT 1",
								  model->schema, arg->only->id),
						 0, NULL, NULL, NULL);
	span_end(&span);
	return members == 0;
}

/*
 * Need the contact in this row be looked at?  Not if it is in the segment or
 * outside as it should be, and time alone changes nothing.  What the row
 * brings for the contact is in *values.
 */
static bool
row_matters(SegmentsArg *arg, int row, List **values)
{
	ContactScan *scan = &arg->scan;
	Work		work = {0};
	ListCell   *cell;
	bool		isnull;
	bool		is_member;
	Datum		value;

	*values = refresh_atoms(scan, row);
	if (arg->only == NULL)
		return true;
	foreach(cell, *values)
		if (((WorkValue *) lfirst(cell))->value.next != NOT_DUE)
			return true;
	is_member = DatumGetBool(refresh_value(scan, row, 4, &isnull)) && !isnull;
	value = refresh_value(scan, row, 2, &isnull);
	if (!isnull)
		work.row = run_copy_row(value);
	value = refresh_value(scan, row, 3, &isnull);
	if (!isnull)
		work.company_row = run_copy_row(value);
	work.contact = refresh_value(scan, row, 1, &isnull);
	work.values = list_copy(*values);
	if (probe(arg, &work) != is_member)
		return true;
	foreach(cell, work.values)	/* those of columns have come to it */
		if (((WorkValue *) lfirst(cell))->value.next != NOT_DUE)
			return true;
	return false;
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
	span_read(&span, scan->model->table[CONTACTS].owner);
	for (int i = 0; i < scan->count; i++)
	{
		List	   *values;
		bool		isnull;

		if (row_matters(arg, i, &values))
			run_add_contact(run, CONTACT_REBUILT,
							refresh_value(scan, i, 1, &isnull))->values = values;
	}
	span_end(&span);
	MemoryContextSwitchTo(old);
	run_finish(run);
}

/*
 * With one segment, contacts are evaluated before their states are touched.
 */
static void
refresh_try(void *task)
{
	SegmentsArg *arg = task;

	if (arg->only != NULL)
	{
		Predicate  *predicate = arg->only->expression->predicate;

		arg->scan.rows = predicate->contact_columns != NULL ||
			predicate->company_columns != NULL;
		arg->scan.events_only = needs_events(arg);
		if (!arg->scan.events_only)
			arg->scan.member_of = arg->only->id;
	}
	refresh_scan(&arg->scan);
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
		arg.scan.rows = false;
		arg.scan.events_only = false;
		arg.scan.member_of = 0;
		refresh_scan(&arg.scan);
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
	portal = open_cursor(psprintf("SELECT c.%1$s, c.%2$s::pg_catalog.text, %3$s"
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

/*
 * refresh_forget: a table was emptied by TRUNCATE.  What the model keeps of
 * its rows goes, the history stays and says so.
 */
void
refresh_forget(Model *model, TableKind kind)
{
	static const char *const histories[2][2] = {
		{"stage_history", "stage"}, {"lead_status_history", "status"}
	};
	const char *object = kind == CONTACTS ? "contact" : "company";
	UserSpan	span;

	SPI_connect();
	task_forget(model, kind, NULL, 0);
	if (kind == DEALS)
	{
		SPI_finish();
		return;
	}
	span_write(&span, model->owner);
	for (int i = 0; i < 2 && !model->deletes_history; i++)
		query_once(psprintf("INSERT INTO %1$s.%2$s (object, %4$s, from_%3$s, at, cause, reason, role)"
							" SELECT '%4$s', h.%4$s, h.to_%3$s, pg_catalog.now(), 'update',"
							" 'truncated', SESSION_USER"
							" FROM (SELECT DISTINCT ON (%4$s) * FROM %1$s.%2$s"
							" WHERE object OPERATOR(pg_catalog.=) '%4$s'"
							" ORDER BY %4$s, id DESC) AS h"
							" WHERE h.to_%3$s IS NOT NULL",
							model->schema, histories[i][0], histories[i][1],
							object), 0, NULL, NULL, NULL);

	/* Not while a tick sums up: its sums would stay. */
	query_once(psprintf("LOCK TABLE %s.stage_count IN SHARE ROW EXCLUSIVE MODE",
						model->schema), 0, NULL, NULL, NULL);
	if (kind == CONTACTS)
	{
		member_forget_all(model);
		query_once(psprintf("TRUNCATE %1$s.contact_state, %1$s.identity",
							model->schema), 0, NULL, NULL, NULL);
	}
	query_once(psprintf("DELETE FROM %s.stage_count"
						" WHERE object OPERATOR(pg_catalog.=) '%s'",
						model->schema, object), 0, NULL, NULL, NULL);
	span_end(&span);
	record_forget_history(model, kind, 0);
	SPI_finish();
	if (kind == COMPANIES)
		(void) refresh_all(model);
}
