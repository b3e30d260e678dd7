/*-------------------------------------------------------------------------
 *
 * identity.h
 *	  Whose events they are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_IDENTITY_H
#define LIFECYCLE_IDENTITY_H

#include "transition.h"

/* The persons whose events a statement inserted or updated. */
typedef struct Arrivals
{
	Bitmapset  *stripes;		/* of their locks, see stripe.c */
	int			count;			/* of stripes */
	char	  **ids;			/* anonymous ids of events without contact */
	int			nids;
	int			allocated;
} Arrivals;

extern void identity_note(Run *run, Arrivals *arrivals, TupleTableSlot *slot,
						  Datum contact, bool isnull);
extern void identity_settle(Run *run, Arrivals *arrivals, Transition *rows,
							bool inserted, int hits_before);
extern void identity_give(Run *run, PlanId id, bool fresh);
extern Datum identity_ids(char **ids, int count);

#endif							/* LIFECYCLE_IDENTITY_H */
