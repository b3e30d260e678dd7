/*-------------------------------------------------------------------------
 *
 * model.h
 *	  The cached registry entry of a model: its tables, columns, stages and
 *	  settings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_MODEL_H
#define LIFECYCLE_MODEL_H

#include "access/tupconvert.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "pgtime.h"
#include "utils/rel.h"

#include "predicate.h"

typedef enum TableKind
{
	CONTACTS,
	COMPANIES,
	DEALS,
	EVENTS,
	DEAL_CONTACTS				/* further contacts of deals */
} TableKind;

#define TABLE_KINDS (DEAL_CONTACTS + 1)

typedef enum Role
{
	ROLE_KEY,
	ROLE_STAGE,
	ROLE_LEAD_STATUS,
	ROLE_CONTACT,
	ROLE_COMPANY,
	ROLE_PIPELINE,
	ROLE_IS_OPEN,
	ROLE_AMOUNT,
	ROLE_NAME,
	ROLE_CURRENCY,
	ROLE_CLOSE_DATE,
	ROLE_OWNER,
	ROLE_TIME,
	ROLE_PROPERTIES,
	ROLE_MESSAGE_ID,
	ROLE_ANONYMOUS_ID,
	ROLE_DEAL
} Role;

#define ROLES (ROLE_DEAL + 1)

/* A column in a role; not mapped: attno 0 and constant NULL. */
typedef struct Column
{
	AttrNumber	attno;
	Oid			type;
	int32		typmod;
	Oid			collation;
	char	   *name;			/* as it is in the catalog */
	char	   *quoted;			/* as an identifier */
	char	   *type_name;		/* with modifier, as SQL */
	char	   *constant;		/* the value, instead of a column */
} Column;

typedef struct AppTable
{
	Oid			relid;			/* InvalidOid: the model has none */
	Oid			owner;
	char	   *name;			/* qualified and quoted */
	Column		column[ROLES];
} AppTable;

/* How to compare, copy and print keys of one type. */
typedef struct KeyType
{
	Oid			type;
	Oid			array;
	int16		length;
	bool		byval;
	char		align;
	Oid			collation;
	Oid			opfamily;		/* default btree */
	RegProcedure equals;		/* of that */
	FmgrInfo	compare;
	FmgrInfo	hash;			/* fn_oid InvalidOid if the type has none */
	FmgrInfo	output;
	FmgrInfo	input;
	Oid			input_param;
	char	   *name;			/* as SQL */
} KeyType;

/* A stage or a lead status (all statuses are on the path). */
typedef struct Stage
{
	char	   *name;
	int			position;
	bool		on_path;
	bool		carries_status; /* of a stage: may have a lead status */
} Stage;

typedef struct StageList
{
	int			count;
	Stage	   *stages;
} StageList;

typedef enum DealKind
{
	DEAL_OPEN,
	DEAL_WON,
	DEAL_LOST
} DealKind;

typedef struct DealStage
{
	char	   *pipeline;
	char	   *name;
	int			position;
	DealKind	kind;
} DealStage;

typedef enum ManualStage
{
	MANUAL_ALLOW,
	MANUAL_FORWARD,
	MANUAL_CLEAR_FIRST,
	MANUAL_REFUSE
} ManualStage;

/* The engine's statements that are kept for a model. */
typedef enum PlanId
{
	PLAN_LOCK_CONTACTS,
	PLAN_SKIP_CONTACTS,
	PLAN_READ_CONTACTS,
	PLAN_STATE_INSERT,
	PLAN_STATE_UPDATE,
	PLAN_STATE_DELETE,
	PLAN_ORPHAN_INSERT,
	PLAN_STATE_DUE,
	PLAN_EVENT_NAMES,
	PLAN_MEMBER_INSERT,
	PLAN_MEMBER_DELETE,
	PLAN_MEMBER_FORGET,
	PLAN_PAST_INSERT,
	PLAN_STAGE_HISTORY,
	PLAN_STATUS_HISTORY,
	PLAN_STAGE_COUNT,
	PLAN_MOVE_CONTACTS,
	PLAN_LOCK_COMPANIES,
	PLAN_READ_COMPANIES,
	PLAN_MOVE_COMPANIES,
	PLAN_COMPANY_CONTACTS,
	PLAN_COMPANY_ROWS,
	PLAN_COMPANY_STAGES,
	PLAN_DEAL_INSERT,
	PLAN_DEAL_HISTORY,
	PLAN_DEAL_OWNER,
	PLAN_TASK_INSERT,
	PLAN_TASK_OF_DEALS,
	PLAN_TASK_OF_CONTACTS,
	PLAN_OWNERS,
	PLAN_OUTBOX,
	PLAN_PROBLEM,
	PLAN_CLOCK,
	PLAN_ATOMS_OF_EVENT,
	PLAN_KEYS_OF_EVENT,
	PLAN_ATOMS_OF_VALUE,
	PLAN_VALUES_OF_KEY,
	PLAN_ATOMS_OF_KEY,
	PLAN_ATOMS_OF_DEALS,
	PLAN_ATOMS_BY_ID,
	PLAN_SEGMENTS_BY_ID,
	PLAN_SEGMENTS_BY_COLUMN,
	PLAN_SEGMENTS_ALL,
	PLAN_SEGMENT_BY_NAME,
	PLAN_SEGMENT_DEPENDENTS,
	PLAN_RULES,
	PLAN_IDENTITIES,
	PLAN_IDENTITY_FORGET,
	PLAN_SURVIVORS,
	PLAN_MERGED,
	PLAN_ANONYMOUS_EVENTS,
	PLAN_STRAY_EVENTS,
	PLAN_DEFER,
	PLAN_CONTACTS_OF_DEALS,
	PLAN_LOCK_DEALS
} PlanId;

#define PLANS (PLAN_LOCK_DEALS + 1)

typedef struct Network Network;

typedef struct Places Places;

/*
 * A model.  It lives in a memory context of its own and is not changed after
 * loading, but for the network, which grows as events name its parts, and
 * the plans.  model_use and model_release bracket every use; a model that
 * was invalidated meanwhile is freed with its last use.
 */
typedef struct Model
{
	MemoryContext context;
	char	   *name;
	char	   *schema;			/* quoted */
	Oid			owner;			/* of the schema */
	int			uses;
	bool		stale;
	AppTable	table[TABLE_KINDS];
	KeyType		contact_key;
	KeyType		company_key;	/* text if there are no companies */
	KeyType		deal_key;
	KeyType		event_key;
	StageList	stages;
	StageList	statuses;
	int			deal_stages;	/* by pipeline position, then position */
	DealStage  *deal_stage;
	pg_tz	   *zone;
	char	   *zone_name;
	ManualStage manual_stage;
	bool		company_furthest;	/* forward with its contacts */
	bool		company_exact;	/* and back with them */
	bool		contacts_follow;	/* contacts go forward with their company */
	bool		company_key_checked;	/* a foreign key from contacts: no
										 * contact comes before its company */
	bool		notify;
	bool		clock_by_tick;
	bool		deletes_history;	/* of contacts and companies that are deleted */
	bool		anonymous_contacts; /* anonymous ids make contacts */
	bool		has_merges;		/* contacts were merged into others */
	int			max_cascade;
	PredicateScope scope;
	Oid			state_relid;	/* contact_state and its primary key */
	Oid			state_index;
	Places	   *state_places;	/* of rows of contact_state, and of contacts; */
	Places	   *contact_places; /* NULL before their first use */
	Oid			membership_relid;	/* and its primary key */
	Oid			membership_index;
	Oid			past_relid;		/* past_membership */
	Oid			segment_change; /* the sequence */
	Oid			task_relid;
	SPIPlanPtr	plan[PLANS];	/* prepared at first use */
	Network    *network;
} Model;

extern void model_init(void);
extern Model *model_by_name(const char *name);
extern Model *model_for_trigger(Relation rel, TableKind kind,
								TupleConversionMap **to_root);
extern void model_use(Model *model);
extern void model_release(Model *model);
extern void model_end_uses(void);
extern void model_check_owner(Model *model);
extern void model_end_maintenance(SubTransactionId subid);

extern const DealStage *model_find_deal_stage(const Model *model,
											  const char *pipeline,
											  const char *name);

extern char *key_to_text(KeyType *type, Datum key);
extern int	key_compare(KeyType *type, Datum a, Datum b);
extern uint32 key_hash(KeyType *type, Datum key);
extern Datum key_copy(const KeyType *type, Datum key);
extern Datum key_array(const KeyType *type, Datum *keys, int count);

/* The columns of an event row as SQL over alias e, in the engine's types. */
/*
 * May contacts have been merged, as far as this session knows?
 */
static inline bool
model_may_have_merges(const Model *model)
{
	return model->has_merges || model->stale;
}

extern char *model_gone_sql(const Model *model, TableKind kind,
							const char *column);
extern char *model_event_contact_sql(const Model *model);
extern char *model_event_name_sql(const Model *model);
extern char *model_event_time_sql(const Model *model, const char *alias);

#endif							/* LIFECYCLE_MODEL_H */
