/*
 * How a model is doing.
 */

CREATE FUNCTION @extschema@.lifecycle_version() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT extversion FROM pg_extension WHERE extname = 'lifecycle'
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_version() IS 'version of the extension as it is installed in this database';

CREATE FUNCTION @extschema@.lifecycle_status(model text)
RETURNS TABLE (item text, value text, detail text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	m lifecycle.model := lifecycle.find_model(model);
	clock timestamptz := lifecycle.model_clock(m.name);
BEGIN
	RETURN QUERY SELECT 'model'::text, m.name, concat_ws(', ', 'template ' || m.template,
		CASE WHEN m.embedded THEN 'tables made by lifecycle' ELSE 'tables attached' END);
	RETURN QUERY SELECT 'version'::text, @extschema@.lifecycle_version(), NULL::text;

	RETURN QUERY
		SELECT o.object, o.relation::text,
			(SELECT string_agg(c.role || ' = ' || coalesce(quote_ident(c.column_name), quote_literal(c.constant)), ', ' ORDER BY r.number)
			 FROM lifecycle.model_column c JOIN lifecycle.roles() r ON r.object = c.object AND r.role = c.role
			 WHERE c.model = m.name AND c.object = o.object)
		FROM (VALUES (1, 'contacts', m.contacts), (2, 'companies', m.companies), (3, 'deals', m.deals), (4, 'events', m.events), (5, 'deal_contacts', m.deal_contacts)) o (n, object, relation)
		WHERE o.relation IS NOT NULL
		ORDER BY o.n;

	RETURN QUERY EXECUTE format('SELECT ''contacts known'', count(*)::text, NULL::text FROM %I.contact_state', m.name);
	RETURN QUERY EXECUTE format($sql$
		SELECT 'segments', count(*)::text, (SELECT count(*) || ' memberships' FROM %1$I.membership) FROM %1$I.segment $sql$, m.name);
	RETURN QUERY EXECUTE format($sql$
		SELECT 'rules', count(*)::text, nullif(count(*) FILTER (WHERE NOT enabled), 0) || ' switched off' FROM %I.rule $sql$, m.name);
	RETURN QUERY EXECUTE format($sql$
		SELECT 'last tick', coalesce(last_tick::text, 'never'), NULL::text FROM %I.clock $sql$, m.name);
	-- against the time of day, also where the clock is put on by the tick
	RETURN QUERY EXECUTE format($sql$
		SELECT 'contacts due', count(*)::text, 'the oldest since ' || ($1 - min(due))::text FROM %I.contact_state WHERE due <= $1 $sql$, m.name)
		USING clock;
	RETURN QUERY EXECUTE format($sql$
		SELECT 'last verification', coalesce(max(v.at)::text, 'never'), max(v.differences || ' differences, by ' || v.role)
		FROM (SELECT * FROM %I.verification ORDER BY id DESC LIMIT 1) v $sql$, m.name);
	RETURN QUERY EXECUTE format($sql$
		SELECT 'contacts deferred', count(DISTINCT contact)::text, 'the oldest since ' || min(since)::text FROM %I.deferred HAVING count(*) > 0 $sql$, m.name);
	RETURN QUERY EXECUTE format($sql$
		SELECT 'outbox', count(*)::text,
			   'the oldest of ' || min(created_at)::text || (
				SELECT coalesce(', ' || nullif(count(*), 0) || ' dead', '') FROM %1$I.outbox_delivery WHERE dead_at IS NOT NULL)
		FROM %1$I.outbox $sql$, m.name);
	RETURN QUERY EXECUTE format($sql$
		SELECT 'problems', count(*)::text, 'the latest of ' || max(at)::text FROM %I.problem $sql$, m.name);
	RETURN QUERY EXECUTE format($sql$
		SELECT 'problem', concat_ws(', ', 'segment "' || segment || '"', 'rule "' || rule || '"', 'contact ' || contact, 'event "' || event || '"'),
			   concat_ws(': ', message, detail)
		FROM (SELECT * FROM %I.problem ORDER BY id DESC LIMIT 5) p ORDER BY id DESC $sql$, m.name);

	-- what somebody changed behind our back
	RETURN QUERY
		SELECT 'trigger missing'::text, 'lifecycle_' || k.kind, 'on table ' || t.relation
		FROM (VALUES ('contacts', m.contacts), ('companies', m.companies), ('deals', m.deals), ('events', m.events), ('deal_contacts', m.deal_contacts)) o (object, root)
		CROSS JOIN LATERAL lifecycle.table_tree(o.root) AS t (relation)
		CROSS JOIN (VALUES (1, 'check'), (2, 'insert'), (3, 'update'), (4, 'delete'), (5, 'truncate')) k (n, kind)
		WHERE t.relation IS NOT NULL AND NOT (o.object IN ('events', 'deal_contacts') AND k.kind = 'check')
		  AND NOT EXISTS (
			SELECT FROM pg_trigger g
			WHERE g.tgrelid = t.relation AND g.tgname = 'lifecycle_' || k.kind AND g.tgenabled IN ('O', 'A'))
		ORDER BY t.relation::text, k.n;
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_status(text) IS
'how a model is doing, one item a row: its tables and columns, contacts known, contacts due and since when, the last verification and what it found, problems with the latest five, triggers that are missing or switched off';
