/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between PostgreSQL 15 and 18, and nothing else.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_COMPAT_H
#define LIFECYCLE_COMPAT_H

#include "access/genam.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* index_beginscan counts its searches since PostgreSQL 18. */
#if PG_VERSION_NUM >= 180000
#define compat_index_beginscan(heap, index, snapshot, keys) \
	index_beginscan(heap, index, snapshot, NULL, keys, 0)
#else
#define compat_index_beginscan(heap, index, snapshot, keys) \
	index_beginscan(heap, index, snapshot, keys, 0)
#endif

/* Intervals can be infinite since PostgreSQL 17. */
#ifndef INTERVAL_NOT_FINITE
#define INTERVAL_NOT_FINITE(i) (false)
#endif

#endif							/* LIFECYCLE_COMPAT_H */
