/*
 * views_stage.sql
 *		Stages and lead statuses, as they are now.
 *
 * funnel sums the deltas that the engine keeps in stage_count, because
 * counting the contacts would read all of them.  Kept counts know nothing of
 * row security: for a reader whom it applies to, funnel counts the contacts
 * that he sees instead.  row_security_active names no column, so it is tested
 * once, and the other branch is left alone; OFFSET 0 keeps the test above what
 * the planner gives to parallel workers, who would be started for nothing.
 *
 * entered_at of stage_contacts is found by a look at stage_history for each
 * contact, by the index on (contact, at): so a filter on stage, company or
 * contact spares the rest of the history.
 */
CREATE FUNCTION lifecycle.view_definitions_stage(model text)
RETURNS TABLE (name text, query text, comment text, columns text[])
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	registered lifecycle.model%ROWTYPE;
	clock_sql text := lifecycle.view_clock(model);
	contact_type text := lifecycle.view_type(format('%I.contact_state', model), 'contact');
	company_type text := lifecycle.view_type(format('%I.stage_history', model), 'company');
	contact_query text;
	contact_columns text[] := ARRAY[
		'contact', 'Key of the contact.',
		'stage', 'Lifecycle stage in which the contact is now.',
		'position', 'Place of the stage in the order of stages, a whole number.',
		'lead_status', 'Lead status of the contact now; null if none is set.',
		'company', 'Key of the contact''s company; null if it has none.',
		'entered_at', 'When the contact last entered this stage, as its history says; null if the history does not know.'];
	spell_query text := $query$
		SELECT %1$s,
			   v.stage,
			   min(v.at) AS entered_at,
			   CASE WHEN count(*) = count(v.exited_at) THEN max(v.exited_at) END AS exited_at,
			   max(v.at) AS latest_entered_at,
			   (array_agg(v.time_in ORDER BY v.id DESC))[1] AS latest_time_in,
			   sum(v.time_in) AS cumulative_time_in
		  FROM (SELECT h.%2$s, h.id, h.stage, h.at, h.exited_at,
					   greatest(coalesce(h.exited_at, %3$s) - h.at, interval '0') AS time_in
				  FROM (SELECT r.%2$s, r.id, r.to_stage AS stage, r.at,
							   lead(r.at) OVER (PARTITION BY r.%2$s ORDER BY r.id) AS exited_at
						  FROM %4$I.stage_history r
						 WHERE r.object = %2$L AND r.%2$s IS NOT NULL) h
				 WHERE h.stage IS NOT NULL) v
		 GROUP BY v.%2$s, v.stage$query$;
BEGIN
	SELECT m.* INTO STRICT registered
	  FROM lifecycle.model m
	 WHERE m.name = model;

	RETURN QUERY SELECT 'funnel', format($query$
		SELECT r.stage,
			   r.position,
			   r.contacts,
			   r.reached,
			   round(lead(r.reached) OVER forward::numeric / nullif(r.reached, 0), 4) AS conversion_to_next,
			   round(last_value(r.reached) OVER (forward ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)::numeric
					 / nullif(r.reached, 0), 4) AS conversion_to_last
		  FROM (SELECT s.name AS stage,
					   s.position,
					   coalesce(n.contacts, 0) AS contacts,
					   (sum(coalesce(n.contacts, 0)) OVER (ORDER BY s.position DESC))::bigint AS reached
				  FROM %1$I.stage s
				  LEFT JOIN (SELECT k.stage, sum(k.number)::bigint AS contacts
							   FROM %1$I.stage_count k
							  WHERE k.object = 'contact' AND NOT row_security_active(%2$L::regclass)
							  GROUP BY k.stage
							 UNION ALL
							 SELECT v.stage, v.contacts
							   FROM (SELECT %3$s AS stage, count(*) AS contacts FROM %2$s c GROUP BY 1 OFFSET 0) v
							  WHERE row_security_active(%2$L::regclass)) n ON n.stage = s.name
				 WHERE s.on_path) r
		WINDOW forward AS (ORDER BY r.position)
		 ORDER BY r.position$query$,
		model, registered.contacts, lifecycle.view_column(model, 'contacts', 'stage', 'c', 'text')),
		'The funnel: one row for each stage on the path, in order, with the contacts in it now and the conversion. Read from kept counts, contacts are not scanned; counted where row security hides contacts from the reader.',
		ARRAY[
		'stage', 'Lifecycle stage, on the path.',
		'position', 'Place of the stage in the order of stages, a whole number.',
		'contacts', 'Number of contacts that are in this stage now.',
		'reached', 'Number of contacts that are now in this stage or in a later one on the path.',
		'conversion_to_next', 'Share, 0 to 1, of the contacts that reached this stage that also reached the next; four decimals, null for the last stage and where nobody reached this one.',
		'conversion_to_last', 'Share, 0 to 1, of the contacts that reached this stage that also reached the last; four decimals, null where nobody reached this one.'];

	contact_query := format($query$
		SELECT %1$s AS contact,
			   %2$s AS stage,
			   s.position,
			   %3$s AS lead_status,
			   %4$s AS company,
			   h.entered_at
		  FROM %5$s c
		  JOIN %6$I.stage s ON s.name = %2$s
		  LEFT JOIN LATERAL (SELECT max(r.at) AS entered_at
							   FROM %6$I.stage_history r
							  WHERE r.object = 'contact'
								AND r.contact = %1$s AND r.to_stage = %2$s) h ON true$query$,
		lifecycle.view_column(model, 'contacts', 'key', 'c', contact_type),
		lifecycle.view_column(model, 'contacts', 'stage', 'c', 'text'),
		lifecycle.view_column(model, 'contacts', 'lead_status', 'c', 'text'),
		lifecycle.view_column(model, 'contacts', 'company', 'c', company_type),
		registered.contacts, model);

	RETURN QUERY SELECT 'stage_contacts', contact_query,
		'The contacts of all stages: one row for each contact that has a stage.',
		contact_columns;

	RETURN QUERY SELECT v.view_name,
		format(E'%s\n\t\t WHERE s.name = %L', contact_query, v.stage),
		format('The contacts that are in the stage %s now.', v.stage),
		contact_columns
	  FROM lifecycle.stage_views(model) v;

	RETURN QUERY SELECT 'stage_time', format($query$
		SELECT 'contact'::text AS object, t.*
		  FROM (%1$s) t
		UNION ALL
		SELECT 'company'::text, t.*
		  FROM (%2$s) t$query$,
		format(spell_query, format('v.contact, NULL::%s AS company', company_type), 'contact', clock_sql, model),
		format(spell_query, format('NULL::%s AS contact, v.company', contact_type), 'company', clock_sql, model)),
		'Time in stages: one row for each contact and each company, and each stage that it has been in.',
		ARRAY[
		'object', 'contact or company: what the row is about.',
		'contact', 'Key of the contact; null in rows about a company.',
		'company', 'Key of the company; null in rows about a contact.',
		'stage', 'Lifecycle stage.',
		'entered_at', 'When it entered the stage for the first time.',
		'exited_at', 'When it left the stage for the last time; null while it is in it.',
		'latest_entered_at', 'When it entered the stage for the latest time.',
		'latest_time_in', 'Length of the latest stay, as an interval; up to the model''s clock while it is in the stage.',
		'cumulative_time_in', 'Length of all stays together, as an interval; up to the model''s clock while it is in the stage.'];

	RETURN QUERY SELECT 'lead_status_board', format($query$
		SELECT s.name AS lead_status,
			   s.position,
			   s.description,
			   coalesce(c.number, 0) AS contacts,
			   %3$s AS companies
		  FROM %1$I.lead_status s
		  LEFT JOIN (SELECT %4$s AS lead_status, count(*) AS number
					   FROM %2$s c
					  WHERE %4$s IS NOT NULL
					  GROUP BY 1) c ON c.lead_status = s.name$query$,
		model, registered.contacts,
		CASE WHEN registered.companies IS NULL THEN 'NULL::bigint'
			 ELSE format('(SELECT count(*) FROM %s k WHERE %s = s.name)', registered.companies,
						 lifecycle.view_column(model, 'companies', 'lead_status', 'k', 'text'))
		END,
		lifecycle.view_column(model, 'contacts', 'lead_status', 'c', 'text')),
		'Lead statuses: one row for each, with the contacts and companies that have it now. Those without a status are not counted.',
		ARRAY[
		'lead_status', 'Lead status.',
		'position', 'Place of the status in the order of statuses, a whole number.',
		'description', 'What the status means.',
		'contacts', 'Number of contacts that have this status now.',
		'companies', 'Number of companies that have this status now; null if the model has no companies.'];
END;
$$;
COMMENT ON FUNCTION lifecycle.view_definitions_stage(text) IS
'Internal. Definitions of the views funnel, stage_contacts, stage_is_<stage>, stage_time and lead_status_board of a model.';
