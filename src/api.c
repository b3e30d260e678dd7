/*-------------------------------------------------------------------------
 *
 * api.c
 *	  SQL functions about one contact or company.
 *
 * A contact is given by its key in its own type; the parameter is declared
 * "any", so that a literal, an int for a bigint key or a text for a uuid key
 * will do, and what is no key of that type is an error in words.
 *
 * Moving functions do a plain UPDATE with the caller's own rights, under the
 * caller's row security; the triggers on the table do the rest.  The row is
 * locked before its stage is compared, so that two callers at once do not
 * move it backward.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "api.h"
#include "evaluate.h"
#include "refresh.h"
#include "rule.h"

PG_FUNCTION_INFO_V1(lifecycle_advance);
PG_FUNCTION_INFO_V1(lifecycle_set_stage);
PG_FUNCTION_INFO_V1(lifecycle_set_lead_status);
PG_FUNCTION_INFO_V1(lifecycle_in_segment);
PG_FUNCTION_INFO_V1(lifecycle_track);
PG_FUNCTION_INFO_V1(lifecycle_rebuild);
PG_FUNCTION_INFO_V1(lifecycle_add_task);

typedef enum MoveKind
{
	MOVE_FORWARD,
	MOVE_ANYWHERE,
	MOVE_STATUS
} MoveKind;

/* Reads a key from text, in a subtransaction. */
typedef struct KeyArg
{
	KeyType    *key;
	char	   *source;
	Datum		value;
} KeyArg;

static void
read_key(void *arg)
{
	KeyArg	   *task = arg;

	task->value = InputFunctionCall(&task->key->input, task->source,
									task->key->input_param, -1);
}

/*
 * key_argument: the key in an argument of type "any"; its text form in
 * *key_text.  `what` it is a key of is for messages.  Raises 22004 if it is
 * null, 22023 if it is no key.
 */
Datum
key_argument(FunctionCallInfo fcinfo, int number, KeyType *key,
			 const char *what, char **key_text)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, number);
	KeyArg		task = {key, NULL, (Datum) 0};
	ErrorData  *error;
	Oid			function;
	bool		varlena;

	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what)));
	if (!OidIsValid(type) || type == UNKNOWNOID)
		task.source = DatumGetCString(PG_GETARG_DATUM(number));
	else
	{
		getTypeOutputInfo(type, &function, &varlena);
		task.source = OidOutputFunctionCall(function, PG_GETARG_DATUM(number));
	}
	*key_text = task.source;
	if (type == key->type)
		return PG_GETARG_DATUM(number);
	if (!run_try(read_key, &task, &error))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not a key of a %s", task.source, what),
				 errdetail("Keys are of type %s.", format_type_be(key->type))));
	return task.value;
}

/*
 * The table that the argument `object` names.
 */
static TableKind
object_argument(FunctionCallInfo fcinfo, int number, Model *model)
{
	char	   *object = PG_ARGISNULL(number) ? "contact" :
		text_to_cstring(PG_GETARG_TEXT_PP(number));

	if (strcmp(object, "contact") == 0)
		return CONTACTS;
	if (strcmp(object, "company") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("object \"%s\" is neither contact nor company", object),
				 errhint("Use object => 'contact' or object => 'company'.")));
	if (!OidIsValid(model->table[COMPANIES].relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no companies", model->name),
				 errhint("Attach it with companies => 'table'.")));
	return COMPANIES;
}

static SPIPlanPtr
one_row_plan(Model *model, TableKind kind, bool update, Role role)
{
	AppTable   *table = &model->table[kind];
	KeyType    *key = kind == CONTACTS ? &model->contact_key :
		&model->company_key;
	Oid			types[2] = {key->type, TEXTOID};
	const char *column = table->column[role].quoted;
	const char *sql;

	if (update)
		sql = psprintf("UPDATE %s SET %s = $2::%s"
					   " WHERE %s OPERATOR(pg_catalog.=) $1",
					   table->name, column, table->column[role].type_name,
					   table->column[ROLE_KEY].quoted);
	else
		sql = psprintf("SELECT %s::pg_catalog.text FROM %s"
					   " WHERE %s OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE",
					   column, table->name, table->column[ROLE_KEY].quoted);
	return SPI_prepare(sql, update ? 2 : 1, types);
}

static Datum
move(FunctionCallInfo fcinfo, MoveKind how)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	TableKind	kind;
	KeyType    *key;
	Role		role = how == MOVE_STATUS ? ROLE_LEAD_STATUS : ROLE_STAGE;
	StageList  *list = how == MOVE_STATUS ? &model->statuses : &model->stages;
	const Stage *to = NULL;
	char	   *key_text;
	char	   *now;
	char	   *reason;
	Datum		values[2];
	char		nulls[3] = "  ";
	MemoryContext outer = CurrentMemoryContext;
	ApiMove		api;
	bool		moves;

	model_use(model);
	kind = object_argument(fcinfo, 4, model);
	key = kind == CONTACTS ? &model->contact_key : &model->company_key;
	values[0] = key_argument(fcinfo, 1, key,
							 kind == CONTACTS ? "contact" : "company", &key_text);
	if (!PG_ARGISNULL(2))
		to = stage_check(model, list,
							   text_to_cstring(PG_GETARG_TEXT_PP(2)));
	else if (how == MOVE_FORWARD)
		(void) text_argument(fcinfo, 2, "stage");
	if (how == MOVE_FORWARD && !to->on_path)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("stage \"%s\" is not on the path", to->name),
				 errhint("Use lifecycle_set_stage to put somebody there.")));
	reason = PG_ARGISNULL(3) ? NULL :
		text_to_cstring(PG_GETARG_TEXT_PP(3));

	SPI_connect();
	if (query_execute(one_row_plan(model, kind, false, role), values,
					  NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("%s \"%s\" of model \"%s\" does not exist",
						kind == CONTACTS ? "contact" : "company", key_text,
						model->name)));
	now = query_text(0, 1);
	if (how == MOVE_FORWARD)
		moves = stage_is_forward(now != NULL ?
								 stage_find(list, now) : NULL, to);
	else
		moves = (now == NULL) != (to == NULL) ||
			(now != NULL && strcmp(now, to->name) != 0);
	if (moves)
	{
		if (to != NULL)
			values[1] = CStringGetTextDatum(to->name);
		else
			nulls[1] = 'n';
		run_begin_api_move(&api, reason);
		query_execute(one_row_plan(model, kind, true, role), values, nulls);
		run_end_api_move(&api);
		/* A rule may have moved it on. */
		query_execute(one_row_plan(model, kind, false, role), values, NULL);
		now = SPI_processed > 0 ? query_text(0, 1) : NULL;
	}
	if (now != NULL)
		now = MemoryContextStrdup(outer, now);
	SPI_finish();
	model_release(model);
	if (now == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(now));
}

/*
 * lifecycle_advance(model, contact, stage, reason, object): forward only.
 * lifecycle_set_stage(...): in any direction; stage NULL clears it.
 * lifecycle_set_lead_status(...): likewise.
 *
 * They return what the stage or status is now; lock the row FOR NO KEY
 * UPDATE; need SELECT and UPDATE on the table; raise 22023 for an unknown
 * model, stage, status or object or a key of the wrong type, P0002 if there
 * is no such row.
 */
Datum
lifecycle_advance(PG_FUNCTION_ARGS)
{
	return move(fcinfo, MOVE_FORWARD);
}

Datum
lifecycle_set_stage(PG_FUNCTION_ARGS)
{
	return move(fcinfo, MOVE_ANYWHERE);
}

Datum
lifecycle_set_lead_status(PG_FUNCTION_ARGS)
{
	return move(fcinfo, MOVE_STATUS);
}

/*
 * check_may_read: raises 42501 unless the caller may SELECT from contacts and
 * events.
 */
void
check_may_read(Model *model)
{
	TableKind	kinds[2] = {CONTACTS, EVENTS};

	for (int i = 0; i < 2; i++)
	{
		Oid			relid = model->table[kinds[i]].relid;

		if (OidIsValid(relid) &&
			pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE,
						   get_rel_name(relid));
	}
}

/*
 * lifecycle_in_segment(model, contact, segment): is the contact in it, as of
 * now?
 *
 * The predicate is evaluated at this instant, from the events and the rows
 * as they are; nothing is written or locked.  Needs SELECT on contacts and
 * events; raises 22023 as above, P0002 if there is no such contact.
 */
Datum
lifecycle_in_segment(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	char	   *key_text;
	Datum		contact = key_argument(fcinfo, 1, &model->contact_key,
									   "contact", &key_text);
	char	   *name = text_argument(fcinfo, 2, "segment");
	bool		result;

	check_may_read(model);
	SPI_connect();
	result = refresh_is_member(model, contact, key_text,
							   network_segment_id(model, name));
	SPI_finish();
	PG_RETURN_BOOL(result);
}

/*
 * Is there a unique index on this column alone, over all rows or those where
 * it is not null?
 */
static bool
has_unique_index(Oid relid, AttrNumber attno)
{
	Relation	rel = table_open(relid, AccessShareLock);
	bool		found = false;
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (index->rd_index->indisunique && index->rd_index->indisvalid &&
			index->rd_index->indnkeyatts == 1 &&
			index->rd_index->indkey.values[0] == attno)
			found = true;
		index_close(index, AccessShareLock);
	}
	table_close(rel, NoLock);
	return found;
}

/*
 * lifecycle_track(model, who, event, properties, occurred_at, message_id,
 * anonymous_id): insert an event, with the caller's own rights.
 *
 * Returns true, or false if an event with that message id is there already.
 * Raises 22023 for what the events table has no column for, 55000 for a
 * message id if no unique index keeps them apart.
 */
Datum
lifecycle_track(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	AppTable   *table = &model->table[EVENTS];
	static const Role roles[6] = {ROLE_CONTACT, ROLE_NAME, ROLE_PROPERTIES,
		ROLE_TIME, ROLE_MESSAGE_ID, ROLE_ANONYMOUS_ID};
	static const char *const arguments[6] = {"who", "event", "properties",
		"occurred_at", "message_id", "anonymous_id"};
	Oid			types[6] = {model->contact_key.type, TEXTOID, JSONBOID,
		TIMESTAMPTZOID, TEXTOID, TEXTOID};
	Datum		values[6];
	StringInfoData names;
	StringInfoData items;
	Oid			given_types[6];
	int			given = 0;
	uint64		rows;
	char	   *event;
	SPIPlanPtr	plan;
	const Column *message = &table->column[ROLE_MESSAGE_ID];

	if (!OidIsValid(table->relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no events", model->name),
				 errhint("Attach it with events => 'table'.")));
	event = text_argument(fcinfo, 2, "event");
	if (table->column[ROLE_NAME].constant != NULL &&
		strcmp(table->column[ROLE_NAME].constant, event) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("events of model \"%s\" are all \"%s\"", model->name,
						table->column[ROLE_NAME].constant)));
	initStringInfo(&names);
	initStringInfo(&items);
	for (int i = 0; i < 6; i++)
	{
		const Column *column = &table->column[roles[i]];

		/* The SQL order is that of the columns, but for `who`. */
		if (PG_ARGISNULL(i + 1) || column->constant != NULL)
			continue;
		if (column->attno == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("events of model \"%s\" have no column for %s",
							model->name, arguments[i])));
		if (i == 0)
		{
			char	   *key_text;

			values[given] = key_argument(fcinfo, 1, &model->contact_key,
										 "contact", &key_text);
		}
		else
			values[given] = fcinfo->args[i + 1].value;
		given_types[given] = types[i];
		given++;
		appendStringInfo(&names, "%s%s", given > 1 ? ", " : "",
						 column->quoted);
		appendStringInfo(&items, "%s$%d::%s", given > 1 ? ", " : "", given,
						 column->type_name);
	}
	if (!PG_ARGISNULL(5) && !has_unique_index(table->relid, message->attno))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s has no unique index on column \"%s\"",
						table->name, message->name),
				 errdetail("Without one, an event with the same message id may be there twice."),
				 errhint("Use CREATE UNIQUE INDEX ON %s (%s).", table->name,
						 message->quoted)));
	SPI_connect();
	plan = SPI_prepare(psprintf("INSERT INTO %s (%s) VALUES (%s)%s",
								table->name, names.data, items.data,
								PG_ARGISNULL(5) ? "" :
								psprintf(" ON CONFLICT (%s) WHERE %s IS NOT NULL DO NOTHING",
										 message->quoted, message->quoted)),
					   given, given_types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare returned %s",
			 SPI_result_code_string(SPI_result));
	rows = query_execute(plan, values, NULL);
	SPI_finish();
	PG_RETURN_BOOL(rows > 0);
}

/*
 * lifecycle_rebuild(model, contact): compute state and memberships of a
 * contact, or of all, anew from the events.
 *
 * Returns the number of contacts.  Locks them; raises 42501 unless the caller
 * owns the model, 22023 for a key of the wrong type.
 */
Datum
lifecycle_rebuild(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	Run		   *run;
	char	   *key_text;

	model_check_owner(model);
	if (PG_NARGS() < 2 || PG_ARGISNULL(1))
		PG_RETURN_INT64(refresh_at(model, DT_NOEND, true, NULL));
	run = run_start(model);
	run->quiet = true;
	run->rewind = true;
	run->reason.cause = "rebuild";
	(void) run_add_contact(run, CONTACT_REBUILT,
						   key_argument(fcinfo, 1, &model->contact_key,
										"contact", &key_text));
	run_finish(run);
	PG_RETURN_INT64(1);
}

/*
 * The object that a task is about: its table and key type.
 */
static TableKind
task_object(FunctionCallInfo fcinfo, int number, Model *model, KeyType **key)
{
	char	   *object = PG_ARGISNULL(number) ? "contact" :
		text_to_cstring(PG_GETARG_TEXT_PP(number));
	TableKind	kind;

	if (strcmp(object, "contact") == 0)
		kind = CONTACTS;
	else if (strcmp(object, "company") == 0)
		kind = COMPANIES;
	else if (strcmp(object, "deal") == 0)
		kind = DEALS;
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("object \"%s\" is not contact, company or deal",
						object),
				 errhint("Use object => 'contact', 'company' or 'deal'.")));
	if (!OidIsValid(model->table[kind].relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no %s", model->name,
						kind == DEALS ? "deals" : "companies"),
				 errhint("Attach it with %s => 'table'.",
						 kind == DEALS ? "deals" : "companies")));
	*key = kind == CONTACTS ? &model->contact_key :
		kind == COMPANIES ? &model->company_key : &model->deal_key;
	return kind;
}

/*
 * The statement that inserts a task about the row with key $1.
 */
static char *
task_sql(Model *model, TableKind kind)
{
	AppTable   *table = &model->table[kind];
	Column	   *company = &table->column[ROLE_COMPANY];
	const char *key = table->column[ROLE_KEY].quoted;

	return psprintf("INSERT INTO %s.task (contact, company, deal, title,"
					" owner, due_at, note, created_at)"
					" SELECT %s, %s, %s, $2, $3, $4, $5, $6 FROM %s AS r"
					" WHERE r.%s OPERATOR(pg_catalog.=) $1 RETURNING id",
					model->schema, kind == CONTACTS ? "$1" :
					kind == DEALS ? psprintf("r.%s", table->column[ROLE_CONTACT].quoted) :
					"NULL", kind == COMPANIES ? "$1" :
					company->attno != 0 ? psprintf("r.%s", company->quoted) :
					"NULL", kind == DEALS ? "$1" : "NULL", table->name, key);
}

/*
 * lifecycle_add_task(model, about, title, owner, due_at, note, object): a
 * task about a contact, company or deal, made by hand.
 *
 * Returns its number.  Needs INSERT on the table task and SELECT on it and
 * on the table of what it is about, whose row it keeps from being deleted
 * until the end of the transaction.  Raises 22023 for a key of the wrong
 * type or an unknown object, P0002 if there is no such row.
 */
Datum
lifecycle_add_task(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	KeyType    *key;
	TableKind	kind = task_object(fcinfo, 6, model, &key);
	Oid			types[6] = {key->type, TEXTOID, TEXTOID, TIMESTAMPTZOID,
		TEXTOID, TIMESTAMPTZOID};
	static const int argument[6] = {1, 2, 3, 4, 5, 0};
	Datum		values[6];
	char		nulls[7] = "      ";
	char	   *key_text;
	const char *what = kind == CONTACTS ? "contact" :
		kind == COMPANIES ? "company" : "deal";
	UserSpan	span;
	bool		isnull;
	int64		id;

	(void) text_argument(fcinfo, 2, "title");
	model_use(model);
	values[0] = key_argument(fcinfo, 1, key, what, &key_text);
	for (int i = 1; i < 5; i++)
	{
		values[i] = fcinfo->args[argument[i]].value;
		if (PG_ARGISNULL(argument[i]))
			nulls[i] = 'n';
	}
	SPI_connect();
	values[5] = TimestampTzGetDatum(run_clock(model));
	span_write(&span, model->table[kind].owner);
	query_once(psprintf("SELECT FROM %s AS r"
						" WHERE r.%s OPERATOR(pg_catalog.=) $1 FOR KEY SHARE",
						model->table[kind].name,
						model->table[kind].column[ROLE_KEY].quoted),
			   1, types, values, NULL);
	span_end(&span);
	if (query_once(task_sql(model, kind), 6, types, values, nulls) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("%s \"%s\" of model \"%s\" does not exist", what,
						key_text, model->name)));
	id = DatumGetInt64(query_value(0, 1, &isnull));
	SPI_finish();
	model_release(model);
	PG_RETURN_INT64(id);
}
