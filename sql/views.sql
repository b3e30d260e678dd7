--
-- The views of a model, on a small set made by hand.  Each is held against
-- plain SQL on the application tables and the history, both ways.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
\set SHOW_CONTEXT never

-- Rows that only one of two queries returns: none is the proof.
CREATE FUNCTION pg_temp.difference(ours text, plain text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format(
		'SELECT ''only the view: '' || x::text FROM ((%1$s) EXCEPT ALL (%2$s)) x
		 UNION ALL
		 SELECT ''only plain SQL: '' || y::text FROM ((%2$s) EXCEPT ALL (%1$s)) y
		 ORDER BY 1', ours, plain);
END
$$;

SELECT lifecycle_create('views_model');
SELECT lifecycle_set('views_model', 'clock', 'tick');
SELECT lifecycle_set('views_model', 'time_zone', 'Asia/Tokyo');
SELECT lifecycle_tick('views_model', '2024-01-01 00:00+00') IS NOT NULL AS ticked;

INSERT INTO views_model.companies (id, name) VALUES (10, 'Ten'), (20, 'Twenty');
INSERT INTO views_model.contacts (id, email, company_id, stage, lead_status) VALUES
	(1, 'anna@example.com', 10, 'Lead', 'New'),
	(2, 'bert@example.com', 10, 'Subscriber', NULL),
	(3, 'cilla@example.com', 20, 'Lead', 'Open'),
	(4, 'dora@example.com', NULL, 'Other', NULL),
	(5, 'emil@example.com', NULL, NULL, NULL);
SELECT lifecycle_add_segment('views_model', 'Readers', $$did('Read')$$);
SELECT lifecycle_add_segment('views_model', 'Recent readers', $$did('Read', within => '7 days')$$);

SELECT lifecycle_tick('views_model', '2024-01-05 00:00+00') IS NOT NULL AS ticked;
INSERT INTO views_model.events (contact_id, name, occurred_at, properties) VALUES
	(1, 'Read', '2024-01-04 12:00+00', '{"page": 1}'),
	(2, 'Read', '2024-01-05 00:00+00', '{"page": 2}'),
	(3, 'Meeting Booked', '2024-01-05 00:00+00', '{}'),
	(NULL, 'Read', '2024-01-05 00:00+00', '{}');
UPDATE views_model.deals SET amount = 1000.50 WHERE contact_id = 3;

SELECT lifecycle_tick('views_model', '2024-01-20 00:00+00') IS NOT NULL AS ticked;
SELECT lifecycle_advance('views_model', 2, 'Lead', 'called us');
INSERT INTO views_model.events (contact_id, name, occurred_at) VALUES
	(2, 'Meeting Booked', '2024-01-20 00:00+00');
UPDATE views_model.deals
   SET stage = 'Closed won', amount = 70, close_date = '2024-01-31 16:00+00'	-- February in Tokyo
 WHERE contact_id = 2;
SELECT lifecycle_set_stage('views_model', 1, 'Subscriber', 'a mistake');
SELECT lifecycle_tick('views_model', '2024-01-22 00:00+00') IS NOT NULL AS ticked;
SELECT lifecycle_advance('views_model', 1, 'Lead', 'no mistake');
SELECT lifecycle_tick('views_model', '2024-01-25 00:00+00') IS NOT NULL AS ticked;

-- funnel: read from kept counts, the same as counting the contacts
SELECT * FROM views_model.funnel ORDER BY position;
SELECT pg_temp.difference(
	'SELECT stage, position, contacts, reached FROM views_model.funnel',
	'SELECT s.name, s.position,
			(SELECT count(*) FROM views_model.contacts c WHERE c.stage = s.name),
			(SELECT count(*) FROM views_model.contacts c JOIN views_model.stage t ON t.name = c.stage
			  WHERE t.on_path AND t.position >= s.position)
	   FROM views_model.stage s WHERE s.on_path');

-- the contacts of the stages
SELECT * FROM views_model.stage_contacts ORDER BY contact;
SELECT pg_temp.difference(
	'SELECT contact, stage, lead_status, company FROM views_model.stage_contacts',
	'SELECT id, stage, lead_status, company_id FROM views_model.contacts WHERE stage IS NOT NULL');
SELECT pg_temp.difference(
	'SELECT contact, entered_at FROM views_model.stage_contacts',
	'SELECT c.id, (SELECT h.at FROM views_model.stage_history h
					WHERE h.object = ''contact'' AND h.contact = c.id ORDER BY h.id DESC LIMIT 1)
	   FROM views_model.contacts c WHERE stage IS NOT NULL');
SELECT contact, stage FROM views_model.stage_is_lead ORDER BY contact;
SELECT pg_temp.difference(
	'TABLE views_model.stage_is_lead',
	'SELECT * FROM views_model.stage_contacts WHERE stage = ''Lead''');

-- time in stages
SELECT * FROM views_model.stage_time ORDER BY object, contact, company, entered_at, stage;
SELECT pg_temp.difference(
	'SELECT object, contact, company, stage, entered_at, exited_at, latest_entered_at, cumulative_time_in
	   FROM views_model.stage_time',
	'SELECT h.object, CASE h.object WHEN ''contact'' THEN h.contact END, CASE h.object WHEN ''company'' THEN h.company END,
			h.to_stage, min(h.at), CASE WHEN bool_and(n.at IS NOT NULL) THEN max(n.at) END, max(h.at),
			sum(coalesce(n.at, ''2024-01-25 00:00+00'') - h.at)
	   FROM views_model.stage_history h
	   LEFT JOIN LATERAL (SELECT x.at FROM views_model.stage_history x
						   WHERE x.object = h.object AND x.id > h.id
							 AND CASE h.object WHEN ''contact'' THEN x.contact = h.contact ELSE x.company = h.company END
						   ORDER BY x.id LIMIT 1) n ON true
	  WHERE h.to_stage IS NOT NULL
	  GROUP BY 1, 2, 3, 4');

-- segments and timers
SELECT segment, predicate, contacts FROM views_model.segment_size ORDER BY segment;
SELECT pg_temp.difference(
	'SELECT segment, contacts FROM views_model.segment_size',
	'SELECT ''Readers'', count(DISTINCT contact_id) FROM views_model.events WHERE name = ''Read''
	 UNION ALL
	 SELECT ''Recent readers'', count(DISTINCT contact_id) FROM views_model.events
	  WHERE name = ''Read'' AND occurred_at > ''2024-01-18 00:00+00''');
SELECT pg_temp.difference(
	'TABLE views_model.timer',
	'SELECT contact, due FROM views_model.contact_state WHERE due IS NOT NULL');

-- lead statuses
SELECT lead_status, contacts, companies FROM views_model.lead_status_board ORDER BY position;
SELECT pg_temp.difference(
	'SELECT lead_status, contacts, companies FROM views_model.lead_status_board',
	'SELECT s.name, (SELECT count(*) FROM views_model.contacts c WHERE c.lead_status = s.name),
			(SELECT count(*) FROM views_model.companies c WHERE c.lead_status = s.name)
	   FROM views_model.lead_status s');

-- deals
SELECT * FROM views_model.deal_board ORDER BY deal;
SELECT pg_temp.difference(
	'SELECT deal, pipeline, stage, kind, probability, amount, weighted_amount, contact, company, days_in_stage
	   FROM views_model.deal_board',
	'SELECT d.id, d.pipeline, d.stage, s.kind, s.probability, d.amount, d.amount * s.probability / 100, d.contact_id, d.company_id,
			CASE d.contact_id WHEN 3 THEN 20.0 ELSE 5.0 END
	   FROM views_model.deals d JOIN views_model.deal_stage s ON s.pipeline = d.pipeline AND s.name = d.stage');
SELECT * FROM views_model.deal_forecast ORDER BY month;
SELECT pg_temp.difference(
	'SELECT pipeline, month, weighted_amount, won_amount FROM views_model.deal_forecast',
	'SELECT d.pipeline, date_trunc(''month'', d.close_date AT TIME ZONE ''Asia/Tokyo'')::date,
			sum(d.amount * s.probability / 100), coalesce(sum(d.amount) FILTER (WHERE s.kind = ''won''), 0)
	   FROM views_model.deals d JOIN views_model.deal_stage s ON s.pipeline = d.pipeline AND s.name = d.stage
	  WHERE s.kind <> ''lost'' GROUP BY 1, 2');

-- the timeline
SELECT at, kind, what, detail ->> 'reason' AS reason
  FROM views_model.contact_timeline
 WHERE contact = 1
 ORDER BY at, kind, what;
SELECT pg_temp.difference(
	'SELECT contact, at, kind, what FROM views_model.contact_timeline',
	'SELECT contact_id, occurred_at, ''event'', name FROM views_model.events WHERE contact_id IS NOT NULL
	 UNION ALL SELECT contact, at, ''stage'', to_stage FROM views_model.stage_history WHERE object = ''contact''
	 UNION ALL SELECT contact, at, ''lead status'', to_status FROM views_model.lead_status_history WHERE object = ''contact''
	 UNION ALL SELECT contact, at, ''segment '' || change, segment FROM views_model.segment_history
	 UNION ALL SELECT contact, at, ''deal'', to_stage FROM views_model.deal_history');
SELECT detail FROM views_model.contact_timeline WHERE contact = 2 AND kind = 'event' AND what = 'Read';

-- All run with the rights of who reads, and say what they are.
SELECT c.relname, c.reloptions
  FROM pg_class c
 WHERE c.relnamespace = 'views_model'::regnamespace AND c.relkind = 'v'
 ORDER BY c.relname COLLATE "C";
SELECT c.relname, a.attname
  FROM pg_class c
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
 WHERE c.relnamespace = 'views_model'::regnamespace AND c.relkind = 'v'
   AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL);

-- What is built on a view stays when stages come, go and are renamed.
CREATE VIEW views_of_mine AS
	SELECT count(*) FROM views_model.stage_is_lead;
SELECT lifecycle_add_stage('views_model', 'Not-a customer, yet');
SELECT lifecycle_add_stage('views_model', '見込み客');
SELECT lifecycle_alter_stage('views_model', 'Lead', new_name => 'Prospect');
SELECT * FROM views_of_mine;
SELECT * FROM lifecycle.stage_views('views_model') ORDER BY view_name COLLATE "C";
SELECT count(*) FROM views_model.stage_is_not_a_customer_yet;
SELECT lifecycle_drop_stage('views_model', 'Not-a customer, yet');
SELECT to_regclass('views_model.stage_is_not_a_customer_yet');

-- Two stages that would share a view get one each.
SELECT lifecycle_add_stage('views_model', 'Trial user');
SELECT lifecycle_add_stage('views_model', 'Trial-user');
SELECT * FROM lifecycle.stage_views('views_model') WHERE stage ILIKE 'trial%' ORDER BY stage COLLATE "C";

-- A view of one's own in the model's schema is left alone; a name that is
-- needed and taken is an error.
CREATE VIEW views_model.stage_is_mine AS SELECT 1 AS one;
CREATE VIEW views_model.stage_is_paused AS SELECT 1 AS one;
SELECT lifecycle_add_stage('views_model', 'Paused');
SELECT * FROM views_model.stage_is_mine;

-- A model without companies and deals has no views of deals.
CREATE SCHEMA views_shop;
CREATE TABLE views_shop.customers (customer_id uuid PRIMARY KEY);
CREATE TABLE views_shop.orders (
	order_id bigint PRIMARY KEY,
	customer_id uuid NOT NULL,
	ordered_on date NOT NULL,
	total numeric);
SET client_min_messages = warning;
SELECT count(*) > 0 AS attached FROM lifecycle_attach('views_orders',
	contacts => 'views_shop.customers', events => 'views_shop.orders',
	columns => '{"events": {"name": {"constant": "Order"}, "time": "ordered_on"}}', template => 'empty');
RESET client_min_messages;
SELECT lifecycle_set('views_orders', 'time_zone', 'Asia/Tokyo');
SELECT c.relname FROM pg_class c
 WHERE c.relnamespace = 'views_orders'::regnamespace AND c.relkind = 'v'
 ORDER BY c.relname COLLATE "C";
INSERT INTO views_shop.customers VALUES ('00000000-0000-0000-0000-000000000001');
INSERT INTO views_shop.orders VALUES (1, '00000000-0000-0000-0000-000000000001', '2024-01-01', 12.5);
SELECT * FROM views_orders.contact_timeline;

SET client_min_messages = warning;
DROP VIEW views_of_mine;
SELECT lifecycle_drop('views_orders', true);
SELECT lifecycle_drop('views_model', true);
DROP SCHEMA views_shop CASCADE;
RESET client_min_messages;
