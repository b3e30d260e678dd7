/*-------------------------------------------------------------------------
 *
 * predicate.h
 *	  Text of a predicate or value expression to an executable expression.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_PREDICATE_H
#define LIFECYCLE_PREDICATE_H

#include "nodes/pg_list.h"
#include "nodes/primnodes.h"
#include "utils/timestamp.h"

struct ScoreSpec;

/* What a text may refer to. */
typedef struct PredicateScope
{
	Oid			contacts;		/* its columns stand bare, or as contact.x */
	Oid			companies;		/* as company.x; InvalidOid if there is none */
	Oid			events;			/* rows that atoms look at; may be InvalidOid */
	Oid			deals;			/* as deal.x, if deal_row; rows that open_deals
								 * counts; may be InvalidOid */
	const char *stage_column;	/* of contacts */
	bool		event_row;		/* event.x may be used: text belongs to a rule
								 * that an event sets off */
	bool		deal_row;		/* deal.x may be used, likewise; never both */
	const char *page_view_event;	/* the event that visited() looks for */
	const char *page_view_path; /* the path, as an expression over events */
	const char *time_zone;		/* literals are read in this zone */
	struct ScoreSpec *(*find_score) (void *arg, const char *name);
	void	   *score_arg;
	bool		in_score;		/* text is of a score's rule: no score() */
} PredicateScope;

typedef enum AtomKind
{
	ATOM_DID,					/* at least `times` such events: boolean */
	ATOM_COUNT,					/* event_count, where no comparison with a
								 * constant made it an ATOM_DID: bigint */
	ATOM_SUM,					/* event_sum, of the value cast to numeric */
	ATOM_MIN,					/* event_min: the value's type */
	ATOM_MAX,
	ATOM_AVG,					/* numeric */
	ATOM_DISTINCT,				/* event_distinct: bigint */
	ATOM_FIRST,					/* event_first: timestamptz */
	ATOM_LAST,					/* event_last: timestamptz */
	ATOM_LATEST,				/* event_latest: the value's type */
	ATOM_TIMES,					/* event_times: timestamptz[] */
	ATOM_DID_FIRST,				/* did_first: boolean, as those that follow */
	ATOM_STOPPED,
	ATOM_RESTARTED,
	ATOM_REGULARLY,
	ATOM_DID_THEN,
	ATOM_IN_LAST,				/* in_last: of a column, not of events */
	ATOM_TIME_IN_STAGE,			/* time_in_stage() >= within, or > within */
	ATOM_OPEN_DEALS,			/* open_deals: bigint, of deals */
	ATOM_SCORE,					/* score: numeric */
	ATOM_SCORE_REACHES,			/* score(name) >= a number: boolean */
	ATOM_IN_SEGMENT				/* in_segment: boolean */
} AtomKind;

/* A part of a predicate that is not a column: one distinct Param. */
typedef struct AtomSpec
{
	AtomKind	kind;
	char	   *event;			/* the event's name; NULL if not of events */
	char	   *second_event;	/* for did_then */
	char	   *segment;		/* for in_segment; for scores the score */
	Expr	   *filter;			/* boolean over an event row (Vars of varno 1,
								 * attribute numbers of scope->events), for
								 * open_deals a deal's, planned by
								 * expression_planner, or NULL */
	Expr	   *second_filter;	/* of second_event */
	Expr	   *value;			/* likewise, for the kinds that have a value */
	int64		times;			/* for did and regularly: 1 and more; for
								 * event_times at most so many, or 0; for
								 * ATOM_SCORE_REACHES billionths of a point */
	Interval   *within;			/* window (clock - within, clock], or NULL; for
								 * did_then from the first to the second, for
								 * stopped and restarted `active`, for
								 * regularly one period */
	Interval   *quiet;			/* for stopped and restarted */
	int			periods;		/* for regularly */
	int			at_least;		/* for regularly: of the periods */
	struct ScoreSpec *score;	/* for scores; lives with the model */
	bool		beyond;			/* for time_in_stage: >, not >= */
	bool		of_company;		/* for in_last: whose column it is */
	char	   *column;			/* for in_last: its name */
	Oid			column_type;	/* timestamptz, timestamp or date */
	Oid			type;			/* the Param's type */
	int32		typmod;
	Oid			collation;
	char	   *definition;		/* canonical text: parses to this very atom, and
								 * equal atoms have equal definitions */
	char	   *filter_sql;		/* filters and value deparsed, with columns */
	char	   *second_filter_sql;	/* qualified by the alias e; NULL if none */
	char	   *value_sql;
} AtomSpec;

/* A compiled text.  Everything lives in the caller's memory context. */
typedef struct Predicate
{
	Expr	   *expr;			/* planned by expression_planner.  Vars: contact
								 * varno 1, company OUTER_VAR, event or deal
								 * INNER_VAR; Param (PARAM_EXTERN) number i is
								 * the i-th of atoms, counted from 1 */
	Oid			type;
	List	   *atoms;			/* of AtomSpec *, in order of first use */
	Bitmapset  *contact_columns;	/* attribute numbers used, no offset (never
									 * system columns) */
	Bitmapset  *company_columns;
} Predicate;

extern Predicate *predicate_compile(const PredicateScope *scope,
									const char *text, bool must_be_boolean);
extern AtomSpec *predicate_compile_atom(const PredicateScope *scope,
										const char *definition);
extern AtomSpec *predicate_compile_events(const PredicateScope *scope,
										  const char *event,
										  const char *filter, bool times,
										  int64 at_most, int64 within);

/* Nearest of the given names to a misspelt one, or NULL if none is near. */
extern const char *nearest_name(const char *wrong, List *names);

#endif							/* LIFECYCLE_PREDICATE_H */
