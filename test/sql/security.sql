\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set access :srcdir '/access.psql'
\i :access
-- The worst that each role can do, line by line of doc/security.md: what it can, and what it cannot.
SELECT plan(100);

CREATE ROLE esgf_stac_test_nobody;
CREATE ROLE esgf_stac_test_reader IN ROLE esgf_stac_reader;
CREATE ROLE esgf_stac_test_gateway IN ROLE esgf_stac_gateway;
CREATE ROLE esgf_stac_test_admin IN ROLE esgf_stac_admin;
CREATE ROLE esgf_stac_test_relay IN ROLE esgf_stac_relay;
CREATE ROLE esgf_stac_test_ingest IN ROLE esgf_stac_ingest;
DO $$ BEGIN
    PERFORM esgf_stac.create_item('CMIP6', pg_temp.access_document(id)) FROM unnest(ARRAY['gone.v1', 'out.v1']) id;
    PERFORM esgf_stac.delete_item('CMIP6', 'gone.v1');
    PERFORM esgf_stac.retract_item('CMIP6', 'out.v1');
    PERFORM esgf_stac.grant_access('group:x', 'UPDATE', 'project', 'CMIP6');
    PERFORM esgf_stac.create_stream('s');
    PERFORM esgf_stac.create_source('s');
END $$;

-- Each role tries each of these; what is not in its list of what it can is refused with 42501.
CREATE TEMPORARY TABLE action (name text, query text);
INSERT INTO action VALUES
    ('patch a document', 'SELECT esgf_stac.jsonb_merge_patch(''{}'', ''{}'')'),
    ('read what is published', 'SELECT FROM esgf_stac.published_item'),
    ('read events page by page', 'SELECT * FROM esgf_stac.changes()'),
    ('read stored items', 'SELECT FROM esgf_stac.item'),
    ('read events', 'SELECT FROM (SELECT seq, payload FROM esgf_stac.outbox) o'),
    ('ask who made an event', 'SELECT FROM esgf_stac_internal.event_metadata(''s'', ''[]'')'),
    ('read who made them', 'SELECT FROM (SELECT identity FROM esgf_stac.outbox) o'),
    ('read what was asked', 'SELECT FROM (SELECT request FROM esgf_stac.outbox) o'),
    ('read the rules', 'SELECT FROM esgf_stac.access_rule'),
    ('read idempotency keys', 'SELECT FROM esgf_stac.request'),
    ('read schemas', 'SELECT FROM esgf_stac.schema'),
    ('register schemas', 'SELECT esgf_stac.add_schema(''https://x.org/'', ''{}'')'),
    ('write schemas by hand', 'UPDATE esgf_stac.schema SET retired = now()'),
    ('call verbs', 'SELECT esgf_stac.patch_item(''CMIP6'', ''i.v1'', ''{}'')'),
    ('update by hand', 'UPDATE esgf_stac.item SET document = document'),
    ('lock rows', 'SELECT FROM esgf_stac.item FOR UPDATE'),
    ('lock the table', 'LOCK TABLE esgf_stac.item IN ACCESS EXCLUSIVE MODE'),
    ('speak for others', 'SELECT esgf_stac.set_identity(''{"sub": "x"}'')'),
    ('write collections', 'SELECT esgf_stac.patch_collection(''CMIP6'', ''{}'')'),
    ('write sites', 'UPDATE esgf_stac.site SET active = active'),
    ('give rights', 'SELECT esgf_stac.grant_access(''x'', ''UPDATE'', ''project'', ''*'')'),
    ('write rules by hand', 'INSERT INTO esgf_stac.access_rule (principal, role, scope, target, granted_by) VALUES (''x'', ''UPDATE'', ''project'', ''*'', ''y'')'),
    ('import items', 'SELECT * FROM esgf_stac.import_items(''{}'')'),
    ('delete items', 'DELETE FROM esgf_stac.item'),
    ('truncate items', 'TRUNCATE esgf_stac.item'),
    ('write events', 'UPDATE esgf_stac.outbox SET reason = ''x'''),
    ('delete events', 'DELETE FROM esgf_stac.outbox'),
    ('delete rules', 'DELETE FROM esgf_stac.access_rule'),
    ('write datasets', 'UPDATE esgf_stac.dataset SET latest_id = NULL'),
    ('hang a trigger on items', 'CREATE TRIGGER t BEFORE UPDATE ON esgf_stac.item FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()'),
    ('put something into our schema', 'CREATE TABLE esgf_stac.t ()'),
    ('take in events', 'SELECT * FROM esgf_stac.ingest(''s'', 0, ''[]'')'),
    ('read what came in', 'SELECT FROM esgf_stac.inbox, esgf_stac.source, esgf_stac.source_partition, esgf_stac.source_status'),
    ('make sources', 'SELECT esgf_stac.create_source(''t'')'),
    ('perform refused events again', 'SELECT * FROM esgf_stac.redrive_inbox(''s'')'),
    ('write what came in', 'UPDATE esgf_stac.inbox SET status = 200'),
    ('write how far a source is read', 'UPDATE esgf_stac.source_partition SET next_offset = 0'),
    ('ask for outcomes to send', 'SELECT * FROM esgf_stac_internal.source_results(''s'', 0, 1)'),
    ('steer jobs', 'SELECT esgf_stac.start_iteration(''s'')'),
    ('write how far a job is', 'UPDATE esgf_stac.iteration_job SET heartbeat = now()'),
    ('read jobs', 'SELECT FROM esgf_stac.iteration_job'),
    ('say how far a relay has come', 'UPDATE esgf_stac.consumer SET lsn = lsn');
CREATE FUNCTION pg_temp.can(as_role text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    a record;
    can text[];
BEGIN
    FOR a IN SELECT * FROM action ORDER BY name COLLATE "C" LOOP
        BEGIN
            EXECUTE format('SET LOCAL ROLE %I', as_role);
            EXECUTE a.query;
            can := can || a.name;
            RAISE EXCEPTION USING ERRCODE = 'PT000';
        EXCEPTION WHEN insufficient_privilege THEN NULL;
            WHEN OTHERS THEN
            IF SQLSTATE <> 'PT000' THEN
                can := can || concat(a.name, ' (', SQLSTATE, ')');
            END IF;
        END;
    END LOOP;
    RETURN array_to_string(can, ', ');
END $$;
SELECT is(pg_temp.can('esgf_stac_test_nobody'), 'patch a document', 'what anybody can');
SELECT is(pg_temp.can('esgf_stac_test_reader'), 'patch a document, read events page by page, read schemas, read what is published', 'what a reader can');
SELECT is(pg_temp.can('esgf_stac_test_writer'), 'call verbs, lock rows, lock the table, patch a document, read events page by page, read schemas, read stored items, read what is published, update by hand', 'what a writer can');
SELECT is(pg_temp.can('esgf_stac_test_gateway'), 'call verbs (PT401), lock rows, lock the table, patch a document, read events page by page, read schemas, read stored items, read what is published, speak for others, update by hand (PT401)', 'what a gateway can');
SELECT is(pg_temp.can('esgf_stac_test_admin'), 'call verbs, give rights, import items, lock rows, lock the table, make sources, patch a document, perform refused events again, read events, read events page by page, read idempotency keys, read jobs, read schemas, read stored items, read the rules, read what came in, read what is published, read what was asked, read who made them, register schemas, steer jobs, take in events, update by hand, write collections, write sites', 'what an administrator can');
SELECT is(pg_temp.can('esgf_stac_test_relay'), 'ask who made an event, patch a document, read events, read jobs, read what is published, say how far a relay has come, write how far a job is', 'what a relay can');
SELECT is(pg_temp.can('esgf_stac_test_ingest'), 'ask for outcomes to send, patch a document, read what came in, take in events', 'what a program that takes in events can');
SELECT is((SELECT string_agg(p.proname, ', ' ORDER BY p.proname COLLATE "C") FROM pg_proc p WHERE p.pronamespace IN ('esgf_stac'::regnamespace, 'esgf_stac_internal'::regnamespace)
              AND has_function_privilege('esgf_stac_test_ingest', p.oid, 'EXECUTE') AND NOT has_function_privilege('esgf_stac_test_nobody', p.oid, 'EXECUTE')),
          'begin_source, ingest, ingest_columns, note_results, note_source, one_line, require_catalogue, source_position, source_results', 'all that it can call');
SELECT is((SELECT string_agg(c.relname || ' ' || p, ', ' ORDER BY c.relname, p) FROM pg_class c, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
            WHERE c.relnamespace IN ('esgf_stac'::regnamespace, 'esgf_stac_internal'::regnamespace) AND c.relkind IN ('r', 'v')
              AND (has_table_privilege('esgf_stac_test_ingest', c.oid, p) OR p IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege('esgf_stac_test_ingest', c.oid, p))),
          'catalogue SELECT, inbox SELECT, maintenance SELECT, source SELECT, source_partition SELECT, source_status SELECT', 'and read');

-- A reader sees no deleted item and no assets of a retracted one, in no way.
SET LOCAL ROLE esgf_stac_test_reader;
SELECT is((SELECT count(*) FROM esgf_stac.published_item WHERE id = 'gone.v1'), 0::bigint, 'a reader sees no deleted item');
SELECT is((SELECT document -> 'assets' FROM esgf_stac.published_item WHERE id = 'out.v1'), '{}', 'nor the assets of a retracted one');
SELECT pg_temp.refused($$SELECT esgf_stac.get_item('CMIP6', 'out.v1', NULL, true)$$, '42501', NULL, 'stored neither');
CREATE FUNCTION pg_temp.leak(id text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE 'leaked %', id; END $$;
SELECT lives_ok($$SELECT FROM esgf_stac.published_item WHERE id = 'gone.v1' AND pg_temp.leak(id)$$, 'a cheap function of his sees none either');
RESET ROLE;

-- A writer without rules changes nothing, by any verb; what he reads is all there is.
SELECT is(pg_temp.attempt(c, 'none', 'UPDATE') LIKE 'PT403 missing-permission%', true, 'a writer without rules: ' || name) FROM access_case c WHERE target IS NOT NULL ORDER BY name;
SELECT is(pg_temp.attempt(c, 'none', 'verb') LIKE 'PT403 missing-permission%', true, 'a writer without rules, by the verb: ' || name) FROM access_case c WHERE verb IS NOT NULL ORDER BY name;
SET LOCAL ROLE esgf_stac_test_writer;
SELECT is((SELECT count(*) FROM esgf_stac.item), 3::bigint, 'a writer reads the deleted, too');

-- A gateway holds whatever anybody holds, and says any entitlement; it is no administrator.
SET LOCAL ROLE esgf_stac_test_gateway;
SAVEPOINT gateway;
SELECT lives_ok($$SELECT esgf_stac.set_identity('{"sub": "anybody", "principals": ["group:x", "urn:mace:egi.eu:group:esgf.vo.egi.eu:project:*:role=DELETE#aai.egi.eu"]}')$$, 'a gateway says what it wants');
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'i.v1', '{"properties": {"title": "t"}}')), 'updated', 'and may what any rule gives');
SELECT is((SELECT action FROM esgf_stac.delete_item('CMIP6', 'i.v1')), 'deleted', 'and any entitlement');
SET LOCAL ROLE esgf_stac_test_relay;
SELECT is((SELECT metadata -> 'auth' FROM esgf_stac_internal.event_metadata('s', '[{"collection_id": "CMIP6", "item_id": "i.v1", "version": 2, "xid": 3}]')),
          '{"auth_policy_id": null, "requester_data": {"sub": "anybody", "iss": "esgf_stac", "client_id": "esgf_stac"}}', 'a relay asks who, and hears of no principals');
SET LOCAL ROLE esgf_stac_test_gateway;
ROLLBACK TO gateway;
SELECT pg_temp.refused($$SELECT esgf_stac.set_identity('{"sub": "x", "principals": ["role:esgf_stac_admin"]}')$$, 'PT400', 'bad-request', 'but to be an administrator');
RESET ROLE;

-- An administrator may all that is permitted at all; he rewrites no history.
SET LOCAL ROLE esgf_stac_test_admin;
SELECT pg_temp.refused($$UPDATE esgf_stac.item SET version = 9$$, 'PT400', 'operation-not-permitted', 'an administrator gives no versions');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'i.v1', '{"properties": {"datetime": "never"}}')$$, 'PT400', 'stac-validation', 'stores no invalid item');
SELECT pg_temp.refused($$INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'i.v2', jsonb_set(pg_temp.access_document('i.v2'), '{properties,cmip6:institution_id}', '"DKRZ"'))$$, 'PT409', 'institution-differs', 'dethrones nobody');
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'i.v1', '{"properties": {"title": "a"}}')), 'updated', 'what he does');
RESET ROLE;
SELECT is((SELECT identity ->> 'sub' FROM pg_temp.last_event('i.v1')), 'esgf_stac_test_admin', 'is told of him');

-- Rules are closed and never changed, by whoever owns the table.
SELECT pg_temp.refused(query, 'PT400', 'operation-not-permitted', query)
  FROM unnest(ARRAY['UPDATE esgf_stac.access_rule SET role = ''DELETE''', 'UPDATE esgf_stac.access_rule SET target = ''*''', 'UPDATE esgf_stac.access_rule SET principal = ''y''', 'UPDATE esgf_stac.access_rule SET institution = ''y''',
    'UPDATE esgf_stac.access_rule SET granted_by = ''y''', 'UPDATE esgf_stac.access_rule SET valid_to = now()', 'UPDATE esgf_stac.access_rule SET valid_from = now() + interval ''1 day''', 'UPDATE esgf_stac.access_rule SET revoked_by = ''y''',
    'DELETE FROM esgf_stac.access_rule', 'TRUNCATE esgf_stac.access_rule']) query;
SELECT pg_temp.refused(format('SELECT esgf_stac.grant_access(%s)', arguments), 'PT400', 'bad-request', 'no rule: ' || arguments)
  FROM unnest(ARRAY['NULL, ''UPDATE'', ''project'', ''*''', ''''', ''UPDATE'', ''project'', ''*''', '''x'', NULL, ''project'', ''*''', '''x'', ''update'', ''project'', ''*''', '''x'', ''ADMIN'', ''project'', ''*''', '''x'', ''UPDATE'', NULL, ''*''',
    '''x'', ''UPDATE'', ''site'', ''*''', '''x'', ''UPDATE'', ''project'', NULL', '''x'', ''UPDATE'', ''project'', ''''', '''x'', ''UPDATE'', ''project'', ''*'', ''''', '''x'', ''UPDATE'', ''project'', ''*'', NULL, NULL', '''x'', ''UPDATE'', ''project'', ''*'', NULL, now(), now()']) arguments;
SELECT pg_temp.refused(format('SELECT esgf_stac.revoke_access(%s)', id), 'PT400', 'bad-request', 'no rule is closed: ' || id) FROM unnest(ARRAY['NULL', '-1', '999']) id;
SET LOCAL ROLE esgf_stac_test_admin;
SELECT lives_ok($$SELECT esgf_stac.revoke_access(id) FROM esgf_stac.access_rule$$, 'a rule is closed');
RESET ROLE;
SELECT row_eq($$SELECT revoked_by, valid_to <= clock_timestamp(), granted_by = session_user FROM esgf_stac.access_rule$$, ROW ('esgf_stac_test_admin'::text, true, true), 'its row says by whom and when');
SELECT pg_temp.refused($$SELECT esgf_stac.revoke_access(id) FROM esgf_stac.access_rule$$, 'PT400', 'bad-request', 'once');

-- Labels: a wrong one lets the planner run in a worker, or beside workers, what cannot be.
SELECT is_empty($$SELECT p.proname FROM pg_proc p WHERE p.pronamespace IN ('esgf_stac'::regnamespace, 'esgf_stac_internal'::regnamespace)
                     AND p.proparallel <> 'u' AND (p.prosrc ~* '\mexception\s+when\M' OR p.prosrc ~ 'require_catalogue')$$, 'what begins a subtransaction, or takes the latest snapshot, is unsafe');
CREATE TABLE pg_temp.words AS SELECT i, i::text AS word FROM generate_series(1, 50000) i;
CREATE TABLE public.parallel_words AS TABLE pg_temp.words;
ANALYZE public.parallel_words;
SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL min_parallel_table_scan_size = 0;
SELECT lives_ok(format('SELECT %s FROM public.parallel_words', call), 'beside parallel workers: ' || call)
  FROM unnest(ARRAY['count(esgf_stac_internal.require_catalogue())', 'count(*), esgf_stac_internal.require_catalogue()', 'count(esgf_stac_internal.one_line(word)), esgf_stac_internal.calling_role()',
                    'count(*) FILTER (WHERE esgf_stac_internal.satisfies(to_jsonb(i), ''$ > 7'')), esgf_stac_internal.is_predicate(''$ > 7'')', 'count(esgf_stac.installed_version())']) call;
RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size;

SELECT * FROM finish();
ROLLBACK;
