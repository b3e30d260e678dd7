/*-------------------------------------------------------------------------
 *
 * explain.c
 *	  What a text is made of: compile, and lifecycle_explain.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "equality.h"
#include "network.h"
#include "registry.h"

PG_FUNCTION_INFO_V1(compile);
PG_FUNCTION_INFO_V1(reload);
PG_FUNCTION_INFO_V1(nearest);
PG_FUNCTION_INFO_V1(lifecycle_explain);

/* Kinds of texts, as rule.sql and segment.sql name them. */
typedef struct TextKind
{
	const char *name;
	bool		predicate;
	bool		event_row;
	bool		deal_row;
} TextKind;

static const TextKind text_kinds[] = {
	{"predicate", true, false, false},
	{"condition", true, false, false},
	{"event condition", true, true, false},
	{"deal condition", true, false, true},
	{"value", false, false, false},
	{"event value", false, true, false},
	{"deal value", false, false, true}
};

/*
 * A method as lifecycle_explain shows it.
 */
static const char *
method_name(const AtomSpec *spec)
{
	switch (network_method(spec))
	{
		case METHOD_COUNT:
			return "counted";
		case METHOD_TOTAL:
			return "added up";
		case METHOD_WINDOW:
			return "timed";
		case METHOD_SCAN:
			return spec->kind == ATOM_OPEN_DEALS ? "deals" :
				spec->kind == ATOM_TIME_IN_STAGE ? "timed" : "looked up";
		case METHOD_COLUMN:
			return "timed";
		case METHOD_SCORE:
			return "score";
		case METHOD_SEGMENT:
			return "segment";
		case METHOD_BROKEN:
			break;
	}
	return "broken";
}

static const char *
method_text(const AtomSpec *spec)
{
	switch (network_method(spec))
	{
		case METHOD_COUNT:
			return psprintf("counted as events arrive, up to " INT64_FORMAT "; then such events cost nothing",
							spec->times);
		case METHOD_TOTAL:
			return "added up as events arrive; each of them changes the contact's state";
		case METHOD_WINDOW:
			return "while true such events cost nothing; when its time is up the tick looks at the contact's events";
		case METHOD_SCAN:
			if (spec->kind == ATOM_OPEN_DEALS)
				return "counted from the contact's deals when one of them changes";
			if (spec->kind == ATOM_TIME_IN_STAGE)
				return "read from the history when the stage changes, and by the tick when its time is up";
			return "computed from the contact's events when one of that name arrives";
		case METHOD_COLUMN:
			return "read from the row when the column changes, and by the tick when its time is up";
		case METHOD_SCORE:
			return spec->kind == ATOM_SCORE ?
				"added up from the score's rules, whose parts follow; by the tick at each step of its last decimal" :
				"added up from the score's rules, whose parts follow; by the tick at the instant when decay crosses the number";
		case METHOD_SEGMENT:
			return "the contact's membership of that segment";
		case METHOD_BROKEN:
			break;
	}
	return "broken";
}

static Datum
text_array(List *strings)
{
	Datum	   *values = palloc((list_length(strings) + 1) * sizeof(Datum));
	bool	   *nulls = palloc((list_length(strings) + 1) * sizeof(bool));
	int			count = list_length(strings);
	int			lower = 1;
	ListCell   *cell;

	if (count == 0)
		return PointerGetDatum(construct_empty_array(TEXTOID));
	foreach(cell, strings)
	{
		char	   *string = lfirst(cell);
		int			i = foreach_current_index(cell);

		nulls[i] = string == NULL;
		values[i] = string == NULL ? (Datum) 0 : CStringGetTextDatum(string);
	}
	return PointerGetDatum(construct_md_array(values, nulls, 1, &count, &lower,
											  TEXTOID, -1, false,
											  TYPALIGN_INT));
}

static List *
column_names(Oid relid, Bitmapset *columns)
{
	List	   *result = NIL;
	int			attno = -1;

	while ((attno = bms_next_member(columns, attno)) >= 0)
		result = lappend(result, get_attname(relid, attno, false));
	return result;
}

static const TextKind *
find_text_kind(const char *name)
{
	for (size_t i = 0; i < lengthof(text_kinds); i++)
		if (strcmp(text_kinds[i].name, name) == 0)
			return &text_kinds[i];
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("kind of text \"%s\" is not known", name)));
}

/*
 * Compile a text as the owner of contacts, whose expressions they are.
 *
 * Planning runs immutable functions that the text names, as that owner: only
 * those who may add a segment may have a text compiled.
 */
static Predicate *
compile_text(Model *model, const char *source, const TextKind *kind)
{
	PredicateScope scope = model->scope;
	UserSpan	span;
	Predicate  *predicate;

	model_check_owner(model);
	scope.event_row = kind->event_row;
	scope.deal_row = kind->deal_row;
	span_read(&span, model->table[CONTACTS].owner);
	predicate = predicate_compile(&scope, source, kind->predicate);
	span_end(&span);
	return predicate;
}

/*
 * The key of an atom and its value, or NULL for both.
 */
static void
add_key(Model *model, const AtomSpec *spec, List **keys, List **values)
{
	Equality	equality;
	char	   *key = NULL;
	char	   *value = NULL;

	if (equality_of_atom(spec, &equality))
	{
		key = equality_key(&equality, model->table[EVENTS].relid);
		value = equality_value(&equality);
	}
	*keys = lappend(*keys, value != NULL ? key : NULL);
	*values = lappend(*values, key != NULL ? value : NULL);
}

/*
 * compile(model text, expression text, kind text): what a text is made of.
 *
 * Returns atoms, atom_events, atom_methods, contact_columns,
 * company_columns, segments, result_type, atom_second_events, atom_keys,
 * atom_key_values.  Takes AccessShareLock on the model's tables; raises 42501 unless the caller owns
 * the model, and what the predicate compiler raises, with position.
 */
Datum
compile(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	char	   *source = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const TextKind *kind =
		find_text_kind(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	Predicate  *predicate;
	List	   *definitions = NIL;
	List	   *events = NIL;
	List	   *second_events = NIL;
	List	   *methods = NIL;
	List	   *segments = NIL;
	ListCell   *cell;
	TupleDesc	desc;
	List	   *keys = NIL;
	List	   *key_values = NIL;
	Datum		values[10];
	bool		nulls[10] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	predicate = compile_text(model, source, kind);
	foreach(cell, predicate->atoms)
	{
		AtomSpec   *spec = lfirst(cell);

		definitions = lappend(definitions, spec->definition);
		events = lappend(events, spec->event);
		second_events = lappend(second_events, spec->second_event);
		methods = lappend(methods, unconstify(char *, method_name(spec)));
		add_key(model, spec, &keys, &key_values);
		if (spec->kind == ATOM_IN_SEGMENT)
			segments = lappend(segments, spec->segment);
	}
	values[0] = text_array(definitions);
	values[1] = text_array(events);
	values[2] = text_array(methods);
	values[3] = text_array(column_names(model->table[CONTACTS].relid,
										predicate->contact_columns));
	values[4] = text_array(column_names(model->table[COMPANIES].relid,
										predicate->company_columns));
	values[5] = text_array(segments);
	values[6] = ObjectIdGetDatum(predicate->type);
	values[7] = text_array(second_events);
	values[8] = text_array(keys);
	values[9] = text_array(key_values);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values,
											 nulls));
}

/*
 * reload(model text): make all sessions load the model anew.
 *
 * The invalidation takes effect when the transaction commits, for ourselves
 * at once.  The model need not be complete: a dump that is being restored
 * comes here between its tables.  Anybody may call it, it changes nothing.
 */
Datum
reload(PG_FUNCTION_ARGS)
{
	Oid			relids[TABLE_KINDS];

	registry_tables(text_to_cstring(PG_GETARG_TEXT_PP(0)), relids);
	for (int kind = 0; kind < TABLE_KINDS; kind++)
		if (OidIsValid(relids[kind]) &&
			SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relids[kind])))
			CacheInvalidateRelcacheByRelid(relids[kind]);
	CommandCounterIncrement();
	PG_RETURN_VOID();
}

/*
 * nearest(wrong text, candidates text[]): the candidate that is nearest to a
 * misspelt word, NULL if none is near.
 */
Datum
nearest(PG_FUNCTION_ARGS)
{
	char	   *wrong = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	List	   *names = NIL;
	const char *found;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			names = lappend(names, TextDatumGetCString(elements[i]));
	found = nearest_name(wrong, names);
	if (found == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(found));
}

/*
 * lifecycle_explain(model text, predicate text): one row for each atom, and
 * for each column: part, kind, event, method, shared.
 *
 * shared is the number of segments that have the same atom already.  Raises
 * 42501 unless the caller owns the model, and what the predicate compiler
 * raises.
 */
Datum
lifecycle_explain(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	char	   *source = text_argument(fcinfo, 1, "predicate");
	Predicate  *predicate;
	ListCell   *cell;
	Bitmapset  *columns[2];
	TableKind	kinds[2] = {CONTACTS, COMPANIES};

	compat_init_result(fcinfo);
	predicate = compile_text(model, source, &text_kinds[0]);
	foreach(cell, predicate->atoms)
	{
		AtomSpec   *spec = lfirst(cell);
		Datum		values[4];
		bool		nulls[4] = {false};

		values[0] = CStringGetTextDatum(spec->definition);
		values[1] = CStringGetTextDatum(method_name(spec));
		nulls[2] = spec->event == NULL;
		if (!nulls[2])
			values[2] = CStringGetTextDatum(spec->second_event == NULL ?
											spec->event :
											psprintf("%s, %s", spec->event,
													 spec->second_event));
		values[3] = CStringGetTextDatum(method_text(spec));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	columns[0] = predicate->contact_columns;
	columns[1] = predicate->company_columns;
	for (int i = 0; i < 2; i++)
	{
		foreach(cell, column_names(model->table[kinds[i]].relid, columns[i]))
		{
			Datum		values[4];
			bool		nulls[4] = {false, false, true, false};

			values[0] = CStringGetTextDatum(psprintf("%s%s", i == 0 ? "" : "company.",
													 quote_identifier(lfirst(cell))));
			values[1] = CStringGetTextDatum("column");
			values[2] = (Datum) 0;
			values[3] = CStringGetTextDatum(i == 0 ?
											"read from the contact's row, when it or an event changes" :
											"read from the company's row, when it, the contact or an event changes");
			tuplestore_putvalues(result->setResult, result->setDesc, values,
								 nulls);
		}
	}
	return (Datum) 0;
}
