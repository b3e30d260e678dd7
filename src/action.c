/*-------------------------------------------------------------------------
 *
 * action.c
 *	  What rules want, written to the application tables.
 *
 * Writes go through saved statements, so that the user's triggers,
 * constraints and indexes work; our own triggers on these tables only
 * collect what changed, for the next round, while run->applying is set.
 *
 * A statement writes for all contacts of a round at once, in a
 * subtransaction.  If it fails, it is done again row by row, and the rows
 * that fail are recorded as problems: the event that set them off stays in.
 *
 * Order of locks: contacts (held since decide.c), then companies in key
 * order, then deals.  A company is locked only if it really moves.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "common/jsonapi.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "rule.h"

#define DEFAULT_CHANNEL "lifecycle"

static void
write_some(void *arg)
{
	Write	   *write = arg;
	UserSpan	span;

	span_write(&span, write->owner);
	bulk_execute(write->rows, write->plan, write->first, write->count);
	span_end(&span);
}

/*
 * action_write_all: write rows whose first column is the contact (or company), see above.
 */
void
action_write_all(Write *write, KeyType *key)
{
	Run		   *run = write->run;
	ErrorData  *error;
	int			rows = write->rows->rows;

	if (rows == 0)
		return;
	run->applying = true;
	write->first = 0;
	write->count = rows;
	if (!run_try(write_some, write, &error))
	{
		write->count = 1;
		for (write->first = 0; write->first < rows; write->first++)
		{
			int			row = write->first;

			if (!run_try(write_some, write, &error))
				run_problem(run, NULL,
							write->rules != NULL ? write->rules[row] : NULL,
							key_to_text(key, write->rows->values[0][row]),
							NULL, error);
		}
	}
	run->applying = false;
}

/*
 * action_text: the value of an argument, NULL if it is null or not given.
 */
char *
action_text(const Action *action, const char *name)
{
	ActionArgs *args = action->rule->compiled_args;
	ListCell   *cell;

	foreach(cell, args->expressions)
		if (strcmp(((NamedExpression *) lfirst(cell))->name, name) == 0)
			return action->texts[foreach_current_index(cell)];
	return NULL;
}

/*
 * action_row_text: a column of a table's row as text, NULL if it is null or
 * not mapped.
 */
char *
action_row_text(const Model *model, TableKind kind, HeapTuple row, AttrNumber attno)
{
	Relation	rel;
	Datum		value;
	bool		isnull;
	char	   *result = NULL;
	Oid			function;
	bool		varlena;

	if (row == NULL || attno <= 0)
		return NULL;
	rel = relation_open(model->table[kind].relid, AccessShareLock);
	value = heap_getattr(row, attno, RelationGetDescr(rel), &isnull);
	if (!isnull)
	{
		getTypeOutputInfo(TupleDescAttr(RelationGetDescr(rel),
										attno - 1)->atttypid,
						  &function, &varlena);
		result = OidOutputFunctionCall(function, value);
	}
	relation_close(rel, NoLock);
	return result;
}

/*
 * contact_stage: the stage or lead status that a locked contact has.
 */
char *
contact_stage(Run *run, Work *work, Role role)
{
	return action_row_text(run->model, CONTACTS, work->row,
					run->model->table[CONTACTS].column[role].attno);
}

/*
 * Move contacts to the stages and statuses that rules want.
 */
static void
move_contacts(Run *run)
{
	Model	   *model = run->model;
	Oid			types[3] = {model->contact_key.type, TEXTOID, TEXTOID};
	Write		write = {.run = run};

	if (run->nworks == 0)
		return;
	write.rows = bulk_create(3, types);
	write.rules = palloc(run->nworks * sizeof(char *));
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];
		char	   *stage;
		char	   *status;
		bool		moves = false;
		Datum		values[3];
		bool		nulls[3] = {false};

		if (work->stage == NULL && work->status == NULL)
			continue;
		stage = contact_stage(run, work, ROLE_STAGE);
		status = contact_stage(run, work, ROLE_LEAD_STATUS);
		if (work->stage != NULL &&
			(work->stage_forced ?
			 stage == NULL || strcmp(stage, work->stage->name) != 0 :
			 stage_is_forward(stage != NULL ?
						stage_find(&model->stages, stage) : NULL,
						work->stage)))
		{
			stage = work->stage->name;
			moves = true;
		}
		if (work->status != NULL &&
			(status == NULL || strcmp(status, work->status->name) != 0))
		{
			status = work->status->name;
			moves = true;
		}
		if (!moves)
			continue;
		write.rules[write.rows->rows] = work->stage != NULL ?
			work->stage_reason.rule : work->status_reason.rule;
		values[0] = work->contact;
		values[1] = TEXT_OR_NULL(stage);
		nulls[1] = stage == NULL;
		values[2] = TEXT_OR_NULL(status);
		nulls[2] = status == NULL;
		bulk_add(write.rows, values, nulls);
	}
	if (write.rows->rows == 0)
		return;
	write.owner = model->table[CONTACTS].owner;
	write.plan = stage_move_plan(model, CONTACTS, PLAN_MOVE_CONTACTS,
						   &model->contact_key);
	action_write_all(&write, &model->contact_key);
}

/*
 * Is there anything to copy: an empty column of the company whose column of
 * the contact is not?
 */
static bool
has_to_copy(Run *run, const Action *action)
{
	Model	   *model = run->model;
	Work	   *work = action->work;
	ActionArgs *args = action->rule->compiled_args;

	if (work->company_row == NULL)
		return false;
	for (int i = 0; i < list_length(args->columns); i += 2)
	{
		AttrNumber	to = get_attnum(model->table[COMPANIES].relid,
									list_nth(args->columns, i));
		AttrNumber	from = get_attnum(model->table[CONTACTS].relid,
									  list_nth(args->columns, i + 1));
		char	   *old = action_row_text(model, COMPANIES, work->company_row, to);
		char	   *new = action_row_text(model, CONTACTS, work->row, from);

		if ((old == NULL || *old == '\0') && new != NULL && *new != '\0')
			return true;
	}
	return false;
}

static SPIPlanPtr
copy_plan(Model *model, Rule *rule)
{
	AppTable   *contacts = &model->table[CONTACTS];
	AppTable   *companies = &model->table[COMPANIES];
	ActionArgs *args = rule->compiled_args;
	StringInfoData sql;
	const char *link = contacts->column[ROLE_COMPANY].quoted;

	if (rule->plan != NULL)
		return rule->plan;
	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s AS co SET ", companies->name);
	for (int i = 0; i < list_length(args->columns); i += 2)
	{
		const char *to = list_nth(args->columns, i);
		const char *quoted = quote_identifier(to);
		Oid			type;
		int32		typmod;
		Oid			collation;

		get_atttypetypmodcoll(companies->relid,
							  get_attnum(companies->relid, to),
							  &type, &typmod, &collation);
		appendStringInfo(&sql,
						 "%s%s = CASE WHEN co.%s IS NULL"
						 " OR co.%s::pg_catalog.text OPERATOR(pg_catalog.=) ''"
						 " THEN COALESCE(c.%s::%s, co.%s) ELSE co.%s END",
						 i > 0 ? ", " : "", quoted, quoted, quoted,
						 quote_identifier(list_nth(args->columns, i + 1)),
						 format_type_extended(type, typmod,
											  FORMAT_TYPE_TYPEMOD_GIVEN |
											  FORMAT_TYPE_FORCE_QUALIFY),
						 quoted, quoted);
	}
	appendStringInfo(&sql,
					 " FROM (SELECT DISTINCT ON (x.%s) x.* FROM %s AS x"
					 " WHERE x.%s OPERATOR(pg_catalog.=) ANY ($1)"
					 " ORDER BY x.%s, x.%s) AS c"
					 " WHERE co.%s OPERATOR(pg_catalog.=) c.%s",
					 link, contacts->name, contacts->column[ROLE_KEY].quoted,
					 link, contacts->column[ROLE_KEY].quoted,
					 companies->column[ROLE_KEY].quoted, link);
	rule->plan = query_prepare(sql.data, 1, &model->contact_key.array);
	return rule->plan;
}

/*
 * The condition that a contact, v1, has no open deal in a pipeline, v3, as one
 * of its further contacts.  Whoever makes it one holds the lock on the
 * contact's row, as we do (deal_contact.c).
 */
static const char *
without_shared_deal(Model *model)
{
	AppTable   *deals = &model->table[DEALS];
	AppTable   *links = &model->table[DEAL_CONTACTS];

	if (!OidIsValid(links->relid))
		return "";
	return psprintf(" WHERE NOT EXISTS (SELECT FROM %1$s AS l"
					" JOIN %2$s AS d ON d.%3$s OPERATOR(pg_catalog.=) l.%4$s"
					" WHERE l.%5$s OPERATOR(pg_catalog.=) v.v1 AND d.%6$s%7$s)",
					links->name, deals->name, deals->column[ROLE_KEY].quoted,
					links->column[ROLE_DEAL].quoted,
					links->column[ROLE_CONTACT].quoted,
					deals->column[ROLE_IS_OPEN].quoted,
					deals->column[ROLE_PIPELINE].attno == 0 ? "" :
					psprintf(" AND d.%s OPERATOR(pg_catalog.=) v.v3",
							 deals->column[ROLE_PIPELINE].quoted));
}

/*
 * The statement that opens deals.  Of deals that are open already for the
 * contact and pipeline, the unique index lets none through.
 */
static SPIPlanPtr
deal_plan(Model *model, Oid *types)
{
	AppTable   *table = &model->table[DEALS];
	static const Role roles[8] = {ROLE_CONTACT, ROLE_COMPANY, ROLE_PIPELINE,
		ROLE_STAGE, ROLE_NAME, ROLE_AMOUNT, ROLE_CURRENCY, ROLE_OWNER};
	StringInfoData names;
	StringInfoData values;
	Oid			arrays[8];

	if (model->plan[PLAN_DEAL_INSERT] != NULL)
		return model->plan[PLAN_DEAL_INSERT];
	initStringInfo(&names);
	initStringInfo(&values);
	for (int i = 0; i < 8; i++)
	{
		Column	   *column = &table->column[roles[i]];

		arrays[i] = bulk_array_type(types[i]);
		if (column->attno == 0)
			continue;
		appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "",
						 column->quoted);
		appendStringInfo(&values, "%sv.v%d::%s", values.len > 0 ? ", " : "",
						 i + 1, column->type_name);
	}
	model->plan[PLAN_DEAL_INSERT] =
		query_prepare(psprintf("INSERT INTO %s (%s) SELECT %s"
							   " FROM %s AS v (v1, v2, v3, v4, v5, v6, v7, v8)%s"
							   " ON CONFLICT (%s%s%s) WHERE %s DO NOTHING",
							   table->name, names.data, values.data,
							   bulk_source(8), without_shared_deal(model),
							   table->column[ROLE_CONTACT].quoted,
							   table->column[ROLE_PIPELINE].attno != 0 ? ", " : "",
							   table->column[ROLE_PIPELINE].attno != 0 ?
							   table->column[ROLE_PIPELINE].quoted : "",
							   table->column[ROLE_IS_OPEN].quoted),
					  8, arrays);
	return model->plan[PLAN_DEAL_INSERT];
}

static void
open_deals(Run *run)
{
	Model	   *model = run->model;
	Oid			types[8];
	Write		write = {.run = run};
	ListCell   *cell;

	for (int i = 0; i < 8; i++)
		types[i] = TEXTOID;
	types[0] = model->contact_key.type;
	types[1] = model->company_key.type;
	write.rows = bulk_create(8, types);
	write.rules = palloc((list_length(run->actions) + 1) * sizeof(char *));
	foreach(cell, run->actions)
	{
		Action	   *action = lfirst(cell);
		ActionArgs *args = action->rule->compiled_args;
		Datum		values[8];
		bool		nulls[8] = {false};
		char	   *text;

		if (action->rule->action != ACTION_CREATE_DEAL)
			continue;
		action->work->deal_action = action;
		write.rules[write.rows->rows] = action->rule->name;
		values[0] = action->work->contact;
		values[1] = action->work->company;
		nulls[1] = action->work->company_null;
		values[2] = CStringGetTextDatum(args->deal_stage->pipeline);
		values[3] = CStringGetTextDatum(args->deal_stage->name);
		text = action_text(action, "name");
		values[4] = TEXT_OR_NULL(text);
		nulls[4] = text == NULL;
		text = action_text(action, "amount");
		values[5] = TEXT_OR_NULL(text);
		nulls[5] = text == NULL;
		text = action_text(action, "currency");
		values[6] = TEXT_OR_NULL(text);
		nulls[6] = text == NULL;
		values[7] = TEXT_OR_NULL(action->owner);
		nulls[7] = action->owner == NULL;
		bulk_add(write.rows, values, nulls);
	}
	if (write.rows->rows == 0 || !OidIsValid(model->table[DEALS].relid))
		return;
	write.owner = model->table[DEALS].owner;
	write.plan = deal_plan(model, types);
	action_write_all(&write, &model->contact_key);
}

/*
 * Set a field, or copy to companies: rows of one rule, by the rule's plan.
 */
static void
write_rule(Run *run, Rule *rule)
{
	Model	   *model = run->model;
	bool		copies = rule->action == ACTION_COPY_TO_COMPANY;
	ActionArgs *args = rule->compiled_args;
	Oid			types[2] = {model->contact_key.type, TEXTOID};
	Write		write = {.run = run};
	List	   *companies = NIL;
	ListCell   *cell;

	write.rows = bulk_create(copies ? 1 : 2, types);
	write.rules = palloc((list_length(run->actions) + 1) * sizeof(char *));
	foreach(cell, run->actions)
	{
		Action	   *action = lfirst(cell);
		Datum		values[2];
		bool		nulls[2] = {false};
		char	   *text;

		if (action->rule != rule || (copies && !has_to_copy(run, action)))
			continue;
		write.rules[write.rows->rows] = rule->name;
		values[0] = action->work->contact;
		text = copies ? NULL : action_text(action, "value");
		values[1] = TEXT_OR_NULL(text);
		nulls[1] = text == NULL;
		bulk_add(write.rows, values, nulls);
		if (copies)
			companies = lappend(companies, action->work);
	}
	if (write.rows->rows == 0)
		return;
	if (copies)
	{
		Datum	   *keys = palloc(list_length(companies) * sizeof(Datum));

		foreach(cell, companies)
			keys[foreach_current_index(cell)] = ((Work *) lfirst(cell))->company;
		(void) company_read(run, keys, list_length(companies), true);
		write.owner = model->table[COMPANIES].owner;
		write.plan = copy_plan(model, rule);
	}
	else
	{
		if (rule->plan == NULL)
		{
			Oid			arrays[2] = {model->contact_key.array, TEXTARRAYOID};

			rule->plan =
				query_prepare(psprintf("UPDATE %1$s AS t SET %2$s = v.value::%3$s"
									   " FROM %5$s AS v (key, value)"
									   " WHERE t.%4$s OPERATOR(pg_catalog.=) v.key"
									   " AND t.%2$s IS DISTINCT FROM v.value::%3$s",
									   model->table[CONTACTS].name, args->column,
									   args->column_type,
									   model->table[CONTACTS].column[ROLE_KEY].quoted,
									   bulk_source(2)),
							  2, arrays);
		}
		write.owner = model->table[CONTACTS].owner;
		write.plan = rule->plan;
	}
	action_write_all(&write, &model->contact_key);
}

static void
write_rules(Run *run)
{
	List	   *rules = NIL;
	ListCell   *cell;

	foreach(cell, run->actions)
	{
		Rule	   *rule = ((Action *) lfirst(cell))->rule;

		if (rule->action == ACTION_SET_FIELD ||
			rule->action == ACTION_COPY_TO_COMPANY)
			rules = list_append_unique_ptr(rules, rule);
	}
	foreach(cell, rules)
		write_rule(run, lfirst(cell));
}

static void
append_member(StringInfo json, const char *key, const char *value)
{
	if (json->len > 1)
		appendStringInfoString(json, ", ");
	escape_json(json, key);
	appendStringInfoString(json, ": ");
	if (value != NULL)
		escape_json(json, value);
	else
		appendStringInfoString(json, "null");
}

/*
 * The same for a value whose type JSON may have: booleans, numbers and JSON
 * itself stand as they are.
 */
static void
append_value(StringInfo json, const char *key, const char *value, Oid type)
{
	bool		bare = type == JSONOID || type == JSONBOID;

	if (value != NULL && type == BOOLOID)
	{
		value = value[0] == 't' ? "true" : "false";
		bare = true;
	}
	else if (value != NULL && TypeCategory(type) == TYPCATEGORY_NUMERIC)
		bare = IsValidJsonNumber(value, strlen(value));
	if (value == NULL || !bare)
	{
		append_member(json, key, value);
		return;
	}
	if (json->len > 1)
		appendStringInfoString(json, ", ");
	escape_json(json, key);
	appendStringInfo(json, ": %s", value);
}

static char *
payload_of(Run *run, const Action *action)
{
	Model	   *model = run->model;
	Work	   *work = action->work;
	ActionArgs *args = action->rule->compiled_args;
	StringInfoData json;
	ListCell   *cell;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	append_member(&json, "model", model->name);
	append_member(&json, "rule", action->rule->name);
	if (!work->no_contact)
		append_member(&json, "contact",
					  key_to_text(&model->contact_key, work->contact));
	if (!work->company_null)
		append_member(&json, "company",
					  key_to_text(&model->company_key, work->company));
	if (action->deal != NULL)
		append_member(&json, "deal",
					  key_to_text(&model->deal_key, action->deal->deal));
	if (action->event != NULL)
	{
		append_member(&json, "event", action->event->entry->name);
		append_member(&json, "event_at",
					  JsonEncodeDateTime(NULL,
										 TimestampTzGetDatum(action->event->time),
										 TIMESTAMPTZOID, NULL));
	}
	foreach(cell, args->expressions)
	{
		NamedExpression *named = lfirst(cell);

		append_value(&json, named->name,
					 action->texts[foreach_current_index(cell)],
					 named->expression->predicate->type);
	}
	appendStringInfoChar(&json, '}');
	return json.data;
}

/*
 * Messages for the team: a row in the outbox, and a NOTIFY if that is on.
 */
static void
notify(Run *run)
{
	static const Oid types[4] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Model	   *model = run->model;
	Bulk	   *rows = bulk_create(4, types);
	ListCell   *cell;

	foreach(cell, run->actions)
	{
		Action	   *action = lfirst(cell);
		ActionArgs *args = action->rule->compiled_args;
		const char *type = args->type != NULL ? args->type : action->rule->name;
		char	   *payload;
		Datum		values[4];

		if (action->rule->action != ACTION_NOTIFY)
			continue;
		payload = payload_of(run, action);
		if (action->work->no_contact)
		{
			values[0] = CStringGetTextDatum("deal");
			values[1] = CStringGetTextDatum(key_to_text(&model->deal_key,
														action->deal->deal));
		}
		else
		{
			values[0] = CStringGetTextDatum("contact");
			values[1] = CStringGetTextDatum(key_to_text(&model->contact_key,
														action->work->contact));
		}
		values[2] = CStringGetTextDatum(type);
		values[3] = CStringGetTextDatum(payload);
		bulk_add(rows, values, NULL);
		if (model->notify)
			Async_Notify(args->channel != NULL ? args->channel :
						 DEFAULT_CHANNEL,
						 strlen(payload) < 7900 ? payload : type);
	}
	record_outbox(run, rows);
}

/*
 * action_apply: write what the rules of this round want, and let companies
 * follow the contacts that moved before it.
 */
void
action_apply(Run *run, List *stage_changes)
{
	company_roll_up(run, stage_changes);
	move_contacts(run);
	company_move_all(run);
	write_rules(run);
	owner_assign(run);
	open_deals(run);
	owner_write(run);
	task_create(run);
	notify(run);
}
