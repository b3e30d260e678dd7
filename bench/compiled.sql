-- The memory that a session holds when each segment has been evaluated once.
-- Variables: model, kind, many.
INSERT INTO :"model".events (contact_id, name, occurred_at) VALUES (1, 'Unknown', now());
SELECT sum(total_bytes) AS before FROM pg_backend_memory_contexts \gset
INSERT INTO :"model".events (contact_id, name, occurred_at, properties)
SELECT 1000, CASE :'kind' WHEN 'names' THEN 'Event ' || i ELSE 'Viewed' END, now(), jsonb_build_object('path', '/page/' || i)
FROM generate_series(1, :many) i;
SELECT E'compiled_' || :'kind' || E'\tlifecycle\t1\t' || (sum(total_bytes) - :before) / 1048576 FROM pg_backend_memory_contexts;
