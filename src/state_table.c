/*-------------------------------------------------------------------------
 *
 * state_table.c
 *	  The table contact_state: rows found, and overwritten in place.
 *
 * Reading goes directly to the table (find.c), on a snapshot taken when the
 * reader is opened.
 *
 * Whoever asks for many contacts in key order goes along the index instead
 * (state_begin_walk), and who asks for one as it is now needs no reader
 * (state_glance).
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
#include "utils/snapmgr.h"

#include "counter.h"
#include "find.h"
#include "state.h"

/* Attribute numbers in contact_state, as model.sql creates it. */
#define ATTR_CONTACT	1
#define ATTR_DUE		2
#define ATTR_CLOCK		3
#define ATTR_STATE		4

/*
 * state_begin_read: open a look-up.  Takes AccessShareLock on contact_state,
 * and for a search on its primary key, kept to the end of the transaction,
 * and allocates in the current memory context.  Our own changes so far are
 * visible to it, and what others have committed until now.
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
	Relation	table = table_open(model->state_relid, AccessShareLock);

	return find_begin(table, model->state_index, AccessShareLock, ATTR_CONTACT,
					  &model->contact_key, model->context,
					  &model->state_places, snapshot);
}

void
state_end_read(StateReader *reader)
{
	Relation	table = reader->table;

	counter_add(COUNT_STATE_SEARCHES, reader->searches);
	find_end(reader);
	table_close(table, NoLock);
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
 * The state that these columns of a row say.
 */
static StateRow *
row_of_columns(Datum state, NullableDatum clock, NullableDatum due)
{
	StateRow   *row = state_unpack(DatumGetByteaPP(state));

	row->clock = clock.isnull ? DT_NOBEGIN : DatumGetTimestampTz(clock.value);
	row->due = due.isnull ? NOT_DUE : DatumGetTimestampTz(due.value);
	return row;
}

/*
 * The state whose row is in the slot.
 */
static StateRow *
row_in_slot(TupleTableSlot *slot)
{
	bool		isnull;
	Datum		state = slot_getattr(slot, ATTR_STATE, &isnull);
	NullableDatum clock;
	NullableDatum due;
	StateRow   *row;

	clock.value = slot_getattr(slot, ATTR_CLOCK, &clock.isnull);
	due.value = slot_getattr(slot, ATTR_DUE, &due.isnull);
	row = row_of_columns(state, clock, due);
	row->tid = slot->tts_tid;
	row->xmin = slot_xmin(slot);
	return row;
}

/*
 * The same of a row in the table.
 */
static StateRow *
row_of_tuple(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		state = heap_getattr(tuple, ATTR_STATE, desc, &isnull);
	NullableDatum clock;
	NullableDatum due;
	StateRow   *row;

	clock.value = heap_getattr(tuple, ATTR_CLOCK, desc, &clock.isnull);
	due.value = heap_getattr(tuple, ATTR_DUE, desc, &due.isnull);
	row = row_of_columns(state, clock, due);
	row->tid = tuple->t_self;
	row->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	return row;
}

/*
 * state_read: the state of a contact, NULL if there is no row.
 */
StateRow *
state_read(StateReader *reader, Datum contact)
{
	counter_add(COUNT_STATE_READS, 1);
	return find_row(reader, contact) ?
		row_in_slot(reader->slot) : NULL;
}

/*
 * state_glance: the state of one contact as it is committed now, at any
 * isolation level, or as this transaction has written it; NULL if there is no
 * row.  For one row that is known to be the newest a snapshot would cost more
 * than the look.  Of a row that is being moved to another page neither version
 * may be found.
 *
 * Takes AccessShareLock on contact_state, and for a search on its primary key,
 * kept to the end of the transaction.
 */
StateRow *
state_glance(Model *model, Datum contact)
{
	Relation	table = table_open(model->state_relid, AccessShareLock);
	HeapTupleData tuple;
	Buffer		buffer;
	StateRow   *row = NULL;
	StateReader *reader;

	if (model->state_places != NULL &&
		find_glance(table, ATTR_CONTACT, &model->contact_key,
					model->state_places, contact, &tuple, &buffer))
	{
		counter_add(COUNT_STATE_READS, 1);
		row = row_of_tuple(&tuple, RelationGetDescr(table));
		ReleaseBuffer(buffer);
	}
	table_close(table, NoLock);
	if (row != NULL)
		return row;
	reader = state_begin_read_at(model, SnapshotSelf);
	row = state_read(reader, contact);
	state_end_read(reader);
	return row;
}

/*
 * state_begin_walk, state_walk_to: the same for contacts in key order, this
 * one first, about `total` of them with those of other readers.  False if
 * that is not worth while (find_begin_walk).
 */
bool
state_begin_walk(StateReader *reader, Datum first, int64 total)
{
	return find_begin_walk(reader, first, total);
}

StateRow *
state_walk_to(StateReader *reader, Datum contact)
{
	counter_add(COUNT_STATE_READS, 1);
	return find_next(reader, contact) ?
		row_in_slot(reader->slot) : NULL;
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
	return find_again(reader, &row->tid) &&
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

