--
-- Filters on the views reach the tables: which indexes a query uses, and which
-- tables it reads as a whole.  enable_seqscan is off, so that a table is read
-- as a whole only where the filter does not reach it, or has no index.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
\set SHOW_CONTEXT never

SELECT lifecycle_create('plan_model');
SELECT lifecycle_set('plan_model', 'notify', 'off');
SELECT lifecycle_add_segment('plan_model', 'Readers', $$did('Read')$$);
INSERT INTO plan_model.companies (name) SELECT 'c' || i FROM generate_series(1, 20) i;
INSERT INTO plan_model.contacts (email, company_id, stage, lead_status)
	SELECT i || '@example.com', i % 20 + 1, CASE WHEN i % 50 = 0 THEN 'MQL' ELSE 'Lead' END, CASE WHEN i % 9 = 0 THEN 'Open' END FROM generate_series(1, 1000) i;
INSERT INTO plan_model.events (contact_id, name) SELECT i, CASE WHEN i % 4 = 0 THEN 'Meeting Booked' ELSE 'Read' END FROM generate_series(1, 1000) i;
UPDATE plan_model.deals SET owner = 'o' || contact_id % 30;

-- Columns that people filter by, on tables of theirs.
CREATE INDEX contacts_stage ON plan_model.contacts (stage);
CREATE INDEX contacts_lead_status ON plan_model.contacts (lead_status);
CREATE INDEX companies_lead_status ON plan_model.companies (lead_status);
CREATE INDEX deals_owner ON plan_model.deals (owner);
CREATE INDEX deals_stage ON plan_model.deals (stage);
CREATE INDEX events_time ON plan_model.events (occurred_at);
VACUUM ANALYZE plan_model.contacts, plan_model.companies, plan_model.deals, plan_model.events, plan_model.stage_history,
	plan_model.past_membership, plan_model.lead_status_history, plan_model.deal_history, plan_model.membership, plan_model.stage_count;

CREATE FUNCTION pg_temp.reads(query text, OUT indexes text, OUT whole text)
LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (COSTS OFF, FORMAT JSON) ' || query INTO plan;
	SELECT string_agg(DISTINCT n ->> 'Index Name', ' ') FILTER (WHERE n ? 'Index Name'),
		   string_agg(DISTINCT n ->> 'Relation Name', ' ') FILTER (WHERE n ->> 'Node Type' = 'Seq Scan'
				AND n ->> 'Relation Name' NOT IN ('stage', 'deal_stage', 'pipeline', 'setting', 'clock', 'segment', 'lead_status'))
	  INTO indexes, whole
	  FROM jsonb_path_query(plan, '$.**') n
	 WHERE jsonb_typeof(n) = 'object' AND n ? 'Node Type'
	   AND coalesce(n ->> 'Index Name', '') NOT IN ('setting_pkey', 'clock_one_row', 'stage_pkey', 'stage_position_key', 'deal_stage_pkey', 'pipeline_pkey', 'segment_pkey', 'lead_status_pkey');
END
$$;

SET enable_seqscan = off;
\pset format unaligned
\pset tuples_only on
\pset null -
SELECT q, E'\n  by index: ' || coalesce(indexes, '-') || E'\n  as a whole: ' || coalesce(whole, '-')
  FROM unnest(ARRAY[
	-- stage, company, contact
	$$SELECT * FROM plan_model.stage_is_mql$$,
	$$SELECT * FROM plan_model.stage_contacts WHERE stage = 'MQL'$$,
	$$SELECT * FROM plan_model.stage_contacts WHERE company = 7$$,
	$$SELECT * FROM plan_model.stage_contacts WHERE contact = 7$$,
	$$SELECT * FROM plan_model.stage_contacts WHERE lead_status = 'Open'$$,
	$$SELECT * FROM plan_model.stage_time WHERE object = 'contact' AND contact = 7$$,
	$$SELECT * FROM plan_model.stage_at('2020-01-01') WHERE contact = 7$$,
	-- segment
	$$SELECT * FROM plan_model.segment_contacts WHERE segment = 'Readers'$$,
	$$SELECT * FROM plan_model.segment_contacts WHERE contact = 7$$,
	$$SELECT * FROM plan_model.segment_contacts m JOIN plan_model.contacts c ON c.id = m.contact WHERE m.segment = 'Readers' AND c.company_id = 7$$,
	$$SELECT contacts FROM plan_model.segment_size WHERE segment = 'Readers'$$,
	-- owner, company, contact, stage of deals
	$$SELECT * FROM plan_model.deal_board WHERE owner = 'o3'$$,
	$$SELECT * FROM plan_model.deal_board WHERE company = 7$$,
	$$SELECT * FROM plan_model.deal_board WHERE contact = 7$$,
	$$SELECT * FROM plan_model.deal_board WHERE stage = 'Closed won'$$,
	-- time
	$$SELECT * FROM plan_model.contact_timeline WHERE contact = 7 ORDER BY at$$,
	$$SELECT * FROM plan_model.stage_history WHERE at >= '2020-01-01' AND at < '2020-02-01'$$,
	$$SELECT * FROM plan_model.segment_history WHERE at >= '2020-01-01' AND at < '2020-02-01'$$]) q,
	   pg_temp.reads(q);

-- Of each part of the timeline its index on time, or another that has the time.
SELECT 'as a whole: ' || coalesce(whole, '-')
  FROM pg_temp.reads($$SELECT * FROM plan_model.contact_timeline WHERE at >= '2020-01-01' AND at < '2020-02-01'$$);

-- The funnel and the count of a lead status: kept, and by index.  A branch that
-- row security alone calls for is behind a test that is made once.
SELECT q, E'\n  by index: ' || coalesce(indexes, '-') || E'\n  as a whole: ' || coalesce(whole, '-')
  FROM unnest(ARRAY[
	$$SELECT * FROM plan_model.lead_status_board WHERE lead_status = 'Open'$$]) q, pg_temp.reads(q);
\pset tuples_only off
\pset format aligned
RESET enable_seqscan;
CREATE FUNCTION pg_temp.rows_read(query text) RETURNS TABLE (relation text, loops numeric)
LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) ' || query INTO plan;
	RETURN QUERY SELECT n ->> 'Relation Name', sum((n ->> 'Actual Loops')::numeric)
	  FROM jsonb_path_query(plan, '$.**') n
	 WHERE jsonb_typeof(n) = 'object' AND n ? 'Relation Name' AND n ->> 'Relation Name' IN ('contacts', 'stage_count') GROUP BY 1;
END
$$;
SELECT * FROM pg_temp.rows_read('SELECT * FROM plan_model.funnel') ORDER BY 1;
-- nor does it start workers for a branch that is not taken
CREATE FUNCTION pg_temp.workers(query text) RETURNS TABLE (planned numeric, launched numeric)
LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) ' || query INTO plan;
	RETURN QUERY SELECT sum((n ->> 'Workers Planned')::numeric), sum((n ->> 'Workers Launched')::numeric)
	  FROM jsonb_path_query(plan, '$.**') n WHERE jsonb_typeof(n) = 'object' AND n ? 'Workers Planned';
END
$$;
ALTER TABLE plan_model.contacts SET (parallel_workers = 2);
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SELECT planned > 0 AS planned, launched FROM pg_temp.workers('SELECT * FROM plan_model.funnel');
RESET parallel_setup_cost;
RESET parallel_tuple_cost;

SET client_min_messages = warning;
SELECT lifecycle_drop('plan_model', true);
RESET client_min_messages;
