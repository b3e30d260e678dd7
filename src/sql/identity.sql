/*
 * Identity: anonymous ids, merged contacts, erasure.
 */

CREATE FUNCTION lifecycle.create_identity_tables(model_name text, contact_type text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $create$
BEGIN
	EXECUTE format($ddl$

CREATE TABLE %1$I.identity (
	anonymous_id text PRIMARY KEY,
	contact		%2$s NOT NULL,
	made_contact boolean NOT NULL DEFAULT false,
	identified_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX identity_contact ON %1$I.identity (contact);
COMMENT ON TABLE %1$I.identity IS 'whose anonymous ids these are: their events without a contact are the contact''s';
COMMENT ON COLUMN %1$I.identity.anonymous_id IS 'the anonymous id, as text';
COMMENT ON COLUMN %1$I.identity.contact IS 'key of the contact';
COMMENT ON COLUMN %1$I.identity.made_contact IS 'true if the id made this contact, who is merged into the real one by lifecycle_identify';
COMMENT ON COLUMN %1$I.identity.identified_at IS 'when the id became the contact''s';

CREATE TABLE %1$I.contact_merge (
	id			bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	from_contact %2$s NOT NULL,
	into_contact %2$s NOT NULL,
	at			timestamptz NOT NULL,
	role		text NOT NULL,
	reason		text,
	contact_row	jsonb NOT NULL,
	filled		jsonb NOT NULL,
	stage_before text,
	stage_after	text,
	events		text[],
	deals		text[] NOT NULL,
	closed_deals jsonb NOT NULL,
	tasks		text[] NOT NULL,
	anonymous_ids text[] NOT NULL,
	made_contact boolean NOT NULL,
	deal_contacts text[] NOT NULL DEFAULT '{}',
	deal_contact_rows jsonb NOT NULL DEFAULT '[]',
	undone_at	timestamptz
);
CREATE INDEX contact_merge_from ON %1$I.contact_merge (from_contact) WHERE undone_at IS NULL;
CREATE INDEX contact_merge_into ON %1$I.contact_merge (into_contact);
COMMENT ON TABLE %1$I.contact_merge IS 'contacts that were merged into others, and what moved';
COMMENT ON COLUMN %1$I.contact_merge.id IS 'number of the merge, for lifecycle_unmerge';
COMMENT ON COLUMN %1$I.contact_merge.from_contact IS 'key of the contact that is gone';
COMMENT ON COLUMN %1$I.contact_merge.into_contact IS 'key of the contact that survived';
COMMENT ON COLUMN %1$I.contact_merge.at IS 'clock of the merge';
COMMENT ON COLUMN %1$I.contact_merge.role IS 'the database role that made it';
COMMENT ON COLUMN %1$I.contact_merge.reason IS 'why, in words, if somebody said';
COMMENT ON COLUMN %1$I.contact_merge.contact_row IS 'the row of the contact that is gone';
COMMENT ON COLUMN %1$I.contact_merge.filled IS 'columns of the survivor that were empty: what they were, and what they got';
COMMENT ON COLUMN %1$I.contact_merge.stage_before IS 'stage of the survivor before';
COMMENT ON COLUMN %1$I.contact_merge.stage_after IS 'stage that the survivor got from the other, null if it kept its own';
COMMENT ON COLUMN %1$I.contact_merge.events IS 'keys of the events that moved; null if events have no key';
COMMENT ON COLUMN %1$I.contact_merge.deals IS 'keys of the deals that moved';
COMMENT ON COLUMN %1$I.contact_merge.closed_deals IS 'open deals that were closed because both had one in the pipeline: deal, stages before and after, close date before';
COMMENT ON COLUMN %1$I.contact_merge.tasks IS 'numbers of the tasks that moved';
COMMENT ON COLUMN %1$I.contact_merge.anonymous_ids IS 'anonymous ids that moved';
COMMENT ON COLUMN %1$I.contact_merge.made_contact IS 'true if an anonymous id had made the contact that is gone';
COMMENT ON COLUMN %1$I.contact_merge.deal_contacts IS 'keys of the deals of which the survivor became a further contact in place of the other';
COMMENT ON COLUMN %1$I.contact_merge.deal_contact_rows IS 'rows of further contacts of deals that were deleted, because the survivor was one already';
COMMENT ON COLUMN %1$I.contact_merge.undone_at IS 'clock of lifecycle_unmerge, null if the merge stands';

$ddl$, model_name, contact_type);
END
$create$;

COMMENT ON FUNCTION lifecycle.create_identity_tables(text, text) IS
'creates the tables of a model that say whose anonymous ids and merged contacts are, with the key type of contacts';

CREATE FUNCTION lifecycle.identify_strangers(model text) RETURNS bigint
AS 'MODULE_PATHNAME', 'identify_strangers' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION lifecycle.identify_strangers(text) IS
'gives the events without contact that are there to the contacts of their anonymous ids, makes these as the setting anonymous says, and returns the number of ids; the caller has called lifecycle.lock_model; raises 42501 unless the caller owns the model';

CREATE FUNCTION lifecycle.survivor_query(m lifecycle.model) RETURNS text
LANGUAGE sql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format($sql$
		WITH RECURSIVE link (from_contact, into_contact) AS (
			SELECT DISTINCT g.from_contact, g.from_contact FROM %1$I.contact_merge g WHERE g.undone_at IS NULL
			UNION
			SELECT l.from_contact, g.into_contact
			FROM link l
			CROSS JOIN LATERAL (SELECT g.into_contact FROM %1$I.contact_merge g
								WHERE g.from_contact = l.into_contact AND g.undone_at IS NULL ORDER BY g.id DESC LIMIT 1) g
			WHERE NOT EXISTS (SELECT FROM %2$s c WHERE c.%3$I = l.into_contact)
		)
		SELECT l.from_contact, l.into_contact
		FROM link l
		WHERE l.into_contact <> l.from_contact AND EXISTS (SELECT FROM %2$s c WHERE c.%3$I = l.into_contact) $sql$,
		m.name, m.contacts, lifecycle.mapped_column(m.name, 'contacts', 'key'))
$$;
COMMENT ON FUNCTION lifecycle.survivor_query(lifecycle.model) IS
'a query for all contacts that were merged and are not there, and to whom their events belong now: whom they were merged into last, or whom that one was, to the first who is there';

CREATE FUNCTION lifecycle.verify_identity(m lifecycle.model)
RETURNS TABLE (what text, key text, name text, stored text, computed text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	key_column text := lifecycle.mapped_column(m.name, 'contacts', 'key');
	contact_column text := lifecycle.mapped_column(m.name, 'events', 'contact');
	id_column text := lifecycle.mapped_column(m.name, 'events', 'anonymous_id');
	has_merges boolean;
BEGIN
	RETURN QUERY EXECUTE format($sql$
		SELECT 'anonymous id', i.contact::text, i.anonymous_id, 'one', 'none'
		FROM %1$I.identity i
		WHERE NOT EXISTS (SELECT FROM %2$s c WHERE c.%3$I = i.contact) $sql$,
		m.name, m.contacts, key_column);
	IF id_column IS NOT NULL THEN
		RETURN QUERY EXECUTE format($sql$
			SELECT 'event of anonymous id', i.contact::text, i.anonymous_id, NULL::text, i.contact::text
			FROM %1$I.identity i JOIN %2$s e ON e.%3$I = i.anonymous_id::%4$s
			WHERE e.%5$I IS NULL $sql$,
			m.name, m.events, id_column, lifecycle.column_type_text(m.events, id_column), contact_column);
	END IF;
	-- without merges, the events need not be read
	EXECUTE format('SELECT EXISTS (SELECT FROM %I.contact_merge WHERE undone_at IS NULL)', m.name) INTO has_merges;
	IF contact_column IS NOT NULL AND has_merges THEN
		RETURN QUERY EXECUTE format($sql$
			SELECT 'event of merged contact', g.from_contact::text, NULL::text, g.from_contact::text, g.into_contact::text
			FROM (%1$s) g JOIN %2$s e ON e.%3$I = g.from_contact $sql$,
			lifecycle.survivor_query(m), m.events, contact_column);
	END IF;
END
$$;
COMMENT ON FUNCTION lifecycle.verify_identity(lifecycle.model) IS
'events that are not with the contact whose anonymous id they have, or who their contact was merged into';

CREATE FUNCTION @extschema@.lifecycle_identify(model text, anonymous_id text, contact "any") RETURNS bigint
AS 'MODULE_PATHNAME', 'lifecycle_identify' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_identify(text, text, "any") IS
'says that an anonymous id is a contact''s: its events without contact become the contact''s, now and later; returns how many there were; raises 02000 for an unknown contact, 55000 if events have no anonymous id; needs SELECT on contacts and UPDATE on events';

CREATE FUNCTION @extschema@.lifecycle_merge(model text, from_ "any", into_ "any", reason text DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'lifecycle_merge' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_merge(text, "any", "any", text) IS
'merges a contact into another: events, deals, tasks and anonymous ids move, empty columns are filled, the further stage stays, and the first contact is deleted; returns the number of the merge for lifecycle_unmerge; raises 02000 for an unknown contact, 22023 for a contact and itself, 23503 if rows of other tables would be lost';

CREATE FUNCTION @extschema@.lifecycle_unmerge(model text, merge bigint) RETURNS text
AS 'MODULE_PATHNAME', 'lifecycle_unmerge' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_unmerge(text, bigint) IS
'undoes a merge: the contact comes back with what had moved, events that came since stay with the survivor; returns the key of the contact; raises 02000 for an unknown merge, 55000 if it cannot be undone';

CREATE FUNCTION @extschema@.lifecycle_forget(model text, contact "any") RETURNS bigint
AS 'MODULE_PATHNAME', 'lifecycle_forget' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_forget(text, "any") IS
'erases a person: the contact, all contacts merged into it, their events, history, tasks, messages and anonymous ids; deals stay without contact and name; returns the number of rows deleted; raises 02000 if there is nothing of that contact, 55000 for one that was merged into another';
