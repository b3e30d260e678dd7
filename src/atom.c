/*-------------------------------------------------------------------------
 *
 * atom.c
 *	  Values of atoms at an instant, and when they may change.
 *
 * What an atom's statement returns (meaning.c) is read here, and from the
 * times in it follows the next instant at which time alone may change the
 * value: never later than the real one, and always later than the clock.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"

#include "atom.h"
#include "counter.h"
#include "instant.h"
#include "meaning.h"
#include "state.h"
#include "total.h"

/*
 * atom_is_kept: does the state keep the value?
 */
bool
atom_is_kept(const Atom *atom)
{
	return atom->method == METHOD_COUNT || atom->method == METHOD_TOTAL ||
		atom->method == METHOD_WINDOW;
}

/*
 * atom_is_scanned: is the value read by a statement?
 */
bool
atom_is_scanned(const Atom *atom)
{
	return atom_is_kept(atom) || atom->method == METHOD_SCAN;
}

/*
 * atom_default: the value for a contact without such events.
 */
AtomValue
atom_default(const Atom *atom)
{
	AtomValue	result;

	switch (atom->spec->kind)
	{
		case ATOM_SUM:
		case ATOM_MIN:
		case ATOM_MAX:
		case ATOM_AVG:
		case ATOM_FIRST:
		case ATOM_LAST:
		case ATOM_LATEST:
		case ATOM_TIMES:
		case ATOM_IN_LAST:
		case ATOM_TIME_IN_STAGE:
			result.isnull = true;
			break;
		default:
			result.isnull = false;
			break;
	}
	result.value = (Datum) 0;	/* false, or the number 0 */
	if (atom->spec->kind == ATOM_DID || atom->spec->type == INT8OID)
		result.value = Int64GetDatum(0);
	result.next = result.arrives = NOT_DUE;
	result.number = 0;
	result.sum = NULL;
	return result;
}

/*
 * When may one of these times change the value?
 */
static TimestampTz
next_turn(Model *model, const AtomSpec *spec, Datum turns, TimestampTz clock)
{
	TimestampTz next = NOT_DUE;
	Datum	   *times;
	bool	   *nulls;
	int			count;

	deconstruct_array(DatumGetArrayTypeP(turns), TIMESTAMPTZOID,
					  sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &times, &nulls, &count);
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			next = Min(next, instant_turn(model, spec,
										  DatumGetTimestampTz(times[i]),
										  clock));
	return next;
}

/*
 * Is this a value that no further event changes?
 */
static bool
is_final(const AtomSpec *spec, Datum value)
{
	if (spec->kind == ATOM_DID)
		return spec->within == NULL && DatumGetInt64(value) >= spec->times;
	return spec->kind == ATOM_DID_THEN && DatumGetBool(value);
}

/*
 * atom_read: the value that three columns of a row say: value, turns,
 * arrives.  By-reference values are copied to the current memory context.
 */
AtomValue
atom_read(Model *model, const Atom *atom, const Datum *columns,
		  const bool *nulls, TimestampTz clock)
{
	const AtomSpec *spec = atom->spec;
	AtomValue	result = atom_default(atom);

	if (!nulls[0] && atom->method == METHOD_TOTAL)
		total_from_query(atom, columns[0], &result);
	else if (!nulls[0])
	{
		int16		length;
		bool		byval;

		get_typlenbyval(spec->kind == ATOM_DID ? INT8OID : spec->type,
						&length, &byval);
		result.value = datumCopy(columns[0], byval, length);
		result.isnull = false;
	}
	if (!nulls[1])
		result.next = next_turn(model, spec, columns[1], clock);
	if (!nulls[2])
	{
		result.arrives = DatumGetTimestampTz(columns[2]);
		if (!is_final(spec, result.value))
			result.next = Min(result.next, result.arrives);
	}
	return result;
}

/*
 * atom_scan: the values for some contacts, sorted by key, at instants of
 * their own.
 *
 * The caller holds the locks on the contacts' rows and is connected to SPI;
 * the rows are read on the snapshot, or if it is NULL as of now, as the role
 * that is current.  clocks and values have one entry a contact, of which
 * there must be one at least.  Raises what filter and value raise.
 */
void
atom_scan(Model *model, Atom *atom, Datum *contacts, int count,
		  const TimestampTz *clocks, Snapshot snapshot, AtomValue *values)
{
	KeyType    *key = &model->contact_key;
	Oid			types[1 + MEANING_PARAMS];
	Datum		args[1 + MEANING_PARAMS];
	uint64		rows;
	bool		own = atom->spec->kind == ATOM_TIME_IN_STAGE;
	bool		each = false;
	SPIPlanPtr *plan;
	UserSpan	span;
	int			level = atom->user_functions ? path_pin() : 0;

	counter_add(COUNT_SCANS, 1);
	for (int i = 0; i < count; i++)
	{
		values[i] = atom_default(atom);
		each |= clocks[i] != clocks[0];
	}

	types[0] = key->array;
	args[0] = PointerGetDatum(construct_array(contacts, count, key->type,
											  key->length, key->byval,
											  key->align));
	if (each)
		instant_each_params(model, atom->spec, clocks, count, types + 1,
							args + 1);
	else
		instant_params(model, atom->spec, clocks[0], types + 1, args + 1);
	if (own)
		span_write(&span, model->owner);
	plan = each ? &atom->each_plan : &atom->plan;
	if (*plan == NULL)
		*plan = query_prepare(each ? meaning_each_sql(model, atom->spec) :
							  meaning_sql(model, atom->spec, false, 2),
							  1 + MEANING_PARAMS, types);
	rows = query_execute_at(*plan, args, NULL, snapshot);
	if (own)
		span_end(&span);
	if (atom->user_functions)
		path_unpin(level);
	for (uint64 i = 0; i < rows; i++)
	{
		Datum		columns[1 + MEANING_COLUMNS];
		bool		nulls[1 + MEANING_COLUMNS];
		int			low = 0;
		int			high = count;

		heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
						  columns, nulls);
		while (low < high)
		{
			int			middle = (low + high) / 2;

			if (key_compare(key, contacts[middle], columns[0]) < 0)
				low = middle + 1;
			else
				high = middle;
		}
		if (low < count && key_compare(key, contacts[low], columns[0]) == 0)
			values[low] = atom_read(model, atom, columns + 1, nulls + 1,
									clocks[low]);
	}
	SPI_freetuptable(SPI_tuptable);
}
