\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set access :srcdir '/access.psql'
\i :access
-- What a backend keeps of rules, sites, roles, settings and streams: what is
-- undone is not kept, what is read by halves neither, and it does not grow.
SELECT plan(16);

CREATE ROLE esgf_stac_test_team;
CREATE ROLE esgf_stac_test_gateway IN ROLE esgf_stac_gateway;
DO $$ BEGIN
    PERFORM esgf_stac.grant_access('role:esgf_stac_test_writer', 'REPLICATE', scope, '*') FROM unnest('{project,node}'::text[]) scope;
    PERFORM esgf_stac.grant_access('role:esgf_stac_test_team', 'UPDATE', 'project', '*');
END $$;

-- Changes that never are the same, and tell what came of it.
CREATE FUNCTION pg_temp.touch() RETURNS text LANGUAGE sql AS $$
    SELECT action FROM esgf_stac.patch_item('CMIP6', 'i.v1', jsonb_build_object('properties', jsonb_build_object('title', 't' || clock_timestamp()))) $$;
CREATE FUNCTION pg_temp.replica() RETURNS text LANGUAGE sql AS $$
    SELECT action FROM esgf_stac.patch_item('CMIP6', 'i.v1', jsonb_build_object('assets', jsonb_build_object(
        'pr.nc', jsonb_build_object('alternate', jsonb_build_object('d.org', pg_temp.entry('d.org', 'pr' || clock_timestamp()))),
        'tas.nc', jsonb_build_object('alternate', jsonb_build_object('d.org', pg_temp.entry('d.org', 'tas')))))) $$;
CREATE FUNCTION pg_temp.told() RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.touch();
    SELECT coalesce(array_to_string(streams, ' '), 'none') FROM esgf_stac.outbox ORDER BY seq DESC LIMIT 1 $$;

-- What a role hears of a change, or why it is refused.
CREATE FUNCTION pg_temp.heard(caller text, change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', caller);
    EXECUTE 'SELECT ' || change INTO answer;
    RESET ROLE;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;

-- What it hears before something, after it, and once it is undone.
CREATE FUNCTION pg_temp.undone(what text, caller text, change text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    answers text[] := ARRAY[pg_temp.heard(caller, change)];
BEGIN
    BEGIN
        EXECUTE what;
        answers := answers || pg_temp.heard(caller, change);
        RAISE SQLSTATE 'ZZZZZ';
    EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
    END;
    RETURN answers || pg_temp.heard(caller, change);
END $$;

SELECT is(pg_temp.undone($$SELECT esgf_stac.grant_access('role:esgf_stac_test_writer', 'UPDATE', 'project', '*')$$, 'esgf_stac_test_writer', 'pg_temp.touch()'),
          '{PT403,updated,PT403}', 'a right given in a subtransaction goes with it');
SELECT is(pg_temp.undone('GRANT esgf_stac_test_team TO esgf_stac_test_writer', 'esgf_stac_test_writer', 'pg_temp.touch()'),
          '{PT403,updated,PT403}', 'and a membership');
SELECT is(pg_temp.undone($$INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('d.org', '{https://d.org/}')$$, 'esgf_stac_test_writer', 'pg_temp.replica()'),
          '{PT403,replica_added,PT403}', 'and a site')
  FROM (SELECT pg_temp.heard(current_user, 'esgf_stac.remove_replica(''CMIP6'', ''i.v1'', ''d.org'')')) nothing;
SELECT is(pg_temp.undone($$SELECT esgf_stac.configure_collection('CMIP6', '{"require_version": true}')$$, current_user, 'pg_temp.touch()'),
          '{updated,PT428,updated}', 'and a setting');
SELECT is(pg_temp.undone($$SELECT esgf_stac.create_stream('titled', filter => '$.properties.title like_regex "^t"')$$, current_user, 'pg_temp.told()'),
          '{none,titled,none}', 'and a stream');
DO $$ BEGIN PERFORM esgf_stac.grant_access('role:esgf_stac_test_writer', 'UPDATE', 'project', '*'); END $$;
SELECT is(pg_temp.undone('SELECT esgf_stac.revoke_access(max(id)) FROM esgf_stac.access_rule', 'esgf_stac_test_writer', 'pg_temp.touch()'), '{updated,PT403,updated}', 'a right taken in one comes back');
-- A fill that fails: by its last row, and by a cancel.
SELECT lives_ok($$SELECT esgf_stac.create_stream('titled', filter => '$.properties.title like_regex "^t"')$$, 'a stream');
CREATE OR REPLACE FUNCTION esgf_stac_internal.has_variable(filter jsonpath) RETURNS boolean LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    IF filter::text ~ 'broken' THEN
        RAISE division_by_zero;
    ELSIF filter::text ~ 'slow' THEN
        PERFORM pg_sleep(60);
    END IF;
    RETURN false;
END $$;
CREATE FUNCTION pg_temp.contexts(text) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM pg_backend_memory_contexts WHERE name = $1';
SELECT is(pg_temp.told(), 'titled', 'an event is in it');
SELECT pg_temp.contexts('esgf_stac cache') AS caches \gset
INSERT INTO esgf_stac.stream (name, filter, outbox_oid) VALUES ('untitled', '$.broken == 1', 0);
SELECT is((SELECT string_agg(DISTINCT pg_temp.heard(current_user, 'pg_temp.touch()'), ' ') FROM generate_series(1, 100)), '22012', 'while streams cannot be read, nothing is written');
UPDATE esgf_stac.stream SET filter = '$.slow == 1' WHERE name = 'untitled';
SET LOCAL statement_timeout = '100ms';
DO $$ BEGIN
    PERFORM pg_temp.touch();
EXCEPTION WHEN query_canceled THEN
END $$;
RESET statement_timeout;
SELECT is(pg_temp.contexts('esgf_stac cache'), :caches::bigint, 'of a hundred failures and a cancel no memory is left');
DELETE FROM esgf_stac.stream WHERE name = 'untitled';
SELECT is(pg_temp.told(), 'titled', 'and no half of what was read');

-- Many collections.
INSERT INTO esgf_stac.collection (id, document)
SELECT 'c' || n, document || jsonb_build_object('id', 'c' || n) FROM esgf_stac.collection, generate_series(1, 2500) n WHERE id = 'CMIP6';
CREATE FUNCTION pg_temp.seen(collections int) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM generate_series(1, collections) n, esgf_stac.transact(jsonb_build_array(
        jsonb_build_object('method', 'CHECK', 'collection_id', 'c' || n, 'item_id', 'x', 'if_match', 0))) t WHERE t.status = 200 $$;
CREATE FUNCTION pg_temp.bytes() RETURNS numeric LANGUAGE sql AS $$
    SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name = 'esgf_stac collection settings' OR (name = 'esgf_stac cache' AND ident = 'collection') $$;
SELECT is(pg_temp.seen(990), 990::bigint, 'collections are looked at');
SELECT pg_temp.bytes() AS bytes \gset
SELECT is(pg_temp.seen(2500), 2500::bigint, 'and many more');
SELECT cmp_ok(pg_temp.bytes(), '<=', :bytes::numeric, 'whose settings are not all kept');

-- Many identities in one transaction.
SET LOCAL ROLE esgf_stac_test_gateway;
DO $$ BEGIN
    FOR i IN 1..1000 LOOP
        PERFORM esgf_stac.set_identity(jsonb_build_object('sub', 'outer', 'principals', jsonb_build_array('group:' || i)));
        BEGIN
            PERFORM esgf_stac.set_identity(jsonb_build_object('sub', 'kept'));
            BEGIN
                PERFORM esgf_stac.set_identity(jsonb_build_object('sub', 'undone'));
                RAISE SQLSTATE 'ZZZZZ';
            EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
            END;
        EXCEPTION WHEN SQLSTATE 'YYYYY' THEN
        END;
    END LOOP;
END $$;
RESET ROLE;
SELECT cmp_ok(pg_temp.contexts('esgf_stac identity'), '<=', 3::bigint, 'one identity a subtransaction is kept');
DO $$ BEGIN PERFORM esgf_stac.grant_access('group:kept', 'UPDATE', 'project', '*'); END $$;
SET LOCAL ROLE esgf_stac_test_gateway;
DO $$ BEGIN
    PERFORM esgf_stac.set_identity('{"sub": "outer", "principals": ["group:nobody"]}');
    BEGIN
        PERFORM esgf_stac.set_identity('{"sub": "kept", "principals": ["group:kept"]}');
        BEGIN
            PERFORM esgf_stac.set_identity('{"sub": "undone", "principals": ["group:nobody"]}');
            RAISE SQLSTATE 'ZZZZZ';
        EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
        END;
    EXCEPTION WHEN SQLSTATE 'YYYYY' THEN
    END;
END $$;
SELECT is(pg_temp.touch(), 'updated', 'and the last one that was not undone holds');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
