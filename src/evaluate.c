/*-------------------------------------------------------------------------
 *
 * evaluate.c
 *	  Which segments a contact is in now.
 *
 * An expression's columns are read from three slots: the contact's row
 * (scan), its company's (outer) and, in rules, the event's or deal's
 * (inner).  Its atoms are external parameters whose values are fetched by a
 * hook when the executor first asks for them, so that a condition decided by
 * a column looks at no event.  The hook takes a value from the state if the
 * state knows it, else from those that were computed for the whole batch,
 * else computes it for this contact.
 *
 * A predicate that raises an error counts as not holding, and the error is
 * recorded.  All contacts of a round are evaluated in one subtransaction; if
 * it fails, the contact in work is done again with a subtransaction for each
 * of its segments, and the others go on as before.
 *
 * Expressions run as the owner of the contacts table, in a reading span (see
 * security.c).
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/relation.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "counter.h"
#include "evaluate.h"
#include "instant.h"
#include "score.h"
#include "total.h"

/* What the parameter hook has to know; lives on the stack of the evaluation. */
typedef struct Evaluation
{
	Run		   *run;
	Work	   *work;
	Expression *expression;
} Evaluation;

/* Argument of the subtransaction that evaluates. */
typedef struct EvaluateArg
{
	Run		   *run;
	int			next;			/* index of the work to go on with */
	Segment    *segment;
	Work	   *work;
	bool		result;
} EvaluateArg;

/*
 * Compute an atom for some contacts at their clocks.
 */
static void
scan_works(Run *run, Atom *atom, Work **works, int count, AtomValue *values)
{
	Datum	   *contacts = palloc(count * sizeof(Datum));
	TimestampTz *clocks = palloc(count * sizeof(TimestampTz));
	Snapshot	snapshot = NULL;

	for (int i = 0; i < count; i++)
	{
		contacts[i] = works[i]->contact;
		clocks[i] = work_clock(run, works[i]);
	}
	if (atom->spec->kind == ATOM_OPEN_DEALS)
	{
		snapshot = step_snapshot(run, DEALS);
		if (snapshot == NULL)
			snapshot = step_snapshot(run, DEAL_CONTACTS);
	}
	else if (atom->spec->kind != ATOM_TIME_IN_STAGE)
		snapshot = step_snapshot(run, EVENTS);
	atom_scan(run->model, atom, contacts, count, clocks, snapshot, values);
	pfree(contacts);
	pfree(clocks);
}

/*
 * evaluate_scan: compute an atom for some contacts, sorted by key, at the
 * run's clock, or their own.
 *
 * The clock is the transaction's start, and a transaction that began later
 * may have committed its events before we got the lock on the contact.  Dated
 * at its start, they are no events of the future: the clock is moved on to
 * this instant when one is met.
 */
void
evaluate_scan(Run *run, Atom *atom, Work **works, int count,
			  AtomValue *values)
{
	scan_works(run, atom, works, count, values);
	if (run->clock_given || run->model->clock_by_tick)
		return;
	for (int i = 0; i < count; i++)
	{
		if (values[i].arrives != NOT_DUE &&
			values[i].arrives <= GetCurrentTimestamp())
		{
			run->clock = GetCurrentTimestamp();
			scan_works(run, atom, works, count, values);
			return;
		}
	}
}

static AtomValue
from_state(const Atom *atom, const AtomState *entry)
{
	AtomValue	value = {.arrives = NOT_DUE};

	value.next = entry->due;
	if (atom->method == METHOD_TOTAL)
		total_from_state(atom, entry, &value);
	else
		value.value = Int64GetDatum(atom->method == METHOD_WINDOW ?
									(entry->count > 0 ? atom->spec->times : 0) :
									entry->count);
	return value;
}

/*
 * Is what the state says of this atom true at the contact's clock?
 */
static bool
state_knows(Run *run, Work *work, Atom *atom, AtomState *entry)
{
	if (!atom_is_kept(atom) || atom->id == 0)
		return false;
	if (entry == NULL)
		return atom->id <= work->state->known;
	if (entry->unknown)
		return false;
	return entry->due > work_clock(run, work) ||
		(!work->may_end_windows && !run->no_lock &&
		 atom->method == METHOD_WINDOW && entry->count > 0);
}

/*
 * evaluate_needs_scan: must the events be looked at for this atom's value?
 */
bool
evaluate_needs_scan(Run *run, Work *work, Atom *atom)
{
	ListCell   *cell;

	if (!atom_is_scanned(atom))
		return false;
	foreach(cell, work->values)
		if (((WorkValue *) lfirst(cell))->atom == atom)
			return false;
	return !state_knows(run, work, atom, state_atom(work->state, atom->id));
}

/*
 * evaluate_store: remember a computed value for this round, and in the state
 * what the state keeps of such an atom.
 */
void
evaluate_store(Run *run, Work *work, Atom *atom, AtomValue value)
{
	WorkValue  *known = palloc(sizeof(WorkValue));
	AtomState  *entry;
	AtomState	before;

	known->atom = atom;
	known->value = value;
	work->values = lappend(work->values, known);

	if (atom->id == 0)
		return;
	if (value.next == NOT_DUE && state_atom(work->state, atom->id) == NULL &&
		(atom->method == METHOD_SCAN || atom->method == METHOD_COLUMN ||
		 atom->method == METHOD_SCORE ||
		 (run->only_segments != NIL && atom->id > work->state->known)))
		return;					/* unknown will do until an event asks for it */
	entry = state_make_atom(work->state, atom->id);
	before = *entry;
	entry->unknown = false;
	entry->due = value.next;
	if (atom->method == METHOD_COUNT || atom->method == METHOD_TOTAL)
		run_note_count();
	if (atom->method == METHOD_COUNT)
		entry->count = DatumGetInt64(value.value);
	else if (atom->method == METHOD_WINDOW)
		entry->count = DatumGetInt64(value.value) >= atom->spec->times ? 1 : 0;
	else if (atom->method == METHOD_TOTAL && !total_store(atom, entry, &value))
		entry->unknown = true;
	if (before.unknown != entry->unknown || before.due != entry->due ||
		before.count != entry->count ||
		!state_same_sum(before.sum, entry->sum))
		work->state_changed = true;
}

/*
 * Compute an atom of a column of the rows in the slots.  As in evaluate_scan,
 * what is dated before this instant is not in the future.
 */
static AtomValue
column_value(Run *run, const Work *work, const Atom *atom)
{
	const AtomSpec *spec = atom->spec;
	TupleTableSlot *slot = spec->of_company ?
		run->econtext->ecxt_outertuple : run->econtext->ecxt_scantuple;
	bool		isnull;
	Datum		value = slot_getattr(slot, atom->column, &isnull);
	AtomValue	result = instant_of_column(run->model, spec, value, isnull,
										   work_clock(run, work));

	if (result.arrives == NOT_DUE || run->clock_given ||
		run->model->clock_by_tick ||
		result.arrives > GetCurrentTimestamp())
		return result;
	run->clock = GetCurrentTimestamp();
	return instant_of_column(run->model, spec, value, isnull, run->clock);
}

static const WorkValue *
known_value(const Work *work, const Atom *atom)
{
	ListCell   *cell;

	foreach(cell, work->values)
	{
		const WorkValue *known = lfirst(cell);

		if (known->atom == atom)
			return known;
	}
	return NULL;
}

/*
 * evaluate_atom: the value of an atom that is no score, nor a membership.
 */
AtomValue
evaluate_atom(Run *run, Work *work, Atom *atom)
{
	const WorkValue *known = known_value(work, atom);
	AtomState  *entry;
	AtomValue	value;
	MemoryContext old;

	if (known != NULL)
		return known->value;
	entry = state_atom(work->state, atom->id);
	if (state_knows(run, work, atom, entry))
		return entry != NULL ? from_state(atom, entry) : atom_default(atom);

	old = MemoryContextSwitchTo(run->round_context);
	if (atom->method == METHOD_COLUMN)
		value = column_value(run, work, atom);
	else if (work->no_contact)
		value = atom_default(atom);
	else
		evaluate_scan(run, atom, &work, 1, &value);
	evaluate_store(run, work, atom, value);
	MemoryContextSwitchTo(old);
	return value;
}

/*
 * evaluate_number: the value of an atom, by its number in an expression, for
 * this contact, whose rows are in the slots (evaluate_rows); not for
 * METHOD_SEGMENT.  Raises what its filter and value raise.
 */
AtomValue
evaluate_number(Run *run, Work *work, Expression *expression, int number)
{
	Atom	   *atom = expression->atoms[number];
	const WorkValue *known = known_value(work, atom);
	AtomValue	value;
	MemoryContext old;

	if (atom->method != METHOD_SCORE)
		return evaluate_atom(run, work, atom);
	if (known != NULL)
		return known->value;
	old = MemoryContextSwitchTo(run->round_context);
	value = score_value(run, work, atom, expression->scores[number]);
	evaluate_store(run, work, atom, value);
	MemoryContextSwitchTo(old);
	return value;
}

/*
 * The parameter hook: the value of an atom, when it is asked for.
 */
static ParamExternData *
fetch_param(ParamListInfo params, int paramid, bool speculative,
			ParamExternData *workspace)
{
	Evaluation *evaluation = params->paramFetchArg;
	Atom	   *atom;
	AtomValue	value;

	if (evaluation == NULL)
		elog(ERROR, "no evaluation in progress");
	atom = evaluation->expression->atoms[paramid - 1];
	workspace->ptype = atom->spec->type;
	workspace->pflags = 0;
	if (atom->method == METHOD_SEGMENT)
	{
		workspace->isnull = false;
		workspace->value =
			BoolGetDatum(state_in_segment(evaluation->work->state,
										  atom->segment_id));
		return workspace;
	}
	value = evaluate_number(evaluation->run, evaluation->work,
							evaluation->expression, paramid - 1);
	workspace->isnull = value.isnull;
	workspace->value = atom->spec->kind == ATOM_DID ?
		BoolGetDatum(DatumGetInt64(value.value) >= atom->spec->times) :
		value.value;
	return workspace;
}

/*
 * evaluate_make_params: the parameter list of an expression with that many
 * atoms, in the current context.
 */
ParamListInfo
evaluate_make_params(int count)
{
	ParamListInfo params = palloc0(offsetof(ParamListInfoData, params));

	params->paramFetch = fetch_param;
	params->numParams = count;
	return params;
}

static TupleTableSlot *
make_slot(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	TupleTableSlot *slot;

	slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(rel)),
									&TTSOpsHeapTuple);
	relation_close(rel, NoLock);
	return slot;
}

/*
 * Set up the slots of a round, when the first expression needs them.
 */
static void
evaluate_begin(Run *run)
{
	Model	   *model = run->model;
	MemoryContext old = MemoryContextSwitchTo(run->context);

	run->econtext = CreateStandaloneExprContext();
	run->inner_econtext = CreateStandaloneExprContext();
	run->econtext->ecxt_scantuple = make_slot(model->table[CONTACTS].relid);
	if (OidIsValid(model->table[COMPANIES].relid))
		run->econtext->ecxt_outertuple =
			make_slot(model->table[COMPANIES].relid);
	MemoryContextSwitchTo(old);
}

/*
 * evaluate_end: the round is over.
 */
void
evaluate_end(Run *run)
{
	if (run->econtext == NULL)
		return;
	ExecDropSingleTupleTableSlot(run->econtext->ecxt_scantuple);
	if (run->econtext->ecxt_outertuple != NULL)
		ExecDropSingleTupleTableSlot(run->econtext->ecxt_outertuple);
	if (run->event_slot != NULL)
		ExecDropSingleTupleTableSlot(run->event_slot);
	if (run->deal_slot != NULL)
		ExecDropSingleTupleTableSlot(run->deal_slot);
	run->event_slot = run->deal_slot = NULL;
	FreeExprContext(run->econtext, true);
	FreeExprContext(run->inner_econtext, true);
	run->econtext = run->inner_econtext = NULL;
}

static void
fill_slot(TupleTableSlot *slot, HeapTuple row)
{
	if (row != NULL)
		ExecStoreHeapTuple(row, slot, false);
	else
		ExecStoreAllNullTuple(slot);
}

/*
 * evaluate_rows: the rows that expressions of this contact look at.
 */
void
evaluate_rows(Run *run, Work *work)
{
	if (run->econtext == NULL)
		evaluate_begin(run);
	fill_slot(run->econtext->ecxt_scantuple, work->old_row != NULL ?
			  work->old_row : work->row);
	if (run->econtext->ecxt_outertuple != NULL)
		fill_slot(run->econtext->ecxt_outertuple, work->company_row);
}

/*
 * evaluate_inner_row: the event or deal that rules look at; InvalidOid for
 * none.
 */
void
evaluate_inner_row(Run *run, Oid relid, HeapTuple row)
{
	TupleTableSlot **slot = relid == run->model->table[EVENTS].relid ?
		&run->event_slot : &run->deal_slot;

	run->econtext->ecxt_innertuple = NULL;
	if (!OidIsValid(relid))
		return;
	if (*slot == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(run->context);

		*slot = make_slot(relid);
		MemoryContextSwitchTo(old);
	}
	fill_slot(*slot, row);
	run->econtext->ecxt_innertuple = *slot;
}

static Datum
evaluate_in(ExprContext *econtext, Run *run, Work *work,
			Expression *expression, bool *isnull)
{
	ParamListInfo params = expression->params;
	void	   *outer = params->paramFetchArg;
	Evaluation	evaluation;
	Datum		result;
	int			level = expression->user_functions ? path_pin() : 0;

	evaluation.run = run;
	evaluation.work = work;
	evaluation.expression = expression;
	params->paramFetchArg = &evaluation;
	econtext->ecxt_param_list_info = params;
	ResetExprContext(econtext);
	result = ExecEvalExprSwitchContext(expression->state, econtext, isnull);
	params->paramFetchArg = outer;
	if (expression->user_functions)
		path_unpin(level);
	return result;
}

/* A predicate that may fail. */
typedef struct PredicateArg
{
	Run		   *run;
	Work	   *work;
	Expression *expression;
	bool		holds;
} PredicateArg;

static void
evaluate_predicate(void *arg)
{
	PredicateArg *task = arg;
	bool		isnull;
	Datum		value = evaluate_expression(task->run, task->work,
											task->expression, &isnull);

	task->holds = !isnull && DatumGetBool(value);
}

/*
 * evaluate_holds: does a predicate hold for this contact, whose rows are in
 * the slots?  With `may_fail` one that raises an error does not hold; else it
 * is raised, which saves the subtransaction.
 */
bool
evaluate_holds(Run *run, Work *work, Expression *expression, bool may_fail)
{
	PredicateArg task = {run, work, expression, false};
	ErrorData  *error;

	if (!may_fail)
		evaluate_predicate(&task);
	else if (!run_try(evaluate_predicate, &task, &error))
		return false;
	return task.holds;
}

/*
 * evaluate_expression: the value for this contact, whose rows are in the
 * slots (evaluate_rows).  It lives until the next evaluation.  Raises what
 * the expression raises.
 */
Datum
evaluate_expression(Run *run, Work *work, Expression *expression,
					bool *isnull)
{
	return evaluate_in(run->econtext, run, work, expression, isnull);
}

/*
 * evaluate_condition: does a condition hold that is asked for while an
 * expression is being evaluated?  It must not be one of a rule on events or
 * deals, nor ask for a condition itself.
 */
bool
evaluate_condition(Run *run, Work *work, Expression *expression)
{
	ExprContext *inner = run->inner_econtext;
	bool		isnull;
	Datum		value;

	inner->ecxt_scantuple = run->econtext->ecxt_scantuple;
	inner->ecxt_outertuple = run->econtext->ecxt_outertuple;
	value = evaluate_in(inner, run, work, expression, &isnull);
	return !isnull && DatumGetBool(value);
}

/*
 * Evaluate one segment of one contact; compiles it at first use.
 */
static void
evaluate_segment(void *arg)
{
	EvaluateArg *task = arg;
	Segment    *segment = task->segment;
	bool		isnull;
	Datum		value;

	counter_add(COUNT_EVALUATIONS, 1);
	task->result = false;
	if (segment->expression == NULL)
		network_compile_segment(task->run->model, segment);
	value = evaluate_expression(task->run, task->work, segment->expression,
								&isnull);
	if (segment->column != NULL)
		score_compare(task->run, task->work, segment, value);
	else
		task->result = !isnull && DatumGetBool(value);
}

/*
 * The one with the lowest rank of the segments still to be evaluated.
 */
static Segment *
next_segment(Run *run, List **todo)
{
	Segment    *best = NULL;
	ListCell   *cell;

	foreach(cell, *todo)
	{
		Segment    *segment = network_segment(run->model, lfirst_int(cell));

		if (segment == NULL)
			*todo = foreach_delete_current(*todo, cell);
		else if (best == NULL || segment->rank < best->rank)
			best = segment;
		if (best != NULL && best->rank == 0)
			break;
	}
	if (best != NULL)
		*todo = list_delete_int(*todo, best->id);
	return best;
}

/*
 * Evaluate the segments of one contact, and those that name a segment that
 * it enters or leaves.  With `carefully`, each in its own subtransaction.
 */
static void
evaluate_work(Run *run, Work *work, bool carefully)
{
	List	   *todo = list_copy(work->segments);
	EvaluateArg task = {.run = run,.work = work};
	Segment    *segment;
	ListCell   *cell;

	evaluate_rows(run, work);
	list_free(work->changes);
	work->changes = NIL;
	work->scores = NIL;
	while ((segment = next_segment(run, &todo)) != NULL)
	{
		bool		is_member = state_in_segment(work->state, segment->id);

		CHECK_FOR_INTERRUPTS();
		task.segment = segment;
		if (!carefully)
			evaluate_segment(&task);
		else
		{
			ErrorData  *error;

			if (!run_try(evaluate_segment, &task, &error))
			{
				run_problem(run, segment->column == NULL ? segment->name :
							psprintf("score %s", segment->name), NULL,
							key_to_text(&run->model->contact_key,
										work->contact),
							NULL, error);
				task.result = false;
			}
		}
		if (segment->column == NULL && task.result != is_member)
		{
			MemberChange *change = palloc(sizeof(MemberChange));

			change->segment = segment;
			change->entered = task.result;
			work->changes = lappend(work->changes, change);
			state_set_segment(work->state, segment->id, task.result);
			work->state_changed = true;
			foreach(cell, network_dependents(run->model, segment))
				todo = list_append_unique_int(todo, lfirst_int(cell));
		}
	}
	work->evaluated = true;
}

/*
 * An attempt that failed has toggled memberships: put them back.
 */
static void
undo_changes(Work *work)
{
	ListCell   *cell;

	foreach(cell, work->changes)
	{
		MemberChange *change = lfirst(cell);

		state_set_segment(work->state, change->segment->id, !change->entered);
	}
	work->changes = NIL;
}

static void
evaluate_from(void *arg)
{
	EvaluateArg *task = arg;
	UserSpan	span;

	span_read(&span, task->run->model->table[CONTACTS].owner);
	for (; task->next < task->run->nworks; task->next++)
	{
		Work	   *work = task->run->works[task->next];

		if (work->found && work->touched && !work->evaluated)
			evaluate_work(task->run, work, false);
	}
	span_end(&span);
}

/*
 * evaluate_works: decide the memberships of all contacts of the round.
 */
void
evaluate_works(Run *run)
{
	EvaluateArg task = {.run = run,.next = 0};
	MemoryContext old = MemoryContextSwitchTo(run->round_context);

	while (task.next < run->nworks)
	{
		ErrorData  *error;
		Work	   *work;
		UserSpan	span;

		if (run_try(evaluate_from, &task, &error))
			break;
		work = run->works[task.next];
		undo_changes(work);
		span_read(&span, run->model->table[CONTACTS].owner);
		evaluate_work(run, work, true);
		span_end(&span);
		task.next++;
	}
	MemoryContextSwitchTo(old);
}
