--
-- Stages: forward by automation, any way on purpose, and what a plain UPDATE
-- may do.
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

SELECT lifecycle_create('stage_crm');
SELECT lifecycle_set('stage_crm', 'clock', 'tick');
SELECT lifecycle_tick('stage_crm', '2024-01-01 00:00+00');
CREATE VIEW stage_now AS SELECT id, stage FROM stage_crm.contacts ORDER BY id;

--
-- 1. Plain INSERT, UPDATE and COPY: checked, and brought to the names' spelling
--
INSERT INTO stage_crm.companies (id, name) VALUES (1, 'One'), (2, 'Two');
INSERT INTO stage_crm.contacts (id, company_id, stage) VALUES (1, 1, 'lead'), (2, 1, 'EVANGELIST'), (3, 2, NULL);
COPY stage_crm.contacts (id, company_id, stage, lead_status) FROM stdin;
4	2	 mql	open deal
5	\N	other	\N
6	\N	\N	\N
\.
SELECT id, stage, lead_status FROM stage_crm.contacts ORDER BY id;
SELECT id, stage FROM stage_crm.companies ORDER BY id;
UPDATE stage_crm.contacts SET stage = 'sQl' WHERE id = 4;
SELECT * FROM stage_now WHERE id = 4;
-- what is no stage is refused, on every path, and nothing of the statement stays
INSERT INTO stage_crm.contacts (id, stage) VALUES (7, 'Lead'), (8, 'Custommer');
UPDATE stage_crm.contacts SET stage = 'Leed';
UPDATE stage_crm.contacts SET stage = '' WHERE id = 1;
UPDATE stage_crm.companies SET stage = 'Big' WHERE id = 1;
COPY stage_crm.contacts (id, stage) FROM stdin;
7	Opportunities
\.
INSERT INTO stage_crm.contacts (id, stage) VALUES (1, 'Nothing') ON CONFLICT (id) DO UPDATE SET stage = excluded.stage;
SELECT * FROM stage_now;
SELECT * FROM oracle.check('stage_crm', '2024-01-01 00:00+00');

--
-- 2. lifecycle_advance: forward only
--
SELECT lifecycle_advance('stage_crm', 1, 'mql', 'read the white paper');
SELECT lifecycle_advance('stage_crm', 1, 'MQL');	-- already there
SELECT lifecycle_advance('stage_crm', 1, 'Lead');	-- beyond
SELECT lifecycle_advance('stage_crm', 1, 'Customer');	-- skipping is fine
SELECT lifecycle_advance('stage_crm', 3, 'Subscriber');	-- from none
SELECT lifecycle_advance('stage_crm', 5, 'Customer');	-- Other is off the path: left alone
SELECT lifecycle_advance('stage_crm', 1, 'Other');
SELECT lifecycle_advance('stage_crm', 2, 'Opportunity', object => 'company');
SELECT lifecycle_advance('stage_crm', 2, 'Lead', object => 'company');
SELECT * FROM stage_now;
SELECT id, stage FROM stage_crm.companies ORDER BY id;
-- bad arguments
SELECT lifecycle_advance('stage_crn', 1, 'MQL');
SELECT lifecycle_advance('stage_crm', 1, 'MQK');
SELECT lifecycle_advance('stage_crm', 1, NULL);
SELECT lifecycle_advance(NULL, 1, 'MQL');
SELECT lifecycle_advance('stage_crm', NULL::bigint, 'MQL');
SELECT lifecycle_advance('stage_crm', 99, 'MQL');
SELECT lifecycle_advance('stage_crm', 'one', 'MQL');
SELECT lifecycle_advance('stage_crm', '00000000-0000-0000-0000-000000000001'::uuid, 'MQL');
SELECT lifecycle_advance('stage_crm', 1.5, 'MQL');
SELECT lifecycle_advance('stage_crm', 99, 'MQL', object => 'company');
SELECT lifecycle_advance('stage_crm', 1, 'MQL', object => 'compny');
-- a key may come in any form that says the same
SELECT lifecycle_advance('stage_crm', 1::smallint, 'MQL'), lifecycle_advance('stage_crm', '1', 'MQL'), lifecycle_advance('stage_crm', 1::numeric, 'MQL');

--
-- 3. lifecycle_set_stage: any way, on purpose
--
SELECT lifecycle_tick('stage_crm', '2024-01-11 00:00+00');
SELECT lifecycle_set_stage('stage_crm', 1, 'Lead', 'was a test order');
SELECT lifecycle_set_stage('stage_crm', 2, 'Other');
SELECT lifecycle_set_stage('stage_crm', 5, 'Lead');
SELECT lifecycle_set_stage('stage_crm', 4, NULL, 'unknown again');
SELECT lifecycle_set_stage('stage_crm', 1, 'lead');	-- no change, no history
SELECT lifecycle_set_stage('stage_crm', 2, 'subscriber', object => 'company');
SELECT lifecycle_set_stage('stage_crm', 1, 'Leed');
SELECT lifecycle_set_stage('stage_crm', 99, 'Lead');
SELECT * FROM stage_now;
SELECT id, stage FROM stage_crm.companies ORDER BY id;

--
-- 4. The history: who, from where, to where, when, why
--
SELECT object, contact, company, from_stage, to_stage, at, cause, rule, reason, role = current_user AS mine
FROM stage_crm.stage_history ORDER BY id;
CREATE ROLE regress_lifecycle_clerk;
GRANT USAGE ON SCHEMA stage_crm TO regress_lifecycle_clerk;
GRANT SELECT, UPDATE (stage) ON stage_crm.contacts TO regress_lifecycle_clerk;
SET ROLE regress_lifecycle_clerk;
UPDATE stage_crm.contacts SET stage = 'Subscriber' WHERE id = 6;
RESET ROLE;
SELECT contact, to_stage, cause, role FROM stage_crm.stage_history ORDER BY id DESC LIMIT 1;
DROP OWNED BY regress_lifecycle_clerk;
DROP ROLE regress_lifecycle_clerk;
-- time in stages: contact 1 was Customer for 10 days, and is Lead again
SELECT lifecycle_tick('stage_crm', '2024-01-21 12:00+00');
SELECT stage, entered_at, exited_at, latest_entered_at, cumulative_time_in
FROM stage_crm.stage_time WHERE object = 'contact' AND contact = 1 ORDER BY entered_at, stage;

--
-- 5. Automation is forward only, on every path
--
SELECT lifecycle_add_segment('stage_crm', 'Reader', $$did('Read')$$, stage => 'MQL');
SELECT lifecycle_add_segment('stage_crm', 'Finn', $$country = 'FI'$$, stage => 'Lead');
SELECT lifecycle_add_segment('stage_crm', 'Recent', $$did('Wrote', within => '2 days')$$, stage => 'SQL');
UPDATE stage_crm.contacts SET stage = 'Customer', company_id = NULL WHERE id = 1;
UPDATE stage_crm.contacts SET stage = 'Subscriber' WHERE id = 3;
INSERT INTO stage_crm.contacts (id, stage, country) VALUES (10, 'Opportunity', 'FI'), (11, 'Subscriber', 'FI'), (12, 'Other', 'FI');
SELECT * FROM stage_now WHERE id >= 10;
UPDATE stage_crm.contacts SET country = 'FI';
INSERT INTO stage_crm.events (contact_id, name, occurred_at) SELECT id, 'Read', '2024-01-20' FROM stage_crm.contacts;
SELECT * FROM stage_now;
INSERT INTO stage_crm.events (contact_id, name, occurred_at) VALUES (1, 'Wrote', '2024-01-22'), (3, 'Wrote', '2024-01-22');
SELECT * FROM stage_now WHERE id IN (1, 3);
SELECT contacts, entered, "left", stages FROM lifecycle_tick('stage_crm', '2024-01-22 12:00+00');
SELECT * FROM stage_now WHERE id IN (1, 3);
-- leaving a segment takes nobody back
SELECT entered, "left", stages FROM lifecycle_tick('stage_crm', '2024-01-30 12:00+00');
SELECT contact FROM stage_crm.segment_member WHERE segment = 'Recent';
SELECT * FROM stage_now WHERE id IN (1, 3);
DELETE FROM stage_crm.events;
SELECT * FROM stage_now;
-- nor does the furthest contact of a company going back, or away
UPDATE stage_crm.contacts SET company_id = 1 WHERE id = 1;
SELECT id, stage FROM stage_crm.companies ORDER BY id;
SELECT lifecycle_set_stage('stage_crm', 1, 'Lead');
DELETE FROM stage_crm.contacts WHERE id = 1;
SELECT id, stage FROM stage_crm.companies ORDER BY id;
-- the setting company_stage off: companies keep their own
SELECT lifecycle_set('stage_crm', 'company_stage', 'off');
UPDATE stage_crm.contacts SET stage = 'Evangelist', company_id = 2 WHERE id = 3;
SELECT id, stage FROM stage_crm.companies ORDER BY id;
SELECT lifecycle_set('stage_crm', 'company_stage', 'furthest');
UPDATE stage_crm.contacts SET company_id = 2 WHERE id = 10;
SELECT id, stage FROM stage_crm.companies ORDER BY id;

--
-- 6. What a person's plain UPDATE may do: the setting manual_stage
--
UPDATE stage_crm.contacts SET stage = 'MQL', company_id = NULL, country = NULL;
SELECT lifecycle_set('stage_crm', 'manual_stage', 'forward');
UPDATE stage_crm.contacts SET stage = 'SQL' WHERE id = 3;
UPDATE stage_crm.contacts SET stage = 'Lead' WHERE id = 3;
UPDATE stage_crm.contacts SET stage = NULL WHERE id = 3;
UPDATE stage_crm.contacts SET stage = 'sql', email = 'same@example.com' WHERE id = 3;
UPDATE stage_crm.contacts SET stage = 'Other' WHERE id = 3;
SELECT * FROM stage_now WHERE id = 3;
SELECT lifecycle_set_stage('stage_crm', 3, 'Lead', 'on purpose');
SELECT lifecycle_set('stage_crm', 'manual_stage', 'clear first');
UPDATE stage_crm.contacts SET stage = 'SQL' WHERE id = 3;
UPDATE stage_crm.contacts SET stage = 'Subscriber' WHERE id = 3;
UPDATE stage_crm.contacts SET stage = 'Other' WHERE id = 3;
UPDATE stage_crm.contacts SET stage = 'lead' WHERE id = 3;
UPDATE stage_crm.contacts SET stage = NULL WHERE id = 3;
UPDATE stage_crm.contacts SET stage = 'Lead' WHERE id = 3;
SELECT * FROM stage_now WHERE id = 3;
SELECT lifecycle_set('stage_crm', 'manual_stage', 'refuse');
UPDATE stage_crm.contacts SET stage = 'SQL' WHERE id = 3;
UPDATE stage_crm.contacts SET stage = NULL WHERE id = 3;
UPDATE stage_crm.contacts SET stage = 'Lead', first_name = 'Same' WHERE id = 3;
UPDATE stage_crm.companies SET stage = 'Customer' WHERE id = 2;
SELECT lifecycle_advance('stage_crm', 3, 'MQL');
INSERT INTO stage_crm.events (contact_id, name, occurred_at) VALUES (3, 'Meeting Booked', '2024-01-30 12:00');
SELECT * FROM stage_now WHERE id = 3;
INSERT INTO stage_crm.contacts (id, stage) VALUES (20, 'Lead');
SELECT lifecycle_set('stage_crm', 'manual_stage', 'allow');
UPDATE stage_crm.contacts SET stage = 'Lead' WHERE id = 3;
SELECT contact, from_stage, to_stage, cause, reason, rule FROM stage_crm.stage_history
WHERE contact = 3 AND at = '2024-01-30 12:00+00' ORDER BY id;
SELECT * FROM oracle.check('stage_crm', '2024-01-30 12:00+00');

--
-- 7. Other stages: add, rename, reorder, describe, drop
--
SELECT lifecycle_add_segment('stage_crm', 'Hot', $$stage = 'SQL' OR stage = 'Lead'$$);
SELECT lifecycle_add_stage('stage_crm', 'Trial', at_position => 3, description => 'Tries it.');
SELECT lifecycle_advance('stage_crm', 20, 'Trial');
SELECT contact FROM stage_crm.segment_member WHERE segment = 'Hot' ORDER BY 1;
-- a rename is no move: no history, no rules; a predicate that names the stage does not follow, and says so
SELECT count(*) AS before FROM stage_crm.stage_history \gset
SELECT lifecycle_alter_stage('stage_crm', 'Lead', new_name => 'Prospect');
SELECT count(*) - :before AS added FROM stage_crm.stage_history;
SELECT * FROM stage_now WHERE id IN (3, 20);
SELECT contact FROM stage_crm.segment_member WHERE segment = 'Hot' ORDER BY 1;
SELECT lifecycle_alter_segment('stage_crm', 'Hot', predicate => $$stage = 'SQL' OR stage = 'Prospect'$$);
SELECT name, args FROM stage_crm.rule WHERE args->>'stage' IN ('Lead', 'Prospect');
-- the order is what forward means
SELECT lifecycle_alter_stage('stage_crm', 'Trial', at_position => 1);
SELECT lifecycle_advance('stage_crm', 20, 'Subscriber');
SELECT name, position, description FROM stage_crm.stage WHERE on_path ORDER BY position LIMIT 3;
-- a stage in use is not dropped; one that is not, is, and history keeps its name
SELECT lifecycle_drop_stage('stage_crm', 'Subscriber');
SELECT lifecycle_drop_stage('stage_crm', 'Prospect');
SELECT lifecycle_drop_stage('stage_crm', 'Trial');
SELECT contact, from_stage, to_stage FROM stage_crm.stage_history WHERE 'Trial' IN (from_stage, to_stage) ORDER BY id;
UPDATE stage_crm.contacts SET stage = 'Trial' WHERE id = 20;
-- names in any script, with quotes
SELECT lifecycle_add_stage('stage_crm', 'It''s "hot" 🔥');
SELECT lifecycle_set_stage('stage_crm', 20, 'it''s "HOT" 🔥');
SELECT * FROM stage_now WHERE id = 20;
SELECT stage, contacts FROM stage_crm.funnel ORDER BY position;
SELECT * FROM oracle.check('stage_crm', '2024-01-30 12:00+00');
SELECT count(*) FROM stage_crm.problem;

DROP VIEW stage_now;
SELECT lifecycle_drop('stage_crm');
SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
