/*-------------------------------------------------------------------------
 *
 * comparison.h
 *	  Comparisons that become conditions the engine can keep.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_COMPARISON_H
#define LIFECYCLE_COMPARISON_H

#include "syntax.h"

extern Node *comparison_rewrite(Syntax *syntax, A_Expr *expr);

#endif							/* LIFECYCLE_COMPARISON_H */
