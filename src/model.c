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
	"contacts", "companies", "deals", "events"
};

static const char *const role_name[ROLES] = {
	"key", "stage", "lead_status", "contact", "company", "pipeline",
	"is_open", "amount", "name", "currency", "close_date", "time",
	"properties", "message_id", "anonymous_id"
};

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
 * The role that may read the registry: its owner.
 */
static Oid
relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static Oid
registry_owner(void)
{
	Oid			schema = get_namespace_oid("lifecycle", false);
	Oid			registry = get_relname_relid("model", schema);

	if (!OidIsValid(registry))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("extension \"lifecycle\" is not installed"),
				 errhint("Use CREATE EXTENSION lifecycle.")));
	return relation_owner(registry);
}

static void
load_key_type(KeyType *key, Oid type, Oid collation)
{
	TypeCacheEntry *cache = lookup_type_cache(type,
											  TYPECACHE_CMP_PROC |
											  TYPECACHE_HASH_PROC |
											  TYPECACHE_BTREE_OPFAMILY);
	Oid			function;
	bool		varlena;

	if (!OidIsValid(cache->cmp_proc))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify a comparison function for type %s",
						format_type_be(type))));
	key->type = type;
	key->array = bulk_array_type(type);
	key->length = cache->typlen;
	key->byval = cache->typbyval;
	key->align = cache->typalign;
	key->collation = OidIsValid(collation) ? collation : cache->typcollation;
	key->opfamily = cache->btree_opf;
	fmgr_info_cxt(cache->cmp_proc, &key->compare, CurrentMemoryContext);
	if (OidIsValid(cache->hash_proc))
		fmgr_info_cxt(cache->hash_proc, &key->hash, CurrentMemoryContext);
	getTypeOutputInfo(type, &function, &varlena);
	fmgr_info_cxt(function, &key->output, CurrentMemoryContext);
	getTypeInputInfo(type, &function, &key->input_param);
	fmgr_info_cxt(function, &key->input, CurrentMemoryContext);
	key->name = format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY);
}

/*
 * Fill in the columns of an application table from the registry.
 */
static void
load_table(Model *model, TableKind kind, Oid relid)
{
	AppTable   *table = &model->table[kind];
	Relation	rel;
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2];
	uint64		rows;

	rel = try_relation_open(relid, AccessShareLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table of %s of model \"%s\" does not exist any more",
						table_kind_name[kind], model->name),
				 errhint("Use lifecycle_detach(%s) and attach again.",
						 quote_literal_cstr(model->name))));
	table->relid = relid;
	table->owner = rel->rd_rel->relowner;
	table->name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
											 RelationGetRelationName(rel));

	values[0] = CStringGetTextDatum(model->name);
	values[1] = CStringGetTextDatum(table_kind_name[kind]);
	rows = query_once("SELECT role, column_name, constant"
					  " FROM lifecycle.model_column"
					  " WHERE model OPERATOR(pg_catalog.=) $1"
					  " AND object OPERATOR(pg_catalog.=) $2",
					  2, types, values, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		char	   *role = query_text(i, 1);
		char	   *name = query_text(i, 2);
		MemoryContext old;
		Column	   *column = NULL;

		for (int r = 0; r < ROLES; r++)
			if (strcmp(role, role_name[r]) == 0)
				column = &table->column[r];
		if (column == NULL)
			continue;			/* of a later version */
		old = MemoryContextSwitchTo(model->context);
		if (name == NULL)
		{
			column->constant = query_text(i, 3);
			column->type = TEXTOID;
		}
		else
		{
			Form_pg_attribute att;

			column->name = pstrdup(name);
			column->quoted = pstrdup(quote_identifier(name));
			column->attno = get_attnum(relid, name);
			if (column->attno <= 0)
				ereport(ERROR,
						(errcode(ERRCODE_UNDEFINED_COLUMN),
						 errmsg("column \"%s\" of table %s, which is the %s of %s of model \"%s\", does not exist",
								name, table->name, role,
								table_kind_name[kind], model->name),
						 errhint("Give the column its old name back, or use lifecycle_detach(%s) and attach again.",
								 quote_literal_cstr(model->name))));
			att = TupleDescAttr(RelationGetDescr(rel), column->attno - 1);
			column->type = att->atttypid;
			column->typmod = att->atttypmod;
			column->collation = att->attcollation;
			column->type_name = format_type_extended(att->atttypid,
													 att->atttypmod,
													 FORMAT_TYPE_TYPEMOD_GIVEN |
													 FORMAT_TYPE_FORCE_QUALIFY);
		}
		MemoryContextSwitchTo(old);
	}
	relation_close(rel, NoLock);
}

static void
load_stages(Model *model, StageList *list, const char *sql)
{
	uint64		rows = query_once(psprintf(sql, model->schema), 0, NULL, NULL,
								  NULL);
	MemoryContext old = MemoryContextSwitchTo(model->context);

	list->count = (int) rows;
	list->stages = palloc0(sizeof(Stage) * (rows + 1));
	for (uint64 i = 0; i < rows; i++)
	{
		list->stages[i].name = query_text(i, 1);
		list->stages[i].position = atoi(query_text(i, 2));
		list->stages[i].on_path = query_text(i, 3)[0] == 't';
	}
	MemoryContextSwitchTo(old);
}

static void
load_deal_stages(Model *model)
{
	uint64		rows = query_once(psprintf("SELECT s.pipeline, s.name, s.position, s.kind"
										   " FROM %1$s.deal_stage AS s JOIN %1$s.pipeline AS p"
										   " ON p.name OPERATOR(pg_catalog.=) s.pipeline"
										   " ORDER BY p.position, p.name, s.position, s.name",
										   model->schema),
								  0, NULL, NULL, NULL);
	MemoryContext old = MemoryContextSwitchTo(model->context);

	model->deal_stages = (int) rows;
	model->deal_stage = palloc0(sizeof(DealStage) * (rows + 1));
	for (uint64 i = 0; i < rows; i++)
	{
		DealStage  *stage = &model->deal_stage[i];
		char	   *kind = query_text(i, 4);

		stage->pipeline = query_text(i, 1);
		stage->name = query_text(i, 2);
		stage->position = atoi(query_text(i, 3));
		stage->kind = strcmp(kind, "won") == 0 ? DEAL_WON :
			strcmp(kind, "lost") == 0 ? DEAL_LOST : DEAL_OPEN;
	}
	MemoryContextSwitchTo(old);
}

static void
load_setting(Model *model, const char *name, const char *value)
{
	if (value == NULL)
		return;
	if (strcmp(name, "time_zone") == 0)
	{
		model->zone_name = pstrdup(value);
		model->zone = pg_tzset(value);
	}
	else if (strcmp(name, "manual_stage") == 0)
		model->manual_stage =
			strcmp(value, "forward") == 0 ? MANUAL_FORWARD :
			strcmp(value, "clear first") == 0 ? MANUAL_CLEAR_FIRST :
			strcmp(value, "refuse") == 0 ? MANUAL_REFUSE : MANUAL_ALLOW;
	else if (strcmp(name, "company_stage") == 0)
		model->company_furthest = strcmp(value, "furthest") == 0;
	else if (strcmp(name, "notify") == 0)
		model->notify = strcmp(value, "on") == 0;
	else if (strcmp(name, "clock") == 0)
		model->clock_by_tick = strcmp(value, "tick") == 0;
	else if (strcmp(name, "max_cascade") == 0)
		model->max_cascade = atoi(value);
	else if (strcmp(name, "page_view_event") == 0)
		model->scope.page_view_event = pstrdup(value);
	else if (strcmp(name, "page_view_path") == 0)
		model->scope.page_view_path = pstrdup(value);
}

static void
load_settings(Model *model)
{
	uint64		rows;
	MemoryContext old;

	model->zone_name = "UTC";
	model->company_furthest = true;
	model->notify = true;
	model->max_cascade = 16;
	model->scope.page_view_event = "Page Viewed";
	model->scope.page_view_path = "properties->>'path'";

	rows = query_once(psprintf("SELECT name, value FROM %s.setting",
							   model->schema), 0, NULL, NULL, NULL);
	old = MemoryContextSwitchTo(model->context);
	for (uint64 i = 0; i < rows; i++)
		load_setting(model, query_text(i, 1), query_text(i, 2));
	MemoryContextSwitchTo(old);

	if (model->zone == NULL)
		model->zone = pg_tzset(model->zone_name);
	if (model->zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" of model \"%s\" is not known",
						model->zone_name, model->name)));
}

/*
 * What the state reader needs to know of contact_state.
 */
static void
load_state_table(Model *model, Oid schema)
{
	Relation	rel;

	model->state_relid = get_relname_relid("contact_state", schema);
	if (!OidIsValid(model->state_relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table %s.contact_state does not exist", model->schema)));
	rel = table_open(model->state_relid, AccessShareLock);
	RelationGetIndexList(rel);
	model->state_index = compat_primary_key_index(rel);
	table_close(rel, NoLock);
	if (!OidIsValid(model->state_index))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table %s.contact_state has no primary key",
						model->schema)));
}

static void
load_key_types(Model *model)
{
	KeyType    *types[TABLE_KINDS];

	types[CONTACTS] = &model->contact_key;
	types[COMPANIES] = &model->company_key;
	types[DEALS] = &model->deal_key;
	types[EVENTS] = &model->event_key;
	for (int kind = 0; kind < TABLE_KINDS; kind++)
	{
		Column	   *key = &model->table[kind].column[ROLE_KEY];

		if (key->attno != 0)
			load_key_type(types[kind], key->type, key->collation);
		else
			load_key_type(types[kind], TEXTOID, DEFAULT_COLLATION_OID);
	}
}

/*
 * Read a model's configuration, as the owner of its schema.  The caller is
 * connected to SPI and reads as the registry's owner.
 */
static void
load_configuration(Model *model, Oid *relids)
{
	Oid			schema = get_namespace_oid(model->name, true);
	MemoryContext old;
	HeapTuple	tuple;
	UserSpan	span;

	if (!OidIsValid(schema))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("schema \"%s\" of the model of that name does not exist",
						model->name),
				 errhint("If the schema was renamed, give it its old name back; if it was dropped, use lifecycle_detach(%s).",
						 quote_literal_cstr(model->name))));
	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for schema %u", schema);
	model->owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);

	old = MemoryContextSwitchTo(model->context);
	model->schema = pstrdup(quote_identifier(model->name));
	for (int kind = 0; kind < TABLE_KINDS; kind++)
		if (OidIsValid(relids[kind]))
			load_table(model, kind, relids[kind]);
	load_key_types(model);
	load_state_table(model, schema);
	MemoryContextSwitchTo(old);

	span_write(&span, model->owner);
	load_settings(model);
	load_stages(model, &model->stages,
				"SELECT name, position, on_path FROM %s.stage"
				" ORDER BY position, name");
	load_stages(model, &model->statuses,
				"SELECT name, position, true FROM %s.lead_status"
				" ORDER BY position, name");
	load_deal_stages(model);
	span_end(&span);

	model->scope.contacts = relids[CONTACTS];
	model->scope.companies = relids[COMPANIES];
	model->scope.deals = relids[DEALS];
	model->scope.events = relids[EVENTS];
	model->scope.time_zone = model->zone_name;
}

/*
 * Find a model in the registry, by name or by one of its tables; NULL if
 * there is none.
 */
static Model *
model_load(const char *name, Oid relid)
{
	Oid			types[1];
	Datum		values[1];
	UserSpan	span;
	Model	   *model = NULL;
	Oid			relids[TABLE_KINDS];
	uint64		before = invalidations;

	SPI_connect();
	span_write(&span, registry_owner());
	if (name != NULL)
	{
		types[0] = TEXTOID;
		values[0] = CStringGetTextDatum(name);
	}
	else
	{
		types[0] = OIDOID;
		values[0] = ObjectIdGetDatum(relid);
	}
	if (query_once(psprintf("SELECT name, contacts::pg_catalog.oid,"
							" companies::pg_catalog.oid, deals::pg_catalog.oid,"
							" events::pg_catalog.oid FROM lifecycle.model"
							" WHERE %s",
							name != NULL ? "name OPERATOR(pg_catalog.=) $1" :
							"$1 OPERATOR(pg_catalog.=) ANY (ARRAY[contacts::pg_catalog.oid,"
							" companies::pg_catalog.oid, deals::pg_catalog.oid,"
							" events::pg_catalog.oid])"),
				   1, types, values, NULL) > 0)
	{
		MemoryContext context;

		context = AllocSetContextCreate(CurrentMemoryContext,
										"lifecycle model",
										ALLOCSET_DEFAULT_SIZES);
		model = MemoryContextAllocZero(context, sizeof(Model));
		model->context = context;
		model->name = MemoryContextStrdup(context, query_text(0, 1));
		for (int i = 0; i < TABLE_KINDS; i++)
		{
			bool		isnull;
			Datum		oid = query_value(0, i + 2, &isnull);

			relids[i] = isnull ? InvalidOid : DatumGetObjectId(oid);
		}
		load_configuration(model, relids);
		model->network = network_create(model);
		MemoryContextSetIdentifier(context, model->name);
		MemoryContextSetParent(context, CacheMemoryContext);
	}
	span_end(&span);
	SPI_finish();

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

static List *
model_names(void)
{
	List	   *names = NIL;
	UserSpan	span;
	MemoryContext outer = CurrentMemoryContext;

	SPI_connect();
	span_write(&span, registry_owner());
	query_once("SELECT name FROM lifecycle.model", 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(outer);

		names = lappend(names, query_text(i, 1));
		MemoryContextSwitchTo(old);
	}
	span_end(&span);
	SPI_finish();
	return names;
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
	nearest = nearest_name(name, model_names());
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
	if (lifecycle_maintenance &&
		has_privs_of_role(GetUserId(), entry->model->owner))
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
 * model_find_stage: the stage (or lead status) of that name, whatever its
 * case and the blanks around it; NULL if there is none.
 */
const Stage *
model_find_stage(const StageList *list, const char *name)
{
	size_t		length;

	/* The usual case first: written as it should be. */
	for (int i = 0; i < list->count; i++)
		if (strcmp(list->stages[i].name, name) == 0)
			return &list->stages[i];

	while (isspace((unsigned char) *name))
		name++;
	length = strlen(name);
	while (length > 0 && isspace((unsigned char) name[length - 1]))
		length--;
	for (int i = 0; i < list->count; i++)
	{
		char	   *ours = str_tolower(list->stages[i].name,
									   strlen(list->stages[i].name),
									   DEFAULT_COLLATION_OID);
		char	   *theirs = str_tolower(name, length, DEFAULT_COLLATION_OID);

		if (strcmp(ours, theirs) == 0)
			return &list->stages[i];
	}
	return NULL;
}

/*
 * model_check_stage: the same, but raises 22023 with the valid ones in the
 * hint.
 */
const Stage *
model_check_stage(const Model *model, const StageList *list, const char *name)
{
	const Stage *stage = model_find_stage(list, name);
	StringInfoData valid;
	const char *nearest;
	List	   *names = NIL;
	const char *what = list == &model->stages ? "stage" : "lead status";

	if (stage != NULL)
		return stage;

	initStringInfo(&valid);
	for (int i = 0; i < list->count; i++)
	{
		appendStringInfo(&valid, "%s\"%s\"", i > 0 ? ", " : "",
						 list->stages[i].name);
		names = lappend(names, list->stages[i].name);
	}
	nearest = nearest_name(name, names);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("model \"%s\" has no %s \"%s\"", model->name, what, name),
			 list->count == 0 ?
			 errhint("It has none yet; use lifecycle_add_%s.",
					 list == &model->stages ? "stage" : "lead_status") :
			 nearest != NULL ?
			 errhint("Perhaps you meant \"%s\". Valid are: %s.", nearest,
					 valid.data) :
			 errhint("Valid are: %s.", valid.data)));
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
