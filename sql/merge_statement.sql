--
-- MERGE into events, contacts and companies: one statement that inserts, updates
-- and deletes.
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

SELECT lifecycle_create('merge_crm');
SELECT lifecycle_add_segment('merge_crm', 'Twice', $$did('Visit', times => 2)$$, stage => 'Lead');
SELECT lifecycle_add_segment('merge_crm', 'Foresters', $$company.industry = 'Forestry' AND country = 'FI'$$, stage => 'MQL');
INSERT INTO oracle.model VALUES ('merge_crm');
INSERT INTO oracle.segment (model, name, query, stage) VALUES
	('merge_crm', 'Twice', $$SELECT c.id FROM merge_crm.contacts c JOIN merge_crm.events e ON e.contact_id = c.id
	 WHERE e.name = 'Visit' AND e.occurred_at <= $1 GROUP BY c.id HAVING count(*) >= 2$$, 'Lead'),
	('merge_crm', 'Foresters', $$SELECT c.id FROM merge_crm.contacts c JOIN merge_crm.companies k ON k.id = c.company_id
	 WHERE k.industry = 'Forestry' AND c.country = 'FI' AND $1 IS NOT NULL$$, 'MQL');

-- companies and contacts
CREATE FUNCTION pg_temp.load_companies(list jsonb) RETURNS void LANGUAGE sql AS $$
	MERGE INTO merge_crm.companies k
	USING jsonb_to_recordset(list) AS v (id bigint, industry text) ON k.id = v.id
	WHEN MATCHED AND v.industry IS NULL THEN DELETE
	WHEN MATCHED THEN UPDATE SET industry = v.industry
	WHEN NOT MATCHED THEN INSERT (id, industry) VALUES (v.id, v.industry)
$$;
CREATE FUNCTION pg_temp.load_contacts(list jsonb) RETURNS void LANGUAGE sql AS $$
	MERGE INTO merge_crm.contacts c
	USING jsonb_to_recordset(list) AS v (id bigint, company bigint, country text, gone boolean) ON c.id = v.id
	WHEN MATCHED AND v.gone THEN DELETE
	WHEN MATCHED THEN UPDATE SET company_id = v.company, country = v.country
	WHEN NOT MATCHED AND v.id = 9 THEN DO NOTHING
	WHEN NOT MATCHED THEN INSERT (id, company_id, country) VALUES (v.id, v.company, v.country)
$$;
SELECT pg_temp.load_companies('[{"id": 10, "industry": "Forestry"}, {"id": 20, "industry": "Mining"}]');
SELECT pg_temp.load_contacts('[{"id": 1, "company": 10, "country": "FI"}, {"id": 2, "company": 20, "country": "FI"},
	{"id": 3, "company": 10, "country": "SE"}, {"id": 9, "company": 10, "country": "FI"}]');
SELECT id, company_id, country, stage FROM merge_crm.contacts ORDER BY id;
SELECT segment, contact FROM merge_crm.segment_member ORDER BY 1, 2;
SELECT * FROM oracle.check('merge_crm', now());
-- one that goes, one that stays, one that comes
SELECT pg_temp.load_contacts('[{"id": 1, "gone": true}, {"id": 3, "company": 10, "country": "FI"}, {"id": 4, "company": 10, "country": "FI"}]');
SELECT pg_temp.load_companies('[{"id": 20, "industry": "Forestry"}, {"id": 30, "industry": "Forestry"}]');
SELECT id, company_id, country, stage FROM merge_crm.contacts ORDER BY id;
SELECT id, industry, stage FROM merge_crm.companies ORDER BY id;
SELECT segment, contact FROM merge_crm.segment_member ORDER BY 1, 2;
SELECT * FROM oracle.check('merge_crm', now());

-- events: a message that comes twice changes its row, as the statement says
CREATE FUNCTION pg_temp.load_events(list jsonb) RETURNS void LANGUAGE sql AS $$
	MERGE INTO merge_crm.events e
	USING jsonb_to_recordset(list) AS v (message text, contact bigint, name text) ON e.message_id = v.message
	WHEN MATCHED AND v.name IS NULL THEN DELETE
	WHEN MATCHED THEN UPDATE SET contact_id = v.contact, name = v.name
	WHEN NOT MATCHED THEN INSERT (message_id, contact_id, name, occurred_at) VALUES (v.message, v.contact, v.name, '2024-01-01')
$$;
SELECT pg_temp.load_events('[{"message": "a", "contact": 2, "name": "Visit"}, {"message": "b", "contact": 2, "name": "Visit"},
	{"message": "c", "contact": 3, "name": "Visit"}, {"message": "d", "contact": 4, "name": "Other"}]');
SELECT segment, contact FROM merge_crm.segment_member WHERE segment = 'Twice' ORDER BY 2;
SELECT * FROM oracle.check('merge_crm', now());
-- b goes, a changes hands, c stays and e comes, d becomes a visit: at once
SELECT pg_temp.load_events('[{"message": "b"}, {"message": "a", "contact": 4, "name": "Visit"},
	{"message": "c", "contact": 3, "name": "Visit"}, {"message": "d", "contact": 4, "name": "Visit"}, {"message": "e", "contact": 3, "name": "Visit"}]');
SELECT segment, contact FROM merge_crm.segment_member WHERE segment = 'Twice' ORDER BY 2;
SELECT id, stage FROM merge_crm.contacts ORDER BY id;
SELECT * FROM oracle.check('merge_crm', now());
SELECT * FROM lifecycle_verify('merge_crm');
SELECT count(*) FROM merge_crm.problem;

-- A meeting that is merged in opens its deal; merged again it is the same one.
SELECT pg_temp.load_events('[{"message": "m", "contact": 2, "name": "Meeting Booked"}]');
SELECT pg_temp.load_events('[{"message": "m", "contact": 2, "name": "Meeting Booked"}]');
SELECT contact_id, stage, is_open FROM merge_crm.deals ORDER BY id;
-- and a deal may be won by one
MERGE INTO merge_crm.deals d USING (VALUES (2)) v (contact) ON d.contact_id = v.contact AND d.is_open
	WHEN MATCHED THEN UPDATE SET stage = 'closed won';
SELECT contact_id, stage, is_open FROM merge_crm.deals ORDER BY id;
SELECT id, stage FROM merge_crm.contacts ORDER BY id;
SELECT lifecycle_drop('merge_crm');

SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
