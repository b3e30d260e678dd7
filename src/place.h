/*-------------------------------------------------------------------------
 *
 * place.h
 *	  Where this session found rows of contact_state.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_PLACE_H
#define LIFECYCLE_PLACE_H

#include "model.h"

extern int	place_recall(Model *model, uint32 hash, ItemPointerData *address);
extern void place_remember(Model *model, uint32 hash,
						   const ItemPointerData *address);
extern bool place_begin_fill(Model *model, double rows);
extern void place_put(Model *model, uint32 hash,
					  const ItemPointerData *address);

#endif							/* LIFECYCLE_PLACE_H */
