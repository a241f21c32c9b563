-- For people with psql: what is stored, as JSON where it is JSON. The cast cannot fail, so neither can a view.
CREATE OR REPLACE FUNCTION hive.readable(p_value bytea, p_raw boolean) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF p_raw THEN
        RETURN to_jsonb(encode(p_value, 'base64'));
    END IF;
    RETURN convert_from(p_value, 'UTF8')::jsonb;
EXCEPTION WHEN OTHERS THEN  -- \u0000, or numbers that jsonb has no room for
    RETURN to_jsonb(encode(p_value, 'escape'));
END $$;
CREATE OR REPLACE VIEW hive.records_view AS
SELECT c.namespace, r.collection, r.key, hive.readable(r.value, r.raw) AS value, r.index_fields, r.version,
       to_timestamp(r.created_at / 1000.0) AS created_at, to_timestamp(r.updated_at / 1000.0) AS updated_at,
       to_timestamp(r.expires_at / 1000.0) AS expires_at
FROM hive.records r JOIN hive.control c USING (ns)
WHERE r.deleted_at IS NULL AND (r.expires_at IS NULL OR r.expires_at > extract(epoch FROM now()) * 1000);
CREATE OR REPLACE VIEW hive.agents_view AS
SELECT namespace, key AS agent, value, version, created_at, updated_at, expires_at
FROM hive.records_view WHERE collection = 'hive:agents';
CREATE OR REPLACE VIEW hive.tasks_view AS
SELECT c.namespace, t.queue, t.id, t.state, t.priority, hive.readable(t.payload, t.raw) AS payload, t.requires,
       t.parents, t.attempt, t.max_attempts, t.worker, t.error,
       hive.readable(t.result, t.result_raw) AS result, to_timestamp(t.due_at / 1000.0) AS due_at,
       to_timestamp(t.lease_until / 1000.0) AS lease_until, to_timestamp(t.created_at / 1000.0) AS created_at,
       to_timestamp(t.finished_at / 1000.0) AS finished_at
FROM hive.tasks t JOIN hive.control c USING (ns);
CREATE OR REPLACE VIEW hive.events_view AS
SELECT c.namespace, e.stream, e.seq, hive.readable(e.body, e.raw) AS body, to_timestamp(e.at / 1000.0) AS at
FROM hive.events e JOIN hive.control c USING (ns);
CREATE OR REPLACE VIEW hive.groups_view AS
SELECT c.namespace, g.stream, g.grp AS "group", g.position, s.last - greatest(g.position, s.first - 1) AS lag,
       (SELECT count(*) FROM hive.pending p
        WHERE p.ns = g.ns AND p.stream = g.stream AND p.grp = g.grp AND NOT p.dead) AS pending,
       (SELECT count(*) FROM hive.pending p
        WHERE p.ns = g.ns AND p.stream = g.stream AND p.grp = g.grp AND p.dead) AS dead
FROM hive.groups g JOIN hive.streams s USING (ns, stream) JOIN hive.control c USING (ns);
