/*-------------------------------------------------------------------------
 *
 * settled.h
 *	  Events that change nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_SETTLED_H
#define LIFECYCLE_SETTLED_H

#include "run.h"
#include "transition.h"

extern bool settled_hits(TimestampTz clock, Hit *const *hits, int count,
						 PackedState *state);
extern bool settled_single(Model *model, TriggerData *trigdata,
						   TupleConversionMap *map);

#endif							/* LIFECYCLE_SETTLED_H */
