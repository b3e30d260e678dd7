--
-- Row security: a role that sees only its own contacts sees only their numbers,
-- in every view and in every report.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

CREATE ROLE lifecycle_row_all;
CREATE ROLE lifecycle_row_anna;
CREATE ROLE lifecycle_row_bert;

-- Two models of the same contacts: shared_model has Anna's and Bert's, and a
-- policy; anna_model has hers only.  Both get the same history.
CREATE FUNCTION pg_temp.play(model text, owners text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM lifecycle_create(model);
	PERFORM lifecycle_set(model, 'clock', 'tick');
	PERFORM lifecycle_set(model, 'notify', 'off');
	PERFORM lifecycle_tick(model, '2024-01-01');
	PERFORM lifecycle_add_segment(model, 'Readers', $p$did('Read', within => '30 days')$p$);
	EXECUTE format($q$
		INSERT INTO %1$I.companies (id, name, owner)
			SELECT i, 'c' || i, CASE i %% 2 WHEN 0 THEN 'lifecycle_row_anna' ELSE 'lifecycle_row_bert' END FROM generate_series(1, 10) i$q$, model);
	EXECUTE format($q$DELETE FROM %1$I.companies WHERE owner <> ALL ($1)$q$, model) USING owners;
	FOR step IN 0 .. 9 LOOP
		PERFORM lifecycle_tick(model, timestamptz '2024-01-01' + step * interval '12 days');
		EXECUTE format($q$
			INSERT INTO %1$I.contacts (id, email, owner, company_id, source, stage)
				SELECT id, 'x' || id, owner, CASE WHEN id %% 3 > 0 THEN id %% 10 + 1 END, 's' || id %% 3, CASE WHEN id %% 5 > 0 THEN 'Lead' END
				  FROM (SELECT i AS id, CASE (i + 1) %% 2 WHEN 0 THEN 'lifecycle_row_anna' ELSE 'lifecycle_row_bert' END AS owner
						  FROM generate_series($2 * 20 + 1, $2 * 20 + 20) i) g
				 WHERE owner = ANY ($1)$q$, model) USING owners, step;
		EXECUTE format('UPDATE %1$I.contacts SET stage = ''MQL'', lead_status = ''Open'' WHERE (id + $1) %% 7 = 0 AND stage = ''Lead''', model) USING step;
		EXECUTE format($q$INSERT INTO %1$I.events (id, contact_id, name, occurred_at) SELECT $1 * 1000 + id, id, 'Read', timestamptz '2024-01-01' + $1 * interval '12 days'
						  FROM %1$I.contacts WHERE (id + $1) %% 4 = 0$q$, model) USING step;
		EXECUTE format($q$INSERT INTO %1$I.events (id, contact_id, name, occurred_at) SELECT $1 * 1000 + 500 + id, id, 'Meeting Booked', timestamptz '2024-01-01' + $1 * interval '12 days'
						  FROM %1$I.contacts WHERE (id + $1) %% 11 = 0$q$, model) USING step;
		EXECUTE format('UPDATE %1$I.deals SET stage = ''Closed won'', amount = contact_id * 10 WHERE is_open AND (contact_id + $1) %% 3 = 0', model) USING step;
	END LOOP;
END
$$;
SELECT pg_temp.play('shared_model', '{lifecycle_row_anna,lifecycle_row_bert}');
SELECT pg_temp.play('anna_model', '{lifecycle_row_anna}');

-- Anna's contacts are in companies of hers, Bert's in his.
ALTER TABLE shared_model.contacts ENABLE ROW LEVEL SECURITY;
ALTER TABLE shared_model.companies ENABLE ROW LEVEL SECURITY;
ALTER TABLE shared_model.events ENABLE ROW LEVEL SECURITY;
ALTER TABLE shared_model.deals ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON shared_model.contacts USING (owner = current_user);
CREATE POLICY own ON shared_model.companies USING (owner = current_user);
CREATE POLICY own ON shared_model.events USING (contact_id IN (SELECT id FROM shared_model.contacts));
CREATE POLICY own ON shared_model.deals USING (contact_id IN (SELECT id FROM shared_model.contacts));
GRANT USAGE ON SCHEMA shared_model, anna_model TO lifecycle_row_anna, lifecycle_row_bert, lifecycle_row_all;
GRANT SELECT ON ALL TABLES IN SCHEMA shared_model, anna_model TO lifecycle_row_anna, lifecycle_row_bert, lifecycle_row_all;
ALTER ROLE lifecycle_row_all BYPASSRLS;

-- Not yet: history is not the contacts' table.
SET ROLE lifecycle_row_anna;
SELECT sum(contacts) AS in_the_funnel FROM shared_model.funnel;
SELECT count(DISTINCT contact) AS in_the_history FROM shared_model.stage_history;
SELECT lifecycle_follow_row_security('shared_model');
RESET ROLE;

SELECT lifecycle_follow_row_security('shared_model');
SELECT lifecycle_follow_row_security('shared_model');	-- twice is once
SELECT count(*) > 8 AS follow FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
 WHERE p.polname = 'lifecycle_follow' AND c.relrowsecurity AND NOT c.relforcerowsecurity;
SELECT a.attrelid::regclass AS does_not FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
 WHERE c.relnamespace = 'shared_model'::regnamespace AND c.relkind = 'r' AND a.attname = 'contact' AND NOT c.relrowsecurity;

-- Every view: what Anna sees is what there is where nobody but she is, but for
-- numbers that the tables gave and times of day.
CREATE FUNCTION pg_temp.differing_views(as_role text) RETURNS TABLE (view text, shared bigint, differences bigint)
LANGUAGE plpgsql AS $$
DECLARE
	columns text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', as_role);
	FOR view IN SELECT c.relname FROM pg_class c WHERE c.relkind = 'v' AND c.relnamespace = 'shared_model'::regnamespace ORDER BY c.relname COLLATE "C" LOOP
		-- deals are numbered as they come, and noticed_at is the time of day
		SELECT string_agg(CASE WHEN a.attname = 'detail' THEN 'detail - ''{deal,noticed_at}''::text[]' ELSE quote_ident(a.attname) END, ', ') INTO columns FROM pg_attribute a
		 WHERE a.attrelid = ('shared_model.' || quote_ident(view))::regclass
		   AND a.attname <> 'deal' AND NOT (view = 'segment_history' AND a.attname IN ('id', 'noticed_at'));
		EXECUTE format('SELECT (SELECT count(*) FROM shared_model.%1$I),
			(SELECT count(*) FROM (SELECT %2$s FROM shared_model.%1$I EXCEPT ALL SELECT %2$s FROM anna_model.%1$I) d)
			+ (SELECT count(*) FROM (SELECT %2$s FROM anna_model.%1$I EXCEPT ALL SELECT %2$s FROM shared_model.%1$I) d)', view, columns)
			INTO shared, differences;
		RETURN NEXT;
	END LOOP;
	RESET ROLE;
END
$$;
SELECT count(*) FILTER (WHERE shared > 0) > 15 AS with_rows, string_agg(view, ', ') FILTER (WHERE differences > 0) AS that_differ
  FROM pg_temp.differing_views('lifecycle_row_anna');
SELECT count(*) > 20 AS views, count(*) FILTER (WHERE differences > 0) > 10 AS others_differ FROM pg_temp.differing_views('lifecycle_row_all');

-- Every report.
CREATE FUNCTION pg_temp.differing(as_role text, query text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', as_role);
	RETURN QUERY EXECUTE format('SELECT ''shared: '' || x::text FROM ((%1$s) EXCEPT ALL (%2$s)) x UNION ALL SELECT ''alone: '' || y::text FROM ((%2$s) EXCEPT ALL (%1$s)) y',
		replace(query, 'MODEL', 'shared_model'), replace(query, 'MODEL', 'anna_model'));
	RESET ROLE;
END
$$;
SELECT r.query, (SELECT count(*) FROM pg_temp.differing('lifecycle_row_anna', r.query)) AS anna,
	   (SELECT count(*) FROM pg_temp.differing('lifecycle_row_all', r.query)) > 0 AS others_differ
  FROM (VALUES
	(1, 'SELECT * FROM lifecycle_breakdown(''MODEL'', ''source'')'),
	(2, 'SELECT * FROM lifecycle_forecast(''MODEL'', 1)'),
	(3, 'SELECT * FROM lifecycle_forecast_stages(''MODEL'')'),
	(4, 'SELECT * FROM lifecycle_forecast_backtest(''MODEL'', ''2024-03-01'', ''2024-03-01'', months => 1)'),
	(5, 'SELECT * FROM MODEL.stage_at(''2024-02-20'')'),
	(6, 'SELECT * FROM MODEL.funnel_at(''2024-02-20'')')) r (n, query)
 ORDER BY r.n;
SELECT f.customers > 0 AS something FROM lifecycle_forecast('anna_model', 1) f;

-- Kept tables: hers, and none of the counts.
SET ROLE lifecycle_row_anna;
SELECT (SELECT count(*) FROM shared_model.stage_history h WHERE h.object = 'contact' AND h.contact NOT IN (SELECT id FROM shared_model.contacts)) AS of_others,
	   (SELECT count(*) FROM shared_model.segment_member m WHERE m.contact NOT IN (SELECT id FROM shared_model.contacts)) AS members,
	   (SELECT count(*) FROM shared_model.stage_count) AS counts, (SELECT count(*) FROM shared_model.outbox) AS messages;
RESET ROLE;

-- The engine is not subject to it: whoever may insert an event moves the contact.
GRANT INSERT ON shared_model.events TO lifecycle_row_bert;
GRANT UPDATE, SELECT ON shared_model.contacts TO lifecycle_row_bert;
SET ROLE lifecycle_row_bert;
INSERT INTO shared_model.events (id, contact_id, name, occurred_at) VALUES (90001, 2, 'Read', '2024-04-18'), (90002, 2, 'Meeting Booked', '2024-04-18');
SELECT count(*) > 0 AS member FROM shared_model.segment_member WHERE contact = 2;
UPDATE shared_model.contacts SET stage = 'Evangelist' WHERE id = 2;
SELECT from_stage, to_stage FROM shared_model.stage_history WHERE contact = 2 ORDER BY id DESC LIMIT 1;
RESET ROLE;
SELECT * FROM lifecycle_verify('shared_model');

-- And back.
SELECT lifecycle_follow_row_security('shared_model', false);
SELECT count(*) FROM pg_class WHERE relrowsecurity AND relnamespace = 'shared_model'::regnamespace
   AND relname NOT IN ('contacts', 'companies', 'deals', 'events');
SELECT lifecycle_follow_row_security('shared_model', NULL);

SET client_min_messages = warning;
SELECT lifecycle_drop('shared_model', true);
SELECT lifecycle_drop('anna_model', true);
DROP ROLE lifecycle_row_all, lifecycle_row_anna, lifecycle_row_bert;
RESET client_min_messages;
