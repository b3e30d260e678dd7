/*-------------------------------------------------------------------------
 *
 * unmerge.c
 *	  A merge is undone.
 *
 * Undoing a merge inserts the contact's row again as it was, and gives back
 * what the merge had moved, as far as it is still the survivor's.  What came
 * since stays with the survivor.  A column that the merge filled is emptied if
 * nobody has changed it since, and the survivor's stage goes back if it is
 * still the one that it got from the other.  A deal that the merge closed is
 * opened again if its contact has no other open one by now.
 *
 * Merges are undone from the last to the first: if the survivor was itself
 * merged since, that merge must be undone before.
 *
 * Locks and rights are those of merge.c.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "merge.h"

PG_FUNCTION_INFO_V1(lifecycle_unmerge);

/*
 * Read a merge that can be undone; raises 02000 and 55000.
 */
static void
read_merge(Merge *merge, int64 id)
{
	Model	   *model = merge->model;
	KeyType    *key = &model->contact_key;
	Oid			types[2] = {INT8OID, key->type};
	Datum		values[2] = {Int64GetDatum(id)};
	bool		isnull;

	if (merge_own(model, psprintf("SELECT from_contact, into_contact,"
								  " contact_row, filled, stage_before,"
								  " stage_after, events, deals,"
								  " closed_deals::text,"
								  " tasks, anonymous_ids, made_contact,"
								  " undone_at IS NOT NULL,"
								  " deal_contacts, deal_contact_rows"
								  " FROM %s.contact_merge WHERE id = $1 FOR"
								  " UPDATE",
								  model->schema), 1, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("merge %lld of model \"%s\" does not exist",
						(long long) id, model->name),
				 errhint("Merges are in the table %s.contact_merge.",
						 model->schema)));
	if (DatumGetBool(query_value(0, 13, &isnull)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("merge %lld was undone already", (long long) id)));
	merge->from = key_copy(key, query_value(0, 1, &isnull));
	merge->into = key_copy(key, query_value(0, 2, &isnull));
	merge->into_text = key_to_text(key, merge->into);
	merge->from_row = merge_value(0, 3);
	merge->filled = merge_value(0, 4);
	merge->from_stage = query_text(0, 5);
	merge->stage_after = query_text(0, 6);
	merge->events = query_value(0, 7, &merge->no_event_keys);
	if (!merge->no_event_keys)
		merge->events = PointerGetDatum(PG_DETOAST_DATUM_COPY(merge->events));
	merge->deals = merge_value(0, 8);
	merge->closed_deals = query_text(0, 9);
	merge->tasks = merge_value(0, 10);
	merge->ids = merge_value(0, 11);
	merge->made_contact = DatumGetBool(query_value(0, 12, &isnull));
	merge->deal_contacts = merge_value(0, 14);
	merge->deal_contact_rows = merge_value(0, 15);
	if (merge->no_event_keys)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("merge %lld cannot be undone", (long long) id),
				 errdetail("Events of model \"%s\" have no key, so it is not known which of them moved.",
						   model->name)));
	values[1] = merge->into;
	if (merge_own(model, psprintf("SELECT id FROM %s.contact_merge"
								  " WHERE from_contact = $2 AND undone_at IS"
								  " NULL AND id > $1"
								  " ORDER BY id DESC LIMIT 1", model->schema),
				  2, types, values, NULL) > 0)
	{
		int64		later = DatumGetInt64(query_value(0, 1, &isnull));

		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("merge %lld cannot be undone before merge %lld",
						(long long) id, (long long) later),
				 errdetail("Contact \"%s\" was itself merged into another since.",
						   merge->into_text),
				 errhint("First use SELECT lifecycle_unmerge(%s, %lld).",
						 quote_literal_cstr(model->name), (long long) later)));
	}
}

/*
 * The survivor loses what the merge had filled in, and its stage.
 */
static void
empty_columns(Merge *merge)
{
	Oid			types[3] = {JSONBOID, JSONBOID, OIDOID};
	Datum		values[3] = {merge->filled, merge->into_row,
	ObjectIdGetDatum(merge->model->table[CONTACTS].relid)};
	char	   *before = merge->from_stage;

	/* still the one that it got? */
	if (merge->stage_after != NULL &&
		(merge->into_stage == NULL ||
		 strcmp(merge->into_stage, merge->stage_after) != 0))
		merge->stage_after = NULL;
	else if (merge->stage_after != NULL)
		merge->stage_after = before != NULL ? before : "";
	merge_columns(merge,
				  "SELECT quote_ident(a.attname),"
				  " jsonb_object_agg(a.attname, f.value -> 0) OVER ()"
				  " FROM pg_attribute a"
				  " JOIN jsonb_each($1) f ON f.key = a.attname"
				  " JOIN jsonb_each($2) i ON i.key = a.attname"
				  " WHERE a.attrelid = $3 AND a.attnum > 0 AND NOT"
				  " a.attisdropped"
				  " AND i.value = f.value -> 1 ORDER BY 1",
				  values, 3, types);
}

/*
 * The contact's row, as it was.
 */
static void
insert_contact(Merge *merge)
{
	Model	   *model = merge->model;
	AppTable   *contacts = &model->table[CONTACTS];
	Oid			types[2] = {JSONBOID, OIDOID};
	Datum		values[2] = {merge->from_row,
	ObjectIdGetDatum(contacts->relid)};
	char	   *names;

	merge_own(model, "SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY"
					 " a.attnum)"
			  " FROM pg_attribute a JOIN jsonb_each($1) f ON f.key = a.attname"
			  " WHERE a.attrelid = $2 AND a.attnum > 0 AND NOT a.attisdropped"
			  " AND a.attgenerated = ''", 2, types, values, NULL);
	names = query_text(0, 1);
	query_once(psprintf("INSERT INTO %1$s (%2$s) OVERRIDING SYSTEM VALUE"
						" SELECT %2$s"
						" FROM pg_catalog.jsonb_populate_record(NULL::%1$s,"
						" $1)",
						contacts->name, names), 1, types, values, NULL);
}

/*
 * Rows of an application table that had moved, and are still the survivor's.
 */
static void
return_rows(Merge *merge, TableKind kind, Datum keys)
{
	Model	   *model = merge->model;
	AppTable   *table = &model->table[kind];
	Column	   *contact = &table->column[ROLE_CONTACT];
	Column	   *key = &table->column[ROLE_KEY];
	Oid			types[3] = {TEXTARRAYOID, model->contact_key.type,
	model->contact_key.type};
	Datum		values[3] = {keys, merge->from, merge->into};

	if (!OidIsValid(table->relid) || key->attno == 0)
		return;
	query_once(psprintf("UPDATE %1$s AS t SET %2$s = $2::%3$s"
						" FROM pg_catalog.unnest($1) AS k"
						" WHERE t.%4$s OPERATOR(pg_catalog.=) k::%5$s"
						" AND t.%2$s OPERATOR(pg_catalog.=) $3",
						table->name, contact->quoted, contact->type_name,
						key->quoted, key->type_name),
			   3, types, values, NULL);
}

/*
 * Deals that the merge closed are opened again, unless somebody has moved
 * them since, or another one is open.
 */
static void
reopen_deals(Merge *merge)
{
	Model	   *model = merge->model;
	AppTable   *deals = &model->table[DEALS];
	const char *stage = deals->column[ROLE_STAGE].quoted;
	const char *contact = deals->column[ROLE_CONTACT].quoted;
	const char *key = deals->column[ROLE_KEY].quoted;
	Column	   *pipeline = &deals->column[ROLE_PIPELINE];
	Column	   *close = &deals->column[ROLE_CLOSE_DATE];
	Oid			types[1] = {TEXTOID};
	Datum		values[1];

	if (!OidIsValid(deals->relid))
		return;
	values[0] = CStringGetTextDatum(merge->closed_deals);
	query_once(psprintf("UPDATE %1$s AS t SET %2$s = (f"
						" OPERATOR(pg_catalog.->>) 'from')::%3$s%4$s"
						" FROM"
						" pg_catalog.jsonb_array_elements($1::pg_catalog.jsonb) AS f"
						" WHERE t.%5$s OPERATOR(pg_catalog.=) (f"
						" OPERATOR(pg_catalog.->>) 'deal')::%6$s"
						" AND t.%2$s::pg_catalog.text OPERATOR(pg_catalog.=)"
						" (f OPERATOR(pg_catalog.->>) 'to')"
						" AND NOT EXISTS (SELECT FROM %1$s AS o WHERE o.%7$s"
						" AND"
						" o.%8$s OPERATOR(pg_catalog.=) t.%8$s%9$s)",
						deals->name, stage, deals->column[ROLE_STAGE].type_name,
						close->attno == 0 ? "" :
						psprintf(", %s = (f OPERATOR(pg_catalog.->>)"
								 " 'close_date')::%s",
								 close->quoted, close->type_name),
						key, deals->column[ROLE_KEY].type_name,
						deals->column[ROLE_IS_OPEN].quoted, contact,
						pipeline->attno == 0 ? "" :
						psprintf(" AND o.%1$s OPERATOR(pg_catalog.=) t.%1$s",
								 pipeline->quoted)),
			   1, types, values, NULL);
}

static void
return_own(Merge *merge, int64 id)
{
	Model	   *model = merge->model;
	Oid			types[4] = {TEXTARRAYOID, model->contact_key.type,
	model->contact_key.type, BOOLOID};
	Datum		values[4] = {merge->tasks, merge->from, merge->into,
	BoolGetDatum(merge->made_contact)};
	Oid			done_types[2] = {INT8OID, TIMESTAMPTZOID};
	Datum		done[2] = {Int64GetDatum(id),
	TimestampTzGetDatum(merge->run->clock)};

	if (merge_has_tasks(model))
		merge_own(model, psprintf("UPDATE %s.task SET contact = $2"
								  " WHERE id::text = ANY ($1) AND contact ="
								  " $3",
								  model->schema), 3, types, values, NULL);
	values[0] = merge->ids;
	merge_own(model, psprintf("UPDATE %s.identity SET contact = $2,"
							  " made_contact = $4"
							  " WHERE anonymous_id = ANY ($1) AND contact ="
							  " $3",
							  model->schema), 4, types, values, NULL);
	merge_own(model, psprintf("UPDATE %s.contact_merge SET undone_at = $2"
							  " WHERE id = $1",
							  model->schema), 2, done_types, done, NULL);
}

/*
 * lifecycle_unmerge(model, merge): undo a merge.
 *
 * Returns the key of the contact that is back.  Takes the locks of a merge;
 * needs SELECT, INSERT and UPDATE on contacts and further contacts of deals,
 * and SELECT and UPDATE on events and deals.  Raises 02000 if there is no such merge or survivor, 55000 if it
 * was undone, or if the survivor was merged since.
 */
Datum
lifecycle_unmerge(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	Merge		merge = {.model = model};
	Datum		keys[2];
	Bitmapset  *stripes = NULL;
	Datum	   *ids;
	int			nids;
	int64		id;
	char	   *result;
	MemoryContext outer = CurrentMemoryContext;

	if (PG_ARGISNULL(1))
		(void) text_argument(fcinfo, 1, "merge");
	id = PG_GETARG_INT64(1);
	merge_check_rights(model);
	SPI_connect();
	model_use(model);
	read_merge(&merge, id);
	keys[0] = merge.from;
	keys[1] = merge.into;
	merge_settle(model, keys, 2, NULL);
	deconstruct_array(DatumGetArrayTypeP(merge.ids), TEXTOID, -1, false,
					  TYPALIGN_INT, &ids, NULL, &nids);
	for (int i = 0; i < nids; i++)
	{
		char	   *anonymous_id = TextDatumGetCString(ids[i]);

		stripes = bms_add_member(stripes, stripe_of_id(anonymous_id));
	}
	stripe_settle(model, stripes);
	merge_lock(&merge);

	merge.run = merge_start(model, "unmerged");
	merge.reason = "unmerged";
	empty_columns(&merge);
	insert_contact(&merge);
	return_rows(&merge, EVENTS, merge.events);
	return_rows(&merge, DEALS, merge.deals);
	merge_return_deal_contacts(&merge);
	reopen_deals(&merge);
	return_own(&merge, id);
	run_finish(merge.run);
	result = MemoryContextStrdup(outer,
								 key_to_text(&model->contact_key, merge.from));
	model_release(model);
	SPI_finish();
	PG_RETURN_TEXT_P(cstring_to_text(result));
}
