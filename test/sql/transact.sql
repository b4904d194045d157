\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- Many requests in one call: order, atomicity, conditions, idempotency keys, problems.
SELECT plan(89);

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

-- What is no answer to one request ends the call, and is caught by whoever wants to.
CREATE FUNCTION pg_temp.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'a trigger of the DBA'; END $$;
CREATE TRIGGER fail AFTER UPDATE ON esgf_stac.item FOR EACH ROW WHEN (NEW.id = 'k.v2') EXECUTE FUNCTION pg_temp.fail();
SELECT pg_temp.refused($$SELECT pg_temp.outcomes(false, pg_temp.post('w.v9'), pg_temp.request('DELETE', 'k.v2'))$$, 'P0001', NULL, 'an error that is no refusal');
SELECT is_empty($$SELECT FROM esgf_stac.item WHERE id = 'w.v9'$$, 'undoes all');

SELECT * FROM finish();
ROLLBACK;
