--
-- Five minutes: from CREATE EXTENSION to a deal that opened itself.
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

-- A model: a schema with contacts, companies, deals and events, and the stages,
-- statuses, pipeline and rules of the template hubspot.
SELECT lifecycle_create('crm');

-- A company with two people.
INSERT INTO crm.companies (id, name) VALUES (1, 'Northwind');
INSERT INTO crm.contacts (id, email, first_name, last_name, industry, country, company_id, stage) VALUES
	(1, 'ada@northwind.example', 'Ada', 'Lovelace', 'Tools', 'FI', 1, 'subscriber'),
	(2, 'bob@northwind.example', 'Bob', NULL, NULL, NULL, 1, NULL);

-- The company is where the furthest of its people is.
SELECT id, name, stage FROM crm.companies;

-- A segment: a name for an SQL expression over a contact and what it did.
-- Its members become MQL.
SELECT lifecycle_add_segment('crm', 'Engaged',
	$$country = 'FI' AND did('Page Viewed', times => 3, within => '30 days')$$, stage => 'MQL');
INSERT INTO oracle.segment (model, name, query) VALUES ('crm', 'Engaged',
	$$SELECT c.id FROM crm.contacts c WHERE c.country = 'FI'
	  AND (SELECT count(*) FROM crm.events e WHERE e.contact_id = c.id AND e.name = 'Page Viewed'
		   AND e.occurred_at > $1 - interval '30 days' AND e.occurred_at <= $1) >= 3$$);

-- Events come in by plain INSERT.
INSERT INTO crm.events (contact_id, name, properties) VALUES
	(1, 'Page Viewed', '{"path": "/"}'),
	(1, 'Page Viewed', '{"path": "/pricing"}');
SELECT id, stage FROM crm.contacts ORDER BY id;
INSERT INTO crm.events (contact_id, name, properties) VALUES
	(1, 'Page Viewed', '{"path": "/pricing"}'),
	(2, 'Page Viewed', '{"path": "/"}');
SELECT id, stage FROM crm.contacts ORDER BY id;
SELECT segment, contact FROM crm.segment_member;

-- A booked meeting opens a deal, by itself.
INSERT INTO crm.events (contact_id, name, message_id) VALUES (1, 'Meeting Booked', 'calendar-42');
SELECT id, stage, lead_status FROM crm.contacts ORDER BY id;
SELECT name, stage, lead_status, industry, country FROM crm.companies;
SELECT name, contact_id, company_id, pipeline, stage, is_open FROM crm.deals;
SELECT aggregatetype, aggregateid, type FROM crm.outbox;

-- The same message once more is refused by the events table, and there is still
-- one deal.
INSERT INTO crm.events (contact_id, name, message_id) VALUES (1, 'Meeting Booked', 'calendar-42')
ON CONFLICT DO NOTHING;
SELECT count(*) FROM crm.deals;

-- The deal is won.
UPDATE crm.deals SET stage = 'closed won', amount = 1200, currency = 'EUR';
SELECT stage, is_open, close_date IS NOT NULL AS has_close_date FROM crm.deals;
SELECT id, stage FROM crm.contacts ORDER BY id;
SELECT name, stage FROM crm.companies;

-- What happened, and why.
SELECT object, coalesce(contact, company) AS key, from_stage, to_stage, cause, event, rule
FROM crm.stage_history ORDER BY id;
SELECT stage, contacts, reached FROM crm.funnel ORDER BY position;

-- All of it is in the transaction that caused it.
BEGIN;
INSERT INTO crm.events (contact_id, name) VALUES (2, 'Meeting Booked');
SELECT name, stage FROM crm.deals ORDER BY id;
ROLLBACK;
SELECT name, stage FROM crm.deals ORDER BY id;
SELECT id, stage FROM crm.contacts ORDER BY id;

SELECT * FROM oracle.check('crm', now());
SELECT count(*) FROM crm.problem;
SELECT lifecycle_drop('crm');
SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
