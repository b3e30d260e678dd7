/*
 * chart.sql
 *		What the pictures of a model show, and lifecycle_chart.
 *
 * A chart has three parts, and lifecycle_chart and lifecycle_report share the
 * first two: chart_data reads its rows from the views of the model, as a jsonb
 * array that is empty if there is nothing to show; chart_reading says in one
 * sentence what they say; and then chart_spec makes a Vega-Lite specification
 * of them, or the report draws them itself.
 *
 * All of it runs with the rights of the caller, reads the model's views and
 * nothing else of the user's, and writes nothing.
 *
 * Amounts of different currencies are never added up.
 */

/* The charts, in the order of the report. */
CREATE FUNCTION lifecycle.charts()
RETURNS TABLE (name text, title text, nothing text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	VALUES ('funnel', 'Funnel', 'No contact is in a stage on the path yet.'),
		   ('stage_flow', 'Stage flow by month', 'No contact has entered a stage yet.'),
		   ('cohort', 'Conversion by month of entry', 'No contact has entered a stage on the path yet.'),
		   ('velocity', 'Velocity', 'No contact has left a stage yet.'),
		   ('pipeline', 'Pipeline', 'There are no deals.'),
		   ('forecast', 'Forecast', 'There are no open or won deals.'),
		   ('customers', 'Customers to come', 'Nobody in the funnel is expected to go further.'),
		   ('segment_growth', 'Segment growth', 'No contact has entered a segment yet.');
$$;
COMMENT ON FUNCTION lifecycle.charts() IS
'Internal. The charts that lifecycle_chart makes: name, title, and what an empty one says.';

/* The row of one chart. */
CREATE FUNCTION lifecycle.find_chart(chart text, OUT name text, OUT title text, OUT nothing text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM lifecycle.check_argument('name', chart);
	SELECT c.* INTO find_chart.name, find_chart.title, find_chart.nothing
	  FROM lifecycle.charts() c
	 WHERE c.name = chart;
	IF find_chart.name IS NULL THEN
		RAISE EXCEPTION 'there is no chart "%"', chart
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Charts are ' || (SELECT string_agg(c.name, ', ') FROM lifecycle.charts() c) || '.';
	END IF;
END;
$$;
COMMENT ON FUNCTION lifecycle.find_chart(text) IS
'Internal. Name, title and words of a chart. Error 22023 that lists the charts if there is none of that name.';

/*
 * The query of each chart; column n orders the rows.  Months reach back two
 * years from the latest; a forecast a year back and a year ahead of the clock
 * ($1), with what lies outside in one row each.
 */
CREATE FUNCTION lifecycle.chart_query(model text, chart text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format(CASE chart
		WHEN 'funnel' THEN $query$
			SELECT row_number() OVER (ORDER BY f.position) AS n, f.stage, f.contacts, f.reached,
				   f.conversion_to_next, f.conversion_to_last
			  FROM %1$I.funnel f
			 WHERE (SELECT sum(contacts) FROM %1$I.funnel) > 0$query$
		WHEN 'stage_flow' THEN $query$
			SELECT row_number() OVER (ORDER BY f.position, f.month) AS n, f.stage,
				   to_char(f.month::timestamp, 'YYYY-MM') AS month, f.entered, f.exited, f.contacts
			  FROM (SELECT s.*, max(s.month) OVER () AS latest FROM %1$I.stage_flow s) f
			 WHERE f.month > f.latest - interval '24 months'$query$
		WHEN 'cohort' THEN $query$
			SELECT row_number() OVER (ORDER BY f.month, f.to_position) AS n, f.stage,
				   to_char(f.month::timestamp, 'YYYY-MM') AS month, f.contacts,
				   f.to_stage, f.converted, f.conversion
			  FROM (SELECT c.*, max(c.month) OVER (PARTITION BY c.position) AS latest,
						   first_value(c.position) OVER (ORDER BY c.several DESC, c.position) AS start
					  FROM (SELECT v.*, min(v.month) OVER w < max(v.month) OVER w AS several
							  FROM %1$I.conversion v
							 WHERE v.stage IN (SELECT h.to_stage FROM %1$I.stage_history h WHERE h.object = 'contact')
							WINDOW w AS (PARTITION BY v.position)) c) f
			 WHERE f.position = f.start
			   AND f.month > f.latest - interval '24 months'$query$
		WHEN 'velocity' THEN $query$
			SELECT row_number() OVER (ORDER BY v.position) AS n, v.stage, v.ended_stays, v.open_stays,
				   v.median_days, v.p90_days, v.median_days_of_all, v.p90_days_of_all
			  FROM %1$I.velocity v
			 WHERE (SELECT sum(ended_stays) FROM %1$I.velocity) > 0$query$
		WHEN 'pipeline' THEN $query$
			SELECT row_number() OVER (ORDER BY p.position, g.pipeline, g.currency, s.position, g.stage) AS n,
				   coalesce(g.pipeline, 'no pipeline') AS pipeline, coalesce(g.currency, '') AS currency, g.stage,
				   coalesce(s.kind, 'unknown') AS kind, s.probability,
				   sum(g.deals)::bigint AS deals, sum(g.amount) AS amount, sum(g.weighted_amount) AS weighted_amount
			  FROM (SELECT b.pipeline, b.currency, b.stage, count(*) AS deals,
						   coalesce(sum(b.amount), 0) AS amount, coalesce(sum(b.weighted_amount), 0) AS weighted_amount
					  FROM %1$I.deal_board b
					 GROUP BY b.pipeline, b.currency, b.stage
					UNION ALL
					SELECT e.pipeline, e.currency, d.name, 0, 0, 0
					  FROM (SELECT DISTINCT b.pipeline, b.currency FROM %1$I.deal_board b) e
					  JOIN %1$I.deal_stage d ON d.pipeline = e.pipeline) g
			  LEFT JOIN %1$I.pipeline p ON p.name = g.pipeline
			  LEFT JOIN %1$I.deal_stage s ON s.pipeline = g.pipeline AND s.name = g.stage
			 GROUP BY p.position, g.pipeline, g.currency, g.stage, s.position, s.kind, s.probability$query$
		WHEN 'forecast' THEN $query$
			WITH f AS (
				SELECT d.*,
					   CASE WHEN d.month < w.today - interval '12 months' THEN 'earlier'
							WHEN d.month > w.today + interval '12 months' THEN 'later'
							WHEN d.month IS NULL THEN 'no date'
							ELSE to_char(d.month::timestamp, 'YYYY-MM') END AS period,
					   min(d.month) FILTER (WHERE d.month BETWEEN w.today - interval '12 months' AND w.today + interval '12 months')
							OVER g AS first,
					   max(d.month) FILTER (WHERE d.month BETWEEN w.today - interval '12 months' AND w.today + interval '12 months')
							OVER g AS last
				  FROM %1$I.deal_forecast d,
					   (SELECT date_trunc('month', $1 AT TIME ZONE coalesce((SELECT value FROM %1$I.setting WHERE name = 'time_zone'), 'UTC')) AS today) w
				WINDOW g AS (PARTITION BY d.pipeline, d.currency)),
			filled AS (
				SELECT pipeline, currency, period, open_deals, open_amount, open_weighted_amount, won_deals, won_amount, weighted_amount
				  FROM f
				UNION ALL
				SELECT e.pipeline, e.currency, to_char(m, 'YYYY-MM'), 0, 0, 0, 0, 0, 0
				  FROM (SELECT DISTINCT pipeline, currency, first, last FROM f) e,
					   generate_series(e.first::timestamp, e.last::timestamp, interval '1 month') m)
			SELECT row_number() OVER (ORDER BY min(p.position), i.pipeline, i.currency,
									  CASE i.period WHEN 'earlier' THEN 1 WHEN 'later' THEN 3 WHEN 'no date' THEN 4 ELSE 2 END, i.period) AS n,
				   i.pipeline, coalesce(i.currency, '') AS currency, i.period,
				   sum(i.open_deals)::bigint AS open_deals, sum(i.open_amount) AS open_amount,
				   sum(i.open_weighted_amount) AS open_weighted_amount, sum(i.won_deals)::bigint AS won_deals,
				   sum(i.won_amount) AS won_amount, sum(i.weighted_amount) AS weighted_amount
			  FROM filled i
			  LEFT JOIN %1$I.pipeline p ON p.name = i.pipeline
			 GROUP BY i.pipeline, i.currency, i.period$query$
		WHEN 'customers' THEN $query$
			SELECT f.month AS n, to_char(f.since AT TIME ZONE coalesce((SELECT value FROM %1$I.setting WHERE name = 'time_zone'), 'UTC'), 'YYYY-MM-DD') AS since,
				   lifecycle.forecast_target(%1$L, NULL) AS target, min(f.customers) AS customers,
				   jsonb_agg(jsonb_build_object('currency', coalesce(f.currency, ''), 'amount', coalesce(f.value, 0)) ORDER BY f.currency) AS value
			  FROM @extschema@.lifecycle_forecast(%1$L, 6, $1) f
			 GROUP BY f.month, f.since$query$
		WHEN 'segment_growth' THEN $query$
			SELECT row_number() OVER (ORDER BY f.rank, f.month) AS n, f.segment,
				   to_char(f.month::timestamp, 'YYYY-MM') AS month, f.entered, f.exited, f.contacts
			  FROM (SELECT g.*, z.rank, max(g.month) OVER () AS latest
					  FROM %1$I.segment_growth g
					  JOIN (SELECT s.segment, row_number() OVER (ORDER BY s.contacts DESC, s.segment) AS rank
							  FROM %1$I.segment_size s) z ON z.segment = g.segment) f
			 WHERE f.rank <= 12
			   AND f.month > f.latest - interval '24 months'$query$
		END, model);
$$;
COMMENT ON FUNCTION lifecycle.chart_query(text, text) IS
'Internal. SQL text of the query that returns the rows of a chart of a model, with column n for their order; $1 is the clock.';

CREATE FUNCTION lifecycle.chart_data(model text, chart text)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_model(model);
	data jsonb;
BEGIN
	IF m.deals IS NULL AND chart IN ('pipeline', 'forecast') THEN
		RETURN '[]';
	END IF;
	/* A forecast needs a stage to reach. */
	IF chart = 'customers' AND lifecycle.chart_data(model, 'funnel') = '[]' THEN
		RETURN '[]';
	END IF;
	EXECUTE format('SELECT jsonb_agg(to_jsonb(r) - ''n'' ORDER BY r.n) FROM (%s) r', lifecycle.chart_query(m.name, chart))
		INTO data
		USING lifecycle.model_clock(m.name);
	IF chart = 'customers' AND NOT EXISTS (SELECT FROM jsonb_to_recordset(data) c (customers numeric) WHERE c.customers > 0) THEN
		RETURN '[]';
	END IF;
	RETURN coalesce(data, '[]');
END;
$$;
COMMENT ON FUNCTION lifecycle.chart_data(text, text) IS
'Internal. The rows of a chart of a model, as a jsonb array in the order in which they are drawn; empty if there is nothing to show. Error 42704 if there is no such model, 42501 without SELECT on what its views read.';

/* One sentence about the funnel. */
CREATE FUNCTION lifecycle.funnel_reading(data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH stage AS (
		SELECT f.stage, f.reached, f.conversion_to_next, f.place, lead(f.stage) OVER (ORDER BY f.place) AS next_stage
		  FROM ROWS FROM (jsonb_to_recordset(data) AS (stage text, reached bigint, conversion_to_next numeric)) WITH ORDINALITY
			   f (stage, reached, conversion_to_next, place)),
	/* The last stage that all have reached, and the last that any has. */
	ends AS (
		SELECT (SELECT s.place FROM stage s ORDER BY s.reached DESC, s.place DESC LIMIT 1) AS first,
			   (SELECT s.place FROM stage s WHERE s.reached > 0 ORDER BY s.place DESC LIMIT 1) AS last)
	SELECT CASE WHEN e.first = e.last
		THEN format('All %s contacts on the path have reached %s, and none has come further.', lifecycle.draw_number(a.reached), a.stage)
		ELSE format('Of %s contacts that reached %s, %s became %s%s.', lifecycle.draw_number(a.reached), a.stage,
					lifecycle.draw_percent(z.reached::numeric / a.reached), z.stage,
					(SELECT format('; the narrowest step is from %s to %s, which %s took', w.stage, w.next_stage, lifecycle.draw_percent(w.conversion_to_next))
					   FROM stage w
					  WHERE w.place >= e.first AND w.place < e.last AND e.last > e.first + 1
					  ORDER BY w.conversion_to_next, w.place
					  LIMIT 1))
		END
	  FROM ends e
	  JOIN stage a ON a.place = e.first
	  JOIN stage z ON z.place = e.last;
$$;
COMMENT ON FUNCTION lifecycle.funnel_reading(jsonb) IS
'Internal. What the rows of the chart funnel say, in one sentence.';

/* One sentence about months of stages. */
CREATE FUNCTION lifecycle.stage_flow_reading(data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH flow AS (
		SELECT * FROM jsonb_to_recordset(data) f (stage text, month text, entered bigint)),
	often AS (
		SELECT f.stage, sum(f.entered) AS entered FROM flow f GROUP BY f.stage ORDER BY 2 DESC, 1 LIMIT 1),
	busy AS (
		SELECT f.month, sum(f.entered) AS entered FROM flow f GROUP BY f.month ORDER BY 2 DESC, 1 LIMIT 1)
	SELECT CASE WHEN e.first = e.last THEN format('In %s', lifecycle.draw_month(e.first))
				ELSE format('From %s to %s', lifecycle.draw_month(e.first), lifecycle.draw_month(e.last)) END
		|| format(' contacts entered a stage %s times, most often %s (%s)', lifecycle.draw_number(e.entered), o.stage, lifecycle.draw_number(o.entered))
		|| CASE WHEN e.first = e.last THEN '.'
				ELSE format(', and most in %s (%s).', lifecycle.draw_month(b.month), lifecycle.draw_number(b.entered)) END
	  FROM often o, busy b,
		   (SELECT min(f.month) AS first, max(f.month) AS last, sum(f.entered) AS entered FROM flow f) e;
$$;
COMMENT ON FUNCTION lifecycle.stage_flow_reading(jsonb) IS
'Internal. What the rows of the chart stage_flow say, in one sentence.';

/* One sentence about cohorts: the first, the last, as far as any has come. */
CREATE FUNCTION lifecycle.cohort_reading(data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH cohort AS (
		SELECT c.*
		  FROM ROWS FROM (jsonb_to_recordset(data) AS (stage text, month text, contacts bigint, to_stage text, converted bigint, conversion numeric)) WITH ORDINALITY
			   c (stage, month, contacts, to_stage, converted, conversion, place)),
	far AS (
		SELECT c.to_stage FROM cohort c ORDER BY c.converted > 0 DESC, c.month, c.place DESC LIMIT 1),
	ends AS (
		SELECT c.*, min(c.month) OVER () AS first, max(c.month) OVER () AS last
		  FROM cohort c JOIN far f ON f.to_stage = c.to_stage)
	SELECT format('Of the %s contacts that reached %s in %s, %s have come to %s since', lifecycle.draw_number(a.contacts),
				  a.stage, lifecycle.draw_month(a.month), lifecycle.draw_percent(a.conversion), a.to_stage)
		|| CASE WHEN a.month = z.month THEN '.'
				ELSE format('; of the %s of %s, who had less time, %s.', lifecycle.draw_number(z.contacts),
							lifecycle.draw_month(z.month), lifecycle.draw_percent(z.conversion)) END
	  FROM ends a, ends z
	 WHERE a.month = a.first AND z.month = z.last;
$$;
COMMENT ON FUNCTION lifecycle.cohort_reading(jsonb) IS
'Internal. What the rows of the chart cohort say, in one sentence.';

CREATE FUNCTION lifecycle.velocity_reading(data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('Contacts stay longest in %s: half of the %s stays that ended took up to %s days, nine tenths up to %s days.',
				  v.stage, lifecycle.draw_number(v.ended_stays), lifecycle.draw_days(v.median_days), lifecycle.draw_days(v.p90_days))
	  FROM jsonb_to_recordset(data) v (stage text, ended_stays bigint, median_days numeric, p90_days numeric)
	 ORDER BY v.median_days DESC NULLS LAST, v.p90_days DESC
	 LIMIT 1;
$$;
COMMENT ON FUNCTION lifecycle.velocity_reading(jsonb) IS
'Internal. What the rows of the chart velocity say, in one sentence.';

/* Amounts with their currencies, one after the other. */
CREATE FUNCTION lifecycle.amounts(amounts jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(string_agg(concat_ws(' ', lifecycle.draw_number(a.amount), nullif(a.currency, '')), ' and ' ORDER BY a.currency), '0')
	  FROM (SELECT v.currency, sum(v.amount) AS amount
			  FROM jsonb_to_recordset(amounts) v (currency text, amount numeric)
			 GROUP BY v.currency) a;
$$;
COMMENT ON FUNCTION lifecycle.amounts(jsonb) IS
'Internal. Amounts summed by currency, in words; an array of objects with currency and amount.';

CREATE FUNCTION lifecycle.pipeline_reading(data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format(CASE WHEN max(p.amount) > 0 THEN '%1$s open %2$s worth %3$s, or %4$s weighted by probability; %5$s been won and %6$s lost.'
					   ELSE 'Open deals: %1$s; %5$s been won and %6$s lost.' END,
				  lifecycle.draw_number(coalesce(sum(p.deals) FILTER (WHERE p.kind = 'open'), 0)),
				  CASE sum(p.deals) FILTER (WHERE p.kind = 'open') WHEN 1 THEN 'deal is' ELSE 'deals are' END,
				  lifecycle.amounts(jsonb_agg(jsonb_build_object('currency', p.currency, 'amount', p.amount)) FILTER (WHERE p.kind = 'open')),
				  lifecycle.amounts(jsonb_agg(jsonb_build_object('currency', p.currency, 'amount', p.weighted_amount)) FILTER (WHERE p.kind = 'open')),
				  lifecycle.draw_number(coalesce(sum(p.deals) FILTER (WHERE p.kind = 'won'), 0))
				  || CASE coalesce(sum(p.deals) FILTER (WHERE p.kind = 'won'), 0) WHEN 1 THEN ' has' ELSE ' have' END,
				  lifecycle.draw_number(coalesce(sum(p.deals) FILTER (WHERE p.kind = 'lost'), 0)))
	  FROM jsonb_to_recordset(data) p (currency text, kind text, deals bigint, amount numeric, weighted_amount numeric);
$$;
COMMENT ON FUNCTION lifecycle.pipeline_reading(jsonb) IS
'Internal. What the rows of the chart pipeline say, in one sentence.';

CREATE FUNCTION lifecycle.forecast_reading(data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('Deals worth %s have been won, and open deals add %s weighted by probability%s.',
				  lifecycle.amounts(jsonb_agg(jsonb_build_object('currency', f.currency, 'amount', f.won_amount))),
				  lifecycle.amounts(jsonb_agg(jsonb_build_object('currency', f.currency, 'amount', f.open_weighted_amount))),
				  (SELECT CASE WHEN sum(u.open_weighted_amount) FILTER (WHERE u.period = 'no date') = sum(u.open_weighted_amount)
							   THEN ', all without a close date'
							   ELSE format(', %s of it without a close date', lifecycle.amounts(jsonb_agg(jsonb_build_object(
											'currency', u.currency, 'amount', u.open_weighted_amount)) FILTER (WHERE u.period = 'no date'))) END
					 FROM jsonb_to_recordset(data) u (currency text, period text, open_weighted_amount numeric)
				   HAVING sum(u.open_weighted_amount) FILTER (WHERE u.period = 'no date') > 0))
	  FROM jsonb_to_recordset(data) f (currency text, won_amount numeric, open_weighted_amount numeric);
$$;
COMMENT ON FUNCTION lifecycle.forecast_reading(jsonb) IS
'Internal. What the rows of the chart forecast say, in one sentence.';

CREATE FUNCTION lifecycle.customers_reading(data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('Of those who are in the funnel now, %s are expected to reach %s in six months, and %s of them in the first.',
				  lifecycle.draw_number(sum(c.customers)), min(c.target), lifecycle.draw_number((array_agg(c.customers ORDER BY c.since))[1]))
	  FROM jsonb_to_recordset(data) c (since text, target text, customers numeric);
$$;
COMMENT ON FUNCTION lifecycle.customers_reading(jsonb) IS
'Internal. What the rows of the chart customers say, in one sentence.';

CREATE FUNCTION lifecycle.segment_growth_reading(data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH growth AS (
		SELECT g.*, max(g.month) OVER () AS last
		  FROM jsonb_to_recordset(data) g (segment text, month text, entered bigint, exited bigint, contacts bigint))
	SELECT format('The largest segment is %s with %s contacts; in %s most contacts entered %s (%s).', g.segment,
				  lifecycle.draw_number(g.contacts), lifecycle.draw_month(g.last), e.segment, lifecycle.draw_number(e.entered))
	  FROM (SELECT * FROM growth WHERE month = last ORDER BY contacts DESC, segment LIMIT 1) g,
		   (SELECT * FROM growth WHERE month = last ORDER BY entered DESC, segment LIMIT 1) e;
$$;
COMMENT ON FUNCTION lifecycle.segment_growth_reading(jsonb) IS
'Internal. What the rows of the chart segment_growth say, in one sentence.';

CREATE FUNCTION lifecycle.chart_reading(chart text, data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN data = '[]' THEN (SELECT c.nothing FROM lifecycle.charts() c WHERE c.name = chart)
		ELSE CASE chart
			WHEN 'funnel' THEN lifecycle.funnel_reading(data)
			WHEN 'stage_flow' THEN lifecycle.stage_flow_reading(data)
			WHEN 'cohort' THEN lifecycle.cohort_reading(data)
			WHEN 'velocity' THEN lifecycle.velocity_reading(data)
			WHEN 'pipeline' THEN lifecycle.pipeline_reading(data)
			WHEN 'forecast' THEN lifecycle.forecast_reading(data)
			WHEN 'customers' THEN lifecycle.customers_reading(data)
			WHEN 'segment_growth' THEN lifecycle.segment_growth_reading(data)
			END
		END;
$$;
COMMENT ON FUNCTION lifecycle.chart_reading(text, jsonb) IS
'Internal. What the rows of a chart say, in one sentence; for no rows, why there are none.';
