/*
 * Lead scores: rules that give points, and what they add up to.
 *
 * The rules are compiled into every segment that names the score (score.c),
 * so each change of a score compiles those anew and takes their members in and
 * out in the same transaction.
 */

CREATE FUNCTION lifecycle.create_score_tables(model_name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $create$
BEGIN
	EXECUTE format($ddl$

CREATE TABLE %1$I.score_definition (
	id			integer NOT NULL UNIQUE,
	name		text PRIMARY KEY,
	cap			numeric CHECK (cap >= 0),
	floor		numeric,
	groups		jsonb NOT NULL DEFAULT '{}',
	decimals	integer NOT NULL CHECK (decimals BETWEEN 0 AND 6),
	column_name	text,
	description	text,
	atoms		integer[] NOT NULL DEFAULT '{}',
	contact_columns text[] NOT NULL DEFAULT '{}',
	company_columns text[] NOT NULL DEFAULT '{}',
	segments	text[] NOT NULL DEFAULT '{}',
	rank		integer NOT NULL DEFAULT 0,
	created_at	timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX score_definition_spelling ON %1$I.score_definition (lower(name));
COMMENT ON TABLE %1$I.score_definition IS 'the scores: what the points of their rules add up to';
COMMENT ON COLUMN %1$I.score_definition.id IS 'number of the score, which no segment has';
COMMENT ON COLUMN %1$I.score_definition.name IS 'name of the score';
COMMENT ON COLUMN %1$I.score_definition.cap IS 'the most that it can be, in points; null: no limit';
COMMENT ON COLUMN %1$I.score_definition.floor IS 'the least that it can be, in points; null: no limit';
COMMENT ON COLUMN %1$I.score_definition.groups IS 'the groups of rules, each with the most points that it can give, or null';
COMMENT ON COLUMN %1$I.score_definition.decimals IS 'the score is rounded down to so many decimals';
COMMENT ON COLUMN %1$I.score_definition.column_name IS 'the column of contacts that the score is written to, or null';
COMMENT ON COLUMN %1$I.score_definition.description IS 'what the score means';
COMMENT ON COLUMN %1$I.score_definition.atoms IS 'atoms of its rules, if it is written to a column';
COMMENT ON COLUMN %1$I.score_definition.contact_columns IS 'columns of the contact that its conditions read';
COMMENT ON COLUMN %1$I.score_definition.company_columns IS 'columns of the company that its conditions read';
COMMENT ON COLUMN %1$I.score_definition.segments IS 'segments that its conditions name by in_segment';
COMMENT ON COLUMN %1$I.score_definition.rank IS 'one more than the highest rank among the segments it names';
COMMENT ON COLUMN %1$I.score_definition.created_at IS 'when it was added';

CREATE TABLE %1$I.score_rule (
	score		text NOT NULL REFERENCES %1$I.score_definition ON UPDATE CASCADE,
	name		text NOT NULL,
	points		numeric NOT NULL,
	event		text,
	filter		text,
	condition	text,
	times		integer CHECK (times > 0),
	linear_decay interval,
	half_life	interval,
	in_group	text,
	description	text,
	PRIMARY KEY (score, name),
	CHECK ((event IS NULL) <> (condition IS NULL))
);
CREATE UNIQUE INDEX score_rule_spelling ON %1$I.score_rule (score, lower(name));
COMMENT ON TABLE %1$I.score_rule IS 'the rules of scores: what gives how many points';
COMMENT ON COLUMN %1$I.score_rule.score IS 'name of the score';
COMMENT ON COLUMN %1$I.score_rule.name IS 'name of the rule, within the score';
COMMENT ON COLUMN %1$I.score_rule.points IS 'points for each event, or while the condition holds; may be negative';
COMMENT ON COLUMN %1$I.score_rule.event IS 'name of the event that gives points; null if the rule has a condition';
COMMENT ON COLUMN %1$I.score_rule.filter IS 'condition over the columns of the event, or null';
COMMENT ON COLUMN %1$I.score_rule.condition IS 'predicate that gives points while it holds; null if the rule is about events';
COMMENT ON COLUMN %1$I.score_rule.times IS 'only the latest so many events count; null: all';
COMMENT ON COLUMN %1$I.score_rule.linear_decay IS 'an event''s points shrink evenly to nothing in this time; null: not so';
COMMENT ON COLUMN %1$I.score_rule.half_life IS 'an event''s points halve in each such time; null: not so';
COMMENT ON COLUMN %1$I.score_rule.in_group IS 'the group that the rule is in, or null';
COMMENT ON COLUMN %1$I.score_rule.description IS 'what the rule is for';

	$ddl$, model_name);
END
$create$;

COMMENT ON FUNCTION lifecycle.create_score_tables(text) IS 'makes the tables of a new model''s scores';


/* ---- checks, one function per rule ---- */

CREATE FUNCTION lifecycle.find_score(model_name text, given text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	canonical text;
	names text[];
BEGIN
	PERFORM lifecycle.check_argument('score', given);
	EXECUTE format('SELECT array_agg(name ORDER BY name), min(name) FILTER (WHERE lower(name) = lower($1)) FROM %I.score_definition', model_name)
		INTO names, canonical USING given;
	IF canonical IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('score "%s" does not exist in model "%s"', given, model_name),
			HINT = lifecycle.name_hint(given, names, 'score', 'lifecycle_add_score');
	END IF;
	RETURN canonical;
END
$$;

COMMENT ON FUNCTION lifecycle.find_score(text, text) IS 'the canonical spelling of a score; raises 42704 if there is none';

CREATE FUNCTION lifecycle.find_score_rule(model_name text, score_name text, given text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	canonical text;
	names text[];
BEGIN
	PERFORM lifecycle.check_argument('name', given);
	EXECUTE format('SELECT array_agg(name ORDER BY name), min(name) FILTER (WHERE lower(name) = lower($2))
					FROM %I.score_rule WHERE score = $1', model_name)
		INTO names, canonical USING score_name, given;
	IF canonical IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('score "%s" has no rule "%s"', score_name, given),
			HINT = lifecycle.name_hint(given, names, 'rule', 'lifecycle_add_score_rule');
	END IF;
	RETURN canonical;
END
$$;

COMMENT ON FUNCTION lifecycle.find_score_rule(text, text, text) IS
'the canonical spelling of a rule of a score; raises 42704 if there is none';

CREATE FUNCTION lifecycle.check_new_score_name(model_name text, given text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	taken text;
BEGIN
	PERFORM lifecycle.check_name('score', given);
	EXECUTE format('SELECT name FROM %I.score_definition WHERE lower(name) = lower($1)', model_name)
		INTO taken USING given;
	IF taken IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_object',
			MESSAGE = format('score "%s" already exists in model "%s"', taken, model_name),
			HINT = 'Choose another name, or change it with lifecycle_alter_score.';
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_new_score_name(text, text) IS
'raises 42710 if a score has that name, and the errors of check_name';

CREATE FUNCTION lifecycle.check_new_score_rule_name(model_name text, score_name text, given text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	taken text;
BEGIN
	PERFORM lifecycle.check_name('rule of a score', given);
	EXECUTE format('SELECT name FROM %I.score_rule WHERE score = $1 AND lower(name) = lower($2)', model_name)
		INTO taken USING score_name, given;
	IF taken IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_object',
			MESSAGE = format('score "%s" already has a rule "%s"', score_name, taken),
			HINT = 'Choose another name, or change it with lifecycle_alter_score_rule.';
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_new_score_rule_name(text, text, text) IS
'raises 42710 if a rule of the score has that name, and the errors of check_name';

-- Points that can be counted in billionths without loss or overflow.
CREATE FUNCTION lifecycle.check_points(argument text, given numeric, most numeric) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF given = 'NaN' OR abs(given) > most THEN
		PERFORM lifecycle.rule_error(format('argument "%s" must be a number of at most %s points', argument, most),
			'Give for example 10.');
	ELSIF given <> round(given, 6) THEN
		PERFORM lifecycle.rule_error(format('argument "%s" has more than 6 decimals', argument),
			format('Write %s.', trim_scale(round(given, 6))));
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_points(text, numeric, numeric) IS
'raises 22023 for points that are not finite, too many, or too finely divided';

CREATE FUNCTION lifecycle.check_score(score_name text, cap numeric, floor numeric, groups jsonb, decimals integer) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	one record;
BEGIN
	PERFORM lifecycle.check_points('cap', cap, 1e9);
	PERFORM lifecycle.check_points('floor', floor, 1e9);
	IF cap < 0 THEN
		PERFORM lifecycle.rule_error(format('cap of score "%s" must not be below zero', score_name),
			'A cap is the most that a score can be. The least is its floor.');
	ELSIF floor > cap THEN
		PERFORM lifecycle.rule_error(format('floor of score "%s" must not be above its cap', score_name),
			'Raise the cap, or lower the floor.', format('The floor is %s, the cap %s.', floor, cap));
	ELSIF decimals NOT BETWEEN 0 AND 6 THEN
		PERFORM lifecycle.rule_error('argument "decimals" must be from 0 to 6', 'Write decimals => 0 for whole points.');
	ELSIF jsonb_typeof(groups) <> 'object' THEN
		PERFORM lifecycle.rule_error('argument "groups" must be a JSON object of group names and caps',
			'Write for example groups => ''{"web": 20, "mail": 15}''.');
	END IF;
	FOR one IN SELECT e.key, e.value FROM jsonb_each(groups) e ORDER BY e.key LOOP
		PERFORM lifecycle.check_name('group', one.key);
		CONTINUE WHEN one.value = 'null';
		IF jsonb_typeof(one.value) <> 'number' THEN
			PERFORM lifecycle.rule_error(format('cap of group "%s" must be a number or null', one.key),
				format('Write for example groups => ''{"%s": 20}''.', one.key));
		ELSIF one.value::numeric < 0 THEN
			PERFORM lifecycle.rule_error(format('cap of group "%s" must not be below zero', one.key),
				'A cap is the most points that the group can give.');
		END IF;
		PERFORM lifecycle.check_points('groups', one.value::numeric, 1e9);
	END LOOP;
END
$$;

COMMENT ON FUNCTION lifecycle.check_score(text, numeric, numeric, jsonb, integer) IS
'raises 22023 if a score cannot have these limits';

CREATE FUNCTION lifecycle.check_decay(argument text, given interval) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF given <= '0'::interval THEN
		PERFORM lifecycle.rule_error(format('argument "%s" must be longer than zero', argument),
			format('Write for example %s => ''30 days''.', argument));
	ELSIF extract(year FROM given) <> 0 OR extract(month FROM given) <> 0 THEN
		PERFORM lifecycle.rule_error(format('argument "%s" must be given in days or shorter units', argument),
			format('Write for example %s => ''30 days''.', argument),
			'Points decay evenly, and months are not all of one length.');
	ELSIF given > '7305 days' THEN
		PERFORM lifecycle.rule_error(format('argument "%s" must be at most 7305 days', argument),
			'Points that are to last longer need no decay.');
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_decay(text, interval) IS
'raises 22023 for a decay that is not from 1 microsecond to 7305 days, in days or shorter units';

-- The texts of a rule are checked when the score is compiled.
CREATE FUNCTION lifecycle.check_score_rule(
	m lifecycle.model, score_name text, points numeric, event text, filter text, condition text,
	times integer, linear_decay interval, half_life interval, in_group text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known text[];
BEGIN
	PERFORM lifecycle.check_argument('points', points);
	PERFORM lifecycle.check_points('points', points, 1e6);
	IF points = 0 THEN
		PERFORM lifecycle.rule_error('argument "points" must not be zero', 'Give for example 10, or -5.');
	ELSIF (event IS NULL) = (condition IS NULL) THEN
		PERFORM lifecycle.rule_error('a rule of a score must have an event or a condition, and not both',
			'Write event => ''Page Viewed'', or condition => ''country IS NOT NULL''.');
	ELSIF event IS NOT NULL AND m.events IS NULL THEN
		PERFORM lifecycle.rule_error(format('model "%s" has no events', m.name),
			'Give lifecycle_attach the events table, or write a condition.');
	ELSIF condition IS NOT NULL AND (filter IS NOT NULL OR times IS NOT NULL OR linear_decay IS NOT NULL OR half_life IS NOT NULL) THEN
		PERFORM lifecycle.rule_error('a rule with a condition takes no filter, times, linear_decay or half_life',
			'They belong to rules with an event.');
	ELSIF times < 1 THEN
		PERFORM lifecycle.rule_error('argument "times" must be 1 or more', 'Leave it out if every event counts.');
	ELSIF linear_decay IS NOT NULL AND half_life IS NOT NULL THEN
		PERFORM lifecycle.rule_error('a rule of a score has linear_decay or half_life, not both', 'Leave one of them out.');
	END IF;
	IF event IS NOT NULL THEN
		PERFORM lifecycle.check_name('event', event);
	END IF;
	PERFORM lifecycle.check_decay('linear_decay', linear_decay);
	PERFORM lifecycle.check_decay('half_life', half_life);
	IF in_group IS NOT NULL THEN
		EXECUTE format('SELECT array_agg(k ORDER BY k) FROM %I.score_definition d, jsonb_object_keys(d.groups) k WHERE d.name = $1', m.name)
			INTO known USING score_name;
		IF NOT coalesce(in_group = ANY (known), false) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'undefined_object',
				MESSAGE = format('score "%s" has no group "%s"', score_name, in_group),
				HINT = concat_ws(' ', lifecycle.name_hint(in_group, known, 'group'),
					'Groups are given to lifecycle_add_score or lifecycle_alter_score.');
		END IF;
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_score_rule(lifecycle.model, text, numeric, text, text, text, integer, interval, interval, text) IS
'raises 22023 if a score cannot have such a rule, 42704 for a group that it does not have';


/* ---- what depends on a score ---- */

-- A segment that names a score has an atom that says so, whose canonical text
-- begins like this.
CREATE FUNCTION lifecycle.segments_with_score(model_name text, score_name text) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names text[];
BEGIN
	EXECUTE format($sql$
		SELECT array_agg(DISTINCT s.name ORDER BY s.name)
		FROM %1$I.atom a JOIN %1$I.segment s ON s.id = ANY (a.segments)
		WHERE a.method = 'score' AND starts_with(a.definition, 'score(' || quote_literal($1) || ')') $sql$, model_name)
		INTO names USING score_name;
	RETURN coalesce(names, '{}');
END
$$;

COMMENT ON FUNCTION lifecycle.segments_with_score(text, text) IS 'the segments whose predicate names a score';

CREATE FUNCTION lifecycle.uses_of_score(m lifecycle.model, score_name text) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	uses text[];
	r record;
	x record;
BEGIN
	SELECT array_agg(format('segment "%s"', n)) INTO uses
	FROM unnest(lifecycle.segments_with_score(m.name, score_name)) n;
	FOR r IN EXECUTE format('SELECT name, on_, condition, action, args FROM %I.rule ORDER BY position, name', m.name) LOOP
		FOR x IN SELECT * FROM lifecycle.rule_expressions(r.on_, r.condition, r.action, r.args) LOOP
			CONTINUE WHEN strpos(lower(x.expression), 'score') = 0;
			IF EXISTS (SELECT FROM lifecycle.compile(m.name, x.expression, x.kind) c, unnest(c.atoms) a
					   WHERE starts_with(a, 'score(' || quote_literal(score_name) || ')')) THEN
				uses := uses || format('rule "%s"', r.name);
				EXIT;
			END IF;
		END LOOP;
	END LOOP;
	RETURN uses;
END
$$;

COMMENT ON FUNCTION lifecycle.uses_of_score(lifecycle.model, text) IS
'the segments and rules whose text names a score, in words';

-- A score that is written to a column is evaluated like a segment, and has what
-- the engine needs for that: atoms under its number, columns, a rank.
CREATE FUNCTION lifecycle.compile_score(model_name text, score_name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	score record;
	compiled record;
	atom_ids integer[];
BEGIN
	EXECUTE format('SELECT id, column_name FROM %I.score_definition WHERE name = $1', model_name) INTO score USING score_name;
	-- what is wrong with a text is found here, whether the score is used or not
	SELECT * INTO compiled FROM lifecycle.compile(model_name, format('score(%L)', score_name), 'value');
	PERFORM lifecycle.release_atoms(model_name, score.id);
	IF score.column_name IS NULL THEN
		RETURN;
	ELSIF score.column_name = ANY (compiled.contact_columns) THEN
		PERFORM lifecycle.rule_error(format('a rule of score "%s" reads column "%s", which the score is written to', score_name, score.column_name),
			'Write the score to another column, or take the column out of the condition.');
	END IF;
	atom_ids := lifecycle.enter_atoms(model_name, score.id, compiled);
	EXECUTE format($sql$
		UPDATE %1$I.score_definition SET atoms = $2, contact_columns = $3, company_columns = $4, segments = $5,
			rank = (SELECT coalesce(max(s.rank) + 1, 0) FROM %1$I.segment s WHERE s.name = ANY ($5))
		WHERE id = $1 $sql$, model_name)
		USING score.id, atom_ids, coalesce(compiled.contact_columns, '{}'), coalesce(compiled.company_columns, '{}'),
			  coalesce(compiled.segments, '{}');
END
$$;

COMMENT ON FUNCTION lifecycle.compile_score(text, text) IS
'compiles a score, and if it is written to a column stores its atoms and columns; raises what the texts of its rules raise';

CREATE FUNCTION lifecycle.compile_scores(model_name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	score_name text;
BEGIN
	FOR score_name IN EXECUTE format('SELECT name FROM %I.score_definition ORDER BY id', model_name) LOOP
		PERFORM lifecycle.compile_score(model_name, score_name);
	END LOOP;
END
$$;

COMMENT ON FUNCTION lifecycle.compile_scores(text) IS 'compiles all scores again, after a setting changed what their text means';

CREATE FUNCTION lifecycle.take_in_score(model text, score text) RETURNS void
AS 'MODULE_PATHNAME', 'take_in_score' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION lifecycle.take_in_score(text, text) IS
'writes a score to its column for all contacts; the caller has called lifecycle.lock_model; raises 42501 unless the caller owns the model';

CREATE FUNCTION lifecycle.check_score_column(m lifecycle.model, score_name text, column_name text, decimals integer) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	col record;
	other text;
BEGIN
	IF column_name IS NULL THEN
		RETURN;
	END IF;
	SELECT a.atttypid, a.atttypmod, a.attgenerated INTO col FROM pg_attribute a
	WHERE a.attrelid = m.contacts AND a.attname = check_score_column.column_name AND a.attnum > 0 AND NOT a.attisdropped;
	IF col.atttypid IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_column',
			MESSAGE = format('column "%s" of table %s does not exist', column_name, m.contacts),
			HINT = format('Use ALTER TABLE %s ADD COLUMN %I numeric.', m.contacts, column_name);
	ELSIF EXISTS (SELECT FROM lifecycle.model_column c
				  WHERE c.model = m.name AND c.object = 'contacts' AND c.column_name = check_score_column.column_name) OR col.attgenerated <> '' THEN
		PERFORM lifecycle.rule_error(format('a score cannot be written to column "%s"', column_name),
			'Choose a column of contacts that nothing else writes.');
	ELSIF col.atttypid NOT IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'numeric'::regtype) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'datatype_mismatch',
			MESSAGE = format('column "%s" of table %s is %s, and cannot hold a score', column_name, m.contacts, format_type(col.atttypid, col.atttypmod)),
			HINT = 'A score is written to a column of type smallint, integer, bigint or numeric.';
	ELSIF decimals > (CASE WHEN col.atttypid <> 'numeric'::regtype THEN 0
						   WHEN col.atttypmod = -1 THEN 6
						   ELSE (col.atttypmod - 4) & 2047 END) THEN
		PERFORM lifecycle.rule_error(format('column "%s" has fewer decimals than score "%s"', column_name, score_name),
			'Give the score fewer decimals, such as decimals => 0.');
	END IF;
	EXECUTE format('SELECT d.name FROM %I.score_definition d WHERE d.column_name = $1 AND d.name <> $2', m.name)
		INTO other USING column_name, score_name;
	IF other IS NOT NULL THEN
		PERFORM lifecycle.rule_error(format('score "%s" is written to column "%s" already', other, column_name), 'Choose another column.');
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_score_column(lifecycle.model, text, text, integer) IS
'raises 42703, 42804 or 22023 if a score cannot be written to a column of contacts';

-- After a score or one of its rules changed: all that depends on it follows.
CREATE FUNCTION lifecycle.rescore(model_name text, score_name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names text[] := lifecycle.segments_with_score(model_name, score_name);
	segment_name text;
BEGIN
	PERFORM lifecycle.reload(model_name);
	PERFORM lifecycle.compile_score(model_name, score_name);
	FOREACH segment_name IN ARRAY names LOOP
		PERFORM lifecycle.compile_segment(model_name, segment_name);
	END LOOP;
	PERFORM lifecycle.reload(model_name);
	IF names <> '{}' THEN
		PERFORM lifecycle.take_in(model_name, lifecycle.with_dependents(model_name, names));
	END IF;
	PERFORM lifecycle.take_in_score(model_name, score_name);
END
$$;

COMMENT ON FUNCTION lifecycle.rescore(text, text) IS
'compiles what depends on a score again and evaluates it for all contacts; raises what the texts of its rules raise';


/* ---- scores ---- */

CREATE FUNCTION @extschema@.lifecycle_add_score(
	model text, name text, cap numeric DEFAULT NULL, floor numeric DEFAULT NULL,
	groups jsonb DEFAULT '{}', decimals integer DEFAULT NULL, column_name text DEFAULT NULL,
	description text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	PERFORM lifecycle.check_new_score_name(m.name, name);
	column_name := nullif(column_name, '');
	decimals := coalesce(decimals, CASE WHEN column_name IS NULL THEN 2 ELSE 0 END);
	PERFORM lifecycle.check_argument('groups', groups);
	PERFORM lifecycle.check_score(name, cap, floor, groups, decimals);
	PERFORM lifecycle.check_score_column(m, name, column_name, decimals);
	EXECUTE format('INSERT INTO %1$I.score_definition (id, name, cap, floor, groups, decimals, column_name, description)
					VALUES (nextval(pg_get_serial_sequence(%2$L, ''id'')), $1, $2, $3, $4, $5, $6, nullif($7, ''''))',
				   m.name, format('%I.segment', m.name))
		USING name, cap, floor, groups, decimals, column_name, description;
	PERFORM lifecycle.rescore(m.name, name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_add_score(text, text, numeric, numeric, jsonb, integer, text, text) IS
'adds a score, to which rules are added by lifecycle_add_score_rule; cap and floor are the most and the least that it can be, groups names groups of rules with the most points that each can give, decimals says how finely it is divided, column_name a column of contacts that it is written to';

CREATE FUNCTION @extschema@.lifecycle_alter_score(
	model text, name text, new_name text DEFAULT NULL, cap numeric DEFAULT NULL, floor numeric DEFAULT NULL,
	groups jsonb DEFAULT NULL, decimals integer DEFAULT NULL, column_name text DEFAULT NULL,
	description text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	old record;
	given_name alias FOR name;
	old_name text;
	lost text;
	uses text[];
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	old_name := lifecycle.find_score(m.name, given_name);
	new_name := coalesce(new_name, old_name);
	EXECUTE format('SELECT * FROM %I.score_definition WHERE name = $1', m.name) INTO old USING old_name;
	cap := CASE cap WHEN 'infinity' THEN NULL ELSE coalesce(cap, old.cap) END;
	floor := CASE floor WHEN '-infinity' THEN NULL ELSE coalesce(floor, old.floor) END;
	groups := coalesce(groups, old.groups);
	decimals := coalesce(decimals, old.decimals);
	column_name := nullif(coalesce(column_name, old.column_name), '');
	PERFORM lifecycle.check_score(new_name, cap, floor, groups, decimals);
	PERFORM lifecycle.check_score_column(m, old_name, column_name, decimals);
	EXECUTE format('SELECT min(in_group) FROM %I.score_rule WHERE score = $1 AND NOT $2 ? in_group', m.name)
		INTO lost USING old_name, groups;
	IF lost IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'dependent_objects_still_exist',
			MESSAGE = format('cannot take group "%s" from score "%s" because rules are in it', lost, old_name),
			HINT = 'Take them out first, with lifecycle_alter_score_rule(..., in_group => '''').';
	END IF;
	IF new_name <> old_name THEN
		IF lower(new_name) <> lower(old_name) THEN
			PERFORM lifecycle.check_new_score_name(m.name, new_name);
		END IF;
		uses := lifecycle.uses_of_score(m, old_name);
		IF uses IS NOT NULL THEN
			RAISE EXCEPTION USING
				ERRCODE = 'dependent_objects_still_exist',
				MESSAGE = format('cannot rename score "%s" because others name it', old_name),
				DETAIL = format('It is named by %s.', array_to_string(uses, ', ')),
				HINT = format('Take score(%L) out of their texts first, with lifecycle_alter_segment or lifecycle_alter_rule.', old_name);
		END IF;
	END IF;
	EXECUTE format('UPDATE %I.score_definition SET name = $2, cap = $3, floor = $4, groups = $5, decimals = $6, column_name = $7,
					description = CASE WHEN $8 IS NULL THEN description ELSE nullif($8, '''') END WHERE name = $1', m.name)
		USING old_name, new_name, cap, floor, groups, decimals, column_name, description;
	PERFORM lifecycle.rescore(m.name, new_name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_alter_score(text, text, text, numeric, numeric, jsonb, integer, text, text) IS
'renames or describes a score or changes its limits, and with it at once the segments that depend on it; what is null stays, a cap of infinity or a floor of -infinity is none, and an empty column name too; raises 2BP01 for a new name while segments or rules use the old one';

CREATE FUNCTION @extschema@.lifecycle_drop_score(model text, name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	score_name text;
	score_id integer;
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	score_name := lifecycle.find_score(m.name, name);
	PERFORM lifecycle.refuse_drop('score', score_name, lifecycle.uses_of_score(m, score_name),
		'Drop them first, or take the score out of their texts.');
	EXECUTE format('DELETE FROM %I.score_rule WHERE score = $1', m.name) USING score_name;
	EXECUTE format('DELETE FROM %I.score_definition WHERE name = $1 RETURNING id', m.name) INTO score_id USING score_name;
	PERFORM lifecycle.release_atoms(m.name, score_id);
	PERFORM lifecycle.reload(m.name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_drop_score(text, text) IS
'drops a score and its rules; raises 2BP01 while segments or rules name it';


/* ---- their rules ---- */

CREATE FUNCTION @extschema@.lifecycle_add_score_rule(
	model text, score text, name text, points numeric, event text DEFAULT NULL, filter text DEFAULT NULL,
	condition text DEFAULT NULL, times integer DEFAULT NULL, linear_decay interval DEFAULT NULL,
	half_life interval DEFAULT NULL, in_group text DEFAULT NULL, description text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	score_name text;
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	score_name := lifecycle.find_score(m.name, score);
	PERFORM lifecycle.check_new_score_rule_name(m.name, score_name, name);
	event := nullif(event, '');
	filter := nullif(filter, '');
	in_group := nullif(in_group, '');
	PERFORM lifecycle.check_score_rule(m, score_name, points, event, filter, condition, times, linear_decay, half_life, in_group);
	EXECUTE format('INSERT INTO %I.score_rule (score, name, points, event, filter, condition, times, linear_decay, half_life, in_group, description)
					VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, nullif($11, ''''))', m.name)
		USING score_name, name, points, event, filter, condition, times, linear_decay, half_life, in_group, description;
	PERFORM lifecycle.rescore(m.name, score_name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_add_score_rule(text, text, text, numeric, text, text, text, integer, interval, interval, text, text) IS
'adds a rule to a score: points for each event of a name that passes the filter, or while a condition holds; only the latest `times` events count, their points shrink to nothing in linear_decay or halve in each half_life; raises 22023 for what a rule cannot have, and the errors of its texts with their position';

CREATE FUNCTION @extschema@.lifecycle_alter_score_rule(
	model text, score text, name text, new_name text DEFAULT NULL, points numeric DEFAULT NULL,
	event text DEFAULT NULL, filter text DEFAULT NULL, condition text DEFAULT NULL, times integer DEFAULT NULL,
	linear_decay interval DEFAULT NULL, half_life interval DEFAULT NULL, in_group text DEFAULT NULL,
	description text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	score_name text;
	old_name text;
	old record;
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	score_name := lifecycle.find_score(m.name, score);
	old_name := lifecycle.find_score_rule(m.name, score_name, name);
	IF lower(new_name) <> lower(old_name) THEN
		PERFORM lifecycle.check_new_score_rule_name(m.name, score_name, new_name);
	END IF;
	EXECUTE format('SELECT * FROM %I.score_rule WHERE score = $1 AND name = $2', m.name) INTO old USING score_name, old_name;
	points := coalesce(points, old.points);
	event := coalesce(event, old.event);
	filter := nullif(coalesce(filter, old.filter), '');
	condition := coalesce(condition, old.condition);
	times := nullif(coalesce(times, old.times), 0);
	-- a decay of zero takes it away; a new one of either kind takes the place of the old
	linear_decay := nullif(coalesce(linear_decay, CASE WHEN half_life IS NULL THEN old.linear_decay END), '0');
	half_life := nullif(coalesce(half_life, CASE WHEN linear_decay IS NULL THEN old.half_life END), '0');
	in_group := nullif(coalesce(in_group, old.in_group), '');
	PERFORM lifecycle.check_score_rule(m, score_name, points, event, filter, condition, times, linear_decay, half_life, in_group);
	EXECUTE format('UPDATE %I.score_rule SET name = $3, points = $4, event = $5, filter = $6, condition = $7, times = $8,
					linear_decay = $9, half_life = $10, in_group = $11,
					description = CASE WHEN $12 IS NULL THEN description ELSE nullif($12, '''') END
					WHERE score = $1 AND name = $2', m.name)
		USING score_name, old_name, coalesce(new_name, old_name), points, event, filter, condition, times,
			  linear_decay, half_life, in_group, description;
	PERFORM lifecycle.rescore(m.name, score_name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_alter_score_rule(text, text, text, text, numeric, text, text, text, integer, interval, interval, text, text) IS
'changes a rule of a score, and with it at once the segments that depend on the score; what is null stays, an empty filter, group or description and times or decay of zero are taken away';

CREATE FUNCTION @extschema@.lifecycle_drop_score_rule(model text, score text, name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	score_name text;
	rule_name text;
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	score_name := lifecycle.find_score(m.name, score);
	rule_name := lifecycle.find_score_rule(m.name, score_name, name);
	EXECUTE format('DELETE FROM %I.score_rule WHERE score = $1 AND name = $2', m.name) USING score_name, rule_name;
	PERFORM lifecycle.rescore(m.name, score_name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_drop_score_rule(text, text, text) IS
'drops a rule of a score, and changes at once the segments that depend on the score';


/* ---- the scores of contacts ---- */

CREATE FUNCTION @extschema@.lifecycle_score(model text, contact "any", score text, at timestamptz DEFAULT NULL) RETURNS numeric
AS 'MODULE_PATHNAME', 'lifecycle_score' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_score(text, "any", text, timestamptz) IS
'the points that a contact has at an instant, now if null, from the events up to it and the rows as they are; writes nothing; needs SELECT on contacts and events; raises 42704 for an unknown score, P0002 for an unknown contact';

CREATE FUNCTION @extschema@.lifecycle_why_score(
	model text, contact "any", score text, at timestamptz DEFAULT NULL,
	OUT part text, OUT name text, OUT in_group text, OUT number bigint, OUT points numeric, OUT counted numeric)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'lifecycle_why_score' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_why_score(text, "any", text, timestamptz) IS
'why a contact has a score: a row for each rule (how many events count, or 1 if the condition holds, and the points they give), each group and the score itself, before and after its cap; raises as lifecycle_score';

CREATE FUNCTION lifecycle.scores(model text, OUT contact text, OUT score text, OUT points numeric)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'scores' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION lifecycle.scores(text) IS
'the points that each contact has now in each score, of those contacts that the caller may see; needs SELECT on contacts and events; raises what a rule of a score raises';

CREATE FUNCTION lifecycle.view_definitions_score(model text)
RETURNS TABLE (name text, query text, comment text, columns text[])
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT 'score', format($query$
		SELECT s.contact::%1$s AS contact, s.score, s.points
		  FROM lifecycle.scores(%2$L) s$query$,
		(SELECT format_type(a.atttypid, a.atttypmod)
		   FROM pg_attribute a
		  WHERE a.attrelid = format('%I.contact_state', model)::regclass AND a.attname = 'contact'), model),
		'Scores: the points that each contact has now in each score. They are added up when the view is read.',
		ARRAY[
		'contact', 'Key of the contact.',
		'score', 'Name of the score.',
		'points', 'The points now, rounded down to the score''s decimals.'];
END;
$$;
COMMENT ON FUNCTION lifecycle.view_definitions_score(text) IS
'Internal. Definition of the view score of a model.';
