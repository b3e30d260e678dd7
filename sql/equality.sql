--
-- Filters that compare for equality: an event finds their atoms by its values,
-- and must find neither less nor more than the filter says.
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

SELECT lifecycle_create('equality_crm', 'empty');
SELECT lifecycle_set('equality_crm', 'clock', 'tick');
SELECT contacts FROM lifecycle_tick('equality_crm', '2024-03-01 00:00+00');
ALTER TABLE equality_crm.events ALTER COLUMN name SET DEFAULT 'Page Viewed',
	ALTER COLUMN occurred_at SET DEFAULT '2024-02-01 00:00+00',
	ADD COLUMN site integer, ADD COLUMN visit uuid, ADD COLUMN kind varchar(10);
CREATE FUNCTION pg_temp.wrong() RETURNS TABLE (what text, key text, expected text, actual text) LANGUAGE sql
AS 'SELECT * FROM oracle.check(''equality_crm'', ''2024-03-01 00:00+00'')';
-- did at least once what the condition says, for the engine and for the oracle
CREATE FUNCTION pg_temp.add(name text, condition text) RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO oracle.segment (model, name, query) VALUES ('equality_crm', name, format(
		'SELECT id FROM equality_crm.contacts c WHERE EXISTS (SELECT FROM equality_crm.events e WHERE e.contact_id = c.id'
		' AND e.name = ''Page Viewed'' AND e.occurred_at <= $1 AND (%s))', condition));
	SELECT lifecycle_add_segment('equality_crm', name, format('did(''Page Viewed'', %s)', condition)) $$;
CREATE VIEW equality_members AS
SELECT segment, string_agg(contact::text, ' ' ORDER BY contact) AS contacts FROM equality_crm.segment_member GROUP BY 1 ORDER BY 1;

--
-- 1. What is a key, and what is not
--
INSERT INTO equality_crm.contacts (id) SELECT generate_series(1, 8);
SELECT pg_temp.add('path', $$properties->>'path' = '/pricing'$$);
SELECT pg_temp.add('path turned', $$'/docs' = properties->>'path'$$);
SELECT pg_temp.add('path quoted', $$properties->>'path' = 'it''s, '$$);
SELECT pg_temp.add('path like', $$properties->>'path' LIKE '/about'$$);
SELECT pg_temp.add('path pattern', $$properties->>'path' LIKE '/doc%'$$);
SELECT pg_temp.add('site', $$site = 7$$);
SELECT pg_temp.add('site bigint', $$7::bigint = site$$);
SELECT pg_temp.add('visit', $$visit = '00000000-0000-0000-0000-00000000000A'$$);
SELECT pg_temp.add('kind', $$kind = 'new'$$);
SELECT pg_temp.add('two', $$properties->>'path' = '/pricing' AND site = 7$$);
SELECT pg_temp.add('two others', $$properties->>'path' = '/docs' AND site = 8$$);
SELECT pg_temp.add('more', $$properties->>'path' = '/pricing' AND properties->>'plan' <> 'free'$$);
SELECT pg_temp.add('more first', $$properties->>'plan' IS NULL AND properties->>'path' = '/docs'$$);
SELECT pg_temp.add('cast', $$properties->>'path' = '/amount' AND (properties->>'n')::int > 3$$);
SELECT pg_temp.add('either', $$properties->>'path' = '/pricing' OR site = 8$$);
SELECT pg_temp.add('not', $$NOT properties->>'path' = '/pricing'$$);
SELECT pg_temp.add('json', $$properties->'path' = '"/pricing"'$$);
SELECT pg_temp.add('number', $$(properties->>'n')::numeric = 1.0$$);
-- a collation of its own, of which the text of a planned expression says nothing
SELECT pg_temp.add('lower', $$lower(properties->>'path') = '/ärger'$$);
SELECT pg_temp.add('lower by bytes', $$lower((properties->>'path') COLLATE "POSIX") = '/ärger'$$);
SELECT pg_temp.add('lower by language', $$lower((properties->>'path') COLLATE "und-x-icu") = '/ärger'$$);
SELECT lifecycle_add_segment('equality_crm', 'visited', $$visited('/pricing')$$);
INSERT INTO oracle.segment (model, name, query) SELECT model, 'visited', query FROM oracle.segment WHERE name = 'path';
SELECT s.name, a.key, a.key_value FROM equality_crm.segment s JOIN equality_crm.atom a ON a.id = s.atoms[1] ORDER BY s.id;

INSERT INTO equality_crm.events (contact_id, properties, site, visit, kind) VALUES
	(1, '{"path": "/pricing", "plan": "pro"}', 7, '00000000-0000-0000-0000-00000000000a', 'new'),
	(2, '{"path": "/docs"}', 8, NULL, 'old'),
	(3, '{"path": "it''s, ", "n": "1.00"}', NULL, NULL, NULL),
	(4, '{}', 7, NULL, NULL),
	(5, '{"path": null, "n": 1}', NULL, '00000000-0000-0000-0000-00000000000b', NULL),
	(6, '{"path": "/about"}', 8, NULL, NULL),
	(7, '{"path": "/pricing", "plan": "free"}', NULL, NULL, NULL),
	(8, '{"path": "/amount", "n": 4}', NULL, NULL, NULL),
	(5, '{"path": "/ÄRGER"}', NULL, NULL, NULL),
	(6, '{"path": "/ärger"}', NULL, NULL, NULL);
SELECT * FROM equality_members;
SELECT * FROM pg_temp.wrong();

--
-- 2. Updates and deletes find the atoms of the old values and the new ones
--
UPDATE equality_crm.events SET properties = '{"path": "/docs"}', site = 8 WHERE contact_id = 1;
SELECT segment FROM equality_crm.segment_member WHERE contact = 1 ORDER BY 1;
DELETE FROM equality_crm.events WHERE contact_id IN (2, 7);
UPDATE equality_crm.events SET kind = 'old' WHERE properties->>'path' LIKE '/%RGER';
UPDATE equality_crm.events SET contact_id = 2 WHERE contact_id = 3;
SELECT * FROM equality_members;
SELECT * FROM pg_temp.wrong();

--
-- 3. More values than are looked up one by one, in one statement and in many
--
SELECT count(pg_temp.add('page ' || i, format('properties->>''path'' = ''/page/%s''', i))) FROM generate_series(1, 50) i;
INSERT INTO equality_crm.events (contact_id, properties)
SELECT 1 + i % 8, jsonb_build_object('path', '/page/' || i) FROM generate_series(-20, 100) i;
SELECT count(*) FROM equality_crm.segment_member WHERE segment LIKE 'page %';
SELECT * FROM pg_temp.wrong();
DO $$
BEGIN
	FOR i IN REVERSE 60 .. -5 LOOP
		INSERT INTO equality_crm.events (contact_id, properties) VALUES (1 + (i + 8) % 7, jsonb_build_object('path', '/page/' || i));
	END LOOP;
END
$$;
SELECT count(*) FROM equality_crm.segment_member WHERE segment LIKE 'page %';
SELECT * FROM pg_temp.wrong();
-- a segment that comes and one that goes, while values are known
SELECT pg_temp.add('page 99', $$properties->>'path' = '/page/99'$$);
DELETE FROM oracle.segment WHERE name = 'page 1';
SELECT lifecycle_drop_segment('equality_crm', 'page 1');
INSERT INTO equality_crm.events (contact_id, properties) SELECT i, '{"path": "/page/99"}' FROM generate_series(1, 4) i;
INSERT INTO equality_crm.events (contact_id, properties) SELECT i, '{"path": "/page/1"}' FROM generate_series(1, 4) i;
SELECT contact FROM equality_crm.segment_member WHERE segment = 'page 99' ORDER BY 1;
SELECT * FROM pg_temp.wrong();

--
-- 4. Another path for page views, and another type of a column
--
SELECT lifecycle_set('equality_crm', 'page_view_path', $$properties->>'url'$$);
UPDATE oracle.segment SET query = replace(query, '>>''path''', '>>''url''') WHERE name = 'visited';
SELECT a.key FROM equality_crm.segment s JOIN equality_crm.atom a ON a.id = s.atoms[1] WHERE s.name = 'visited';
INSERT INTO equality_crm.events (contact_id, properties) VALUES (4, '{"url": "/pricing"}');
SELECT contact FROM equality_crm.segment_member WHERE segment = 'visited' ORDER BY 1;
ALTER TABLE equality_crm.events ALTER COLUMN kind TYPE text, ALTER COLUMN site TYPE numeric;
INSERT INTO equality_crm.events (contact_id, site, kind) VALUES (5, 7.0, 'new'), (6, 7.5, 'newer');
SELECT segment, contact FROM equality_crm.segment_member WHERE segment IN ('site', 'site bigint', 'kind') ORDER BY 1, 2;
SELECT * FROM pg_temp.wrong();

--
-- 5. Errors count as they do without keys: for the segments whose filter
-- fails on the event, and for no others
--
SELECT lifecycle_create('equality_error', 'empty');
ALTER TABLE equality_error.events ALTER COLUMN name SET DEFAULT 'Paid', ALTER COLUMN occurred_at SET DEFAULT '2024-02-01 00:00+00';
INSERT INTO equality_error.contacts (id) SELECT generate_series(1, 3);
SELECT lifecycle_add_segment('equality_error', 'one', $$did('Paid', (properties->>'n')::int = 1)$$),
	lifecycle_add_segment('equality_error', 'two', $$did('Paid', (properties->>'n')::int = 2)$$),
	lifecycle_add_segment('equality_error', 'good', $$did('Paid', properties->>'p' = 'a' AND (properties->>'m')::int > 0)$$),
	lifecycle_add_segment('equality_error', 'plain', $$did('Paid', properties->>'p' = 'b')$$);
INSERT INTO equality_error.events (contact_id, properties) VALUES (1, '{"n": 1, "p": "a", "m": 1}'), (2, '{"n": 2, "p": "b"}'), (3, '{"n": 2}');
SELECT segment, contact FROM equality_error.segment_member ORDER BY 1, 2;
-- n fails for contact 1, and m only where p is a
INSERT INTO equality_error.events (contact_id, properties) VALUES (1, '{"n": "x", "p": "b", "m": "x"}'), (2, '{"n": 1, "p": "b", "m": "x"}');
SELECT segment, contact FROM equality_error.segment_member ORDER BY 1, 2;
SELECT segment, contact, message FROM equality_error.problem ORDER BY 1, 2;
INSERT INTO equality_error.events (contact_id, properties) VALUES (2, '{"n": 1, "p": "a", "m": "x"}'), (3, '{"n": 1}');
SELECT segment, contact FROM equality_error.segment_member ORDER BY 1, 2;
SELECT segment, contact, message FROM equality_error.problem ORDER BY 1, 2;
DELETE FROM equality_error.events WHERE properties->>'n' = 'x' OR properties->>'m' = 'x';
SELECT segment, contact FROM equality_error.segment_member ORDER BY 1, 2;
SELECT * FROM lifecycle_verify('equality_error');

SELECT lifecycle_drop('equality_error');
DROP VIEW equality_members;
SELECT lifecycle_drop('equality_crm');
SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
