/*
 * Attaching: which column is what, what is added to the user's tables, and the
 * triggers.
 */

CREATE TYPE lifecycle.mapping AS (
	object		text,
	role		text,
	relation	regclass,
	column_name	text,
	constant	text,
	chosen_by	text
);

COMMENT ON TYPE lifecycle.mapping IS 'which column of a table plays which role, and how that was found';

-- Usual names: tiers separated by |, names of a tier by comma.  A tier counts
-- only if no column has a name of the tiers before it; two columns of one tier
-- are ambiguous.  Names are compared in lower case and without underscores.
CREATE FUNCTION lifecycle.roles()
RETURNS TABLE (number integer, object text, role text, kind text, optional boolean, addable boolean, names text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
	(1, 'contacts', 'key', 'key', false, false, ''),
	(2, 'companies', 'key', 'key', false, false, ''),
	(3, 'contacts', 'stage', 'text', false, true, 'stage,lifecycle_stage'),
	(4, 'contacts', 'lead_status', 'text', false, true, 'lead_status'),
	(5, 'contacts', 'company', 'company', true, false,
	 'company_id,company|account_id,account,organisation_id,organization_id,organisation,organization,org_id,employer_id'),
	(6, 'companies', 'stage', 'text', false, true, 'stage,lifecycle_stage'),
	(7, 'companies', 'lead_status', 'text', false, true, 'lead_status'),
	(8, 'deals', 'key', 'key', false, false, ''),
	(9, 'deals', 'contact', 'contact', false, false,
	 'contact_id,contact|primary_contact_id,main_contact_id|customer_id,user_id,person_id,lead_id,client_id,member_id,subscriber_id,customer,person,client'),
	(10, 'deals', 'company', 'company', true, false,
	 'company_id,company|account_id,account,organisation_id,organization_id,organisation,organization,org_id'),
	(11, 'deals', 'pipeline', 'text', true, false, 'pipeline,pipeline_name,deal_pipeline'),
	(12, 'deals', 'stage', 'text', false, false, 'stage,deal_stage,pipeline_stage|status,state'),
	(13, 'deals', 'is_open', 'boolean', false, true, 'is_open'),
	(14, 'deals', 'amount', 'number', true, false, 'amount,deal_amount|value,deal_value|close_value,total,price'),
	(15, 'deals', 'name', 'text', true, false, 'name,deal_name|title,subject'),
	(16, 'deals', 'currency', 'text', true, false, 'currency,currency_code,deal_currency'),
	(17, 'deals', 'close_date', 'time', true, false, 'close_date,closed_at,closed_on,closing_date'),
	(18, 'deals', 'owner', 'text', true, false, 'owner,owner_name,deal_owner|sales_agent,sales_rep,salesperson|assigned_to,assignee'),
	(19, 'events', 'key', 'key', true, false, ''),
	(20, 'events', 'contact', 'contact', false, false,
	 'contact_id,contact|customer_id,user_id,person_id,lead_id,client_id,member_id,subscriber_id,customer,person,client'),
	(21, 'events', 'name', 'text', false, false, 'event_name,event|name|event_type,type,kind,action,activity'),
	(22, 'events', 'time', 'time', false, false,
	 'occurred_at,event_time,event_timestamp,event_at,happened_at|timestamp,time,ts,at|event_date,date,day|created_at,recorded_at,received_at,inserted_at'),
	(23, 'events', 'properties', 'json', true, false, 'properties,props,event_properties|payload,data,attributes,params,metadata'),
	(24, 'events', 'message_id', 'text or uuid', true, false, 'message_id|idempotency_key,deduplication_id,insert_id'),
	(25, 'events', 'anonymous_id', 'text or uuid', true, false, 'anonymous_id,anon_id|visitor_id,device_id'),
	(26, 'contacts', 'anonymous_id', 'text or uuid', true, false, 'anonymous_id,anon_id|visitor_id,device_id'),
	(27, 'deal_contacts', 'deal', 'deal', false, false, 'deal_id,deal|opportunity_id,opportunity'),
	(28, 'deal_contacts', 'contact', 'contact', false, false,
	 'contact_id,contact|customer_id,user_id,person_id,lead_id,client_id,member_id,subscriber_id,customer,person,client')
$$;

COMMENT ON FUNCTION lifecycle.roles() IS
'the roles that columns can play, in the order in which they are looked for, with the usual names of such columns';

CREATE FUNCTION lifecycle.base_type(type oid) RETURNS oid
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE domain AS (
		SELECT t.oid, t.typbasetype FROM pg_type t WHERE t.oid = base_type.type
		UNION ALL
		SELECT t.oid, t.typbasetype FROM domain d JOIN pg_type t ON t.oid = d.typbasetype
	)
	SELECT oid FROM domain WHERE typbasetype = 0
$$;

COMMENT ON FUNCTION lifecycle.base_type(oid) IS 'the type that a domain is over, or the type itself';

-- Keys must be of one type on both sides, not merely comparable: the engine
-- hands the value over as it is stored.
CREATE FUNCTION lifecycle.type_fits(kind text, type oid, contact_type oid, company_type oid, deal_type oid DEFAULT NULL) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE kind
		WHEN 'key' THEN true
		WHEN 'contact' THEN base = lifecycle.base_type(contact_type)
			OR base IN (25, 1043) AND lifecycle.base_type(contact_type) IN (25, 1043)
		WHEN 'company' THEN base = lifecycle.base_type(company_type)
			OR base IN (25, 1043) AND lifecycle.base_type(company_type) IN (25, 1043)
		WHEN 'deal' THEN base = lifecycle.base_type(deal_type)
			OR base IN (25, 1043) AND lifecycle.base_type(deal_type) IN (25, 1043)
		WHEN 'text' THEN base IN ('text'::regtype, 'varchar'::regtype)
		WHEN 'text or uuid' THEN base IN ('text'::regtype, 'varchar'::regtype, 'uuid'::regtype)
		WHEN 'boolean' THEN base = 'boolean'::regtype
		WHEN 'number' THEN base IN ('numeric'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'float4'::regtype, 'float8'::regtype)
		WHEN 'time' THEN base IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
		WHEN 'json' THEN base IN ('jsonb'::regtype, 'json'::regtype)
	END
	FROM lifecycle.base_type(type_fits.type) AS base
$$;

COMMENT ON FUNCTION lifecycle.type_fits(text, oid, oid, oid, oid) IS 'whether a column of a type can play a role of a kind';

CREATE FUNCTION lifecycle.kind_in_words(kind text, contact_type oid, company_type oid, deal_type oid) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE kind
		WHEN 'contact' THEN format_type(contact_type, NULL) || ', like the key of the contacts'
		WHEN 'company' THEN format_type(company_type, NULL) || ', like the key of the companies'
		WHEN 'deal' THEN format_type(deal_type, NULL) || ', like the key of the deals'
		WHEN 'number' THEN 'a number'
		WHEN 'time' THEN 'timestamp with time zone, timestamp or date'
		WHEN 'json' THEN 'jsonb'
		ELSE kind
	END
$$;

COMMENT ON FUNCTION lifecycle.kind_in_words(text, oid, oid, oid) IS 'the types that a role of a kind needs, for messages';

CREATE FUNCTION lifecycle.mapping_text(object text, role text, given text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'columns => ' || quote_literal(jsonb_build_object(object, jsonb_build_object(role, coalesce(given, 'name of the column')))::text)
$$;

COMMENT ON FUNCTION lifecycle.mapping_text(text, text, text) IS
'the argument of lifecycle_attach that maps a role to a column, as it is typed';


/* ---- the tables ---- */

CREATE FUNCTION lifecycle.check_table(object text, relation regclass) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c record;
	problem text;
	hint text := 'Attach an ordinary or a partitioned table.';
	other record;
BEGIN
	SELECT k.*, n.nspname INTO c
	FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace WHERE k.oid = relation;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_table',
			MESSAGE = format('table with OID %s does not exist', relation::oid),
			HINT = format('Give the name of the table: %s => ''schema.name''.', object);
	END IF;
	IF c.relkind IN ('v', 'm') THEN
		problem := 'is a view';
		hint := 'Attach the table that the view reads from.';
	ELSIF c.relkind = 'f' THEN
		problem := 'is a foreign table';
	ELSIF c.relkind NOT IN ('r', 'p') THEN
		problem := 'is not a table';
	ELSIF c.relpersistence = 't' THEN
		problem := 'is a temporary table';
	ELSIF c.nspname IN ('pg_catalog', 'information_schema', 'pg_toast') OR c.oid < 16384 THEN
		problem := 'is a system catalog';
	ELSIF c.nspname = 'lifecycle'
		  OR EXISTS (SELECT FROM lifecycle.model m WHERE m.name = c.nspname)
			 AND c.relname = ANY (lifecycle.own_tables()) THEN
		problem := 'belongs to lifecycle itself';
	ELSIF c.relispartition THEN
		problem := 'is a partition';
		hint := format('Attach the partitioned table %s.', pg_partition_root(relation));
	ELSIF c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE relation IN (i.inhparent, i.inhrelid)) THEN
		problem := 'is part of an inheritance tree';
	ELSIF c.relkind = 'p' AND object = 'deals' THEN
		problem := 'is partitioned';
		hint := 'Deals need a unique index on the contact, which a partitioned table cannot have: attach an ordinary table.';
	ELSIF EXISTS (SELECT FROM lifecycle.table_tree(relation) p JOIN pg_class k ON k.oid = p WHERE k.relkind = 'f') THEN
		problem := 'has a foreign table as partition';
	END IF;
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'wrong_object_type',
			MESSAGE = format('cannot attach %s as %s: it %s', relation, object, problem),
			HINT = hint;
	END IF;

	PERFORM lifecycle.check_table_owner(relation);

	SELECT m.name, o.object INTO other
	FROM lifecycle.model m
	CROSS JOIN LATERAL (VALUES ('contacts', m.contacts), ('companies', m.companies), ('deals', m.deals), ('events', m.events), ('deal_contacts', m.deal_contacts)) o (object, relation)
	WHERE o.relation = check_table.relation;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_in_use',
			MESSAGE = format('table %s is attached already', relation),
			DETAIL = format('It is the table of the %s of model "%s".', other.object, other.name),
			HINT = format('Detach it first: SELECT lifecycle_detach(%L).', other.name);
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_table(text, regclass) IS
'raises 42809, 42501 or 55006 if a table cannot be attached';

CREATE FUNCTION lifecycle.check_model_name(model_name text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM lifecycle.check_argument('model', model_name);
	PERFORM lifecycle.check_name('model', model_name);
	IF model_name LIKE 'pg\_%' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'reserved_name',
			MESSAGE = format('name of a model must not begin with "pg_": "%s"', model_name),
			DETAIL = 'A model lives in a schema of its name, and PostgreSQL keeps such schemas for itself.',
			HINT = format('Write %L.', regexp_replace(model_name, '^(pg_)+', ''));
	ELSIF EXISTS (SELECT FROM lifecycle.model m WHERE m.name = model_name) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_object',
			MESSAGE = format('model "%s" already exists', model_name),
			HINT = format('Choose another name, or drop it first: SELECT lifecycle_drop(%L).', model_name);
	ELSIF EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = model_name) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_schema',
			MESSAGE = format('schema "%s" already exists', model_name),
			DETAIL = 'A model lives in a schema of its name, which must be new.',
			HINT = 'Choose another name for the model.';
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_model_name(text) IS
'raises an error if a new model cannot have this name';


/* ---- the columns ---- */

-- From PostgreSQL 18 on a column may be declared NOT NULL and yet hold nulls: as
-- long as the constraint is not validated.
CREATE FUNCTION lifecycle.unique_columns(relation regclass)
RETURNS TABLE (column_name text, is_primary boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT DISTINCT a.attname::text, i.indisprimary
	FROM pg_index i
	JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
	WHERE i.indrelid = relation AND i.indisunique AND i.indisvalid AND i.indimmediate
	  AND i.indnkeyatts = 1 AND i.indpred IS NULL AND a.attnotnull
	  AND NOT EXISTS (
		SELECT FROM pg_constraint k
		WHERE k.conrelid = relation AND k.contype = 'n' AND NOT k.convalidated AND k.conkey[1] = a.attnum)
$$;

COMMENT ON FUNCTION lifecycle.unique_columns(regclass) IS
'columns that are unique by an index of their own and cannot be null, so that each can be the key of a table';

-- The columns that can be a table's key: of the primary key, else of unique
-- indexes.
CREATE FUNCTION lifecycle.key_columns(relation regclass, OUT column_names text[], OUT found_by text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT array_agg(u.column_name ORDER BY u.column_name), CASE WHEN u.is_primary THEN 'primary key' ELSE 'unique index' END
	FROM lifecycle.unique_columns(relation) u
	GROUP BY u.is_primary
	ORDER BY u.is_primary DESC
	LIMIT 1
$$;

COMMENT ON FUNCTION lifecycle.key_columns(regclass) IS
'columns that identify the rows of a table: the primary key, or single unique columns that are not null';

CREATE FUNCTION lifecycle.primary_key_in_words(relation regclass) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('That of this table is %s.', pg_get_constraintdef(k.oid))
	FROM pg_constraint k WHERE k.conrelid = relation AND k.contype = 'p'
$$;

COMMENT ON FUNCTION lifecycle.primary_key_in_words(regclass) IS
'a sentence with the primary key of a table, for messages; null if there is none';

-- A further contact that came before its deal, in another transaction, would be
-- seen by neither: a foreign key that is checked at once rules that out.
CREATE FUNCTION lifecycle.check_deal_reference(relation regclass, column_name text, deals regclass, deal_key text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (
		SELECT FROM pg_constraint k
		JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
		JOIN pg_attribute f ON f.attrelid = k.confrelid AND f.attnum = k.confkey[1]
		WHERE k.contype = 'f' AND k.conrelid = relation AND k.confrelid = deals AND cardinality(k.conkey) = 1
		  AND a.attname = check_deal_reference.column_name AND f.attname = deal_key
		  AND k.convalidated AND NOT k.condeferrable)
	THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_table_definition',
			MESSAGE = format('column "%s" of table %s needs a foreign key to the deals', column_name, relation),
			DETAIL = 'The key must be checked at once, so that no contact comes before its deal.',
			HINT = format('Run ALTER TABLE %s ADD FOREIGN KEY (%I) REFERENCES %s (%I) ON DELETE CASCADE.',
						  relation, column_name, deals, deal_key);
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_deal_reference(regclass, text, regclass, text) IS
'raises 42P16 unless the deals of further contacts are checked by a foreign key that is not deferrable';

CREATE FUNCTION lifecycle.map_columns(
	contacts regclass, companies regclass, deals regclass, events regclass, deal_contacts regclass, columns jsonb)
RETURNS SETOF lifecycle.mapping
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	objects text[] := '{contacts,companies,deals,events,deal_contacts}';
	relations regclass[] := ARRAY[contacts, companies, deals, events, deal_contacts];
	r record;
	entry record;
	given jsonb;
	result lifecycle.mapping;
	taken text[];
	taken_of jsonb := '{}';
	candidates text[];
	keys text[];
	tiers text[];
	tier text;
	target regclass;
	target_key text;
	target_name text;
	contact_key text;
	contact_type oid;
	company_key text;
	company_type oid;
	deal_key text;
	deal_type oid;
	column_type oid;
	generated "char";
BEGIN
	/* the argument's own form: objects and roles that there are */
	IF jsonb_typeof(columns) <> 'object' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "columns" must be a JSON object',
			HINT = 'Write for example columns => ''{"events": {"contact": "customer_id"}}''.';
	END IF;
	FOR entry IN SELECT key AS object, value FROM jsonb_each(columns) LOOP
		IF entry.object <> ALL (objects) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('argument "columns" names an unknown object "%s"', entry.object),
				HINT = lifecycle.name_hint(entry.object, objects, 'object');
		ELSIF relations[array_position(objects, entry.object)] IS NULL THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('argument "columns" names %s, but no such table is attached', entry.object),
				HINT = format('Give the table too: %s => ''...''.', entry.object);
		ELSIF jsonb_typeof(entry.value) <> 'object' THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('argument "columns" must have a JSON object for %s', entry.object),
				HINT = format('Write for example %s.', lifecycle.mapping_text(entry.object, 'key', 'id'));
		END IF;
		FOR r IN SELECT key AS role FROM jsonb_object_keys(entry.value) AS k (key) LOOP
			IF NOT EXISTS (SELECT FROM lifecycle.roles() o WHERE o.object = entry.object AND o.role = r.role) THEN
				RAISE EXCEPTION USING
					ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('argument "columns" names an unknown role "%s" of %s', r.role, entry.object),
					HINT = lifecycle.name_hint(r.role,
						(SELECT array_agg(o.role ORDER BY o.number) FROM lifecycle.roles() o WHERE o.object = entry.object),
						'role');
			END IF;
		END LOOP;
		-- a column that is asked for is not guessed for another role
		taken_of := taken_of || jsonb_build_object(entry.object,
			(SELECT coalesce(jsonb_agg(v.value), '[]') FROM jsonb_each(entry.value) v WHERE jsonb_typeof(v.value) = 'string'));
	END LOOP;

	FOR r IN SELECT * FROM lifecycle.roles() o ORDER BY o.number LOOP
		result := ROW(r.object, r.role, relations[array_position(objects, r.object)], NULL, NULL, NULL);
		CONTINUE WHEN result.relation IS NULL;
		CONTINUE WHEN r.kind = 'company' AND companies IS NULL;
		given := columns #> ARRAY[r.object, r.role];
		taken := ARRAY(SELECT jsonb_array_elements_text(coalesce(taken_of -> r.object, '[]')));
		candidates := NULL;

		IF jsonb_typeof(given) = 'null' THEN
			CONTINUE WHEN r.optional;
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('role "%s" of %s needs a column', r.role, r.object),
				HINT = format('Name it: %s.', lifecycle.mapping_text(r.object, r.role, NULL));
		ELSIF jsonb_typeof(given) = 'object' THEN
			IF r.object <> 'events' OR r.role <> 'name' THEN
				RAISE EXCEPTION USING
					ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('role "%s" of %s cannot be a constant', r.role, r.object),
					HINT = format('Name a column: %s.', lifecycle.mapping_text(r.object, r.role, NULL));
			ELSIF jsonb_typeof(given -> 'constant') IS DISTINCT FROM 'string' OR given - 'constant' <> '{}' THEN
				RAISE EXCEPTION USING
					ERRCODE = 'invalid_parameter_value',
					MESSAGE = 'a constant name of events is not well formed',
					HINT = 'Write columns => ''{"events": {"name": {"constant": "Purchase"}}}''.';
			END IF;
			PERFORM lifecycle.check_name('event', given ->> 'constant');
			result.constant := given ->> 'constant';
			result.chosen_by := 'constant ' || quote_literal(result.constant);
		ELSIF jsonb_typeof(given) = 'string' THEN
			result.column_name := given #>> '{}';
			PERFORM lifecycle.check_column(result.relation, result.column_name);
			result.chosen_by := 'columns argument';
			IF (SELECT count(*) FROM jsonb_each(columns -> r.object) v WHERE v.value = given) > 1 THEN
				RAISE EXCEPTION USING
					ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('column "%s" of table %s is given more than one role', result.column_name, result.relation),
					HINT = 'Name a column of its own for each role.';
			END IF;
		ELSIF given IS NOT NULL THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('role "%s" of %s must be mapped to the name of a column', r.role, r.object),
				HINT = format('Write for example %s.', lifecycle.mapping_text(r.object, r.role, NULL));
		END IF;

		IF r.kind = 'key' THEN
			IF result.column_name IS NULL THEN
				SELECT k.column_names, k.found_by INTO candidates, result.chosen_by
				FROM lifecycle.key_columns(result.relation) k;
			ELSIF result.column_name NOT IN (SELECT u.column_name FROM lifecycle.unique_columns(result.relation) u) THEN
				RAISE EXCEPTION USING
					ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('column "%s" cannot be the key of table %s', result.column_name, result.relation),
					DETAIL = concat_ws(' ', 'A key is unique by an index of its own, and not null.',
									   lifecycle.primary_key_in_words(result.relation)),
					HINT = format('Run ALTER TABLE %s ADD UNIQUE (%I), ALTER COLUMN %I SET NOT NULL; or name another column.',
								  result.relation, result.column_name, result.column_name);
			END IF;
			IF result.column_name IS NULL AND candidates IS NULL THEN
				CONTINUE WHEN r.optional;
				RAISE EXCEPTION USING
					ERRCODE = 'invalid_table_definition',
					MESSAGE = format('table %s has no usable key', result.relation),
					DETAIL = concat_ws(' ', 'A key is one column that is the primary key, or unique and not null.',
									   lifecycle.primary_key_in_words(result.relation)),
					HINT = CASE WHEN lifecycle.primary_key_in_words(result.relation) IS NULL
						THEN format('Run ALTER TABLE %s ADD PRIMARY KEY (...).', result.relation)
						ELSE format('Run ALTER TABLE %s ADD COLUMN ... bigint GENERATED ALWAYS AS IDENTITY UNIQUE.', result.relation) END;
			END IF;
			CONTINUE WHEN r.optional AND cardinality(candidates) > 1;
		ELSIF result.column_name IS NULL AND result.constant IS NULL THEN
			IF r.kind IN ('contact', 'company', 'deal') THEN
				target := CASE r.kind WHEN 'contact' THEN contacts WHEN 'company' THEN companies ELSE deals END;
				target_key := CASE r.kind WHEN 'contact' THEN contact_key WHEN 'company' THEN company_key ELSE deal_key END;
				SELECT array_agg(DISTINCT a.attname::text) INTO candidates
				FROM pg_constraint k
				JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
				JOIN pg_attribute f ON f.attrelid = k.confrelid AND f.attnum = k.confkey[1]
				WHERE k.contype = 'f' AND k.conrelid = result.relation AND k.confrelid = target
				  AND cardinality(k.conkey) = 1 AND f.attname = target_key
				  AND a.attname::text <> ALL (taken)
				  AND lifecycle.type_fits(r.kind, a.atttypid, contact_type, company_type, deal_type);
				result.chosen_by := 'foreign key';
			END IF;
			-- of several foreign keys, and where there is none, the usual names
			IF candidates IS NULL OR cardinality(candidates) > 1 THEN
				keys := candidates;
				tiers := string_to_array(r.names, '|');
				IF r.kind IN ('contact', 'company', 'deal') THEN
					-- after the table: customers gives customer_id; and a key
					-- that is not just called id may have its name here too
					target_name := (SELECT relname FROM pg_class WHERE oid = target);
					tiers := tiers[1:1]
						|| format('%s_id,%s_id%s', target_name,
								  CASE WHEN target_name ~* 'ies$' THEN regexp_replace(target_name, 'ies$', 'y', 'i')
									   ELSE regexp_replace(target_name, 's$', '', 'i') END,
								  CASE WHEN lower(target_key) <> 'id' THEN ',' || target_key ELSE '' END)
						|| tiers[2:];
				END IF;
				FOREACH tier IN ARRAY tiers LOOP
					SELECT array_agg(a.attname::text ORDER BY a.attnum) INTO candidates
					FROM pg_attribute a
					WHERE a.attrelid = result.relation AND a.attnum > 0 AND NOT a.attisdropped
					  AND replace(lower(a.attname), '_', '') = ANY (string_to_array(replace(lower(tier), '_', ''), ','))
					  AND a.attname::text <> ALL (taken)
					  AND (keys IS NULL OR a.attname::text = ANY (keys))
					  AND lifecycle.type_fits(r.kind, a.atttypid, contact_type, company_type, deal_type);
					EXIT WHEN candidates IS NOT NULL;
				END LOOP;
				IF keys IS NULL THEN
					result.chosen_by := 'usual name';
				END IF;
				candidates := coalesce(candidates, keys);
			END IF;
		END IF;

		IF cardinality(candidates) > 1 THEN
			RAISE EXCEPTION USING
				ERRCODE = 'ambiguous_column',
				MESSAGE = format('more than one column of table %s can be the "%s" of %s', result.relation, r.role, r.object),
				DETAIL = format('Candidates are %s.', lifecycle.quoted_list(candidates)),
				HINT = format('Say which: %s%s.', lifecycle.mapping_text(r.object, r.role, candidates[1]),
							  CASE WHEN r.optional THEN ', or null instead of a name for none' ELSE '' END);
		ELSIF candidates IS NOT NULL THEN
			result.column_name := candidates[1];
		ELSIF result.column_name IS NULL AND result.constant IS NULL THEN
			CONTINUE WHEN r.optional;
			IF r.addable THEN
				result.chosen_by := 'added';
				SELECT n INTO result.column_name
				FROM unnest(ARRAY[r.role, 'lifecycle_' || r.role]) WITH ORDINALITY u (n, i)
				WHERE n <> ALL (lifecycle.table_columns(result.relation)) ORDER BY i LIMIT 1;
			END IF;
			IF result.column_name IS NULL THEN
				SELECT array_agg(a.attname::text ORDER BY a.attnum) INTO candidates
				FROM pg_attribute a
				WHERE a.attrelid = result.relation AND a.attnum > 0 AND NOT a.attisdropped
				  AND a.attname::text <> ALL (taken)
				  AND lifecycle.type_fits(r.kind, a.atttypid, contact_type, company_type, deal_type);
				RAISE EXCEPTION USING
					ERRCODE = 'undefined_column',
					MESSAGE = format('cannot tell which column of table %s is the "%s" of %s', result.relation, r.role, r.object),
					DETAIL = format('It must be %s. %s', lifecycle.kind_in_words(r.kind, contact_type, company_type, deal_type),
									coalesce('Such columns are ' || lifecycle.quoted_list(candidates) || '.',
											 'No other column is of such a type.')),
					HINT = format('Say which: %s%s.', lifecycle.mapping_text(r.object, r.role, candidates[1]),
								  CASE WHEN r.object = 'events' AND r.role = 'name'
									   THEN ', or give all rows one name: columns => ''{"events": {"name": {"constant": "Purchase"}}}'''
									   ELSE '' END);
			END IF;
		END IF;

		IF result.column_name IS NOT NULL AND result.chosen_by <> 'added' THEN
			SELECT a.atttypid, a.attgenerated INTO column_type, generated
			FROM pg_attribute a
			WHERE a.attrelid = result.relation AND a.attname = result.column_name AND NOT a.attisdropped;
			IF NOT lifecycle.type_fits(r.kind, column_type, contact_type, company_type, deal_type) THEN
				RAISE EXCEPTION USING
					ERRCODE = 'datatype_mismatch',
					MESSAGE = format('column "%s" of table %s cannot be the "%s" of %s', result.column_name, result.relation, r.role, r.object),
					DETAIL = format('It is %s, but must be %s.', format_type(column_type, NULL),
									lifecycle.kind_in_words(r.kind, contact_type, company_type, deal_type)),
					HINT = 'Name another column, or change the type of this one.';
			ELSIF generated = 'v' OR generated = 's' AND r.kind <> 'key' AND r.object <> 'events' THEN
				RAISE EXCEPTION USING
					ERRCODE = 'invalid_column_definition',
					MESSAGE = format('column "%s" of table %s cannot be the "%s" of %s', result.column_name, result.relation, r.role, r.object),
					DETAIL = CASE WHEN r.object = 'events'
						THEN 'It is a virtual generated column, whose value triggers do not see.'
						ELSE 'It is a generated column, which nobody can write to.' END,
					HINT = concat(CASE WHEN r.object = 'events' THEN 'Make it a stored one, or name' ELSE 'Name' END, ' another column',
								  CASE WHEN r.optional THEN format(', or none: columns => ''{"%s": {"%s": null}}''', r.object, r.role) END,
								  '.');
			END IF;
			taken_of := taken_of || jsonb_build_object(r.object,
				coalesce(taken_of -> r.object, '[]') || to_jsonb(result.column_name));
			IF r.role = 'key' AND r.object = 'contacts' THEN
				contact_key := result.column_name;
				contact_type := column_type;
			ELSIF r.role = 'key' AND r.object = 'companies' THEN
				company_key := result.column_name;
				company_type := column_type;
			ELSIF r.role = 'key' AND r.object = 'deals' THEN
				deal_key := result.column_name;
				deal_type := column_type;
			END IF;
			IF r.kind = 'deal' THEN
				PERFORM lifecycle.check_deal_reference(result.relation, result.column_name, deals, deal_key);
			END IF;
		END IF;
		RETURN NEXT result;
	END LOOP;
END
$$;

COMMENT ON FUNCTION lifecycle.map_columns(regclass, regclass, regclass, regclass, regclass, jsonb) IS
'finds which column plays which role; raises 42702 where that is ambiguous, 42703 where there is none, 42804 for a wrong type';

CREATE FUNCTION lifecycle.column_type_text(relation regclass, column_name text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
	WHERE a.attrelid = relation AND a.attname = column_type_text.column_name AND NOT a.attisdropped
$$;

COMMENT ON FUNCTION lifecycle.column_type_text(regclass, text) IS 'type of a column as it is written in DDL';


/* ---- what the rows say already ---- */

-- Brings texts that differ from a name by case or blanks only to its spelling, and
-- raises an error that lists those that are no name at all.  Under the template
-- empty there are no names to compare with: those found are taken over.
CREATE FUNCTION lifecycle.adopt_names(
	model_name text, relation regclass, column_name text, table_name text, take_over boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kind text := replace(table_name, '_', ' ');
	unknown text[];
BEGIN
	IF take_over THEN
		EXECUTE format($sql$
			SELECT array_agg(t ORDER BY t) FROM (
				SELECT min(btrim(r.%2$I)) AS t FROM %3$s r
				WHERE r.%2$I IS NOT NULL
				  AND NOT EXISTS (SELECT FROM %1$I.%4$I n WHERE lower(n.name) = lower(btrim(r.%2$I)))
				GROUP BY lower(btrim(r.%2$I))) u $sql$,
			model_name, column_name, relation, table_name) INTO unknown;
		IF unknown IS NOT NULL THEN
			PERFORM lifecycle.check_name(kind, t) FROM unnest(unknown) t;
			EXECUTE format($sql$
				INSERT INTO %1$I.%2$I (name, position)
				SELECT t, i + (SELECT coalesce(max(position), 0) FROM %1$I.%2$I)
				FROM unnest($1) WITH ORDINALITY u (t, i) $sql$, model_name, table_name) USING unknown;
			RAISE NOTICE 'model "%" takes over % from column "%" of table %',
				model_name, lifecycle.quoted_list(unknown), column_name, relation
				USING HINT = format('Put them in order with lifecycle_alter_%s.', table_name);
		END IF;
	END IF;

	EXECUTE format($sql$
		UPDATE %3$s r SET %2$I = n.name FROM %1$I.%4$I n
		WHERE lower(btrim(r.%2$I)) = lower(n.name) AND r.%2$I <> n.name $sql$,
		model_name, column_name, relation, table_name);
	EXECUTE format($sql$
		SELECT array_agg(t ORDER BY t) FROM (
			SELECT DISTINCT r.%2$I::text AS t FROM %3$s r
			WHERE r.%2$I IS NOT NULL
			  AND NOT EXISTS (SELECT FROM %1$I.%4$I n WHERE n.name = r.%2$I)
			LIMIT 21) u $sql$,
		model_name, column_name, relation, table_name) INTO unknown;
	IF unknown IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('column "%s" of table %s holds texts that are no %s of the model', column_name, relation, kind),
			DETAIL = format('They are %s.', lifecycle.quoted_list(unknown)),
			HINT = concat_ws(' ',
				format('Change them first, for example UPDATE %s SET %I = NULL WHERE %I = %L.',
					   relation, column_name, column_name, unknown[1]),
				lifecycle.name_hint(unknown[1], lifecycle.names_of(model_name, table_name), kind),
				'The template empty takes over what is there.');
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.adopt_names(text, regclass, text, text, boolean) IS
'restores the canonical spelling of names in a column, or raises 22023 with those that are unknown';

CREATE FUNCTION lifecycle.adopt_deals(m lifecycle.model, take_over boolean) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	stage_column text := lifecycle.mapped_column(m.name, 'deals', 'stage');
	pipeline_column text := lifecycle.mapped_column(m.name, 'deals', 'pipeline');
	is_open_column text := lifecycle.mapped_column(m.name, 'deals', 'is_open');
	first_pipeline text;
	pipeline text;
	found_stages text[];
BEGIN
	IF pipeline_column IS NOT NULL THEN
		PERFORM lifecycle.adopt_names(m.name, m.deals, pipeline_column, 'pipeline', take_over);
	END IF;
	EXECUTE format('SELECT array_agg(t ORDER BY t) FROM (SELECT DISTINCT r.%I::text AS t FROM %s r) u WHERE t IS NOT NULL',
				   stage_column, m.deals) INTO found_stages;
	IF take_over AND found_stages IS NOT NULL THEN
		EXECUTE format('INSERT INTO %1$I.pipeline (name, position)
						SELECT ''Sales'', 1 WHERE NOT EXISTS (SELECT FROM %1$I.pipeline)', m.name);
	END IF;

	-- the pipeline that a row r is in, as SQL for the statements below
	EXECUTE format('SELECT name FROM %I.pipeline ORDER BY position LIMIT 1', m.name) INTO first_pipeline;
	pipeline := format(CASE WHEN pipeline_column IS NULL THEN '%2$L::text' ELSE 'coalesce(r.%1$I, %2$L)' END,
					   pipeline_column, first_pipeline);

	IF take_over AND found_stages IS NOT NULL THEN
		EXECUTE format($sql$
			INSERT INTO %1$I.deal_stage (pipeline, name, position, probability, kind)
			SELECT p, t, row_number() OVER (PARTITION BY p ORDER BY k, t),
				   CASE k WHEN 1 THEN 50 WHEN 2 THEN 100 ELSE 0 END,
				   CASE k WHEN 1 THEN 'open' WHEN 2 THEN 'won' ELSE 'lost' END
			FROM (SELECT p, min(t) AS t,
						 CASE WHEN min(t) ~* '\mwon\M' THEN 2 WHEN min(t) ~* '\mlost\M' THEN 3 ELSE 1 END AS k
				  FROM (SELECT DISTINCT %2$s AS p, btrim(r.%3$I) AS t FROM %4$s r WHERE r.%3$I IS NOT NULL) d
				  GROUP BY p, lower(t)) u $sql$,
			m.name, pipeline, stage_column, m.deals);
		RAISE NOTICE 'model "%" takes over the deal stages % from table %',
			m.name, lifecycle.quoted_list(found_stages), m.deals
			USING HINT = 'Set order, probability and kind with lifecycle_alter_deal_stage.';
	END IF;

	-- as the trigger does for rows that come later
	IF pipeline_column IS NOT NULL AND first_pipeline IS NOT NULL THEN
		EXECUTE format('UPDATE %2$s r SET %1$I = %3$L WHERE r.%1$I IS NULL', pipeline_column, m.deals, first_pipeline);
	END IF;
	EXECUTE format($sql$
		UPDATE %3$s r SET %2$I = (SELECT n.name FROM %1$I.deal_stage n WHERE n.pipeline = %4$s ORDER BY n.position LIMIT 1)
		WHERE r.%2$I IS NULL AND EXISTS (SELECT FROM %1$I.deal_stage n WHERE n.pipeline = %4$s) $sql$,
		m.name, stage_column, m.deals, pipeline);

	EXECUTE format($sql$
		UPDATE %3$s r SET %2$I = n.name FROM %1$I.deal_stage n
		WHERE n.pipeline = %4$s AND lower(btrim(r.%2$I)) = lower(n.name) AND r.%2$I <> n.name $sql$,
		m.name, stage_column, m.deals, pipeline);
	EXECUTE format($sql$
		SELECT array_agg(t ORDER BY t) FROM (
			SELECT DISTINCT r.%2$I::text AS t FROM %3$s r
			WHERE r.%2$I IS NOT NULL
			  AND NOT EXISTS (SELECT FROM %1$I.deal_stage n WHERE n.pipeline = %4$s AND n.name = r.%2$I)
			LIMIT 21) u $sql$,
		m.name, stage_column, m.deals, pipeline) INTO found_stages;
	IF found_stages IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('column "%s" of table %s holds texts that are no stage of the deal''s pipeline', stage_column, m.deals),
			DETAIL = format('They are %s.', lifecycle.quoted_list(found_stages)),
			HINT = 'Change them first, attach without the deals, or use template => ''empty'', which takes over what is there.';
	END IF;

	EXECUTE format($sql$
		UPDATE %3$s r SET %2$I = coalesce((SELECT n.kind = 'open' FROM %1$I.deal_stage n WHERE n.pipeline = %4$s AND n.name = r.%5$I), true)
		WHERE r.%2$I IS DISTINCT FROM coalesce((SELECT n.kind = 'open' FROM %1$I.deal_stage n WHERE n.pipeline = %4$s AND n.name = r.%5$I), true) $sql$,
		m.name, is_open_column, m.deals, pipeline, stage_column);
END
$$;

COMMENT ON FUNCTION lifecycle.adopt_deals(lifecycle.model, boolean) IS
'restores the spelling of pipelines and deal stages, raises 22023 for unknown ones, and fills is_open and what is missing, as the trigger does';

-- What the rows say when they are attached is the start of their history.
CREATE FUNCTION lifecycle.start_history(m lifecycle.model) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	o record;
	key_column text;
	pipeline_column text := lifecycle.mapped_column(m.name, 'deals', 'pipeline');
	amount_column text := lifecycle.mapped_column(m.name, 'deals', 'amount');
	company_column text := lifecycle.mapped_column(m.name, 'deals', 'company');
BEGIN
	FOR o IN
		SELECT * FROM (VALUES ('contacts', 'contact', m.contacts), ('companies', 'company', m.companies)) v (object, name, relation)
		WHERE v.relation IS NOT NULL
	LOOP
		key_column := lifecycle.mapped_column(m.name, o.object, 'key');
		EXECUTE format($sql$
			INSERT INTO %1$I.stage_history (object, %2$I, to_stage, at, cause, reason, role)
			SELECT %2$L, r.%3$I, r.%4$I, $1, 'import', 'attached', current_user FROM %5$s r WHERE r.%4$I IS NOT NULL $sql$,
			m.name, o.name, key_column, lifecycle.mapped_column(m.name, o.object, 'stage'), o.relation)
			USING lifecycle.model_clock(m.name);
		EXECUTE format($sql$
			INSERT INTO %1$I.stage_count (object, stage, number)
			SELECT %2$L, r.%3$I, count(*) FROM %4$s r WHERE r.%3$I IS NOT NULL GROUP BY r.%3$I $sql$,
			m.name, o.name, lifecycle.mapped_column(m.name, o.object, 'stage'), o.relation);
		EXECUTE format($sql$
			INSERT INTO %1$I.lead_status_history (object, %2$I, to_status, at, cause, reason, role)
			SELECT %2$L, r.%3$I, r.%4$I, $1, 'import', 'attached', current_user FROM %5$s r WHERE r.%4$I IS NOT NULL $sql$,
			m.name, o.name, key_column, lifecycle.mapped_column(m.name, o.object, 'lead_status'), o.relation)
			USING lifecycle.model_clock(m.name);
	END LOOP;

	IF m.deals IS NOT NULL THEN
		EXECUTE format($sql$
			INSERT INTO %1$I.deal_history (deal, contact, company, pipeline, to_stage, amount, at, cause, reason, role)
			SELECT r.%2$I, r.%3$I, %4$s, %5$s, r.%6$I, %7$s, $1, 'import', 'attached', current_user FROM %8$s r $sql$,
			m.name, lifecycle.mapped_column(m.name, 'deals', 'key'), lifecycle.mapped_column(m.name, 'deals', 'contact'),
			CASE WHEN company_column IS NULL THEN 'NULL' ELSE format('r.%I', company_column) END,
			CASE WHEN pipeline_column IS NULL THEN format('(SELECT name FROM %I.pipeline ORDER BY position LIMIT 1)', m.name)
				 ELSE format('r.%I', pipeline_column) END,
			lifecycle.mapped_column(m.name, 'deals', 'stage'),
			CASE WHEN amount_column IS NULL THEN 'NULL' ELSE format('r.%I', amount_column) END,
			m.deals)
			USING lifecycle.model_clock(m.name);
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.start_history(lifecycle.model) IS
'writes the first row of history for the stages, statuses and deals that are there when tables are attached';


/* ---- indexes ---- */

CREATE FUNCTION lifecycle.free_index_name(relation regclass, wanted text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT n.name
	FROM pg_class t
	CROSS JOIN LATERAL (
		SELECT wanted || CASE WHEN i = 1 THEN '' ELSE '_' || i END AS name, i FROM generate_series(1, 10000) i) n
	WHERE t.oid = relation
	  AND NOT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = t.relnamespace AND c.relname = n.name)
	ORDER BY n.i
	LIMIT 1
$$;

COMMENT ON FUNCTION lifecycle.free_index_name(regclass, text) IS
'a name for an index: the one wanted, or with a number after it if another table of the schema has it';

CREATE FUNCTION lifecycle.create_index_on(relation regclass, wanted text, column_name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (
		SELECT FROM pg_index i
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		JOIN pg_class c ON c.oid = i.indexrelid
		JOIN pg_am am ON am.oid = c.relam AND am.amname = 'btree'
		WHERE i.indrelid = relation AND i.indisvalid AND i.indpred IS NULL AND a.attname = create_index_on.column_name)
	THEN
		EXECUTE format('CREATE INDEX %I ON %s (%I)', lifecycle.free_index_name(relation, wanted), relation, column_name);
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.create_index_on(regclass, text, text) IS
'creates an index on a column, unless the table has one that begins with it';

CREATE FUNCTION lifecycle.create_indexes(m lifecycle.model) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	contact_column text;
	other_column text;
	time_column text;
	is_open_column text;
	columns text;
	examples text;
BEGIN
	IF m.deals IS NOT NULL THEN
		contact_column := lifecycle.mapped_column(m.name, 'deals', 'contact');
		other_column := lifecycle.mapped_column(m.name, 'deals', 'pipeline');
		is_open_column := lifecycle.mapped_column(m.name, 'deals', 'is_open');
		columns := concat_ws(', ', quote_ident(contact_column), quote_ident(other_column));
		EXECUTE format($sql$
			SELECT string_agg(format('contact %%s has %%s', c, n), '; ')
			FROM (SELECT %1$I::text AS c, count(*) AS n FROM %2$s
				  WHERE %3$I AND NOT (%4$s) GROUP BY %5$s HAVING count(*) > 1 ORDER BY 2 DESC, 1 LIMIT 3) d $sql$,
			contact_column, m.deals, is_open_column,
			concat_ws(' OR ', quote_ident(contact_column) || ' IS NULL', quote_ident(other_column) || ' IS NULL'),
			columns) INTO examples;
		IF examples IS NOT NULL THEN
			RAISE EXCEPTION USING
				ERRCODE = 'unique_violation',
				MESSAGE = format('table %s has contacts with more than one open deal%s', m.deals,
								 CASE WHEN other_column IS NULL THEN '' ELSE ' in a pipeline' END),
				DETAIL = format('For example: %s.', examples),
				HINT = 'Move all but one of them to a won or lost stage, or to another pipeline, and attach again.';
		END IF;
		EXECUTE format('CREATE UNIQUE INDEX %I ON %s (%s) WHERE %I',
					   lifecycle.free_index_name(m.deals, 'lifecycle_one_open_deal'), m.deals, columns, is_open_column);
	END IF;

	IF m.deal_contacts IS NOT NULL THEN
		PERFORM lifecycle.create_index_on(m.deal_contacts, 'lifecycle_deals_of_contact', lifecycle.mapped_column(m.name, 'deal_contacts', 'contact'));
		PERFORM lifecycle.create_index_on(m.deal_contacts, 'lifecycle_contacts_of_deal', lifecycle.mapped_column(m.name, 'deal_contacts', 'deal'));
	END IF;

	IF m.events IS NULL THEN
		RETURN;
	END IF;
	other_column := lifecycle.mapped_column(m.name, 'events', 'message_id');
	IF other_column IS NOT NULL AND NOT EXISTS (
		SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		WHERE i.indrelid = m.events AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1
		  AND i.indpred IS NULL AND a.attname = other_column)
	THEN
		IF EXISTS (SELECT FROM pg_class c WHERE c.oid = m.events AND c.relkind = 'p') THEN
			RAISE NOTICE 'column "%" of the partitioned table % is not made unique', other_column, m.events
				USING DETAIL = 'A unique index of a partitioned table holds its partition key too, so PostgreSQL cannot refuse a message id that comes twice.';
		ELSE
			EXECUTE format($sql$
				SELECT string_agg(format('"%%s" is there %%s times', c, n), '; ')
				FROM (SELECT %1$I::text AS c, count(*) AS n FROM %2$s
					  WHERE %1$I IS NOT NULL GROUP BY %1$I HAVING count(*) > 1 ORDER BY 2 DESC, 1 LIMIT 3) d $sql$,
				other_column, m.events) INTO examples;
			IF examples IS NOT NULL THEN
				RAISE EXCEPTION USING
					ERRCODE = 'unique_violation',
					MESSAGE = format('column "%s" of table %s cannot be the message id of events, because it is not unique',
									 other_column, m.events),
					DETAIL = format('For example: %s.', examples),
					HINT = format('Delete the events that came twice, or leave the column out: columns => ''{"events": {"message_id": null}}''.');
			END IF;
			EXECUTE format('CREATE UNIQUE INDEX %I ON %s (%I)',
						   lifecycle.free_index_name(m.events, 'lifecycle_message_id'), m.events, other_column);
		END IF;
	END IF;

	contact_column := lifecycle.mapped_column(m.name, 'events', 'contact');
	IF NOT EXISTS (
		SELECT FROM pg_index i
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		JOIN pg_class c ON c.oid = i.indexrelid
		JOIN pg_am am ON am.oid = c.relam AND am.amname = 'btree'
		WHERE i.indrelid = m.events AND i.indisvalid AND i.indpred IS NULL AND a.attname = contact_column)
	THEN
		EXECUTE format('CREATE INDEX %I ON %s (%s)',
					   lifecycle.free_index_name(m.events, 'lifecycle_events_of_contact'), m.events,
					   concat_ws(', ', quote_ident(contact_column),
								 quote_ident(lifecycle.mapped_column(m.name, 'events', 'name')),
								 quote_ident(lifecycle.mapped_column(m.name, 'events', 'time'))));
	END IF;

	-- the events that wait for lifecycle_identify
	other_column := lifecycle.mapped_column(m.name, 'events', 'anonymous_id');
	IF other_column IS NOT NULL AND NOT EXISTS (
		SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		WHERE i.indrelid = m.events AND i.indisvalid AND i.indpred IS NULL AND a.attname = other_column)
	THEN
		EXECUTE format('CREATE INDEX %I ON %s (%I) WHERE %I IS NULL',
					   lifecycle.free_index_name(m.events, 'lifecycle_events_of_nobody'), m.events,
					   other_column, contact_column);
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.create_indexes(lifecycle.model) IS
'creates the indexes that the engine needs on deals and events; raises 23505 if rows stand in the way';


/* ---- triggers ---- */

-- A trigger function may be used only by one who may execute it, and the C
-- functions are revoked from PUBLIC.  So this runs as the extension's owner;
-- it asks nobody, and puts triggers only on tables that the registry names,
-- which their owner has agreed to.
CREATE FUNCTION lifecycle.create_triggers(model_name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_model(model_name);
	t record;
	k record;
BEGIN
	FOR t IN
		SELECT o.object, c.oid::regclass AS relation, c.oid = o.root AS is_root
		FROM (VALUES ('contacts', m.contacts), ('companies', m.companies), ('deals', m.deals), ('events', m.events), ('deal_contacts', m.deal_contacts)) o (object, root)
		CROSS JOIN LATERAL lifecycle.table_tree(o.root) AS p (relation)
		JOIN pg_class c ON c.oid = p.relation AND c.relkind IN ('r', 'p')
		ORDER BY o.object, is_root DESC, c.oid
	LOOP
		FOR k IN
			SELECT * FROM (VALUES
				('insert', 'INSERT', 'REFERENCING NEW TABLE AS new_rows'),
				('update', 'UPDATE', 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'),
				('delete', 'DELETE', 'REFERENCING OLD TABLE AS old_rows'),
				('truncate', 'TRUNCATE', '')) v (kind, event, transition)
		LOOP
			CONTINUE WHEN EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.relation AND g.tgname = 'lifecycle_' || k.kind);
			EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION lifecycle.%I()',
						   'lifecycle_' || k.kind, k.event, t.relation, k.transition, t.object || '_' || k.kind);
		END LOOP;
		-- PostgreSQL clones a row trigger to all partitions itself
		CONTINUE WHEN NOT t.is_root OR t.object IN ('events', 'deal_contacts')
			OR EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.relation AND g.tgname = 'lifecycle_check');
		EXECUTE format('CREATE TRIGGER lifecycle_check BEFORE INSERT OR UPDATE %s ON %s FOR EACH ROW EXECUTE FUNCTION lifecycle.%I()',
					   CASE WHEN t.object = 'deals' THEN ''
							ELSE format('OF %I, %I', lifecycle.mapped_column(m.name, t.object, 'stage'),
										lifecycle.mapped_column(m.name, t.object, 'lead_status')) END,
					   t.relation, t.object || '_check');
	END LOOP;
END
$$;

COMMENT ON FUNCTION lifecycle.create_triggers(text) IS
'puts the triggers that are missing on the tables of a model and their partitions';

-- The data definition commands of others that touch attached tables: a new
-- partition gets its triggers, one that was detached loses them, a renamed
-- column is followed, and what would break a model is refused.  So is a key
-- that could become null, which the C code does not expect.
--
-- It runs as the extension's owner, so it reads catalogs and the registry only:
-- a table in a model's schema may have become a view, whose functions would
-- run with these rights.
CREATE FUNCTION lifecycle.on_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	command record;
	m lifecycle.model;
	object_name text;
	missing record;
	root regclass;
	new_name text;
	new_partitions boolean;
BEGIN
	FOR command IN
		SELECT DISTINCT d.objid, d.objsubid, d.object_type
		FROM pg_event_trigger_ddl_commands() d
		WHERE d.object_type IN ('table', 'table column', 'schema')
	LOOP
		IF command.object_type = 'schema' THEN
			SELECT d.name INTO object_name FROM lifecycle.model d
			WHERE NOT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = d.name) LIMIT 1;
			IF FOUND THEN
				RAISE EXCEPTION USING
					ERRCODE = 'dependent_objects_still_exist',
					MESSAGE = format('cannot rename schema "%s" because it is the schema of a model', object_name),
					HINT = format('Detach the model first: SELECT lifecycle_detach(%L).', object_name);
			END IF;
			CONTINUE;
		END IF;

		root := coalesce(pg_partition_root(command.objid), command.objid::regclass);
		SELECT d.* INTO m FROM lifecycle.model d
		WHERE root IN (d.contacts, d.companies, d.deals, d.events, d.deal_contacts);
		CONTINUE WHEN NOT FOUND;

		FOR missing IN
			SELECT c.object, c.role, c.column_name, r.relation
			FROM lifecycle.model_column c
			JOIN (VALUES ('contacts', m.contacts), ('companies', m.companies), ('deals', m.deals), ('events', m.events), ('deal_contacts', m.deal_contacts)) r (object, relation)
				ON r.object = c.object AND r.relation = command.objid
			WHERE c.model = m.name AND c.column_name IS NOT NULL
			  AND c.column_name <> ALL (lifecycle.table_columns(r.relation))
		LOOP
			SELECT a.attname INTO new_name FROM pg_attribute a
			WHERE a.attrelid = command.objid AND a.attnum = command.objsubid AND NOT a.attisdropped;
			IF FOUND AND command.objsubid > 0 THEN
				UPDATE lifecycle.model_column c SET column_name = new_name
				WHERE c.model = m.name AND c.object = missing.object AND c.role = missing.role;
			ELSE
				RAISE EXCEPTION USING
					ERRCODE = 'dependent_objects_still_exist',
					MESSAGE = format('cannot drop column "%s" of table %s because model "%s" needs it',
									 missing.column_name, missing.relation, m.name),
					DETAIL = format('It is the "%s" of %s.', missing.role, missing.object),
					HINT = format('Detach the model first: SELECT lifecycle_detach(%L).', m.name);
			END IF;
		END LOOP;

		-- While a dump is restored, keys come before the triggers.
		SELECT c.object, c.column_name, r.relation INTO missing
		FROM lifecycle.model_column c
		JOIN (VALUES ('contacts', m.contacts), ('companies', m.companies), ('deals', m.deals)) r (object, relation)
			ON r.object = c.object AND r.relation = command.objid
		WHERE c.model = m.name AND c.role = 'key'
		  AND c.column_name NOT IN (SELECT u.column_name FROM lifecycle.unique_columns(r.relation) u)
		  AND EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = r.relation AND g.tgname = 'lifecycle_insert');
		IF FOUND THEN
			RAISE EXCEPTION USING
				ERRCODE = 'dependent_objects_still_exist',
				MESSAGE = format('column "%s" of table %s must stay unique and not null because model "%s" needs it',
								 missing.column_name, missing.relation, m.name),
				DETAIL = format('It is the key of %s.', missing.object),
				HINT = format('Put another unique index on the column first, or detach the model: SELECT lifecycle_detach(%L).', m.name);
		END IF;

		IF command.objid = m.contacts AND to_regclass(format('%I.contact_state', m.name)) IS NOT NULL
		   AND lifecycle.column_type_text(m.contacts, lifecycle.mapped_column(m.name, 'contacts', 'key'))
			   <> lifecycle.column_type_text(to_regclass(format('%I.contact_state', m.name)), 'contact') THEN
			RAISE EXCEPTION USING
				ERRCODE = 'dependent_objects_still_exist',
				MESSAGE = format('cannot change the type of the key of table %s because model "%s" keeps it', m.contacts, m.name),
				HINT = format('Detach the model first: SELECT lifecycle_detach(%L).', m.name);
		END IF;

		-- Only partitions that came with this command, and only if the root has
		-- its triggers: while a dump is restored the triggers come later.
		SELECT EXISTS (
			SELECT FROM lifecycle.table_tree(root) p
			JOIN pg_inherits i ON i.inhrelid = p
			WHERE age(i.xmin) <= age(pg_snapshot_xmin(pg_current_snapshot())::xid))
		   AND EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = root AND g.tgname = 'lifecycle_insert')
		INTO new_partitions;
		IF new_partitions THEN
			PERFORM lifecycle.create_triggers(m.name);
		END IF;
		PERFORM lifecycle.tidy();
		PERFORM lifecycle.reload(m.name);
	END LOOP;
END
$$;

REVOKE ALL ON FUNCTION lifecycle.on_ddl() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.on_ddl() IS
'keeps triggers and registry in line with changes of attached tables, and refuses those that would break a model';

CREATE FUNCTION lifecycle.on_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() d WHERE d.object_type IN ('table', 'schema'))
	   AND EXISTS (
		SELECT FROM lifecycle.model m
		WHERE NOT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = m.name)
		   OR EXISTS (
			SELECT FROM unnest(ARRAY[m.contacts, m.companies, m.deals, m.events, m.deal_contacts]) r
			WHERE r IS NOT NULL AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = r)))
	THEN
		PERFORM lifecycle.tidy();
	END IF;
END
$$;

REVOKE ALL ON FUNCTION lifecycle.on_drop() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.on_drop() IS 'forgets models whose schema or tables were dropped';

CREATE EVENT TRIGGER lifecycle_ddl ON ddl_command_end
WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'ALTER SCHEMA')
EXECUTE FUNCTION lifecycle.on_ddl();

COMMENT ON EVENT TRIGGER lifecycle_ddl IS 'keeps lifecycle''s triggers on the partitions of attached tables';

CREATE EVENT TRIGGER lifecycle_drop ON sql_drop
WHEN TAG IN ('DROP TABLE', 'DROP SCHEMA', 'DROP OWNED')
EXECUTE FUNCTION lifecycle.on_drop();

COMMENT ON EVENT TRIGGER lifecycle_drop IS 'forgets models of lifecycle whose schema or tables were dropped';


/* ---- attach and create ---- */

-- The schema exists and the tables are checked; everything else is done here,
-- for attached and for embedded tables alike.
CREATE FUNCTION lifecycle.attach_model(
	model_name text, contacts regclass, events regclass, companies regclass, deals regclass,
	deal_contacts regclass, columns jsonb, template text, embedded boolean)
RETURNS SETOF lifecycle.mapping
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model;
	mappings lifecycle.mapping[];
	x lifecycle.mapping;
	key_types text[];
	object_name text;
	comment_text text;
BEGIN
	mappings := ARRAY(SELECT p FROM lifecycle.map_columns(contacts, companies, deals, events, deal_contacts, columns) p);

	FOREACH x IN ARRAY mappings LOOP
		IF x.chosen_by = 'added' THEN
			comment_text := CASE x.role
				WHEN 'stage' THEN format('lifecycle stage, kept by model %s', quote_ident(model_name))
				WHEN 'lead_status' THEN format('lead status, kept by model %s', quote_ident(model_name))
				ELSE format('true while the deal is in an open stage, kept by model %s', quote_ident(model_name)) END;
			EXECUTE format('ALTER TABLE %s ADD COLUMN %I %s', x.relation, x.column_name,
						   CASE x.role WHEN 'is_open' THEN 'boolean NOT NULL DEFAULT true' ELSE 'text' END);
			EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', x.relation, x.column_name, comment_text);
		END IF;
	END LOOP;

	FOREACH object_name IN ARRAY ARRAY['contacts', 'companies', 'deals'] LOOP
		key_types := key_types || coalesce(
			(SELECT lifecycle.column_type_text(u.relation, u.column_name) FROM unnest(mappings) u
			 WHERE u.object = object_name AND u.role = 'key'), 'text');
	END LOOP;
	PERFORM lifecycle.create_model_tables(model_name, key_types[1], key_types[2], key_types[3]);
	PERFORM lifecycle.create_task_tables(model_name, key_types[1], key_types[2], key_types[3]);
	PERFORM lifecycle.create_score_tables(model_name);

	INSERT INTO lifecycle.model (name, contacts, companies, deals, events, deal_contacts, template, embedded)
	VALUES (model_name, contacts, companies, deals, events, deal_contacts, lower(template), embedded)
	RETURNING * INTO m;
	INSERT INTO lifecycle.model_column (model, object, role, column_name, constant)
	SELECT model_name, u.object, u.role, u.column_name, u.constant FROM unnest(mappings) u;
	PERFORM lifecycle.create_settings(model_name);
	PERFORM lifecycle.reload(model_name);

	PERFORM lifecycle.apply_template(model_name, template);

	PERFORM lifecycle.adopt_names(m.name, u.relation, u.column_name, u.role, lower(template) = 'empty')
	FROM unnest(mappings) u
	WHERE u.object IN ('contacts', 'companies') AND u.role IN ('stage', 'lead_status') AND u.chosen_by <> 'added';
	IF m.deals IS NOT NULL THEN
		PERFORM lifecycle.adopt_deals(m, lower(template) = 'empty');
	END IF;
	PERFORM lifecycle.start_history(m);
	PERFORM lifecycle.create_indexes(m);

	PERFORM lifecycle.create_triggers(model_name);
	PERFORM lifecycle.reload(model_name);
	PERFORM lifecycle.take_in(model_name);
	PERFORM lifecycle.create_views(model_name);

	RETURN QUERY
		SELECT u.object, u.role, u.relation, u.column_name, u.constant, u.chosen_by
		FROM unnest(mappings) WITH ORDINALITY u (object, role, relation, column_name, constant, chosen_by, number)
		ORDER BY array_position('{contacts,companies,deals,events,deal_contacts}', u.object), u.number;
END
$$;

COMMENT ON FUNCTION lifecycle.attach_model(text, regclass, regclass, regclass, regclass, regclass, jsonb, text, boolean) IS
'makes a model over tables in a schema that exists; what lifecycle_attach and lifecycle_create share';

CREATE FUNCTION @extschema@.lifecycle_attach(
	model text, contacts regclass, events regclass DEFAULT NULL, companies regclass DEFAULT NULL,
	deals regclass DEFAULT NULL, columns jsonb DEFAULT '{}', template text DEFAULT 'hubspot',
	deal_contacts regclass DEFAULT NULL)
RETURNS TABLE (object text, role text, "table" regclass, "column" text, chosen_by text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t record;
BEGIN
	PERFORM lifecycle.check_model_name(model);
	PERFORM lifecycle.check_argument('contacts', contacts);
	PERFORM lifecycle.check_argument('columns', columns);
	PERFORM lifecycle.check_template(template);
	IF deal_contacts IS NOT NULL AND deals IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'further contacts of deals cannot be attached without the deals',
			HINT = 'Give the table of the deals too: deals => ''...''.';
	END IF;

	FOR t IN
		SELECT v.* FROM (VALUES (1, 'events', events), (2, 'deal_contacts', deal_contacts), (3, 'deals', deals), (4, 'contacts', contacts), (5, 'companies', companies)) v (number, object, relation)
		WHERE v.relation IS NOT NULL ORDER BY v.number
	LOOP
		PERFORM lifecycle.check_table(t.object, t.relation);
		IF (SELECT count(*) FROM unnest(ARRAY[contacts, events, companies, deals, deal_contacts]) r WHERE r = t.relation) > 1 THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('table %s is given more than once', t.relation),
				HINT = 'Give a table of its own for each of contacts, events, companies, deals and deal_contacts.';
		END IF;
	END LOOP;
	-- With the writers shut out, what another session attached meanwhile is to
	-- be seen: check again.
	FOR t IN
		SELECT v.* FROM (VALUES (1, 'events', events), (2, 'deal_contacts', deal_contacts), (3, 'deals', deals), (4, 'contacts', contacts), (5, 'companies', companies)) v (number, object, relation)
		WHERE v.relation IS NOT NULL ORDER BY v.number
	LOOP
		EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', t.relation);
		PERFORM lifecycle.check_table(t.object, t.relation);
	END LOOP;

	EXECUTE format('CREATE SCHEMA %I', model);
	EXECUTE format('COMMENT ON SCHEMA %I IS %L', model, format('lifecycle model over table %s', contacts));
	RETURN QUERY
		SELECT a.object, a.role, a.relation, a.column_name, a.chosen_by
		FROM lifecycle.attach_model(model, contacts, events, companies, deals, deal_contacts, columns, template, false) a;
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_attach(text, regclass, regclass, regclass, regclass, jsonb, text, regclass) IS
'makes a model over tables that exist, takes in their rows, and reports which column it chose for each role, and why; raises an error with the candidates and what to type where that is ambiguous';

CREATE FUNCTION @extschema@.lifecycle_create(model text, template text DEFAULT 'hubspot') RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $create$
BEGIN
	PERFORM lifecycle.check_model_name(model);
	PERFORM lifecycle.check_template(template);
	EXECUTE format($ddl$

CREATE SCHEMA %1$I;
COMMENT ON SCHEMA %1$I IS 'lifecycle model with its contacts, companies, deals and events';

CREATE TABLE %1$I.companies (
	id			bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	name		text,
	domain		text,
	industry	text,
	country		text,
	owner		text,
	stage		text,
	lead_status	text,
	created_at	timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE %1$I.companies IS 'companies';
COMMENT ON COLUMN %1$I.companies.id IS 'key of the company';
COMMENT ON COLUMN %1$I.companies.name IS 'name of the company';
COMMENT ON COLUMN %1$I.companies.domain IS 'its domain on the internet';
COMMENT ON COLUMN %1$I.companies.industry IS 'its industry';
COMMENT ON COLUMN %1$I.companies.country IS 'its country';
COMMENT ON COLUMN %1$I.companies.owner IS 'who looks after the company';
COMMENT ON COLUMN %1$I.companies.stage IS 'lifecycle stage';
COMMENT ON COLUMN %1$I.companies.lead_status IS 'lead status';
COMMENT ON COLUMN %1$I.companies.created_at IS 'when the row was made';

CREATE TABLE %1$I.contacts (
	id			bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	email		text,
	first_name	text,
	last_name	text,
	phone		text,
	job_title	text,
	industry	text,
	country		text,
	source		text,
	campaign	text,
	owner		text,
	company_id	bigint REFERENCES %1$I.companies,
	stage		text,
	lead_status	text,
	created_at	timestamptz NOT NULL DEFAULT now(),
	anonymous_id text
);
CREATE INDEX contacts_company ON %1$I.contacts (company_id);
CREATE INDEX contacts_email ON %1$I.contacts (lower(email));
COMMENT ON TABLE %1$I.contacts IS 'contacts: people';
COMMENT ON COLUMN %1$I.contacts.id IS 'key of the contact';
COMMENT ON COLUMN %1$I.contacts.email IS 'email address';
COMMENT ON COLUMN %1$I.contacts.first_name IS 'first name';
COMMENT ON COLUMN %1$I.contacts.last_name IS 'last name';
COMMENT ON COLUMN %1$I.contacts.phone IS 'telephone number';
COMMENT ON COLUMN %1$I.contacts.job_title IS 'job title';
COMMENT ON COLUMN %1$I.contacts.industry IS 'industry';
COMMENT ON COLUMN %1$I.contacts.country IS 'country';
COMMENT ON COLUMN %1$I.contacts.source IS 'where the contact came from';
COMMENT ON COLUMN %1$I.contacts.campaign IS 'campaign that brought the contact';
COMMENT ON COLUMN %1$I.contacts.owner IS 'who looks after the contact';
COMMENT ON COLUMN %1$I.contacts.company_id IS 'company of the contact';
COMMENT ON COLUMN %1$I.contacts.stage IS 'lifecycle stage';
COMMENT ON COLUMN %1$I.contacts.lead_status IS 'lead status';
COMMENT ON COLUMN %1$I.contacts.created_at IS 'when the row was made';
COMMENT ON COLUMN %1$I.contacts.anonymous_id IS 'the anonymous id that made this contact, if one did';

CREATE TABLE %1$I.deals (
	id			bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	name		text,
	contact_id	bigint REFERENCES %1$I.contacts,
	company_id	bigint REFERENCES %1$I.companies,
	pipeline	text,
	stage		text,
	amount		numeric,
	currency	text,
	owner		text,
	close_date	timestamptz,
	is_open		boolean NOT NULL DEFAULT true,
	created_at	timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX deals_contact ON %1$I.deals (contact_id);
CREATE INDEX deals_company ON %1$I.deals (company_id);
COMMENT ON TABLE %1$I.deals IS 'deals: sales opportunities';
COMMENT ON COLUMN %1$I.deals.id IS 'key of the deal';
COMMENT ON COLUMN %1$I.deals.name IS 'name of the deal';
COMMENT ON COLUMN %1$I.deals.contact_id IS 'contact of the deal';
COMMENT ON COLUMN %1$I.deals.company_id IS 'company of the deal';
COMMENT ON COLUMN %1$I.deals.pipeline IS 'pipeline that the deal is in';
COMMENT ON COLUMN %1$I.deals.stage IS 'stage of that pipeline';
COMMENT ON COLUMN %1$I.deals.amount IS 'value of the deal, in its currency';
COMMENT ON COLUMN %1$I.deals.currency IS 'currency of the amount, such as EUR';
COMMENT ON COLUMN %1$I.deals.owner IS 'who looks after the deal';
COMMENT ON COLUMN %1$I.deals.close_date IS 'when the deal was or is to be closed';
COMMENT ON COLUMN %1$I.deals.is_open IS 'true while the deal is in an open stage; kept by lifecycle';
COMMENT ON COLUMN %1$I.deals.created_at IS 'when the row was made';

CREATE TABLE %1$I.events (
	id			bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	contact_id	bigint,
	name		text NOT NULL,
	occurred_at	timestamptz NOT NULL DEFAULT now(),
	properties	jsonb NOT NULL DEFAULT '{}',
	anonymous_id text,
	message_id	text
);
COMMENT ON TABLE %1$I.events IS 'events: what contacts did';
COMMENT ON COLUMN %1$I.events.id IS 'key of the event';
COMMENT ON COLUMN %1$I.events.contact_id IS 'contact who did it; null until known; no foreign key, so that an event may come before its contact';
COMMENT ON COLUMN %1$I.events.name IS 'name of the event';
COMMENT ON COLUMN %1$I.events.occurred_at IS 'when it happened';
COMMENT ON COLUMN %1$I.events.properties IS 'what else is known of it';
COMMENT ON COLUMN %1$I.events.anonymous_id IS 'who did it, as long as the contact is not known';
COMMENT ON COLUMN %1$I.events.message_id IS 'number given by the sender: the same one never counts twice';

$ddl$, model);

	PERFORM lifecycle.attach_model(
		model,
		format('%I.contacts', model)::regclass, format('%I.events', model)::regclass,
		format('%I.companies', model)::regclass, format('%I.deals', model)::regclass,
		NULL, '{}', template, true);
END
$create$;

COMMENT ON FUNCTION @extschema@.lifecycle_create(text, text) IS
'makes a model with tables of its own for contacts, companies, deals and events, in a new schema of its name, from the template hubspot, encharge, journey or empty';
