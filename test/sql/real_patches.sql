\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- Patches of the shapes that clients in use send: those that are odd but meant well do what they mean, the others are refused.
-- (test/t/041_real_patches.pl tries the captured ones where they are at hand.)
SELECT plan(52);

-- Two files at one node, and an aggregation of them at another.
CREATE FUNCTION pg_temp.assets(more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT '{"f1.nc": {"href": "https://a.org/f1.nc", "roles": ["data"], "alternate:name": "a.org", "file:size": 1}, "f2.nc": {"href": "https://a.org/f2.nc", "roles": ["data"], "alternate:name": "a.org", "file:size": 2}}'::jsonb || more $$;
CREATE FUNCTION pg_temp.aggregation(more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('reference_file', '{"href": "https://agg.org/store/", "type": "application/kerchunk", "role": ["data", "virtual"], "alternate:name": "agg.org", "created": "2026-07-26T12:00:00.000000Z"}'::jsonb || more) $$;
CREATE FUNCTION pg_temp.replica(updated text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(jsonb_build_object('op', 'add', 'path', format('/assets/%s/alternate/b.org', f), 'value', jsonb_build_object('href', 'https://b.org/' || f, 'type', 'application/netcdf',
           'roles', '["data"]'::jsonb, 'alternate:name', 'b.org', 'description', 'HTTPServer Link', 'created', '2019-07-24T11:00:55Z', 'updated', updated))) FROM unnest('{f1.nc,f2.nc}'::text[]) f $$;

-- What becomes of a new item with these assets when patches are sent one after the other: the answer to the last.
CREATE FUNCTION pg_temp.answer(assets jsonb, VARIADIC patches jsonb[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    item_id CONSTANT text := 'real' || (SELECT count(*) FROM esgf_stac.item) || '.v1';
    patch jsonb;
    answer text;
BEGIN
    PERFORM esgf_stac.create_item('CMIP6', pg_temp.document(item_id, jsonb_build_object('assets', assets)));
    PERFORM set_config('test.item', item_id, true);
    FOREACH patch IN ARRAY patches LOOP
        SELECT concat_ws(' ', version, coalesce(action, substr(problem ->> 'type', length('https://esgf.io/publication/errors/') + 1))) INTO answer
          FROM esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'PATCH', 'collection_id', 'CMIP6', 'item_id', item_id, 'patch', patch)), false);
    END LOOP;
    RETURN answer;
END
$$;
-- The item of the last answer.
CREATE FUNCTION pg_temp.item() RETURNS SETOF esgf_stac.item LANGUAGE sql AS $$ SELECT * FROM esgf_stac.item WHERE id = current_setting('test.item') $$;
CREATE FUNCTION pg_temp.at(path text[]) RETURNS jsonb LANGUAGE sql AS $$ SELECT document #> path FROM pg_temp.item() $$;

-- Retraction and deprecation.
\set retraction '[{"op": "replace", "path": "/properties/latest", "value": false}, {"op": "replace", "path": "/properties/retracted", "value": true}, {"op": "replace", "path": "/assets", "value": {}}]'
SELECT is(pg_temp.answer(pg_temp.assets(), :'retraction'), '2 retracted', 'a retraction that empties assets');
SELECT is(pg_temp.at('{assets}'), pg_temp.assets(), 'keeps them');
SELECT is(pg_temp.answer(pg_temp.assets(), :'retraction', :'retraction'), '2', 'twice is once');
SELECT is(pg_temp.answer(pg_temp.assets(), '{"operations": [{"op": "add", "path": "/properties/retracted", "value": true}]}'), '2 retracted', 'a retraction in an object of operations');
SELECT is(pg_temp.answer(pg_temp.assets(), '[{"op": "replace", "path": "/properties/latest", "value": false}]'), '2 updated', 'a deprecation');
SELECT is(pg_temp.at('{properties,latest}'), 'false', 'is kept');

-- Replicas.
SELECT is(pg_temp.answer(pg_temp.assets(), pg_temp.replica('2026-08-01T00:00:00.000000Z')), '2 replica_added', 'a replica, an operation for each file, whose parents are missing');
SELECT is((SELECT nodes FROM pg_temp.item()), '{a.org,b.org}', 'is there');
SELECT is(pg_temp.answer(pg_temp.assets(), pg_temp.replica('2026-08-01T00:00:00.000000Z'), pg_temp.replica('2026-08-02T00:00:00.000000Z')), '2', 'the same, stamped anew, is no change');
SELECT is(pg_temp.answer(pg_temp.assets(pg_temp.aggregation() || '{"globus": {"href": "https://a.org/g", "roles": ["data"], "alternate:name": "a.org"}}'), pg_temp.replica('2026-08-01T00:00:00.000000Z')), '2 replica_added', 'it has neither globus nor reference_file');
SELECT is(pg_temp.answer(pg_temp.assets(), pg_temp.replica('2026-08-01T00:00:00.000000Z') - 1), 'replica-incomplete', 'one of two files is not enough');
SELECT is(pg_temp.answer(pg_temp.assets(), pg_temp.replica('2026-08-01T00:00:00.000000Z'), '[{"op": "remove", "path": "/assets/f1.nc/alternate/b.org"}, {"op": "remove", "path": "/assets/f2.nc/alternate/b.org"}]'), '3 replica_removed', 'removed');
SELECT is(pg_temp.at('{assets}'), pg_temp.assets(), 'it leaves no alternate');
SELECT is(pg_temp.answer(pg_temp.assets(), pg_temp.replica('2026-08-01T00:00:00.000000Z'), '[{"op": "remove", "path": "/assets/f1.nc/alternate/b.org"}, {"op": "add", "path": "/assets/f1.nc/alternate/b.org", "value": null},
          {"op": "remove", "path": "/assets/f2.nc/alternate/b.org"}, {"op": "add", "path": "/assets/f2.nc/alternate/b.org", "value": null}]'), '3 replica_removed', 'each remove doubled by an add of null');
SELECT is(pg_temp.at('{assets}'), pg_temp.assets(), 'no null is stored');
SELECT is(pg_temp.answer(pg_temp.assets(), '[{"op": "remove", "path": "/bbox"}, {"op": "add", "path": "/bbox", "value": null}]'), 'patch-does-not-apply', 'a doubled remove of what is not there');
SELECT matches((SELECT problem ->> 'detail' FROM esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'PATCH', 'collection_id', 'CMIP6', 'item_id', current_setting('test.item'), 'patch',
          '[{"op": "add", "path": "/properties/x", "value": 1}, {"op": "remove", "path": "/properties/x"}, {"op": "add", "path": "/properties/x", "value": null}, {"op": "remove", "path": "/no"}]'::jsonb)), false)),
    'Operation 3: op "remove", path "/no"', 'an operation has the number that it was sent with, whatever is ignored before it');
SELECT is(pg_temp.answer(pg_temp.assets(), pg_temp.replica('2026-08-01T00:00:00.000000Z'), '{"operations": [{"op": "remove", "path": "/assets/f1.nc/alternate/b.org"}, {"op": "remove", "path": "/assets/f2.nc/alternate/b.org"},
          {"op": "add", "path": "/assets/f1.nc/alternate/b.org", "value": null}, {"op": "add", "path": "/assets/f2.nc/alternate/b.org", "value": null}]}'), '3 replica_removed', 'all the nulls at the end');
SELECT is(pg_temp.at('{assets}'), pg_temp.assets(), 'no null is stored');
\set some '[{"op": "add", "path": "/properties/a", "value": 1}, {"op": "add", "path": "/properties/b", "value": 2}, {"op": "add", "path": "/properties/c", "value": 3}, {"op": "add", "path": "/properties/d", "value": null}]'
SELECT is(pg_temp.answer(pg_temp.assets(), :'some', '[{"op": "remove", "path": "/properties/a"}, {"op": "add", "path": "/properties/a", "value": null}, {"op": "remove", "path": "/properties/b"}, {"op": "replace", "path": "/properties/c", "value": 4},
          {"op": "remove", "path": "/properties/d"}, {"op": "test", "path": "/properties/c", "value": 4}, {"op": "add", "path": "/properties/d", "value": null}, {"op": "add", "path": "/properties/b", "value": null}]'), '3 updated', 'one form within the other');
SELECT is((SELECT document -> 'properties' ?| '{a,b,d}' FROM pg_temp.item()), false, 'removes all three');
SELECT is(pg_temp.answer(pg_temp.assets(), :'some', '[{"op": "remove", "path": "/properties/a"}, {"op": "add", "path": "/properties/a", "value": 5}, {"op": "add", "path": "/properties/a", "value": null}, {"op": "add", "path": "/properties/e", "value": null},
          {"op": "remove", "path": "/properties/b"}, {"op": "add", "path": "/properties/b", "value": null}, {"op": "add", "path": "/properties/b", "value": null}, {"op": "add", "path": "/properties/c", "value": null}, {"op": "remove", "path": "/properties/c"}]'), '3 updated', 'nulls that double no remove');
SELECT is((SELECT jsonb_object_agg(p.key, p.value) FROM pg_temp.item(), jsonb_each(document -> 'properties') p WHERE length(p.key) = 1), '{"a": null, "b": null, "d": null, "e": null}', 'stay what they are');
SELECT is(pg_temp.answer(pg_temp.assets(), '{"operations": [{"op": "add", "path": "/assets/f1.nc", "value": {"alternate": {"b.org": {"href": "https://b.org/f1.nc", "alternate:name": "b.org"}}}}]}'), 'stac-validation', 'an asset in place of its alternate');
SELECT is(pg_temp.at('{assets}'), pg_temp.assets(), 'keeps its href');

-- Aggregations.
SELECT is(pg_temp.answer(pg_temp.assets(), jsonb_build_array(jsonb_build_object('op', 'add', 'path', '/assets/reference_file', 'value', pg_temp.aggregation() -> 'reference_file'))), '2 updated', 'a new one');
\set second '[{"op": "add", "path": "/assets/reference_file/alternate/agg2.org", "value": {"href": "https://agg2.org/store/", "role": ["data", "virtual"], "alternate:name": "agg2.org"}}]'
SELECT is(pg_temp.answer(pg_temp.assets(pg_temp.aggregation()), :'second'), '2 replica_added', 'at a second site, whose parent is missing');
SELECT is(pg_temp.answer(pg_temp.assets(), :'second'), 'patch-does-not-apply', 'of an asset that is missing itself');
\set all '[{"op": "add", "path": "/assets/reference_file/alternate", "value": {"agg3.org": {"href": "https://x.org", "alternate:name": "agg3.org"}}}]'
SELECT is(pg_temp.answer(pg_temp.assets(pg_temp.aggregation()), :'all'), '2 replica_added', 'all its alternates at once');
SELECT is(pg_temp.answer(pg_temp.assets(pg_temp.aggregation()), :'second', :'all'), '3 replica_removed', 'in place of others, which are removed');
SELECT is((SELECT nodes FROM pg_temp.item()), '{a.org,agg.org,agg3.org}', 'indeed');
SELECT is(pg_temp.answer(pg_temp.assets(pg_temp.aggregation()), :'second', '[{"op": "remove", "path": "/assets/reference_file/alternate/agg2.org"}]'), '3 replica_removed', 'removed at the second site');
SELECT is(pg_temp.at('{assets}'), pg_temp.assets(pg_temp.aggregation()), 'it leaves no alternate');
SELECT is(pg_temp.answer(pg_temp.assets(pg_temp.aggregation()), '[{"op": "remove", "path": "/assets/reference_file"}]'), '2 replica_removed', 'removed at its only site, which had nothing else');
SELECT is(pg_temp.answer(pg_temp.assets(pg_temp.aggregation('{"href": "https://a.org/agg", "alternate:name": "a.org"}')), '[{"op": "remove", "path": "/assets/reference_file"}]'), '2 updated', 'or which has other files');

-- Links.
\set citation '[{"op": "add", "path": "/links/-", "value": {"href": "https://citation.org/x", "type": "application/json", "rel": "cite-as"}}]'
\set erratum '[{"op": "add", "path": "/links/-", "value": {"href": "https://errata.org/x", "type": "text/html", "rel": "related", "title": "Errata issue"}}]'
SELECT is(pg_temp.answer(pg_temp.assets(), :'citation'), '2 updated', 'a citation');
SELECT is(pg_temp.answer(pg_temp.assets(), :'citation', :'citation'), '2', 'twice is once');
SELECT is(pg_temp.answer(pg_temp.assets(), :'citation', :'erratum', :'erratum', :'citation'), '3', 'with an erratum, both twice');
SELECT is(pg_temp.answer(pg_temp.assets(), '[{"op": "add", "path": "/links", "value": {"rel": "cite-as", "href": "https://x.org"}}]'), 'stac-validation', 'links that are no array');
SELECT is(pg_temp.at('{links}'), '[]', 'are not stored');

-- Other members, other forms.
SELECT is(pg_temp.answer(pg_temp.assets(), '{"operations": [{"path": "/bbox", "op": "add", "value": [-180.0, -45.0, 180, 90]}]}'), '2 updated', 'operations in an object');
SELECT is(pg_temp.at('{bbox}')::text, '[-180.0, -45.0, 180, 90]', 'numbers as they were spelt');
SELECT is(pg_temp.answer(pg_temp.assets(), '{"operations": [{"path": "/properties/variable_long_name", "op": "add", "value": "Precipitation"}]}'), '2 updated', 'a property');
SELECT is(pg_temp.answer(pg_temp.assets(), '{"operations": [], "note": "x"}'), '2 updated', 'with another member it is a merge patch');
SELECT is(pg_temp.answer(pg_temp.assets(), '{"operations": {"op": "add"}}'), 'bad-patch', 'operations that are no array');
SELECT is(pg_temp.answer(pg_temp.assets(), '{"id": "x", "patch": [{"op": "add", "path": "/properties/n", "value": 1}]}'), 'bad-patch', 'the form of an old listener');
SELECT is((SELECT document ? 'patch' FROM pg_temp.item()), false, 'no member patch is stored');

-- A merge patch dumped with every unset member as null.
\set dump '{"type": null, "stac_version": null, "stac_extensions": null, "id": null, "collection": null, "geometry": null, "bbox": null, "properties": {"title": "t"}, "links": null, "assets": null}'
SELECT is(pg_temp.answer(pg_temp.assets(), :'dump'), 'bad-patch', 'nulls for what STAC requires');
SELECT is(pg_temp.at('{assets}'), pg_temp.assets(), 'delete nothing');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"null_members": "ignore"}')$$, 'where they are ignored');
SELECT is(pg_temp.answer(pg_temp.assets(), :'dump'), '2 updated', 'the rest of it is done');
SELECT row_eq($$SELECT document -> 'assets', document #> '{properties,title}', document ? 'geometry' FROM pg_temp.item()$$, ROW (pg_temp.assets(), '"t"'::jsonb, true), 'and nothing deleted');

SELECT * FROM finish();
ROLLBACK;
