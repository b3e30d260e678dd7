/*-------------------------------------------------------------------------
 *
 * api.h
 *	  Arguments and rights of the functions about one contact.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_API_H
#define LIFECYCLE_API_H

#include "model.h"

extern Datum key_argument(FunctionCallInfo fcinfo, int number, KeyType *key,
						  const char *what, char **key_text);
extern void check_may_read(Model *model);

#endif							/* LIFECYCLE_API_H */
