/*-------------------------------------------------------------------------
 *
 * equality.h
 *	  What a filter compares for equality: the key by which atoms are found.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_EQUALITY_H
#define LIFECYCLE_EQUALITY_H

#include "lib/stringinfo.h"
#include "predicate.h"

#define MAX_EQUALITIES	4

/* The conjuncts `expression = constant` that a filter begins with. */
typedef struct Equality
{
	int			count;
	Expr	   *expr[MAX_EQUALITIES];	/* over an event row */
	Const	   *value[MAX_EQUALITIES];
	bool		rest;			/* the filter asks for more than these */
} Equality;

extern bool equality_of_atom(const AtomSpec *spec, Equality *equality);
extern char *equality_key(const Equality *equality, Oid events);
extern char *equality_value(const Equality *equality);
extern char *equality_sql(const Equality *equality, Oid events);
extern void equality_append(StringInfo value, Oid type, Datum datum);
extern bool equality_cannot_raise(Node *node);
extern bool equality_collates(Node *node);

#endif							/* LIFECYCLE_EQUALITY_H */
