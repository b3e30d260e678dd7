/*-------------------------------------------------------------------------
 *
 * score.h
 *	  Scores of contacts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_SCORE_H
#define LIFECYCLE_SCORE_H

#include "points.h"
#include "run.h"

/* What the rules of a score are, among the atoms of one expression. */
typedef struct ScoreParts
{
	ScoreSpec  *spec;
	Atom	  **atoms;			/* by rule; NULL if it has a condition */
	Expression **conditions;	/* by rule; NULL if it is about events */
} ScoreParts;

extern ScoreSpec *score_find(void *arg, const char *name);
extern Expression *score_expression(Model *model, const char *name);
extern ScoreParts **score_bind_all(Model *model, Expression *expression);
extern PointsInput *score_inputs(Run *run, Work *work,
								 const ScoreParts *parts);
extern AtomValue score_value(Run *run, Work *work, const Atom *atom,
							 const ScoreParts *parts);
extern void score_compare(Run *run, Work *work, Segment *score,
						  Datum points);
extern char *score_column_text(Run *run, Work *work, Segment *score);
extern void score_write(Run *run);
extern Numeric score_numeric(const ScoreSpec *spec, int64 total);

#endif							/* LIFECYCLE_SCORE_H */
