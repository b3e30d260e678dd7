/*-------------------------------------------------------------------------
 *
 * company.c
 *	  Companies follow their contacts and deals.
 *
 * A company's stage is the furthest that one of its contacts has reached
 * (setting company_stage), and moves with its deals.  Wishes are collected
 * during a round, the furthest per company, and written at its end.  A company
 * is locked, in key order, after the contacts: only if it really moves, or
 * with company_stage at "exact" whenever something about its contacts changes,
 * and with contact_stage at "company" when a contact comes to it.
 *
 * In the other direction, contacts go forward to their company's stage
 * (setting contact_stage).  Forward is all that this can mean: a contact may
 * be ahead of its company, which may follow another contact.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"

#include "prepare.h"
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
	move->exact = false;
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
 * Does the move change a company that is in this stage?  From a stage off
 * the path nobody is moved.
 */
static bool
moves_company(const CompanyMove *move, const Stage *now)
{
	if (move->exact)
		return now == NULL || (now->on_path && now != move->stage);
	return stage_is_forward(now, move->stage);
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
				!moves_company(move, stage != NULL ?
							   stage_find(&model->stages, stage) : NULL))
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
 * The companies that contacts came to, left or moved in.
 */
static Datum *
touched_companies(Run *run, List *stage_changes, int *count)
{
	Datum	   *companies = palloc((2 * list_length(stage_changes) + 1) *
								   sizeof(Datum));
	ListCell   *cell;

	*count = 0;
	foreach(cell, stage_changes)
	{
		StageChange *change = lfirst(cell);

		if (change->object != CONTACTS)
			continue;
		if (!change->company_null &&
			(change->comes || change->from_stage == NULL ||
			 change->to_stage == NULL ||
			 strcmp(change->from_stage, change->to_stage) != 0))
			companies[(*count)++] = change->company;
		if (change->left)
			companies[(*count)++] = change->from_company;
	}
	return companies;
}

/*
 * Which stages do the contacts of these companies have?  The rows are key and
 * stage, in SPI_tuptable.
 */
static uint64
read_contact_stages(Run *run, Datum *companies, int count)
{
	Model	   *model = run->model;
	AppTable   *contacts = &model->table[CONTACTS];
	const char *link = contacts->column[ROLE_COMPANY].quoted;
	const char *stage = contacts->column[ROLE_STAGE].quoted;
	Datum		keys = key_array(&model->company_key, companies, count);
	UserSpan	span;
	uint64		rows;

	span_write(&span, contacts->owner);
	if (model->plan[PLAN_COMPANY_STAGES] == NULL)
		model->plan[PLAN_COMPANY_STAGES] =
			query_prepare(psprintf("SELECT DISTINCT (c.%1$s)::%2$s,"
								   " c.%3$s::pg_catalog.text FROM %4$s AS c"
								   " WHERE c.%1$s OPERATOR(pg_catalog.=) ANY ($1)"
								   " AND c.%3$s IS NOT NULL", link,
								   model->company_key.name, stage,
								   contacts->name),
						  1, &model->company_key.array);
	rows = query_execute(model->plan[PLAN_COMPANY_STAGES], &keys, NULL);
	span_end(&span);
	return rows;
}

/*
 * Setting company_stage at "exact": the companies that are touched are at the
 * furthest stage of their contacts, whichever way that is.
 *
 * Whoever changes something about a company's contacts locks the company
 * first, and then looks at all of its contacts: of two at once the second one
 * waits, and sees what the first one did.  Without the lock, one who moves
 * the furthest contact back and one who moves another one would both go by
 * what the other one is about to change.
 */
static void
roll_up_exactly(Run *run, List *stage_changes)
{
	Model	   *model = run->model;
	int			count;
	Datum	   *companies = touched_companies(run, stage_changes, &count);
	uint64		rows;
	SPITupleTable *result;

	if (count == 0 || !OidIsValid(model->table[COMPANIES].relid))
		return;
	(void) company_read(run, companies, count, true);
	SPI_freetuptable(SPI_tuptable);
	rows = read_contact_stages(run, companies, count);
	result = SPI_tuptable;
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		Datum		company = query_value(i, 1, &isnull);
		const Stage *stage = stage_find(&model->stages, query_text(i, 2));
		Reason		reason = {.cause = "sync"};
		CompanyMove *move;

		if (stage == NULL || !stage->on_path)
			continue;
		company_want(run, company, stage, reason);
		move = company_find_move(run, company);
		if (move != NULL)
			move->exact = true;
	}
	SPI_freetuptable(result);
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
	if (run->model->company_exact)
	{
		roll_up_exactly(run, stage_changes);
		return;
	}
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

/*
 * The contacts of these companies; their number in *count.
 */
static Datum *
contacts_of(Run *run, Datum *companies, int ncompanies, int *count)
{
	Model	   *model = run->model;
	AppTable   *contacts = &model->table[CONTACTS];
	Datum		array = key_array(&model->company_key, companies, ncompanies);
	UserSpan	span;
	uint64		rows;
	Datum	   *keys;

	span_write(&span, contacts->owner);
	rows = query_once(psprintf("SELECT c.%s FROM %s AS c"
							   " WHERE c.%s OPERATOR(pg_catalog.=) ANY ($1)",
							   contacts->column[ROLE_KEY].quoted,
							   contacts->name,
							   contacts->column[ROLE_COMPANY].quoted),
					  1, &model->company_key.array, &array, NULL);
	span_end(&span);
	keys = palloc((rows + 1) * sizeof(Datum));
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;

		keys[i] = key_copy(&model->contact_key, query_value(i, 1, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	*count = (int) rows;
	return keys;
}

/*
 * company_gather: setting contact_stage at "company": add to the round the
 * contacts whose company moved, and those who came to one.
 */
void
company_gather(Run *run, List *stage_changes)
{
	Model	   *model = run->model;
	Datum	   *companies;
	Datum	   *comers;
	Datum	   *members = NULL;
	int			ncompanies = 0;
	int			ncomers = 0;
	int			nmembers = 0;
	ListCell   *cell;

	if (!model->contacts_follow || stage_changes == NIL ||
		model->table[CONTACTS].column[ROLE_COMPANY].attno == 0)
		return;
	companies = palloc(list_length(stage_changes) * sizeof(Datum));
	comers = palloc(list_length(stage_changes) * sizeof(Datum));
	foreach(cell, stage_changes)
	{
		StageChange *change = lfirst(cell);

		if (change->object == COMPANIES && !change->deleted &&
			change->to_stage != NULL)
			companies[ncompanies++] = change->key;
		else if (change->object == CONTACTS && change->comes)
			comers[ncomers++] = change->key;
	}
	if (ncompanies > 0)
		members = contacts_of(run, companies, ncompanies, &nmembers);
	prepare_add_contacts(run, comers, ncomers);
	prepare_add_contacts(run, members, nmembers);
	for (int i = 0; i < ncomers; i++)
		run_find_work(run, comers[i])->follows = true;
	for (int i = 0; i < nmembers; i++)
		run_find_work(run, members[i])->follows = true;
}

/*
 * Want a contact to go forward to its company's stage.
 */
static void
follow(Run *run, Work *work)
{
	Model	   *model = run->model;
	char	   *name = work->company_row == NULL ? NULL :
		action_row_text(model, COMPANIES, work->company_row,
						model->table[COMPANIES].column[ROLE_STAGE].attno);
	const Stage *stage = name == NULL ? NULL :
		stage_find(&model->stages, name);
	char	   *now = contact_stage(run, work, ROLE_STAGE);

	if (stage == NULL || !stage->on_path ||
		!stage_is_forward(now != NULL ? stage_find(&model->stages, now) : NULL,
						  stage) ||
		!rule_is_further(stage, work->stage))
		return;
	work->stage = stage;
	work->stage_forced = false;
	memset(&work->stage_reason, 0, sizeof(Reason));
	work->stage_reason.cause = "sync";
}

/*
 * company_lead: the contacts that company_gather added, whose rows are
 * locked by now, want the stage of their company.
 *
 * The companies that contacts came to are locked before they are read:
 * whoever moves one at the same time either waits for that, and then finds
 * the contact, or is waited for, and then its move is seen here.
 */
void
company_lead(Run *run, List *stage_changes)
{
	int			count = 0;
	Datum	   *companies;
	ListCell   *cell;

	if (!run->model->contacts_follow || stage_changes == NIL)
		return;
	companies = palloc(list_length(stage_changes) * sizeof(Datum));
	foreach(cell, stage_changes)
	{
		StageChange *change = lfirst(cell);

		if (change->object == CONTACTS && change->comes)
			companies[count++] = change->company;
	}
	if (count > 0)
	{
		(void) company_read(run, companies, count, true);
		SPI_freetuptable(SPI_tuptable);
		run->companies_read = false;	/* they may have moved */
	}
	prepare_read_companies(run);
	for (int i = 0; i < run->nworks; i++)
		if (run->works[i]->found && run->works[i]->follows)
			follow(run, run->works[i]);
}
