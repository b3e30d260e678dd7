--
-- Adding a segment to contacts who are there: what is written, for whom, and
-- what is not looked at.  Members are compared with plain SQL.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
\set SHOW_CONTEXT never

SELECT lifecycle_create('adding');
ALTER TABLE adding.events ALTER COLUMN occurred_at SET DEFAULT now();
ALTER TABLE adding.contacts ADD COLUMN size integer;
INSERT INTO adding.contacts (id, country, size) SELECT i, CASE i % 4 WHEN 0 THEN 'FI' WHEN 1 THEN 'fi' WHEN 2 THEN 'SE' END, i FROM generate_series(1, 1000) i;
INSERT INTO adding.events (contact_id, name) SELECT c, 'A' FROM generate_series(1, 1000) c, generate_series(1, 1 + c % 3);
INSERT INTO adding.events (contact_id, name, occurred_at) SELECT c, 'Old', now() - c * interval '1 day' FROM generate_series(1, 100) c;
-- of contacts who are not there yet, and of one who is not any more
INSERT INTO adding.events (contact_id, name) SELECT 2000 + i, 'A' FROM generate_series(1, 20) i, generate_series(1, 3);
INSERT INTO adding.contacts (id) VALUES (3000);
INSERT INTO adding.events (contact_id, name) SELECT 3000, 'A' FROM generate_series(1, 3);
DELETE FROM adding.contacts WHERE id = 3000;
ANALYZE adding.contacts, adding.contact_state, adding.events;

-- adds a segment, and says whether its members are those of a query
CREATE FUNCTION pg_temp.adds(name text, predicate text, expected text)
RETURNS TABLE (members bigint, missing bigint, extra bigint, wrong bigint) LANGUAGE plpgsql AS $$
BEGIN
	members := lifecycle_add_segment('adding', name, predicate);
	EXECUTE format('SELECT count(*) FROM (%s EXCEPT ALL SELECT contact FROM adding.segment_member WHERE segment = %L) x', expected, name) INTO missing;
	EXECUTE format('SELECT count(*) FROM (SELECT contact FROM adding.segment_member WHERE segment = %L EXCEPT ALL %s) x', name, expected) INTO extra;
	wrong := (SELECT count(*) FROM lifecycle_verify('adding'));
	RETURN NEXT;
END
$$;

--
-- 1. By events, by columns, by both, and by what needs none of either
--
SELECT * FROM pg_temp.adds('Three', $$did('A', times => 3)$$, 'SELECT id FROM adding.contacts WHERE id % 3 = 2');
SELECT * FROM pg_temp.adds('Few', $$did('A', times => 3) AND did('Old')$$, 'SELECT id FROM adding.contacts WHERE id % 3 = 2 AND id <= 100');
SELECT * FROM pg_temp.adds('Or', $$did('A', times => 3) OR did('Old')$$, 'SELECT id FROM adding.contacts WHERE id % 3 = 2 OR id <= 100');
SELECT * FROM pg_temp.adds('None', $$did('Nothing')$$, 'SELECT id FROM adding.contacts WHERE false');
SELECT * FROM pg_temp.adds('Not', $$NOT did('A', times => 2)$$, 'SELECT id FROM adding.contacts WHERE id % 3 = 0');
SELECT * FROM pg_temp.adds('Lately', $$did('Old', within => '30 days')$$, 'SELECT id FROM adding.contacts WHERE id < 30');
SELECT count(*) FROM adding.contact_state WHERE due IS NOT NULL;
SELECT * FROM pg_temp.adds('Finns', $$country = 'FI'$$, 'SELECT id FROM adding.contacts WHERE id % 4 = 0');
SELECT * FROM pg_temp.adds('Nowhere', $$country IS NULL$$, 'SELECT id FROM adding.contacts WHERE id % 4 = 3');
SELECT * FROM pg_temp.adds('Named', $$country IN ('FI', 'SE') AND size <= 500$$, 'SELECT id FROM adding.contacts WHERE id % 2 = 0 AND id <= 500');
SELECT * FROM pg_temp.adds('Both', $$country = 'FI' AND did('A', times => 3)$$, 'SELECT id FROM adding.contacts WHERE id % 4 = 0 AND id % 3 = 2');
SELECT * FROM pg_temp.adds('All', $$true$$, 'SELECT id FROM adding.contacts');
-- a collation of its own
SELECT * FROM pg_temp.adds('Sorted', $$country COLLATE "C" < 'a'$$, 'SELECT id FROM adding.contacts WHERE id % 4 IN (0, 2)');
CREATE COLLATION adding.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
SELECT * FROM pg_temp.adds('Any case', $$country COLLATE adding.any_case = 'FI'$$, 'SELECT id FROM adding.contacts WHERE id % 4 IN (0, 1)');
-- a predicate that fails for some
SELECT * FROM pg_temp.adds('Quotient', $$1000 / (size - 10) > 100$$, 'SELECT id FROM adding.contacts WHERE id BETWEEN 11 AND 19');
SELECT segment, contact, message FROM adding.problem ORDER BY 1, 2;
SELECT count(*) AS entered, count(DISTINCT id) = count(*) AS numbered, string_agg(DISTINCT cause, ', ') AS causes FROM adding.segment_history;

--
-- 2. Strangers count when they arrive
--
INSERT INTO adding.events (contact_id, name) SELECT 5000 + i, 'A' FROM generate_series(1, 5) i, generate_series(1, 3);
SELECT * FROM pg_temp.adds('Two', $$did('A', times => 2)$$, 'SELECT id FROM adding.contacts WHERE id % 3 <> 0');
INSERT INTO adding.contacts (id, country) SELECT 2000 + i, 'FI' FROM generate_series(1, 20) i;
SELECT segment, count(*) FROM adding.segment_member WHERE contact > 2000 GROUP BY 1 ORDER BY 1;
SELECT * FROM lifecycle_verify('adding');

--
-- 3. What follows from entering: a rule, another segment
--
SELECT lifecycle_add_segment('adding', 'Ripe', $$did('A', times => 3) AND NOT did('Old')$$, stage => 'Lead');
SELECT stage, count(*) FROM adding.contacts GROUP BY 1 ORDER BY 1;
SELECT lifecycle_add_segment('adding', 'Big', $$size > 5000$$);
SELECT lifecycle_add_segment('adding', 'Big and old', $$in_segment('Big') AND did('Old')$$);
SELECT lifecycle_alter_segment('adding', 'Big', predicate => $$size > 50$$);
SELECT segment, count(*) FROM adding.segment_member WHERE segment LIKE 'Big%' GROUP BY 1 ORDER BY 1;
SELECT * FROM lifecycle_verify('adding');

--
-- 4. Time goes by: who is due when a segment is added, and who will be
--
SELECT lifecycle_set('adding', 'clock', 'tick');
SELECT FROM lifecycle_tick('adding', now() + interval '10 days');
SELECT count(*) FROM adding.segment_member WHERE segment = 'Lately';
INSERT INTO adding.events (contact_id, name, occurred_at) SELECT c, 'Ahead', now() + interval '15 days' FROM generate_series(1, 5) c;
SELECT lifecycle_add_segment('adding', 'Ahead', $$did('Ahead')$$);
SELECT lifecycle_add_segment('adding', 'Later', $$did('Old', within => '40 days')$$);
SELECT FROM lifecycle_tick('adding', now() + interval '20 days');
SELECT segment, count(*) FROM adding.segment_member WHERE segment IN ('Ahead', 'Lately', 'Later') GROUP BY 1 ORDER BY 1;
SELECT * FROM lifecycle_verify('adding');

--
-- 5. The past of several contacts, of times of their own, is found by its
-- index of block ranges
--
SELECT id AS three FROM adding.segment WHERE name = 'Three' \gset
UPDATE adding.membership SET entered_at = entered_at - contact * interval '1 hour' WHERE segment_id = :three;
DELETE FROM adding.events WHERE name = 'A' AND contact_id <= 60;
SELECT count(*) FROM adding.past_membership WHERE entered_at < now() - interval '50 hours';
SET enable_seqscan = off;
SELECT count(*) FROM adding.past_membership WHERE entered_at < now() - interval '50 hours';
RESET enable_seqscan;
SELECT lifecycle_drop('adding');
