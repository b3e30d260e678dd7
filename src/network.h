/*-------------------------------------------------------------------------
 *
 * network.h
 *	  The compiled model: which event touches which atom, which atom and
 *	  column decide which segment, and which rules follow.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_NETWORK_H
#define LIFECYCLE_NETWORK_H

#include "lib/stringinfo.h"
#include "nodes/execnodes.h"
#include "utils/jsonb.h"

#include "model.h"
#include "predicate.h"

/* How an atom's value is had when an event arrives. */
typedef enum AtomMethod
{
	METHOD_COUNT,				/* a count kept in the state, up to `times` */
	METHOD_TOTAL,				/* a number or sum kept in the state, without
								 * limit */
	METHOD_WINDOW,				/* true until a due time; looked up when false
								 * or due */
	METHOD_SCAN,				/* computed from the contact's events, deals or
								 * history */
	METHOD_COLUMN,				/* computed from a column of its row, or its
								 * company's */
	METHOD_SCORE,				/* computed from other atoms, see score.c */
	METHOD_SEGMENT,				/* membership of another segment */
	METHOD_BROKEN				/* its text does not compile any more */
} AtomMethod;

typedef struct Atom
{
	int			id;				/* 0: of a rule only, not kept in the state */
	AtomSpec   *spec;			/* NULL if METHOD_BROKEN */
	AtomMethod	method;
	bool		filters_compiled;	/* filters and value are set, if it has any */
	ExprState  *filter;			/* over an event row in the scan slot */
	ExprState  *second_filter;	/* likewise, for did_then */
	bool		cannot_raise;	/* neither filter can */
	ExprState  *value;			/* METHOD_TOTAL: what an event adds, likewise;
								 * NULL: it counts */
	bool		value_cannot_raise;
	bool		key_decides;	/* the filter asks for no more than its key */
	bool		user_functions; /* in filter or value: the path must be pinned */
	AttrNumber	column;			/* METHOD_COLUMN */
	SPIPlanPtr	plan;			/* see atom.c */
	SPIPlanPtr	each_plan;		/* likewise */
	int			nsegments;		/* the segments that use it */
	int		   *segments;
	int			segment_id;		/* METHOD_SEGMENT: which one */
} Atom;

/* A compiled text and its atoms, ready to be evaluated. */
typedef struct Expression
{
	Predicate  *predicate;
	ExprState  *state;
	bool		user_functions; /* the path must be pinned */
	int			natoms;
	Atom	  **atoms;			/* by Param number - 1; those of scores follow */
	struct ScoreParts **scores; /* by atom, NULL if it is no score; or NULL */
	ParamListInfo params;
} Expression;

/* The rules that entering or leaving a segment sets off. */
typedef struct SegmentRules
{
	bool		loaded;
	List	   *rules;			/* of Rule *, in order of position */
} SegmentRules;

typedef struct Segment
{
	int			id;
	char	   *name;
	char	   *text;
	int			rank;
	int			natoms;
	int		   *atom_ids;
	char	   *column;			/* of contacts: no segment, but a score that is
								 * written there; NULL for segments */
	SPIPlanPtr	plan;			/* that writes it */
	Expression *expression;		/* NULL before its first use */
	bool		dependents_loaded;
	List	   *dependents;		/* ids of segments that name this one */
	SegmentRules entered;
	SegmentRules left;
} Segment;

typedef enum RuleEvent
{
	ON_EVENT,
	ON_SEGMENT_ENTERED,
	ON_SEGMENT_LEFT,
	ON_STAGE_ENTERED,
	ON_DEAL_CREATED,
	ON_DEAL_WON,
	ON_DEAL_LOST,
	ON_DEAL_STAGE_ENTERED
} RuleEvent;

#define RULE_EVENTS (ON_DEAL_STAGE_ENTERED + 1)

typedef enum ActionKind
{
	ACTION_ADVANCE_STAGE,
	ACTION_SET_STAGE,
	ACTION_SET_LEAD_STATUS,
	ACTION_CREATE_DEAL,
	ACTION_SET_FIELD,
	ACTION_COPY_TO_COMPANY,
	ACTION_NOTIFY,
	ACTION_CREATE_TASK,
	ACTION_ASSIGN_OWNER
} ActionKind;

#define ACTION_KINDS (ACTION_ASSIGN_OWNER + 1)

typedef struct Rule
{
	int			id;
	int			position;
	char	   *name;
	RuleEvent	on;
	ActionKind	action;
	char	   *condition_text; /* NULL: always */
	Jsonb	   *args;
	bool		compiled;
	Expression *condition;
	void	   *compiled_args;	/* action.c's */
	SPIPlanPtr	plan;			/* action.c's, for what depends on args */
} Rule;

/* The atoms of a key that have the same value, see event.c. */
typedef struct KeyedAtoms
{
	const char *value;			/* hash key, with length */
	int			length;
	int			natoms;
	int		   *ids;
	Atom	  **atoms;			/* NULL: not loaded */
} KeyedAtoms;

/* The atoms of one event name whose filters compare the same expressions. */
typedef struct AtomKey
{
	const char *event;
	char	   *text;
	int			count;			/* 0: it can't be used, look at all atoms */
	ExprState **expr;			/* over an event row in the scan slot */
	Oid		   *type;
	bool		cannot_raise;
	bool		user_functions; /* the path must be pinned */
	HTAB	   *values;			/* KeyedAtoms by value */
	int			misses;			/* look-ups that were not in it */
	bool		complete;		/* all values are in it */
	int			natoms;
	Atom	  **atoms;			/* all of them; NULL: not loaded */
} AtomKey;

/* What the model knows about one event name. */
typedef struct EventEntry
{
	const char *name;			/* hash key, with length */
	int			length;
	int			natoms;			/* those without a key */
	Atom	  **atoms;
	int			nkeys;
	AtomKey    *keys;
	List	   *rules;			/* of Rule *, in order of position */
	bool		keeps_row;		/* a rule may look at the event's row */
} EventEntry;

/* event.c: atoms and rules by the name of an event */
extern struct EventIndex *event_create(MemoryContext context);
extern EventEntry *event_find(Model *model, const char *name, int length);
extern EventEntry *event_of_row(Model *model, TupleTableSlot *slot, bool load);
extern bool event_key_value(const AtomKey *key, ExprContext *econtext,
							StringInfo value);
extern KeyedAtoms *event_keyed_atoms(Model *model, AtomKey *key,
									 const char *value, int length);
extern bool event_known_atoms(const AtomKey *key, const char *value, int length,
							  KeyedAtoms **atoms);
extern Atom **event_atoms_of_key(Model *model, AtomKey *key, int *count);

extern Network *network_create(Model *model);
extern void network_free(Network *network);

extern struct EventIndex *network_events(Model *model);
extern uint64 network_query(Model *model, PlanId id, const char *sql,
							int nargs, const Oid *types, Datum *values);
extern int *network_int_array(int row, int column, int *count);
extern Atom **network_enter_atoms(Model *model, uint64 rows);
extern Atom **network_deal_atoms(Model *model, int *count);
extern Atom *network_atom(Model *model, int id);
extern Segment *network_segment(Model *model, int id);
extern void network_load_segments(Model *model, const int *ids, int count);
extern void network_compile_segment(Model *model, Segment *segment);
extern void network_keep_atom(Model *model, Atom *atom);
extern Expression *network_compile(Model *model, const char *text,
								   bool predicate, bool event_row,
								   bool deal_row);
extern Expression *network_compile_once(Model *model, const char *text);
extern void network_forget(Expression *expression);
extern List *network_dependents(Model *model, Segment *segment);
extern List *network_segments_by_columns(Model *model, Bitmapset *contact,
										 Bitmapset *company);
extern Bitmapset *network_columns(Model *model, TableKind kind);
extern List *network_all_segments(Model *model);
extern int	network_segment_id(Model *model, const char *name);
extern List *network_rules(Model *model, RuleEvent on, const char *of);
extern List *network_segment_rules(Model *model, Segment *segment,
								   bool entered);
extern Atom *compile_stored_atom(Model *model, int id, const char *definition);
extern void compile_filters(Model *model, Atom *atom);
extern AtomMethod network_method(const AtomSpec *spec);
extern Expression *compile_expression(Model *model, Predicate *predicate,
									  Atom **atoms);
extern int	network_max_atom(Model *model);
extern List **network_scores(Model *model);
extern MemoryContext network_context(Model *model);

#endif							/* LIFECYCLE_NETWORK_H */
