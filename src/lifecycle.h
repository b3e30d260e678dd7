/*-------------------------------------------------------------------------
 *
 * lifecycle.h
 *	  What every part of the module may use: settings, users, queries.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_H
#define LIFECYCLE_H

#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"

/* security.c: a span of work under another role */
typedef struct UserSpan
{
	Oid			user;
	int			context;
} UserSpan;

extern void span_read(UserSpan *span, Oid owner);
extern void span_write(UserSpan *span, Oid owner);
extern void span_end(const UserSpan *span);
extern int	path_pin(void);
extern void path_unpin(int level);
extern char *text_argument(FunctionCallInfo fcinfo, int number,
						   const char *name);

/* query.c: statements of the engine, on a snapshot taken at that instant */
extern SPIPlanPtr query_prepare(const char *sql, int nargs, const Oid *types);
extern uint64 query_execute(SPIPlanPtr plan, Datum *values, const char *nulls);
extern uint64 query_execute_at(SPIPlanPtr plan, Datum *values,
							   const char *nulls, Snapshot snapshot);
extern uint64 query_once(const char *sql, int nargs, const Oid *types,
						 Datum *values, const char *nulls);
extern Portal query_cursor(const char *sql, int nargs, Oid *types,
						   Datum *values, Snapshot snapshot);
extern Tuplestorestate *query_store(const char *sql, int nargs,
									const Oid *types, const Datum *values,
									Snapshot snapshot, TupleDesc *desc);
extern char *query_text(int row, int column);
extern Datum query_value(int row, int column, bool *isnull);

/*
 * Are these the same, both NULL included?
 */
static inline bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* A text value for a column that may be null. */
#define TEXT_OR_NULL(string) \
	((string) != NULL ? CStringGetTextDatum(string) : (Datum) 0)

/* query.c: rows gathered column by column, to be written by one statement */
typedef struct Bulk
{
	MemoryContext context;
	int			columns;
	const Oid  *types;
	int			rows;
	int			allocated;
	Datum	  **values;
	bool	  **nulls;
} Bulk;

extern Bulk *bulk_create(int columns, const Oid *types);
extern void bulk_add(Bulk *bulk, const Datum *values, const bool *nulls);
extern void bulk_copy(Bulk *bulk, const Bulk *source, int row);
extern void bulk_add_slot(Bulk *bulk, TupleTableSlot *slot);
extern void bulk_execute(Bulk *bulk, SPIPlanPtr plan, int first, int count);
extern SPIPlanPtr bulk_prepare(SPIPlanPtr *plan, const Bulk *rows,
							   const char *schema, const char *sql);
extern Oid	bulk_array_type(Oid element);
extern char *bulk_source(int columns);

#endif							/* LIFECYCLE_H */
