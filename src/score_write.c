/*-------------------------------------------------------------------------
 *
 * score_write.c
 *	  Scores written to columns of contacts.
 *
 * A score that has a column is evaluated like a segment, and at the same
 * times: it has a number out of the same sequence, by which atoms, columns and
 * due times lead to it.  What differs from the column is written at the end
 * of the round, one statement a score, as rules write their fields
 * (action.c): the user's triggers and constraints work, our own trigger
 * collects the change for the next round, and a row that fails is a problem.
 *
 * The contact is locked while it is decided about, so the column is compared
 * with what it is.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "rule.h"
#include "score.h"

/*
 * The column of a score.  Raises 42703 if it is gone.
 */
static AttrNumber
score_column(Run *run, Segment *score)
{
	AttrNumber	attno = get_attnum(run->model->table[CONTACTS].relid,
								   score->column);

	if (attno <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of score \"%s\" does not exist",
						score->column, score->name),
				 errhint("Use lifecycle_alter_score to give the score another column.")));
	return attno;
}

/*
 * score_column_text: what the column says for this contact, NULL if nothing.
 */
char *
score_column_text(Run *run, Work *work, Segment *score)
{
	AttrNumber	attno = score_column(run, score);
	Relation	rel = relation_open(run->model->table[CONTACTS].relid,
									AccessShareLock);
	bool		isnull;
	Datum		value = heap_getattr(work->row, attno, RelationGetDescr(rel),
									 &isnull);
	Oid			type = TupleDescAttr(RelationGetDescr(rel),
									 attno - 1)->atttypid;
	Oid			function;
	bool		varlena;
	char	   *result = NULL;

	if (!isnull)
	{
		getTypeOutputInfo(type, &function, &varlena);
		result = OidOutputFunctionCall(function, value);
	}
	relation_close(rel, NoLock);
	return result;
}

/*
 * score_compare: if the score is not what its column says, note it in
 * work->scores.  In the round's context.
 */
void
score_compare(Run *run, Work *work, Segment *score, Datum points)
{
	MemoryContext old = MemoryContextSwitchTo(run->round_context);
	char	   *text = score_column_text(run, work, score);
	bool		same = false;
	Datum		stored;

	if (text != NULL)
	{
		stored = DirectFunctionCall3(numeric_in, CStringGetDatum(text),
									 ObjectIdGetDatum(InvalidOid),
									 Int32GetDatum(-1));
		same = DatumGetBool(DirectFunctionCall2(numeric_eq, points, stored));
	}
	if (!same)
	{
		ScoreChange *change = palloc(sizeof(ScoreChange));

		change->score = score;
		change->points = DatumGetNumericCopy(points);
		work->scores = lappend(work->scores, change);
	}
	MemoryContextSwitchTo(old);
}

static SPIPlanPtr
write_plan(Model *model, Segment *score, const Oid *types)
{
	AppTable   *contacts = &model->table[CONTACTS];
	AttrNumber	attno = get_attnum(contacts->relid, score->column);
	Oid			arrays[2] = {bulk_array_type(types[0]), NUMERICARRAYOID};
	Oid			type;
	int32		typmod;
	Oid			collation;

	if (score->plan != NULL)
		return score->plan;
	get_atttypetypmodcoll(contacts->relid, attno, &type, &typmod, &collation);
	score->plan =
		query_prepare(psprintf("UPDATE %s AS c SET %s = (v.v2)::%s"
							   " FROM %s AS v (v1, v2)"
							   " WHERE c.%s OPERATOR(pg_catalog.=) v.v1",
							   contacts->name,
							   quote_identifier(score->column),
							   format_type_extended(type, typmod,
													FORMAT_TYPE_TYPEMOD_GIVEN |
													FORMAT_TYPE_FORCE_QUALIFY),
							   bulk_source(2),
							   contacts->column[ROLE_KEY].quoted),
					  2, arrays);
	return score->plan;
}

/*
 * Write one score for all contacts of the round that have it noted.
 */
static void
write_one(Run *run, Segment *score)
{
	Model	   *model = run->model;
	Oid			types[2] = {model->contact_key.type, NUMERICOID};
	Write		write = {.run = run};
	const char *label = psprintf("score %s", score->name);

	write.rows = bulk_create(2, types);
	write.rules = palloc(run->nworks * sizeof(char *));
	for (int i = 0; i < run->nworks; i++)
	{
		ListCell   *cell;

		foreach(cell, run->works[i]->scores)
		{
			ScoreChange *change = lfirst(cell);
			Datum		values[2] = {run->works[i]->contact,
			NumericGetDatum(change->points)};

			if (change->score != score)
				continue;
			write.rules[write.rows->rows] = label;
			bulk_add(write.rows, values, NULL);
		}
	}
	write.owner = model->table[CONTACTS].owner;
	write.plan = write_plan(model, score, types);
	action_write_all(&write, &model->contact_key);
}

/*
 * score_write: write the scores that the round found to differ from their
 * columns.  The contacts are locked.
 */
void
score_write(Run *run)
{
	List	   *scores = NIL;
	ListCell   *cell;

	for (int i = 0; i < run->nworks; i++)
	{
		foreach(cell, run->works[i]->scores)
		{
			ScoreChange *change = lfirst(cell);

			scores = list_append_unique_ptr(scores, change->score);
		}
	}
	foreach(cell, scores)
		write_one(run, lfirst(cell));
}
