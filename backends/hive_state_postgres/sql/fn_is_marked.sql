-- Whether one of the sinks still has to be told of the entity: looked up by its key, see marks_clear.
CREATE OR REPLACE FUNCTION hive.is_marked(p_ns int, p_sinks text[], p_kind text, p_name text, p_part text, p_seq bigint)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT 1 FROM unnest(p_sinks) s, LATERAL (
            SELECT 1 FROM hive.marks m
            WHERE m.ns = p_ns AND m.sink = s AND m.kind = p_kind AND m.name = p_name AND m.part = p_part
              AND m.seq BETWEEN p_seq AND p_seq
            ORDER BY m.seq LIMIT 1) one)
$$;
