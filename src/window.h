/*-------------------------------------------------------------------------
 *
 * window.h
 *	  Windows over time: where they start, and when that matters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_WINDOW_H
#define LIFECYCLE_WINDOW_H

#include "model.h"

extern TimestampTz window_instant(const Model *model, Oid type, Datum value);
extern Interval window_multiple(const Interval *within, int times);
extern bool window_is_even(const Model *model, const Interval *within);
extern TimestampTz window_start(const Model *model, const Interval *within,
								TimestampTz clock);
extern TimestampTz window_reach(const Model *model, const Interval *within,
								TimestampTz clock);
extern TimestampTz window_change(const Model *model, const Interval *within,
								 TimestampTz time, TimestampTz clock);

#endif							/* LIFECYCLE_WINDOW_H */
