/*
 * views.sql
 *		The views of a model, for people and for BI tools.
 *
 * Each part of the model has a function view_definitions_<part>, in the file
 * views_<part>.sql, that returns the text and the comments of its views;
 * create_views makes the database agree with them.  A view that exists is replaced in place, so that grants
 * and whatever the user built on it stay; it is dropped and made anew only
 * if PostgreSQL cannot replace it (a column changed its type).
 *
 * The comment of each view ends with the words "Made by lifecycle.": that is
 * how create_views knows its own views and leaves all others alone.
 *
 * The view of a single stage is named stage_is_ and the stage's name in lower
 * case, where each run of white space, punctuation and ASCII characters other
 * than letters and digits is one underscore: "Marketing qualified lead" is
 * stage_is_marketing_qualified_lead.  No table or view of a model starts with
 * stage_is_.  If that name is empty, longer than 63 bytes, or the same for
 * two stages, it is cut to fit and gets an underscore and the first eight
 * digits of the MD5 sum of the stage's name.
 *
 * The views read tables only, take no locks beyond that and write nothing, so
 * they run on a hot standby.  They mention only columns that the model maps:
 * PostgreSQL refuses to drop or retype those while the views are there
 * (drop_views takes them away).
 *
 * Like the API functions that call them, the functions of this file run with
 * the rights of the caller and do nothing that he could not do by CREATE VIEW,
 * so everybody may call them.
 */

/* The SQL text of a mapped column; NULL of the given type if not mapped. */
CREATE FUNCTION lifecycle.view_column(model text, object text, role text,
									  alias text, type text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(
		(SELECT CASE
				WHEN c.column_name IS NULL THEN format('%L::text', c.constant)
				WHEN type = 'text' THEN format('%I.%I::text', alias, c.column_name)
				ELSE format('%I.%I', alias, c.column_name)
				END
		   FROM lifecycle.model_column c
		  WHERE c.model = view_column.model
			AND c.object = view_column.object
			AND c.role = view_column.role
			AND (c.column_name IS NOT NULL OR c.constant IS NOT NULL)),
		format('NULL::%s', type));
$$;
COMMENT ON FUNCTION lifecycle.view_column(text, text, text, text, text) IS
'Internal. SQL text of the column that a model maps to a role, qualified by an alias; NULL of the type given if the role is not mapped.';

/* The type of a column, as SQL text. */
CREATE FUNCTION lifecycle.view_type(relation regclass, column_name text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format_type(a.atttypid, a.atttypmod)
	  FROM pg_attribute a
	 WHERE a.attrelid = relation
	   AND a.attname = column_name
	   AND NOT a.attisdropped;
$$;
COMMENT ON FUNCTION lifecycle.view_type(regclass, text) IS
'Internal. The type of a column as SQL text, null if there is no such column.';

/* The model's clock as SQL text; evaluated once per query. */
CREATE FUNCTION lifecycle.view_clock(model text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('(SELECT CASE WHEN (SELECT s.value FROM %1$I.setting s WHERE s.name = ''clock'') = ''tick'''
				  ' THEN coalesce((SELECT k.last_tick FROM %1$I.clock k), now())'
				  ' ELSE now() END)', model);
$$;
COMMENT ON FUNCTION lifecycle.view_clock(text) IS
'Internal. SQL text of the instant up to which a model''s views count time: now(), or the last tick if the setting clock says so.';

/* A column as timestamptz, days and local times read in the model's zone. */
CREATE FUNCTION lifecycle.view_instant(model text, expression text, type text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN type LIKE 'timestamp%with time zone' THEN expression
		ELSE format('(%s::timestamp AT TIME ZONE coalesce((SELECT s.value FROM %I.setting s WHERE s.name = ''time_zone''), ''UTC''))',
					expression, model)
		END;
$$;
COMMENT ON FUNCTION lifecycle.view_instant(text, text, text) IS
'Internal. SQL text that turns a date or timestamp expression into timestamptz, in the model''s time zone.';

/* The view of each stage; see the head of this file for the rule. */
CREATE FUNCTION lifecycle.stage_views(model text)
RETURNS TABLE (stage text, view_name text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY EXECUTE format($query$
		WITH plain AS (
			SELECT s.name,
				   trim(BOTH '_' FROM regexp_replace(lower(s.name),
						'([\x01-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]|[[:space:][:punct:][:cntrl:]])+',
						'_', 'g')) AS slug
			  FROM %I.stage s),
		counted AS (
			SELECT name, slug, count(*) OVER (PARTITION BY slug) AS number
			  FROM plain)
		SELECT name,
			   CASE
			   WHEN number = 1 AND slug <> '' AND octet_length(slug) <= 54
			   THEN 'stage_is_' || slug
			   ELSE 'stage_is_' ||
					(SELECT left(slug, n)
					   FROM generate_series(length(slug), 0, -1) n
					  WHERE octet_length(left(slug, n)) <= 45
					  LIMIT 1) ||
					'_' || left(md5(name), 8)
			   END
		  FROM counted$query$, model);
END;
$$;
COMMENT ON FUNCTION lifecycle.stage_views(text) IS
'Internal. The name of the view of each stage of a model: stage_is_ and the stage''s name in lower case with underscores.';

/* The views of a model's schema that carry our mark. */
CREATE FUNCTION lifecycle.existing_views(model text)
RETURNS SETOF name
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.relname
	  FROM pg_class c
	 WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = model)
	   AND c.relkind = 'v'
	   AND obj_description(c.oid, 'pg_class') LIKE '%Made by lifecycle.';
$$;
COMMENT ON FUNCTION lifecycle.existing_views(text) IS
'Internal. The views in a model''s schema that lifecycle made; it knows them by the end of their comment.';

/* Create or replace one view, with owner and comments. */
CREATE FUNCTION lifecycle.put_view(model text, name text, query text,
								   comment text, columns text[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	view_name text := format('%I.%I', model, name);
	statement text := format('VIEW %s WITH (security_invoker = true) AS %s', view_name, query);
	owner name := (SELECT pg_get_userbyid(n.nspowner) FROM pg_namespace n WHERE n.nspname = model);
BEGIN
	IF to_regclass(view_name) IS NULL THEN
		EXECUTE 'CREATE ' || statement;
	ELSIF name NOT IN (SELECT v FROM lifecycle.existing_views(model) v) THEN
		RAISE EXCEPTION 'relation "%" of schema "%" is in the way of a view of the model', name, model
			USING ERRCODE = 'duplicate_table',
				  DETAIL = 'lifecycle keeps a view of that name in the schema of each model.',
				  HINT = format('Give yours another name: ALTER TABLE %s RENAME TO %I', view_name, left(name, 50) || '_of_mine');
	ELSE
		BEGIN
			EXECUTE 'CREATE OR REPLACE ' || statement;
		EXCEPTION WHEN invalid_table_definition THEN
			/* a column has another type now: no way to keep the view */
			EXECUTE 'DROP VIEW ' || view_name;
			EXECUTE 'CREATE ' || statement;
		END;
	END IF;

	IF (SELECT c.relowner FROM pg_class c WHERE c.oid = view_name::regclass)
		<> (SELECT r.oid FROM pg_roles r WHERE r.rolname = owner) THEN
		EXECUTE format('ALTER VIEW %s OWNER TO %I', view_name, owner);
	END IF;
	EXECUTE format('COMMENT ON VIEW %s IS %L', view_name, comment || ' Made by lifecycle.');
	FOR i IN 1 .. array_length(columns, 1) BY 2 LOOP
		EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', view_name, columns[i], columns[i + 1]);
	END LOOP;
END;
$$;
COMMENT ON FUNCTION lifecycle.put_view(text, text, text, text, text[]) IS
'Internal. Creates or replaces one view of a model, owned by the owner of the schema. Error 42P07 if a relation that lifecycle did not make has the name.';

/* Drop a view of ours, or say what keeps it. */
CREATE FUNCTION lifecycle.drop_view(model text, name text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	needed text;
BEGIN
	EXECUTE format('DROP VIEW %I.%I', model, name);
EXCEPTION WHEN dependent_objects_still_exist THEN
	GET STACKED DIAGNOSTICS needed = PG_EXCEPTION_DETAIL;
	RAISE EXCEPTION 'cannot drop view "%" of model "%" because other objects depend on it', name, model
		USING ERRCODE = 'dependent_objects_still_exist',
			  DETAIL = needed || '.',
			  HINT = format('Drop or change them first, or drop them with the view: DROP VIEW %I.%I CASCADE', model, name);
END;
$$;
COMMENT ON FUNCTION lifecycle.drop_view(text, text) IS
'Internal. Drops one view of a model. Error 2BP01, with the objects named, if something of the user''s depends on it.';

/* All views that a model has. */
CREATE FUNCTION lifecycle.view_definitions(model text)
RETURNS TABLE (name text, query text, comment text, columns text[])
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT * FROM lifecycle.view_definitions_stage(model);
	RETURN QUERY SELECT * FROM lifecycle.view_definitions_velocity(model);
	RETURN QUERY SELECT * FROM lifecycle.view_definitions_flow(model);
	RETURN QUERY SELECT * FROM lifecycle.view_definitions_segment(model);
	RETURN QUERY SELECT * FROM lifecycle.view_definitions_score(model);
	RETURN QUERY SELECT * FROM lifecycle.view_definitions_deal(model);
	RETURN QUERY SELECT * FROM lifecycle.view_definitions_task(model);
	RETURN QUERY SELECT * FROM lifecycle.view_definitions_timeline(model);
END;
$$;
COMMENT ON FUNCTION lifecycle.view_definitions(text) IS
'Internal. Name, query, comment, and columns with their comments of each view of a model.';

/*
 * Make the views of the model what they should be.  Called when the model
 * has been attached and after each change of its stages.
 */
CREATE FUNCTION lifecycle.create_views(model text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wanted text[];
	gone text[];
	fresh text[];
	definition record;
	unneeded text;
BEGIN
	PERFORM lifecycle.find_own_model(model);
	SELECT array_agg(d.name) INTO wanted
	  FROM lifecycle.view_definitions(model) d;
	SELECT array_agg(v::text) INTO gone
	  FROM lifecycle.existing_views(model) v
	 WHERE v <> ALL (wanted);
	SELECT array_agg(v.view_name) INTO fresh
	  FROM lifecycle.stage_views(model) v
	 WHERE to_regclass(format('%I.%I', model, v.view_name)) IS NULL;

	/* A stage was renamed: so is its view, and what depends on it stays. */
	IF cardinality(gone) = 1 AND cardinality(fresh) = 1 AND gone[1] LIKE 'stage\_is\_%' THEN
		EXECUTE format('ALTER VIEW %I.%I RENAME TO %I', model, gone[1], fresh[1]);
		gone := NULL;
	END IF;

	FOREACH unneeded IN ARRAY coalesce(gone, '{}') LOOP
		PERFORM lifecycle.drop_view(model, unneeded);
	END LOOP;
	FOR definition IN
		SELECT * FROM lifecycle.view_definitions(model)
	LOOP
		PERFORM lifecycle.put_view(model, definition.name, definition.query,
								   definition.comment, definition.columns);
	END LOOP;
	FOR definition IN
		SELECT * FROM lifecycle.function_definitions(model)
	LOOP
		PERFORM lifecycle.put_function(model, definition.name, definition.result,
									   definition.body, definition.comment);
	END LOOP;
END;
$$;
COMMENT ON FUNCTION lifecycle.create_views(text) IS
'Internal. Creates, replaces, renames and drops the views of a model so that they agree with its tables, columns and stages. Error 42501 unless the caller has the rights of the model''s owner, 42P07 if a name is taken, 2BP01 if something of the user''s depends on a view that must go.';

/* Take the views away, for detach and drop. */
CREATE FUNCTION lifecycle.drop_views(model text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unneeded name;
BEGIN
	PERFORM lifecycle.check_schema_owner(model);
	FOR unneeded IN SELECT v FROM lifecycle.existing_views(model) v LOOP
		PERFORM lifecycle.drop_view(model, unneeded);
	END LOOP;
	PERFORM lifecycle.drop_functions(model);
END;
$$;
COMMENT ON FUNCTION lifecycle.drop_views(text) IS
'Internal. Drops the views and functions of an instant that lifecycle made in a model''s schema. Error 42501 unless the caller has the rights of the schema''s owner, 2BP01 if something of the user''s depends on one.';
