-- The catalogue: laid, moved and adopted. Its tables and what hangs on them are
-- ordinary objects and no members of the extension, so that dumps, publications
-- and a DBA's own indexes treat them like any table, and no DROP EXTENSION
-- erases them. They stand in sql/catalogue: make lays a function around each file.

-- The cluster that this server runs; a restored catalogue names another.
CREATE FUNCTION esgf_stac_internal.system_identifier() RETURNS bigint
    AS 'MODULE_PATHNAME', 'esgf_system_identifier' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION esgf_stac_internal.system_identifier() IS 'the cluster that this server runs';
REVOKE ALL ON FUNCTION esgf_stac_internal.system_identifier() FROM PUBLIC;

CREATE FUNCTION esgf_stac.installed_version() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'esgf_stac'::name;
END;
COMMENT ON FUNCTION esgf_stac.installed_version() IS 'the version of the extension as installed in this database';

CREATE FUNCTION esgf_stac.library_version() RETURNS text
    AS 'MODULE_PATHNAME', 'esgf_library_version' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION esgf_stac.library_version() IS 'the version of the library that this session has loaded; until ALTER EXTENSION esgf_stac UPDATE it is ahead of installed_version()';

CREATE FUNCTION esgf_stac_internal.attach_catalogue() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM esgf_stac_internal.catalogue_views();
    PERFORM esgf_stac_internal.catalogue_triggers();
    PERFORM esgf_stac_internal.catalogue_grants();
    PERFORM esgf_stac_internal.catalogue_comments();
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.attach_catalogue() IS 'lays what hangs on the tables, anew where it is there; brings back what DROP EXTENSION ... CASCADE took';
REVOKE ALL ON FUNCTION esgf_stac_internal.attach_catalogue() FROM PUBLIC;

CREATE FUNCTION esgf_stac.create_catalogue() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('esgf_stac.catalogue') IS NOT NULL THEN
        RAISE EXCEPTION 'this database has a catalogue already'
            USING ERRCODE = 'duplicate_table',
                  HINT = 'SELECT esgf_stac.upgrade_catalogue() moves it to the installed version.';
    END IF;

    PERFORM esgf_stac_internal.catalogue_tables();
    PERFORM esgf_stac_internal.attach_catalogue();
    INSERT INTO esgf_stac.catalogue (version, system_identifier)
        VALUES (esgf_stac.installed_version(), esgf_stac_internal.system_identifier());
END
$$;
COMMENT ON FUNCTION esgf_stac.create_catalogue() IS 'lays tables, view, triggers and grants in this database';
REVOKE ALL ON FUNCTION esgf_stac.create_catalogue() FROM PUBLIC;

CREATE FUNCTION esgf_stac.upgrade_catalogue() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    laid_by text;
    step text;
BEGIN
    IF to_regclass('esgf_stac.catalogue') IS NULL THEN
        PERFORM esgf_stac_internal.refuse('no-catalogue', 'catalogue', 'this database has no catalogue');
    END IF;
    SELECT c.version INTO laid_by FROM esgf_stac.catalogue c FOR UPDATE;
    -- Each file of sql/catalogue/steps, OLD--NEW.sql, is a function.
    WHILE laid_by <> esgf_stac.installed_version() LOOP
        SELECT p.proname INTO step
          FROM pg_proc p
         WHERE p.pronamespace = 'esgf_stac_internal'::regnamespace AND starts_with(p.proname, 'catalogue_steps_' || laid_by || '--');
        IF NOT FOUND THEN
            RAISE EXCEPTION 'no step leads from a catalogue of version % to version %', laid_by, esgf_stac.installed_version()
                USING ERRCODE = 'object_not_in_prerequisite_state', SCHEMA = 'esgf_stac', TABLE = 'catalogue',
                      HINT = 'Install the version that laid it, or a later one: ALTER EXTENSION esgf_stac UPDATE.';
        END IF;
        EXECUTE format('SELECT esgf_stac_internal.%I()', step);
        laid_by := split_part(step, '--', 2);
    END LOOP;
    PERFORM esgf_stac_internal.attach_catalogue();
    UPDATE esgf_stac.catalogue SET version = esgf_stac.installed_version();
END
$$;
COMMENT ON FUNCTION esgf_stac.upgrade_catalogue() IS 'moves an existing catalogue to the installed version of the extension';
REVOKE ALL ON FUNCTION esgf_stac.upgrade_catalogue() FROM PUBLIC;

CREATE FUNCTION esgf_stac.adopt_catalogue() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('esgf_stac.catalogue') IS NULL THEN
        PERFORM esgf_stac_internal.refuse('no-catalogue', 'catalogue', 'this database has no catalogue');
    END IF;
    -- Where pg_upgrade moved the rows, they still have the transactions that wrote
    -- them, and what relays know of transactions holds; a restore wrote them anew.
    -- What was delivered before that may not be in it: streams are to begin anew.
    IF (SELECT system_identifier FROM esgf_stac.catalogue) <> esgf_stac_internal.system_identifier() THEN
        IF NOT EXISTS (SELECT FROM esgf_stac.catalogue c WHERE c.xmin = c.written::xid
                       UNION ALL SELECT FROM esgf_stac.consumer c WHERE c.xmin = c.written::xid) THEN
            UPDATE esgf_stac.stream SET outbox_oid = 0;
            UPDATE esgf_stac.consumer SET outbox_oid = 0;
        END IF;
        UPDATE esgf_stac.consumer
           SET system_identifier = esgf_stac_internal.system_identifier(), lsn = '0/0', confirmed = '0/0',
               timeline = (SELECT timeline_id FROM pg_control_checkpoint());
    END IF;
    -- No transaction of another cluster is waited for.
    UPDATE esgf_stac.rule_job SET xid = '0', fence = '0' WHERE finished IS NULL
       AND (SELECT system_identifier FROM esgf_stac.catalogue) <> esgf_stac_internal.system_identifier();
    -- Where the jobs of the original write, a copy must not.
    PERFORM esgf_stac_internal.fail_iterations(NULL, 'adopted');
    -- Ids that this cluster has not given yet would hide their events from
    -- every reader that waits for transactions to end. They become the last one
    -- that it has given, so that they stay behind the smaller ones.
    UPDATE esgf_stac.outbox SET xid = (pg_current_xact_id()::text::numeric - 1)::text::xid8 WHERE xid >= pg_current_xact_id();
    UPDATE esgf_stac.catalogue SET system_identifier = esgf_stac_internal.system_identifier(), pruned = '0';
END
$$;
COMMENT ON FUNCTION esgf_stac.adopt_catalogue() IS 'after a restore or pg_upgrade into another cluster: settles old transaction ids, so that the catalogue can be written again';
REVOKE ALL ON FUNCTION esgf_stac.adopt_catalogue() FROM PUBLIC;
