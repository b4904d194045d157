\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set access :srcdir '/access.psql'
\i :access
-- What the server has for the check of an index: what a stream would have put into it, digests, and versions given anew.
SELECT plan(69);

CREATE ROLE esgf_stac_test_admin IN ROLE esgf_stac_admin;
CREATE ROLE esgf_stac_test_relay IN ROLE esgf_stac_relay;
DO $$ BEGIN
    PERFORM esgf_stac.create_stream('all'), esgf_stac.create_stream('titled', '{CMIP6}', '$.properties.title starts with "T"'), esgf_stac.create_stream('other', '{CORDEX}');
    PERFORM esgf_stac.create_item('CMIP6', pg_temp.access_document(id)) FROM unnest('{a.v1,b.v1,c.v1,d.v1}'::text[]) id;
    PERFORM esgf_stac.patch_item('CMIP6', id, '{"properties": {"title": "T", "n": 1.0}}') FROM unnest('{a.v1,b.v1,c.v1}'::text[]) id;
    PERFORM esgf_stac.retract_item('CMIP6', 'b.v1'), esgf_stac.delete_item('CMIP6', 'c.v1');
END $$;

-- What the relay asks.
SET LOCAL ROLE esgf_stac_test_relay;
SELECT results_eq($$SELECT item_id, version, in_stream FROM esgf_stac_internal.verification_page('all', NULL, NULL, 10)$$,
    $$VALUES ('a.v1', 2::bigint, true), ('b.v1', 3, true), ('c.v1', 3, false), ('d.v1', 1, true), ('i.v1', 1, true)$$, 'a page has deleted items, too');
SELECT results_eq($$SELECT item_id, version, in_stream FROM esgf_stac_internal.verification_page('titled', 'CMIP6', 'a.v1', 3)$$,
    $$VALUES ('b.v1', 3::bigint, true), ('c.v1', 3, false), ('d.v1', 1, false)$$, 'and what a filter leaves out, so that it moves on');
SELECT is_empty($$SELECT * FROM esgf_stac_internal.verification_page('all', 'CMIP6', 'i.v1', 10)$$, 'nothing is after the last');
SELECT is_empty($$SELECT * FROM esgf_stac_internal.verification_page('other', NULL, NULL, 10)$$, 'nor in a stream of another collection');
SELECT results_eq($$SELECT item_id, version, in_stream, same, refused FROM esgf_stac_internal.verification_states('titled', '{CMIP6,CMIP6,CMIP6,CMIP6,CMIP6,none}', '{d.v1,c.v1,x,b.v1,a.v1,a.v1}')$$,
    $$VALUES ('d.v1', 1::bigint, false, NULL::boolean, false), ('c.v1', 3, false, NULL, false), ('x', NULL, false, NULL, false), ('b.v1', 3, true, NULL, false), ('a.v1', 2, true, NULL, false), ('a.v1', NULL, false, NULL, false)$$,
    'states come in the order of the keys');
SELECT results_eq($$SELECT s.same FROM (SELECT array_agg(document::text) AS documents, array_agg(id) AS ids FROM (SELECT id, document FROM esgf_stac.published_item ORDER BY id) p) p,
                           esgf_stac_internal.verification_states('all', array_fill('CMIP6'::text, '{4}'), ids, documents) s$$,
    $$VALUES (true), (true), (true), (true)$$, 'the published document is the same, of a retracted item without assets');
SELECT results_eq($$SELECT s.same FROM (SELECT document::text AS document FROM esgf_stac.published_item WHERE id = 'a.v1') p,
                           esgf_stac_internal.verification_states('all', array_fill('CMIP6'::text, '{5}'), array_fill('a.v1'::text, '{5}'),
                               ARRAY[replace(document, '"n": 1.0', '"n": 1'), replace(document, '"n": 1.0', '"n": 2'), '{', '"\u0000"', 'null']) s$$,
    $$VALUES (true), (false), (false), (false), (false)$$, '1.0 is 1; another document, and what is none, are not');
SELECT lives_ok($$INSERT INTO esgf_stac.dead_letter (stream, collection_id, item_id, version, reason) VALUES ('all', 'CMIP6', 'a.v1', 2, 'no'), ('all', 'CMIP6', 'b.v1', 2, 'no')$$, 'a dead letter');
SELECT is((SELECT array_agg(refused) FROM esgf_stac_internal.verification_states('all', '{CMIP6,CMIP6}', '{a.v1,b.v1}')), '{t,f}', 'explains a difference, if it is of the present version');
SELECT results_eq($$SELECT aggregateid, version, type, repair FROM esgf_stac_internal.redrive_states('all', '[["CMIP6", "a.v1", 7, null, "remove"], ["CMIP6", "b.v1", 1000004, null, "remove"], ["CMIP6", "x", 7, null, "remove"]]')$$,
    $$VALUES ('b.v1', 1000004::bigint, 'item.deleted', 'remove'), ('x', 7, 'item.deleted', 'remove')$$, 'what is unknown here or damaged is removed, not what has come to be since that was asked for');
SELECT lives_ok($$WITH run AS (INSERT INTO esgf_stac.verification (stream, deep, started) VALUES ('all', true, now() - interval '91 days'), ('all', true, now()) RETURNING id)
                  INSERT INTO esgf_stac.drift (verification, collection_id, item_id, kind, version_here, version_there) SELECT id, 'CMIP6', 'x', 'surplus', NULL, 7 FROM run$$, 'the relay writes down what it found');
SET LOCAL ROLE esgf_stac_test_admin;
SELECT esgf_stac.prune_outbox() \gset ignored_
SELECT results_eq($$SELECT v.started = now(), d.kind FROM esgf_stac.verification v JOIN esgf_stac.drift d ON d.verification = v.id$$, $$VALUES (true, 'surplus')$$, 'prune_outbox removes what is of its age');
RESET ROLE;
INSERT INTO esgf_stac.verification (stream, deep, diverged, state, started)
SELECT stream, true, true, state, now() - days * interval '1 day' FROM (VALUES ('all', 'failed', 94), ('all', 'completed', 93), ('all', 'failed', 92), ('titled', 'failed', 93), ('titled', 'completed', 92)) v(stream, state, days);
SET LOCAL ROLE esgf_stac_test_admin;
SELECT esgf_stac.prune_outbox() \gset ignored_
SELECT results_eq($$SELECT stream, state FROM esgf_stac.verification WHERE diverged ORDER BY stream$$, $$VALUES ('all', 'failed'), ('titled', 'completed')$$, 'but not how the last cure of a stream ended');
RESET ROLE;

-- Digests. The lines of doc/verify.md, and an oracle, are in test/t/175.
SET LOCAL ROLE esgf_stac_reader;
SELECT results_eq($$SELECT bucket, items, digest FROM esgf_stac.digest('CMIP6', 0)$$,
    $$SELECT 0, count(*), substr(bit_send(bit_xor(('x' || left(encode(sha256(convert_to(id || '/' || version, 'UTF8')), 'hex'), 32))::bit(128))), 5) FROM esgf_stac.published_item$$, 'one bucket has all that is published');
SELECT results_eq($$SELECT item_id, version FROM esgf_stac.digest_items('CMIP6', 0, 0, 'titled')$$, $$VALUES ('a.v1', 2::bigint), ('b.v1', 3)$$, 'or that is in a stream');
SELECT results_eq($$SELECT count(*), max(bucket), sum(items)::int, min(digest::text), count(DISTINCT digest) FROM esgf_stac.digest('CMIP6', 16, 'other')$$,
    $$VALUES (65536::bigint, 65535, 0, '\x00000000000000000000000000000000', 1::bigint)$$, 'empty buckets have zeros');
SELECT is((SELECT count(*) FROM esgf_stac.digest('CMIP6')), 256::bigint, '256 of them unless said otherwise');
SELECT is((SELECT sum(items)::int FROM esgf_stac.digest('CMIP6', 3) d WHERE items = (SELECT count(*) FROM esgf_stac.digest_items('CMIP6', 3, d.bucket))), 4, 'digest_items() lists what is in each');
SELECT pg_temp.refused('SELECT * FROM esgf_stac.' || call, state, slug, call) FROM (VALUES
    ('digest(NULL)', 'PT400', 'bad-request'), ('digest(''CMIP6'', NULL)', 'PT400', 'bad-request'), ('digest(''CMIP6'', -1)', 'PT400', 'bad-request'), ('digest(''CMIP6'', 17)', 'PT400', 'bad-request'),
    ('digest(''CMIP6'', 8, ''none'')', 'PT400', 'bad-request'), ('digest(''none'')', 'PT404', 'collection-does-not-exist'), ('digest_items(''none'', 8, 0)', 'PT404', 'collection-does-not-exist'),
    ('digest_items(''CMIP6'', 3, 8)', 'PT400', 'bad-request'), ('digest_items(''CMIP6'', 3, -1)', 'PT400', 'bad-request'), ('digest_items(''CMIP6'', 3, NULL)', 'PT400', 'bad-request'),
    ('digest_items(''CMIP6'', 31, 0)', 'PT400', 'bad-request')) AS t(call, state, slug);
RESET ROLE;

-- Versions given anew. No rule judges it, nothing but the stamp changes, and whoever follows hears of it.
CREATE FUNCTION pg_temp.item(id text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT to_jsonb(i) - '{version,updated,updated_by,reason}'::text[] #- '{document,properties,updated}' FROM esgf_stac.item i WHERE i.id = $1 $$;
CREATE FUNCTION pg_temp.reissued(id text, above bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT jsonb := pg_temp.item($1);
    stamp CONSTANT text := (SELECT i.document #>> '{properties,updated}' FROM esgf_stac.item i WHERE i.id = $1);
    r esgf_stac.receipt;
BEGIN
    SET LOCAL ROLE esgf_stac_test_relay;
    r := esgf_stac.reissue_item('CMIP6', $1, above);
    RESET ROLE;
    RETURN (SELECT concat_ws(' ', r.version, r.changed, r.action, o.type, o.payload IS NOT DISTINCT FROM (SELECT p.document FROM esgf_stac.published_item p WHERE p.id = $1), o.reason,
                             o.streams, o.left_streams, o.request, o.identity ->> 'sub', CASE WHEN pg_temp.item($1) = before THEN 'as it was' END,
                             (SELECT concat(i.version = r.version, i.updated = o.occurred_at, i.document #>> '{properties,updated}' > stamp, i.updated_by ->> 'sub' = 'esgf_stac_test_relay') FROM esgf_stac.item i WHERE i.id = $1))
              FROM pg_temp.last_event($1) o WHERE o.id = r.event_id OR r.event_id IS NULL);
END $$;
DO $$ BEGIN
    PERFORM esgf_stac.create_stream('untitled', filter => '! exists($.properties.title)'), esgf_stac.create_stream('elsewhere', '{CORDEX}', '$.id != ""');
    PERFORM esgf_stac.configure_collection('CMIP6', '{"max_document_bytes": 1}');
END $$;
CREATE FUNCTION pg_temp.meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.document := '{}'; NEW.deleted := NOT NEW.deleted; RETURN NEW; END $$;
CREATE TRIGGER a_meddles BEFORE UPDATE ON esgf_stac.item FOR EACH ROW EXECUTE FUNCTION pg_temp.meddle();
SELECT is(pg_temp.reissued('a.v1', 7), '8 t reissued item.reissued t {titled} {untitled} {"above": 7, "method": "REISSUE", "version": 2} esgf_stac_test_relay as it was tttt', 'an item gets the version above the one of a copy; streams that it is not in hear that it is gone');
SELECT is(pg_temp.reissued('b.v1', 3), '4 t reissued item.reissued t {titled} {untitled} {"above": 3, "method": "REISSUE", "version": 3} esgf_stac_test_relay as it was tttt', 'a retracted one, the next one');
SELECT is(pg_temp.reissued('c.v1', 1000003), '1000004 t reissued item.reissued t {titled,untitled} {"above": 1000003, "method": "REISSUE", "version": 3} esgf_stac_test_relay as it was tttt', 'a deleted one, which leaves every filtered stream of its collection; a million above, at most');
DROP TRIGGER a_meddles ON esgf_stac.item;
SELECT is(pg_temp.reissued('a.v1', above), '8 f item.reissued t {titled} {untitled} {"above": 7, "method": "REISSUE", "version": 2} esgf_stac_test_relay as it was ttft', 'what is above already stays: ' || above) FROM unnest('{7,1}'::bigint[]) above;
SELECT pg_temp.refused(format('SELECT esgf_stac.reissue_item(%s)', arguments), state, slug, 'reissue_item ' || arguments) FROM (VALUES
    ($$NULL, 'a.v1', 7$$, 'PT400', 'bad-request'), ($$'CMIP6', NULL, 7$$, 'PT400', 'bad-request'), ($$'CMIP6', 'a.v1', NULL$$, 'PT400', 'bad-request'), ($$'CMIP6', 'a.v1', 0$$, 'PT400', 'bad-request'),
    ($$'CMIP6', 'a.v1', -9223372036854775808$$, 'PT400', 'bad-request'), ($$'CMIP6', 'a.v1', 1000009$$, 'PT400', 'bad-request'), ($$'CMIP6', 'a.v1', 9223372036854775807$$, 'PT400', 'bad-request'),
    ($$'none', 'a.v1', 7$$, 'PT404', 'collection-does-not-exist'), ($$'CMIP6', 'none', 7$$, 'PT404', 'item-does-not-exist'), ($$'CMIP6', repeat('x', 2000), 7$$, 'PT400', 'bad-request')) AS t(arguments, state, slug);
SELECT is((SELECT count(*) FROM esgf_stac.outbox WHERE type = 'item.reissued'), 3::bigint, 'which leaves no event');
SET LOCAL ROLE esgf_stac_test_writer;
SELECT pg_temp.refused($$SELECT esgf_stac.reissue_item('CMIP6', 'a.v1', 9)$$, '42501', NULL, 'nor does a writer');
SET LOCAL ROLE esgf_stac_test_admin;
SELECT is((SELECT status FROM esgf_stac.transact('[{"method": "REISSUE", "collection_id": "CMIP6", "item_id": "a.v1"}]', false)), 400, 'transact() knows no such method');

-- What was leapt over was never given: to conditions, to who reads it, and to a relay whose sink has it.
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{}', 2)$$, 'PT412', 'version-conflict', 'who holds the old version is told so');
SELECT pg_temp.refused(format('SELECT esgf_stac.get_item(''CMIP6'', ''a.v1'', %s)', version), 'PT404', 'version-pruned', 'never given: ' || version) FROM unnest('{3,7,9}'::int[]) version;
SELECT is((esgf_stac.get_item('CMIP6', 'a.v1', 2)).version, 2::bigint, 'what was given is there');
SELECT results_eq($$SELECT version FROM esgf_stac.history('CMIP6', 'a.v1')$$, '{1,2,8}'::bigint[], 'its history');
SELECT ok(EXISTS (SELECT FROM esgf_stac.changes(max_events => 10000) WHERE event ->> 'type' = 'item.reissued') IS FALSE, 'changes() tells only what is committed');
SELECT results_eq($$SELECT stream, state FROM esgf_stac.delivery_status((SELECT id FROM pg_temp.last_event('d.v1')))$$, $$VALUES ('all', 'pending'), ('elsewhere', 'not-concerned'), ('other', 'not-concerned'), ('titled', 'not-concerned'), ('untitled', 'not-concerned')$$, 'an event before a stream');
RESET ROLE;
CREATE FUNCTION pg_temp.known(id text, version bigint, event uuid DEFAULT NULL) RETURNS boolean LANGUAGE sql AS $$
    SELECT esgf_stac_internal.event_is_known(jsonb_build_object('id', coalesce(event, gen_random_uuid()), 'collection_id', 'CMIP6', 'item_id', id, 'version', version)::text) $$;
SELECT is(pg_temp.known('a.v1', version), false, 'a relay whose sink has another version ' || version) FROM unnest('{2,3,7,8,9}'::bigint[]) version;
SELECT is(pg_temp.known('a.v1', 8, (SELECT id FROM pg_temp.last_event('a.v1'))), true, 'has left this history, one that has ours has not');
SAVEPOINT pruned;
SET LOCAL session_replication_role = replica;
DELETE FROM esgf_stac.outbox WHERE aggregateid IN ('a.v1', 'd.v1') AND type <> 'item.reissued';
SET LOCAL session_replication_role = origin;
SELECT is(array_agg(pg_temp.known('a.v1', version) ORDER BY version), '{t,t,f,f,f,f}', 'nor one that has what is pruned; the reissue tells what was never given') FROM unnest('{1,2,3,7,8,9}'::bigint[]) version;
SELECT is(array_agg(pg_temp.known('d.v1', version) ORDER BY version), '{t,f}', 'where nothing is kept, what was given is known') FROM unnest('{1,2}'::bigint[]) version;
ROLLBACK TO pruned;

SELECT results_eq($$SELECT introduction IS NOT NULL FROM esgf_stac_internal.event_metadata('titled', (SELECT jsonb_agg(jsonb_build_object('id', o.id, 'collection_id', 'CMIP6', 'item_id', o.aggregateid, 'version', o.version) ORDER BY o.version)
                               FROM esgf_stac.outbox o WHERE o.aggregateid = 'a.v1' AND o.version > 1))$$, '{t,f}'::boolean[], 'a consumer of the federation''s has what was in its stream before the leap');

-- It goes on from there; stamps that the database does not write stay, and the collection may be gone.
SELECT esgf_stac.configure_collection('CMIP6', '{"max_document_bytes": 100000, "stamp_times": false}') \gset ignored_
SELECT is((SELECT concat_ws(' ', version, action) FROM esgf_stac.patch_item('CMIP6', 'a.v1', '{"properties": {"title": "T2"}}', 8)), '9 updated', 'the next change has the next version');
SELECT is((SELECT concat_ws(' ', version, action) FROM esgf_stac.restore_item('CMIP6', 'c.v1')), '1000005 restored', 'a restoration, too');
SELECT is((SELECT concat_ws(' ', version, action) FROM esgf_stac.reinstate_item('CMIP6', 'b.v1')), '5 reinstated', 'and a reinstatement');
CREATE TEMPORARY TABLE before AS SELECT document FROM esgf_stac.item WHERE id = 'd.v1';
SELECT esgf_stac.reissue_item('CMIP6', 'd.v1', 1) \gset ignored_
SELECT ok((SELECT i.document::text = b.document::text FROM esgf_stac.item i, before b WHERE i.id = 'd.v1'), 'without stamp_times the document is the same');
DO $$ BEGIN PERFORM esgf_stac.delete_item('CMIP6', id) FROM esgf_stac.published_item; PERFORM esgf_stac.delete_collection('CMIP6'); END $$;
SELECT is((SELECT concat_ws(' ', version, action) FROM esgf_stac.reissue_item('CMIP6', 'd.v1', 9)), '10 reissued', 'an item of a deleted collection');

SELECT * FROM finish();
ROLLBACK;
