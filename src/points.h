/*-------------------------------------------------------------------------
 *
 * points.h
 *	  The arithmetic of scores.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_POINTS_H
#define LIFECYCLE_POINTS_H

#include "predicate.h"

/* Points are counted in billionths. */
#define POINTS_DIGITS 9
#define POINTS_ONE INT64CONST(1000000000)

/* After so many half-lives an event counts no more. */
#define POINTS_HALF_LIVES 50

typedef enum PointsDecay
{
	DECAY_NONE,
	DECAY_LINEAR,				/* reaches 0 after `length` */
	DECAY_HALF_LIFE				/* halves in each `length` */
} PointsDecay;

/* A rule: so many points for each event, or if a condition holds. */
typedef struct PointsRule
{
	char	   *name;
	int			group;			/* index of its group */
	int64		points;			/* in billionths, of either sign */
	char	   *event;			/* NULL: it has a condition */
	int64		times;			/* only the latest so many count; 0: all */
	PointsDecay decay;
	int64		length;			/* microseconds */
	int			sum;			/* index of the sum it adds to */
	AtomSpec   *atom;			/* of events: their number, or their times */
	Predicate  *condition;
} PointsRule;

/* Rules of one group that decay alike are added up before they are cut. */
typedef struct PointsSum
{
	int			group;
	PointsDecay decay;
	int64		length;
} PointsSum;

typedef struct PointsGroup
{
	char	   *name;			/* NULL: rules without group */
	int64		cap;			/* PG_INT64_MAX: none */
} PointsGroup;

/* A score, as its model's tables have it, compiled. */
typedef struct ScoreSpec
{
	char	   *name;
	int			decimals;
	int64		unit;			/* its last decimal, in billionths */
	int64		cap;			/* PG_INT64_MAX: none */
	int64		floor;			/* PG_INT64_MIN: none */
	int			ngroups;
	PointsGroup *groups;
	int			nsums;
	PointsSum  *sums;
	int			nrules;
	PointsRule *rules;
} ScoreSpec;

/* What a contact has done for one rule. */
typedef struct PointsInput
{
	int64		number;			/* of events without decay; 1 if a condition
								 * holds */
	const TimestampTz *times;	/* of events with decay, up to the clock */
	int			ntimes;
} PointsInput;

extern void points_arrange(ScoreSpec *spec);
extern int64 points_total(const ScoreSpec *spec, const PointsInput *inputs,
						  TimestampTz at);
extern bool points_reach(const ScoreSpec *spec, int64 total, int64 bound);
extern TimestampTz points_next(const ScoreSpec *spec,
							   const PointsInput *inputs, TimestampTz clock,
							   const int64 *bound);
extern int64 points_of_rule(const ScoreSpec *spec, const PointsInput *inputs,
							int rule, TimestampTz at);
extern void points_of_groups(const ScoreSpec *spec, const PointsInput *inputs,
							 TimestampTz at, int64 *before, int64 *after);

#endif							/* LIFECYCLE_POINTS_H */
