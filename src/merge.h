/*-------------------------------------------------------------------------
 *
 * merge.h
 *	  Giving what is one person's to another.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_MERGE_H
#define LIFECYCLE_MERGE_H

#include "api.h"
#include "identity.h"

/* Two contacts, locked, and the run in which one becomes the other. */
typedef struct Merge
{
	Model	   *model;
	Run		   *run;
	Datum		from;
	Datum		into;
	char	   *from_text;
	char	   *into_text;
	Datum		from_row;		/* jsonb; null before it is read */
	Datum		into_row;
	char	   *from_stage;
	char	   *into_stage;
	const char *reason;			/* or NULL */

	/* What moved, as the table contact_merge keeps it. */
	bool		no_event_keys;
	Datum		events;			/* text[] */
	uint64		nevents;
	Datum		deals;
	char	   *closed_deals;	/* jsonb */
	Datum		deal_contacts;	/* text[]: keys of deals */
	Datum		deal_contact_rows;	/* jsonb */
	Datum		tasks;
	Datum		ids;
	bool		made_contact;
	Datum		filled;			/* jsonb */
	const char *stage_after;	/* or NULL */
} Merge;

extern void merge_check_rights(Model *model);
extern void merge_settle(Model *model, Datum *contacts, int count,
						 const char *id);
extern uint64 merge_own(Model *model, const char *sql, int nargs,
						const Oid *types, Datum *values, const char *nulls);
extern Run *merge_start(Model *model, const char *reason);
extern bool merge_has_tasks(Model *model);
extern Datum merge_value(uint64 row, int column);
extern Datum merge_texts(void);
extern int64 merge_contacts(Merge *merge);
extern void merge_lock(Merge *merge);
extern void merge_no_contact(Merge *merge, Datum contact,
							 const char *text);
extern void merge_move_deal_contacts(Merge *merge);
extern void merge_return_deal_contacts(Merge *merge);
extern void merge_columns(Merge *merge, const char *sql, Datum *values,
						  int nvalues, const Oid *types);

#endif							/* LIFECYCLE_MERGE_H */
