--
-- What PostgreSQL 18 brought: virtual generated columns, OLD and NEW in
-- RETURNING, temporal keys, and constraints that are not enforced.
--
SELECT current_setting('server_version_num')::int < 180000 AS older \gset
\if :older
\echo this needs PostgreSQL 18
\quit
\endif
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

--
-- 1. Virtual generated columns in predicates
--
CREATE SCHEMA pg18_shop;
CREATE TABLE pg18_shop.firms (id int PRIMARY KEY, turnover numeric, founded timestamptz,
	size text GENERATED ALWAYS AS (CASE WHEN turnover >= 1000 THEN 'large' ELSE 'small' END));
CREATE TABLE pg18_shop.people (id int PRIMARY KEY, email text, firm_id int, born timestamp, delay int DEFAULT 0,
	domain text COLLATE "C" GENERATED ALWAYS AS (lower(split_part(email, '@', 2))) VIRTUAL,
	welcome timestamp GENERATED ALWAYS AS (born + make_interval(days => delay)) VIRTUAL,
	place oid GENERATED ALWAYS AS (tableoid) VIRTUAL);
CREATE TABLE pg18_shop.hits (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, person_id int, event text, properties jsonb, at timestamptz,
	amount numeric GENERATED ALWAYS AS ((properties ->> 'amount')::numeric) VIRTUAL,
	path text GENERATED ALWAYS AS (properties ->> 'path') VIRTUAL);
CREATE TABLE pg18_shop.offers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, person_id int, stage text, net numeric,
	gross numeric GENERATED ALWAYS AS (net * 1.255) VIRTUAL);
INSERT INTO pg18_shop.people (id, email) VALUES (1, 'a@ACME.fi'), (2, 'b@example.com'), (3, NULL);
INSERT INTO pg18_shop.hits (person_id, event, properties, at) VALUES (1, 'Order', '{"amount": 20}', '2024-01-01');
SELECT object, role, "column" FROM lifecycle_attach('pg18_model', 'pg18_shop.people', 'pg18_shop.hits', 'pg18_shop.firms', 'pg18_shop.offers',
	columns => '{"contacts": {"company": "firm_id"}}') WHERE role NOT IN ('stage', 'lead_status');
SELECT lifecycle_set('pg18_model', 'clock', 'tick');
SELECT entered FROM lifecycle_tick('pg18_model', '2024-02-01 00:00+00');
SELECT lifecycle_add_segment('pg18_model', 'At Acme', $$domain = 'acme.fi'$$);
SELECT lifecycle_add_segment('pg18_model', 'Of a large firm', $$company.size = 'large'$$);
SELECT lifecycle_add_segment('pg18_model', 'Spent twice', $$did('Order', amount > 10, times => 2)$$);
SELECT lifecycle_add_segment('pg18_model', 'Spent', $$event_sum('Order', amount) > 100$$);
SELECT lifecycle_add_segment('pg18_model', 'Saw the prices', $$did('Page Viewed', path = '/pricing')$$);
SELECT lifecycle_add_segment('pg18_model', 'Just welcomed', $$in_last(welcome, '7 days')$$);
SELECT lifecycle_add_segment('pg18_model', 'Large offer', $$open_deals(gross > 125) > 0$$);
INSERT INTO oracle.segment (model, name, query) VALUES
	('pg18_model', 'At Acme', $$SELECT id FROM pg18_shop.people WHERE lower(split_part(email, '@', 2)) = 'acme.fi' AND $1 IS NOT NULL$$),
	('pg18_model', 'Of a large firm', $$SELECT p.id FROM pg18_shop.people p JOIN pg18_shop.firms f ON f.id = p.firm_id
	 WHERE f.turnover >= 1000 AND $1 IS NOT NULL$$),
	('pg18_model', 'Spent twice', $$SELECT person_id FROM pg18_shop.hits WHERE event = 'Order'
	 AND (properties ->> 'amount')::numeric > 10 AND at <= $1 GROUP BY 1 HAVING count(*) >= 2$$),
	('pg18_model', 'Spent', $$SELECT person_id FROM pg18_shop.hits WHERE event = 'Order'
	 AND at <= $1 GROUP BY 1 HAVING sum((properties ->> 'amount')::numeric) > 100$$),
	('pg18_model', 'Saw the prices', $$SELECT DISTINCT person_id FROM pg18_shop.hits WHERE event = 'Page Viewed'
	 AND properties ->> 'path' = '/pricing' AND at <= $1$$),
	('pg18_model', 'Just welcomed', $$SELECT id FROM pg18_shop.people WHERE born + make_interval(days => delay) <= $1 AT TIME ZONE 'UTC'
	 AND born + make_interval(days => delay) > $1 AT TIME ZONE 'UTC' - interval '7 days'$$),
	('pg18_model', 'Large offer', $$SELECT DISTINCT person_id FROM pg18_shop.offers WHERE is_open AND net * 1.255 > 125 AND $1 IS NOT NULL$$);
-- The text names the column; the columns that it is computed from are read too.
SELECT part, kind FROM lifecycle_explain('pg18_model', $$domain = 'acme.fi' AND did('Order', amount > 10)$$);
SELECT segment, contact FROM pg18_model.segment_member ORDER BY 1, 2;

-- Rows come, by statements whose rows triggers see without these columns.
INSERT INTO pg18_shop.firms (id, turnover) VALUES (1, 10), (2, 2000);
UPDATE pg18_shop.people SET firm_id = id WHERE id < 3;
INSERT INTO pg18_shop.people (id, email, firm_id, born) VALUES (4, 'd@acme.fi', 2, '2024-01-20');
INSERT INTO pg18_shop.hits (person_id, event, properties, at) VALUES
	(1, 'Order', '{"amount": 11}', '2024-01-02'), (2, 'Order', '{"amount": 50}', '2024-01-02'),
	(2, 'Page Viewed', '{"path": "/pricing"}', '2024-01-02'), (3, 'Page Viewed', '{"path": "/"}', '2024-01-02');
INSERT INTO pg18_shop.hits (person_id, event, properties, at) VALUES
	(2, 'Order', '{"amount": 60}', '2024-01-03'), (3, 'Page Viewed', '{"path": "/pricing"}', '2024-01-03');
INSERT INTO pg18_shop.offers (person_id, stage, net) VALUES (1, 'Contract sent', 100), (2, 'Contract sent', 90);
SELECT segment, contact FROM pg18_model.segment_member ORDER BY 1, 2;
SELECT * FROM oracle.check('pg18_model', '2024-02-01 00:00+00');
-- and change
UPDATE pg18_shop.people SET email = 'b@acme.fi' WHERE id = 2;
UPDATE pg18_shop.people SET email = 'a@example.com' WHERE id = 1;
UPDATE pg18_shop.people SET delay = 10 WHERE id = 4;
UPDATE pg18_shop.firms SET turnover = 3000 - turnover;
UPDATE pg18_shop.hits SET properties = properties || '{"amount": 5}' WHERE person_id = 2 AND event = 'Order';
UPDATE pg18_shop.hits SET properties = '{"path": "/"}' WHERE person_id = 3;
DELETE FROM pg18_shop.hits WHERE person_id = 1 AND amount = 20;
UPDATE pg18_shop.offers SET net = 200 - net;
SELECT segment, contact FROM pg18_model.segment_member ORDER BY 1, 2;
SELECT * FROM oracle.check('pg18_model', '2024-02-01 00:00+00');
SELECT entered, "left" FROM lifecycle_tick('pg18_model', '2024-02-20 00:00+00');
SELECT * FROM oracle.check('pg18_model', '2024-02-20 00:00+00');
SELECT * FROM lifecycle_verify('pg18_model');
SELECT clause, holds FROM lifecycle_why('pg18_model', 2, 'At Acme');

-- In rules: in conditions and values, and of the event at hand.
SELECT lifecycle_add_rule('pg18_model', 'Tell', 'event', 'notify', '{"payload": {"amount": "event.amount", "domain": "domain"}}',
	of => 'Refund', condition => $$event.amount > 5 AND domain = 'acme.fi'$$);
INSERT INTO pg18_shop.hits (person_id, event, properties, at) VALUES (2, 'Refund', '{"amount": 7}', '2024-02-19'), (2, 'Refund', '{"amount": 4}', '2024-02-19'),
	(1, 'Refund', '{"amount": 8}', '2024-02-19');
SELECT aggregateid, payload -> 'amount' AS amount, payload -> 'domain' AS domain FROM pg18_model.outbox WHERE payload ? 'amount' ORDER BY id;

-- What it is computed from can be altered: computed again, all is right, and
-- later changes are noticed.
ALTER TABLE pg18_shop.people ADD region text DEFAULT 'acme.fi';
ALTER TABLE pg18_shop.people ALTER domain SET EXPRESSION AS (region);
SELECT what, key, name, stored, computed FROM lifecycle_verify('pg18_model') ORDER BY 2;
SELECT lifecycle_rebuild('pg18_model');
UPDATE oracle.segment SET query = $$SELECT id FROM pg18_shop.people WHERE region = 'acme.fi' AND $1 IS NOT NULL$$ WHERE name = 'At Acme';
UPDATE pg18_shop.people SET region = NULL WHERE id = 3;
SELECT contact FROM pg18_model.segment_member WHERE segment = 'At Acme' ORDER BY 1;
SELECT * FROM oracle.check('pg18_model', '2024-02-20 00:00+00');
-- A system column is not in the rows.
SELECT lifecycle_add_segment('pg18_model', 'Here', 'place > 0::oid');
SELECT segment, rule, message FROM pg18_model.problem ORDER BY id;

-- They cannot be what the engine itself reads or writes.
SELECT lifecycle_drop('pg18_model');
ALTER TABLE pg18_shop.hits ADD message_id text GENERATED ALWAYS AS (properties ->> 'id') VIRTUAL;
SELECT lifecycle_attach('pg18_model', 'pg18_shop.people', 'pg18_shop.hits');
ALTER TABLE pg18_shop.people ADD lifecycle_stage text GENERATED ALWAYS AS ('Lead') VIRTUAL;
SELECT lifecycle_attach('pg18_model', 'pg18_shop.people', columns => '{"contacts": {"stage": "lifecycle_stage"}}');

--
-- 2. Keys
--
-- A temporal key has several rows for one contact.
CREATE TABLE pg18_shop.stays (guest int4range, valid daterange, name text, PRIMARY KEY (guest, valid WITHOUT OVERLAPS));
SELECT lifecycle_attach('pg18_model', 'pg18_shop.stays');
SELECT lifecycle_attach('pg18_model', 'pg18_shop.stays', columns => '{"contacts": {"key": "guest"}}');
-- NOT NULL that is not validated lets nulls be.
CREATE TABLE pg18_shop.guests (code text UNIQUE, name text);
INSERT INTO pg18_shop.guests VALUES (NULL, 'nobody'), ('a', 'Aino');
ALTER TABLE pg18_shop.guests ADD CONSTRAINT has_code NOT NULL code NOT VALID;
SELECT lifecycle_attach('pg18_model', 'pg18_shop.guests');
SELECT lifecycle_attach('pg18_model', 'pg18_shop.guests', columns => '{"contacts": {"key": "code"}}');
DELETE FROM pg18_shop.guests WHERE code IS NULL;
ALTER TABLE pg18_shop.guests VALIDATE CONSTRAINT has_code;
SELECT role, "column", chosen_by FROM lifecycle_attach('pg18_model', 'pg18_shop.guests');
ALTER TABLE pg18_shop.guests DROP CONSTRAINT has_code;
SELECT lifecycle_drop('pg18_model');

-- A foreign key that is not enforced promises nothing.
SELECT lifecycle_create('pg18_crm');
SELECT lifecycle_add_segment('pg18_crm', 'Foresters', $$company.industry = 'Forestry'$$, stage => 'Lead');
INSERT INTO oracle.model VALUES ('pg18_crm');
INSERT INTO oracle.segment (model, name, query, stage) VALUES
	('pg18_crm', 'Foresters', $$SELECT c.id FROM pg18_crm.contacts c JOIN pg18_crm.companies k ON k.id = c.company_id
	 WHERE k.industry = 'Forestry' AND $1 IS NOT NULL$$, 'Lead');
ALTER TABLE pg18_crm.contacts ALTER CONSTRAINT contacts_company_id_fkey NOT ENFORCED;
INSERT INTO pg18_crm.contacts (id, company_id) VALUES (1, 10);
INSERT INTO pg18_crm.companies (id, industry) VALUES (10, 'Forestry');
SELECT contact FROM pg18_crm.segment_member ORDER BY 1;
SELECT * FROM oracle.check('pg18_crm', now());

--
-- 3. What a statement returns is what it wrote, before the rules
--
INSERT INTO pg18_crm.contacts (id, company_id) VALUES (2, 10) RETURNING old.id AS old, new.id AS new, new.stage;
UPDATE pg18_crm.contacts SET stage = 'lead', email = 'a@example.com' WHERE id IN (1, 2)
	RETURNING old.email AS old, new.email AS new, old.stage AS old, new.stage AS new;
WITH m AS (
	MERGE INTO pg18_crm.contacts c USING (VALUES (2, NULL::int), (3, 10)) v (id, company) ON c.id = v.id
	WHEN MATCHED THEN UPDATE SET company_id = v.company
	WHEN NOT MATCHED THEN INSERT (id, company_id) VALUES (v.id, v.company)
	RETURNING merge_action() AS action, old.company_id AS old, new.company_id AS new, new.stage)
SELECT * FROM m ORDER BY action;
SELECT id, company_id, stage FROM pg18_crm.contacts ORDER BY id;
SELECT contact FROM pg18_crm.segment_member ORDER BY 1;
SELECT * FROM oracle.check('pg18_crm', now());
SELECT lifecycle_drop('pg18_crm');

SET client_min_messages = warning;
DROP SCHEMA pg18_shop CASCADE;
DROP SCHEMA oracle CASCADE;
