/*-------------------------------------------------------------------------
 *
 * equality.c
 *	  What a filter compares for equality: the key by which atoms are found.
 *
 * A filter such as properties->>'path' = '/pricing' AND amount > 100 can
 * only be passed by events whose path is that one.  So its atom is kept under
 * a key, the text of the compared expressions, and a value, that of the
 * constants; an event computes the expressions of a key once and finds by
 * the value the few atoms that it may match, however many others compare the
 * same expressions with something else (event.c).
 *
 * What must hold, or an atom would be missed:
 *
 * Values are compared as texts, so only operators count for which equal
 * values have equal texts: those of text in a deterministic collation, of
 * integers and of uuid.  LIKE with a pattern in which nothing is special is
 * such an equality, which is what visited('/pricing') comes to.
 *
 * Expressions are told apart by their texts, so one with a COLLATE, which the
 * text of a planned expression does not have, is no part of a key.
 *
 * An event that is not found by its value must not have failed in the filter
 * either: a failure is what the user is told.  Conjuncts are evaluated in
 * their order until one is false, so the ones before the last equality must
 * be equalities themselves, or be unable to raise an error.  An expression of
 * the key may raise one; then all atoms of the key are looked at.  In the
 * statements that look at the events (meaning.c) the planner would choose
 * the order, so there the rest is put into a CASE.
 *
 * Keys and values are stored in the model's table atom, and are those of the
 * time when the segment was compiled.  event.c compares a stored key with
 * what the filter's key is now, and does without keys where they differ.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#include "equality.h"

/* Longer keys and values would not fit into an index; such atoms have none. */
#define MAX_LENGTH	1000

static bool
is_plain_pattern(const Const *pattern)
{
	text	   *value = DatumGetTextPP(pattern->constvalue);
	const char *data = VARDATA_ANY(value);

	for (int i = 0; i < (int) VARSIZE_ANY_EXHDR(value); i++)
		if (data[i] == '%' || data[i] == '_' || data[i] == '\\')
			return false;
	return true;
}

/*
 * Is this a comparison for equality by which equal values have equal texts?
 */
static bool
is_equality(const OpExpr *op)
{
	switch (get_opcode(op->opno))
	{
		case F_TEXTEQ:
			return OidIsValid(op->inputcollid) &&
				get_collation_isdeterministic(op->inputcollid);
		case F_TEXTLIKE:
			return OidIsValid(op->inputcollid) &&
				get_collation_isdeterministic(op->inputcollid) &&
				IsA(lsecond(op->args), Const) &&
				!lsecond_node(Const, op->args)->constisnull &&
				is_plain_pattern(lsecond_node(Const, op->args));
		case F_INT2EQ:
		case F_INT4EQ:
		case F_INT8EQ:
		case F_INT24EQ:
		case F_INT42EQ:
		case F_INT28EQ:
		case F_INT82EQ:
		case F_INT48EQ:
		case F_INT84EQ:
		case F_UUID_EQ:
			return true;
		default:
			return false;
	}
}

static bool
collates(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RelabelType) &&
		((RelabelType *) node)->resultcollid !=
		exprCollation((Node *) ((RelabelType *) node)->arg))
		return true;
	return expression_tree_walker(node, collates, context);
}

/*
 * equality_collates: is there a COLLATE in a planned expression?  The planner
 * makes of it what it makes of a change of type, of which deparse_expression
 * says nothing: the text would be that of another expression.
 */
bool
equality_collates(Node *node)
{
	return collates(node, NULL);
}

/*
 * Take a conjunct as one more equality, if it is one.
 */
static bool
add_equality(Node *node, Equality *equality)
{
	OpExpr	   *op = (OpExpr *) node;
	Expr	   *expr;
	Const	   *value;

	if (!IsA(node, OpExpr) || list_length(op->args) != 2 ||
		equality->count == MAX_EQUALITIES || !is_equality(op))
		return false;
	expr = linitial(op->args);
	value = lsecond(op->args);
	if (IsA(expr, Const))
	{
		expr = lsecond(op->args);
		value = linitial(op->args);
	}
	if (!IsA(value, Const) || value->constisnull || IsA(expr, Const) ||
		equality_collates((Node *) expr))
		return false;
	equality->expr[equality->count] = expr;
	equality->value[equality->count++] = value;
	return true;
}

/*
 * equality_of_atom: the equalities in the filter of an atom of one event;
 * false if there are none.  The result points into the filter.
 */
bool
equality_of_atom(const AtomSpec *spec, Equality *equality)
{
	List	   *conjuncts;
	ListCell   *cell;

	equality->count = 0;
	equality->rest = false;
	if (spec->event == NULL || spec->second_event != NULL)
		return false;
	conjuncts = make_ands_implicit(spec->filter);
	foreach(cell, conjuncts)
	{
		if (add_equality(lfirst(cell), equality))
			continue;
		equality->rest = true;
		if (!equality_cannot_raise(lfirst(cell)))
			break;
	}
	return equality->count > 0;
}

static List *
row_context(Oid events)
{
	return deparse_context_for("e", events);
}

/*
 * equality_key: the text of the expressions, NULL if it is too long to be
 * stored.  The same expressions have the same text.
 */
char *
equality_key(const Equality *equality, Oid events)
{
	StringInfoData key;

	initStringInfo(&key);
	for (int i = 0; i < equality->count; i++)
		appendStringInfo(&key, "%s%s", i > 0 ? ", " : "",
						 deparse_expression((Node *) equality->expr[i],
											row_context(events), false,
											true));
	return key.len > MAX_LENGTH ? NULL : key.data;
}

/*
 * equality_value: the text of the constants, NULL if it is too long.
 */
char *
equality_value(const Equality *equality)
{
	StringInfoData value;

	initStringInfo(&value);
	for (int i = 0; i < equality->count; i++)
		equality_append(&value, equality->value[i]->consttype,
						equality->value[i]->constvalue);
	return value.len > MAX_LENGTH ? NULL : value.data;
}

/*
 * equality_sql: the equalities as a condition on event e.
 */
char *
equality_sql(const Equality *equality, Oid events)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < equality->count; i++)
	{
		Const	   *value = equality->value[i];
		Oid			output;
		bool		varlena;

		getTypeOutputInfo(value->consttype, &output, &varlena);
		appendStringInfo(&sql, "%s%s OPERATOR(pg_catalog.=) %s::%s",
						 i > 0 ? " AND " : "",
						 deparse_expression((Node *) equality->expr[i],
											row_context(events), true, true),
						 quote_literal_cstr(OidOutputFunctionCall(output,
																	 value->constvalue)),
						 format_type_be_qualified(value->consttype));
	}
	return sql.data;
}

/*
 * equality_append: one more value, quoted, so that several are not taken for
 * others.  It may be of any type that is_equality lets pass.
 */
void
equality_append(StringInfo value, Oid type, Datum datum)
{
	const char *data;
	int			length;

	if (type == TEXTOID || type == VARCHAROID)
	{
		text	   *packed = DatumGetTextPP(datum);

		data = VARDATA_ANY(packed);
		length = VARSIZE_ANY_EXHDR(packed);
	}
	else
	{
		Oid			output;
		bool		varlena;

		getTypeOutputInfo(type, &output, &varlena);
		data = OidOutputFunctionCall(output, datum);
		length = strlen(data);
	}
	appendStringInfoChar(value, '\'');
	if (memchr(data, '\'', length) == NULL)
		appendBinaryStringInfo(value, data, length);
	else
	{
		for (int i = 0; i < length; i++)
		{
			if (data[i] == '\'')
				appendStringInfoChar(value, '\'');
			appendStringInfoChar(value, data[i]);
		}
	}
	appendStringInfoChar(value, '\'');
}

/*
 * Can this function raise an error?  One that is leakproof does not, nor
 * does taking a field out of a jsonb value, or making an integer numeric.
 */
static bool
function_may_raise(Oid function, void *context)
{
	switch (function)
	{
		case F_JSONB_OBJECT_FIELD:
		case F_JSONB_OBJECT_FIELD_TEXT:
		case F_NUMERIC_INT2:
		case F_NUMERIC_INT4:
		case F_NUMERIC_INT8:
			return false;
	}
	return !get_func_leakproof(function);
}

static bool
may_raise(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Var:
		case T_Const:
		case T_RelabelType:
		case T_BoolExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_OpExpr:
		case T_FuncExpr:
		case T_DistinctExpr:
		case T_ScalarArrayOpExpr:
		case T_CaseExpr:
		case T_CaseWhen:
		case T_CoalesceExpr:
		case T_List:
			break;
		default:
			return true;
	}
	return check_functions_in_node(node, function_may_raise, NULL) ||
		expression_tree_walker(node, may_raise, context);
}

/*
 * equality_cannot_raise: is it certain that evaluating the planned
 * expression raises no error, but for want of memory?
 */
bool
equality_cannot_raise(Node *node)
{
	return !may_raise(node, NULL);
}
