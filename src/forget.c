/*-------------------------------------------------------------------------
 *
 * forget.c
 *	  A person is erased.
 *
 * Whatever is about the person is deleted from the application tables and
 * the model's tables.  The person is the contact and all that were merged into
 * it, with their anonymous ids: those that the model knows as theirs, and
 * those on their events that are nobody else's.  Tables of the model are found
 * by their column contact, so that one that comes later is not left out.
 * Texts that may quote the person (messages, problems, reasons) are searched
 * for the keys, the anonymous ids and what looks like an e-mail address in
 * the contact's row.
 *
 * Deals are the company's business and stay, with their amount, without
 * contact and name; if their contact must not be null, they are deleted.  As
 * a further contact of deals the person is deleted too.
 *
 * Locks and rights are those of merge.c.  The history that the deletion
 * itself writes is deleted last.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "merge.h"
#include "survivor.h"

PG_FUNCTION_INFO_V1(lifecycle_forget);

/* A person, as parameters of statements. */
enum
{
	KEYS,						/* in their type */
	KEY_TEXTS,
	IDS,						/* anonymous ids */
	QUOTES,						/* texts by which the person is recognized */
	EVENT_KEYS,
	DEAL_KEYS
};

#define PARAMS (DEAL_KEYS + 1)

typedef struct Person
{
	Model	   *model;
	Datum		values[PARAMS];
	Oid			types[PARAMS];
	uint64		rows;			/* deleted */
} Person;

/*
 * Run a statement on the model's tables with all that is known of the
 * person.
 */
static uint64
own(Person *person, const char *sql)
{
	return merge_own(person->model, sql, PARAMS, person->types, person->values,
					 NULL);
}

/*
 * The same on an application table, as the caller.
 */
static uint64
theirs(Person *person, const char *sql)
{
	return query_once(sql, PARAMS, person->types, person->values, NULL);
}

/*
 * Keep new events of the person waiting.
 */
static void
settle(Person *person)
{
	Model	   *model = person->model;
	KeyType    *key = &model->contact_key;
	Bitmapset  *stripes = NULL;
	Datum	   *keys;
	Datum	   *ids;
	int			nkeys;
	int			nids;

	deconstruct_array(DatumGetArrayTypeP(person->values[KEYS]), key->type,
					  key->length, key->byval, key->align, &keys, NULL,
					  &nkeys);
	deconstruct_array(DatumGetArrayTypeP(person->values[IDS]), TEXTOID, -1,
					  false, TYPALIGN_INT, &ids, NULL, &nids);
	for (int i = 0; i < nkeys; i++)
		stripes = bms_add_member(stripes, stripe_of_contact(model, keys[i]));
	for (int i = 0; i < nids; i++)
	{
		char	   *id = TextDatumGetCString(ids[i]);

		stripes = bms_add_member(stripes, stripe_of_id(id));
	}
	stripe_settle(model, stripes);
}

/*
 * Everybody whom the contact stands for, and their anonymous ids.
 */
static void
find_person(Person *person, Datum contact)
{
	Model	   *model = person->model;
	Oid			type = model->contact_key.type;
	uint64		rows;
	Datum	   *keys;

	rows = merge_own(model, psprintf("WITH RECURSIVE person (key) AS (SELECT"
									 " $1 UNION"
									 " SELECT m.from_contact FROM person"
									 " JOIN %1$s.contact_merge m ON"
									 " m.into_contact = key"
									 " WHERE m.undone_at IS NULL AND NOT"
									 " EXISTS"
									 " (SELECT FROM %2$s c WHERE c.%3$s ="
									 " m.from_contact))"
									 " SELECT key FROM person", model->schema,
									 model->table[CONTACTS].name,
									 model->table[CONTACTS].column[ROLE_KEY].quoted),
					 1, &type, &contact, NULL);
	keys = palloc((rows + 1) * sizeof(Datum));
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;

		keys[i] = key_copy(&model->contact_key, query_value(i, 1, &isnull));
	}
	person->values[KEYS] = key_array(&model->contact_key, keys, rows);
	person->values[KEY_TEXTS] = merge_texts();
	own(person, psprintf("SELECT anonymous_id FROM %s.identity WHERE contact ="
						 " ANY ($1)",
						 model->schema));
	person->values[IDS] = merge_texts();
}

/*
 * The anonymous ids on the person's events, unless they are somebody else's.
 */
static void
find_ids(Person *person)
{
	Model	   *model = person->model;
	AppTable   *events = &model->table[EVENTS];

	if (!OidIsValid(events->relid) ||
		events->column[ROLE_ANONYMOUS_ID].attno == 0)
		return;
	theirs(person, psprintf("SELECT DISTINCT e.%1$s::pg_catalog.text FROM %2$s"
							" AS e"
							" WHERE e.%3$s OPERATOR(pg_catalog.=) ANY ($1)"
							" AND e.%1$s IS NOT NULL",
							events->column[ROLE_ANONYMOUS_ID].quoted,
							events->name, events->column[ROLE_CONTACT].quoted));
	person->values[QUOTES] = merge_texts();
	own(person, psprintf("SELECT u FROM unnest($3 || $4) u"
						 " WHERE NOT EXISTS (SELECT FROM %s.identity i"
						 " WHERE i.anonymous_id = u AND i.contact <> ALL"
						 " ($1))",
						 model->schema));
	person->values[IDS] = merge_texts();
}

/*
 * The texts by which the person is recognized in what others wrote.  Short
 * ones would be found everywhere; a number too.
 */
static void
find_quotes(Person *person)
{
	Model	   *model = person->model;
	Oid			key = model->contact_key.type;
	bool		is_number = key == INT8OID || key == INT4OID ||
		key == INT2OID || key == NUMERICOID;
	Datum		rows;

	theirs(person, psprintf("SELECT pg_catalog.to_jsonb(c)::pg_catalog.text"
							" FROM %1$s AS c"
							" WHERE c.%2$s OPERATOR(pg_catalog.=) ANY ($1)"
							" ORDER BY c.%2$s FOR UPDATE",
							model->table[CONTACTS].name,
							model->table[CONTACTS].column[ROLE_KEY].quoted));
	rows = merge_texts();
	person->rows += SPI_processed;
	person->values[QUOTES] = rows;
	own(person, psprintf("SELECT DISTINCT q FROM ("
						 " SELECT value FROM unnest($4) r,"
						 " jsonb_each_text(r::jsonb)"
						 " WHERE strpos(value, '@') > 0"
						 " UNION ALL"
						 " SELECT value FROM %s.contact_merge m,"
						 " jsonb_each_text(m.contact_row)"
						 " WHERE m.from_contact = ANY ($1) AND strpos(value,"
						 " '@') > 0"
						 " UNION ALL SELECT u FROM unnest($3) u"
						 " UNION ALL SELECT u FROM unnest($2) u WHERE %s) q"
						 " (q)"
						 " WHERE length(q) > 3",
						 model->schema, is_number ? "false" : "true"));
	person->values[QUOTES] = merge_texts();
}

static void
forget_events(Person *person)
{
	Model	   *model = person->model;
	AppTable   *events = &model->table[EVENTS];
	Column	   *id = &events->column[ROLE_ANONYMOUS_ID];
	Column	   *key = &events->column[ROLE_KEY];

	if (!OidIsValid(events->relid))
		return;
	person->rows +=
		theirs(person, psprintf("DELETE FROM %1$s AS e WHERE e.%2$s"
								" OPERATOR(pg_catalog.=) ANY ($1)%3$s%4$s",
								events->name,
								events->column[ROLE_CONTACT].quoted,
								id->attno == 0 ? "" :
								psprintf(" OR e.%1$s IS NULL AND e.%2$s"
										 " OPERATOR(pg_catalog.=)"
										 " ANY ($3::%3$s[])",
										 events->column[ROLE_CONTACT].quoted,
										 id->quoted, id->type_name),
								key->attno == 0 ? "" :
								psprintf(" RETURNING e.%s::pg_catalog.text",
										 key->quoted)));
	if (key->attno != 0)
		person->values[EVENT_KEYS] = merge_texts();
}

static bool
must_not_be_null(Oid relid, const Column *column)
{
	Oid			types[2] = {OIDOID, INT2OID};
	Datum		values[2] = {ObjectIdGetDatum(relid),
	Int16GetDatum(column->attno)};

	return query_once("SELECT FROM pg_catalog.pg_attribute AS a"
					  " WHERE a.attrelid OPERATOR(pg_catalog.=) $1"
					  " AND a.attnum OPERATOR(pg_catalog.=) $2 AND"
					  " a.attnotnull",
					  2, types, values, NULL) > 0;
}

static void
forget_deals(Person *person)
{
	Model	   *model = person->model;
	AppTable   *deals = &model->table[DEALS];
	Column	   *contact = &deals->column[ROLE_CONTACT];
	Column	   *name = &deals->column[ROLE_NAME];
	Column	   *key = &deals->column[ROLE_KEY];
	const char *what;

	if (!OidIsValid(deals->relid))
		return;
	if (must_not_be_null(deals->relid, contact))
		what = psprintf("DELETE FROM %s AS t", deals->name);
	else
		what = psprintf("UPDATE %s AS t SET %s = NULL%s", deals->name,
						contact->quoted, name->attno == 0 ? "" :
						psprintf(", %s = %s", name->quoted,
								 must_not_be_null(deals->relid, name) ?
								 psprintf("t.%s::pg_catalog.text", key->quoted) :
								 "NULL"));
	person->rows +=
		theirs(person, psprintf("%s WHERE t.%s OPERATOR(pg_catalog.=) ANY ($1)"
								" RETURNING t.%s::pg_catalog.text", what,
								contact->quoted, key->quoted));
	person->values[DEAL_KEYS] = merge_texts();
}

static void
forget_deal_contacts(Person *person)
{
	AppTable   *table = &person->model->table[DEAL_CONTACTS];

	if (!OidIsValid(table->relid))
		return;
	person->rows +=
		theirs(person, psprintf("DELETE FROM %s AS l"
								" WHERE l.%s OPERATOR(pg_catalog.=) ANY ($1)",
								table->name, table->column[ROLE_CONTACT].quoted));
}

/*
 * The model's tables that have a column for the contact.
 */
static void
forget_tables(Person *person)
{
	Model	   *model = person->model;
	Oid			types[7] = {TEXTOID, OIDOID, OIDOID, OIDOID, OIDOID, OIDOID,
	OIDOID};
	Datum		values[7] = {CStringGetTextDatum(model->name)};
	uint64		tables;
	SPITupleTable *result;

	for (int i = 0; i < TABLE_KINDS; i++)
		values[i + 1] = ObjectIdGetDatum(model->table[i].relid);
	values[6] = ObjectIdGetDatum(model->contact_key.type);
	own(person, psprintf("UPDATE %s.deal_history SET contact = NULL, reason ="
						 " NULL"
						 " WHERE contact = ANY ($1)", model->schema));
	if (merge_has_tasks(model))
		person->rows +=
			own(person, psprintf("DELETE FROM %s.task WHERE deal::text = ANY"
								 " ($6)",
								 model->schema));
	person->rows +=
		own(person, psprintf("DELETE FROM %1$s.membership WHERE contact = ANY ($1)"
							 " AND segment_id = ANY (SELECT id FROM %1$s.segment)",
							 model->schema));
	tables = merge_own(model, "SELECT c.oid::regclass::text FROM pg_class c"
					   " JOIN pg_namespace n ON n.oid = c.relnamespace"
					   " JOIN pg_attribute a ON a.attrelid = c.oid"
					   " WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')"
					   " AND NOT c.relispartition AND c.oid NOT IN ($2, $3,"
					   " $4, $5, $6)"
					   " AND c.relname NOT IN ('deal_history', 'membership')"
					   " AND a.attname = 'contact' AND NOT a.attisdropped"
					   " AND a.atttypid = $7 ORDER BY 1",
					   7, types, values, NULL);
	result = SPI_tuptable;
	for (uint64 i = 0; i < tables; i++)
		person->rows +=
			own(person, psprintf("DELETE FROM %s WHERE contact = ANY ($1)",
								 SPI_getvalue(result->vals[i],
											  result->tupdesc, 1)));
	person->rows +=
		own(person, psprintf("DELETE FROM %s.contact_merge WHERE from_contact"
							 " = ANY ($1)"
							 " OR into_contact = ANY ($1)", model->schema));
}

/*
 * What quotes the person.
 */
static void
forget_quotes(Person *person)
{
	static const char *const histories[3] = {"stage_history",
	"lead_status_history", "deal_history"};
	const char *schema = person->model->schema;
	const char *quotes = "EXISTS (SELECT FROM unnest($4) q WHERE strpos(%s, q)"
						 " > 0)";

	person->rows +=
		own(person, psprintf("DELETE FROM %s.outbox WHERE"
							 " aggregatetype = 'contact' AND aggregateid = ANY"
							 " ($2)"
							 " OR payload ->> 'contact' = ANY ($2)"
							 " OR payload ->> 'contact_id' = ANY ($2) OR %s",
							 schema, psprintf(quotes, "payload::text")));
	person->rows +=
		own(person, psprintf("DELETE FROM %s.problem WHERE contact = ANY ($2)"
							 " OR %s",
							 schema, psprintf(quotes, "concat_ws(' ', message,"
													  " detail)")));
	for (int i = 0; i < 3; i++)
	{
		own(person, psprintf("UPDATE %s.%s SET event_key = NULL"
							 " WHERE event_key = ANY"
							 " ($5)", schema, histories[i]));
		own(person, psprintf("UPDATE %s.%s SET reason = NULL WHERE %s", schema,
							 histories[i], psprintf(quotes, "reason")));
	}
}

/*
 * lifecycle_forget(model, contact): erase a person.
 *
 * Returns the number of rows that were deleted, or of deals without their
 * contact now.  Takes the locks of a merge; needs SELECT and DELETE on
 * contacts, events and further contacts of deals, SELECT and UPDATE on deals.  Raises 02000 if there is
 * nothing, 55000 for a contact that was merged into another.
 */
Datum
lifecycle_forget(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	Person		person = {.model = model};
	char	   *text;
	Datum		contact = key_argument(fcinfo, 1, &model->contact_key,
									   "contact", &text);
	Datum		survivor;
	Run		   *run;

	for (int i = 0; i < PARAMS; i++)
	{
		person.types[i] = i == KEYS ? model->contact_key.array : TEXTARRAYOID;
		person.values[i] = identity_ids(NULL, 0);
	}
	merge_check_rights(model);
	SPI_connect();
	model_use(model);
	merge_settle(model, &contact, 1, NULL);
	survivor = survivor_of(model, contact);
	if (key_compare(&model->contact_key, survivor, contact) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("contact \"%s\" was merged into contact \"%s\"", text,
						key_to_text(&model->contact_key, survivor)),
				 errhint("Use SELECT lifecycle_forget(%s, %s) to forget both, or lifecycle_unmerge first.",
						 quote_literal_cstr(model->name),
						 quote_literal_cstr(key_to_text(&model->contact_key,
														survivor)))));
	find_person(&person, contact);
	settle(&person);
	find_ids(&person);
	settle(&person);
	find_quotes(&person);

	run = merge_start(model, NULL);
	forget_events(&person);
	forget_deals(&person);
	forget_deal_contacts(&person);
	theirs(&person, psprintf("DELETE FROM %s AS c WHERE c.%s"
							 " OPERATOR(pg_catalog.=) ANY ($1)",
							 model->table[CONTACTS].name,
							 model->table[CONTACTS].column[ROLE_KEY].quoted));
	run_finish(run);
	forget_tables(&person);
	forget_quotes(&person);
	if (person.rows == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("contact \"%s\" of model \"%s\" does not exist", text,
						model->name),
				 errdetail("There is no history of it either.")));
	model_release(model);
	SPI_finish();
	PG_RETURN_INT64(person.rows);
}
