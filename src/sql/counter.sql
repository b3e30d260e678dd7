/*
 * What the engine did in this session.
 */

CREATE FUNCTION lifecycle.counters()
RETURNS TABLE (counter text, number bigint)
AS 'MODULE_PATHNAME', 'counters' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION lifecycle.counters() IS
'what the engine did in this session since it began: rows of events looked at, filters evaluated, state rows read, contacts for whom nothing could change and contacts decided about, segments evaluated, statements that looked at events, states written and overwritten in place, memberships changed, runs of the engine begun, statements run';
