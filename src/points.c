/*-------------------------------------------------------------------------
 *
 * points.c
 *	  The arithmetic of scores: their value, and when it changes.
 *
 * A score must be the same number whoever computes it, in whatever order the
 * events come.  So all sums are of whole numbers:
 *
 *	  points	in billionths of a point
 *	  weight	of an event of age a:  1 without decay;  L - a microseconds
 *				of L with linear decay;  floor(2^50 * 2^(-a / h)) of 2^50
 *				with a half-life h, 2^(-a / h) in double precision
 *
 * The sum over the events of points times weight is exact; it is divided by
 * the weight of a new event and cut toward zero once for all rules of a group
 * that decay alike.  Groups are capped, added up, capped and raised to the
 * floor, and the total is rounded down to the score's decimals.
 *
 * When does it change?  Between two instants each sum lies between bounds: a
 * sum of half-lives is c * 2^(-t / h), which has no turning point, so its
 * ends bound it, but for what rounding of the weights may add, and so do those
 * of its points above and below zero, each for itself; a linear one
 * is bounded by its ends but for the events that reach 0 between them.  Caps,
 * sums and rounding down keep the order of numbers, so the score is bounded
 * too.  Where the bounds say that nothing changes, nothing does; else the
 * interval is halved, and the earlier half looked at first, down to a
 * microsecond.  With points of both signs that decay differently the bounds
 * may stay apart for long: after MAX_STEPS what is left counts as a change,
 * so that the result may be too early, and the search goes on from there.  Only
 * where points of both signs cancel each other exactly at a round number is
 * there no end to that: a search that has not come further than MIN_PROGRESS
 * after MAX_TRIES looks again after PATIENCE.
 *
 * Nothing here takes a lock or allocates beyond the call.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include <math.h>

#include "miscadmin.h"

#include "points.h"
#include "state.h"

#ifndef HAVE_INT128
#error "lifecycle needs a compiler with 128-bit integers"
#endif

/* The weight of a new event with a half-life. */
#define WHOLE_WEIGHT (INT64CONST(1) << 50)

/* Intervals that are looked at for the next change. */
#define MAX_STEPS 4096
#define MAX_TRIES (16 * MAX_STEPS)

#define MIN_PROGRESS USECS_PER_SEC
#define PATIENCE USECS_PER_HOUR

/* The sums of one score at one instant, or bounds of them. */
typedef int128 Sum;

/* The search for the next change. */
typedef struct Search
{
	const ScoreSpec *spec;
	const PointsInput *inputs;
	const int64 *bound;			/* NULL: each change counts */
	int64		now;			/* the total, or if it reaches the bound */
	TimestampTz clock;			/* where it began */
	int			steps;
} Search;

/*
 * points_arrange: decide which rules share a sum.  The spec's sums must have
 * room for one a rule.
 */
void
points_arrange(ScoreSpec *spec)
{
	spec->nsums = 0;
	for (int i = 0; i < spec->nrules; i++)
	{
		PointsRule *rule = &spec->rules[i];
		int			sum;

		for (sum = 0; sum < spec->nsums; sum++)
			if (spec->sums[sum].group == rule->group &&
				spec->sums[sum].decay == rule->decay &&
				spec->sums[sum].length == rule->length)
				break;
		if (sum == spec->nsums)
		{
			spec->sums[sum].group = rule->group;
			spec->sums[sum].decay = rule->decay;
			spec->sums[sum].length = rule->length;
			spec->nsums++;
		}
		rule->sum = sum;
	}
}

/*
 * What a new event of such a rule weighs.
 */
static int64
whole_weight(PointsDecay decay, int64 length)
{
	return decay == DECAY_LINEAR ? length :
		decay == DECAY_HALF_LIFE ? WHOLE_WEIGHT : 1;
}

/*
 * How long an event of such a rule counts.
 */
static int64
life(PointsDecay decay, int64 length)
{
	return decay == DECAY_HALF_LIFE ? POINTS_HALF_LIVES * length : length;
}

static int64
weight(PointsDecay decay, int64 length, int64 age)
{
	if (age >= life(decay, length))
		return 0;
	if (decay == DECAY_LINEAR)
		return length - age;
	return (int64) floor(ldexp(pow(2.0, -((double) age / (double) length)),
							   50));
}

/*
 * The sum of one rule.
 */
static Sum
rule_sum(const PointsRule *rule, const PointsInput *input, TimestampTz at)
{
	Sum			weights = 0;

	if (rule->decay == DECAY_NONE)
		return (Sum) rule->points * input->number;
	for (int i = 0; i < input->ntimes; i++)
		weights += weight(rule->decay, rule->length, at - input->times[i]);
	return rule->points * weights;
}

/*
 * All sums at an instant: those of points above zero, then those below.
 */
static void
all_sums(const ScoreSpec *spec, const PointsInput *inputs, TimestampTz at,
		 Sum *sums)
{
	memset(sums, 0, 2 * spec->nsums * sizeof(Sum));
	for (int i = 0; i < spec->nrules; i++)
	{
		const PointsRule *rule = &spec->rules[i];

		sums[rule->sum + (rule->points < 0 ? spec->nsums : 0)] +=
			rule_sum(rule, &inputs[i], at);
	}
}

/*
 * Sums as points, by group, before caps.
 */
static void
group_points(const ScoreSpec *spec, const Sum *sums, Sum *groups)
{
	memset(groups, 0, spec->ngroups * sizeof(Sum));
	for (int i = 0; i < spec->nsums; i++)
	{
		const PointsSum *sum = &spec->sums[i];

		groups[sum->group] += (sums[i] + sums[spec->nsums + i]) /
			whole_weight(sum->decay, sum->length);
	}
}

static Sum
capped(Sum points, int64 cap)
{
	return cap == PG_INT64_MAX ? points : Min(points, (Sum) cap);
}

static int64
checked(Sum points)
{
	if (points > PG_INT64_MAX || points < PG_INT64_MIN)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("points are out of range")));
	return (int64) points;
}

/*
 * The score that these sums make, in its last decimal.  `groups` is room for
 * one a group.
 */
static int64
sums_total(const ScoreSpec *spec, const Sum *sums, Sum *groups)
{
	Sum			total = 0;
	int64		units;

	group_points(spec, sums, groups);
	for (int i = 0; i < spec->ngroups; i++)
		total += capped(groups[i], spec->groups[i].cap);
	total = capped(total, spec->cap);
	if (spec->floor != PG_INT64_MIN)
		total = Max(total, (Sum) spec->floor);
	if (total > PG_INT64_MAX || total < PG_INT64_MIN)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("score \"%s\" is out of range", spec->name)));
	units = (int64) total / spec->unit;
	if (units * spec->unit > (int64) total)
		units--;				/* down, not toward zero */
	return units;
}

/*
 * points_total: the score at an instant, not before any of the events, as a
 * number of its last decimal.  Raises 22003 if that has more than 18 digits.
 */
int64
points_total(const ScoreSpec *spec, const PointsInput *inputs,
			 TimestampTz at)
{
	Sum		   *sums = palloc((2 * spec->nsums + 1) * sizeof(Sum));
	Sum		   *groups = palloc((spec->ngroups + 1) * sizeof(Sum));
	int64		total;

	all_sums(spec, inputs, at, sums);
	total = sums_total(spec, sums, groups);
	pfree(sums);
	pfree(groups);
	return total;
}

/*
 * points_reach: is a score, in its last decimal, at least so many billionths?
 */
bool
points_reach(const ScoreSpec *spec, int64 total, int64 bound)
{
	return (Sum) total * spec->unit >= bound;
}

/*
 * points_of_rule: what one rule gives at an instant, in billionths, before
 * caps.
 */
int64
points_of_rule(const ScoreSpec *spec, const PointsInput *inputs, int rule,
			   TimestampTz at)
{
	const PointsRule *it = &spec->rules[rule];

	return checked(rule_sum(it, &inputs[rule], at) /
				   whole_weight(it->decay, it->length));
}

/*
 * points_of_groups: what each group gives at an instant, in billionths,
 * before and after its cap.
 */
void
points_of_groups(const ScoreSpec *spec, const PointsInput *inputs,
				 TimestampTz at, int64 *before, int64 *after)
{
	Sum		   *sums = palloc((2 * spec->nsums + 1) * sizeof(Sum));
	Sum		   *groups = palloc((spec->ngroups + 1) * sizeof(Sum));

	all_sums(spec, inputs, at, sums);
	group_points(spec, sums, groups);
	for (int i = 0; i < spec->ngroups; i++)
	{
		before[i] = checked(groups[i]);
		after[i] = checked(capped(groups[i], spec->groups[i].cap));
	}
}

/*
 * What the search looks at: a number that grows with the total.
 */
static int64
class_of(const Search *search, const Sum *sums, Sum *groups)
{
	int64		total = sums_total(search->spec, sums, groups);

	return search->bound == NULL ? total :
		points_reach(search->spec, total, *search->bound);
}

/*
 * Between which bounds does the sum of a rule with linear decay lie, from
 * one instant to another?
 */
static void
linear_bounds(const PointsRule *rule, const PointsInput *input,
			  TimestampTz from, TimestampTz to, Sum *through, Sum *start,
			  Sum *dying)
{
	Sum			at_start = 0;
	Sum			at_end = 0;
	Sum			lost = 0;

	for (int i = 0; i < input->ntimes; i++)
	{
		int64		before = weight(DECAY_LINEAR, rule->length,
									from - input->times[i]);
		int64		after = weight(DECAY_LINEAR, rule->length,
								   to - input->times[i]);

		if (after > 0)
		{
			at_start += before;
			at_end += after;
		}
		else
			lost += before;
	}
	*start = rule->points * at_start;
	*through = rule->points * at_end;
	*dying = rule->points * lost;
}

/*
 * Bounds of all sums in an interval, at the ends of which they are known.
 */
static void
bound_sums(const Search *search, TimestampTz from, const Sum *at_from,
		   TimestampTz to, const Sum *at_to, Sum *low, Sum *high)
{
	const ScoreSpec *spec = search->spec;
	Sum		   *start = palloc0((spec->nsums + 1) * sizeof(Sum));
	Sum		   *end = palloc0((spec->nsums + 1) * sizeof(Sum));

	memset(low, 0, 2 * spec->nsums * sizeof(Sum));
	memset(high, 0, 2 * spec->nsums * sizeof(Sum));
	for (int i = 0; i < spec->nrules; i++)
	{
		const PointsRule *rule = &spec->rules[i];
		Sum			rounding;

		if (rule->decay == DECAY_LINEAR)
		{
			Sum			from_start;
			Sum			to_end;
			Sum			dying;

			linear_bounds(rule, &search->inputs[i], from, to, &to_end,
						  &from_start, &dying);
			start[rule->sum] += from_start;
			end[rule->sum] += to_end;
			low[rule->sum] += Min(dying, 0);
			high[rule->sum] += Max(dying, 0);
		}
		else if (rule->decay == DECAY_HALF_LIFE)
		{
			/* each weight is less than 2 off, at the ends and between */
			rounding = (Sum) (rule->points < 0 ? -rule->points : rule->points) *
				search->inputs[i].ntimes * 4;
			low[rule->sum] -= rounding;
			high[rule->sum] += rounding;
		}
	}
	for (int i = 0; i < spec->nsums; i++)
	{
		int			below = spec->nsums + i;

		if (spec->sums[i].decay != DECAY_LINEAR)
		{
			start[i] = at_from[i] + at_from[below];
			end[i] = at_to[i] + at_to[below];
		}
		low[i] += Min(start[i], end[i]);
		high[i] += Max(start[i], end[i]);
		if (spec->sums[i].decay == DECAY_HALF_LIFE)
		{
			/* points of one sign only shrink */
			low[i] = Max(low[i], at_to[i] + at_from[below]);
			high[i] = Min(high[i], at_from[i] + at_to[below]);
		}
	}
	pfree(start);
	pfree(end);
}

/*
 * Does nothing change in (from, to]?
 */
static bool
is_still(Search *search, TimestampTz from, const Sum *at_from,
		 TimestampTz to, const Sum *at_to)
{
	const ScoreSpec *spec = search->spec;
	Sum		   *low = palloc((2 * spec->nsums + 1) * sizeof(Sum));
	Sum		   *high = palloc((2 * spec->nsums + 1) * sizeof(Sum));
	Sum		   *groups = palloc((spec->ngroups + 1) * sizeof(Sum));
	bool		result;

	bound_sums(search, from, at_from, to, at_to, low, high);
	result = class_of(search, low, groups) == search->now &&
		class_of(search, high, groups) == search->now;
	pfree(low);
	pfree(high);
	pfree(groups);
	return result;
}

/*
 * The first instant in (from, to] at which something changes, NOT_DUE if
 * there is none.  The sums at both ends are known, and at `from` nothing has
 * changed yet.
 */
static TimestampTz
first_change(Search *search, TimestampTz from, const Sum *at_from,
			 TimestampTz to, const Sum *at_to)
{
	const ScoreSpec *spec = search->spec;
	TimestampTz middle = from + (to - from) / 2;
	TimestampTz result;
	Sum		   *at_middle;

	CHECK_FOR_INTERRUPTS();
	if (to - from == 1)
	{
		Sum		   *groups = palloc((spec->ngroups + 1) * sizeof(Sum));
		int64		then = class_of(search, at_to, groups);

		pfree(groups);
		return then != search->now ? to : NOT_DUE;
	}
	if (is_still(search, from, at_from, to, at_to))
		return NOT_DUE;
	if (++search->steps > MAX_TRIES)
		return Max(from + 1, search->clock + PATIENCE);
	if (search->steps > MAX_STEPS && from - search->clock > MIN_PROGRESS)
		return from + 1;
	at_middle = palloc((2 * spec->nsums + 1) * sizeof(Sum));
	all_sums(spec, search->inputs, middle, at_middle);
	result = first_change(search, from, at_from, middle, at_middle);
	if (result == NOT_DUE)
		result = first_change(search, middle, at_middle, to, at_to);
	pfree(at_middle);
	return result;
}

/*
 * points_next: the first instant, later than the clock, at which time alone
 * may change the score, or if a bound is given, whether it reaches that;
 * NOT_DUE if it never does.  Not too late, but see above.
 */
TimestampTz
points_next(const ScoreSpec *spec, const PointsInput *inputs,
			TimestampTz clock, const int64 *bound)
{
	Search		search = {.spec = spec,.inputs = inputs,.bound = bound,
	.clock = clock};
	TimestampTz end = clock;
	TimestampTz result;
	Sum		   *sums;
	Sum		   *groups;

	for (int i = 0; i < spec->nrules; i++)
	{
		const PointsRule *rule = &spec->rules[i];

		for (int j = 0; j < inputs[i].ntimes && rule->decay != DECAY_NONE; j++)
			end = Max(end, inputs[i].times[j] +
					  life(rule->decay, rule->length));
	}
	if (end == clock)
		return NOT_DUE;
	sums = palloc((4 * spec->nsums + 1) * sizeof(Sum));
	groups = palloc((spec->ngroups + 1) * sizeof(Sum));
	all_sums(spec, inputs, clock, sums);
	all_sums(spec, inputs, end, sums + 2 * spec->nsums);
	search.now = class_of(&search, sums, groups);
	result = first_change(&search, clock, sums, end, sums + 2 * spec->nsums);
	pfree(sums);
	pfree(groups);
	return result;
}
