/*-------------------------------------------------------------------------
 *
 * enter.c
 *	  Members of a new segment, written down in bulk.
 *
 * When a segment is added, refresh.c knows from its statement who is in it,
 * before any contact is looked at.  If nothing follows from that (no rule, no
 * segment or score that names this one, nobody who has to leave), no round is
 * needed either: the contacts' states get what is new in them and are written
 * with the memberships.  The contacts' rows are not read.
 *
 * The caller holds the locks of lifecycle.lock_model, so that nobody changes
 * a contact, an event or a state meanwhile.
 *
 * A contact of whom nothing is known, or who is due, is left to a round of
 * the same run, which run_finish makes.  So is one that is not there but has
 * events: it has no state, or one of an orphan (prepare.c), as the others are
 * deleted together with the contact.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "miscadmin.h"

#include "counter.h"
#include "enter.h"
#include "evaluate.h"
#include "member.h"
#include "prepare.h"

/*
 * enter_begin: a batch of at most so many contacts, in the run's context.
 */
void
enter_begin(Run *run, int count)
{
	run->nworks = 0;
	run->works_allocated = Max(count, 1);
	run->works = MemoryContextAlloc(run->context,
									run->works_allocated * sizeof(Work *));
}

/*
 * enter_add: a contact with the values of the segment's atoms, of WorkValue *,
 * and the segment if the contact enters it, of MemberChange *.  All must live
 * as long as the batch.
 */
void
enter_add(Run *run, Datum contact, List *values, List *changes)
{
	Work	   *work = prepare_append_work(run, contact);

	work->values = values;
	work->changes = changes;
}

/*
 * Read the states, on a snapshot taken after the locks on the tables.
 */
static void
read_states(Run *run, int64 total)
{
	StateReader *reader = state_begin_read(run->model);
	bool		walks = state_begin_walk(reader, run->works[0]->contact,
										 total);

	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];

		work->state = walks ? state_walk_to(reader, work->contact) :
			state_read(reader, work->contact);
		work->had_state = work->state != NULL;
		if (work->had_state)
			run->clock = Max(run->clock, work->state->clock);
	}
	state_end_read(reader);
}

/*
 * Bring a state up to date with what is known of the contact.
 */
static void
enter(Run *run, Work *work)
{
	List	   *values = work->values;
	ListCell   *cell;

	work->values = NIL;
	foreach(cell, values)
	{
		WorkValue  *known = lfirst(cell);

		evaluate_store(run, work, known->atom, known->value);
	}
	if (work->changes == NIL)
		return;
	foreach(cell, work->changes)
		state_set_segment(work->state,
						  ((MemberChange *) lfirst(cell))->segment->id, true);
	work->state_changed = true;
}

/*
 * enter_write: write the batch, one of several which together have about
 * `total` contacts in key order, or 0 if that is not known.  The current
 * context must live as long as the run; the caller is connected to SPI and
 * calls run_finish.
 */
void
enter_write(Run *run, int64 total)
{
	if (run->nworks == 0)
		return;
	prepare_sort(run);
	read_states(run, total);
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];

		CHECK_FOR_INTERRUPTS();
		if (work->state == NULL || work->state->orphan ||
			work->state->due <= run->clock)
		{
			work->changes = NIL;
			run_add_contact(run, CONTACT_REBUILT,
							work->contact)->values = work->values;
		}
		else
		{
			counter_add(COUNT_DECIDED, 1);
			run->tally->contacts++;
			work->found = work->touched = true;
			enter(run, work);
		}
	}
	record_states(run);
	member_record(run);
	member_write(run);
	run->nworks = 0;
}
