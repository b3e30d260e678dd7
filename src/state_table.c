/*-------------------------------------------------------------------------
 *
 * state_table.c
 *	  The table contact_state: rows found, and overwritten in place.
 *
 * Reading goes directly to the table (find.c), on a snapshot taken when the
 * reader is opened.
 *
 * Whoever asks for many contacts in key order goes along the index instead
 * (state_begin_walk), and who wants to know of a few atoms only does not unpack
 * the state (state_look).
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

	if (!find_can_read(table))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" must have the access method \"heap\"",
						RelationGetRelationName(table)),
				 errhint("ALTER TABLE %s.contact_state SET ACCESS METHOD heap;",
						 model->schema)));
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

/*
 * The state whose row was found, where it lies.
 */
static void
open_found(StateReader *reader, PackedState *packed)
{
	TupleDesc	desc = RelationGetDescr(reader->table);
	HeapTuple	row = &reader->row;
	bool		isnull;
	Datum		value;

	value = heap_getattr(row, ATTR_STATE, desc, &isnull);
	state_open(packed, isnull ? NULL : DatumGetByteaPP(value));
	value = heap_getattr(row, ATTR_CLOCK, desc, &isnull);
	packed->clock = isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
	value = heap_getattr(row, ATTR_DUE, desc, &isnull);
	packed->due = isnull ? NOT_DUE : DatumGetTimestampTz(value);
	packed->tid = row->t_self;
	packed->xmin = HeapTupleHeaderGetRawXmin(row->t_data);
}

static StateRow *
unpack_found(StateReader *reader)
{
	PackedState packed;

	open_found(reader, &packed);
	return state_unpack(&packed);
}

/*
 * state_look: the state of a contact, where it lies: until the reader's next
 * call.  False if there is no row.  A long one may be copied.
 */
bool
state_look(StateReader *reader, Datum contact, PackedState *packed)
{
	counter_add(COUNT_STATE_READS, 1);
	if (!find_row(reader, contact))
		return false;
	open_found(reader, packed);
	return true;
}

/*
 * state_read: the state of a contact, NULL if there is no row.
 */
StateRow *
state_read(StateReader *reader, Datum contact)
{
	counter_add(COUNT_STATE_READS, 1);
	return find_row(reader, contact) ? unpack_found(reader) : NULL;
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
	return find_next(reader, contact) ? unpack_found(reader) : NULL;
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
		HeapTupleHeaderGetRawXmin(reader->row.t_data) == row->xmin;
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

