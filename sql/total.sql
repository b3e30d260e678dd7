--
-- Totals: event_count, event_sum and event_avg of all of a contact's events go
-- on from what its state says, whatever becomes of the events.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

SELECT lifecycle_create('total', 'empty');
SELECT lifecycle_set('total', 'clock', 'tick');
SELECT contacts FROM lifecycle_tick('total', '2024-01-10 00:00+00');
ALTER TABLE total.events ADD amount numeric, ALTER name SET DEFAULT 'Order', ALTER occurred_at SET DEFAULT '2024-01-09 00:00+00';
-- what plain SQL says, to the last digit, and what the engine thinks of that
ALTER TABLE total.contacts ADD number bigint, ADD sum text, ADD average text, ADD pro text;
SELECT lifecycle_add_segment('total', 'Number', $$event_count('Order') = number$$);
SELECT lifecycle_add_segment('total', 'Sum', $$event_sum('Order', amount)::text IS NOT DISTINCT FROM sum$$);
SELECT lifecycle_add_segment('total', 'Average', $$event_avg('Order', amount)::text IS NOT DISTINCT FROM average$$);
SELECT lifecycle_add_segment('total', 'Pro', $$event_sum('Order', amount * 2, properties->>'plan' = 'pro')::text IS NOT DISTINCT FROM pro$$);
SELECT part, kind, method FROM lifecycle_explain('total', $$event_avg('Order', amount) > event_sum('Order', amount, within => '1 day') AND event_count('Order') % 2 = 1$$);
INSERT INTO total.contacts (id) SELECT generate_series(1, 9);

-- Who is not where plain SQL says, how many statements had to look at the
-- events since the last time, and what the states say that the events do not.
CREATE TABLE seen AS SELECT number FROM lifecycle.counters() WHERE counter = 'scans';
CREATE FUNCTION pg_temp.look() RETURNS TABLE (scans bigint, wrong text, damaged bigint) LANGUAGE plpgsql AS $$
DECLARE
	before bigint := number FROM seen;
BEGIN
	UPDATE total.contacts c SET number = v.number, sum = v.sum, average = v.average, pro = v.pro
	FROM (SELECT c.id, count(e.contact_id) AS number, sum(amount)::text AS sum, avg(amount)::text AS average,
			(sum(amount * 2) FILTER (WHERE properties->>'plan' = 'pro'))::text AS pro
		FROM total.contacts c LEFT JOIN total.events e ON e.contact_id = c.id AND e.name = 'Order' AND e.occurred_at <= (SELECT last_tick FROM total.clock)
		GROUP BY c.id) v
	WHERE v.id = c.id AND (c.number, c.sum, c.average, c.pro) IS DISTINCT FROM (v.number, v.sum, v.average, v.pro);
	SELECT c.number - before INTO scans FROM lifecycle.counters() c WHERE c.counter = 'scans';
	SELECT string_agg(format('%s of %s', s.name, c.id), ', ' ORDER BY s.name, c.id) INTO wrong
		FROM total.segment s, total.contacts c WHERE NOT EXISTS (SELECT FROM total.segment_member m WHERE m.segment = s.name AND m.contact = c.id);
	SELECT count(*) INTO damaged FROM lifecycle_verify('total');
	UPDATE seen SET number = c.number FROM lifecycle.counters() c WHERE c.counter = 'scans';
	RETURN NEXT;
END $$;
SELECT * FROM pg_temp.look();

--
-- 1. Events that come: nothing is looked up
--
INSERT INTO total.events (contact_id, amount) VALUES (1, 1.50);
SELECT * FROM pg_temp.look();
INSERT INTO total.events (contact_id, amount, properties) VALUES (1, 2.5, '{"plan": "pro"}'), (2, NULL, '{"plan": "pro"}'), (3, 0.00, '{}'), (1, 0.001, '{"plan": "free"}');
SELECT id, number, sum, average, pro FROM total.contacts WHERE id <= 3 ORDER BY id;
SELECT * FROM pg_temp.look();
SELECT id, number, sum, average, pro FROM total.contacts WHERE id <= 3 ORDER BY id;
INSERT INTO total.events (contact_id, amount, properties) SELECT i % 9 + 1, i / 7.0, CASE WHEN i % 2 = 0 THEN '{"plan": "pro"}' ELSE '{}' END::jsonb FROM generate_series(1, 100) i;
COPY total.events (contact_id, amount, message_id) FROM stdin;
4	123456789012345678901234567890.123456789	a
4	-123456789012345678901234567890.123456789	b
5	5.00	c
5	-5.000	d
\.
INSERT INTO total.events (contact_id, amount, message_id) VALUES (5, 7, 'a'), (5, 8, 'e') ON CONFLICT DO NOTHING;
SELECT * FROM pg_temp.look();
-- also in one transaction, of which a savepoint takes a part back
BEGIN;
INSERT INTO total.events (contact_id, amount) VALUES (6, 1);
INSERT INTO total.events (contact_id, amount) VALUES (6, 99);
SAVEPOINT s;
INSERT INTO total.events (contact_id, amount) VALUES (6, 1e30);
INSERT INTO total.events (contact_id, amount) VALUES (6, 1e-30);
ROLLBACK TO s;
INSERT INTO total.events (contact_id, amount) VALUES (6, 0.25);
COMMIT;
SELECT * FROM pg_temp.look();
-- a contact that comes later than its events, and one that goes
INSERT INTO total.events (contact_id, amount) VALUES (10, 3), (10, 4);
INSERT INTO total.contacts (id) VALUES (10);
DELETE FROM total.contacts WHERE id = 9;
INSERT INTO total.contacts (id) VALUES (9);
SELECT wrong, damaged FROM pg_temp.look();
INSERT INTO total.events (contact_id, amount) VALUES (9, 1), (10, 1);
SELECT * FROM pg_temp.look();

--
-- 2. Values that are no numbers, or infinite
--
INSERT INTO total.events (contact_id, amount) VALUES (1, 'Infinity'), (2, '-Infinity'), (3, 'NaN');
SELECT * FROM pg_temp.look();
INSERT INTO total.events (contact_id, amount) VALUES (1, 1), (2, 'Infinity'), (3, 'Infinity');
SELECT * FROM pg_temp.look();
SELECT id, sum, average FROM total.contacts WHERE id <= 3 ORDER BY id;
DELETE FROM total.events WHERE amount IN ('Infinity', '-Infinity', 'NaN');
SELECT wrong, damaged FROM pg_temp.look();

--
-- 3. Events that change or go: looked up once, then added up again
--
DELETE FROM total.events WHERE contact_id = 1 AND amount = 1.50;
UPDATE total.events SET amount = amount + 1 WHERE contact_id = 2;
UPDATE total.events SET contact_id = 4 WHERE contact_id = 3;
UPDATE total.events SET name = 'Refund' WHERE contact_id = 5 AND amount < 0;
INSERT INTO total.events (contact_id, amount, message_id) VALUES (6, 70, 'a'), (6, 80, 'f') ON CONFLICT (message_id) DO UPDATE SET amount = excluded.amount;
MERGE INTO total.events e USING (VALUES (7, 'c'), (7, 'g')) v (contact, message) ON e.message_id = v.message
	WHEN MATCHED THEN DELETE
	WHEN NOT MATCHED THEN INSERT (contact_id, amount, message_id) VALUES (v.contact, 33, v.message);
SELECT scans > 0 AS scanned, wrong, damaged FROM pg_temp.look();
SELECT * FROM pg_temp.look();
INSERT INTO total.events (contact_id, amount) SELECT i, i FROM generate_series(1, 10) i;
SELECT * FROM pg_temp.look();
SELECT lifecycle_merge('total', 7, 8);
SELECT wrong, damaged FROM pg_temp.look();
INSERT INTO total.events (contact_id, amount) VALUES (8, 11.1);
SELECT * FROM pg_temp.look();

--
-- 4. Events of the future count when their time comes
--
INSERT INTO total.events (contact_id, amount, occurred_at) VALUES (1, 1000, '2024-01-11 00:00+00'), (2, NULL, '2024-01-12 00:00+00'), (2, 5, '2024-01-13 00:00+00');
INSERT INTO total.events (contact_id, amount) VALUES (1, 2), (2, 2);
SELECT * FROM pg_temp.look();
SELECT lifecycle_tick('total', '2024-01-11 00:00+00') IS NOT NULL AS ticked;
SELECT wrong, damaged FROM pg_temp.look();
INSERT INTO total.events (contact_id, amount) VALUES (1, 2), (2, 2);
SELECT * FROM pg_temp.look();
SELECT lifecycle_tick('total', '2024-01-13 00:00+00') IS NOT NULL AS ticked;
SELECT wrong, damaged FROM pg_temp.look();

--
-- 5. What is too long for a state is looked up each time
--
INSERT INTO total.events (contact_id, amount) VALUES (1, 1e-200), (2, 9e131071), (3, ('1' || repeat('3', 100000))::numeric);
SELECT wrong, damaged FROM pg_temp.look();
SELECT max(pg_column_size(state)) < 200 AS small FROM total.contact_state;
INSERT INTO total.events (contact_id, amount) VALUES (1, 1), (3, 1);
SELECT scans > 0 AS scanned, wrong, damaged FROM pg_temp.look();
-- a sum that is no numeric any more: the predicate does not hold
INSERT INTO total.events (contact_id, amount) VALUES (2, 9e131071);
SELECT DISTINCT segment, contact, message FROM total.problem ORDER BY 1, 2;
SELECT count(*) FROM total.segment_member WHERE contact = 2;
DELETE FROM total.events WHERE abs(amount) > 1e50 OR amount = 1e-200;
SELECT wrong, damaged FROM pg_temp.look();
INSERT INTO total.events (contact_id, amount) SELECT i, i FROM generate_series(1, 3) i;
SELECT * FROM pg_temp.look();
TRUNCATE total.problem;

--
-- 6. Values that cannot be computed count for their contact only
--
CREATE FUNCTION public.total_price(value text) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1::numeric; END $$;
SELECT lifecycle_add_segment('total', 'Priced', $$event_sum('Order', public.total_price(properties->>'price')) >= 10$$);
SELECT lifecycle_add_segment('total', 'Price', $$event_avg('Order', (properties->>'price')::numeric) >= 5$$);
INSERT INTO total.events (contact_id, amount, properties) SELECT i, 1, jsonb_build_object('price', CASE i WHEN 2 THEN 'much' ELSE '6' END) FROM generate_series(1, 3) i;
INSERT INTO total.events (contact_id, amount, properties) SELECT i, 1, '{"price": "6"}' FROM generate_series(1, 3) i;
SELECT segment, string_agg(contact::text, ' ' ORDER BY contact) FROM total.segment_member WHERE segment LIKE 'Price%' GROUP BY 1 ORDER BY 1;
SELECT DISTINCT segment, contact, message FROM total.problem ORDER BY 1, 2;
UPDATE total.events SET properties = '{}' WHERE properties->>'price' = 'much';
INSERT INTO total.events (contact_id, amount, properties) VALUES (2, 1, '{"price": 4}');
SELECT segment, string_agg(contact::text, ' ' ORDER BY contact) FROM total.segment_member WHERE segment LIKE 'Price%' GROUP BY 1 ORDER BY 1;
SELECT lifecycle_drop_segment('total', 'Priced'), lifecycle_drop_segment('total', 'Price');

--
-- 7. Rows that other work of their statement has seen already are not added
--
SELECT scans > 0 AS scanned, wrong, damaged FROM pg_temp.look();
CREATE FUNCTION public.total_peek() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	-- makes the totals unknown, and evaluates them
	UPDATE total.events SET amount = amount + 1 WHERE contact_id = NEW.contact_id AND id = (SELECT min(id) FROM total.events WHERE contact_id = NEW.contact_id);
	UPDATE total.contacts SET country = NEW.id::text WHERE id = NEW.contact_id;
	RETURN NULL;
END $$;
CREATE TRIGGER peek AFTER INSERT ON total.events FOR EACH ROW WHEN (NEW.message_id LIKE 'peek%') EXECUTE FUNCTION public.total_peek();
INSERT INTO total.events (contact_id, amount, message_id) VALUES (1, 3, 'peek 1'), (1, 4, 'peek 2'), (2, 5, 'peek 3');
SELECT wrong, damaged FROM pg_temp.look();
WITH new AS (INSERT INTO total.contacts (id) VALUES (20) RETURNING id)
INSERT INTO total.events (contact_id, amount) SELECT id, 5 FROM new, generate_series(1, 2);
INSERT INTO total.events (contact_id, amount) VALUES (1, 1), (2, 1), (20, 1);
SELECT wrong, damaged FROM pg_temp.look();

TRUNCATE total.events;
SELECT wrong, damaged FROM pg_temp.look();
INSERT INTO total.events (contact_id, amount) SELECT i, i / 2.0 FROM generate_series(1, 6) i;
SELECT * FROM pg_temp.look();

--
-- 8. Taken in later, rebuilt, and found by another session's state
--
SET lifecycle.import_mode = defer;
INSERT INTO total.events (contact_id, amount) VALUES (1, 12), (4, 12);
RESET lifecycle.import_mode;
INSERT INTO total.events (contact_id, amount) VALUES (1, 1);
SELECT lifecycle_take_deferred('total') IS NOT NULL AS taken;
SELECT wrong, damaged FROM pg_temp.look();
SELECT lifecycle_rebuild('total') IS NOT NULL AS rebuilt;
SELECT wrong, damaged FROM pg_temp.look();
\c
INSERT INTO total.events (contact_id, amount) SELECT i, 0.5 FROM generate_series(1, 10) i WHERE i <> 7;
SELECT number AS scans FROM lifecycle.counters() WHERE counter = 'scans';
SELECT * FROM lifecycle_verify('total');

SELECT lifecycle_drop('total');
DROP TABLE seen;
DROP FUNCTION public.total_price(text), public.total_peek();
