/*-------------------------------------------------------------------------
 *
 * transition.h
 *	  What the triggers have in common: protocol and transition tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_TRANSITION_H
#define LIFECYCLE_TRANSITION_H

#include "commands/trigger.h"
#include "executor/tuptable.h"

#include "model.h"
#include "run.h"

/* Rows of a transition table, in the form of the attached table. */
typedef struct Transition
{
	Tuplestorestate *store;
	int			pointer;		/* our own read pointer */
	TupleTableSlot *slot;
	TupleTableSlot *converted;	/* NULL unless rows are of a partition */
	TupleConversionMap *map;
} Transition;

extern TriggerData *trigger_check_statement(FunctionCallInfo fcinfo,
											const char *function,
											TriggerEvent event);
extern TriggerData *trigger_check_row(FunctionCallInfo fcinfo,
									  const char *function);
extern Transition *transition_begin(TriggerData *trigdata,
									Tuplestorestate *store,
									Model *model, TableKind kind,
									TupleConversionMap *map);
extern TupleTableSlot *transition_next(Transition *transition);
extern int64 transition_count(const Transition *transition);
extern void transition_rewind(Transition *transition);
extern void transition_end(Transition *transition);
extern char *slot_text(TupleTableSlot *slot, const Column *column);
extern Datum slot_key(TupleTableSlot *slot, const Column *column,
					  KeyType *key, bool *isnull);
extern Datum key_from_column(const Column *column, KeyType *key, Datum value);
extern char *key_column_text(const Column *column, Datum value);

#endif							/* LIFECYCLE_TRANSITION_H */
