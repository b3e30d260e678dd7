/*-------------------------------------------------------------------------
 *
 * gather.h
 *	  A statement's new events by contact, in portions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_GATHER_H
#define LIFECYCLE_GATHER_H

#include "run.h"

typedef struct Gathering Gathering;

extern Gathering *gather_begin(Run *run, List *hits);
extern bool gather_next(Gathering *gathering);

#endif							/* LIFECYCLE_GATHER_H */
