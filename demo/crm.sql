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

/*
 * The back-test once more, by another way than lifecycle goes.  There are two
 * stages before Customer here, and all leads began on one day.  A lead becomes
 * an Opportunity by a constant rate, that of the last 90 days; an Opportunity
 * becomes a Customer by the rate of its age.  remaining is the share of
 * opportunities that are still such at an age.
 */
CREATE TABLE shown.crm_backtest AS
	SELECT as_of::date AS as_of, month, round(customers, 1) AS customers, came, same_as_before,
		   round(value) AS value, value_came
	  FROM lifecycle_forecast_backtest('crm', '2017-04-01', '2017-09-01');

CREATE TABLE plain.crm_rate AS
	WITH as_of AS (
		SELECT d::date AS as_of FROM generate_series(timestamp '2017-04-01', '2017-09-01', '1 month') d),
	stay AS (		-- days watched, and whether the last of them ended it
		SELECT as_of, 'Lead' AS stage, least(engage_date, as_of) - date '2016-10-01' AS days, coalesce(engage_date <= as_of, false) AS ended
		  FROM as_of, raw.opportunity
		UNION ALL
		SELECT as_of, 'Opportunity', CASE deal_stage WHEN 'Won' THEN least(close_date, as_of) ELSE as_of END - engage_date,
			   coalesce(deal_stage = 'Won' AND close_date <= as_of, false)
		  FROM as_of, raw.opportunity WHERE engage_date <= as_of),
	day AS (
		SELECT as_of, stage, age, count(*) AS at_risk, count(*) FILTER (WHERE ended AND days = age + 1) AS moved
		  FROM stay, generate_series(0, days - 1) age
		 GROUP BY as_of, stage, age),
	well AS (
		SELECT as_of, stage, max(age) AS oldest FROM day WHERE at_risk >= 30 GROUP BY as_of, stage)
	SELECT as_of, stage, age, moved / at_risk::numeric AS rate FROM day JOIN well USING (as_of, stage) WHERE age <= oldest
	UNION ALL
	SELECT as_of, stage, n, sum(moved) / sum(at_risk)
	  FROM day JOIN well USING (as_of, stage), generate_series(oldest + 1, 500) n
	 WHERE age BETWEEN oldest - 89 AND oldest GROUP BY as_of, stage, n;

CREATE TABLE plain.crm_remaining AS
	SELECT as_of, 0 AS age, 1::numeric AS remaining FROM plain.crm_rate GROUP BY as_of
	UNION ALL
	SELECT as_of, age + 1, exp(sum(ln(1 - rate)) OVER (PARTITION BY as_of ORDER BY age)) FROM plain.crm_rate WHERE stage = 'Opportunity';

CREATE TABLE plain.crm_backtest AS
	WITH month AS (
		SELECT as_of, n AS month, (as_of + (n - 1) * interval '1 month')::date AS since, (as_of + n * interval '1 month')::date AS until
		  FROM (SELECT DISTINCT as_of FROM plain.crm_rate) a, generate_series(1, 3) n),
	expected AS (		-- customers until a day, of opportunities and of leads
		SELECT as_of, until,
			   (SELECT sum(1 - later.remaining / now.remaining)
				  FROM raw.opportunity o
				  JOIN plain.crm_remaining now ON now.as_of = m.as_of AND now.age = m.as_of - o.engage_date
				  JOIN plain.crm_remaining later ON later.as_of = m.as_of AND later.age = m.until - o.engage_date
				 WHERE o.engage_date <= m.as_of AND (o.deal_stage = 'Won' AND o.close_date <= m.as_of) IS NOT TRUE)
			   + (SELECT sum((1 - r.rate) ^ (j - 1) * r.rate * (1 - later.remaining))
				  * (SELECT count(*) FROM raw.opportunity o WHERE (o.engage_date <= m.as_of) IS NOT TRUE)
				  FROM plain.crm_rate r, generate_series(1, m.until - m.as_of) j
				  JOIN plain.crm_remaining later ON later.as_of = m.as_of AND later.age = m.until - m.as_of - j
				 WHERE r.as_of = m.as_of AND r.stage = 'Lead' AND r.age = m.as_of - date '2016-10-01') AS customers
		  FROM month m),
	won AS (
		SELECT close_date, close_value FROM raw.opportunity WHERE deal_stage = 'Won')
	SELECT m.as_of, m.month, round(e.customers - coalesce(f.customers, 0), 1) AS customers,
		   (SELECT count(*) FROM won WHERE close_date > m.since AND close_date <= m.until) AS came,
		   (SELECT count(*) FROM won WHERE close_date > m.as_of - interval '1 month' AND close_date <= m.as_of) AS same_as_before,
		   round((e.customers - coalesce(f.customers, 0)) * (SELECT avg(close_value) FROM won WHERE close_date <= m.as_of)) AS value,
		   (SELECT sum(close_value) FROM won WHERE close_date > m.since AND close_date <= m.until) AS value_came
	  FROM month m
	  JOIN expected e ON e.as_of = m.as_of AND e.until = m.until
	  LEFT JOIN expected f ON f.as_of = m.as_of AND f.until = m.since;

/* How wrong it was: the sum of the errors' absolute values by what came. */
CREATE VIEW shown.crm_error AS
	SELECT 'one month' AS forecast_of, count(*) AS forecasts, round(sum(abs(customers - came)) / sum(came) * 100, 1) AS customers_error,
		   round(sum(abs(same_as_before - came)) / sum(came) * 100, 1) AS same_as_before_error,
		   round(sum(abs(value - value_came)) / sum(value_came) * 100, 1) AS value_error
	  FROM shown.crm_backtest
	UNION ALL
	SELECT 'three months', count(*), round(sum(abs(q.customers - q.came)) / sum(q.came) * 100, 1),
		   round(sum(abs(q.same_as_before - q.came)) / sum(q.came) * 100, 1),
		   round(sum(abs(q.value - q.value_came)) / sum(q.value_came) * 100, 1)
	  FROM (SELECT sum(customers) AS customers, sum(came) AS came, sum(same_as_before) AS same_as_before,
				   sum(value) AS value, sum(value_came) AS value_came
			  FROM shown.crm_backtest GROUP BY as_of) q;

CREATE VIEW shown.crm_velocity AS
	SELECT stage, ended_stays, open_stays, median_days, p90_days
	  FROM crm.velocity
	 WHERE stage IN ('Lead', 'Opportunity');

CREATE VIEW plain.crm_velocity AS
	SELECT stage, count(ended) AS ended_stays, count(*) - count(ended) AS open_stays,
		   round((percentile_cont(0.5) WITHIN GROUP (ORDER BY ended))::numeric, 2) AS median_days,
		   round((percentile_cont(0.9) WITHIN GROUP (ORDER BY ended))::numeric, 2) AS p90_days
	  FROM (SELECT 'Lead' AS stage, engage_date - date '2016-10-01' AS ended FROM raw.opportunity
			UNION ALL
			SELECT 'Opportunity', CASE deal_stage WHEN 'Won' THEN close_date - engage_date END
			  FROM raw.opportunity WHERE engage_date IS NOT NULL) s
	 GROUP BY stage;

CREATE VIEW shown.crm_conversion AS
	SELECT month, contacts, converted, conversion
	  FROM crm.conversion
	 WHERE stage = 'Opportunity' AND to_stage = 'Customer';

CREATE VIEW plain.crm_conversion AS
	SELECT date_trunc('month', engage_date)::date AS month, count(*) AS contacts,
		   count(*) FILTER (WHERE deal_stage = 'Won') AS converted, round(avg((deal_stage = 'Won')::int), 4) AS conversion
	  FROM raw.opportunity
	 WHERE engage_date IS NOT NULL
	 GROUP BY 1;

CREATE VIEW shown.crm_flow AS
	SELECT month, stage, entered, exited, contacts
	  FROM crm.stage_flow
	 WHERE stage IN ('Lead', 'Opportunity', 'Customer');

CREATE VIEW plain.crm_flow AS
	SELECT m::date AS month, stage,
		   count(*) FILTER (WHERE entered >= m AND entered < m + interval '1 month') AS entered,
		   count(*) FILTER (WHERE exited >= m AND exited < m + interval '1 month') AS exited,
		   count(*) FILTER (WHERE entered < m + interval '1 month') - count(*) FILTER (WHERE exited < m + interval '1 month') AS contacts
	  FROM generate_series(timestamp '2016-10-01', '2017-12-01', '1 month') m,
		   (SELECT 'Lead' AS stage, date '2016-10-01' AS entered, engage_date AS exited FROM raw.opportunity
			UNION ALL
			SELECT 'Opportunity', engage_date, CASE deal_stage WHEN 'Won' THEN close_date END FROM raw.opportunity
			UNION ALL
			SELECT 'Customer', CASE deal_stage WHEN 'Won' THEN close_date END, NULL FROM raw.opportunity) s
	 GROUP BY m, stage;

CREATE VIEW shown.crm_funnel_before AS
	SELECT stage, contacts, reached
	  FROM crm.funnel_at('2017-06-30 12:00+00');

CREATE VIEW plain.crm_funnel_before AS
	WITH number AS (
		SELECT count(*) AS leads, count(*) FILTER (WHERE engage_date <= '2017-06-30') AS opportunities,
			   count(*) FILTER (WHERE deal_stage = 'Won' AND close_date <= '2017-06-30') AS customers
		  FROM raw.opportunity)
	SELECT s.stage, s.reached - s.later AS contacts, s.reached
	  FROM number,
		   LATERAL (VALUES ('Subscriber', leads, leads), ('Lead', leads, opportunities), ('MQL', opportunities, opportunities),
						   ('SQL', opportunities, opportunities), ('Opportunity', opportunities, customers),
						   ('Customer', customers, 0), ('Evangelist', 0, 0)) s (stage, reached, later);

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
\echo New customers as lifecycle would have forecast them on the first of each month,
\echo from nothing but the history until then, and how many came (lifecycle_forecast_backtest):
\echo
SELECT b.as_of,
	   max(customers) FILTER (WHERE month = 1) AS "1st month", max(came) FILTER (WHERE month = 1) AS "came",
	   max(customers) FILTER (WHERE month = 2) AS "2nd month", max(came) FILTER (WHERE month = 2) AS "came ",
	   max(customers) FILTER (WHERE month = 3) AS "3rd month", max(came) FILTER (WHERE month = 3) AS "came  ",
	   sum(customers) AS "3 months", sum(came) AS "came   ",
	   round((sum(customers) - sum(came)) / sum(came) * 100, 1) AS "error %"
  FROM shown.crm_backtest b
 GROUP BY b.as_of
 ORDER BY b.as_of;
\o /dev/null
SELECT demo.check('crm_backtest');
\o
\echo
\echo The error: the absolute differences by what came, in percent; beside it, that of
\echo expecting each month to be as the month before the forecast:
\echo
SELECT forecast_of, forecasts, customers_error AS "customers, error %", same_as_before_error AS "as before, error %",
	   value_error AS "value, error %"
  FROM shown.crm_error
 ORDER BY forecast_of;
\echo
\echo Days in a stage, of stays that have ended (view crm.velocity):
\echo
SELECT * FROM shown.crm_velocity;
\o /dev/null
SELECT demo.check('crm_velocity');
\o
\echo
\echo Cohorts: of those who became Opportunity in a month, how many are Customer (view crm.conversion):
\echo
SELECT to_char(month, 'YYYY-MM') AS month, contacts, converted, conversion, repeat('#', (conversion * 50)::int) AS "conversion, # is 2 %"
  FROM shown.crm_conversion
 ORDER BY crm_conversion.month;
\o /dev/null
SELECT demo.check('crm_conversion');
\o
\echo
\echo The funnel as it was on 2017-06-30 (function crm.funnel_at):
\echo
SELECT * FROM shown.crm_funnel_before;
\o /dev/null
SELECT demo.check('crm_funnel_before');
\o
\echo
\echo Contacts that entered and left Lead, Opportunity and Customer in each month (view crm.stage_flow):
\o /dev/null
SELECT demo.check('crm_flow');
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
