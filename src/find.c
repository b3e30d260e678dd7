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
 * (find_begin_walk).
 *
 * The table is a heap, and rows are looked at where they lie, in the page that
 * is pinned until the next look: the access method's own way leads through a
 * slot, and prunes a page whenever it has less room than the fill factor
 * leaves.  Here it is pruned when it has no room for a few more versions, or
 * one did not fit in.  That comes before the look, as pruning moves rows, also
 * those of a page that only we have pinned.  Under SERIALIZABLE the functions
 * called here note what was read as they do for a plan.
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
#include "access/xlog.h"
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
 * find_can_read: is it a heap?
 */
bool
find_can_read(Relation table)
{
	return table->rd_tableam == GetHeapamTableAmRoutine();
}

/*
 * find_begin: open a look-up in a heap by the column `attno`, whose unique
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

	Assert(find_can_read(table));
	finder->context = CurrentMemoryContext;
	finder->table = table;
	finder->attno = attno;
	finder->type = type;
	finder->snapshot = IsMVCCSnapshot(snapshot) ?
		RegisterSnapshot(snapshot) : snapshot;
	finder->blocks = known_blocks(table);
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
	if (BufferIsValid(finder->buffer))
		ReleaseBuffer(finder->buffer);
	if (finder->index != NULL)
	{
		index_endscan(finder->scan);
		index_close(finder->index, NoLock);
	}
	if (IsMVCCSnapshot(finder->snapshot))
		UnregisterSnapshot(finder->snapshot);
	pfree(finder);
}

/*
 * Is this an address in the table?
 */
static bool
is_within(Finder *finder, const ItemPointerData *address)
{
	BlockNumber block = ItemPointerGetBlockNumber(address);

	if (block >= finder->blocks)
		finder->blocks = RelationGetNumberOfBlocks(finder->table);
	return block < finder->blocks;
}

static bool
has_key(Finder *finder, Datum key)
{
	bool		isnull;
	Datum		own = heap_getattr(&finder->row, finder->attno,
								   RelationGetDescr(finder->table), &isnull);

	return !isnull && key_compare(finder->type, own, key) == 0;
}

/*
 * Pin the page of a block.
 */
static void
turn_to(Finder *finder, BlockNumber block)
{
	Page		page;

	if (BufferIsValid(finder->buffer) &&
		BufferGetBlockNumber(finder->buffer) == block)
		return;
	finder->buffer = ReleaseAndReadBuffer(finder->buffer, finder->table,
										  block);
	page = BufferGetPage(finder->buffer);
	if (PageIsFull(page) || PageGetHeapFreeSpace(page) < ROOM_FOR_VERSIONS)
		heap_page_prune_opt(finder->table, finder->buffer);
}

/*
 * Is the row with this key at the address, to which the index pointed?  Then
 * its visible version is finder->row.  *dead: nobody needs what is there.
 */
static bool
is_at(Finder *finder, ItemPointerData address, Datum key, bool *dead)
{
	bool		found;

	if (!is_within(finder, &address))
		return false;
	turn_to(finder, ItemPointerGetBlockNumber(&address));
	LockBuffer(finder->buffer, BUFFER_LOCK_SHARE);
	found = heap_hot_search_buffer(&address, finder->table, finder->buffer,
								   finder->snapshot, &finder->row, dead, true);
	LockBuffer(finder->buffer, BUFFER_LOCK_UNLOCK);
	return found && has_key(finder, key);
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
		bool		dead = false;

		*address = *next;		/* which the next call changes */
		found = is_at(finder, *address, key, &dead);
		finder->scan->kill_prior_tuple = dead && !RecoveryInProgress();
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
 * find_row: the row with this key, as finder->row; false if there is none.
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
		if (is_at(finder, address[--count], key, NULL))
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
 * find_next: the row with a key that comes after the one before, as finder->row;
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
			found = is_at(finder, scan->xs_heaptid, key, NULL);
	}
	MemoryContextSwitchTo(old);
	return found;
}

/*
 * find_again: the row version at this address, as finder->row; false if none is
 * visible there.
 */
bool
find_again(Finder *finder, const ItemPointerData *address)
{
	Buffer		buffer;

	if (!is_within(finder, address))
		return false;
	finder->row.t_self = *address;
	if (!heap_fetch(finder->table, finder->snapshot, &finder->row, &buffer,
					false))
		return false;
	if (BufferIsValid(finder->buffer))
		ReleaseBuffer(finder->buffer);
	finder->buffer = buffer;
	return true;
}
