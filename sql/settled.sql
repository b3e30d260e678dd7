--
-- Single events by a session that knows their names: those that change nothing are
-- settled without a run, all others are not missed.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
\set SHOW_CONTEXT never
CREATE PROCEDURE pg_temp.runs(statement text) LANGUAGE plpgsql AS $$
DECLARE
	before bigint := (SELECT number FROM lifecycle.counters() WHERE counter = 'runs');
BEGIN
	EXECUTE statement;
	RAISE NOTICE 'runs: %', (SELECT number - before FROM lifecycle.counters() WHERE counter = 'runs');
END
$$;

SELECT lifecycle_create('settled', 'hubspot');
INSERT INTO settled.contacts (id) VALUES (1), (2), (3);
SELECT lifecycle_add_segment('settled', 'Did', $$did('Did')$$);
SELECT lifecycle_add_segment('settled', 'Paid', $$did('Paid', (properties->>'price')::numeric > 10)$$);
SELECT lifecycle_add_segment('settled', 'Long path', $$did('Seen', properties->>'path' <> '/')$$);
SELECT lifecycle_add_segment('settled', 'Path', $$did('Keyed', properties->>'path' = '/a')$$);
SELECT lifecycle_add_segment('settled', 'Dear', $$did('Keyed', properties->>'path' = '/a' AND properties->>'price' <> '0')$$);
SELECT lifecycle_add_segment('settled', 'Any path', $$did('Keyed', times => 2)$$);
SELECT lifecycle_add_segment('settled', 'Number', $$did('Counted', (properties->>'price')::integer = 20)$$);
SELECT lifecycle_add_segment('settled', 'Sum', $$event_sum('Added', (properties->>'price')::numeric) > 10$$);
SELECT lifecycle_add_segment('settled', 'Recent', $$did('Recent', within => '1 day')$$);
SELECT lifecycle_add_rule('settled', 'Reply', 'event', 'set lead status', '{"status": "Connected"}', of => 'Replied');
INSERT INTO settled.events (contact_id, name, properties, occurred_at)
SELECT c, n, '{"price": 20, "path": "/abc"}', now() - interval '1 hour'
FROM unnest(ARRAY[1, 2]) c, unnest(ARRAY['Did', 'Paid', 'Seen', 'Keyed', 'Added', 'Recent', 'Replied', 'Other', 'Counted']) n;
SELECT segment, contact FROM settled.segment_member ORDER BY 1, 2;

-- settled, or named by nobody
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name) VALUES (1, 'Did')$$);
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name, occurred_at) VALUES (1, 'Recent', now())$$);
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name, occurred_at) VALUES (1, 'Recent', now() + interval '1 year')$$);
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name) VALUES (1, 'Other')$$);
-- a filter that cannot raise an error makes no difference
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name, properties) VALUES (1, 'Seen', '{"path": "/"}')$$);

-- by a value: one that two atoms ask for, one that none does, none; at first both
-- values are not known
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name, properties) VALUES (1, 'Keyed', '{"path": "/a", "price": 20}')$$);
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name, properties) VALUES (1, 'Keyed', '{"path": "/a", "price": 20}')$$);
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name, properties) VALUES (1, 'Keyed', '{"path": "/b"}')$$);
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name, properties) VALUES (1, 'Keyed', '{"path": "/b"}')$$);
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name, properties) VALUES (1, 'Keyed', '{}')$$);
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name) VALUES (1, 'Keyed')$$);
-- a value that may fail to be computed
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name, properties) VALUES (1, 'Counted', '{"price": 20}')$$);
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name, properties) VALUES (3, 'Counted', '{"price": "many"}')$$);

-- not settled: another contact, an unknown one (the second time there is nothing
-- to note), a value to look at, a sum, a rule
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name) VALUES (3, 'Did')$$);
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name) VALUES (9, 'Did')$$);
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name) VALUES (9, 'Did')$$);
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name, properties) VALUES (3, 'Keyed', '{"path": "/b"}')$$);
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name, properties) VALUES (3, 'Keyed', '{"path": "/a"}')$$);
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name, properties) VALUES (3, 'Added', '{"price": 11}')$$);
UPDATE settled.contacts SET lead_status = NULL;
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name) VALUES (1, 'Replied')$$);
SELECT id, lead_status FROM settled.contacts ORDER BY id;
-- one whose filter raises an error, so that the predicate counts as not holding
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name, properties) VALUES (1, 'Paid', '{"price": "much"}')$$);
SELECT segment, contact FROM settled.segment_member ORDER BY 1, 2;
SELECT segment, contact, message FROM settled.problem;
-- one that is deferred, and one for a contact that was merged
BEGIN;
SET LOCAL lifecycle.import_mode = defer;
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name) VALUES (1, 'Did')$$);
COMMIT;
SELECT lifecycle_take_deferred('settled');
SELECT lifecycle_merge('settled', 3, 2);
INSERT INTO settled.events (contact_id, name) VALUES (1, 'Other'), (1, 'Did');	-- names to be known again
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name) VALUES (3, 'Other')$$);
CALL pg_temp.runs($$INSERT INTO settled.events (contact_id, name) VALUES (3, 'Did')$$);
SELECT contact_id, name, count(*) FROM settled.events WHERE name IN ('Did', 'Other') GROUP BY 1, 2 ORDER BY 1, 2;

SELECT * FROM lifecycle_verify('settled');
SELECT lifecycle_drop('settled');

--
-- Single events that change states, each in its own transaction: old versions are
-- pruned in time, so that a few pages have room for all.  The states of contacts of
-- whom little is known move then between those of contacts who have done everything
--
SELECT lifecycle_create('settled', 'empty');
SELECT lifecycle_add_segment('settled', 'Often', $$did('Often', times => 5000)$$);
SELECT count(lifecycle_add_segment('settled', 'Event ' || i, format('did(%L)', 'Event ' || i))) FROM generate_series(1, 20) i;
INSERT INTO settled.contacts (id) SELECT generate_series(1, 40);
INSERT INTO settled.events (contact_id, name) SELECT c, 'Event ' || i FROM generate_series(1, 40) c, generate_series(1, 20) i WHERE c % 4 > 0;
DO $$
BEGIN
	FOR i IN 1 .. 200 LOOP
		INSERT INTO settled.events (contact_id, name) VALUES (4 + i % 10 * 4, 'Event ' || 1 + i / 10 % 20);
		COMMIT;
		FOR j IN 1 .. 10 LOOP
			INSERT INTO settled.events (contact_id, name) VALUES (1 + (i * 17 + j * j) % 40, 'Often');
			COMMIT;
		END LOOP;
	END LOOP;
END
$$;
SELECT pg_relation_size('settled.contact_state') / current_setting('block_size')::integer <= 4 AS pruned;
SELECT * FROM lifecycle_verify('settled');
SELECT lifecycle_drop('settled');

--
-- A key that is no number, of a row that does not fit into work_mem
--
CREATE SCHEMA settled_keys;
CREATE TABLE settled_keys.contacts (id text PRIMARY KEY);
CREATE TABLE settled_keys.events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, contact_id text, name text, occurred_at timestamptz DEFAULT now(), properties jsonb);
CREATE INDEX ON settled_keys.events (contact_id, name, occurred_at);
DO $$ BEGIN PERFORM lifecycle_attach('settled_text', 'settled_keys.contacts', 'settled_keys.events', template => 'empty'); END $$;
SELECT lifecycle_add_segment('settled_text', 'Twice', $$did('Did', times => 2)$$);
INSERT INTO settled_keys.contacts SELECT 'Contact ' || i FROM generate_series(1, 3) i;
INSERT INTO settled_keys.events (contact_id, name) SELECT 'Contact ' || i, 'Did' FROM generate_series(1, 3) i;
SET work_mem = '64kB';
CALL pg_temp.runs($$INSERT INTO settled_keys.events (contact_id, name, properties) SELECT 'Contact 2', 'Did', jsonb_build_object('long', string_agg(md5(i::text), '')) FROM generate_series(1, 10000) i$$);
RESET work_mem;
SELECT segment, contact FROM settled_text.segment_member;
SELECT * FROM lifecycle_verify('settled_text');
SELECT lifecycle_drop('settled_text');
DROP SCHEMA settled_keys CASCADE;
