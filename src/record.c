/*-------------------------------------------------------------------------
 *
 * record.c
 *	  What was decided, written to the model's tables.
 *
 * Each table is written by one statement a round, as the owner of the
 * model's schema.  The rows of a contact are written under the lock on the
 * contact, so that no two writers meet; the one collision that can happen,
 * with an orphan row (see decide.c), makes the contact the business of the
 * next round.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "counter.h"
#include "member.h"
#include "run.h"
#include "write.h"

static void
write_rows(Model *model, Bulk *rows, PlanId id, const char *sql)
{
	UserSpan	span;

	if (rows->rows == 0)
		return;
	span_write(&span, model->owner);
	bulk_execute(rows, bulk_prepare(&model->plan[id], rows, model->schema, sql),
				 0, rows->rows);
	span_end(&span);
}

/*
 * Rows of contact_state that could not be inserted, because an orphan row
 * came first: the next round finds it.
 */
static void
retry_collisions(Run *run, Work **inserted, int count)
{
	SPITupleTable *result = SPI_tuptable;
	uint64		rows = SPI_processed;

	if ((uint64) count == rows)
		return;
	for (uint64 row = 0; row < rows; row++)
	{
		bool		isnull;
		Work	   *work = run_find_work(run,
										 SPI_getbinval(result->vals[row],
													   result->tupdesc, 1,
													   &isnull));

		if (work != NULL)
			work->written = true;
	}
	for (int i = 0; i < count; i++)
	{
		if (!inserted[i]->written)
		{
			inserted[i]->changes = NIL;
			(void) run_add_contact(run, CONTACT_INSERTED,
								   inserted[i]->contact);
		}
	}
}

/* Columns of contact_state, in the order in which model.sql creates them. */
enum
{
	STATE_CONTACT,
	STATE_DUE,
	STATE_CLOCK,
	STATE_STATE,
	STATE_COLUMNS
};

static Bulk *
state_rows(const Model *model)
{
	Oid		   *types = palloc(STATE_COLUMNS * sizeof(Oid));

	types[STATE_CONTACT] = model->contact_key.type;
	types[STATE_DUE] = types[STATE_CLOCK] = TIMESTAMPTZOID;
	types[STATE_STATE] = BYTEAOID;
	return bulk_create(STATE_COLUMNS, types);
}

static void
add_state(Run *run, Bulk *rows, const Work *work, bytea *packed)
{
	Datum		values[STATE_COLUMNS];
	bool		nulls[STATE_COLUMNS] = {false};

	values[STATE_CONTACT] = work->contact;
	values[STATE_DUE] = TimestampTzGetDatum(work->state->due);
	nulls[STATE_DUE] = work->state->due == NOT_DUE;
	values[STATE_CLOCK] = TimestampTzGetDatum(work_clock(run, work));
	values[STATE_STATE] = PointerGetDatum(packed);
	bulk_add(rows, values, nulls);
}

/*
 * Update the states that were read at these addresses.  Those that are not
 * there any more, and all if the table is not written directly, are written
 * by key.
 */
static void
update_states(Model *model, Bulk *rows, ItemPointerData *address)
{
	Bulk	   *rest = rows;
	UserSpan	span;

	if (rows->rows == 0)
		return;
	span_write(&span, model->owner);
	if (write_update(model->state_relid, rows, address))
	{
		rest = state_rows(model);
		for (int i = 0; i < rows->rows; i++)
			if (!ItemPointerIsValid(&address[i]))
				bulk_copy(rest, rows, i);
	}
	span_end(&span);
	write_rows(model, rest, PLAN_STATE_UPDATE,
			   "UPDATE %1$s.contact_state AS s"
			   " SET due = v.due, clock = v.clock, state = v.state"
			   " FROM %2$s"
			   " AS v (contact, due, clock, state)"
			   " WHERE s.contact OPERATOR(pg_catalog.=) v.contact");
}

/*
 * record_states: write the states that changed.
 */
void
record_states(Run *run)
{
	Model	   *model = run->model;
	Bulk	   *inserts = state_rows(model);
	Bulk	   *updates = state_rows(model);
	Work	  **inserted = palloc(run->nworks * sizeof(Work *));
	ItemPointerData *address = palloc_extended(mul_size(run->nworks,
														sizeof(ItemPointerData)),
											   MCXT_ALLOC_HUGE);

	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];
		bytea	   *packed;

		if (!work->found || !work->touched || !work->state_changed)
			continue;
		state_set_due(work->state);
		if (run->steps != NULL)
			step_note_due(run, work);
		packed = state_pack(work->state);
		if (work->had_state &&
			work->state->xmin == GetCurrentTransactionIdIfAny() &&
			state_overwrite(model, &work->state->tid, work->state->due,
							work_clock(run, work), packed))
		{
			counter_add(COUNT_STATES_IN_PLACE, 1);
			continue;
		}
		counter_add(COUNT_STATES_WRITTEN, 1);
		if (work->had_state)
		{
			address[updates->rows] = work->state->tid;
			add_state(run, updates, work, packed);
		}
		else
		{
			inserted[inserts->rows] = work;
			add_state(run, inserts, work, packed);
		}
	}
	update_states(model, updates, address);
	if (inserts->rows == 0)
		return;
	write_rows(model, inserts, PLAN_STATE_INSERT,
			   "INSERT INTO %1$s.contact_state (contact, due, clock, state)"
			   " SELECT * FROM %2$s"
			   " ON CONFLICT (contact) DO NOTHING RETURNING contact");
	retry_collisions(run, inserted, inserts->rows);
}

/*
 * The reason of a change: the move that we are making, or the run's own.
 */
static Reason
reason_of(Run *run, const StageChange *change, bool stage)
{
	Reason		reason = change->reason;

	if (reason.cause == NULL)
		reason = run->reason;
	if (stage ? change->stage_reason.cause != NULL :
		change->status_reason.cause != NULL)
		reason = stage ? change->stage_reason : change->status_reason;
	if (reason.cause == NULL)
		reason.cause = "update";
	return reason;
}

static void
add_history(Run *run, Bulk *rows, const StageChange *change, bool stage)
{
	Reason		reason = reason_of(run, change, stage);
	const char *from = stage ? change->from_stage : change->from_status;
	const char *to = stage ? change->to_stage : change->to_status;
	Datum		values[13];
	bool		nulls[13] = {false};
	bool		is_contact = change->object == CONTACTS;

	values[0] = CStringGetTextDatum(is_contact ? "contact" : "company");
	values[1] = values[2] = change->key;
	nulls[1] = !is_contact;
	nulls[2] = is_contact;
	values[3] = TEXT_OR_NULL(from);
	nulls[3] = from == NULL;
	values[4] = TEXT_OR_NULL(to);
	nulls[4] = to == NULL;
	values[5] = TimestampTzGetDatum(step_instant(run, change->object,
												 change->key));
	nulls[6] = nulls[7] = nulls[8] = true;
	if (reason.event != NULL)
	{
		values[6] = CStringGetTextDatum(reason.event->entry->name);
		values[7] = TimestampTzGetDatum(reason.event->time);
		nulls[6] = nulls[7] = false;
		nulls[8] = reason.event->key_null;
		if (!nulls[8])
			values[8] = CStringGetTextDatum(key_to_text(&run->model->event_key,
															reason.event->key));
	}
	values[9] = CStringGetTextDatum(reason.cause);
	values[10] = TEXT_OR_NULL(reason.rule);
	nulls[10] = reason.rule == NULL;
	values[11] = TEXT_OR_NULL(reason.text);
	nulls[11] = reason.text == NULL;
	values[12] = CStringGetTextDatum(run_role(run));
	bulk_add(rows, values, nulls);
}

/* The change of the number of contacts or companies in a stage. */
typedef struct StageDelta
{
	TableKind	object;
	const char *stage;
	int64		number;
} StageDelta;

static List *
add_delta(List *deltas, TableKind object, const char *stage, int64 number)
{
	ListCell   *cell;
	StageDelta *delta;

	if (stage == NULL)
		return deltas;
	foreach(cell, deltas)
	{
		delta = lfirst(cell);
		if (delta->object == object && strcmp(delta->stage, stage) == 0)
		{
			delta->number += number;
			return deltas;
		}
	}
	delta = palloc(sizeof(StageDelta));
	delta->object = object;
	delta->stage = stage;
	delta->number = number;
	return lappend(deltas, delta);
}

static void
write_deltas(Run *run, List *deltas)
{
	static const Oid types[3] = {TEXTOID, TEXTOID, INT8OID};
	Bulk	   *rows = bulk_create(3, types);
	ListCell   *cell;

	foreach(cell, deltas)
	{
		StageDelta *delta = lfirst(cell);
		Datum		values[3];

		if (delta->number == 0)
			continue;
		values[0] = CStringGetTextDatum(delta->object == CONTACTS ?
										"contact" : "company");
		values[1] = CStringGetTextDatum(delta->stage);
		values[2] = Int64GetDatum(delta->number);
		bulk_add(rows, values, NULL);
	}
	write_rows(run->model, rows, PLAN_STAGE_COUNT,
			   "INSERT INTO %1$s.stage_count (object, stage, number)"
			   " SELECT * FROM %2$s");
}

/*
 * record_stage_changes: history and counts of stages and lead statuses.
 */
void
record_stage_changes(Run *run, List *changes)
{
	Model	   *model = run->model;
	Oid		   *types;
	Bulk	   *stages;
	Bulk	   *statuses;
	List	   *deltas = NIL;
	ListCell   *cell;

	if (changes == NIL)
		return;
	types = palloc(13 * sizeof(Oid));
	for (int i = 0; i < 13; i++)
		types[i] = TEXTOID;
	types[1] = model->contact_key.type;
	types[2] = model->company_key.type;
	types[5] = types[7] = TIMESTAMPTZOID;
	stages = bulk_create(13, types);
	statuses = bulk_create(13, types);
	foreach(cell, changes)
	{
		StageChange *change = lfirst(cell);

		bool		keeps = !change->deleted || !model->deletes_history;

		if (!same_text(change->from_stage, change->to_stage))
		{
			if (keeps)
				add_history(run, stages, change, true);
			deltas = add_delta(deltas, change->object, change->from_stage, -1);
			deltas = add_delta(deltas, change->object, change->to_stage, 1);
			run->tally->stages++;
		}
		if (keeps && !same_text(change->from_status, change->to_status))
			add_history(run, statuses, change, false);
	}
	write_rows(model, stages, PLAN_STAGE_HISTORY,
			   "INSERT INTO %1$s.stage_history (object, contact, company,"
			   " from_stage, to_stage, at, event, event_at, event_key, cause,"
			   " rule, reason, role) SELECT * FROM %2$s");
	write_rows(model, statuses, PLAN_STATUS_HISTORY,
			   "INSERT INTO %1$s.lead_status_history (object, contact, company,"
			   " from_status, to_status, at, event, event_at, event_key, cause,"
			   " rule, reason, role) SELECT * FROM %2$s");
	write_deltas(run, deltas);
}

/*
 * An amount that is no number is missing in the history: say so, as nobody
 * would look for it there.
 */
static void
amount_problem(Run *run, const DealChange *change)
{
	ErrorData	error = {0};

	error.sqlerrcode = ERRCODE_INVALID_TEXT_REPRESENTATION;
	error.message = psprintf("amount of deal \"%s\" is not a number",
							 key_to_text(&run->model->deal_key, change->deal));
	error.detail = "The deal counts without an amount.";
	run_problem(run, NULL, NULL, change->contact_null ? NULL :
				key_to_text(&run->model->contact_key, change->contact),
				NULL, &error);
}

/*
 * record_deal_changes: history of deals.
 */
void
record_deal_changes(Run *run, List *changes)
{
	Model	   *model = run->model;
	Oid		   *types;
	Bulk	   *rows;
	ListCell   *cell;

	if (changes == NIL)
		return;
	types = palloc(15 * sizeof(Oid));
	for (int i = 0; i < 15; i++)
		types[i] = TEXTOID;
	types[0] = model->deal_key.type;
	types[1] = model->contact_key.type;
	types[2] = model->company_key.type;
	types[7] = types[9] = TIMESTAMPTZOID;
	rows = bulk_create(15, types);
	foreach(cell, changes)
	{
		DealChange *change = lfirst(cell);
		Reason		reason = change->reason.cause != NULL ? change->reason :
			run->reason;
		Datum		values[15];
		bool		nulls[15] = {false};

		if (change->joined)
			continue;
		values[0] = change->deal;
		values[1] = change->contact;
		nulls[1] = change->contact_null;
		values[2] = change->company;
		nulls[2] = change->company_null;
		values[3] = TEXT_OR_NULL(change->pipeline);
		nulls[3] = change->pipeline == NULL;
		values[4] = TEXT_OR_NULL(change->from_stage);
		nulls[4] = change->from_stage == NULL;
		values[5] = TEXT_OR_NULL(change->to_stage);
		nulls[5] = change->to_stage == NULL;
		values[6] = TEXT_OR_NULL(change->amount);
		nulls[6] = change->amount == NULL;
		values[7] =
			TimestampTzGetDatum(change->contact_null ? run->clock :
								step_instant(run, CONTACTS, change->contact));
		nulls[8] = nulls[9] = nulls[10] = true;
		if (reason.event != NULL)
		{
			values[8] = CStringGetTextDatum(reason.event->entry->name);
			values[9] = TimestampTzGetDatum(reason.event->time);
			nulls[8] = nulls[9] = false;
			nulls[10] = reason.event->key_null;
			if (!nulls[10])
				values[10] = CStringGetTextDatum(key_to_text(&run->model->event_key,
																reason.event->key));
		}
		values[11] = CStringGetTextDatum(reason.cause);
		values[12] = TEXT_OR_NULL(reason.rule);
		nulls[12] = reason.rule == NULL;
		values[13] = TEXT_OR_NULL(reason.text);
		nulls[13] = reason.text == NULL;
		values[14] = CStringGetTextDatum(run_role(run));
		bulk_add(rows, values, nulls);
		if (change->from_stage == NULL)
			run->tally->deals++;
		if (change->amount_unreadable && change->to_stage != NULL)
			amount_problem(run, change);
	}
	write_rows(model, rows, PLAN_DEAL_HISTORY,
			   "INSERT INTO %1$s.deal_history (deal, contact, company, pipeline,"
			   " from_stage, to_stage, amount, at, event, event_at, event_key,"
			   " cause, rule, reason, role)"
			   " SELECT v1, v2, v3, v4, v5, v6, v7::pg_catalog.numeric, v8, v9,"
			   " v10, v11, v12, v13, v14, v15 FROM %2$s"
			   " AS v (v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13,"
			   " v14, v15)");
}

/*
 * record_outbox: messages for consumers: aggregatetype, aggregateid, type,
 * payload.
 */
void
record_outbox(Run *run, Bulk *rows)
{
	write_rows(run->model, rows, PLAN_OUTBOX,
			   "INSERT INTO %1$s.outbox (aggregatetype, aggregateid, type,"
			   " payload) SELECT a, i, t, p::pg_catalog.jsonb"
			   " FROM %2$s AS v (a, i, t, p)");
}

/*
 * record_forget_contacts: contacts were deleted; their state goes, and their
 * anonymous ids are nobody's; their history stays and says that they left,
 * unless it is to go too.
 */
void
record_forget_contacts(Run *run, Datum *contacts, int count)
{
	Model	   *model = run->model;
	Oid		   *type = &model->contact_key.array;
	Datum		keys;
	UserSpan	span;

	if (count == 0)
		return;
	keys = key_array(&model->contact_key, contacts, count);
	span_write(&span, model->owner);
	if (model->plan[PLAN_STATE_DELETE] == NULL)
		model->plan[PLAN_STATE_DELETE] =
			query_prepare(psprintf("DELETE FROM %s.contact_state"
								   " WHERE contact OPERATOR(pg_catalog.=) ANY ($1)",
								   model->schema), 1, type);
	query_execute(model->plan[PLAN_STATE_DELETE], &keys, NULL);
	member_forget(model, keys, run->clock,
				  run_is_merge(run) ? "merge" : "update");
	if (model->plan[PLAN_IDENTITY_FORGET] == NULL)
		model->plan[PLAN_IDENTITY_FORGET] =
			query_prepare(psprintf("DELETE FROM %s.identity"
								   " WHERE contact OPERATOR(pg_catalog.=) ANY ($1)",
								   model->schema), 1, type);
	query_execute(model->plan[PLAN_IDENTITY_FORGET], &keys, NULL);
	span_end(&span);
	record_forget_history(run->model, CONTACTS, keys);
}

/*
 * record_forget_history: contacts or companies of these keys were deleted,
 * or if it is 0 all were; their history goes too if the setting
 * history_of_deleted says so.
 */
void
record_forget_history(Model *model, TableKind kind, Datum keys)
{
	static const char *const tables[] = {"stage_history",
	"lead_status_history", "past_membership"};
	const char *object = kind == CONTACTS ? "contact" : "company";
	KeyType    *key = kind == CONTACTS ? &model->contact_key :
		&model->company_key;
	UserSpan	span;

	if (!model->deletes_history)
		return;
	span_write(&span, model->owner);
	for (int i = 0; i < (kind == CONTACTS ? 3 : 2); i++)
		query_once(psprintf("DELETE FROM %s.%s WHERE %s%s%s", model->schema,
							tables[i],
							i == 2 ? "true" :
							psprintf("object OPERATOR(pg_catalog.=) '%s'",
									 object),
							keys == 0 ? "" : psprintf(" AND %s", object),
							keys == 0 ? "" :
							" OPERATOR(pg_catalog.=) ANY ($1)"),
				   keys == 0 ? 0 : 1, &key->array, &keys, NULL);
	span_end(&span);
}
