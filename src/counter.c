/*-------------------------------------------------------------------------
 *
 * counter.c
 *	  What the engine did in this session, counted.
 *
 * Times differ from run to run and from machine to machine, counts do not:
 * the tests hold against these how much work an event may make, so that an
 * optimisation that got lost is noticed.  Counting costs an addition in
 * memory of the session's own.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "counter.h"

PG_FUNCTION_INFO_V1(counters);

int64		counter_value[COUNTERS];

static const char *const counter_name[COUNTERS] = {
	"events", "filters", "state reads", "state searches", "contacts settled",
	"contacts decided", "segments evaluated", "scans", "states written",
	"states overwritten", "memberships changed", "runs", "further portions",
	"statements"
};

/*
 * counters(): name and number of each, since the session began.  Takes no
 * lock and raises nothing.
 */
Datum
counters(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	compat_init_result(fcinfo);
	for (int i = 0; i < COUNTERS; i++)
	{
		Datum		values[2] = {CStringGetTextDatum(counter_name[i]),
		Int64GetDatum(counter_value[i])};
		bool		nulls[2] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}
