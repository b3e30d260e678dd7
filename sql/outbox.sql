--
-- Consumers of the outbox: take, acknowledge, reject, dead letters, retention,
-- and following by position.  (Two consumers at once: test/specs/outbox-take.
-- Late committers: outbox-follow.  Logical decoding, and the consumer in
-- examples/: test/t/006_outbox.pl.)
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
\set SHOW_CONTEXT never
SELECT lifecycle_create('post');
SELECT lifecycle_add_rule('post', 'hello', 'event', 'notify', '{"type": "hello", "payload": {"email": "email"}}', of => 'Signed Up');
SELECT lifecycle_add_rule('post', 'bye', 'event', 'notify', '{"type": "bye"}', of => 'Left');
INSERT INTO post.contacts (email) SELECT 'c' || n || '@example.com' FROM generate_series(1, 5) n;
INSERT INTO post.events (contact_id, name) SELECT n, 'Signed Up' FROM generate_series(1, 5) n;
INSERT INTO post.events (contact_id, name) VALUES (1, 'Left');

-- taken messages are hidden from the next who takes
SELECT id, aggregatetype, aggregateid, type, payload->>'email' AS email, tries FROM lifecycle_take('post', 2);
SELECT id, type, tries FROM lifecycle_take('post', 100, types => '{bye}');
SELECT id, type, tries FROM lifecycle_take('post');
SELECT id, type, tries FROM lifecycle_take('post');

-- acknowledged ones are gone, also if they were never taken
SELECT lifecycle_acknowledge('post', '{1,2}');
SELECT lifecycle_acknowledge('post', '{1,2,99}');
SELECT id FROM post.outbox ORDER BY id;
SELECT id, tries FROM post.outbox_delivery ORDER BY id;

-- one that could not be handled comes again, and after so many tries no more
SELECT lifecycle_set('post', 'outbox_max_tries', '3');
SELECT lifecycle_reject('post', 3, 'mailbox full', '0');
SELECT id, tries FROM lifecycle_take('post', visibility => '0');
SELECT lifecycle_reject('post', 3, 'mailbox full', '1 hour');
SELECT id, tries FROM lifecycle_take('post');
UPDATE post.outbox_delivery SET visible_at = now() WHERE id = 3;
SELECT id, tries FROM lifecycle_take('post');
SELECT lifecycle_reject('post', 3, 'no such mailbox', '0');
SELECT id, tries FROM lifecycle_take('post');
SELECT id, tries, last_error, dead_at IS NOT NULL AS dead FROM post.outbox_delivery WHERE dead_at IS NOT NULL;
SELECT value, detail LIKE '%, 1 dead' AS says FROM lifecycle_status('post') WHERE item = 'outbox';
SELECT lifecycle_reject('post', 3, 'again', '0');

-- a consumer that never says anything: dead after as many tries, too
SELECT count(*) FROM lifecycle_take('post', visibility => '0');
UPDATE post.outbox_delivery SET visible_at = now() WHERE id = 4;
SELECT id, tries FROM lifecycle_take('post', visibility => '0');
SELECT id, tries FROM lifecycle_take('post', visibility => '0');
SELECT id, tries FROM lifecycle_take('post', visibility => '0');
SELECT id, tries FROM lifecycle_take('post', visibility => '0');
SELECT id, tries, dead_at IS NOT NULL AS dead FROM post.outbox_delivery WHERE id = 4;
SELECT lifecycle_requeue('post', '{4}');
SELECT id, tries FROM lifecycle_take('post');
SELECT lifecycle_requeue('post');
SELECT lifecycle_acknowledge('post', array_agg(id)) FROM post.outbox;

-- retention: acknowledged messages stay for those who follow by position
SELECT lifecycle_set('post', 'outbox_retention', '1 hour');
INSERT INTO post.events (contact_id, name) SELECT n, 'Signed Up' FROM generate_series(1, 3) n;
SELECT count(*) FROM lifecycle_take('post');
SELECT lifecycle_acknowledge('post', array_agg(id)) FROM post.outbox;
SELECT lifecycle_acknowledge('post', array_agg(id)) FROM post.outbox;
SELECT count(*) FROM lifecycle_take('post');
SELECT count(*), count(acknowledged_at) AS acknowledged FROM post.outbox_delivery;
UPDATE post.outbox_delivery SET acknowledged_at = now() - interval '2 hours' WHERE id = (SELECT min(id) FROM post.outbox);
SELECT lifecycle_acknowledge('post', '{}');
SELECT count(*) FROM post.outbox;

CREATE FUNCTION pg_temp.all_are_over() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	-- somebody else's transaction, of autovacuum for example, may still run
	WHILE pg_snapshot_xmin(pg_current_snapshot()) <= (SELECT max(transaction_id) FROM post.outbox) LOOP
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;

-- following: a position is transaction and id; both grow
SELECT pg_temp.all_are_over();
SELECT aggregateid, type, payload->>'email' AS email FROM lifecycle_follow('post', max_messages => 1) \gset first_
SELECT transaction_id, id FROM lifecycle_follow('post', max_messages => 1) \gset at_
SELECT aggregateid FROM lifecycle_follow('post', :'at_transaction_id', :at_id);
SELECT :'first_aggregateid' AS aggregateid, :'first_email' AS email;
SELECT count(*) AS same_order FROM (
	SELECT row_number() OVER () AS n, row_number() OVER (ORDER BY transaction_id, id) AS m FROM lifecycle_follow('post')) x WHERE n <> m;
BEGIN;
INSERT INTO post.events (contact_id, name) VALUES (5, 'Signed Up');
SELECT count(*) AS own_not_yet FROM lifecycle_follow('post', :'at_transaction_id', :at_id) f WHERE f.aggregateid = '5';
COMMIT;
SELECT pg_temp.all_are_over();
SELECT aggregateid FROM lifecycle_follow('post', :'at_transaction_id', :at_id);
-- as after restoring a dump of another cluster
SELECT * FROM lifecycle_follow('post', '9000000000000000000', 1);
UPDATE post.outbox SET transaction_id = '9000000000000000000' WHERE aggregateid = '2';
SELECT * FROM lifecycle_follow('post');
UPDATE post.outbox SET transaction_id = DEFAULT;
SELECT pg_temp.all_are_over();
SELECT aggregateid FROM lifecycle_follow('post');

-- for who never acknowledges
SELECT lifecycle_clean_outbox('post', '1 day');
UPDATE post.outbox SET created_at = now() - interval '2 days' WHERE aggregateid = '2';
SELECT lifecycle_clean_outbox('post', '1 day');

-- what makes no sense
SELECT * FROM lifecycle_take('post', 0);
SELECT * FROM lifecycle_take('post', 1, '-1 second');
SELECT * FROM lifecycle_take('nopost');
SELECT lifecycle_reject('post', 12345, 'x');
SELECT lifecycle_reject('post', 12345, 'x', '-1 minute');
SELECT * FROM lifecycle_follow('post', NULL);
SELECT * FROM lifecycle_follow('post', max_messages => NULL);
SELECT lifecycle_clean_outbox('post', NULL);
SELECT lifecycle_set('post', 'outbox_max_tries', '0');
SELECT lifecycle_set('post', 'outbox_retention', '-1 day');
SELECT lifecycle_set('post', 'outbox_retention', 'long');

-- rights: a consumer needs these and no others
INSERT INTO post.events (contact_id, name) SELECT n, 'Signed Up' FROM generate_series(1, 3) n;
CREATE ROLE lifecycle_outbox_consumer;
SET ROLE lifecycle_outbox_consumer;
SELECT * FROM lifecycle_take('post');
RESET ROLE;
GRANT USAGE ON SCHEMA post TO lifecycle_outbox_consumer;
GRANT SELECT, UPDATE, DELETE ON post.outbox TO lifecycle_outbox_consumer;
GRANT SELECT, INSERT, UPDATE ON post.outbox_delivery TO lifecycle_outbox_consumer;
GRANT SELECT ON post.setting TO lifecycle_outbox_consumer;
SET ROLE lifecycle_outbox_consumer;
SELECT aggregateid, tries FROM lifecycle_take('post', 1);
SELECT lifecycle_reject('post', id, 'x') FROM post.outbox_delivery WHERE acknowledged_at IS NULL;
SELECT lifecycle_acknowledge('post', array_agg(id)) FROM post.outbox;
RESET ROLE;
SELECT lifecycle_drop('post');
DROP ROLE lifecycle_outbox_consumer;
