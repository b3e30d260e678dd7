/*
 * One model of a size, and its tables without triggers beside it: contacts that
 * have reached what their one segment asks for.  Variables: name, segments,
 * contacts.  The plain tables of contacts are those of the same name with
 * "plain_" before it.
 */
SELECT bench.create_tables('bench_' || :'name', 0);
SELECT bench.create_tables('bench_plain_' || :'name', :contacts);
SELECT bench.attach(:'name');
SELECT bench.add_segments(:'name', (SELECT array_agg(format('did(''Event %s'')', i) ORDER BY i) FROM generate_series(1, :segments) i));
CALL bench.load(:'schema', :contacts, least(:segments, 40), true);
CALL bench.load(:'plain', :contacts, least(:segments, 40), false);
VACUUM ANALYZE;
CHECKPOINT;
