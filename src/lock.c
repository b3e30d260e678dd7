/*-------------------------------------------------------------------------
 *
 * lock.c
 *	  The rows of contacts, locked and read.
 *
 * A round locks the rows of its contacts FOR NO KEY UPDATE, in key order (run.c
 * says why).  Every change pays for that, so rows of an ordinary table with a
 * primary key are looked up (find.c) and locked one by one, as the executor's node
 * LockRows locks them: on the newest snapshot; with the row's latest version
 * if others updated it while we waited, provided that it still has the key;
 * without the row if they deleted it; and with a serialization failure in
 * either case under REPEATABLE READ and SERIALIZABLE.  What we updated ourselves
 * is visible to the snapshot.
 *
 * A plan does it for what is different: tables that are no heaps, partitioned
 * tables and those with children, contacts whose key is no primary key, row
 * security that binds the owner, generated columns that are computed when they
 * are read.  A plan also reads rows without locking them, as then they may be
 * many.
 *
 * The table's owner does both, so that comparison functions of the key's type
 * run as the owner and not as whoever inserted an event.  The rows are copied to
 * the current memory context, with nothing left in TOAST tables and with all
 * columns, as a composite value has them.
 *
 * Takes RowShareLock on the table and the index, to the end of the transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "find.h"
#include "lock.h"
#include "transition.h"

/*
 * The statement that reads contacts, and locks them or those that nobody else
 * has locked.
 */
static SPIPlanPtr
lock_plan(Model *model, PlanId id)
{
	AppTable   *contacts = &model->table[CONTACTS];
	const char *key = contacts->column[ROLE_KEY].quoted;
	StringInfoData sql;

	if (model->plan[id] != NULL)
		return model->plan[id];
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT c.%s, c, ", key);
	if (contacts->column[ROLE_COMPANY].attno != 0)
		appendStringInfo(&sql, "(c.%s)::%s",
						 contacts->column[ROLE_COMPANY].quoted,
						 model->company_key.name);
	else
		appendStringInfo(&sql, "NULL::%s", model->company_key.name);
	appendStringInfo(&sql, " FROM %s AS c", contacts->name);
	appendStringInfo(&sql, " WHERE c.%s OPERATOR(pg_catalog.=) ANY ($1)"
					 " ORDER BY c.%s", key, key);
	if (id != PLAN_READ_CONTACTS)
		appendStringInfo(&sql, " FOR NO KEY UPDATE OF c%s",
						 id == PLAN_SKIP_CONTACTS ? " SKIP LOCKED" : "");
	model->plan[id] = query_prepare(sql.data, 1, &model->contact_key.array);
	return model->plan[id];
}

/*
 * Lock and read rows by a plan; or read them as they were on a snapshot, of the
 * contacts that were found.
 */
static void
read_by_plan(Run *run, PlanId id, Work **works, int count, Snapshot before)
{
	Model	   *model = run->model;
	Datum	   *contacts = palloc_extended(mul_size(count, sizeof(Datum)),
										   MCXT_ALLOC_HUGE);
	Datum		keys;
	uint64		rows;

	for (int i = 0; i < count; i++)
		contacts[i] = works[i]->contact;
	keys = key_array(&model->contact_key, contacts, count);
	rows = query_execute_at(lock_plan(model, id), &keys, NULL, before);
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		Work	   *work = run_find_work(run, query_value(i, 1, &isnull));
		HeapTuple	row;
		Datum		company;

		if (work == NULL || (before != NULL && !work->found))
			continue;
		work->found = true;
		row = run_copy_row(query_value(i, 2, &isnull));
		if (before != NULL)
			work->old_row = row;
		else
			work->row = row;
		company = query_value(i, 3, &work->company_null);
		if (!work->company_null)
			work->company = key_copy(&model->company_key, company);
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * The primary key, if contacts can be locked by it, or InvalidOid.
 */
static Oid
usable_key(Model *model, Relation rel)
{
	const Column *key = &model->table[CONTACTS].column[ROLE_KEY];
	Oid			index_id;
	Relation	index;
	bool		usable;

	if (!find_can_read(rel) ||
		rel->rd_rel->relkind != RELKIND_RELATION || rel->rd_rel->relhassubclass ||
		(rel->rd_rel->relrowsecurity && rel->rd_rel->relforcerowsecurity) ||
		compat_has_virtual(RelationGetDescr(rel)))
		return InvalidOid;
	index_id = compat_primary_key_index(rel);
	if (!OidIsValid(index_id))
		return InvalidOid;
	index = index_open(index_id, RowShareLock);
	usable = index->rd_index->indnkeyatts == 1 &&
		index->rd_index->indkey.values[0] == key->attno &&
		index->rd_opfamily[0] == model->contact_key.opfamily &&
		index->rd_indcollation[0] == model->contact_key.collation;
	index_close(index, NoLock);
	return usable ? index_id : InvalidOid;
}

static bool
has_key(Model *model, TupleTableSlot *slot, Datum contact)
{
	bool		isnull;
	Datum		key = slot_getattr(slot,
								   model->table[CONTACTS].column[ROLE_KEY].attno,
								   &isnull);

	return !isnull && key_compare(&model->contact_key, key, contact) == 0;
}

/*
 * Lock the row that was found, and put its latest version into the slot.  False
 * if there is none any more, or another transaction has locked it and we are
 * not to wait.
 */
static bool
lock_row(Run *run, Finder *finder, LockWaitPolicy policy, Datum contact,
		 TupleTableSlot *slot)
{
	ItemPointerData address = finder->row.t_self;
	uint8		flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;
	TM_FailureData failure;

	if (!IsolationUsesXactSnapshot())
		flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	switch (table_tuple_lock(finder->table, &address, finder->snapshot, slot,
							 GetCurrentCommandId(true),
							 LockTupleNoKeyExclusive, policy, flags,
							 &failure))
	{
		case TM_Ok:
			return !failure.traversed || has_key(run->model, slot, contact);
		case TM_Updated:
		case TM_Deleted:
			if (IsolationUsesXactSnapshot())
				ereport(ERROR,
						(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						 errmsg("could not serialize access due to concurrent update")));
			return false;
		default:
			return false;
	}
}

/*
 * The row in the slot as a composite value would have it.
 */
static HeapTuple
copy_row(Relation rel, TupleTableSlot *slot)
{
	TupleDesc	desc = RelationGetDescr(rel);
	bool		must_free;
	HeapTuple	row = ExecFetchSlotHeapTuple(slot, false, &must_free);

	if (HeapTupleHasExternal(row))
		return toast_flatten_tuple(row, desc);
	if (HeapTupleHeaderGetNatts(row->t_data) < desc->natts)
		return heap_expand_tuple(row, desc);
	return heap_copytuple(row);
}

static void
keep_row(Model *model, Work *work, Relation rel, TupleTableSlot *slot)
{
	const Column *link = &model->table[CONTACTS].column[ROLE_COMPANY];
	Datum		company = slot_key(slot, link, &model->company_key,
								   &work->company_null);

	work->found = true;
	work->row = copy_row(rel, slot);
	if (!work->company_null)
		work->company = key_copy(&model->company_key, company);
}

/*
 * Lock contacts by the primary key; false if that must be done by a plan.
 */
static bool
lock_directly(Run *run, LockWaitPolicy policy, Work **works, int count)
{
	Model	   *model = run->model;
	Relation	rel = table_open(model->table[CONTACTS].relid, RowShareLock);
	Oid			index_id = usable_key(model, rel);
	Datum	   *keys;
	Finder	   *finder;
	TupleTableSlot *slot;

	if (!OidIsValid(index_id))
	{
		table_close(rel, NoLock);
		return false;
	}
	CommandCounterIncrement();
	finder = find_begin(rel, index_id, RowShareLock,
						model->table[CONTACTS].column[ROLE_KEY].attno,
						&model->contact_key, model->context,
						&model->contact_places, GetLatestSnapshot());
	slot = table_slot_create(rel, NULL);
	keys = palloc_extended(mul_size(count, sizeof(Datum)), MCXT_ALLOC_HUGE);
	for (int i = 0; i < count; i++)
		keys[i] = works[i]->contact;
	find_expect(finder, keys, count);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (find_row(finder, works[i]->contact) &&
			lock_row(run, finder, policy, works[i]->contact, slot))
			keep_row(model, works[i], rel, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	find_end(finder);
	pfree(keys);
	table_close(rel, NoLock);
	return true;
}

/*
 * lock_contacts: lock contacts, which are given in key order, and read their
 * rows; or read them only, if the caller holds locks on the tables.  A contact
 * that is there is `found`.
 *
 * Those that time made due may be left for another time if somebody else has
 * locked them, but not those whom what it did concerns.  The caller is connected
 * to SPI.
 */
void
lock_contacts(Run *run, Work **works, int count)
{
	Model	   *model = run->model;
	bool		skip = run->skip_locked && run->round == 0;
	UserSpan	span;

	if (count == 0)
		return;
	span_write(&span, model->table[CONTACTS].owner);
	if (run->no_lock)
		read_by_plan(run, PLAN_READ_CONTACTS, works, count, NULL);
	else if (!lock_directly(run, skip ? LockWaitSkip : LockWaitBlock, works,
							count))
		read_by_plan(run, skip ? PLAN_SKIP_CONTACTS : PLAN_LOCK_CONTACTS,
					 works, count, NULL);
	span_end(&span);
}

/*
 * lock_read_before: the rows as they were before the statement, of contacts of
 * a wave that catches up for an UPDATE of them (step.c).
 */
void
lock_read_before(Run *run, Work **works, int count)
{
	Snapshot	before = step_snapshot(run, CONTACTS);
	UserSpan	span;

	if (before == NULL)
		return;
	span_write(&span, run->model->table[CONTACTS].owner);
	read_by_plan(run, PLAN_READ_CONTACTS, works, count, before);
	span_end(&span);
}
