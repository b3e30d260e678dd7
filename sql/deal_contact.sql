--
-- Deals with several contacts, where the application has a table of them.
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

CREATE SCHEMA deal_shop;
CREATE TABLE deal_shop.accounts (id int PRIMARY KEY, name text);
CREATE TABLE deal_shop.people (
	id int PRIMARY KEY, email text, note text, account_id int REFERENCES deal_shop.accounts);
CREATE TABLE deal_shop.activity (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, person_id int, event text, created_at timestamptz DEFAULT now());
CREATE TABLE deal_shop.opportunities (
	id bigint PRIMARY KEY, name text, person_id int, account_id int, pipeline text, stage text, amount numeric,
	closed_at timestamptz, owner text);
CREATE TABLE deal_shop.involved (
	opportunity_id bigint NOT NULL, person_id int NOT NULL REFERENCES deal_shop.people ON DELETE CASCADE, role text,
	PRIMARY KEY (opportunity_id, person_id));
INSERT INTO deal_shop.accounts VALUES (1, 'Acme'), (2, 'Bolt');
INSERT INTO deal_shop.people VALUES (1, 'ann@a', NULL, 1), (2, 'bo@a', NULL, 1), (3, 'cem@b', NULL, 2), (4, 'dee@b', NULL, 2);

-- What cannot be attached, and what to do.
SELECT * FROM lifecycle_attach('deal_model', 'deal_shop.people', deal_contacts => 'deal_shop.involved');
SELECT * FROM lifecycle_attach('deal_model', 'deal_shop.people', deals => 'deal_shop.opportunities', deal_contacts => 'deal_shop.involved');
ALTER TABLE deal_shop.involved ADD CONSTRAINT later FOREIGN KEY (opportunity_id) REFERENCES deal_shop.opportunities
	ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
SELECT * FROM lifecycle_attach('deal_model', 'deal_shop.people', deals => 'deal_shop.opportunities', deal_contacts => 'deal_shop.involved');
ALTER TABLE deal_shop.involved DROP CONSTRAINT later,
	ADD FOREIGN KEY (opportunity_id) REFERENCES deal_shop.opportunities ON DELETE CASCADE;
SELECT * FROM lifecycle_attach('deal_model', 'deal_shop.people', deals => 'deal_shop.opportunities',
	deal_contacts => 'deal_shop.people');
SELECT * FROM lifecycle_attach('deal_model', 'deal_shop.people', deals => 'deal_shop.opportunities',
	deal_contacts => 'deal_shop.involved', columns => '{"deal_contacts": {"deal": "role"}}');
SELECT * FROM lifecycle_attach('deal_model', 'deal_shop.people', deals => 'deal_shop.opportunities',
	deal_contacts => 'deal_shop.involved', columns => '{"deal_contacts": {"dael": "opportunity_id"}}');

-- A deal that is there already counts for all of its contacts.
INSERT INTO deal_shop.opportunities (id, person_id, stage) VALUES (90, 4, 'Contract sent');
INSERT INTO deal_shop.involved VALUES (90, 3, 'user');
SELECT * FROM lifecycle_attach('deal_model', contacts => 'deal_shop.people', companies => 'deal_shop.accounts',
	deals => 'deal_shop.opportunities', events => 'deal_shop.activity', deal_contacts => 'deal_shop.involved');
SELECT item, value, detail FROM lifecycle_status('deal_model') WHERE item IN ('deals', 'deal_contacts', 'trigger missing');
SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'deal_shop.involved'::regclass ORDER BY 1;
SELECT lifecycle_add_segment('deal_model', 'In a deal', $$ open_deals() > 0 $$);
SELECT lifecycle_add_segment('deal_model', 'In a big deal', $$ open_deals(amount >= 100) > 0 $$);
INSERT INTO oracle.segment VALUES
	('deal_model', 'In a deal', 'SELECT person_id FROM deal_shop.opportunities WHERE is_open UNION
		SELECT i.person_id FROM deal_shop.involved i, deal_shop.opportunities o WHERE o.id = i.opportunity_id AND o.is_open', NULL),
	('deal_model', 'In a big deal', 'SELECT person_id FROM deal_shop.opportunities WHERE is_open AND amount >= 100 UNION
		SELECT i.person_id FROM deal_shop.involved i, deal_shop.opportunities o WHERE o.id = i.opportunity_id AND o.is_open AND amount >= 100', NULL);
SELECT segment, contact FROM deal_model.segment_member ORDER BY 1, 2;

-- What happens to a deal happens to all of its contacts: Ann's deal, in which
-- Bo and Cem take part.  What is done about the deal is done once.
SELECT lifecycle_add_rule('deal_model', 'Thank', 'deal won', 'set field', '{"column": "note", "value": "''won '' || deal.name"}');
SELECT lifecycle_add_rule('deal_model', 'Hand over', 'deal won', 'create task', '{"title": "''Hand over to '' || email"}');
SELECT lifecycle_add_rule('deal_model', 'Tell', 'deal won', 'notify', '{"type": "Won", "payload": {"who": "email"}}');
INSERT INTO deal_shop.opportunities (id, name, person_id, account_id, amount) VALUES (1, 'Mill', 1, 1, 50);
SELECT id, stage FROM deal_shop.people ORDER BY id;
INSERT INTO deal_shop.involved VALUES (1, 2, 'buyer'), (1, 3, 'user'), (1, 1, 'self');
SELECT id, stage FROM deal_shop.people ORDER BY id;
SELECT id, stage FROM deal_shop.accounts ORDER BY id;
SELECT segment, contact FROM deal_model.segment_member ORDER BY 1, 2;
UPDATE deal_shop.opportunities SET amount = 100 WHERE id = 1;
SELECT segment, contact FROM deal_model.segment_member WHERE segment = 'In a big deal' ORDER BY 1, 2;
UPDATE deal_shop.opportunities SET stage = 'Closed won' WHERE id = 1;
SELECT id, stage, note FROM deal_shop.people ORDER BY id;
SELECT id, stage FROM deal_shop.accounts ORDER BY id;
SELECT title, contact, deal FROM deal_model.task ORDER BY id;
SELECT type, payload ->> 'who' AS who FROM deal_model.outbox ORDER BY id;
SELECT deal, contact, from_stage, to_stage FROM deal_model.deal_history WHERE deal = 1 ORDER BY id;
SELECT contact, from_stage, to_stage, cause, rule FROM deal_model.stage_history WHERE contact > 0 AND id > 4 ORDER BY contact, id;
SELECT contact, what FROM deal_model.contact_timeline WHERE kind = 'deal' ORDER BY contact, at, what;
SELECT * FROM lifecycle_verify('deal_model');
SELECT * FROM oracle.check('deal_model', now());

-- Dee comes when all is done, and is a customer at once; her leaving changes
-- no stage.
INSERT INTO deal_shop.involved VALUES (1, 4, NULL);
SELECT id, stage, note FROM deal_shop.people WHERE id = 4;
SELECT count(*) AS tasks FROM deal_model.task;
DELETE FROM deal_shop.involved WHERE opportunity_id = 1 AND person_id = 4;
SELECT id, stage FROM deal_shop.people WHERE id = 4;

-- Reopened, and moved to other people.
UPDATE deal_shop.opportunities SET stage = 'Contract sent' WHERE id = 1;
SELECT segment, contact FROM deal_model.segment_member ORDER BY 1, 2;
DELETE FROM deal_shop.involved WHERE person_id = 1;
UPDATE deal_shop.involved SET person_id = 4 WHERE opportunity_id = 1 AND person_id = 2;
UPDATE deal_shop.involved SET role = 'sponsor';
SELECT segment, contact FROM deal_model.segment_member ORDER BY 1, 2;
SELECT * FROM oracle.check('deal_model', now());

-- Who takes part in an open deal needs no other when a meeting is booked.
INSERT INTO deal_shop.activity (person_id, event) VALUES (2, 'Meeting Booked'), (3, 'Meeting Booked'), (4, 'Meeting Booked');
SELECT person_id, count(*) FROM deal_shop.opportunities GROUP BY 1 ORDER BY 1;

-- Merged, and two again: Cem takes part in both deals, Dee in the first.
SELECT opportunity_id, person_id, role FROM deal_shop.involved ORDER BY 1, 2;
INSERT INTO deal_shop.involved VALUES (90, 1, 'adviser');
SELECT lifecycle_merge('deal_model', 3, 1);
SELECT opportunity_id, person_id, role FROM deal_shop.involved ORDER BY 1, 2;
SELECT from_contact, deal_contacts, deal_contact_rows FROM deal_model.contact_merge ORDER BY id;
SELECT * FROM oracle.check('deal_model', now());
SELECT lifecycle_unmerge('deal_model', 1);
SELECT opportunity_id, person_id, role FROM deal_shop.involved ORDER BY 1, 2;
SELECT * FROM oracle.check('deal_model', now());

-- Forgotten, deleted, emptied.
SELECT lifecycle_forget('deal_model', 3) > 0 AS forgotten;
SELECT opportunity_id, person_id FROM deal_shop.involved ORDER BY 1, 2;
DELETE FROM deal_shop.people WHERE id = 4;
DELETE FROM deal_shop.opportunities WHERE id = 90;
SELECT opportunity_id, person_id FROM deal_shop.involved ORDER BY 1, 2;
SELECT * FROM oracle.check('deal_model', now());
INSERT INTO deal_shop.involved VALUES (1, 2, 'buyer');
SELECT segment, contact FROM deal_model.segment_member ORDER BY 1, 2;
TRUNCATE deal_shop.involved;
SELECT segment, contact FROM deal_model.segment_member ORDER BY 1, 2;
SELECT * FROM lifecycle_verify('deal_model');
SELECT * FROM oracle.check('deal_model', now());

-- Columns may be renamed, but not dropped; the table may go.
ALTER TABLE deal_shop.involved RENAME person_id TO who;
INSERT INTO deal_shop.involved VALUES (1, 2, 'buyer');
SELECT segment, contact FROM deal_model.segment_member ORDER BY 1, 2;
ALTER TABLE deal_shop.involved DROP COLUMN who CASCADE;
DROP TABLE deal_shop.involved CASCADE;
SELECT lifecycle_rebuild('deal_model');
SELECT segment, contact FROM deal_model.segment_member ORDER BY 1, 2;
SELECT count(*) AS kinds FROM lifecycle.model_column WHERE model = 'deal_model' AND object = 'deal_contacts';
SELECT * FROM lifecycle_verify('deal_model');

--
-- At random: text keys, a partitioned table whose leaves are written to as
-- well, without a unique index, several rows a statement.
--
CREATE SCHEMA deal_random;
CREATE TABLE deal_random.contacts (id text PRIMARY KEY);
CREATE TABLE deal_random.deals (id uuid PRIMARY KEY, contact_id varchar(20), stage text);
CREATE TABLE deal_random.deal_contacts (
	contact_id varchar(20), note text, deal_id uuid REFERENCES deal_random.deals ON DELETE CASCADE) PARTITION BY LIST (note);
CREATE TABLE deal_random.leaf_a (note text, deal_id uuid, contact_id varchar(20));
ALTER TABLE deal_random.deal_contacts ATTACH PARTITION deal_random.leaf_a FOR VALUES IN ('a');
CREATE TABLE deal_random.leaf_other PARTITION OF deal_random.deal_contacts DEFAULT;
INSERT INTO deal_random.contacts (id) SELECT 'c' || i FROM generate_series(1, 80) i;
SELECT count(*) FROM lifecycle_attach('deal_more', 'deal_random.contacts', deals => 'deal_random.deals', deal_contacts => 'deal_random.deal_contacts');
SELECT lifecycle_add_segment('deal_more', 'Two deals', $$ open_deals() >= 2 $$);
SELECT lifecycle_add_segment('deal_more', 'No deal', $$ open_deals() = 0 $$);
INSERT INTO oracle.segment
	SELECT 'deal_more', name, 'SELECT c.id FROM deal_random.contacts c WHERE (SELECT count(*) FROM deal_random.deals d WHERE is_open AND (d.contact_id = c.id
		OR EXISTS (SELECT FROM deal_random.deal_contacts l WHERE l.deal_id = d.id AND l.contact_id = c.id))) ' || condition, NULL
	FROM (VALUES ('Two deals', '>= 2'), ('No deal', '= 0')) v (name, condition);
CREATE TABLE deal_random.had AS SELECT c.id AS contact, false AS won FROM deal_random.contacts c LIMIT 0;
CREATE FUNCTION pg_temp.take_note() RETURNS void
LANGUAGE sql AS $$
	INSERT INTO deal_random.had
		SELECT l.contact_id, d.stage = 'Closed won' FROM deal_random.deals d JOIN deal_random.deal_contacts l ON l.deal_id = d.id
		UNION SELECT contact_id, stage = 'Closed won' FROM deal_random.deals;
$$;
CREATE FUNCTION pg_temp.dice(n int, VARIADIC words text[]) RETURNS int
LANGUAGE sql IMMUTABLE AS $$
	SELECT (('x' || substr(md5(array_to_string(words, ',')), 1, 7))::bit(28)::int) % n
$$;
DO $$
DECLARE
	i text;
BEGIN
	FOR i IN SELECT generate_series(1, 150) LOOP
		INSERT INTO deal_random.deals (id, contact_id, stage)
			SELECT md5(i || n)::uuid, CASE WHEN pg_temp.dice(4, i, 'o', n::text) > 0 THEN 'c' || pg_temp.dice(75, i, 'c', n::text) END,
				   (ARRAY['Contract sent', 'Contract sent', 'Contract sent', 'Contract sent', 'Closed won', 'Closed lost'])[1 + pg_temp.dice(6, i, 's', n::text)]
			  FROM generate_series(1, pg_temp.dice(4, i, 'n')) n
			ON CONFLICT DO NOTHING;
		IF pg_temp.dice(3, i, 'leaf') = 0 THEN
			INSERT INTO deal_random.leaf_a (deal_id, contact_id, note)
				SELECT id, 'c' || pg_temp.dice(75, i, 'l', id::text), 'a' FROM deal_random.deals WHERE pg_temp.dice(20, i, 'm', id::text) = 0;
		ELSE
			INSERT INTO deal_random.deal_contacts (deal_id, contact_id, note)
				SELECT id, 'c' || pg_temp.dice(75, i, 'l', id::text), (ARRAY['a', 'b', NULL])[1 + pg_temp.dice(3, i, 'p', id::text)]
				  FROM deal_random.deals WHERE pg_temp.dice(12, i, 'm', id::text) = 0;
		END IF;
		PERFORM pg_temp.take_note();
		UPDATE deal_random.deals SET stage = (ARRAY['Contract sent', 'Contract sent', 'Closed won', 'Closed lost', 'Closed lost'])[1 + pg_temp.dice(5, i, 't', id::text)]
		 WHERE pg_temp.dice(25, i, 'u', id::text) = 0
		   AND NOT EXISTS (SELECT FROM deal_random.deals o WHERE o.contact_id = deals.contact_id AND o.id <> deals.id);
		PERFORM pg_temp.take_note();
		DELETE FROM deal_random.deal_contacts WHERE pg_temp.dice(25, i, 'd', deal_id::text, contact_id) = 0;
		UPDATE deal_random.deal_contacts SET note = CASE note WHEN 'a' THEN 'b' ELSE 'a' END WHERE pg_temp.dice(15, i, 'k', deal_id::text) = 0;
		UPDATE deal_random.deal_contacts SET contact_id = 'c' || pg_temp.dice(75, i, 'w', deal_id::text) WHERE pg_temp.dice(30, i, 'v', deal_id::text) = 0;
		PERFORM pg_temp.take_note();
		DELETE FROM deal_random.deals WHERE pg_temp.dice(100, i, 'x', id::text) = 0;
	END LOOP;
END
$$;
SELECT count(*) > 50 AS rows, count(DISTINCT deal_id) > 20 AS deals, count(DISTINCT contact_id) > 25 AS contacts, count(*) > count(DISTINCT (deal_id, contact_id)) AS twice FROM deal_random.deal_contacts;
SELECT segment, count(*) > 5 AS members FROM deal_more.segment_member GROUP BY 1 ORDER BY 1;
SELECT * FROM oracle.check('deal_more', now());
SELECT * FROM lifecycle_verify('deal_more');
-- Who was ever in a deal is at least an opportunity, in a won one a customer;
-- who was in none has no stage.
SELECT c.id, c.stage, bool_or(h.won) AS won FROM deal_random.contacts c LEFT JOIN deal_random.had h ON h.contact = c.id
 GROUP BY c.id HAVING c.stage IS DISTINCT FROM CASE WHEN bool_or(h.won) THEN 'Customer' WHEN bool_or(h.won) IS NULL THEN NULL ELSE 'Opportunity' END ORDER BY 1;
SELECT stage, count(*) > 0 AS some FROM deal_random.contacts GROUP BY 1 ORDER BY 1;

SET client_min_messages = warning;
SELECT lifecycle_drop('deal_model');
SELECT lifecycle_drop('deal_more');
DROP SCHEMA deal_random CASCADE;
DROP SCHEMA deal_shop CASCADE;
DROP SCHEMA oracle CASCADE;
