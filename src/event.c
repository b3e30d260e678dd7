/*-------------------------------------------------------------------------
 *
 * event.c
 *	  What depends on an event: atoms and rules, by its name and its values.
 *
 * Atoms are found by the event's name.  Those of a filter that compares
 * something for equality (equality.c) have a key, and of these only the ones
 * with the event's own value are found, so that 10,000 segments on different
 * paths of one page view cost an event as much as one does.
 *
 * All is loaded at first use from the model's table atom.  The keys of a name
 * are few: the index on (event, key, key_value) is skipped through from one
 * to the next.  How a key is computed follows from any one of its atoms.  The
 * atoms of a value are read when the first event with that value comes; after
 * some such look-ups the values of all atoms are read at once, without
 * compiling any, so that values that nobody asks for do not cost a statement
 * each.  A key that is not what its atom's filter says (a column was changed
 * since) is not used: then all its atoms are looked at.
 *
 * Names of events that nothing depends on are remembered too, up to a limit,
 * as that is what most events are.
 *
 * Everything lives in the network's memory context and goes with it.
 * Configuration is read as the owner of the model's schema.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "equality.h"
#include "network.h"
#include "transition.h"

/* Event names without atoms or rules that are remembered at most. */
#define MAX_IDLE_EVENTS 4096

/* Values of a key that are looked up one by one, before all are read. */
#define MAX_MISSES 32

typedef struct EventIndex
{
	MemoryContext context;		/* the network's */
	HTAB	   *names;			/* EventEntry by name */
	int			idle;			/* those without atoms or rules */
} EventIndex;

/* What EventEntry and KeyedAtoms begin with. */
typedef struct StringKey
{
	const char *data;
	int			length;
} StringKey;

static uint32
string_hash_of(const void *key, Size size)
{
	const StringKey *string = key;

	return DatumGetUInt32(hash_any((const unsigned char *) string->data,
								   string->length));
}

static int
string_match(const void *a, const void *b, Size size)
{
	const StringKey *first = a;
	const StringKey *second = b;

	if (first->length != second->length)
		return 1;
	return memcmp(first->data, second->data, first->length);
}

static HTAB *
create_table(MemoryContext context, const char *name, Size entrysize)
{
	HASHCTL		ctl;

	ctl.hcxt = context;
	ctl.keysize = sizeof(StringKey);
	ctl.entrysize = entrysize;
	ctl.hash = string_hash_of;
	ctl.match = string_match;
	return hash_create(name, 64, &ctl, HASH_ELEM | HASH_FUNCTION |
					   HASH_COMPARE | HASH_CONTEXT);
}

/*
 * event_create: an empty index, in the network's context.
 */
EventIndex *
event_create(MemoryContext context)
{
	EventIndex *index = MemoryContextAllocZero(context, sizeof(EventIndex));

	index->context = context;
	index->names = create_table(context, "lifecycle events",
								sizeof(EventEntry));
	return index;
}

static bool
is_idle(const EventEntry *entry)
{
	return entry->natoms == 0 && entry->nkeys == 0 && entry->rules == NIL;
}

static void
forget_idle_events(EventIndex *index)
{
	HASH_SEQ_STATUS status;
	EventEntry *entry;

	hash_seq_init(&status, index->names);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (is_idle(entry))
		{
			const char *name = entry->name;

			hash_search(index->names, entry, HASH_REMOVE, NULL);
			pfree(unconstify(char *, name));
		}
	}
	index->idle = 0;
}

/*
 * Set up a key from one of its atoms; the current context is the network's.
 */
static void
set_key(Model *model, AtomKey *key, const Atom *atom)
{
	Equality	equality;
	char	   *text;

	if (atom->spec == NULL || !equality_of_atom(atom->spec, &equality))
		return;
	text = equality_key(&equality, model->table[EVENTS].relid);
	if (text == NULL || strcmp(text, key->text) != 0)
		return;
	key->count = equality.count;
	key->expr = palloc(key->count * sizeof(ExprState *));
	key->type = palloc(key->count * sizeof(Oid));
	key->cannot_raise = true;
	key->user_functions = atom->user_functions;
	for (int i = 0; i < key->count; i++)
	{
		key->expr[i] = ExecInitExpr(equality.expr[i], NULL);
		key->type[i] = exprType((Node *) equality.expr[i]);
		if (!equality_cannot_raise((Node *) equality.expr[i]))
			key->cannot_raise = false;
	}
	key->values = create_table(CurrentMemoryContext, "lifecycle values",
							   sizeof(KeyedAtoms));
}

/*
 * Find the keys of an event name.
 */
static void
load_keys(Model *model, EventEntry *entry)
{
	EventIndex *index = network_events(model);
	Oid			type = TEXTOID;
	Datum		name = CStringGetTextDatum(entry->name);
	uint64		rows;
	Atom	  **atoms;
	MemoryContext old;

	rows = network_query(model, PLAN_KEYS_OF_EVENT,
						 "WITH RECURSIVE keys (id, definition, segments, key) AS ("
						 " (SELECT id, definition, segments, key FROM %1$s.atom"
						 " WHERE event OPERATOR(pg_catalog.=) $1 AND key IS NOT NULL"
						 " ORDER BY event, key LIMIT 1)"
						 " UNION ALL"
						 " SELECT a.* FROM keys AS k CROSS JOIN LATERAL"
						 " (SELECT id, definition, segments, key FROM %1$s.atom"
						 " WHERE event OPERATOR(pg_catalog.=) $1 AND key IS NOT NULL"
						 " AND key OPERATOR(pg_catalog.>) k.key"
						 " ORDER BY event, key LIMIT 1) AS a)"
						 " SELECT id, definition, segments, key FROM keys",
						 1, &type, &name);
	if (rows == 0)
	{
		SPI_freetuptable(SPI_tuptable);
		return;
	}
	old = MemoryContextSwitchTo(index->context);
	entry->keys = palloc0(rows * sizeof(AtomKey));
	entry->nkeys = (int) rows;
	for (uint64 i = 0; i < rows; i++)
	{
		entry->keys[i].event = entry->name;
		entry->keys[i].text = query_text(i, 4);
	}
	atoms = network_enter_atoms(model, rows);
	for (uint64 i = 0; i < rows; i++)
		set_key(model, &entry->keys[i], atoms[i]);
	MemoryContextSwitchTo(old);
}

/*
 * Has the rule an expression for the reason of a move?
 */
static bool
has_reason(const Rule *rule)
{
	JsonbValue	value;

	return rule->args != NULL &&
		getKeyJsonValueFromContainer(&rule->args->root, "reason", 6,
									 &value) != NULL;
}

/*
 * What depends on events of this name; NULL if that is not known yet and not
 * to be loaded.
 */
static EventEntry *
find_event(Model *model, const char *name, int length, bool load)
{
	EventIndex *index = network_events(model);
	EventEntry	new = {.name = name,.length = length};
	EventEntry *entry;
	Oid			type = TEXTOID;
	Datum		value;
	uint64		rows;
	ListCell   *cell;
	char	   *copy;

	entry = hash_search(index->names, &new, HASH_FIND, NULL);
	if (entry != NULL || !load)
		return entry;

	copy = MemoryContextAlloc(index->context, length + 1);
	memcpy(copy, name, length);
	copy[length] = '\0';
	new.name = copy;

	value = CStringGetTextDatum(copy);
	rows = network_query(model, PLAN_ATOMS_OF_EVENT,
						 "SELECT id, definition, segments FROM %s.atom"
						 " WHERE key IS NULL AND (event OPERATOR(pg_catalog.=) $1"
						 " OR second_event OPERATOR(pg_catalog.=) $1) ORDER BY id",
						 1, &type, &value);
	if (rows > 0)
		new.atoms = network_enter_atoms(model, rows);
	else
		SPI_freetuptable(SPI_tuptable);
	new.natoms = (int) rows;
	load_keys(model, &new);
	new.rules = network_rules(model, ON_EVENT, copy);
	foreach(cell, new.rules)
	{
		Rule	   *rule = lfirst(cell);

		/* Texts that may say event.x: conditions and values. */
		if (rule->condition_text != NULL ||
			rule->action == ACTION_CREATE_DEAL ||
			rule->action == ACTION_SET_FIELD ||
			rule->action == ACTION_NOTIFY ||
			rule->action == ACTION_CREATE_TASK ||
			has_reason(rule))
			new.keeps_row = true;
	}

	if (is_idle(&new) && ++index->idle > MAX_IDLE_EVENTS)
		forget_idle_events(index);
	entry = hash_search(index->names, &new, HASH_ENTER, NULL);
	*entry = new;
	return entry;
}

/*
 * event_find: what depends on events of this name.  The result lives as long
 * as the model's use, if anything depends on it; otherwise until the next
 * call.  The caller is connected to SPI.
 */
EventEntry *
event_find(Model *model, const char *name, int length)
{
	return find_event(model, name, length, true);
}

/*
 * event_of_row: the same for the name of an event row, NULL if that is null.
 * Without load, which needs no SPI, it is NULL too if the session has not met
 * the name.
 */
EventEntry *
event_of_row(Model *model, TupleTableSlot *slot, bool load)
{
	const Column *column = &model->table[EVENTS].column[ROLE_NAME];
	Datum		value;
	bool		isnull;
	char	   *name;

	if (column->attno == 0)
		return find_event(model, column->constant, strlen(column->constant),
						  load);
	value = slot_getattr(slot, column->attno, &isnull);
	if (isnull)
		return NULL;
	if (column->type == TEXTOID || column->type == VARCHAROID)
	{
		text	   *packed = DatumGetTextPP(value);

		return find_event(model, VARDATA_ANY(packed),
						  VARSIZE_ANY_EXHDR(packed), load);
	}
	name = key_column_text(column, value);
	return find_event(model, name, strlen(name), load);
}

/*
 * A value of a key, with room for that many atoms.
 */
static KeyedAtoms *
enter_value(Model *model, AtomKey *key, const char *value, int length,
			int natoms)
{
	MemoryContext context = network_events(model)->context;
	KeyedAtoms	new = {.natoms = natoms};
	KeyedAtoms *entry;
	char	   *copy = MemoryContextAlloc(context, length + 1);

	memcpy(copy, value, length);
	copy[length] = '\0';
	new.value = copy;
	new.length = length;
	if (natoms > 0)
		new.ids = MemoryContextAlloc(context, natoms * sizeof(int));
	entry = hash_search(key->values, &new, HASH_ENTER, NULL);
	*entry = new;
	return entry;
}

/*
 * Read the values of all atoms of a key that are not known yet.
 */
static void
load_values(Model *model, AtomKey *key)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		args[2] = {CStringGetTextDatum(key->event),
	CStringGetTextDatum(key->text)};
	uint64		rows;

	rows = network_query(model, PLAN_VALUES_OF_KEY,
						 "SELECT key_value, pg_catalog.array_agg(id ORDER BY id)"
						 " FROM %s.atom WHERE event OPERATOR(pg_catalog.=) $1"
						 " AND key OPERATOR(pg_catalog.=) $2 GROUP BY key_value",
						 2, types, args);
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		text	   *value = DatumGetTextPP(query_value(i, 1, &isnull));
		StringKey	string = {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
		int		   *ids;
		int			count;
		KeyedAtoms *entry;

		if (hash_search(key->values, &string, HASH_FIND, NULL) != NULL)
			continue;
		ids = network_int_array(i, 2, &count);
		entry = enter_value(model, key, string.data, string.length, count);
		memcpy(entry->ids, ids, count * sizeof(int));
		pfree(ids);
	}
	SPI_freetuptable(SPI_tuptable);
	key->complete = true;
}

/*
 * Read the atoms of one value.
 */
static KeyedAtoms *
load_value(Model *model, AtomKey *key, const char *value, int length)
{
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		args[3] = {CStringGetTextDatum(key->event),
		CStringGetTextDatum(key->text),
	PointerGetDatum(cstring_to_text_with_len(value, length))};
	KeyedAtoms *entry;
	uint64		rows;

	rows = network_query(model, PLAN_ATOMS_OF_VALUE,
						 "SELECT id, definition, segments FROM %s.atom"
						 " WHERE event OPERATOR(pg_catalog.=) $1"
						 " AND key OPERATOR(pg_catalog.=) $2"
						 " AND key_value OPERATOR(pg_catalog.=) $3 ORDER BY id",
						 3, types, args);
	entry = enter_value(model, key, value, length, (int) rows);
	if (rows == 0)
	{
		SPI_freetuptable(SPI_tuptable);
		return entry;
	}
	entry->atoms = network_enter_atoms(model, rows);
	for (uint64 i = 0; i < rows; i++)
		entry->ids[i] = entry->atoms[i]->id;
	return entry;
}

/*
 * event_key_value: what a key's expressions are for the row in the scan slot of
 * the context, as *value; false if one is null, which is equal to nothing.
 * Raises what they raise.
 */
bool
event_key_value(const AtomKey *key, ExprContext *econtext, StringInfo value)
{
	int			level = key->user_functions ? path_pin() : 0;
	bool		isnull = false;

	resetStringInfo(value);
	for (int i = 0; i < key->count && !isnull; i++)
	{
		Datum		part = ExecEvalExprSwitchContext(key->expr[i], econtext,
													 &isnull);

		if (!isnull)
			equality_append(value, key->type[i], part);
	}
	if (key->user_functions)
		path_unpin(level);
	return !isnull;
}

/*
 * event_known_atoms: the atoms of a key that have this value, as *atoms, NULL if
 * there are none; false if something has to be loaded for it.  Needs no SPI.
 */
bool
event_known_atoms(const AtomKey *key, const char *value, int length,
				  KeyedAtoms **atoms)
{
	StringKey	string = {value, length};
	KeyedAtoms *entry = hash_search(key->values, &string, HASH_FIND, NULL);
	bool		none = entry == NULL ? key->complete : entry->natoms == 0;

	*atoms = none ? NULL : entry;
	return none || (entry != NULL && entry->atoms != NULL);
}

/*
 * event_keyed_atoms: the same, NULL if there are none.  Lives as long as the
 * model's use.  The caller is connected to SPI.
 */
KeyedAtoms *
event_keyed_atoms(Model *model, AtomKey *key, const char *value, int length)
{
	KeyedAtoms *entry;

	if (event_known_atoms(key, value, length, &entry))
		return entry;
	if (entry == NULL && ++key->misses <= MAX_MISSES)
		entry = load_value(model, key, value, length);
	else if (entry == NULL)
	{
		StringKey	string = {value, length};

		load_values(model, key);
		entry = hash_search(key->values, &string, HASH_FIND, NULL);
	}
	if (entry == NULL || entry->natoms == 0)
		return NULL;
	if (entry->atoms == NULL)
	{
		Atom	  **atoms;

		atoms = MemoryContextAlloc(network_events(model)->context,
								   entry->natoms * sizeof(Atom *));
		for (int i = 0; i < entry->natoms; i++)
			atoms[i] = network_atom(model, entry->ids[i]);
		entry->atoms = atoms;
	}
	return entry;
}

/*
 * event_atoms_of_key: all atoms of a key, whatever their value.
 */
Atom	  **
event_atoms_of_key(Model *model, AtomKey *key, int *count)
{
	if (key->atoms == NULL)
	{
		Oid			types[2] = {TEXTOID, TEXTOID};
		Datum		args[2] = {CStringGetTextDatum(key->event),
		CStringGetTextDatum(key->text)};
		uint64		rows;

		rows = network_query(model, PLAN_ATOMS_OF_KEY,
							 "SELECT id, definition, segments FROM %s.atom"
							 " WHERE event OPERATOR(pg_catalog.=) $1"
							 " AND key OPERATOR(pg_catalog.=) $2 ORDER BY id",
							 2, types, args);
		key->atoms = network_enter_atoms(model, rows);
		key->natoms = (int) rows;
	}
	*count = key->natoms;
	return key->atoms;
}
