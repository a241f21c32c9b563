-- Appends of batches that do nothing else, in their order; the heads that are there are locked. `p_heads[n]` says which
-- of `p_streams` (each there once) gets the n-th body. The numbers that they got.
CREATE OR REPLACE FUNCTION hive.apply_appends(
    p_ns int, p_version bigint, p_at bigint, p_streams text[], p_heads int[], p_bodies bytea[], p_raws boolean[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_counts bigint[];
    v_before bigint[];
    v_seqs bigint[];
    v_rows int;
    v_made int;
BEGIN
    SELECT array_agg(c.count ORDER BY c.head) INTO v_counts
    FROM (SELECT head, count(*) FROM unnest(p_heads) head GROUP BY head) c;
    UPDATE hive.streams s SET last = s.last + u.count, dropped = false, version = p_version
    FROM unnest(p_streams, v_counts) u(stream, count) WHERE s.ns = p_ns AND s.stream = u.stream;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    IF v_rows < cardinality(p_streams) THEN
        INSERT INTO hive.streams (ns, stream, version, first, last, dropped)
        SELECT p_ns, u.stream, p_version, 1, u.count, false FROM unnest(p_streams, v_counts) u(stream, count)
        WHERE NOT EXISTS (SELECT 1 FROM hive.streams s WHERE s.ns = p_ns AND s.stream = u.stream OFFSET 0)
        ORDER BY u.stream COLLATE "C"
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS v_made = ROW_COUNT;
        IF v_rows + v_made < cardinality(p_streams) THEN
            RAISE EXCEPTION USING ERRCODE = 'HS001', MESSAGE = 'a stream was made meanwhile';
        END IF;
    END IF;
    v_before := ARRAY(
        SELECT s.last - u.count FROM unnest(p_streams, v_counts) WITH ORDINALITY u(stream, count, n), LATERAL (
            SELECT last FROM hive.streams WHERE ns = p_ns AND stream = u.stream OFFSET 0) s
        ORDER BY u.n);
    SELECT array_agg(v_before[g.head] + g.nth ORDER BY g.n) INTO v_seqs
    FROM (SELECT head, n, row_number() OVER (PARTITION BY head ORDER BY n) AS nth
          FROM unnest(p_heads) WITH ORDINALITY u(head, n)) g;
    INSERT INTO hive.events (ns, stream, seq, version, body, raw, at)
    SELECT p_ns, p_streams[u.head], u.seq, p_version, u.body, u.raw, p_at
    FROM unnest(p_heads, v_seqs, p_bodies, p_raws) u(head, seq, body, raw);
    RETURN v_seqs;
END $$;
