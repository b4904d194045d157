-- Maintenance: nobody but administrators changes anything for a while, and everybody
-- is told why, and when to come back (src/access/maintenance.c).

CREATE FUNCTION esgf_stac_internal.require_open() RETURNS void
    AS 'MODULE_PATHNAME', 'esgf_require_open' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION esgf_stac_internal.require_open() IS '503 in maintenance, unless the caller is an administrator or the transaction has begun to write before';

CREATE FUNCTION esgf_stac.set_maintenance(message text, retry_after interval DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    IF message IS NULL OR message !~ '[^[:space:]]' OR octet_length(message) > 500 THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'maintenance', 'a message must be given, of at most 500 bytes',
            hint => 'Everybody whose change is refused reads it: say why, and until when.');
    ELSIF extract(epoch FROM retry_after) < 0 OR NOT isfinite(retry_after) THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'maintenance', 'retry_after must not be negative, nor endless',
            hint => 'It is how long a client is to wait before it tries again; leave it out where nobody knows.');
    END IF;
    INSERT INTO esgf_stac.maintenance AS m (message, retry_after, since, set_by)
        VALUES (set_maintenance.message, set_maintenance.retry_after, clock_timestamp(), esgf_stac_internal.calling_role())
        ON CONFLICT ON CONSTRAINT maintenance_pkey DO UPDATE
           SET message = excluded.message, retry_after = excluded.retry_after, since = excluded.since, set_by = excluded.set_by;
END
$$;
COMMENT ON FUNCTION esgf_stac.set_maintenance(text, interval) IS
'from its commit on refuses what begins to change anything (503 maintenance), with this message, and after which time to try again; administrators go on';

CREATE FUNCTION esgf_stac.end_maintenance() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    DELETE FROM esgf_stac.maintenance;
END
$$;
COMMENT ON FUNCTION esgf_stac.end_maintenance() IS 'lets everybody change the catalogue again';

REVOKE ALL ON FUNCTION esgf_stac_internal.require_open(), esgf_stac.set_maintenance(text, interval), esgf_stac.end_maintenance() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.set_maintenance(text, interval), esgf_stac.end_maintenance() TO esgf_stac_admin;
