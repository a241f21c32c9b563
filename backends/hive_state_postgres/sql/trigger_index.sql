-- Keeps record_index equal to records.index_fields, so that no writer can forget it.
CREATE OR REPLACE FUNCTION hive.keep_index() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND old.index_fields IS NOT NULL THEN
        DELETE FROM hive.record_index i USING jsonb_array_elements(old.index_fields::jsonb) e
        WHERE i.ns = old.ns AND i.collection = old.collection AND i.key = old.key
          AND i.field = e->>0 AND i.value = e->>1;
    END IF;
    IF TG_OP <> 'DELETE' AND new.index_fields IS NOT NULL THEN
        INSERT INTO hive.record_index
        SELECT new.ns, new.collection, e->>0, e->>1, new.key FROM jsonb_array_elements(new.index_fields::jsonb) e
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER keep_index_insert AFTER INSERT ON hive.records
    FOR EACH ROW WHEN (new.index_fields IS NOT NULL) EXECUTE FUNCTION hive.keep_index();
CREATE OR REPLACE TRIGGER keep_index_update AFTER UPDATE ON hive.records
    FOR EACH ROW WHEN (old.index_fields IS DISTINCT FROM new.index_fields) EXECUTE FUNCTION hive.keep_index();
CREATE OR REPLACE TRIGGER keep_index_delete AFTER DELETE ON hive.records
    FOR EACH ROW WHEN (old.index_fields IS NOT NULL) EXECUTE FUNCTION hive.keep_index();
