/* Contacts over the stages.  Variables: contacts. */
SELECT bench.create_tables('bench_funnel', 0);
ALTER TABLE bench_funnel.contacts ADD stage text;
INSERT INTO bench_funnel.contacts
SELECT i, 'contact' || i || '@example.com', 'FI', (ARRAY['Subscriber', 'Lead', 'MQL', 'SQL', 'Opportunity', 'Customer'])[i % 6 + 1]
FROM generate_series(1, :contacts) i;
SELECT bench.attach('funnel', 'hubspot');
SELECT lifecycle_tick('funnel');
VACUUM ANALYZE;
CHECKPOINT;
