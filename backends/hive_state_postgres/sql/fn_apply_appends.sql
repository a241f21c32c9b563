-- Appends of flat batches, in their order; the heads that are there are locked. `p_heads[n]` says which of `p_streams`
-- (each there once) gets the n-th body. The numbers that they got, NULL for those of refused batches.
-- A head that was absent then may be there now, with a later version than the trip's: that begins anew.
CREATE OR REPLACE FUNCTION hive.apply_appends(
    p_ns int, p_version bigint, p_at bigint, p_places int[], p_streams text[], p_heads int[], p_bodies bytea[],
    p_raws boolean[], p_refused int[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_counts bigint[];
    v_before bigint[];
    v_seqs bigint[];
    v_all int;
    v_rows int;
    v_made int;
BEGIN
    SELECT array_agg(c.count ORDER BY c.head), count(*) FILTER (WHERE c.count > 0) INTO v_counts, v_all
    FROM (SELECT u.head, count(*) FILTER (WHERE u.place <> ALL (p_refused)) AS count
          FROM unnest(p_heads, p_places) u(head, place) GROUP BY u.head) c;
    UPDATE hive.streams s SET last = s.last + u.count, dropped = false, version = p_version
    FROM unnest(p_streams, v_counts) u(stream, count) WHERE s.ns = p_ns AND s.stream = u.stream AND u.count > 0
      AND s.version < p_version;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    IF v_rows < v_all THEN
        INSERT INTO hive.streams (ns, stream, version, first, last, dropped)
        SELECT p_ns, u.stream, p_version, 1, u.count, false FROM unnest(p_streams, v_counts) u(stream, count)
        WHERE u.count > 0 AND NOT EXISTS (SELECT 1 FROM hive.streams s WHERE s.ns = p_ns AND s.stream = u.stream OFFSET 0)
        ORDER BY u.stream COLLATE "C"
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS v_made = ROW_COUNT;
        IF v_rows + v_made < v_all THEN
            RAISE EXCEPTION USING ERRCODE = 'HS001', MESSAGE = 'a stream was made meanwhile';
        END IF;
    END IF;
    v_before := ARRAY(
        SELECT s.last - u.count FROM unnest(p_streams, v_counts) WITH ORDINALITY u(stream, count, n)
        LEFT JOIN LATERAL (SELECT last FROM hive.streams WHERE ns = p_ns AND stream = u.stream OFFSET 0) s ON true
        ORDER BY u.n);
    SELECT array_agg(CASE WHEN g.goes THEN v_before[g.head] + g.nth END ORDER BY g.n) INTO v_seqs
    FROM (SELECT u.head, u.n, f.goes, row_number() OVER (PARTITION BY u.head, f.goes ORDER BY u.n) AS nth
          FROM unnest(p_heads, p_places) WITH ORDINALITY u(head, place, n),
               LATERAL (SELECT u.place <> ALL (p_refused) AS goes) f) g;
    INSERT INTO hive.events (ns, stream, seq, version, body, raw, at)
    SELECT p_ns, p_streams[u.head], u.seq, p_version, u.body, u.raw, p_at
    FROM unnest(p_heads, v_seqs, p_bodies, p_raws) u(head, seq, body, raw) WHERE u.seq IS NOT NULL;
    RETURN v_seqs;
END $$;
