/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  Reading a model from the registry and its configuration.
 *
 * The registry (lifecycle.model, lifecycle.model_column) is read as its
 * owner, the configuration in the model's schema as the owner of that.  The
 * result is built in a context of its own under the caller's, and handed over
 * to CacheMemoryContext when it is complete.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "network.h"
#include "registry.h"
#include "score.h"

static const char *const table_kind_name[TABLE_KINDS] = {
	"contacts", "companies", "deals", "events", "deal_contacts"
};

static const char *const role_name[ROLES] = {
	"key", "stage", "lead_status", "contact", "company", "pipeline",
	"is_open", "amount", "name", "currency", "close_date", "owner", "time",
	"properties", "message_id", "anonymous_id", "deal"
};

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
	key->equals = get_opcode(get_opfamily_member(cache->btree_opf,
												 cache->btree_opintype,
												 cache->btree_opintype,
												 BTEqualStrategyNumber));
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
		list->stages[i].carries_status = query_text(i, 4)[0] == 't';
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
	{
		model->company_exact = strcmp(value, "exact") == 0;
		model->company_furthest = model->company_exact ||
			strcmp(value, "furthest") == 0;
	}
	else if (strcmp(name, "contact_stage") == 0)
		model->contacts_follow = strcmp(value, "company") == 0;
	else if (strcmp(name, "notify") == 0)
		model->notify = strcmp(value, "on") == 0;
	else if (strcmp(name, "clock") == 0)
		model->clock_by_tick = strcmp(value, "tick") == 0;
	else if (strcmp(name, "history_of_deleted") == 0)
		model->deletes_history = strcmp(value, "delete") == 0;
	else if (strcmp(name, "anonymous") == 0)
		model->anonymous_contacts = strcmp(value, "contact") == 0;
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
 * A table of the model's own, or a sequence; raises 42P01 if it is gone.
 */
static Oid
own_relation(const Model *model, Oid schema, const char *name)
{
	Oid			relid = get_relname_relid(name, schema);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation %s.%s does not exist", model->schema,
						name)));
	return relid;
}

/*
 * The primary key of a table of the model's own.
 */
static Oid
own_primary_key(const Model *model, Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Oid			index;

	RelationGetIndexList(rel);
	index = compat_primary_key_index(rel);
	if (!OidIsValid(index))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table %s.%s has no primary key", model->schema,
						RelationGetRelationName(rel))));
	table_close(rel, NoLock);
	return index;
}

/*
 * What the engine reads and writes without a plan.
 */
static void
load_own_tables(Model *model, Oid schema)
{
	model->state_relid = own_relation(model, schema, "contact_state");
	model->state_index = own_primary_key(model, model->state_relid);
	model->membership_relid = own_relation(model, schema, "membership");
	model->membership_index = own_primary_key(model, model->membership_relid);
	model->past_relid = own_relation(model, schema, "past_membership");
	model->segment_change = own_relation(model, schema, "segment_change");
	model->task_relid = get_relname_relid("task", schema);
}

/*
 * Is a foreign key true of all rows at the end of each statement?  One that
 * is not enforced (PostgreSQL 18) is not validated either.
 */
static bool
is_checked(Oid constraint)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID,
										ObjectIdGetDatum(constraint));
	Form_pg_constraint form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	result = form->convalidated && !form->condeferrable;
	ReleaseSysCache(tuple);
	return result;
}

/*
 * Is there a foreign key from contacts to companies, so that no contact comes
 * before its company?
 */
static void
load_company_key(Model *model)
{
	Relation	rel = table_open(model->table[CONTACTS].relid, AccessShareLock);
	ListCell   *cell;

	foreach(cell, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *key = lfirst(cell);

		if (key->confrelid == model->table[COMPANIES].relid &&
			key->nkeys == 1 &&
			key->conkey[0] == model->table[CONTACTS].column[ROLE_COMPANY].attno &&
			is_checked(key->conoid))
			model->company_key_checked = true;
	}
	table_close(rel, NoLock);
}

static void
load_key_types(Model *model)
{
	KeyType    *types[EVENTS + 1];

	types[CONTACTS] = &model->contact_key;
	types[COMPANIES] = &model->company_key;
	types[DEALS] = &model->deal_key;
	types[EVENTS] = &model->event_key;
	for (int kind = 0; kind <= EVENTS; kind++)
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
	load_company_key(model);
	load_own_tables(model, schema);
	MemoryContextSwitchTo(old);

	span_write(&span, model->owner);
	load_settings(model);
	model->has_merges =
		query_once(psprintf("SELECT FROM %s.contact_merge"
							" WHERE undone_at IS NULL LIMIT 1",
							model->schema), 0, NULL, NULL, NULL) > 0;
	load_stages(model, &model->stages,
				"SELECT name, position, on_path, carries_status FROM %s.stage"
				" ORDER BY position, name");
	load_stages(model, &model->statuses,
				"SELECT name, position, true, true FROM %s.lead_status"
				" ORDER BY position, name");
	load_deal_stages(model);
	span_end(&span);

	model->scope.contacts = relids[CONTACTS];
	model->scope.companies = relids[COMPANIES];
	model->scope.deals = relids[DEALS];
	model->scope.events = relids[EVENTS];
	model->scope.stage_column = model->table[CONTACTS].column[ROLE_STAGE].name;
	model->scope.time_zone = model->zone_name;
	model->scope.find_score = score_find;
	model->scope.score_arg = model;
}

/*
 * registry_names: the names of all models, in the current context.
 */
List *
registry_names(void)
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
 * registry_tables: the oids of a model's tables, InvalidOid for those that it
 * does not have or if there is no such model.  Takes no lock.
 */
void
registry_tables(const char *name, Oid *relids)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(name)};
	UserSpan	span;
	uint64		rows;

	SPI_connect();
	span_write(&span, registry_owner());
	rows = query_once("SELECT contacts::pg_catalog.oid,"
					  " companies::pg_catalog.oid, deals::pg_catalog.oid,"
					  " events::pg_catalog.oid,"
					  " deal_contacts::pg_catalog.oid FROM lifecycle.model"
					  " WHERE name OPERATOR(pg_catalog.=) $1",
					  1, types, values, NULL);
	span_end(&span);
	for (int i = 0; i < TABLE_KINDS; i++)
	{
		bool		isnull = true;
		Datum		oid = rows > 0 ? query_value(0, i + 1, &isnull) : (Datum) 0;

		relids[i] = isnull ? InvalidOid : DatumGetObjectId(oid);
	}
	SPI_finish();
}

/*
 * registry_read: read a model, given by name or by one of its tables; NULL
 * if there is none.  Its tables' oids are in relids.
 *
 * Takes AccessShareLock on the application tables, kept to the end of the
 * transaction.  Raises 42P01 and 42703 if what the registry names is gone.
 */
Model *
registry_read(const char *name, Oid relid, Oid *relids)
{
	Oid			types[1];
	Datum		values[1];
	UserSpan	span;
	Model	   *model = NULL;

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
							" events::pg_catalog.oid,"
							" deal_contacts::pg_catalog.oid FROM lifecycle.model"
							" WHERE %s",
							name != NULL ? "name OPERATOR(pg_catalog.=) $1" :
							"$1 OPERATOR(pg_catalog.=) ANY (ARRAY[contacts::pg_catalog.oid,"
							" companies::pg_catalog.oid, deals::pg_catalog.oid,"
							" events::pg_catalog.oid,"
							" deal_contacts::pg_catalog.oid])"),
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
	return model;
}
