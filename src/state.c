/*-------------------------------------------------------------------------
 *
 * state.c
 *	  The packed state of a contact.
 *
 * A row of contact_state keeps what decides: for each atom that is not at
 * its default a count, a truth or a total, and the instant at which time alone
 * may change it; and the numbers of the segments that the contact is in.  The
 * bytea is
 *
 *		version		1 byte, STATE_VERSION
 *		flags		1 byte, STATE_ORPHAN
 *		known		varint
 *		natoms		varint, then for each atom
 *			id		varint, difference to the one before
 *			count	varint, count << 3 | has a sum << 2 | unknown << 1
 *					| has a due time
 *			due		8 bytes, microseconds since 2000-01-01 UTC, if it has one
 *			sum		if it has one: length as varint, and as many bytes as
 *					numeric_send made, filled up with zeros
 *		nsegments	varint, then for each segment
 *			id		varint, difference to the one before
 *
 * Numbers are those of the model's own tables, never Oids, so that the state
 * survives dump and restore.  Byte order is fixed (network order).
 *
 * A sum is filled up, because a state that has the length of the one before
 * can be written in its place (state_table.c), and the digits of a sum become
 * more and fewer with almost every event.
 *
 * Results are allocated in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "port/pg_bswap.h"

#include "state.h"

#define STATE_VERSION	2
#define STATE_ORPHAN	0x01

#define COUNT_HAS_DUE	0x01
#define COUNT_UNKNOWN	0x02
#define COUNT_HAS_SUM	0x04
#define COUNT_SHIFT		3

/*
 * What the length of a sum is filled up to a multiple of: the 8 bytes that
 * come before the digits, and 32 digits.
 */
#define SUM_UNIT	24
#define SUM_ROOM(length) (((length) + SUM_UNIT - 1) / SUM_UNIT * SUM_UNIT)

/* Bytes of the longest variable-length number. */
#define MAX_VARINT		10

static void
damaged(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("state of a contact is damaged"),
			 errhint("Delete the contact's row of contact_state, or all rows, and use lifecycle_rebuild.")));
}

static inline uint64
get_varint(const uint8 **at, const uint8 *end)
{
	uint64		value = 0;
	int			shift = 0;

	if (*at < end && **at < 0x80)	/* as most are */
		return *(*at)++;
	for (;;)
	{
		uint8		byte;

		if (*at >= end || shift > 63)
			damaged();
		byte = *(*at)++;
		value |= (uint64) (byte & 0x7F) << shift;
		if ((byte & 0x80) == 0)
			return value;
		shift += 7;
	}
}

static uint8 *
put_varint(uint8 *at, uint64 value)
{
	while (value >= 0x80)
	{
		*at++ = (uint8) (value | 0x80);
		value >>= 7;
	}
	*at++ = (uint8) value;
	return at;
}

/*
 * The digits of a sum, which is passed over.
 */
static const uint8 *
get_sum(const uint8 **at, const uint8 *end, Size *length)
{
	const uint8 *sum;

	*length = get_varint(at, end);
	if (*length > (Size) (end - *at) || SUM_ROOM(*length) > (Size) (end - *at))
		damaged();
	sum = *at;
	*at += SUM_ROOM(*length);
	return sum;
}

static bytea *
copy_sum(const uint8 *sum, Size length)
{
	bytea	   *copy = palloc(VARHDRSZ + length);

	SET_VARSIZE(copy, VARHDRSZ + length);
	memcpy(VARDATA(copy), sum, length);
	return copy;
}

static uint8 *
put_sum(uint8 *at, const bytea *sum)
{
	Size		length = VARSIZE(sum) - VARHDRSZ;

	at = put_varint(at, length);
	memcpy(at, VARDATA(sum), length);
	memset(at + length, 0, SUM_ROOM(length) - length);
	return at + SUM_ROOM(length);
}

/*
 * state_same_sum: are these two of AtomState.sum equal?
 */
bool
state_same_sum(const bytea *first, const bytea *second)
{
	if (first == NULL || second == NULL)
		return first == second;
	return VARSIZE(first) == VARSIZE(second) &&
		memcmp(first, second, VARSIZE(first)) == 0;
}

/*
 * state_new: the state of a contact without events, of whom all atoms up to
 * `known` are known to have none.
 */
StateRow *
state_new(int known)
{
	StateRow   *row = palloc0(sizeof(StateRow));

	row->known = known;
	row->clock = DT_NOBEGIN;
	row->due = NOT_DUE;
	row->atoms_allocated = 8;
	row->atoms = palloc(row->atoms_allocated * sizeof(AtomState));
	row->segments_allocated = 8;
	row->segments = palloc(row->segments_allocated * sizeof(int));
	return row;
}

/*
 * state_open: a state from its bytea, which stays where it is; raises XX001 if it
 * is damaged, or NULL.  What only its row says is left to the caller.
 */
void
state_open(PackedState *packed, const bytea *bytes)
{
	const uint8 *at;
	const uint8 *end;
	uint64		natoms;

	if (bytes == NULL)
		damaged();
	at = (const uint8 *) VARDATA_ANY(bytes);
	end = at + VARSIZE_ANY_EXHDR(bytes);
	if (end - at < 2 || at[0] != STATE_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("state of a contact has an unknown version"),
				 errhint("Delete the contact's row of contact_state, or all rows, and use lifecycle_rebuild.")));
	packed->orphan = (at[1] & STATE_ORPHAN) != 0;
	at += 2;
	packed->known = (int) get_varint(&at, end);
	natoms = get_varint(&at, end);
	if (natoms > (uint64) (end - at))
		damaged();
	packed->natoms = (int) natoms;
	packed->atoms = packed->at = at;
	packed->end = end;
	packed->passed = 0;
	packed->atom.id = 0;
}

/*
 * The entry of the atom that comes after this one, in its place, and the digits
 * of its sum, NULL if it has none.
 */
static inline const uint8 *
get_atom(const uint8 **at, const uint8 *end, AtomState *atom, Size *length)
{
	uint64		count;

	atom->id += (int) get_varint(at, end);
	count = get_varint(at, end);
	atom->count = (int64) (count >> COUNT_SHIFT);
	atom->unknown = (count & COUNT_UNKNOWN) != 0;
	atom->due = NOT_DUE;
	atom->sum = NULL;
	if (count & COUNT_HAS_DUE)
	{
		uint64		due;

		if (end - *at < (ptrdiff_t) sizeof(due))
			damaged();
		memcpy(&due, *at, sizeof(due));
		atom->due = (TimestampTz) pg_ntoh64(due);
		*at += sizeof(due);
	}
	return count & COUNT_HAS_SUM ? get_sum(at, end, length) : NULL;
}

/*
 * state_find_atom: the entry of an atom, without its sum, NULL if it has none.
 * It lives until the next call.  Asked for atoms in ascending order it passes
 * over the entries once.
 */
const AtomState *
state_find_atom(PackedState *packed, int id)
{
	Size		length;

	if (packed->atom.id > id)
	{
		packed->at = packed->atoms;
		packed->passed = 0;
		packed->atom.id = 0;
	}
	while (packed->atom.id < id && packed->passed < packed->natoms)
	{
		(void) get_atom(&packed->at, packed->end, &packed->atom, &length);
		packed->passed++;
	}
	return packed->atom.id == id ? &packed->atom : NULL;
}

/*
 * state_unpack: the state, with nothing left where it was stored; raises XX001
 * if it is damaged.  A contact that has not arrived is in no segment, whatever
 * its state says.
 */
StateRow *
state_unpack(const PackedState *packed)
{
	StateRow   *row = palloc0(sizeof(StateRow));
	const uint8 *at = packed->atoms;
	const uint8 *end = packed->end;
	AtomState	atom = {0};
	uint64		nsegments;
	int			id = 0;

	row->exists = true;
	row->orphan = packed->orphan;
	row->known = packed->known;
	row->clock = packed->clock;
	row->due = packed->due;
	row->tid = packed->tid;
	row->xmin = packed->xmin;
	row->natoms = packed->natoms;
	row->atoms_allocated = row->natoms + 4;
	row->atoms = palloc(row->atoms_allocated * sizeof(AtomState));
	for (int i = 0; i < row->natoms; i++)
	{
		Size		length;
		const uint8 *sum = get_atom(&at, end, &atom, &length);

		row->atoms[i] = atom;
		if (sum != NULL)
			row->atoms[i].sum = copy_sum(sum, length);
	}
	nsegments = get_varint(&at, end);
	if (nsegments > (uint64) (end - at))
		damaged();
	row->nsegments = (int) nsegments;
	row->segments_allocated = row->nsegments + 4;
	row->segments = palloc(row->segments_allocated * sizeof(int));
	for (int i = 0; i < row->nsegments; i++)
		row->segments[i] = id += (int) get_varint(&at, end);
	if (row->orphan)
		row->nsegments = 0;
	return row;
}

/*
 * An entry that says what no entry says is left out.
 */
static bool
is_default(const StateRow *row, const AtomState *atom)
{
	return atom->id <= row->known && atom->count == 0 &&
		atom->due == NOT_DUE && atom->sum == NULL && !atom->unknown;
}

/*
 * The most bytes that a state can need.
 */
static Size
most_bytes(const StateRow *row)
{
	Size		most = VARHDRSZ + 2 + 3 * MAX_VARINT +
		row->natoms * (2 * MAX_VARINT + sizeof(uint64)) +
		row->nsegments * MAX_VARINT;

	for (int i = 0; i < row->natoms; i++)
		if (row->atoms[i].sum != NULL)
			most += MAX_VARINT + SUM_ROOM(VARSIZE(row->atoms[i].sum));
	return most;
}

/*
 * state_pack: the bytea of a state.
 */
bytea *
state_pack(const StateRow *row)
{
	uint8		small[512];
	Size		most = most_bytes(row);
	uint8	   *start = most <= sizeof(small) ? small : palloc(most);
	uint8	   *at = start + VARHDRSZ;
	bytea	   *result;
	int			id = 0;
	int			natoms = 0;

	*at++ = STATE_VERSION;
	*at++ = row->orphan ? STATE_ORPHAN : 0;
	at = put_varint(at, row->known);
	for (int i = 0; i < row->natoms; i++)
		if (!is_default(row, &row->atoms[i]))
			natoms++;
	at = put_varint(at, natoms);
	for (int i = 0; i < row->natoms; i++)
	{
		const AtomState *atom = &row->atoms[i];
		bool		has_due = atom->due != NOT_DUE;

		if (is_default(row, atom))
			continue;
		at = put_varint(at, atom->id - id);
		id = atom->id;
		at = put_varint(at, ((uint64) atom->count << COUNT_SHIFT) |
						(atom->sum != NULL ? COUNT_HAS_SUM : 0) |
						(atom->unknown ? COUNT_UNKNOWN : 0) |
						(has_due ? COUNT_HAS_DUE : 0));
		if (has_due)
		{
			uint64		due = pg_hton64((uint64) atom->due);

			memcpy(at, &due, sizeof(due));
			at += sizeof(due);
		}
		if (atom->sum != NULL)
			at = put_sum(at, atom->sum);
	}
	id = 0;
	at = put_varint(at, row->nsegments);
	for (int i = 0; i < row->nsegments; i++)
	{
		at = put_varint(at, row->segments[i] - id);
		id = row->segments[i];
	}
	result = palloc(at - start);
	memcpy(result, start, at - start);
	SET_VARSIZE(result, at - start);
	if (start != small)
		pfree(start);
	return result;
}

/*
 * Where an atom stands among the entries, or would stand.
 */
static int
atom_position(const StateRow *row, int id)
{
	int			low = 0;
	int			high = row->natoms;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (row->atoms[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * state_atom: the entry of an atom, NULL if it has none.
 */
AtomState *
state_atom(StateRow *row, int id)
{
	int			at = atom_position(row, id);

	if (at < row->natoms && row->atoms[at].id == id)
		return &row->atoms[at];
	return NULL;
}

/*
 * state_make_atom: the entry of an atom; made if it has none, as unknown if
 * nothing is known of it.  Entries move when others are made.
 */
AtomState *
state_make_atom(StateRow *row, int id)
{
	int			at = atom_position(row, id);
	AtomState  *atom;

	if (at < row->natoms && row->atoms[at].id == id)
		return &row->atoms[at];
	if (row->natoms == row->atoms_allocated)
	{
		row->atoms_allocated *= 2;
		row->atoms = repalloc(row->atoms,
							  row->atoms_allocated * sizeof(AtomState));
	}
	memmove(&row->atoms[at + 1], &row->atoms[at],
			(row->natoms - at) * sizeof(AtomState));
	row->natoms++;
	atom = &row->atoms[at];
	atom->id = id;
	atom->count = 0;
	atom->due = NOT_DUE;
	atom->sum = NULL;
	atom->unknown = id > row->known;
	return atom;
}

static int
segment_position(const StateRow *row, int segment)
{
	int			low = 0;
	int			high = row->nsegments;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (row->segments[middle] < segment)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * state_in_segment: is the contact in the segment?
 */
bool
state_in_segment(const StateRow *row, int segment)
{
	int			at = segment_position(row, segment);

	return at < row->nsegments && row->segments[at] == segment;
}

/*
 * state_set_segment: enter or leave a segment.
 */
void
state_set_segment(StateRow *row, int segment, bool member)
{
	int			at = segment_position(row, segment);
	bool		is_member = at < row->nsegments &&
		row->segments[at] == segment;

	if (is_member == member)
		return;
	if (!member)
	{
		row->nsegments--;
		memmove(&row->segments[at], &row->segments[at + 1],
				(row->nsegments - at) * sizeof(int));
		return;
	}
	if (row->nsegments == row->segments_allocated)
	{
		row->segments_allocated *= 2;
		row->segments = repalloc(row->segments,
								 row->segments_allocated * sizeof(int));
	}
	memmove(&row->segments[at + 1], &row->segments[at],
			(row->nsegments - at) * sizeof(int));
	row->segments[at] = segment;
	row->nsegments++;
}

/*
 * state_set_due: the row is due when the first of its atoms is.
 */
void
state_set_due(StateRow *row)
{
	row->due = NOT_DUE;
	for (int i = 0; i < row->natoms; i++)
		row->due = Min(row->due, row->atoms[i].due);
}
