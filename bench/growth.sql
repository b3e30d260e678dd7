/*
 * Models with few and many segments, of which an event concerns one: by its
 * name, or by an equality in the filter.  Contacts have reached what the
 * segments that the events concern ask for.  Variables: few, many.
 */
CREATE FUNCTION bench.create_growth(kind text, size text, segments integer) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
	model text := kind || '_' || size;
	pattern text := CASE kind WHEN 'names' THEN 'did(''Event %s'')' ELSE 'did(''Viewed'', properties->>''path'' = ''/page/%s'')' END;
BEGIN
	PERFORM bench.create_tables('bench_' || model, 0);
	PERFORM bench.attach(model);
	PERFORM bench.add_segments(model, (SELECT array_agg(format(pattern, i) ORDER BY i) FROM generate_series(1, segments) i));
	EXECUTE format('INSERT INTO %I.contacts SELECT i FROM generate_series(1, 2000) i', 'bench_' || model);
	EXECUTE format('INSERT INTO %I.events (contact_id, name, occurred_at, properties)
		SELECT contact_id, name, now(), properties FROM bench.growth WHERE kind = $1', 'bench_' || model) USING kind;
END
$$;

CREATE TABLE bench.growth AS
SELECT kind, i AS contact_id,
	CASE kind WHEN 'names' THEN 'Event ' || i % :few + 1 ELSE 'Viewed' END AS name,
	jsonb_build_object('path', '/page/' || i % :few + 1) AS properties
FROM (VALUES ('names'), ('filters')) k (kind)
CROSS JOIN generate_series(1, 2000) i;

SELECT bench.create_growth(kind, size, CASE size WHEN 'few' THEN :few ELSE :many END)
FROM (VALUES ('names'), ('filters')) k (kind) CROSS JOIN (VALUES ('few'), ('many')) s (size);

VACUUM ANALYZE;
CHECKPOINT;
