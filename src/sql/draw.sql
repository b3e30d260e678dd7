/*
 * draw.sql
 *		Pictures: numbers and names in, inline SVG and HTML out.
 *
 * Nothing here knows of models.  The functions take plain values, as jsonb
 * where there are several, and return well-formed XML that is HTML too: no
 * element is left open, no named entity but the five of XML is used, and all
 * that is not ASCII is what the caller's names brought in.  Every name passes
 * through draw_escape.
 *
 * A picture is as wide as its place.  Horizontal measures are percentages and
 * heights are pixels, so that letters keep their size on a phone; what must
 * stretch without its letters lies in a nested svg that ignores proportions.
 * SVG cannot measure a text, so draw_fit estimates, generously, by the widths
 * of a wide font, and cuts names that would not fit: once for a phone (class
 * narrow), once for a screen (class wide); the style sheet of the report shows
 * one of the two.  The full name is in the tooltip and in the table.
 *
 * In all pictures dark means a part of what the light shape shows.  Colours
 * are classes; report_style gives them their values, for light and for dark.
 */

/* Text as XML content or attribute value. */
CREATE FUNCTION lifecycle.draw_escape(given text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT regexp_replace(
			replace(replace(replace(replace(replace(
				/* control characters and U+FFFE, U+FFFF are no XML */
				regexp_replace(given, '[\u0001-\u0020\u007f\ufffe\uffff]+', ' ', 'g'),
				'&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;'),
		'([0-9]) (%|days?\M)', '\1&#160;\2', 'g');
$$;
COMMENT ON FUNCTION lifecycle.draw_escape(text) IS
'Internal. Text as XML content or attribute value: markup characters escaped, white space and characters that XML does not allow each run one space, and no line break between a number and its % or days.';

/*
 * Numbers are written the same for everybody, whatever lc_numeric says: the
 * comma in the pattern is a comma, while G would not be.
 */
CREATE FUNCTION lifecycle.draw_number(number numeric, digits integer DEFAULT 0)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN number IS NULL THEN '-'
		WHEN number IN ('NaN', 'Infinity', '-Infinity') THEN number::text
		WHEN abs(number) >= 1e18 THEN round(number)::text
		ELSE regexp_replace(to_char(round(number, digits), 'FM999,999,999,999,999,990.' || repeat('0', digits)), '\.$', '')
		END;
$$;
COMMENT ON FUNCTION lifecycle.draw_number(numeric, integer) IS
'Internal. A number in English form, 1,234.5, with so many digits after the point; - for null.';

/* A share of 0 to 1 in percent, and never 0 % or 100 % for what is not. */
CREATE FUNCTION lifecycle.draw_percent(share numeric)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN share IS NULL THEN '-'
		WHEN share > 0 AND share < 0.001 THEN '<0.1 %'
		WHEN share < 1 AND share > 0.999 THEN '>99.9 %'
		WHEN share IN (0, 1) THEN (share * 100)::integer || ' %'
		ELSE to_char(round(share * 100, 1), 'FM999990.0') || ' %'
		END;
$$;
COMMENT ON FUNCTION lifecycle.draw_percent(numeric) IS
'Internal. A share of 0 to 1 in percent with one digit after the point; - for null.';

/* For an axis: 1.5M. */
CREATE FUNCTION lifecycle.draw_short(number numeric)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN number IN ('NaN', 'Infinity', '-Infinity') OR abs(number) >= 1e15 THEN lifecycle.draw_number(number)
		WHEN abs(number) >= 1e9 THEN trim_scale(round(number / 1e9, 2)) || 'bn'
		WHEN abs(number) >= 1e6 THEN trim_scale(round(number / 1e6, 2)) || 'M'
		WHEN abs(number) >= 1e4 THEN trim_scale(round(number / 1e3, 2)) || 'k'
		ELSE lifecycle.draw_number(number, CASE WHEN number = trunc(number) THEN 0 ELSE 1 END)
		END;
$$;
COMMENT ON FUNCTION lifecycle.draw_short(numeric) IS
'Internal. A number as an axis shows it: 950, 12k, 1.5M, 2bn.';

/* Days, as exact as their length makes sense. */
CREATE FUNCTION lifecycle.draw_days(days numeric)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT lifecycle.draw_number(days, CASE WHEN days < 100 AND days <> trunc(days) THEN 1 ELSE 0 END);
$$;
COMMENT ON FUNCTION lifecycle.draw_days(numeric) IS
'Internal. A number of days for a sentence: one digit after the point below 100, none from there on.';

/* The month of "2017-03" as people write it; other text as it is. */
CREATE FUNCTION lifecycle.draw_month(month text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN month ~ '^\d{4,}-\d\d$'
		THEN (ARRAY['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'])[right(month, 2)::integer]
			 || ' ' || split_part(month, '-', 1)
		ELSE month END;
$$;
COMMENT ON FUNCTION lifecycle.draw_month(text) IS
'Internal. Mar 2017 for 2017-03; any other text unchanged.';

/* Part of a whole in percent of the width, never negative, never beyond it. */
CREATE FUNCTION lifecycle.draw_length(part numeric, whole numeric, width numeric DEFAULT 100)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN part IN ('NaN', 'Infinity', '-Infinity') OR whole IN ('NaN', 'Infinity', '-Infinity')
			 OR NOT coalesce(part > 0 AND whole > 0, false) THEN 0
		ELSE round(least(greatest(part / whole, 0.003), 1) * width, 2)
		END;
$$;
COMMENT ON FUNCTION lifecycle.draw_length(numeric, numeric, numeric) IS
'Internal. The share of the width that shows part of a whole, so that what is not zero is seen; 0 for what has no length.';

/* How wide a text is, in sizes of its font: an estimate from above. */
CREATE FUNCTION lifecycle.draw_width(given text)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(sum(CASE
			WHEN octet_length(c) >= 3 THEN 1.05
			WHEN octet_length(c) = 2 THEN 0.8
			WHEN c ~ '[MWmw@%]' THEN 1.05
			WHEN c ~ '[A-Z&#+=~<>$_^]' THEN 0.82
			WHEN c ~ '[ijlftrI.,:;''| ()/-]' THEN 0.42
			ELSE 0.64
			END), 0)
	  FROM string_to_table(given, NULL) c;
$$;
COMMENT ON FUNCTION lifecycle.draw_width(text) IS
'Internal. Estimated width of a text, in units of its font size.';

/* As much of a name as fits, escaped. */
CREATE FUNCTION lifecycle.draw_fit(name text, pixels numeric, size numeric DEFAULT 13)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN lifecycle.draw_width(name) * size <= pixels THEN lifecycle.draw_escape(name)
		ELSE lifecycle.draw_escape(rtrim(coalesce(
				(SELECT left(name, max(l.place)::integer)
				   FROM (SELECT c.place, sum(lifecycle.draw_width(c.letter)) OVER (ORDER BY c.place) AS width
						   FROM string_to_table(left(name, 200), NULL) WITH ORDINALITY c (letter, place)) l
				  WHERE l.width * size <= pixels - size), ''))) || '&#8230;'
		END;
$$;
COMMENT ON FUNCTION lifecycle.draw_fit(text, numeric, numeric) IS
'Internal. A name as XML, cut and ended by an ellipsis if it would be wider than so many pixels.';

/* A name left and a label right on one line of a picture. */
CREATE FUNCTION lifecycle.draw_line_of_text(name text, label text, y integer)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN narrow = wide
		THEN format('<text class="name" x="0" y="%s">%s</text>', y, wide)
		ELSE format('<text class="name narrow" x="0" y="%1$s">%2$s</text><text class="name wide" x="0" y="%1$s">%3$s</text>', y, narrow, wide)
		END || format('<text class="label" x="100%%" y="%s" text-anchor="end">%s</text>', y, lifecycle.draw_escape(label))
	  FROM (SELECT lifecycle.draw_fit(name, 278 - f.taken, 14) AS narrow,
				   lifecycle.draw_fit(name, 430 - f.taken, 14) AS wide
			  FROM (SELECT lifecycle.draw_width(label) * 13 AS taken) f) n;
$$;
COMMENT ON FUNCTION lifecycle.draw_line_of_text(text, text, integer) IS
'Internal. SVG of a name at the left and a label at the right, the name cut where both would not fit.';

/* The frame of every picture; id names it for who cannot see it. */
CREATE FUNCTION lifecycle.draw_frame(id text, title text, description text,
									 height integer, body text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('<svg xmlns="http://www.w3.org/2000/svg" class="picture" role="img" aria-labelledby="%1$s-title %1$s-desc" width="100%%" height="%2$s">'
				  '<title id="%1$s-title">%3$s</title><desc id="%1$s-desc">%4$s</desc>%5$s</svg>',
				  id, height, lifecycle.draw_escape(title), lifecycle.draw_escape(description), body);
$$;
COMMENT ON FUNCTION lifecycle.draw_frame(text, text, text, integer, text) IS
'Internal. An svg element of full width and so many pixels in height, with title and description for screen readers.';

CREATE FUNCTION lifecycle.draw_tip(tip text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('<title>%s</title>', lifecycle.draw_escape(tip));
$$;
COMMENT ON FUNCTION lifecycle.draw_tip(text) IS
'Internal. The tooltip of a shape.';

/* A picture of nothing, that says so. */
CREATE FUNCTION lifecycle.draw_nothing(id text, title text, words text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT lifecycle.draw_frame(id, title, words, 64,
		'<rect class="empty" x="0" y="0" width="100%" height="64" rx="4"/>'
		'<text class="label" x="50%" y="37" text-anchor="middle">' || lifecycle.draw_fit(words, 300) || '</text>');
$$;
COMMENT ON FUNCTION lifecycle.draw_nothing(text, text, text) IS
'Internal. A picture without data that says why.';

/* Names with a bar each: light for outer, dark for inner. */
CREATE FUNCTION lifecycle.draw_bars(id text, title text, description text, bars jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH bar AS (
		SELECT b.name, b.label, b.tip, b.outer, b.inner,
			   (row_number() OVER () - 1)::integer * 40 AS y,
			   greatest(max(b.outer) OVER (), max(b.inner) OVER ()) AS longest
		  FROM jsonb_to_recordset(bars) b (name text, label text, tip text, "outer" numeric, "inner" numeric))
	SELECT lifecycle.draw_frame(id, title, description, 40 * count(*)::integer,
			string_agg(format('<g>%s%s<rect class="track" x="0" y="%s" width="100%%" height="11" rx="2"/>',
							  lifecycle.draw_tip(tip), lifecycle.draw_line_of_text(name, label, y + 14), y + 21)
					   || format('<rect class="light" x="0" y="%s" width="%s%%" height="11" rx="2"/>', y + 21, lifecycle.draw_length("outer", longest))
					   || format('<rect class="dark" x="0" y="%s" width="%s%%" height="11" rx="2"/></g>', y + 21, lifecycle.draw_length("inner", longest)),
					   '' ORDER BY y))
	  FROM bar;
$$;
COMMENT ON FUNCTION lifecycle.draw_bars(text, text, text, jsonb) IS
'Internal. A list of bars, an array of objects with name, label, tip, outer (the light bar) and inner (the dark part of it).';

/* Under pictures of months: the first, the last, and each January between. */
CREATE FUNCTION lifecycle.draw_months(months text[], y integer)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(format('<text class="axis" x="%s%%" y="%s" text-anchor="%s">%s</text>',
			CASE place WHEN 1 THEN 0 WHEN number THEN 100 ELSE round((place - 0.5) * 100 / number, 2) END,
			y, CASE place WHEN 1 THEN 'start' WHEN number THEN 'end' ELSE 'middle' END,
			CASE WHEN place IN (1, number) THEN lifecycle.draw_month(month) ELSE split_part(month, '-', 1) END),
			'' ORDER BY place)
	  FROM (SELECT m.month, m.place, cardinality(months) AS number
			  FROM unnest(months) WITH ORDINALITY m (month, place)) n
	 WHERE place IN (1, number)
		OR (month LIKE '%-01' AND (place - 0.5) / number BETWEEN 0.3 AND 0.7);
$$;
COMMENT ON FUNCTION lifecycle.draw_months(text[], integer) IS
'Internal. Labels of an axis of months.';

/*
 * Strips: one above the other, a name each, over the same months; columns if
 * they tell what happened in a month, a line if they tell how it stood at its
 * end.  Each strip has a scale of its own.
 */
CREATE FUNCTION lifecycle.draw_strips(id text, title text, description text,
									  kind text, months text[], strips jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH strip AS (
		SELECT s.name, s.label, s.values, s.tips,
			   (row_number() OVER () - 1)::integer * 68 AS y,
			   (SELECT max(v::numeric) FROM jsonb_array_elements_text(s.values) v) AS highest
		  FROM jsonb_to_recordset(strips) s (name text, label text, "values" jsonb, tips jsonb)),
	point AS (
		SELECT s.y, p.place, s.tips ->> (p.place - 1)::integer AS tip,
			   lifecycle.draw_length(p.value::numeric, s.highest, 36) AS height,
			   100.0 / cardinality(months) AS step
		  FROM strip s, jsonb_array_elements_text(s.values) WITH ORDINALITY p (value, place)),
	shape AS (
		SELECT y,
			   CASE kind
			   WHEN 'columns' THEN
					string_agg(format('<rect class="dark" x="%s%%" y="%s" width="%s%%" height="%s">%s</rect>',
							   round((place - 0.9) * step, 3), y + 58 - height, round(step * 0.8, 3), height, lifecycle.draw_tip(tip)), '' ORDER BY place)
			   ELSE
					format('<svg x="0" y="%s" width="100%%" height="37" viewBox="0 0 100 37" preserveAspectRatio="none">', y + 21)
					|| format('<polygon class="area" points="0,37 %s 100,37"/><polyline class="line" points="%1$s"/></svg>',
							  string_agg(CASE cardinality(months) WHEN 1 THEN format('0,%1$s 100,%1$s', 37 - height)
											  ELSE format('%s,%s', round((place - 1) * 100.0 / (cardinality(months) - 1), 3), 37 - height) END,
										 ' ' ORDER BY place))
					|| string_agg(format('<rect class="sensor" x="%s%%" y="%s" width="%s%%" height="37">%s</rect>',
							   round((place - 1) * step, 3), y + 21, round(step, 3), lifecycle.draw_tip(tip)), '' ORDER BY place)
			   END AS drawn
		  FROM point
		 GROUP BY y)
	SELECT lifecycle.draw_frame(id, title, description, 68 * count(*)::integer + 10,
			string_agg(lifecycle.draw_line_of_text(s.name, s.label, s.y + 14)
					   || h.drawn || format('<line class="base" x1="0" x2="100%%" y1="%1$s.5" y2="%1$s.5"/>', s.y + 58), '' ORDER BY s.y)
			|| lifecycle.draw_months(months, 68 * count(*)::integer + 6))
	  FROM strip s
	  JOIN shape h ON h.y = s.y;
$$;
COMMENT ON FUNCTION lifecycle.draw_strips(text, text, text, text, text[], jsonb) IS
'Internal. Small multiples over months; kind is columns or line, strips an array of objects with name, label, values and tips (one for each month).';

/* The heights of three or four lines across a chart, from zero, round. */
CREATE FUNCTION lifecycle.draw_ticks(highest numeric)
RETURNS SETOF numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT trim_scale(n * step)
	  FROM (SELECT min(f * 10 ^ floor(log(highest / 3))) AS step
			  FROM unnest(ARRAY[1, 2, 5, 10]::numeric[]) f
			 WHERE f * 10 ^ floor(log(highest / 3)) >= highest / 4) s,
		   generate_series(0, ceil(highest / step)) n
	 WHERE highest > 0 AND highest < 1e100;
$$;
COMMENT ON FUNCTION lifecycle.draw_ticks(numeric) IS
'Internal. Round values for the lines across a chart, the last one no smaller than the highest value; none without a positive value.';

/* Columns over months: dark below, light on top of it. */
CREATE FUNCTION lifecycle.draw_columns(id text, title text, description text, columns jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH col AS (
		SELECT c.month, c.tip, coalesce(c.lower, 0) AS lower, coalesce(c.upper, 0) AS upper,
			   row_number() OVER () AS place, 86.0 / count(*) OVER () AS step, count(*) OVER () AS number
		  FROM jsonb_to_recordset(columns) c (month text, tip text, "lower" numeric, "upper" numeric)),
	tick AS (
		SELECT t AS value, max(t) OVER () AS top
		  FROM lifecycle.draw_ticks((SELECT max(greatest(c.lower, 0) + greatest(c.upper, 0)) FROM col c)) t),
	column_ AS (
		SELECT c.*, 14 + (c.place - 0.9) * c.step AS x,
			   lifecycle.draw_length(c.lower, t.top, 160) AS low,
			   lifecycle.draw_length(c.upper, t.top, 160) AS high
		  FROM col c, (SELECT max(top) AS top FROM tick) t)
	SELECT CASE WHEN NOT EXISTS (SELECT FROM tick) THEN lifecycle.draw_nothing(id, title, 'No amount is above zero.')
		ELSE lifecycle.draw_frame(id, title, description, 204,
		(SELECT string_agg(format('<line class="grid" x1="14%%" x2="100%%" y1="%1$s" y2="%1$s"/><text class="axis" x="13%%" y="%2$s" text-anchor="end">%3$s</text>',
										   172.5 - round(160 * value / top), 176 - round(160 * value / top), lifecycle.draw_short(value)), '' ORDER BY value)
			  FROM tick)
		|| (SELECT string_agg(format('<g>%s<rect class="light" x="%s%%" y="%s" width="%s%%" height="%s"/>',
									 lifecycle.draw_tip(tip), round(x, 3), 172 - low - high, round(step * 0.8, 3), high)
							  || format('<rect class="dark" x="%s%%" y="%s" width="%s%%" height="%s"/></g>',
										round(x, 3), 172 - low, round(step * 0.8, 3), low), '' ORDER BY place)
			  FROM column_)
		|| '<line class="base" x1="14%" x2="100%" y1="172.5" y2="172.5"/>'
		|| (SELECT string_agg(format('<text class="axis" x="%s%%" y="192" text-anchor="%s">%s</text>',
						CASE place WHEN number THEN 100 ELSE round(x + step * 0.4, 3) END,
						CASE place WHEN number THEN 'end' ELSE 'middle' END,
						lifecycle.draw_escape(CASE WHEN place IN (1, number) THEN lifecycle.draw_month(month)
												   ELSE split_part(month, '-', 1) END)), '' ORDER BY place)
			  FROM column_
			 WHERE place IN (1, number) OR (month LIKE '%-01' AND place / number::numeric BETWEEN 0.35 AND 0.75)))
		END;
$$;
COMMENT ON FUNCTION lifecycle.draw_columns(text, text, text, jsonb) IS
'Internal. Stacked columns over months with a scale, an array of objects with month, tip, lower (dark) and upper (light).';

/* Five shades: nothing, then quarters. */
CREATE FUNCTION lifecycle.draw_heat(share numeric)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN coalesce(share, 0) <= 0 THEN 0 ELSE least(floor(share * 4)::integer + 1, 4) END;
$$;
COMMENT ON FUNCTION lifecycle.draw_heat(numeric) IS
'Internal. Shade of a share in a heat map: 0 for none, 1 to 4 by quarters.';

/*
 * A heat map is a table of coloured cells.  Its measures are those of a screen,
 * 174 for the names and 80 a column, and shrink to 0.575 of that on a phone, so
 * that five columns fit; with more, or on a small phone, it scrolls in its box.
 * Headings are cut by the width that a column has in a usual box.
 */
CREATE FUNCTION lifecycle.draw_heat_map(id text, title text, description text,
										headings text[], lines jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH measure AS (
		SELECT 174 + 80 * cardinality(headings) AS width,
			   greatest(44, 306 * 80 / (174 + 80 * cardinality(headings)) - 1) AS narrow,
			   greatest(76, least(118, 462 * 80 / (174 + 80 * cardinality(headings)) - 2)) AS wide),
	line AS (
		SELECT l.name, l.size, l.shares, l.tips, 26 + 30 * (row_number() OVER () - 1) AS y
		  FROM jsonb_to_recordset(lines) l (name text, size numeric, shares jsonb, tips jsonb)),
	cell AS (
		SELECT l.y, c.place, c.share::numeric AS share, l.tips ->> (c.place - 1)::integer AS tip,
			   (174 + 80 * (c.place - 1)) * 100.0 / m.width AS x, 8000.0 / m.width AS w
		  FROM measure m, line l, jsonb_array_elements_text(l.shares) WITH ORDINALITY c (share, place))
	SELECT format('<div class="scroll" role="region" tabindex="0" aria-label="%s"><div class="heat" style="--w:%spx">', lifecycle.draw_escape(title), m.width)
		|| lifecycle.draw_frame(id, title, description, (SELECT 30 * count(*)::integer + 28 FROM line),
			(SELECT string_agg(format(CASE WHEN h.narrow = h.wide
										THEN '<g>%1$s<text class="axis" x="%2$s%%" y="15" text-anchor="middle">%4$s</text></g>'
										ELSE '<g>%1$s<text class="axis narrow" x="%2$s%%" y="15" text-anchor="middle">%3$s</text>'
											 '<text class="axis wide" x="%2$s%%" y="15" text-anchor="middle">%4$s</text></g>' END,
									  lifecycle.draw_tip(h.name), round((214 + 80 * (h.place - 1)) * 100.0 / m.width, 2), h.narrow, h.wide), '' ORDER BY h.place)
			   FROM (SELECT u.name, u.place, lifecycle.draw_fit(u.name, m.narrow, 11) AS narrow, lifecycle.draw_fit(u.name, m.wide, 12) AS wide
					   FROM unnest(headings) WITH ORDINALITY u (name, place)) h)
			|| (SELECT string_agg(format('<text class="name" x="0" y="%1$s">%2$s</text><text class="label" x="%3$s%%" y="%1$s" text-anchor="end">%4$s</text>',
										 l.y + 19, lifecycle.draw_escape(l.name), round(16400.0 / m.width, 2), lifecycle.draw_short(l.size)), '' ORDER BY l.y)
				  FROM line l)
			|| (SELECT string_agg(format('<g>%s<rect class="heat%s" x="%s%%" y="%s" width="%s%%" height="28" rx="2"/>',
										 lifecycle.draw_tip(c.tip), lifecycle.draw_heat(c.share), round(c.x + c.w * 0.01, 2), c.y, round(c.w * 0.98, 2))
								  || format('<text class="on%s" x="%s%%" y="%s" text-anchor="middle">%s</text></g>',
											lifecycle.draw_heat(c.share), round(c.x + c.w / 2, 2), c.y + 19,
											lifecycle.draw_escape(lifecycle.draw_percent(c.share))), '' ORDER BY c.y, c.place)
				  FROM cell c))
		|| '</div></div>'
	  FROM measure m;
$$;
COMMENT ON FUNCTION lifecycle.draw_heat_map(text, text, text, text[], jsonb) IS
'Internal. A heat map of shares of 0 to 1; lines is an array of objects with name, size, shares and tips (one for each heading).';

/* What light and dark mean. */
CREATE FUNCTION lifecycle.draw_legend(dark text, light text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('<p class="legend"><span><span class="key dark"></span>%s</span> <span><span class="key light"></span>%s</span></p>',
				  lifecycle.draw_escape(dark), lifecycle.draw_escape(light));
$$;
COMMENT ON FUNCTION lifecycle.draw_legend(text, text) IS
'Internal. The line that says what the dark and the light shapes of a picture are.';

/* How much room tables need before they are shown row by row, in pixels. */
CREATE FUNCTION lifecycle.draw_table_widths()
RETURNS integer[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '{330,360,400,420,460,520,600,700,850,1000,9999}'::integer[];
$$;
COMMENT ON FUNCTION lifecycle.draw_table_widths() IS
'Internal. The widths in pixels between which tables and the style sheet distinguish, from the narrowest.';

/*
 * The room that a table needs: names and headings may break between words.  As
 * draw_width is an estimate from above, 12 pixels stand for letters of 13.
 */
CREATE FUNCTION lifecycle.draw_table_width(headings text[], lines jsonb)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(min(w) FILTER (WHERE w >= n.needed), max(w))
	  FROM unnest(lifecycle.draw_table_widths()) w,
		   (SELECT 104 + sum(CASE WHEN c.place = 1 THEN 0 ELSE 10 + 12 * c.widest END) AS needed
			  FROM (SELECT h.place,
						   greatest((SELECT max(lifecycle.draw_width(x)) FROM unnest(string_to_array(h.name, ' ')) x),
									(SELECT max(lifecycle.draw_width(coalesce(l ->> (h.place - 1)::integer, '-'))) FROM jsonb_array_elements(lines) l)) AS widest
					  FROM unnest(headings) WITH ORDINALITY h (name, place)) c) n
	 GROUP BY n.needed;
$$;
COMMENT ON FUNCTION lifecycle.draw_table_width(text[], jsonb) IS
'Internal. The least of the widths of draw_table_widths that a table with these headings and lines fits in.';

/*
 * A table: the first column names the row, the others are numbers.  Where its
 * place is narrower than it needs (class w and the width), it is shown row by
 * row, each number beside its heading; the roles keep it a table for screen
 * readers.
 */
CREATE FUNCTION lifecycle.draw_table(caption text, headings text[], lines jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('<div><p class="caption" aria-hidden="true">%1$s</p><div class="scroll" role="region" tabindex="0" aria-label="%1$s">'
				  '<table role="table" class="w%2$s"><caption>%1$s</caption><thead role="rowgroup"><tr role="row">', lifecycle.draw_escape(caption),
				  lifecycle.draw_table_width(headings, lines))
		|| (SELECT string_agg(format('<th scope="col" role="columnheader">%s</th>', lifecycle.draw_escape(h.name)), '' ORDER BY h.place)
			  FROM unnest(headings) WITH ORDINALITY h (name, place))
		|| '</tr></thead><tbody role="rowgroup">'
		|| (SELECT string_agg('<tr role="row">' ||
				(SELECT string_agg(format(CASE c.place WHEN 1 THEN '<th scope="row" role="rowheader">%s</th>' ELSE '<td role="cell" data-label="%2$s">%1$s</td>' END,
										  lifecycle.draw_escape(coalesce(c.text, '-')), lifecycle.draw_escape(headings[c.place])), '' ORDER BY c.place)
				   FROM jsonb_array_elements_text(l.line) WITH ORDINALITY c (text, place)) || '</tr>', '' ORDER BY l.place)
			  FROM jsonb_array_elements(lines) WITH ORDINALITY l (line, place))
		|| '</tbody></table></div></div>';
$$;
COMMENT ON FUNCTION lifecycle.draw_table(text, text[], jsonb) IS
'Internal. An HTML table; lines is an array of arrays of text, the first of each the heading of its row.';
