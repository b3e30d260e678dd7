/*-------------------------------------------------------------------------
 *
 * predicate.c
 *	  Text of a predicate or value expression to an executable expression.
 *
 * The text is parsed by PostgreSQL's parser as one expression.  The raw tree
 * is walked against a whitelist of node types (syntax.c); on the way each
 * call of the vocabulary (did, event_count, ...) is taken out, and a ParamRef
 * takes its place.  The rest is analysed with the contact, the company and perhaps
 * an event or a deal as range table, checked to be immutable, and planned.
 * No text is ever pasted into a query.
 *
 * An event filter or value is analysed by itself, over the events table.  It
 * is deparsed and analysed again until its text does not change any more, so
 * that equal filters get equal texts, and an atom's definition compiles to
 * the same atom.
 *
 * Memory: results are built in a context of their own and copied to the
 * context that is current at the call when they are complete.
 *
 * Locks: AccessShareLock on each table of the scope that may be referred to,
 * kept until the end of the transaction.
 *
 * Settings: while a text is compiled, search_path is pg_catalog, pg_temp.
 * Functions, operators and types of other schemas (those of extensions too)
 * must therefore be qualified: app.normalize(x), a OPERATOR(app.=) b.
 * TimeZone is that of the scope; the other settings that change how literals
 * are read and written are pinned to PostgreSQL's defaults.
 *
 * Planning folds constants, which runs immutable functions that the text
 * names.  The caller must already have switched to the role that the
 * expression is to run as.
 *
 * Errors: whatever is wrong with a text is raised with the text as internal
 * query, and a position in it where there is one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"

#include "predicate.h"
#include "syntax.h"

/* A filter that still changes after so many rounds would never settle. */
#define MAX_ROUNDS 8

/* The text that is being compiled, for error messages. */
typedef struct SourceText
{
	const char *text;
	const char *origin;			/* where it comes from, if not the caller */
	ErrorContextCallback callback;
} SourceText;

typedef struct Compiler
{
	const PredicateScope *scope;
	bool		canonical;		/* filters are known to be canonical */
	List	   *atoms;			/* of AtomSpec *, by first use */
	List	   *numbers;		/* atom number of each use, as integers */
} Compiler;

/* What one analysis needs to point at errors. */
typedef struct Analysis
{
	ParseState *pstate;
	const List *moving;			/* see Syntax */
} Analysis;

/* Where place_columns puts what it finds. */
typedef struct PlacedColumns
{
	const PredicateScope *scope;
	Predicate  *predicate;
} PlacedColumns;

static int	pin_settings(const PredicateScope *scope);
static void push_source(SourceText *source, const char *text,
						const char *origin);
static void pop_source(SourceText *source);
static void source_error(void *arg);
static ParseState *contact_namespace(Compiler *compiler, const char *text);
static ParseState *event_namespace(Compiler *compiler, const char *text);
static void add_relation(ParseState *pstate, Oid relation, const char *name,
						 bool bare);
static void collect_atoms(Compiler *compiler, List *uses);
static AtomSpec *compile_use(Compiler *compiler, AtomUse *use);
static AtomSpec *compile_call(Compiler *compiler, VocabularyCall *call);
static void check_value(VocabularyCall *call, Node *value);
static Node *event_expression(Compiler *compiler, const VocabularyWord *word,
							  const char *argument, ParseState *pstate,
							  Node *raw, Oid target, char **canonical);
static Node *visited_filter(Compiler *compiler, VocabularyCall *call);
static char *deparse_event(Compiler *compiler, Node *node,
						   const char *prefix);
static Node *analyse(Syntax *syntax, Node *raw, Oid target,
					 const char *argument);
static void refuse_type(Syntax *syntax, Node *node, Oid target,
						const char *argument);
static Node *atom_param(ParseState *pstate, ParamRef *ref);
static Node *explain_column(ParseState *pstate, ColumnRef *column, Node *var);
static const char *nearest_column(ParseState *pstate, const char *wrong,
								  const char *row);
static bool check_walker(Node *node, void *context);
static void refuse(Analysis *analysis, Node *node, const char *what);
static void refuse_mutable(Analysis *analysis, Node *node, Oid function);
static bool function_is_mutable(Oid function, void *context);
static bool reads_clock(Const *constant);
static Expr *plan(Node *node);
static Node *place_columns(Node *node, void *context);
static AtomSpec *copy_atom(const AtomSpec *spec);

/*
 * Compile a text.
 */
Predicate *
predicate_compile(const PredicateScope *scope, const char *text,
				  bool must_be_boolean)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext work = AllocSetContextCreate(caller, "lifecycle predicate",
											   ALLOCSET_DEFAULT_SIZES);
	Compiler	compiler = {.scope = scope};
	Syntax		syntax = {.scope = scope};
	int			settings = pin_settings(scope);
	SourceText	source;
	Predicate  *result = palloc0(sizeof(Predicate));
	PlacedColumns placed = {.scope = scope, .predicate = result};
	Node	   *node;
	ListCell   *lc;

	MemoryContextSwitchTo(work);
	push_source(&source, text, NULL);

	syntax.pstate = contact_namespace(&compiler, text);
	node = syntax_rewrite(&syntax, syntax_parse(syntax.pstate));
	collect_atoms(&compiler, syntax.uses);
	node = analyse(&syntax, node, must_be_boolean ? BOOLOID : InvalidOid,
				   NULL);
	node = (Node *) plan(node);

	MemoryContextSwitchTo(caller);
	result->type = exprType(node);
	result->expr = (Expr *) place_columns(node, &placed);
	foreach(lc, compiler.atoms)
		result->atoms = lappend(result->atoms,
								copy_atom((AtomSpec *) lfirst(lc)));

	pop_source(&source);
	AtEOXact_GUC(true, settings);
	MemoryContextDelete(work);
	return result;
}

/*
 * Compile an atom from its definition.
 */
AtomSpec *
predicate_compile_atom(const PredicateScope *scope, const char *definition)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext work = AllocSetContextCreate(caller, "lifecycle atom",
											   ALLOCSET_DEFAULT_SIZES);
	Compiler	compiler = {.scope = scope, .canonical = true};
	int			settings = pin_settings(scope);
	SourceText	source;
	AtomSpec   *spec;

	MemoryContextSwitchTo(work);
	push_source(&source, definition, NULL);

	/*
	 * A stored definition is canonical, so that one round is enough; if what
	 * comes out differs, it was not.
	 */
	for (;;)
	{
		Syntax		syntax = {.scope = scope};
		Node	   *node;

		syntax.pstate = contact_namespace(&compiler, definition);
		node = syntax_rewrite(&syntax, syntax_parse(syntax.pstate));
		if (!IsA(node, ParamRef) || list_length(syntax.uses) != 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("text is not a single event function or in_segment")));
		spec = compile_use(&compiler, (AtomUse *) linitial(syntax.uses));
		if (!compiler.canonical || strcmp(spec->definition, definition) == 0)
			break;
		compiler.canonical = false;
	}

	MemoryContextSwitchTo(caller);
	spec = copy_atom(spec);

	pop_source(&source);
	AtEOXact_GUC(true, settings);
	MemoryContextDelete(work);
	return spec;
}

/*
 * Pin what changes the meaning of a text or the form of a deparsed one.
 * Returns the level to hand to AtEOXact_GUC; an error restores by itself.
 */
static int
pin_settings(const PredicateScope *scope)
{
	static const char *const pinned[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"DateStyle", "ISO, MDY"},
		{"IntervalStyle", "postgres"},
		{"standard_conforming_strings", "on"},
		{"backslash_quote", "safe_encoding"},
		{"transform_null_equals", "off"},
		{"array_nulls", "on"},
		{"quote_all_identifiers", "off"},
		{"extra_float_digits", "1"},
		{"bytea_output", "hex"},
	};
	int			level = NewGUCNestLevel();

	for (int i = 0; i < (int) lengthof(pinned); i++)
		(void) set_config_option(pinned[i][0], pinned[i][1],
								 PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("TimeZone", scope->time_zone,
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

static void
push_source(SourceText *source, const char *text, const char *origin)
{
	source->text = text;
	source->origin = origin;
	source->callback.callback = source_error;
	source->callback.arg = source;
	source->callback.previous = error_context_stack;
	error_context_stack = &source->callback;
}

static void
pop_source(SourceText *source)
{
	error_context_stack = source->callback.previous;
}

/*
 * A position that the parser reports is one in our text, not in the query
 * that the client sent.  An inner text's position stays as it is.
 */
static void
source_error(void *arg)
{
	SourceText *source = (SourceText *) arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(source->text);
	}
	else if (getinternalerrposition() == 0)
		internalerrquery(source->text);

	if (source->origin)
		errcontext("%s", source->origin);
}

/*
 * What a predicate may refer to.  place_columns relies on the order.
 */
static ParseState *
contact_namespace(Compiler *compiler, const char *text)
{
	const PredicateScope *scope = compiler->scope;
	ParseState *pstate = make_parsestate(NULL);

	pstate->p_sourcetext = text;
	pstate->p_ref_hook_state = compiler;
	pstate->p_paramref_hook = atom_param;
	pstate->p_post_columnref_hook = explain_column;
	add_relation(pstate, scope->contacts, "contact", true);
	if (OidIsValid(scope->companies))
		add_relation(pstate, scope->companies, "company", false);
	if (scope->event_row)
		add_relation(pstate, scope->events, "event", false);
	if (scope->deal_row)
		add_relation(pstate, scope->deals, "deal", false);
	return pstate;
}

static ParseState *
event_namespace(Compiler *compiler, const char *text)
{
	ParseState *pstate = make_parsestate(NULL);

	pstate->p_sourcetext = text;
	pstate->p_ref_hook_state = compiler;
	pstate->p_post_columnref_hook = explain_column;
	add_relation(pstate, compiler->scope->events, "event", true);
	return pstate;
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
 * Compile the atoms that a text uses, and number the distinct ones by first
 * use.
 */
static void
collect_atoms(Compiler *compiler, List *uses)
{
	List	   *hashes = NIL;
	ListCell   *lc;

	foreach(lc, uses)
	{
		AtomSpec   *spec = compile_use(compiler, (AtomUse *) lfirst(lc));
		int			hash;
		int			number;

		CHECK_FOR_INTERRUPTS();
		hash = (int) hash_bytes((unsigned char *) spec->definition,
								strlen(spec->definition));
		for (number = 0; number < list_length(hashes); number++)
		{
			AtomSpec   *other;

			if (list_nth_int(hashes, number) != hash)
				continue;
			other = (AtomSpec *) list_nth(compiler->atoms, number);
			if (strcmp(other->definition, spec->definition) == 0)
				break;
		}
		if (number == list_length(hashes))
		{
			hashes = lappend_int(hashes, hash);
			compiler->atoms = lappend(compiler->atoms, spec);
		}
		compiler->numbers = lappend_int(compiler->numbers, number + 1);
	}
}

/*
 * The atom of one use: that of its call, or a threshold on the call's count.
 */
static AtomSpec *
compile_use(Compiler *compiler, AtomUse *use)
{
	AtomSpec   *spec = compile_call(compiler, use->call);

	if (spec->kind != use->kind || spec->times != use->times)
	{
		AtomSpec   *other = palloc(sizeof(AtomSpec));

		*other = *spec;
		spec = other;
		spec->kind = use->kind;
		spec->times = use->times;
		spec->type = BOOLOID;
		spec->definition = vocabulary_definition(use->call, use->kind,
												 use->times);
	}
	return spec;
}

static AtomSpec *
compile_call(Compiler *compiler, VocabularyCall *call)
{
	const VocabularyWord *word = call->word;
	AtomSpec   *spec = palloc0(sizeof(AtomSpec));
	Node	   *node = NULL;

	if (call->spec)
		return call->spec;

	spec->kind = word->kind;
	spec->event = call->event;
	spec->segment = call->segment;
	spec->times = call->times;
	spec->within = call->within;
	spec->typmod = -1;

	if (call->value)
	{
		bool		number = spec->kind == ATOM_SUM || spec->kind == ATOM_AVG;

		node = event_expression(compiler, word, "value", call->pstate,
								call->value, number ? NUMERICOID : InvalidOid,
								&call->value_text);
		spec->value = plan(node);
		spec->value_sql = deparse_event(compiler, node, "e");
		check_value(call, node);
	}
	switch (spec->kind)
	{
		case ATOM_DID:
		case ATOM_IN_SEGMENT:
			spec->type = BOOLOID;
			break;
		case ATOM_COUNT:
		case ATOM_DISTINCT:
			spec->type = INT8OID;
			break;
		case ATOM_FIRST:
		case ATOM_LAST:
			spec->type = TIMESTAMPTZOID;
			break;
		case ATOM_SUM:
		case ATOM_AVG:
			spec->type = NUMERICOID;
			break;
		case ATOM_MIN:
		case ATOM_MAX:
		case ATOM_LATEST:
			spec->type = exprType(node);
			spec->typmod = exprTypmod(node);
			spec->collation = exprCollation(node);
			break;
	}

	if (word->form == WORD_VISITED)
	{
		spec->event = call->event = pstrdup(compiler->scope->page_view_event);
		node = visited_filter(compiler, call);
	}
	else
		node = call->filter == NULL ? NULL :
			event_expression(compiler, word, "filter", call->pstate,
							 call->filter, BOOLOID, &call->filter_text);
	if (node)
	{
		spec->filter = plan(node);
		spec->filter_sql = deparse_event(compiler, node, "e");
	}
	spec->definition = vocabulary_definition(call, spec->kind, spec->times);
	call->spec = spec;
	return spec;
}

/*
 * Can the engine compare the values as the function needs it?
 */
static void
check_value(VocabularyCall *call, Node *value)
{
	Oid			type = exprType(value);
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR |
											  TYPECACHE_CMP_PROC);
	bool		good = true;

	if (call->word->kind == ATOM_MIN || call->word->kind == ATOM_MAX)
		good = OidIsValid(entry->cmp_proc);
	else if (call->word->kind == ATOM_DISTINCT)
		good = OidIsValid(entry->eq_opr);
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("values of type %s cannot be compared in %s",
						format_type_be(type), call->word->name),
				 parser_errposition(call->pstate, call->location)));
}

/*
 * Analyse a filter or value until deparsing and analysing it again changes
 * nothing.  The canonical text is set, and the last tree returned.
 */
static Node *
event_expression(Compiler *compiler, const VocabularyWord *word,
				 const char *argument, ParseState *pstate, Node *raw,
				 Oid target, char **canonical)
{
	Syntax		syntax = {.scope = compiler->scope, .inside = word};
	const char *text = pstate->p_sourcetext;
	SourceText	source;
	Node	   *result;

	for (int round = 1;; round++)
	{
		if (round > MAX_ROUNDS)
			elog(ERROR, "canonical form of an expression not found: %s",
				 text);
		if (round > 1)
			push_source(&source, text, NULL);
		syntax.pstate = event_namespace(compiler, text);
		if (round > 1)
			raw = syntax_parse(syntax.pstate);
		syntax.moving = NIL;
		result = analyse(&syntax, syntax_rewrite(&syntax, raw), target,
						 argument);
		*canonical = deparse_event(compiler, result, NULL);
		if (round > 1)
			pop_source(&source);
		if (compiler->canonical || (round > 1 && strcmp(*canonical, text) == 0))
			return result;
		text = *canonical;
	}
}

/*
 * The filter of visited(): the model's path expression LIKE the pattern.
 * The path is put into the filter's text only after it has been analysed and
 * deparsed by itself.
 */
static Node *
visited_filter(Compiler *compiler, VocabularyCall *call)
{
	const char *path = compiler->scope->page_view_path;
	char	   *text;
	SourceText	source;
	ParseState *pstate;
	Node	   *result;

	push_source(&source, path, "setting page_view_path");
	pstate = event_namespace(compiler, path);
	event_expression(compiler, call->word, "path", pstate,
					 syntax_parse(pstate), TEXTOID, &text);
	pop_source(&source);

	text = psprintf("(%s) ~~ %s", text, quote_literal_cstr(call->pattern));
	push_source(&source, text, "path and pattern of visited");
	pstate = event_namespace(compiler, text);
	result = event_expression(compiler, call->word, "filter", pstate,
							  syntax_parse(pstate), BOOLOID,
							  &call->filter_text);
	pop_source(&source);
	return result;
}

/*
 * Text of an analysed expression over the events table, its columns with the
 * prefix if one is given.  Implicit casts are shown, so that the text is read
 * back in the same way whatever it is compared with.
 */
static char *
deparse_event(Compiler *compiler, Node *node, const char *prefix)
{
	List	   *context = deparse_context_for(prefix ? prefix : "event",
											  compiler->scope->events);

	return deparse_expression(node, context, prefix != NULL, true);
}

/*
 * Analyse a rewritten raw tree and check the result.  The argument is that
 * of an event function, or NULL for a whole predicate.
 */
static Node *
analyse(Syntax *syntax, Node *raw, Oid target, const char *argument)
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
 * A column that was not found: say so, and what may have been meant.
 */
static Node *
explain_column(ParseState *pstate, ColumnRef *column, Node *var)
{
	Compiler   *compiler = (Compiler *) pstate->p_ref_hook_state;
	const char *wrong = strVal(llast(column->fields));
	const char *row = "contact";
	const char *prefix = "";
	const char *nearest;
	bool		bare = list_length(column->fields) == 1;
	bool		event;

	if (var != NULL || list_length(column->fields) > 2)
		return NULL;			/* good, or PostgreSQL's own error */

	event = pstate->p_paramref_hook == NULL;
	if (event)
		row = "event";
	if (!bare)
	{
		row = strVal(linitial(column->fields));
		prefix = psprintf("%s.", row);
	}
	nearest = nearest_column(pstate, wrong, row);
	if (nearest == NULL && bare && !event)
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
			 bare && !event && OidIsValid(compiler->scope->events) &&
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
			if (((Var *) node)->varattno == InvalidAttrNumber)
				refuse(analysis, node, "a whole row");
			if (((Var *) node)->varattno < 0)
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
			 errhint("To look at a contact's events use event_count, event_sum and the like.") : 0,
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
			 parser_errposition(analysis->pstate, exprLocation(node))));
}

static bool
function_is_mutable(Oid function, void *context)
{
	*(Oid *) context = function;
	return func_volatile(function) != PROVOLATILE_IMMUTABLE;
}

/*
 * Is a literal with a word such as "today" in it read by a function that
 * looks at the clock?  Input functions of dates and times are stable, those
 * of text are immutable; of an array, the element's counts.
 */
static bool
reads_clock(Const *constant)
{
	Oid			element = get_base_element_type(constant->consttype);
	Oid			function;
	Oid			parameter;

	getTypeInputInfo(OidIsValid(element) ? element : constant->consttype,
					 &function, &parameter);
	return func_volatile(function) != PROVOLATILE_IMMUTABLE;
}

/*
 * Plan a checked expression.  Defaults of function arguments are filled in
 * only now, so look once more for mutable functions.
 */
static Expr *
plan(Node *node)
{
	Expr	   *expr = expression_planner((Expr *) copyObject(node));

	if (contain_mutable_functions((Node *) expr))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("default argument of a function is not immutable")));
	return expr;
}

/*
 * Copy a planned expression, with each row's columns where the executor is
 * to find them, and note which are used.
 */
static Node *
place_columns(Node *node, void *context)
{
	PlacedColumns *placed = (PlacedColumns *) context;
	Predicate  *predicate = placed->predicate;
	Var		   *var;

	if (node == NULL)
		return NULL;
	if (!IsA(node, Var))
		return expression_tree_mutator(node, place_columns, context);

	var = copyObject((Var *) node);
	if (var->varno == 1)
		predicate->contact_columns = bms_add_member(predicate->contact_columns,
													var->varattno);
	else if (var->varno == 2 && OidIsValid(placed->scope->companies))
	{
		predicate->company_columns = bms_add_member(predicate->company_columns,
													var->varattno);
		var->varno = OUTER_VAR;
	}
	else
		var->varno = INNER_VAR;
	return (Node *) var;
}

static AtomSpec *
copy_atom(const AtomSpec *spec)
{
	AtomSpec   *copy = palloc(sizeof(AtomSpec));

	*copy = *spec;
	copy->event = spec->event ? pstrdup(spec->event) : NULL;
	copy->segment = spec->segment ? pstrdup(spec->segment) : NULL;
	copy->filter = copyObject(spec->filter);
	copy->value = copyObject(spec->value);
	if (spec->within)
	{
		copy->within = palloc(sizeof(Interval));
		*copy->within = *spec->within;
	}
	copy->definition = pstrdup(spec->definition);
	copy->filter_sql = spec->filter_sql ? pstrdup(spec->filter_sql) : NULL;
	copy->value_sql = spec->value_sql ? pstrdup(spec->value_sql) : NULL;
	return copy;
}
