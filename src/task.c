/*-------------------------------------------------------------------------
 *
 * task.c
 *	  Tasks: made by rules, closed when what they are about moves on.
 *
 * A task belongs to the deal's stage, or the contact's, that it was made in,
 * if its column until says so: when the deal or contact goes on, the task
 * becomes done or cancelled, as its column becomes says.  That is done for
 * all changes of a round before its rules fire, so that a task made on
 * entering a stage is not closed by that same move.
 *
 * Concurrency.  Whoever made a task of a deal by a rule held the deal's row
 * lock, by the INSERT or UPDATE that set the rule off, and whoever moves the
 * deal has it in turn; the same holds for a contact's stage and the lock on
 * the contact.  Tasks are looked for on a snapshot taken after that, so none
 * is missed.  For the same reason a table of tasks that has no block has
 * none of this contact or deal, and is not searched: stage changes cost
 * nothing in a model without tasks.
 *
 * The rows are written as the owner of the model, in a subtransaction: a due
 * time out of range or a constraint that the owner put on the table makes a
 * problem, and the rest of the round goes on.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "rule.h"

#define COLUMNS 15

/*
 * May there be tasks at all?
 */
static bool
has_tasks(const Model *model)
{
	Relation	rel;
	bool		result;

	if (!OidIsValid(model->task_relid))
		return false;
	rel = try_relation_open(model->task_relid, AccessShareLock);
	if (rel == NULL)
		return false;
	result = RelationGetNumberOfBlocks(rel) > 0;
	relation_close(rel, NoLock);
	return result;
}

static SPIPlanPtr
insert_plan(Model *model, const Oid *types)
{
	Oid			arrays[COLUMNS];

	if (model->plan[PLAN_TASK_INSERT] != NULL)
		return model->plan[PLAN_TASK_INSERT];
	for (int i = 0; i < COLUMNS; i++)
		arrays[i] = bulk_array_type(types[i]);
	model->plan[PLAN_TASK_INSERT] =
		query_prepare(psprintf("INSERT INTO %1$s.task (contact, company, deal,"
							   " title, note, owner, created_at, due_at, until,"
							   " becomes, cause, rule, event, event_at, role)"
							   " SELECT v1, v2, v3, v4, v5, v6, v7,"
							   " pg_catalog.timezone(%2$s, pg_catalog.timezone(%2$s, v7)"
							   " OPERATOR(pg_catalog.+) v8::pg_catalog.interval),"
							   " v9, v10, v11, v12, v13, v14, v15"
							   " FROM %3$s AS v (v1, v2, v3, v4, v5, v6, v7, v8, v9,"
							   " v10, v11, v12, v13, v14, v15)", model->schema,
							   quote_literal_cstr(model->zone_name),
							   bulk_source(COLUMNS)), COLUMNS, arrays);
	return model->plan[PLAN_TASK_INSERT];
}

/*
 * Contacts that were deleted by a trigger of this very statement get no
 * tasks: *gone says which actions' contacts are not there any more.
 */
static bool *
find_gone(Run *run, List *actions)
{
	Model	   *model = run->model;
	AppTable   *table = &model->table[CONTACTS];
	const char *key = table->column[ROLE_KEY].quoted;
	int			count = 0;
	Datum	   *keys = palloc((list_length(actions) + 1) * sizeof(Datum));
	bool	   *gone = palloc0((list_length(actions) + 1) * sizeof(bool));
	Datum		array;
	Oid			types[1] = {model->contact_key.array};
	uint64		rows;
	UserSpan	span;
	ListCell   *cell;

	foreach(cell, actions)
	{
		Action	   *action = lfirst(cell);

		if (!action->work->no_contact)
			keys[count++] = action->work->contact;
	}
	if (count == 0)
		return gone;
	array = key_array(&model->contact_key, keys, count);
	span_write(&span, table->owner);
	rows = query_once(psprintf("SELECT k.n FROM pg_catalog.unnest($1)"
							   " WITH ORDINALITY AS k (key, n)"
							   " WHERE NOT EXISTS (SELECT FROM %s AS c"
							   " WHERE c.%s OPERATOR(pg_catalog.=) k.key)",
							   table->name, key), 1, types, &array, NULL);
	span_end(&span);
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		int64		number = DatumGetInt64(query_value(i, 1, &isnull));

		/* The n-th of those that have a contact. */
		foreach(cell, actions)
			if (!((Action *) lfirst(cell))->work->no_contact && --number == 0)
				gone[foreach_current_index(cell)] = true;
	}
	SPI_freetuptable(SPI_tuptable);
	return gone;
}

static void
no_contact_problem(Run *run, const Action *action)
{
	ErrorData	error = {0};
	char	   *key = key_to_text(&run->model->contact_key,
								  action->work->contact);

	error.sqlerrcode = ERRCODE_NO_DATA_FOUND;
	error.message = psprintf("no task was made for contact \"%s\", which does not exist any more",
							 key);
	run_problem(run, NULL, action->rule->name, key, NULL, &error);
}

static void
add_task(Run *run, Bulk *rows, const Action *action)
{
	Work	   *work = action->work;
	ActionArgs *args = action->rule->compiled_args;
	DealChange *deal = action->deal;
	const char *texts[COLUMNS] = {NULL};
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS];

	texts[3] = action_text(action, "title");
	if (texts[3] == NULL)
		texts[3] = action->rule->name;
	texts[4] = action_text(action, "note");
	texts[5] = action->owner;
	texts[7] = args->due;
	texts[8] = args->until;
	texts[9] = args->becomes;
	texts[10] = action->cause;
	texts[11] = action->rule->name;
	texts[12] = action->event != NULL ? action->event->entry->name : NULL;
	texts[14] = run_role(run);
	for (int i = 0; i < COLUMNS; i++)
	{
		values[i] = TEXT_OR_NULL(texts[i]);
		nulls[i] = texts[i] == NULL;
	}
	values[0] = work->contact;
	nulls[0] = work->no_contact;
	values[1] = deal != NULL && !deal->company_null ? deal->company :
		work->company;
	nulls[1] = (deal == NULL || deal->company_null) && work->company_null;
	values[2] = deal != NULL ? deal->deal : (Datum) 0;
	nulls[2] = deal == NULL;
	values[6] = TimestampTzGetDatum(run->clock);
	nulls[6] = false;
	values[13] = action->event != NULL ?
		TimestampTzGetDatum(action->event->time) : (Datum) 0;
	nulls[13] = action->event == NULL;
	bulk_add(rows, values, nulls);
}

/*
 * task_create: write the tasks that rules of this round make.
 */
void
task_create(Run *run)
{
	Model	   *model = run->model;
	Oid		   *types = palloc(COLUMNS * sizeof(Oid));
	Write		write = {.run = run};
	List	   *actions = NIL;
	bool	   *gone;
	ListCell   *cell;

	foreach(cell, run->actions)
		if (((Action *) lfirst(cell))->rule->action == ACTION_CREATE_TASK)
			actions = lappend(actions, lfirst(cell));
	if (actions == NIL)
		return;
	for (int i = 0; i < COLUMNS; i++)
		types[i] = TEXTOID;
	types[0] = model->contact_key.type;
	types[1] = model->company_key.type;
	types[2] = model->deal_key.type;
	types[6] = types[13] = TIMESTAMPTZOID;
	write.rows = bulk_create(COLUMNS, types);
	write.rules = palloc(list_length(actions) * sizeof(char *));
	gone = find_gone(run, actions);
	foreach(cell, actions)
	{
		Action	   *action = lfirst(cell);

		if (gone[foreach_current_index(cell)])
		{
			no_contact_problem(run, action);
			continue;
		}
		write.rules[write.rows->rows] = action->rule->name;
		add_task(run, write.rows, action);
	}
	write.owner = model->owner;
	write.plan = insert_plan(model, types);
	action_write_all(&write, &model->contact_key);
}

static void
close_of_deals(Run *run, List *changes)
{
	Model	   *model = run->model;
	Oid			types[4] = {model->deal_key.type, TEXTOID, BOOLOID,
		TIMESTAMPTZOID};
	Bulk	   *rows = bulk_create(4, types);
	UserSpan	span;
	ListCell   *cell;

	foreach(cell, changes)
	{
		DealChange *change = lfirst(cell);
		Datum		values[4];
		bool		nulls[4] = {false};

		if (change->from_stage == NULL)
			continue;			/* created, or a contact joined it */
		values[0] = change->deal;
		values[1] = TEXT_OR_NULL(change->to_stage);
		nulls[1] = change->to_stage == NULL;
		values[2] = BoolGetDatum(change->to_stage == NULL ||
								 change->to_kind != DEAL_OPEN);
		values[3] = TimestampTzGetDatum(run->clock);
		bulk_add(rows, values, nulls);
	}
	if (rows->rows == 0)
		return;
	span_write(&span, model->owner);
	if (model->plan[PLAN_TASK_OF_DEALS] == NULL)
	{
		Oid			arrays[4];

		for (int i = 0; i < 4; i++)
			arrays[i] = bulk_array_type(types[i]);
		model->plan[PLAN_TASK_OF_DEALS] =
			query_prepare(psprintf("UPDATE %1$s.task AS t"
								   " SET status = CASE WHEN v.stage IS NULL"
								   " THEN 'cancelled' ELSE t.becomes END,"
								   " closed_at = v.at, reason = pg_catalog.concat("
								   "'deal ', COALESCE('moved to ' || v.stage, 'was deleted'))"
								   " FROM %2$s AS v (deal, stage, closed, at)"
								   " WHERE t.deal OPERATOR(pg_catalog.=) v.deal"
								   " AND t.status OPERATOR(pg_catalog.=) 'open'"
								   " AND (t.until OPERATOR(pg_catalog.=) 'deal moves'"
								   " OR v.stage IS NULL"
								   " OR v.closed AND t.until OPERATOR(pg_catalog.=) 'deal closes')",
								   model->schema, bulk_source(4)), 4, arrays);
	}
	bulk_execute(rows, model->plan[PLAN_TASK_OF_DEALS], 0, rows->rows);
	span_end(&span);
}

static void
close_of_contacts(Run *run, List *changes)
{
	Model	   *model = run->model;
	Oid			types[3] = {model->contact_key.type, TEXTOID, TIMESTAMPTZOID};
	Bulk	   *rows = bulk_create(3, types);
	UserSpan	span;
	ListCell   *cell;

	foreach(cell, changes)
	{
		StageChange *change = lfirst(cell);
		Datum		values[3];

		/* A deleted contact is task_forget's. */
		if (change->object != CONTACTS || change->deleted ||
			change->from_stage == NULL ||
			(change->to_stage != NULL &&
			 strcmp(change->from_stage, change->to_stage) == 0))
			continue;
		values[0] = change->key;
		values[1] = CStringGetTextDatum(change->to_stage != NULL ?
										change->to_stage : "none");
		values[2] = TimestampTzGetDatum(run->clock);
		bulk_add(rows, values, NULL);
	}
	if (rows->rows == 0)
		return;
	span_write(&span, model->owner);
	if (model->plan[PLAN_TASK_OF_CONTACTS] == NULL)
	{
		Oid			arrays[3];

		for (int i = 0; i < 3; i++)
			arrays[i] = bulk_array_type(types[i]);
		model->plan[PLAN_TASK_OF_CONTACTS] =
			query_prepare(psprintf("UPDATE %1$s.task AS t"
								   " SET status = t.becomes, closed_at = v.at,"
								   " reason = pg_catalog.concat('stage changed to ', v.stage)"
								   " FROM %2$s AS v (contact, stage, at)"
								   " WHERE t.contact OPERATOR(pg_catalog.=) v.contact"
								   " AND t.status OPERATOR(pg_catalog.=) 'open'"
								   " AND t.until OPERATOR(pg_catalog.=) 'stage changes'",
								   model->schema, bulk_source(3)), 3, arrays);
	}
	bulk_execute(rows, model->plan[PLAN_TASK_OF_CONTACTS], 0, rows->rows);
	span_end(&span);
}

/*
 * task_close: close the tasks of deals and contacts that have moved on.
 * The caller holds their row locks.
 */
void
task_close(Run *run, List *stage_changes, List *deal_changes)
{
	if ((stage_changes == NIL && deal_changes == NIL) ||
		!has_tasks(run->model))
		return;
	close_of_deals(run, deal_changes);
	close_of_contacts(run, stage_changes);
}

/*
 * task_forget: rows of a table were deleted, all that are not there any more
 * if keys is NULL: open tasks about them are cancelled.  The caller is
 * connected to SPI.
 *
 * A task of a deleted company goes on if it is about a contact or deal too.
 */
void
task_forget(Model *model, TableKind kind, Datum *keys, int count)
{
	const char *column = kind == CONTACTS ? "contact" :
		kind == COMPANIES ? "company" : "deal";
	KeyType    *key = kind == CONTACTS ? &model->contact_key :
		kind == COMPANIES ? &model->company_key : &model->deal_key;
	Oid			types[2] = {TIMESTAMPTZOID, key->array};
	Datum		values[2];
	char	   *gone;
	UserSpan	span;

	if ((keys != NULL && count == 0) || !has_tasks(model))
		return;
	values[0] = TimestampTzGetDatum(run_clock(model));
	if (keys != NULL)
	{
		values[1] = key_array(key, keys, count);
		gone = psprintf("t.%s OPERATOR(pg_catalog.=) ANY ($2)", column);
	}
	else
		gone = model_gone_sql(model, kind, psprintf("t.%s", column));
	span_write(&span, model->owner);
	query_once(psprintf("UPDATE %1$s.task AS t SET status = 'cancelled',"
						" closed_at = $1, reason = '%2$s was deleted'"
						" WHERE t.status OPERATOR(pg_catalog.=) 'open'"
						" AND t.%2$s IS NOT NULL AND %3$s%4$s",
						model->schema, column, gone, kind != COMPANIES ? "" :
						" AND t.contact IS NULL AND t.deal IS NULL"),
			   keys != NULL ? 2 : 1, types, values, NULL);
	span_end(&span);
}
