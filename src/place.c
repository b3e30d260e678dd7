/*-------------------------------------------------------------------------
 *
 * place.c
 *	  Where this session found rows of a table.
 *
 * The better part of looking a row up is the way down the index.  So a session
 * remembers where the index pointed for the rows that it read, and find.c looks
 * there first.  Nothing has to be kept in step with what others do: find.c takes
 * what it finds only if it has the key, and asks the index if not.
 *
 * What is remembered is an array of addresses by the hash of the key, each
 * with some more bits of the hash, without the keys.  An address is at one of
 * two neighbouring places.  The array begins small and doubles while look-ups
 * often find nothing, up to a quarter of work_mem.  It lives in the memory of
 * the model's cache entry, and as long.
 *
 * If the whole table has room, the index is read from end to end once the
 * session has searched for a sixteenth of its rows: from then on it searches
 * no more, and what it has searched for until then has cost as much as the
 * reading.  That is done again only when it has searched for as many rows as
 * there are, as after VACUUM FULL.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "place.h"

#define FIRST_PLACES	1024

/* Fewer rows than that are searched for one by one. */
#define WORTH_FILLING	1000

typedef struct Place
{
	ItemPointerData address;	/* invalid: none */
	uint16		tag;			/* more bits of the hash */
} Place;

struct Places
{
	MemoryContext context;
	uint32		count;			/* a power of two */
	uint32		asked;			/* look-ups since it was last doubled, or might
								 * have been */
	uint32		missed;			/* of these, in vain */
	double		searched;		/* rows that the index was asked for since it
								 * was last read from end to end */
	bool		filled;			/* it was */
	Place	   *place;
};

static uint32
most_places(void)
{
	uint32		count = FIRST_PLACES;

	while (count * 2 * sizeof(Place) <= (Size) work_mem * 1024 / 4 &&
		   count < PG_UINT32_MAX / 4)
		count *= 2;
	return count;
}

static Place *
new_places(Places *places, uint32 count)
{
	return MemoryContextAllocExtended(places->context,
									  mul_size(count, sizeof(Place)),
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

/*
 * place_create: room for places, in this memory context.
 */
Places *
place_create(MemoryContext context)
{
	Places	   *places = MemoryContextAllocZero(context, sizeof(Places));

	places->context = context;
	places->count = FIRST_PLACES;
	places->place = new_places(places, FIRST_PLACES);
	return places;
}

/*
 * Double the room if more than an eighth of the latest look-ups found nothing.
 * What is in it then stands at each of the places where it may belong.
 */
static void
make_room(Places *places)
{
	uint32		count = places->count;
	bool		often = places->missed > count / 8;
	Place	   *old = places->place;

	places->asked = places->missed = 0;
	if (!often || count >= most_places())
		return;
	places->place = new_places(places, 2 * count);
	memcpy(places->place, old, count * sizeof(Place));
	memcpy(places->place + count, old, count * sizeof(Place));
	places->count = 2 * count;
	pfree(old);
}

/*
 * place_recall: where rows of keys with this hash were, at most two; returns
 * how many.
 */
int
place_recall(Places *places, uint32 hash, ItemPointerData *address)
{
	Place	   *place;
	int			found = 0;

	if (places->asked++ >= places->count)
		make_room(places);
	place = &places->place[hash & (places->count - 1) & ~1];
	for (int i = 0; i < 2; i++)
		if (place[i].tag == (uint16) (hash >> 16) &&
			ItemPointerIsValid(&place[i].address))
			address[found++] = place[i].address;
	return found;
}

static void
put(Places *places, uint32 hash, const ItemPointerData *address)
{
	Place	   *place = &places->place[hash & (places->count - 1)];
	Place	   *other = &places->place[(hash & (places->count - 1)) ^ 1];
	uint16		tag = (uint16) (hash >> 16);

	if (ItemPointerIsValid(&place->address) && place->tag != tag &&
		(!ItemPointerIsValid(&other->address) || other->tag == tag))
		place = other;
	place->address = *address;
	place->tag = tag;
}

/*
 * place_remember: a row was searched for by the index, which pointed there.
 */
void
place_remember(Places *places, uint32 hash, const ItemPointerData *address)
{
	places->missed++;
	places->searched++;
	put(places, hash, address);
}

/*
 * place_begin_fill: is it time to read the index of a table of so many rows
 * from end to end?  Then the caller does, and calls place_put for each.
 */
bool
place_begin_fill(Places *places, double rows)
{
	uint32		most = most_places();

	if (rows < WORTH_FILLING || 2 * rows > most ||
		places->searched < (places->filled ? rows : rows / 16))
		return false;
	places->searched = 0;
	places->filled = true;
	if (places->count < 2 * rows)
	{
		pfree(places->place);
		while (places->count < 2 * rows)
			places->count *= 2;
		places->place = new_places(places, places->count);
	}
	return true;
}

void
place_put(Places *places, uint32 hash, const ItemPointerData *address)
{
	put(places, hash, address);
}
