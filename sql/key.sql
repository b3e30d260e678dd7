--
-- Keys: what identifies a row must stay unique and not null, and a foreign key
-- that may be broken for a while promises nothing.
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

--
-- 1. A key that is no primary key
--
CREATE SCHEMA key_shop;
CREATE TABLE key_shop.people (code text NOT NULL, name text, CONSTRAINT people_code UNIQUE (code));
CREATE TABLE key_shop.firms (id int PRIMARY KEY, branch text);
CREATE TABLE key_shop.offers (id int NOT NULL UNIQUE, person text, stage text);
INSERT INTO key_shop.people VALUES ('a', 'Aino'), ('b', 'Bo');
SELECT object, role, "column", chosen_by FROM lifecycle_attach('key_model', 'key_shop.people', companies => 'key_shop.firms',
	deals => 'key_shop.offers', columns => '{"deals": {"contact": "person"}}') WHERE role = 'key' ORDER BY object;
SELECT lifecycle_add_segment('key_model', 'Named Aino', $$name = 'Aino'$$, stage => 'Lead');

-- It cannot lose what makes it a key,
ALTER TABLE key_shop.people ALTER code DROP NOT NULL;
ALTER TABLE key_shop.people DROP CONSTRAINT people_code;
ALTER TABLE key_shop.firms DROP CONSTRAINT firms_pkey;
ALTER TABLE key_shop.offers ALTER id DROP NOT NULL;
INSERT INTO key_shop.people VALUES (NULL, 'Aino');
-- but may exchange it, and all else may change.
ALTER TABLE key_shop.people DROP CONSTRAINT people_code, ADD PRIMARY KEY (code);
ALTER TABLE key_shop.people ALTER name SET NOT NULL;
ALTER TABLE key_shop.people ALTER name DROP NOT NULL;
INSERT INTO key_shop.people VALUES ('c', 'Aino'), ('d', NULL);
SELECT code, name, stage FROM key_shop.people ORDER BY code;
-- Once the model is gone, the tables are the user's alone.
SELECT lifecycle_drop('key_model');
ALTER TABLE key_shop.people DROP CONSTRAINT people_pkey;
ALTER TABLE key_shop.people ALTER code DROP NOT NULL;
SELECT lifecycle_attach('key_model', 'key_shop.people');
DROP TABLE key_shop.people, key_shop.firms, key_shop.offers;

--
-- 2. A contact that comes before its company, which a deferred foreign key, and
--    one that is not validated, let pass
--
SELECT lifecycle_create('key_crm');
SELECT lifecycle_add_segment('key_crm', 'Foresters', $$company.industry = 'Forestry'$$, stage => 'Lead');
INSERT INTO oracle.model VALUES ('key_crm');
INSERT INTO oracle.segment (model, name, query, stage) VALUES
	('key_crm', 'Foresters', $$SELECT c.id FROM key_crm.contacts c JOIN key_crm.companies k ON k.id = c.company_id
	 WHERE k.industry = 'Forestry' AND $1 IS NOT NULL$$, 'Lead');
ALTER TABLE key_crm.contacts ALTER CONSTRAINT contacts_company_id_fkey DEFERRABLE INITIALLY DEFERRED;
BEGIN;
INSERT INTO key_crm.contacts (id, company_id) VALUES (1, 10);
INSERT INTO key_crm.companies (id, industry) VALUES (10, 'Forestry');
COMMIT;
SELECT contact FROM key_crm.segment_member ORDER BY 1;
SELECT stage FROM key_crm.companies ORDER BY id;
SELECT * FROM oracle.check('key_crm', now());

ALTER TABLE key_crm.contacts DROP CONSTRAINT contacts_company_id_fkey;
INSERT INTO key_crm.contacts (id, company_id) VALUES (2, 20);
ALTER TABLE key_crm.contacts ADD FOREIGN KEY (company_id) REFERENCES key_crm.companies NOT VALID;
INSERT INTO key_crm.companies (id, industry) VALUES (20, 'Forestry');
SELECT contact FROM key_crm.segment_member ORDER BY 1;
SELECT * FROM oracle.check('key_crm', now());
ALTER TABLE key_crm.contacts VALIDATE CONSTRAINT contacts_company_id_fkey;
INSERT INTO key_crm.companies (id, industry) VALUES (30, 'Forestry');
INSERT INTO key_crm.contacts (id, company_id) VALUES (3, 30);
SELECT contact FROM key_crm.segment_member ORDER BY 1;
SELECT * FROM oracle.check('key_crm', now());
SELECT lifecycle_drop('key_crm');

SET client_min_messages = warning;
DROP SCHEMA key_shop CASCADE;
DROP SCHEMA oracle CASCADE;
