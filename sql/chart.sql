--
-- Charts: each is a Vega-Lite specification whose data are the rows of a view.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

SELECT lifecycle_create('chart_model');
SELECT lifecycle_set('chart_model', 'clock', 'tick');
SELECT lifecycle_tick('chart_model', '2024-01-10 00:00+00') IS NOT NULL AS ticked;
SELECT lifecycle_add_segment('chart_model', 'Readers', $$did('Read')$$);
SELECT lifecycle_add_segment('chart_model', 'Recent readers', $$did('Read', within => '20 days')$$);
SELECT lifecycle_add_segment('chart_model', 'Nobody', $$did('Nothing')$$);

-- forty contacts come in January, twenty in February, all as Leads
INSERT INTO chart_model.contacts (id, stage) SELECT n, 'Lead' FROM generate_series(1, 40) n;
SELECT lifecycle_tick('chart_model', '2024-02-10 00:00+00') IS NOT NULL AS ticked;
INSERT INTO chart_model.contacts (id, stage) SELECT n, 'Lead' FROM generate_series(41, 60) n;
INSERT INTO chart_model.events (contact_id, name, occurred_at)
	SELECT n, 'Read', '2024-02-09' FROM generate_series(1, 30) n;
INSERT INTO chart_model.events (contact_id, name, occurred_at)
	SELECT n, 'Meeting Booked', '2024-02-09' FROM generate_series(1, 60, 3) n;
SELECT lifecycle_tick('chart_model', '2024-04-20 00:00+00') IS NOT NULL AS ticked;
INSERT INTO chart_model.events (contact_id, name, occurred_at)
	SELECT n, 'Read', '2024-04-19' FROM generate_series(20, 35) n;
UPDATE chart_model.deals SET amount = contact_id * 100, currency = CASE WHEN contact_id < 20 THEN 'EUR' ELSE 'USD' END,
	close_date = CASE WHEN contact_id % 4 = 0 THEN NULL ELSE '2024-05-15'::timestamptz END;
UPDATE chart_model.deals SET stage = 'Closed won', close_date = '2024-04-20' WHERE contact_id % 5 = 0;
UPDATE chart_model.deals SET stage = 'Closed lost' WHERE contact_id IN (1, 7);
-- far off, in both directions
UPDATE chart_model.deals SET close_date = '2034-01-01' WHERE contact_id = 13;
UPDATE chart_model.deals SET close_date = '2014-01-01' WHERE contact_id = 31;

-- what each says
CREATE TEMP TABLE chart AS
	SELECT name, lifecycle_chart('chart_model', name) AS spec
	  FROM unnest('{funnel,stage_flow,cohort,velocity,pipeline,forecast,customers,segment_growth}'::text[]) name;
SELECT name, spec -> 'title' ->> 'text' AS title, spec ->> 'description' AS reading
  FROM chart ORDER BY name;

-- the data are the rows of the views, both ways
CREATE FUNCTION pg_temp.difference(chart text, columns text, view_query text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
	ours text := format('SELECT v.* FROM chart, jsonb_to_recordset(spec -> ''data'' -> ''values'') v (%s) WHERE name = %L', columns, chart);
BEGIN
	RETURN QUERY EXECUTE format(
		'SELECT ''only the chart: '' || x::text FROM ((%1$s) EXCEPT ALL (%2$s)) x
		 UNION ALL
		 SELECT ''only the view: '' || y::text FROM ((%2$s) EXCEPT ALL (%1$s)) y
		 ORDER BY 1', ours, view_query);
END
$$;
SELECT pg_temp.difference('funnel', 'stage text, contacts bigint, reached bigint, conversion_to_next numeric, conversion_to_last numeric',
	'SELECT stage, contacts, reached, conversion_to_next, conversion_to_last FROM chart_model.funnel');
SELECT pg_temp.difference('stage_flow', 'stage text, month text, entered bigint, exited bigint, contacts bigint',
	'SELECT stage, left(month::text, 7), entered, exited, contacts FROM chart_model.stage_flow');
SELECT pg_temp.difference('cohort', 'stage text, month text, contacts bigint, to_stage text, converted bigint, conversion numeric',
	'SELECT stage, left(month::text, 7), contacts, to_stage, converted, conversion FROM chart_model.conversion WHERE stage = ''Lead''');
SELECT pg_temp.difference('velocity', 'stage text, ended_stays bigint, open_stays bigint, median_days numeric, p90_days numeric, median_days_of_all numeric',
	'SELECT stage, ended_stays, open_stays, median_days, p90_days, median_days_of_all FROM chart_model.velocity');
SELECT pg_temp.difference('pipeline', 'pipeline text, currency text, stage text, deals bigint, amount numeric, weighted_amount numeric',
	'SELECT g.pipeline, g.currency, s.name, count(b.deal), coalesce(sum(b.amount), 0), coalesce(sum(b.weighted_amount), 0)
	   FROM (VALUES (''Sales'', ''EUR''), (''Sales'', ''USD'')) g (pipeline, currency)
	   JOIN chart_model.deal_stage s ON s.pipeline = g.pipeline
	   LEFT JOIN chart_model.deal_board b ON b.stage = s.name AND b.currency = g.currency
	  GROUP BY 1, 2, 3');
SELECT pg_temp.difference('segment_growth', 'segment text, month text, entered bigint, exited bigint, contacts bigint',
	'SELECT segment, left(month::text, 7), entered, exited, contacts FROM chart_model.segment_growth');
SELECT pg_temp.difference('customers', 'since date, customers numeric',
	'SELECT DISTINCT since::date, customers FROM lifecycle_forecast(''chart_model'', 6)');
-- the forecast has months without deals too, and one row each for what is far off
SELECT v.*
  FROM chart, jsonb_to_recordset(spec -> 'data' -> 'values')
	   v (currency text, period text, open_deals bigint, open_weighted_amount numeric, won_deals bigint, won_amount numeric)
 WHERE name = 'forecast';
SELECT currency, sum(weighted_amount) = (SELECT sum(weighted_amount) FROM chart_model.deal_forecast f WHERE f.currency = v.currency) AS all_of_it
  FROM chart, jsonb_to_recordset(spec -> 'data' -> 'values') v (currency text, weighted_amount numeric)
 WHERE name = 'forecast'
 GROUP BY currency ORDER BY currency;

-- the structure: schema, data, marks, and encodings whose fields the data have
CREATE FUNCTION pg_temp.nodes(spec jsonb) RETURNS SETOF jsonb LANGUAGE sql AS $$
	SELECT jsonb_path_query(spec - 'data', 'strict $.**')
$$;
SELECT name,
	   spec ->> '$schema' AS schema,
	   jsonb_typeof(spec -> 'data' -> 'values') AS data,
	   (SELECT string_agg(DISTINCT n -> 'mark' ->> 'type', ', ') FROM pg_temp.nodes(spec) n WHERE jsonb_typeof(n) = 'object' AND n ? 'mark') AS marks,
	   (SELECT string_agg(DISTINCT n ->> 'field', ', ') FROM pg_temp.nodes(spec) n WHERE jsonb_typeof(n) = 'object' AND n ? 'field') AS fields,
	   (SELECT string_agg(DISTINCT n ->> 'field', ', ') FROM pg_temp.nodes(spec) n
		 WHERE jsonb_typeof(n) = 'object' AND n ? 'field'
		   AND NOT (spec -> 'data' -> 'values' -> 0 ? (n ->> 'field'))
		   AND NOT coalesce(spec -> 'transform' -> 0 -> 'as' ? (n ->> 'field'), false)) AS missing
  FROM chart
 ORDER BY name;
SELECT spec -> 'encoding' -> 'row' -> 'sort' AS rows_in_order FROM chart WHERE name = 'stage_flow';
SELECT spec -> 'facet' -> 'row' -> 'sort' AS rows_in_order FROM chart WHERE name = 'pipeline';

-- deals without amounts are counted
UPDATE chart_model.deals SET amount = NULL;
SELECT jsonb_path_query_array(lifecycle_chart('chart_model', 'pipeline'), '$.spec.layer[*].encoding.x.field') AS fields,
	   lifecycle_chart('chart_model', 'pipeline') ->> 'description' AS reading;

-- an empty model has empty charts that say so
SELECT lifecycle_create('chart_empty', 'empty');
SELECT name, spec -> 'data' -> 'values' AS data, spec -> 'mark' ->> 'type' AS mark, spec -> 'encoding' -> 'text' ->> 'field' AS field
  FROM unnest('{funnel,stage_flow,cohort,velocity,pipeline,forecast,customers,segment_growth}'::text[]) name,
	   lifecycle_chart('chart_empty', name) spec
 ORDER BY name;

-- what is wrong is said in words
SELECT lifecycle_chart('chart_model', 'pie');
SELECT lifecycle_chart('chart_model', NULL);
SELECT lifecycle_chart('chart_modell', 'funnel');

-- a reader needs SELECT on the model and nothing else, and writes nothing
CREATE ROLE regress_chart_reader;
GRANT USAGE ON SCHEMA chart_model TO regress_chart_reader;
SET ROLE regress_chart_reader;
SELECT lifecycle_chart('chart_model', 'funnel');
RESET ROLE;
GRANT SELECT ON chart TO regress_chart_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA chart_model TO regress_chart_reader;
SET ROLE regress_chart_reader;
BEGIN READ ONLY;
SELECT bool_and(lifecycle_chart('chart_model', name) = spec) AS the_same FROM chart WHERE name NOT IN ('pipeline', 'forecast');
COMMIT;
RESET ROLE;

DROP TABLE chart;
SET client_min_messages = warning;
SELECT lifecycle_drop('chart_model', cascade => true);
SELECT lifecycle_drop('chart_empty', cascade => true);
DROP ROLE regress_chart_reader;
