/*-------------------------------------------------------------------------
 *
 * generated.h
 *	  Virtual generated columns in predicates.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_GENERATED_H
#define LIFECYCLE_GENERATED_H

#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"

extern Node *generated_expand(Node *node, List *tables);
extern Bitmapset *generated_used(Node *node, Oid table, int varno);
extern Bitmapset *generated_add_sources(Bitmapset *columns, Oid table);

#endif							/* LIFECYCLE_GENERATED_H */
