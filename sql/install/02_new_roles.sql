-- Makes the roles that are not there yet.

-- Roles belong to the cluster, so another database's installation, or one that
-- was dropped, may have left them; or somebody has prepared a role of our name
-- and joined it, which would make him administrator. Nothing in this database
-- tells the one from the other: the superuser does.
DO $$
DECLARE
    ours CONSTANT name[] := pg_catalog.array_agg(r.role) FROM esgf_stac_internal.roles() r;
    accepted CONSTANT boolean := coalesce(nullif(pg_catalog.current_setting('esgf_stac.accept_roles', true), ''), 'off');
    our record;
    found text;
BEGIN
    SELECT pg_catalog.string_agg(r.rolname, ', ' ORDER BY r.rolname)
      INTO found
      FROM pg_catalog.pg_roles r
     WHERE r.rolname = ANY (ours)
       AND (r.rolsuper OR r.rolcanlogin OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls);
    IF found <> '' THEN
        RAISE EXCEPTION 'there are roles of this extension with attributes that it never gives them'
            USING ERRCODE = 'insufficient_privilege', DETAIL = found,
                  HINT = 'ALTER ROLE ... NOSUPERUSER NOLOGIN NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS, if they are yours; then create the extension again.';
    END IF;

    -- Members, but for those that the extension's own roles are.
    SELECT pg_catalog.string_agg(pg_catalog.format('%s: %s', role, members), E'\n' ORDER BY role)
      INTO found
      FROM (SELECT r.rolname AS role,
                   pg_catalog.string_agg(m.rolname || CASE WHEN a.admin_option THEN ' (with admin option)' ELSE '' END, ', ' ORDER BY m.rolname)
                       FILTER (WHERE a.place <= 100)
                   || CASE WHEN pg_catalog.max(a.place) > 100 THEN pg_catalog.format(' and %s more', pg_catalog.max(a.place) - 100) ELSE '' END AS members
              FROM (SELECT m.roleid, m.member, pg_catalog.bool_or(m.admin_option) AS admin_option,
                           pg_catalog.row_number() OVER (PARTITION BY m.roleid ORDER BY m.member) AS place
                      FROM pg_catalog.pg_auth_members m
                      JOIN pg_catalog.pg_roles r ON r.oid = m.roleid AND r.rolname = ANY (ours)
                      JOIN pg_catalog.pg_roles member ON member.oid = m.member
                     WHERE m.admin_option
                        OR NOT EXISTS (SELECT FROM esgf_stac_internal.roles() o WHERE o.role = member.rolname AND o.member_of = r.rolname)
                     GROUP BY m.roleid, m.member) a
              JOIN pg_catalog.pg_roles r ON r.oid = a.roleid
              JOIN pg_catalog.pg_roles m ON m.oid = a.member
             GROUP BY r.rolname) granted;
    IF found <> '' AND NOT accepted THEN
        RAISE EXCEPTION 'roles of this extension exist already and have members'
            USING ERRCODE = 'insufficient_privilege', DETAIL = found,
                  HINT = 'If you know all of them, as after another installation or a restore of roles: SET esgf_stac.accept_roles = on, and create the extension again. Else revoke the roles from them first.';
    END IF;

    FOR our IN SELECT * FROM esgf_stac_internal.roles() LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = our.role) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I', our.role);
        END IF;
        IF our.member_of IS NOT NULL THEN
            EXECUTE pg_catalog.format('GRANT %I TO %I', our.member_of, our.role);
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA esgf_stac_internal TO esgf_stac_reader, esgf_stac_relay, esgf_stac_ingest;
