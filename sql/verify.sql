--
-- The proof: lifecycle_verify compares what is stored with a recomputation
-- from the application tables, lifecycle_rebuild repairs.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
\set SHOW_CONTEXT never

SELECT lifecycle_create('verify_crm');
SELECT lifecycle_set('verify_crm', 'clock', 'tick');
SELECT contacts FROM lifecycle_tick('verify_crm', '2024-01-10 00:00+00');
SELECT lifecycle_add_segment('verify_crm', 'Signed', $$did('Signed Up')$$, stage => 'Lead');
SELECT lifecycle_add_segment('verify_crm', 'Active', $$did('Login', times => 3) AND country = 'FI'$$, stage => 'MQL');
SELECT lifecycle_add_segment('verify_crm', 'Recent', $$did('Login', within => '7 days') AND in_segment('Signed')$$);
SELECT lifecycle_add_segment('verify_crm', 'Buyer', $$event_sum('Purchase', (properties->>'value')::numeric) > 100$$);
INSERT INTO verify_crm.companies (id, name) VALUES (1, 'Acme');
INSERT INTO verify_crm.contacts (id, company_id, country) SELECT i, 1, CASE WHEN i % 2 = 0 THEN 'FI' END FROM generate_series(1, 6) i;
INSERT INTO verify_crm.events (contact_id, name, occurred_at)
SELECT i, n, '2024-01-09 00:00+00' FROM generate_series(1, 5) i, unnest(ARRAY['Signed Up', 'Login', 'Login', 'Login']) n;
INSERT INTO verify_crm.events (contact_id, name, occurred_at, properties) VALUES
	(6, 'Purchase', '2024-01-08 00:00+00', '{"value": 60}'), (6, 'Purchase', '2024-01-09 00:00+00', '{"value": 60}'),
	(5, 'Meeting Booked', '2024-01-10 00:00+00', '{}');
SELECT segment, string_agg(contact::text, ' ' ORDER BY contact) FROM verify_crm.segment_member GROUP BY 1 ORDER BY 1;

-- none is the proof
SELECT * FROM lifecycle_verify('verify_crm');
-- a contact that is late is not wrong
UPDATE verify_crm.clock SET last_tick = '2024-02-01 00:00+00';
SELECT * FROM lifecycle_verify('verify_crm');
SELECT contacts, "left" FROM lifecycle_tick('verify_crm', '2024-02-01 00:00+00');
SELECT * FROM lifecycle_verify('verify_crm');

-- somebody meddles with what lifecycle keeps
UPDATE verify_crm.contact_state SET state = (SELECT state FROM verify_crm.contact_state WHERE contact = 6) WHERE contact = 2;
UPDATE verify_crm.contact_state SET due = '2024-03-01 00:00+00' WHERE contact = 3;
DELETE FROM verify_crm.contact_state WHERE contact = 4;
DELETE FROM verify_crm.membership WHERE contact = 5 AND segment_id = (SELECT id FROM verify_crm.segment WHERE name = 'Signed');
INSERT INTO verify_crm.membership (id, entered_at, noticed_at, segment_id, contact, cause)
	SELECT 0, '2024-01-10 00:00+00', '2024-01-10 00:00+00', id, 1, 'rebuild' FROM verify_crm.segment WHERE name = 'Buyer';
INSERT INTO verify_crm.stage_count VALUES ('contact', 'Lead', 7);
DELETE FROM verify_crm.stage_history WHERE contact = 5 AND to_stage = 'Opportunity';
UPDATE verify_crm.deal_history SET to_stage = 'Closed won';
SELECT * FROM lifecycle_verify('verify_crm') ORDER BY what, key, name;
SELECT lifecycle_rebuild('verify_crm');
-- all is repaired; a history that was changed ends where the row is
SELECT * FROM lifecycle_verify('verify_crm') ORDER BY what, key, name;
SELECT segment, string_agg(contact::text, ' ' ORDER BY contact) FROM verify_crm.segment_member GROUP BY 1 ORDER BY 1;

-- one contact only
UPDATE verify_crm.contact_state SET state = (SELECT state FROM verify_crm.contact_state WHERE contact = 6) WHERE contact = 2;
SELECT lifecycle_rebuild('verify_crm', 2);
SELECT count(*) FROM lifecycle_verify('verify_crm') WHERE what NOT LIKE 'stage of%';

SELECT object, from_stage, to_stage, cause, rule FROM verify_crm.stage_history WHERE contact = 5 ORDER BY id DESC LIMIT 2;
SELECT lifecycle_verify('verify_cmr');
SELECT lifecycle_rebuild('verify_crm', 'two');
SELECT lifecycle_drop('verify_crm');

--
-- Damage one thing after the other: it is seen, and nothing else is; a rebuild
-- repairs it; and the oracle, plain SQL, has nothing to say after that.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set oracle :abs_srcdir '/test/oracle/oracle.sql'
\set ECHO none
\i :oracle
\set ECHO all
SELECT lifecycle_create('verify_all');
SELECT lifecycle_set('verify_all', 'clock', 'tick');
SELECT contacts FROM lifecycle_tick('verify_all', '2024-01-10 00:00+00');
ALTER TABLE verify_all.contacts ADD fit int;
SELECT lifecycle_add_segment('verify_all', 'Signed', $$did('Signed Up')$$, stage => 'Lead');
SELECT lifecycle_add_segment('verify_all', 'Active', $$did('Login', times => 3) AND country = 'FI'$$, stage => 'MQL');
SELECT lifecycle_add_segment('verify_all', 'Recent', $$did('Login', within => '7 days')$$);
SELECT lifecycle_add_segment('verify_all', 'Buyer', $$event_sum('Purchase', (properties->>'value')::numeric) > 100$$);
SELECT lifecycle_add_score('verify_all', 'fit', column_name => 'fit');
SELECT lifecycle_add_score_rule('verify_all', 'fit', 'login', 2, event => 'Login');
INSERT INTO oracle.segment (model, name, query) VALUES
	('verify_all', 'Signed', $$SELECT id FROM verify_all.contacts c WHERE EXISTS (SELECT FROM verify_all.events e WHERE e.contact_id = c.id AND name = 'Signed Up' AND occurred_at <= $1)$$),
	('verify_all', 'Active', $$SELECT id FROM verify_all.contacts c WHERE country = 'FI' AND (SELECT count(*) FROM verify_all.events e WHERE e.contact_id = c.id AND name = 'Login' AND occurred_at <= $1) >= 3$$),
	('verify_all', 'Recent', $$SELECT id FROM verify_all.contacts c WHERE EXISTS (SELECT FROM verify_all.events e WHERE e.contact_id = c.id AND name = 'Login' AND occurred_at <= $1 AND occurred_at > $1 - interval '7 days')$$),
	('verify_all', 'Buyer', $$SELECT contact_id FROM verify_all.events e WHERE name = 'Purchase' AND occurred_at <= $1 AND EXISTS (SELECT FROM verify_all.contacts c WHERE c.id = e.contact_id) GROUP BY 1 HAVING sum((properties->>'value')::numeric) > 100$$);
INSERT INTO verify_all.companies (id, name) VALUES (1, 'Acme');
INSERT INTO verify_all.contacts (id, company_id, country) SELECT i, CASE WHEN i < 4 THEN 1 END, CASE WHEN i % 2 = 0 THEN 'FI' END FROM generate_series(1, 8) i;
INSERT INTO verify_all.events (contact_id, name, occurred_at)
SELECT i, n, '2024-01-09 00:00+00' FROM generate_series(1, 5) i, unnest(ARRAY['Signed Up', 'Login', 'Login', 'Login']) n;
INSERT INTO verify_all.events (contact_id, name, occurred_at) VALUES (5, 'Meeting Booked', '2024-01-10 00:00+00'), (7, 'Login', '2024-01-09 00:00+00');
INSERT INTO verify_all.events (contact_id, name, occurred_at, properties) VALUES (2, 'Purchase', '2024-01-09 00:00+00', '{"value": 120}'), (4, 'Purchase', '2024-01-09 00:00+00', '{"value": 120.0}');
INSERT INTO verify_all.events (anonymous_id, name, occurred_at) VALUES ('cookie', 'Login', '2024-01-09 00:00+00'), ('nobody', 'Login', '2024-01-09 00:00+00');
SELECT lifecycle_identify('verify_all', 'cookie', 6), lifecycle_merge('verify_all', 7, 8);
SELECT * FROM lifecycle_verify('verify_all');
CREATE FUNCTION pg_temp.check_all() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(DISTINCT what, ', ' ORDER BY what) FROM oracle.check('verify_all', (SELECT last_tick FROM verify_all.clock))
	WHERE what NOT LIKE '%segment history%' $$;	-- which says twice what a damaged state did not know
CREATE FUNCTION pg_temp.damage(what text, statement text, OUT damage text, OUT seen text, OUT still_seen text, OUT oracle_says text) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL session_replication_role = replica;
	EXECUTE statement;
	SET LOCAL session_replication_role = origin;
	damage := what;
	SELECT string_agg(x.what || coalesce(' ' || n, ''), ', ' ORDER BY x.what) INTO seen
		FROM (SELECT v.what, nullif(count(*), 1) AS n FROM lifecycle_verify('verify_all') v GROUP BY 1) x;
	PERFORM lifecycle_rebuild('verify_all');
	SELECT string_agg(v.what || coalesce(' ' || v.key, ''), ', ' ORDER BY v.what, v.key) INTO still_seen FROM lifecycle_verify('verify_all') v;
	oracle_says := pg_temp.check_all();
	RAISE 'take back';
EXCEPTION WHEN raise_exception THEN
	NULL;
END $$;
-- what lifecycle keeps
SELECT * FROM pg_temp.damage('nothing', 'SELECT');
SELECT * FROM pg_temp.damage('a membership is missing', $$DELETE FROM verify_all.membership m USING verify_all.segment s WHERE s.id = m.segment_id AND m.contact = 5 AND s.name = 'Signed'$$);
SELECT * FROM pg_temp.damage('a membership too many', $$INSERT INTO verify_all.membership (id, entered_at, noticed_at, segment_id, contact, cause) SELECT 0, '2024-01-10 00:00+00', '2024-01-10 00:00+00', id, 1, 'rebuild' FROM verify_all.segment WHERE name = 'Active'$$);
SELECT * FROM pg_temp.damage('atoms and memberships of another contact', 'UPDATE verify_all.contact_state SET state = (SELECT state FROM verify_all.contact_state WHERE contact = 6) WHERE contact = 2');
SELECT * FROM pg_temp.damage('a total of another contact, to the last digit', 'UPDATE verify_all.contact_state SET state = (SELECT state FROM verify_all.contact_state WHERE contact = 4) WHERE contact = 2');
SELECT * FROM pg_temp.damage('a timer too late', $$UPDATE verify_all.contact_state SET due = '2024-03-01 00:00+00' WHERE contact = 3$$);
SELECT * FROM pg_temp.damage('a timer too early', $$UPDATE verify_all.contact_state SET due = '2024-01-11 00:00+00' WHERE contact = 3$$);
SELECT * FROM pg_temp.damage('no timer', $$UPDATE verify_all.contact_state SET due = 'infinity' WHERE contact = 3$$);
SELECT * FROM pg_temp.damage('no state', 'DELETE FROM verify_all.contact_state WHERE contact = 4');
SELECT * FROM pg_temp.damage('a state of nobody', 'UPDATE verify_all.contact_state SET contact = 99 WHERE contact = 4');
SELECT * FROM pg_temp.damage('memberships of a contact that has not arrived', $$
	INSERT INTO verify_all.contact_state (contact, clock, state) SELECT 99, clock, set_byte(state, 1, 1) FROM verify_all.contact_state WHERE contact = 6;
	INSERT INTO verify_all.membership SELECT id, entered_at, noticed_at, event_at, segment_id, 99, cause, event FROM verify_all.membership WHERE contact = 6$$);
SELECT * FROM pg_temp.damage('a wrong number in the funnel', $$INSERT INTO verify_all.stage_count (object, stage, number) VALUES ('contact', 'Lead', 7)$$);
SELECT * FROM pg_temp.damage('a number in the funnel is gone', $$DELETE FROM verify_all.stage_count WHERE object = 'company'$$);
SELECT * FROM pg_temp.damage('no history of a stage', $$DELETE FROM verify_all.stage_history WHERE contact = 5 AND to_stage = 'Opportunity'$$);
SELECT * FROM pg_temp.damage('no history of a lead status', 'DELETE FROM verify_all.lead_status_history WHERE contact = 5');
SELECT * FROM pg_temp.damage('no history of a deal', 'DELETE FROM verify_all.deal_history');
SELECT * FROM pg_temp.damage('a contact that waits', 'INSERT INTO verify_all.deferred (contact) VALUES (2)');
SELECT * FROM pg_temp.damage('an id of nobody', $$UPDATE verify_all.identity SET contact = 99$$);
-- the user's tables, where no trigger saw it
SELECT * FROM pg_temp.damage('a stage', $$UPDATE verify_all.contacts SET stage = 'Subscriber' WHERE id = 2$$);
SELECT * FROM pg_temp.damage('a stage, and its history', $$UPDATE verify_all.contacts SET stage = NULL WHERE id = 2; DELETE FROM verify_all.stage_history WHERE contact = 2$$);
SELECT * FROM pg_temp.damage('a stage a little behind, and its history', $$UPDATE verify_all.contacts SET stage = 'Lead' WHERE id = 2; DELETE FROM verify_all.stage_history WHERE contact = 2 AND to_stage = 'MQL'$$);
SELECT * FROM pg_temp.damage('a lead status', $$UPDATE verify_all.contacts SET lead_status = 'New' WHERE id = 5$$);
SELECT * FROM pg_temp.damage('the stage of a company', $$UPDATE verify_all.companies SET stage = 'Customer'$$);
SELECT * FROM pg_temp.damage('a deal that is not open', 'UPDATE verify_all.deals SET is_open = false');
SELECT * FROM pg_temp.damage('a deal that is won', $$UPDATE verify_all.deals SET stage = 'Closed won'$$);
SELECT * FROM pg_temp.damage('a score', 'UPDATE verify_all.contacts SET fit = 77 WHERE id = 1');
SELECT * FROM pg_temp.damage('a column', $$UPDATE verify_all.contacts SET country = 'SE' WHERE id = 2$$);
SELECT * FROM pg_temp.damage('an event is gone', $$DELETE FROM verify_all.events WHERE id = (SELECT min(id) FROM verify_all.events WHERE contact_id = 2 AND name = 'Login')$$);
SELECT * FROM pg_temp.damage('an event came', $$INSERT INTO verify_all.events (contact_id, name, occurred_at) VALUES (6, 'Signed Up', '2024-01-09 00:00+00')$$);
SELECT * FROM pg_temp.damage('an event has another time', $$UPDATE verify_all.events SET occurred_at = '2024-01-08 00:00+00' WHERE contact_id = 2 AND name = 'Login'$$);
SELECT * FROM pg_temp.damage('a contact came', $$INSERT INTO verify_all.contacts (id, stage) VALUES (50, 'Lead')$$);
SELECT * FROM pg_temp.damage('a contact is gone', 'DELETE FROM verify_all.contacts WHERE id = 6');
SELECT * FROM pg_temp.damage('an event lost its contact', $$UPDATE verify_all.events SET contact_id = NULL WHERE anonymous_id = 'cookie'$$);
SELECT * FROM pg_temp.damage('an event of a merged contact', $$INSERT INTO verify_all.events (contact_id, name, occurred_at) VALUES (7, 'Login', '2024-01-09 00:00+00')$$);
SELECT * FROM lifecycle_verify('verify_all');
-- what is by hand is nobody's fault
UPDATE verify_all.contacts SET stage = 'Subscriber' WHERE id = 2;
SELECT lifecycle_alter_stage('verify_all', 'Lead', at_position => 6);
SELECT lifecycle_add_rule('verify_all', 'Later', 'segment entered', 'advance stage', '{"stage": "Customer"}', of => 'Recent');
SELECT * FROM lifecycle_verify('verify_all');
SELECT lifecycle_drop('verify_all');
SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
