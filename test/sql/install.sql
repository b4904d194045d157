\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set setup :srcdir '/setup.psql'
\i :setup
-- Installing, laying the catalogue, and who may do what to it.
SELECT plan(111);

SELECT pg_temp.refused($$SELECT esgf_stac.create_item('C', '{"id": "x"}')$$, 'PT503', 'no-catalogue', 'a verb in C without a catalogue');
SELECT pg_temp.refused($$SELECT esgf_stac.create_collection('{}')$$, 'PT503', 'no-catalogue', 'a verb in PL/pgSQL without a catalogue');
SELECT pg_temp.refused($$SELECT esgf_stac.get_item('C', 'x')$$, 'PT503', 'no-catalogue', 'reading without a catalogue');
SELECT pg_temp.refused($$SELECT esgf_stac.create_stream('s')$$, 'PT503', 'no-catalogue', 'a stream without a catalogue');
SELECT pg_temp.refused($$SELECT esgf_stac.upgrade_catalogue()$$, 'PT503', 'no-catalogue', 'upgrading without a catalogue');
SELECT pg_temp.refused($$SELECT esgf_stac.adopt_catalogue()$$, 'PT503', 'no-catalogue', 'adopting without a catalogue');

SELECT lives_ok('SELECT esgf_stac.create_catalogue()', 'a catalogue is laid');
SELECT tables_are('esgf_stac', ARRAY['catalogue', 'maintenance', 'collection', 'dataset', 'item', 'site', 'access_rule', 'request',
                                     'outbox', 'stream', 'consumer', 'dead_letter', 'source', 'source_partition', 'inbox', 'verification', 'drift',
                                     'replication_rule', 'site_item', 'rule_job', 'schema', 'iteration_job'], 'with these tables');
SELECT views_are('esgf_stac', ARRAY['published_item', 'stream_status', 'source_status', 'metrics'], 'and these views');
SELECT columns_are('esgf_stac', 'item', ARRAY['collection_id', 'id', 'version', 'base_id', 'dataset_version', 'latest',
    'retracted', 'deleted', 'nodes', 'reason', 'document', 'created', 'updated', 'created_by', 'updated_by', 'validated_against'], 'item is as designed');
SELECT columns_are('esgf_stac', 'published_item', ARRAY['collection_id', 'id', 'version', 'etag', 'updated', 'base_id',
    'dataset_version', 'latest', 'retracted', 'nodes', 'document', 'validated_against'], 'published_item is as designed');
SELECT columns_are('esgf_stac', 'outbox', ARRAY['seq', 'id', 'aggregatetype', 'aggregateid', 'type', 'version', 'payload',
    'occurred_at', 'reason', 'batch', 'streams', 'left_streams', 'request', 'identity', 'request_id', 'xid', 'validated_against', 'warnings'], 'outbox is as designed');
SELECT pg_temp.refused('SELECT esgf_stac.create_catalogue()', '42P07', NULL, 'a second catalogue is refused');
SELECT is_empty($$SELECT objid::regclass FROM pg_depend WHERE deptype = 'e' AND classid = 'pg_class'::regclass
                  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'esgf_stac')
                  AND (SELECT relkind FROM pg_class WHERE oid = objid) IN ('r', 'v', 'S')$$,
                'no table or view is a member of the extension');
-- All of ours that one can meet says what it is for.
CREATE FUNCTION pg_temp.ours(namespace oid) RETURNS boolean LANGUAGE sql AS $$ SELECT namespace::regnamespace::text IN ('esgf_stac', 'esgf_stac_internal') $$;
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc p WHERE pg_temp.ours(p.pronamespace) AND obj_description(p.oid, 'pg_proc') IS NULL$$,
                'every function has a comment');
SELECT is_empty($$SELECT c.oid::regclass, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum >= 0 AND NOT a.attisdropped
                  WHERE pg_temp.ours(c.relnamespace) AND c.relkind IN ('r', 'v', 'c') AND col_description(c.oid, a.attnum) IS NULL$$, 'so has every column');
SELECT is_empty($$SELECT c.oid::regclass FROM pg_class c WHERE pg_temp.ours(c.relnamespace) AND c.relkind IN ('r', 'v')
                  AND obj_description(c.oid, 'pg_class') IS NULL$$, 'every table and view');
SELECT is_empty($$SELECT rolname FROM pg_roles WHERE rolname ~ '^esgf_stac_(reader|writer|gateway|admin|relay|ingest)$' AND shobj_description(oid, 'pg_authid') IS NULL
                  UNION ALL SELECT nspname FROM pg_namespace WHERE pg_temp.ours(oid) AND obj_description(oid, 'pg_namespace') IS NULL$$,
                'every role and schema');
SELECT is_empty($$SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'esgf_stac_internal'::regnamespace AND has_function_privilege('public', oid, 'EXECUTE')$$,
                'what is internal is not for everybody');
SELECT is_empty($$SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'esgf_stac'::regnamespace AND prorettype = 'trigger'::regtype
                  AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = pg_proc.oid)$$, 'no trigger function hangs on nothing');
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc p WHERE pg_temp.ours(p.pronamespace)
                  AND p.prosecdef AND NOT coalesce(array_to_string(p.proconfig, ',') LIKE 'search_path=pg_catalog, esgf_stac, pg_temp%', false)$$,
                'every SECURITY DEFINER function has its search_path');
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc p WHERE pg_temp.ours(p.pronamespace)
                  AND (p.prosecdef OR p.provolatile = 'v') AND has_function_privilege('public', p.oid, 'EXECUTE')$$,
                'PUBLIC may call nothing that writes');

-- What is refused of tables.
SELECT pg_temp.refused(format('DELETE FROM esgf_stac.%I', t), 'PT400', 'operation-not-permitted', 'DELETE of ' || t)
  FROM unnest(ARRAY['item', 'dataset', 'outbox', 'collection', 'access_rule', 'replication_rule', 'schema']) t;
SELECT pg_temp.refused(format('TRUNCATE esgf_stac.%I', t), 'PT400', 'operation-not-permitted', 'TRUNCATE of ' || t)
  FROM unnest(ARRAY['item', 'dataset', 'outbox', 'collection', 'access_rule', 'replication_rule', 'schema']) t;
SELECT is_empty($$SELECT table_name, grantee, privilege_type FROM information_schema.role_table_grants
                  WHERE table_schema = 'esgf_stac' AND privilege_type IN ('DELETE', 'TRUNCATE') AND grantee LIKE 'esgf%'
                  AND table_name <> 'site'$$, 'no role of ours may delete rows of a catalogue');

-- Roles.
SELECT roles_are_ours FROM (SELECT is(array_agg(rolname ORDER BY rolname),
    ARRAY['esgf_stac_admin', 'esgf_stac_gateway', 'esgf_stac_ingest', 'esgf_stac_reader', 'esgf_stac_relay', 'esgf_stac_writer']::name[], 'six roles') AS roles_are_ours
  FROM pg_roles WHERE rolname LIKE 'esgf\_stac\_%') r;
SELECT ok(pg_has_role('esgf_stac_admin', 'esgf_stac_reader', 'USAGE'), 'an administrator may do what a reader may');
SELECT ok(NOT has_table_privilege('esgf_stac_reader', 'esgf_stac.item', 'SELECT'), 'a reader does not see the item table');
SELECT ok(NOT has_any_column_privilege('esgf_stac_relay', 'esgf_stac.outbox', 'INSERT'), 'the relay does not write events');
SELECT ok(NOT has_column_privilege('esgf_stac_relay', 'esgf_stac.outbox', 'identity', 'SELECT'), 'the relay does not see identities');
SELECT ok(has_function_privilege('esgf_stac_writer', 'esgf_stac.patch_item(text, text, jsonb, bigint)', 'EXECUTE'), 'a writer may patch');
SELECT ok(NOT has_function_privilege('esgf_stac_reader', 'esgf_stac.patch_item(text, text, jsonb, bigint)', 'EXECUTE'), 'a reader may not');
SELECT ok(NOT has_function_privilege('esgf_stac_writer', 'esgf_stac.create_collection(jsonb)', 'EXECUTE'), 'a writer makes no collections');
SELECT is((SELECT array_agg(m[1]) FROM pg_constraint, regexp_matches(pg_get_constraintdef(oid), '''([A-Z]+)''', 'g') m WHERE conrelid = 'esgf_stac.access_rule'::regclass),
          esgf_stac_internal.access_roles(), 'a rule may permit what decisions ask for');

-- Code and data are apart.
SELECT pg_temp.refused('DROP EXTENSION esgf_stac', '2BP01', NULL, 'DROP EXTENSION refuses while a catalogue stands');
DO $$ BEGIN PERFORM esgf_stac.create_collection(pg_temp.collection_document('CMIP6')); END $$;
CREATE FUNCTION pg_temp.attached() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(t, E'\n' ORDER BY t COLLATE "C") FROM (
        SELECT concat_ws(' ', pg_get_triggerdef(oid), tgenabled) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'esgf_stac'::regnamespace)
        UNION ALL SELECT concat_ws(' ', oid::regclass, relacl) FROM pg_class WHERE relnamespace = 'esgf_stac'::regnamespace
        UNION ALL SELECT concat_ws(' ', attrelid::regclass, attname, attacl) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'esgf_stac'::regnamespace AND attacl IS NOT NULL) AS x(t) $$;
CREATE TEMPORARY TABLE before AS SELECT pg_temp.attached();
CREATE ROLE esgf_stac_test_writer IN ROLE esgf_stac_writer;
CREATE ROLE esgf_stac_test_admin IN ROLE esgf_stac_admin;
DROP EXTENSION esgf_stac CASCADE;
SELECT is((SELECT count(*) FROM esgf_stac.outbox), 1::bigint, 'DROP EXTENSION CASCADE erases no row');

-- What has lost its triggers is closed, until it has them again.
CREATE FUNCTION pg_temp.closed(as_role text, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    slug text;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', as_role);
    EXECUTE query;
    RESET ROLE;
    RETURN 'was done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS slug = CONSTRAINT_NAME;
    RETURN SQLSTATE || ' ' || slug;
END $$;
CREATE TEMPORARY TABLE closed (as_role text, query text);
INSERT INTO closed VALUES
    ('esgf_stac_test_writer', 'INSERT INTO esgf_stac.item VALUES (''CMIP6'', ''x'', 1, ''x'', NULL, true, false, false, ''{}'', NULL, ''{}'', now(), now())'),
    ('esgf_stac_test_writer', 'INSERT INTO esgf_stac.item VALUES (''CMIP6'', ''x'', 1, ''x'', NULL, true, false, false, ''{}'', NULL, ''{}'', now(), now()) ON CONFLICT (collection_id, id) DO UPDATE SET document = ''{}'''),
    ('esgf_stac_test_writer', 'UPDATE esgf_stac.item SET document = ''{}'''), ('esgf_stac_test_writer', 'UPDATE esgf_stac.item SET version = 9 WHERE false'),
    ('esgf_stac_test_writer', 'MERGE INTO esgf_stac.item i USING (VALUES (1)) v ON false WHEN NOT MATCHED THEN INSERT VALUES (''CMIP6'', ''x'', 1, ''x'', NULL, true, false, false, ''{}'', NULL, ''{}'', now(), now())'),
    ('esgf_stac_test_admin', 'UPDATE esgf_stac.collection SET document = ''{}'''), ('esgf_stac_test_admin', 'INSERT INTO esgf_stac.collection (id, document, version, created, updated, institution_path) VALUES (''C'', ''{}'', 1, now(), now(), ''/i'')'),
    ('esgf_stac_test_admin', 'INSERT INTO esgf_stac.site VALUES (''x.org'', ''{nothing}'')'), ('esgf_stac_test_admin', 'DELETE FROM esgf_stac.site');
INSERT INTO closed SELECT current_user, format(query, t) FROM unnest(ARRAY['item', 'outbox', 'collection', 'access_rule', 'schema']) t, unnest(ARRAY['DELETE FROM esgf_stac.%I', 'TRUNCATE esgf_stac.%I']) query;
INSERT INTO closed VALUES (current_user, 'INSERT INTO esgf_stac.access_rule (principal, role, scope, target, granted_by) VALUES (''group:x'', ''UPDATE'', ''project'', ''*'', ''x'')');
SELECT is(pg_temp.closed(as_role, query), 'PT503 no-catalogue', 'closed: ' || left(query, 70)) FROM closed;
SET LOCAL ROLE esgf_stac_test_writer;
SELECT is((SELECT count(*) FROM esgf_stac.published_item), 0::bigint, 'while readers read on');
RESET ROLE;

-- Whoever had the roles keeps them only if a superuser says so.
CREATE FUNCTION pg_temp.install() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    CREATE EXTENSION esgf_stac;
    RETURN 'installed';
EXCEPTION WHEN insufficient_privilege THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN detail;
END $$;
SELECT is(pg_temp.install(), E'esgf_stac_admin: esgf_stac_test_admin\nesgf_stac_writer: esgf_stac_test_writer', 'installing again names the members');
SELECT is(current_setting('esgf_stac.accept_roles', true), NULL, 'no library knows of the setting');
SET LOCAL esgf_stac.accept_roles = off;
SELECT isnt(pg_temp.install(), 'installed', 'which off leaves as it is');
SET LOCAL esgf_stac.accept_roles = on;
SELECT is(pg_temp.install(), 'installed', 'and takes them once they are accepted');
SELECT is(pg_temp.closed(as_role, query), 'PT503 no-catalogue', 'closed still: ' || left(query, 70)) FROM closed;
SELECT set_eq($$SELECT subject, cure FROM esgf_stac.doctor() WHERE hazard = 'closed'$$,
              $$SELECT t, 'SELECT esgf_stac.upgrade_catalogue();' FROM unnest(ARRAY['esgf_stac.item', 'esgf_stac.outbox', 'esgf_stac.collection', 'esgf_stac.access_rule', 'esgf_stac.replication_rule', 'esgf_stac.site', 'esgf_stac.schema']) t$$, 'as doctor says');
SELECT lives_ok('SELECT esgf_stac.upgrade_catalogue()', 'the catalogue is attached to the extension again');
SELECT is(pg_temp.attached(), (SELECT attached FROM before), 'with all its triggers and grants');
SELECT is((SELECT r.version FROM esgf_stac.patch_collection('CMIP6', '{"title": "t"}') r), 2::bigint, 'and its versions go on');
SELECT is(pg_temp.closed('esgf_stac_test_writer', 'UPDATE esgf_stac.item SET document = ''{}'' WHERE false'), 'was done', 'and it is open');

UPDATE esgf_stac.catalogue SET version = '0.0.0';
SELECT pg_temp.refused($$SELECT esgf_stac.get_item('C', 'x')$$, '55000', NULL, 'tables of another version are an error');
SELECT pg_temp.refused('SELECT esgf_stac.upgrade_catalogue()', '55000', NULL, 'and of a version that nobody knows cannot be upgraded');
SELECT bag_eq($$SELECT subject, cure FROM esgf_stac.doctor() WHERE hazard = 'version'$$, $$VALUES ('catalogue', 'SELECT esgf_stac.upgrade_catalogue();')$$, 'doctor() says so');
CREATE FUNCTION esgf_stac_internal."catalogue_steps_0.0.0--0.0.1"() RETURNS void LANGUAGE sql AS 'CREATE SEQUENCE esgf_stac.first';
DO $$ BEGIN EXECUTE format('CREATE FUNCTION esgf_stac_internal.%I() RETURNS void LANGUAGE sql AS $f$ALTER SEQUENCE esgf_stac.first RENAME TO second$f$',
                           'catalogue_steps_0.0.1--' || esgf_stac.installed_version()); END $$;
SELECT lives_ok('SELECT esgf_stac.upgrade_catalogue()', 'where steps lead from one to the next');
SELECT has_sequence('esgf_stac', 'second', 'they are taken in their order');
DROP FUNCTION esgf_stac_internal."catalogue_steps_0.0.0--0.0.1";
DO $$ BEGIN EXECUTE format('DROP FUNCTION esgf_stac_internal.%I', 'catalogue_steps_0.0.1--' || esgf_stac.installed_version()); END $$;
UPDATE pg_extension SET extversion = '0.0.0' WHERE extname = 'esgf_stac';
UPDATE esgf_stac.catalogue SET version = version;
SELECT pg_temp.refused($$SELECT esgf_stac.get_item('C', 'x')$$, '55000', NULL, 'so is an extension of another version than the library');
SELECT is((SELECT cure FROM esgf_stac.doctor() WHERE hazard = 'version' AND subject = 'extension'), 'ALTER EXTENSION esgf_stac UPDATE; SELECT esgf_stac.upgrade_catalogue();', 'doctor() says that, too');
SELECT isnt(esgf_stac.library_version(), esgf_stac.installed_version(), 'as one can see');
UPDATE pg_extension SET extversion = esgf_version FROM (SELECT version AS esgf_version FROM esgf_stac.catalogue) c WHERE extname = 'esgf_stac';
UPDATE esgf_stac.catalogue SET system_identifier = 1;
SELECT pg_temp.refused($$SELECT esgf_stac.create_item('C', '{"id": "x"}')$$, 'PT503', 'catalogue-not-adopted', 'a catalogue of another cluster is not written');
SELECT lives_ok('SELECT esgf_stac.adopt_catalogue()', 'until it is adopted');
SELECT pg_temp.refused($$SELECT esgf_stac.create_item('C', '{"id": "x"}')$$, 'PT404', 'collection-does-not-exist', 'and is then');

-- What somebody else prepared.
DROP EXTENSION esgf_stac CASCADE;
DROP SCHEMA esgf_stac CASCADE;
CREATE ROLE esgf_stac_test_mallory;
CREATE SCHEMA esgf_stac AUTHORIZATION esgf_stac_test_mallory;
SELECT pg_temp.refused('CREATE EXTENSION esgf_stac', '42501', NULL, 'a schema that belongs to somebody else');
DROP SCHEMA esgf_stac;
CREATE SCHEMA esgf_stac;
CREATE FUNCTION esgf_stac.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER FUNCTION esgf_stac.f() OWNER TO esgf_stac_test_mallory;
SELECT pg_temp.refused('CREATE EXTENSION esgf_stac', '42501', NULL, 'an object of somebody else in our schema');

SELECT * FROM finish();
ROLLBACK;
