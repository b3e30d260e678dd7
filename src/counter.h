/*-------------------------------------------------------------------------
 *
 * counter.h
 *	  What the engine did in this session, counted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_COUNTER_H
#define LIFECYCLE_COUNTER_H

typedef enum Counter
{
	COUNT_EVENTS,
	COUNT_FILTERS,
	COUNT_STATE_READS,
	COUNT_STATE_SEARCHES,
	COUNT_SETTLED,
	COUNT_DECIDED,
	COUNT_EVALUATIONS,
	COUNT_SCANS,
	COUNT_STATES_WRITTEN,
	COUNT_STATES_IN_PLACE,
	COUNT_MEMBERSHIPS,
	COUNT_RUNS,
	COUNT_PORTIONS,
	COUNT_STATEMENTS
} Counter;

#define COUNTERS (COUNT_STATEMENTS + 1)

/* Life time: the session's; what is rolled back was done all the same. */
extern int64 counter_value[COUNTERS];

#define counter_add(counter, number) (counter_value[counter] += (number))

#endif							/* LIFECYCLE_COUNTER_H */
