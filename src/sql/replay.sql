/*
 * Replaying: the history as if the extension had been there.
 */

-- A change at the instant of an event was made by it.
CREATE FUNCTION lifecycle.events_at_changes(m lifecycle.model, history text, which text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format($sql$
		SELECT DISTINCT ON (r.id) r.id, r.at, %2$s AS name
		FROM %1$I.%6$I r
		JOIN %3$s e ON %4$s = r.contact::text AND %5$s = r.at
		WHERE r.id > $1 AND (%7$s) AND EXISTS (
			SELECT FROM %1$I.atom a WHERE a.segments <> '{}' AND %2$s IN (a.event, a.second_event))
		ORDER BY r.id, 3 $sql$,
		m.name, lifecycle.view_column(m.name, 'events', 'name', 'e', 'text'), m.events,
		lifecycle.view_column(m.name, 'events', 'contact', 'e', 'text'),
		lifecycle.view_instant(m.name, lifecycle.view_column(m.name, 'events', 'time', 'e', 'timestamptz'),
			lifecycle.view_type(m.events, lifecycle.mapped_column(m.name, 'events', 'time'))),
		history, which)
$$;

COMMENT ON FUNCTION lifecycle.events_at_changes(lifecycle.model, text, text) IS
'SQL that finds the event of a contact at the instant of each of its changes in a history, of those with numbers above $1';

-- Memberships, whose history is a view.
CREATE FUNCTION lifecycle.name_events_of_memberships(m lifecycle.model, before bigint) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format($sql$
		WITH cause AS MATERIALIZED (%2$s),
		member AS (
			UPDATE %1$I.membership m SET cause = 'event', event = c.name, event_at = c.at
			FROM cause c WHERE m.id = c.id),
		past AS (
			SELECT p.ctid, e.name, e.at, l.name AS left_name, l.at AS left_at
			FROM %1$I.past_membership p
			LEFT JOIN cause e ON e.id = p.id
			LEFT JOIN cause l ON l.id = p.left_id
			WHERE e.id IS NOT NULL OR l.id IS NOT NULL)
		UPDATE %1$I.past_membership p
		SET cause = CASE WHEN x.name IS NULL THEN p.cause ELSE 'event' END,
			event = coalesce(x.name, p.event),
			event_at = coalesce(x.at, p.event_at),
			left_cause = CASE WHEN x.left_name IS NULL THEN p.left_cause ELSE 'event' END,
			left_event = coalesce(x.left_name, p.left_event),
			left_event_at = coalesce(x.left_at, p.left_event_at)
		FROM past x WHERE p.ctid = x.ctid $sql$,
		m.name, lifecycle.events_at_changes(m, 'segment_history', 'true'))
		USING before;
END
$$;

COMMENT ON FUNCTION lifecycle.name_events_of_memberships(lifecycle.model, bigint) IS
'names the event that made a contact enter or leave, for changes with numbers above that';

CREATE FUNCTION @extschema@.lifecycle_replay(model text, everybody boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	before record;
	contacts bigint;
BEGIN
	PERFORM lifecycle.check_argument('everybody', everybody);
	PERFORM lifecycle.lock_model(m.name, false);
	EXECUTE format($sql$
		SELECT (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM %1$I.segment_change) AS membership,
			   coalesce((SELECT max(id) FROM %1$I.stage_history), 0) AS stage,
			   coalesce((SELECT max(id) FROM %1$I.lead_status_history), 0) AS lead_status $sql$, m.name) INTO before;
	contacts := lifecycle.replay_contacts(m.name, everybody);
	IF m.events IS NOT NULL THEN
		PERFORM lifecycle.name_events_of_memberships(m, before.membership);
		EXECUTE format('UPDATE %1$I.stage_history h SET cause = ''rule'', event = x.name, event_at = h.at
						FROM (%2$s) x WHERE h.id = x.id',
			m.name, lifecycle.events_at_changes(m, 'stage_history', 'r.rule IS NOT NULL AND r.event IS NULL'))
			USING before.stage;
		EXECUTE format('UPDATE %1$I.lead_status_history h SET cause = ''rule'', event = x.name, event_at = h.at
						FROM (%2$s) x WHERE h.id = x.id',
			m.name, lifecycle.events_at_changes(m, 'lead_status_history', 'r.rule IS NOT NULL AND r.event IS NULL'))
			USING before.lead_status;
	END IF;
	RETURN contacts;
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_replay(text, boolean) IS
'makes memberships and their history anew from the events, each change at the instant at which it would have been made: of the contacts whose events were deferred, or of everybody; rules, those on the events too, move stages and lead statuses only; returns the number of contacts; writers wait meanwhile; raises 42501 unless the caller owns the model';
