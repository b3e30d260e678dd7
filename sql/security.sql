--
-- Security: who may do what, and what an attacker gets.
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

CREATE ROLE regress_lifecycle_owner;
CREATE ROLE regress_lifecycle_loader;
CREATE ROLE regress_lifecycle_mallory;
DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO regress_lifecycle_owner, regress_lifecycle_mallory', current_database()); END $$;
SET ROLE regress_lifecycle_owner;
SELECT lifecycle_create('security_crm');
SELECT lifecycle_add_segment('security_crm', 'Reader', $$did('Read', properties->>'kind' = 'book') AND lower(country) = 'fi'$$, stage => 'MQL');
INSERT INTO security_crm.companies (id) VALUES (1);
INSERT INTO security_crm.contacts (id, country, company_id) VALUES (1, 'FI', 1), (2, 'FI', 1), (3, 'FI', NULL);
GRANT USAGE ON SCHEMA security_crm TO regress_lifecycle_loader, regress_lifecycle_mallory;
GRANT INSERT ON security_crm.events TO regress_lifecycle_loader;
RESET ROLE;

--
-- 1. Inserting an event needs INSERT on events and nothing else
--
SET ROLE regress_lifecycle_loader;
INSERT INTO security_crm.events (contact_id, name, properties) VALUES (1, 'Read', '{"kind": "book"}');
INSERT INTO security_crm.events (contact_id, name) VALUES (2, 'Meeting Booked');
COPY security_crm.events (contact_id, name, properties) FROM stdin;
2	Read	{"kind": "book"}
\.
SELECT lifecycle_track('security_crm', 3, 'Read', '{"kind": "book"}');
-- and gives nothing else
SELECT * FROM security_crm.contacts;
SELECT * FROM security_crm.events;
SELECT * FROM security_crm.segment_member;
UPDATE security_crm.contacts SET stage = 'Customer';
SELECT lifecycle_advance('security_crm', 1, 'Customer');
SELECT lifecycle_set_stage('security_crm', 1, 'Customer');
SELECT lifecycle_set_lead_status('security_crm', 1, 'Connected');
SELECT lifecycle_in_segment('security_crm', 1, 'Reader');
SELECT lifecycle_preview('security_crm', 'true');
SELECT lifecycle_tick('security_crm');
SELECT lifecycle_rebuild('security_crm');
SELECT lifecycle_rebuild('security_crm', 1);
SELECT lifecycle_add_segment('security_crm', 'Mine', 'true');
SELECT lifecycle_drop_segment('security_crm', 'Reader');
SELECT lifecycle_add_rule('security_crm', 'Mine', 'event', 'notify', of => 'Read');
SELECT lifecycle_set('security_crm', 'notify', 'off');
SELECT lifecycle_add_stage('security_crm', 'Mine');
SELECT lifecycle_detach('security_crm');
SELECT lifecycle_drop('security_crm');
SELECT lifecycle.take_in('security_crm');
SELECT lifecycle.reload('security_crm');
INSERT INTO lifecycle.model (name, contacts, template) VALUES ('security_crm2', 'security_crm.contacts', 'empty');
UPDATE lifecycle.model SET template = 'x' WHERE name = 'security_crm';
DELETE FROM lifecycle.model WHERE name = 'security_crm';
RESET ROLE;
SELECT id, stage FROM security_crm.contacts ORDER BY id;
SELECT segment, contact FROM security_crm.segment_member ORDER BY 1, 2;
SELECT contact_id, stage FROM security_crm.deals;
SELECT DISTINCT object, role FROM security_crm.stage_history WHERE cause <> 'import' ORDER BY 1;

--
-- 2. Trigger functions: only as the trigger that they are
--
SELECT lifecycle.events_insert();
SELECT p.proname, has_function_privilege('public', p.oid, 'EXECUTE') AS public
FROM pg_proc p WHERE p.pronamespace = 'lifecycle'::regnamespace AND p.prorettype = 'trigger'::regtype
  AND has_function_privilege('public', p.oid, 'EXECUTE');
SET ROLE regress_lifecycle_mallory;
CREATE TEMPORARY TABLE mine (id bigint, contact_id bigint, name text);
CREATE TRIGGER mine AFTER INSERT ON mine FOR EACH STATEMENT EXECUTE FUNCTION lifecycle.events_insert();
RESET ROLE;
-- a superuser may put them anywhere, and is told
CREATE TEMPORARY TABLE other (id bigint, contact_id bigint, name text, stage text);
INSERT INTO other VALUES (1, 1, 'Read', 'Lead');
DO $$
DECLARE
	f record;
	form text;
	message text;
BEGIN
	FOR f IN SELECT proname FROM pg_proc WHERE pronamespace = 'lifecycle'::regnamespace AND prorettype = 'trigger'::regtype
			 AND prolang = (SELECT oid FROM pg_language WHERE lanname = 'c') ORDER BY proname LOOP
		FOREACH form IN ARRAY ARRAY[
			'AFTER INSERT ON other FOR EACH STATEMENT', 'AFTER INSERT ON other FOR EACH ROW', 'BEFORE INSERT ON other FOR EACH ROW',
			'AFTER INSERT ON other REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT',
			'BEFORE INSERT ON other FOR EACH STATEMENT', 'AFTER UPDATE ON other REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT',
			'AFTER DELETE ON other REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT', 'AFTER TRUNCATE ON other FOR EACH STATEMENT',
			'BEFORE INSERT OR UPDATE OF stage ON other FOR EACH ROW'] LOOP
			BEGIN
				EXECUTE format('CREATE TRIGGER t %s EXECUTE FUNCTION lifecycle.%I()', form, f.proname);
				INSERT INTO other VALUES (2, 1, 'Read', 'Lead');
				UPDATE other SET id = 3, stage = 'x' WHERE id = 2;
				DELETE FROM other WHERE id = 3;
				TRUNCATE other;
				RAISE NOTICE '% says nothing', f.proname;
				RAISE division_by_zero;
			EXCEPTION
				WHEN division_by_zero THEN NULL;
				WHEN OTHERS THEN
					IF sqlstate NOT IN ('39P01', '55000') THEN
						RAISE NOTICE '% %: % %', f.proname, form, sqlstate, sqlerrm;
					END IF;
			END;
		END LOOP;
	END LOOP;
END $$;
-- the same on a table of a model, in the wrong place
CREATE TRIGGER wrong AFTER INSERT ON security_crm.events REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION lifecycle.contacts_insert();
INSERT INTO security_crm.events (contact_id, name) VALUES (1, 'Read');
DROP TRIGGER wrong ON security_crm.events;
CREATE TRIGGER wrong AFTER INSERT ON security_crm.events REFERENCING NEW TABLE AS others FOR EACH STATEMENT EXECUTE FUNCTION lifecycle.events_insert('argument');
INSERT INTO security_crm.events (contact_id, name) VALUES (1, 'Read');
DROP TRIGGER wrong ON security_crm.events;
CREATE TRIGGER wrong BEFORE INSERT ON security_crm.contacts FOR EACH ROW EXECUTE FUNCTION lifecycle.companies_check();
INSERT INTO security_crm.contacts (id) VALUES (50);
DROP TRIGGER wrong ON security_crm.contacts;

--
-- 3. Attacks by the search_path, and by functions of the same name
--
SET ROLE regress_lifecycle_mallory;
CREATE SCHEMA security_mallory;
CREATE FUNCTION security_mallory.lower(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE EXCEPTION 'stolen by %', current_user; END $$;
CREATE FUNCTION security_mallory.eq(text, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE EXCEPTION 'stolen by %', current_user; END $$;
CREATE OPERATOR security_mallory.= (LEFTARG = text, RIGHTARG = text, FUNCTION = security_mallory.eq);
CREATE FUNCTION security_mallory.did(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE TABLE security_mallory.contacts (id bigint, stage text);
GRANT USAGE ON SCHEMA security_mallory TO PUBLIC;
RESET ROLE;
GRANT INSERT ON security_crm.events TO regress_lifecycle_mallory;
SET ROLE regress_lifecycle_mallory;
SET search_path = security_mallory, pg_catalog, public;
INSERT INTO security_crm.events (contact_id, name, properties) VALUES (3, 'Read', '{"kind": "book"}');
RESET ROLE;
SET ROLE regress_lifecycle_owner;
SELECT lifecycle_add_segment('security_crm', 'Also reader', $$did('Read') AND lower(country) = 'fi'$$);
SELECT lifecycle_alter_segment('security_crm', 'Also reader', predicate => $$did('Read') AND lower(country) = 'fi' AND true$$);
UPDATE security_crm.contacts SET stage = 'sql' WHERE id = 2;
SELECT lifecycle_advance('security_crm', 2, 'Customer');
SELECT lifecycle_tick('security_crm') IS NOT NULL AS ticked;
RESET ROLE;
RESET search_path;
SELECT id, stage FROM security_crm.contacts ORDER BY id;

--
-- 4. Predicates run as the owner of the contacts table, whoever inserts
--
SET ROLE regress_lifecycle_owner;
CREATE SCHEMA security_owner;
CREATE FUNCTION security_owner.who() RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN current_user; END';
SELECT lifecycle_add_segment('security_crm', 'Asked', $$did('Ask') AND security_owner.who() = 'regress_lifecycle_owner'$$);
RESET ROLE;
SET ROLE regress_lifecycle_loader;
INSERT INTO security_crm.events (contact_id, name) VALUES (1, 'Ask');
RESET ROLE;
INSERT INTO security_crm.events (contact_id, name) VALUES (2, 'Ask');
SELECT contact FROM security_crm.segment_member WHERE segment = 'Asked' ORDER BY 1;
-- and cannot leave anything behind in the session of who inserts
SET ROLE regress_lifecycle_owner;
CREATE FUNCTION security_owner.trap(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN PERFORM set_config('role', 'none', false); RETURN true; END $$;
SELECT lifecycle_add_segment('security_crm', 'Trap', $$did('Trapped') AND security_owner.trap(country)$$);
RESET ROLE;
INSERT INTO security_crm.events (contact_id, name) VALUES (3, 'Trapped');
SELECT contact FROM security_crm.segment_member WHERE segment = 'Trap';
SELECT DISTINCT segment, contact, sqlstate, message FROM security_crm.problem ORDER BY 1, 2;

--
-- 5. Row security on contacts and events binds the user, not the engine
--
SET ROLE regress_lifecycle_owner;
ALTER TABLE security_crm.contacts ENABLE ROW LEVEL SECURITY;
ALTER TABLE security_crm.contacts FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON security_crm.contacts USING (id = 1);
ALTER TABLE security_crm.events ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON security_crm.events FOR INSERT WITH CHECK (contact_id IS DISTINCT FROM 3);
GRANT SELECT, UPDATE ON security_crm.contacts TO regress_lifecycle_loader;
RESET ROLE;
SET ROLE regress_lifecycle_loader;
INSERT INTO security_crm.events (contact_id, name) VALUES (3, 'Meeting Booked');
INSERT INTO security_crm.events (contact_id, name, properties) VALUES (2, 'Meeting Booked', '{}'), (1, 'Meeting Booked', '{}');
SELECT id, stage, lead_status FROM security_crm.contacts ORDER BY id;
UPDATE security_crm.contacts SET stage = 'Evangelist';
SELECT lifecycle_advance('security_crm', 1, 'Evangelist');
SELECT lifecycle_advance('security_crm', 2, 'Evangelist');
RESET ROLE;
SELECT id, stage, lead_status FROM security_crm.contacts ORDER BY id;
SELECT contact_id, count(*) FROM security_crm.deals GROUP BY 1 ORDER BY 1;
SELECT * FROM oracle.check('security_crm', now());

--
-- 6. Another's tables, another's schema
--
SET ROLE regress_lifecycle_mallory;
CREATE TABLE security_mallory.people (id bigint PRIMARY KEY);
CREATE TABLE security_mallory.events (person_id bigint, event text, at timestamptz);
SELECT lifecycle_attach('security_mallory2', 'security_crm.companies');
SELECT lifecycle_attach('security_mallory2', 'security_mallory.people', 'security_crm.events');
SELECT lifecycle_attach('security_crm', 'security_mallory.people');
SELECT count(*) FROM lifecycle_attach('security_mallory2', 'security_mallory.people', 'security_mallory.events');
SELECT lifecycle_add_segment('security_mallory2', 'A', 'did(''A'')');
UPDATE lifecycle.model SET contacts = 'security_crm.companies' WHERE name = 'security_mallory2';
UPDATE lifecycle.model_column SET model = 'security_crm' WHERE model = 'security_mallory2' AND role = 'stage';
-- the registry may say nonsense about one's own tables: an error, and no more
UPDATE lifecycle.model_column SET column_name = 'no_such_column' WHERE model = 'security_mallory2' AND object = 'events' AND role = 'contact';
INSERT INTO security_mallory.people VALUES (1);
INSERT INTO security_mallory.events VALUES (1, 'A', '2024-01-01');
UPDATE lifecycle.model_column SET column_name = 'event' WHERE model = 'security_mallory2' AND object = 'events' AND role = 'contact';
INSERT INTO security_mallory.events VALUES (1, 'A', '2024-01-01');
RESET ROLE;
SELECT pg_backend_pid() IS NOT NULL AS alive;

SET client_min_messages = warning;
DROP SCHEMA security_mallory2, security_mallory, security_crm, security_owner CASCADE;
SELECT name FROM lifecycle.model WHERE name LIKE 'security%';
DROP OWNED BY regress_lifecycle_owner, regress_lifecycle_loader, regress_lifecycle_mallory;
DROP ROLE regress_lifecycle_owner, regress_lifecycle_loader, regress_lifecycle_mallory;
DROP SCHEMA oracle CASCADE;
