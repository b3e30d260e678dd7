/*-------------------------------------------------------------------------
 *
 * truncate.c
 *	  What the model keeps of rows that TRUNCATE took away.
 *
 * TRUNCATE shows its triggers no rows, and empties a table or a partition of
 * it.  So those are gone whom the model knows and the table has no more.  What
 * is kept of them goes, as after a DELETE; the history stays and says so.
 *
 * Of contacts that are all gone nothing is looked up: the model's own tables
 * are truncated too.
 *
 * TRUNCATE holds an AccessExclusiveLock on what it empties, but only on the
 * partition: another transaction may insert the same key into another one
 * meanwhile.  So statements run on the newest snapshot, like all of ours, and
 * who is not to be seen yet notes itself down again when its own trigger comes.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "member.h"
#include "run.h"
#include "survivor.h"

/*
 * Stages are counted less, and the histories say that the rows are gone.
 */
static void
end_histories(Model *model, TableKind kind)
{
	static const char *const histories[2][2] = {
		{"stage_history", "stage"}, {"lead_status_history", "status"}
	};
	const char *object = kind == CONTACTS ? "contact" : "company";

	for (int i = 0; i < 2; i++)
	{
		char	   *ends = psprintf("(SELECT DISTINCT ON (%3$s) *"
									" FROM %1$s.%2$s"
									" WHERE object OPERATOR(pg_catalog.=) '%3$s'"
									" ORDER BY %3$s, id DESC) AS h"
									" WHERE h.to_%4$s IS NOT NULL AND %5$s",
									model->schema, histories[i][0], object,
									histories[i][1],
									model_gone_sql(model, kind,
												   psprintf("h.%s", object)));

		if (i == 0)
			query_once(psprintf("INSERT INTO %1$s.stage_count (object, stage,"
								" number) SELECT '%2$s', h.to_stage,"
								" OPERATOR(pg_catalog.-) pg_catalog.count(*)"
								" FROM %3$s GROUP BY h.to_stage",
								model->schema, object, ends),
					   0, NULL, NULL, NULL);
		if (!model->deletes_history)
			query_once(psprintf("INSERT INTO %1$s.%2$s (object, %4$s, from_%3$s,"
								" at, cause, reason, role)"
								" SELECT '%4$s', h.%4$s, h.to_%3$s,"
								" pg_catalog.now(), 'update', 'truncated',"
								" SESSION_USER FROM %5$s",
								model->schema, histories[i][0],
								histories[i][1], object, ends),
					   0, NULL, NULL, NULL);
	}
}

/*
 * The keys that this query finds, the distinct ones whose rows are gone.
 */
static Datum *
gone_keys(Model *model, TableKind kind, const char *query, int *count)
{
	KeyType    *type = kind == CONTACTS ? &model->contact_key :
		&model->company_key;
	uint64		rows = query_once(psprintf("SELECT k.key FROM (%s) AS k (key)"
										   " WHERE %s", query,
										   model_gone_sql(model, kind, "k.key")),
								  0, NULL, NULL, NULL);
	Datum	   *keys = palloc_extended(mul_size(rows + 1, sizeof(Datum)),
									   MCXT_ALLOC_HUGE);

	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;

		keys[i] = key_copy(type, query_value(i, 1, &isnull));
	}
	*count = (int) rows;
	return keys;
}

/*
 * Some of the contacts are gone.
 */
static void
forget_some_contacts(Model *model)
{
	KeyType    *key = &model->contact_key;
	Run		   *run = run_start(model);
	UserSpan	span;
	Datum	   *keys;
	int			count;

	run->clock = run_clock(model);
	span_write(&span, model->owner);
	keys = gone_keys(model, CONTACTS,
					 psprintf("SELECT contact FROM %1$s.contact_state"
							  " UNION SELECT contact FROM %1$s.membership"
							  " UNION SELECT contact FROM %1$s.identity",
							  model->schema), &count);
	span_end(&span);
	record_forget_contacts(run, keys, count);
	if (count > 0 && survivor_may_matter(model))
		survivor_follow(run, key_array(key, keys, count),
						key_array(key, NULL, 0));
	run_finish(run);
}

static void
forget_all_contacts(Model *model)
{
	UserSpan	span;

	span_write(&span, model->owner);
	member_forget_all(model);
	query_once(psprintf("TRUNCATE %1$s.contact_state, %1$s.identity",
						model->schema), 0, NULL, NULL, NULL);
	span_end(&span);
	record_forget_history(model, CONTACTS, 0);
}

static void
forget_companies(Model *model)
{
	UserSpan	span;
	Datum	   *keys;
	int			count;

	if (!model->deletes_history)
		return;
	span_write(&span, model->owner);
	keys = gone_keys(model, COMPANIES,
					 psprintf("SELECT company FROM %1$s.stage_history"
							  " WHERE object OPERATOR(pg_catalog.=) 'company'"
							  " UNION SELECT company"
							  " FROM %1$s.lead_status_history"
							  " WHERE object OPERATOR(pg_catalog.=) 'company'",
							  model->schema), &count);
	span_end(&span);
	record_forget_history(model, COMPANIES,
						  key_array(&model->company_key, keys, count));
}

static bool
is_empty(Model *model, TableKind kind)
{
	UserSpan	span;
	bool		result;

	span_write(&span, model->table[kind].owner);
	result = query_once(psprintf("SELECT FROM %s LIMIT 1",
								 model->table[kind].name),
						0, NULL, NULL, NULL) == 0;
	span_end(&span);
	return result;
}

/*
 * truncate_forget: a table, or a partition of it, was emptied by TRUNCATE.
 *
 * Called by the trigger.  Takes the locks of a DELETE of the same rows, and an
 * AccessExclusiveLock on contact_state, membership and identity if no contact is
 * left.  Raises nothing of its own.
 */
void
truncate_forget(Model *model, TableKind kind)
{
	UserSpan	span;

	SPI_connect();
	task_forget(model, kind, NULL, 0);
	if (kind != DEALS)
	{
		span_write(&span, model->owner);
		end_histories(model, kind);
		span_end(&span);
	}
	if (kind == COMPANIES)
		forget_companies(model);
	else if (kind == CONTACTS && is_empty(model, CONTACTS))
		forget_all_contacts(model);
	else if (kind == CONTACTS)
		forget_some_contacts(model);
	SPI_finish();
	if (kind == COMPANIES)
		(void) refresh_all(model);
}
