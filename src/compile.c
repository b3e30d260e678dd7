/*-------------------------------------------------------------------------
 *
 * compile.c
 *	  Compiled texts made executable: atoms and expressions of the network.
 *
 * Done at first use.  The results live in the network's memory context and
 * go with it.  What fails leaves nothing there: a text that is broken is
 * compiled again for each event that needs it.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/transam.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "equality.h"
#include "evaluate.h"
#include "score.h"
#include "total.h"

/*
 * network_method: how an atom's value is had.
 */
AtomMethod
network_method(const AtomSpec *spec)
{
	if (spec == NULL)
		return METHOD_BROKEN;
	if (spec->kind == ATOM_IN_SEGMENT)
		return METHOD_SEGMENT;
	if (spec->kind == ATOM_IN_LAST)
		return METHOD_COLUMN;
	if (spec->kind == ATOM_SCORE || spec->kind == ATOM_SCORE_REACHES)
		return METHOD_SCORE;
	if (spec->kind == ATOM_DID)
		return spec->within == NULL ? METHOD_COUNT : METHOD_WINDOW;
	if (total_is_kept(spec))
		return METHOD_TOTAL;
	return METHOD_SCAN;
}

static bool
is_user_function(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

/*
 * Does an expression call functions that are not PostgreSQL's own?
 */
static bool
has_user_function(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_user_function, NULL))
		return true;
	return expression_tree_walker(node, has_user_function, context);
}

/*
 * Make an atom of a specification; in the network's context.
 */
static Atom *
make_atom(Model *model, int id, AtomSpec *spec)
{
	Atom	   *atom = palloc0(sizeof(Atom));

	atom->id = id;
	atom->spec = spec;
	atom->method = network_method(spec);
	if (spec != NULL)
	{
		Equality	equality;

		atom->key_decides = equality_of_atom(spec, &equality) &&
			!equality.rest;
		atom->cannot_raise =
			equality_cannot_raise((Node *) spec->filter) &&
			equality_cannot_raise((Node *) spec->second_filter);
		atom->value_cannot_raise = equality_cannot_raise((Node *) spec->value);
	}
	if (spec != NULL)
		atom->user_functions = has_user_function((Node *) spec->filter, NULL) ||
			has_user_function((Node *) spec->second_filter, NULL) ||
			has_user_function((Node *) spec->value, NULL);
	if (atom->method == METHOD_COLUMN)
		atom->column = get_attnum(model->table[spec->of_company ?
											   COMPANIES : CONTACTS].relid,
								  spec->column);
	if (atom->method == METHOD_SEGMENT)
		atom->segment_id = network_segment_id(model, spec->segment);
	return atom;
}

/*
 * compile_filters: make an atom's filters executable, and the value that it
 * adds up.  Done when the first event is to be held against them: an atom
 * that is found by its key may need none.
 */
void
compile_filters(Model *model, Atom *atom)
{
	MemoryContext old = MemoryContextSwitchTo(network_context(model));

	if (atom->spec->filter != NULL)
		atom->filter = ExecInitExpr(atom->spec->filter, NULL);
	if (atom->spec->second_filter != NULL)
		atom->second_filter = ExecInitExpr(atom->spec->second_filter, NULL);
	if (atom->method == METHOD_TOTAL && atom->spec->value != NULL)
		atom->value = ExecInitExpr(atom->spec->value, NULL);
	atom->filters_compiled = true;
	MemoryContextSwitchTo(old);
}

/* Argument of the subtransaction that compiles an atom. */
typedef struct CompileArg
{
	Model	   *model;
	const char *definition;
	AtomSpec   *spec;
} CompileArg;

static void
compile_atom(void *arg)
{
	CompileArg *task = arg;

	task->spec = predicate_compile_atom(&task->model->scope,
										task->definition);
}

/*
 * compile_stored_atom: an atom of the model's table atom, in the current
 * context.
 *
 * If a column that it names is gone, the event that made us look must stay
 * all the same: the atom is broken, and the segments that use it will fail
 * where that is recorded.
 */
Atom *
compile_stored_atom(Model *model, int id, const char *definition)
{
	CompileArg	task = {model, definition, NULL};
	ErrorData  *error;

	return make_atom(model, id, run_try(compile_atom, &task, &error) ?
					 task.spec : NULL);
}

/*
 * Begin to compile into the network: a context that an error takes with it.
 */
static MemoryContext
begin_compile(MemoryContext *caller)
{
	MemoryContext context = AllocSetContextCreate(CurTransactionContext,
												  "lifecycle expression",
												  ALLOCSET_SMALL_SIZES);

	*caller = MemoryContextSwitchTo(context);
	return context;
}

/*
 * What was compiled is complete, and belongs to the network.
 */
static void
end_compile(Model *model, MemoryContext context, MemoryContext caller)
{
	MemoryContextSetParent(context, network_context(model));
	MemoryContextSwitchTo(caller);
}

/*
 * compile_expression: make a compiled text executable, in the current
 * context.  Its atoms are those given, or if NULL made new, to be kept with
 * the network.
 */
Expression *
compile_expression(Model *model, Predicate *predicate, Atom **atoms)
{
	Expression *expression = palloc0(sizeof(Expression));
	int			natoms = list_length(predicate->atoms);

	expression->predicate = predicate;
	expression->atoms = atoms;
	if (atoms == NULL)
	{
		ListCell   *cell;

		expression->atoms = palloc0(sizeof(Atom *) * (natoms + 1));
		foreach(cell, predicate->atoms)
			expression->atoms[foreach_current_index(cell)] =
				make_atom(model, 0, lfirst(cell));
	}
	expression->natoms = natoms;
	expression->scores = score_bind_all(model, expression);
	expression->user_functions = has_user_function((Node *) predicate->expr,
												   NULL);
	expression->params = evaluate_make_params(natoms);
	expression->state = ExecInitExprWithParams(predicate->expr,
											   expression->params);
	return expression;
}

/*
 * network_compile: an expression that is not a segment's.  Raises what the
 * predicate compiler raises.
 */
Expression *
network_compile(Model *model, const char *text, bool predicate,
				bool event_row, bool deal_row)
{
	PredicateScope scope = model->scope;
	MemoryContext old;
	MemoryContext context = begin_compile(&old);
	Expression *expression;

	scope.event_row = event_row;
	scope.deal_row = deal_row;
	expression = compile_expression(model,
									predicate_compile(&scope, text, predicate),
									NULL);
	end_compile(model, context, old);
	for (int i = 0; i < list_length(expression->predicate->atoms); i++)
		network_keep_atom(model, expression->atoms[i]);
	return expression;
}

/*
 * network_compile_once: a predicate that is evaluated and then forgotten, in
 * the current context.  Raises what the predicate compiler raises.
 */
Expression *
network_compile_once(Model *model, const char *text)
{
	return compile_expression(model,
						   predicate_compile(&model->scope, text, true),
						   NULL);
}

/*
 * network_forget: free what the memory context of such an expression does
 * not.
 */
void
network_forget(Expression *expression)
{
	for (int i = 0; i < list_length(expression->predicate->atoms); i++)
	{
		if (expression->atoms[i]->plan != NULL)
			SPI_freeplan(expression->atoms[i]->plan);
		expression->atoms[i]->plan = NULL;
	}
}

/*
 * A predicate in the current context; its atoms are where they were.
 */
static Predicate *
copy_predicate(const Predicate *predicate)
{
	Predicate  *copy = palloc(sizeof(Predicate));

	copy->expr = copyObject(predicate->expr);
	copy->type = predicate->type;
	copy->atoms = predicate->atoms;
	copy->contact_columns = bms_copy(predicate->contact_columns);
	copy->company_columns = bms_copy(predicate->company_columns);
	return copy;
}

/*
 * network_compile_segment: compile a segment at its first use.  Raises what
 * the compiler raises, and again at every later use, so that the problem is
 * recorded for each contact.
 */
void
network_compile_segment(Model *model, Segment *segment)
{
	MemoryContext old;
	MemoryContext context = begin_compile(&old);
	MemoryContext scratch = AllocSetContextCreate(old, "lifecycle compilation",
												  ALLOCSET_DEFAULT_SIZES);
	Predicate  *predicate;
	Atom	  **atoms;
	Expression *expression;

	/* Only what is evaluated stays: there may be 10,000 of them. */
	MemoryContextSwitchTo(scratch);
	predicate = predicate_compile(&model->scope, segment->text,
								  segment->column == NULL);
	MemoryContextSwitchTo(context);
	if (list_length(predicate->atoms) != segment->natoms)
		elog(ERROR, "segment \"%s\" has %d atoms, but %d are recorded",
			 segment->name, list_length(predicate->atoms), segment->natoms);
	atoms = palloc0(sizeof(Atom *) * (segment->natoms + 1));
	for (int i = 0; i < segment->natoms; i++)
	{
		atoms[i] = network_atom(model, segment->atom_ids[i]);
		if (atoms[i] == NULL)
			elog(ERROR, "atom %d of segment \"%s\" is not recorded",
				 segment->atom_ids[i], segment->name);
	}
	expression = compile_expression(model, copy_predicate(predicate), atoms);
	if (expression->scores != NULL)
		MemoryContextSetParent(scratch, context);	/* they point to it */
	else
		expression->predicate->atoms = NIL;
	end_compile(model, context, old);
	if (expression->predicate->atoms == NIL)
		MemoryContextDelete(scratch);
	segment->expression = expression;
}
