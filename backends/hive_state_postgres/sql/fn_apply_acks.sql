-- Acks of flat batches that were not refused; their groups are locked. How many deliveries are gone.
CREATE OR REPLACE FUNCTION hive.apply_acks(p_ns int, p_version bigint, p_acks text, p_refused int[])
RETURNS int LANGUAGE plpgsql AS $$
DECLARE v_rows int;
BEGIN
    WITH gone AS (
        DELETE FROM hive.pending WHERE ctid = ANY (ARRAY(
            SELECT p.tid FROM jsonb_to_recordset(p_acks::jsonb) a(z int, s text, g text, q bigint), LATERAL (
                SELECT ctid AS tid FROM hive.pending
                WHERE ns = p_ns AND stream = a.s AND grp = a.g AND seq = a.q OFFSET 0) p
            WHERE a.z <> ALL (p_refused)))
        RETURNING stream, grp
    ), touched AS (
        UPDATE hive.groups g SET version = p_version
        FROM (SELECT DISTINCT stream, grp FROM gone) d
        WHERE g.ns = p_ns AND g.stream = d.stream AND g.grp = d.grp
    )
    SELECT count(*) INTO v_rows FROM gone;
    RETURN v_rows;
END $$;
