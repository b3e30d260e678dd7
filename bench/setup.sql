/*
 * What all figures share: tables as an application would have them, the peers'
 * triggers, and the events to be inserted.
 *
 * A contact has habits: two of the event names.  In the steady state its counts
 * of these have reached every threshold, so that more of them change nothing.
 * An event of another name makes the contact enter a segment.
 */
CREATE EXTENSION lifecycle;
CREATE SCHEMA bench;

-- The name of the event that stands so far from the contact's own place among
-- the 40 names.  Habits are at 0 and 11.  The cast lets the planner inline it.
CREATE FUNCTION bench.event_name(contact bigint, place bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'Event ' || ((contact * 7 + place) % 40 + 1)::text;

-- Contacts and events, with the indexes that everybody would have.
CREATE FUNCTION bench.create_tables(schema_name text, contacts bigint) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	EXECUTE format($ddl$
		CREATE SCHEMA %1$I;
		CREATE TABLE %1$I.contacts (
			id			bigint PRIMARY KEY,
			email		text,
			country		text
		);
		CREATE TABLE %1$I.events (
			id			bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
			contact_id	bigint NOT NULL,
			name		text NOT NULL,
			occurred_at	timestamptz NOT NULL,
			properties	jsonb
		);
		CREATE INDEX events_contact ON %1$I.events (contact_id, name, occurred_at);
		INSERT INTO %1$I.contacts
		SELECT i, 'contact' || i || '@example.com', (ARRAY['FI', 'SE', 'NO', 'DK'])[i %% 4 + 1]
		FROM generate_series(1, %2$s) i $ddl$, schema_name, contacts);
END
$$;

-- Attaches the tables; they have no contacts yet.
CREATE FUNCTION bench.attach(model text, template text DEFAULT 'empty') RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	PERFORM lifecycle_attach(model, contacts => format('%I.contacts', 'bench_' || model)::regclass,
		events => format('%I.events', 'bench_' || model)::regclass, template => template);
END
$$;

-- Many segments at once, as lifecycle_add_segment would add them one by one to
-- a model without contacts.  (One by one, 10,000 segments take minutes.)
CREATE FUNCTION bench.add_segments(model text, predicates text[]) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	EXECUTE format($sql$
		CREATE TEMPORARY TABLE compiled AS
		SELECT p.i, p.predicate, c.atoms, c.atom_events, c.atom_methods, c.atom_keys, c.atom_key_values
		FROM unnest($1) WITH ORDINALITY p (predicate, i)
		CROSS JOIN LATERAL lifecycle.compile(%1$L, p.predicate, 'predicate') c;

		INSERT INTO %1$I.segment (name, predicate) SELECT 'Segment ' || i, predicate FROM compiled ORDER BY i;
		INSERT INTO %1$I.atom (id, event, definition, method, segments, key, key_value)
		SELECT row_number() OVER (ORDER BY min(s.id), a.definition), a.event, a.definition, a.method, array_agg(DISTINCT s.id), a.key, a.key_value
		FROM compiled c
		JOIN %1$I.segment s ON s.name = 'Segment ' || c.i
		CROSS JOIN LATERAL unnest(c.atoms, c.atom_events, c.atom_methods, c.atom_keys, c.atom_key_values)
			a (definition, event, method, key, key_value)
		GROUP BY a.event, a.definition, a.method, a.key, a.key_value;
		UPDATE %1$I.segment s
		SET atoms = ARRAY(SELECT a.id FROM unnest(c.atoms) WITH ORDINALITY u (definition, i)
						  JOIN %1$I.atom a USING (definition) ORDER BY u.i)
		FROM compiled c WHERE s.name = 'Segment ' || c.i;
		DROP TABLE compiled $sql$, model) USING predicates;
	PERFORM lifecycle.reload(model);
END
$$;

-- Contacts, unless they are there, and an event of each, in transactions of
-- 100,000: what a statement does is kept in memory until it ends.
CREATE PROCEDURE bench.load(schema_name text, contacts bigint, names integer, with_contacts boolean)
LANGUAGE plpgsql
AS $$
BEGIN
	FOR start IN 1 .. contacts BY 100000 LOOP
		IF with_contacts THEN
			EXECUTE format('INSERT INTO %I.contacts SELECT i FROM generate_series($1, $2) i', schema_name)
				USING start, least(start + 99999, contacts);
		END IF;
		EXECUTE format($sql$
			INSERT INTO %I.events (contact_id, name, occurred_at)
			SELECT i, 'Event ' || i %% $3 + 1, now() FROM generate_series($1, $2) i $sql$, schema_name)
			USING start, least(start + 99999, contacts), names;
		COMMIT;
	END LOOP;
END
$$;

/*
 * The peers.  Rules are rows, so that marketing can add one without a deploy;
 * only counts that can still reach a threshold are written, which is what keeps
 * the steady state cheap.  Neither sees UPDATE and DELETE of events, and neither
 * writes a history: both would cost more.
 */
CREATE FUNCTION bench.create_peer(schema_name text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	EXECUTE format($ddl$
		CREATE TABLE %1$I.rule (
			segment		integer PRIMARY KEY,
			name		text NOT NULL,
			threshold	integer NOT NULL
		);
		CREATE INDEX rule_name ON %1$I.rule (name, threshold);
		CREATE TABLE %1$I.highest_threshold (
			name		text PRIMARY KEY,
			threshold	integer NOT NULL
		);
		CREATE TABLE %1$I.counter (
			contact_id	bigint,
			name		text,
			number		integer NOT NULL,
			PRIMARY KEY (contact_id, name)
		);
		CREATE TABLE %1$I.member (
			segment		integer,
			contact_id	bigint,
			entered_at	timestamptz NOT NULL,
			PRIMARY KEY (segment, contact_id)
		);
		CREATE INDEX member_contact ON %1$I.member (contact_id);

		INSERT INTO %1$I.rule SELECT segment, name, threshold FROM bench.rule;
		INSERT INTO %1$I.highest_threshold SELECT name, max(threshold) FROM %1$I.rule GROUP BY name;

		CREATE FUNCTION %1$I.count_row() RETURNS trigger
		LANGUAGE plpgsql
		AS $function$
		DECLARE
			highest integer;
			reached integer;
		BEGIN
			SELECT h.threshold, c.number INTO highest, reached
			FROM %1$I.highest_threshold h
			LEFT JOIN %1$I.counter c ON c.contact_id = NEW.contact_id AND c.name = NEW.name
			WHERE h.name = NEW.name;
			IF highest IS NULL OR reached >= highest THEN
				RETURN NULL;
			END IF;

			INSERT INTO %1$I.counter AS c (contact_id, name, number)
			VALUES (NEW.contact_id, NEW.name, 1)
			ON CONFLICT (contact_id, name) DO UPDATE SET number = c.number + 1
			RETURNING c.number INTO reached;

			INSERT INTO %1$I.member (segment, contact_id, entered_at)
			SELECT r.segment, NEW.contact_id, now()
			FROM %1$I.rule r
			WHERE r.name = NEW.name AND r.threshold = reached;
			RETURN NULL;
		END
		$function$;

		CREATE FUNCTION %1$I.count_rows() RETURNS trigger
		LANGUAGE plpgsql
		AS $function$
		BEGIN
			WITH fresh AS MATERIALIZED (
				SELECT n.contact_id, n.name, count(*) AS number
				FROM new_rows n
				GROUP BY n.contact_id, n.name
			), mattering AS MATERIALIZED (
				SELECT f.contact_id, f.name, f.number, coalesce(c.number, 0) AS before
				FROM fresh f
				JOIN %1$I.highest_threshold h ON h.name = f.name
				LEFT JOIN %1$I.counter c ON c.contact_id = f.contact_id AND c.name = f.name
				WHERE c.number IS NULL OR c.number < h.threshold
			), counted AS (
				INSERT INTO %1$I.counter AS c (contact_id, name, number)
				SELECT m.contact_id, m.name, m.number FROM mattering m
				ORDER BY m.contact_id, m.name
				ON CONFLICT (contact_id, name) DO UPDATE SET number = c.number + excluded.number
				RETURNING c.contact_id, c.name, c.number
			)
			INSERT INTO %1$I.member (segment, contact_id, entered_at)
			SELECT r.segment, c.contact_id, now()
			FROM counted c
			JOIN mattering m ON m.contact_id = c.contact_id AND m.name = c.name
			JOIN %1$I.rule r ON r.name = c.name AND r.threshold > m.before AND r.threshold <= c.number
			ON CONFLICT DO NOTHING;
			RETURN NULL;
		END
		$function$;

		INSERT INTO %1$I.counter
		SELECT contact_id, name, count(*) FROM %1$I.events
		JOIN %1$I.highest_threshold USING (name) GROUP BY contact_id, name;
		INSERT INTO %1$I.member
		SELECT r.segment, c.contact_id, now()
		FROM %1$I.counter c JOIN %1$I.rule r ON r.name = c.name AND r.threshold <= c.number $ddl$, schema_name);
END
$$;

CREATE FUNCTION bench.create_row_trigger(schema_name text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	EXECUTE format('CREATE TRIGGER count_row AFTER INSERT ON %1$I.events
		FOR EACH ROW EXECUTE FUNCTION %1$I.count_row()', schema_name);
END
$$;

CREATE FUNCTION bench.create_statement_trigger(schema_name text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	EXECUTE format('CREATE TRIGGER count_rows AFTER INSERT ON %1$I.events
		REFERENCING NEW TABLE AS new_rows
		FOR EACH STATEMENT EXECUTE FUNCTION %1$I.count_rows()', schema_name);
END
$$;

-- The least that a trigger with a transition table can cost: a function in C that
-- returns null.  This one does, as what it returns for a local connection is
-- false.  (One of the server's own would be searched for by name at each statement.)
CREATE FUNCTION bench.nothing() RETURNS trigger
LANGUAGE c
AS '$libdir/sslinfo', 'ssl_is_used';

CREATE FUNCTION bench.create_nothing_trigger(schema_name text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	EXECUTE format('CREATE TRIGGER nothing AFTER INSERT ON %I.events
		REFERENCING NEW TABLE AS new_rows
		FOR EACH STATEMENT EXECUTE FUNCTION bench.nothing()', schema_name);
END
$$;

-- The nightly rebuild: one INSERT ... SELECT per segment.
CREATE PROCEDURE bench.rebuild(schema_name text)
LANGUAGE plpgsql
AS $$
DECLARE
	r record;
BEGIN
	EXECUTE format('TRUNCATE %I.member', schema_name);
	FOR r IN SELECT * FROM bench.rule ORDER BY segment LOOP
		EXECUTE format('INSERT INTO %1$I.member SELECT $1, contact_id, now() FROM %1$I.events
			WHERE name = $2 GROUP BY contact_id HAVING count(*) >= $3', schema_name)
			USING r.segment, r.name, r.threshold;
	END LOOP;
END
$$;

-- What must hold, or the figures mean nothing.
CREATE FUNCTION bench.check(what text, holds boolean) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	IF holds IS NOT TRUE THEN
		RAISE EXCEPTION 'the benchmark did not do what it measures: %', what;
	END IF;
END
$$;

/*
 * The floors: plain SQL that writes what lifecycle writes, to tables like its
 * own, and decides nothing.  It is told what to write.
 */
CREATE FUNCTION bench.create_floor(model text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	EXECUTE format($ddl$
		CREATE SCHEMA floor_%1$I;
		CREATE TABLE floor_%1$I.contacts (LIKE bench_%1$I.contacts INCLUDING ALL);
		CREATE TABLE floor_%1$I.events (LIKE bench_%1$I.events INCLUDING ALL);
		CREATE TABLE floor_%1$I.contact_state (LIKE %1$I.contact_state INCLUDING ALL) WITH (fillfactor = 80);
		CREATE TABLE floor_%1$I.membership (LIKE %1$I.membership INCLUDING ALL);
		CREATE TABLE floor_%1$I.past_membership (LIKE %1$I.past_membership INCLUDING ALL);
		CREATE SEQUENCE floor_%1$I.segment_change;
		INSERT INTO floor_%1$I.contacts SELECT * FROM bench_%1$I.contacts;
		INSERT INTO floor_%1$I.contact_state SELECT * FROM %1$I.contact_state ORDER BY contact;
		INSERT INTO floor_%1$I.membership SELECT * FROM %1$I.membership ORDER BY segment_id, contact $ddl$, model);
END
$$;

-- Events of which each makes its contact enter a segment.
CREATE FUNCTION bench.floor_change(this integer) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	INSERT INTO floor_counted.events (contact_id, name, occurred_at)
	SELECT contact_id, name, now() FROM bench.batch WHERE figure = 'change' AND round = this;
	PERFORM FROM floor_counted.contacts c JOIN bench.batch b ON b.contact_id = c.id
	WHERE b.figure = 'change' AND b.round = this ORDER BY c.id FOR NO KEY UPDATE OF c;
	UPDATE floor_counted.contact_state s SET clock = now(), state = state || '\x0108'
	FROM bench.batch b WHERE b.figure = 'change' AND b.round = this AND s.contact = b.contact_id;
	INSERT INTO floor_counted.membership (id, entered_at, noticed_at, event_at, segment_id, contact, cause, event)
	SELECT nextval('floor_counted.segment_change'), now(), now(), now(), substring(name FROM '\d+')::integer AS segment, contact_id, 'event', name
	FROM bench.batch WHERE figure = 'change' AND round = this ORDER BY segment, contact_id;
END
$$;

-- Contacts that are due, and whose window has ended: they leave the segment.
CREATE FUNCTION bench.floor_tick() RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	PERFORM FROM floor_tick.contacts c JOIN floor_tick.contact_state s ON s.contact = c.id
	WHERE s.due <= now() ORDER BY c.id FOR NO KEY UPDATE OF c;
	PERFORM FROM floor_tick.contact_state s JOIN bench_tick.events e ON e.contact_id = s.contact
	WHERE s.due <= now() AND e.name = 'Ping' AND e.occurred_at > now() - interval '1 second';
	UPDATE floor_tick.contact_state SET due = NULL, clock = now() WHERE due <= now();
	WITH gone AS (DELETE FROM floor_tick.membership RETURNING *)
	INSERT INTO floor_tick.past_membership
	SELECT id, entered_at, noticed_at, event_at, nextval('floor_tick.segment_change'), now(), now(), NULL, 'Seen', contact, cause, event, 'tick', NULL FROM gone;
END
$$;

-- A segment, given the query that says who its members are.
CREATE FUNCTION bench.floor_add(query text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	EXECUTE format($sql$
		INSERT INTO floor_add.membership (id, entered_at, noticed_at, segment_id, contact, cause)
		SELECT nextval('floor_add.segment_change'), now(), now(), 1, contact_id, 'rebuild' FROM (%s) q ORDER BY contact_id $sql$, query);
	UPDATE floor_add.contact_state s SET clock = now(), state = state || '\x0108'
	FROM floor_add.membership m WHERE m.segment_id = 1 AND m.contact = s.contact;
END
$$;
