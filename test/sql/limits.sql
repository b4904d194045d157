\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- Limits on what a caller sends: each 400 with its name, and what is stored beyond
-- them is no prison; answers are bounded. See doc/limits.md.
SELECT no_plan();

CREATE FUNCTION pg_temp.name(n int) RETURNS text LANGUAGE sql AS $$ SELECT left(repeat(md5(n::text), 20 + n / 30), n) $$;
CREATE FUNCTION pg_temp.detail(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS answer = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || answer;
END $$;
-- An item with one asset at a node, and n more nodes.
CREATE FUNCTION pg_temp.at_nodes(id text, primary_node text, n int) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.document(id, jsonb_build_object('assets', jsonb_build_object('f', jsonb_build_object('href', 'https://x/f', 'roles', '["data"]'::jsonb, 'alternate:name', primary_node)
        || CASE WHEN n = 0 THEN '{}' ELSE jsonb_build_object('alternate', (SELECT jsonb_object_agg('n' || i, jsonb_build_object('href', 'https://x/' || i, 'alternate:name', 'n' || i)) FROM generate_series(1, n) i)) END))) $$;
CREATE FUNCTION pg_temp.of_institutions(id text, n int) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.document(id, jsonb_build_object('properties', (pg_temp.document(id) -> 'properties') || jsonb_build_object('cmip6:institution_id', (SELECT jsonb_agg('i' || i) FROM generate_series(1, n) i)))) $$;

-- Names of 255 bytes are taken.
SELECT lives_ok($$SELECT esgf_stac.create_item('CMIP6', pg_temp.document(pg_temp.name(255)))$$, 'an id of 255 bytes');
SELECT lives_ok($$SELECT esgf_stac.create_item('CMIP6', pg_temp.at_nodes('node.v1', pg_temp.name(255), 0))$$, 'a node of 255 bytes');
SELECT lives_ok($$SELECT esgf_stac.create_item('CMIP6', pg_temp.at_nodes('nodes.v1', 'n0', 999))$$, '1,000 nodes');
SELECT lives_ok($$SELECT esgf_stac.create_item('CMIP6', pg_temp.of_institutions('institutions.v1', 1000))$$, '1,000 institutions');
SELECT is((SELECT count(*) FROM esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'RETRACT', 'collection_id', 'CMIP6', 'item_id', 'nodes.v1',
    'reason', pg_temp.name(4000), 'request_id', pg_temp.name(255)))) WHERE status = 200), 1::bigint, 'a request_id of 255 bytes, a reason of 4000');

-- Longer ones are refused, by every way in, and leave nothing.
CREATE TABLE pg_temp.before AS SELECT (SELECT count(*) FROM esgf_stac.outbox) AS events, (SELECT count(*) FROM esgf_stac.item) AS items, (SELECT count(*) FROM esgf_stac.request) AS requests;
SELECT pg_temp.refused(statement, 'PT400', slug, what)
  FROM (VALUES
    ($$SELECT esgf_stac.create_item('CMIP6', pg_temp.document(pg_temp.name(256)))$$, 'stac-validation', 'an id in a document'),
    ($$INSERT INTO esgf_stac.item (collection_id, id, document) SELECT 'CMIP6', pg_temp.name(256), pg_temp.document(pg_temp.name(256))$$, 'stac-validation', 'by INSERT'),
    ($$SELECT esgf_stac.patch_item('CMIP6', pg_temp.name(256), '{}')$$, 'bad-request', 'an item_id'),
    ($$SELECT esgf_stac.delete_item(pg_temp.name(256), 'node.v1')$$, 'bad-request', 'a collection_id'),
    ($$SELECT esgf_stac.create_item('CMIP6', pg_temp.at_nodes('x.v1', pg_temp.name(256), 0))$$, 'stac-validation', 'a node in a document'),
    ($$SELECT esgf_stac.create_item('CMIP6', pg_temp.at_nodes('x.v1', pg_temp.name(6000), 0))$$, 'stac-validation', 'one that no index holds'),
    ($$INSERT INTO esgf_stac.item (collection_id, id, document) SELECT 'CMIP6', 'x.v1', pg_temp.at_nodes('x.v1', pg_temp.name(6000), 0)$$, 'stac-validation', 'by INSERT'),
    ($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{assets,f,alternate:name}', to_jsonb(pg_temp.name(6000))) WHERE id = 'node.v1'$$, 'stac-validation', 'by UPDATE'),
    ($$SELECT esgf_stac.add_replica('CMIP6', 'node.v1', pg_temp.name(256), '{"f": {"href": "https://x/f"}}')$$, 'bad-request', 'the node of a replica'),
    ($$SELECT esgf_stac.remove_replica('CMIP6', 'node.v1', pg_temp.name(256))$$, 'bad-request', 'to be removed'),
    ($$SELECT esgf_stac.create_item('CMIP6', pg_temp.at_nodes('x.v1', 'n0', 1000))$$, 'stac-validation', '1,001 nodes'),
    ($$SELECT esgf_stac.create_item('CMIP6', pg_temp.at_nodes('x.v1', 'n0', 20000))$$, 'stac-validation', '20,001'),
    ($$SELECT esgf_stac.patch_item('CMIP6', 'node.v1', pg_temp.at_nodes('x.v1', 'n0', 1000) -> 'assets' #> '{}' || '{}' #- '{f}' || jsonb_build_object('assets', pg_temp.at_nodes('x.v1', 'n0', 1000) -> 'assets'))$$, 'stac-validation', 'in a patch'),
    ($$SELECT esgf_stac.create_item('CMIP6', pg_temp.of_institutions('x.v1', 1001))$$, 'stac-validation', '1,001 institutions'),
    ($$SELECT esgf_stac.delete_item('CMIP6', 'node.v1', reason => pg_temp.name(4001))$$, 'bad-request', 'a reason'),
    ($$UPDATE esgf_stac.item SET deleted = true, reason = pg_temp.name(4001) WHERE id = 'node.v1'$$, 'bad-request', 'by UPDATE'),
    ($$SELECT esgf_stac.grant_access(pg_temp.name(256), 'CREATE', 'project', '*')$$, 'bad-request', 'a principal'),
    ($$SELECT esgf_stac.grant_access('group:x', 'CREATE', 'node', pg_temp.name(256))$$, 'bad-request', 'a target'),
    ($$SELECT esgf_stac.explain_access('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "node.v1"}', jsonb_build_object('sub', 's', 'principals', jsonb_build_array(pg_temp.name(256))))$$, 'bad-request', 'a principal of an identity'),
    ($$SELECT esgf_stac.explain_access('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "node.v1"}', jsonb_build_object('sub', 's', 'principals', (SELECT jsonb_agg('p' || i) FROM generate_series(1, 1001) i)))$$, 'bad-request', '1,001 of them'),
    ($$SELECT esgf_stac.explain_access('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "node.v1"}', jsonb_build_object('sub', 's', 'batch', pg_temp.name(256)))$$, 'bad-request', 'a batch'),
    ($$SELECT esgf_stac.explain_access('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "node.v1"}', jsonb_build_object('sub', 's', 'publisher', jsonb_build_object('package', repeat('x', 4000))))$$, 'bad-request', 'a publisher'),
    ($$SELECT esgf_stac.explain_access('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "node.v1"}', jsonb_build_object('sub', pg_temp.name(256)))$$, 'bad-request', 'a sub'),
    ($$SELECT esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'DELETE', 'collection_id', 'CMIP6', 'item_id', 'node.v1', 'request_id', pg_temp.name(256))))$$, 'bad-request', 'a request_id'),
    ($$SELECT esgf_stac.changes(NULL, 10001)$$, 'bad-request', '10,001 events')
  ) v(statement, slug, what);
SELECT is(pg_temp.detail($$SELECT esgf_stac.create_item('CMIP6', pg_temp.at_nodes('x.v1', pg_temp.name(256), 1000))$$),
          E'PT400 /assets/f/alternate:name: must not be longer than 255 bytes\n/assets: must not bring more than 1000 data nodes in one change', 'all of it is told at once');
SELECT is(pg_temp.detail($$SELECT esgf_stac.create_item('CMIP6', pg_temp.of_institutions('x.v1', 1001))$$),
          'PT400 /properties/cmip6:institution_id: must not name more than 1000 institutions', 'and where');
SELECT is(pg_temp.detail($$SELECT esgf_stac.delete_item('CMIP6', 'node.v1', reason => pg_temp.name(4001))$$), 'PT400 /reason: must not be longer than 4000 bytes', 'a request, too');

-- One bad request of many is answered; the others stand.
CREATE FUNCTION pg_temp.post(id text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('method', 'POST', 'collection_id', 'CMIP6', 'item', pg_temp.document(id)) || more $$;
SELECT results_eq($$SELECT status, problem ->> 'type', problem ->> 'instance' FROM esgf_stac.transact(jsonb_build_array(
    pg_temp.post('good1.v1'), pg_temp.post('good2.v1') || jsonb_build_object('request_id', pg_temp.name(6000)),
    pg_temp.post('good2.v1', jsonb_build_object('item', pg_temp.at_nodes('good2.v1', pg_temp.name(6000), 0))),
    pg_temp.post(pg_temp.name(6000)), jsonb_build_object('method', 'DELETE', 'collection_id', 'CMIP6', 'item_id', pg_temp.name(6000)), jsonb_build_object(pg_temp.name(6000), 1),
    pg_temp.post('good3.v1')), false)$$,
    $$VALUES (201, NULL, NULL), (400, 'https://esgf.io/publication/errors/bad-request', '/collections/CMIP6/items/good2.v1'), (400, 'https://esgf.io/publication/errors/stac-validation', '/collections/CMIP6/items/good2.v1'),
             (400, 'https://esgf.io/publication/errors/stac-validation', '/requests/4'), (400, 'https://esgf.io/publication/errors/bad-request', '/requests/5'), (400, 'https://esgf.io/publication/errors/bad-request', '/requests/6'), (201, NULL, NULL)$$,
    'a transact that is not atomic');
SELECT results_eq($$SELECT status, problem ->> 'type' FROM esgf_stac.import_items(ARRAY[pg_temp.document('imported.v1'), pg_temp.document(pg_temp.name(256)), pg_temp.at_nodes('imported.v2', pg_temp.name(6000), 0)])$$,
    $$VALUES (201, NULL), (400, 'https://esgf.io/publication/errors/stac-validation'), (400, 'https://esgf.io/publication/errors/stac-validation')$$, 'an import');
SELECT row_eq($$SELECT (SELECT count(*) FROM esgf_stac.outbox) - events, (SELECT count(*) FROM esgf_stac.item) - items, (SELECT count(*) FROM esgf_stac.request) - requests FROM pg_temp.before$$,
              ROW (2::bigint, 3::bigint, 0::bigint), 'no more than these has left anything');
CREATE TABLE pg_temp.deep AS SELECT jsonb_build_array(pg_temp.post('good4.v1'), jsonb_build_object('method', 'PATCH', 'collection_id', 'CMIP6', 'item_id', 'good1.v1', 'patch',
    jsonb_build_array(jsonb_build_object('op', 'replace', 'path', '/properties/deep', 'value', (repeat('[', 9000) || '2' || repeat(']', 9000))::jsonb))), pg_temp.post('good5.v1')) AS requests,
    (repeat('[', 9000) || '1' || repeat(']', 9000))::jsonb AS value;
SELECT lives_ok($$SELECT esgf_stac.patch_item('CMIP6', 'good1.v1', jsonb_build_object('properties', jsonb_build_object('deep', value))) FROM pg_temp.deep$$, 'a value of 9,000 levels');
SET LOCAL max_stack_depth = '200kB';
SELECT results_eq($$SELECT status, problem ->> 'type' FROM pg_temp.deep, esgf_stac.transact(requests, false)$$,
                  $$VALUES (201, NULL), (413, 'https://esgf.io/publication/errors/document-too-large'), (201, NULL)$$, 'that is too deep for the stack is an answer');
RESET max_stack_depth;

-- What 0.1.0 stored beyond the limits can be retracted, deleted and reduced, and grow within them.
SET LOCAL session_replication_role = replica;
INSERT INTO esgf_stac.item (collection_id, id, version, base_id, dataset_version, latest, retracted, deleted, nodes, document, created, updated)
SELECT 'CMIP6', id, 1, left(id, -3), '1', true, false, false, '{}', d || jsonb_build_object('collection', 'CMIP6', 'links', '[]'::jsonb,
       'properties', (d -> 'properties') || '{"latest": true, "retracted": false, "created": "2020-01-01T00:00:00.000000Z", "updated": "2020-01-01T00:00:00.000000Z"}'), '2020-01-01', '2020-01-01'
  FROM (VALUES ('old_nodes.v1', pg_temp.at_nodes('old_nodes.v1', pg_temp.name(300), 1200)), ('old_institutions.v1', pg_temp.of_institutions('old_institutions.v1', 1200))) v(id, d);
INSERT INTO esgf_stac.dataset SELECT collection_id, base_id, id FROM esgf_stac.item WHERE id LIKE 'old%';
RESET session_replication_role;
SELECT lives_ok(format('SELECT esgf_stac.%s', call), 'beyond the limits before: ' || left(call, 60))
  FROM (VALUES ($$patch_item('CMIP6', 'old_nodes.v1', '{"properties": {"title": "t"}}')$$), ($$remove_replica('CMIP6', 'old_nodes.v1', 'n7')$$), ($$remove_replica('CMIP6', 'old_nodes.v1', 'n8')$$),
               ($$retract_item('CMIP6', 'old_nodes.v1')$$), ($$reinstate_item('CMIP6', 'old_nodes.v1')$$), ($$delete_item('CMIP6', 'old_nodes.v1')$$), ($$restore_item('CMIP6', 'old_nodes.v1')$$),
               ($$patch_item('CMIP6', 'old_institutions.v1', '{"properties": {"title": "t"}}')$$), ($$retract_item('CMIP6', 'old_institutions.v1')$$), ($$reinstate_item('CMIP6', 'old_institutions.v1')$$),
               ($$patch_item('CMIP6', 'old_institutions.v1', '[{"op": "remove", "path": "/properties/cmip6:institution_id/0"}]')$$), ($$delete_item('CMIP6', 'old_institutions.v1')$$)) v(call);

-- Answers: a hundred parts, and how many more; names clipped; nothing kept afterwards.
CREATE ROLE limits_nobody IN ROLE esgf_stac_writer;
SET LOCAL ROLE limits_nobody;
CREATE FUNCTION pg_temp.product(k int, long int DEFAULT 0) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_set(pg_temp.at_nodes('product.v1', 'n0', k - 1), '{properties,cmip6:institution_id}', (SELECT jsonb_agg('i' || i || repeat('x', long)) FROM generate_series(1, k) i)) $$;
SELECT matches(pg_temp.detail($$SELECT esgf_stac.create_item('CMIP6', pg_temp.product(1000))$$), '^PT403 (/[^\n]*\n){0,99}(: [^\n]*\n)?([^\n]*\n){0,99}and 1001900 more$', 'a million parts that are not permitted');
SELECT cmp_ok(length(pg_temp.detail($$SELECT esgf_stac.create_item('CMIP6', pg_temp.product(500, 10000))$$)), '<', 100000, 'of names that are long');
SELECT results_eq($$SELECT status, jsonb_array_length(problem -> 'errors'), length(problem::text) < 100000 FROM esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'POST', 'collection_id', 'CMIP6', 'item', pg_temp.product(300))), false)$$,
                  $$VALUES (403, 100, true)$$, 'as a problem');
SELECT cmp_ok(count(*), '<=', 10000::bigint, 'and explained') FROM esgf_stac.explain_access(jsonb_build_object('method', 'POST', 'collection_id', 'CMIP6', 'item', pg_temp.product(300)));
RESET ROLE;
SELECT is((SELECT count(*) FROM esgf_stac.validate_item(pg_temp.document('x.v1', jsonb_build_object('links', (SELECT jsonb_agg(i) FROM generate_series(1, 5000) i))))), 101::bigint, 'problems of a document');
SELECT cmp_ok(length(pg_temp.detail(statement)), '<', 2000, 'a long name in an answer: ' || left(statement, 60))
  FROM (VALUES ($$SELECT esgf_stac.transact(jsonb_build_array(jsonb_build_object(pg_temp.name(100000), 1)))$$),
               ($$SELECT esgf_stac.configure_collection('CMIP6', jsonb_build_object(pg_temp.name(100000), 1))$$),
               ($$SELECT esgf_stac.explain_access('{}', jsonb_build_object('sub', 's', pg_temp.name(100000), 1))$$),
               ($$SELECT esgf_stac.add_replica('CMIP6', 'node.v1', 'n1', jsonb_build_object(pg_temp.name(100000), 1))$$),
               ($$SELECT esgf_stac.add_replica('CMIP6', 'node.v1', 'n1', jsonb_build_object(pg_temp.name(100000), '{"href": "x"}'::jsonb))$$),
               ($$SELECT esgf_stac.patch_item('CMIP6', 'node.v1', jsonb_build_array(jsonb_build_object('op', 'remove', 'path', '/' || pg_temp.name(100000))))$$),
               ($$SELECT esgf_stac.create_item('CMIP6', pg_temp.document('institutions.v2', '{"properties": {"datetime": "1850-01-01T00:00:00Z"}}'))$$)) v(statement);
SELECT matches(pg_temp.detail($$INSERT INTO esgf_stac.site (node, href_prefixes) SELECT 'many.org', array_agg('x' || i) FROM generate_series(1, 5000) i$$),
               '^PT400 (/href_prefixes/\d+: [^\n]*\n){100}and 4900 more$', 'prefixes of a site');

SELECT * FROM finish();
ROLLBACK;
