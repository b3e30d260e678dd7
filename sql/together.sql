--
-- Atoms that are computed together, by one aggregation of the events: what
-- each says is what it says by itself, and the events are read once.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
\set SHOW_CONTEXT never

SELECT lifecycle_create('together');
INSERT INTO together.contacts (id) SELECT generate_series(1, 200);
-- what is a number for 'Paid' is none for 'Said'; some events are still to come
INSERT INTO together.events (contact_id, name, occurred_at, properties)
SELECT c, name, now() - (c * i % 97 - 5) * interval '1 day 1 hour',
	jsonb_build_object('amount', CASE name WHEN 'Paid' THEN (c * i % 13)::text ELSE 'much' END, 'path', '/' || i % 4)
FROM generate_series(1, 200) c, generate_series(1, 6) i, unnest(ARRAY['Paid', 'Said', 'Went']) name
WHERE (c + i) % 3 <> CASE name WHEN 'Paid' THEN 0 WHEN 'Said' THEN 1 ELSE 2 END;
ANALYZE together.contacts, together.events;

CREATE TEMP TABLE said (segment text PRIMARY KEY, predicate text, query text);
INSERT INTO said VALUES
('did', $$did('Paid', times => 2)$$, $$name = 'Paid' AND past HAVING count(*) >= 2$$),
('did, filter', $$did('Paid', (properties->>'amount')::numeric > 6)$$, $$name = 'Paid' AND past AND CASE name WHEN 'Paid' THEN (properties->>'amount')::numeric END > 6$$),
('did, window', $$did('Said', within => '30 days')$$, $$name = 'Said' AND past AND occurred_at > now() - interval '30 days'$$),
('did, hours', $$did('Said', times => 2, within => '480 hours')$$, $$name = 'Said' AND past AND occurred_at > now() - interval '480 hours' HAVING count(*) >= 2$$),
('count', $$event_count('Went', properties->>'path' = '/1') >= 1$$, $$name = 'Went' AND past AND properties->>'path' = '/1'$$),
('count, window', $$event_count('Went', within => '40 days') >= 2$$, $$name = 'Went' AND past AND occurred_at > now() - interval '40 days' HAVING count(*) >= 2$$),
('sum', $$event_sum('Paid', (properties->>'amount')::numeric) > 10$$, $$name = 'Paid' AND past HAVING sum(CASE name WHEN 'Paid' THEN (properties->>'amount')::numeric END) > 10$$),
('average', $$event_avg('Paid', (properties->>'amount')::numeric) > 5$$, $$name = 'Paid' AND past HAVING avg(CASE name WHEN 'Paid' THEN (properties->>'amount')::numeric END) > 5$$),
('average, window', $$event_avg('Paid', (properties->>'amount')::numeric, within => '50 days') > 5$$, $$name = 'Paid' AND past AND occurred_at > now() - interval '50 days' HAVING avg(CASE name WHEN 'Paid' THEN (properties->>'amount')::numeric END) > 5$$),
('largest', $$event_max('Paid', (properties->>'amount')::numeric) = 12$$, $$name = 'Paid' AND past HAVING max(CASE name WHEN 'Paid' THEN (properties->>'amount')::numeric END) = 12$$),
('times', $$event_first('Went') < event_last('Said')$$, $$past HAVING min(occurred_at) FILTER (WHERE name = 'Went') < max(occurred_at) FILTER (WHERE name = 'Said')$$),
('did first', $$did_first('Said', within => '60 days')$$, $$name = 'Said' AND past HAVING min(occurred_at) > now() - interval '60 days'$$),
('stopped', $$stopped('Said', active => '90 days', quiet => '10 days')$$, $$name = 'Said' AND past HAVING max(occurred_at) > now() - interval '90 days' AND max(occurred_at) <= now() - interval '10 days'$$),
('restarted', $$restarted('Went', active => '60 days', quiet => '20 days')$$, $$name = 'Went' AND past HAVING min(occurred_at) FILTER (WHERE occurred_at > now() - interval '20 days') IS NOT NULL AND max(occurred_at) FILTER (WHERE occurred_at <= now() - interval '20 days') <= now() - interval '60 days'$$),
('latest', $$event_latest('Went', properties->>'path') = '/2'$$, $$name = 'Went' AND past HAVING (array_agg(properties->>'path' ORDER BY occurred_at DESC, id DESC))[1] = '/2'$$),
('distinct', $$event_distinct('Went', properties->>'path') >= 3$$, $$name = 'Went' AND past HAVING count(DISTINCT properties->>'path') >= 3$$);

-- one by one, each by a statement of its own; members are those of plain SQL
BEGIN;
SELECT lifecycle_add_segment('together', segment, predicate) FROM said ORDER BY segment;
CREATE FUNCTION pg_temp.wrong(said) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	number bigint;
BEGIN
	EXECUTE format('WITH expected AS (SELECT contact_id FROM (SELECT *, occurred_at <= now() AS past FROM together.events) e WHERE %s),
			member AS (SELECT contact FROM together.segment_member WHERE segment = %L)
		SELECT count(*) FROM ((TABLE expected EXCEPT TABLE member) UNION ALL (TABLE member EXCEPT TABLE expected)) x',
		CASE WHEN $1.query LIKE '%HAVING%' THEN replace($1.query, ' HAVING ', ' GROUP BY contact_id HAVING ') ELSE $1.query END, $1.segment) INTO number;
	RETURN number;
END
$$;
SELECT segment, (SELECT count(*) FROM together.segment_member m WHERE m.segment = s.segment) AS members, pg_temp.wrong(s)
FROM said s ORDER BY segment;

-- together: counts, totals, memberships and due times are the same, and events
-- are read once, once more for distinct values, and once for those of merged contacts
CREATE FUNCTION pg_temp.reads() RETURNS bigint LANGUAGE sql AS
$$SELECT seq_scan + COALESCE(idx_scan, 0) FROM pg_stat_xact_user_tables WHERE relid = 'together.events'::regclass$$;
CREATE FUNCTION pg_temp.verified(OUT differences bigint, OUT reads bigint) LANGUAGE plpgsql AS $$
BEGIN
	reads := pg_temp.reads();
	differences := (SELECT count(*) FROM lifecycle_verify('together'));
	reads := pg_temp.reads() - reads;
END
$$;
SELECT * FROM pg_temp.verified();
COMMIT;

-- a predicate of many atoms: its members are among those of the segments by
-- themselves, and contacts without any of these events do not matter
BEGIN;
SELECT pg_temp.reads() AS before \gset
SELECT lifecycle_add_segment('together', 'any', string_agg(predicate, ' OR ' ORDER BY segment)) FROM said WHERE segment ~ '[,s]' AND segment <> 'distinct';
SELECT pg_temp.reads() - :before AS reads;
SELECT contact FROM together.segment_member WHERE segment ~ '[,s]' AND segment NOT IN ('any', 'distinct')
EXCEPT SELECT contact FROM together.segment_member WHERE segment = 'any';
SELECT contact FROM together.segment_member WHERE segment = 'any'
EXCEPT SELECT contact FROM together.segment_member WHERE segment ~ '[,s]' AND segment NOT IN ('any', 'distinct');
SELECT count(*) FROM together.segment_member WHERE segment = 'any';
COMMIT;

-- only windows, of which the second reaches further back
CREATE TEMP VIEW both_windows AS
SELECT a.contact::text FROM together.segment_member a JOIN together.segment_member b USING (contact) WHERE a.segment = 'did, window' AND b.segment = 'count, window';
CREATE TEMP VIEW previewed AS
SELECT contact FROM lifecycle_preview('together', $$did('Said', within => '30 days') AND event_count('Went', within => '40 days') >= 2$$) AS contact;
TABLE both_windows EXCEPT TABLE previewed;
TABLE previewed EXCEPT TABLE both_windows;
SELECT count(*) FROM previewed;
DROP VIEW both_windows;
SELECT lifecycle_drop('together');
