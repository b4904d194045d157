\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set ingest :srcdir '/ingest.psql'
\i :ingest
-- Maintenance: who begins to change anything is told so before all else, but for
-- administrators; who has begun goes on. The order of sessions: test/specs/maintenance_races.spec.
SELECT plan(55);

CREATE ROLE esgf_stac_test_writer IN ROLE esgf_stac_writer;
CREATE ROLE esgf_stac_test_gateway IN ROLE esgf_stac_gateway;
CREATE ROLE esgf_stac_test_both IN ROLE esgf_stac_gateway, esgf_stac_admin;
CREATE ROLE esgf_stac_test_admin IN ROLE esgf_stac_admin;
CREATE ROLE esgf_stac_test_reader IN ROLE esgf_stac_reader;
CREATE ROLE esgf_stac_test_relay IN ROLE esgf_stac_relay;
CREATE ROLE esgf_stac_test_ingest IN ROLE esgf_stac_ingest;
GRANT DELETE, TRUNCATE ON esgf_stac.item TO esgf_stac_test_writer;
GRANT UPDATE ON esgf_stac.collection TO esgf_stac_test_writer;
DO $$ BEGIN
    PERFORM esgf_stac.create_item('CMIP6', pg_temp.document('i.v1')), esgf_stac.create_source('s');
    PERFORM esgf_stac.grant_access(p, role, scope, '*') FROM (VALUES ('role:esgf_stac_test_writer')) w (p),
        unnest('{CREATE,UPDATE,DELETE,RETRACT}'::text[]) role, unnest('{project,node}'::text[]) scope;
END $$;

-- What a role hears of a statement: what it comes to, or the error and what that says; who is to be no administrator acts for somebody.
CREATE FUNCTION pg_temp.heard(caller text, query text, identity jsonb DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    slug text; hint text; at_table text; detail text;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', caller);
    IF identity IS NOT NULL THEN
        PERFORM esgf_stac.set_identity(identity);
    END IF;
    IF query ~* '^(SELECT|WITH)' THEN
        EXECUTE query INTO answer;
    ELSE
        EXECUTE query;
        answer := 'done';
    END IF;
    RESET ROLE;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS slug = CONSTRAINT_NAME, hint = PG_EXCEPTION_HINT, at_table = TABLE_NAME, detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', SQLSTATE, nullif(slug, ''), CASE WHEN slug = 'maintenance' THEN concat_ws('|', at_table, SQLERRM, detail, hint) END);
END $$;
CREATE TEMP TABLE counted AS SELECT (SELECT count(*) FROM esgf_stac.item) AS items, (SELECT count(*) FROM esgf_stac.outbox) AS events,
    (SELECT count(*) FROM esgf_stac.inbox) AS inbox, (SELECT count(*) FROM esgf_stac.request) AS requests, (SELECT md5(string_agg(i::text, '' ORDER BY id)) FROM esgf_stac.item i) AS truth;

-- ---------------------------------------------------------------- setting it

SELECT throws_ok(query, 'PT400', NULL, query) FROM unnest(ARRAY[$$SELECT esgf_stac.set_maintenance(NULL)$$, $$SELECT esgf_stac.set_maintenance(E' \n')$$,
    $$SELECT esgf_stac.set_maintenance(repeat('x', 501))$$, $$SELECT esgf_stac.set_maintenance('m', '-1 s')$$, $$SELECT esgf_stac.set_maintenance('m', '-1 year 362 days')$$]) query;
SELECT is(pg_temp.heard(caller, query), '42501', caller || ': ' || query)
  FROM unnest('{esgf_stac_test_writer,esgf_stac_test_gateway}'::text[]) caller, unnest(ARRAY[$$SELECT esgf_stac.set_maintenance('m')$$, 'SELECT esgf_stac.end_maintenance()']) query;
SELECT is(pg_temp.heard('esgf_stac_test_both', $$SELECT esgf_stac.set_maintenance('m')$$, '{"sub": "x"}'), '42501', 'nor may who acts for somebody');
SELECT is_empty('SELECT FROM esgf_stac.maintenance', 'nothing is set');
SELECT is(pg_temp.heard('esgf_stac_test_admin', $$SELECT esgf_stac.set_maintenance('the disk is replaced', '90.2 min')$$), '', 'an administrator sets it');
SELECT results_eq('SELECT message, retry_after, since <= clock_timestamp(), set_by FROM esgf_stac.maintenance',
    $$VALUES ('the disk is replaced', interval '90.2 min', true, 'esgf_stac_test_admin')$$, 'and all may see who did, and since when');
SELECT is(pg_temp.heard('esgf_stac_test_reader', 'SELECT message FROM esgf_stac.maintenance'), 'the disk is replaced', 'readers, too');

-- ---------------------------------------------------------------- refused

CREATE FUNCTION pg_temp.refused() RETURNS text LANGUAGE sql AS $$
    SELECT 'PT503 maintenance maintenance|the disk is replaced|Nothing is changed meanwhile; try again in 5412 seconds.|Send the same again later; reading goes on.' $$;
SELECT is(pg_temp.heard('esgf_stac_test_writer', query), pg_temp.refused(), query) FROM unnest(ARRAY[
    $$SELECT version FROM esgf_stac.patch_item('CMIP6', 'i.v1', '{"properties": {"title": "t"}}')$$,
    $$SELECT version FROM esgf_stac.patch_item('CMIP6', 'i.v1', '[7]')$$,
    $$SELECT version FROM esgf_stac.patch_item(NULL, 'i.v1', '{}')$$,
    $$SELECT version FROM esgf_stac.patch_item('nowhere', repeat('x', 1000), '{}', 7)$$,
    $$SELECT version FROM esgf_stac.create_item('CMIP6', '{}')$$,
    $$SELECT id FROM esgf_stac.set_replication_rule(NULL, '')$$, $$SELECT esgf_stac.drop_replication_rule('x', 'y')$$,
    $$SELECT version FROM esgf_stac.retract_item('CMIP6', 'i.v1')$$,
    $$UPDATE esgf_stac.item SET document = document || '{"bbox": [0, 0, 1, 1]}'$$,
    $$UPDATE esgf_stac.item SET reason = 'x' WHERE false$$,
    $$INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'n.v1', '{}') ON CONFLICT DO NOTHING$$,
    $$MERGE INTO esgf_stac.item i USING (VALUES ('i.v1')) v (id) ON i.id = v.id WHEN MATCHED THEN UPDATE SET deleted = true$$,
    $$DELETE FROM esgf_stac.item$$, $$TRUNCATE esgf_stac.item$$,
    $$UPDATE esgf_stac.collection SET document = document || '{"title": "t"}'$$,
    $$SELECT count(*) FROM esgf_stac.transact('[]')$$,
    $$SELECT count(*) FROM esgf_stac.transact('[{"method": "CHECK", "collection_id": "CMIP6", "item_id": "i.v1"}]', true)$$,
    $$SELECT count(*) FROM esgf_stac.transact('{}', false)$$, $$SELECT count(*) FROM esgf_stac.transact('[]', NULL)$$]) query;
SELECT is(pg_temp.heard('esgf_stac_test_writer', $q$SELECT jsonb_agg(jsonb_build_array(status, collection_id, item_id, version, changed, problem ->> 'instance', problem - '{instance,errors}'::text[]))
      FROM esgf_stac.transact('[{"method": "DELETE", "collection_id": "CMIP6", "item_id": "i.v1", "request_id": "k"}, 7]', false)$q$)::jsonb,
    (SELECT jsonb_build_array(jsonb_build_array(503, 'CMIP6', 'i.v1', NULL, NULL, '/collections/CMIP6/items/i.v1', problem), jsonb_build_array(503, NULL, NULL, NULL, NULL, '/requests/2', problem))
       FROM (SELECT '{"type": "https://esgf.io/publication/errors/maintenance", "status": 503, "title": "Catalogue is in maintenance", "retry_after": 5412,
                      "detail": "the disk is replaced: Nothing is changed meanwhile; try again in 5412 seconds.", "hint": "Send the same again later; reading goes on."}'::jsonb) p (problem)),
    'requests that stand alone have a problem each, which says when');

SELECT is(pg_temp.heard('esgf_stac_test_gateway', $$SELECT version FROM esgf_stac.patch_item('CMIP6', 'i.v1', '{}')$$), 'PT401 identity-missing', 'a gateway says for whom first');
SELECT is(pg_temp.heard('esgf_stac_test_gateway', $$SELECT version FROM esgf_stac.patch_item('CMIP6', 'i.v1', '{}')$$, '{"sub": "x"}'), pg_temp.refused(), 'then it is told');
SELECT is(pg_temp.heard('esgf_stac_test_both', format('SELECT version FROM esgf_stac.%s', call), '{"sub": "x"}'), pg_temp.refused(), 'an administrator who acts for somebody is none: ' || call)
  FROM unnest(ARRAY[$$patch_item('CMIP6', 'i.v1', '{}')$$, $$patch_collection('CMIP6', '{}')$$, $$configure_collection('CMIP6', '{}')$$]) call;
SELECT is(pg_temp.heard(caller, format('SELECT count(*) FROM esgf_stac.ingest(''s'', 0, %L)', pg_temp.messages(7, pg_temp.event('e7', pg_temp.payload('NONE', 'x'))))), pg_temp.refused(), caller || ': events wait, whoever brings them')
  FROM unnest('{esgf_stac_test_ingest,esgf_stac_test_admin}'::text[]) caller;
SELECT is(pg_temp.heard('esgf_stac_test_ingest', $$SELECT count(*) FROM esgf_stac.ingest('none', NULL, NULL)$$), pg_temp.refused(), 'be it the events of nobody');
UPDATE esgf_stac.catalogue SET system_identifier = 7;
SELECT is(pg_temp.heard('esgf_stac_test_writer', $$SELECT version FROM esgf_stac.patch_item('CMIP6', 'i.v1', '{}')$$), pg_temp.refused(), 'also while it is not adopted');
UPDATE esgf_stac.catalogue SET system_identifier = esgf_stac_internal.system_identifier(), version = '0.0.0';
SELECT is(pg_temp.heard('esgf_stac_test_writer', $$SELECT version FROM esgf_stac.patch_item('CMIP6', 'i.v1', '{}')$$), pg_temp.refused(), 'or of another version');
UPDATE esgf_stac.catalogue SET version = esgf_stac.installed_version();
SELECT results_eq('SELECT (SELECT count(*) FROM esgf_stac.item), (SELECT count(*) FROM esgf_stac.outbox), (SELECT count(*) FROM esgf_stac.inbox), (SELECT count(*) FROM esgf_stac.request),
    (SELECT md5(string_agg(i::text, '''' ORDER BY id)) FROM esgf_stac.item i)', 'SELECT * FROM counted', 'nothing has changed');

-- ---------------------------------------------------------------- what goes on

SELECT is(pg_temp.heard('esgf_stac_test_writer', $$SELECT version FROM esgf_stac.get_item('CMIP6', 'i.v1')$$), '1', 'reading goes on');
SELECT is(pg_temp.heard('esgf_stac_test_writer', $$SELECT count(*) FROM esgf_stac.explain_access('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "i.v1"}') WHERE granted$$), '1', 'and asking what one may');
SELECT is(pg_temp.heard('esgf_stac_test_admin', query), answer, 'administrators go on: ' || query) FROM (VALUES
    ($$SELECT version FROM esgf_stac.patch_item('CMIP6', 'i.v1', '{"properties": {"title": "t"}}')$$, '2'),
    ($$UPDATE esgf_stac.item SET reason = 'by hand', document = document || '{"bbox": [0, 0, 1, 1]}' WHERE id = 'i.v1'$$, 'done'),
    ($$SELECT version FROM esgf_stac.patch_collection('CMIP6', '{"title": "t"}')$$, '2')) t (query, answer);
SELECT is(pg_temp.heard('esgf_stac_test_relay', $$SELECT version FROM esgf_stac.reissue_item('CMIP6', 'i.v1', 3)$$), '4', 'so does a relay that mends an index');
SELECT is(pg_temp.heard('esgf_stac_test_writer', $$SELECT version FROM esgf_stac.patch_item('CMIP6', 'i.v1', '{}')$$), pg_temp.refused(), 'but admit nobody else');
DO $$ BEGIN PERFORM esgf_stac.set_maintenance(E'another\r\none'); END $$;
SELECT is(pg_temp.heard('esgf_stac_test_writer', $q$SELECT jsonb_build_array(message, problem -> 'retry_after', problem ->> 'detail')
      FROM esgf_stac.maintenance, esgf_stac.transact('[7]', false)$q$)::jsonb, jsonb_build_array(E'another\r\none', NULL, 'another  one: Nothing is changed meanwhile; it is not known for how long.'),
    'a second one takes the first one''s place; nobody knows for how long');
DO $$ BEGIN PERFORM esgf_stac.end_maintenance(), esgf_stac.end_maintenance(); END $$;
SELECT is(pg_temp.heard('esgf_stac_test_writer', $$SELECT version FROM esgf_stac.patch_item('CMIP6', 'i.v1', '{"properties": {"title": "u"}}')$$), '5', 'it has ended, and ending it again does no harm');

-- ---------------------------------------------------------------- who has begun

DO $$ BEGIN PERFORM esgf_stac.set_maintenance('m'); END $$;
SELECT is(pg_temp.heard('esgf_stac_test_writer', $$SELECT version FROM esgf_stac.patch_item('CMIP6', 'i.v1', '{"properties": {"title": "v"}}')$$), '6', 'a transaction that has written goes on');
SELECT * FROM finish();
ROLLBACK;
