--
-- The proof: lifecycle_verify compares what is stored with a recomputation
-- from the application tables, lifecycle_rebuild repairs.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
\set SHOW_CONTEXT never

SELECT lifecycle_create('verify_crm');
SELECT lifecycle_set('verify_crm', 'clock', 'tick');
SELECT contacts FROM lifecycle_tick('verify_crm', '2024-01-10 00:00+00');
SELECT lifecycle_add_segment('verify_crm', 'Signed', $$did('Signed Up')$$, stage => 'Lead');
SELECT lifecycle_add_segment('verify_crm', 'Active', $$did('Login', times => 3) AND country = 'FI'$$, stage => 'MQL');
SELECT lifecycle_add_segment('verify_crm', 'Recent', $$did('Login', within => '7 days') AND in_segment('Signed')$$);
SELECT lifecycle_add_segment('verify_crm', 'Buyer', $$event_sum('Purchase', (properties->>'value')::numeric) > 100$$);
INSERT INTO verify_crm.companies (id, name) VALUES (1, 'Acme');
INSERT INTO verify_crm.contacts (id, company_id, country) SELECT i, 1, CASE WHEN i % 2 = 0 THEN 'FI' END FROM generate_series(1, 6) i;
INSERT INTO verify_crm.events (contact_id, name, occurred_at)
SELECT i, n, '2024-01-09 00:00+00' FROM generate_series(1, 5) i, unnest(ARRAY['Signed Up', 'Login', 'Login', 'Login']) n;
INSERT INTO verify_crm.events (contact_id, name, occurred_at, properties) VALUES
	(6, 'Purchase', '2024-01-08 00:00+00', '{"value": 60}'), (6, 'Purchase', '2024-01-09 00:00+00', '{"value": 60}'),
	(5, 'Meeting Booked', '2024-01-10 00:00+00', '{}');
SELECT segment, string_agg(contact::text, ' ' ORDER BY contact) FROM verify_crm.segment_member GROUP BY 1 ORDER BY 1;

-- none is the proof
SELECT * FROM lifecycle_verify('verify_crm');
-- a contact that is late is not wrong
UPDATE verify_crm.clock SET last_tick = '2024-02-01 00:00+00';
SELECT * FROM lifecycle_verify('verify_crm');
SELECT contacts, "left" FROM lifecycle_tick('verify_crm', '2024-02-01 00:00+00');
SELECT * FROM lifecycle_verify('verify_crm');

-- somebody meddles with what lifecycle keeps
UPDATE verify_crm.contact_state SET state = (SELECT state FROM verify_crm.contact_state WHERE contact = 6) WHERE contact = 2;
UPDATE verify_crm.contact_state SET due = '2024-03-01 00:00+00' WHERE contact = 3;
DELETE FROM verify_crm.contact_state WHERE contact = 4;
DELETE FROM verify_crm.membership WHERE contact = 5 AND segment_id = (SELECT id FROM verify_crm.segment WHERE name = 'Signed');
INSERT INTO verify_crm.membership (id, entered_at, noticed_at, segment_id, contact, cause)
	SELECT 0, '2024-01-10 00:00+00', '2024-01-10 00:00+00', id, 1, 'rebuild' FROM verify_crm.segment WHERE name = 'Buyer';
INSERT INTO verify_crm.stage_count VALUES ('contact', 'Lead', 7);
DELETE FROM verify_crm.stage_history WHERE contact = 5 AND to_stage = 'Opportunity';
UPDATE verify_crm.deal_history SET to_stage = 'Closed won';
SELECT * FROM lifecycle_verify('verify_crm') ORDER BY what, key, name;
SELECT lifecycle_rebuild('verify_crm');
-- states and numbers are repaired; a history that was changed cannot be
SELECT * FROM lifecycle_verify('verify_crm') ORDER BY what, key, name;
SELECT segment, string_agg(contact::text, ' ' ORDER BY contact) FROM verify_crm.segment_member GROUP BY 1 ORDER BY 1;

-- one contact only
UPDATE verify_crm.contact_state SET state = (SELECT state FROM verify_crm.contact_state WHERE contact = 6) WHERE contact = 2;
SELECT lifecycle_rebuild('verify_crm', 2);
SELECT count(*) FROM lifecycle_verify('verify_crm') WHERE what NOT LIKE 'stage of%';

SELECT lifecycle_verify('verify_cmr');
SELECT lifecycle_rebuild('verify_crm', 'two');
SELECT lifecycle_drop('verify_crm');
