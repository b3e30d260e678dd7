--
-- The forecast of new customers: by hand where the answer has a formula, and on
-- random data against a computation that goes another way.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never
SET intervalstyle = 'postgres';

-- 1. By hand: of 100 who become Lead at once, 40 become Customer ten days later.
SELECT lifecycle_create('forecast_model');
SELECT lifecycle_set('forecast_model', 'clock', 'tick');
SELECT lifecycle_set('forecast_model', 'notify', 'off');
SELECT lifecycle_tick('forecast_model', '2024-01-01') IS NOT NULL AS ticked;
SELECT * FROM lifecycle_forecast('forecast_model', 2);
INSERT INTO forecast_model.contacts (id, stage) SELECT i, 'Lead' FROM generate_series(1, 100) i;
SELECT lifecycle_tick('forecast_model', '2024-01-11') IS NOT NULL AS ticked;
INSERT INTO forecast_model.deals (name, contact_id, amount, currency)
	SELECT 'Deal', i, 10 * i, CASE WHEN i <= 20 THEN 'EUR' WHEN i <= 30 THEN 'USD' END FROM generate_series(1, 40) i;
SELECT lifecycle_tick('forecast_model', '2024-01-11 00:00+00') IS NOT NULL AS ticked;
UPDATE forecast_model.deals SET stage = 'Closed won' WHERE contact_id <= 40;
SELECT stage, contacts FROM forecast_model.funnel WHERE contacts > 0 ORDER BY position;
SELECT lifecycle_tick('forecast_model', '2024-01-21') IS NOT NULL AS ticked;
INSERT INTO forecast_model.contacts (id, stage) SELECT i, 'Lead' FROM generate_series(101, 150) i;

-- At age 9, the tenth day, 40 of 100 at risk moved.  The 60 others have been
-- watched for 20 days, and there is nobody older: from then on the rate is that
-- of the ages until then, 40 moves in 40 * 10 + 60 * 20 days.
SELECT state, age, to_state, round(rate::numeric, 6) AS rate, is_open
  FROM lifecycle.forecast_rates('forecast_model', 'Customer', '2024-01-21') ORDER BY state, age;
SELECT * FROM lifecycle.forecast_start('forecast_model', 'Customer', '2024-01-21') ORDER BY state, age;
SELECT month, since, until, customers, currency, value,
	   customers = round(CASE month
			WHEN 1 THEN 60 * (1 - 0.975 ^ 31) + 50 * (0.4 + 0.6 * (1 - 0.975 ^ 11))
			WHEN 2 THEN 60 * (0.975 ^ 31 - 0.975 ^ 60) + 50 * 0.6 * (0.975 ^ 11 - 0.975 ^ 40) END, 2) AS by_formula
  FROM lifecycle_forecast('forecast_model', 2) ORDER BY month, currency;

-- What a new customer brings: the mean over all 40, in each currency.
SELECT currency, round(value / customers, 3) AS each, by_hand
  FROM lifecycle_forecast('forecast_model', 1),
	   LATERAL (SELECT sum(amount) / 40 AS by_hand FROM forecast_model.deals d WHERE d.currency IS NOT DISTINCT FROM lifecycle_forecast.currency) d
 ORDER BY currency;
SELECT * FROM lifecycle_forecast_stages('forecast_model');

-- Before there is anything to learn from, nobody is expected; of a past instant
-- only what was known then is used.
SELECT month, customers, currency, value FROM lifecycle_forecast('forecast_model', 2, '2024-01-05');
SELECT month, customers FROM lifecycle_forecast('forecast_model', 1, '2023-01-05');

-- The back-test leaves out what is not over.
SELECT lifecycle_tick('forecast_model', '2024-02-25') IS NOT NULL AS ticked;
SELECT as_of, month, until, customers, came, same_as_before, currency, value, value_came
  FROM lifecycle_forecast_backtest('forecast_model', '2024-01-05', '2024-02-05', '15 days', 2) ORDER BY as_of, month, currency;

-- Mistakes.
SELECT * FROM lifecycle_forecast('forecast_model', 0);
SELECT * FROM lifecycle_forecast('forecast_model', 61);
SELECT * FROM lifecycle_forecast('forecast_model', NULL);
SELECT * FROM lifecycle_forecast('forecast_model', 3, '2030-01-01');
SELECT * FROM lifecycle_forecast('forecast_model', target => 'Costumer');
SELECT * FROM lifecycle_forecast('forecast_model', target => 'Other');
SELECT * FROM lifecycle_forecast('forecast_mode');
SELECT * FROM lifecycle_forecast_backtest('forecast_model', '2024-01-01', '2024-02-01', '0 days');
SELECT * FROM lifecycle_forecast_backtest('forecast_model', NULL, '2024-02-01');
SELECT lifecycle_create('forecast_empty', 'empty');
SELECT * FROM lifecycle_forecast('forecast_empty');
SET client_min_messages = warning;
SELECT lifecycle_drop('forecast_empty', true);
SELECT lifecycle_drop('forecast_model', true);
RESET client_min_messages;

-- 2. Random: 500 contacts move about for 300 days, at any time of day, forward,
-- backward, off the path and to no stage.
CREATE FUNCTION pg_temp.dice(n int, VARIADIC words text[]) RETURNS int
LANGUAGE sql IMMUTABLE AS $$
	SELECT (('x' || substr(md5(array_to_string(words, ',')), 1, 7))::bit(28)::int) % n
$$;
SELECT lifecycle_create('forecast_model');
SELECT lifecycle_set('forecast_model', 'clock', 'tick');
SELECT lifecycle_set('forecast_model', 'time_zone', 'Europe/Helsinki');
DO $$
DECLARE
	day date;
	d text;
BEGIN
	FOR day IN SELECT g FROM generate_series(date '2023-01-10', date '2023-11-05', interval '2 days') g LOOP
		d := day::text;
		PERFORM lifecycle_tick('forecast_model', day + interval '1 minute' * pg_temp.dice(1440, d));
		INSERT INTO forecast_model.contacts (stage)
			SELECT (ARRAY['Subscriber', 'Lead', 'Lead', NULL])[1 + pg_temp.dice(4, d, 's', i::text)]
			  FROM generate_series(1, 1 + pg_temp.dice(6, d, 'n')) i;
		UPDATE forecast_model.contacts
		   SET stage = (ARRAY['Lead', 'MQL', 'MQL', 'SQL', 'SQL', 'Customer', 'Subscriber', 'Other', NULL])[1 + pg_temp.dice(9, d, 'm', id::text)]
		 WHERE pg_temp.dice(25, d, 'u', id::text) = 0;
		UPDATE forecast_model.contacts SET stage = 'SQL' WHERE stage = 'Other' AND pg_temp.dice(25, d, 'x', id::text) = 0;
		DELETE FROM forecast_model.contacts WHERE pg_temp.dice(800, d, 'd', id::text) = 0;
	END LOOP;
	PERFORM lifecycle_tick('forecast_model', '2023-11-06 12:00+00');
END
$$;
SELECT count(DISTINCT contact) > 450 AS contacts, count(*) > 1500 AS changes,
	   count(DISTINCT contact) FILTER (WHERE to_stage = 'Customer') > 100 AS customers FROM forecast_model.stage_history;

-- Walk through each contact's history by hand.
CREATE TEMP TABLE stay (as_of timestamptz, contact bigint, stage text, entered timestamptz, exited timestamptz, next_stage text);
CREATE FUNCTION pg_temp.walk(instant timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	r record;
	who bigint;
	here text;
	since timestamptz;
	done boolean;
BEGIN
	FOR r IN SELECT contact, coalesce(to_stage, 'none') AS stage, at FROM forecast_model.stage_history
			  WHERE object = 'contact' AND at <= instant ORDER BY contact, id LOOP
		IF who IS DISTINCT FROM r.contact THEN
			IF who IS NOT NULL AND NOT done THEN
				INSERT INTO stay VALUES (instant, who, here, since);
			END IF;
			who := r.contact;
			done := false;
		ELSIF done THEN
			CONTINUE;
		ELSIF r.at > since THEN
			INSERT INTO stay VALUES (instant, who, here, since, r.at, CASE WHEN r.stage IN ('Customer', 'Evangelist') THEN 'Customer' ELSE r.stage END);
		END IF;
		here := r.stage;
		since := r.at;
		done := r.stage IN ('Customer', 'Evangelist');
	END LOOP;
	IF NOT done THEN
		INSERT INTO stay VALUES (instant, who, here, since);
	END IF;
	-- passed in an instant: the stay before goes on to what came after
	UPDATE stay s SET next_stage = coalesce((SELECT n.stage FROM stay n WHERE n.as_of = instant AND n.contact = s.contact AND n.entered = s.exited), s.next_stage)
	 WHERE s.as_of = instant AND s.exited IS NOT NULL AND s.next_stage <> 'Customer';
END
$$;
CREATE TEMP TABLE instant AS
	SELECT unnest('{2023-03-01 00:00+00,2023-07-30 22:00+00,2023-11-06 12:00+00}'::timestamptz[]) AS as_of;
SELECT count(pg_temp.walk(as_of)) FROM instant;

-- Each day of each stay that was watched to its end, and what happened on it.
CREATE TEMP TABLE watched AS
	SELECT s.as_of, s.stage, a AS age,
		   CASE WHEN s.exited > s.entered + a * interval '24 hours' AND s.exited <= s.entered + (a + 1) * interval '24 hours' THEN s.next_stage END AS moved_to
	  FROM stay s, generate_series(0, 400) a
	 WHERE s.entered + (a + 1) * interval '24 hours' <= s.as_of
	   AND (s.exited IS NULL OR s.exited > s.entered + a * interval '24 hours');
CREATE TEMP TABLE at_risk AS
	SELECT as_of, stage, age, count(*) AS n FROM watched GROUP BY 1, 2, 3;
CREATE TEMP TABLE oldest AS
	SELECT s.as_of, s.stage,
		   (SELECT max(x.age) FROM at_risk x
			 WHERE x.as_of = s.as_of AND x.stage = s.stage
			   AND (x.n >= 30 OR x.n * 2 >= (SELECT n FROM at_risk z WHERE z.as_of = s.as_of AND z.stage = s.stage AND z.age = 0))) AS age
	  FROM (SELECT DISTINCT as_of, stage FROM stay) s;
CREATE TEMP TABLE rate AS
	SELECT w.as_of, w.stage, w.age, w.moved_to, count(*)::numeric / min(x.n) AS rate
	  FROM watched w JOIN at_risk x USING (as_of, stage, age) JOIN oldest o USING (as_of, stage)
	 WHERE w.moved_to IS NOT NULL AND w.age <= o.age GROUP BY 1, 2, 3, 4
	UNION ALL
	SELECT w.as_of, w.stage, o.age + 1, w.moved_to, count(*)::numeric
		   / (SELECT sum(x.n) FROM at_risk x WHERE x.as_of = w.as_of AND x.stage = w.stage AND x.age BETWEEN o.age - 89 AND o.age)
	  FROM watched w JOIN oldest o USING (as_of, stage)
	 WHERE w.moved_to IS NOT NULL AND w.age BETWEEN o.age - 89 AND o.age GROUP BY w.as_of, w.stage, o.age, w.moved_to;
SELECT i.as_of, count(*) AS differences
  FROM instant i
  CROSS JOIN LATERAL (
	(SELECT state, age, to_state, round(rate::numeric, 9) FROM lifecycle.forecast_rates('forecast_model', 'Customer', i.as_of) WHERE rate > 0
	 EXCEPT ALL SELECT CASE stage WHEN 'none' THEN '' ELSE stage END, age, CASE moved_to WHEN 'none' THEN '' ELSE moved_to END, round(rate, 9) FROM rate WHERE as_of = i.as_of)
	UNION ALL
	(SELECT CASE stage WHEN 'none' THEN '' ELSE stage END, age, CASE moved_to WHEN 'none' THEN '' ELSE moved_to END, round(rate, 9) FROM rate WHERE as_of = i.as_of
	 EXCEPT ALL SELECT state, age, to_state, round(rate::numeric, 9) FROM lifecycle.forecast_rates('forecast_model', 'Customer', i.as_of) WHERE rate > 0)) d
 GROUP BY 1;

-- Backwards: the chance to have become Customer k days later, from each stage
-- and age, by the chances of k - 1 days.  (The engine goes forward, with people.)
CREATE TEMP TABLE chance (as_of timestamptz, k int, stage text, age int, chance numeric, PRIMARY KEY (as_of, k, stage, age));
INSERT INTO chance SELECT o.as_of, 0, o.stage, a, 0 FROM oldest o, generate_series(0, coalesce(o.age, -1) + 1) a;
DO $$
BEGIN
	FOR i IN 1 .. 62 LOOP
		INSERT INTO chance
		SELECT c.as_of, i, c.stage, c.age,
			   coalesce(sum(r.rate * coalesce(n.chance, CASE r.moved_to WHEN 'Customer' THEN 1 END)), 0)
			   + (1 - coalesce(sum(r.rate), 0)) * min(older.chance)
		  FROM chance c
		  JOIN chance older ON older.as_of = c.as_of AND older.k = i - 1 AND older.stage = c.stage
			   AND older.age = least(c.age + 1, (SELECT coalesce(o.age, -1) + 1 FROM oldest o WHERE o.as_of = c.as_of AND o.stage = c.stage))
		  LEFT JOIN rate r ON r.as_of = c.as_of AND r.stage = c.stage AND r.age = c.age
		  LEFT JOIN chance n ON n.as_of = c.as_of AND n.k = i - 1 AND n.stage = r.moved_to AND n.age = 0
		 WHERE c.k = i - 1 GROUP BY 1, 2, 3, 4;
		DELETE FROM chance WHERE k < i - 1 AND k NOT IN (0, 30, 31);
		UPDATE chance SET chance = round(chance, 15) WHERE k = i;
	END LOOP;
END
$$;
CREATE TEMP TABLE expected AS
	SELECT i.as_of, m AS month,
		   (i.as_of AT TIME ZONE 'Europe/Helsinki' + (m - 1) * interval '1 month') AT TIME ZONE 'Europe/Helsinki' AS since,
		   (i.as_of AT TIME ZONE 'Europe/Helsinki' + m * interval '1 month') AT TIME ZONE 'Europe/Helsinki' AS until
	  FROM instant i, generate_series(1, 2) m;
ALTER TABLE expected ADD customers numeric;
UPDATE expected e SET customers = (
	SELECT sum(c.chance * CASE c.k WHEN round(extract(epoch FROM e.until - e.as_of) / 86400) THEN 1 ELSE -1 END)
	  FROM stay s
	  JOIN oldest o ON o.as_of = s.as_of AND o.stage = s.stage
	  JOIN chance c ON c.as_of = s.as_of AND c.stage = s.stage AND c.age = least(floor(extract(epoch FROM s.as_of - s.entered) / 86400), coalesce(o.age, -1) + 1)
	   AND c.k IN (round(extract(epoch FROM e.since - e.as_of) / 86400), round(extract(epoch FROM e.until - e.as_of) / 86400))
	 WHERE s.as_of = e.as_of AND s.exited IS NULL AND s.stage <> 'none');
SELECT as_of, f.month, f.customers, f.since = e.since AND f.until = e.until AND f.customers = round(e.customers, 2) AS right
  FROM instant i
  CROSS JOIN LATERAL lifecycle_forecast('forecast_model', 2, i.as_of) f
  JOIN expected e USING (as_of, month)
 ORDER BY 1, 2;

-- What came: of those who had a stage then and had never been Customer.
SELECT b.as_of, b.month, b.customers, b.came, b.came = (
		SELECT count(*) FROM stay s
		 WHERE s.as_of = b.as_of AND s.exited IS NULL AND s.stage <> 'none'
		   AND (SELECT min(h.at) FROM forecast_model.stage_history h WHERE h.contact = s.contact AND h.to_stage IN ('Customer', 'Evangelist')
				 AND h.at > b.as_of) BETWEEN b.since + interval '1 microsecond' AND b.until) AS right
  FROM lifecycle_forecast_backtest('forecast_model', '2023-07-30 22:00+00', '2023-10-05 00:00+00', '63 days 10 hours', 2) b
  JOIN instant USING (as_of)
 ORDER BY 1, 2;

-- Conversion, from the equations themselves: b = R + Q b, and the days.
CREATE TEMP TABLE share AS
	WITH RECURSIVE age AS (
		SELECT as_of, stage, 0 AS age, 1::numeric AS left_over FROM oldest WHERE age IS NOT NULL
		UNION ALL
		SELECT a.as_of, a.stage, a.age + 1, a.left_over * (1 - coalesce((SELECT sum(r.rate) FROM rate r WHERE r.as_of = a.as_of AND r.stage = a.stage AND r.age = a.age), 0))
		  FROM age a JOIN oldest o ON o.as_of = a.as_of AND o.stage = a.stage AND a.age < o.age)
	SELECT a.as_of, a.stage, r.moved_to, sum(a.left_over * r.rate) AS share, sum(a.left_over * r.rate * (a.age + 0.5)) AS days
	  FROM age a JOIN rate r USING (as_of, stage, age) GROUP BY 1, 2, 3;
CREATE TEMP TABLE conversion AS SELECT DISTINCT stage, 0::numeric AS b FROM share WHERE as_of = '2023-11-06 12:00+00';
DO $$
BEGIN
	FOR i IN 1 .. 200 LOOP
		UPDATE conversion c SET b = (
			SELECT round(sum(s.share * coalesce(n.b, CASE s.moved_to WHEN 'Customer' THEN 1 ELSE 0 END)), 15)
			  FROM share s LEFT JOIN conversion n ON n.stage = s.moved_to
			 WHERE s.as_of = '2023-11-06 12:00+00' AND s.stage = c.stage);
	END LOOP;
END
$$;
SELECT f.stage, f.contacts, f.stays, f.leave, f.days, f.conversion,
	   f.contacts = (SELECT count(*) FROM stay s WHERE s.as_of = '2023-11-06 12:00+00' AND s.stage = f.stage AND s.exited IS NULL)
	   AND f.stays = (SELECT count(*) FROM stay s WHERE s.as_of = '2023-11-06 12:00+00' AND s.stage = f.stage) AS counted,
	   f.leave = round(s.leave, 4) AND f.days = round(s.days / s.leave, 1) AS left_right, f.conversion = round(c.b, 4) AS converted_right
  FROM lifecycle_forecast_stages('forecast_model') f
  LEFT JOIN (SELECT stage, sum(share) AS leave, sum(days) AS days FROM share WHERE as_of = '2023-11-06 12:00+00' GROUP BY 1) s ON s.stage = f.stage
  LEFT JOIN conversion c ON c.stage = f.stage
 ORDER BY f.position;
SET client_min_messages = warning;
SELECT lifecycle_drop('forecast_model', true);
RESET client_min_messages;
