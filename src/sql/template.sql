/*
 * Templates: what a new model starts with.  All of it is ordinary
 * configuration, to be changed by the functions lifecycle_add_*, _alter_*
 * and _drop_* afterwards.
 */

CREATE FUNCTION lifecycle.check_template(template text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	templates text[] := '{hubspot,encharge,journey,empty}';
BEGIN
	PERFORM lifecycle.check_argument('template', template);
	IF lower(template) <> ALL (templates) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('template "%s" does not exist', template),
			HINT = lifecycle.name_hint(template, templates, 'template');
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_template(text) IS 'raises 22023 unless there is such a template';

-- The meeting-booked automation, which hubspot and encharge share: what it
-- needs and a model lacks is left out.
CREATE FUNCTION lifecycle.add_meeting_rules(m lifecycle.model, lead_status text, deal_stage text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	contact_columns text[] := lifecycle.table_columns(m.contacts);
	shared text[];
	deal_name text;
BEGIN
	PERFORM lifecycle.insert_rule(m, 'Meeting booked: advance to SQL', 'event', 'Meeting Booked', NULL,
		'advance stage', '{"stage": "SQL"}', 'A booked meeting makes the contact sales qualified.');
	PERFORM lifecycle.insert_rule(m, 'Meeting booked: set lead status', 'event', 'Meeting Booked', NULL,
		'set lead status', jsonb_build_object('status', lead_status), 'Sales is at work.');

	IF lifecycle.mapped_column(m.name, 'contacts', 'company') IS NOT NULL THEN
		SELECT array_agg(c ORDER BY i) INTO shared
		FROM unnest('{industry,country}'::text[]) WITH ORDINALITY u (c, i)
		WHERE c = ANY (contact_columns) AND c = ANY (lifecycle.table_columns(m.companies));
		IF shared IS NOT NULL THEN
			PERFORM lifecycle.insert_rule(m, 'Meeting booked: copy to company', 'event', 'Meeting Booked', NULL,
				'copy to company', jsonb_build_object('columns', shared), 'What the contact says of the company fills what is empty there.');
		END IF;
	END IF;

	IF m.deals IS NOT NULL THEN
		IF lifecycle.mapped_column(m.name, 'deals', 'name') IS NOT NULL THEN
			-- from the columns of this contacts table that can name a person
			SELECT format('coalesce(%s, ''New deal'')', string_agg(u.expression, ', ' ORDER BY u.i)) INTO deal_name
			FROM (VALUES
				(1, '{first_name,last_name}'::text[], 'first_name || '' '' || last_name'),
				(2, '{name}', 'name'),
				(3, '{last_name}', 'last_name'),
				(4, '{email}', 'email')) u (i, needed, expression)
			WHERE NOT EXISTS (
				SELECT FROM unnest(u.needed) n
				WHERE NOT EXISTS (
					SELECT FROM pg_attribute a
					WHERE a.attrelid = m.contacts AND a.attname = n AND NOT a.attisdropped
					  AND lifecycle.type_fits('text', a.atttypid, NULL, NULL)));
			deal_name := coalesce(deal_name, '''New deal''');
		END IF;
		PERFORM lifecycle.insert_rule(m, 'Meeting booked: open a deal', 'event', 'Meeting Booked', NULL,
			'create deal',
			jsonb_strip_nulls(jsonb_build_object('pipeline', 'Sales', 'stage', deal_stage, 'name', deal_name)),
			'A booked meeting opens a deal, unless one is open.');
	END IF;

	PERFORM lifecycle.insert_rule(m, 'Meeting booked: notify sales', 'event', 'Meeting Booked', NULL,
		'notify', '{"type": "meeting booked"}', 'Tells the sales team.');
END
$$;

COMMENT ON FUNCTION lifecycle.add_meeting_rules(lifecycle.model, text, text) IS
'adds the rules of a booked meeting: stage SQL, lead status, company, deal, notification';

CREATE FUNCTION lifecycle.add_deal_rules(m lifecycle.model) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM lifecycle.insert_rule(m, 'Deal created: advance to Opportunity', 'deal created', NULL, NULL,
		'advance stage', '{"stage": "Opportunity"}', 'A deal makes the contact an opportunity.');
	PERFORM lifecycle.insert_rule(m, 'Deal won: advance to Customer', 'deal won', NULL, NULL,
		'advance stage', '{"stage": "Customer"}', 'A won deal makes the contact a customer.');
END
$$;

COMMENT ON FUNCTION lifecycle.add_deal_rules(lifecycle.model) IS
'adds the rules of deals created and won';

CREATE FUNCTION lifecycle.apply_template(model_name text, template text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $apply$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model_name);
	t text := lower(template);
	properties text := lifecycle.mapped_column(model_name, 'events', 'properties');
	form_filled text;
	-- a table whose rows are all one event has none of the templates' events
	has_events boolean := m.events IS NOT NULL AND lifecycle.mapped_column(model_name, 'events', 'name') IS NOT NULL;
BEGIN
	PERFORM lifecycle.check_template(template);

	EXECUTE format('INSERT INTO %I.stage (name, position, on_path, description)
					SELECT name, number, on_path, description FROM unnest($1, $2, $3) WITH ORDINALITY u (name, on_path, description, number)', m.name)
	USING CASE t
		WHEN 'hubspot' THEN '{Subscriber,Lead,MQL,SQL,Opportunity,Customer,Evangelist,Other}'::text[]
		WHEN 'encharge' THEN '{Lead,Prospect,User,PQL,SQL,Opportunity,Customer,Evangelist,Other}'
		WHEN 'journey' THEN '{Discovery,Education,Conversion,Retention,Advocacy}'
		ELSE '{}' END,
		CASE t
		WHEN 'hubspot' THEN '{t,t,t,t,t,t,t,f}'::boolean[]
		WHEN 'encharge' THEN '{t,t,t,t,t,t,t,t,f}'
		WHEN 'journey' THEN '{t,t,t,t,t}'
		ELSE '{}' END,
		CASE t
		WHEN 'hubspot' THEN ARRAY['Asked to hear more, for example by a newsletter.', 'Showed interest beyond a subscription.',
			'Marketing qualified: fits, and is engaged enough for sales to look at.', 'Sales qualified: sales took it up.',
			'Has a deal.', 'Bought.', 'Recommends us to others.', 'Fits no other stage; automation leaves it alone.']
		WHEN 'encharge' THEN ARRAY['Submitted the call-to-action form.', 'A lead that looked at the home page and the prices.',
			'Signed up.', 'Product qualified: signed up and did a key action.', 'Sales qualified: booked a meeting.',
			'Has a deal.', 'Has an active subscription, or won a deal.', 'Recommends us to others.',
			'Fits no other stage; automation leaves it alone.']
		WHEN 'journey' THEN ARRAY['Found us.', 'Learns what we do.', 'Buys.', 'Stays.', 'Recommends us.']
		ELSE '{}'::text[] END;

	EXECUTE format('INSERT INTO %I.lead_status (name, position)
					SELECT name, number FROM unnest($1) WITH ORDINALITY u (name, number)', m.name)
	USING CASE t
		WHEN 'hubspot' THEN ARRAY['New', 'Open', 'In progress', 'Open deal', 'Unqualified', 'Attempted to contact', 'Connected', 'Bad timing']
		WHEN 'encharge' THEN ARRAY['Unqualified', 'Bad timing', 'Attempted to contact', 'Connected', 'In progress']
		ELSE '{}'::text[] END;

	IF t IN ('hubspot', 'encharge') THEN
		EXECUTE format('INSERT INTO %I.pipeline (name, position, description) VALUES (''Sales'', 1, ''Sales of new business.'')', m.name);
		EXECUTE format($sql$
			INSERT INTO %I.deal_stage (pipeline, name, position, probability, kind)
			SELECT 'Sales', name, number, probability,
				   CASE probability WHEN 100 THEN 'won' WHEN 0 THEN 'lost' ELSE 'open' END
			FROM unnest($1, $2) WITH ORDINALITY u (name, probability, number) $sql$, m.name)
		USING CASE t
			WHEN 'hubspot' THEN ARRAY['Appointment scheduled', 'Qualified to buy', 'Presentation scheduled',
				'Decision maker bought-in', 'Contract sent', 'Closed won', 'Closed lost']
			ELSE ARRAY['Demo scheduled', 'Demo held', 'Proposal sent', 'Contract sent', 'Closed won', 'Closed lost'] END,
			CASE t
			WHEN 'hubspot' THEN '{20,40,60,80,90,100,0}'::numeric[]
			ELSE '{20,40,60,90,100,0}' END;
	END IF;

	IF t = 'encharge' AND has_events THEN
		IF properties IS NOT NULL THEN
			form_filled := format('did(''Form Submitted'', %I->>''form'' = ''CTA'')', properties);
			PERFORM lifecycle.insert_segment(m, 'Lead', form_filled, 'Lead', 'Submitted the call-to-action form.');
			PERFORM lifecycle.insert_segment(m, 'Prospect', form_filled || ' AND visited(''/'') AND visited(''/pricing'')', 'Prospect',
				'Submitted the form, and visited the home page and the prices.');
		END IF;
		PERFORM lifecycle.insert_segment(m, 'User', 'did(''Signed Up'')', 'User', 'Signed up.');
		PERFORM lifecycle.insert_segment(m, 'PQL',
			'did(''Signed Up'') AND at_least(1, did(''Flow Created''), did(''Email Created''), did(''People Imported''))', 'PQL',
			'Signed up, and did at least one key action.');
		PERFORM lifecycle.insert_segment(m, 'Customer',
			'did(''Subscription Activated'') AND coalesce(event_last(''Subscription Activated'') > event_last(''Subscription Cancelled''), true)',
			'Customer', 'Has an active subscription: activated, and not cancelled since.');
	END IF;

	IF t IN ('hubspot', 'encharge') THEN
		IF has_events THEN
			PERFORM lifecycle.add_meeting_rules(m,
				CASE t WHEN 'hubspot' THEN 'Open deal' ELSE 'In progress' END,
				CASE t WHEN 'hubspot' THEN 'Appointment scheduled' ELSE 'Demo scheduled' END);
		END IF;
		IF m.deals IS NOT NULL THEN
			PERFORM lifecycle.add_deal_rules(m);
		END IF;
	END IF;
END
$apply$;

COMMENT ON FUNCTION lifecycle.apply_template(text, text) IS
'fills a new model with the stages, statuses, pipelines, segments and rules of a template, as far as its tables allow';
