/*
 * Lead statuses kept by rules: first touch, connected, bad timing with a date
 * to come back, unqualified with the reason, open deal.
 *
 * All of it is a segment and ordinary rules, to be changed afterwards.
 */

-- The first of these names that the model has.
CREATE FUNCTION lifecycle.first_lead_status(m lifecycle.model, VARIADIC wanted text[]) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_name text;
BEGIN
	EXECUTE format('SELECT s.name FROM unnest($1) WITH ORDINALITY u (n, i) JOIN %I.lead_status s ON lower(s.name) = lower(u.n)
					ORDER BY u.i LIMIT 1', m.name) INTO found_name USING wanted;
	RETURN found_name;
END
$$;

COMMENT ON FUNCTION lifecycle.first_lead_status(lifecycle.model, text[]) IS
'the first of several lead statuses that a model has, or null';

-- Predicate that the lead status is none or one of these.
CREATE FUNCTION lifecycle.lead_status_in(m lifecycle.model, VARIADIC wanted text[]) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names text;
	status_column text := quote_ident(lifecycle.mapped_column(m.name, 'contacts', 'lead_status'));
BEGIN
	EXECUTE format('SELECT string_agg(quote_literal(s.name), '', '' ORDER BY u.i)
					FROM unnest($1) WITH ORDINALITY u (n, i) JOIN %I.lead_status s ON lower(s.name) = lower(u.n)', m.name)
		INTO names USING wanted;
	RETURN status_column || ' IS NULL' || coalesce(' OR ' || status_column || ' IN (' || names || ')', '');
END
$$;

COMMENT ON FUNCTION lifecycle.lead_status_in(lifecycle.model, text[]) IS
'text of the condition that a contact has no lead status, or one of these';

CREATE FUNCTION lifecycle.add_event_status_rule(
	m lifecycle.model, rule_name text, event_name text, status text, condition text, reason boolean, description text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	properties text := lifecycle.mapped_column(m.name, 'events', 'properties');
BEGIN
	IF status IS NULL OR event_name IS NULL THEN
		RETURN;
	END IF;
	PERFORM lifecycle.insert_rule(m, rule_name, 'event', event_name, condition, 'set lead status',
		jsonb_strip_nulls(jsonb_build_object('status', status,
			'reason', CASE WHEN reason THEN format('event.%I ->> ''reason''', properties) END)), description);
END
$$;

COMMENT ON FUNCTION lifecycle.add_event_status_rule(lifecycle.model, text, text, text, text, boolean, text) IS
'adds the rule that an event sets a lead status, if the model has that status';

-- The bad timing's end: the date is a column of the contact, so that it can be
-- seen and set by anybody; a segment waits for it, and the tick ends the wait.
CREATE FUNCTION lifecycle.add_come_back(m lifecycle.model, event_name text, column_name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	bad_timing text := lifecycle.first_lead_status(m, 'Bad timing');
	after_it text := lifecycle.first_lead_status(m, 'Open', 'Attempted to contact', 'In progress', 'New');
	properties text := lifecycle.mapped_column(m.name, 'events', 'properties');
	day text;
	title text := '''Come back''';
	own_columns text[] := lifecycle.table_columns(m.contacts);
BEGIN
	IF bad_timing IS NULL OR column_name IS NULL OR after_it IS NULL THEN
		RETURN;
	END IF;
	IF column_name <> ALL (own_columns) THEN
		EXECUTE format('ALTER TABLE %s ADD COLUMN %I timestamptz', m.contacts, column_name);
		EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', m.contacts, column_name,
					   'when to come back to a contact whose lead status is ' || bad_timing);
	END IF;
	IF event_name IS NOT NULL AND properties IS NOT NULL THEN
		-- what is immutable of a date's input: year, month and day, at midnight
		day := format('event.%I ->> ''until''', properties);
		PERFORM lifecycle.insert_rule(m, 'Lead status: when to come back', 'event', event_name, day || ' IS NOT NULL', 'set field',
			jsonb_build_object('column', column_name, 'value', format(
				'timezone(%1$L, make_date(split_part(%2$s, ''-'', 1)::int, split_part(%2$s, ''-'', 2)::int, left(split_part(%2$s, ''-'', 3), 2)::int)::timestamp)',
				lifecycle.get_setting(m.name, 'time_zone'), day)),
			'The event says until which day the timing is bad.');
	END IF;
	PERFORM lifecycle.insert_segment(m, 'Time to come back',
		format('%I = %L AND in_last(%I, ''100 years'')', lifecycle.mapped_column(m.name, 'contacts', 'lead_status'), bad_timing, column_name),
		NULL, 'The timing was bad, and the date to come back has been reached.');
	PERFORM lifecycle.insert_rule(m, 'Lead status: come back', 'segment entered', 'Time to come back', NULL,
		'set lead status', jsonb_build_object('status', after_it, 'reason', '''time to come back'''),
		'The date to come back has been reached.');
	IF 'email' = ANY (own_columns) THEN
		title := title || ' || coalesce('' to '' || email::text, '''')';
	END IF;
	PERFORM lifecycle.insert_rule(m, 'Lead status: task to come back', 'segment entered', 'Time to come back', NULL, 'create task',
		jsonb_strip_nulls(jsonb_build_object('title', title, 'due', '1 day', 'else', 'round robin',
			'owner', CASE WHEN 'owner' = ANY (own_columns) THEN 'owner::text' END)),
		'Somebody is to come back to the contact.');
END
$$;

COMMENT ON FUNCTION lifecycle.add_come_back(lifecycle.model, text, text) IS
'adds column, segment and rules by which a contact whose timing was bad comes back at a date';

CREATE FUNCTION @extschema@.lifecycle_add_lead_status_rules(
	model text, new_at text DEFAULT 'SQL', attempted text DEFAULT 'Contact Attempted', connected text DEFAULT 'Contact Connected',
	bad_timing text DEFAULT 'Bad Timing', unqualified text DEFAULT 'Not A Fit', come_back text DEFAULT 'come_back_at')
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	has_reason boolean := lifecycle.mapped_column(m.name, 'events', 'properties') IS NOT NULL;
	open_deal text;
BEGIN
	PERFORM lifecycle.lock_model(m.name);
	IF new_at IS NOT NULL AND lifecycle.first_lead_status(m, 'New') IS NOT NULL THEN
		PERFORM lifecycle.insert_rule(m, 'Lead status: new', 'stage entered', new_at,
			quote_ident(lifecycle.mapped_column(m.name, 'contacts', 'lead_status')) || ' IS NULL', 'set lead status',
			jsonb_build_object('status', lifecycle.first_lead_status(m, 'New')), 'Sales has not looked at the contact yet.');
	END IF;
	IF m.events IS NOT NULL AND lifecycle.mapped_column(m.name, 'events', 'name') IS NOT NULL THEN
		PERFORM lifecycle.add_event_status_rule(m, 'Lead status: attempted to contact', attempted,
			lifecycle.first_lead_status(m, 'Attempted to contact'), lifecycle.lead_status_in(m, 'New', 'Open'), false,
			'The first touch.');
		PERFORM lifecycle.add_event_status_rule(m, 'Lead status: connected', connected,
			lifecycle.first_lead_status(m, 'Connected'), lifecycle.lead_status_in(m, 'New', 'Open', 'Attempted to contact'), false,
			'The contact answered.');
		PERFORM lifecycle.add_event_status_rule(m, 'Lead status: bad timing', bad_timing,
			lifecycle.first_lead_status(m, 'Bad timing'), NULL, has_reason, 'Not now; the event says until when, and why.');
		PERFORM lifecycle.add_event_status_rule(m, 'Lead status: unqualified', unqualified,
			lifecycle.first_lead_status(m, 'Unqualified'), NULL, has_reason, 'Not a fit; the event says why.');
	END IF;
	IF m.deals IS NOT NULL THEN
		open_deal := lifecycle.first_lead_status(m, 'Open deal', 'In progress');
		IF open_deal IS NOT NULL THEN
			PERFORM lifecycle.insert_rule(m, 'Lead status: open deal', 'deal created', NULL, 'open_deals() > 0', 'set lead status',
				jsonb_build_object('status', open_deal), 'Sales has a deal with the contact.');
		END IF;
	END IF;
	PERFORM lifecycle.add_come_back(m,
		CASE WHEN m.events IS NOT NULL AND lifecycle.mapped_column(m.name, 'events', 'name') IS NOT NULL
			 THEN lifecycle_add_lead_status_rules.bad_timing END, come_back);
	PERFORM lifecycle.reload(m.name);
	PERFORM lifecycle.take_in(m.name, '{"Time to come back"}')
	WHERE 'Time to come back' = ANY (lifecycle.names_of(m.name, 'segment'));
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_add_lead_status_rules(text, text, text, text, text, text, text) IS
'adds rules that keep lead statuses: New at a stage, Attempted to contact, Connected, Bad timing and Unqualified by events of the names given, Open deal by deals, and the return from Bad timing at the date in a column of the contacts, which is added if missing; null leaves a rule out, and so does a status that the model does not have';
