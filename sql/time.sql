--
-- Time: segments that change as time passes.  History says when a change became
-- true beside when it was noticed, and it is the same whether ticks come every
-- hour, once at the end, or never, so that events find their contact due.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\set oracle :abs_srcdir '/test/oracle/oracle.sql'
\set ECHO none
\i :oracle
\set ECHO all

--
-- 1. A contact that enters and leaves between two ticks
--
SELECT lifecycle_create('time_crm', 'hubspot');
SELECT lifecycle_set('time_crm', 'clock', 'tick');
SELECT contacts FROM lifecycle_tick('time_crm', '2024-03-01 00:00+00');
SELECT lifecycle_add_segment('time_crm', 'Quiet', $$stopped('Login', active => '14 days', quiet => '7 days')$$);
SELECT lifecycle_add_segment('time_crm', 'Gone', $$did('Login') AND NOT did('Login', within => '14 days')$$, stage => 'Lead');
INSERT INTO time_crm.companies (id, name) VALUES (1, 'One');
INSERT INTO time_crm.contacts (id, company_id) VALUES (1, 1), (2, 1);
INSERT INTO time_crm.events (contact_id, name, occurred_at) VALUES (1, 'Login', '2024-03-01 00:00+00'), (2, 'Login', '2024-02-29 12:00+00');
-- a month later, at once: quiet from 8 to 15 March, then gone
SELECT * FROM lifecycle_tick('time_crm', '2024-04-01 00:00+00');
SELECT contact, segment, change, at, noticed_at > at AS noticed_later, cause FROM time_crm.segment_history ORDER BY at, segment, contact;
-- stages that follow, the company's too, have the same instants
SELECT object, contact, company, to_stage, at, noticed_at > at AS noticed_later, cause, rule FROM time_crm.stage_history WHERE to_stage IS NOT NULL ORDER BY id;
SELECT segment, contact, entered_at FROM time_crm.segment_member ORDER BY 1, 2;
SELECT * FROM lifecycle_verify('time_crm');

--
-- 2. An event that comes late, when a window has ended that nobody looked at
--
INSERT INTO time_crm.contacts (id) VALUES (3);
SELECT contacts FROM lifecycle_tick('time_crm', '2024-04-02 00:00+00');
INSERT INTO time_crm.events (contact_id, name, occurred_at) VALUES (3, 'Login', '2024-04-02 00:00+00');
-- the clock is put on, but nobody is looked at
SELECT contacts FROM lifecycle_tick('time_crm', '2024-04-20 00:00+00', 0);
SELECT item, value FROM lifecycle_status('time_crm') WHERE item = 'contacts due';
-- it was quiet on 9 April, and gone on 16 April: the event is of 15 April, but
-- was not there then, and brings it back now
INSERT INTO time_crm.events (contact_id, name, occurred_at) VALUES (3, 'Login', '2024-04-15 00:00+00');
SELECT contact, segment, change, at, cause, event, event_at FROM time_crm.segment_history WHERE contact = 3 ORDER BY id;
-- rows that a statement changes count as they were: the contact left as a Finn
SELECT lifecycle_add_segment('time_crm', 'Finns', $$country = 'FI' AND did('Read', within => '1 day')$$);
SELECT lifecycle_add_segment('time_crm', 'Dealers', $$open_deals() > 0 AND NOT did('Read', within => '1 day')$$);
INSERT INTO time_crm.contacts (id, country) VALUES (4, 'FI'), (5, 'FI'), (6, NULL);
INSERT INTO time_crm.deals (id, contact_id, pipeline, stage) VALUES (1, 6, 'Sales', 'Appointment scheduled');
INSERT INTO time_crm.events (contact_id, name, occurred_at) SELECT i, 'Read', '2024-04-20 00:00+00' FROM generate_series(4, 6) i;
SELECT contacts FROM lifecycle_tick('time_crm', '2024-04-25 00:00+00', 0);
UPDATE time_crm.contacts SET country = 'SE' WHERE id = 4;
DELETE FROM time_crm.events WHERE contact_id = 5;
UPDATE time_crm.deals SET stage = 'Closed lost' WHERE id = 1;
SELECT contact, segment, change, at, cause FROM time_crm.segment_history WHERE contact BETWEEN 4 AND 6 ORDER BY contact, id;
SELECT * FROM lifecycle_verify('time_crm');
-- rules fire at the instants, and what they do counts at the next one
SELECT lifecycle_add_segment('time_crm', 'Slow', $$stage = 'Subscriber' AND time_in_stage() >= interval '3 days'$$, stage => 'MQL');
SELECT lifecycle_add_segment('time_crm', 'Reader', $$did('Read', within => '2 days')$$);
SELECT lifecycle_add_rule('time_crm', 'Read no more', on_ => 'segment left', of => 'Reader', action => 'advance stage', args => '{"stage": "Subscriber"}');
INSERT INTO time_crm.contacts (id) VALUES (7);
INSERT INTO time_crm.events (contact_id, name, occurred_at) VALUES (7, 'Read', '2024-04-24 18:00+00');
SELECT contacts, entered, "left", stages FROM lifecycle_tick('time_crm', '2024-05-25 00:00+00');
SELECT to_stage, at, cause, rule FROM time_crm.stage_history WHERE contact = 7 ORDER BY id;
SELECT segment, change, at, cause FROM time_crm.segment_history WHERE contact = 7 ORDER BY id;
SELECT * FROM lifecycle_verify('time_crm');
SELECT lifecycle_drop('time_crm');

--
-- 3. Contacts of one company: the company sees their instants in order
--
SELECT lifecycle_create('time_company', 'hubspot');
SELECT lifecycle_set('time_company', 'clock', 'tick');
SELECT contacts FROM lifecycle_tick('time_company', '2024-03-01 00:00+00');
SELECT lifecycle_add_segment('time_company', 'A', $$did('A') AND NOT did('A', within => '1 day')$$, stage => 'Lead');
SELECT lifecycle_add_segment('time_company', 'B', $$did('B') AND NOT did('B', within => '2 days')$$, stage => 'SQL');
SELECT lifecycle_add_segment('time_company', 'C', $$company.stage = 'SQL' AND NOT did('A', within => '1 day')$$);
INSERT INTO time_company.companies (id, name) VALUES (1, 'One');
INSERT INTO time_company.contacts (id, company_id) SELECT i, 1 FROM generate_series(1, 40) i;
INSERT INTO time_company.events (contact_id, name, occurred_at) SELECT i, 'A', timestamptz '2024-03-01 00:00+00' - make_interval(hours => i / 2) FROM generate_series(1, 40) i;
INSERT INTO time_company.events (contact_id, name, occurred_at) VALUES (1, 'B', '2024-02-28 06:00+00'), (2, 'B', '2024-02-28 16:00+00');
SELECT contacts FROM lifecycle_tick('time_company', '2024-04-01 00:00+00');
SELECT from_stage, to_stage, at, cause FROM time_company.stage_history WHERE object = 'company' ORDER BY id;
SELECT at, count(*) FROM time_company.segment_history WHERE segment = 'C' GROUP BY 1 ORDER BY 1;
SELECT * FROM lifecycle_verify('time_company');
SELECT lifecycle_drop('time_company');

--
-- 4. The same events under four habits of ticking
--
-- One ticks every six hours; one when an event comes; one puts its clock on then
-- without looking at anybody, so that events find their contact due, and ticks
-- once at the end; one looks at three contacts now and then.
CREATE TABLE time_habit (model text);
INSERT INTO time_habit VALUES ('time_often'), ('time_event'), ('time_clock'), ('time_some');
CREATE TABLE time_segment (name text, predicate text, stage text);
INSERT INTO time_segment VALUES
	('recent', $$did('A', within => '3 days')$$, 'Two'),
	('twice', $$did('A', times => 2, within => '5 days 6 hours')$$, NULL),
	('month', $$did('B', within => '1 month')$$, NULL),
	('once', $$did('C')$$, 'One'),
	('none', $$event_count('B', within => '10 days') = 0$$, NULL),
	('sum', $$event_sum('A', (properties->>'n')::int, within => '8 days') > 12$$, NULL),
	('stopped', $$stopped('A', '9 days', '4 days')$$, 'Three'),
	('restarted', $$restarted('B', '9 days', '4 days')$$, NULL),
	('regular', $$regularly('A', 1, '2 days', 4, 2)$$, NULL),
	('then', $$did_then('A', 'B', '1 day')$$, NULL),
	('first', $$did_first('B', '6 days')$$, NULL),
	('column', $$in_last(created_at, '20 days') AND NOT did('C', within => '1 day')$$, NULL),
	('both', $$in_segment('recent') AND NOT in_segment('stopped') OR in_segment('regular')$$, NULL),
	('stage', $$time_in_stage() > '6 days'$$, 'Four');
SELECT lifecycle_create(model, 'empty') FROM time_habit;
SELECT lifecycle_set(model, 'clock', 'tick') FROM time_habit;
SELECT count(*) FROM time_habit, lifecycle_tick(model, '2024-02-20 00:00+00');
SELECT lifecycle_add_stage(model, s) FROM time_habit, unnest(ARRAY['One', 'Two', 'Three', 'Four']) s;
SELECT count(lifecycle_add_segment(h.model, s.name, s.predicate, stage => s.stage)) FROM time_habit h, time_segment s;
-- what is to be inserted, one after the other, and how late it comes
CREATE TABLE time_event AS
SELECT i AS n, (i * 7) % 23 + 1 AS contact, (ARRAY['A', 'B', 'A', 'C', 'B', 'A'])[i * 5 % 6 + 1] AS name,
	timestamptz '2024-02-20 00:00+00' + i * interval '2 hours 7 minutes 13 seconds' AS comes,
	CASE i % 5 WHEN 0 THEN interval '2 days 3 hours' WHEN 1 THEN interval '-1 day' ELSE interval '0' END AS late
FROM generate_series(1, 300) i;
CREATE PROCEDURE time_live(live text) LANGUAGE plpgsql AS $$
DECLARE
	e record;
	t timestamptz := '2024-02-20 00:00+00';
BEGIN
	EXECUTE format('INSERT INTO %I.contacts (id, created_at) SELECT i, timestamptz ''2024-02-15 00:00+00'' + i * interval ''5 hours'' FROM generate_series(1, 23) i', live);
	FOR e IN SELECT * FROM time_event ORDER BY n LOOP
		WHILE live = 'time_often' AND t < e.comes LOOP
			PERFORM lifecycle_tick(live, t);
			t := t + interval '6 hours';
		END LOOP;
		PERFORM lifecycle_tick(live, e.comes, CASE live WHEN 'time_clock' THEN 0 WHEN 'time_some' THEN CASE WHEN e.n % 10 = 0 THEN 3 ELSE 0 END END);
		EXECUTE format('INSERT INTO %I.events (contact_id, name, occurred_at, properties) VALUES ($1, $2, $3, $4)', live)
			USING e.contact, e.name, e.comes - e.late, jsonb_build_object('n', e.n % 9);
		-- someone changes an event, and a contact
		IF e.n % 20 = 0 THEN
			EXECUTE format('DELETE FROM %1$I.events WHERE id = (SELECT max(id) - 15 FROM %1$I.events)', live);
			EXECUTE format('UPDATE %I.contacts SET created_at = $1 WHERE id = $2', live) USING e.comes, e.n % 23 + 1;
		END IF;
	END LOOP;
	PERFORM lifecycle_tick(live, '2024-03-25 00:00+00');
END $$;
CALL time_live('time_often');
CALL time_live('time_event');
CALL time_live('time_clock');
CALL time_live('time_some');
SELECT change, count(*) FROM time_often.segment_history GROUP BY 1 ORDER BY 1;
SELECT cause, count(*) FROM time_often.stage_history GROUP BY 1 ORDER BY 1;
-- the histories differ in nothing but when it was noticed
CREATE FUNCTION time_differences(one text, two text) RETURNS TABLE (which text, row_ text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($f$
		WITH first AS (
			SELECT 'segment' || contact || segment || change || at || cause || coalesce(event || event_at, '') FROM %1$I.segment_history
			UNION ALL SELECT 'stage' || contact || coalesce(from_stage, '') || coalesce(to_stage, '') || at || cause || coalesce(rule, '') FROM %1$I.stage_history),
		second AS (
			SELECT 'segment' || contact || segment || change || at || cause || coalesce(event || event_at, '') FROM %2$I.segment_history
			UNION ALL SELECT 'stage' || contact || coalesce(from_stage, '') || coalesce(to_stage, '') || at || cause || coalesce(rule, '') FROM %2$I.stage_history)
		(SELECT %1$L, x.* FROM (TABLE first EXCEPT ALL TABLE second) x ORDER BY 2)
		UNION ALL (SELECT %2$L, x.* FROM (TABLE second EXCEPT ALL TABLE first) x ORDER BY 2) $f$, one, two);
END $$;
SELECT * FROM time_differences('time_often', 'time_event');
SELECT * FROM time_differences('time_often', 'time_clock');
SELECT * FROM time_differences('time_often', 'time_some');
SELECT h.model, v.* FROM time_habit h, lifecycle_verify(h.model) v;
INSERT INTO oracle.segment (model, name, query)
SELECT model, 'recent', format('SELECT DISTINCT contact_id FROM %I.events WHERE name = ''A'' AND occurred_at <= $1 AND occurred_at > $1 - interval ''3 days''', model) FROM time_habit
UNION ALL
SELECT model, 'none', format('SELECT id FROM %1$I.contacts c WHERE NOT EXISTS (SELECT FROM %1$I.events e WHERE e.contact_id = c.id AND name = ''B'' AND occurred_at <= $1 AND occurred_at > $1 - interval ''10 days'')', model) FROM time_habit;
SELECT h.model, o.* FROM time_habit h, oracle.check(h.model, '2024-03-25 00:00+00') o;
SELECT lifecycle_drop(model) FROM time_habit;
DROP TABLE time_habit, time_segment, time_event;
DROP PROCEDURE time_live;
DROP FUNCTION time_differences;
SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
