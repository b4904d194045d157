\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- Collections: versions, events, settings.
SELECT plan(50);

SELECT row_eq($$SELECT type, aggregatetype, aggregateid, version, payload FROM pg_temp.last_event('CMIP6')$$,
              ROW ('collection.published'::text, 'collection'::text, 'CMIP6'::text, 1::bigint, pg_temp.collection_document('CMIP6')), 'a collection is published');
SELECT row_eq($$SELECT collection_id, item_id, version, changed, action FROM esgf_stac.patch_collection('CMIP6', '{"title": "t"}')$$,
              ROW ('CMIP6'::text, NULL::text, 2::bigint, true, 'updated'::text), 'a merge patch');
SELECT row_eq($$SELECT version, changed, action FROM esgf_stac.patch_collection('CMIP6', '[{"op": "replace", "path": "/title", "value": "u"}]')$$,
              ROW (3::bigint, true, 'updated'::text), 'a JSON patch');
SELECT row_eq($$SELECT version, changed, action, event_id FROM esgf_stac.patch_collection('CMIP6', '{"title": "u"}')$$,
              ROW (3::bigint, false, NULL::text, NULL::uuid), 'a patch that changes nothing');
SELECT row_eq($$SELECT version, changed FROM esgf_stac.replace_collection('CMIP6', pg_temp.collection_document('CMIP6') - 'id')$$, ROW (4::bigint, true), 'a replacement, its id filled in');
SELECT is((SELECT document FROM esgf_stac.collection), pg_temp.collection_document('CMIP6'), 'is what was sent');
SELECT is((SELECT request FROM pg_temp.last_event('CMIP6')), NULL, 'and says it all');
SELECT is((SELECT array_agg(request ORDER BY seq) FROM esgf_stac.outbox), ARRAY[NULL, '{"title": "t"}', '[{"op": "replace", "path": "/title", "value": "u"}]', NULL]::jsonb[], 'an event holds the patch as it was sent');
SELECT is((SELECT array_agg(version ORDER BY seq) FROM esgf_stac.outbox), ARRAY[1, 2, 3, 4]::bigint[], 'a version is an event');

-- Settings.
SELECT row_eq($$SELECT require_version, complete_replicas, stamp_times, institution_path, null_members FROM esgf_stac.collection$$,
              ROW (false, true, true, '/properties/cmip6:institution_id'::text, 'reject'::text), 'the defaults');
SELECT row_eq($$SELECT version, changed, action FROM esgf_stac.configure_collection('CMIP6', '{"stamp_times": false, "null_members": "ignore"}')$$,
              ROW (4::bigint, false, NULL::text), 'settings make no version');
SELECT row_eq($$SELECT stamp_times, null_members FROM esgf_stac.collection$$, ROW (false, 'ignore'::text), 'but are set');
SELECT is((SELECT count(*) FROM esgf_stac.outbox), 4::bigint, 'without an event');
SELECT lives_ok($$SELECT esgf_stac.create_item('CMIP6', jsonb_set(pg_temp.document('a.v1'), '{properties,updated}', '"2001-01-01T00:00:00Z"'))$$, 'with stamp_times off');
SELECT is((SELECT document #>> '{properties,updated}' FROM esgf_stac.item), '2001-01-01T00:00:00Z', 'a client''s stamps are stored as given');
SELECT row_eq($$SELECT version, changed FROM esgf_stac.patch_item('CMIP6', 'a.v1', '{"geometry": null, "bbox": null, "links": null}')$$, ROW (1::bigint, false), 'with null_members ignore the nulls are dropped');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"require_version": true}')$$, 'with require_version');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{}')$$, 'PT428', 'version-required', 'a patch without a version');
SELECT pg_temp.refused($$SELECT esgf_stac.delete_item('CMIP6', 'a.v1')$$, 'PT428', 'version-required', 'a deletion without a version');
SELECT lives_ok($$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{}', 1)$$, 'passes with one');
SELECT lives_ok($$SELECT esgf_stac.create_item('CMIP6', pg_temp.document('b.v1'))$$, 'creating needs none');
SELECT pg_temp.refused(format($$SELECT esgf_stac.configure_collection('CMIP6', %L)$$, s), 'PT400', 'bad-request', 'settings: ' || coalesce(s, 'NULL'))
  FROM unnest(ARRAY['{"stamp_time": true}', '{"stamp_times": "yes"}', '{"null_members": "maybe"}', '{"institution_path": "x"}', '{"institution_path": "/~2"}', '{"require_version": null}', '[]', NULL]) s;

-- What is refused.
SELECT pg_temp.refused($$SELECT esgf_stac.create_collection(pg_temp.collection_document('CMIP6'))$$, 'PT409', 'collection-already-exists', 'creating it again');
SELECT pg_temp.refused($$SELECT esgf_stac.create_collection(pg_temp.collection_document('collection'))$$, 'PT400', 'stac-validation', 'a collection named collection');
SELECT pg_temp.refused($$SELECT esgf_stac.create_collection(pg_temp.collection_document('a/b'))$$, 'PT400', 'stac-validation', 'an id with a slash');
SELECT pg_temp.refused($$SELECT esgf_stac.create_collection('{}')$$, 'PT400', 'stac-validation', 'an empty document');
SELECT pg_temp.refused($$SELECT esgf_stac.create_collection(NULL)$$, 'PT400', 'bad-request', 'no document');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_collection('CMIP6', '{"id": "CMIP7"}')$$, 'PT400', 'stac-validation', 'another id');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_collection('CMIP6', '1')$$, 'PT400', 'bad-patch', 'a patch that is none');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_collection('CMIP7', '{}')$$, 'PT404', 'collection-does-not-exist', 'a collection that is not there');
SELECT pg_temp.refused($$UPDATE esgf_stac.collection SET version = 9$$, 'PT400', 'operation-not-permitted', 'a version by hand');
SELECT pg_temp.refused($$UPDATE esgf_stac.collection SET id = 'CMIP7'$$, 'PT400', 'operation-not-permitted', 'another id by hand');

-- Deleting and creating again.
SELECT pg_temp.refused($$SELECT esgf_stac.delete_collection('CMIP6')$$, 'PT409', 'collection-not-empty', 'a collection with items stays');
SELECT pg_temp.refused($$UPDATE esgf_stac.collection SET deleted = true$$, 'PT409', 'collection-not-empty', 'by hand, too');
SELECT lives_ok($$SELECT esgf_stac.delete_item('CMIP6', 'a.v1', 1), esgf_stac.delete_item('CMIP6', 'b.v1', 1)$$, 'without them');
SELECT row_eq($$SELECT version, changed, action FROM esgf_stac.delete_collection('CMIP6')$$, ROW (5::bigint, true, 'deleted'::text), 'it goes');
SELECT is((SELECT payload FROM pg_temp.last_event('CMIP6')), NULL, 'its event says no document');
SELECT is((SELECT request FROM pg_temp.last_event('CMIP6')), '{"method": "DELETE"}', 'but what was asked');
SELECT pg_temp.refused($$SELECT esgf_stac.create_item('CMIP6', pg_temp.document('c.v1'))$$, 'PT404', 'collection-does-not-exist', 'nothing is published into it');
SELECT pg_temp.refused($$SELECT esgf_stac.restore_item('CMIP6', 'a.v1', 2)$$, 'PT404', 'collection-does-not-exist', 'nor restored');
SELECT pg_temp.refused($$SELECT esgf_stac.delete_collection('CMIP6')$$, 'PT404', 'collection-does-not-exist', 'it is not there');
SELECT row_eq($$SELECT version, changed, action FROM esgf_stac.create_collection(pg_temp.collection_document('CMIP6'))$$, ROW (6::bigint, true, 'published'::text), 'created again it goes on with the next version');
SELECT row_eq($$SELECT version FROM esgf_stac.restore_item('CMIP6', 'a.v1', 2)$$, ROW (3::bigint), 'as do its items');

SELECT * FROM finish();
ROLLBACK;
