-- The first of the deliveries named by an Ack, Nack or ExtendDeliveries that is not current, as a refusal; NULL: all are.
CREATE OR REPLACE FUNCTION hive.stale_delivery(p_ns int, p_op jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object('f', 'lease', 'r', jsonb_build_array('g', p_op->>'s', p_op->>'g'), 'k', false,
                                  'e', u.pair->1, 'a', coalesce(p.token, 0), 'q', u.pair->0)
        FROM jsonb_array_elements(p_op->'d') WITH ORDINALITY u(pair, n) LEFT JOIN LATERAL (
            SELECT token, dead FROM hive.pending
            WHERE ns = p_ns AND stream = p_op->>'s' AND grp = p_op->>'g' AND seq = (u.pair->>0)::bigint OFFSET 0
        ) p ON true
        WHERE p.token IS DISTINCT FROM (u.pair->>1)::bigint OR p.token = 0 AND (NOT p.dead OR p_op->>'k' = 'extend')
        ORDER BY u.n LIMIT 1);
END $$;
