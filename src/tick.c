/*-------------------------------------------------------------------------
 *
 * tick.c
 *	  Time passes: contacts that are due are looked at again.
 *
 * Each contact has one due time, the earliest instant at which time alone may
 * change one of its atoms, kept lazily: an event that would move it on is not
 * written down, the tick finds it.  lifecycle_tick takes the due contacts
 * through their instants (step.c); contacts that another session has locked,
 * a second ticker for one, are left to it (SKIP LOCKED), and contacts into
 * whose windows an event in flight may fall are left for the next time
 * (stripe.c).
 *
 * An instant before the one that the model stands at, as when old events are
 * replayed, computes everything anew at that instant.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "import.h"
#include "refresh.h"
#include "step.h"

PG_FUNCTION_INFO_V1(lifecycle_tick);
PG_FUNCTION_INFO_V1(lifecycle_take_deferred);
PG_FUNCTION_INFO_V1(replay_contacts);
PG_FUNCTION_INFO_V1(catch_up);
PG_FUNCTION_INFO_V1(take_in);

/*
 * Is the model at a later instant than this one?
 */
static bool
is_rewind(Model *model, TimestampTz at)
{
	Oid			types[1] = {TIMESTAMPTZOID};
	Datum		values[1] = {TimestampTzGetDatum(at)};

	if (query_once(psprintf("SELECT last_tick OPERATOR(pg_catalog.>) $1"
							" FROM %s.clock WHERE last_tick IS NOT NULL",
							model->schema), 1, types, values, NULL) > 0)
	{
		bool		isnull;
		bool		later = DatumGetBool(query_value(0, 1, &isnull));

		if (model->clock_by_tick)
			return later;

		/* A tick of the future is taken back by the next one of the present. */
		if (at >= GetCurrentTransactionStartTimestamp() && !later)
			return false;
	}
	else if (at >= GetCurrentTransactionStartTimestamp())
		return false;
	return query_once(psprintf("SELECT FROM %s.contact_state"
							   " WHERE clock OPERATOR(pg_catalog.>) $1 LIMIT 1",
							   model->schema), 1, types, values, NULL) > 0;
}

/*
 * Where predicates go by the model's clock, only one ticker at a time moves
 * it: the others wait here, before they look at where it stands.
 */
static void
lock_clock(Model *model)
{
	if (model->clock_by_tick)
		query_once(psprintf("SELECT FROM %s.clock FOR UPDATE", model->schema),
				   0, NULL, NULL, NULL);
}

/*
 * Put the model's clock to this instant.  A ticker that finds another one
 * doing so leaves it to that, unless the clock is what predicates go by: then
 * nobody else is, see lock_clock.
 */
static void
set_clock(Model *model, TimestampTz at)
{
	Oid			types[1] = {TIMESTAMPTZOID};
	Datum		values[1] = {TimestampTzGetDatum(at)};

	query_once(psprintf("UPDATE %1$s.clock SET last_tick = $1 WHERE ctid"
						" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT ctid FROM %1$s.clock"
						" WHERE last_tick IS DISTINCT FROM $1 FOR UPDATE SKIP LOCKED))",
						model->schema),
			   1, types, values, NULL);
}

/*
 * Sum up the deltas that the statements have left in stage_count, those that
 * nobody else is summing up.
 */
static void
sum_stage_counts(Model *model)
{
	query_once(psprintf("WITH gone AS (DELETE FROM %1$s.stage_count"
						" WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT ctid"
						" FROM %1$s.stage_count FOR UPDATE SKIP LOCKED))"
						" RETURNING object, stage, number)"
						" INSERT INTO %1$s.stage_count (object, stage, number)"
						" SELECT object, stage, pg_catalog.sum(number) FROM gone"
						" GROUP BY object, stage"
						" HAVING pg_catalog.sum(number) OPERATOR(pg_catalog.<>) 0",
						model->schema), 0, NULL, NULL, NULL);
}

/*
 * The contacts that are due, the longest due first.
 */
static DueContact *
due_contacts(Model *model, TimestampTz at, int64 limit, int *count)
{
	Oid			types[2] = {TIMESTAMPTZOID, INT8OID};
	Datum		values[2] = {TimestampTzGetDatum(at), Int64GetDatum(limit)};
	MemoryContext outer = CurrentMemoryContext;
	uint64		rows;
	DueContact *result;

	rows = query_once(psprintf("SELECT contact, due FROM %s.contact_state"
							   " WHERE due OPERATOR(pg_catalog.<=) $1"
							   " ORDER BY due LIMIT $2", model->schema),
					  2, types, values, limit < 0 ? " n" : "  ");
	MemoryContextSwitchTo(outer);
	result = MemoryContextAllocHuge(outer,
									mul_size(rows + 1, sizeof(DueContact)));
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;

		result[i].contact = key_copy(&model->contact_key,
									 query_value(i, 1, &isnull));
		result[i].due = DatumGetTimestampTz(query_value(i, 2, &isnull));
		result[i].again = result[i].afresh = false;
	}
	*count = (int) rows;
	return result;
}

/*
 * lifecycle_tick(model text, at timestamptz, max_contacts int)
 *
 * Brings contacts that are due at the instant up to it, at most so many.
 * Returns one row: contacts looked at, memberships entered and left, stages
 * moved, deals opened.  Locks those contacts that nobody else has locked.
 * Raises 42501 unless the caller owns the model.
 */
Datum
lifecycle_tick(PG_FUNCTION_ARGS)
{
	Model	   *model;
	TimestampTz at;
	int64		limit = PG_ARGISNULL(2) ? -1 : PG_GETARG_INT32(2);
	Tally		tally = {0};
	UserSpan	span;
	TupleDesc	desc;
	Datum		values[5];
	bool		nulls[5] = {false};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("model and instant must not be null")));
	if (!PG_ARGISNULL(2) && limit < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_contacts must not be negative")));
	model = model_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	at = PG_GETARG_TIMESTAMPTZ(1);
	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("instant of a tick must be finite")));
	model_check_owner(model);
	if (run_current(model) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("lifecycle_tick cannot be called by a trigger while model \"%s\" is being changed",
						model->name)));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	SPI_connect();
	model_use(model);
	span_write(&span, model->owner);
	lock_clock(model);
	if (is_rewind(model, at))
	{
		set_clock(model, at);
		(void) refresh_at(model, at, true, &tally);
	}
	else
	{
		int			count;
		DueContact *due;

		set_clock(model, at);
		due = due_contacts(model, at, limit, &count);
		step_contacts(model, due, count, at, NULL, true, &tally);
		import_take(model, limit, &tally);
	}
	sum_stage_counts(model);
	span_end(&span);
	model_release(model);
	SPI_finish();

	values[0] = Int64GetDatum(tally.contacts);
	values[1] = Int64GetDatum(tally.entered);
	values[2] = Int64GetDatum(tally.left);
	values[3] = Int64GetDatum(tally.stages);
	values[4] = Int64GetDatum(tally.deals);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values,
											 nulls));
}

/*
 * lifecycle_take_deferred(model text, max_contacts int)
 *
 * Takes in contacts whose events were stored while lifecycle.import_mode was
 * defer, at most so many, and returns their number.  Locks them.  Raises
 * 42501 unless the caller owns the model.
 */
Datum
lifecycle_take_deferred(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	int64		limit = PG_ARGISNULL(1) ? -1 : PG_GETARG_INT32(1);
	Tally		tally = {0};
	UserSpan	span;

	if (!PG_ARGISNULL(1) && limit < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_contacts must not be negative")));
	model_check_owner(model);
	if (run_current(model) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("lifecycle_take_deferred cannot be called by a trigger while model \"%s\" is being changed",
						model->name)));
	SPI_connect();
	model_use(model);
	span_write(&span, model->owner);
	import_take(model, limit, &tally);
	span_end(&span);
	model_release(model);
	SPI_finish();
	PG_RETURN_INT64(tally.contacts);
}

/*
 * replay_contacts(model text, everybody boolean)
 *
 * Makes memberships and their history anew, of the contacts that wait or of
 * all, and returns their number.  The caller holds the locks of
 * lifecycle.lock_model.  Raises 42501 unless the caller owns the model, 55000
 * while it is being changed.
 */
Datum
replay_contacts(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	UserSpan	span;
	int64		count;

	model_check_owner(model);
	if (run_current(model) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("lifecycle_replay cannot be called by a trigger while model \"%s\" is being changed",
						model->name)));
	SPI_connect();
	model_use(model);
	span_write(&span, model->owner);
	count = import_replay(model, PG_GETARG_BOOL(1), run_clock(model));
	span_end(&span);
	model_release(model);
	SPI_finish();
	PG_RETURN_INT64(count);
}

/*
 * catch_up(model text)
 *
 * Steps all contacts that are due up to the model's clock, before the
 * configuration by which they are judged changes.  The caller holds the locks
 * of lifecycle.lock_model.  Raises 42501 unless the caller owns the model.
 */
Datum
catch_up(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	Tally		tally = {0};
	UserSpan	span;
	TimestampTz at;
	DueContact *due;
	int			count;

	model_check_owner(model);
	if (run_current(model) != NULL)
		PG_RETURN_VOID();
	SPI_connect();
	model_use(model);
	span_write(&span, model->owner);
	at = run_clock(model);
	due = due_contacts(model, at, -1, &count);
	step_contacts(model, due, count, at, NULL, false, &tally);
	span_end(&span);
	model_release(model);
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * take_in(model text, segments text[])
 *
 * Evaluates the segments for all contacts; NULL takes in the whole model.
 * The caller holds the locks of lifecycle.lock_model.  Raises 42501 unless
 * the caller owns the model, 22023 for an unknown segment.
 */
Datum
take_in(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	List	   *segments = NIL;

	model_check_owner(model);
	model_use(model);
	if (!PG_ARGISNULL(1))
	{
		Datum	   *names;
		int			count;

		deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false,
						  TYPALIGN_INT, &names, NULL, &count);
		SPI_connect();
		for (int i = 0; i < count; i++)
		{
			int			id = network_segment_id(model,
												TextDatumGetCString(names[i]));
			MemoryContext old;

			old = MemoryContextSwitchTo(CurTransactionContext);
			segments = lappend_int(segments, id);
			MemoryContextSwitchTo(old);
		}
		SPI_finish();
		if (segments == NIL)
		{
			model_release(model);
			PG_RETURN_VOID();
		}
	}
	refresh_take_in(model, segments);
	model_release(model);
	PG_RETURN_VOID();
}
