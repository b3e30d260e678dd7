--
-- Every way to write to the tables: the state follows all of them.
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

SELECT lifecycle_create('dml_crm', 'hubspot');
SELECT lifecycle_set('dml_crm', 'clock', 'tick');
SELECT lifecycle_tick('dml_crm', '2024-01-01 00:00+00') IS NOT NULL AS ticked;
SELECT lifecycle_add_segment('dml_crm', 'Three', $$did('Read', times => 3)$$, stage => 'MQL');
SELECT lifecycle_add_segment('dml_crm', 'Finn', $$country = 'FI' AND did('Read')$$, stage => 'Lead');
SELECT lifecycle_add_segment('dml_crm', 'Not', $$NOT did('Read')$$);
INSERT INTO oracle.segment (model, name, query) VALUES
	('dml_crm', 'Three', $$SELECT id FROM dml_crm.contacts c WHERE (SELECT count(*) FROM dml_crm.events e WHERE e.contact_id = c.id AND e.name = 'Read' AND e.occurred_at <= $1) >= 3$$),
	('dml_crm', 'Finn', $$SELECT id FROM dml_crm.contacts c WHERE country = 'FI' AND EXISTS (SELECT FROM dml_crm.events e WHERE e.contact_id = c.id AND e.name = 'Read' AND e.occurred_at <= $1)$$),
	('dml_crm', 'Not', $$SELECT id FROM dml_crm.contacts c WHERE NOT EXISTS (SELECT FROM dml_crm.events e WHERE e.contact_id = c.id AND e.name = 'Read' AND e.occurred_at <= $1)$$);
CREATE FUNCTION pg_temp.wrong() RETURNS TABLE (what text, key text, expected text, actual text) LANGUAGE sql
AS 'SELECT * FROM oracle.check(''dml_crm'', ''2024-01-01 00:00+00'')';
CREATE VIEW dml_members AS SELECT segment, string_agg(contact::text, ' ' ORDER BY contact) AS contacts FROM dml_crm.segment_member GROUP BY 1 ORDER BY 1;
-- events that say nothing else are reads of 2024-01-01
ALTER TABLE dml_crm.events ALTER COLUMN occurred_at SET DEFAULT '2024-01-01 00:00+00', ALTER COLUMN name SET DEFAULT 'Read';
INSERT INTO dml_crm.companies (id) VALUES (1), (2);
INSERT INTO dml_crm.contacts (id, country, company_id) SELECT i, CASE WHEN i % 2 = 0 THEN 'FI' END, 1 + i % 2 FROM generate_series(1, 6) i;

--
-- 1. Ways to insert events
--
INSERT INTO dml_crm.events (contact_id, message_id) VALUES (1, 'a'), (1, 'b') ON CONFLICT DO NOTHING;
INSERT INTO dml_crm.events (contact_id, message_id) VALUES (1, 'a'), (1, 'c'), (1, 'c') ON CONFLICT DO NOTHING;
INSERT INTO dml_crm.events (contact_id, message_id) VALUES (2, 'a'), (2, 'd') ON CONFLICT (message_id) DO UPDATE SET contact_id = excluded.contact_id;
SELECT * FROM dml_members;
INSERT INTO dml_crm.events (contact_id) SELECT i FROM generate_series(1, 6) i, generate_series(1, 2) j;
COPY dml_crm.events (contact_id, name, message_id) FROM stdin;
3	Read	e
4	Other	f
\N	Read	g
\.
MERGE INTO dml_crm.events e USING (VALUES (4, 'h'), (5, 'e'), (6, 'f')) v (contact, message) ON e.message_id = v.message
	WHEN MATCHED AND e.name = 'Other' THEN DELETE
	WHEN MATCHED THEN UPDATE SET contact_id = v.contact
	WHEN NOT MATCHED THEN INSERT (contact_id, message_id) VALUES (v.contact, v.message);
SELECT * FROM dml_members;
SELECT * FROM pg_temp.wrong();
WITH moved AS (DELETE FROM dml_crm.events WHERE contact_id = 1 RETURNING *)
	INSERT INTO dml_crm.events (contact_id, message_id) SELECT 3, message_id || ' moved' FROM moved;
SELECT * FROM pg_temp.wrong();
WITH one AS (INSERT INTO dml_crm.contacts (id, country) VALUES (7, 'FI') RETURNING id),
	two AS (INSERT INTO dml_crm.events (contact_id) SELECT id FROM one, generate_series(1, 3) RETURNING contact_id)
	SELECT count(*) FROM two;
SELECT * FROM dml_members;
SELECT * FROM pg_temp.wrong();
-- two events each that are counted with their contact before their own trigger
-- comes: they are two, not four
WITH one AS (INSERT INTO dml_crm.contacts (id) VALUES (21) RETURNING id),
	two AS (INSERT INTO dml_crm.events (contact_id) SELECT id FROM one, generate_series(1, 2) RETURNING contact_id)
	SELECT count(*) FROM two;
CREATE FUNCTION dml_crm.arrive() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO dml_crm.contacts (id) VALUES (NEW.contact_id) ON CONFLICT DO NOTHING; RETURN NULL; END';
CREATE TRIGGER arrive AFTER INSERT ON dml_crm.events FOR EACH ROW EXECUTE FUNCTION dml_crm.arrive();
INSERT INTO dml_crm.events (contact_id) VALUES (22), (22);
SELECT * FROM dml_members;
SELECT * FROM pg_temp.wrong();
SELECT * FROM lifecycle_verify('dml_crm');
DROP TRIGGER arrive ON dml_crm.events;
DELETE FROM dml_crm.events WHERE contact_id > 20;
DELETE FROM dml_crm.contacts WHERE id > 20;
-- an insert that the user's trigger cancels, and none at all
CREATE FUNCTION dml_crm.cancel() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.name = ''Cancelled'' THEN RETURN NULL; END IF; RETURN NEW; END';
CREATE TRIGGER cancel BEFORE INSERT ON dml_crm.events FOR EACH ROW EXECUTE FUNCTION dml_crm.cancel();
INSERT INTO dml_crm.events (contact_id, name) VALUES (1, 'Cancelled'), (1, 'Read');
INSERT INTO dml_crm.events (contact_id) SELECT 1 WHERE false;
UPDATE dml_crm.events SET name = 'Nothing' WHERE false;
DELETE FROM dml_crm.events WHERE false;
SELECT * FROM pg_temp.wrong();

--
-- 2. Savepoints, errors, exception blocks
--
BEGIN;
INSERT INTO dml_crm.events (contact_id) VALUES (1);
SAVEPOINT a;
INSERT INTO dml_crm.events (contact_id) VALUES (1), (2), (2);
SELECT * FROM dml_members;
ROLLBACK TO a;
SELECT * FROM dml_members;
INSERT INTO dml_crm.events (contact_id) VALUES (1);
SAVEPOINT b;
INSERT INTO dml_crm.events (contact_id, message_id) VALUES (1, 'b moved');
ROLLBACK TO b;
SAVEPOINT c;
UPDATE dml_crm.contacts SET country = 'FI';
RELEASE c;
COMMIT;
SELECT * FROM dml_members;
SELECT * FROM pg_temp.wrong();
DO $$
BEGIN
	FOR i IN 1 .. 20 LOOP
		BEGIN
			INSERT INTO dml_crm.events (contact_id) VALUES (i % 7 + 1);
			INSERT INTO dml_crm.events (contact_id, name) VALUES (i % 7 + 1, 'Meeting Booked');
			IF i % 2 = 0 THEN
				RAISE division_by_zero;
			END IF;
		EXCEPTION WHEN division_by_zero THEN
			UPDATE dml_crm.contacts SET owner = i WHERE id = i % 7 + 1;
		END;
	END LOOP;
END $$;
SELECT contact_id, count(*) FROM dml_crm.deals GROUP BY 1 ORDER BY 1;
SELECT * FROM pg_temp.wrong();
BEGIN;
TRUNCATE dml_crm.events;
SELECT * FROM dml_members;
ROLLBACK;
SELECT * FROM pg_temp.wrong();
-- a constraint trigger that comes at the end of the transaction
BEGIN;
INSERT INTO dml_crm.contacts (id, company_id) VALUES (8, 3);
ROLLBACK;

--
-- 3. Triggers of the user that write
--
-- contacts that write events
CREATE FUNCTION dml_crm.log() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN INSERT INTO dml_crm.events (contact_id, name) SELECT NEW.id, unnest(''{Read,Changed}''::text[]); RETURN NULL; END';
CREATE TRIGGER a_log AFTER INSERT OR UPDATE OF country ON dml_crm.contacts FOR EACH ROW EXECUTE FUNCTION dml_crm.log();
INSERT INTO dml_crm.contacts (id, country) VALUES (10, 'FI'), (11, 'SE');
SELECT id, stage FROM dml_crm.contacts WHERE id >= 10 ORDER BY id;
UPDATE dml_crm.contacts SET country = 'FI' WHERE id >= 10;
UPDATE dml_crm.contacts SET country = 'SE' WHERE id = 10;
SELECT id, stage FROM dml_crm.contacts WHERE id >= 10 ORDER BY id;
SELECT * FROM pg_temp.wrong();
DROP TRIGGER a_log ON dml_crm.contacts;
-- a trigger that is named after ours and sets a stage: checked all the same
CREATE FUNCTION dml_crm.meddle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.stage := NEW.owner; RETURN NEW; END';
CREATE TRIGGER z_meddle BEFORE INSERT OR UPDATE ON dml_crm.contacts FOR EACH ROW EXECUTE FUNCTION dml_crm.meddle();
UPDATE dml_crm.contacts SET owner = 'nonsense', stage = 'Lead' WHERE id = 10;
UPDATE dml_crm.contacts SET owner = 'nonsense' WHERE id = 11;
INSERT INTO dml_crm.contacts (id, owner) VALUES (12, 'nonsense');
SELECT id, stage FROM dml_crm.contacts WHERE id >= 10 ORDER BY id;
-- what it sets is a stage: taken over as any other
UPDATE dml_crm.contacts SET owner = 'SQL', stage = 'Lead' WHERE id = 11;
UPDATE dml_crm.contacts SET owner = 'Opportunity' WHERE id = 11;
SELECT id, stage FROM dml_crm.contacts WHERE id = 11;
SELECT from_stage, to_stage, cause FROM dml_crm.stage_history WHERE contact = 11 ORDER BY id;
DROP TRIGGER z_meddle ON dml_crm.contacts;
SELECT * FROM pg_temp.wrong();

--
-- 4. Contacts and companies that change their key, or go
--
UPDATE dml_crm.contacts SET id = id + 100 WHERE id IN (10, 11);
SELECT * FROM dml_members;
SELECT * FROM pg_temp.wrong();
UPDATE dml_crm.contacts SET id = id - 100 WHERE id >= 100;
SELECT * FROM pg_temp.wrong();
UPDATE dml_crm.contacts SET id = id + 1 WHERE id IN (10, 11);
INSERT INTO dml_crm.contacts (id, country, stage) VALUES (20, 'FI', 'Lead') ON CONFLICT (id) DO UPDATE SET country = 'SE';
INSERT INTO dml_crm.contacts (id, country, stage) VALUES (20, 'FI', 'Lead') ON CONFLICT (id) DO UPDATE SET country = 'SE', stage = 'mql';
SELECT id, country, stage FROM dml_crm.contacts WHERE id = 20;
MERGE INTO dml_crm.contacts c USING (VALUES (20, 'sql'), (21, 'lead')) v (id, stage) ON c.id = v.id
	WHEN MATCHED THEN UPDATE SET stage = v.stage
	WHEN NOT MATCHED THEN INSERT (id, stage) VALUES (v.id, v.stage);
SELECT id, stage FROM dml_crm.contacts WHERE id >= 20 ORDER BY id;
SELECT * FROM pg_temp.wrong();
DELETE FROM dml_crm.deals WHERE contact_id = 1;
DELETE FROM dml_crm.contacts WHERE id IN (1, 20);
SELECT * FROM dml_members;
SELECT count(*) FROM dml_crm.contact_state WHERE contact IN (1, 20);
-- the events are still there; if the contact comes back, they count
INSERT INTO dml_crm.contacts (id) VALUES (1);
SELECT * FROM dml_members;
SELECT * FROM pg_temp.wrong();
UPDATE dml_crm.contacts SET company_id = NULL;
UPDATE dml_crm.deals SET company_id = NULL;
DELETE FROM dml_crm.companies WHERE id = 1;
SELECT * FROM pg_temp.wrong();
TRUNCATE dml_crm.companies CASCADE;
SELECT * FROM dml_members;
SELECT count(*) FROM dml_crm.contacts;
SELECT stage, sum(number) FROM dml_crm.stage_count GROUP BY 1 HAVING sum(number) <> 0 ORDER BY 1;
SELECT * FROM pg_temp.wrong();
INSERT INTO dml_crm.contacts (id) VALUES (1), (2);
SELECT * FROM dml_members;
SELECT * FROM pg_temp.wrong();

--
-- 5. Tables that change
--
ALTER TABLE dml_crm.events ADD COLUMN first int;
ALTER TABLE dml_crm.contacts ADD COLUMN more text DEFAULT 'x', DROP COLUMN phone;
INSERT INTO dml_crm.events (contact_id, first) VALUES (1, 1), (2, 1);
SELECT lifecycle_add_segment('dml_crm', 'More', $$more = 'x' AND event_max('Read', first) = 1$$);
INSERT INTO dml_crm.contacts (id, more) VALUES (3, 'y');
INSERT INTO dml_crm.events (contact_id, first) VALUES (3, 1);
UPDATE dml_crm.contacts SET more = 'x';
SELECT * FROM dml_members;
ALTER TABLE dml_crm.events ALTER COLUMN contact_id TYPE int;
-- Rewritten by another access method (here the same one by another name), they
-- keep their triggers.
CREATE ACCESS METHOD dml_heap TYPE TABLE HANDLER heap_tableam_handler;
ALTER TABLE dml_crm.events SET ACCESS METHOD dml_heap;
ALTER TABLE dml_crm.contacts SET ACCESS METHOD dml_heap;
DELETE FROM dml_crm.events WHERE contact_id = 3;
INSERT INTO dml_crm.contacts (id, more) VALUES (4, 'x');
INSERT INTO dml_crm.events (contact_id) VALUES (4), (4), (4);
SELECT * FROM dml_members;
SELECT * FROM pg_temp.wrong();
ALTER TABLE dml_crm.events RENAME TO happenings;
INSERT INTO dml_crm.happenings (contact_id) VALUES (3), (3), (3);
SELECT * FROM dml_members;
SELECT count(*) FROM dml_crm.problem;
PREPARE add AS INSERT INTO dml_crm.happenings (contact_id) VALUES ($1);
EXECUTE add (2); EXECUTE add (2); EXECUTE add (2); EXECUTE add (2); EXECUTE add (2); EXECUTE add (2); EXECUTE add (2);
ALTER TABLE dml_crm.happenings DROP COLUMN first;
EXECUTE add (2);
SELECT * FROM dml_members WHERE segment = 'Three';

DROP VIEW dml_members;
SELECT lifecycle_drop('dml_crm', cascade => true);
-- TRUNCATE of a partition takes the contacts of that partition, and no others.  1 was
-- merged into 101 and inserted again: its events are 101's now.
CREATE SCHEMA dml_shop;
CREATE TABLE dml_shop.company (id bigint PRIMARY KEY, stage text) PARTITION BY RANGE (id);
CREATE TABLE dml_shop.company_1 PARTITION OF dml_shop.company FOR VALUES FROM (0) TO (100);
CREATE TABLE dml_shop.company_2 PARTITION OF dml_shop.company FOR VALUES FROM (100) TO (200);
CREATE TABLE dml_shop.person (id bigint PRIMARY KEY, stage text, company_id bigint) PARTITION BY RANGE (id);
CREATE TABLE dml_shop.person_1 PARTITION OF dml_shop.person FOR VALUES FROM (0) TO (100);
CREATE TABLE dml_shop.person_2 PARTITION OF dml_shop.person FOR VALUES FROM (100) TO (200);
CREATE TABLE dml_shop.log (id bigserial PRIMARY KEY, person_id bigint, name text, ts timestamptz DEFAULT '2024-01-01');
SELECT count(*) > 0 AS attached FROM lifecycle_attach('dml_shopm', 'dml_shop.person', 'dml_shop.log', 'dml_shop.company',
	columns => '{"events": {"contact": "person_id"}, "contacts": {"company": "company_id"}}');
SELECT lifecycle_add_segment('dml_shopm', 'Visitor', $$did('Visit')$$, stage => 'Lead');
SELECT lifecycle_add_segment('dml_shopm', 'Twice', $$did('Visit', times => 2)$$, stage => 'MQL');
INSERT INTO dml_shop.company (id) VALUES (1), (101);
INSERT INTO dml_shop.person (id, company_id) SELECT i, CASE WHEN i < 100 THEN 1 ELSE 101 END FROM unnest('{1, 2, 3, 101, 102}'::int[]) i;
SELECT lifecycle_merge('dml_shopm', 1, 101) AS merge;
INSERT INTO dml_shop.person (id, company_id) VALUES (1, 1);
INSERT INTO dml_shop.log (person_id, name) SELECT id, 'Visit' FROM dml_shop.person;
SELECT lifecycle_add_task('dml_shopm', 2, 'Call'), lifecycle_add_task('dml_shopm', 102, 'Call');
CREATE VIEW dml_shop.standing AS
	SELECT c.id, c.stage, (SELECT string_agg(m.segment, ', ' ORDER BY m.segment) FROM dml_shopm.segment_member m WHERE m.contact = c.id) AS segments,
		(SELECT count(*) FROM dml_shop.log e WHERE e.person_id = c.id AND e.name = 'Visit') AS visits,
		(SELECT string_agg(t.status, ', ' ORDER BY t.id) FROM dml_shopm.task t WHERE t.contact = c.id) AS tasks
	FROM dml_shop.person c ORDER BY c.id;
SELECT * FROM dml_shop.standing;
TRUNCATE dml_shop.person_1;
SELECT * FROM dml_shop.standing;
SELECT contact, to_stage, cause, reason FROM dml_shopm.stage_history WHERE object = 'contact' AND to_stage IS NULL ORDER BY contact;
SELECT contact, segment, change FROM dml_shopm.segment_history WHERE change = 'left' ORDER BY contact, segment;
SELECT contact, status FROM dml_shopm.task ORDER BY id;
SELECT stage, contacts FROM dml_shopm.funnel WHERE contacts > 0;
SELECT * FROM lifecycle_verify('dml_shopm');
TRUNCATE dml_shop.company_1;
SELECT company, to_stage, reason FROM dml_shopm.stage_history WHERE object = 'company' ORDER BY company, id;
SELECT * FROM lifecycle_verify('dml_shopm');
-- where the history of those who are deleted goes with them
SELECT lifecycle_set('dml_shopm', 'history_of_deleted', 'delete');
INSERT INTO dml_shop.person (id, stage) VALUES (4, 'Lead');
TRUNCATE dml_shop.person_1, dml_shop.company_1;
SELECT DISTINCT contact FROM dml_shopm.stage_history WHERE object = 'contact' AND contact IN (4, 101) ORDER BY 1;
SELECT * FROM lifecycle_verify('dml_shopm');
TRUNCATE dml_shop.person;
SELECT * FROM dml_shop.standing;
SELECT count(*) FROM dml_shopm.contact_state;
SELECT * FROM lifecycle_verify('dml_shopm');
DROP VIEW dml_shop.standing;
SELECT lifecycle_drop('dml_shopm');

SET client_min_messages = warning;
DROP SCHEMA dml_shop CASCADE;
DROP ACCESS METHOD dml_heap;
DROP SCHEMA oracle CASCADE;
