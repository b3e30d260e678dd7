/*-------------------------------------------------------------------------
 *
 * import.c
 *	  Import modes: how a transaction's rows are taken in.
 *
 * The setting lifecycle.import_mode is of the session or transaction:
 *
 *	  fire		as always
 *	  silent	all is decided at once, but rules only move stages and lead
 *				statuses (run->quiet)
 *	  defer		events are stored and not looked at; their contacts are
 *				remembered, to be taken in by lifecycle_tick or
 *				lifecycle_take_deferred
 *
 * A statement in defer mode appends a row for each contact to the model's
 * table deferred, which has no index and no key: writers meet nowhere.  Rows of
 * a transaction in flight are not visible to whoever takes the others in, and
 * their events are not either, so each event is taken in with or after its
 * row.  An event that is decided about at once may count deferred ones too;
 * taking them in computes everything anew.
 *
 * Replaying (lifecycle_replay) makes the history of contacts anew, with every
 * change at the instant at which it would have been made.  The caller keeps
 * writers away.
 *
 * Contacts that do not exist when they are taken in get an orphan row, as
 * with any event (prepare.c).
 *
 * Taking in locks the contacts, in key order for each batch, and waits for
 * them: a row that is taken out of the table must be worked off.  Two takers
 * at once share the rows (SKIP LOCKED).
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "import.h"
#include "member.h"
#include "step.h"

#define BATCH 5000

static const struct config_enum_entry import_modes[] = {
	{"fire", IMPORT_FIRE, false},
	{"silent", IMPORT_SILENT, false},
	{"defer", IMPORT_DEFER, false},
	{NULL, 0, false}
};

/* The setting; life time: the backend's. */
static int	mode = IMPORT_FIRE;

/*
 * import_init: define the setting.  Called by _PG_init.
 */
void
import_init(void)
{
	DefineCustomEnumVariable("lifecycle.import_mode",
							 "How inserted rows are taken in: fire, silent or defer.",
							 "Use SET LOCAL in the transaction that imports.",
							 &mode,
							 IMPORT_FIRE,
							 import_modes,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);
}

ImportMode
import_mode(void)
{
	return (ImportMode) mode;
}

static int
compare_keys(const void *a, const void *b, void *key)
{
	return key_compare(key, *(const Datum *) a, *(const Datum *) b);
}

/*
 * Sort keys and leave out those that are there twice; returns how many are
 * left.
 */
static int
make_unique(KeyType *type, Datum *keys, int count)
{
	int			kept = 0;

	qsort_arg(keys, count, sizeof(Datum), compare_keys, type);
	for (int i = 0; i < count; i++)
		if (kept == 0 || key_compare(type, keys[kept - 1], keys[i]) != 0)
			keys[kept++] = keys[i];
	return kept;
}

/* The contacts of a statement, each kept once now and then. */
typedef struct KeySet
{
	KeyType    *type;
	MemoryContext context;
	int			count;
	int			allocated;
	Datum	   *keys;
} KeySet;

static void
add_key(KeySet *set, Datum key)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);

	if (set->count == set->allocated)
	{
		set->count = make_unique(set->type, set->keys, set->count);
		if (set->count > set->allocated / 2)
		{
			set->allocated *= 2;
			set->keys = repalloc_huge(set->keys, mul_size(set->allocated,
														  sizeof(Datum)));
		}
	}
	set->keys[set->count++] = key_copy(set->type, key);
	MemoryContextSwitchTo(old);
}

static void
add_contacts(KeySet *set, Model *model, TriggerData *trigdata,
			 Tuplestorestate *store, TupleConversionMap *map)
{
	Transition *rows;
	TupleTableSlot *slot;

	if (store == NULL)
		return;
	rows = transition_begin(trigdata, store, model, EVENTS, map);
	while ((slot = transition_next(rows)) != NULL)
	{
		bool		isnull;
		Datum		contact;

		CHECK_FOR_INTERRUPTS();
		contact = slot_key(slot, &model->table[EVENTS].column[ROLE_CONTACT],
						   &model->contact_key, &isnull);
		if (!isnull)
			add_key(set, contact);
	}
	transition_end(rows);
}

/*
 * import_defer: remember the contacts of a statement on events.  The caller
 * is connected to SPI.  Takes no lock but that of an INSERT.
 */
void
import_defer(Model *model, TriggerData *trigdata, TupleConversionMap *map)
{
	KeySet		set = {.type = &model->contact_key,.allocated = 1024};
	Datum		keys;
	UserSpan	span;

	set.context = CurrentMemoryContext;
	set.keys = palloc(set.allocated * sizeof(Datum));
	add_contacts(&set, model, trigdata, trigdata->tg_oldtable, map);
	add_contacts(&set, model, trigdata, trigdata->tg_newtable, map);
	set.count = make_unique(set.type, set.keys, set.count);
	if (set.count == 0)
		return;
	keys = key_array(set.type, set.keys, set.count);
	span_write(&span, model->owner);
	if (model->plan[PLAN_DEFER] == NULL)
		model->plan[PLAN_DEFER] =
			query_prepare(psprintf("INSERT INTO %s.deferred (contact)"
								   " SELECT k FROM pg_catalog.unnest($1) AS k",
								   model->schema),
						  1, &model->contact_key.array);
	query_execute(model->plan[PLAN_DEFER], &keys, NULL);
	span_end(&span);
	pfree(set.keys);
}

static void
take_batch(Model *model, Datum *contacts, int count, Tally *tally)
{
	Run		   *run = run_start(model);

	run->reason = (Reason) {.cause = "import"};
	run->tally = tally;
	for (int i = 0; i < count; i++)
		(void) run_add_contact(run, CONTACT_DEFERRED, contacts[i]);
	run_finish(run);
}

/*
 * import_take: take in contacts that wait, from at most so many rows of the
 * table; negative for all.
 *
 * The caller is connected to SPI and writes as the owner of the model.
 * Everything is computed anew for them, and rules fire for what they enter
 * and leave.
 */
void
import_take(Model *model, int64 limit, Tally *tally)
{
	KeyType    *key = &model->contact_key;
	MemoryContext context = CurrentMemoryContext;
	char	   *some = limit < 0 ? "" : psprintf(" LIMIT " INT64_FORMAT, limit);
	uint64		rows;
	Datum	   *contacts;
	int			count;

	rows = query_once(psprintf("DELETE FROM %1$s.deferred WHERE ctid"
							   " OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT ctid"
							   " FROM %1$s.deferred%2$s FOR UPDATE SKIP LOCKED))"
							   " RETURNING contact", model->schema, some),
					  0, NULL, NULL, NULL);
	MemoryContextSwitchTo(context);
	contacts = MemoryContextAllocHuge(context, mul_size(rows + 1,
														sizeof(Datum)));
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;

		contacts[i] = key_copy(key, query_value(i, 1, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	count = make_unique(key, contacts, (int) rows);
	for (int first = 0; first < count; first += BATCH)
		take_batch(model, contacts + first, Min(BATCH, count - first), tally);
	pfree(contacts);
}

/*
 * The contacts that are to be replayed with their first instants, in the order
 * of these: the time of the first event, or where there is none `until`.
 */
static DueContact *
replayed_contacts(Model *model, bool everybody, TimestampTz until, int *count)
{
	AppTable   *contacts = &model->table[CONTACTS];
	const char *key = contacts->column[ROLE_KEY].quoted;
	Oid			types[1] = {TIMESTAMPTZOID};
	Datum		values[1] = {TimestampTzGetDatum(until)};
	MemoryContext context = CurrentMemoryContext;
	StringInfoData sql;
	DueContact *result;
	uint64		rows;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT c.%s, ", key);
	if (OidIsValid(model->table[EVENTS].relid))
		appendStringInfo(&sql, "LEAST(x.first, $1) FROM %s AS c LEFT JOIN"
						 " (SELECT %s AS contact, pg_catalog.min(%s) AS first"
						 " FROM %s AS e GROUP BY 1) AS x"
						 " ON x.contact OPERATOR(pg_catalog.=) c.%s",
						 contacts->name, model_event_contact_sql(model),
						 model_event_time_sql(model, "e."),
						 model->table[EVENTS].name, key);
	else
		appendStringInfo(&sql, "$1 FROM %s AS c", contacts->name);
	if (!everybody)
		appendStringInfo(&sql, " WHERE c.%s OPERATOR(pg_catalog.=) ANY"
						 " (SELECT d.contact FROM %s.deferred AS d)",
						 key, model->schema);
	appendStringInfoString(&sql, " ORDER BY 2");
	rows = query_once(sql.data, 1, types, values, NULL);
	MemoryContextSwitchTo(context);
	result = MemoryContextAllocHuge(context,
									mul_size(rows + 1, sizeof(DueContact)));
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;

		result[i].contact = key_copy(&model->contact_key,
									 query_value(i, 1, &isnull));
		result[i].due = DatumGetTimestampTz(query_value(i, 2, &isnull));
		result[i].again = false;
		result[i].afresh = true;
	}
	SPI_freetuptable(SPI_tuptable);
	*count = (int) rows;
	return result;
}

/*
 * import_replay: make memberships and their history anew from the events, as
 * if the contacts that wait, or all, had been here from their first event on.
 * Returns their number.
 *
 * The caller is connected to SPI, writes as the owner of the model, and holds
 * the locks of lifecycle.lock_model.
 */
int64
import_replay(Model *model, bool everybody, TimestampTz until)
{
	KeyType    *key = &model->contact_key;
	Tally		tally = {0};
	int			count;
	DueContact *due = replayed_contacts(model, everybody, until, &count);
	Datum	   *contacts = MemoryContextAllocHuge(CurrentMemoryContext,
												  mul_size(count + 1,
														   sizeof(Datum)));
	Datum		keys;

	for (int i = 0; i < count; i++)
		contacts[i] = due[i].contact;
	keys = key_array(key, contacts, count);
	member_erase(model, keys);
	query_once(psprintf("DELETE FROM %s.contact_state WHERE contact"
						" OPERATOR(pg_catalog.=) ANY ($1)", model->schema),
			   1, &key->array, &keys, NULL);
	query_once(psprintf("DELETE FROM %s.deferred", model->schema), 0, NULL,
			   NULL, NULL);
	step_replay(model, due, count, until, &tally);
	return count;
}
