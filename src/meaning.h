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

/* Its columns beside the contact: value, turns, arrives. */
#define MEANING_COLUMNS 3

extern char *meaning_sql(Model *model, const AtomSpec *spec, bool all,
						 int param);
extern bool meaning_is_aggregate(const AtomSpec *spec);
extern char *meaning_together_sql(Model *model, Atom **atoms, int natoms);
extern char *meaning_each_sql(Model *model, const AtomSpec *spec);
extern char *meaning_events_sql(Model *model, const char *event,
								const char *filter);
extern char *meaning_add_interval(const Model *model, const char *time,
								  const Interval *interval);

#endif							/* LIFECYCLE_MEANING_H */
