/*-------------------------------------------------------------------------
 *
 * run.h
 *	  One run of the engine: what a statement changed, and what follows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_RUN_H
#define LIFECYCLE_RUN_H

#include "nodes/execnodes.h"
#include "utils/numeric.h"

#include "atom.h"
#include "network.h"
#include "state.h"

/* An event row that set something off. */
typedef struct EventRef
{
	EventEntry *entry;
	TimestampTz time;
	Datum		key;			/* the event's own key */
	bool		key_null;		/* it has none */
	HeapTuple	row;			/* in the form of the events table, if a rule may
								 * look at it; else NULL */
} EventRef;

/*
 * An event that atoms match, or whose name has rules.  There is one of an
 * event, however many atoms it matches: where all of its name do, which is
 * what an atom without filter always does, it points to the network's array.
 * A deal that atoms look at is one of no event.
 */
typedef struct Hit
{
	Datum		contact;
	int			natoms;
	Atom	  **atoms;
	Numeric    *amounts;		/* one for each of the atoms that add values up
								 * (total.c), NULL where the event has none;
								 * NULL if there are none, or if dirty */
	bool		rules;			/* rules may fire */
	bool		dirty;			/* the atoms must be computed anew */
	bool		counted;		/* counts may have it in already */
	TimestampTz time;
	EventRef   *event;			/* NULL: a deal */
	SubTransactionId subid;		/* in which it was collected */
} Hit;

typedef enum ContactChangeKind
{
	CONTACT_INSERTED,
	CONTACT_UPDATED,
	CONTACT_DUE,				/* by lifecycle_tick */
	CONTACT_DEFERRED,			/* everything is to be computed anew, because
								 * its events were not looked at */
	CONTACT_REBUILT				/* everything is to be computed anew */
} ContactChangeKind;

typedef struct ContactChange
{
	Datum		contact;
	ContactChangeKind kind;
	bool		again;			/* CONTACT_DUE: not for the first time in a tick */
	TimestampTz instant;		/* CONTACT_DEFERRED in a replay: as of when */
	Bitmapset  *columns;		/* of the contact that changed */
	Bitmapset  *company_columns;	/* of its company */
	List	   *values;			/* of WorkValue *: atoms that the caller computed */
	SubTransactionId subid;
} ContactChange;

/* Why something is moved; cause NULL: for the reason of the run. */
typedef struct Reason
{
	const char *cause;
	const char *rule;
	const char *text;
	EventRef   *event;
} Reason;

/* A contact or company whose stage or lead status changed. */
typedef struct StageChange
{
	TableKind	object;			/* CONTACTS or COMPANIES */
	Datum		key;
	Datum		company;		/* of a contact; valid unless company_null */
	bool		company_null;
	Datum		from_company;	/* that it left, if it did */
	bool		left;
	bool		comes;			/* it is new, or new to its company */
	bool		deleted;
	char	   *from_stage;
	char	   *to_stage;
	char	   *from_status;
	char	   *to_status;
	Reason		reason;			/* of both, unless they have their own */
	Reason		stage_reason;
	Reason		status_reason;
	SubTransactionId subid;
} StageChange;

/* A deal that was created, changed or deleted. */
typedef struct DealChange
{
	Datum		deal;
	Datum		contact;
	bool		contact_null;
	Datum	   *others;			/* its further contacts */
	int			nothers;
	bool		joined;			/* nothing happened to the deal, but `contact`
								 * became one of its further contacts */
	Datum		company;
	bool		company_null;
	char	   *pipeline;		/* the model's first if deals have no column */
	char	   *from_pipeline;	/* NULL: created */
	char	   *from_stage;		/* NULL: created */
	char	   *to_stage;		/* NULL: deleted */
	DealKind	from_kind;
	DealKind	to_kind;
	char	   *amount;
	bool		amount_unreadable;	/* there is one, but it is no number */
	char	   *owner;			/* also one that rules of this round assign */
	Reason		reason;
	HeapTuple	row;			/* in the form of the deals table */
	SubTransactionId subid;
} DealChange;

/* A segment entered or left. */
typedef struct MemberChange
{
	Segment    *segment;
	bool		entered;
} MemberChange;

/* A score that is not what its column says. */
typedef struct ScoreChange
{
	Segment    *score;
	Numeric		points;
} ScoreChange;

/* A value that was computed for this contact in this round. */
typedef struct WorkValue
{
	Atom	   *atom;
	AtomValue	value;
} WorkValue;

/* One contact in one round. */
typedef struct Work
{
	Datum		contact;
	ContactChange *change;		/* the strongest of its changes, or NULL */
	bool		no_contact;		/* a deal without contact: rules only */
	List	   *hits;			/* of Hit * */
	Bitmapset  *columns;
	Bitmapset  *company_columns;
	bool		found;			/* the contact exists */
	bool		touched;		/* state must be read and segments evaluated */
	bool		state_changed;
	bool		evaluated;
	bool		had_state;		/* a row exists in contact_state */
	bool		written;		/* we inserted that row, orphan or not */
	bool		may_end_windows;	/* windows that are due may become false,
									 * see decide.c */
	bool		stepped;		/* it has a clock of its own */
	TimestampTz clock;			/* which is this */
	bool		follows;		/* its company's stage, see company.c */
	HeapTuple	row;			/* contact */
	HeapTuple	old_row;		/* as it was before the statement, see step.c;
								 * or NULL */
	HeapTuple	company_row;	/* its company, or NULL */
	Datum		company;
	bool		company_null;
	StateRow   *seen;			/* its state before it was locked, or NULL */
	StateRow   *state;
	List	   *segments;		/* ids to evaluate */
	Bitmapset  *segment_set;	/* the same, while changes are applied */
	List	   *values;			/* of WorkValue * */
	List	   *changes;		/* of MemberChange * */
	List	   *scores;			/* of ScoreChange * */

	/* What rules want, see rule.c. */
	struct Action *deal_action; /* the deal that is being opened */
	const Stage *stage;
	bool		stage_forced;	/* may go backward */
	Reason		stage_reason;
	const Stage *status;
	Reason		status_reason;
} Work;

/* A company that is to move. */
typedef struct CompanyMove
{
	Datum		company;
	const Stage *stage;
	bool		exact;			/* may go backward */
	Reason		reason;
} CompanyMove;

/* What runs did. */
typedef struct Tally
{
	int64		contacts;		/* looked at */
	int64		entered;		/* memberships */
	int64		left;
	int64		stages;			/* moved */
	int64		deals;			/* opened */
} Tally;

/* A run that steps contacts through instants, see step.c. */
typedef struct Steps Steps;

typedef struct Run
{
	Model	   *model;
	MemoryContext context;		/* of the run */
	MemoryContext round_context;	/* of the contacts in work; reset after each
									 * round */
	struct Run *outer;
	SubTransactionId subid;		/* in which it was started */
	TimestampTz clock;
	bool		clock_given;	/* by lifecycle_tick */
	Steps	   *steps;			/* contacts have clocks of their own, or NULL */
	CommandId	command;		/* of the statement that the run is about */
	int			statement_on;	/* the TableKind that it changes, or -1 */
	bool		rewind;			/* states of a later clock go back to this one */
	Oid			role;			/* whoever made the statement */
	Reason		reason;			/* of changes that no rule made */
	bool		quiet;			/* rows that were there before: rules move stages
								 * and statuses only */
	bool		skip_locked;	/* leave out contacts that others work on */
	bool		no_lock;		/* the caller holds locks on the tables */
	int			round;

	/* Collected by triggers, worked off by the next round. */
	List	   *hits;			/* of Hit * */
	List	   *contact_changes;	/* of ContactChange * */
	List	   *stage_changes;	/* of StageChange * */
	bool		deletions;		/* there are some among them */
	List	   *deal_changes;	/* of DealChange * */
	List	   *only_segments;	/* ids: CONTACT_REBUILT is for these only, and
								 * states that need not change are not written */

	/* The round in work; of a large one a portion (gather.c). */
	int			nworks;
	int			works_allocated;
	Work	  **works;			/* sorted by contact */
	List	   *unrecorded;		/* of StageChange *, not in the history yet */
	bool		settled_dropped;	/* contacts for whom nothing can change are
									 * left out already */
	bool		companies_read;	/* the works have their companies' rows */
	Bulk	   *entered;		/* memberships of the round, to be written by */
	Bulk	   *left;			/* member_write; NULL: none */
	List	   *actions;		/* of Action *, see rule.h */
	bool		applying;		/* our own statements write application tables */
	bool		arriving;		/* events that just came get their contact */
	List	   *company_moves;	/* of CompanyMove *, wanted or being applied */
	HTAB	   *company_index;	/* the same by hash of the key, see company.c */
	List	   *fired;			/* names of rules fired in this round */
	ExprContext *econtext;
	ExprContext *inner_econtext;	/* for conditions within an evaluation */
	TupleTableSlot *event_slot; /* of econtext's inner row */
	TupleTableSlot *deal_slot;

	/* What was done. */
	Tally		own_tally;
	Tally	   *tally;			/* the run's own, or of several runs */
	int			problems;
} Run;

extern void run_init(void);
extern Run *run_current(Model *model);
extern Run *run_start(Model *model);
extern void run_finish(Run *run);
extern void run_finish_connected(Run *run);
extern bool run_is_applying(void);
extern bool run_is_writing(void);
extern bool run_is_merge(const Run *run);
extern void run_note_count(void);
extern bool run_has_counted(void);

extern Atom **run_copy_atoms(Run *run, Atom **atoms, int count);
extern void run_add_hit(Run *run, const Hit *hit);
extern ContactChange *run_add_contact(Run *run, ContactChangeKind kind,
									  Datum contact);
extern void run_add_stage_change(Run *run, StageChange *change);
extern void run_add_deal_change(Run *run, DealChange *change);
extern Datum run_copy_key(Run *run, const KeyType *type, Datum key);
extern Work *run_find_work(Run *run, Datum contact);
extern HeapTuple run_copy_row(Datum composite);
extern void run_record_stage_changes(Run *run);
extern void run_work(Run *run);
extern TimestampTz run_clock(Model *model);
extern char *run_role(const Run *run);

/*
 * The instant at which a contact is decided about.
 */
static inline TimestampTz
work_clock(const Run *run, const Work *work)
{
	return work->stepped ? work->clock : run->clock;
}

/* decide.c: what the changes mean for each contact */
extern void decide_round(Run *run);
extern void decide_move_clock(Run *run, Hit *const *hits, int count);
extern Work *decide_look_at(Run *run, Datum contact, const char *text);
extern bool decide_is_member(Run *run, Datum contact, const char *text,
							 int segment);

/* step.c: contacts that are due, one instant after the other */
extern bool step_is_due(Run *run, const Work *work);
extern void step_catch_up(Run *run, Work **works, int count);
extern void step_works(Run *run);
extern Snapshot step_snapshot(const Run *run, TableKind kind);
extern TimestampTz step_instant(Run *run, TableKind object, Datum key);
extern void step_note_due(Run *run, const Work *work);
extern bool step_may_set(const Run *run, const Work *work, bool status);

/* stripe.c: events in flight; more stripes than this are locked together */
#define FEW_STRIPES 64

extern bool stripe_share(Model *model, const Datum *contacts, int count);
extern void stripe_exclude(Model *model, Work **works, int count);
extern bool stripe_try_exclude(Model *model, Datum contact);
extern void stripe_link(Model *model, Datum *companies, int count);
extern void stripe_change(Model *model, Datum *companies, int count);
extern int	stripe_of_contact(Model *model, Datum contact);
extern int	stripe_of_id(const char *id);
extern void stripe_arrive(Model *model, Bitmapset *stripes);
extern void stripe_settle(Model *model, Bitmapset *stripes);

/* record.c: what was decided, written down */
extern void record_states(Run *run);
extern void record_stage_changes(Run *run, List *changes);
extern void record_deal_changes(Run *run, List *changes);
extern void record_outbox(Run *run, Bulk *rows);
extern void record_forget_contacts(Run *run, Datum *contacts, int count);
extern void record_forget_history(Model *model, TableKind kind, Datum keys);

/* refresh.c: everything anew, set-based */
extern int64 refresh_all(Model *model);
extern void truncate_forget(Model *model, TableKind kind);

/* company.c: contacts who follow their company */
extern void company_gather(Run *run, List *stage_changes);
extern void company_lead(Run *run, List *stage_changes);

/* rule.c and action.c: what follows */
extern bool rule_has_hit(const Work *work);
extern bool rule_may_fire(Run *run, const Work *work);
extern void rule_gather(Run *run, List *stage_changes, List *deal_changes);
extern void rule_fire_all(Run *run, List *stage_changes, List *deal_changes);
extern void action_apply(Run *run, List *stage_changes);

/* task.c: tasks that end when what they are about moves on */
extern void task_close(Run *run, List *stage_changes, List *deal_changes);
extern void task_forget(Model *model, TableKind kind, Datum *keys, int count);

/* The UPDATE of an API function, and the reason that its caller gave. */
typedef struct ApiMove
{
	const char *reason;			/* or NULL */
	SubTransactionId subid;
	struct ApiMove *outer;
} ApiMove;

extern void run_begin_api_move(ApiMove *move, const char *reason);
extern void run_end_api_move(ApiMove *move);

/* problem.c: errors of configuration that must not lose an event */
extern bool run_try(void (*work) (void *arg), void *arg, ErrorData **error);
extern void run_problem(Run *run, const char *segment, const char *rule,
						const char *contact, const char *event,
						const ErrorData *error);

#endif							/* LIFECYCLE_RUN_H */
