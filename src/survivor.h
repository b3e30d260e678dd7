/*-------------------------------------------------------------------------
 *
 * survivor.h
 *	  Whose the events of merged contacts are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_SURVIVOR_H
#define LIFECYCLE_SURVIVOR_H

#include "run.h"

extern uint64 survivor_look_up(Model *model, Datum contacts);
extern Datum survivor_of(Model *model, Datum contact);
extern bool survivor_may_matter(const Model *model);
extern void survivor_follow(Run *run, Datum gone, Datum came);

#endif							/* LIFECYCLE_SURVIVOR_H */
