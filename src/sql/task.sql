/*
 * Owners and tasks: who does what, and by when.
 *
 * Tasks are made by rules (action "create task", src/task.c) or by hand, and
 * closed by hand or when what they are about moves on.  The rows belong to the
 * model's owner, who grants sales what it needs on them.
 */

CREATE FUNCTION lifecycle.create_task_tables(
	model_name text, contact_type text, company_type text, deal_type text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $create$
BEGIN
	EXECUTE format($ddl$

CREATE TABLE %1$I.owner (
	name		text PRIMARY KEY,
	position	integer NOT NULL,
	active		boolean NOT NULL DEFAULT true,
	description	text
);
CREATE UNIQUE INDEX owner_spelling ON %1$I.owner (lower(name));
COMMENT ON TABLE %1$I.owner IS 'the people who can own deals and tasks';
COMMENT ON COLUMN %1$I.owner.name IS 'name, as it stands in deals and tasks';
COMMENT ON COLUMN %1$I.owner.position IS 'place in lists, and in the turns of round robin, from 1';
COMMENT ON COLUMN %1$I.owner.active IS 'false if rules assign nothing to this owner';
COMMENT ON COLUMN %1$I.owner.description IS 'what else there is to say';

CREATE TABLE %1$I.task (
	id			bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	title		text NOT NULL,
	note		text,
	contact		%2$s,
	company		%3$s,
	deal		%4$s,
	owner		text,
	due_at		timestamptz,
	status		text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done', 'cancelled')),
	created_at	timestamptz NOT NULL DEFAULT now(),
	closed_at	timestamptz,
	until		text NOT NULL DEFAULT 'closed by hand'
				CHECK (until IN ('closed by hand', 'deal moves', 'deal closes', 'stage changes')),
	becomes		text NOT NULL DEFAULT 'cancelled' CHECK (becomes IN ('done', 'cancelled')),
	cause		text NOT NULL DEFAULT 'api',
	rule		text,
	event		text,
	event_at	timestamptz,
	reason		text,
	role		text NOT NULL DEFAULT current_user,
	CHECK (status <> 'open' OR closed_at IS NULL)
);
CREATE INDEX task_contact ON %1$I.task (contact);
CREATE INDEX task_deal ON %1$I.task (deal) WHERE deal IS NOT NULL;
CREATE INDEX task_due ON %1$I.task (due_at) WHERE status = 'open';
CREATE INDEX task_owner ON %1$I.task (owner, due_at) WHERE status = 'open';
COMMENT ON TABLE %1$I.task IS 'what somebody is to do, about a contact, company or deal';
COMMENT ON COLUMN %1$I.task.id IS 'number of the task';
COMMENT ON COLUMN %1$I.task.title IS 'what is to be done';
COMMENT ON COLUMN %1$I.task.note IS 'what else there is to know';
COMMENT ON COLUMN %1$I.task.contact IS 'key of the contact that it is about';
COMMENT ON COLUMN %1$I.task.company IS 'key of the company that it is about';
COMMENT ON COLUMN %1$I.task.deal IS 'key of the deal that it is about';
COMMENT ON COLUMN %1$I.task.owner IS 'who is to do it; null if nobody is assigned';
COMMENT ON COLUMN %1$I.task.due_at IS 'by when it is to be done; null if at any time';
COMMENT ON COLUMN %1$I.task.status IS 'open, done or cancelled';
COMMENT ON COLUMN %1$I.task.created_at IS 'clock at which it was made';
COMMENT ON COLUMN %1$I.task.closed_at IS 'clock at which it was done or cancelled, null while it is open, and if a plain UPDATE closed it without one';
COMMENT ON COLUMN %1$I.task.until IS 'what closes it by itself: the deal moves, the deal closes (is won, lost or deleted), the contact''s stage changes, or nothing (closed by hand)';
COMMENT ON COLUMN %1$I.task.becomes IS 'what it becomes when it is closed by itself: done or cancelled';
COMMENT ON COLUMN %1$I.task.cause IS 'what made it: event, rule, api, update, deal, sync, import, tick, merge or rebuild';
COMMENT ON COLUMN %1$I.task.rule IS 'name of the rule that made it, if one did';
COMMENT ON COLUMN %1$I.task.event IS 'name of the event that caused it, if one did';
COMMENT ON COLUMN %1$I.task.event_at IS 'time of that event';
COMMENT ON COLUMN %1$I.task.reason IS 'why it was closed, in words';
COMMENT ON COLUMN %1$I.task.role IS 'the database role that made it';

$ddl$, model_name, contact_type, company_type, deal_type);
END
$create$;

COMMENT ON FUNCTION lifecycle.create_task_tables(text, text, text, text) IS
'creates the tables owner and task of a model, with the key types of contacts, companies and deals';


/* ---- owners ---- */

CREATE FUNCTION @extschema@.lifecycle_add_owner(
	model text, name text, at_position integer DEFAULT NULL, active boolean DEFAULT true, description text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
BEGIN
	PERFORM lifecycle.check_argument('active', active);
	PERFORM lifecycle.check_new_name(m.name, 'owner', name);
	EXECUTE format('INSERT INTO %1$I.owner (name, position, active, description)
					SELECT $1, coalesce(max(position), 0) + 1, $2, nullif($3, '''') FROM %1$I.owner', m.name)
		USING name, active, description;
	PERFORM lifecycle.arrange(m.name, 'owner', NULL, name, at_position);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_add_owner(text, text, integer, boolean, text) IS
'adds somebody who can own deals and tasks, at a position counted from 1, at the end if null; raises 42710 if there is one of that name';

CREATE FUNCTION @extschema@.lifecycle_alter_owner(
	model text, name text, new_name text DEFAULT NULL, at_position integer DEFAULT NULL,
	active boolean DEFAULT NULL, description text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	old_name text := lifecycle.find_name(m.name, 'owner', name);
	owner_name text := coalesce(new_name, old_name);
	owner_column text := lifecycle.mapped_column(m.name, 'deals', 'owner');
BEGIN
	EXECUTE format('UPDATE %I.owner o SET active = coalesce($2, o.active),
						description = CASE WHEN $3 IS NULL THEN o.description ELSE nullif($3, '''') END
					WHERE o.name = $1', m.name) USING old_name, active, description;
	PERFORM lifecycle.arrange(m.name, 'owner', NULL, old_name, at_position);
	IF owner_name <> old_name THEN
		IF lower(owner_name) <> lower(old_name) THEN
			PERFORM lifecycle.check_new_name(m.name, 'owner', owner_name);
		END IF;
		EXECUTE format('UPDATE %I.owner SET name = $2 WHERE name = $1', m.name) USING old_name, owner_name;
		EXECUTE format('UPDATE %I.task SET owner = $2 WHERE owner = $1', m.name) USING old_name, owner_name;
		IF owner_column IS NOT NULL THEN
			EXECUTE format('UPDATE %1$s SET %2$I = $2 WHERE %2$I = $1', m.deals, owner_column) USING old_name, owner_name;
		END IF;
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_alter_owner(text, text, text, integer, boolean, text) IS
'renames, moves or describes an owner, or lets rules assign to them or not; what is null stays; a rename changes tasks and deals';

CREATE FUNCTION @extschema@.lifecycle_drop_owner(model text, name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	owner_name text := lifecycle.find_name(m.name, 'owner', name);
	owner_column text := lifecycle.mapped_column(m.name, 'deals', 'owner');
	tasks bigint;
	deals bigint := 0;
BEGIN
	EXECUTE format('SELECT count(*) FROM %I.task WHERE owner = $1 AND status = ''open''', m.name) INTO tasks USING owner_name;
	IF owner_column IS NOT NULL THEN
		EXECUTE format('SELECT count(*) FROM %s WHERE %I = $1 AND %I', m.deals, owner_column,
					   lifecycle.mapped_column(m.name, 'deals', 'is_open')) INTO deals USING owner_name;
	END IF;
	PERFORM lifecycle.refuse_drop('owner', owner_name,
		ARRAY[CASE tasks WHEN 0 THEN NULL WHEN 1 THEN '1 open task' ELSE format('%s open tasks', tasks) END,
			  CASE deals WHEN 0 THEN NULL WHEN 1 THEN '1 open deal' ELSE format('%s open deals', deals) END],
		format('Give them to somebody else first, or use lifecycle_alter_owner(%L, %L, active => false).', m.name, owner_name));
	EXECUTE format('DELETE FROM %I.owner o WHERE o.name = $1', m.name) USING owner_name;
	PERFORM lifecycle.arrange(m.name, 'owner', NULL, NULL, NULL);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_drop_owner(text, text) IS
'drops an owner who has no open task or deal; raises 2BP01 with their number otherwise';


/* ---- tasks ---- */

CREATE FUNCTION @extschema@.lifecycle_add_task(
	model text, about "any", title text, owner text DEFAULT NULL, due_at timestamptz DEFAULT NULL,
	note text DEFAULT NULL, object text DEFAULT 'contact') RETURNS bigint
AS 'MODULE_PATHNAME', 'lifecycle_add_task' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION @extschema@.lifecycle_add_task(text, "any", text, text, timestamptz, text, text) IS
'adds a task about a contact, company or deal by hand and returns its number; needs INSERT and SELECT on the table task; raises P0002 if there is no such contact, company or deal';

CREATE FUNCTION lifecycle.close_task(model_name text, task bigint, new_status text, reason text) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_model(model_name);
	status_now text;
BEGIN
	PERFORM lifecycle.check_argument('task', task);
	EXECUTE format('UPDATE %I.task SET status = $2, closed_at = $3, reason = $4 WHERE id = $1 AND status = ''open'' RETURNING status', m.name)
		INTO status_now USING task, new_status, lifecycle.model_clock(m.name), reason;
	IF status_now IS NULL THEN
		EXECUTE format('SELECT t.status FROM %I.task t WHERE t.id = $1', m.name) INTO status_now USING task;
	END IF;
	IF status_now IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'no_data_found',
			MESSAGE = format('task %s of model "%s" does not exist', task, m.name),
			HINT = format('The open ones are: SELECT id, title FROM %I.task WHERE status = ''open''.', m.name);
	END IF;
	RETURN status_now;
END
$$;

COMMENT ON FUNCTION lifecycle.close_task(text, bigint, text, text) IS
'closes an open task with the caller''s rights and returns what its status is now; raises P0002 if there is no such task';

CREATE FUNCTION @extschema@.lifecycle_complete_task(model text, task bigint, reason text DEFAULT NULL) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT lifecycle.close_task(model, task, 'done', reason) $$;

COMMENT ON FUNCTION @extschema@.lifecycle_complete_task(text, bigint, text) IS
'an open task is done; returns its status now, which stays cancelled if it was; needs SELECT and UPDATE on the table task; raises P0002 if there is no such task';

CREATE FUNCTION @extschema@.lifecycle_cancel_task(model text, task bigint, reason text DEFAULT NULL) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT lifecycle.close_task(model, task, 'cancelled', reason) $$;

COMMENT ON FUNCTION @extschema@.lifecycle_cancel_task(text, bigint, text) IS
'an open task need not be done; returns its status now, which stays done if it was; needs SELECT and UPDATE on the table task; raises P0002 if there is no such task';


/* ---- rules that make them ---- */

-- Which stage of which pipeline: "Pipeline: Stage", or the stage alone if only
-- one pipeline has one of that name.
CREATE FUNCTION lifecycle.find_deal_stage_of_rule(model_name text, given text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_stages text[];
	known text[];
BEGIN
	EXECUTE format($sql$
		SELECT array_agg(s.full_name ORDER BY s.number) FILTER (WHERE lower($1) IN (lower(s.full_name), lower(s.name))),
			   array_agg(s.full_name ORDER BY s.number)
		FROM (SELECT d.pipeline || ': ' || d.name AS full_name, d.name, row_number() OVER (ORDER BY p.position, d.position) AS number
			  FROM %1$I.deal_stage d JOIN %1$I.pipeline p ON p.name = d.pipeline) s $sql$, model_name)
		INTO found_stages, known USING given;
	IF found_stages IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('deal stage "%s" does not exist in model "%s"', given, model_name),
			HINT = lifecycle.name_hint(given, known, 'deal stage', 'lifecycle_add_deal_stage');
	ELSIF cardinality(found_stages) > 1 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'ambiguous_parameter',
			MESSAGE = format('more than one pipeline has a deal stage "%s"', given),
			HINT = format('Say which: %s.', lifecycle.quoted_list(found_stages));
	END IF;
	RETURN found_stages[1];
END
$$;

COMMENT ON FUNCTION lifecycle.find_deal_stage_of_rule(text, text) IS
'the stage of a pipeline that a rule is on, as "Pipeline: Stage"; raises 42704 if there is none, 42P08 if there are several';

CREATE FUNCTION lifecycle.check_owner_args(m lifecycle.model, on_ text, action text, args jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF action = 'assign owner' THEN
		IF on_ NOT LIKE 'deal %' THEN
			PERFORM lifecycle.rule_error(format('a rule on "%s" cannot do "assign owner"', on_),
				'It is for rules on deals. To set a column of the contact, use the action "set field".');
		ELSIF lifecycle.mapped_column(m.name, 'deals', 'owner') IS NULL THEN
			PERFORM lifecycle.rule_error('the deals of this model have no column for the "owner"',
				'Map a column when you attach the table.');
		ELSIF NOT args ?| '{owner,else}' THEN
			PERFORM lifecycle.rule_error('action "assign owner" needs the argument "owner" or "else"',
				'Write args => ''{"owner": "coalesce(owner, company.owner)", "else": "round robin"}''.');
		END IF;
	END IF;
	-- not on its own an expression, so it can be nothing else
	IF action IN ('create deal', 'assign owner', 'create task') AND lower(args ->> 'owner') = 'round robin' THEN
		args := args - 'owner' || '{"else": "round robin"}';
	END IF;
	IF args ? 'else' AND lower(args ->> 'else') NOT IN ('round robin', 'none') THEN
		PERFORM lifecycle.rule_error(format('argument "else" of action "%s" cannot be "%s"', action, args ->> 'else'),
			lifecycle.name_hint(args ->> 'else', '{round robin,none}', 'value'));
	ELSIF args ? 'else' THEN
		args := jsonb_set(args, '{else}', to_jsonb(lower(args ->> 'else')));
	END IF;
	RETURN args;
END
$$;

COMMENT ON FUNCTION lifecycle.check_owner_args(lifecycle.model, text, text, jsonb) IS
'checks the arguments owner and else of a rule and returns the arguments in canonical spelling; raises 22023';

CREATE FUNCTION lifecycle.check_task_args(m lifecycle.model, on_ text, args jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	due interval;
	allowed text[] := CASE WHEN on_ LIKE 'deal %' THEN '{closed by hand,deal moves,deal closes,stage changes}'::text[]
						   ELSE '{closed by hand,stage changes}' END;
BEGIN
	IF args ? 'due' THEN
		BEGIN
			due := args ->> 'due';
		EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR interval_field_overflow THEN
			PERFORM lifecycle.rule_error(format('argument "due" of action "create task" is no interval: "%s"', args ->> 'due'),
				'Write how long after it is made the task is due: {"due": "2 days"}.');
		END;
	END IF;
	IF args ? 'until' THEN
		args := jsonb_set(args, '{until}', to_jsonb(lower(args ->> 'until')));
		IF args ->> 'until' <> ALL (allowed) THEN
			PERFORM lifecycle.rule_error(format('argument "until" of action "create task" cannot be "%s" in a rule on "%s"', args ->> 'until', on_),
				lifecycle.name_hint(args ->> 'until', allowed, 'value'));
		END IF;
	END IF;
	IF args ? 'becomes' THEN
		args := jsonb_set(args, '{becomes}', to_jsonb(lower(args ->> 'becomes')));
		IF args ->> 'becomes' <> ALL ('{done,cancelled}') THEN
			PERFORM lifecycle.rule_error(format('argument "becomes" of action "create task" cannot be "%s"', args ->> 'becomes'),
				lifecycle.name_hint(args ->> 'becomes', '{done,cancelled}', 'value'));
		END IF;
	END IF;
	RETURN args;
END
$$;

COMMENT ON FUNCTION lifecycle.check_task_args(lifecycle.model, text, jsonb) IS
'checks the arguments due, until and becomes of a rule and returns the arguments in canonical spelling; raises 22023';

-- Each rule by which owners take turns has a sequence of its own: see
-- src/owner.c.  Whoever adds the rule, it belongs to the model's owner, who
-- writes for all.
CREATE FUNCTION lifecycle.keep_turns(m lifecycle.model) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s record;
BEGIN
	FOR s IN EXECUTE format($sql$
		SELECT c.relname AS name, false AS wanted
		FROM pg_class c
		WHERE c.relnamespace = %2$L::regnamespace AND c.relkind = 'S' AND c.relname ~ '^turn_[0-9]+$'
		  AND NOT EXISTS (SELECT FROM %1$I.rule r WHERE 'turn_' || r.id = c.relname)
		UNION ALL
		SELECT 'turn_' || r.id, true
		FROM %1$I.rule r
		WHERE r.args ->> 'else' = 'round robin' AND to_regclass(format('%%I.turn_%%s', %3$L, r.id)) IS NULL $sql$,
		m.name, quote_ident(m.name), m.name)
	LOOP
		IF NOT s.wanted THEN
			EXECUTE format('DROP SEQUENCE %I.%I', m.name, s.name);
			CONTINUE;
		END IF;
		EXECUTE format('CREATE SEQUENCE %I.%I CYCLE', m.name, s.name);
		EXECUTE format('COMMENT ON SEQUENCE %I.%I IS %L', m.name, s.name,
					   format('whose turn it is by rule number %s, see the table owner', substr(s.name, 6)));
		EXECUTE format('ALTER SEQUENCE %I.%I OWNER TO %I', m.name, s.name,
					   (SELECT pg_get_userbyid(n.nspowner) FROM pg_namespace n WHERE n.nspname = m.name));
	END LOOP;
END
$$;

COMMENT ON FUNCTION lifecycle.keep_turns(lifecycle.model) IS
'makes the sequences of rules by which owners take turns, and drops those of rules that are gone';


/* ---- views ---- */

CREATE FUNCTION lifecycle.view_definitions_task(model text)
RETURNS TABLE (name text, query text, comment text, columns text[])
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT 'task_overdue'::text, format($query$
		SELECT t.id AS task, t.title, t.owner, t.contact, t.company, t.deal, t.due_at,
			   round(extract(epoch FROM k.now - t.due_at) / 86400, 1) AS days_overdue, t.rule
		  FROM %1$I.task t
		 CROSS JOIN (SELECT %2$s AS now) k
		 WHERE t.status = 'open' AND t.due_at < k.now$query$,
		model, lifecycle.view_clock(model)),
		'Open tasks whose due time is over, one row each.',
		ARRAY[
		'task', 'Number of the task.',
		'title', 'What is to be done.',
		'owner', 'Who is to do it; null if nobody is assigned.',
		'contact', 'Key of the contact that it is about.',
		'company', 'Key of the company that it is about.',
		'deal', 'Key of the deal that it is about.',
		'due_at', 'By when it was to be done.',
		'days_overdue', 'Days since then, up to the model''s clock; one decimal.',
		'rule', 'Rule that made the task; null if a person did.'];
END;
$$;

COMMENT ON FUNCTION lifecycle.view_definitions_task(text) IS
'Internal. Definition of the view task_overdue of a model.';
