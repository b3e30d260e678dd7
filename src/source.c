/*-------------------------------------------------------------------------
 *
 * source.c
 *	  Whose text is being compiled: the settings by which it is read, and where
 *	  an error points.
 *
 * Nothing is allocated.  Settings go back, and the context of errors ends, with
 * the (sub)transaction if an error is raised.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/guc.h"

#include "source.h"

/*
 * source_pin_settings: pin what changes the meaning of a text or the form of a
 * deparsed one.  Returns the level to hand to AtEOXact_GUC; an error restores
 * by itself.
 */
int
source_pin_settings(const PredicateScope *scope)
{
	static const char *const pinned[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"DateStyle", "ISO, MDY"},
		{"IntervalStyle", "postgres"},
		{"standard_conforming_strings", "on"},
		{"backslash_quote", "safe_encoding"},
		{"transform_null_equals", "off"},
		{"array_nulls", "on"},
		{"quote_all_identifiers", "off"},
		{"extra_float_digits", "1"},
		{"bytea_output", "hex"},
	};
	int			level = NewGUCNestLevel();

	for (int i = 0; i < (int) lengthof(pinned); i++)
		(void) set_config_option(pinned[i][0], pinned[i][1],
								 PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("TimeZone", scope->time_zone,
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/*
 * A position that the parser reports is one in our text, not in the query
 * that the client sent.  An inner text's position stays as it is.
 */
static void
source_error(void *arg)
{
	SourceText *source = (SourceText *) arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(source->text);
	}
	else if (getinternalerrposition() == 0)
		internalerrquery(source->text);

	if (source->origin)
		errcontext("%s", source->origin);
}

/*
 * source_push: errors from now on are about this text, which comes from
 * `origin` if that is not NULL.  The struct is the caller's, until source_pop.
 */
void
source_push(SourceText *source, const char *text, const char *origin)
{
	source->text = text;
	source->origin = origin;
	source->callback.callback = source_error;
	source->callback.arg = source;
	source->callback.previous = error_context_stack;
	error_context_stack = &source->callback;
}

/*
 * source_pop: and no more.
 */
void
source_pop(SourceText *source)
{
	error_context_stack = source->callback.previous;
}
