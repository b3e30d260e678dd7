/*-------------------------------------------------------------------------
 *
 * write.c
 *	  Rows in bulk into the model's own tables, without a plan.
 *
 * An INSERT ... SELECT from arrays costs more than its rows cost to store: the
 * arrays are built, unnested into a tuplestore and read again.  So the tables
 * that most changes write, contact_state, membership and past_membership, are
 * written as COPY and logical replication write theirs: slots go to the table
 * access method, and ExecInsertIndexTuples takes care of the indexes.
 *
 * That leaves out what only a plan does: triggers, rules, and the defaults of
 * columns that somebody has added.  A table that has any of these is refused
 * here, and the caller writes it by SQL.  Constraints are checked.  Row
 * security does not apply to the tables' owner.
 *
 * The caller has become the owner of the model's schema (span_write), as whom
 * the expressions of indexes that users have added run, and holds the locks
 * on the contacts that the rows are about, so that nobody else writes rows
 * with the same keys.  A row that is there already all the same, because
 * somebody changed our tables by hand, stays, and the new one goes: a wrong
 * membership must not keep anybody from inserting events (lifecycle_verify
 * finds it).
 *
 * READ COMMITTED and REPEATABLE READ do the same, as in query.c: rows are found
 * on the newest snapshot.  A row that somebody else has updated meanwhile is
 * left to the caller.  Under SERIALIZABLE the access method looks for conflicts
 * as it does for a plan.  What is published, or decoded, is what was written,
 * and a table that may not be updated for want of a replica identity raises the
 * executor's own error.
 *
 * Takes RowExclusiveLock on the table, and on the indexes that are written, to
 * the end of the transaction.  What is written is visible to commands that start
 * later.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/relscan.h"
#include "access/tableam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_am_d.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "write.h"

/* So many rows go to the table at once. */
#define SLOTS 256

/* A table that is open for writing; lives as long as the call. */
typedef struct Writer
{
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *info;
	int			nslots;
	int			filled;
	TupleTableSlot *slot[SLOTS];
	bool	   *summarizes;		/* by index: it is one of skip_summaries */
	List	   *doubles;		/* addresses of rows that were there already */
} Writer;

/*
 * Is there nothing about the table that only a plan does?
 */
static bool
is_plain(Relation rel, int columns)
{
	TupleDesc	desc = RelationGetDescr(rel);

	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		rel->rd_rel->relispartition || rel->trigdesc != NULL ||
		rel->rd_rules != NULL || desc->natts != columns)
		return false;
	for (int i = 0; i < columns; i++)
		if (TupleDescAttr(desc, i)->attisdropped)
			return false;
	return true;
}

/*
 * Is it an index of block ranges by one plain column?
 */
static bool
summarizes(Relation index, const IndexInfo *info)
{
	return index->rd_rel->relam == BRIN_AM_OID &&
		info->ii_NumIndexAttrs == 1 &&
		info->ii_IndexAttrNumbers[0] > 0 && info->ii_Predicate == NIL &&
		TupleDescAttr(RelationGetDescr(index), 0)->attbyval;
}

/*
 * Open the table's indexes.  Not before one is to be written: most updates need
 * none, and a DELETE never.  An index that comes or goes meanwhile, which it can
 * concurrently only, is not to be written yet, or still: whoever makes or drops
 * it waits for our lock on the table in between.
 */
static void
open_indexes(Writer *writer)
{
	ResultRelInfo *info = writer->info;

	if (writer->summarizes != NULL)
		return;
	ExecOpenIndices(info, false);
	writer->summarizes = MemoryContextAllocZero(writer->estate->es_query_cxt,
												(info->ri_NumIndices + 1) *
												sizeof(bool));
	for (int i = 0; i < info->ri_NumIndices; i++)
		writer->summarizes[i] =
			info->ri_IndexRelationInfo[i]->ii_ReadyForInserts &&
			summarizes(info->ri_IndexRelationDescs[i],
					   info->ri_IndexRelationInfo[i]);
}

static Writer *
writer_open(Oid relid, int columns, CmdType command)
{
	Relation	rel = table_open(relid, RowExclusiveLock);
	Writer	   *writer;

	if (!is_plain(rel, columns))
	{
		table_close(rel, NoLock);
		return NULL;
	}
	CheckCmdReplicaIdentity(rel, command);
	writer = palloc0(sizeof(Writer));
	writer->rel = rel;
	writer->estate = CreateExecutorState();
	writer->info = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->info, rel, 0, NULL, 0);
	return writer;
}

/*
 * Do both rows, the one just told to such an index and the one after it, say
 * the same to it?
 */
static bool
same_summary(const IndexInfo *info, TupleTableSlot *before,
			 TupleTableSlot *slot)
{
	AttrNumber	column = info->ii_IndexAttrNumbers[0];
	bool		nulls[2];
	Datum		values[2];

	if (ItemPointerGetBlockNumber(&before->tts_tid) !=
		ItemPointerGetBlockNumber(&slot->tts_tid))
		return false;
	values[0] = slot_getattr(before, column, &nulls[0]);
	values[1] = slot_getattr(slot, column, &nulls[1]);
	return nulls[0] == nulls[1] && (nulls[0] || values[0] == values[1]);
}

/*
 * A summary of a block range does not change by a value that it was just told:
 * rows of one block with the same value, as a bulk of them has, are told once.
 * All of them are in the table by then, so that somebody who summarizes the
 * range meanwhile sees them, or is told of the first.
 */
static void
skip_summaries(Writer *writer, TupleTableSlot *before, TupleTableSlot *slot)
{
	for (int i = 0; i < writer->info->ri_NumIndices; i++)
	{
		IndexInfo  *info = writer->info->ri_IndexRelationInfo[i];

		if (writer->summarizes[i])
			info->ii_ReadyForInserts = before == NULL ||
				!same_summary(info, before, slot);
	}
}

/*
 * Take away what was there already.
 */
static void
drop_doubles(Writer *writer)
{
	ListCell   *cell;

	if (writer->doubles == NIL)
		return;
	CommandCounterIncrement();
	foreach(cell, writer->doubles)
		simple_table_tuple_delete(writer->rel, lfirst(cell), SnapshotSelf);
	list_free_deep(writer->doubles);
	writer->doubles = NIL;
}

static void
writer_close(Writer *writer)
{
	drop_doubles(writer);
	for (int i = 0; i < writer->nslots; i++)
		ExecDropSingleTupleTableSlot(writer->slot[i]);
	ExecCloseIndices(writer->info);
	FreeExecutorState(writer->estate);
	table_close(writer->rel, NoLock);
	pfree(writer);
	CommandCounterIncrement();
}

/*
 * The next slot, with a row of the bulk in it.
 */
static TupleTableSlot *
fill_slot(Writer *writer, const Bulk *rows, int row)
{
	TupleTableSlot *slot;

	if (writer->filled == writer->nslots)
		writer->slot[writer->nslots++] = table_slot_create(writer->rel, NULL);
	slot = writer->slot[writer->filled++];
	ExecClearTuple(slot);
	for (int i = 0; i < rows->columns; i++)
	{
		slot->tts_values[i] = rows->values[i][row];
		slot->tts_isnull[i] = rows->nulls[i][row];
	}
	ExecStoreVirtualTuple(slot);
	if (RelationGetDescr(writer->rel)->constr != NULL)
		ExecConstraints(writer->info, slot, writer->estate);
	return slot;
}

static void
insert_filled(Writer *writer)
{
	CommandId	command;
	MemoryContext caller;

	if (writer->filled == 0)
		return;
	command = GetCurrentCommandId(true);
	open_indexes(writer);
	caller = MemoryContextSwitchTo(GetPerTupleMemoryContext(writer->estate));
	if (writer->filled == 1)
		table_tuple_insert(writer->rel, writer->slot[0], command, 0, NULL);
	else
		table_multi_insert(writer->rel, writer->slot, writer->filled, command,
						   0, NULL);
	MemoryContextSwitchTo(caller);
	for (int i = 0; i < writer->filled; i++)
	{
		TupleTableSlot *slot = writer->slot[i];

		skip_summaries(writer, i > 0 ? writer->slot[i - 1] : NULL, slot);
		if (compat_insert_index_tuples(writer->info, slot, writer->estate,
									   false, true) != NIL)
		{
			ItemPointer address = palloc(sizeof(ItemPointerData));

			*address = slot->tts_tid;
			writer->doubles = lappend(writer->doubles, address);
		}
		ResetPerTupleExprContext(writer->estate);
	}
	for (int i = 0; i < writer->filled; i++)
		ExecClearTuple(writer->slot[i]);
	writer->filled = 0;
}

/*
 * write_insert: insert rows into a table, whose columns are those of the bulk
 * in order.  False if the table must be written by SQL; nothing was written
 * then.
 *
 * Rows whose key is there already are left out.  Raises what constraints and
 * the expressions of indexes raise.
 */
bool
write_insert(Oid relid, const Bulk *rows)
{
	Writer	   *writer = writer_open(relid, rows->columns, CMD_INSERT);

	if (writer == NULL)
		return false;
	for (int i = 0; i < rows->rows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		(void) fill_slot(writer, rows, i);
		if (writer->filled == SLOTS)
			insert_filled(writer);
	}
	insert_filled(writer);
	writer_close(writer);
	return true;
}

/*
 * write_update: put rows in the place of those at these addresses, which are
 * set to the new ones; an address becomes invalid if its row was not updated,
 * because somebody else had updated it.  False if the table must be written
 * by SQL; nothing was written then.
 */
bool
write_update(Oid relid, const Bulk *rows, ItemPointerData *address)
{
	Writer	   *writer = writer_open(relid, rows->columns, CMD_UPDATE);

	if (writer == NULL)
		return false;
	for (int i = 0; i < rows->rows; i++)
	{
		TupleTableSlot *slot = fill_slot(writer, rows, i);
		TM_FailureData failure;
		LockTupleMode lock;
		compat_update_indexes update_indexes;

		CHECK_FOR_INTERRUPTS();
		writer->filled = 0;
		if (!ItemPointerIsValid(&address[i]))
			continue;
		if (table_tuple_update(writer->rel, &address[i], slot,
							   GetCurrentCommandId(true), SnapshotSelf,
							   InvalidSnapshot, true, &failure, &lock,
							   &update_indexes) != TM_Ok)
		{
			ItemPointerSetInvalid(&address[i]);
			continue;
		}
		address[i] = slot->tts_tid;
		if (update_indexes)
		{
			open_indexes(writer);
			compat_update_index_tuples(writer->info, slot, writer->estate,
									   update_indexes);
		}
		ResetPerTupleExprContext(writer->estate);
	}
	writer_close(writer);
	return true;
}

/*
 * A look-up by equality of all columns of a unique index.
 */
static IndexScanDesc
begin_lookup(Writer *writer, Relation index, Snapshot snapshot, ScanKey keys)
{
	int			columns = IndexRelationGetNumberOfKeyAttributes(index);

	for (int i = 0; i < columns; i++)
	{
		Oid			type = index->rd_opcintype[i];
		Oid			equals = get_opfamily_member(index->rd_opfamily[i], type,
												 type, BTEqualStrategyNumber);

		ScanKeyEntryInitialize(&keys[i], 0, i + 1, BTEqualStrategyNumber,
							   InvalidOid, index->rd_indcollation[i],
							   get_opcode(equals), (Datum) 0);
	}
	return compat_index_beginscan(writer->rel, index, snapshot, columns);
}

/*
 * write_take: delete the rows that have these keys, the columns of the unique
 * index in order, and add what they held to `taken`, in the current memory
 * context.  found[i] says whether there was one for the i-th key.  False if
 * the table must be written by SQL; nothing was written then.
 */
bool
write_take(Oid relid, Oid indexid, const Bulk *keys, Bulk *taken, bool *found)
{
	Writer	   *writer = writer_open(relid, taken->columns, CMD_DELETE);
	ScanKeyData scankey[INDEX_MAX_KEYS];
	Relation	index;
	Snapshot	snapshot;
	IndexScanDesc scan;
	TupleTableSlot *slot;

	if (writer == NULL)
		return false;
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	index = index_open(indexid, RowExclusiveLock);
	scan = begin_lookup(writer, index, snapshot, scankey);
	slot = table_slot_create(writer->rel, NULL);
	for (int i = 0; i < keys->rows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int k = 0; k < keys->columns; k++)
			scankey[k].sk_argument = keys->values[k][i];
		index_rescan(scan, scankey, keys->columns, NULL, 0);
		found[i] = index_getnext_slot(scan, ForwardScanDirection, slot);
		if (!found[i])
			continue;
		bulk_add_slot(taken, slot);
		simple_table_tuple_delete(writer->rel, &slot->tts_tid, snapshot);
	}
	ExecDropSingleTupleTableSlot(slot);
	index_endscan(scan);
	index_close(index, NoLock);
	UnregisterSnapshot(snapshot);
	writer_close(writer);
	return true;
}
