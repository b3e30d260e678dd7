--
-- Statements about more than 128 contacts are worked off in portions (gather.c): what
-- comes of them is what comes of a statement for each contact, with rules, scores, companies,
-- contacts who are due and contacts who are not there yet
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
\set SHOW_CONTEXT never

-- two models alike, of which one gets large statements and the other one for each contact
CREATE PROCEDURE pg_temp.make(model text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM lifecycle_create(model, 'hubspot');
	PERFORM lifecycle_set(model, 'clock', 'tick');
	PERFORM lifecycle_tick(model, '2024-01-08 00:00+00');
	EXECUTE format('ALTER TABLE %I.contacts ADD heat numeric', model);
	PERFORM lifecycle_add_segment(model, 'Twice', $p$did('Used', times => 2)$p$);
	PERFORM lifecycle_add_segment(model, 'Lately', $p$did('Used', within => '7 days')$p$);
	PERFORM lifecycle_add_segment(model, 'Paid much', $p$event_sum('Paid', (properties->>'price')::numeric) > 30$p$, stage => 'Customer');
	PERFORM lifecycle_add_segment(model, 'Tried', $p$did('Used') AND NOT did('Paid')$p$, stage => 'MQL');
	PERFORM lifecycle_add_segment(model, 'Loyal', $p$in_segment('Twice') AND company.industry = 'Forestry' AND did('Paid')$p$);
	PERFORM lifecycle_add_segment(model, 'Wrong', $p$did('Used') AND 1 / (id % 50) > 0$p$);
	PERFORM lifecycle_add_score(model, 'Heat', cap => 100, column_name => 'heat');
	PERFORM lifecycle_add_score_rule(model, 'Heat', 'Uses', 5, event => 'Used');
	EXECUTE format('INSERT INTO %I.companies (id, name, industry) SELECT i, ''Company '' || i, (ARRAY[''Forestry'', ''Fishing''])[i %% 2 + 1] FROM generate_series(1, 20) i', model);
	EXECUTE format('INSERT INTO %I.contacts (id, company_id) SELECT i, i %% 20 + 1 FROM generate_series(1, 400) i', model);
END
$$;
SET client_min_messages = warning;
CALL pg_temp.make('portion');
CALL pg_temp.make('portion_each');
RESET client_min_messages;

-- the same rows for both
CREATE TEMPORARY TABLE rows_of (statement integer, contact_id bigint, name text, occurred_at timestamptz, properties jsonb, id serial);
INSERT INTO rows_of (statement, contact_id, name, occurred_at, properties)
SELECT i / 900, i * 7919 % 450 + 1,
	(ARRAY['Used', 'Paid', 'Used', 'Meeting Booked', 'Other', 'Paid', 'Used'])[i % 7 + 1],
	timestamptz '2024-01-02 00:00+00' + i % 900 * interval '10 minutes',
	CASE WHEN i % 7 IN (1, 5) THEN jsonb_build_object('price', i % 60) ELSE '{}' END
FROM generate_series(0, 3599) i;

CREATE PROCEDURE pg_temp.insert_both(of_statement integer) LANGUAGE plpgsql AS $$
DECLARE
	of_contact bigint;
	before bigint := (SELECT number FROM lifecycle.counters() WHERE counter = 'further portions');
BEGIN
	INSERT INTO portion.events (contact_id, name, occurred_at, properties)
	SELECT contact_id, name, occurred_at, properties FROM rows_of WHERE statement = of_statement ORDER BY id;
	RAISE NOTICE 'further portions: %', (SELECT number FROM lifecycle.counters() WHERE counter = 'further portions') - before;
	FOR of_contact IN SELECT DISTINCT contact_id FROM rows_of WHERE statement = of_statement ORDER BY 1 LOOP
		INSERT INTO portion_each.events (contact_id, name, occurred_at, properties)
		SELECT contact_id, name, occurred_at, properties FROM rows_of WHERE statement = of_statement AND contact_id = of_contact ORDER BY id;
	END LOOP;
END
$$;
-- what a model has made of them, one row a fact
CREATE FUNCTION pg_temp.facts(model text) RETURNS TABLE (kind text, key text, fact text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($q$
		SELECT 'member', contact::text, segment FROM %1$I.segment_member
		UNION ALL SELECT 'past', contact::text, segment || ' ' || count(*) FROM %1$I.segment_history WHERE change = 'left' GROUP BY contact, segment
		UNION ALL SELECT 'contact', id::text, concat_ws(' ', stage, lead_status, heat) FROM %1$I.contacts
		UNION ALL SELECT 'company', id::text, concat_ws(' ', stage, industry) FROM %1$I.companies
		UNION ALL SELECT 'deal', contact_id::text, concat_ws(' ', stage, is_open) FROM %1$I.deals
		UNION ALL SELECT 'message', NULL, type || ' ' || count(*) FROM %1$I.outbox GROUP BY type
		UNION ALL SELECT 'problem', contact, segment || ' ' || message FROM %1$I.problem $q$, model);
END
$$;
CREATE FUNCTION pg_temp.differences() RETURNS TABLE (only_in text, kind text, key text, fact text) LANGUAGE sql AS $$
	(SELECT 'large', * FROM (SELECT * FROM pg_temp.facts('portion') EXCEPT ALL SELECT * FROM pg_temp.facts('portion_each')) a)
	UNION ALL
	(SELECT 'each', * FROM (SELECT * FROM pg_temp.facts('portion_each') EXCEPT ALL SELECT * FROM pg_temp.facts('portion')) b)
$$;

-- nobody is due; 50 of the contacts are not there yet
CALL pg_temp.insert_both(0);
SELECT * FROM pg_temp.differences();
SELECT kind, count(*), count(DISTINCT fact) FROM pg_temp.facts('portion') GROUP BY 1 ORDER BY 1;
SELECT segment, count(*) FROM portion.segment_member GROUP BY 1 ORDER BY 1;
SELECT stage, count(*) FROM portion.contacts GROUP BY 1 ORDER BY 1;
-- they come
INSERT INTO portion.contacts (id, company_id) SELECT i, i % 20 + 1 FROM generate_series(401, 450) i;
INSERT INTO portion_each.contacts (id, company_id) SELECT i, i % 20 + 1 FROM generate_series(401, 450) i;
SELECT * FROM pg_temp.differences();
CALL pg_temp.insert_both(1);
SELECT * FROM pg_temp.differences();
-- many windows have ended, and the tick has looked at one contact
SELECT lifecycle_tick('portion', '2024-01-14 00:00+00', 1) IS NOT NULL AS ticked, lifecycle_tick('portion_each', '2024-01-14 00:00+00', 1) IS NOT NULL AS ticked;
SELECT count(*) > 100 AS due FROM portion.contact_state WHERE due <= '2024-01-14 00:00+00';
CALL pg_temp.insert_both(2);
SELECT * FROM pg_temp.differences();
SELECT kind, count(*), count(DISTINCT fact) FROM pg_temp.facts('portion') GROUP BY 1 ORDER BY 1;
SELECT count(*) AS due FROM portion.contact_state WHERE due <= '2024-01-14 00:00+00';

-- events must be read: all at once
SELECT lifecycle_add_segment('portion', 'Various', $$event_distinct('Paid', properties->>'price') >= 2$$);
SELECT lifecycle_add_segment('portion_each', 'Various', $$event_distinct('Paid', properties->>'price') >= 2$$);
CALL pg_temp.insert_both(3);
SELECT * FROM pg_temp.differences();

-- and what plain SQL says
WITH expected (segment, contact) AS (
	SELECT 'Twice', contact_id FROM portion.events WHERE name = 'Used' GROUP BY 2 HAVING count(*) >= 2
	UNION ALL SELECT DISTINCT 'Lately', contact_id FROM portion.events WHERE name = 'Used' AND occurred_at > '2024-01-07 00:00+00' AND occurred_at <= '2024-01-14 00:00+00'
	UNION ALL SELECT 'Paid much', contact_id FROM portion.events WHERE name = 'Paid' GROUP BY 2 HAVING sum((properties->>'price')::numeric) > 30
	UNION ALL SELECT 'Tried', contact_id FROM portion.events GROUP BY 2 HAVING bool_or(name = 'Used') AND NOT bool_or(name = 'Paid')
	UNION ALL SELECT 'Various', contact_id FROM portion.events WHERE name = 'Paid' GROUP BY 2 HAVING count(DISTINCT properties->>'price') >= 2
), actual AS (
	SELECT segment, contact FROM portion.segment_member WHERE segment NOT IN ('Loyal', 'Wrong')
)
SELECT (SELECT count(*) FROM expected) AS expected, (SELECT count(*) FROM (TABLE expected EXCEPT TABLE actual) a) AS missing,
	(SELECT count(*) FROM (TABLE actual EXCEPT TABLE expected) b) AS "too many";
SELECT * FROM lifecycle_verify('portion');
SELECT * FROM lifecycle_verify('portion_each');

-- one that is rolled back leaves nothing behind
BEGIN;
SAVEPOINT s;
INSERT INTO portion.events (contact_id, name, occurred_at) SELECT i, 'Paid', '2024-01-13 00:00+00' FROM generate_series(1, 450) i;
ROLLBACK TO s;
INSERT INTO portion.events (contact_id, name, occurred_at) SELECT i, 'Used', '2024-01-13 00:00+00' FROM generate_series(1, 450) i;
COMMIT;
SELECT segment, count(*) FROM portion.segment_member GROUP BY 1 ORDER BY 1;
SELECT * FROM lifecycle_verify('portion');
SELECT lifecycle_drop('portion');
SELECT lifecycle_drop('portion_each');

-- events dated while the statement runs: the clock is moved on to the latest, for all
SELECT lifecycle_create('portion', 'empty');
SELECT lifecycle_add_segment('portion', 'Did', $$did('Did')$$);
INSERT INTO portion.contacts (id) SELECT generate_series(1, 400);
BEGIN;
INSERT INTO portion.events (contact_id, name, occurred_at) SELECT i, 'Did', clock_timestamp() FROM generate_series(1, 400) i;
SELECT count(*), count(DISTINCT at) AS instants, min(at) = (SELECT max(occurred_at) FROM portion.events) AS "that of the latest" FROM portion.segment_history;
COMMIT;
SELECT * FROM lifecycle_verify('portion');
SELECT lifecycle_drop('portion');
