/*-------------------------------------------------------------------------
 *
 * instant.h
 *	  Atoms and time: the instants that their statements are given, and those
 *	  at which time alone changes them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_INSTANT_H
#define LIFECYCLE_INSTANT_H

#include "atom.h"

extern void instant_params(const Model *model, const AtomSpec *spec,
						   TimestampTz clock, Oid *types, Datum *values);
extern void instant_each_params(const Model *model, const AtomSpec *spec,
								const TimestampTz *clocks, int count,
								Oid *types, Datum *values);
extern AtomValue instant_of_column(const Model *model, const AtomSpec *spec,
								   Datum value, bool isnull,
								   TimestampTz clock);
extern TimestampTz instant_turn(const Model *model, const AtomSpec *spec,
								TimestampTz time, TimestampTz clock);

#endif							/* LIFECYCLE_INSTANT_H */
