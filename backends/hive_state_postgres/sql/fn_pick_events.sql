-- What a group may be handed at `p_at`, if it is locked (`p_ready`): deliveries that are due again, then events beyond its
-- position, up to `p_limit` and until bodies pass `p_room` bytes (one at least, if there is any room). Deliveries that are
-- used up become dead instead, at most `p_turn`. `cut`: something that is due was left; NULL: there is no such group.
CREATE OR REPLACE FUNCTION hive.pick_events(
    p_ns int, p_version bigint, p_at bigint, p_stream text, p_group text, p_ready boolean, p_limit int, p_room bigint,
    p_turn int, OUT seqs bigint[], OUT bytes bigint, OUT cut boolean, OUT changed boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_position bigint;
    v_most int;
    v_again bigint[];
    v_dead int;
BEGIN
    seqs := '{}';
    bytes := 0;
    changed := false;
    SELECT position, max_deliveries INTO v_position, v_most FROM hive.groups
    WHERE ns = p_ns AND stream = p_stream AND grp = p_group;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    cut := false;
    IF p_ready THEN
        v_again := ARRAY(
            SELECT d.seq FROM (
                SELECT seq FROM hive.pending
                WHERE ns = p_ns AND stream = p_stream AND grp = p_group AND NOT dead AND until <= p_at
                  AND deliveries < v_most OFFSET 0) d
            ORDER BY d.seq LIMIT p_limit);
        v_dead := hive.use_up(p_ns, p_version, p_at, p_stream, p_group, v_most, v_again[p_limit], p_turn);
        WITH sized AS (
            SELECT a.seq, e.size FROM unnest(v_again) a(seq), LATERAL (
                SELECT octet_length(body)::bigint AS size FROM hive.events
                WHERE ns = p_ns AND stream = p_stream AND seq = a.seq OFFSET 0) e
            UNION ALL
            (SELECT seq, octet_length(body)::bigint FROM hive.events
             WHERE ns = p_ns AND stream = p_stream AND seq > v_position ORDER BY seq LIMIT p_limit)
        ), summed AS (
            SELECT seq, size, sum(size) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) - size AS before
            FROM sized ORDER BY seq LIMIT p_limit
        )
        SELECT coalesce(array_agg(seq ORDER BY seq) FILTER (WHERE before <= p_room), '{}'),
               coalesce(sum(size) FILTER (WHERE before <= p_room), 0)::bigint,
               coalesce(bool_or(before > p_room), false) OR v_dead = p_turn
        INTO seqs, bytes, cut FROM summed;
        changed := v_dead > 0 OR cardinality(seqs) > 0;
    END IF;
END $$;
-- Deliveries below a seq (NULL: all) whose last lease ran out become dead; how many.
CREATE OR REPLACE FUNCTION hive.use_up(
    p_ns int, p_version bigint, p_at bigint, p_stream text, p_group text, p_most int, p_below bigint,
    p_turn int
) RETURNS int LANGUAGE plpgsql AS $$
DECLARE v_rows int;
BEGIN
    UPDATE hive.pending SET dead = true, version = p_version, token = 0,
        error = CASE WHEN token > 0 THEN 'lease expired' ELSE error END
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM hive.pending
        WHERE ns = p_ns AND stream = p_stream AND grp = p_group AND NOT dead AND until <= p_at
          AND deliveries >= p_most AND (p_below IS NULL OR seq < p_below) LIMIT p_turn));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    IF v_rows > 0 THEN
        UPDATE hive.groups SET version = p_version WHERE ns = p_ns AND stream = p_stream AND grp = p_group;
    END IF;
    RETURN v_rows;
END $$;
-- When the next of a group's deliveries is due, NULL: none will be.
CREATE OR REPLACE FUNCTION hive.next_delivery(p_ns int, p_at bigint, p_stream text, p_group text)
RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT greatest(until, p_at) FROM hive.pending
            WHERE ns = p_ns AND stream = p_stream AND grp = p_group AND NOT dead ORDER BY until LIMIT 1);
END $$;
