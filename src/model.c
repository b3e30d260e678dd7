/*-------------------------------------------------------------------------
 *
 * model.c
 *	  The registry's cache: which model a table belongs to, and what its
 *	  columns, stages and settings are.
 *
 * One Model per model and backend, in a memory context of its own under
 * CacheMemoryContext, built in the caller's context and reparented when it
 * is complete.  Relations are found by Oid: each application table of a
 * model, and each partition of one once it has been written to, has an entry
 * in relation_hash.
 *
 * Invalidation: whoever changes a model's configuration sends a relcache
 * invalidation for its contacts table (lifecycle.reload), and DDL on an
 * application table sends one by itself.  The callback only marks; the next
 * look-up builds anew.  Column numbers and types are thus looked up again
 * after every ALTER TABLE.  A Model that is in use when it is marked (an
 * engine run holds a use count) stays until the use is over and is freed by
 * a later look-up.
 *
 * An in-flight writer cannot miss a change of configuration: functions that
 * change what decides (segments, rules) hold SHARE ROW EXCLUSIVE on the
 * application tables until they commit, and whoever waits for its own ROW
 * EXCLUSIVE lock accepts invalidation messages once it gets it.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/formatting.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "model.h"
#include "network.h"
#include "registry.h"

typedef struct RelationEntry
{
	Oid			relid;			/* hash key */
	Model	   *model;			/* NULL: must be looked up */
	TableKind	kind;
	TupleConversionMap *to_root;	/* in the model's context; NULL if rows of
									 * relid have the attached table's form */
} RelationEntry;

/* Life time of both: the backend's. */
static HTAB *relation_hash = NULL;
static List *model_list = NIL;	/* in CacheMemoryContext */
static List *dead_models = NIL; /* out of the cache, but in use */

/* Counts invalidations, so that one that comes while loading is noticed. */
static uint64 invalidations = 0;

static const char *const table_kind_name[TABLE_KINDS] = {
	"contacts", "companies", "deals", "events", "deal_contacts"
};

/*
 * While a maintenance function renames a stage, the engine's triggers must
 * not take the rewritten rows for moves: the contacts table of the model, and
 * the subtransaction in which that began.  Set by a function that only the
 * owner of the model may call, and not by a setting, which anybody could make
 * before an INSERT that then runs as the owner.  Life time: until it is
 * switched off, or the end of that subtransaction.
 */
static Oid	maintained = InvalidOid;
static SubTransactionId maintained_in = InvalidSubTransactionId;

PG_FUNCTION_INFO_V1(maintain);

static void invalidate(Datum arg, Oid relid);

/*
 * model_init: set up the cache.  Called once a backend, by _PG_init.
 */
void
model_init(void)
{
	HASHCTL		ctl;

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(RelationEntry);
	relation_hash = hash_create("lifecycle relations", 32, &ctl,
								HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
}

/*
 * Relcache callback: mark the models that the relation is a table of.
 */
static void
invalidate(Datum arg, Oid relid)
{
	ListCell   *cell;
	RelationEntry *entry;

	invalidations++;
	if (OidIsValid(relid))
	{
		entry = hash_search(relation_hash, &relid, HASH_FIND, NULL);
		if (entry != NULL && entry->model != NULL)
			entry->model->stale = true;
		return;
	}
	foreach(cell, model_list)
		((Model *) lfirst(cell))->stale = true;
}

static void
model_free(Model *model)
{
	for (int i = 0; i < PLANS; i++)
		if (model->plan[i] != NULL)
			SPI_freeplan(model->plan[i]);
	network_free(model->network);
	MemoryContextDelete(model->context);
}

/*
 * Take a stale model out of the cache; free it unless someone works with it.
 */
static void
model_forget(Model *model)
{
	HASH_SEQ_STATUS status;
	RelationEntry *entry;

	hash_seq_init(&status, relation_hash);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->model == model)
		{
			entry->model = NULL;
			entry->to_root = NULL;
		}
	}
	model_list = list_delete_ptr(model_list, model);
	if (model->uses == 0)
		model_free(model);
	else
	{
		MemoryContext old = MemoryContextSwitchTo(CacheMemoryContext);

		dead_models = lappend(dead_models, model);
		MemoryContextSwitchTo(old);
	}
}

/*
 * model_use, model_release: bracket the work with a model.  Releasing frees
 * nothing, so that it may be done while a transaction aborts.
 */
void
model_use(Model *model)
{
	model->uses++;
}

void
model_release(Model *model)
{
	Assert(model->uses > 0);
	model->uses--;
}

/*
 * model_end_uses: the transaction is over, and so is every use.  An error
 * leaves those of API functions open.
 */
void
model_end_uses(void)
{
	ListCell   *cell;

	foreach(cell, model_list)
		((Model *) lfirst(cell))->uses = 0;
	foreach(cell, dead_models)
		((Model *) lfirst(cell))->uses = 0;
}

/*
 * Read a model from the registry, by name or by one of its tables, into the
 * cache; NULL if there is none.
 */
static Model *
model_load(const char *name, Oid relid)
{
	Oid			relids[TABLE_KINDS];
	uint64		before = invalidations;
	Model	   *model = registry_read(name, relid, relids);

	if (model != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(CacheMemoryContext);

		model_list = lappend(model_list, model);
		MemoryContextSwitchTo(old);
		model->stale = invalidations != before;
		for (int i = 0; i < TABLE_KINDS; i++)
		{
			RelationEntry *entry;

			if (!OidIsValid(relids[i]))
				continue;
			entry = hash_search(relation_hash, &relids[i], HASH_ENTER, NULL);
			entry->model = model;
			entry->kind = i;
			entry->to_root = NULL;
		}
	}
	return model;
}

/*
 * Stale models leave the cache.  Called before each look-up.
 */
static void
drop_stale_models(void)
{
	ListCell   *cell;

restart:
	foreach(cell, model_list)
	{
		Model	   *model = lfirst(cell);

		if (model->stale)
		{
			model_forget(model);
			goto restart;
		}
	}
	foreach(cell, dead_models)
	{
		Model	   *model = lfirst(cell);

		if (model->uses == 0)
		{
			dead_models = foreach_delete_current(dead_models, cell);
			model_free(model);
		}
	}
}

/*
 * model_by_name: the model of that name.
 *
 * Raises 22023 if there is none, with the nearest name as hint.
 */
Model *
model_by_name(const char *name)
{
	ListCell   *cell;
	Model	   *model;
	const char *nearest;

	drop_stale_models();
	foreach(cell, model_list)
	{
		model = lfirst(cell);
		if (strcmp(model->name, name) == 0)
			return model;
	}
	model = model_load(name, InvalidOid);
	if (model != NULL)
		return model;
	nearest = nearest_name(name, registry_names());
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("model \"%s\" does not exist", name),
			 nearest != NULL ?
			 errhint("Perhaps you meant \"%s\".", nearest) :
			 errhint("Use lifecycle_create(%s) to make it.",
					 quote_literal_cstr(name))));
}

/*
 * A partition has been written to: find the attached table above it.
 */
static RelationEntry *
enter_partition(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	ListCell   *cell;

	if (!rel->rd_rel->relispartition)
		return NULL;
	foreach(cell, get_partition_ancestors(relid))
	{
		Oid			ancestor = lfirst_oid(cell);
		RelationEntry *found;
		RelationEntry *entry;
		RelationEntry copy;
		Relation	root;
		MemoryContext old;

		found = hash_search(relation_hash, &ancestor, HASH_FIND, NULL);
		if (found == NULL || found->model == NULL)
		{
			if (model_load(NULL, ancestor) == NULL)
				continue;
			found = hash_search(relation_hash, &ancestor, HASH_FIND, NULL);
		}
		if (ancestor != found->model->table[found->kind].relid)
			continue;
		copy = *found;
		root = relation_open(ancestor, AccessShareLock);
		old = MemoryContextSwitchTo(copy.model->context);
		copy.to_root = convert_tuples_by_name(CreateTupleDescCopy(RelationGetDescr(rel)),
											  CreateTupleDescCopy(RelationGetDescr(root)));
		MemoryContextSwitchTo(old);
		relation_close(root, NoLock);

		entry = hash_search(relation_hash, &relid, HASH_ENTER, NULL);
		entry->model = copy.model;
		entry->kind = copy.kind;
		entry->to_root = copy.to_root;
		return entry;
	}
	return NULL;
}

/*
 * model_for_trigger: the model that the table of a trigger belongs to.
 *
 * *to_root is NULL, or converts rows of a partition to rows of the attached
 * table.  Returns NULL if the trigger is to do nothing (maintenance by the
 * model's owner).  Raises 55000 if the table is not attached as what the
 * trigger is for.
 */
Model *
model_for_trigger(Relation rel, TableKind kind, TupleConversionMap **to_root)
{
	Oid			relid = RelationGetRelid(rel);
	RelationEntry *entry;

	drop_stale_models();
	entry = hash_search(relation_hash, &relid, HASH_FIND, NULL);
	if (entry == NULL || entry->model == NULL)
	{
		if (model_load(NULL, relid) != NULL)
			entry = hash_search(relation_hash, &relid, HASH_FIND, NULL);
		else
			entry = enter_partition(rel);
	}
	if (entry == NULL || entry->model == NULL || entry->kind != kind)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not attached to a model as its %s",
						RelationGetRelationName(rel), table_kind_name[kind]),
				 errhint("Drop its triggers named lifecycle_..., or use lifecycle_attach.")));
	if (to_root != NULL)
		*to_root = entry->to_root;
	if (entry->model->table[CONTACTS].relid == maintained)
		return NULL;
	return entry->model;
}

/*
 * model_check_owner: raises 42501 unless the current user owns the model.
 */
void
model_check_owner(Model *model)
{
	if (!has_privs_of_role(GetUserId(), model->owner))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_SCHEMA, model->name);
}

/*
 * maintain(model text, active boolean): begin or end the maintenance of a
 * model by its owner, until the end of the (sub)transaction at the latest.
 *
 * Raises 42501 unless the caller owns the model.
 */
Datum
maintain(PG_FUNCTION_ARGS)
{
	Model	   *model = model_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	model_check_owner(model);
	maintained = PG_GETARG_BOOL(1) ? model->table[CONTACTS].relid : InvalidOid;
	maintained_in = GetCurrentSubTransactionId();
	PG_RETURN_VOID();
}

/*
 * model_end_maintenance: a subtransaction is rolled back, or the whole
 * transaction ends (InvalidSubTransactionId).
 */
void
model_end_maintenance(SubTransactionId subid)
{
	if (maintained_in >= subid)
		maintained = InvalidOid;
}

/*
 * model_find_deal_stage: a stage of a pipeline; with pipeline NULL of the
 * first pipeline, with name NULL the first stage.  NULL if there is none.
 */
const DealStage *
model_find_deal_stage(const Model *model, const char *pipeline,
					  const char *name)
{
	for (int i = 0; i < model->deal_stages; i++)
	{
		const DealStage *stage = &model->deal_stage[i];

		if (pipeline == NULL)
			pipeline = stage->pipeline;
		if (pg_strcasecmp(stage->pipeline, pipeline) == 0 &&
			(name == NULL || pg_strcasecmp(stage->name, name) == 0))
			return stage;
	}
	return NULL;
}

/*
 * key_to_text, key_compare: a key's text form, and btree order.
 */
char *
key_to_text(KeyType *type, Datum key)
{
	return OutputFunctionCall(&type->output, key);
}

int
key_compare(KeyType *type, Datum a, Datum b)
{
	return DatumGetInt32(FunctionCall2Coll(&type->compare, type->collation,
										   a, b));
}

uint32
key_hash(KeyType *type, Datum key)
{
	if (!OidIsValid(type->hash.fn_oid))
		return 0;
	return DatumGetUInt32(FunctionCall1Coll(&type->hash, type->collation, key));
}

/*
 * key_copy: a key in the current memory context.
 */
Datum
key_copy(const KeyType *type, Datum key)
{
	return datumCopy(key, type->byval, type->length);
}

/*
 * key_array: keys as a parameter of a statement.
 */
Datum
key_array(const KeyType *type, Datum *keys, int count)
{
	return PointerGetDatum(construct_array(keys, count, type->type,
										   type->length, type->byval,
										   type->align));
}

/*
 * model_gone_sql: a condition: the table has no row with the key in this column.
 */
char *
model_gone_sql(const Model *model, TableKind kind, const char *column)
{
	const AppTable *table = &model->table[kind];

	return psprintf("NOT EXISTS (SELECT FROM %s AS x"
					" WHERE x.%s OPERATOR(pg_catalog.=) %s)",
					table->name, table->column[ROLE_KEY].quoted, column);
}

/*
 * model_event_contact_sql: the contact of event row e, in the key's type.
 */
char *
model_event_contact_sql(const Model *model)
{
	const Column *column = &model->table[EVENTS].column[ROLE_CONTACT];

	if (column->type == model->contact_key.type)
		return psprintf("e.%s", column->quoted);
	return psprintf("(e.%s)::%s", column->quoted, model->contact_key.name);
}

/*
 * model_event_name_sql: the name of event row e, as text.
 */
char *
model_event_name_sql(const Model *model)
{
	const Column *column = &model->table[EVENTS].column[ROLE_NAME];

	if (column->attno == 0)
		return psprintf("%s::pg_catalog.text",
						quote_literal_cstr(column->constant));
	if (column->type == TEXTOID)
		return psprintf("e.%s", column->quoted);
	return psprintf("(e.%s)::pg_catalog.text", column->quoted);
}

/*
 * model_event_time_sql: the time of event row e, as timestamptz.  Columns of
 * type timestamp and date are read in the model's time zone.  The alias
 * carries its dot, or is empty.
 */
char *
model_event_time_sql(const Model *model, const char *alias)
{
	const Column *column = &model->table[EVENTS].column[ROLE_TIME];

	if (column->type == TIMESTAMPTZOID)
		return psprintf("%s%s", alias, column->quoted);
	return psprintf("pg_catalog.timezone(%s, (%s%s)::pg_catalog.timestamp)",
					quote_literal_cstr(model->zone_name), alias,
					column->quoted);
}
