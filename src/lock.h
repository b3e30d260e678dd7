/*-------------------------------------------------------------------------
 *
 * lock.h
 *	  The rows of contacts, locked and read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_LOCK_H
#define LIFECYCLE_LOCK_H

#include "run.h"

extern void lock_contacts(Run *run, Work **works, int count);
extern void lock_read_before(Run *run, Work **works, int count);

#endif							/* LIFECYCLE_LOCK_H */
