/*-------------------------------------------------------------------------
 *
 * syntax.h
 *	  What may stand in a predicate, and what its functions turn into.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_SYNTAX_H
#define LIFECYCLE_SYNTAX_H

#include "vocabulary.h"

#define SYNTAX_CLOCK_HINT \
	"Give an event function a window, as in " \
	"did('Signed Up', within => '7 days'). For a column, " \
	"write in_last(column, '7 days')."

/* An atom as the text uses it; a ParamRef with its number stands for it. */
typedef struct AtomUse
{
	VocabularyCall *call;		/* several uses may share one */
	AtomKind	kind;
	int64		times;			/* for ATOM_DID and ATOM_SCORE_REACHES */
} AtomUse;

typedef struct Syntax
{
	const PredicateScope *scope;
	ParseState *pstate;			/* its p_sourcetext is the text */
	const VocabularyWord *inside;	/* the event function whose filter or value
									 * this is; NULL for a predicate */
	List	   *calls;			/* out: of VocabularyCall *, in text order */
	List	   *uses;			/* out: of AtomUse *, in text order */
	List	   *moving;			/* out: locations of literals such as 'today' */
} Syntax;

extern Node *syntax_parse(ParseState *pstate);
extern Node *syntax_rewrite(Syntax *syntax, Node *node);
extern VocabularyCall *syntax_read_call(Syntax *syntax, FuncCall *call);
extern Node *syntax_use_atom(Syntax *syntax, VocabularyCall *call,
							 AtomKind kind, int64 times);

#endif							/* LIFECYCLE_SYNTAX_H */
