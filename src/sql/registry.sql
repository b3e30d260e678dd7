/*
 * The registry: which models there are, which tables they are attached to,
 * and which columns play which role.
 *
 * All roles may write to these two tables, but a trigger lets only the owner
 * of the model's schema pass, who must own the tables too.  The check is made
 * with the rights of the one who writes, which a SECURITY DEFINER function in
 * their place could not do: it does not see who called it.
 */

CREATE TABLE lifecycle.model (
	name		text PRIMARY KEY,
	contacts	regclass NOT NULL UNIQUE,
	companies	regclass UNIQUE,
	deals		regclass UNIQUE,
	events		regclass UNIQUE,
	deal_contacts regclass UNIQUE,
	template	text NOT NULL,
	embedded	boolean NOT NULL DEFAULT false,
	created_at	timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE lifecycle.model IS 'the models of this database, one row each';
COMMENT ON COLUMN lifecycle.model.name IS 'name of the model, and of the schema it lives in';
COMMENT ON COLUMN lifecycle.model.contacts IS 'table of the contacts';
COMMENT ON COLUMN lifecycle.model.companies IS 'table of the companies, or null';
COMMENT ON COLUMN lifecycle.model.deals IS 'table of the deals, or null';
COMMENT ON COLUMN lifecycle.model.events IS 'table of the events, or null';
COMMENT ON COLUMN lifecycle.model.deal_contacts IS 'table of the further contacts of deals, or null';
COMMENT ON COLUMN lifecycle.model.template IS 'template that the model was made from';
COMMENT ON COLUMN lifecycle.model.embedded IS 'true if lifecycle_create made the tables, false if they were attached';
COMMENT ON COLUMN lifecycle.model.created_at IS 'when the model was made';

-- No foreign key to lifecycle.model, whose place a trigger takes: a parallel
-- pg_restore loads the two tables in any order.
CREATE TABLE lifecycle.model_column (
	model		text NOT NULL,
	object		text NOT NULL CHECK (object IN ('contacts', 'companies', 'deals', 'events', 'deal_contacts')),
	role		text NOT NULL,
	column_name	text,
	constant	text,
	PRIMARY KEY (model, object, role),
	CHECK ((column_name IS NULL) <> (constant IS NULL))
);

COMMENT ON TABLE lifecycle.model_column IS 'which column of an attached table plays which role';
COMMENT ON COLUMN lifecycle.model_column.model IS 'name of the model';
COMMENT ON COLUMN lifecycle.model_column.object IS 'contacts, companies, deals, events or deal_contacts';
COMMENT ON COLUMN lifecycle.model_column.role IS 'what the column is for: key, stage, contact, time and so on';
COMMENT ON COLUMN lifecycle.model_column.column_name IS 'the column that plays the role; null if a constant does';
COMMENT ON COLUMN lifecycle.model_column.constant IS 'the value that all rows have in this role, instead of a column';

SELECT pg_catalog.pg_extension_config_dump('lifecycle.model', '');
SELECT pg_catalog.pg_extension_config_dump('lifecycle.model_column', '');

GRANT SELECT, INSERT, UPDATE, DELETE ON lifecycle.model, lifecycle.model_column TO PUBLIC;


/* ---- spelling ---- */

CREATE FUNCTION lifecycle.nearest(wrong text, candidates text[]) RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'nearest';

COMMENT ON FUNCTION lifecycle.nearest(text, text[]) IS
'the candidate whose spelling is nearest to a wrong name, or null if none is near';

CREATE FUNCTION lifecycle.quoted_list(names text[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(format('"%s"', n), ', ' ORDER BY i)
	       || CASE WHEN cardinality(names) > 20 THEN ', ...' ELSE '' END
	FROM unnest(names) WITH ORDINALITY AS u (n, i)
	WHERE i <= 20
$$;

COMMENT ON FUNCTION lifecycle.quoted_list(text[]) IS
'names in double quotes, separated by commas, the first 20 of them; null if there are none';

CREATE FUNCTION lifecycle.name_hint(wrong text, candidates text[], kind text, add_with text DEFAULT NULL)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat_ws(' ',
		'Did you mean "' || lifecycle.nearest(wrong, candidates) || '"?',
		CASE WHEN coalesce(cardinality(candidates), 0) = 0
			THEN format('There is no %s yet.', kind)
			ELSE format('Known are %s.', lifecycle.quoted_list(candidates)) END,
		'Add one with ' || add_with || '.')
$$;

COMMENT ON FUNCTION lifecycle.name_hint(text, text[], text, text) IS
'the hint for a name that does not exist: the nearest one, and those that there are';


/* ---- checks of arguments, one function per rule ---- */

CREATE FUNCTION lifecycle.check_argument(argument text, given anyelement) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF given IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = format('argument "%s" must not be null', argument),
			HINT = format('Give a value: %s => ...', argument);
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_argument(text, anyelement) IS
'raises 22004 if an argument is null';

CREATE FUNCTION lifecycle.check_name(kind text, given text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF given IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = format('name of a %s must not be null', kind),
			HINT = 'Give a name of 1 to 63 bytes.';
	ELSIF btrim(given) = '' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('name of a %s must not be empty', kind),
			HINT = 'Give a name of 1 to 63 bytes.';
	ELSIF octet_length(given) > 63 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'name_too_long',
			MESSAGE = format('name of a %s must not be longer than 63 bytes', kind),
			DETAIL = format('"%s" has %s bytes.', given, octet_length(given)),
			HINT = 'Give a shorter name.';
	ELSIF given <> btrim(given) OR given ~ '[[:cntrl:]]' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('name of a %s must not begin or end with a space, or hold control characters', kind),
			DETAIL = format('The name is %s.', quote_literal(given)),
			HINT = format('Write %s.', quote_literal(btrim(regexp_replace(given, '[[:cntrl:]]+', ' ', 'g'))));
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_name(text, text) IS
'raises 22004, 22023 or 42622 if a name is null, empty, over 63 bytes, or padded with spaces';


/* ---- models and their owners ---- */

CREATE FUNCTION lifecycle.owns_schema(schema_name text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(
		(SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = schema_name),
		(SELECT rolsuper FROM pg_roles WHERE rolname = current_user))
$$;

COMMENT ON FUNCTION lifecycle.owns_schema(text) IS
'whether the current role has the rights of the owner of a schema; of a schema that is gone, whether it is a superuser';

CREATE FUNCTION lifecycle.check_schema_owner(schema_name text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT lifecycle.owns_schema(schema_name) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = format('must be owner of schema %s', schema_name),
			HINT = 'A model is changed by the owner of its schema.';
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_schema_owner(text) IS
'raises 42501 unless the current role has the rights of the owner of a model''s schema';

CREATE FUNCTION lifecycle.check_table_owner(relation regclass) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT (SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = relation) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = format('must be owner of table %s',
							 (SELECT relname FROM pg_class WHERE oid = relation)),
			HINT = 'A table is attached by its owner.';
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_table_owner(regclass) IS
'raises 42501 unless the current role has the rights of the owner of a table';

CREATE FUNCTION lifecycle.find_model(model_name text) RETURNS lifecycle.model
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_model lifecycle.model;
BEGIN
	PERFORM lifecycle.check_argument('model', model_name);
	SELECT * INTO found_model FROM lifecycle.model m WHERE m.name = model_name;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('model "%s" does not exist', model_name),
			HINT = lifecycle.name_hint(model_name,
						(SELECT array_agg(m.name ORDER BY m.name) FROM lifecycle.model m),
						'model', 'lifecycle_create or lifecycle_attach');
	END IF;
	RETURN found_model;
END
$$;

COMMENT ON FUNCTION lifecycle.find_model(text) IS
'the registry''s row of a model; raises 42704 if there is none';

CREATE FUNCTION lifecycle.find_own_model(model_name text) RETURNS lifecycle.model
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_model lifecycle.model := lifecycle.find_model(model_name);
BEGIN
	PERFORM lifecycle.check_schema_owner(model_name);
	RETURN found_model;
END
$$;

COMMENT ON FUNCTION lifecycle.find_own_model(text) IS
'the registry''s row of a model that the current role may change; raises 42704 or 42501';

CREATE FUNCTION lifecycle.mapped_column(model_name text, object_name text, role_name text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.column_name FROM lifecycle.model_column c
	WHERE c.model = model_name AND c.object = object_name AND c.role = role_name
$$;

COMMENT ON FUNCTION lifecycle.mapped_column(text, text, text) IS
'the column that plays a role in a model, or null';

CREATE FUNCTION lifecycle.table_columns(relation regclass) RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(array_agg(a.attname::text ORDER BY a.attnum), '{}')
	FROM pg_attribute a
	WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
$$;

COMMENT ON FUNCTION lifecycle.table_columns(regclass) IS 'names of a table''s columns, in order';

-- pg_partition_tree would lock every partition, and so let the workers of a
-- parallel pg_restore deadlock, who all come here by an event trigger.
CREATE FUNCTION lifecycle.table_tree(root regclass) RETURNS SETOF regclass
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE tree AS (
		SELECT root::oid AS relation WHERE root IS NOT NULL
		UNION ALL
		SELECT i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.relation
	)
	SELECT relation::regclass FROM tree
$$;

COMMENT ON FUNCTION lifecycle.table_tree(regclass) IS 'a table and its partitions, of all levels; takes no locks on them';

CREATE FUNCTION lifecycle.check_column(relation regclass, column_name text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF column_name IS NULL OR column_name <> ALL (lifecycle.table_columns(relation)) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_column',
			MESSAGE = format('column "%s" of table %s does not exist', column_name, relation),
			HINT = lifecycle.name_hint(column_name, lifecycle.table_columns(relation), 'column');
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_column(regclass, text) IS 'raises 42703 unless a table has the column';

CREATE FUNCTION lifecycle.check_model_row() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	relation regclass;
BEGIN
	IF TG_OP <> 'INSERT' THEN
		PERFORM lifecycle.check_schema_owner(OLD.name);
	END IF;
	IF TG_OP = 'DELETE' THEN
		RETURN OLD;
	END IF;
	PERFORM lifecycle.check_schema_owner(NEW.name);
	FOREACH relation IN ARRAY ARRAY[NEW.contacts, NEW.companies, NEW.deals, NEW.events, NEW.deal_contacts] LOOP
		IF relation IS NOT NULL THEN
			PERFORM lifecycle.check_table_owner(relation);
		END IF;
	END LOOP;
	RETURN NEW;
END
$$;

REVOKE ALL ON FUNCTION lifecycle.check_model_row() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.check_model_row() IS
'lets only the owner of the schema and the tables change a row of the registry';

CREATE TRIGGER check_row BEFORE INSERT OR UPDATE OR DELETE ON lifecycle.model
FOR EACH ROW EXECUTE FUNCTION lifecycle.check_model_row();

CREATE FUNCTION lifecycle.forget_columns() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM lifecycle.model_column c WHERE c.model = OLD.name;
	RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION lifecycle.forget_columns() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.forget_columns() IS 'removes the columns of a model that was removed from the registry';

CREATE TRIGGER forget_columns AFTER DELETE ON lifecycle.model
FOR EACH ROW EXECUTE FUNCTION lifecycle.forget_columns();

CREATE FUNCTION lifecycle.check_model_column_row() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP <> 'INSERT' THEN
		PERFORM lifecycle.check_schema_owner(OLD.model);
	END IF;
	IF TG_OP = 'DELETE' THEN
		RETURN OLD;
	END IF;
	PERFORM lifecycle.check_schema_owner(NEW.model);
	RETURN NEW;
END
$$;

REVOKE ALL ON FUNCTION lifecycle.check_model_column_row() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.check_model_column_row() IS
'lets only the owner of a model''s schema change its rows of the registry';

CREATE TRIGGER check_row BEFORE INSERT OR UPDATE OR DELETE ON lifecycle.model_column
FOR EACH ROW EXECUTE FUNCTION lifecycle.check_model_column_row();


/* ---- names inside a model ---- */

CREATE FUNCTION lifecycle.names_of(model_name text, table_name text) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names text[];
BEGIN
	EXECUTE format('SELECT coalesce(array_agg(name ORDER BY %s), ''{}'') FROM %I.%I',
				   CASE table_name WHEN 'segment' THEN 'name' ELSE 'position, name' END,
				   model_name, table_name)
		INTO names;
	RETURN names;
END
$$;

COMMENT ON FUNCTION lifecycle.names_of(text, text) IS
'names in a configuration table of a model (stage, lead_status, pipeline, segment, rule), in order';

CREATE FUNCTION lifecycle.find_name(model_name text, table_name text, given text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kind text := replace(table_name, '_', ' ');
	canonical text;
BEGIN
	PERFORM lifecycle.check_argument(kind, given);
	EXECUTE format('SELECT name FROM %I.%I WHERE name = $1 OR lower(name) = lower($1)
					ORDER BY name <> $1 LIMIT 1', model_name, table_name)
		INTO canonical USING given;
	IF canonical IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('%s "%s" does not exist in model "%s"', kind, given, model_name),
			HINT = lifecycle.name_hint(given, lifecycle.names_of(model_name, table_name), kind,
									   'lifecycle_add_' || table_name);
	END IF;
	RETURN canonical;
END
$$;

COMMENT ON FUNCTION lifecycle.find_name(text, text, text) IS
'the canonical spelling of a stage, lead status, pipeline, segment or rule; raises 42704 if there is none';

CREATE FUNCTION lifecycle.check_new_name(model_name text, table_name text, given text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kind text := replace(table_name, '_', ' ');
	taken text;
BEGIN
	PERFORM lifecycle.check_name(kind, given);
	EXECUTE format('SELECT name FROM %I.%I WHERE lower(name) = lower($1)', model_name, table_name)
		INTO taken USING given;
	IF taken IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_object',
			MESSAGE = format('%s "%s" already exists in model "%s"', kind, taken, model_name),
			HINT = format('Choose another name, or change it with lifecycle_alter_%s.', table_name);
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.check_new_name(text, text, text) IS
'raises 42710 if the name is taken, whatever its case, and the errors of check_name';

CREATE FUNCTION lifecycle.find_deal_stage(model_name text, pipeline_name text, given text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	canonical text;
	names text[];
BEGIN
	PERFORM lifecycle.check_argument('deal stage', given);
	EXECUTE format('SELECT array_agg(name ORDER BY position) FROM %I.deal_stage WHERE pipeline = $1', model_name)
		INTO names USING pipeline_name;
	SELECT n INTO canonical FROM unnest(names) n
	WHERE lower(n) = lower(given) ORDER BY n <> given LIMIT 1;
	IF canonical IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('deal stage "%s" does not exist in pipeline "%s" of model "%s"',
							 given, pipeline_name, model_name),
			HINT = lifecycle.name_hint(given, names, 'deal stage', 'lifecycle_add_deal_stage');
	END IF;
	RETURN canonical;
END
$$;

COMMENT ON FUNCTION lifecycle.find_deal_stage(text, text, text) IS
'the canonical spelling of a pipeline''s stage; raises 42704 if there is none';
