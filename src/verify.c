/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  The proof: stored states against a recomputation from the events.
 *
 * All segments are evaluated for all contacts from the rows and the events
 * alone, a number of them at a time by one statement (scan_contacts), and
 * compared with the packed state: membership, the counts, truths and totals
 * of atoms, and the due time.  One snapshot serves for everything, so writers
 * need not be kept away.
 *
 * A predicate that raises an error for a contact does not hold for it, and
 * what cannot be computed is not compared.  The scan counts on there being no
 * error; if there is one, all is done once more, with a subtransaction for
 * each evaluation.
 *
 * A contact that is due is not wrong but late: lifecycle_status shows how
 * late, and its windows are not compared.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

#include "evaluate.h"
#include "member.h"
#include "scan.h"
#include "score.h"
#include "total.h"

PG_FUNCTION_INFO_V1(verify_contacts);
PG_FUNCTION_INFO_V1(state_segments);
PG_FUNCTION_INFO_V1(rebuild_tables);

/* What a verification hands to the batches. */
typedef struct VerifyArg
{
	ContactScan scan;
	Run		   *run;
	List	   *segments;		/* of Segment *, those of this scan */
	List	   *atoms;			/* of Atom *, those of this scan */
	bool		first;			/* compare what is not of one segment */
	bool		may_fail;		/* count on errors */
	ReturnSetInfo *result;
	Snapshot	snapshot;
} VerifyArg;

static void
differ(VerifyArg *arg, Datum contact, const char *what, const char *name,
	   const char *stored, const char *computed)
{
	Datum		values[5];
	bool		nulls[5] = {false};

	values[0] = CStringGetTextDatum(what);
	values[1] = CStringGetTextDatum(key_to_text(&arg->scan.model->contact_key,
												contact));
	nulls[2] = name == NULL;
	values[2] = TEXT_OR_NULL(name);
	nulls[3] = stored == NULL;
	values[3] = TEXT_OR_NULL(stored);
	nulls[4] = computed == NULL;
	values[4] = TEXT_OR_NULL(computed);
	tuplestore_putvalues(arg->result->setResult, arg->result->setDesc, values,
						 nulls);
}

/*
 * Is the total that the state keeps the one of the events?
 */
static void
verify_total(VerifyArg *arg, Work *work, const Atom *atom,
			 const AtomState *entry, const AtomValue *value)
{
	AtomState	none = {0};
	AtomState	computed = {0};

	if (entry == NULL)
		entry = &none;
	if (total_store(atom, &computed, value) &&
		entry->count == computed.count &&
		state_same_sum(entry->sum, computed.sum))
		return;
	differ(arg, work->contact, "atom", atom->spec->definition,
		   total_text(atom, entry->count, entry->sum),
		   total_text(atom, computed.count, computed.sum));
}

/*
 * Is what the state says of an atom what the events say, and will it be
 * looked at in time?
 */
static void
verify_atom(VerifyArg *arg, Work *work, Atom *atom, AtomValue value)
{
	AtomState  *entry = state_atom(work->state, atom->id);
	int64		computed;
	int64		stored = entry != NULL ? entry->count : 0;
	TimestampTz due = entry != NULL ? entry->due : NOT_DUE;

	if (!atom_is_kept(atom))
		return;
	if (entry == NULL ? atom->id > work->state->known :
		entry->unknown || due <= arg->scan.clock)
		return;					/* will be looked up */

	/*
	 * Kept lazily, it may come too early, but not too late.  An event that is
	 * still to come does not end a window that is true.
	 */
	if (due > value.next &&
		!(atom->method == METHOD_WINDOW &&
		  DatumGetInt64(value.value) >= atom->spec->times &&
		  value.next == value.arrives))
		differ(arg, work->contact, "due time", atom->spec->definition,
			   pstrdup(timestamptz_to_str(due)),
			   pstrdup(timestamptz_to_str(value.next)));
	if (atom->method == METHOD_TOTAL)
	{
		verify_total(arg, work, atom, entry, &value);
		return;
	}
	computed = DatumGetInt64(value.value);
	if (atom->method == METHOD_WINDOW)
		computed = computed >= atom->spec->times ? 1 : 0;
	if (stored != computed)
		differ(arg, work->contact, "atom", atom->spec->definition,
			   psprintf(INT64_FORMAT, stored),
			   psprintf(INT64_FORMAT, computed));
}

/* A score that is compared with its column. */
typedef struct ScoreArg
{
	VerifyArg  *arg;
	Work	   *work;
	Segment    *score;
} ScoreArg;

static void
compare_score(void *task)
{
	ScoreArg   *it = task;
	Work	   *work = it->work;
	Run		   *run = it->arg->run;
	bool		isnull;
	Datum		points = evaluate_expression(run, work, it->score->expression,
											 &isnull);

	work->scores = NIL;
	score_compare(run, work, it->score, points);
	if (work->scores != NIL)
		differ(it->arg, work->contact, "score", it->score->name,
			   score_column_text(run, work, it->score),
			   DatumGetCString(DirectFunctionCall1(numeric_out, points)));
}

/*
 * Is the score what its column says?  With an error, the column stays as it
 * is.
 */
static void
verify_score(VerifyArg *arg, Work *work, Segment *score)
{
	ScoreArg	task = {arg, work, score};
	ErrorData  *error;

	if (score->expression == NULL)
		return;
	if (arg->may_fail)
		(void) run_try(compare_score, &task, &error);
	else
		compare_score(&task);
}

/*
 * Is the contact in the segments that it should be in?
 */
static void
verify_segments(VerifyArg *arg, Work *work)
{
	ListCell   *cell;

	evaluate_rows(arg->run, work);
	foreach(cell, arg->segments)
	{
		Segment    *segment = lfirst(cell);
		bool		stored = state_in_segment(work->state, segment->id);
		bool		holds;

		if (segment->column != NULL)
		{
			verify_score(arg, work, segment);
			continue;
		}
		holds = segment->expression != NULL &&
			evaluate_holds(arg->run, work, segment->expression,
						   arg->may_fail);
		if (holds != stored)
			differ(arg, work->contact, "membership", segment->name,
				   stored ? "member" : "not a member",
				   holds ? "member" : "not a member");
	}
}

/* An atom that is computed for one contact and may fail. */
typedef struct AtomArg
{
	VerifyArg  *verify;
	Work	   *work;
	Atom	   *atom;
	AtomValue	value;
} AtomArg;

static void
compute_atom(void *arg)
{
	AtomArg    *task = arg;

	atom_scan(task->verify->scan.model, task->atom, &task->work->contact, 1,
			  &task->verify->scan.clock, task->verify->snapshot,
			  &task->value);
}

/*
 * The atoms of a contact one by one, those that can be computed.
 */
static List *
compute_atoms(VerifyArg *arg, Work *work)
{
	List	   *values = NIL;
	ListCell   *cell;

	foreach(cell, arg->atoms)
	{
		AtomArg		task = {arg, work, lfirst(cell)};
		WorkValue  *known = palloc(sizeof(WorkValue));
		ErrorData  *error;

		if (!run_try(compute_atom, &task, &error))
			continue;
		known->atom = task.atom;
		known->value = task.value;
		values = lappend(values, known);
	}
	return values;
}

static void
verify_row(VerifyArg *arg, StateReader *reader, int row)
{
	ContactScan *scan = &arg->scan;
	Work		work = {0};
	bool		isnull;
	Datum		value;
	ListCell   *cell;

	work.contact = scan_value(scan, row, 1, &isnull);
	work.found = true;
	work.state = state_read(reader, work.contact);
	if (work.state == NULL || work.state->orphan)
	{
		if (arg->first)
			differ(arg, work.contact, "state", NULL,
				   work.state == NULL ? "none" : "orphan", "one");
		return;
	}
	if (arg->first)
	{
		TimestampTz due = work.state->due;

		state_set_due(work.state);
		if (work.state->due != due)
			differ(arg, work.contact, "due time", NULL,
				   pstrdup(timestamptz_to_str(due)),
				   pstrdup(timestamptz_to_str(work.state->due)));
	}
	value = scan_value(scan, row, 2, &isnull);
	work.row = run_copy_row(value);
	value = scan_value(scan, row, 3, &isnull);
	if (!isnull)
		work.company_row = run_copy_row(value);
	work.values = arg->may_fail ? compute_atoms(arg, &work) :
		scan_atoms(scan, row);
	foreach(cell, work.values)
	{
		WorkValue  *known = lfirst(cell);

		verify_atom(arg, &work, known->atom, known->value);
	}
	if (work.state->due > scan->clock)
		verify_segments(arg, &work);
}

static void
verify_batch(ContactScan *scan)
{
	VerifyArg  *arg = (VerifyArg *) scan;
	StateReader *reader = state_begin_read_at(scan->model, arg->snapshot);
	UserSpan	span;

	span_read(&span, scan->model->table[CONTACTS].owner);
	for (int i = 0; i < scan->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		verify_row(arg, reader, i);
	}
	span_end(&span);
	state_end_read(reader);
}

/*
 * Compare the segments gathered so far.
 */
static void
verify_gathered(VerifyArg *arg)
{
	ListCell   *cell;

	arg->scan.natoms = 0;
	arg->scan.atoms = palloc((list_length(arg->atoms) + 1) * sizeof(Atom *));
	if (!arg->may_fail)
	{
		foreach(cell, arg->atoms)
			arg->scan.atoms[arg->scan.natoms++] = lfirst(cell);
	}
	scan_contacts(&arg->scan);
	arg->first = false;
	arg->segments = arg->atoms = NIL;
}

/*
 * A segment joins the others of the next scan.
 */
static void
gather_segment(VerifyArg *arg, Segment *segment)
{
	for (int i = 0; segment->expression != NULL && i < segment->natoms; i++)
	{
		Atom	   *atom = segment->expression->atoms[i];

		if (atom_is_scanned(atom) &&
			list_length(arg->atoms) < MAX_JOINED_ATOMS)
			arg->atoms = list_append_unique_ptr(arg->atoms, atom);
	}
	arg->segments = lappend(arg->segments, segment);
}

/* A segment whose text may not compile any more. */
typedef struct SegmentArg
{
	Model	   *model;
	Segment    *segment;
} SegmentArg;

static void
compile_segment(void *arg)
{
	SegmentArg *task = arg;

	network_compile_segment(task->model, task->segment);
}

/*
 * Compare all segments, a number of them at a time.
 */
static void
verify_all(void *argument)
{
	VerifyArg  *arg = argument;
	Model	   *model = arg->scan.model;
	ListCell   *cell;

	arg->first = true;
	arg->segments = arg->atoms = NIL;
	foreach(cell, network_all_segments(model))
	{
		SegmentArg	task = {model, network_segment(model, lfirst_int(cell))};
		ErrorData  *error;

		if (task.segment->expression == NULL)
			(void) run_try(compile_segment, &task, &error);
		gather_segment(arg, task.segment);
		if (list_length(arg->atoms) >= MAX_JOINED_ATOMS / 4)
			verify_gathered(arg);
	}
	if (arg->first || arg->segments != NIL)
		verify_gathered(arg);
}

/*
 * verify_contacts(model text): what, contact, name, stored, computed for each
 * difference; none is the proof.
 *
 * Takes no lock on rows.  Raises 42501 unless the caller owns the model.
 */
Datum
verify_contacts(PG_FUNCTION_ARGS)
{
	VerifyArg	arg = {{0}};
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	ErrorData  *error;

	compat_init_result(fcinfo);
	model_check_owner(model);
	SPI_connect();
	arg.run = run_start(model);
	arg.result = (ReturnSetInfo *) fcinfo->resultinfo;
	arg.scan.model = model;
	arg.scan.clock = arg.run->clock = model->clock_by_tick ?
		run_clock(model) : GetCurrentTimestamp();
	arg.run->clock_given = true;
	arg.scan.rows = true;
	arg.scan.work = verify_batch;
	arg.snapshot = arg.scan.snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (!run_try(verify_all, &arg, &error))
	{
		arg.may_fail = true;
		tuplestore_clear(arg.result->setResult);
		verify_all(&arg);
	}
	UnregisterSnapshot(arg.snapshot);
	evaluate_end(arg.run);
	run_finish(arg.run);
	SPI_finish();
	return (Datum) 0;
}

/*
 * state_segments(state bytea): the numbers of the segments that a packed
 * state says the contact is in; none if the contact has not arrived yet.  Raises
 * XX001 if it is damaged.
 */
Datum
state_segments(PG_FUNCTION_ARGS)
{
	PackedState packed = {0};
	StateRow   *row;
	Datum	   *ids;

	state_open(&packed, PG_GETARG_BYTEA_PP(0));
	row = state_unpack(&packed);
	ids = palloc((row->nsegments + 1) * sizeof(Datum));
	for (int i = 0; i < row->nsegments; i++)
		ids[i] = Int32GetDatum(row->segments[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(ids, row->nsegments, INT4OID, 4,
										  true, TYPALIGN_INT));
}

/*
 * The numbers per stage of contacts or companies, counted anew.
 */
static void
count_stages(Model *model, TableKind kind)
{
	AppTable   *table = &model->table[kind];
	const char *object = kind == CONTACTS ? "contact" : "company";

	if (!OidIsValid(table->relid))
		return;
	query_once(psprintf("DELETE FROM %s.stage_count"
						" WHERE object OPERATOR(pg_catalog.=) '%s'",
						model->schema, object), 0, NULL, NULL, NULL);
	query_once(psprintf("INSERT INTO %1$s.stage_count (object, stage, number)"
						" SELECT '%2$s', t.%3$s::pg_catalog.text, pg_catalog.count(*)"
						" FROM %4$s AS t WHERE t.%3$s IS NOT NULL GROUP BY 2",
						model->schema, object,
						table->column[ROLE_STAGE].quoted, table->name),
			   0, NULL, NULL, NULL);
}

/*
 * Forget the states of contacts that are gone, as if they were deleted now.
 * The caller is connected to SPI.
 */
static void
forget_gone(Model *model)
{
	AppTable   *contacts = &model->table[CONTACTS];
	Run		   *run = run_start(model);
	MemoryContext old = MemoryContextSwitchTo(run->context);
	uint64		rows;
	Datum	   *gone;

	run->clock = run_clock(model);
	rows = query_once(psprintf("SELECT s.contact FROM %s.contact_state AS s"
							   " WHERE pg_catalog.get_byte(s.state, 1)"
							   " OPERATOR(pg_catalog.&) 1 OPERATOR(pg_catalog.=) 0"
							   " AND NOT EXISTS (SELECT FROM %s AS c"
							   " WHERE c.%s OPERATOR(pg_catalog.=) s.contact)",
							   model->schema, contacts->name,
							   contacts->column[ROLE_KEY].quoted),
					  0, NULL, NULL, NULL);
	MemoryContextSwitchTo(run->context);
	gone = MemoryContextAllocHuge(run->context,
								  mul_size(rows + 1, sizeof(Datum)));
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;

		gone[i] = run_copy_key(run, &model->contact_key,
							   query_value(i, 1, &isnull));
	}
	record_forget_contacts(run, gone, (int) rows);
	MemoryContextSwitchTo(old);
	run_finish(run);
}

/*
 * rebuild_tables(model text): no states of contacts that are gone, members as
 * the packed states say, and numbers per stage as the rows do.
 *
 * The caller holds the locks of lifecycle.lock_model.  The statements run
 * here and not in PL/pgSQL because they must see what was committed before
 * the locks were granted, which under REPEATABLE READ a function's own
 * statements do not.  Raises 42501 unless the caller owns the model.
 */
Datum
rebuild_tables(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	UserSpan	span;

	model_check_owner(model);
	SPI_connect();
	span_write(&span, model->owner);
	forget_gone(model);
	member_rebuild(model);
	count_stages(model, CONTACTS);
	count_stages(model, COMPANIES);
	span_end(&span);
	SPI_finish();
	PG_RETURN_VOID();
}
