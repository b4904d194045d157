\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set access :srcdir '/access.psql'
\i :access
-- Stamps, `created` and `updated` of item, asset and location: they are times, and change only with what they belong to.
SELECT plan(69);

-- As many files as make 5, 40 and 200 KB, each with stamps, at a.org and b.org.
CREATE FUNCTION pg_temp.stamped(id text, files int) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.access_document(id) || jsonb_build_object('assets', jsonb_object_agg(format('f%s.nc', f), jsonb_build_object(
        'href', format('https://a.org/%s/f%s.nc', id, f), 'alternate:name', 'a.org', 'roles', '["data"]'::jsonb, 'type', 'application/netcdf', 'file:size', f, 'file:checksum', '1220' || md5(f::text) || md5(f::text),
        'created', '2001-01-01T00:00:00Z', 'updated', '2002-01-01T00:00:00Z', 'description', md5(f::text), 'alternate', jsonb_build_object('b.org', jsonb_build_object(
        'href', format('https://b.org/%s/f%s.nc', id, f), 'alternate:name', 'b.org', 'created', '2003-01-01T00:00:00Z')))))
      FROM generate_series(1, files) f $$;
DO $$ BEGIN
    PERFORM esgf_stac.create_item('CMIP6', pg_temp.stamped('small.v1', 9)), esgf_stac.create_item('CMIP6', pg_temp.stamped('middle.v1', 75)), esgf_stac.create_item('CMIP6', pg_temp.stamped('large.v1', 400));
    PERFORM esgf_stac.grant_access('role:esgf_stac_test_writer', 'CITATION', 'project', 'CMIP6');
    PERFORM esgf_stac.grant_access('group:' || role || scope || target, role, scope, target) FROM (VALUES ('REPLICATE', 'project', 'CMIP6'), ('REPLICATE', 'node', 'b.org'), ('REPLICATE', 'node', 'a.org'), ('UPDATE', 'project', 'CMIP6')) r(role, scope, target);
END $$;
CREATE ROLE esgf_stac_test_gateway IN ROLE esgf_stac_gateway;
CREATE FUNCTION pg_temp.stored(item_id text) RETURNS jsonb LANGUAGE sql SECURITY DEFINER AS $$ SELECT document #- '{properties,updated}' FROM esgf_stac.item WHERE id = item_id $$;

-- What a patch by principals (none: the writer with CITATION) makes of an item, as the difference of the stored documents, but for properties.updated; undone.
CREATE FUNCTION pg_temp.makes(item_id text, patch jsonb, VARIADIC principals text[] DEFAULT '{}') RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT jsonb := pg_temp.stored(item_id);
    slug text;
BEGIN
    IF principals = '{}' THEN
        SET LOCAL ROLE esgf_stac_test_writer;
    ELSE
        SET LOCAL ROLE esgf_stac_test_gateway;
        PERFORM esgf_stac.set_identity(jsonb_build_object('sub', 'x', 'principals', to_jsonb(principals)));
    END IF;
    PERFORM esgf_stac.patch_item('CMIP6', item_id, patch);
    RESET ROLE;
    RAISE EXCEPTION USING ERRCODE = 'PT000', MESSAGE = esgf_stac.jsonb_diff(before, pg_temp.stored(item_id));
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS slug = CONSTRAINT_NAME;
    RETURN CASE WHEN SQLSTATE = 'PT000' THEN SQLERRM::jsonb ELSE to_jsonb(SQLSTATE || ' ' || slug) END;
END $$;
CREATE FUNCTION pg_temp.stamp_all(d jsonb, stamp jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('properties', jsonb_build_object('created', stamp, 'updated', stamp), 'assets', jsonb_object_agg(key, jsonb_build_object('created', stamp, 'updated', stamp,
        'alternate', (SELECT jsonb_object_agg(node, jsonb_build_object('created', stamp, 'updated', stamp)) FROM jsonb_object_keys(value -> 'alternate') node)))) FROM jsonb_each(d -> 'assets') $$;
\set citation '{"links": [{"rel": "license", "href": "https://x.org/license"}, {"rel": "cite-as", "href": "https://doi.org/1"}]}'
\set cited '[{"op": "add", "path": "/links/1", "value": {"rel": "cite-as", "href": "https://doi.org/1"}}]'
\set replicates '''group:REPLICATEprojectCMIP6'', ''group:REPLICATEnodeb.org'''

-- Whatever is not the change's stays as it was, written, removed or nulled, in documents of every size.
SELECT is(pg_temp.makes(id, pg_temp.stamp_all(pg_temp.stored(id), stamp) || :'citation'), :'cited', format('a citation with stamps of others, %s: %s', id, stamp))
  FROM unnest(ARRAY['small.v1', 'middle.v1', 'large.v1']) id, unnest(ARRAY['"2020-02-02T02:02:02Z"', 'null']::jsonb[]) stamp;
SELECT is(pg_temp.makes(id, pg_temp.stamp_all(pg_temp.stored(id), '"2020-02-02T02:02:02Z"')), '[]', 'stamps alone, ' || id) FROM unnest(ARRAY['small.v1', 'middle.v1', 'large.v1']) id;
SELECT is((SELECT changed FROM esgf_stac.patch_item('CMIP6', 'large.v1', pg_temp.stamp_all(pg_temp.stored('large.v1'), '"2020-02-02T02:02:02Z"'))), false, 'are no change to an administrator either');
SELECT is(pg_temp.makes('small.v1', '{"assets": {"f1.nc": {"updated": "2020-02-02T02:02:02Z", "alternate": {"b.org": {"protocol": "https", "updated": "2020-02-02T02:02:02Z"}}}, "f2.nc": {"alternate": {"b.org": {"updated": "2020-02-02T02:02:02Z"}}}}}', :replicates),
    '[{"op": "add", "path": "/assets/f1.nc/alternate/b.org/updated", "value": "2020-02-02T02:02:02Z"}, {"op": "add", "path": "/assets/f1.nc/alternate/b.org/protocol", "value": "https"}]', 'who alters his location stamps it, and no other');
SELECT is(pg_temp.makes('small.v1', '{"assets": {"f1.nc": {"description": "d", "updated": "2020-02-02T02:02:02Z", "created": null, "alternate": {"b.org": {"created": null}}}}}', 'group:UPDATEprojectCMIP6'),
    '[{"op": "remove", "path": "/assets/f1.nc/created"}, {"op": "replace", "path": "/assets/f1.nc/updated", "value": "2020-02-02T02:02:02Z"}, {"op": "replace", "path": "/assets/f1.nc/description", "value": "d"}]', 'who describes an asset stamps it, and not its replica');
SELECT is(pg_temp.makes('small.v1', '{"properties": {"title": "t"}, "assets": {"f1.nc": {"updated": null}, "f2.nc": {"created": "2020-02-02T02:02:02Z"}}}', 'group:UPDATEprojectCMIP6'),
    '[{"op": "add", "path": "/properties/title", "value": "t"}]', 'a change of properties stamps no asset');
SELECT is(pg_temp.makes('small.v1', '[{"op": "add", "path": "/assets/f1.nc/alternate/b.org/created", "value": "2020-02-02T02:02:02Z"}, {"op": "add", "path": "/links/-", "value": {"rel": "cite-as", "href": "https://doi.org/1"}}]'), :'cited', 'nor by a JSON patch');
SELECT is((SELECT (esgf_stac.jsonb_diff(b.document, a.document) - 0)::text FROM (SELECT pg_temp.stored('small.v1') AS document) b, LATERAL (
            SELECT r.version, pg_temp.stored('small.v1') AS document FROM esgf_stac.replace_item('CMIP6', 'small.v1', esgf_stac.jsonb_merge_patch(b.document, pg_temp.stamp_all(b.document, '"2020-02-02T02:02:02Z"') || '{"bbox": [0, 0, 1, 1]}')) r) a), '[]', 'nor by a replacement');
UPDATE esgf_stac.item SET document = esgf_stac.jsonb_merge_patch(document, pg_temp.stamp_all(document, '"2020-02-02T02:02:02Z"') || '{"bbox": [0, 0, 1, 2]}') WHERE id = 'small.v1';
SELECT is(pg_temp.stored('small.v1') -> 'assets', pg_temp.stamped('small.v1', 9) -> 'assets', 'nor by hand');
-- Where the item's own stamps are the client's they may come with each change by who might update the item, and with no other.
DO $$ BEGIN PERFORM esgf_stac.configure_collection('CMIP6', '{"stamp_times": false}'); END $$;
\set stamp '{"properties": {"created": "2020-02-02T02:02:02Z", "updated": "2021-02-02T02:02:02Z"}, "assets": {"f1.nc": {"created": "2020-02-02T02:02:02Z"}}}'
\set replica '{"f1.nc": {"alternate": {"b.org": {"protocol": "https"}}}}'
SELECT is(pg_temp.makes('small.v1', :'citation'::jsonb || :'stamp'), :'cited', 'not with a citation');
SELECT is(pg_temp.makes('small.v1', :'citation'::jsonb || :'stamp', 'group:UPDATEprojectCMIP6'), :'cited'::jsonb || '[{"op": "replace", "path": "/properties/created", "value": "2020-02-02T02:02:02Z"}]', 'by who might update');
SELECT is(pg_temp.makes('small.v1', jsonb_set(:'stamp', '{assets}', :'replica'), :replicates), '[{"op": "add", "path": "/assets/f1.nc/alternate/b.org/protocol", "value": "https"}]', 'not with a location');
SELECT is(pg_temp.makes('small.v1', jsonb_set(:'stamp', '{assets}', :'replica'), :replicates, 'group:UPDATEprojectCMIP6'),
    '[{"op": "add", "path": "/assets/f1.nc/alternate/b.org/protocol", "value": "https"}, {"op": "replace", "path": "/properties/created", "value": "2020-02-02T02:02:02Z"}]', 'unless by such');
SELECT is(pg_temp.makes('small.v1', '[{"op": "remove", "path": "/properties/created"}, {"op": "add", "path": "/links/-", "value": {"rel": "cite-as", "href": "https://doi.org/1"}}]'), :'cited', 'nor removed');
SELECT is(pg_temp.makes('small.v1', :'citation'::jsonb || '{"properties": {"created": "x"}}'), '"PT400 stac-validation"', 'what is no time is refused');
DO $$ BEGIN PERFORM esgf_stac.grant_access('role:esgf_stac_test_writer', 'DELETE', 'project', 'CMIP6'); END $$;
SET LOCAL ROLE esgf_stac_test_writer;
SELECT pg_temp.stored('small.v1') AS stored \gset
UPDATE esgf_stac.item SET deleted = true, document = esgf_stac.jsonb_merge_patch(document, :'stamp') WHERE id = 'small.v1';
SELECT is(pg_temp.stored('small.v1') #>> '{properties,created}', :'stored'::jsonb #>> '{properties,created}', 'nor with a deletion');
SELECT is((SELECT action FROM esgf_stac.create_item('CMIP6', esgf_stac.jsonb_merge_patch(:'stored', :'stamp'))), 'restored', 'or when it comes back');
SELECT is(esgf_stac.jsonb_diff(:'stored', pg_temp.stored('small.v1')), '[]', 'as it was');
RESET ROLE;
DO $$ BEGIN PERFORM esgf_stac.configure_collection('CMIP6', '{"stamp_times": true}'); END $$;

-- An entry of `alternate` that takes the place of a primary location which leaves its node brings its own stamps, whoever removes that one.
CREATE FUNCTION pg_temp.promoting(item_id text, stamps jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('assets', jsonb_object_agg(key, jsonb_build_object('href', value #> '{alternate,b.org,href}', 'alternate:name', 'b.org', 'alternate', null) || stamps)) FROM jsonb_each(pg_temp.stored(item_id) -> 'assets') $$;
SELECT is(pg_temp.makes(id, pg_temp.promoting(id, '{"created": "2020-02-02T02:02:02Z", "updated": "2020-02-02T02:02:02Z"}'), 'group:REPLICATEprojectCMIP6', 'group:REPLICATEnodea.org'),
          esgf_stac.jsonb_diff(pg_temp.stored(id), esgf_stac.jsonb_merge_patch(pg_temp.stored(id), pg_temp.promoting(id, '{"created": "2003-01-01T00:00:00Z", "updated": null}'))), 'promoted: ' || id) FROM unnest('{small.v1,middle.v1,large.v1}'::text[]) id;

-- Coming back as it was.
DO $$ BEGIN PERFORM esgf_stac.delete_item('CMIP6', 'middle.v1'); END $$;
SELECT is((SELECT action FROM esgf_stac.create_item('CMIP6', esgf_stac.jsonb_merge_patch(pg_temp.stored('middle.v1'), pg_temp.stamp_all(pg_temp.stored('middle.v1'), '"2020-02-02T02:02:02Z"')))), 'restored', 'restored with other stamps');
SELECT is(pg_temp.stored('middle.v1') -> 'assets', pg_temp.stamped('middle.v1', 75) -> 'assets', 'it has its own');

-- What is no time is refused wherever it stands, and leaves nothing.
SELECT version AS version, (SELECT count(*) FROM esgf_stac.outbox) AS events FROM esgf_stac.item WHERE id = 'small.v1' \gset
SELECT is(pg_temp.makes('small.v1', format(place, stamp)::jsonb || :'citation'), '"PT400 stac-validation"', format('no stamp: ' || place, stamp))
  FROM unnest(ARRAY['{"properties": {"updated": %s}}', '{"assets": {"f1.nc": {"created": %s}}}', '{"assets": {"f1.nc": {"alternate": {"b.org": {"updated": %s}}}}}']) place,
       unnest(ARRAY['"not a time"', '"2020-02-02"', '"2020-02-02 02:02:02Z"', '{"href": "https://evil.example/"}', '[1]', '1580608922', 'true', '""']) stamp;
SELECT is(pg_temp.makes('small.v1', patch::jsonb), '"PT400 stac-validation"', 'nor alone: ' || patch)
  FROM unnest(ARRAY['{"assets": {"f1.nc": {"created": 1}}}', '[{"op": "add", "path": "/assets/f1.nc/alternate/b.org/created", "value": "x"}]', '{"properties": {"created": "x"}}']) patch;
SELECT pg_temp.refused(query, 'PT400', 'stac-validation', 'nor: ' || left(query, 60)) FROM unnest(ARRAY[
    $$SELECT esgf_stac.create_item('CMIP6', jsonb_set(pg_temp.stamped('other.v1', 2), '{assets,f1.nc,updated}', '1'))$$, $$SELECT esgf_stac.create_item('CMIP6', jsonb_set(pg_temp.stamped('other.v1', 2), '{assets,f1.nc,alternate,b.org,created}', '{}'))$$,
    $$SELECT esgf_stac.replace_item('CMIP6', 'small.v1', jsonb_set(pg_temp.stored('small.v1'), '{assets,f1.nc,updated}', '"x"'))$$,
    $$SELECT esgf_stac.add_replica('CMIP6', 'i.v1', 'c.org', '{"pr.nc": {"href": "https://c.org/pr.nc", "created": "x"}, "tas.nc": {"href": "https://c.org/tas.nc"}}')$$,
    $$UPDATE esgf_stac.item SET document = jsonb_set(document, '{assets,f1.nc,alternate,b.org,updated}', '"x"') WHERE id = 'small.v1'$$,
    $$INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'other.v1', jsonb_set(pg_temp.stamped('other.v1', 2), '{assets,f1.nc,updated}', '"x"'))$$]) query;
SELECT row_eq(format('SELECT version, (SELECT count(*) FROM esgf_stac.outbox) FROM esgf_stac.item WHERE id = %L', 'small.v1'), ROW (:version::bigint, :events::bigint), 'no version and no event is left');

-- What an earlier version let in stands in the way of nothing, and goes with the next change.
ALTER TABLE esgf_stac.item DISABLE TRIGGER before_row;
ALTER TABLE esgf_stac.item DISABLE TRIGGER after_row;
UPDATE esgf_stac.item SET document = jsonb_set(jsonb_set(document, '{assets,f1.nc,updated}', '{"any": "thing"}'), '{assets,f2.nc,alternate,b.org,created}', '1') WHERE id IN ('small.v1', 'large.v1');
ALTER TABLE esgf_stac.item ENABLE TRIGGER before_row;
ALTER TABLE esgf_stac.item ENABLE TRIGGER after_row;
SELECT is(pg_temp.makes('large.v1', :'citation'), :'cited'::jsonb || '[{"op": "remove", "path": "/assets/f1.nc/updated"}, {"op": "remove", "path": "/assets/f2.nc/alternate/b.org/created"}]', 'a citation removes it');
SELECT is(pg_temp.makes('large.v1', '{"assets": {"f1.nc": {"description": "d"}}}', 'group:UPDATEprojectCMIP6') -> 0, '{"op": "remove", "path": "/assets/f1.nc/updated"}', 'as does a change of its asset');
SELECT lives_ok(query, 'it is in the way of no ' || query) FROM unnest(ARRAY['SELECT esgf_stac.retract_item(''CMIP6'', ''small.v1'')', 'SELECT esgf_stac.delete_item(''CMIP6'', ''large.v1'')', 'SELECT esgf_stac.restore_item(''CMIP6'', ''large.v1'')']) query;

SELECT * FROM finish();
ROLLBACK;
