/*
 * Every number that a model's views and functions of an instant show, a second
 * time: by plain SQL on the application tables and the histories, in other
 * words than the views'.  No row is the proof.
 *
 *     \i oracle.sql
 *     \i views.sql
 *     SELECT * FROM oracle.check_views('crm', clock, ARRAY['source', 'country']);
 *
 * The columns name what lifecycle_breakdown is asked for.  Nothing here calls a
 * function of lifecycle but those that are checked.  Not here, because they have
 * a test of their own: score (regress score), timer (views), the forecasts
 * (forecast).
 */

CREATE FUNCTION oracle.zone(of_model text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format('SELECT s.value FROM %I.setting s WHERE s.name = ''time_zone''', of_model) INTO result;
    RETURN coalesce(result, 'UTC');
END
$$;
COMMENT ON FUNCTION oracle.zone(text) IS 'Time zone of a model.';

/*
 * What the checks share, as temporary tables: the application's rows by role,
 * the stays in stages, months of the history.
 */
CREATE FUNCTION oracle.prepare_views(of_model text, clock timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    m lifecycle.model := (SELECT r FROM lifecycle.model r WHERE r.name = of_model);
    zone text := oracle.zone(of_model);
BEGIN
    DROP TABLE IF EXISTS contact_row, company_row, deal_row, stay, month, stage_row;
    EXECUTE format('CREATE TEMP TABLE contact_row AS SELECT %s AS key, %s::text AS stage, %s::text AS lead_status, %s AS company FROM %s r',
        oracle.role_expression(of_model, 'contacts', 'key'), oracle.role_expression(of_model, 'contacts', 'stage'),
        oracle.role_expression(of_model, 'contacts', 'lead_status'), oracle.role_expression(of_model, 'contacts', 'company'), m.contacts);
    CREATE TEMP TABLE company_row (lead_status text);
    IF m.companies IS NOT NULL THEN
        EXECUTE format('INSERT INTO company_row SELECT %s FROM %s r', oracle.role_expression(of_model, 'companies', 'lead_status'), m.companies);
    END IF;
    EXECUTE format('CREATE TEMP TABLE stage_row AS SELECT s.name, s.position, s.on_path FROM %I.stage s', of_model);

    -- the next change is the one of the next number
    EXECUTE format($query$
        CREATE TEMP TABLE stay AS
        WITH numbered AS (
            SELECT x.object, CASE x.object WHEN 'contact' THEN x.contact::text ELSE x.company::text END AS key, x.id, x.to_stage, x.at,
                   row_number() OVER (PARTITION BY x.object, CASE x.object WHEN 'contact' THEN x.contact::text ELSE x.company::text END ORDER BY x.id) AS n
              FROM %1$I.stage_history x)
        SELECT h.object, h.key, h.id, h.to_stage AS stage, h.at AS entered, n.at AS exited
          FROM numbered h LEFT JOIN numbered n ON n.object = h.object AND n.key = h.key AND n.n = h.n + 1
         WHERE h.to_stage IS NOT NULL $query$, of_model);
    CREATE INDEX ON stay (stage, entered);
    CREATE INDEX ON stay (stage, exited);
    CREATE INDEX ON stay (id);
    CREATE INDEX ON stay (key);
    ANALYZE stay, contact_row;

    EXECUTE format($query$
        CREATE TEMP TABLE month AS
        SELECT g::date AS month, g AT TIME ZONE %1$L AS since, (g + interval '1 month') AT TIME ZONE %1$L AS until, h.what
          FROM (SELECT 'stage' AS what, min(at) AS first FROM %2$I.stage_history WHERE object = 'contact'
                UNION ALL SELECT 'segment', min(at) FROM %2$I.segment_history) h,
               generate_series(date_trunc('month', h.first AT TIME ZONE %1$L), %3$L::timestamptz AT TIME ZONE %1$L, '1 month') g $query$,
        zone, of_model, clock);

    IF m.deals IS NOT NULL THEN
        EXECUTE format($query$
            CREATE TEMP TABLE deal_row AS
            SELECT %1$s AS key, %2$s::text AS name, d.pipeline, d.name AS stage, d.position, d.kind, d.probability, %3$s::numeric AS amount,
                   %4$s::text AS currency, %5$s AS close_date, %6$s AS contact, %7$s AS company, %8$s::text AS owner,
                   CASE d.kind WHEN 'won' THEN 'closed' WHEN 'lost' THEN 'lost'
                        ELSE CASE WHEN d.probability < best.value::numeric THEN 'pipeline' WHEN d.probability < sure.value::numeric THEN 'best case' ELSE 'commit' END END AS category
              FROM %9$s r
              JOIN %10$I.deal_stage d ON d.name = %11$s
                   AND d.pipeline = coalesce(%12$s::text, (SELECT p.name FROM %10$I.pipeline p ORDER BY p.position LIMIT 1))
              JOIN %10$I.setting best ON best.name = 'forecast_best_case'
              JOIN %10$I.setting sure ON sure.name = 'forecast_commit' $query$,
            oracle.role_expression(of_model, 'deals', 'key'), oracle.role_expression(of_model, 'deals', 'name'), oracle.role_expression(of_model, 'deals', 'amount'),
            oracle.role_expression(of_model, 'deals', 'currency'), oracle.role_expression(of_model, 'deals', 'close_date'), oracle.role_expression(of_model, 'deals', 'contact'),
            oracle.role_expression(of_model, 'deals', 'company'), oracle.role_expression(of_model, 'deals', 'owner'), m.deals, of_model,
            oracle.role_expression(of_model, 'deals', 'stage'), oracle.role_expression(of_model, 'deals', 'pipeline'));
    END IF;
END
$$;
COMMENT ON FUNCTION oracle.prepare_views(text, timestamptz) IS 'Makes the temporary tables that the checks of views read.';

CREATE FUNCTION oracle.survival_quantile(of_stage text, clock timestamptz, left_over numeric) RETURNS numeric
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    remaining numeric := 1;
    at_risk bigint;
    one record;
BEGIN
    SELECT count(*) INTO at_risk FROM stay WHERE object = 'contact' AND stage = of_stage;
    FOR one IN
        SELECT extract(epoch FROM coalesce(exited, clock) - entered) / 86400 AS days, count(exited) AS ended, count(*) AS gone
          FROM stay WHERE object = 'contact' AND stage = of_stage GROUP BY 1 ORDER BY 1
    LOOP
        remaining := remaining * (at_risk - one.ended) / at_risk;
        IF one.ended > 0 AND round(remaining, 9) <= left_over THEN
            RETURN round(one.days, 2);
        END IF;
        at_risk := at_risk - one.gone;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION oracle.survival_quantile(text, timestamptz, numeric) IS
'Days after which only so large a share of those who entered a stage is left, by Kaplan and Meier, step by step.';

-- Of the stages on the path how many are in them, and the shares that follow.
CREATE FUNCTION oracle.funnel_query(people text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT format($query$
        WITH n AS (
            SELECT s.name, s.position, (SELECT count(*) FROM (%1$s) c WHERE c.stage = s.name) AS here,
                   (SELECT count(*) FROM (%1$s) c JOIN stage_row t ON t.name = c.stage WHERE t.on_path AND t.position >= s.position) AS reached
              FROM stage_row s WHERE s.on_path)
        SELECT n.name, n.position, n.here, n.reached,
               (SELECT round(x.reached::numeric / n.reached, 4) FROM n x WHERE n.reached > 0 AND x.position > n.position ORDER BY x.position LIMIT 1),
               (SELECT round(x.reached::numeric / n.reached, 4) FROM n x WHERE n.reached > 0 ORDER BY x.position DESC LIMIT 1)
          FROM n $query$, people)
$$;
COMMENT ON FUNCTION oracle.funnel_query(text) IS 'The funnel of people, a query that has a column stage, as a query.';

CREATE FUNCTION oracle.view_checks(of_model text, clock timestamptz, breakdowns text[])
RETURNS TABLE (what text, ours text, plain text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    m lifecycle.model := (SELECT r FROM lifecycle.model r WHERE r.name = of_model);
    zone text := oracle.zone(of_model);
    one text;
BEGIN
    RETURN QUERY VALUES
    ('funnel', 'TABLE %1$I.funnel', oracle.funnel_query('SELECT stage FROM contact_row')),
    ('stage_contacts', 'TABLE %1$I.stage_contacts',
     'SELECT c.key, c.stage, s.position, c.lead_status, c.company,
             (SELECT y.entered FROM stay y WHERE y.object = ''contact'' AND y.key = c.key::text AND y.exited IS NULL)
        FROM contact_row c JOIN stage_row s ON s.name = c.stage'),
    ('stage_time', 'SELECT object, coalesce(contact::text, company::text), stage, entered_at, exited_at, latest_entered_at, latest_time_in, cumulative_time_in FROM %1$I.stage_time',
     'SELECT y.object, y.key, y.stage, min(y.entered), nullif(max(coalesce(y.exited, ''infinity'')), ''infinity''), max(y.entered),
             (SELECT coalesce(z.exited, %2$L) - z.entered FROM stay z WHERE z.id = max(y.id)), sum(coalesce(y.exited, %2$L) - y.entered)
        FROM stay y GROUP BY 1, 2, 3'),
    ('lead_status_board', 'SELECT lead_status, position, contacts, companies FROM %1$I.lead_status_board',
     'SELECT s.name, s.position, (SELECT count(*) FROM contact_row c WHERE c.lead_status = s.name),
             ' || CASE WHEN m.companies IS NULL THEN 'NULL::bigint' ELSE '(SELECT count(*) FROM company_row c WHERE c.lead_status = s.name)' END || ' FROM %1$I.lead_status s'),
    ('velocity', 'TABLE %1$I.velocity',
     'WITH length AS (SELECT stage, exited IS NOT NULL AS ended, extract(epoch FROM coalesce(exited, %2$L) - entered) / 86400 AS days FROM stay WHERE object = ''contact'')
      SELECT s.name, s.position, (SELECT count(*) FROM length l WHERE l.stage = s.name AND ended), (SELECT count(*) FROM contact_row c WHERE c.stage = s.name),
             (SELECT round(avg(days), 2) FROM length l WHERE l.stage = s.name AND ended),
             (SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY days)::numeric, 2) FROM length l WHERE l.stage = s.name AND ended),
             (SELECT round(percentile_cont(0.9) WITHIN GROUP (ORDER BY days)::numeric, 2) FROM length l WHERE l.stage = s.name AND ended),
             oracle.survival_quantile(s.name, %2$L, 0.5), oracle.survival_quantile(s.name, %2$L, 0.1)
        FROM stage_row s'),
    ('stage_flow', 'TABLE %1$I.stage_flow',
     'SELECT m.month, s.name, s.position,
             (SELECT count(*) FROM stay y WHERE y.object = ''contact'' AND y.stage = s.name AND y.entered >= m.since AND y.entered < m.until),
             (SELECT count(*) FROM stay y WHERE y.object = ''contact'' AND y.stage = s.name AND y.exited >= m.since AND y.exited < m.until),
             (SELECT count(*) FROM stay y WHERE y.object = ''contact'' AND y.stage = s.name AND y.entered < m.until AND (y.exited IS NULL OR y.exited >= m.until))
        FROM month m, stage_row s WHERE m.what = ''stage'''),
    ('conversion', 'TABLE %1$I.conversion',
     'WITH reached AS (
          SELECT y.key, s.name, s.position, min(y.entered) AS at
            FROM stay y JOIN stage_row t ON t.name = y.stage AND t.on_path JOIN stage_row s ON s.on_path AND s.position <= t.position
           WHERE y.object = ''contact'' GROUP BY 1, 2, 3)
      SELECT m.month, a.name, a.position, s.name, s.position, count(*), count(b.at), round(count(b.at)::numeric / count(*), 4)
        FROM month m
        JOIN reached a ON a.at >= m.since AND a.at < m.until
        JOIN stage_row s ON s.on_path AND s.position > a.position
        LEFT JOIN reached b ON b.key = a.key AND b.name = s.name
       WHERE m.what = ''stage'' GROUP BY 1, 2, 3, 4, 5'),
    ('segment_size', 'SELECT segment, predicate, contacts FROM %1$I.segment_size',
     'SELECT g.name, g.predicate, count(k.contact) FROM %1$I.segment g LEFT JOIN %1$I.segment_member k ON k.segment = g.name GROUP BY 1, 2'),
    ('segment_contacts', 'TABLE %1$I.segment_contacts',
     'SELECT h.segment, h.contact, h.at FROM (SELECT DISTINCT ON (segment, contact) * FROM %1$I.segment_history ORDER BY segment, contact, id DESC) h WHERE h.change = ''entered'''),
    ('segment_flow', 'TABLE %1$I.segment_flow',
     'SELECT segment, (at AT TIME ZONE ''' || zone || ''')::date, sum((change = ''entered'')::int), sum((change = ''left'')::int) FROM %1$I.segment_history GROUP BY 1, 2'),
    ('segment_growth', 'TABLE %1$I.segment_growth',
     'SELECT g.name, m.month,
             (SELECT count(*) FROM %1$I.segment_history h WHERE h.segment = g.name AND h.change = ''entered'' AND h.at >= m.since AND h.at < m.until),
             (SELECT count(*) FROM %1$I.segment_history h WHERE h.segment = g.name AND h.change = ''left'' AND h.at >= m.since AND h.at < m.until),
             (SELECT count(*) FROM (SELECT DISTINCT ON (contact) change FROM %1$I.segment_history h
                                     WHERE h.segment = g.name AND h.at < m.until ORDER BY contact, id DESC) l WHERE change = ''entered'')
        FROM month m, %1$I.segment g WHERE m.what = ''segment'''),
    ('task_overdue', 'SELECT task, title, owner, contact, company, deal, due_at, days_overdue FROM %1$I.task_overdue',
     'SELECT id, title, owner, contact, company, deal, due_at, round(extract(epoch FROM timestamptz %2$L - due_at) / 86400, 1)
        FROM %1$I.task WHERE closed_at IS NULL AND due_at < %2$L');

    FOREACH one IN ARRAY breakdowns LOOP
        RETURN QUERY VALUES ('breakdown by ' || one, format('SELECT * FROM %s(%%1$L, %L)', (SELECT p.oid::regproc FROM pg_proc p WHERE p.proname = 'lifecycle_breakdown'), one),
            format('WITH c AS (SELECT %1$s::text AS value, %2$s::text AS stage FROM %3$s r)
             SELECT v.value, (SELECT count(*) FROM c WHERE c.value IS NOT DISTINCT FROM v.value), s.name, s.position,
                    (SELECT count(*) FROM c WHERE c.value IS NOT DISTINCT FROM v.value AND c.stage = s.name),
                    (SELECT count(*) FROM c JOIN stage_row t ON t.name = c.stage WHERE c.value IS NOT DISTINCT FROM v.value AND t.on_path AND t.position >= s.position),
                    (SELECT round(avg(coalesce(t.on_path AND t.position >= s.position, false)::int), 4) FROM c LEFT JOIN stage_row t ON t.name = c.stage WHERE c.value IS NOT DISTINCT FROM v.value)
               FROM (SELECT DISTINCT value FROM c) v, stage_row s WHERE s.on_path', 'r.' || quote_ident(one), oracle.role_expression(of_model, 'contacts', 'stage'), m.contacts));
    END LOOP;

    -- on a change, between two, before the first, now
    FOR one IN EXECUTE format('SELECT i::text FROM (SELECT DISTINCT at AS i FROM (SELECT at, row_number() OVER (ORDER BY id) AS n, count(*) OVER () AS all_of FROM %I.stage_history) h
                                WHERE n %% greatest(all_of / 5, 1) = 0 UNION SELECT min(at) - interval ''1 day'' FROM %1$I.stage_history UNION SELECT %L UNION SELECT ''infinity'') x
                                WHERE i IS NOT NULL ORDER BY 1', of_model, clock) LOOP
        RETURN QUERY VALUES
        ('stage_at ' || one, format('SELECT contact::text, stage, position, entered_at FROM %%1$I.stage_at(%L)', one),
         format('SELECT y.key, y.stage, s.position, y.entered FROM stay y LEFT JOIN stage_row s ON s.name = y.stage
                  WHERE y.object = ''contact'' AND y.entered <= %1$L AND (y.exited IS NULL OR y.exited > %1$L)', one)),
        ('funnel_at ' || one, format('SELECT * FROM %%1$I.funnel_at(%L)', one),
         oracle.funnel_query(format('SELECT stage FROM stay y WHERE y.object = ''contact'' AND y.entered <= %1$L AND (y.exited IS NULL OR y.exited > %1$L)', one)));
    END LOOP;

    RETURN QUERY SELECT 'contact_timeline', 'SELECT contact::text, at, kind, what FROM %1$I.contact_timeline',
        'SELECT contact::text, at, ''stage'', to_stage FROM %1$I.stage_history WHERE object = ''contact''
         UNION ALL SELECT contact::text, at, ''lead status'', to_status FROM %1$I.lead_status_history WHERE object = ''contact''
         UNION ALL SELECT contact::text, at, ''segment '' || change, segment FROM %1$I.segment_history
         UNION ALL SELECT contact::text, at, ''deal'', to_stage FROM %1$I.deal_history WHERE contact IS NOT NULL'
        || coalesce(format($query$ UNION ALL SELECT (%1$s)::text, CASE WHEN pg_typeof(%2$s) = 'timestamptz'::regtype THEN (%2$s)::text::timestamptz ELSE (%2$s)::timestamp AT TIME ZONE %3$L END, 'event', %4$s::text FROM %5$s r WHERE %1$s IS NOT NULL $query$,
            oracle.role_expression(of_model, 'events', 'contact'), oracle.role_expression(of_model, 'events', 'time'), zone,
            oracle.role_expression(of_model, 'events', 'name'), m.events::text), '');

    IF m.deals IS NOT NULL THEN
        RETURN QUERY VALUES
        ('deal_board', 'TABLE %1$I.deal_board',
         'SELECT d.key, d.name, d.pipeline, d.stage, d.position, d.kind, d.probability, d.amount, d.currency, d.amount * d.probability / 100, d.close_date, d.contact, d.company,
                 h.at, round(extract(epoch FROM %2$L - h.at) / 86400, 1), d.category, d.owner
            FROM deal_row d LEFT JOIN LATERAL (SELECT at FROM %1$I.deal_history h WHERE h.deal = d.key ORDER BY h.id DESC LIMIT 1) h ON true'),
        ('deal_forecast', 'TABLE %1$I.deal_forecast',
         'SELECT pipeline, date_trunc(''month'', close_date AT TIME ZONE ''' || zone || ''')::date, currency, coalesce(sum(amount * probability) / 100, 0),
                 count(CASE kind WHEN ''open'' THEN 1 END), coalesce(sum(CASE kind WHEN ''open'' THEN amount END), 0),
                 coalesce(sum(CASE kind WHEN ''open'' THEN amount * probability END) / 100, 0),
                 count(CASE kind WHEN ''won'' THEN 1 END), coalesce(sum(CASE kind WHEN ''won'' THEN amount END), 0),
                 count(CASE category WHEN ''pipeline'' THEN 1 END), coalesce(sum(CASE category WHEN ''pipeline'' THEN amount END), 0),
                 count(CASE category WHEN ''best case'' THEN 1 END), coalesce(sum(CASE category WHEN ''best case'' THEN amount END), 0),
                 count(CASE category WHEN ''commit'' THEN 1 END), coalesce(sum(CASE category WHEN ''commit'' THEN amount END), 0)
            FROM deal_row WHERE kind <> ''lost'' GROUP BY 1, 2, 3');
    END IF;
END
$$;
COMMENT ON FUNCTION oracle.view_checks(text, timestamptz, text[]) IS
'Pairs of queries that must return the same rows, with the model for %1 and the clock for %2.';

CREATE FUNCTION oracle.check_views(of_model text, clock timestamptz, breakdowns text[] DEFAULT '{}', OUT what text, OUT only_in text, OUT difference text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one record;
BEGIN
    PERFORM oracle.prepare_views(of_model, clock);
    FOR one IN SELECT * FROM oracle.view_checks(of_model, clock, breakdowns) LOOP
        RETURN QUERY EXECUTE format(
            'WITH ours AS MATERIALIZED (%1$s), plain AS MATERIALIZED (%2$s)
             SELECT %3$L, ''view'', x::text FROM (TABLE ours EXCEPT ALL TABLE plain) x
             UNION ALL SELECT %3$L, ''plain SQL'', y::text FROM (TABLE plain EXCEPT ALL TABLE ours) y LIMIT 10',
            format(one.ours, of_model, clock), format(one.plain, of_model, clock), one.what);
    END LOOP;
END
$$;
COMMENT ON FUNCTION oracle.check_views(text, timestamptz, text[]) IS
'Rows that only a view or only plain SQL returns: none is the proof.';

-- A check of nothing shows nothing: how many rows each view has.
CREATE FUNCTION oracle.count_views(of_model text, clock timestamptz, breakdowns text[] DEFAULT '{}')
RETURNS TABLE (what text, rows bigint)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT * FROM oracle.view_checks(of_model, clock, breakdowns) LOOP
        RETURN QUERY EXECUTE format('SELECT %L, count(*) FROM (%s) x', one.what, format(one.ours, of_model, clock));
    END LOOP;
END
$$;
COMMENT ON FUNCTION oracle.count_views(text, timestamptz, text[]) IS 'Number of rows of each view that check_views compares.';
