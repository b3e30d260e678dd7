/*-------------------------------------------------------------------------
 *
 * prepare.h
 *	  Which contacts a round is about, and the right to decide about them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_PREPARE_H
#define LIFECYCLE_PREPARE_H

#include "run.h"

extern void prepare_gather(Run *run, List *hits, List *changes);
extern Work *prepare_append_work(Run *run, Datum contact);
extern void prepare_sort(Run *run);
extern void prepare_add_contacts(Run *run, Datum *contacts, int count);
extern void prepare_drop_settled(Run *run);
extern void prepare_exclude_shortcuts(Run *run);
extern void prepare_lock_contacts(Run *run);
extern void prepare_read_companies(Run *run);

#endif							/* LIFECYCLE_PREPARE_H */
