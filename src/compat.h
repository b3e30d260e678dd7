/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between PostgreSQL 15 and 18, and between compilers, and
 *	  nothing else.
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

/* A deferrable primary key must be asked for since PostgreSQL 18. */
#if PG_VERSION_NUM >= 180000
#define compat_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel, false)
#else
#define compat_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel)
#endif

/* The set-returning set-up got its name in PostgreSQL 16. */
#if PG_VERSION_NUM >= 160000
#define compat_init_result(fcinfo) \
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC)
#else
#define compat_init_result(fcinfo) \
	SetSingleFuncCall(fcinfo, SRF_SINGLE_USE_EXPECTED)
#endif

/*
 * Since PostgreSQL 16 an update may concern indexes that summarize (BRIN) and
 * no others.
 */
#if PG_VERSION_NUM >= 160000
#define compat_update_indexes TU_UpdateIndexes
#define compat_insert_index_tuples(info, slot, estate, update, no_error) \
	ExecInsertIndexTuples(info, slot, estate, update, no_error, NULL, NIL, \
						  false)
#define compat_update_index_tuples(info, slot, estate, which) \
	ExecInsertIndexTuples(info, slot, estate, true, false, NULL, NIL, \
						  (which) == TU_Summarizing)
#else
#define compat_update_indexes bool
#define compat_insert_index_tuples(info, slot, estate, update, no_error) \
	ExecInsertIndexTuples(info, slot, estate, update, no_error, NULL, NIL)
#define compat_update_index_tuples(info, slot, estate, which) \
	ExecInsertIndexTuples(info, slot, estate, true, false, NULL, NIL)
#endif

/*
 * Generated columns can be virtual since PostgreSQL 18: computed where they
 * are read, and null in the rows that triggers get.
 */
#if PG_VERSION_NUM >= 180000
#define compat_is_virtual(att) \
	((att)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#define compat_has_virtual(desc) \
	((desc)->constr != NULL && (desc)->constr->has_generated_virtual)
#define compat_expand_generated(node, rel, varno) \
	expand_generated_columns_in_expr(node, rel, varno)
#else
#define compat_is_virtual(att) (false)
#define compat_has_virtual(desc) (false)
#define compat_expand_generated(node, rel, varno) (node)
#endif

/* Intervals can be infinite since PostgreSQL 17. */
#ifndef INTERVAL_NOT_FINITE
#define INTERVAL_NOT_FINITE(i) (false)
#endif

/* PostgreSQL has no name for this. */
#if defined(__GNUC__)
#define compat_prefetch(address) __builtin_prefetch(address)
#else
#define compat_prefetch(address) ((void) (address))
#endif

#endif							/* LIFECYCLE_COMPAT_H */
