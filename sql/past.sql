--
-- The past changes: late events, events that are changed or deleted, contacts
-- that get another key or company or are deleted, segments and stages that mean
-- something else.  Memberships follow at once, in the same transaction, and
-- after each step the oracle, plain SQL over the tables, agrees.
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

-- The model: it is the end of March, and stands still.
SELECT lifecycle_create('past_crm', 'hubspot');
SELECT lifecycle_set('past_crm', 'clock', 'tick');
SELECT contacts FROM lifecycle_tick('past_crm', '2024-03-31 12:00+00');
SELECT lifecycle_add_segment('past_crm', 'Buyers', $$did('Order', times => 2)$$, stage => 'Customer');
SELECT lifecycle_add_segment('past_crm', 'Active', $$did('Login', within => '7 days')$$, stage => 'Lead');
SELECT lifecycle_add_segment('past_crm', 'Newest', $$event_latest('Login', properties->>'from') = 'phone'$$);
SELECT lifecycle_add_segment('past_crm', 'Tools', $$company.industry = 'Tools' AND in_segment('Active')$$);
INSERT INTO oracle.segment (model, name, query) VALUES
	('past_crm', 'Buyers', 'SELECT c.id FROM past_crm.contacts c WHERE (SELECT count(*) FROM past_crm.events e WHERE e.contact_id = c.id AND e.name = ''Order'' AND e.occurred_at <= $1) >= 2'),
	('past_crm', 'Active', 'SELECT c.id FROM past_crm.contacts c WHERE EXISTS (SELECT FROM past_crm.events e WHERE e.contact_id = c.id AND e.name = ''Login'' AND e.occurred_at <= $1 AND e.occurred_at > $1 - interval ''7 days'')'),
	('past_crm', 'Newest', 'SELECT c.id FROM past_crm.contacts c WHERE (SELECT e.properties->>''from'' FROM past_crm.events e WHERE e.contact_id = c.id AND e.name = ''Login'' AND e.occurred_at <= $1 ORDER BY e.occurred_at DESC, e.id DESC LIMIT 1) = ''phone'''),
	('past_crm', 'Tools', 'SELECT c.id FROM past_crm.contacts c JOIN past_crm.companies co ON co.id = c.company_id WHERE co.industry = ''Tools'' AND EXISTS (SELECT FROM past_crm.events e WHERE e.contact_id = c.id AND e.name = ''Login'' AND e.occurred_at <= $1 AND e.occurred_at > $1 - interval ''7 days'')');
CREATE FUNCTION pg_temp.wrong() RETURNS TABLE (what text, key text, expected text, actual text) LANGUAGE sql
AS 'SELECT o.* FROM past_crm.clock k, oracle.check(''past_crm'', k.last_tick) o UNION ALL SELECT v.what, v.key, v.computed, v.stored FROM lifecycle_verify(''past_crm'') v';
CREATE FUNCTION pg_temp.members() RETURNS TABLE (segment text, contacts text) LANGUAGE sql
AS 'SELECT segment, string_agg(contact::text, '' '' ORDER BY contact) FROM past_crm.segment_member GROUP BY 1 ORDER BY 1';
-- what the history has got since the last look
CREATE TABLE past_seen AS SELECT 0::bigint AS id;
CREATE FUNCTION pg_temp.news() RETURNS TABLE (contact bigint, segment text, change text, cause text, event text) LANGUAGE sql AS $$
	WITH new AS (SELECT h.* FROM past_crm.segment_history h, past_seen s WHERE h.id > s.id),
		seen AS (UPDATE past_seen s SET id = coalesce((SELECT max(n.id) FROM new n), s.id))
	SELECT contact, segment, change, cause, event FROM new ORDER BY contact, segment, id $$;
INSERT INTO past_crm.companies (id, name, industry) VALUES (1, 'Hammers', 'Tools'), (2, 'Bread', 'Food');
INSERT INTO past_crm.contacts (id, company_id) VALUES (1, 1), (2, 1), (3, 2);

--
-- 1. Events that come late, and out of order
--
INSERT INTO past_crm.events (contact_id, name, occurred_at, properties) VALUES
	(1, 'Login', '2024-03-30 08:00+00', '{"from": "phone"}'),
	(2, 'Order', '2024-03-20 08:00+00', '{}');
SELECT * FROM pg_temp.news();
-- of last week: too late for the window, not the latest, but it counts
INSERT INTO past_crm.events (contact_id, name, occurred_at, properties) VALUES
	(2, 'Order', '2023-12-24 08:00+00', '{}'),
	(3, 'Login', '2024-03-24 12:00+00', '{"from": "phone"}'),
	(1, 'Login', '2024-03-29 08:00+00', '{"from": "desk"}');
SELECT * FROM pg_temp.news();
SELECT * FROM pg_temp.wrong();
-- the history says when it was decided, and when the event was
SELECT at, event_at FROM past_crm.segment_history WHERE contact = 2 AND segment = 'Buyers';

--
-- 2. Events that are changed
--
-- it was a day later after all
UPDATE past_crm.events SET occurred_at = '2024-03-25 12:00+00' WHERE id = 4;
SELECT * FROM pg_temp.news();
-- it was somebody else
UPDATE past_crm.events SET contact_id = 2 WHERE id = 1;
SELECT * FROM pg_temp.news();
-- it was something else, and from elsewhere
UPDATE past_crm.events SET name = 'Logout' WHERE id = 2;
UPDATE past_crm.events SET properties = '{"from": "phone"}' WHERE id = 5;
SELECT * FROM pg_temp.news();
SELECT * FROM pg_temp.members();
SELECT * FROM pg_temp.wrong();
-- a stage that was reached stays
SELECT id, stage FROM past_crm.contacts ORDER BY id;

--
-- 3. Events that are deleted
--
DELETE FROM past_crm.events WHERE id = 4;
SELECT * FROM pg_temp.news();
BEGIN;
DELETE FROM past_crm.events WHERE name = 'Login';
SELECT * FROM pg_temp.members();
ROLLBACK;
SELECT * FROM pg_temp.members();
SELECT * FROM pg_temp.wrong();
BEGIN;
TRUNCATE past_crm.events;
SELECT * FROM pg_temp.members();
SELECT * FROM pg_temp.wrong();
ROLLBACK;
SELECT * FROM pg_temp.news();

--
-- 4. A contact's key, and its company
--
-- To the engine another key is another contact: the old one's memberships end,
-- and the new one has those that its events give it.
UPDATE past_crm.contacts SET id = 30 WHERE id = 2;
SELECT * FROM pg_temp.news();
SELECT contact, from_stage, to_stage, cause FROM past_crm.stage_history WHERE contact IN (2, 30) ORDER BY id;
UPDATE past_crm.events SET contact_id = 30 WHERE contact_id = 2;
SELECT * FROM pg_temp.news();
SELECT * FROM pg_temp.wrong();
-- a contact moves to another company, and back
UPDATE past_crm.contacts SET company_id = 2 WHERE id = 30;
SELECT * FROM pg_temp.news();
UPDATE past_crm.contacts SET company_id = 1 WHERE id = 30;
SELECT * FROM pg_temp.news();
-- the company of many contacts changes
UPDATE past_crm.companies SET industry = 'Food' WHERE id = 1;
SELECT * FROM pg_temp.news();
UPDATE past_crm.companies SET industry = 'Tools';
SELECT * FROM pg_temp.news();
SELECT * FROM pg_temp.wrong();
-- the company gets another key: its contacts follow when they name it
ALTER TABLE past_crm.contacts DROP CONSTRAINT contacts_company_id_fkey;
UPDATE past_crm.companies SET id = 7 WHERE id = 1;
SELECT * FROM pg_temp.news();
UPDATE past_crm.contacts SET company_id = 7 WHERE company_id = 1;
SELECT * FROM pg_temp.news();
-- and is deleted
DELETE FROM past_crm.companies WHERE id = 7;
SELECT * FROM pg_temp.news();
SELECT * FROM pg_temp.wrong();

--
-- 5. Contacts that are deleted
--
-- The state goes.  The history says that the contact left, and stays.
INSERT INTO past_crm.events (contact_id, name, occurred_at, properties) VALUES (3, 'Login', '2024-03-31 08:00+00', '{"from": "phone"}');
SELECT * FROM pg_temp.news();
DELETE FROM past_crm.contacts WHERE id = 3;
SELECT * FROM pg_temp.news();
SELECT count(*) FROM past_crm.contact_state WHERE contact = 3;
SELECT from_stage, to_stage, cause FROM past_crm.stage_history WHERE contact = 3 ORDER BY id;
SELECT stage, contacts FROM past_crm.funnel WHERE contacts > 0 ORDER BY position;
SELECT * FROM pg_temp.wrong();
-- it comes back, and so do its memberships: its events are still there
INSERT INTO past_crm.contacts (id, company_id) VALUES (3, 2);
SELECT * FROM pg_temp.news();
-- or the history goes too
SELECT lifecycle_set('past_crm', 'history_of_deleted', 'erase');
SELECT lifecycle_set('past_crm', 'history_of_deleted', 'delete');
DELETE FROM past_crm.contacts WHERE id = 3;
SELECT (SELECT count(*) FROM past_crm.segment_history WHERE contact = 3) AS segments,
	(SELECT count(*) FROM past_crm.stage_history WHERE contact = 3) AS stages,
	(SELECT count(*) FROM past_crm.lead_status_history WHERE contact = 3) AS statuses;
SELECT stage, contacts FROM past_crm.funnel WHERE contacts > 0 ORDER BY position;
SELECT count(*) FROM past_crm.stage_history WHERE company = 2;
DELETE FROM past_crm.companies WHERE id = 2;
SELECT count(*) FROM past_crm.stage_history WHERE company = 2;
SELECT * FROM pg_temp.wrong();
BEGIN;
TRUNCATE past_crm.contacts CASCADE;
SELECT (SELECT count(*) FROM past_crm.segment_history) AS segments,
	(SELECT count(*) FROM past_crm.stage_history WHERE object = 'contact') AS stages,
	(SELECT count(*) FROM past_crm.contact_state) AS states;
SELECT * FROM pg_temp.wrong();
ROLLBACK;
SELECT lifecycle_set('past_crm', 'history_of_deleted', 'keep');

--
-- 6. A segment means something else
--
-- All consequences are there when the call returns: members, segments that
-- name it, and stages.
INSERT INTO past_crm.companies (id, industry) VALUES (8, 'Tools');
INSERT INTO past_crm.contacts (id, company_id) VALUES (4, 8), (5, 8);
INSERT INTO past_crm.events (contact_id, name, occurred_at) VALUES (4, 'Login', '2024-03-20 08:00+00'), (5, 'Login', '2024-03-30 08:00+00');
UPDATE past_seen SET id = (SELECT max(id) FROM past_crm.segment_history);
SELECT * FROM pg_temp.members();
UPDATE oracle.segment SET query = replace(query, '7 days', '14 days') WHERE name IN ('Active', 'Tools');
SELECT lifecycle_alter_segment('past_crm', 'Active', predicate => $$did('Login', within => '14 days')$$);
SELECT * FROM pg_temp.news();
SELECT id, stage FROM past_crm.contacts ORDER BY id;
SELECT * FROM pg_temp.wrong();
-- what was due by the old text happened before
SELECT contacts FROM lifecycle_tick('past_crm', '2024-04-03 12:00+00', 0);
UPDATE oracle.segment SET query = replace(query, '14 days', '2 days') WHERE name IN ('Active', 'Tools');
SELECT lifecycle_alter_segment('past_crm', 'Active', predicate => $$did('Login', within => '2 days')$$);
SELECT contact, segment, change, at, cause FROM past_crm.segment_history h, past_seen s WHERE h.id > s.id ORDER BY h.at, contact, segment;
SELECT * FROM pg_temp.wrong();
UPDATE past_seen SET id = (SELECT max(id) FROM past_crm.segment_history);
-- it goes, and what names it must go first
SELECT lifecycle_drop_segment('past_crm', 'Active');
SELECT lifecycle_drop_segment('past_crm', 'Tools');
SELECT lifecycle_drop_segment('past_crm', 'Active');
DELETE FROM oracle.segment WHERE name IN ('Active', 'Tools');
SELECT * FROM pg_temp.wrong();

--
-- 7. A stage is renamed, or has another place
--
SELECT lifecycle_add_segment('past_crm', 'Leads', $$stage = 'Lead'$$);
INSERT INTO oracle.segment VALUES ('past_crm', 'Leads', 'SELECT id FROM past_crm.contacts WHERE stage = ''Lead''');
-- no move: history has the new name too, and nobody was told
SELECT lifecycle_alter_stage('past_crm', 'Lead', new_name => 'Prospect');
SELECT * FROM pg_temp.members();
SELECT id, stage FROM past_crm.contacts ORDER BY id;
SELECT DISTINCT to_stage FROM past_crm.stage_history WHERE contact IN (4, 5) ORDER BY 1;
SELECT * FROM pg_temp.wrong();
UPDATE oracle.segment SET query = replace(query, 'Lead', 'Prospect') WHERE name = 'Leads';
SELECT lifecycle_alter_segment('past_crm', 'Leads', predicate => $$stage = 'Prospect'$$);
SELECT * FROM pg_temp.wrong();
-- in another order, forward is another direction: nobody moves, but rules go by
-- it from now on
SELECT lifecycle_alter_stage('past_crm', 'Prospect', at_position => 7);
SELECT lifecycle_advance('past_crm', 5, 'Customer', 'test');
SELECT lifecycle_advance('past_crm', 5, 'Evangelist', 'test');
SELECT * FROM pg_temp.wrong();
SELECT lifecycle_drop('past_crm');
DROP TABLE past_seen;

--
-- 8. Keys that change with all that refers to them (ON UPDATE CASCADE), and events
-- at the ends of time
--
CREATE SCHEMA past_shop;
CREATE TABLE past_shop.firms (id int PRIMARY KEY, industry text);
CREATE TABLE past_shop.people (id int PRIMARY KEY, email text, company_id int REFERENCES past_shop.firms ON UPDATE CASCADE ON DELETE SET NULL);
CREATE TABLE past_shop.acts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, contact_id int REFERENCES past_shop.people ON UPDATE CASCADE ON DELETE CASCADE, name text, occurred_at timestamptz);
CREATE TABLE past_shop.deals (id int PRIMARY KEY, contact_id int REFERENCES past_shop.people ON UPDATE CASCADE ON DELETE CASCADE, pipeline text, stage text, amount numeric);
SELECT count(*) > 10 AS attached FROM lifecycle_attach('past_keys', 'past_shop.people', 'past_shop.acts', 'past_shop.firms', 'past_shop.deals',
	columns => '{"events": {"contact": "contact_id", "key": "id"}, "contacts": {"company": "company_id"}, "deals": {"contact": "contact_id"}}');
SELECT lifecycle_set('past_keys', 'clock', 'tick');
SELECT contacts FROM lifecycle_tick('past_keys', '2024-01-10 00:00+00');
SELECT lifecycle_add_segment('past_keys', 'Did', $$did('A')$$, stage => 'Lead');
SELECT lifecycle_add_segment('past_keys', 'Recent', $$did('A', within => '3 days')$$);
SELECT lifecycle_add_segment('past_keys', 'Tools', $$company.industry = 'Tools'$$);
SELECT lifecycle_add_segment('past_keys', 'Dealing', $$open_deals() > 0$$);
CREATE VIEW past_members AS SELECT segment, string_agg(contact::text, ' ' ORDER BY contact) AS contacts FROM past_keys.segment_member GROUP BY 1 ORDER BY 1;
INSERT INTO past_shop.firms VALUES (1, 'Tools'), (2, 'Food');
INSERT INTO past_shop.people (id, email, company_id) VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', NULL);
INSERT INTO past_shop.acts (contact_id, name, occurred_at) VALUES (1, 'A', '2024-01-09 00:00+00'), (2, 'A', 'infinity'), (3, 'A', '-infinity');
INSERT INTO past_shop.deals (id, contact_id, pipeline, stage) VALUES (1, 1, 'Sales', 'Contract sent');
SELECT * FROM past_members;
SELECT contact, due FROM past_keys.timer ORDER BY 1;
UPDATE past_shop.people SET id = 10 WHERE id = 1;
UPDATE past_shop.firms SET id = 5 WHERE id = 1;
SELECT * FROM past_members;
SELECT * FROM lifecycle_verify('past_keys');
UPDATE past_shop.people SET id = id + 100;
SELECT * FROM past_members;
SELECT id, stage FROM past_shop.people ORDER BY id;
SELECT * FROM lifecycle_verify('past_keys');
DELETE FROM past_shop.people WHERE id = 110;
SELECT * FROM past_members;
SELECT contacts FROM lifecycle_tick('past_keys', '2124-01-01 00:00+00');
SELECT * FROM past_members;
SELECT * FROM lifecycle_verify('past_keys');
DROP VIEW past_members;
SELECT lifecycle_drop('past_keys');
SET client_min_messages = warning;
DROP SCHEMA past_shop CASCADE;
DROP SCHEMA oracle CASCADE;
