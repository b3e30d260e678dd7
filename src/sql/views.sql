/*
 * views.sql
 *		The views of a model, for people and for BI tools.
 *
 * Each part of the model has a function view_definitions_<part> that returns
 * the text and the comments of its views; create_views makes the database
 * agree with them.  A view that exists is replaced in place, so that grants
 * and whatever the user built on it stay; it is dropped and made anew only
 * if PostgreSQL cannot replace it (a column changed its type).
 *
 * The comment of each view ends with the words "Made by lifecycle.": that is
 * how create_views knows its own views and leaves all others alone.
 *
 * The view of a single stage is named stage_is_ and the stage's name in lower
 * case, where each run of white space, punctuation and ASCII characters other
 * than letters and digits is one underscore: "Marketing qualified lead" is
 * stage_is_marketing_qualified_lead.  No table or view of a model starts with
 * stage_is_.  If that name is empty, longer than 63 bytes, or the same for
 * two stages, it is cut to fit and gets an underscore and the first eight
 * digits of the MD5 sum of the stage's name.
 *
 * The views read tables only, take no locks beyond that and write nothing, so
 * they run on a hot standby.  They mention only columns that the model maps:
 * PostgreSQL refuses to drop or retype those while the views are there
 * (drop_views takes them away).
 *
 * Like the API functions that call them, the functions of this file run with
 * the rights of the caller and do nothing that he could not do by CREATE VIEW,
 * so everybody may call them.
 */

/* The SQL text of a mapped column; NULL of the given type if not mapped. */
CREATE FUNCTION lifecycle.view_column(model text, object text, role text,
									  alias text, type text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(
		(SELECT CASE
				WHEN c.column_name IS NULL THEN format('%L::text', c.constant)
				WHEN type = 'text' THEN format('%I.%I::text', alias, c.column_name)
				ELSE format('%I.%I', alias, c.column_name)
				END
		   FROM lifecycle.model_column c
		  WHERE c.model = view_column.model
			AND c.object = view_column.object
			AND c.role = view_column.role
			AND (c.column_name IS NOT NULL OR c.constant IS NOT NULL)),
		format('NULL::%s', type));
$$;
COMMENT ON FUNCTION lifecycle.view_column(text, text, text, text, text) IS
'Internal. SQL text of the column that a model maps to a role, qualified by an alias; NULL of the type given if the role is not mapped.';

/* The type of a column, as SQL text. */
CREATE FUNCTION lifecycle.view_type(relation regclass, column_name text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format_type(a.atttypid, a.atttypmod)
	  FROM pg_attribute a
	 WHERE a.attrelid = relation
	   AND a.attname = column_name
	   AND NOT a.attisdropped;
$$;
COMMENT ON FUNCTION lifecycle.view_type(regclass, text) IS
'Internal. The type of a column as SQL text, null if there is no such column.';

/* The model's clock as SQL text; evaluated once per query. */
CREATE FUNCTION lifecycle.view_clock(model text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('(SELECT CASE WHEN (SELECT s.value FROM %1$I.setting s WHERE s.name = ''clock'') = ''tick'''
				  ' THEN coalesce((SELECT k.last_tick FROM %1$I.clock k), now())'
				  ' ELSE now() END)', model);
$$;
COMMENT ON FUNCTION lifecycle.view_clock(text) IS
'Internal. SQL text of the instant up to which a model''s views count time: now(), or the last tick if the setting clock says so.';

/* A column as timestamptz, days and local times read in the model's zone. */
CREATE FUNCTION lifecycle.view_instant(model text, expression text, type text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN type LIKE 'timestamp%with time zone' THEN expression
		ELSE format('(%s::timestamp AT TIME ZONE coalesce((SELECT s.value FROM %I.setting s WHERE s.name = ''time_zone''), ''UTC''))',
					expression, model)
		END;
$$;
COMMENT ON FUNCTION lifecycle.view_instant(text, text, text) IS
'Internal. SQL text that turns a date or timestamp expression into timestamptz, in the model''s time zone.';

/* The view of each stage; see the head of this file for the rule. */
CREATE FUNCTION lifecycle.stage_views(model text)
RETURNS TABLE (stage text, view_name text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY EXECUTE format($query$
		WITH plain AS (
			SELECT s.name,
				   trim(BOTH '_' FROM regexp_replace(lower(s.name),
						'([\x01-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]|[[:space:][:punct:][:cntrl:]])+',
						'_', 'g')) AS slug
			  FROM %I.stage s),
		counted AS (
			SELECT name, slug, count(*) OVER (PARTITION BY slug) AS number
			  FROM plain)
		SELECT name,
			   CASE
			   WHEN number = 1 AND slug <> '' AND octet_length(slug) <= 54
			   THEN 'stage_is_' || slug
			   ELSE 'stage_is_' ||
					(SELECT left(slug, n)
					   FROM generate_series(length(slug), 0, -1) n
					  WHERE octet_length(left(slug, n)) <= 45
					  LIMIT 1) ||
					'_' || left(md5(name), 8)
			   END
		  FROM counted$query$, model);
END;
$$;
COMMENT ON FUNCTION lifecycle.stage_views(text) IS
'Internal. The name of the view of each stage of a model: stage_is_ and the stage''s name in lower case with underscores.';

/*
 * Stages and lead statuses.
 *
 * funnel sums the deltas that the engine keeps in stage_count, because
 * counting the contacts would read all of them.
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
				  LEFT JOIN (SELECT c.stage, sum(c.number)::bigint AS contacts
							   FROM %1$I.stage_count c
							  WHERE c.object = 'contact'
							  GROUP BY c.stage) n ON n.stage = s.name
				 WHERE s.on_path) r
		WINDOW forward AS (ORDER BY r.position)
		 ORDER BY r.position$query$, model),
		'The funnel: one row for each stage on the path, in order, with the contacts in it now and the conversion. Read from kept counts, contacts are not scanned.',
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
		  LEFT JOIN (SELECT r.contact, r.to_stage, max(r.at) AS entered_at
					   FROM %6$I.stage_history r
					  WHERE r.object = 'contact'
					  GROUP BY r.contact, r.to_stage) h
			   ON h.contact = %1$s AND h.to_stage = %2$s$query$,
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

/* Segments and timers. */
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
			   (SELECT count(*) FROM %1$I.segment_member m WHERE m.segment = s.name) AS contacts
		  FROM %1$I.segment s$query$, model),
		'Size of each segment, empty ones included.',
		ARRAY[
		'segment', 'Name of the segment.',
		'predicate', 'The condition that its contacts meet, as it was written.',
		'description', 'What the segment is for.',
		'contacts', 'Number of contacts that are in the segment now.'];

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
'Internal. Definitions of the views segment_size and timer of a model.';

/* Deals; no rows, and so no views, for a model without a table of deals. */
CREATE FUNCTION lifecycle.view_definitions_deal(model text)
RETURNS TABLE (name text, query text, comment text, columns text[])
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	deals regclass;
	contact_type text := lifecycle.view_type(format('%I.contact_state', model), 'contact');
	company_type text := lifecycle.view_type(format('%I.stage_history', model), 'company');
	deal_type text := lifecycle.view_type(format('%I.deal_history', model), 'deal');
	close_type text;
	stage_sql text := lifecycle.view_column(model, 'deals', 'stage', 'd', 'text');
	amount_sql text := lifecycle.view_column(model, 'deals', 'amount', 'd', 'numeric') || '::numeric';
	close_sql text := lifecycle.view_column(model, 'deals', 'close_date', 'd', 'date');
	pipeline_sql text := lifecycle.view_column(model, 'deals', 'pipeline', 'd', 'text');
	month_sql text;
BEGIN
	SELECT m.deals INTO STRICT deals
	  FROM lifecycle.model m
	 WHERE m.name = model;
	IF deals IS NULL THEN
		RETURN;
	END IF;

	/* Deals that do not say their pipeline are in the first. */
	IF pipeline_sql = 'NULL::text' THEN
		pipeline_sql := format('(SELECT p.name FROM %I.pipeline p ORDER BY p.position LIMIT 1)', model);
	END IF;
	SELECT lifecycle.view_type(deals, c.column_name) INTO close_type
	  FROM lifecycle.model_column c
	 WHERE c.model = view_definitions_deal.model
	   AND c.object = 'deals' AND c.role = 'close_date';
	IF close_type LIKE 'timestamp%with time zone' THEN
		month_sql := format('%s AT TIME ZONE coalesce((SELECT s.value FROM %I.setting s WHERE s.name = ''time_zone''), ''UTC'')',
							close_sql, model);
	ELSE
		month_sql := close_sql || '::timestamp';
	END IF;

	RETURN QUERY SELECT 'deal_board', format($query$
		SELECT %1$s AS deal,
			   %2$s AS name,
			   g.pipeline,
			   %3$s AS stage,
			   g.position,
			   g.kind,
			   g.probability,
			   %4$s AS amount,
			   %5$s AS currency,
			   trim_scale(%4$s * g.probability * 0.01) AS weighted_amount,
			   %6$s AS close_date,
			   %7$s AS contact,
			   %8$s AS company,
			   h.entered_at AS stage_entered_at,
			   round(extract(epoch FROM %9$s - h.entered_at) / 86400, 1) AS days_in_stage
		  FROM %10$s d
		  LEFT JOIN %11$I.deal_stage g ON g.pipeline = %12$s AND g.name = %3$s
		  LEFT JOIN (SELECT r.deal, max(r.at) FILTER (WHERE r.from_stage IS DISTINCT FROM r.to_stage) AS entered_at
					   FROM %11$I.deal_history r
					  GROUP BY r.deal) h ON h.deal = %1$s$query$,
		lifecycle.view_column(model, 'deals', 'key', 'd', deal_type),
		lifecycle.view_column(model, 'deals', 'name', 'd', 'text'),
		stage_sql, amount_sql,
		lifecycle.view_column(model, 'deals', 'currency', 'd', 'text'),
		close_sql,
		lifecycle.view_column(model, 'deals', 'contact', 'd', contact_type),
		lifecycle.view_column(model, 'deals', 'company', 'd', company_type),
		lifecycle.view_clock(model), deals, model, pipeline_sql),
		'The deal board: one row for each deal, open, won and lost, with its stage and weighted amount.',
		ARRAY[
		'deal', 'Key of the deal.',
		'name', 'Name of the deal.',
		'pipeline', 'Pipeline that the deal is in.',
		'stage', 'Stage of the deal in its pipeline.',
		'position', 'Place of the stage in the pipeline, a whole number.',
		'kind', 'open, won or lost, as the stage says.',
		'probability', 'Chance of winning in this stage, in percent, 0 to 100.',
		'amount', 'Amount of the deal, in its currency.',
		'currency', 'Currency of the amount; null if the deals do not say.',
		'weighted_amount', 'Amount times probability, in the deal''s currency; null without an amount.',
		'close_date', 'When the deal was closed or is expected to close.',
		'contact', 'Key of the deal''s contact.',
		'company', 'Key of the deal''s company; null if it has none.',
		'stage_entered_at', 'When the deal entered its stage, as its history says.',
		'days_in_stage', 'Days since the deal entered its stage, up to the model''s clock; one decimal.'];

	RETURN QUERY SELECT 'deal_forecast', format($query$
		SELECT f.pipeline,
			   f.month,
			   f.currency,
			   coalesce(trim_scale(sum(f.amount * f.probability * 0.01)), 0) AS weighted_amount,
			   count(*) FILTER (WHERE f.kind = 'open') AS open_deals,
			   coalesce(sum(f.amount) FILTER (WHERE f.kind = 'open'), 0) AS open_amount,
			   coalesce(trim_scale(sum(f.amount * f.probability * 0.01) FILTER (WHERE f.kind = 'open')), 0) AS open_weighted_amount,
			   count(*) FILTER (WHERE f.kind = 'won') AS won_deals,
			   coalesce(sum(f.amount) FILTER (WHERE f.kind = 'won'), 0) AS won_amount
		  FROM (SELECT g.pipeline,
					   date_trunc('month', %1$s)::date AS month,
					   %2$s AS currency,
					   %3$s AS amount,
					   g.probability,
					   g.kind
				  FROM %4$s d
				  JOIN %5$I.deal_stage g ON g.pipeline = %6$s AND g.name = %7$s
				 WHERE g.kind IN ('open', 'won')) f
		 GROUP BY f.pipeline, f.month, f.currency$query$,
		month_sql,
		lifecycle.view_column(model, 'deals', 'currency', 'd', 'text'),
		amount_sql, deals, model, pipeline_sql, stage_sql),
		'The forecast: weighted amount of open and won deals by pipeline, month of close date and currency. Lost deals are left out.',
		ARRAY[
		'pipeline', 'Pipeline of the deals.',
		'month', 'First day of the month of the close date, in the model''s time zone; null for deals without a close date.',
		'currency', 'Currency of the amounts; null if the deals do not say.',
		'weighted_amount', 'Sum of amount times probability of open and won deals: the forecast of the month, in the currency.',
		'open_deals', 'Number of open deals.',
		'open_amount', 'Sum of the amounts of open deals, not weighted.',
		'open_weighted_amount', 'Sum of amount times probability of open deals.',
		'won_deals', 'Number of won deals.',
		'won_amount', 'Sum of the amounts of won deals.'];
END;
$$;
COMMENT ON FUNCTION lifecycle.view_definitions_deal(text) IS
'Internal. Definitions of the views deal_board and deal_forecast of a model; none if it has no deals.';

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
	contact_type text := lifecycle.view_type(format('%I.contact_state', model), 'contact');
	mapped jsonb;
	types jsonb;
	contact_sql text;
	detail_sql text;
	event_query text := '';
BEGIN
	SELECT m.events INTO STRICT events
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
		 WHERE h.contact IS NOT NULL$query$, model),
		'The timeline of each contact: its events and every change of stage, lead status, segments and deals, one row each. Ask for one contact, ordered by at.',
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

/* The views of a model's schema that carry our mark. */
CREATE FUNCTION lifecycle.existing_views(model text)
RETURNS SETOF name
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.relname
	  FROM pg_class c
	 WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = model)
	   AND c.relkind = 'v'
	   AND obj_description(c.oid, 'pg_class') LIKE '%Made by lifecycle.';
$$;
COMMENT ON FUNCTION lifecycle.existing_views(text) IS
'Internal. The views in a model''s schema that lifecycle made; it knows them by the end of their comment.';

/* Create or replace one view, with owner and comments. */
CREATE FUNCTION lifecycle.put_view(model text, name text, query text,
								   comment text, columns text[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	view_name text := format('%I.%I', model, name);
	statement text := format('VIEW %s WITH (security_invoker = true) AS %s', view_name, query);
	owner name := (SELECT pg_get_userbyid(n.nspowner) FROM pg_namespace n WHERE n.nspname = model);
BEGIN
	IF to_regclass(view_name) IS NULL THEN
		EXECUTE 'CREATE ' || statement;
	ELSIF name NOT IN (SELECT v FROM lifecycle.existing_views(model) v) THEN
		RAISE EXCEPTION 'relation "%" of schema "%" is in the way of a view of the model', name, model
			USING ERRCODE = 'duplicate_table',
				  DETAIL = 'lifecycle keeps a view of that name in the schema of each model.',
				  HINT = format('Give yours another name: ALTER TABLE %s RENAME TO %I', view_name, left(name, 50) || '_of_mine');
	ELSE
		BEGIN
			EXECUTE 'CREATE OR REPLACE ' || statement;
		EXCEPTION WHEN invalid_table_definition THEN
			/* a column has another type now: no way to keep the view */
			EXECUTE 'DROP VIEW ' || view_name;
			EXECUTE 'CREATE ' || statement;
		END;
	END IF;

	IF (SELECT c.relowner FROM pg_class c WHERE c.oid = view_name::regclass)
		<> (SELECT r.oid FROM pg_roles r WHERE r.rolname = owner) THEN
		EXECUTE format('ALTER VIEW %s OWNER TO %I', view_name, owner);
	END IF;
	EXECUTE format('COMMENT ON VIEW %s IS %L', view_name, comment || ' Made by lifecycle.');
	FOR i IN 1 .. array_length(columns, 1) BY 2 LOOP
		EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', view_name, columns[i], columns[i + 1]);
	END LOOP;
END;
$$;
COMMENT ON FUNCTION lifecycle.put_view(text, text, text, text, text[]) IS
'Internal. Creates or replaces one view of a model, owned by the owner of the schema. Error 42P07 if a relation that lifecycle did not make has the name.';

/* Drop a view of ours, or say what keeps it. */
CREATE FUNCTION lifecycle.drop_view(model text, name text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	needed text;
BEGIN
	EXECUTE format('DROP VIEW %I.%I', model, name);
EXCEPTION WHEN dependent_objects_still_exist THEN
	GET STACKED DIAGNOSTICS needed = PG_EXCEPTION_DETAIL;
	RAISE EXCEPTION 'cannot drop view "%" of model "%" because other objects depend on it', name, model
		USING ERRCODE = 'dependent_objects_still_exist',
			  DETAIL = needed || '.',
			  HINT = format('Drop or change them first, or drop them with the view: DROP VIEW %I.%I CASCADE', model, name);
END;
$$;
COMMENT ON FUNCTION lifecycle.drop_view(text, text) IS
'Internal. Drops one view of a model. Error 2BP01, with the objects named, if something of the user''s depends on it.';

/*
 * Make the views of the model what they should be.  Called when the model
 * has been attached and after each change of its stages.
 */
CREATE FUNCTION lifecycle.create_views(model text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wanted text[];
	gone text[];
	fresh text[];
	definition record;
	unneeded text;
BEGIN
	PERFORM lifecycle.find_own_model(model);
	SELECT array_agg(d.name) INTO wanted
	  FROM (SELECT v.name FROM lifecycle.view_definitions_stage(model) v
			UNION ALL
			SELECT v.name FROM lifecycle.view_definitions_segment(model) v
			UNION ALL
			SELECT v.name FROM lifecycle.view_definitions_deal(model) v
			UNION ALL
			SELECT v.name FROM lifecycle.view_definitions_timeline(model) v) d;
	SELECT array_agg(v::text) INTO gone
	  FROM lifecycle.existing_views(model) v
	 WHERE v <> ALL (wanted);
	SELECT array_agg(v.view_name) INTO fresh
	  FROM lifecycle.stage_views(model) v
	 WHERE to_regclass(format('%I.%I', model, v.view_name)) IS NULL;

	/* A stage was renamed: so is its view, and what depends on it stays. */
	IF cardinality(gone) = 1 AND cardinality(fresh) = 1 AND gone[1] LIKE 'stage\_is\_%' THEN
		EXECUTE format('ALTER VIEW %I.%I RENAME TO %I', model, gone[1], fresh[1]);
		gone := NULL;
	END IF;

	FOREACH unneeded IN ARRAY coalesce(gone, '{}') LOOP
		PERFORM lifecycle.drop_view(model, unneeded);
	END LOOP;
	FOR definition IN
		SELECT * FROM lifecycle.view_definitions_stage(model)
		UNION ALL
		SELECT * FROM lifecycle.view_definitions_segment(model)
		UNION ALL
		SELECT * FROM lifecycle.view_definitions_deal(model)
		UNION ALL
		SELECT * FROM lifecycle.view_definitions_timeline(model)
	LOOP
		PERFORM lifecycle.put_view(model, definition.name, definition.query,
								   definition.comment, definition.columns);
	END LOOP;
END;
$$;
COMMENT ON FUNCTION lifecycle.create_views(text) IS
'Internal. Creates, replaces, renames and drops the views of a model so that they agree with its tables, columns and stages. Error 42501 unless the caller has the rights of the model''s owner, 42P07 if a name is taken, 2BP01 if something of the user''s depends on a view that must go.';

/* Take the views away, for detach and drop. */
CREATE FUNCTION lifecycle.drop_views(model text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unneeded name;
BEGIN
	PERFORM lifecycle.check_schema_owner(model);
	FOR unneeded IN SELECT v FROM lifecycle.existing_views(model) v LOOP
		PERFORM lifecycle.drop_view(model, unneeded);
	END LOOP;
END;
$$;
COMMENT ON FUNCTION lifecycle.drop_views(text) IS
'Internal. Drops the views that lifecycle made in a model''s schema. Error 42501 unless the caller has the rights of the schema''s owner, 2BP01 if something of the user''s depends on one.';
