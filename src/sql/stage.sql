/*
 * Stages, lead statuses, pipelines and deal stages: add, change, drop.
 *
 * A rename changes the users' rows and all history.  It is no move from one
 * stage to another, so the triggers of the engine must look away while the rows
 * are changed: lifecycle.maintain tells them.
 *
 * Whoever changes these lists holds the application tables against writers
 * (lifecycle.lock_model), so that no row with an old name can slip in.
 */

-- Puts the entry `moved` of a list at place `wanted`, counted from 1, and
-- closes gaps.  Either may be null: then the others are only renumbered.
CREATE FUNCTION lifecycle.arrange(model_name text, table_name text, pipeline_name text, moved text, wanted integer)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- only deal_stage has several lists in one table
	filter text := CASE WHEN pipeline_name IS NULL THEN 'true' ELSE format('pipeline = %L', pipeline_name) END;
	places integer;
BEGIN
	EXECUTE format('SELECT count(*) FROM %I.%I WHERE %s', model_name, table_name, filter) INTO places;
	IF wanted NOT BETWEEN 1 AND places THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('position %s is not in the list', wanted),
			HINT = format('Give a position from 1 to %s.', places);
	END IF;
	EXECUTE format($sql$
		WITH others AS (
			SELECT name, row_number() OVER (ORDER BY position, name)::integer AS n
			FROM %1$I.%2$I WHERE %3$s AND name IS DISTINCT FROM CASE WHEN $2 IS NULL THEN NULL ELSE $1 END
		), places AS (
			SELECT name, n + CASE WHEN n >= $2 THEN 1 ELSE 0 END AS n FROM others
			UNION ALL
			SELECT $1, $2 WHERE $2 IS NOT NULL
		)
		UPDATE %1$I.%2$I t SET position = p.n FROM places p
		WHERE t.name = p.name AND %3$s AND t.position <> p.n $sql$,
		model_name, table_name, filter)
	USING moved, wanted;
END
$$;

COMMENT ON FUNCTION lifecycle.arrange(text, text, text, text, integer) IS
'moves an entry of a list to a position and numbers the list from 1; raises 22023 for a position out of range';

-- Changes of the lists end here: the caches of all sessions are told, what
-- depends on the names in rows is evaluated again, the views follow.
CREATE FUNCTION lifecycle.configuration_changed(model_name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- further may be elsewhere now
	EXECUTE format('UPDATE %I.rule SET since = clock_timestamp()', model_name);
	PERFORM lifecycle.reload(model_name);
	PERFORM lifecycle.create_views(model_name);
END
$$;

COMMENT ON FUNCTION lifecycle.configuration_changed(text) IS
'tells all sessions that the lists of a model changed, and makes its views anew';

-- Segments that read the columns in which a name was changed, and everything
-- that depends on them.
CREATE FUNCTION lifecycle.reevaluate_readers(m lifecycle.model, role_name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	readers text[];
BEGIN
	EXECUTE format('SELECT array_agg(name) FROM %I.segment WHERE $1 = ANY (contact_columns) OR $2 = ANY (company_columns)', m.name)
		INTO readers
		USING lifecycle.mapped_column(m.name, 'contacts', role_name), lifecycle.mapped_column(m.name, 'companies', role_name);
	IF readers IS NOT NULL THEN
		PERFORM lifecycle.take_in(m.name, lifecycle.with_dependents(m.name, readers));
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.reevaluate_readers(lifecycle.model, text) IS
'evaluates the segments again that read the stage or lead_status column';

CREATE FUNCTION lifecycle.segments_that_say(m lifecycle.model, role_name text, given text) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_segments text[];
BEGIN
	EXECUTE format($sql$
		SELECT array_agg(name ORDER BY name) FROM %I.segment
		WHERE ($1 = ANY (contact_columns) OR $2 = ANY (company_columns)) AND strpos(predicate, quote_literal($3)) > 0 $sql$, m.name)
		INTO found_segments
		USING lifecycle.mapped_column(m.name, 'contacts', role_name), lifecycle.mapped_column(m.name, 'companies', role_name), given;
	RETURN found_segments;
END
$$;

COMMENT ON FUNCTION lifecycle.segments_that_say(lifecycle.model, text, text) IS
'segments whose predicate compares a stage or lead_status column and names this text';

CREATE FUNCTION lifecycle.rename_in_rows(m lifecycle.model, role_name text, old_name text, new_name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	o record;
	key text := CASE role_name WHEN 'stage' THEN 'stage' ELSE 'status' END;
	named_by text[] := lifecycle.segments_that_say(m, role_name, old_name);
BEGIN
	PERFORM lifecycle.maintain(m.name, true);
	FOR o IN
		SELECT v.relation, lifecycle.mapped_column(m.name, v.object, role_name) AS column_name
		FROM (VALUES ('contacts', m.contacts), ('companies', m.companies)) v (object, relation)
		WHERE v.relation IS NOT NULL
	LOOP
		EXECUTE format('UPDATE %1$s SET %2$I = $2 WHERE %2$I = $1', o.relation, o.column_name) USING old_name, new_name;
	END LOOP;
	PERFORM lifecycle.maintain(m.name, false);

	EXECUTE format('UPDATE %1$I.%2$I SET %3$I = CASE %3$I WHEN $1 THEN $2 ELSE %3$I END, %4$I = CASE %4$I WHEN $1 THEN $2 ELSE %4$I END
					WHERE $1 IN (%3$I, %4$I)', m.name, role_name || '_history', 'from_' || key, 'to_' || key)
		USING old_name, new_name;
	EXECUTE format('UPDATE %I.rule SET args = jsonb_set(args, ARRAY[$3], to_jsonb($2)) WHERE action = ANY ($4) AND args ->> $3 = $1', m.name)
		USING old_name, new_name, key,
			  CASE role_name WHEN 'stage' THEN '{advance stage,set stage}'::text[] ELSE '{set lead status}' END;
	IF role_name = 'stage' THEN
		EXECUTE format('UPDATE %I.stage_count SET stage = $2 WHERE stage = $1', m.name) USING old_name, new_name;
		EXECUTE format('UPDATE %I.rule SET of = $2 WHERE on_ = ''stage entered'' AND of = $1', m.name) USING old_name, new_name;
	END IF;
	IF named_by IS NOT NULL THEN
		RAISE WARNING 'the predicates of these segments still say "%": %', old_name, lifecycle.quoted_list(named_by)
			USING HINT = format('Change them with SELECT lifecycle_alter_segment(%L, %L, predicate => ...).', m.name, named_by[1]);
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.rename_in_rows(lifecycle.model, text, text, text) IS
'writes the new name of a stage or lead status into contacts, companies, history, counts and rules';

CREATE FUNCTION lifecycle.refuse_drop(kind text, given text, uses text[], hint text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	uses := array_remove(uses, NULL);
	IF cardinality(uses) > 0 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'dependent_objects_still_exist',
			MESSAGE = format('cannot drop %s "%s" because it is in use', kind, given),
			DETAIL = format('It is used by %s.', array_to_string(uses, ', ')),
			HINT = hint;
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.refuse_drop(text, text, text[], text) IS 'raises 2BP01 with the uses, if there are any';

CREATE FUNCTION lifecycle.uses_in_rows(m lifecycle.model, role_name text, given text) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	o record;
	number bigint;
	uses text[] := '{}';
BEGIN
	FOR o IN
		SELECT v.object, v.singular, v.relation, lifecycle.mapped_column(m.name, v.object, role_name) AS column_name
		FROM (VALUES ('contacts', 'contact', m.contacts), ('companies', 'company', m.companies), ('deals', 'deal', m.deals)) v (object, singular, relation)
		WHERE v.relation IS NOT NULL AND (v.object <> 'deals') = (role_name <> 'pipeline')
	LOOP
		CONTINUE WHEN o.column_name IS NULL;
		EXECUTE format('SELECT count(*) FROM %s WHERE %I = $1', o.relation, o.column_name) INTO number USING given;
		IF number > 0 THEN
			uses := uses || format('%s %s', number, CASE number WHEN 1 THEN o.singular ELSE o.object END);
		END IF;
	END LOOP;
	RETURN uses;
END
$$;

COMMENT ON FUNCTION lifecycle.uses_in_rows(lifecycle.model, text, text) IS
'how many contacts and companies have a stage or lead status, or how many deals a pipeline, in words';

CREATE FUNCTION lifecycle.rules_that_use(m lifecycle.model, condition text, given text, other text DEFAULT NULL) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	uses text[];
BEGIN
	EXECUTE format('SELECT array_agg(format(''rule "%%s"'', name) ORDER BY position, name) FROM %I.rule WHERE %s', m.name, condition)
		INTO uses USING given, other;
	RETURN uses;
END
$$;

COMMENT ON FUNCTION lifecycle.rules_that_use(lifecycle.model, text, text, text) IS
'the rules for which an SQL condition over $1 and $2 holds, in words; the condition comes from this script only';


/* ---- stages ---- */

CREATE FUNCTION @extschema@.lifecycle_add_stage(
	model text, name text, at_position integer DEFAULT NULL, on_path boolean DEFAULT true, description text DEFAULT NULL,
	carries_status boolean DEFAULT true)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
BEGIN
	PERFORM lifecycle.check_argument('on_path', on_path);
	PERFORM lifecycle.check_argument('carries_status', carries_status);
	PERFORM lifecycle.lock_model(m.name);
	PERFORM lifecycle.check_new_name(m.name, 'stage', name);
	EXECUTE format('INSERT INTO %1$I.stage (name, position, on_path, description, carries_status)
					SELECT $1, coalesce(max(position), 0) + 1, $2, nullif($3, ''''), $4 FROM %1$I.stage', m.name)
		USING name, on_path, description, carries_status;
	PERFORM lifecycle.arrange(m.name, 'stage', NULL, name, at_position);
	PERFORM lifecycle.configuration_changed(m.name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_add_stage(text, text, integer, boolean, text, boolean) IS
'adds a stage at a position counted from 1, at the end if null; raises 42710 if there is one of that name';

CREATE FUNCTION lifecycle.clear_statuses(m lifecycle.model, stage_name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	o record;
BEGIN
	FOR o IN
		SELECT v.relation, lifecycle.mapped_column(m.name, v.object, 'stage') AS stage_column,
			   lifecycle.mapped_column(m.name, v.object, 'lead_status') AS status_column
		FROM (VALUES ('contacts', m.contacts), ('companies', m.companies)) v (object, relation)
		WHERE v.relation IS NOT NULL
	LOOP
		EXECUTE format('UPDATE %1$s SET %2$I = NULL WHERE %3$I = $1 AND %2$I IS NOT NULL', o.relation, o.status_column, o.stage_column)
			USING stage_name;
	END LOOP;
END
$$;

COMMENT ON FUNCTION lifecycle.clear_statuses(lifecycle.model, text) IS
'clears the lead statuses of contacts and companies in a stage';

CREATE FUNCTION @extschema@.lifecycle_alter_stage(
	model text, name text, new_name text DEFAULT NULL, at_position integer DEFAULT NULL,
	on_path boolean DEFAULT NULL, description text DEFAULT NULL, carries_status boolean DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	old_name text;
	stage_name text;
	used_by text[];
	companies_follow boolean;
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	old_name := lifecycle.find_name(m.name, 'stage', name);
	stage_name := coalesce(new_name, old_name);
	IF on_path IS FALSE THEN
		used_by := lifecycle.rules_that_use(m, 'action = ''advance stage'' AND args ->> ''stage'' = $1', old_name);
		IF used_by IS NOT NULL THEN
			RAISE EXCEPTION USING
				ERRCODE = 'dependent_objects_still_exist',
				MESSAGE = format('cannot take stage "%s" off the path because rules advance to it', old_name),
				DETAIL = format('They are %s.', array_to_string(used_by, ', ')),
				HINT = 'Drop or change these rules first, with lifecycle_drop_rule or lifecycle_alter_rule.';
		END IF;
	END IF;
	EXECUTE format('UPDATE %I.stage SET on_path = coalesce($2, on_path), carries_status = coalesce($4, carries_status),
						description = CASE WHEN $3 IS NULL THEN description ELSE nullif($3, '''') END
					WHERE name = $1', m.name) USING old_name, on_path, description, carries_status;
	PERFORM lifecycle.arrange(m.name, 'stage', NULL, old_name, at_position);
	IF stage_name <> old_name THEN
		IF lower(stage_name) <> lower(old_name) THEN
			PERFORM lifecycle.check_new_name(m.name, 'stage', stage_name);
		END IF;
		EXECUTE format('UPDATE %I.stage SET name = $2 WHERE name = $1', m.name) USING old_name, stage_name;
		PERFORM lifecycle.rename_in_rows(m, 'stage', old_name, stage_name);
	END IF;
	PERFORM lifecycle.configuration_changed(m.name);
	IF stage_name <> old_name THEN
		PERFORM lifecycle.reevaluate_readers(m, 'stage');
	END IF;
	IF carries_status IS FALSE THEN
		PERFORM lifecycle.clear_statuses(m, stage_name);
	END IF;

	-- another stage may be the furthest of a company's contacts now
	IF (at_position IS NOT NULL OR on_path IS NOT NULL) AND m.companies IS NOT NULL THEN
		EXECUTE format('SELECT bool_or(value <> ''off'') FROM %I.setting WHERE name IN (''company_stage'', ''contact_stage'')', m.name)
			INTO companies_follow;
		IF companies_follow THEN
			PERFORM lifecycle.take_in(m.name);
		END IF;
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_alter_stage(text, text, text, integer, boolean, text, boolean) IS
'renames, moves or describes a stage, or lets it carry lead statuses or not, which clears those that are there; what is null stays, an empty description is removed; a rename changes contacts, companies, history and rules, and is no move; with another order or path companies go to the furthest stage of their contacts, as company_stage says';

CREATE FUNCTION @extschema@.lifecycle_drop_stage(model text, name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	stage_name text;
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	stage_name := lifecycle.find_name(m.name, 'stage', name);
	PERFORM lifecycle.refuse_drop('stage', stage_name,
		lifecycle.uses_in_rows(m, 'stage', stage_name)
		|| lifecycle.rules_that_use(m, 'action IN (''advance stage'', ''set stage'') AND args ->> ''stage'' = $1 OR on_ = ''stage entered'' AND of = $1', stage_name)
		|| ARRAY(SELECT format('segment "%s"', s) FROM unnest(lifecycle.segments_that_say(m, 'stage', stage_name)) s),
		'Move them to another stage first, or give it another name: lifecycle_alter_stage(..., new_name => ...).');
	EXECUTE format('DELETE FROM %I.stage WHERE name = $1', m.name) USING stage_name;
	EXECUTE format('DELETE FROM %I.stage_count WHERE stage = $1', m.name) USING stage_name;
	PERFORM lifecycle.arrange(m.name, 'stage', NULL, NULL, NULL);
	PERFORM lifecycle.configuration_changed(m.name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_drop_stage(text, text) IS
'drops a stage that no contact, company, rule or predicate uses; history keeps its name; raises 2BP01 with its uses otherwise';


/* ---- lead statuses ---- */

CREATE FUNCTION @extschema@.lifecycle_add_lead_status(
	model text, name text, at_position integer DEFAULT NULL, description text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	PERFORM lifecycle.check_new_name(m.name, 'lead_status', name);
	EXECUTE format('INSERT INTO %1$I.lead_status (name, position, description)
					SELECT $1, coalesce(max(position), 0) + 1, nullif($2, '''') FROM %1$I.lead_status', m.name)
		USING name, description;
	PERFORM lifecycle.arrange(m.name, 'lead_status', NULL, name, at_position);
	PERFORM lifecycle.configuration_changed(m.name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_add_lead_status(text, text, integer, text) IS
'adds a lead status at a position counted from 1, at the end if null; raises 42710 if there is one of that name';

CREATE FUNCTION @extschema@.lifecycle_alter_lead_status(
	model text, name text, new_name text DEFAULT NULL, at_position integer DEFAULT NULL, description text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	old_name text;
	status_name text;
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	old_name := lifecycle.find_name(m.name, 'lead_status', name);
	status_name := coalesce(new_name, old_name);
	EXECUTE format('UPDATE %I.lead_status SET description = CASE WHEN $2 IS NULL THEN description ELSE nullif($2, '''') END
					WHERE name = $1', m.name) USING old_name, description;
	PERFORM lifecycle.arrange(m.name, 'lead_status', NULL, old_name, at_position);
	IF status_name <> old_name THEN
		IF lower(status_name) <> lower(old_name) THEN
			PERFORM lifecycle.check_new_name(m.name, 'lead_status', status_name);
		END IF;
		EXECUTE format('UPDATE %I.lead_status SET name = $2 WHERE name = $1', m.name) USING old_name, status_name;
		PERFORM lifecycle.rename_in_rows(m, 'lead_status', old_name, status_name);
	END IF;
	PERFORM lifecycle.configuration_changed(m.name);
	IF status_name <> old_name THEN
		PERFORM lifecycle.reevaluate_readers(m, 'lead_status');
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_alter_lead_status(text, text, text, integer, text) IS
'renames, moves or describes a lead status; what is null stays, an empty description is removed; a rename changes contacts, companies, history and rules';

CREATE FUNCTION @extschema@.lifecycle_drop_lead_status(model text, name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	status_name text;
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	status_name := lifecycle.find_name(m.name, 'lead_status', name);
	PERFORM lifecycle.refuse_drop('lead status', status_name,
		lifecycle.uses_in_rows(m, 'lead_status', status_name)
		|| lifecycle.rules_that_use(m, 'action = ''set lead status'' AND args ->> ''status'' = $1', status_name)
		|| ARRAY(SELECT format('segment "%s"', s) FROM unnest(lifecycle.segments_that_say(m, 'lead_status', status_name)) s),
		'Give them another status first, or give it another name: lifecycle_alter_lead_status(..., new_name => ...).');
	EXECUTE format('DELETE FROM %I.lead_status WHERE name = $1', m.name) USING status_name;
	PERFORM lifecycle.arrange(m.name, 'lead_status', NULL, NULL, NULL);
	PERFORM lifecycle.configuration_changed(m.name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_drop_lead_status(text, text) IS
'drops a lead status that no contact, company, rule or predicate uses; history keeps its name; raises 2BP01 with its uses otherwise';


/* ---- pipelines ---- */

CREATE FUNCTION @extschema@.lifecycle_add_pipeline(
	model text, name text, at_position integer DEFAULT NULL, description text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	PERFORM lifecycle.check_new_name(m.name, 'pipeline', name);
	EXECUTE format('INSERT INTO %1$I.pipeline (name, position, description)
					SELECT $1, coalesce(max(position), 0) + 1, nullif($2, '''') FROM %1$I.pipeline', m.name)
		USING name, description;
	PERFORM lifecycle.arrange(m.name, 'pipeline', NULL, name, at_position);
	PERFORM lifecycle.configuration_changed(m.name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_add_pipeline(text, text, integer, text) IS
'adds a pipeline without stages; the first pipeline is the default; raises 42710 if there is one of that name';

CREATE FUNCTION @extschema@.lifecycle_alter_pipeline(
	model text, name text, new_name text DEFAULT NULL, at_position integer DEFAULT NULL, description text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	old_name text;
	pipeline_name text;
	pipeline_column text := lifecycle.mapped_column(m.name, 'deals', 'pipeline');
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	old_name := lifecycle.find_name(m.name, 'pipeline', name);
	pipeline_name := coalesce(new_name, old_name);
	EXECUTE format('UPDATE %I.pipeline SET description = CASE WHEN $2 IS NULL THEN description ELSE nullif($2, '''') END
					WHERE name = $1', m.name) USING old_name, description;
	PERFORM lifecycle.arrange(m.name, 'pipeline', NULL, old_name, at_position);
	IF pipeline_name <> old_name THEN
		IF lower(pipeline_name) <> lower(old_name) THEN
			PERFORM lifecycle.check_new_name(m.name, 'pipeline', pipeline_name);
		END IF;
		EXECUTE format('UPDATE %I.pipeline SET name = $2 WHERE name = $1', m.name) USING old_name, pipeline_name;
		IF pipeline_column IS NOT NULL THEN
			PERFORM lifecycle.maintain(m.name, true);
			EXECUTE format('UPDATE %1$s SET %2$I = $2 WHERE %2$I = $1', m.deals, pipeline_column) USING old_name, pipeline_name;
			PERFORM lifecycle.maintain(m.name, false);
		END IF;
		EXECUTE format('UPDATE %I.deal_history SET pipeline = $2 WHERE pipeline = $1', m.name) USING old_name, pipeline_name;
		EXECUTE format('UPDATE %I.rule SET args = jsonb_set(args, ''{pipeline}'', to_jsonb($2))
						WHERE action = ''create deal'' AND args ->> ''pipeline'' = $1', m.name) USING old_name, pipeline_name;
		EXECUTE format('UPDATE %I.rule SET of = $2 WHERE on_ LIKE ''deal %%'' AND of = $1', m.name) USING old_name, pipeline_name;
		EXECUTE format('UPDATE %1$I.rule SET of = $2 || substr(of, length($1) + 1) WHERE on_ = ''deal stage entered''
						AND of IN (SELECT $1 || '': '' || s.name FROM %1$I.deal_stage s WHERE s.pipeline = $2)', m.name) USING old_name, pipeline_name;
	END IF;
	PERFORM lifecycle.configuration_changed(m.name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_alter_pipeline(text, text, text, integer, text) IS
'renames, moves or describes a pipeline; what is null stays, an empty description is removed; a rename changes deals, history and rules';

CREATE FUNCTION @extschema@.lifecycle_drop_pipeline(model text, name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	pipeline_name text;
	deals_of_default bigint := 0;
	first_pipeline text;
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	pipeline_name := lifecycle.find_name(m.name, 'pipeline', name);
	-- without a pipeline column, and in rows where it is null, all deals are
	-- in the first pipeline
	EXECUTE format('SELECT p.name FROM %I.pipeline p ORDER BY p.position LIMIT 1', m.name) INTO first_pipeline;
	IF m.deals IS NOT NULL AND pipeline_name = first_pipeline THEN
		EXECUTE format('SELECT count(*) FROM %s WHERE %s', m.deals,
					   CASE WHEN lifecycle.mapped_column(m.name, 'deals', 'pipeline') IS NULL THEN 'true'
							ELSE format('%I IS NULL', lifecycle.mapped_column(m.name, 'deals', 'pipeline')) END)
			INTO deals_of_default;
	END IF;
	PERFORM lifecycle.refuse_drop('pipeline', pipeline_name,
		lifecycle.uses_in_rows(m, 'pipeline', pipeline_name)
		|| CASE WHEN deals_of_default > 0 THEN format('%s deals that name no pipeline', deals_of_default) END
		|| lifecycle.rules_that_use(m, format('action = ''create deal'' AND args ->> ''pipeline'' = $1 OR on_ LIKE ''deal %%'' AND of = $1
			OR on_ = ''deal stage entered'' AND of IN (SELECT $1 || '': '' || s.name FROM %I.deal_stage s WHERE s.pipeline = $1)', m.name), pipeline_name),
		'Move the deals to another pipeline and change the rules first.');
	EXECUTE format('DELETE FROM %I.deal_stage WHERE pipeline = $1', m.name) USING pipeline_name;
	EXECUTE format('DELETE FROM %I.pipeline WHERE name = $1', m.name) USING pipeline_name;
	PERFORM lifecycle.arrange(m.name, 'pipeline', NULL, NULL, NULL);
	PERFORM lifecycle.configuration_changed(m.name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_drop_pipeline(text, text) IS
'drops a pipeline and its stages if no deal or rule uses it; raises 2BP01 with its uses otherwise';


/* ---- deal stages ---- */

-- Kind and probability say the same at the ends: won is 100 percent, lost 0.
CREATE FUNCTION lifecycle.check_deal_stage(INOUT probability numeric, INOUT kind text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF kind IS NOT NULL AND lower(kind) <> ALL ('{open,won,lost}') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('kind of a deal stage cannot be "%s"', kind),
			HINT = lifecycle.name_hint(kind, '{open,won,lost}', 'kind');
	ELSIF probability IS NULL AND coalesce(kind, 'open') = 'open' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'a deal stage needs a probability',
			HINT = 'Give it in percent: probability => 40.';
	ELSIF probability NOT BETWEEN 0 AND 100 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('probability of a deal stage cannot be %s', probability),
			HINT = 'Give it in percent, from 0 to 100.';
	END IF;
	kind := coalesce(lower(kind), CASE probability WHEN 100 THEN 'won' WHEN 0 THEN 'lost' ELSE 'open' END);
	probability := coalesce(probability, CASE kind WHEN 'won' THEN 100 ELSE 0 END);
	IF kind = 'won' AND probability <> 100 OR kind = 'lost' AND probability <> 0 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('a deal stage of kind %s cannot have a probability of %s percent', kind, probability),
			HINT = 'Won means 100 percent, lost means 0; leave the probability out.';
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_deal_stage(numeric, text) IS
'completes probability and kind of a deal stage from each other; raises 22023 if they contradict';

CREATE FUNCTION @extschema@.lifecycle_add_deal_stage(
	model text, pipeline text, name text, probability numeric DEFAULT NULL, kind text DEFAULT NULL,
	at_position integer DEFAULT NULL, description text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	pipeline_name text;
	checked record;
	taken text;
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	pipeline_name := lifecycle.find_name(m.name, 'pipeline', pipeline);
	PERFORM lifecycle.check_name('deal stage', name);
	SELECT * INTO checked FROM lifecycle.check_deal_stage(probability, kind);
	EXECUTE format('SELECT d.name FROM %I.deal_stage d WHERE d.pipeline = $1 AND lower(d.name) = lower($2)', m.name)
		INTO taken USING pipeline_name, name;
	IF taken IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_object',
			MESSAGE = format('deal stage "%s" already exists in pipeline "%s"', taken, pipeline_name),
			HINT = 'Choose another name, or change it with lifecycle_alter_deal_stage.';
	END IF;
	EXECUTE format('INSERT INTO %1$I.deal_stage (pipeline, name, position, probability, kind, description)
					SELECT $1, $2, coalesce(max(d.position), 0) + 1, $3, $4, nullif($5, '''') FROM %1$I.deal_stage d WHERE d.pipeline = $1', m.name)
		USING pipeline_name, name, checked.probability, checked.kind, description;
	PERFORM lifecycle.arrange(m.name, 'deal_stage', pipeline_name, name, at_position);
	PERFORM lifecycle.configuration_changed(m.name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_add_deal_stage(text, text, text, numeric, text, integer, text) IS
'adds a stage to a pipeline, with its probability in percent; kind is open, won (100) or lost (0) and follows from it if null';

CREATE FUNCTION @extschema@.lifecycle_alter_deal_stage(
	model text, pipeline text, name text, new_name text DEFAULT NULL, probability numeric DEFAULT NULL,
	kind text DEFAULT NULL, at_position integer DEFAULT NULL, description text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	pipeline_name text;
	pipeline_filter text;
	old_name text;
	stage_name text;
	old record;
	checked record;
	stage_column text := lifecycle.mapped_column(m.name, 'deals', 'stage');
	number bigint;
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	pipeline_name := lifecycle.find_name(m.name, 'pipeline', pipeline);
	old_name := lifecycle.find_deal_stage(m.name, pipeline_name, name);
	stage_name := coalesce(new_name, old_name);
	EXECUTE format('SELECT d.kind, d.probability FROM %I.deal_stage d WHERE d.pipeline = $1 AND d.name = $2', m.name)
		INTO old USING pipeline_name, old_name;
	-- what is not given stays, unless the other one calls for a change
	SELECT * INTO checked FROM lifecycle.check_deal_stage(
		CASE WHEN probability IS NULL AND (kind IS NULL OR lower(kind) = old.kind) THEN old.probability ELSE probability END,
		CASE WHEN kind IS NULL AND probability IS NULL THEN old.kind ELSE kind END);
	pipeline_filter := lifecycle.pipeline_filter(m, pipeline_name);

	IF checked.kind <> old.kind AND m.deals IS NOT NULL THEN
		EXECUTE format('SELECT count(*) FROM %s WHERE %I = $1 AND %s', m.deals, stage_column, pipeline_filter)
			INTO number USING old_name;
		IF number > 0 THEN
			RAISE EXCEPTION USING
				ERRCODE = 'dependent_objects_still_exist',
				MESSAGE = format('cannot make deal stage "%s" %s because deals are in it', old_name, checked.kind),
				DETAIL = format('It would open or close %s deals.', number),
				HINT = 'Move the deals to another stage first.';
		END IF;
	END IF;
	EXECUTE format('UPDATE %I.deal_stage SET probability = $3, kind = $4,
						description = CASE WHEN $5 IS NULL THEN description ELSE nullif($5, '''') END
					WHERE pipeline = $1 AND name = $2', m.name)
		USING pipeline_name, old_name, checked.probability, checked.kind, description;
	PERFORM lifecycle.arrange(m.name, 'deal_stage', pipeline_name, old_name, at_position);

	IF stage_name <> old_name THEN
		PERFORM lifecycle.check_name('deal stage', stage_name);
		EXECUTE format('SELECT count(*) FROM %I.deal_stage WHERE pipeline = $1 AND lower(name) = lower($2) AND name <> $3', m.name)
			INTO number USING pipeline_name, stage_name, old_name;
		IF number > 0 THEN
			RAISE EXCEPTION USING
				ERRCODE = 'duplicate_object',
				MESSAGE = format('deal stage "%s" already exists in pipeline "%s"', stage_name, pipeline_name),
				HINT = 'Choose another name.';
		END IF;
		EXECUTE format('UPDATE %I.deal_stage SET name = $3 WHERE pipeline = $1 AND name = $2', m.name)
			USING pipeline_name, old_name, stage_name;
		IF m.deals IS NOT NULL THEN
			PERFORM lifecycle.maintain(m.name, true);
			EXECUTE format('UPDATE %1$s SET %2$I = $2 WHERE %2$I = $1 AND %3$s', m.deals, stage_column, pipeline_filter)
				USING old_name, stage_name;
			PERFORM lifecycle.maintain(m.name, false);
		END IF;
		EXECUTE format('UPDATE %I.deal_history SET from_stage = CASE from_stage WHEN $2 THEN $3 ELSE from_stage END,
							to_stage = CASE to_stage WHEN $2 THEN $3 ELSE to_stage END
						WHERE pipeline = $1 AND $2 IN (from_stage, to_stage)', m.name)
			USING pipeline_name, old_name, stage_name;
		EXECUTE format('UPDATE %1$I.rule SET args = jsonb_set(args, ''{stage}'', to_jsonb($3))
						WHERE action = ''create deal'' AND args ->> ''stage'' = $2
						  AND coalesce(args ->> ''pipeline'', (SELECT p.name FROM %1$I.pipeline p ORDER BY p.position LIMIT 1)) = $1', m.name)
			USING pipeline_name, old_name, stage_name;
		EXECUTE format('UPDATE %I.rule SET of = $2 WHERE on_ = ''deal stage entered'' AND of = $1', m.name)
			USING pipeline_name || ': ' || old_name, pipeline_name || ': ' || stage_name;
	END IF;
	PERFORM lifecycle.configuration_changed(m.name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_alter_deal_stage(text, text, text, text, numeric, text, integer, text) IS
'renames, moves, describes or weighs a deal stage; what is null stays, an empty description is removed; its kind can change only while no deal is in it';

CREATE FUNCTION lifecycle.pipeline_filter(m lifecycle.model, pipeline_name text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	pipeline_column text := lifecycle.mapped_column(m.name, 'deals', 'pipeline');
	first_pipeline text;
BEGIN
	EXECUTE format('SELECT name FROM %I.pipeline ORDER BY position LIMIT 1', m.name) INTO first_pipeline;
	RETURN format(CASE WHEN pipeline_column IS NULL THEN '%2$L = %3$L' ELSE 'coalesce(%1$I, %2$L) = %3$L' END,
				  pipeline_column, first_pipeline, pipeline_name);
END
$$;

COMMENT ON FUNCTION lifecycle.pipeline_filter(lifecycle.model, text) IS
'SQL condition for the deals of a pipeline; a deal that names none is in the first one';

CREATE FUNCTION @extschema@.lifecycle_drop_deal_stage(model text, pipeline text, name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	pipeline_name text;
	stage_name text;
	number bigint := 0;
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	pipeline_name := lifecycle.find_name(m.name, 'pipeline', pipeline);
	stage_name := lifecycle.find_deal_stage(m.name, pipeline_name, name);
	IF m.deals IS NOT NULL THEN
		EXECUTE format('SELECT count(*) FROM %s WHERE %I = $1 AND %s', m.deals,
					   lifecycle.mapped_column(m.name, 'deals', 'stage'), lifecycle.pipeline_filter(m, pipeline_name))
			INTO number USING stage_name;
	END IF;
	PERFORM lifecycle.refuse_drop('deal stage', stage_name,
		CASE number WHEN 0 THEN '{}' WHEN 1 THEN '{1 deal}' ELSE ARRAY[format('%s deals', number)] END
		|| lifecycle.rules_that_use(m,
			format('on_ = ''deal stage entered'' AND of = $2 || '': '' || $1 OR action = ''create deal'' AND args ->> ''stage'' = $1
					AND coalesce(args ->> ''pipeline'', (SELECT p.name FROM %I.pipeline p ORDER BY p.position LIMIT 1)) = $2', m.name),
			stage_name, pipeline_name),
		'Move the deals to another stage and change the rules first.');
	EXECUTE format('DELETE FROM %I.deal_stage WHERE pipeline = $1 AND name = $2', m.name) USING pipeline_name, stage_name;
	PERFORM lifecycle.arrange(m.name, 'deal_stage', pipeline_name, NULL, NULL);
	PERFORM lifecycle.configuration_changed(m.name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_drop_deal_stage(text, text, text) IS
'drops a stage of a pipeline that no deal or rule uses; raises 2BP01 with its uses otherwise';
