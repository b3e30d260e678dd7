/*-------------------------------------------------------------------------
 *
 * analysis.h
 *	  Raw parse tree of a predicate, filter or value to a checked expression.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_ANALYSIS_H
#define LIFECYCLE_ANALYSIS_H

#include "syntax.h"

/* The compilation of one text, with the filters and values in it. */
typedef struct Compiler
{
	const PredicateScope *scope;
	bool		canonical;		/* filters are known to be canonical */
	List	   *atoms;			/* of AtomSpec *, by first use */
	List	   *hashes;			/* of their definitions, as integers */
	List	   *numbers;		/* atom number of each use, as integers */
} Compiler;

extern ParseState *analysis_of_contact(Compiler *compiler, const char *text);
extern ParseState *analysis_of_row(Compiler *compiler,
								   const VocabularyWord *word,
								   const char *text);
extern Oid	analysis_table(Compiler *compiler, const VocabularyWord *word);
extern List *analysis_tables(const ParseState *pstate);
extern Node *analysis_run(Syntax *syntax, Node *raw, Oid target,
						  const char *argument);

#endif							/* LIFECYCLE_ANALYSIS_H */
