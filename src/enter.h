/*-------------------------------------------------------------------------
 *
 * enter.h
 *	  Members of a new segment, written down in bulk.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_ENTER_H
#define LIFECYCLE_ENTER_H

#include "run.h"

extern void enter_begin(Run *run, int count);
extern void enter_add(Run *run, Datum contact, List *values, List *changes);
extern void enter_write(Run *run, int64 total);

#endif							/* LIFECYCLE_ENTER_H */
