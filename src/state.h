/*-------------------------------------------------------------------------
 *
 * state.h
 *	  One contact's state: what decides, packed into one row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_STATE_H
#define LIFECYCLE_STATE_H

#include "storage/itemptr.h"
#include "utils/snapshot.h"

#include "model.h"

/* "Never": no instant at which the value has to be looked at again. */
#define NOT_DUE DT_NOEND

/* What is kept of an atom. */
typedef struct AtomState
{
	int64		count;			/* METHOD_COUNT: events, up to `times`;
								 * METHOD_WINDOW: 1 if true;
								 * METHOD_TOTAL: see total.c */
	TimestampTz due;			/* when the value may change by time alone */
	bytea	   *sum;			/* METHOD_TOTAL: as numeric_send has it; NULL
								 * if there is none */
	int			id;
	bool		unknown;		/* must be computed from the events */
} AtomState;

typedef struct StateRow
{
	bool		exists;			/* there is a row in contact_state */
	bool		orphan;			/* it was made by an event, the contact has not
								 * arrived yet */
	int			known;			/* atoms up to this number that have no entry
								 * have no event; those above are unknown */
	TimestampTz clock;			/* the instant it was last brought up to */
	TimestampTz due;			/* the earliest due of its atoms */
	ItemPointerData tid;		/* where the row was read; invalid if it was not
								 * read from the table */
	TransactionId xmin;			/* who made the row that was read */
	int			natoms;			/* sorted by id */
	int			atoms_allocated;
	AtomState  *atoms;
	int			nsegments;		/* sorted ids of the segments it is in */
	int			segments_allocated;
	int		   *segments;
} StateRow;

/*
 * A state as it is stored, looked at where it lies: it lives as long as the page
 * is pinned, and needs no memory.  To tell that nothing changes is all that most
 * events need.
 */
typedef struct PackedState
{
	bool		orphan;			/* as in StateRow, like the next five */
	int			known;
	TimestampTz clock;
	TimestampTz due;
	ItemPointerData tid;
	TransactionId xmin;
	int			natoms;
	const uint8 *atoms;
	const uint8 *end;			/* of all of it */
	int			passed;			/* state_find_atom: of the atoms */
	const uint8 *at;			/* the next one */
	AtomState	atom;			/* the latest one, without its sum */
} PackedState;

/* An open look-up of state rows on one snapshot, see find.h. */
typedef struct Finder StateReader;

/* state_table.c: rows found, and overwritten in place */
extern StateReader *state_begin_read(Model *model);
extern StateReader *state_begin_read_at(Model *model, Snapshot snapshot);
extern bool state_look(StateReader *reader, Datum contact,
					   PackedState *packed);
extern StateRow *state_read(StateReader *reader, Datum contact);
extern bool state_is_current(StateReader *reader, const StateRow *row);
extern bool state_begin_walk(StateReader *reader, Datum first,
							 int64 total);
extern StateRow *state_walk_to(StateReader *reader, Datum contact);
extern void state_end_read(StateReader *reader);

extern bool state_overwrite(Model *model, const ItemPointerData *tid,
							TimestampTz due, TimestampTz clock,
							bytea *packed);

/* state.c: the packed state */
extern StateRow *state_new(int known);
extern void state_open(PackedState *packed, const bytea *bytes);
extern const AtomState *state_find_atom(PackedState *packed, int id);
extern StateRow *state_unpack(const PackedState *packed);
extern bytea *state_pack(const StateRow *row);
extern bool state_same_sum(const bytea *first, const bytea *second);
extern AtomState *state_atom(StateRow *row, int id);
extern AtomState *state_make_atom(StateRow *row, int id);
extern bool state_in_segment(const StateRow *row, int segment);
extern void state_set_segment(StateRow *row, int segment, bool member);
extern void state_set_due(StateRow *row);

#endif							/* LIFECYCLE_STATE_H */
