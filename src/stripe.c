/*-------------------------------------------------------------------------
 *
 * stripe.c
 *	  Locks of those whose events are in flight, and of their companies.
 *
 * Most events change nothing: all atoms that they match have reached what
 * decides.  Such an event does not lock its contact, which would cost a
 * write.  That is right as long as nobody unsettles the atom meanwhile: a
 * tick that lets a window end, or a DELETE of the event that counted, does
 * not see the new event before its transaction commits, and would decide
 * without it.
 *
 * So the shortcut is taken under a lock, held to the end of the transaction,
 * that keeps the unsettling side out until it may look.
 *
 * Whoever gives the events of one person to another (lifecycle_identify, _merge,
 * _unmerge, _forget) must see all that are there, too, and whoever inserts an
 * event must see whose it is now; no row lock makes the two meet, since most
 * events lock nothing.
 *
 * One lock for each person would fill the lock table; keys of contacts, and
 * anonymous ids, are hashed into stripes.  A statement with many persons takes
 * one lock for all stripes instead, of which there are two, as arriving has
 * nothing against unsettling.  The modes are those of a lock with a hierarchy
 * of two levels; "few" and "many" are persons of a statement:
 *
 *					 all arriving	all shortcuts	one stripe
 *	  arriving, few									AccessShare
 *	  arriving, many Share
 *	  shortcut, few									RowShare
 *	  shortcut, many				Share
 *	  unsettling					RowExclusive	Exclusive
 *	  giving		 RowExclusive					AccessExclusive
 *
 * Thus a shortcut of few persons is an arrival too, and a single event that
 * changes nothing takes one lock (settled.c).  Among those who insert there is
 * no conflict.
 *
 * The shortcut never waits (it is not taken if the lock is not free at once).
 * lifecycle_tick does not wait either, but leaves the contact for the next
 * time.  All others wait, and look only after they have the lock: those who
 * arrive or give before they take any other lock of the engine, each in the
 * order of stripes; DELETE, UPDATE and TRUNCATE of events before they lock any
 * contact.  Who holds a shortcut and then arrives on the same stripe does not
 * wait for one who waits for him: PostgreSQL lets him pass.
 *
 * Companies have stripes of their own.  Whoever changes what segments look at
 * in a company evaluates the contacts that it finds there, and whoever brings
 * a contact there evaluates it by the company that it finds; in two
 * transactions at once neither would find the other's row, and no row lock
 * makes them meet.  Those who link contacts to a company exclude those who
 * change it, and are no obstacle to each other:
 *
 *					 all stripes			one stripe
 *	  linking						Share		(few companies)
 *	  linking		 Share					(many companies)
 *	  changing		 RowExclusive			RowExclusive
 *
 * Both wait, and look only after they have the lock.  A transaction that
 * links and then changes while another one does the same may be a deadlock,
 * which PostgreSQL resolves.
 *
 * The locks are advisory locks of class 3, which SQL functions cannot take;
 * in pg_locks they have objsubid 3 and the oid of the contacts or companies
 * table as objid.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"

#include "run.h"

/* Of persons, and as many of companies. */
#define STRIPES			512

#define ALL_STRIPES		0xFFFFFFFF
#define ALL_SHORTCUTS	0xFFFFFFFE

/*
 * Lock a stripe of persons (CONTACTS) or companies; false if it is not free at
 * once and not waited for.
 */
static bool
lock_stripe(Model *model, TableKind kind, uint32 stripe, LOCKMODE mode,
			bool wait)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, stripe, model->table[kind].relid, 3);
	return LockAcquire(&tag, mode, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * stripe_of_contact, stripe_of_id: the stripe of a contact, and of an anonymous
 * id.
 */
int
stripe_of_contact(Model *model, Datum contact)
{
	return key_hash(&model->contact_key, contact) % STRIPES;
}

int
stripe_of_id(const char *id)
{
	return hash_bytes((const unsigned char *) id, strlen(id)) % STRIPES;
}

/*
 * stripe_share: take the locks of the shortcut for these contacts without
 * waiting; false if one is not free, and then it must not be taken.
 *
 * For one contact it is that of an arriving event, too.
 */
bool
stripe_share(Model *model, const Datum *contacts, int count)
{
	if (count > FEW_STRIPES)
		return lock_stripe(model, CONTACTS, ALL_SHORTCUTS, ShareLock, false);
	for (int i = 0; i < count; i++)
		if (!lock_stripe(model, CONTACTS, stripe_of_contact(model, contacts[i]),
						 RowShareLock, false))
			return false;
	return true;
}

/*
 * stripe_exclude: wait until no shortcut of these contacts is in flight, and
 * keep new ones away until the end of the transaction.
 */
void
stripe_exclude(Model *model, Work **works, int count)
{
	bool		wanted[STRIPES] = {false};

	if (count == 0)
		return;
	(void) lock_stripe(model, CONTACTS, ALL_SHORTCUTS, RowExclusiveLock, true);
	for (int i = 0; i < count; i++)
		wanted[stripe_of_contact(model, works[i]->contact)] = true;
	for (int stripe = 0; stripe < STRIPES; stripe++)
		if (wanted[stripe])
			(void) lock_stripe(model, CONTACTS, stripe, ExclusiveLock, true);
}

/*
 * stripe_try_exclude: the same for one contact, without waiting.
 */
bool
stripe_try_exclude(Model *model, Datum contact)
{
	return lock_stripe(model, CONTACTS, ALL_SHORTCUTS, RowExclusiveLock,
					   false) &&
		lock_stripe(model, CONTACTS, stripe_of_contact(model, contact),
					ExclusiveLock, false);
}

/*
 * stripe_arrive: events of these persons were inserted or updated.  Wait for
 * those who are giving them to others, and keep others from it until the end
 * of the transaction.
 */
void
stripe_arrive(Model *model, Bitmapset *stripes)
{
	int			stripe = -1;

	if (bms_num_members(stripes) > FEW_STRIPES)
	{
		(void) lock_stripe(model, CONTACTS, ALL_STRIPES, ShareLock, true);
		return;
	}
	while ((stripe = bms_next_member(stripes, stripe)) >= 0)
		(void) lock_stripe(model, CONTACTS, stripe, AccessShareLock, true);
}

/*
 * stripe_settle: wait until all events of these persons that others have
 * inserted are to be seen, and keep new ones waiting until the end of the
 * transaction.
 */
void
stripe_settle(Model *model, Bitmapset *stripes)
{
	int			stripe = -1;

	if (!OidIsValid(model->table[EVENTS].relid))
		return;
	(void) lock_stripe(model, CONTACTS, ALL_STRIPES, RowExclusiveLock, true);
	while ((stripe = bms_next_member(stripes, stripe)) >= 0)
		(void) lock_stripe(model, CONTACTS, stripe, AccessExclusiveLock, true);
}

/*
 * Lock the stripes of these companies, in order.
 */
static void
lock_companies(Model *model, Datum *companies, int count, LOCKMODE mode)
{
	bool		wanted[STRIPES] = {false};

	for (int i = 0; i < count; i++)
		wanted[key_hash(&model->company_key, companies[i]) % STRIPES] = true;
	for (int stripe = 0; stripe < STRIPES; stripe++)
		if (wanted[stripe])
			(void) lock_stripe(model, COMPANIES, stripe, mode, true);
}

/*
 * stripe_link: contacts come to these companies.  Wait for those who change
 * them, and keep others from it until the end of the transaction.
 */
void
stripe_link(Model *model, Datum *companies, int count)
{
	if (count <= FEW_STRIPES)
		lock_companies(model, companies, count, ShareLock);
	else
		(void) lock_stripe(model, COMPANIES, ALL_STRIPES, ShareLock, true);
}

/*
 * stripe_change: what segments look at has changed in these companies.  Wait
 * for those who bring contacts there, and keep others from it until the end
 * of the transaction.
 */
void
stripe_change(Model *model, Datum *companies, int count)
{
	if (count == 0)
		return;
	(void) lock_stripe(model, COMPANIES, ALL_STRIPES, RowExclusiveLock, true);
	lock_companies(model, companies, count, RowExclusiveLock);
}
