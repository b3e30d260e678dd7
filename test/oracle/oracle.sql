-- The oracle: what a model's maintained tables must contain, computed from the
-- application tables by plain SQL.
--
-- It is written apart from the engine: it calls none of its functions and reads
-- none of its state except in order to compare.  A test states each segment
-- twice, as predicate text for lifecycle, and here as a query of its own.
--
--   INSERT INTO oracle.segment (model, name, query) VALUES
--       ('shop', 'Buyer', $$SELECT c.id FROM shop.contacts c WHERE EXISTS (...)$$);
--   SELECT * FROM oracle.check('shop', now());     -- no row: all is right
--
-- The queries run in the model's time zone, so that "$1 - interval '1 month'"
-- means what a window of the model means.

CREATE SCHEMA oracle;

CREATE TABLE oracle.segment (
    model text NOT NULL,
    name text NOT NULL,
    query text NOT NULL,
    stage text,
    PRIMARY KEY (model, name)
);
COMMENT ON TABLE oracle.segment IS 'Segments as plain SQL: what the engine must agree with.';
COMMENT ON COLUMN oracle.segment.query IS 'Query over the application tables that returns the keys of the members at the instant $1, each once.';
COMMENT ON COLUMN oracle.segment.stage IS 'The stage that lifecycle_add_segment was given as stage, if any.';

CREATE TABLE oracle.model (
    model text PRIMARY KEY
);
COMMENT ON TABLE oracle.model IS 'Models whose stages come from segments only, never from a person, a deal or another rule: there the stage is checked against the memberships.';

CREATE TABLE oracle.seen (
    model text NOT NULL,
    segment text NOT NULL,
    contact text NOT NULL,
    PRIMARY KEY (model, segment, contact)
);
COMMENT ON TABLE oracle.seen IS 'Memberships that the queries of oracle.segment gave at any earlier check.';

-- The expression that a role of the model stands for, over a row named r: a
-- quoted column, a constant, or null.
CREATE FUNCTION oracle.role_expression(of_model text, of_object text, of_role text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT CASE WHEN column_name IS NULL THEN format('%L::text', constant) ELSE format('r.%I', column_name) END
                     FROM lifecycle.model_column
                     WHERE model = of_model AND object = of_object AND role = of_role),
                    'NULL::text')
$$;
COMMENT ON FUNCTION oracle.role_expression(text, text, text) IS 'Column or constant that a role of a model is mapped to.';

CREATE FUNCTION oracle.check_segments(of_model text, clock timestamptz)
RETURNS TABLE (what text, key text, expected text, actual text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one oracle.segment;
BEGIN
    FOR one IN SELECT * FROM oracle.segment s WHERE s.model = of_model ORDER BY s.name LOOP
        RETURN QUERY EXECUTE format($query$
            WITH
                expected(contact) AS MATERIALIZED (SELECT q.k::text FROM (%1$s) AS q(k)),
                actual(contact) AS MATERIALIZED (
                    SELECT m.contact::text FROM %2$I.segment_member m WHERE m.segment = %3$L),
                remembered AS (
                    INSERT INTO oracle.seen SELECT %4$L, %3$L, e.contact FROM expected e
                    ON CONFLICT DO NOTHING)
            SELECT %5$L, d.contact, 'member', 'no member'
            FROM (TABLE expected EXCEPT ALL TABLE actual) d
            UNION ALL
            SELECT %5$L, d.contact, 'no member', 'member'
            FROM (TABLE actual EXCEPT ALL TABLE expected) d
            $query$, one.query, of_model, one.name, of_model, 'segment ' || one.name)
        USING clock;
    END LOOP;

    -- entered and left take turns, and the last agrees with the membership
    RETURN QUERY EXECUTE format($query$
        WITH
            line AS (
                SELECT h.segment, h.contact::text AS contact, h.id, h.change,
                    lag(h.change, 1, 'left') OVER w AS before,
                    lead(h.id) OVER w IS NULL AS is_last
                FROM %1$I.segment_history h
                JOIN %1$I.segment s ON s.name = h.segment
                WINDOW w AS (PARTITION BY h.segment, h.contact ORDER BY h.id))
        SELECT 'segment history of ' || l.segment, l.contact,
            CASE l.before WHEN 'left' THEN 'entered' ELSE 'left' END, l.change
        FROM line l
        WHERE l.change IS NOT DISTINCT FROM l.before
        UNION ALL
        SELECT 'last segment history of ' || coalesce(l.segment, m.segment),
            coalesce(l.contact, m.contact::text),
            CASE WHEN m.contact IS NULL THEN 'left' ELSE 'entered' END,
            coalesce(l.change, 'nothing')
        FROM (SELECT * FROM line WHERE is_last) l
        FULL JOIN %1$I.segment_member m
            ON m.segment = l.segment AND m.contact::text = l.contact
        WHERE coalesce(l.change, 'nothing')
            IS DISTINCT FROM CASE WHEN m.contact IS NULL THEN 'left' ELSE 'entered' END
        $query$, of_model);
END
$$;
COMMENT ON FUNCTION oracle.check_segments(text, timestamptz) IS 'Memberships against the queries of oracle.segment, both ways, and the segment history against the memberships.';

-- What a tick has written to the history, at an instant on its way.  Queries that
-- look at stages are left out: those are not known as of then.
CREATE FUNCTION oracle.check_past(of_model text, instant timestamptz, known bigint)
RETURNS TABLE (what text, key text, expected text, actual text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one oracle.segment;
    zone text;
    session_zone text := current_setting('TimeZone');
BEGIN
    EXECUTE format('SELECT value FROM %I.setting WHERE name = ''time_zone''', of_model) INTO zone;
    PERFORM set_config('TimeZone', coalesce(zone, 'UTC'), true);
    FOR one IN EXECUTE format($query$
        WITH RECURSIVE by_stage AS (
            SELECT s.name FROM %1$I.segment s WHERE s.predicate ~ 'stage|status'
            UNION
            SELECT s.name FROM %1$I.segment s JOIN by_stage b ON b.name = ANY (s.segments))
        SELECT o.* FROM oracle.segment o
        WHERE o.model = %1$L AND NOT EXISTS (SELECT FROM by_stage b WHERE b.name = o.name)
        ORDER BY o.name $query$, of_model)
    LOOP
        RETURN QUERY EXECUTE format($query$
            WITH
                expected(contact) AS MATERIALIZED (SELECT q.k::text FROM (%1$s) AS q(k)),
                line AS (
                    SELECT DISTINCT ON (h.contact) h.contact::text AS contact, h.change
                    FROM %2$I.segment_history h
                    WHERE h.segment = %3$L AND (h.id <= $2 OR h.at <= $1)
                    ORDER BY h.contact, h.id DESC),
                actual AS (SELECT l.contact FROM line l WHERE l.change = 'entered')
            SELECT %4$L, d.contact, 'member', 'no member'
            FROM (TABLE expected EXCEPT ALL TABLE actual) d
            UNION ALL
            SELECT %4$L, d.contact, 'no member', 'member'
            FROM (TABLE actual EXCEPT ALL TABLE expected) d
            $query$, one.query, of_model, one.name, 'segment ' || one.name)
        USING instant, known;
    END LOOP;
    PERFORM set_config('TimeZone', session_zone, true);
END
$$;
COMMENT ON FUNCTION oracle.check_past(text, timestamptz, bigint) IS 'Memberships at an instant as the history has them, whose rows after the known one were written by a tick over that instant, against the queries of oracle.segment.';

-- Contacts or companies: the column of the application table, the history and
-- the counts say the same.
CREATE FUNCTION oracle.check_standing(of_model text, of_object text)
RETURNS TABLE (what text, key text, expected text, actual text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- the registry names the objects by their tables, the history by the row
    many text := CASE of_object WHEN 'contact' THEN 'contacts' ELSE 'companies' END;
    application regclass := (SELECT CASE of_object WHEN 'contact' THEN m.contacts ELSE m.companies END
                             FROM lifecycle.model m WHERE m.name = of_model);
    kind text;
BEGIN
    IF application IS NULL THEN
        RETURN;
    END IF;

    FOREACH kind IN ARRAY ARRAY['stage', 'status'] LOOP
        RETURN QUERY EXECUTE format($query$
            WITH
                holder AS (SELECT (%1$s)::text AS key, (%2$s)::text AS now FROM %3$s r),
                line AS (
                    SELECT h.%4$I::text AS key, h.id, h.%5$I AS from_, h.%6$I AS to_,
                        lag(h.%6$I) OVER w AS before,
                        lead(h.id) OVER w IS NULL AS is_last
                    FROM %7$I.%8$I h
                    WHERE h.object = %4$L
                    WINDOW w AS (PARTITION BY h.%4$I ORDER BY h.id))
            SELECT %9$L || ' and its history', h.key, l.to_, h.now
            FROM holder h LEFT JOIN line l ON l.key = h.key AND l.is_last
            WHERE h.now IS DISTINCT FROM l.to_
            UNION ALL
            SELECT 'chain of the history of ' || %9$L, h.key, l.before, l.from_
            FROM holder h JOIN line l ON l.key = h.key
            WHERE l.from_ IS DISTINCT FROM l.before
            UNION ALL
            SELECT 'change in the history of ' || %9$L, h.key, 'a change', l.to_
            FROM holder h JOIN line l ON l.key = h.key
            WHERE l.from_ IS NOT DISTINCT FROM l.to_
            $query$,
            oracle.role_expression(of_model, many, 'key'),
            oracle.role_expression(of_model, many, CASE kind WHEN 'stage' THEN 'stage' ELSE 'lead_status' END),
            application, of_object, 'from_' || kind, 'to_' || kind, of_model,
            CASE kind WHEN 'stage' THEN 'stage_history' ELSE 'lead_status_history' END,
            of_object || '''s ' || CASE kind WHEN 'stage' THEN 'stage' ELSE 'lead status' END);
    END LOOP;

    RETURN QUERY EXECUTE format($query$
        WITH
            expected AS (
                SELECT (%1$s)::text AS stage, count(*) AS number FROM %2$s r GROUP BY 1),
            actual AS (
                SELECT c.stage, sum(c.number)::bigint AS number FROM %3$I.stage_count c
                WHERE c.object = %4$L GROUP BY 1)
        SELECT %4$L || ' count of stage', stage, e.number::text, a.number::text
        FROM (SELECT * FROM expected WHERE stage IS NOT NULL) e
        FULL JOIN (SELECT * FROM actual WHERE stage IS NOT NULL) a USING (stage)
        WHERE coalesce(e.number, 0) <> coalesce(a.number, 0)
        $query$,
        oracle.role_expression(of_model, many, 'stage'), application, of_model, of_object);
END
$$;
COMMENT ON FUNCTION oracle.check_standing(text, text) IS 'Stage and lead status of contacts or companies: column, history and counts against each other.';

-- A model whose stages come from segments only: each contact is at the furthest
-- stage of the segments that it ever entered.
CREATE FUNCTION oracle.check_stages(of_model text)
RETURNS TABLE (what text, key text, expected text, actual text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_contacts regclass;
    of_companies regclass;
BEGIN
    IF NOT EXISTS (SELECT FROM oracle.model o WHERE o.model = of_model) THEN
        RETURN;
    END IF;
    SELECT m.contacts, m.companies INTO of_contacts, of_companies
    FROM lifecycle.model m WHERE m.name = of_model;

    -- The history of memberships says exactly where a contact must be; what the
    -- oracle has seen itself says where it must be at least.
    RETURN QUERY EXECUTE format($query$
        WITH
            contact AS (SELECT (%1$s)::text AS key, (%2$s)::text AS stage FROM %3$s r),
            entered AS (
                SELECT h.contact::text AS key, max(p.position) AS position
                FROM %4$I.segment_history h
                JOIN oracle.segment s ON s.model = %4$L AND s.name = h.segment
                JOIN %4$I.stage p ON p.name = s.stage
                WHERE h.change = 'entered'
                GROUP BY 1),
            seen AS (
                SELECT o.contact AS key, max(p.position) AS position
                FROM oracle.seen o
                JOIN oracle.segment s ON s.model = o.model AND s.name = o.segment
                JOIN %4$I.stage p ON p.name = s.stage
                WHERE o.model = %4$L
                GROUP BY 1)
        SELECT 'stage by segments', c.key, e.name, c.stage
        FROM contact c
        LEFT JOIN entered USING (key)
        LEFT JOIN %4$I.stage e ON e.position = entered.position
        WHERE c.stage IS DISTINCT FROM e.name
        UNION ALL
        SELECT 'stage by segments seen', c.key, 'at least ' || e.name, c.stage
        FROM contact c
        JOIN seen USING (key)
        JOIN %4$I.stage e ON e.position = seen.position
        LEFT JOIN %4$I.stage a ON a.name = c.stage
        WHERE a.position IS NULL OR a.position < seen.position
        $query$,
        oracle.role_expression(of_model, 'contacts', 'key'),
        oracle.role_expression(of_model, 'contacts', 'stage'), of_contacts, of_model);

    -- Forward only: nobody ever went back; who was deleted has left the last stage,
    -- and a company may be deleted and come again.
    RETURN QUERY EXECUTE format($query$
        SELECT h.object || ' went back', coalesce(h.contact::text, h.company::text),
            'beyond ' || h.from_stage, h.to_stage
        FROM %1$I.stage_history h
        LEFT JOIN %1$I.stage f ON f.name = h.from_stage
        LEFT JOIN %1$I.stage t ON t.name = h.to_stage
        WHERE h.from_stage IS NOT NULL
            AND (t.position IS NULL OR t.position <= f.position)
            AND NOT (h.to_stage IS NULL
                     AND (h.object = 'company'
                          OR NOT EXISTS (SELECT FROM %2$s r WHERE (%3$s)::text = h.contact::text)))
        $query$, of_model, of_contacts, oracle.role_expression(of_model, 'contacts', 'key'));

    IF of_companies IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($query$
        WITH
            company AS (SELECT (%1$s)::text AS key, (%2$s)::text AS stage FROM %3$s r),
            contact AS (SELECT (%4$s)::text AS company, (%5$s)::text AS stage FROM %6$s r),
            furthest AS (
                SELECT c.company AS key, max(p.position) AS position
                FROM contact c
                JOIN %7$I.stage p ON p.name = c.stage AND p.on_path
                GROUP BY 1)
        SELECT 'company''s stage by its contacts', c.key, 'at least ' || e.name, c.stage
        FROM company c
        JOIN furthest USING (key)
        JOIN %7$I.stage e ON e.position = furthest.position
        LEFT JOIN %7$I.stage a ON a.name = c.stage
        WHERE (a.position IS NULL OR a.position < furthest.position)
            AND (SELECT s.value FROM %7$I.setting s WHERE s.name = 'company_stage') = 'furthest'
        $query$,
        oracle.role_expression(of_model, 'companies', 'key'),
        oracle.role_expression(of_model, 'companies', 'stage'), of_companies,
        oracle.role_expression(of_model, 'contacts', 'company'),
        oracle.role_expression(of_model, 'contacts', 'stage'), of_contacts, of_model);
END
$$;
COMMENT ON FUNCTION oracle.check_stages(text) IS 'Where stages come from segments only: contacts at the furthest stage of the segments that they entered, companies at least as far as their contacts, nobody back.';

CREATE FUNCTION oracle.check_companies(of_model text)
RETURNS TABLE (what text, key text, expected text, actual text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_companies regclass := (SELECT m.companies FROM lifecycle.model m WHERE m.name = of_model);
    of_contacts regclass := (SELECT m.contacts FROM lifecycle.model m WHERE m.name = of_model);
BEGIN
    IF of_companies IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($query$
        WITH
            company AS (SELECT (%1$s)::text AS key, (%2$s)::text AS stage FROM %3$s r),
            contact AS (SELECT (%4$s)::text AS company, (%5$s)::text AS stage FROM %6$s r)
        SELECT 'company exactly by its contacts', c.key, f.name, c.stage
        FROM company c
        LEFT JOIN %7$I.stage a ON a.name = c.stage
        CROSS JOIN LATERAL (
            SELECT p.name FROM contact t JOIN %7$I.stage p ON p.name = t.stage AND p.on_path
            WHERE t.company = c.key ORDER BY p.position DESC LIMIT 1) f
        WHERE c.stage IS DISTINCT FROM f.name AND a.on_path IS DISTINCT FROM false
            AND (SELECT s.value FROM %7$I.setting s WHERE s.name = 'company_stage') = 'exact'
        $query$,
        oracle.role_expression(of_model, 'companies', 'key'),
        oracle.role_expression(of_model, 'companies', 'stage'), of_companies,
        oracle.role_expression(of_model, 'contacts', 'company'),
        oracle.role_expression(of_model, 'contacts', 'stage'), of_contacts, of_model);
END
$$;
COMMENT ON FUNCTION oracle.check_companies(text) IS 'With company_stage at exact, and nobody having moved companies by hand: companies that have contacts on the path are where the furthest of them is.';

CREATE FUNCTION oracle.check_statuses(of_model text, of_object text)
RETURNS TABLE (what text, key text, expected text, actual text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_table regclass := (SELECT CASE of_object WHEN 'contacts' THEN m.contacts ELSE m.companies END
                          FROM lifecycle.model m WHERE m.name = of_model);
BEGIN
    IF of_table IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($query$
        SELECT %5$L, (%1$s)::text, 'none in stage ' || s.name, (%2$s)::text
        FROM %3$s r
        JOIN %4$I.stage s ON s.name = %6$s AND NOT s.carries_status
        WHERE %2$s IS NOT NULL
        $query$,
        oracle.role_expression(of_model, of_object, 'key'),
        oracle.role_expression(of_model, of_object, 'lead_status'), of_table, of_model,
        'lead status in ' || of_object, oracle.role_expression(of_model, of_object, 'stage'));
END
$$;
COMMENT ON FUNCTION oracle.check_statuses(text, text) IS 'No lead status in stages that carry none.';

CREATE FUNCTION oracle.check_deals(of_model text)
RETURNS TABLE (what text, key text, expected text, actual text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_deals regclass := (SELECT m.deals FROM lifecycle.model m WHERE m.name = of_model);
BEGIN
    IF of_deals IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($query$
        WITH
            deal AS (
                SELECT (%1$s)::text AS key, (%2$s)::text AS contact, (%3$s)::text AS stage,
                    (%4$s)::boolean AS is_open,
                    coalesce((%5$s)::text, (SELECT p.name FROM %7$I.pipeline p
                                            ORDER BY p.position LIMIT 1)) AS pipeline
                FROM %6$s r),
            line AS (
                SELECT h.deal::text AS key, h.to_stage AS to_, h.from_stage AS from_,
                    lag(h.to_stage) OVER w AS before,
                    lead(h.id) OVER w IS NULL AS is_last
                FROM %7$I.deal_history h
                WINDOW w AS (PARTITION BY h.deal ORDER BY h.id))
        SELECT 'deal is open', d.key, (s.kind = 'open')::text, d.is_open::text
        FROM deal d
        LEFT JOIN %7$I.deal_stage s ON s.pipeline = d.pipeline AND s.name = d.stage
        WHERE d.is_open IS DISTINCT FROM (s.kind = 'open')
        UNION ALL
        SELECT 'open deals of contact in ' || d.pipeline, d.contact, '1', count(*)::text
        FROM deal d
        WHERE d.is_open AND d.contact IS NOT NULL
        GROUP BY d.contact, d.pipeline
        HAVING count(*) > 1
        UNION ALL
        SELECT 'deal and its history', d.key, l.to_, d.stage
        FROM deal d LEFT JOIN line l ON l.key = d.key AND l.is_last
        WHERE d.stage IS DISTINCT FROM l.to_
        UNION ALL
        SELECT 'chain of the history of deal', d.key, l.before, l.from_
        FROM deal d JOIN line l ON l.key = d.key
        WHERE l.from_ IS DISTINCT FROM l.before
        $query$,
        oracle.role_expression(of_model, 'deals', 'key'),
        oracle.role_expression(of_model, 'deals', 'contact'),
        oracle.role_expression(of_model, 'deals', 'stage'),
        oracle.role_expression(of_model, 'deals', 'is_open'),
        oracle.role_expression(of_model, 'deals', 'pipeline'), of_deals, of_model);
END
$$;
COMMENT ON FUNCTION oracle.check_deals(text) IS 'Deals: is_open by the deal stage, one open deal per contact and pipeline, history and column.';

-- ---- lead scores

CREATE TABLE oracle.score_condition (
    model text NOT NULL,
    score text NOT NULL,
    rule text NOT NULL,
    query text NOT NULL,
    PRIMARY KEY (model, score, rule)
);
COMMENT ON TABLE oracle.score_condition IS 'Conditions of rules of scores that are more than plain SQL over the contact, as a query that returns the keys of the contacts for which they hold at the instant $1.';

-- The query that gives, for one rule: contact, what its points add to (group,
-- decay, length) and points times weight, in billionths, exactly.
CREATE FUNCTION oracle.score_rule_query(of_model text, of_score text, of_rule text)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rule record;
    registry lifecycle.model;
    length numeric;
    weight text := '1';
BEGIN
    SELECT * INTO registry FROM lifecycle.model m WHERE m.name = of_model;
    EXECUTE format('SELECT * FROM %I.score_rule r WHERE r.score = $1 AND r.name = $2', of_model)
        INTO rule USING of_score, of_rule;
    IF rule.condition IS NOT NULL THEN
        RETURN format('SELECT q.k::text, %L::text, ''none'', 1::numeric, %s * 1000000000::numeric FROM (%s) AS q(k)',
            rule.in_group, rule.points,
            coalesce((SELECT c.query FROM oracle.score_condition c
                      WHERE c.model = of_model AND c.score = of_score AND c.rule = of_rule),
                     format('SELECT %s FROM %s r WHERE %s', oracle.role_expression(of_model, 'contacts', 'key'),
                            registry.contacts, rule.condition)));
    END IF;
    length := extract(epoch FROM coalesce(rule.linear_decay, rule.half_life)) * 1000000;
    IF rule.linear_decay IS NOT NULL THEN
        weight := format('greatest(0, %s - e.age)', length::bigint);
    ELSIF rule.half_life IS NOT NULL THEN
        weight := format('CASE WHEN e.age >= 50 * %1$s::bigint THEN 0 ELSE floor(power(2::float8, -(e.age::float8 / %1$s::float8)) * 1125899906842624::float8)::bigint END',
                         length::bigint);
    END IF;
    RETURN format($query$
        SELECT e.contact, %1$L::text, %2$L, %3$s::numeric, sum(%4$s * 1000000000::numeric * (%5$s))
        FROM (SELECT (%6$s)::text AS contact,
                  (extract(epoch FROM $1 - (%7$s)) * 1000000)::bigint AS age,
                  row_number() OVER (PARTITION BY %6$s ORDER BY %7$s DESC) AS latest
              FROM %8$s r
              WHERE (%9$s) = %10$L AND (%7$s) <= $1 AND (%11$s)) e
        WHERE e.latest <= %12$s
        GROUP BY e.contact $query$,
        rule.in_group,
        CASE WHEN rule.linear_decay IS NOT NULL THEN 'linear' WHEN rule.half_life IS NOT NULL THEN 'half' ELSE 'none' END,
        CASE WHEN rule.linear_decay IS NOT NULL THEN length::bigint
             WHEN rule.half_life IS NOT NULL THEN 1125899906842624 ELSE 1 END,
        rule.points, weight,
        oracle.role_expression(of_model, 'events', 'contact'),
        oracle.role_expression(of_model, 'events', 'time'), registry.events,
        oracle.role_expression(of_model, 'events', 'name'), rule.event,
        coalesce(rule.filter, 'true'), coalesce(rule.times, 2147483647));
END
$$;
COMMENT ON FUNCTION oracle.score_rule_query(text, text, text) IS 'Plain SQL that computes what one rule of a score adds for each contact at the instant $1.';

-- A score of every contact, as docs/scores.md says: rules of a group that decay
-- alike are added up and cut to a billionth, groups are capped and added up, the
-- total is capped and floored and rounded down.
CREATE FUNCTION oracle.score(of_model text, of_score text, clock timestamptz)
RETURNS TABLE (contact text, points numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts text;
    of_contacts regclass := (SELECT m.contacts FROM lifecycle.model m WHERE m.name = of_model);
BEGIN
    EXECUTE format('SELECT string_agg(format(''SELECT %%L::interval, q.* FROM (%%s) q (contact, in_group, decay, weight, sum)'',
                        coalesce(r.linear_decay, r.half_life), oracle.score_rule_query(%L, r.score, r.name)), '' UNION ALL '')
                    FROM %I.score_rule r WHERE r.score = $1', of_model, of_model)
        INTO parts USING of_score;
    RETURN QUERY EXECUTE format($query$
        WITH
            part (length, contact, in_group, decay, weight, sum) AS (%1$s),
            alike AS (
                SELECT p.contact, p.in_group, div(sum(p.sum), p.weight) AS points
                FROM part p GROUP BY p.contact, p.in_group, p.decay, p.length, p.weight),
            grouped AS (
                SELECT a.contact, least(sum(a.points), (d.groups ->> a.in_group)::numeric * 1000000000) AS points
                FROM alike a, %2$I.score_definition d
                WHERE d.name = %3$L
                GROUP BY a.contact, a.in_group, d.groups),
            total AS (
                SELECT (%4$s)::text AS contact, coalesce((SELECT sum(g.points) FROM grouped g WHERE g.contact = (%4$s)::text), 0) AS points
                FROM %5$s r)
        SELECT t.contact,
            floor(greatest(least(t.points, d.cap * 1000000000), d.floor * 1000000000) / 10::numeric ^ (9 - d.decimals)) / 10::numeric ^ d.decimals
        FROM total t, %2$I.score_definition d
        WHERE d.name = %3$L $query$,
        coalesce(parts, 'SELECT NULL::interval, NULL::text, NULL::text, NULL::text, 1::numeric, 0::numeric'),
        of_model, of_score, oracle.role_expression(of_model, 'contacts', 'key'), of_contacts)
    USING clock;
END
$$;
COMMENT ON FUNCTION oracle.score(text, text, timestamptz) IS 'The score of each contact at an instant, from the events and the rules by plain SQL.';

-- What lifecycle_score says of each contact.
CREATE FUNCTION oracle.check_scores(of_model text, clock timestamptz)
RETURNS TABLE (what text, key text, expected text, actual text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one record;
    home name := (SELECT n.nspname FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace WHERE x.extname = 'lifecycle');
BEGIN
    FOR one IN EXECUTE format('SELECT d.name, d.column_name FROM %I.score_definition d ORDER BY d.name', of_model) LOOP
        IF one.column_name IS NOT NULL THEN
            RETURN QUERY EXECUTE format($query$
                SELECT 'column of score ' || %1$L, e.contact, e.points::text, r.%3$I::text
                FROM oracle.score(%2$L, %1$L, $1) e
                JOIN %4$s r ON (%5$s)::text = e.contact
                WHERE e.points IS DISTINCT FROM r.%3$I
                $query$, one.name, of_model, one.column_name,
                (SELECT m.contacts FROM lifecycle.model m WHERE m.name = of_model),
                oracle.role_expression(of_model, 'contacts', 'key'))
            USING clock;
        END IF;
        RETURN QUERY EXECUTE format($query$
            SELECT 'score ' || %1$L, e.contact, e.points::text, a.points::text
            FROM oracle.score(%2$L, %1$L, $1) e
            CROSS JOIN LATERAL %3$I.lifecycle_score(%2$L, e.contact, %1$L, $1) a (points)
            WHERE e.points IS DISTINCT FROM a.points
            $query$, one.name, of_model, home)
        USING clock;
    END LOOP;
END
$$;
COMMENT ON FUNCTION oracle.check_scores(text, timestamptz) IS 'Scores of all contacts, and the columns that they are written to, against oracle.score.';

-- Whose events they are.  An anonymous id that is somebody's has no event that is
-- nobody's; a contact that was merged has none at all, unless the key is in use
-- again; and where anonymous ids make contacts, every event with one has a contact,
-- unless a problem says why not.
CREATE FUNCTION oracle.check_identity(of_model text)
RETURNS TABLE (what text, key text, expected text, actual text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m lifecycle.model := (SELECT l FROM lifecycle.model l WHERE l.name = of_model);
BEGIN
    RETURN QUERY EXECUTE format($query$
        SELECT 'anonymous id''s contact', i.anonymous_id, 'a contact', i.contact::text
        FROM %1$I.identity i
        WHERE NOT EXISTS (SELECT FROM %2$s r WHERE (%3$s)::text = i.contact::text)
        $query$, of_model, m.contacts, oracle.role_expression(of_model, 'contacts', 'key'));
    IF m.events IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($query$
        WITH
            contact AS (SELECT (%3$s)::text AS key FROM %2$s r),
            event AS (SELECT (%5$s)::text AS contact, (%6$s)::text AS id FROM %4$s r)
        SELECT 'event of anonymous id', e.id, i.contact::text, e.contact
        FROM event e JOIN %1$I.identity i ON i.anonymous_id = e.id
        WHERE e.contact IS NULL
        UNION ALL
        SELECT 'event of merged contact', e.contact, g.into_contact::text, e.contact
        FROM event e JOIN %1$I.contact_merge g ON g.from_contact::text = e.contact
        WHERE g.undone_at IS NULL
            AND NOT EXISTS (SELECT FROM contact c WHERE c.key = e.contact)
            AND EXISTS (SELECT FROM contact c WHERE c.key = g.into_contact::text)
        UNION ALL
        SELECT 'event of stranger', e.id, 'a contact', e.contact
        FROM event e
        WHERE e.contact IS NULL AND e.id IS NOT NULL
            AND (SELECT s.value FROM %1$I.setting s WHERE s.name = 'anonymous') = 'contact'
            AND NOT EXISTS (SELECT FROM %1$I.problem)
        $query$, of_model, m.contacts, oracle.role_expression(of_model, 'contacts', 'key'),
        m.events, oracle.role_expression(of_model, 'events', 'contact'),
        oracle.role_expression(of_model, 'events', 'anonymous_id'));
END
$$;
COMMENT ON FUNCTION oracle.check_identity(text) IS 'Events of anonymous ids and of merged contacts: with the contact whose they are.';

CREATE FUNCTION oracle.check(model text, clock timestamptz)
RETURNS TABLE (what text, key text, expected text, actual text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone text;
    session_zone text := current_setting('TimeZone');
BEGIN
    EXECUTE format('SELECT value FROM %I.setting WHERE name = ''time_zone''', model) INTO zone;
    PERFORM set_config('TimeZone', coalesce(zone, 'UTC'), true);
    RETURN QUERY
        SELECT * FROM oracle.check_segments(model, clock)
        UNION ALL SELECT * FROM oracle.check_standing(model, 'contact')
        UNION ALL SELECT * FROM oracle.check_standing(model, 'company')
        UNION ALL SELECT * FROM oracle.check_stages(model)
        UNION ALL SELECT * FROM oracle.check_statuses(model, 'contacts')
        UNION ALL SELECT * FROM oracle.check_statuses(model, 'companies')
        UNION ALL SELECT * FROM oracle.check_companies(model)
        UNION ALL SELECT * FROM oracle.check_deals(model)
        UNION ALL SELECT * FROM oracle.check_identity(model)
        UNION ALL SELECT * FROM oracle.check_scores(model, clock)
        ORDER BY 1, 2;
    PERFORM set_config('TimeZone', session_zone, true);
END
$$;
COMMENT ON FUNCTION oracle.check(text, timestamptz) IS 'Rows in which the maintained tables of a model differ from what plain SQL over its application tables gives at an instant. None: all is right.';
