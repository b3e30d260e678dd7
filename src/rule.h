/*-------------------------------------------------------------------------
 *
 * rule.h
 *	  What rules want done.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_RULE_H
#define LIFECYCLE_RULE_H

#include "run.h"
#include "stage.h"

/* The expressions of an action's args that are evaluated when it fires. */
typedef struct NamedExpression
{
	char	   *name;			/* argument, or key of the payload */
	Expression *expression;
} NamedExpression;

/* A rule's args, resolved; in the network's context. */
typedef struct ActionArgs
{
	const Stage *stage;			/* advance stage, set stage */
	const Stage *status;		/* set lead status */
	const DealStage *deal_stage;	/* create deal */
	char	   *column;			/* set field */
	char	   *column_type;
	List	   *columns;		/* copy to company: pairs of names, company's
								 * then contact's */
	char	   *type;			/* notify */
	char	   *channel;
	bool		round_robin;	/* if the owner expression gives none */
	char	   *due;			/* create task: an interval, or NULL */
	char	   *until;
	char	   *becomes;
	List	   *expressions;	/* of NamedExpression * */
} ActionArgs;

/* An action that fired: what is to be written for it. */
typedef struct Action
{
	Rule	   *rule;
	Work	   *work;
	EventRef   *event;
	DealChange *deal;
	char	  **texts;			/* values of args->expressions, as text */
	char	   *owner;			/* see owner.c */
	const char *cause;			/* as in the histories */
} Action;

/* Rows for an application table, and which rule wants each of them. */
typedef struct Write
{
	Run		   *run;
	Bulk	   *rows;
	SPIPlanPtr	plan;
	Oid			owner;
	const char **rules;			/* a row; may be NULL */
	int			first;
	int			count;
} Write;

/* args.c */
extern ActionArgs *action_compile(Model *model, Rule *rule);

/* action.c */
extern void action_write_all(Write *write, KeyType *key);
extern char *action_text(const Action *action, const char *name);
extern char *action_row_text(const Model *model, TableKind kind,
							 HeapTuple row, AttrNumber attno);
extern char *contact_stage(Run *run, Work *work, Role role);

/* owner.c */
extern void owner_assign(Run *run);
extern void owner_write(Run *run);

/* task.c */
extern void task_create(Run *run);

/* company.c */
extern void company_want(Run *run, Datum company, const Stage *stage,
						 Reason reason);
extern CompanyMove *company_find_move(Run *run, Datum company);
extern uint64 company_read(Run *run, Datum *keys, int count, bool lock);
extern void company_move_all(Run *run);
extern void company_roll_up(Run *run, List *stage_changes);
extern bool rule_is_further(const Stage *stage, const Stage *than);

#endif							/* LIFECYCLE_RULE_H */
