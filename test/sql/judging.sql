\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- Items are judged by the schemas that they declare, as their collection asks.
SELECT plan(227);

-- Settings.
SELECT row_eq($$SELECT schema_mode, schemas, unknown_schemas FROM esgf_stac.collection$$, ROW ('off'::text, NULL::jsonb, 'ignore'::text), 'the defaults');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"schema_mode": "warn", "unknown_schemas": "refuse",
    "schemas": [{"prefix": "https://a.org/cmip6/", "required": true, "minimum": "v2.0.0"}, {"prefix": "https://a.org/cmip6/more/"}, {"prefix": "http://b.org/", "minimum": null}]}')$$, 'all at once');
SELECT row_eq($$SELECT schema_mode, schemas -> 1, unknown_schemas FROM esgf_stac.collection$$, ROW ('warn'::text, '{"prefix": "https://a.org/cmip6/more/"}'::jsonb, 'refuse'::text), 'are set');
SELECT is((SELECT count(*) FROM esgf_stac.outbox WHERE aggregateid = 'CMIP6'), 1::bigint, 'without an event');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"stamp_times": true}')$$, 'others');
SELECT isnt((SELECT schemas FROM esgf_stac.collection), NULL, 'leave them');
SELECT pg_temp.refused(format($$SELECT esgf_stac.configure_collection('CMIP6', %L)$$, format('{"%s}', s)), 'PT400', 'bad-request', s)
  FROM unnest(ARRAY['schema_mode": "on"', 'schema_mode": null', 'unknown_schemas": "allow"', 'schemas": {}', 'schemas": "https://a.org/"', 'schemas": [1]', 'schemas": [{}]',
      'schemas": [{"prefix": "https://a.org/cmip6"}]', 'schemas": [{"prefix": "ftp://a.org/"}]', 'schemas": [{"prefix": null}]', 'schemas": [{"prefix": "https://a.org/", "require": true}]',
      'schemas": [{"prefix": "https://a.org/", "required": "yes"}]', 'schemas": [{"prefix": "https://a.org/", "minimum": "latest"}]', 'schemas": [{"prefix": "https://a.org/", "minimum": 2}]',
      'schemas": [{"prefix": "https://a.org/"}, {"prefix": "https://a.org/"}]']) s;
SELECT pg_temp.refused($$UPDATE esgf_stac.collection SET schemas = '[{"prefix": "https://a.org"}, 7, {"prefix": "https://b.org/", "minimum": "2."}]'$$, 'PT400', 'bad-request', 'by hand, too');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"schemas": []}')$$, 'none');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"schemas": null, "schema_mode": "off", "unknown_schemas": "ignore"}')$$, 'null is none');
SELECT is((SELECT schemas FROM esgf_stac.collection), NULL, 'as before');


-- ---------------------------------------------------------------- which changes are judged

\set realistic :srcdir '/realistic.sql'
\i :realistic
INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('a.org', '{https://a.org/}'), ('b.org', '{https://b.org/}');

-- A schema in three revisions: the first takes items that the second does not, nor their new links; the third takes all of them.
CREATE FUNCTION pg_temp.schema(titles jsonb, href text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object(
        'required', '["collection", "links", "properties", "assets"]'::jsonb,
        'properties', jsonb_build_object(
            'properties', jsonb_build_object('required', '["created", "updated", "latest", "retracted", "title"]'::jsonb,
                'properties', jsonb_build_object('title', jsonb_build_object('enum', titles))),
            'assets', '{"minProperties": 1}'::jsonb,
            'links', jsonb_build_object('items', jsonb_build_object('properties', jsonb_build_object('href', jsonb_build_object('pattern', href)))),
            'stac_extensions', '{"contains": {"const": "https://s.org/cmip6/v1.0.0/schema.json"}}'::jsonb)) $$;
CREATE FUNCTION pg_temp.item(id text, kilobytes int DEFAULT 5, more jsonb DEFAULT '{"title": "a"}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT realistic.item(id, kilobytes, more) || '{"stac_extensions": ["https://s.org/cmip6/v1.0.0/schema.json", "https://s.org/nobody/knows/it.json"]}' $$;
-- All there is.
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE sql AS $$
    SELECT md5(concat((SELECT json_agg(i ORDER BY id) FROM esgf_stac.item i), (SELECT json_agg(d ORDER BY base_id) FROM esgf_stac.dataset d),
                      (SELECT json_agg(o ORDER BY seq) FROM esgf_stac.outbox o), (SELECT json_agg(r ORDER BY r) FROM esgf_stac.request r))) $$;
-- Which revisions are affixed: url's first segment, revision, and whether it is valid.
CREATE FUNCTION pg_temp.told(affixed jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', split_part(a ->> 'url', '/', 4), a ->> 'revision', CASE WHEN NOT (a ->> 'valid')::boolean THEN 'invalid' END), ', ' ORDER BY n)
      FROM jsonb_array_elements(affixed) WITH ORDINALITY e (a, n) $$;
CREATE FUNCTION pg_temp.affixed(item_id text) RETURNS text LANGUAGE sql AS $$ SELECT pg_temp.told(validated_against) FROM esgf_stac.item WHERE id = item_id $$;

-- What becomes of what is affixed to the items that a query changes, in which it is rolled back; its first value where it changes none; the slug of its
-- refusal, which leaves nothing.
CREATE FUNCTION pg_temp.becomes(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    before text := pg_temp.state();
    first text;
    slug text;
    told text;
BEGIN
    BEGIN
        CREATE TEMP TABLE was ON COMMIT DROP AS SELECT * FROM esgf_stac.item;
        EXECUTE query INTO first;
        SELECT string_agg(DISTINCT CASE
                   WHEN o.validated_against IS DISTINCT FROM i.validated_against THEN 'its event differs'
                   WHEN i.validated_against IS NULL THEN 'null'
                   WHEN i.validated_against = w.validated_against THEN 'kept'
                   ELSE 'by ' || pg_temp.told(i.validated_against) END, ', ')
          INTO told
          FROM esgf_stac.item i LEFT JOIN was w USING (id) LEFT JOIN esgf_stac.outbox o ON o.aggregateid = i.id AND o.version = i.version
         WHERE i.version IS DISTINCT FROM w.version AND NOT (i.latest = false AND w.latest AND i.document ->> 'id' = 'old.v1');
        RAISE EXCEPTION USING errcode = 'ZZ001', message = coalesce(told, first, 'nothing');
    EXCEPTION
        WHEN SQLSTATE 'ZZ001' THEN RETURN SQLERRM;
        WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS slug = CONSTRAINT_NAME;
            RETURN CASE WHEN pg_temp.state() <> before THEN 'something is left' ELSE coalesce(nullif(slug, ''), SQLERRM) END;
    END;
END
$$;

SELECT esgf_stac.add_schema('https://s.org/cmip6/v1.0.0/schema.json', pg_temp.schema('["a"]', '^https:'), 'cv 1') AS ignored \gset
SELECT esgf_stac.configure_collection('CMIP6', '{"schema_mode": "enforce"}') AS ignored \gset
DO $$ BEGIN
    PERFORM esgf_stac.create_item('CMIP6', pg_temp.item(id)) FROM unnest('{a.v1,b.v1,old.v1,gone.v1,bad.v1}'::text[]) id;
    PERFORM esgf_stac.create_item('CMIP6', pg_temp.item(format('%s.v1', kilobytes), kilobytes)) FROM unnest('{40,200}'::int[]) kilobytes;
    PERFORM esgf_stac.add_replica('CMIP6', 'a.v1', 'b.org', realistic.alternates(5, 'b.org'));
    PERFORM esgf_stac.delete_item('CMIP6', 'gone.v1');
    PERFORM esgf_stac.retract_item('CMIP6', 'bad.v1');
    PERFORM esgf_stac.create_source('s');
    UPDATE esgf_stac.source SET principals = '{ingester}';
    PERFORM esgf_stac.grant_access('ingester', role, scope, '*') FROM (VALUES ('CREATE', 'project'), ('CREATE', 'node'), ('UPDATE', 'project')) r (role, scope);
END $$;
SELECT is((SELECT string_agg(DISTINCT pg_temp.told(validated_against), '; ') FROM esgf_stac.item), 'cmip6 1', 'whatever appears is judged, and what has judged it affixed');
SELECT is((SELECT validated_against FROM esgf_stac.item WHERE id = 'a.v1'),
          (SELECT jsonb_build_array(jsonb_build_object('url', url, 'revision', 1, 'sha256', encode(sha256, 'hex'), 'cv_version', 'cv 1', 'valid', true)) FROM esgf_stac.schema), 'with all that it is known by');

CREATE TEMP TABLE change (what text, judged text, query text);
INSERT INTO change VALUES
    ('a merge patch', 'all', $q$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{"properties": {"note": "n"}}')$q$),
    ('a JSON patch', 'all', $q$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '[{"op": "add", "path": "/properties/note", "value": "n"}]')$q$),
    ('of 40 KB', 'all', $q$SELECT esgf_stac.patch_item('CMIP6', '40.v1', '{"properties": {"note": "n"}}')$q$),
    ('of 200 KB', 'all', $q$SELECT esgf_stac.patch_item('CMIP6', '200.v1', '{"properties": {"note": "n"}}')$q$),
    ('a replacement', 'all', $q$SELECT esgf_stac.replace_item('CMIP6', 'a.v1', pg_temp.item('a.v1', 5, '{"title": "a", "note": "n"}'))$q$),
    ('by hand', 'all', $q$UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,note}', '1') WHERE id = 'a.v1' RETURNING id$q$),
    ('of several rows', 'all', $q$WITH done AS (UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,note}', '1') WHERE id LIKE '_.v1' RETURNING id) SELECT count(*) FROM done$q$),
    ('an upsert', 'all', $q$INSERT INTO esgf_stac.item (collection_id, id, document) SELECT 'CMIP6', 'a.v1', pg_temp.item('a.v1', 5, '{"title": "a", "note": "n"}')
        ON CONFLICT (collection_id, id) DO UPDATE SET document = EXCLUDED.document RETURNING id$q$),
    ('within a function', 'all', $q$SELECT count(*) FROM (SELECT esgf_stac.patch_item('CMIP6', id, '{"properties": {"note": "n"}}') FROM unnest('{a.v1,b.v1}'::text[]) id) done$q$),
    ('an asset more', 'all', $q$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{"assets": {"b": {"href": "https://a.org/b", "alternate:name": "a.org"}}}')$q$),
    ('what an asset says of its content', 'all', $q$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{"assets": {"tas_day_1.nc": {"description": "d"}}}')$q$),
    ('a link of another kind', 'all', $q$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '[{"op": "add", "path": "/links/-", "value": {"rel": "about", "href": "https://good/"}}]')$q$),
    ('other extensions', 'all', $q$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '[{"op": "remove", "path": "/stac_extensions/1"}]')$q$),
    ('a location and more', 'all', $q$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{"properties": {"note": "n"}, "assets": {"tas_day_1.nc": {"alternate": {"b.org": {"href": "https://b.org/new"}}}}}')$q$),
    ('a citation and more', 'all', $q$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{"properties": {"note": "n"}, "links": [{"rel": "cite-as", "href": "https://good/"}]}')$q$),
    ('a retraction and more', 'all', $q$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{"properties": {"note": "n", "retracted": true}, "assets": {}}')$q$),
    ('a deprecation and more', 'all', $q$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{"properties": {"note": "n", "latest": false}}')$q$),
    ('coming back with another document', 'all', $q$SELECT esgf_stac.create_item('CMIP6', pg_temp.item('gone.v1', 5, '{"title": "a", "note": "n"}'))$q$),
    ('the same by hand', 'all', $q$UPDATE esgf_stac.item SET deleted = false, document = jsonb_set(document, '{properties,note}', '1') WHERE id = 'gone.v1' RETURNING id$q$),
    ('publishing', 'all', $q$SELECT esgf_stac.create_item('CMIP6', pg_temp.item('new.v1'))$q$),
    ('publishing by hand', 'all', $q$INSERT INTO esgf_stac.item (collection_id, id, document) SELECT 'CMIP6', id, pg_temp.item(id) FROM unnest('{new.v1,new.v2}'::text[]) id RETURNING id$q$),
    ('a merge', 'all', $q$WITH done AS (SELECT pg_temp.merge()) SELECT 'merged' FROM done$q$),
    ('a newer version', 'all', $q$SELECT esgf_stac.create_item('CMIP6', pg_temp.item('old.v2'))$q$),
    ('transact: POST', 'all', $q$SELECT status FROM esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'POST', 'collection_id', 'CMIP6', 'item', pg_temp.item('new.v1'))))$q$),
    ('transact: PUT, with a key', 'all', $q$SELECT status FROM esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'PUT', 'collection_id', 'CMIP6', 'item_id', 'a.v1', 'request_id', 'r',
        'item', pg_temp.item('a.v1', 5, '{"title": "a", "note": "n"}'))))$q$),
    ('transact: UPSERT', 'all', $q$SELECT status FROM esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'UPSERT', 'collection_id', 'CMIP6', 'item', pg_temp.item('new.v1'))))$q$),
    ('transact: several', 'all', $q$SELECT status FROM esgf_stac.transact('[{"method": "PATCH", "collection_id": "CMIP6", "item_id": "a.v1", "patch": {"properties": {"note": "n"}}},
        {"method": "PATCH", "collection_id": "CMIP6", "item_id": "b.v1", "patch": [{"op": "add", "path": "/properties/note", "value": "n"}]}]')$q$),
    ('a replica', 'nothing', $q$SELECT esgf_stac.add_replica('CMIP6', 'b.v1', 'b.org', realistic.alternates(5, 'b.org'))$q$),
    ('a replica of 200 KB', 'nothing', $q$SELECT esgf_stac.add_replica('CMIP6', '200.v1', 'b.org', realistic.alternates(200, 'b.org'))$q$),
    ('a replica removed', 'nothing', $q$SELECT esgf_stac.remove_replica('CMIP6', 'a.v1', 'b.org')$q$),
    ('the primary one', 'nothing', $q$SELECT esgf_stac.remove_replica('CMIP6', 'a.v1', 'a.org')$q$),
    ('a location that is altered', 'nothing', $q$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{"assets": {"tas_day_1.nc": {"alternate": {"b.org": {"href": "https://b.org/new"}}}}}')$q$),
    ('the primary one, by hand', 'nothing', $q$UPDATE esgf_stac.item SET document = jsonb_set(document, '{assets,tas_day_1.nc,href}', '"https://a.org/new"') WHERE id = 'a.v1' RETURNING id$q$),
    ('transact: ADD_REPLICA', 'nothing', $q$SELECT status FROM esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'ADD_REPLICA', 'collection_id', 'CMIP6', 'item_id', 'b.v1', 'node', 'b.org',
        'alternates', realistic.alternates(5, 'b.org'))))$q$),
    ('a retraction', 'nothing', $q$SELECT esgf_stac.retract_item('CMIP6', 'a.v1')$q$),
    ('that takes the assets', 'nothing', $q$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '[{"op": "replace", "path": "/properties/latest", "value": false}, {"op": "replace", "path": "/properties/retracted", "value": true},
        {"op": "replace", "path": "/assets", "value": {}}]')$q$),
    ('a reinstatement', 'nothing', $q$SELECT esgf_stac.reinstate_item('CMIP6', 'bad.v1')$q$),
    ('a deletion', 'nothing', $q$SELECT esgf_stac.delete_item('CMIP6', 'a.v1')$q$),
    ('by hand', 'nothing', $q$UPDATE esgf_stac.item SET deleted = true WHERE id = 'a.v1' RETURNING id$q$),
    ('a restoration', 'nothing', $q$SELECT esgf_stac.restore_item('CMIP6', 'gone.v1')$q$),
    ('by the same document', 'nothing', $q$SELECT esgf_stac.create_item('CMIP6', pg_temp.item('gone.v1'))$q$),
    ('a deprecation', 'nothing', $q$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{"properties": {"latest": false}}')$q$),
    ('links appended to cite', 'links', $q$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '[{"op": "add", "path": "/links/-", "value": {"rel": "cite-as", "href": "https://good/"}}]')$q$),
    ('and for errata, with a replica', 'links', $q$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{"links": [{"rel": "related", "title": "Errata issue", "href": "https://good/"}],
        "assets": {"tas_day_1.nc": {"alternate": {"b.org": {"href": "https://b.org/new"}}}}}')$q$);
CREATE FUNCTION pg_temp.merge() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    MERGE INTO esgf_stac.item t USING (SELECT id, pg_temp.item(id, 5, '{"title": "a", "note": "n"}') AS document FROM unnest('{a.v1,new.v1}'::text[]) id) s ON t.id = s.id
     WHEN MATCHED THEN UPDATE SET document = s.document WHEN NOT MATCHED THEN INSERT (collection_id, id, document) VALUES ('CMIP6', s.id, s.document); END $$;
CREATE FUNCTION pg_temp.all_become(nothing text, links text, everything text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT is(pg_temp.becomes(query), CASE judged WHEN 'all' THEN everything WHEN 'links' THEN links ELSE nothing END, what) FROM change $$;

SELECT diag('a schema that takes no such item');
SELECT esgf_stac.add_schema('https://s.org/cmip6/v1.0.0/schema.json', pg_temp.schema('["z"]', '^https://good/'), 'cv 2') AS ignored \gset
SELECT pg_temp.all_become('kept', 'kept', 'stac-validation');
SELECT is(pg_temp.becomes($$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '[{"op": "add", "path": "/links/-", "value": {"rel": "cite-as", "href": "https://ill/"}}]')$$), 'stac-validation', 'an appended link is judged for itself');
SELECT is(pg_temp.becomes($$SELECT changed FROM esgf_stac.patch_item('CMIP6', 'a.v1', '{"properties": {"title": "a"}}')$$), 'false', 'a change of nothing is not judged');
SELECT is(pg_temp.becomes($$SELECT problem #>> '{errors,0,pointer}' FROM esgf_stac.import_items(ARRAY[pg_temp.item('new.v1')])$$), '/properties/title', 'nor is anything imported');
SELECT is(pg_temp.becomes($$SELECT problem #>> '{errors,0,keyword}' FROM esgf_stac.ingest('s', 0, jsonb_build_array(jsonb_build_object('offset', 0, 'value', jsonb_build_object('data', jsonb_build_object('type', 'STAC',
    'payload', jsonb_build_object('method', 'POST', 'collection_id', 'CMIP6', 'item', pg_temp.item('new.v1'))), 'metadata',
    '{"auth": {"auth_policy_id": null, "requester_data": {"client_id": "c", "iss": "i", "sub": "s"}}, "event_id": "e", "request_id": "r", "publisher": {"package": "p", "version": "1"}, "time": "2026-07-17T09:18:58Z", "schema_version": "1.0.0"}'::jsonb))))$$),
    'enum', 'or taken in');
SELECT is((SELECT array_agg(status ORDER BY ordinal) FROM esgf_stac.transact('[{"method": "PATCH", "collection_id": "CMIP6", "item_id": "a.v1", "patch": {"properties": {"title": "z"}}},
    {"method": "PATCH", "collection_id": "CMIP6", "item_id": "b.v1", "patch": {"properties": {"note": "n"}}}]', false)), '{200,400}', 'transact judges each for itself');
SELECT is(pg_temp.affixed('a.v1'), 'cmip6 2', 'and affixes to what is good');
SELECT is(pg_temp.affixed('b.v1'), 'cmip6 1', 'nothing else');

SELECT diag('a schema that takes them again');
SELECT esgf_stac.add_schema('https://s.org/cmip6/v1.0.0/schema.json', pg_temp.schema('["a", "z"]', '^https:'), 'cv 3') AS ignored \gset
SELECT pg_temp.all_become('kept', 'kept', 'by cmip6 3');

SELECT diag('nothing is judged');
SELECT esgf_stac.configure_collection('CMIP6', '{"schema_mode": "off"}') AS ignored \gset
SELECT pg_temp.all_become('kept', 'kept', 'null');


-- ---------------------------------------------------------------- extensions

-- What a POST of an item that declares these is told, in a collection with these settings.
CREATE FUNCTION pg_temp.told(schemas jsonb, unknown text, VARIADIC extensions text[]) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM esgf_stac.configure_collection('CMIP6', jsonb_build_object('schemas', schemas, 'unknown_schemas', unknown));
    RETURN (SELECT concat_ws('; ', substr(o.problem ->> 'type', length('https://esgf.io/publication/errors/') + 1), o.action,
                (SELECT string_agg(concat_ws(' ', e ->> 'pointer', e ->> 'keyword', split_part(e ->> 'url', '/', 4)), '; ' ORDER BY n) FROM jsonb_array_elements(o.problem -> 'errors') WITH ORDINALITY l (e, n)))
              FROM esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'POST', 'collection_id', 'CMIP6',
                       'item', pg_temp.item('new.v1') || jsonb_build_object('stac_extensions', extensions))), false) o);
END $$;
CREATE FUNCTION pg_temp.post(schemas jsonb, unknown text, VARIADIC extensions text[]) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING errcode = 'ZZ001', message = pg_temp.told(schemas, unknown, VARIADIC extensions);
EXCEPTION WHEN SQLSTATE 'ZZ001' THEN RETURN SQLERRM; END $$;

SELECT esgf_stac.configure_collection('CMIP6', '{"schema_mode": "enforce"}') AS ignored \gset
SELECT esgf_stac.add_schema('https://s.org/' || path, document::jsonb) FROM (VALUES
    ('file/v1.0.0/s.json', '{"required": ["geometry"]}'), ('file/v1.2.9/s.json', '{"required": ["id"]}'), ('file/v1.2.10/s.json', '{}'), ('file/v01.3/s.json', '{}'), ('file/dev-latest/s.json', '{}'),
    ('file/v1.2.x/s.json', '{}'), ('bad/1/s.json', '{"required": ["a: b/c", "d"], "not": {"$ref": "common.json#/definitions/none"}}'), ('bad/1/common.json', '{"definitions": {"none": {"required": ["type"]}}}'),
    ('away/1/s.json', '{"$ref": "nowhere.json"}')) s (path, document) \g /dev/null
CREATE TEMP VIEW url AS SELECT 'https://s.org/cmip6/v1.0.0/schema.json' AS cmip6, 'https://s.org/file/v1.2.9/s.json' AS file, 'https://s.org/x/1/s.json' AS unknown, 'https://s.org/away/1/s.json' AS away;
CREATE FUNCTION pg_temp.minimum(minimum text, version text) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.post(jsonb_build_array(jsonb_build_object('prefix', 'https://s.org/file/', 'minimum', minimum)), 'ignore', 'https://s.org/file/' || version || '/s.json') $$;

SELECT is(pg_temp.post(NULL, 'ignore', cmip6, unknown), 'published', 'what is not known is ignored') FROM url;
SELECT is(pg_temp.post('[]', 'ignore', VARIADIC '{}'), 'published', 'as is who declares nothing');
SELECT is(pg_temp.post('[]', 'refuse', cmip6, cmip6), 'unexpected-extension; /stac_extensions/0 cmip6', 'or it is refused, once') FROM url;
SELECT is(pg_temp.post('[{"prefix": "https://s.org/cmip6/"}]', 'refuse', cmip6, cmip6 || '#'), 'published', 'what is expected passes') FROM url;
SELECT is(pg_temp.post('[{"prefix": "https://s.org/"}]', 'refuse', cmip6, unknown), 'unexpected-extension; /stac_extensions/1 x', 'but not what has no schema in force') FROM url;
SELECT is(pg_temp.post('[{"prefix": "https://s.org/"}]', 'ignore', cmip6, unknown), 'unexpected-extension; /stac_extensions/1 x', 'even where others are ignored') FROM url;
SELECT is(pg_temp.post('[{"prefix": "https://s.org/x/", "required": true}]', 'ignore', cmip6, unknown), 'unexpected-extension; /stac_extensions/1 x', 'or nobody''s URL would do for what is required') FROM url;
SELECT is(pg_temp.post('[]', 'ignore', cmip6, away), 'published', 'a schema whose references lead nowhere is not in force') FROM url;
SELECT is(pg_temp.post('[{"prefix": "https://s.org/away/"}]', 'ignore', away), 'unexpected-extension; /stac_extensions/0 away', 'nor known') FROM url;
SELECT is(pg_temp.post('[{"prefix": "https://s.org/file/", "required": true}, {"prefix": "https://s.org/cmip6/", "required": true}]', 'ignore', file), 'expected-extension-missing; /stac_extensions', 'what is required is missing') FROM url;
SELECT is(pg_temp.post('[{"prefix": "https://s.org/file/", "required": true}, {"prefix": "https://s.org/cmip6/", "required": true}]', 'ignore', VARIADIC '{}'), 'expected-extension-missing; /stac_extensions; /stac_extensions', 'all of it');
SELECT is(pg_temp.post('[{"prefix": "https://s.org/file/", "minimum": "v2"}, {"prefix": "https://s.org/cmip6/", "required": true}]', 'refuse', unknown, file),
          'unexpected-extension; /stac_extensions/0 x; /stac_extensions/1 file; /stac_extensions', 'all that is wrong, first what is unexpected') FROM url;
SELECT is(pg_temp.post('[{"prefix": "https://s.org/file/", "minimum": "v2"}, {"prefix": "https://s.org/cmip6/", "required": true}]', 'ignore', unknown, file),
          'extension-below-minimum; /stac_extensions/1 file; /stac_extensions', 'then what is too old') FROM url;
SELECT is(pg_temp.minimum(minimum, version), answer, version || ' where ' || minimum || ' is asked for') FROM (VALUES
    ('v1.2.9', 'v1.2.9', 'published'), ('v1.2.9', 'v1.2.10', 'published'), ('1.2', 'v1.2.10', 'published'), ('v1.3.0.0', 'v01.3', 'published'),
    ('v1.2.10', 'v1.2.9', 'extension-below-minimum; /stac_extensions/0 file'), ('v1', 'dev-latest', 'extension-below-minimum; /stac_extensions/0 file'), ('v0', 'v1.2.x', 'extension-below-minimum; /stac_extensions/0 file'),
    ('v99999999999999999999', 'v1.2.9', 'extension-below-minimum; /stac_extensions/0 file'), ('v1.2.9.1', 'v1.2.9', 'extension-below-minimum; /stac_extensions/0 file')) v (minimum, version, answer);
SELECT is(pg_temp.post('[{"prefix": "https://s.org/", "minimum": "v9"}, {"prefix": "https://s.org/file/"}]', 'ignore', file), 'published', 'the longest prefix says it') FROM url;

-- ---------------------------------------------------------------- what is told

SELECT is(pg_temp.post(NULL, 'ignore', cmip6, 'https://s.org/bad/1/s.json', 'https://s.org/file/v1.0.0/s.json'),
          'stac-validation; /d required bad; /a: b~1c required bad;  not bad', 'all problems of all schemas, whatever is in their names') FROM url;
SELECT is(pg_temp.post('[{"prefix": "https://s.org/more/", "required": true}]', 'ignore', 'https://s.org/bad/1/s.json'), 'expected-extension-missing; /stac_extensions', 'after the extensions') FROM url;
SELECT pg_temp.refused($$SELECT esgf_stac.create_item('CMIP6', pg_temp.item('new.v1') - 'geometry')$$, 'PT400', 'stac-validation', 'after the structure');
SELECT pg_temp.refused($$SELECT esgf_stac.create_item('CMIP6', pg_temp.item('a.v1', 5, '{"title": "no"}'))$$, 'PT409', 'item-already-exists', 'after the state');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{"properties": {"title": "no"}}', 99)$$, 'PT412', 'version-conflict', 'after the version');
CREATE ROLE judged IN ROLE esgf_stac_writer;
SET LOCAL ROLE judged;
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{"properties": {"title": "no"}}')$$, 'PT400', 'stac-validation', 'before rights');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{"properties": {"title": "a"}}')$$, 'PT403', 'missing-permission', 'which are asked for then');
SELECT pg_temp.refused($$UPDATE esgf_stac.item SET validated_against = '[]' WHERE id = 'a.v1'$$, 'PT400', 'operation-not-permitted', 'by hand nothing is affixed');
SELECT throws_ok($$SELECT esgf_stac.revalidate('CMIP6')$$, '42501', NULL, 'nor is everything judged for everybody');
RESET ROLE;
SELECT is(pg_temp.becomes($$SELECT esgf_stac.create_item('CMIP6', pg_temp.item('new.v1') || '{"stac_extensions": ["https://s.org/file/v1.0.0/s.json"]}')$$), 'by file 1', 'each schema by itself');
SELECT esgf_stac.add_schema('https://s.org/draws/1/s.json', '{"allOf": [{"$ref": "more.json"}, {"$ref": "/file/v1.2.10/s.json"}]}'), esgf_stac.add_schema('https://s.org/draws/1/more.json', '{"$ref": "/bad/1/common.json#/definitions"}') \g /dev/null
SELECT is(pg_temp.becomes($$SELECT esgf_stac.create_item('CMIP6', pg_temp.item('new.v1') || '{"stac_extensions": ["https://s.org/file/v1.2.10/s.json", "https://s.org/draws/1/s.json", "https://s.org/cmip6/v1.0.0/schema.json"]}')$$),
          'by file 1, draws 1, cmip6 3, draws 1, bad 1', 'those that are declared, then those drawn on');

-- ---------------------------------------------------------------- warnings

SELECT esgf_stac.configure_collection('CMIP6', '{"schema_mode": "warn", "unknown_schemas": "refuse", "schemas": [{"prefix": "https://s.org/cmip6/"}, {"prefix": "https://s.org/file/", "required": true}]}') AS ignored \gset
CREATE FUNCTION pg_temp.warnings(item_id text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', w ->> 'slug', w ->> 'pointer', w ->> 'keyword', w ->> 'url', w ->> 'detail'), '; ' ORDER BY n) FROM pg_temp.last_event(item_id), jsonb_array_elements(warnings) WITH ORDINALITY l (w, n) $$;
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'a.v1', '{"properties": {"title": "no"}}')), 'updated', 'what would be refused passes');
SELECT is(pg_temp.affixed('a.v1'), 'cmip6 3 invalid', 'and is said to be invalid');
SELECT is(pg_temp.warnings('a.v1'), 'unexpected-extension /stac_extensions/1 https://s.org/nobody/knows/it.json must be one of the extensions that the collection expects; '
    'expected-extension-missing /stac_extensions must have an extension that begins with https://s.org/file/; stac-validation /properties/title enum https://s.org/cmip6/v1.0.0/schema.json must be one of "a", "z", not "no"', 'its event tells why');
SELECT is((SELECT action FROM esgf_stac.add_replica('CMIP6', 'b.v1', 'b.org', realistic.alternates(5, 'b.org'))), 'replica_added', 'what is not judged');
SELECT is(pg_temp.warnings('b.v1'), NULL, 'warns of nothing');
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'b.v1', '[{"op": "add", "path": "/links/-", "value": {"rel": "cite-as", "href": "ill"}}]')), 'updated', 'an appended link');
SELECT is(pg_temp.warnings('b.v1'), 'stac-validation /links/0/href pattern https://s.org/cmip6/v1.0.0/schema.json must match "^https:", not be "ill"', 'warns of itself alone');
SELECT is(pg_temp.affixed('b.v1'), 'cmip6 1', 'and affixes nothing');
SELECT is((SELECT action FROM esgf_stac.create_item('CMIP6', pg_temp.item('good.v1') || '{"stac_extensions": ["https://s.org/file/v1.2.9/s.json"]}')), 'published', 'what is good');
SELECT is((SELECT warnings FROM pg_temp.last_event('good.v1')), NULL, 'warns of nothing');
SELECT is(pg_temp.affixed('good.v1'), 'file 1', 'and is valid');

-- ---------------------------------------------------------------- revalidate

CREATE FUNCTION pg_temp.falls(url text DEFAULT NULL, revision int DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(line, '; ' ORDER BY line) FROM (SELECT concat_ws(' ', item_id, string_agg(concat_ws(' ', pointer, keyword), ', ')) FROM esgf_stac.revalidate('CMIP6', url, revision) GROUP BY item_id) r (line) $$;
SELECT esgf_stac.configure_collection('CMIP6', '{"schema_mode": "off", "unknown_schemas": "ignore", "schemas": null}') AS ignored \gset
SELECT pg_temp.state() AS before \gset
SELECT is(pg_temp.falls(), 'a.v1 /properties/title enum; b.v1 /links/0/href pattern', 'what would fall, whatever the mode, but not what is deleted');
SELECT is(pg_temp.falls('https://s.org/cmip6/v1.0.0/schema.json'), 'a.v1 /properties/title enum; b.v1 /links/0/href pattern', 'of those that declare it');
SELECT is(pg_temp.falls('https://s.org/file/v1.0.0/s.json'), NULL, 'another version alone is none');
SELECT esgf_stac.add_schema('https://s.org/file/v3/s.json', '{"properties": {"stac_extensions": {"maxItems": 1, "contains": {"const": "https://s.org/file/v3/s.json"}}}, "required": ["keywords"]}') \g /dev/null
SELECT is(pg_temp.falls('https://s.org/file/v3/s.json'), NULL, 'where it has no prefix');
SELECT esgf_stac.configure_collection('CMIP6', '{"schemas": [{"prefix": "https://s.org/file/"}, {"prefix": "https://s.org/"}]}') AS ignored \gset
SELECT is(pg_temp.falls('https://s.org/file/v3/s.json'), 'good.v1 /keywords required', 'is judged as if it were this one');
SELECT is(pg_temp.falls('https://s.org/cmip6/v1.0.0/schema.json#', 2), (SELECT string_agg(line, '; ' ORDER BY line) FROM (SELECT format('%s %s/properties/title enum', id, CASE id WHEN 'b.v1' THEN '/links/0/href pattern, ' END)
    FROM esgf_stac.item WHERE NOT deleted AND id <> 'good.v1') i (line)), 'by another revision');
SELECT esgf_stac.retire_schema('https://s.org/cmip6/v1.0.0/schema.json', n) FROM generate_series(1, 3) n \g /dev/null
SELECT is(pg_temp.falls('https://s.org/cmip6/v1.0.0/schema.json', 3), 'a.v1 /properties/title enum; b.v1 /links/0/href pattern', 'retired or not');
SELECT esgf_stac.configure_collection('CMIP6', '{"schemas": [{"prefix": "https://s.org/file/", "required": true}]}') AS ignored \gset
SELECT ok(pg_temp.falls() LIKE '200.v1 /stac_extensions expected-extension-missing; 40.v1 /stac_extensions expected-extension-missing;%', 'or by what is expected');
SELECT pg_temp.refused(query, state, slug, query) FROM (VALUES
    ($$SELECT esgf_stac.revalidate('CMIP6', 'https://s.org/cmip6/v1.0.0/schema.json')$$, 'PT404', 'schema-does-not-exist'), ($$SELECT esgf_stac.revalidate('CMIP6', 'https://s.org/cmip6/v1.0.0/schema.json', 9)$$, 'PT404', 'schema-does-not-exist'),
    ($$SELECT esgf_stac.revalidate('CMIP6', 'https://s.org/cmip6/v1.0.0/schema.json', 0)$$, 'PT404', 'schema-does-not-exist'), ($$SELECT esgf_stac.revalidate('CMIP6', NULL, 1)$$, 'PT400', 'bad-request'),
    ($$SELECT esgf_stac.revalidate(NULL)$$, 'PT400', 'bad-request'), ($$SELECT esgf_stac.revalidate('CMIP7')$$, 'PT404', 'collection-does-not-exist'),
    ($$SELECT esgf_stac.revalidate('CMIP6', 'https://s.org/away/1/s.json')$$, 'PT400', 'bad-schema')) q (query, state, slug);
SELECT is(pg_temp.state(), :'before', 'and nothing has changed');

SELECT * FROM finish();
ROLLBACK;
