/*-------------------------------------------------------------------------
 *
 * score_api.c
 *	  Scores of contacts that SQL asks for.
 *
 * They are computed from the events up to the instant that is asked for, and
 * from the rows of contacts, companies and deals as they are: of columns
 * there is no history.  Nothing is locked or written.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rls.h"

#include "api.h"
#include "evaluate.h"
#include "lock.h"
#include "prepare.h"
#include "refresh.h"
#include "scan.h"
#include "score.h"

PG_FUNCTION_INFO_V1(lifecycle_score);
PG_FUNCTION_INFO_V1(lifecycle_why_score);
PG_FUNCTION_INFO_V1(scores);
PG_FUNCTION_INFO_V1(take_in_score);

/* A score of one contact at one instant. */
typedef struct Reading
{
	Model	   *model;
	TimestampTz at;
	ScoreSpec  *spec;
	PointsInput *inputs;		/* by rule */
} Reading;

/*
 * Make up the contact's part of a run.  Raises P0002 if there is no such
 * contact.
 */
static Work *
read_contact(Run *run, Datum contact, const char *text)
{
	StateReader *reader;
	StateRow   *state;
	Work	   *work;

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
	return work;
}

/*
 * The arguments (model, contact, score, at) that all functions have, and what
 * the contact has done for the score.  The caller is connected to SPI; the
 * inputs live in the run's context, which the caller ends.
 */
static Run *
read_score(FunctionCallInfo fcinfo, Reading *reading)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	char	   *key_text;
	Datum		contact = key_argument(fcinfo, 1, &model->contact_key,
									   "contact", &key_text);
	char	   *name = text_argument(fcinfo, 2, "score");
	Run		   *run;
	MemoryContext old;
	Expression *expression;
	Work	   *work;
	UserSpan	span;

	check_may_read(model);
	run = run_start(model);
	run->no_lock = true;
	run->clock = PG_ARGISNULL(3) ? run_clock(model) :
		PG_GETARG_TIMESTAMPTZ(3);
	run->clock_given = true;
	if (TIMESTAMP_NOT_FINITE(run->clock))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("instant of a score must be finite")));
	expression = score_expression(model, name);
	old = MemoryContextSwitchTo(run->round_context);
	work = read_contact(run, contact, key_text);
	span_read(&span, model->table[CONTACTS].owner);
	evaluate_rows(run, work);
	reading->spec = expression->scores[0]->spec;
	reading->inputs = score_inputs(run, work, expression->scores[0]);
	span_end(&span);
	reading->model = model;
	reading->at = run->clock;
	run->nworks = 0;
	MemoryContextSwitchTo(old);
	return run;
}

/*
 * lifecycle_score(model, contact, score, at): the contact's points at an
 * instant, now if null.
 *
 * Needs SELECT on contacts and events; raises 22023 for an unknown model or a
 * key of the wrong type, 42704 for an unknown score, P0002 for an unknown
 * contact, and what a rule of the score raises.
 */
Datum
lifecycle_score(PG_FUNCTION_ARGS)
{
	Reading		reading;
	Run		   *run;
	int64		total;
	MemoryContext old = CurrentMemoryContext;
	Numeric		result;

	SPI_connect();
	run = read_score(fcinfo, &reading);
	total = points_total(reading.spec, reading.inputs, reading.at);
	MemoryContextSwitchTo(old);
	result = score_numeric(reading.spec, total);
	evaluate_end(run);
	run_finish(run);
	SPI_finish();
	PG_RETURN_NUMERIC(result);
}

/*
 * Billionths as a number, without zeros at its end.
 */
static Datum
billionths_datum(int64 points)
{
	Numeric		number = int64_div_fast_to_numeric(points, POINTS_DIGITS);

	return DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(number));
}

static void
put_part(ReturnSetInfo *result, const char *part, const char *name,
		 const char *group, int64 number, Datum points, Datum counted)
{
	Datum		values[6];
	bool		nulls[6] = {false};

	values[0] = CStringGetTextDatum(part);
	values[1] = CStringGetTextDatum(name);
	values[2] = TEXT_OR_NULL(group);
	nulls[2] = group == NULL;
	values[3] = Int64GetDatum(number);
	nulls[3] = number < 0;
	values[4] = points;
	values[5] = counted;
	nulls[5] = counted == (Datum) 0;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
put_reading(ReturnSetInfo *result, const Reading *reading)
{
	const ScoreSpec *spec = reading->spec;
	int64	   *before = palloc((spec->ngroups + 1) * sizeof(int64));
	int64	   *after = palloc((spec->ngroups + 1) * sizeof(int64));
	int64		sum = 0;

	for (int i = 0; i < spec->nrules; i++)
	{
		const PointsRule *rule = &spec->rules[i];
		const PointsInput *input = &reading->inputs[i];

		put_part(result, "rule", rule->name, spec->groups[rule->group].name,
				 rule->decay == DECAY_NONE ? input->number : input->ntimes,
				 billionths_datum(points_of_rule(spec, reading->inputs, i,
												 reading->at)), (Datum) 0);
	}
	points_of_groups(spec, reading->inputs, reading->at, before, after);
	for (int i = 0; i < spec->ngroups; i++)
	{
		sum += after[i];
		if (spec->groups[i].name != NULL)
			put_part(result, "group", spec->groups[i].name, NULL, -1,
					 billionths_datum(before[i]), billionths_datum(after[i]));
	}
	put_part(result, "score", spec->name, NULL, -1, billionths_datum(sum),
			 NumericGetDatum(score_numeric(spec, points_total(spec,
															  reading->inputs,
															  reading->at))));
}

/*
 * lifecycle_why_score(model, contact, score, at): the parts of the contact's
 * score, one row a rule, a group and for the score.  Needs and raises as
 * lifecycle_score.
 */
Datum
lifecycle_why_score(PG_FUNCTION_ARGS)
{
	Reading		reading;
	Run		   *run;

	compat_init_result(fcinfo);
	SPI_connect();
	run = read_score(fcinfo, &reading);
	put_reading((ReturnSetInfo *) fcinfo->resultinfo, &reading);
	evaluate_end(run);
	run_finish(run);
	SPI_finish();
	return (Datum) 0;
}

/* What a reading of all contacts hands to the batches. */
typedef struct ScoresArg
{
	ContactScan scan;
	Run		   *run;
	Expression *expression;
	const char *name;
	bool		restricted;		/* the caller may see these contacts only: */
	int			nvisible;
	Datum	   *visible;		/* keys, sorted */
	ReturnSetInfo *result;
} ScoresArg;

/*
 * If row security applies to the caller: whom may he see?
 */
static void
read_visible(ScoresArg *arg)
{
	Model	   *model = arg->scan.model;
	AppTable   *table = &model->table[CONTACTS];
	MemoryContext outer = CurrentMemoryContext;
	uint64		rows;

	arg->restricted = check_enable_rls(table->relid, InvalidOid, true) ==
		RLS_ENABLED;
	if (!arg->restricted)
		return;
	rows = query_once(psprintf("SELECT c.%1$s FROM %2$s AS c ORDER BY c.%1$s",
							   table->column[ROLE_KEY].quoted, table->name),
					  0, NULL, NULL, NULL);
	MemoryContextSwitchTo(outer);
	arg->visible = MemoryContextAllocHuge(outer, mul_size(rows + 1,
														  sizeof(Datum)));
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;

		arg->visible[i] = key_copy(&model->contact_key,
								   query_value(i, 1, &isnull));
	}
	arg->nvisible = (int) rows;
	SPI_freetuptable(SPI_tuptable);
}

static bool
is_visible(ScoresArg *arg, Datum contact)
{
	int			low = 0;
	int			high = arg->nvisible - 1;

	while (arg->restricted && low <= high)
	{
		int			middle = (low + high) / 2;
		int			order = key_compare(&arg->scan.model->contact_key,
										arg->visible[middle], contact);

		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return !arg->restricted;
}

static void
scores_batch(ContactScan *scan)
{
	ScoresArg  *arg = (ScoresArg *) scan;
	Model	   *model = scan->model;
	const ScoreSpec *spec = arg->expression->scores[0]->spec;
	StateReader *reader = state_begin_read(model);
	UserSpan	span;

	span_read(&span, model->table[CONTACTS].owner);
	for (int i = 0; i < scan->count; i++)
	{
		Work		work = {0};
		bool		isnull;
		Datum		value;
		PointsInput *inputs;
		int64		total;
		Datum		values[3];
		bool		nulls[3] = {false};

		CHECK_FOR_INTERRUPTS();
		work.contact = scan_value(scan, i, 1, &isnull);
		if (!is_visible(arg, work.contact))
			continue;
		work.found = true;
		work.row = run_copy_row(scan_value(scan, i, 2, &isnull));
		value = scan_value(scan, i, 3, &isnull);
		if (!isnull)
			work.company_row = run_copy_row(value);
		work.values = scan_atoms(scan, i);
		work.state = state_read(reader, work.contact);
		if (work.state == NULL)
			work.state = state_new(0);
		evaluate_rows(arg->run, &work);
		values[0] = CStringGetTextDatum(key_to_text(&model->contact_key,
													work.contact));
		values[1] = CStringGetTextDatum(arg->name);
		/* when decay changes it, nobody asks here */
		inputs = score_inputs(arg->run, &work, arg->expression->scores[0]);
		total = points_total(spec, inputs, arg->run->clock);
		values[2] = NumericGetDatum(score_numeric(spec, total));
		tuplestore_putvalues(arg->result->setResult, arg->result->setDesc,
							 values, nulls);
	}
	span_end(&span);
	state_end_read(reader);
}

/*
 * Read one score of all contacts.
 */
static void
scan_score(ScoresArg *arg)
{
	ContactScan *scan = &arg->scan;
	int			natoms;

	arg->expression = score_expression(scan->model, arg->name);
	natoms = arg->expression->natoms;
	scan->natoms = 0;
	scan->atoms = palloc((natoms + 1) * sizeof(Atom *));
	for (int i = 0; i < natoms; i++)
		if (atom_is_scanned(arg->expression->atoms[i]))
			scan->atoms[scan->natoms++] = arg->expression->atoms[i];
	if (scan->natoms > MAX_JOINED_ATOMS)
		scan->natoms = 0;
	scan_contacts(scan);
}

/*
 * scores(model text): contact, score and points now, for all scores and those
 * contacts that row security lets the caller see.
 *
 * Nothing is locked or written.  Needs SELECT on contacts and events; raises
 * what a rule raises.
 */
Datum
scores(PG_FUNCTION_ARGS)
{
	ScoresArg	arg = {{0}};
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	List	   *names = NIL;
	ListCell   *cell;
	UserSpan	span;
	uint64		rows;

	compat_init_result(fcinfo);
	check_may_read(model);
	SPI_connect();
	arg.run = run_start(model);
	arg.result = (ReturnSetInfo *) fcinfo->resultinfo;
	arg.scan.model = model;
	arg.scan.clock = arg.run->clock = run_clock(model);
	arg.run->clock_given = true;
	arg.run->no_lock = true;
	arg.scan.rows = true;
	arg.scan.work = scores_batch;
	read_visible(&arg);
	span_write(&span, model->owner);
	rows = query_once(psprintf("SELECT name FROM %s.score_definition"
							   " ORDER BY name", model->schema),
					  0, NULL, NULL, NULL);
	span_end(&span);
	for (uint64 i = 0; i < rows; i++)
		names = lappend(names, query_text(i, 1));
	foreach(cell, names)
	{
		arg.name = lfirst(cell);
		scan_score(&arg);
	}
	evaluate_end(arg.run);
	run_finish(arg.run);
	SPI_finish();
	return (Datum) 0;
}

/*
 * take_in_score(model text, score text): write a score to its column, if it
 * has one, for all contacts.
 *
 * The caller holds the locks of lifecycle.lock_model.  Raises 42501 unless the
 * caller owns the model.
 */
Datum
take_in_score(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {PG_GETARG_DATUM(1)};
	List	   *ids = NIL;
	UserSpan	span;
	MemoryContext old;

	model_check_owner(model);
	model_use(model);
	SPI_connect();
	span_write(&span, model->owner);
	if (query_once(psprintf("SELECT id FROM %s.score_definition"
							" WHERE name OPERATOR(pg_catalog.=) $1"
							" AND column_name IS NOT NULL", model->schema),
				   1, types, values, NULL) > 0)
	{
		bool		isnull;

		old = MemoryContextSwitchTo(CurTransactionContext);
		ids = list_make1_int(DatumGetInt32(query_value(0, 1, &isnull)));
		MemoryContextSwitchTo(old);
	}
	span_end(&span);
	SPI_finish();
	if (ids != NIL)
		refresh_take_in(model, ids);
	model_release(model);
	PG_RETURN_VOID();
}
