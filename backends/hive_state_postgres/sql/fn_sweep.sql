-- One round of house-keeping, at most `p_limit` of each kind. A row is removed only while no other write trip is open:
-- a version that was taken before the removal must not be given to a new row of the same name after it.
CREATE OR REPLACE FUNCTION hive.sweep(
    p_ns int, p_trip text, p_limit int, p_completed bigint, p_cancelled bigint, p_dead bigint, p_tombstones bigint,
    p_commits bigint, OUT expired int, OUT tombstones int, OUT promoted int, OUT overdue int, OUT removed int,
    OUT commits int
) LANGUAGE plpgsql AS $$
DECLARE
    v_at bigint := hive.instant(p_ns, 0);
    v_forget boolean;
    v_alone boolean;
    v_control hive.control;
    v_version bigint;
    v_keys record;
    v_ids text[];
    v_queue text := '';
    v_turned record;
    v_state text;
    v_age bigint;
    v_gones int;
    v_untold boolean;
BEGIN
    -- While a copy of what was deleted may still be on its way to a peer, nothing is forgotten.
    v_forget := NOT EXISTS (SELECT 1 FROM hive.control WHERE ns = p_ns AND 'peer' = ANY (sinks));
    -- So much is left when no relay is there any more. It would have to empty the cache, which the next one does, too.
    v_untold := (SELECT count(*) FROM (SELECT 1 FROM hive.written WHERE ns = p_ns LIMIT 20000) w) = 20000;
    v_alone := v_untold
        OR v_forget AND EXISTS (SELECT 1 FROM hive.records WHERE ns = p_ns AND deleted_at <= v_at - p_tombstones)
        OR v_forget AND EXISTS (SELECT 1 FROM hive.gone WHERE ns = p_ns)
        OR EXISTS (SELECT hive.removable(p_ns, 'completed', v_at - p_completed, 1))
        OR EXISTS (SELECT hive.removable(p_ns, 'cancelled', v_at - p_cancelled, 1))
        OR EXISTS (SELECT hive.removable(p_ns, 'dead', v_at - p_dead, 1));
    v_control := hive.enter(p_ns, v_alone);
    v_at := hive.instant(p_ns, v_control.floor);
    v_forget := v_forget AND NOT 'peer' = ANY (v_control.sinks);
    SELECT array_agg(collection) AS collections, array_agg(key) AS keys INTO v_keys FROM (
        SELECT collection, key FROM hive.records
        WHERE ns = p_ns AND expires_at <= v_at ORDER BY expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    ) r;
    v_version := (v_control.term << 43) + nextval('hive.counter');
    UPDATE hive.records r
    SET version = v_version, value = NULL, raw = false, index_fields = NULL, updated_at = v_at, expires_at = NULL,
        deleted_at = v_at
    FROM (
        SELECT x.tid FROM unnest(v_keys.collections, v_keys.keys) u(collection, key),
        LATERAL (SELECT ctid AS tid FROM hive.records x
                 WHERE x.ns = p_ns AND x.collection = u.collection AND x.key = u.key OFFSET 0) x
        OFFSET 0
    ) u
    WHERE r.ctid = u.tid;
    GET DIAGNOSTICS expired = ROW_COUNT;
    promoted := 0;
    overdue := 0;
    LOOP
        SELECT min(q) INTO v_queue FROM (
            (SELECT queue AS q FROM hive.tasks WHERE ns = p_ns AND state = 'leased' AND queue > v_queue
             ORDER BY queue LIMIT 1)
            UNION ALL
            (SELECT queue FROM hive.tasks WHERE ns = p_ns AND state = 'scheduled' AND queue > v_queue
             ORDER BY queue LIMIT 1)
        ) queues;
        EXIT WHEN v_queue IS NULL;
        SELECT * INTO v_turned FROM hive.turn_queue(p_ns, v_control.term, v_at, v_queue, p_limit);
        promoted := promoted + v_turned.promoted;
        overdue := overdue + v_turned.overdue;
    END LOOP;
    IF v_untold THEN
        UPDATE hive.control SET sinks = array_remove(sinks, 'cache'), epoch = control.epoch + 1 WHERE ns = p_ns;
        DELETE FROM hive.written WHERE ns = p_ns;
    END IF;
    tombstones := 0;
    removed := 0;
    IF v_alone THEN
        DELETE FROM hive.records WHERE v_forget AND ctid = ANY (ARRAY(
            SELECT ctid FROM hive.records r WHERE ns = p_ns AND deleted_at <= v_at - p_tombstones
                AND NOT EXISTS (SELECT 1 FROM hive.written w WHERE w.ns = p_ns AND w.version = r.version)
                AND NOT hive.is_marked(p_ns, v_control.sinks, 'record', r.collection, r.key, 0) LIMIT p_limit));
        GET DIAGNOSTICS tombstones = ROW_COUNT;
        DELETE FROM hive.gone WHERE v_forget AND ctid = ANY (ARRAY(
            SELECT ctid FROM hive.gone g WHERE ns = p_ns
                AND NOT hive.is_marked(p_ns, v_control.sinks, g.kind, g.name, g.part, g.seq) LIMIT p_limit));
        GET DIAGNOSTICS v_gones = ROW_COUNT;
        tombstones := tombstones + v_gones;
        FOR v_state, v_age IN VALUES ('completed', p_completed), ('cancelled', p_cancelled), ('dead', p_dead) LOOP
            v_ids := ARRAY(SELECT hive.removable(p_ns, v_state, v_at - v_age, p_limit));
            removed := removed + cardinality(v_ids);
            DELETE FROM hive.task_children WHERE ctid = ANY (ARRAY(
                SELECT c.ctid FROM unnest(v_ids) u(id), LATERAL (
                    SELECT ctid FROM hive.task_children WHERE ns = p_ns AND parent = u.id OFFSET 0) c
                UNION
                SELECT c.ctid FROM unnest(v_ids) u(id), LATERAL (
                    SELECT unnest(parents) AS parent FROM hive.tasks WHERE ns = p_ns AND id = u.id OFFSET 0) p, LATERAL (
                    SELECT ctid FROM hive.task_children
                    WHERE ns = p_ns AND parent = p.parent AND child = u.id OFFSET 0) c));
            DELETE FROM hive.tasks WHERE ns = p_ns AND id = ANY (v_ids);
        END LOOP;
    END IF;
    DELETE FROM hive.commits WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM hive.commits WHERE ns = p_ns AND at <= v_at - p_commits LIMIT p_limit));
    GET DIAGNOSTICS commits = ROW_COUNT;
    DELETE FROM hive.trips WHERE ctid = ANY (ARRAY(  -- the latest stays: no instant may be earlier
        SELECT ctid FROM hive.trips WHERE ns = p_ns AND at < v_at - 86400000
            AND at < (SELECT max(at) FROM hive.trips WHERE ns = p_ns) LIMIT p_limit));
    IF expired + promoted + overdue + tombstones + removed + commits > 0 THEN
        INSERT INTO hive.trips (ns, trip_id, kind, epoch, at, version, shape)
        VALUES (p_ns, p_trip, 'sweep', v_control.epoch, v_at, v_version, '');
    END IF;
END $$;
