/*
 * A model's schema and tables, its settings, and how it ends.
 *
 * What is created here belongs to the user who calls, and is no member of the
 * extension: pg_dump dumps it, and DROP EXTENSION leaves it alone.
 */

CREATE FUNCTION lifecycle.create_model_tables(
	model_name text, contact_type text, company_type text, deal_type text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $create$
BEGIN
	EXECUTE format($ddl$

CREATE TABLE %1$I.stage (
	name		text PRIMARY KEY,
	position	integer NOT NULL UNIQUE DEFERRABLE INITIALLY IMMEDIATE,
	on_path		boolean NOT NULL DEFAULT true,
	description	text,
	carries_status boolean NOT NULL DEFAULT true
);
CREATE UNIQUE INDEX stage_spelling ON %1$I.stage (lower(name));
COMMENT ON TABLE %1$I.stage IS 'the lifecycle stages, in order';
COMMENT ON COLUMN %1$I.stage.name IS 'name, as it stands in contacts and companies';
COMMENT ON COLUMN %1$I.stage.position IS 'place in the order, from 1';
COMMENT ON COLUMN %1$I.stage.on_path IS 'false if automation never advances to or from this stage';
COMMENT ON COLUMN %1$I.stage.description IS 'what the stage means';
COMMENT ON COLUMN %1$I.stage.carries_status IS 'false if nobody in this stage has a lead status';

CREATE TABLE %1$I.lead_status (
	name		text PRIMARY KEY,
	position	integer NOT NULL,
	description	text
);
CREATE UNIQUE INDEX lead_status_spelling ON %1$I.lead_status (lower(name));
COMMENT ON TABLE %1$I.lead_status IS 'the lead statuses, in order';
COMMENT ON COLUMN %1$I.lead_status.name IS 'name, as it stands in contacts and companies';
COMMENT ON COLUMN %1$I.lead_status.position IS 'place in lists, from 1';
COMMENT ON COLUMN %1$I.lead_status.description IS 'what the status means';

CREATE TABLE %1$I.pipeline (
	name		text PRIMARY KEY,
	position	integer NOT NULL,
	description	text
);
CREATE UNIQUE INDEX pipeline_spelling ON %1$I.pipeline (lower(name));
COMMENT ON TABLE %1$I.pipeline IS 'the pipelines that deals go through; the first one is the default';
COMMENT ON COLUMN %1$I.pipeline.name IS 'name, as it stands in deals';
COMMENT ON COLUMN %1$I.pipeline.position IS 'place in lists, from 1';
COMMENT ON COLUMN %1$I.pipeline.description IS 'what the pipeline is for';

CREATE TABLE %1$I.deal_stage (
	pipeline	text NOT NULL REFERENCES %1$I.pipeline ON UPDATE CASCADE,
	name		text NOT NULL,
	position	integer NOT NULL,
	probability	numeric(5,2) NOT NULL CHECK (probability BETWEEN 0 AND 100),
	kind		text NOT NULL CHECK (kind IN ('open', 'won', 'lost')),
	description	text,
	PRIMARY KEY (pipeline, name)
);
CREATE UNIQUE INDEX deal_stage_spelling ON %1$I.deal_stage (pipeline, lower(name));
COMMENT ON TABLE %1$I.deal_stage IS 'the stages of the pipelines, in order';
COMMENT ON COLUMN %1$I.deal_stage.pipeline IS 'the pipeline';
COMMENT ON COLUMN %1$I.deal_stage.name IS 'name, as it stands in deals';
COMMENT ON COLUMN %1$I.deal_stage.position IS 'place in the pipeline, from 1';
COMMENT ON COLUMN %1$I.deal_stage.probability IS 'how likely a deal in this stage is won, in percent';
COMMENT ON COLUMN %1$I.deal_stage.kind IS 'open, won or lost';
COMMENT ON COLUMN %1$I.deal_stage.description IS 'what the stage means';

CREATE TABLE %1$I.setting (
	name		text PRIMARY KEY,
	value		text NOT NULL,
	description	text
);
COMMENT ON TABLE %1$I.setting IS 'settings of the model; change them with lifecycle_set';
COMMENT ON COLUMN %1$I.setting.name IS 'name of the setting';
COMMENT ON COLUMN %1$I.setting.value IS 'its value';
COMMENT ON COLUMN %1$I.setting.description IS 'what it does, and which values it takes';

CREATE TABLE %1$I.segment (
	id			integer GENERATED ALWAYS AS IDENTITY UNIQUE,
	name		text PRIMARY KEY,
	predicate	text NOT NULL,
	description	text,
	atoms		integer[] NOT NULL DEFAULT '{}',
	contact_columns text[] NOT NULL DEFAULT '{}',
	company_columns text[] NOT NULL DEFAULT '{}',
	segments	text[] NOT NULL DEFAULT '{}',
	rank		integer NOT NULL DEFAULT 0,
	created_at	timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX segment_spelling ON %1$I.segment (lower(name));
COMMENT ON TABLE %1$I.segment IS 'the segments: named predicates over contacts';
COMMENT ON COLUMN %1$I.segment.id IS 'number of the segment, never used again';
COMMENT ON COLUMN %1$I.segment.name IS 'name of the segment';
COMMENT ON COLUMN %1$I.segment.predicate IS 'SQL boolean expression that holds for the members';
COMMENT ON COLUMN %1$I.segment.description IS 'what the segment means';
COMMENT ON COLUMN %1$I.segment.atoms IS 'atoms of the predicate, in the order of first use';
COMMENT ON COLUMN %1$I.segment.contact_columns IS 'columns of the contact that the predicate reads';
COMMENT ON COLUMN %1$I.segment.company_columns IS 'columns of the company that the predicate reads';
COMMENT ON COLUMN %1$I.segment.segments IS 'segments that the predicate names by in_segment';
COMMENT ON COLUMN %1$I.segment.rank IS '0, or one more than the highest rank among the segments it names';
COMMENT ON COLUMN %1$I.segment.created_at IS 'when it was added';

CREATE TABLE %1$I.atom (
	id			integer PRIMARY KEY,
	event		text,
	definition	text NOT NULL UNIQUE,
	method		text,
	segments	integer[] NOT NULL DEFAULT '{}',
	second_event text,
	key			text,
	key_value	text
);
CREATE INDEX atom_event ON %1$I.atom (event) WHERE key IS NULL;
CREATE INDEX atom_key ON %1$I.atom (event, key, key_value) WHERE key IS NOT NULL;
CREATE INDEX atom_second_event ON %1$I.atom (second_event) WHERE second_event IS NOT NULL;
COMMENT ON TABLE %1$I.atom IS 'the parts of predicates that look at events, deals or the clock; a row stays when no segment uses it any more, so that its number is never given again';
COMMENT ON COLUMN %1$I.atom.id IS 'number of the atom, never used again';
COMMENT ON COLUMN %1$I.atom.event IS 'the event that it looks at; null if it looks at something else, and if no segment uses the atom';
COMMENT ON COLUMN %1$I.atom.definition IS 'canonical text';
COMMENT ON COLUMN %1$I.atom.method IS 'how it is kept up to date, as lifecycle_explain shows it';
COMMENT ON COLUMN %1$I.atom.segments IS 'ids of the segments that use it';
COMMENT ON COLUMN %1$I.atom.second_event IS 'the other event that did_then looks at';
COMMENT ON COLUMN %1$I.atom.key IS 'what its filter compares for equality, over the event; null if it does not';
COMMENT ON COLUMN %1$I.atom.key_value IS 'what it must be equal to, quoted: an event finds the atom by it';

CREATE TABLE %1$I.rule (
	id			integer GENERATED ALWAYS AS IDENTITY UNIQUE,
	name		text PRIMARY KEY,
	on_			text NOT NULL,
	of			text,
	condition	text,
	action		text NOT NULL,
	args		jsonb NOT NULL DEFAULT '{}',
	position	integer NOT NULL,
	enabled		boolean NOT NULL DEFAULT true,
	description	text,
	segment		text,
	since		timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX rule_spelling ON %1$I.rule (lower(name));
COMMENT ON TABLE %1$I.rule IS 'the rules: when this happens, do that';
COMMENT ON COLUMN %1$I.rule.id IS 'number of the rule, never used again';
COMMENT ON COLUMN %1$I.rule.name IS 'name of the rule';
COMMENT ON COLUMN %1$I.rule.on_ IS 'event, segment entered, segment left, stage entered, deal created, deal stage entered, deal won or deal lost';
COMMENT ON COLUMN %1$I.rule.of IS 'which event, segment, stage, pipeline or stage of a pipeline; null means any';
COMMENT ON COLUMN %1$I.rule.condition IS 'predicate that must hold too, or null';
COMMENT ON COLUMN %1$I.rule.action IS 'advance stage, set stage, set lead status, create deal, assign owner, create task, set field, copy to company or notify';
COMMENT ON COLUMN %1$I.rule.args IS 'arguments of the action';
COMMENT ON COLUMN %1$I.rule.position IS 'order in which rules of one occasion are worked off';
COMMENT ON COLUMN %1$I.rule.enabled IS 'false if it is switched off';
COMMENT ON COLUMN %1$I.rule.description IS 'what the rule is for';
COMMENT ON COLUMN %1$I.rule.segment IS 'the segment whose stage => made this rule, or null';
COMMENT ON COLUMN %1$I.rule.since IS 'since when it says this and the stages are as they are, by the time of day: lifecycle_verify judges by it what came later';

CREATE TABLE %1$I.contact_state (
	contact		%2$s PRIMARY KEY,
	due			timestamptz,
	clock		timestamptz,
	state		bytea
) USING heap	-- as the engine looks at its rows where they lie
WITH (fillfactor = 80);	-- room for the next version of a row, so that indexes stay as they are
CREATE INDEX contact_state_due ON %1$I.contact_state (due) WHERE due IS NOT NULL;
COMMENT ON TABLE %1$I.contact_state IS 'what the engine knows of each contact, one row each';
COMMENT ON COLUMN %1$I.contact_state.contact IS 'key of the contact';
COMMENT ON COLUMN %1$I.contact_state.due IS 'when lifecycle_tick must look at the contact next; null if never';
COMMENT ON COLUMN %1$I.contact_state.clock IS 'the clock when the row was last evaluated';
COMMENT ON COLUMN %1$I.contact_state.state IS 'packed state of atoms and segments; its form is the engine''s own';

-- A membership is written once when a contact enters, and moves to
-- past_membership when it leaves: the views segment_member and segment_history
-- below show both.  Columns of fixed length come first, to save space.
CREATE SEQUENCE %1$I.segment_change;
COMMENT ON SEQUENCE %1$I.segment_change IS 'numbers the changes of memberships: id in segment_history';

CREATE TABLE %1$I.membership (
	id			bigint NOT NULL,
	entered_at	timestamptz NOT NULL,
	noticed_at	timestamptz NOT NULL,
	event_at	timestamptz,
	segment_id	integer NOT NULL,
	contact		%2$s NOT NULL,
	cause		text NOT NULL,
	event		text,
	PRIMARY KEY (segment_id, contact)
);
CREATE INDEX membership_entered_at ON %1$I.membership USING brin (entered_at);
COMMENT ON TABLE %1$I.membership IS 'who is in which segment now, and how each came in; read it by the views segment_member and segment_history';
COMMENT ON COLUMN %1$I.membership.id IS 'number of the change by which the contact entered';
COMMENT ON COLUMN %1$I.membership.entered_at IS 'when the contact entered, by the model''s clock';
COMMENT ON COLUMN %1$I.membership.noticed_at IS 'when the engine noticed it, by the time of day';
COMMENT ON COLUMN %1$I.membership.event_at IS 'time of the event that caused it, if one did';
COMMENT ON COLUMN %1$I.membership.segment_id IS 'number of the segment';
COMMENT ON COLUMN %1$I.membership.contact IS 'key of the contact';
COMMENT ON COLUMN %1$I.membership.cause IS 'what made the contact enter, as in segment_history';
COMMENT ON COLUMN %1$I.membership.event IS 'name of the event that caused it, if one did';

CREATE TABLE %1$I.past_membership (
	id			bigint NOT NULL,
	entered_at	timestamptz NOT NULL,
	noticed_at	timestamptz NOT NULL,
	event_at	timestamptz,
	left_id		bigint PRIMARY KEY,
	left_at		timestamptz NOT NULL,
	left_noticed_at timestamptz NOT NULL,
	left_event_at timestamptz,
	segment		text NOT NULL,
	contact		%2$s NOT NULL,
	cause		text NOT NULL,
	event		text,
	left_cause	text NOT NULL,
	left_event	text
);
CREATE INDEX past_membership_contact ON %1$I.past_membership (contact);
CREATE INDEX past_membership_entered_at ON %1$I.past_membership USING brin (entered_at);
CREATE INDEX past_membership_left_at ON %1$I.past_membership USING brin (left_at);
COMMENT ON TABLE %1$I.past_membership IS 'who was in which segment from when to when; read it by the view segment_history';
COMMENT ON COLUMN %1$I.past_membership.id IS 'number of the change by which the contact entered';
COMMENT ON COLUMN %1$I.past_membership.entered_at IS 'when the contact entered, by the model''s clock';
COMMENT ON COLUMN %1$I.past_membership.noticed_at IS 'when the engine noticed it, by the time of day';
COMMENT ON COLUMN %1$I.past_membership.event_at IS 'time of the event that caused it, if one did';
COMMENT ON COLUMN %1$I.past_membership.left_id IS 'number of the change by which the contact left';
COMMENT ON COLUMN %1$I.past_membership.left_at IS 'when the contact left, by the model''s clock';
COMMENT ON COLUMN %1$I.past_membership.left_noticed_at IS 'when the engine noticed that, by the time of day';
COMMENT ON COLUMN %1$I.past_membership.left_event_at IS 'time of the event that caused it, if one did';
COMMENT ON COLUMN %1$I.past_membership.segment IS 'name of the segment';
COMMENT ON COLUMN %1$I.past_membership.contact IS 'key of the contact';
COMMENT ON COLUMN %1$I.past_membership.cause IS 'what made the contact enter, as in segment_history';
COMMENT ON COLUMN %1$I.past_membership.event IS 'name of the event that caused it, if one did';
COMMENT ON COLUMN %1$I.past_membership.left_cause IS 'what made the contact leave, as in segment_history';
COMMENT ON COLUMN %1$I.past_membership.left_event IS 'name of the event that caused it, if one did';

CREATE VIEW %1$I.segment_member WITH (security_invoker = true) AS
SELECT s.name AS segment, m.contact, m.entered_at
  FROM %1$I.membership m
  JOIN %1$I.segment s ON s.id = m.segment_id;
COMMENT ON VIEW %1$I.segment_member IS 'who is in which segment now';
COMMENT ON COLUMN %1$I.segment_member.segment IS 'name of the segment';
COMMENT ON COLUMN %1$I.segment_member.contact IS 'key of the contact';
COMMENT ON COLUMN %1$I.segment_member.entered_at IS 'when the contact entered: at in segment_history';

CREATE VIEW %1$I.segment_history WITH (security_invoker = true) AS
SELECT m.id, m.contact, s.name AS segment, 'entered'::text AS change, m.entered_at AS at,
	   m.noticed_at, m.cause, m.event, m.event_at
  FROM %1$I.membership m
  JOIN %1$I.segment s ON s.id = m.segment_id
UNION ALL
SELECT p.id, p.contact, p.segment, 'entered'::text, p.entered_at, p.noticed_at, p.cause, p.event, p.event_at
  FROM %1$I.past_membership p
UNION ALL
SELECT p.left_id, p.contact, p.segment, 'left'::text, p.left_at, p.left_noticed_at, p.left_cause, p.left_event, p.left_event_at
  FROM %1$I.past_membership p;
COMMENT ON VIEW %1$I.segment_history IS 'who entered and left which segment, and when';
COMMENT ON COLUMN %1$I.segment_history.id IS 'number of the change';
COMMENT ON COLUMN %1$I.segment_history.contact IS 'key of the contact';
COMMENT ON COLUMN %1$I.segment_history.segment IS 'name of the segment';
COMMENT ON COLUMN %1$I.segment_history.change IS 'entered or left';
COMMENT ON COLUMN %1$I.segment_history.at IS 'when the change happened, by the model''s clock: a change that time alone made, the instant at which it became true';
COMMENT ON COLUMN %1$I.segment_history.noticed_at IS 'when the engine noticed it, by the time of day';
COMMENT ON COLUMN %1$I.segment_history.cause IS 'what made the change: event, rule, api, update, deal, sync, import, tick, merge or rebuild';
COMMENT ON COLUMN %1$I.segment_history.event IS 'name of the event that caused it, if one did';
COMMENT ON COLUMN %1$I.segment_history.event_at IS 'time of that event';

CREATE TABLE %1$I.stage_history (
	id			bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	object		text NOT NULL CHECK (object IN ('contact', 'company')),
	contact		%2$s,
	company		%3$s,
	from_stage	text,
	to_stage	text,
	at			timestamptz NOT NULL,
	noticed_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	event		text,
	event_at	timestamptz,
	event_key	text,
	cause		text NOT NULL,
	rule		text,
	reason		text,
	role		text NOT NULL
);
CREATE INDEX stage_history_at ON %1$I.stage_history USING brin (at);
CREATE INDEX stage_history_contact ON %1$I.stage_history (contact, at) WHERE object = 'contact';
CREATE INDEX stage_history_company ON %1$I.stage_history (company, at) WHERE object = 'company';
COMMENT ON TABLE %1$I.stage_history IS 'each change of a contact''s or a company''s stage';
COMMENT ON COLUMN %1$I.stage_history.id IS 'number of the change';
COMMENT ON COLUMN %1$I.stage_history.object IS 'contact or company: whose stage changed';
COMMENT ON COLUMN %1$I.stage_history.contact IS 'key of the contact';
COMMENT ON COLUMN %1$I.stage_history.company IS 'key of the company';
COMMENT ON COLUMN %1$I.stage_history.from_stage IS 'stage before, null if there was none';
COMMENT ON COLUMN %1$I.stage_history.to_stage IS 'stage after, null if it was cleared';
COMMENT ON COLUMN %1$I.stage_history.at IS 'when the change happened, by the model''s clock: a change that time alone made, the instant at which it became true';
COMMENT ON COLUMN %1$I.stage_history.noticed_at IS 'when the engine noticed it, by the time of day';
COMMENT ON COLUMN %1$I.stage_history.event IS 'name of the event that caused it, if one did';
COMMENT ON COLUMN %1$I.stage_history.event_at IS 'time of that event';
COMMENT ON COLUMN %1$I.stage_history.event_key IS 'key of that event';
COMMENT ON COLUMN %1$I.stage_history.cause IS 'what made the change: event, rule, api, update, deal, sync, import, tick, merge or rebuild';
COMMENT ON COLUMN %1$I.stage_history.rule IS 'name of the rule that made it, if one did';
COMMENT ON COLUMN %1$I.stage_history.reason IS 'why, in words, if somebody said';
COMMENT ON COLUMN %1$I.stage_history.role IS 'the database role that made it';

CREATE TABLE %1$I.lead_status_history (
	id			bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	object		text NOT NULL CHECK (object IN ('contact', 'company')),
	contact		%2$s,
	company		%3$s,
	from_status	text,
	to_status	text,
	at			timestamptz NOT NULL,
	noticed_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	event		text,
	event_at	timestamptz,
	event_key	text,
	cause		text NOT NULL,
	rule		text,
	reason		text,
	role		text NOT NULL
);
CREATE INDEX lead_status_history_at ON %1$I.lead_status_history USING brin (at);
CREATE INDEX lead_status_history_contact ON %1$I.lead_status_history (contact, at) WHERE object = 'contact';
CREATE INDEX lead_status_history_company ON %1$I.lead_status_history (company, at) WHERE object = 'company';
COMMENT ON TABLE %1$I.lead_status_history IS 'each change of a contact''s or a company''s lead status';
COMMENT ON COLUMN %1$I.lead_status_history.id IS 'number of the change';
COMMENT ON COLUMN %1$I.lead_status_history.object IS 'contact or company: whose lead status changed';
COMMENT ON COLUMN %1$I.lead_status_history.contact IS 'key of the contact';
COMMENT ON COLUMN %1$I.lead_status_history.company IS 'key of the company';
COMMENT ON COLUMN %1$I.lead_status_history.from_status IS 'lead status before, null if there was none';
COMMENT ON COLUMN %1$I.lead_status_history.to_status IS 'lead status after, null if it was cleared';
COMMENT ON COLUMN %1$I.lead_status_history.at IS 'when the change happened, by the model''s clock: a change that time alone made, the instant at which it became true';
COMMENT ON COLUMN %1$I.lead_status_history.noticed_at IS 'when the engine noticed it, by the time of day';
COMMENT ON COLUMN %1$I.lead_status_history.event IS 'name of the event that caused it, if one did';
COMMENT ON COLUMN %1$I.lead_status_history.event_at IS 'time of that event';
COMMENT ON COLUMN %1$I.lead_status_history.event_key IS 'key of that event';
COMMENT ON COLUMN %1$I.lead_status_history.cause IS 'what made the change: event, rule, api, update, deal, sync, import, tick, merge or rebuild';
COMMENT ON COLUMN %1$I.lead_status_history.rule IS 'name of the rule that made it, if one did';
COMMENT ON COLUMN %1$I.lead_status_history.reason IS 'why, in words, if somebody said';
COMMENT ON COLUMN %1$I.lead_status_history.role IS 'the database role that made it';

CREATE TABLE %1$I.deal_history (
	id			bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	deal		%4$s NOT NULL,
	contact		%2$s,
	company		%3$s,
	pipeline	text,
	from_stage	text,
	to_stage	text,
	amount		numeric,
	at			timestamptz NOT NULL,
	noticed_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	event		text,
	event_at	timestamptz,
	event_key	text,
	cause		text NOT NULL,
	rule		text,
	reason		text,
	role		text NOT NULL
);
CREATE INDEX deal_history_deal ON %1$I.deal_history (deal, at);
CREATE INDEX deal_history_at ON %1$I.deal_history USING brin (at);
CREATE INDEX deal_history_contact ON %1$I.deal_history (contact, at);
COMMENT ON TABLE %1$I.deal_history IS 'each change of a deal''s stage';
COMMENT ON COLUMN %1$I.deal_history.id IS 'number of the change';
COMMENT ON COLUMN %1$I.deal_history.deal IS 'key of the deal';
COMMENT ON COLUMN %1$I.deal_history.contact IS 'key of its contact';
COMMENT ON COLUMN %1$I.deal_history.company IS 'key of its company';
COMMENT ON COLUMN %1$I.deal_history.pipeline IS 'pipeline of the deal';
COMMENT ON COLUMN %1$I.deal_history.from_stage IS 'deal stage before, null for a new deal';
COMMENT ON COLUMN %1$I.deal_history.to_stage IS 'deal stage after, null if the deal was deleted';
COMMENT ON COLUMN %1$I.deal_history.amount IS 'the deal''s amount after the change, in the deal''s currency';
COMMENT ON COLUMN %1$I.deal_history.at IS 'when the change happened, by the model''s clock: a change that time alone made, the instant at which it became true';
COMMENT ON COLUMN %1$I.deal_history.noticed_at IS 'when the engine noticed it, by the time of day';
COMMENT ON COLUMN %1$I.deal_history.event IS 'name of the event that caused it, if one did';
COMMENT ON COLUMN %1$I.deal_history.event_at IS 'time of that event';
COMMENT ON COLUMN %1$I.deal_history.event_key IS 'key of that event';
COMMENT ON COLUMN %1$I.deal_history.cause IS 'what made the change: event, rule, api, update, deal, sync, import, tick, merge or rebuild';
COMMENT ON COLUMN %1$I.deal_history.rule IS 'name of the rule that made it, if one did';
COMMENT ON COLUMN %1$I.deal_history.reason IS 'why, in words, if somebody said';
COMMENT ON COLUMN %1$I.deal_history.role IS 'the database role that made it';

CREATE TABLE %1$I.stage_count (
	object		text NOT NULL,
	stage		text NOT NULL,
	number		bigint NOT NULL
);
ALTER TABLE %1$I.stage_count REPLICA IDENTITY FULL;
COMMENT ON TABLE %1$I.stage_count IS 'changes in the number of contacts and companies per stage, to be summed';
COMMENT ON COLUMN %1$I.stage_count.object IS 'contact or company';
COMMENT ON COLUMN %1$I.stage_count.stage IS 'the stage';
COMMENT ON COLUMN %1$I.stage_count.number IS 'how many came, less how many went';

CREATE TABLE %1$I.outbox (
	id			bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	aggregatetype text NOT NULL,
	aggregateid	text,
	type		text NOT NULL,
	payload		jsonb NOT NULL,
	created_at	timestamptz NOT NULL DEFAULT now(),
	transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id()
);
COMMENT ON TABLE %1$I.outbox IS 'messages for other systems; delete a row when it has been handled';
COMMENT ON COLUMN %1$I.outbox.id IS 'number of the message, in no order of commit';
COMMENT ON COLUMN %1$I.outbox.aggregatetype IS 'what the message is about: contact, company or deal';
COMMENT ON COLUMN %1$I.outbox.aggregateid IS 'key of the row that it is about';
COMMENT ON COLUMN %1$I.outbox.type IS 'kind of message';
COMMENT ON COLUMN %1$I.outbox.payload IS 'contents';
COMMENT ON COLUMN %1$I.outbox.created_at IS 'start of the transaction that wrote it';
COMMENT ON COLUMN %1$I.outbox.transaction_id IS 'transaction that wrote it: a reader that follows by position stays below pg_snapshot_xmin(pg_current_snapshot())';

CREATE INDEX outbox_position ON %1$I.outbox (transaction_id, id);

CREATE TABLE %1$I.outbox_delivery (
	id			bigint PRIMARY KEY REFERENCES %1$I.outbox ON DELETE CASCADE,
	tries		int NOT NULL DEFAULT 1,
	visible_at	timestamptz NOT NULL,
	acknowledged_at timestamptz,
	dead_at		timestamptz,
	last_error	text
);
CREATE INDEX outbox_delivery_acknowledged ON %1$I.outbox_delivery (acknowledged_at) WHERE acknowledged_at IS NOT NULL;
COMMENT ON TABLE %1$I.outbox_delivery IS 'messages of the outbox that a consumer has taken';
COMMENT ON COLUMN %1$I.outbox_delivery.id IS 'number of the message';
COMMENT ON COLUMN %1$I.outbox_delivery.tries IS 'how often it was taken';
COMMENT ON COLUMN %1$I.outbox_delivery.visible_at IS 'from when on it can be taken again';
COMMENT ON COLUMN %1$I.outbox_delivery.acknowledged_at IS 'when it was handled; null while it is not';
COMMENT ON COLUMN %1$I.outbox_delivery.dead_at IS 'when it was given up after too many tries; null if it was not';
COMMENT ON COLUMN %1$I.outbox_delivery.last_error IS 'why it could not be handled the last time, as the consumer said';

CREATE TABLE %1$I.problem (
	id			bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at			timestamptz NOT NULL DEFAULT now(),
	segment		text,
	rule		text,
	contact		text,
	event		text,
	sqlstate	text,
	message		text NOT NULL,
	detail		text
);
COMMENT ON TABLE %1$I.problem IS 'errors in segments and rules that were set aside so that no event is lost';
COMMENT ON COLUMN %1$I.problem.id IS 'number of the problem';
COMMENT ON COLUMN %1$I.problem.at IS 'when it came up';
COMMENT ON COLUMN %1$I.problem.segment IS 'segment whose predicate failed';
COMMENT ON COLUMN %1$I.problem.rule IS 'rule whose condition or action failed';
COMMENT ON COLUMN %1$I.problem.contact IS 'key of the contact, as text';
COMMENT ON COLUMN %1$I.problem.event IS 'name of the event';
COMMENT ON COLUMN %1$I.problem.sqlstate IS 'code of the error';
COMMENT ON COLUMN %1$I.problem.message IS 'the error''s message';
COMMENT ON COLUMN %1$I.problem.detail IS 'the error''s detail';

CREATE TABLE %1$I.deferred (
	contact		%2$s NOT NULL,
	since		timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE %1$I.deferred REPLICA IDENTITY FULL;	-- rows are deleted, also where all tables are published
COMMENT ON TABLE %1$I.deferred IS 'contacts whose events were stored while lifecycle.import_mode was defer, one row a statement; lifecycle_tick takes them in';
COMMENT ON COLUMN %1$I.deferred.contact IS 'key of the contact';
COMMENT ON COLUMN %1$I.deferred.since IS 'start of the transaction that stored the events';

CREATE TABLE %1$I.clock (last_tick timestamptz);
CREATE UNIQUE INDEX clock_one_row ON %1$I.clock ((true));
INSERT INTO %1$I.clock VALUES (NULL);
ALTER TABLE %1$I.clock REPLICA IDENTITY FULL;
COMMENT ON TABLE %1$I.clock IS 'one row';
COMMENT ON COLUMN %1$I.clock.last_tick IS 'the instant that lifecycle_tick last worked up to';

CREATE TABLE %1$I.verification (
	id			bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at			timestamptz NOT NULL DEFAULT now(),
	duration	interval NOT NULL,
	differences	bigint NOT NULL,
	role		text NOT NULL DEFAULT SESSION_USER
);
COMMENT ON TABLE %1$I.verification IS 'the last hundred calls of lifecycle_verify';
COMMENT ON COLUMN %1$I.verification.id IS 'number of the verification';
COMMENT ON COLUMN %1$I.verification.at IS 'start of the transaction that verified';
COMMENT ON COLUMN %1$I.verification.duration IS 'how long it took';
COMMENT ON COLUMN %1$I.verification.differences IS 'rows in which what is stored was not what was computed anew; 0 is the proof';
COMMENT ON COLUMN %1$I.verification.role IS 'who verified';

$ddl$, model_name, contact_type, company_type, deal_type);
	PERFORM lifecycle.create_identity_tables(model_name, contact_type);
END
$create$;

COMMENT ON FUNCTION lifecycle.create_model_tables(text, text, text, text) IS
'creates the tables of a model in its schema, with the key types of contacts, companies and deals';


-- Without the application tables that lifecycle_create makes.
CREATE FUNCTION lifecycle.own_tables() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ARRAY[
		'stage',
		'lead_status',
		'pipeline',
		'deal_stage',
		'setting',
		'segment',
		'atom',
		'rule',
		'contact_state',
		'identity',
		'contact_merge',
		'membership',
		'past_membership',
		'stage_history',
		'lead_status_history',
		'deal_history',
		'stage_count',
		'outbox',
		'outbox_delivery',
		'problem',
		'deferred',
		'clock',
		'verification',
		'owner',
		'task',
		'score_definition',
		'score_rule']
$$;
COMMENT ON FUNCTION lifecycle.own_tables() IS 'names of the tables that lifecycle keeps in the schema of a model';


/* ---- settings ---- */

CREATE FUNCTION lifecycle.create_settings(model_name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format($sql$
		INSERT INTO %I.setting (name, value, description) VALUES
		('time_zone', 'UTC',
		 'time zone of interval arithmetic and of dates without a zone: a name of pg_timezone_names'),
		('manual_stage', 'allow',
		 'what a plain UPDATE may do with a stage: allow, forward (never back), clear first (set it to null before going back) or refuse'),
		('company_stage', 'furthest',
		 'furthest: a company goes forward to the furthest stage of its contacts; exact: it is always there, also backward; off: it is moved by deals and by hand only'),
		('contact_stage', 'off',
		 'company: contacts go forward to the stage of their company; off: they have their own'),
		('page_view_event', 'Page Viewed',
		 'name of the event that visited() looks for'),
		('page_view_path', $1,
		 'path of a page view, as an expression over an event row'),
		('notify', 'on',
		 'on: each message in the outbox is announced by NOTIFY too; off: it is not'),
		('outbox_max_tries', '10',
		 'how often a message of the outbox is tried before it is dead, from 1 to 1000'),
		('outbox_retention', '0',
		 'how long messages stay in the outbox after they were acknowledged: an interval, 0 deletes them at once'),
		('clock', 'transaction',
		 'the instant at which predicates are evaluated: transaction (its start) or tick (where lifecycle_tick last put it)'),
		('history_of_deleted', 'keep',
		 'what becomes of the history of contacts and companies that are deleted: keep (it says that they left) or delete'),
		('anonymous', 'ignore',
		 'what an anonymous id does that is nobody''s yet: ignore (its events wait for lifecycle_identify) or contact (it makes one)'),
		('max_cascade', '16',
		 'how many times the result of rules may set off further rules, from 1 to 1000'),
		('forecast_best_case', '50',
		 'from which probability on, in percent, an open deal counts as best case in the forecast'),
		('forecast_commit', '80',
		 'from which probability on, in percent, an open deal counts as commit in the forecast')
	$sql$, model_name)
	USING format('%I->>''path''', coalesce(lifecycle.mapped_column(model_name, 'events', 'properties'), 'properties'));
END
$$;

COMMENT ON FUNCTION lifecycle.create_settings(text) IS 'fills a new model''s settings with their defaults';

CREATE FUNCTION lifecycle.get_setting(model_name text, setting_name text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_value text;
BEGIN
	EXECUTE format('SELECT value FROM %I.setting WHERE name = $1', model_name)
		INTO found_value USING setting_name;
	RETURN found_value;
END
$$;

COMMENT ON FUNCTION lifecycle.get_setting(text, text) IS 'value of a model''s setting';

CREATE FUNCTION lifecycle.model_clock(model_name text) RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	clock timestamptz;
BEGIN
	IF lifecycle.get_setting(model_name, 'clock') = 'tick' THEN
		EXECUTE format('SELECT last_tick FROM %I.clock', model_name) INTO clock;
	END IF;
	RETURN coalesce(clock, now());
END
$$;

COMMENT ON FUNCTION lifecycle.model_clock(text) IS 'the instant at which a model''s predicates are evaluated';

-- All writers to the application tables are shut out, in one order for all
-- callers, so that two changes of one model queue instead of deadlocking.
-- A tick that only sums up the numbers per stage locks no application table,
-- and whoever wrote those numbers meanwhile would miss its sums: the table of
-- the numbers comes last, as it does for writers.
-- Contacts that are due are judged by the configuration as it was.  If that
-- fails for rules that loop, or a damaged state, the change may be the cure.
CREATE FUNCTION lifecycle.lock_model(model_name text, catch_up boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_model(model_name);
	relation regclass;
BEGIN
	FOREACH relation IN ARRAY ARRAY[m.events, m.deal_contacts, m.deals, m.contacts, m.companies] LOOP
		IF relation IS NOT NULL THEN
			EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation);
		END IF;
	END LOOP;
	EXECUTE format('LOCK TABLE %I.stage_count IN SHARE ROW EXCLUSIVE MODE', m.name);
	IF catch_up THEN
		BEGIN
			PERFORM lifecycle.catch_up(m.name);
		EXCEPTION WHEN program_limit_exceeded OR data_corrupted THEN
			NULL;
		END;
	END IF;
END
$$;

COMMENT ON FUNCTION lifecycle.lock_model(text, boolean) IS
'keeps writers away from a model''s application tables until the transaction ends, and brings contacts that are due up to the clock';

CREATE FUNCTION @extschema@.lifecycle_set(model text, setting text, value text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	given alias FOR value;
	setting_name text;
	new_value text := given;
	valid text[];
	names text[] := '{time_zone,manual_stage,company_stage,contact_stage,page_view_event,page_view_path,notify,outbox_max_tries,outbox_retention,clock,anonymous,history_of_deleted,max_cascade,forecast_best_case,forecast_commit}';
BEGIN
	PERFORM lifecycle.check_argument('setting', setting);
	PERFORM lifecycle.check_argument('value', given);
	setting_name := lower(setting);
	valid := CASE setting_name
		WHEN 'manual_stage' THEN '{allow,forward,clear first,refuse}'::text[]
		WHEN 'company_stage' THEN '{furthest,exact,off}'
		WHEN 'contact_stage' THEN '{company,off}'
		WHEN 'notify' THEN '{on,off}'
		WHEN 'clock' THEN '{transaction,tick}'
		WHEN 'history_of_deleted' THEN '{keep,delete}'
		WHEN 'anonymous' THEN '{ignore,contact}'
	END;

	IF setting_name <> ALL (names) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('setting "%s" does not exist', setting),
			HINT = lifecycle.name_hint(setting, names, 'setting');
	ELSIF valid IS NOT NULL THEN
		new_value := lower(given);
		IF new_value <> ALL (valid) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('setting "%s" cannot be "%s"', setting_name, given),
				HINT = lifecycle.name_hint(given, valid, 'value');
		END IF;
	ELSIF setting_name = 'time_zone' THEN
		SELECT z.name INTO new_value FROM pg_timezone_names z WHERE lower(z.name) = lower(given);
		IF NOT FOUND THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('time zone "%s" is not known', given),
				HINT = concat_ws(' ',
					'Did you mean "' || lifecycle.nearest(given,
						(SELECT array_agg(z.name) FROM pg_timezone_names z)) || '"?',
					'The names are in pg_timezone_names, such as Europe/Helsinki.');
		END IF;
	ELSIF setting_name IN ('max_cascade', 'outbox_max_tries') THEN
		IF given !~ '^[0-9]{1,4}$' OR given::integer NOT BETWEEN 1 AND 1000 THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('setting "%s" cannot be "%s"', setting_name, given),
				HINT = 'Give a whole number from 1 to 1000.';
		END IF;
	ELSIF setting_name = 'outbox_retention' THEN
		PERFORM lifecycle.check_span('setting "outbox_retention"', given::interval);
	ELSIF setting_name IN ('forecast_best_case', 'forecast_commit') THEN
		IF given !~ '^[0-9]{1,3}(\.[0-9]+)?$' OR given::numeric > 100 THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('setting "%s" cannot be "%s"', setting_name, given),
				HINT = 'Give a probability in percent, from 0 to 100.';
		END IF;
	ELSIF setting_name = 'page_view_event' THEN
		PERFORM lifecycle.check_name('event', given);
	ELSIF btrim(given) = '' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'setting "page_view_path" must not be empty',
			HINT = 'Give an expression over an event row, such as properties->>''path''.';
	END IF;

	PERFORM lifecycle.lock_model(m.name);
	EXECUTE format('UPDATE %I.setting SET value = $1 WHERE name = $2', m.name)
		USING new_value, setting_name;
	PERFORM lifecycle.reload(m.name);
	IF setting_name IN ('page_view_event', 'page_view_path') AND m.events IS NOT NULL THEN
		-- an expression that is no path is refused here, not at the first event
		PERFORM lifecycle.compile(m.name, 'visited(''/'')', 'predicate');
	END IF;
	IF setting_name IN ('page_view_event', 'page_view_path', 'time_zone', 'clock') THEN
		PERFORM lifecycle.compile_segments(m.name);
		PERFORM lifecycle.reload(m.name);
		PERFORM lifecycle.take_in(m.name);
	ELSIF setting_name IN ('company_stage', 'contact_stage') THEN
		PERFORM lifecycle.take_in(m.name);
	ELSIF setting_name = 'anonymous' THEN
		PERFORM lifecycle.identify_strangers(m.name);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_set(text, text, text) IS
'changes a setting of a model; raises 42704 for an unknown setting and 22023 for a value that it cannot have';


/* ---- the end of a model ---- */

-- Puts right what the registry says and what is no longer so: a model whose
-- schema or contacts table is gone is forgotten, and a trigger of ours on a
-- table of no model is dropped.  It runs as the extension's owner, but does
-- only what the catalogs call for, so that anybody may call it.
CREATE FUNCTION lifecycle.tidy() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m record;
	orphan record;
BEGIN
	FOR m IN
		SELECT d.name FROM lifecycle.model d
		WHERE NOT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = d.name)
		   OR NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = d.contacts)
	LOOP
		DELETE FROM lifecycle.model d WHERE d.name = m.name;
		RAISE NOTICE 'model "%" is no longer maintained, because its schema or its contacts table was dropped', m.name;
	END LOOP;

	FOR m IN
		SELECT d.name, o.object FROM lifecycle.model d
		CROSS JOIN LATERAL (VALUES (1, 'companies', d.companies), (2, 'deals', d.deals), (3, 'events', d.events), (4, 'deal_contacts', d.deal_contacts)) o (n, object, relation)
		WHERE o.relation IS NOT NULL
		  AND (NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = o.relation)
			   OR o.object = 'deal_contacts' AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = d.deals))
		ORDER BY d.name, o.n
	LOOP
		EXECUTE format('UPDATE lifecycle.model SET %I = NULL WHERE name = $1', m.object) USING m.name;
		DELETE FROM lifecycle.model_column c
		WHERE c.model = m.name AND (c.object = m.object OR m.object = 'companies' AND c.role = 'company');
		PERFORM lifecycle.reload(m.name);
		RAISE NOTICE 'model "%" has no % any more, because the table was dropped', m.name, replace(m.object, '_', ' ');
	END LOOP;

	FOR orphan IN
		SELECT t.tgname, t.tgrelid::regclass AS relation
		FROM pg_trigger t
		JOIN pg_proc p ON p.oid = t.tgfoid
		JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname = 'lifecycle'
		WHERE NOT t.tgisinternal AND t.tgparentid = 0
		  AND t.tgname IN ('lifecycle_check', 'lifecycle_insert', 'lifecycle_update', 'lifecycle_delete', 'lifecycle_truncate')
		  AND NOT EXISTS (
			SELECT FROM lifecycle.model d
			WHERE coalesce(pg_partition_root(t.tgrelid), t.tgrelid) IN (d.contacts, d.companies, d.deals, d.events, d.deal_contacts))
	LOOP
		EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', orphan.tgname, orphan.relation);
	END LOOP;
END
$$;

COMMENT ON FUNCTION lifecycle.tidy() IS
'forgets models whose tables are gone, and drops triggers of lifecycle from tables that belong to no model';

CREATE FUNCTION @extschema@.lifecycle_detach(model text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	index_name regclass;
BEGIN
	PERFORM lifecycle.lock_model(m.name, false);
	-- is_open is nobody's care from now on, and must not refuse the user's rows
	FOR index_name IN
		SELECT i.indexrelid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE i.indrelid = m.deals AND c.relname ~ '^lifecycle_one_open_deal(_[0-9]+)?$'
	LOOP
		EXECUTE format('DROP INDEX %s', index_name);
	END LOOP;
	-- the views would keep the user from changing columns that they read
	PERFORM lifecycle.drop_views(m.name);
	PERFORM lifecycle.reload(m.name);
	DELETE FROM lifecycle.model d WHERE d.name = m.name;
	PERFORM lifecycle.tidy();
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_detach(text) IS
'ends the maintenance of a model: its triggers, its views and the index on open deals go; your tables, the columns that were added, and the model''s schema with its history stay, and DROP SCHEMA removes the latter';

-- DROP SCHEMA CASCADE would send a NOTICE for each of our own tables, hence
-- the setting.
CREATE FUNCTION @extschema@.lifecycle_drop(model text, cascade boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_own_model(model);
	own text[] := lifecycle.own_tables();
	others text[];
BEGIN
	PERFORM lifecycle.check_argument('cascade', lifecycle_drop.cascade);
	IF m.embedded THEN
		own := own || '{contacts,companies,deals,events}';
	END IF;
	IF NOT lifecycle_drop.cascade THEN
		SELECT array_agg(DISTINCT o.name ORDER BY o.name) INTO others
		FROM (
			-- tables that the user keeps in the model's schema
			SELECT 'table ' || c.oid::regclass AS name
			FROM pg_class c
			WHERE c.relnamespace = quote_ident(m.name)::regnamespace
			  AND c.relkind IN ('r', 'p', 'f', 'm')
			  AND NOT c.relispartition AND c.relname <> ALL (own)
			UNION ALL
			-- views elsewhere that read from it
			SELECT 'view ' || v.oid::regclass
			FROM pg_depend d
			JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
			JOIN pg_class v ON v.oid = r.ev_class
			JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
			WHERE c.relnamespace = quote_ident(m.name)::regnamespace
			  AND v.relnamespace <> c.relnamespace
			UNION ALL
			-- foreign keys elsewhere that refer to it
			SELECT 'foreign key ' || quote_ident(k.conname) || ' of table ' || k.conrelid::regclass
			FROM pg_constraint k
			JOIN pg_class c ON c.oid = k.confrelid
			JOIN pg_class f ON f.oid = k.conrelid
			WHERE k.contype = 'f' AND c.relnamespace = quote_ident(m.name)::regnamespace
			  AND f.relnamespace <> c.relnamespace
		) o;
		IF others IS NOT NULL THEN
			RAISE EXCEPTION USING
				ERRCODE = 'dependent_objects_still_exist',
				MESSAGE = format('cannot drop model "%s" because other objects depend on it', m.name),
				DETAIL = format('They are: %s.', array_to_string(others, ', ')),
				HINT = format('Use SELECT lifecycle_drop(%L, cascade => true) to drop them too.', m.name);
		END IF;
	END IF;
	IF lifecycle_drop.cascade THEN
		-- together with what the user built on them
		EXECUTE (SELECT 'DROP VIEW ' || string_agg(format('%I.%I', m.name, v), ', ') || ' CASCADE' FROM lifecycle.existing_views(m.name) v);
		EXECUTE format('DROP FUNCTION %1$I.funnel_at(timestamptz), %1$I.stage_at(timestamptz) CASCADE', m.name);
	END IF;
	PERFORM @extschema@.lifecycle_detach(m.name);
	EXECUTE format('DROP SCHEMA %I CASCADE', m.name);
END
$$;

COMMENT ON FUNCTION @extschema@.lifecycle_drop(text, boolean) IS
'detaches a model and drops its schema with all history; if lifecycle_create made the contacts, companies, deals and events they go too, attached tables stay; raises 2BP01 if other objects depend on it, unless cascade is true';
