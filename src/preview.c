/*-------------------------------------------------------------------------
 *
 * preview.c
 *	  Whom a predicate would hold for, now or at instants of the past.
 *
 * The predicate is evaluated for all contacts by the same set-based scan that
 * takes in a new segment (scan.c); nothing is saved or locked, so that
 * writers need not be kept away.  What an instant's scan sees is the newest
 * snapshot when it begins.
 *
 * A backtest hands the instant to the scan as its clock: events dated later
 * do not count yet, windows end there.  Segments that the predicate names
 * are evaluated at that instant too, those they depend on first, whereas a
 * preview takes them as they are recorded.  Rows of contacts, companies and
 * deals are those of today: only events say when they were.
 *
 * A predicate that raises an error for a contact does not hold for it.  The
 * scan counts on there being none; if there is, it is made once more with a
 * subtransaction for each evaluation.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "evaluate.h"
#include "scan.h"

PG_FUNCTION_INFO_V1(lifecycle_preview);
PG_FUNCTION_INFO_V1(backtest);

/* A predicate that is looked at.  The batches get it by its first member. */
typedef struct Look
{
	ContactScan scan;
	Run		   *run;
	Expression *expression;
	List	   *atoms;			/* of Atom *, computed by the scan */
	bool		names_segments;
	List	   *segments;		/* of Segment *, evaluated at the instant, each
								 * after those that it names */
	ReturnSetInfo *result;
	bool		may_fail;		/* count on errors */
	bool		counted;		/* not the keys are wanted, but the number */
	int64		members;
} Look;

/*
 * Atoms of an expression that are computed by the scan, and with
 * `by_instant` the segments that it names, with their atoms.
 */
static void
add_parts(Look *look, Expression *expression, bool by_instant)
{
	Model	   *model = look->scan.model;

	check_stack_depth();
	for (int i = 0; i < list_length(expression->predicate->atoms); i++)
	{
		Atom	   *atom = expression->atoms[i];
		Segment    *segment;

		if (atom_is_scanned(atom))
			look->atoms = list_append_unique_ptr(look->atoms, atom);
		if (atom->method != METHOD_SEGMENT)
			continue;
		look->names_segments = true;
		segment = network_segment(model, atom->segment_id);
		if (!by_instant || list_member_ptr(look->segments, segment))
			continue;
		if (segment->expression == NULL)
			network_compile_segment(model, segment);
		add_parts(look, segment->expression, true);
		look->segments = list_append_unique_ptr(look->segments, segment);
	}
}

static void
look_at_row(Look *look, int row, StateReader *reader)
{
	ContactScan *scan = &look->scan;
	Work		work = {0};
	bool		isnull;
	Datum		value;
	ListCell   *cell;

	work.contact = scan_value(scan, row, 1, &isnull);
	work.found = true;
	work.row = run_copy_row(scan_value(scan, row, 2, &isnull));
	value = scan_value(scan, row, 3, &isnull);
	if (!isnull)
		work.company_row = run_copy_row(value);
	work.values = scan_atoms(scan, row);
	if (reader != NULL)
		work.state = state_read(reader, work.contact);
	if (work.state == NULL)
		work.state = state_new(0);
	evaluate_rows(look->run, &work);
	foreach(cell, look->segments)
	{
		Segment    *segment = lfirst(cell);

		state_set_segment(work.state, segment->id,
						  evaluate_holds(look->run, &work,
										 segment->expression,
										 look->may_fail));
	}
	if (!evaluate_holds(look->run, &work, look->expression, look->may_fail))
		return;
	look->members++;
	if (!look->counted)
	{
		char	   *key = key_to_text(&scan->model->contact_key, work.contact);
		bool		nulls = false;

		value = CStringGetTextDatum(key);
		tuplestore_putvalues(look->result->setResult, look->result->setDesc,
							 &value, &nulls);
	}
}

static void
look_at_batch(ContactScan *scan)
{
	Look	   *look = (Look *) scan;
	Model	   *model = scan->model;
	StateReader *reader = look->names_segments && look->segments == NIL ?
		state_begin_read(model) : NULL;
	UserSpan	span;

	span_read(&span, model->table[CONTACTS].owner);
	for (int i = 0; i < scan->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		look_at_row(look, i, reader);
	}
	span_end(&span);
	if (reader != NULL)
		state_end_read(reader);
	MemoryContextReset(look->run->round_context);
}

/*
 * Compile the predicate, as the owner of contacts, and set up the scan.
 */
static void
look_begin(Look *look, Model *model, const char *source, bool by_instant)
{
	UserSpan	span;
	ListCell   *cell;

	model_check_owner(model);
	look->scan.model = model;
	look->run = run_start(model);
	look->run->clock_given = by_instant;
	span_read(&span, model->table[CONTACTS].owner);
	look->expression = network_compile_once(model, source);
	add_parts(look, look->expression, by_instant);
	span_end(&span);
	look->scan.atoms = palloc((list_length(look->atoms) + 1) * sizeof(Atom *));
	if (list_length(look->atoms) <= MAX_JOINED_ATOMS)
	{
		foreach(cell, look->atoms)
			look->scan.atoms[look->scan.natoms++] = lfirst(cell);
	}
	look->scan.rows = true;
	look->scan.work = look_at_batch;
}

static void
look_try(void *arg)
{
	scan_contacts(arg);
}

/*
 * Who is it at this instant?  Nothing else may be in the result yet, unless
 * only the number is wanted.
 */
static void
look_at(Look *look, TimestampTz clock)
{
	ErrorData  *error;

	look->members = 0;
	look->scan.clock = look->run->clock = clock;
	if (look->may_fail)
		scan_contacts(&look->scan);
	else if (!run_try(look_try, &look->scan, &error))
	{
		look->may_fail = true;
		look->scan.natoms = 0;	/* each is asked for by its contact */
		if (!look->counted)
			tuplestore_clear(look->result->setResult);
		look_at(look, clock);
	}
}

static void
look_end(Look *look)
{
	evaluate_end(look->run);
	run_finish(look->run);
	network_forget(look->expression);
}

/*
 * lifecycle_preview(model text, predicate text): the keys, as text, of the
 * contacts for which the predicate holds now; nothing is saved or locked.
 *
 * Raises 42501 unless the caller owns the model, and what the predicate
 * compiler and the predicate raise.
 */
Datum
lifecycle_preview(PG_FUNCTION_ARGS)
{
	Look		look = {{0}};
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	char	   *source = text_argument(fcinfo, 1, "predicate");

	compat_init_result(fcinfo);
	look.result = (ReturnSetInfo *) fcinfo->resultinfo;
	SPI_connect();
	look_begin(&look, model, source, false);
	look_at(&look, run_clock(model));
	look_end(&look);
	SPI_finish();
	return (Datum) 0;
}

/*
 * backtest(model text, predicate text, instants timestamptz[]): for each
 * instant, the number of contacts for which the predicate holds then: at,
 * members.
 *
 * Saves and locks nothing.  Raises 42501 unless the caller owns the model,
 * and what the predicate compiler and the predicate raise.
 */
Datum
backtest(PG_FUNCTION_ARGS)
{
	Look		look = {{0}};
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	char	   *source = text_argument(fcinfo, 1, "predicate");
	Datum	   *instants;
	bool	   *instant_nulls;
	int			count;

	compat_init_result(fcinfo);
	look.result = (ReturnSetInfo *) fcinfo->resultinfo;
	look.counted = true;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TIMESTAMPTZOID,
					  sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &instants, &instant_nulls, &count);
	SPI_connect();
	look_begin(&look, model, source, true);
	for (int i = 0; i < count; i++)
	{
		Datum		values[2];
		bool		nulls[2] = {false};

		if (instant_nulls[i])
			continue;
		look_at(&look, DatumGetTimestampTz(instants[i]));
		values[0] = instants[i];
		values[1] = Int64GetDatum(look.members);
		tuplestore_putvalues(look.result->setResult, look.result->setDesc,
							 values, nulls);
	}
	look_end(&look);
	SPI_finish();
	return (Datum) 0;
}
