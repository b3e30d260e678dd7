/*-------------------------------------------------------------------------
 *
 * merge.c
 *	  One contact becomes another.
 *
 * The survivor gets the other's events, deals, tasks and anonymous ids, its
 * values where its own columns are empty, and its stage if that is further.
 * The other's row is deleted.  The engine's triggers see these statements as
 * they would see a user's, and one run (cause: merge) decides about both
 * contacts at the end.  The table contact_merge keeps what moved, so that
 * lifecycle_unmerge (unmerge.c) can move it back, and so that events that
 * still come for the old key find the survivor (identity.c, survivor.c).
 *
 * Histories stay with the key that they are of.
 *
 * Rights: application tables are written with the caller's own rights, the
 * model's tables as the model's owner.  Row security could hide rows that must
 * move, so a caller that is subject to it is refused.
 *
 * Locks, in this order: the events' stripes of both contacts, then of the
 * anonymous ids of the one that goes, exclusively; the stripes of the
 * shortcut; both contacts' rows, FOR UPDATE, in key order.  Then no event or
 * deal of either is in flight, and all that is committed is seen, because
 * statements run on the newest snapshot, under REPEATABLE READ too.  Of two
 * merges in opposite directions, the second waits and finds its contact gone.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "merge.h"
#include "stage.h"
#include "survivor.h"

PG_FUNCTION_INFO_V1(lifecycle_merge);

/*
 * merge_check_rights: raises 42501 if the caller may not read contacts, of
 * which our messages tell, or if row security hides rows from it.  Other
 * rights are checked by the statements themselves.
 */
void
merge_check_rights(Model *model)
{
	Oid			contacts = model->table[CONTACTS].relid;

	if (pg_class_aclcheck(contacts, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(contacts));
	for (int i = 0; i < TABLE_KINDS; i++)
		if (OidIsValid(model->table[i].relid) && i != COMPANIES &&
			check_enable_rls(model->table[i].relid, InvalidOid,
							 true) == RLS_ENABLED)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("row security of table %s may hide rows that must move",
							model->table[i].name),
					 errhint("Let the owner of the table do it, or a role with BYPASSRLS.")));
}

/*
 * merge_settle: keep new events of these contacts, and of an anonymous id,
 * waiting, and wait for those in flight.
 */
void
merge_settle(Model *model, Datum *contacts, int count, const char *id)
{
	Bitmapset  *stripes = NULL;

	for (int i = 0; i < count; i++)
		stripes = bms_add_member(stripes, stripe_of_contact(model, contacts[i]));
	if (id != NULL)
		stripes = bms_add_member(stripes, stripe_of_id(id));
	stripe_settle(model, stripes);
}

/*
 * merge_own: run a statement on the model's own tables, as their owner.
 */
uint64
merge_own(Model *model, const char *sql, int nargs, const Oid *types,
		  Datum *values, const char *nulls)
{
	UserSpan	span;
	uint64		rows;
	int			level;

	span_write(&span, model->owner);
	level = path_pin();
	rows = query_once(sql, nargs, types, values, nulls);
	path_unpin(level);
	span_end(&span);
	return rows;
}

/*
 * merge_start: the run in which all triggers' work is done.  Contacts that
 * are due are first stepped up to the clock with the events as they were.
 */
Run *
merge_start(Model *model, const char *reason)
{
	Run		   *run = run_start(model);

	run->reason.cause = "merge";
	run->reason.text = reason;
	run->clock = run_clock(model);
	run->statement_on = EVENTS;
	return run;
}

/*
 * merge_value: a jsonb or array of the result, which is not null, copied.
 */
Datum
merge_value(uint64 row, int column)
{
	bool		isnull;

	return PointerGetDatum(PG_DETOAST_DATUM_COPY(query_value(row, column,
															 &isnull)));
}

/*
 * merge_texts: the first column of the result as text[].
 */
Datum
merge_texts(void)
{
	uint64		rows = SPI_tuptable != NULL ? SPI_processed : 0;
	Datum	   *texts = palloc((rows + 1) * sizeof(Datum));

	for (uint64 i = 0; i < rows; i++)
		texts[i] = CStringGetTextDatum(query_text(i, 1));
	return PointerGetDatum(construct_array(texts, rows, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/*
 * merge_has_tasks: does the model keep tasks of contacts?
 */
bool
merge_has_tasks(Model *model)
{
	Oid			schema = get_namespace_oid(model->name, true);
	Oid			task = get_relname_relid("task", schema);

	return OidIsValid(task) &&
		get_attnum(task, "contact") != InvalidAttrNumber;
}

/*
 * merge_no_contact: raise 02000 for a contact that is not there; perhaps it
 * was merged.
 */
void
merge_no_contact(Merge *merge, Datum contact, const char *text)
{
	Model	   *model = merge->model;
	Datum		survivor = survivor_of(model, contact);
	bool		merged = key_compare(&model->contact_key, survivor,
									 contact) != 0;

	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("contact \"%s\" of model \"%s\" does not exist", text,
					model->name),
			 !merged ? 0 :
			 errdetail("It was merged into contact \"%s\".",
					   key_to_text(&model->contact_key, survivor))));
}

/*
 * merge_lock: lock the rows of the contacts (only the survivor's if from_text
 * is NULL), and read them.  Raises 02000 if one is not there.
 */
void
merge_lock(Merge *merge)
{
	Model	   *model = merge->model;
	AppTable   *contacts = &model->table[CONTACTS];
	Datum		keys[2] = {merge->into, merge->from};
	int			count = merge->from_text != NULL ? 2 : 1;
	Datum		array = key_array(&model->contact_key, keys, count);
	Work		works[2] = {{0}};
	Work	   *pointers[2] = {&works[0], &works[1]};
	bool		into_found = false;
	bool		from_found = false;
	uint64		rows;

	for (int i = 0; i < count; i++)
		works[i].contact = keys[i];
	stripe_exclude(model, pointers, count);
	rows = query_once(psprintf("SELECT c.%1$s, pg_catalog.to_jsonb(c),"
							   " c.%2$s::pg_catalog.text FROM %3$s AS c"
							   " WHERE c.%1$s OPERATOR(pg_catalog.=) ANY ($1)"
							   " ORDER BY c.%1$s FOR UPDATE",
							   contacts->column[ROLE_KEY].quoted,
							   contacts->column[ROLE_STAGE].quoted,
							   contacts->name),
					  1, &model->contact_key.array, &array, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		bool		is_into = key_compare(&model->contact_key,
										  query_value(i, 1, &isnull),
										  merge->into) == 0;

		if (is_into)
		{
			into_found = true;
			merge->into_row = merge_value(i, 2);
			merge->into_stage = query_text(i, 3);
		}
		else
		{
			from_found = true;
			merge->from_row = merge_value(i, 2);
			merge->from_stage = query_text(i, 3);
		}
	}
	if (count == 2 && !from_found)
		merge_no_contact(merge, merge->from, merge->from_text);
	if (!into_found)
		merge_no_contact(merge, merge->into, merge->into_text);
}

/*
 * Rows that a foreign key of another table would delete or unlink with the
 * contact must not be lost.
 */
static void
check_references(Merge *merge)
{
	Model	   *model = merge->model;
	Oid			types[4] = {OIDOID, OIDOID, OIDOID, OIDOID};
	Datum		values[4];
	uint64		rows;
	SPITupleTable *result;

	values[0] = ObjectIdGetDatum(model->table[CONTACTS].relid);
	values[1] = ObjectIdGetDatum(model->table[EVENTS].relid);
	values[2] = ObjectIdGetDatum(model->table[DEALS].relid);
	values[3] = ObjectIdGetDatum(model->table[DEAL_CONTACTS].relid);
	rows = query_once("SELECT"
					  " k.conrelid::pg_catalog.regclass::pg_catalog.text,"
					  " pg_catalog.quote_ident(a.attname)"
					  " FROM pg_catalog.pg_constraint AS k"
					  " JOIN pg_catalog.pg_attribute AS a"
					  " ON a.attrelid OPERATOR(pg_catalog.=) k.conrelid"
					  " AND a.attnum OPERATOR(pg_catalog.=) k.conkey[1]"
					  " WHERE k.confrelid OPERATOR(pg_catalog.=) $1"
					  " AND k.conrelid OPERATOR(pg_catalog.<>) ALL (ARRAY[$2,"
					  " $3, $4])"
					  " AND k.contype OPERATOR(pg_catalog.=) 'f'"
					  " AND k.confdeltype OPERATOR(pg_catalog.=) ANY"
					  " ('{c,n,d}'::pg_catalog.\"char\"[])"
					  " AND k.conparentid OPERATOR(pg_catalog.=)"
					  " 0::pg_catalog.oid"
					  " ORDER BY k.conname",
					  4, types, values, NULL);
	result = SPI_tuptable;
	for (uint64 i = 0; i < rows; i++)
	{
		char	   *table = SPI_getvalue(result->vals[i], result->tupdesc, 1);
		char	   *column = SPI_getvalue(result->vals[i], result->tupdesc, 2);

		if (query_once(psprintf("SELECT FROM %s WHERE %s"
								" OPERATOR(pg_catalog.=) $1 LIMIT 1",
								table, column), 1,
					   &model->contact_key.type, &merge->from, NULL) > 0)
			ereport(ERROR,
					(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
					 errmsg("contact \"%s\" cannot be merged because table %s refers to it",
							merge->from_text, table),
					 errdetail("Its foreign key would delete or unlink these rows with the contact."),
					 errhint("First use UPDATE %s SET %s = %s WHERE %s = %s.",
							 table, column,
							 quote_literal_cstr(merge->into_text), column,
							 quote_literal_cstr(merge->from_text))));
	}
}

/*
 * The statement that gives rows of an application table to the survivor.
 */
static uint64
move_rows(Merge *merge, TableKind kind)
{
	Model	   *model = merge->model;
	AppTable   *table = &model->table[kind];
	Column	   *contact = &table->column[ROLE_CONTACT];
	Column	   *key = &table->column[ROLE_KEY];
	Oid			types[2] = {model->contact_key.type, model->contact_key.type};
	Datum		values[2] = {merge->from, merge->into};

	return query_once(psprintf("UPDATE %s AS t SET %s = $2::%s"
							   " WHERE t.%s OPERATOR(pg_catalog.=) $1%s",
							   table->name, contact->quoted,
							   contact->type_name, contact->quoted,
							   key->attno == 0 ? "" :
							   psprintf(" RETURNING t.%s::pg_catalog.text",
										key->quoted)),
					  2, types, values, NULL);
}

static void
move_events(Merge *merge)
{
	AppTable   *events = &merge->model->table[EVENTS];

	merge->events = identity_ids(NULL, 0);
	if (!OidIsValid(events->relid))
		return;
	merge->nevents = move_rows(merge, EVENTS);
	if (events->column[ROLE_KEY].attno != 0)
		merge->events = merge_texts();
	else
		merge->no_event_keys = merge->nevents > 0;
}

/* An open deal of one of the two. */
typedef struct OpenDeal
{
	char	   *key;
	bool		of_from;
	char	   *pipeline;
	char	   *close_date;
	const DealStage *stage;
} OpenDeal;

/*
 * Close the one of two open deals that is less far: the survivor has one
 * open deal in a pipeline.
 */
static void
close_deal(Merge *merge, const OpenDeal *deal, const OpenDeal *other,
		   StringInfo closed)
{
	Model	   *model = merge->model;
	AppTable   *deals = &model->table[DEALS];
	const DealStage *lost = NULL;
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2];

	for (int i = 0; i < model->deal_stages && lost == NULL; i++)
		if (model->deal_stage[i].kind == DEAL_LOST &&
			strcmp(model->deal_stage[i].pipeline, deal->stage->pipeline) == 0)
			lost = &model->deal_stage[i];
	if (lost == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("contacts \"%s\" and \"%s\" both have an open deal in pipeline \"%s\"",
						merge->from_text, merge->into_text,
						deal->stage->pipeline),
				 errdetail("They are \"%s\" and \"%s\", and the pipeline has no lost stage to move one of them to.",
						   deal->key, other->key),
				 errhint("Close one of them first.")));
	values[0] = CStringGetTextDatum(deal->key);
	values[1] = CStringGetTextDatum(lost->name);
	query_once(psprintf("UPDATE %s AS t SET %s = $2::%s WHERE t.%s"
						" OPERATOR(pg_catalog.=) $1::%s",
						deals->name, deals->column[ROLE_STAGE].quoted,
						deals->column[ROLE_STAGE].type_name,
						deals->column[ROLE_KEY].quoted, model->deal_key.name),
			   2, types, values, NULL);
	appendStringInfo(closed, "%s{\"deal\": ", closed->len > 1 ? ", " : "");
	escape_json(closed, deal->key);
	appendStringInfoString(closed, ", \"from\": ");
	escape_json(closed, deal->stage->name);
	appendStringInfoString(closed, ", \"to\": ");
	escape_json(closed, lost->name);
	if (deal->close_date != NULL)
	{
		appendStringInfoString(closed, ", \"close_date\": ");
		escape_json(closed, deal->close_date);
	}
	appendStringInfoChar(closed, '}');
}

/*
 * Read the open deals of both.
 */
static OpenDeal *
open_deals(Merge *merge, int *count)
{
	Model	   *model = merge->model;
	AppTable   *deals = &model->table[DEALS];
	Column	   *contact = &deals->column[ROLE_CONTACT];
	Oid			types[2] = {model->contact_key.type, model->contact_key.type};
	Datum		values[2] = {merge->from, merge->into};
	uint64		rows;
	OpenDeal   *result;

	rows = query_once(psprintf("SELECT d.%1$s::pg_catalog.text,"
							   " d.%2$s OPERATOR(pg_catalog.=) $1, %3$s,"
							   " d.%4$s::pg_catalog.text, %5$s FROM %6$s AS d"
							   " WHERE (d.%2$s OPERATOR(pg_catalog.=) $1"
							   " OR d.%2$s OPERATOR(pg_catalog.=) $2) AND"
							   " d.%7$s"
							   " ORDER BY d.%1$s FOR UPDATE",
							   deals->column[ROLE_KEY].quoted, contact->quoted,
							   deals->column[ROLE_PIPELINE].attno == 0 ? "NULL" :
							   psprintf("d.%s::pg_catalog.text",
										deals->column[ROLE_PIPELINE].quoted),
							   deals->column[ROLE_STAGE].quoted,
							   deals->column[ROLE_CLOSE_DATE].attno == 0 ? "NULL" :
							   psprintf("d.%s::pg_catalog.text",
										deals->column[ROLE_CLOSE_DATE].quoted),
							   deals->name,
							   deals->column[ROLE_IS_OPEN].quoted),
					  2, types, values, NULL);
	result = palloc((rows + 1) * sizeof(OpenDeal));
	*count = 0;
	for (uint64 i = 0; i < rows; i++)
	{
		OpenDeal   *deal = &result[*count];
		bool		isnull;

		deal->key = query_text(i, 1);
		deal->of_from = DatumGetBool(query_value(i, 2, &isnull));
		deal->pipeline = query_text(i, 3);
		deal->close_date = query_text(i, 5);
		deal->stage = model_find_deal_stage(model, deal->pipeline,
											query_text(i, 4));
		if (deal->stage != NULL)
			(*count)++;
	}
	return result;
}

static void
move_deals(Merge *merge)
{
	StringInfoData closed;

	initStringInfo(&closed);
	appendStringInfoChar(&closed, '[');
	merge->deals = identity_ids(NULL, 0);
	if (OidIsValid(merge->model->table[DEALS].relid))
	{
		int			count;
		OpenDeal   *deals = open_deals(merge, &count);

		for (int i = 0; i < count; i++)
			for (int j = 0; j < count; j++)
				if (deals[i].of_from && !deals[j].of_from &&
					strcmp(deals[i].stage->pipeline,
						   deals[j].stage->pipeline) == 0)
				{
					bool		from_is_further =
						deals[i].stage->position > deals[j].stage->position;

					close_deal(merge, &deals[from_is_further ? j : i],
							   &deals[from_is_further ? i : j], &closed);
				}
		(void) move_rows(merge, DEALS);
		merge->deals = merge_texts();
	}
	appendStringInfoChar(&closed, ']');
	merge->closed_deals = closed.data;
}

/*
 * What the model itself keeps by contact.
 */
static void
move_own(Merge *merge)
{
	Model	   *model = merge->model;
	Oid			types[2] = {model->contact_key.type, model->contact_key.type};
	Datum		values[2] = {merge->from, merge->into};

	merge->tasks = identity_ids(NULL, 0);
	if (merge_has_tasks(model))
	{
		merge_own(model, psprintf("UPDATE %s.task SET contact = $2"
								  " WHERE contact = $1 RETURNING id::text",
								  model->schema), 2, types, values, NULL);
		merge->tasks = merge_texts();
	}
	merge->made_contact =
		merge_own(model, psprintf("SELECT FROM %s.identity"
								  " WHERE contact = $1 AND made_contact LIMIT"
								  " 1",
								  model->schema), 1, types, values, NULL) > 0;

	/* Whoever is one with a real contact is one. */
	if (!merge->made_contact)
		merge_own(model, psprintf("UPDATE %s.identity SET made_contact = false"
								  " WHERE contact = $1 AND made_contact",
								  model->schema), 1, types, &values[1], NULL);
	merge_own(model, psprintf("UPDATE %1$s.identity SET contact = $2,"
							  " made_contact = made_contact AND EXISTS"
							  " (SELECT FROM %1$s.identity AS i"
							  " WHERE i.contact = $2 AND i.made_contact)"
							  " WHERE contact = $1 RETURNING anonymous_id",
							  model->schema), 2, types, values, NULL);
	merge->ids = merge_texts();
}

/*
 * merge_columns: set columns of the survivor.
 *
 * The statement, over values, returns the names of columns, quoted, and a
 * jsonb object with their values in each row.  The stage is set too if
 * stage_after is not NULL; an empty one clears it.
 */
void
merge_columns(Merge *merge, const char *sql, Datum *values, int nvalues,
			  const Oid *types)
{
	Model	   *model = merge->model;
	AppTable   *contacts = &model->table[CONTACTS];
	Oid			update_types[3] = {JSONBOID, model->contact_key.type, TEXTOID};
	Datum		update[3];
	char		nulls[4] = "   ";
	StringInfoData set;
	uint64		rows;
	ApiMove		api;
	int			level = path_pin();

	rows = query_once(sql, nvalues, types, values, NULL);
	path_unpin(level);
	initStringInfo(&set);
	for (uint64 i = 0; i < rows; i++)
	{
		char	   *column = query_text(i, 1);

		appendStringInfo(&set, "%s%s = r.%s", i > 0 ? ", " : "", column,
						 column);
	}
	if (rows > 0)
		update[0] = merge_value(0, 2);
	nulls[0] = rows > 0 ? ' ' : 'n';
	if (merge->stage_after != NULL)
		appendStringInfo(&set, "%s%s = $3::%s", rows > 0 ? ", " : "",
						 contacts->column[ROLE_STAGE].quoted,
						 contacts->column[ROLE_STAGE].type_name);
	if (set.len == 0)
		return;
	update[1] = merge->into;
	if (merge->stage_after == NULL || merge->stage_after[0] == '\0')
		nulls[2] = 'n';
	else
		update[2] = CStringGetTextDatum(merge->stage_after);
	run_begin_api_move(&api, merge->reason);
	query_once(psprintf("UPDATE %1$s AS c SET %2$s"
						" FROM pg_catalog.jsonb_populate_record(NULL::%1$s,"
						" $1) AS r"
						" WHERE c.%3$s OPERATOR(pg_catalog.=) $2",
						contacts->name, set.data,
						contacts->column[ROLE_KEY].quoted),
			   3, update_types, update, nulls);
	run_end_api_move(&api);
}

/*
 * The survivor's empty columns get the other's values, and its stage is the
 * further one's.
 */
static void
fill_columns(Merge *merge)
{
	Model	   *model = merge->model;
	StageList  *stages = &model->stages;
	Oid			types[4] = {JSONBOID, JSONBOID, OIDOID, TEXTARRAYOID};
	char	   *kept[2] = {model->table[CONTACTS].column[ROLE_KEY].name,
	model->table[CONTACTS].column[ROLE_STAGE].name};
	Datum		values[4] = {merge->from_row, merge->into_row,
		ObjectIdGetDatum(model->table[CONTACTS].relid), identity_ids(kept, 2)};
	static const char *const columns =
		" FROM pg_attribute a"
		" JOIN jsonb_each($1) f ON f.key = a.attname"
		" JOIN jsonb_each($2) i ON i.key = a.attname"
		" WHERE a.attrelid = $3 AND a.attnum > 0 AND NOT a.attisdropped"
		" AND a.attgenerated = '' AND a.attidentity = ''"
		" AND a.attname <> ALL ($4)"
		" AND i.value IN ('null', '\"\"') AND f.value NOT IN ('null', '\"\"')";

	if (merge->from_stage != NULL &&
		(merge->into_stage == NULL ||
		 (stage_find(stages, merge->from_stage) != NULL &&
		  stage_is_forward(stage_find(stages, merge->into_stage),
						   stage_find(stages, merge->from_stage)))))
		merge->stage_after = merge->from_stage;
	merge_own(model, psprintf("SELECT coalesce(jsonb_object_agg(a.attname,"
							  " jsonb_build_array(i.value, f.value)), '{}')%s",
							  columns), 4, types, values, NULL);
	merge->filled = merge_value(0, 1);
	merge_columns(merge, psprintf("SELECT quote_ident(a.attname), $1%s ORDER"
								  " BY 1", columns),
				  values, 4, types);
}

static int64
record(Merge *merge)
{
	Model	   *model = merge->model;
	Oid			types[18] = {model->contact_key.type, model->contact_key.type,
		TIMESTAMPTZOID, TEXTOID, TEXTOID, JSONBOID, JSONBOID, TEXTOID, TEXTOID,
		TEXTARRAYOID, TEXTARRAYOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID,
	BOOLOID, TEXTARRAYOID, JSONBOID};
	Datum		values[18] = {merge->from, merge->into,
		TimestampTzGetDatum(merge->run->clock),
		CStringGetTextDatum(run_role(merge->run)), TEXT_OR_NULL(merge->reason),
		merge->from_row, merge->filled, TEXT_OR_NULL(merge->into_stage),
		TEXT_OR_NULL(merge->stage_after), merge->events, merge->deals,
		CStringGetTextDatum(merge->closed_deals), merge->tasks, merge->ids,
	BoolGetDatum(merge->made_contact), merge->deal_contacts,
	merge->deal_contact_rows};
	char		nulls[19] = "                  ";
	bool		isnull;

	nulls[4] = merge->reason == NULL ? 'n' : ' ';
	nulls[7] = merge->into_stage == NULL ? 'n' : ' ';
	nulls[8] = merge->stage_after == NULL ? 'n' : ' ';
	nulls[9] = merge->no_event_keys ? 'n' : ' ';
	merge_own(model, psprintf("INSERT INTO %s.contact_merge (from_contact,"
							  " into_contact, at, role, reason, contact_row,"
							  " filled, stage_before, stage_after, events,"
							  " deals,"
							  " closed_deals, tasks, anonymous_ids,"
							  " made_contact, deal_contacts, deal_contact_rows)"
							  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,"
							  " $10,"
							  " $11, $12::jsonb, $13, $14, $15, $16, $17)"
							  " RETURNING id",
							  model->schema), 17, types, values, nulls);
	return DatumGetInt64(query_value(0, 1, &isnull));
}

/*
 * merge_contacts: merge one contact into the other.
 *
 * The caller is connected to SPI and holds the stripes of both.  Returns the
 * number of the merge.  Locks the contacts' rows; raises 02000 if one is not
 * there, 23503 if rows of other tables would be lost, 55000 for two open
 * deals of which none can be closed.
 */
int64
merge_contacts(Merge *merge)
{
	Model	   *model = merge->model;
	AppTable   *contacts = &model->table[CONTACTS];
	uint64		rows;
	Bitmapset  *stripes = NULL;
	int64		id;

	rows = merge_own(model, psprintf("SELECT anonymous_id FROM %s.identity"
									 " WHERE contact = $1",
									 model->schema), 1,
					 &model->contact_key.type, &merge->from, NULL);
	for (uint64 i = 0; i < rows; i++)
		stripes = bms_add_member(stripes,
								 stripe_of_id(query_text(i, 1)));
	stripe_settle(model, stripes);
	merge_lock(merge);
	check_references(merge);

	merge->run = merge_start(model, merge->reason);
	move_events(merge);
	move_deals(merge);
	merge_move_deal_contacts(merge);
	move_own(merge);
	query_once(psprintf("DELETE FROM %s AS c WHERE c.%s OPERATOR(pg_catalog.=)"
						" $1",
						contacts->name, contacts->column[ROLE_KEY].quoted),
			   1, &model->contact_key.type, &merge->from, NULL);
	fill_columns(merge);
	id = record(merge);
	run_finish(merge->run);
	if (!model->has_merges)
		CacheInvalidateRelcacheByRelid(contacts->relid);
	return id;
}

/*
 * lifecycle_merge(model, from_, into_, reason): merge a contact into another.
 *
 * Returns the number of the merge.  Needs SELECT, UPDATE and DELETE on
 * contacts, SELECT and UPDATE on events and deals, and DELETE too on further
 * contacts of deals; see merge_contacts.
 */
Datum
lifecycle_merge(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	Merge		merge = {.model = model};
	Datum		keys[2];
	int64		id;

	merge.from = keys[0] = key_argument(fcinfo, 1, &model->contact_key,
										"contact", &merge.from_text);
	merge.into = keys[1] = key_argument(fcinfo, 2, &model->contact_key,
										"contact", &merge.into_text);
	if (!PG_ARGISNULL(3))
		merge.reason = text_to_cstring(PG_GETARG_TEXT_PP(3));
	if (key_compare(&model->contact_key, merge.from, merge.into) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("contact \"%s\" cannot be merged into itself",
						merge.from_text),
				 errhint("Give two contacts: lifecycle_merge(%s, from_, into_).",
						 quote_literal_cstr(model->name))));
	merge_check_rights(model);
	SPI_connect();
	model_use(model);
	merge_settle(model, keys, 2, NULL);
	id = merge_contacts(&merge);
	model_release(model);
	SPI_finish();
	PG_RETURN_INT64(id);
}
