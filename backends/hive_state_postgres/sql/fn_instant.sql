-- The instant of a trip, or of a read: the server's clock, but never earlier than any trip that was committed.
-- Every trip that writes leaves its instant in `trips`, so nothing more than a look at its index is needed.
CREATE OR REPLACE FUNCTION hive.instant(p_ns int, p_floor bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN greatest(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, p_floor,
                    (SELECT at FROM hive.trips WHERE ns = p_ns ORDER BY at DESC LIMIT 1));
END $$;
