-- What is stored of a trip, after making sure that it has ended: the insert waits for a trip of that id that is under
-- way, and if there is none, the void makes one that comes later fail.
CREATE OR REPLACE FUNCTION hive.outcome(p_ns int, p_trip text) RETURNS SETOF hive.trips LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hive.trips (ns, trip_id, kind, epoch, at, version)
    VALUES (p_ns, p_trip, 'void', 0, hive.instant(p_ns, 0), 0)
    ON CONFLICT DO NOTHING;
    RETURN QUERY SELECT * FROM hive.trips WHERE ns = p_ns AND trip_id = p_trip AND kind <> 'void';
END $$;
