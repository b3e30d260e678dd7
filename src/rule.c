/*-------------------------------------------------------------------------
 *
 * rule.c
 *	  Which rules fire in a round, and what they want.
 *
 * Rules are set off by events, by segments entered and left, by stages
 * entered and by deals.  All that fire for the contacts of a round are
 * sorted by position; conditions and values are evaluated at once, the
 * writes are left to action.c.  When several set the stage of a contact, the
 * furthest one on the path wins; of several lead statuses the last one.
 *
 * Conditions and values run as the owner of the contacts table, in a
 * subtransaction; an error is recorded and the rule does not fire.  While
 * rows that were there before are taken in (run->quiet), only stages and
 * lead statuses are moved: nobody wants a deal for last year's meeting.
 *
 * A deal's further contacts (deal_contact.c) are moved, and their fields set,
 * as its own contact is.  What is done about the deal itself (owner, task,
 * message, another deal) is done once, for its own contact.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "evaluate.h"
#include "prepare.h"
#include "rule.h"

typedef struct Firing
{
	Rule	   *rule;
	Work	   *work;
	EventRef   *event;
	DealChange *deal;
	bool		further;		/* for a further contact of the deal */
	int			order;
} Firing;

typedef struct FiringList
{
	int			count;
	int			allocated;
	Firing	   *firings;
} FiringList;

/* Argument of the subtransaction that evaluates a rule. */
typedef struct FireArg
{
	Run		   *run;
	Firing	   *firing;
	bool		fires;
	char	  **texts;
	ErrorData  *owner_error;	/* the owner's expression failed */
} FireArg;

/* Argument of the subtransaction that evaluates the expression of an owner. */
typedef struct OwnerArg
{
	FireArg    *task;
	Expression *expression;
	char	   *text;
} OwnerArg;

/* What one change of a deal may set off. */
#define DEAL_EVENTS 3

static bool
enters_stage(const StageChange *change)
{
	return change->object == CONTACTS && change->to_stage != NULL &&
		!change->deleted &&
		(change->from_stage == NULL ||
		 strcmp(change->from_stage, change->to_stage) != 0);
}

static bool
enters_deal_stage(const DealChange *change)
{
	return change->from_stage == NULL ||
		strcmp(change->from_stage, change->to_stage) != 0 ||
		(change->from_pipeline != NULL && change->pipeline != NULL &&
		 strcmp(change->from_pipeline, change->pipeline) != 0);
}

/*
 * What a deal's change sets off: at most DEAL_EVENTS kinds of rules.
 */
static int
deal_events(const DealChange *change, RuleEvent *events)
{
	int			count = 0;

	if (change->to_stage == NULL)
		return 0;
	if (change->from_stage == NULL)
		events[count++] = ON_DEAL_CREATED;
	if (change->to_kind != DEAL_OPEN &&
		(change->from_stage == NULL || change->from_kind != change->to_kind))
		events[count++] = change->to_kind == DEAL_WON ? ON_DEAL_WON :
			ON_DEAL_LOST;
	if (enters_deal_stage(change))
		events[count++] = ON_DEAL_STAGE_ENTERED;
	return count;
}

static List *
deal_rules(Run *run, const DealChange *change, RuleEvent event)
{
	const char *of = change->pipeline != NULL ? change->pipeline : "";

	if (event == ON_DEAL_STAGE_ENTERED)
		of = psprintf("%s: %s", of, change->to_stage);
	return network_rules(run->model, event, of);
}

/*
 * rule_gather: add to the round the contacts that rules will look at.
 */
void
rule_gather(Run *run, List *stage_changes, List *deal_changes)
{
	Datum	   *contacts;
	int			count = 0;
	int			allocated = list_length(stage_changes) + 1;
	ListCell   *cell;

	foreach(cell, deal_changes)
		allocated += 1 + ((DealChange *) lfirst(cell))->nothers;
	contacts = palloc(allocated * sizeof(Datum));
	foreach(cell, stage_changes)
	{
		StageChange *change = lfirst(cell);

		if (enters_stage(change) &&
			network_rules(run->model, ON_STAGE_ENTERED,
						  change->to_stage) != NIL)
			contacts[count++] = change->key;
	}
	foreach(cell, deal_changes)
	{
		DealChange *change = lfirst(cell);
		RuleEvent	events[DEAL_EVENTS];
		int			nevents = deal_events(change, events);

		for (int i = 0; i < nevents; i++)
		{
			if (deal_rules(run, change, events[i]) == NIL)
				continue;
			if (!change->contact_null)
				contacts[count++] = change->contact;
			for (int j = 0; j < change->nothers; j++)
				contacts[count++] = change->others[j];
			break;
		}
	}
	prepare_add_contacts(run, contacts, count);
}

/*
 * Is the action about a contact, so that each contact of a deal wants it?
 */
static bool
is_about_contact(ActionKind action)
{
	switch (action)
	{
		case ACTION_ADVANCE_STAGE:
		case ACTION_SET_STAGE:
		case ACTION_SET_LEAD_STATUS:
		case ACTION_SET_FIELD:
		case ACTION_COPY_TO_COMPANY:
			return true;
		case ACTION_CREATE_DEAL:
		case ACTION_ASSIGN_OWNER:
		case ACTION_CREATE_TASK:
		case ACTION_NOTIFY:
			break;
	}
	return false;
}

static void
add_firings(FiringList *list, List *rules, Work *work, EventRef *event,
			DealChange *deal, bool further)
{
	ListCell   *cell;

	foreach(cell, rules)
	{
		Firing	   *firing;

		if (further &&
			!is_about_contact(((Rule *) lfirst(cell))->action))
			continue;
		if (list->count == list->allocated)
		{
			list->allocated = Max(16, list->allocated * 2);
			list->firings = list->firings == NULL ?
				palloc(list->allocated * sizeof(Firing)) :
				repalloc_huge(list->firings,
							  mul_size(list->allocated, sizeof(Firing)));
		}
		firing = &list->firings[list->count];
		firing->rule = lfirst(cell);
		firing->work = work;
		firing->event = event;
		firing->deal = deal;
		firing->further = further;
		firing->order = list->count++;
	}
}

/*
 * rule_has_hit: has a contact an event that rules wait for?
 */
bool
rule_has_hit(const Work *work)
{
	ListCell   *cell;

	foreach(cell, work->hits)
		if (((Hit *) lfirst(cell))->rules)
			return true;
	return false;
}

/*
 * rule_may_fire: the same of a contact that has been decided about, or did it
 * enter or leave what rules wait for?
 */
bool
rule_may_fire(Run *run, const Work *work)
{
	ListCell   *cell;

	if (rule_has_hit(work))
		return true;
	foreach(cell, work->changes)
	{
		MemberChange *change = lfirst(cell);

		if (network_segment_rules(run->model, change->segment,
								  change->entered) != NIL)
			return true;
	}
	return false;
}

static void
gather_work_firings(Run *run, FiringList *list, Work *work)
{
	ListCell   *cell;

	if (!work->found)
		return;
	foreach(cell, work->hits)
	{
		Hit		   *hit = lfirst(cell);

		if (hit->rules)
			add_firings(list, hit->event->entry->rules, work, hit->event, NULL,
						false);
	}
	foreach(cell, work->changes)
	{
		MemberChange *change = lfirst(cell);
		EventRef   *event = NULL;
		ListCell   *hit_cell;

		foreach(hit_cell, work->hits)
			if (((Hit *) lfirst(hit_cell))->event != NULL)
				event = ((Hit *) lfirst(hit_cell))->event;
		add_firings(list,
					network_segment_rules(run->model, change->segment,
										  change->entered),
					work, event, NULL, false);
	}
}

/*
 * The work of a deal's contact; or of a deal that has none, so that rules
 * can move its company.
 */
static Work *
deal_work(Run *run, DealChange *change)
{
	Work	   *work;

	if (!change->contact_null)
	{
		work = run_find_work(run, change->contact);
		if (work != NULL && work->found)
			return work;
	}
	work = palloc0(sizeof(Work));
	work->no_contact = true;
	work->found = true;
	work->state = state_new(network_max_atom(run->model));
	work->company_null = change->company_null;
	work->company = change->company;
	return work;
}

/*
 * What a deal sets off for its contacts.
 */
static void
add_deal_firings(Run *run, FiringList *list, List *rules, DealChange *change)
{
	EventRef   *event = change->reason.event;
	Work	   *work;

	if (!change->joined)
		add_firings(list, rules, deal_work(run, change), event, change, false);
	else
	{
		work = run_find_work(run, change->contact);
		if (work != NULL && work->found)
			add_firings(list, rules, work, event, change, true);
	}
	for (int i = 0; i < change->nothers; i++)
	{
		work = run_find_work(run, change->others[i]);
		if (work != NULL && work->found)
			add_firings(list, rules, work, event, change, true);
	}
}

static void
gather_firings(Run *run, FiringList *list, List *stage_changes,
			   List *deal_changes)
{
	ListCell   *cell;

	for (int i = 0; i < run->nworks; i++)
		gather_work_firings(run, list, run->works[i]);
	foreach(cell, stage_changes)
	{
		StageChange *change = lfirst(cell);
		Work	   *work;

		if (!enters_stage(change))
			continue;
		work = run_find_work(run, change->key);
		if (work != NULL && work->found)
			add_firings(list, network_rules(run->model, ON_STAGE_ENTERED,
											change->to_stage),
						work, change->stage_reason.event, NULL, false);
	}
	foreach(cell, deal_changes)
	{
		DealChange *change = lfirst(cell);
		RuleEvent	events[DEAL_EVENTS];
		int			nevents = deal_events(change, events);

		for (int i = 0; i < nevents; i++)
		{
			List	   *rules = deal_rules(run, change, events[i]);

			if (rules != NIL)
				add_deal_firings(run, list, rules, change);
		}
	}
}

static int
compare_firings(const void *a, const void *b)
{
	const Firing *first = a;
	const Firing *second = b;

	if (first->rule->position != second->rule->position)
		return first->rule->position < second->rule->position ? -1 : 1;
	if (first->rule->id != second->rule->id)
		return first->rule->id < second->rule->id ? -1 : 1;
	if (first->event != NULL && second->event != NULL &&
		first->event->time != second->event->time)
		return first->event->time < second->event->time ? -1 : 1;
	return first->order - second->order;
}

static char *
value_text(Datum value, Oid type)
{
	Oid			function;
	bool		varlena;

	getTypeOutputInfo(type, &function, &varlena);
	return OidOutputFunctionCall(function, value);
}

/*
 * A deal or task whose owner's expression fails is made without: it is worth
 * more than its owner.
 */
static void
evaluate_owner(void *arg)
{
	OwnerArg   *owner = arg;
	FireArg    *task = owner->task;
	bool		isnull;
	Datum		value = evaluate_expression(task->run, task->firing->work,
											owner->expression, &isnull);

	if (!isnull)
		owner->text = value_text(value, owner->expression->predicate->type);
}

/*
 * Does the rule fire, and with which values?
 */
static void
evaluate_rule(void *arg)
{
	FireArg    *task = arg;
	Run		   *run = task->run;
	Rule	   *rule = task->firing->rule;
	Work	   *work = task->firing->work;
	ActionArgs *args;
	ListCell   *cell;
	bool		isnull;

	task->fires = false;
	if (!rule->compiled)
	{
		if (rule->condition_text != NULL && rule->condition == NULL)
			rule->condition = network_compile(run->model,
											  rule->condition_text, true,
											  rule->on == ON_EVENT,
											  rule->on >= ON_DEAL_CREATED);
		rule->compiled_args = action_compile(run->model, rule);
		rule->compiled = true;
	}
	args = rule->compiled_args;
	if (rule->condition != NULL)
	{
		Datum		value = evaluate_expression(run, work, rule->condition,
												&isnull);

		if (isnull || !DatumGetBool(value))
			return;
	}
	task->fires = true;
	task->owner_error = NULL;
	task->texts = palloc0((list_length(args->expressions) + 1) *
						  sizeof(char *));
	foreach(cell, args->expressions)
	{
		NamedExpression *named = lfirst(cell);
		Expression *expression = named->expression;
		Datum		value;

		if (strcmp(named->name, "owner") == 0 &&
			rule->action != ACTION_NOTIFY)
		{
			OwnerArg	owner = {task, expression, NULL};

			(void) run_try(evaluate_owner, &owner, &task->owner_error);
			task->texts[foreach_current_index(cell)] = owner.text;
			continue;
		}
		value = evaluate_expression(run, work, expression, &isnull);
		if (!isnull)
			task->texts[foreach_current_index(cell)] =
				value_text(value, expression->predicate->type);
	}
}

static void
set_inner_row(Run *run, Firing *firing)
{
	Model	   *model = run->model;

	if (firing->rule->on == ON_EVENT)
		evaluate_inner_row(run, model->table[EVENTS].relid,
						   firing->event != NULL ? firing->event->row : NULL);
	else if (firing->deal != NULL)
		evaluate_inner_row(run, model->table[DEALS].relid, firing->deal->row);
}

static Reason
firing_reason(Run *run, const Firing *firing)
{
	Reason		reason = {0};

	reason.cause = "rule";
	if (firing->deal != NULL)
		reason.cause = "deal";
	else if (firing->work->change != NULL && firing->event == NULL)
	{
		if (firing->work->change->kind == CONTACT_DUE)
			reason.cause = "tick";
		else if (firing->work->change->kind == CONTACT_REBUILT)
			reason.cause = "rebuild";
	}
	reason.rule = firing->rule->name;
	reason.event = firing->event;
	reason.text = NULL;
	return reason;
}

/*
 * rule_is_further: the furthest one on the path wins; leaving the path comes
 * last.
 */
bool
rule_is_further(const Stage *stage, const Stage *than)
{
	if (than == NULL)
		return true;
	if (stage->on_path != than->on_path)
		return stage->on_path;
	return stage->position > than->position;
}

/*
 * What the rule says of why it moves somebody, for the history of this round
 * or the next; NULL if it says nothing.
 */
static char *
reason_text(Run *run, const ActionArgs *args, char **texts)
{
	ListCell   *cell;

	foreach(cell, args->expressions)
	{
		int			i = foreach_current_index(cell);

		if (strcmp(((NamedExpression *) lfirst(cell))->name, "reason") == 0 &&
			texts[i] != NULL)
			return MemoryContextStrdup(run->context, texts[i]);
	}
	return NULL;
}

static void
want(Run *run, Firing *firing, ActionArgs *args, char **texts)
{
	Work	   *work = firing->work;
	Rule	   *rule = firing->rule;
	Reason		reason = firing_reason(run, firing);
	Action	   *action;

	reason.text = reason_text(run, args, texts);

	switch (rule->action)
	{
		case ACTION_ADVANCE_STAGE:
		case ACTION_SET_STAGE:
			if (rule->action == ACTION_SET_STAGE &&
				!step_may_set(run, work, false))
				return;
			if (rule_is_further(args->stage, work->stage))
			{
				work->stage = args->stage;
				work->stage_forced = rule->action == ACTION_SET_STAGE;
				work->stage_reason = reason;
			}
			if (firing->deal != NULL && !firing->further &&
				!firing->deal->company_null && !run->model->company_exact)
				company_want(run, firing->deal->company, args->stage,
									reason);
			return;
		case ACTION_SET_LEAD_STATUS:
			if (!step_may_set(run, work, true))
				return;
			work->status = args->status;
			work->status_reason = reason;
			return;
		case ACTION_CREATE_DEAL:
		case ACTION_SET_FIELD:
		case ACTION_COPY_TO_COMPANY:
			if (work->no_contact)
				return;
			break;
		case ACTION_ASSIGN_OWNER:
			if (firing->deal == NULL || firing->deal->owner != NULL)
				return;
			break;
		case ACTION_CREATE_TASK:
		case ACTION_NOTIFY:
			break;
	}
	if (run->quiet)
		return;
	action = palloc0(sizeof(Action));
	action->rule = rule;
	action->work = work;
	action->event = firing->event;
	action->deal = firing->deal;
	action->texts = texts;
	action->cause = reason.cause;
	run->actions = lappend(run->actions, action);
}

static void
fire(Run *run, Firing *firing)
{
	FireArg		task = {.run = run,.firing = firing};
	Rule	   *rule = firing->rule;
	Work	   *work = firing->work;
	ErrorData  *error = NULL;
	ActionArgs *args;
	UserSpan	span;
	MemoryContext old;

	evaluate_rows(run, work);
	set_inner_row(run, firing);
	span_read(&span, run->model->table[CONTACTS].owner);
	args = rule->compiled_args;
	if (rule->compiled && rule->condition == NULL &&
		args->expressions == NIL)
		task.fires = true;
	else
		(void) run_try(evaluate_rule, &task, &error);
	span_end(&span);
	evaluate_inner_row(run, InvalidOid, NULL);

	if (error == NULL)
		error = task.owner_error;
	else
		task.fires = false;
	if (error != NULL)
		run_problem(run, NULL, rule->name, work->no_contact ? NULL :
					key_to_text(&run->model->contact_key, work->contact),
					firing->event != NULL ? firing->event->entry->name : NULL,
					error);
	if (task.fires)
	{
		old = MemoryContextSwitchTo(run->context);
		run->fired = list_append_unique_ptr(run->fired, rule->name);
		MemoryContextSwitchTo(old);
		want(run, firing, rule->compiled_args, task.texts);
	}
}

/*
 * rule_fire_all: let the rules fire that this round sets off.
 */
void
rule_fire_all(Run *run, List *stage_changes, List *deal_changes)
{
	FiringList	list = {0};

	/* A loop is named by the rules that fired in its later half. */
	if (run->round < run->model->max_cascade / 2)
		run->fired = NIL;
	gather_firings(run, &list, stage_changes, deal_changes);
	if (list.count == 0)
		return;
	prepare_read_companies(run);
	pg_qsort(list.firings, list.count, sizeof(Firing), compare_firings);
	for (int i = 0; i < list.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		fire(run, &list.firings[i]);
	}
}
