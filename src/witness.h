/*-------------------------------------------------------------------------
 *
 * witness.h
 *	  The events that show why an atom has its value.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_WITNESS_H
#define LIFECYCLE_WITNESS_H

#include "model.h"

/* Events that are shown of one atom at most. */
#define MAX_WITNESSES 20

typedef struct Witness
{
	char	   *key;			/* the event's, as text; NULL if it has none */
	TimestampTz time;
} Witness;

extern List *witness_find(Model *model, const AtomSpec *spec, Datum contact,
						  TimestampTz clock);
extern List *witness_merge(List *witnesses, List *others);
extern List *witness_visible(Model *model, List *witnesses);

#endif							/* LIFECYCLE_WITNESS_H */
