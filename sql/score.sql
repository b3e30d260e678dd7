--
-- Lead scores: points from events and conditions, groups, caps and decay, read at
-- any instant and used in segments.  The oracle adds them up in plain SQL.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\set oracle :abs_srcdir '/test/oracle/oracle.sql'
\set ECHO none
\i :oracle
\set ECHO all

SELECT lifecycle_create('score_crm', 'hubspot');
SELECT lifecycle_set('score_crm', 'clock', 'tick');
SELECT contacts FROM lifecycle_tick('score_crm', '2026-03-31 12:00+00');
-- what the oracle finds wrong at the model's clock
CREATE FUNCTION pg_temp.wrong() RETURNS TABLE (what text, key text, expected text, actual text) LANGUAGE sql
AS 'SELECT o.* FROM score_crm.clock k, oracle.check(''score_crm'', k.last_tick) o';
CREATE FUNCTION pg_temp.members() RETURNS TABLE (segment text, contacts text) LANGUAGE sql
AS 'SELECT segment, string_agg(contact::text, '' '' ORDER BY contact) FROM score_crm.segment_member GROUP BY 1 ORDER BY 1';
-- adds a segment that is a comparison of a score, and the query that the oracle runs for it
CREATE FUNCTION pg_temp.add(name text, score text, comparison text) RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO oracle.segment (model, name, query)
	VALUES ('score_crm', name, format('SELECT contact::bigint FROM oracle.score(''score_crm'', %L, $1) WHERE points %s', score, comparison));
	SELECT lifecycle_add_segment('score_crm', name, format('score(%L) %s', score, comparison)) $$;
-- ticks to just before, at and just after an instant, and says who is in a
-- segment then, and how much the oracle finds wrong
CREATE FUNCTION pg_temp.around(instant timestamptz, of_segment text) RETURNS TABLE (ticked text, members text, wrong bigint) LANGUAGE plpgsql AS $$
DECLARE
	i int;
BEGIN
	FOR i IN -1 .. 1 LOOP
		PERFORM lifecycle_tick('score_crm', instant + i * interval '1 microsecond');
		RETURN QUERY SELECT (ARRAY['before', 'at', 'after'])[i + 2],
			(SELECT m.contacts FROM pg_temp.members() m WHERE m.segment = of_segment), (SELECT count(*) FROM pg_temp.wrong());
	END LOOP;
END $$;
INSERT INTO score_crm.companies (id, name, industry) VALUES (1, 'One', 'Forestry');
INSERT INTO score_crm.contacts (id, country, company_id) VALUES (1, 'FI', 1), (2, 'SE', NULL), (3, NULL, NULL);
INSERT INTO score_crm.events (contact_id, name, occurred_at, properties)
	SELECT 1, 'Page Viewed', '2026-03-31 12:00+00'::timestamptz - d * interval '1 day', '{"path": "/pricing"}' FROM generate_series(0, 9) d;
INSERT INTO score_crm.events (contact_id, name, occurred_at, properties) VALUES
	(1, 'Page Viewed', '2026-03-31 11:00+00', '{"path": "/jobs"}'),
	(2, 'Demo', '2026-03-31 12:00+00', '{}'),
	(2, 'Unsubscribed', '2026-03-21 12:00+00', '{}'),
	(3, 'Demo', '2026-03-21 12:00+00', '{}');

--
-- 1. A score has a cap, a floor and groups of rules with caps of their own
--
SELECT lifecycle_add_score('score_crm', 'engagement', cap => 100, floor => 0, groups => '{"web": 30}');
SELECT lifecycle_score('score_crm', 1, 'engagement');
-- the latest 8 views of prices give 5 points each; they halve in 10 days
SELECT lifecycle_add_score_rule('score_crm', 'engagement', 'prices', 5, event => 'Page Viewed',
	filter => $$properties->>'path' LIKE '/pricing%'$$, times => 8, half_life => '10 days', in_group => 'web');
-- a demo gives 100, which are gone after 10 days
SELECT lifecycle_add_score_rule('score_crm', 'engagement', 'demo', 100, event => 'Demo', linear_decay => '10 days');
-- points may be negative, and for a condition
SELECT lifecycle_add_score_rule('score_crm', 'engagement', 'unsubscribed', -20, event => 'Unsubscribed');
SELECT lifecycle_add_score_rule('score_crm', 'engagement', 'forest', 10, condition => $$country = 'FI' AND company.industry = 'Forestry'$$);
-- what is more than plain SQL over contacts, the oracle is told
INSERT INTO oracle.score_condition VALUES ('score_crm', 'engagement', 'forest',
	$$SELECT c.id FROM score_crm.contacts c JOIN score_crm.companies o ON o.id = c.company_id WHERE c.country = 'FI' AND o.industry = 'Forestry'$$);
SELECT id, lifecycle_score('score_crm', id, 'engagement'),
	(SELECT trim_scale(points) FROM oracle.score('score_crm', 'engagement', '2026-03-31 12:00+00') o WHERE o.contact = id::text) AS oracle
FROM score_crm.contacts ORDER BY id;
SELECT * FROM lifecycle_why_score('score_crm', 1, 'engagement');
SELECT * FROM lifecycle_why_score('score_crm', 2, 'engagement');
-- at any instant: 5 days on, and 5 days before
SELECT id, lifecycle_score('score_crm', id, 'engagement', '2026-04-05 12:00+00') AS later,
	lifecycle_score('score_crm', id, 'engagement', '2026-03-26 12:00+00') AS earlier FROM score_crm.contacts ORDER BY id;
SELECT count(*) AS wrong FROM generate_series('2026-03-15 00:00+00'::timestamptz, '2026-05-15', '7 hours 11 minutes 13.000017 seconds') at,
	LATERAL oracle.score('score_crm', 'engagement', at) o
WHERE o.points IS DISTINCT FROM lifecycle_score('score_crm', o.contact::bigint, 'engagement', at);

--
-- 2. In segments: compared with any operator, exact to the microsecond
--
SELECT pg_temp.add('hot', 'engagement', '>= 50');
SELECT pg_temp.add('warm', 'engagement', 'BETWEEN 10 AND 49.99');
SELECT pg_temp.add('cold', 'engagement', '< 10');
SELECT * FROM pg_temp.members();
SELECT part, kind FROM lifecycle_explain('score_crm', $$score('engagement') >= 50 AND 7.5 > score('engagement') AND score('engagement') * 2 <> 6$$);
-- contact 2: 100 of the demo less 20, and 10 less a day: 50 three days on
SELECT * FROM pg_temp.around('2026-04-03 12:00+00', 'hot');
SELECT * FROM pg_temp.around('2026-04-03 12:00+00'::timestamptz + interval '4 days', 'cold');
SELECT * FROM pg_temp.members();
-- a demo on the way up, one that comes late, and one of the future
INSERT INTO score_crm.events (id, contact_id, name, occurred_at) VALUES
	(100, 3, 'Demo', '2026-04-07 12:00:00+00'), (101, 3, 'Demo', '2026-04-03 12:00+00'), (102, 3, 'Demo', '2026-04-08 00:00+00');
SELECT * FROM pg_temp.members();
SELECT * FROM pg_temp.wrong();
SELECT * FROM pg_temp.around('2026-04-08 00:00+00', 'hot');
SELECT lifecycle_score('score_crm', 3, 'engagement');
UPDATE score_crm.events SET occurred_at = '2026-04-01 00:00+00' WHERE id = 102;
SELECT lifecycle_score('score_crm', 3, 'engagement');
DELETE FROM score_crm.events WHERE id IN (100, 101);
SELECT lifecycle_score('score_crm', 3, 'engagement');
SELECT * FROM pg_temp.members();
SELECT * FROM pg_temp.wrong();
-- columns, of the contact and its company
UPDATE score_crm.contacts SET country = 'FI', company_id = 1 WHERE id = 3;
SELECT lifecycle_score('score_crm', 3, 'engagement');
UPDATE score_crm.companies SET industry = 'Mining' WHERE id = 1;
SELECT lifecycle_score('score_crm', 3, 'engagement');
SELECT * FROM pg_temp.wrong();

--
-- 3. Rules that are added, changed and dropped take effect at once
--
SELECT lifecycle_add_score_rule('score_crm', 'engagement', 'called', 60, condition => $$did('Called', within => '7 days')$$);
INSERT INTO oracle.score_condition VALUES ('score_crm', 'engagement', 'called',
	'SELECT DISTINCT contact_id FROM score_crm.events WHERE name = ''Called'' AND occurred_at <= $1 AND occurred_at > $1 - interval ''7 days''');
INSERT INTO score_crm.events (contact_id, name, occurred_at) VALUES (2, 'Called', '2026-04-08 00:00:00+00');
SELECT * FROM pg_temp.members();
SELECT lifecycle_alter_score('score_crm', 'engagement', cap => 40);
SELECT * FROM pg_temp.members();
SELECT lifecycle_alter_score('score_crm', 'engagement', cap => 'infinity', floor => '-infinity', groups => '{"web": 30, "sales": null}');
SELECT lifecycle_alter_score_rule('score_crm', 'engagement', 'called', points => 100.5, in_group => 'sales');
SELECT lifecycle_score('score_crm', 2, 'engagement');
SELECT * FROM pg_temp.members();
SELECT * FROM pg_temp.wrong();
SELECT lifecycle_alter_score_rule('score_crm', 'engagement', 'demo', half_life => '3 days');
SELECT lifecycle_alter_score_rule('score_crm', 'engagement', 'unsubscribed', linear_decay => '30 days', new_name => 'left');
SELECT name, points, linear_decay, half_life, in_group FROM score_crm.score_rule ORDER BY name;
SELECT * FROM pg_temp.wrong();
-- the call is 7 days old
SELECT * FROM pg_temp.around('2026-04-15 00:00+00', 'hot');
SELECT lifecycle_drop_score_rule('score_crm', 'engagement', 'left');
SELECT lifecycle_score('score_crm', 2, 'engagement');
SELECT * FROM pg_temp.wrong();
SELECT * FROM lifecycle_verify('score_crm');

--
-- 4. Half-life of one event: down to half after one half-life, not before
--
SELECT lifecycle_add_score('score_crm', 'fit', decimals => 0);
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'order', 80, event => 'Order', half_life => '12 hours');
SELECT pg_temp.add('big', 'fit', '>= 20');
SELECT pg_temp.add('not 3', 'fit', '<> 3');
SELECT pg_temp.add('more', 'fit', '> 5');
-- in any expression, the tick looks at each step
SELECT pg_temp.add('even', 'fit', '% 2 = 0');
INSERT INTO score_crm.events (contact_id, name, occurred_at) VALUES (1, 'Order', '2026-04-15 00:00+00');
SELECT * FROM pg_temp.around('2026-04-16 00:00+00', 'big');
-- 5 is the score until 6 are left no more
SELECT lifecycle_score('score_crm', 1, 'fit', '2026-04-16 20:50+00') AS six, lifecycle_score('score_crm', 1, 'fit', '2026-04-16 20:52+00') AS five;
SELECT contacts >= 1 AS due FROM lifecycle_tick('score_crm', '2026-04-16 20:52+00');
SELECT * FROM pg_temp.members();
SELECT * FROM pg_temp.wrong();

--
-- 5. What cannot be
--
SELECT lifecycle_add_score('score_crm', 'bad', cap => -1);
SELECT lifecycle_add_score('score_crm', 'bad', cap => 1, floor => 2);
SELECT lifecycle_add_score('score_crm', 'bad', groups => '{"web": -1}');
SELECT lifecycle_add_score('score_crm', 'bad', groups => '["web"]');
SELECT lifecycle_add_score('score_crm', 'bad', decimals => 7);
SELECT lifecycle_add_score('score_crm', 'Fit');
SELECT lifecycle_add_score_rule('score_crm', 'fitt', 'x', 1, event => 'X');
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 0, event => 'X');
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 'NaN', event => 'X');
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 0.12345678, event => 'X');
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 1);
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 1, event => 'X', condition => 'true');
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 1, condition => 'true', times => 2);
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 1, event => 'X', times => 0);
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 1, event => 'X', half_life => '0');
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 1, event => 'X', linear_decay => '-1 day');
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 1, event => 'X', linear_decay => '1 month');
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 1, event => 'X', linear_decay => '9000 days');
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 1, event => 'X', linear_decay => '1 day', half_life => '1 day');
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 1, event => 'X', in_group => 'web');
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 1, event => 'X', filter => 'propertis IS NULL');
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 1, event => 'X', filter => 'true) OR (true');
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 1, condition => $$contry = 'FI'$$);
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'x', 1, condition => $$score('engagement') > 3$$);
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'Order', 1, event => 'X');
SELECT lifecycle_drop_score_rule('score_crm', 'fit', 'ordre');
SELECT lifecycle_add_segment('score_crm', 'x', $$score('fitt') > 3$$);
SELECT lifecycle_add_segment('score_crm', 'x', $$score(country) > 3$$);
SELECT lifecycle_add_segment('score_crm', 'x', $$score() > 3$$);
SELECT lifecycle_alter_score('score_crm', 'fit', new_name => 'fitness');
SELECT lifecycle_alter_score('score_crm', 'engagement', groups => '{}');
SELECT lifecycle_drop_score('score_crm', 'fit');
SELECT lifecycle_score('score_crm', 99, 'fit');
SELECT lifecycle_score('score_crm', 1, 'fot');
SELECT lifecycle_score('score_crm', 1, 'fit', 'infinity');
-- a score whose condition names a segment that depends on the score
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'loop', 1, condition => $$in_segment('big')$$);
SELECT count(*) AS rules FROM score_crm.score_rule WHERE score = 'fit';

--
-- 6. A filter that fails at run time: the event stays, and the problem is told
--
SELECT lifecycle_alter_score_rule('score_crm', 'fit', 'order', filter => $$(properties->>'total')::numeric > 10$$);
INSERT INTO score_crm.events (id, contact_id, name, occurred_at, properties) VALUES (200, 2, 'Order', '2026-04-16 20:52+00', '{"total": "many"}');
SELECT contact_id, name FROM score_crm.events WHERE id = 200;
SELECT segment, contact, message FROM score_crm.problem ORDER BY id;
DELETE FROM score_crm.events WHERE id = 200;
DELETE FROM score_crm.problem;
SELECT * FROM pg_temp.wrong();

--
-- 7. Written to a column of contacts
--
SELECT lifecycle_alter_score_rule('score_crm', 'fit', 'order', filter => '');
ALTER TABLE score_crm.contacts ADD points int, ADD fine numeric(6,1), ADD label text;
SELECT lifecycle_alter_score('score_crm', 'fit', column_name => 'point');
SELECT lifecycle_alter_score('score_crm', 'fit', column_name => 'label');
SELECT lifecycle_alter_score('score_crm', 'fit', column_name => 'country');
SELECT lifecycle_alter_score('score_crm', 'fit', column_name => 'stage');
SELECT lifecycle_alter_score('score_crm', 'engagement', column_name => 'points');
SELECT lifecycle_alter_score('score_crm', 'engagement', column_name => 'fine');
SELECT lifecycle_alter_score('score_crm', 'fit', column_name => 'points');
SELECT lifecycle_alter_score('score_crm', 'engagement', column_name => 'points', decimals => 0);
SELECT lifecycle_alter_score('score_crm', 'engagement', column_name => 'fine', decimals => 1);
CREATE FUNCTION pg_temp.columns() RETURNS TABLE (id bigint, points int, fit numeric, fine numeric, engagement numeric, wrong bigint) LANGUAGE sql
AS $$SELECT id, points, lifecycle_score('score_crm', id, 'fit'), fine, lifecycle_score('score_crm', id, 'engagement'),
	(SELECT count(*) FROM pg_temp.wrong()) FROM score_crm.contacts ORDER BY id$$;
SELECT * FROM pg_temp.columns();
-- by an event, a new contact, a column, a condition
INSERT INTO score_crm.events (id, contact_id, name, occurred_at) VALUES (300, 2, 'Order', '2026-04-16 20:52+00'), (301, 2, 'Called', '2026-04-16 20:00+00');
INSERT INTO score_crm.contacts (id, country, points) VALUES (4, 'FI', 1000);
UPDATE score_crm.contacts SET company_id = NULL WHERE id = 1;
SELECT * FROM pg_temp.columns();
-- predicates may read the column too
SELECT lifecycle_add_segment('score_crm', 'column', 'points >= 40');
INSERT INTO score_crm.events (id, contact_id, name, occurred_at) VALUES (302, 4, 'Order', '2026-04-16 20:52+00');
SELECT contact FROM score_crm.segment_member WHERE segment = 'column' ORDER BY contact;
-- forward with the tick
SELECT contacts >= 1 AS due FROM lifecycle_tick('score_crm', '2026-04-17 08:52+00');
SELECT * FROM pg_temp.columns();
SELECT contacts >= 1 AS due FROM lifecycle_tick('score_crm', '2026-04-17 08:52:00.000001+00');
SELECT * FROM pg_temp.columns();
SELECT contact FROM score_crm.segment_member WHERE segment = 'column' ORDER BY contact;
-- what somebody else writes there is told, and made good by the next change
UPDATE score_crm.contacts SET points = 7 WHERE id = 4;
SELECT * FROM lifecycle_verify('score_crm');
DELETE FROM score_crm.events WHERE id = 302;
SELECT * FROM pg_temp.columns();
SELECT * FROM lifecycle_verify('score_crm');
-- rules that change
SELECT lifecycle_alter_score_rule('score_crm', 'fit', 'order', points => 160);
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'member', 3, condition => $$in_segment('hot')$$);
INSERT INTO oracle.score_condition VALUES ('score_crm', 'fit', 'member', 'SELECT contact::bigint FROM oracle.score(''score_crm'', ''engagement'', $1) WHERE points >= 50');
SELECT * FROM pg_temp.columns();
SELECT lifecycle_add_score_rule('score_crm', 'fit', 'itself', 1, condition => 'points > 3');
DELETE FROM score_crm.events WHERE id = 301;
SELECT * FROM pg_temp.columns();
-- a constraint of the user's: the event stays
ALTER TABLE score_crm.contacts ADD CHECK (points < 200);
INSERT INTO score_crm.events (id, contact_id, name, occurred_at) VALUES (303, 2, 'Order', '2026-04-17 08:52+00'), (304, 3, 'Order', '2026-04-17 08:52+00');
SELECT id, points FROM score_crm.contacts ORDER BY id;
SELECT contact, rule, message FROM score_crm.problem ORDER BY id;
DELETE FROM score_crm.events WHERE id = 303;
DELETE FROM score_crm.problem;
SELECT lifecycle_rebuild('score_crm');
SELECT * FROM pg_temp.columns();
-- points that cancel each other, in different groups: nothing to wait for
SELECT lifecycle_add_score('score_crm', 'balance', groups => '{"up": 50, "down": null}');
SELECT lifecycle_add_score_rule('score_crm', 'balance', 'up', 20, event => 'Order', half_life => '2 days', in_group => 'up');
SELECT lifecycle_add_score_rule('score_crm', 'balance', 'down', -20, event => 'Order', half_life => '2 days', in_group => 'down');
SELECT pg_temp.add('balanced', 'balance', '>= 0');
SELECT contacts > 0 AS due FROM lifecycle_tick('score_crm', '2026-04-17 12:00+00');
SELECT contacts FROM pg_temp.members() WHERE segment = 'balanced';
SELECT * FROM pg_temp.columns();
SELECT lifecycle_drop_segment('score_crm', 'balanced');
DELETE FROM oracle.segment WHERE name = 'balanced';
SELECT lifecycle_drop_score('score_crm', 'balance');
-- all at a glance
SELECT contact, score, points FROM score_crm.score ORDER BY score, contact;
SELECT lifecycle_alter_score('score_crm', 'fit', column_name => '');
SELECT lifecycle_tick('score_crm', '2026-04-20 00:00+00') IS NOT NULL AS ticked;
SELECT * FROM pg_temp.columns();
SELECT * FROM lifecycle_verify('score_crm');
SELECT * FROM score_crm.problem;

SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
SELECT lifecycle_drop('score_crm');
