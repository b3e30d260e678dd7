/*-------------------------------------------------------------------------
 *
 * state.c
 *	  The packed state of a contact, and how it is read.
 *
 * A row of contact_state keeps what decides: for each atom that is not at
 * its default a count or a truth, and the instant at which time alone may
 * change it; and the numbers of the segments that the contact is in.  The
 * bytea is
 *
 *		version		1 byte, STATE_VERSION
 *		flags		1 byte, STATE_ORPHAN
 *		known		varint
 *		natoms		varint, then for each atom
 *			id		varint, difference to the one before
 *			count	varint, (count << 2) | unknown << 1 | has a due time
 *			due		8 bytes, microseconds since 2000-01-01 UTC, if it has one
 *		nsegments	varint, then for each segment
 *			id		varint, difference to the one before
 *
 * Numbers are those of the model's own tables, never Oids, so that the state
 * survives dump and restore.  Byte order is fixed (network order).
 *
 * Reading goes directly to the table through its primary key, on a snapshot
 * taken when the reader is opened: one look-up is all that most events cost.
 * Writing is done by SQL, in record.c, with one exception.
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
#include "port/pg_bswap.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "counter.h"
#include "state.h"

#define STATE_VERSION	1
#define STATE_ORPHAN	0x01

#define COUNT_HAS_DUE	0x01
#define COUNT_UNKNOWN	0x02
#define COUNT_SHIFT		2

/* Attribute numbers in contact_state, as model.sql creates it. */
#define ATTR_DUE	2
#define ATTR_CLOCK	3
#define ATTR_STATE	4

static uint64
get_varint(const uint8 **at, const uint8 *end)
{
	uint64		value = 0;
	int			shift = 0;

	for (;;)
	{
		uint8		byte;

		if (*at >= end || shift > 63)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("state of a contact is damaged"),
					 errhint("Use lifecycle_rebuild.")));
		byte = *(*at)++;
		value |= (uint64) (byte & 0x7F) << shift;
		if ((byte & 0x80) == 0)
			return value;
		shift += 7;
	}
}

static void
put_varint(StringInfo buffer, uint64 value)
{
	while (value >= 0x80)
	{
		appendStringInfoCharMacro(buffer, (char) (value | 0x80));
		value >>= 7;
	}
	appendStringInfoCharMacro(buffer, (char) value);
}

/*
 * state_new: the state of a contact without events, of whom all atoms up to
 * `known` are known to have none.
 */
StateRow *
state_new(int known)
{
	StateRow   *row = palloc0(sizeof(StateRow));

	row->known = known;
	row->clock = DT_NOBEGIN;
	row->due = NOT_DUE;
	row->atoms_allocated = 8;
	row->atoms = palloc(row->atoms_allocated * sizeof(AtomState));
	row->segments_allocated = 8;
	row->segments = palloc(row->segments_allocated * sizeof(int));
	return row;
}

/*
 * state_unpack: a state from its bytea; raises XX001 if it is damaged.
 */
StateRow *
state_unpack(const bytea *packed)
{
	StateRow   *row = palloc0(sizeof(StateRow));
	const uint8 *at = (const uint8 *) VARDATA_ANY(packed);
	const uint8 *end = at + VARSIZE_ANY_EXHDR(packed);
	int			id = 0;

	if (end - at < 2 || at[0] != STATE_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("state of a contact has an unknown version"),
				 errhint("Use lifecycle_rebuild.")));
	row->exists = true;
	row->orphan = (at[1] & STATE_ORPHAN) != 0;
	at += 2;
	row->known = (int) get_varint(&at, end);
	row->natoms = (int) get_varint(&at, end);
	row->atoms_allocated = row->natoms + 4;
	row->atoms = palloc(row->atoms_allocated * sizeof(AtomState));
	for (int i = 0; i < row->natoms; i++)
	{
		AtomState  *atom = &row->atoms[i];
		uint64		count;

		id += (int) get_varint(&at, end);
		count = get_varint(&at, end);
		atom->id = id;
		atom->count = (int64) (count >> COUNT_SHIFT);
		atom->unknown = (count & COUNT_UNKNOWN) != 0;
		atom->due = NOT_DUE;
		if (count & COUNT_HAS_DUE)
		{
			uint64		due;

			if (end - at < (ptrdiff_t) sizeof(due))
				at = end;
			else
			{
				memcpy(&due, at, sizeof(due));
				atom->due = (TimestampTz) pg_ntoh64(due);
				at += sizeof(due);
			}
		}
	}
	id = 0;
	row->nsegments = (int) get_varint(&at, end);
	row->segments_allocated = row->nsegments + 4;
	row->segments = palloc(row->segments_allocated * sizeof(int));
	for (int i = 0; i < row->nsegments; i++)
		row->segments[i] = id += (int) get_varint(&at, end);
	return row;
}

/*
 * state_pack: the bytea of a state.
 */
bytea *
state_pack(const StateRow *row)
{
	StringInfoData buffer;
	int			id = 0;
	int			natoms = 0;

	initStringInfo(&buffer);
	appendStringInfoSpaces(&buffer, VARHDRSZ);
	appendStringInfoCharMacro(&buffer, STATE_VERSION);
	appendStringInfoCharMacro(&buffer, row->orphan ? STATE_ORPHAN : 0);
	put_varint(&buffer, row->known);

	/* An entry that says what no entry says is left out. */
#define IS_DEFAULT(atom) \
	((atom)->id <= row->known && (atom)->count == 0 && \
	 (atom)->due == NOT_DUE && !(atom)->unknown)

	for (int i = 0; i < row->natoms; i++)
		if (!IS_DEFAULT(&row->atoms[i]))
			natoms++;
	put_varint(&buffer, natoms);
	for (int i = 0; i < row->natoms; i++)
	{
		const AtomState *atom = &row->atoms[i];
		bool		has_due = atom->due != NOT_DUE;

		if (IS_DEFAULT(atom))
			continue;
		put_varint(&buffer, atom->id - id);
		id = atom->id;
		put_varint(&buffer, ((uint64) atom->count << COUNT_SHIFT) |
				   (atom->unknown ? COUNT_UNKNOWN : 0) |
				   (has_due ? COUNT_HAS_DUE : 0));
		if (has_due)
		{
			uint64		due = pg_hton64((uint64) atom->due);

			appendBinaryStringInfo(&buffer, (char *) &due, sizeof(due));
		}
	}
	id = 0;
	put_varint(&buffer, row->nsegments);
	for (int i = 0; i < row->nsegments; i++)
	{
		put_varint(&buffer, row->segments[i] - id);
		id = row->segments[i];
	}
	SET_VARSIZE(buffer.data, buffer.len);
	return (bytea *) buffer.data;
}

/*
 * state_begin_read: open a look-up.  Takes AccessShareLock on contact_state
 * and its primary key, kept to the end of the transaction.  Our own changes
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
	StateReader *reader = palloc(sizeof(StateReader));

	reader->model = model;
	reader->table = table_open(model->state_relid, AccessShareLock);
	reader->index = index_open(model->state_index, AccessShareLock);
	reader->snapshot = RegisterSnapshot(snapshot);
	reader->equals =
		get_opcode(get_opfamily_member(reader->index->rd_opfamily[0],
									   reader->index->rd_opcintype[0],
									   reader->index->rd_opcintype[0],
									   BTEqualStrategyNumber));
	reader->slot = table_slot_create(reader->table, NULL);
	reader->scan = compat_index_beginscan(reader->table, reader->index,
										  reader->snapshot, 1);
	return reader;
}

void
state_end_read(StateReader *reader)
{
	index_endscan(reader->scan);
	ExecDropSingleTupleTableSlot(reader->slot);
	UnregisterSnapshot(reader->snapshot);
	index_close(reader->index, NoLock);
	table_close(reader->table, NoLock);
	pfree(reader);
}

/*
 * state_read: the state of a contact, NULL if there is no row.
 */
StateRow *
state_read(StateReader *reader, Datum contact)
{
	ScanKeyData scankey;
	StateRow   *row;
	Datum		value;
	bool		isnull;
	bool		found;
	MemoryContext old;

	counter_add(COUNT_STATE_READS, 1);
	ScanKeyEntryInitialize(&scankey, 0, 1, BTEqualStrategyNumber, InvalidOid,
						   reader->index->rd_indcollation[0],
						   reader->equals, contact);

	/*
	 * The scan keeps memory of its own from one call to the next (the list of
	 * dead index entries), so it must not come from a context that the caller
	 * resets in between.
	 */
	old = MemoryContextSwitchTo(GetMemoryChunkContext(reader));
	index_rescan(reader->scan, &scankey, 1, NULL, 0);
	found = index_getnext_slot(reader->scan, ForwardScanDirection,
							   reader->slot);
	MemoryContextSwitchTo(old);
	if (!found)
		return NULL;

	value = slot_getattr(reader->slot, ATTR_STATE, &isnull);
	row = state_unpack(DatumGetByteaPP(value));
	row->tid = reader->slot->tts_tid;
	value = slot_getattr(reader->slot, ATTR_CLOCK, &isnull);
	row->clock = isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
	value = slot_getattr(reader->slot, ATTR_DUE, &isnull);
	row->due = isnull ? NOT_DUE : DatumGetTimestampTz(value);
	return row;
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

/*
 * Where an atom stands among the entries, or would stand.
 */
static int
atom_position(const StateRow *row, int id)
{
	int			low = 0;
	int			high = row->natoms;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (row->atoms[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * state_atom: the entry of an atom, NULL if it has none.
 */
AtomState *
state_atom(StateRow *row, int id)
{
	int			at = atom_position(row, id);

	if (at < row->natoms && row->atoms[at].id == id)
		return &row->atoms[at];
	return NULL;
}

/*
 * state_make_atom: the entry of an atom; made if it has none, as unknown if
 * nothing is known of it.  Entries move when others are made.
 */
AtomState *
state_make_atom(StateRow *row, int id)
{
	int			at = atom_position(row, id);
	AtomState  *atom;

	if (at < row->natoms && row->atoms[at].id == id)
		return &row->atoms[at];
	if (row->natoms == row->atoms_allocated)
	{
		row->atoms_allocated *= 2;
		row->atoms = repalloc(row->atoms,
							  row->atoms_allocated * sizeof(AtomState));
	}
	memmove(&row->atoms[at + 1], &row->atoms[at],
			(row->natoms - at) * sizeof(AtomState));
	row->natoms++;
	atom = &row->atoms[at];
	atom->id = id;
	atom->count = 0;
	atom->due = NOT_DUE;
	atom->unknown = id > row->known;
	return atom;
}

static int
segment_position(const StateRow *row, int segment)
{
	int			low = 0;
	int			high = row->nsegments;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (row->segments[middle] < segment)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * state_in_segment: is the contact in the segment?
 */
bool
state_in_segment(const StateRow *row, int segment)
{
	int			at = segment_position(row, segment);

	return at < row->nsegments && row->segments[at] == segment;
}

/*
 * state_set_segment: enter or leave a segment.
 */
void
state_set_segment(StateRow *row, int segment, bool member)
{
	int			at = segment_position(row, segment);
	bool		is_member = at < row->nsegments &&
		row->segments[at] == segment;

	if (is_member == member)
		return;
	if (!member)
	{
		row->nsegments--;
		memmove(&row->segments[at], &row->segments[at + 1],
				(row->nsegments - at) * sizeof(int));
		return;
	}
	if (row->nsegments == row->segments_allocated)
	{
		row->segments_allocated *= 2;
		row->segments = repalloc(row->segments,
								 row->segments_allocated * sizeof(int));
	}
	memmove(&row->segments[at + 1], &row->segments[at],
			(row->nsegments - at) * sizeof(int));
	row->segments[at] = segment;
	row->nsegments++;
}

/*
 * state_set_due: the row is due when the first of its atoms is.
 */
void
state_set_due(StateRow *row)
{
	row->due = NOT_DUE;
	for (int i = 0; i < row->natoms; i++)
		row->due = Min(row->due, row->atoms[i].due);
}
