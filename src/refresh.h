/*-------------------------------------------------------------------------
 *
 * refresh.h
 *	  Segments of all contacts at once, from the events.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_REFRESH_H
#define LIFECYCLE_REFRESH_H

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
	bool		events_only;	/* contacts without such events do not matter */
	int			member_of;		/* with membership of this segment, or 0 */
	Snapshot	snapshot;		/* NULL: the newest */
	void		(*work) (struct ContactScan *scan);	/* called for each batch */

	/*
	 * The batch: key, contact row, company row, membership, then three
	 * columns an atom, or else its values by row.
	 */
	int			count;
	SPITupleTable *result;
	AtomValue **values;
} ContactScan;

extern void refresh_scan(ContactScan *scan);
extern Datum refresh_value(ContactScan *scan, int row, int column, bool *isnull);
extern List *refresh_atoms(ContactScan *scan, int row);
extern void refresh_take_in(Model *model, List *segments);
extern bool refresh_is_member(Model *model, Datum contact, const char *text,
							  int segment);
extern int64 refresh_at(Model *model, TimestampTz clock, bool rewind,
						Tally *tally);

#endif							/* LIFECYCLE_REFRESH_H */
