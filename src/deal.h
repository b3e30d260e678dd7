/*-------------------------------------------------------------------------
 *
 * deal.h
 *	  What happens to deals, and to whom.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_DEAL_H
#define LIFECYCLE_DEAL_H

#include "run.h"

/* deal.c */
extern DealChange *deal_change(Run *run, TupleTableSlot *old,
							   TupleTableSlot *new);
extern void deal_hit(Run *run, Datum contact, Atom **atoms, int natoms);
extern Bitmapset *deal_add_stripe(Run *run, TableKind kind,
								  TupleTableSlot *slot, Bitmapset *stripes);

/* deal_contact.c */
extern void deal_contact_gather(Run *run, List *changes, Atom **atoms,
								int natoms);

#endif							/* LIFECYCLE_DEAL_H */
