/*-------------------------------------------------------------------------
 *
 * syntax.c
 *	  What may stand in a predicate, and what its functions turn into.
 *
 * The raw parse tree of a text is walked once, against a whitelist of node
 * types.  Calls of the vocabulary are taken out: a ParamRef is put in their
 * place, and its number says which AtomUse it stands for.  at_least and
 * comparisons of event_count and score with a constant become plain SQL over
 * those: "at least n" is what the engine can keep without counting on for
 * ever, or looking at each step of a score.
 *
 * Types, columns and ordinary functions are left to the analysis that
 * follows (predicate.c).
 *
 * Trees are changed in place, in the memory context that is current.  No
 * lock is taken.  Refused constructs raise an error with their position.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/namespace.h"
#include "common/int.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "utils/builtins.h"

#include "comparison.h"
#include "syntax.h"

static void rewrite_list(Syntax *syntax, List *list);
static void refuse_node(Syntax *syntax, Node *node);
static void check_star(Syntax *syntax, List *fields, int location);
static void check_column(Syntax *syntax, ColumnRef *column);
static void note_literal(Syntax *syntax, A_Const *constant);
static Node *rewrite_call(Syntax *syntax, FuncCall *call);
static void check_call(Syntax *syntax, FuncCall *call,
					   const VocabularyWord *word);
static void check_function_name(Syntax *syntax, FuncCall *call);
static Node *rewrite_at_least(Syntax *syntax, FuncCall *call);
static Node *integer_node(int value);

/*
 * The raw tree of the one expression that the text must be.
 */
Node *
syntax_parse(ParseState *pstate)
{
	List	   *parsed = raw_parser(pstate->p_sourcetext,
									RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select;
	ResTarget  *target;
	Node	   *extra = NULL;
	bool		clauses;

	select = castNode(SelectStmt, linitial_node(RawStmt, parsed)->stmt);
	clauses = select->distinctClause || select->fromClause ||
		select->whereClause || select->groupClause || select->havingClause ||
		select->windowClause || select->sortClause || select->limitOffset ||
		select->limitCount || select->lockingClause;

	if (select->targetList == NIL && !clauses)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("predicate is empty"),
				 errhint("Write a condition, such as did('Signed Up').")));

	target = select->targetList ?
		linitial_node(ResTarget, select->targetList) : NULL;
	if (!clauses && list_length(select->targetList) == 1 &&
		target->name == NULL && target->indirection == NIL)
		return target->val;

	/* point at the first thing too many that has a location */
	if (list_length(select->targetList) > 1)
		extra = (Node *) lsecond(select->targetList);
	else if (select->fromClause)
		extra = (Node *) linitial(select->fromClause);
	else if (select->whereClause)
		extra = select->whereClause;
	else if (select->groupClause)
		extra = (Node *) linitial(select->groupClause);
	else if (select->havingClause)
		extra = select->havingClause;
	else if (select->sortClause)
		extra = linitial_node(SortBy, select->sortClause)->node;
	else if (select->limitCount)
		extra = select->limitCount;
	else if (target)
		extra = (Node *) target;
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("predicate is not a single expression"),
			 target && target->name ?
			 errdetail("There is no operator between the expression and \"%s\".",
					   target->name) : 0,
			 extra ?
			 parser_errposition(pstate, exprLocation(extra)) : 0));
	return NULL;				/* keep compiler quiet */
}

/*
 * Walk a raw tree: refuse what is not on the whitelist, and replace the
 * vocabulary's calls.  Changes the tree in place; the result takes the place
 * of the node.
 */
Node *
syntax_rewrite(Syntax *syntax, Node *node)
{
	if (node == NULL)
		return NULL;
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();

#define REWRITE(field) \
	((field) = (void *) syntax_rewrite(syntax, (Node *) (field)))

	switch (nodeTag(node))
	{
		case T_A_Const:
			note_literal(syntax, (A_Const *) node);
			break;
		case T_ColumnRef:
			check_column(syntax, (ColumnRef *) node);
			break;
		case T_FuncCall:
			return rewrite_call(syntax, (FuncCall *) node);
		case T_A_Expr:
			{
				A_Expr	   *expr = (A_Expr *) node;
				Node	   *result = comparison_rewrite(syntax, expr);

				if (result)
					return result;
				REWRITE(expr->lexpr);
				REWRITE(expr->rexpr);
			}
			break;
		case T_List:
			rewrite_list(syntax, (List *) node);
			break;
		case T_BoolExpr:
			rewrite_list(syntax, ((BoolExpr *) node)->args);
			break;
		case T_TypeCast:
			REWRITE(((TypeCast *) node)->arg);
			break;
		case T_NullTest:
			REWRITE(((NullTest *) node)->arg);
			break;
		case T_BooleanTest:
			REWRITE(((BooleanTest *) node)->arg);
			break;
		case T_CaseExpr:
			{
				CaseExpr   *expr = (CaseExpr *) node;

				REWRITE(expr->arg);
				rewrite_list(syntax, expr->args);
				REWRITE(expr->defresult);
			}
			break;
		case T_CaseWhen:
			REWRITE(((CaseWhen *) node)->expr);
			REWRITE(((CaseWhen *) node)->result);
			break;
		case T_CoalesceExpr:
			rewrite_list(syntax, ((CoalesceExpr *) node)->args);
			break;
		case T_MinMaxExpr:
			rewrite_list(syntax, ((MinMaxExpr *) node)->args);
			break;
		case T_A_ArrayExpr:
			rewrite_list(syntax, ((A_ArrayExpr *) node)->elements);
			break;
		case T_RowExpr:
			rewrite_list(syntax, ((RowExpr *) node)->args);
			break;
		case T_CollateClause:
			REWRITE(((CollateClause *) node)->arg);
			break;
		case T_NamedArgExpr:
			REWRITE(((NamedArgExpr *) node)->arg);
			break;
		case T_A_Indirection:
			{
				A_Indirection *expr = (A_Indirection *) node;

				check_star(syntax, expr->indirection, exprLocation(expr->arg));
				REWRITE(expr->arg);
				rewrite_list(syntax, expr->indirection);
			}
			break;
		case T_A_Indices:
			REWRITE(((A_Indices *) node)->lidx);
			REWRITE(((A_Indices *) node)->uidx);
			break;
		case T_String:			/* name of a field, in an indirection */
			break;
		default:
			refuse_node(syntax, node);
	}
#undef REWRITE
	return node;
}

static void
rewrite_list(Syntax *syntax, List *list)
{
	ListCell   *lc;

	foreach(lc, list)
		lfirst(lc) = syntax_rewrite(syntax, (Node *) lfirst(lc));
}

static void
refuse_node(Syntax *syntax, Node *node)
{
	const char *what = "this kind of expression";
	bool		clock = false;

	if (IsA(node, SubLink))
		what = "a subquery";
	else if (IsA(node, ParamRef))
		what = "a parameter";
	else if (IsA(node, GroupingFunc))
		what = "GROUPING";
	else if (IsA(node, SQLValueFunction))
	{
		switch (((SQLValueFunction *) node)->op)
		{
			case SVFOP_CURRENT_DATE:
				what = "CURRENT_DATE";
				clock = true;
				break;
			case SVFOP_CURRENT_TIME:
			case SVFOP_CURRENT_TIME_N:
				what = "CURRENT_TIME";
				clock = true;
				break;
			case SVFOP_CURRENT_TIMESTAMP:
			case SVFOP_CURRENT_TIMESTAMP_N:
				what = "CURRENT_TIMESTAMP";
				clock = true;
				break;
			case SVFOP_LOCALTIME:
			case SVFOP_LOCALTIME_N:
				what = "LOCALTIME";
				clock = true;
				break;
			case SVFOP_LOCALTIMESTAMP:
			case SVFOP_LOCALTIMESTAMP_N:
				what = "LOCALTIMESTAMP";
				clock = true;
				break;
			default:
				what = "a function of the session, such as CURRENT_USER,";
		}
	}

	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s cannot be used in a predicate", what),
			 clock ? errhint(SYNTAX_CLOCK_HINT) : 0,
			 parser_errposition(syntax->pstate, exprLocation(node))));
}

/*
 * Refuse contact.* and (contact).*; a star has no location of its own.
 */
static void
check_star(Syntax *syntax, List *fields, int location)
{
	if (IsA(llast(fields), A_Star))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("* cannot be used in a predicate"),
				 parser_errposition(syntax->pstate, location)));
}

/*
 * Check the row that a column reference names.  Whether the column exists is
 * left to the analysis.
 */
static void
check_column(Syntax *syntax, ColumnRef *column)
{
	const PredicateScope *scope = syntax->scope;
	const char *row;
	const char *nearest;
	List	   *rows = list_make1("contact");

	check_star(syntax, column->fields, column->location);
	if (list_length(column->fields) == 1)
		return;

	if (syntax->inside)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("\"%s\" cannot be used inside %s",
						NameListToString(column->fields),
						syntax->inside->name),
				 errhint("Only the %s's own columns can be used there, without a prefix.",
						 vocabulary_row(syntax->inside)),
				 parser_errposition(syntax->pstate, column->location)));

	row = strVal(linitial(column->fields));
	if (OidIsValid(scope->companies))
		rows = lappend(rows, "company");
	if (scope->event_row)
		rows = lappend(rows, "event");
	if (scope->deal_row)
		rows = lappend(rows, "deal");
	for (int i = 0; i < list_length(rows); i++)
	{
		if (strcmp(row, list_nth(rows, i)) == 0)
			return;
	}

	nearest = nearest_name(row, rows);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 strcmp(row, "company") == 0 ?
			 errmsg("the model has no companies table") :
			 strcmp(row, "event") == 0 ?
			 errmsg("event columns can be used only in rules on events") :
			 strcmp(row, "deal") == 0 ?
			 errmsg("deal columns can be used only in rules on deals") :
			 errmsg("there is no row called \"%s\"", row),
			 nearest ? errhint("Perhaps you meant \"%s\".", nearest) :
			 strcmp(row, "event") == 0 ?
			 errhint("Elsewhere they stand in a filter, as in did('Signed Up', filter => plan = 'pro').") :
			 errhint("The contact's columns stand bare%s.",
					 OidIsValid(scope->companies) ?
					 ", the company's as company.column" : ""),
			 parser_errposition(syntax->pstate, column->location)));
}

/*
 * Remember a literal that would mean the day of compilation if it turned out
 * to be a date.
 */
static void
note_literal(Syntax *syntax, A_Const *constant)
{
	static const char *const words[] = {
		"now", "today", "tomorrow", "yesterday"
	};
	const char *text;

	if (constant->isnull || !IsA(&constant->val, String))
		return;
	for (text = constant->val.sval.sval; *text;)
	{
		size_t		length = 0;

		while (isalpha((unsigned char) text[length]))
			length++;
		for (int i = 0; i < (int) lengthof(words); i++)
		{
			if (length == strlen(words[i]) &&
				pg_strncasecmp(text, words[i], length) == 0)
			{
				syntax->moving = lappend_int(syntax->moving,
											   constant->location);
				return;
			}
		}
		text += Max(length, 1);
	}
}

static Node *
rewrite_call(Syntax *syntax, FuncCall *call)
{
	const VocabularyWord *word = NULL;

	if (list_length(call->funcname) == 1)
		word = vocabulary_find(strVal(linitial(call->funcname)));

	check_call(syntax, call, word);
	if (word == NULL)
	{
		check_function_name(syntax, call);
		rewrite_list(syntax, call->args);
		return (Node *) call;
	}
	if (word->form == WORD_AT_LEAST)
		return rewrite_at_least(syntax, call);
	else if (word->form == WORD_COMPARED)
	{
		(void) syntax_read_call(syntax, call);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s() must be compared with an interval constant by >=, >, <, <= or BETWEEN",
						word->name),
				 errhint("Write for example %s() >= '7 days'.", word->name),
				 parser_errposition(syntax->pstate, call->location)));
		return NULL;			/* keep compiler quiet */
	}
	else
	{
		VocabularyCall *read = syntax_read_call(syntax, call);

		return syntax_use_atom(syntax, read, word->kind, read->times);
	}
}

/*
 * Check what can be said of a call without looking at its arguments.  The
 * word is NULL for a function that is not of the vocabulary.
 */
static void
check_call(Syntax *syntax, FuncCall *call, const VocabularyWord *word)
{
	const char *name = strVal(llast(call->funcname));

	if (call->agg_star || call->agg_order || call->agg_filter ||
		call->agg_distinct || call->agg_within_group || call->over)
		ereport(ERROR,
				(errcode(ERRCODE_GROUPING_ERROR),
				 errmsg("%s over a set of rows cannot be used in a predicate",
						name),
				 errhint("To look at a contact's events use event_count, event_sum and the like."),
				 parser_errposition(syntax->pstate, call->location)));
	if (word == NULL)
		return;

	if (syntax->inside)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s cannot be used inside %s", name,
						syntax->inside->name),
				 errhint("Only the %s's own columns can be used there.",
						 vocabulary_row(syntax->inside)),
				 parser_errposition(syntax->pstate, call->location)));
	if (call->func_variadic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("VARIADIC cannot be used with %s", name),
				 errhint("Write %s.", word->usage),
				 parser_errposition(syntax->pstate, call->location)));
}

/*
 * Refuse the clock's functions, and name the word that a misspelt one may
 * have been.  Everything else about a function is left to the analysis.
 */
static void
check_function_name(Syntax *syntax, FuncCall *call)
{
	static const char *const clocks[] = {
		"now", "clock_timestamp", "statement_timestamp",
		"transaction_timestamp", "timeofday"
	};
	const char *name = strVal(llast(call->funcname));
	bool		clock;
	const char *nearest;

	if (list_length(call->funcname) > 1 &&
		strcmp(strVal(linitial(call->funcname)), "pg_catalog") != 0)
		return;

	clock = strcmp(name, "age") == 0 && list_length(call->args) == 1;
	for (int i = 0; i < (int) lengthof(clocks); i++)
		clock |= strcmp(name, clocks[i]) == 0;
	if (clock)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function %s(%s) cannot be used in a predicate",
						name, call->args ? "..." : ""),
				 errdetail("It reads the current time."),
				 errhint(SYNTAX_CLOCK_HINT),
				 parser_errposition(syntax->pstate, call->location)));

	if (list_length(call->funcname) > 1 ||
		FuncnameGetCandidates(call->funcname, -1, NIL, false, false, false,
							  true) != NULL ||
		LookupTypeName(NULL, makeTypeNameFromNameList(call->funcname),
					   NULL, true) != NULL)
		return;
	nearest = nearest_name(name, vocabulary_names());
	if (nearest)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %s(...) does not exist", name),
				 errhint("Perhaps you meant \"%s\".", nearest),
				 parser_errposition(syntax->pstate, call->location)));
}

/*
 * at_least(k, c1, c2 ...) becomes a sum of CASE WHEN c THEN 1 ELSE 0 END,
 * compared with k.
 */
static Node *
rewrite_at_least(Syntax *syntax, FuncCall *call)
{
	const VocabularyWord *word = vocabulary_find("at_least");
	int			conditions = list_length(call->args) - 1;
	int64		needed;
	Node	   *sum = NULL;
	ListCell   *lc;

	if (conditions < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("at_least needs a number and one or more conditions"),
				 errhint("Write %s.", word->usage),
				 parser_errposition(syntax->pstate, call->location)));
	if (!constant_integer(linitial(call->args), &needed) ||
		needed < 0 || needed > conditions)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the number of at_least must be an integer constant from 0 to %d",
						conditions),
				 parser_errposition(syntax->pstate,
									exprLocation(linitial(call->args)))));

	for_each_from(lc, call->args, 1)
	{
		Node	   *condition = (Node *) lfirst(lc);
		int			location = exprLocation(condition);
		CaseExpr   *term = makeNode(CaseExpr);
		CaseWhen   *when = makeNode(CaseWhen);

		if (IsA(condition, NamedArgExpr))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("at_least has no named arguments"),
					 errhint("Write %s.", word->usage),
					 parser_errposition(syntax->pstate, location)));
		when->expr = (Expr *) syntax_rewrite(syntax, condition);
		when->result = (Expr *) integer_node(1);
		when->location = location;
		term->args = list_make1(when);
		term->defresult = (Expr *) integer_node(0);
		term->location = location;
		sum = sum == NULL ? (Node *) term :
			(Node *) makeSimpleA_Expr(AEXPR_OP, "+", sum, (Node *) term,
									  location);
	}
	return (Node *) makeSimpleA_Expr(AEXPR_OP, ">=", sum,
									 (Node *) linitial(call->args),
									 call->location);
}

/*
 * syntax_read_call: read the call of a word that becomes an atom.
 */
VocabularyCall *
syntax_read_call(Syntax *syntax, FuncCall *call)
{
	const char *name = strVal(linitial(call->funcname));
	const VocabularyWord *word = vocabulary_find(name);
	VocabularyCall *result;

	check_call(syntax, call, word);
	switch (word->kind)
	{
		case ATOM_IN_SEGMENT:
		case ATOM_IN_LAST:
		case ATOM_TIME_IN_STAGE:
			break;
		case ATOM_SCORE:
			if (syntax->scope->in_score)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("score cannot be used in a rule of a score"),
						 errhint("Give this score the rules of the other one too."),
						 parser_errposition(syntax->pstate, call->location)));
			break;
		case ATOM_OPEN_DEALS:
			if (!OidIsValid(syntax->scope->deals))
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("the model has no deals table"),
						 errdetail("%s looks at deals.", name),
						 parser_errposition(syntax->pstate, call->location)));
			break;
		default:
			if (!OidIsValid(syntax->scope->events))
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("the model has no events table"),
						 errdetail("%s looks at events.", name),
						 parser_errposition(syntax->pstate, call->location)));
			break;
	}
	result = vocabulary_read(syntax->pstate, word, call);
	if (result->column)
		check_column(syntax, result->column);
	syntax->calls = lappend(syntax->calls, result);
	return result;
}

/*
 * syntax_use_atom: note a use of an atom of this call; the result stands for
 * it.
 */
Node *
syntax_use_atom(Syntax *syntax, VocabularyCall *call, AtomKind kind,
				int64 times)
{
	AtomUse    *use = palloc(sizeof(AtomUse));
	ParamRef   *ref = makeNode(ParamRef);

	use->call = call;
	use->kind = kind;
	use->times = times;
	syntax->uses = lappend(syntax->uses, use);
	ref->number = list_length(syntax->uses);
	ref->location = call->location;
	return (Node *) ref;
}

static Node *
integer_node(int value)
{
	A_Const    *result = makeNode(A_Const);

	result->val.ival.type = T_Integer;
	result->val.ival.ival = value;
	result->location = -1;
	return (Node *) result;
}
