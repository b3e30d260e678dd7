/*-------------------------------------------------------------------------
 *
 * atom.h
 *	  Values of atoms, computed from the events.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_ATOM_H
#define LIFECYCLE_ATOM_H

#include "utils/numeric.h"

#include "network.h"

/* The value of an atom at an instant, and when time alone may change it. */
typedef struct AtomValue
{
	Datum		value;			/* of the atom's type; for ATOM_DID the number
								 * of events as int8, at most `times` */
	bool		isnull;
	TimestampTz next;			/* NOT_DUE, or later than the instant */
	TimestampTz arrives;		/* the earliest event after the instant */

	/* METHOD_TOTAL: what total.c keeps of it. */
	int64		number;
	Numeric		sum;			/* or NULL */
} AtomValue;

extern bool atom_is_kept(const Atom *atom);
extern bool atom_is_scanned(const Atom *atom);
extern AtomValue atom_default(const Atom *atom);
extern AtomValue atom_read(Model *model, const Atom *atom,
						   const Datum *columns, const bool *nulls,
						   TimestampTz clock);
extern void atom_scan(Model *model, Atom *atom, Datum *contacts, int count,
					  const TimestampTz *clocks, Snapshot snapshot,
					  AtomValue *values);

#endif							/* LIFECYCLE_ATOM_H */
