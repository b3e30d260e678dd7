/*
 * crm.sql
 *		A sales team's opportunities, in a model made by lifecycle_create.
 */

SET client_min_messages = notice;

\echo '2. A sales team: 8,800 opportunities of a hardware reseller, 2016-10 to 2017-12'
\echo '-------------------------------------------------------------------------------'
\echo
\echo 'lifecycle_create(''crm'') makes tables of its own: crm.contacts, crm.companies,'
\echo 'crm.deals and crm.events, with the stages and the pipeline of the template hubspot.'
\echo
\echo 'Accounts are companies, and each opportunity has a contact, who starts as a Lead.'
\echo 'The demo inserts an event when a meeting is booked, and updates the deal when it is'
\echo 'won or lost. Stages, deals, companies and notifications follow by themselves.'
\echo

\o /dev/null
SET client_min_messages = warning;
SELECT lifecycle_create('crm');
RESET client_min_messages;

/* Time is what lifecycle_tick says, so that the past can be played. */
SELECT lifecycle_set('crm', 'clock', 'tick');
SELECT lifecycle_tick('crm', '2016-10-01 00:00+00');

/* Deals open with the list price of the product as their amount. */
SELECT lifecycle_alter_rule('crm', 'Meeting booked: open a deal',
	args => '{"pipeline": "Sales", "stage": "Appointment scheduled",
			  "name": "event.properties ->> ''product''",
			  "amount": "(event.properties ->> ''amount'')::numeric"}');
\o

INSERT INTO crm.companies (name)
	SELECT account
	  FROM raw.account;
INSERT INTO crm.contacts (email, company_id, industry, country, stage)
	SELECT lower(o.opportunity_id) || '@example.com', c.id, a.sector, a.office_location, 'Lead'
	  FROM raw.opportunity o
	  LEFT JOIN crm.companies c ON c.name = o.account
	  LEFT JOIN raw.account a ON a.account = o.account;

DO $$
DECLARE
	today date;
	next_day date;
	total bigint := (SELECT count(engage_date) FROM raw.opportunity);
	booked bigint := 0;
	closed bigint := 0;
	number bigint;
BEGIN
	FOR today, next_day IN
		SELECT day, lead(day) OVER (ORDER BY day)
		  FROM (SELECT engage_date AS day FROM raw.opportunity
				UNION
				SELECT close_date FROM raw.opportunity) d
		 WHERE day IS NOT NULL
		 ORDER BY day
	LOOP
		PERFORM lifecycle_tick('crm', today::timestamptz);
		INSERT INTO crm.events (contact_id, name, occurred_at, properties, message_id)
			SELECT c.id, 'Meeting Booked', o.engage_date,
				   jsonb_build_object('product', o.product, 'amount', p.sales_price, 'agent', o.sales_agent),
				   o.opportunity_id
			  FROM raw.opportunity o
			  JOIN raw.product p ON p.product = o.product
			  JOIN crm.contacts c ON c.email = lower(o.opportunity_id) || '@example.com'
			 WHERE o.engage_date = today;
		GET DIAGNOSTICS number = ROW_COUNT;
		booked := booked + number;
		UPDATE crm.deals d
		   SET stage = CASE o.deal_stage WHEN 'Won' THEN 'Closed won' ELSE 'Closed lost' END,
			   amount = o.close_value,
			   close_date = o.close_date
		  FROM raw.opportunity o
		  JOIN crm.contacts c ON c.email = lower(o.opportunity_id) || '@example.com'
		 WHERE o.close_date = today
		   AND d.contact_id = c.id;
		GET DIAGNOSTICS number = ROW_COUNT;
		closed := closed + number;
		COMMIT;
		IF next_day IS NULL OR date_trunc('month', next_day) > date_trunc('month', today) THEN
			RAISE NOTICE '  %  % of % meetings booked, % deals closed', to_char(today, 'YYYY-MM'),
				to_char(booked, '9,999'), to_char(total, 'FM9,999'), to_char(closed, '9,999');
		END IF;
	END LOOP;
END;
$$;

\echo

/* -- the results, by lifecycle */

CREATE VIEW shown.crm_funnel AS
	SELECT stage, contacts, reached, conversion_to_next, conversion_to_last
	  FROM crm.funnel;

CREATE VIEW shown.crm_board AS
	SELECT stage, kind, probability, count(*) AS deals, sum(amount) AS amount,
		   sum(weighted_amount) AS weighted_amount,
		   percentile_disc(0.5) WITHIN GROUP (ORDER BY days_in_stage)
				FILTER (WHERE kind = 'open') AS median_days_open
	  FROM crm.deal_board
	 GROUP BY stage, kind, probability;

CREATE VIEW shown.crm_forecast AS
	SELECT to_char(month, 'YYYY-MM') AS month, open_deals, open_amount, open_weighted_amount,
		   won_deals, won_amount, weighted_amount
	  FROM crm.deal_forecast
	 WHERE pipeline = 'Sales';

/* One by one: whose deal, where it stands, and whom it belongs to. */
CREATE VIEW shown.crm_deal AS
	SELECT c.email, b.name AS product, k.name AS account, b.pipeline, b.stage, b.amount,
		   (b.close_date AT TIME ZONE 'UTC')::date AS close_date, (b.stage_entered_at AT TIME ZONE 'UTC')::date AS stage_entered_on
	  FROM crm.deal_board b
	  JOIN crm.contacts c ON c.id = b.contact
	  LEFT JOIN crm.companies k ON k.id = b.company;

CREATE VIEW shown.crm_company AS
	SELECT name, industry, country, stage
	  FROM crm.companies;

CREATE VIEW shown.crm_company_stage AS
	SELECT stage, count(*) AS companies
	  FROM crm.companies
	 GROUP BY stage;

/* When each contact became what, from the history. */
CREATE VIEW shown.crm_stage_change AS
	SELECT c.email, h.to_stage AS stage, (h.at AT TIME ZONE 'UTC')::date AS day
	  FROM crm.stage_history h
	  JOIN crm.contacts c ON c.id = h.contact
	 WHERE h.object = 'contact'
	   AND h.to_stage IN ('Opportunity', 'Customer');

CREATE VIEW shown.crm_notified AS
	SELECT payload ->> 'contact' IS NOT NULL AS about_a_contact, count(*) AS notifications
	  FROM crm.outbox
	 GROUP BY 1;

CREATE VIEW shown.crm_problem AS
	SELECT count(*) AS problems
	  FROM crm.problem;

CREATE VIEW shown.crm_contact AS
	SELECT (t.at AT TIME ZONE 'UTC')::date AS day, t.kind, t.what
	  FROM crm.contact_timeline t
	  JOIN crm.contacts c ON c.id = t.contact
	 WHERE c.email = 'z063oyw0@example.com';

/* -- the same, by plain SQL on the raw files */

CREATE VIEW plain.crm_opportunity AS
	SELECT o.*,
		   lower(o.opportunity_id) || '@example.com' AS email,
		   CASE o.deal_stage WHEN 'Engaging' THEN p.sales_price ELSE o.close_value END AS amount
	  FROM raw.opportunity o
	  JOIN raw.product p ON p.product = o.product;

CREATE VIEW plain.crm_funnel AS
	WITH number AS (
		SELECT count(*) AS leads,
			   count(engage_date) AS opportunities,
			   count(*) FILTER (WHERE deal_stage = 'Won') AS customers
		  FROM plain.crm_opportunity)
	SELECT s.stage, s.reached - s.later AS contacts, s.reached,
		   CASE WHEN s.stage <> 'Evangelist' THEN round(s.later::numeric / nullif(s.reached, 0), 4) END AS conversion_to_next,
		   round(0 / nullif(s.reached, 0)::numeric, 4) AS conversion_to_last
	  FROM number,
		   LATERAL (VALUES ('Subscriber', leads, leads),
						   ('Lead', leads, opportunities),
						   ('MQL', opportunities, opportunities),
						   ('SQL', opportunities, opportunities),
						   ('Opportunity', opportunities, customers),
						   ('Customer', customers, 0),
						   ('Evangelist', 0, 0)) s (stage, reached, later);

CREATE VIEW plain.crm_board AS
	SELECT s.stage, s.kind, s.probability, count(*) AS deals, sum(o.amount) AS amount,
		   sum(o.amount * s.probability / 100) AS weighted_amount,
		   percentile_disc(0.5) WITHIN GROUP (ORDER BY (date '2017-12-31' - o.engage_date)::numeric)
				FILTER (WHERE s.kind = 'open') AS median_days_open
	  FROM plain.crm_opportunity o,
		   LATERAL (SELECT CASE o.deal_stage WHEN 'Won' THEN 'Closed won' WHEN 'Lost' THEN 'Closed lost'
								ELSE 'Appointment scheduled' END,
						   CASE o.deal_stage WHEN 'Won' THEN 'won' WHEN 'Lost' THEN 'lost' ELSE 'open' END,
						   CASE o.deal_stage WHEN 'Won' THEN 100 WHEN 'Lost' THEN 0 ELSE 20 END) s (stage, kind, probability)
	 WHERE o.engage_date IS NOT NULL
	 GROUP BY s.stage, s.kind, s.probability;

CREATE VIEW plain.crm_forecast AS
	SELECT to_char(close_date, 'YYYY-MM') AS month,
		   count(*) FILTER (WHERE deal_stage = 'Engaging') AS open_deals,
		   coalesce(sum(amount) FILTER (WHERE deal_stage = 'Engaging'), 0) AS open_amount,
		   coalesce(sum(amount) FILTER (WHERE deal_stage = 'Engaging'), 0) * 0.20 AS open_weighted_amount,
		   count(*) FILTER (WHERE deal_stage = 'Won') AS won_deals,
		   coalesce(sum(amount) FILTER (WHERE deal_stage = 'Won'), 0) AS won_amount,
		   sum(CASE deal_stage WHEN 'Won' THEN amount ELSE amount * 0.20 END) AS weighted_amount
	  FROM plain.crm_opportunity
	 WHERE deal_stage IN ('Engaging', 'Won')
	 GROUP BY 1;

CREATE VIEW plain.crm_deal AS
	SELECT email, product, account, 'Sales' AS pipeline,
		   CASE deal_stage WHEN 'Won' THEN 'Closed won' WHEN 'Lost' THEN 'Closed lost'
				ELSE 'Appointment scheduled' END AS stage,
		   amount, close_date, coalesce(close_date, engage_date) AS stage_entered_on
	  FROM plain.crm_opportunity
	 WHERE engage_date IS NOT NULL;

/* A company is as far as the furthest of its contacts. */
CREATE VIEW plain.crm_company AS
	SELECT a.account AS name,
		   CASE WHEN count(o.engage_date) > 0 THEN a.sector END AS industry,
		   CASE WHEN count(o.engage_date) > 0 THEN a.office_location END AS country,
		   CASE WHEN bool_or(o.deal_stage = 'Won') THEN 'Customer'
				WHEN count(o.engage_date) > 0 THEN 'Opportunity'
				WHEN count(o.opportunity_id) > 0 THEN 'Lead' END AS stage
	  FROM raw.account a
	  LEFT JOIN raw.opportunity o ON o.account = a.account
	 GROUP BY a.account, a.sector, a.office_location;

CREATE VIEW plain.crm_company_stage AS
	SELECT stage, count(*) AS companies
	  FROM plain.crm_company
	 GROUP BY stage;

CREATE VIEW plain.crm_stage_change AS
	SELECT email, 'Opportunity' AS stage, engage_date AS day
	  FROM plain.crm_opportunity
	 WHERE engage_date IS NOT NULL
	UNION ALL
	SELECT email, 'Customer', close_date
	  FROM plain.crm_opportunity
	 WHERE deal_stage = 'Won';

CREATE VIEW plain.crm_notified AS
	SELECT true AS about_a_contact, count(engage_date) AS notifications
	  FROM raw.opportunity;

CREATE VIEW plain.crm_problem AS
	SELECT 0::bigint AS problems;

CREATE VIEW plain.crm_contact AS
	SELECT v.day, v.kind, v.what
	  FROM plain.crm_opportunity o,
		   LATERAL (VALUES (date '2016-10-01', 'stage', 'Lead'),
						   (engage_date, 'event', 'Meeting Booked'),
						   (engage_date, 'stage', 'SQL'),
						   (engage_date, 'stage', 'Opportunity'),
						   (engage_date, 'lead status', 'Open deal'),
						   (engage_date, 'deal', 'Appointment scheduled'),
						   (close_date, 'deal', 'Closed won'),
						   (close_date, 'stage', 'Customer')) v (day, kind, what)
	 WHERE o.opportunity_id = 'Z063OYW0';

/* -- print and compare */

\o /dev/null
SELECT count(*) AS deals FROM shown.crm_deal \gset
SELECT count(*) AS changes FROM shown.crm_stage_change \gset
SELECT notifications FROM shown.crm_notified WHERE about_a_contact \gset
SELECT problems FROM shown.crm_problem \gset
\o
\echo The funnel (view crm.funnel):
\echo
SELECT stage, contacts, reached, conversion_to_next AS to_next, conversion_to_last AS to_last,
	   repeat('#', (reached / 300.0)::int) AS "reached, # is 300"
  FROM crm.funnel
 ORDER BY position;
\o /dev/null
SELECT demo.check('crm_funnel');
\o
\echo
\echo The deal board (view crm.deal_board, summed by stage):
\echo
SELECT stage, probability::int AS "probability %", deals,
	   to_char(amount, '99,999,999') AS amount,
	   to_char(weighted_amount, '99,999,990.9') AS weighted_amount, median_days_open
  FROM shown.crm_board
 ORDER BY probability;
\o /dev/null
SELECT demo.check('crm_board');
\o
\echo
\echo The weighted forecast by month of close date (view crm.deal_forecast):
\echo
SELECT coalesce(month, 'no date') AS month, open_deals,
	   to_char(open_amount, '9,999,999') AS open_amount, won_deals,
	   to_char(won_amount, '9,999,999') AS won_amount,
	   to_char(weighted_amount, '9,999,990.9') AS weighted_amount,
	   repeat('#', (weighted_amount / 50000)::int) AS "weighted, # is 50,000"
  FROM shown.crm_forecast
 ORDER BY crm_forecast.month;
\o /dev/null
SELECT demo.check('crm_forecast');
\o
\echo
\echo Companies follow their furthest contact:
\echo
SELECT *
  FROM shown.crm_company_stage
 ORDER BY companies DESC;
\o /dev/null
SELECT demo.check('crm_company_stage');
\o
\echo
\echo What one contact went through (view crm.contact_timeline):
\echo
SELECT *
  FROM shown.crm_contact
 ORDER BY day, array_position('{event,stage,lead status,deal}', kind), what DESC;
\o /dev/null
SELECT demo.check('crm_contact');
\o
\echo
\echo One by one: each of the :deals deals, whose, for what, where it stands and since when:
\o /dev/null
SELECT demo.check('crm_deal');
\o
\echo The industry, country and stage of each company:
\o /dev/null
SELECT demo.check('crm_company');
\o
\echo The :changes days on which a contact became Opportunity or Customer:
\o /dev/null
SELECT demo.check('crm_stage_change');
\o
\echo The sales team was told of :notifications meetings, through the outbox:
\o /dev/null
SELECT demo.check('crm_notified');
\o
\echo And rules and segments met :problems problems:
\o /dev/null
SELECT demo.check('crm_problem');
\o
