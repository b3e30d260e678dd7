--
-- Setting up: make a model, attach one to tables that exist, change what is in
-- it, detach and drop it; and what each kind of bad input is told.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
\set SHOW_CONTEXT never

--
-- 1. A model with tables of its own
--
SELECT lifecycle_create('setup_crm');
SELECT name, position, on_path FROM setup_crm.stage ORDER BY position;
SELECT name FROM setup_crm.lead_status ORDER BY position;
SELECT pipeline, name, probability, kind FROM setup_crm.deal_stage ORDER BY position;
SELECT name, value FROM setup_crm.setting ORDER BY name;
SELECT name, on_, of, action, args FROM setup_crm.rule ORDER BY position;
SELECT object, role, column_name FROM lifecycle.model_column WHERE model = 'setup_crm' ORDER BY object, role;
SELECT tgrelid::regclass, tgname FROM pg_trigger
WHERE tgrelid IN ('setup_crm.contacts'::regclass, 'setup_crm.companies'::regclass, 'setup_crm.deals'::regclass, 'setup_crm.events'::regclass)
  AND tgname LIKE 'lifecycle%' ORDER BY tgrelid::regclass::text COLLATE "C", tgname COLLATE "C";
SELECT item, value, detail FROM lifecycle_status('setup_crm') WHERE item <> 'version';

-- every table and column says what it is
SELECT c.relname, a.attname
FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'setup_crm'::regnamespace AND c.relkind IN ('r', 'v')
  AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)
ORDER BY 1, 2;

-- the other templates
SELECT lifecycle_create('setup_encharge', 'encharge');
SELECT name, on_path FROM setup_encharge.stage ORDER BY position;
SELECT name FROM setup_encharge.lead_status ORDER BY position;
SELECT name, probability, kind FROM setup_encharge.deal_stage ORDER BY position;
SELECT name, predicate, rank FROM setup_encharge.segment ORDER BY id;
SELECT name, of, action, args, segment FROM setup_encharge.rule ORDER BY position;
SELECT lifecycle_create('setup_journey', 'journey');
SELECT name FROM setup_journey.stage ORDER BY position;
-- a name may have quotes, and be in any script
SELECT lifecycle_create('Setup "x''y" 100% 日本', 'empty');
SELECT name, contacts FROM lifecycle.model WHERE name LIKE 'Setup%';
SELECT lifecycle_drop('Setup "x''y" 100% 日本');

-- names that cannot be
SELECT lifecycle_create(NULL);
SELECT lifecycle_create('');
SELECT lifecycle_create('  ');
SELECT lifecycle_create(' padded');
SELECT lifecycle_create(repeat('n', 64));
SELECT lifecycle_create(repeat('ä', 32));
SELECT lifecycle_create('pg_model');
SELECT lifecycle_create('setup_crm');
SELECT lifecycle_create('public');
SELECT lifecycle_create('lifecycle');
SELECT lifecycle_create('setup_other', 'hubsport');
SELECT lifecycle_create('setup_other', NULL);
SELECT lifecycle_status('setup_cmr');
SELECT lifecycle_status(NULL);

--
-- 2. A model over tables that exist
--
CREATE SCHEMA setup_shop;
CREATE TABLE setup_shop.firms (firm uuid PRIMARY KEY, industry text, stage text);
CREATE TABLE setup_shop.customers (
	customer_id uuid PRIMARY KEY,
	email varchar(200),
	employer uuid REFERENCES setup_shop.firms,
	stage int,
	lifecycle_stage text,
	industry text);
CREATE TABLE setup_shop.actions (
	id bigserial PRIMARY KEY,
	customer_id uuid,
	kind text NOT NULL,
	at timestamp NOT NULL,
	created_at timestamptz DEFAULT now(),
	payload jsonb,
	message_id text);
CREATE TABLE setup_shop.opportunities (
	opportunity_id text PRIMARY KEY,
	main uuid REFERENCES setup_shop.customers,
	stage text,
	value numeric,
	title text);
INSERT INTO setup_shop.firms VALUES ('00000000-0000-0000-0000-0000000000f1', 'Tools', 'cusTOMER');
INSERT INTO setup_shop.customers (customer_id, email, lifecycle_stage)
	SELECT ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid, i || '@example.com', (ARRAY['lead', 'Lead ', NULL])[i]
	FROM generate_series(1, 3) i;
INSERT INTO setup_shop.actions (customer_id, kind, at, message_id)
	VALUES ('00000000-0000-0000-0000-000000000001', 'Signed Up', '2024-01-01', 'm1');
INSERT INTO setup_shop.opportunities VALUES
	('o1', '00000000-0000-0000-0000-000000000001', 'contract SENT', 10),
	('o2', '00000000-0000-0000-0000-000000000001', 'Closed lost', 10);
SELECT * FROM lifecycle_attach('setup_shop_model', 'setup_shop.customers', 'setup_shop.actions',
	companies => 'setup_shop.firms', deals => 'setup_shop.opportunities');
SELECT email, stage, lifecycle_stage, lead_status FROM setup_shop.customers ORDER BY email;
SELECT firm, stage, lead_status FROM setup_shop.firms;
SELECT opportunity_id, stage, is_open FROM setup_shop.opportunities ORDER BY 1;
SELECT object, contact, company, from_stage, to_stage, cause FROM setup_shop_model.stage_history ORDER BY object, contact, company;
SELECT deal, contact, pipeline, to_stage, cause FROM setup_shop_model.deal_history ORDER BY deal;
SELECT object, stage, sum(number) FROM setup_shop_model.stage_count GROUP BY 1, 2 ORDER BY 1, 2;
SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'setup_shop' AND indexname LIKE 'lifecycle%' ORDER BY 1, 2;
SELECT name, value FROM setup_shop_model.setting WHERE name = 'page_view_path';
SELECT action, args FROM setup_shop_model.rule WHERE action = 'create deal';

-- a table belongs to one model only, once
SELECT lifecycle_attach('setup_other', 'setup_shop.customers');
CREATE TABLE setup_shop.people (id int PRIMARY KEY, name text);
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.people');

-- detach keeps the tables, the columns and the history; drop takes the rest
SELECT lifecycle_detach('setup_shop_model');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'setup_shop.customers'::regclass AND tgname LIKE 'lifecycle%';
SELECT count(*) FROM setup_shop_model.stage_history;
SELECT indexname FROM pg_indexes WHERE schemaname = 'setup_shop' AND indexname LIKE 'lifecycle%' ORDER BY 1;
SELECT lifecycle_attach('setup_shop_model', 'setup_shop.customers');
SET client_min_messages = warning;
DROP SCHEMA setup_shop_model CASCADE;
RESET client_min_messages;

-- again, without the companies, and with columns of our choice
ALTER TABLE setup_shop.customers ADD COLUMN phase text;
SELECT * FROM lifecycle_attach('setup_shop_model', 'setup_shop.customers', 'setup_shop.actions',
	columns => '{"contacts": {"stage": "phase"}, "events": {"name": {"constant": "Action"}, "message_id": null}}',
	template => 'journey');
SELECT lifecycle_drop('setup_shop_model');

-- rows that are in the way
SELECT * FROM lifecycle_attach('setup_shop_model', 'setup_shop.customers', template => 'empty');
SELECT name, position FROM setup_shop_model.stage ORDER BY position;
SELECT lifecycle_drop('setup_shop_model');
SET client_min_messages = warning;
INSERT INTO setup_shop.opportunities VALUES
	('o3', '00000000-0000-0000-0000-000000000001', 'Contract sent', 10);
SELECT lifecycle_attach('setup_other', 'setup_shop.customers', deals => 'setup_shop.opportunities');
UPDATE setup_shop.opportunities SET stage = 'Thinking', main = '00000000-0000-0000-0000-000000000002' WHERE opportunity_id = 'o3';
SELECT lifecycle_attach('setup_other', 'setup_shop.customers', deals => 'setup_shop.opportunities');
SELECT count(*) > 0 AS attached FROM lifecycle_attach('setup_other', 'setup_shop.customers', deals => 'setup_shop.opportunities',
	template => 'empty') a;
SELECT name, probability, kind, position FROM setup_other.deal_stage ORDER BY position;
SELECT lifecycle_drop('setup_other');
RESET client_min_messages;
UPDATE setup_shop.customers SET lifecycle_stage = 'Whale' WHERE email LIKE '3%';
SELECT lifecycle_attach('setup_other', 'setup_shop.customers');
UPDATE setup_shop.customers SET lifecycle_stage = NULL;
DROP INDEX setup_shop.lifecycle_message_id;
INSERT INTO setup_shop.actions (kind, at, message_id) VALUES ('Again', '2024-01-01', 'm1');
SELECT lifecycle_attach('setup_other', 'setup_shop.customers', 'setup_shop.actions');

--
-- 3. Columns: found, asked for, refused
--
CREATE TABLE setup_shop.log (who int REFERENCES setup_shop.people, whom int REFERENCES setup_shop.people, event text, event_name text, happened date);
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log');
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log',
	columns => '{"events": {"contact": "who"}}');
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log',
	columns => '{"events": {"contact": "who", "name": "event"}}');
SELECT * FROM lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log',
	columns => '{"events": {"contact": "who", "name": "event", "time": "happened"}}');
SELECT lifecycle_drop('setup_other');
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log', columns => '{"events": {"contact": "wo"}}');
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log', columns => '{"events": {"contact": "event"}}');
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log', columns => '{"events": {"contcat": "who"}}');
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log', columns => '{"event": {"contact": "who"}}');
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log', columns => '{"deals": {"contact": "who"}}');
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log', columns => '{"events": {"contact": 1}}');
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log', columns => '{"events": {"contact": null}}');
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log', columns => '{"events": {"contact": {"constant": "1"}}}');
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log', columns => '{"events": {"contact": "who", "name": {"constnat": "Visit"}}}');
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log', columns => '{"events": {"contact": "who", "key": "who"}}');
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log', columns => '{"events": "who"}');
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log', columns => '[]');
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.log', columns => NULL);
SELECT lifecycle_attach('setup_other', 'setup_shop.people', columns => '{"contacts": {"key": "name"}}');
SELECT lifecycle_attach('setup_other', NULL);
CREATE TABLE setup_shop.visits (person bigint, seen timestamptz);
SELECT lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.visits');

-- tables that cannot be attached
CREATE VIEW setup_shop.a_view AS SELECT * FROM setup_shop.people;
CREATE TEMPORARY TABLE a_temporary_table (id int PRIMARY KEY);
CREATE TABLE setup_shop.without_key (id int, UNIQUE (id));
CREATE TABLE setup_shop.two_keys (a int NOT NULL UNIQUE, b int NOT NULL UNIQUE);
CREATE TABLE setup_shop.parent (id int PRIMARY KEY);
CREATE TABLE setup_shop.child () INHERITS (setup_shop.parent);
CREATE TABLE setup_shop.wide_key (a int, b int, PRIMARY KEY (a, b));
CREATE FOREIGN DATA WRAPPER setup_wrapper;
CREATE SERVER setup_server FOREIGN DATA WRAPPER setup_wrapper;
CREATE FOREIGN TABLE setup_shop.elsewhere (id int) SERVER setup_server;
SELECT lifecycle_attach('setup_other', 'setup_shop.nothing');
SELECT lifecycle_attach('setup_other', 'setup_shop.a_view');
SELECT lifecycle_attach('setup_other', 'a_temporary_table');
SELECT lifecycle_attach('setup_other', 'setup_shop.elsewhere');
SELECT lifecycle_attach('setup_other', 'setup_shop.without_key');
SELECT lifecycle_attach('setup_other', 'setup_shop.wide_key');
SELECT lifecycle_attach('setup_other', 'setup_shop.two_keys');
SELECT * FROM lifecycle_attach('setup_other', 'setup_shop.two_keys', columns => '{"contacts": {"key": "b"}}');
SELECT lifecycle_drop('setup_other');
SELECT lifecycle_attach('setup_other', 'setup_shop.parent');
SELECT lifecycle_attach('setup_other', 'setup_shop.actions_id_seq');
SELECT lifecycle_attach('setup_other', 'pg_class');
SELECT lifecycle_attach('setup_other', 'setup_crm.outbox');
SELECT lifecycle_attach('setup_other', 'lifecycle.model');
-- nothing of all that was left behind
SELECT name FROM lifecycle.model WHERE name LIKE 'setup%' ORDER BY name;
SELECT nspname FROM pg_namespace WHERE nspname LIKE 'setup%' ORDER BY nspname;

--
-- 4. Partitions: those that are there, and those to come
--
CREATE TABLE setup_shop.clicks (id bigint, person_id int, event text, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE setup_shop.clicks_2024 PARTITION OF setup_shop.clicks FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
SELECT * FROM lifecycle_attach('setup_other', 'setup_shop.people', 'setup_shop.clicks');
CREATE TABLE setup_shop.clicks_2025 PARTITION OF setup_shop.clicks FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE setup_shop.clicks_2026 (LIKE setup_shop.clicks);
ALTER TABLE setup_shop.clicks ATTACH PARTITION setup_shop.clicks_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
ALTER TABLE setup_shop.clicks DETACH PARTITION setup_shop.clicks_2024;
SELECT c.relname, count(t.oid) AS triggers
FROM pg_class c LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname LIKE 'lifecycle%'
WHERE c.relnamespace = 'setup_shop'::regnamespace AND c.relname LIKE 'clicks%' AND c.relkind IN ('r', 'p')
GROUP BY 1 ORDER BY 1;
SELECT lifecycle_attach('setup_more', 'setup_shop.people', 'setup_shop.clicks_2025');
-- a column that is renamed is followed; one that is needed cannot go
ALTER TABLE setup_shop.clicks RENAME COLUMN person_id TO person;
SELECT column_name FROM lifecycle.model_column WHERE model = 'setup_other' AND object = 'events' AND role = 'contact';
SET client_min_messages = warning;
ALTER TABLE setup_shop.clicks DROP COLUMN person CASCADE;
RESET client_min_messages;
ALTER SCHEMA setup_other RENAME TO setup_another;
-- a table that is dropped is out of the model
SET client_min_messages = warning;
DROP TABLE setup_shop.clicks CASCADE;
RESET client_min_messages;
SELECT name, contacts, events FROM lifecycle.model WHERE name = 'setup_other';
SELECT lifecycle_drop('setup_other');

--
-- 5. Whose model, whose table
--
CREATE ROLE regress_lifecycle_alice;
CREATE ROLE regress_lifecycle_bob;
DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO regress_lifecycle_alice', current_database()); END $$;
CREATE SCHEMA setup_alice AUTHORIZATION regress_lifecycle_alice;
GRANT USAGE ON SCHEMA setup_shop TO regress_lifecycle_alice, regress_lifecycle_bob;
SET ROLE regress_lifecycle_bob;
SELECT lifecycle_create('setup_bob');
RESET ROLE;
SET ROLE regress_lifecycle_alice;
SELECT lifecycle_attach('setup_other', 'setup_shop.people');
CREATE TABLE setup_alice.people (id int PRIMARY KEY);
CREATE TABLE setup_alice.events (person_id int, name text, at timestamptz);
SELECT * FROM lifecycle_attach('setup_of_alice', 'setup_alice.people', 'setup_alice.events', template => 'encharge');
SELECT lifecycle_create('setup_own', 'encharge');
SELECT lifecycle_add_stage('setup_of_alice', 'Friend');
RESET ROLE;
SET ROLE regress_lifecycle_bob;
SELECT lifecycle_add_stage('setup_of_alice', 'Foe');
SELECT lifecycle_drop('setup_of_alice');
UPDATE lifecycle.model SET contacts = 'setup_shop.people' WHERE name = 'setup_of_alice';
DELETE FROM lifecycle.model_column WHERE model = 'setup_of_alice';
RESET ROLE;
SET ROLE regress_lifecycle_alice;
UPDATE lifecycle.model SET contacts = 'setup_shop.people' WHERE name = 'setup_of_alice';
SELECT lifecycle_drop('setup_of_alice');
SELECT lifecycle_drop('setup_own');
RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA setup_alice CASCADE;
DROP OWNED BY regress_lifecycle_alice, regress_lifecycle_bob;
DROP ROLE regress_lifecycle_alice, regress_lifecycle_bob;
RESET client_min_messages;

--
-- 6. Settings
--
SELECT lifecycle_set('setup_crm', 'time_zone', 'europe/helsinki');
SELECT lifecycle_set('setup_crm', 'Manual_Stage', 'Clear first');
SELECT lifecycle_set('setup_crm', 'max_cascade', '5');
SELECT name, value FROM setup_crm.setting WHERE name IN ('time_zone', 'manual_stage', 'max_cascade') ORDER BY name;
SELECT lifecycle_set('setup_crm', 'time_zome', 'UTC');
SELECT lifecycle_set('setup_crm', 'time_zone', 'Europe/Helsinky');
SELECT lifecycle_set('setup_crm', 'manual_stage', 'forwards');
SELECT lifecycle_set('setup_crm', 'max_cascade', '0');
SELECT lifecycle_set('setup_crm', 'max_cascade', 'many');
SELECT lifecycle_set('setup_crm', 'page_view_path', ' ');
SELECT lifecycle_set('setup_crm', 'notify', NULL);
SELECT lifecycle_set('setup_crm', 'manual_stage', 'allow');

--
-- 7. Stages, lead statuses, pipelines
--
INSERT INTO setup_crm.companies (id, name) VALUES (1, 'Acme');
INSERT INTO setup_crm.contacts (id, email, company_id, stage, lead_status) VALUES (1, 'a@example.com', 1, 'MQL', 'New');
SELECT lifecycle_add_stage('setup_crm', 'Product qualified', at_position => 4, description => 'Uses it.');
SELECT lifecycle_alter_stage('setup_crm', 'mql', new_name => 'Marketing qualified', description => 'Known well.');
SELECT lifecycle_alter_stage('setup_crm', 'Other', at_position => 1);
SELECT name, position, on_path, description FROM setup_crm.stage ORDER BY position;
SELECT id, stage FROM setup_crm.contacts;
SELECT object, from_stage, to_stage FROM setup_crm.stage_history ORDER BY id;
SELECT stage, sum(number) FROM setup_crm.stage_count WHERE object = 'contact' GROUP BY stage HAVING sum(number) <> 0;
SELECT lifecycle_alter_stage('setup_crm', 'Opportunity', new_name => 'Deal');
SELECT name, args FROM setup_crm.rule WHERE args ->> 'stage' = 'Deal';
SELECT lifecycle_drop_stage('setup_crm', 'Deal');
SELECT lifecycle_drop_stage('setup_crm', 'Marketing qualified');
SELECT lifecycle_drop_stage('setup_crm', 'Product qualified');
SELECT lifecycle_drop_stage('setup_crm', 'Evangalist');
SELECT lifecycle_add_stage('setup_crm', 'customer');
SELECT lifecycle_add_stage('setup_crm', NULL);
SELECT lifecycle_add_stage('setup_crm', '');
SELECT lifecycle_add_stage('setup_crm', 'Far', at_position => 99);
SELECT lifecycle_alter_stage('setup_crm', 'Customer', new_name => 'deal');
SELECT lifecycle_alter_stage('setup_crm', 'Customer', on_path => false);
SELECT lifecycle_add_lead_status('setup_crm', 'Nurture', at_position => 2);
SELECT lifecycle_alter_lead_status('setup_crm', 'Open deal', new_name => 'Has deal');
SELECT name, args FROM setup_crm.rule WHERE action = 'set lead status';
SELECT lifecycle_drop_lead_status('setup_crm', 'New');
SELECT lifecycle_drop_lead_status('setup_crm', 'Has deal');
SELECT lifecycle_drop_lead_status('setup_crm', 'Nurture');
SELECT name, position FROM setup_crm.lead_status ORDER BY position;
SELECT lifecycle_add_pipeline('setup_crm', 'Renewals', description => 'Old customers.');
SELECT lifecycle_add_deal_stage('setup_crm', 'renewals', 'Due', probability => 80);
SELECT lifecycle_add_deal_stage('setup_crm', 'Renewals', 'Renewed', kind => 'won');
SELECT lifecycle_add_deal_stage('setup_crm', 'Renewals', 'Left', probability => 0);
SELECT lifecycle_add_deal_stage('setup_crm', 'Renewals', 'Talking', 50, at_position => 1);
SELECT lifecycle_alter_deal_stage('setup_crm', 'Renewals', 'Due', new_name => 'Due soon', probability => 70);
SELECT pipeline, name, position, probability, kind FROM setup_crm.deal_stage WHERE pipeline = 'Renewals' ORDER BY position;
SELECT lifecycle_add_deal_stage('setup_crm', 'Renewals', 'X');
SELECT lifecycle_add_deal_stage('setup_crm', 'Renewals', 'X', probability => 120);
SELECT lifecycle_add_deal_stage('setup_crm', 'Renewals', 'X', probability => 10, kind => 'won');
SELECT lifecycle_add_deal_stage('setup_crm', 'Renewals', 'X', probability => 10, kind => 'lots');
SELECT lifecycle_add_deal_stage('setup_crm', 'Renewals', 'left', probability => 0);
SELECT lifecycle_add_deal_stage('setup_crm', 'Renewal', 'X', probability => 10);
SELECT lifecycle_drop_deal_stage('setup_crm', 'Sales', 'Appointment scheduled');
SELECT lifecycle_drop_deal_stage('setup_crm', 'Sales', 'Contract signed');
SELECT lifecycle_alter_deal_stage('setup_crm', 'Sales', 'Appointment scheduled', new_name => 'First talk');
SELECT lifecycle_alter_pipeline('setup_crm', 'Sales', new_name => 'New business');
SELECT args FROM setup_crm.rule WHERE action = 'create deal';
SELECT lifecycle_drop_pipeline('setup_crm', 'New business');
SELECT lifecycle_drop_pipeline('setup_crm', 'Renewals');

--
-- 8. Segments
--
SELECT lifecycle_add_segment('setup_crm', 'Signed up', $$did('Signed Up')$$, stage => 'lead', description => 'Has an account.');
SELECT lifecycle_add_segment('setup_crm', 'Active', $$in_segment('Signed up') AND did('Used', times => 3)$$);
SELECT lifecycle_add_segment('setup_crm', 'Champion', $$in_segment('Active') AND did('Recommended')$$);
SELECT name, rank, segments FROM setup_crm.segment ORDER BY id;
SELECT name, on_, of, args, segment FROM setup_crm.rule WHERE segment IS NOT NULL;
SELECT lifecycle_alter_segment('setup_crm', 'Signed up', predicate => $$did('Signed Up') OR in_segment('Champion')$$);
SELECT lifecycle_alter_segment('setup_crm', 'Signed up', new_name => 'User');
SELECT lifecycle_drop_segment('setup_crm', 'Active');
SELECT lifecycle_alter_segment('setup_crm', 'Champion', new_name => 'Advocate', stage => 'Evangelist');
SELECT lifecycle_alter_segment('setup_crm', 'Signed up', stage => 'Customer', description => '');
SELECT name, of, args, segment FROM setup_crm.rule WHERE segment IS NOT NULL ORDER BY position;
SELECT lifecycle_alter_segment('setup_crm', 'Signed up', stage => '');
SELECT lifecycle_add_segment('setup_crm', 'active', 'true');
SELECT lifecycle_add_segment('setup_crm', 'Nobody', NULL);
SELECT lifecycle_add_segment('setup_crm', 'Nobody', ' ');
SELECT lifecycle_add_segment('setup_crm', NULL, 'true');
SELECT lifecycle_add_segment('setup_crm', 'Nobody', 'false', stage => 'Custommer');
SELECT lifecycle_add_segment('setup_crm', 'Nobody', $$in_segment('Nobody')$$);
SELECT lifecycle_drop_segment('setup_crm', 'Advocates');
SELECT lifecycle_drop_segment('setup_crm', 'Advocate');
SELECT lifecycle_drop_segment('setup_crm', 'Active');
SELECT name FROM setup_crm.segment;
SELECT event, segments FROM setup_crm.atom WHERE segments <> '{}' ORDER BY id;

--
-- 9. Rules
--
SELECT lifecycle_add_rule('setup_crm', 'Welcome', 'segment entered', 'notify',
	'{"type": "welcome", "payload": {"to": "email"}}', of => 'Signed up', at_position => 1);
SELECT lifecycle_add_rule('setup_crm', 'Remember the source', 'event', 'set field',
	'{"column": "source", "value": "event.properties ->> ''source''"}', of => 'Signed Up', condition => 'source IS NULL');
SELECT lifecycle_alter_rule('setup_crm', 'welcome', new_name => 'Greeting', enabled => false, description => 'Says hello.');
SELECT name, on_, of, condition, action, args, position, enabled, description FROM setup_crm.rule
WHERE name IN ('Greeting', 'Remember the source') ORDER BY position;
SELECT lifecycle_alter_rule('setup_crm', 'Remember the source', condition => '');
SELECT lifecycle_add_rule('setup_crm', 'R', 'events', 'notify', of => 'X');
SELECT lifecycle_add_rule('setup_crm', 'R', 'event', 'notify');
SELECT lifecycle_add_rule('setup_crm', 'R', 'segment entered', 'notify');
SELECT lifecycle_add_rule('setup_crm', 'R', 'segment entered', 'notify', of => 'Signed upp');
SELECT lifecycle_add_rule('setup_crm', 'R', 'stage entered', 'notify', of => 'Custommer');
SELECT lifecycle_add_rule('setup_crm', 'R', 'deal won', 'notify', of => 'Sales');
SELECT lifecycle_add_rule('setup_crm', 'R', 'deal won', 'advance');
SELECT lifecycle_add_rule('setup_crm', 'R', 'deal won', NULL);
SELECT lifecycle_add_rule('setup_crm', 'R', 'deal won', 'advance stage');
SELECT lifecycle_add_rule('setup_crm', 'R', 'deal won', 'advance stage', '{"stag": "Customer"}');
SELECT lifecycle_add_rule('setup_crm', 'R', 'deal won', 'advance stage', '{"stage": 1}');
SELECT lifecycle_add_rule('setup_crm', 'R', 'deal won', 'advance stage', '{"stage": "Other"}');
SELECT lifecycle_add_rule('setup_crm', 'R', 'deal won', 'advance stage', '["Customer"]');
SELECT lifecycle_add_rule('setup_crm', 'R', 'deal won', 'set lead status', '{"status": "Happy"}');
SELECT lifecycle_add_rule('setup_crm', 'R', 'event', 'create deal', '{"pipeline": "Salse"}', of => 'X');
SELECT lifecycle_add_rule('setup_crm', 'R', 'event', 'create deal', '{"stage": "Closed won"}', of => 'X');
SELECT lifecycle_add_rule('setup_crm', 'R', 'event', 'create deal', '{"amount": "true"}', of => 'X');
SELECT lifecycle_add_rule('setup_crm', 'R', 'event', 'set field', '{"column": "sorce", "value": "1"}', of => 'X');
SELECT lifecycle_add_rule('setup_crm', 'R', 'event', 'set field', '{"column": "stage", "value": "''Lead''"}', of => 'X');
SELECT lifecycle_add_rule('setup_crm', 'R', 'event', 'set field', '{"column": "created_at", "value": "1"}', of => 'X');
SELECT lifecycle_add_rule('setup_crm', 'R', 'event', 'copy to company', '{"columns": "industry"}', of => 'X');
SELECT lifecycle_add_rule('setup_crm', 'R', 'event', 'copy to company', '{"columns": ["email"]}', of => 'X');
SELECT lifecycle_add_rule('setup_crm', 'R', 'event', 'copy to company', '{"columns": {"stage": "stage"}}', of => 'X');
SELECT lifecycle_add_rule('setup_crm', 'R', 'event', 'notify', '{"payload": ["email"]}', of => 'X');
SELECT lifecycle_add_rule('setup_crm', 'Greeting', 'event', 'notify', of => 'X');
SELECT lifecycle_drop_rule('setup_crm', 'Greetings');
SELECT lifecycle_drop_rule('setup_crm', 'Greeting');
SELECT lifecycle_add_rule('setup_journey', 'R', 'event', 'create deal', of => 'X');
SELECT lifecycle_add_rule('setup_journey', 'R', 'deal won', 'set stage', '{"stage": "retention"}');

--
-- 10. The end
--
CREATE VIEW setup_shop.of_mine AS SELECT * FROM setup_crm.funnel;
SELECT lifecycle_drop('setup_crm');
DROP VIEW setup_shop.of_mine;
CREATE TABLE setup_crm.of_mine (id int);
SELECT lifecycle_drop('setup_crm');
SELECT lifecycle_drop('setup_crm', cascade => true);
SELECT lifecycle_drop('setup_crm');
SELECT lifecycle_drop('setup_journey');
SET client_min_messages = warning;
DROP SCHEMA setup_encharge CASCADE;
DROP SCHEMA setup_shop CASCADE;
DROP FOREIGN DATA WRAPPER setup_wrapper CASCADE;
DROP TABLE a_temporary_table;
SELECT name FROM lifecycle.model WHERE name LIKE 'setup%';
SELECT nspname FROM pg_namespace WHERE nspname LIKE 'setup%';
