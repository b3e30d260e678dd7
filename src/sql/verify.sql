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

-- Who entered a segment whose rule advances to a stage, and has not been moved
-- by anything but such rules since, is at that stage or further.
CREATE FUNCTION lifecycle.verify_rules(m lifecycle.model)
RETURNS TABLE (what text, key text, name text, stored text, computed text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY EXECUTE format($sql$
		WITH advancing AS (
			SELECT r.name AS rule, r.of AS segment, r.since, s.name AS stage, s.position
			FROM %1$I.rule r JOIN %1$I.stage s ON s.name = r.args ->> 'stage'
			WHERE r.enabled AND r.on_ = 'segment entered' AND r.action = 'advance stage' AND r.condition IS NULL AND s.on_path),
		behind AS (
			SELECT DISTINCT ON (c.%3$I) c.%3$I AS key, c.%4$I::text AS stage, a.stage AS furthest, h.noticed_at
			FROM advancing a
			JOIN %1$I.segment_member x ON x.segment = a.segment
			JOIN %2$s c ON c.%3$I = x.contact
			LEFT JOIN %1$I.stage s ON s.name = c.%4$I::text
			JOIN LATERAL (SELECT max(e.noticed_at) AS noticed_at FROM %1$I.segment_history e
						  WHERE e.contact = x.contact AND e.segment = x.segment AND e.change = 'entered') h ON h.noticed_at > a.since
			WHERE (c.%4$I IS NULL OR (s.on_path AND s.position < a.position))
			  AND NOT EXISTS (SELECT FROM %1$I.problem p WHERE p.rule = a.rule AND p.contact = x.contact::text)
			  AND NOT EXISTS (
				SELECT FROM %1$I.stage_history y
				WHERE y.object = 'contact' AND y.contact = x.contact AND y.noticed_at >= h.noticed_at
				  AND (y.cause IN ('api', 'update', 'import', 'merge', 'rebuild')
					   OR (y.rule IS NOT NULL AND NOT EXISTS (
							SELECT FROM %1$I.rule o WHERE o.name = y.rule AND o.action = 'advance stage'))))
			ORDER BY c.%3$I, a.position DESC)
		SELECT 'stage by rule', b.key::text, NULL::text, b.stage, b.furthest FROM behind b $sql$,
		m.name, m.contacts, lifecycle.mapped_column(m.name, 'contacts', 'key'), lifecycle.mapped_column(m.name, 'contacts', 'stage'));
END
$$;
COMMENT ON FUNCTION lifecycle.verify_rules(lifecycle.model) IS
'contacts behind the stage to which the rules of their segments have advanced them';

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
	RETURN QUERY SELECT * FROM lifecycle.verify_rules(m);
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
'rows in which what is stored differs from a recomputation from the application tables: states, due times, atoms, memberships, stages by rule, scores, numbers per stage, histories, open deals, events of anonymous ids and merged contacts; none is the proof; lifecycle_rebuild repairs states and memberships; lifecycle_status shows the last verification; raises 42501 unless the caller owns the model';

-- Rows that were changed where no trigger saw it: events find their contacts
-- again, and open deals are what their stages say.
CREATE FUNCTION lifecycle.repair_rows(m lifecycle.model) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	id_column text := lifecycle.mapped_column(m.name, 'events', 'anonymous_id');
	event_contact text := lifecycle.mapped_column(m.name, 'events', 'contact');
	contact_key text := lifecycle.mapped_column(m.name, 'contacts', 'key');
	deal_key text := lifecycle.mapped_column(m.name, 'deals', 'key');
	deal_open text := lifecycle.mapped_column(m.name, 'deals', 'is_open');
	d record;
BEGIN
	EXECUTE format('DELETE FROM %1$I.identity i WHERE NOT EXISTS (SELECT FROM %2$s c WHERE c.%3$I = i.contact)',
		m.name, m.contacts, contact_key);
	IF id_column IS NOT NULL THEN
		EXECUTE format('UPDATE %1$s e SET %2$I = i.contact FROM %3$I.identity i WHERE e.%4$I = i.anonymous_id::%5$s AND e.%2$I IS NULL',
			m.events, event_contact, m.name, id_column, lifecycle.column_type_text(m.events, id_column));
	END IF;
	IF event_contact IS NOT NULL THEN
		EXECUTE format($sql$
			UPDATE %1$s e SET %2$I = g.into_contact FROM (%3$s) g WHERE e.%2$I = g.from_contact $sql$,
			m.events, event_contact, lifecycle.survivor_query(m));
	END IF;
	FOR d IN SELECT v.key, v.computed FROM lifecycle.verify_deals(m) v WHERE v.what = 'open deal' LOOP
		BEGIN
			EXECUTE format('UPDATE %s SET %I = $1 WHERE %I::text = $2', m.deals, deal_open, deal_key) USING d.computed::boolean, d.key;
		EXCEPTION WHEN unique_violation THEN
			NULL;	-- another one is open: lifecycle_verify goes on to say so
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION lifecycle.repair_rows(lifecycle.model) IS
'gives events of known anonymous ids and merged contacts their contacts, and deals whether they are open';

-- Histories end where the rows are: what is missing is added, with cause rebuild.
CREATE FUNCTION lifecycle.repair_histories(m lifecycle.model) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	clock timestamptz := lifecycle.model_clock(m.name);
	kind record;
BEGIN
	FOR kind IN
		SELECT v.*, CASE v.object WHEN 'contact' THEN m.contacts ELSE m.companies END AS relation,
			   CASE v.object WHEN 'contact' THEN 'contacts' ELSE 'companies' END AS tables
		FROM (VALUES ('contact', 'stage', 'stage_history', 'stage'), ('contact', 'lead status', 'lead_status_history', 'status'),
					 ('company', 'stage', 'stage_history', 'stage'), ('company', 'lead status', 'lead_status_history', 'status')
			 ) v (object, what, history, column_end)
	LOOP
		CONTINUE WHEN kind.relation IS NULL;
		EXECUTE format($sql$
			INSERT INTO %1$I.%2$I (object, %3$I, from_%4$s, to_%4$s, at, cause, role)
			SELECT %3$L, t.%5$I, v.stored, v.computed, $1, 'rebuild', session_user
			FROM lifecycle.verify_stages($2, %3$L) v JOIN %6$s t ON t.%5$I::text = v.key
			WHERE v.what = %7$L $sql$,
			m.name, kind.history, kind.object, kind.column_end, lifecycle.mapped_column(m.name, kind.tables, 'key'),
			kind.relation, kind.what || ' of ' || kind.object) USING clock, m;
	END LOOP;
	IF m.deals IS NOT NULL THEN
		EXECUTE format($sql$
			INSERT INTO %1$I.deal_history (deal, contact, company, pipeline, from_stage, to_stage, amount, at, cause, role)
			SELECT t.%2$I, %3$s, %4$s, %5$s, v.stored, v.computed, %6$s, $1, 'rebuild', session_user
			FROM lifecycle.verify_deals($2) v JOIN %7$s t ON t.%2$I::text = v.key
			WHERE v.what = 'stage of deal' $sql$,
			m.name, lifecycle.mapped_column(m.name, 'deals', 'key'),
			coalesce('t.' || quote_ident(lifecycle.mapped_column(m.name, 'deals', 'contact')), 'NULL'),
			coalesce('t.' || quote_ident(lifecycle.mapped_column(m.name, 'deals', 'company')), 'NULL'),
			coalesce('t.' || quote_ident(lifecycle.mapped_column(m.name, 'deals', 'pipeline')), 'NULL'),
			coalesce('t.' || quote_ident(lifecycle.mapped_column(m.name, 'deals', 'amount')) || '::numeric', 'NULL'),
			m.deals) USING clock, m;
	END IF;
END
$$;
COMMENT ON FUNCTION lifecycle.repair_histories(lifecycle.model) IS
'adds to the histories of stages, lead statuses and deals what would make them end where the rows are';

-- As in a silent import: rules on the stage move stages and statuses only.
CREATE FUNCTION lifecycle.advance_by_rebuild(m lifecycle.model, contact text, stage text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET lifecycle.import_mode = silent
AS $$
BEGIN
	PERFORM @extschema@.lifecycle_advance(m.name, contact, stage, 'lifecycle_rebuild');
END
$$;
COMMENT ON FUNCTION lifecycle.advance_by_rebuild(lifecycle.model, text, text) IS
'advances a contact that is behind its rules, without anything that leaves the house';

CREATE FUNCTION @extschema@.lifecycle_rebuild(model text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	contacts bigint;
	behind record;
BEGIN
	PERFORM lifecycle.lock_model(m.name, false);
	PERFORM lifecycle.repair_rows(m);
	PERFORM lifecycle.repair_histories(m);
	contacts := lifecycle.rebuild_contacts(m.name);
	PERFORM lifecycle.rebuild_tables(m.name);
	EXECUTE format('DELETE FROM %I.deferred', m.name);
	FOR behind IN SELECT v.key, v.computed FROM lifecycle.verify_rules(m) v LOOP
		PERFORM lifecycle.advance_by_rebuild(m, behind.key, behind.computed);
	END LOOP;
	RETURN contacts;
END
$$;
COMMENT ON FUNCTION @extschema@.lifecycle_rebuild(text) IS
'computes states, memberships and numbers per stage anew from the application tables, gives events their contacts and deals whether they are open, lets histories end where the rows are, and advances contacts that are behind the rules of their segments; returns the number of contacts; writers wait meanwhile; raises 42501 unless the caller owns the model';
