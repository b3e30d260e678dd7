/*
 * views_flow.sql
 *		The views that look back: how contacts went through the stages, how
 *		long they took, and where they were at any instant.
 *
 * All of them read stage_history.  The rows of one contact are in the order of
 * their ids, because a change is written under the lock on the contact's row.
 * Their times need not be: under the clock "transaction" somebody who began
 * earlier and waited for the lock writes later, with an earlier time.  Such a
 * stay counts as one of no length.
 *
 * To have reached a stage is to have been in it or in a later one on the path,
 * as in the view funnel; so who skips a stage has reached it, and who is moved
 * back goes on having reached it.
 *
 * The functions of an instant, stage_at and funnel_at, lie in the model's
 * schema and belong to its owner, as the views do.  Their bodies are parsed
 * when they are created (BEGIN ATOMIC), so that no search_path matters; that
 * leaves them without a SET clause, and PostgreSQL can draw stage_at into the
 * query that calls it, down to the index on (contact, at).
 */

/* Stays of contacts: from one change to the next. */
CREATE FUNCTION lifecycle.view_stays(model text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('SELECT h.contact, h.id, h.to_stage AS stage, h.at,'
				  ' lead(h.at) OVER (PARTITION BY h.contact ORDER BY h.id) AS exited_at,'
				  ' lead(h.to_stage) OVER (PARTITION BY h.contact ORDER BY h.id) AS next_stage'
				  ' FROM %I.stage_history h WHERE h.object = ''contact''', model);
$$;
COMMENT ON FUNCTION lifecycle.view_stays(text) IS
'Internal. SQL text of a query for the stays of contacts in stages: contact, id, stage, at, exited_at and next_stage; stage is null after a contact''s stage was cleared or its row deleted.';

/* The month of an instant in the model's time zone, as SQL text. */
CREATE FUNCTION lifecycle.view_month(model text, expression text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('date_trunc(''month'', %s AT TIME ZONE coalesce((SELECT s.value FROM %I.setting s WHERE s.name = ''time_zone''), ''UTC''))::date',
				  expression, model);
$$;
COMMENT ON FUNCTION lifecycle.view_month(text, text) IS
'Internal. SQL text of the first day of the month in which a timestamptz expression lies, in the model''s time zone.';

/*
 * velocity.  Of those who are still in a stage it is known only that their
 * stay is longer than it has been until now.  Leaving them out makes a stage
 * look faster than it is, so the product-limit estimate of Kaplan and Meier
 * stands beside the plain quantiles: remaining(t) is the product, over the
 * lengths d <= t at which stays ended, of 1 - ended(d) / at_risk(d).  It is
 * computed by logarithms, hence the tolerance.
 */
CREATE FUNCTION lifecycle.view_definitions_velocity(model text)
RETURNS TABLE (name text, query text, comment text, columns text[])
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT 'velocity', format($query$
		WITH stay AS (
			SELECT t.stage, t.exited_at IS NOT NULL AS ended,
				   extract(epoch FROM greatest(coalesce(t.exited_at, %1$s) - t.at, interval '0')) / 86400 AS days
			  FROM (%2$s) t
			 WHERE t.stage IS NOT NULL),
		length AS (
			SELECT y.stage, y.days, count(*) FILTER (WHERE y.ended) AS ended,
				   sum(count(*)) OVER (PARTITION BY y.stage ORDER BY y.days DESC) AS at_risk
			  FROM stay y
			 GROUP BY y.stage, y.days),
		survival AS (
			SELECT l.stage, l.days,
				   CASE WHEN bool_or(l.ended = l.at_risk) OVER so_far THEN 0
						ELSE exp(sum(ln((1 - l.ended / nullif(l.at_risk, l.ended))::double precision)) OVER so_far)
				   END AS remaining
			  FROM length l
			 WHERE l.ended > 0
			WINDOW so_far AS (PARTITION BY l.stage ORDER BY l.days)),
		quantile AS (
			SELECT v.stage,
				   min(v.days) FILTER (WHERE v.remaining <= 0.5 + 1e-9) AS median,
				   min(v.days) FILTER (WHERE v.remaining <= 0.1 + 1e-9) AS p90
			  FROM survival v
			 GROUP BY v.stage)
		SELECT s.name AS stage,
			   s.position,
			   count(y.stage) FILTER (WHERE y.ended) AS ended_stays,
			   count(y.stage) FILTER (WHERE NOT y.ended) AS open_stays,
			   round(avg(y.days) FILTER (WHERE y.ended), 2) AS mean_days,
			   round((percentile_cont(0.5) WITHIN GROUP (ORDER BY y.days::double precision) FILTER (WHERE y.ended))::numeric, 2) AS median_days,
			   round((percentile_cont(0.9) WITHIN GROUP (ORDER BY y.days::double precision) FILTER (WHERE y.ended))::numeric, 2) AS p90_days,
			   round(q.median, 2) AS median_days_of_all,
			   round(q.p90, 2) AS p90_days_of_all
		  FROM %3$I.stage s
		  LEFT JOIN stay y ON y.stage = s.name
		  LEFT JOIN quantile q ON q.stage = s.name
		 GROUP BY s.name, s.position, q.median, q.p90$query$,
		lifecycle.view_clock(model), lifecycle.view_stays(model), model),
		'Velocity: one row for each stage, with the days that contacts stay in it. The columns of_all count those who are still in the stage too, as staying at least so long (Kaplan-Meier).',
		ARRAY[
		'stage', 'Lifecycle stage.',
		'position', 'Place of the stage in the order of stages, a whole number.',
		'ended_stays', 'Number of stays that have ended; a contact that came twice has two.',
		'open_stays', 'Number of stays that go on: contacts in the stage now.',
		'mean_days', 'Mean length of the ended stays, in days; two decimals, null if there is none.',
		'median_days', 'Half of the ended stays were no longer than this, in days; two decimals.',
		'p90_days', 'Nine tenths of the ended stays were no longer than this, in days; two decimals.',
		'median_days_of_all', 'Days after which half of all who entered have left, estimated from ended and open stays; null if the history does not reach that far, as when more than half stay.',
		'p90_days_of_all', 'Days after which nine tenths of all who entered have left, estimated from ended and open stays; null if the history does not reach that far.'];
END;
$$;
COMMENT ON FUNCTION lifecycle.view_definitions_velocity(text) IS
'Internal. Definition of the view velocity of a model.';

/*
 * conversion and stage_flow.  Reaching is nested, so that it is enough to know
 * how far each contact ever came: conversion joins small sums, not contacts.
 */
CREATE FUNCTION lifecycle.view_definitions_flow(model text)
RETURNS TABLE (name text, query text, comment text, columns text[])
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT 'conversion', format($query$
		WITH first_time AS (
			SELECT h.contact, t.position, min(h.at) AS at
			  FROM %1$I.stage_history h
			  JOIN %1$I.stage t ON t.name = h.to_stage AND t.on_path
			 WHERE h.object = 'contact'
			 GROUP BY h.contact, t.position),
		reached AS (
			SELECT f.contact, s.position, min(f.at) AS at
			  FROM first_time f
			  JOIN %1$I.stage s ON s.on_path AND s.position <= f.position
			 GROUP BY f.contact, s.position),
		furthest AS (
			SELECT f.contact, max(f.position) AS position
			  FROM first_time f
			 GROUP BY f.contact),
		cohort AS (
			SELECT %2$s AS month, r.position, f.position AS furthest, count(*) AS contacts
			  FROM reached r
			  JOIN furthest f ON f.contact = r.contact
			 GROUP BY 1, 2, 3)
		SELECT c.month,
			   s.name AS stage,
			   s.position,
			   n.name AS to_stage,
			   n.position AS to_position,
			   sum(c.contacts)::bigint AS contacts,
			   coalesce(sum(c.contacts) FILTER (WHERE c.furthest >= n.position), 0)::bigint AS converted,
			   round(coalesce(sum(c.contacts) FILTER (WHERE c.furthest >= n.position), 0) / sum(c.contacts), 4) AS conversion
		  FROM cohort c
		  JOIN %1$I.stage s ON s.position = c.position
		  JOIN %1$I.stage n ON n.on_path AND n.position > s.position
		 GROUP BY c.month, s.name, s.position, n.name, n.position$query$,
		model, lifecycle.view_month(model, 'r.at')),
		'Conversion of cohorts: of the contacts that reached a stage in a month, how many have reached each later stage by now. To have reached a stage is to have been in it or a later one on the path. Late cohorts have had less time.',
		ARRAY[
		'month', 'First day of the month in which the contacts first reached the stage, in the model''s time zone.',
		'stage', 'The stage that they reached then, on the path.',
		'position', 'Its place in the order of stages.',
		'to_stage', 'A later stage on the path.',
		'to_position', 'Its place in the order of stages.',
		'contacts', 'Number of contacts that first reached the stage in the month.',
		'converted', 'Number of these that have reached the later stage until now.',
		'conversion', 'Share, 0 to 1: converted by contacts; four decimals.'];

	RETURN QUERY SELECT 'stage_flow', format($query$
		WITH change AS (
			SELECT %1$s AS month, v.stage, sum(v.entered) AS entered, sum(v.exited) AS exited
			  FROM %2$I.stage_history h,
				   LATERAL (VALUES (h.to_stage, 1, 0), (h.from_stage, 0, 1)) v (stage, entered, exited)
			 WHERE h.object = 'contact' AND v.stage IS NOT NULL
			 GROUP BY 1, 2),
		month AS (
			SELECT g::date AS month
			  FROM (SELECT min(c.month) AS first, greatest(max(c.month), %3$s) AS last FROM change c) b,
				   generate_series(b.first::timestamp, b.last::timestamp, interval '1 month') g)
		SELECT m.month,
			   s.name AS stage,
			   s.position,
			   coalesce(c.entered, 0)::bigint AS entered,
			   coalesce(c.exited, 0)::bigint AS exited,
			   coalesce(sum(c.entered - c.exited) OVER (PARTITION BY s.name ORDER BY m.month), 0)::bigint AS contacts
		  FROM month m
		 CROSS JOIN %2$I.stage s
		  LEFT JOIN change c ON c.month = m.month AND c.stage = s.name$query$,
		lifecycle.view_month(model, 'h.at'), model,
		lifecycle.view_month(model, lifecycle.view_clock(model))),
		'Stage flow: for each month since the history began and each stage, how many contacts entered and left it, and how many were in it at the end of the month.',
		ARRAY[
		'month', 'First day of the month, in the model''s time zone.',
		'stage', 'Lifecycle stage.',
		'position', 'Place of the stage in the order of stages, a whole number.',
		'entered', 'Number of times that a contact entered the stage in the month, from another or from none.',
		'exited', 'Number of times that a contact left the stage in the month, to another or to none.',
		'contacts', 'Number of contacts in the stage at the end of the month; now, for the current one.'];
END;
$$;
COMMENT ON FUNCTION lifecycle.view_definitions_flow(text) IS
'Internal. Definitions of the views conversion and stage_flow of a model.';

/* The functions of an instant; what put_function needs of each. */
CREATE FUNCTION lifecycle.function_definitions(model text)
RETURNS TABLE (name text, result text, body text, comment text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	contact_type text := lifecycle.view_type(format('%I.contact_state', model), 'contact');
BEGIN
	RETURN QUERY SELECT 'stage_at',
		format('TABLE (contact %s, stage text, "position" integer, entered_at timestamptz)', contact_type),
		format($query$
		SELECT l.contact, l.to_stage, s.position, l.at
		  FROM (SELECT DISTINCT ON (h.contact) h.contact, h.to_stage, h.at
				  FROM %1$I.stage_history h
				 WHERE h.object = 'contact' AND h.at <= instant
				 ORDER BY h.contact, h.id DESC) l
		  LEFT JOIN %1$I.stage s ON s.name = l.to_stage
		 WHERE l.to_stage IS NOT NULL$query$, model),
		'The stage of each contact at an instant: contact, stage, its position now (null if the stage has been dropped), and when the contact entered it. From the history; contacts without a stage then are left out. No row before the model was made.';

	RETURN QUERY SELECT 'funnel_at',
		'TABLE (stage text, "position" integer, contacts bigint, reached bigint, conversion_to_next numeric, conversion_to_last numeric)',
		format($query$
		SELECT r.stage, r.position, r.contacts, r.reached,
			   round(lead(r.reached) OVER forward::numeric / nullif(r.reached, 0), 4),
			   round(last_value(r.reached) OVER (forward ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)::numeric
					 / nullif(r.reached, 0), 4)
		  FROM (SELECT s.name AS stage, s.position, coalesce(n.contacts, 0) AS contacts,
					   (sum(coalesce(n.contacts, 0)) OVER (ORDER BY s.position DESC))::bigint AS reached
				  FROM %1$I.stage s
				  LEFT JOIN (SELECT a.stage, count(*) AS contacts
							   FROM %1$I.stage_at(instant) a
							  GROUP BY a.stage) n ON n.stage = s.name
				 WHERE s.on_path) r
		WINDOW forward AS (ORDER BY r.position)
		 ORDER BY r.position$query$, model),
		'The funnel as it was at an instant, with the columns of the view funnel: one row for each stage on the path as it is now, in order. Computed from the history.';
END;
$$;
COMMENT ON FUNCTION lifecycle.function_definitions(text) IS
'Internal. Definitions of the functions stage_at and funnel_at of a model; each takes an instant.';

/* Create one function of an instant anew, keeping grants where it is there. */
CREATE FUNCTION lifecycle.put_function(model text, name text, result text,
									   body text, comment text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	signature text := format('%I.%I(timestamptz)', model, name);
	owner name := (SELECT pg_get_userbyid(n.nspowner) FROM pg_namespace n WHERE n.nspname = model);
BEGIN
	IF to_regprocedure(signature) IS NOT NULL
		AND coalesce(obj_description(to_regprocedure(signature), 'pg_proc') NOT LIKE '%Made by lifecycle.', true) THEN
		RAISE EXCEPTION 'function % is in the way of a function of the model', signature
			USING ERRCODE = 'duplicate_function',
				  DETAIL = 'lifecycle keeps a function of that name in the schema of each model.',
				  HINT = format('Give yours another name: ALTER FUNCTION %s RENAME TO %I', signature, left(name, 50) || '_of_mine');
	END IF;
	EXECUTE format('CREATE OR REPLACE FUNCTION %I.%I(instant timestamptz) RETURNS %s'
				   ' LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC %s; END',
				   model, name, result, body);
	IF (SELECT p.proowner FROM pg_proc p WHERE p.oid = signature::regprocedure)
		<> (SELECT r.oid FROM pg_roles r WHERE r.rolname = owner) THEN
		EXECUTE format('ALTER FUNCTION %s OWNER TO %I', signature, owner);
	END IF;
	EXECUTE format('COMMENT ON FUNCTION %s IS %L', signature, comment || ' Made by lifecycle.');
END;
$$;
COMMENT ON FUNCTION lifecycle.put_function(text, text, text, text, text) IS
'Internal. Creates or replaces one function of an instant in a model''s schema, owned by the owner of the schema. Error 42723 if a function that lifecycle did not make has the name.';

/* Take them away; the order is that of their dependence. */
CREATE FUNCTION lifecycle.drop_functions(model text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unneeded text;
	needed text;
BEGIN
	FOREACH unneeded IN ARRAY ARRAY['funnel_at', 'stage_at'] LOOP
		IF obj_description(to_regprocedure(format('%I.%I(timestamptz)', model, unneeded)), 'pg_proc') LIKE '%Made by lifecycle.' THEN
			EXECUTE format('DROP FUNCTION %I.%I(timestamptz)', model, unneeded);
		END IF;
	END LOOP;
EXCEPTION WHEN dependent_objects_still_exist THEN
	GET STACKED DIAGNOSTICS needed = PG_EXCEPTION_DETAIL;
	RAISE EXCEPTION 'cannot drop function "%" of model "%" because other objects depend on it', unneeded, model
		USING ERRCODE = 'dependent_objects_still_exist',
			  DETAIL = needed || '.',
			  HINT = format('Drop or change them first, or drop them with the function: DROP FUNCTION %I.%I(timestamptz) CASCADE', model, unneeded);
END;
$$;
COMMENT ON FUNCTION lifecycle.drop_functions(text) IS
'Internal. Drops the functions stage_at and funnel_at of a model. Error 2BP01, with the objects named, if something of the user''s depends on one.';
