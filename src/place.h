/*-------------------------------------------------------------------------
 *
 * place.h
 *	  Where this session found rows of a table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_PLACE_H
#define LIFECYCLE_PLACE_H

#include "model.h"

/* So many rows have room where the hash of a key says. */
#define PLACES_A_LINE	8

extern Places *place_create(MemoryContext context);
extern int	place_recall(Places *places, uint32 hash, ItemPointerData *address);
extern void place_fetch(const Places *places, uint32 hash);
extern void place_remember(Places *places, uint32 hash,
						   const ItemPointerData *address);
extern bool place_begin_fill(Places *places, double rows);
extern void place_put(Places *places, uint32 hash,
					  const ItemPointerData *address);

#endif							/* LIFECYCLE_PLACE_H */
