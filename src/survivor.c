/*-------------------------------------------------------------------------
 *
 * survivor.c
 *	  Whose the events of merged contacts are.
 *
 * The events of a contact that was merged (table contact_merge) are those of
 * whom it was merged into last; if that one was merged too, of whom that was
 * merged into, and so on to the first who is there.  If nobody is, they stay
 * with their key.  A key that has a contact again, because somebody inserted
 * it, is nobody else's.
 *
 * Events that arrive are given to the survivor by identity.c, those that are
 * there by merge.c.  What is left is done here: a contact that was inserted
 * again goes, and its events with it to the survivor; or a survivor that was
 * deleted comes back, and finds events that have come for those merged into it.
 *
 * Locks: the stripes of the keys whose events may have to move are taken as a
 * merge takes them, and only then it is looked who is there.  So an event in
 * flight is waited for, one to come waits, and of two that delete and insert
 * contacts on the same chain the second sees what the first has done: the one
 * who comes takes the stripes of all who were merged into it, whether they are
 * there or not.  But the contact's own row was locked before by the DELETE, so
 * an event in flight that has to lock it is a deadlock, which PostgreSQL
 * resolves.  That takes a key that was merged, inserted again and deleted;
 * other contacts are not concerned, nor are models without merges.
 *
 * READ COMMITTED and REPEATABLE READ do the same, as all statements here run on
 * the newest snapshot.  COPY, ON CONFLICT, MERGE and partitions come by the same
 * statement trigger (object.c); an UPDATE of the key is a contact that goes and
 * one that comes.  Savepoints: what was given is rolled back with the DELETE.
 * Where triggers do not fire, lifecycle_verify finds such events, and
 * lifecycle_rebuild gives them.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "identity.h"
#include "survivor.h"

/*
 * survivor_look_up: those of these contacts whose events are a survivor's: rows
 * (contact, survivor) in SPI_tuptable, and how many.
 *
 * The contacts are an array; the caller is connected to SPI.
 */
uint64
survivor_look_up(Model *model, Datum contacts)
{
	UserSpan	span;
	uint64		rows;

	if (model->plan[PLAN_SURVIVORS] == NULL)
	{
		char	   *exists = psprintf("EXISTS (SELECT FROM %s AS x"
									  " WHERE x.%s OPERATOR(pg_catalog.=) ",
									  model->table[CONTACTS].name,
									  model->table[CONTACTS].column[ROLE_KEY].quoted);

		model->plan[PLAN_SURVIVORS] =
			query_prepare(psprintf("WITH RECURSIVE link (start, contact,"
								   " depth) AS ("
								   "SELECT k, k, 0 FROM pg_catalog.unnest($1)"
								   " AS k"
								   " UNION ALL"
								   " SELECT l.start, m.into_contact,"
								   " l.depth OPERATOR(pg_catalog.+) 1"
								   " FROM link AS l CROSS JOIN LATERAL"
								   " (SELECT c.into_contact FROM"
								   " %s.contact_merge AS c"
								   " WHERE c.from_contact"
								   " OPERATOR(pg_catalog.=) l.contact"
								   " AND c.undone_at IS NULL AND NOT"
								   " %sc.from_contact)"
								   " ORDER BY c.id DESC LIMIT 1) AS m"
								   " WHERE l.depth OPERATOR(pg_catalog.<)"
								   " 1000)"
								   " SELECT l.start, l.contact FROM link AS l"
								   " WHERE l.depth OPERATOR(pg_catalog.>) 0"
								   " AND %sl.contact)",
								   model->schema, exists, exists), 1,
						  &model->contact_key.array);
	}
	span_write(&span, model->owner);
	rows = query_execute(model->plan[PLAN_SURVIVORS], &contacts, NULL);
	span_end(&span);
	return rows;
}

/*
 * survivor_of: the contact that this one was merged into, if any, in
 * the current memory context; else itself.  The caller is connected to SPI.
 */
Datum
survivor_of(Model *model, Datum contact)
{
	bool		isnull;

	if (survivor_look_up(model, key_array(&model->contact_key, &contact,
										   1)) == 0)
		return contact;
	return key_copy(&model->contact_key, query_value(0, 2, &isnull));
}

/*
 * survivor_may_matter: may there be merges in the model?
 */
bool
survivor_may_matter(const Model *model)
{
	return model_may_have_merges(model) &&
		OidIsValid(model->table[EVENTS].relid);
}

/*
 * The keys whose events may have to move: those of the contacts that are
 * gone, if they were merged once, and all that were merged into one that came.
 */
static uint64
look_up_merged(Model *model, Datum gone, Datum came)
{
	Oid			types[2] = {model->contact_key.array, model->contact_key.array};
	Datum		values[2] = {gone, came};
	UserSpan	span;
	uint64		rows;

	if (model->plan[PLAN_MERGED] == NULL)
		model->plan[PLAN_MERGED] =
			query_prepare(psprintf("WITH RECURSIVE merged (contact) AS ("
								   "SELECT m.from_contact"
								   " FROM %1$s.contact_merge AS m"
								   " WHERE m.into_contact"
								   " OPERATOR(pg_catalog.=) ANY ($2)"
								   " AND m.undone_at IS NULL"
								   " UNION SELECT m.from_contact"
								   " FROM merged AS l"
								   " JOIN %1$s.contact_merge AS m"
								   " ON m.into_contact"
								   " OPERATOR(pg_catalog.=) l.contact"
								   " WHERE m.undone_at IS NULL)"
								   " SELECT l.contact FROM merged AS l"
								   " UNION SELECT m.from_contact"
								   " FROM %1$s.contact_merge AS m"
								   " WHERE m.from_contact"
								   " OPERATOR(pg_catalog.=) ANY ($1)"
								   " AND m.undone_at IS NULL",
								   model->schema), 2, types);
	span_write(&span, model->owner);
	rows = query_execute(model->plan[PLAN_MERGED], values, NULL);
	span_end(&span);
	return rows;
}

/*
 * survivor_follow: contacts of these keys are gone, and others came; let events
 * follow.
 *
 * The keys are arrays; the caller is connected to SPI, and asks only if
 * survivor_may_matter.  Takes the stripes of keys that were merged, and waits
 * for them; what it finds is worked off by the run.  Raises nothing of its
 * own; the UPDATE of events fires the user's triggers.
 */
void
survivor_follow(Run *run, Datum gone, Datum came)
{
	Model	   *model = run->model;
	KeyType    *key = &model->contact_key;
	uint64		rows = look_up_merged(model, gone, came);
	Datum	   *merged;
	Bitmapset  *stripes = NULL;

	if (rows == 0)
		return;
	merged = palloc(rows * sizeof(Datum));
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;

		merged[i] = key_copy(key, query_value(i, 1, &isnull));
		stripes = bms_add_member(stripes, stripe_of_contact(model, merged[i]));
	}
	stripe_settle(model, stripes);
	if (survivor_look_up(model, key_array(key, merged, rows)) > 0)
		identity_give(run, PLAN_STRAY_EVENTS, false);
}
