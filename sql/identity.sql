--
-- Identity: anonymous events, identification, merged contacts, erasure.
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

SELECT lifecycle_create('crm');
SELECT lifecycle_set('crm', 'clock', 'tick');
SELECT lifecycle_tick('crm', '2024-01-01 00:00+00') IS NOT NULL AS ticked;
ALTER TABLE crm.events ALTER COLUMN occurred_at SET DEFAULT '2024-01-01 00:00+00', ALTER COLUMN name SET DEFAULT 'Read';
SELECT lifecycle_add_segment('crm', 'Reader', $$did('Read')$$, stage => 'Lead');
SELECT lifecycle_add_segment('crm', 'Three', $$did('Read', times => 3)$$, stage => 'MQL');
SELECT lifecycle_add_segment('crm', 'This week', $$did('Read', within => '7 days')$$);
SELECT lifecycle_add_segment('crm', 'Talking', $$open_deals() > 0$$);
SELECT lifecycle_add_segment('crm', 'Finn', $$country = 'FI' AND NOT did('Left')$$);
SELECT lifecycle_add_rule('crm', 'Asked', 'event', 'set lead status', '{"status": "New"}', of => 'Asked');
INSERT INTO oracle.segment (model, name, query) VALUES
	('crm', 'Reader', $$SELECT id FROM crm.contacts c WHERE EXISTS (SELECT FROM crm.events e WHERE e.contact_id = c.id AND e.name = 'Read' AND e.occurred_at <= $1)$$),
	('crm', 'Three', $$SELECT id FROM crm.contacts c WHERE (SELECT count(*) FROM crm.events e WHERE e.contact_id = c.id AND e.name = 'Read' AND e.occurred_at <= $1) >= 3$$),
	('crm', 'This week', $$SELECT id FROM crm.contacts c WHERE EXISTS (SELECT FROM crm.events e WHERE e.contact_id = c.id AND e.name = 'Read' AND e.occurred_at <= $1 AND e.occurred_at > $1 - interval '7 days')$$),
	('crm', 'Talking', $$SELECT id FROM crm.contacts c WHERE EXISTS (SELECT FROM crm.deals d WHERE d.contact_id = c.id AND d.is_open)$$),
	('crm', 'Finn', $$SELECT id FROM crm.contacts c WHERE country = 'FI' AND NOT EXISTS (SELECT FROM crm.events e WHERE e.contact_id = c.id AND e.name = 'Left' AND e.occurred_at <= $1)$$);
CREATE FUNCTION pg_temp.wrong() RETURNS TABLE (what text, key text, expected text, actual text) LANGUAGE sql
AS $$SELECT * FROM oracle.check('crm', (SELECT last_tick FROM crm.clock))
UNION ALL SELECT what, key, stored, computed FROM lifecycle_verify('crm')$$;
CREATE VIEW standing AS
	SELECT c.id, c.email, c.stage, c.lead_status,
		(SELECT string_agg(e.id::text || coalesce(' ' || e.anonymous_id, ''), ', ' ORDER BY e.id) FROM crm.events e WHERE e.contact_id = c.id) AS events,
		(SELECT string_agg(m.segment, ', ' ORDER BY m.segment) FROM crm.segment_member m WHERE m.contact = c.id) AS segments
	FROM crm.contacts c ORDER BY c.id;

--
-- 1. Anonymous events wait until somebody says whose they are
--
INSERT INTO crm.contacts (id, email, country) VALUES (11, 'ada@example.org', 'FI'), (12, 'bob@example.org', NULL);
INSERT INTO crm.events (anonymous_id) VALUES ('cookie-1'), ('cookie-1'), ('cookie-2');
INSERT INTO crm.events (anonymous_id, name) VALUES ('cookie-1', 'Asked');
SELECT * FROM standing;
SELECT lifecycle_identify('crm', 'cookie-1', 11);
SELECT * FROM standing;
SELECT contact, segment, change, cause, event FROM crm.segment_history WHERE contact = 11 AND segment <> 'Finn' ORDER BY id;
SELECT * FROM pg_temp.wrong();
-- later ones need no contact, and set rules off
INSERT INTO crm.events (anonymous_id, name) VALUES ('cookie-1', 'Read'), ('cookie-1', 'Asked'), ('cookie-3', 'Read');
SELECT * FROM standing;
COPY crm.events (anonymous_id, contact_id) FROM stdin;
cookie-1	\N
cookie-2	\N
cookie-1	12
\.
SELECT * FROM standing;
SELECT * FROM pg_temp.wrong();
-- again: nothing new; to somebody else: what comes from now on
SELECT lifecycle_identify('crm', 'cookie-1', 11);
SELECT lifecycle_identify('crm', 'cookie-1', 12);
INSERT INTO crm.events (anonymous_id) VALUES ('cookie-1');
SELECT * FROM standing;
SELECT anonymous_id, contact, made_contact FROM crm.identity ORDER BY 1;
SELECT * FROM pg_temp.wrong();
-- by the function, and stored to be taken in later
SELECT lifecycle_track('crm', NULL, 'Read', anonymous_id => 'cookie-1');
SET lifecycle.import_mode = defer;
INSERT INTO crm.events (anonymous_id) VALUES ('cookie-1'), ('cookie-1');
RESET lifecycle.import_mode;
SELECT lifecycle_take_deferred('crm');
SELECT * FROM standing WHERE id = 12;
SELECT * FROM pg_temp.wrong();
-- a savepoint that is rolled back takes it with it
BEGIN;
SAVEPOINT s;
SELECT lifecycle_identify('crm', 'cookie-2', 12);
ROLLBACK TO s;
INSERT INTO crm.events (anonymous_id) VALUES ('cookie-2');
COMMIT;
SELECT count(*) FROM crm.events WHERE anonymous_id = 'cookie-2' AND contact_id IS NULL;
SELECT * FROM pg_temp.wrong();
SELECT lifecycle_identify('crm', 'cookie-2', 99);
SELECT lifecycle_identify('crm', NULL, 11);
SELECT lifecycle_identify('crm', 'cookie-2', 'no number');

--
-- 2. With anonymous = contact, a stranger is a contact
--
SELECT lifecycle_set('crm', 'anonymous', 'contacts');
SELECT lifecycle_set('crm', 'anonymous', 'contact');
SELECT * FROM standing;
SELECT * FROM pg_temp.wrong();
INSERT INTO crm.events (anonymous_id, message_id, name) VALUES ('cookie-4', 'm1', 'Read'), ('cookie-4', 'm2', 'Asked'), ('cookie-5', 'm1', 'Read') ON CONFLICT DO NOTHING;
INSERT INTO crm.events (anonymous_id, message_id) VALUES ('cookie-6', 'm2') ON CONFLICT DO NOTHING;
SELECT * FROM standing WHERE id < 11;
SELECT id, anonymous_id FROM crm.contacts WHERE anonymous_id IS NOT NULL ORDER BY id;
SELECT * FROM pg_temp.wrong();
-- identified: the contact that the id had made is merged
SELECT lifecycle_identify('crm', 'cookie-4', 12);
SELECT * FROM standing;
SELECT from_contact, into_contact, reason, made_contact FROM crm.contact_merge;
SELECT * FROM pg_temp.wrong();
-- a contact that cannot be made: the event stays, a problem says why
ALTER TABLE crm.contacts ADD CONSTRAINT need_email CHECK (email IS NOT NULL) NOT VALID;
INSERT INTO crm.events (anonymous_id) VALUES ('cookie-7');
SELECT contact_id, anonymous_id FROM crm.events WHERE anonymous_id = 'cookie-7';
SELECT sqlstate, message FROM crm.problem;
SELECT lifecycle_identify('crm', 'cookie-7', 12);
SELECT * FROM pg_temp.wrong();
DELETE FROM crm.problem;
ALTER TABLE crm.contacts DROP CONSTRAINT need_email;
SELECT lifecycle_set('crm', 'anonymous', 'ignore');

--
-- 3. Merging
--
INSERT INTO crm.companies (id, name) VALUES (1, 'Oy');
INSERT INTO crm.contacts (id, email, phone, country, company_id) VALUES
	(21, 'eve@example.org', '555-0101', 'FI', 1), (22, 'eve@example.com', '', NULL, NULL);
INSERT INTO crm.events (contact_id, name) VALUES (21, 'Read'), (21, 'Read'), (22, 'Read'), (22, 'Left'), (21, 'Never named');
INSERT INTO crm.deals (id, contact_id, pipeline, stage, amount) VALUES
	(31, 21, 'Sales', 'Contract sent', 1000), (32, 22, 'Sales', 'Appointment scheduled', 50), (33, 21, 'Sales', 'Closed lost', 7);
SELECT lifecycle_identify('crm', 'cookie-21', 21);
SELECT lifecycle_add_task('crm', 21, 'Call Eve') AS task \gset
SELECT * FROM standing WHERE id IN (21, 22);
SELECT lifecycle_merge('crm', 21, 22, 'the same person') AS merge \gset
SELECT * FROM standing WHERE id IN (21, 22);
SELECT id, email, phone, country, company_id FROM crm.contacts WHERE id IN (21, 22);
SELECT id, contact_id, stage, is_open, amount FROM crm.deals ORDER BY id;
SELECT contact, title, status FROM crm.task;
SELECT from_stage, to_stage, cause, reason FROM crm.stage_history WHERE contact IN (21, 22) ORDER BY id;
SELECT deal, contact, from_stage, to_stage, cause FROM crm.deal_history WHERE cause = 'merge' ORDER BY id;
SELECT contact, segment, change, cause FROM crm.segment_history WHERE cause = 'merge' AND contact IN (21, 22) ORDER BY contact, segment;
SELECT from_contact, into_contact, filled, stage_before, stage_after, cardinality(events) AS events, deals, anonymous_ids FROM crm.contact_merge WHERE id = :merge;
SELECT * FROM pg_temp.wrong();
-- who still writes to the old key writes to the survivor
INSERT INTO crm.events (contact_id, anonymous_id, name) VALUES (21, NULL, 'Read'), (NULL, 'cookie-21', 'Asked'), (21, NULL, 'Never named');
UPDATE crm.events SET contact_id = 21 WHERE contact_id = 12 AND name = 'Asked';
SELECT * FROM standing WHERE id IN (12, 21, 22);
SELECT * FROM pg_temp.wrong();

-- what cannot be
SELECT lifecycle_merge('crm', 22, 22);
SELECT lifecycle_merge('crm', 21, 11);
SELECT lifecycle_merge('crm', 11, 21);
SELECT lifecycle_merge('crm', 98, 99);
SELECT lifecycle_unmerge('crm', 12345);
CREATE TABLE crm_note (contact bigint REFERENCES crm.contacts ON DELETE CASCADE, note text);
INSERT INTO crm_note VALUES (22, 'call back');
SELECT lifecycle_merge('crm', 22, 11);
DROP TABLE crm_note;
-- the user's trigger may write to events too
CREATE FUNCTION crm_touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
	UPDATE crm.events SET properties = properties || '{"seen": true}' WHERE contact_id = NEW.contact_id AND NOT properties ? 'seen';
	RETURN NULL; END$$;
CREATE TRIGGER touch AFTER UPDATE OF contact_id ON crm.events FOR EACH ROW WHEN (NEW.contact_id IS NOT NULL) EXECUTE FUNCTION crm_touch();
INSERT INTO crm.events (anonymous_id, name) VALUES ('cookie-21', 'Read'), ('cookie-21', 'Left');
SELECT * FROM pg_temp.wrong();
DROP TRIGGER touch ON crm.events;

-- chains are undone from the last to the first
SELECT lifecycle_merge('crm', 22, 11) AS second \gset
INSERT INTO crm.events (contact_id) VALUES (21), (22);
SELECT * FROM standing WHERE id IN (11, 21, 22);
SELECT * FROM pg_temp.wrong();
SELECT lifecycle_unmerge('crm', :merge);
SELECT lifecycle_unmerge('crm', :second);
SELECT * FROM standing WHERE id IN (11, 21, 22);
SELECT * FROM pg_temp.wrong();
SELECT lifecycle_unmerge('crm', :merge);
SELECT * FROM standing WHERE id IN (11, 21, 22);
SELECT contact, title, status FROM crm.task;
SELECT id, email, phone, country, company_id FROM crm.contacts WHERE id IN (21, 22);
SELECT id, contact_id, stage, is_open, amount, close_date IS NULL AS no_close_date FROM crm.deals ORDER BY id;
SELECT * FROM pg_temp.wrong();
SELECT lifecycle_unmerge('crm', :merge);
-- in a transaction that is rolled back
BEGIN;
SELECT lifecycle_merge('crm', 21, 22) IS NOT NULL AS merged;
INSERT INTO crm.events (contact_id) VALUES (21);
SELECT * FROM pg_temp.wrong();
ROLLBACK;
INSERT INTO crm.events (contact_id) VALUES (21);
SELECT * FROM standing WHERE id IN (21, 22);
SELECT * FROM pg_temp.wrong();

-- A key that was merged is a contact again, and has events of its own; when it
-- goes, they are the survivor's.  So are those that come while the survivor is
-- not there, once it is back.
INSERT INTO crm.contacts (id, email) SELECT i, 'again' || i FROM generate_series(41, 45) AS i;
SELECT lifecycle_merge('crm', 41, 42) IS NOT NULL AND lifecycle_merge('crm', 42, 43) IS NOT NULL AS merged;
INSERT INTO crm.contacts (id) VALUES (41), (42);
INSERT INTO crm.events (contact_id, name) VALUES (41, 'Read'), (42, 'Read'), (42, 'Asked'), (43, 'Read');
SELECT * FROM standing WHERE id IN (41, 42, 43);
SELECT * FROM pg_temp.wrong();
DELETE FROM crm.contacts WHERE id = 42;
SELECT * FROM standing WHERE id IN (41, 42, 43);
SELECT * FROM pg_temp.wrong();
-- nobody is left, and one after the other comes
DELETE FROM crm.contacts WHERE id IN (41, 43);
INSERT INTO crm.events (contact_id, name) VALUES (41, 'Read'), (42, 'Read'), (43, 'Left');
SELECT * FROM pg_temp.wrong();
INSERT INTO crm.contacts (id) VALUES (43), (46);
SELECT * FROM standing WHERE id BETWEEN 41 AND 46;
SELECT * FROM pg_temp.wrong();
-- a key that changes is gone too, and another has come; rolled back, none has
INSERT INTO crm.contacts (id) VALUES (41);
INSERT INTO crm.events (contact_id, name) VALUES (41, 'Left');
BEGIN;
DELETE FROM crm.contacts WHERE id = 41;
SELECT * FROM standing WHERE id IN (41, 43);
ROLLBACK;
UPDATE crm.contacts SET id = 47 WHERE id = 41;
SELECT * FROM standing WHERE id IN (41, 43, 47);
SELECT * FROM pg_temp.wrong();
SELECT count(*) FROM crm.problem;
-- what came where no trigger saw it is found, and repaired, along the chain: 42 was
-- merged once more, and the later merge counts
INSERT INTO crm.contacts (id) VALUES (42);
SELECT lifecycle_merge('crm', 42, 44) IS NOT NULL AS merged;
SET session_replication_role = replica;
INSERT INTO crm.events (contact_id, name) VALUES (41, 'Read'), (42, 'Asked');
RESET session_replication_role;
SELECT what, key, computed FROM lifecycle_verify('crm') ORDER BY key;
SELECT lifecycle_rebuild('crm') > 0 AS rebuilt;
SELECT * FROM standing WHERE id BETWEEN 41 AND 44;
SELECT * FROM pg_temp.wrong();

--
-- 4. Forgetting
--
-- every place where one of these texts stands in the schemas
CREATE FUNCTION pg_temp.found(schemas text[], VARIADIC texts text[]) RETURNS TABLE (place text, rows bigint) LANGUAGE plpgsql AS $$
DECLARE t record;
BEGIN
	FOR t IN SELECT c.oid::regclass AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = ANY (schemas) AND c.relkind IN ('r', 'p') ORDER BY 1
	LOOP
		RETURN QUERY EXECUTE format($q$SELECT %L, count(*) FROM %s x
			WHERE EXISTS (SELECT FROM unnest($1) u WHERE x::text LIKE '%%' || u || '%%') HAVING count(*) > 0$q$, t.name, t.name) USING texts;
	END LOOP;
END $$;
INSERT INTO crm.contacts (id, email, first_name, country) VALUES (987654301, 'zoe@example.org', 'Zoe', 'FI'), (987654302, 'zoe@example.com', NULL, NULL);
SELECT lifecycle_add_rule('crm', 'Tell', 'segment entered', 'notify', '{"payload": {"email": "email"}}', of => 'Three');
SELECT lifecycle_add_rule('crm', 'Meet', 'event', 'create deal', '{"name": "''For '' || email", "amount": "100"}', of => 'Meet');
SELECT lifecycle_add_segment('crm', 'Broken', $$country::int > 0 AND did('Read')$$);
INSERT INTO crm.events (anonymous_id) VALUES ('cookie-zoe-1'), ('cookie-zoe-2');
INSERT INTO crm.events (contact_id, anonymous_id, name) VALUES (987654301, 'cookie-zoe-2', 'Read'), (987654301, NULL, 'Meet'), (987654302, NULL, 'Read'), (987654302, NULL, 'Read'), (987654302, NULL, 'Asked');
SELECT lifecycle_identify('crm', 'cookie-zoe-1', 987654302);
SELECT lifecycle_advance('crm', 987654301, 'SQL', 'zoe@example.org said so');
SELECT lifecycle_merge('crm', 987654301, 987654302) IS NOT NULL AS merged;
-- a message that a consumer has taken, events that wait, a task, a problem that
-- quotes, and tables that say nothing of contacts
INSERT INTO crm.companies (id, name) VALUES (9, 'Zoo');
UPDATE crm.contacts SET company_id = 9 WHERE id = 987654302;
SELECT lifecycle_advance('crm', 987654302, 'Opportunity', 'zoe@example.com signs');
SELECT lifecycle_set_lead_status('crm', 987654302, 'Open', 'called cookie-zoe-1');
SELECT lifecycle_add_task('crm', 987654302, 'Call zoe@example.com') IS NOT NULL AS task;
SELECT lifecycle_add_segment('crm', 'Quotes', $$email::int > 0 AND did('Asked')$$);
INSERT INTO crm.events (contact_id, name, properties) VALUES (987654302, 'Asked', '{"mail": "zoe@example.com"}');
SELECT count(*) > 0 AS taken FROM lifecycle_take('crm', 100);
SET lifecycle.import_mode = defer;
INSERT INTO crm.events (contact_id, anonymous_id, name) VALUES (987654302, 'cookie-zoe-3', 'Read'), (NULL, 'cookie-zoe-1', 'Read');
RESET lifecycle.import_mode;
SELECT * FROM pg_temp.found('{crm,lifecycle}', '98765430', 'zoe@', 'cookie-zoe');
SELECT lifecycle_forget('crm', 987654301);
SELECT lifecycle_forget('crm', 987654302) > 10 AS forgotten;
-- in no table of the model, of the registry, or of the application
SELECT * FROM pg_temp.found('{crm,lifecycle}', '98765430', 'zoe@', 'cookie-zoe');
SELECT contact_id, name, stage, amount FROM crm.deals WHERE amount = 100;
SELECT lifecycle_drop_segment('crm', 'Quotes');
SELECT lifecycle_drop_segment('crm', 'Broken');
SELECT * FROM pg_temp.wrong();
SELECT lifecycle_forget('crm', 987654302);
SELECT lifecycle_forget('crm', 987654301);
-- one who was deleted before has left a history
DELETE FROM crm.contacts WHERE id = 12;
SELECT lifecycle_forget('crm', 12) > 0 AS forgotten;
SELECT * FROM pg_temp.wrong();

--
-- 5. Keys of other types, tables of one's own, partitions
--
CREATE SCHEMA shop;
CREATE TABLE shop.people (code text PRIMARY KEY, mail text UNIQUE, visitor_id text, company_id int);
CREATE TABLE shop.log (customer_id text, kind text, ts timestamptz DEFAULT '2024-01-01', visitor_id uuid) PARTITION BY LIST (kind);
CREATE TABLE shop.log_view PARTITION OF shop.log FOR VALUES IN ('view');
CREATE TABLE shop.log_rest PARTITION OF shop.log DEFAULT;
SELECT object, role, "column", chosen_by FROM lifecycle_attach('shopm', 'shop.people', 'shop.log', columns => '{"events": {"contact": "customer_id"}}');
SELECT lifecycle_add_segment('shopm', 'Viewer', $$did('view')$$, stage => 'Lead');
INSERT INTO oracle.segment (model, name, query) VALUES
	('shopm', 'Viewer', $$SELECT code FROM shop.people c WHERE EXISTS (SELECT FROM shop.log e WHERE e.customer_id = c.code AND e.kind = 'view' AND e.ts <= $1)$$);
SELECT lifecycle_set('shopm', 'anonymous', 'contact');
INSERT INTO shop.log (kind, visitor_id) VALUES ('view', '00000000-0000-0000-0000-000000000001'), ('buy', '00000000-0000-0000-0000-000000000002');
INSERT INTO shop.log_view (kind, visitor_id) VALUES ('view', '00000000-0000-0000-0000-000000000002');
INSERT INTO shop.people (code, mail) VALUES ('ada', 'ada@example.org');
SELECT code, mail, visitor_id, stage FROM shop.people ORDER BY 1;
SELECT lifecycle_identify('shopm', '00000000-0000-0000-0000-000000000001', 'ada');
INSERT INTO shop.log_view (kind, visitor_id) VALUES ('view', '00000000-0000-0000-0000-000000000001');
SELECT customer_id, kind, visitor_id FROM shop.log ORDER BY 1, 2, 3;
SELECT * FROM oracle.check('shopm', now());
SELECT * FROM lifecycle_verify('shopm');
SELECT lifecycle_unmerge('shopm', 1);
SELECT lifecycle_merge('shopm', '00000000-0000-0000-0000-000000000002', 'ada');
SELECT code, mail, visitor_id, stage FROM shop.people ORDER BY 1;
SELECT lifecycle_forget('shopm', 'ada') > 0 AS forgotten;
SELECT * FROM pg_temp.found('{shop,shopm}', 'ada', '00000000');
SELECT * FROM oracle.check('shopm', now());

CREATE TABLE uuid_contacts (id uuid PRIMARY KEY, email text UNIQUE);
CREATE TABLE uuid_events (id bigserial PRIMARY KEY, contact_id uuid REFERENCES uuid_contacts, event text, occurred_at timestamptz DEFAULT '2024-01-01', anonymous_id uuid);
SELECT count(*) FROM lifecycle_attach('uuidm', 'uuid_contacts', 'uuid_events');
SELECT lifecycle_add_segment('uuidm', 'Twice', $$did('Read', times => 2)$$);
INSERT INTO oracle.segment (model, name, query) VALUES
	('uuidm', 'Twice', $$SELECT id FROM public.uuid_contacts c WHERE (SELECT count(*) FROM public.uuid_events e WHERE e.contact_id = c.id AND e.event = 'Read' AND e.occurred_at <= $1) >= 2$$);
INSERT INTO uuid_contacts VALUES ('00000000-0000-0000-0000-00000000000a', 'a@example.org'), ('00000000-0000-0000-0000-00000000000b', NULL);
INSERT INTO uuid_events (contact_id, event, anonymous_id) VALUES
	('00000000-0000-0000-0000-00000000000a', 'Read', NULL), ('00000000-0000-0000-0000-00000000000b', 'Read', NULL),
	(NULL, 'Read', '00000000-0000-0000-0000-0000000000ff');
SELECT lifecycle_merge('uuidm', '00000000-0000-0000-0000-00000000000a'::uuid, '00000000-0000-0000-0000-00000000000b'::uuid);
SELECT * FROM uuid_contacts;
SELECT * FROM oracle.check('uuidm', now());
SELECT lifecycle_unmerge('uuidm', 1);
SELECT id, email FROM uuid_contacts ORDER BY id;
SELECT lifecycle_identify('uuidm', '00000000-0000-0000-0000-0000000000ff', '00000000-0000-0000-0000-00000000000b');
SELECT segment, contact FROM uuidm.segment_member;
SELECT * FROM oracle.check('uuidm', now());
SELECT * FROM lifecycle_verify('uuidm');

-- Whoever clears the contact of an event leaves it to its anonymous id; not so
-- when the contact itself is deleted.
UPDATE uuid_events SET contact_id = NULL;
SELECT contact_id, anonymous_id FROM uuid_events ORDER BY 1, 2;
SELECT segment, contact FROM uuidm.segment_member;
SELECT * FROM lifecycle_verify('uuidm');
ALTER TABLE uuid_events DROP CONSTRAINT uuid_events_contact_id_fkey, ADD FOREIGN KEY (contact_id) REFERENCES uuid_contacts ON DELETE SET NULL;
DELETE FROM uuid_contacts WHERE id = '00000000-0000-0000-0000-00000000000b';
SELECT contact_id, anonymous_id FROM uuid_events ORDER BY 1, 2;
SELECT * FROM oracle.check('uuidm', now());
SELECT * FROM lifecycle_verify('uuidm');

--
-- 6. Rights: those that the statements would need
--
CREATE ROLE identity_app;
GRANT USAGE ON SCHEMA crm TO identity_app;
GRANT INSERT ON crm.events TO identity_app;
SELECT lifecycle_set('crm', 'anonymous', 'contact');
SET ROLE identity_app;
INSERT INTO crm.events (anonymous_id, name) VALUES ('cookie-app', 'Read'), ('cookie-1', 'Read');
SELECT lifecycle_identify('crm', 'cookie-app', 11);
SELECT lifecycle_merge('crm', 21, 22);
SELECT lifecycle_forget('crm', 21);
SELECT lifecycle.identify_strangers('crm');
RESET ROLE;
GRANT SELECT, UPDATE, DELETE ON crm.contacts, crm.events, crm.deals TO identity_app;
SET ROLE identity_app;
SELECT lifecycle_identify('crm', 'cookie-app', 11);
SELECT lifecycle_merge('crm', 21, 22) IS NOT NULL AS merged;
RESET ROLE;
ALTER TABLE crm.events ENABLE ROW LEVEL SECURITY;
SET ROLE identity_app;
SELECT lifecycle_merge('crm', 11, 22);
RESET ROLE;
SELECT * FROM pg_temp.wrong();

SET client_min_messages = warning;
DROP VIEW standing;
SELECT lifecycle_drop('crm'), lifecycle_drop('shopm'), lifecycle_drop('uuidm');
DROP SCHEMA shop CASCADE;
DROP TABLE uuid_events, uuid_contacts;
DROP SCHEMA oracle CASCADE;
DROP ROLE identity_app;
DROP FUNCTION crm_touch();
