\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set ingest :srcdir '/ingest.psql'
\i :ingest
-- Events in all the forms that clients use; outcomes as they are sent; refusals performed again, settled, pruned; the log that a source is.
SELECT plan(105);
CREATE ROLE esgf_stac_test_admin IN ROLE esgf_stac_admin;
DO $$ BEGIN
    PERFORM esgf_stac.create_source('s');
    PERFORM esgf_stac.grant_access('source:s', role, scope, '*') FROM (VALUES ('CREATE', 'project'), ('UPDATE', 'project'), ('DELETE', 'project'), ('CREATE', 'node'), ('UPDATE', 'node')) r (role, scope);
END $$;
CREATE TEMPORARY SEQUENCE places;
-- One event, at the next place.
CREATE FUNCTION pg_temp.send(payload jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.ingest('s', 0, pg_temp.messages(nextval('places'), pg_temp.event('e' || currval('places'), payload))) $$;
CREATE FUNCTION pg_temp.patch(patch jsonb, id text DEFAULT 'a.v1') RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.send(pg_temp.payload('PATCH', id, jsonb_build_object('patch', patch))) $$;
CREATE FUNCTION pg_temp.stored(id text) RETURNS jsonb LANGUAGE sql AS $$ SELECT document FROM esgf_stac.item i WHERE i.id = $1 $$;

-- Null members of a POSTed or PUT item are unset fields, at any depth, but for what STAC knows as null.
SELECT is(pg_temp.send(pg_temp.post('a.v1', '{"bbox": null, "collection": null, "stac_extensions": null, "extra": {"a": null, "geometry": null, "b": [null, {"c": null, "d": 1}, [{"e": null}]]},
    "links": [{"rel": "self", "href": "https://x.org", "title": null, "type": null}],
    "properties": {"datetime": null, "start_datetime": "1850-01-16T12:00:00Z", "end_datetime": "2014-12-16T12:00:00Z", "title": null, "deep": {"datetime": null}, "cmip6:institution_id": "MPI-M"},
    "assets": {"tas.nc": {"href": "https://a.org/tas.nc", "roles": ["data"], "alternate:name": "a.org", "file:size": 10, "title": null, "alternate": null}}}')), '201 a.v1 1 published', 'an item with unset members');
SELECT is(pg_temp.stored('a.v1') #- '{properties,created}' #- '{properties,updated}' #- '{properties,latest}' #- '{properties,retracted}',
          '{"type": "Feature", "stac_version": "1.1.0", "id": "a.v1", "collection": "CMIP6", "geometry": null, "extra": {"b": [null, {"d": 1}, [{}]]}, "links": [{"rel": "self", "href": "https://x.org"}],
            "properties": {"datetime": null, "start_datetime": "1850-01-16T12:00:00Z", "end_datetime": "2014-12-16T12:00:00Z", "deep": {}, "cmip6:institution_id": "MPI-M"},
            "assets": {"tas.nc": {"href": "https://a.org/tas.nc", "roles": ["data"], "alternate:name": "a.org", "file:size": 10}}}', 'is stored without them');
SELECT is(pg_temp.send(pg_temp.payload('PUT', 'a.v1', jsonb_build_object('item', jsonb_set(pg_temp.stored('a.v1'), '{properties,title}', 'null') || '{"id": null, "bbox": null}'))), '200 a.v1 1', 'the same, PUT with nulls, is no change');
SELECT is((SELECT jsonb_agg(pg_temp.send(pg_temp.post(format('n%s.v1', n), document))) FROM unnest(ARRAY['{"extra": {}}', '{"extra": []}', '{"extra": [null]}', '{"extra": {"a": {"b": {"c": {"d": {"e": null, "f": [[[{"g": null}]]]}}}}}}']::jsonb[]) WITH ORDINALITY u (document, n)),
          '["201 n1.v1 1 published", "201 n2.v1 1 published", "201 n3.v1 1 published", "201 n4.v1 1 published"]', 'nulls in all places');
SELECT is((SELECT string_agg((pg_temp.stored(format('n%s.v1', n)) -> 'extra')::text, ' ' ORDER BY n) FROM generate_series(1, 4) n), '{} [] [null] {"a": {"b": {"c": {"d": {"f": [[[{}]]]}}}}}', 'go or stay');
SELECT lives_ok($$SELECT esgf_stac.configure_source('s', '{"drop_nulls": false}')$$, 'a source whose clients mean their nulls');
SELECT is(pg_temp.send(pg_temp.post('b.v1', '{"extra": {"a": null}}')), '201 b.v1 1 published', 'such an item');
SELECT is(pg_temp.stored('b.v1') -> 'extra', '{"a": null}', 'keeps them');
SELECT lives_ok($$SELECT esgf_stac.configure_source('s', '{"drop_nulls": true}')$$, 'and back');

-- Merge patches as the models dump them.
SELECT is(pg_temp.patch('{"type": null, "stac_version": null, "stac_extensions": null, "id": null, "collection": null, "geometry": null, "bbox": null, "links": null, "assets": null, "properties": {"title": "t", "deep": null}}'), '200 a.v1 2 updated', 'a merge patch with unset members');
SELECT is(pg_temp.stored('a.v1') #> '{properties,title}', '"t"', 'does what it says');
SELECT is(pg_temp.stored('a.v1') #> '{properties,deep}', NULL, 'deeper nulls remove');
SELECT is(pg_temp.patch(patch), '400 a.v1 bad-patch', 'says nothing: ' || patch::text) FROM unnest(ARRAY['{"type": null, "properties": null, "assets": null}', '{}', '{"operation": null}']::jsonb[]) patch;
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"null_members": "reject"}'), esgf_stac.configure_source('s', '{"null_members": "reject"}')$$, 'a source that sends no such');
SELECT is(pg_temp.patch('{"links": null, "properties": {"title": "u"}}'), '400 a.v1 bad-patch', 'is refused');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"null_members": "ignore"}')$$, 'its setting comes before the collection''s');
SELECT is(pg_temp.patch('{"links": null, "properties": {"title": "u"}}'), '400 a.v1 bad-patch', 'which ignores them');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"null_members": "reject"}'), esgf_stac.configure_source('s', '{"null_members": "ignore"}')$$, 'and the other way');
SELECT is(pg_temp.patch('{"links": null, "properties": {"title": "u"}}'), '200 a.v1 3 updated', 'round');

-- JSON patches in each form.
SELECT is(pg_temp.patch('[{"op": "add", "path": "/properties/a", "value": 1}]'), '200 a.v1 4 updated', 'an array');
SELECT is(pg_temp.patch('{"operations": [{"op": "add", "path": "/properties/b", "value": {"c": 1}}]}'), '200 a.v1 5 updated', 'wrapped');
SELECT is(pg_temp.patch('{"operations": [{"op": "test", "path": "/properties/b/c", "value": 1}], "type": null, "links": null, "properties": null}'), '200 a.v1 5', 'wrapped by a model that has other members unset');
SELECT is(pg_temp.patch('[{"op": "move", "from_": "/properties/b", "path": "/properties/d"}, {"op": "copy", "from_": "/properties/a", "path": "/properties/e"}, {"op": "remove", "path": "/properties/a", "value": null, "from_": null}]'), '200 a.v1 6 updated', 'from_ for from');
SELECT is(pg_temp.stored('a.v1') -> 'properties' @> '{"d": {"c": 1}, "e": 1}' AND NOT pg_temp.stored('a.v1') -> 'properties' ?| '{a,b}', true, 'moves and copies');
SELECT pg_temp.refused($$SELECT esgf_stac.jsonb_patch('{"a": 1}', '[{"op": "move", "from_": "/a", "path": "/b"}]')$$, 'PT400', 'bad-patch', 'which RFC 6902 does not know');
SELECT is(pg_temp.patch('[{"op": "remove", "path": "/properties/d"}, {"op": "add", "path": "/properties/d", "value": null}, {"op": "remove", "path": "/properties/e"}, {"op": "add", "path": "/properties/f", "value": 1}, {"op": "add", "path": "/properties/e", "value": null}]'), '200 a.v1 7 updated', 'a doubled remove');
SELECT is(pg_temp.stored('a.v1') -> 'properties' ?| '{d,e}', false, 'removes');
SELECT is(pg_temp.patch('{"id": "a.v1", "patch": [{"op": "add", "path": "/properties/a", "value": 1}]}'), '400 a.v1 bad-patch', 'an old client''s');
SELECT is(pg_temp.patch('[{"op": "add", "path": "/assets/tas.nc/alternate/b.org", "value": {"href": "https://b.org/tas.nc", "alternate:name": "b.org"}}]'), '200 a.v1 8 replica_added', 'a replica whose parent is missing');
SELECT is(pg_temp.send(pg_temp.payload('DELETE', 'b.v1', '{"if_match": 99, "node": "x", "unknown": {}, "patch": null, "item": 3}')), '200 b.v1 2 deleted', 'members that the method does not know are passed over');
SELECT is(pg_temp.patch('{"properties": {"x": 1}}', 'nobody.v1'), '404 nobody.v1 item-does-not-exist', 'the last event');

-- What is sent: nothing, until somebody comes who sends.
SELECT is((SELECT count(*) FROM esgf_stac_internal.source_results('s', 0, 100)), 0::bigint, 'nobody sends outcomes');
SELECT is(esgf_stac_internal.begin_source('s', 0, '{"cluster": "c", "topic": "t"}', 0, 1000, NULL, true), (SELECT last_value + 1 FROM places), 'now somebody does, from where the source stands');
SELECT is((SELECT count(*) FROM esgf_stac_internal.source_results('s', 0, 100)), 0::bigint, 'what was before was for nobody');
SELECT setval('places', 109) \gset
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(100, pg_temp.event('r0', pg_temp.post('r.v1')), pg_temp.event('r1', pg_temp.payload('PATCH', 'r.v1', '{"patch": {}}')), pg_temp.event('r2', pg_temp.payload('PATCH', 'r.v1', '{"patch": [{"op": "test", "path": "/id", "value": "r.v1"}]}')),
          pg_temp.event('r3', pg_temp.payload('DELETE', 'r.v1')), pg_temp.event('r0', '{}', '{"auth": {"auth_policy_id": "p", "requester_data": {"client_id": "c1", "iss": "https://iss", "sub": "eve"}}}'), '{"metadata": {"auth": {"requester_data": {"sub": "", "iss": 3}}}}')
          || '[{"offset": 106, "key": null, "unreadable": "no JSON", "bytes": "eA=="}]'),
          '201 r.v1 1 published, 400 r.v1 bad-patch, 200 r.v1 1, 200 r.v1 2 deleted, 201 r.v1 1 published, 400 bad-request, 400 bad-request', 'events of all kinds');
SELECT is((SELECT string_agg(concat_ws(' ', "offset", attempt, success, key), ', ' ORDER BY "offset") FROM esgf_stac_internal.source_results('s', 0, 100)), '100 1 t k1, 101 1 f k2, 102 1 t k3, 103 1 t k4, 104 1 t k5, 105 1 f k6, 106 1 f', 'are told, with their keys');
SELECT is((SELECT value::jsonb #- '{metadata,time}' #- '{metadata,publisher,version}' FROM esgf_stac_internal.source_results('s', 0, 1)), jsonb_build_object(
    'data', '{"type": "STAC", "payload": {"method": "POST", "collection_id": "CMIP6", "item_id": "r.v1", "version": 1, "action": "published", "changed": true}}'::jsonb,
    'metadata', jsonb_build_object('auth', '{"auth_policy_id": null, "requester_data": {"client_id": "c1", "iss": "https://iss", "sub": "ada"}}'::jsonb, 'event_id', left(encode(sha256('["s", 0, 100, 1]'), 'hex'), 32),
        'request_id', 'r-r0', 'publisher', '{"package": "esgf_stac"}'::jsonb, 'schema_version', '1.0.0'),
    'original_event', '{"event_id": "r0", "offset": 100, "partition": 0}'::jsonb), 'a success');
SELECT matches((SELECT value::jsonb #>> '{metadata,time}' FROM esgf_stac_internal.source_results('s', 0, 1)), '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$', 'at its time');
SELECT is((SELECT jsonb_object_agg("offset", value::jsonb #> '{data,payload}') FROM esgf_stac_internal.source_results('s', 0, 100) WHERE "offset" IN (103, 105, 106)),
          '{"103": {"method": "PATCH", "original_method": "DELETE", "collection_id": "CMIP6", "item_id": "r.v1", "version": 2, "action": "deleted", "changed": true},
            "105": {"method": "PATCH", "original_method": "", "collection_id": "", "item_id": "", "version": null, "action": null, "changed": null},
            "106": {"method": "PATCH", "original_method": "", "collection_id": "", "item_id": "", "version": null, "action": null, "changed": null}}', 'what today''s models do not know');
SELECT is((SELECT jsonb_object_agg("offset", jsonb_build_array(value::jsonb #> '{metadata,auth,requester_data}', value::jsonb #> '{metadata,request_id}' = value::jsonb #> '{metadata,event_id}', value::jsonb #> '{original_event,event_id}')) FROM esgf_stac_internal.source_results('s', 0, 100) WHERE "offset" IN (105, 106)),
          '{"105": [{"client_id": "esgf_stac", "iss": "esgf_stac", "sub": ""}, true, ""], "106": [{"client_id": "esgf_stac", "iss": "esgf_stac", "sub": "esgf_stac"}, true, ""]}', 'what an event does not say');
SELECT is((SELECT value::jsonb #> '{metadata,auth}' FROM esgf_stac_internal.source_results('s', 0, 100) WHERE "offset" = 104), '{"auth_policy_id": "p", "requester_data": {"client_id": "c1", "iss": "https://iss", "sub": "eve"}}', 'a repetition''s is its own author''s');
SELECT is((SELECT value::jsonb -> 'error' FROM esgf_stac_internal.source_results('s', 0, 100) WHERE "offset" = 101), (SELECT outcome -> 'problem' FROM esgf_stac.inbox WHERE "offset" = 101), 'an error has the problem');
SELECT is_empty($$SELECT FROM esgf_stac_internal.source_results('s', 0, 100) WHERE success = (value::jsonb ? 'error') OR (value::jsonb ? 'error' AND NOT value::jsonb -> 'error' ?& '{type,title,status,detail,instance}')$$, 'no success has one');
SELECT is((SELECT array_agg("offset") FROM esgf_stac_internal.source_results('s', 0, 2)), '{100,101}', 'as many as are asked for');
SELECT lives_ok($$SELECT esgf_stac_internal.note_results('s', 0, 102, '[[100, 1], [101, 1]]')$$, 'two are acknowledged');
SELECT is((SELECT min("offset") FROM esgf_stac_internal.source_results('s', 0, 100)), 102::bigint, 'the next come');
SELECT lives_ok($$SELECT esgf_stac_internal.note_results('s', 0, 50)$$, 'less than that');
SELECT is((SELECT results_offset FROM esgf_stac.source_status), 102::bigint, 'is no way back');

-- Refusals are performed again, as their authors, and told again.
SELECT is((SELECT refused FROM esgf_stac.source_status), (SELECT count(*) FROM esgf_stac.inbox WHERE status >= 400 AND NOT repeats), 'open refusals');
SELECT is(pg_temp.redrive(0, 105), '400 bad-request', 'one of them again, before its outcome was sent');
SELECT is((SELECT string_agg(concat_ws(' ', "offset", attempt), ', ' ORDER BY "offset", attempt) FROM esgf_stac_internal.source_results('s', 0, 100)), '102 1, 103 1, 104 1, 105 1, 105 2, 106 1', 'both outcomes are told');
SELECT isnt((SELECT min(value::jsonb #>> '{metadata,event_id}') FROM esgf_stac_internal.source_results('s', 0, 100) WHERE "offset" = 105), (SELECT max(value::jsonb #>> '{metadata,event_id}') FROM esgf_stac_internal.source_results('s', 0, 100) WHERE "offset" = 105), 'as events of their own');
SELECT lives_ok($$SELECT esgf_stac_internal.note_results('s', 0, 107, '[[102, 1], [103, 1], [104, 1], [105, 1], [106, 1]]')$$, 'the first outcomes are acknowledged');
SELECT is((SELECT string_agg(concat_ws(' ', "offset", attempt), ', ') FROM esgf_stac_internal.source_results('s', 0, 100)), '105 2', 'the second is not');
SELECT lives_ok($$SELECT esgf_stac_internal.note_results('s', 0, 106, '[[105, 2]]')$$, 'now it is');
SELECT is_empty($$SELECT FROM esgf_stac_internal.source_results('s', 0, 100)$$, 'nothing is to be sent');
SET LOCAL ROLE esgf_stac_test_admin;
SELECT is(pg_temp.redrive(0, 99), NULL, 'nothing open is there');
RESET ROLE;
SELECT is(pg_temp.send(pg_temp.payload('PUT', 'z.v1', jsonb_build_object('item', pg_temp.document('z.v1')))), '404 z.v1 item-does-not-exist', 'a PUT before its POST');
SELECT is((SELECT action FROM esgf_stac.create_item('CMIP6', pg_temp.document('z.v1', '{"bbox": [0, 0, 1, 1]}'))), 'published', 'which comes after');
UPDATE esgf_stac.inbox SET tried_at = tried_at - interval '1 day' WHERE event_id = 'e110';
SET LOCAL ROLE esgf_stac_test_admin;
SELECT is(pg_temp.redrive(0, 103), NULL, 'by its place');
SELECT is((SELECT string_agg(pg_temp.told(o), ', ') FROM esgf_stac.redrive_inbox('s') o WHERE item_id = 'z.v1'), '200 z.v1 2 updated', 'performed again');
RESET ROLE;
SELECT row_eq($$SELECT identity ->> 'sub', request_id FROM pg_temp.last_event('z.v1')$$, ROW ('ada'::text, 'r-e110'::text), 'with its own identity');
SELECT row_eq($$SELECT attempt, status, value, settled_at IS NOT NULL, outcome ->> 'action' FROM esgf_stac.inbox WHERE event_id = 'e110'$$, ROW (2, 200, NULL::jsonb, true, 'updated'::text), 'it is settled, and its value gone');
SELECT is((SELECT count(*) FROM esgf_stac_internal.source_results('s', 0, 100) WHERE attempt = 2), (SELECT count(*) FROM esgf_stac.inbox WHERE attempt = 2) , 'all that was tried is told');
SELECT lives_ok($$SELECT esgf_stac_internal.note_results('s', 0, 107, (SELECT jsonb_agg(jsonb_build_array("offset", attempt)) FROM esgf_stac_internal.source_results('s', 0, 100)))$$, 'and acknowledged');
SELECT is((SELECT count(*) FROM esgf_stac.inbox WHERE unsent IS NOT NULL), 0::bigint, 'at once');
SELECT pg_temp.refused('SELECT * FROM esgf_stac.redrive_inbox(''s'', NULL, 105)', 'PT400', 'bad-request', 'an offset of no partition');
SELECT lives_ok('SELECT esgf_stac.settle_inbox(''s'', 0, 105)', 'a refusal is closed unperformed');
SELECT pg_temp.refused('SELECT esgf_stac.settle_inbox(''s'', 0, 105)', 'PT404', 'event-does-not-exist', 'once');
SELECT is(pg_temp.redrive(0, 105), NULL, 'and not tried again');
SELECT is((SELECT array_agg(DISTINCT cure) FROM esgf_stac.doctor() WHERE hazard = 'refused events'), ARRAY['SELECT esgf_stac.redrive_inbox(''s'');'], 'doctor() names open refusals');

-- One that is performed again meanwhile is not acknowledged with others, whatever their numbers.
DO $$ BEGIN
    PERFORM esgf_stac.create_source('m'), esgf_stac_internal.begin_source('m', 0, NULL, 0, 0, NULL, true);
    PERFORM esgf_stac.ingest('m', 0, pg_temp.messages(2, jsonb_build_object('metadata', jsonb_build_object('request_id', long, 'auth', jsonb_build_object('auth_policy_id', long, 'requester_data', jsonb_build_object('sub', long)))), '{}'))
       FROM repeat('x', 100000) long;
    PERFORM esgf_stac.redrive_inbox('m');
    PERFORM esgf_stac.redrive_inbox('m', 0, 2);
    PERFORM esgf_stac_internal.note_results('m', 0, 4, '[[2, 1], [2, 2], [3, 1], [3, 2]]');
END $$;
SELECT is((SELECT string_agg(concat_ws(' ', "offset", attempt), ', ') FROM esgf_stac_internal.source_results('m', 0, 100)), '2 3', 'a third outcome, of the second event, is told although the second, of the third, was');
SELECT cmp_ok((SELECT length(value) FROM esgf_stac_internal.source_results('m', 0, 100)), '<', 5000, 'what an event says of itself is cut');
DO $$ BEGIN PERFORM esgf_stac.drop_source('m'); END $$;
-- What is tried at once is bounded by what is read, however well it is compressed.
DO $$ BEGIN PERFORM esgf_stac.create_source('l'); END $$;
SELECT is(pg_temp.ingest('l', 0, pg_temp.messages(0, pg_temp.event('l0', jsonb_build_object('x', repeat('x', 9000000))), pg_temp.event('l1', jsonb_build_object('x', repeat('x', 9000000))))), '400 bad-request, 400 bad-request', 'two large refusals');
SELECT is((SELECT count(*) FROM esgf_stac.redrive_inbox('l')), 1::bigint, 'of which one is tried again');
SELECT is((SELECT array_agg(attempt ORDER BY "offset") FROM esgf_stac.inbox WHERE source = 'l'), '{2,1}', 'and one is left for the next call');
DO $$ BEGIN PERFORM esgf_stac.drop_source('l'); END $$;
-- What comes in below results_offset is told all the same.
DO $$ BEGIN PERFORM esgf_stac.seek_source('s', 0, 60); PERFORM esgf_stac_internal.note_results('s', 0, 120); END $$;
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(61, pg_temp.event('l0', pg_temp.post('l.v1')), pg_temp.event('l0', '{}'))), '201 l.v1 1 published, 201 l.v1 1 published', 'skipped before');
SELECT is((SELECT string_agg(concat_ws(' ', "offset", attempt), ', ') FROM esgf_stac_internal.source_results('s', 0, 100)), '61 1, 62 1', 'told now');

-- A source is one log, for ever.
SELECT pg_temp.refused(format('SELECT esgf_stac_internal.begin_source(''s'', %s, true)', log), 'PT409', slug, log)
  FROM (VALUES ('0, ''{"cluster": "c", "topic": "other"}'', 0, 1000, NULL', 'source-differs'), ('0, ''{"cluster": "d", "topic": "t"}'', 0, 1000, NULL', 'source-differs'), ('0, NULL, 0, 1000, ''l0''', 'source-differs'), ('0, ''{"cluster": "c", "topic": "t"}'', 0, 62, NULL', 'source-differs'),
               ('0, ''{"cluster": "c", "topic": "t"}'', 64, 1000, NULL', 'events-lost')) AS l(log, slug);
SELECT is(esgf_stac_internal.begin_source('s', 1, '{"cluster": "c", "topic": "t"}', 7, 7, NULL, true), 7::bigint, 'a partition never read begins where its log does');
SELECT is((SELECT results_offset FROM esgf_stac.source_status WHERE partition = 1), 7::bigint, 'its results too');
DO $$ BEGIN PERFORM esgf_stac.create_source('f'); END $$;
SELECT is(esgf_stac_internal.begin_source('f', 0, NULL, 0, 0, NULL, false), 0::bigint, 'a file');
SELECT is(pg_temp.ingest('f', 0, pg_temp.messages(0, pg_temp.event('f0', pg_temp.payload('DELETE', 'nobody')))), '404 nobody item-does-not-exist', 'and its first line');
SELECT is(esgf_stac_internal.begin_source('f', 0, NULL, 0, 100, 'f0', false), 1::bigint, 'the same file');
SELECT pg_temp.refused($$SELECT esgf_stac_internal.begin_source('f', 0, NULL, 0, 100, 'x', false)$$, 'PT409', 'source-differs', 'another file');
SELECT pg_temp.refused($$SELECT esgf_stac_internal.begin_source('f', 0, NULL, 0, 100, NULL, false)$$, 'PT409', 'source-differs', 'or none');
SELECT pg_temp.refused($$SELECT esgf_stac_internal.begin_source('f', 0, '{"cluster": "c", "topic": "t"}', 0, 100, 'f0', false)$$, 'PT409', 'source-differs', 'or a topic');
SELECT lives_ok($$SELECT esgf_stac_internal.note_source('f', 0, 5)$$, 'a reader says where its log ends');
SELECT row_eq($$SELECT high_watermark, lag FROM esgf_stac.source_status WHERE source = 'f'$$, ROW (5::bigint, 4::bigint), 'which its status shows');
DO $$ BEGIN PERFORM esgf_stac_internal.note_source('f', 0, 7, 1, 5); PERFORM esgf_stac_internal.note_source('f', 0, 9, 7, 9); END $$;
SELECT row_eq($$SELECT next_offset, high_watermark FROM esgf_stac.source_status WHERE source = 'f'$$, ROW (5::bigint, 9::bigint), 'it moves the position where there is nothing between, and none that was moved back');
DO $$ BEGIN PERFORM esgf_stac.seek_source('f', 0, 1); END $$;

-- Pruned with the outbox, but nothing that is still to be sent.
UPDATE esgf_stac.inbox SET received_at = received_at - interval '1 day';
DO $$ BEGIN PERFORM esgf_stac_internal.note_results('s', 0, 120, '[[61, 1]]'); PERFORM esgf_stac_internal.begin_source('f', 0, NULL, 0, 100, 'f0', true); END $$;
SELECT is(pg_temp.ingest('f', 0, pg_temp.messages(1, pg_temp.event('f1', '{}'), pg_temp.event('f2', '{}'))), '400 bad-request, 400 bad-request', 'two whose outcomes wait');
UPDATE esgf_stac.inbox SET received_at = received_at - interval '1 day' WHERE event_id = 'f1';
SELECT lives_ok($$SELECT esgf_stac.prune_outbox('1 hour', true)$$, 'pruned');
SELECT is((SELECT string_agg(concat_ws(' ', source, partition, "offset"), ', ' ORDER BY source, "offset") FROM esgf_stac.inbox), 'f 0 1, f 0 2, s 0 62', 'what waits stays');
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(50, pg_temp.event('r0', '{}'))), NULL, 'positions are for ever');
SELECT is_empty($$SELECT FROM esgf_stac.doctor() WHERE hazard = 'unread source' AND subject IN ('s', 'f')$$, 'both sources were read a moment ago');
UPDATE esgf_stac.source_partition SET updated = updated - interval '1 hour';
UPDATE esgf_stac.source SET created = created - interval '1 hour';
UPDATE esgf_stac.inbox SET received_at = received_at - interval '1 hour', tried_at = tried_at - interval '1 hour';
SELECT set_eq($$SELECT hazard, subject FROM esgf_stac.doctor() WHERE hazard IN ('unread source', 'unsent results')$$, $$VALUES ('unread source', 'f'), ('unread source', 's'), ('unsent results', 'f'), ('unsent results', 's')$$, 'doctor() names sources that nobody reads, and results that nobody sends');
SELECT lives_ok($$SELECT esgf_stac.drop_source('s'), esgf_stac.drop_source('f')$$, 'sources are dropped');
SELECT is_empty('SELECT FROM esgf_stac.source_status UNION ALL SELECT FROM esgf_stac.inbox', 'with all that came in');
SELECT is((SELECT version FROM esgf_stac.item WHERE id = 'a.v1'), 8::bigint, 'what their events did stays');
SELECT * FROM finish();
ROLLBACK;
