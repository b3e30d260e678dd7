/*-------------------------------------------------------------------------
 *
 * meaning.c
 *	  What each function of the language means, as SQL.
 *
 * The meaning of an atom at an instant, the clock, is one aggregate over the
 * contact's events of its name that pass its filter.  Events dated after the
 * clock do not count yet.  The statement returns, for each contact,
 *
 *	  value		of event_avg without a window the number of values and their
 *				sum, of which the state keeps both (total.c)
 *	  turns		times of events: when one of them leaves a window, or comes
 *				back to it (window.c), the value may change
 *	  arrives	the earliest event dated after the clock
 *
 * The other events cannot change the value by time alone before one of these
 * does: of those in a window the earliest leaves first, of those that are
 * older the latest comes back first.
 *
 * Two atoms look at other rows and have the same form: open_deals at deals,
 * time_in_stage at the last entry in the history of stages, which is the
 * model's own and read as its owner.  (A round writes the history before it
 * evaluates.)  in_last needs no statement: evaluate.c has the row at hand.
 *
 * The same text serves for the contacts of a round (an array of keys; the
 * index on contact, name and time), for contacts at instants of their own
 * (lateral to a list of contacts and instants; step.c), and for all contacts
 * (joined by scan.c).  Filters are inserted as deparsed by PostgreSQL from the
 * analysed expression, never as the user typed them.  Interval arithmetic is
 * not left to SQL, where the session's time zone would decide: the starts of
 * windows are parameters.  Only did_then has to add to the time of each
 * event; it says the zone.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "equality.h"
#include "meaning.h"
#include "state.h"
#include "total.h"
#include "window.h"

/* Parts of the statement that is being put together. */
typedef struct Meaning
{
	Model	   *model;
	const AtomSpec *spec;
	const char *whose;			/* condition that follows a contact's column */
	const char *contact;		/* of event e */
	const char *time;			/* of event e */
	const char *clock;			/* parameters, see meaning_params */
	const char *start;
	const char *second;
	const char *now;			/* event e is not dated after the clock */
	const char *arrives;
	const char *source;			/* FROM and WHERE: its events that may count */
} Meaning;

#define AND_FILTER(filter) \
	((filter) != NULL ? psprintf(" AND (%s)", filter) : "")

/*
 * The condition that event e has this name.
 */
static char *
name_is(Model *model, const char *event)
{
	const Column *name = &model->table[EVENTS].column[ROLE_NAME];

	if (name->attno == 0)
		return strcmp(name->constant, event) == 0 ? "true" : "false";
	return psprintf("%s OPERATOR(pg_catalog.=) %s",
					model_event_name_sql(model), quote_literal_cstr(event));
}

/*
 * The filter as a further condition.  What comes after its equalities must
 * not be evaluated before them, see equality.c.
 */
static char *
filter_sql(const Meaning *meaning)
{
	const AtomSpec *spec = meaning->spec;
	Equality	equality;
	char	   *sql;

	if (!equality_of_atom(spec, &equality) || !equality.rest ||
		equality_cannot_raise((Node *) spec->filter))
		return AND_FILTER(spec->filter_sql);
	sql = equality_sql(&equality, meaning->model->table[EVENTS].relid);
	return psprintf(" AND %s AND CASE WHEN %s THEN %s ELSE false END",
					sql, sql, spec->filter_sql);
}

/*
 * FROM and WHERE for rows e of events or deals of the contacts in question.
 */
static char *
rows_of_contacts(const Meaning *meaning, TableKind kind)
{
	AppTable   *table = &meaning->model->table[kind];

	return psprintf(" FROM %s AS e WHERE e.%s%s", table->name,
					table->column[ROLE_CONTACT].quoted, meaning->whose);
}

/*
 * The times of events with an aggregate and a condition.
 */
static char *
time_where(const Meaning *meaning, const char *aggregate,
		   const char *condition)
{
	return psprintf("pg_catalog.%s(%s) FILTER (WHERE %s)", aggregate,
					meaning->time, condition);
}

static char *
time_is(const Meaning *meaning, const char *operator, const char *instant)
{
	return psprintf("%s OPERATOR(pg_catalog.%s) %s", meaning->time, operator,
					instant);
}

/*
 * The aggregate that is the value of an atom with one window, or none; over
 * the events that the condition lets pass.
 */
static char *
value_sql(const Meaning *meaning, const char *condition)
{
	const AtomSpec *spec = meaning->spec;
	const Column *key = &meaning->model->table[EVENTS].column[ROLE_KEY];
	const char *aggregate = NULL;

	switch (spec->kind)
	{
		case ATOM_DID:
			return psprintf("LEAST(pg_catalog.count(*) FILTER (WHERE %s), " INT64_FORMAT "::pg_catalog.int8)",
							condition, spec->times);
		case ATOM_COUNT:
			return psprintf("pg_catalog.count(*) FILTER (WHERE %s)",
							condition);
		case ATOM_DISTINCT:
			return psprintf("pg_catalog.count(DISTINCT %s) FILTER (WHERE %s)",
							spec->value_sql, condition);
		case ATOM_LATEST:
			/* Of several at the same time the one with the highest key. */
			return psprintf("(pg_catalog.array_agg(%s ORDER BY %s DESC%s%s%s) FILTER (WHERE %s))[1]",
							spec->value_sql, meaning->time,
							key->attno != 0 ? ", e." : "",
							key->attno != 0 ? key->quoted : "",
							key->attno != 0 ? " DESC" : "",
							condition);
		case ATOM_TIMES:
			return psprintf("(pg_catalog.array_agg(%s ORDER BY %s DESC) FILTER (WHERE %s))%s",
							meaning->time, meaning->time, condition,
							spec->times == 0 ? "" :
							psprintf("[:" INT64_FORMAT "]", spec->times));
		case ATOM_FIRST:
			return time_where(meaning, "min", condition);
		case ATOM_LAST:
			return time_where(meaning, "max", condition);
		case ATOM_SUM:
			aggregate = "sum";
			break;
		case ATOM_AVG:
			if (total_is_kept(spec))
				return psprintf("ARRAY[(pg_catalog.count(%1$s) FILTER (WHERE %2$s))::pg_catalog.numeric,"
								" pg_catalog.sum(%1$s) FILTER (WHERE %2$s)]",
								spec->value_sql, condition);
			aggregate = "avg";
			break;
		case ATOM_MIN:
			aggregate = "min";
			break;
		case ATOM_MAX:
			aggregate = "max";
			break;
		default:
			elog(ERROR, "atom of kind %d has no aggregate", (int) spec->kind);
	}
	return psprintf("pg_catalog.%s(%s) FILTER (WHERE %s)", aggregate,
					spec->value_sql, condition);
}

/*
 * did, event_count, event_sum and the like.  What did says holds as long as the
 * times-th latest event is in the window, and so changes when that leaves, or
 * comes back.
 */
static char *
window_sql(const Meaning *meaning)
{
	const AtomSpec *spec = meaning->spec;
	bool		even;
	const char *inside = meaning->now;
	const char *turns;

	if (spec->within == NULL)
		return psprintf("SELECT %s AS contact, %s AS value,"
						" NULL::pg_catalog.timestamptz[] AS turns, %s AS arrives"
						"%s GROUP BY 1",
						meaning->contact, value_sql(meaning, inside),
						meaning->arrives, meaning->source);

	even = window_is_even(meaning->model, spec->within);
	if (!even)
		inside = psprintf("%s AND %s", inside,
						  time_is(meaning, ">", meaning->start));
	if (spec->kind != ATOM_DID)
	{
		turns = time_where(meaning, "min", inside);
		if (!even)
			turns = psprintf("%s, %s", turns,
							 time_where(meaning, "max",
										time_is(meaning, "<=",
												meaning->start)));
	}
	else if (spec->times == 1)
		turns = time_where(meaning, "max", meaning->now);
	else
		turns = psprintf("(pg_catalog.array_agg(%s ORDER BY %s DESC) FILTER (WHERE %s))[" INT64_FORMAT "]",
						 meaning->time, meaning->time, meaning->now,
						 spec->times);
	return psprintf("SELECT %s AS contact, %s AS value,"
					" ARRAY[%s] AS turns, %s AS arrives%s AND %s GROUP BY 1",
					meaning->contact, value_sql(meaning, inside), turns,
					meaning->arrives, meaning->source,
					time_is(meaning, ">", even ? meaning->start :
							meaning->second));
}

/*
 * did_first: the first event is in the window.
 * stopped: the last event is in `active`, and older than `quiet`.
 * restarted: there is one in `quiet`, and the last before is older than
 * `active`.
 */
static char *
decisive_sql(const Meaning *meaning)
{
	const char *value;
	const char *turns;

	if (meaning->spec->kind == ATOM_DID_FIRST)
	{
		turns = time_where(meaning, "min", meaning->now);
		value = psprintf("%s OPERATOR(pg_catalog.>) %s", turns,
						 meaning->start);
	}
	else if (meaning->spec->kind == ATOM_STOPPED)
	{
		turns = time_where(meaning, "max", meaning->now);
		value = psprintf("%1$s OPERATOR(pg_catalog.>) %2$s"
						 " AND %1$s OPERATOR(pg_catalog.<=) %3$s",
						 turns, meaning->start, meaning->second);
	}
	else
	{
		char	   *since = psprintf("%s AND %s", meaning->now,
									 time_is(meaning, ">", meaning->second));
		char	   *before = time_is(meaning, "<=", meaning->second);

		since = time_where(meaning, "min", since);
		before = time_where(meaning, "max", before);
		turns = psprintf("%s, %s", since, before);
		value = psprintf("%s IS NOT NULL AND %s OPERATOR(pg_catalog.<=) %s",
						 since, before, meaning->start);
	}
	return psprintf("SELECT %s AS contact, COALESCE(%s, false) AS value,"
					" ARRAY[%s] AS turns, %s AS arrives%s GROUP BY 1",
					meaning->contact, value, turns, meaning->arrives,
					meaning->source);
}

/*
 * regularly: the events counted by period.  Periods are numbered from the
 * oldest; number 0 is what is older, and the last is the future.
 */
static char *
periods_sql(const Meaning *meaning)
{
	const AtomSpec *spec = meaning->spec;
	char	   *past = psprintf("p.period OPERATOR(pg_catalog.<=) %d",
								spec->periods);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT p.contact AS contact,"
					 " pg_catalog.count(*) FILTER (WHERE %s"
					 " AND p.period OPERATOR(pg_catalog.>) 0"
					 " AND p.number OPERATOR(pg_catalog.>=) " INT64_FORMAT "::pg_catalog.int8)"
					 " OPERATOR(pg_catalog.>=) %d::pg_catalog.int8 AS value,",
					 past, spec->times, spec->at_least);
	appendStringInfo(&sql, " pg_catalog.array_cat("
					 "pg_catalog.array_agg(p.first) FILTER (WHERE %s),"
					 " pg_catalog.array_agg(p.last) FILTER (WHERE %s)) AS turns,"
					 " pg_catalog.min(p.first) FILTER (WHERE NOT %s) AS arrives",
					 past, past, past);
	appendStringInfo(&sql, " FROM (SELECT %s AS contact,"
					 " pg_catalog.width_bucket(%s, %s) AS period,"
					 " pg_catalog.count(*) AS number,"
					 " pg_catalog.min(%s) AS first, pg_catalog.max(%s) AS last"
					 "%s AND %s GROUP BY 1, 2) AS p GROUP BY 1",
					 meaning->contact, meaning->time, meaning->start,
					 meaning->time, meaning->time, meaning->source,
					 time_is(meaning, ">", meaning->second));
	return sql.data;
}

/*
 * meaning_add_interval: a time with an interval added, by the calendar of the
 * model's time zone: as timestamptz_pl_interval does it, months, then days,
 * then the rest.
 */
char *
meaning_add_interval(const Model *model, const char *time,
					 const Interval *interval)
{
	const char *zone = quote_literal_cstr(model->zone_name);
	char	   *result = pstrdup(time);

	for (int part = 0; part < 2; part++)
	{
		int			number = part == 0 ? interval->month : interval->day;

		if (number != 0)
			result = psprintf("pg_catalog.timezone(%s, pg_catalog.timezone(%s, %s)"
							  " OPERATOR(pg_catalog.+) '%d %s'::pg_catalog.interval)",
							  zone, zone, result, number,
							  part == 0 ? "months" : "days");
	}
	if (interval->time != 0)
		result = psprintf("%s OPERATOR(pg_catalog.+) '" INT64_FORMAT " microseconds'::pg_catalog.interval",
						  result, interval->time);
	return result;
}

/*
 * did_then: for each instant of a second event, up to when the firsts before
 * it may be followed.  That is the latest such instant, not that of the
 * latest first: where months end, an earlier day may reach further.
 */
static char *
sequence_sql(const Meaning *meaning)
{
	Model	   *model = meaning->model;
	const AtomSpec *spec = meaning->spec;
	char	   *first = name_is(model, spec->event);
	char	   *second = name_is(model, spec->second_event);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT s.contact AS contact,"
					 " COALESCE(pg_catalog.bool_or(s.is_second"
					 " AND s.at OPERATOR(pg_catalog.<=) %s"
					 " AND s.at OPERATOR(pg_catalog.<=) s.last), false) AS value,"
					 " NULL::pg_catalog.timestamptz[] AS turns,"
					 " pg_catalog.min(s.at) FILTER (WHERE s.at OPERATOR(pg_catalog.>) %s) AS arrives",
					 meaning->clock, meaning->clock);
	appendStringInfo(&sql, " FROM (SELECT i.contact, i.at, i.is_second,"
					 " pg_catalog.max(CASE WHEN i.is_first AND i.at OPERATOR(pg_catalog.<=) %s"
					 " THEN %s END) OVER (PARTITION BY i.contact ORDER BY i.at"
					 " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS last",
					 meaning->clock,
					 meaning_add_interval(model, "i.at", spec->within));

	/* A filter is not to see events of the other name. */
	appendStringInfo(&sql, " FROM (SELECT %s AS contact, %s AS at,"
					 " pg_catalog.bool_or(CASE WHEN %s THEN %s ELSE false END) AS is_first,"
					 " pg_catalog.bool_or(CASE WHEN %s THEN %s ELSE false END) AS is_second",
					 meaning->contact, meaning->time,
					 first, spec->filter_sql ? spec->filter_sql : "true",
					 second, spec->second_filter_sql ?
					 spec->second_filter_sql : "true");
	appendStringInfo(&sql, "%s AND (%s OR %s) AND %s IS NOT NULL GROUP BY 1, 2) AS i) AS s"
					 " GROUP BY 1",
					 rows_of_contacts(meaning, EVENTS), first, second,
					 meaning->time);
	return sql.data;
}

/*
 * time_in_stage() >= within: the last entry has left the window; for > it
 * must have left one microsecond before.
 */
static char *
stage_sql(const Meaning *meaning)
{
	const char *at = meaning->spec->beyond ?
		"h.at OPERATOR(pg_catalog.+) '1 microsecond'::pg_catalog.interval" :
		"h.at";

	return psprintf("SELECT h.contact AS contact,"
					" %1$s OPERATOR(pg_catalog.<=) %2$s AS value,"
					" ARRAY[%1$s] AS turns,"
					" NULL::pg_catalog.timestamptz AS arrives"
					" FROM (SELECT DISTINCT ON (l.contact) l.contact, l.to_stage, l.at"
					" FROM %3$s.stage_history AS l"
					" WHERE l.object OPERATOR(pg_catalog.=) 'contact'"
					" AND l.contact%4$s"
					" ORDER BY l.contact, l.id DESC) AS h"
					" WHERE h.to_stage IS NOT NULL",
					at, meaning->start, meaning->model->schema,
					meaning->whose);
}

/*
 * open_deals where deals have further contacts: a deal counts once, whether
 * the contact is in its own column, in the other table, or in both.
 */
static char *
shared_deals_sql(const Meaning *meaning)
{
	AppTable   *deals = &meaning->model->table[DEALS];
	AppTable   *links = &meaning->model->table[DEAL_CONTACTS];
	const char *key = meaning->model->contact_key.name;
	const char *deal = deals->column[ROLE_KEY].quoted;
	char	   *open = psprintf(" AND e.%s%s",
								deals->column[ROLE_IS_OPEN].quoted,
								AND_FILTER(meaning->spec->filter_sql));

	return psprintf("SELECT d.contact, pg_catalog.count(*) AS value,"
					" NULL::pg_catalog.timestamptz[] AS turns,"
					" NULL::pg_catalog.timestamptz AS arrives"
					" FROM (SELECT (e.%1$s)::%2$s AS contact, e.%3$s AS deal%4$s%5$s"
					" UNION SELECT (l.%6$s)::%2$s, e.%3$s FROM %7$s AS l"
					" JOIN %8$s AS e ON e.%3$s OPERATOR(pg_catalog.=) l.%9$s"
					" WHERE l.%6$s%10$s%5$s) AS d GROUP BY 1",
					deals->column[ROLE_CONTACT].quoted, key, deal,
					rows_of_contacts(meaning, DEALS), open,
					links->column[ROLE_CONTACT].quoted, links->name,
					deals->name, links->column[ROLE_DEAL].quoted,
					meaning->whose);
}

/*
 * open_deals: time alone does not change it.
 */
static char *
deals_sql(const Meaning *meaning)
{
	AppTable   *deals = &meaning->model->table[DEALS];
	KeyType    *key = &meaning->model->contact_key;
	Column	   *contact = &deals->column[ROLE_CONTACT];

	if (OidIsValid(meaning->model->table[DEAL_CONTACTS].relid))
		return shared_deals_sql(meaning);
	return psprintf("SELECT (e.%s)::%s AS contact, pg_catalog.count(*) AS value,"
					" NULL::pg_catalog.timestamptz[] AS turns,"
					" NULL::pg_catalog.timestamptz AS arrives"
					"%s AND e.%s%s GROUP BY 1",
					contact->quoted, key->name,
					rows_of_contacts(meaning, DEALS),
					deals->column[ROLE_IS_OPEN].quoted,
					AND_FILTER(meaning->spec->filter_sql));
}

/*
 * The statement for contacts and instants that `meaning` names already.
 */
static char *
atom_sql(Meaning *meaning)
{
	Model	   *model = meaning->model;
	const AtomSpec *spec = meaning->spec;

	if (spec->event != NULL)
	{
		meaning->contact = model_event_contact_sql(model);
		meaning->time = model_event_time_sql(model, "e.");
		meaning->now = time_is(meaning, "<=", meaning->clock);
		meaning->arrives = time_where(meaning, "min",
									  psprintf("NOT %s", meaning->now));
		meaning->source = psprintf("%s AND %s%s",
								   rows_of_contacts(meaning, EVENTS),
								   name_is(model, spec->event),
								   filter_sql(meaning));
	}
	switch (spec->kind)
	{
		case ATOM_DID_FIRST:
		case ATOM_STOPPED:
		case ATOM_RESTARTED:
			return decisive_sql(meaning);
		case ATOM_REGULARLY:
			return periods_sql(meaning);
		case ATOM_DID_THEN:
			return sequence_sql(meaning);
		case ATOM_TIME_IN_STAGE:
			return stage_sql(meaning);
		case ATOM_OPEN_DEALS:
			return deals_sql(meaning);
		default:
			return window_sql(meaning);
	}
}

/*
 * meaning_sql: the statement that computes an atom: contact, value, turns,
 * arrives.
 *
 * Its MEANING_PARAMS parameters begin with number `param`.  Unless `all`, $1
 * is an array of contacts, and others have no row.  A contact for whom there
 * is nothing to be found has none either.
 */
char *
meaning_sql(Model *model, const AtomSpec *spec, bool all, int param)
{
	Meaning		meaning = {.model = model,.spec = spec};

	meaning.whose = all ? " IS NOT NULL" : " OPERATOR(pg_catalog.=) ANY ($1)";
	meaning.clock = psprintf("$%d", param);
	meaning.start = psprintf("$%d", param + 1);
	meaning.second = psprintf("$%d", param + 2);
	return atom_sql(&meaning);
}

/*
 * meaning_each_sql: the same for contacts at instants of their own.  $1 is an
 * array of contacts, $2 to $4 are the parameters of each: arrays of as many
 * timestamptz, where one of them is an array itself one of two dimensions.
 */
char *
meaning_each_sql(Model *model, const AtomSpec *spec)
{
	Meaning		meaning = {.model = model,.spec = spec};
	const char *rows;

	meaning.whose = " OPERATOR(pg_catalog.=) k.contact";
	meaning.clock = "k.clock";
	meaning.start = "k.start";
	meaning.second = "k.second";
	if (spec->kind != ATOM_REGULARLY)
		rows = "ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
			" pg_catalog.unnest($3), pg_catalog.unnest($4))"
			" AS k (contact, clock, start, second)";
	else
		rows = "ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
			" pg_catalog.unnest($4)) WITH ORDINALITY AS o (contact, clock, second, n)"
			" CROSS JOIN LATERAL (SELECT o.contact, o.clock, ARRAY(SELECT s"
			" FROM pg_catalog.unnest(($3)[o.n::pg_catalog.int4:o.n::pg_catalog.int4]) AS s)"
			" AS start, o.second OFFSET 0) AS k";
	return psprintf("SELECT k.contact, v.value, v.turns, v.arrives FROM %s"
					" CROSS JOIN LATERAL (%s) AS v", rows, atom_sql(&meaning));
}

/*
 * meaning_events_sql: FROM and WHERE for the events e of the contacts in $1
 * that have this name and pass the filter (NULL: there is none).
 */
char *
meaning_events_sql(Model *model, const char *event, const char *filter)
{
	Meaning		meaning = {.model = model};

	meaning.whose = " OPERATOR(pg_catalog.=) ANY ($1)";
	return psprintf("%s AND %s%s", rows_of_contacts(&meaning, EVENTS),
					name_is(model, event), AND_FILTER(filter));
}

/*
 * The first instants of all periods, the oldest first, and of the future, as
 * width_bucket wants them.
 */
static Datum
period_starts(const Model *model, const AtomSpec *spec, TimestampTz clock)
{
	Datum	   *starts = palloc((spec->periods + 1) * sizeof(Datum));

	for (int i = 0; i <= spec->periods; i++)
	{
		Interval	age = window_multiple(spec->within, spec->periods - i);

		starts[i] = TimestampTzGetDatum(window_start(model, &age, clock) + 1);
	}
	return PointerGetDatum(construct_array(starts, spec->periods + 1,
										   TIMESTAMPTZOID, sizeof(TimestampTz),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * meaning_params: the parameters of the statement at an instant: the clock;
 * the start of the window, or of `active`, or of the periods; the start of
 * `quiet`, or an instant that no window of a later clock reaches back to.
 */
void
meaning_params(const Model *model, const AtomSpec *spec, TimestampTz clock,
			   Oid *types, Datum *values)
{
	for (int i = 0; i < MEANING_PARAMS; i++)
	{
		types[i] = TIMESTAMPTZOID;
		values[i] = TimestampTzGetDatum(clock);
	}
	if (spec->within == NULL)
		return;
	if (spec->kind == ATOM_REGULARLY)
	{
		Interval	age = window_multiple(spec->within, spec->periods);

		types[1] = TIMESTAMPTZARRAYOID;
		values[1] = period_starts(model, spec, clock);
		values[2] = TimestampTzGetDatum(window_reach(model, &age, clock));
		return;
	}
	values[1] = TimestampTzGetDatum(window_start(model, spec->within, clock));
	values[2] =
		TimestampTzGetDatum(spec->quiet != NULL ?
							window_start(model, spec->quiet, clock) :
							window_reach(model, spec->within, clock));
}

/*
 * meaning_each_params: the parameters of meaning_each_sql but the first, for
 * contacts at these instants.
 */
void
meaning_each_params(const Model *model, const AtomSpec *spec,
					const TimestampTz *clocks, int count, Oid *types,
					Datum *values)
{
	Datum	   *columns[MEANING_PARAMS];
	int			lower[2] = {1, 1};
	int			sizes[2] = {count, spec->periods + 1};
	int			starts = 0;

	for (int i = 0; i < MEANING_PARAMS; i++)
		columns[i] = palloc(mul_size(count, sizeof(Datum)));
	if (spec->kind == ATOM_REGULARLY)
		columns[1] = MemoryContextAllocHuge(CurrentMemoryContext,
											mul_size(mul_size(count, sizes[1]),
													 sizeof(Datum)));
	for (int i = 0; i < count; i++)
	{
		Datum		params[MEANING_PARAMS];

		meaning_params(model, spec, clocks[i], types, params);
		columns[0][i] = params[0];
		columns[2][i] = params[2];
		if (spec->kind != ATOM_REGULARLY)
			columns[1][i] = params[1];
		else
		{
			memcpy(&columns[1][starts],
				   ARR_DATA_PTR(DatumGetArrayTypeP(params[1])),
				   sizes[1] * sizeof(Datum));
			starts += sizes[1];
		}
	}
	for (int i = 0; i < MEANING_PARAMS; i++)
	{
		types[i] = TIMESTAMPTZARRAYOID;
		values[i] =
			PointerGetDatum(construct_md_array(columns[i], NULL,
											   i == 1 && starts > 0 ? 2 : 1,
											   sizes, lower, TIMESTAMPTZOID,
											   sizeof(TimestampTz),
											   FLOAT8PASSBYVAL,
											   TYPALIGN_DOUBLE));
	}
}

/*
 * The next instant at which this time passes from one period to another, or
 * back.
 */
static TimestampTz
next_period(const Model *model, const AtomSpec *spec, TimestampTz time,
			TimestampTz clock)
{
	TimestampTz next = NOT_DUE;
	int			low = 1;
	int			high = spec->periods + 1;

	/* which period is it in, counted from now? */
	while (low < high)
	{
		int			middle = (low + high) / 2;
		Interval	age = window_multiple(spec->within, middle);

		if (window_start(model, &age, clock) < time)
			high = middle;
		else
			low = middle + 1;
	}
	for (int period = Max(low - 1, 1); period <= Min(low, spec->periods);
		 period++)
	{
		Interval	age = window_multiple(spec->within, period);

		next = Min(next, window_change(model, &age, time, clock));
	}
	return next;
}

/*
 * meaning_of_column: in_last, of a column's value.
 */
AtomValue
meaning_of_column(const Model *model, const AtomSpec *spec, Datum value,
				  bool isnull, TimestampTz clock)
{
	AtomValue	result = {.isnull = isnull,.next = NOT_DUE,.arrives = NOT_DUE};
	TimestampTz time;

	if (isnull)
		return result;
	time = window_instant(model, spec->column_type, value);
	if (time > clock)
		result.next = result.arrives = time;
	else
	{
		result.value = BoolGetDatum(time > window_start(model, spec->within,
														clock));
		result.next = meaning_turn(model, spec, time, clock);
	}
	return result;
}

/*
 * meaning_turn: the first instant, later than the clock, at which what has
 * this time (one of the turns) may change the value; NOT_DUE if it never
 * will.
 */
TimestampTz
meaning_turn(const Model *model, const AtomSpec *spec, TimestampTz time,
			 TimestampTz clock)
{
	TimestampTz next;

	if (spec->kind == ATOM_REGULARLY)
		return next_period(model, spec, time, clock);
	next = window_change(model, spec->within, time, clock);
	if (spec->quiet != NULL)
		next = Min(next, window_change(model, spec->quiet, time, clock));
	return next;
}
