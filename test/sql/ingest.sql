\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set ingest :srcdir '/ingest.psql'
\i :ingest
-- Events come in: what each asks is done once, as whoever it names, and kept with what became of it.
SELECT plan(191);
CREATE ROLE esgf_stac_test_ingest IN ROLE esgf_stac_ingest;
CREATE ROLE esgf_stac_test_admin IN ROLE esgf_stac_admin;
CREATE ROLE esgf_stac_test_gateway IN ROLE esgf_stac_gateway, esgf_stac_ingest;

-- A source is made, configured and dropped by administrators.
SELECT lives_ok($$SELECT esgf_stac.create_source('s')$$, 'a source');
SELECT row_eq($$SELECT name, principals, drop_nulls, null_members, active, log FROM esgf_stac.source$$, ROW ('s'::text, '{}'::text[], true, 'ignore'::text, true, NULL::jsonb), 'with its defaults');
SELECT pg_temp.refused($$SELECT esgf_stac.create_source('s')$$, 'PT400', 'operation-not-permitted', 'once');
SELECT pg_temp.refused(format('SELECT esgf_stac.create_source(%L)', name), 'PT400', 'bad-request', 'no name: ' || coalesce(name, 'NULL')) FROM unnest(ARRAY[NULL, '', 'a b', '-a', repeat('a', 51), E'a\n']) name;
SELECT pg_temp.refused(format('SELECT esgf_stac.create_source(''t'', %L)', settings), 'PT400', 'bad-request', 'no settings: ' || coalesce(left(settings, 60), 'NULL'))
  FROM unnest(ARRAY[NULL, '[]', 'null', '{"x": 1}', '{"active": null}', '{"active": "true"}', '{"drop_nulls": 1}', '{"null_members": "no"}', '{"principals": "x"}', '{"principals": [1]}', '{"principals": [""]}',
                    '{"principals": ["role:postgres"]}', '{"principals": ["group:x", "source:t"]}', '{"principals": ["a\n"]}', format('{"principals": ["%s"]}', repeat('x', 256))]) settings;
SELECT is_empty($$SELECT FROM esgf_stac.source WHERE name <> 's'$$, 'and none is made');
SELECT pg_temp.refused(query, 'PT404', 'source-does-not-exist', query)
  FROM unnest(ARRAY['SELECT esgf_stac.configure_source(''t'', ''{}'')', 'SELECT esgf_stac.drop_source(''t'')', 'SELECT esgf_stac.drop_source(NULL)', 'SELECT esgf_stac.seek_source(''t'', 0, 0)', 'SELECT * FROM esgf_stac.ingest(''t'', 0, ''[]'')',
                    'SELECT * FROM esgf_stac.ingest(NULL, 0, ''[]'')', 'SELECT * FROM esgf_stac.redrive_inbox(''t'')', 'SELECT esgf_stac.settle_inbox(''t'', 0, 0)', 'SELECT esgf_stac_internal.source_position(''t'', 0)']) query;

-- An event may what rules give its source, whoever calls: run by a superuser or an administrator it has no right more.
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(0, pg_temp.event('e0', pg_temp.post('a.v1')))), '403 a.v1 missing-permission', 'a source without rules, whose events a superuser brings');
SET LOCAL ROLE esgf_stac_test_admin;
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(1, pg_temp.event('e1', pg_temp.post('a.v1')))), '403 a.v1 missing-permission', 'or an administrator');
SET LOCAL ROLE esgf_stac_test_gateway;
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(2, pg_temp.event('e2', pg_temp.post('a.v1')))), '403 a.v1 missing-permission', 'or a gateway that has set no identity');
SET LOCAL ROLE esgf_stac_test_ingest;
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(3, pg_temp.event('e3', pg_temp.post('a.v1')))), '403 a.v1 missing-permission', 'or the program');
SELECT pg_temp.refused(query, '42501', NULL, 'which can nothing else: ' || query) FROM unnest(ARRAY['SELECT esgf_stac.patch_item(''CMIP6'', ''a.v1'', ''{}'')', 'SELECT esgf_stac.set_identity(''{"sub": "x"}'')', 'SELECT esgf_stac.redrive_inbox(''s'')']) query;
RESET ROLE;
SELECT is_empty('SELECT FROM esgf_stac.item UNION ALL SELECT FROM esgf_stac.dataset UNION ALL SELECT FROM esgf_stac.outbox WHERE aggregatetype <> ''collection''', 'a refusal leaves nothing');
SELECT set_eq($$SELECT "offset", key, event_id, request_id, identity, attempt, status, outcome ->> 'method' AS method, outcome -> 'problem' ->> 'instance' AS instance, value #>> '{data,payload,item,id}' AS id, settled_at IS NULL AS open FROM esgf_stac.inbox$$,
              $$SELECT n::bigint, 'k1'::text AS key, 'e' || n AS event_id, 'r-e' || n AS request_id, '{"client_id": "c1", "iss": "https://iss", "sub": "ada", "principals": ["source:s"], "request_id": "r-e0", "publisher": {"package": "stac-transaction-api", "version": "1.0"}}'::jsonb || jsonb_build_object('request_id', 'r-e' || n) AS identity,
                       1 AS attempt, 403 AS status, 'POST'::text AS method, '/collections/CMIP6/items/a.v1'::text AS instance, 'a.v1'::text AS id, true AS open FROM generate_series(0, 3) n$$, 'but its row in the inbox');
SELECT row_eq($$SELECT next_offset, results_offset, high_watermark, lag, refused, last_problem FROM esgf_stac.source_status$$, ROW (4::bigint, NULL::bigint, NULL::bigint, NULL::bigint, 4::bigint, 'this change is not permitted'::text), 'and the status of its partition');
SELECT is((SELECT string_agg(problem #>> '{errors,0,right}', ' ') FROM esgf_stac.ingest('s', 0, pg_temp.messages(4, pg_temp.event('e4', pg_temp.post('a.v1'))))), 'CREATE', 'its outcome names the right');
DO $$ BEGIN
    PERFORM esgf_stac.grant_access('source:s', role, scope, '*') FROM (VALUES ('CREATE', 'project'), ('UPDATE', 'project'), ('DELETE', 'project'), ('CREATE', 'node'), ('UPDATE', 'node')) r (role, scope);
END $$;

-- Each method, in its order; each event sees what the earlier did.
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(10, pg_temp.event('m0', pg_temp.post('b.v1')), pg_temp.event('m1', pg_temp.payload('PATCH', 'b.v1', '{"patch": {"properties": {"title": "t"}}}')),
          pg_temp.event('m2', pg_temp.payload('PUT', 'b.v1', jsonb_build_object('item', pg_temp.document('b.v1')))), pg_temp.event('m3', pg_temp.payload('PUT', 'b.v1', jsonb_build_object('item', pg_temp.document('b.v1')))),
          pg_temp.event('m4', pg_temp.payload('DELETE', 'b.v1')), pg_temp.event('m5', pg_temp.payload('PATCH', 'b.v1', '{"patch": {"properties": {"title": "t"}}}')), pg_temp.event('m6', pg_temp.post('c.v1')), pg_temp.event('m7', pg_temp.post('c.v1')),
          pg_temp.event('m8', pg_temp.payload('PUT', 'x.v1', jsonb_build_object('item', pg_temp.document('x.v1')))), pg_temp.event('m9', pg_temp.post('c.v2')))),
          '201 b.v1 1 published, 200 b.v1 2 updated, 200 b.v1 3 updated, 200 b.v1 3, 200 b.v1 4 deleted, 404 b.v1 item-does-not-exist, 201 c.v1 1 published, 409 c.v1 item-already-exists, 404 x.v1 item-does-not-exist, 201 c.v2 1 published', 'each method');
SELECT is((SELECT string_agg(concat_ws(' ', "offset", status, outcome ->> 'version', outcome ->> 'action', outcome ->> 'changed', (outcome ->> 'event_id') = (SELECT o.id::text FROM esgf_stac.outbox o WHERE o.aggregateid = i.outcome ->> 'item_id' AND o.version = (i.outcome ->> 'version')::bigint)), ', ' ORDER BY "offset") FROM esgf_stac.inbox i WHERE "offset" BETWEEN 10 AND 14),
          '10 201 1 published true t, 11 200 2 updated true t, 12 200 3 updated true t, 13 200 3 false, 14 200 4 deleted true t', 'outcomes are kept');
SELECT is_empty($$SELECT FROM esgf_stac.inbox WHERE (status >= 400) <> (value IS NOT NULL) OR (status >= 400) <> (settled_at IS NULL)$$, 'values of what was refused');
SELECT row_eq($$SELECT identity - 'principals', request_id, request FROM esgf_stac.outbox WHERE aggregateid = 'b.v1' AND version = 2$$,
              ROW ('{"client_id": "c1", "iss": "https://iss", "sub": "ada", "request_id": "r-m1", "publisher": {"package": "stac-transaction-api", "version": "1.0"}}'::jsonb, 'r-m1'::text, '{"properties": {"title": "t"}}'::jsonb), 'an event of the outbox says who');
SELECT is((SELECT updated_by FROM esgf_stac.item WHERE id = 'c.v2'), '{"iss": "https://iss", "sub": "ada"}', 'so does the item');
SELECT is((SELECT latest FROM esgf_stac.item WHERE id = 'c.v1'), false, 'a new version supersedes');
SELECT is((SELECT next_offset FROM esgf_stac.source_partition), 20::bigint, 'the position moves');

-- What comes again is passed over, by its place and by its event_id.
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(18, pg_temp.event('m8', pg_temp.payload('PUT', 'x.v1', '{"item": {}}')), pg_temp.event('m9', pg_temp.post('c.v2')), pg_temp.event('m10', pg_temp.payload('PATCH', 'c.v2', '{"patch": {"properties": {"n": 1}}}')))), '200 c.v2 2 updated', 'places before the position');
SELECT is((SELECT ordinal FROM esgf_stac.ingest('s', 0, pg_temp.messages(19, pg_temp.event('m9', pg_temp.post('c.v2')), pg_temp.event('m10', '{}'), pg_temp.event('m11', '{}')))), 3, 'ordinal is the place in the array');
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.ingest('s', 0, pg_temp.messages(19, pg_temp.event('other', pg_temp.post('d.v1')), pg_temp.event('n1', pg_temp.post('d.v1'))))$$, 'PT409', 'source-differs', 'another event in its place is another log');
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.ingest('s', 0, '[{"offset": 19, "unreadable": "x"}]')$$, 'PT409', 'source-differs', 'what cannot be read, too');
SELECT is(pg_temp.ingest('s', 1, pg_temp.messages(0, pg_temp.event('m9', '{}'), pg_temp.event('f0', pg_temp.post('f.v1')), pg_temp.event('f0', pg_temp.post('f.v1')), pg_temp.event('m7', '{}'), pg_temp.event('f1', pg_temp.payload('DELETE', 'nobody')), pg_temp.event('f1', '{}'))),
          '201 c.v2 1 published, 201 f.v1 1 published, 201 f.v1 1 published, 409 c.v1 item-already-exists, 404 nobody item-does-not-exist, 404 nobody item-does-not-exist', 'a repetition is answered as the first, of another partition or the same call');
SELECT is((SELECT string_agg(concat_ws(' ', "offset", repeats, outcome -> 'repeats', settled_at IS NOT NULL, value IS NOT NULL), ', ' ORDER BY "offset") FROM esgf_stac.inbox WHERE partition = 1),
          '0 t {"offset": 19, "partition": 0} t f, 1 f t f, 2 t {"offset": 1, "partition": 1} t f, 3 t {"offset": 17, "partition": 0} t t, 4 f f t, 5 t {"offset": 4, "partition": 1} t t', 'it is settled, and says whom it repeats');
SELECT is((SELECT count(*) FROM esgf_stac.outbox WHERE aggregateid IN ('c.v2', 'f.v1')), 3::bigint, 'and does nothing');
SELECT is(pg_temp.ingest('s', 1, pg_temp.messages(6, pg_temp.event('m9', '{}'))), '201 c.v2 1 published', 'a repetition of a repetition repeats the first');
SELECT is(pg_temp.ingest('s', 1, pg_temp.messages(100, pg_temp.event('g0', pg_temp.post('g.v1'), '{"request_id": "same"}'), pg_temp.event('g1', pg_temp.payload('PATCH', 'g.v1', '{"patch": {"properties": {"n": 1}}}'), '{"request_id": "same"}'))), '201 g.v1 1 published, 200 g.v1 2 updated', 'a request_id is no key; gaps are normal');
SELECT is((SELECT next_offset FROM esgf_stac.source_partition WHERE partition = 1), 102::bigint, 'and passed');
SELECT lives_ok($$SELECT esgf_stac.seek_source('s', 1, 50)$$, 'seek back');
SELECT is(pg_temp.ingest('s', 1, pg_temp.messages(99, pg_temp.event('late', pg_temp.payload('PATCH', 'g.v1', '{"patch": {"properties": {"n": 2}}}')), pg_temp.event('g0', '{}'), pg_temp.event('g1', '{}'))), '200 g.v1 3 updated', 'what the inbox has is passed over');
SELECT lives_ok($$SELECT esgf_stac.seek_source('s', 1, 200)$$, 'seek on');
SELECT is(pg_temp.ingest('s', 1, pg_temp.messages(198, pg_temp.event('h0', '{}'), pg_temp.event('h1', '{}'), pg_temp.event('h2', pg_temp.post('h.v1')))), '201 h.v1 1 published', 'what is skipped stays so');
SELECT pg_temp.refused(format('SELECT esgf_stac.seek_source(''s'', %s)', places), 'PT400', 'bad-request', 'no place: ' || places) FROM unnest(ARRAY['NULL, 0', '0, NULL', '-1, 0', '0, -1']) places;

-- Poison is an outcome; the partition flows on.
CREATE TEMPORARY TABLE poison AS SELECT row_number() OVER () AS n, e FROM unnest(ARRAY['null', '[]', '"x"', '1', '{}', '{"metadata": null}', '{"data": {"payload": {"method": "POST"}}}']::jsonb[]) e;
INSERT INTO poison SELECT 20 + n, pg_temp.event('p' || n, payload) FROM unnest(ARRAY['null', '[]', '"x"', '{}', '{"method": null}', '{"method": "post"}', '{"method": "UPSERT", "collection_id": "CMIP6", "item": {}}', '{"method": {}}', '{"method": "POST"}', '{"method": "POST", "collection_id": 1}',
    '{"method": "POST", "collection_id": "CMIP6"}', '{"method": "POST", "collection_id": "CMIP6", "item": null}', '{"method": "POST", "collection_id": "CMIP6", "item": []}', '{"method": "PUT", "collection_id": "CMIP6", "item": {"id": "c.v2"}}', '{"method": "PATCH", "collection_id": "CMIP6", "item_id": "c.v2"}',
    '{"method": "PATCH", "collection_id": "CMIP6", "item_id": "c.v2", "patch": null}', '{"method": "PATCH", "collection_id": "CMIP6", "patch": {"a": 1}}', '{"method": "DELETE", "collection_id": "CMIP6", "item_id": 3}',
    '{"method": "POST", "collection_id": "CMIP6", "item_id": "other", "item": {"id": "c.v3"}}']::jsonb[]) WITH ORDINALITY u (payload, n);
INSERT INTO poison SELECT 60 + n, jsonb_set(pg_temp.event('q' || n, pg_temp.payload('DELETE', 'c.v2')), path::text[], value)
  FROM unnest(ARRAY['{metadata,auth}', '{metadata,auth,requester_data}', '{metadata,auth,requester_data,sub}', '{metadata,auth,requester_data,sub}', '{metadata,auth,requester_data,sub}', '{metadata,auth,requester_data,iss}', '{metadata,auth,requester_data,client_id}', '{metadata,event_id}', '{metadata,event_id}', '{metadata,event_id}', '{metadata,event_id}', '{metadata,request_id}', '{data,type}', '{metadata,auth,requester_data,sub}', '{metadata,publisher}'],
              ARRAY['null', 'null', '""', 'null', '7', '""', 'null', '""', 'null', '{}', to_jsonb(repeat('e', 256))::text, '7', '"OTHER"', to_jsonb(repeat('s', 256))::text, '"p"']::jsonb[]) WITH ORDINALITY u (path, value, n);
SELECT is(o.status || ' ' || substr(o.problem ->> 'type', 36), CASE WHEN p.n = 33 THEN '400 stac-validation' ELSE '400 bad-request' END, 'poison: ' || left(concat_ws(' ', e -> 'data' -> 'payload', e #> '{metadata,auth,requester_data}', left(e #>> '{metadata,event_id}', 9)), 120))
  FROM (SELECT row_number() OVER (ORDER BY n) AS place, * FROM poison) p JOIN esgf_stac.ingest('s', 2, (SELECT jsonb_agg(jsonb_build_object('offset', n, 'key', null, 'value', e) ORDER BY n) FROM poison)) o ON o.ordinal = p.place ORDER BY n;
SELECT is((SELECT count(*) FROM esgf_stac.inbox i JOIN poison p ON p.n = i."offset" AND i.value = p.e WHERE i.partition = 2 AND i.settled_at IS NULL), (SELECT count(*) FROM poison), 'all of it is kept');
SELECT is((SELECT count(*) FROM esgf_stac.inbox WHERE partition = 2 AND identity IS NULL), 21::bigint, 'without identity where it says none');
SELECT is(pg_temp.ingest('s', 2, jsonb_build_array('{"offset": 100, "key": "k", "unreadable": "no JSON: \"x\"", "bytes": "eA=="}'::jsonb, '{"offset": 101, "unreadable": "no value"}'::jsonb) || pg_temp.messages(102, pg_temp.event('after', pg_temp.post('p.v1')))), '400 bad-request, 400 bad-request, 201 p.v1 1 published', 'what cannot be read');
SELECT row_eq($$SELECT value, outcome #>> '{problem,detail}', outcome #>> '{problem,instance}', event_id FROM esgf_stac.inbox WHERE partition = 2 AND "offset" = 100$$, ROW ('{"unreadable": "no JSON: \"x\"", "bytes": "eA=="}'::jsonb, 'event cannot be read: no JSON: "x"'::text, '/sources/s/2/100'::text, NULL::text), 'is kept as well');

-- A call that is malformed is refused whole.
SELECT pg_temp.refused(format('SELECT * FROM esgf_stac.ingest(''s'', 0, %L)', events), 'PT400', 'bad-request', 'no events: ' || coalesce(left(events, 70), 'NULL'))
  FROM unnest(ARRAY[NULL, '{}', 'null', '"x"', '[1]', '[[]]', '[{}]', '[{"offset": 900}]', '[{"offset": "900", "value": {}}]', '[{"offset": 900.5, "value": {}}]', '[{"offset": -1, "value": {}}]', '[{"offset": 9223372036854775807, "value": {}}]', '[{"offset": 1e30, "value": {}}]', '[{"offset": 900, "key": 1, "value": {}}]',
    '[{"offset": 900, "unreadable": 1}]', '[{"offset": 900, "unreadable": "x", "bytes": 1}]', '[{"offset": 901, "value": {}}, {"offset": 901, "value": {}}]', '[{"offset": 901, "value": {}}, {"offset": 900, "value": {}}]', (SELECT jsonb_agg(jsonb_build_object('offset', n, 'value', 1)) FROM generate_series(900, 1900) n)::text]) events;
SELECT pg_temp.refused(format('SELECT * FROM esgf_stac_internal.ingest_columns(''s'', 0, %s)', columns), 'PT400', 'bad-request', 'no columns: ' || columns)
  FROM unnest(ARRAY['''{900}'', ''{}'', ''{"{}"}'', ''{NULL}''', '''{900}'', ''{k}'', ''{}'', ''{NULL}''', '''{900}'', ''{k}'', ''{"{}"}'', ''{NULL,NULL}''', '''{NULL}'', ''{k}'', ''{"{}"}'', ''{NULL}''', '''{-1}'', ''{k}'', ''{"{}"}'', ''{NULL}''', '''{9223372036854775807}'', ''{k}'', ''{"{}"}'', ''{NULL}''',
    '''{901,901}'', ''{k,k}'', ''{"{}","{}"}'', ''{NULL,NULL}''', '''{900}'', ''{k}'', ''{NULL}'', ''{NULL}''', '''{900}'', ''{k}'', ''{1}'', ''{x}''', '''{900}'', ''{k}'', ''{"[\"eA==\"]"}'', ''{x}''', 'array_fill(1::bigint, ARRAY[1001]), array_fill(''''::text, ARRAY[1001]), array_fill(''1''::jsonb, ARRAY[1001]), array_fill(''''::text, ARRAY[1001])']) columns;
SELECT pg_temp.refused(format('SELECT * FROM esgf_stac.ingest(''s'', %s, ''[]'')', partition), 'PT400', 'bad-request', 'no partition: ' || partition) FROM unnest(ARRAY['NULL', '-1']) partition;
SELECT is_empty($$SELECT FROM esgf_stac.inbox WHERE "offset" >= 900$$, 'and leaves nothing');
SELECT is(pg_temp.ingest('s', 9, '[]'), NULL, 'no events are none');
SELECT is_empty($$SELECT FROM esgf_stac_internal.ingest_columns('s', 9, '{}', '{}', '{}', '{}')$$, 'in columns, too');
SELECT is_empty($$SELECT FROM esgf_stac.source_partition WHERE partition = 9$$, 'and begin nothing');
SELECT lives_ok($$SELECT esgf_stac.configure_source('s', '{"active": false}')$$, 'a source that is not active');
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.ingest('s', 0, '[]')$$, 'PT503', 'source-inactive', 'takes nothing in');
SELECT pg_temp.refused($$SELECT esgf_stac_internal.source_position('s', 0)$$, 'PT503', 'source-inactive', 'nor says where to go on');
SELECT lives_ok($$SELECT esgf_stac.configure_source('s', '{"active": true, "principals": ["group:x", "group:y"]}')$$, 'active again, with more principals');
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(801, pg_temp.event('w1', pg_temp.post('w.v1')))), '201 w.v1 1 published', 'which acts');
SELECT is((SELECT identity -> 'principals' FROM esgf_stac.outbox WHERE aggregateid = 'w.v1' AND version = 1), '["source:s", "group:x", "group:y"]', 'as all of them');

-- source: is the database's word.
SET LOCAL ROLE esgf_stac_test_gateway;
SELECT pg_temp.refused($$SELECT esgf_stac.set_identity('{"sub": "x", "principals": ["source:s"]}')$$, 'PT400', 'bad-request', 'no gateway claims to be a source');
-- An identity of the transaction neither lends nor takes.
SELECT lives_ok($$SELECT esgf_stac.set_identity('{"sub": "x", "principals": ["group:z"], "request_id": "own", "batch": "b"}')$$, 'a gateway that acts for somebody');
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(810, pg_temp.event('v0', pg_temp.post('v.v1')))), '201 v.v1 1 published', 'and brings an event');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'v.v1', '{"properties": {"n": 1}}')$$, 'PT403', 'missing-permission', 'has afterwards the rights that it had before');
RESET ROLE;
SELECT row_eq($$SELECT identity ->> 'sub', request_id, batch FROM esgf_stac.outbox WHERE aggregateid = 'v.v1'$$, ROW ('ada'::text, 'r-v0'::text, NULL::text), 'the event is its own author''s');

-- Sites, hrefs and institutions bind an event as anybody.
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(820, pg_temp.event('n0', pg_temp.post('n.v1', '{"assets": {"a": {"href": "https://evil.org/a", "alternate:name": "a.org"}}}')), pg_temp.event('n1', pg_temp.post('n.v1', '{"assets": {"a": {"href": "https://z.org/a", "alternate:name": "z.org"}}}')))), '403 n.v1 missing-permission, 403 n.v1 missing-permission', 'hrefs and nodes');
SELECT is((SELECT string_agg(outcome #>> '{problem,errors,0,reason}', ' ' ORDER BY "offset") FROM esgf_stac.inbox WHERE partition = 0 AND "offset" IN (820, 821)), 'foreign-href unknown-node', 'as everybody is told');
DO $$ BEGIN
    PERFORM esgf_stac.revoke_access(id) FROM esgf_stac.access_rule WHERE scope = 'project' AND role = 'UPDATE';
    PERFORM esgf_stac.grant_access('source:s', 'UPDATE', 'project', 'CMIP6', 'DKRZ');
END $$;
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(830, pg_temp.event('i0', pg_temp.payload('PATCH', 'c.v2', '{"patch": {"properties": {"n": 9}}}')))), '403 c.v2 missing-permission', 'institutions');
DO $$ BEGIN PERFORM esgf_stac.grant_access('group:y', 'UPDATE', 'project', 'CMIP6'); END $$;
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(831, pg_temp.event('i1', pg_temp.payload('PATCH', 'c.v2', '{"patch": {"properties": {"n": 9}}}')))), '200 c.v2 3 updated', 'another principal of the source may have the right');

-- What a site's own check raises is the event's outcome; what will pass is the call's.
CREATE FUNCTION pg_temp.own_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.document #>> '{properties,state}' = 'divide' THEN
        PERFORM 1 / 0;
    ELSIF NEW.document #> '{properties,state}' IS NOT NULL THEN
        RAISE 'says %', current_user USING ERRCODE = NEW.document #>> '{properties,state}';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER own_check BEFORE UPDATE ON esgf_stac.item FOR EACH ROW EXECUTE FUNCTION pg_temp.own_check();
CREATE TEMPORARY SEQUENCE places;
CREATE FUNCTION pg_temp.with_state(state text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.messages(1000 + nextval('pg_temp.places'), pg_temp.event(state || currval('pg_temp.places'), pg_temp.payload('PATCH', 'c.v2', jsonb_build_object('patch', jsonb_build_object('properties', jsonb_build_object('state', state)))))) $$;
SELECT is(pg_temp.ingest('s', 0, pg_temp.with_state(state)), answer || ' c.v2 ' || slug, 'an outcome: ' || state)
  FROM (VALUES ('P0001', 500, 'unknown'), ('42501', 500, 'unknown'), ('XX000', 500, 'unknown'), ('0A000', 500, 'unknown'), ('22023', 400, 'bad-request'), ('divide', 400, 'bad-request'), ('23514', 409, 'unknown'), ('54000', 413, 'document-too-large'), ('PT422', 422, 'unknown'), ('PT418', 418, 'unknown'), ('55P02', 500, 'unknown')) AS e(state, answer, slug);
SELECT is((SELECT count(*) FROM esgf_stac.inbox WHERE status IN (500, 418) AND outcome #>> '{problem,status}' = status::text AND outcome #>> '{problem,title}' <> ''), 6::bigint, 'with a problem of its status');
CREATE FUNCTION pg_temp.ends_call(state text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN pg_temp.ingest('s', 0, pg_temp.with_state(state));
EXCEPTION WHEN OTHERS OR query_canceled THEN
    RETURN SQLSTATE;
END $$;
SELECT is(pg_temp.ends_call(state), state, 'the call''s: ' || state) FROM unnest(ARRAY['08006', '25006', '40001', '40P01', '53200', '57014', '57P01', '58030', '55P03', '55006', '55000', 'PT503']) state;
DROP TRIGGER own_check ON esgf_stac.item;
SELECT is((SELECT document #> '{properties,state}' FROM esgf_stac.item WHERE id = 'c.v2'), NULL, 'nothing of that stays');
SELECT * FROM finish();
ROLLBACK;
