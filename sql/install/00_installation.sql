\echo Use "CREATE EXTENSION esgf_stac" to load this file. \quit

-- What must be true before anything of ours is made, and the roles.

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

-- Roles belong to the cluster, so another database's installation, or one that
-- was dropped, may have left them. What nobody else may have done is to
-- prepare a role of our name and join it: that would make him administrator.
DO $$
DECLARE
    ours CONSTANT name[] := ARRAY['esgf_stac_reader', 'esgf_stac_writer', 'esgf_stac_gateway',
                                  'esgf_stac_admin', 'esgf_stac_relay'];
    role_name name;
    problem text;
BEGIN
    FOREACH role_name IN ARRAY ours LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I', role_name);
            CONTINUE;
        END IF;
        SELECT CASE
                   WHEN r.rolsuper OR r.rolcanlogin OR r.rolcreaterole OR r.rolcreatedb
                        OR r.rolreplication OR r.rolbypassrls
                       THEN 'has attributes that this extension never gives it'
                   WHEN EXISTS (SELECT FROM pg_catalog.pg_auth_members m
                                 WHERE m.roleid = r.oid
                                   AND m.member NOT IN (SELECT o.oid FROM pg_catalog.pg_roles o WHERE o.rolname = ANY (ours)))
                        AND NOT EXISTS (SELECT FROM pg_catalog.pg_shdepend d
                                         WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass
                                           AND d.refobjid = r.oid AND d.dbid <> 0)
                       THEN 'has members, and no database of this cluster uses it yet'
               END
          INTO problem
          FROM pg_catalog.pg_roles r
         WHERE r.rolname = role_name;
        IF problem IS NOT NULL THEN
            RAISE EXCEPTION 'role "%" exists already and %', role_name, problem
                USING ERRCODE = 'insufficient_privilege',
                      HINT = 'If it is yours, revoke what it holds, create the extension, and grant it again.';
        END IF;
    END LOOP;
END
$$;

GRANT esgf_stac_reader TO esgf_stac_writer;
GRANT esgf_stac_writer TO esgf_stac_gateway, esgf_stac_admin;

GRANT USAGE ON SCHEMA esgf_stac TO PUBLIC;

-- What serves the functions of esgf_stac and the relay: nobody's to call.
CREATE SCHEMA esgf_stac_internal;
GRANT USAGE ON SCHEMA esgf_stac_internal TO esgf_stac_reader, esgf_stac_relay;
