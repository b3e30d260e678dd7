/*-------------------------------------------------------------------------
 *
 * score.c
 *	  Scores of contacts: loaded, compiled, evaluated.
 *
 * score('x') is an atom whose value comes from other atoms: each rule about
 * events has one (their number, or their times where points decay), and the
 * conditions of the other rules have their own.  All of these are atoms of
 * every text that uses the score (predicate.c adds them), so that an event, a
 * column, a deal or a due time that touches a rule leads to the segments that
 * depend on the score by the ways that there are.  A score whose rules change
 * has those texts compiled anew (score.sql).
 *
 * The atom itself keeps nothing in the state but a due time: when decay will
 * change it next (points.c).  Compared with a constant it is a boolean that
 * is due when the score crosses the constant; else it is a number that is due
 * at each step of its last decimal.
 *
 * Scores are loaded at first use and live in the network's memory context.
 * Their texts are compiled as the owner of contacts, like all others; a rule
 * that is broken raises its error at every use, where it is recorded.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "evaluate.h"
#include "score.h"

/* What the error context says. */
typedef struct RuleContext
{
	const char *score;
	const char *rule;
	ErrorContextCallback callback;
} RuleContext;

/* A score as the network keeps it. */
typedef struct Score
{
	ScoreSpec	spec;
	Expression *expression;		/* of the score alone, at its first use */
} Score;

static void
rule_context(void *arg)
{
	RuleContext *context = arg;

	errcontext("rule \"%s\" of score \"%s\"", context->rule, context->score);
}

/*
 * A number of billionths in the current result, or what null stands for.
 */
static int64
billionths(int row, int column, int64 missing)
{
	bool		isnull;
	Datum		value = query_value(row, column, &isnull);

	return isnull ? missing : DatumGetInt64(value);
}

/*
 * The group of a rule, a new one if it is the first of it.
 */
static int
enter_group(ScoreSpec *spec, char *name, int64 cap)
{
	int			group;

	for (group = 0; group < spec->ngroups; group++)
		if (name == NULL ? spec->groups[group].name == NULL :
			spec->groups[group].name != NULL &&
			strcmp(spec->groups[group].name, name) == 0)
			return group;
	spec->groups[group].name = name;
	spec->groups[group].cap = cap;
	spec->ngroups++;
	return group;
}

/*
 * Read the rules of a score.  Texts to be compiled are left in filters and
 * conditions.
 */
static void
load_rules(Model *model, ScoreSpec *spec, char ***filters,
		   char ***conditions)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(spec->name)};
	uint64		rows;

	rows = query_once(psprintf("SELECT r.name, pg_catalog.int8(r.points OPERATOR(pg_catalog.*) 1000000000::pg_catalog.numeric),"
							   " r.event, r.filter, r.condition, r.times::pg_catalog.int8,"
							   " CASE WHEN r.half_life IS NOT NULL THEN 2 WHEN r.linear_decay IS NOT NULL THEN 1 ELSE 0 END,"
							   " pg_catalog.int8(pg_catalog.extract('epoch', COALESCE(r.linear_decay, r.half_life))"
							   " OPERATOR(pg_catalog.*) 1000000::pg_catalog.numeric),"
							   " r.in_group,"
							   " pg_catalog.int8((d.groups OPERATOR(pg_catalog.->>) r.in_group)::pg_catalog.numeric"
							   " OPERATOR(pg_catalog.*) 1000000000::pg_catalog.numeric)"
							   " FROM %1$s.score_rule AS r JOIN %1$s.score_definition AS d"
							   " ON d.name OPERATOR(pg_catalog.=) r.score"
							   " WHERE r.score OPERATOR(pg_catalog.=) $1"
							   " ORDER BY r.name COLLATE \"C\"", model->schema),
					  1, types, values, NULL);
	spec->nrules = (int) rows;
	spec->rules = palloc0((rows + 1) * sizeof(PointsRule));
	spec->groups = palloc0((rows + 1) * sizeof(PointsGroup));
	spec->sums = palloc0((rows + 1) * sizeof(PointsSum));
	*filters = palloc((rows + 1) * sizeof(char *));
	*conditions = palloc((rows + 1) * sizeof(char *));
	for (int i = 0; i < spec->nrules; i++)
	{
		PointsRule *rule = &spec->rules[i];
		bool		isnull;

		rule->name = query_text(i, 1);
		rule->points = billionths(i, 2, 0);
		rule->event = query_text(i, 3);
		(*filters)[i] = query_text(i, 4);
		(*conditions)[i] = query_text(i, 5);
		rule->times = billionths(i, 6, 0);
		rule->decay = DatumGetInt32(query_value(i, 7, &isnull));
		rule->length = billionths(i, 8, 0);
		rule->group = enter_group(spec, query_text(i, 9),
								  billionths(i, 10, PG_INT64_MAX));
	}
	points_arrange(spec);
}

/*
 * Read a score from the model's tables; raises 42704 if there is none.
 */
static ScoreSpec *
load_score(Model *model, const char *name, char ***filters,
		   char ***conditions)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(name)};
	ScoreSpec  *spec = palloc0(sizeof(Score));
	uint64		rows;
	bool		isnull;

	rows = query_once(psprintf("SELECT name, decimals,"
							   " pg_catalog.int8(cap OPERATOR(pg_catalog.*) 1000000000::pg_catalog.numeric),"
							   " pg_catalog.int8(floor OPERATOR(pg_catalog.*) 1000000000::pg_catalog.numeric)"
							   " FROM %s.score_definition"
							   " ORDER BY name OPERATOR(pg_catalog.<>) $1, name",
							   model->schema), 1, types, values, NULL);
	if (rows == 0 || strcmp(query_text(0, 1), name) != 0)
	{
		List	   *names = NIL;
		const char *nearest;

		for (uint64 i = 0; i < rows; i++)
			names = lappend(names, query_text(i, 1));
		nearest = nearest_name(name, names);
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("score \"%s\" does not exist in model \"%s\"", name,
						model->name),
				 nearest != NULL ?
				 errhint("Perhaps you meant \"%s\".", nearest) :
				 errhint("Use lifecycle_add_score to make it.")));
	}
	spec->name = pstrdup(name);
	spec->decimals = DatumGetInt32(query_value(0, 2, &isnull));
	spec->unit = POINTS_ONE;
	for (int i = 0; i < spec->decimals; i++)
		spec->unit /= 10;
	spec->cap = billionths(0, 3, PG_INT64_MAX);
	spec->floor = billionths(0, 4, PG_INT64_MIN);
	load_rules(model, spec, filters, conditions);
	return spec;
}

/*
 * Compile the rules' texts.  The current context is to be the network's.
 */
static void
compile_rules(Model *model, ScoreSpec *spec, char **filters,
			  char **conditions)
{
	PredicateScope scope = model->scope;
	UserSpan	span;

	scope.in_score = true;
	span_read(&span, model->table[CONTACTS].owner);
	for (int i = 0; i < spec->nrules; i++)
	{
		PointsRule *rule = &spec->rules[i];
		RuleContext context = {spec->name, rule->name};

		context.callback.callback = rule_context;
		context.callback.arg = &context;
		context.callback.previous = error_context_stack;
		error_context_stack = &context.callback;
		if (rule->event == NULL)
			rule->condition = predicate_compile(&scope, conditions[i], true);
		else
			rule->atom =
				predicate_compile_events(&scope, rule->event, filters[i],
										 rule->decay != DECAY_NONE,
										 rule->times,
										 rule->decay == DECAY_HALF_LIFE ?
										 POINTS_HALF_LIVES * rule->length :
										 rule->length);
		error_context_stack = context.callback.previous;
	}
	span_end(&span);
}

/*
 * score_find: a score of a model (arg), loaded and compiled at its first use.
 *
 * It lives as long as the network.  Raises 42704 if there is none, and what
 * the texts of its rules raise.
 */
ScoreSpec *
score_find(void *arg, const char *name)
{
	Model	   *model = arg;
	List	  **scores = network_scores(model);
	MemoryContext context;
	MemoryContext caller;
	ListCell   *cell;
	ScoreSpec  *spec;
	char	  **filters;
	char	  **conditions;
	UserSpan	span;

	foreach(cell, *scores)
	{
		spec = lfirst(cell);
		if (strcmp(spec->name, name) == 0)
			return spec;
	}
	context = AllocSetContextCreate(CurTransactionContext, "lifecycle score",
									ALLOCSET_SMALL_SIZES);
	caller = CurrentMemoryContext;
	SPI_connect();
	MemoryContextSwitchTo(context);
	span_write(&span, model->owner);
	spec = load_score(model, name, &filters, &conditions);
	span_end(&span);
	compile_rules(model, spec, filters, conditions);
	SPI_finish();
	MemoryContextSetParent(context, network_context(model));
	MemoryContextSwitchTo(network_context(model));
	*scores = lappend(*scores, spec);
	MemoryContextSwitchTo(caller);
	return spec;
}

/*
 * score_expression: the expression that is a score and nothing else, whose
 * first atom it is.  Lives and raises as score_find.
 */
Expression *
score_expression(Model *model, const char *name)
{
	Score	   *score = (Score *) score_find(model, name);
	UserSpan	span;

	if (score->expression == NULL)
	{
		span_read(&span, model->table[CONTACTS].owner);
		score->expression =
			network_compile(model, psprintf("score(%s)",
											quote_literal_cstr(name)),
							false, false, false);
		span_end(&span);
	}
	return score->expression;
}

/*
 * The atom of an expression that has this definition.
 */
static Atom *
find_atom(const Expression *expression, const char *definition)
{
	ListCell   *cell;

	foreach(cell, expression->predicate->atoms)
	{
		const AtomSpec *spec = lfirst(cell);

		if (strcmp(spec->definition, definition) == 0)
			return expression->atoms[foreach_current_index(cell)];
	}
	elog(ERROR, "atom %s of a score is not in the expression", definition);
	return NULL;				/* keep compiler quiet */
}

static ScoreParts *
bind_score(Model *model, const Expression *expression, ScoreSpec *spec)
{
	ScoreParts *parts = palloc0(sizeof(ScoreParts));

	parts->spec = spec;
	parts->atoms = palloc0((spec->nrules + 1) * sizeof(Atom *));
	parts->conditions = palloc0((spec->nrules + 1) * sizeof(Expression *));
	for (int i = 0; i < spec->nrules; i++)
	{
		const PointsRule *rule = &spec->rules[i];
		Atom	  **atoms;
		ListCell   *cell;

		if (rule->condition == NULL)
		{
			parts->atoms[i] = find_atom(expression, rule->atom->definition);
			continue;
		}
		atoms = palloc0((list_length(rule->condition->atoms) + 1) *
						sizeof(Atom *));
		foreach(cell, rule->condition->atoms)
			atoms[foreach_current_index(cell)] =
				find_atom(expression,
						  ((const AtomSpec *) lfirst(cell))->definition);
		parts->conditions[i] = compile_expression(model, rule->condition,
												  atoms);
	}
	return parts;
}

/*
 * score_bind_all: the parts of each atom of an expression that is a score, by
 * number; NULL if none is.  In the current context.
 */
ScoreParts **
score_bind_all(Model *model, Expression *expression)
{
	ScoreParts **result = NULL;
	ListCell   *cell;

	foreach(cell, expression->predicate->atoms)
	{
		const AtomSpec *spec = lfirst(cell);

		if (spec->score == NULL)
			continue;
		if (result == NULL)
			result = palloc0(expression->natoms * sizeof(ScoreParts *));
		result[foreach_current_index(cell)] = bind_score(model, expression,
														 spec->score);
	}
	return result;
}

static void
event_input(const PointsRule *rule, AtomValue value, PointsInput *input)
{
	ArrayType  *times;

	if (rule->decay == DECAY_NONE)
	{
		input->number = DatumGetInt64(value.value);
		if (rule->times > 0)
			input->number = Min(input->number, rule->times);
	}
	else if (!value.isnull)
	{
		times = DatumGetArrayTypeP(value.value);
		input->ntimes = ArrayGetNItems(ARR_NDIM(times), ARR_DIMS(times));
		input->times = (const TimestampTz *) ARR_DATA_PTR(times);
	}
}

/*
 * score_inputs: what a contact, whose rows are in the slots, has done for
 * each rule, as of its clock; in the current context.
 */
PointsInput *
score_inputs(Run *run, Work *work, const ScoreParts *parts)
{
	const ScoreSpec *spec = parts->spec;
	PointsInput *inputs = palloc0((spec->nrules + 1) * sizeof(PointsInput));

	for (int i = 0; i < spec->nrules; i++)
	{
		if (parts->conditions[i] != NULL)
			inputs[i].number = evaluate_condition(run, work,
												  parts->conditions[i]);
		else
			event_input(&spec->rules[i],
						evaluate_atom(run, work, parts->atoms[i]),
						&inputs[i]);
	}
	return inputs;
}

/*
 * score_numeric: a total in the score's last decimal, as a number.
 */
Numeric
score_numeric(const ScoreSpec *spec, int64 total)
{
	return int64_div_fast_to_numeric(total, spec->decimals);
}

/*
 * score_value: the value of a score's atom for a contact, and when decay may
 * change it; in the current context.
 */
AtomValue
score_value(Run *run, Work *work, const Atom *atom, const ScoreParts *parts)
{
	const ScoreSpec *spec = parts->spec;
	const int64 *bound = atom->spec->kind == ATOM_SCORE_REACHES ?
		&atom->spec->times : NULL;
	PointsInput *inputs = score_inputs(run, work, parts);
	AtomValue	result = {.arrives = NOT_DUE};
	int64		total = points_total(spec, inputs, work_clock(run, work));

	result.value = bound != NULL ?
		BoolGetDatum(points_reach(spec, total, *bound)) :
		NumericGetDatum(score_numeric(spec, total));
	result.next = points_next(spec, inputs, work_clock(run, work),
							  bound);
	return result;
}
