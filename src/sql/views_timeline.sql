/*
 * The timeline.  All branches have the same types, so that a condition on
 * the contact reaches each table and finds its index.
 */
CREATE FUNCTION lifecycle.view_definitions_timeline(model text)
RETURNS TABLE (name text, query text, comment text, columns text[])
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	events regclass;
	deal_contacts regclass;
	contact_type text := lifecycle.view_type(format('%I.contact_state', model), 'contact');
	mapped jsonb;
	types jsonb;
	contact_sql text;
	detail_sql text;
	event_query text := '';
	further_query text := '';
	deal_type text := lifecycle.view_type(format('%I.deal_history', model), 'deal');
BEGIN
	SELECT m.events, m.deal_contacts INTO STRICT events, deal_contacts
	  FROM lifecycle.model m
	 WHERE m.name = model;

	IF events IS NOT NULL THEN
		SELECT jsonb_object_agg(c.role, c.column_name),
			   jsonb_object_agg(c.role, lifecycle.view_type(events, c.column_name))
		  INTO mapped, types
		  FROM lifecycle.model_column c
		 WHERE c.model = view_definitions_timeline.model
		   AND c.object = 'events';
		contact_sql := lifecycle.view_column(model, 'events', 'contact', 'e', contact_type);
		IF types ->> 'contact' IS DISTINCT FROM contact_type THEN
			contact_sql := format('%s::%s', contact_sql, contact_type);
		END IF;
		detail_sql := CASE
			WHEN types ->> 'properties' IN ('json', 'jsonb')
			THEN format('coalesce(e.%I::jsonb, ''{}'')', mapped ->> 'properties')
			ELSE format('to_jsonb(e) - ARRAY[%s]::text[]',
						(SELECT string_agg(quote_literal(r.value), ', ' ORDER BY r.key)
						   FROM jsonb_each_text(mapped) r
						  WHERE r.key IN ('contact', 'name', 'time') AND r.value IS NOT NULL))
			END;
		event_query := format($query$
		SELECT %1$s AS contact, %2$s AS at, 'event'::text AS kind, %3$s AS what, %4$s AS detail
		  FROM %5$s e
		 WHERE %1$s IS NOT NULL
		UNION ALL$query$,
			contact_sql,
			lifecycle.view_instant(model,
				lifecycle.view_column(model, 'events', 'time', 'e', 'timestamp with time zone'),
				types ->> 'time'),
			lifecycle.view_column(model, 'events', 'name', 'e', 'text'),
			detail_sql, events);
	END IF;

	IF deal_contacts IS NOT NULL THEN
		further_query := format($query$
		UNION ALL
		SELECT l.contact, h.at, 'deal', h.to_stage,
			   jsonb_strip_nulls(jsonb_build_object('deal', h.deal, 'pipeline', h.pipeline, 'from', h.from_stage, 'amount', h.amount,
													'cause', h.cause, 'event', h.event, 'event_at', h.event_at,
													'rule', h.rule, 'reason', h.reason, 'role', h.role))
		  FROM (SELECT DISTINCT %1$s AS contact, %2$s AS deal FROM %3$s l WHERE %1$s IS NOT NULL) l
		  JOIN %4$I.deal_history h ON h.deal = l.deal AND h.contact IS DISTINCT FROM l.contact$query$,
			lifecycle.view_column(model, 'deal_contacts', 'contact', 'l', contact_type) || '::' || contact_type,
			lifecycle.view_column(model, 'deal_contacts', 'deal', 'l', deal_type) || '::' || deal_type,
			deal_contacts, model);
	END IF;

	RETURN QUERY SELECT 'contact_timeline', event_query || format($query$
		SELECT h.contact, h.at, 'stage'::text AS kind, h.to_stage AS what,
			   jsonb_strip_nulls(jsonb_build_object('from', h.from_stage, 'cause', h.cause, 'event', h.event, 'event_at', h.event_at,
													'rule', h.rule, 'reason', h.reason, 'role', h.role)) AS detail
		  FROM %1$I.stage_history h
		 WHERE h.object = 'contact'
		UNION ALL
		SELECT h.contact, h.at, 'lead status', h.to_status,
			   jsonb_strip_nulls(jsonb_build_object('from', h.from_status, 'cause', h.cause, 'event', h.event, 'event_at', h.event_at,
													'rule', h.rule, 'reason', h.reason, 'role', h.role))
		  FROM %1$I.lead_status_history h
		 WHERE h.object = 'contact'
		UNION ALL
		SELECT h.contact, h.at, 'segment ' || h.change, h.segment,
			   jsonb_strip_nulls(jsonb_build_object('cause', h.cause, 'event', h.event, 'event_at', h.event_at, 'noticed_at', h.noticed_at))
		  FROM %1$I.segment_history h
		UNION ALL
		SELECT h.contact, h.at, 'deal', h.to_stage,
			   jsonb_strip_nulls(jsonb_build_object('deal', h.deal, 'pipeline', h.pipeline, 'from', h.from_stage, 'amount', h.amount,
													'cause', h.cause, 'event', h.event, 'event_at', h.event_at,
													'rule', h.rule, 'reason', h.reason, 'role', h.role))
		  FROM %1$I.deal_history h
		 WHERE h.contact IS NOT NULL$query$, model) || further_query,
		'The timeline of each contact: its events and every change of stage, lead status, segments and deals (also those of which it is a further contact now), one row each. Ask for one contact, ordered by at.',
		ARRAY[
		'contact', 'Key of the contact.',
		'at', 'When: the time of an event, the model''s clock for a change.',
		'kind', 'event, stage, lead status, segment entered, segment left, or deal.',
		'what', 'Name of the event, stage, status or segment; for a deal its stage.',
		'detail', 'The rest as JSON: the properties of an event (its other columns if the model maps no properties); for a change what it changed from, its cause, event, rule, reason and role, where known.'];
END;
$$;
COMMENT ON FUNCTION lifecycle.view_definitions_timeline(text) IS
'Internal. Definition of the view contact_timeline of a model.';
