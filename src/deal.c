/*-------------------------------------------------------------------------
 *
 * deal.c
 *	  Triggers on deals.
 *
 * Before a row is written, its pipeline and stage are checked as those of
 * contacts are, missing ones become the first, is_open follows from the
 * stage, and the close date is set when the deal is won or lost (and not
 * again when it goes from one won stage to another), and cleared when it is
 * opened again.  After the statement,
 * deals that were created or moved are collected for the history and the
 * rules.
 *
 * At most one deal is open per contact and pipeline: a unique index over the
 * open ones sees to it, for deals that rules open as for those that people
 * insert, whatever transactions overlap.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/jsonapi.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "deal.h"
#include "identity.h"
#include "import.h"
#include "rule.h"

PG_FUNCTION_INFO_V1(deals_check);
PG_FUNCTION_INFO_V1(deals_insert);
PG_FUNCTION_INFO_V1(deals_update);
PG_FUNCTION_INFO_V1(deals_delete);
PG_FUNCTION_INFO_V1(deals_truncate);

/*
 * The stage that a deal is in; raises 22023 with the valid ones in the hint.
 */
static const DealStage *
check_deal_stage(Model *model, const char *pipeline, const char *name)
{
	const DealStage *stage = model_find_deal_stage(model, pipeline, name);
	StringInfoData valid;
	List	   *names = NIL;
	const char *nearest;
	bool		bad_pipeline = pipeline != NULL &&
		model_find_deal_stage(model, pipeline, NULL) == NULL;
	const char *first = NULL;

	if (stage != NULL)
		return stage;
	if (model->deal_stages == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model \"%s\" has no pipeline with a stage",
						model->name),
				 errhint("Use lifecycle_add_pipeline and lifecycle_add_deal_stage.")));
	initStringInfo(&valid);
	first = pipeline != NULL ? pipeline : model->deal_stage[0].pipeline;
	for (int i = 0; i < model->deal_stages; i++)
	{
		const char *candidate = bad_pipeline ?
			model->deal_stage[i].pipeline : model->deal_stage[i].name;

		if (bad_pipeline ?
			i > 0 && strcmp(candidate, model->deal_stage[i - 1].pipeline) == 0 :
			pg_strcasecmp(model->deal_stage[i].pipeline, first) != 0)
			continue;
		appendStringInfo(&valid, "%s\"%s\"", valid.len > 0 ? ", " : "",
						 candidate);
		names = lappend(names, unconstify(char *, candidate));
	}
	nearest = nearest_name(bad_pipeline ? pipeline : name, names);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 bad_pipeline ?
			 errmsg("model \"%s\" has no pipeline \"%s\"", model->name,
					pipeline) :
			 errmsg("pipeline \"%s\" of model \"%s\" has no stage \"%s\"",
					first, model->name, name),
			 nearest != NULL ?
			 errhint("Perhaps you meant \"%s\". Valid are: %s.", nearest,
					 valid.data) :
			 errhint("Valid are: %s.", valid.data)));
}

/*
 * Set a column of the row from text; NULL sets it to null.
 */
static HeapTuple
set_column(Relation rel, HeapTuple row, const Column *column,
		   const char *value)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			attno;
	char	   *old;
	Datum		datum;
	bool		isnull = false;
	Oid			function;
	Oid			param;

	if (column->attno == 0)
		return row;
	attno = SPI_fnumber(desc, column->name);
	if (attno <= 0)
		return row;
	old = SPI_getvalue(row, desc, attno);
	if (old == value || (old != NULL && value != NULL &&
						 strcmp(old, value) == 0))
		return row;
	isnull = value == NULL;
	getTypeInputInfo(column->type, &function, &param);
	datum = isnull ? (Datum) 0 :
		OidInputFunctionCall(function, unconstify(char *, value), param,
							 column->typmod);
	return heap_modify_tuple_by_cols(row, desc, 1, &attno, &datum, &isnull);
}

static char *
get_column(Relation rel, HeapTuple row, const Column *column)
{
	int			attno;

	if (column->attno == 0 || row == NULL)
		return NULL;
	attno = SPI_fnumber(RelationGetDescr(rel), column->name);
	return attno > 0 ? SPI_getvalue(row, RelationGetDescr(rel), attno) : NULL;
}

/*
 * The model's clock as text, for the close date's input function.
 */
static const char *
now_text(Model *model)
{
	Oid			function;
	bool		varlena;
	Run		   *run = run_current(model);
	Datum		now;

	SPI_connect();
	now = TimestampTzGetDatum(run != NULL ? run->clock : run_clock(model));
	SPI_finish();
	getTypeOutputInfo(TIMESTAMPTZOID, &function, &varlena);
	return OidOutputFunctionCall(function, now);
}

/*
 * deals_check(): BEFORE INSERT OR UPDATE FOR EACH ROW.
 *
 * Returns the row with pipeline, stage, is_open and close date as they
 * should be; takes no lock; raises 22023 for a pipeline or stage that the
 * model does not have.
 */
Datum
deals_check(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = trigger_check_row(fcinfo, "deals_check");
	bool		update = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event);
	HeapTuple	row = update ? trigdata->tg_newtuple : trigdata->tg_trigtuple;
	Relation	rel = trigdata->tg_relation;
	Model	   *model = model_for_trigger(rel, DEALS, NULL);
	AppTable   *table;
	const DealStage *stage;
	DealKind	before = DEAL_OPEN;
	const Column *close;

	if (model == NULL)
		return PointerGetDatum(row);
	table = &model->table[DEALS];
	stage = check_deal_stage(model,
							 get_column(rel, row, &table->column[ROLE_PIPELINE]),
							 get_column(rel, row, &table->column[ROLE_STAGE]));
	if (update)
	{
		HeapTuple	old = trigdata->tg_trigtuple;
		char	   *name = get_column(rel, old, &table->column[ROLE_STAGE]);
		const DealStage *was;

		was = name == NULL ? NULL :
			model_find_deal_stage(model,
								  get_column(rel, old,
											 &table->column[ROLE_PIPELINE]),
								  name);
		if (was != NULL)
			before = was->kind;
	}
	row = set_column(rel, row, &table->column[ROLE_PIPELINE], stage->pipeline);
	row = set_column(rel, row, &table->column[ROLE_STAGE], stage->name);
	row = set_column(rel, row, &table->column[ROLE_IS_OPEN],
					 stage->kind == DEAL_OPEN ? "t" : "f");
	close = &table->column[ROLE_CLOSE_DATE];
	if (close->attno != 0 && stage->kind != before)
	{
		char	   *value = get_column(rel, row, close);
		char	   *old = update ? get_column(rel, trigdata->tg_trigtuple,
											  close) : NULL;

		/*
		 * An expected date gives way to the real one, and that to none when
		 * the deal is opened again; one that is given stays.
		 */
		if (value == NULL || (old != NULL && strcmp(value, old) == 0))
			row = set_column(rel, row, close, stage->kind == DEAL_OPEN ?
							 NULL : now_text(model));
	}
	return PointerGetDatum(row);
}

static DealKind
kind_of(Model *model, const char *pipeline, const char *name)
{
	const DealStage *stage = name == NULL ? NULL :
		model_find_deal_stage(model, pipeline, name);

	return stage != NULL ? stage->kind : DEAL_OPEN;
}

static bool
differ(const char *a, const char *b)
{
	return strcmp(a != NULL ? a : "", b != NULL ? b : "") != 0;
}

/*
 * The amount as text that numeric takes.  Columns that are attached are
 * numbers, but their type may be changed later: of another type, the amount
 * is what can be read as a number, or not known, which *unreadable says.  An
 * error here would lose the deal.
 */
static char *
slot_amount(TupleTableSlot *slot, const Column *column, bool *unreadable)
{
	char	   *text;
	char	   *end;

	if (column->attno != 0 && column->type == CASHOID)
	{
		bool		isnull;
		Datum		value = slot_getattr(slot, column->attno, &isnull);

		return isnull ? NULL :
			DatumGetCString(DirectFunctionCall1(numeric_out,
												DirectFunctionCall1(cash_numeric,
																	value)));
	}
	text = slot_text(slot, column);
	if (text == NULL || TypeCategory(column->type) == TYPCATEGORY_NUMERIC)
		return text;
	while (isspace((unsigned char) *text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char) end[-1]))
		*--end = '\0';
	if (end == text)
		return NULL;
	*unreadable = !IsValidJsonNumber(text, end - text);
	return *unreadable ? NULL : text;
}

/*
 * deal_change: what happened to a deal that was created, changed or deleted;
 * in the run's context, not collected yet.
 */
DealChange *
deal_change(Run *run, TupleTableSlot *old, TupleTableSlot *new)
{
	Model	   *model = run->model;
	AppTable   *table = &model->table[DEALS];
	TupleTableSlot *row = new != NULL ? new : old;
	MemoryContext context = MemoryContextSwitchTo(run->context);
	DealChange *change = palloc0(sizeof(DealChange));
	bool		isnull;

	change->deal = run_copy_key(run, &model->deal_key,
								slot_key(row, &table->column[ROLE_KEY],
										 &model->deal_key, &isnull));
	change->contact = slot_key(row, &table->column[ROLE_CONTACT],
							   &model->contact_key, &change->contact_null);
	if (!change->contact_null)
		change->contact = run_copy_key(run, &model->contact_key,
									   change->contact);
	change->company = slot_key(row, &table->column[ROLE_COMPANY],
							   &model->company_key, &change->company_null);
	if (!change->company_null)
		change->company = run_copy_key(run, &model->company_key,
									   change->company);
	change->pipeline = slot_text(row, &table->column[ROLE_PIPELINE]);
	if (change->pipeline == NULL && model->deal_stages > 0)
		change->pipeline = model->deal_stage[0].pipeline;
	change->amount = slot_amount(row, &table->column[ROLE_AMOUNT],
								 &change->amount_unreadable);
	change->owner = slot_text(row, &table->column[ROLE_OWNER]);
	if (old != NULL)
	{
		char	   *pipeline = slot_text(old, &table->column[ROLE_PIPELINE]);

		if (pipeline == NULL && model->deal_stages > 0)
			pipeline = model->deal_stage[0].pipeline;
		change->from_pipeline = pipeline;
		change->from_stage = slot_text(old, &table->column[ROLE_STAGE]);
		change->from_kind = kind_of(model, pipeline, change->from_stage);
	}
	if (new != NULL)
	{
		change->to_stage = slot_text(new, &table->column[ROLE_STAGE]);
		/* A merge that closes one of two open deals is no loss of one. */
		change->to_kind = run_is_merge(run) && old != NULL ?
			change->from_kind :
			kind_of(model, change->pipeline, change->to_stage);
		change->row = ExecCopySlotHeapTuple(new);
	}
	if (run->applying && old == NULL && !change->contact_null)
	{
		Work	   *work = run_find_work(run, change->contact);

		if (work != NULL && work->deal_action != NULL)
		{
			change->reason.cause = "rule";
			change->reason.rule = work->deal_action->rule->name;
			change->reason.event = work->deal_action->event;
		}
	}
	MemoryContextSwitchTo(context);
	return change;
}

static bool
is_move(const DealChange *change)
{
	return change->from_stage == NULL || change->to_stage == NULL ||
		differ(change->from_stage, change->to_stage) ||
		differ(change->from_pipeline, change->pipeline);
}

/*
 * deal_hit: segments of a contact that look at deals are to be evaluated: to
 * them a deal is what an event is.  The key and the array of atoms must live
 * as long as the run.
 */
void
deal_hit(Run *run, Datum contact, Atom **atoms, int natoms)
{
	Hit			hit = {.contact = contact,.atoms = atoms,.natoms = natoms,
	.time = DT_NOBEGIN};

	if (natoms > 0)
		run_add_hit(run, &hit);
}

/*
 * The same for the contact in the deal's own column.
 */
static void
add_hit(Run *run, TupleTableSlot *slot, Atom **atoms, int natoms)
{
	Model	   *model = run->model;
	bool		isnull;
	Datum		contact;

	if (slot == NULL || natoms == 0)
		return;
	contact = slot_key(slot, &model->table[DEALS].column[ROLE_CONTACT],
					   &model->contact_key, &isnull);
	if (!isnull)
		deal_hit(run, run_copy_key(run, &model->contact_key, contact), atoms,
				 natoms);
}

/*
 * deal_add_stripe: a merge of the deal's contact must see the deal, as it
 * must the contact's events (stripe.c).  The contact is in a row of deals, or
 * of their further contacts.
 */
Bitmapset *
deal_add_stripe(Run *run, TableKind kind, TupleTableSlot *slot,
				Bitmapset *stripes)
{
	Model	   *model = run->model;
	bool		isnull;
	Datum		contact;

	if (slot == NULL || !OidIsValid(model->table[EVENTS].relid))
		return stripes;
	contact = slot_key(slot, &model->table[kind].column[ROLE_CONTACT],
					   &model->contact_key, &isnull);
	return isnull ? stripes :
		bms_add_member(stripes, stripe_of_contact(model, contact));
}

static void
statement(TriggerData *trigdata)
{
	TupleConversionMap *map;
	Model	   *model = model_for_trigger(trigdata->tg_relation, DEALS, &map);
	Run		   *run;
	bool		outermost;
	Transition *old_rows = NULL;
	Transition *new_rows = NULL;
	Bitmapset  *stripes = NULL;
	Atom	  **atoms;
	int			natoms;
	List	   *shared = NIL;

	if (model == NULL)
		return;
	SPI_connect();
	run = run_current(model);
	outermost = run == NULL;
	if (outermost)
	{
		run = run_start(model);
		run->statement_on = DEALS;
		run->quiet = import_mode() == IMPORT_SILENT;
	}
	atoms = network_deal_atoms(model, &natoms);
	if (trigdata->tg_oldtable != NULL)
		old_rows = transition_begin(trigdata, trigdata->tg_oldtable, model,
									DEALS, map);
	if (trigdata->tg_newtable != NULL)
		new_rows = transition_begin(trigdata, trigdata->tg_newtable, model,
									DEALS, map);
	for (;;)
	{
		TupleTableSlot *old = old_rows != NULL ?
			transition_next(old_rows) : NULL;
		TupleTableSlot *new = new_rows != NULL ?
			transition_next(new_rows) : NULL;
		DealChange *change;

		if (old == NULL && new == NULL)
			break;
		CHECK_FOR_INTERRUPTS();
		change = deal_change(run, old, new);
		if (is_move(change))
			run_add_deal_change(run, change);
		if (natoms > 0 || is_move(change))
			shared = lappend(shared, change);
		add_hit(run, old, atoms, natoms);
		add_hit(run, new, atoms, natoms);
		stripes = deal_add_stripe(run, DEALS, new, stripes);
	}
	deal_contact_gather(run, shared, atoms, natoms);
	if (stripes != NULL)
		stripe_arrive(model, stripes);
	if (old_rows != NULL)
		transition_end(old_rows);
	if (new_rows != NULL)
		transition_end(new_rows);
	if (outermost)
		run_finish(run);
	SPI_finish();
}

/*
 * deals_insert(), deals_update(), deals_delete(), deals_truncate(): statement
 * triggers on the deals of a model, or a partition of them.
 *
 * They lock the deals' contacts (decide.c) if rules look at them, the further
 * ones of deal_contact.c too; they raise
 * 39P01 if not called as the trigger, 55000 if the table is not attached,
 * 54000 for rules that loop.
 */
Datum
deals_insert(PG_FUNCTION_ARGS)
{
	statement(trigger_check_statement(fcinfo, "deals_insert",
									  TRIGGER_EVENT_INSERT));
	return PointerGetDatum(NULL);
}

Datum
deals_update(PG_FUNCTION_ARGS)
{
	statement(trigger_check_statement(fcinfo, "deals_update",
									  TRIGGER_EVENT_UPDATE));
	return PointerGetDatum(NULL);
}

Datum
deals_delete(PG_FUNCTION_ARGS)
{
	statement(trigger_check_statement(fcinfo, "deals_delete",
									  TRIGGER_EVENT_DELETE));
	return PointerGetDatum(NULL);
}

Datum
deals_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = trigger_check_statement(fcinfo, "deals_truncate",
													TRIGGER_EVENT_TRUNCATE);
	Model	   *model = model_for_trigger(trigdata->tg_relation, DEALS, NULL);

	int			natoms;

	if (model == NULL)
		return PointerGetDatum(NULL);
	SPI_connect();
	(void) network_deal_atoms(model, &natoms);
	SPI_finish();
	truncate_forget(model, DEALS);
	if (natoms > 0)
		refresh_all(model);
	return PointerGetDatum(NULL);
}
