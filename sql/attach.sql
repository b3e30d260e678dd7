--
-- Attaching to tables that exist: keys of any type, rows already in them,
-- dates, one table for one kind of event, and partitions.
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

--
-- 1. A shop: customers and orders with bigint keys, and rows in both
--
CREATE SCHEMA attach_shop;
CREATE TABLE attach_shop.customers (customer_no bigint PRIMARY KEY, email text NOT NULL, country text);
CREATE TABLE attach_shop.orders (
	order_no bigint PRIMARY KEY,
	customer_no bigint REFERENCES attach_shop.customers,
	placed timestamptz NOT NULL,
	total numeric(10,2));
INSERT INTO attach_shop.customers VALUES (1, 'a@example.com', 'FI'), (2, 'b@example.com', 'SE'), (3, 'c@example.com', 'FI');
INSERT INTO attach_shop.orders VALUES
	(101, 1, '2024-01-01 10:00+00', 60), (102, 1, '2024-01-02 10:00+00', 50),
	(103, 2, '2024-01-03 10:00+00', 20), (104, NULL, '2024-01-03 10:00+00', 500);

-- Which column is the time of an order cannot be guessed, nor that every row is
-- a purchase: it asks, and is told.
SELECT lifecycle_attach('attach_model', 'attach_shop.customers', 'attach_shop.orders', template => 'journey');
SELECT lifecycle_attach('attach_model', 'attach_shop.customers', 'attach_shop.orders', template => 'journey',
	columns => '{"events": {"name": {"constant": "Purchase"}}}');
SELECT * FROM lifecycle_attach('attach_model', 'attach_shop.customers', 'attach_shop.orders', template => 'journey',
	columns => '{"events": {"name": {"constant": "Purchase"}, "time": "placed"}}');

-- No column of the user was renamed, and no row was lost.
SELECT * FROM attach_shop.customers ORDER BY 1;
SELECT * FROM attach_shop.orders ORDER BY 1;

-- A segment takes in who is there already.
SELECT lifecycle_add_segment('attach_model', 'Buyers', $$did('Purchase')$$, stage => 'Conversion');
SELECT lifecycle_add_segment('attach_model', 'Regulars', $$event_sum('Purchase', total) >= 100 AND did('Purchase', times => 2)$$, stage => 'Retention');
INSERT INTO oracle.segment (model, name, query, stage) VALUES
	('attach_model', 'Buyers', 'SELECT DISTINCT customer_no FROM attach_shop.orders WHERE customer_no IS NOT NULL AND placed <= $1', 'Conversion'),
	('attach_model', 'Regulars', 'SELECT customer_no FROM attach_shop.orders WHERE customer_no IS NOT NULL AND placed <= $1
		GROUP BY 1 HAVING sum(total) >= 100 AND count(*) >= 2', 'Retention');
INSERT INTO oracle.model VALUES ('attach_model');
SELECT customer_no, stage FROM attach_shop.customers ORDER BY 1;
SELECT * FROM oracle.check('attach_model', now());

-- A constant name is the only event that there is.
SELECT lifecycle_add_segment('attach_model', 'Others', $$did('Refund')$$);

-- New rows, and those of a row that gets its customer late.
INSERT INTO attach_shop.orders VALUES (105, 2, '2024-01-04', 80), (106, 3, '2024-01-04', 10);
SELECT customer_no, stage FROM attach_shop.customers ORDER BY 1;
UPDATE attach_shop.orders SET customer_no = 3 WHERE order_no = 104;
SELECT customer_no, stage FROM attach_shop.customers ORDER BY 1;
SELECT * FROM oracle.check('attach_model', now());

-- The foreign key of the user is still the user's.
INSERT INTO attach_shop.orders VALUES (107, 99, '2024-01-04', 80);
SELECT count(*) FROM attach_shop.orders;

-- What the model needs cannot be taken away behind its back.
ALTER TABLE attach_shop.customers ALTER COLUMN customer_no TYPE numeric;
ALTER TABLE attach_shop.orders DROP COLUMN placed;
ALTER TABLE attach_shop.orders RENAME COLUMN placed TO ordered_at;
INSERT INTO attach_shop.orders VALUES (108, 1, '2024-01-05', 1);
SELECT column_name FROM lifecycle.model_column WHERE model = 'attach_model' AND object = 'events' AND role = 'time';
-- A column that a segment reads may go: the segment fails from then on, and
-- says so; the rows are kept.
ALTER TABLE attach_shop.orders RENAME COLUMN ordered_at TO placed;
SELECT * FROM oracle.check('attach_model', now());
ALTER TABLE attach_shop.customers DROP COLUMN email;
ALTER TABLE attach_shop.orders DROP COLUMN total;
INSERT INTO attach_shop.orders VALUES (109, 1, '2024-01-06');
SELECT segment, contact, sqlstate, message FROM attach_model.problem ORDER BY id;
SELECT segment, contact FROM attach_model.segment_member ORDER BY 1, 2;
SELECT count(*) FROM attach_shop.orders;
SELECT lifecycle_drop_segment('attach_model', 'Regulars');
INSERT INTO attach_shop.orders VALUES (110, 1, '2024-01-06');
SELECT lifecycle_drop('attach_model');
SELECT count(*) FROM attach_shop.orders;

--
-- 2. Keys of type int, and a date without a time of day
--
CREATE TABLE attach_shop.members (member_no int PRIMARY KEY, name text, lifecycle_stage text, lead_status varchar(30));
CREATE TABLE attach_shop.visits (member_no int, kind varchar(20), day date);
INSERT INTO attach_shop.members VALUES (1, 'One', 'lead', ' new '), (2, 'Two', NULL, NULL);
INSERT INTO attach_shop.visits VALUES (1, 'Gym', '2024-01-01'), (2, 'Pool', '2024-01-01');
SELECT * FROM lifecycle_attach('attach_gym', 'attach_shop.members', 'attach_shop.visits');
-- texts that differ from a name only by case or blanks are put right
SELECT member_no, lifecycle_stage, lead_status FROM attach_shop.members ORDER BY 1;
SELECT contact, from_stage, to_stage, cause, reason FROM attach_gym.stage_history ORDER BY id;
SELECT contact, from_status, to_status, cause, reason FROM attach_gym.lead_status_history ORDER BY id;

-- A date begins at midnight of the model's time zone, not of the session's.
SELECT lifecycle_set('attach_gym', 'clock', 'tick');
SELECT lifecycle_set('attach_gym', 'time_zone', 'Asia/Tokyo');
SELECT entered, "left" FROM lifecycle_tick('attach_gym', '2023-12-31 10:00+00');
SET timezone = 'America/New_York';
SELECT lifecycle_add_segment('attach_gym', 'Yesterday', $$did('Gym', within => '1 day')$$);
INSERT INTO oracle.segment (model, name, query) VALUES ('attach_gym', 'Yesterday',
	$$SELECT DISTINCT member_no FROM attach_shop.visits WHERE kind = 'Gym'
	  AND day::timestamptz > $1 - interval '1 day' AND day::timestamptz <= $1$$);
SELECT entered, "left" FROM lifecycle_tick('attach_gym', '2023-12-31 14:59:59+00');
SELECT count(*) FROM attach_gym.segment_member;
SELECT entered, "left" FROM lifecycle_tick('attach_gym', '2023-12-31 15:00:00+00');
SELECT * FROM oracle.check('attach_gym', '2023-12-31 15:00:00+00');
SELECT entered, "left" FROM lifecycle_tick('attach_gym', '2024-01-01 14:59:59+00');
SELECT * FROM oracle.check('attach_gym', '2024-01-01 14:59:59+00');
SELECT entered, "left" FROM lifecycle_tick('attach_gym', '2024-01-01 15:00:00+00');
SELECT * FROM oracle.check('attach_gym', '2024-01-01 15:00:00+00');
SET timezone = 'UTC';
SELECT contact, segment, change, at, cause, event, event_at FROM attach_gym.segment_history ORDER BY id;
-- back again: time may also be turned back, and everything is as it was then
SELECT entered, "left" FROM lifecycle_tick('attach_gym', '2023-12-31 15:00:00+00');
SELECT lifecycle_tick('attach_gym', '2023-12-31 15:00:00+00') IS NOT NULL AS ticked;
SELECT segment, contact FROM attach_gym.segment_member;
SELECT * FROM oracle.check('attach_gym', '2023-12-31 15:00:00+00');
SELECT lifecycle_drop('attach_gym');

--
-- 3. uuid keys, names that are asked for
--
CREATE TABLE attach_shop.persons (
	id uuid PRIMARY KEY,
	employer uuid,
	phase text,
	"Sub ""Status""" text);
CREATE TABLE attach_shop.firms (id uuid PRIMARY KEY, branch text);
CREATE TABLE attach_shop."Ev ents" (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	"who did it" uuid,
	"what" text,
	"when" timestamp);
INSERT INTO attach_shop.firms VALUES ('00000000-0000-0000-0000-0000000000f1', 'Tools');
INSERT INTO attach_shop.persons VALUES
	('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-0000000000f1', 'Lead', NULL),
	('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-0000000000f1', NULL, NULL);
SELECT * FROM lifecycle_attach('attach_uuid', 'attach_shop.persons', 'attach_shop."Ev ents"', companies => 'attach_shop.firms',
	columns => '{"contacts": {"stage": "phase", "lead_status": "Sub \"Status\"", "company": "employer"},
				 "events": {"contact": "who did it", "name": "what", "time": "when"}}');
SELECT lifecycle_add_segment('attach_uuid', 'In tools', $$company.branch = 'Tools' AND did('Asked')$$, stage => 'MQL');
INSERT INTO oracle.segment (model, name, query) VALUES ('attach_uuid', 'In tools',
	$$SELECT p.id FROM attach_shop.persons p JOIN attach_shop.firms f ON f.id = p.employer WHERE f.branch = 'Tools'
	  AND EXISTS (SELECT FROM attach_shop."Ev ents" e WHERE e."who did it" = p.id AND e.what = 'Asked' AND e."when" <= $1)$$);
INSERT INTO attach_shop."Ev ents" ("who did it", what, "when") VALUES ('00000000-0000-0000-0000-000000000002', 'Asked', '2024-01-01');
SELECT id, phase FROM attach_shop.persons ORDER BY id;
SELECT stage FROM attach_shop.firms;
SELECT lifecycle_advance('attach_uuid', '00000000-0000-0000-0000-000000000001'::uuid, 'SQL', 'called us');
SELECT lifecycle_advance('attach_uuid', '00000000-0000-0000-0000-000000000001', 'Opportunity');
SELECT lifecycle_set_lead_status('attach_uuid', '00000000-0000-0000-0000-000000000001'::uuid, 'connected');
SELECT id, phase, "Sub ""Status""" FROM attach_shop.persons ORDER BY id;
SELECT lifecycle_track('attach_uuid', '00000000-0000-0000-0000-000000000001'::uuid, 'Asked', occurred_at => '2024-01-01');
SELECT segment, contact FROM attach_uuid.segment_member ORDER BY contact;
SELECT * FROM oracle.check('attach_uuid', now());
-- a key of the wrong type
SELECT lifecycle_advance('attach_uuid', 1, 'SQL');
SELECT lifecycle_advance('attach_uuid', 'one', 'SQL');
SELECT lifecycle_drop('attach_uuid');

--
-- 4. text keys, with deals
--
CREATE TABLE attach_shop.accounts (domain varchar(100) PRIMARY KEY, industry text);
CREATE TABLE attach_shop.leads (email text PRIMARY KEY, domain varchar(100), industry text);
CREATE TABLE attach_shop.log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lead_id text, event text, ts timestamptz, idempotency_key uuid);
CREATE TABLE attach_shop.offers (offer text DEFAULT 'first' PRIMARY KEY, lead_id text, status text, total int);
SELECT * FROM lifecycle_attach('attach_text', 'attach_shop.leads', 'attach_shop.log', 'attach_shop.accounts', 'attach_shop.offers',
	columns => '{"contacts": {"company": "domain"}}', template => 'encharge');
INSERT INTO attach_shop.accounts VALUES ('example.com');
INSERT INTO attach_shop.leads VALUES ('äiti@example.com', 'example.com', 'Tools'), ('o''hara "x" \@example.com', 'example.com', NULL);
INSERT INTO attach_shop.log (lead_id, event, ts) VALUES ('äiti@example.com', 'Signed Up', '2024-01-01'), ('o''hara "x" \@example.com', 'Meeting Booked', '2024-01-01');
SELECT email, stage, lead_status FROM attach_shop.leads ORDER BY email COLLATE "C";
SELECT domain, stage, industry FROM attach_shop.accounts;
SELECT offer, lead_id, status, is_open FROM attach_shop.offers;
SELECT object, contact, company, from_stage, to_stage, cause, rule FROM attach_text.stage_history ORDER BY id;
SELECT * FROM oracle.check('attach_text', now());
SELECT count(*) FROM attach_text.problem;
-- an int4 is no text
SELECT lifecycle_set_stage('attach_text', 1, 'SQL');
SELECT lifecycle_drop('attach_text');

--
-- 5. Partitioned events
--
CREATE TABLE attach_shop.readers (id bigint PRIMARY KEY);
CREATE TABLE attach_shop.reads (reader_id bigint, event text, at timestamptz NOT NULL, pages int) PARTITION BY RANGE (at);
CREATE TABLE attach_shop.reads_1 PARTITION OF attach_shop.reads FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE attach_shop.reads_2 PARTITION OF attach_shop.reads FOR VALUES FROM ('2024-02-01') TO ('2024-03-01') PARTITION BY HASH (reader_id);
CREATE TABLE attach_shop.reads_2_0 PARTITION OF attach_shop.reads_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE attach_shop.reads_2_1 PARTITION OF attach_shop.reads_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO attach_shop.readers SELECT generate_series(1, 5);
INSERT INTO attach_shop.reads VALUES (1, 'Read', '2024-01-10', 1);
SELECT * FROM lifecycle_attach('attach_parts', 'attach_shop.readers', 'attach_shop.reads', template => 'journey');
SELECT lifecycle_add_segment('attach_parts', 'Twice', $$did('Read', times => 2)$$, stage => 'Education');
SELECT lifecycle_add_segment('attach_parts', 'Much', $$event_sum('Read', pages) > 10$$, stage => 'Conversion');
INSERT INTO oracle.segment (model, name, query, stage) VALUES
	('attach_parts', 'Twice', $$SELECT reader_id FROM attach_shop.reads WHERE event = 'Read' AND at <= $1 GROUP BY 1 HAVING count(*) >= 2$$, 'Education'),
	('attach_parts', 'Much', $$SELECT reader_id FROM attach_shop.reads WHERE event = 'Read' AND at <= $1 GROUP BY 1 HAVING sum(pages) > 10$$, 'Conversion');
-- by the table
INSERT INTO attach_shop.reads VALUES (1, 'Read', '2024-02-10', 1), (2, 'Read', '2024-01-10', 1);
SELECT segment, contact FROM attach_parts.segment_member ORDER BY 1, 2;
-- naming a partition, of any level
INSERT INTO attach_shop.reads_1 VALUES (2, 'Read', '2024-01-11', 1);
INSERT INTO attach_shop.reads_2 VALUES (3, 'Read', '2024-02-11', 1), (3, 'Read', '2024-02-12', 1);
SELECT tableoid::regclass, reader_id FROM attach_shop.reads_2 ORDER BY 1, 2;
INSERT INTO attach_shop.reads_2_1 VALUES (1, 'Read', '2024-02-12', 20);
INSERT INTO attach_shop.reads_2_0 VALUES (1, 'Read', '2024-02-12', 20);
COPY attach_shop.reads_1 FROM stdin;
4	Read	2024-01-12 00:00:00+00	5
4	Read	2024-01-13 00:00:00+00	6
\.
SELECT segment, contact FROM attach_parts.segment_member ORDER BY 1, 2;
SELECT * FROM oracle.check('attach_parts', now());
-- a partition that is made later, and one that was a table of its own
CREATE TABLE attach_shop.reads_3 PARTITION OF attach_shop.reads FOR VALUES FROM ('2024-03-01') TO ('2024-04-01');
INSERT INTO attach_shop.reads_3 VALUES (5, 'Read', '2024-03-01', 1), (5, 'Read', '2024-03-02', 1);
CREATE TABLE attach_shop.reads_4 (LIKE attach_shop.reads);
ALTER TABLE attach_shop.reads ATTACH PARTITION attach_shop.reads_4 FOR VALUES FROM ('2024-04-01') TO ('2024-05-01');
INSERT INTO attach_shop.reads_4 VALUES (5, 'Read', '2024-04-01', 100);
SELECT segment, contact FROM attach_parts.segment_member ORDER BY 1, 2;
SELECT * FROM oracle.check('attach_parts', now());
-- a row moves to another partition, rows go, a partition is emptied
UPDATE attach_shop.reads SET at = '2024-03-20', pages = 0 WHERE reader_id = 4;
SELECT segment, contact FROM attach_parts.segment_member WHERE contact = 4 ORDER BY 1;
DELETE FROM attach_shop.reads_3 WHERE reader_id = 5 AND at = '2024-03-02';
DELETE FROM attach_shop.reads WHERE reader_id = 2;
SELECT * FROM oracle.check('attach_parts', now());
TRUNCATE attach_shop.reads_4;
SELECT segment, contact FROM attach_parts.segment_member ORDER BY 1, 2;
SELECT * FROM oracle.check('attach_parts', now());
SELECT item, value, detail FROM lifecycle_status('attach_parts') WHERE item LIKE 'trigger%';
SELECT lifecycle_drop('attach_parts');

SELECT name FROM lifecycle.model WHERE name LIKE 'attach%';
SET client_min_messages = warning;
DROP SCHEMA attach_shop CASCADE;
DROP SCHEMA oracle CASCADE;
