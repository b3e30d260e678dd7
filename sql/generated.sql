--
-- Generated columns in predicates.  Stored ones; for virtual ones see
-- postgres18.sql.
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

CREATE SCHEMA generated_shop;
CREATE TABLE generated_shop.firms (id int PRIMARY KEY, turnover numeric, size text GENERATED ALWAYS AS
	(CASE WHEN turnover >= 1000 THEN 'large' ELSE 'small' END) STORED);
CREATE TABLE generated_shop.people (id int PRIMARY KEY, email text, firm_id int,
	domain text GENERATED ALWAYS AS (lower(split_part(email, '@', 2))) STORED);
CREATE TABLE generated_shop.hits (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, person_id int, properties jsonb, at timestamptz,
	event text GENERATED ALWAYS AS (properties ->> 'event') STORED,
	amount numeric GENERATED ALWAYS AS ((properties ->> 'amount')::numeric) STORED);
SELECT object, role, "column", chosen_by FROM lifecycle_attach('generated_model', 'generated_shop.people', 'generated_shop.hits',
	'generated_shop.firms', columns => '{"contacts": {"company": "firm_id"}}');
SELECT lifecycle_add_segment('generated_model', 'At Acme', $$domain = 'acme.fi'$$);
SELECT lifecycle_add_segment('generated_model', 'Of a large firm', $$company.size = 'large'$$);
SELECT lifecycle_add_segment('generated_model', 'Spent twice', $$did('Order', amount > 10, times => 2)$$);
INSERT INTO oracle.segment (model, name, query) VALUES
	('generated_model', 'At Acme', $$SELECT id FROM generated_shop.people WHERE lower(split_part(email, '@', 2)) = 'acme.fi' AND $1 IS NOT NULL$$),
	('generated_model', 'Of a large firm', $$SELECT p.id FROM generated_shop.people p JOIN generated_shop.firms f ON f.id = p.firm_id
	 WHERE f.turnover >= 1000 AND $1 IS NOT NULL$$),
	('generated_model', 'Spent twice', $$SELECT person_id FROM generated_shop.hits WHERE properties ->> 'event' = 'Order'
	 AND (properties ->> 'amount')::numeric > 10 AND at <= $1 GROUP BY 1 HAVING count(*) >= 2$$);

INSERT INTO generated_shop.firms (id, turnover) VALUES (1, 10), (2, 2000);
INSERT INTO generated_shop.people (id, email, firm_id) VALUES (1, 'a@ACME.fi', 1), (2, 'b@example.com', 2), (3, NULL, NULL);
INSERT INTO generated_shop.hits (person_id, properties, at) VALUES
	(1, '{"event": "Order", "amount": 20}', '2024-01-01'), (2, '{"event": "Order", "amount": 5}', '2024-01-01');
INSERT INTO generated_shop.hits (person_id, properties, at) VALUES
	(1, '{"event": "Order", "amount": 11}', '2024-01-02'), (2, '{"event": "Order", "amount": 50}', '2024-01-02');
SELECT segment, contact FROM generated_model.segment_member ORDER BY 1, 2;
SELECT * FROM oracle.check('generated_model', now());
UPDATE generated_shop.people SET email = 'b@acme.fi' WHERE id = 2;
UPDATE generated_shop.people SET email = 'a@example.com' WHERE id = 1;
UPDATE generated_shop.firms SET turnover = 3000 - turnover;
UPDATE generated_shop.hits SET properties = properties || '{"amount": 12}' WHERE person_id = 2;
DELETE FROM generated_shop.hits WHERE person_id = 1 AND amount = 20;
SELECT segment, contact FROM generated_model.segment_member ORDER BY 1, 2;
SELECT * FROM oracle.check('generated_model', now());
SELECT * FROM lifecycle_verify('generated_model');
SELECT count(*) FROM generated_model.problem;
SELECT lifecycle_drop('generated_model');

SET client_min_messages = warning;
DROP SCHEMA generated_shop CASCADE;
DROP SCHEMA oracle CASCADE;
