/*-------------------------------------------------------------------------
 *
 * registry.h
 *	  Reading a model from the registry and its configuration.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_REGISTRY_H
#define LIFECYCLE_REGISTRY_H

#include "model.h"

extern Model *registry_read(const char *name, Oid relid, Oid *relids);
extern void registry_tables(const char *name, Oid *relids);
extern List *registry_names(void);

#endif							/* LIFECYCLE_REGISTRY_H */
