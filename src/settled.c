/*-------------------------------------------------------------------------
 *
 * settled.c
 *	  Events that change nothing.
 *
 * An atom is settled if what the state says of it is such that a further event
 * leaves it as it is: a count that has reached its limit, a window that is true
 * and not due.  An event all of whose atoms are settled needs no lock on its
 * contact (prepare.c) under the share lock of its stripe (stripe.c).
 *
 * Most INSERTs are of one row, and most events change nothing, or are named by
 * nobody.  So a statement's only event is looked at for itself, before a run is
 * begun (settled_single), under the lock of the shortcut, which is that of an
 * arriving event too; where it concerns no predicate by its name or its values
 * (event.c), under the latter.  It looks after it has the lock: whose the event
 * is, and then at the state as it is now.  If that leaves any question (a lock
 * that is not free, a name or value not met before, an anonymous id, merged
 * contacts, a clock that ticks set, filters that might raise an error, rules, an
 * atom that is not settled), the run begins as if there had been none.
 *
 * Filters are not evaluated here, but for the values by which atoms are found:
 * where the atom is settled it makes no difference whether the event matches it.
 * One that might raise an error is the exception, as the predicate would count
 * as not holding.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"

#include "counter.h"
#include "identity.h"
#include "import.h"
#include "settled.h"

static bool
atom_is_settled(const Atom *atom, PackedState *state, TimestampTz clock)
{
	const AtomState *entry;

	if (atom->method != METHOD_COUNT && atom->method != METHOD_WINDOW)
		return false;
	entry = state_find_atom(state, atom->id);
	if (entry == NULL || entry->unknown)
		return false;
	if (atom->method == METHOD_COUNT)
		return entry->count >= atom->spec->times;
	return entry->count > 0 && entry->due > clock;
}

/*
 * Does an event that matches these atoms change nothing for the contact?  It does
 * not while the contact has not arrived; it may if the contact is due.
 */
static bool
atoms_are_settled(Atom *const *atoms, int natoms, PackedState *state,
				  TimestampTz clock)
{
	if (state == NULL)
		return false;
	if (state->orphan)
		return true;
	clock = Max(clock, state->clock);
	if (state->due <= clock)
		return false;
	for (int i = 0; i < natoms; i++)
		if (!atom_is_settled(atoms[i], state, clock))
			return false;
	return true;
}

/*
 * settled_hits: do these events of a contact change nothing, given its state?
 * None of them is dirty.  The caller holds the contact's stripe, and has read
 * the state under it.
 */
bool
settled_hits(TimestampTz clock, Hit *const *hits, int count,
			 PackedState *state)
{
	Atom	  **settled = NULL;

	for (int i = 0; i < count; i++)
	{
		const Hit  *hit = hits[i];

		Assert(!hit->dirty);
		/* Most events have the atoms of the one before. */
		if (hit->atoms == settled)
			continue;
		if (!atoms_are_settled(hit->atoms, hit->natoms, state, clock))
			return false;
		settled = hit->atoms;
	}
	return true;
}

/* The atoms that an event may match. */
typedef struct AtomSet
{
	Atom	  **atoms;
	int			natoms;
} AtomSet;

/*
 * Add atoms, if each may be found settled; else false.
 */
static bool
add_atoms(AtomSet *set, Atom **atoms, int natoms)
{
	Atom	  **all;

	for (int i = 0; i < natoms; i++)
		if (!atoms[i]->cannot_raise ||
			(atoms[i]->method != METHOD_COUNT &&
			 atoms[i]->method != METHOD_WINDOW))
			return false;
	if (natoms == 0)
		return true;
	if (set->natoms == 0)
	{
		set->atoms = atoms;
		set->natoms = natoms;
		return true;
	}
	all = palloc((set->natoms + natoms) * sizeof(Atom *));
	memcpy(all, set->atoms, set->natoms * sizeof(Atom *));
	memcpy(all + set->natoms, atoms, natoms * sizeof(Atom *));
	set->atoms = all;
	set->natoms += natoms;
	return true;
}

/*
 * Add the atoms that are found by a value of the row in the context.
 */
static bool
add_keyed_atoms(AtomSet *set, const AtomKey *key, ExprContext *econtext,
				StringInfo value)
{
	KeyedAtoms *keyed;

	if (key->count == 0 || !key->cannot_raise || key->user_functions)
		return false;
	if (!event_key_value(key, econtext, value))
		return true;
	if (!event_known_atoms(key, value->data, value->len, &keyed))
		return false;
	return keyed == NULL || add_atoms(set, keyed->atoms, keyed->natoms);
}

/*
 * The atoms that an event row of this name may match; false if they may not
 * be settled, or are not known yet.
 */
static bool
find_atoms(const EventEntry *entry, TupleTableSlot *row, AtomSet *set)
{
	ExprContext *econtext;
	StringInfoData value;
	bool		found = true;

	if (entry->rules != NIL || !add_atoms(set, entry->atoms, entry->natoms))
		return false;
	if (entry->nkeys == 0)
		return true;
	initStringInfo(&value);
	econtext = CreateStandaloneExprContext();
	econtext->ecxt_scantuple = row;
	for (int i = 0; i < entry->nkeys && found; i++)
		found = add_keyed_atoms(set, &entry->keys[i], econtext, &value);
	FreeExprContext(econtext, true);
	return found;
}

/*
 * Are these atoms all settled for the contact, by its state as it is committed
 * now, at any isolation level, or as this transaction has written it?  Of a state
 * that is just being moved to another page nothing may be seen; then the run
 * looks.
 */
static bool
contact_is_settled(Model *model, Datum contact, const AtomSet *set)
{
	StateReader *reader = state_begin_read_at(model, SnapshotSelf);
	PackedState state;
	bool		found = state_look(reader, contact, &state);
	bool		settled = atoms_are_settled(set->atoms, set->natoms,
											found ? &state : NULL,
											GetCurrentTransactionStartTimestamp());

	state_end_read(reader);
	if (!settled)
		return false;
	counter_add(COUNT_EVENTS, 1);
	counter_add(COUNT_SETTLED, 1);
	return true;
}

/*
 * The same for an event row: its contact, and what its name and values concern.
 */
static bool
row_is_settled(Model *model, TupleTableSlot *row)
{
	AppTable   *events = &model->table[EVENTS];
	EventEntry *entry = event_of_row(model, row, false);
	AtomSet		set = {0};
	Datum		contact;
	bool		isnull;

	if (entry == NULL)
		return false;
	contact = slot_key(row, &events->column[ROLE_CONTACT], &model->contact_key,
					   &isnull);
	if (isnull || !find_atoms(entry, row, &set))
		return false;
	if (set.natoms == 0)
		stripe_arrive(model, bms_make_singleton(stripe_of_contact(model, contact)));
	else if (!stripe_share(model, &contact, 1))
		return false;
	AcceptInvalidationMessages();
	if (model_may_have_merges(model))
		return false;
	if (set.natoms == 0)
	{
		if (entry->nkeys > 0)
			counter_add(COUNT_EVENTS, 1);
		return true;
	}
	(void) slot_getattr(row, events->column[ROLE_TIME].attno, &isnull);
	return isnull || contact_is_settled(model, contact, &set);
}

/*
 * settled_single: has the statement inserted but one event, and does that
 * change nothing?  False also if a run is needed to tell.
 *
 * Takes the lock of the shortcut, or of an arrival, to the end of the
 * transaction, and AccessShareLock on contact_state if it looks there.
 * Allocates in the current memory context.  Raises nothing of its own.
 */
bool
settled_single(Model *model, TriggerData *trigdata, TupleConversionMap *map)
{
	Transition *rows;
	bool		settled;

	if (tuplestore_tuple_count(trigdata->tg_newtable) != 1 ||
		import_mode() == IMPORT_DEFER || model->clock_by_tick ||
		run_current(model) != NULL)
		return false;
	model_use(model);
	rows = transition_begin(trigdata, trigdata->tg_newtable, model, EVENTS,
							map);
	settled = row_is_settled(model, transition_next(rows));
	transition_end(rows);
	model_release(model);
	return settled;
}
