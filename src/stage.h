/*-------------------------------------------------------------------------
 *
 * stage.h
 *	  Stages and lead statuses: names, order, and the statement that moves.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_STAGE_H
#define LIFECYCLE_STAGE_H

#include "model.h"

extern const Stage *stage_find(const StageList *list, const char *name);
extern const Stage *stage_check(const Model *model, const StageList *list,
								const char *name);
extern bool stage_is_forward(const Stage *from, const Stage *to);
extern SPIPlanPtr stage_move_plan(Model *model, TableKind kind, PlanId id,
								  const KeyType *key);

#endif							/* LIFECYCLE_STAGE_H */
