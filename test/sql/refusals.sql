\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- Bad input to every verb: each is refused with its SQLSTATE and slug, leaves
-- every table as it was, and nothing in the backend that the next change meets.

-- What there is: items of every state, a collection that wants versions, one without items.
DO $$ BEGIN
    PERFORM esgf_stac.create_item('CMIP6', pg_temp.document(id)) FROM unnest('{witness,there.v1,there.v2,gone.v1,out.v1}'::text[]) id;
    PERFORM esgf_stac.delete_item('CMIP6', 'gone.v1');
    PERFORM esgf_stac.retract_item('CMIP6', 'out.v1');
    PERFORM esgf_stac.create_collection(pg_temp.collection_document(id)) FROM unnest('{strict,empty}'::text[]) id;
    PERFORM esgf_stac.create_item('strict', pg_temp.document('there.v1') - 'collection');
    PERFORM esgf_stac.create_item('strict', pg_temp.document('gone.v1') - 'collection');
    PERFORM esgf_stac.delete_item('strict', 'gone.v1');
    PERFORM esgf_stac.configure_collection('strict', '{"require_version": true}');
    PERFORM esgf_stac.create_stream('made');
    PERFORM esgf_stac.create_item('CMIP6', pg_temp.document('lines.v1', jsonb_build_object('assets',
        (SELECT jsonb_object_agg(key, jsonb_build_object('href', 'https://a.org/x', 'roles', '["data"]'::jsonb, 'alternate:name', E'x\r\nSet-Cookie: a=b'))
           FROM unnest(ARRAY[E'x\r\nSet-Cookie: a=b', 'f']) key))));
END $$;
CREATE ROLE esgf_stac_test_gateway IN ROLE esgf_stac_gateway;
CREATE ROLE esgf_stac_test_reader IN ROLE esgf_stac_reader;

-- Create the document of an item that is not there, one member of it replaced or, by NULL, removed.
CREATE FUNCTION pg_temp.create_with(path text[], value jsonb, more jsonb DEFAULT '{}') RETURNS esgf_stac.receipt LANGUAGE sql AS $$
    SELECT esgf_stac.create_item('CMIP6', CASE WHEN value IS NULL THEN pg_temp.document('new.v1') #- path ELSE jsonb_set(pg_temp.document('new.v1'), path, value) END || more)
$$;
-- One request, by transact.
CREATE FUNCTION pg_temp.request(request jsonb, atomic boolean DEFAULT true) RETURNS SETOF esgf_stac.outcome LANGUAGE sql AS $$
    SELECT * FROM esgf_stac.transact(jsonb_build_array(request), atomic)
$$;
-- What an expression of type jsonb comes to.
CREATE FUNCTION pg_temp.evaluated(expression text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    value jsonb;
BEGIN
    EXECUTE format('SELECT %s::jsonb', expression) INTO value;
    RETURN value;
END
$$;
-- Something of so many levels.
CREATE FUNCTION pg_temp.deep(levels int) RETURNS jsonb LANGUAGE sql AS $$ SELECT (repeat('[', levels) || repeat(']', levels))::jsonb $$;

CREATE TEMP TABLE refusal (n int GENERATED ALWAYS AS IDENTITY, query text, state text, slug text);

-- Arguments that must not be null, or name nothing.
INSERT INTO refusal (query, state, slug) VALUES
    ('esgf_stac.create_item(NULL, pg_temp.document($$new.v1$$))', 'PT400', 'bad-request'),
    ('esgf_stac.create_item($$CMIP6$$, NULL)', 'PT400', 'bad-request'),
    ('esgf_stac.create_item($$$$, pg_temp.document($$new.v1$$))', 'PT404', 'collection-does-not-exist'),
    ('esgf_stac.create_item($$cmip6$$, pg_temp.document($$new.v1$$))', 'PT404', 'collection-does-not-exist'),
    ('esgf_stac.create_item(repeat($$x$$, 1000000), pg_temp.document($$new.v1$$))', 'PT400', 'bad-request'),
    ('esgf_stac.replace_item(NULL, $$there.v1$$, pg_temp.document($$there.v1$$))', 'PT400', 'bad-request'),
    ('esgf_stac.replace_item($$CMIP6$$, NULL, pg_temp.document($$there.v1$$))', 'PT400', 'bad-request'),
    ('esgf_stac.replace_item($$CMIP6$$, $$there.v1$$, NULL)', 'PT400', 'bad-request'),
    ('esgf_stac.patch_item($$CMIP6$$, NULL, $${}$$)', 'PT400', 'bad-request'),
    ('esgf_stac.patch_item($$CMIP6$$, $$there.v1$$, NULL)', 'PT400', 'bad-request'),
    ('esgf_stac.delete_item(NULL, NULL)', 'PT400', 'bad-request'),
    ('esgf_stac.restore_item($$CMIP6$$, NULL)', 'PT400', 'bad-request'),
    ('esgf_stac.retract_item(NULL, $$there.v1$$)', 'PT400', 'bad-request'),
    ('esgf_stac.reinstate_item($$CMIP6$$, NULL)', 'PT400', 'bad-request'),
    ('esgf_stac.get_item($$CMIP6$$, NULL)', 'PT400', 'bad-request'),
    ('esgf_stac.get_item($$CMIP6$$, $$there.v1$$, NULL, NULL)', 'PT400', 'bad-request'),
    ('esgf_stac.create_collection(NULL)', 'PT400', 'bad-request'),
    ('esgf_stac.replace_collection(NULL, $${}$$)', 'PT400', 'bad-request'),
    ('esgf_stac.replace_collection($$CMIP6$$, NULL)', 'PT400', 'bad-request'),
    ('esgf_stac.patch_collection($$CMIP6$$, NULL)', 'PT400', 'bad-request'),
    ('esgf_stac.delete_collection(NULL)', 'PT400', 'bad-request'),
    ('esgf_stac.configure_collection(NULL, $${}$$)', 'PT400', 'bad-request'),
    ('esgf_stac.configure_collection($$CMIP6$$, NULL)', 'PT400', 'bad-request'),
    ('esgf_stac.transact(NULL)', 'PT400', 'bad-request'),
    ('esgf_stac.transact($$[]$$, NULL)', 'PT400', 'bad-request');

-- Items that are not there, in each state of absence.
INSERT INTO refusal (query, state, slug)
SELECT format('esgf_stac.%s(%L, %L%s)', verb, collection_id, item_id, argument), 'PT404', slug
  FROM (VALUES ('replace_item', ', pg_temp.document($$there.v1$$)'), ('patch_item', ', $${}$$'), ('delete_item', ''), ('restore_item', ''),
               ('retract_item', ''), ('reinstate_item', ''), ('get_item', '')) AS v(verb, argument),
       (VALUES ('CMIP6', 'nobody.v1', 'item-does-not-exist'), ('CMIP6', 'gone.v1', 'item-does-not-exist'), ('CMIP6', '', 'item-does-not-exist'),
               ('CMIP7', 'there.v1', 'collection-does-not-exist')) AS i(collection_id, item_id, slug)
 WHERE NOT (verb = 'restore_item' AND item_id = 'gone.v1');

-- Documents that are no STAC items: nothing of an object, a member missing, a member wrong.
INSERT INTO refusal (query, state, slug)
SELECT format('esgf_stac.%s(%L%s, %L)', verb, 'CMIP6', id, document), 'PT400', 'stac-validation'
  FROM (VALUES ('create_item', ''), ('replace_item', ', $$there.v1$$')) AS v(verb, id),
       unnest(ARRAY['null', 'true', '1', '"x"', '[]', '[{}]', '{}', '{"id": "new.v1"}', '{"id": "new.v1", "properties": 1}']) document;
INSERT INTO refusal (query, state, slug)
SELECT format('pg_temp.create_with(%L, NULL)', path), 'PT400', 'stac-validation'
  FROM unnest(ARRAY['{type}', '{stac_version}', '{id}', '{geometry}', '{assets}', '{properties}', '{properties,datetime}', '{properties,start_datetime}', '{assets,tas.nc,href}']) path;
INSERT INTO refusal (query, state, slug)
SELECT format('pg_temp.create_with(%L, %s)', path, value), 'PT400', 'stac-validation'
  FROM (VALUES
    ('{id}', '$$null$$'), ('{id}', '$$7$$'), ('{id}', '$$""$$'), ('{id}', '$$"a/b"$$'), ('{id}', '$$"a?b"$$'), ('{id}', '$$"a#b"$$'), ('{id}', '$$"a\u0007b"$$'),
    ('{id}', 'to_jsonb(repeat($$x$$, 256))'), ('{id}', 'to_jsonb(repeat($$x$$, 1000000))'), ('{id}', '$$["new.v1"]$$'),
    ('{type}', '$$"Coverage"$$'), ('{type}', '$$null$$'), ('{stac_version}', '$$1.1$$'), ('{stac_version}', '$$"0.9.0"$$'),
    ('{collection}', '$$"CMIP7"$$'), ('{collection}', '$$7$$'),
    ('{geometry}', '$${}$$'), ('{geometry}', '$$[]$$'), ('{geometry}', '$${"type": "Point", "coordinates": [1, 2]}$$'),
    ('{bbox}', '$$[1, 2, 3]$$'), ('{bbox}', '$$["1", "2", "3", "4"]$$'), ('{bbox}', '$$[0, 0, 1e400, 1]$$'),
    ('{links}', '$${}$$'), ('{links}', '$$[{"rel": "self"}]$$'), ('{links}', '$$[{"rel": 1, "href": "x"}]$$'), ('{links}', '(SELECT jsonb_agg(i) FROM generate_series(1, 20000) i)'),
    ('{assets}', '$$[]$$'), ('{assets}', '$${"a": "b"}$$'), ('{assets,tas.nc,href}', '$$""$$'), ('{assets,tas.nc,roles}', '$$"data"$$'), ('{assets,tas.nc,alternate}', '$${"b.org": {}}$$'),
    ('{assets,tas.nc,alternate}', '$${}$$'),
    ('{properties}', '$$[]$$'), ('{properties}', '$$null$$'), ('{properties,datetime}', '$$"yesterday"$$'), ('{properties,datetime}', '$$"2000-02-30T00:00:00Z"$$'),
    ('{properties,latest}', '$$"yes"$$'), ('{properties,retracted}', '$$0$$'), ('{properties,base_id}', '$$"there"$$'), ('{properties,version}', '$$"2"$$'), ('{properties,version}', '$$1$$'),
    ('{properties,title}', 'pg_temp.deep(5000)'), ('{stac_extensions}', '$$"x"$$'), ('{stac_extensions}', '$$["ftp://x"]$$'), ('{geometry}', 'pg_temp.deep(5000)')
  ) AS t(path, value);
INSERT INTO refusal (query, state, slug) VALUES
    ('pg_temp.create_with($${id}$$, $$"there.v1"$$)', 'PT409', 'item-already-exists'),
    ('pg_temp.create_with($${id}$$, $$"out.v1"$$)', 'PT409', 'item-already-exists'),
    ('pg_temp.create_with($${id}$$, $$"there.v3"$$, $${"properties": {"datetime": "2000-01-01T00:00:00Z", "cmip6:institution_id": "NCAR"}}$$)', 'PT409', 'institution-differs'),
    ('pg_temp.create_with($${properties,x}$$, pg_temp.deep(1000000))', '54001', NULL),
    ('pg_temp.create_with($${properties,x}$$, $${"a":$$)', '22P02', NULL),
    ('esgf_stac.replace_item($$CMIP6$$, $$there.v1$$, pg_temp.document($$there.v2$$))', 'PT400', 'stac-validation'),
    ('esgf_stac.replace_item($$CMIP6$$, $$there.v1$$, pg_temp.document($$there.v1$$) - $$type$$)', 'PT400', 'stac-validation'),
    ('esgf_stac.replace_item($$CMIP6$$, $$out.v1$$, pg_temp.document($$out.v1$$, $${"bbox": [0, 0, 1, 1]}$$))', 'PT409', 'item-retracted');

-- Patches.
INSERT INTO refusal (query, state, slug)
SELECT format('esgf_stac.patch_item(%L, %L, %s)', 'CMIP6', 'there.v1', patch), state, slug
  FROM (VALUES
    ('$$null$$', 'PT400', 'bad-patch'), ('$$true$$', 'PT400', 'bad-patch'), ('$$7$$', 'PT400', 'bad-patch'), ('$$"x"$$', 'PT400', 'bad-patch'),
    ('$$[1]$$', 'PT400', 'bad-patch'), ('$$[{}]$$', 'PT400', 'bad-patch'), ('$$[[]]$$', 'PT400', 'bad-patch'), ('$$[{"op": "add", "path": "/x"}]$$', 'PT400', 'bad-patch'),
    ('$$[{"op": "put", "path": "/x", "value": 1}]$$', 'PT400', 'bad-patch'), ('$$[{"op": "remove", "path": "x"}]$$', 'PT400', 'bad-patch'),
    ('$$[{"op": "remove", "path": "/~2"}]$$', 'PT400', 'bad-patch'), ('$$[{"op": "remove", "path": 7}]$$', 'PT400', 'bad-patch'),
    ('$$[{"op": "move", "from": "/properties", "path": "/properties/x"}]$$', 'PT400', 'bad-patch'), ('$$[{"op": "copy", "path": "/x"}]$$', 'PT400', 'bad-patch'),
    ('$${"operations": {}}$$', 'PT400', 'bad-patch'), ('$${"id": "there.v1", "patch": []}$$', 'PT400', 'bad-patch'),
    ('$${"type": null, "geometry": null, "links": null}$$', 'PT400', 'bad-patch'), ('$${"assets": null}$$', 'PT400', 'bad-patch'),
    ('(SELECT jsonb_agg($${"op": "add", "path": "/properties/x", "value": 1}$$::jsonb) || $$[{"op": "add"}]$$ FROM generate_series(1, 20000))', 'PT400', 'bad-patch'),
    ('$$[{"op": "remove", "path": "/x"}]$$', 'PT409', 'patch-does-not-apply'), ('$$[{"op": "replace", "path": "/properties/x", "value": 1}]$$', 'PT409', 'patch-does-not-apply'),
    ('$$[{"op": "add", "path": "/properties/title", "value": "t"}, {"op": "test", "path": "/type", "value": "x"}]$$', 'PT409', 'patch-does-not-apply'),
    ('$$[{"op": "add", "path": "/links/7", "value": {}}]$$', 'PT409', 'patch-does-not-apply'), ('$$[{"op": "remove", "path": ""}]$$', 'PT409', 'patch-does-not-apply'),
    ('jsonb_build_array(jsonb_build_object($$op$$, $$remove$$, $$path$$, repeat($$/a$$, 100000)))', 'PT409', 'patch-does-not-apply'),
    ('(SELECT jsonb_agg($${"op": "add", "path": "/properties/x", "value": 1}$$::jsonb) || $$[{"op": "remove", "path": "/y"}]$$ FROM generate_series(1, 20000))', 'PT409', 'patch-does-not-apply'),
    ('$$[{"op": "replace", "path": "", "value": 7}]$$', 'PT400', 'stac-validation'), ('$$[{"op": "replace", "path": "", "value": []}]$$', 'PT400', 'stac-validation'),
    ('$$[{"op": "replace", "path": "/properties", "value": "x"}]$$', 'PT400', 'stac-validation'), ('$$[{"op": "remove", "path": "/assets"}]$$', 'PT400', 'stac-validation'),
    ('$${"properties": 7}$$', 'PT400', 'stac-validation'), ('$${"properties": {"datetime": 7}}$$', 'PT400', 'stac-validation'),
    ('$${"properties": {"latest": "no"}}$$', 'PT400', 'stac-validation'), ('$${"properties": {"retracted": 1}}$$', 'PT400', 'stac-validation'),
    ('$${"id": "other"}$$', 'PT400', 'stac-validation'), ('$${"collection": "empty"}$$', 'PT400', 'stac-validation'), ('$${"assets": 7}$$', 'PT400', 'stac-validation'),
    ('$${"assets": {"tas.nc": 7}}$$', 'PT400', 'stac-validation'), ('$${"geometry": {"type": "Point"}}$$', 'PT400', 'stac-validation'),
    ('jsonb_build_object($$geometry$$, pg_temp.deep(5000))', 'PT400', 'stac-validation'),
    ('$${"properties": {"title": "t"}}$$, 0', 'PT412', 'version-conflict'), ('$${"properties": {"title": "t"}}$$, -1', 'PT412', 'version-conflict'),
    ('$${}$$, 9223372036854775807', 'PT412', 'version-conflict'), ('$${}$$, 1', 'PT412', 'version-conflict')
  ) AS t(patch, state, slug);
INSERT INTO refusal (query, state, slug) VALUES
    ('esgf_stac.patch_item($$CMIP6$$, $$out.v1$$, $${"properties": {"title": "t"}}$$)', 'PT409', 'item-retracted'),
    ('esgf_stac.patch_item($$CMIP6$$, $$out.v1$$, $${"properties": {"retracted": false, "title": "t"}}$$)', 'PT409', 'item-retracted'),
    ('esgf_stac.patch_item($$CMIP6$$, $$nobody$$, $$[{"op": "add"}]$$)', 'PT400', 'bad-patch');

-- Conditions of the other verbs.
INSERT INTO refusal (query, state, slug) VALUES
    ('esgf_stac.replace_item($$CMIP6$$, $$there.v1$$, pg_temp.document($$there.v1$$), 7)', 'PT412', 'version-conflict'),
    ('esgf_stac.delete_item($$CMIP6$$, $$there.v1$$, 7)', 'PT412', 'version-conflict'),
    ('esgf_stac.restore_item($$CMIP6$$, $$gone.v1$$, 7)', 'PT412', 'version-conflict'),
    ('esgf_stac.restore_item($$CMIP6$$, $$there.v1$$)', 'PT409', 'item-already-exists'),
    ('esgf_stac.retract_item($$CMIP6$$, $$there.v1$$, 7)', 'PT412', 'version-conflict'),
    ('esgf_stac.reinstate_item($$CMIP6$$, $$out.v1$$, 7)', 'PT412', 'version-conflict'),
    ('esgf_stac.patch_item($$strict$$, $$there.v1$$, $${}$$)', 'PT428', 'version-required'),
    ('esgf_stac.replace_item($$strict$$, $$there.v1$$, pg_temp.document($$there.v1$$))', 'PT428', 'version-required'),
    ('esgf_stac.delete_item($$strict$$, $$there.v1$$)', 'PT428', 'version-required'),
    ('esgf_stac.restore_item($$strict$$, $$gone.v1$$)', 'PT428', 'version-required'),
    ('esgf_stac.retract_item($$strict$$, $$there.v1$$)', 'PT428', 'version-required'),
    ('esgf_stac.reinstate_item($$strict$$, $$there.v1$$)', 'PT428', 'version-required'),
    ('esgf_stac.get_item($$CMIP6$$, $$there.v1$$, 0)', 'PT404', 'version-pruned'),
    ('esgf_stac.get_item($$CMIP6$$, $$there.v1$$, 9223372036854775807)', 'PT404', 'version-pruned');

-- Replicas.
INSERT INTO refusal (query, state, slug)
SELECT format('esgf_stac.%s', call), state, slug
  FROM (VALUES
    ('add_replica(NULL, $$there.v1$$, $$b.org$$, $${"tas.nc": {"href": "https://b.org/tas.nc"}}$$)', 'PT400', 'bad-request'),
    ('add_replica($$CMIP6$$, $$there.v1$$, NULL, $${"tas.nc": {"href": "https://b.org/tas.nc"}}$$)', 'PT400', 'bad-request'),
    ('add_replica($$CMIP6$$, $$there.v1$$, $$b.org$$, NULL)', 'PT400', 'bad-request'),
    ('add_replica($$CMIP6$$, $$there.v1$$, $$b.org$$, $$[]$$)', 'PT400', 'bad-request'),
    ('add_replica($$CMIP6$$, $$there.v1$$, $$b.org$$, $$"x"$$)', 'PT400', 'bad-request'),
    ('add_replica($$CMIP6$$, $$there.v1$$, $$b.org$$, $${"tas.nc": {"href": ""}}$$)', 'PT400', 'stac-validation'),
    ('add_replica($$CMIP6$$, $$there.v1$$, $$b.org$$, $${"nothing.nc": {"href": "https://b.org/x"}}$$)', 'PT409', 'patch-does-not-apply'),
    ('add_replica($$CMIP6$$, $$there.v1$$, $$b.org$$, $${"tas.nc": {"href": "https://b.org/tas.nc"}}$$, 7)', 'PT412', 'version-conflict'),
    ('add_replica($$CMIP6$$, $$out.v1$$, $$b.org$$, $${"tas.nc": {"href": "https://b.org/tas.nc"}}$$)', 'PT409', 'item-retracted'),
    ('add_replica($$CMIP6$$, $$gone.v1$$, $$b.org$$, $${"tas.nc": {"href": "https://b.org/tas.nc"}}$$)', 'PT404', 'item-does-not-exist'),
    ('add_replica($$CMIP7$$, $$there.v1$$, $$b.org$$, $${"tas.nc": {"href": "https://b.org/tas.nc"}}$$)', 'PT404', 'collection-does-not-exist'),
    ('remove_replica($$CMIP6$$, $$there.v1$$, NULL)', 'PT400', 'bad-request'),
    ('remove_replica($$CMIP6$$, $$there.v1$$, $$b.org$$)', 'PT404', 'replica-does-not-exist'),
    ('remove_replica($$CMIP6$$, $$there.v1$$, $$a.org$$)', 'PT409', 'last-replica'),
    ('remove_replica($$CMIP6$$, $$there.v1$$, $$a.org$$, 7)', 'PT412', 'version-conflict'),
    ('remove_replica($$CMIP6$$, $$nobody.v1$$, $$a.org$$)', 'PT404', 'item-does-not-exist')
  ) AS t(call, state, slug);

-- Collections and streams.
INSERT INTO refusal (query, state, slug) VALUES
    ('esgf_stac.create_collection($$[]$$)', 'PT400', 'stac-validation'), ('esgf_stac.create_collection($$7$$)', 'PT400', 'stac-validation'),
    ('esgf_stac.create_collection(pg_temp.collection_document($$a/b$$))', 'PT400', 'stac-validation'),
    ('esgf_stac.create_collection(pg_temp.collection_document(repeat($$x$$, 256)))', 'PT400', 'stac-validation'),
    ('esgf_stac.create_collection(pg_temp.collection_document($$x$$) - $$extent$$)', 'PT400', 'stac-validation'),
    ('esgf_stac.create_collection(pg_temp.collection_document($$x$$) || $${"id": 7}$$)', 'PT400', 'stac-validation'),
    ('esgf_stac.create_collection(pg_temp.collection_document($$collection$$))', 'PT400', 'stac-validation'),
    ('esgf_stac.create_collection(pg_temp.collection_document($$CMIP6$$))', 'PT409', 'collection-already-exists'),
    ('esgf_stac.replace_collection($$CMIP7$$, pg_temp.collection_document($$CMIP7$$))', 'PT404', 'collection-does-not-exist'),
    ('esgf_stac.replace_collection($$CMIP6$$, pg_temp.collection_document($$CMIP7$$))', 'PT400', 'stac-validation'),
    ('esgf_stac.replace_collection($$CMIP6$$, $$[]$$)', 'PT400', 'stac-validation'),
    ('esgf_stac.patch_collection($$CMIP7$$, $${}$$)', 'PT404', 'collection-does-not-exist'),
    ('esgf_stac.patch_collection($$CMIP6$$, $$7$$)', 'PT400', 'bad-patch'),
    ('esgf_stac.patch_collection($$CMIP6$$, $${"extent": null}$$)', 'PT400', 'stac-validation'),
    ('esgf_stac.patch_collection($$CMIP6$$, $$[{"op": "remove", "path": "/x"}]$$)', 'PT409', 'patch-does-not-apply'),
    ('esgf_stac.delete_collection($$CMIP7$$)', 'PT404', 'collection-does-not-exist'),
    ('esgf_stac.delete_collection($$CMIP6$$)', 'PT409', 'collection-not-empty'),
    ('esgf_stac.configure_collection($$CMIP7$$, $${}$$)', 'PT404', 'collection-does-not-exist'),
    ('esgf_stac.configure_collection($$CMIP6$$, $$[]$$)', 'PT400', 'bad-request'),
    ('esgf_stac.configure_collection($$CMIP6$$, $${"stamp_times": false, "stamp_tmes": false}$$)', 'PT400', 'bad-request'),
    ('esgf_stac.configure_collection($$CMIP6$$, $${"stamp_times": "no"}$$)', 'PT400', 'bad-request'),
    ('esgf_stac.create_stream(NULL)', 'PT400', 'bad-request'), ('esgf_stac.create_stream($$$$)', 'PT400', 'bad-request'),
    ('esgf_stac.create_stream($$A b$$)', 'PT400', 'bad-request'), ('esgf_stac.create_stream(repeat($$x$$, 51))', 'PT400', 'bad-request'),
    ('esgf_stac.create_stream($$made$$)', 'PT400', 'operation-not-permitted'), ('esgf_stac.create_stream($$s$$, $${}$$)', 'PT400', 'bad-request'),
    ('esgf_stac.create_stream($$s$$, ARRAY[NULL])', 'PT400', 'bad-request'), ('esgf_stac.create_stream($$s$$, NULL, $$$.properties$$)', 'PT400', 'bad-request'),
    ('esgf_stac.drop_stream(NULL)', 'PT400', 'bad-request'), ('esgf_stac.drop_stream($$s$$)', 'PT400', 'bad-request'),
    ('esgf_stac.refresh_stream(NULL)', 'PT400', 'bad-request'), ('esgf_stac.refresh_stream($$s$$)', 'PT400', 'bad-request');

-- transact: the whole call, and single requests in one that is atomic.
INSERT INTO refusal (query, state, slug)
SELECT format('esgf_stac.transact(%s)', requests), 'PT400', 'bad-request'
  FROM unnest(ARRAY['$${}$$', '$$null$$', '$$7$$', '$$"x"$$', '(SELECT jsonb_agg(i) FROM generate_series(1, 1001) i)', 'to_jsonb(1)']) requests;
INSERT INTO refusal (query, state, slug)
SELECT format('pg_temp.request(%s)', CASE WHEN request LIKE '{%' THEN quote_literal(request) ELSE request END), state, slug
  FROM (VALUES
    ('$$null$$', 'PT400', 'bad-request'), ('$$[]$$', 'PT400', 'bad-request'), ('{}', 'PT400', 'bad-request'),
    ('{"method": "GET", "collection_id": "CMIP6", "item_id": "there.v1"}', 'PT400', 'bad-request'),
    ('{"method": "delete", "collection_id": "CMIP6", "item_id": "there.v1"}', 'PT400', 'bad-request'),
    ('{"method": null, "collection_id": "CMIP6", "item_id": "there.v1"}', 'PT400', 'bad-request'),
    ('{"method": ["DELETE"], "collection_id": "CMIP6", "item_id": "there.v1"}', 'PT400', 'bad-request'),
    ('{"method": "DELETE", "item_id": "there.v1"}', 'PT400', 'bad-request'),
    ('{"method": "DELETE", "collection_id": 7, "item_id": "there.v1"}', 'PT400', 'bad-request'),
    ('{"method": "DELETE", "collection_id": "CMIP6"}', 'PT400', 'bad-request'),
    ('{"method": "DELETE", "collection_id": "CMIP6", "item_id": null}', 'PT400', 'bad-request'),
    ('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "there.v1", "ifmatch": 2}', 'PT400', 'bad-request'),
    ('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "there.v1", "if_match": "2"}', 'PT400', 'bad-request'),
    ('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "there.v1", "if_match": 1.5}', 'PT400', 'bad-request'),
    ('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "there.v1", "if_match": -1}', 'PT400', 'bad-request'),
    ('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "there.v1", "if_match": 1e100}', 'PT400', 'bad-request'),
    ('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "there.v1", "if_unmodified_since": "yesterday"}', 'PT400', 'bad-request'),
    ('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "there.v1", "if_unmodified_since": 7}', 'PT400', 'bad-request'),
    ('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "there.v1", "reason": 7}', 'PT400', 'bad-request'),
    ('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "there.v1", "request_id": ""}', 'PT400', 'bad-request'),
    ('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "there.v1", "patch": {}}', 'PT400', 'bad-request'),
    ('{"method": "PATCH", "collection_id": "CMIP6", "item_id": "there.v1"}', 'PT400', 'bad-request'),
    ('{"method": "PUT", "collection_id": "CMIP6", "item_id": "there.v1"}', 'PT400', 'bad-request'),
    ('{"method": "POST", "collection_id": "CMIP6"}', 'PT400', 'bad-request'),
    ('{"method": "POST", "collection_id": "CMIP6", "item_id": "a.v1", "item": {"id": "b.v1"}}', 'PT400', 'bad-request'),
    ('{"method": "POST", "collection_id": "CMIP6", "item": null}', 'PT400', 'stac-validation'),
    ('{"method": "POST", "collection_id": "CMIP6", "item": {}}', 'PT400', 'stac-validation'),
    ('{"method": "UPSERT", "collection_id": "CMIP6", "item": []}', 'PT400', 'stac-validation'),
    ('{"method": "PUT", "collection_id": "CMIP6", "item_id": "there.v1", "item": []}', 'PT400', 'stac-validation'),
    ('{"method": "PATCH", "collection_id": "CMIP6", "item_id": "there.v1", "patch": 7}', 'PT400', 'bad-patch'),
    ('{"method": "PATCH", "collection_id": "CMIP6", "item_id": "there.v1", "patch": [{"op": "remove", "path": "/x"}]}', 'PT409', 'patch-does-not-apply'),
    ('{"method": "PATCH", "collection_id": "CMIP7", "item_id": "there.v1", "patch": {}}', 'PT404', 'collection-does-not-exist'),
    ('{"method": "PATCH", "collection_id": "CMIP6", "item_id": "nobody", "patch": {}}', 'PT404', 'item-does-not-exist'),
    ('{"method": "CHECK", "collection_id": "CMIP6", "item_id": "nobody"}', 'PT404', 'item-does-not-exist'),
    ('{"method": "CHECK", "collection_id": "CMIP6", "item_id": "nobody", "if_match": 1}', 'PT404', 'item-does-not-exist'),
    ('{"method": "CHECK", "collection_id": "CMIP6", "item_id": "there.v1", "if_match": 0}', 'PT412', 'version-conflict'),
    ('{"method": "RETRACT", "collection_id": "CMIP6", "item_id": "there.v1", "if_unmodified_since": "2000-01-01T00:00:00Z"}', 'PT412', 'version-conflict'),
    ('{"method": "REINSTATE", "collection_id": "strict", "item_id": "there.v1"}', 'PT428', 'version-required'),
    ('{"method": "RESTORE", "collection_id": "CMIP6", "item_id": "there.v1"}', 'PT409', 'item-already-exists'),
    ('jsonb_build_object($$method$$, $$POST$$, $$collection_id$$, $$CMIP6$$, $$item$$, pg_temp.document($$there.v1$$))', 'PT409', 'item-already-exists'),
    ('jsonb_build_object($$method$$, $$UPSERT$$, $$collection_id$$, $$CMIP6$$, $$if_match$$, 1, $$item$$, pg_temp.document($$new.v1$$))', 'PT412', 'version-conflict'),
    ('{"method": "ADD_REPLICA", "collection_id": "CMIP6", "item_id": "there.v1", "node": "b.org"}', 'PT400', 'bad-request'),
    ('{"method": "ADD_REPLICA", "collection_id": "CMIP6", "item_id": "there.v1", "alternates": {}}', 'PT400', 'bad-request'),
    ('{"method": "REMOVE_REPLICA", "collection_id": "CMIP6", "item_id": "there.v1"}', 'PT400', 'bad-request'),
    ('{"method": "REMOVE_REPLICA", "collection_id": "CMIP6", "item_id": "there.v1", "node": "b.org"}', 'PT404', 'replica-does-not-exist'),
    ('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "there.v1", "node": "a.org"}', 'PT400', 'bad-request'),
    ('jsonb_build_object($$method$$, $$DELETE$$, $$collection_id$$, $$CMIP6$$, $$item_id$$, repeat($$x$$, 1000000))', 'PT400', 'bad-request')
  ) AS t(request, state, slug);
-- What an atomic call did before the refusal is undone: supersession, retraction, idempotency keys.
INSERT INTO refusal (query, state, slug)
SELECT format('esgf_stac.transact(jsonb_build_array(%s, %s))', good, bad), 'PT404', 'item-does-not-exist'
  FROM (VALUES ('jsonb_build_object($$method$$, $$POST$$, $$collection_id$$, $$CMIP6$$, $$item$$, pg_temp.document($$there.v3$$), $$request_id$$, $$k$$)'),
               ('$${"method": "DELETE", "collection_id": "CMIP6", "item_id": "there.v2"}$$::jsonb'),
               ('$${"method": "RETRACT", "collection_id": "CMIP6", "item_id": "there.v2", "request_id": "k"}$$::jsonb'),
               ('$${"method": "RESTORE", "collection_id": "CMIP6", "item_id": "gone.v1"}$$::jsonb')) AS g(good),
       (VALUES ('$${"method": "CHECK", "collection_id": "CMIP6", "item_id": "nobody"}$$::jsonb')) AS b(bad);

-- By hand.
INSERT INTO refusal (query, state, slug)
SELECT statement, 'PT400', slug
  FROM (VALUES
    ('INSERT INTO esgf_stac.item (collection_id, id) VALUES ($$CMIP6$$, $$new.v1$$)', 'bad-request'),
    ('INSERT INTO esgf_stac.item (id, document) VALUES ($$new.v1$$, pg_temp.document($$new.v1$$))', 'bad-request'),
    ('INSERT INTO esgf_stac.item (collection_id, id, document, latest) VALUES ($$CMIP6$$, $$new.v1$$, pg_temp.document($$new.v1$$), true)', 'operation-not-permitted'),
    ('INSERT INTO esgf_stac.item (collection_id, id, document, deleted) VALUES ($$CMIP6$$, $$new.v1$$, pg_temp.document($$new.v1$$), true)', 'operation-not-permitted'),
    ('INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ($$CMIP6$$, $$new.v1$$, pg_temp.document($$new.v2$$))', 'stac-validation'),
    ('INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ($$CMIP6$$, $$new.v1$$, pg_temp.document($$new.v1$$)), ($$CMIP6$$, $$there.v3$$, $$[]$$)', 'stac-validation'),
    ('UPDATE esgf_stac.item SET document = NULL', 'bad-request'), ('UPDATE esgf_stac.item SET deleted = NULL', 'bad-request'),
    ('UPDATE esgf_stac.item SET document = $$[]$$', 'stac-validation'), ('UPDATE esgf_stac.item SET document = document - $$type$$ WHERE id = $$there.v1$$', 'stac-validation'),
    ('UPDATE esgf_stac.item SET version = version + 1', 'operation-not-permitted'), ('UPDATE esgf_stac.item SET id = id || $$x$$', 'operation-not-permitted'),
    ('UPDATE esgf_stac.item SET collection_id = $$empty$$', 'operation-not-permitted'), ('UPDATE esgf_stac.item SET latest = NOT latest', 'operation-not-permitted'),
    ('UPDATE esgf_stac.item SET updated = now() + interval $$1 day$$', 'operation-not-permitted'), ('UPDATE esgf_stac.item SET base_id = NULL', 'operation-not-permitted'),
    ('DELETE FROM esgf_stac.item', 'operation-not-permitted'), ('TRUNCATE esgf_stac.item', 'operation-not-permitted'),
    ('DELETE FROM esgf_stac.dataset', 'operation-not-permitted'), ('TRUNCATE esgf_stac.dataset', 'operation-not-permitted'),
    ('DELETE FROM esgf_stac.outbox', 'operation-not-permitted'), ('TRUNCATE esgf_stac.outbox', 'operation-not-permitted'),
    ('DELETE FROM esgf_stac.collection', 'operation-not-permitted'), ('TRUNCATE esgf_stac.collection', 'operation-not-permitted'),
    ('DELETE FROM esgf_stac.access_rule', 'operation-not-permitted'), ('TRUNCATE esgf_stac.access_rule', 'operation-not-permitted'),
    ('UPDATE esgf_stac.collection SET version = version + 1', 'operation-not-permitted'), ('UPDATE esgf_stac.collection SET id = $$x$$ WHERE id = $$empty$$', 'operation-not-permitted'),
    ('UPDATE esgf_stac.collection SET document = NULL', 'bad-request'), ('UPDATE esgf_stac.collection SET document = $${}$$', 'stac-validation')
  ) AS t(statement, slug);
INSERT INTO refusal (query, state, slug) VALUES
    ('INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ($$CMIP7$$, $$new.v1$$, pg_temp.document($$new.v1$$))', 'PT404', 'collection-does-not-exist'),
    ('INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ($$CMIP6$$, $$gone.v1$$, pg_temp.document($$gone.v1$$))', '23505', 'item_pkey'),
    ('UPDATE esgf_stac.item SET document = jsonb_set(document, $${properties,title}$$, $$"t"$$) WHERE deleted', 'PT404', 'item-does-not-exist'),
    ('UPDATE esgf_stac.item SET document = jsonb_set(document, $${properties,title}$$, $$"t"$$) WHERE retracted', 'PT409', 'item-retracted');

-- Rules of access, and the outbox.
INSERT INTO refusal (query, state, slug)
SELECT format('esgf_stac.%s', call), state, slug
  FROM (VALUES
    ('grant_access(NULL, $$CREATE$$, $$project$$, $$CMIP6$$)', 'PT400', 'bad-request'),
    ('grant_access($$urn:x$$, $$BOSS$$, $$project$$, $$CMIP6$$)', 'PT400', 'bad-request'),
    ('grant_access($$urn:x$$, $$CREATE$$, $$world$$, $$CMIP6$$)', 'PT400', 'bad-request'),
    ('grant_access($$urn:x$$, $$CREATE$$, $$project$$, NULL)', 'PT400', 'bad-request'),
    ('revoke_access(NULL)', 'PT400', 'bad-request'),
    ('revoke_access(-1)', 'PT400', 'bad-request'),
    ('changes($$nonsense$$)', 'PT400', 'bad-request'),
    ('changes(NULL, 0)', 'PT400', 'bad-request'),
    ('changes(NULL, NULL)', 'PT400', 'bad-request'),
    ('prune_outbox(NULL)', 'PT400', 'bad-request'),
    ('redrive(NULL)', 'PT400', 'bad-request'),
    ('redrive($$nobody$$)', 'PT400', 'bad-request')
  ) AS t(call, state, slug);

-- Callers who may not.
INSERT INTO refusal (query, state, slug)
SELECT format('DO $d$ BEGIN SET LOCAL ROLE esgf_stac_test_%s; PERFORM %s; END $d$', caller, call), state, slug
  FROM (VALUES
    ('gateway', 'esgf_stac.patch_item($$CMIP6$$, $$there.v1$$, $${}$$)', 'PT401', 'identity-missing'),
    ('gateway', 'esgf_stac.transact($$[]$$)', 'PT401', 'identity-missing'),
    ('gateway', 'esgf_stac.transact($$[{"method": "DELETE", "collection_id": "CMIP6", "item_id": "there.v1"}]$$, true, $${"sub": "x", "principals": ["x\r\nSet-Cookie: a=b"]}$$)', 'PT400', 'bad-request'),
    ('gateway', 'esgf_stac.delete_collection($$empty$$)', '42501', NULL),
    ('reader', 'esgf_stac.delete_item($$CMIP6$$, $$there.v1$$)', '42501', NULL),
    ('reader', 'esgf_stac.transact($$[]$$)', '42501', NULL),
    ('reader', 'esgf_stac.get_item($$CMIP6$$, $$there.v1$$, NULL, true)', '42501', NULL),
    ('reader', 'esgf_stac.get_item($$CMIP6$$, $$gone.v1$$)', 'PT404', 'item-does-not-exist')
  ) AS t(caller, call, state, slug);
INSERT INTO refusal (query, state, slug) VALUES ('esgf_stac.transact($$[]$$, true, $${"sub": "x"}$$)', '42501', NULL);

-- Words of a caller's that would break a line, where a message repeats them.
INSERT INTO refusal (query, state, slug)
SELECT replace(call, 'BREAK', $$E'x\r\nSet-Cookie: a=b'$$), state, slug FROM (VALUES
    ('esgf_stac.create_item(BREAK, pg_temp.document($$new.v1$$))', 'PT404', 'collection-does-not-exist'),
    ('esgf_stac.get_item(BREAK, $$there.v1$$)', 'PT404', 'collection-does-not-exist'),
    ('esgf_stac.get_item($$CMIP6$$, BREAK)', 'PT404', 'item-does-not-exist'),
    ('esgf_stac.patch_item($$CMIP6$$, BREAK, $${}$$)', 'PT404', 'item-does-not-exist'),
    ('esgf_stac.add_replica($$CMIP6$$, $$there.v1$$, $$a.org$$, jsonb_build_object(BREAK, $${"href": "https://a.org/x"}$$::jsonb))', 'PT409', 'patch-does-not-apply'),
    ('esgf_stac.remove_replica($$CMIP6$$, $$there.v1$$, BREAK)', 'PT404', 'replica-does-not-exist'),
    ('esgf_stac.patch_collection(BREAK, $${}$$)', 'PT404', 'collection-does-not-exist'),
    ('esgf_stac.add_replica($$CMIP6$$, $$lines.v1$$, BREAK, jsonb_build_object(BREAK, $${"href": "https://b.org/x"}$$::jsonb))', 'PT409', 'replica-already-exists'),
    ('esgf_stac.add_replica($$CMIP6$$, $$lines.v1$$, BREAK || 2, $${"f": {"href": "https://b.org/x"}}$$)', 'PT409', 'replica-incomplete'),
    ('esgf_stac.patch_item($$CMIP6$$, $$lines.v1$$, jsonb_build_object($$assets$$, jsonb_build_object(BREAK, jsonb_build_object($$alternate$$, jsonb_build_object(BREAK, jsonb_build_object($$href$$, $$x:$$, $$alternate:name$$, BREAK))))))', 'PT409', 'replica-already-exists'),
    ('esgf_stac.remove_replica($$CMIP6$$, $$lines.v1$$, BREAK)', 'PT409', 'last-replica'),
    ('esgf_stac.transact(jsonb_build_array(jsonb_build_object(BREAK, 1)))', 'PT400', 'bad-request'),
    ('esgf_stac.transact(jsonb_build_array(jsonb_build_object($$method$$, $$POST$$, $$collection_id$$, $$CMIP6$$, $$if_match$$, 1, $$item$$, pg_temp.document(BREAK))))', 'PT412', 'version-conflict'),
    ('esgf_stac.transact((SELECT jsonb_agg(jsonb_build_object($$method$$, $$CHECK$$, $$collection_id$$, $$CMIP6$$, $$item_id$$, id, $$request_id$$, BREAK)) FROM unnest($${there.v1,there.v2}$$::text[]) id))', 'PT409', 'request-id-reused'),
    ('esgf_stac.changes(BREAK)', 'PT400', 'bad-request'),
    ('esgf_stac.create_stream(BREAK)', 'PT400', 'bad-request'),
    ('esgf_stac.drop_stream(BREAK)', 'PT400', 'bad-request'),
    ('esgf_stac.refresh_stream(BREAK)', 'PT400', 'bad-request'),
    ('esgf_stac.redrive(BREAK)', 'PT400', 'bad-request')
  ) AS t(call, state, slug);

-- All tables whose rows are the truth, counted and condensed; the witness's own changes aside.
CREATE FUNCTION pg_temp.books() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(E'\n',
        (SELECT format('items %s, versions %s, %s', count(*), sum(version), md5(string_agg(i::text, ' ' ORDER BY collection_id, id))) FROM esgf_stac.item i WHERE id <> 'witness'),
        (SELECT format('datasets %s, %s', count(*), md5(string_agg(d::text, ' ' ORDER BY collection_id, base_id))) FROM esgf_stac.dataset d),
        (SELECT format('collections %s, versions %s, %s', count(*), sum(version), md5(string_agg(c::text, ' ' ORDER BY id))) FROM esgf_stac.collection c),
        (SELECT format('events %s, versions %s', count(*), sum(version)) FROM esgf_stac.outbox WHERE aggregateid <> 'witness'),
        (SELECT format('requests %s, rules %s', count(*), (SELECT count(*) FROM esgf_stac.access_rule WHERE valid_to IS NULL)) FROM esgf_stac.request),
        (SELECT format('streams %s, publications %s', count(*), (SELECT count(*) FROM pg_publication)) FROM esgf_stac.stream))
$$;

-- How a query is refused; what it wrote is undone here, as it is for a caller who goes on.
CREATE FUNCTION pg_temp.refusal_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text;
    slug text;
    schema_name text;
    table_name text;
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE CASE WHEN query ~ '^[a-z]' THEN 'SELECT ' || query ELSE query END;
    RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, slug = CONSTRAINT_NAME, schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                            message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' ', state, nullif(slug, ''), pg_temp.flaws(query, state, slug, schema_name, table_name, message, detail, hint));
END
$$;

-- Refuse a query, outside of whose subtransaction the books are compared; the
-- next change then has the next version, one event, and its own request on it.
CREATE FUNCTION pg_temp.test(r refusal) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT text := pg_temp.books();
    description CONSTANT text := left(regexp_replace(r.query, '\s+', ' ', 'g'), 150);
    patch CONSTANT jsonb := jsonb_build_object('properties', jsonb_build_object('n', r.n));
    refused text;
    after text;
    made bigint[];
BEGIN
    refused := pg_temp.refusal_of(r.query);
    after := pg_temp.books();
    PERFORM esgf_stac.patch_item('CMIP6', 'witness', patch);
    made := ARRAY (SELECT version FROM esgf_stac.outbox WHERE aggregateid = 'witness' AND request = patch);
    IF after <> before OR pg_temp.books() <> before THEN
        RETURN is(concat_ws(E'\n', after, pg_temp.books()), before, description);
    ELSIF made IS DISTINCT FROM ARRAY[r.n + 1]::bigint[] THEN
        RETURN is(made, ARRAY[r.n + 1]::bigint[], description);
    END IF;
    RETURN is(refused, concat_ws(' ', r.state, r.slug), description);
END
$$;

SELECT plan(count(*)::int + 3) FROM refusal;
SELECT pg_temp.test(r) FROM (SELECT * FROM refusal ORDER BY n) r;

-- Not atomic, the same requests come back as problems, and change nothing either.
CREATE TEMP TABLE before AS SELECT pg_temp.books() AS books;
SELECT results_eq($$SELECT o.status, substr(o.problem ->> 'type', length('https://esgf.io/publication/errors/') + 1), o.version, o.changed
                      FROM refusal r, LATERAL (SELECT substr(r.query, length('pg_temp.request(') + 1, length(r.query) - length('pg_temp.request()')) AS request) q,
                           LATERAL pg_temp.request(pg_temp.evaluated(q.request), false) o
                     WHERE r.query LIKE 'pg\_temp.request(%' ORDER BY r.n$$,
                  $$SELECT substr(state, 3)::int, slug, NULL::bigint, NULL::boolean FROM refusal WHERE query LIKE 'pg\_temp.request(%' ORDER BY n$$, 'each request is answered with its problem');
SELECT is(pg_temp.books(), (SELECT books FROM before), 'nothing changed');
SELECT is((SELECT count(*) FROM refusal) >= 80, true, 'at least eighty');

SELECT * FROM finish();
ROLLBACK;
