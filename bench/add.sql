/*
 * Contacts and events that are there before a segment is added.  Variables:
 * contacts, events.
 */
SELECT bench.create_tables('bench_add', :contacts);
INSERT INTO bench_add.events (contact_id, name, occurred_at)
SELECT c, bench.event_name(c, 11 * (i / 7 % 4)), now() - i % 90 * interval '1 day'
FROM generate_series(1, :events) i
CROSS JOIN LATERAL (SELECT i * 7919::bigint % :contacts + 1 AS c) contact;
CREATE TABLE bench_add.member (
	segment		integer,
	contact_id	bigint,
	entered_at	timestamptz NOT NULL,
	PRIMARY KEY (segment, contact_id)
);
CREATE INDEX member_contact ON bench_add.member (contact_id);
SELECT bench.attach('add');
SELECT bench.create_floor('add');
VACUUM ANALYZE;
CHECKPOINT;
