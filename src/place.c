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
 * the eight places of a line, which is one of the processor's cache: where the
 * array has twice as many places as there are rows, about one row in a hundred
 * finds its line full.  The array begins small and doubles while look-ups often
 * find nothing, up to a quarter of work_mem.  It lives in the memory of the
 * model's cache entry, and as long.
 *
 * If the whole table has room, the index is read from end to end once the
 * session has searched for one row in 32: from then on it searches no more.  What
 * it has searched for until then has cost two thirds of the reading, counted in
 * instructions, and more than the reading where single rows find the processor's
 * caches full of other things.  That is done again only when it has searched for
 * as many rows as there are, as after VACUUM FULL.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "place.h"

#define FIRST_LINES		128

/* Fewer rows than that are searched for one by one. */
#define WORTH_FILLING	1000

typedef struct Place
{
	ItemPointerData address;	/* invalid: none */
	uint16		tag;			/* more bits of the hash */
} Place;

typedef struct Line
{
	Place		place[PLACES_A_LINE];
} Line;

struct Places
{
	MemoryContext context;
	uint32		count;			/* of lines, a power of two */
	uint32		asked;			/* look-ups since it was last doubled, or might
								 * have been */
	uint32		missed;			/* of these, in vain */
	double		searched;		/* rows that the index was asked for since it
								 * was last read from end to end */
	bool		filled;			/* it was */
	Line	   *line;			/* at the begin of a line of the cache */
	void	   *memory;			/* in which they are */
};

static uint32
most_lines(void)
{
	uint32		count = FIRST_LINES;

	while (count * 2 * sizeof(Line) <= (Size) work_mem * 1024 / 4 &&
		   count < PG_UINT32_MAX / 4 / PLACES_A_LINE)
		count *= 2;
	return count;
}

/*
 * So many empty lines instead of those that are there, which the caller frees.
 */
static void
new_lines(Places *places, uint32 count)
{
	Size		size = add_size(mul_size(count, sizeof(Line)),
								PG_CACHE_LINE_SIZE);
	void	   *memory =
		MemoryContextAllocExtended(places->context, size,
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	places->count = count;
	places->memory = memory;
	places->line = (Line *) CACHELINEALIGN(places->memory);
}

/*
 * place_create: room for places, in this memory context.
 */
Places *
place_create(MemoryContext context)
{
	Places	   *places = MemoryContextAllocZero(context, sizeof(Places));

	places->context = context;
	new_lines(places, FIRST_LINES);
	return places;
}

/*
 * Double the room if more than an eighth of the latest look-ups found nothing.
 * What is in it then stands in each of the lines where it may belong.
 */
static void
make_room(Places *places)
{
	uint32		count = places->count;
	bool		often = places->missed > places->asked / 8;
	void	   *memory = places->memory;
	Line	   *old = places->line;

	places->asked = places->missed = 0;
	if (!often || count >= most_lines())
		return;
	new_lines(places, 2 * count);
	memcpy(places->line, old, count * sizeof(Line));
	memcpy(places->line + count, old, count * sizeof(Line));
	pfree(memory);
}

static inline Line *
line_of(const Places *places, uint32 hash)
{
	return &places->line[hash & (places->count - 1)];
}

/* More bits of the hash; of a large array some of them tell the line too. */
static inline uint16
tag_of(uint32 hash)
{
	return (uint16) (hash >> 16);
}

/*
 * place_recall: where rows of keys with this hash were, at most as many as a
 * line has places; returns how many.
 */
int
place_recall(Places *places, uint32 hash, ItemPointerData *address)
{
	Line	   *line;
	int			found = 0;

	if (places->asked++ >= places->count * PLACES_A_LINE)
		make_room(places);
	line = line_of(places, hash);
	for (int i = 0; i < PLACES_A_LINE; i++)
		if (line->place[i].tag == tag_of(hash) &&
			ItemPointerIsValid(&line->place[i].address))
			address[found++] = line->place[i].address;
	return found;
}

/*
 * place_fetch: bring the line of a hash nearer to the processor; it will be
 * asked for soon.
 */
void
place_fetch(const Places *places, uint32 hash)
{
	compat_prefetch(line_of(places, hash));
}

/*
 * place_put: a row of a key with this hash is there.  It takes the place of
 * one with the same tag, a free one, or any.
 */
void
place_put(Places *places, uint32 hash, const ItemPointerData *address)
{
	Line	   *line = line_of(places, hash);
	Place	   *place = &line->place[tag_of(hash) % PLACES_A_LINE];

	for (int i = PLACES_A_LINE - 1; i >= 0; i--)
	{
		if (!ItemPointerIsValid(&line->place[i].address))
			place = &line->place[i];
		else if (line->place[i].tag == tag_of(hash))
		{
			place = &line->place[i];
			break;
		}
	}
	place->address = *address;
	place->tag = tag_of(hash);
}

/*
 * place_remember: a row was searched for by the index, which pointed there.
 */
void
place_remember(Places *places, uint32 hash, const ItemPointerData *address)
{
	places->missed++;
	places->searched++;
	place_put(places, hash, address);
}

/*
 * place_begin_fill: is it time to read the index of a table of so many rows
 * from end to end?  Then the caller does, and calls place_put for each.
 */
bool
place_begin_fill(Places *places, double rows)
{
	double		most = (double) most_lines() * PLACES_A_LINE;
	uint32		count = places->count;

	if (rows < WORTH_FILLING || 2 * rows > most ||
		places->searched < (places->filled ? rows : rows / 32))
		return false;
	places->searched = 0;
	places->filled = true;
	while (count * PLACES_A_LINE < 2 * rows)
		count *= 2;
	if (count > places->count)
	{
		void	   *memory = places->memory;

		new_lines(places, count);
		pfree(memory);
	}
	return true;
}
