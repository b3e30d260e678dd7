--
-- What PostgreSQL 17 brought: COPY that leaves out bad rows, MERGE that deletes
-- what the source lacks, and generated columns that are computed anew.
--
SELECT current_setting('server_version_num')::int < 170000 AS older \gset
\if :older
\echo this needs PostgreSQL 17
\quit
\endif
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

SELECT lifecycle_create('pg17_crm');
SELECT lifecycle_add_segment('pg17_crm', 'Twice', $$did('Visit', times => 2)$$, stage => 'Lead');
INSERT INTO oracle.model VALUES ('pg17_crm');
INSERT INTO oracle.segment (model, name, query, stage) VALUES
	('pg17_crm', 'Twice', $$SELECT c.id FROM pg17_crm.contacts c JOIN pg17_crm.events e ON e.contact_id = c.id
	 WHERE e.name = 'Visit' AND e.occurred_at <= $1 GROUP BY c.id HAVING count(*) >= 2$$, 'Lead');
INSERT INTO pg17_crm.contacts (id, country) VALUES (1, 'FI'), (2, 'SE'), (3, 'FI');

-- Rows that cannot be read are left out; the others count.
COPY pg17_crm.events (contact_id, name, occurred_at, message_id) FROM stdin (FORMAT csv, ON_ERROR ignore);
1,Visit,2024-01-01,a
1,Visit,2024-01-32,b
two,Visit,2024-01-01,c
2,Visit,2024-01-01,d
2,Visit,2024-01-02,e
3,Visit,2024-01-01,f
\.
SELECT segment, contact FROM pg17_crm.segment_member ORDER BY 1, 2;
SELECT * FROM oracle.check('pg17_crm', now());

-- The source says what there is.
MERGE INTO pg17_crm.events e
	USING (VALUES ('a', 1), ('b', 1), ('d', 2), ('f', 3), ('g', 3)) v (message, contact) ON e.message_id = v.message
	WHEN NOT MATCHED BY SOURCE THEN DELETE
	WHEN NOT MATCHED THEN INSERT (message_id, contact_id, name, occurred_at) VALUES (v.message, v.contact, 'Visit', '2024-01-03');
SELECT message_id, contact_id FROM pg17_crm.events ORDER BY 1;
SELECT segment, contact FROM pg17_crm.segment_member ORDER BY 1, 2;
SELECT * FROM oracle.check('pg17_crm', now());

-- A generated column that is computed in another way: no trigger sees the new
-- values, so who is in is to be computed again.
ALTER TABLE pg17_crm.contacts ADD nordic boolean GENERATED ALWAYS AS (country IN ('FI', 'SE')) STORED;
SELECT lifecycle_add_segment('pg17_crm', 'Nordic', 'nordic');
INSERT INTO oracle.segment (model, name, query) VALUES
	('pg17_crm', 'Nordic', $$SELECT id FROM pg17_crm.contacts WHERE nordic AND $1 IS NOT NULL$$);
ALTER TABLE pg17_crm.contacts ALTER nordic SET EXPRESSION AS (country = 'SE');
SELECT what, key, name, stored, computed FROM lifecycle_verify('pg17_crm') ORDER BY 2;
SELECT lifecycle_rebuild('pg17_crm');
SELECT segment, contact FROM pg17_crm.segment_member ORDER BY 1, 2;
SELECT * FROM oracle.check('pg17_crm', now());
SELECT lifecycle_drop('pg17_crm');

SET client_min_messages = warning;
DROP SCHEMA oracle CASCADE;
