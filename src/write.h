/*-------------------------------------------------------------------------
 *
 * write.h
 *	  Rows in bulk into the model's own tables, without a plan.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_WRITE_H
#define LIFECYCLE_WRITE_H

#include "storage/itemptr.h"

extern bool write_insert(Oid relid, const Bulk *rows);
extern bool write_update(Oid relid, const Bulk *rows,
						 ItemPointerData *address);
extern bool write_take(Oid relid, Oid indexid, const Bulk *keys, Bulk *taken,
					   bool *found);

#endif							/* LIFECYCLE_WRITE_H */
