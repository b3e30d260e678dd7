/*-------------------------------------------------------------------------
 *
 * step.h
 *	  Contacts that are due, one instant after the other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_STEP_H
#define LIFECYCLE_STEP_H

#include "run.h"

/* A contact that time alone may change at an instant. */
typedef struct DueContact
{
	Datum		contact;
	TimestampTz due;
	bool		again;			/* it has been stepped before */
	bool		afresh;			/* it begins at this instant */
} DueContact;

extern void step_replay(Model *model, DueContact *due, int count,
						TimestampTz until, Tally *tally);
extern void step_contacts(Model *model, DueContact *due, int count,
						  TimestampTz until, Run *outer, bool skip_locked,
						  Tally *tally);

#endif							/* LIFECYCLE_STEP_H */
