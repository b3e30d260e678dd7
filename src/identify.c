/*-------------------------------------------------------------------------
 *
 * identify.c
 *	  An anonymous id becomes a contact's.
 *
 * Its events without contact get the contact, by an UPDATE with the caller's
 * own rights, and one run (cause: merge) decides about it.  The table
 * identity remembers whose the id is, for events to come (identity.c).  If
 * the id had made a contact, that one is merged into the real one.
 *
 * Locks: the events' stripes of the id and the contact, exclusively; the
 * contact's row FOR KEY SHARE, so that it is not deleted meanwhile; then
 * those of the run.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "merge.h"
#include "survivor.h"

PG_FUNCTION_INFO_V1(lifecycle_identify);

/*
 * The contact must be there, and stay, and the caller must be allowed to see
 * it.
 */
static void
hold_contact(Merge *merge)
{
	Model	   *model = merge->model;
	AppTable   *contacts = &model->table[CONTACTS];
	const char *sql = psprintf("SELECT FROM %s AS c WHERE c.%s"
							   " OPERATOR(pg_catalog.=) $1",
							   contacts->name,
							   contacts->column[ROLE_KEY].quoted);
	uint64		rows;
	UserSpan	span;

	rows = query_once(sql, 1, &model->contact_key.type, &merge->into, NULL);
	if (rows > 0)
	{
		span_write(&span, contacts->owner);
		rows = query_once(psprintf("%s FOR KEY SHARE", sql), 1,
						  &model->contact_key.type, &merge->into, NULL);
		span_end(&span);
	}
	if (rows == 0)
		merge_no_contact(merge, merge->into, merge->into_text);
}

/*
 * If the anonymous id had made a contact, merge it; returns how many events
 * that moved.
 */
static uint64
merge_stranger(Merge *merge, const char *id)
{
	Model	   *model = merge->model;
	Datum		value = CStringGetTextDatum(id);
	Oid			type = TEXTOID;
	bool		isnull;

	if (merge_own(model, psprintf("SELECT contact FROM %s.identity"
								  " WHERE anonymous_id = $1 AND made_contact",
								  model->schema), 1, &type, &value, NULL) == 0)
		return 0;
	merge->from = key_copy(&model->contact_key, query_value(0, 1, &isnull));
	merge->from_text = key_to_text(&model->contact_key, merge->from);
	if (key_compare(&model->contact_key, merge->from, merge->into) == 0)
		return 0;
	merge_check_rights(model);
	merge_settle(model, &merge->from, 1, NULL);
	merge->reason = "identified";
	(void) merge_contacts(merge);
	return merge->nevents;
}

/*
 * lifecycle_identify(model, anonymous_id, contact): the anonymous id is this
 * contact's, and so are its events.
 *
 * Returns how many events became the contact's.  A contact that was merged
 * stands for its survivor.  Takes the stripes of the id and the contact
 * exclusively; needs SELECT on contacts, SELECT and UPDATE on events, and if
 * the id had made a contact, what lifecycle_merge needs.  Raises 02000 if
 * there is no such contact, 55000 if events have no anonymous id.
 */
Datum
lifecycle_identify(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	AppTable   *events = &model->table[EVENTS];
	Column	   *anonymous = &events->column[ROLE_ANONYMOUS_ID];
	Column	   *contact = &events->column[ROLE_CONTACT];
	char	   *id = text_argument(fcinfo, 1, "anonymous_id");
	Merge		merge = {.model = model};
	Oid			types[2] = {TEXTOID, model->contact_key.type};
	Datum		values[2];
	Run		   *run;
	uint64		moved;

	merge.into = key_argument(fcinfo, 2, &model->contact_key, "contact",
							  &merge.into_text);
	if (!OidIsValid(events->relid) || anonymous->attno == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("events of model \"%s\" have no anonymous id",
						model->name),
				 errhint("Attach the table with columns => '{\"events\": {\"anonymous_id\": \"name of the column\"}}'.")));
	SPI_connect();
	model_use(model);
	merge_settle(model, &merge.into, 1, id);
	merge.into = survivor_of(model, merge.into);
	merge_settle(model, &merge.into, 1, NULL);
	hold_contact(&merge);
	moved = merge_stranger(&merge, id);

	values[0] = CStringGetTextDatum(id);
	values[1] = merge.into;
	merge_own(model, psprintf("INSERT INTO %s.identity AS i (anonymous_id,"
							  " contact)"
							  " VALUES ($1, $2) ON CONFLICT (anonymous_id) DO"
							  " UPDATE"
							  " SET contact = $2, made_contact = false,"
							  " identified_at = now() WHERE i.contact <> $2",
							  model->schema), 2, types, values, NULL);
	run = merge_start(model, NULL);
	moved += query_once(psprintf("UPDATE %s AS e SET %s = $2::%s"
								 " WHERE e.%s OPERATOR(pg_catalog.=) $1::%s"
								 " AND e.%s IS NULL",
								 events->name, contact->quoted,
								 contact->type_name, anonymous->quoted,
								 anonymous->type_name, contact->quoted),
						2, types, values, NULL);
	run_finish(run);
	model_release(model);
	SPI_finish();
	PG_RETURN_INT64(moved);
}
