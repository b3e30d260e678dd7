/*
 * Consumers of the outbox.
 *
 * The table outbox itself is only inserted into, and deleted from when a
 * message has been handled, so that logical decoding (Debezium's outbox event
 * router) sees one INSERT a message and nothing else.  Who took a message and
 * how often is in outbox_delivery, one row for each message that was taken.
 *
 * To take, a consumer locks messages that nobody else has locked (SKIP
 * LOCKED), and looks at their deliveries only then, in a statement of its
 * own: under READ COMMITTED that sees what the one before it has committed.
 * Under REPEATABLE READ it cannot, and the upsert raises a serialization
 * failure instead of taking a message twice.  After the visibility time a
 * message that was not acknowledged can be taken again: a consumer that dies
 * loses nothing, and a message can come twice, never not at all.
 *
 * To follow by position, transactions are compared and not the sequence: a
 * number is given when a message is written, not when it is committed.  All
 * messages of transactions below pg_snapshot_xmin are committed or gone, and
 * no later one can get such a transaction.
 *
 * Everything runs with the caller's rights on the two tables.
 */

CREATE FUNCTION lifecycle.check_messages(max_messages integer) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF coalesce(max_messages, 0) < 1 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('max_messages cannot be %s', coalesce(max_messages::text, 'null')),
			HINT = 'Give a whole number from 1 on.';
	END IF;
END
$$;
COMMENT ON FUNCTION lifecycle.check_messages(integer) IS 'raises 22023 unless this is a number of messages to ask for';

CREATE FUNCTION lifecycle.check_span(argument text, span interval) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF span IS NULL OR span < '0' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('%s cannot be %s', argument, coalesce(span::text, 'null')),
			HINT = 'Give an interval of zero or more, such as ''5 minutes''.';
	END IF;
END
$$;
COMMENT ON FUNCTION lifecycle.check_span(text, interval) IS 'raises 22023 unless this is an interval of zero or more';

CREATE FUNCTION @extschema@.lifecycle_take(
	model text, max_messages integer DEFAULT 100, visibility interval DEFAULT '5 minutes', types text[] DEFAULT NULL)
RETURNS TABLE (id bigint, aggregatetype text, aggregateid text, type text, payload jsonb, created_at timestamptz, tries integer)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	m lifecycle.model := lifecycle.find_model(model);
	max_tries integer := lifecycle.get_setting(m.name, 'outbox_max_tries');
	locked bigint[];
BEGIN
	PERFORM lifecycle.check_messages(max_messages);
	PERFORM lifecycle.check_span('visibility', visibility);
	EXECUTE format($sql$
		SELECT array_agg(l.id) FROM (
			SELECT o.id FROM %1$I.outbox o
			WHERE ($2 IS NULL OR o.type = ANY ($2))
			  AND NOT EXISTS (
				SELECT FROM %1$I.outbox_delivery d
				WHERE d.id = o.id AND (d.visible_at > clock_timestamp() OR d.acknowledged_at IS NOT NULL OR d.dead_at IS NOT NULL))
			ORDER BY o.id LIMIT $1
			FOR UPDATE OF o SKIP LOCKED) l $sql$, m.name)
		INTO locked USING max_messages, types;

	RETURN QUERY EXECUTE format($sql$
		WITH taken AS (
			INSERT INTO %1$I.outbox_delivery AS d (id, visible_at)
			SELECT l, clock_timestamp() + $2 FROM unnest($1) l
			ON CONFLICT (id) DO UPDATE
			SET tries = d.tries + (d.tries < $3)::int,
				visible_at = excluded.visible_at,
				dead_at = CASE WHEN d.tries >= $3 THEN clock_timestamp() END
			WHERE d.visible_at <= clock_timestamp() AND d.acknowledged_at IS NULL AND d.dead_at IS NULL
			RETURNING d.id, d.tries, d.dead_at)
		SELECT o.id, o.aggregatetype, o.aggregateid, o.type, o.payload, o.created_at, t.tries
		FROM taken t JOIN %1$I.outbox o ON o.id = t.id
		WHERE t.dead_at IS NULL
		ORDER BY o.id $sql$, m.name)
		USING locked, visibility, max_tries;
END
$$;
COMMENT ON FUNCTION @extschema@.lifecycle_take(text, integer, interval, text[]) IS
'takes up to so many messages from the outbox, the oldest first, of these types or all, that nobody else has in work; they can be taken again after the visibility time unless they were acknowledged, and are dead after as many tries as the setting outbox_max_tries says; needs SELECT and UPDATE on outbox, SELECT, INSERT and UPDATE on outbox_delivery; raises 22023 for a number below one or a negative interval';

CREATE FUNCTION @extschema@.lifecycle_acknowledge(model text, ids bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_model(model);
	retention interval := lifecycle.get_setting(m.name, 'outbox_retention');
	handled bigint;
BEGIN
	IF retention = '0' THEN
		EXECUTE format('DELETE FROM %I.outbox WHERE id = ANY ($1)', m.name) USING ids;
		GET DIAGNOSTICS handled = ROW_COUNT;
		RETURN handled;
	END IF;
	EXECUTE format($sql$
		INSERT INTO %1$I.outbox_delivery AS d (id, tries, visible_at, acknowledged_at)
		SELECT o.id, 0, clock_timestamp(), clock_timestamp() FROM %1$I.outbox o WHERE o.id = ANY ($1)
		ON CONFLICT (id) DO UPDATE SET acknowledged_at = excluded.acknowledged_at, dead_at = NULL
		WHERE d.acknowledged_at IS NULL $sql$, m.name) USING ids;
	GET DIAGNOSTICS handled = ROW_COUNT;
	EXECUTE format($sql$
		DELETE FROM %1$I.outbox o USING %1$I.outbox_delivery d
		WHERE d.id = o.id AND d.acknowledged_at <= clock_timestamp() - $1 $sql$, m.name) USING retention;
	RETURN handled;
END
$$;
COMMENT ON FUNCTION @extschema@.lifecycle_acknowledge(text, bigint[]) IS
'messages that were handled: they are deleted, at once or when the setting outbox_retention has passed; returns how many were not acknowledged before; needs SELECT and DELETE on outbox, SELECT, INSERT and UPDATE on outbox_delivery';

CREATE FUNCTION @extschema@.lifecycle_reject(
	model text, id bigint, error text, retry_after interval DEFAULT '1 minute') RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_model(model);
	max_tries integer := lifecycle.get_setting(m.name, 'outbox_max_tries');
	again boolean;
BEGIN
	PERFORM lifecycle.check_span('retry_after', retry_after);
	EXECUTE format($sql$
		UPDATE %I.outbox_delivery d
		SET last_error = $2, visible_at = clock_timestamp() + $3,
			dead_at = CASE WHEN d.tries >= $4 THEN clock_timestamp() END
		WHERE d.id = $1 AND d.acknowledged_at IS NULL AND d.dead_at IS NULL
		RETURNING d.dead_at IS NULL $sql$, m.name)
		INTO again USING id, error, retry_after, max_tries;
	IF again IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'no_data_found',
			MESSAGE = format('message %s of model "%s" is not in work', coalesce(id::text, 'null'), m.name),
			HINT = 'Take it with lifecycle_take first.';
	END IF;
	RETURN again;
END
$$;
COMMENT ON FUNCTION @extschema@.lifecycle_reject(text, bigint, text, interval) IS
'a message could not be handled: the error is kept, and it can be taken again after a while, or is dead if it was tried as often as the setting outbox_max_tries says; returns whether it will be tried again; raises 02000 if it was not taken, or is acknowledged or dead';

CREATE FUNCTION @extschema@.lifecycle_requeue(model text, ids bigint[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_model(model);
	revived bigint;
BEGIN
	EXECUTE format($sql$
		UPDATE %I.outbox_delivery SET tries = 0, visible_at = clock_timestamp(), dead_at = NULL
		WHERE dead_at IS NOT NULL AND ($1 IS NULL OR id = ANY ($1)) $sql$, m.name) USING ids;
	GET DIAGNOSTICS revived = ROW_COUNT;
	RETURN revived;
END
$$;
COMMENT ON FUNCTION @extschema@.lifecycle_requeue(text, bigint[]) IS
'dead messages, these or all, can be taken again as if they had never been; returns how many; needs SELECT and UPDATE on outbox_delivery';

CREATE FUNCTION @extschema@.lifecycle_follow(
	model text, after_transaction xid8 DEFAULT '0', after_id bigint DEFAULT 0, max_messages integer DEFAULT 100)
RETURNS TABLE (transaction_id xid8, id bigint, aggregatetype text, aggregateid text, type text, payload jsonb, created_at timestamptz)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	m lifecycle.model := lifecycle.find_model(model);
	latest xid8;
BEGIN
	PERFORM lifecycle.check_argument('after_transaction', after_transaction::text);
	PERFORM lifecycle.check_argument('after_id', after_id);
	PERFORM lifecycle.check_messages(max_messages);
	-- our own transaction may be later than all that its snapshot knows of
	EXECUTE format('SELECT max(transaction_id) FROM %I.outbox WHERE transaction_id IS DISTINCT FROM pg_current_xact_id_if_assigned()', m.name)
		INTO latest;
	IF greatest(after_transaction, latest) >= pg_snapshot_xmax(pg_current_snapshot()) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = CASE WHEN latest >= pg_snapshot_xmax(pg_current_snapshot())
				THEN format('the outbox of model "%s" has messages of another cluster', m.name)
				ELSE format('transaction %s is none of this cluster', after_transaction) END,
			DETAIL = 'Positions are valid in the cluster, and its standbys, that the messages were written in.',
			HINT = format('After restoring a dump use UPDATE %I.outbox SET transaction_id = DEFAULT, and begin anew without a position.', m.name);
	END IF;
	RETURN QUERY EXECUTE format($sql$
		SELECT o.transaction_id, o.id, o.aggregatetype, o.aggregateid, o.type, o.payload, o.created_at
		FROM %I.outbox o
		WHERE (o.transaction_id, o.id) > ($1, $2)
		  AND o.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
		ORDER BY o.transaction_id, o.id LIMIT $3 $sql$, m.name)
		USING after_transaction, after_id, max_messages;
END
$$;
COMMENT ON FUNCTION @extschema@.lifecycle_follow(text, xid8, bigint, integer) IS
'messages after a position, which is transaction_id and id of the last one that was read, in an order in which none that is committed later comes before one that was read; a message shows up when all transactions that began before its own are over; needs SELECT on outbox; raises 55000 for a position or messages of another cluster';

CREATE FUNCTION @extschema@.lifecycle_clean_outbox(model text, older_than interval) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m lifecycle.model := lifecycle.find_model(model);
	deleted bigint;
BEGIN
	PERFORM lifecycle.check_span('older_than', older_than);
	EXECUTE format('DELETE FROM %I.outbox WHERE created_at < clock_timestamp() - $1', m.name) USING older_than;
	GET DIAGNOSTICS deleted = ROW_COUNT;
	RETURN deleted;
END
$$;
COMMENT ON FUNCTION @extschema@.lifecycle_clean_outbox(text, interval) IS
'deletes all messages that were written longer ago, handled or not, dead ones too, and returns how many; for models whose messages nobody acknowledges; needs SELECT and DELETE on outbox';
