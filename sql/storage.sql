--
-- How memberships and states are stored: without a plan where the tables are
-- as lifecycle made them, by SQL where somebody has put a trigger or a column on
-- them, and from wherever a row has moved to.  Members are compared with plain SQL.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
\set SHOW_CONTEXT never

SELECT lifecycle_create('store', 'empty');
ALTER TABLE store.events ALTER COLUMN occurred_at SET DEFAULT now();
SELECT lifecycle_add_segment('store', 'Twice', $$did('A', times => 2)$$);
SELECT lifecycle_add_segment('store', 'Few', $$event_count('B') BETWEEN 1 AND 2$$);
INSERT INTO store.contacts (id) SELECT generate_series(1, 600);

CREATE VIEW store_expected AS
SELECT 'Twice' AS segment, contact_id AS contact FROM store.events WHERE name = 'A' GROUP BY contact_id HAVING count(*) >= 2
UNION ALL
SELECT 'Few', contact_id FROM store.events WHERE name = 'B' GROUP BY contact_id HAVING count(*) BETWEEN 1 AND 2;
CREATE FUNCTION pg_temp.differences() RETURNS TABLE (what text, segment text, contact bigint) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT 'missing', x.* FROM (SELECT * FROM store_expected WHERE store_expected.contact IN (SELECT id FROM store.contacts)
		EXCEPT ALL SELECT m.segment, m.contact FROM store.segment_member m) x ORDER BY 2, 3;
	RETURN QUERY SELECT 'extra', x.* FROM (SELECT m.segment, m.contact FROM store.segment_member m
		EXCEPT ALL SELECT * FROM store_expected) x ORDER BY 2, 3;
	-- each entering and leaving once, by turns
	RETURN QUERY SELECT 'history', h.segment, h.contact FROM (
		SELECT h.*, lag(h.change, 1, 'left') OVER (PARTITION BY h.segment, h.contact ORDER BY h.id) AS before FROM store.segment_history h) h
		WHERE h.change = h.before ORDER BY 2, 3;
	RETURN QUERY SELECT 'verify: ' || v.what, v.name, v.key::bigint FROM lifecycle_verify('store') v ORDER BY 2, 3;
END
$$;

--
-- 1. Many rows a statement, more than go to the table at once; single rows
--
INSERT INTO store.events (contact_id, name) SELECT c, n FROM generate_series(1, 600) c, unnest('{A,A,B}'::text[]) n;
SELECT segment, count(*) FROM store.segment_member GROUP BY 1 ORDER BY 1;
INSERT INTO store.events (contact_id, name) SELECT c, 'B' FROM generate_series(1, 400) c, generate_series(1, 2);
INSERT INTO store.events (contact_id, name) VALUES (500, 'B');
INSERT INTO store.events (contact_id, name) VALUES (500, 'B');
DELETE FROM store.events WHERE contact_id = 1 AND name = 'B';
SELECT segment, count(*) FROM store.segment_member GROUP BY 1 ORDER BY 1;
SELECT change, count(*), count(DISTINCT id) = count(*) AS numbered FROM store.segment_history GROUP BY 1 ORDER BY 1;
SELECT * FROM pg_temp.differences();

--
-- 2. Rows that have moved: the session looks where it found them last
--
VACUUM FULL store.contact_state;
INSERT INTO store.events (contact_id, name) SELECT c, 'B' FROM generate_series(401, 499) c;
-- a later one's row comes to the place of one that was deleted
BEGIN;
DELETE FROM store.contacts WHERE id BETWEEN 100 AND 200;
INSERT INTO store.contacts (id) SELECT generate_series(1001, 1101);
COMMIT;
VACUUM store.contact_state;
INSERT INTO store.contacts (id) SELECT generate_series(1102, 1200);
INSERT INTO store.events (contact_id, name) SELECT c, n FROM generate_series(1001, 1200) c, unnest('{A,B}'::text[]) n;
INSERT INTO store.events (contact_id, name) SELECT c, 'A' FROM generate_series(1001, 1200, 3) c;
-- and the deleted come back
INSERT INTO store.contacts (id) SELECT generate_series(100, 200);
INSERT INTO store.events (contact_id, name) SELECT c, n FROM generate_series(100, 200) c, unnest('{A,A,B}'::text[]) n;
SELECT * FROM pg_temp.differences();
-- the table gets shorter than where some were
INSERT INTO store.contacts (id) SELECT generate_series(5001, 6000);
INSERT INTO store.events (contact_id, name) SELECT c, 'A' FROM generate_series(5001, 6000) c;
DELETE FROM store.contacts WHERE id BETWEEN 5001 AND 5990;
VACUUM FULL store.contact_state;
INSERT INTO store.events (contact_id, name) SELECT c, 'A' FROM generate_series(5991, 6000) c;
SELECT count(*) FROM store.segment_member WHERE contact > 5000;
SELECT * FROM pg_temp.differences();
-- what a savepoint takes back was found there too
BEGIN;
INSERT INTO store.events (contact_id, name) VALUES (1002, 'A');
SAVEPOINT s;
INSERT INTO store.events (contact_id, name) SELECT 1002, 'B' FROM generate_series(1, 2);
DELETE FROM store.events WHERE contact_id = 1003 AND name = 'A';
SELECT segment FROM store.segment_member WHERE contact = 1002 ORDER BY 1;
ROLLBACK TO s;
SELECT segment FROM store.segment_member WHERE contact = 1002 ORDER BY 1;
INSERT INTO store.events (contact_id, name) SELECT 1002, 'B' FROM generate_series(1, 2);
COMMIT;
SELECT segment FROM store.segment_member WHERE contact = 1002 ORDER BY 1;
SELECT * FROM pg_temp.differences();
-- an UPDATE of the key
UPDATE store.contacts SET id = 2001 WHERE id = 1001;
UPDATE store.events SET contact_id = 2001 WHERE contact_id = 1001;
INSERT INTO store.events (contact_id, name) SELECT 2001, 'B' FROM generate_series(1, 2);
SELECT segment FROM store.segment_member WHERE contact IN (1001, 2001) ORDER BY 1;
SELECT * FROM pg_temp.differences();

--
-- 3. What only a plan does: triggers of the user's; and what is done without one
--
CREATE TABLE store_seen (what text, segment_id integer, contact bigint);
CREATE FUNCTION store_see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN
		INSERT INTO public.store_seen VALUES (TG_TABLE_NAME || ' ' || TG_OP, OLD.segment_id, OLD.contact);
		RETURN OLD;
	END IF;
	INSERT INTO public.store_seen VALUES (TG_TABLE_NAME || ' ' || TG_OP, NEW.segment_id, NEW.contact);
	RETURN NEW;
END
$$;
CREATE TRIGGER see AFTER INSERT OR DELETE ON store.membership FOR EACH ROW EXECUTE FUNCTION store_see();
INSERT INTO store.contacts (id) VALUES (3001), (3002);
INSERT INTO store.events (contact_id, name) VALUES (3001, 'A'), (3001, 'A'), (3001, 'B'), (3002, 'B');
INSERT INTO store.events (contact_id, name) SELECT 3001, 'B' FROM generate_series(1, 2);
SELECT x.what, s.name, x.contact FROM store_seen x JOIN store.segment s ON s.id = x.segment_id ORDER BY 1, 2, 3;
SELECT * FROM pg_temp.differences();
DROP TRIGGER see ON store.membership;
-- the past alone is written by SQL
CREATE TRIGGER see AFTER INSERT ON store.past_membership FOR EACH STATEMENT EXECUTE FUNCTION store_see();
ALTER TABLE store.past_membership DISABLE TRIGGER see;
INSERT INTO store.contacts (id) VALUES (3003), (3004);
INSERT INTO store.events (contact_id, name) VALUES (3003, 'B'), (3004, 'A'), (3004, 'A');
INSERT INTO store.events (contact_id, name) SELECT 3003, 'B' FROM generate_series(1, 2);
SELECT segment, left_cause FROM store.past_membership WHERE contact = 3003 ORDER BY 1;
DROP TRIGGER see ON store.past_membership;
SELECT * FROM pg_temp.differences();
-- indexes and constraints of the user's are kept, their expressions run as the owner
CREATE ROLE lifecycle_store_inserter;
GRANT USAGE ON SCHEMA store TO lifecycle_store_inserter;
GRANT INSERT ON store.events TO lifecycle_store_inserter;
CREATE FUNCTION store_who(contact bigint) RETURNS text IMMUTABLE LANGUAGE sql RETURN contact || current_user;
CREATE INDEX membership_who ON store.membership (store_who(contact));
SET ROLE lifecycle_store_inserter;
INSERT INTO store.events (contact_id, name) SELECT 3002, 'B' FROM generate_series(1, 2);
INSERT INTO store.events (contact_id, name) SELECT c, 'A' FROM generate_series(1002, 1010) c;
RESET ROLE;
SET enable_seqscan = off;
SELECT count(*) FROM store.membership WHERE store_who(contact) = '1003' || current_user;
RESET enable_seqscan;
DROP INDEX store.membership_who;
DROP FUNCTION store_who(bigint);
\set VERBOSITY terse
ALTER TABLE store.membership ADD CONSTRAINT no_4000 CHECK (contact <> 4000);
INSERT INTO store.contacts (id) VALUES (4000);
INSERT INTO store.events (contact_id, name) SELECT 4000, 'A' FROM generate_series(1, 2);
\set VERBOSITY default
ALTER TABLE store.membership DROP CONSTRAINT no_4000;
SELECT * FROM pg_temp.differences();

--
-- 4. Somebody meddled: nobody is kept from inserting, and it is found
--
INSERT INTO store.membership (id, entered_at, noticed_at, segment_id, contact, cause)
SELECT 0, '2000-01-01', '2000-01-01', id, c, 'api' FROM store.segment, unnest('{4000,1005}'::bigint[]) c WHERE name = 'Few'
ON CONFLICT DO NOTHING;
SELECT what, name, key, stored, computed FROM lifecycle_verify('store') ORDER BY 1, 2, 3;
INSERT INTO store.events (contact_id, name) VALUES (4000, 'B'), (4000, 'A'), (4000, 'A');
SELECT entered_at, cause FROM store.membership WHERE contact = 4000 AND id = 0;
SELECT * FROM pg_temp.differences();
DELETE FROM store.membership WHERE contact = 4000 AND id = 0;
SELECT what, name, key, stored, computed FROM lifecycle_verify('store') ORDER BY 1, 2, 3;
INSERT INTO store.events (contact_id, name) SELECT 4000, 'B' FROM generate_series(1, 2);
SELECT * FROM pg_temp.differences();
INSERT INTO store.membership (id, entered_at, noticed_at, segment_id, contact, cause) VALUES (0, '2000-01-01', '2000-01-01', 99, 4000, 'api');
SELECT what, name, key, stored, computed FROM lifecycle_verify('store') ORDER BY 1, 2, 3;
SELECT lifecycle_rebuild('store') > 0 AS rebuilt;
SELECT * FROM pg_temp.differences();

--
-- 5. TRUNCATE leaves the past, and addresses beyond the table's end
--
TRUNCATE store.contacts CASCADE;
SELECT count(*) FROM store.segment_member;
SELECT count(*) FILTER (WHERE change = 'entered') = count(*) FILTER (WHERE change = 'left') AS all_left FROM store.segment_history;
INSERT INTO store.contacts (id) SELECT generate_series(1, 3);
INSERT INTO store.events (contact_id, name) VALUES (1, 'A'), (1, 'A'), (3, 'B');
SELECT segment, contact FROM store.segment_member ORDER BY 1, 2;
SELECT * FROM pg_temp.differences();

--
-- 6. Columns of the user's, which get their defaults; and when they are gone
--
INSERT INTO store.contacts (id) VALUES (3002);
ALTER TABLE store.membership ADD COLUMN seen boolean NOT NULL DEFAULT true;
ALTER TABLE store.past_membership ADD COLUMN seen boolean NOT NULL DEFAULT true;
ALTER TABLE store.contact_state ADD COLUMN seen boolean NOT NULL DEFAULT true;
INSERT INTO store.events (contact_id, name) VALUES (3002, 'A'), (3002, 'A'), (3002, 'B'), (3002, 'B');
SELECT s.name, m.seen FROM store.membership m JOIN store.segment s ON s.id = m.segment_id WHERE m.contact = 3002 ORDER BY 1;
SELECT segment, seen FROM store.past_membership WHERE contact = 3002 ORDER BY 1;
SELECT * FROM pg_temp.differences();
ALTER TABLE store.membership DROP COLUMN seen;
ALTER TABLE store.past_membership DROP COLUMN seen;
ALTER TABLE store.contact_state DROP COLUMN seen;
INSERT INTO store.contacts (id) VALUES (3005);
INSERT INTO store.events (contact_id, name) SELECT 3005, n FROM unnest('{A,A,B,B,B}'::text[]) n;
SELECT segment FROM store.segment_member WHERE contact = 3005;
SELECT * FROM pg_temp.differences();

--
-- 7. Where all tables are published, as Debezium does, rows are still updated and deleted
--
SET client_min_messages = error;
CREATE PUBLICATION store_all FOR ALL TABLES;
RESET client_min_messages;
SELECT lifecycle_add_stage('store', 'One', 1);
SELECT lifecycle_alter_segment('store', 'Twice', stage => 'One') >= 0 AS altered;
SET lifecycle.import_mode = defer;
INSERT INTO store.events (contact_id, name) SELECT 3, 'A' FROM generate_series(1, 2);
RESET lifecycle.import_mode;
SELECT contacts > 0 AS ticked FROM lifecycle_tick('store');
SELECT lifecycle_set_stage('store', 3, 'One', 'for the counts');
SELECT count(*) = 1 AS ticked FROM lifecycle_tick('store');
SELECT lifecycle_alter_segment('store', 'Twice', new_name => 'Two times') >= 0 AS renamed;
DELETE FROM store.events WHERE contact_id = 3;
SELECT lifecycle_set('store', 'clock', 'tick');
SELECT count(*) = 1 AS ticked FROM lifecycle_tick('store', now() + interval '1 hour');
SELECT lifecycle_rebuild('store') > 0 AS rebuilt;
SELECT lifecycle_forget('store', 3) > 0 AS forgotten;
SELECT segment, count(*) FROM store.segment_history WHERE contact = 3 GROUP BY 1;
SELECT * FROM lifecycle_verify('store');
DROP PUBLICATION store_all;

SELECT lifecycle_drop('store', true);
DROP TABLE store_seen;
DROP FUNCTION store_see();
DROP ROLE lifecycle_store_inserter;

-- a state that its owner has damaged, or taken away, is an error that says what helps
SELECT lifecycle_create('storage_damaged', 'empty');
SELECT lifecycle_add_segment('storage_damaged', 'Twice', $$did('Did', times => 2)$$);
INSERT INTO storage_damaged.contacts (id) VALUES (1), (2);
INSERT INTO storage_damaged.events (contact_id, name) VALUES (1, 'Did'), (2, 'Did'), (2, 'Did');
UPDATE storage_damaged.contact_state SET state = NULL WHERE contact = 1;
UPDATE storage_damaged.contact_state SET state = '\x0200ffffffffff' WHERE contact = 2;
INSERT INTO storage_damaged.events (contact_id, name) VALUES (1, 'Did');
INSERT INTO storage_damaged.events (contact_id, name) VALUES (2, 'Did');
INSERT INTO storage_damaged.events (contact_id, name) VALUES (1, 'Did'), (2, 'Did');
SELECT * FROM lifecycle_verify('storage_damaged');
DELETE FROM storage_damaged.contact_state;
SELECT lifecycle_rebuild('storage_damaged') > 0 AS rebuilt;
SELECT segment, contact FROM storage_damaged.segment_member ORDER BY 1, 2;
SELECT * FROM lifecycle_verify('storage_damaged');
INSERT INTO storage_damaged.events (contact_id, name) VALUES (1, 'Did');
SELECT segment, contact FROM storage_damaged.segment_member ORDER BY 1, 2;
SELECT lifecycle_drop('storage_damaged');
