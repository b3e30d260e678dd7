/*-------------------------------------------------------------------------
 *
 * comparison.c
 *	  Comparisons that become conditions the engine can keep.
 *
 * A comparison of event_count with a constant becomes "at least n", which the
 * engine keeps without counting on for ever; one of score or time_in_stage
 * with a constant becomes a condition that has an instant at which it begins
 * or ceases to hold.  = and BETWEEN are made of two of these, <, <= and <> of
 * negations.  What is not compared with a constant stays what it is: a number,
 * or for time_in_stage an error.
 *
 * Trees are changed in place, in the memory context that is current.  No
 * lock is taken.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "nodes/makefuncs.h"

#include "comparison.h"

/* An operator, and what it is with its sides exchanged. */
typedef struct Comparison
{
	const char *name;
	const char *exchanged;
} Comparison;

static const Comparison comparisons[] = {
	{"=", "="}, {"<>", "<>"}, {"<", ">"}, {"<=", ">="}, {">", "<"}, {">=", "<="}
};

static Node *rewrite_between(Syntax *syntax, A_Expr *expr);
static Node *compare_count(Syntax *syntax, Node *count, const char *operator,
						   int64 number, int location);
static Node *count_reaches(Syntax *syntax, VocabularyCall *call, int64 number,
						   bool beyond);
static bool is_call_of(Node *node, const char *name);
static bool is_count(Node *node);
static bool is_score(Node *node);
static bool is_number_of(Node *call, Node *constant, int64 *number);
static bool is_stage_time(Node *node);
static Node *compare_stage_time(Syntax *syntax, Node *call,
								const char *operator, Node *interval,
								int location);
static Node *stage_time_reaches(Syntax *syntax, Node *call, Node *interval,
								bool beyond);
static Node *negation(Node *node, int location);
static Node *boolean_node(bool value);

/*
 * comparison_rewrite: what takes the place of an operator with one of those
 * words and a constant; NULL if it is anything else.  Raises 22023 for a
 * constant that is none.
 */
Node *
comparison_rewrite(Syntax *syntax, A_Expr *expr)
{
	const char *operator;
	int64		number;

	if (syntax->inside)
		return NULL;
	if (expr->kind == AEXPR_BETWEEN || expr->kind == AEXPR_NOT_BETWEEN ||
		expr->kind == AEXPR_BETWEEN_SYM || expr->kind == AEXPR_NOT_BETWEEN_SYM)
		return rewrite_between(syntax, expr);
	if (expr->kind != AEXPR_OP)
		return NULL;
	if (list_length(expr->name) == 2 &&
		strcmp(strVal(linitial(expr->name)), "pg_catalog") != 0)
		return NULL;

	operator = strVal(llast(expr->name));
	for (int i = 0; i < (int) lengthof(comparisons); i++)
	{
		if (strcmp(operator, comparisons[i].name) != 0)
			continue;
		if (is_stage_time(expr->lexpr))
			return compare_stage_time(syntax, expr->lexpr, operator,
									  expr->rexpr, expr->location);
		if (is_stage_time(expr->rexpr))
			return compare_stage_time(syntax, expr->rexpr,
									  comparisons[i].exchanged, expr->lexpr,
									  expr->location);
		if (is_number_of(expr->lexpr, expr->rexpr, &number))
			return compare_count(syntax, expr->lexpr, operator, number,
								 expr->location);
		if (is_number_of(expr->rexpr, expr->lexpr, &number))
			return compare_count(syntax, expr->rexpr, comparisons[i].exchanged,
								 number, expr->location);
	}
	return NULL;
}

/*
 * event_count(...) BETWEEN 2 AND 5, and 3 BETWEEN event_count(...) AND 7.
 */
static Node *
rewrite_between(Syntax *syntax, A_Expr *expr)
{
	Node	   *low = linitial((List *) expr->rexpr);
	Node	   *high = lsecond((List *) expr->rexpr);
	bool		symmetric = expr->kind == AEXPR_BETWEEN_SYM ||
		expr->kind == AEXPR_NOT_BETWEEN_SYM;
	int64		number;
	int64		from;
	int64		to;
	Node	   *above;
	Node	   *below;
	Node	   *result;

	if (is_stage_time(expr->lexpr))
	{
		if (symmetric)
			return NULL;
		above = stage_time_reaches(syntax, expr->lexpr, low, false);
		below = negation(stage_time_reaches(syntax, expr->lexpr, high, true),
						 expr->location);
	}
	else if (is_count(expr->lexpr) || is_score(expr->lexpr))
	{
		VocabularyCall *call;

		if (!is_number_of(expr->lexpr, low, &from) ||
			!is_number_of(expr->lexpr, high, &to))
			return NULL;
		if (symmetric && from > to)
		{
			int64		swap = from;

			from = to;
			to = swap;
		}
		call = syntax_read_call(syntax, (FuncCall *) expr->lexpr);
		above = count_reaches(syntax, call, from, false);
		below = negation(count_reaches(syntax, call, to, true),
						 expr->location);
	}
	else
	{
		bool		low_constant = constant_integer(low, &from);
		bool		high_constant = constant_integer(high, &to);

		if (symmetric || !constant_integer(expr->lexpr, &number) ||
			!(low_constant || is_count(low)) ||
			!(high_constant || is_count(high)) ||
			(low_constant && high_constant))
			return NULL;
		above = low_constant ? boolean_node(number >= from) :
			compare_count(syntax, low, "<=", number, expr->location);
		below = high_constant ? boolean_node(number <= to) :
			compare_count(syntax, high, ">=", number, expr->location);
	}

	result = (Node *) makeBoolExpr(AND_EXPR, list_make2(above, below),
								   expr->location);
	if (expr->kind == AEXPR_NOT_BETWEEN || expr->kind == AEXPR_NOT_BETWEEN_SYM)
		result = negation(result, expr->location);
	return result;
}

static Node *
compare_count(Syntax *syntax, Node *count, const char *operator,
			  int64 number, int location)
{
	VocabularyCall *call = syntax_read_call(syntax, (FuncCall *) count);
	Node	   *above;
	Node	   *below;
	Node	   *result;

	if (strcmp(operator, ">=") == 0)
		return count_reaches(syntax, call, number, false);
	if (strcmp(operator, ">") == 0)
		return count_reaches(syntax, call, number, true);
	if (strcmp(operator, "<") == 0)
		return negation(count_reaches(syntax, call, number, false), location);
	if (strcmp(operator, "<=") == 0)
		return negation(count_reaches(syntax, call, number, true), location);

	above = count_reaches(syntax, call, number, false);
	below = negation(count_reaches(syntax, call, number, true), location);
	result = (Node *) makeBoolExpr(AND_EXPR, list_make2(above, below),
								   location);
	return strcmp(operator, "<>") == 0 ? negation(result, location) : result;
}

/*
 * The condition that a count is at least the number, or beyond it.
 */
static Node *
count_reaches(Syntax *syntax, VocabularyCall *call, int64 number, bool beyond)
{
	if (beyond && pg_add_s64_overflow(number, 1, &number))
		return boolean_node(false);
	if (call->word->kind == ATOM_SCORE)
		return syntax_use_atom(syntax, call, ATOM_SCORE_REACHES, number);
	if (number < 1)
		return boolean_node(true);
	return syntax_use_atom(syntax, call, ATOM_DID, number);
}

static bool
is_call_of(Node *node, const char *name)
{
	FuncCall   *call = (FuncCall *) node;

	return node != NULL && IsA(node, FuncCall) &&
		list_length(call->funcname) == 1 &&
		strcmp(strVal(linitial(call->funcname)), name) == 0;
}

static bool
is_count(Node *node)
{
	return is_call_of(node, "event_count");
}

static bool
is_score(Node *node)
{
	return is_call_of(node, "score");
}

/*
 * Is this a call of event_count or score, and that a constant which it can be
 * compared with?  For a score it is given in billionths.
 */
static bool
is_number_of(Node *call, Node *constant, int64 *number)
{
	return is_count(call) ? constant_integer(constant, number) :
		is_score(call) && constant_points(constant, number);
}

static bool
is_stage_time(Node *node)
{
	return is_call_of(node, "time_in_stage");
}

/*
 * time_in_stage() compared with an interval; NULL if the operator is one
 * that would hold for an instant only, or for all others.
 */
static Node *
compare_stage_time(Syntax *syntax, Node *call, const char *operator,
				   Node *interval, int location)
{
	if (strcmp(operator, ">=") == 0)
		return stage_time_reaches(syntax, call, interval, false);
	if (strcmp(operator, ">") == 0)
		return stage_time_reaches(syntax, call, interval, true);
	if (strcmp(operator, "<") == 0)
		return negation(stage_time_reaches(syntax, call, interval, false),
						location);
	if (strcmp(operator, "<=") == 0)
		return negation(stage_time_reaches(syntax, call, interval, true),
						location);
	return NULL;
}

static Node *
stage_time_reaches(Syntax *syntax, Node *call, Node *interval, bool beyond)
{
	VocabularyCall *read = syntax_read_call(syntax, (FuncCall *) call);

	read->within = vocabulary_interval(syntax->pstate, read->word, NULL,
									   interval);
	read->beyond = beyond;
	return syntax_use_atom(syntax, read, read->word->kind, read->times);
}

static Node *
negation(Node *node, int location)
{
	return (Node *) makeBoolExpr(NOT_EXPR, list_make1(node), location);
}

static Node *
boolean_node(bool value)
{
	A_Const    *result = makeNode(A_Const);

	result->val.boolval.type = T_Boolean;
	result->val.boolval.boolval = value;
	result->location = -1;
	return (Node *) result;
}
