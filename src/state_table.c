/*-------------------------------------------------------------------------
 *
 * state_table.c
 *	  The table contact_state: rows found, and overwritten in place.
 *
 * Reading goes directly to the table, on a snapshot taken when the reader is
 * opened: one look-up is all that most events cost.  A row is looked for where
 * the session found it last (place.c), then by the primary key.  What is found
 * in a place is right if it is visible to the snapshot and has the contact's
 * key, which is unique; where a row has moved, or was deleted and its place
 * given to another contact's, it is simply not there.  An address beyond the
 * table's end, which TRUNCATE or VACUUM may have brought nearer, is not
 * followed; while the table is open it cannot come nearer.
 *
 * Writing is done in record.c, with one exception.
 *
 * A transaction of many single-row statements about one contact would update
 * its row once a statement, and each update would walk all versions that the
 * transaction has left behind, which nobody can prune before it ends.  So a
 * row version that this very (sub)transaction has made is overwritten in
 * place (state_overwrite).  Nobody else can see it, and if the
 * (sub)transaction is rolled back it goes as a whole; a version made outside
 * a savepoint is left alone after it.  The new row must have the length of
 * the old one and the same due time, which is indexed.  A reader of our own
 * transaction that had opened a snapshot before the change, such as a
 * user's cursor over contact_state, sees the new state: it is nobody's but the
 * engine's, which always reads the newest.
 *
 * Results are allocated in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/generic_xlog.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/catalog.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "counter.h"
#include "place.h"
#include "state.h"

/* Attribute numbers in contact_state, as model.sql creates it. */
#define ATTR_CONTACT	1
#define ATTR_DUE		2
#define ATTR_CLOCK		3
#define ATTR_STATE		4

/*
 * Open the primary key, which only a search needs.
 */
static void
open_index(StateReader *reader)
{
	Model	   *model = reader->model;

	if (reader->index != NULL)
		return;
	reader->index = index_open(model->state_index, AccessShareLock);
	reader->scan = compat_index_beginscan(reader->table, reader->index,
										  reader->snapshot, 1);
	ScanKeyEntryInitialize(&reader->key, 0, 1, BTEqualStrategyNumber,
						   InvalidOid, reader->index->rd_indcollation[0],
						   model->contact_key.equals, (Datum) 0);
}

/*
 * Remember where all rows are, if it is time to.
 */
static void
fill_places(StateReader *reader)
{
	IndexScanDesc scan;
	ItemPointer address;

	if (!place_begin_fill(reader->model, reader->table->rd_rel->reltuples))
		return;
	open_index(reader);
	scan = compat_index_beginscan(reader->table, reader->index,
								  reader->snapshot, 0);
	scan->xs_want_itup = true;
	index_rescan(scan, NULL, 0, NULL, 0);
	while ((address = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		bool		isnull;
		Datum		key = index_getattr(scan->xs_itup, 1, scan->xs_itupdesc,
										&isnull);

		CHECK_FOR_INTERRUPTS();
		place_put(reader->model, key_hash(&reader->model->contact_key, key),
				  address);
	}
	index_endscan(scan);
}

/*
 * state_begin_read: open a look-up.  Takes AccessShareLock on contact_state,
 * and for a search on its primary key, kept to the end of the transaction,
 * and allocates in the current memory context.  Our own changes
 * so far are visible to it, and what others have committed until now.
 */
StateReader *
state_begin_read(Model *model)
{
	CommandCounterIncrement();
	return state_begin_read_at(model, GetLatestSnapshot());
}

/*
 * state_begin_read_at: the same on a given snapshot.
 */
StateReader *
state_begin_read_at(Model *model, Snapshot snapshot)
{
	StateReader *reader = palloc0(sizeof(StateReader));
	BlockNumber known;

	reader->model = model;
	reader->context = CurrentMemoryContext;
	reader->table = table_open(model->state_relid, AccessShareLock);
	reader->snapshot = RegisterSnapshot(snapshot);

	/*
	 * The size that this session last knew spares a system call.  The table
	 * is not smaller: whoever cuts it off has told us before we had the lock.
	 */
	known = RelationGetSmgr(reader->table)->smgr_cached_nblocks[MAIN_FORKNUM];
	reader->blocks = known != InvalidBlockNumber ? known : 0;
	reader->slot = table_slot_create(reader->table, NULL);
	if (OidIsValid(model->contact_key.hash.fn_oid))
		fill_places(reader);
	return reader;
}

void
state_end_read(StateReader *reader)
{
	if (reader->fetch != NULL)
		table_index_fetch_end(reader->fetch);
	if (reader->index != NULL)
	{
		index_endscan(reader->scan);
		index_close(reader->index, NoLock);
	}
	ExecDropSingleTupleTableSlot(reader->slot);
	UnregisterSnapshot(reader->snapshot);
	table_close(reader->table, NoLock);
	pfree(reader);
}

/*
 * Is this an address in the table?
 */
static bool
is_within(StateReader *reader, const ItemPointerData *address)
{
	BlockNumber block = ItemPointerGetBlockNumber(address);

	if (block >= reader->blocks)
		reader->blocks = RelationGetNumberOfBlocks(reader->table);
	return block < reader->blocks;
}

/*
 * Is the row of the contact at this address, to which the index pointed?
 * Then it is in the slot.
 */
static bool
is_at(StateReader *reader, ItemPointerData address, Datum contact)
{
	bool		again = false;
	bool		isnull;

	if (reader->fetch == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(reader->context);

		reader->fetch = table_index_fetch_begin(reader->table);
		MemoryContextSwitchTo(old);
	}
	return is_within(reader, &address) &&
		table_index_fetch_tuple(reader->fetch, &address, reader->snapshot,
								reader->slot, &again, NULL) &&
		key_compare(&reader->model->contact_key,
					slot_getattr(reader->slot, ATTR_CONTACT, &isnull),
					contact) == 0;
}

/*
 * Find the row by the primary key, and where the index points for it; false
 * if there is none.
 */
static bool
search(StateReader *reader, Datum contact, ItemPointer address)
{
	MemoryContext old;
	ItemPointer next;
	bool		found = false;

	counter_add(COUNT_STATE_SEARCHES, 1);

	/*
	 * The scan keeps memory of its own from one call to the next (the list of
	 * dead index entries), so it must not come from a context that the caller
	 * resets in between.
	 */
	old = MemoryContextSwitchTo(reader->context);
	open_index(reader);
	reader->key.sk_argument = contact;
	index_rescan(reader->scan, &reader->key, 1, NULL, 0);
	while (!found && (next = index_getnext_tid(reader->scan,
											   ForwardScanDirection)) != NULL)
	{
		*address = *next;		/* which the next call changes */
		found = index_fetch_heap(reader->scan, reader->slot);
	}
	MemoryContextSwitchTo(old);
	return found;
}

static TransactionId
slot_xmin(TupleTableSlot *slot)
{
	bool		isnull;

	return DatumGetTransactionId(slot_getsysattr(slot,
												 MinTransactionIdAttributeNumber,
												 &isnull));
}

/*
 * state_read: the state of a contact, NULL if there is no row.
 */
StateRow *
state_read(StateReader *reader, Datum contact)
{
	Model	   *model = reader->model;
	bool		remembers = OidIsValid(model->contact_key.hash.fn_oid);
	uint32		hash = remembers ? key_hash(&model->contact_key, contact) : 0;
	ItemPointerData address[2];
	int			places = remembers ? place_recall(model, hash, address) : 0;
	StateRow   *row;
	Datum		value;
	bool		isnull;

	counter_add(COUNT_STATE_READS, 1);
	while (places > 0 && !is_at(reader, address[places - 1], contact))
		places--;
	if (places == 0)
	{
		if (!search(reader, contact, &address[0]))
			return NULL;
		if (remembers)
			place_remember(model, hash, &address[0]);
	}
	value = slot_getattr(reader->slot, ATTR_STATE, &isnull);
	row = state_unpack(DatumGetByteaPP(value));
	row->tid = reader->slot->tts_tid;
	row->xmin = slot_xmin(reader->slot);
	value = slot_getattr(reader->slot, ATTR_CLOCK, &isnull);
	row->clock = isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
	value = slot_getattr(reader->slot, ATTR_DUE, &isnull);
	row->due = isnull ? NOT_DUE : DatumGetTimestampTz(value);
	return row;
}

/*
 * state_is_current: is a state that was read the newest one still?
 *
 * A row version does not change, unless the transaction that made it writes it
 * over, so that a version which is still visible is the state.  Where it stood
 * there may be another one by now; that has another xmin, as who made this one
 * had committed when it was read, or is this very transaction.  Nothing may
 * have been written by this transaction in between.
 */
bool
state_is_current(StateReader *reader, const StateRow *row)
{
	ItemPointerData address = row->tid;

	return is_within(reader, &address) &&
		table_tuple_fetch_row_version(reader->table, &address,
									  reader->snapshot, reader->slot) &&
		slot_xmin(reader->slot) == row->xmin;
}

/*
 * The row with another clock and state in the form in which it would be
 * stored, or NULL if it cannot take the place of the one that is there.
 */
static HeapTuple
form_in_place(Relation table, HeapTuple old, TimestampTz due,
			  TimestampTz clock, bytea *packed)
{
	TupleDesc	desc = RelationGetDescr(table);
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc(desc->natts * sizeof(bool));
	HeapTuple	new;

	if (HeapTupleHasExternal(old))
		return NULL;
	heap_deform_tuple(old, desc, values, nulls);
	if (nulls[ATTR_CLOCK - 1] || nulls[ATTR_STATE - 1] ||
		nulls[ATTR_DUE - 1] != (due == NOT_DUE) ||
		(!nulls[ATTR_DUE - 1] &&
		 DatumGetTimestampTz(values[ATTR_DUE - 1]) != due))
		return NULL;
	values[ATTR_CLOCK - 1] = TimestampTzGetDatum(clock);
	values[ATTR_STATE - 1] = PointerGetDatum(packed);
	new = heap_form_tuple(desc, values, nulls);
	return new->t_len == old->t_len &&
		new->t_data->t_hoff == old->t_data->t_hoff ? new : NULL;
}

/*
 * state_overwrite: write a state in the place of the row at this address, if
 * the current (sub)transaction has made it.  False if it has not, or the
 * row does not fit; nothing is written then.  The caller holds the lock on
 * the contact; takes RowExclusiveLock on contact_state.
 */
bool
state_overwrite(Model *model, const ItemPointerData *tid, TimestampTz due,
				TimestampTz clock, bytea *packed)
{
	TransactionId self = GetCurrentTransactionIdIfAny();
	Relation	table;
	Buffer		buffer;
	ItemId		item;
	HeapTupleData old;
	HeapTuple	new = NULL;

	if (!TransactionIdIsValid(self) || !ItemPointerIsValid(tid))
		return false;
	table = table_open(model->state_relid, RowExclusiveLock);
	if (table->rd_tableam != GetHeapamTableAmRoutine() ||
		table->trigdesc != NULL || RelationIsLogicallyLogged(table))
	{
		table_close(table, NoLock);
		return false;
	}
	buffer = ReadBuffer(table, ItemPointerGetBlockNumber(tid));
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	item = PageGetItemId(BufferGetPage(buffer), ItemPointerGetOffsetNumber(tid));
	if (ItemIdIsNormal(item))
	{
		old.t_self = *tid;
		old.t_tableOid = RelationGetRelid(table);
		old.t_len = ItemIdGetLength(item);
		old.t_data = (HeapTupleHeader) PageGetItem(BufferGetPage(buffer), item);
		if (HeapTupleHeaderGetRawXmin(old.t_data) == self &&
			(old.t_data->t_infomask & HEAP_XMAX_INVALID) != 0)
			new = form_in_place(table, &old, due, clock, packed);
	}
	if (new != NULL)
	{
		GenericXLogState *xlog = GenericXLogStart(table);
		Page		page = GenericXLogRegisterBuffer(xlog, buffer, 0);
		char	   *place = PageGetItem(page,
										PageGetItemId(page,
													  ItemPointerGetOffsetNumber(tid)));

		memcpy(place + new->t_data->t_hoff,
			   (char *) new->t_data + new->t_data->t_hoff,
			   new->t_len - new->t_data->t_hoff);
		GenericXLogFinish(xlog);
	}
	UnlockReleaseBuffer(buffer);
	table_close(table, NoLock);
	return new != NULL;
}

