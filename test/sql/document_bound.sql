\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- max_document_bytes: the text of an item's document has a bound, by every way in;
-- what is stored beyond it can be retracted, deleted and reduced.
SELECT no_plan();

CREATE FUNCTION pg_temp.with_x(id text, x jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_set(pg_temp.document(id), '{properties,x}', x) $$;
CREATE FUNCTION pg_temp.bound(bytes bigint) RETURNS void LANGUAGE sql AS $$
    SELECT esgf_stac.configure_collection('CMIP6', jsonb_build_object('max_document_bytes', bytes)) $$;
-- Create an item where so many bytes more than it has are allowed.
CREATE FUNCTION pg_temp.created(document jsonb, more int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.bound(octet_length(document::text) + more);
    PERFORM esgf_stac.create_item('CMIP6', document);
    RETURN 'created';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;

SELECT is((SELECT max_document_bytes FROM esgf_stac.collection), 33554432, 'by default 32 MB');
SELECT lives_ok(format('SELECT pg_temp.bound(%s)', n), 'a bound of ' || n) FROM unnest(ARRAY[1, 268435456]) n;
SELECT pg_temp.refused(format($$SELECT esgf_stac.configure_collection('CMIP6', '{"max_document_bytes": %s}')$$, v), 'PT400', 'bad-request', 'no bound: ' || v)
  FROM unnest(ARRAY['0', '-1', '268435457', '1e131071', '1.5', '"1"', 'null', '[5]', 'true']) v;

-- It is counted as it is printed, to the byte.
CREATE TABLE pg_temp.value AS SELECT row_number() OVER () AS n, name, value FROM (VALUES
    ('nothing', '""'::jsonb), ('characters that are escaped', to_jsonb(E'\x01\x02\x1f\x7f\b\f\n\r\t"\\/ é € 𝄞'::text)), ('more of them', to_jsonb(repeat(E'\x01"', 1000))),
    ('constants', '[null, true, false, [], {}, [[]], [{}], {"": {}}]'), ('keys that are escaped', jsonb_build_object(E'a"\\\n', 1, 'b', '[]'::jsonb)),
    ('large numbers', '[1e131071, -1e131071, 1e-16383, 123456789e100, 9999.9999e50, 1e255, 1e256, 1e-255, -1e300]'), ('small ones', '[0, -0, 0.0, 0e-16383, 1.000, -0.00010, 12345.678900, 0.1, 10000, 9999, 99990000]')) v(name, value);
INSERT INTO pg_temp.value SELECT 100, 'numbers of all sizes', jsonb_agg(sign * mantissa * power(10::numeric, exponent)) FROM generate_series(-300, 300, 7) exponent, unnest(ARRAY[1, 12, 1234, 12345.6, 99999999]) mantissa, unnest(ARRAY[1, -1]) sign;
INSERT INTO pg_temp.value SELECT 101, 'a deep value', (repeat('[{"a":', 2000) || '1' || repeat('}]', 2000))::jsonb;
SELECT is(concat_ws(' ', pg_temp.created(pg_temp.with_x('exact' || n || '.v1', value), -1), pg_temp.created(pg_temp.with_x('exact' || n || '.v1', value), 0)), 'PT413 created', 'to the byte: ' || name)
  FROM pg_temp.value ORDER BY n;

-- By every way in.
SELECT pg_temp.bound(2000) \g /dev/null
CREATE TABLE pg_temp.big AS SELECT to_jsonb(repeat('x', 2000)) AS x;
SELECT esgf_stac.create_item('CMIP6', pg_temp.document('small.v1')) \g /dev/null
CREATE TABLE pg_temp.before AS SELECT (SELECT count(*) FROM esgf_stac.outbox) AS events, (SELECT count(*) FROM esgf_stac.item) AS items;
SELECT pg_temp.refused(statement, 'PT413', 'document-too-large', left(statement, 90)) FROM (VALUES
    ($$SELECT esgf_stac.create_item('CMIP6', pg_temp.with_x('n.v1', x)) FROM pg_temp.big$$),
    ($$INSERT INTO esgf_stac.item (collection_id, id, document) SELECT 'CMIP6', 'n.v1', pg_temp.with_x('n.v1', x) FROM pg_temp.big$$),
    ($$SELECT esgf_stac.replace_item('CMIP6', 'small.v1', pg_temp.with_x('small.v1', x)) FROM pg_temp.big$$),
    ($$UPDATE esgf_stac.item SET document = pg_temp.with_x('small.v1', x) FROM pg_temp.big WHERE id = 'small.v1'$$),
    ($$SELECT esgf_stac.patch_item('CMIP6', 'small.v1', jsonb_build_object('properties', jsonb_build_object('x', x))) FROM pg_temp.big$$),
    ($$SELECT esgf_stac.patch_item('CMIP6', 'small.v1', jsonb_build_array(jsonb_build_object('op', 'add', 'path', '/properties/x', 'value', x))) FROM pg_temp.big$$),
    ($$SELECT esgf_stac.patch_item('CMIP6', 'small.v1', '[{"op": "add", "path": "/properties/x", "value": 1e131071}]')$$),
    ($$SELECT esgf_stac.add_replica('CMIP6', 'small.v1', 'b.org', jsonb_build_object('tas.nc', jsonb_build_object('href', x))) FROM pg_temp.big$$),
    ($$SELECT esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'UPSERT', 'collection_id', 'CMIP6', 'item', pg_temp.with_x('n.v1', x)))) FROM pg_temp.big$$),
    ($$SELECT esgf_stac.create_item('CMIP6', pg_temp.with_x('n.v1', x) || '{"links": 7}') FROM pg_temp.big$$)) v(statement);
SELECT results_eq($$SELECT o.status, o.problem ->> 'type' FROM pg_temp.big, esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'PUT', 'collection_id', 'CMIP6', 'item_id', 'small.v1', 'item', pg_temp.with_x('small.v1', x)),
                      jsonb_build_object('method', 'CHECK', 'collection_id', 'CMIP6', 'item_id', 'small.v1')), false) o$$,
                  $$VALUES (413, 'https://esgf.io/publication/errors/document-too-large'), (200, NULL)$$, 'one of many requests');
SELECT results_eq($$SELECT o.status FROM pg_temp.big, esgf_stac.import_items(ARRAY[pg_temp.with_x('n.v1', x)]) o$$, $$VALUES (413)$$, 'an import');
SELECT row_eq($$SELECT (SELECT count(*) FROM esgf_stac.outbox) - events, (SELECT count(*) FROM esgf_stac.item) - items FROM pg_temp.before$$, ROW (0::bigint, 0::bigint), 'nothing of it is left');

-- No amplification: 2 KB of patch that would make 33 MB, or 2^60 bytes, or text of a gigabyte.
SELECT pg_temp.bound(33554432) \g /dev/null
CREATE TABLE pg_temp.amplified AS SELECT * FROM (VALUES
    ('15 copies into itself', (SELECT '[{"op": "add", "path": "/properties/b", "value": ["0123456789012345678901234567890123456789"]}]'::jsonb || jsonb_agg('{"op": "copy", "from": "/properties/b", "path": "/properties/b/-"}'::jsonb) FROM generate_series(1, 20) i)),
    ('60 doublings', (SELECT jsonb_agg(jsonb_build_object('op', 'copy', 'from', '/properties', 'path', '/properties/x' || i)) FROM generate_series(1, 60) i)),
    ('copies of what is escaped', (SELECT jsonb_build_array(jsonb_build_object('op', 'add', 'path', '/properties/a', 'value', repeat(E'\x01', 1000000))) || jsonb_agg(jsonb_build_object('op', 'copy', 'from', '/properties/a', 'path', '/properties/a' || i)) FROM generate_series(1, 185) i)),
    ('of numbers', (SELECT '[{"op": "add", "path": "/properties/a", "value": [1e131071]}]'::jsonb || jsonb_agg(jsonb_build_object('op', 'copy', 'from', '/properties/a', 'path', '/properties/a' || i)) FROM generate_series(1, 300) i))) v(name, patch);
SET LOCAL statement_timeout = '20s';
SELECT pg_temp.refused(format('SELECT esgf_stac.patch_item(''CMIP6'', ''small.v1'', %L)', patch), 'PT413', 'document-too-large', name) FROM pg_temp.amplified;
SELECT lives_ok(format('SELECT esgf_stac.patch_item(''CMIP6'', ''small.v1'', %L)', patch || '[{"op": "replace", "path": "/properties", "value": {"datetime": "1850-01-01T00:00:00Z", "cmip6:institution_id": "MPI-M"}}]'), 'unless it goes again: ' || name) FROM pg_temp.amplified;
RESET statement_timeout;

-- What is stored beyond a bound.
SELECT esgf_stac.create_item('CMIP6', pg_temp.with_x('big.v1', to_jsonb(repeat('y', 5000)))) \g /dev/null
SELECT esgf_stac.create_item('CMIP6', pg_temp.with_x('old.v1', to_jsonb(repeat('y', 5000)))) \g /dev/null
SELECT esgf_stac.add_replica('CMIP6', 'big.v1', 'b.org', '{"tas.nc": {"href": "https://b.org/tas.nc"}}') \g /dev/null
SELECT pg_temp.bound(1500) \g /dev/null
SELECT lives_ok(statement, left(statement, 110)) FROM (VALUES
    ($$SELECT esgf_stac.create_item('CMIP6', pg_temp.document('old.v2'))$$), ($$SELECT esgf_stac.retract_item('CMIP6', 'big.v1', reason => repeat('z', 4000))$$),
    ($$SELECT esgf_stac.reinstate_item('CMIP6', 'big.v1')$$), ($$UPDATE esgf_stac.item SET deleted = true WHERE id = 'big.v1'$$), ($$SELECT esgf_stac.restore_item('CMIP6', 'big.v1')$$),
    ($$SELECT esgf_stac.delete_item('CMIP6', 'big.v1')$$), ($$SELECT esgf_stac.create_item('CMIP6', pg_temp.with_x('old.v1', to_jsonb(repeat('y', 5000)))) FROM esgf_stac.delete_item('CMIP6', 'old.v1')$$), ($$SELECT esgf_stac.restore_item('CMIP6', 'big.v1')$$),
    ($$SELECT esgf_stac.patch_item('CMIP6', 'big.v1', '{"properties": {"latest": false}}')$$), ($$SELECT esgf_stac.remove_replica('CMIP6', 'big.v1', 'a.org')$$),
    ($$SELECT esgf_stac.patch_item('CMIP6', 'big.v1', jsonb_build_object('properties', jsonb_build_object('x', repeat('y', 4999))))$$),
    ($$SELECT esgf_stac.patch_item('CMIP6', 'big.v1', jsonb_build_array(jsonb_build_object('op', 'replace', 'path', '/properties/x', 'value', repeat('z', 4998))))$$),
    ($$SELECT esgf_stac.patch_item('CMIP6', 'big.v1', '[{"op": "remove", "path": "/properties/x"}]')$$)) v(statement);
SELECT is(latest, false, 'it has been superseded') FROM esgf_stac.item WHERE id = 'old.v1';
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'old.v1', '{"properties": {"title": "one more"}}')$$, 'PT413', 'document-too-large', 'but it does not grow');

-- A collection's own document has 256 MB.
CREATE FUNCTION pg_temp.huge(n int) RETURNS jsonb LANGUAGE sql AS $$ SELECT (SELECT jsonb_agg('1e131071'::jsonb) FROM generate_series(1, n)) $$;
SELECT pg_temp.refused($$SELECT esgf_stac.create_collection(pg_temp.collection_document('C') || jsonb_build_object('x', pg_temp.huge(2100)))$$, 'PT413', 'document-too-large', 'a collection');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_collection('CMIP6', jsonb_build_object('x', pg_temp.huge(2100)))$$, 'PT413', 'document-too-large', 'in a patch');
SELECT pg_temp.refused(format('SELECT esgf_stac.patch_collection(''CMIP6'', %L)', (SELECT jsonb_agg(jsonb_build_object('op', 'copy', 'from', '', 'path', '/x' || i)) FROM generate_series(1, 60) i)), 'PT413', 'document-too-large', 'amplified');
SELECT results_eq($$SELECT o.status FROM esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'PATCH', 'collection_id', 'CMIP6', 'item_id', 'small.v1', 'request_id', 'k',
                      'patch', jsonb_build_object('properties', jsonb_build_object('x', pg_temp.huge(2100)))), jsonb_build_object('method', 'CHECK', 'collection_id', 'CMIP6', 'item_id', 'small.v1', 'request_id', 'l')), false) o$$,
                  $$VALUES (413), (200)$$, 'a request that could not be printed');

SELECT * FROM finish();
ROLLBACK;
