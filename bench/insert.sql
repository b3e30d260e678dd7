/*
 * The tables for the figures about inserting: the same contacts, events and
 * segments for each variant; bare has no trigger either, and is what the model
 * with windows is compared with; nothing has a trigger that does nothing, and
 * foreign has nothing but a foreign key to the contacts.  Variables: contacts,
 * segments, rows, rounds, share.
 */
CREATE TABLE bench.rule AS
SELECT s AS segment, 'Event ' || ((s - 1) % 40 + 1) AS name, (s - 1) / 40 + 1 AS threshold
FROM generate_series(1, :segments) s;

-- As many events of its habits as their highest thresholds ask for.
CREATE VIEW bench.seed AS
SELECT c AS contact_id, h.name, now() - t * interval '1 day' AS occurred_at
FROM generate_series(1, :contacts) c
CROSS JOIN (VALUES (0), (11)) p (place)
JOIN (SELECT name, max(threshold) AS highest FROM bench.rule GROUP BY name) h ON h.name = bench.event_name(c, p.place)
CROSS JOIN LATERAL generate_series(1, h.highest) t;

-- The rows of each statement, different contacts in scattered order.
CREATE TABLE bench.batch (figure text, round integer, contact_id bigint, name text);

-- steady, wal, memory: of 100 rows, :share make their contact change
INSERT INTO bench.batch
SELECT f.figure, r, c.id, bench.event_name(c.id,
	CASE WHEN i % 100 >= :share THEN 11 * (i % 2) WHEN f.figure = 'steady' THEN 12 + r % 10 ELSE 22 + 11 * (r % 2) END)
FROM (VALUES ('steady'), ('wal')) f (figure)
CROSS JOIN generate_series(0, :rounds) r
CROSS JOIN generate_series(1, :rows) i
CROSS JOIN LATERAL (SELECT (i * 7919::bigint + r * 1237) % :contacts + 1 AS id) c;

-- change: every row makes its contact change
INSERT INTO bench.batch
SELECT 'change', r, c.id, bench.event_name(c.id, 1 + (n.number / :contacts) % 10)
FROM generate_series(0, :rounds) r
CROSS JOIN generate_series(1, :rows) i
CROSS JOIN LATERAL (SELECT r * :rows::bigint + i AS number) n
CROSS JOIN LATERAL (SELECT n.number * 7919 % :contacts + 1 AS id) c;

-- unnamed: no predicate names the event
INSERT INTO bench.batch
SELECT 'unnamed', round, contact_id, replace(name, 'Event', 'Other') FROM bench.batch WHERE figure = 'steady';

CREATE INDEX ON bench.batch (figure, round);
VACUUM ANALYZE bench.batch;

SELECT bench.create_tables('bench_' || variant, :contacts) FROM unnest(ARRAY['none', 'bare', 'nothing', 'foreign', 'row', 'statement']) variant;
SELECT bench.create_tables('bench_' || variant, 0) FROM unnest(ARRAY['counted', 'windowed']) variant;

INSERT INTO bench_none.events (contact_id, name, occurred_at) SELECT * FROM bench.seed;
INSERT INTO bench_bare.events (contact_id, name, occurred_at) SELECT * FROM bench.seed;
INSERT INTO bench_nothing.events (contact_id, name, occurred_at) SELECT * FROM bench.seed;
INSERT INTO bench_foreign.events (contact_id, name, occurred_at) SELECT * FROM bench.seed;
INSERT INTO bench_row.events (contact_id, name, occurred_at) SELECT * FROM bench.seed;
INSERT INTO bench_statement.events (contact_id, name, occurred_at) SELECT * FROM bench.seed;
SELECT bench.create_nothing_trigger('bench_nothing');
ALTER TABLE bench_foreign.events ADD FOREIGN KEY (contact_id) REFERENCES bench_foreign.contacts;
SELECT bench.create_peer('bench_none');
SELECT bench.create_peer('bench_row');
SELECT bench.create_peer('bench_statement');
SELECT bench.create_row_trigger('bench_row');
SELECT bench.create_statement_trigger('bench_statement');

SELECT bench.attach('counted');
SELECT bench.attach('windowed');
SELECT bench.add_segments('counted', array_agg(format('did(%L, times => %s)', name, threshold) ORDER BY segment)) FROM bench.rule;
SELECT bench.add_segments('windowed', array_agg(format('did(%L, times => %s, within => ''30 days'')', name, threshold) ORDER BY segment)) FROM bench.rule;
INSERT INTO bench_counted.contacts SELECT * FROM bench_none.contacts;
INSERT INTO bench_windowed.contacts SELECT * FROM bench_none.contacts;
INSERT INTO bench_counted.events (contact_id, name, occurred_at) SELECT * FROM bench.seed;
INSERT INTO bench_windowed.events (contact_id, name, occurred_at) SELECT * FROM bench.seed;

SELECT bench.create_floor('counted');
INSERT INTO floor_counted.events (contact_id, name, occurred_at) SELECT * FROM bench.seed;

-- all must have come to the same members
CREATE VIEW bench.digest AS
SELECT 'row' AS variant, count(*), sum(hashint8extended(contact_id, segment)) FROM bench_row.member
UNION ALL
SELECT 'statement', count(*), sum(hashint8extended(contact_id, segment)) FROM bench_statement.member
UNION ALL
SELECT 'lifecycle', count(*), sum(hashint8extended(contact, substring(segment FROM '\d+')::integer)) FROM counted.segment_member
UNION ALL
SELECT 'window', count(*), sum(hashint8extended(contact, substring(segment FROM '\d+')::integer)) FROM windowed.segment_member;
SELECT bench.check('all variants have the same members', count(DISTINCT (count, sum)) = 1) FROM bench.digest;

VACUUM ANALYZE;
CHECKPOINT;
