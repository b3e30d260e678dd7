/*-------------------------------------------------------------------------
 *
 * owner.c
 *	  Who gets a deal or a task that a rule makes.
 *
 * A rule's expression names the owner.  One that the table owner lists as
 * not active counts as none; one that it does not list is taken as it is.
 * If there is none, the active owners take turns where the rule says so.
 *
 * Turns are numbers of a sequence, one for each rule: what all inserts would
 * have to wait for, a row that says whose turn it is, does not exist.  A
 * sequence is never rolled back, so a transaction that is rolled back uses
 * up turns; apart from that, and from changes in the list of owners, no two
 * owners differ by more than one.  There is one for each rule, since with a
 * common one two rules that fire together would each have every second turn,
 * and with two owners always the same one.
 *
 * The list of owners is read once for all rows of a round, on the newest
 * snapshot, without a lock: an owner who is switched off by a transaction
 * that has not committed may still get a task.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "rule.h"

typedef struct OwnerList
{
	int			count;
	char	  **names;
	bool	   *active;
	int			nactive;
	char	  **active_names;
} OwnerList;

/* Argument of the subtransaction that takes turns. */
typedef struct TurnArg
{
	Run		   *run;
	Rule	   *rule;
	int			count;
	int64	   *turns;
} TurnArg;

static bool
wants_owner(const Action *action)
{
	return action->rule->action == ACTION_CREATE_TASK ||
		action->rule->action == ACTION_CREATE_DEAL ||
		action->rule->action == ACTION_ASSIGN_OWNER;
}

static OwnerList *
read_owners(Model *model)
{
	OwnerList  *owners = palloc0(sizeof(OwnerList));
	UserSpan	span;
	uint64		rows;

	span_write(&span, model->owner);
	if (model->plan[PLAN_OWNERS] == NULL)
		model->plan[PLAN_OWNERS] =
			query_prepare(psprintf("SELECT name, active FROM %s.owner"
								   " ORDER BY position, name",
								   model->schema), 0, NULL);
	rows = query_execute(model->plan[PLAN_OWNERS], NULL, NULL);
	span_end(&span);
	owners->count = (int) rows;
	owners->names = palloc((rows + 1) * sizeof(char *));
	owners->active = palloc((rows + 1) * sizeof(bool));
	owners->active_names = palloc((rows + 1) * sizeof(char *));
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;

		owners->names[i] = query_text(i, 1);
		owners->active[i] = DatumGetBool(query_value(i, 2, &isnull));
		if (owners->active[i])
			owners->active_names[owners->nactive++] = owners->names[i];
	}
	SPI_freetuptable(SPI_tuptable);
	return owners;
}

static bool
is_inactive(const OwnerList *owners, const char *name)
{
	for (int i = 0; i < owners->count; i++)
		if (!owners->active[i] && strcmp(owners->names[i], name) == 0)
			return true;
	return false;
}

static void
take_turns(void *arg)
{
	TurnArg    *task = arg;
	Model	   *model = task->run->model;
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(task->count)};
	UserSpan	span;

	span_write(&span, model->owner);
	query_once(psprintf("SELECT pg_catalog.nextval(%s::pg_catalog.regclass)"
						" FROM pg_catalog.generate_series(1, $1)",
						quote_literal_cstr(psprintf("%s.turn_%d",
													model->schema,
													task->rule->id))),
			   1, types, values, NULL);
	span_end(&span);
	for (int i = 0; i < task->count; i++)
	{
		bool		isnull;

		task->turns[i] = DatumGetInt64(query_value(i, 1, &isnull));
	}
}

/*
 * The active owners take turns in these actions of one rule.
 */
static void
take_turns_for(Run *run, OwnerList *owners, Rule *rule, List *actions)
{
	TurnArg		task = {run, rule, list_length(actions), NULL};
	ErrorData  *error;
	ListCell   *cell;

	if (owners->nactive == 0)
		return;
	task.turns = palloc(task.count * sizeof(int64));
	if (!run_try(take_turns, &task, &error))
	{
		run_problem(run, NULL, rule->name, NULL, NULL, error);
		return;
	}
	foreach(cell, actions)
	{
		Action	   *action = lfirst(cell);
		int64		turn = task.turns[foreach_current_index(cell)] - 1;

		action->owner = owners->active_names[turn % owners->nactive];
	}
}

/*
 * The owner that the rule names; for a task of a deal, if it names nobody,
 * the deal's.
 */
static char *
named_owner(Run *run, const Action *action, OwnerList **owners)
{
	char	   *name = action_text(action, "owner");

	if (name == NULL && action->rule->action == ACTION_CREATE_TASK &&
		action->deal != NULL)
		name = action->deal->owner;
	if (name == NULL)
		return NULL;
	if (*owners == NULL)
		*owners = read_owners(run->model);
	return is_inactive(*owners, name) ? NULL : name;
}

/*
 * Find the owners of deals, or of tasks, in the order of the actions.
 */
static void
assign(Run *run, bool tasks, OwnerList **owners)
{
	List	   *rules = NIL;
	ListCell   *cell;

	foreach(cell, run->actions)
	{
		Action	   *action = lfirst(cell);
		ActionArgs *args = action->rule->compiled_args;

		if (!wants_owner(action) ||
			(action->rule->action == ACTION_CREATE_TASK) != tasks)
			continue;
		action->owner = named_owner(run, action, owners);
		if (action->owner == NULL && args->round_robin)
			rules = list_append_unique_ptr(rules, action->rule);
	}
	foreach(cell, rules)
	{
		List	   *actions = NIL;
		ListCell   *action_cell;

		foreach(action_cell, run->actions)
		{
			Action	   *action = lfirst(action_cell);

			if (action->rule == lfirst(cell) && action->owner == NULL)
				actions = lappend(actions, action);
		}
		if (*owners == NULL)
			*owners = read_owners(run->model);
		take_turns_for(run, *owners, lfirst(cell), actions);
	}
}

/*
 * owner_assign: find the owners of the deals and tasks of this round; in
 * action->owner.  Deals come first, so that their tasks go to the same.
 */
void
owner_assign(Run *run)
{
	OwnerList  *owners = NULL;
	ListCell   *cell;

	assign(run, false, &owners);
	foreach(cell, run->actions)
	{
		Action	   *action = lfirst(cell);

		if (action->rule->action != ACTION_ASSIGN_OWNER)
			continue;
		if (action->deal->owner == NULL)
			action->deal->owner = action->owner;
		else
			action->owner = NULL;	/* a rule before it was first */
	}
	assign(run, true, &owners);
}

/*
 * owner_write: write the owners of deals that have none.
 */
void
owner_write(Run *run)
{
	Model	   *model = run->model;
	AppTable   *table = &model->table[DEALS];
	Column	   *owner = &table->column[ROLE_OWNER];
	Oid			types[2] = {model->deal_key.type, TEXTOID};
	Write		write = {.run = run};
	ListCell   *cell;

	write.rows = bulk_create(2, types);
	write.rules = palloc((list_length(run->actions) + 1) * sizeof(char *));
	foreach(cell, run->actions)
	{
		Action	   *action = lfirst(cell);
		Datum		values[2];

		if (action->rule->action != ACTION_ASSIGN_OWNER ||
			action->owner == NULL)
			continue;
		write.rules[write.rows->rows] = action->rule->name;
		values[0] = action->deal->deal;
		values[1] = CStringGetTextDatum(action->owner);
		bulk_add(write.rows, values, NULL);
	}
	if (write.rows->rows == 0 || owner->attno == 0)
		return;
	if (model->plan[PLAN_DEAL_OWNER] == NULL)
	{
		Oid			arrays[2] = {model->deal_key.array, TEXTARRAYOID};

		model->plan[PLAN_DEAL_OWNER] =
			query_prepare(psprintf("UPDATE %1$s AS t SET %2$s = v.owner::%3$s"
								   " FROM %5$s AS v (key, owner)"
								   " WHERE t.%4$s OPERATOR(pg_catalog.=) v.key"
								   " AND t.%2$s IS NULL",
								   table->name, owner->quoted,
								   owner->type_name,
								   table->column[ROLE_KEY].quoted,
								   bulk_source(2)), 2, arrays);
	}
	write.owner = table->owner;
	write.plan = model->plan[PLAN_DEAL_OWNER];
	action_write_all(&write, &model->deal_key);
}
