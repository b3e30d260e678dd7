--
-- Lead statuses: the sub-stage within SQL.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\set oracle :abs_srcdir '/test/oracle/oracle.sql'
\set ECHO none
\i :oracle
\set ECHO all

SELECT lifecycle_create('status_crm', 'encharge');
SELECT lifecycle_set('status_crm', 'clock', 'tick');
SELECT lifecycle_tick('status_crm', '2024-01-01 00:00+00');
SELECT name, position FROM status_crm.lead_status ORDER BY position;

--
-- 1. Plain INSERT, UPDATE and COPY: checked, and brought to the names' spelling
--
INSERT INTO status_crm.companies (id, name, lead_status) VALUES (1, 'One', 'CONNECTED');
INSERT INTO status_crm.contacts (id, company_id, lead_status) VALUES (1, 1, 'bad TIMING'), (2, 1, NULL);
COPY status_crm.contacts (id, lead_status) FROM stdin;
3	in progress
\.
UPDATE status_crm.contacts SET lead_status = ' attempted to contact ' WHERE id = 2;
SELECT id, lead_status FROM status_crm.contacts ORDER BY id;
SELECT id, lead_status FROM status_crm.companies;
INSERT INTO status_crm.contacts (id, lead_status) VALUES (4, 'Conected');
UPDATE status_crm.contacts SET lead_status = 'New';
UPDATE status_crm.companies SET lead_status = '';
COPY status_crm.contacts (id, lead_status) FROM stdin;
4	Unknown
\.
SELECT count(*) FROM status_crm.contacts;

--
-- 2. lifecycle_set_lead_status: any of them, in any order, with the reason
--
SELECT lifecycle_set_lead_status('status_crm', 1, 'unqualified', 'student');
SELECT lifecycle_set_lead_status('status_crm', 1, 'Unqualified', 'no change, no history');
SELECT lifecycle_set_lead_status('status_crm', 3, NULL);
SELECT lifecycle_set_lead_status('status_crm', 1, 'bad timing', object => 'company');
SELECT lifecycle_set_lead_status('status_crm', 1, 'Conected');
SELECT lifecycle_set_lead_status('status_crm', 99, 'Connected');
SELECT lifecycle_set_lead_status('status_crm', NULL::bigint, 'Connected');
SELECT lifecycle_set_lead_status('status_crm', 'x', 'Connected');
SELECT lifecycle_set_lead_status('status_cmr', 1, 'Connected');
SELECT lifecycle_set_lead_status('status_crm', 1, 'Connected', object => 'deal');
SELECT id, stage, lead_status FROM status_crm.contacts ORDER BY id;
SELECT id, stage, lead_status FROM status_crm.companies;

--
-- 3. By rules: not a fit means Unqualified
--
SELECT lifecycle_add_rule('status_crm', 'Not a fit', 'event', 'set lead status', '{"status": "unqualified"}', of => 'Not A Fit');
SELECT lifecycle_add_rule('status_crm', 'Lost', 'deal lost', 'set lead status', '{"status": "bad timing"}');
INSERT INTO status_crm.events (contact_id, name, occurred_at) VALUES (2, 'Not A Fit', '2024-01-01'), (3, 'Meeting Booked', '2024-01-01');
SELECT id, stage, lead_status FROM status_crm.contacts ORDER BY id;
UPDATE status_crm.deals SET stage = 'Closed lost' WHERE contact_id = 3;
SELECT id, stage, lead_status FROM status_crm.contacts ORDER BY id;
-- the setting manual_stage is about stages only
SELECT lifecycle_set('status_crm', 'manual_stage', 'refuse');
UPDATE status_crm.contacts SET lead_status = 'Connected' WHERE id = 2;

--
-- 4. The history
--
SELECT object, contact, company, from_status, to_status, at, event, cause, rule, reason, role = current_user AS mine
FROM status_crm.lead_status_history ORDER BY id;
SELECT lead_status, contacts, companies FROM status_crm.lead_status_board ORDER BY position;
SELECT * FROM oracle.check('status_crm', '2024-01-01 00:00+00');

--
-- 5. Add, rename, reorder, describe, drop
--
SELECT lifecycle_add_segment('status_crm', 'Talking', $$lead_status IN ('Connected', 'In progress')$$);
SELECT lifecycle_add_lead_status('status_crm', 'Later', at_position => 1, description => 'Call in half a year.');
SELECT lifecycle_set_lead_status('status_crm', 3, 'LATER');
SELECT lifecycle_alter_lead_status('status_crm', 'later', new_name => 'Next year', at_position => 6, description => '');
SELECT lifecycle_alter_lead_status('status_crm', 'Connected', new_name => 'Reached');
SELECT name, position, description FROM status_crm.lead_status ORDER BY position;
SELECT id, lead_status FROM status_crm.contacts ORDER BY id;
SELECT contact FROM status_crm.segment_member WHERE segment = 'Talking';
SELECT contact, from_status, to_status FROM status_crm.lead_status_history WHERE to_status IN ('Later', 'Next year', 'Connected', 'Reached') ORDER BY id;
SELECT lifecycle_drop_lead_status('status_crm', 'Next year');
SELECT lifecycle_drop_lead_status('status_crm', 'In progress');
SELECT lifecycle_drop_lead_status('status_crm', 'Attempted');
SELECT lifecycle_set_lead_status('status_crm', 3, NULL);
SELECT lifecycle_drop_lead_status('status_crm', 'Next year');
SELECT lifecycle_add_lead_status('status_crm', 'REACHED');
SELECT lifecycle_add_lead_status('status_crm', repeat('long ', 13) || 'x');
SELECT lifecycle_alter_lead_status('status_crm', 'Reached', new_name => 'Bad timing');
SELECT lifecycle_alter_lead_status('status_crm', 'Reached', at_position => 0);
SELECT * FROM oracle.check('status_crm', '2024-01-01 00:00+00');
SELECT lifecycle_drop('status_crm');
SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
