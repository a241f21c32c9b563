-- Gives events of a group to those who claim them: `p_slots[n]` is whose the n-th of `p_seqs` is, which are in order.
CREATE OR REPLACE FUNCTION hive.hand_out(
    p_ns int, p_version bigint, p_at bigint, p_stream text, p_group text, p_seqs bigint[], p_slots int[],
    p_consumers text[], p_leases bigint[]
) RETURNS TABLE (slot int, seq bigint, version bigint, body bytea, raw boolean, at bigint, deliveries int, until bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH handed AS (
        INSERT INTO hive.pending AS p (ns, stream, grp, seq, version, token, deliveries, consumer, until, dead)
        SELECT p_ns, p_stream, p_group, u.seq, p_version, p_version, 1, p_consumers[u.slot], p_at + p_leases[u.slot],
               false
        FROM unnest(p_seqs, p_slots) u(seq, slot)
        ON CONFLICT (ns, stream, grp, seq) DO UPDATE
        SET version = excluded.version, token = excluded.token, deliveries = p.deliveries + 1,
            consumer = excluded.consumer, until = excluded.until,
            error = CASE WHEN p.token > 0 THEN 'lease expired' ELSE p.error END
        RETURNING seq, deliveries, until
    )
    SELECT p_slots[h.nth], h.seq, e.version, e.body, e.raw, e.at, h.deliveries, h.until
    FROM (SELECT *, row_number() OVER (ORDER BY seq) AS nth FROM handed) h, LATERAL (
        SELECT * FROM hive.events WHERE ns = p_ns AND stream = p_stream AND seq = h.seq OFFSET 0) e;
    UPDATE hive.groups SET version = p_version, position = greatest(position, p_seqs[cardinality(p_seqs)])
    WHERE ns = p_ns AND stream = p_stream AND grp = p_group;
END $$;
