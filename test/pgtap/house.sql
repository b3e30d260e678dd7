-- What the house promises of every object, and what the templates hold, as the
-- design states it.

\set ON_ERROR_STOP 1
\set QUIET 1
\pset format unaligned
\pset tuples_only true
\pset pager off

BEGIN;
SET client_min_messages = warning;
SELECT * FROM no_plan();

-- ---- the extension's own objects

CREATE VIEW own_function AS
SELECT p.*, p.oid::regprocedure::text AS signature, n.nspname, l.lanname
FROM pg_depend d
JOIN pg_extension x ON x.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_language l ON l.oid = p.prolang
WHERE x.extname = 'lifecycle' AND d.deptype = 'e';

SELECT cmp_ok((SELECT count(*) FROM own_function), '>', 40::bigint, 'there are functions to look at');
SELECT is_empty(
    $$SELECT signature FROM own_function WHERE obj_description(oid, 'pg_proc') IS NULL$$,
    'every function has a comment');
SELECT is_empty(
    $$SELECT signature FROM own_function
      WHERE lanname <> 'c' AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)$$,
    'every SQL and PL/pgSQL function has the search path pinned');
SELECT is_empty(
    $$SELECT signature FROM own_function WHERE nspname <> 'lifecycle' AND proname NOT LIKE 'lifecycle\_%'$$,
    'functions outside schema lifecycle are named lifecycle_ and a verb');
SELECT is_empty(
    $$SELECT signature FROM own_function f
      WHERE nspname = 'lifecycle' AND prorettype IN ('trigger'::regtype, 'event_trigger'::regtype)
          AND EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) a WHERE a.grantee = 0)$$,
    'PUBLIC may not use a trigger function');
-- Two make the catalogs agree with the registry, whoever asks; nothing of what
-- they do depends on what the caller says.
SELECT set_eq(
    $$SELECT signature FROM own_function
      WHERE prosecdef
          AND EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) a WHERE a.grantee = 0)$$,
    ARRAY['lifecycle.tidy()', 'lifecycle.create_triggers(text)'],
    'PUBLIC may not use functions of definer''s rights, save two');
SELECT is_empty(
    $$SELECT c.oid::regclass FROM pg_class c
      WHERE c.relnamespace = 'lifecycle'::regnamespace AND c.relkind IN ('r', 'v')
          AND obj_description(c.oid, 'pg_class') IS NULL$$,
    'every table of the registry has a comment');
SELECT is_empty(
    $$SELECT a.attrelid::regclass, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
      WHERE c.relnamespace = 'lifecycle'::regnamespace AND c.relkind IN ('r', 'v')
          AND a.attnum > 0 AND NOT a.attisdropped AND col_description(a.attrelid, a.attnum) IS NULL$$,
    'every column of the registry has a comment');
SELECT is((SELECT (extrelocatable, extnamespace::regnamespace)::text FROM pg_extension WHERE extname = 'lifecycle'),
    '(f,public)', 'the extension lies where CREATE EXTENSION put it, and stays there');
SELECT results_eq(
    $$SELECT superuser, trusted, relocatable, schema FROM pg_available_extension_versions
      WHERE name = 'lifecycle' AND installed$$,
    $$VALUES (true, false, false, NULL::name)$$,
    'control file: superuser only, not trusted, no schema');

-- ---- trigger functions refuse to be called as anything else

CREATE TABLE foreign_to_it (a int);
SELECT throws_ok(
    format('SELECT %s', oid::regproc || '()'), '39P01', NULL,
    proname || ' refuses to be called by SELECT')
FROM own_function
WHERE lanname = 'c' AND prorettype = 'trigger'::regtype
ORDER BY proname;
SELECT throws_like(
    format('CREATE TRIGGER wrong BEFORE INSERT ON foreign_to_it FOR EACH ROW EXECUTE FUNCTION %s(''x''); INSERT INTO foreign_to_it VALUES (1)', oid::regproc),
    '%', proname || ' refuses a table that no model has')
FROM own_function
WHERE lanname = 'c' AND prorettype = 'trigger'::regtype
ORDER BY proname;

-- ---- a model of each template

SELECT lives_ok(format('SELECT lifecycle_create(%L, %L)', template || '_model', template), 'template ' || template)
FROM unnest(ARRAY['hubspot', 'encharge', 'journey', 'empty']) template;

CREATE VIEW model_relation AS
SELECT c.*, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname LIKE '%\_model' AND c.relkind IN ('r', 'v', 'p');

SELECT is_empty(
    $$SELECT nspname, relname FROM model_relation WHERE obj_description(oid, 'pg_class') IS NULL$$,
    'every table and view of a model has a comment');
SELECT is_empty(
    $$SELECT r.nspname, r.relname, a.attname FROM model_relation r JOIN pg_attribute a ON a.attrelid = r.oid
      WHERE a.attnum > 0 AND NOT a.attisdropped AND col_description(r.oid, a.attnum) IS NULL$$,
    'every column of a model has a comment');
SELECT is_empty(
    $$SELECT nspname, relname FROM model_relation
      WHERE relkind = 'v' AND NOT coalesce(reloptions @> '{security_invoker=true}' OR reloptions @> '{security_invoker=on}', false)$$,
    'every view of a model runs with the rights of who asks');
SELECT is_empty(
    $$SELECT r.nspname, r.relname FROM model_relation r
      JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype = 'e'$$,
    'nothing in a model is a member of the extension');
SELECT is_empty(
    $$SELECT t.tgname, t.tgrelid::regclass FROM pg_trigger t JOIN model_relation r ON r.oid = t.tgrelid
      WHERE NOT t.tgisinternal AND t.tgname NOT LIKE 'lifecycle\_%'$$,
    'triggers on application tables are named lifecycle_ and their kind');

SELECT results_eq(
    'SELECT name, on_path FROM hubspot_model.stage ORDER BY position',
    $$VALUES ('Subscriber', true), ('Lead', true), ('MQL', true), ('SQL', true),
        ('Opportunity', true), ('Customer', true), ('Evangelist', true), ('Other', false)$$,
    'hubspot: stages');
SELECT set_eq(
    'SELECT name FROM hubspot_model.lead_status',
    ARRAY['New', 'Open', 'In progress', 'Open deal', 'Unqualified', 'Attempted to contact', 'Connected', 'Bad timing'],
    'hubspot: lead statuses');
SELECT results_eq(
    'SELECT pipeline, name, probability::int, kind FROM hubspot_model.deal_stage ORDER BY position',
    $$VALUES ('Sales', 'Appointment scheduled', 20, 'open'), ('Sales', 'Qualified to buy', 40, 'open'),
        ('Sales', 'Presentation scheduled', 60, 'open'), ('Sales', 'Decision maker bought-in', 80, 'open'),
        ('Sales', 'Contract sent', 90, 'open'), ('Sales', 'Closed won', 100, 'won'), ('Sales', 'Closed lost', 0, 'lost')$$,
    'hubspot: the pipeline Sales');
SELECT results_eq(
    'SELECT name FROM encharge_model.stage ORDER BY position',
    ARRAY['Lead', 'Prospect', 'User', 'PQL', 'SQL', 'Opportunity', 'Customer', 'Evangelist', 'Other'],
    'encharge: stages');
SELECT set_eq(
    'SELECT name FROM encharge_model.lead_status',
    ARRAY['Unqualified', 'Bad timing', 'Attempted to contact', 'Connected', 'In progress'],
    'encharge: lead statuses');
SELECT isnt_empty(
    $$SELECT FROM encharge_model.deal_stage WHERE name = 'Demo scheduled' AND kind = 'open'$$,
    'encharge: a pipeline with Demo scheduled');
SELECT set_has(
    'SELECT name FROM encharge_model.segment',
    $$VALUES ('Lead'), ('Prospect'), ('User'), ('PQL'), ('Customer')$$,
    'encharge: segments');
SELECT results_eq(
    'SELECT name FROM journey_model.stage ORDER BY position',
    ARRAY['Discovery', 'Education', 'Conversion', 'Retention', 'Advocacy'],
    'journey: stages');
SELECT is_empty('SELECT name FROM empty_model.stage', 'empty: no stage');

-- ---- who inserts events needs nothing else

CREATE ROLE lifecycle_tracker;
GRANT USAGE ON SCHEMA hubspot_model TO lifecycle_tracker;
GRANT INSERT ON hubspot_model.events TO lifecycle_tracker;
INSERT INTO hubspot_model.companies (id, name) VALUES (1, 'Acme');
INSERT INTO hubspot_model.contacts (id, company_id) VALUES (1, 1);
SELECT lifecycle_add_segment('hubspot_model', 'Active', 'did(''Signed Up'')', stage => 'Lead');

SET ROLE lifecycle_tracker;
SELECT lives_ok(
    $$INSERT INTO hubspot_model.events (contact_id, name) VALUES (1, 'Signed Up'), (1, 'Meeting Booked')$$,
    'a role with INSERT on events inserts');
SELECT throws_ok('SELECT count(*) FROM hubspot_model.contacts', '42501', NULL, 'and may not read contacts');
SELECT throws_ok('SELECT count(*) FROM hubspot_model.segment_member', '42501', NULL, 'nor members');
SELECT throws_ok(
    $$SELECT lifecycle_add_segment('hubspot_model', 'Mine', 'true')$$, '42501', NULL, 'nor change the model');
SELECT throws_ok(
    $$SELECT lifecycle_set_stage('hubspot_model', 1, 'Customer', 'I want')$$, '42501', NULL, 'nor set a stage');
RESET ROLE;

SELECT results_eq(
    'SELECT segment, contact FROM hubspot_model.segment_member', $$VALUES ('Active', 1::bigint)$$,
    'and the contact is a member all the same');
SELECT is((SELECT stage FROM hubspot_model.contacts WHERE id = 1), 'Opportunity', 'and has a deal');
SELECT is((SELECT count(*) FROM hubspot_model.deals WHERE is_open), 1::bigint, 'one');
SELECT is((SELECT DISTINCT role FROM hubspot_model.stage_history WHERE object = 'contact' AND to_stage IS NOT NULL AND cause <> 'update'),
    'lifecycle_tracker', 'the history names the role that inserted');
SELECT is_empty('SELECT * FROM hubspot_model.problem', 'no problem');

SELECT * FROM finish();
ROLLBACK;
