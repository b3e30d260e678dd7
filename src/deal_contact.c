/*-------------------------------------------------------------------------
 *
 * deal_contact.c
 *	  The further contacts of deals.
 *
 * A deal has one contact in its own column.  Where the model is attached to a
 * table of deals and contacts, those in it are further contacts: what happens
 * to the deal acts on them too (rule.c), and open_deals counts it for each of
 * them.  A contact that comes to a deal later is acted on as if the deal had
 * just been created, and won or lost if it is; nothing happens to the deal.
 *
 * Concurrency.  The deal's row is where the two sides meet.  Whoever changes
 * a deal holds the lock on its row and reads its further contacts afterwards,
 * on the newest snapshot.  Whoever adds a contact to a deal has written the
 * row of the table already, and then locks the deal (FOR NO KEY UPDATE, in
 * key order) and reads it.  So the second sees what the first did.  The lock
 * is not one that two can share, since both would perhaps change the deal
 * next.  A deal that is not committed has no contacts by others, because
 * attaching demands a foreign key that is checked at once.  A contact that
 * leaves a deal needs no such lock: both sides then lock the contact and
 * count again.
 *
 * Order of locks: deals before contacts, as in a statement on deals.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/relation.h"
#include "executor/tuptable.h"
#include "miscadmin.h"

#include "deal.h"
#include "import.h"

PG_FUNCTION_INFO_V1(deal_contacts_insert);
PG_FUNCTION_INFO_V1(deal_contacts_update);
PG_FUNCTION_INFO_V1(deal_contacts_delete);
PG_FUNCTION_INFO_V1(deal_contacts_truncate);

/* A contact that became one of a deal's. */
typedef struct Joiner
{
	Datum		deal;
	Datum		contact;
} Joiner;

/* What the rows of one statement say. */
typedef struct Joiners
{
	int			count;
	int			allocated;
	Joiner	   *list;
} Joiners;

static int
compare_changes(const void *a, const void *b, void *key)
{
	return key_compare(key, (*(DealChange *const *) a)->deal,
					   (*(DealChange *const *) b)->deal);
}

static int
compare_joiners(const void *a, const void *b, void *key)
{
	return key_compare(key, ((const Joiner *) a)->deal,
					   ((const Joiner *) b)->deal);
}

/*
 * Read the further contacts of some deals, into SPI_tuptable: deal, contact,
 * the rows of a deal together.
 */
static uint64
read_contacts(Model *model, Datum *deals, int count)
{
	AppTable   *table = &model->table[DEAL_CONTACTS];
	const char *deal = table->column[ROLE_DEAL].quoted;
	const char *contact = table->column[ROLE_CONTACT].quoted;
	Datum		array = key_array(&model->deal_key, deals, count);
	UserSpan	span;
	uint64		rows;

	span_write(&span, table->owner);
	if (model->plan[PLAN_CONTACTS_OF_DEALS] == NULL)
		model->plan[PLAN_CONTACTS_OF_DEALS] =
			query_prepare(psprintf("SELECT DISTINCT (l.%1$s)::%2$s,"
								   " (l.%3$s)::%4$s FROM %5$s AS l"
								   " WHERE l.%1$s OPERATOR(pg_catalog.=) ANY ($1)"
								   " AND l.%3$s IS NOT NULL ORDER BY 1, 2",
								   deal, model->deal_key.name, contact,
								   model->contact_key.name, table->name),
						  1, &model->deal_key.array);
	rows = query_execute(model->plan[PLAN_CONTACTS_OF_DEALS], &array, NULL);
	span_end(&span);
	return rows;
}

/*
 * The further contacts of one deal, which are rows of the result, are given
 * to its change.  Its own contact is not one of them.
 */
static void
give_contacts(Run *run, DealChange *change, Datum *contacts, int count)
{
	KeyType    *key = &run->model->contact_key;

	change->others = MemoryContextAlloc(run->context, count * sizeof(Datum));
	for (int i = 0; i < count; i++)
		if (change->contact_null ||
			key_compare(key, change->contact, contacts[i]) != 0)
			change->others[change->nothers++] = contacts[i];
}

/*
 * deal_contact_gather: find the further contacts of deals that changed, and
 * let the segments of these contacts that look at deals be evaluated.
 *
 * Expects that the statement holds the locks on the deals' rows, so that
 * nobody can add contacts now; the caller is connected to SPI.  The array of
 * atoms must live as long as the run.
 */
void
deal_contact_gather(Run *run, List *changes, Atom **atoms, int natoms)
{
	Model	   *model = run->model;
	int			count = list_length(changes);
	DealChange **sorted;
	Datum	   *deals;
	Datum	   *contacts;
	SPITupleTable *result;
	uint64		rows;
	uint64		first = 0;

	if (count == 0 || !OidIsValid(model->table[DEAL_CONTACTS].relid))
		return;
	sorted = palloc(count * sizeof(DealChange *));
	deals = palloc(count * sizeof(Datum));
	for (int i = 0; i < count; i++)
		sorted[i] = list_nth(changes, i);
	qsort_arg(sorted, count, sizeof(DealChange *), compare_changes,
			  &model->deal_key);
	for (int i = 0; i < count; i++)
		deals[i] = sorted[i]->deal;
	rows = read_contacts(model, deals, count);
	result = SPI_tuptable;
	contacts = palloc((rows + 1) * sizeof(Datum));
	for (uint64 i = 0; i < rows; i++)
	{
		DealChange	key = {0};
		DealChange *wanted = &key;
		DealChange **found;
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		contacts[i] = run_copy_key(run, &model->contact_key,
								   SPI_getbinval(result->vals[i],
												 result->tupdesc, 2, &isnull));
		deal_hit(run, contacts[i], atoms, natoms);
		key.deal = SPI_getbinval(result->vals[i], result->tupdesc, 1, &isnull);
		if (i + 1 < rows &&
			key_compare(&model->deal_key, key.deal,
						SPI_getbinval(result->vals[i + 1], result->tupdesc, 1,
									  &isnull)) == 0)
			continue;
		found = bsearch_arg(&wanted, sorted, count, sizeof(DealChange *),
							compare_changes, &model->deal_key);
		if (found != NULL)
			give_contacts(run, *found, contacts + first, (int) (i + 1 - first));
		first = i + 1;
	}
	SPI_freetuptable(result);
}

/*
 * Read one row of the table; false if it says nothing.
 */
static bool
read_row(Run *run, TupleTableSlot *slot, Joiner *joiner)
{
	Model	   *model = run->model;
	AppTable   *table = &model->table[DEAL_CONTACTS];
	bool		isnull;

	if (slot == NULL)
		return false;
	joiner->contact = slot_key(slot, &table->column[ROLE_CONTACT],
							 &model->contact_key, &isnull);
	if (isnull)
		return false;
	joiner->deal = slot_key(slot, &table->column[ROLE_DEAL], &model->deal_key,
						  &isnull);
	if (isnull)
		return false;
	joiner->contact = run_copy_key(run, &model->contact_key, joiner->contact);
	joiner->deal = run_copy_key(run, &model->deal_key, joiner->deal);
	return true;
}

static void
add_joiner(Joiners *joiners, const Joiner *joiner)
{
	if (joiners->count == joiners->allocated)
	{
		joiners->allocated = Max(16, joiners->allocated * 2);
		joiners->list = joiners->list == NULL ?
			palloc(joiners->allocated * sizeof(Joiner)) :
			repalloc_huge(joiners->list,
						  mul_size(joiners->allocated, sizeof(Joiner)));
	}
	joiners->list[joiners->count++] = *joiner;
}

/*
 * Lock the deals and read them, into SPI_tuptable: the rows, whole.
 */
static uint64
lock_deals(Model *model, const Joiners *joiners)
{
	AppTable   *table = &model->table[DEALS];
	Datum	   *deals = palloc(joiners->count * sizeof(Datum));
	Datum		array;
	UserSpan	span;
	uint64		rows;
	int			count = 0;

	for (int i = 0; i < joiners->count; i++)
		if (i == 0 || key_compare(&model->deal_key, deals[count - 1],
								  joiners->list[i].deal) != 0)
			deals[count++] = joiners->list[i].deal;
	array = key_array(&model->deal_key, deals, count);
	span_write(&span, table->owner);
	if (model->plan[PLAN_LOCK_DEALS] == NULL)
		model->plan[PLAN_LOCK_DEALS] =
			query_prepare(psprintf("SELECT d FROM %1$s AS d"
								   " WHERE d.%2$s OPERATOR(pg_catalog.=) ANY ($1)"
								   " ORDER BY d.%2$s FOR NO KEY UPDATE",
								   table->name, table->column[ROLE_KEY].quoted),
						  1, &model->deal_key.array);
	rows = query_execute(model->plan[PLAN_LOCK_DEALS], &array, NULL);
	span_end(&span);
	return rows;
}

/*
 * Who joined this deal, as changes of it.
 */
static void
collect_joiners(Run *run, const Joiners *joiners, TupleTableSlot *slot)
{
	Model	   *model = run->model;
	DealChange *first = deal_change(run, NULL, slot);
	Joiner		key = {first->deal};
	Joiner	   *found = bsearch_arg(&key, joiners->list, joiners->count,
									sizeof(Joiner), compare_joiners,
									&model->deal_key);
	Joiner	   *end = joiners->list + joiners->count;

	if (found == NULL)
		return;
	while (found > joiners->list &&
		   compare_joiners(found - 1, &key, &model->deal_key) == 0)
		found--;
	for (; found < end &&
		 compare_joiners(found, &key, &model->deal_key) == 0; found++)
	{
		DealChange *change;

		/* The deal's own contact was there before. */
		if (!first->contact_null &&
			key_compare(&model->contact_key, first->contact,
						found->contact) == 0)
			continue;
		change = MemoryContextAlloc(run->context, sizeof(DealChange));
		*change = *first;
		change->contact = found->contact;
		change->contact_null = false;
		change->joined = true;
		run_add_deal_change(run, change);
	}
}

/*
 * Contacts became ones of deals.  In a merge nobody did: a person's rows got
 * another key.
 */
static void
join_deals(Run *run, Joiners *joiners)
{
	Model	   *model = run->model;
	SPITupleTable *result;
	uint64		rows;
	Relation	rel;
	TupleTableSlot *slot;

	if (joiners->count == 0)
		return;
	qsort_arg(joiners->list, joiners->count, sizeof(Joiner), compare_joiners,
			  &model->deal_key);
	rows = lock_deals(model, joiners);
	result = SPI_tuptable;
	if (run_is_merge(run))
		rows = 0;
	rel = relation_open(model->table[DEALS].relid, AccessShareLock);
	slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		Datum		row = SPI_getbinval(result->vals[i], result->tupdesc, 1,
										&isnull);

		CHECK_FOR_INTERRUPTS();
		ExecStoreHeapTuple(run_copy_row(row), slot, false);
		collect_joiners(run, joiners, slot);
		ExecClearTuple(slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	relation_close(rel, NoLock);
	SPI_freetuptable(result);
}

/*
 * Collect the rows of a statement: who is hit, who joined a deal, and the
 * stripes of the latter.
 */
static Bitmapset *
collect_rows(Run *run, Transition *old_rows, Transition *new_rows,
			 Joiners *joiners)
{
	Model	   *model = run->model;
	Bitmapset  *stripes = NULL;
	int			natoms;
	Atom	  **atoms = network_deal_atoms(model, &natoms);

	for (;;)
	{
		TupleTableSlot *old = old_rows != NULL ?
			transition_next(old_rows) : NULL;
		TupleTableSlot *new = new_rows != NULL ?
			transition_next(new_rows) : NULL;
		Joiner		left;
		Joiner		joined;
		bool		leaves;
		bool		joins;

		if (old == NULL && new == NULL)
			return stripes;
		CHECK_FOR_INTERRUPTS();
		leaves = read_row(run, old, &left);
		joins = read_row(run, new, &joined);
		if (leaves && joins &&
			key_compare(&model->deal_key, left.deal, joined.deal) == 0 &&
			key_compare(&model->contact_key, left.contact,
						joined.contact) == 0)
			continue;
		if (leaves)
			deal_hit(run, left.contact, atoms, natoms);
		if (joins)
		{
			deal_hit(run, joined.contact, atoms, natoms);
			add_joiner(joiners, &joined);
			stripes = deal_add_stripe(run, DEAL_CONTACTS, new, stripes);
		}
	}
}

static void
statement(TriggerData *trigdata)
{
	TupleConversionMap *map;
	Model	   *model = model_for_trigger(trigdata->tg_relation,
										  DEAL_CONTACTS, &map);
	Run		   *run;
	bool		outermost;
	Transition *old_rows = NULL;
	Transition *new_rows = NULL;
	Joiners		joiners = {0};
	Bitmapset  *stripes;

	if (model == NULL || !OidIsValid(model->table[DEALS].relid))
		return;
	SPI_connect();
	run = run_current(model);
	outermost = run == NULL;
	if (outermost)
	{
		run = run_start(model);
		run->statement_on = DEAL_CONTACTS;
		run->quiet = import_mode() == IMPORT_SILENT;
	}
	if (trigdata->tg_oldtable != NULL)
		old_rows = transition_begin(trigdata, trigdata->tg_oldtable, model,
									DEAL_CONTACTS, map);
	if (trigdata->tg_newtable != NULL)
		new_rows = transition_begin(trigdata, trigdata->tg_newtable, model,
									DEAL_CONTACTS, map);
	stripes = collect_rows(run, old_rows, new_rows, &joiners);
	if (stripes != NULL)
		stripe_arrive(model, stripes);
	join_deals(run, &joiners);
	if (old_rows != NULL)
		transition_end(old_rows);
	if (new_rows != NULL)
		transition_end(new_rows);
	if (outermost)
		run_finish(run);
	SPI_finish();
}

/*
 * deal_contacts_insert(), deal_contacts_update(), deal_contacts_delete(),
 * deal_contacts_truncate(): statement triggers on the further contacts of a
 * model's deals, or a partition of them.
 *
 * The first two lock the deals, then all lock the contacts if rules or
 * open_deals look at them; they raise 39P01 if not called as the trigger,
 * 55000 if the table is not attached, 54000 for rules that loop.
 */
Datum
deal_contacts_insert(PG_FUNCTION_ARGS)
{
	statement(trigger_check_statement(fcinfo, "deal_contacts_insert",
									  TRIGGER_EVENT_INSERT));
	return PointerGetDatum(NULL);
}

Datum
deal_contacts_update(PG_FUNCTION_ARGS)
{
	statement(trigger_check_statement(fcinfo, "deal_contacts_update",
									  TRIGGER_EVENT_UPDATE));
	return PointerGetDatum(NULL);
}

Datum
deal_contacts_delete(PG_FUNCTION_ARGS)
{
	statement(trigger_check_statement(fcinfo, "deal_contacts_delete",
									  TRIGGER_EVENT_DELETE));
	return PointerGetDatum(NULL);
}

Datum
deal_contacts_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = trigger_check_statement(fcinfo,
													"deal_contacts_truncate",
													TRIGGER_EVENT_TRUNCATE);
	Model	   *model = model_for_trigger(trigdata->tg_relation,
										  DEAL_CONTACTS, NULL);
	int			natoms;

	if (model == NULL || !OidIsValid(model->table[DEALS].relid))
		return PointerGetDatum(NULL);
	SPI_connect();
	(void) network_deal_atoms(model, &natoms);
	SPI_finish();
	if (natoms > 0)
		refresh_all(model);
	return PointerGetDatum(NULL);
}
