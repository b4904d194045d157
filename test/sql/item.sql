\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- The main job: publish, patch under a version, read, and what the outbox says of it.
SELECT plan(75);

-- Publishing.
SELECT row_eq($$SELECT collection_id, item_id, version, changed, action FROM esgf_stac.create_item('CMIP6', pg_temp.document('a.b.v1'))$$,
              ROW ('CMIP6'::text, 'a.b.v1'::text, 1::bigint, true, 'published'::text), 'an item is published');
SELECT row_eq($$SELECT version, base_id, dataset_version, latest, retracted, deleted, nodes, reason FROM esgf_stac.item$$,
              ROW (1::bigint, 'a.b'::text, '1'::text, true, false, false, ARRAY['a.org'], NULL::text), 'its columns are derived');
SELECT is((SELECT created FROM esgf_stac.item), (SELECT updated FROM esgf_stac.item), 'it is as old as its last change');
SELECT is((SELECT document #>> '{properties,updated}' FROM esgf_stac.item),
          (SELECT to_char(updated, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM esgf_stac.item), 'which its document says as RFC 3339');
SELECT is((SELECT document #- '{properties,created}' #- '{properties,updated}' FROM esgf_stac.item),
          jsonb_set(jsonb_set(pg_temp.document('a.b.v1'), '{properties,latest}', 'true'), '{properties,retracted}', 'false'),
          'and is what was sent, with latest and retracted filled in');
SELECT row_eq($$SELECT aggregatetype, aggregateid, type, version, payload = (SELECT document FROM esgf_stac.item), request, streams, left_streams
                FROM pg_temp.last_event('a.b.v1')$$,
              ROW ('CMIP6'::text, 'a.b.v1'::text, 'item.published'::text, 1::bigint, true, NULL::jsonb, NULL::text[], NULL::text[]), 'the event is complete');
SELECT is((SELECT occurred_at FROM pg_temp.last_event('a.b.v1')), (SELECT updated FROM esgf_stac.item), 'and of the time of the change');
SELECT is((SELECT identity ->> 'sub' FROM pg_temp.last_event('a.b.v1')), session_user::text, 'and says who made it');
SELECT is((SELECT xid FROM pg_temp.last_event('a.b.v1')), pg_current_xact_id(), 'and in which transaction');
SELECT pg_temp.refused($$SELECT esgf_stac.create_item('CMIP6', pg_temp.document('a.b.v1'))$$, 'PT409', 'item-already-exists', 'publishing it again');
SELECT pg_temp.refused($$SELECT esgf_stac.create_item('CMIP7', pg_temp.document('a.b.v1'))$$, 'PT404', 'collection-does-not-exist', 'in a collection that is not there');
SELECT pg_temp.refused($$SELECT esgf_stac.create_item('CMIP6', '[]')$$, 'PT400', 'stac-validation', 'a document that is no object');
SELECT pg_temp.refused($$SELECT esgf_stac.create_item('CMIP6', pg_temp.document('c') - 'geometry')$$, 'PT400', 'stac-validation', 'a document that is no STAC item');
SELECT pg_temp.refused($$SELECT esgf_stac.create_item('CMIP6', pg_temp.document('c', '{"collection": "CMIP7"}'))$$, 'PT400', 'stac-validation', 'a document that says it is in another collection');
SELECT pg_temp.refused($$SELECT esgf_stac.create_item('CMIP6', jsonb_set(pg_temp.document('a.c.v1'), '{properties,base_id}', '"a.b"'))$$, 'PT400', 'stac-validation', 'a declared base_id of another dataset');
SELECT pg_temp.refused($$SELECT esgf_stac.create_item('CMIP6', jsonb_set(pg_temp.document('a.c.v1'), '{properties,version}', '"2"'))$$, 'PT400', 'stac-validation', 'a declared version that the id does not have');
SELECT pg_temp.refused($$SELECT esgf_stac.create_item('CMIP6', jsonb_set(pg_temp.document('a.c.v1'), '{properties,latest}', '"yes"'))$$, 'PT400', 'stac-validation', 'a latest that is neither true nor false');
SELECT pg_temp.refused($$SELECT esgf_stac.create_item('CMIP6', '{}')$$, 'PT400', 'stac-validation', 'an empty document');
SELECT pg_temp.refused($$SELECT esgf_stac.create_item(NULL, pg_temp.document('c'))$$, 'PT400', 'bad-request', 'no collection');
SELECT pg_temp.refused($$SELECT esgf_stac.create_item('CMIP6', NULL)$$, 'PT400', 'bad-request', 'no document');
SELECT lives_ok($$SELECT esgf_stac.create_item('CMIP6', jsonb_set(pg_temp.document('plain') - 'collection' - 'links', '{properties,version}', '"free"'))$$, 'an id without a version; collection and links left out');
SELECT row_eq($$SELECT base_id, dataset_version, document -> 'collection', document -> 'links' FROM esgf_stac.item WHERE id = 'plain'$$,
              ROW ('plain'::text, NULL::text, '"CMIP6"'::jsonb, '[]'::jsonb), 'is its own base_id; they are filled in');

-- Patching.
SELECT row_eq($$SELECT version, changed, action FROM esgf_stac.patch_item('CMIP6', 'a.b.v1', '{"properties": {"title": "t"}}')$$,
              ROW (2::bigint, true, 'updated'::text), 'a merge patch');
SELECT row_eq($$SELECT version, changed, action FROM esgf_stac.patch_item('CMIP6', 'a.b.v1', '[{"op": "add", "path": "/properties/x", "value": 1.0}]', 2)$$,
              ROW (3::bigint, true, 'updated'::text), 'a JSON patch, under a version');
SELECT row_eq($$SELECT version, changed, action FROM esgf_stac.patch_item('CMIP6', 'a.b.v1', '{"operations": [{"op": "remove", "path": "/properties/x"}]}')$$,
              ROW (4::bigint, true, 'updated'::text), 'a JSON patch in an object');
SELECT is((SELECT (document -> 'properties') - 'created' - 'updated' FROM esgf_stac.item WHERE id = 'a.b.v1'),
          (pg_temp.document('a.b.v1') -> 'properties') || '{"title": "t", "latest": true, "retracted": false}', 'do what they say');
SELECT is((SELECT request FROM pg_temp.last_event('a.b.v1')), '{"operations": [{"op": "remove", "path": "/properties/x"}]}'::jsonb, 'the event has the patch as submitted');
SELECT is((SELECT payload FROM pg_temp.last_event('a.b.v1')), (SELECT document FROM esgf_stac.item WHERE id = 'a.b.v1'), 'and the whole document');
SELECT ok((SELECT updated > created FROM esgf_stac.item WHERE id = 'a.b.v1'), 'updated goes on, created stays');
SELECT is((SELECT count(DISTINCT payload #>> '{properties,updated}') FROM esgf_stac.outbox WHERE aggregateid = 'a.b.v1'), 4::bigint, 'updated differs at each version, even in one transaction');

-- Compare-and-swap.
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'a.b.v1', '{"properties": {"title": "u"}}', 3)$$, 'PT412', 'version-conflict', 'a stale version');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'a.b.v1', '{"properties": {"title": "t"}}', 3)$$, 'PT412', 'version-conflict', 'even where nothing would change');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'a.b.v1', '{"properties": {"title": "u"}}', 5)$$, 'PT412', 'version-conflict', 'a version that is not there yet');
CREATE FUNCTION pg_temp.detail_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text;
BEGIN EXECUTE query; RETURN NULL;
EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL; RETURN detail; END $$;
SELECT matches(pg_temp.detail_of($$SELECT esgf_stac.patch_item('CMIP6', 'a.b.v1', '{}', 3)$$), '^The current version is 4, of ', 'the error names the current version');

-- No change.
SELECT row_eq($$SELECT version, changed, action, event_id FROM esgf_stac.patch_item('CMIP6', 'a.b.v1', '{"properties": {"title": "t", "updated": "2030-01-01T00:00:00Z"}}')$$,
              ROW (4::bigint, false, NULL::text, NULL::uuid), 'stamps of the item alone are no change');
SELECT row_eq($$SELECT version, changed FROM esgf_stac.patch_item('CMIP6', 'a.b.v1', '{"assets": {"tas.nc": {"updated": "2030-01-01T00:00:00Z"}}}')$$,
              ROW (4::bigint, false), 'nor those of an asset');
SELECT row_eq($$SELECT version, changed FROM esgf_stac.patch_item('CMIP6', 'a.b.v1', '{}')$$, ROW (4::bigint, false), 'nor nothing at all');
SELECT is((SELECT count(*) FROM esgf_stac.outbox WHERE aggregateid = 'a.b.v1'), 4::bigint, 'and no event says otherwise');

-- What patches are refused.
SELECT pg_temp.refused(format($$SELECT esgf_stac.patch_item('CMIP6', 'a.b.v1', %L)$$, patch), state, slug, description)
  FROM (VALUES
    (1, '"x"', 'PT400', 'bad-patch', 'a patch that is no patch'),
    (2, '[{"op": "add"}]', 'PT400', 'bad-patch', 'an operation without a path'),
    (3, '{"id": "a.b.v1", "patch": [{"op": "remove", "path": "/bbox"}]}', 'PT400', 'bad-patch', 'the older form of a client'),
    (4, '{"operations": 1}', 'PT400', 'bad-patch', 'operations that are none'),
    (5, '{"geometry": null}', 'PT400', 'bad-patch', 'a null for a member that STAC requires'),
    (6, '{"id": "other"}', 'PT400', 'stac-validation', 'another id'),
    (7, '{"type": "Coverage"}', 'PT400', 'stac-validation', 'another type'),
    (8, '[{"op": "add", "path": "/links", "value": {"rel": "cite-as", "href": "https://x"}}]', 'PT400', 'stac-validation', 'links that are no array'),
    (9, '[{"op": "remove", "path": "/nothing"}]', 'PT409', 'patch-does-not-apply', 'removing what is not there')) AS t(n, patch, state, slug, description)
 ORDER BY n;
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'nobody', '{}')$$, 'PT404', 'item-does-not-exist', 'an item that is not there');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP7', 'a.b.v1', '{}')$$, 'PT404', 'collection-does-not-exist', 'a collection that is not there');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'a.b.v1', NULL)$$, 'PT400', 'bad-request', 'no patch');
SELECT is((SELECT version FROM esgf_stac.item WHERE id = 'a.b.v1'), 4::bigint, 'after all that the item is as it was');

-- By hand the same rules hold.
SELECT lives_ok($$INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'h.v1', pg_temp.document('h.v1'))$$, 'an INSERT');
SELECT is((SELECT type FROM pg_temp.last_event('h.v1')), 'item.published', 'is a publication');
SELECT lives_ok($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '"t"'), reason = 'why' WHERE id = 'h.v1'$$, 'an UPDATE');
SELECT row_eq($$SELECT type, version, reason FROM pg_temp.last_event('h.v1')$$, ROW ('item.updated'::text, 2::bigint, 'why'::text), 'is an update, with its reason');
SELECT lives_ok($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '"u"') WHERE id = 'h.v1'$$, 'the next UPDATE');
SELECT is((SELECT reason FROM esgf_stac.item WHERE id = 'h.v1'), NULL, 'does not inherit it');
SELECT lives_ok($$UPDATE esgf_stac.item SET version = version, latest = latest, document = document WHERE id = 'h.v1'$$, 'a derived column may be set to what it is');
SELECT is((SELECT version FROM esgf_stac.item WHERE id = 'h.v1'), 3::bigint, 'which changes nothing');
SELECT pg_temp.refused(format('UPDATE esgf_stac.item SET %s WHERE id = %L', assignment, 'h.v1'), 'PT400', 'operation-not-permitted', 'by hand: ' || assignment)
  FROM unnest(ARRAY['version = 9', 'latest = false', 'id = ''i.v1''', 'created = now() - interval ''1 day''', 'nodes = ''{}''']) assignment;
SELECT pg_temp.refused($$INSERT INTO esgf_stac.item (collection_id, id, document, version) VALUES ('CMIP6', 'i.v1', pg_temp.document('i.v1'), 7)$$, 'PT400', 'operation-not-permitted', 'by hand: a version of one''s own');
SELECT pg_temp.refused($$INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'h.v1', pg_temp.document('h.v1'))$$, '23505', 'item_pkey', 'an INSERT of what is there is PostgreSQL''s own error');
SELECT lives_ok($$INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'h.v1', pg_temp.document('h.v1')) ON CONFLICT DO NOTHING$$, 'so that ON CONFLICT works');
SELECT is((SELECT count(*) FROM esgf_stac.outbox WHERE aggregateid = 'h.v1'), 3::bigint, 'and leaves no event');

-- Reading.
SELECT row_eq($$SELECT collection_id, item_id, version, etag, deleted FROM esgf_stac.get_item('CMIP6', 'a.b.v1')$$,
              ROW ('CMIP6'::text, 'a.b.v1'::text, 4::bigint, '"4"'::text, false), 'get_item');
SELECT is((esgf_stac.get_item('CMIP6', 'a.b.v1', 1)).document, (SELECT payload FROM esgf_stac.outbox WHERE aggregateid = 'a.b.v1' AND version = 1), 'a past version comes from the outbox');
SELECT pg_temp.refused($$SELECT esgf_stac.get_item('CMIP6', 'a.b.v1', 5)$$, 'PT404', 'version-pruned', 'a version that was never given');
SELECT pg_temp.refused($$SELECT esgf_stac.get_item('CMIP6', 'nobody')$$, 'PT404', 'item-does-not-exist', 'reading an item that is not there');
SELECT pg_temp.refused($$SELECT esgf_stac.get_item('CMIP7', 'a.b.v1')$$, 'PT404', 'collection-does-not-exist', 'or a collection');
SELECT results_eq($$SELECT g.version, g.document #>> '{properties,title}' FROM esgf_stac.patch_item('CMIP6', 'a.b.v1', '{"properties": {"title": "v"}}') r,
                    LATERAL esgf_stac.get_item(r.collection_id, r.item_id) g$$, $$VALUES (5::bigint, 'v'::text)$$, 'patch and read in one round trip');
SET LOCAL ROLE esgf_stac_reader;
SELECT pg_temp.refused($$SELECT esgf_stac.get_item('CMIP6', 'a.b.v1', NULL, true)$$, '42501', NULL, 'the stored document is not for readers');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
