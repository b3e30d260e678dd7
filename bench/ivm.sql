/*
 * pg_ivm as a peer: an incrementally maintained count of each contact's events for
 * each of the first segments.  It cannot keep HAVING, so that who is a member is
 * left to the query.  Variables: views.
 */
CREATE EXTENSION pg_ivm;
SELECT bench.create_tables('bench_ivm', (SELECT count(*) FROM bench_none.contacts));
INSERT INTO bench_ivm.events (contact_id, name, occurred_at) SELECT * FROM bench.seed;
SELECT pgivm.create_immv('bench_ivm.segment_' || segment,
	format('SELECT contact_id, count(*) AS number FROM bench_ivm.events WHERE name = %L GROUP BY contact_id', name))
FROM bench.rule WHERE segment <= :views;
VACUUM ANALYZE;
CHECKPOINT;
