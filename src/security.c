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
 * An error leaves a span open on purpose: (sub)transaction abort restores
 * the role and the context.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "miscadmin.h"

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
