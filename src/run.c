/*-------------------------------------------------------------------------
 *
 * run.c
 *	  One run of the engine: rounds of collected changes.
 *
 * The triggers on the application tables collect what a statement changed.
 * The outermost of them starts a run and works it off at the end of its
 * statement, in rounds: decide about each contact (decide.c, evaluate.c),
 * write it down (record.c), let rules fire (rule.c), write what they want
 * (action.c).  New events of many contacts are decided about in portions
 * (gather.c).  These writes fire the same triggers again, which find the run
 * and only add to it; that is the next round.  Rounds are bounded by the
 * setting max_cascade.
 *
 * All that one statement does to a contact is thus decided together, in the
 * transaction that caused it.
 *
 * Concurrency.  The lock on a contact's row, FOR NO KEY UPDATE, taken in key
 * order, is the right to decide about the contact: whoever has it reads the
 * state row and the events on a snapshot taken after that, and so sees all
 * that others who had it before have committed.  A plain UPDATE of a contact
 * holds it by itself, and foreign keys from events (FOR KEY SHARE) do not
 * conflict with it.  The exceptions are described in decide.c.
 *
 * READ COMMITTED and REPEATABLE READ do the same, since statements of the
 * engine use newest snapshots; under the latter a contact that was changed
 * since the transaction's snapshot may also raise a serialization failure.
 * SERIALIZABLE tracks the reads as usual.
 *
 * Savepoints: what was collected in a subtransaction that is rolled back is
 * dropped, and so is a run that was started in it; the writes of finished
 * runs are rolled back like any others.
 *
 * Memory: a run has a context of its own, freed when it is finished or by
 * the end of the (sub)transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "counter.h"
#include "evaluate.h"
#include "gather.h"
#include "member.h"
#include "prepare.h"
#include "run.h"
#include "score.h"

/* The first block of a portion's memory, which it keeps. */
#define PORTION_SIZE (128 * 1024)

/* The innermost run; life time: the outermost trigger's or API call's. */
static Run *run_stack = NULL;

/*
 * The command id at which a state got a count of events last; life time: the
 * transaction.  It stays if the count is rolled back, which does no harm.
 */
static CommandId last_count = FirstCommandId;

/*
 * The innermost API function's UPDATE that is under way, NULL if there is
 * none; life time: that call's, whose memory it is in.  An error in it ends
 * it by the abort of its (sub)transaction.
 */
static ApiMove *api_move = NULL;

static List *
drop_aborted(List *list, size_t offset, SubTransactionId subid)
{
	int			kept = 0;

	for (int i = 0; i < list_length(list); i++)
	{
		char	   *item = list_nth(list, i);

		if (*(SubTransactionId *) (item + offset) < subid)
			lfirst(list_nth_cell(list, kept++)) = item;
	}
	return list_truncate(list, kept);
}

/*
 * A subtransaction is rolled back: forget what was collected in it.
 */
static void
subxact_callback(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (run_stack != NULL && run_stack->subid >= subid)
	{
		model_release(run_stack->model);
		run_stack = run_stack->outer;
	}
	for (Run *run = run_stack; run != NULL; run = run->outer)
	{
		run->hits = drop_aborted(run->hits, offsetof(Hit, subid), subid);
		run->contact_changes = drop_aborted(run->contact_changes,
											offsetof(ContactChange, subid),
											subid);
		run->stage_changes = drop_aborted(run->stage_changes,
										  offsetof(StageChange, subid), subid);
		run->deal_changes = drop_aborted(run->deal_changes,
										 offsetof(DealChange, subid), subid);
	}
	while (api_move != NULL && api_move->subid >= subid)
		api_move = api_move->outer;
	model_end_maintenance(subid);
}

static void
xact_callback(XactEvent event, void *arg)
{
	last_count = FirstCommandId;
	model_end_maintenance(InvalidSubTransactionId);
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT)
	{
		while (run_stack != NULL)
		{
			model_release(run_stack->model);
			run_stack = run_stack->outer;
		}
		api_move = NULL;
	}
	if (event != XACT_EVENT_PRE_COMMIT &&
		event != XACT_EVENT_PARALLEL_PRE_COMMIT &&
		event != XACT_EVENT_PRE_PREPARE)
		model_end_uses();
}

/*
 * run_init: register the callbacks.  Called once a backend, by _PG_init.
 */
void
run_init(void)
{
	RegisterSubXactCallback(subxact_callback, NULL);
	RegisterXactCallback(xact_callback, NULL);
}

/*
 * run_begin_api_move, run_end_api_move: bracket the UPDATE by which an API
 * function moves a contact or company.  Triggers may call such a function in
 * its turn.
 */
void
run_begin_api_move(ApiMove *move, const char *reason)
{
	move->reason = reason;
	move->subid = GetCurrentSubTransactionId();
	move->outer = api_move;
	api_move = move;
}

void
run_end_api_move(ApiMove *move)
{
	Assert(api_move == move);
	api_move = move->outer;
}

/*
 * run_note_count: a state gets a count of the events that are there now.
 */
void
run_note_count(void)
{
	last_count = GetCurrentCommandId(false);
}

/*
 * run_has_counted: may a count have in it the rows that the current statement
 * has inserted?  To be asked in the statement's trigger.
 *
 * The snapshot of a statement, under which its AFTER triggers run, has the
 * command id that its rows got, and a count has those of earlier ones in it.
 */
bool
run_has_counted(void)
{
	return !ActiveSnapshotSet() || last_count > GetActiveSnapshot()->curcid;
}

/*
 * run_is_applying: is the row that a trigger sees written by us?  Then it
 * was checked already, and is no move by hand.
 */
bool
run_is_applying(void)
{
	return api_move != NULL || (run_stack != NULL && run_stack->applying);
}

/*
 * run_is_writing: the same, but for the UPDATE of an API function.
 */
bool
run_is_writing(void)
{
	return run_stack != NULL && run_stack->applying;
}

/*
 * run_is_merge: does the run give the events of one person to another?
 */
bool
run_is_merge(const Run *run)
{
	return run->reason.cause != NULL && strcmp(run->reason.cause, "merge") == 0;
}

/*
 * run_current: the run of this model that is in progress, or NULL.
 */
Run *
run_current(Model *model)
{
	for (Run *run = run_stack; run != NULL; run = run->outer)
		if (strcmp(run->model->name, model->name) == 0)
			return run;
	return NULL;
}

/*
 * run_clock: the instant at which predicates are evaluated: the transaction's
 * start, or where lifecycle_tick last put it.  The caller is connected to SPI.
 */
TimestampTz
run_clock(Model *model)
{
	TimestampTz clock = GetCurrentTransactionStartTimestamp();
	UserSpan	span;

	if (!model->clock_by_tick)
		return clock;
	span_write(&span, model->owner);
	if (model->plan[PLAN_CLOCK] == NULL)
		model->plan[PLAN_CLOCK] =
			query_prepare(psprintf("SELECT last_tick FROM %s.clock"
								   " WHERE last_tick IS NOT NULL",
								   model->schema), 0, NULL);
	if (query_execute(model->plan[PLAN_CLOCK], NULL, NULL) > 0)
	{
		bool		isnull;

		clock = DatumGetTimestampTz(query_value(0, 1, &isnull));
	}
	span_end(&span);
	return clock;
}

/*
 * run_start: begin a run, to be finished by run_finish.  An error in between
 * ends it by the abort of the (sub)transaction.
 */
Run *
run_start(Model *model)
{
	MemoryContext context = AllocSetContextCreate(CurTransactionContext,
												  "lifecycle run",
												  ALLOCSET_DEFAULT_SIZES);
	Run		   *run = MemoryContextAllocZero(context, sizeof(Run));
	MemoryContext old = MemoryContextSwitchTo(context);

	run->model = model;
	run->context = context;
	run->round_context = AllocSetContextCreate(context, "lifecycle round",
											   ALLOCSET_DEFAULT_SIZES);
	run->subid = GetCurrentSubTransactionId();
	run->role = GetUserId();
	run->clock = GetCurrentTransactionStartTimestamp();
	run->command = ActiveSnapshotSet() ? GetActiveSnapshot()->curcid :
		FirstCommandId;
	run->statement_on = -1;
	run->tally = &run->own_tally;
	run->reason.cause = "update";
	if (api_move != NULL)
	{
		run->reason.cause = "api";
		run->reason.text = api_move->reason != NULL ?
			pstrdup(api_move->reason) : NULL;
	}
	MemoryContextSwitchTo(old);

	counter_add(COUNT_RUNS, 1);
	model_use(model);
	run->outer = run_stack;
	run_stack = run;
	return run;
}

/*
 * run_role: the name of whoever made the statement, in the current memory
 * context.
 */
char *
run_role(const Run *run)
{
	return GetUserNameFromId(run->role, false);
}

static void
cascade_error(Run *run)
{
	StringInfoData names;
	ListCell   *cell;

	initStringInfo(&names);
	foreach(cell, run->fired)
		appendStringInfo(&names, "%s\"%s\"",
						 foreach_current_index(cell) > 0 ? ", " : "",
						 (char *) lfirst(cell));
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("rules of model \"%s\" set each other off more than %d times",
					run->model->name, run->model->max_cascade),
			 errdetail("The last to fire: %s.", names.data),
			 errhint("Disable or change one of them with lifecycle_alter_rule, or use lifecycle_set(%s, 'max_cascade', ...).",
					 quote_literal_cstr(run->model->name))));
}

static bool
has_work(Run *run)
{
	return run->hits != NIL || run->contact_changes != NIL ||
		run->stage_changes != NIL || run->deal_changes != NIL;
}

/*
 * run_record_stage_changes: write the stage changes of the round to the
 * history, once.  Predicates look at it (time_in_stage), so this is done
 * before they are evaluated, but after the clock is known.
 */
void
run_record_stage_changes(Run *run)
{
	List	   *changes = run->unrecorded;

	run->unrecorded = NIL;
	record_stage_changes(run, changes);
}

/*
 * Keep the works of a portion from which more follows.
 */
static bool
keep_works(Run *run, Work ***kept, int *nkept)
{
	int			before = *nkept;

	*kept = repalloc_huge(*kept, mul_size(*nkept + run->nworks + 1,
										  sizeof(Work *)));
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];

		if (work->scores != NIL || rule_may_fire(run, work))
			(*kept)[(*nkept)++] = work;
	}
	return *nkept > before;
}

/*
 * Decide about contacts portion by portion; the works are then those from which
 * more follows.  Memory of the others is used again.
 */
static void
decide_portions(Run *run, Gathering *gathering)
{
	MemoryContext round = run->round_context;
	MemoryContext portion = NULL;
	bool		more = gather_next(gathering);
	Work	  **kept;
	int			nkept = 0;

	decide_round(run);
	if (!more)
		return;
	kept = palloc(sizeof(Work *));
	(void) keep_works(run, &kept, &nkept);
	while (more)
	{
		if (portion == NULL)
			portion = AllocSetContextCreate(round, "lifecycle portion",
											ALLOCSET_DEFAULT_MINSIZE,
											PORTION_SIZE, PORTION_SIZE * 8);
		run->round_context = portion;
		MemoryContextSwitchTo(portion);
		more = gather_next(gathering);
		decide_round(run);
		MemoryContextSwitchTo(round);
		run->round_context = round;
		if (keep_works(run, &kept, &nkept))
			portion = NULL;
		else
			MemoryContextReset(portion);
	}
	run->works = kept;
	run->nworks = run->works_allocated = nkept;
}

/*
 * One round: take what was collected, and work it off.
 */
static void
do_round(Run *run)
{
	List	   *hits = run->hits;
	List	   *contact_changes = run->contact_changes;
	List	   *stage_changes = run->stage_changes;
	List	   *deal_changes = run->deal_changes;
	Gathering  *gathering = NULL;
	MemoryContext old;

	run->hits = run->contact_changes = NIL;
	run->stage_changes = run->deal_changes = NIL;
	run->deletions = false;
	run->unrecorded = stage_changes;
	run->nworks = 0;
	run->companies_read = false;
	run->actions = NIL;

	old = MemoryContextSwitchTo(run->round_context);
	run->works_allocated = 16;
	run->works = palloc(run->works_allocated * sizeof(Work *));

	run->settled_dropped = false;
	if (contact_changes == NIL && stage_changes == NIL && deal_changes == NIL)
		gathering = gather_begin(run, hits);
	if (gathering != NULL)
		decide_portions(run, gathering);
	else
	{
		prepare_gather(run, hits, contact_changes);
		rule_gather(run, stage_changes, deal_changes);
		company_gather(run, stage_changes);
		decide_round(run);
	}
	member_write(run);
	score_write(run);
	if (run->nworks > 0 || stage_changes != NIL || deal_changes != NIL)
	{
		run_record_stage_changes(run);
		record_deal_changes(run, deal_changes);
		task_close(run, stage_changes, deal_changes);
		rule_fire_all(run, stage_changes, deal_changes);
		company_lead(run, stage_changes);
		action_apply(run, stage_changes);
	}
	evaluate_end(run);

	MemoryContextSwitchTo(old);
	run->works = NULL;
	run->nworks = 0;
	MemoryContextReset(run->round_context);
}

/*
 * run_work: work off what was collected so far, without ending the run.  The
 * caller is connected to SPI.
 */
void
run_work(Run *run)
{
	if (!run->clock_given)
		run->clock = run_clock(run->model);
	for (run->round = 0; has_work(run); run->round++)
	{
		if (run->round >= run->model->max_cascade)
			cascade_error(run);
		do_round(run);
	}
}

/*
 * run_finish_connected: work off what was collected, and end the run.  The
 * caller is connected to SPI.
 */
void
run_finish_connected(Run *run)
{
	Assert(run == run_stack);
	if (has_work(run))
		run_work(run);
	run_stack = run->outer;
	model_release(run->model);
	MemoryContextDelete(run->context);
}

/*
 * run_finish: the same, in a connection of its own, with which the results of
 * its statements go: for those who finish one run after the other.
 */
void
run_finish(Run *run)
{
	SPI_connect();
	run_finish_connected(run);
	SPI_finish();
}

/*
 * run_copy_key: a key that lives as long as the run.
 */
Datum
run_copy_key(Run *run, const KeyType *type, Datum key)
{
	MemoryContext old;

	if (type->byval)
		return key;
	old = MemoryContextSwitchTo(run->context);
	key = key_copy(type, key);
	MemoryContextSwitchTo(old);
	return key;
}

/*
 * run_copy_row: a composite value as a tuple in the current context, whose
 * attributes are those of its table.
 */
HeapTuple
run_copy_row(Datum composite)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(composite);
	HeapTupleData tuple;

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	return heap_copytuple(&tuple);
}

/*
 * run_copy_atoms: an array of atoms that lives as long as the run.
 */
Atom **
run_copy_atoms(Run *run, Atom **atoms, int count)
{
	Atom	  **copy = MemoryContextAlloc(run->context,
										  (count + 1) * sizeof(Atom *));

	memcpy(copy, atoms, count * sizeof(Atom *));
	return copy;
}

/*
 * run_add_hit: an event that atoms match.  The hit is copied, its key and
 * array must live as long as the run.
 */
void
run_add_hit(Run *run, const Hit *hit)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	Hit		   *copy = palloc(sizeof(Hit));

	*copy = *hit;
	copy->subid = GetCurrentSubTransactionId();
	run->hits = lappend(run->hits, copy);
	MemoryContextSwitchTo(old);
}

/*
 * run_add_contact: a contact that is to be looked at.  The key is copied;
 * the caller may fill in the columns, in the run's context.
 */
ContactChange *
run_add_contact(Run *run, ContactChangeKind kind, Datum contact)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	ContactChange *change = palloc0(sizeof(ContactChange));

	change->contact = run_copy_key(run, &run->model->contact_key, contact);
	change->kind = kind;
	change->subid = GetCurrentSubTransactionId();
	run->contact_changes = lappend(run->contact_changes, change);
	MemoryContextSwitchTo(old);
	return change;
}

/*
 * Where a change belongs among those collected: at the end, unless its row was
 * deleted by a trigger of the user's while it was being updated.  The deletion
 * is collected first then, but what it deleted is what the update made.
 */
static int
place_of_change(Run *run, const StageChange *change)
{
	KeyType    *key = change->object == CONTACTS ? &run->model->contact_key :
		&run->model->company_key;
	int			end = list_length(run->stage_changes);

	if (!run->deletions || change->deleted)
		return end;
	for (int i = end - 1; i >= 0; i--)
	{
		const StageChange *other = list_nth(run->stage_changes, i);

		if (other->deleted && other->object == change->object &&
			same_text(other->from_stage, change->to_stage) &&
			same_text(other->from_status, change->to_status) &&
			key_compare(key, other->key, change->key) == 0)
			return i;
	}
	return end;
}

/*
 * run_add_stage_change, run_add_deal_change: the change and all that it
 * points to must be in the run's context.
 */
void
run_add_stage_change(Run *run, StageChange *change)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);

	change->subid = GetCurrentSubTransactionId();
	run->stage_changes = list_insert_nth(run->stage_changes,
										 place_of_change(run, change), change);
	run->deletions |= change->deleted;
	MemoryContextSwitchTo(old);
}

void
run_add_deal_change(Run *run, DealChange *change)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);

	change->subid = GetCurrentSubTransactionId();
	run->deal_changes = lappend(run->deal_changes, change);
	MemoryContextSwitchTo(old);
}

/*
 * run_find_work: the round's work for a contact, or NULL.
 */
Work *
run_find_work(Run *run, Datum contact)
{
	int			low = 0;
	int			high = run->nworks;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		int			order = key_compare(&run->model->contact_key,
										run->works[middle]->contact, contact);

		if (order == 0)
			return run->works[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
