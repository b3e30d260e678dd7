/*-------------------------------------------------------------------------
 *
 * transition.c
 *	  What the triggers have in common: protocol and transition tables.
 *
 * Triggers may be put on any table by its owner, and a trigger function
 * without a check of how it is called can be made to crash the server; so
 * each begins with trigger_check_statement or trigger_check_row.
 *
 * A transition table is shared by all triggers of the statement.  We read it
 * through a pointer of our own, select that pointer again before each read
 * (a user's trigger, run by our own statements, may have moved the active
 * one) and leave the first pointer selected.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/tupconvert.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "transition.h"

static void
protocol_error(const char *function, const char *expected)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("function \"%s\" must be called as %s", function,
					expected),
			 errhint("lifecycle_attach creates its triggers.")));
}

/*
 * trigger_check_statement: the trigger data of an AFTER ... FOR EACH
 * STATEMENT trigger for this event, with the transition tables that the
 * event has.  Raises 39P01 otherwise.
 */
TriggerData *
trigger_check_statement(FunctionCallInfo fcinfo, const char *function,
						TriggerEvent event)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	bool		needs_old = event == TRIGGER_EVENT_UPDATE ||
		event == TRIGGER_EVENT_DELETE;
	bool		needs_new = event == TRIGGER_EVENT_UPDATE ||
		event == TRIGGER_EVENT_INSERT;

	if (!CALLED_AS_TRIGGER(fcinfo))
		protocol_error(function, "a trigger");
	if (!TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event) ||
		(trigdata->tg_event & TRIGGER_EVENT_OPMASK) != event)
		protocol_error(function,
					   event == TRIGGER_EVENT_INSERT ? "an AFTER INSERT trigger FOR EACH STATEMENT" :
					   event == TRIGGER_EVENT_UPDATE ? "an AFTER UPDATE trigger FOR EACH STATEMENT" :
					   event == TRIGGER_EVENT_DELETE ? "an AFTER DELETE trigger FOR EACH STATEMENT" :
					   "an AFTER TRUNCATE trigger FOR EACH STATEMENT");
	if ((needs_old && trigdata->tg_oldtable == NULL) ||
		(needs_new && trigdata->tg_newtable == NULL))
		protocol_error(function, "a trigger with transition tables");
	if (trigdata->tg_trigger->tgnargs != 0)
		protocol_error(function, "a trigger without arguments");
	return trigdata;
}

/*
 * trigger_check_row: the same for a BEFORE INSERT OR UPDATE ... FOR EACH ROW
 * trigger.
 */
TriggerData *
trigger_check_row(FunctionCallInfo fcinfo, const char *function)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		protocol_error(function, "a trigger");
	if (!TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		!(TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) ||
		  TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event)))
		protocol_error(function,
					   "a BEFORE INSERT OR UPDATE trigger FOR EACH ROW");
	if (trigdata->tg_trigger->tgnargs != 0)
		protocol_error(function, "a trigger without arguments");
	return trigdata;
}

/*
 * transition_begin: read a transition table of the trigger.  Rows come in
 * the form of the model's table, also if the trigger is on a partition.
 */
Transition *
transition_begin(TriggerData *trigdata, Tuplestorestate *store,
				 Model *model, TableKind kind, TupleConversionMap *map)
{
	Transition *transition = palloc0(sizeof(Transition));

	transition->store = store;
	transition->pointer = tuplestore_alloc_read_pointer(store,
														EXEC_FLAG_REWIND);
	transition->slot =
		MakeSingleTupleTableSlot(RelationGetDescr(trigdata->tg_relation),
								 &TTSOpsMinimalTuple);
	transition->map = map;
	if (map != NULL)
	{
		Relation	root = relation_open(model->table[kind].relid,
										 AccessShareLock);

		transition->converted =
			MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(root)),
									 &TTSOpsVirtual);
		relation_close(root, NoLock);
	}
	transition_rewind(transition);
	return transition;
}

/*
 * transition_count: how many rows there are.
 */
int64
transition_count(const Transition *transition)
{
	return tuplestore_tuple_count(transition->store);
}

void
transition_rewind(Transition *transition)
{
	tuplestore_select_read_pointer(transition->store, transition->pointer);
	tuplestore_rescan(transition->store);
	tuplestore_select_read_pointer(transition->store, 0);
}

/*
 * transition_next: the next row, NULL at the end.  It lives until the next
 * call.
 */
TupleTableSlot *
transition_next(Transition *transition)
{
	bool		found;

	tuplestore_select_read_pointer(transition->store, transition->pointer);
	found = tuplestore_gettupleslot(transition->store, true, false,
									transition->slot);
	tuplestore_select_read_pointer(transition->store, 0);
	if (!found)
		return NULL;
	if (transition->map == NULL)
		return transition->slot;
	return execute_attr_map_slot(transition->map->attrMap, transition->slot,
								 transition->converted);
}

void
transition_end(Transition *transition)
{
	ExecDropSingleTupleTableSlot(transition->slot);
	if (transition->converted != NULL)
		ExecDropSingleTupleTableSlot(transition->converted);
	pfree(transition);
}

/*
 * slot_text: a column of a row as text, NULL if null or not mapped.
 */
char *
slot_text(TupleTableSlot *slot, const Column *column)
{
	bool		isnull;
	Datum		value;

	if (column->attno == 0)
		return column->constant != NULL ? pstrdup(column->constant) : NULL;
	value = slot_getattr(slot, column->attno, &isnull);
	return isnull ? NULL : key_column_text(column, value);
}

/*
 * key_column_text: a value of a column as text.
 */
char *
key_column_text(const Column *column, Datum value)
{
	Oid			function;
	bool		varlena;

	if (column->type == TEXTOID || column->type == VARCHAROID)
		return TextDatumGetCString(value);
	getTypeOutputInfo(column->type, &function, &varlena);
	return OidOutputFunctionCall(function, value);
}

/*
 * key_from_column: a value of a column that refers to a key, as that key.
 *
 * Columns of another integer type are converted directly, of any other type
 * through text.  Raises what the key's input function raises.
 */
Datum
key_from_column(const Column *column, KeyType *key, Datum value)
{
	int64		number;
	char	   *text;

	if (column->type == key->type)
		return value;
	if (column->type == INT4OID || column->type == INT8OID ||
		column->type == INT2OID)
	{
		number = column->type == INT4OID ? DatumGetInt32(value) :
			column->type == INT8OID ? DatumGetInt64(value) :
			DatumGetInt16(value);
		if (key->type == INT8OID)
			return Int64GetDatum(number);
		if (key->type == INT4OID && number == (int32) number)
			return Int32GetDatum((int32) number);
	}
	text = key_column_text(column, value);
	return InputFunctionCall(&key->input, text, key->input_param, -1);
}

/*
 * slot_key: a column of a row that is or refers to a key, as that key.
 */
Datum
slot_key(TupleTableSlot *slot, const Column *column, KeyType *key,
		 bool *isnull)
{
	Datum		value;

	if (column->attno == 0)
	{
		*isnull = true;
		return (Datum) 0;
	}
	value = slot_getattr(slot, column->attno, isnull);
	return *isnull ? (Datum) 0 : key_from_column(column, key, value);
}
