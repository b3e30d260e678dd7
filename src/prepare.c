/*-------------------------------------------------------------------------
 *
 * prepare.c
 *	  Which contacts a round is about, and the right to decide about them.
 *
 * Changes are grouped by contact, in key order; contacts for whom nothing can
 * change (settled) are left out; the others' rows are locked and read with
 * their companies'.  Where there is nothing but new events, gather.c groups
 * them.
 *
 * The shortcut.  An event whose atoms are all settled (settled.c) changes
 * nothing, and its contact is neither locked nor written.  stripe.c says why
 * that is right.  The state is read on a snapshot taken after the stripe's
 * lock.
 *
 * Contacts that do not exist.  The event is kept, and counts when the contact
 * arrives.  Since the event's transaction and the contact's may overlap, the
 * event leaves an orphan row in contact_state: the contact's own transaction
 * collides with it, or it with the contact's, on the primary key, and
 * whoever is second waits and then sees the other.  An event that finds an
 * orphan row is content, under the stripe's share lock; the contact takes
 * the stripe exclusively when it finds one.
 *
 * Locks: rows of contacts FOR NO KEY UPDATE in key order, so that two
 * statements with the same contacts in opposite order do not deadlock.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "counter.h"
#include "lock.h"
#include "prepare.h"
#include "settled.h"

static int
compare_works(const void *a, const void *b, void *arg)
{
	const Work *first = *(Work *const *) a;
	const Work *second = *(Work *const *) b;
	KeyType    *key = arg;

	if (key->type == INT8OID)
	{
		int64		left = DatumGetInt64(first->contact);
		int64		right = DatumGetInt64(second->contact);

		return (left > right) - (left < right);
	}
	return key_compare(key, first->contact, second->contact);
}

Work *
prepare_append_work(Run *run, Datum contact)
{
	Work	   *work = palloc0(sizeof(Work));

	if (run->nworks == run->works_allocated)
	{
		run->works_allocated *= 2;
		run->works = repalloc_huge(run->works,
								   mul_size(run->works_allocated,
											sizeof(Work *)));
	}
	work->contact = contact;
	run->works[run->nworks++] = work;
	return work;
}

/*
 * Is everything to be computed anew for a contact?
 */
static bool
is_anew(const ContactChange *change)
{
	return change->kind == CONTACT_REBUILT || change->kind == CONTACT_DEFERRED;
}

static void
merge_into(Work *target, const Work *source)
{
	target->hits = list_concat(target->hits, source->hits);
	target->columns = bms_add_members(target->columns, source->columns);
	target->company_columns = bms_add_members(target->company_columns,
											  source->company_columns);
	target->touched |= source->touched;
	if (target->seen == NULL)
		target->seen = source->seen;
	target->follows |= source->follows;
	if (source->change != NULL &&
		(target->change == NULL || is_anew(source->change) ||
		 target->change->kind == CONTACT_UPDATED))
		target->change = source->change;
}

/*
 * prepare_sort: the works in key order, those of one contact made one.
 */
void
prepare_sort(Run *run)
{
	int			kept = 0;

	qsort_arg(run->works, run->nworks, sizeof(Work *), compare_works,
			  &run->model->contact_key);
	for (int i = 0; i < run->nworks; i++)
	{
		if (kept > 0 &&
			compare_works(&run->works[kept - 1], &run->works[i],
						  &run->model->contact_key) == 0)
			merge_into(run->works[kept - 1], run->works[i]);
		else
			run->works[kept++] = run->works[i];
	}
	run->nworks = kept;
}

/*
 * prepare_gather: group hits and changes by contact.
 */
void
prepare_gather(Run *run, List *hits, List *changes)
{
	ListCell   *cell;

	foreach(cell, hits)
	{
		Hit		   *hit = lfirst(cell);
		Work	   *work = prepare_append_work(run, hit->contact);

		work->hits = list_make1(hit);
		work->touched = hit->natoms > 0;
	}
	foreach(cell, changes)
	{
		ContactChange *change = lfirst(cell);
		Work	   *work = prepare_append_work(run, change->contact);

		work->change = change;
		work->columns = change->columns;
		work->company_columns = change->company_columns;
		work->touched = true;
	}
	prepare_sort(run);
}

/*
 * prepare_add_contacts: contacts that rules need to look at.
 */
void
prepare_add_contacts(Run *run, Datum *contacts, int count)
{
	for (int i = 0; i < count; i++)
		(void) prepare_append_work(run, contacts[i]);
	if (count > 0)
		prepare_sort(run);
}

static bool
work_is_settled(Run *run, StateReader *reader, const Work *work)
{
	int			count = list_length(work->hits);
	Hit		  **hits = palloc((count + 1) * sizeof(Hit *));
	PackedState state;
	bool		found = state_look(reader, work->contact, &state);
	ListCell   *cell;

	foreach(cell, work->hits)
		hits[foreach_current_index(cell)] = lfirst(cell);
	return settled_hits(run->clock, hits, count, found ? &state : NULL);
}

static bool
has_dirty_hit(const Work *work)
{
	ListCell   *cell;

	foreach(cell, work->hits)
		if (((Hit *) lfirst(cell))->dirty)
			return true;
	return false;
}

static bool
may_be_settled(Run *run)
{
	bool		touched = false;

	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];

		if (work->change != NULL || has_dirty_hit(work))
			return false;
		touched |= work->touched;
	}
	return touched;
}

/*
 * Atoms that are computed anew may become unsettled: wait for the shortcuts
 * in flight, before any contact is locked.
 */
void
prepare_exclude_shortcuts(Run *run)
{
	Work	  **works = palloc(run->nworks * sizeof(Work *));
	int			count = 0;

	if (run->no_lock)
		return;
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];

		if (has_dirty_hit(work) ||
			(work->change != NULL && is_anew(work->change)))
			works[count++] = work;
	}
	stripe_exclude(run->model, works, count);
}

/*
 * The shortcut: leave out contacts for whom nothing can change.
 */
void
prepare_drop_settled(Run *run)
{
	StateReader *reader;
	Datum	   *contacts = palloc((run->nworks + 1) * sizeof(Datum));
	int			kept = 0;
	MemoryContext scratch;
	MemoryContext old;

	for (int i = 0; i < run->nworks; i++)
		contacts[i] = run->works[i]->contact;
	if (!may_be_settled(run) ||
		!stripe_share(run->model, contacts, run->nworks))
		return;

	scratch = AllocSetContextCreate(CurrentMemoryContext, "lifecycle states",
									ALLOCSET_SMALL_SIZES);
	reader = state_begin_read(run->model);
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];

		CHECK_FOR_INTERRUPTS();
		if (work->touched)
		{
			old = MemoryContextSwitchTo(scratch);
			if (work_is_settled(run, reader, work))
			{
				work->touched = false;
				counter_add(COUNT_SETTLED, 1);
			}
			MemoryContextSwitchTo(old);
			MemoryContextReset(scratch);
		}
		if (work->touched || rule_has_hit(work))
			run->works[kept++] = work;
	}
	state_end_read(reader);
	MemoryContextDelete(scratch);
	run->nworks = kept;
}

/*
 * prepare_read_companies: read the companies of the locked contacts.
 *
 * That is done by a statement of its own, after the locks: whoever changed a
 * company had its contacts locked, and what was joined to them before we got
 * the lock would be the company as it was.
 */
void
prepare_read_companies(Run *run)
{
	Model	   *model = run->model;
	AppTable   *table = &model->table[COMPANIES];
	Datum	   *keys = palloc((run->nworks + 1) * sizeof(Datum));
	int			count = 0;
	Datum		array;
	uint64		rows;
	UserSpan	span;

	if (run->companies_read || !OidIsValid(table->relid))
		return;
	run->companies_read = true;
	for (int i = 0; i < run->nworks; i++)
		if (run->works[i]->found && !run->works[i]->company_null)
			keys[count++] = run->works[i]->company;
	if (count == 0)
		return;
	array = key_array(&model->company_key, keys, count);
	span_write(&span, table->owner);
	if (model->plan[PLAN_COMPANY_ROWS] == NULL)
		model->plan[PLAN_COMPANY_ROWS] =
			query_prepare(psprintf("SELECT co.%1$s, co FROM %2$s AS co"
								   " WHERE co.%1$s OPERATOR(pg_catalog.=) ANY ($1)"
								   " ORDER BY co.%1$s",
								   table->column[ROLE_KEY].quoted, table->name),
						  1, &model->company_key.array);
	rows = query_execute_at(model->plan[PLAN_COMPANY_ROWS], &array, NULL,
							step_snapshot(run, COMPANIES));
	span_end(&span);
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];
		bool		isnull;
		int64		low = 0;
		int64		high = (int64) rows - 1;

		while (work->found && !work->company_null && low <= high)
		{
			int64		middle = (low + high) / 2;
			int			order = key_compare(&model->company_key,
											query_value(middle, 1, &isnull),
											work->company);

			if (order == 0)
			{
				work->company_row = run_copy_row(query_value(middle, 2,
															 &isnull));
				break;
			}
			if (order < 0)
				low = middle + 1;
			else
				high = middle - 1;
		}
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Events of contacts that do not exist leave an orphan row, unless the
 * contact has arrived meanwhile.
 */
static void
keep_orphans(Run *run, Datum *contacts, int count)
{
	Model	   *model = run->model;
	Datum		values[2];
	UserSpan	span;
	StateRow   *orphan = state_new(0);
	int			nothers = 0;
	Work	  **others = palloc(count * sizeof(Work *));

	if (model->plan[PLAN_ORPHAN_INSERT] == NULL)
	{
		Oid			types[2] = {model->contact_key.array, BYTEAOID};

		model->plan[PLAN_ORPHAN_INSERT] =
			query_prepare(psprintf("INSERT INTO %s.contact_state (contact, state)"
								   " SELECT k, $2 FROM pg_catalog.unnest($1) AS k"
								   " ORDER BY k"
								   " ON CONFLICT (contact) DO NOTHING"
								   " RETURNING contact", model->schema),
						  2, types);
	}
	orphan->orphan = true;
	values[0] = key_array(&model->contact_key, contacts, count);
	values[1] = PointerGetDatum(state_pack(orphan));
	span_write(&span, model->owner);
	query_execute(model->plan[PLAN_ORPHAN_INSERT], values, NULL);
	span_end(&span);

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		isnull;
		Work	   *work = run_find_work(run, query_value(row, 1, &isnull));

		if (work != NULL)
			work->written = true;
	}
	for (int i = 0; i < count; i++)
	{
		Work	   *work = run_find_work(run, contacts[i]);

		if (!work->written)
			others[nothers++] = work;
	}
	lock_contacts(run, others, nothers);
}

static bool
has_new_event(const Work *work)
{
	ListCell   *cell;

	foreach(cell, work->hits)
	{
		Hit		   *hit = lfirst(cell);

		if (hit->natoms > 0 && !hit->dirty)
			return true;
	}
	return work->change != NULL && work->change->kind == CONTACT_DEFERRED;
}

/*
 * Contacts that are new, or new to their company: see stripe.c.
 */
static void
exclude_company_changes(Run *run)
{
	Model	   *model = run->model;
	AttrNumber	link = model->table[CONTACTS].column[ROLE_COMPANY].attno;
	Datum	   *companies;
	int			count = 0;

	if (run->no_lock || link == 0 || !OidIsValid(model->table[COMPANIES].relid))
		return;
	if (network_columns(model, COMPANIES) == NULL &&
		(model->company_key_checked ||
		 !(model->company_furthest || model->contacts_follow)))
		return;
	companies = palloc(run->nworks * sizeof(Datum));
	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];

		if (work->found && !work->company_null && work->change != NULL &&
			(work->change->kind == CONTACT_INSERTED ||
			 bms_is_member(link, work->columns)))
			companies[count++] = work->company;
	}
	stripe_link(model, companies, count);
}

void
prepare_lock_contacts(Run *run)
{
	Datum	   *contacts = palloc(run->nworks * sizeof(Datum));
	int			count = 0;

	lock_contacts(run, run->works, run->nworks);
	lock_read_before(run, run->works, run->nworks);
	for (int i = 0; i < run->nworks; i++)
		if (!run->works[i]->found && has_new_event(run->works[i]))
			contacts[count++] = run->works[i]->contact;
	if (count > 0)
		keep_orphans(run, contacts, count);
	exclude_company_changes(run);
	if (network_columns(run->model, COMPANIES) != NULL)
		prepare_read_companies(run);
}
