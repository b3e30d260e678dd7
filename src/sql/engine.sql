/*
 * The engine: functions of the C module.
 *
 * Trigger functions are for triggers that lifecycle_attach creates; each
 * checks that it is called as one.
 */

CREATE FUNCTION lifecycle.events_insert() RETURNS trigger
AS 'MODULE_PATHNAME', 'events_insert' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.events_insert() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.events_insert() IS
'trigger AFTER INSERT FOR EACH STATEMENT on a model''s events: decides about the contacts of the new rows';

CREATE FUNCTION lifecycle.events_update() RETURNS trigger
AS 'MODULE_PATHNAME', 'events_update' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.events_update() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.events_update() IS
'trigger AFTER UPDATE FOR EACH STATEMENT on a model''s events: computes anew what the old and new rows may have decided';

CREATE FUNCTION lifecycle.events_delete() RETURNS trigger
AS 'MODULE_PATHNAME', 'events_delete' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.events_delete() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.events_delete() IS
'trigger AFTER DELETE FOR EACH STATEMENT on a model''s events: computes anew what the deleted rows had decided';

CREATE FUNCTION lifecycle.events_truncate() RETURNS trigger
AS 'MODULE_PATHNAME', 'events_truncate' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.events_truncate() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.events_truncate() IS
'trigger AFTER TRUNCATE FOR EACH STATEMENT on a model''s events: computes everything anew';

CREATE FUNCTION lifecycle.contacts_check() RETURNS trigger
AS 'MODULE_PATHNAME', 'contacts_check' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.contacts_check() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.contacts_check() IS
'trigger BEFORE INSERT OR UPDATE FOR EACH ROW on a model''s contacts: checks stage and lead status and restores their spelling; raises 22023 for unknown ones, 55000 for a move that manual_stage forbids';

CREATE FUNCTION lifecycle.contacts_insert() RETURNS trigger
AS 'MODULE_PATHNAME', 'contacts_insert' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.contacts_insert() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.contacts_insert() IS
'trigger AFTER INSERT FOR EACH STATEMENT on a model''s contacts: evaluates all segments, records stages';

CREATE FUNCTION lifecycle.contacts_update() RETURNS trigger
AS 'MODULE_PATHNAME', 'contacts_update' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.contacts_update() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.contacts_update() IS
'trigger AFTER UPDATE FOR EACH STATEMENT on a model''s contacts: evaluates segments that look at what changed, records stages';

CREATE FUNCTION lifecycle.contacts_delete() RETURNS trigger
AS 'MODULE_PATHNAME', 'contacts_delete' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.contacts_delete() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.contacts_delete() IS
'trigger AFTER DELETE FOR EACH STATEMENT on a model''s contacts: removes their state and memberships';

CREATE FUNCTION lifecycle.contacts_truncate() RETURNS trigger
AS 'MODULE_PATHNAME', 'contacts_truncate' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.contacts_truncate() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.contacts_truncate() IS
'trigger AFTER TRUNCATE FOR EACH STATEMENT on a model''s contacts: removes all states and memberships';

CREATE FUNCTION lifecycle.companies_check() RETURNS trigger
AS 'MODULE_PATHNAME', 'companies_check' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.companies_check() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.companies_check() IS
'trigger BEFORE INSERT OR UPDATE FOR EACH ROW on a model''s companies: as contacts_check';

CREATE FUNCTION lifecycle.companies_insert() RETURNS trigger
AS 'MODULE_PATHNAME', 'companies_insert' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.companies_insert() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.companies_insert() IS
'trigger AFTER INSERT FOR EACH STATEMENT on a model''s companies: records stages';

CREATE FUNCTION lifecycle.companies_update() RETURNS trigger
AS 'MODULE_PATHNAME', 'companies_update' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.companies_update() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.companies_update() IS
'trigger AFTER UPDATE FOR EACH STATEMENT on a model''s companies: evaluates segments of their contacts that look at what changed, records stages';

CREATE FUNCTION lifecycle.companies_delete() RETURNS trigger
AS 'MODULE_PATHNAME', 'companies_delete' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.companies_delete() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.companies_delete() IS
'trigger AFTER DELETE FOR EACH STATEMENT on a model''s companies: evaluates their contacts'' segments, records that the companies are gone';

CREATE FUNCTION lifecycle.companies_truncate() RETURNS trigger
AS 'MODULE_PATHNAME', 'companies_truncate' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.companies_truncate() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.companies_truncate() IS
'trigger AFTER TRUNCATE FOR EACH STATEMENT on a model''s companies: computes everything anew';

CREATE FUNCTION lifecycle.deals_check() RETURNS trigger
AS 'MODULE_PATHNAME', 'deals_check' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.deals_check() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.deals_check() IS
'trigger BEFORE INSERT OR UPDATE FOR EACH ROW on a model''s deals: checks pipeline and stage, sets is_open and the close date; raises 22023 for unknown ones';

CREATE FUNCTION lifecycle.deals_insert() RETURNS trigger
AS 'MODULE_PATHNAME', 'deals_insert' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.deals_insert() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.deals_insert() IS
'trigger AFTER INSERT FOR EACH STATEMENT on a model''s deals: records them and lets rules fire';

CREATE FUNCTION lifecycle.deals_update() RETURNS trigger
AS 'MODULE_PATHNAME', 'deals_update' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.deals_update() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.deals_update() IS
'trigger AFTER UPDATE FOR EACH STATEMENT on a model''s deals: records their moves and lets rules fire';

CREATE FUNCTION lifecycle.deals_delete() RETURNS trigger
AS 'MODULE_PATHNAME', 'deals_delete' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.deals_delete() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.deals_delete() IS
'trigger AFTER DELETE FOR EACH STATEMENT on a model''s deals: records that they are gone';

CREATE FUNCTION lifecycle.deals_truncate() RETURNS trigger
AS 'MODULE_PATHNAME', 'deals_truncate' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.deals_truncate() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.deals_truncate() IS
'trigger AFTER TRUNCATE FOR EACH STATEMENT on a model''s deals; their history stays';

CREATE FUNCTION lifecycle.deal_contacts_insert() RETURNS trigger
AS 'MODULE_PATHNAME', 'deal_contacts_insert' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.deal_contacts_insert() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.deal_contacts_insert() IS
'trigger after further contacts of deals were inserted; raises 39P01 unless called as such';

CREATE FUNCTION lifecycle.deal_contacts_update() RETURNS trigger
AS 'MODULE_PATHNAME', 'deal_contacts_update' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.deal_contacts_update() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.deal_contacts_update() IS
'trigger after further contacts of deals were updated; raises 39P01 unless called as such';

CREATE FUNCTION lifecycle.deal_contacts_delete() RETURNS trigger
AS 'MODULE_PATHNAME', 'deal_contacts_delete' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.deal_contacts_delete() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.deal_contacts_delete() IS
'trigger after further contacts of deals were deleted; raises 39P01 unless called as such';

CREATE FUNCTION lifecycle.deal_contacts_truncate() RETURNS trigger
AS 'MODULE_PATHNAME', 'deal_contacts_truncate' LANGUAGE C;
REVOKE ALL ON FUNCTION lifecycle.deal_contacts_truncate() FROM PUBLIC;
COMMENT ON FUNCTION lifecycle.deal_contacts_truncate() IS
'trigger after the further contacts of deals were truncated; raises 39P01 unless called as such';

CREATE FUNCTION lifecycle.compile(
	model text, expression text, kind text,
	OUT atoms text[], OUT atom_events text[], OUT atom_methods text[],
	OUT contact_columns text[], OUT company_columns text[],
	OUT segments text[], OUT result_type regtype, OUT atom_second_events text[],
	OUT atom_keys text[], OUT atom_key_values text[])
AS 'MODULE_PATHNAME', 'compile' LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION lifecycle.compile(text, text, text) IS
'compiles a predicate or value without saving it; raises 42501 unless the caller owns the model, and the errors of the text with their position';

CREATE FUNCTION lifecycle.take_in(model text, segments text[] DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME', 'take_in' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION lifecycle.take_in(text, text[]) IS
'evaluates segments for all contacts, null for the whole model; the caller has called lifecycle.lock_model; raises 42501 unless the caller owns the model';

CREATE FUNCTION lifecycle.maintain(model text, active boolean) RETURNS void
AS 'MODULE_PATHNAME', 'maintain' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION lifecycle.maintain(text, boolean) IS
'while active, rows of the model''s tables are rewritten without being taken for changes, until the transaction''s end at the latest; raises 42501 unless the caller owns the model';

CREATE FUNCTION lifecycle.reload(model text) RETURNS void
AS 'MODULE_PATHNAME', 'reload' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION lifecycle.reload(text) IS
'makes all sessions load the model''s configuration anew';

CREATE FUNCTION @extschema@.lifecycle_advance(
	model text, contact "any", stage text, reason text DEFAULT NULL,
	object text DEFAULT 'contact') RETURNS text
AS 'MODULE_PATHNAME', 'lifecycle_advance' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_advance(text, "any", text, text, text) IS
'moves a contact (or company) forward to a stage and returns the stage it is in now; already there or beyond is no change; raises 22023 for an unknown stage, P0002 for an unknown contact';

CREATE FUNCTION @extschema@.lifecycle_set_stage(
	model text, contact "any", stage text, reason text DEFAULT NULL,
	object text DEFAULT 'contact') RETURNS text
AS 'MODULE_PATHNAME', 'lifecycle_set_stage' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_set_stage(text, "any", text, text, text) IS
'moves a contact (or company) to a stage in any direction, null clears it, and returns the stage it is in now; raises 22023 for an unknown stage, P0002 for an unknown contact';

CREATE FUNCTION @extschema@.lifecycle_set_lead_status(
	model text, contact "any", status text, reason text DEFAULT NULL,
	object text DEFAULT 'contact') RETURNS text
AS 'MODULE_PATHNAME', 'lifecycle_set_lead_status' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_set_lead_status(text, "any", text, text, text) IS
'sets the lead status of a contact (or company), null clears it, and returns it; raises 22023 for an unknown status, P0002 for an unknown contact';

CREATE FUNCTION @extschema@.lifecycle_in_segment(model text, contact "any", segment text) RETURNS boolean
AS 'MODULE_PATHNAME', 'lifecycle_in_segment' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_in_segment(text, "any", text) IS
'whether a contact is in a segment, evaluated at this instant; writes nothing; needs SELECT on contacts and events; raises 22023 for an unknown segment, P0002 for an unknown contact';

CREATE FUNCTION @extschema@.lifecycle_why(
	model text, contact "any", segment text,
	OUT "position" integer, OUT level integer, OUT clause text, OUT holds boolean,
	OUT finding text, OUT events text[], OUT times timestamptz[])
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'lifecycle_why' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_why(text, "any", text) IS
'why a contact is in a segment, or is not, evaluated at this instant: each clause of the predicate, with its level (0: the whole), whether it holds, what it found, and the keys and times of the events that show it, at most 20 of each function; writes nothing; needs SELECT on contacts and events; raises 22023 for an unknown segment, P0002 for a contact that the caller does not see';

CREATE FUNCTION @extschema@.lifecycle_track(
	model text, who "any", event text, properties jsonb DEFAULT NULL,
	occurred_at timestamptz DEFAULT NULL, message_id text DEFAULT NULL,
	anonymous_id text DEFAULT NULL) RETURNS boolean
AS 'MODULE_PATHNAME', 'lifecycle_track' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_track(text, "any", text, jsonb, timestamptz, text, text) IS
'inserts an event of a contact, or of an anonymous id; false if an event with that message id is there already; needs INSERT on events; raises 22023 for what the events table has no column for';

CREATE FUNCTION @extschema@.lifecycle_explain(
	model text, predicate text,
	OUT part text, OUT kind text, OUT event text, OUT method text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'lifecycle_explain' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_explain(text, text) IS
'the atoms and columns of a predicate and how each is kept right: counted, added up, timed, looked up, segment, column; raises 42501 unless the caller owns the model, and the errors of the text with their position';

CREATE FUNCTION @extschema@.lifecycle_preview(model text, predicate text) RETURNS SETOF text
AS 'MODULE_PATHNAME', 'lifecycle_preview' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_preview(text, text) IS
'the keys of the contacts for which a predicate holds now, without saving it; raises 42501 unless the caller owns the model';

CREATE FUNCTION lifecycle.backtest(
	model text, predicate text, instants timestamptz[], OUT at timestamptz, OUT members bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'backtest' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION lifecycle.backtest(text, text, timestamptz[]) IS
'the number of contacts for which a predicate holds at each of some instants';

CREATE FUNCTION @extschema@.lifecycle_tick(
	model text, at timestamptz DEFAULT now(), max_contacts integer DEFAULT NULL,
	OUT contacts bigint, OUT entered bigint, OUT "left" bigint,
	OUT stages bigint, OUT deals bigint)
AS 'MODULE_PATHNAME', 'lifecycle_tick' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_tick(text, timestamptz, integer) IS
'brings the contacts that are due up to an instant, at most so many: windows end, future events begin to count; returns contacts looked at, memberships entered and left, stages moved, deals opened; raises 42501 unless the caller owns the model';

CREATE FUNCTION @extschema@.lifecycle_take_deferred(model text, max_contacts integer DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'lifecycle_take_deferred' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_take_deferred(text, integer) IS
'takes in contacts whose events were stored while lifecycle.import_mode was defer, at most so many, and returns their number; raises 42501 unless the caller owns the model';

CREATE FUNCTION lifecycle.replay_contacts(model text, everybody boolean) RETURNS bigint
AS 'MODULE_PATHNAME', 'replay_contacts' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION lifecycle.replay_contacts(text, boolean) IS
'makes memberships and their history anew, of the contacts that wait or of all; the caller has locked the model; raises 42501 unless the caller owns it';

CREATE FUNCTION lifecycle.catch_up(model text) RETURNS void
AS 'MODULE_PATHNAME', 'catch_up' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION lifecycle.catch_up(text) IS
'brings all contacts that are due up to the model''s clock; the caller has locked the model; raises 42501 unless the caller owns it';

CREATE FUNCTION lifecycle.verify_contacts(
	model text, OUT what text, OUT contact text, OUT name text,
	OUT stored text, OUT computed text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'verify_contacts' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION lifecycle.verify_contacts(text) IS
'states of contacts that differ from a recomputation: state, due time, atom, membership; raises 42501 unless the caller owns the model, and what a predicate raises';

CREATE FUNCTION lifecycle.state_segments(state bytea) RETURNS integer[]
AS 'MODULE_PATHNAME', 'state_segments' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION lifecycle.state_segments(bytea) IS
'the numbers of the segments that a packed state says its contact is in, none if the contact has not arrived yet; raises XX001 if it is damaged';

CREATE FUNCTION lifecycle.rebuild_tables(model text) RETURNS void
AS 'MODULE_PATHNAME', 'rebuild_tables' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION lifecycle.rebuild_tables(text) IS
'lists members anew as states say, and counts contacts and companies per stage; its caller has locked the model; raises 42501 unless the caller owns the model';

CREATE FUNCTION lifecycle.rebuild_contacts(model text) RETURNS bigint
AS 'MODULE_PATHNAME', 'lifecycle_rebuild' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION lifecycle.rebuild_contacts(text) IS
'computes states and memberships of all contacts anew from the events and returns their number; raises 42501 unless the caller owns the model';

CREATE FUNCTION @extschema@.lifecycle_rebuild(model text, contact "any") RETURNS bigint
AS 'MODULE_PATHNAME', 'lifecycle_rebuild' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.lifecycle_rebuild(text, "any") IS
'computes state and memberships of one contact anew from the events; raises 42501 unless the caller owns the model';
