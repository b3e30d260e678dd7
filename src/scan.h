/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  The values of atoms for all contacts, by one statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_SCAN_H
#define LIFECYCLE_SCAN_H

#include "run.h"

/* Atoms that one statement computes at most: a row has only so many columns. */
#define MAX_JOINED_ATOMS 100

/* A scan over all contacts with the values of some atoms. */
typedef struct ContactScan
{
	Model	   *model;
	TimestampTz clock;
	int			natoms;
	Atom	  **atoms;
	bool		rows;			/* with the contact's and company's row */
	bool		events_only;	/* contacts without such events do not matter; some
								 * in the batch may not exist */
	const char *condition;		/* SQL about contact c, without which it does not
								 * matter; or NULL */
	int			member_of;		/* with membership of this segment, or 0 */
	Snapshot	snapshot;		/* NULL: the newest */
	void		(*work) (struct ContactScan *scan);	/* called for each batch */

	int64		total;			/* rows of all batches, which come in key order; 0
								 * if that is not known */

	/*
	 * The batch: key, contact row, company row, membership, then three
	 * columns an atom, or else its values by row.
	 */
	int			count;
	SPITupleTable *result;
	AtomValue **values;
} ContactScan;

extern bool scan_joins(const Atom *atom);
extern void scan_contacts(ContactScan *scan);
extern Datum scan_value(ContactScan *scan, int row, int column, bool *isnull);
extern List *scan_atoms(ContactScan *scan, int row);

#endif							/* LIFECYCLE_SCAN_H */
