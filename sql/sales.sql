--
-- Sales: a booked meeting opens a deal; deals move contacts and companies.
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

CREATE FUNCTION pg_temp.make(model text, template text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM lifecycle_create(model, template);
	PERFORM lifecycle_set(model, 'clock', 'tick');
	PERFORM lifecycle_tick(model, '2024-01-01 00:00+00');
	EXECUTE format($sql$
		INSERT INTO %1$I.companies (id, name, industry, country) VALUES (1, 'One', NULL, ''), (2, 'Two', 'Food', 'SE');
		INSERT INTO %1$I.contacts (id, email, first_name, last_name, company_id, industry, country, stage) VALUES
			(1, 'a@example.com', 'Ada', 'Berg', 1, 'Tools', 'FI', 'Lead'),
			(2, 'c@example.com', NULL, 'Dahl', 2, 'Tools', 'FI', NULL),
			(3, 'e@example.com', NULL, NULL, NULL, 'Tools', 'FI', 'Customer'),
			(4, NULL, NULL, NULL, 1, NULL, NULL, 'Other') $sql$, model);
END $$;

--
-- 1. Meeting booked, in both templates
--
SELECT pg_temp.make('sales_hubspot', 'hubspot');
INSERT INTO sales_hubspot.events (contact_id, name, occurred_at, message_id)
	SELECT id, 'Meeting Booked', '2024-01-01', 'm' || id FROM sales_hubspot.contacts;
SELECT id, stage, lead_status FROM sales_hubspot.contacts ORDER BY id;
SELECT id, stage, industry, country FROM sales_hubspot.companies ORDER BY id;
SELECT name, contact_id, company_id, pipeline, stage, amount, is_open, close_date FROM sales_hubspot.deals ORDER BY contact_id;
SELECT object, contact, company, from_stage, to_stage, event, event_at, event_key IS NOT NULL AS has_key, cause, rule
FROM sales_hubspot.stage_history WHERE event IS NOT NULL ORDER BY contact, company, id;
SELECT contact, company, pipeline, from_stage, to_stage, event, cause, rule FROM sales_hubspot.deal_history ORDER BY contact, id;
SELECT aggregatetype, aggregateid, type, payload - 'event_key' AS payload FROM sales_hubspot.outbox ORDER BY aggregateid;
SELECT * FROM oracle.check('sales_hubspot', '2024-01-01 00:00+00');

SELECT pg_temp.make('sales_encharge', 'encharge');
INSERT INTO sales_encharge.events (contact_id, name, occurred_at, message_id)
	SELECT id, 'Meeting Booked', '2024-01-01', 'm' || id FROM sales_encharge.contacts;
SELECT id, stage, lead_status FROM sales_encharge.contacts ORDER BY id;
SELECT id, stage, industry, country FROM sales_encharge.companies ORDER BY id;
SELECT name, contact_id, company_id, pipeline, stage, amount, is_open FROM sales_encharge.deals ORDER BY contact_id;
SELECT aggregatetype, aggregateid, type FROM sales_encharge.outbox ORDER BY aggregateid;
SELECT * FROM oracle.check('sales_encharge', '2024-01-01 00:00+00');

--
-- 2. Once is enough: the same message, another meeting, many in one statement
--
INSERT INTO sales_hubspot.events (contact_id, name, occurred_at, message_id) VALUES (1, 'Meeting Booked', '2024-01-01', 'm1');
INSERT INTO sales_hubspot.events (contact_id, name, occurred_at, message_id) VALUES (1, 'Meeting Booked', '2024-01-01', 'm1') ON CONFLICT (message_id) DO NOTHING;
SELECT lifecycle_track('sales_hubspot', 1, 'Meeting Booked', occurred_at => '2024-01-01', message_id => 'm1');
SELECT lifecycle_track('sales_hubspot', 1, 'Meeting Booked', occurred_at => '2024-01-01', message_id => 'm1b');
INSERT INTO sales_hubspot.contacts (id, email) VALUES (5, 'f@example.com');
INSERT INTO sales_hubspot.events (contact_id, name, occurred_at) SELECT 5, 'Meeting Booked', '2024-01-01' FROM generate_series(1, 3);
SELECT contact_id, count(*) FROM sales_hubspot.deals GROUP BY 1 ORDER BY 1;
-- the unique index says so too
INSERT INTO sales_hubspot.deals (contact_id, pipeline, stage) VALUES (1, 'Sales', 'Contract sent');
-- a rolled back meeting leaves nothing
BEGIN;
INSERT INTO sales_hubspot.contacts (id) VALUES (6);
SAVEPOINT s;
INSERT INTO sales_hubspot.events (contact_id, name, occurred_at) VALUES (6, 'Meeting Booked', '2024-01-01');
ROLLBACK TO s;
COMMIT;
SELECT id, stage FROM sales_hubspot.contacts WHERE id = 6;
SELECT count(*) FROM sales_hubspot.deals WHERE contact_id = 6;

--
-- 3. Won
--
SELECT lifecycle_tick('sales_hubspot', '2024-01-15 00:00+00') IS NOT NULL AS ticked;
UPDATE sales_hubspot.deals SET stage = 'contract SENT', amount = 100 WHERE contact_id = 1;
UPDATE sales_hubspot.deals SET stage = 'Closed won' WHERE contact_id = 1;
SELECT contact_id, stage, is_open, close_date IS NOT NULL AS closed FROM sales_hubspot.deals WHERE contact_id = 1;
SELECT close_date FROM sales_hubspot.deals WHERE contact_id = 1;
SELECT id, stage, lead_status FROM sales_hubspot.contacts ORDER BY id;
SELECT id, stage FROM sales_hubspot.companies ORDER BY id;
SELECT from_stage, to_stage, amount, cause, at FROM sales_hubspot.deal_history WHERE contact = 1 ORDER BY id;
SELECT object, contact, company, from_stage, to_stage, cause, rule FROM sales_hubspot.stage_history WHERE at = '2024-01-15' ORDER BY id;
-- a close date that is given is kept
UPDATE sales_hubspot.deals SET stage = 'Closed won', close_date = '2024-01-10 00:00+00' WHERE contact_id = 3;
SELECT contact_id, stage, is_open, close_date FROM sales_hubspot.deals WHERE contact_id = 3;
-- after that the next meeting opens a new deal; the contact stays a Customer
INSERT INTO sales_hubspot.events (contact_id, name, occurred_at) VALUES (1, 'Meeting Booked', '2024-01-15');
SELECT stage, is_open FROM sales_hubspot.deals WHERE contact_id = 1 ORDER BY id;
SELECT id, stage FROM sales_hubspot.contacts WHERE id = 1;

--
-- 4. Lost: recorded, the stage is kept; a deal may be opened again
--
UPDATE sales_hubspot.deals SET stage = 'Closed lost' WHERE contact_id = 2;
SELECT contact_id, stage, is_open, close_date IS NOT NULL AS closed FROM sales_hubspot.deals WHERE contact_id = 2;
SELECT id, stage, lead_status FROM sales_hubspot.contacts WHERE id = 2;
SELECT id, stage FROM sales_hubspot.companies WHERE id = 2;
UPDATE sales_hubspot.deals SET stage = 'Qualified to buy' WHERE contact_id = 2;
SELECT contact_id, stage, is_open FROM sales_hubspot.deals WHERE contact_id = 2;
SELECT from_stage, to_stage FROM sales_hubspot.deal_history WHERE contact = 2 ORDER BY id;
-- unless another one is open
UPDATE sales_hubspot.deals SET stage = 'Contract sent' WHERE contact_id = 1 AND NOT is_open;

--
-- 5. Deals by hand: the default pipeline, spelling, unknown stages
--
INSERT INTO sales_hubspot.contacts (id, company_id) VALUES (10, 2), (11, NULL), (12, 1);
INSERT INTO sales_hubspot.deals (contact_id, company_id, pipeline, stage) VALUES (10, 2, 'sales', 'qualified TO buy'), (11, NULL, NULL, NULL);
SELECT contact_id, pipeline, stage, is_open FROM sales_hubspot.deals WHERE contact_id >= 10 ORDER BY contact_id;
SELECT id, stage FROM sales_hubspot.contacts WHERE id >= 10 ORDER BY id;
INSERT INTO sales_hubspot.deals (contact_id, stage) VALUES (12, 'Closed own');
INSERT INTO sales_hubspot.deals (contact_id, pipeline) VALUES (12, 'Saels');
UPDATE sales_hubspot.deals SET is_open = false WHERE contact_id = 10;
SELECT contact_id, is_open FROM sales_hubspot.deals WHERE contact_id = 10;
-- a deal that is won at once
INSERT INTO sales_hubspot.deals (contact_id, company_id, stage, amount) VALUES (12, 1, 'Closed won', 5);
SELECT id, stage FROM sales_hubspot.contacts WHERE id = 12;
-- a second pipeline has a deal of its own per contact
SELECT lifecycle_add_pipeline('sales_hubspot', 'Renewals');
SELECT lifecycle_add_deal_stage('sales_hubspot', 'Renewals', 'Due', 60);
SELECT lifecycle_add_deal_stage('sales_hubspot', 'Renewals', 'Renewed', kind => 'won');
INSERT INTO sales_hubspot.deals (contact_id, pipeline, stage) VALUES (10, 'Renewals', 'Due');
INSERT INTO sales_hubspot.deals (contact_id, pipeline, stage) VALUES (10, 'Renewals', 'Due');
INSERT INTO sales_hubspot.deals (contact_id, pipeline, stage) VALUES (10, 'Renewals', 'Closed won');
SELECT pipeline, stage FROM sales_hubspot.deals WHERE contact_id = 10 ORDER BY pipeline;
-- deals go
DELETE FROM sales_hubspot.deals WHERE contact_id = 10;
SELECT pipeline, from_stage, to_stage FROM sales_hubspot.deal_history WHERE contact = 10 ORDER BY pipeline, id;
SELECT id, stage FROM sales_hubspot.contacts WHERE id = 10;
INSERT INTO sales_hubspot.events (contact_id, name, occurred_at) VALUES (10, 'Meeting Booked', '2024-01-15');
SELECT contact_id, stage FROM sales_hubspot.deals WHERE contact_id = 10;
SELECT * FROM oracle.check('sales_hubspot', '2024-01-15 00:00+00');
SELECT pipeline, month, open_deals, open_amount, won_deals, won_amount, weighted_amount FROM sales_hubspot.deal_forecast ORDER BY month;

--
-- 6. The outbox, and NOTIFY
--
DELETE FROM sales_hubspot.outbox;
\setenv PGDATABASE :DBNAME
\setenv PGTZ UTC
\! psql -Xqc "LISTEN lifecycle" -c "INSERT INTO sales_hubspot.events (contact_id, name, occurred_at) VALUES (6, 'Meeting Booked', '2024-01-15')" | sed 's/PID [0-9]*/PID n/'
SELECT lifecycle_set('sales_hubspot', 'notify', 'off');
\! psql -Xqc "LISTEN lifecycle" -c "INSERT INTO sales_hubspot.events (contact_id, name, occurred_at) VALUES (12, 'Meeting Booked', '2024-01-15')" | sed 's/PID [0-9]*/PID n/'
SELECT aggregatetype, aggregateid, type, transaction_id IS NOT NULL AS has_transaction FROM sales_hubspot.outbox ORDER BY id;
SELECT jsonb_object_keys(payload) AS key FROM sales_hubspot.outbox WHERE aggregateid = '6' ORDER BY 1;

--
-- 7. Close dates: set when won or lost, not again from won to won, gone when
-- the deal is opened again; a stage of another pipeline is none of this one
--
SELECT lifecycle_add_deal_stage('sales_hubspot', 'Sales', 'Paid', kind => 'won');
SELECT lifecycle_add_deal_stage('sales_hubspot', 'Sales', 'Hopeless', -0.01);
INSERT INTO sales_hubspot.deals (id, stage) VALUES (900, 'Closed won');
CREATE FUNCTION pg_temp.move(to_stage text, at timestamptz) RETURNS timestamptz LANGUAGE plpgsql AS $$
BEGIN
	PERFORM lifecycle_tick('sales_hubspot', at);
	UPDATE sales_hubspot.deals SET stage = to_stage WHERE id = 900;
	RETURN (SELECT close_date FROM sales_hubspot.deals WHERE id = 900);
END $$;
SELECT close_date FROM sales_hubspot.deals WHERE id = 900;
SELECT pg_temp.move('Paid', '2024-02-01') AS won_to_won;
SELECT pg_temp.move('Contract sent', '2024-02-02') AS opened_again;
SELECT pg_temp.move('Closed lost', '2024-02-03') AS lost;
SELECT pg_temp.move('Paid', '2024-02-04') AS lost_to_won;
SELECT pg_temp.move('Renewed', '2024-02-05') AS of_another_pipeline;
SELECT stage, close_date FROM sales_hubspot.deals WHERE id = 900;

SELECT count(*) FROM sales_hubspot.problem;
SELECT lifecycle_drop('sales_hubspot');
SELECT lifecycle_drop('sales_encharge');
SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
