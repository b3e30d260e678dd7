/*-------------------------------------------------------------------------
 *
 * security.c
 *	  Whose rights the engine works with.
 *
 * Whoever inserts an event needs INSERT on events and nothing else, so the
 * engine changes role.  There are two kinds of span.  A reading span is for
 * predicates: expressions of the model's owner run as the owner of the table
 * that they look at, and may not do what a security-restricted operation may
 * not do.  A writing span is for our own statements; triggers of the user's
 * may fire in it and need all that triggers can do.  Row security does not
 * apply to the owner in either (NOFORCE_RLS), as in ri_triggers.c.
 *
 * Functions of the user's in an expression must not find what the caller has
 * put into the search path: it is pinned while they run (path_pin).  Built-in
 * functions do not care, and most expressions have no others.
 *
 * An error leaves a span open on purpose: (sub)transaction abort restores
 * the role, the context and the path.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

static void
span_start(UserSpan *span, Oid owner, int flags)
{
	GetUserIdAndSecContext(&span->user, &span->context);
	SetUserIdAndSecContext(owner,
						   span->context | flags | SECURITY_NOFORCE_RLS);
}

/*
 * span_read: evaluate expressions as owner, until span_end.
 */
void
span_read(UserSpan *span, Oid owner)
{
	span_start(span, owner, SECURITY_RESTRICTED_OPERATION);
}

/*
 * span_write: run statements of the engine as owner, until span_end.
 */
void
span_write(UserSpan *span, Oid owner)
{
	span_start(span, owner, SECURITY_LOCAL_USERID_CHANGE);
}

void
span_end(const UserSpan *span)
{
	SetUserIdAndSecContext(span->user, span->context);
}

/*
 * path_pin, path_unpin: bracket what may call functions of the user's.
 */
int
path_pin(void)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	return level;
}

void
path_unpin(int level)
{
	AtEOXact_GUC(true, level);
}

/*
 * text_argument: a text argument of a function, which must not be null.
 */
char *
text_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(number));
}
