\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- Many requests in one call: order, atomicity, conditions, idempotency keys, problems.
SELECT plan(98);

CREATE FUNCTION pg_temp.post(id text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('method', 'POST', 'collection_id', 'CMIP6', 'item', pg_temp.document(id)) || more $$;
CREATE FUNCTION pg_temp.request(method text, id text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('method', method, 'collection_id', 'CMIP6', 'item_id', id) || more $$;
-- Outcomes in one line each.
CREATE FUNCTION pg_temp.outcomes(atomic boolean, VARIADIC requests jsonb[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', o.status, o.item_id, o.version, CASE WHEN o.changed THEN o.action END,
                                substr(o.problem ->> 'type', length('https://esgf.io/publication/errors/') + 1)), ', ' ORDER BY o.ordinal)
      FROM esgf_stac.transact(to_jsonb(requests), atomic) o $$;

-- In order, each sees what the earlier did.
SELECT is(pg_temp.outcomes(true, pg_temp.post('a.v1'), pg_temp.post('a.v2'), pg_temp.request('PATCH', 'a.v2', '{"patch": {"properties": {"n": 1}}, "if_match": 1}'),
          pg_temp.request('PATCH', 'a.v2', '{"patch": [{"op": "test", "path": "/properties/n", "value": 1}, {"op": "add", "path": "/properties/m", "value": 2}], "if_match": 2}'),
          pg_temp.request('RETRACT', 'a.v1', '{"reason": "why", "if_match": 2}'), pg_temp.request('REINSTATE', 'a.v1'), pg_temp.request('DELETE', 'a.v1'),
          pg_temp.request('RESTORE', 'a.v1'), pg_temp.request('PUT', 'a.v1', jsonb_build_object('item', pg_temp.document('a.v1', '{"bbox": [0, 0, 1, 1]}')))),
          '201 a.v1 1 published, 201 a.v2 1 published, 200 a.v2 2 updated, 200 a.v2 3 updated, 200 a.v1 3 retracted, 200 a.v1 4 reinstated, 200 a.v1 5 deleted, 200 a.v1 6 restored, 200 a.v1 7 updated',
          'all methods in one call');
SELECT is((SELECT string_agg(substr(type, 6), ' ' ORDER BY seq) FROM esgf_stac.outbox WHERE aggregatetype = 'CMIP6'),
          'published published superseded updated updated retracted reinstated deleted restored updated', 'and the events of it, in order');
SELECT is((SELECT reason FROM esgf_stac.outbox WHERE type = 'item.retracted'), 'why', 'the reason is on its event');
SELECT results_eq($$SELECT ordinal, collection_id, changed, event_id, problem FROM esgf_stac.transact(jsonb_build_array(pg_temp.request('PATCH', 'a.v2', '{"patch": {}}')))$$,
                  $$VALUES (1, 'CMIP6', false, NULL::uuid, NULL::jsonb)$$, 'a request that changes nothing');
SELECT is_empty($$SELECT * FROM esgf_stac.transact('[]')$$, 'no requests, no outcomes');

-- UPSERT.
SELECT is(pg_temp.outcomes(true, pg_temp.post('u.v1', '{"method": "UPSERT"}'), pg_temp.post('u.v1', '{"method": "UPSERT"}'),
          pg_temp.post('u.v1', jsonb_build_object('method', 'UPSERT', 'if_match', 1, 'item', pg_temp.document('u.v1', '{"bbox": [0, 0, 1, 1]}'))),
          pg_temp.request('DELETE', 'u.v1'), pg_temp.post('u.v1', '{"method": "UPSERT", "if_match": 0}')),
          '201 u.v1 1 published, 200 u.v1 1, 200 u.v1 2 updated, 200 u.v1 3 deleted, 201 u.v1 4 published', 'UPSERT creates, replaces, and creates again');
SELECT is(pg_temp.outcomes(false, pg_temp.post('u.v2', '{"method": "UPSERT", "if_match": 3}'), pg_temp.post('u.v1', '{"method": "UPSERT", "if_match": 3}'), pg_temp.post('u.v2', '{"if_match": 1}'), pg_temp.post('u.v3', '{"if_match": 0}')),
          '412 u.v2 version-conflict, 412 u.v1 version-conflict, 412 u.v2 version-conflict, 201 u.v3 1 published', 'what is created has no version before');

-- CHECK.
SELECT is(pg_temp.outcomes(false, pg_temp.request('CHECK', 'a.v1', '{"if_match": 7}'), pg_temp.request('CHECK', 'a.v1'), pg_temp.request('CHECK', 'a.v1', '{"if_match": 6}'),
          pg_temp.request('CHECK', 'a.v1', '{"if_match": 0}'), pg_temp.request('CHECK', 'x.v1', '{"if_match": 0}'), pg_temp.request('CHECK', 'x.v1', '{"if_match": 1}'), pg_temp.request('CHECK', 'x.v1')),
          '200 a.v1 7, 200 a.v1 7, 412 a.v1 version-conflict, 412 a.v1 version-conflict, 200 x.v1, 404 x.v1 item-does-not-exist, 404 x.v1 item-does-not-exist', 'CHECK holds a condition');
SELECT is_empty($$SELECT FROM esgf_stac.dataset WHERE base_id = 'x'$$, 'and leaves nothing behind');
SELECT pg_temp.refused($$SELECT esgf_stac.transact(jsonb_build_array(pg_temp.post('y.v1'), pg_temp.request('CHECK', 'a.v1', '{"if_match": 6}')))$$, 'PT412', 'version-conflict', 'a condition that does not hold ends an atomic call');
SELECT is_empty($$SELECT FROM esgf_stac.item WHERE id = 'y.v1'$$, 'with all that it did');

-- if_unmodified_since takes what an index shows.
SELECT is(pg_temp.outcomes(false, pg_temp.request('PATCH', 'a.v1', jsonb_build_object('patch', '{"properties": {"n": 5}}'::jsonb, 'if_unmodified_since', (SELECT document #> '{properties,updated}' FROM esgf_stac.published_item WHERE id = 'a.v1'))),
          pg_temp.request('PATCH', 'a.v1', jsonb_build_object('patch', '{"properties": {"n": 6}}'::jsonb, 'if_unmodified_since', (SELECT document #> '{properties,updated}' FROM esgf_stac.published_item WHERE id = 'a.v1'))),
          pg_temp.request('PATCH', 'a.v1', '{"patch": {}, "if_unmodified_since": "2001-01-01T00:00:00Z"}')),
          '200 a.v1 8 updated, 412 a.v1 version-conflict, 412 a.v1 version-conflict', 'if_unmodified_since');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"require_version": true}')$$, 'where a version is required');
SELECT is(pg_temp.outcomes(false, pg_temp.request('PATCH', 'a.v1', '{"patch": {}}'), pg_temp.request('RETRACT', 'a.v1'), pg_temp.request('PATCH', 'a.v1', '{"patch": {}, "if_unmodified_since": "2999-01-01T00:00:00Z"}'),
          pg_temp.request('PATCH', 'a.v1', '{"patch": {}, "if_match": 8}'), pg_temp.request('CHECK', 'a.v1'), pg_temp.post('v.v1'), pg_temp.post('v.v1', '{"method": "UPSERT"}')),
          '428 a.v1 version-required, 428 a.v1 version-required, 200 a.v1 8, 200 a.v1 8, 200 a.v1 8, 201 v.v1 1 published, 428 v.v1 version-required', 'either condition will do, CHECK and creating need none');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"require_version": false}')$$, 'no more');

-- Not atomic: each by itself.
SELECT is(pg_temp.outcomes(false, pg_temp.post('n.v1'), pg_temp.post('n.v1'), pg_temp.post('n.v2', '{"item": {"id": "n.v2"}}'), pg_temp.post('n.v3'), pg_temp.request('PATCH', 'n.v9', '{"patch": {}}'),
          pg_temp.post('n.v4', '{"collection_id": "CMIP5"}'), pg_temp.request('PATCH', 'n.v3', '{"patch": {"properties": {"n": 1}}}')),
          '201 n.v1 1 published, 409 n.v1 item-already-exists, 400 n.v2 stac-validation, 201 n.v3 1 published, 404 n.v9 item-does-not-exist, 404 n.v4 collection-does-not-exist, 200 n.v3 2 updated',
          'refusals among others');
SELECT is((SELECT string_agg(aggregateid || ' ' || version || ' ' || substr(type, 6), ', ' ORDER BY seq) FROM esgf_stac.outbox WHERE aggregateid LIKE 'n.v%'),
          'n.v1 1 published, n.v3 1 published, n.v1 2 superseded, n.v3 2 updated', 'each that succeeded is there once');
SELECT is(pg_temp.outcomes(false, pg_temp.post('m.v1'), pg_temp.request('PATCH', 'm.v1', '{"patch": [{"op": "add", "path": "/properties/n", "value": "\u00e4"}]}')), '201 m.v1 1 published, 200 m.v1 2 updated', 'both in one subtransaction');
SELECT pg_temp.refused($$SELECT esgf_stac.transact(jsonb_build_array(pg_temp.post('o.v1'), pg_temp.post('o.v1')))$$, 'PT409', 'item-already-exists', 'atomic: the first problem is raised');
SELECT is_empty($$SELECT FROM esgf_stac.item WHERE id = 'o.v1'$$, 'and nothing is done');
SELECT is_empty($$SELECT FROM esgf_stac.dataset WHERE base_id IN ('n', 'o') AND latest_id IS NULL$$, 'no dataset without items is left');

-- Problems are RFC 9457's.
SELECT is(problem, '{"type": "https://esgf.io/publication/errors/stac-validation", "title": "Document is not what STAC and the catalogue ask", "status": 400,
                     "detail": "document is not the STAC item that it must be", "instance": "/collections/CMIP6/items/p%20q.v1",
                     "errors": [{"pointer": "/type", "detail": "must be \"Feature\""}, {"pointer": "/links/0/href", "detail": "is missing"}]}'::jsonb, 'a problem with all that is wrong')
  FROM esgf_stac.transact(jsonb_build_array(pg_temp.post('p', jsonb_build_object('item', pg_temp.document('p q.v1', '{"type": "X", "links": [{"rel": "self"}]}')))), false);
SELECT is(problem, '{"type": "https://esgf.io/publication/errors/version-conflict", "title": "Item has another version", "status": 412, "current_version": 1,
                     "hint": "Read it again, and decide whether your change still makes sense.",
                     "instance": "/collections/CMIP6/items/u.v3", "errors": []}'::jsonb, 'a problem that points nowhere')
  FROM (SELECT problem - 'detail' AS problem FROM esgf_stac.transact(jsonb_build_array(pg_temp.request('DELETE', 'u.v3', '{"if_match": 5}')), false)) o;
SELECT matches(problem ->> 'detail', '^item "u.v3" has changed: The current version is 1, of ', 'says what a person is to know')
  FROM esgf_stac.transact(jsonb_build_array(pg_temp.request('DELETE', 'u.v3', '{"if_match": 5}')), false);
SELECT is(problem - 'detail' - 'title', '{"type": "https://esgf.io/publication/errors/patch-does-not-apply", "status": 409, "instance": "/collections/CMIP6/items/u.v3",
                     "errors": [{"pointer": "/x", "detail": "there is nothing at this path"}]}'::jsonb, 'a patch that does not apply')
  FROM esgf_stac.transact(jsonb_build_array(pg_temp.request('PATCH', 'u.v3', '{"patch": [{"op": "remove", "path": "/x"}]}')), false);

-- Nothing of a problem is read back out of a DETAIL: keys that look like one, in every refusal that points somewhere.
CREATE FUNCTION pg_temp.errors(requests jsonb) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', o.status, o.problem ->> 'current_version', e ->> 'pointer', '|', e ->> 'detail', e ->> 'right', e ->> 'reason')
      FROM esgf_stac.transact(requests, false) o LEFT JOIN LATERAL jsonb_array_elements(o.problem -> 'errors') e ON true ORDER BY ordinal, 1
$$;
SELECT lives_ok($$SELECT esgf_stac.create_item('CMIP6', pg_temp.document('keys.v1', '{"assets": {
    "a/b": {"href": "https://a.org/1", "roles": ["data"], "alternate:name": "a.org", "file:size": 1}, "c~d: e": {"href": "https://a.org/2", "roles": ["data"], "alternate:name": "a.org"}}}'))$$, 'keys that need escapes');
SELECT results_eq($$SELECT pg_temp.errors(jsonb_build_array(
    pg_temp.request('ADD_REPLICA', 'keys.v1', '{"node": "b.org", "alternates": {"c~d: e": {"href": "https://b.org/2"}}}'),
    pg_temp.request('ADD_REPLICA', 'keys.v1', '{"node": "b.org", "alternates": {"x/y\n/forged: by the caller": {"href": "https://b.org/2"}}}'),
    pg_temp.request('ADD_REPLICA', 'keys.v1', '{"node": "b.org", "alternates": {"a/b": 1}}'),
    pg_temp.request('ADD_REPLICA', 'keys.v1', '{"node": "a.org", "alternates": {"c~d: e": {"href": "https://a.org/3"}}}'),
    pg_temp.request('REMOVE_REPLICA', 'keys.v1', '{"node": "a.org"}'),
    pg_temp.request('CHECK', 'keys.v1', '{"a/b: c": 1}'),
    pg_temp.request('PATCH', 'keys.v1', '{"patch": [{"op": "copy", "from": "/assets/a~1b/x: y", "path": "/properties/x"}]}'),
    pg_temp.request('PATCH', 'keys.v1', jsonb_build_object('patch', jsonb_build_array(jsonb_build_object('op', 'remove', 'path', '/' || repeat('x', 198) || '~1z')))),
    pg_temp.request('PATCH', 'keys.v1', '{"patch": {"assets": {"a/b": {"href": 1, "alternate": {"n: /": {}}}}}}'),
    pg_temp.post('a: b.v1', '{"item": {"id": "a: b.v1", "type": "Feature", "stac_version": "1.1.0", "geometry": null, "assets": {}, "properties": {"datetime": "1850-01-01T00:00:00Z", "base_id": "c"}}}'),
    pg_temp.request('POST', 'x', '{"if_match": 3, "item": {"id": "nobody.v1"}}') - 'item_id',
    pg_temp.request('CHECK', 'keys.v1', '{"if_match": 0}')))$$,
    ARRAY['409 /assets/a~1b | has no location at this node', E'409 /assets/x~1y\n~1forged: by the caller | does not exist', '400 /alternates/a~1b | must be an object',
          '409 /assets/c~0d: e | is there, and differs', '409 /assets/a~1b | is a primary location that no other node could take over',
          '400 /a~1b: c | is no member of a request', '409 /assets/a~1b/x: y | there is nothing at this path', '409 /' || repeat('x', 198) || '... | there is nothing at this path',
          '400 /assets/a~1b/alternate/n: ~1/href | is missing', '400 /assets/a~1b/href | must be a string that is not empty', '400 /properties/base_id | must be "a: b"', '412 0 |', '412 1 |'], 'are told as they are');
SELECT is((SELECT count(*) FROM esgf_stac.transact(jsonb_build_array(pg_temp.request('REMOVE_REPLICA', 'keys.v1', '{"node": "b.org"}')), false) WHERE problem ->> 'hint' <> '' AND problem ->> 'detail' !~ '[[:cntrl:]]'), 1::bigint, 'with a hint');

-- The particulars of one refusal are not those of the next, which a trigger of the DBA makes.
CREATE FUNCTION pg_temp.check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM esgf_stac.transact('[{"method": "CHECK", "collection_id": "CMIP6", "item_id": "keys.v1", "if_match": 7}]', false);
    BEGIN
        PERFORM esgf_stac.patch_item('CMIP6', 'keys.v1', '[{"op": "remove", "path": "/x"}]');
    EXCEPTION WHEN OTHERS THEN
        IF NEW.document #>> '{properties,title}' = 'again' THEN
            RAISE;
        END IF;
    END;
    RAISE 'no' USING ERRCODE = 'PT409', CONSTRAINT = 'site-rule', DETAIL = '/properties/title: is mine';
END
$$;
CREATE TRIGGER check_title AFTER UPDATE ON esgf_stac.item FOR EACH ROW WHEN (NEW.id = 'u.v3') EXECUTE FUNCTION pg_temp.check();
SELECT results_eq($$SELECT problem - 'instance' - 'title' - 'type' FROM esgf_stac.transact(jsonb_build_array(pg_temp.request('PATCH', 'u.v3', '{"patch": {"properties": {"title": "own"}}}'),
                                                                        pg_temp.request('PATCH', 'u.v3', '{"patch": {"properties": {"title": "again"}}}')), false)$$,
    ARRAY['{"status": 409, "detail": "no: /properties/title: is mine", "errors": []}',
          '{"status": 409, "detail": "JSON patch does not apply: there is nothing at this path: Operation 0: op \"remove\", path \"/x\".", "errors": [{"pointer": "/x", "detail": "there is nothing at this path"}]}']::jsonb[], 'nor of one that was thrown again');
DROP TRIGGER check_title ON esgf_stac.item;

SELECT results_eq($$SELECT status, version, changed, action, event_id, jsonb_array_length(problem -> 'errors') FROM esgf_stac.transact(jsonb_build_array(pg_temp.post('a.v1')), false)$$,
                  $$VALUES (409, NULL::bigint, NULL::boolean, NULL::text, NULL::uuid, 0)$$, 'a refused request has no receipt');

-- A refusal of the server's own, by a DBA's constraint.
ALTER TABLE esgf_stac.item ADD CONSTRAINT of_the_dba CHECK (NOT document @> '{"properties": {"forbidden": true}}');
SELECT is(pg_temp.outcomes(false, pg_temp.request('PATCH', 'u.v3', '{"patch": {"properties": {"forbidden": true}}}'), pg_temp.request('CHECK', 'u.v3')), '409 u.v3 unknown, 200 u.v3 1', 'class 23 is a 409');

-- Form: each request is judged at its turn.
SELECT is((SELECT concat_ws(' ', o.status, substr(o.problem ->> 'type', 36), nullif(o.problem #>> '{errors,0,pointer}', ''))
             FROM esgf_stac.transact(jsonb_build_array(request::jsonb), false) o), expected, 'form: ' || request)
  FROM (VALUES
    (1, '1', '400 bad-request'), (2, '{}', '400 bad-request /method'), (3, '{"method": "POST"}', '400 bad-request /collection_id'),
    (4, '{"method": "FOO", "collection_id": "CMIP6", "item_id": "u.v3"}', '400 bad-request /method'),
    (5, '{"method": 1, "collection_id": "CMIP6", "item_id": "u.v3"}', '400 bad-request /method'),
    (6, '{"method": null, "collection_id": "CMIP6", "item_id": "u.v3"}', '400 bad-request /method'),
    (7, '{"method": "DELETE", "collection_id": "CMIP6"}', '400 bad-request /item_id'),
    (8, '{"method": "DELETE", "collection_id": "CMIP6", "item_id": 3}', '400 bad-request /item_id'),
    (9, '{"method": "DELETE", "collection_id": 3, "item_id": "u.v3"}', '400 bad-request /collection_id'),
    (10, '{"method": "DELETE", "collection_id": "CMIP6", "item_id": "u.v3", "ifmatch": 1}', '400 bad-request /ifmatch'),
    (11, '{"method": "DELETE", "collection_id": "CMIP6", "item_id": "u.v3", "if_match": "1"}', '400 bad-request /if_match'),
    (12, '{"method": "DELETE", "collection_id": "CMIP6", "item_id": "u.v3", "if_match": 1.5}', '400 bad-request /if_match'),
    (13, '{"method": "DELETE", "collection_id": "CMIP6", "item_id": "u.v3", "if_match": -1}', '400 bad-request /if_match'),
    (14, '{"method": "DELETE", "collection_id": "CMIP6", "item_id": "u.v3", "if_match": 1e30}', '400 bad-request /if_match'),
    (15, '{"method": "DELETE", "collection_id": "CMIP6", "item_id": "u.v3", "if_unmodified_since": "yesterday"}', '400 bad-request /if_unmodified_since'),
    (15, '{"method": "DELETE", "collection_id": "CMIP6", "item_id": "u.v3", "if_unmodified_since": "2020-01-01T00:00:00+16:00"}', '400 bad-request /if_unmodified_since'),
    (15, '{"method": "DELETE", "collection_id": "CMIP6", "item_id": "u.v3", "if_unmodified_since": "0001-01-01T00:00:00.' || repeat('9', 500) || 'Z"}', '412 version-conflict'),
    (15, '{"method": "DELETE", "collection_id": "CMIP6", "item_id": "u.v3", "if_unmodified_since": "0001-01-01t00:00:00-15:59"}', '412 version-conflict'),
    (15, '{"method": "DELETE", "collection_id": "CMIP6", "item_id": "u.v3", "if_unmodified_since": "2016-12-31T23:59:60Z"}', '400 bad-request /if_unmodified_since'),
    (16, '{"method": "DELETE", "collection_id": "CMIP6", "item_id": "u.v3", "reason": 1}', '400 bad-request /reason'),
    (17, '{"method": "DELETE", "collection_id": "CMIP6", "item_id": "u.v3", "request_id": ""}', '400 bad-request /request_id'),
    (17, '{"method": "DELETE", "collection_id": "CMIP6", "item_id": "u.v3", "request_id": "' || repeat('x', 6000) || '"}', '400 bad-request /request_id'),
    (18, '{"method": "DELETE", "collection_id": "CMIP6", "item_id": "u.v3", "patch": {}}', '400 bad-request /patch'),
    (19, '{"method": "DELETE", "collection_id": "CMIP6", "item_id": "u.v3", "item": {}}', '400 bad-request /item'),
    (20, '{"method": "PATCH", "collection_id": "CMIP6", "item_id": "u.v3"}', '400 bad-request /patch'),
    (21, '{"method": "PUT", "collection_id": "CMIP6", "item_id": "u.v3"}', '400 bad-request /item'),
    (22, '{"method": "PUT", "collection_id": "CMIP6", "item_id": "u.v3", "item": {"id": "u.v4"}}', '400 bad-request /item_id'),
    (23, '{"method": "PUT", "collection_id": "CMIP6", "item_id": "u.v3", "item": []}', '400 stac-validation'),
    (24, '{"method": "POST", "collection_id": "CMIP6", "item": 7}', '400 stac-validation'),
    (25, '{"method": "PATCH", "collection_id": "CMIP6", "item_id": "u.v3", "patch": "x"}', '400 bad-patch'),
    (25, '{"method": "PUT", "collection_id": "CMIP6", "item": {"id": "u.v3"}}', '400 bad-request /item_id'),
    (25, '{"method": "PATCH", "collection_id": "CMIP6", "patch": {}}', '400 bad-request /item_id'),
    (25, '{"method": "CHECK", "collection_id": "CMIP6"}', '400 bad-request /item_id'),
    (25, '{"method": "ADD_REPLICA", "collection_id": "CMIP6", "node": "b.org", "alternates": {}}', '400 bad-request /item_id'),
    (26, '{"method": "PATCH", "collection_id": "CMIP6", "item_id": "nobody", "patch": [{"op": "add"}]}', '400 bad-patch')
  ) AS t(n, request, expected) ORDER BY n;
SELECT is((SELECT version FROM esgf_stac.item WHERE id = 'u.v3'), 1::bigint, 'none of them did anything');
SELECT pg_temp.refused('SELECT esgf_stac.transact(' || requests || ')', 'PT400', 'bad-request', 'refused whole: ' || left(requests, 30))
  FROM unnest(ARRAY['NULL', '''{}''', '''1''', '(SELECT jsonb_agg(1) FROM generate_series(1, 1001))', '''[]'', NULL']) requests;
SELECT is((SELECT count(*) FROM esgf_stac.transact((SELECT jsonb_agg(1) FROM generate_series(1, 1000)), false)), 1000::bigint, 'a thousand are not');
SELECT pg_temp.refused($$SELECT esgf_stac.transact('[]', true, '{"sub": "x"}')$$, '42501', NULL, 'an identity is for gateways');

-- Idempotency keys.
SELECT is(pg_temp.outcomes(true, pg_temp.post('k.v1', '{"request_id": "k1"}'), pg_temp.request('PATCH', 'k.v1', '{"patch": {}, "request_id": "k2"}'), pg_temp.request('CHECK', 'zz.v1', '{"if_match": 0, "request_id": "k3"}')),
          '201 k.v1 1 published, 200 k.v1 1, 200 zz.v1', 'requests with keys');
CREATE TEMP TABLE first AS SELECT * FROM pg_temp.last_event('k.v1');
SELECT is((SELECT request_id FROM first), 'k1', 'the key is on the event');
SELECT is(pg_temp.outcomes(true, pg_temp.request('DELETE', 'k.v1'), pg_temp.post('k.v1', '{"request_id": "k1"}'), pg_temp.request('PATCH', 'k.v1', '{"patch": {}, "request_id": "k2"}'), pg_temp.request('CHECK', 'zz.v1', '{"if_match": 0, "request_id": "k3"}')),
          '200 k.v1 2 deleted, 201 k.v1 1 published, 200 k.v1 1, 200 zz.v1', 'the same again gives the first outcome, even if the item is gone');
SELECT is((SELECT o.event_id FROM esgf_stac.transact(jsonb_build_array(pg_temp.post('k.v1', '{"request_id": "k1"}'))) o), (SELECT id FROM first), 'to the event');
SELECT is((SELECT count(*) FROM esgf_stac.outbox WHERE aggregateid = 'k.v1'), 2::bigint, 'and does nothing');
SELECT is(pg_temp.outcomes(false, pg_temp.post('k.v2', '{"request_id": "k1"}'), pg_temp.post('k.v2', '{"request_id": "k4"}'), pg_temp.post('k.v2', '{"request_id": "k5"}'), pg_temp.request('DELETE', 'k.v2'), pg_temp.post('k.v2', '{"request_id": "k5"}')),
          '409 k.v2 request-id-reused, 201 k.v2 1 published, 409 k.v2 item-already-exists, 200 k.v2 2 deleted, 201 k.v2 3 restored', 'another body is refused; refusals are not remembered');
SELECT is((SELECT count(*) FROM esgf_stac.request), 5::bigint, 'five keys are');
SELECT is(pg_temp.outcomes(false, pg_temp.request('CHECK', 'zz.v1', '{"request_id": "k6"}'), pg_temp.request('CHECK', 'zz.v1', '{"if_match": 0, "request_id": "k6"}'), pg_temp.request('CHECK', 'zz.v1', '{"if_match": 0, "request_id": "k6"}'),
                           pg_temp.request('CHECK', 'zz.v2', '{"if_match": 0, "request_id": "k6"}'), '{"request_id": "k7"}', '7'),
          '404 zz.v1 item-does-not-exist, 200 zz.v1, 200 zz.v1, 409 zz.v2 request-id-reused, 400 bad-request, 400 bad-request', 'one key several times in a call');
SELECT is((SELECT string_agg(request_id, ' ' ORDER BY request_id) FROM esgf_stac.request), 'k1 k2 k3 k4 k5 k6', 'is one key, and none for what was refused');

-- A verb within a verb: each event has its own request.
CREATE FUNCTION pg_temp.also() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM esgf_stac.patch_item('CMIP6', 'keys.v1', '{"properties": {"n": 1}}'); RETURN NEW; END $$;
CREATE TRIGGER also BEFORE UPDATE ON esgf_stac.item FOR EACH ROW WHEN (NEW.id = 'u.v3') EXECUTE FUNCTION pg_temp.also();
SELECT is(pg_temp.outcomes(true, pg_temp.request('PATCH', 'u.v3', '{"patch": {"properties": {"title": "own"}}, "request_id": "nested"}')), '200 u.v3 2 updated', 'a change that makes another one');
SELECT is((SELECT format('%s %s', request, request_id) FROM pg_temp.last_event('u.v3')) || (SELECT format(' %s %s', request, request_id) FROM pg_temp.last_event('keys.v1')),
          '{"properties": {"title": "own"}} nested {"properties": {"n": 1}} ', 'both say what was asked');
CREATE OR REPLACE FUNCTION pg_temp.also() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,n}', '2') WHERE id = 'keys.v1';
    UPDATE esgf_stac.collection SET document = document || '{"title": "t"}';
    RETURN NEW;
END $$;
SELECT is(pg_temp.outcomes(true, pg_temp.request('PATCH', 'u.v3', '{"patch": {"properties": {"title": "owned"}}}')), '200 u.v3 3 updated', 'one that changes others by hand');
SELECT is((SELECT string_agg(format('%s %s', aggregateid, request), ', ' ORDER BY aggregateid) FROM unnest('{u.v3,keys.v1,CMIP6}'::text[]) i, pg_temp.last_event(i)),
          'CMIP6 , keys.v1 , u.v3 {"properties": {"title": "owned"}}', 'of whom nobody asked that');
DROP TRIGGER also ON esgf_stac.item;

-- All datasets and items of a call are locked by two statements, and a dataset that a request makes is made as its item will have it.
CREATE FUNCTION pg_temp.of(id text, institution text, properties jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.post(id, jsonb_build_object('item', jsonb_set(pg_temp.document(id), '{properties}', pg_temp.document(id) -> 'properties' || jsonb_build_object('cmip6:institution_id', institution) || properties))) $$;
CREATE FUNCTION pg_temp.datasets(pattern text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s %s %s', base_id, coalesce(latest_id, '-'), institution), ', ' ORDER BY base_id) FROM esgf_stac.dataset WHERE base_id LIKE pattern $$;
SELECT is(pg_temp.outcomes(false, pg_temp.of('ga.v1', 'A'), pg_temp.of('gb.v1', 'A', '{"retracted": true}'), pg_temp.of('gc.v1', 'A', '{"latest": false}'),
          pg_temp.of('gd.v1', 'A', '{"datetime": 7}'), pg_temp.of('ge.v1', 'A', '{"datetime": 7}'), pg_temp.of('ge.v2', 'B'), pg_temp.of('gf.v2', 'A'), pg_temp.of('gf.v1', 'A'), pg_temp.of('gg.v1', repeat('G', 2000))),
          '201 ga.v1 1 published, 201 gb.v1 1 published, 201 gc.v1 1 published, 400 gd.v1 stac-validation, 400 ge.v1 stac-validation, 201 ge.v2 1 published, 201 gf.v2 1 published, 201 gf.v1 1 published, 201 gg.v1 1 published',
          'items that become what their datasets were made for, something else, or nothing');
SELECT is(replace(pg_temp.datasets('g_'), repeat('G', 2000), 'long'), 'ga ga.v1 "A", gb - "A", gc - "A", ge ge.v2 "B", gf gf.v2 "A", gg gg.v1 "long"', 'each dataset is as its items are; one without is gone');
SELECT is(pg_temp.outcomes(false, pg_temp.of('ga.v2', 'B'), pg_temp.of('gh.v1', 'A'), pg_temp.of('gh.v2', 'B')), '409 ga.v2 institution-differs, 201 gh.v1 1 published, 409 gh.v2 institution-differs', 'a dataset stays one institution''s');
SELECT is(pg_temp.datasets('ga') || ', ' || pg_temp.datasets('gh'), 'ga ga.v1 "A", gh gh.v1 "A"', 'and what it was');
SELECT is((SELECT format('%s %s %s', count(*), count(*) FILTER (WHERE status = 200), max(version)) FROM esgf_stac.transact((SELECT jsonb_agg(pg_temp.request('PATCH', 'ga.v1', jsonb_build_object('patch', jsonb_build_object('properties', jsonb_build_object('title', n::text))))) FROM generate_series(1, 1000) n))),
          '1000 1000 1001', 'a thousand requests for one item');
SELECT is(pg_temp.outcomes(false, pg_temp.request('PATCH', repeat('x', 300), '{"patch": {}}'), pg_temp.request('PATCH', '', '{"patch": {}}'), pg_temp.request('PATCH', 'ga.v1', '{"patch": {}, "collection_id": ""}')),
          '400 bad-request, 404  item-does-not-exist, 404 ga.v1 collection-does-not-exist', 'ids that no item has');

-- However many are there, and however few were when a table was last looked at.
CREATE FUNCTION pg_temp.did(VARIADIC requests jsonb[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT bigint[] := (SELECT array_agg(n ORDER BY i) FROM pg_temp.counters() WITH ORDINALITY c(n, i));
    refused bigint;
BEGIN
    SELECT count(problem) INTO refused FROM esgf_stac.transact(to_jsonb(requests), false);
    RETURN concat_ws(' ', refused, (SELECT string_agg((n - before[i])::text, ' ' ORDER BY i) FROM pg_temp.counters() WITH ORDINALITY c(n, i)));
END
$$;
-- Of item and dataset: how often they were read as a whole; of dataset: rows that were inserted, updated, deleted.
CREATE FUNCTION pg_temp.counters() RETURNS SETOF bigint LANGUAGE sql AS $$
    SELECT unnest(ARRAY[sum(seq_scan), sum(n_tup_ins) FILTER (WHERE relname = 'dataset'), sum(n_tup_upd) FILTER (WHERE relname = 'dataset'), sum(n_tup_del) FILTER (WHERE relname = 'dataset')])::bigint
      FROM pg_stat_xact_user_tables WHERE schemaname = 'esgf_stac' AND relname IN ('item', 'dataset') $$;
ANALYZE esgf_stac.item, esgf_stac.dataset;
SET LOCAL session_replication_role = replica;
INSERT INTO esgf_stac.dataset (collection_id, base_id, latest_id) SELECT 'CMIP6', 'many' || n, concat('many', n, '.v1') FROM generate_series(1, 100000) n;
INSERT INTO esgf_stac.item (collection_id, id, version, base_id, dataset_version, latest, retracted, nodes, document, created, updated)
    SELECT 'CMIP6', concat('many', n, '.v1'), 1, 'many' || n, '1', true, false, '{}', pg_temp.document(concat('many', n, '.v1'), '{"collection": "CMIP6", "links": []}'), now(), now() FROM generate_series(1, 100000) n;
SET LOCAL session_replication_role = origin;
SELECT is(pg_temp.did(VARIADIC (SELECT array_agg(pg_temp.post(concat('new', n, '.v1'))) FROM generate_series(1, 500) n)), '0 0 500 0 0', 'of 500 datasets that are made none is written again');
SELECT is(pg_temp.did(VARIADIC (SELECT array_agg(pg_temp.request('PATCH', concat('many', n * 199, '.v1'), '{"patch": {"properties": {"title": "t"}}}')) FROM generate_series(1, 500) n)), '0 0 0 0 0', 'of 500 that are there none is written, and no table read as a whole');
SELECT is(pg_temp.did(VARIADIC (SELECT array_agg(pg_temp.request('PATCH', concat('none', n, '.v1'), '{"patch": {}}')) FROM generate_series(1, 20) n)), '20 0 20 0 20', 'those of items that are not there go');

-- What is no answer to one request ends the call, and is caught by whoever wants to.
CREATE FUNCTION pg_temp.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'a trigger of the DBA'; END $$;
CREATE TRIGGER fail AFTER UPDATE ON esgf_stac.item FOR EACH ROW WHEN (NEW.id = 'k.v2') EXECUTE FUNCTION pg_temp.fail();
SELECT pg_temp.refused($$SELECT pg_temp.outcomes(false, pg_temp.post('w.v9'), pg_temp.request('DELETE', 'k.v2'))$$, 'P0001', NULL, 'an error that is no refusal');
SELECT is_empty($$SELECT FROM esgf_stac.item WHERE id = 'w.v9'$$, 'undoes all');

SELECT * FROM finish();
ROLLBACK;
