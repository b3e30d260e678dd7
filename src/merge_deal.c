/*-------------------------------------------------------------------------
 *
 * merge_deal.c
 *	  The further contacts of deals when contacts are merged.
 *
 * The survivor becomes a further contact of the other's deals (see
 * deal_contact.c).  Where it is one already, the other's row is deleted, so
 * that a unique index over deal and contact stands in nobody's way, and kept
 * in contact_merge for lifecycle_unmerge.
 *
 * Locks and rights are those of merge.c.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "merge.h"

/*
 * merge_move_deal_contacts: give the survivor the other's rows, and note
 * them in the merge.  The caller holds the locks on both contacts.
 */
void
merge_move_deal_contacts(Merge *merge)
{
	Model	   *model = merge->model;
	AppTable   *table = &model->table[DEAL_CONTACTS];
	const char *contact = table->column[ROLE_CONTACT].quoted;
	const char *deal = table->column[ROLE_DEAL].quoted;
	Oid			types[2] = {model->contact_key.type, model->contact_key.type};
	Datum		values[2] = {merge->from, merge->into};

	merge->deal_contacts = identity_ids(NULL, 0);
	merge->deal_contact_rows = DirectFunctionCall1(jsonb_in,
												   CStringGetDatum("[]"));
	if (!OidIsValid(table->relid))
		return;
	query_once(psprintf("WITH gone AS (DELETE FROM %1$s AS l"
						" WHERE l.%2$s OPERATOR(pg_catalog.=) $1"
						" AND EXISTS (SELECT FROM %1$s AS o"
						" WHERE o.%2$s OPERATOR(pg_catalog.=) $2"
						" AND o.%3$s OPERATOR(pg_catalog.=) l.%3$s)"
						" RETURNING pg_catalog.to_jsonb(l) AS row)"
						" SELECT COALESCE(pg_catalog.jsonb_agg(gone.row),"
						" '[]') FROM gone",
						table->name, contact, deal),
			   2, types, values, NULL);
	merge->deal_contact_rows = merge_value(0, 1);
	query_once(psprintf("UPDATE %1$s AS l SET %2$s = $2::%3$s"
						" WHERE l.%2$s OPERATOR(pg_catalog.=) $1"
						" RETURNING l.%4$s::pg_catalog.text",
						table->name, contact,
						table->column[ROLE_CONTACT].type_name, deal),
			   2, types, values, NULL);
	merge->deal_contacts = merge_texts();
}

/*
 * The columns of the table that can be written, for an INSERT.
 */
static char *
writable_columns(Merge *merge)
{
	Oid			types[1] = {OIDOID};
	Datum		values[1];

	values[0] = ObjectIdGetDatum(merge->model->table[DEAL_CONTACTS].relid);
	merge_own(merge->model,
			  "SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)"
			  " FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0"
			  " AND NOT a.attisdropped AND a.attgenerated = ''",
			  1, types, values, NULL);
	return query_text(0, 1);
}

/*
 * merge_return_deal_contacts: give the rows back, of deals that are still
 * there, as far as they are still the survivor's.
 */
void
merge_return_deal_contacts(Merge *merge)
{
	Model	   *model = merge->model;
	AppTable   *table = &model->table[DEAL_CONTACTS];
	AppTable   *deals = &model->table[DEALS];
	Column	   *contact = &table->column[ROLE_CONTACT];
	Column	   *deal = &table->column[ROLE_DEAL];
	Oid			types[3] = {TEXTARRAYOID, model->contact_key.type,
	model->contact_key.type};
	Datum		values[3] = {merge->deal_contacts, merge->from, merge->into};
	Oid			row_types[1] = {JSONBOID};
	char	   *names;

	if (!OidIsValid(table->relid))
		return;
	query_once(psprintf("UPDATE %1$s AS l SET %2$s = $2::%3$s"
						" WHERE l.%4$s::pg_catalog.text"
						" OPERATOR(pg_catalog.=) ANY ($1)"
						" AND l.%2$s OPERATOR(pg_catalog.=) $3",
						table->name, contact->quoted, contact->type_name,
						deal->quoted),
			   3, types, values, NULL);
	names = writable_columns(merge);
	query_once(psprintf("INSERT INTO %1$s (%2$s) OVERRIDING SYSTEM VALUE"
						" SELECT %2$s FROM"
						" pg_catalog.jsonb_populate_recordset(NULL::%1$s, $1)"
						" AS r WHERE EXISTS (SELECT FROM %3$s AS d"
						" WHERE d.%4$s OPERATOR(pg_catalog.=) r.%5$s)"
						" ON CONFLICT DO NOTHING",
						table->name, names, deals->name,
						deals->column[ROLE_KEY].quoted, deal->quoted),
			   1, row_types, &merge->deal_contact_rows, NULL);
}
