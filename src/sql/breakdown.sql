/*
 * breakdown.sql
 *		The funnel by the values of a column, such as source or campaign.
 *
 * Any column may be asked for, so nothing is kept for it: the contacts are
 * read once, grouped by value and stage.
 */

/* The expression that a user's column name stands for. */
CREATE FUNCTION lifecycle.breakdown_column(m lifecycle.model, by text)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM lifecycle.check_argument('by', by);
	IF by LIKE 'company.%' AND NOT by = ANY (lifecycle.table_columns(m.contacts)) THEN
		IF m.companies IS NULL OR lifecycle.mapped_column(m.name, 'contacts', 'company') IS NULL THEN
			RAISE EXCEPTION USING
				ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('contacts of model "%s" have no companies', m.name),
				HINT = 'Name a column of the contacts.';
		END IF;
		PERFORM lifecycle.check_column(m.companies, substr(by, 9));
		RETURN format('k.%I', substr(by, 9));
	END IF;
	PERFORM lifecycle.check_column(m.contacts, by);
	RETURN format('c.%I', by);
END
$$;
COMMENT ON FUNCTION lifecycle.breakdown_column(lifecycle.model, text) IS
'Internal. SQL text of a column of the contacts, or of their companies if its name starts with company.; raises 42703 if there is none, 55000 if the contacts have no companies.';

CREATE FUNCTION @extschema@.lifecycle_breakdown(model text, by text)
RETURNS TABLE (value text, total bigint, stage text, "position" integer,
			   contacts bigint, reached bigint, share numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_model(model);
	value_sql text := lifecycle.breakdown_column(m, by);
BEGIN
	RETURN QUERY EXECUTE format($query$
		SELECT n.value, n.total::bigint, s.name, s.position,
			   coalesce(sum(n.number) FILTER (WHERE n.stage = s.name), 0)::bigint,
			   coalesce(sum(n.number) FILTER (WHERE t.position >= s.position), 0)::bigint,
			   round(coalesce(sum(n.number) FILTER (WHERE t.position >= s.position), 0) / n.total, 4)
		  FROM (SELECT %1$s::text AS value, %2$s AS stage, count(*) AS number,
					   sum(count(*)) OVER (PARTITION BY %1$s::text) AS total
				  FROM %3$s c %4$s
				 GROUP BY 1, 2) n
		 CROSS JOIN %5$I.stage s
		  LEFT JOIN %5$I.stage t ON t.name = n.stage AND t.on_path
		 WHERE s.on_path
		 GROUP BY n.value, n.total, s.name, s.position
		 ORDER BY n.total DESC, n.value, s.position$query$,
		value_sql, lifecycle.view_column(m.name, 'contacts', 'stage', 'c', 'text'), m.contacts,
		CASE WHEN value_sql LIKE 'k.%' THEN format('LEFT JOIN %s k ON %s = %s', m.companies,
			lifecycle.view_column(m.name, 'companies', 'key', 'k', NULL),
			lifecycle.view_column(m.name, 'contacts', 'company', 'c', NULL)) END,
		m.name);
END
$$;
COMMENT ON FUNCTION @extschema@.lifecycle_breakdown(text, text) IS
'the funnel for each value of a column of the contacts, such as source or campaign, or of their companies (company.industry): contacts with the value, in each stage on the path now, those in it or a later one, and their share, 0 to 1, of all with the value; raises 42704 for an unknown model, 42703 for an unknown column, 22004 for null, 55000 if there are no companies';
