/*-------------------------------------------------------------------------
 *
 * gather.c
 *	  A statement's new events by contact, in portions.
 *
 * Contacts for whom nothing can change (settled.c) are left out at once, so that
 * they cost no more than the look at their state.  The others are handed over
 * in key order, and of a large statement so many at a time that what is read of
 * a contact (its state, its row, the pages of both) is still in the processor's
 * caches when it is locked, decided about and written.
 *
 * A portion is locked, decided about and its states are written before the
 * next one is looked at.  What follows from it waits for the last one:
 * memberships, which are written in the order of their index (member.c), scores
 * and rules (run.c).  So the order of locks is as if there was one portion:
 * contacts in key order, then what rules write.  Contacts do not look at one
 * another, but through rules.
 *
 * A contact that is due is stepped through the past first (step.c), which may
 * let rules fire.  So a portion with such a contact is the last one: it takes
 * all contacts that are left.  One that somebody else makes due between the look
 * and the lock is stepped in its portion; if rules write its company then,
 * that is locked before the contacts of later portions.
 *
 * So is one with a contact for whom events must be read: one statement does that
 * for all contacts that need the same atom (decide.c).
 *
 * All contacts have the statement's clock, which is moved on to its latest event
 * beforehand.  It differs only if a state has a later one, which another
 * transaction gave it: then its portion and those after it have that one.
 *
 * The share locks of the stripes are taken for all contacts at first, and states
 * are looked at on one snapshot after that, which is right for later portions
 * too: as long as we hold the locks, others can only make more of a state
 * settled (prepare.c).  Who is not settled is looked at again under his lock.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "counter.h"
#include "find.h"
#include "gather.h"
#include "prepare.h"
#include "settled.h"

/* Contacts of a portion; see docs/performance.md. */
#define PORTION 128

/* The states of so few are not worth a memory context of their own. */
#define FEW_HITS 16

struct Gathering
{
	Run		   *run;
	Hit		  **hits;			/* by contact */
	int			nhits;
	Datum	   *contacts;
	int		   *first;			/* of a contact's hits */
	int			ncontacts;
	int			next;			/* contact */
	StateReader *reader;
	MemoryContext scratch;
	bool		clock_moved;
};

/* A hit of the round, to be sorted by contact. */
typedef struct SortedHit
{
	Datum		contact;
	int			order;			/* in which it came */
	Hit		   *hit;
} SortedHit;

static int
compare_hits(const void *a, const void *b, void *arg)
{
	const SortedHit *first = a;
	const SortedHit *second = b;
	int			order = key_compare(arg, first->contact, second->contact);

	return order != 0 ? order : first->order - second->order;
}

/* The same for keys of type bigint, which most are. */
static inline int
compare_numbered(const SortedHit *first, const SortedHit *second)
{
	int64		left = DatumGetInt64(first->contact);
	int64		right = DatumGetInt64(second->contact);

	if (left != right)
		return left < right ? -1 : 1;
	return first->order - second->order;
}

#define ST_SORT sort_numbered
#define ST_ELEMENT_TYPE SortedHit
#define ST_COMPARE(a, b) compare_numbered(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * The hits by contact; NULL if one must be computed anew, or if none has an
 * atom.
 */
static SortedHit *
sort_hits(Run *run, List *hits)
{
	int			count = list_length(hits);
	SortedHit  *sorted = palloc_extended(mul_size(count + 1,
												  sizeof(SortedHit)),
										 MCXT_ALLOC_HUGE);
	bool		touched = false;
	ListCell   *cell;

	foreach(cell, hits)
	{
		Hit		   *hit = lfirst(cell);
		SortedHit  *entry = &sorted[foreach_current_index(cell)];

		if (hit->dirty)
			return NULL;
		touched |= hit->natoms > 0;
		entry->contact = hit->contact;
		entry->order = foreach_current_index(cell);
		entry->hit = hit;
	}
	if (!touched)
		return NULL;
	if (run->model->contact_key.type == INT8OID)
		sort_numbered(sorted, count);
	else
		qsort_arg(sorted, count, sizeof(SortedHit), compare_hits,
				  &run->model->contact_key);
	return sorted;
}

/*
 * The state of a contact, if these hits may change something for it; NULL if
 * it has none.  False if nothing can change.
 */
static bool
read_unsettled(Gathering *gathering, Hit **hits, int count, StateRow **state)
{
	MemoryContext scratch = gathering->scratch;
	MemoryContext old = CurrentMemoryContext;
	PackedState packed;
	bool		found;
	bool		settled;

	if (scratch != NULL)
		MemoryContextSwitchTo(scratch);
	found = state_look(gathering->reader, hits[0]->contact, &packed);
	settled = settled_hits(gathering->run->clock, hits, count,
						   found ? &packed : NULL);
	MemoryContextSwitchTo(old);
	*state = found && !settled ? state_unpack(&packed) : NULL;
	if (scratch != NULL)
		MemoryContextReset(scratch);
	if (settled)
		counter_add(COUNT_SETTLED, 1);
	return !settled;
}

/*
 * Go on with a contact, given its hits, unless nothing can change for it and
 * no rule fires.
 */
static void
gather_contact(Gathering *gathering, Hit **hits, int count)
{
	bool		touched = false;
	bool		rules = false;
	StateRow   *state = NULL;
	Work	   *work;

	for (int i = 0; i < count; i++)
	{
		touched |= hits[i]->natoms > 0;
		rules |= hits[i]->rules;
	}
	touched = touched && read_unsettled(gathering, hits, count, &state);
	if (!touched && !rules)
		return;
	work = prepare_append_work(gathering->run, hits[0]->contact);
	work->touched = touched;
	work->seen = state;
	for (int i = 0; i < count; i++)
		work->hits = lappend(work->hits, hits[i]);
}

/*
 * gather_begin: begin with hits of which none must be computed anew, for a
 * first round of which there is nothing but these; NULL if the shortcut cannot
 * be taken.
 *
 * Takes the share locks of the contacts' stripes, and AccessShareLock on
 * contact_state.  Allocates in the current memory context, which must live
 * until the last portion.
 */
Gathering *
gather_begin(Run *run, List *hits)
{
	KeyType    *key = &run->model->contact_key;
	int			count = list_length(hits);
	Gathering  *gathering;
	SortedHit  *sorted;

	if (run->round > 0 || (sorted = sort_hits(run, hits)) == NULL)
		return NULL;
	gathering = palloc0(sizeof(Gathering));
	gathering->run = run;
	gathering->nhits = count;
	gathering->hits = palloc_extended(mul_size(count, sizeof(Hit *)),
									  MCXT_ALLOC_HUGE);
	gathering->contacts = palloc_extended(mul_size(count, sizeof(Datum)),
										  MCXT_ALLOC_HUGE);
	gathering->first = palloc_extended(mul_size(count + 1, sizeof(int)),
									   MCXT_ALLOC_HUGE);
	for (int i = 0; i < count; i++)
	{
		gathering->hits[i] = sorted[i].hit;
		if (i > 0 && key_compare(key, sorted[i - 1].contact,
								 sorted[i].contact) == 0)
			continue;
		gathering->contacts[gathering->ncontacts] = sorted[i].contact;
		gathering->first[gathering->ncontacts++] = i;
	}
	gathering->first[gathering->ncontacts] = count;
	if (!stripe_share(run->model, gathering->contacts, gathering->ncontacts))
		return NULL;
	if (count > FEW_HITS)
		gathering->scratch = AllocSetContextCreate(CurrentMemoryContext,
												   "lifecycle states",
												   ALLOCSET_SMALL_SIZES);
	gathering->reader = state_begin_read(run->model);
	find_expect(gathering->reader, gathering->contacts, gathering->ncontacts);
	run->settled_dropped = true;
	return gathering;
}

/*
 * Go on until there are so many works.  False if no contact is left.
 */
static bool
gather_some(Gathering *gathering, int count)
{
	Run		   *run = gathering->run;

	while (gathering->next < gathering->ncontacts && run->nworks < count)
	{
		int			first = gathering->first[gathering->next];
		int			end = gathering->first[++gathering->next];

		CHECK_FOR_INTERRUPTS();
		gather_contact(gathering, gathering->hits + first, end - first);
	}
	return gathering->next < gathering->ncontacts;
}

/*
 * Does an event that matches the atom make it be computed from the events?
 */
static bool
asks_events(const Atom *atom)
{
	return atom->method == METHOD_SCAN ||
		(atom->method == METHOD_WINDOW && atom->spec->times > 1);
}

/*
 * Is a contact due, or will the events be asked for it?
 */
static bool
needs_all(const Run *run, const Work *work)
{
	ListCell   *cell;

	if (work->seen != NULL && work->seen->due <= run->clock)
		return true;
	foreach(cell, work->hits)
	{
		Hit		   *hit = lfirst(cell);

		for (int i = 0; i < hit->natoms; i++)
			if (asks_events(hit->atoms[i]))
				return true;
	}
	return false;
}

static bool
one_needs_all(const Run *run)
{
	for (int i = 0; i < run->nworks; i++)
		if (needs_all(run, run->works[i]))
			return true;
	return false;
}

/*
 * gather_next: the next portion, as the run's works, in the current memory
 * context.  False if it is the last one.  There may be none in it.
 */
bool
gather_next(Gathering *gathering)
{
	Run		   *run = gathering->run;

	if (gathering->next > 0)
		counter_add(COUNT_PORTIONS, 1);
	run->nworks = 0;
	run->companies_read = false;
	if (gather_some(gathering, PORTION))
	{
		if (!gathering->clock_moved)
			decide_move_clock(run, gathering->hits, gathering->nhits);
		gathering->clock_moved = true;
		if (!one_needs_all(run))
			return true;
		(void) gather_some(gathering, gathering->ncontacts);
	}
	state_end_read(gathering->reader);
	if (gathering->scratch != NULL)
		MemoryContextDelete(gathering->scratch);
	return false;
}
