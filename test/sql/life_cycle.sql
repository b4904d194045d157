\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- The life of an item: superseded, retracted, reinstated, deleted, restored; links, content, replacement.
SELECT plan(119);

-- What one is told, in one line: latest and retracted of each version, and the events in their order.
CREATE FUNCTION pg_temp.state(base text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat(dataset_version, ':', version, CASE WHEN latest THEN ' latest' END, CASE WHEN retracted THEN ' retracted' END,
                             CASE WHEN deleted THEN ' deleted' END), ', ' ORDER BY dataset_version::numeric)
      FROM esgf_stac.item WHERE base_id = base $$;
CREATE FUNCTION pg_temp.events(id text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(substr(type, 6), ' ' ORDER BY version) FROM esgf_stac.outbox WHERE aggregateid = $1 $$;
CREATE FUNCTION pg_temp.publish(id text, more jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
    SELECT action FROM esgf_stac.create_item('CMIP6', pg_temp.document(id, more)) $$;
CREATE FUNCTION pg_temp.in_step() RETURNS boolean LANGUAGE sql AS $$
    SELECT NOT EXISTS (SELECT FROM esgf_stac.item WHERE (document #> '{properties,latest}')::boolean <> latest OR (document #> '{properties,retracted}')::boolean <> retracted)
       AND NOT EXISTS (SELECT FROM esgf_stac.dataset d WHERE latest_id IS DISTINCT FROM (
               SELECT i.id FROM esgf_stac.item i WHERE i.collection_id = d.collection_id AND i.base_id = d.base_id AND i.latest)) $$;

-- Superseding.
SELECT is(pg_temp.publish('a.v1'), 'published', 'a first version');
SELECT is(pg_temp.publish('a.v2'), 'published', 'a newer one');
SELECT is(pg_temp.state('a'), '1:2, 2:1 latest', 'supersedes it');
SELECT is(pg_temp.events('a.v1'), 'published superseded', 'which is an event of its own');
SELECT row_eq($$SELECT request, payload #> '{properties,latest}' FROM pg_temp.last_event('a.v1')$$, ROW (NULL::jsonb, 'false'::jsonb), 'nobody''s request, and says so');
SELECT is(pg_temp.publish('a.v10'), 'published', 'versions compare');
SELECT is(pg_temp.state('a'), '1:2, 2:2, 10:1 latest', 'as numbers');
SELECT is(pg_temp.publish('a.v9'), 'published', 'an older one');
SELECT is(pg_temp.state('a'), '1:2, 2:2, 9:1, 10:1 latest', 'is born superseded');
SELECT is(pg_temp.publish('a.v20200101000000000000000000'), 'published', 'a version larger than any integer');
SELECT is(pg_temp.state('a'), '1:2, 2:2, 9:1, 10:2, 20200101000000000000000000:1 latest', 'is the latest');
SELECT is((SELECT count(*) FROM esgf_stac.item WHERE latest AND base_id = 'a'), 1::bigint, 'there is one latest');
SELECT lives_ok($$INSERT INTO esgf_stac.item (collection_id, id, document) SELECT 'CMIP6', id, pg_temp.document(id) FROM unnest(ARRAY['b.v2', 'b.v1', 'b.v4', 'b.v3']) id$$, 'several versions in one statement');
SELECT is(pg_temp.state('b'), '1:1, 2:2, 3:1, 4:1 latest', 'end with one latest');
SELECT is(pg_temp.events('b.v2'), 'published superseded', 'each event once');

-- What a client says of latest.
SELECT is((SELECT version FROM esgf_stac.patch_item('CMIP6', 'a.v1', '{"properties": {"latest": true}}')), 2::bigint, 'true elsewhere changes nothing');
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'b.v4', '{"properties": {"latest": false}}')), 'updated', 'false on the latest is a deprecation');
SELECT is(pg_temp.state('b'), '1:1, 2:2, 3:1, 4:2', 'which promotes nobody');
SELECT is((SELECT changed FROM esgf_stac.patch_item('CMIP6', 'b.v3', '{"properties": {"latest": true}}')), false, 'nor may another take its place');
SELECT is((SELECT version FROM esgf_stac.patch_item('CMIP6', 'b.v4', '{"properties": {"title": "t"}}')), 3::bigint, 'another change');
SELECT is(pg_temp.state('b'), '1:1, 2:2, 3:1, 4:3', 'keeps the deprecation');
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'b.v4', '{"properties": {"latest": true}}')), 'updated', 'true on the newest');
SELECT is(pg_temp.state('b'), '1:1, 2:2, 3:1, 4:4 latest', 'ends it');
SELECT is((SELECT changed FROM esgf_stac.patch_item('CMIP6', 'b.v4', '{"properties": {"latest": null, "retracted": null}}')), false, 'null is silence');
SELECT is(pg_temp.publish('c.v1', '{"properties": {"datetime": "2000-01-01T00:00:00Z", "latest": false}}'), 'published', 'a deprecated version may be published');
SELECT is(pg_temp.state('c'), '1:1', 'and is not latest');
SELECT is(pg_temp.publish('c.v2', '{"properties": {"datetime": "2000-01-01T00:00:00Z"}}'), 'published', 'a newer one');
SELECT is(pg_temp.state('c'), '1:1, 2:1 latest', 'is');

-- Retracting: by verb, by patch and by hand it is one change.
SELECT is((SELECT action FROM esgf_stac.retract_item('CMIP6', 'b.v4', 4, 'wrong units')), 'retracted', 'retract_item');
SELECT row_eq($$SELECT type, reason, payload -> 'assets', payload #> '{properties,retracted}' FROM pg_temp.last_event('b.v4')$$,
              ROW ('item.retracted'::text, 'wrong units'::text, '{}'::jsonb, 'true'::jsonb), 'its event has the reason and no assets');
SELECT is(pg_temp.state('b'), '1:1, 2:2, 3:1, 4:5 retracted', 'promotes nobody');
SELECT is((SELECT document -> 'assets' FROM esgf_stac.published_item WHERE id = 'b.v4'), '{}', 'readers see no assets');
SELECT is((SELECT document -> 'assets' FROM esgf_stac.item WHERE id = 'b.v4'), pg_temp.document('b.v4') -> 'assets', 'which are kept');
SELECT is((esgf_stac.get_item('CMIP6', 'b.v4', NULL, true)).document -> 'assets', pg_temp.document('b.v4') -> 'assets', 'for writers');
SELECT is((SELECT changed FROM esgf_stac.retract_item('CMIP6', 'b.v4')), false, 'again changes nothing');
SELECT is((SELECT changed FROM esgf_stac.patch_item('CMIP6', 'b.v4', '[{"op": "replace", "path": "/properties/retracted", "value": true}, {"op": "replace", "path": "/assets", "value": {}}]')), false, 'nor as clients do it');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'b.v4', '{"properties": {"title": "u"}}')$$, 'PT409', 'item-retracted', 'an update does not pass');
SELECT pg_temp.refused($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '"u"') WHERE id = 'b.v4'$$, 'PT409', 'item-retracted', 'nor by hand');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'b.v4', '{"properties": {"retracted": false, "title": "u"}}')$$, 'PT409', 'item-retracted', 'nor with a reinstatement');
SELECT pg_temp.refused($$UPDATE esgf_stac.item SET deleted = true, document = jsonb_set(document, '{properties,title}', '"u"') WHERE id = 'b.v4'$$, 'PT409', 'item-retracted', 'nor with a deletion');
SELECT is(pg_temp.publish('b.v5'), 'published', 'a new version of a retracted dataset passes');
SELECT is((SELECT action FROM esgf_stac.reinstate_item('CMIP6', 'b.v4', reason => 'right after all')), 'reinstated', 'reinstate_item');
SELECT is(pg_temp.state('b'), '1:1, 2:2, 3:1, 4:6, 5:1 latest', 'does not take latest from a newer one');
SELECT is((SELECT payload -> 'assets' FROM pg_temp.last_event('b.v4')), pg_temp.document('b.v4') -> 'assets', 'its event has the assets back');
SELECT is((SELECT changed FROM esgf_stac.reinstate_item('CMIP6', 'b.v4')), false, 'again changes nothing');
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'b.v5', '{"operations": [{"op": "add", "path": "/properties/retracted", "value": true}]}')), 'retracted', 'a retraction by a patch');
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'b.v5', '{"properties": {"retracted": false}}')), 'reinstated', 'a reinstatement by a patch');
SELECT is(pg_temp.state('b'), '1:1, 2:2, 3:1, 4:6, 5:3 latest', 'is latest again');
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'b.v5', '{"properties": {"retracted": true, "title": "why"}, "assets": {"tas.nc": null}}')), 'retracted', 'a retraction may bring other changes');
SELECT is((SELECT document #>> '{properties,title}' FROM esgf_stac.item WHERE id = 'b.v5'), 'why', 'which are made');
SELECT lives_ok($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,retracted}', 'false') WHERE id = 'b.v5'$$, 'a reinstatement by hand');
SELECT is(pg_temp.events('b.v5'), 'published retracted reinstated retracted reinstated', 'all are events');
SELECT is(pg_temp.publish('r.v1', '{"properties": {"datetime": "2000-01-01T00:00:00Z", "retracted": true}}'), 'published', 'an item may be born retracted');
SELECT row_eq($$SELECT latest, retracted, payload -> 'assets' FROM esgf_stac.item i, pg_temp.last_event(i.id) WHERE i.id = 'r.v1'$$, ROW (false, true, '{}'::jsonb), 'and is then not latest, and without assets');

-- Deleting and restoring.
SELECT is((SELECT action FROM esgf_stac.delete_item('CMIP6', 'b.v5', reason => 'no longer')), 'deleted', 'delete_item');
SELECT row_eq($$SELECT payload, reason FROM pg_temp.last_event('b.v5')$$, ROW (NULL::jsonb, 'no longer'::text), 'its event has no document');
SELECT is(pg_temp.state('b'), '1:1, 2:2, 3:1, 4:6, 5:6 deleted', 'promotes nobody');
SELECT is_empty($$SELECT FROM esgf_stac.published_item WHERE id = 'b.v5'$$, 'readers do not see it');
SELECT pg_temp.refused($$SELECT esgf_stac.get_item('CMIP6', 'b.v5')$$, 'PT404', 'item-does-not-exist', 'it does not exist to get_item');
SELECT pg_temp.refused($$SELECT esgf_stac.get_item('CMIP6', 'b.v5', 1)$$, 'PT404', 'item-does-not-exist', 'in none of its versions');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'b.v5', '{}')$$, 'PT404', 'item-does-not-exist', 'nor to patch_item');
SELECT pg_temp.refused($$SELECT esgf_stac.replace_item('CMIP6', 'b.v5', pg_temp.document('b.v5'))$$, 'PT404', 'item-does-not-exist', 'nor to replace_item');
SELECT pg_temp.refused($$SELECT esgf_stac.delete_item('CMIP6', 'b.v5')$$, 'PT404', 'item-does-not-exist', 'nor to delete_item');
SELECT pg_temp.refused($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '"u"') WHERE id = 'b.v5'$$, 'PT404', 'item-does-not-exist', 'nor to an UPDATE');
SELECT is((SELECT action FROM esgf_stac.restore_item('CMIP6', 'b.v5', 6)), 'restored', 'restore_item');
SELECT is(pg_temp.state('b'), '1:1, 2:2, 3:1, 4:6, 5:7 latest', 'brings it back, the newest as latest');
SELECT is((SELECT payload - 'properties' FROM pg_temp.last_event('b.v5')), (SELECT payload - 'properties' FROM esgf_stac.outbox WHERE aggregateid = 'b.v5' AND version = 5), 'as it was');
SELECT pg_temp.refused($$SELECT esgf_stac.restore_item('CMIP6', 'b.v5')$$, 'PT409', 'item-already-exists', 'what is active is not restored');
SELECT pg_temp.refused($$SELECT esgf_stac.restore_item('CMIP6', 'nobody')$$, 'PT404', 'item-does-not-exist', 'nor what never was');
SELECT is((esgf_stac.get_item('CMIP6', 'b.v5', 6)).deleted, true, 'the version of a deletion says so');
SELECT is((SELECT action FROM esgf_stac.delete_item('CMIP6', 'a.v9')), 'deleted', 'deleted');
SELECT is(pg_temp.publish('a.v9'), 'restored', 'the same document coming back is a restoration, by create_item too');
SELECT is((SELECT action FROM esgf_stac.delete_item('CMIP6', 'a.v9')), 'deleted', 'deleted again');
SELECT is(pg_temp.publish('a.v9', '{"bbox": [0, 0, 1, 1]}'), 'published', 'another document is a publication');
SELECT row_eq($$SELECT version, created < updated FROM esgf_stac.item WHERE id = 'a.v9'$$, ROW (5::bigint, true), 'with the next version and its first created');
SELECT lives_ok($$UPDATE esgf_stac.item SET deleted = true WHERE id = 'a.v2'$$, 'deleted by hand');
SELECT lives_ok($$UPDATE esgf_stac.item SET deleted = true, reason = 'x' WHERE id = 'a.v2'$$, 'again changes nothing');
SELECT lives_ok($$UPDATE esgf_stac.item SET deleted = false WHERE id = 'a.v2'$$, 'restored by hand');
SELECT is(pg_temp.events('a.v2'), 'published superseded deleted restored', 'the events say so');
SELECT is((SELECT action FROM esgf_stac.retract_item('CMIP6', 'a.v2')), 'retracted', 'retracted');
SELECT is((SELECT action FROM esgf_stac.delete_item('CMIP6', 'a.v2')), 'deleted', 'then deleted');
SELECT is((SELECT action FROM esgf_stac.restore_item('CMIP6', 'a.v2')), 'restored', 'then restored');
SELECT is((SELECT retracted FROM esgf_stac.item WHERE id = 'a.v2'), true, 'is still retracted');
SELECT ok(pg_temp.in_step(), 'columns, documents and datasets say the same of latest and retracted');

-- Links.
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'c.v2', '[{"op": "add", "path": "/links/-", "value": {"rel": "cite-as", "href": "https://x.org/c"}}]')), 'updated', 'a link is appended');
SELECT is((SELECT changed FROM esgf_stac.patch_item('CMIP6', 'c.v2', '[{"op": "add", "path": "/links/-", "value": {"href": "https://x.org/c", "rel": "cite-as"}}]')), false, 'twice is once');
SELECT is((SELECT version FROM esgf_stac.patch_item('CMIP6', 'c.v2', '[{"op": "add", "path": "/links/-", "value": {"rel": "cite-as", "href": "https://x.org/c"}}, {"op": "add", "path": "/links/-", "value": {"rel": "related", "href": "https://x.org/d"}}]')), 3::bigint, 'one of two is new');
SELECT is((SELECT jsonb_array_length(document -> 'links') FROM esgf_stac.item WHERE id = 'c.v2'), 2, 'and is there');

-- One version has one content. Administrators alone may correct it.
CREATE ROLE esgf_stac_test_writer IN ROLE esgf_stac_writer;
GRANT SELECT ON esgf_stac.item, esgf_stac.outbox TO esgf_stac_test_writer;
DO $$ BEGIN PERFORM esgf_stac.grant_access('role:esgf_stac_test_writer', 'UPDATE', 'project', 'CMIP6'); END $$;
SET LOCAL ROLE esgf_stac_test_writer;
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'c.v2', '{"assets": {"tas.nc": {"file:size": 11}}}')$$, 'PT409', 'content-changed', 'another size');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'c.v2', '{"assets": {"tas.nc": {"file:checksum": null}}}')$$, 'PT409', 'content-changed', 'no checksum any more');
SELECT pg_temp.refused($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{assets,tas.nc,file:size}', '11') WHERE id = 'c.v2'$$, 'PT409', 'content-changed', 'by hand');
SELECT is((SELECT changed FROM esgf_stac.patch_item('CMIP6', 'c.v2', '{"assets": {"tas.nc": {"file:size": 10.0}}}')), false, '10.0 is 10');
RESET ROLE;
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'c.v2', '{"assets": {"tas.nc": {"file:size": 11}}}')), 'updated', 'an administrator corrects it');

-- A dataset is one institution's.
SELECT pg_temp.refused($$SELECT pg_temp.publish('a.v3', '{"properties": {"datetime": "2000-01-01T00:00:00Z", "cmip6:institution_id": "DKRZ"}}')$$, 'PT409', 'institution-differs', 'a version by another institution');
SELECT pg_temp.refused($$SELECT pg_temp.publish('a.v3', '{"properties": {"datetime": "2000-01-01T00:00:00Z"}}')$$, 'PT409', 'institution-differs', 'or by none');
SELECT pg_temp.refused($$INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'a.v3', pg_temp.document('a.v3', '{"properties": {"datetime": "2000-01-01T00:00:00Z"}}'))$$, 'PT409', 'institution-differs', 'by hand');
SELECT pg_temp.refused(format($$INSERT INTO esgf_stac.item (collection_id, id, document)
    SELECT 'CMIP6', id, pg_temp.document(id, format('{"properties": {"datetime": "2000-01-01T00:00:00Z", "retracted": %%s, "cmip6:institution_id": "%%s"}}', retracted, id)::jsonb)
      FROM (VALUES ('two.v%s', %L), ('two.v%s', 'false')) v(id, retracted)$$, first, retracted, 3 - first), 'PT409', 'institution-differs',
    concat('two versions in one statement, version ', first, CASE retracted WHEN 'true' THEN ', retracted,' END, ' before the other'))
  FROM (VALUES (1, 'false'), (2, 'false'), (1, 'true'), (2, 'true')) v(first, retracted);
SELECT is_empty($$SELECT FROM esgf_stac.item WHERE id = 'a.v3'$$, 'none is there');

-- Replacing.
SELECT is(pg_temp.publish('p.v1'), 'published', 'an item');
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'p.v1', '[{"op": "add", "path": "/assets/tas.nc/alternate/b.org", "value": {"href": "https://b.org/tas.nc", "alternate:name": "b.org"}}]')), 'replica_added', 'with a replica, whose parent is made');
SELECT is((SELECT nodes FROM esgf_stac.item WHERE id = 'p.v1'), ARRAY['a.org', 'b.org'], 'two nodes hold it');
SELECT is((SELECT changed FROM esgf_stac.replace_item('CMIP6', 'p.v1', pg_temp.document('p.v1'))), false, 'a replacement that knows no replicas keeps them');
SELECT is((SELECT version FROM esgf_stac.replace_item('CMIP6', 'p.v1', pg_temp.document('p.v1', '{"bbox": [0, 0, 1, 1]}') - 'id')), 3::bigint, 'its id is filled in');
SELECT is((SELECT nodes FROM esgf_stac.item WHERE id = 'p.v1'), ARRAY['a.org', 'b.org'], 'the replica is there');
SELECT is((SELECT version FROM esgf_stac.replace_item('CMIP6', 'p.v1', jsonb_set(pg_temp.document('p.v1'), '{assets,tas.nc,alternate}', '{}'))), 4::bigint, 'an empty alternate removes them');
SELECT row_eq($$SELECT nodes, document #> '{assets,tas.nc}' ? 'alternate' FROM esgf_stac.item WHERE id = 'p.v1'$$, ROW (ARRAY['a.org'], false), 'and goes itself');
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'p.v1', '{"assets": {"tas.nc": {"alternate": {"b.org": {"href": "https://b.org/tas.nc", "alternate:name": "b.org"}}}}}')), 'replica_added', 'a replica by a merge patch');
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'p.v1', '[{"op": "remove", "path": "/assets/tas.nc/alternate/b.org"}, {"op": "add", "path": "/assets/tas.nc/alternate/b.org", "value": null}]')), 'replica_removed', 'a doubled remove');
SELECT is((SELECT document #> '{assets,tas.nc}' FROM esgf_stac.item WHERE id = 'p.v1'), pg_temp.document('p.v1') #> '{assets,tas.nc}', 'is a remove');
SELECT pg_temp.refused($$SELECT esgf_stac.replace_item('CMIP6', 'p.v1', pg_temp.document('q.v1'))$$, 'PT400', 'stac-validation', 'a replacement that is another item');
SELECT is((SELECT changed FROM esgf_stac.replace_item('CMIP6', 'p.v1', pg_temp.document('p.v1'))), false, 'a replacement without latest keeps it');
SELECT is((SELECT latest FROM esgf_stac.item WHERE id = 'p.v1'), true, 'as it is');

-- The history of an item.
SELECT is((SELECT string_agg(type, ' ') FROM esgf_stac.history('CMIP6', 'c.v2')), 'item.published item.updated item.updated item.updated', 'history tells it, oldest first');
SELECT is((SELECT request -> 0 -> 'op' FROM esgf_stac.history('CMIP6', 'c.v2') WHERE version = 2), '"add"', 'with what was asked');
SELECT is_empty($$SELECT * FROM esgf_stac.history('CMIP6', 'nobody')$$, 'of nobody there is none');
SELECT ok(pg_temp.in_step(), 'columns, documents and datasets say the same at the end');

SELECT * FROM finish();
ROLLBACK;
