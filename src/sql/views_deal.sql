/*
 * views_deal.sql
 *		Deals; no rows, and so no views, for a model without a table of deals.
 *
 * The categories of the forecast follow from the probability of a deal's
 * stage and two settings, in percent: forecast_best_case and forecast_commit.
 * Amounts are summed within one currency, never across.
 */
CREATE FUNCTION lifecycle.view_definitions_deal(model text)
RETURNS TABLE (name text, query text, comment text, columns text[])
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	deals regclass;
	contact_type text := lifecycle.view_type(format('%I.contact_state', model), 'contact');
	company_type text := lifecycle.view_type(format('%I.stage_history', model), 'company');
	deal_type text := lifecycle.view_type(format('%I.deal_history', model), 'deal');
	close_type text;
	stage_sql text := lifecycle.view_column(model, 'deals', 'stage', 'd', 'text');
	amount_sql text := lifecycle.view_column(model, 'deals', 'amount', 'd', 'numeric') || '::numeric';
	close_sql text := lifecycle.view_column(model, 'deals', 'close_date', 'd', 'date');
	pipeline_sql text := lifecycle.view_column(model, 'deals', 'pipeline', 'd', 'text');
	month_sql text;
	category_sql text := format($sql$CASE
					WHEN g.kind = 'won' THEN 'closed'
					WHEN g.kind = 'lost' THEN 'lost'
					WHEN g.probability >= coalesce((SELECT s.value::numeric FROM %1$I.setting s WHERE s.name = 'forecast_commit'), 80) THEN 'commit'
					WHEN g.probability >= coalesce((SELECT s.value::numeric FROM %1$I.setting s WHERE s.name = 'forecast_best_case'), 50) THEN 'best case'
					WHEN g.kind = 'open' THEN 'pipeline'
				END$sql$, model);
BEGIN
	SELECT m.deals INTO STRICT deals
	  FROM lifecycle.model m
	 WHERE m.name = model;
	IF deals IS NULL THEN
		RETURN;
	END IF;

	/* Deals that do not say their pipeline are in the first. */
	IF pipeline_sql = 'NULL::text' THEN
		pipeline_sql := format('(SELECT p.name FROM %I.pipeline p ORDER BY p.position LIMIT 1)', model);
	END IF;
	SELECT lifecycle.view_type(deals, c.column_name) INTO close_type
	  FROM lifecycle.model_column c
	 WHERE c.model = view_definitions_deal.model
	   AND c.object = 'deals' AND c.role = 'close_date';
	IF close_type LIKE 'timestamp%with time zone' THEN
		month_sql := format('%s AT TIME ZONE coalesce((SELECT s.value FROM %I.setting s WHERE s.name = ''time_zone''), ''UTC'')',
							close_sql, model);
	ELSE
		month_sql := close_sql || '::timestamp';
	END IF;

	RETURN QUERY SELECT 'deal_board', format($query$
		SELECT %1$s AS deal,
			   %2$s AS name,
			   g.pipeline,
			   %3$s AS stage,
			   g.position,
			   g.kind,
			   g.probability,
			   %4$s AS amount,
			   %5$s AS currency,
			   trim_scale(%4$s * g.probability * 0.01) AS weighted_amount,
			   %6$s AS close_date,
			   %7$s AS contact,
			   %8$s AS company,
			   h.entered_at AS stage_entered_at,
			   round(extract(epoch FROM %9$s - h.entered_at) / 86400, 1) AS days_in_stage,
			   %13$s AS category,
			   %14$s AS owner
		  FROM %10$s d
		  LEFT JOIN %11$I.deal_stage g ON g.pipeline = %12$s AND g.name = %3$s
		  LEFT JOIN LATERAL (SELECT max(r.at) AS entered_at
							   FROM %11$I.deal_history r
							  WHERE r.deal = %1$s) h ON true$query$,
		lifecycle.view_column(model, 'deals', 'key', 'd', deal_type),
		lifecycle.view_column(model, 'deals', 'name', 'd', 'text'),
		stage_sql, amount_sql,
		lifecycle.view_column(model, 'deals', 'currency', 'd', 'text'),
		close_sql,
		lifecycle.view_column(model, 'deals', 'contact', 'd', contact_type),
		lifecycle.view_column(model, 'deals', 'company', 'd', company_type),
		lifecycle.view_clock(model), deals, model, pipeline_sql, category_sql,
		lifecycle.view_column(model, 'deals', 'owner', 'd', 'text')),
		'The deal board: one row for each deal, open, won and lost, with its stage and weighted amount.',
		ARRAY[
		'deal', 'Key of the deal.',
		'name', 'Name of the deal.',
		'pipeline', 'Pipeline that the deal is in.',
		'stage', 'Stage of the deal in its pipeline.',
		'position', 'Place of the stage in the pipeline, a whole number.',
		'kind', 'open, won or lost, as the stage says.',
		'probability', 'Chance of winning in this stage, in percent, 0 to 100.',
		'amount', 'Amount of the deal, in its currency.',
		'currency', 'Currency of the amount; null if the deals do not say.',
		'weighted_amount', 'Amount times probability, in the deal''s currency; null without an amount.',
		'close_date', 'When the deal was closed or is expected to close.',
		'contact', 'Key of the deal''s contact.',
		'company', 'Key of the deal''s company; null if it has none.',
		'stage_entered_at', 'When the deal entered its stage, as its history says.',
		'days_in_stage', 'Days since the deal entered its stage, up to the model''s clock; one decimal.',
		'category', 'Category of the forecast: pipeline, best case, commit, closed (won) or lost, by the probability of the stage and the settings forecast_best_case and forecast_commit.',
		'owner', 'Who looks after the deal; null if nobody does, or the deals do not say.'];

	RETURN QUERY SELECT 'deal_forecast', format($query$
		SELECT f.pipeline,
			   f.month,
			   f.currency,
			   coalesce(trim_scale(sum(f.amount * f.probability * 0.01)), 0) AS weighted_amount,
			   count(*) FILTER (WHERE f.kind = 'open') AS open_deals,
			   coalesce(sum(f.amount) FILTER (WHERE f.kind = 'open'), 0) AS open_amount,
			   coalesce(trim_scale(sum(f.amount * f.probability * 0.01) FILTER (WHERE f.kind = 'open')), 0) AS open_weighted_amount,
			   count(*) FILTER (WHERE f.kind = 'won') AS won_deals,
			   coalesce(sum(f.amount) FILTER (WHERE f.kind = 'won'), 0) AS won_amount,
			   count(*) FILTER (WHERE f.category = 'pipeline') AS pipeline_deals,
			   coalesce(sum(f.amount) FILTER (WHERE f.category = 'pipeline'), 0) AS pipeline_amount,
			   count(*) FILTER (WHERE f.category = 'best case') AS best_case_deals,
			   coalesce(sum(f.amount) FILTER (WHERE f.category = 'best case'), 0) AS best_case_amount,
			   count(*) FILTER (WHERE f.category = 'commit') AS commit_deals,
			   coalesce(sum(f.amount) FILTER (WHERE f.category = 'commit'), 0) AS commit_amount
		  FROM (SELECT g.pipeline,
					   date_trunc('month', %1$s)::date AS month,
					   %2$s AS currency,
					   %3$s AS amount,
					   g.probability,
					   g.kind,
					   %8$s AS category
				  FROM %4$s d
				  JOIN %5$I.deal_stage g ON g.pipeline = %6$s AND g.name = %7$s
				 WHERE g.kind IN ('open', 'won')) f
		 GROUP BY f.pipeline, f.month, f.currency$query$,
		month_sql,
		lifecycle.view_column(model, 'deals', 'currency', 'd', 'text'),
		amount_sql, deals, model, pipeline_sql, stage_sql, category_sql),
		'The forecast: weighted amount of open and won deals by pipeline, month of close date and currency. Lost deals are left out.',
		ARRAY[
		'pipeline', 'Pipeline of the deals.',
		'month', 'First day of the month of the close date, in the model''s time zone; null for deals without a close date.',
		'currency', 'Currency of the amounts; null if the deals do not say.',
		'weighted_amount', 'Sum of amount times probability of open and won deals: the forecast of the month, in the currency.',
		'open_deals', 'Number of open deals.',
		'open_amount', 'Sum of the amounts of open deals, not weighted.',
		'open_weighted_amount', 'Sum of amount times probability of open deals.',
		'won_deals', 'Number of won deals.',
		'won_amount', 'Sum of the amounts of won deals: the category closed.',
		'pipeline_deals', 'Number of open deals in the category pipeline: less likely than the setting forecast_best_case.',
		'pipeline_amount', 'Sum of their amounts, not weighted.',
		'best_case_deals', 'Number of open deals in the category best case: at least as likely as forecast_best_case, less than forecast_commit.',
		'best_case_amount', 'Sum of their amounts, not weighted.',
		'commit_deals', 'Number of open deals in the category commit: at least as likely as the setting forecast_commit.',
		'commit_amount', 'Sum of their amounts, not weighted.'];
END;
$$;
COMMENT ON FUNCTION lifecycle.view_definitions_deal(text) IS
'Internal. Definitions of the views deal_board and deal_forecast of a model; none if it has no deals.';
