/*
 * forecast.sql
 *		New customers expected from those who are in the funnel now, learned from
 *		the model's own history; and how wrong that would have been before.
 *
 * The chain.  A contact's state is its stage and its age there, in whole days.
 * In a day it moves to another stage, where its age is 0, or stays and is a day
 * older; the target stage and all later ones on the path are one absorbing
 * state.  That is an absorbing Markov chain with a finite number of states,
 * because ages beyond the oldest that was watched well enough are one state
 * too, the open age.  docs/forecast.md has the formulas and their sources.
 *
 * What is learned.  The rate of moves at an age is moves divided by contacts at
 * risk: those who were watched through all of that day of their stay.  Somebody
 * who is still in a stage is at risk as long as he has been there and no longer;
 * so he is neither left out, which would make stages look faster, nor counted
 * as one who stays for ever.  A move on a day that as_of cuts short is left out
 * with all who were at risk on that day, or the last day would have moves but
 * not those who did not move.
 *
 * What is read: stage_history up to as_of, and of each contact only what came
 * before it first reached the target.  Stages that were passed in an instant
 * are no stays.  No stage is its own state, named '' here: it is where those go
 * whose stage was cleared or whose row was deleted.
 *
 * Everything is computed by queries and in arrays, without a temporary table,
 * so that it runs on a hot standby; with the rights of the caller, so that row
 * security of the history holds.
 */

/* The target: the stage given, else Customer, else the last on the path. */
CREATE FUNCTION lifecycle.forecast_target(model text, target text)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_stage text;
	is_on_path boolean;
BEGIN
	IF target IS NOT NULL THEN
		found_stage := lifecycle.find_name(model, 'stage', target);
	ELSE
		EXECUTE format('SELECT s.name FROM %I.stage s WHERE s.on_path'
					   ' ORDER BY (lower(s.name) = ''customer'') DESC, s.position DESC LIMIT 1', model)
			INTO found_stage;
	END IF;
	EXECUTE format('SELECT s.on_path FROM %I.stage s WHERE s.name = $1', model)
		INTO is_on_path USING found_stage;
	IF is_on_path IS NOT TRUE THEN
		RAISE EXCEPTION USING
			ERRCODE = CASE WHEN target IS NULL THEN 'object_not_in_prerequisite_state' ELSE 'invalid_parameter_value' END,
			MESSAGE = CASE WHEN target IS NULL THEN format('model "%s" has no stage on the path', model)
						   ELSE format('stage "%s" is not on the path', found_stage) END,
			HINT = CASE WHEN target IS NULL THEN format('Add one: SELECT lifecycle_add_stage(%L, ...)', model)
						ELSE 'Name a stage on the path as target.' END;
	END IF;
	RETURN found_stage;
END
$$;
COMMENT ON FUNCTION lifecycle.forecast_target(text, text) IS
'Internal. The stage whose entry is forecast; raises 42704 for an unknown stage, 22023 for one off the path, 55000 if the model has no stage on the path.';

/*
 * Stays before the first time in the target, as SQL text: $1 is as_of, $2 the
 * target.  last_age is the last age at which the contact was watched for a
 * whole day, -1 if it was for none; moved, whether it moved on that day.
 */
CREATE FUNCTION lifecycle.forecast_stays(model text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format($query$
		SELECT l.contact, l.state, l.at, l.exited_at, l.next_state, l.moved,
			   CASE WHEN l.moved THEN l.age_at_exit ELSE floor(l.watched)::int - 1 END AS last_age
		  FROM (SELECT y.*, y.age_at_exit IS NOT NULL AND y.age_at_exit + 1 <= y.watched AS moved
				  FROM (SELECT p.contact, p.state, p.at, p.exited_at, p.next_state,
							   extract(epoch FROM $1 - p.at) / 86400 AS watched,
							   CASE WHEN p.exited_at IS NOT NULL
									THEN greatest(ceil(extract(epoch FROM p.exited_at - p.at) / 86400)::int - 1, 0) END AS age_at_exit
						  FROM (SELECT q.contact, q.state, q.at,
									   lead(q.at) OVER (PARTITION BY q.contact ORDER BY q.id) AS exited_at,
									   lead(q.state) OVER (PARTITION BY q.contact ORDER BY q.id) AS next_state
								  FROM (SELECT r.contact, r.id, r.state, r.at,
											   lead(r.at) OVER (PARTITION BY r.contact ORDER BY r.id) AS next_at
										  FROM (SELECT e.contact, e.id, e.state, e.at,
													   min(e.id) FILTER (WHERE e.state = $2) OVER (PARTITION BY e.contact) AS reached
												  FROM (SELECT h.contact, h.id, h.at,
															   CASE WHEN s.position >= t.position THEN t.name ELSE coalesce(h.to_stage, '') END AS state
														  FROM %1$I.stage_history h
														 CROSS JOIN (SELECT name, position FROM %1$I.stage WHERE name = $2) t
														  LEFT JOIN %1$I.stage s ON s.name = h.to_stage AND s.on_path
														 WHERE h.object = 'contact' AND h.at <= $1) e) r
										 WHERE r.id <= r.reached OR r.reached IS NULL) q
								 WHERE (q.next_at <= q.at) IS NOT TRUE) p
						 WHERE p.state <> $2) y) l$query$, model);
$$;
COMMENT ON FUNCTION lifecycle.forecast_stays(text) IS
'Internal. SQL text of the stays in stages that the forecast learns from, one row each; parameters are as_of and the target stage.';

/* What the chain does each day. */
CREATE FUNCTION lifecycle.forecast_rates(model text, target text, as_of timestamptz)
RETURNS TABLE (state text, age integer, to_state text, rate double precision, is_open boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY EXECUTE format($query$
		WITH stay AS MATERIALIZED (%s),
		seen AS (			-- stays by their last age
			SELECT y.state, y.last_age, count(*) AS number FROM stay y GROUP BY 1, 2),
		risk AS (			-- those at risk at that age
			SELECT n.state, n.last_age, sum(n.number) OVER (PARTITION BY n.state ORDER BY n.last_age DESC) AS at_risk
			  FROM seen n WHERE n.last_age >= 0),
		well AS (			-- the oldest age that was watched well enough
			SELECT y.state, least(coalesce(max(k.last_age) FILTER (WHERE k.at_risk >= least(30, ceil(k.most / 2.0))), -1), 730) AS age
			  FROM (SELECT DISTINCT state FROM seen) y
			  LEFT JOIN (SELECT r.*, max(r.at_risk) OVER (PARTITION BY r.state) AS most FROM risk r) k ON k.state = y.state
			 GROUP BY y.state),
		move AS (
			SELECT y.state, y.last_age AS age, y.next_state AS to_state, count(*) AS number
			  FROM stay y WHERE y.moved GROUP BY 1, 2, 3)
		SELECT m.state, m.age, m.to_state, (m.number / r.at_risk)::double precision, false
		  FROM move m
		  JOIN well w ON w.state = m.state AND m.age <= w.age
		  JOIN risk r ON r.state = m.state AND r.last_age = m.age
		UNION ALL			-- the open age: as in the 90 days of age before
		SELECT w.state, w.age + 1, e.to_state, coalesce(e.number / nullif(d.days, 0), 0)::double precision, true
		  FROM well w
		  LEFT JOIN (SELECT n.state, sum(n.number * greatest(least(n.last_age, w.age) - greatest(w.age - 90, -1), 0)) AS days
					   FROM seen n JOIN well w ON w.state = n.state GROUP BY n.state) d ON d.state = w.state
		  LEFT JOIN (SELECT m.state, m.to_state, sum(m.number) AS number
					   FROM move m JOIN well w ON w.state = m.state AND m.age <= w.age AND m.age > w.age - 90
					  GROUP BY m.state, m.to_state) e ON e.state = w.state$query$,
		lifecycle.forecast_stays(model))
	USING as_of, target;
END
$$;
COMMENT ON FUNCTION lifecycle.forecast_rates(text, text, timestamptz) IS
'Internal. The chain''s moves: the share of the contacts in a state, at an age in days, that move to another in a day; one row more for the open age of each state, with to_state null if nobody moves there.';

/* Where everybody is who has not reached the target yet. */
CREATE FUNCTION lifecycle.forecast_start(model text, target text, as_of timestamptz)
RETURNS TABLE (state text, age integer, contacts bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY EXECUTE format(
		'SELECT y.state, greatest(y.last_age + 1, 0), count(*)'
		' FROM (%s) y WHERE y.exited_at IS NULL AND y.state <> '''' GROUP BY 1, 2',
		lifecycle.forecast_stays(model))
	USING as_of, target;
END
$$;
COMMENT ON FUNCTION lifecycle.forecast_start(text, text, timestamptz) IS
'Internal. How many contacts are in which stage at as_of, by their age there in whole days; those who ever reached the target are left out.';

/*
 * The chain, day by day.  The states are numbered stage by stage, from age 0 to
 * the open age; v has the expected number of contacts in each.
 */
CREATE FUNCTION lifecycle.forecast_days(model text, target text, as_of timestamptz, days integer)
RETURNS double precision[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rate_state text[];		-- what forecast_rates says
	rate_age integer[];
	rate_to text[];
	rate double precision[];
	rate_open boolean[];
	names text[];		-- the states, without ages
	sizes integer[];	-- how many ages each has
	firsts integer[];	-- the number of its age 0
	v double precision[];
	stay double precision[];	-- share that stays a day, for each state and age
	move_from integer[];		-- moves: from state and age
	move_to integer[];			-- to which of names, 0 the target
	move_rate double precision[];
	arrivals double precision[];	-- of a day, the target's first
	reached double precision := 0;
	result double precision[] := '{}';
BEGIN
	SELECT array_agg(x.state), array_agg(x.age), array_agg(x.to_state), array_agg(x.rate), array_agg(x.is_open)
	  INTO rate_state, rate_age, rate_to, rate, rate_open
	  FROM lifecycle.forecast_rates(model, target, as_of) x;
	SELECT array_agg(o.state ORDER BY o.state), array_agg(o.age + 1 ORDER BY o.state),
		   array_agg(o.before::integer + 1 ORDER BY o.state)
	  INTO names, sizes, firsts
	  FROM (SELECT r.state, r.age,
				   coalesce(sum(r.age + 1) OVER (ORDER BY r.state ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
			  FROM (SELECT DISTINCT x.state, x.age
					  FROM unnest(rate_state, rate_age, rate_open) x (state, age, is_open)
					 WHERE x.is_open) r) o;
	IF names IS NULL THEN
		RETURN array_fill(0::double precision, ARRAY[days]);
	END IF;

	SELECT array_agg(firsts[array_position(names, r.state)] + r.age),
		   array_agg(CASE r.to_state WHEN target THEN 0 ELSE array_position(names, r.to_state) END),
		   array_agg(r.rate)
	  INTO move_from, move_to, move_rate
	  FROM unnest(rate_state, rate_age, rate_to, rate) r (state, age, to_state, rate)
	 WHERE r.rate > 0;
	SELECT array_agg(coalesce(p.contacts, 0) ORDER BY g.i),
		   array_agg(1 - coalesce(m.rate, 0) ORDER BY g.i)
	  INTO v, stay
	  FROM generate_series(1, firsts[cardinality(names)] + sizes[cardinality(names)] - 1) g (i)
	  LEFT JOIN (SELECT firsts[n.k] + least(s.age, sizes[n.k] - 1) AS i, sum(s.contacts) AS contacts
				   FROM lifecycle.forecast_start(model, target, as_of) s
				   JOIN unnest(names) WITH ORDINALITY n (state, k) ON n.state = s.state
				  GROUP BY 1) p ON p.i = g.i
	  LEFT JOIN (SELECT u.i, sum(u.rate) AS rate
				   FROM unnest(move_from, move_rate) u (i, rate) GROUP BY 1) m ON m.i = g.i;

	FOR day IN 1 .. days LOOP
		SELECT array_agg(coalesce(a.number, 0) ORDER BY d.k) INTO arrivals
		  FROM generate_series(0, cardinality(names)) d (k)
		  LEFT JOIN (SELECT m.k, sum(v[m.i] * m.rate) AS number
					   FROM unnest(move_from, move_to, move_rate) m (i, k, rate)
					  GROUP BY m.k) a ON a.k = d.k;
		reached := reached + arrivals[1];
		result := result || reached;
		SELECT array_agg(CASE w.age WHEN 0 THEN arrivals[w.k + 1] ELSE w.younger * w.younger_stay END
						 + CASE WHEN w.age = sizes[w.k] - 1 THEN w.number * w.stay ELSE 0 END ORDER BY w.i)
		  INTO v
		  FROM (SELECT u.i, u.number, u.stay, n.k, (u.i - firsts[n.k])::integer AS age,
					   lag(u.number) OVER (ORDER BY u.i) AS younger,
					   lag(u.stay) OVER (ORDER BY u.i) AS younger_stay
				  FROM unnest(v, stay) WITH ORDINALITY u (number, stay, i)
				  CROSS JOIN LATERAL (SELECT width_bucket(u.i::integer, firsts) AS k) n) w;
	END LOOP;
	RETURN result;
END
$$;
COMMENT ON FUNCTION lifecycle.forecast_days(text, text, timestamptz, integer) IS
'Internal. How many of those in the funnel at as_of are expected to have reached the target after 1, 2, ... days.';

/* Won by new customers until they became such, by currency. */
CREATE FUNCTION lifecycle.forecast_values(model text, target text, since timestamptz, until timestamptz)
RETURNS TABLE (currency text, customers bigint, value numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	deals regclass := (SELECT m.deals FROM lifecycle.model m WHERE m.name = model);
BEGIN
	RETURN QUERY EXECUTE format($query$
		WITH customer AS (
			SELECT f.contact, f.at
			  FROM (SELECT DISTINCT ON (h.contact) h.contact, h.at, h.id
					  FROM %1$I.stage_history h
					  JOIN %1$I.stage s ON s.name = h.to_stage AND s.on_path
					  JOIN %1$I.stage t ON t.name = $1 AND t.position <= s.position
					 WHERE h.object = 'contact' AND h.at <= $3
					 ORDER BY h.contact, h.id) f
			 WHERE CASE WHEN $2 IS NULL THEN EXISTS (
						SELECT FROM %1$I.stage_history p WHERE p.object = 'contact' AND p.contact = f.contact AND p.id < f.id)
				   ELSE f.at > $2 AND EXISTS (SELECT FROM %1$I.stage_at($2) a WHERE a.contact = f.contact) END)
		SELECT w.currency, n.number, w.value
		  FROM (SELECT count(*) AS number FROM customer) n
		  LEFT JOIN (%2$s) w ON true$query$,
		model,
		CASE WHEN deals IS NULL THEN 'SELECT NULL::text AS currency, NULL::numeric AS value'
		ELSE format($query$
			SELECT %2$s AS currency, sum(o.amount) AS value
			  FROM customer c
			 CROSS JOIN LATERAL (SELECT DISTINCT ON (x.deal) x.deal, x.pipeline, x.to_stage, x.amount
								   FROM %1$I.deal_history x
								  WHERE x.contact = c.contact AND x.at <= c.at
								  ORDER BY x.deal, x.id DESC) o
			  JOIN %1$I.deal_stage g ON g.pipeline = o.pipeline AND g.name = o.to_stage AND g.kind = 'won'
			  JOIN %3$s d ON %4$s = o.deal
			 WHERE o.amount IS NOT NULL
			 GROUP BY 1$query$,
			model, lifecycle.view_column(model, 'deals', 'currency', 'd', 'text'), deals,
			lifecycle.view_column(model, 'deals', 'key', 'd', lifecycle.view_type(format('%I.deal_history', model), 'deal')))
		END)
	USING target, since, until;
END
$$;
COMMENT ON FUNCTION lifecycle.forecast_values(text, text, timestamptz, timestamptz) IS
'Internal. Contacts that first reached the target until an instant, not by the first change of their history (or, with since, after that instant, of those who had a stage then), and what they had won by then in each currency; one row with a null currency and value if nothing.';

/* The arguments that the functions for users have in common. */
CREATE FUNCTION lifecycle.check_forecast(model text, months integer, as_of timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_model(model);
	clock timestamptz := lifecycle.model_clock(m.name);
BEGIN
	PERFORM lifecycle.check_argument('months', months);
	IF months NOT BETWEEN 1 AND 60 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('months cannot be %s', months),
			HINT = 'Give a whole number from 1 to 60.';
	ELSIF as_of > clock THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('%s is later than the model''s clock, %s', as_of, clock),
			HINT = 'Give an instant of the past, or leave it out.';
	END IF;
	RETURN coalesce(as_of, clock);
END
$$;
COMMENT ON FUNCTION lifecycle.check_forecast(text, integer, timestamptz) IS
'Internal. The instant of a forecast, the model''s clock if none is given; raises 42704 for an unknown model, and 22023 for months outside 1 to 60 or an instant later than the clock.';

CREATE FUNCTION @extschema@.lifecycle_forecast(
	model text, months integer DEFAULT 3, as_of timestamptz DEFAULT NULL, target text DEFAULT NULL)
RETURNS TABLE (month integer, since timestamptz, until timestamptz,
			   customers numeric, currency text, value numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	start timestamptz := lifecycle.check_forecast(model, months, as_of);
	goal text := lifecycle.forecast_target(model, lifecycle_forecast.target);
	zone text := coalesce(lifecycle.get_setting(model, 'time_zone'), 'UTC');
	ends timestamptz[];		-- of the months, the start first
	days integer[];			-- the same in days since the start
	reached double precision[];
BEGIN
	SELECT array_agg(e.at ORDER BY e.n), array_agg(round(extract(epoch FROM e.at - start) / 86400)::integer ORDER BY e.n)
	  INTO ends, days
	  FROM (SELECT n, (start AT TIME ZONE zone + n * interval '1 month') AT TIME ZONE zone AS at
			  FROM generate_series(0, lifecycle_forecast.months) n) e;
	reached := lifecycle.forecast_days(model, goal, start, days[months + 1]);
	RETURN QUERY
		SELECT n, ends[n], ends[n + 1], round(e.customers::numeric, 2), w.currency,
			   round(e.customers::numeric * w.value / nullif(w.customers, 0), 2)
		  FROM generate_series(1, months) n
		 CROSS JOIN LATERAL (SELECT reached[days[n + 1]] - coalesce(reached[days[n]], 0) AS customers) e
		 CROSS JOIN lifecycle.forecast_values(model, goal, NULL, start) w
		 ORDER BY n, w.currency;
END
$$;
COMMENT ON FUNCTION @extschema@.lifecycle_forecast(text, integer, timestamptz, text) IS
'expected number of new customers in each of the next months from everyone who is in the funnel at as_of (the model''s clock), and what they bring, learned from the history by an absorbing Markov chain; one row for each month and currency, customers being the same in all rows of a month; target is the stage to reach (Customer, or the last on the path); raises 42704 for an unknown model or stage, 22023 for months outside 1 to 60, an as_of later than the clock or a target off the path';

/*
 * Conversion: b = R + Q b, where Q has the shares of those who enter a stage
 * that go on to each other stage, and R those that go to the target.  The shares
 * come from the rates up to the oldest age that was watched well enough; nobody
 * is taken to move after it.  b is found by iteration from 0, which rises to the
 * least solution: with a share that stays for ever, and after cycles too.
 */
CREATE FUNCTION @extschema@.lifecycle_forecast_stages(
	model text, as_of timestamptz DEFAULT NULL, target text DEFAULT NULL)
RETURNS TABLE (stage text, "position" integer, contacts bigint, stays bigint,
			   leave numeric, days numeric, conversion numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	start timestamptz := lifecycle.check_forecast(model, 1, as_of);
	goal text := lifecycle.forecast_target(model, lifecycle_forecast_stages.target);
	names text[] := '{}';
	leaves double precision[] := '{}';
	day_sums double precision[] := '{}';
	share_from integer[] := '{}';
	share_to text[] := '{}';
	share double precision[] := '{}';
	chance double precision[];
	better double precision[];
	left_over double precision;
	k integer := 0;
	r record;
BEGIN
	FOR r IN
		SELECT x.state, x.age, x.is_open, sum(x.rate) AS rate,
			   array_agg(x.to_state) AS targets, array_agg(x.rate) AS rates
		  FROM lifecycle.forecast_rates(model, goal, start) x
		 GROUP BY x.state, x.age, x.is_open
		 ORDER BY x.state, x.age
	LOOP
		IF names[k] IS DISTINCT FROM r.state THEN
			names := names || r.state;
			leaves := leaves || 0::double precision;
			day_sums := day_sums || 0::double precision;
			left_over := 1;
			k := k + 1;
		END IF;
		CONTINUE WHEN r.is_open;
		leaves[k] := leaves[k] + left_over * r.rate;
		day_sums[k] := day_sums[k] + left_over * r.rate * (r.age + 0.5);
		FOR i IN 1 .. cardinality(r.targets) LOOP
			share_from := share_from || k;
			share_to := share_to || r.targets[i];
			share := share || left_over * r.rates[i];
		END LOOP;
		left_over := left_over * (1 - r.rate);
	END LOOP;

	chance := array_fill(0::double precision, ARRAY[k]);
	FOR i IN 1 .. 10000 LOOP
		SELECT array_agg(coalesce(p.b, 0) ORDER BY n) INTO better
		  FROM generate_series(1, k) n
		  LEFT JOIN (SELECT u.f, sum(u.p * CASE u.t WHEN goal THEN 1 ELSE chance[array_position(names, u.t)] END) AS b
					   FROM unnest(share_from, share_to, share) u (f, t, p)
					  GROUP BY u.f) p ON p.f = n;
		EXIT WHEN (SELECT max(b - c) FROM unnest(better, chance) d (b, c)) < 1e-12;
		chance := better;
	END LOOP;

	RETURN QUERY EXECUTE format($query$
		SELECT s.name, s.position, coalesce(w.contacts, 0)::bigint,
			   (SELECT count(*) FROM (%s) y WHERE y.state = s.name),
			   round(l.leave::numeric, 4), round((l.day_sum / nullif(l.leave, 0))::numeric, 1), round(l.chance::numeric, 4)
		  FROM %I.stage s
		  LEFT JOIN unnest($3, $4, $5, $6) l (name, leave, day_sum, chance) ON l.name = s.name
		  LEFT JOIN (SELECT f.state, sum(f.contacts) AS contacts
					   FROM lifecycle.forecast_start($7, $2, $1) f
					  GROUP BY f.state) w ON w.state = s.name
		 WHERE (s.on_path AND s.position >= (SELECT t.position FROM %2$I.stage t WHERE t.name = $2)) IS NOT TRUE
		 ORDER BY s.position$query$,
		lifecycle.forecast_stays(model), model)
	USING start, goal, names, leaves, day_sums, better, model;
END
$$;
COMMENT ON FUNCTION @extschema@.lifecycle_forecast_stages(text, timestamptz, text) IS
'what the forecast has learned of each stage before the target: contacts in it at as_of that never reached the target, stays seen, share that leaves it, days until they do (mean), and conversion: the share of those who enter it that reaches the target; null for a stage that nobody was in; raises as lifecycle_forecast does';

CREATE FUNCTION @extschema@.lifecycle_forecast_backtest(
	model text, from_ timestamptz, to_ timestamptz, step interval DEFAULT '1 month',
	months integer DEFAULT 3, target text DEFAULT NULL)
RETURNS TABLE (as_of timestamptz, month integer, since timestamptz, until timestamptz,
			   customers numeric, came bigint, same_as_before bigint,
			   currency text, value numeric, value_came numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	clock timestamptz := lifecycle.check_forecast(model, months, NULL);
	goal text := lifecycle.forecast_target(model, lifecycle_forecast_backtest.target);
	zone text := coalesce(lifecycle.get_setting(model, 'time_zone'), 'UTC');
	instant timestamptz := from_;
	before bigint;
	tries integer := 0;
BEGIN
	PERFORM lifecycle.check_argument('from_', from_);
	PERFORM lifecycle.check_argument('to_', to_);
	PERFORM lifecycle.check_argument('step', step);
	IF now() + step <= now() THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('step cannot be %s', step),
			HINT = 'Give an interval above 0, such as ''1 month''.';
	END IF;
	WHILE instant <= least(to_, clock) LOOP
		before := (SELECT max(w.customers)
					 FROM lifecycle.forecast_values(model, goal, (instant AT TIME ZONE zone - interval '1 month') AT TIME ZONE zone, instant) w);
		RETURN QUERY
			WITH expected AS MATERIALIZED (
				SELECT * FROM @extschema@.lifecycle_forecast(model, months, instant, goal) f WHERE f.until <= clock),
			came AS MATERIALIZED (
				SELECT e.month, w.*
				  FROM (SELECT DISTINCT x.month, x.until FROM expected x) e
				 CROSS JOIN LATERAL lifecycle.forecast_values(model, goal, instant, e.until) w)
			SELECT instant, e.month, e.since, e.until, e.customers,
				   coalesce((SELECT max(c.customers) FROM came c WHERE c.month = e.month), 0)
				   - coalesce((SELECT max(c.customers) FROM came c WHERE c.month = e.month - 1), 0),
				   before, e.currency, e.value,
				   CASE WHEN e.value IS NOT NULL THEN
				   coalesce((SELECT c.value FROM came c WHERE c.month = e.month AND c.currency IS NOT DISTINCT FROM e.currency), 0)
				   - coalesce((SELECT c.value FROM came c WHERE c.month = e.month - 1 AND c.currency IS NOT DISTINCT FROM e.currency), 0) END
			  FROM expected e
			 ORDER BY e.month, e.currency;
		tries := tries + 1;
		instant := (from_ AT TIME ZONE zone + tries * step) AT TIME ZONE zone;
	END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@.lifecycle_forecast_backtest(text, timestamptz, timestamptz, interval, integer, text) IS
'lifecycle_forecast as it would have been at each instant from from_ to to_, a step apart, beside what really came from the same contacts: customers and came, value and value_came; same_as_before has how many came in the month before the instant, which is the forecast of one who knows nothing else; months that are not over are left out; raises 22004 for a null argument, 22023 for a step that is not above 0, and what lifecycle_forecast raises';
