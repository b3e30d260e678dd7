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
 * (joined by scan.c).  There most atoms can share one aggregation, so that
 * events are read once and not once for each: its rows are the events of all
 * their names, and what an atom's own WHERE would say is in its FILTERs.
 *
 * Filters are inserted as deparsed by PostgreSQL from the analysed expression,
 * never as the user typed them.  Interval arithmetic is not left to SQL, where
 * the session's time zone would decide: the starts of windows are parameters
 * (instant.c).  Only did_then has to add to the time of each event; it says
 * the zone.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "utils/builtins.h"

#include "equality.h"
#include "meaning.h"
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
	const char *clock;			/* parameters, see instant_params */
	const char *start;
	const char *second;
	const char *now;			/* event e is not dated after the clock */
	const char *bound;			/* events up to this instant do not matter, as time
								 * alone does not bring them back; or NULL */
	const char *matches;		/* event e may count */
	bool		together;		/* with other atoms: its FILTERs say what matches */
	const char *suffix;			/* of the names of its columns */
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
 * An aggregate of the atom's events that a condition lets pass.
 */
static char *
aggregate_where(const Meaning *meaning, const char *aggregate,
				const char *condition)
{
	if (!meaning->together)
		return psprintf("%s FILTER (WHERE %s)", aggregate, condition);
	return psprintf("%s FILTER (WHERE %s AND %s)", aggregate,
					meaning->matches, condition);
}

/*
 * The times of events with an aggregate and a condition.
 */
static char *
time_where(const Meaning *meaning, const char *aggregate,
		   const char *condition)
{
	return aggregate_where(meaning,
						   psprintf("pg_catalog.%s(%s)", aggregate,
									meaning->time), condition);
}

static char *
time_is(const Meaning *meaning, const char *operator, const char *instant)
{
	return psprintf("%s OPERATOR(pg_catalog.%s) %s", meaning->time, operator,
					instant);
}

/*
 * The same, the latest first.
 */
static char *
times_where(const Meaning *meaning, const char *condition)
{
	return aggregate_where(meaning,
						   psprintf("pg_catalog.array_agg(%s ORDER BY %s DESC)",
									meaning->time, meaning->time), condition);
}

/*
 * The values of events with an aggregate and a condition.
 */
static char *
value_where(const Meaning *meaning, const char *aggregate,
			const char *condition)
{
	return aggregate_where(meaning,
						   psprintf("pg_catalog.%s(%s)", aggregate,
									meaning->spec->value_sql), condition);
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
	char	   *value;

	switch (spec->kind)
	{
		case ATOM_DID:
			return psprintf("LEAST(%s, " INT64_FORMAT "::pg_catalog.int8)",
							aggregate_where(meaning, "pg_catalog.count(*)",
											condition), spec->times);
		case ATOM_COUNT:
			return aggregate_where(meaning, "pg_catalog.count(*)", condition);
		case ATOM_DISTINCT:
			value = psprintf("pg_catalog.count(DISTINCT %s)", spec->value_sql);
			return aggregate_where(meaning, value, condition);
		case ATOM_LATEST:
			/* Of several at the same time the one with the highest key. */
			value = psprintf("pg_catalog.array_agg(%s ORDER BY %s DESC%s%s%s)",
							 spec->value_sql, meaning->time,
							 key->attno != 0 ? ", e." : "",
							 key->attno != 0 ? key->quoted : "",
							 key->attno != 0 ? " DESC" : "");
			return psprintf("(%s)[1]",
							aggregate_where(meaning, value, condition));
		case ATOM_TIMES:
			value = times_where(meaning, condition);
			if (spec->times == 0)
				return value;
			return psprintf("(%s)[:" INT64_FORMAT "]", value, spec->times);
		case ATOM_FIRST:
			return time_where(meaning, "min", condition);
		case ATOM_LAST:
			return time_where(meaning, "max", condition);
		case ATOM_SUM:
			aggregate = "sum";
			break;
		case ATOM_AVG:
			if (total_is_kept(spec))
			{
				value = psprintf("pg_catalog.count(%s)", spec->value_sql);
				return psprintf("ARRAY[(%s)::pg_catalog.numeric, %s]",
								aggregate_where(meaning, value, condition),
								value_where(meaning, "sum", condition));
			}
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
	return value_where(meaning, aggregate, condition);
}

/*
 * The columns of an atom that is one aggregation of its events: its value,
 * turns, and what arrives.
 */
static char *
columns_sql(const Meaning *meaning, const char *value, const char *turns)
{
	char	   *arrives = time_where(meaning, "min",
									 psprintf("NOT %s", meaning->now));

	return psprintf("%1$s AS value%4$s, %2$s AS turns%4$s, %3$s AS arrives%4$s",
					value, turns, arrives, meaning->suffix);
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
		return columns_sql(meaning, value_sql(meaning, inside),
						   "NULL::pg_catalog.timestamptz[]");

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
		turns = psprintf("(%s)[" INT64_FORMAT "]",
						 times_where(meaning, meaning->now), spec->times);
	return columns_sql(meaning, value_sql(meaning, inside),
					   psprintf("ARRAY[%s]", turns));
}

static bool
is_decisive(const AtomSpec *spec)
{
	return spec->kind == ATOM_DID_FIRST || spec->kind == ATOM_STOPPED ||
		spec->kind == ATOM_RESTARTED;
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
	return columns_sql(meaning, psprintf("COALESCE(%s, false)", value),
					   psprintf("ARRAY[%s]", turns));
}

/*
 * The columns of an atom that is one aggregation of its events.
 */
static char *
aggregate_sql(const Meaning *meaning)
{
	return is_decisive(meaning->spec) ? decisive_sql(meaning) :
		window_sql(meaning);
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
					 "%s AND %s AND %s GROUP BY 1, 2) AS p GROUP BY 1",
					 meaning->contact, meaning->time, meaning->start,
					 meaning->time, meaning->time,
					 rows_of_contacts(meaning, EVENTS), meaning->matches,
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
 * Is the atom of one window, or none?
 */
static bool
has_one_window(const AtomSpec *spec)
{
	return !is_decisive(spec) && spec->kind != ATOM_REGULARLY &&
		spec->kind != ATOM_DID_THEN;
}

/*
 * meaning_is_aggregate: is the atom one aggregation of its events, so that
 * it may be computed together with others?
 *
 * A count of distinct values is not: to sort for it, newer versions of
 * PostgreSQL evaluate the value before the FILTER, also for events of others.
 */
bool
meaning_is_aggregate(const AtomSpec *spec)
{
	return spec->event != NULL && spec->kind != ATOM_DISTINCT &&
		(is_decisive(spec) || has_one_window(spec));
}

/*
 * What is said of an atom's events, where meaning->whose and the parameters
 * are known.
 */
static void
set_events(Meaning *meaning)
{
	Model	   *model = meaning->model;
	const AtomSpec *spec = meaning->spec;
	const char *bound = "";

	meaning->contact = model_event_contact_sql(model);
	meaning->time = model_event_time_sql(model, "e.");
	meaning->now = time_is(meaning, "<=", meaning->clock);
	meaning->bound = NULL;
	if (spec->within != NULL && has_one_window(spec))
	{
		meaning->bound = window_is_even(model, spec->within) ?
			meaning->start : meaning->second;
		bound = psprintf(" AND %s", time_is(meaning, ">", meaning->bound));
	}
	meaning->matches = psprintf("%s%s%s", name_is(model, spec->event), bound,
								filter_sql(meaning));
}

/*
 * The statement for contacts and instants that `meaning` names already.
 */
static char *
atom_sql(Meaning *meaning)
{
	const AtomSpec *spec = meaning->spec;

	if (spec->event != NULL)
		set_events(meaning);
	switch (spec->kind)
	{
		case ATOM_REGULARLY:
			return periods_sql(meaning);
		case ATOM_DID_THEN:
			return sequence_sql(meaning);
		case ATOM_TIME_IN_STAGE:
			return stage_sql(meaning);
		case ATOM_OPEN_DEALS:
			return deals_sql(meaning);
		default:
			return psprintf("SELECT %s AS contact, %s%s AND %s GROUP BY 1",
							meaning->contact, aggregate_sql(meaning),
							rows_of_contacts(meaning, EVENTS),
							meaning->matches);
	}
}

/*
 * The parameters of a statement begin with this number.
 */
static void
set_params(Meaning *meaning, int param)
{
	meaning->clock = psprintf("$%d", param);
	meaning->start = psprintf("$%d", param + 1);
	meaning->second = psprintf("$%d", param + 2);
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
	Meaning		meaning = {.model = model,.spec = spec,.suffix = ""};

	meaning.whose = all ? " IS NOT NULL" : " OPERATOR(pg_catalog.=) ANY ($1)";
	set_params(&meaning, param);
	return atom_sql(&meaning);
}

/*
 * The condition that event e has one of these names, as SQL literals.
 */
static char *
name_is_any(Model *model, List *names)
{
	StringInfoData sql;
	ListCell   *cell;

	if (model->table[EVENTS].column[ROLE_NAME].attno == 0)
		return "true";
	initStringInfo(&sql);
	appendStringInfo(&sql, "%s OPERATOR(pg_catalog.=) ANY (ARRAY[",
					 model_event_name_sql(model));
	foreach(cell, names)
		appendStringInfo(&sql, "%s%s",
						 foreach_current_index(cell) > 0 ? ", " : "",
						 quote_literal_cstr(strVal(lfirst(cell))));
	appendStringInfoString(&sql, "]::pg_catalog.text[])");
	return sql.data;
}

/*
 * meaning_together_sql: the statement that computes the atoms of a list that
 * are meaning_is_aggregate, for all contacts: contact, then of the atom in
 * place i (from 0) valuei, turnsi, arrivesi, with parameters from
 * MEANING_PARAMS * i + 1 on.
 *
 * A contact with no event of any of their names has no row.
 */
char *
meaning_together_sql(Model *model, Atom **atoms, int natoms)
{
	Meaning		meaning = {.model = model,.whose = " IS NOT NULL",.together = true};
	StringInfoData columns;
	StringInfoData bounds;
	bool		bounded = true;
	List	   *names = NIL;

	initStringInfo(&columns);
	initStringInfo(&bounds);
	for (int i = 0; i < natoms; i++)
	{
		if (!meaning_is_aggregate(atoms[i]->spec))
			continue;
		meaning.spec = atoms[i]->spec;
		meaning.suffix = psprintf("%d", i);
		set_params(&meaning, MEANING_PARAMS * i + 1);
		set_events(&meaning);
		appendStringInfo(&columns, ", %s", aggregate_sql(&meaning));
		names = list_append_unique(names,
								   makeString(pstrdup(meaning.spec->event)));
		if (meaning.bound == NULL)
			bounded = false;
		else
			appendStringInfo(&bounds, "%s%s", bounds.len > 0 ? ", " : "",
							 meaning.bound);
	}
	return psprintf("SELECT %s AS contact%s%s AND %s%s GROUP BY 1",
					meaning.contact, columns.data,
					rows_of_contacts(&meaning, EVENTS),
					name_is_any(model, names), !bounded ? "" :
					psprintf(" AND %s",
							 time_is(&meaning, ">",
									 psprintf("LEAST(%s)", bounds.data))));
}

/*
 * meaning_each_sql: the same for contacts at instants of their own.  $1 is an
 * array of contacts, $2 to $4 are the parameters of each: arrays of as many
 * timestamptz, where one of them is an array itself one of two dimensions.
 */
char *
meaning_each_sql(Model *model, const AtomSpec *spec)
{
	Meaning		meaning = {.model = model,.spec = spec,.suffix = ""};
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
