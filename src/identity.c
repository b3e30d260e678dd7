/*-------------------------------------------------------------------------
 *
 * identity.c
 *	  Whose events they are: anonymous ids, and contacts that were merged.
 *
 * An event may come without a contact and with an anonymous id.  It is
 * stored, and counts for nobody until the id is somebody's: the model's table
 * identity says whose.  An event of a contact that was merged into another is
 * the survivor's (survivor.c).
 *
 * Both are put right by the AFTER trigger of the INSERT, which updates the
 * contact of such rows as the owner of the table.  A BEFORE trigger could
 * not: it would keep COPY from inserting many rows at once, and could not
 * move a row to another partition.  The UPDATE fires our own trigger, which
 * finds run->arriving set: rows that changed their contact then are new events
 * for it, so that rules fire and counts go up; any other row that a user's
 * trigger updated meanwhile is treated as usual.
 *
 * With the setting anonymous = contact, an anonymous id that nobody has yet
 * makes a contact, and everything else (segments, rules, ticks) goes on from
 * there.  The primary key of identity decides between two sessions that come
 * with the same id: the key of the contact is made first, the row of identity
 * is inserted with ON CONFLICT DO NOTHING, and only who inserted it inserts
 * the contact.  Who did not waits for the other, and then finds it.  If the
 * contact cannot be inserted (a column that must be given, a constraint), the
 * event stays, without contact, and a problem says why.
 *
 * Locks: the stripes of all contacts and anonymous ids of the new rows, in
 * Share mode (stripe.c), before anything is looked at.  So an identification
 * or a merge in flight is waited for, and one to come waits for this
 * transaction.  Whether the model has merges at all is known from the cache;
 * a merge that commits while we wait for its lock has sent its invalidation
 * before it let the lock go, hence AcceptInvalidationMessages.
 *
 * What arrives while triggers do not fire (session_replication_role =
 * replica, logical replication) stays as it is, until lifecycle_identify is
 * called for the id.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "identity.h"
#include "survivor.h"

PG_FUNCTION_INFO_V1(identify_strangers);

static void
note_stripe(Run *run, Arrivals *arrivals, int stripe)
{
	MemoryContext old;

	if (bms_is_member(stripe, arrivals->stripes))
		return;
	old = MemoryContextSwitchTo(run->context);
	arrivals->stripes = bms_add_member(arrivals->stripes, stripe);
	arrivals->count++;
	MemoryContextSwitchTo(old);
}

static void
note_id(Run *run, Arrivals *arrivals, const char *id)
{
	MemoryContext old;

	if (arrivals->nids > 0 &&
		strcmp(arrivals->ids[arrivals->nids - 1], id) == 0)
		return;
	old = MemoryContextSwitchTo(run->context);
	if (arrivals->nids == arrivals->allocated)
	{
		arrivals->allocated = Max(16, arrivals->allocated * 2);
		arrivals->ids = arrivals->ids == NULL ?
			palloc(arrivals->allocated * sizeof(char *)) :
			repalloc_huge(arrivals->ids, mul_size(arrivals->allocated,
												  sizeof(char *)));
	}
	arrivals->ids[arrivals->nids++] = pstrdup(id);
	MemoryContextSwitchTo(old);
}

/*
 * identity_note: an event row that a statement inserted or updated, and its
 * contact.
 */
void
identity_note(Run *run, Arrivals *arrivals, TupleTableSlot *slot,
			  Datum contact, bool isnull)
{
	char	   *id;

	if (!isnull)
	{
		if (arrivals->count <= FEW_STRIPES)
			note_stripe(run, arrivals, stripe_of_contact(run->model, contact));
		return;
	}
	id = slot_text(slot, &run->model->table[EVENTS].column[ROLE_ANONYMOUS_ID]);
	if (id == NULL)
		return;
	note_id(run, arrivals, id);
	if (arrivals->count <= FEW_STRIPES)
		note_stripe(run, arrivals, stripe_of_id(id));
}

static int
compare_ids(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/*
 * identity_ids: texts as an array, in order.  The array given is sorted too.
 */
Datum
identity_ids(char **ids, int count)
{
	Datum	   *values = palloc((count + 1) * sizeof(Datum));
	int			kept = 0;

	qsort(ids, count, sizeof(char *), compare_ids);
	for (int i = 0; i < count; i++)
		if (i == 0 || strcmp(ids[i - 1], ids[i]) != 0)
			values[kept++] = CStringGetTextDatum(ids[i]);
	return PointerGetDatum(construct_array(values, kept, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/*
 * Whose anonymous ids these are: rows (id, contact) in SPI_tuptable.  A
 * contact that is being deleted has none any more, though its foreign key
 * may clear the contact of its events before our trigger comes.
 */
static uint64
look_up(Model *model, Datum ids)
{
	static const Oid types[1] = {TEXTARRAYOID};
	UserSpan	span;
	uint64		rows;

	span_write(&span, model->owner);
	if (model->plan[PLAN_IDENTITIES] == NULL)
		model->plan[PLAN_IDENTITIES] =
			query_prepare(psprintf("SELECT i.anonymous_id, i.contact"
								   " FROM %s.identity AS i"
								   " WHERE i.anonymous_id"
								   " OPERATOR(pg_catalog.=) ANY ($1)"
								   " AND EXISTS (SELECT FROM %s AS x WHERE x.%s"
								   " OPERATOR(pg_catalog.=) i.contact)",
								   model->schema,
								   model->table[CONTACTS].name,
								   model->table[CONTACTS].column[ROLE_KEY].quoted),
						  1, types);
	rows = query_execute(model->plan[PLAN_IDENTITIES], &ids, NULL);
	span_end(&span);
	return rows;
}

/* Ids that are to make contacts. */
typedef struct Strangers
{
	Run		   *run;
	Datum		ids;			/* text[] */
} Strangers;

/*
 * How a contact's key is made, as SQL over the anonymous id a.
 */
static char *
key_source(Model *model)
{
	AppTable   *contacts = &model->table[CONTACTS];
	Column	   *key = &contacts->column[ROLE_KEY];
	Oid			types[2] = {OIDOID, INT2OID};
	Datum		values[2] = {ObjectIdGetDatum(contacts->relid),
	Int16GetDatum(key->attno)};
	char	   *source = NULL;

	if (query_once("SELECT COALESCE("
				   "'pg_catalog.nextval(' || pg_catalog.quote_literal("
				   "pg_catalog.pg_get_serial_sequence("
				   "a.attrelid::pg_catalog.regclass::pg_catalog.text,"
				   " a.attname::pg_catalog.text))"
				   " || '::pg_catalog.regclass)',"
				   " pg_catalog.pg_get_expr(d.adbin, d.adrelid))"
				   " FROM pg_catalog.pg_attribute AS a"
				   " LEFT JOIN pg_catalog.pg_attrdef AS d"
				   " ON d.adrelid OPERATOR(pg_catalog.=) a.attrelid"
				   " AND d.adnum OPERATOR(pg_catalog.=) a.attnum"
				   " WHERE a.attrelid OPERATOR(pg_catalog.=) $1"
				   " AND a.attnum OPERATOR(pg_catalog.=) $2",
				   2, types, values, NULL) > 0)
		source = query_text(0, 1);
	if (source != NULL)
		return psprintf("(%s)::%s", source, key->type_name);
	if (key->type == TEXTOID || key->type == VARCHAROID ||
		key->type == UUIDOID)
		return psprintf("a::%s", key->type_name);
	ereport(ERROR,
			(errcode(ERRCODE_NOT_NULL_VIOLATION),
			 errmsg("column \"%s\" of table %s has no default, so that anonymous ids cannot make contacts",
					key->name, contacts->name)));
}

/*
 * Insert contacts for ids that are nobody's yet.  Their keys are in the table
 * identity before the contacts are; see above.
 */
static void
make_contacts(void *arg)
{
	Strangers  *strangers = arg;
	Model	   *model = strangers->run->model;
	AppTable   *contacts = &model->table[CONTACTS];
	Column	   *key = &contacts->column[ROLE_KEY];
	Column	   *id = &contacts->column[ROLE_ANONYMOUS_ID];
	Oid			types[1] = {TEXTARRAYOID};
	Datum	   *keys;
	Oid			pair_types[2] = {model->contact_key.array, TEXTARRAYOID};
	Datum		pair[2];
	Datum	   *ids;
	uint64		rows;
	UserSpan	span;
	int			level = path_pin();

	span_write(&span, model->owner);
	rows = query_once(psprintf("INSERT INTO %s.identity AS i"
							   " (anonymous_id, contact, made_contact)"
							   " SELECT a, %s, true FROM pg_catalog.unnest($1)"
							   " AS a"
							   " ORDER BY a ON CONFLICT (anonymous_id) DO"
							   " NOTHING"
							   " RETURNING i.contact, i.anonymous_id",
							   model->schema, key_source(model)),
					  1, types, &strangers->ids, NULL);
	span_end(&span);
	keys = palloc((rows + 1) * sizeof(Datum));
	ids = palloc((rows + 1) * sizeof(Datum));
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;

		keys[i] = query_value(i, 1, &isnull);
		ids[i] = query_value(i, 2, &isnull);
	}
	pair[0] = key_array(&model->contact_key, keys, rows);
	pair[1] = PointerGetDatum(construct_array(ids, rows, TEXTOID, -1, false,
											  TYPALIGN_INT));
	span_write(&span, contacts->owner);
	if (query_once(psprintf("INSERT INTO %s (%s%s%s) OVERRIDING SYSTEM VALUE"
							" SELECT v.k%s FROM %s AS v (k, a)",
							contacts->name, key->quoted,
							id->attno != 0 ? ", " : "",
							id->attno != 0 ? id->quoted : "",
							id->attno == 0 ? "" :
							psprintf(", v.a::%s", id->type_name),
							bulk_source(2)),
				   2, pair_types, pair, NULL) != rows)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a trigger kept anonymous contacts out of table %s",
						contacts->name)));
	span_end(&span);
	path_unpin(level);
}

/*
 * Make contacts of the ids that are nobody's; those that cannot become
 * problems.
 */
static void
make_strangers(Run *run, char **ids, int count)
{
	Strangers	strangers = {run, identity_ids(ids, count)};
	ErrorData  *error;

	if (count == 0 || run_try(make_contacts, &strangers, &error))
		return;
	for (int i = 0; i < count; i++)
	{
		if (i > 0 && strcmp(ids[i - 1], ids[i]) == 0)
			continue;
		strangers.ids = identity_ids(&ids[i], 1);
		if (!run_try(make_contacts, &strangers, &error))
			run_problem(run, NULL, NULL, NULL, NULL, error);
	}
}

/*
 * Those of the sorted ids that are not among the rows just looked up.
 */
static char **
unknown_ids(char **ids, int count, int *unknown)
{
	uint64		rows = SPI_processed;
	char	  **known = palloc((rows + 1) * sizeof(char *));
	char	  **result = palloc((count + 1) * sizeof(char *));

	*unknown = 0;
	for (uint64 i = 0; i < rows; i++)
		known[i] = query_text(i, 1);
	qsort(known, rows, sizeof(char *), compare_ids);
	for (int i = 0; i < count; i++)
		if (bsearch(&ids[i], known, rows, sizeof(char *), compare_ids) == NULL)
			result[(*unknown)++] = ids[i];
	return result;
}

/*
 * identity_give: give events to contacts, the rows (old value, contact) just
 * looked up.
 *
 * Old values are contacts (PLAN_STRAY_EVENTS) or anonymous ids
 * (PLAN_ANONYMOUS_EVENTS).  `fresh` events are new to whom they are given.
 * Updates the events as the owner of their table, whose triggers may raise
 * anything.
 */
void
identity_give(Run *run, PlanId id, bool fresh)
{
	Model	   *model = run->model;
	AppTable   *events = &model->table[EVENTS];
	Column	   *contact = &events->column[ROLE_CONTACT];
	Column	   *anonymous = &events->column[ROLE_ANONYMOUS_ID];
	bool		stray = id == PLAN_STRAY_EVENTS;
	Oid			types[2] = {stray ? model->contact_key.type : TEXTOID,
	model->contact_key.type};
	uint64		rows = SPI_processed;
	Bulk	   *bulk = bulk_create(2, types);
	bool		outer = run->arriving;
	UserSpan	span;

	if (rows == 0)
		return;
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		Datum		values[2] = {query_value(i, 1, &isnull),
		query_value(i, 2, &isnull)};

		bulk_add(bulk, values, NULL);
	}
	if (model->plan[id] == NULL)
	{
		Oid			arrays[2] = {bulk_array_type(types[0]),
		bulk_array_type(types[1])};

		model->plan[id] =
			query_prepare(psprintf("UPDATE %s AS e SET %s = v.c::%s FROM %s AS"
								   " v (w, c)"
								   " WHERE e.%s OPERATOR(pg_catalog.=)"
								   " v.w::%s%s",
								   events->name, contact->quoted,
								   contact->type_name, bulk_source(2),
								   stray ? contact->quoted : anonymous->quoted,
								   stray ? contact->type_name : anonymous->type_name,
								   stray ? "" :
								   psprintf(" AND e.%s IS"
											" NULL", contact->quoted)),
						  2, arrays);
	}
	PG_TRY();
	{
		run->arriving = fresh;
		span_write(&span, events->owner);
		bulk_execute(bulk, model->plan[id], 0, bulk->rows);
		span_end(&span);
	}
	PG_FINALLY();
	{
		run->arriving = outer;	/* the run may outlive a subtransaction */
	}
	PG_END_TRY();
}

/*
 * The distinct contacts of the rows.
 */
static Datum
contacts_of(Run *run, Transition *rows)
{
	Model	   *model = run->model;
	KeyType    *key = &model->contact_key;
	int			allocated = 64;
	int			count = 0;
	Datum	   *keys = palloc(allocated * sizeof(Datum));
	TupleTableSlot *slot;

	transition_rewind(rows);
	while ((slot = transition_next(rows)) != NULL)
	{
		bool		isnull;
		Datum		contact = slot_key(slot,
									   &model->table[EVENTS].column[ROLE_CONTACT],
									   key, &isnull);

		CHECK_FOR_INTERRUPTS();
		if (isnull ||
			(count > 0 && key_compare(key, keys[count - 1], contact) == 0))
			continue;
		if (count == allocated)
		{
			allocated *= 2;
			keys = repalloc_huge(keys, mul_size(allocated, sizeof(Datum)));
		}
		keys[count++] = run_copy_key(run, key, contact);
	}
	return key_array(key, keys, count);
}

static int
compare_keys(const void *a, const void *b, void *key)
{
	return key_compare(key, *(const Datum *) a, *(const Datum *) b);
}

/*
 * Forget the hits of the contacts just looked up, whose events are collected
 * again with the contact that they really have.
 */
static void
drop_hits(Run *run, int hits_before)
{
	KeyType    *key = &run->model->contact_key;
	uint64		rows = SPI_processed;
	Datum	   *merged = palloc(rows * sizeof(Datum));
	int			kept = hits_before;

	for (uint64 row = 0; row < rows; row++)
	{
		bool		isnull;

		merged[row] = query_value(row, 1, &isnull);
	}
	qsort_arg(merged, rows, sizeof(Datum), compare_keys, key);
	for (int i = hits_before; i < list_length(run->hits); i++)
	{
		Hit		   *hit = list_nth(run->hits, i);

		if (bsearch_arg(&hit->contact, merged, rows, sizeof(Datum),
						compare_keys, key) == NULL)
			lfirst(list_nth_cell(run->hits, kept++)) = hit;
	}
	run->hits = list_truncate(run->hits, kept);
}

/*
 * Give the events of anonymous ids to those whose ids they are.  Ids of new
 * events may make contacts.
 */
static void
resolve_ids(Run *run, char **ids, int count, bool new, bool fresh)
{
	Model	   *model = run->model;
	Datum		array = identity_ids(ids, count);
	uint64		rows = look_up(model, array);

	if (new && model->anonymous_contacts && rows < (uint64) count)
	{
		int			unknown;
		char	  **strangers = unknown_ids(ids, count, &unknown);

		make_strangers(run, strangers, unknown);
		rows = look_up(model, array);
	}
	if (rows > 0)
		identity_give(run, PLAN_ANONYMOUS_EVENTS, fresh);
}

/*
 * identity_settle: let the events that a statement inserted or updated find
 * their contacts.
 *
 * The hits collected since hits_before are those of the rows.  Takes the
 * stripes of the persons, and waits for them; what it finds out is worked off
 * by the run.  Raises nothing of its own; the UPDATE fires the user's
 * triggers.
 */
void
identity_settle(Run *run, Arrivals *arrivals, Transition *rows, bool inserted,
				int hits_before)
{
	Model	   *model = run->model;
	bool		fresh = inserted || run->arriving;

	if (arrivals->stripes == NULL)
		return;
	stripe_arrive(model, arrivals->stripes);
	AcceptInvalidationMessages();
	if (model_may_have_merges(model))
	{
		Datum		contacts = contacts_of(run, rows);

		if (survivor_look_up(model, contacts) > 0)
		{
			drop_hits(run, hits_before);
			identity_give(run, PLAN_STRAY_EVENTS, fresh);
		}
	}
	if (arrivals->nids > 0)
		resolve_ids(run, arrivals->ids, arrivals->nids, fresh, fresh);
}

/*
 * identify_strangers(model text): give the events without contact that are
 * there to the contacts of their anonymous ids, which are made as the setting
 * says.  Called when the setting changes.
 *
 * The caller holds the locks of lifecycle.lock_model.  Returns how many ids
 * there were; raises 42501 unless the caller owns the model.
 */
Datum
identify_strangers(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	AppTable   *events = &model->table[EVENTS];
	Run		   *run;
	char	  **ids;
	uint64		rows;

	model_check_owner(model);
	if (!OidIsValid(events->relid) ||
		events->column[ROLE_ANONYMOUS_ID].attno == 0)
		PG_RETURN_INT64(0);
	SPI_connect();
	run = run_start(model);
	run->reason.cause = "merge";
	rows = query_once(psprintf("SELECT DISTINCT e.%1$s::pg_catalog.text FROM"
							   " %2$s AS e"
							   " WHERE e.%1$s IS NOT NULL AND e.%3$s IS NULL",
							   events->column[ROLE_ANONYMOUS_ID].quoted,
							   events->name,
							   events->column[ROLE_CONTACT].quoted),
					  0, NULL, NULL, NULL);
	ids = palloc((rows + 1) * sizeof(char *));
	for (uint64 i = 0; i < rows; i++)
		ids[i] = query_text(i, 1);
	if (rows > 0)
		resolve_ids(run, ids, rows, true, false);
	run_finish(run);
	SPI_finish();
	PG_RETURN_INT64(rows);
}
