/*-------------------------------------------------------------------------
 *
 * total.h
 *	  Totals that the state keeps: of all events, without a window.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_TOTAL_H
#define LIFECYCLE_TOTAL_H

#include "atom.h"
#include "state.h"

extern bool total_is_kept(const AtomSpec *spec);
extern bool total_adds_value(const AtomSpec *spec);
extern bool total_add(const Atom *atom, AtomState *entry, Numeric amount);
extern bool total_store(const Atom *atom, AtomState *entry,
						const AtomValue *value);
extern void total_from_state(const Atom *atom, const AtomState *entry,
							 AtomValue *value);
extern void total_from_query(const Atom *atom, Datum result,
							 AtomValue *value);
extern char *total_text(const Atom *atom, int64 number, const bytea *sum);

#endif							/* LIFECYCLE_TOTAL_H */
