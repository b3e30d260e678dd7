/*-------------------------------------------------------------------------
 *
 * object.c
 *	  Triggers on contacts and companies: the stage and status machine's
 *	  gate, and what their changes set off.
 *
 * Before a row is written, its stage and lead status are checked: unknown
 * ones are refused, known ones get their canonical spelling, a stage that
 * carries no lead status clears it, and a move by hand must be one that the
 * setting manual_stage allows.  After the
 * statement, what changed is collected from the transition tables: stages
 * and statuses for the history, columns for the segments that look at them.
 * The rows of OLD and NEW TABLE come in the same order, since the executor
 * adds to both at once; rows that changed their key count as deleted and
 * inserted.
 *
 * This is the only place where moves are noticed, whoever makes them: a
 * plain UPDATE, COPY, an API function, a rule.  While the engine writes
 * (run->applying), the reason is that of the work in progress.
 *
 * Locks: a contact's row lock is the UPDATE's own.  A company's columns are
 * looked at by its contacts' segments, so an UPDATE of such a column locks
 * its contacts after the company (and keeps contacts from coming there
 * meanwhile, stripe.c), while a rule that moves a contact's
 * company locks them the other way round; two such transactions at once may
 * be a deadlock, which PostgreSQL resolves, as it does for any two tables.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "import.h"
#include "rule.h"
#include "survivor.h"

PG_FUNCTION_INFO_V1(contacts_check);
PG_FUNCTION_INFO_V1(contacts_insert);
PG_FUNCTION_INFO_V1(contacts_update);
PG_FUNCTION_INFO_V1(contacts_delete);
PG_FUNCTION_INFO_V1(contacts_truncate);
PG_FUNCTION_INFO_V1(companies_check);
PG_FUNCTION_INFO_V1(companies_insert);
PG_FUNCTION_INFO_V1(companies_update);
PG_FUNCTION_INFO_V1(companies_delete);
PG_FUNCTION_INFO_V1(companies_truncate);

static KeyType *
object_key(Model *model, TableKind kind)
{
	return kind == CONTACTS ? &model->contact_key : &model->company_key;
}

/*
 * May somebody move a contact or company by hand from the one stage to the
 * other?
 */
static void
check_manual_move(Model *model, const char *from, const Stage *to)
{
	const Stage *stage;

	switch (model->manual_stage)
	{
		case MANUAL_ALLOW:
			return;
		case MANUAL_REFUSE:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("stages of model \"%s\" are not set by hand",
							model->name),
					 errhint("Use lifecycle_set_stage(%s, ...), or lifecycle_set(%s, 'manual_stage', 'allow').",
							 quote_literal_cstr(model->name),
							 quote_literal_cstr(model->name))));
			break;
		case MANUAL_CLEAR_FIRST:
			stage = from != NULL ?
				stage_find(&model->stages, from) : NULL;
			if (from != NULL && to != NULL && !stage_is_forward(stage, to))
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("stage must be cleared before it goes back from \"%s\" to \"%s\"",
								from, to->name),
						 errhint("Set the stage to NULL first, or use lifecycle_set_stage(%s, ...).",
								 quote_literal_cstr(model->name))));
			return;
		case MANUAL_FORWARD:
			stage = from != NULL ?
				stage_find(&model->stages, from) : NULL;
			if (to == NULL || !stage_is_forward(stage, to))
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("stage cannot go from \"%s\" to \"%s\"",
								from != NULL ? from : "(none)",
								to != NULL ? to->name : "(none)"),
						 errdetail("Moves by hand must be forward in model \"%s\".",
								   model->name),
						 errhint("Use lifecycle_set_stage(%s, ...).",
								 quote_literal_cstr(model->name))));
			return;
	}
}

/*
 * Check one of the two columns of a row; the row with the canonical spelling.
 */
static HeapTuple
check_column(TriggerData *trigdata, Model *model, HeapTuple row,
			 const Column *column, const StageList *list)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	int			attno = SPI_fnumber(desc, column->name);
	bool		update = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event);
	char	   *new;
	char	   *old = NULL;
	const Stage *stage = NULL;

	if (attno <= 0)
		return row;
	new = SPI_getvalue(row, desc, attno);
	if (update)
		old = SPI_getvalue(trigdata->tg_trigtuple, desc, attno);
	if (new != NULL && old != NULL && strcmp(new, old) == 0)
		return row;
	if (new != NULL)
		stage = stage_check(model, list, new);
	if (update && list == &model->stages && !run_is_applying() &&
		(new != NULL || old != NULL) &&
		!(stage != NULL && old != NULL && strcmp(stage->name, old) == 0))
		check_manual_move(model, old, stage);
	if (stage != NULL && strcmp(stage->name, new) != 0)
	{
		Datum		value;
		bool		isnull = false;
		Oid			function;
		Oid			param;

		getTypeInputInfo(column->type, &function, &param);
		value = OidInputFunctionCall(function, stage->name, param,
									 column->typmod);
		row = heap_modify_tuple_by_cols(row, desc, 1, &attno, &value, &isnull);
	}
	return row;
}

/*
 * A stage that carries no lead status: the row comes there without.  To give
 * it one there is an error, unless a rule does, which did not know.
 */
static HeapTuple
check_carries(TriggerData *trigdata, Model *model, HeapTuple row,
			  const AppTable *table)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	int			stage_attno = SPI_fnumber(desc, table->column[ROLE_STAGE].name);
	int			attno = SPI_fnumber(desc,
									table->column[ROLE_LEAD_STATUS].name);
	char	   *name = SPI_getvalue(row, desc, stage_attno);
	char	   *status = SPI_getvalue(row, desc, attno);
	const Stage *stage;
	char	   *old = NULL;
	Datum		value = (Datum) 0;
	bool		isnull = true;

	if (name == NULL || status == NULL)
		return row;
	stage = stage_find(&model->stages, name);
	if (stage == NULL || stage->carries_status)
		return row;
	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		old = SPI_getvalue(trigdata->tg_trigtuple, desc, attno);
	if (!run_is_writing() && (old == NULL || strcmp(old, status) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("stage \"%s\" of model \"%s\" carries no lead status",
						stage->name, model->name),
				 errhint("Leave it null, or use lifecycle_alter_stage(%s, %s, carries_status => true).",
						 quote_literal_cstr(model->name),
						 quote_literal_cstr(stage->name))));
	return heap_modify_tuple_by_cols(row, desc, 1, &attno, &value, &isnull);
}

static Datum
check_row(FunctionCallInfo fcinfo, const char *function, TableKind kind)
{
	TriggerData *trigdata = trigger_check_row(fcinfo, function);
	HeapTuple	row = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ?
		trigdata->tg_newtuple : trigdata->tg_trigtuple;
	Model	   *model = model_for_trigger(trigdata->tg_relation, kind, NULL);

	if (model == NULL)
		return PointerGetDatum(row);
	row = check_column(trigdata, model, row,
					   &model->table[kind].column[ROLE_STAGE],
					   &model->stages);
	row = check_column(trigdata, model, row,
					   &model->table[kind].column[ROLE_LEAD_STATUS],
					   &model->statuses);
	row = check_carries(trigdata, model, row, &model->table[kind]);
	return PointerGetDatum(row);
}

/*
 * contacts_check(), companies_check(): BEFORE INSERT OR UPDATE FOR EACH ROW.
 *
 * They return the row with canonical spelling; take no lock; raise 22023 for
 * an unknown stage or status, 55000 for a move that manual_stage forbids.
 */
Datum
contacts_check(PG_FUNCTION_ARGS)
{
	return check_row(fcinfo, "contacts_check", CONTACTS);
}

Datum
companies_check(PG_FUNCTION_ARGS)
{
	return check_row(fcinfo, "companies_check", COMPANIES);
}

/*
 * A trigger of the user's that fires after ours can write what we have not
 * seen; it must be what we would have let pass.
 */
static void
check_written(Model *model, const StageList *list, const char *from,
			  const char *to)
{
	const Stage *stage;

	if (to == NULL || (from != NULL && strcmp(from, to) == 0))
		return;
	stage = stage_check(model, list, to);
	if (strcmp(stage->name, to) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not the spelling of \"%s\"", to,
						stage->name),
				 errhint("A trigger wrote it after \"lifecycle_check\"; let it write \"%s\", or give it a name that sorts before.",
						 stage->name)));
}

/*
 * Which company a contact belongs to and which it left.  Is this a change
 * that companies, or contacts who follow them, look at?
 */
static bool
company_change(Run *run, StageChange *change, TupleTableSlot *old,
			   TupleTableSlot *new)
{
	Model	   *model = run->model;
	const Column *link = &model->table[CONTACTS].column[ROLE_COMPANY];
	KeyType    *key = &model->company_key;
	Datum		company;
	bool		isnull;

	company = slot_key(new != NULL ? new : old, link, key,
					   &change->company_null);
	if (!change->company_null)
		change->company = run_copy_key(run, key, company);
	if (new == NULL)
		return false;
	change->comes = old == NULL && !change->company_null;
	if (old == NULL)
		return change->comes && model->contacts_follow;
	company = slot_key(old, link, key, &isnull);
	if (isnull ? change->company_null : !change->company_null &&
		key_compare(key, company, change->company) == 0)
		return false;
	change->left = !isnull;
	if (change->left)
		change->from_company = run_copy_key(run, key, company);
	change->comes = !change->company_null;
	return true;
}

/*
 * The change of stage and status between two rows, either of which may be
 * missing; NULL if there is none.
 */
static StageChange *
stage_change(Run *run, TableKind kind, TupleTableSlot *old,
			 TupleTableSlot *new)
{
	Model	   *model = run->model;
	AppTable   *table = &model->table[kind];
	Column	   *link = &table->column[ROLE_COMPANY];
	MemoryContext context = MemoryContextSwitchTo(run->context);
	StageChange change = {0};
	StageChange *result = NULL;
	TupleTableSlot *row = new != NULL ? new : old;
	bool		isnull;
	bool		company_changed = false;

	change.object = kind;
	change.deleted = new == NULL;
	if (old != NULL)
	{
		change.from_stage = slot_text(old, &table->column[ROLE_STAGE]);
		change.from_status = slot_text(old, &table->column[ROLE_LEAD_STATUS]);
	}
	if (new != NULL)
	{
		change.to_stage = slot_text(new, &table->column[ROLE_STAGE]);
		change.to_status = slot_text(new, &table->column[ROLE_LEAD_STATUS]);
	}
	change.company_null = true;
	if (kind == CONTACTS && link->attno != 0)
		company_changed = company_change(run, &change, old, new);
	check_written(model, &model->stages, change.from_stage, change.to_stage);
	check_written(model, &model->statuses, change.from_status,
				  change.to_status);
	if (company_changed ||
		(change.from_stage == NULL) != (change.to_stage == NULL) ||
		(change.from_status == NULL) != (change.to_status == NULL) ||
		(change.from_stage != NULL &&
		 strcmp(change.from_stage, change.to_stage) != 0) ||
		(change.from_status != NULL &&
		 strcmp(change.from_status, change.to_status) != 0))
	{
		result = palloc(sizeof(StageChange));
		*result = change;
		result->key = run_copy_key(run, object_key(model, kind),
								   slot_key(row, &table->column[ROLE_KEY],
											object_key(model, kind), &isnull));
	}
	MemoryContextSwitchTo(context);
	return result;
}

/*
 * If we are making this move: why.
 */
static void
set_reasons(Run *run, StageChange *change)
{
	if (!run->applying)
		return;
	if (change->object == CONTACTS)
	{
		Work	   *work = run_find_work(run, change->key);

		if (work == NULL)
			return;
		if (work->stage != NULL && change->to_stage != NULL &&
			strcmp(work->stage->name, change->to_stage) == 0)
			change->stage_reason = work->stage_reason;
		if (work->status != NULL && change->to_status != NULL &&
			strcmp(work->status->name, change->to_status) == 0)
			change->status_reason = work->status_reason;
	}
	else
	{
		CompanyMove *move = company_find_move(run, change->key);

		if (move != NULL)
			change->stage_reason = move->reason;
	}
}

static void
add_stage_change(Run *run, TableKind kind, TupleTableSlot *old,
				 TupleTableSlot *new)
{
	StageChange *change = stage_change(run, kind, old, new);

	if (change == NULL)
		return;
	if (old == NULL && run->reason.cause != NULL && !run_is_merge(run) &&
		strcmp(run->reason.cause, "api") != 0)
		change->reason.cause = "import";
	set_reasons(run, change);
	run_add_stage_change(run, change);
}

/*
 * Which of these columns differ between the two rows?
 */
static Bitmapset *
changed_columns(Run *run, TupleTableSlot *old, TupleTableSlot *new,
				Bitmapset *columns)
{
	Bitmapset  *result = NULL;
	int			attno = -1;

	while ((attno = bms_next_member(columns, attno)) >= 0)
	{
		Form_pg_attribute att = TupleDescAttr(new->tts_tupleDescriptor,
											  attno - 1);
		bool		old_null;
		bool		new_null;
		Datum		old_value = slot_getattr(old, attno, &old_null);
		Datum		new_value = slot_getattr(new, attno, &new_null);

		if (old_null != new_null ||
			(!old_null && !datum_image_eq(old_value, new_value, att->attbyval,
										  att->attlen)))
		{
			MemoryContext context = MemoryContextSwitchTo(run->context);

			result = bms_add_member(result, attno);
			MemoryContextSwitchTo(context);
		}
	}
	return result;
}

typedef struct Keys
{
	Datum	   *key;
	int			count;
	int			allocated;
} Keys;

/* What a statement trigger works with. */
typedef struct Changes
{
	Run		   *run;
	TableKind	kind;
	Transition *old_rows;
	Transition *new_rows;
	Bitmapset  *columns;		/* those that segments look at */
	Keys		deleted;
	Keys		came;			/* contacts, if any were ever merged */
	Keys		seen_anew;		/* companies whose contacts must look again */
} Changes;

/*
 * Add the key of a row; it lives as long as the run.
 */
static void
add_key(Changes *changes, Keys *keys, TupleTableSlot *row)
{
	Run		   *run = changes->run;
	KeyType    *key = object_key(run->model, changes->kind);
	bool		isnull;
	Datum		value = slot_key(row, &run->model->table[changes->kind].column[ROLE_KEY],
								 key, &isnull);

	if (keys->count == keys->allocated)
	{
		keys->allocated = Max(16, keys->allocated * 2);
		keys->key = keys->key == NULL ?
			palloc(keys->allocated * sizeof(Datum)) :
			repalloc_huge(keys->key, mul_size(keys->allocated, sizeof(Datum)));
	}
	keys->key[keys->count++] = run_copy_key(run, key, value);
}

static void
inserted_row(Changes *changes, TupleTableSlot *new)
{
	Run		   *run = changes->run;
	bool		isnull;

	add_stage_change(run, changes->kind, NULL, new);
	if (changes->kind == COMPANIES)
	{
		if (!run->model->company_key_checked)
			add_key(changes, &changes->seen_anew, new);
		return;
	}
	(void) run_add_contact(run, CONTACT_INSERTED,
						   slot_key(new,
									&run->model->table[CONTACTS].column[ROLE_KEY],
									&run->model->contact_key, &isnull));
	if (survivor_may_matter(run->model))
		add_key(changes, &changes->came, new);
}

static void
deleted_row(Changes *changes, TupleTableSlot *old)
{
	add_stage_change(changes->run, changes->kind, old, NULL);
	add_key(changes, &changes->deleted, old);
	if (changes->kind == COMPANIES)
		add_key(changes, &changes->seen_anew, old);
}

static void
updated_row(Changes *changes, TupleTableSlot *old, TupleTableSlot *new)
{
	Run		   *run = changes->run;
	KeyType    *key = object_key(run->model, changes->kind);
	const Column *column = &run->model->table[changes->kind].column[ROLE_KEY];
	bool		isnull;
	Datum		value = slot_key(new, column, key, &isnull);
	Bitmapset  *columns;

	if (key_compare(key, slot_key(old, column, key, &isnull), value) != 0)
	{
		deleted_row(changes, old);
		inserted_row(changes, new);
		return;
	}
	add_stage_change(run, changes->kind, old, new);
	columns = changed_columns(run, old, new, changes->columns);
	if (columns == NULL)
		return;
	if (changes->kind == CONTACTS)
		run_add_contact(run, CONTACT_UPDATED, value)->columns = columns;
	else
		add_key(changes, &changes->seen_anew, new);
}

/*
 * Contacts of these companies look at them again, and the companies at the
 * contacts' stages.  Companies that arrive find contacts who were there
 * before them.
 */
static void
add_contacts_of(Run *run, Datum *companies, int count, Bitmapset *columns,
				bool arrived)
{
	Model	   *model = run->model;
	AppTable   *contacts = &model->table[CONTACTS];
	Datum		keys;
	UserSpan	span;
	uint64		rows;
	MemoryContext old;

	if (count == 0 || contacts->column[ROLE_COMPANY].attno == 0)
		return;
	stripe_change(model, companies, count);
	keys = key_array(&model->company_key, companies, count);
	span_write(&span, contacts->owner);
	if (model->plan[PLAN_COMPANY_CONTACTS] == NULL)
		model->plan[PLAN_COMPANY_CONTACTS] =
			query_prepare(psprintf("SELECT c.%1$s, c.%2$s::pg_catalog.text,"
								   " (c.%3$s)::%4$s FROM %5$s AS c"
								   " WHERE c.%3$s OPERATOR(pg_catalog.=) ANY ($1)",
								   contacts->column[ROLE_KEY].quoted,
								   contacts->column[ROLE_STAGE].quoted,
								   contacts->column[ROLE_COMPANY].quoted,
								   model->company_key.name, contacts->name),
						  1, &model->company_key.array);
	rows = query_execute(model->plan[PLAN_COMPANY_CONTACTS], &keys, NULL);
	span_end(&span);
	old = MemoryContextSwitchTo(run->context);
	columns = bms_copy(columns);
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		ContactChange *change = run_add_contact(run, CONTACT_UPDATED,
												query_value(i, 1, &isnull));
		char	   *stage = query_text(i, 2);
		StageChange *roll_up;

		change->company_columns = columns;
		if (stage == NULL && !(arrived && model->contacts_follow))
			continue;
		roll_up = palloc0(sizeof(StageChange));
		roll_up->object = CONTACTS;
		roll_up->key = change->contact;
		roll_up->from_stage = roll_up->to_stage = stage;
		roll_up->comes = arrived;
		roll_up->company = run_copy_key(run, &model->company_key,
										query_value(i, 3, &isnull));
		run_add_stage_change(run, roll_up);
	}
	MemoryContextSwitchTo(old);
}

static void
collect_changes(Changes *changes)
{
	TupleTableSlot *old = NULL;
	TupleTableSlot *new = NULL;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (changes->old_rows != NULL)
			old = transition_next(changes->old_rows);
		if (changes->new_rows != NULL)
			new = transition_next(changes->new_rows);
		if (old == NULL && new == NULL)
			return;
		if (old == NULL)
			inserted_row(changes, new);
		else if (new == NULL)
			deleted_row(changes, old);
		else
			updated_row(changes, old, new);
	}
}

static void
contacts_changed(Changes *changes, bool outermost)
{
	Run		   *run = changes->run;
	Keys	   *deleted = &changes->deleted;
	Keys	   *came = &changes->came;
	KeyType    *key = &run->model->contact_key;

	/* this is before run_work, which finds out the clock */
	if (outermost && deleted->count > 0)
		run->clock = run_clock(run->model);
	record_forget_contacts(run, deleted->key, deleted->count);
	if (deleted->count + came->count > 0 && survivor_may_matter(run->model))
		survivor_follow(run, key_array(key, deleted->key, deleted->count),
						key_array(key, came->key, came->count));
}

static void
companies_changed(Changes *changes, bool deleted)
{
	Model	   *model = changes->run->model;
	Keys	   *anew = &changes->seen_anew;

	add_contacts_of(changes->run, anew->key, anew->count, changes->columns,
					changes->old_rows == NULL);
	if (deleted)
		record_forget_history(model, COMPANIES,
							  key_array(&model->company_key,
										changes->deleted.key,
										changes->deleted.count));
}

/*
 * Collect what a statement did to contacts or companies, and work it off
 * unless a run that is in progress will.
 */
static void
statement(TriggerData *trigdata, TableKind kind)
{
	TupleConversionMap *map;
	Model	   *model = model_for_trigger(trigdata->tg_relation, kind, &map);
	Changes		changes = {.kind = kind};
	bool		outermost;

	if (model == NULL)
		return;
	SPI_connect();
	changes.run = run_current(model);
	outermost = changes.run == NULL;
	if (outermost)
	{
		changes.run = run_start(model);
		changes.run->statement_on = kind;
		changes.run->quiet = import_mode() == IMPORT_SILENT;
	}
	changes.columns = network_columns(model, kind);
	if (trigdata->tg_oldtable != NULL)
		changes.old_rows = transition_begin(trigdata, trigdata->tg_oldtable,
											model, kind, map);
	if (trigdata->tg_newtable != NULL)
		changes.new_rows = transition_begin(trigdata, trigdata->tg_newtable,
											model, kind, map);
	collect_changes(&changes);
	if (kind == CONTACTS)
		contacts_changed(&changes, outermost);
	else
		companies_changed(&changes,
						  TRIGGER_FIRED_BY_DELETE(trigdata->tg_event));
	if (changes.deleted.count > 0)
		task_forget(model, kind, changes.deleted.key, changes.deleted.count);
	if (changes.old_rows != NULL)
		transition_end(changes.old_rows);
	if (changes.new_rows != NULL)
		transition_end(changes.new_rows);
	if (outermost)
		run_finish(changes.run);
	SPI_finish();
}

/*
 * contacts_insert() ... companies_truncate(): statement triggers on the
 * contacts and companies of a model, or a partition of them.
 *
 * They write under the locks of the statement and those that decide.c takes;
 * they raise 39P01 if not called as the trigger, 55000 if the table is not
 * attached, 54000 for rules that loop.
 */
Datum
contacts_insert(PG_FUNCTION_ARGS)
{
	statement(trigger_check_statement(fcinfo, "contacts_insert",
									  TRIGGER_EVENT_INSERT), CONTACTS);
	return PointerGetDatum(NULL);
}

Datum
contacts_update(PG_FUNCTION_ARGS)
{
	statement(trigger_check_statement(fcinfo, "contacts_update",
									  TRIGGER_EVENT_UPDATE), CONTACTS);
	return PointerGetDatum(NULL);
}

Datum
contacts_delete(PG_FUNCTION_ARGS)
{
	statement(trigger_check_statement(fcinfo, "contacts_delete",
									  TRIGGER_EVENT_DELETE), CONTACTS);
	return PointerGetDatum(NULL);
}

Datum
contacts_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = trigger_check_statement(fcinfo,
													"contacts_truncate",
													TRIGGER_EVENT_TRUNCATE);
	Model	   *model = model_for_trigger(trigdata->tg_relation, CONTACTS, NULL);

	if (model != NULL)
		truncate_forget(model, CONTACTS);
	return PointerGetDatum(NULL);
}

Datum
companies_insert(PG_FUNCTION_ARGS)
{
	statement(trigger_check_statement(fcinfo, "companies_insert",
									  TRIGGER_EVENT_INSERT), COMPANIES);
	return PointerGetDatum(NULL);
}

Datum
companies_update(PG_FUNCTION_ARGS)
{
	statement(trigger_check_statement(fcinfo, "companies_update",
									  TRIGGER_EVENT_UPDATE), COMPANIES);
	return PointerGetDatum(NULL);
}

Datum
companies_delete(PG_FUNCTION_ARGS)
{
	statement(trigger_check_statement(fcinfo, "companies_delete",
									  TRIGGER_EVENT_DELETE), COMPANIES);
	return PointerGetDatum(NULL);
}

Datum
companies_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = trigger_check_statement(fcinfo,
													"companies_truncate",
													TRIGGER_EVENT_TRUNCATE);
	Model	   *model = model_for_trigger(trigdata->tg_relation, COMPANIES, NULL);

	if (model != NULL)
		truncate_forget(model, COMPANIES);
	return PointerGetDatum(NULL);
}
