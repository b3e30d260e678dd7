/*-------------------------------------------------------------------------
 *
 * window.c
 *	  Windows over time: where they start, and when that matters.
 *
 * A window at an instant, the clock, is (clock - within, clock], the interval
 * being subtracted by the calendar of the model's time zone.  Its start moves
 * on with the clock, except where the calendar jumps:
 *
 *	  - One month before 28 February 12:00 ... is also one month before 29, 30
 *		and 31 March 12:00: at each of these midnights the start goes back.
 *	  - Where clocks are put back or forward, on the window's side or on the
 *		clock's, an interval of days jumps likewise.
 *
 * So what has left a window may come back to it, for some hours, by time
 * alone.  An even window is one that never does this.
 *
 * window_change finds the exact instant at which a time enters or leaves.
 * Between two jumps start and clock move alike, so only the jumps near the
 * instant in question are looked for: by steps short enough to hold one at
 * most, and by halving the step that has one.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "state.h"
#include "window.h"

/* More than adding an interval and subtracting it can differ by. */
#define SLACK (6 * USECS_PER_DAY)

/* More than a window's start ever goes back by. */
#define MAX_RETURN (2 * USECS_PER_DAY)

/* Offsets of time zones change by such steps, and at such instants. */
#define ZONE_STEP (15 * USECS_PER_MINUTE)

/*
 * Add an interval to an instant, or subtract it, in the model's time zone.
 */
static TimestampTz
shift(const Model *model, TimestampTz time, const Interval *interval,
	  PGFunction function)
{
	pg_tz	   *session = session_timezone;
	TimestampTz result = 0;

	session_timezone = model->zone;
	PG_TRY();
	{
		result = DatumGetTimestampTz(DirectFunctionCall2(function,
														 TimestampTzGetDatum(time),
														 IntervalPGetDatum(interval)));
	}
	PG_FINALLY();
	{
		session_timezone = session;
	}
	PG_END_TRY();
	return result;
}

/*
 * window_instant: a value of type timestamptz, or timestamp or date in the
 * model's time zone, as an instant.
 */
TimestampTz
window_instant(const Model *model, Oid type, Datum value)
{
	Datum		zone;

	if (type == TIMESTAMPTZOID)
		return DatumGetTimestampTz(value);
	if (type == DATEOID)
		value = DirectFunctionCall1(date_timestamp, value);
	zone = CStringGetTextDatum(model->zone_name);
	return DatumGetTimestampTz(DirectFunctionCall2(timestamp_zone, zone,
												   value));
}

/*
 * window_multiple: so many times the interval, part by part, as SQL's
 * multiplication by a whole number does.
 */
Interval
window_multiple(const Interval *within, int times)
{
	Interval	result = *within;

	result.month *= times;
	result.day *= times;
	result.time *= times;
	return result;
}

/*
 * window_is_even: does the start of this window always move on with the
 * clock?
 */
bool
window_is_even(const Model *model, const Interval *within)
{
	long		offset;

	return within->month == 0 &&
		(within->day == 0 || pg_get_timezone_offset(model->zone, &offset));
}

/*
 * window_start: the open end of the window (clock - within, clock].
 */
TimestampTz
window_start(const Model *model, const Interval *within, TimestampTz clock)
{
	return shift(model, clock, within, timestamptz_mi_interval);
}

/*
 * window_reach: what is dated at or before this instant is in no window of a
 * later clock.
 */
TimestampTz
window_reach(const Model *model, const Interval *within, TimestampTz clock)
{
	TimestampTz start = window_start(model, within, clock);

	return window_is_even(model, within) ? start : start - MAX_RETURN;
}

/*
 * Does the zone's offset change between the two instants?
 */
static bool
offset_changes(const Model *model, TimestampTz from, TimestampTz to)
{
	pg_time_t	start = timestamptz_to_time_t(from);
	pg_time_t	boundary;
	long		before;
	long		after;
	int			before_dst;
	int			after_dst;
	int			result;

	result = pg_next_dst_boundary(&start, &before, &before_dst, &boundary,
								  &after, &after_dst, model->zone);
	return result < 0 ||
		(result > 0 && boundary <= timestamptz_to_time_t(to));
}

/*
 * A step in which the start of the window jumps at most once.
 */
static TimestampTz
step_between_jumps(const Model *model, const Interval *within,
				   TimestampTz from, TimestampTz to)
{
	TimestampTz start = window_start(model, within, from) - USECS_PER_DAY;
	TimestampTz end = window_start(model, within, to) + USECS_PER_DAY;

	/* months and days are subtracted one after the other */
	if (within->month != 0 && within->day != 0)
		end = to;
	if (offset_changes(model, from - USECS_PER_DAY, to + USECS_PER_DAY) ||
		offset_changes(model, start, end))
		return ZONE_STEP;
	return USECS_PER_DAY;		/* months jump at midnight */
}

/*
 * The first instant after `from` at which the window's start has not moved
 * on with the clock; `to` if there is none before.
 */
static TimestampTz
next_jump(const Model *model, const Interval *within, TimestampTz from,
		  TimestampTz to)
{
	TimestampTz start = window_start(model, within, from);
	TimestampTz low = from;
	TimestampTz high = to;

	if (window_start(model, within, to) - start == to - from)
		return to;
	while (high - low > 1)
	{
		TimestampTz middle = low + (high - low) / 2;

		if (window_start(model, within, middle) - start == middle - from)
			low = middle;
		else
			high = middle;
	}
	return high;
}

/*
 * window_change: the first instant, later than the clock, at which `time`
 * leaves the window, or if it is older than the window comes back to it;
 * NOT_DUE if it never does.
 */
TimestampTz
window_change(const Model *model, const Interval *within, TimestampTz time,
			  TimestampTz clock)
{
	TimestampTz end;
	TimestampTz at;
	TimestampTz start;
	TimestampTz step;
	bool		inside;

	if (TIMESTAMP_NOT_FINITE(time))
		return NOT_DUE;
	end = shift(model, time, within, timestamptz_pl_interval);
	if (window_is_even(model, within))
		return end > clock ? end : NOT_DUE;
	if (end + SLACK <= clock)
		return NOT_DUE;

	inside = window_start(model, within, clock) < time;
	at = Max(clock, end - SLACK);
	start = window_start(model, within, at);
	if ((start < time) != inside)
		return at;				/* too early rather than too late */
	end += SLACK;
	step = step_between_jumps(model, within, at, end);
	while (at < end)
	{
		TimestampTz jump = next_jump(model, within, at, Min(at + step, end));

		if (inside && time - start < jump - at)
			return at + (time - start);
		at = jump;
		start = window_start(model, within, at);
		if ((start < time) != inside)
			return at;
	}
	return inside ? end : NOT_DUE;
}
