\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set access :srcdir '/access.psql'
\i :access
-- What the server has for the check of an index: what a stream would have put into it, digests, and versions given anew.
SELECT plan(27);

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
SELECT lives_ok($$WITH run AS (INSERT INTO esgf_stac.verification (stream, deep, started) VALUES ('all', true, now() - interval '91 days'), ('all', true, now()) RETURNING id)
                  INSERT INTO esgf_stac.drift (verification, collection_id, item_id, kind, version_here, version_there) SELECT id, 'CMIP6', 'x', 'surplus', NULL, 7 FROM run$$, 'the relay writes down what it found');
SET LOCAL ROLE esgf_stac_test_admin;
SELECT esgf_stac.prune_outbox() \gset ignored_
SELECT results_eq($$SELECT v.started = now(), d.kind FROM esgf_stac.verification v JOIN esgf_stac.drift d ON d.verification = v.id$$, $$VALUES (true, 'surplus')$$, 'prune_outbox removes what is of its age');
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

SELECT * FROM finish();
ROLLBACK;
