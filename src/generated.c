/*-------------------------------------------------------------------------
 *
 * generated.c
 *	  Virtual generated columns in predicates.
 *
 * A virtual generated column (PostgreSQL 18) is computed by the query that
 * reads it.  The rows that triggers are handed over have no value for it, so
 * an expression that the engine itself evaluates gets in its place what it is
 * computed from; and a change of it is noticed by the change of the columns
 * that it is computed from.  Texts that become part of a query name the
 * column as it is.
 *
 * What a column is computed from can be altered (SET EXPRESSION).  Compiled
 * expressions are made anew then, as after any change of the table.
 *
 * Locks: AccessShareLock on each table, kept until the end of the transaction.
 * Results are in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/rel.h"

#include "compat.h"
#include "generated.h"

/*
 * Attribute numbers that an expression has of one row.  Raises 0A000 for a
 * system column, which the rows do not have either; only what a generated
 * column is computed from can contain one.
 */
static Bitmapset *
columns_of(Node *node, int varno, Relation rel)
{
	Bitmapset  *found = NULL;
	Bitmapset  *result = NULL;
	int			member = -1;

	pull_varattnos(node, varno, &found);
	while ((member = bms_next_member(found, member)) >= 0)
	{
		int			attno = member + FirstLowInvalidHeapAttributeNumber;

		if (attno < 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a virtual generated column of table \"%s\" that is computed from a system column cannot be used in a predicate",
							RelationGetRelationName(rel)),
					 errhint("Make it a stored one.")));
		result = bms_add_member(result, attno);
	}
	return result;
}

/*
 * The virtual ones of these columns.
 */
static Bitmapset *
virtual_columns(Relation rel, const Bitmapset *columns)
{
	Bitmapset  *result = NULL;
	int			attno = -1;

	while ((attno = bms_next_member(columns, attno)) >= 0)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
											  attno - 1);

		if (!att->attisdropped && compat_is_virtual(att))
			result = bms_add_member(result, attno);
	}
	return result;
}

/*
 * generated_expand: a copy of an expression over rows of these tables,
 * numbered from 1, in which no virtual generated column is left.
 */
Node *
generated_expand(Node *node, List *tables)
{
	ListCell   *lc;

	node = copyObject(node);
	foreach(lc, tables)
	{
		Relation	rel = table_open(lfirst_oid(lc), AccessShareLock);
		int			varno = foreach_current_index(lc) + 1;

		node = compat_expand_generated(node, rel, varno);
		(void) columns_of(node, varno, rel);
		table_close(rel, NoLock);
	}
	return node;
}

/*
 * generated_used: the virtual generated columns that an expression names of
 * one row.
 */
Bitmapset *
generated_used(Node *node, Oid table, int varno)
{
	Relation	rel = table_open(table, AccessShareLock);
	Bitmapset  *result = virtual_columns(rel, columns_of(node, varno, rel));

	table_close(rel, NoLock);
	return result;
}

/*
 * generated_add_sources: columns of a table, and those that the virtual
 * generated ones of them are computed from.
 */
Bitmapset *
generated_add_sources(Bitmapset *columns, Oid table)
{
	Relation	rel = table_open(table, AccessShareLock);
	Bitmapset  *generated = virtual_columns(rel, columns);
	int			attno = -1;

	while ((attno = bms_next_member(generated, attno)) >= 0)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
											  attno - 1);
		Node	   *column = (Node *) makeVar(1, attno, att->atttypid,
											  att->atttypmod,
											  att->attcollation, 0);

		column = compat_expand_generated(column, rel, 1);
		columns = bms_add_members(columns, columns_of(column, 1, rel));
	}
	table_close(rel, NoLock);
	return columns;
}
