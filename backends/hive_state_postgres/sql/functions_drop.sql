-- What is made anew by an upgrade: no function of an older version is left beside its successor, whatever it took. Those that
-- triggers and views hang on are replaced where they are.
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = (parse_ident('hive.x'))[1] AND p.prorettype <> 'trigger'::regtype AND p.proname <> 'readable'
    LOOP
        EXECUTE 'DROP FUNCTION ' || v_function;
    END LOOP;
END $$
