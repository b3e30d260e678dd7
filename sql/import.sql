--
-- Import modes: how the rows of a transaction are taken in.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\set oracle :abs_srcdir '/test/oracle/oracle.sql'
\set ECHO none
\i :oracle
\set ECHO all

SELECT lifecycle_create('import_crm', 'hubspot');
SELECT lifecycle_set('import_crm', 'clock', 'tick');
SELECT contacts FROM lifecycle_tick('import_crm', '2024-03-01 00:00+00');
SELECT lifecycle_add_segment('import_crm', 'Signed', $$did('Signed Up')$$, stage => 'Lead');
SELECT lifecycle_add_segment('import_crm', 'Active', $$did('Login', times => 2, within => '7 days')$$, stage => 'MQL');
SELECT lifecycle_add_segment('import_crm', 'Idle', $$event_count('Login', within => '7 days') = 0$$);
SELECT lifecycle_add_rule('import_crm', 'Tell', on_ => 'segment entered', of => 'Signed', action => 'notify');
INSERT INTO oracle.segment (model, name, query) VALUES
	('import_crm', 'Signed', 'SELECT DISTINCT contact_id FROM import_crm.events WHERE name = ''Signed Up'' AND occurred_at <= $1 AND contact_id IN (SELECT id FROM import_crm.contacts)'),
	('import_crm', 'Active', 'SELECT contact_id FROM import_crm.events WHERE name = ''Login'' AND occurred_at <= $1 AND occurred_at > $1 - interval ''7 days'' AND contact_id IN (SELECT id FROM import_crm.contacts) GROUP BY 1 HAVING count(*) >= 2'),
	('import_crm', 'Idle', 'SELECT id FROM import_crm.contacts c WHERE NOT EXISTS (SELECT FROM import_crm.events e WHERE e.contact_id = c.id AND name = ''Login'' AND occurred_at <= $1 AND occurred_at > $1 - interval ''7 days'')');
CREATE FUNCTION pg_temp.wrong() RETURNS TABLE (what text, key text, expected text, actual text) LANGUAGE sql
AS 'SELECT o.* FROM import_crm.clock k, oracle.check(''import_crm'', k.last_tick) o';
CREATE FUNCTION pg_temp.members() RETURNS TABLE (segment text, contacts text) LANGUAGE sql
AS 'SELECT segment, string_agg(contact::text, '' '' ORDER BY contact) FROM import_crm.segment_member GROUP BY 1 ORDER BY 1';
-- what reached the outside world: deals and messages
CREATE FUNCTION pg_temp.outside() RETURNS TABLE (deals bigint, messages bigint) LANGUAGE sql
AS 'SELECT (SELECT count(*) FROM import_crm.deals), (SELECT count(*) FROM import_crm.outbox)';

SHOW lifecycle.import_mode;
SET lifecycle.import_mode = 'slowly';

--
-- 1. Silent: all is decided at once, but nothing reaches the outside world
--
BEGIN;
SET LOCAL lifecycle.import_mode = 'silent';
INSERT INTO import_crm.contacts (id) SELECT generate_series(1, 4);
INSERT INTO import_crm.events (contact_id, name, occurred_at) SELECT i, n, '2024-02-28 00:00+00'
FROM generate_series(1, 3) i, unnest(ARRAY['Signed Up', 'Login', 'Login', 'Meeting Booked']) n WHERE n <> 'Meeting Booked' OR i = 3;
SELECT * FROM pg_temp.members();
COMMIT;
SELECT id, stage, lead_status FROM import_crm.contacts ORDER BY id;
SELECT * FROM pg_temp.outside();
SELECT to_stage, cause, rule FROM import_crm.stage_history WHERE contact = 3 ORDER BY id;
SELECT * FROM pg_temp.wrong();
-- the same, as always
INSERT INTO import_crm.contacts (id) SELECT generate_series(5, 6);
INSERT INTO import_crm.events (contact_id, name, occurred_at) SELECT i, n, '2024-02-28 00:00+00'
FROM generate_series(5, 6) i, unnest(ARRAY['Signed Up', 'Meeting Booked']) n;
SELECT * FROM pg_temp.outside();
-- an imported deal sets off no rules but those on stages
BEGIN;
SET LOCAL lifecycle.import_mode = 'silent';
INSERT INTO import_crm.deals (contact_id, pipeline, stage) VALUES (4, 'Sales', 'Closed won');
ROLLBACK;
-- time is no import: what falls due later fires as always
SELECT contacts, "left" FROM lifecycle_tick('import_crm', '2024-03-10 00:00+00');
SELECT * FROM pg_temp.wrong();

--
-- 2. Defer: events are stored, and taken in later
--
BEGIN;
SET LOCAL lifecycle.import_mode = 'defer';
INSERT INTO import_crm.events (contact_id, name, occurred_at) SELECT 4, 'Signed Up', '2024-03-09 00:00+00';
INSERT INTO import_crm.events (contact_id, name, occurred_at) SELECT i, 'Login', '2024-03-09 00:00+00' FROM generate_series(1, 4) i, generate_series(1, 3);
DELETE FROM import_crm.events WHERE contact_id = 3 AND occurred_at > '2024-03-01';
COMMIT;
-- nothing has happened, and nobody hides it
SELECT * FROM pg_temp.members();
SELECT item, value FROM lifecycle_status('import_crm') WHERE item IN ('contacts due', 'contacts deferred');
SELECT what, key, name, left(stored, 26) AS stored, computed FROM lifecycle_verify('import_crm') ORDER BY 1, 2, 3;
-- who asks is told what the events say
SELECT lifecycle_in_segment('import_crm', 4, 'Active'), lifecycle_in_segment('import_crm', 3, 'Active');
-- an event in between, for somebody who waits
INSERT INTO import_crm.events (contact_id, name, occurred_at) VALUES (2, 'Login', '2024-03-10 00:00+00');
SELECT lifecycle_take_deferred('import_crm', 1);
SELECT lifecycle_take_deferred('import_crm');
SELECT * FROM pg_temp.members();
SELECT contact, segment, change, at, cause FROM import_crm.segment_history WHERE at = '2024-03-10 00:00+00' ORDER BY contact, segment;
-- rules fire then; rules on the events themselves do not
SELECT * FROM pg_temp.outside();
SELECT stage FROM import_crm.contacts WHERE id = 4;
SELECT * FROM pg_temp.wrong();
SELECT * FROM lifecycle_verify('import_crm');
-- or the tick does it
BEGIN;
SET LOCAL lifecycle.import_mode = 'defer';
INSERT INTO import_crm.events (contact_id, name, occurred_at) VALUES (5, 'Login', '2024-03-10 00:00+00'), (5, 'Login', '2024-03-10 00:00+00'), (77, 'Signed Up', '2024-03-10 00:00+00');
SAVEPOINT s;
INSERT INTO import_crm.events (contact_id, name, occurred_at) VALUES (6, 'Login', '2024-03-10 00:00+00');
ROLLBACK TO s;
UPDATE import_crm.events SET occurred_at = '2024-03-09 12:00+00' WHERE contact_id = 5 AND name = 'Login';
COMMIT;
SELECT * FROM lifecycle_tick('import_crm', '2024-03-10 00:00+00');
SELECT * FROM pg_temp.members();
SELECT * FROM pg_temp.wrong();
-- the contact of an event comes after it was taken in
INSERT INTO import_crm.contacts (id) VALUES (77);
SELECT * FROM pg_temp.members();
-- a rebuild takes in everybody
BEGIN;
SET LOCAL lifecycle.import_mode = 'defer';
INSERT INTO import_crm.events (contact_id, name, occurred_at) VALUES (77, 'Login', '2024-03-10 00:00+00');
SELECT lifecycle_rebuild('import_crm');
COMMIT;
SELECT count(*) FROM import_crm.deferred;
SELECT * FROM pg_temp.wrong();
SELECT * FROM lifecycle_verify('import_crm');
-- who may
SELECT lifecycle_take_deferred('import_crm', -1);
SELECT lifecycle_take_deferred(NULL);
CREATE ROLE lifecycle_import_guest;
SET ROLE lifecycle_import_guest;
SELECT lifecycle_take_deferred('import_crm');
RESET ROLE;
DROP ROLE lifecycle_import_guest;

SELECT lifecycle_drop('import_crm');

--
-- 3. Replay: history as if the extension had been there
--
-- One model lives through the events: its clock follows them.  The other gets
-- all of them at once, in another order, and replays.
CREATE TABLE import_model (model text);
INSERT INTO import_model VALUES ('import_live'), ('import_replay');
CREATE TABLE import_segment (name text, predicate text, stage text);
INSERT INTO import_segment VALUES
	('recent', $$did('A', within => '3 days')$$, 'Two'),
	('twice', $$did('A', times => 2, within => '5 days 6 hours')$$, NULL),
	('three', $$did('C', times => 3)$$, 'One'),
	('sum', $$event_sum('A', (properties->>'n')::int, within => '8 days') > 12$$, NULL),
	('stopped', $$stopped('A', '9 days', '4 days')$$, 'Three'),
	('restarted', $$restarted('B', '9 days', '4 days')$$, NULL),
	('regular', $$regularly('A', 1, '2 days', 4, 2)$$, NULL),
	('then', $$did_then('A', 'B', '1 day')$$, NULL),
	('lost', $$did('B') AND NOT did('B', within => '1 month')$$, 'Four'),
	('both', $$in_segment('recent') AND NOT in_segment('stopped') OR in_segment('regular')$$, NULL),
	('slow', $$time_in_stage() > '6 days'$$, NULL);
SELECT count(lifecycle_create(model, 'empty')) FROM import_model;
SELECT count(lifecycle_set(model, 'clock', 'tick')) FROM import_model;
SELECT count(*) FROM import_model, lifecycle_tick(model, '2024-02-01 00:00+00');
SELECT count(lifecycle_add_stage(model, s)) FROM import_model, unnest(ARRAY['One', 'Two', 'Three', 'Four']) s;
SELECT count(lifecycle_add_segment(h.model, s.name, s.predicate, stage => s.stage)) FROM import_model h, import_segment s;
-- rules on events: with conditions on the event, on others, on time; two at once
SELECT count(lifecycle_add_lead_status(m.model, s)) FROM import_model m, unnest(ARRAY['New', 'Warm', 'Hot']) s;
SELECT count(*) FROM import_model m, LATERAL (SELECT
	lifecycle_add_rule(m.model, 'C is three', 'event', 'advance stage', '{"stage": "Three"}', of => 'C', condition => $$(event.properties->>'n')::int = 3$$),
	lifecycle_add_rule(m.model, 'D is two', 'event', 'advance stage', '{"stage": "Two"}', of => 'D'),
	lifecycle_add_rule(m.model, 'D is warm', 'event', 'set lead status', '{"status": "Warm"}', of => 'D', condition => $$did('A', within => '4 days') OR did('D', times => 2)$$),
	lifecycle_add_rule(m.model, 'B is hot', 'event', 'set lead status', '{"status": "Hot"}', of => 'B', condition => $$time_in_stage() > '4 days' AND in_segment('recent')$$),
	lifecycle_add_rule(m.model, 'D goes back', 'event', 'set stage', '{"stage": "One"}', of => 'D', condition => $$event_count('D') = 3 AND event.properties->>'n' <> '0'$$)) r;
CREATE TABLE import_event AS
SELECT i AS n, (i * 7) % 23 + 1 AS contact, (ARRAY['A', 'B', 'A', 'C', 'B', 'A', 'D'])[i * 5 % 7 + 1] AS name,
	timestamptz '2024-02-01 00:00+00' + i * interval '3 hours 7 minutes 13 seconds' AS at
FROM generate_series(1, 300) i;
INSERT INTO import_live.companies (id) SELECT generate_series(1, 5);
INSERT INTO import_replay.companies (id) SELECT generate_series(1, 5);
DO $$
DECLARE
	e record;
BEGIN
	FOR e IN SELECT *, row_number() OVER (PARTITION BY contact ORDER BY n) AS nth FROM import_event ORDER BY n LOOP
		PERFORM lifecycle_tick('import_live', e.at);
		IF e.nth = 1 THEN
			INSERT INTO import_live.contacts (id, company_id) VALUES (e.contact, e.contact % 5 + 1);
		END IF;
		INSERT INTO import_live.events (contact_id, name, occurred_at, properties) VALUES (e.contact, e.name, e.at, jsonb_build_object('n', e.n % 9));
	END LOOP;
	PERFORM lifecycle_tick('import_live', '2024-04-10 00:00+00');
END $$;
SELECT contacts FROM lifecycle_tick('import_replay', '2024-04-10 00:00+00');
INSERT INTO import_replay.contacts (id, company_id) SELECT i, i % 5 + 1 FROM generate_series(1, 23) i;
BEGIN;
SET LOCAL lifecycle.import_mode = 'defer';
INSERT INTO import_replay.events (contact_id, name, occurred_at, properties) SELECT contact, name, at, jsonb_build_object('n', n % 9) FROM import_event ORDER BY n % 17, n DESC;
COMMIT;
SELECT lifecycle_replay('import_replay');
SELECT change, count(*) FROM import_live.segment_history GROUP BY 1 ORDER BY 1;
CREATE VIEW import_first AS SELECT contact, min(at) AS first FROM import_event GROUP BY 1;
-- all changes, then what made them; who arrived was not looked at before
CREATE FUNCTION pg_temp.differences() RETURNS TABLE (model text, contact bigint, what text, change text, at timestamptz) LANGUAGE sql AS $$
	WITH live AS (
		SELECT contact, segment, change, at FROM import_live.segment_history
		UNION ALL SELECT contact, rule, coalesce(from_stage, '') || ' to ' || to_stage, at FROM import_live.stage_history WHERE object = 'contact' AND rule IS NOT NULL
		UNION ALL SELECT -company, 'company', coalesce(from_stage, '') || ' to ' || to_stage, at FROM import_live.stage_history WHERE object = 'company'
		UNION ALL SELECT contact, rule, coalesce(from_status, '') || ' to ' || to_status, at FROM import_live.lead_status_history
		UNION ALL SELECT h.contact, rule, 'by ' || cause || coalesce(' ' || event || event_at, ''), at FROM import_live.stage_history h JOIN import_first f ON f.contact = h.contact AND h.at > f.first
		UNION ALL SELECT h.contact, rule, 'by ' || cause || coalesce(' ' || event || event_at, ''), at FROM import_live.lead_status_history h JOIN import_first f ON f.contact = h.contact AND h.at > f.first
		UNION ALL SELECT h.contact, segment, change || ' by ' || cause || coalesce(' ' || event || event_at, ''), at FROM import_live.segment_history h JOIN import_first f ON f.contact = h.contact AND h.at > f.first),
	replayed AS (
		SELECT contact, segment, change, at FROM import_replay.segment_history
		UNION ALL SELECT contact, rule, coalesce(from_stage, '') || ' to ' || to_stage, at FROM import_replay.stage_history WHERE object = 'contact' AND rule IS NOT NULL
		UNION ALL SELECT -company, 'company', coalesce(from_stage, '') || ' to ' || to_stage, at FROM import_replay.stage_history WHERE object = 'company'
		UNION ALL SELECT contact, rule, coalesce(from_status, '') || ' to ' || to_status, at FROM import_replay.lead_status_history
		UNION ALL SELECT h.contact, rule, 'by ' || cause || coalesce(' ' || event || event_at, ''), at FROM import_replay.stage_history h JOIN import_first f ON f.contact = h.contact AND h.at > f.first
		UNION ALL SELECT h.contact, rule, 'by ' || cause || coalesce(' ' || event || event_at, ''), at FROM import_replay.lead_status_history h JOIN import_first f ON f.contact = h.contact AND h.at > f.first
		UNION ALL SELECT h.contact, segment, change || ' by ' || cause || coalesce(' ' || event || event_at, ''), at FROM import_replay.segment_history h JOIN import_first f ON f.contact = h.contact AND h.at > f.first)
	SELECT 'live', * FROM (TABLE live EXCEPT ALL TABLE replayed) x
	UNION ALL SELECT 'replayed', * FROM (TABLE replayed EXCEPT ALL TABLE live) x
	ORDER BY 2, 5, 3, 4, 1 $$;
SELECT cause, rule, count(*) FROM import_live.stage_history WHERE object = 'contact' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT cause, rule, count(*) FROM import_live.lead_status_history GROUP BY 1, 2 ORDER BY 1, 2;
SELECT * FROM pg_temp.differences();
SELECT m.model, v.* FROM import_model m, lifecycle_verify(m.model) v;
SELECT m.model, o.* FROM import_model m, oracle.check(m.model, '2024-04-10 00:00+00') o;
-- again, for everybody: stages that were reached stay, and so does the time in them
SELECT lifecycle_replay('import_replay', everybody => true);
SELECT * FROM pg_temp.differences() WHERE what <> 'slow';
SELECT * FROM lifecycle_verify('import_replay');
SELECT lifecycle_replay('import_replay');
SELECT lifecycle_replay('import_replay', NULL);
DROP VIEW import_first CASCADE;
SELECT lifecycle_drop(model) FROM import_model;
DROP TABLE import_model, import_segment, import_event;
SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
