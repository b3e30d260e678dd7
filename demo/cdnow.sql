/*
 * cdnow.sql
 *		A shop's customers and purchases, attached as they are.
 */

SET client_min_messages = notice;

\echo '1. A shop: the customers of CDNOW, 1997 to mid 1998'
\echo '---------------------------------------------------'
\echo
\echo 'The shop has two tables, shop.customers and shop.purchases. lifecycle works on'
\echo 'them as they are: a purchase is the event, its date the time of the event.'
\echo

CREATE SCHEMA shop;
CREATE TABLE shop.customers (
	customer_id int PRIMARY KEY,
	customer_since date NOT NULL);
CREATE TABLE shop.purchases (
	purchase_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	customer_id int NOT NULL REFERENCES shop.customers,
	purchased_on date NOT NULL,
	cds int NOT NULL,
	dollars numeric NOT NULL);

SELECT * FROM lifecycle_attach('cdnow',
	contacts => 'shop.customers',
	events => 'shop.purchases',
	columns => '{"events": {"name": {"constant": "Purchase"}, "time": "purchased_on"}}',
	template => 'empty');

\echo 'Three stages, and a segment of those who stopped buying:'
\echo
\echo '  First purchase   did(''Purchase'')'
\echo '  Repeat           did(''Purchase'', times => 2)'
\echo '  Loyal            event_count(''Purchase'') >= 4 AND event_sum(''Purchase'', dollars) >= 200'
\echo '  Lapsed           did(''Purchase'') AND NOT did(''Purchase'', within => ''180 days'')'
\echo

\o /dev/null
SELECT lifecycle_add_stage('cdnow', 'First purchase');
SELECT lifecycle_add_stage('cdnow', 'Repeat');
SELECT lifecycle_add_stage('cdnow', 'Loyal');

SELECT lifecycle_add_segment('cdnow', 'Bought', $$did('Purchase')$$,
							 stage => 'First purchase');
SELECT lifecycle_add_segment('cdnow', 'Bought again', $$did('Purchase', times => 2)$$,
							 stage => 'Repeat');
SELECT lifecycle_add_segment('cdnow', 'Loyal buyers',
							 $$event_count('Purchase') >= 4 AND event_sum('Purchase', dollars) >= 200$$,
							 stage => 'Loyal');
SELECT lifecycle_add_segment('cdnow', 'Lapsed',
							 $$did('Purchase') AND NOT did('Purchase', within => '180 days')$$);

/* Time is what lifecycle_tick says, so that the past can be played. */
SELECT lifecycle_set('cdnow', 'clock', 'tick');
\o

\echo 'Now 18 months are played day by day: move the clock, insert the day''s purchases.'
\echo

DO $$
DECLARE
	today date;
	total bigint := (SELECT count(*) FROM raw.purchase);
	done bigint := 0;
	inserted bigint;
BEGIN
	FOR today IN
		SELECT d::date
		  FROM generate_series('1997-01-01'::timestamp, '1998-06-30', '1 day') d
	LOOP
		PERFORM lifecycle_tick('cdnow', today::timestamptz);
		INSERT INTO shop.customers (customer_id, customer_since)
			SELECT customer, today
			  FROM raw.purchase
			 WHERE day = today
			 GROUP BY customer
			ON CONFLICT DO NOTHING;
		INSERT INTO shop.purchases (customer_id, purchased_on, cds, dollars)
			SELECT customer, day, cds, dollars
			  FROM raw.purchase
			 WHERE day = today;
		GET DIAGNOSTICS inserted = ROW_COUNT;
		done := done + inserted;
		COMMIT;
		IF extract(day FROM today + 1) = 1 THEN
			RAISE NOTICE '  %  % of % purchases', to_char(today, 'YYYY-MM'),
				to_char(done, '9,999'), to_char(total, 'FM9,999');
		END IF;
	END LOOP;
END;
$$;

\echo

/* -- the results, by lifecycle */

CREATE VIEW demo.cdnow_month AS
	SELECT d::date AS first_day, (d + interval '1 month')::date AS next_day
	  FROM generate_series('1997-01-01'::timestamp, '1998-06-01', '1 month') d;

/* Contacts by their stage at the end of each month, as the history says. */
CREATE VIEW shown.cdnow_month AS
	SELECT to_char(m.first_day, 'YYYY-MM') AS month,
		   s.*, l.*, w.*
	  FROM demo.cdnow_month m,
		   LATERAL (SELECT count(*) FILTER (WHERE h.to_stage = 'First purchase') AS first_purchase,
						   count(*) FILTER (WHERE h.to_stage = 'Repeat') AS repeat,
						   count(*) FILTER (WHERE h.to_stage = 'Loyal') AS loyal
					  FROM (SELECT DISTINCT ON (contact) contact, to_stage
							  FROM cdnow.stage_history
							 WHERE at < m.next_day AND object = 'contact'
							 ORDER BY contact, id DESC) h) s,
		   LATERAL (SELECT count(*) FILTER (WHERE h.change = 'entered') AS lapsed
					  FROM (SELECT DISTINCT ON (contact) contact, change
							  FROM cdnow.segment_history
							 WHERE at < m.next_day AND segment = 'Lapsed'
							 ORDER BY contact, id DESC) h) l,
		   LATERAL (SELECT count(*) AS won_back
					  FROM cdnow.segment_history
					 WHERE at >= m.first_day AND at < m.next_day
					   AND segment = 'Lapsed' AND change = 'left') w;

CREATE VIEW shown.cdnow_funnel AS
	SELECT stage, contacts, reached, conversion_to_next, conversion_to_last
	  FROM cdnow.funnel;

CREATE VIEW shown.cdnow_segment AS
	SELECT segment, contacts
	  FROM cdnow.segment_size;

CREATE VIEW shown.cdnow_stage_change AS
	SELECT contact AS customer, to_stage AS stage, (at AT TIME ZONE 'UTC')::date AS day
	  FROM cdnow.stage_history
	 WHERE object = 'contact';

CREATE VIEW shown.cdnow_time_in_stage AS
	SELECT stage,
		   count(*) AS left_it,
		   percentile_disc(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM cumulative_time_in)::bigint / 86400) AS median_days
	  FROM cdnow.stage_time
	 WHERE exited_at IS NOT NULL
	 GROUP BY stage;

/* -- the same, by plain SQL on the raw file */

/* What each customer had bought by the end of each day with a purchase. */
CREATE VIEW plain.cdnow_day AS
	SELECT customer, day,
		   lag(day) OVER w AS previous_day,
		   CASE WHEN sum(purchases) OVER w >= 4 AND sum(dollars) OVER w >= 200 THEN 'Loyal'
				WHEN sum(purchases) OVER w >= 2 THEN 'Repeat'
				ELSE 'First purchase'
		   END AS stage
	  FROM (SELECT customer, day, count(*) AS purchases, sum(dollars) AS dollars
			  FROM raw.purchase
			 GROUP BY customer, day) d
	WINDOW w AS (PARTITION BY customer ORDER BY day);

CREATE VIEW plain.cdnow_stage_change AS
	SELECT customer, stage, min(day) AS day
	  FROM plain.cdnow_day
	 GROUP BY customer, stage;

CREATE VIEW plain.cdnow_month AS
	SELECT to_char(m.first_day, 'YYYY-MM') AS month,
		   count(*) FILTER (WHERE d.stage = 'First purchase') AS first_purchase,
		   count(*) FILTER (WHERE d.stage = 'Repeat') AS repeat,
		   count(*) FILTER (WHERE d.stage = 'Loyal') AS loyal,
		   /* the last day of the month less 180 days is outside the window */
		   count(*) FILTER (WHERE d.day <= m.next_day - 1 - 180) AS lapsed,
		   (SELECT count(*)
			  FROM plain.cdnow_day b
			 WHERE b.day >= m.first_day AND b.day < m.next_day
			   AND b.previous_day <= b.day - 180) AS won_back
	  FROM demo.cdnow_month m,
		   LATERAL (SELECT DISTINCT ON (customer) customer, day, stage
					  FROM plain.cdnow_day
					 WHERE day < m.next_day
					 ORDER BY customer, day DESC) d
	 GROUP BY m.first_day, m.next_day;

CREATE VIEW plain.cdnow_customer AS
	SELECT customer, count(*) AS purchases, sum(dollars) AS dollars, max(day) AS last_day
	  FROM raw.purchase
	 GROUP BY customer;

CREATE VIEW plain.cdnow_funnel AS
	WITH reached AS (
		SELECT count(*) AS first,
			   count(*) FILTER (WHERE purchases >= 2) AS repeat,
			   count(*) FILTER (WHERE purchases >= 4 AND dollars >= 200) AS loyal
		  FROM plain.cdnow_customer)
	SELECT 'First purchase' AS stage, first - repeat AS contacts, first AS reached,
		   round(repeat::numeric / first, 4) AS conversion_to_next,
		   round(loyal::numeric / first, 4) AS conversion_to_last
	  FROM reached
	UNION ALL
	SELECT 'Repeat', repeat - loyal, repeat,
		   round(loyal::numeric / repeat, 4), round(loyal::numeric / repeat, 4)
	  FROM reached
	UNION ALL
	SELECT 'Loyal', loyal, loyal, NULL, 1
	  FROM reached;

CREATE VIEW plain.cdnow_segment AS
	SELECT v.segment, v.contacts
	  FROM (SELECT count(*) AS bought,
				   count(*) FILTER (WHERE purchases >= 2) AS again,
				   count(*) FILTER (WHERE purchases >= 4 AND dollars >= 200) AS loyal,
				   count(*) FILTER (WHERE last_day <= date '1998-06-30' - 180) AS lapsed
			  FROM plain.cdnow_customer) c,
		   LATERAL (VALUES ('Bought', bought), ('Bought again', again),
						   ('Loyal buyers', loyal), ('Lapsed', lapsed)) v (segment, contacts);

/* A customer may pass a stage by; the day of leaving is that of the next. */
CREATE VIEW plain.cdnow_time_in_stage AS
	SELECT stage,
		   count(*) AS left_it,
		   percentile_disc(0.5) WITHIN GROUP (ORDER BY (next_day - day)::bigint) AS median_days
	  FROM (SELECT stage, day, lead(day) OVER (PARTITION BY customer ORDER BY day) AS next_day
			  FROM plain.cdnow_stage_change) c
	 WHERE next_day IS NOT NULL
	 GROUP BY stage;

/* -- print and compare */

\o /dev/null
SELECT count(*) AS changes FROM shown.cdnow_stage_change \gset
\o
\echo 'How many customers were in each stage at the end of each month, how many had lapsed,'
\echo 'and how many of the lapsed bought again in that month:'
\echo
SELECT month, first_purchase, repeat, loyal, lapsed, won_back,
	   repeat('#', (lapsed / 75.0)::int) AS "lapsed, # is 75"
  FROM shown.cdnow_month
 ORDER BY month;
\o /dev/null
SELECT demo.check('cdnow_month');
\o
\echo
\echo The funnel now (view cdnow.funnel):
\echo
SELECT stage, contacts, reached, conversion_to_next AS to_next, conversion_to_last AS to_last,
	   repeat('#', (reached / 75.0)::int) AS "reached, # is 75"
  FROM shown.cdnow_funnel
 ORDER BY reached DESC;
\o /dev/null
SELECT demo.check('cdnow_funnel');
\o
\echo
\echo The segments now (view cdnow.segment_size):
\echo
SELECT segment, contacts
  FROM shown.cdnow_segment
 ORDER BY contacts DESC;
\o /dev/null
SELECT demo.check('cdnow_segment');
\o
\echo
\echo Days from entering a stage to the next one (view cdnow.stage_time):
\echo
SELECT stage, left_it, median_days
  FROM shown.cdnow_time_in_stage
 ORDER BY stage;
\o /dev/null
SELECT demo.check('cdnow_time_in_stage');
\o
\echo
\echo And each of the :changes stage changes in the history, by customer and day:
\o /dev/null
SELECT demo.check('cdnow_stage_change');
\o
\echo
