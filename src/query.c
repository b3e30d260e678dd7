/*-------------------------------------------------------------------------
 *
 * query.c
 *	  The engine's own statements: saved SPI plans, and rows in bulk.
 *
 * Every statement of the engine runs on a snapshot taken at that instant,
 * also under REPEATABLE READ, as foreign-key checks do: what decides is the
 * newest committed state plus our own changes, never what the transaction
 * saw when it began.  That is sound because the engine decides about a
 * contact only while it holds the lock on that contact's row.
 *
 * A caller must be connected to SPI.  Results are in SPI_tuptable.  Unlike
 * SPI's own functions these leave the current memory context as it is.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/tstoreReceiver.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"

#include "counter.h"

/*
 * query_prepare: a plan that lasts until SPI_freeplan.
 */
SPIPlanPtr
query_prepare(const char *sql, int nargs, const Oid *types)
{
	MemoryContext context = CurrentMemoryContext;
	SPIPlanPtr	plan = SPI_prepare(sql, nargs, (Oid *) types);

	MemoryContextSwitchTo(context);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare returned %s for \"%s\"",
			 SPI_result_code_string(SPI_result), sql);
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	return plan;
}

/*
 * query_execute: run a plan on the newest snapshot; returns the number of
 * rows processed.  Triggers of the tables that it writes fire before it
 * returns.
 */
uint64
query_execute(SPIPlanPtr plan, Datum *values, const char *nulls)
{
	return query_execute_at(plan, values, nulls, NULL);
}

/*
 * query_execute_at: the same on a given snapshot, as it is, on which the
 * statement can only read; NULL for the newest.
 */
uint64
query_execute_at(SPIPlanPtr plan, Datum *values, const char *nulls,
				 Snapshot snapshot)
{
	MemoryContext context = CurrentMemoryContext;
	bool		given = snapshot != NULL;
	int			result;

	counter_add(COUNT_STATEMENTS, 1);
	snapshot = RegisterSnapshot(snapshot != NULL ? snapshot :
								GetLatestSnapshot());
	result = SPI_execute_snapshot(plan, values, nulls, snapshot,
								  InvalidSnapshot, given, true, 0);
	if (result < 0)
		elog(ERROR, "SPI_execute_snapshot returned %s",
			 SPI_result_code_string(result));
	UnregisterSnapshot(snapshot);
	MemoryContextSwitchTo(context);
	return SPI_processed;
}

/*
 * query_once: the same for a statement that is not worth keeping.
 */
uint64
query_once(const char *sql, int nargs, const Oid *types,
		   Datum *values, const char *nulls)
{
	MemoryContext context = CurrentMemoryContext;
	SPIPlanPtr	plan = SPI_prepare(sql, nargs, (Oid *) types);
	uint64		rows;

	MemoryContextSwitchTo(context);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare returned %s for \"%s\"",
			 SPI_result_code_string(SPI_result), sql);
	rows = query_execute(plan, values, nulls);
	SPI_freeplan(plan);
	return rows;
}

/*
 * query_cursor: open a cursor on a snapshot; NULL for the newest, our own
 * changes included.
 */
Portal
query_cursor(const char *sql, int nargs, Oid *types, Datum *values,
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

/* What query_store has the executor read. */
static ParamListInfo
make_params(int nargs, const Oid *types, const Datum *values)
{
	ParamListInfo params = nargs > 0 ? makeParamList(nargs) : NULL;

	for (int i = 0; i < nargs; i++)
	{
		params->params[i].value = values[i];
		params->params[i].isnull = false;
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = types[i];
	}
	return params;
}

/*
 * query_store: run a statement that reads to its end, on a snapshot or if it
 * is NULL on the newest, and keep the rows in a tuplestore, which spills to
 * disk.  Unlike a cursor's its plan may be parallel.  *desc is set to what the
 * rows look like, in the current memory context.
 */
Tuplestorestate *
query_store(const char *sql, int nargs, const Oid *types, const Datum *values,
			Snapshot snapshot, TupleDesc *desc)
{
	MemoryContext context = CurrentMemoryContext;
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	DestReceiver *receiver = CreateDestReceiver(DestTuplestore);
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, nargs, (Oid *) types,
										  CURSOR_OPT_PARALLEL_OK);
	SPIExecuteOptions options = {0};
	CachedPlanSource *source;
	int			result;

	MemoryContextSwitchTo(context);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare_cursor returned %s for \"%s\"",
			 SPI_result_code_string(SPI_result), sql);
	source = linitial(SPI_plan_get_plan_sources(plan));
	*desc = CreateTupleDescCopy(source->resultDesc);
	SetTuplestoreDestReceiverParams(receiver, store, context, false, NULL,
									NULL);
	options.params = make_params(nargs, types, values);
	options.read_only = true;
	options.dest = receiver;
	counter_add(COUNT_STATEMENTS, 1);
	CommandCounterIncrement();
	PushActiveSnapshot(snapshot != NULL ? snapshot : GetLatestSnapshot());
	result = SPI_execute_plan_extended(plan, &options);
	if (result < 0)
		elog(ERROR, "SPI_execute_plan_extended returned %s",
			 SPI_result_code_string(result));
	PopActiveSnapshot();
	SPI_freeplan(plan);
	receiver->rDestroy(receiver);
	MemoryContextSwitchTo(context);
	return store;
}

/*
 * query_text: a column (from 1) of a result row (from 0) as text, or NULL.
 * The string is in the current memory context.
 */
char *
query_text(int row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

/*
 * query_value: the same as a Datum, which lives as long as SPI_tuptable.
 */
Datum
query_value(int row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 column, isnull);
}

/* The first rows of a bulk for which there is room. */
#define FIRST_ROWS 16

/*
 * bulk_create: an empty table in memory, one array a column, that lives in
 * the current memory context.  The types are not copied.  Most stay empty, and
 * so get no arrays before their first row.
 */
Bulk *
bulk_create(int columns, const Oid *types)
{
	Bulk	   *bulk = palloc0(sizeof(Bulk));

	bulk->context = CurrentMemoryContext;
	bulk->columns = columns;
	bulk->types = types;
	return bulk;
}

/*
 * Room for the first rows.
 */
static void
bulk_begin(Bulk *bulk)
{
	MemoryContext old = MemoryContextSwitchTo(bulk->context);

	bulk->allocated = FIRST_ROWS;
	bulk->values = palloc(bulk->columns * sizeof(Datum *));
	bulk->nulls = palloc(bulk->columns * sizeof(bool *));
	for (int i = 0; i < bulk->columns; i++)
	{
		bulk->values[i] = palloc(bulk->allocated * sizeof(Datum));
		bulk->nulls[i] = palloc(bulk->allocated * sizeof(bool));
	}
	MemoryContextSwitchTo(old);
}

/*
 * Room for twice as many rows.
 */
static void
bulk_grow(Bulk *bulk)
{
	bulk->allocated *= 2;
	for (int i = 0; i < bulk->columns; i++)
	{
		bulk->values[i] = repalloc_huge(bulk->values[i],
										mul_size(bulk->allocated,
												 sizeof(Datum)));
		bulk->nulls[i] = repalloc_huge(bulk->nulls[i],
									   bulk->allocated * sizeof(bool));
	}
}

/*
 * bulk_add: append a row.  The values are not copied; nulls may be NULL.
 */
void
bulk_add(Bulk *bulk, const Datum *values, const bool *nulls)
{
	if (bulk->allocated == 0)
		bulk_begin(bulk);
	else if (bulk->rows == bulk->allocated)
		bulk_grow(bulk);
	for (int i = 0; i < bulk->columns; i++)
	{
		bulk->values[i][bulk->rows] = values[i];
		bulk->nulls[i][bulk->rows] = nulls != NULL && nulls[i];
	}
	bulk->rows++;
}

/*
 * bulk_copy: append a row of another bulk with the same columns.
 */
void
bulk_copy(Bulk *bulk, const Bulk *source, int row)
{
	Datum	   *values = palloc(bulk->columns * sizeof(Datum));
	bool	   *nulls = palloc(bulk->columns * sizeof(bool));

	for (int i = 0; i < bulk->columns; i++)
	{
		values[i] = source->values[i][row];
		nulls[i] = source->nulls[i][row];
	}
	bulk_add(bulk, values, nulls);
	pfree(values);
	pfree(nulls);
}

/*
 * bulk_add_slot: append the row in a slot; the values are copied.
 */
void
bulk_add_slot(Bulk *bulk, TupleTableSlot *slot)
{
	Datum	   *values = palloc(bulk->columns * sizeof(Datum));

	slot_getallattrs(slot);
	for (int i = 0; i < bulk->columns; i++)
	{
		Form_pg_attribute column = TupleDescAttr(slot->tts_tupleDescriptor, i);

		if (!slot->tts_isnull[i])
			values[i] = datumCopy(slot->tts_values[i], column->attbyval,
								  column->attlen);
	}
	bulk_add(bulk, values, slot->tts_isnull);
	pfree(values);
}

/*
 * bulk_execute: run a plan that takes one array a column with some of the
 * rows.
 */
void
bulk_execute(Bulk *bulk, SPIPlanPtr plan, int first, int count)
{
	Datum	   *arrays = palloc(bulk->columns * sizeof(Datum));
	int			lower = 1;

	if (count == 0)
		return;
	for (int i = 0; i < bulk->columns; i++)
	{
		int16		length;
		bool		byval;
		char		align;

		get_typlenbyvalalign(bulk->types[i], &length, &byval, &align);
		arrays[i] = PointerGetDatum(construct_md_array(bulk->values[i] + first,
													   bulk->nulls[i] + first,
													   1, &count, &lower,
													   bulk->types[i],
													   length, byval, align));
	}
	query_execute(plan, arrays, NULL);
	for (int i = 0; i < bulk->columns; i++)
		pfree(DatumGetPointer(arrays[i]));
	pfree(arrays);
}

/*
 * bulk_prepare: a kept plan of a statement that takes one array a column,
 * prepared at its first use; %1$s in it is the model's schema, %2$s the arrays
 * as rows.
 */
SPIPlanPtr
bulk_prepare(SPIPlanPtr *plan, const Bulk *rows, const char *schema,
			 const char *sql)
{
	if (*plan == NULL)
	{
		Oid		   *arrays = palloc(rows->columns * sizeof(Oid));

		for (int i = 0; i < rows->columns; i++)
			arrays[i] = bulk_array_type(rows->types[i]);
		*plan = query_prepare(psprintf(sql, schema,
									   bulk_source(rows->columns)),
							  rows->columns, arrays);
	}
	return *plan;
}

/*
 * bulk_array_type: the type of an array of these; raises 42704 if a type has
 * none.
 */
Oid
bulk_array_type(Oid element)
{
	Oid			array = get_array_type(element);

	if (!OidIsValid(array))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("could not find array type for data type %s",
						format_type_be(element))));
	return array;
}

/*
 * bulk_source: the parameters $1 to $n, arrays of the same length, as rows
 * of a FROM clause.
 */
char *
bulk_source(int columns)
{
	StringInfoData source;

	initStringInfo(&source);
	appendStringInfoString(&source, "ROWS FROM (");
	for (int i = 1; i <= columns; i++)
		appendStringInfo(&source, "%spg_catalog.unnest($%d)",
						 i > 1 ? ", " : "", i);
	appendStringInfoChar(&source, ')');
	return source.data;
}
