\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- What the federation's data challenges and user stories tried, as its clients do it: through a gateway, for people with
-- rights of their own. What takes several sessions, or a relay, is in test/t/080_scenarios.pl, 10,000 replicas in 081.
SELECT plan(76);

CREATE ROLE esgf_stac_test_gateway IN ROLE esgf_stac_gateway;
INSERT INTO esgf_stac.site (node, href_prefixes) SELECT n, ARRAY['https://' || n || '/'] FROM unnest('{a.org,b.org,c.org,d.org}'::text[]) n;
DO $$ BEGIN
    PERFORM esgf_stac.grant_access('publisher', r, 'project', 'CMIP6') FROM unnest('{CREATE,UPDATE,DELETE,RETRACT}'::text[]) r;
    PERFORM esgf_stac.grant_access('publisher', r, 'node', 'a.org') FROM unnest('{CREATE,UPDATE}'::text[]) r;
    PERFORM esgf_stac.grant_access(n, 'REPLICATE', 'project', 'CMIP6'), esgf_stac.grant_access(n, 'REPLICATE', 'node', n) FROM unnest('{a.org,b.org,c.org,d.org}'::text[]) n;
END $$;

-- Requests that somebody sends, each by itself, and what he is told.
CREATE FUNCTION pg_temp.outcomes(who text, requests jsonb) RETURNS SETOF esgf_stac.outcome LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL ROLE esgf_stac_test_gateway;
    RETURN QUERY SELECT * FROM esgf_stac.transact(requests, false, jsonb_build_object('sub', who, 'iss', 'https://aai.example.org', 'client_id', 'esgpublish', 'principals', jsonb_build_array(who)));
    RESET ROLE;
END
$$;
-- In one line: status, version, and action or problem of each.
CREATE FUNCTION pg_temp.send(who text, VARIADIC requests jsonb[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', status, version, action, substr(problem ->> 'type', length('https://esgf.io/publication/errors/') + 1)), ', ' ORDER BY ordinal)
      FROM pg_temp.outcomes(who, to_jsonb(requests)) $$;
-- Counted: how often each status, action and problem.
CREATE FUNCTION pg_temp.tally(who text, requests jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', n, status, what), ', ' ORDER BY status)
      FROM (SELECT status, coalesce(action, substr(problem ->> 'type', length('https://esgf.io/publication/errors/') + 1)) AS what, count(*) AS n
              FROM pg_temp.outcomes(who, requests) GROUP BY 1, 2) counted $$;
CREATE FUNCTION pg_temp.post(id text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('method', 'POST', 'collection_id', 'CMIP6', 'item', pg_temp.document(id, more)) $$;
CREATE FUNCTION pg_temp.request(method text, id text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('method', method, 'collection_id', 'CMIP6', 'item_id', id) || more $$;
CREATE FUNCTION pg_temp.patch(id text, patch jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.request('PATCH', id, jsonb_build_object('patch', patch)) $$;

-- Replicas as clients add and remove them: an operation for each file; and by the verbs.
CREATE FUNCTION pg_temp.entry(node text, key text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('href', 'https://' || node || '/' || key, 'alternate:name', node, 'type', 'application/netcdf', 'roles', '["data"]'::jsonb, 'updated', clock_timestamp()) $$;
CREATE FUNCTION pg_temp.add_operations(id text, node text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.patch($1, jsonb_agg(jsonb_build_object('op', 'add', 'path', format('/assets/%s/alternate/%s', key, node), 'value', pg_temp.entry(node, key))))
      FROM esgf_stac.item, jsonb_object_keys(document -> 'assets') key WHERE item.id = $1 $$;
CREATE FUNCTION pg_temp.remove_operations(id text, node text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.patch($1, jsonb_agg(jsonb_build_object('op', 'remove', 'path', format('/assets/%s/alternate/%s', key, node))))
      FROM esgf_stac.item, jsonb_object_keys(document -> 'assets') key WHERE item.id = $1 $$;
CREATE FUNCTION pg_temp.add(id text, node text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.request('ADD_REPLICA', $1, jsonb_build_object('node', node, 'alternates', jsonb_object_agg(key, pg_temp.entry(node, key))))
      FROM esgf_stac.item, jsonb_object_keys(document -> 'assets') key WHERE item.id = $1 $$;
CREATE FUNCTION pg_temp.remove(id text, node text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.request('REMOVE_REPLICA', id, jsonb_build_object('node', node)) $$;

CREATE FUNCTION pg_temp.events(id text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(substr(type, 6), ' ' ORDER BY seq) FROM esgf_stac.outbox WHERE aggregateid = $1 $$;
CREATE FUNCTION pg_temp.latest(base text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(id, ' ') FROM esgf_stac.item WHERE base_id = $1 AND latest $$;
CREATE FUNCTION pg_temp.stored(id text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT document #- '{properties,updated}' FROM esgf_stac.item WHERE item.id = $1 $$;

-- 1. 500 + 500 posts, one of them twice.
SELECT is(pg_temp.tally('publisher', (SELECT jsonb_agg(pg_temp.post(format('s1.%s.v1', i)) ORDER BY i) FROM generate_series(1, 500) i)), '500 201 published', '1. the first 500');
SELECT is(pg_temp.tally('publisher', (SELECT jsonb_agg(pg_temp.post(format('s1.%s.v1', i)) ORDER BY i) FROM generate_series(500, 999) i)), '499 201 published, 1 409 item-already-exists', '1. the second 500, one of which is there');
SELECT row_eq($$SELECT count(*), count(DISTINCT aggregateid), sum(version)::bigint FROM esgf_stac.outbox WHERE aggregateid LIKE 's1.%'$$, ROW (999::bigint, 999::bigint, 999::bigint), '1. 999 items, 999 events');

-- 2. One in five is of a wrong type; and then somebody without rights.
SELECT is(pg_temp.tally('publisher', (SELECT jsonb_agg(pg_temp.post(format('s2.%s.v1', i), CASE WHEN i % 5 = 0 THEN '{"type": "feature"}' ELSE '{}' END::jsonb)) FROM generate_series(1, 100) i)),
          '80 201 published, 20 400 stac-validation', '2. one in five is refused');
SELECT is((SELECT count(*) FROM esgf_stac.item WHERE id LIKE 's2.%'), 80::bigint, '2. nothing of it is stored');
SELECT is((SELECT count(*) FROM esgf_stac.outbox WHERE aggregateid LIKE 's2.%'), 80::bigint, '2. or emitted');
SELECT is(pg_temp.tally('nobody', (SELECT jsonb_agg(pg_temp.post(format('s2.%s.v2', i))) FROM generate_series(1, 20) i)), '20 403 missing-permission', '2. an identity without rights');
SELECT is((SELECT problem -> 'errors' FROM pg_temp.outcomes('nobody', jsonb_build_array(pg_temp.post('s2.1.v2')))),
          '[{"pointer": "", "right": "CREATE", "scope": "project", "target": "CMIP6", "reason": "no-right", "detail": "CREATE on project CMIP6 for MPI-M is missing"},
            {"pointer": "/assets/tas.nc", "right": "CREATE", "scope": "node", "target": "a.org", "reason": "no-right", "detail": "CREATE on node a.org for MPI-M is missing"}]', '2. is told all that it lacks');
SELECT is((SELECT count(*) FROM esgf_stac.outbox WHERE aggregateid LIKE 's2.%'), 80::bigint, '2. and does nothing');

-- 3. 50 retractions, one in five of an item that is not there.
SELECT is(pg_temp.tally('publisher', (SELECT jsonb_agg(pg_temp.patch(format('s1.%s.v%s', i, 1 + (i % 5 = 0)::int),
          '[{"op": "replace", "path": "/properties/latest", "value": false}, {"op": "replace", "path": "/properties/retracted", "value": true}, {"op": "replace", "path": "/assets", "value": {}}]')) FROM generate_series(1, 50) i)),
          '40 200 retracted, 10 404 item-does-not-exist', '3. retractions, a fifth of unknown ids');
SELECT row_eq($$SELECT count(*), count(*) FILTER (WHERE payload -> 'assets' = '{}' AND payload #> '{properties,retracted}' = 'true') FROM esgf_stac.outbox WHERE aggregateid LIKE 's1.%' AND type = 'item.retracted'$$,
              ROW (40::bigint, 40::bigint), '3. 40 events, all without assets');

-- 4. What passes and what does not.
SELECT is(pg_temp.send('publisher', pg_temp.post('s4.v1', '{"assets": {"t.zarr": {"href": "https://a.org/t.zarr", "type": "application/vnd.zarr; version=3", "roles": ["data", "something-new"], "alternate:name": "a.org"}}}')), '201 1 published', '4. a new asset type');
SELECT is(pg_temp.send('b.org', pg_temp.add('s4.v1', 'b.org')), '200 2 replica_added', '4. replicated');
SELECT is(pg_temp.send('publisher', pg_temp.request('RETRACT', 's4.v1')), '200 3 retracted', '4. then retracted');
SELECT is(pg_temp.send('publisher', pg_temp.post('s4.v2')), '201 1 published', '4. a new version of a retracted dataset');
SELECT is(pg_temp.send('publisher', pg_temp.patch('s4.v1', '{"properties": {"title": "t"}}'), pg_temp.request('PUT', 's4.v1', jsonb_build_object('item', pg_temp.document('s4.v1')))),
          '409 item-retracted, 409 item-retracted', '4. an update of a retracted item');
SELECT is(pg_temp.send('c.org', pg_temp.add('s4.v1', 'c.org')), '409 item-retracted', '4. a replica added to it');
SELECT is(pg_temp.send('b.org', pg_temp.remove_operations('s4.v1', 'b.org')), '200 4 replica_removed', '4. a replica removed from it');
SELECT is(pg_temp.send('publisher', pg_temp.patch('s4.v9', '{}'), pg_temp.request('DELETE', 's4.v9'), pg_temp.request('RETRACT', 's4.v9')), '404 item-does-not-exist, 404 item-does-not-exist, 404 item-does-not-exist', '4. a missing item');
SELECT is(pg_temp.events('s4.v1'), 'published replica_added retracted replica_removed', '4. its events');

-- 5. The first replica of an asset that has no `alternate`, as esgadd sends it.
SELECT is(pg_temp.send('publisher', pg_temp.post('s5.v1')), '201 1 published', '5. an item without replicas');
SELECT is(pg_temp.send('b.org', pg_temp.add_operations('s5.v1', 'b.org')), '200 2 replica_added', '5. its first replica');
SELECT row_eq($$SELECT type, payload #>> '{assets,tas.nc,alternate,b.org,href}', payload #>> '{assets,tas.nc,href}', identity ->> 'sub' FROM pg_temp.last_event('s5.v1')$$,
              ROW ('item.replica_added'::text, 'https://b.org/tas.nc'::text, 'https://a.org/tas.nc'::text, 'b.org'::text), '5. its event is complete');

-- 6. The same replica again, and the last one away.
SELECT is(pg_temp.send('b.org', pg_temp.add_operations('s5.v1', 'b.org'), pg_temp.add('s5.v1', 'b.org')), '200 2, 200 2', '6. the same replica again, stamped anew, in both ways');
SELECT is(pg_temp.events('s5.v1'), 'published replica_added', '6. is no event');
SELECT is(pg_temp.send('b.org', pg_temp.remove_operations('s5.v1', 'b.org')), '200 3 replica_removed', '6. the last replica removed');
SELECT is((SELECT payload #> '{assets,tas.nc}' ? 'alternate' FROM pg_temp.last_event('s5.v1')), false, '6. leaves no key alternate');

-- 7. The primary location goes.
SELECT is(pg_temp.send('publisher', pg_temp.post('s7.v1')), '201 1 published', '7. an item');
SELECT is(pg_temp.send('a.org', pg_temp.remove('s7.v1', 'a.org')), '409 last-replica', '7. without another node: an error');
SELECT is(pg_temp.events('s7.v1'), 'published', '7. nothing happened');
SELECT is(pg_temp.send('c.org', pg_temp.add('s7.v1', 'c.org')), '200 2 replica_added', '7. with two');
SELECT is(pg_temp.send('b.org', pg_temp.add('s7.v1', 'b.org')), '200 3 replica_added', '7. others');
SELECT is(pg_temp.send('a.org', pg_temp.remove('s7.v1', 'a.org')), '200 4 replica_removed', '7. by the rights of the node that goes');
SELECT is((SELECT (payload #- '{assets,tas.nc,alternate,c.org,updated}' #- '{assets,tas.nc,updated}') #> '{assets,tas.nc}' FROM pg_temp.last_event('s7.v1')),
          (pg_temp.document('x') #> '{assets,tas.nc}') || '{"href": "https://b.org/tas.nc", "alternate:name": "b.org"}' || jsonb_build_object('alternate', jsonb_build_object('c.org', pg_temp.entry('c.org', 'tas.nc') - 'updated'::text)),
          '7. the first other one is promoted; what the file is stays');

-- 8. Node B touches node C, or what is none of its own.
CREATE TEMP TABLE before AS SELECT id, document FROM esgf_stac.item;
SELECT is(pg_temp.send('b.org', pg_temp.patch('s7.v1', jsonb_build_array('{"op": "replace", "path": "/assets/tas.nc/alternate/c.org/href", "value": "https://c.org/stolen"}'::jsonb,
          '{"op": "replace", "path": "/assets/tas.nc/href", "value": "https://b.org/new"}'::jsonb))), '403 missing-permission', '8. only the last operation is lawful');
SELECT is((SELECT string_agg(concat_ws(' ', e ->> 'pointer', e ->> 'right', e ->> 'target', e ->> 'reason'), ', ') FROM pg_temp.outcomes('b.org', jsonb_build_array(pg_temp.patch('s7.v1',
          '[{"op": "remove", "path": "/assets/tas.nc/alternate/c.org"}, {"op": "replace", "path": "/assets/tas.nc/href", "value": "https://b.org/new"}]'))) o, jsonb_array_elements(o.problem -> 'errors') e),
          '/assets/tas.nc/alternate/c.org REPLICATE c.org no-right', '8. and only the other is complained of');
SELECT is(pg_temp.send('b.org', pg_temp.patch('s5.v1', jsonb_build_array(jsonb_build_object('op', 'add', 'path', '/assets/tas.nc/alternate/b.org', 'value', pg_temp.entry('c.org', 'tas.nc'))))), '403 missing-permission', '8. the key is its own, alternate:name is not');
SELECT is(pg_temp.send('b.org', pg_temp.patch('s5.v1', jsonb_build_array(jsonb_build_object('op', 'add', 'path', '/assets/tas.nc/alternate/c.org', 'value', pg_temp.entry('b.org', 'tas.nc'))))), '403 missing-permission', '8. the other way round');
SELECT is((SELECT string_agg(e ->> 'reason', ', ') FROM pg_temp.outcomes('b.org', jsonb_build_array(pg_temp.patch('s5.v1', jsonb_build_array(jsonb_build_object('op', 'add', 'path', '/assets/tas.nc/alternate/b.org',
          'value', pg_temp.entry('b.org', 'tas.nc') || '{"href": "https://c.org/tas.nc"}'))))) o, jsonb_array_elements(o.problem -> 'errors') e), 'foreign-href', '8. its href is at another host');
SELECT is(pg_temp.send('b.org', pg_temp.patch('s7.v1', '{"assets": {}}'), pg_temp.patch('s7.v1', '[{"op": "replace", "path": "/assets", "value": {}}]'), pg_temp.remove('s7.v1', 'c.org'), pg_temp.add('s5.v1', 'c.org'), pg_temp.patch('s7.v1', '{"properties": {"title": "t"}}')),
          '200 4, 403 missing-permission, 403 missing-permission, 403 missing-permission, 403 missing-permission', '8. no assets, another''s replica, or another part');
SELECT is_empty($$SELECT id, document FROM esgf_stac.item EXCEPT SELECT * FROM before$$, '8. nothing happened');

-- 9. Retracted as clients do it, then reinstated.
SELECT is(pg_temp.send('publisher', pg_temp.post('s9.v1', '{"assets": {"f1.nc": {"href": "https://a.org/f1.nc", "roles": ["data"], "alternate:name": "a.org"}, "f2.nc": {"href": "https://a.org/f2.nc", "roles": ["data"], "alternate:name": "a.org"}}}')), '201 1 published', '9. an item');
SELECT is(pg_temp.send(n, pg_temp.add('s9.v1', n)), v || ' replica_added', '9. a replica at ' || n) FROM (VALUES ('b.org', '200 2'), ('c.org', '200 3'), ('d.org', '200 4')) r (n, v);
CREATE TEMP TABLE s9 AS SELECT pg_temp.stored('s9.v1') AS document;
SELECT is(pg_temp.send('publisher', pg_temp.patch('s9.v1', '[{"op": "replace", "path": "/properties/latest", "value": false}, {"op": "replace", "path": "/properties/retracted", "value": true}, {"op": "replace", "path": "/assets", "value": {}}]')), '200 5 retracted', '9. retracted with "assets": {}');
SELECT is((SELECT payload -> 'assets' FROM pg_temp.last_event('s9.v1')), '{}', '9. its assets are hidden');
SELECT is(pg_temp.send('publisher', pg_temp.request('REINSTATE', 's9.v1')), '200 6 reinstated', '9. reinstated');
SELECT is((SELECT payload #- '{properties,updated}' FROM pg_temp.last_event('s9.v1')), (SELECT document FROM s9), '9. with its assets and three replicas exactly as before');

-- 10. A second version.
SELECT is(pg_temp.send('publisher', pg_temp.post('s10.v1')), '201 1 published', '10. v1');
SELECT is(pg_temp.send('publisher', pg_temp.post('s10.v2', '{"type": "feature"}')), '400 stac-validation', '10. v2 fails');
SELECT is(pg_temp.latest('s10') || ': ' || pg_temp.events('s10.v1'), 's10.v1: published', '10. v1 stays');
SELECT is(pg_temp.send('publisher', pg_temp.post('s10.v2')), '201 1 published', '10. v2');
SELECT row_eq($$SELECT type, payload #> '{properties,latest}', request FROM pg_temp.last_event('s10.v1')$$, ROW ('item.superseded'::text, 'false'::jsonb, NULL::jsonb), '10. v1 is superseded');
SELECT is((SELECT count(DISTINCT xid) FROM esgf_stac.outbox WHERE aggregateid IN ('s10.v1', 's10.v2') AND type <> 'item.published' OR aggregateid = 's10.v2'), 1::bigint, '10. in the same transaction');
SELECT is(pg_temp.latest('s10'), 's10.v2', '10. one is latest');
SELECT is(pg_temp.send('publisher', pg_temp.request('RETRACT', 's10.v1'), pg_temp.request('REINSTATE', 's10.v1')), '200 3 retracted, 200 4 reinstated', '10. the old one is retracted and reinstated');
SELECT is(pg_temp.latest('s10'), 's10.v2', '10. and does not take latest');

-- 11. Requests repeated, together, and out of order.
CREATE TEMP TABLE s11 AS SELECT pg_temp.request('PATCH', 's10.v2', '{"patch": [{"op": "add", "path": "/properties/n", "value": 1}], "request_id": "7d5c"}') AS request;
CREATE TEMP TABLE s11_first AS SELECT * FROM pg_temp.outcomes('publisher', (SELECT jsonb_build_array(request) FROM s11));
SELECT row_eq('SELECT version, changed, action FROM s11_first', ROW (2::bigint, true, 'updated'::text), '11. a request with an id');
SELECT results_eq($$SELECT * FROM pg_temp.outcomes('publisher', (SELECT jsonb_build_array(request) FROM s11))$$, 'SELECT * FROM s11_first', '11. sent twice: the same answer');
SELECT is(pg_temp.events('s10.v2'), 'published updated', '11. and one change');
SELECT is(pg_temp.send('publisher', pg_temp.patch('s10.v2', '{"properties": {"p": 1}}'), pg_temp.patch('s10.v2', '[{"op": "add", "path": "/properties/q", "value": 2}]')), '200 3 updated, 200 4 updated', '11. two patches of one item in one batch');
SELECT row_eq($$SELECT document #> '{properties,n}', document #> '{properties,p}', document #> '{properties,q}' FROM esgf_stac.item WHERE id = 's10.v2'$$, ROW ('1'::jsonb, '1'::jsonb, '2'::jsonb), '11. are both applied');
SELECT is(pg_temp.send('publisher', pg_temp.patch('s11.v1', '{"properties": {"p": 1}}'), pg_temp.post('s11.v1'), pg_temp.patch('s11.v1', '{"properties": {"p": 2}}')), '404 item-does-not-exist, 201 1 published, 200 2 updated', '11. a PATCH before its POST');
SELECT is(pg_temp.events('s11.v1'), 'published updated', '11. the order is kept');

-- 13. Replicas of many sites come and go. (A small one; 10,000 are in test/t/081_random_replicas.pl.)
CREATE TEMP TABLE s13 AS SELECT id, pg_temp.stored(id) AS document FROM esgf_stac.item WHERE id LIKE 's2.%';
SELECT is((SELECT string_agg(DISTINCT pg_temp.tally(n, (SELECT jsonb_agg(pg_temp.add(id, n)) FROM s13)), ', ') FROM unnest('{b.org,c.org,d.org}'::text[]) n), '80 200 replica_added', '13. three sites replicate 80 items');
SELECT is((SELECT string_agg(DISTINCT pg_temp.tally(n, (SELECT jsonb_agg(pg_temp.remove(id, n)) FROM s13)), ', ') FROM unnest('{b.org,d.org,c.org}'::text[]) n), '80 200 replica_removed', '13. and leave again');
SELECT is_empty('SELECT id, pg_temp.stored(id) FROM s13 EXCEPT SELECT * FROM s13', '13. every document equals its original but for updated');
SELECT is((SELECT string_agg(DISTINCT pg_temp.events(id), ', ') FROM s13), 'published replica_added replica_added replica_added replica_removed replica_removed replica_removed', '13. each has its events');

-- 14. Ownership moves.
SELECT is(pg_temp.send('publisher', pg_temp.post('s14.v1', '{"assets": {"f1.nc": {"href": "https://a.org/f1.nc", "roles": ["data"], "file:size": 5, "alternate:name": "a.org"}, "f2.nc": {"href": "https://a.org/f2.nc", "roles": ["data"], "alternate:name": "a.org"},
                               "globus": {"href": "https://a.org/globus", "alternate:name": "a.org", "roles": ["data"]}}}')), '201 1 published', '14. an item at the old node');
SELECT is(pg_temp.send('b.org', pg_temp.request('ADD_REPLICA', 's14.v1', '{"node": "b.org", "alternates": {"f1.nc": {"href": "https://b.org/f1.nc"}, "f2.nc": {"href": "https://b.org/f2.nc"}}}')), '200 2 replica_added', '14. all added at the new one');
SELECT is(pg_temp.send('a.org', pg_temp.remove('s14.v1', 'a.org')), '200 3 replica_removed', '14. all removed at the old one, the primary location included');
SELECT row_eq($$SELECT i.nodes, e.type, e.payload -> 'assets' FROM esgf_stac.item i, pg_temp.last_event(i.id) e WHERE i.id = 's14.v1'$$, ROW ('{b.org}'::text[], 'item.replica_removed'::text,
              '{"f1.nc": {"href": "https://b.org/f1.nc", "roles": ["data"], "file:size": 5, "alternate:name": "b.org"}, "f2.nc": {"href": "https://b.org/f2.nc", "roles": ["data"], "alternate:name": "b.org"}}'::jsonb), '14. the new one owns it');
SELECT is(pg_temp.send('b.org', pg_temp.remove('s14.v1', 'a.org'), pg_temp.remove('s14.v1', 'b.org')), '404 replica-does-not-exist, 409 last-replica', '14. and cannot leave it alone');

-- Every event of the day, by item: versions 1, 2, 3, ... in order, the last of which is what readers see.
SELECT is_empty($$SELECT aggregateid FROM (SELECT aggregateid, version, row_number() OVER (PARTITION BY aggregateid ORDER BY seq) AS n FROM esgf_stac.outbox WHERE aggregatetype = 'CMIP6') e WHERE version <> n$$, 'versions are counted without a gap');
SELECT is_empty($$SELECT p.id FROM esgf_stac.published_item p, LATERAL pg_temp.last_event(p.id) e WHERE (e.payload, e.version) IS DISTINCT FROM (p.document, p.version)$$, 'the last event is the published document');

SELECT * FROM finish();
ROLLBACK;
