/*-------------------------------------------------------------------------
 *
 * clause.h
 *	  The clauses that a predicate is put together of.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_CLAUSE_H
#define LIFECYCLE_CLAUSE_H

#include "nodes/pg_list.h"

/* A part of a predicate that is a predicate itself. */
typedef struct Clause
{
	int			level;			/* 0: the whole text */
	bool		whole;			/* it has no parts */
	char	   *text;			/* as the user wrote it */
} Clause;

extern List *clause_split(const char *text);

#endif							/* LIFECYCLE_CLAUSE_H */
