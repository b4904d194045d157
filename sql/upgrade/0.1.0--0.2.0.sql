\echo Use "ALTER EXTENSION esgf_stac UPDATE" to load this file. \quit

-- What the parts of sql/install cannot bring to an extension of 0.1.0. Make puts
-- them behind this file, but for schemas, new roles and types, with CREATE OR
-- REPLACE FUNCTION. So this is the place of new schemas, roles and types, of
-- functions that go, and of those whose arguments or result change: drop them.

CREATE SCHEMA esgf_stac_internal;

-- A new role, which nobody may have prepared: see sql/install/02_new_roles.sql.
DO $$
DECLARE
    accepted CONSTANT boolean := coalesce(nullif(pg_catalog.current_setting('esgf_stac.accept_roles', true), ''), 'off');
    found text;
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = 'esgf_stac_ingest'
                  AND (r.rolsuper OR r.rolcanlogin OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls)) THEN
        RAISE EXCEPTION 'there are roles of this extension with attributes that it never gives them'
            USING ERRCODE = 'insufficient_privilege', DETAIL = 'esgf_stac_ingest',
                  HINT = 'ALTER ROLE ... NOSUPERUSER NOLOGIN NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS, if it is yours; then update the extension again.';
    END IF;
    SELECT pg_catalog.string_agg(m.member::regrole::text, ', ' ORDER BY m.member::regrole::text)
      INTO found
      FROM (SELECT DISTINCT member FROM pg_catalog.pg_auth_members WHERE roleid = pg_catalog.to_regrole('esgf_stac_ingest') LIMIT 100) m;
    IF found <> '' AND NOT accepted THEN
        RAISE EXCEPTION 'roles of this extension exist already and have members'
            USING ERRCODE = 'insufficient_privilege', DETAIL = 'esgf_stac_ingest: ' || found,
                  HINT = 'If you know all of them: SET esgf_stac.accept_roles = on, and update the extension again. Else revoke the role from them first.';
    END IF;
    IF pg_catalog.to_regrole('esgf_stac_ingest') IS NULL THEN
        CREATE ROLE esgf_stac_ingest;
    END IF;
END
$$;
GRANT USAGE ON SCHEMA esgf_stac_internal TO esgf_stac_reader, esgf_stac_relay, esgf_stac_ingest;

CREATE TYPE esgf_stac.replication AS (
    id bigint,
    node text,
    name text,
    collections text[],
    filter jsonpath,
    priority int,
    on_retracted text,
    on_superseded text,
    valid_from timestamptz,
    valid_to timestamptz,
    set_by jsonb,
    closed_by jsonb,
    applied timestamptz
);
CREATE TYPE esgf_stac_internal.site_group AS (
    standing text,
    holds text,
    can_go boolean,
    rules bigint[],
    kind text,
    priority int,
    names text[]
);
CREATE TYPE esgf_stac.work AS (
    cursor text,
    kind text,
    collection_id text,
    item_id text,
    version bigint,
    bytes bigint,
    priority int,
    rules text[],
    sources text[],
    reason text,
    updated timestamptz
);

DROP FUNCTION esgf_stac.apply_patch(jsonb, jsonb);
ALTER FUNCTION esgf_stac.attach_catalogue() SET SCHEMA esgf_stac_internal;
ALTER FUNCTION esgf_stac.calling_role() SET SCHEMA esgf_stac_internal;
DROP FUNCTION esgf_stac.collection_receipt(text, bigint);
ALTER FUNCTION esgf_stac.delete_events(timestamptz, xid8, int) SET SCHEMA esgf_stac_internal;
DROP FUNCTION esgf_stac.event_is_known(jsonb);
DROP FUNCTION esgf_stac.history(text, text);
ALTER FUNCTION esgf_stac.event_metadata(text, jsonb) SET SCHEMA esgf_stac_internal;
ALTER FUNCTION esgf_stac.is_predicate(jsonpath) SET SCHEMA esgf_stac_internal;
ALTER FUNCTION esgf_stac.lock_collection(text) SET SCHEMA esgf_stac_internal;
ALTER FUNCTION esgf_stac.one_line(text) SET SCHEMA esgf_stac_internal;
ALTER FUNCTION esgf_stac.past_version(text, text, bigint) SET SCHEMA esgf_stac_internal;
ALTER FUNCTION esgf_stac.publication_problem(text) SET SCHEMA esgf_stac_internal;
DROP FUNCTION esgf_stac.redrive_round(text);
DROP FUNCTION esgf_stac.redrive_states(text, jsonb);
ALTER FUNCTION esgf_stac.require_catalogue() SET SCHEMA esgf_stac_internal;
DROP FUNCTION esgf_stac.stream_items(text, text, text, int);
ALTER FUNCTION esgf_stac.system_identifier() SET SCHEMA esgf_stac_internal;

DROP FUNCTION esgf_stac.changes(text, int);
DROP FUNCTION esgf_stac.create_stream(text, text[], jsonpath);

CREATE TYPE esgf_stac.iteration AS (
    id uuid,
    stream text,
    event_type text,
    target text,
    collections text[],
    filter jsonpath,
    node text,
    changed_since timestamptz,
    payload text,
    max_rate int,
    state text,
    "position" text[],
    items_sent bigint,
    items_total bigint,
    as_of timestamptz,
    created timestamptz,
    started timestamptz,
    heartbeat timestamptz,
    finished timestamptz,
    error text
);
CREATE TYPE esgf_stac_internal.selection AS (
    stream text,
    collections text[],
    filter jsonpath,
    node text,
    changed_since timestamptz
);
