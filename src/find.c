/*-------------------------------------------------------------------------
 *
 * find.c
 *	  Rows of a table by their unique key, without a plan.
 *
 * One look-up of a state is all that most events cost, and one of a contact is
 * much of what a change costs.  A row is looked for where the session found it
 * last (place.c), then by the index.  What is found in a place is right if it
 * is visible to the snapshot and has the key, which is unique; where a row has
 * moved, or was deleted and its place given to another, it is simply not there.
 *
 * An address beyond the table's end, which TRUNCATE or VACUUM may have brought
 * nearer, is not followed; while the table is locked it cannot come nearer.  The
 * size that this session knew last spares a system call: the table can only
 * have grown since, as whoever cuts it off has told us before we got the lock.
 *
 * Whoever asks for many rows says so beforehand (find_expect), so that the
 * processor can fetch the places from memory before they are needed.
 *
 * Whoever asks for many rows in key order goes along the index instead
 * (find_begin_walk).  Whoever asks for one row as it is now may look where it
 * was without any of this (find_glance), before he asks as others do.
 *
 * The caller holds a lock on the table; the index is locked when it is first
 * searched, to the end of the transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/smgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "find.h"
#include "place.h"

/* A search costs as much as so many steps along the index. */
#define WORTH_WALKING	16

/* A page is pruned that has less room, in bytes, than for a few new versions. */
#define ROOM_FOR_VERSIONS	512

static void
open_index(Finder *finder)
{
	if (finder->index != NULL)
		return;
	finder->index = index_open(finder->index_id, finder->index_lock);
	finder->scan = compat_index_beginscan(finder->table, finder->index,
										  finder->snapshot, 1);
	ScanKeyEntryInitialize(&finder->scankey, 0, 1, BTEqualStrategyNumber,
						   InvalidOid, finder->index->rd_indcollation[0],
						   finder->type->equals, (Datum) 0);
}

/*
 * Remember where all rows are, if it is time to.
 */
static void
fill_places(Finder *finder)
{
	IndexScanDesc scan;
	ItemPointer address;

	if (!place_begin_fill(finder->places, finder->table->rd_rel->reltuples))
		return;
	open_index(finder);
	scan = compat_index_beginscan(finder->table, finder->index,
								  finder->snapshot, 0);
	scan->xs_want_itup = true;
	index_rescan(scan, NULL, 0, NULL, 0);
	while ((address = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		bool		isnull;
		Datum		key = index_getattr(scan->xs_itup, 1, scan->xs_itupdesc,
										&isnull);

		CHECK_FOR_INTERRUPTS();
		place_put(finder->places, key_hash(finder->type, key), address);
	}
	index_endscan(scan);
}

/*
 * How long the table is at least, as far as this session knows.
 */
static BlockNumber
known_blocks(Relation table)
{
	BlockNumber known = RelationGetSmgr(table)->smgr_cached_nblocks[MAIN_FORKNUM];

	return known != InvalidBlockNumber ? known : 0;
}

/*
 * find_begin: open a look-up in a table by the column `attno`, whose unique
 * index it is.  Allocates in the current memory context; the places of the
 * table's rows, *places, are made at the first use, to live as long as the
 * model.
 */
Finder *
find_begin(Relation table, Oid index_id, LOCKMODE index_lock, AttrNumber attno,
		   KeyType *type, MemoryContext model_context, Places **places,
		   Snapshot snapshot)
{
	Finder	   *finder = palloc0(sizeof(Finder));

	finder->context = CurrentMemoryContext;
	finder->table = table;
	finder->attno = attno;
	finder->type = type;
	finder->snapshot = IsMVCCSnapshot(snapshot) ?
		RegisterSnapshot(snapshot) : snapshot;
	finder->blocks = known_blocks(table);
	finder->slot = table_slot_create(table, NULL);
	finder->index_id = index_id;
	finder->index_lock = index_lock;
	if (OidIsValid(type->hash.fn_oid))
	{
		if (*places == NULL)
			*places = place_create(model_context);
		finder->places = *places;
		fill_places(finder);
	}
	return finder;
}

void
find_end(Finder *finder)
{
	if (finder->fetch != NULL)
		table_index_fetch_end(finder->fetch);
	if (finder->index != NULL)
	{
		index_endscan(finder->scan);
		index_close(finder->index, NoLock);
	}
	ExecDropSingleTupleTableSlot(finder->slot);
	if (IsMVCCSnapshot(finder->snapshot))
		UnregisterSnapshot(finder->snapshot);
	pfree(finder);
}

/*
 * Is this an address in the table, of which so many blocks are known?
 */
static bool
is_within(Relation table, BlockNumber *blocks, const ItemPointerData *address)
{
	BlockNumber block = ItemPointerGetBlockNumber(address);

	if (block >= *blocks)
		*blocks = RelationGetNumberOfBlocks(table);
	return block < *blocks;
}

/*
 * Is the row with this key at the address, to which the index pointed?  Then
 * it is in the slot.
 */
static bool
is_at(Finder *finder, ItemPointerData address, Datum key)
{
	bool		again = false;
	bool		isnull;

	if (finder->fetch == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(finder->context);

		finder->fetch = table_index_fetch_begin(finder->table);
		MemoryContextSwitchTo(old);
	}
	return is_within(finder->table, &finder->blocks, &address) &&
		table_index_fetch_tuple(finder->fetch, &address, finder->snapshot,
								finder->slot, &again, NULL) &&
		key_compare(finder->type,
					slot_getattr(finder->slot, finder->attno, &isnull),
					key) == 0;
}

/*
 * Find the row by the index, and where that points for it; false if there is
 * none.
 */
static bool
search(Finder *finder, Datum key, ItemPointer address)
{
	MemoryContext old;
	ItemPointer next;
	bool		found = false;

	finder->searches++;

	/*
	 * The scan keeps memory of its own from one call to the next (the list of
	 * dead index entries), so it must not come from a context that the caller
	 * resets in between.
	 */
	old = MemoryContextSwitchTo(finder->context);
	open_index(finder);
	finder->scankey.sk_argument = key;
	index_rescan(finder->scan, &finder->scankey, 1, NULL, 0);
	while (!found && (next = index_getnext_tid(finder->scan,
											   ForwardScanDirection)) != NULL)
	{
		*address = *next;		/* which the next call changes */
		found = index_fetch_heap(finder->scan, finder->slot);
	}
	MemoryContextSwitchTo(old);
	return found;
}

/*
 * Fetch the place of one of the keys that are expected.
 */
static void
fetch_place(Finder *finder, int number)
{
	uint32		hash = key_hash(finder->type, finder->expected[number]);

	finder->hash[number % FIND_AHEAD] = hash;
	place_fetch(finder->places, hash);
}

/*
 * find_expect: find_row will be asked for these very keys, in this order; some
 * may be left out.  They stay where they are until then.
 */
void
find_expect(Finder *finder, const Datum *keys, int count)
{
	finder->expected = keys;
	finder->nexpected = finder->places != NULL ? count : 0;
	finder->asked = 0;
	for (int i = 0; i < Min(finder->nexpected, FIND_AHEAD); i++)
		fetch_place(finder, i);
}

/*
 * The hash of the key that is asked for.
 */
static uint32
hash_of(Finder *finder, Datum key)
{
	while (finder->asked < finder->nexpected)
	{
		int			number = finder->asked++;
		uint32		hash = finder->hash[number % FIND_AHEAD];

		if (number + FIND_AHEAD < finder->nexpected)
			fetch_place(finder, number + FIND_AHEAD);
		if (finder->expected[number] == key)
			return hash;
	}
	return key_hash(finder->type, key);
}

/*
 * find_row: the row with this key, in the slot; false if there is none.
 */
bool
find_row(Finder *finder, Datum key)
{
	uint32		hash = 0;
	ItemPointerData address[PLACES_A_LINE];
	int			count = 0;

	if (finder->places != NULL)
	{
		hash = hash_of(finder, key);
		count = place_recall(finder->places, hash, address);
	}
	while (count > 0)
		if (is_at(finder, address[--count], key))
			return true;
	if (!search(finder, key, &address[0]))
		return false;
	if (finder->places != NULL)
		place_remember(finder->places, hash, &address[0]);
	return true;
}

/*
 * find_begin_walk: from now on rows are asked for in key order (find_next),
 * this key first, about `total` of them with those of other finders.  False if
 * that is not worth while, because it costs less to search for so few than to
 * go along the index from one to the next; or if the index has another order
 * than the keys.
 */
bool
find_begin_walk(Finder *finder, Datum first, int64 total)
{
	const KeyType *type = finder->type;
	ScanKeyData scankey;
	Oid			input;
	Oid			operator;

	if (finder->table->rd_rel->reltuples < 0 ||
		finder->table->rd_rel->reltuples > WORTH_WALKING * (double) total)
		return false;
	open_index(finder);
	if (finder->index->rd_opfamily[0] != type->opfamily ||
		finder->index->rd_indcollation[0] != type->collation)
		return false;
	input = finder->index->rd_opcintype[0];
	operator = get_opfamily_member(type->opfamily, input, input,
								   BTGreaterEqualStrategyNumber);
	ScanKeyEntryInitialize(&scankey, 0, 1, BTGreaterEqualStrategyNumber,
						   InvalidOid, type->collation, get_opcode(operator),
						   first);
	finder->scan->xs_want_itup = true;
	index_rescan(finder->scan, &scankey, 1, NULL, 0);
	finder->ahead = false;
	return true;
}

/*
 * find_next: the row with a key that comes after the one before, in the slot;
 * false if there is none.
 */
bool
find_next(Finder *finder, Datum key)
{
	IndexScanDesc scan = finder->scan;
	MemoryContext old = MemoryContextSwitchTo(finder->context);
	int			order = -1;
	bool		found = false;

	while (order <= 0 && !found &&
		   (finder->ahead ||
			index_getnext_tid(scan, ForwardScanDirection) != NULL))
	{
		bool		isnull;
		Datum		here = index_getattr(scan->xs_itup, 1, scan->xs_itupdesc,
										 &isnull);

		order = key_compare(finder->type, here, key);
		finder->ahead = order > 0;
		if (order == 0)			/* of several versions one is visible */
			found = index_fetch_heap(scan, finder->slot);
	}
	MemoryContextSwitchTo(old);
	return found;
}

/*
 * find_again: the row version at this address, in the slot; false if none is
 * visible there.
 */
bool
find_again(Finder *finder, const ItemPointerData *address)
{
	ItemPointerData copy = *address;

	return is_within(finder->table, &finder->blocks, address) &&
		table_tuple_fetch_row_version(finder->table, &copy, finder->snapshot,
									  finder->slot);
}

/*
 * The row that is the newest of those at the address and what follows from it,
 * in a pinned buffer; false if none is, or it has another key.
 *
 * A page without room is pruned first, as pruning moves rows, also those of
 * a buffer that we have pinned.
 */
static bool
glance_at(Relation table, ItemPointerData address, AttrNumber attno,
		  KeyType *type, Datum key, HeapTuple row, Buffer *buffer)
{
	bool		isnull;
	bool		found;

	*buffer = ReadBuffer(table, ItemPointerGetBlockNumber(&address));
	if (PageGetHeapFreeSpace(BufferGetPage(*buffer)) < ROOM_FOR_VERSIONS)
		heap_page_prune_opt(table, *buffer);
	LockBuffer(*buffer, BUFFER_LOCK_SHARE);
	found = heap_hot_search_buffer(&address, table, *buffer, SnapshotSelf, row,
								   NULL, true);
	LockBuffer(*buffer, BUFFER_LOCK_UNLOCK);
	if (found && key_compare(type, heap_getattr(row, attno,
												RelationGetDescr(table),
												&isnull), key) == 0)
		return true;
	ReleaseBuffer(*buffer);
	return false;
}

/*
 * find_glance: the row with this key as it is committed now, or as this
 * transaction has written it, if it is where the session found it last; false
 * if it is not, or the table is no heap.
 *
 * This spares one row what find_begin and find_row need for many: a snapshot, a
 * slot, a scan.  And a page is pruned only if it has no room for a few new
 * versions, not whenever it has less than the fill factor leaves.  The caller
 * holds a lock on the table, and releases the buffer in which the row is.
 */
bool
find_glance(Relation table, AttrNumber attno, KeyType *type, Places *places,
			Datum key, HeapTuple row, Buffer *buffer)
{
	BlockNumber blocks = known_blocks(table);
	ItemPointerData address[PLACES_A_LINE];
	int			count;

	if (table->rd_tableam != GetHeapamTableAmRoutine())
		return false;
	count = place_recall(places, key_hash(type, key), address);
	while (count > 0)
		if (is_within(table, &blocks, &address[--count]) &&
			glance_at(table, address[count], attno, type, key, row, buffer))
			return true;
	return false;
}
