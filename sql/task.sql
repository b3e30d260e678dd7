--
-- Tasks and owners: made by rules, closed when the deal or the contact moves on.
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
\set views :abs_srcdir '/test/oracle/views.sql'
\set ECHO none
\i :oracle
\i :views
\set ECHO all

SELECT lifecycle_create('desk');
SELECT lifecycle_set('desk', 'clock', 'tick');
SELECT lifecycle_set('desk', 'time_zone', 'Europe/Helsinki');
SELECT lifecycle_tick('desk', '2024-03-29 12:00+00');
INSERT INTO desk.companies (id, name, owner) VALUES (1, 'One', 'Cem'), (2, 'Two', NULL);
INSERT INTO desk.contacts (id, email, company_id, owner) VALUES
	(1, 'a@example.com', 1, NULL), (2, 'b@example.com', 1, 'Ann'), (3, 'c@example.com', 2, NULL), (4, 'd@example.com', NULL, NULL);

--
-- 1. Owners
--
SELECT lifecycle_add_owner('desk', 'Bo');
SELECT lifecycle_add_owner('desk', 'Ann', at_position => 1);
SELECT lifecycle_add_owner('desk', 'Cem', active => false, description => 'On leave.');
SELECT * FROM desk.owner ORDER BY position;
SELECT lifecycle_add_owner('desk', 'ann');
SELECT lifecycle_alter_owner('desk', 'Boo', active => false);

--
-- 2. Made by a stage of a pipeline, a lifecycle stage, and an event
--
SELECT lifecycle_add_rule('desk', 'Send the contract', 'deal stage entered', 'create task',
	'{"title": "''Send the contract for '' || deal.name", "note": "deal.amount", "due": "2 days", "owner": "deal.owner", "else": "round robin"}',
	of => 'contract sent');
SELECT lifecycle_add_rule('desk', 'Onboard', 'stage entered', 'create task',
	'{"title": "''Welcome '' || email", "due": "1 week", "owner": "coalesce(owner, company.owner)", "becomes": "done"}', of => 'Customer');
SELECT lifecycle_add_rule('desk', 'Answer', 'event', 'create task',
	'{"title": "event.properties ->> ''subject''", "due": "4 hours", "owner": "round robin"}', of => 'Ticket Opened');
SELECT name, on_, of, args FROM desk.rule WHERE action = 'create task' ORDER BY position;

INSERT INTO desk.deals (id, name, contact_id, company_id, amount) VALUES (1, 'Mill', 1, 1, 500), (2, 'Mine', 2, 1, NULL);
SELECT count(*) FROM desk.task;
UPDATE desk.deals SET stage = 'Contract sent';
-- due: one day of the model's time zone is not always 24 hours
SELECT id, title, note, contact, company, deal, owner, due_at, status, created_at, until, becomes, cause, rule FROM desk.task ORDER BY id;
-- on again: the deal left the stage
UPDATE desk.deals SET stage = 'Closed won' WHERE id = 1;
SELECT id, title, contact, deal, owner, due_at, status, closed_at, reason FROM desk.task ORDER BY id;
-- back to the stage: a new task
UPDATE desk.deals SET stage = 'Contract sent' WHERE id = 1;
SELECT id, title, deal, status, reason FROM desk.task WHERE deal = 1 ORDER BY id;
-- the contact's stage changes: what is until then becomes what the rule says
SELECT lifecycle_set_stage('desk', 1, 'Evangelist');
SELECT id, title, contact, status, closed_at, reason FROM desk.task WHERE rule = 'Onboard' ORDER BY id;
-- events: round robin, also within a statement
INSERT INTO desk.events (contact_id, name, occurred_at, properties)
	SELECT 1 + i % 4, 'Ticket Opened', '2024-03-29 11:00+00', jsonb_build_object('subject', 'Ticket ' || i) FROM generate_series(1, 6) i;
SELECT owner, count(*) FROM desk.task WHERE rule = 'Answer' GROUP BY 1 ORDER BY 1;
INSERT INTO desk.events (contact_id, name, occurred_at) VALUES (1, 'Ticket Opened', '2024-03-29 11:30+00');
SELECT title, owner, cause, event, event_at, until FROM desk.task WHERE rule = 'Answer' ORDER BY id DESC LIMIT 1;

--
-- 3. Done, cancelled, overdue
--
SELECT lifecycle_tick('desk', '2024-03-29 17:00+00') IS NOT NULL AS ticked;
SELECT task, title, owner, contact, due_at, days_overdue FROM desk.task_overdue ORDER BY task;
SELECT lifecycle_complete_task('desk', 5, 'called');
SELECT lifecycle_complete_task('desk', 5);
SELECT lifecycle_cancel_task('desk', 5);
SELECT lifecycle_cancel_task('desk', 6, 'spam');
SELECT id, status, closed_at, reason FROM desk.task WHERE id IN (5, 6) ORDER BY id;
SELECT lifecycle_complete_task('desk', 999);
SELECT lifecycle_complete_task('desk', NULL);
UPDATE desk.task SET status = 'dnoe' WHERE id = 7;
UPDATE desk.task SET status = 'done' WHERE id = 7 RETURNING title, status, closed_at;
-- the view against plain SQL
SELECT task FROM desk.task_overdue EXCEPT SELECT id FROM desk.task WHERE status = 'open' AND due_at < '2024-03-29 17:00+00';
SELECT id FROM desk.task WHERE status = 'open' AND due_at < '2024-03-29 17:00+00' EXCEPT SELECT task FROM desk.task_overdue;

--
-- 4. By hand
--
SELECT lifecycle_add_task('desk', 3, 'Call back', owner => 'Bo', due_at => '2024-04-02 09:00+00', note => 'asked for prices') AS task;
SELECT lifecycle_add_task('desk', 2, 'Check the price', object => 'deal') AS task;
SELECT lifecycle_add_task('desk', 2, 'Visit', object => 'company') AS task;
SELECT id, title, note, contact, company, deal, owner, due_at, created_at, until, cause FROM desk.task ORDER BY id DESC LIMIT 3;
-- about nobody
SELECT lifecycle_add_task('desk', 77, 'Call back');
SELECT lifecycle_add_task('desk', 'x', 'Call back');
SELECT lifecycle_add_task('desk', 1, NULL);
SELECT lifecycle_add_task('desk', 1, 'Call back', object => 'event');

--
-- 5. Who owns deals
--
SELECT lifecycle_add_rule('desk', 'Assign deals', 'deal created', 'assign owner', '{"owner": "coalesce(owner, company.owner)", "else": "round robin"}');
SELECT lifecycle_add_rule('desk', 'First call', 'deal created', 'create task', '{"title": "''Call'' || coalesce('' '' || email, '''')", "until": "deal closes"}');
-- of contact 2 by column; Cem of company 1 is on leave, so the others take turns
INSERT INTO desk.contacts (id, company_id, owner) VALUES (5, 1, NULL), (6, 2, NULL), (7, NULL, 'Dee');
INSERT INTO desk.deals (id, contact_id, company_id) VALUES (11, 3, 2), (12, 4, NULL), (15, 5, 1), (16, 6, 2), (17, 7, NULL);
INSERT INTO desk.deals (id, contact_id, owner, name) VALUES (18, NULL, 'Zoe', 'Given'), (19, NULL, NULL, 'No contact');
SELECT d.id, d.contact_id, d.owner, t.owner AS task_owner, t.title FROM desk.deals d JOIN desk.task t ON t.deal = d.id AND t.rule = 'First call' ORDER BY d.id;
-- the turns are a sequence's, which a rollback does not take back
BEGIN;
INSERT INTO desk.deals (id, name) VALUES (20, 'Rolled back');
ROLLBACK;
INSERT INTO desk.deals (id, name) VALUES (21, 'After');
SELECT owner FROM desk.deals WHERE id = 21;
-- nobody to take a turn
SELECT lifecycle_alter_owner('desk', 'Ann', active => false);
SELECT lifecycle_alter_owner('desk', 'Bo', active => false);
INSERT INTO desk.deals (id, name) VALUES (22, 'Nobody');
SELECT owner FROM desk.deals WHERE id = 22;
SELECT lifecycle_alter_owner('desk', 'Bo', active => true);

--
-- 6. What fails is a problem, and loses nothing
--
SELECT lifecycle_add_rule('desk', 'Bad owner', 'deal created', 'create task', '{"title": "''Divide''", "owner": "(1 / (id - id))::text", "else": "round robin"}');
SELECT lifecycle_add_rule('desk', 'Bad title', 'deal created', 'create task', '{"title": "(1 / (id - id))::text"}');
SELECT lifecycle_add_rule('desk', 'Too late', 'deal created', 'create task', '{"title": "''Late''", "due": "293000 years"}');
UPDATE desk.deals SET stage = 'Closed lost' WHERE contact_id = 7;
INSERT INTO desk.deals (id, contact_id, name) VALUES (23, 7, 'Fails');
SELECT id, is_open FROM desk.deals WHERE id = 23;
SELECT title, owner, deal FROM desk.task WHERE deal = 23 ORDER BY title;
SELECT rule, contact, sqlstate, message FROM desk.problem ORDER BY id;
DELETE FROM desk.problem;
SELECT lifecycle_drop_rule('desk', r) FROM unnest('{Bad owner,Bad title,Too late}'::text[]) r;
-- a contact that is gone when its task is to be made
CREATE FUNCTION pg_temp.delete_contact() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM desk.contacts WHERE id = NEW.id; RETURN NULL; END $$;
CREATE TRIGGER delete_it AFTER UPDATE ON desk.contacts FOR EACH ROW WHEN (NEW.stage = 'Evangelist') EXECUTE FUNCTION pg_temp.delete_contact();
SELECT lifecycle_add_rule('desk', 'Doomed', 'event', 'set stage', '{"stage": "Evangelist"}', of => 'Doom');
SELECT lifecycle_add_rule('desk', 'Task of the doomed', 'event', 'create task', '{"title": "''Too late''"}', of => 'Doom');
INSERT INTO desk.contacts (id, email) VALUES (50, 'gone@example.com');
INSERT INTO desk.events (contact_id, name, occurred_at) VALUES (50, 'Doom', '2024-03-29');
SELECT count(*) AS events, (SELECT count(*) FROM desk.task WHERE contact = 50) AS tasks FROM desk.events WHERE name = 'Doom';
SELECT rule, contact, sqlstate, message FROM desk.problem ORDER BY id;
DROP TRIGGER delete_it ON desk.contacts;
-- rules that cannot be
SELECT lifecycle_add_rule('desk', 'x', 'deal created', 'create task', '{"title": "''x''", "due": "soon"}');
SELECT lifecycle_add_rule('desk', 'x', 'event', 'create task', '{"title": "''x''", "until": "deal moves"}', of => 'Y');
SELECT lifecycle_add_rule('desk', 'x', 'deal created', 'create task', '{"title": "''x''", "becomes": "open"}');
SELECT lifecycle_add_rule('desk', 'x', 'deal created', 'create task', '{"title": "''x''", "else": "anybody"}');
SELECT lifecycle_add_rule('desk', 'x', 'deal created', 'create task', '{"title": "nobody"}');
SELECT lifecycle_add_rule('desk', 'x', 'deal created', 'create task');
SELECT lifecycle_add_rule('desk', 'x', 'event', 'assign owner', '{"owner": "owner"}', of => 'Y');
SELECT lifecycle_add_rule('desk', 'x', 'deal created', 'assign owner');
SELECT lifecycle_add_rule('desk', 'x', 'deal stage entered', 'notify', of => 'Contract snet');

--
-- 7. What a task is about goes
--
INSERT INTO desk.contacts (id, email) VALUES (60, 'h@example.com'), (61, 'i@example.com');
INSERT INTO desk.deals (id, contact_id, name) VALUES (60, 60, 'Goes'), (61, 61, 'Goes too');
DELETE FROM desk.deals WHERE id = 60;
SELECT lifecycle_add_task('desk', 60, 'By hand') > 0 AS made;
DELETE FROM desk.contacts WHERE id = 60;
UPDATE desk.deals SET contact_id = NULL WHERE id = 61;
DELETE FROM desk.contacts WHERE id = 61;
SELECT contact, deal, title, status, reason FROM desk.task WHERE contact IN (60, 61) ORDER BY id;
SELECT id, status FROM desk.task WHERE company = 2 AND title = 'Visit';
UPDATE desk.contacts SET company_id = NULL WHERE company_id = 2;
UPDATE desk.deals SET company_id = NULL WHERE company_id = 2;
DELETE FROM desk.companies WHERE id = 2;
SELECT title, status, reason FROM desk.task WHERE company = 2 AND contact IS NULL;

--
-- 8. Names change
--
SELECT lifecycle_alter_deal_stage('desk', 'Sales', 'Contract sent', new_name => 'Contract out');
SELECT lifecycle_alter_pipeline('desk', 'Sales', new_name => 'New business');
SELECT of FROM desk.rule WHERE name = 'Send the contract';
SELECT lifecycle_drop_deal_stage('desk', 'New business', 'Contract out');
SELECT lifecycle_alter_owner('desk', 'Bo', new_name => 'Bob');
SELECT (SELECT count(*) FROM desk.task WHERE owner = 'Bo') AS old_name, (SELECT count(*) > 0 FROM desk.task WHERE owner = 'Bob') AS new_name;
SELECT lifecycle_drop_owner('desk', 'Bob');
SELECT lifecycle_drop_owner('desk', 'Cem');
SELECT c.relname = 'turn_' || r.id AS turns_of, r.name FROM pg_class c JOIN desk.rule r ON r.args ->> 'else' = 'round robin'
	AND c.relname = 'turn_' || r.id WHERE c.relnamespace = 'desk'::regnamespace AND c.relkind = 'S' ORDER BY r.name;
SELECT lifecycle_drop_rule('desk', 'Answer');
SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'desk'::regnamespace AND c.relname ~ '^turn_';

--
-- 9. Against plain SQL: one open task for each deal in the stage, none elsewhere
--
DELETE FROM desk.task;
SELECT lifecycle_add_pipeline('desk', 'Renewals');
SELECT lifecycle_add_deal_stage('desk', 'Renewals', 'Contract out', 50);
SELECT lifecycle_add_deal_stage('desk', 'Renewals', 'Renewed', kind => 'won');
INSERT INTO desk.contacts (id) SELECT 1000 + i FROM generate_series(1, 60) i;
INSERT INTO desk.deals (id, contact_id, pipeline) SELECT 1000 + i, 1000 + i, CASE WHEN i % 3 = 0 THEN 'Renewals' END FROM generate_series(1, 60) i;
SELECT setseed(0.5);
DO $$
DECLARE
	step integer;
BEGIN
	FOR step IN 1..40 LOOP
		UPDATE desk.deals d SET pipeline = s.pipeline, stage = s.name
		FROM (SELECT d2.id, (SELECT array_agg(s ORDER BY random()) FROM desk.deal_stage s WHERE d2.id > 0) AS stages
			  FROM desk.deals d2 WHERE d2.id > 1000 AND random() < 0.2) x
		CROSS JOIN LATERAL (SELECT (x.stages[1]).pipeline, (x.stages[1]).name) s
		WHERE d.id = x.id;
		IF step % 10 = 0 THEN
			DELETE FROM desk.deals WHERE id = 1000 + step;
		END IF;
	END LOOP;
END $$;
SELECT deal FROM desk.task WHERE rule = 'Send the contract' AND status = 'open'
	EXCEPT ALL SELECT id FROM desk.deals WHERE id > 1000 AND pipeline = 'New business' AND stage = 'Contract out';
SELECT id FROM desk.deals WHERE id > 1000 AND pipeline = 'New business' AND stage = 'Contract out'
	EXCEPT ALL SELECT deal FROM desk.task WHERE rule = 'Send the contract' AND status = 'open';
-- as many as the history has entries
SELECT (SELECT count(*) FROM desk.task WHERE rule = 'Send the contract')
	= (SELECT count(*) FROM desk.deal_history h WHERE h.deal > 1000 AND h.pipeline = 'New business' AND h.to_stage = 'Contract out') AS all_made,
	(SELECT count(*) > 20 FROM desk.task WHERE rule = 'Send the contract') AS many;
SELECT deal FROM desk.task WHERE rule = 'First call' AND status = 'open' AND deal NOT IN (SELECT id FROM desk.deals WHERE is_open);
SELECT * FROM oracle.check('desk', '2024-03-29 17:00+00');
-- and what is overdue a week later, with all other views
SELECT lifecycle_tick('desk', '2024-04-05 17:00+00') IS NOT NULL AS ticked;
SELECT count(*) > 3 AS overdue FROM desk.task_overdue;
-- a trigger deleted contact 50 in the midst of its own move: first it moved
SELECT from_stage, to_stage, cause FROM desk.stage_history WHERE contact = 50 ORDER BY id;
SELECT * FROM oracle.check_views('desk', '2024-04-05 17:00+00');
TRUNCATE desk.deals;
SELECT DISTINCT status, reason FROM desk.task WHERE closed_at = '2024-04-05 17:00+00' AND reason LIKE '%deleted' ORDER BY 1, 2;
SELECT count(*) FROM desk.task WHERE deal IS NOT NULL AND status = 'open';
SELECT lifecycle_drop('desk');
SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
