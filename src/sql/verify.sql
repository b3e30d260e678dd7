/*
 * The proof that a model is right: what is stored against a recomputation.
 */

-- One object's stage and lead status: counts, and the last row of the history.
CREATE FUNCTION lifecycle.verify_stages(m lifecycle.model, object_kind text)
RETURNS TABLE (what text, key text, name text, stored text, computed text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	object text := CASE object_kind WHEN 'contact' THEN 'contacts' ELSE 'companies' END;
	relation regclass := CASE object_kind WHEN 'contact' THEN m.contacts ELSE m.companies END;
	kind record;
BEGIN
	IF relation IS NULL THEN
		RETURN;
	END IF;
	RETURN QUERY EXECUTE format($sql$
		SELECT 'number in stage', NULL::text, %1$L || ' ' || coalesce(s.stage, c.stage),
			   coalesce(s.number, 0)::text, coalesce(c.number, 0)::text
		FROM (SELECT stage, sum(number)::bigint AS number FROM %2$I.stage_count
			  WHERE object = %1$L GROUP BY stage HAVING sum(number) <> 0) s
		FULL JOIN (SELECT %3$I::text AS stage, count(*) AS number FROM %4$s
				   WHERE %3$I IS NOT NULL GROUP BY 1) c ON c.stage = s.stage
		WHERE s.number IS DISTINCT FROM c.number $sql$,
		object_kind, m.name, lifecycle.mapped_column(m.name, object, 'stage'), relation);

	FOR kind IN
		SELECT * FROM (VALUES ('stage', 'stage_history', 'to_stage'),
							  ('lead status', 'lead_status_history', 'to_status')) v (what, history, last_column)
	LOOP
		RETURN QUERY EXECUTE format($sql$
			SELECT %1$L || ' of ' || %2$L, t.%3$I::text, NULL::text, h.last, t.%4$I::text
			FROM %5$s t
			LEFT JOIN (SELECT DISTINCT ON (%2$I) %2$I AS k, %6$I AS last FROM %7$I.%8$I
					   WHERE object = %2$L ORDER BY %2$I, id DESC) h ON h.k = t.%3$I
			WHERE h.last IS DISTINCT FROM t.%4$I::text $sql$,
			kind.what, object_kind, lifecycle.mapped_column(m.name, object, 'key'),
			lifecycle.mapped_column(m.name, object, replace(kind.what, ' ', '_')), relation,
			kind.last_column, m.name, kind.history);
	END LOOP;
END
$$;
COMMENT ON FUNCTION lifecycle.verify_stages(lifecycle.model, text) IS
'where counts and history of stages and lead statuses differ from the rows';

CREATE FUNCTION lifecycle.verify_deals(m lifecycle.model)
RETURNS TABLE (what text, key text, name text, stored text, computed text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	key_column text := lifecycle.mapped_column(m.name, 'deals', 'key');
	stage_column text := lifecycle.mapped_column(m.name, 'deals', 'stage');
	open_column text := lifecycle.mapped_column(m.name, 'deals', 'is_open');
	pipeline_column text := lifecycle.mapped_column(m.name, 'deals', 'pipeline');
BEGIN
	IF m.deals IS NULL THEN
		RETURN;
	END IF;
	RETURN QUERY EXECUTE format($sql$
		SELECT 'open deal', d.%1$I::text, NULL::text, d.%2$I::text, (s.kind = 'open')::text
		FROM %3$s d
		LEFT JOIN %4$I.deal_stage s ON s.name = d.%5$I::text AND s.pipeline = %6$s
		WHERE d.%2$I IS DISTINCT FROM (s.kind = 'open') $sql$,
		key_column, open_column, m.deals, m.name, stage_column,
		CASE WHEN pipeline_column IS NOT NULL THEN format('d.%I::text', pipeline_column)
			 ELSE format('(SELECT p.name FROM %I.pipeline p ORDER BY p.position, p.name LIMIT 1)', m.name) END);
	RETURN QUERY EXECUTE format($sql$
		SELECT 'stage of deal', d.%1$I::text, NULL::text, h.last, d.%2$I::text
		FROM %3$s d
		LEFT JOIN (SELECT DISTINCT ON (deal) deal, to_stage AS last FROM %4$I.deal_history
				   ORDER BY deal, id DESC) h ON h.deal = d.%1$I
		WHERE h.last IS DISTINCT FROM d.%2$I::text $sql$,
		key_column, stage_column, m.deals, m.name);
END
$$;
COMMENT ON FUNCTION lifecycle.verify_deals(lifecycle.model) IS
'where open deals and their history differ from the rows';

-- Each check compares both sides in one snapshot of its own.
CREATE FUNCTION lifecycle.differences(m lifecycle.model)
RETURNS TABLE (what text, key text, name text, stored text, computed text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY SELECT v.what, v.contact, v.name, v.stored, v.computed
		FROM lifecycle.verify_contacts(m.name) v;

	-- contacts that wait: what is stored leaves out events that are there
	RETURN QUERY EXECUTE format($sql$
		SELECT 'deferred', d.contact::text, NULL::text, 'events not looked at since ' || min(d.since), NULL::text
		FROM %I.deferred d GROUP BY d.contact $sql$, m.name);

	-- the table of members is what the states say
	RETURN QUERY EXECUTE format($sql$
		WITH packed AS (
			SELECT s.contact, u.id FROM %1$I.contact_state s
			CROSS JOIN LATERAL unnest(lifecycle.state_segments(s.state)) u (id)),
		listed AS (SELECT contact, segment_id FROM %1$I.membership),
		different AS (
			SELECT x.*, 'absent' AS stored, 'present' AS computed
			FROM (SELECT * FROM packed EXCEPT ALL SELECT * FROM listed) x
			UNION ALL
			SELECT x.*, 'present', 'absent'
			FROM (SELECT * FROM listed EXCEPT ALL SELECT * FROM packed) x)
		SELECT 'segment_member', d.contact::text, coalesce(g.name, 'segment ' || d.id), d.stored, d.computed
		FROM different d
		LEFT JOIN %1$I.segment g ON g.id = d.id
		WHERE g.id IS NOT NULL OR d.stored = 'present' $sql$, m.name);

	-- states of contacts that are not there any more
	RETURN QUERY EXECUTE format($sql$
		SELECT 'state', s.contact::text, NULL::text, 'one', 'none'
		FROM %1$I.contact_state s
		WHERE get_byte(s.state, 1) & 1 = 0
		  AND NOT EXISTS (SELECT FROM %2$s c WHERE c.%3$I = s.contact) $sql$,
		m.name, m.contacts, lifecycle.mapped_column(m.name, 'contacts', 'key'));

	RETURN QUERY SELECT * FROM lifecycle.verify_stages(m, 'contact');
	RETURN QUERY SELECT * FROM lifecycle.verify_stages(m, 'company');
	RETURN QUERY SELECT * FROM lifecycle.verify_deals(m);
	RETURN QUERY SELECT * FROM lifecycle.verify_identity(m);
END
$$;
COMMENT ON FUNCTION lifecycle.differences(lifecycle.model) IS
'rows in which what is stored differs from a recomputation';

-- A standby and a read-only transaction verify too, but keep no record of it.
CREATE FUNCTION @extschema@.lifecycle_verify(model text)
RETURNS TABLE (what text, key text, name text, stored text, computed text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	started timestamptz := clock_timestamp();
	found_rows bigint;
BEGIN
	RETURN QUERY SELECT * FROM lifecycle.differences(m);
	GET DIAGNOSTICS found_rows = ROW_COUNT;
	IF current_setting('transaction_read_only')::boolean THEN
		RETURN;
	END IF;
	EXECUTE format('INSERT INTO %I.verification (duration, differences) VALUES ($1, $2)', m.name)
		USING clock_timestamp() - started, found_rows;
	EXECUTE format('DELETE FROM %1$I.verification WHERE id <= (SELECT max(id) FROM %1$I.verification) - 100', m.name);
END
$$;
COMMENT ON FUNCTION @extschema@.lifecycle_verify(text) IS
'rows in which what is stored differs from a recomputation from the application tables: states, due times, atoms, memberships, numbers per stage, histories, open deals, events of anonymous ids and merged contacts; none is the proof; lifecycle_rebuild repairs states and memberships; lifecycle_status shows the last verification; raises 42501 unless the caller owns the model';

CREATE FUNCTION @extschema@.lifecycle_rebuild(model text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	contacts bigint;
BEGIN
	PERFORM lifecycle.lock_model(m.name, false);
	contacts := lifecycle.rebuild_contacts(m.name);
	PERFORM lifecycle.rebuild_tables(m.name);
	EXECUTE format('DELETE FROM %I.deferred', m.name);
	RETURN contacts;
END
$$;
COMMENT ON FUNCTION @extschema@.lifecycle_rebuild(text) IS
'computes states, memberships and numbers per stage anew from the application tables and returns the number of contacts; writers wait meanwhile; raises 42501 unless the caller owns the model';
