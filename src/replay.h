/*-------------------------------------------------------------------------
 *
 * replay.h
 *	  Rules on events of the past.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_REPLAY_H
#define LIFECYCLE_REPLAY_H

#include "run.h"

/* An instant at which a contact has events that rules name. */
typedef struct RuleInstant
{
	Datum		contact;
	TimestampTz at;
	int			passed;			/* in the first one of a contact: how many of
								 * its instants have passed */
} RuleInstant;

/* What a contact's histories already had when the replay began. */
typedef struct PastMoves
{
	Datum		contact;
	TimestampTz stage;			/* the latest, or DT_NOBEGIN */
	TimestampTz status;
} PastMoves;

/* Of all contacts that are replayed. */
typedef struct Replayed
{
	int			count;
	RuleInstant *instants;		/* sorted by contact and time */
	int			npast;
	PastMoves  *past;			/* sorted by contact */
} Replayed;

extern Replayed *replay_read(Model *model, Datum contacts,
										  TimestampTz until);
extern TimestampTz replay_next_instant(Replayed *replayed, KeyType *key,
									   Datum contact);
extern void replay_pass_instant(Replayed *replayed, KeyType *key,
								Datum contact);
extern bool replay_may_set(const Replayed *replayed, KeyType *key,
						   Datum contact, TimestampTz at, bool status);
extern void replay_add_events(Run *run, Work **works, int count);

#endif							/* LIFECYCLE_REPLAY_H */
