/*
 * Contacts that fall due one second after each event; and a table with the
 * columns and indexes of contact_state to be updated.  Variables: contacts.
 */
SELECT bench.create_tables('bench_tick', :contacts);
SELECT bench.attach('tick');
SELECT lifecycle_add_segment('tick', 'Seen', $$ did('Ping', within => '1 second') $$);
CREATE TABLE bench_tick.peer (LIKE tick.contact_state INCLUDING INDEXES);
INSERT INTO bench_tick.peer SELECT id, NULL, now(), '\x010001010408' FROM bench_tick.contacts;
SELECT bench.create_floor('tick');
VACUUM ANALYZE;
CHECKPOINT;
