--
-- Segments: each function of the language, and every way in which time, events
-- and columns change who is a member.  The oracle says the same in plain SQL.
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

SELECT lifecycle_create('segment_crm', 'empty');
SELECT lifecycle_set('segment_crm', 'clock', 'tick');
SELECT contacts FROM lifecycle_tick('segment_crm', '2024-03-01 00:00+00');
-- what the oracle finds wrong at the model's clock
CREATE FUNCTION pg_temp.wrong() RETURNS TABLE (what text, key text, expected text, actual text) LANGUAGE sql
AS 'SELECT o.* FROM segment_crm.clock k, oracle.check(''segment_crm'', k.last_tick) o';
-- adds a segment with the query that the oracle runs for it
CREATE FUNCTION pg_temp.add(name text, predicate text, query text) RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO oracle.segment (model, name, query) VALUES ('segment_crm', name, query);
	SELECT lifecycle_add_segment('segment_crm', name, predicate) $$;
CREATE FUNCTION pg_temp.members(like_ text DEFAULT '%') RETURNS TABLE (segment text, contacts text) LANGUAGE sql
AS 'SELECT segment, string_agg(contact::text, '' '' ORDER BY contact) FROM segment_crm.segment_member WHERE segment LIKE like_ GROUP BY 1 ORDER BY 1';
CREATE VIEW segment_event AS SELECT * FROM segment_crm.events;
INSERT INTO segment_crm.companies (id, name, industry, country) VALUES (1, 'One', 'Tools', 'FI'), (2, 'Two', 'Food', NULL);
INSERT INTO segment_crm.contacts (id, country, company_id) VALUES (1, 'FI', 1), (2, 'SE', 1), (3, NULL, 2), (4, 'FI', NULL);
INSERT INTO segment_crm.events (contact_id, name, occurred_at, properties) VALUES
	(1, 'Read', '2024-02-01 12:00+00', '{"pages": 3, "plan": "pro"}'),
	(1, 'Read', '2024-02-29 12:00+00', '{"pages": 4}'),
	(2, 'Read', '2024-02-29 12:00+00', '{"pages": 10, "plan": "free"}'),
	(2, 'Page Viewed', '2024-02-20 00:00+00', '{"path": "/pricing"}'),
	(3, 'Page Viewed', '2024-02-20 00:00+00', '{"path": "/pricing/eu"}');

--
-- 1. Each word of the language, over rows that are there
--
SELECT pg_temp.add('did', $$did('Read')$$, 'SELECT DISTINCT contact_id FROM public.segment_event WHERE name = ''Read'' AND occurred_at <= $1 AND contact_id IN (SELECT id FROM segment_crm.contacts)');
SELECT pg_temp.add('did twice', $$did('Read', times => 2)$$, 'SELECT contact_id FROM public.segment_event WHERE name = ''Read'' AND occurred_at <= $1 AND contact_id IN (SELECT id FROM segment_crm.contacts) GROUP BY 1 HAVING count(*) >= 2');
SELECT pg_temp.add('did filtered', $$did('Read', properties->>'plan' = 'pro')$$, 'SELECT DISTINCT contact_id FROM public.segment_event WHERE name = ''Read'' AND properties->>''plan'' = ''pro'' AND occurred_at <= $1 AND contact_id IN (SELECT id FROM segment_crm.contacts)');
SELECT pg_temp.add('did recently', $$did('Read', within => '7 days')$$, 'SELECT DISTINCT contact_id FROM public.segment_event WHERE name = ''Read'' AND occurred_at <= $1 AND occurred_at > $1 - interval ''7 days'' AND contact_id IN (SELECT id FROM segment_crm.contacts)');
SELECT pg_temp.add('did all', $$did('Read', (properties->>'pages')::int > 3, times => 2, within => '1 month')$$,
	'SELECT contact_id FROM public.segment_event WHERE name = ''Read'' AND (properties->>''pages'')::int > 3 AND occurred_at <= $1 AND occurred_at > $1 - interval ''1 month'' AND contact_id IN (SELECT id FROM segment_crm.contacts) GROUP BY 1 HAVING count(*) >= 2');
SELECT pg_temp.add('count = 0', $$event_count('Read') = 0$$, 'SELECT id FROM segment_crm.contacts c WHERE NOT EXISTS (SELECT FROM public.segment_event WHERE contact_id = c.id AND name = ''Read'' AND occurred_at <= $1)');
SELECT pg_temp.add('count < 2', $$event_count('Read', within => '30 days') < 2$$, 'SELECT id FROM segment_crm.contacts c WHERE (SELECT count(*) FROM public.segment_event WHERE contact_id = c.id AND name = ''Read'' AND occurred_at <= $1 AND occurred_at > $1 - interval ''30 days'') < 2');
SELECT pg_temp.add('sum', $$event_sum('Read', (properties->>'pages')::numeric) >= 7$$, 'SELECT contact_id FROM public.segment_event WHERE name = ''Read'' AND occurred_at <= $1 AND contact_id IN (SELECT id FROM segment_crm.contacts) GROUP BY 1 HAVING sum((properties->>''pages'')::numeric) >= 7');
SELECT pg_temp.add('sum recent', $$event_sum('Read', (properties->>'pages')::numeric, within => '7 days') BETWEEN 4 AND 9$$, 'SELECT contact_id FROM public.segment_event WHERE name = ''Read'' AND occurred_at <= $1 AND occurred_at > $1 - interval ''7 days'' AND contact_id IN (SELECT id FROM segment_crm.contacts) GROUP BY 1 HAVING sum((properties->>''pages'')::numeric) BETWEEN 4 AND 9');
SELECT pg_temp.add('min', $$event_min('Read', (properties->>'pages')::int) = 3$$, 'SELECT contact_id FROM public.segment_event WHERE name = ''Read'' AND occurred_at <= $1 AND contact_id IN (SELECT id FROM segment_crm.contacts) GROUP BY 1 HAVING min((properties->>''pages'')::int) = 3');
SELECT pg_temp.add('max', $$event_max('Read', (properties->>'pages')::int) > 4$$, 'SELECT contact_id FROM public.segment_event WHERE name = ''Read'' AND occurred_at <= $1 AND contact_id IN (SELECT id FROM segment_crm.contacts) GROUP BY 1 HAVING max((properties->>''pages'')::int) > 4');
SELECT pg_temp.add('avg', $$event_avg('Read', (properties->>'pages')::int) = 3.5$$, 'SELECT contact_id FROM public.segment_event WHERE name = ''Read'' AND occurred_at <= $1 AND contact_id IN (SELECT id FROM segment_crm.contacts) GROUP BY 1 HAVING avg((properties->>''pages'')::int) = 3.5');
SELECT pg_temp.add('distinct', $$event_distinct('Page Viewed', properties->>'path') >= 2$$, 'SELECT contact_id FROM public.segment_event WHERE name = ''Page Viewed'' AND occurred_at <= $1 AND contact_id IN (SELECT id FROM segment_crm.contacts) GROUP BY 1 HAVING count(DISTINCT properties->>''path'') >= 2');
SELECT pg_temp.add('first', $$event_first('Read') < '2024-02-15'$$, 'SELECT contact_id FROM public.segment_event WHERE name = ''Read'' AND occurred_at <= $1 AND contact_id IN (SELECT id FROM segment_crm.contacts) GROUP BY 1 HAVING min(occurred_at) < ''2024-02-15 00:00+00''');
SELECT pg_temp.add('last', $$event_last('Read', properties->>'plan' IS NOT NULL) >= '2024-02-15'$$, 'SELECT contact_id FROM public.segment_event WHERE name = ''Read'' AND properties->>''plan'' IS NOT NULL AND occurred_at <= $1 AND contact_id IN (SELECT id FROM segment_crm.contacts) GROUP BY 1 HAVING max(occurred_at) >= ''2024-02-15 00:00+00''');
SELECT pg_temp.add('latest', $$event_latest('Read', properties->>'pages') = '4'$$, 'SELECT contact_id FROM (SELECT DISTINCT ON (contact_id) * FROM public.segment_event WHERE name = ''Read'' AND occurred_at <= $1 ORDER BY contact_id, occurred_at DESC, id DESC) x WHERE properties->>''pages'' = ''4'' AND contact_id IN (SELECT id FROM segment_crm.contacts)');
SELECT pg_temp.add('visited', $$visited('/pricing%')$$, 'SELECT DISTINCT contact_id FROM public.segment_event WHERE name = ''Page Viewed'' AND properties->>''path'' LIKE ''/pricing%'' AND occurred_at <= $1 AND contact_id IN (SELECT id FROM segment_crm.contacts)');
SELECT pg_temp.add('visited exactly', $$visited('/pricing', within => '10 days 00:00:01')$$, 'SELECT DISTINCT contact_id FROM public.segment_event WHERE name = ''Page Viewed'' AND properties->>''path'' = ''/pricing'' AND occurred_at <= $1 AND occurred_at > $1 - interval ''10 days 1 second'' AND contact_id IN (SELECT id FROM segment_crm.contacts)');
SELECT pg_temp.add('not', $$NOT did('Read')$$, 'SELECT id FROM segment_crm.contacts c WHERE NOT EXISTS (SELECT FROM public.segment_event WHERE contact_id = c.id AND name = ''Read'' AND occurred_at <= $1)');
SELECT pg_temp.add('column', $$country = 'FI'$$, 'SELECT id FROM segment_crm.contacts WHERE country = ''FI''');
SELECT pg_temp.add('not column', $$NOT country = 'FI'$$, 'SELECT id FROM segment_crm.contacts WHERE NOT country = ''FI''');
SELECT pg_temp.add('company', $$company.industry = 'Tools' AND did('Read')$$, 'SELECT c.id FROM segment_crm.contacts c JOIN segment_crm.companies f ON f.id = c.company_id WHERE f.industry = ''Tools'' AND EXISTS (SELECT FROM public.segment_event WHERE contact_id = c.id AND name = ''Read'' AND occurred_at <= $1)');
SELECT pg_temp.add('no company', $$company.id IS NULL$$, 'SELECT id FROM segment_crm.contacts c WHERE NOT EXISTS (SELECT FROM segment_crm.companies f WHERE f.id = c.company_id)');
SELECT pg_temp.add('at least', $$at_least(2, did('Read'), visited('/pricing'), country = 'FI')$$,
	'SELECT id FROM segment_crm.contacts c WHERE EXISTS (SELECT FROM public.segment_event WHERE contact_id = c.id AND name = ''Read'' AND occurred_at <= $1)::int
	 + EXISTS (SELECT FROM public.segment_event WHERE contact_id = c.id AND name = ''Page Viewed'' AND properties->>''path'' LIKE ''/pricing'' AND occurred_at <= $1)::int + (country IS NOT DISTINCT FROM ''FI'')::int >= 2');
SELECT pg_temp.add('chain 1', $$in_segment('did recently')$$, 'SELECT DISTINCT contact_id FROM public.segment_event WHERE name = ''Read'' AND occurred_at <= $1 AND occurred_at > $1 - interval ''7 days'' AND contact_id IN (SELECT id FROM segment_crm.contacts)');
SELECT pg_temp.add('chain 2', $$NOT in_segment('chain 1') AND country = 'FI'$$, 'SELECT id FROM segment_crm.contacts c WHERE country = ''FI'' AND NOT EXISTS (SELECT FROM public.segment_event WHERE contact_id = c.id AND name = ''Read'' AND occurred_at <= $1 AND occurred_at > $1 - interval ''7 days'')');
SELECT pg_temp.add('everybody', 'true', 'SELECT id FROM segment_crm.contacts');
SELECT pg_temp.add('nobody', 'NULL', 'SELECT id FROM segment_crm.contacts WHERE NULL');
SELECT * FROM pg_temp.members();
SELECT * FROM pg_temp.wrong();

--
-- 2. The same as events come in, late, in any order, and several at once
--
INSERT INTO segment_crm.events (contact_id, name, occurred_at, properties) VALUES
	(3, 'Read', '2024-02-28', '{"pages": 1}'),
	(4, 'Page Viewed', '2024-02-28', '{"path": "/pricing"}'),
	(4, 'Page Viewed', '2024-02-28', '{"path": "/"}'),
	(4, 'Read', '2023-01-01', '{"pages": 100, "plan": "pro"}'),
	(2, 'Read', '2024-02-28', '{"pages": 5, "plan": "pro"}');
SELECT * FROM pg_temp.members();
SELECT * FROM pg_temp.wrong();
-- a property that a filter reads may be missing, null, or of another kind
INSERT INTO segment_crm.events (contact_id, name, occurred_at, properties) VALUES
	(3, 'Read', '2024-02-28', '{}'), (3, 'Read', '2024-02-28', '{"pages": null, "plan": null}'), (3, 'Read', '2024-02-28', '[]');
SELECT * FROM pg_temp.wrong();

--
-- 3. Time passes: windows are half-open, (clock - within, clock]
--
SELECT "left" FROM lifecycle_tick('segment_crm', '2024-03-01 00:00:00.999999+00');
SELECT * FROM pg_temp.members('visited exactly');
SELECT "left" FROM lifecycle_tick('segment_crm', '2024-03-01 00:00:01+00');
SELECT * FROM pg_temp.members('visited exactly');
SELECT * FROM pg_temp.wrong();
-- events dated in the future count from their time on
INSERT INTO segment_crm.events (contact_id, name, occurred_at, properties) VALUES (1, 'Page Viewed', '2024-03-02 00:00+00', '{"path": "/pricing"}');
SELECT * FROM pg_temp.members('visited');
SELECT * FROM pg_temp.wrong();
SELECT entered FROM lifecycle_tick('segment_crm', '2024-03-01 23:59:59.999999+00');
SELECT * FROM pg_temp.wrong();
SELECT entered FROM lifecycle_tick('segment_crm', '2024-03-02 00:00+00');
SELECT * FROM pg_temp.members('visited');
SELECT * FROM pg_temp.wrong();
SELECT entered, "left" FROM lifecycle_tick('segment_crm', '2024-03-07 12:00+00');
SELECT * FROM pg_temp.members('%recently');
SELECT * FROM pg_temp.wrong();
SELECT entered, "left" FROM lifecycle_tick('segment_crm', '2024-12-01 00:00+00');
SELECT * FROM pg_temp.members();
SELECT * FROM pg_temp.wrong();
-- again to the same instant: nothing is left to do
SELECT entered, "left" FROM lifecycle_tick('segment_crm', '2024-12-01 00:00+00');
-- a few contacts at a time come to the same
INSERT INTO segment_crm.events (contact_id, name, occurred_at, properties) SELECT id, 'Read', '2024-12-02', '{}' FROM segment_crm.contacts;
SELECT lifecycle_tick('segment_crm', '2024-12-03', 3) IS NOT NULL AS ticked;
SELECT lifecycle_tick('segment_crm', '2024-12-03', 3) IS NOT NULL AS ticked;
SELECT * FROM pg_temp.wrong();
-- the history says who came and went, when, and why
SELECT contact, change, at, cause, event, event_at FROM segment_crm.segment_history WHERE segment = 'did recently' ORDER BY at, contact;

--
-- 4. Columns of the contact, and of its company
--
UPDATE segment_crm.contacts SET country = 'FI' WHERE id = 3;
SELECT * FROM pg_temp.members('%column');
UPDATE segment_crm.contacts SET country = NULL WHERE id = 1;
SELECT * FROM pg_temp.members('%column');
UPDATE segment_crm.companies SET industry = 'Tools';
SELECT * FROM pg_temp.members('company');
UPDATE segment_crm.contacts SET company_id = 2 WHERE id IN (1, 4);
SELECT * FROM pg_temp.members('%company');
UPDATE segment_crm.companies SET industry = NULL WHERE id = 2;
SELECT * FROM pg_temp.members('%company');
SELECT * FROM pg_temp.wrong();
-- a company that comes later, and one that goes
ALTER TABLE segment_crm.contacts DROP CONSTRAINT contacts_company_id_fkey;
UPDATE segment_crm.contacts SET company_id = 3 WHERE id = 1;
INSERT INTO segment_crm.companies (id, industry) VALUES (3, 'Tools');
SELECT * FROM pg_temp.members('company');
SELECT * FROM pg_temp.wrong();
DELETE FROM segment_crm.companies WHERE id = 1;
SELECT * FROM pg_temp.members('company');
SELECT segment, change FROM segment_crm.segment_history WHERE contact = 2 AND segment = 'company' ORDER BY id;
SELECT lifecycle_in_segment('segment_crm', 1, 'company'), lifecycle_in_segment('segment_crm', 2, 'company');

SELECT * FROM pg_temp.wrong();

--
-- 5. Events that change, go, or had no contact
--
UPDATE segment_crm.events SET properties = '{"path": "/about"}' WHERE contact_id = 4 AND name = 'Page Viewed';
SELECT * FROM pg_temp.members('visited');
UPDATE segment_crm.events SET contact_id = 4 WHERE contact_id = 3 AND name = 'Page Viewed';
UPDATE segment_crm.events SET name = 'Read' WHERE contact_id = 2 AND name = 'Page Viewed';
SELECT * FROM pg_temp.members('visited');
UPDATE segment_crm.events SET occurred_at = '2025-01-01' WHERE contact_id = 4 AND name = 'Read';
SELECT * FROM pg_temp.members('did');
SELECT * FROM pg_temp.members('not');
DELETE FROM segment_crm.events WHERE contact_id = 1;
SELECT * FROM pg_temp.members('did%');
-- nobody's events are kept, and count when they are somebody's
INSERT INTO segment_crm.events (id, contact_id, name, occurred_at) VALUES (900, NULL, 'Read', '2024-02-28'), (901, 77, 'Read', '2024-02-28'), (902, 77, 'Read', '2024-02-28');
SELECT count(*) FROM segment_crm.events WHERE id >= 900;
SELECT * FROM pg_temp.members('did');
UPDATE segment_crm.events SET contact_id = 1 WHERE id = 900;
INSERT INTO segment_crm.contacts (id) VALUES (77), (78);
SELECT * FROM pg_temp.members('did');
SELECT * FROM pg_temp.members('did twice');
UPDATE segment_crm.events SET contact_id = NULL WHERE id = 900;
SELECT * FROM pg_temp.members('did');
SELECT contact, change, cause FROM segment_crm.segment_history WHERE segment = 'did twice' AND contact = 77 ORDER BY id;
DELETE FROM segment_crm.contacts WHERE id = 78;
SELECT * FROM pg_temp.members('everybody');
SELECT * FROM pg_temp.wrong();
TRUNCATE segment_crm.events;
SELECT * FROM pg_temp.members();
SELECT lifecycle_tick('segment_crm', '2025-06-01') IS NOT NULL AS ticked;
SELECT DISTINCT segment FROM segment_crm.segment_member ORDER BY 1;
SELECT * FROM pg_temp.wrong();

--
-- 6. Alter, rename, drop
--
INSERT INTO segment_crm.events (contact_id, name, occurred_at) VALUES (1, 'Read', '2025-05-31'), (2, 'Wrote', '2025-05-31');
SELECT lifecycle_alter_segment('segment_crm', 'did', predicate => $$did('Wrote')$$, description => 'Wrote something.');
SELECT * FROM pg_temp.members('did');
SELECT contact, change, cause FROM segment_crm.segment_history WHERE segment = 'did' ORDER BY id DESC LIMIT 2;
-- what names a segment follows it
SELECT lifecycle_alter_segment('segment_crm', 'did recently', predicate => $$did('Wrote', within => '7 days')$$);
SELECT * FROM pg_temp.members('chain%');
SELECT lifecycle_alter_segment('segment_crm', 'did recently', new_name => 'recently');
SELECT lifecycle_alter_segment('segment_crm', 'did', new_name => 'Wrote once');
SELECT * FROM pg_temp.members('Wrote%');
SELECT DISTINCT segment FROM segment_crm.segment_history WHERE segment IN ('did', 'Wrote once');
INSERT INTO segment_crm.events (contact_id, name, occurred_at) VALUES (3, 'Wrote', '2025-05-31');
SELECT * FROM pg_temp.members('Wrote%');
DELETE FROM oracle.segment WHERE name LIKE 'chain%' OR name LIKE 'did%';
SELECT * FROM pg_temp.wrong();
-- cycles
SELECT lifecycle_alter_segment('segment_crm', 'did recently', predicate => $$in_segment('chain 2')$$);
SELECT lifecycle_alter_segment('segment_crm', 'chain 1', predicate => $$in_segment('chain 1')$$);
SELECT lifecycle_drop_segment('segment_crm', 'did recently');
SELECT lifecycle_drop_segment('segment_crm', 'chain 2');
SELECT lifecycle_drop_segment('segment_crm', 'chain 1');
SELECT lifecycle_drop_segment('segment_crm', 'did recently');
SELECT * FROM pg_temp.members('%recently');
-- names of any kind
SELECT lifecycle_add_segment('segment_crm', 'it''s "quoted" 日本', 'true');
SELECT lifecycle_add_segment('segment_crm', 'names it', $$in_segment('it''s "quoted" 日本')$$);
SELECT lifecycle_in_segment('segment_crm', 1, 'it''s "quoted" 日本');
SELECT lifecycle_add_segment('segment_crm', repeat('x', 64), 'true');
SELECT lifecycle_in_segment('segment_crm', 1, 'names');
SELECT lifecycle_in_segment('segment_crm', 999, 'names it');
SELECT lifecycle_in_segment('segment_crm', 'x', 'names it');
SELECT lifecycle_in_segment('segment_crm', NULL::bigint, 'names it');

--
-- 7. Before it is saved: who would be in it, and how it is kept right
--
SELECT * FROM lifecycle_preview('segment_crm', $$did('Wrote') OR country = 'SE'$$) k ORDER BY k;
SELECT * FROM lifecycle_explain('segment_crm',
	$$did('A') AND did('A', times => 3) AND did('A', within => '7 days') AND event_sum('B', (properties->>'x')::numeric) > 1
	  AND visited('/pricing') AND country = 'FI' AND company.industry = 'Tools' AND in_segment('names it') AND event_last('C') > '2024-01-01'$$);
SELECT name FROM segment_crm.segment WHERE predicate LIKE '%company.industry = ''Tools'' AND in_segment%';
SELECT count(*) FROM segment_crm.problem;

--
-- 8. An expression that fails for one contact: not a member, a problem, and no
-- event is lost
--
SELECT lifecycle_add_segment('segment_crm', 'risky', $$10 / (length(country) - 2) > 0$$);
INSERT INTO segment_crm.contacts (id, country) VALUES (200, 'FIN'), (201, 'FI'), (202, NULL);
SELECT * FROM pg_temp.members('risky');
SELECT lifecycle_add_segment('segment_crm', 'risky sum', $$event_sum('Paid', (properties->>'amount')::numeric) > 10$$);
INSERT INTO segment_crm.events (contact_id, name, occurred_at, properties) VALUES
	(200, 'Paid', '2025-05-31', '{"amount": "20"}'), (201, 'Paid', '2025-05-31', '{"amount": "twenty"}'), (201, 'Read', '2025-05-31', '{}');
SELECT * FROM pg_temp.members('risky%');
SELECT count(*) FROM segment_crm.events WHERE contact_id IN (200, 201);
SELECT DISTINCT segment, contact, event, sqlstate, message FROM segment_crm.problem WHERE contact IN ('200', '201') ORDER BY 1, 2, 3;
SELECT item, value, detail FROM lifecycle_status('segment_crm') WHERE item = 'problem' AND value LIKE '%risky sum%';

DROP VIEW segment_event;
SELECT lifecycle_drop('segment_crm');
SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
