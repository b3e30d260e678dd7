--
-- Rules: each occasion and each action, and what happens when they fail.
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

SELECT lifecycle_create('rule_crm', 'hubspot');
SELECT lifecycle_set('rule_crm', 'clock', 'tick');
SELECT lifecycle_tick('rule_crm', '2024-01-01 00:00+00') IS NOT NULL AS ticked;
-- start without the template's rules
SELECT count(lifecycle_drop_rule('rule_crm', name)::text) FROM (SELECT name FROM rule_crm.rule ORDER BY name) r;
CREATE FUNCTION pg_temp.event(contact bigint, name text, properties jsonb DEFAULT '{}') RETURNS void LANGUAGE sql
AS 'INSERT INTO rule_crm.events (contact_id, name, occurred_at, properties) VALUES (contact, name, ''2024-01-01 00:00+00'', properties)';
INSERT INTO rule_crm.companies (id, name) VALUES (1, 'One');
INSERT INTO rule_crm.contacts (id, email, company_id, industry, country) SELECT i, i || '@example.com', 1, 'Tools', 'FI' FROM generate_series(1, 9) i;

--
-- 1. Occasions: event, segment entered and left, stage entered, deal created, won and lost
--
SELECT lifecycle_add_segment('rule_crm', 'Trial', $$did('Started') AND NOT did('Stopped')$$);
SELECT lifecycle_add_rule('rule_crm', 'on event', 'event', 'notify', '{"type": "event"}', of => 'Signed Up');
SELECT lifecycle_add_rule('rule_crm', 'on entered', 'segment entered', 'notify', '{"type": "entered"}', of => 'Trial');
SELECT lifecycle_add_rule('rule_crm', 'on left', 'segment left', 'notify', '{"type": "left"}', of => 'Trial');
SELECT lifecycle_add_rule('rule_crm', 'on SQL', 'stage entered', 'notify', '{"type": "SQL"}', of => 'SQL');
SELECT lifecycle_add_rule('rule_crm', 'on any stage', 'stage entered', 'notify', '{"type": "stage", "payload": {"now": "stage"}}');
SELECT lifecycle_add_rule('rule_crm', 'on deal created', 'deal created', 'notify', '{"type": "created", "payload": {"name": "deal.name", "amount": "deal.amount * 2"}}');
SELECT lifecycle_add_rule('rule_crm', 'on deal won', 'deal won', 'notify', '{"type": "won"}', of => 'Sales');
SELECT lifecycle_add_rule('rule_crm', 'on deal lost', 'deal lost', 'notify', '{"type": "lost"}');
CREATE FUNCTION pg_temp.sent() RETURNS TABLE (contact text, type text, payload jsonb) LANGUAGE sql AS $$
	WITH gone AS (DELETE FROM rule_crm.outbox RETURNING *)
	SELECT aggregateid, type, payload - '{model,event_at,event,event_key,company,contact,rule}'::text[] FROM gone ORDER BY id $$;
SELECT pg_temp.event(1, 'Signed Up');
SELECT pg_temp.event(1, 'Signed up');	-- the name of an event is exact
SELECT * FROM pg_temp.sent();
SELECT pg_temp.event(1, 'Started'); SELECT pg_temp.event(1, 'Started');
SELECT * FROM pg_temp.sent();
SELECT pg_temp.event(1, 'Stopped');
SELECT * FROM pg_temp.sent();
SELECT lifecycle_advance('rule_crm', 1, 'SQL');
SELECT * FROM pg_temp.sent();
UPDATE rule_crm.contacts SET stage = 'MQL' WHERE id = 2;
INSERT INTO rule_crm.contacts (id, stage) VALUES (10, 'SQL');
SELECT * FROM pg_temp.sent();
INSERT INTO rule_crm.deals (contact_id, name, amount) VALUES (1, 'Big one', 50.5);
UPDATE rule_crm.deals SET amount = 60;
UPDATE rule_crm.deals SET stage = 'Closed lost';
UPDATE rule_crm.deals SET stage = 'Closed won';
SELECT * FROM pg_temp.sent();
-- who entered and left within one statement has done neither
INSERT INTO rule_crm.events (contact_id, name, occurred_at) VALUES (3, 'Started', '2024-01-01'), (3, 'Stopped', '2024-01-01');
SELECT * FROM pg_temp.sent();
-- a segment that is added takes people in, and is an occasion for the stage it leads to only
SELECT count(lifecycle_drop_rule('rule_crm', name)::text) FROM (SELECT name FROM rule_crm.rule ORDER BY name) r;

--
-- 2. Actions
--
SELECT lifecycle_add_rule('rule_crm', 'advance', 'event', 'advance stage', '{"stage": "mql"}', of => 'Go');
SELECT lifecycle_add_rule('rule_crm', 'status', 'event', 'set lead status', '{"status": "in progress"}', of => 'Go');
SELECT lifecycle_add_rule('rule_crm', 'deal', 'event', 'create deal',
	'{"stage": "Contract sent", "name": "''Deal of '' || email", "amount": "(event.properties->>''amount'')::numeric * 1.1", "currency": "event.properties->>''currency''"}', of => 'Go');
SELECT lifecycle_add_rule('rule_crm', 'field', 'event', 'set field', '{"column": "source", "value": "coalesce(source || '', '', '''') || (event.properties->>''source'')"}', of => 'Go');
SELECT lifecycle_add_rule('rule_crm', 'copy', 'event', 'copy to company', '{"columns": {"industry": "industry", "domain": "email"}}', of => 'Go');
SELECT lifecycle_add_rule('rule_crm', 'notify', 'event', 'notify', '{"type": "went", "channel": "regress_channel", "payload": {"plan": "event.properties->>''plan''", "at": "event.occurred_at", "industry": "company.industry"}}', of => 'Go');
SELECT pg_temp.event(4, 'Go', '{"amount": "100", "currency": "EUR", "source": "fair", "plan": "pro"}');
SELECT id, stage, lead_status, source FROM rule_crm.contacts WHERE id = 4;
SELECT name, stage, amount, currency, company_id FROM rule_crm.deals WHERE contact_id = 4;
SELECT id, industry, country, domain FROM rule_crm.companies;
SELECT * FROM pg_temp.sent();
-- several events of one statement: a message for each of them
INSERT INTO rule_crm.events (contact_id, name, occurred_at, properties) VALUES
	(4, 'Go', '2023-12-30', '{"source": "shop", "plan": "first"}'), (4, 'Go', '2023-12-31', '{"source": "shop", "plan": "second"}');
SELECT source FROM rule_crm.contacts WHERE id = 4;
SELECT count(*) FROM rule_crm.deals WHERE contact_id = 4;
SELECT contact, type, payload->>'plan' AS plan FROM pg_temp.sent();
INSERT INTO rule_crm.events (contact_id, name, occurred_at, properties) VALUES
	(4, 'Go', '2023-12-31', '{"source": "two"}'), (4, 'Go', '2023-12-30', '{"source": "one"}');
SELECT source FROM rule_crm.contacts WHERE id = 4;
SELECT lifecycle_add_rule('rule_crm', 'back', 'event', 'set stage', '{"stage": "Other"}', of => 'Gone');
SELECT pg_temp.event(4, 'Gone');
SELECT stage FROM rule_crm.contacts WHERE id = 4;
-- rules also act on companies' industry once it is empty only
SELECT pg_temp.event(5, 'Go', '{}');
SELECT id, industry, domain FROM rule_crm.companies;
DELETE FROM rule_crm.outbox;

--
-- 3. The furthest stage wins, once
--
SELECT lifecycle_add_rule('rule_crm', 'far', 'event', 'advance stage', '{"stage": "Customer"}', of => 'Jump', at_position => 1);
SELECT lifecycle_add_rule('rule_crm', 'near', 'event', 'advance stage', '{"stage": "Lead"}', of => 'Jump');
SELECT lifecycle_add_rule('rule_crm', 'middle', 'event', 'advance stage', '{"stage": "SQL"}', of => 'Hop', at_position => 2);
INSERT INTO rule_crm.events (contact_id, name, occurred_at) VALUES (6, 'Hop', '2024-01-01'), (6, 'Jump', '2024-01-01');
SELECT from_stage, to_stage, rule, event FROM rule_crm.stage_history WHERE contact = 6;

--
-- 4. Conditions, and rules that are switched off
--
SELECT lifecycle_add_rule('rule_crm', 'only Finns', 'event', 'advance stage', '{"stage": "MQL"}', of => 'Asked', condition => $$country = 'FI' AND event.properties->>'kind' = 'price' AND NOT in_segment('Trial')$$);
SELECT lifecycle_add_rule('rule_crm', 'off', 'event', 'advance stage', '{"stage": "Customer"}', of => 'Asked', enabled => false);
UPDATE rule_crm.contacts SET country = 'SE' WHERE id = 8;
SELECT pg_temp.event(7, 'Asked', '{"kind": "help"}'), pg_temp.event(8, 'Asked', '{"kind": "price"}'), pg_temp.event(9, 'Asked', '{"kind": "price"}');
SELECT id, stage FROM rule_crm.contacts WHERE id IN (7, 8, 9) ORDER BY id;
SELECT lifecycle_alter_rule('rule_crm', 'off', enabled => true);
SELECT pg_temp.event(7, 'Asked');
SELECT id, stage FROM rule_crm.contacts WHERE id IN (7, 8, 9) ORDER BY id;

--
-- 5. Cascades: one rule's result is another one's occasion, up to a bound
--
SELECT lifecycle_add_segment('rule_crm', 'Owned', $$owner IS NOT NULL$$);
SELECT lifecycle_add_rule('rule_crm', 'step 1', 'event', 'set field', '{"column": "owner", "value": "''Eve''"}', of => 'Start');
SELECT lifecycle_add_rule('rule_crm', 'step 2', 'segment entered', 'advance stage', '{"stage": "Opportunity"}', of => 'Owned');
SELECT lifecycle_add_rule('rule_crm', 'step 3', 'stage entered', 'create deal', '{}', of => 'Opportunity');
SELECT lifecycle_add_rule('rule_crm', 'step 4', 'deal created', 'set lead status', '{"status": "Open deal"}');
INSERT INTO rule_crm.contacts (id) VALUES (20), (21), (22);
SELECT pg_temp.event(20, 'Start');
SELECT owner, stage, lead_status FROM rule_crm.contacts WHERE id = 20;
SELECT name, stage FROM rule_crm.deals WHERE contact_id = 20;
-- a loop is an error that names the rules in it
SELECT lifecycle_add_rule('rule_crm', 'round', 'stage entered', 'set stage', '{"stage": "Subscriber"}', of => 'Lead');
SELECT lifecycle_add_rule('rule_crm', 'about', 'stage entered', 'set stage', '{"stage": "Lead"}', of => 'Subscriber');
SELECT lifecycle_advance('rule_crm', 21, 'Lead');
DO $$ BEGIN PERFORM lifecycle_advance('rule_crm', 21, 'Lead'); EXCEPTION WHEN program_limit_exceeded THEN RAISE NOTICE '%', sqlerrm; END $$;
SELECT id, stage FROM rule_crm.contacts WHERE id = 21;
SELECT lifecycle_set('rule_crm', 'max_cascade', '1');
SELECT pg_temp.event(22, 'Start');
SELECT lifecycle_set('rule_crm', 'max_cascade', '16');
SELECT lifecycle_drop_rule('rule_crm', 'round');

--
-- 6. What fails is set aside, and the event is kept
--
INSERT INTO rule_crm.contacts (id, email) VALUES (30, '30'), (31, '31'), (32, '32');
SELECT lifecycle_add_rule('rule_crm', 'bad condition', 'event', 'notify', of => 'Bad', condition => $$(event.properties->>'n')::int > 0$$);
SELECT lifecycle_add_rule('rule_crm', 'bad value', 'event', 'set field', '{"column": "owner", "value": "(1 / (event.properties->>''n'')::int)::text"}', of => 'Bad value');
SELECT lifecycle_add_rule('rule_crm', 'bad deal', 'event', 'create deal', '{"amount": "(event.properties->>''n'')::numeric"}', of => 'Bad deal');
SELECT lifecycle_add_rule('rule_crm', 'good', 'event', 'advance stage', '{"stage": "MQL"}', of => 'Bad');
SELECT lifecycle_add_rule('rule_crm', 'good too', 'event', 'advance stage', '{"stage": "MQL"}', of => 'Bad value');
SELECT lifecycle_add_rule('rule_crm', 'good as well', 'event', 'advance stage', '{"stage": "MQL"}', of => 'Bad deal');
ALTER TABLE rule_crm.deals ADD CONSTRAINT positive CHECK (amount > 0);
ALTER TABLE rule_crm.contacts ADD CONSTRAINT not_two CHECK (owner <> '2');
INSERT INTO rule_crm.events (contact_id, name, occurred_at, properties) VALUES
	(30, 'Bad', '2024-01-01', '{"n": "x"}'), (31, 'Bad', '2024-01-01', '{"n": "1"}'),
	(30, 'Bad value', '2024-01-01', '{"n": "0"}'), (31, 'Bad value', '2024-01-01', '{"n": "1"}'),
	(30, 'Bad deal', '2024-01-01', '{"n": "-1"}'), (31, 'Bad deal', '2024-01-01', '{"n": "1"}'), (32, 'Bad deal', '2024-01-01', '{"n": "none"}');
SELECT contact_id, count(*) FROM rule_crm.events WHERE contact_id >= 30 GROUP BY 1 ORDER BY 1;
SELECT id, stage, owner FROM rule_crm.contacts WHERE id >= 30 ORDER BY id;
SELECT contact_id, amount FROM rule_crm.deals WHERE contact_id >= 30 ORDER BY contact_id;
SELECT rule, contact, sqlstate, message FROM rule_crm.problem ORDER BY rule, contact;
SELECT * FROM pg_temp.sent();
SELECT item, split_part(value, ',', 1) AS rule FROM lifecycle_status('rule_crm') WHERE item = 'problem' ORDER BY value;
-- a trigger of the user that refuses the write
CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no stage for %', NEW.id; END $$;
CREATE TRIGGER refuse BEFORE UPDATE OF stage ON rule_crm.contacts FOR EACH ROW WHEN (NEW.id = 32) EXECUTE FUNCTION pg_temp.refuse();
DELETE FROM rule_crm.problem;
INSERT INTO rule_crm.events (contact_id, name, occurred_at) VALUES (32, 'Jump', '2024-01-01'), (31, 'Jump', '2024-01-01');
SELECT id, stage FROM rule_crm.contacts WHERE id >= 31 ORDER BY id;
SELECT rule, contact, sqlstate, message FROM rule_crm.problem ORDER BY rule, contact;
SELECT * FROM oracle.check('rule_crm', '2024-01-01 00:00+00');

SELECT lifecycle_drop('rule_crm');
SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
