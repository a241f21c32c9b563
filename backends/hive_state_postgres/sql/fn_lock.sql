-- Everything present that a trip is decided from or changes: records by key, then tasks by id. What is found only by
-- reading (children of what is completed, holders of dedupe places) is read again once it is locked.
-- LATERAL with OFFSET 0, here and elsewhere: one look-up by index for each name, whatever the planner thinks of a table.
-- What is absent cannot be locked: two trips that make it meet in a unique index, and the second starts anew.
CREATE OR REPLACE FUNCTION hive.named_tasks(
    p_ns int, p_ids text[], p_completes text[], p_dedupe_queues text[], p_dedupe_keys text[], p_redrives text[]
) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT array_agg(id) FROM (
        SELECT id FROM unnest(p_ids) u(id)
        UNION
        SELECT c.child FROM unnest(p_completes) u(id), LATERAL (
            SELECT child FROM hive.task_children WHERE ns = p_ns AND parent = u.id OFFSET 0) c
        UNION
        SELECT t.id FROM unnest(p_dedupe_queues, p_dedupe_keys) u(queue, key), LATERAL (
            SELECT id FROM hive.tasks WHERE ns = p_ns AND queue = u.queue AND dedupe_key = u.key
                AND dedupe_key IS NOT NULL AND finished_at IS NULL OFFSET 0) t
        UNION
        SELECT h.id FROM unnest(p_redrives) u(id), LATERAL (
            SELECT queue, dedupe_key FROM hive.tasks WHERE ns = p_ns AND id = u.id OFFSET 0) t, LATERAL (
            SELECT id FROM hive.tasks WHERE ns = p_ns AND queue = t.queue AND dedupe_key = t.dedupe_key
                AND dedupe_key IS NOT NULL AND finished_at IS NULL OFFSET 0) h
    ) named);
END $$;
-- Whether others wait for one of these tasks.
CREATE OR REPLACE FUNCTION hive.have_children(p_ns int, p_ids text[]) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT EXISTS (
            SELECT 1 FROM unnest(p_ids) u(id), LATERAL (
                SELECT 1 FROM hive.task_children WHERE ns = p_ns AND parent = u.id OFFSET 0) c));
END $$;
CREATE OR REPLACE FUNCTION hive.lock(
    p_ns int, p_collections text[], p_keys text[], p_ids text[], p_completes text[],
    p_dedupe_queues text[], p_dedupe_keys text[], p_redrives text[]
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_named text[];
BEGIN
    IF cardinality(p_keys) > 0 THEN
        PERFORM 1 FROM (
            SELECT u.collection, u.key FROM unnest(p_collections, p_keys) u(collection, key)
            ORDER BY u.collection COLLATE "C", u.key COLLATE "C"
        ) u, LATERAL (
            SELECT 1 FROM hive.records r
            WHERE r.ns = p_ns AND r.collection = u.collection AND r.key = u.key FOR UPDATE
        ) r;
    END IF;
    IF cardinality(p_completes) + cardinality(p_dedupe_keys) + cardinality(p_redrives) = 0 THEN
        IF cardinality(p_ids) > 0 THEN
            PERFORM 1 FROM hive.tasks t WHERE t.ns = p_ns AND t.id = ANY (p_ids) ORDER BY t.id FOR UPDATE;
        END IF;
        RETURN true;
    END IF;
    v_named := hive.named_tasks(p_ns, p_ids, p_completes, p_dedupe_queues, p_dedupe_keys, p_redrives);
    PERFORM 1 FROM hive.tasks t WHERE t.ns = p_ns AND t.id = ANY (v_named) ORDER BY t.id FOR UPDATE;
    IF EXISTS (
        SELECT unnest(hive.named_tasks(p_ns, p_ids, p_completes, p_dedupe_queues, p_dedupe_keys, p_redrives))
        EXCEPT SELECT unnest(v_named)
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'HS001', MESSAGE = 'what the trip depends on changed while it was locked';
    END IF;
    RETURN true;
END $$;
