\echo Use "CREATE EXTENSION esgf_stac" to load this file. \quit

-- The schemas, and what must be true before anything of ours is put into them.

-- The server creates the schema, or takes the one that is there. One that
-- somebody else prepared would give him power over what we put into it.
DO $$
DECLARE
    stranger text;
BEGIN
    SELECT pg_catalog.pg_get_userbyid(o.owner)
      INTO stranger
      FROM (SELECT nspowner FROM pg_catalog.pg_namespace WHERE nspname = 'esgf_stac'
            UNION ALL
            SELECT relowner FROM pg_catalog.pg_class WHERE relnamespace = 'esgf_stac'::regnamespace
            UNION ALL
            SELECT proowner FROM pg_catalog.pg_proc WHERE pronamespace = 'esgf_stac'::regnamespace
            UNION ALL
            SELECT typowner FROM pg_catalog.pg_type WHERE typnamespace = 'esgf_stac'::regnamespace) AS o(owner)
      JOIN pg_catalog.pg_roles r ON r.oid = o.owner
     WHERE NOT r.rolsuper AND r.rolname <> current_user
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'schema "esgf_stac", or something in it, belongs to role "%"', stranger
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Find out who prepared it and why; then drop it, and create the extension again.';
    END IF;
END
$$;

GRANT USAGE ON SCHEMA esgf_stac TO PUBLIC;

-- What serves the functions of esgf_stac and the relay: nobody's to call.
CREATE SCHEMA esgf_stac_internal;
