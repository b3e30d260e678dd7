/*-------------------------------------------------------------------------
 *
 * company.c
 *	  Companies follow their contacts and deals.
 *
 * A company's stage is the furthest that one of its contacts has reached
 * (setting company_stage), and moves with its deals.  Wishes are collected
 * during a round, the furthest per company, and written at its end.  A company
 * is locked only if it really moves, in key order, after the contacts.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"

#include "rule.h"

/* The moves whose companies' keys have the same hash. */
typedef struct IndexEntry
{
	uint32		hash;			/* hash key */
	List	   *moves;
} IndexEntry;

static IndexEntry *
index_entry(Run *run, Datum company, HASHACTION action)
{
	uint32		hash = key_hash(&run->model->company_key, company);
	bool		found;
	IndexEntry *entry;

	if (run->company_index == NULL)
	{
		HASHCTL		ctl;

		if (action == HASH_FIND)
			return NULL;
		ctl.keysize = sizeof(uint32);
		ctl.entrysize = sizeof(IndexEntry);
		ctl.hcxt = run->context;
		run->company_index = hash_create("lifecycle companies", 64, &ctl,
										 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(run->company_index, &hash, action, &found);
	if (action == HASH_ENTER && !found)
		entry->moves = NIL;
	return entry;
}

/*
 * company_want: a company is to move forward to this stage.  The key
 * must live as long as the run.
 */
void
company_want(Run *run, Datum company, const Stage *stage,
					Reason reason)
{
	CompanyMove *move;
	IndexEntry *entry;
	MemoryContext old;

	if (!stage->on_path || !OidIsValid(run->model->table[COMPANIES].relid))
		return;
	move = company_find_move(run, company);
	if (move != NULL)
	{
		if (stage->position > move->stage->position)
		{
			move->stage = stage;
			move->reason = reason;
		}
		return;
	}
	old = MemoryContextSwitchTo(run->context);
	move = palloc(sizeof(CompanyMove));
	move->company = run_copy_key(run, &run->model->company_key, company);
	move->stage = stage;
	move->reason = reason;
	run->company_moves = lappend(run->company_moves, move);
	entry = index_entry(run, company, HASH_ENTER);
	entry->moves = lappend(entry->moves, move);
	MemoryContextSwitchTo(old);
}

/*
 * company_find_move: the move that is wanted for a company, or NULL.
 */
CompanyMove *
company_find_move(Run *run, Datum company)
{
	IndexEntry *entry = index_entry(run, company, HASH_FIND);
	ListCell   *cell;

	if (entry == NULL)
		return NULL;
	foreach(cell, entry->moves)
	{
		CompanyMove *move = lfirst(cell);

		if (key_compare(&run->model->company_key, move->company, company) == 0)
			return move;
	}
	return NULL;
}

/*
 * Read key, stage and status of these companies; with `lock` in key order
 * for update.  The result is in SPI_tuptable.
 */
uint64
company_read(Run *run, Datum *keys, int count, bool lock)
{
	Model	   *model = run->model;
	AppTable   *table = &model->table[COMPANIES];
	PlanId		id = lock ? PLAN_LOCK_COMPANIES : PLAN_READ_COMPANIES;
	const char *key = table->column[ROLE_KEY].quoted;
	Datum		array = key_array(&model->company_key, keys, count);
	UserSpan	span;
	uint64		rows;

	span_write(&span, table->owner);
	if (model->plan[id] == NULL)
		model->plan[id] =
			query_prepare(psprintf("SELECT t.%s, t.%s::pg_catalog.text,"
								   " t.%s::pg_catalog.text FROM %s AS t"
								   " WHERE t.%s OPERATOR(pg_catalog.=) ANY ($1)"
								   " ORDER BY t.%s%s", key,
								   table->column[ROLE_STAGE].quoted,
								   table->column[ROLE_LEAD_STATUS].quoted,
								   table->name, key, key,
								   lock ? " FOR NO KEY UPDATE" : ""),
						  1, &model->company_key.array);
	rows = query_execute(model->plan[id], &array, NULL);
	span_end(&span);
	return rows;
}

/*
 * Move companies forward.  Most are where they should be, so they are looked
 * at without a lock first: if another transaction moves one backward at the
 * same time, ours came before it.
 */
void
company_move_all(Run *run)
{
	Model	   *model = run->model;
	Oid			types[3] = {model->company_key.type, TEXTOID, TEXTOID};
	Write		write = {.run = run};
	int			count = 0;
	Datum	   *keys;
	ListCell   *cell;

	if (run->company_moves == NIL)
		return;
	keys = palloc(list_length(run->company_moves) * sizeof(Datum));
	foreach(cell, run->company_moves)
		keys[count++] = ((CompanyMove *) lfirst(cell))->company;
	write.rows = bulk_create(3, types);
	write.rules = palloc(count * sizeof(char *));
	for (int locked = 0; locked < 2 && count > 0; locked++)
	{
		uint64		rows = company_read(run, keys, count, locked);

		count = 0;
		for (uint64 i = 0; i < rows; i++)
		{
			bool		isnull;
			Datum		key = query_value(i, 1, &isnull);
			char	   *stage = query_text(i, 2);
			char	   *status = query_text(i, 3);
			CompanyMove *move = company_find_move(run, key);
			Datum		values[3];
			bool		nulls[3] = {false};

			if (move == NULL ||
				!stage_is_forward(stage != NULL ?
							stage_find(&model->stages, stage) : NULL,
							move->stage))
				continue;
			keys[count++] = move->company;
			if (!locked)
				continue;
			write.rules[write.rows->rows] = move->reason.rule;
			values[0] = move->company;
			values[1] = CStringGetTextDatum(move->stage->name);
			values[2] = TEXT_OR_NULL(status);
			nulls[2] = status == NULL;
			bulk_add(write.rows, values, nulls);
		}
	}
	if (write.rows->rows > 0)
	{
		write.owner = model->table[COMPANIES].owner;
		write.plan = stage_move_plan(model, COMPANIES, PLAN_MOVE_COMPANIES,
							   &model->company_key);
		action_write_all(&write, &model->company_key);
	}
	run->company_moves = NIL;
	hash_destroy(run->company_index);
	run->company_index = NULL;
}

/*
 * Companies follow the furthest of their contacts.
 */
void
company_roll_up(Run *run, List *stage_changes)
{
	ListCell   *cell;

	if (!run->model->company_furthest)
		return;
	foreach(cell, stage_changes)
	{
		StageChange *change = lfirst(cell);
		const Stage *stage;
		Reason		reason = {0};

		if (change->object != CONTACTS || change->deleted ||
			change->company_null || change->to_stage == NULL)
			continue;
		stage = stage_find(&run->model->stages, change->to_stage);
		if (stage == NULL)
			continue;
		reason = change->stage_reason;
		reason.cause = "sync";
		company_want(run, change->company, stage, reason);
	}
}
