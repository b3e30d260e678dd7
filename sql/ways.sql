--
-- Every word of the language in each of its ways, at its boundary instants.
--
-- The same events come to several models, each in its own way: one by one, in
-- one statement, as events of the future that time lets in, without triggers
-- and computed anew, or stored and taken in later; a segment may be there
-- before them, or be added to them; and it may be asked for without being kept.
-- At each instant plain SQL says who is in it, and all ways must say the same.
--
-- The instants lie a microsecond before, at and a microsecond after each border
-- of a window; the model's time zone changes its clocks between them, and the
-- session's does not.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'Asia/Tokyo';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

CREATE SCHEMA ways;
-- The words.  In the plain SQL, e are the events and c the contacts of the
-- table below, $1 is the clock, and the time zone is the model's.
CREATE TABLE ways.word (name text PRIMARY KEY, predicate text NOT NULL, condition text NOT NULL);
-- did, and its negation
INSERT INTO ways.word VALUES
	('did', $$did('A')$$, $$EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1)$$),
	('did twice', $$did('A', times => 2)$$, $$(SELECT count(*) FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1) >= 2$$),
	('did filter', $$did('A', (properties->>'n')::int = 1)$$, $$EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 AND n = 1)$$),
	('did not filter', $$did('A', NOT (properties->>'n')::int = 1)$$, $$EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 AND n <> 1)$$),
	('did day', $$did('A', within => '1 day')$$, $$EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 AND t > $1 - interval '1 day')$$),
	('did 24 hours', $$did('A', within => '24 hours')$$, $$EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 AND t > $1 - interval '24 hours')$$),
	('did month', $$did('A', within => '1 month')$$, $$EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 AND t > $1 - interval '1 month')$$),
	('did twice day', $$did('A', times => 2, within => '1 day')$$, $$(SELECT count(*) FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 AND t > $1 - interval '1 day') >= 2$$),
	('did filter day', $$did('A', (properties->>'n')::int < 2, within => '1 day')$$, $$EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 AND t > $1 - interval '1 day' AND n < 2)$$),
	('not did', $$NOT did('A')$$, $$NOT EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1)$$),
	('not did day', $$NOT did('A', within => '1 day')$$, $$NOT EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 AND t > $1 - interval '1 day')$$),
	('visited', $$visited('/p%', times => 2, within => '1 day')$$, $$(SELECT count(*) FROM e WHERE e.c = c.id AND name = 'Page Viewed' AND path LIKE '/p%' AND t <= $1 AND t > $1 - interval '1 day') >= 2$$);
-- event_count, compared in every way
INSERT INTO ways.word
SELECT replace(comparison, '%s', 'count') || coalesce(' in ' || w, ''),
	replace(comparison, '%s', 'event_count(''A''' || coalesce(', within => ''' || w || '''', '') || ')'),
	replace(comparison, '%s', '(SELECT count(*) FROM e WHERE e.c = c.id AND name = ''A'' AND t <= $1' || coalesce(' AND t > $1 - interval ''' || w || '''', '') || ')')
FROM (VALUES ('%s = 0', '1 day'), ('%s = 1', '1 day'), ('%s <> 1', '1 day'), ('%s < 2', '1 day'), ('%s <= 1', NULL), ('%s > 1', NULL), ('2 <= %s', '1 day'),
	('%s BETWEEN 1 AND 2', NULL), ('%s BETWEEN 1 AND 2', '24 hours'), ('%s NOT BETWEEN 1 AND 2', '1 day'), ('%s + 1 = 3', '1 day'), ('%s IN (1, 3)', NULL), ('%s > 1.5', '1 day'),
	('%s = 2.0', NULL), ('%s % 2 = 1', NULL), ('-%s < -1', '1 day'), ('NOT %s >= 2', NULL), ('%s IS NULL', NULL), ('%s >= 0', '1 day')) v (comparison, w);
INSERT INTO ways.word VALUES
	('count count', $$event_count('A') = event_count('B')$$, $$(SELECT count(*) FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1) = (SELECT count(*) FROM e WHERE e.c = c.id AND name = 'B' AND t <= $1)$$),
	('count sum', $$event_count('A') + 2 * event_count('B', within => '1 day') > 2$$, $$(SELECT count(*) FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1) + 2 * (SELECT count(*) FROM e WHERE e.c = c.id AND name = 'B' AND t <= $1 AND t > $1 - interval '1 day') > 2$$);
-- the other aggregates
INSERT INTO ways.word
SELECT replace(comparison, '%s', f) || coalesce(' in ' || w, ''),
	replace(comparison, '%s', f || '(''A'', (properties->>''n'')::numeric' || coalesce(', within => ''' || w || '''', '') || ')'),
	replace(comparison, '%s', '(SELECT ' || CASE f WHEN 'event_distinct' THEN 'count(DISTINCT n)' ELSE replace(f, 'event_', '') || '(n)' END
		|| ' FROM e WHERE e.c = c.id AND name = ''A'' AND t <= $1' || coalesce(' AND t > $1 - interval ''' || w || '''', '') || ')')
FROM unnest(ARRAY['event_sum', 'event_avg', 'event_min', 'event_max', 'event_distinct']) f,
	(VALUES ('%s > 1', '1 day'), ('%s > 1', NULL), ('%s IS NULL', NULL), ('coalesce(%s, 0) < 3', '1 day')) v (comparison, w);
INSERT INTO ways.word VALUES
	('sum filter', $$event_sum('A', (properties->>'n')::numeric / 3, (properties->>'n')::int <> 2)::text = '0.66666666666666666666'$$, $$(SELECT sum(n::numeric / 3)::text FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 AND n <> 2) = '0.66666666666666666666'$$),
	('avg text', $$event_avg('A', (properties->>'n')::numeric)::text LIKE '%.5%'$$, $$(SELECT avg(n)::text FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1) LIKE '%.5%'$$),
	('count avg', $$event_count('A') > event_avg('A', (properties->>'n')::numeric)$$, $$(SELECT count(*) > avg(n) FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1)$$),
	('first last', $$event_first('A') < event_last('A')$$, $$(SELECT min(t) < max(t) FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1)$$),
	('last last', $$event_last('A') = event_last('B')$$, $$(SELECT max(t) FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1) = (SELECT max(t) FROM e WHERE e.c = c.id AND name = 'B' AND t <= $1)$$),
	('no first', $$event_first('A', (properties->>'n')::int = 1) IS NULL$$, $$NOT EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND n = 1 AND t <= $1)$$),
	('latest', $$event_latest('A', (properties->>'n')::int) = 1$$, $$(SELECT n FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 ORDER BY t DESC, id DESC LIMIT 1) = 1$$),
	('latest null', $$event_latest('A', (properties->>'n')::int) IS NULL$$, $$(SELECT n FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 ORDER BY t DESC, id DESC LIMIT 1) IS NULL$$);
-- how events lie in time
INSERT INTO ways.word VALUES
	('did_first', $$did_first('A', '1 day')$$, $$(SELECT min(t) FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1) > $1 - interval '1 day'$$),
	('stopped', $$stopped('A', '2 days', '1 day')$$, $$(SELECT max(t) BETWEEN $1 - interval '2 days' + interval '1 microsecond' AND $1 - interval '1 day' FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1)$$),
	('restarted', $$restarted('A', '2 days', '1 day')$$, $$EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 - interval '2 days')
		AND NOT EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t > $1 - interval '2 days' AND t <= $1 - interval '1 day')
		AND EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t > $1 - interval '1 day' AND t <= $1)$$),
	('regularly', $$regularly('A', 1, '1 day', 3, 2)$$, $$(SELECT count(*) FROM generate_series(1, 3) k WHERE EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t > $1 - k * interval '1 day' AND t <= $1 - (k - 1) * interval '1 day')) >= 2$$),
	('did_then', $$did_then('A', 'B', '1 day')$$, $$EXISTS (SELECT FROM e, e s WHERE e.c = c.id AND s.c = c.id AND e.name = 'A' AND s.name = 'B' AND s.t <= $1 AND s.t > e.t AND s.t <= e.t + interval '1 day')$$),
	('did_then hours', $$did_then('A', 'B', '24 hours')$$, $$EXISTS (SELECT FROM e, e s WHERE e.c = c.id AND s.c = c.id AND e.name = 'A' AND s.name = 'B' AND s.t <= $1 AND s.t > e.t AND s.t <= e.t + interval '24 hours')$$),
	('did_then itself', $$did_then('A', 'A', '1 day')$$, $$EXISTS (SELECT FROM e, e s WHERE e.c = c.id AND s.c = c.id AND e.name = 'A' AND s.name = 'A' AND s.t <= $1 AND s.t > e.t AND s.t <= e.t + interval '1 day')$$);
-- columns, stages, deals, scores
INSERT INTO ways.word VALUES
	('column', $$country = 'FI'$$, $$c.country = 'FI'$$),
	('not column', $$NOT country = 'FI'$$, $$c.country <> 'FI'$$),
	('company', $$company.industry = 'tech' OR did('B')$$, $$c.company = 1 OR EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'B' AND t <= $1)$$),
	('in_last', $$in_last(seen, '1 day')$$, $$c.seen <= $1 AND c.seen > $1 - interval '1 day'$$),
	('in_last hours', $$in_last(seen, '24 hours')$$, $$c.seen <= $1 AND c.seen > $1 - interval '24 hours'$$),
	('not in_last', $$NOT in_last(seen, '1 day')$$, $$NOT (c.seen <= $1 AND c.seen > $1 - interval '1 day')$$),
	('in_last date', $$in_last(born, '1 day')$$, $$c.born <= $1 AND c.born > $1 - interval '1 day'$$),
	('in_last timestamp', $$in_last(local, '1 day')$$, $$c.local <= $1 AND c.local > $1 - interval '1 day'$$),
	('stage >=', $$time_in_stage() >= '1 day'$$, $$(SELECT s.stage IS NOT NULL AND s.t <= $1 - interval '1 day' FROM moved s WHERE s.c = c.id AND s.t <= $1 ORDER BY s.t DESC LIMIT 1)$$),
	('stage >', $$time_in_stage() > '1 day'$$, $$(SELECT s.stage IS NOT NULL AND s.t < $1 - interval '1 day' FROM moved s WHERE s.c = c.id AND s.t <= $1 ORDER BY s.t DESC LIMIT 1)$$),
	('stage <=', $$time_in_stage() <= '24 hours'$$, $$(SELECT s.stage IS NOT NULL AND s.t >= $1 - interval '24 hours' FROM moved s WHERE s.c = c.id AND s.t <= $1 ORDER BY s.t DESC LIMIT 1)$$),
	('stage <', $$stage = 'One' AND time_in_stage() < '1 day'$$, $$(SELECT s.stage = 'One' AND s.t > $1 - interval '1 day' FROM moved s WHERE s.c = c.id AND s.t <= $1 ORDER BY s.t DESC LIMIT 1)$$),
	('open_deals', $$open_deals() = 0$$, $$NOT EXISTS (SELECT FROM deal d WHERE d.c = c.id AND d.opened <= $1 AND d.closed > $1)$$),
	('open_deals filter', $$open_deals(amount > 1) >= 1$$, $$EXISTS (SELECT FROM deal d WHERE d.c = c.id AND d.opened <= $1 AND d.closed > $1 AND d.amount > 1)$$),
	('score', $$score('fit') >= 4$$, $$2 * (SELECT count(*) FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1) >= 4$$),
	('score decay', $$score('heat') BETWEEN 1 AND 9$$, $$(SELECT trunc(sum(10 * (1 - extract(epoch FROM $1 - t) / 172800))) BETWEEN 1 AND 9 FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 AND t > $1 - interval '48 hours')$$);
-- put together, with nulls
INSERT INTO ways.word VALUES
	('at_least', $$at_least(2, did('A', within => '1 day'), country = 'FI', did('B'))$$,
		$$EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 AND t > $1 - interval '1 day')::int + coalesce(c.country = 'FI', false)::int + EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'B' AND t <= $1)::int >= 2$$),
	('not null', $$NOT (event_sum('A', (properties->>'n')::numeric) > 1)$$, $$(SELECT sum(n) FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1) <= 1$$),
	('null or', $$country = 'FI' OR did('A', within => '1 day')$$, $$c.country = 'FI' OR EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 AND t > $1 - interval '1 day')$$),
	('null and', $$NOT (country = 'FI' AND did('A', within => '1 day'))$$, $$NOT (c.country = 'FI' AND EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 AND t > $1 - interval '1 day'))$$),
	('nested', $$NOT (did('A', within => '1 day') OR NOT (did('B') AND NOT (event_count('A') <> 2 OR country IS NULL)))$$,
		$$NOT (EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 AND t > $1 - interval '1 day') OR NOT (EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'B' AND t <= $1)
		AND NOT ((SELECT count(*) FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1) <> 2 OR c.country IS NULL)))$$),
	('case', $$CASE WHEN did('B') THEN did('A', within => '1 day') END$$, $$EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'B' AND t <= $1) AND EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 AND t > $1 - interval '1 day')$$),
	('z segment', $$in_segment('did day') AND NOT in_segment('did_then')$$, $$EXISTS (SELECT FROM e WHERE e.c = c.id AND name = 'A' AND t <= $1 AND t > $1 - interval '1 day')
		AND NOT EXISTS (SELECT FROM e, e s WHERE e.c = c.id AND s.c = c.id AND e.name = 'A' AND s.name = 'B' AND s.t <= $1 AND s.t > e.t AND s.t <= e.t + interval '1 day')$$);

-- What happens, by the distance to a base instant.  `known` is when an event
-- comes to those who live through it; it may be dated later.
CREATE TABLE ways.event (id int, c int, name text, after interval, n int, path text, known interval);
INSERT INTO ways.event (id, c, name, after, n, path) VALUES
	-- 1 does nothing; 2 once; 3 twice at one instant; 4 twice, a microsecond apart
	(1, 2, 'A', '0', 1, NULL), (2, 3, 'A', '0', 2, NULL), (3, 3, 'A', '0', 1, NULL), (4, 4, 'A', '0', 3, NULL), (5, 4, 'A', '1 microsecond', NULL, NULL),
	-- 5 with nothing in it; 6 within a day by the calendar, and a microsecond later
	(6, 5, 'A', '0', NULL, NULL), (7, 6, 'A', '0', 1, NULL), (8, 6, 'A', '1 day', 2, NULL), (9, 7, 'A', '0', 1, NULL), (10, 7, 'A', '1 day 1 microsecond', 1, NULL),
	-- 8 to 12: a second at the same instant, before, a microsecond after, in time, late
	(11, 8, 'A', '0', 1, NULL), (12, 8, 'B', '0', 1, NULL), (13, 9, 'B', '-1 microsecond', 1, NULL), (14, 9, 'A', '0', 1, NULL),
	(15, 10, 'A', '0', 1, NULL), (16, 10, 'B', '1 microsecond', 1, NULL), (17, 11, 'A', '0', 1, NULL), (18, 11, 'B', '1 day', 1, NULL),
	(19, 12, 'A', '0', 1, NULL), (20, 12, 'B', '1 day 1 microsecond', 1, NULL), (21, 13, 'A', '0', 2, NULL), (22, 13, 'B', '24 hours', 1, NULL),
	-- 14 each day; 15 comes back after two days; 16 looks at pages
	(23, 14, 'A', '0', 1, NULL), (24, 14, 'A', '1 day', 1, NULL), (25, 14, 'A', '2 days', 1, NULL), (26, 15, 'A', '0', 1, NULL), (27, 15, 'A', '2 days', 5, NULL),
	(28, 16, 'Page Viewed', '0', NULL, '/p'), (29, 16, 'Page Viewed', '12 hours', NULL, '/pricing'), (30, 16, 'Page Viewed', '1 hour', NULL, '/q'), (31, 16, 'a', '0', 1, NULL),
	-- 19 twice, and something else
	(32, 19, 'A', '0', 1, NULL), (33, 19, 'A', '0', 1, NULL), (34, 19, 'B', '1 hour', 1, NULL);
-- every third one comes a day before its time
UPDATE ways.event SET known = CASE WHEN id % 3 = 0 THEN interval '-1 day' ELSE after END;
CREATE TABLE ways.contact (id int, country text, company int, seen interval);
INSERT INTO ways.contact SELECT i, CASE i % 3 WHEN 0 THEN 'FI' WHEN 1 THEN 'SE' END, i % 2, CASE WHEN i % 4 < 3 THEN (i % 4) * interval '1 day' END FROM generate_series(1, 19) i;
CREATE TABLE ways.move (c int, stage text, after interval);
INSERT INTO ways.move VALUES (2, 'One', '0'), (3, 'One', '0'), (4, 'Two', '0'), (5, 'One', '0'), (3, 'Two', '12 hours'), (4, 'One', '1 day'), (5, NULL, '1 day');
CREATE TABLE ways.trade (id int, c int, amount numeric, opened interval, closed interval);
INSERT INTO ways.trade VALUES (1, 2, 5, '0', '1 day'), (2, 3, NULL, '0', '2 days'), (3, 4, 1, '12 hours', '24 hours'), (4, 7, 2, '1 day', '1 month'), (5, 6, 9, '-1 day', '0');

-- All of it around one base, in the model's time zone.
CREATE FUNCTION ways.at(base timestamptz, after interval) RETURNS timestamptz LANGUAGE sql STABLE
SET timezone = 'Europe/Helsinki' AS 'SELECT base + after';
CREATE VIEW ways.base AS SELECT current_setting('ways.base')::timestamptz AS t;
CREATE TABLE ways.happens (t timestamptz, what text, id int);
CREATE TABLE ways.c (id int, country text, company int, seen timestamptz, born date, local timestamp);
CREATE TABLE ways.e (id int, c int, name text, n int, path text, t timestamptz);
CREATE TABLE ways.moved (c int, stage text, t timestamptz);
CREATE TABLE ways.deal (id int, c int, amount numeric, opened timestamptz, closed timestamptz);
CREATE PROCEDURE ways.schedule() LANGUAGE sql AS $$
	TRUNCATE ways.happens, ways.c, ways.e, ways.moved, ways.deal;
	INSERT INTO ways.c SELECT c.id, c.country, c.company, ways.at(b.t, c.seen), (ways.at(b.t, c.seen) AT TIME ZONE 'Europe/Helsinki')::date, ways.at(b.t, c.seen) AT TIME ZONE 'Europe/Helsinki' FROM ways.contact c, ways.base b;
	INSERT INTO ways.e SELECT e.id, e.c, e.name, e.n, e.path, ways.at(b.t, e.after) FROM ways.event e, ways.base b;
	INSERT INTO ways.moved SELECT m.c, m.stage, ways.at(b.t, m.after) FROM ways.move m, ways.base b;
	INSERT INTO ways.deal SELECT d.id, d.c, d.amount, ways.at(b.t, d.opened), ways.at(b.t, d.closed) FROM ways.trade d, ways.base b;
	INSERT INTO ways.happens
		SELECT ways.at(b.t, known), 'event', id FROM ways.base b, ways.event
		UNION ALL SELECT ways.at(b.t, after), 'move', c FROM ways.base b, ways.move
		UNION ALL SELECT ways.at(b.t, opened), 'open', id FROM ways.base b, ways.trade
		UNION ALL SELECT ways.at(b.t, closed), 'close', id FROM ways.base b, ways.trade
		UNION ALL SELECT ways.at(b.t, border) + i * interval '1 microsecond', 'look', NULL
			FROM ways.base b, unnest(ARRAY['0', '1 day', '24 hours', '2 days', '48 hours', '1 month']::interval[]) border, generate_series(-1, 1) i
$$;

-- What plain SQL says: who is in which segment at an instant.
CREATE FUNCTION ways.expected(clock timestamptz, OUT segment text, OUT contact bigint) RETURNS SETOF record LANGUAGE plpgsql STABLE
SET timezone = 'Europe/Helsinki' SET search_path = ways, pg_catalog AS $$
BEGIN
	FOR segment IN SELECT name FROM word ORDER BY 1 LOOP
		FOR contact IN EXECUTE 'SELECT id FROM c WHERE ' || (SELECT condition FROM word WHERE name = segment) USING clock LOOP
			RETURN NEXT;
		END LOOP;
	END LOOP;
END $$;

-- The ways in which events come.
CREATE TABLE ways.model (name text, way text);
INSERT INTO ways.model VALUES ('ways_single', 'one INSERT each'), ('ways_many', 'one INSERT for all of an instant'), ('ways_future', 'all at the beginning'),
	('ways_bare', 'without triggers, and computed anew'), ('ways_deferred', 'stored, and taken in'), ('ways_late', 'at the end, the last first'), ('ways_added', 'before there is any segment');
-- A fifth of the words, another one at each look.
CREATE FUNCTION ways.share(number int) RETURNS SETOF ways.word LANGUAGE sql STABLE AS $$
	SELECT name, predicate, condition FROM (SELECT w.*, row_number() OVER (ORDER BY name) FROM ways.word w) w
	WHERE row_number % 5 = number % 5 OR (name IN ('did day', 'did_then') AND number % 5 = (SELECT count(*) FROM ways.word) % 5) $$;
CREATE PROCEDURE ways.define(model text, number int DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM lifecycle_add_score(model, 'fit'), lifecycle_add_score(model, 'heat', decimals => 0);
	PERFORM lifecycle_add_score_rule(model, 'fit', 'a', 2, event => 'A'), lifecycle_add_score_rule(model, 'heat', 'a', 10, event => 'A', linear_decay => '2 days');
	PERFORM lifecycle_add_segment(model, name, predicate) FROM (
		SELECT w.* FROM ways.word w WHERE number IS NULL OR w.name IN (SELECT name FROM ways.share(number)) ORDER BY w.name COLLATE "C") w;
END $$;
CREATE PROCEDURE ways.insert(model text, ids int[]) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %I.events (id, contact_id, name, occurred_at, properties) SELECT e.id, e.c, e.name, e.t, jsonb_strip_nulls(jsonb_build_object(''n'', e.n, ''path'', e.path))'
		' FROM unnest($1) WITH ORDINALITY i (id, o) JOIN ways.e ON e.id = i.id ORDER BY i.o', model) USING ids;
END $$;
CREATE PROCEDURE ways.begin_model(model text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM lifecycle_create(model, 'empty');
	PERFORM lifecycle_set(model, 'clock', 'tick'), lifecycle_set(model, 'time_zone', 'Europe/Helsinki');
	PERFORM lifecycle_tick(model, t - interval '3 days') FROM ways.base;
	PERFORM lifecycle_add_stage(model, 'One'), lifecycle_add_stage(model, 'Two'), lifecycle_add_pipeline(model, 'Sales');
	PERFORM lifecycle_add_deal_stage(model, 'Sales', 'Talk', 20), lifecycle_add_deal_stage(model, 'Sales', 'Closed lost', 0);
	EXECUTE format('ALTER TABLE %I.contacts ADD seen timestamptz, ADD born date, ADD local timestamp', model);
	EXECUTE format('INSERT INTO %I.companies (id, industry) VALUES (0, NULL), (1, ''tech'')', model);
	EXECUTE format('INSERT INTO %I.contacts (id, country, company_id, seen, born, local) SELECT id, country, company, seen, born, local FROM ways.c', model);
END $$;

-- What happens at an instant, in one model.
CREATE PROCEDURE ways.happen(model text, instant timestamptz) LANGUAGE plpgsql AS $$
DECLARE
	events int[] := ARRAY(SELECT h.id FROM ways.happens h WHERE h.t = instant AND h.what = 'event' ORDER BY h.id);
	event int;
BEGIN
	EXECUTE format('UPDATE %I.contacts x SET stage = m.stage FROM ways.moved m WHERE m.t = $1 AND m.c = x.id', model) USING instant;
	EXECUTE format('INSERT INTO %I.deals (id, contact_id, pipeline, stage, amount) SELECT d.id, d.c, ''Sales'', ''Talk'', d.amount'
		' FROM ways.trade d JOIN ways.happens h ON h.what = ''open'' AND h.id = d.id WHERE h.t = $1', model) USING instant;
	EXECUTE format('UPDATE %I.deals x SET stage = ''Closed lost'' FROM ways.happens h WHERE h.what = ''close'' AND h.id = x.id AND h.t = $1', model) USING instant;
	CASE model
		WHEN 'ways_single' THEN
			FOREACH event IN ARRAY events LOOP
				CALL ways.insert(model, ARRAY[event]);
			END LOOP;
		WHEN 'ways_future', 'ways_late' THEN
			NULL;
		WHEN 'ways_bare' THEN
			SET LOCAL session_replication_role = replica;
			CALL ways.insert(model, events);
			SET LOCAL session_replication_role = origin;
			PERFORM lifecycle_rebuild(model);
		WHEN 'ways_deferred' THEN
			SET LOCAL lifecycle.import_mode = defer;
			CALL ways.insert(model, events);
			SET LOCAL lifecycle.import_mode = fire;
			PERFORM lifecycle_take_deferred(model);
		ELSE
			CALL ways.insert(model, events);
	END CASE;
END $$;

-- What each way says, and where it differs from plain SQL.
CREATE TABLE ways.result (way text, segment text, contact bigint);
CREATE TABLE ways.right_ (way text, segment text, contact bigint);
CREATE TABLE ways.looked (base timestamptz, instant timestamptz, way text, segment text, members bigint);
CREATE TABLE ways.difference (base timestamptz, instant timestamptz, way text, segment text, contact bigint, difference text);
CREATE PROCEDURE ways.look(instant timestamptz, number int, late boolean) LANGUAGE plpgsql AS $$
DECLARE
	model text;
	added text;
BEGIN
	DELETE FROM ways.result;
	FOR model IN SELECT m.name FROM ways.model m WHERE m.name <> 'ways_added' AND (late OR m.name <> 'ways_late') ORDER BY 1 LOOP
		EXECUTE format('INSERT INTO ways.result SELECT %L, segment, contact FROM %I.segment_member', model, model);
	END LOOP;
	INSERT INTO ways.result SELECT 'preview', w.name, p::bigint FROM ways.word w, lifecycle_preview('ways_single', w.predicate) p;
	INSERT INTO ways.result SELECT 'in_segment', w.name, c.id FROM ways.share(number) w, ways.c WHERE lifecycle_in_segment('ways_single', c.id, w.name);
	BEGIN
		CALL ways.define('ways_added', number);
		SELECT string_agg(segment || '|' || contact, ';') INTO added FROM ways_added.segment_member;
		RAISE 'take back';
	EXCEPTION WHEN raise_exception THEN
		INSERT INTO ways.result SELECT 'ways_added', split_part(r, '|', 1), split_part(r, '|', 2)::bigint FROM string_to_table(added, ';') r;
	END;
	DELETE FROM ways.right_;
	INSERT INTO ways.right_ SELECT r.way, x.* FROM ways.expected(instant) x, (SELECT DISTINCT way FROM ways.result) r
		WHERE r.way NOT IN ('ways_added', 'in_segment') OR x.segment IN (SELECT name FROM ways.share(number));
	INSERT INTO ways.looked SELECT b.t, instant, way, segment, count(*) FROM ways.base b, ways.right_ GROUP BY 1, 2, 3, 4;
	INSERT INTO ways.difference
		SELECT b.t, instant, way, segment, contact, 'missing' FROM ways.base b, (TABLE ways.right_ EXCEPT ALL TABLE ways.result) x
		UNION ALL SELECT b.t, instant, way, segment, contact, 'too much' FROM ways.base b, (TABLE ways.result EXCEPT ALL TABLE ways.right_) x;
END $$;

CREATE PROCEDURE ways.play(base timestamptz) LANGUAGE plpgsql AS $$
DECLARE
	instant timestamptz;
	is_late boolean := false;
	model text;
	ids int[];
	looks int := 0;
BEGIN
	PERFORM set_config('ways.base', base::text, false);
	CALL ways.schedule();
	FOR model IN SELECT m.name FROM ways.model m LOOP
		CALL ways.begin_model(model);
		IF model <> 'ways_added' THEN
			CALL ways.define(model);
		END IF;
		COMMIT;
	END LOOP;
	SELECT array_agg(id ORDER BY id) INTO ids FROM ways.event;
	CALL ways.insert('ways_future', ids);
	FOR instant IN SELECT DISTINCT t FROM ways.happens ORDER BY 1 LOOP
		FOR model IN SELECT m.name FROM ways.model m LOOP
			PERFORM lifecycle_tick(model, instant);
			CALL ways.happen(model, instant);
		END LOOP;
		IF NOT is_late AND instant >= ways.at(base, '2 days') THEN
			SELECT array_agg(id ORDER BY after DESC, id DESC) INTO ids FROM ways.event;
			CALL ways.insert('ways_late', ids);
			is_late := true;
		END IF;
		IF EXISTS (SELECT FROM ways.happens h WHERE h.t = instant AND h.what = 'look') THEN
			looks := looks + 1;
			CALL ways.look(instant, looks, is_late);
		END IF;
		COMMIT;
	END LOOP;
END $$;

-- the day before clocks go forward, and the day before they go back
CALL ways.play('2024-03-30 12:00 Europe/Helsinki');
SELECT w.name, v.* FROM ways.model w, lifecycle_verify(w.name) v ORDER BY 1, 2, 3;
SELECT lifecycle_drop(name) FROM ways.model;
DELETE FROM ways.model WHERE name IN ('ways_many', 'ways_bare', 'ways_deferred');
CREATE TABLE ways.all_words AS TABLE ways.word;
DELETE FROM ways.word WHERE predicate !~ 'day|hours|month|last|score|in_segment';
CALL ways.play('2024-10-26 12:00 Europe/Helsinki');
SELECT w.name, v.* FROM ways.model w, lifecycle_verify(w.name) v ORDER BY 1, 2, 3;
SELECT lifecycle_drop(name) FROM ways.model;
SELECT * FROM ways.difference ORDER BY 1, 2, 3, 4, 5 LIMIT 50;

-- and there was something to say: how often, and what never changed
SELECT way, count(DISTINCT (base, instant)) AS instants, count(DISTINCT segment) AS segments, sum(members) AS members FROM ways.looked GROUP BY 1 ORDER BY 1;
SELECT name AS nobody_ever FROM ways.all_words w WHERE NOT EXISTS (SELECT FROM ways.looked l WHERE l.segment = w.name) ORDER BY 1;
SELECT segment AS same_number_if_any FROM ways.looked WHERE way = 'ways_single' GROUP BY 1
HAVING count(DISTINCT members) = 1 AND count(*) >= (SELECT count(DISTINCT (base, instant)) FROM ways.looked) / 2 ORDER BY 1;
SET client_min_messages = warning;
DROP SCHEMA ways CASCADE;
