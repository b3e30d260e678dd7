/*-------------------------------------------------------------------------
 *
 * predicate.c
 *	  Text of a predicate or value expression to an executable expression.
 *
 * The text is parsed by PostgreSQL's parser as one expression.  The raw tree
 * is walked against a whitelist of node types (syntax.c); on the way each
 * call of the vocabulary (did, event_count, ...) is taken out, and a ParamRef
 * takes its place.  The rest is analysed with the contact, the company and
 * perhaps an event or a deal as range table, and checked to be immutable
 * (analysis.c), then planned.  No text is ever pasted into a query.
 *
 * An event filter or value is analysed by itself, over the events table.  It
 * is deparsed and analysed again until its text does not change any more, so
 * that equal filters get equal texts, and an atom's definition compiles to
 * the same atom.
 *
 * Memory: results are built in a context of their own and copied to the
 * context that is current at the call when they are complete.  It belongs to
 * the (sub)transaction: an error leaves nothing behind, however long the
 * caller's context lives.
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

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"

#include "analysis.h"
#include "generated.h"
#include "points.h"
#include "predicate.h"
#include "source.h"

/* A filter that still changes after so many rounds would never settle. */
#define MAX_ROUNDS 8

/* Where place_columns puts what it finds. */
typedef struct PlacedColumns
{
	const PredicateScope *scope;
	Predicate	predicate;
} PlacedColumns;

static void collect_atoms(Compiler *compiler, const Syntax *syntax);
static int	add_atom(Compiler *compiler, AtomSpec *spec);
static AtomSpec *compile_use(Compiler *compiler, AtomUse *use);
static AtomSpec *compile_call(Compiler *compiler, VocabularyCall *call);
static bool is_true(const Expr *filter);
static void check_value(VocabularyCall *call, Node *value);
static void set_filter(Compiler *compiler, const VocabularyWord *word,
					   Node *node, Expr **filter, char **sql, char **text);
static void compile_column(Compiler *compiler, VocabularyCall *call,
						   AtomSpec *spec);
static Node *event_expression(Compiler *compiler, const VocabularyWord *word,
							  const char *argument, ParseState *pstate,
							  Node *raw, Oid target, char **canonical);
static Node *visited_filter(Compiler *compiler, VocabularyCall *call);
static char *deparse_row(Compiler *compiler, const VocabularyWord *word,
						 Node *node, const char *prefix);
static Expr *plan(List *tables, Node *node);
static Node *place_columns(Node *node, void *context);
static void add_columns(const PredicateScope *scope, const List *atoms,
						Predicate *predicate);
static void add_scores(Compiler *compiler, Predicate *predicate);
static Interval *copy_interval(const Interval *interval);
static AtomSpec *copy_atom(const AtomSpec *spec);

/*
 * Compile a text.
 */
Predicate *
predicate_compile(const PredicateScope *scope, const char *text,
				  bool must_be_boolean)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext work = AllocSetContextCreate(CurTransactionContext,
											   "lifecycle predicate",
											   ALLOCSET_DEFAULT_SIZES);
	Compiler	compiler = {.scope = scope};
	Syntax		syntax = {.scope = scope};
	int			settings = source_pin_settings(scope);
	SourceText	source;
	PlacedColumns placed = {.scope = scope};
	Predicate  *result;
	Node	   *node;
	ListCell   *lc;

	MemoryContextSwitchTo(work);
	source_push(&source, text, NULL);

	syntax.pstate = analysis_of_contact(&compiler, text);
	node = syntax_rewrite(&syntax, syntax_parse(syntax.pstate));
	collect_atoms(&compiler, &syntax);
	node = analysis_run(&syntax, node, must_be_boolean ? BOOLOID : InvalidOid,
				   NULL);
	placed.predicate.contact_columns =
		generated_used(node, scope->contacts, 1);
	if (OidIsValid(scope->companies))
		placed.predicate.company_columns =
			generated_used(node, scope->companies, 2);
	node = place_columns((Node *) plan(analysis_tables(syntax.pstate), node),
						 &placed);
	add_columns(scope, compiler.atoms, &placed.predicate);
	add_scores(&compiler, &placed.predicate);

	MemoryContextSwitchTo(caller);
	result = palloc(sizeof(Predicate));
	*result = placed.predicate;
	result->type = exprType(node);
	result->expr = copyObject((Expr *) node);
	result->contact_columns = bms_copy(result->contact_columns);
	result->company_columns = bms_copy(result->company_columns);
	foreach(lc, compiler.atoms)
		result->atoms = lappend(result->atoms,
								copy_atom((AtomSpec *) lfirst(lc)));

	source_pop(&source);
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
	MemoryContext work = AllocSetContextCreate(CurTransactionContext,
											   "lifecycle atom",
											   ALLOCSET_DEFAULT_SIZES);
	Compiler	compiler = {.scope = scope, .canonical = true};
	int			settings = source_pin_settings(scope);
	SourceText	source;
	AtomSpec   *spec;

	MemoryContextSwitchTo(work);
	source_push(&source, definition, NULL);

	/*
	 * A stored definition is canonical, so that one round is enough; if what
	 * comes out differs, it was not.
	 */
	for (;;)
	{
		Syntax		syntax = {.scope = scope};
		Node	   *node;

		syntax.pstate = analysis_of_contact(&compiler, definition);
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

	source_pop(&source);
	AtEOXact_GUC(true, settings);
	MemoryContextDelete(work);
	return spec;
}

/*
 * predicate_compile_events: the atom of a score's rule about events: their
 * times, of the latest at_most (0: all) in the last so many microseconds; or
 * if not `times` their number.  The filter may be NULL.
 */
AtomSpec *
predicate_compile_events(const PredicateScope *scope, const char *event,
						 const char *filter, bool times, int64 at_most,
						 int64 within)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext work = AllocSetContextCreate(CurTransactionContext,
											   "lifecycle rule of a score",
											   ALLOCSET_DEFAULT_SIZES);
	Compiler	compiler = {.scope = scope};
	VocabularyCall call = {.times = times ? at_most : 1,.location = -1};
	int			settings = source_pin_settings(scope);
	Interval	window = {.time = within};
	SourceText	source;
	AtomSpec   *spec;

	MemoryContextSwitchTo(work);
	call.word = vocabulary_find(times ? "event_times" : "event_count");
	call.event = pstrdup(event);
	call.within = times ? &window : NULL;
	if (filter != NULL)
	{
		source_push(&source, filter, NULL);
		call.pstate = analysis_of_row(&compiler, call.word, filter);
		call.filter = syntax_parse(call.pstate);
	}
	spec = compile_call(&compiler, &call);
	if (filter != NULL)
		source_pop(&source);

	MemoryContextSwitchTo(caller);
	spec = copy_atom(spec);
	AtEOXact_GUC(true, settings);
	MemoryContextDelete(work);
	return spec;
}

/*
 * Compile the atoms that a text uses, and number the distinct ones by first
 * use.
 */
static void
collect_atoms(Compiler *compiler, const Syntax *syntax)
{
	ListCell   *lc;

	/* A call that no atom is left of, as in event_count(...) >= 0, too. */
	foreach(lc, syntax->calls)
		compile_call(compiler, (VocabularyCall *) lfirst(lc));

	foreach(lc, syntax->uses)
	{
		AtomSpec   *spec = compile_use(compiler, (AtomUse *) lfirst(lc));

		CHECK_FOR_INTERRUPTS();
		compiler->numbers = lappend_int(compiler->numbers,
										add_atom(compiler, spec));
	}
}

/*
 * The number of an atom, a new one if there is no equal one yet.
 */
static int
add_atom(Compiler *compiler, AtomSpec *spec)
{
	int			hash = (int) hash_bytes((unsigned char *) spec->definition,
										strlen(spec->definition));
	int			number;

	for (number = 0; number < list_length(compiler->hashes); number++)
	{
		AtomSpec   *other;

		if (list_nth_int(compiler->hashes, number) != hash)
			continue;
		other = (AtomSpec *) list_nth(compiler->atoms, number);
		if (strcmp(other->definition, spec->definition) == 0)
			break;
	}
	if (number == list_length(compiler->hashes))
	{
		compiler->hashes = lappend_int(compiler->hashes, hash);
		compiler->atoms = lappend(compiler->atoms, spec);
	}
	return number + 1;
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
	const PredicateScope *scope = compiler->scope;
	AtomSpec   *spec = palloc0(sizeof(AtomSpec));
	Node	   *node = NULL;

	if (call->spec)
		return call->spec;

	spec->kind = word->kind;
	spec->event = call->event;
	spec->second_event = call->second_event;
	spec->segment = call->segment;
	spec->times = call->times;
	spec->within = call->within;
	spec->quiet = call->quiet;
	spec->periods = (int) call->periods;
	spec->at_least = (int) call->at_least;
	spec->beyond = call->beyond;
	spec->typmod = -1;

	if (call->value)
	{
		bool		number = spec->kind == ATOM_SUM || spec->kind == ATOM_AVG;

		node = event_expression(compiler, word, "value", call->pstate,
								call->value, number ? NUMERICOID : InvalidOid,
								&call->value_text);
		spec->value = plan(list_make1_oid(analysis_table(compiler, word)),
						   node);
		spec->value_sql = deparse_row(compiler, word, node, "e");
		check_value(call, node);
	}
	switch (spec->kind)
	{
		case ATOM_DID:
		case ATOM_DID_FIRST:
		case ATOM_STOPPED:
		case ATOM_RESTARTED:
		case ATOM_REGULARLY:
		case ATOM_DID_THEN:
		case ATOM_IN_LAST:
		case ATOM_TIME_IN_STAGE:
		case ATOM_SCORE_REACHES:
		case ATOM_IN_SEGMENT:
			spec->type = BOOLOID;
			break;
		case ATOM_COUNT:
		case ATOM_DISTINCT:
		case ATOM_OPEN_DEALS:
			spec->type = INT8OID;
			break;
		case ATOM_FIRST:
		case ATOM_LAST:
			spec->type = TIMESTAMPTZOID;
			break;
		case ATOM_TIMES:
			spec->type = TIMESTAMPTZARRAYOID;
			break;
		case ATOM_SCORE:
			spec->score = scope->find_score(scope->score_arg, call->segment);
			/* FALLTHROUGH */
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

	if (call->column)
		compile_column(compiler, call, spec);
	if (word->form == WORD_VISITED)
	{
		spec->event = call->event = pstrdup(compiler->scope->page_view_event);
		node = visited_filter(compiler, call);
	}
	else
		node = call->filter == NULL ? NULL :
			event_expression(compiler, word,
							 call->second_event ? "first_filter" : "filter",
							 call->pstate, call->filter, BOOLOID,
							 &call->filter_text);
	set_filter(compiler, word, node, &spec->filter, &spec->filter_sql,
			   &call->filter_text);
	if (call->second_filter)
	{
		node = event_expression(compiler, word, "second_filter", call->pstate,
								call->second_filter, BOOLOID,
								&call->second_filter_text);
		set_filter(compiler, word, node, &spec->second_filter,
				   &spec->second_filter_sql, &call->second_filter_text);
	}
	spec->definition = vocabulary_definition(call, spec->kind, spec->times);
	call->spec = spec;
	return spec;
}

/*
 * Plan and deparse an analysed filter, if there is one that some rows do not
 * pass.
 */
static void
set_filter(Compiler *compiler, const VocabularyWord *word, Node *node,
		   Expr **filter, char **sql, char **text)
{
	if (node == NULL)
		return;
	*filter = plan(list_make1_oid(analysis_table(compiler, word)), node);
	*sql = deparse_row(compiler, word, node, "e");
	if (is_true(*filter))
	{
		*filter = NULL;
		*sql = *text = NULL;
	}
}

/*
 * The column of in_last: one that says an instant.
 */
static void
compile_column(Compiler *compiler, VocabularyCall *call, AtomSpec *spec)
{
	const PredicateScope *scope = compiler->scope;
	Syntax		syntax = {.scope = scope, .pstate = call->pstate};
	Node	   *node = analysis_run(&syntax, (Node *) call->column,
									InvalidOid, NULL);
	Var		   *var = (Var *) node;
	Oid			type = exprType(node);

	if (!IsA(node, Var) ||
		!(var->varno == 1 ||
		  (var->varno == 2 && OidIsValid(scope->companies))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"column\" of %s must be a column of the contact or its company",
						call->word->name),
				 parser_errposition(call->pstate, call->column->location)));
	if (type != TIMESTAMPTZOID && type != TIMESTAMPOID && type != DATEOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("argument \"column\" of %s must be of type timestamp with time zone, timestamp or date, not %s",
						call->word->name, format_type_be(type)),
				 parser_errposition(call->pstate, call->column->location)));
	spec->of_company = var->varno == 2;
	spec->column = get_attname(spec->of_company ? scope->companies :
							   scope->contacts, var->varattno, false);
	spec->column_type = type;
	call->column_text = psprintf("%s%s", spec->of_company ? "company." : "",
								 quote_identifier(spec->column));
}

/*
 * Is a planned filter one that lets every event pass?
 */
static bool
is_true(const Expr *filter)
{
	const Const *constant = (const Const *) filter;

	return IsA(filter, Const) && !constant->constisnull &&
		DatumGetBool(constant->constvalue);
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
			source_push(&source, text, NULL);
		syntax.pstate = analysis_of_row(compiler, word, text);
		if (round > 1)
			raw = syntax_parse(syntax.pstate);
		syntax.moving = NIL;
		result = analysis_run(&syntax, syntax_rewrite(&syntax, raw), target,
						 argument);
		*canonical = deparse_row(compiler, word, result, NULL);
		if (round > 1)
			source_pop(&source);
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

	source_push(&source, path, "setting page_view_path");
	pstate = analysis_of_row(compiler, call->word, path);
	event_expression(compiler, call->word, "path", pstate,
					 syntax_parse(pstate), TEXTOID, &text);
	source_pop(&source);

	text = psprintf("(%s) ~~ %s", text, quote_literal_cstr(call->pattern));
	source_push(&source, text, "path and pattern of visited");
	pstate = analysis_of_row(compiler, call->word, text);
	result = event_expression(compiler, call->word, "filter", pstate,
							  syntax_parse(pstate), BOOLOID,
							  &call->filter_text);
	source_pop(&source);
	return result;
}

/*
 * Text of an analysed expression over the word's table, its columns with the
 * prefix if one is given.  Implicit casts are shown, so that the text is read
 * back in the same way whatever it is compared with.
 */
static char *
deparse_row(Compiler *compiler, const VocabularyWord *word, Node *node,
			const char *prefix)
{
	List	   *context = deparse_context_for(prefix ? prefix :
											  vocabulary_row(word),
											  analysis_table(compiler, word));

	return deparse_expression(node, context, prefix != NULL, true);
}

/*
 * Plan a checked expression over the rows of these tables, numbered from 1.
 * Virtual generated columns are replaced only here: what is deparsed names
 * them.  Defaults of function arguments are filled in only now, so look once
 * more for mutable functions.
 */
static Expr *
plan(List *tables, Node *node)
{
	Expr	   *expr = expression_planner((Expr *) generated_expand(node,
																tables));

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
	Predicate  *predicate = &placed->predicate;
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

/*
 * Columns that atoms look at are the predicate's too: when they change, it
 * must be evaluated.
 */
static void
add_columns(const PredicateScope *scope, const List *atoms,
			Predicate *predicate)
{
	ListCell   *lc;

	foreach(lc, atoms)
	{
		const AtomSpec *spec = (const AtomSpec *) lfirst(lc);

		if (spec->kind == ATOM_IN_LAST && spec->of_company)
			predicate->company_columns =
				bms_add_member(predicate->company_columns,
							   get_attnum(scope->companies, spec->column));
		else if (spec->kind == ATOM_IN_LAST)
			predicate->contact_columns =
				bms_add_member(predicate->contact_columns,
							   get_attnum(scope->contacts, spec->column));
		else if (spec->kind == ATOM_TIME_IN_STAGE)
			predicate->contact_columns =
				bms_add_member(predicate->contact_columns,
							   get_attnum(scope->contacts,
										  scope->stage_column));
	}
	predicate->contact_columns =
		generated_add_sources(predicate->contact_columns, scope->contacts);
	if (OidIsValid(scope->companies))
		predicate->company_columns =
			generated_add_sources(predicate->company_columns,
								  scope->companies);
}

/*
 * What a score is made of is part of each text that uses it: its atoms, and
 * the columns that its conditions look at.
 */
static void
add_score(Compiler *compiler, const ScoreSpec *score, Predicate *predicate)
{
	for (int i = 0; i < score->nrules; i++)
	{
		const PointsRule *rule = &score->rules[i];
		ListCell   *lc;

		if (rule->condition == NULL)
		{
			add_atom(compiler, rule->atom);
			continue;
		}
		foreach(lc, rule->condition->atoms)
			add_atom(compiler, (AtomSpec *) lfirst(lc));
		predicate->contact_columns =
			bms_add_members(predicate->contact_columns,
							rule->condition->contact_columns);
		predicate->company_columns =
			bms_add_members(predicate->company_columns,
							rule->condition->company_columns);
	}
}

static void
add_scores(Compiler *compiler, Predicate *predicate)
{
	ListCell   *lc;

	/* the list grows by the scores' own atoms, none of which is a score */
	foreach(lc, list_copy(compiler->atoms))
	{
		const AtomSpec *spec = (const AtomSpec *) lfirst(lc);

		if (spec->score != NULL)
			add_score(compiler, spec->score, predicate);
	}
}

static Interval *
copy_interval(const Interval *interval)
{
	Interval   *copy;

	if (interval == NULL)
		return NULL;
	copy = palloc(sizeof(Interval));
	*copy = *interval;
	return copy;
}

static AtomSpec *
copy_atom(const AtomSpec *spec)
{
	AtomSpec   *copy = palloc(sizeof(AtomSpec));

	*copy = *spec;
	copy->event = spec->event ? pstrdup(spec->event) : NULL;
	copy->segment = spec->segment ? pstrdup(spec->segment) : NULL;
	copy->second_event = spec->second_event ?
		pstrdup(spec->second_event) : NULL;
	copy->column = spec->column ? pstrdup(spec->column) : NULL;
	copy->filter = copyObject(spec->filter);
	copy->second_filter = copyObject(spec->second_filter);
	copy->value = copyObject(spec->value);
	copy->within = copy_interval(spec->within);
	copy->quiet = copy_interval(spec->quiet);
	copy->definition = pstrdup(spec->definition);
	copy->filter_sql = spec->filter_sql ? pstrdup(spec->filter_sql) : NULL;
	copy->second_filter_sql = spec->second_filter_sql ?
		pstrdup(spec->second_filter_sql) : NULL;
	copy->value_sql = spec->value_sql ? pstrdup(spec->value_sql) : NULL;
	return copy;
}
