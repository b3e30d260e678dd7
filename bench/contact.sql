/*
 * A count that is not reached, so that each event changes the state; and a sum,
 * which each event is added to.  Variables: contacts.
 */
SELECT bench.create_tables('bench_plain', :contacts);
SELECT bench.create_tables('bench_pings', :contacts);
SELECT bench.create_tables('bench_sums', :contacts);
SELECT bench.attach('pings');
SELECT bench.attach('sums');
SELECT lifecycle_add_segment('pings', 'Many', $$ did('Ping', times => 1000000000) $$);
SELECT lifecycle_add_segment('sums', 'Much', $$ event_sum('Ping', id) > 1e30 $$);
VACUUM ANALYZE;
CHECKPOINT;
