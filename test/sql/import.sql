\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- import_items: items of another catalogue come in as they are there, without events.
SELECT plan(76);

-- A document as another catalogue has it.
CREATE FUNCTION pg_temp.old(id text, properties jsonb DEFAULT '{}', more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_set(d, '{properties}', d -> 'properties' || '{"created": "2020-04-08T19:20:43Z", "updated": "2021-08-05T06:24:16.5Z", "latest": true, "retracted": false}' || properties)
      FROM pg_temp.document(id, more) d $$;
-- Outcomes in one line.
CREATE FUNCTION pg_temp.import(VARIADIC documents jsonb[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', o.status, o.item_id, o.version, CASE WHEN o.changed THEN o.action END,
                                substr(o.problem ->> 'type', length('https://esgf.io/publication/errors/') + 1)), ', ' ORDER BY o.ordinal)
      FROM esgf_stac.import_items(documents) o $$;
-- What is wrong with a document, as its outcome says.
CREATE FUNCTION pg_temp.problem(document jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws('; ', o.status || ' ' || (o.problem ->> 'detail'), (SELECT string_agg(concat(e ->> 'pointer', ': ', e ->> 'detail'), '; ') FROM jsonb_array_elements(o.problem -> 'errors') e))
      FROM esgf_stac.import_items(ARRAY[document]) o $$;
-- The versions of a dataset, with an asterisk at the latest, which the dataset knows as well.
CREATE FUNCTION pg_temp.versions(base text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', dataset_version || CASE WHEN latest THEN '*' ELSE '' END || CASE WHEN id = latest_id THEN '*' ELSE '' END, 'at ' || nullif(version, 1)), ', ' ORDER BY dataset_version::int)
      FROM esgf_stac.item JOIN esgf_stac.dataset USING (collection_id, base_id) WHERE base_id = base $$;
CREATE FUNCTION pg_temp.events() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', substr(type, 6), aggregateid, version), ', ' ORDER BY seq) FROM esgf_stac.outbox WHERE aggregatetype <> 'collection' $$;
-- All there is: nothing of it may change where nothing is imported.
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE sql AS $$
    SELECT md5(concat((SELECT json_agg(i ORDER BY id) FROM esgf_stac.item i), (SELECT json_agg(d ORDER BY base_id) FROM esgf_stac.dataset d), (SELECT json_agg(o ORDER BY seq) FROM esgf_stac.outbox o))) $$;

-- Without statistics, as in a fresh catalogue, items are found by their id, and datasets by theirs.
CREATE FUNCTION pg_temp.index_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    SET LOCAL plan_cache_mode = force_generic_plan;
    EXECUTE 'PREPARE look(text, text) AS ' || query;
    EXECUTE 'EXPLAIN (FORMAT json) EXECUTE look(NULL, NULL)' INTO plan;
    DEALLOCATE look;
    RESET plan_cache_mode;
    RETURN plan #>> '{0,Plan,Index Name}';
END
$$;
SELECT is(pg_temp.index_of('SELECT document FROM esgf_stac.item WHERE collection_id = $1 AND id = $2'), 'item_pkey', 'the index that finds an item');
SELECT is(pg_temp.index_of('SELECT document FROM esgf_stac.item WHERE collection_id = $1 AND base_id = $2'), 'item_dataset', 'the index that finds a dataset');

-- An index of another shape is not ours, whatever its name.
CREATE FUNCTION pg_temp.beside_another_index() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    latest text;
BEGIN
    DROP INDEX esgf_stac.item_dataset;
    CREATE INDEX item_dataset ON esgf_stac.item (collection_id, id);
    PERFORM esgf_stac.import_items(ARRAY[pg_temp.old(id)]) FROM unnest('{shape.v1,shape.v2}'::text[]) id;
    SELECT string_agg(id, ' ') INTO latest FROM esgf_stac.item i WHERE i.latest;
    RAISE SQLSTATE 'YT000';
EXCEPTION WHEN SQLSTATE 'YT000' THEN
    RETURN latest;
END
$$;
SELECT is(pg_temp.beside_another_index(), 'shape.v2', 'an index of that name and of other columns');

-- What comes in is what was there.
SELECT results_eq($$SELECT * FROM esgf_stac.import_items(ARRAY[pg_temp.old('a.v1', '{"latest": false}'), pg_temp.old('a.v2')])$$,
                  $$VALUES (1, 201, 'CMIP6', 'a.v1', 1::bigint, true, 'imported', NULL::uuid, NULL::jsonb), (2, 201, 'CMIP6', 'a.v2', 1::bigint, true, 'imported', NULL::uuid, NULL::jsonb)$$, 'a row for each document, in their order');
SELECT results_eq($$SELECT id, version, base_id, dataset_version, latest, retracted, deleted, nodes, reason, created, updated FROM esgf_stac.item ORDER BY id$$,
                  $$VALUES ('a.v1', 1::bigint, 'a', '1', false, false, false, '{a.org}'::text[], NULL::text, '2020-04-08 19:20:43+00'::timestamptz, '2021-08-05 06:24:16.5+00'::timestamptz),
                           ('a.v2', 1, 'a', '2', true, false, false, '{a.org}', NULL, '2020-04-08 19:20:43+00', '2021-08-05 06:24:16.5+00')$$, 'columns are derived, times are those given');
SELECT results_eq($$SELECT document FROM esgf_stac.published_item ORDER BY id$$, $$VALUES (pg_temp.old('a.v1', '{"latest": false}')), (pg_temp.old('a.v2'))$$, 'the documents are as they were');
SELECT is(pg_temp.versions('a'), '1, 2**', 'the dataset knows its latest');
SELECT is(pg_temp.events(), NULL, 'there are no events');
SELECT is_empty($$SELECT FROM esgf_stac.history('CMIP6', 'a.v2')$$, 'and no history');
SELECT row_eq($$SELECT version, etag, document FROM esgf_stac.get_item('CMIP6', 'a.v2', 1)$$, ROW (1::bigint, '"1"'::text, pg_temp.old('a.v2')), 'version 1 can be had');
SELECT is(esgf_stac_internal.event_is_known('{"id": null, "collection_id": "CMIP6", "item_id": "a.v2", "version": 1}'), true, 'and is known to relays');
SELECT is_empty($$SELECT FROM esgf_stac.import_items('{}')$$, 'no documents, no rows');

-- Times: their text stays; what is missing is filled in.
SELECT is(pg_temp.import(pg_temp.old('t.v1', '{"created": "2020-04-08t19:20:43.123456789+02:00", "updated": null}'), pg_temp.old('t.v2', '{"created": null, "updated": "2020-04-08T19:20:43-11:30"}'),
          pg_temp.old('t.v3') #- '{properties,created}' #- '{properties,updated}'), '201 t.v1 1 imported, 201 t.v2 1 imported, 201 t.v3 1 imported', 'times of all kinds');
SELECT row_eq($$SELECT created, updated > now() - interval '1 hour', document #>> '{properties,created}', document #>> '{properties,updated}' = to_char(updated, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM esgf_stac.item WHERE id = 't.v1'$$,
              ROW ('2020-04-08 17:20:43.123457+00'::timestamptz, true, '2020-04-08t19:20:43.123456789+02:00'::text, true), 'a missing updated is now');
SELECT row_eq($$SELECT created, updated, document #>> '{properties,created}', document #>> '{properties,updated}' FROM esgf_stac.item WHERE id = 't.v2'$$,
              ROW ('2020-04-09 06:50:43+00'::timestamptz, '2020-04-09 06:50:43+00'::timestamptz, '2020-04-09T06:50:43.000000Z'::text, '2020-04-08T19:20:43-11:30'::text), 'a missing created is updated');
SELECT results_eq($$SELECT created = updated, created > now() - interval '1 hour', document #>> '{properties,created}' = to_char(created, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM esgf_stac.item WHERE id = 't.v3'$$, $$VALUES (true, true, true)$$, 'both missing are now');
DO $$ BEGIN PERFORM esgf_stac.configure_collection('CMIP6', '{"stamp_times": false}'); END $$;
SELECT is(pg_temp.import(pg_temp.old('s.v1') #- '{properties,created}'), '201 s.v1 1 imported', 'where documents are not stamped');
SELECT row_eq($$SELECT created, document FROM esgf_stac.item WHERE id = 's.v1'$$, ROW ('2021-08-05 06:24:16.5+00'::timestamptz, pg_temp.old('s.v1') #- '{properties,created}'), 'the column alone is');
DO $$ BEGIN PERFORM esgf_stac.configure_collection('CMIP6', '{"stamp_times": true}'); END $$;

-- Filled in as at a publication: links, flags. Null is silence.
SELECT is(pg_temp.import(pg_temp.old('f.v1', '{"latest": null, "retracted": null, "title": null}', '{"links": null, "bbox": null, "stac_extensions": null}')), '201 f.v1 1 imported', 'unset members written as null');
SELECT row_eq($$SELECT latest, retracted, document FROM esgf_stac.item WHERE id = 'f.v1'$$, ROW (true, false, pg_temp.old('f.v1', '{"title": null}', '{"bbox": null, "stac_extensions": null}')), 'count as missing');

-- The retracted: as they are there, with their assets or without.
SELECT is(pg_temp.import(pg_temp.old('r.v1', '{"retracted": true, "latest": false}', '{"assets": {}}'), pg_temp.old('r.v2', '{"retracted": true}')), '201 r.v1 1 imported, 201 r.v2 1 imported', 'retracted items');
SELECT is(pg_temp.versions('r'), '1, 2', 'are never latest');
SELECT results_eq($$SELECT i.retracted, i.document -> 'assets' = '{}', (p.document -> 'assets')::text FROM esgf_stac.item i JOIN esgf_stac.published_item p USING (id) WHERE i.base_id = 'r' ORDER BY id$$,
                  $$VALUES (true, true, '{}'), (true, false, '{}')$$, 'assets that are left are kept, and not published');
SELECT is((SELECT action FROM esgf_stac.reinstate_item('CMIP6', 'r.v2')), 'reinstated', 'and come back');
SELECT is((SELECT document #>> '{assets,tas.nc,href}' FROM esgf_stac.published_item WHERE id = 'r.v2'), 'https://a.org/tas.nc', 'with the reinstatement');

-- Latest is true for the newest that is not retracted alone, and there as it is given; order does not matter.
SELECT is(pg_temp.import(pg_temp.old('l.v2'), pg_temp.old('l.v10'), pg_temp.old('l.v1'), pg_temp.old('l.v11', '{"retracted": true}')), '201 l.v2 1 imported, 201 l.v10 1 imported, 201 l.v1 1 imported, 201 l.v11 1 imported', 'four of a dataset that would all be latest');
SELECT is(pg_temp.versions('l'), '1, 2, 10**, 11', 'one is');
SELECT is((SELECT string_agg(document #>> '{properties,latest}', ' ' ORDER BY dataset_version::int) FROM esgf_stac.published_item WHERE base_id = 'l'), 'false false true false', 'as their documents say');
SELECT is(pg_temp.import(pg_temp.old('m.v1'), pg_temp.old('m.v2', '{"latest": false}')), '201 m.v1 1 imported, 201 m.v2 1 imported', 'the newest is deprecated');
SELECT is(pg_temp.versions('m'), '1, 2', 'then none is latest');
SELECT is(pg_temp.events(), 'reinstated r.v2 2', 'and all that is no event');

-- In other calls: an older one is born behind; a newer one supersedes what is there, which is a change of that, and told.
SELECT is(pg_temp.import(pg_temp.old('l.v9')), '201 l.v9 1 imported', 'an older version comes later');
SELECT is(pg_temp.versions('l'), '1, 2, 9, 10**, 11', 'and is not latest');
SELECT is(pg_temp.import(pg_temp.old('l.v12')), '201 l.v12 1 imported', 'a newer version comes later');
SELECT is(pg_temp.versions('l'), '1, 2, 9, 10 at 2, 11, 12**', 'and supersedes');
SELECT is(pg_temp.events(), 'reinstated r.v2 2, superseded l.v10 2', 'what has an event, as always');

-- What is there already stays as it is.
CREATE TEMPORARY TABLE before AS SELECT pg_temp.state() AS state;
SELECT is(pg_temp.import(pg_temp.old('a.v2'), pg_temp.old('a.v1', '{"latest": false}'), pg_temp.old('l.v10'), pg_temp.old('f.v1', '{"title": null}', '{"links": null, "bbox": null, "stac_extensions": null}')),
          '200 a.v2 1, 200 a.v1 1, 200 l.v10 2, 200 f.v1 1', 'the same again is passed over');
SELECT results_eq($$SELECT changed, action, event_id, problem FROM esgf_stac.import_items(ARRAY[pg_temp.old('a.v2')])$$, $$VALUES (false, NULL::text, NULL::uuid, NULL::jsonb)$$, 'as its row says');
SELECT is(pg_temp.import(pg_temp.old('a.v2', '{"created": "1999-01-01T00:00:00Z", "updated": null, "latest": null}'), pg_temp.old('m.v2')), '200 a.v2 1, 200 m.v2 1', 'whatever it says of times, and of a latest that has ended here');
SELECT is(pg_temp.import(pg_temp.old('a.v2', '{"title": "new"}')), '409 a.v2 item-already-exists', 'another document is refused');
SELECT is(pg_temp.problem(pg_temp.old('l.v10', '{"title": "new"}')), '409 item "l.v10" exists already in collection "CMIP6", and differs: It has version 2.', 'which is said');
SELECT is(pg_temp.import(pg_temp.old('a.v2', '{"latest": false}')), '409 a.v2 item-already-exists', 'so is a latest that has ended there');
SELECT is(pg_temp.import(pg_temp.old('a.v2', '{"retracted": true}'), pg_temp.old('r.v1', '{}', '{"assets": {}}')), '409 a.v2 item-already-exists, 409 r.v1 item-already-exists', 'so is another retracted');
SELECT is(pg_temp.import(pg_temp.document('a.v1') - 'geometry'), '409 a.v1 item-already-exists', 'and what is no item');
SELECT is(pg_temp.state(), (SELECT state FROM before), 'nothing has changed');
DO $$ BEGIN PERFORM esgf_stac.delete_item('CMIP6', 'a.v1'); END $$;
SELECT is(pg_temp.problem(pg_temp.old('a.v1', '{"latest": false}')), '409 item "a.v1" is deleted here', 'the deleted is not brought back');

-- In one call an item stands once.
SELECT is(pg_temp.import(pg_temp.old('d.v1'), pg_temp.old('d.v1'), pg_temp.old('d.v1', '{"title": "other"}'), pg_temp.old('d.v1')), '201 d.v1 1 imported, 200 d.v1 1, 409 d.v1 item-already-exists, 200 d.v1 1', 'the first of many is imported');
SELECT is((SELECT document FROM esgf_stac.item WHERE id = 'd.v1'), pg_temp.old('d.v1'), 'as it is');

-- The first change gives version 2, with the first event; created stays.
SELECT is((SELECT concat_ws(' ', version, action) FROM esgf_stac.patch_item('CMIP6', 'a.v2', '{"properties": {"title": "t"}}', if_match => 1)), '2 updated', 'an imported item is changed');
SELECT row_eq($$SELECT created, updated > now() - interval '1 hour', document #>> '{properties,created}' FROM esgf_stac.item WHERE id = 'a.v2'$$, ROW ('2020-04-08 19:20:43+00'::timestamptz, true, '2020-04-08T19:20:43.000000Z'::text), 'it was created when it was');
SELECT results_eq($$SELECT version, type FROM esgf_stac.history('CMIP6', 'a.v2')$$, $$VALUES (2::bigint, 'item.updated')$$, 'its history begins with version 2');
SELECT pg_temp.refused($$SELECT esgf_stac.get_item('CMIP6', 'a.v2', 1)$$, 'PT404', 'version-pruned', 'version 1 is not kept');
SELECT is((SELECT concat_ws(' ', version, action) FROM esgf_stac.delete_item('CMIP6', 't.v3')), '2 deleted', 'another is deleted');
SELECT is((SELECT concat_ws(' ', version, action) FROM esgf_stac.create_item('CMIP6', pg_temp.old('t.v3', '{"title": "x"}'))), '3 published', 'and published again');

-- Each by itself: what is refused leaves nothing, and hinders no other.
DO $$ BEGIN
    PERFORM esgf_stac.create_collection(pg_temp.collection_document('CMIP7'));
    UPDATE before SET state = pg_temp.state();
END $$;
SELECT is(pg_temp.import(pg_temp.old('x.v1', '{"datetime": "never"}'), NULL, '[]', '"x"', pg_temp.old('x.v2') - 'id', pg_temp.old('x.v3') - 'collection', pg_temp.old('x.v4', '{}', '{"collection": null}'), pg_temp.old('x.v5', '{}', '{"collection": 7}'),
          pg_temp.old('x.v6', '{}', '{"collection": "CMIP8"}'), pg_temp.old('x.v7', '{}', '{"collection": ""}'), pg_temp.old('x.v8', '{}', '{"id": ""}'), pg_temp.old('x.v9', '{}', '{"id": "x/v9"}'), pg_temp.old('x.v10', '{"base_id": "y"}'),
          pg_temp.old('x.v11', '{"latest": "true"}'), pg_temp.old('x.v12', '{"created": "2020"}'), pg_temp.old('x.v13', '{"updated": 7}'), pg_temp.old('x.v14', '{"created": "2020-01-01T00:00:00+23:00"}')),
          '400 x.v1 stac-validation, 400 bad-request, 400 stac-validation, 400 stac-validation, 400 stac-validation, 400 x.v3 stac-validation, 400 x.v4 stac-validation, 400 x.v5 stac-validation, '
          '404 x.v6 collection-does-not-exist, 404 x.v7 collection-does-not-exist, 400  stac-validation, 400 x/v9 stac-validation, 400 x.v10 stac-validation, '
          '400 x.v11 stac-validation, 400 x.v12 stac-validation, 400 x.v13 stac-validation, 400 x.v14 stac-validation', 'documents that are no items');
SELECT is(pg_temp.import(pg_temp.old('x.v1', '{}', '{"assets": {"a": {"href": "https://a.org/a", "roles": ["data"], "alternate:name": "a.org", "alternate": {"b.org": {"href": "https://b.org/a", "alternate:name": "b.org"}}}, "b": {"href": "https://a.org/b", "roles": ["data"], "alternate:name": "a.org"}}}'),
          pg_temp.old('x.v2', '{}', '{"assets": {"a": {"href": "https://a.org/a", "alternate:name": "a.org", "alternate": {"b.org": {"href": "https://b.org/a", "alternate:name": "c.org"}}}}}'),
          pg_temp.old('x.v3', '{}', '{"assets": {"a": {"href": "https://a.org/a", "alternate": {}}}}'), pg_temp.old('l.v13', '{"cmip6:institution_id": "DKRZ"}')),
          '409 x.v1 replica-incomplete, 403 x.v2 missing-permission, 400 x.v3 stac-validation, 409 l.v13 institution-differs', 'and items that could not be published');
SELECT is(pg_temp.problem(pg_temp.old('x.v1', '{"latest": 1, "created": "2020"}', '{"type": "x"}')), '400 document is not the STAC item that it must be; /type: must be "Feature"; /properties/latest: must be true or false; /properties/created: must be an RFC 3339 time, such as 1850-01-16T12:00:00Z', 'all that is wrong with one');
SELECT is(pg_temp.problem('{"id": "x.v1", "type": "Feature", "links": [], "assets": {}, "geometry": null, "stac_version": "1.0.0", "properties": {"datetime": "2000-01-01T00:00:00Z"}}'), '400 document is not a STAC item; /collection: is missing', 'a collection must be named');
SELECT is((SELECT problem ->> 'instance' FROM esgf_stac.import_items(ARRAY[pg_temp.old('x.v1', '{"latest": 1}')])), '/collections/CMIP6/items/x.v1', 'a problem says which item it is about');
SELECT is(pg_temp.state(), (SELECT state FROM before), 'nothing has changed');
SELECT is(pg_temp.import(pg_temp.old('x.v1'), pg_temp.old('x.v2', '{"latest": 1}'), pg_temp.old('y.v1'), pg_temp.old('x.v3'), pg_temp.old('z.v1', '{"created": "x"}'), pg_temp.old('k.v1', '{}', '{"collection": "CMIP7"}'), pg_temp.old('l.v13', '{"cmip6:institution_id": "DKRZ"}')),
          '201 x.v1 1 imported, 400 x.v2 stac-validation, 201 y.v1 1 imported, 201 x.v3 1 imported, 400 z.v1 stac-validation, 201 k.v1 1 imported, 409 l.v13 institution-differs', 'bad among good');
SELECT is(pg_temp.versions('x'), '1, 3**', 'the good are there');
SELECT is_empty($$SELECT FROM esgf_stac.dataset WHERE base_id = 'z'$$, 'nothing of the bad is');
SELECT is(pg_temp.versions('l'), '1, 2, 9, 10 at 2, 11, 12**', 'which have superseded nobody');
SELECT pg_temp.refused('SELECT * FROM esgf_stac.import_items(NULL)', 'PT400', 'bad-request', 'no argument');
DO $$ BEGIN PERFORM esgf_stac.configure_collection('CMIP6', '{"complete_replicas": false}'); END $$;
SELECT is(pg_temp.import(pg_temp.old('i.v1', '{}', '{"assets": {"a": {"href": "https://a.org/a", "roles": ["data"], "alternate:name": "a.org", "alternate": {"b.org": {"href": "https://b.org/a", "alternate:name": "b.org"}}}, "b": {"href": "https://a.org/b", "roles": ["data"], "alternate:name": "a.org"}}}')),
          '201 i.v1 1 imported', 'a setting of the collection lets replicas be incomplete');

-- It ends with the call, refused or not: what comes after is a publication, stamped and told.
SELECT is((SELECT action FROM esgf_stac.create_item('CMIP6', pg_temp.old('n.v1'))), 'published', 'a publication');
SELECT results_eq($$SELECT o.type, i.created > now() - interval '1 hour', i.created = i.updated FROM esgf_stac.item i JOIN esgf_stac.outbox o ON o.aggregateid = i.id WHERE i.id = 'n.v1'$$, $$VALUES ('item.published', true, true)$$, 'is one');

-- Who may: administrators, and nobody by their functions.
CREATE ROLE esgf_stac_test_admin IN ROLE esgf_stac_admin;
CREATE ROLE esgf_stac_test_both IN ROLE esgf_stac_admin, esgf_stac_gateway;
CREATE ROLE esgf_stac_test_writer IN ROLE esgf_stac_writer;
CREATE ROLE esgf_stac_test_gateway IN ROLE esgf_stac_gateway;
CREATE FUNCTION pg_temp.lent() RETURNS SETOF esgf_stac.outcome LANGUAGE sql SECURITY DEFINER AS $$ SELECT * FROM esgf_stac.import_items(ARRAY[pg_temp.old('w.v1')]) $$;
UPDATE before SET state = pg_temp.state();
SET LOCAL ROLE esgf_stac_test_writer;
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.import_items(ARRAY[pg_temp.old('w.v1')])$$, '42501', NULL, 'a writer imports nothing');
SELECT pg_temp.refused($$SELECT * FROM pg_temp.lent()$$, '42501', NULL, 'nor by a superuser''s function');
SET LOCAL ROLE esgf_stac_test_gateway;
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.import_items(ARRAY[pg_temp.old('w.v1')])$$, '42501', NULL, 'a gateway imports nothing');
SET LOCAL ROLE esgf_stac_test_both;
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.import_items(ARRAY[pg_temp.old('w.v1')])$$, 'PT401', 'identity-missing', 'an administrator that is a gateway says for whom');
RESET ROLE;
SELECT is(pg_temp.state(), (SELECT state FROM before), 'nothing has changed');
SET LOCAL ROLE esgf_stac_test_admin;
SELECT is(pg_temp.import(pg_temp.old('w.v1')), '201 w.v1 1 imported', 'an administrator imports');
SELECT pg_temp.refused($$INSERT INTO esgf_stac.item (collection_id, id, document, created) VALUES ('CMIP6', 'w.v2', pg_temp.old('w.v2'), now())$$, 'PT400', 'operation-not-permitted', 'but gives no times by hand');
RESET ROLE;

UPDATE esgf_stac.catalogue SET system_identifier = 1;
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.import_items('{}')$$, 'PT503', 'catalogue-not-adopted', 'a catalogue of another cluster is not written');

SELECT * FROM finish();
ROLLBACK;
