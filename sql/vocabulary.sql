--
-- Words that look at how events lie in time, at columns, stages and deals.  The
-- oracle says the same in plain SQL, at instants before, at and after each
-- boundary.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
-- of no consequence: windows go by the model's time zone
SET timezone = 'Asia/Tokyo';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\set oracle :abs_srcdir '/test/oracle/oracle.sql'
\set ECHO none
\i :oracle
\set ECHO all

SELECT lifecycle_create('vocabulary_crm', 'hubspot');
SELECT lifecycle_set('vocabulary_crm', 'clock', 'tick');
SELECT contacts FROM lifecycle_tick('vocabulary_crm', '2024-03-01 12:00+00');
CREATE VIEW vocabulary_event AS SELECT contact_id AS c, name, occurred_at AS t, (properties->>'n')::int AS n FROM vocabulary_crm.events;
-- adds a segment with the query that the oracle runs for it
CREATE FUNCTION pg_temp.add(name text, predicate text, query text) RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO oracle.segment (model, name, query) VALUES ('vocabulary_crm', name, query);
	SELECT lifecycle_add_segment('vocabulary_crm', name, predicate) $$;
-- what the oracle finds wrong at the model's clock
CREATE FUNCTION pg_temp.wrong() RETURNS TABLE (what text, key text, expected text, actual text) LANGUAGE sql
AS 'SELECT o.* FROM vocabulary_crm.clock k, oracle.check(''vocabulary_crm'', k.last_tick) o';
CREATE FUNCTION pg_temp.members(like_ text DEFAULT '%') RETURNS TABLE (segment text, contacts text) LANGUAGE sql
AS 'SELECT segment, string_agg(contact::text, '' '' ORDER BY contact) FROM vocabulary_crm.segment_member WHERE segment LIKE like_ GROUP BY 1 ORDER BY 1';
-- ticks to just before, at and just after an instant, and says who is in a
-- segment then, and how much the oracle finds wrong in all of them
CREATE FUNCTION pg_temp.around(instant timestamptz, of_segment text) RETURNS TABLE (ticked text, members text, wrong bigint) LANGUAGE plpgsql AS $$
DECLARE
	i int;
BEGIN
	FOR i IN -1 .. 1 LOOP
		PERFORM lifecycle_tick('vocabulary_crm', instant + i * interval '1 microsecond');
		RETURN QUERY SELECT (ARRAY['before', 'at', 'after'])[i + 2],
			(SELECT contacts FROM pg_temp.members(of_segment)), (SELECT count(*) FROM pg_temp.wrong());
	END LOOP;
END $$;
ALTER TABLE vocabulary_crm.contacts ADD seen timestamptz, ADD born date, ADD local timestamp;
ALTER TABLE vocabulary_crm.companies ADD founded timestamptz;
INSERT INTO vocabulary_crm.companies (id, name) VALUES (1, 'One');
INSERT INTO vocabulary_crm.contacts (id, company_id) VALUES (1, 1), (2, NULL), (3, NULL), (4, 1);
INSERT INTO vocabulary_crm.events (contact_id, name, occurred_at, properties) VALUES
	(1, 'Read', '2024-02-01 12:00+00', '{"n": 1}'),
	(1, 'Read', '2024-02-28 12:00+00', '{"n": 5}'),
	(2, 'Read', '2024-02-29 12:00+00', '{"n": 5}'),
	(3, 'Read', '2024-01-01 12:00+00', '{"n": 1}'),
	(3, 'Read', '2024-03-01 06:00+00', '{"n": 1}');

--
-- 1. did_first: the first ever lies in the window
--
SELECT pg_temp.add('first', $$did_first('Read', '7 days')$$,
	'SELECT c FROM public.vocabulary_event WHERE name = ''Read'' AND t <= $1 GROUP BY c HAVING min(t) > $1 - interval ''7 days''');
SELECT pg_temp.add('first of 5', $$did_first('Read', within => '7 days', filter => (properties->>'n')::int = 5)$$,
	'SELECT c FROM public.vocabulary_event WHERE name = ''Read'' AND n = 5 AND t <= $1 GROUP BY c HAVING min(t) > $1 - interval ''7 days''');
SELECT * FROM pg_temp.members('first%');
SELECT * FROM pg_temp.around('2024-03-06 12:00+00', 'first of 5');
SELECT * FROM pg_temp.around('2024-03-07 12:00+00', 'first');
-- an event of the future, and an older one that comes late: it was not the first
INSERT INTO vocabulary_crm.events (id, contact_id, name, occurred_at) VALUES (100, 4, 'Read', '2024-03-08 00:00+00');
SELECT * FROM pg_temp.around('2024-03-08 00:00+00', 'first');
INSERT INTO vocabulary_crm.events (id, contact_id, name, occurred_at) VALUES (101, 4, 'Read', '2024-01-01 00:00+00');
SELECT * FROM pg_temp.members('first');
DELETE FROM vocabulary_crm.events WHERE id = 101;
SELECT * FROM pg_temp.members('first');
SELECT * FROM pg_temp.wrong();

--
-- 2. stopped: some in (clock - active, clock - quiet], none since
--
SELECT pg_temp.add('stopped', $$stopped('Read', '30 days', '7 days')$$,
	'SELECT DISTINCT c FROM public.vocabulary_event e WHERE name = ''Read'' AND t > $1 - interval ''30 days'' AND t <= $1 - interval ''7 days''
	 AND NOT EXISTS (SELECT FROM public.vocabulary_event s WHERE s.c = e.c AND s.name = ''Read'' AND s.t > $1 - interval ''7 days'' AND s.t <= $1)');
SELECT * FROM pg_temp.around('2024-03-08 06:00+00', 'stopped');
SELECT * FROM pg_temp.around('2024-03-15 00:00+00', 'stopped');
-- contact 1 leaves 30 days after its last
SELECT * FROM pg_temp.around('2024-03-29 12:00+00', 'stopped');
INSERT INTO vocabulary_crm.events (id, contact_id, name, occurred_at) VALUES (110, 4, 'Read', '2024-03-29 12:00+00'), (111, 3, 'Read', '2024-03-30 12:00+00');
SELECT * FROM pg_temp.members('stopped');
SELECT * FROM pg_temp.around('2024-03-30 12:00+00', 'stopped');
DELETE FROM vocabulary_crm.events WHERE id >= 110;
SELECT * FROM pg_temp.members('stopped');
SELECT * FROM pg_temp.wrong();

--
-- 3. restarted: some up to clock - active, none in (clock - active, clock - quiet],
-- some since
--
SELECT pg_temp.add('restarted', $$restarted('Read', active => '30 days', quiet => '7 days')$$,
	'SELECT DISTINCT c FROM public.vocabulary_event e WHERE name = ''Read'' AND t <= $1 - interval ''30 days''
	 AND NOT EXISTS (SELECT FROM public.vocabulary_event s WHERE s.c = e.c AND s.name = ''Read'' AND s.t > $1 - interval ''30 days'' AND s.t <= $1 - interval ''7 days'')
	 AND EXISTS (SELECT FROM public.vocabulary_event s WHERE s.c = e.c AND s.name = ''Read'' AND s.t > $1 - interval ''7 days'' AND s.t <= $1)');
INSERT INTO vocabulary_crm.events (id, contact_id, name, occurred_at) VALUES (120, 1, 'Read', '2024-03-30 00:00+00'), (121, 3, 'Read', '2024-03-31 00:00+00'), (122, 4, 'Read', '2024-04-02 00:00+00');
SELECT * FROM pg_temp.members('restarted');
-- the one of contact 3 that lay between is 30 days old only now
SELECT * FROM pg_temp.around('2024-03-31 06:00+00', 'restarted');
SELECT * FROM pg_temp.around('2024-04-06 00:00+00', 'restarted');
SELECT * FROM pg_temp.around('2024-04-07 00:00+00', 'restarted');
UPDATE vocabulary_crm.events SET occurred_at = '2024-04-06 00:00+00' WHERE id = 121;
SELECT * FROM pg_temp.members('restarted');
SELECT * FROM pg_temp.wrong();

--
-- 4. regularly: in at least 3 of the last 4 weeks 2 or more
--
SELECT pg_temp.add('regularly', $$regularly('Read', 2, '7 days', 4, 3)$$,
	'SELECT w.c FROM (SELECT c, k FROM public.vocabulary_event JOIN generate_series(1, 4) k ON t > $1 - k * interval ''7 days'' AND t <= $1 - (k - 1) * interval ''7 days''
	 WHERE name = ''Read'' GROUP BY 1, 2 HAVING count(*) >= 2) w GROUP BY w.c HAVING count(*) >= 3');
INSERT INTO vocabulary_crm.events (contact_id, name, occurred_at)
	SELECT 2, 'Read', '2024-04-01 00:00+00'::timestamptz + w * interval '7 days' + h * interval '36 hours' FROM generate_series(0, 3) w, generate_series(0, 1) h;
SELECT * FROM pg_temp.around('2024-04-16 12:00+00', 'regularly');
-- of the fourth week, one comes late, and one goes
DELETE FROM vocabulary_crm.events WHERE contact_id = 2 AND occurred_at = '2024-04-09 12:00+00' RETURNING occurred_at AT TIME ZONE 'UTC';
SELECT * FROM pg_temp.members('regularly');
SELECT * FROM pg_temp.around('2024-04-23 12:00+00', 'regularly');
INSERT INTO vocabulary_crm.events (contact_id, name, occurred_at) VALUES (2, 'Read', '2024-04-10 00:00+00');
SELECT * FROM pg_temp.members('regularly');
SELECT * FROM pg_temp.around('2024-05-06 00:00+00', 'regularly');
SELECT * FROM pg_temp.around('2024-05-08 00:00+00', 'regularly');
SELECT contacts > 0 AS looked FROM lifecycle_tick('vocabulary_crm', '2024-05-14 12:00+00');

--
-- 5. did_then: a first, and after it, no later than `within`, a second
--
SELECT pg_temp.add('then', $$did_then('Start', 'Finish', '2 days')$$,
	'SELECT DISTINCT a.c FROM public.vocabulary_event a JOIN public.vocabulary_event b ON b.c = a.c AND b.t > a.t AND b.t <= a.t + interval ''2 days''
	 WHERE a.name = ''Start'' AND b.name = ''Finish'' AND b.t <= $1');
-- the same event twice; each has its own filter
SELECT pg_temp.add('then more', $$did_then('Start', 'Start', '1 month', (properties->>'n')::int < 2, second_filter => (properties->>'n')::int > 2)$$,
	'SELECT DISTINCT a.c FROM public.vocabulary_event a JOIN public.vocabulary_event b ON b.c = a.c AND b.t > a.t AND b.t <= a.t + interval ''1 month''
	 WHERE a.name = ''Start'' AND a.n < 2 AND b.name = ''Start'' AND b.n > 2 AND b.t <= $1');
-- contact 1 is just in time, 2 just late; 3 at the same instant; 4 in the wrong order
INSERT INTO vocabulary_crm.events (id, contact_id, name, occurred_at, properties) VALUES
	(200, 1, 'Start', '2024-05-01 00:00+00', '{"n": 1}'), (201, 1, 'Finish', '2024-05-03 00:00+00', '{}'),
	(202, 2, 'Start', '2024-05-01 00:00+00', '{"n": 1}'), (203, 2, 'Finish', '2024-05-03 00:00:00.000001+00', '{}'),
	(204, 3, 'Start', '2024-05-01 00:00+00', '{"n": 1}'), (205, 3, 'Finish', '2024-05-01 00:00+00', '{}'),
	(206, 4, 'Finish', '2024-05-01 00:00+00', '{}'), (207, 4, 'Start', '2024-05-02 00:00+00', '{"n": 3}');
SELECT * FROM pg_temp.members('then%');
-- the second first, late; and one of the future
INSERT INTO vocabulary_crm.events (id, contact_id, name, occurred_at, properties) VALUES
	(208, 4, 'Start', '2024-04-29 00:00+00', '{"n": 1}'), (209, 3, 'Start', '2024-05-20 00:00+00', '{"n": 1}'), (210, 3, 'Finish', '2024-05-21 00:00+00', '{}');
SELECT * FROM pg_temp.members('then%');
SELECT * FROM pg_temp.around('2024-05-21 00:00+00', 'then');
DELETE FROM vocabulary_crm.events WHERE id IN (201, 208);
SELECT * FROM pg_temp.members('then%');
UPDATE vocabulary_crm.events SET name = 'Begin' WHERE id = 209;
SELECT * FROM pg_temp.members('then%');
SELECT * FROM pg_temp.wrong();
-- such an atom is found by both of its names
SELECT event, second_event, definition FROM vocabulary_crm.atom WHERE second_event IS NOT NULL ORDER BY id;

--
-- 6. in_last: a column of the contact or its company
--
SELECT pg_temp.add('seen', $$in_last(seen, '7 days')$$, 'SELECT id FROM vocabulary_crm.contacts WHERE seen > $1 - interval ''7 days'' AND seen <= $1');
SELECT pg_temp.add('not seen', $$NOT in_last(seen, '7 days')$$, 'SELECT id FROM vocabulary_crm.contacts WHERE NOT (seen > $1 - interval ''7 days'' AND seen <= $1)');
SELECT pg_temp.add('born', $$in_last(born, '1 month') OR in_last(local, '1 hour')$$,
	'SELECT id FROM vocabulary_crm.contacts WHERE born::timestamptz > $1 - interval ''1 month'' AND born::timestamptz <= $1 OR local::timestamptz > $1 - interval ''1 hour'' AND local::timestamptz <= $1');
SELECT pg_temp.add('founded', $$in_last(company.founded, '1 year')$$,
	'SELECT c.id FROM vocabulary_crm.contacts c JOIN vocabulary_crm.companies f ON f.id = c.company_id WHERE f.founded > $1 - interval ''1 year'' AND f.founded <= $1');
SELECT * FROM pg_temp.members('%seen');
UPDATE vocabulary_crm.contacts SET seen = '2024-05-21 00:00+00', born = '2024-05-01' WHERE id = 1;
UPDATE vocabulary_crm.contacts SET seen = '2024-05-23 00:00+00', born = '2024-04-21' WHERE id = 2;
UPDATE vocabulary_crm.contacts SET seen = 'infinity', born = '-infinity', local = '2024-05-21 00:00' WHERE id = 3;
UPDATE vocabulary_crm.companies SET founded = '2023-05-30 00:00+00';
SELECT * FROM pg_temp.members('%n');
SELECT * FROM pg_temp.wrong();
SELECT * FROM pg_temp.around('2024-05-21 01:00+00', 'born');
SELECT * FROM pg_temp.around('2024-05-23 00:00+00', 'seen');
SELECT * FROM pg_temp.around('2024-05-28 00:00+00', 'seen');
SELECT * FROM pg_temp.around('2024-05-30 00:00+00', 'founded');
UPDATE vocabulary_crm.companies SET founded = '2024-01-01';
UPDATE vocabulary_crm.contacts SET company_id = 1 WHERE id = 2;
UPDATE vocabulary_crm.contacts SET company_id = NULL, seen = NULL WHERE id = 1;
SELECT * FROM pg_temp.members('%n') WHERE segment <> 'born';
SELECT * FROM pg_temp.around('2024-06-01 00:00+00', 'born');

--
-- 7. time_in_stage: since the last entry into the present stage
--
SELECT pg_temp.add('stale', $$stage = 'Lead' AND time_in_stage() >= '7 days'$$,
	'SELECT c.id FROM vocabulary_crm.contacts c, LATERAL (SELECT max(h.at) AS at FROM vocabulary_crm.stage_history h WHERE h.contact = c.id AND h.to_stage = c.stage) e WHERE c.stage = ''Lead'' AND e.at <= $1 - interval ''7 days''');
SELECT pg_temp.add('over', $$time_in_stage() > '7 days'$$,
	'SELECT c.id FROM vocabulary_crm.contacts c, LATERAL (SELECT max(h.at) AS at FROM vocabulary_crm.stage_history h WHERE h.contact = c.id AND h.to_stage = c.stage) e WHERE e.at < $1 - interval ''7 days''');
SELECT pg_temp.add('fresh', $$time_in_stage() < '7 days'$$,
	'SELECT c.id FROM vocabulary_crm.contacts c, LATERAL (SELECT max(h.at) AS at FROM vocabulary_crm.stage_history h WHERE h.contact = c.id AND h.to_stage = c.stage) e WHERE e.at > $1 - interval ''7 days''');
SELECT pg_temp.add('between', $$time_in_stage() BETWEEN '1 day' AND '7 days'$$,
	'SELECT c.id FROM vocabulary_crm.contacts c, LATERAL (SELECT max(h.at) AS at FROM vocabulary_crm.stage_history h WHERE h.contact = c.id AND h.to_stage = c.stage) e WHERE e.at <= $1 - interval ''1 day'' AND e.at >= $1 - interval ''7 days''');
SELECT contacts FROM lifecycle_tick('vocabulary_crm', '2024-06-02 00:00+00');
UPDATE vocabulary_crm.contacts SET stage = 'Lead' WHERE id IN (1, 2);
SELECT lifecycle_advance('vocabulary_crm', 3, 'MQL', 'by hand');
SELECT * FROM pg_temp.members('fresh');
SELECT * FROM pg_temp.around('2024-06-03 00:00+00', 'between');
-- out of the stage and back: the time begins anew
UPDATE vocabulary_crm.contacts SET stage = NULL WHERE id = 2;
SELECT * FROM pg_temp.members('fresh');
UPDATE vocabulary_crm.contacts SET stage = 'Lead' WHERE id = 2;
SELECT * FROM pg_temp.members('fresh');
SELECT * FROM pg_temp.around('2024-06-09 00:00+00', 'stale');
SELECT * FROM pg_temp.members('over');
SELECT * FROM pg_temp.around('2024-06-10 00:00+00', 'stale');
-- another spelling of the stage is no move
SELECT lifecycle_alter_stage('vocabulary_crm', 'MQL', new_name => 'Qualified');
SELECT * FROM pg_temp.members('over');
SELECT * FROM pg_temp.wrong();

--
-- 8. open_deals: how many, of those that pass the filter
--
SELECT pg_temp.add('no deal', $$open_deals() = 0$$, 'SELECT c.id FROM vocabulary_crm.contacts c WHERE NOT EXISTS (SELECT FROM vocabulary_crm.deals d WHERE d.contact_id = c.id AND d.is_open)');
SELECT pg_temp.add('big deal', $$open_deals(amount >= 1000) >= 1$$, 'SELECT DISTINCT contact_id FROM vocabulary_crm.deals WHERE is_open AND amount >= 1000 AND contact_id IS NOT NULL');
SELECT pg_temp.add('two deals', $$open_deals() BETWEEN 2 AND 3$$, 'SELECT contact_id FROM vocabulary_crm.deals WHERE is_open AND contact_id IS NOT NULL GROUP BY 1 HAVING count(*) BETWEEN 2 AND 3');
SELECT lifecycle_add_pipeline('vocabulary_crm', 'Renewals');
SELECT lifecycle_add_deal_stage('vocabulary_crm', 'Renewals', 'Offered', probability => 50);
INSERT INTO vocabulary_crm.deals (id, contact_id, pipeline, amount) VALUES (1, 1, 'Sales', 500), (2, 2, 'Sales', 1000), (3, 2, 'Renewals', NULL), (4, NULL, 'Sales', 5000);
SELECT * FROM pg_temp.members('%deal%');
UPDATE vocabulary_crm.deals SET amount = amount * 2 WHERE id = 1;
SELECT * FROM pg_temp.members('big deal');
UPDATE vocabulary_crm.deals SET stage = 'Closed lost' WHERE id = 2;
SELECT * FROM pg_temp.members('%deal%');
UPDATE vocabulary_crm.deals SET contact_id = id - 1 WHERE id IN (3, 4);
SELECT * FROM pg_temp.members('%deal%');
SELECT * FROM pg_temp.wrong();
DELETE FROM vocabulary_crm.deals WHERE id = 4;
SELECT * FROM pg_temp.members('%deal%');
SELECT segment, contact, change, cause FROM vocabulary_crm.segment_history WHERE segment = 'big deal' ORDER BY id;
TRUNCATE vocabulary_crm.deals;
SELECT * FROM pg_temp.members('%deal%');
SELECT * FROM pg_temp.wrong();

--
-- 9. In rules, in preview, in explain
--
SELECT lifecycle_tick('vocabulary_crm', '2024-06-12 00:00+00') IS NOT NULL AS ticked;
SELECT lifecycle_add_rule('vocabulary_crm', 'Second chance', 'event', 'set lead status', of => 'Asked', args => '{"status": "Open"}',
	condition => $$open_deals() = 0 AND time_in_stage() > '1 day' AND did_then('Asked', 'Asked', '1 day')$$);
INSERT INTO vocabulary_crm.events (contact_id, name, occurred_at) VALUES (1, 'Asked', '2024-06-09 12:00+00'), (2, 'Asked', '2024-06-09 12:00+00');
INSERT INTO vocabulary_crm.events (contact_id, name, occurred_at) VALUES (1, 'Asked', '2024-06-09 13:00+00');
SELECT id, lead_status FROM vocabulary_crm.contacts WHERE lead_status IS NOT NULL ORDER BY id;
SELECT * FROM lifecycle_preview('vocabulary_crm', $$time_in_stage() > '1 hour' AND in_last(born, '1 year') AND open_deals() = 0 AND NOT did_first('Read', '1 day')$$) k ORDER BY k;
SELECT part, kind, event, method FROM lifecycle_explain('vocabulary_crm',
	$$did_first('A', '1 day') AND stopped('A', '90 days', '30 days') AND regularly('A', 1, '1 week', 4, 3) AND did_then('A', 'B', '1 hour')
	  AND in_last(company.founded, '1 year') AND time_in_stage() <= '1 month' AND open_deals(amount > 10) > 0$$);
SELECT count(*) FROM vocabulary_crm.problem;
SELECT * FROM lifecycle_verify('vocabulary_crm');

--
-- 10. Where months end and clocks are changed, the start of a window goes back,
-- and what has left it comes back for a while
--
SELECT lifecycle_create('vocabulary_zone', 'empty');
SELECT lifecycle_set('vocabulary_zone', 'clock', 'tick');
SELECT lifecycle_set('vocabulary_zone', 'time_zone', 'Europe/Helsinki');
SELECT contacts FROM lifecycle_tick('vocabulary_zone', '2023-02-28 12:00+00');
INSERT INTO vocabulary_zone.contacts (id) VALUES (1);
SELECT lifecycle_add_segment('vocabulary_zone', 'month', $$did('Read', within => '1 month')$$);
SELECT lifecycle_add_segment('vocabulary_zone', 'first', $$did_first('Read', '1 month')$$);
SELECT lifecycle_add_segment('vocabulary_zone', 'day', $$did('Read', within => '1 day')$$);
INSERT INTO vocabulary_zone.events (contact_id, name, occurred_at) VALUES (1, 'Read', '2023-02-28 06:00 Europe/Helsinki');
-- ticks at each due time, and says who is in what then
CREATE FUNCTION pg_temp.timers(until timestamptz) RETURNS TABLE (due timestamptz, members text) LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		SELECT min(s.due) INTO due FROM vocabulary_zone.contact_state s;
		EXIT WHEN due IS NULL OR due > until;
		PERFORM lifecycle_tick('vocabulary_zone', due);
		SELECT string_agg(m.segment, ', ' ORDER BY m.segment) INTO members FROM vocabulary_zone.segment_member m;
		RETURN NEXT;
	END LOOP;
END $$;
SET timezone = 'Europe/Helsinki';
SELECT * FROM pg_temp.timers('2023-12-31');
-- on 29 October it is 03:30 twice
INSERT INTO vocabulary_zone.events (contact_id, name, occurred_at) VALUES (1, 'Read', '2023-10-28 03:30 Europe/Helsinki');
SELECT contacts FROM lifecycle_tick('vocabulary_zone', '2023-10-28 12:00 Europe/Helsinki');
SELECT * FROM pg_temp.timers('2023-10-31');
SELECT lifecycle_drop('vocabulary_zone');
-- Samoa had no 30 December in 2011: for a day the window is 2 hours long, then 26 again.
-- Of two contacts only the one with three events has something to wait for
SELECT lifecycle_create('vocabulary_zone', 'empty');
SELECT lifecycle_set('vocabulary_zone', 'clock', 'tick');
SELECT lifecycle_set('vocabulary_zone', 'time_zone', 'Pacific/Apia');
SET timezone = 'Pacific/Apia';
SELECT contacts FROM lifecycle_tick('vocabulary_zone', '2011-12-29 00:00');
INSERT INTO vocabulary_zone.contacts (id) VALUES (1), (2);
SELECT lifecycle_add_segment('vocabulary_zone', 'thrice', $$did('Read', times => 3, within => '1 day 2 hours')$$);
INSERT INTO vocabulary_zone.events (contact_id, name, occurred_at) VALUES (1, 'Read', '2011-12-31 13:20'),
	(2, 'Read', '2011-12-31 10:00'), (2, 'Read', '2011-12-31 11:00'), (2, 'Read', '2011-12-31 13:20');
SELECT contacts FROM lifecycle_tick('vocabulary_zone', '2011-12-31 19:20');
SELECT contact, due FROM vocabulary_zone.contact_state ORDER BY 1;
SELECT * FROM lifecycle_verify('vocabulary_zone');
SELECT * FROM pg_temp.timers('2012-02-01');
SELECT contact, change, at FROM vocabulary_zone.segment_history ORDER BY id;
SELECT lifecycle_drop('vocabulary_zone');

DROP VIEW vocabulary_event;
SELECT lifecycle_drop('vocabulary_crm');
SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
