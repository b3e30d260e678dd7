--
-- The views that look back, on random data of 15 months: each is held against
-- plain SQL on the history and on the application tables, both ways.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\set oracle :abs_srcdir '/test/oracle/oracle.sql'
\set views :abs_srcdir '/test/oracle/views.sql'
\set ECHO none
\i :oracle
\i :views
\set ECHO all

-- Rows that only one of two queries returns: none is the proof.
CREATE FUNCTION pg_temp.difference(ours text, plain text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format(
		'SELECT ''only the view: '' || x::text FROM ((%1$s) EXCEPT ALL (%2$s)) x
		 UNION ALL
		 SELECT ''only plain SQL: '' || y::text FROM ((%2$s) EXCEPT ALL (%1$s)) y
		 ORDER BY 1 LIMIT 20', ours, plain);
END
$$;

-- A number from 0 to n - 1, always the same for the same words.
CREATE FUNCTION pg_temp.dice(n int, VARIADIC words text[]) RETURNS int
LANGUAGE sql IMMUTABLE AS $$
	SELECT (('x' || substr(md5(array_to_string(words, ',')), 1, 7))::bit(28)::int) % n
$$;

SELECT lifecycle_create('flow_model');
SELECT lifecycle_set('flow_model', 'clock', 'tick');
SELECT lifecycle_set('flow_model', 'time_zone', 'Asia/Tokyo');
SELECT lifecycle_set('flow_model', 'notify', 'off');
SELECT lifecycle_tick('flow_model', '2023-01-10 00:00+00') IS NOT NULL AS ticked;
SELECT lifecycle_add_segment('flow_model', 'Readers', $$did('Read', within => '20 days')$$);
SELECT lifecycle_add_segment('flow_model', 'Finns', $$country = 'FI'$$);
SELECT lifecycle_add_segment('flow_model', 'Nobody', $$country = 'XX'$$);

-- On each day some come, some are moved, forward mostly, some meet, some deals
-- are closed, some read, some move house, and now and then one is deleted.
DO $$
DECLARE
	day date;
	d text;
BEGIN
	FOR day IN SELECT g FROM generate_series(date '2023-01-10', date '2024-03-28', interval '3 days') g LOOP
		d := day::text;
		PERFORM lifecycle_tick('flow_model', day + interval '1 hour' * pg_temp.dice(24, d));
		INSERT INTO flow_model.contacts (email, country, stage, source)
			SELECT d || '-' || i, (ARRAY['FI', 'SE', NULL])[1 + pg_temp.dice(3, d, 'c', i::text)],
				   (ARRAY['Subscriber', 'Lead', 'Lead', NULL])[1 + pg_temp.dice(4, d, 's', i::text)],
				   (ARRAY['ads', 'search', NULL])[1 + pg_temp.dice(3, d, 'o', i::text)]
			  FROM generate_series(1, 1 + pg_temp.dice(4, d, 'n')) i;
		UPDATE flow_model.contacts
		   SET stage = (ARRAY['Lead', 'MQL', 'SQL', 'Evangelist', 'Subscriber', 'Other', NULL])[1 + pg_temp.dice(7, d, 'm', id::text)]
		 WHERE pg_temp.dice(30, d, 'u', id::text) = 0;
		INSERT INTO flow_model.events (contact_id, name, occurred_at)
			SELECT id, CASE pg_temp.dice(4, d, 'e', id::text) WHEN 0 THEN 'Meeting Booked' ELSE 'Read' END, day
			  FROM flow_model.contacts WHERE pg_temp.dice(25, d, 'v', id::text) = 0;
		UPDATE flow_model.deals
		   SET stage = (ARRAY['Closed won', 'Closed lost', 'Contract sent', 'Presentation scheduled'])[1 + pg_temp.dice(4, d, 'w', id::text)],
			   amount = pg_temp.dice(1000, d, 'a', id::text), currency = (ARRAY['EUR', 'USD', NULL])[1 + pg_temp.dice(3, id::text)],
			   close_date = day + pg_temp.dice(90, d, 'k', id::text)
		 WHERE is_open AND pg_temp.dice(15, d, 'x', id::text) = 0;
		UPDATE flow_model.contacts SET country = 'FI' WHERE pg_temp.dice(100, d, 'h', id::text) = 0;
		UPDATE flow_model.contacts SET country = 'SE' WHERE pg_temp.dice(100, d, 'i', id::text) = 0;
		DELETE FROM flow_model.contacts c
		 WHERE pg_temp.dice(300, d, 'd', id::text) = 0 AND NOT EXISTS (SELECT FROM flow_model.deals l WHERE l.contact_id = c.id);
	END LOOP;
END
$$;
SELECT lifecycle_tick('flow_model', '2024-03-31 12:00+00') IS NOT NULL AS ticked;
SELECT * FROM lifecycle_verify('flow_model');

-- There is something of everything.
SELECT count(*) FILTER (WHERE to_stage IS NULL) > 10 AS cleared, count(*) FILTER (WHERE to_stage = 'Customer') > 10 AS won,
	   count(DISTINCT contact) > 300 AS contacts, count(*) > 1000 AS changes
  FROM flow_model.stage_history;

-- The stays, once more: the next change of a contact is the one of the next id.
CREATE TEMP TABLE stay AS
	SELECT h.contact, h.to_stage AS stage, h.at AS entered, n.at AS exited, n.to_stage AS next_stage
	  FROM flow_model.stage_history h
	  LEFT JOIN LATERAL (SELECT x.at, x.to_stage FROM flow_model.stage_history x
						  WHERE x.object = 'contact' AND x.contact = h.contact AND x.id > h.id
						  ORDER BY x.id LIMIT 1) n ON true
	 WHERE h.object = 'contact' AND h.to_stage IS NOT NULL;
CREATE TEMP TABLE month AS
	SELECT m::date AS month, m AT TIME ZONE 'Asia/Tokyo' AS since, (m + interval '1 month') AT TIME ZONE 'Asia/Tokyo' AS until
	  FROM generate_series(timestamp '2023-01-01', '2024-03-01', '1 month') m;

-- stage_flow
SELECT pg_temp.difference('TABLE flow_model.stage_flow',
	'SELECT m.month, s.name, s.position,
			(SELECT count(*) FROM stay y WHERE y.stage = s.name AND y.entered >= m.since AND y.entered < m.until),
			(SELECT count(*) FROM stay y WHERE y.stage = s.name AND y.exited >= m.since AND y.exited < m.until),
			(SELECT count(*) FROM stay y WHERE y.stage = s.name AND y.entered < m.until AND (y.exited IS NULL OR y.exited >= m.until))
	   FROM month m, flow_model.stage s');
SELECT pg_temp.difference(
	'SELECT stage, contacts FROM flow_model.stage_flow WHERE month = ''2024-03-01''',
	'SELECT s.name, (SELECT count(*) FROM flow_model.contacts c WHERE c.stage = s.name) FROM flow_model.stage s');

-- velocity: the plain quantiles, and Kaplan and Meier's, by recursion
CREATE TEMP TABLE length AS
	SELECT stage, exited IS NOT NULL AS ended,
		   extract(epoch FROM coalesce(exited, '2024-03-31 12:00+00') - entered) / 86400 AS days
	  FROM stay;
SELECT pg_temp.difference(
	'SELECT stage, ended_stays, open_stays, mean_days, median_days, p90_days FROM flow_model.velocity',
	'SELECT s.name, (SELECT count(*) FROM length l WHERE l.stage = s.name AND ended),
			(SELECT count(*) FROM flow_model.contacts c WHERE c.stage = s.name),
			(SELECT round(avg(days), 2) FROM length l WHERE l.stage = s.name AND ended),
			(SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY days)::numeric, 2) FROM length l WHERE l.stage = s.name AND ended),
			(SELECT round(percentile_cont(0.9) WITHIN GROUP (ORDER BY days)::numeric, 2) FROM length l WHERE l.stage = s.name AND ended)
	   FROM flow_model.stage s');
CREATE FUNCTION pg_temp.survival_quantile(of_stage text, left_over numeric) RETURNS numeric
LANGUAGE plpgsql AS $$
DECLARE
	remaining numeric := 1;
	d numeric;
BEGIN
	FOR d IN SELECT DISTINCT days FROM length WHERE stage = of_stage AND ended ORDER BY 1 LOOP
		remaining := remaining * (1 - (SELECT count(*) FROM length WHERE stage = of_stage AND ended AND days = d)::numeric
								  / (SELECT count(*) FROM length WHERE stage = of_stage AND days >= d));
		IF round(remaining, 9) <= left_over THEN
			RETURN round(d, 2);
		END IF;
	END LOOP;
	RETURN NULL;
END
$$;
SELECT pg_temp.difference(
	'SELECT stage, median_days_of_all, p90_days_of_all FROM flow_model.velocity',
	'SELECT name, pg_temp.survival_quantile(name, 0.5), pg_temp.survival_quantile(name, 0.1) FROM flow_model.stage');
SELECT count(median_days_of_all) > 2 AS medians, bool_or(median_days_of_all > median_days) AS longer
  FROM flow_model.velocity;

-- conversion
SELECT pg_temp.difference('TABLE flow_model.conversion',
	'WITH reached AS (
		SELECT c.contact, s.name, s.position,
			   (SELECT min(y.entered) FROM stay y JOIN flow_model.stage t ON t.name = y.stage
				 WHERE y.contact = c.contact AND t.on_path AND t.position >= s.position) AS at
		  FROM (SELECT DISTINCT contact FROM stay) c, flow_model.stage s WHERE s.on_path)
	 SELECT m.month, a.name, a.position, b.name, b.position, count(*), count(b.at), round(count(b.at)::numeric / count(*), 4)
	   FROM month m JOIN reached a ON a.at >= m.since AND a.at < m.until
	   JOIN reached b ON b.contact = a.contact AND b.position > a.position
	  GROUP BY 1, 2, 3, 4, 5');

-- segments over time; the members now are those of the application's tables
SELECT pg_temp.difference('TABLE flow_model.segment_flow',
	'SELECT segment, (at AT TIME ZONE ''Asia/Tokyo'')::date, sum((change = ''entered'')::int), sum((change = ''left'')::int)
	   FROM flow_model.segment_history GROUP BY 1, 2');
SELECT pg_temp.difference('TABLE flow_model.segment_growth',
	'SELECT g.name, m.month,
			(SELECT count(*) FROM flow_model.segment_history h WHERE h.segment = g.name AND h.change = ''entered'' AND h.at >= m.since AND h.at < m.until),
			(SELECT count(*) FROM flow_model.segment_history h WHERE h.segment = g.name AND h.change = ''left'' AND h.at >= m.since AND h.at < m.until),
			(SELECT count(*) FROM (SELECT DISTINCT ON (contact) change FROM flow_model.segment_history h
									WHERE h.segment = g.name AND h.at < m.until ORDER BY contact, id DESC) l WHERE change = ''entered'')
	   FROM month m, flow_model.segment g');
SELECT pg_temp.difference(
	'SELECT segment, contacts FROM flow_model.segment_growth WHERE month = ''2024-03-01''',
	'SELECT ''Finns'', count(*) FROM flow_model.contacts WHERE country = ''FI''
	 UNION ALL SELECT ''Nobody'', 0
	 UNION ALL SELECT ''Readers'', count(DISTINCT contact_id) FROM flow_model.events e JOIN flow_model.contacts c ON c.id = e.contact_id
				WHERE e.name = ''Read'' AND occurred_at > ''2024-03-11 12:00+00''');
SELECT pg_temp.difference('TABLE flow_model.segment_contacts', 'SELECT segment, contact, entered_at FROM flow_model.segment_member');
SELECT count(*) FILTER (WHERE entered > 0) > 30 AS entered, count(*) FILTER (WHERE exited > 0) > 10 AS exited FROM flow_model.segment_flow;

-- any instant: on a change, between two, before the first, now
SELECT pg_temp.difference(
	format('SELECT %1$L, contact, stage, position, entered_at FROM flow_model.stage_at(%1$L)', at),
	format('SELECT %1$L, y.contact, y.stage, s.position, y.entered FROM stay y JOIN flow_model.stage s ON s.name = y.stage
			 WHERE y.entered <= %1$L AND (y.exited IS NULL OR y.exited > %1$L)', at))
  FROM (SELECT DISTINCT at FROM flow_model.stage_history WHERE id % 100 = 0
		UNION SELECT unnest('{2023-01-01,2023-06-30 23:59,2023-12-31 15:00,2024-03-31 12:00,infinity}'::timestamptz[])) i;
SELECT pg_temp.difference('SELECT contact, stage FROM flow_model.stage_at(''2024-03-31 12:00+00'')',
	'SELECT id, stage FROM flow_model.contacts WHERE stage IS NOT NULL');
SELECT pg_temp.difference('SELECT * FROM flow_model.funnel_at(''2024-03-31 12:00+00'')', 'TABLE flow_model.funnel');
SELECT pg_temp.difference('SELECT stage, contacts, reached FROM flow_model.funnel_at(''2023-09-30 15:00+00'')',
	'SELECT s.name, (SELECT count(*) FROM stay y WHERE y.stage = s.name AND y.entered <= ''2023-09-30 15:00+00'' AND (y.exited > ''2023-09-30 15:00+00'') IS NOT FALSE),
			(SELECT count(*) FROM stay y JOIN flow_model.stage t ON t.name = y.stage
			  WHERE t.on_path AND t.position >= s.position AND y.entered <= ''2023-09-30 15:00+00'' AND (y.exited > ''2023-09-30 15:00+00'') IS NOT FALSE)
	   FROM flow_model.stage s WHERE s.on_path');
SELECT sum(contacts) AS nobody FROM flow_model.funnel_at('2020-01-01');

-- the forecast by month of close, with categories that two settings bound
SELECT lifecycle_set('flow_model', 'forecast_best_case', '60.5');
SELECT lifecycle_set('flow_model', 'forecast_commit', '90');
CREATE TEMP TABLE deal AS
	SELECT d.pipeline, date_trunc('month', d.close_date AT TIME ZONE 'Asia/Tokyo')::date AS month, d.currency, d.amount,
		   s.probability, s.kind, d.id,
		   CASE WHEN d.stage = 'Closed won' THEN 'closed' WHEN d.stage = 'Closed lost' THEN 'lost' WHEN s.probability < 60.5 THEN 'pipeline'
				WHEN s.probability < 90 THEN 'best case' ELSE 'commit' END AS category
	  FROM flow_model.deals d JOIN flow_model.deal_stage s ON s.name = d.stage;
SELECT pg_temp.difference('SELECT deal, category FROM flow_model.deal_board', 'SELECT id, category FROM deal');
SELECT pg_temp.difference('TABLE flow_model.deal_forecast',
	'SELECT pipeline, month, currency, coalesce(sum(amount * probability) / 100, 0),
			count(CASE kind WHEN ''open'' THEN 1 END), coalesce(sum(CASE kind WHEN ''open'' THEN amount END), 0),
			coalesce(sum(CASE kind WHEN ''open'' THEN amount * probability END) / 100, 0),
			count(CASE kind WHEN ''won'' THEN 1 END), coalesce(sum(CASE kind WHEN ''won'' THEN amount END), 0),
			count(CASE category WHEN ''pipeline'' THEN 1 END), coalesce(sum(CASE category WHEN ''pipeline'' THEN amount END), 0),
			count(CASE category WHEN ''best case'' THEN 1 END), coalesce(sum(CASE category WHEN ''best case'' THEN amount END), 0),
			count(CASE category WHEN ''commit'' THEN 1 END), coalesce(sum(CASE category WHEN ''commit'' THEN amount END), 0)
	   FROM deal WHERE category <> ''lost'' GROUP BY 1, 2, 3');
SELECT count(DISTINCT category) AS categories, count(DISTINCT month) > 10 AS months, count(DISTINCT currency) AS currencies FROM deal;
SELECT lifecycle_set('flow_model', 'forecast_commit', '101');
SELECT lifecycle_set('flow_model', 'forecast_commit', '-1');
SELECT lifecycle_set('flow_model', 'forecast_commit', 'likely');

-- the funnel by a column of the contacts, and of their companies
INSERT INTO flow_model.companies (name, industry) VALUES ('One', 'steel'), ('Two', 'wood'), ('Three', NULL);
UPDATE flow_model.contacts SET company_id = id % 4 WHERE id % 4 > 0;
SELECT pg_temp.difference('SELECT * FROM lifecycle_breakdown(''flow_model'', ''' || by || ''')',
	format('WITH c AS (SELECT %s::text AS value, c.stage FROM flow_model.contacts c LEFT JOIN flow_model.companies k ON k.id = c.company_id),
			v AS (SELECT DISTINCT value FROM c)
	 SELECT v.value, (SELECT count(*) FROM c WHERE c.value IS NOT DISTINCT FROM v.value), s.name, s.position,
			(SELECT count(*) FROM c WHERE c.value IS NOT DISTINCT FROM v.value AND c.stage = s.name),
			(SELECT count(*) FROM c JOIN flow_model.stage t ON t.name = c.stage WHERE c.value IS NOT DISTINCT FROM v.value AND t.on_path AND t.position >= s.position),
			(SELECT round(avg(coalesce(t.on_path AND t.position >= s.position, false)::int), 4) FROM c LEFT JOIN flow_model.stage t ON t.name = c.stage WHERE c.value IS NOT DISTINCT FROM v.value)
	   FROM v, flow_model.stage s WHERE s.on_path', expression))
  FROM (VALUES ('source', 'c.source'), ('country', 'c.country'), ('company.industry', 'k.industry'), ('company_id', 'c.company_id')) b (by, expression);
SELECT count(DISTINCT value) AS values, bool_or(value IS NULL) AS null_too FROM lifecycle_breakdown('flow_model', 'source');
SELECT * FROM lifecycle_breakdown('flow_model', 'sorce');
SELECT * FROM lifecycle_breakdown('flow_model', 'company.industri');
SELECT * FROM lifecycle_breakdown('flow_model', NULL);

-- Every view once more, by the queries that are used on real data too; those that
-- have no row here.
SELECT * FROM oracle.check_views('flow_model', '2024-03-31 12:00+00', '{source,country}');
SELECT what FROM oracle.count_views('flow_model', '2024-03-31 12:00+00', '{source,country}') WHERE rows = 0 ORDER BY 1;
-- A deal that comes to a stage of the same name in another pipeline enters it.
SELECT lifecycle_add_pipeline('flow_model', 'Renewals');
SELECT lifecycle_add_deal_stage('flow_model', 'Renewals', 'Contract sent', 70);
INSERT INTO flow_model.deals (id, stage) VALUES (9001, 'Contract sent');
SELECT lifecycle_tick('flow_model', '2024-04-02 12:00+00') IS NOT NULL AS ticked;
UPDATE flow_model.deals SET pipeline = 'Renewals' WHERE id = 9001;
SELECT lifecycle_tick('flow_model', '2024-04-03 12:00+00') IS NOT NULL AS ticked;
SELECT pipeline, stage, stage_entered_at, days_in_stage FROM flow_model.deal_board WHERE deal = 9001;
SELECT * FROM oracle.check_views('flow_model', '2024-04-03 12:00+00');

-- What is built on the functions of an instant keeps a model from being
-- dropped; a function of one's own of that name keeps it from being made.
CREATE VIEW flow_of_mine AS SELECT count(*) FROM flow_model.funnel_at('2023-09-30');
SELECT lifecycle_drop('flow_model');
SELECT lifecycle_add_stage('flow_model', 'Trial');
SELECT count(*) FROM flow_model.funnel_at('2024-03-31 12:00+00');
SET client_min_messages = warning;
SELECT lifecycle_drop('flow_model', true);
RESET client_min_messages;
SELECT to_regclass('flow_of_mine');
SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
