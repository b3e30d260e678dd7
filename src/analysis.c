/*-------------------------------------------------------------------------
 *
 * analysis.c
 *	  Raw parse tree of a predicate, filter or value to a checked expression.
 *
 * The analysis is PostgreSQL's own.  Around it stand the range table (which
 * rows a text may refer to), the Params that take the place of atoms, and the
 * check of the result: nothing mutable, no aggregate, no set, no whole row.
 *
 * All results are allocated in the current memory context.  The tables are
 * locked by AccessShareLock, kept until the end of the transaction.  Errors
 * are PostgreSQL's or worded like them, and have their position.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"

#include "analysis.h"

/* What the check of a tree needs to point at errors. */
typedef struct Analysis
{
	ParseState *pstate;
	const List *moving;			/* see Syntax */
} Analysis;

static void add_relation(ParseState *pstate, Oid relation, const char *name,
						 bool bare);
static void refuse_type(Syntax *syntax, Node *node, Oid target,
						const char *argument);
static Node *atom_param(ParseState *pstate, ParamRef *ref);
static Node *check_column(ParseState *pstate, ColumnRef *column, Node *var);
static const char *nearest_column(ParseState *pstate, const char *wrong,
								  const char *row);
static bool check_walker(Node *node, void *context);
static void refuse(Analysis *analysis, Node *node, const char *what);
static void refuse_mutable(Analysis *analysis, Node *node, Oid function);
static bool function_is_mutable(Oid function, void *context);
static bool takes_timestamptz(Node *node);
static bool reads_clock(const Const *constant);

/*
 * What a predicate may refer to.  place_columns relies on the order.
 */
ParseState *
analysis_of_contact(Compiler *compiler, const char *text)
{
	const PredicateScope *scope = compiler->scope;
	ParseState *pstate = make_parsestate(NULL);

	pstate->p_sourcetext = text;
	pstate->p_ref_hook_state = compiler;
	pstate->p_paramref_hook = atom_param;
	pstate->p_post_columnref_hook = check_column;
	add_relation(pstate, scope->contacts, "contact", true);
	if (OidIsValid(scope->companies))
		add_relation(pstate, scope->companies, "company", false);
	if (scope->event_row)
		add_relation(pstate, scope->events, "event", false);
	if (scope->deal_row)
		add_relation(pstate, scope->deals, "deal", false);
	return pstate;
}

/*
 * What a filter or value of this word may refer to.
 */
ParseState *
analysis_of_row(Compiler *compiler, const VocabularyWord *word,
				const char *text)
{
	ParseState *pstate = make_parsestate(NULL);

	pstate->p_sourcetext = text;
	pstate->p_ref_hook_state = compiler;
	pstate->p_post_columnref_hook = check_column;
	add_relation(pstate, analysis_table(compiler, word), vocabulary_row(word),
				 true);
	return pstate;
}

Oid
analysis_table(Compiler *compiler, const VocabularyWord *word)
{
	return word->kind == ATOM_OPEN_DEALS ? compiler->scope->deals :
		compiler->scope->events;
}

/*
 * The tables that a text may refer to, as they are numbered in its tree.
 */
List *
analysis_tables(const ParseState *pstate)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, pstate->p_rtable)
		result = lappend_oid(result, lfirst_node(RangeTblEntry, lc)->relid);
	return result;
}

static void
add_relation(ParseState *pstate, Oid relation, const char *name, bool bare)
{
	Relation	rel = table_open(relation, AccessShareLock);
	ParseNamespaceItem *item;

	item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock,
										 makeAlias(name, NIL), false, true);
	addNSItemToQuery(pstate, item, false, true, bare);
	table_close(rel, NoLock);
}


/*
 * Analyse a rewritten raw tree and check the result.  The argument is that
 * of an event function, or NULL for a whole predicate.
 */
Node *
analysis_run(Syntax *syntax, Node *raw, Oid target, const char *argument)
{
	ParseState *pstate = syntax->pstate;
	Analysis	analysis = {.pstate = pstate, .moving = syntax->moving};
	Node	   *node = transformExpr(pstate, raw, EXPR_KIND_OTHER);
	Node	   *coerced;

	check_walker(node, &analysis);
	if (!OidIsValid(target) && exprType(node) == UNKNOWNOID)
		target = TEXTOID;
	if (OidIsValid(target))
	{
		coerced = coerce_to_target_type(pstate, node, exprType(node),
										target, -1, COERCION_ASSIGNMENT,
										COERCE_IMPLICIT_CAST, -1);
		if (coerced == NULL)
			refuse_type(syntax, node, target, argument);
		node = coerced;
		check_walker(node, &analysis);
	}
	else if (get_typtype(exprType(node)) == TYPTYPE_PSEUDO)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("a value of type %s cannot be used here",
						format_type_be(exprType(node))),
				 parser_errposition(pstate, exprLocation(node))));
	assign_expr_collations(pstate, node);
	return node;
}

static void
refuse_type(Syntax *syntax, Node *node, Oid target, const char *argument)
{
	const char *wanted = format_type_be(target);
	const char *found = format_type_be(exprType(node));

	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 argument ?
			 errmsg("argument \"%s\" of %s must be type %s, not type %s",
					argument, syntax->inside->name, wanted, found) :
			 errmsg("predicate must be type %s, not type %s", wanted, found),
			 target == NUMERICOID ?
			 errhint("Cast it, as in (properties->>'price')::numeric.") :
			 target == BOOLOID && IsA(node, Const) &&
			 exprType(node) == INT4OID && argument ?
			 errhint("A number of times is given by name: times => n.") : 0,
			 parser_errposition(syntax->pstate, exprLocation(node))));
}

/*
 * The Param that stands for a use of an atom.
 */
static Node *
atom_param(ParseState *pstate, ParamRef *ref)
{
	Compiler   *compiler = (Compiler *) pstate->p_ref_hook_state;
	int			number = list_nth_int(compiler->numbers, ref->number - 1);
	AtomSpec   *spec = (AtomSpec *) list_nth(compiler->atoms, number - 1);
	Param	   *param = makeNode(Param);

	param->paramkind = PARAM_EXTERN;
	param->paramid = number;
	param->paramtype = spec->type;
	param->paramtypmod = spec->typmod;
	param->paramcollid = spec->collation;
	param->location = ref->location;
	return (Node *) param;
}

/*
 * Hook for resolved and unresolved columns.  A whole row is refused; of a
 * column that was not found it is said what may have been meant.
 */
static Node *
check_column(ParseState *pstate, ColumnRef *column, Node *var)
{
	Compiler   *compiler = (Compiler *) pstate->p_ref_hook_state;
	const char *wrong = strVal(llast(column->fields));
	const char *row = "contact";
	const char *prefix = "";
	const char *nearest;
	bool		bare = list_length(column->fields) == 1;
	bool		inner;

	if (var != NULL && IsA(var, Var) &&
		((Var *) var)->varattno == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" is a row, not a column", wrong),
				 errhint("Write one of its columns."),
				 parser_errposition(pstate, column->location)));
	if (var != NULL || list_length(column->fields) > 2)
		return NULL;			/* good, or PostgreSQL's own error */

	inner = pstate->p_paramref_hook == NULL;
	if (inner)
		row = linitial_node(RangeTblEntry, pstate->p_rtable)->eref->aliasname;
	if (!bare)
	{
		row = strVal(linitial(column->fields));
		prefix = psprintf("%s.", row);
	}
	nearest = nearest_column(pstate, wrong, row);
	if (nearest == NULL && bare && !inner)
	{
		nearest = nearest_column(pstate, wrong, "company");
		prefix = "company.";
	}

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" does not exist",
					NameListToString(column->fields)),
			 nearest ?
			 errhint("Perhaps you meant \"%s%s\".", prefix, nearest) :
			 bare && !inner && OidIsValid(compiler->scope->events) &&
			 get_attnum(compiler->scope->events, wrong) > 0 ?
			 errhint("An event's columns can be used in a filter, as in did('Signed Up', filter => ...).") : 0,
			 parser_errposition(pstate, column->location)));
	return NULL;				/* keep compiler quiet */
}

/*
 * The nearest column of a row, or NULL.
 */
static const char *
nearest_column(ParseState *pstate, const char *wrong, const char *row)
{
	List	   *names = NIL;
	ListCell   *lc;
	ListCell   *name;

	foreach(lc, pstate->p_rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (strcmp(rte->eref->aliasname, row) != 0)
			continue;
		foreach(name, rte->eref->colnames)
		{
			if (strVal(lfirst(name))[0] != '\0')	/* not dropped */
				names = lappend(names, strVal(lfirst(name)));
		}
	}
	return nearest_name(wrong, names);
}

/*
 * Refuse what the raw tree does not show: aggregates, set-returning and
 * mutable functions, whole rows and system columns.
 */
static bool
check_walker(Node *node, void *context)
{
	Analysis   *analysis = (Analysis *) context;
	Oid			function;

	if (node == NULL)
		return false;

	switch (nodeTag(node))
	{
		case T_Var:
			if (((Var *) node)->varattno <= 0)
				refuse(analysis, node, "a system column");
			break;
		case T_Const:
			if (list_member_int(analysis->moving,
								((Const *) node)->location) &&
				reads_clock((Const *) node))
				refuse(analysis, node, "a literal that depends on the current time");
			break;
		case T_Aggref:
			refuse(analysis, node, "an aggregate function");
			break;
		case T_WindowFunc:
			refuse(analysis, node, "a window function");
			break;
		case T_SubLink:
			refuse(analysis, node, "a subquery");
			break;
		case T_FuncExpr:
			if (((FuncExpr *) node)->funcretset)
				refuse(analysis, node, "a set-returning function");
			break;
		case T_OpExpr:
			if (((OpExpr *) node)->opretset)
				refuse(analysis, node, "a set-returning operator");
			break;
		case T_SQLValueFunction:
		case T_NextValueExpr:
			refuse(analysis, node, "a function of the session");
			break;
		default:
			break;
	}

	if (check_functions_in_node(node, function_is_mutable, &function))
		refuse_mutable(analysis, node, function);
	return expression_tree_walker(node, check_walker, context);
}

static void
refuse(Analysis *analysis, Node *node, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s cannot be used in a predicate", what),
			 IsA(node, Aggref) ?
			 errhint("To look at a contact's events use event_count, event_sum and the like.") :
			 IsA(node, Const) ? errhint(SYNTAX_CLOCK_HINT) : 0,
			 parser_errposition(analysis->pstate, exprLocation(node))));
}

static void
refuse_mutable(Analysis *analysis, Node *node, Oid function)
{
	Oid			operator = InvalidOid;

	if (IsA(node, OpExpr) || IsA(node, DistinctExpr) || IsA(node, NullIfExpr))
		operator = ((OpExpr *) node)->opno;
	else if (IsA(node, ScalarArrayOpExpr))
		operator = ((ScalarArrayOpExpr *) node)->opno;

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 OidIsValid(operator) ?
			 errmsg("operator %s is not immutable",
					format_operator(operator)) :
			 IsA(node, CoerceViaIO) ?
			 errmsg("cast from type %s to type %s is not immutable",
					format_type_be(exprType((Node *) ((CoerceViaIO *) node)->arg)),
					format_type_be(exprType(node))) :
			 errmsg("function %s is not immutable",
					format_procedure(function)),
			 func_volatile(function) == PROVOLATILE_STABLE ?
			 errdetail("Its result can change with the session's settings, such as TimeZone, or with time.") :
			 errdetail("It can give another result at each call."),
			 takes_timestamptz(node) ?
			 errhint("Fix the time zone first, as in signed_up AT TIME ZONE 'UTC'.") : 0,
			 parser_errposition(analysis->pstate, exprLocation(node))));
}

static bool
function_is_mutable(Oid function, void *context)
{
	*(Oid *) context = function;
	return func_volatile(function) != PROVOLATILE_IMMUTABLE;
}

/*
 * Is one of the arguments a timestamptz, so that the time zone is likely to
 * be what makes the function depend on the session?
 */
static bool
takes_timestamptz(Node *node)
{
	List	   *arguments = NIL;
	ListCell   *lc;

	if (IsA(node, FuncExpr))
		arguments = ((FuncExpr *) node)->args;
	else if (IsA(node, OpExpr))
		arguments = ((OpExpr *) node)->args;
	foreach(lc, arguments)
	{
		if (exprType((Node *) lfirst(lc)) == TIMESTAMPTZOID)
			return true;
	}
	return false;
}

/*
 * Is a literal with a word such as "today" in it read by a function that
 * looks at the clock?  Input functions of dates and times are stable, those
 * of text are immutable; of an array, the element's counts.
 */
static bool
reads_clock(const Const *constant)
{
	Oid			element = get_base_element_type(constant->consttype);
	Oid			function;
	Oid			parameter;

	getTypeInputInfo(OidIsValid(element) ? element : constant->consttype,
					 &function, &parameter);
	return func_volatile(function) != PROVOLATILE_IMMUTABLE;
}
