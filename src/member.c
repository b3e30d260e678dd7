/*-------------------------------------------------------------------------
 *
 * member.c
 *	  Who is in which segment: memberships written down.
 *
 * A membership is a row of the table membership from the moment a contact
 * enters, with all that segment_history says of that.  When the contact
 * leaves, the row moves to past_membership and gets what is to be said of
 * leaving.  Thus entering costs one row with one B-tree, and history and
 * members cannot contradict each other; segment_member and segment_history are
 * views of the two tables.
 *
 * The index is by segment, then contact.  Who asks for one contact reaches it
 * by looking up each segment.
 *
 * Rows are written without a plan (write.c) unless somebody has put on the
 * tables what only a plan does; then by one statement a table.
 *
 * Locks: the caller holds those on the contacts, or on the tables, so that no
 * two writers meet about one contact, at any isolation level.  The numbers of
 * changes come from a sequence while the lock is held, so that those of one
 * contact ascend; those of different contacts need not, and a number that was
 * rolled back is missing.  Savepoints take rows back like any others.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "counter.h"
#include "member.h"
#include "write.h"

/* Columns of membership, in the order in which model.sql creates them. */
enum
{
	MEMBER_ID,
	MEMBER_ENTERED_AT,
	MEMBER_NOTICED_AT,
	MEMBER_EVENT_AT,
	MEMBER_SEGMENT,
	MEMBER_CONTACT,
	MEMBER_CAUSE,
	MEMBER_EVENT,
	MEMBER_COLUMNS
};

/* One more for those who leave. */
#define MEMBER_NAME MEMBER_COLUMNS

/* What moves to past_membership, of the row m, and of leaving. */
#define PAST_COLUMNS \
	"id, entered_at, noticed_at, event_at, left_id, left_at," \
	" left_noticed_at, left_event_at, segment, contact, cause, event," \
	" left_cause, left_event"

/*
 * Why a contact entered or left: the latest event that it had in this round,
 * or what else made us look.
 */
static const char *
member_cause(Run *run, Work *work, EventRef **event)
{
	ListCell   *cell;
	bool		deal = false;

	*event = NULL;
	foreach(cell, work->hits)
	{
		Hit		   *hit = lfirst(cell);

		deal |= hit->event == NULL;
		/* An event that a merge moved is not why: the merge is. */
		if (hit->event != NULL && !(hit->dirty && run_is_merge(run)) &&
			(*event == NULL || hit->event->time >= (*event)->time))
			*event = hit->event;
	}
	if (*event != NULL)
		return "event";
	if (run_is_merge(run))
		return "merge";
	if (work->change == NULL)
		return deal ? "deal" : run->reason.cause;
	switch (work->change->kind)
	{
		case CONTACT_INSERTED:
		case CONTACT_DEFERRED:
			return "import";
		case CONTACT_UPDATED:
			return run->reason.cause;
		case CONTACT_DUE:
			return "tick";
		case CONTACT_REBUILT:
			break;
	}
	return "rebuild";
}

/*
 * The types of the columns, in the current memory context.
 */
static Oid *
member_types(const Model *model)
{
	Oid		   *types = palloc((MEMBER_COLUMNS + 1) * sizeof(Oid));

	types[MEMBER_ID] = INT8OID;
	types[MEMBER_ENTERED_AT] = TIMESTAMPTZOID;
	types[MEMBER_NOTICED_AT] = TIMESTAMPTZOID;
	types[MEMBER_EVENT_AT] = TIMESTAMPTZOID;
	types[MEMBER_SEGMENT] = INT4OID;
	types[MEMBER_CONTACT] = model->contact_key.type;
	types[MEMBER_CAUSE] = TEXTOID;
	types[MEMBER_EVENT] = TEXTOID;
	types[MEMBER_NAME] = TEXTOID;
	return types;
}

static int
compare_entered(const void *a, const void *b, void *arg)
{
	const Datum *segment = ((const Bulk *) arg)->values[MEMBER_SEGMENT];
	int			left = *(const int *) a;
	int			right = *(const int *) b;

	if (segment[left] != segment[right])
		return DatumGetInt32(segment[left]) <
			DatumGetInt32(segment[right]) ? -1 : 1;
	return left - right;
}

/*
 * The rows in the order of the index, to which they come by contact.
 */
static Bulk *
sort_entered(Bulk *rows)
{
	const Datum *segment = rows->values[MEMBER_SEGMENT];
	int			same = 1;
	int		   *order;
	Bulk	   *sorted;

	while (same < rows->rows && segment[same] == segment[0])
		same++;
	if (same == rows->rows)
		return rows;			/* as of a new segment */
	order = palloc_extended(mul_size(rows->rows, sizeof(int)),
							MCXT_ALLOC_HUGE);
	sorted = bulk_create(rows->columns, rows->types);
	for (int i = 0; i < rows->rows; i++)
		order[i] = i;
	qsort_arg(order, rows->rows, sizeof(int), compare_entered, rows);
	for (int i = 0; i < rows->rows; i++)
		bulk_copy(sorted, rows, order[i]);
	return sorted;
}

static void
write_entered(Model *model, Bulk *rows)
{
	UserSpan	span;

	if (rows->rows == 0)
		return;
	rows = sort_entered(rows);
	span_write(&span, model->owner);
	if (!write_insert(model->membership_relid, rows))
		bulk_execute(rows,
					 bulk_prepare(&model->plan[PLAN_MEMBER_INSERT], rows,
								  model->schema,
								  "INSERT INTO %1$s.membership (id, entered_at,"
								  " noticed_at, event_at, segment_id, contact,"
								  " cause, event) SELECT * FROM %2$s"
								  " ON CONFLICT (segment_id, contact) DO NOTHING"),
					 0, rows->rows);
	span_end(&span);
}

/*
 * Move memberships to the past by SQL.
 */
static void
move_by_plan(Model *model, Bulk *rows)
{
	bulk_execute(rows,
				 bulk_prepare(&model->plan[PLAN_MEMBER_DELETE], rows,
							  model->schema,
							  "WITH gone AS (DELETE FROM %1$s.membership AS m"
							  " USING %2$s AS v (left_id, left_at,"
							  " left_noticed_at, left_event_at, segment_id,"
							  " contact, left_cause, left_event, segment)"
							  " WHERE m.segment_id OPERATOR(pg_catalog.=) v.segment_id"
							  " AND m.contact OPERATOR(pg_catalog.=) v.contact"
							  " RETURNING m.id, m.entered_at, m.noticed_at,"
							  " m.event_at, v.left_id, v.left_at,"
							  " v.left_noticed_at, v.left_event_at, v.segment,"
							  " m.contact, m.cause, m.event, v.left_cause,"
							  " v.left_event)"
							  " INSERT INTO %1$s.past_membership (" PAST_COLUMNS ")"
							  " SELECT * FROM gone"),
				 0, rows->rows);
}

/*
 * Where each column of past_membership comes from, in the order of
 * PAST_COLUMNS: from the membership, or from the row that says how it ended.
 */
static const struct
{
	bool		left;
	int			column;
}			past_source[] = {
	{false, MEMBER_ID},
	{false, MEMBER_ENTERED_AT},
	{false, MEMBER_NOTICED_AT},
	{false, MEMBER_EVENT_AT},
	{true, MEMBER_ID},
	{true, MEMBER_ENTERED_AT},
	{true, MEMBER_NOTICED_AT},
	{true, MEMBER_EVENT_AT},
	{true, MEMBER_NAME},
	{false, MEMBER_CONTACT},
	{false, MEMBER_CAUSE},
	{false, MEMBER_EVENT},
	{true, MEMBER_CAUSE},
	{true, MEMBER_EVENT}
};

#define PAST_COUNT ((int) lengthof(past_source))

/*
 * Write memberships that were taken to the past.
 */
static void
write_past(Model *model, const Bulk *taken, const Bulk *rows,
		   const bool *found)
{
	Oid		   *types = palloc(PAST_COUNT * sizeof(Oid));
	Bulk	   *past = bulk_create(PAST_COUNT, types);
	int			member = 0;

	for (int k = 0; k < PAST_COUNT; k++)
		types[k] = rows->types[past_source[k].column];
	for (int i = 0; i < rows->rows; i++)
	{
		Datum		values[lengthof(past_source)];
		bool		nulls[lengthof(past_source)];

		if (!found[i])
			continue;
		for (int k = 0; k < PAST_COUNT; k++)
		{
			const Bulk *from = past_source[k].left ? rows : taken;
			int			at = past_source[k].left ? i : member;

			values[k] = from->values[past_source[k].column][at];
			nulls[k] = from->nulls[past_source[k].column][at];
		}
		bulk_add(past, values, nulls);
		member++;
	}
	if (!write_insert(model->past_relid, past))
		bulk_execute(past,
					 bulk_prepare(&model->plan[PLAN_PAST_INSERT], past,
								  model->schema,
								  "INSERT INTO %1$s.past_membership ("
								  PAST_COLUMNS ") SELECT * FROM %2$s"),
					 0, past->rows);
}

/*
 * Move memberships to the past without a plan; false if they must be moved by
 * SQL.
 */
static bool
move_directly(Model *model, Bulk *rows)
{
	static const Oid key_types[] = {INT4OID, InvalidOid};	/* in no plan */
	Bulk	   *keys = bulk_create(lengthof(key_types), key_types);
	Bulk	   *taken = bulk_create(MEMBER_COLUMNS, rows->types);
	bool	   *found = palloc_extended(rows->rows, MCXT_ALLOC_HUGE);

	for (int i = 0; i < rows->rows; i++)
	{
		Datum		key[2] = {rows->values[MEMBER_SEGMENT][i],
		rows->values[MEMBER_CONTACT][i]};

		bulk_add(keys, key, NULL);
	}
	if (!write_take(model->membership_relid, model->membership_index, keys,
					taken, found))
		return false;
	write_past(model, taken, rows, found);
	return true;
}

static void
write_left(Model *model, Bulk *rows)
{
	UserSpan	span;

	if (rows->rows == 0)
		return;
	span_write(&span, model->owner);
	if (!move_directly(model, rows))
		move_by_plan(model, rows);
	span_end(&span);
}

/* The latest string that was made a text value; most rows have the same. */
typedef struct LatestText
{
	const char *string;			/* NULL: none yet */
	Datum		text;
} LatestText;

/*
 * A string as a text value, in the current memory context.  Strings are
 * told apart by their address: those given must outlive the round.
 */
static Datum
latest_text(LatestText *latest, const char *string)
{
	if (latest->string != string)
	{
		latest->string = string;
		latest->text = CStringGetTextDatum(string);
	}
	return latest->text;
}

/*
 * Have room for the memberships of a round, as long as the run.
 */
static void
begin_rows(Run *run)
{
	const Oid  *types;

	if (run->entered != NULL)
		return;
	types = member_types(run->model);
	run->entered = bulk_create(MEMBER_COLUMNS, types);
	run->left = bulk_create(MEMBER_COLUMNS + 1, types);
}

/*
 * member_record: note who of those in work entered and left which segment, until
 * member_write.  Their keys must live until then.
 */
void
member_record(Run *run)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	TimestampTz noticed = GetCurrentTimestamp();
	LatestText	latest_cause = {0};
	LatestText	latest_event = {0};
	LatestText	latest_name = {0};

	for (int i = 0; i < run->nworks; i++)
	{
		Work	   *work = run->works[i];
		Datum		values[MEMBER_COLUMNS + 1];
		bool		nulls[MEMBER_COLUMNS + 1] = {false};
		ListCell   *cell;
		EventRef   *event;

		if (work->changes == NIL)
			continue;
		begin_rows(run);
		values[MEMBER_ENTERED_AT] = TimestampTzGetDatum(work_clock(run, work));
		values[MEMBER_NOTICED_AT] = TimestampTzGetDatum(noticed);
		values[MEMBER_CONTACT] = work->contact;
		values[MEMBER_CAUSE] =
			latest_text(&latest_cause, member_cause(run, work, &event));
		nulls[MEMBER_EVENT_AT] = nulls[MEMBER_EVENT] = event == NULL;
		if (event != NULL)
		{
			values[MEMBER_EVENT_AT] = TimestampTzGetDatum(event->time);
			values[MEMBER_EVENT] = latest_text(&latest_event,
											   event->entry->name);
		}
		foreach(cell, work->changes)
		{
			MemberChange *change = lfirst(cell);

			values[MEMBER_ID] =
				Int64GetDatum(nextval_internal(run->model->segment_change,
											   false));
			values[MEMBER_SEGMENT] = Int32GetDatum(change->segment->id);
			if (!change->entered)
				values[MEMBER_NAME] = latest_text(&latest_name,
												  change->segment->name);
			bulk_add(change->entered ? run->entered : run->left, values,
					 nulls);
			counter_add(COUNT_MEMBERSHIPS, 1);
			if (change->entered)
				run->tally->entered++;
			else
				run->tally->left++;
		}
	}
	MemoryContextSwitchTo(old);
}

/*
 * member_write: write the memberships that were noted.  The contacts are locked
 * still.
 */
void
member_write(Run *run)
{
	if (run->entered == NULL)
		return;
	write_left(run->model, run->left);
	write_entered(run->model, run->entered);
	run->entered = run->left = NULL;
}

/*
 * member_forget: end the memberships of contacts that are deleted, an array
 * of their keys.  The caller writes as the owner of the model.
 */
void
member_forget(Model *model, Datum contacts, TimestampTz at, const char *cause)
{
	Oid			types[3] = {model->contact_key.array, TIMESTAMPTZOID, TEXTOID};
	Datum		values[3] = {contacts, TimestampTzGetDatum(at),
	CStringGetTextDatum(cause)};

	if (model->plan[PLAN_MEMBER_FORGET] == NULL)
		model->plan[PLAN_MEMBER_FORGET] =
			query_prepare(psprintf("WITH gone AS (DELETE FROM %1$s.membership AS m"
								   " USING %1$s.segment AS s"
								   " WHERE m.segment_id OPERATOR(pg_catalog.=) s.id"
								   " AND m.contact OPERATOR(pg_catalog.=) ANY ($1)"
								   " RETURNING m.id, m.entered_at, m.noticed_at,"
								   " m.event_at, m.contact, m.cause, m.event,"
								   " s.name)"
								   " INSERT INTO %1$s.past_membership (" PAST_COLUMNS ")"
									  " SELECT id, entered_at, noticed_at, event_at,"
								   " pg_catalog.nextval(%2$u), $2,"
								   " pg_catalog.clock_timestamp(), NULL, name,"
								   " contact, cause, event, $3, NULL"
								   " FROM gone", model->schema,
								   model->segment_change), 3, types);
	query_execute(model->plan[PLAN_MEMBER_FORGET], values, NULL);
}

/*
 * member_forget_all: end all memberships, as the contacts were truncated.
 * The caller writes as the owner of the model.
 */
void
member_forget_all(Model *model)
{
	query_once(psprintf("INSERT INTO %1$s.past_membership (" PAST_COLUMNS ")"
						" SELECT m.id, m.entered_at, m.noticed_at, m.event_at,"
						" pg_catalog.nextval(%2$u), pg_catalog.now(),"
						" pg_catalog.clock_timestamp(), NULL, s.name,"
						" m.contact, m.cause, m.event, 'update', NULL"
						" FROM %1$s.membership AS m JOIN %1$s.segment AS s"
						" ON s.id OPERATOR(pg_catalog.=) m.segment_id",
						model->schema, model->segment_change),
			   0, NULL, NULL, NULL);
	query_once(psprintf("TRUNCATE %s.membership", model->schema), 0, NULL,
			   NULL, NULL);
}

/*
 * member_rebuild: make memberships what the packed states say.  The caller
 * writes as the owner of the model and holds the locks of
 * lifecycle.lock_model.
 */
void
member_rebuild(Model *model)
{
	query_once(psprintf("DELETE FROM %1$s.membership AS x WHERE NOT EXISTS ("
						"SELECT FROM %1$s.contact_state AS s"
						" WHERE s.contact OPERATOR(pg_catalog.=) x.contact"
						" AND x.segment_id OPERATOR(pg_catalog.=)"
						" ANY (lifecycle.state_segments(s.state)))",
						model->schema), 0, NULL, NULL, NULL);
	query_once(psprintf("INSERT INTO %1$s.membership (id, entered_at,"
						" noticed_at, segment_id, contact, cause)"
						" SELECT pg_catalog.nextval(%2$u),"
						" COALESCE(s.clock, pg_catalog.now()),"
						" pg_catalog.clock_timestamp(), u.id, s.contact,"
						" 'rebuild'"
						" FROM %1$s.contact_state AS s"
						" CROSS JOIN LATERAL pg_catalog.unnest("
						"lifecycle.state_segments(s.state)) AS u (id)"
						" JOIN %1$s.segment AS g"
						" ON g.id OPERATOR(pg_catalog.=) u.id"
						" ON CONFLICT (segment_id, contact) DO NOTHING",
						model->schema, model->segment_change),
			   0, NULL, NULL, NULL);
}

/*
 * member_erase: delete memberships of contacts, an array of their keys, and
 * their history.  The caller writes as the owner of the model.
 */
void
member_erase(Model *model, Datum contacts)
{
	static const char *const statements[] = {
		"DELETE FROM %1$s.membership AS m USING %1$s.segment AS s"
		" WHERE m.segment_id OPERATOR(pg_catalog.=) s.id"
		" AND m.contact OPERATOR(pg_catalog.=) ANY ($1)",
		"DELETE FROM %1$s.past_membership"
		" WHERE contact OPERATOR(pg_catalog.=) ANY ($1)"
	};

	for (int i = 0; i < (int) lengthof(statements); i++)
		query_once(psprintf(statements[i], model->schema), 1,
				   &model->contact_key.array, &contacts, NULL);
}
