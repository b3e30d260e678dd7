--
-- Amounts of deals.  The column that is attached is a number, but its type may
-- be changed later: to money, or to text with anything in it.  No deal is lost
-- for that; an amount that cannot be read as a number is a problem.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
SET lc_monetary = 'C';
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\set oracle :abs_srcdir '/test/oracle/oracle.sql'
\set ECHO none
\i :oracle
\set ECHO all

SELECT lifecycle_create('desk');
INSERT INTO desk.contacts (id) SELECT generate_series(1, 8);

-- the views name the column, so PostgreSQL wants them out of the way
DROP VIEW desk.deal_board, desk.deal_forecast;
ALTER TABLE desk.deals ALTER COLUMN amount TYPE money;

--
-- 1. money
--
INSERT INTO desk.deals (id, contact_id, amount) VALUES (1, 1, 1234.5::numeric::money), (2, 2, NULL);
UPDATE desk.deals SET stage = 'Closed won' WHERE id = 1;
SELECT deal, to_stage, amount FROM desk.deal_history ORDER BY id;
SELECT count(*) AS problems FROM desk.problem;

--
-- 2. text
--
ALTER TABLE desk.deals ALTER COLUMN amount TYPE text USING amount::numeric::text;
INSERT INTO desk.deals (id, contact_id, amount) VALUES
	(3, 3, '99.90'), (4, 4, ' 1e3 '), (5, 5, 'EUR 1.000'), (6, 6, ''), (7, NULL, 'much'), (8, 8, NULL);
SELECT deal, contact, to_stage, amount FROM desk.deal_history WHERE deal > 2 ORDER BY id;
-- the rules fired for all of them
SELECT id, stage FROM desk.contacts ORDER BY id;
SELECT contact, sqlstate, message, detail FROM desk.problem ORDER BY id;
SELECT value, detail IS NOT NULL AS has_detail FROM lifecycle_status('desk') WHERE item = 'problems';

-- a deal that moves is a problem again; one that is deleted or given an amount is not
TRUNCATE desk.problem;
UPDATE desk.deals SET stage = 'Closed won' WHERE id = 5;
UPDATE desk.deals SET stage = 'Closed won', amount = '10' WHERE id = 6;
DELETE FROM desk.deals WHERE id = 7;
SELECT contact, message FROM desk.problem ORDER BY id;
SELECT deal, from_stage, to_stage, amount FROM desk.deal_history WHERE from_stage IS NOT NULL ORDER BY id;

-- the amounts of the history are those that plain SQL reads as numbers
SELECT h.deal, h.amount FROM desk.deal_history h
	WHERE h.id IN (SELECT max(id) FROM desk.deal_history GROUP BY deal) AND h.to_stage IS NOT NULL
EXCEPT ALL
SELECT d.id, CASE WHEN btrim(d.amount) ~ '^-?\d+(\.\d+)?(e\d+)?$' THEN btrim(d.amount)::numeric END FROM desk.deals d;
SELECT * FROM oracle.check('desk', now());
SELECT lifecycle_drop('desk');
SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
