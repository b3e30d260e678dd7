/*-------------------------------------------------------------------------
 *
 * atom.c
 *	  What each event function means: as SQL over the events.
 *
 * The meaning of an atom at an instant, the clock, is one aggregate over the
 * contact's events of its name that pass its filter, dated at or before the
 * clock and after the start of its window if it has one.  Beside the value
 * the statement returns two instants from which the next change by time
 * alone follows:
 *
 *	  leaves	the event whose leaving the window changes the value: for
 *				did the times-th latest, otherwise the earliest in the window
 *	  arrives	the earliest event dated after the clock
 *
 * The same text serves for one contact, for the contacts of a statement (an
 * array of keys, the index on contact, name and time) and for all contacts
 * (joined by tick.c).  Filters are inserted as deparsed by PostgreSQL from
 * the analysed expression, never as the user typed them.  Interval
 * arithmetic is not left to SQL, where the session's time zone would decide:
 * the start of the window is a parameter.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

#include "atom.h"
#include "state.h"

/*
 * Add an interval to an instant, or subtract it, in the model's time zone.
 */
static TimestampTz
shift(const Model *model, TimestampTz time, const Interval *interval,
	  PGFunction function)
{
	pg_tz	   *session = session_timezone;
	TimestampTz result = 0;

	session_timezone = model->zone;
	PG_TRY();
	{
		result = DatumGetTimestampTz(DirectFunctionCall2(function,
														 TimestampTzGetDatum(time),
														 IntervalPGetDatum(interval)));
	}
	PG_FINALLY();
	{
		session_timezone = session;
	}
	PG_END_TRY();
	return result;
}

/*
 * window_start: the open end of the window (clock - within, clock].
 */
TimestampTz
window_start(const Model *model, const Interval *within, TimestampTz clock)
{
	return shift(model, clock, within, timestamptz_mi_interval);
}

/*
 * window_end: the first instant, later than the clock, whose window does not
 * hold an event of that time any more.
 *
 * That is time + within where the interval has a fixed length.  Where it has
 * months or days, adding is not the inverse of subtracting (the month before
 * 31 March starts on 28 February), so the instant is searched for within the
 * few days by which the two can differ.
 */
TimestampTz
window_end(const Model *model, const Interval *within, TimestampTz time,
		   TimestampTz clock)
{
	TimestampTz end = shift(model, time, within, timestamptz_pl_interval);

	if (window_start(model, within, end) < time)
	{
		TimestampTz low = end;	/* still in the window */
		TimestampTz high = end + 5 * USECS_PER_DAY;

		while (high - low > 1)
		{
			TimestampTz middle = low + (high - low) / 2;

			if (window_start(model, within, middle) < time)
				low = middle;
			else
				high = middle;
		}
		end = high;
	}
	return Max(end, clock + 1);
}

/*
 * The aggregate that is the atom's value.  `now` is the condition that an
 * event is not dated after the clock.
 */
static char *
value_sql(const Model *model, const Atom *atom, const char *time,
		  const char *now)
{
	const AtomSpec *spec = atom->spec;
	const Column *key = &model->table[EVENTS].column[ROLE_KEY];

	switch (spec->kind)
	{
		case ATOM_DID:
			return psprintf("LEAST(pg_catalog.count(*) FILTER (WHERE %s), " INT64_FORMAT "::pg_catalog.int8)",
							now, spec->times);
		case ATOM_COUNT:
			return psprintf("pg_catalog.count(*) FILTER (WHERE %s)", now);
		case ATOM_SUM:
			return psprintf("pg_catalog.sum(%s) FILTER (WHERE %s)",
							spec->value_sql, now);
		case ATOM_AVG:
			return psprintf("pg_catalog.avg(%s) FILTER (WHERE %s)",
							spec->value_sql, now);
		case ATOM_MIN:
			return psprintf("pg_catalog.min(%s) FILTER (WHERE %s)",
							spec->value_sql, now);
		case ATOM_MAX:
			return psprintf("pg_catalog.max(%s) FILTER (WHERE %s)",
							spec->value_sql, now);
		case ATOM_DISTINCT:
			return psprintf("pg_catalog.count(DISTINCT %s) FILTER (WHERE %s)",
							spec->value_sql, now);
		case ATOM_FIRST:
			return psprintf("pg_catalog.min(%s) FILTER (WHERE %s)", time, now);
		case ATOM_LAST:
			return psprintf("pg_catalog.max(%s) FILTER (WHERE %s)", time, now);
		case ATOM_LATEST:
			/* Of several at the same time the one with the highest key. */
			return psprintf("(pg_catalog.array_agg(%s ORDER BY %s DESC%s%s%s) FILTER (WHERE %s))[1]",
							spec->value_sql, time,
							key->attno != 0 ? ", e." : "",
							key->attno != 0 ? key->quoted : "",
							key->attno != 0 ? " DESC" : "",
							now);
		case ATOM_IN_SEGMENT:
			break;
	}
	elog(ERROR, "atom of kind %d has no aggregate", (int) spec->kind);
}

/*
 * atom_scan_sql: the statement that computes an atom: contact, value,
 * leaves, arrives.
 *
 * Parameter clock_param is the clock, the next one the start of the window
 * if the atom has one.  Unless `all`, $1 is an array of contacts.
 */
char *
atom_scan_sql(Model *model, const Atom *atom, bool all, int clock_param)
{
	const AtomSpec *spec = atom->spec;
	StringInfoData sql;
	const char *time = model_event_time_sql(model, "e.");
	const char *now = psprintf("%s OPERATOR(pg_catalog.<=) $%d", time,
							   clock_param);
	const Column *name = &model->table[EVENTS].column[ROLE_NAME];

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s AS contact, %s AS value, ",
					 model_event_contact_sql(model),
					 value_sql(model, atom, time, now));
	if (spec->within == NULL)
		appendStringInfoString(&sql, "NULL::pg_catalog.timestamptz");
	else if (spec->kind == ATOM_DID && spec->times > 1)
		appendStringInfo(&sql,
						 "(pg_catalog.array_agg(%s ORDER BY %s DESC) FILTER (WHERE %s))[" INT64_FORMAT "]",
						 time, time, now, spec->times);
	else
		appendStringInfo(&sql, "pg_catalog.%s(%s) FILTER (WHERE %s)",
						 spec->kind == ATOM_DID ? "max" : "min", time, now);
	appendStringInfo(&sql,
					 " AS leaves, pg_catalog.min(%s) FILTER (WHERE NOT %s) AS arrives"
					 " FROM %s AS e WHERE ",
					 time, now, model->table[EVENTS].name);
	if (!all)
		appendStringInfo(&sql, "e.%s OPERATOR(pg_catalog.=) ANY ($1) AND ",
						 model->table[EVENTS].column[ROLE_CONTACT].quoted);
	else
		appendStringInfo(&sql, "e.%s IS NOT NULL AND ",
						 model->table[EVENTS].column[ROLE_CONTACT].quoted);
	if (name->attno != 0)
		appendStringInfo(&sql, "%s OPERATOR(pg_catalog.=) %s",
						 model_event_name_sql(model),
						 quote_literal_cstr(spec->event));
	else
		appendStringInfoString(&sql,
							   strcmp(name->constant, spec->event) == 0 ?
							   "true" : "false");
	if (spec->within != NULL)
		appendStringInfo(&sql, " AND %s OPERATOR(pg_catalog.>) $%d", time,
						 clock_param + 1);
	if (spec->filter_sql != NULL)
		appendStringInfo(&sql, " AND (%s)", spec->filter_sql);
	appendStringInfoString(&sql, " GROUP BY 1");
	return sql.data;
}

/*
 * atom_default: the value for a contact without such events.
 */
AtomValue
atom_default(const Atom *atom)
{
	AtomValue	result;

	result.isnull = !(atom->spec->kind == ATOM_DID ||
					  atom->spec->kind == ATOM_COUNT ||
					  atom->spec->kind == ATOM_DISTINCT);
	result.value = result.isnull ? (Datum) 0 : Int64GetDatum(0);
	result.next = result.arrives = NOT_DUE;
	return result;
}

/*
 * atom_read: the value in three columns (value, leaves, arrives) of a row of
 * the current result, from `column` on.  By-reference values are copied to
 * the current memory context.
 */
AtomValue
atom_read(Model *model, const Atom *atom, int row, int column,
		  TimestampTz clock)
{
	const AtomSpec *spec = atom->spec;
	AtomValue	result = atom_default(atom);
	bool		isnull;
	Datum		value;

	value = query_value(row, column, &isnull);
	if (!isnull)
	{
		int16		length;
		bool		byval;

		get_typlenbyval(spec->kind == ATOM_DID ? INT8OID : spec->type,
						&length, &byval);
		result.value = datumCopy(value, byval, length);
		result.isnull = false;
	}

	value = query_value(row, column + 1, &isnull);
	if (!isnull &&
		(spec->kind != ATOM_DID ||
		 DatumGetInt64(result.value) >= spec->times))
		result.next = window_end(model, spec->within,
								 DatumGetTimestampTz(value), clock);
	value = query_value(row, column + 2, &isnull);
	if (!isnull)
		result.arrives = DatumGetTimestampTz(value);
	if (!isnull &&
		!(spec->kind == ATOM_DID && spec->within == NULL &&
		  DatumGetInt64(result.value) >= spec->times))
		result.next = Min(result.next, DatumGetTimestampTz(value));
	return result;
}

/*
 * atom_scan: the values for some contacts, sorted by key, at an instant.
 *
 * The caller holds the locks on the contacts' rows and is connected to SPI;
 * the events are read as of now, as the role that is current.  values has
 * one entry a contact.  Raises what filter and value raise.
 */
void
atom_scan(Model *model, Atom *atom, Datum *contacts, int count,
		  TimestampTz clock, AtomValue *values)
{
	KeyType    *key = &model->contact_key;
	Datum		args[3];
	uint64		rows;
	int			level = atom->user_functions ? path_pin() : 0;

	for (int i = 0; i < count; i++)
		values[i] = atom_default(atom);

	if (atom->plan == NULL)
	{
		Oid			types[3] = {key->array, TIMESTAMPTZOID, TIMESTAMPTZOID};

		atom->plan = query_prepare(atom_scan_sql(model, atom, false, 2),
								   atom->spec->within != NULL ? 3 : 2, types);
	}
	args[0] = PointerGetDatum(construct_array(contacts, count, key->type,
											  key->length, key->byval,
											  key->align));
	args[1] = TimestampTzGetDatum(clock);
	if (atom->spec->within != NULL)
		args[2] = TimestampTzGetDatum(window_start(model, atom->spec->within,
												   clock));
	rows = query_execute(atom->plan, args, NULL);
	if (atom->user_functions)
		path_unpin(level);
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		Datum		contact = query_value(i, 1, &isnull);
		int			low = 0;
		int			high = count;

		while (low < high)
		{
			int			middle = (low + high) / 2;

			if (key_compare(key, contacts[middle], contact) < 0)
				low = middle + 1;
			else
				high = middle;
		}
		if (low < count && key_compare(key, contacts[low], contact) == 0)
			values[low] = atom_read(model, atom, i, 2, clock);
	}
	SPI_freetuptable(SPI_tuptable);
}
