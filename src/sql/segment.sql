/*
 * Segments: a predicate with a name.
 */

-- The segments given and all that name them by in_segment, directly or not, in
-- the order in which they must be evaluated.
CREATE FUNCTION lifecycle.with_dependents(model_name text, names text[]) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	result text[];
BEGIN
	EXECUTE format($sql$
		WITH RECURSIVE reached AS (
			SELECT s.name, s.rank FROM %1$I.segment s WHERE s.name = ANY ($1)
			UNION
			SELECT s.name, s.rank FROM reached r JOIN %1$I.segment s ON r.name = ANY (s.segments)
		)
		SELECT array_agg(name ORDER BY rank, name) FROM reached $sql$, model_name)
		INTO result USING names;
	RETURN result;
END
$$;

COMMENT ON FUNCTION lifecycle.with_dependents(text, text[]) IS
'segments and those that depend on them, in order of rank';

-- Every segment's rank from what it names; callers have refused cycles.
CREATE FUNCTION lifecycle.rank_segments(model_name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format($sql$
		WITH RECURSIVE reference AS MATERIALIZED (
			SELECT s.name, u.of FROM %1$I.segment s CROSS JOIN unnest(s.segments) u (of)
		), ranked AS (
			SELECT s.name, 0 AS rank FROM %1$I.segment s
			UNION
			SELECT e.name, r.rank + 1 FROM ranked r JOIN reference e ON e.of = r.name
		), highest AS (
			SELECT name, max(rank) AS rank FROM ranked GROUP BY name
		)
		UPDATE %1$I.segment s SET rank = h.rank FROM highest h
		WHERE h.name = s.name AND s.rank <> h.rank $sql$, model_name);
END
$$;

COMMENT ON FUNCTION lifecycle.rank_segments(text) IS 'sets the rank of all segments';

CREATE FUNCTION lifecycle.check_cycle(model_name text, segment_name text, names text[]) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	cycle text[];
BEGIN
	EXECUTE format($sql$
		WITH RECURSIVE walk AS (
			SELECT n AS name, ARRAY[$1, n] AS path FROM unnest($2) n
			UNION ALL
			SELECT n, w.path || n
			FROM walk w JOIN %I.segment s ON s.name = w.name CROSS JOIN unnest(s.segments) n
			WHERE w.name <> $1 AND n <> ALL (w.path[2:])
		)
		SELECT path FROM walk WHERE name = $1 ORDER BY cardinality(path) LIMIT 1 $sql$, model_name)
		INTO cycle USING segment_name, names;
	IF cycle IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('predicate of segment "%s" makes a cycle of segments', segment_name),
			DETAIL = (SELECT string_agg(format('"%s"', n), ' names ' ORDER BY i) || '.' FROM unnest(cycle) WITH ORDINALITY u (n, i)),
			HINT = format('Leave in_segment(%L) out.', cycle[2]);
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_cycle(text, text, text[]) IS
'raises 22023 with the cycle if a segment that names these would depend on itself';

-- A segment lets go of its atoms.  One that nobody uses any more is found by no
-- event, so that it costs nothing, but its row keeps its number taken: the
-- packed state of contacts may still hold a value under it.
CREATE FUNCTION lifecycle.release_atoms(model_name text, segment_id integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format($sql$
		UPDATE %I.atom SET segments = array_remove(segments, $1),
			event = CASE WHEN array_remove(segments, $1) = '{}' THEN NULL ELSE event END,
			second_event = CASE WHEN array_remove(segments, $1) = '{}' THEN NULL ELSE second_event END
		WHERE $1 = ANY (segments) $sql$, model_name)
		USING segment_id;
END
$$;

COMMENT ON FUNCTION lifecycle.release_atoms(text, integer) IS 'takes a segment out of the atoms that it uses';

-- Rows of atom, found again by their definition.  A number means the same atom
-- for ever; an atom that nobody used for a while gets a new one, since nobody
-- counted its events meanwhile.
CREATE FUNCTION lifecycle.enter_atoms(model_name text, owner_id integer, compiled record)
RETURNS integer[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	atom_id integer;
	atom_ids integer[] := '{}';
BEGIN
	FOR i IN 1 .. coalesce(cardinality(compiled.atoms), 0) LOOP
		EXECUTE format($sql$
			INSERT INTO %1$I.atom AS a (id, event, definition, method, segments, second_event, key, key_value)
			SELECT coalesce(max(id), 0) + 1, $1, $2, $3, ARRAY[$4], $5, $6, $7 FROM %1$I.atom
			ON CONFLICT (definition) DO UPDATE
				SET id = CASE WHEN a.segments = '{}' THEN excluded.id ELSE a.id END,
					event = excluded.event, second_event = excluded.second_event, method = excluded.method,
					key = excluded.key, key_value = excluded.key_value,
					segments = array_append(array_remove(a.segments, $4), $4)
			RETURNING id $sql$, model_name)
			INTO atom_id
			USING compiled.atom_events[i], compiled.atoms[i], compiled.atom_methods[i], owner_id, compiled.atom_second_events[i],
				  compiled.atom_keys[i], compiled.atom_key_values[i];
		atom_ids := atom_ids || atom_id;
	END LOOP;
	RETURN atom_ids;
END
$$;

COMMENT ON FUNCTION lifecycle.enter_atoms(text, integer, record) IS
'stores the atoms of a segment, or of a score that is written to a column, of what lifecycle.compile returned, and returns their numbers';

-- Compiles a segment's predicate and stores what the engine needs of it: the
-- row of segment, which exists already, and rows of atom.
CREATE FUNCTION lifecycle.compile_segment(model_name text, segment_name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	segment_id integer;
	text_of text;
	compiled record;
	atom_ids integer[];
	named text;
BEGIN
	EXECUTE format('SELECT id, predicate FROM %I.segment WHERE name = $1', model_name)
		INTO segment_id, text_of USING segment_name;
	SELECT * INTO compiled FROM lifecycle.compile(model_name, text_of, 'predicate');
	FOREACH named IN ARRAY coalesce(compiled.segments, '{}') LOOP
		PERFORM lifecycle.find_name(model_name, 'segment', named);
	END LOOP;
	PERFORM lifecycle.check_cycle(model_name, segment_name, compiled.segments);

	PERFORM lifecycle.release_atoms(model_name, segment_id);
	atom_ids := lifecycle.enter_atoms(model_name, segment_id, compiled);
	EXECUTE format('UPDATE %I.segment SET atoms = $2, contact_columns = $3, company_columns = $4, segments = $5 WHERE id = $1', model_name)
		USING segment_id, atom_ids, coalesce(compiled.contact_columns, '{}'),
			  coalesce(compiled.company_columns, '{}'), coalesce(compiled.segments, '{}');
	PERFORM lifecycle.rank_segments(model_name);
END
$$;

COMMENT ON FUNCTION lifecycle.compile_segment(text, text) IS
'compiles the predicate of a segment and stores its atoms and columns; raises the compiler''s errors, and 22023 for a cycle';

CREATE FUNCTION lifecycle.compile_segments(model_name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names text[];
	segment_name text;
BEGIN
	EXECUTE format('SELECT coalesce(array_agg(name ORDER BY rank, id), ''{}'') FROM %I.segment', model_name) INTO names;
	FOREACH segment_name IN ARRAY names LOOP
		PERFORM lifecycle.compile_segment(model_name, segment_name);
	END LOOP;
	PERFORM lifecycle.compile_scores(model_name);
END
$$;

COMMENT ON FUNCTION lifecycle.compile_segments(text) IS
'compiles all segments and scores again, after a setting changed what their text means';

CREATE FUNCTION lifecycle.check_predicate(predicate text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM lifecycle.check_argument('predicate', predicate);
	IF btrim(predicate, E' \t\r\n') = '' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'predicate must not be empty',
			HINT = 'Give a condition, such as did(''Signed Up''), or true for everybody.';
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_predicate(text) IS 'raises 22004 or 22023 if a predicate is null or empty';

-- Adds the rows of a segment, without evaluating it.
CREATE FUNCTION lifecycle.insert_segment(
	m lifecycle.model, segment_name text, predicate text, stage text, description text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM lifecycle.check_new_name(m.name, 'segment', segment_name);
	PERFORM lifecycle.check_predicate(predicate);
	EXECUTE format('INSERT INTO %I.segment (name, predicate, description) VALUES ($1, $2, nullif($3, ''''))', m.name)
		USING segment_name, predicate, description;
	PERFORM lifecycle.compile_segment(m.name, segment_name);
	IF nullif(stage, '') IS NOT NULL THEN
		PERFORM lifecycle.insert_segment_rule(m, segment_name, stage);
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.insert_segment(lifecycle.model, text, text, text, text) IS
'adds a segment and the rule that its stage calls for, without taking anybody in';

CREATE FUNCTION lifecycle.insert_segment_rule(m lifecycle.model, segment_name text, stage text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rule_name text;
BEGIN
	-- the segment's name, or with a number after it if a rule has that name
	EXECUTE format($sql$
		SELECT CASE n WHEN 1 THEN $1 ELSE left($1, 55) || ' ' || n END
		FROM generate_series(1, 10000) n
		WHERE NOT EXISTS (SELECT FROM %I.rule r WHERE lower(r.name) = lower(CASE n WHEN 1 THEN $1 ELSE left($1, 55) || ' ' || n END))
		ORDER BY n LIMIT 1 $sql$, m.name)
		INTO rule_name
		USING CASE WHEN octet_length('Segment ' || segment_name) <= 63 THEN 'Segment ' || segment_name ELSE segment_name END;
	PERFORM lifecycle.insert_rule(m, rule_name, 'segment entered', segment_name, NULL,
		'advance stage', jsonb_build_object('stage', stage), NULL);
	EXECUTE format('UPDATE %I.rule SET segment = $1 WHERE name = $2', m.name) USING segment_name, rule_name;
END
$$;

COMMENT ON FUNCTION lifecycle.insert_segment_rule(lifecycle.model, text, text) IS
'adds the rule that advances the members of a segment to a stage';

-- Rules whose condition or expressions name a segment by in_segment, and other
-- segments that do.  Rules are few and hold no list of what they name, so
-- their texts are compiled here.
CREATE FUNCTION lifecycle.uses_of_segment(m lifecycle.model, segment_name text) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	uses text[];
	r record;
	x record;
BEGIN
	EXECUTE format('SELECT array_agg(format(''segment "%%s"'', name) ORDER BY name) FROM %I.segment WHERE $1 = ANY (segments)', m.name)
		INTO uses USING segment_name;
	FOR r IN EXECUTE format('SELECT name, on_, condition, action, args FROM %I.rule ORDER BY position, name', m.name) LOOP
		FOR x IN SELECT * FROM lifecycle.rule_expressions(r.on_, r.condition, r.action, r.args) LOOP
			-- most texts name no segment, and need no compiling
			CONTINUE WHEN strpos(lower(x.expression), 'in_segment') = 0;
			IF segment_name = ANY ((SELECT c.segments FROM lifecycle.compile(m.name, x.expression, x.kind) c)::text[]) THEN
				uses := uses || format('rule "%s"', r.name);
				EXIT;
			END IF;
		END LOOP;
	END LOOP;
	RETURN uses;
END
$$;

COMMENT ON FUNCTION lifecycle.uses_of_segment(lifecycle.model, text) IS
'the segments and rules whose text names a segment by in_segment, in words';

CREATE FUNCTION lifecycle.segment_size(m lifecycle.model, segment_name text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	members bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM %1$I.membership
					WHERE segment_id = (SELECT id FROM %1$I.segment WHERE name = $1)', m.name)
		INTO members USING segment_name;
	RETURN members;
END
$$;

COMMENT ON FUNCTION lifecycle.segment_size(lifecycle.model, text) IS
'the number of members of a segment';

CREATE FUNCTION @extschema@.lifecycle_add_segment(
	model text, name text, predicate text, stage text DEFAULT NULL, description text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	PERFORM lifecycle.insert_segment(m, name, predicate, stage, description);
	PERFORM lifecycle.reload(m.name);
	PERFORM lifecycle.take_in(m.name, ARRAY[name]);
	RETURN lifecycle.segment_size(m, name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_add_segment(text, text, text, text, text) IS
'adds a segment, takes in all contacts for which its predicate holds, and returns their number; stage => S adds a rule that advances them to S';

CREATE FUNCTION @extschema@.lifecycle_alter_segment(
	model text, name text, new_name text DEFAULT NULL, predicate text DEFAULT NULL,
	stage text DEFAULT NULL, description text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	old_name text;
	segment_name text;
	uses text[];
	old_rule text;
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	old_name := lifecycle.find_name(m.name, 'segment', name);
	segment_name := coalesce(new_name, old_name);

	IF segment_name <> old_name THEN
		IF lower(segment_name) <> lower(old_name) THEN
			PERFORM lifecycle.check_new_name(m.name, 'segment', segment_name);
		END IF;
		uses := lifecycle.uses_of_segment(m, old_name);
		IF uses IS NOT NULL THEN
			RAISE EXCEPTION USING
				ERRCODE = 'dependent_objects_still_exist',
				MESSAGE = format('cannot rename segment "%s" because others name it', old_name),
				DETAIL = format('It is named by %s.', array_to_string(uses, ', ')),
				HINT = format('Take in_segment(%L) out of their texts first, with lifecycle_alter_segment or lifecycle_alter_rule.', old_name);
		END IF;
		EXECUTE format('UPDATE %I.segment SET name = $2 WHERE name = $1', m.name) USING old_name, segment_name;
		EXECUTE format('UPDATE %I.past_membership SET segment = $2 WHERE segment = $1', m.name) USING old_name, segment_name;
		EXECUTE format('UPDATE %I.rule SET of = $2 WHERE on_ IN (''segment entered'', ''segment left'') AND of = $1', m.name)
			USING old_name, segment_name;
		EXECUTE format('UPDATE %I.rule SET segment = $2 WHERE segment = $1', m.name) USING old_name, segment_name;
	END IF;

	EXECUTE format('UPDATE %I.segment SET description = CASE WHEN $2 IS NULL THEN description ELSE nullif($2, '''') END
					WHERE name = $1', m.name) USING segment_name, description;

	IF stage IS NOT NULL THEN
		EXECUTE format('SELECT name FROM %I.rule WHERE segment = $1', m.name) INTO old_rule USING segment_name;
		IF stage = '' THEN
			EXECUTE format('DELETE FROM %I.rule WHERE segment = $1', m.name) USING segment_name;
			PERFORM lifecycle.arrange(m.name, 'rule', NULL, NULL, NULL);
		ELSIF old_rule IS NULL THEN
			PERFORM lifecycle.insert_segment_rule(m, segment_name, stage);
		ELSE
			PERFORM lifecycle.update_rule_args(m, old_rule, jsonb_build_object('stage', stage));
		END IF;
	END IF;

	IF predicate IS NOT NULL THEN
		PERFORM lifecycle.check_predicate(predicate);
		EXECUTE format('UPDATE %I.segment SET predicate = $2 WHERE name = $1', m.name) USING segment_name, predicate;
		PERFORM lifecycle.compile_segment(m.name, segment_name);
	END IF;
	PERFORM lifecycle.reload(m.name);
	IF predicate IS NOT NULL THEN
		PERFORM lifecycle.take_in(m.name, lifecycle.with_dependents(m.name, ARRAY[segment_name]));
	END IF;
	RETURN lifecycle.segment_size(m, segment_name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_alter_segment(text, text, text, text, text, text) IS
'renames or describes a segment, changes its predicate (members enter and leave at once) or the stage that it leads to, and returns the number of members; what is null stays, an empty stage or description is removed';

CREATE FUNCTION @extschema@.lifecycle_drop_segment(model text, name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	segment_name text;
	segment_id integer;
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	segment_name := lifecycle.find_name(m.name, 'segment', name);
	PERFORM lifecycle.refuse_drop('segment', segment_name,
		lifecycle.uses_of_segment(m, segment_name)
		|| lifecycle.rules_that_use(m, 'on_ IN (''segment entered'', ''segment left'') AND of = $1 AND segment IS NULL', segment_name),
		'Drop them first, or take the segment out of their texts.');
	EXECUTE format('SELECT id FROM %I.segment WHERE name = $1', m.name) INTO segment_id USING segment_name;
	EXECUTE format($sql$
		WITH gone AS (DELETE FROM %1$I.membership WHERE segment_id = $1 RETURNING *)
		INSERT INTO %1$I.past_membership (id, entered_at, noticed_at, event_at, left_id, left_at, left_noticed_at, segment, contact, cause, event, left_cause)
		SELECT id, entered_at, noticed_at, event_at, nextval($3), $4, clock_timestamp(), $2, contact, cause, event, 'rebuild' FROM gone $sql$, m.name)
		USING segment_id, segment_name, format('%I.segment_change', m.name)::regclass, lifecycle.model_clock(m.name);
	EXECUTE format('DELETE FROM %I.rule WHERE segment = $1', m.name) USING segment_name;
	PERFORM lifecycle.release_atoms(m.name, segment_id);
	EXECUTE format('DELETE FROM %I.segment WHERE name = $1', m.name) USING segment_name;
	PERFORM lifecycle.arrange(m.name, 'rule', NULL, NULL, NULL);
	PERFORM lifecycle.reload(m.name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_drop_segment(text, text) IS
'drops a segment and the rule of its stage; its members leave, which sets off no rules; raises 2BP01 while other segments or rules name it';

-- Days and months are added by the calendar of the model's time zone, hours
-- and less as they are.
CREATE FUNCTION @extschema@.lifecycle_backtest(
	model text, predicate text, from_ timestamptz, to_ timestamptz DEFAULT now(), step interval DEFAULT '1 day',
	OUT at timestamptz, OUT members bigint)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	zone text := lifecycle.get_setting(m.name, 'time_zone');
	instants timestamptz[];
BEGIN
	PERFORM lifecycle.check_predicate(predicate);
	PERFORM lifecycle.check_argument('from_', from_::text);
	PERFORM lifecycle.check_argument('to_', to_::text);
	PERFORM lifecycle.check_argument('step', step::text);
	IF NOT isfinite(from_) OR NOT isfinite(to_) OR from_ > to_ THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('a backtest cannot run from %s to %s', from_, to_),
			HINT = 'Give two instants, from_ not later than to_.';
	END IF;
	IF from_ + step <= from_ OR (to_ - from_) / 100000 > step THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('step %s makes no backtest', step),
			HINT = 'Give an interval above zero, such as ''1 day'', with which there are at most 100000 instants.';
	END IF;
	SELECT array_agg(i.instant ORDER BY i.instant) INTO instants
	FROM generate_series(0, 100000) n
	CROSS JOIN LATERAL (
		SELECT (from_ AT TIME ZONE zone + n * date_trunc('day', step)) AT TIME ZONE zone
			   + n * (step - date_trunc('day', step))) i (instant)
	WHERE i.instant <= to_;
	RETURN QUERY SELECT b.at, b.members FROM lifecycle.backtest(m.name, predicate, instants) b;
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_backtest(text, text, timestamptz, timestamptz, interval) IS
'the number of contacts for which a predicate would have held at each instant from from_ to to_, by steps in the model''s time zone, as the events tell it; contacts, companies and deals are taken as they are now; saves nothing; raises 42501 unless the caller owns the model, 22023 for a span or step that makes no sense, and the errors of the text';
