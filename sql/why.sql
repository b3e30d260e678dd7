-- lifecycle_why and lifecycle_backtest: what they show to whom, and that a
-- backtest is what plain SQL says.  (docs/why.md has the examples; they are
-- run by test/t/005_docs.pl.)
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
CREATE SCHEMA shop;
CREATE TABLE shop.clients (code text PRIMARY KEY, email text, country text, lead_status text, stage text);
CREATE TABLE shop.hits (id uuid PRIMARY KEY, client text REFERENCES shop.clients ON DELETE CASCADE, name text,
	occurred_at timestamptz, properties jsonb);
SELECT count(*) > 0 AS attached FROM lifecycle_attach('m', contacts => 'shop.clients', events => 'shop.hits',
	columns => '{"events": {"contact": "client"}}', template => 'empty');
SELECT lifecycle_set('m', 'clock', 'tick');
SELECT contacts FROM lifecycle_tick('m', '2026-06-01 00:00+00');

INSERT INTO shop.clients (code, country)
SELECT 'c' || n, (ARRAY['FI', 'SE', NULL])[n % 3 + 1] FROM generate_series(1, 30) n;
INSERT INTO shop.hits (id, client, name, occurred_at, properties)
SELECT md5(n::text)::uuid, 'c' || (n * 7 % 30 + 1), (ARRAY['Order', 'View'])[n * n % 5 % 2 + 1],
	timestamptz '2026-01-01' + n * interval '9 hours 7 minutes', jsonb_build_object('total', n % 7 * 10)
FROM generate_series(1, 400) n;

-- brackets, comments and keywords in other places do not divide
SELECT lifecycle_add_segment('m', 'Odd', $$ ((country BETWEEN 'A' AND 'Z')) /* AND */ AND
	CASE WHEN country = 'FI' OR country = 'SE' THEN true ELSE did('Order') AND did('View') END
	AND NOT (country = 'OR' OR NOT did('View', (properties->>'total')::int > 0 AND name <> ' AND ')) $$);
SELECT level, clause, holds, finding, cardinality(events) AS events FROM lifecycle_why('m', 'c2', 'Odd') ORDER BY "position";

-- one clause is one row; the key may be of any type that reads as a key
SELECT lifecycle_add_segment('m', 'Two', $$ did('Order', times => 2, within => '20 days') $$);
SELECT "position", level, holds, finding, cardinality(events) AS events, times
FROM lifecycle_why('m', 'c5'::varchar, 'Two');

-- every row says what the clause says by itself, and level 0 what the segment says
SELECT count(*) AS wrong FROM shop.clients c, lifecycle_why('m', c.code, 'Odd') w
WHERE w.holds IS DISTINCT FROM CASE WHEN w.level = 0 THEN lifecycle_in_segment('m', c.code, 'Odd') ELSE w.holds END
   OR (w.level = 0) <> (w."position" = 1);
SELECT count(*) AS wrong FROM shop.clients c, lifecycle_why('m', c.code, 'Two') w
WHERE (coalesce(cardinality(w.events), 0) >= 2) <> w.holds
   OR EXISTS (SELECT FROM unnest(w.events) e WHERE NOT EXISTS (
		SELECT FROM shop.hits h WHERE h.id::text = e AND h.client = c.code AND h.name = 'Order'
		AND h.occurred_at > timestamptz '2026-06-01' - interval '20 days' AND h.occurred_at <= '2026-06-01'));

-- an error in a clause is its finding
SELECT lifecycle_add_segment('m', 'Bad', $$ did('View') OR 10 / (event_count('Burst') + 0) < 1 $$);
SELECT clause, holds, finding FROM lifecycle_why('m', 'c2', 'Bad') WHERE level > 0;

-- at most 20 events, the latest
INSERT INTO shop.hits (id, client, name, occurred_at)
SELECT md5('x' || n)::uuid, 'c9', 'Burst', timestamptz '2026-05-01' + n * interval '1 minute' FROM generate_series(1, 50) n;
SELECT lifecycle_add_segment('m', 'Burst', $$ event_count('Burst') + 0 > 40 $$);
SELECT finding, cardinality(events), times[1], times[20] FROM lifecycle_why('m', 'c9', 'Burst');

-- who raises an error is not in it, and does not keep the others from being looked at
SELECT * FROM lifecycle_preview('m', $$ 10 / (event_count('Burst') + 0) < 1 $$);
SELECT * FROM lifecycle_backtest('m', $$ 10 / (event_count('Burst') + 0) < 1 $$, '2026-04-30', '2026-05-02');

-- what there is not
SELECT * FROM lifecycle_why('m', 'nobody', 'Two');
SELECT * FROM lifecycle_why('m', 'c1', 'Three');
SELECT * FROM lifecycle_why('m', NULL::text, 'Two');

-- only what the caller may see
CREATE ROLE lifecycle_why_reader;
SET ROLE lifecycle_why_reader;
SELECT count(*) FROM lifecycle_why('m', 'c9', 'Burst');
RESET ROLE;
GRANT USAGE ON SCHEMA shop TO lifecycle_why_reader;
GRANT SELECT ON shop.clients, shop.hits TO lifecycle_why_reader;
ALTER TABLE shop.clients ENABLE ROW LEVEL SECURITY;
ALTER TABLE shop.hits ENABLE ROW LEVEL SECURITY;
CREATE POLICY some_clients ON shop.clients USING (code IN ('c2', 'c9'));
CREATE POLICY some_hits ON shop.hits USING (occurred_at > '2026-05-01 00:45+00');
SET ROLE lifecycle_why_reader;
SELECT holds, cardinality(events), times[1] FROM lifecycle_why('m', 'c9', 'Burst');
SELECT holds, finding FROM lifecycle_why('m', 'c2', 'Bad') WHERE level > 0;
SELECT * FROM lifecycle_why('m', 'c1', 'Two');
SELECT * FROM lifecycle_backtest('m', 'true', '2026-01-01', '2026-01-02');
RESET ROLE;
ALTER TABLE shop.clients DISABLE ROW LEVEL SECURITY;
ALTER TABLE shop.hits DISABLE ROW LEVEL SECURITY;

-- a backtest against plain SQL, at each instant
CREATE FUNCTION shop.compare(predicate text, query text, step interval DEFAULT '11 days 5 hours')
RETURNS TABLE (instants bigint, fewest bigint, most bigint, differences bigint) LANGUAGE plpgsql AS $$
DECLARE
	r record;
	n bigint;
BEGIN
	instants := 0;
	differences := 0;
	FOR r IN SELECT * FROM lifecycle_backtest('m', predicate, '2026-01-01', '2026-06-10', step) LOOP
		EXECUTE 'SELECT count(*) FROM shop.clients c WHERE ' || query INTO n USING r.at;
		instants := instants + 1;
		differences := differences + (n <> r.members)::int;
		fewest := least(fewest, n);
		most := greatest(most, n);
	END LOOP;
	RETURN NEXT;
END $$;
SELECT * FROM shop.compare($$ did('Order', times => 2, within => '20 days') AND country = 'FI' $$,
	$$ c.country = 'FI' AND (SELECT count(*) >= 2 FROM shop.hits h WHERE h.client = c.code AND h.name = 'Order'
		AND h.occurred_at > $1 - interval '20 days' AND h.occurred_at <= $1) $$);
SELECT * FROM shop.compare($$ NOT did('View') OR event_sum('Order', (properties->>'total')::int) > 100 $$,
	$$ NOT EXISTS (SELECT FROM shop.hits h WHERE h.client = c.code AND h.name = 'View' AND h.occurred_at <= $1)
		OR (SELECT sum((properties->>'total')::int) > 100 FROM shop.hits h WHERE h.client = c.code AND h.name = 'Order' AND h.occurred_at <= $1) $$);
SELECT * FROM shop.compare($$ in_segment('Two') AND event_last('View') < event_last('Order') $$,
	$$ (SELECT count(*) >= 2 FROM shop.hits h WHERE h.client = c.code AND h.name = 'Order'
		AND h.occurred_at > $1 - interval '20 days' AND h.occurred_at <= $1)
		AND (SELECT max(occurred_at) FROM shop.hits h WHERE h.client = c.code AND h.name = 'View' AND h.occurred_at <= $1)
		  < (SELECT max(occurred_at) FROM shop.hits h WHERE h.client = c.code AND h.name = 'Order' AND h.occurred_at <= $1) $$, '9 days');

-- by the calendar of the model's time zone: midnight stays midnight
SELECT lifecycle_set('m', 'time_zone', 'Europe/Helsinki');
SELECT at AT TIME ZONE 'Europe/Helsinki' AS local, at AS utc
FROM lifecycle_backtest('m', 'true', '2026-03-28 00:00+02', '2026-03-31 00:00+03');
SELECT count(*) FROM lifecycle_backtest('m', 'true', '2026-03-28 00:00+02', '2026-03-30 00:00+03', '1 hour');
SELECT * FROM lifecycle_backtest('m', 'true', '2026-03-28', '2026-03-27');
SELECT * FROM lifecycle_backtest('m', 'true', '2026-03-28', 'infinity');
SELECT * FROM lifecycle_backtest('m', 'true', '2026-03-28', '2026-03-29', '0 days');
SELECT * FROM lifecycle_backtest('m', 'true', '2026-03-28', '2026-03-29', '1 microsecond');
SELECT * FROM lifecycle_backtest('m', 'did(', '2026-03-28', '2026-03-29');
SELECT * FROM lifecycle_backtest('m', ' ', '2026-03-28', '2026-03-29');

-- each proof is noted, also one that finds something
SELECT count(*) FROM lifecycle_verify('m');
DELETE FROM m.membership WHERE segment_id = (SELECT id FROM m.segment WHERE name = 'Burst');
SELECT what, key, name, stored, computed FROM lifecycle_verify('m');
SELECT differences, role = session_user AS by_me, duration >= '0' AS took FROM m.verification ORDER BY id;
SELECT item, detail LIKE '1 differences, by %' AS shown FROM lifecycle_status('m') WHERE item = 'last verification';
BEGIN READ ONLY;
SELECT count(*) FROM lifecycle_verify('m');
COMMIT;
SELECT lifecycle_rebuild('m');
SELECT count(*) FROM lifecycle_verify('m');
SELECT count(*) AS proofs FROM m.verification;

SELECT lifecycle_drop('m');
REVOKE ALL ON ALL TABLES IN SCHEMA shop FROM lifecycle_why_reader;
REVOKE ALL ON SCHEMA shop FROM lifecycle_why_reader;
DROP ROLE lifecycle_why_reader;
SET client_min_messages = error;
DROP SCHEMA shop CASCADE;
