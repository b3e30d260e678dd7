--
-- The report: one page of HTML that is XML too, so that it can be read here.
-- Names with all that HTML might stumble over; each number against its view.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

-- numbers are the same for everybody, whatever lc_numeric says
SELECT n, lifecycle.draw_number(n, 1) AS number, lifecycle.draw_short(n) AS short
  FROM unnest('{0,0.04,-1234.56,999.95,1234567.25,12000,1500000,2e9,1e30,NaN,Infinity,NULL}'::numeric[]) n;
SELECT n, lifecycle.draw_percent(n) AS percent
  FROM unnest('{0,0.0001,0.0005,0.123,0.5,0.9994,0.99951,1,NULL}'::numeric[]) n;
SELECT lifecycle.draw_escape(E'<a href="x">Tom & \'Ann\'</a>\t\x01\r\n]]> 12 % of 3 days');
SELECT name, lifecycle.draw_fit(name, 100)
  FROM (VALUES (1, 'short'), (2, 'Marketing qualified lead'), (3, 'WWWWWWWWWWWWWWW'), (4, 'a & b & c & d & e & f & g'),
			   (5, U&'\6F5C\5728\5BA2\6237\6F5C\5728\5BA2\6237\6F5C\5728\5BA2\6237')) v (n, name)
 ORDER BY n;
SELECT highest, array_agg(t ORDER BY t) AS ticks
  FROM unnest('{0.7,3,9,100,1340000}'::numeric[]) highest, lifecycle.draw_ticks(highest) t
 GROUP BY highest ORDER BY highest;

SELECT lifecycle_create('report_model', 'empty');
SELECT lifecycle_set('report_model', 'clock', 'tick');
SELECT lifecycle_set('report_model', 'time_zone', 'Asia/Tokyo');
SELECT lifecycle_tick('report_model', '2024-01-31 16:00+00') IS NOT NULL AS ticked;	-- February in Tokyo
SELECT lifecycle_add_stage('report_model', name)
  FROM (VALUES (1, '<script>alert("1")</script> & ''co'''), (2, U&'Eritt\00E4in pitk\00E4j\00E4nteinen liidi & \00C5land'),
			   (3, U&'\6F5C\5728\5BA2\6237'), (4, ']]> 100 %s %1$s')) v (n, name)
 ORDER BY n;
INSERT INTO report_model.pipeline (name, position) VALUES ('P & <Q>', 1);
INSERT INTO report_model.deal_stage (pipeline, name, position, probability, kind) VALUES
	('P & <Q>', 'Offer "sent" & <waiting>', 1, 33.33, 'open'), ('P & <Q>', 'Won', 2, 100, 'won'), ('P & <Q>', 'Lost', 3, 0, 'lost');
SELECT lifecycle_add_segment('report_model', '<&>"''', $$did('A')$$);
INSERT INTO report_model.contacts (id, stage)
	SELECT n, s.name FROM generate_series(1, 1234) n, report_model.stage s WHERE s.position = 1;
DO $$
BEGIN
	FOR month IN 2..4 LOOP
		PERFORM lifecycle_tick('report_model', make_date(2024, month, 20)::timestamptz);
		INSERT INTO report_model.events (contact_id, name, occurred_at)
			SELECT n, 'A', make_date(2024, month, 19) FROM generate_series(1, month * 100) n;
		UPDATE report_model.contacts c
		   SET stage = s.name
		  FROM report_model.stage s
		 WHERE s.position = month AND c.id % month = 0 AND c.id < 1200 / month;
	END LOOP;
END;
$$;
INSERT INTO report_model.deals (contact_id, name, pipeline, stage, amount, currency, close_date)
	SELECT n, 'd', 'P & <Q>', (ARRAY['Offer "sent" & <waiting>', 'Won', 'Lost'])[1 + n % 3], n * 1000.5,
		   CASE WHEN n % 5 = 0 THEN 'USD' ELSE 'EUR' END, CASE WHEN n % 7 <> 0 THEN '2024-02-10'::timestamptz + n * interval '2 days' END
	  FROM generate_series(1, 60) n;

-- it is well-formed
CREATE TEMP TABLE page AS SELECT lifecycle_report('report_model') AS html;
CREATE TEMP TABLE document AS SELECT xmlparse(DOCUMENT html) AS x FROM page;
CREATE FUNCTION pg_temp.texts(path text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT CASE WHEN n::text LIKE '<%' THEN (xpath('string(.)', n))[1]::text ELSE n::text END	-- an element or an attribute
	  FROM document, unnest(xpath(path, x, '{{h,http://www.w3.org/1999/xhtml},{s,http://www.w3.org/2000/svg}}')) n
$$;
-- and needs nothing else: no script, no address but those of the two namespaces
SELECT DISTINCT a[1] FROM page, regexp_matches(html, '(?:https?:)?//[a-z0-9./]+', 'g') a ORDER BY 1;
SELECT count(*) AS scripts_and_links
  FROM pg_temp.texts('//h:script | //h:link | //h:img | //h:iframe | //@href | //@src | //@onclick | //@style[contains(., "url")]');
SELECT pg_temp.texts('//h:h1 | //h:h2 | //h:h3') AS headings;
SELECT pg_temp.texts('//h:main/h:section/h:p[1]') AS readings;
SELECT pg_temp.texts('/h:html/@lang') AS language, pg_temp.texts('//h:meta/@name') AS meta;

-- each picture is one for screen readers, with title, description and a table in its section
SELECT count(*) AS pictures,
	   count(*) = (SELECT count(*) FROM pg_temp.texts('//s:svg[@role="img" and @aria-labelledby = concat(s:title/@id, " ", s:desc/@id)]')) AS labelled,
	   (SELECT count(*) FROM pg_temp.texts('//h:section[.//s:svg and not(.//h:table)]')) AS without_table,
	   (SELECT count(*) - count(DISTINCT i) FROM pg_temp.texts('//@id') i) AS same_ids
  FROM pg_temp.texts('//s:svg[@class="picture"]');
SELECT count(*) AS tables, bool_and(c <> '') AS with_captions FROM pg_temp.texts('//h:table/h:caption') c;

-- the tables hold what the views say
CREATE FUNCTION pg_temp.cells(caption text) RETURNS TABLE (line text) LANGUAGE sql AS $$
	SELECT (SELECT string_agg(replace((xpath('string(.)', c))[1]::text, U&'\00A0', ' '), '|' ORDER BY place)
			  FROM unnest(xpath('/*/*', r)) WITH ORDINALITY u (c, place))
	  FROM document, unnest(xpath(format('//h:table[starts-with(h:caption, "%s")]/h:tbody/h:tr', caption), x, '{{h,http://www.w3.org/1999/xhtml}}')) r
$$;
CREATE FUNCTION pg_temp.difference(caption text, view_query text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format(
		'WITH ours AS (SELECT * FROM pg_temp.cells(%1$L)), plain AS (SELECT (SELECT string_agg(value, ''|'' ORDER BY ordinality) FROM json_each_text(row_to_json(v)) WITH ORDINALITY) FROM (%2$s) v)
		 SELECT ''only the page: '' || x::text FROM (TABLE ours EXCEPT ALL TABLE plain) x
		 UNION ALL
		 SELECT ''only the view: '' || y::text FROM (TABLE plain EXCEPT ALL TABLE ours) y
		 ORDER BY 1', caption, view_query);
END
$$;
CREATE FUNCTION pg_temp.escaped(name text) RETURNS text LANGUAGE sql AS $$
	SELECT replace(replace(replace(name, '&', '&amp;'), '<', '&lt;'), '>', '&gt;')
$$;
CREATE FUNCTION pg_temp.share(n numeric) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN n IN (0, 1) THEN n::int * 100 || ' %' ELSE coalesce(to_char(n * 100, 'FM990.0') || ' %', '-') END
$$;
SELECT pg_temp.cells('Contacts by stage') AS funnel;
SELECT pg_temp.difference('Contacts by stage',
	'SELECT pg_temp.escaped(stage), to_char(contacts, ''FM9,999,990''), to_char(reached, ''FM9,999,990''), pg_temp.share(conversion_to_next), pg_temp.share(conversion_to_last)
	   FROM report_model.funnel');
SELECT pg_temp.difference('Contacts that entered and left each stage',
	'SELECT pg_temp.escaped(stage), to_char(month::timestamp, ''Mon YYYY''), to_char(entered, ''FM9,999,990''), to_char(exited, ''FM9,999,990''), to_char(contacts, ''FM9,999,990'')
	   FROM report_model.stage_flow');
SELECT pg_temp.difference('Days in each stage',
	'SELECT pg_temp.escaped(stage), to_char(ended_stays, ''FM9,999,990''), to_char(open_stays, ''FM9,999,990''),
			coalesce(to_char(median_days, ''FM9,999,990.0''), ''-''), coalesce(to_char(p90_days, ''FM9,999,990.0''), ''-''),
			coalesce(to_char(median_days_of_all, ''FM9,999,990.0''), ''-'')
	   FROM report_model.velocity');
SELECT pg_temp.difference('Contacts that came to each stage',
	'SELECT to_char(month::timestamp, ''Mon YYYY''), to_char(min(contacts), ''FM9,999,990''), string_agg(to_char(converted, ''FM9,999,990''), ''|'' ORDER BY to_position)
	   FROM report_model.conversion c WHERE position = 2 GROUP BY month');
SELECT pg_temp.difference('Contacts in each segment',
	'SELECT pg_temp.escaped(segment), to_char(month::timestamp, ''Mon YYYY''), to_char(contacts, ''FM9,999,990''), to_char(entered, ''FM9,999,990''), to_char(exited, ''FM9,999,990'')
	   FROM report_model.segment_growth');
SELECT pg_temp.difference('Deals in pipeline P & <Q>, EUR',
	'SELECT pg_temp.escaped(stage), trim_scale(probability) || '' %'', count(*), to_char(sum(amount), ''FM9,999,999,990''), to_char(sum(weighted_amount), ''FM9,999,999,990'')
	   FROM report_model.deal_board WHERE currency = ''EUR'' GROUP BY stage, probability');
SELECT pg_temp.difference('Amounts of P & <Q>, USD',
	'SELECT coalesce(to_char(month::timestamp, ''Mon YYYY''), ''no date''), won_deals, to_char(won_amount, ''FM9,999,999,990''), open_deals, to_char(open_amount, ''FM9,999,999,990''),
			to_char(open_weighted_amount, ''FM9,999,999,990''), to_char(weighted_amount, ''FM9,999,999,990'')
	   FROM report_model.deal_forecast WHERE currency = ''USD''');
SELECT pg_temp.difference('Contacts expected to reach',
	'SELECT to_char(since AT TIME ZONE ''Asia/Tokyo'', ''YYYY-MM-DD''), to_char(customers, ''FM9,999,990.0''),
			string_agg(concat_ws('' '', to_char(value, ''FM9,999,999,990''), currency), '' and '' ORDER BY currency)
	   FROM lifecycle_forecast(''report_model'', 6) GROUP BY month, since, customers');

-- and the pictures are drawn to measure: the bars of the funnel, of its longest
SELECT place, light, dark,
	   light = round(100.0 * f.reached / 1234, 2) AS light_is_reached, dark = round(100.0 * f.contacts / 1234, 2) AS dark_is_contacts
  FROM (SELECT row_number() OVER () AS place, v AS light FROM (SELECT rtrim(t, '%')::numeric AS v FROM pg_temp.texts('//s:svg[@aria-labelledby="funnel-title funnel-desc"]//s:rect[@class="light"]/@width') t) l) l
  JOIN (SELECT row_number() OVER () AS place, v AS dark FROM (SELECT rtrim(t, '%')::numeric AS v FROM pg_temp.texts('//s:svg[@aria-labelledby="funnel-title funnel-desc"]//s:rect[@class="dark"]/@width') t) d) d USING (place)
  JOIN report_model.funnel f ON f.position = place;
-- the columns of the stage flow, 36 pixels for the highest of each stage
SELECT count(*) AS columns,
	   count(*) FILTER (WHERE abs(height - 36.0 * f.entered / f.highest) < 0.2) AS to_measure
  FROM (SELECT row_number() OVER () AS place, t::numeric AS height
		  FROM pg_temp.texts('//s:svg[@aria-labelledby="stage_flow-title stage_flow-desc"]/s:rect[@class="dark"]/@height') t) d
  JOIN (SELECT row_number() OVER (ORDER BY position, month) AS place, entered, max(entered) OVER (PARTITION BY stage) AS highest
		  FROM report_model.stage_flow) f USING (place);
-- the points of the line
SELECT pg_temp.texts('//s:polyline/@points') AS points;
SELECT month, contacts FROM report_model.segment_growth ORDER BY month;
-- the heat map
SELECT pg_temp.texts('//s:svg[@aria-labelledby="cohort-title cohort-desc"]//s:rect/@class') AS shade,
	   pg_temp.texts('//s:svg[@aria-labelledby="cohort-title cohort-desc"]//s:text[starts-with(@class, "on")]') AS share;
SELECT left(month::text, 7) AS month, to_position, conversion FROM report_model.conversion WHERE position = 2 ORDER BY 1, 2;

-- the same for a reader who has SELECT and nothing else, on a server that only reads
CREATE ROLE regress_report_reader;
GRANT USAGE ON SCHEMA report_model TO regress_report_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA report_model TO regress_report_reader;
GRANT SELECT ON page TO regress_report_reader;
SET ROLE regress_report_reader;
BEGIN READ ONLY;
SET LOCAL lc_numeric = 'C';
SET LOCAL timezone = 'America/New_York';
SET LOCAL datestyle = 'German';
SELECT lifecycle_report('report_model') = html AS the_same FROM page;
COMMIT;
RESET ROLE;

-- an empty model has a page that says so
SELECT lifecycle_create('report_empty', 'empty');
UPDATE page SET html = lifecycle_report('report_empty');
UPDATE document SET x = xmlparse(DOCUMENT html) FROM page;
SELECT pg_temp.texts('//s:svg/s:desc') AS pictures;
SELECT lifecycle_report('report_nothing');

DROP TABLE page, document;
SET client_min_messages = warning;
SELECT lifecycle_drop('report_model', cascade => true);
SELECT lifecycle_drop('report_empty', cascade => true);
DROP ROLE regress_report_reader;
