/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  The values of atoms for all contacts, by one statement.
 *
 * Contacts are left-joined with one aggregation of events for all atoms that
 * can share it, and one for each of the others, and the rows streamed through
 * a cursor, in batches.  If the caller does not mind contacts without events,
 * the contacts are not read at all but only the aggregations; and a condition
 * on contacts may leave most of them out.  Then few rows are expected, and
 * the statement is run to its end, so that it may be parallel as any other,
 * and its rows come in key order.
 *
 * The statement runs as the owner of contacts, in a reading span.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "instant.h"
#include "meaning.h"
#include "scan.h"

/* So many contacts are handed on at once. */
#define BATCH 5000

/* Of the columns of a row (from 0), those of the atoms begin here. */
#define FIRST_ATOM_COLUMN 4

/*
 * scan_joins: is this atom a part of the statement?  What is the model's own
 * may not be readable by the owner of contacts, and is read for each batch.
 */
bool
scan_joins(const Atom *atom)
{
	return atom->spec->kind != ATOM_TIME_IN_STAGE;
}

/* A contact of the batch, to be sorted by key. */
typedef struct BatchContact
{
	Datum		contact;
	int			row;
} BatchContact;

static int
compare_contacts(const void *a, const void *b, void *key)
{
	return key_compare(key, ((const BatchContact *) a)->contact,
					   ((const BatchContact *) b)->contact);
}

/*
 * The values of an atom that was not joined, by row of the batch.
 */
static AtomValue *
scan_batch_atom(ContactScan *scan, Atom *atom)
{
	KeyType    *key = &scan->model->contact_key;
	BatchContact *batch = palloc(scan->count * sizeof(BatchContact));
	Datum	   *contacts = palloc(scan->count * sizeof(Datum));
	TimestampTz *clocks = palloc(scan->count * sizeof(TimestampTz));
	AtomValue  *sorted = palloc(scan->count * sizeof(AtomValue));
	AtomValue  *values = palloc(scan->count * sizeof(AtomValue));

	for (int i = 0; i < scan->count; i++)
	{
		bool		isnull;

		batch[i].contact = scan_value(scan, i, 1, &isnull);
		batch[i].row = i;
	}
	qsort_arg(batch, scan->count, sizeof(BatchContact), compare_contacts, key);
	for (int i = 0; i < scan->count; i++)
	{
		contacts[i] = batch[i].contact;
		clocks[i] = scan->clock;
	}
	atom_scan(scan->model, atom, contacts, scan->count, clocks,
			  scan->snapshot, sorted);
	for (int i = 0; i < scan->count; i++)
		values[batch[i].row] = sorted[i];
	return values;
}

static void
scan_batch_atoms(ContactScan *scan)
{
	scan->values = palloc0((scan->natoms + 1) * sizeof(AtomValue *));
	for (int i = 0; i < scan->natoms; i++)
		if (!scan_joins(scan->atoms[i]))
			scan->values[i] = scan_batch_atom(scan, scan->atoms[i]);
}

/* The statement of a scan, as it is put together. */
typedef struct ScanStatement
{
	ContactScan *scan;
	bool		together;		/* some atoms share an aggregation */
	StringInfoData columns;
	StringInfoData from;
	StringInfoData found;		/* the contacts of the aggregations, a list */
} ScanStatement;

/*
 * Do atoms share an aggregation?  One alone need not.
 */
static bool
has_together(const ContactScan *scan)
{
	int			count = 0;

	for (int i = 0; i < scan->natoms; i++)
		if (meaning_is_aggregate(scan->atoms[i]->spec))
			count++;
	return count > 1;
}

/*
 * An aggregation joins the contacts; or if only contacts with events matter,
 * the aggregations before it.
 */
static void
join_aggregation(ScanStatement *statement, const char *sql, const char *alias)
{
	ContactScan *scan = statement->scan;
	StringInfo	from = &statement->from;
	StringInfo	found = &statement->found;
	bool		first = found->len == 0;

	if (!scan->events_only)
		appendStringInfo(from, " LEFT JOIN (%s) AS %s"
						 " ON %s.contact OPERATOR(pg_catalog.=) c.%s",
						 sql, alias, alias,
						 scan->model->table[CONTACTS].column[ROLE_KEY].quoted);
	else if (first)
		appendStringInfo(from, " FROM (%s) AS %s", sql, alias);
	else
		appendStringInfo(from, " FULL JOIN (%s) AS %s"
						 " ON %s.contact OPERATOR(pg_catalog.=) COALESCE(%s)",
						 sql, alias, alias, found->data);
	appendStringInfo(found, "%s%s.contact", first ? "" : ", ", alias);
}

/*
 * Add an atom's three columns, and what they come from.
 */
static void
append_atom(ScanStatement *statement, int i)
{
	ContactScan *scan = statement->scan;
	Atom	   *atom = scan->atoms[i];

	if (!scan_joins(atom))
		appendStringInfoString(&statement->columns, ", NULL, NULL, NULL");
	else if (statement->together && meaning_is_aggregate(atom->spec))
		appendStringInfo(&statement->columns,
						 ", t.value%1$d, t.turns%1$d, t.arrives%1$d", i);
	else
	{
		join_aggregation(statement,
						 meaning_sql(scan->model, atom->spec, true,
									 MEANING_PARAMS * i + 1),
						 psprintf("a%d", i));
		appendStringInfo(&statement->columns,
						 ", a%1$d.value, a%1$d.turns, a%1$d.arrives", i);
	}
}

/*
 * Add all atoms.
 */
static void
append_atoms(ScanStatement *statement)
{
	ContactScan *scan = statement->scan;

	statement->together = has_together(scan);
	if (statement->together)
		join_aggregation(statement,
						 meaning_together_sql(scan->model, scan->atoms,
											  scan->natoms), "t");
	for (int i = 0; i < scan->natoms; i++)
		append_atom(statement, i);
}

/*
 * Are few rows expected, compared with the contacts?
 */
static bool
is_run_to_end(const ContactScan *scan)
{
	return scan->events_only || scan->condition != NULL;
}

/*
 * The statement of a scan.
 */
static char *
scan_sql(ContactScan *scan)
{
	Model	   *model = scan->model;
	AppTable   *contacts = &model->table[CONTACTS];
	AppTable   *companies = &model->table[COMPANIES];
	const char *key = contacts->column[ROLE_KEY].quoted;
	bool		company = scan->rows && OidIsValid(companies->relid) &&
		contacts->column[ROLE_COMPANY].attno != 0;
	ScanStatement statement = {.scan = scan};
	StringInfoData sql;

	initStringInfo(&statement.columns);
	initStringInfo(&statement.from);
	initStringInfo(&statement.found);
	if (!scan->events_only)
		appendStringInfo(&statement.from, " FROM %s AS c", contacts->name);
	append_atoms(&statement);
	if (company)
		appendStringInfo(&statement.from, " LEFT JOIN %s AS co"
						 " ON co.%s OPERATOR(pg_catalog.=) c.%s",
						 companies->name, companies->column[ROLE_KEY].quoted,
						 contacts->column[ROLE_COMPANY].quoted);
	if (scan->condition != NULL)
		appendStringInfo(&statement.from, " WHERE %s", scan->condition);

	initStringInfo(&sql);
	if (scan->events_only)
		appendStringInfo(&sql, "SELECT COALESCE(%s)", statement.found.data);
	else
		appendStringInfo(&sql, "SELECT c.%s", key);
	appendStringInfo(&sql, "%s%s", scan->rows ? ", c" : ", NULL",
					 company ? ", co" : ", NULL");
	if (scan->member_of != 0)
		appendStringInfo(&sql, ", c.%s OPERATOR(pg_catalog.=) ANY (SELECT m.contact"
						 " FROM %s.membership AS m"
						 " WHERE m.segment_id OPERATOR(pg_catalog.=) %d)",
						 key, model->schema, scan->member_of);
	else
		appendStringInfoString(&sql, ", NULL::pg_catalog.bool");
	appendStringInfo(&sql, "%s%s", statement.columns.data, statement.from.data);

	/* Then states and memberships are written in the order of their indexes. */
	if (is_run_to_end(scan))
		appendStringInfoString(&sql, " ORDER BY 1");
	return sql.data;
}

/* Where the rows of a scan come from: a cursor, or all of them are there. */
typedef struct ScanSource
{
	Portal		portal;			/* or NULL */
	Tuplestorestate *store;
	TupleTableSlot *slot;
} ScanSource;

static void
open_source(ContactScan *scan, ScanSource *source)
{
	int			nparams = MEANING_PARAMS * scan->natoms;
	Oid		   *types = palloc((nparams + 1) * sizeof(Oid));
	Datum	   *values = palloc((nparams + 1) * sizeof(Datum));
	const char *sql = scan_sql(scan);
	TupleDesc	desc;

	for (int i = 0; i < scan->natoms; i++)
		instant_params(scan->model, scan->atoms[i]->spec, scan->clock,
					   types + MEANING_PARAMS * i,
					   values + MEANING_PARAMS * i);
	memset(source, 0, sizeof(ScanSource));
	if (!is_run_to_end(scan))
	{
		source->portal = query_cursor(sql, nparams, types, values,
									  scan->snapshot);
		return;
	}
	source->store = query_store(sql, nparams, types, values, scan->snapshot,
								&desc);
	scan->total = tuplestore_tuple_count(source->store);
	source->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
}

/*
 * The next rows, in the current memory context or SPI's; false if there are no
 * more.
 */
static bool
fetch_batch(ContactScan *scan, ScanSource *source)
{
	SPITupleTable *result;

	if (source->portal != NULL)
	{
		MemoryContext old = CurrentMemoryContext;

		SPI_cursor_fetch(source->portal, true, BATCH);
		MemoryContextSwitchTo(old);
		scan->count = (int) SPI_processed;
		scan->result = SPI_tuptable;
		return scan->count > 0;
	}
	result = palloc0(sizeof(SPITupleTable));
	result->tupdesc = source->slot->tts_tupleDescriptor;
	result->vals = palloc(BATCH * sizeof(HeapTuple));
	while (result->numvals < BATCH &&
		   tuplestore_gettupleslot(source->store, true, false, source->slot))
		result->vals[result->numvals++] = ExecCopySlotHeapTuple(source->slot);
	scan->count = (int) result->numvals;
	scan->result = result;
	return scan->count > 0;
}

static void
close_source(ScanSource *source)
{
	if (source->portal != NULL)
		SPI_cursor_close(source->portal);
	else
	{
		ExecDropSingleTupleTableSlot(source->slot);
		tuplestore_end(source->store);
	}
}

/*
 * scan_contacts: hand the values of some atoms for all contacts to a
 * function, batch by batch.
 *
 * `rows` adds the contact's and its company's rows.  The function is called
 * with the current context being one that is reset after each call; it finds
 * the batch in the ContactScan.  Atoms must be of the model's events.
 */
void
scan_contacts(ContactScan *scan)
{
	AppTable   *contacts = &scan->model->table[CONTACTS];
	ScanSource	source;
	int			level;
	MemoryContext old;
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext,
												"lifecycle scan",
												ALLOCSET_DEFAULT_SIZES);
	UserSpan	span;

	span_read(&span, contacts->owner);
	level = path_pin();
	open_source(scan, &source);
	old = MemoryContextSwitchTo(batch);
	while (fetch_batch(scan, &source))
	{
		CHECK_FOR_INTERRUPTS();
		path_unpin(level);
		span_end(&span);
		scan_batch_atoms(scan);
		scan->work(scan);
		span_read(&span, contacts->owner);
		level = path_pin();
		if (source.portal != NULL)
			SPI_freetuptable(scan->result);
		MemoryContextReset(batch);
	}
	MemoryContextSwitchTo(old);
	path_unpin(level);
	span_end(&span);
	close_source(&source);
	MemoryContextDelete(batch);
}

/*
 * scan_value: a column of the row in work (from 0) of the batch.
 */
Datum
scan_value(ContactScan *scan, int row, int column, bool *isnull)
{
	return SPI_getbinval(scan->result->vals[row], scan->result->tupdesc,
						 column, isnull);
}

/*
 * scan_atoms: the values of the atoms for a row of the batch.
 */
List *
scan_atoms(ContactScan *scan, int row)
{
	TupleDesc	desc = scan->result->tupdesc;
	Datum	   *columns = palloc(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc(desc->natts * sizeof(bool));
	List	   *result = NIL;

	heap_deform_tuple(scan->result->vals[row], desc, columns, nulls);
	for (int i = 0; i < scan->natoms; i++)
	{
		WorkValue  *known = palloc(sizeof(WorkValue));
		int			first = FIRST_ATOM_COLUMN + MEANING_COLUMNS * i;

		known->atom = scan->atoms[i];
		known->value = scan->values[i] != NULL ? scan->values[i][row] :
			atom_read(scan->model, known->atom, columns + first,
					  nulls + first, scan->clock);
		result = lappend(result, known);
	}
	pfree(columns);
	pfree(nulls);
	return result;
}
