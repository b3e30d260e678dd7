/*-------------------------------------------------------------------------
 *
 * stage.c
 *	  Stages and lead statuses: names, order, and the statement that moves.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/formatting.h"

#include "stage.h"

/*
 * stage_find: the stage (or lead status) of that name, whatever its
 * case and the blanks around it; NULL if there is none.
 */
const Stage *
stage_find(const StageList *list, const char *name)
{
	size_t		length;

	/* The usual case first: written as it should be. */
	for (int i = 0; i < list->count; i++)
		if (strcmp(list->stages[i].name, name) == 0)
			return &list->stages[i];

	while (isspace((unsigned char) *name))
		name++;
	length = strlen(name);
	while (length > 0 && isspace((unsigned char) name[length - 1]))
		length--;
	for (int i = 0; i < list->count; i++)
	{
		char	   *ours = str_tolower(list->stages[i].name,
									   strlen(list->stages[i].name),
									   DEFAULT_COLLATION_OID);
		char	   *theirs = str_tolower(name, length, DEFAULT_COLLATION_OID);

		if (strcmp(ours, theirs) == 0)
			return &list->stages[i];
	}
	return NULL;
}

/*
 * stage_check: the same, but raises 22023 with the valid ones in the
 * hint.
 */
const Stage *
stage_check(const Model *model, const StageList *list, const char *name)
{
	const Stage *stage = stage_find(list, name);
	StringInfoData valid;
	const char *nearest;
	List	   *names = NIL;
	const char *what = list == &model->stages ? "stage" : "lead status";

	if (stage != NULL)
		return stage;

	initStringInfo(&valid);
	for (int i = 0; i < list->count; i++)
	{
		appendStringInfo(&valid, "%s\"%s\"", i > 0 ? ", " : "",
						 list->stages[i].name);
		names = lappend(names, list->stages[i].name);
	}
	nearest = nearest_name(name, names);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("model \"%s\" has no %s \"%s\"", model->name, what, name),
			 list->count == 0 ?
			 errhint("It has none yet; use lifecycle_add_%s.",
					 list == &model->stages ? "stage" : "lead_status") :
			 nearest != NULL ?
			 errhint("Perhaps you meant \"%s\". Valid are: %s.", nearest,
					 valid.data) :
			 errhint("Valid are: %s.", valid.data)));
}

/*
 * stage_is_forward: may automation move from the one stage to the other?  Forward only, and
 * not away from a stage off the path, where somebody put the contact.
 */
bool
stage_is_forward(const Stage *from, const Stage *to)
{
	if (from == NULL)
		return true;
	return from->on_path && to->on_path && to->position > from->position;
}

/*
 * A statement that sets stage and lead status of the rows with these keys.
 */
SPIPlanPtr
stage_move_plan(Model *model, TableKind kind, PlanId id, const KeyType *key)
{
	AppTable   *table = &model->table[kind];
	Column	   *stage = &table->column[ROLE_STAGE];
	Column	   *status = &table->column[ROLE_LEAD_STATUS];

	if (model->plan[id] == NULL)
	{
		Oid			types[3];

		types[0] = key->array;
		types[1] = types[2] = TEXTARRAYOID;
		model->plan[id] =
			query_prepare(psprintf("UPDATE %s AS t SET %s = v.stage::%s,"
								   " %s = v.status::%s"
								   " FROM %s AS v (key, stage, status)"
								   " WHERE t.%s OPERATOR(pg_catalog.=) v.key",
								   table->name, stage->quoted,
								   stage->type_name, status->quoted,
								   status->type_name, bulk_source(3),
								   table->column[ROLE_KEY].quoted), 3, types);
	}
	return model->plan[id];
}
