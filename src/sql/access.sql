/*
 * access.sql
 *		Row security of what a model keeps.
 *
 * The application tables are the user's, and so are their policies.  What
 * lifecycle keeps about a contact lies in tables of its own, which a policy on
 * contacts does not reach: a role that may read stage_history reads all of it.
 * lifecycle_follow_row_security gives those tables one policy: a row about a
 * contact or company is there for whom the contact's or company's own row is
 * there.
 *
 * Row security is not forced, so that the tables' owner, as whom the engine
 * reads and writes, is not subject to it.
 *
 * Counts know no contacts.  Who is subject to row security on the contacts sees
 * none of the kept ones; the view funnel counts the contacts that he sees.
 */
CREATE FUNCTION @extschema@.lifecycle_follow_row_security(model text, follow boolean DEFAULT true)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	contact_type text := lifecycle.view_type(format('%I.contact_state', m.name), 'contact');
	company_type text := lifecycle.view_type(format('%I.stage_history', m.name), 'company');
	free_sql text := format('NOT row_security_active(%L::regclass)', m.contacts);
	contact_sql text;
	company_sql text;
	t record;
BEGIN
	PERFORM lifecycle.check_argument('follow', follow);
	FOR t IN
		SELECT c.relname AS name, format('%I.%I', m.name, c.relname) AS relation,
			   lifecycle.view_type(c.oid, 'contact') AS contact, lifecycle.view_type(c.oid, 'company') AS company,
			   EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'lifecycle_follow') AS has_ours,
			   EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname <> 'lifecycle_follow') AS has_others
		  FROM pg_class c
		 WHERE c.relnamespace = quote_ident(m.name)::regnamespace
		   AND c.relkind = 'r' AND c.relname = ANY (lifecycle.own_tables())
		   AND (lifecycle.view_type(c.oid, 'contact') IS NOT NULL OR c.relname IN ('stage_count', 'outbox', 'outbox_delivery', 'contact_merge'))
		 ORDER BY c.relname
	LOOP
		IF t.has_ours THEN
			EXECUTE format('DROP POLICY lifecycle_follow ON %s', t.relation);
		END IF;
		IF NOT follow THEN
			IF t.has_ours AND NOT t.has_others THEN
				EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', t.relation);
			END IF;
			CONTINUE;
		END IF;
		-- problem has the contact's key as text, and what a message holds
		contact_sql := CASE WHEN t.contact = contact_type AND t.name <> 'problem' THEN
			format('WHEN contact IS NOT NULL THEN EXISTS (SELECT FROM %s c WHERE %s = contact)', m.contacts,
				   lifecycle.view_column(m.name, 'contacts', 'key', 'c', NULL)) END;
		company_sql := CASE WHEN t.company = company_type AND m.companies IS NOT NULL THEN
			format('WHEN company IS NOT NULL THEN EXISTS (SELECT FROM %s c WHERE %s = company)', m.companies,
				   lifecycle.view_column(m.name, 'companies', 'key', 'c', NULL)) END;
		EXECUTE format('CREATE POLICY lifecycle_follow ON %s USING (CASE WHEN %s THEN true %s ELSE false END) WITH CHECK (true)',
					   t.relation, free_sql, concat_ws(' ', contact_sql, company_sql));
		EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t.relation);
	END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@.lifecycle_follow_row_security(text, boolean) IS
'lets history, memberships, tasks and messages of a model follow the row security of its contacts and companies: a row about a contact is there for whom the contact is; with false, no longer; the owner sees everything; raises 42501 unless the caller owns the model';
