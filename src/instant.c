/*-------------------------------------------------------------------------
 *
 * instant.c
 *	  Atoms and time: the instants that their statements are given, and those
 *	  at which time alone changes them.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"

#include "instant.h"
#include "meaning.h"
#include "state.h"
#include "window.h"

/*
 * The first instants of all periods, the oldest first, and of the future, as
 * width_bucket wants them.
 */
static Datum
period_starts(const Model *model, const AtomSpec *spec, TimestampTz clock)
{
	Datum	   *starts = palloc((spec->periods + 1) * sizeof(Datum));

	for (int i = 0; i <= spec->periods; i++)
	{
		Interval	age = window_multiple(spec->within, spec->periods - i);

		starts[i] = TimestampTzGetDatum(window_start(model, &age, clock) + 1);
	}
	return PointerGetDatum(construct_array(starts, spec->periods + 1,
										   TIMESTAMPTZOID, sizeof(TimestampTz),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * instant_params: the parameters of the statement at an instant: the clock;
 * the start of the window, or of `active`, or of the periods; the start of
 * `quiet`, or an instant that no window of a later clock reaches back to.
 */
void
instant_params(const Model *model, const AtomSpec *spec, TimestampTz clock,
			   Oid *types, Datum *values)
{
	for (int i = 0; i < MEANING_PARAMS; i++)
	{
		types[i] = TIMESTAMPTZOID;
		values[i] = TimestampTzGetDatum(clock);
	}
	if (spec->within == NULL)
		return;
	if (spec->kind == ATOM_REGULARLY)
	{
		Interval	age = window_multiple(spec->within, spec->periods);

		types[1] = TIMESTAMPTZARRAYOID;
		values[1] = period_starts(model, spec, clock);
		values[2] = TimestampTzGetDatum(window_reach(model, &age, clock));
		return;
	}
	values[1] = TimestampTzGetDatum(window_start(model, spec->within, clock));
	values[2] =
		TimestampTzGetDatum(spec->quiet != NULL ?
							window_start(model, spec->quiet, clock) :
							window_reach(model, spec->within, clock));
}

/*
 * instant_each_params: the parameters of meaning_each_sql but the first, for
 * contacts at these instants.
 */
void
instant_each_params(const Model *model, const AtomSpec *spec,
					const TimestampTz *clocks, int count, Oid *types,
					Datum *values)
{
	Datum	   *columns[MEANING_PARAMS];
	int			lower[2] = {1, 1};
	int			sizes[2] = {count, spec->periods + 1};
	int			starts = 0;

	for (int i = 0; i < MEANING_PARAMS; i++)
		columns[i] = palloc(mul_size(count, sizeof(Datum)));
	if (spec->kind == ATOM_REGULARLY)
		columns[1] = MemoryContextAllocHuge(CurrentMemoryContext,
											mul_size(mul_size(count, sizes[1]),
													 sizeof(Datum)));
	for (int i = 0; i < count; i++)
	{
		Datum		params[MEANING_PARAMS];

		instant_params(model, spec, clocks[i], types, params);
		columns[0][i] = params[0];
		columns[2][i] = params[2];
		if (spec->kind != ATOM_REGULARLY)
			columns[1][i] = params[1];
		else
		{
			memcpy(&columns[1][starts],
				   ARR_DATA_PTR(DatumGetArrayTypeP(params[1])),
				   sizes[1] * sizeof(Datum));
			starts += sizes[1];
		}
	}
	for (int i = 0; i < MEANING_PARAMS; i++)
	{
		types[i] = TIMESTAMPTZARRAYOID;
		values[i] =
			PointerGetDatum(construct_md_array(columns[i], NULL,
											   i == 1 && starts > 0 ? 2 : 1,
											   sizes, lower, TIMESTAMPTZOID,
											   sizeof(TimestampTz),
											   FLOAT8PASSBYVAL,
											   TYPALIGN_DOUBLE));
	}
}

/*
 * The next instant at which this time passes from one period to another, or
 * back.
 */
static TimestampTz
next_period(const Model *model, const AtomSpec *spec, TimestampTz time,
			TimestampTz clock)
{
	TimestampTz next = NOT_DUE;
	int			low = 1;
	int			high = spec->periods + 1;

	/* which period is it in, counted from now? */
	while (low < high)
	{
		int			middle = (low + high) / 2;
		Interval	age = window_multiple(spec->within, middle);

		if (window_start(model, &age, clock) < time)
			high = middle;
		else
			low = middle + 1;
	}
	for (int period = Max(low - 1, 1); period <= Min(low, spec->periods);
		 period++)
	{
		Interval	age = window_multiple(spec->within, period);

		next = Min(next, window_change(model, &age, time, clock));
	}
	return next;
}

/*
 * instant_of_column: in_last, of a column's value.
 */
AtomValue
instant_of_column(const Model *model, const AtomSpec *spec, Datum value,
				  bool isnull, TimestampTz clock)
{
	AtomValue	result = {.isnull = isnull,.next = NOT_DUE,.arrives = NOT_DUE};
	TimestampTz time;

	if (isnull)
		return result;
	time = window_instant(model, spec->column_type, value);
	if (time > clock)
		result.next = result.arrives = time;
	else
	{
		result.value = BoolGetDatum(time > window_start(model, spec->within,
														clock));
		result.next = instant_turn(model, spec, time, clock);
	}
	return result;
}

/*
 * instant_turn: the first instant, later than the clock, at which what has
 * this time (one of the turns) may change the value; NOT_DUE if it never
 * will.
 */
TimestampTz
instant_turn(const Model *model, const AtomSpec *spec, TimestampTz time,
			 TimestampTz clock)
{
	TimestampTz next;

	if (spec->kind == ATOM_REGULARLY)
		return next_period(model, spec, time, clock);
	next = window_change(model, spec->within, time, clock);
	if (spec->quiet != NULL)
		next = Min(next, window_change(model, spec->quiet, time, clock));
	return next;
}
