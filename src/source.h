/*-------------------------------------------------------------------------
 *
 * source.h
 *	  Whose text is being compiled.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_SOURCE_H
#define LIFECYCLE_SOURCE_H

#include "predicate.h"

/* The text that is being compiled, for error messages. */
typedef struct SourceText
{
	const char *text;
	const char *origin;			/* where it comes from, if not the caller */
	ErrorContextCallback callback;
} SourceText;

extern int	source_pin_settings(const PredicateScope *scope);
extern void source_push(SourceText *source, const char *text,
						const char *origin);
extern void source_pop(SourceText *source);

#endif							/* LIFECYCLE_SOURCE_H */
