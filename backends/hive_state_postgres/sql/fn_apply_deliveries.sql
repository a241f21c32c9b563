-- One Ack, Nack or ExtendDeliveries of the general path, whose group is locked: the refusal because of the first delivery
-- that is not current, or whether there was any.
CREATE OR REPLACE FUNCTION hive.apply_deliveries(
    p_ns int, p_version bigint, p_at bigint, p_op jsonb, OUT result jsonb, OUT changed boolean, OUT refusal jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_ms bigint := (p_op->>'l')::bigint;
    v_spent boolean := (p_op->>'r')::boolean;
    v_most int;
    v_tids tid[];
BEGIN
    refusal := hive.stale_delivery(p_ns, p_op);
    changed := refusal IS NULL AND jsonb_array_length(p_op->'d') > 0;
    IF NOT changed THEN
        RETURN;
    END IF;
    v_tids := ARRAY(
        SELECT p.tid FROM jsonb_array_elements(p_op->'d') pair, LATERAL (
            SELECT ctid AS tid FROM hive.pending
            WHERE ns = p_ns AND stream = p_op->>'s' AND grp = p_op->>'g' AND seq = (pair->>0)::bigint OFFSET 0) p);
    UPDATE hive.groups SET version = p_version
    WHERE ns = p_ns AND stream = p_op->>'s' AND grp = p_op->>'g'
    RETURNING max_deliveries INTO v_most;
    CASE p_op->>'k'
    WHEN 'ack' THEN
        DELETE FROM hive.pending WHERE ctid = ANY (v_tids);
    WHEN 'extend' THEN
        UPDATE hive.pending SET version = p_version, until = greatest(until, p_at + v_ms) WHERE ctid = ANY (v_tids);
    WHEN 'nack' THEN
        UPDATE hive.pending p
        SET version = p_version, token = 0, error = p_op->>'x', deliveries = n.deliveries, dead = n.dead,
            until = CASE WHEN n.dead THEN p.until ELSE p_at + v_ms END
        FROM (
            SELECT o.ctid AS tid, CASE WHEN o.dead THEN 0 ELSE o.deliveries - (NOT v_spent)::int END AS deliveries,
                   v_ms IS NULL OR v_spent AND NOT o.dead AND o.deliveries >= v_most AS dead
            FROM hive.pending o WHERE o.ctid = ANY (v_tids) OFFSET 0
        ) n
        WHERE p.ctid = n.tid;
    END CASE;
END $$;
