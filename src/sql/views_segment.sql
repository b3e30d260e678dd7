/*
 * views_segment.sql
 *		Segments and timers.
 *
 * segment_size counts the rows of membership: its primary key starts with
 * the segment, so that the count of one segment reads no other.
 */
CREATE FUNCTION lifecycle.view_definitions_segment(model text)
RETURNS TABLE (name text, query text, comment text, columns text[])
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT 'segment_size', format($query$
		SELECT s.name AS segment,
			   s.predicate,
			   s.description,
			   (SELECT count(*) FROM %1$I.membership m WHERE m.segment_id = s.id) AS contacts
		  FROM %1$I.segment s$query$, model),
		'Size of each segment, empty ones included.',
		ARRAY[
		'segment', 'Name of the segment.',
		'predicate', 'The condition that its contacts meet, as it was written.',
		'description', 'What the segment is for.',
		'contacts', 'Number of contacts that are in the segment now.'];

	RETURN QUERY SELECT 'segment_contacts', format($query$
		SELECT m.segment, m.contact, m.entered_at
		  FROM %1$I.segment_member m$query$, model),
		'The contacts of all segments: one row for each contact in each segment. Ask for one segment or one contact.',
		ARRAY[
		'segment', 'Name of the segment.',
		'contact', 'Key of the contact.',
		'entered_at', 'When the contact entered the segment for the latest time, by the model''s clock.'];

	RETURN QUERY SELECT 'segment_flow', format($query$
		SELECT h.segment,
			   (h.at AT TIME ZONE coalesce((SELECT s.value FROM %1$I.setting s WHERE s.name = 'time_zone'), 'UTC'))::date AS day,
			   count(*) FILTER (WHERE h.change = 'entered') AS entered,
			   count(*) FILTER (WHERE h.change = 'left') AS exited
		  FROM %1$I.segment_history h
		 GROUP BY h.segment, 2$query$, model),
		'Segment flow: how many contacts entered and left each segment on each day. Days without a change have no row; segments that have been dropped keep theirs.',
		ARRAY[
		'segment', 'Name of the segment.',
		'day', 'The day, in the model''s time zone.',
		'entered', 'Number of times that a contact entered the segment on the day.',
		'exited', 'Number of times that a contact left the segment on the day.'];

	RETURN QUERY SELECT 'segment_growth', format($query$
		WITH change AS (
			SELECT h.segment, %1$s AS month,
				   count(*) FILTER (WHERE h.change = 'entered') AS entered,
				   count(*) FILTER (WHERE h.change = 'left') AS exited
			  FROM %2$I.segment_history h
			 GROUP BY 1, 2),
		month AS (
			SELECT g::date AS month
			  FROM (SELECT min(c.month) AS first, greatest(max(c.month), %3$s) AS last FROM change c) b,
				   generate_series(b.first::timestamp, b.last::timestamp, interval '1 month') g)
		SELECT s.name AS segment,
			   m.month,
			   coalesce(c.entered, 0) AS entered,
			   coalesce(c.exited, 0) AS exited,
			   coalesce(sum(c.entered - c.exited) OVER (PARTITION BY s.name ORDER BY m.month), 0)::bigint AS contacts
		  FROM month m
		 CROSS JOIN %2$I.segment s
		  LEFT JOIN change c ON c.month = m.month AND c.segment = s.name$query$,
		lifecycle.view_month(model, 'h.at'), model,
		lifecycle.view_month(model, lifecycle.view_clock(model))),
		'Segment growth: for each segment and each month since the history began, how many contacts entered and left it, and how many were in it at the end of the month.',
		ARRAY[
		'segment', 'Name of the segment.',
		'month', 'First day of the month, in the model''s time zone.',
		'entered', 'Number of times that a contact entered the segment in the month.',
		'exited', 'Number of times that a contact left the segment in the month.',
		'contacts', 'Number of contacts in the segment at the end of the month; now, for the current one.'];

	RETURN QUERY SELECT 'timer', format($query$
		SELECT s.contact, s.due
		  FROM %1$I.contact_state s
		 WHERE s.due IS NOT NULL$query$, model),
		'Timers: the contacts that lifecycle_tick looks at again as time passes, with the instant.',
		ARRAY[
		'contact', 'Key of the contact.',
		'due', 'The first instant at which one of its segments may change without an event; lifecycle_tick looks then.'];
END;
$$;
COMMENT ON FUNCTION lifecycle.view_definitions_segment(text) IS
'Internal. Definitions of the views segment_size, segment_contacts, segment_flow, segment_growth and timer of a model.';
