/*-------------------------------------------------------------------------
 *
 * member.h
 *	  Who is in which segment: memberships written down.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_MEMBER_H
#define LIFECYCLE_MEMBER_H

#include "run.h"

extern void member_record(Run *run);
extern void member_write(Run *run);
extern void member_forget(Model *model, Datum contacts, TimestampTz at,
						  const char *cause);
extern void member_forget_all(Model *model);
extern void member_rebuild(Model *model);
extern void member_erase(Model *model, Datum contacts);

#endif							/* LIFECYCLE_MEMBER_H */
