/*-------------------------------------------------------------------------
 *
 * meaning.h
 *	  What each function of the language means, as SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_MEANING_H
#define LIFECYCLE_MEANING_H

#include "atom.h"

/* Parameters of the statement of each atom. */
#define MEANING_PARAMS 3

extern char *meaning_sql(Model *model, const AtomSpec *spec, bool all,
						 int param);
extern char *meaning_each_sql(Model *model, const AtomSpec *spec);
extern void meaning_each_params(const Model *model, const AtomSpec *spec,
								const TimestampTz *clocks, int count,
								Oid *types, Datum *values);
extern char *meaning_events_sql(Model *model, const char *event,
								const char *filter);
extern char *meaning_add_interval(const Model *model, const char *time,
								  const Interval *interval);
extern void meaning_params(const Model *model, const AtomSpec *spec,
						   TimestampTz clock, Oid *types, Datum *values);
extern AtomValue meaning_of_column(const Model *model, const AtomSpec *spec,
								   Datum value, bool isnull,
								   TimestampTz clock);
extern TimestampTz meaning_turn(const Model *model, const AtomSpec *spec,
								TimestampTz time, TimestampTz clock);

#endif							/* LIFECYCLE_MEANING_H */
