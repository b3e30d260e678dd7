/*-------------------------------------------------------------------------
 *
 * network.c
 *	  The compiled model, loaded part by part as events name the parts.
 *
 * The dependency index is stored, in the model's tables atom (event name and
 * key -> atoms -> segments) and segment (columns -> segments).  A new
 * connection reads the atoms of an event name when it sees the first such
 * event (event.c), and compiles a segment or a rule when it first has to
 * evaluate it, so that a model of 10,000 segments costs a connection no more
 * than it uses.
 *
 * Everything lives in the network's memory context, a child of the model's,
 * and goes with it; the model's invalidation is the network's.
 *
 * Configuration is read as the owner of the model's schema.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "atom.h"
#include "evaluate.h"
#include "generated.h"
#include "network.h"

typedef struct AtomEntry
{
	int			id;				/* hash key */
	Atom	   *atom;
} AtomEntry;

typedef struct SegmentEntry
{
	int			id;				/* hash key */
	Segment    *segment;
} SegmentEntry;

typedef struct ColumnUse
{
	int			segment;
	Bitmapset  *contact;
	Bitmapset  *company;
} ColumnUse;

typedef struct RuleListEntry
{
	RuleEvent	on;
	char	   *of;
	List	   *rules;
} RuleListEntry;

struct Network
{
	MemoryContext context;
	struct EventIndex *events;	/* event.c's */
	HTAB	   *atoms;			/* AtomEntry by id */
	HTAB	   *segments;		/* SegmentEntry by id */
	int			ndeal_atoms;
	Atom	  **deal_atoms;		/* those that look at deals; NULL: not loaded */
	List	   *columns;		/* of ColumnUse *, once loaded */
	bool		columns_loaded;
	Bitmapset  *contact_columns;	/* all that columns has, and the company link
									 * if any segment looks at the company */
	Bitmapset  *company_columns;
	List	   *all;			/* ids of all segments, by rank, once loaded */
	bool		all_loaded;
	List	   *rule_lists;		/* of RuleListEntry * */
	List	   *rules;			/* of Rule *, each once */
	List	   *own_atoms;		/* of Atom *, those of rules */
	List	   *scores;			/* score.c's */
	int			max_atom;		/* -1: not loaded */
};

static const char *const rule_event_name[RULE_EVENTS] = {
	"event", "segment entered", "segment left", "stage entered",
	"deal created", "deal won", "deal lost", "deal stage entered"
};

static const char *const action_name[ACTION_KINDS] = {
	"advance stage", "set stage", "set lead status", "create deal",
	"set field", "copy to company", "notify", "create task", "assign owner"
};

/*
 * network_create: an empty network, in a child of the current context that
 * is to be the model's.
 */
Network *
network_create(Model *model)
{
	MemoryContext context = AllocSetContextCreate(model->context,
												  "lifecycle network",
												  ALLOCSET_DEFAULT_SIZES);
	Network    *network = MemoryContextAllocZero(context, sizeof(Network));
	HASHCTL		ctl;

	network->context = context;
	network->max_atom = -1;

	network->events = event_create(context);
	ctl.hcxt = context;
	ctl.keysize = sizeof(int);
	ctl.entrysize = sizeof(AtomEntry);
	network->atoms = hash_create("lifecycle atoms", 64, &ctl,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ctl.entrysize = sizeof(SegmentEntry);
	network->segments = hash_create("lifecycle segments", 64, &ctl,
									HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return network;
}

static void
free_atom_plan(Atom *atom)
{
	if (atom->plan != NULL)
		SPI_freeplan(atom->plan);
	if (atom->each_plan != NULL)
		SPI_freeplan(atom->each_plan);
}

/*
 * network_free: give back what is not memory of the network's context.
 */
void
network_free(Network *network)
{
	HASH_SEQ_STATUS status;
	AtomEntry  *entry;
	SegmentEntry *written;
	ListCell   *cell;

	if (network == NULL)
		return;
	hash_seq_init(&status, network->atoms);
	while ((entry = hash_seq_search(&status)) != NULL)
		free_atom_plan(entry->atom);
	foreach(cell, network->own_atoms)
		free_atom_plan(lfirst(cell));
	hash_seq_init(&status, network->segments);
	while ((written = hash_seq_search(&status)) != NULL)
		if (written->segment->plan != NULL)
			SPI_freeplan(written->segment->plan);
	foreach(cell, network->rules)
	{
		Rule	   *rule = lfirst(cell);

		if (rule->plan != NULL)
			SPI_freeplan(rule->plan);
	}
}

/*
 * network_keep_atom: an atom of a rule's text, to be freed with the network.
 */
void
network_keep_atom(Model *model, Atom *atom)
{
	MemoryContext old = MemoryContextSwitchTo(model->network->context);

	model->network->own_atoms = lappend(model->network->own_atoms, atom);
	MemoryContextSwitchTo(old);
}

/*
 * network_context: where parts of the compiled model live.
 */
MemoryContext
network_context(Model *model)
{
	return model->network->context;
}

/*
 * network_events: the part of the network that event.c has.
 */
struct EventIndex *
network_events(Model *model)
{
	return model->network->events;
}

/*
 * network_query: run a statement on the model's configuration as its owner;
 * returns the number of rows.
 */
uint64
network_query(Model *model, PlanId id, const char *sql, int nargs,
			  const Oid *types, Datum *values)
{
	UserSpan	span;
	uint64		rows;

	span_write(&span, model->owner);
	if (model->plan[id] == NULL)
		model->plan[id] = query_prepare(psprintf(sql, model->schema), nargs,
										types);
	rows = query_execute(model->plan[id], values, NULL);
	span_end(&span);
	return rows;
}

static uint64
config_query(Model *model, PlanId id, const char *sql, Oid type, Datum value)
{
	return network_query(model, id, sql, OidIsValid(type) ? 1 : 0, &type,
						 &value);
}

/*
 * network_int_array: an int[] column of the current result, as an array in
 * the current context.
 */
int *
network_int_array(int row, int column, int *count)
{
	bool		isnull;
	Datum		value = query_value(row, column, &isnull);
	ArrayType  *array;
	int		   *result;

	*count = 0;
	if (isnull)
		return NULL;
	array = DatumGetArrayTypeP(value);
	if (ARR_NDIM(array) == 0)
		return NULL;
	*count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	result = palloc(*count * sizeof(int));
	memcpy(result, ARR_DATA_PTR(array), *count * sizeof(int));
	return result;
}

/*
 * network_enter_atoms: enter the atoms of the current result: id, definition,
 * segments.  Results are copied first, since compiling an atom may run
 * statements of its own.  The array is in the network's context.
 */
Atom	  **
network_enter_atoms(Model *model, uint64 rows)
{
	Network    *network = model->network;
	MemoryContext old = MemoryContextSwitchTo(network->context);
	Atom	  **atoms = palloc0(sizeof(Atom *) * (rows + 1));
	int		   *ids = palloc(sizeof(int) * (rows + 1));
	char	  **definitions = palloc(sizeof(char *) * (rows + 1));
	int		  **segments = palloc(sizeof(int *) * (rows + 1));
	int		   *nsegments = palloc(sizeof(int) * (rows + 1));

	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;

		ids[i] = DatumGetInt32(query_value(i, 1, &isnull));
		definitions[i] = query_text(i, 2);
		segments[i] = network_int_array(i, 3, &nsegments[i]);
	}
	SPI_freetuptable(SPI_tuptable);
	for (uint64 i = 0; i < rows; i++)
	{
		bool		found;
		AtomEntry  *entry = hash_search(network->atoms, &ids[i], HASH_FIND,
										&found);

		if (!found)
		{
			Atom	   *atom;

			atom = compile_stored_atom(model, ids[i], definitions[i]);
			atom->nsegments = nsegments[i];
			atom->segments = segments[i];
			entry = hash_search(network->atoms, &ids[i], HASH_ENTER, NULL);
			entry->atom = atom;
		}
		atoms[i] = entry->atom;
	}
	MemoryContextSwitchTo(old);
	return atoms;
}

/*
 * network_deal_atoms: the atoms that look at deals.
 */
Atom	  **
network_deal_atoms(Model *model, int *count)
{
	Network    *network = model->network;

	if (network->deal_atoms == NULL)
	{
		uint64		rows;

		rows = config_query(model, PLAN_ATOMS_OF_DEALS,
							"SELECT id, definition, segments FROM %s.atom"
							" WHERE event IS NULL"
							" AND method OPERATOR(pg_catalog.=) 'deals'"
							" AND pg_catalog.cardinality(segments) OPERATOR(pg_catalog.>) 0"
							" ORDER BY id", InvalidOid, (Datum) 0);
		network->deal_atoms = network_enter_atoms(model, rows);
		network->ndeal_atoms = (int) rows;
	}
	*count = network->ndeal_atoms;
	return network->deal_atoms;
}

/*
 * network_atom: an atom by its number.
 */
Atom *
network_atom(Model *model, int id)
{
	AtomEntry  *entry = hash_search(model->network->atoms, &id, HASH_FIND,
									NULL);

	if (entry == NULL)
	{
		uint64		rows;

		rows = config_query(model, PLAN_ATOMS_BY_ID,
							"SELECT id, definition, segments FROM %s.atom"
							" WHERE id OPERATOR(pg_catalog.=) $1",
							INT4OID, Int32GetDatum(id));
		if (rows == 0)
			return NULL;		/* its last segment was dropped */
		return network_enter_atoms(model, rows)[0];
	}
	return entry->atom;
}

/*
 * network_load_segments: read those of the segments that are not in the
 * network yet, all by one statement; compile none.
 */
void
network_load_segments(Model *model, const int *ids, int count)
{
	Network    *network = model->network;
	Datum	   *missing = palloc(sizeof(Datum) * (count + 1));
	int			nmissing = 0;
	uint64		rows;
	MemoryContext old;

	for (int i = 0; i < count; i++)
		if (hash_search(network->segments, &ids[i], HASH_FIND, NULL) == NULL)
			missing[nmissing++] = Int32GetDatum(ids[i]);
	if (nmissing == 0)
		return;
	rows = config_query(model, PLAN_SEGMENTS_BY_ID,
						"SELECT id, name, predicate, rank, atoms, NULL::pg_catalog.text"
						" FROM %1$s.segment"
						" WHERE id OPERATOR(pg_catalog.=) ANY ($1)"
						" UNION ALL SELECT id, name,"
						" pg_catalog.format('score(%%L)', name), rank, atoms, column_name"
						" FROM %1$s.score_definition"
						" WHERE id OPERATOR(pg_catalog.=) ANY ($1)",
						INT4ARRAYOID,
						PointerGetDatum(construct_array(missing, nmissing,
														INT4OID, 4, true,
														TYPALIGN_INT)));
	old = MemoryContextSwitchTo(network->context);
	for (uint64 i = 0; i < rows; i++)
	{
		Segment    *segment = palloc0(sizeof(Segment));
		SegmentEntry *entry;
		bool		isnull;

		segment->id = DatumGetInt32(query_value(i, 1, &isnull));
		segment->name = query_text(i, 2);
		segment->text = query_text(i, 3);
		segment->rank = DatumGetInt32(query_value(i, 4, &isnull));
		segment->atom_ids = network_int_array(i, 5, &segment->natoms);
		segment->column = query_text(i, 6);
		entry = hash_search(network->segments, &segment->id, HASH_ENTER, NULL);
		entry->segment = segment;
	}
	MemoryContextSwitchTo(old);
}

/*
 * network_segment: a segment by its number, NULL if it was dropped.
 */
Segment *
network_segment(Model *model, int id)
{
	SegmentEntry *entry = hash_search(model->network->segments, &id,
									  HASH_FIND, NULL);

	if (entry == NULL)
	{
		network_load_segments(model, &id, 1);
		entry = hash_search(model->network->segments, &id, HASH_FIND, NULL);
	}
	return entry != NULL ? entry->segment : NULL;
}

/*
 * network_dependents: ids of the segments that name this one by in_segment.
 */
List *
network_dependents(Model *model, Segment *segment)
{
	if (!segment->dependents_loaded)
	{
		uint64		rows;
		MemoryContext old;

		rows = config_query(model, PLAN_SEGMENT_DEPENDENTS,
							"SELECT id FROM %1$s.segment"
							" WHERE ARRAY[$1] OPERATOR(pg_catalog.<@) segments"
							" UNION ALL SELECT id FROM %1$s.score_definition"
							" WHERE column_name IS NOT NULL"
							" AND ARRAY[$1] OPERATOR(pg_catalog.<@) segments",
							TEXTOID, CStringGetTextDatum(segment->name));
		old = MemoryContextSwitchTo(model->network->context);
		for (uint64 i = 0; i < rows; i++)
		{
			bool		isnull;

			segment->dependents =
				lappend_int(segment->dependents,
							DatumGetInt32(query_value(i, 1, &isnull)));
		}
		MemoryContextSwitchTo(old);
		segment->dependents_loaded = true;
	}
	return segment->dependents;
}

/*
 * Attribute numbers of a text[] of column names; a column that is gone is
 * left out (its segments fail to compile, which is recorded there).
 */
static Bitmapset *
column_set(Oid relid, Datum names)
{
	Datum	   *elements;
	int			count;
	Bitmapset  *result = NULL;

	deconstruct_array(DatumGetArrayTypeP(names), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		AttrNumber	attno = get_attnum(relid, TextDatumGetCString(elements[i]));

		if (attno > 0)
			result = bms_add_member(result, attno);
	}
	/* as they are computed now: that may have been altered */
	return generated_add_sources(result, relid);
}

static void
load_columns(Model *model)
{
	Network    *network = model->network;
	uint64		rows;
	MemoryContext old;

	rows = config_query(model, PLAN_SEGMENTS_BY_COLUMN,
						"SELECT s.id, s.contact_columns, s.company_columns"
						" FROM (SELECT id, contact_columns, company_columns"
						" FROM %1$s.segment UNION ALL"
						" SELECT id, contact_columns, company_columns"
						" FROM %1$s.score_definition"
						" WHERE column_name IS NOT NULL) AS s"
						" WHERE pg_catalog.cardinality(s.contact_columns) OPERATOR(pg_catalog.>) 0"
						" OR pg_catalog.cardinality(s.company_columns) OPERATOR(pg_catalog.>) 0"
						" ORDER BY s.id", InvalidOid, (Datum) 0);
	old = MemoryContextSwitchTo(network->context);
	for (uint64 i = 0; i < rows; i++)
	{
		ColumnUse  *use = palloc0(sizeof(ColumnUse));
		bool		isnull;
		Datum		names;

		use->segment = DatumGetInt32(query_value(i, 1, &isnull));
		names = query_value(i, 2, &isnull);
		if (!isnull)
			use->contact = column_set(model->table[CONTACTS].relid, names);
		names = query_value(i, 3, &isnull);
		if (!isnull && OidIsValid(model->table[COMPANIES].relid))
			use->company = column_set(model->table[COMPANIES].relid, names);
		network->columns = lappend(network->columns, use);
		network->contact_columns = bms_add_members(network->contact_columns,
												   use->contact);
		network->company_columns = bms_add_members(network->company_columns,
												   use->company);
		if (use->company != NULL)
			network->contact_columns =
				bms_add_member(network->contact_columns,
							   model->table[CONTACTS].column[ROLE_COMPANY].attno);
	}
	MemoryContextSwitchTo(old);
	network->columns_loaded = true;
}

/*
 * network_segments_by_columns: ids of the segments that look at any of these
 * columns.  A change of the contact's company column also changes all that
 * looks at the company.
 */
List *
network_segments_by_columns(Model *model, Bitmapset *contact,
							Bitmapset *company)
{
	List	   *result = NIL;
	ListCell   *cell;
	AttrNumber	link = model->table[CONTACTS].column[ROLE_COMPANY].attno;
	bool		moved = link != 0 && bms_is_member(link, contact);

	if (!model->network->columns_loaded)
		load_columns(model);
	foreach(cell, model->network->columns)
	{
		ColumnUse  *use = lfirst(cell);

		if (bms_overlap(use->contact, contact) ||
			bms_overlap(use->company, company) ||
			(moved && use->company != NULL))
			result = lappend_int(result, use->segment);
	}
	return result;
}

/*
 * network_columns: the columns of contacts or companies whose change may
 * change a membership.
 */
Bitmapset *
network_columns(Model *model, TableKind kind)
{
	if (!model->network->columns_loaded)
		load_columns(model);
	return kind == CONTACTS ? model->network->contact_columns :
		model->network->company_columns;
}

/*
 * network_all_segments: ids of all segments, and of the scores that are
 * written to a column; the latter are evaluated in the same way.
 */
List *
network_all_segments(Model *model)
{
	Network    *network = model->network;

	if (!network->all_loaded)
	{
		uint64		rows;
		MemoryContext old;

		rows = config_query(model, PLAN_SEGMENTS_ALL,
							"SELECT id FROM (SELECT id, rank FROM %1$s.segment"
							" UNION ALL SELECT id, rank FROM %1$s.score_definition"
							" WHERE column_name IS NOT NULL) AS s ORDER BY rank, id",
							InvalidOid, (Datum) 0);
		old = MemoryContextSwitchTo(network->context);
		for (uint64 i = 0; i < rows; i++)
		{
			bool		isnull;

			network->all = lappend_int(network->all,
									   DatumGetInt32(query_value(i, 1, &isnull)));
		}
		MemoryContextSwitchTo(old);
		network->all_loaded = true;
	}
	return network->all;
}

/*
 * network_segment_id: the number of a segment; raises 22023 if there is none.
 */
int
network_segment_id(Model *model, const char *name)
{
	bool		isnull;

	if (config_query(model, PLAN_SEGMENT_BY_NAME,
					 "SELECT id FROM %s.segment"
					 " WHERE name OPERATOR(pg_catalog.=) $1",
					 TEXTOID, CStringGetTextDatum(name)) == 0)
	{
		List	   *names = NIL;
		const char *nearest;
		uint64		rows;
		UserSpan	span;

		span_write(&span, model->owner);
		rows = query_once(psprintf("SELECT name FROM %s.segment",
								   model->schema), 0, NULL, NULL, NULL);
		span_end(&span);
		for (uint64 i = 0; i < rows; i++)
			names = lappend(names, query_text(i, 1));
		nearest = nearest_name(name, names);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model \"%s\" has no segment \"%s\"", model->name, name),
				 nearest != NULL ?
				 errhint("Perhaps you meant \"%s\".", nearest) :
				 errhint("Use lifecycle_add_segment to make it.")));
	}
	return DatumGetInt32(query_value(0, 1, &isnull));
}

static int
index_of(const char *word, const char *const *words, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(word, words[i]) == 0)
			return i;
	return -1;
}

/*
 * A rule as the network has it: a rule of any stage or pipeline is found by
 * several names and is yet one.
 */
static Rule *
enter_rule(Network *network, int row)
{
	bool		isnull;
	int			id = DatumGetInt32(query_value(row, 1, &isnull));
	ListCell   *cell;
	Rule	   *rule;
	Datum		args;

	foreach(cell, network->rules)
	{
		rule = lfirst(cell);
		if (rule->id == id)
			return rule;
	}
	rule = palloc0(sizeof(Rule));
	rule->id = id;
	rule->name = query_text(row, 2);
	rule->on = index_of(query_text(row, 3), rule_event_name, RULE_EVENTS);
	rule->condition_text = query_text(row, 4);
	rule->action = index_of(query_text(row, 5), action_name, ACTION_KINDS);
	args = query_value(row, 6, &isnull);
	if (!isnull)
		rule->args = (Jsonb *) PG_DETOAST_DATUM_COPY(args);
	rule->position = DatumGetInt32(query_value(row, 7, &isnull));
	network->rules = lappend(network->rules, rule);
	return rule;
}

/*
 * The rules that this sets off, in order of position.
 */
static List *
load_rules(Model *model, RuleEvent on, const char *of)
{
	Network    *network = model->network;
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2] = {CStringGetTextDatum(rule_event_name[on]),
	CStringGetTextDatum(of)};
	List	   *rules = NIL;
	uint64		rows;
	MemoryContext old;

	rows = network_query(model, PLAN_RULES,
						 "SELECT id, name, on_, condition, action, args, position"
						 " FROM %s.rule"
						 " WHERE on_ OPERATOR(pg_catalog.=) $1"
						 " AND (of OPERATOR(pg_catalog.=) $2 OR of IS NULL)"
						 " AND enabled ORDER BY position, id",
						 2, types, values);
	old = MemoryContextSwitchTo(network->context);
	for (uint64 i = 0; i < rows; i++)
		rules = lappend(rules, enter_rule(network, i));
	SPI_freetuptable(SPI_tuptable);
	MemoryContextSwitchTo(old);
	return rules;
}

/*
 * network_rules: the rules that an event, a stage or a deal sets off, in order
 * of position.  Those of events are kept by the caller, with the events.
 */
List *
network_rules(Model *model, RuleEvent on, const char *of)
{
	Network    *network = model->network;
	ListCell   *cell;
	RuleListEntry *entry;
	List	   *rules;
	MemoryContext old;

	if (on == ON_EVENT)
		return load_rules(model, on, of);
	foreach(cell, network->rule_lists)
	{
		entry = lfirst(cell);
		if (entry->on == on && strcmp(entry->of, of) == 0)
			return entry->rules;
	}
	rules = load_rules(model, on, of);
	old = MemoryContextSwitchTo(network->context);
	entry = palloc(sizeof(RuleListEntry));
	entry->on = on;
	entry->of = pstrdup(of);
	entry->rules = rules;
	network->rule_lists = lappend(network->rule_lists, entry);
	MemoryContextSwitchTo(old);
	return rules;
}

/*
 * network_segment_rules: the rules that entering or leaving a segment sets
 * off, in order of position.
 */
List *
network_segment_rules(Model *model, Segment *segment, bool entered)
{
	SegmentRules *rules = entered ? &segment->entered : &segment->left;

	if (!rules->loaded)
	{
		rules->rules = load_rules(model, entered ? ON_SEGMENT_ENTERED :
								  ON_SEGMENT_LEFT, segment->name);
		rules->loaded = true;
	}
	return rules->rules;
}

/*
 * network_scores: where score.c keeps the scores that it has loaded.
 */
List	  **
network_scores(Model *model)
{
	return &model->network->scores;
}

/*
 * network_max_atom: the highest number of an atom; numbers only grow.
 */
int
network_max_atom(Model *model)
{
	Network    *network = model->network;

	if (network->max_atom < 0)
	{
		UserSpan	span;
		bool		isnull;

		span_write(&span, model->owner);
		query_once(psprintf("SELECT pg_catalog.max(id) FROM %s.atom",
							model->schema), 0, NULL, NULL, NULL);
		span_end(&span);
		network->max_atom = DatumGetInt32(query_value(0, 1, &isnull));
		if (isnull)
			network->max_atom = 0;
	}
	return network->max_atom;
}
