/*-------------------------------------------------------------------------
 *
 * refresh.h
 *	  Segments of all contacts at once, from the events.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_REFRESH_H
#define LIFECYCLE_REFRESH_H

#include "run.h"

extern void refresh_take_in(Model *model, List *segments);
extern bool refresh_is_member(Model *model, Datum contact, const char *text,
							  int segment);
extern int64 refresh_at(Model *model, TimestampTz clock, bool rewind,
						Tally *tally);

#endif							/* LIFECYCLE_REFRESH_H */
