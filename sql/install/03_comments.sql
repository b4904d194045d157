-- What the schemas and roles are for: roles belong to the cluster, their comments too.

COMMENT ON SCHEMA esgf_stac IS 'ESGF STAC catalogue: the functions to call, the tables of the truth';
COMMENT ON SCHEMA esgf_stac_internal IS 'what serves the functions of esgf_stac and its relay: not to be called by hand';
DO $$
DECLARE
    our record;
BEGIN
    FOR our IN SELECT * FROM esgf_stac_internal.roles() LOOP
        EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', our.role, our.purpose || ' (esgf_stac)');
    END LOOP;
END
$$;
