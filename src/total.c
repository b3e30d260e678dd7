/*-------------------------------------------------------------------------
 *
 * total.c
 *	  Totals that the state keeps: of all events, without a window.
 *
 * event_count, event_sum and event_avg over all of a contact's events go on
 * from what the state says, so that an event costs the same however many
 * there were before it.  numeric is exact, and its sum has the scale of the
 * value that has most of it, in whatever order values are added: the sum that
 * is kept is the one that sum() would compute, and divided by the number of
 * values it is the one that avg() would.
 *
 *					AtomState.count				AtomState.sum
 *	  event_count	number of events			none
 *	  event_sum		0							sum, if there is a value
 *	  event_avg		number of values			sum, if there is a value
 *
 * A total has no limit and is never settled: each event changes the state.
 *
 * A sum that is too long for a state, or so large that adding to it might
 * raise an error, is not kept.  The atom stays unknown, and is computed from
 * the events each time; if that raises an error, it is recorded there.
 *
 * Sums are in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"

#include "total.h"

/* What numeric_send makes: four numbers of two bytes, then digits of two. */
#define SUM_HEADER	8
#define SUM_WEIGHT	2			/* offset of the power of the first digit */

/* Digits, to the base of 10,000, of the longest sum that is kept. */
#define MAX_DIGITS	32

/*
 * total_is_kept: is it an atom of which the state keeps a total?
 */
bool
total_is_kept(const AtomSpec *spec)
{
	return spec->within == NULL &&
		(spec->kind == ATOM_COUNT || spec->kind == ATOM_SUM ||
		 spec->kind == ATOM_AVG);
}

/*
 * total_adds_value: is it a total of a value, and not of events?
 */
bool
total_adds_value(const AtomSpec *spec)
{
	return total_is_kept(spec) && spec->kind != ATOM_COUNT;
}

/*
 * A sum as the state keeps it.  What numeric_send returns has room for a
 * kilobyte, and a statement may bring many events of one contact.
 */
static bytea *
pack_sum(Numeric sum)
{
	Datum		value = DirectFunctionCall1(numeric_send, NumericGetDatum(sum));
	bytea	   *sent = DatumGetByteaP(value);
	bytea	   *packed = palloc(VARSIZE(sent));

	memcpy(packed, sent, VARSIZE(sent));
	pfree(sent);
	return packed;
}

static Numeric
unpack_sum(const bytea *packed)
{
	StringInfoData buffer;

	buffer.data = VARDATA(packed);
	buffer.len = buffer.maxlen = VARSIZE(packed) - VARHDRSZ;
	buffer.cursor = 0;
	return DatumGetNumeric(DirectFunctionCall3(numeric_recv,
											   PointerGetDatum(&buffer),
											   ObjectIdGetDatum(InvalidOid),
											   Int32GetDatum(-1)));
}

/*
 * May a sum be kept, and added to without an error?
 */
static bool
is_handy(const bytea *packed)
{
	uint16		weight;

	if (VARSIZE(packed) > VARHDRSZ + SUM_HEADER + MAX_DIGITS * sizeof(int16))
		return false;
	memcpy(&weight, VARDATA(packed) + SUM_WEIGHT, sizeof(weight));
	return abs((int16) pg_ntoh16(weight)) < MAX_DIGITS;
}

/*
 * A kept sum and a value, added up.
 */
static bytea *
add_up(const bytea *packed, Numeric amount)
{
	Numeric		before = unpack_sum(packed);
	Numeric		after =
		DatumGetNumeric(DirectFunctionCall2(numeric_add,
											NumericGetDatum(before),
											NumericGetDatum(amount)));
	bytea	   *sum = pack_sum(after);

	pfree(before);
	pfree(after);
	return sum;
}

/*
 * total_add: an event more, which has this value, if the total is of values.
 * False if the total cannot be kept any more.
 */
bool
total_add(const Atom *atom, AtomState *entry, Numeric amount)
{
	bytea	   *sum;
	bytea	   *old = entry->sum;

	if (!total_adds_value(atom->spec))
	{
		entry->count++;
		return true;
	}
	sum = pack_sum(amount);
	if (is_handy(sum) && old != NULL)
	{
		pfree(sum);
		sum = add_up(old, amount);
	}
	if (!is_handy(sum))
		return false;
	entry->sum = sum;
	if (old != NULL)
		pfree(old);
	if (atom->spec->kind == ATOM_AVG)
		entry->count++;
	return true;
}

/*
 * total_store: keep a total that was computed from the events.  False if it
 * cannot be kept.
 */
bool
total_store(const Atom *atom, AtomState *entry, const AtomValue *value)
{
	bytea	   *sum = value->sum != NULL ? pack_sum(value->sum) : NULL;
	bool		kept = sum == NULL || is_handy(sum);

	entry->sum = kept ? sum : NULL;
	entry->count = kept && atom->spec->kind != ATOM_SUM ? value->number : 0;
	return kept;
}

/*
 * The value that follows from number and sum.
 */
static void
set_value(const Atom *atom, AtomValue *value)
{
	value->isnull = atom->spec->kind != ATOM_COUNT && value->sum == NULL;
	if (atom->spec->kind == ATOM_COUNT)
		value->value = Int64GetDatum(value->number);
	else if (atom->spec->kind == ATOM_SUM)
		value->value = NumericGetDatum(value->sum);
	else if (!value->isnull)
	{
		Numeric		number = int64_to_numeric(value->number);

		value->value = DirectFunctionCall2(numeric_div,
										   NumericGetDatum(value->sum),
										   NumericGetDatum(number));
	}
}

/*
 * total_from_state: the value that the state keeps.
 */
void
total_from_state(const Atom *atom, const AtomState *entry, AtomValue *value)
{
	value->number = entry->count;
	value->sum = entry->sum != NULL ? unpack_sum(entry->sum) : NULL;
	set_value(atom, value);
}

/*
 * total_from_query: the value that the atom's statement returned: a number, a
 * sum, or an array of both (meaning.c).
 */
void
total_from_query(const Atom *atom, Datum result, AtomValue *value)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	if (atom->spec->kind == ATOM_COUNT)
		value->number = DatumGetInt64(result);
	else if (atom->spec->kind == ATOM_SUM)
		value->sum = DatumGetNumericCopy(result);
	else
	{
		deconstruct_array(DatumGetArrayTypePCopy(result), NUMERICOID, -1,
						  false, TYPALIGN_INT, &elements, &nulls, &count);
		value->number = DatumGetInt64(DirectFunctionCall1(numeric_int8,
														  elements[0]));
		value->sum = nulls[1] ? NULL : DatumGetNumeric(elements[1]);
	}
	set_value(atom, value);
}

/*
 * total_text: number and sum, for messages.
 */
char *
total_text(const Atom *atom, int64 number, const bytea *sum)
{
	char	   *text = "none";

	if (sum != NULL)
		text = DatumGetCString(DirectFunctionCall1(numeric_out,
												   NumericGetDatum(unpack_sum(sum))));
	if (atom->spec->kind == ATOM_COUNT)
		return psprintf(INT64_FORMAT, number);
	if (atom->spec->kind == ATOM_SUM)
		return text;
	return psprintf("%s in " INT64_FORMAT, text, number);
}
