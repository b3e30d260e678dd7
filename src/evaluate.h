/*-------------------------------------------------------------------------
 *
 * evaluate.h
 *	  Expressions of one contact at one instant.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_EVALUATE_H
#define LIFECYCLE_EVALUATE_H

#include "nodes/params.h"

#include "run.h"

extern ParamListInfo evaluate_make_params(int count);
extern void evaluate_end(Run *run);
extern void evaluate_rows(Run *run, Work *work);
extern void evaluate_inner_row(Run *run, Oid relid, HeapTuple row);
extern AtomValue evaluate_atom(Run *run, Work *work, Atom *atom);
extern Datum evaluate_expression(Run *run, Work *work, Expression *expression,
								 bool *isnull);
extern AtomValue evaluate_atom(Run *run, Work *work, Atom *atom);
extern AtomValue evaluate_number(Run *run, Work *work, Expression *expression,
								 int number);
extern bool evaluate_condition(Run *run, Work *work, Expression *expression);
extern bool evaluate_holds(Run *run, Work *work, Expression *expression,
						   bool may_fail);
extern void evaluate_scan(Run *run, Atom *atom, Work **works, int count,
						  AtomValue *values);
extern void evaluate_store(Run *run, Work *work, Atom *atom,
						   AtomValue value);
extern bool evaluate_needs_scan(Run *run, Work *work, Atom *atom);
extern void evaluate_works(Run *run);

#endif							/* LIFECYCLE_EVALUATE_H */
