/*-------------------------------------------------------------------------
 *
 * step.c
 *	  Contacts that are due go through their due instants, one after the other.
 *
 * Between two looks at a contact time may have passed over several instants at
 * which it changed: it entered a segment and left it again.  Each of these is
 * decided about as of itself: the atoms are computed at that instant, rules
 * fire, and history says that instant.  So the result is the same whether
 * lifecycle_tick comes every second or once a week.
 *
 * Waves.  Each wave is a run in which every contact has a clock of its own,
 * its due time (work_clock).  Who is still due after it, at a later instant,
 * comes to the next.  Contacts are independent of one another, unless they
 * share a company that follows them: where rules may move contacts, a wave has
 * only the earliest instant of each company, and the others wait.  So a
 * company, too, sees all in the order of time.  With a second ticker at work
 * on the same company, or a contact that another session has locked, this
 * order is not kept, but the outcome is the same.
 *
 * Catching up.  An event that comes when its contact is due finds the contact
 * as it was before.  The contact is first stepped up to the clock without what
 * the statement changed (step_catch_up): events, deals or rows are read on a
 * snapshot that is the newest, but of a command before the statement's.  Of a
 * statement on contacts or companies themselves, rules that the steps set off
 * find the stage that the statement left behind, and do not undo it.
 *
 * Replaying (step_replay) begins contacts anew at an instant of the past, when
 * all of their events are still to come: each of those is a due instant, and
 * so is each event that a rule names (replay.c).
 *
 * Nothing is locked here but what each wave's run locks.  The queue and its
 * keys live in the context of the caller of step_contacts, what belongs to a
 * wave in its run's.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "lib/pairingheap.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "lock.h"
#include "prepare.h"
#include "replay.h"
#include "step.h"

/* Contacts in a wave; less where many wait for others of their company. */
#define MAX_WAVE	5000
#define MIN_WAVE	16

/* A contact or company and its instant in a wave. */
typedef struct Instant
{
	Datum		key;
	TimestampTz at;
} Instant;

/* A contact that is still due after a wave. */
typedef struct Waiting
{
	pairingheap_node node;
	DueContact	item;
} Waiting;

/* Lives in the run of its wave, but for what it points to. */
struct Steps
{
	TimestampTz until;
	Snapshot	before;			/* or NULL, see step_snapshot */
	int			statement_on;
	bool		by_company;		/* contacts of a company wait for one another */
	bool		quiet;			/* rules move stages and statuses only */
	Replayed   *replayed;		/* in a replay, or NULL */
	bool		started;		/* the instants are set */
	Instant    *contacts;		/* sorted by key */
	int			ncontacts;
	Instant    *companies;		/* likewise, if by_company */
	int			ncompanies;
	TimestampTz latest;			/* of the instants */
	pairingheap *waiting;		/* of Waiting, the earliest first */
	MemoryContext queue_context;
	int			postponed;		/* contacts that wait for their company */
};

static int
compare_waiting(const pairingheap_node *a, const pairingheap_node *b,
				void *arg)
{
	TimestampTz first = ((const Waiting *) a)->item.due;
	TimestampTz second = ((const Waiting *) b)->item.due;

	return (first < second) - (first > second);
}

static void
wait_until(Run *run, const Work *work, TimestampTz due, bool again)
{
	Steps	   *steps = run->steps;
	MemoryContext old = MemoryContextSwitchTo(steps->queue_context);
	Waiting    *waiting = palloc(sizeof(Waiting));

	waiting->item.contact = key_copy(&run->model->contact_key, work->contact);
	waiting->item.due = due;
	waiting->item.again = again;
	waiting->item.afresh = work->change != NULL &&
		work->change->kind == CONTACT_DEFERRED && !again;
	pairingheap_add(steps->waiting, &waiting->node);
	MemoryContextSwitchTo(old);
}

/*
 * step_note_due: a work's new state is being written; if the contact is
 * still due, it comes to a later wave.  If it is not any later than it was,
 * its windows must not end yet (decide.c), and the next tick finds it.
 */
void
step_note_due(Run *run, const Work *work)
{
	if (work->state->due <= run->steps->until &&
		work->state->due > work_clock(run, work))
		wait_until(run, work, work->state->due, true);
}

/*
 * step_snapshot: on what steps read the rows of a table: NULL for the newest
 * snapshot, or what was before the statement that we catch up for.  Events
 * are written by nobody else in this transaction meanwhile.
 */
Snapshot
step_snapshot(const Run *run, TableKind kind)
{
	if (run->steps == NULL)
		return NULL;
	return kind == EVENTS || (int) kind == run->steps->statement_on ?
		run->steps->before : NULL;
}

static int
compare_instants(const void *a, const void *b, void *key)
{
	return key_compare(key, ((const Instant *) a)->key,
					   ((const Instant *) b)->key);
}

static Instant *
find_instant(KeyType *type, Instant *instants, int count, Datum key)
{
	int			low = 0;
	int			high = count;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		int			order = key_compare(type, instants[middle].key, key);

		if (order == 0)
			return &instants[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/*
 * step_instant: the instant at which a contact or company is changed by this
 * run: the run's clock, or in a wave its own.
 */
TimestampTz
step_instant(Run *run, TableKind object, Datum key)
{
	Steps	   *steps = run->steps;
	Instant    *found;

	if (steps == NULL || !steps->started)
		return run->clock;
	if (object == CONTACTS)
		found = find_instant(&run->model->contact_key, steps->contacts,
							 steps->ncontacts, key);
	else
		found = find_instant(&run->model->company_key, steps->companies,
							 steps->ncompanies, key);
	return found != NULL ? found->at : steps->latest;
}

static bool
is_due(const Work *work, TimestampTz until)
{
	return work->found && work->had_state && !work->state->orphan &&
		work->state->due <= until;
}

/*
 * The earliest instant of each company of the wave's contacts.
 */
static void
set_company_instants(Run *run)
{
	Steps	   *steps = run->steps;
	KeyType    *key = &run->model->company_key;
	int			count = 0;
	int			kept = 0;

	steps->companies = MemoryContextAlloc(run->context, run->nworks *
										  sizeof(Instant));
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];

		if (!work->stepped || work->company_null)
			continue;
		steps->companies[count].key = run_copy_key(run, key, work->company);
		steps->companies[count++].at = work->clock;
	}
	qsort_arg(steps->companies, count, sizeof(Instant), compare_instants, key);
	for (int i = 0; i < count; i++)
	{
		if (kept > 0 && compare_instants(&steps->companies[kept - 1],
										 &steps->companies[i], key) == 0)
			steps->companies[kept - 1].at = Min(steps->companies[kept - 1].at,
												steps->companies[i].at);
		else
			steps->companies[kept++] = steps->companies[i];
	}
	steps->ncompanies = kept;
}

/*
 * Contacts that come after another one of their company are left out of the
 * wave.
 */
static void
postpone(Run *run)
{
	Steps	   *steps = run->steps;

	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];
		Instant    *company;

		if (!work->stepped || work->company_null)
			continue;
		company = find_instant(&run->model->company_key, steps->companies,
							   steps->ncompanies, work->company);
		if (work->clock == company->at)
			continue;
		wait_until(run, work, work->clock, work->change->again);
		work->stepped = work->found = false;
		steps->postponed++;
	}
}

/*
 * The instant of a contact in a replay: when it is due, or when it has the next
 * event that a rule names.  If that is not yet, it comes again.
 */
static void
start_replayed(Run *run, Work *work)
{
	Steps	   *steps = run->steps;
	TimestampTz at;

	at = replay_next_instant(steps->replayed, &run->model->contact_key,
							 work->contact);
	if (is_due(work, steps->until))
		at = Min(at, Max(work->state->due, work->state->clock));
	work->found = work->found && at <= steps->until;
	if (work->found && at > work->change->instant)
	{
		wait_until(run, work, at, true);
		work->found = false;
	}
	work->touched = work->found && is_due(work, at);
	work->stepped = work->found;
	work->clock = at;
}

/*
 * Contacts of a replay that are at an event which rules name get it, and come
 * again at the next one.  A contact may wait for several instants, and those
 * that come to the same wave are one.
 */
static void
take_replayed(Run *run)
{
	Steps	   *steps = run->steps;
	KeyType    *key = &run->model->contact_key;
	Work	  **works = palloc((run->nworks + 1) * sizeof(Work *));
	int			count = 0;

	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];
		TimestampTz next;

		if (!work->stepped)
			continue;
		next = replay_next_instant(steps->replayed, key, work->contact);
		if (next == work->clock)
		{
			replay_pass_instant(steps->replayed, key, work->contact);
			works[count++] = work;
			next = replay_next_instant(steps->replayed, key, work->contact);
		}
		if (!work->touched && is_due(work, steps->until))
			next = Min(next, work->state->due); /* nobody else notes it */
		if (next <= steps->until)
			wait_until(run, work, next, true);
	}
	replay_add_events(run, works, count);
}

/*
 * Give the contacts of the wave's first round their instants.
 */
static void
start_wave(Run *run)
{
	Steps	   *steps = run->steps;

	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];

		if (work->found && work->change != NULL &&
			work->change->kind == CONTACT_DEFERRED)
		{
			work->stepped = true;
			work->clock = work->change->instant;
		}
		else if (steps->replayed != NULL)
			start_replayed(run, work);
		else if (is_due(work, steps->until))
		{
			work->stepped = true;
			work->clock = Max(work->state->due, work->state->clock);
		}
		else if (work->found && work->had_state && !work->state->orphan)
			work->touched = false;	/* somebody else has been here */
	}
	if (steps->by_company)
	{
		set_company_instants(run);
		postpone(run);
	}
	steps->contacts = MemoryContextAlloc(run->context, run->nworks *
										 sizeof(Instant));
	steps->latest = DT_NOBEGIN;
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];
		Instant    *instant = &steps->contacts[steps->ncontacts];

		if (!work->stepped)
			continue;
		instant->key = run_copy_key(run, &run->model->contact_key,
									work->contact);
		instant->at = work->clock;
		steps->latest = Max(steps->latest, work->clock);
		steps->ncontacts++;
	}
	if (steps->ncontacts == 0)
		steps->latest = steps->until;
	if (steps->replayed != NULL)
		take_replayed(run);
	steps->started = true;
}

/*
 * step_works: set the clocks of the works of a wave, whose states have been
 * read.  What a contact's step leads to, for its company's other contacts
 * too, happens at the same instant.
 */
void
step_works(Run *run)
{
	Steps	   *steps = run->steps;

	if (!steps->started)
	{
		start_wave(run);
		return;
	}
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];
		Instant    *instant;

		instant = find_instant(&run->model->contact_key, steps->contacts,
							   steps->ncontacts, work->contact);
		if (instant == NULL && work->found && !work->company_null)
			instant = find_instant(&run->model->company_key, steps->companies,
								   steps->ncompanies, work->company);
		work->stepped = true;
		work->clock = instant != NULL ? instant->at : steps->latest;
		if (work->found && work->had_state)
			work->clock = Max(work->clock, work->state->clock);
	}
}

/*
 * step_may_set: may a rule set the contact's stage in any direction, or its
 * lead status?  See replay_may_set.
 */
bool
step_may_set(const Run *run, const Work *work, bool status)
{
	return run->steps == NULL || run->steps->replayed == NULL ||
		work->no_contact ||
		replay_may_set(run->steps->replayed, &run->model->contact_key,
					   work->contact, work_clock(run, work), status);
}

/*
 * May the contacts of a company influence one another?  Only if the model has
 * rules that time can set off.
 */
static bool
goes_by_company(Model *model, bool replay)
{
	if (model->table[CONTACTS].column[ROLE_COMPANY].attno == 0 ||
		!OidIsValid(model->table[COMPANIES].relid))
		return false;
	return query_once(psprintf("SELECT FROM %s.rule WHERE enabled"
							   " AND on_ OPERATOR(pg_catalog.=) ANY"
							   " (ARRAY['segment entered', 'segment left'%s])"
							   " LIMIT 1", model->schema,
							   replay ? ", 'event'" : ""),
					  0, NULL, NULL, NULL) > 0;
}

/*
 * One wave.  Returns the number of contacts that had to wait.
 */
static int
run_wave(Model *model, DueContact *due, int count, const Steps *template,
		 Tally *tally, bool skip_locked)
{
	Run		   *run = run_start(model);
	Steps		steps = *template;

	run->clock = steps.until;
	run->clock_given = true;
	run->skip_locked = skip_locked;
	run->reason = (Reason) {.cause = "tick"};
	run->steps = &steps;
	run->quiet = steps.quiet;
	run->tally = tally;
	for (int i = 0; i < count; i++)
	{
		ContactChange *change = run_add_contact(run, due[i].afresh ?
												CONTACT_DEFERRED : CONTACT_DUE,
												due[i].contact);

		change->again = due[i].again;
		change->instant = due[i].due;
	}
	run_finish(run);
	return steps.postponed;
}

/*
 * The next contacts in the order of their instants, of those that are due
 * from the beginning and those that have come to wait.
 */
static int
next_wave(DueContact *wave, int size, DueContact **due, DueContact *end,
		  pairingheap *waiting)
{
	int			count = 0;

	while (count < size)
	{
		Waiting    *first = pairingheap_is_empty(waiting) ? NULL :
			(Waiting *) pairingheap_first(waiting);

		if (*due < end && (first == NULL || (*due)->due <= first->item.due))
			wave[count++] = *(*due)++;
		else if (first != NULL)
		{
			wave[count++] = first->item;
			(void) pairingheap_remove_first(waiting);
		}
		else
			break;
	}
	return count;
}

/*
 * Wave after wave, until nobody is due any more.
 */
static void
run_waves(Model *model, DueContact *due, int count, Steps *template,
		  bool skip_locked, Tally *tally)
{
	DueContact *end = due + count;
	DueContact *wave = palloc(MAX_WAVE * sizeof(DueContact));
	int			size = MAX_WAVE;

	template->queue_context = CurrentMemoryContext;
	template->waiting = pairingheap_allocate(compare_waiting, NULL);
	template->by_company = goes_by_company(model, template->replayed != NULL);
	while ((count = next_wave(wave, size, &due, end, template->waiting)) > 0)
	{
		int			postponed = run_wave(model, wave, count, template, tally,
										 skip_locked);

		CHECK_FOR_INTERRUPTS();
		size = postponed > count / 2 ? Max(size / 2, MIN_WAVE) :
			Min(size * 2, MAX_WAVE);
	}
	pairingheap_free(template->waiting);
	pfree(wave);
}

/*
 * step_replay: contacts without a state begin at these instants, by which
 * they are sorted, and are stepped up to `until`; rules move stages and lead
 * statuses only.
 *
 * The caller is connected to SPI, writes as the owner of the model, and holds
 * the locks of lifecycle.lock_model.
 */
void
step_replay(Model *model, DueContact *due, int count, TimestampTz until,
			Tally *tally)
{
	Steps		template = {.until = until,.statement_on = -1,.quiet = true};
	Datum	   *contacts = MemoryContextAllocHuge(CurrentMemoryContext,
												  mul_size(count + 1,
														   sizeof(Datum)));

	for (int i = 0; i < count; i++)
		contacts[i] = due[i].contact;
	template.replayed = replay_read(model,
									key_array(&model->contact_key, contacts,
											  count), until);
	run_waves(model, due, count, &template, false, tally);
}

/*
 * step_contacts: step contacts, sorted by their due times, through all due
 * instants up to this one.
 *
 * The caller is connected to SPI and writes as the owner of the model.  outer
 * is the run that catches up and has locked the contacts, or NULL; with
 * skip_locked, contacts that others have locked are left out.
 */
void
step_contacts(Model *model, DueContact *due, int count, TimestampTz until,
			  Run *outer, bool skip_locked, Tally *tally)
{
	Steps		template = {.until = until,.statement_on = -1};

	if (count == 0)
		return;
	if (outer != NULL && outer->statement_on >= 0)
	{
		template.statement_on = outer->statement_on;
		PushCopiedSnapshot(GetLatestSnapshot());
		GetActiveSnapshot()->curcid = outer->command;
		template.before = RegisterSnapshot(GetActiveSnapshot());
		PopActiveSnapshot();
	}
	run_waves(model, due, count, &template, skip_locked, tally);
	if (template.before != NULL)
		UnregisterSnapshot(template.before);
}

/*
 * step_is_due: has time passed over an instant that this contact must be
 * looked at first?  Not if all is computed anew anyway.
 */
bool
step_is_due(Run *run, const Work *work)
{
	if (run->rewind || run->no_lock ||
		(work->change != NULL && (work->change->kind == CONTACT_REBUILT ||
								  work->change->kind == CONTACT_DEFERRED)))
		return false;
	return is_due(work, run->clock);
}

static int
compare_due(const void *a, const void *b)
{
	TimestampTz first = ((const DueContact *) a)->due;
	TimestampTz second = ((const DueContact *) b)->due;

	return (first > second) - (first < second);
}

/*
 * step_catch_up: step locked contacts up to the run's clock, before what its
 * statement did is decided about, and read their rows again.
 */
void
step_catch_up(Run *run, Work **works, int count)
{
	DueContact *due = palloc(count * sizeof(DueContact));
	Tally		tally = {0};

	for (int i = 0; i < count; i++)
	{
		due[i].contact = works[i]->contact;
		due[i].due = works[i]->state->due;
		due[i].again = due[i].afresh = false;
	}
	qsort(due, count, sizeof(DueContact), compare_due);
	step_contacts(run->model, due, count, run->clock, run, false, &tally);
	lock_contacts(run, works, count);
	if (run->companies_read)
	{
		run->companies_read = false;
		prepare_read_companies(run);
	}
}
