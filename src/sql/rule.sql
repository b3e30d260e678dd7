/*
 * Rules: when this happens, do that.  All that can be wrong with a rule is
 * found when it is added, as far as it does not depend on a row.
 */

-- The expressions in a rule, with the kind that lifecycle.compile wants.
CREATE FUNCTION lifecycle.rule_expressions(on_ text, condition text, action text, args jsonb)
RETURNS TABLE (place text, expression text, kind text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH prefix AS (
		SELECT CASE WHEN rule_expressions.on_ = 'event' THEN 'event '
					WHEN rule_expressions.on_ LIKE 'deal %' THEN 'deal ' ELSE '' END AS p
	)
	SELECT 'condition', rule_expressions.condition, p || 'condition'
	FROM prefix WHERE rule_expressions.condition IS NOT NULL
	UNION ALL
	SELECT k, rule_expressions.args ->> k, p || 'value'
	FROM prefix, unnest(CASE
		WHEN rule_expressions.action = 'create deal' THEN '{name,amount,currency,owner}'::text[]
		WHEN rule_expressions.action = 'create task' THEN '{title,note,owner}'
		WHEN rule_expressions.action = 'assign owner' THEN '{owner}'
		WHEN rule_expressions.action IN ('advance stage', 'set stage', 'set lead status') THEN '{reason}' END) k
	WHERE rule_expressions.args ? k
	UNION ALL
	SELECT 'value', rule_expressions.args ->> 'value', p || 'value'
	FROM prefix WHERE rule_expressions.action = 'set field'
	UNION ALL
	SELECT 'payload.' || e.key, e.value #>> '{}', p || 'value'
	FROM prefix, jsonb_each(CASE WHEN rule_expressions.action = 'notify' THEN rule_expressions.args -> 'payload' END) e
$$;

COMMENT ON FUNCTION lifecycle.rule_expressions(text, text, text, jsonb) IS
'the expressions in a rule: where they stand, their text, and the kind of text for the compiler';

CREATE FUNCTION lifecycle.rule_error(message text, hint text, detail text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF detail IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = message, HINT = hint;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = message, DETAIL = detail, HINT = hint;
END
$$;

COMMENT ON FUNCTION lifecycle.rule_error(text, text, text) IS 'raises 22023';

CREATE FUNCTION lifecycle.check_assignable(what text, from_type regtype, relation regclass, column_name text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	to_type oid;
	from_base oid := lifecycle.base_type(from_type);
	to_base oid;
BEGIN
	SELECT a.atttypid INTO to_type FROM pg_attribute a
	WHERE a.attrelid = relation AND a.attname = check_assignable.column_name AND NOT a.attisdropped;
	to_base := lifecycle.base_type(to_type);
	-- what an INSERT would accept: the same type, an assignment cast, any type
	-- into a text, and a literal of unknown type into anything
	IF from_base <> to_base AND from_base <> 'unknown'::regtype
	   AND NOT EXISTS (SELECT FROM pg_cast c WHERE c.castsource = from_base AND c.casttarget = to_base AND c.castcontext IN ('a', 'i'))
	   AND (SELECT t.typcategory FROM pg_type t WHERE t.oid = to_base) <> 'S' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'datatype_mismatch',
			MESSAGE = format('%s of the rule is %s, but column "%s" of table %s is %s', what,
							 format_type(from_type, NULL), check_assignable.column_name, relation, format_type(to_type, NULL)),
			HINT = format('Cast it: (...)::%s.', format_type(to_type, NULL));
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_assignable(text, regtype, regclass, text) IS
'raises 42804 if a value of a type cannot be stored in a column';

-- Checks everything about a rule and returns its parts in canonical spelling.
CREATE FUNCTION lifecycle.check_rule(
	m lifecycle.model, INOUT on_ text, INOUT of text, INOUT condition text, INOUT action text, INOUT args jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	occasions text[] := '{event,segment entered,segment left,stage entered,deal created,deal stage entered,deal won,deal lost}';
	actions text[] := '{advance stage,set stage,set lead status,create deal,assign owner,create task,set field,copy to company,notify}';
	allowed text[];
	required text[];
	argument text;
	pair record;
	x record;
	compiled record;
	pipeline_name text;
	kept text[];
	relation regclass;
	column_name text;
BEGIN
	/* the occasion */
	PERFORM lifecycle.check_argument('on_', on_);
	IF lower(on_) <> ALL (occasions) THEN
		PERFORM lifecycle.rule_error(format('a rule cannot be on "%s"', on_), lifecycle.name_hint(on_, occasions, 'occasion'));
	END IF;
	on_ := lower(on_);
	of := nullif(of, '');
	condition := nullif(condition, '');
	IF on_ = 'event' THEN
		IF m.events IS NULL THEN
			PERFORM lifecycle.rule_error(format('model "%s" has no events', m.name),
				'Give lifecycle_attach the events table, or choose another occasion.');
		ELSIF of IS NULL THEN
			PERFORM lifecycle.rule_error('a rule on an event must name the event', 'Write of => ''Meeting Booked''.');
		END IF;
		PERFORM lifecycle.check_name('event', of);
	ELSIF on_ IN ('segment entered', 'segment left') THEN
		IF of IS NULL THEN
			PERFORM lifecycle.rule_error('a rule on a segment must name the segment',
				lifecycle.name_hint('', lifecycle.names_of(m.name, 'segment'), 'segment', 'lifecycle_add_segment'));
		END IF;
		of := lifecycle.find_name(m.name, 'segment', of);
	ELSIF on_ = 'stage entered' THEN
		IF of IS NOT NULL THEN
			of := lifecycle.find_name(m.name, 'stage', of);
		END IF;
	ELSE
		IF m.deals IS NULL THEN
			PERFORM lifecycle.rule_error(format('model "%s" has no deals', m.name),
				'Give lifecycle_attach the deals table, or choose another occasion.');
		ELSIF of IS NOT NULL AND on_ = 'deal stage entered' THEN
			of := lifecycle.find_deal_stage_of_rule(m.name, of);
		ELSIF of IS NOT NULL THEN
			of := lifecycle.find_name(m.name, 'pipeline', of);
		END IF;
	END IF;

	/* the action, and which arguments it has */
	PERFORM lifecycle.check_argument('action', action);
	IF lower(action) <> ALL (actions) THEN
		PERFORM lifecycle.rule_error(format('a rule cannot do "%s"', action), lifecycle.name_hint(action, actions, 'action'));
	END IF;
	action := lower(action);
	PERFORM lifecycle.check_argument('args', args);
	IF jsonb_typeof(args) <> 'object' THEN
		PERFORM lifecycle.rule_error('argument "args" must be a JSON object', 'Write for example args => ''{"stage": "Customer"}''.');
	END IF;
	args := jsonb_strip_nulls(args);
	required := CASE action
		WHEN 'advance stage' THEN '{stage}'::text[]
		WHEN 'set stage' THEN '{stage}'
		WHEN 'set lead status' THEN '{status}'
		WHEN 'set field' THEN '{column,value}'
		WHEN 'create task' THEN '{title}'
		WHEN 'copy to company' THEN '{columns}'
		ELSE '{}' END;
	allowed := CASE action
		WHEN 'create deal' THEN '{pipeline,stage,name,amount,currency,owner,else}'::text[]
		WHEN 'assign owner' THEN '{owner,else}'
		WHEN 'create task' THEN '{title,note,owner,else,due,until,becomes}'
		WHEN 'advance stage' THEN '{stage,reason}'
		WHEN 'set stage' THEN '{stage,reason}'
		WHEN 'set lead status' THEN '{status,reason}'
		WHEN 'notify' THEN '{type,channel,payload}'
		ELSE required END;
	FOR argument IN SELECT jsonb_object_keys(args) LOOP
		IF argument <> ALL (allowed) THEN
			PERFORM lifecycle.rule_error(format('action "%s" has no argument "%s"', action, argument),
				lifecycle.name_hint(argument, allowed, 'argument'));
		ELSIF argument NOT IN ('columns', 'payload') AND jsonb_typeof(args -> argument) <> 'string' THEN
			PERFORM lifecycle.rule_error(format('argument "%s" of action "%s" must be a text', argument, action),
				format('Write {"%s": "%s"}.', argument, args ->> argument));
		END IF;
	END LOOP;
	FOREACH argument IN ARRAY required LOOP
		IF NOT args ? argument THEN
			PERFORM lifecycle.rule_error(format('action "%s" needs the argument "%s"', action, argument),
				format('Write args => ''{"%s": ...}''.', argument));
		END IF;
	END LOOP;

	args := lifecycle.check_owner_args(m, on_, action, args);
	IF action = 'create task' THEN
		args := lifecycle.check_task_args(m, on_, args);
	END IF;

	/* what the arguments name */
	IF action IN ('advance stage', 'set stage') THEN
		args := jsonb_set(args, '{stage}', to_jsonb(lifecycle.find_name(m.name, 'stage', args ->> 'stage')));
		EXECUTE format('SELECT coalesce(array_agg(name ORDER BY position), ''{}'') FROM %I.stage WHERE on_path', m.name) INTO kept;
		IF action = 'advance stage' AND args ->> 'stage' <> ALL (kept) THEN
			PERFORM lifecycle.rule_error(format('cannot advance to stage "%s" because it is not on the path', args ->> 'stage'),
				format('Use the action "set stage", or one of %s.', lifecycle.quoted_list(kept)));
		END IF;
	ELSIF action = 'set lead status' THEN
		args := jsonb_set(args, '{status}', to_jsonb(lifecycle.find_name(m.name, 'lead_status', args ->> 'status')));
	ELSIF action = 'create deal' THEN
		IF m.deals IS NULL THEN
			PERFORM lifecycle.rule_error(format('model "%s" has no deals', m.name),
				'Give lifecycle_attach the deals table, or choose another action.');
		END IF;
		EXECUTE format('SELECT p.name FROM %I.pipeline p ORDER BY p.position LIMIT 1', m.name) INTO pipeline_name;
		IF args ? 'pipeline' THEN
			-- deals without a pipeline column are all in the first one
			pipeline_name := lifecycle.find_name(m.name, 'pipeline', args ->> 'pipeline');
			IF lifecycle.mapped_column(m.name, 'deals', 'pipeline') IS NULL
			   AND (lifecycle.names_of(m.name, 'pipeline'))[1] <> pipeline_name THEN
				PERFORM lifecycle.rule_error('the deals of this model have no pipeline column',
					format('Leave "pipeline" out: all deals are in "%s".', (lifecycle.names_of(m.name, 'pipeline'))[1]));
			END IF;
			args := jsonb_set(args, '{pipeline}', to_jsonb(pipeline_name));
		ELSIF pipeline_name IS NULL THEN
			PERFORM lifecycle.rule_error(format('model "%s" has no pipeline', m.name),
				format('Add one: SELECT lifecycle_add_pipeline(%L, ''Sales'').', m.name));
		END IF;
		EXECUTE format('SELECT array_agg(name ORDER BY position) FROM %I.deal_stage WHERE pipeline = $1 AND kind = ''open''', m.name)
			INTO kept USING pipeline_name;
		IF kept IS NULL THEN
			PERFORM lifecycle.rule_error(format('pipeline "%s" has no open stage', pipeline_name),
				format('Add one: SELECT lifecycle_add_deal_stage(%L, %L, ''New'', probability => 10).', m.name, pipeline_name));
		ELSIF args ? 'stage' THEN
			args := jsonb_set(args, '{stage}', to_jsonb(lifecycle.find_deal_stage(m.name, pipeline_name, args ->> 'stage')));
			IF args ->> 'stage' <> ALL (kept) THEN
				PERFORM lifecycle.rule_error(format('cannot create a deal in stage "%s" because it is closed', args ->> 'stage'),
					format('Open stages of pipeline "%s" are %s.', pipeline_name, lifecycle.quoted_list(kept)));
			END IF;
		END IF;
		FOREACH argument IN ARRAY '{name,amount,currency,owner}'::text[] LOOP
			IF args ? argument AND lifecycle.mapped_column(m.name, 'deals', argument) IS NULL THEN
				PERFORM lifecycle.rule_error(format('the deals of this model have no column for the "%s"', argument),
					format('Leave "%s" out, or map a column when you attach the table.', argument));
			END IF;
		END LOOP;
	ELSIF action = 'set field' THEN
		PERFORM lifecycle.check_column(m.contacts, args ->> 'column');
		SELECT c.role INTO argument FROM lifecycle.model_column c
		WHERE c.model = m.name AND c.object = 'contacts' AND c.column_name = args ->> 'column'
		  AND c.role IN ('key', 'stage', 'lead_status');
		IF FOUND THEN
			PERFORM lifecycle.rule_error(format('action "set field" cannot change column "%s"', args ->> 'column'),
				CASE argument WHEN 'stage' THEN 'Use the action "advance stage" or "set stage".'
							  WHEN 'lead_status' THEN 'Use the action "set lead status".'
							  ELSE 'It is the key of the contact. Choose another column.' END);
		END IF;
	ELSIF action = 'copy to company' THEN
		IF lifecycle.mapped_column(m.name, 'contacts', 'company') IS NULL THEN
			PERFORM lifecycle.rule_error(format('the contacts of model "%s" have no company', m.name),
				'Give lifecycle_attach the companies table, or choose another action.');
		ELSIF jsonb_typeof(args -> 'columns') NOT IN ('array', 'object')
			  OR args -> 'columns' IN ('[]', '{}') THEN
			PERFORM lifecycle.rule_error('argument "columns" of action "copy to company" must be a list of columns or an object',
				'Write {"columns": ["industry"]} or {"columns": {"company column": "contact column"}}.');
		END IF;
		FOR pair IN
			SELECT j.value AS company_column, j.value AS contact_column
			FROM jsonb_array_elements(CASE jsonb_typeof(args -> 'columns') WHEN 'array' THEN args -> 'columns' ELSE '[]' END) j
			UNION ALL
			SELECT to_jsonb(j.key), j.value
			FROM jsonb_each(CASE jsonb_typeof(args -> 'columns') WHEN 'object' THEN args -> 'columns' ELSE '{}' END) j
		LOOP
			IF jsonb_typeof(pair.contact_column) <> 'string' THEN
				PERFORM lifecycle.rule_error(format('a column of action "copy to company" must be a text, not %s', pair.contact_column),
					'Write {"columns": ["industry"]} or {"columns": {"company column": "contact column"}}.');
			END IF;
			column_name := pair.company_column #>> '{}';
			PERFORM lifecycle.check_column(m.contacts, pair.contact_column #>> '{}');
			PERFORM lifecycle.check_column(m.companies, column_name);
			IF EXISTS (
				SELECT FROM lifecycle.model_column c
				WHERE c.model = m.name AND c.object = 'companies' AND c.column_name = pair.company_column #>> '{}')
			THEN
				PERFORM lifecycle.rule_error(format('action "copy to company" cannot change column "%s"', column_name),
					'Key, stage and lead status of a company are kept by lifecycle. Choose other columns.');
			END IF;
			PERFORM lifecycle.check_assignable(format('column "%s"', pair.contact_column #>> '{}'),
				(SELECT a.atttypid::regtype FROM pg_attribute a
				 WHERE a.attrelid = m.contacts AND a.attname = pair.contact_column #>> '{}' AND NOT a.attisdropped),
				m.companies, column_name);
		END LOOP;
	ELSIF action = 'notify' THEN
		IF args ? 'channel' THEN
			PERFORM lifecycle.check_name('channel', args ->> 'channel');
		END IF;
		IF args ? 'payload' AND (jsonb_typeof(args -> 'payload') <> 'object'
			OR EXISTS (SELECT FROM jsonb_each(CASE jsonb_typeof(args -> 'payload') WHEN 'object' THEN args -> 'payload' ELSE '{}' END) p
					   WHERE jsonb_typeof(p.value) <> 'string')) THEN
			PERFORM lifecycle.rule_error('argument "payload" of action "notify" must be an object of expressions',
				'Write {"payload": {"email": "email", "greeting": "''Hello''"}}.');
		END IF;
	END IF;

	/* the expressions */
	FOR x IN SELECT * FROM lifecycle.rule_expressions(on_, condition, action, args) LOOP
		SELECT * INTO compiled FROM lifecycle.compile(m.name, x.expression, x.kind);
		IF action = 'set field' AND x.place = 'value' THEN
			PERFORM lifecycle.check_assignable('value', compiled.result_type, m.contacts, args ->> 'column');
		ELSIF action IN ('create deal', 'assign owner') AND x.place <> 'condition' THEN
			PERFORM lifecycle.check_assignable(x.place, compiled.result_type, m.deals, lifecycle.mapped_column(m.name, 'deals', x.place));
		END IF;
	END LOOP;
END
$$;

COMMENT ON FUNCTION lifecycle.check_rule(lifecycle.model, text, text, text, text, jsonb) IS
'checks a rule and returns it in canonical spelling; raises 22023, 42703, 42704, 42804 or the compiler''s errors';

CREATE FUNCTION lifecycle.insert_rule(
	m lifecycle.model, rule_name text, on_ text, of text, condition text, action text, args jsonb, description text,
	enabled boolean DEFAULT true)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	checked record;
BEGIN
	PERFORM lifecycle.check_new_name(m.name, 'rule', rule_name);
	SELECT * INTO checked FROM lifecycle.check_rule(m, on_, of, condition, action, args);
	EXECUTE format($sql$
		INSERT INTO %1$I.rule (name, on_, of, condition, action, args, position, enabled, description)
		SELECT $1, $2, $3, $4, $5, $6, coalesce(max(position), 0) + 1, $7, nullif($8, '') FROM %1$I.rule $sql$, m.name)
		USING rule_name, checked.on_, checked.of, checked.condition, checked.action, checked.args, enabled, description;
	PERFORM lifecycle.keep_turns(m);
END
$$;

COMMENT ON FUNCTION lifecycle.insert_rule(lifecycle.model, text, text, text, text, text, jsonb, text, boolean) IS
'adds a rule at the end, after all checks';

CREATE FUNCTION lifecycle.update_rule_args(m lifecycle.model, rule_name text, args jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r record;
	checked record;
BEGIN
	EXECUTE format('SELECT * FROM %I.rule WHERE name = $1', m.name) INTO r USING rule_name;
	SELECT * INTO checked FROM lifecycle.check_rule(m, r.on_, r.of, r.condition, r.action, update_rule_args.args);
	EXECUTE format('UPDATE %I.rule SET args = $2, since = clock_timestamp() WHERE name = $1', m.name) USING rule_name, checked.args;
END
$$;

COMMENT ON FUNCTION lifecycle.update_rule_args(lifecycle.model, text, jsonb) IS
'changes the arguments of a rule, after all checks';

CREATE FUNCTION @extschema@.lifecycle_add_rule(
	model text, name text, on_ text, action text, args jsonb DEFAULT '{}', of text DEFAULT NULL,
	condition text DEFAULT NULL, at_position integer DEFAULT NULL, description text DEFAULT NULL,
	enabled boolean DEFAULT true)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
BEGIN
	PERFORM lifecycle.check_argument('enabled', enabled);
	PERFORM lifecycle.lock_model(m.name);
	PERFORM lifecycle.insert_rule(m, name, on_, of, condition, action, args, description, enabled);
	PERFORM lifecycle.arrange(m.name, 'rule', NULL, name, at_position);
	PERFORM lifecycle.reload(m.name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_add_rule(text, text, text, text, jsonb, text, text, integer, text, boolean) IS
'adds a rule: when on_ happens (event, segment entered, segment left, stage entered, deal created, deal stage entered, deal won, deal lost; of names which), and the condition holds, do the action with its args; it looks at what happens from now on';

CREATE FUNCTION @extschema@.lifecycle_alter_rule(
	model text, name text, new_name text DEFAULT NULL, on_ text DEFAULT NULL, action text DEFAULT NULL,
	args jsonb DEFAULT NULL, of text DEFAULT NULL, condition text DEFAULT NULL, at_position integer DEFAULT NULL,
	description text DEFAULT NULL, enabled boolean DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	old_name text;
	r record;
	checked record;
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	old_name := lifecycle.find_name(m.name, 'rule', name);
	IF lower(new_name) <> lower(old_name) THEN
		PERFORM lifecycle.check_new_name(m.name, 'rule', new_name);
	END IF;
	EXECUTE format('SELECT * FROM %I.rule WHERE name = $1', m.name) INTO r USING old_name;
	SELECT * INTO checked FROM lifecycle.check_rule(m,
		coalesce(lifecycle_alter_rule.on_, r.on_), coalesce(lifecycle_alter_rule.of, r.of),
		coalesce(lifecycle_alter_rule.condition, r.condition),
		coalesce(lifecycle_alter_rule.action, r.action), coalesce(lifecycle_alter_rule.args, r.args));
	IF r.segment IS NOT NULL AND (checked.on_ <> 'segment entered' OR checked.of <> r.segment OR checked.action <> 'advance stage') THEN
		-- no longer what `stage =>` of the segment stands for: a rule by itself
		r.segment := NULL;
	END IF;
	EXECUTE format($sql$
		UPDATE %I.rule SET name = $2, on_ = $3, of = $4, condition = $5, action = $6, args = $7, enabled = $8,
			description = CASE WHEN $9 IS NULL THEN description ELSE nullif($9, '') END, segment = $10,
			since = clock_timestamp()
		WHERE name = $1 $sql$, m.name)
		USING old_name, coalesce(new_name, old_name), checked.on_, checked.of, checked.condition, checked.action, checked.args,
			  coalesce(lifecycle_alter_rule.enabled, r.enabled), description, r.segment;
	PERFORM lifecycle.keep_turns(m);
	PERFORM lifecycle.arrange(m.name, 'rule', NULL, coalesce(new_name, old_name), at_position);
	PERFORM lifecycle.reload(m.name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_alter_rule(text, text, text, text, text, jsonb, text, text, integer, text, boolean) IS
'changes a rule; what is null stays, an empty of, condition or description is removed';

CREATE FUNCTION @extschema@.lifecycle_drop_rule(model text, name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	EXECUTE format('DELETE FROM %I.rule WHERE name = $1', m.name) USING lifecycle.find_name(m.name, 'rule', name);
	PERFORM lifecycle.keep_turns(m);
	PERFORM lifecycle.arrange(m.name, 'rule', NULL, NULL, NULL);
	PERFORM lifecycle.reload(m.name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_drop_rule(text, text) IS 'drops a rule; what it did stays';
