--
-- Companies and their contacts: who follows whom.
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

SELECT lifecycle_create('firms');
SELECT lifecycle_set('firms', 'clock', 'tick');
SELECT lifecycle_tick('firms', '2024-01-01 00:00+00');
INSERT INTO firms.companies (id, name) VALUES (1, 'One'), (2, 'Two'), (3, 'Three');
INSERT INTO firms.contacts (id, company_id, stage) VALUES (1, 1, 'Customer'), (2, 1, 'Lead'), (3, 2, 'Subscriber'), (4, NULL, 'MQL');
SELECT id, stage FROM firms.companies ORDER BY id;

--
-- 1. furthest, as it is unless set: forward only.  The company that the
-- furthest contact leaves stays where it was, as does one whose contact goes
-- back; the one that a contact comes to follows.
--
UPDATE firms.contacts SET company_id = 2 WHERE id = 1;
SELECT id, stage FROM firms.companies ORDER BY id;
UPDATE firms.contacts SET stage = 'Lead' WHERE id = 1;
SELECT id, stage FROM firms.companies ORDER BY id;

--
-- 2. exact: companies are where the furthest of their contacts is, now and
-- after every change
--
SELECT lifecycle_set('firms', 'company_stage', 'exact');
SELECT id, stage FROM firms.companies ORDER BY id;
SELECT company, from_stage, to_stage, cause FROM firms.stage_history WHERE object = 'company' ORDER BY id;
-- forward, backward, to another company, to none, from none, deleted
UPDATE firms.contacts SET stage = 'SQL' WHERE id = 2;
UPDATE firms.contacts SET company_id = 3 WHERE id = 2;
SELECT id, stage FROM firms.companies ORDER BY id;
UPDATE firms.contacts SET company_id = NULL WHERE id = 1;
UPDATE firms.contacts SET company_id = 3 WHERE id = 4;
SELECT id, stage FROM firms.companies ORDER BY id;
SELECT * FROM oracle.check('firms', '2024-01-01 00:00+00');
DELETE FROM firms.contacts WHERE id = 2;
SELECT id, stage FROM firms.companies ORDER BY id;
-- the last one leaves: the company keeps its stage
DELETE FROM firms.contacts WHERE id = 4;
SELECT id, stage FROM firms.companies ORDER BY id;
-- a stage off the path counts for nothing, and a company there is left alone
UPDATE firms.contacts SET stage = 'Other' WHERE id = 3;
INSERT INTO firms.contacts (id, company_id, stage) VALUES (5, 3, 'Other'), (6, 2, 'Lead');
SELECT id, stage FROM firms.companies ORDER BY id;
SELECT lifecycle_set_stage('firms', 2, 'Other', object => 'company');
UPDATE firms.contacts SET stage = 'Customer' WHERE id = 6;
SELECT id, stage FROM firms.companies ORDER BY id;
SELECT lifecycle_set_stage('firms', 2, 'Lead', object => 'company');
UPDATE firms.contacts SET stage = 'MQL' WHERE id = 6;
SELECT id, stage FROM firms.companies ORDER BY id;
-- deals move the company by their contact
INSERT INTO firms.deals (contact_id, company_id) VALUES (6, 2);
SELECT id, stage FROM firms.companies ORDER BY id;
SELECT lifecycle_set_stage('firms', 6, 'Lead');
SELECT id, stage FROM firms.companies ORDER BY id;
SELECT * FROM oracle.check('firms', '2024-01-01 00:00+00');
-- random changes, many in a statement
SELECT setseed(0.3);
INSERT INTO firms.companies (id) SELECT 100 + i FROM generate_series(1, 10) i;
INSERT INTO firms.contacts (id, company_id, stage)
	SELECT 100 + i, 101 + i % 10, (SELECT array_agg(name ORDER BY position) FROM firms.stage)[1 + (i * 7) % 8] FROM generate_series(1, 60) i;
SELECT * FROM oracle.check('firms', '2024-01-01 00:00+00');
DO $$
DECLARE
	wrong bigint := 0;
BEGIN
	FOR step IN 1..30 LOOP
		UPDATE firms.contacts SET stage = (SELECT array_agg(name ORDER BY position) FROM firms.stage)[1 + (random() * 6.9)::int],
			company_id = CASE WHEN random() < 0.5 THEN company_id ELSE 101 + (random() * 9.9)::int % 10 END
		WHERE id > 100 AND random() < 0.3;
		DELETE FROM firms.contacts WHERE id = 100 + step * 2 AND step % 3 = 0;
		wrong := wrong + (SELECT count(*) FROM oracle.check('firms', '2024-01-01 00:00+00'));
	END LOOP;
	RAISE NOTICE '% rows wrong', wrong;
END $$;

--
-- 3. Contacts follow their company, forward only
--
SELECT lifecycle_set('firms', 'company_stage', 'furthest');
SELECT lifecycle_create('team');
INSERT INTO team.companies (id, name, stage) VALUES (1, 'One', 'MQL'), (2, 'Two', NULL);
INSERT INTO team.contacts (id, company_id, stage) VALUES (1, 1, 'Lead'), (2, 1, NULL), (3, 1, 'SQL'), (4, 1, 'Other'), (5, 2, 'Lead');
SELECT id, stage FROM team.contacts ORDER BY id;
-- those who are there follow when it is set
SELECT lifecycle_set('team', 'contact_stage', 'company');
SELECT id, stage FROM team.contacts ORDER BY id;
SELECT id, stage FROM team.companies ORDER BY id;
-- by hand, by a deal of one contact, by one contact
UPDATE team.companies SET stage = 'MQL' WHERE id = 2;
INSERT INTO team.deals (contact_id, company_id) VALUES (1, 1);
SELECT id, stage FROM team.contacts ORDER BY id;
SELECT contact, company, from_stage, to_stage, cause, rule FROM team.stage_history WHERE to_stage = 'Opportunity' ORDER BY contact, company;
SELECT lifecycle_advance('team', 5, 'Evangelist');
-- new ones, and those who come from elsewhere
INSERT INTO team.contacts (id, company_id, stage) VALUES (6, 2, NULL), (7, 2, 'Lead'), (8, NULL, 'Lead'), (9, 1, 'Customer');
SELECT id, company_id, stage FROM team.contacts ORDER BY id;
UPDATE team.contacts SET company_id = 2 WHERE id IN (1, 8);
SELECT id, company_id, stage FROM team.contacts ORDER BY id;
-- moved back by hand, a contact stays there until the company goes on
UPDATE team.contacts SET stage = 'Lead' WHERE id = 6;
UPDATE team.contacts SET email = 'f@example.com' WHERE id = 6;
SELECT id, stage FROM team.contacts WHERE id = 6;
-- with both, all of a company are where the furthest is
SELECT c.id FROM team.contacts c JOIN team.companies co ON co.id = c.company_id WHERE c.stage <> co.stage AND c.stage <> 'Other' AND c.id <> 6;
SELECT * FROM oracle.check('team', now());
SELECT lifecycle_set('team', 'contact_stage', 'follow');

--
-- 4. Another order of the stages: another stage may be the furthest
--
SELECT lifecycle_create('ranks');
SELECT lifecycle_set('ranks', 'company_stage', 'exact');
INSERT INTO ranks.companies (id, name) VALUES (1, 'One'), (2, 'Two');
INSERT INTO ranks.contacts (id, company_id, stage) VALUES (1, 1, 'MQL'), (2, 1, 'Opportunity'), (3, 2, 'SQL');
SELECT id, stage FROM ranks.companies ORDER BY id;
SELECT lifecycle_alter_stage('ranks', 'MQL', at_position => 5);
SELECT id, stage FROM ranks.companies ORDER BY id;
SELECT * FROM oracle.check('ranks', now());
SELECT lifecycle_alter_stage('ranks', 'MQL', at_position => 3);
SELECT id, stage FROM ranks.companies ORDER BY id;
SELECT lifecycle_alter_stage('ranks', 'Opportunity', on_path => false);
SELECT lifecycle_drop_rule('ranks', 'Deal created: advance to Opportunity');
SELECT lifecycle_alter_stage('ranks', 'Opportunity', on_path => false);
SELECT id, stage FROM ranks.companies ORDER BY id;
SELECT object, company, from_stage, to_stage, cause FROM ranks.stage_history WHERE object = 'company' ORDER BY id;

SELECT lifecycle_drop('firms');
SELECT lifecycle_drop('team');
SELECT lifecycle_drop('ranks');
SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
