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
} Action;

extern ActionArgs *action_compile(Model *model, Rule *rule);
extern char *action_arg(const Rule *rule, const char *name);
extern char *contact_stage(Run *run, Work *work, Role role);
extern bool stage_is_forward(const Stage *from, const Stage *to);
extern CompanyMove *action_find_company(Run *run, Datum company);
extern void action_want_company(Run *run, Datum company, const Stage *stage,
								Reason reason);

#endif							/* LIFECYCLE_RULE_H */
