/*-------------------------------------------------------------------------
 *
 * why.c
 *	  Why a contact is in a segment, or is not: clause by clause.
 *
 * Each clause of the predicate (clause.c) is compiled and evaluated by
 * itself, at the model's clock, from the events and rows as they are now, as
 * lifecycle_in_segment evaluates the whole.  Nothing is written or locked,
 * nothing is kept: compiled clauses live as long as the call.  Under
 * REPEATABLE READ too the newest committed rows are what is looked at, as
 * everywhere in the engine (query.c).
 *
 * Evaluation runs as the owner of contacts.  So that this shows nobody what
 * he may not see, the contact must be visible to the caller, events are
 * shown as far as they are, and the company's columns only if the caller may
 * read the table and row security does not narrow it.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "api.h"
#include "clause.h"
#include "evaluate.h"
#include "witness.h"

PG_FUNCTION_INFO_V1(lifecycle_why);

/* What is known of the question. */
typedef struct Why
{
	Run		   *run;
	Work	   *work;
	bool		some_events;	/* the caller may not see all events */
	bool		no_companies;	/* nor companies */
	int			position;

	/* The clause in work. */
	Clause	   *clause;
	bool		holds;
	bool		isnull;
	StringInfoData finding;
	List	   *witnesses;
} Why;

/*
 * Is the table under row security for the caller?
 */
static bool
is_narrowed(Oid relid)
{
	return OidIsValid(relid) &&
		check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED;
}

/*
 * The caller must see the contact's row.  Whether there is one is not said to
 * whoever may not see it.
 */
static void
check_visible(Model *model, Datum contact, const char *text)
{
	AppTable   *contacts = &model->table[CONTACTS];
	uint64		rows;

	rows = query_once(psprintf("SELECT FROM %s WHERE %s OPERATOR(pg_catalog.=) $1",
							   contacts->name,
							   contacts->column[ROLE_KEY].quoted),
					  1, &model->contact_key.type, &contact, NULL);
	if (rows == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("contact \"%s\" of model \"%s\" does not exist", text,
						model->name)));
}

/*
 * Add "what is value" to the finding.
 */
static void
find(Why *why, const char *what, Oid type, Datum value, bool isnull)
{
	const char *shown = "null";

	if (!isnull)
	{
		Oid			function;
		bool		varlena;
		char		category;
		bool		preferred;

		getTypeOutputInfo(type, &function, &varlena);
		get_type_category_preferred(type, &category, &preferred);
		shown = OidOutputFunctionCall(function, value);
		if (type == BOOLOID)
			shown = DatumGetBool(value) ? "true" : "false";
		else if (category != TYPCATEGORY_NUMERIC)
			shown = quote_literal_cstr(shown);
	}
	appendStringInfo(&why->finding, "%s%s is %s",
					 why->finding.len > 0 ? ", " : "", what, shown);
}

static void
find_columns(Why *why, Bitmapset *columns, TableKind kind)
{
	HeapTuple	row = kind == CONTACTS ? why->work->row :
		why->work->company_row;
	TupleTableSlot *slot = kind == CONTACTS ?
		why->run->econtext->ecxt_scantuple : why->run->econtext->ecxt_outertuple;
	int			attno = -1;

	if (kind == COMPANIES && why->no_companies)
		return;
	while ((attno = bms_next_member(columns, attno)) >= 0)
	{
		Form_pg_attribute attribute =
			TupleDescAttr(slot->tts_tupleDescriptor, attno - 1);
		bool		isnull = true;
		Datum		value = (Datum) 0;

		if (row != NULL)
			value = slot_getattr(slot, attno, &isnull);
		find(why, psprintf("%s%s", kind == CONTACTS ? "" : "company.",
						   quote_identifier(NameStr(attribute->attname))),
			 attribute->atttypid, value, isnull);
	}
}

/*
 * The value of an atom, unless it is what the clause says.
 */
static void
find_atom(Why *why, Expression *expression, int number)
{
	Atom	   *atom = expression->atoms[number];
	AtomValue	value;
	bool		member;

	if (atom->method == METHOD_SEGMENT)
	{
		member = state_in_segment(why->work->state, atom->segment_id);
		find(why, atom->spec->definition, BOOLOID, BoolGetDatum(member),
			 false);
		return;
	}
	if (atom->spec->kind == ATOM_TIMES)
		return;					/* of a score, which is shown */
	value = evaluate_number(why->run, why->work, expression, number);
	if (atom->spec->kind == ATOM_DID)
		value.value = BoolGetDatum(DatumGetInt64(value.value) >=
								   atom->spec->times);
	find(why, atom->spec->definition, atom->spec->type, value.value,
		 value.isnull);
}

/*
 * What the clause looks at, and the events that show it.
 */
static void
find_all(Why *why, Expression *expression)
{
	Run		   *run = why->run;
	Predicate  *predicate = expression->predicate;
	bool		only_atom = IsA(predicate->expr, Param);

	for (int i = 0; i < list_length(predicate->atoms); i++)
	{
		Atom	   *atom = expression->atoms[i];

		if (!only_atom)
			find_atom(why, expression, i);
		if (atom->spec->event != NULL)
			why->witnesses = witness_merge(why->witnesses,
										   witness_find(run->model,
														atom->spec,
														why->work->contact,
														run->clock));
	}
	find_columns(why, predicate->contact_columns, CONTACTS);
	find_columns(why, predicate->company_columns, COMPANIES);
}

/*
 * Evaluate the clause in work.  Runs in a subtransaction.
 */
static void
answer(void *arg)
{
	Why		   *why = arg;
	Run		   *run = why->run;
	Model	   *model = run->model;
	Expression *expression;
	Datum		value;
	UserSpan	span;
	int			level;

	span_read(&span, model->table[CONTACTS].owner);
	level = path_pin();
	expression = network_compile_once(model, why->clause->text);
	evaluate_rows(run, why->work);
	value = evaluate_expression(run, why->work, expression, &why->isnull);
	why->holds = !why->isnull && DatumGetBool(value);
	if (why->clause->whole)
		find_all(why, expression);
	network_forget(expression);
	path_unpin(level);
	span_end(&span);
}

/*
 * A row of the result.
 */
static void
put_row(Why *why, ReturnSetInfo *result)
{
	int			count = list_length(why->witnesses);
	Datum	   *keys = palloc((count + 1) * sizeof(Datum));
	Datum	   *times = palloc((count + 1) * sizeof(Datum));
	bool	   *key_nulls = palloc((count + 1) * sizeof(bool));
	int			lower = 1;
	Datum		values[7];
	bool		nulls[7] = {false};
	ListCell   *cell;

	foreach(cell, why->witnesses)
	{
		Witness    *witness = lfirst(cell);
		int			i = foreach_current_index(cell);

		key_nulls[i] = witness->key == NULL;
		keys[i] = TEXT_OR_NULL(witness->key);
		times[i] = TimestampTzGetDatum(witness->time);
	}
	values[0] = Int32GetDatum(++why->position);
	values[1] = Int32GetDatum(why->clause->level);
	values[2] = CStringGetTextDatum(why->clause->text);
	values[3] = BoolGetDatum(why->holds);
	nulls[3] = why->isnull;
	values[4] = CStringGetTextDatum(why->finding.data);
	nulls[4] = why->finding.len == 0;
	nulls[5] = nulls[6] = count == 0;
	if (count > 0)
	{
		values[5] = PointerGetDatum(construct_md_array(keys, key_nulls, 1,
													   &count, &lower,
													   TEXTOID, -1, false,
													   TYPALIGN_INT));
		values[6] = PointerGetDatum(construct_array(times, count,
													TIMESTAMPTZOID,
													sizeof(TimestampTz),
													FLOAT8PASSBYVAL,
													TYPALIGN_DOUBLE));
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * One clause.  An error of its own is its finding: the predicate does not
 * hold then.
 */
static void
explain_clause(Why *why, ReturnSetInfo *result)
{
	ErrorData  *error;

	why->work->values = NIL;
	why->witnesses = NIL;
	why->isnull = true;
	why->holds = false;
	resetStringInfo(&why->finding);
	if (!run_try(answer, why, &error))
	{
		resetStringInfo(&why->finding);
		/* The message may quote an event. */
		appendStringInfo(&why->finding, "error: %s",
						 why->some_events ? unpack_sql_state(error->sqlerrcode) :
						 error->message);
		why->isnull = true;
		why->witnesses = NIL;
	}
	if (why->some_events)
		why->witnesses = witness_visible(why->run->model, why->witnesses);
	put_row(why, result);
}

/*
 * lifecycle_why(model text, contact "any", segment text): a row for each
 * clause of the segment's predicate: position, level, clause, holds, finding,
 * events, times.
 *
 * Writes and locks nothing.  Needs SELECT on contacts and events; raises
 * 22023 for an unknown segment, P0002 if there is no such contact, or the
 * caller does not see it.
 */
Datum
lifecycle_why(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Model	   *model = model_by_name(text_argument(fcinfo, 0, "model"));
	char	   *key_text;
	Datum		contact = key_argument(fcinfo, 1, &model->contact_key,
									   "contact", &key_text);
	char	   *name = text_argument(fcinfo, 2, "segment");
	Oid			companies = model->table[COMPANIES].relid;
	Why			why = {0};
	Segment    *segment;
	ListCell   *cell;

	compat_init_result(fcinfo);
	check_may_read(model);
	SPI_connect();
	check_visible(model, contact, key_text);
	why.some_events = is_narrowed(model->table[EVENTS].relid);
	why.no_companies = OidIsValid(companies) &&
		(is_narrowed(companies) ||
		 pg_class_aclcheck(companies, GetUserId(), ACL_SELECT) != ACLCHECK_OK);
	segment = network_segment(model, network_segment_id(model, name));
	why.run = run_start(model);
	why.run->clock = run_clock(model);
	why.work = decide_look_at(why.run, contact, key_text);
	initStringInfo(&why.finding);
	foreach(cell, clause_split(segment->text))
	{
		CHECK_FOR_INTERRUPTS();
		why.clause = lfirst(cell);
		explain_clause(&why, result);
	}
	evaluate_end(why.run);
	why.run->nworks = 0;
	run_finish(why.run);
	SPI_finish();
	return (Datum) 0;
}
