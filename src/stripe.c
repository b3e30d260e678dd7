/*-------------------------------------------------------------------------
 *
 * stripe.c
 *	  Locks that tell whoever makes a settled atom unsettled to wait.
 *
 * Most events change nothing: all atoms that they match have reached what
 * decides.  Such an event does not lock its contact, which would cost a
 * write.  That is right as long as nobody unsettles the atom meanwhile: a
 * tick that lets a window end, or a DELETE of the event that counted, does
 * not see the new event before its transaction commits, and would decide
 * without it.
 *
 * So the shortcut is taken under a share lock, held to the end of the
 * transaction, that the unsettling side takes exclusively before it looks.
 * One lock for each contact would fill the lock table; contacts are hashed
 * into stripes.  A statement with many contacts takes one lock for all
 * stripes instead.  The modes are those of a lock with a hierarchy of two
 * levels:
 *
 *					 all stripes			one stripe
 *	  shortcut						Share		(few contacts)
 *	  shortcut		 Share					(many contacts)
 *	  unsettling	 RowExclusive			Exclusive
 *
 * The shortcut never waits (it is not taken if the lock is not free at once).
 * lifecycle_tick does not wait either, but leaves the contact for the next
 * time.  DELETE, UPDATE and TRUNCATE of events wait, before they lock any
 * contact.
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
 * Events have stripes too, by their contact's key and their anonymous id.
 * Whoever gives the events of one person to another (lifecycle_identify, _merge,
 * _unmerge, _forget) must see all that are there, and whoever inserts an event must
 * see whose it is now; no row lock makes the two meet, since most events
 * lock nothing.  The one who inserts or updates events takes Share, the other
 * Exclusive, and both look only after they have it:
 *
 *					 all stripes			one stripe
 *	  arriving						Share		(few persons)
 *	  arriving		 Share					(many persons)
 *	  settling		 RowExclusive			Exclusive
 *
 * Both wait.  Among those who insert there is no conflict.  They are taken
 * before all other locks of the engine, by each in the order of stripes.
 *
 * The locks are advisory locks of class 3, which SQL functions cannot take;
 * in pg_locks they have objsubid 3 and the oid of the contacts, companies or
 * events table as objid.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "miscadmin.h"
#include "storage/lock.h"

#include "run.h"

#define STRIPES			128
#define COMPANY_STRIPES	512
#define EVENT_STRIPES	1024
#define ALL_STRIPES		0xFFFFFFFF

static void
set_tag(LOCKTAG *tag, Model *model, uint32 stripe)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, stripe,
						 model->table[CONTACTS].relid, 3);
}

static uint32
stripe_of(Model *model, Datum contact)
{
	return key_hash(&model->contact_key, contact) % STRIPES;
}

/*
 * stripe_share: take the share locks of these contacts without waiting;
 * false if one is not free, and then the shortcut must not be taken.
 */
bool
stripe_share(Model *model, const Datum *contacts, int count)
{
	LOCKTAG		tag;

	if (count > STRIPES / 2)
	{
		set_tag(&tag, model, ALL_STRIPES);
		return LockAcquire(&tag, ShareLock, false, true) !=
			LOCKACQUIRE_NOT_AVAIL;
	}
	for (int i = 0; i < count; i++)
	{
		set_tag(&tag, model, stripe_of(model, contacts[i]));
		if (LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
			return false;
	}
	return true;
}

/*
 * stripe_exclude: wait until no shortcut of these contacts is in flight, and
 * keep new ones away until the end of the transaction.
 */
void
stripe_exclude(Model *model, Work **works, int count)
{
	LOCKTAG		tag;
	bool		wanted[STRIPES] = {false};

	if (count == 0)
		return;
	set_tag(&tag, model, ALL_STRIPES);
	(void) LockAcquire(&tag, RowExclusiveLock, false, false);
	for (int i = 0; i < count; i++)
		wanted[stripe_of(model, works[i]->contact)] = true;
	for (uint32 stripe = 0; stripe < STRIPES; stripe++)
	{
		if (!wanted[stripe])
			continue;
		set_tag(&tag, model, stripe);
		(void) LockAcquire(&tag, ExclusiveLock, false, false);
	}
}

/*
 * stripe_try_exclude: the same for one contact, without waiting.
 */
bool
stripe_try_exclude(Model *model, Datum contact)
{
	LOCKTAG		tag;

	set_tag(&tag, model, ALL_STRIPES);
	if (LockAcquire(&tag, RowExclusiveLock, false, true) ==
		LOCKACQUIRE_NOT_AVAIL)
		return false;
	set_tag(&tag, model, stripe_of(model, contact));
	return LockAcquire(&tag, ExclusiveLock, false, true) !=
		LOCKACQUIRE_NOT_AVAIL;
}

static void
set_company_tag(LOCKTAG *tag, Model *model, uint32 stripe)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, stripe,
						 model->table[COMPANIES].relid, 3);
}

/*
 * Lock the stripes of these companies, in order.
 */
static void
lock_companies(Model *model, Datum *companies, int count, LOCKMODE mode)
{
	LOCKTAG		tag;
	bool		wanted[COMPANY_STRIPES] = {false};

	for (int i = 0; i < count; i++)
		wanted[key_hash(&model->company_key, companies[i]) %
			   COMPANY_STRIPES] = true;
	for (uint32 stripe = 0; stripe < COMPANY_STRIPES; stripe++)
	{
		if (!wanted[stripe])
			continue;
		set_company_tag(&tag, model, stripe);
		(void) LockAcquire(&tag, mode, false, false);
	}
}

/*
 * stripe_link: contacts come to these companies.  Wait for those who change
 * them, and keep others from it until the end of the transaction.
 */
void
stripe_link(Model *model, Datum *companies, int count)
{
	LOCKTAG		tag;

	if (count <= STRIPES / 2)
	{
		lock_companies(model, companies, count, ShareLock);
		return;
	}
	set_company_tag(&tag, model, ALL_STRIPES);
	(void) LockAcquire(&tag, ShareLock, false, false);
}

/*
 * stripe_change: what segments look at has changed in these companies.  Wait
 * for those who bring contacts there, and keep others from it until the end
 * of the transaction.
 */
void
stripe_change(Model *model, Datum *companies, int count)
{
	LOCKTAG		tag;

	if (count == 0)
		return;
	set_company_tag(&tag, model, ALL_STRIPES);
	(void) LockAcquire(&tag, RowExclusiveLock, false, false);
	lock_companies(model, companies, count, RowExclusiveLock);
}

/*
 * stripe_of_events: the stripe of a contact or anonymous id with this hash.
 */
int
stripe_of_events(uint32 hash)
{
	return hash % EVENT_STRIPES;
}

static void
lock_events(Model *model, uint32 stripe, LOCKMODE mode)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, stripe,
						 model->table[EVENTS].relid, 3);
	(void) LockAcquire(&tag, mode, false, false);
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

	if (bms_num_members(stripes) > STRIPES / 2)
	{
		lock_events(model, ALL_STRIPES, ShareLock);
		return;
	}
	while ((stripe = bms_next_member(stripes, stripe)) >= 0)
		lock_events(model, stripe, ShareLock);
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
	lock_events(model, ALL_STRIPES, RowExclusiveLock);
	while ((stripe = bms_next_member(stripes, stripe)) >= 0)
		lock_events(model, stripe, ExclusiveLock);
}
