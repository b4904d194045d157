-- The steps by which upgrade_catalogue() moves the tables of an older version,
-- one for each version that changed them. A step does what create_catalogue()
-- has come to do since, with short locks, and rewrites neither item nor outbox:
-- views, triggers, grants and comments follow by attach_catalogue(). Columns
-- that a step adds stand last in create_catalogue(), too.

CREATE FUNCTION esgf_stac_internal.upgrade_from_0_1_0() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NULL;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.upgrade_from_0_1_0() IS 'what the tables of 0.1.0 lack';
REVOKE ALL ON FUNCTION esgf_stac_internal.upgrade_from_0_1_0() FROM PUBLIC;
