/*-------------------------------------------------------------------------
 *
 * witness.c
 *	  The events that show why an atom has its value.
 *
 * Whoever asks why gets the events that were counted, or the one or two that
 * decide; docs/why.md says which they are for each function.  They are read
 * by the filters of meaning.c at the same instants, but only for one contact,
 * and nothing is decided from them.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "instant.h"
#include "meaning.h"
#include "witness.h"

/* Parts of the statement; $1 is the contact, then instant_params. */
typedef struct Search
{
	Model	   *model;
	const AtomSpec *spec;
	const char *key;			/* of event e, as text */
} Search;

static char *
time_sql(const Search *search)
{
	return model_event_time_sql(search->model, "e.");
}

/*
 * Events of the atom that fulfil a condition on their time: the earliest or
 * latest so many.
 */
static char *
some(const Search *search, const char *condition, const char *direction,
	 int64 limit)
{
	const Column *key = &search->model->table[EVENTS].column[ROLE_KEY];
	char	   *time = time_sql(search);

	return psprintf("(SELECT %s AS key, %s AS time%s AND %s"
					" ORDER BY %s %s%s LIMIT " INT64_FORMAT ")",
					search->key, time,
					meaning_events_sql(search->model, search->spec->event,
									   search->spec->filter_sql),
					psprintf(condition, time), time, direction,
					key->attno == 0 ? "" :
					psprintf(", e.%s %s", key->quoted, direction), limit);
}

/* Conditions on the time of an event. */
#define PAST	"%1$s OPERATOR(pg_catalog.<=) $2"
#define INSIDE	PAST " AND %1$s OPERATOR(pg_catalog.>) $3"
#define PERIODS	PAST " AND %1$s OPERATOR(pg_catalog.>=) ($3)[1]"
#define BEFORE	"%1$s OPERATOR(pg_catalog.<=) $3"
#define GAP		"%1$s OPERATOR(pg_catalog.>) $3 AND %1$s OPERATOR(pg_catalog.<=) $4"
#define SINCE	PAST " AND %1$s OPERATOR(pg_catalog.>) $4"

/*
 * did_then: the first pair that makes it true.
 */
static char *
pair(const Search *search)
{
	Model	   *model = search->model;
	const AtomSpec *spec = search->spec;
	char	   *time = time_sql(search);

	return psprintf("SELECT x.key, x.time FROM (SELECT"
					" f.key AS first_key, f.time AS first_time,"
					" s.key AS second_key, s.time AS second_time"
					" FROM (SELECT %1$s AS key, %2$s AS time%3$s) AS f,"
					" (SELECT %1$s AS key, %2$s AS time%4$s) AS s"
					" WHERE s.time OPERATOR(pg_catalog.<=) $2"
					" AND f.time OPERATOR(pg_catalog.<) s.time"
					" AND s.time OPERATOR(pg_catalog.<=) (%5$s)"
					" ORDER BY s.time, f.time DESC LIMIT 1) AS p,"
					" LATERAL (VALUES (p.first_key, p.first_time),"
					" (p.second_key, p.second_time)) AS x (key, time)",
					search->key, time,
					meaning_events_sql(model, spec->event, spec->filter_sql),
					meaning_events_sql(model, spec->second_event,
									   spec->second_filter_sql),
					meaning_add_interval(model, "f.time", spec->within));
}

/*
 * The statement: key and time; NULL if the atom is not of events.
 */
static char *
witness_sql(const Search *search)
{
	const AtomSpec *spec = search->spec;

	switch (spec->kind)
	{
		case ATOM_DID:
			return some(search, spec->within != NULL ? INSIDE : PAST, "DESC",
						Min(spec->times, MAX_WITNESSES));
		case ATOM_COUNT:
		case ATOM_SUM:
		case ATOM_MIN:
		case ATOM_MAX:
		case ATOM_AVG:
		case ATOM_DISTINCT:
		case ATOM_TIMES:
			return some(search, spec->within != NULL ? INSIDE : PAST, "DESC",
						MAX_WITNESSES);
		case ATOM_FIRST:
		case ATOM_DID_FIRST:
			return some(search, PAST, "ASC", 1);
		case ATOM_LAST:
		case ATOM_LATEST:
		case ATOM_STOPPED:
			return some(search, PAST, "DESC", 1);
		case ATOM_RESTARTED:
			return psprintf("%s UNION ALL %s UNION ALL %s",
							some(search, BEFORE, "DESC", 1),
							some(search, GAP, "DESC", 1),
							some(search, SINCE, "ASC", 1));
		case ATOM_REGULARLY:
			return some(search, PERIODS, "DESC", MAX_WITNESSES);
		case ATOM_DID_THEN:
			return pair(search);
		default:
			return NULL;
	}
}

/*
 * witness_find: the witnesses of an atom for a contact at an instant, in
 * order of time; a list of Witness in the current context.
 *
 * Reads the newest snapshot as the role that is current, without locks.
 * Raises what the filter raises.
 */
List *
witness_find(Model *model, const AtomSpec *spec, Datum contact,
			 TimestampTz clock)
{
	const Column *key = &model->table[EVENTS].column[ROLE_KEY];
	Search		search = {.model = model,.spec = spec};
	Oid			types[1 + MEANING_PARAMS];
	Datum		args[1 + MEANING_PARAMS];
	List	   *result = NIL;
	char	   *sql;
	uint64		rows;

	search.key = key->attno == 0 ? "NULL::pg_catalog.text" :
		psprintf("(e.%s)::pg_catalog.text", key->quoted);
	sql = witness_sql(&search);
	if (sql == NULL)
		return NIL;
	types[0] = model->contact_key.array;
	args[0] = key_array(&model->contact_key, &contact, 1);
	instant_params(model, spec, clock, types + 1, args + 1);

	/* Each parameter is used, so that it has a type. */
	rows = query_once(psprintf("SELECT w.key, w.time FROM (%s) AS w"
							   " WHERE ($2, $3, $4) IS NOT NULL"
							   " ORDER BY w.time, w.key", sql),
					  1 + MEANING_PARAMS, types, args, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		Witness    *witness = palloc(sizeof(Witness));
		bool		isnull;

		witness->key = query_text(i, 1);
		witness->time = DatumGetTimestampTz(query_value(i, 2, &isnull));
		result = lappend(result, witness);
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}

static int
compare_witnesses(const ListCell *a, const ListCell *b)
{
	const Witness *left = lfirst(a);
	const Witness *right = lfirst(b);

	if (left->time != right->time)
		return left->time < right->time ? -1 : 1;
	if (left->key == NULL || right->key == NULL)
		return 0;
	return strcmp(left->key, right->key);
}

/*
 * witness_merge: the witnesses of both lists, each once, in order of time.
 */
List *
witness_merge(List *witnesses, List *others)
{
	ListCell   *cell;
	ListCell   *other;

	foreach(other, others)
	{
		Witness    *witness = lfirst(other);
		bool		known = false;

		foreach(cell, witnesses)
		{
			char	   *key = ((Witness *) lfirst(cell))->key;

			known |= key != NULL && strcmp(key, witness->key) == 0;
		}
		if (!known)
			witnesses = lappend(witnesses, witness);
	}
	list_sort(witnesses, compare_witnesses);
	return witnesses;
}

/*
 * witness_visible: those of the witnesses that the role that is current may
 * see; none without a key.
 */
List *
witness_visible(Model *model, List *witnesses)
{
	AppTable   *events = &model->table[EVENTS];
	Column	   *key = &events->column[ROLE_KEY];
	Datum	   *keys = palloc((list_length(witnesses) + 1) * sizeof(Datum));
	Oid			types[1] = {TEXTARRAYOID};
	Datum		args[1];
	List	   *result = NIL;
	ListCell   *cell;
	uint64		rows;

	if (witnesses == NIL || key->attno == 0)
		return NIL;
	foreach(cell, witnesses)
		keys[foreach_current_index(cell)] =
			CStringGetTextDatum(((Witness *) lfirst(cell))->key);
	args[0] = PointerGetDatum(construct_array(keys, list_length(witnesses),
											  TEXTOID, -1, false,
											  TYPALIGN_INT));

	/* The keys back in their own type, so that an index may serve. */
	rows = query_once(psprintf("SELECT (e.%1$s)::pg_catalog.text FROM %2$s AS e"
							   " WHERE e.%1$s OPERATOR(pg_catalog.=)"
							   " ANY ($1::%3$s[])",
							   key->quoted, events->name,
							   model->event_key.name),
					  1, types, args, NULL);
	foreach(cell, witnesses)
	{
		Witness    *witness = lfirst(cell);

		for (uint64 i = 0; i < rows; i++)
		{
			if (strcmp(query_text(i, 1), witness->key) == 0)
				result = lappend(result, witness);
		}
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}
