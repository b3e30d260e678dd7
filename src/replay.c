/*-------------------------------------------------------------------------
 *
 * replay.c
 *	  Rules on events of the past.
 *
 * A replay (import.c, step.c) takes contacts through the instants at which
 * their events or the end of a window may change them.  An event that a rule
 * names is such an instant too, whether or not a segment looks at it: the rule
 * fires then, after the event has been counted, as it would have on arrival.
 * As in all of a replay, rules move stages and lead statuses only; and those
 * that do so in any direction leave alone what the contact's history says of
 * later times, so that a replay can be repeated.
 *
 * The instants of all contacts are read at once, and are held for the whole
 * replay; the events themselves are read for one wave at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "replay.h"

/* Rules that do something in a replay. */
#define RULES "%s.rule WHERE enabled AND on_ OPERATOR(pg_catalog.=) 'event'" \
	" AND action OPERATOR(pg_catalog.=) ANY" \
	" (ARRAY['advance stage', 'set stage', 'set lead status'])"

static int
compare_instants(const void *a, const void *b, void *key)
{
	const RuleInstant *first = a;
	const RuleInstant *second = b;
	int			order = key_compare(key, first->contact, second->contact);

	return order != 0 ? order : (first->at > second->at) -
		(first->at < second->at);
}

static int
compare_past(const void *a, const void *b, void *key)
{
	return key_compare(key, ((const PastMoves *) a)->contact,
					   ((const PastMoves *) b)->contact);
}

static void
read_past(Model *model, Replayed *result, Datum contacts)
{
	MemoryContext context = CurrentMemoryContext;
	KeyType    *key = &model->contact_key;
	uint64		rows;

	rows = query_once(psprintf("SELECT k, (SELECT pg_catalog.max(h.at)"
							   " FROM %1$s.stage_history AS h"
							   " WHERE h.object OPERATOR(pg_catalog.=) 'contact'"
							   " AND h.contact OPERATOR(pg_catalog.=) k),"
							   " (SELECT pg_catalog.max(h.at)"
							   " FROM %1$s.lead_status_history AS h"
							   " WHERE h.object OPERATOR(pg_catalog.=) 'contact'"
							   " AND h.contact OPERATOR(pg_catalog.=) k)"
							   " FROM pg_catalog.unnest($1) AS k",
							   model->schema), 1, &key->array, &contacts, NULL);
	MemoryContextSwitchTo(context);
	result->past = MemoryContextAllocHuge(context,
										  mul_size(rows + 1,
												   sizeof(PastMoves)));
	for (uint64 i = 0; i < rows; i++)
	{
		PastMoves  *past = &result->past[i];
		bool		isnull;
		Datum		value;

		past->contact = key_copy(key, query_value(i, 1, &isnull));
		value = query_value(i, 2, &isnull);
		past->stage = isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
		value = query_value(i, 3, &isnull);
		past->status = isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
	}
	SPI_freetuptable(SPI_tuptable);
	result->npast = (int) rows;
	qsort_arg(result->past, result->npast, sizeof(PastMoves), compare_past,
			  key);
}

/*
 * replay_may_set: may a rule set the contact's stage, in any direction, or its
 * lead status at this instant?  Not before what was there already: somebody
 * else has decided since.
 */
bool
replay_may_set(const Replayed *replayed, KeyType *key, Datum contact,
			   TimestampTz at, bool status)
{
	PastMoves	wanted = {.contact = contact};
	PastMoves  *found = bsearch_arg(&wanted, replayed->past, replayed->npast,
									sizeof(PastMoves), compare_past, key);

	return found == NULL || at > (status ? found->status : found->stage);
}

/*
 * replay_read: the instants at which rules on events may fire, up to `until`,
 * for the contacts, and their histories' last instants.  The caller is
 * connected to SPI and writes as the owner of the model; the result is in its
 * context.
 */
Replayed *
replay_read(Model *model, Datum contacts, TimestampTz until)
{
	MemoryContext context = CurrentMemoryContext;
	Replayed *result = palloc0(sizeof(Replayed));
	KeyType    *key = &model->contact_key;
	Oid			types[2] = {key->array, TIMESTAMPTZOID};
	Datum		values[2] = {contacts, TimestampTzGetDatum(until)};
	uint64		rows;

	read_past(model, result, contacts);
	if (!OidIsValid(model->table[EVENTS].relid) ||
		query_once(psprintf("SELECT FROM " RULES " LIMIT 1", model->schema), 0,
				   NULL, NULL, NULL) == 0)
		return result;
	rows = query_once(psprintf("SELECT DISTINCT %1$s, %2$s FROM %3$s AS e"
							   " WHERE %1$s OPERATOR(pg_catalog.=) ANY ($1)"
							   " AND %2$s OPERATOR(pg_catalog.<=) $2"
							   " AND %4$s OPERATOR(pg_catalog.=) ANY"
							   " (ARRAY(SELECT of FROM %5$s.rule WHERE enabled"
							   " AND on_ OPERATOR(pg_catalog.=) 'event'))",
							   model_event_contact_sql(model),
							   model_event_time_sql(model, "e."),
							   model->table[EVENTS].name,
							   model_event_name_sql(model), model->schema),
					  2, types, values, NULL);
	MemoryContextSwitchTo(context);
	result->instants = MemoryContextAllocHuge(context,
											  mul_size(rows + 1,
													   sizeof(RuleInstant)));
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;

		result->instants[i].contact = key_copy(key, query_value(i, 1, &isnull));
		result->instants[i].at = DatumGetTimestampTz(query_value(i, 2,
																 &isnull));
		result->instants[i].passed = 0;
	}
	SPI_freetuptable(SPI_tuptable);
	result->count = (int) rows;
	qsort_arg(result->instants, result->count, sizeof(RuleInstant),
			  compare_instants, key);
	return result;
}

/*
 * The first of the contact's instants, or NULL.
 */
static RuleInstant *
find_contact(Replayed *replayed, KeyType *key, Datum contact)
{
	int			low = 0;
	int			high = replayed->count;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (key_compare(key, replayed->instants[middle].contact, contact) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < replayed->count &&
		key_compare(key, replayed->instants[low].contact, contact) == 0)
		return &replayed->instants[low];
	return NULL;
}

/*
 * replay_next_instant: the next of the contact's instants that has not
 * passed, NOT_DUE if there is none.
 */
TimestampTz
replay_next_instant(Replayed *replayed, KeyType *key, Datum contact)
{
	RuleInstant *first = find_contact(replayed, key, contact);
	RuleInstant *next;

	if (first == NULL)
		return NOT_DUE;
	next = first + first->passed;
	if (next == replayed->instants + replayed->count ||
		key_compare(key, next->contact, contact) != 0)
		return NOT_DUE;
	return next->at;
}

/*
 * replay_pass_instant: the next one has passed.
 */
void
replay_pass_instant(Replayed *replayed, KeyType *key, Datum contact)
{
	find_contact(replayed, key, contact)->passed++;
}

/* An event of a wave, as read. */
typedef struct ReplayedEvent
{
	Work	   *work;
	char	   *name;
	EventRef   *event;
} ReplayedEvent;

static EventRef *
read_event(Run *run, uint64 row)
{
	Model	   *model = run->model;
	MemoryContext old = MemoryContextSwitchTo(run->context);
	EventRef   *event = palloc0(sizeof(EventRef));
	bool		isnull;

	event->time = DatumGetTimestampTz(query_value(row, 3, &isnull));
	event->key_null = true;
	if (model->table[EVENTS].column[ROLE_KEY].attno != 0)
	{
		Datum		key = query_value(row, 4, &event->key_null);

		if (!event->key_null)
			event->key = key_copy(&model->event_key, key);
	}
	event->row = run_copy_row(query_value(row, 5, &isnull));
	MemoryContextSwitchTo(old);
	return event;
}

/*
 * Rules of the event's name fire.  Its entry may have to be loaded, which
 * ends the result from which the event was read.
 */
static void
add_hit(Run *run, const ReplayedEvent *replayed)
{
	EventEntry *entry = event_find(run->model, replayed->name,
								   strlen(replayed->name));
	Hit		   *hit;

	if (entry == NULL || entry->rules == NIL)
		return;
	replayed->event->entry = entry;
	hit = palloc0(sizeof(Hit));
	hit->contact = replayed->work->contact;
	hit->rules = true;
	hit->time = replayed->event->time;
	hit->event = replayed->event;
	hit->subid = GetCurrentSubTransactionId();
	replayed->work->hits = lappend(replayed->work->hits, hit);
}

/*
 * replay_add_events: give the works of a wave the events of their instants
 * that rules name.  The caller is connected to SPI.
 */
void
replay_add_events(Run *run, Work **works, int count)
{
	Model	   *model = run->model;
	AppTable   *events = &model->table[EVENTS];
	KeyType    *key = &model->contact_key;
	Oid			types[2] = {key->array, TIMESTAMPTZARRAYOID};
	Datum	   *contacts = palloc((count + 1) * sizeof(Datum));
	Datum	   *instants = palloc((count + 1) * sizeof(Datum));
	Datum		values[2];
	ReplayedEvent *replayed;
	MemoryContext old = CurrentMemoryContext;
	UserSpan	span;
	uint64		rows;

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
	{
		contacts[i] = works[i]->contact;
		instants[i] = TimestampTzGetDatum(works[i]->clock);
	}
	values[0] = key_array(key, contacts, count);
	values[1] = PointerGetDatum(construct_array(instants, count,
												TIMESTAMPTZOID, 8,
												FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE));
	span_write(&span, model->owner);
	rows = query_once(psprintf("SELECT %1$s, %2$s, %3$s, %4$s, e"
							   " FROM ROWS FROM (pg_catalog.unnest($1),"
							   " pg_catalog.unnest($2)) AS w (contact, at)"
							   " JOIN %5$s AS e ON %1$s OPERATOR(pg_catalog.=) w.contact"
							   " AND %3$s OPERATOR(pg_catalog.=) w.at"
							   " WHERE %2$s OPERATOR(pg_catalog.=) ANY"
							   " (ARRAY(SELECT of FROM %6$s.rule WHERE enabled"
							   " AND on_ OPERATOR(pg_catalog.=) 'event'))"
							   " ORDER BY %7$s",
							   model_event_contact_sql(model),
							   model_event_name_sql(model),
							   model_event_time_sql(model, "e."),
							   events->column[ROLE_KEY].attno != 0 ?
							   psprintf("e.%s", events->column[ROLE_KEY].quoted) :
							   "NULL",
							   events->name, model->schema,
							   events->column[ROLE_KEY].attno != 0 ? "4" : "2"),
					  2, types, values, NULL);
	span_end(&span);
	MemoryContextSwitchTo(old);
	replayed = palloc((rows + 1) * sizeof(ReplayedEvent));
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;

		replayed[i].work = run_find_work(run, query_value(i, 1, &isnull));
		replayed[i].name = TextDatumGetCString(query_value(i, 2, &isnull));
		replayed[i].event = read_event(run, i);
	}
	SPI_freetuptable(SPI_tuptable);
	for (uint64 i = 0; i < rows; i++)
	{
		if (replayed[i].work != NULL)
			add_hit(run, &replayed[i]);
	}
}
