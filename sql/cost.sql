--
-- What an event costs, in counts: rows written, states read, segments and
-- filters evaluated, statements run.  A number that grew is an optimisation
-- that got lost.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
\set SHOW_CONTEXT never

SELECT lifecycle_create('cost', 'empty');
ALTER TABLE cost.events ALTER COLUMN occurred_at SET DEFAULT now();
SELECT count(lifecycle_add_segment('cost', 'Segment ' || i, format('did(''Event %s'', times => %s)', i % 10, 1 + i % 3))) FROM generate_series(1, 30) i;
SELECT count(lifecycle_add_segment('cost', 'Path ' || i, format('did(''Page Viewed'', properties->>''path'' = ''/%s'')', i))) FROM generate_series(1, 50) i;
SELECT lifecycle_add_segment('cost', 'Recent', $$did('Recent', within => '1 day')$$);
SELECT lifecycle_add_segment('cost', 'Often', $$did('Often', times => 1000)$$);
SELECT lifecycle_add_segment('cost', 'Sum', $$event_sum('Paid', (properties->>'price')::numeric) > 1000000$$);
SELECT lifecycle_add_segment('cost', 'Average', $$event_avg('Paid', (properties->>'price')::numeric) > 1000000$$);
SELECT lifecycle_add_segment('cost', 'Number', $$event_count('Paid') % 1000 = 999$$);
INSERT INTO cost.contacts (id) SELECT generate_series(1, 100);
-- everybody has done all of it
INSERT INTO cost.events (contact_id, name) SELECT c, 'Event ' || i % 10 FROM generate_series(1, 100) c, generate_series(1, 30) i;
INSERT INTO cost.events (contact_id, name, properties) SELECT c, 'Page Viewed', jsonb_build_object('path', '/' || i) FROM generate_series(1, 100) c, generate_series(1, 10) i;
INSERT INTO cost.events (contact_id, name) SELECT c, 'Recent' FROM generate_series(1, 100) c;

-- what a statement made the engine do, and the rows that it wrote
CREATE PROCEDURE pg_temp.cost(statement text, times integer DEFAULT 1) LANGUAGE plpgsql AS $$
DECLARE
	before jsonb;
	after jsonb;
	written text;
BEGIN
	EXECUTE statement;				-- what is loaded at first use
	CREATE TEMPORARY TABLE rows_before AS SELECT relname, n_tup_ins + n_tup_upd + n_tup_del AS n FROM pg_stat_xact_user_tables WHERE schemaname = 'cost';
	SELECT jsonb_object_agg(counter, number) INTO before FROM lifecycle.counters();
	FOR i IN 1 .. times LOOP
		EXECUTE statement;
	END LOOP;
	SELECT jsonb_object_agg(counter, number) INTO after FROM lifecycle.counters();
	SELECT string_agg(format('%s %s', s.relname, s.n_tup_ins + s.n_tup_upd + s.n_tup_del - b.n), ', ' ORDER BY s.relname COLLATE "C") INTO written
		FROM pg_stat_xact_user_tables s JOIN rows_before b USING (relname)
		WHERE s.schemaname = 'cost' AND s.n_tup_ins + s.n_tup_upd + s.n_tup_del > b.n;
	DROP TABLE rows_before;
	RAISE NOTICE 'rows written: %', written;
	RAISE NOTICE '%', (SELECT string_agg(format('%s %s', key, value::bigint - (before->>key)::bigint), ', ' ORDER BY key COLLATE "C")
		FROM jsonb_each_text(after) WHERE value::bigint > (before->>key)::bigint AND key <> 'state searches');
END
$$;

--
-- 1. The steady state: one look at the state, and nothing written; for a single
-- event no run
--
CALL pg_temp.cost($$INSERT INTO cost.events (contact_id, name) VALUES (1, 'Event 1')$$);
CALL pg_temp.cost($$INSERT INTO cost.events (contact_id, name) VALUES (1, 'Recent')$$);
CALL pg_temp.cost($$INSERT INTO cost.events (contact_id, name) SELECT c, 'Event ' || i FROM generate_series(1, 100) c, generate_series(1, 5) i$$);
-- states that were looked at before are not searched for by the index
SELECT number AS before FROM lifecycle.counters() WHERE counter = 'state searches' \gset
INSERT INTO cost.events (contact_id, name) SELECT c, 'Event ' || i FROM generate_series(1, 100) c, generate_series(1, 5) i;
SELECT number - :before AS searched FROM lifecycle.counters() WHERE counter = 'state searches';
-- one of 50 filters, by its value
CALL pg_temp.cost($$INSERT INTO cost.events (contact_id, name, properties) VALUES (1, 'Page Viewed', '{"path": "/7"}')$$);
-- what no predicate names
CALL pg_temp.cost($$INSERT INTO cost.events (contact_id, name) VALUES (1, 'Other')$$);
CALL pg_temp.cost($$INSERT INTO cost.events (contact_id, name) SELECT c, 'Other' FROM generate_series(1, 100) c$$);
CALL pg_temp.cost($$INSERT INTO cost.events (contact_id, name, properties) VALUES (1, 'Page Viewed', '{"path": "/no"}')$$);

--
-- 2. A change: the segments that it concerns, one state, one row of history
--
CALL pg_temp.cost($$INSERT INTO cost.events (contact_id, name) SELECT c, 'Often' FROM generate_series(1, 100) c$$);
CALL pg_temp.cost($$INSERT INTO cost.events (contact_id, name, properties)
	SELECT c, 'Page Viewed', jsonb_build_object('path', '/' || 20 + (SELECT count(*) % 20 FROM cost.events WHERE name = 'Page Viewed' AND contact_id = c)) FROM generate_series(1, 100) c$$);

--
-- 3. Single rows of one contact in one transaction: the state is written over
--
CALL pg_temp.cost($$INSERT INTO cost.events (contact_id, name) VALUES (2, 'Often')$$, 100);
-- a total: no event is looked up, and digits more or fewer find room
CALL pg_temp.cost($$INSERT INTO cost.events (contact_id, name, properties) SELECT 2, 'Paid', jsonb_build_object('price', count(*) * 9.99) FROM cost.events WHERE name = 'Paid'$$, 100);
-- of many contacts at once, and after an event has gone
CALL pg_temp.cost($$INSERT INTO cost.events (contact_id, name, properties) SELECT c, 'Paid', '{"price": 1}' FROM generate_series(1, 100) c$$);
CALL pg_temp.cost($$DELETE FROM cost.events WHERE id = (SELECT max(id) FROM cost.events WHERE name = 'Paid')$$);

--
-- 4. A segment added: states are read of its members only, and of a predicate
-- about columns nothing is evaluated
--
CALL pg_temp.cost($$SELECT lifecycle_add_segment('cost', 'By events ' || (SELECT count(*) FROM cost.segment), 'did(''Often'', times => 50)')$$);
CALL pg_temp.cost($$SELECT lifecycle_add_segment('cost', 'By column ' || (SELECT count(*) FROM cost.segment), 'id <= 5')$$);
CALL pg_temp.cost($$SELECT lifecycle_add_segment('cost', 'By none ' || (SELECT count(*) FROM cost.segment), 'did(''Nothing'')')$$);

--
-- 5. Many contacts: when one in 32 of their states was searched for, the index is
-- read from end to end, and next to none is searched for any more
--
INSERT INTO cost.contacts (id) SELECT generate_series(101, 4000);
INSERT INTO cost.events (contact_id, name) SELECT c, 'Event 1' FROM generate_series(101, 4000) c, generate_series(1, 3);
ANALYZE cost.contact_state;
SELECT lifecycle.reload('cost');
CREATE PROCEDURE pg_temp.searches(first integer, last integer) LANGUAGE plpgsql AS $$
DECLARE
	before bigint := (SELECT number FROM lifecycle.counters() WHERE counter = 'state searches');
	searched bigint;
BEGIN
	INSERT INTO cost.events (contact_id, name) SELECT c, 'Event 1' FROM generate_series(first, last) c;
	searched := (SELECT number FROM lifecycle.counters() WHERE counter = 'state searches') - before;
	RAISE NOTICE 'states searched for: %', CASE WHEN searched < 100 AND last - first > 1000 THEN 'less than 100' ELSE searched::text END;
END
$$;
CALL pg_temp.searches(101, 400);
CALL pg_temp.searches(401, 4000);

SELECT * FROM lifecycle_verify('cost');
SELECT lifecycle_drop('cost');
