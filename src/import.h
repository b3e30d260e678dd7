/*-------------------------------------------------------------------------
 *
 * import.h
 *	  How a transaction's rows are taken in: fire, silent, defer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_IMPORT_H
#define LIFECYCLE_IMPORT_H

#include "transition.h"

typedef enum ImportMode
{
	IMPORT_FIRE,				/* as always */
	IMPORT_SILENT,				/* rules move stages and statuses only */
	IMPORT_DEFER				/* events are taken in later */
} ImportMode;

extern void import_init(void);
extern ImportMode import_mode(void);
extern void import_defer(Model *model, TriggerData *trigdata,
						 TupleConversionMap *map);
extern int64 import_replay(Model *model, bool everybody, TimestampTz until);
extern void import_take(Model *model, int64 limit, Tally *tally);

#endif							/* LIFECYCLE_IMPORT_H */
