/*-------------------------------------------------------------------------
 *
 * find.h
 *	  Rows of a table by their unique key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_FIND_H
#define LIFECYCLE_FIND_H

#include "access/genam.h"
#include "access/htup.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "storage/buf.h"
#include "utils/snapshot.h"

#include "model.h"

/*
 * The place of a key is fetched so many keys before it: far enough for memory
 * to answer meanwhile, and not so far that it has to be fetched again.
 */
#define FIND_AHEAD		8

/* An open look-up of rows by key on one snapshot. */
typedef struct Finder
{
	MemoryContext context;		/* of all this */
	Relation	table;
	AttrNumber	attno;			/* of the key */
	KeyType    *type;
	Places	   *places;			/* where rows were; NULL if the type of the key
								 * has no hash */
	Snapshot	snapshot;
	BlockNumber blocks;			/* the table has so many at least */
	HeapTupleData row;			/* that was found */
	Buffer		buffer;			/* where it is; pinned, invalid at first */
	Oid			index_id;
	LOCKMODE	index_lock;
	Relation	index;			/* NULL before the first search */
	IndexScanDesc scan;
	ScanKeyData scankey;
	int64		searches;		/* of the index */
	const Datum *expected;		/* the keys that will be asked for, in order */
	int			nexpected;
	int			asked;			/* so many of them were */
	uint32		hash[FIND_AHEAD];	/* of the next of them */
	bool		ahead;			/* find_next has read one key too many */
} Finder;

extern Finder *find_begin(Relation table, Oid index_id, LOCKMODE index_lock,
						  AttrNumber attno, KeyType *type,
						  MemoryContext model_context, Places **places,
						  Snapshot snapshot);
extern void find_expect(Finder *finder, const Datum *keys, int count);
extern bool find_row(Finder *finder, Datum key);
extern bool find_begin_walk(Finder *finder, Datum first, int64 total);
extern bool find_next(Finder *finder, Datum key);
extern bool find_again(Finder *finder, const ItemPointerData *address);
extern void find_end(Finder *finder);
extern bool find_can_read(Relation table);

#endif							/* LIFECYCLE_FIND_H */
