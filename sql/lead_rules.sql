--
-- Lead statuses kept by rules: first touch, connected, bad timing until a
-- date, unqualified with the reason, open deal.
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

SELECT lifecycle_create('leads');
SELECT lifecycle_set('leads', 'clock', 'tick');
SELECT lifecycle_set('leads', 'time_zone', 'Europe/Helsinki');
SELECT lifecycle_tick('leads', '2024-01-10 08:00+00');
SELECT lifecycle_add_owner('leads', 'Ann');
SELECT lifecycle_add_lead_status_rules('leads');
SELECT name, on_, of, condition, action, args FROM leads.rule WHERE name LIKE 'Lead status:%' ORDER BY position;
SELECT name, predicate FROM leads.segment;
INSERT INTO oracle.segment (model, name, query) VALUES ('leads', 'Time to come back',
	$$SELECT id FROM leads.contacts WHERE lead_status = 'Bad timing' AND come_back_at <= $1 AND come_back_at > $1 - interval '100 years'$$);

--
-- 1. New, attempted, connected
--
INSERT INTO leads.contacts (id, email) VALUES (1, 'a@example.com'), (2, 'b@example.com'), (3, 'c@example.com'), (4, 'd@example.com');
SELECT count(lifecycle_advance('leads', id, 'SQL')) FROM leads.contacts;
SELECT DISTINCT stage, lead_status FROM leads.contacts;
INSERT INTO leads.events (contact_id, name, occurred_at) VALUES (1, 'Contact Attempted', '2024-01-10'), (2, 'Contact Attempted', '2024-01-10');
INSERT INTO leads.events (contact_id, name, occurred_at) VALUES (2, 'Contact Connected', '2024-01-10');
-- an attempt after that changes nothing
INSERT INTO leads.events (contact_id, name, occurred_at) VALUES (2, 'Contact Attempted', '2024-01-10');
SELECT id, lead_status FROM leads.contacts ORDER BY id;

--
-- 2. Unqualified, with the reason
--
INSERT INTO leads.events (contact_id, name, occurred_at, properties) VALUES (3, 'Not A Fit', '2024-01-10', '{"reason": "student"}');
SELECT to_status, cause, rule, reason, event FROM leads.lead_status_history WHERE contact = 3 ORDER BY id;

--
-- 3. Bad timing, until a day that the event names; the tick brings it back at
-- that day's beginning in the model's time zone
--
INSERT INTO leads.events (contact_id, name, occurred_at, properties) VALUES
	(1, 'Bad Timing', '2024-01-10', '{"reason": "budget is spent", "until": "2024-03-01"}'),
	(2, 'Bad Timing', '2024-01-10', '{"until": "in spring"}');
SELECT id, lead_status, come_back_at FROM leads.contacts ORDER BY id;
SELECT rule, contact, event, sqlstate, message FROM leads.problem;
SELECT contact, due FROM leads.contact_state WHERE due IS NOT NULL;
SELECT lifecycle_tick('leads', '2024-02-29 21:59:59.999999+00');
SELECT id, lead_status FROM leads.contacts WHERE id = 1;
SELECT * FROM oracle.check('leads', '2024-02-29 21:59:59.999999+00');
SELECT lifecycle_tick('leads', '2024-02-29 22:00+00');
SELECT id, lead_status FROM leads.contacts WHERE id = 1;
SELECT from_status, to_status, at, cause, rule, reason FROM leads.lead_status_history WHERE contact = 1 ORDER BY id;
SELECT title, contact, owner, due_at, status, cause FROM leads.task;
SELECT * FROM oracle.check('leads', '2024-02-29 22:00+00');
-- by hand, and again; the date may be moved, also to one that is over
UPDATE leads.contacts SET lead_status = 'Bad timing', come_back_at = '2024-05-01' WHERE id IN (1, 2);
UPDATE leads.contacts SET come_back_at = '2024-04-01' WHERE id = 2;
SELECT lifecycle_tick('leads', '2024-04-15 00:00+00');
SELECT id, lead_status FROM leads.contacts WHERE id IN (1, 2) ORDER BY id;
UPDATE leads.contacts SET come_back_at = '2024-04-14' WHERE id = 1;
SELECT id, lead_status FROM leads.contacts WHERE id = 1;
SELECT contact, count(*) FROM leads.task GROUP BY 1 ORDER BY 1;
SELECT * FROM oracle.check('leads', '2024-04-15 00:00+00');

--
-- 4. Open deal
--
INSERT INTO leads.deals (contact_id, stage) VALUES (2, 'Qualified to buy'), (4, 'Closed lost');
SELECT id, stage, lead_status FROM leads.contacts WHERE id IN (2, 4) ORDER BY id;

--
-- 5. Which stages carry a status
--
SELECT lifecycle_alter_stage('leads', 'Opportunity', carries_status => false);
SELECT id, stage, lead_status FROM leads.contacts ORDER BY id;
-- by a rule, a plain UPDATE, or the function
SELECT lifecycle_alter_stage('leads', 'Customer', carries_status => false);
SELECT lifecycle_alter_stage('leads', 'Lead', carries_status => false);
UPDATE leads.contacts SET lead_status = 'Connected' WHERE id = 2;
SELECT lifecycle_set_lead_status('leads', 2, 'Connected');
INSERT INTO leads.events (contact_id, name, occurred_at) VALUES (2, 'Contact Connected', '2024-04-15'), (4, 'Not A Fit', '2024-04-15');
INSERT INTO leads.contacts (id, stage, lead_status) VALUES (5, 'Lead', 'New');
INSERT INTO leads.contacts (id, stage, lead_status) VALUES (5, 'MQL', 'New');
INSERT INTO leads.contacts (id, stage, lead_status) VALUES (6, NULL, 'New');
UPDATE leads.contacts SET stage = 'Lead' WHERE id IN (5, 6);
UPDATE leads.deals SET stage = 'Closed won' WHERE contact_id = 4;
SELECT id, stage, lead_status FROM leads.contacts ORDER BY id;
SELECT name, carries_status FROM leads.stage ORDER BY position;
SELECT contact, from_status, to_status, cause FROM leads.lead_status_history WHERE to_status IS NULL ORDER BY id;
SELECT lifecycle_alter_stage('leads', 'Lead', carries_status => true);
UPDATE leads.contacts SET lead_status = 'new' WHERE id = 5;
SELECT lifecycle_add_stage('leads', 'Trial', carries_status => false);
SELECT * FROM oracle.check('leads', '2024-04-15 00:00+00');
SELECT lifecycle_add_lead_status_rules('leads');

--
-- 6. What a model lacks is left out
--
SELECT lifecycle_create('leads_encharge', 'encharge');
SELECT lifecycle_add_lead_status_rules('leads_encharge', attempted => 'Call Logged', unqualified => NULL);
SELECT name, on_, of, args FROM leads_encharge.rule WHERE name LIKE 'Lead status:%' ORDER BY position;
SELECT lifecycle_create('leads_empty', 'empty');
SELECT lifecycle_add_lead_status_rules('leads_empty', new_at => NULL);
SELECT count(*) FROM leads_empty.rule;
SELECT lifecycle_drop(m) FROM unnest('{leads,leads_encharge,leads_empty}'::text[]) m;
SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
