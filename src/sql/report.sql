/*
 * report.sql
 *		All charts of a model on one page that needs nothing else.
 *
 * The page has no script, no font and no address in it: a browser opens it
 * from a file, and a mail program may show it.  It is well-formed XML, so that
 * programs can read the numbers out of its tables.  Each picture has its
 * numbers beside it in a table, below it where they are many.
 */

CREATE FUNCTION lifecycle.report_style()
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT $css$
:root { color-scheme: light dark;
	--page: #f4f6f8; --paper: #ffffff; --text: #1b2430; --muted: #55606e; --rule: #d5dbe2;
	--dark: #1f5f8b; --light: #b5d2e7; --edge: #4a87b3; --track: #eef2f6;
	--heat0: #eef2f6; --heat1: #d4e4f1; --heat2: #a5c9e3; --heat3: #2f739f; --heat4: #174a70;
	--on0: #1b2430; --on1: #1b2430; --on2: #1b2430; --on3: #ffffff; --on4: #ffffff; }
@media (prefers-color-scheme: dark) { :root {
	--page: #0f1317; --paper: #171c22; --text: #e7ebef; --muted: #a6b0bb; --rule: #333c46;
	--dark: #6bb0df; --light: #274a63; --edge: #5b9cc9; --track: #20272f;
	--heat0: #20272f; --heat1: #1d3648; --heat2: #244f6e; --heat3: #4f97c6; --heat4: #8fc5e9;
	--on0: #e7ebef; --on1: #e7ebef; --on2: #ffffff; --on3: #0f1317; --on4: #0f1317; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
	font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
header, main, footer { max-width: 1080px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 40px; }
h1 { font-size: 28px; line-height: 1.2; font-weight: 650; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 19px; line-height: 1.3; font-weight: 650; margin: 0; }
h3 { font-size: 14px; font-weight: 650; margin: 20px 0 8px; overflow-wrap: anywhere; }
p { margin: 4px 0 0; max-width: 72ch; overflow-wrap: anywhere; }
.asof, footer, .note, .legend { color: var(--muted); font-size: 14px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 1px; margin: 24px 0 0;
	background: var(--rule); border: 1px solid var(--rule); border-radius: 6px; overflow: hidden; }
.figures div { background: var(--paper); padding: 12px 16px; }
.figures dt { color: var(--muted); font-size: 13px; overflow-wrap: anywhere; }
.figures dd { margin: 0; font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
section { background: var(--paper); border: 1px solid var(--rule); border-radius: 6px; padding: 24px; margin: 20px 0; }
.beside { display: grid; grid-template-columns: minmax(0, 1fr); gap: 8px 40px; margin-top: 16px; }
@media (min-width: 900px) { .beside { grid-template-columns: minmax(0, 11fr) minmax(0, 9fr); } }
.below { margin-top: 16px; }
.legend { margin: 10px 0 0; }
.legend > span { display: inline-block; margin-right: 12px; }
.key { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 6px; border: 1px solid var(--edge); }
.key.dark { background: var(--dark); border-color: var(--dark); }
.key.light { background: var(--light); }
.picture { display: block; overflow: hidden; font-size: 13px; font-variant-numeric: tabular-nums; }
.picture text { fill: var(--text); }
.picture .name { font-weight: 600; }
.picture .label, .picture .axis { fill: var(--muted); }
.picture .axis { font-size: 12px; } .picture .axis.narrow { font-size: 11px; }
.picture .dark { fill: var(--dark); }
.picture .light { fill: var(--light); stroke: var(--edge); stroke-width: 0.75; }
.picture .light[width="0%"], .picture .light[height="0"] { stroke: none; }
.picture .track, .picture .empty { fill: var(--track); }
.picture .area { fill: var(--track); }
.picture .line { fill: none; stroke: var(--dark); stroke-width: 1.75; vector-effect: non-scaling-stroke; }
.picture .sensor { fill: transparent; }
.picture .base { stroke: var(--muted); stroke-width: 1; }
.picture .grid { stroke: var(--rule); stroke-width: 1; }
.heat0 { fill: var(--heat0); } .heat1 { fill: var(--heat1); } .heat2 { fill: var(--heat2); }
.heat3 { fill: var(--heat3); } .heat4 { fill: var(--heat4); }
.picture .on0 { fill: var(--on0); } .picture .on1 { fill: var(--on1); } .picture .on2 { fill: var(--on2); }
.picture .on3 { fill: var(--on3); } .picture .on4 { fill: var(--on4); }
.narrow { display: none; }
@media (max-width: 559px) { .narrow { display: inline; } .wide { display: none; } }
.scroll { position: relative; overflow-x: auto; max-width: 100%; container-type: inline-size; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--dark); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; line-height: 1.4; font-variant-numeric: tabular-nums; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.caption { color: var(--muted); font-size: 13px; margin: 0 0 6px; }
th, td { text-align: right; padding: 5px 0 5px 10px; border-bottom: 1px solid var(--rule); vertical-align: top; white-space: nowrap; }
thead th { color: var(--muted); font-weight: 500; vertical-align: bottom; white-space: normal; }
th:first-child { text-align: left; padding-left: 0; }
tbody th { font-weight: 500; white-space: normal; overflow-wrap: anywhere; min-width: 8em; max-width: 22em; }
.heat { min-width: var(--w); max-width: calc(var(--w) * 1.5); }
details { margin-top: 16px; }
summary { cursor: pointer; color: var(--muted); font-size: 14px; }
details .caption { margin-top: 8px; }
footer { padding-bottom: 40px; }
@media (max-width: 559px) { header, main, footer { padding-left: 12px; padding-right: 12px; }
	header { padding-top: 24px; } section { padding: 16px; } h1 { font-size: 23px; }
	.heat { min-width: calc(var(--w) * 0.575); } }
@media (max-width: 359px) { header, main, footer { padding-left: 6px; padding-right: 6px; } section { padding: 12px 10px; } }
@media print { body { background: none; } section { break-inside: avoid; border: 0; padding: 0; } }
$css$ || (SELECT string_agg(format($css$@container (max-width: %2$spx) {
	.w%1$s, .w%1$s tbody { display: block; }
	.w%1$s thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%%); }
	.w%1$s tr { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 0 20px; padding: 6px 0; border-bottom: 1px solid var(--rule); }
	.w%1$s tbody th { grid-column: 1 / -1; max-width: none; border: 0; padding: 0; font-weight: 600; }
	.w%1$s td { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 8px; border: 0; padding: 1px 0; white-space: normal; overflow-wrap: anywhere; }
	.w%1$s td::before { content: attr(data-label); color: var(--muted); text-align: left; min-width: 0; } }
$css$, w, w - 1), '' ORDER BY w) FROM unnest(lifecycle.draw_table_widths()) w);
$$;
COMMENT ON FUNCTION lifecycle.report_style() IS
'Internal. The style sheet of the report.';

/* A picture with its table: beside it, or below it and folded if it is long. */
CREATE FUNCTION lifecycle.report_figure(picture text, legend text, caption text, headings text[], lines jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN jsonb_array_length(lines) <= 12
		THEN format('<div class="beside"><div>%s%s</div>%s</div>', picture, legend, lifecycle.draw_table(caption, headings, lines))
		ELSE format('<div class="below">%s%s</div><details><summary>Table: %s</summary>%s</details>', picture, legend,
					lifecycle.draw_escape(caption), lifecycle.draw_table(caption, headings, lines))
		END;
$$;
COMMENT ON FUNCTION lifecycle.report_figure(text, text, text, text[], jsonb) IS
'Internal. A picture, its legend and its table, as HTML.';

CREATE FUNCTION lifecycle.report_funnel(title text, reading text, data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH stage AS (
		SELECT f.*, max(f.reached) OVER () AS entered
		  FROM ROWS FROM (jsonb_to_recordset(data) AS (stage text, contacts bigint, reached bigint, conversion_to_next numeric, conversion_to_last numeric)) WITH ORDINALITY
			   f (stage, contacts, reached, conversion_to_next, conversion_to_last, place))
	SELECT lifecycle.report_figure(
			lifecycle.draw_bars('funnel', title, reading, jsonb_agg(jsonb_build_object(
				'name', s.stage, 'outer', s.reached, 'inner', s.contacts,
				'label', format('%s (%s)', lifecycle.draw_number(s.reached), lifecycle.draw_percent(s.reached::numeric / s.entered)),
				'tip', format('%s: reached by %s, in it now %s', s.stage, lifecycle.draw_number(s.reached), lifecycle.draw_number(s.contacts))) ORDER BY s.place)),
			lifecycle.draw_legend('in the stage now', 'reached it, and went on'),
			'Contacts by stage', ARRAY['Stage', 'In it now', 'Reached', 'To next', 'To last'],
			jsonb_agg(jsonb_build_array(s.stage, lifecycle.draw_number(s.contacts), lifecycle.draw_number(s.reached),
										lifecycle.draw_percent(s.conversion_to_next), lifecycle.draw_percent(s.conversion_to_last)) ORDER BY s.place))
	  FROM stage s;
$$;
COMMENT ON FUNCTION lifecycle.report_funnel(text, text, jsonb) IS
'Internal. The funnel of the report.';

CREATE FUNCTION lifecycle.report_stage_flow(title text, reading text, data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH flow AS (
		SELECT f.*
		  FROM ROWS FROM (jsonb_to_recordset(data) AS (stage text, month text, entered bigint, exited bigint, contacts bigint)) WITH ORDINALITY
			   f (stage, month, entered, exited, contacts, place)),
	strip AS (
		SELECT min(f.place) AS place, f.stage, array_agg(f.month ORDER BY f.place) AS months,
			   jsonb_build_object('name', f.stage,
				'label', format('%s, at most %s', lifecycle.draw_number(sum(f.entered)), lifecycle.draw_number(max(f.entered))),
				'values', jsonb_agg(f.entered ORDER BY f.place),
				'tips', jsonb_agg(format('%s, %s: %s entered, %s left, %s in it at the end', f.stage, lifecycle.draw_month(f.month),
										 lifecycle.draw_number(f.entered), lifecycle.draw_number(f.exited), lifecycle.draw_number(f.contacts)) ORDER BY f.place)) AS drawn
		  FROM flow f
		 GROUP BY f.stage
		HAVING max(f.entered) > 0),
	idle AS (
		SELECT string_agg(i.stage, ', ' ORDER BY i.place) AS stages
		  FROM (SELECT f.stage, min(f.place) AS place FROM flow f GROUP BY f.stage HAVING max(f.entered) = 0) i)
	SELECT lifecycle.report_figure(
			(SELECT lifecycle.draw_strips('stage_flow', title, reading, 'columns', (SELECT x.months FROM strip x LIMIT 1), jsonb_agg(s.drawn ORDER BY s.place)) FROM strip s),
			format('<p class="legend">Contacts that entered the stage in the month, beside the name in all and at most; each stage has its own scale.%s</p>',
				   (SELECT ' Nobody entered ' || lifecycle.draw_escape(i.stages) || '.' FROM idle i WHERE i.stages IS NOT NULL)),
			'Contacts that entered and left each stage, and those in it at the end of the month', ARRAY['Stage', 'Month', 'Entered', 'Left', 'At the end'],
			(SELECT jsonb_agg(jsonb_build_array(f.stage, lifecycle.draw_month(f.month), lifecycle.draw_number(f.entered), lifecycle.draw_number(f.exited), lifecycle.draw_number(f.contacts)) ORDER BY f.place)
			   FROM flow f));
$$;
COMMENT ON FUNCTION lifecycle.report_stage_flow(text, text, jsonb) IS
'Internal. The stage flow of the report.';

CREATE FUNCTION lifecycle.report_cohort(title text, reading text, data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH cohort AS (
		SELECT c.*
		  FROM ROWS FROM (jsonb_to_recordset(data) AS (stage text, month text, contacts bigint, to_stage text, converted bigint, conversion numeric)) WITH ORDINALITY
			   c (stage, month, contacts, to_stage, converted, conversion, place)),
	reached AS (
		SELECT c.to_stage, sum(c.converted) > 0 AS reached, bool_or(sum(c.converted) > 0) OVER () AS any_reached
		  FROM cohort c GROUP BY c.to_stage),
	line AS (
		SELECT min(c.place) AS place,
			   jsonb_build_object('name', lifecycle.draw_month(c.month), 'size', min(c.contacts),
				'shares', jsonb_agg(c.conversion ORDER BY c.place) FILTER (WHERE r.reached OR NOT r.any_reached),
				'tips', jsonb_agg(format('%s: %s of %s came to %s', lifecycle.draw_month(c.month), lifecycle.draw_number(c.converted), lifecycle.draw_number(c.contacts), c.to_stage)
								  ORDER BY c.place) FILTER (WHERE r.reached OR NOT r.any_reached)) AS drawn,
			   jsonb_build_array(lifecycle.draw_month(c.month), lifecycle.draw_number(min(c.contacts)))
				|| jsonb_agg(lifecycle.draw_number(c.converted) ORDER BY c.place) AS written
		  FROM cohort c
		  JOIN reached r ON r.to_stage = c.to_stage
		 GROUP BY c.month),
	heading AS (
		SELECT array_agg(c.to_stage ORDER BY c.place) AS names, min(c.stage) AS stage,
			   array_agg(c.to_stage ORDER BY c.place) FILTER (WHERE r.reached OR NOT r.any_reached) AS drawn,
			   string_agg(c.to_stage, ', ' ORDER BY c.place) FILTER (WHERE NOT r.reached AND r.any_reached) AS idle
		  FROM cohort c
		  JOIN reached r ON r.to_stage = c.to_stage
		 WHERE c.month = (SELECT min(month) FROM cohort))
	SELECT format('<div class="below">%s</div><p class="legend">Share of the contacts that reached %s in the month, their number beside it, that have come to each later stage by now.%s%s</p>'
				  '<details><summary>Table: contacts that came to each stage</summary>%s</details>',
				  lifecycle.draw_heat_map('cohort', title, reading, h.drawn, (SELECT jsonb_agg(l.drawn ORDER BY l.place) FROM line l)),
				  lifecycle.draw_escape(h.stage), coalesce(' Nobody has come to ' || lifecycle.draw_escape(h.idle) || '.', ''),
				  CASE WHEN cardinality(h.drawn) > 4 THEN ' Where it does not fit, the picture scrolls sideways.' ELSE '' END,
				  lifecycle.draw_table(format('Contacts that came to each stage, by month in which they reached %s', h.stage),
									   ARRAY['Month', h.stage] || h.names, (SELECT jsonb_agg(l.written ORDER BY l.place) FROM line l)))
	  FROM heading h;
$$;
COMMENT ON FUNCTION lifecycle.report_cohort(text, text, jsonb) IS
'Internal. The cohorts of the report.';

CREATE FUNCTION lifecycle.report_velocity(title text, reading text, data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT lifecycle.report_figure(
			lifecycle.draw_bars('velocity', title, reading, jsonb_agg(jsonb_build_object(
				'name', v.stage, 'outer', coalesce(v.p90_days, 0), 'inner', coalesce(v.median_days, 0),
				'label', CASE WHEN v.ended_stays = 0 THEN 'nobody has left it'
							  ELSE format('%s and %s days', lifecycle.draw_days(v.median_days), lifecycle.draw_days(v.p90_days)) END,
				'tip', format('%s: %s stays ended, %s go on', v.stage, lifecycle.draw_number(v.ended_stays), lifecycle.draw_number(v.open_stays))) ORDER BY v.place)),
			lifecycle.draw_legend('half of the ended stays took no longer', 'nine tenths took no longer'),
			'Days in each stage; the estimate counts those who are still in it too (Kaplan-Meier)',
			ARRAY['Stage', 'Ended', 'Go on', 'Half', 'Nine tenths', 'Half, estimate'],
			jsonb_agg(jsonb_build_array(v.stage, lifecycle.draw_number(v.ended_stays), lifecycle.draw_number(v.open_stays),
										lifecycle.draw_number(v.median_days, 1), lifecycle.draw_number(v.p90_days, 1),
										lifecycle.draw_number(v.median_days_of_all, 1)) ORDER BY v.place))
	  FROM ROWS FROM (jsonb_to_recordset(data) AS (stage text, ended_stays bigint, open_stays bigint, median_days numeric, p90_days numeric, median_days_of_all numeric)) WITH ORDINALITY
		   v (stage, ended_stays, open_stays, median_days, p90_days, median_days_of_all, place);
$$;
COMMENT ON FUNCTION lifecycle.report_velocity(text, text, jsonb) IS
'Internal. The velocity of the report.';

/* One picture for each pipeline and currency; by number if no deal has an amount. */
CREATE FUNCTION lifecycle.report_pipeline(title text, reading text, data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH stage AS (
		SELECT p.*, max(p.amount) OVER (PARTITION BY p.pipeline, p.currency) > 0 AS has_amounts
		  FROM ROWS FROM (jsonb_to_recordset(data) AS (pipeline text, currency text, stage text, kind text, probability numeric, deals bigint, amount numeric, weighted_amount numeric)) WITH ORDINALITY
			   p (pipeline, currency, stage, kind, probability, deals, amount, weighted_amount, place)),
	part AS (
		SELECT min(s.place) AS place, concat_ws(', ', s.pipeline, nullif(s.currency, '')) AS name, bool_and(s.has_amounts) AS has_amounts,
			   jsonb_agg(jsonb_build_object(
				'name', s.stage,
				'outer', CASE WHEN s.has_amounts THEN s.amount ELSE s.deals END,
				'inner', CASE WHEN s.has_amounts THEN s.weighted_amount ELSE s.deals END,
				'label', CASE WHEN s.deals = 0 THEN 'no deals'
							  ELSE CASE WHEN s.has_amounts THEN concat_ws(' ', lifecycle.draw_number(s.amount), nullif(s.currency, '')) || ' in ' ELSE '' END
								   || lifecycle.draw_number(s.deals) END,
				'tip', format('%s: %s deals, amount %s, weighted %s', s.stage, lifecycle.draw_number(s.deals), lifecycle.draw_number(s.amount), lifecycle.draw_number(s.weighted_amount))) ORDER BY s.place) AS drawn,
			   jsonb_agg(jsonb_build_array(s.stage, coalesce(trim_scale(s.probability)::text || ' %', '-'), lifecycle.draw_number(s.deals),
										   lifecycle.draw_number(s.amount), lifecycle.draw_number(s.weighted_amount)) ORDER BY s.place) AS written
		  FROM stage s
		 GROUP BY s.pipeline, s.currency)
	SELECT string_agg(format('<h3>%s</h3>', lifecycle.draw_escape(p.name))
			|| lifecycle.report_figure(
				lifecycle.draw_bars('pipeline' || p.number, title || ': ' || p.name, reading, p.drawn),
				CASE WHEN p.has_amounts THEN lifecycle.draw_legend('weighted by probability', 'amount, in so many deals')
					 ELSE '<p class="legend">Number of deals; they have no amounts.</p>' END,
				format('Deals in pipeline %s', p.name), ARRAY['Stage', 'Chance', 'Deals', 'Amount', 'Weighted'], p.written), '' ORDER BY p.place)
	  FROM (SELECT t.*, row_number() OVER (ORDER BY t.place) AS number FROM part t) p;
$$;
COMMENT ON FUNCTION lifecycle.report_pipeline(text, text, jsonb) IS
'Internal. The pipelines of the report.';

CREATE FUNCTION lifecycle.report_forecast(title text, reading text, data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH part AS (
		SELECT min(f.place) AS place, concat_ws(', ', f.pipeline, nullif(f.currency, '')) AS name,
			   jsonb_agg(jsonb_build_object('month', f.period, 'lower', f.won_amount, 'upper', f.open_weighted_amount,
				'tip', format('%s: won %s in %s deals, open %s weighted in %s deals', lifecycle.draw_month(f.period), lifecycle.draw_number(f.won_amount), lifecycle.draw_number(f.won_deals),
							  lifecycle.draw_number(f.open_weighted_amount), lifecycle.draw_number(f.open_deals))) ORDER BY f.place) AS drawn,
			   jsonb_agg(jsonb_build_array(lifecycle.draw_month(f.period), lifecycle.draw_number(f.won_deals), lifecycle.draw_number(f.won_amount),
										   lifecycle.draw_number(f.open_deals), lifecycle.draw_number(f.open_amount),
										   lifecycle.draw_number(f.open_weighted_amount), lifecycle.draw_number(f.weighted_amount)) ORDER BY f.place) AS written
		  FROM ROWS FROM (jsonb_to_recordset(data) AS (pipeline text, currency text, period text, open_deals bigint, open_amount numeric, open_weighted_amount numeric, won_deals bigint, won_amount numeric, weighted_amount numeric)) WITH ORDINALITY
			   f (pipeline, currency, period, open_deals, open_amount, open_weighted_amount, won_deals, won_amount, weighted_amount, place)
		 GROUP BY f.pipeline, f.currency)
	SELECT string_agg(format('<h3>%1$s</h3><div class="below">%2$s%3$s</div><details%5$s><summary>Table: %1$s by month of close date</summary>%4$s</details>',
				lifecycle.draw_escape(p.name),
				lifecycle.draw_columns('forecast' || p.number, title || ': ' || p.name, reading, p.drawn),
				lifecycle.draw_legend('won', 'open, weighted by probability'),
				lifecycle.draw_table(format('Amounts of %s by month of close date', p.name), ARRAY['Month', 'Won deals', 'Won', 'Open deals', 'Open', 'Open, weighted', 'Forecast'], p.written),
				CASE WHEN jsonb_array_length(p.written) <= 12 THEN ' open="open"' ELSE '' END), '' ORDER BY p.place)
	  FROM (SELECT t.*, row_number() OVER (ORDER BY t.place) AS number FROM part t) p;
$$;
COMMENT ON FUNCTION lifecycle.report_forecast(text, text, jsonb) IS
'Internal. The forecast of the report.';

CREATE FUNCTION lifecycle.report_customers(title text, reading text, data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT lifecycle.report_figure(
			lifecycle.draw_bars('customers', title, reading, jsonb_agg(jsonb_build_object(
				'name', 'from ' || c.since, 'outer', c.customers, 'inner', c.customers, 'label', lifecycle.draw_number(c.customers, 1),
				'tip', format('Month from %s: %s', c.since, lifecycle.draw_number(c.customers, 1))) ORDER BY c.since)),
			'<p class="legend">Expected from the history of stages, by an absorbing Markov chain. Contacts who are not in the funnel yet are not counted.</p>',
			format(CASE WHEN bool_or(c.has_value) THEN 'Contacts expected to reach %s, and what they bring' ELSE 'Contacts expected to reach %s' END, min(c.target)),
			ARRAY['Month from', 'Contacts'] || CASE WHEN bool_or(c.has_value) THEN '{Value}'::text[] END,
			jsonb_agg(jsonb_build_array(c.since, lifecycle.draw_number(c.customers, 1))
					  || CASE WHEN c.has_value THEN jsonb_build_array(lifecycle.amounts(c.value)) ELSE '[]' END ORDER BY c.since))
	  FROM (SELECT v.*, bool_or(lifecycle.amounts(v.value) <> '0') OVER () AS has_value
			  FROM jsonb_to_recordset(data) v (since text, target text, customers numeric, value jsonb)) c;
$$;
COMMENT ON FUNCTION lifecycle.report_customers(text, text, jsonb) IS
'Internal. The customers to come of the report.';

CREATE FUNCTION lifecycle.report_segment_growth(title text, reading text, data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH growth AS (
		SELECT g.*
		  FROM ROWS FROM (jsonb_to_recordset(data) AS (segment text, month text, entered bigint, exited bigint, contacts bigint)) WITH ORDINALITY
			   g (segment, month, entered, exited, contacts, place)),
	strip AS (
		SELECT min(g.place) AS place, array_agg(g.month ORDER BY g.place) AS months,
			   jsonb_build_object('name', g.segment,
				'label', format('%s now, at most %s', lifecycle.draw_number((array_agg(g.contacts ORDER BY g.place DESC))[1]), lifecycle.draw_number(max(g.contacts))),
				'values', jsonb_agg(g.contacts ORDER BY g.place),
				'tips', jsonb_agg(format('%s, %s: %s contacts at the end, %s entered, %s left', g.segment, lifecycle.draw_month(g.month),
										 lifecycle.draw_number(g.contacts), lifecycle.draw_number(g.entered), lifecycle.draw_number(g.exited)) ORDER BY g.place)) AS drawn
		  FROM growth g
		 GROUP BY g.segment)
	SELECT lifecycle.report_figure(
			(SELECT lifecycle.draw_strips('segment_growth', title, reading, 'line', (SELECT x.months FROM strip x LIMIT 1), jsonb_agg(s.drawn ORDER BY s.place)) FROM strip s),
			'<p class="legend">Contacts in the segment at the end of the month, for the largest segments, twelve at most; each has its own scale.</p>',
			'Contacts in each segment at the end of the month, and those who came and went', ARRAY['Segment', 'Month', 'At the end', 'Entered', 'Left'],
			(SELECT jsonb_agg(jsonb_build_array(g.segment, lifecycle.draw_month(g.month), lifecycle.draw_number(g.contacts), lifecycle.draw_number(g.entered), lifecycle.draw_number(g.exited)) ORDER BY g.place)
			   FROM growth g));
$$;
COMMENT ON FUNCTION lifecycle.report_segment_growth(text, text, jsonb) IS
'Internal. The segment growth of the report.';

/* One chart of the report, under its heading. */
CREATE FUNCTION lifecycle.report_section(chart text, data jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('<section aria-labelledby="%1$s-heading"><h2 id="%1$s-heading">%2$s</h2>', c.name, lifecycle.draw_escape(c.title))
		|| CASE WHEN data = '[]'
			THEN '<div class="below">' || lifecycle.draw_nothing(c.name, c.title, c.nothing) || '</div>'
			ELSE format('<p>%s</p>', lifecycle.draw_escape(r.reading)) ||
				CASE c.name
				WHEN 'funnel' THEN lifecycle.report_funnel(c.title, r.reading, data)
				WHEN 'stage_flow' THEN lifecycle.report_stage_flow(c.title, r.reading, data)
				WHEN 'cohort' THEN lifecycle.report_cohort(c.title, r.reading, data)
				WHEN 'velocity' THEN lifecycle.report_velocity(c.title, r.reading, data)
				WHEN 'pipeline' THEN lifecycle.report_pipeline(c.title, r.reading, data)
				WHEN 'forecast' THEN lifecycle.report_forecast(c.title, r.reading, data)
				WHEN 'customers' THEN lifecycle.report_customers(c.title, r.reading, data)
				WHEN 'segment_growth' THEN lifecycle.report_segment_growth(c.title, r.reading, data)
				END
			END
		|| '</section>'
	  FROM lifecycle.find_chart(chart) c, lifecycle.chart_reading(chart, data) AS r (reading);
$$;
COMMENT ON FUNCTION lifecycle.report_section(text, jsonb) IS
'Internal. One chart of the report with heading, sentence, picture and table.';

/* The figures at the top: those that anybody asks for first. */
CREATE FUNCTION lifecycle.report_figures(funnel jsonb, pipeline jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('<dl class="figures">%s</dl>', string_agg(
			format('<div><dt>%s</dt><dd>%s</dd></div>', lifecycle.draw_escape(f.name), lifecycle.draw_escape(f.value)), '' ORDER BY f.place))
	  FROM (SELECT 1 AS place, 'Contacts on the path' AS name, lifecycle.draw_number(coalesce(sum(s.contacts), 0)) AS value
			  FROM jsonb_to_recordset(funnel) s (contacts bigint)
			UNION ALL
			(SELECT 2, 'Reached ' || s.stage, lifecycle.draw_number(s.reached)
			   FROM jsonb_to_recordset(funnel) s (stage text, reached bigint)
			  WHERE s.reached > 0
			  ORDER BY s.reached, s.stage LIMIT 1)
			UNION ALL
			SELECT 3, 'Open deals', lifecycle.draw_number(sum(p.deals))
			  FROM jsonb_to_recordset(pipeline) p (kind text, deals bigint)
			 WHERE p.kind = 'open' HAVING count(*) > 0
			UNION ALL
			SELECT 4, 'Open deals, weighted',
				   string_agg(concat_ws(' ', CASE WHEN w.amount < 1e7 THEN lifecycle.draw_number(w.amount) ELSE lifecycle.draw_short(w.amount) END,
										nullif(w.currency, '')), ', ' ORDER BY w.currency)
			  FROM (SELECT p.currency, sum(p.weighted_amount) AS amount
					  FROM jsonb_to_recordset(pipeline) p (kind text, currency text, weighted_amount numeric)
					 WHERE p.kind = 'open'
					 GROUP BY p.currency) w
			HAVING count(*) > 0) f;
$$;
COMMENT ON FUNCTION lifecycle.report_figures(jsonb, jsonb) IS
'Internal. The figures at the top of the report.';

CREATE FUNCTION @extschema@.lifecycle_report(model text)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_model(model);
	zone text := coalesce(lifecycle.get_setting(m.name, 'time_zone'), 'UTC');
	charts jsonb := (SELECT jsonb_object_agg(c.name, lifecycle.chart_data(m.name, c.name)) FROM lifecycle.charts() c);
	title text := lifecycle.draw_escape('Lifecycle report: ' || m.name);
BEGIN
	RETURN format('<!DOCTYPE html>' || E'\n'
				  '<html xmlns="http://www.w3.org/1999/xhtml" lang="en"><head><meta charset="utf-8"/>'
				  '<meta name="viewport" content="width=device-width, initial-scale=1"/><title>%s</title><style>%s</style></head>',
				  title, lifecycle.report_style())
		|| format(E'\n<body><header><h1>%s</h1><p class="asof">As of %s, %s</p>%s</header>\n<main>', title,
				  to_char(lifecycle.model_clock(m.name) AT TIME ZONE zone, 'YYYY-MM-DD HH24:MI'), lifecycle.draw_escape(zone),
				  lifecycle.report_figures(charts -> 'funnel', charts -> 'pipeline'))
		|| (SELECT string_agg(E'\n' || lifecycle.report_section(c.name, charts -> c.name), '' ORDER BY c.place)
			  FROM ROWS FROM (lifecycle.charts()) WITH ORDINALITY c (name, title, nothing, place))
		|| format(E'\n</main>\n<footer><p>Made by lifecycle %s from the views of schema %s. Months are those of the time zone %s.</p></footer></body></html>\n',
				  @extschema@.lifecycle_version(), lifecycle.draw_escape(m.name), lifecycle.draw_escape(zone));
END;
$$;
COMMENT ON FUNCTION @extschema@.lifecycle_report(text) IS
'all charts of a model as one HTML page that needs nothing else: inline SVG with sentences and tables, for light, dark and narrow screens; write it to a file with client encoding UTF8';
