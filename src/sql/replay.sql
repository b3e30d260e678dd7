/*
 * Replaying: the history as if the extension had been there.
 */

CREATE FUNCTION @extschema@.lifecycle_replay(model text, everybody boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	before bigint;
	contacts bigint;
BEGIN
	PERFORM lifecycle.check_argument('everybody', everybody);
	PERFORM lifecycle.lock_model(m.name, false);
	EXECUTE format('SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM %I.segment_change', m.name) INTO before;
	contacts := lifecycle.replay_contacts(m.name, everybody);

	-- a change at the instant of an event was made by it
	IF m.events IS NOT NULL THEN
		EXECUTE format($sql$
			WITH cause AS MATERIALIZED (
				SELECT DISTINCT ON (r.id) r.id, r.at, %2$s AS name
				FROM %1$I.segment_history r
				JOIN %3$s e ON %4$s = r.contact::text AND %5$s = r.at
				WHERE r.id > $1 AND EXISTS (
					SELECT FROM %1$I.atom a WHERE a.segments <> '{}' AND %2$s IN (a.event, a.second_event))
				ORDER BY r.id, 3),
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
			m.name, lifecycle.view_column(m.name, 'events', 'name', 'e', 'text'), m.events,
			lifecycle.view_column(m.name, 'events', 'contact', 'e', 'text'),
			lifecycle.view_instant(m.name, lifecycle.view_column(m.name, 'events', 'time', 'e', 'timestamptz'),
				lifecycle.view_type(m.events, lifecycle.mapped_column(m.name, 'events', 'time'))))
			USING before;
	END IF;
	RETURN contacts;
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_replay(text, boolean) IS
'makes memberships and their history anew from the events, each change at the instant at which it would have been made: of the contacts whose events were deferred, or of everybody; rules move stages and lead statuses only; returns the number of contacts; writers wait meanwhile; raises 42501 unless the caller owns the model';
