/*-------------------------------------------------------------------------
 *
 * args.c
 *	  The args of a rule: from jsonb to stages, columns and expressions.
 *
 * Done once, when the rule first fires, and kept with the network.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "rule.h"

/*
 * A string of a rule's args, in the current context; NULL if not given.
 */
static char *
action_arg(const Rule *rule, const char *name)
{
	JsonbValue	value;

	if (rule->args == NULL ||
		getKeyJsonValueFromContainer(&rule->args->root, name, strlen(name),
									 &value) == NULL ||
		value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

static void
add_expression(Model *model, Rule *rule, ActionArgs *args, char *name,
			   const char *text)
{
	NamedExpression *named;

	if (text == NULL)
		return;
	named = palloc(sizeof(NamedExpression));
	named->name = name;
	named->expression = network_compile(model, text, false,
										rule->on == ON_EVENT,
										rule->on >= ON_DEAL_CREATED);
	args->expressions = lappend(args->expressions, named);
}

/*
 * copy to company: {"columns": [...]} or {"columns": {company's: contact's}}.
 */
static void
compile_columns(Rule *rule, ActionArgs *args)
{
	JsonbValue	value;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	char	   *key = NULL;

	if (getKeyJsonValueFromContainer(&rule->args->root, "columns", 7,
									 &value) == NULL ||
		value.type != jbvBinary)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rule \"%s\" names no columns", rule->name)));
	iterator = JsonbIteratorInit(value.val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if ((token == WJB_KEY || token == WJB_ELEM || token == WJB_VALUE) &&
			value.type == jbvString)
		{
			char	   *name = pnstrdup(value.val.string.val,
										value.val.string.len);

			if (token == WJB_KEY)
				key = name;
			else
			{
				args->columns = lappend(args->columns,
										token == WJB_ELEM ? name : key);
				args->columns = lappend(args->columns, name);
			}
		}
	}
}

/*
 * notify: {"payload": {key: expression}}.
 */
static void
compile_payload(Model *model, Rule *rule, ActionArgs *args)
{
	JsonbValue	value;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	char	   *key = NULL;

	args->type = action_arg(rule, "type");
	args->channel = action_arg(rule, "channel");
	if (rule->args == NULL ||
		getKeyJsonValueFromContainer(&rule->args->root, "payload", 7,
									 &value) == NULL ||
		value.type != jbvBinary)
		return;
	iterator = JsonbIteratorInit(value.val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (value.type != jbvString ||
			(token != WJB_KEY && token != WJB_VALUE))
			continue;
		if (token == WJB_KEY)
			key = pnstrdup(value.val.string.val, value.val.string.len);
		else
			add_expression(model, rule, args, key,
						   pnstrdup(value.val.string.val,
									value.val.string.len));
	}
}

/*
 * {"owner": expression, "else": "round robin"}
 */
static void
compile_owner(Model *model, Rule *rule, ActionArgs *args)
{
	char	   *otherwise = action_arg(rule, "else");

	add_expression(model, rule, args, "owner", action_arg(rule, "owner"));
	args->round_robin = otherwise != NULL &&
		strcmp(otherwise, "round robin") == 0;
}

/*
 * create task.  What closes it by itself is, unless it is said, that the
 * deal, or the contact's stage, moves on from what set off the rule.
 */
static void
compile_task(Model *model, Rule *rule, ActionArgs *args)
{
	add_expression(model, rule, args, "title", action_arg(rule, "title"));
	add_expression(model, rule, args, "note", action_arg(rule, "note"));
	compile_owner(model, rule, args);
	args->due = action_arg(rule, "due");
	args->until = action_arg(rule, "until");
	if (args->until == NULL)
		args->until = rule->on == ON_STAGE_ENTERED ? "stage changes" :
			rule->on == ON_DEAL_CREATED ||
			rule->on == ON_DEAL_STAGE_ENTERED ? "deal moves" :
			"closed by hand";
	args->becomes = action_arg(rule, "becomes");
	if (args->becomes == NULL)
		args->becomes = "cancelled";
}

/*
 * action_compile: resolve the args of a rule, in the network's context.
 *
 * Raises 22023 for a stage, status, pipeline or column that is not there,
 * and what the predicate compiler raises.
 */
ActionArgs *
action_compile(Model *model, Rule *rule)
{
	MemoryContext context = AllocSetContextCreate(CurTransactionContext,
												  "lifecycle action",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ActionArgs *args = palloc0(sizeof(ActionArgs));
	char	   *name;

	switch (rule->action)
	{
		case ACTION_ADVANCE_STAGE:
		case ACTION_SET_STAGE:
			name = action_arg(rule, "stage");
			args->stage = stage_check(model, &model->stages,
											name != NULL ? name : "");
			add_expression(model, rule, args, "reason",
						   action_arg(rule, "reason"));
			break;
		case ACTION_SET_LEAD_STATUS:
			name = action_arg(rule, "status");
			args->status = stage_check(model, &model->statuses,
											 name != NULL ? name : "");
			add_expression(model, rule, args, "reason",
						   action_arg(rule, "reason"));
			break;
		case ACTION_CREATE_DEAL:
			args->deal_stage =
				model_find_deal_stage(model, action_arg(rule, "pipeline"),
									  action_arg(rule, "stage"));
			if (args->deal_stage == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("rule \"%s\" names a pipeline or deal stage that model \"%s\" does not have",
								rule->name, model->name),
						 errhint("Use lifecycle_alter_rule, or lifecycle_add_deal_stage.")));
			add_expression(model, rule, args, "name",
						   action_arg(rule, "name"));
			add_expression(model, rule, args, "amount",
						   action_arg(rule, "amount"));
			add_expression(model, rule, args, "currency",
						   action_arg(rule, "currency"));
			compile_owner(model, rule, args);
			break;
		case ACTION_SET_FIELD:
			{
				Oid			relid = model->table[CONTACTS].relid;
				AttrNumber	attno;
				Oid			type;
				int32		typmod;
				Oid			collation;

				name = action_arg(rule, "column");
				attno = name != NULL ? get_attnum(relid, name) : 0;
				if (attno <= 0)
					ereport(ERROR,
							(errcode(ERRCODE_UNDEFINED_COLUMN),
							 errmsg("contacts have no column \"%s\", which rule \"%s\" is to set",
									name != NULL ? name : "", rule->name)));
				get_atttypetypmodcoll(relid, attno, &type, &typmod, &collation);
				args->column = pstrdup(quote_identifier(name));
				args->column_type =
					format_type_extended(type, typmod,
										 FORMAT_TYPE_TYPEMOD_GIVEN |
										 FORMAT_TYPE_FORCE_QUALIFY);
				add_expression(model, rule, args, "value",
							   action_arg(rule, "value"));
			}
			break;
		case ACTION_COPY_TO_COMPANY:
			compile_columns(rule, args);
			break;
		case ACTION_NOTIFY:
			compile_payload(model, rule, args);
			break;
		case ACTION_CREATE_TASK:
			compile_task(model, rule, args);
			break;
		case ACTION_ASSIGN_OWNER:
			compile_owner(model, rule, args);
			break;
	}
	MemoryContextSetParent(context, network_context(model));
	MemoryContextSwitchTo(old);
	return args;
}
