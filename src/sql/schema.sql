-- CREATE EXTENSION puts the target schema first in search_path.  Anybody who
-- may create objects there could catch the names used in this script, so only
-- pg_catalog is searched from here on: each object of ours is written with its
-- schema, @extschema@ for the API and lifecycle for everything else.
SET LOCAL search_path = pg_catalog, pg_temp;

-- Plain CREATE, on purpose: a schema of this name that exists already may
-- belong to somebody else, and what is in it would be run with our rights.
CREATE SCHEMA lifecycle;

COMMENT ON SCHEMA lifecycle IS
'registry and internals of the extension lifecycle; the functions for users are called lifecycle_*';

-- The API functions run with the rights of the caller, and so do the functions
-- of this schema that they call.  USAGE is therefore for all.  What may not be
-- called by all is revoked beside its CREATE; what runs with the rights of the
-- extension's owner (SECURITY DEFINER) does nothing but bring triggers and
-- registry into line with each other, and takes nobody's word for anything.
REVOKE ALL ON SCHEMA lifecycle FROM PUBLIC;
GRANT USAGE ON SCHEMA lifecycle TO PUBLIC;
