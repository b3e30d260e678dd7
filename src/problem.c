/*-------------------------------------------------------------------------
 *
 * problem.c
 *	  Errors of configuration that must not lose an event.
 *
 * A predicate or an action that raises an error is run in a subtransaction,
 * so that the event which set it off stays in; the error goes to the model's
 * table problem, which lifecycle_status shows.  What is nobody's
 * configuration is passed on: serialization failures and deadlocks, lock
 * timeouts, cancels and shutdown, and running out of a resource.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/elog.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "run.h"

/* Problems that one run records at most; the rest only counts. */
#define MAX_PROBLEMS 100

static bool
must_be_passed_on(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case MAKE_SQLSTATE('4', '0', '0', '0', '0'):	/* rollback */
		case MAKE_SQLSTATE('5', '3', '0', '0', '0'):	/* resources */
		case MAKE_SQLSTATE('5', '7', '0', '0', '0'):	/* intervention */
		case MAKE_SQLSTATE('5', '8', '0', '0', '0'):	/* system error */
			return true;
	}
	return sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		sqlerrcode == ERRCODE_DATA_CORRUPTED ||
		sqlerrcode == ERRCODE_INDEX_CORRUPTED;
}

/*
 * run_try: do some work in a subtransaction.
 *
 * Returns true if it succeeded.  Otherwise the subtransaction is rolled back
 * and *error is the error, in the current memory context; or it is thrown
 * again if it is not one of configuration.
 */
bool
run_try(void (*work) (void *arg), void *arg, ErrorData **error)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	*error = NULL;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		done = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		*error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_END_TRY();

	if (!done && must_be_passed_on((*error)->sqlerrcode))
		ReThrowError(*error);
	return done;
}

/*
 * run_problem: record an error in the model's table problem.
 */
void
run_problem(Run *run, const char *segment, const char *rule,
			const char *contact, const char *event, const ErrorData *error)
{
	static Oid	types[8] = {TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID, TEXTOID};
	Model	   *model = run->model;
	const char *texts[7];
	Datum		values[8];
	char		nulls[9] = "        ";
	UserSpan	span;

	if (++run->problems > MAX_PROBLEMS)
		return;
	texts[0] = segment;
	texts[1] = rule;
	texts[2] = contact;
	texts[3] = event;
	texts[4] = unpack_sql_state(error->sqlerrcode);
	texts[5] = error->message;
	texts[6] = error->detail;
	values[0] = TimestampTzGetDatum(run->clock);
	for (int i = 0; i < 7; i++)
	{
		values[i + 1] = texts[i] != NULL ? CStringGetTextDatum(texts[i]) : 0;
		nulls[i + 1] = texts[i] != NULL ? ' ' : 'n';
	}
	span_write(&span, model->owner);
	if (model->plan[PLAN_PROBLEM] == NULL)
		model->plan[PLAN_PROBLEM] =
			query_prepare(psprintf("INSERT INTO %s.problem (at, segment, rule,"
								   " contact, event, sqlstate, message, detail)"
								   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
								   model->schema), 8, types);
	query_execute(model->plan[PLAN_PROBLEM], values, nulls);
	span_end(&span);
}
