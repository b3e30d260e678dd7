/*
 * vega.sql
 *		Charts as Vega-Lite specifications.
 *
 * A specification holds its data, title and one sentence about them, so that
 * any viewer of Vega-Lite version 5 shows it as it stands.  Scales keep the order
 * of the data by "sort": null; rows of small charts, which do not, name it
 * in full.  A chart without data is
 * one line of text that says why, since most viewers draw empty axes for it.
 */

/* A channel of an encoding. */
CREATE FUNCTION lifecycle.vega_channel(field text, type text, title text, more jsonb DEFAULT '{}')
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_build_object('field', field, 'type', type, 'title', title)
		|| CASE WHEN type = 'nominal' THEN '{"sort": null}'::jsonb ELSE '{}' END
		|| more;
$$;
COMMENT ON FUNCTION lifecycle.vega_channel(text, text, text, jsonb) IS
'Internal. One channel of a Vega-Lite encoding.';

/* Two bars on each other: the light one, and the dark part of it. */
CREATE FUNCTION lifecycle.vega_bars(light text, dark text, names jsonb, axis text)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_build_object(
		'encoding', jsonb_build_object('y', names),
		'layer', jsonb_build_array(
			jsonb_build_object(
				'mark', '{"type": "bar", "color": "#a9cbe3", "tooltip": {"content": "data"}}'::jsonb,
				'encoding', jsonb_build_object('x', lifecycle.vega_channel(light, 'quantitative', axis))),
			jsonb_build_object(
				'mark', '{"type": "bar", "color": "#1f5f8b", "tooltip": {"content": "data"}}'::jsonb,
				'encoding', jsonb_build_object('x', lifecycle.vega_channel(dark, 'quantitative', axis)))));
$$;
COMMENT ON FUNCTION lifecycle.vega_bars(text, text, jsonb, text) IS
'Internal. Layers of a Vega-Lite specification: a light bar for one field, a dark one on it for another.';

/* What differs from chart to chart; the rest is in lifecycle_chart. */
CREATE FUNCTION lifecycle.chart_spec(chart text)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE chart
		WHEN 'funnel' THEN
			'{"width": 480}'::jsonb
			|| lifecycle.vega_bars('reached', 'contacts', lifecycle.vega_channel('stage', 'nominal', NULL),
								   'contacts that reached the stage; dark: in it now')
		WHEN 'stage_flow' THEN jsonb_build_object(
			'mark', '{"type": "bar", "color": "#1f5f8b", "tooltip": {"content": "data"}}'::jsonb,
			'width', 480, 'height', 48,
			'encoding', jsonb_build_object(
				'row', lifecycle.vega_channel('stage', 'nominal', NULL, '{"header": {"labelAngle": 0, "labelLimit": 140}}'),
				'x', lifecycle.vega_channel('month', 'ordinal', NULL),
				'y', lifecycle.vega_channel('entered', 'quantitative', 'entered')),
			'resolve', '{"scale": {"y": "independent"}}'::jsonb)
		WHEN 'cohort' THEN jsonb_build_object(
			'width', '{"step": 84}'::jsonb,
			'encoding', jsonb_build_object(
				'x', lifecycle.vega_channel('to_stage', 'nominal', NULL, '{"axis": {"orient": "top", "labelAngle": 0, "labelLimit": 80}}'),
				'y', lifecycle.vega_channel('month', 'ordinal', 'month of entry')),
			'layer', jsonb_build_array(
				jsonb_build_object(
					'mark', '{"type": "rect", "tooltip": {"content": "data"}}'::jsonb,
					'encoding', jsonb_build_object('color', lifecycle.vega_channel('conversion', 'quantitative', 'conversion',
						'{"scale": {"scheme": "blues", "domain": [0, 1]}, "legend": {"format": ".0%"}}'))),
				jsonb_build_object(
					'mark', '{"type": "text"}'::jsonb,
					'encoding', jsonb_build_object(
						'text', lifecycle.vega_channel('conversion', 'quantitative', 'conversion', '{"format": ".1%"}'),
						'color', '{"value": "#1b2430", "condition": {"test": "datum.conversion > 0.6", "value": "#ffffff"}}'::jsonb))))
		WHEN 'velocity' THEN
			'{"width": 480}'::jsonb
			|| lifecycle.vega_bars('p90_days', 'median_days', lifecycle.vega_channel('stage', 'nominal', NULL),
								   'days in the stage: nine tenths of the stays; dark: half')
		WHEN 'pipeline' THEN jsonb_build_object(
			'facet', jsonb_build_object('row', lifecycle.vega_channel('group', 'nominal', NULL)),
			'resolve', '{"scale": {"x": "independent", "y": "independent"}}'::jsonb,
			'spec', '{"width": 480}'::jsonb
				|| lifecycle.vega_bars('amount', 'weighted_amount', lifecycle.vega_channel('stage', 'nominal', NULL),
									   'amount; dark: weighted by probability'))
		WHEN 'forecast' THEN jsonb_build_object(
			'mark', '{"type": "bar", "tooltip": {"content": "data"}}'::jsonb,
			'transform', '[{"fold": ["won_amount", "open_weighted_amount"], "as": ["part", "value"]}]'::jsonb,
			'width', 480, 'height', 200,
			'encoding', jsonb_build_object(
				'row', lifecycle.vega_channel('group', 'nominal', NULL),
				'x', lifecycle.vega_channel('period', 'nominal', 'month of close date'),
				'y', '{"field": "value", "type": "quantitative", "title": "amount", "stack": "zero"}'::jsonb,
				'color', '{"field": "part", "type": "nominal", "title": null, "scale": {"domain": ["won_amount", "open_weighted_amount"], "range": ["#1f5f8b", "#a9cbe3"]}, "legend": {"labelExpr": "datum.value === ''won_amount'' ? ''won'' : ''open, weighted''"}}'::jsonb,
				'order', '{"field": "part", "type": "nominal", "sort": "descending"}'::jsonb),
			'resolve', '{"scale": {"x": "independent", "y": "independent"}}'::jsonb)
		WHEN 'customers' THEN jsonb_build_object(
			'mark', '{"type": "bar", "color": "#1f5f8b", "tooltip": {"content": "data"}}'::jsonb,
			'width', 480, 'height', 200,
			'encoding', jsonb_build_object(
				'x', lifecycle.vega_channel('since', 'ordinal', 'month that begins on'),
				'y', lifecycle.vega_channel('customers', 'quantitative', 'new customers expected')))
		WHEN 'segment_growth' THEN jsonb_build_object(
			'mark', '{"type": "line", "point": true, "tooltip": {"content": "data"}}'::jsonb,
			'width', 480, 'height', 240,
			'encoding', jsonb_build_object(
				'x', lifecycle.vega_channel('month', 'ordinal', NULL),
				'y', lifecycle.vega_channel('contacts', 'quantitative', 'contacts at the end of the month'),
				'color', lifecycle.vega_channel('segment', 'nominal', NULL)))
		END;
$$;
COMMENT ON FUNCTION lifecycle.chart_spec(text) IS
'Internal. The marks and encodings of a chart, without data, as a part of a Vega-Lite specification.';

CREATE FUNCTION @extschema@.lifecycle_chart(model text, name text)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_model(model);
	chart record := lifecycle.find_chart(lifecycle_chart.name);
	data jsonb := lifecycle.chart_data(m.name, chart.name);
	reading text := lifecycle.chart_reading(chart.name, data);
	spec jsonb;
BEGIN
	IF data = '[]' THEN
		data := jsonb_build_array(jsonb_build_object('text', reading));
		spec := '{"mark": {"type": "text", "fontSize": 13}, "width": 480, "height": 60,
				  "encoding": {"text": {"field": "text", "type": "nominal"}}}';
	ELSE
		spec := lifecycle.chart_spec(chart.name);
		IF chart.name IN ('pipeline', 'forecast') THEN
			data := (SELECT jsonb_agg(r.row || jsonb_build_object('group', concat_ws(', ', r.row ->> 'pipeline', nullif(r.row ->> 'currency', ''))) ORDER BY r.place)
					   FROM jsonb_array_elements(data) WITH ORDINALITY r ("row", place));
		END IF;
		IF chart.name IN ('stage_flow', 'pipeline', 'forecast') THEN
			spec := jsonb_set(spec, CASE chart.name WHEN 'pipeline' THEN '{facet,row,sort}' ELSE '{encoding,row,sort}' END::text[],
				(SELECT jsonb_agg(o.name ORDER BY o.place)
				   FROM (SELECT coalesce(r.row ->> 'group', r.row ->> 'stage') AS name, min(r.place) AS place
						   FROM jsonb_array_elements(data) WITH ORDINALITY r ("row", place)
						  GROUP BY 1) o));
		END IF;
		/* Without amounts, as in the report, the bars are numbers of deals. */
		IF chart.name = 'pipeline' AND NOT EXISTS (SELECT FROM jsonb_to_recordset(data) p (amount numeric) WHERE p.amount <> 0) THEN
			spec := jsonb_set(spec, '{spec}', '{"width": 480}'::jsonb
				|| lifecycle.vega_bars('deals', 'deals', lifecycle.vega_channel('stage', 'nominal', NULL), 'deals'));
		END IF;
	END IF;
	RETURN jsonb_build_object(
			'$schema', 'https://vega.github.io/schema/vega-lite/v5.json',
			'title', jsonb_build_object('text', chart.title || ': ' || m.name, 'anchor', 'start')
				|| CASE WHEN spec -> 'mark' ->> 'type' IS DISTINCT FROM 'text' THEN jsonb_build_object('subtitle', reading) ELSE '{}' END,
			'description', reading,
			'data', jsonb_build_object('values', data))
		|| spec;
END;
$$;
COMMENT ON FUNCTION @extschema@.lifecycle_chart(text, text) IS
'a chart of a model as a Vega-Lite v5 specification with its data: funnel, stage_flow, cohort, velocity, pipeline, forecast, customers or segment_growth; raises 22023, with their names, for another name';
