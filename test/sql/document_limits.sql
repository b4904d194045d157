\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set setup :srcdir '/setup.psql'
\i :setup

-- Documents that are deep, wide or long: right, or a clear error; and what
-- many operations cost.
SET LOCAL search_path = esgf_stac, public;
SELECT plan(35);

CREATE FUNCTION pg_temp.state(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE query INTO result;
    RETURN coalesce(result, 'NULL');
EXCEPTION WHEN OTHERS OR query_canceled THEN
    RETURN SQLSTATE;
END $$;
CREATE FUNCTION pg_temp.nest(depth int, opening text, leaf text, closing text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$SELECT (repeat(opening, depth) || leaf || repeat(closing, depth))::jsonb$$;
CREATE FUNCTION pg_temp.objects(leaf text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$SELECT pg_temp.nest(10000, '{"a":', leaf, '}')$$;
CREATE FUNCTION pg_temp.arrays(leaf text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$SELECT pg_temp.nest(10000, '[', leaf, ']')$$;
CREATE FUNCTION pg_temp.path(token text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT repeat('/' || token, 10000)$$;
CREATE FUNCTION pg_temp.operation(op text, path text, value jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$SELECT jsonb_build_array(jsonb_build_object('op', op, 'path', path, 'value', value))$$;

-- 10,000 levels: right.
SELECT ok(jsonb_merge_patch(pg_temp.objects('1'), pg_temp.objects('{"b":2}')) = pg_temp.objects('{"b":2}'), 'merge patch of a deep object');
SELECT ok(jsonb_merge_patch('{}', pg_temp.objects('{"b":2}')) = pg_temp.objects('{"b":2}'), 'a deep object is new');
SELECT ok(jsonb_merge_patch('{}', pg_temp.objects('{"b":null}')) = pg_temp.objects('{}'), 'and loses a deep null');
SELECT ok(jsonb_merge_patch('{"x":1}', pg_temp.objects('{"b":null}')) - 'x' = pg_temp.objects('{}'), 'beside another member, too');
SELECT ok(jsonb_merge_patch('[]', pg_temp.arrays('1')) = pg_temp.arrays('1'), 'a deep array');
SELECT ok(jsonb_pointer(pg_temp.objects('1'), pg_temp.path('a')) = '1', 'a pointer into a deep object');
SELECT ok(jsonb_pointer(pg_temp.arrays('1'), pg_temp.path('0')) = '1', 'a pointer into a deep array');
SELECT ok(jsonb_patch(pg_temp.objects('1'), pg_temp.operation('replace', pg_temp.path('a'), '2')) = pg_temp.objects('2'), 'an operation in a deep object');
SELECT ok(jsonb_patch(pg_temp.arrays('1'), pg_temp.operation('add', pg_temp.path('0'), '2')) = pg_temp.arrays('2,1'), 'an operation in a deep array');
SELECT ok(jsonb_patch(pg_temp.objects('1'), pg_temp.operation('replace', pg_temp.path('a'), '2')
                                            || pg_temp.operation('test', '', pg_temp.objects('2.0'))) = pg_temp.objects('2'), 'a test of a deep value');
SELECT is(jsonb_diff(pg_temp.objects('1'), pg_temp.objects('2')), pg_temp.operation('replace', pg_temp.path('a'), '2'), 'a deep difference in objects');
SELECT is(jsonb_patch(pg_temp.arrays('1'), jsonb_diff(pg_temp.arrays('1'), pg_temp.arrays('1,2'))), pg_temp.arrays('1,2'), 'a deep difference in arrays');
SELECT is(jsonb_diff(pg_temp.arrays('1'), pg_temp.arrays('1.0')), '[]', 'deep documents that are equal, not byte by byte');

-- Where the stack does not suffice: 54001.
SET LOCAL max_stack_depth = '200kB';
SELECT is(pg_temp.state($$SELECT jsonb_patch('[]', pg_temp.operation('add', '/-', '[]'))$$), '[[]]', 'with little stack');
RESET max_stack_depth;
CREATE TEMPORARY TABLE deep AS SELECT pg_temp.objects('1') AS objects, pg_temp.arrays('1') AS arrays, pg_temp.arrays('1.0') AS equal;
SET LOCAL max_stack_depth = '200kB';
SELECT is(pg_temp.state($$SELECT jsonb_patch(objects, pg_temp.operation('replace', repeat('/a', 10000), '2')) FROM deep$$), '54001', 'no stack to write');
SELECT is(pg_temp.state($$SELECT jsonb_diff(arrays, equal || '[2]'::jsonb) FROM deep$$), '54001', 'no stack to compare');
SELECT is(pg_temp.state($$SELECT pg_column_size(jsonb_merge_patch('{"x":1}', objects)) FROM deep$$), '54001', 'no stack to look for nulls');
RESET max_stack_depth;

-- Wide: 100,000 members, 1,000,000 elements.
CREATE TEMPORARY TABLE wide AS
SELECT (SELECT jsonb_object_agg('key' || i, i) FROM generate_series(1, 100000) i) AS object,
       (SELECT jsonb_agg(i) FROM generate_series(1, 1000000) i) AS elements;
SELECT ok(jsonb_merge_patch(object, '{"key5":null,"key77":"x","zz":1}') = jsonb_set(object - 'key5', '{key77}', '"x"') || '{"zz":1}', 'merge patch of many members')
  FROM wide;
SELECT ok(jsonb_merge_patch(object, object) = object AND jsonb_merge_patch('{}', object) = object, 'with as many') FROM wide;
SELECT ok(jsonb_diff(object, jsonb_set(object, '{key50000}', '0')) = '[{"op":"replace","path":"/key50000","value":0}]', 'one member of many differs') FROM wide;
SELECT ok(jsonb_pointer(object, '/key99999') = '99999' AND jsonb_pointer(elements, '/999999') = '1000000', 'pointers') FROM wide;
SELECT ok(jsonb_diff(elements, elements - 500000) = '[{"op":"remove","path":"/500000"}]', 'one element of many is gone') FROM wide;
SELECT ok(jsonb_patch('[]', jsonb_diff('[]', elements)) = elements, 'a million operations') FROM wide;
SELECT ok(record_image_eq(ROW(r), ROW(r::text::jsonb)), 'bytes of a wide result')
  FROM wide, jsonb_patch(elements, '[{"op":"add","path":"/123456","value":"x"},{"op":"remove","path":"/7"}]') r;

-- Long: strings of 200 KB and more.
SELECT is(jsonb_merge_patch(jsonb_build_object('a', repeat('x', 200000), 'b', 1), jsonb_build_object('b', repeat('y', 200001))),
          jsonb_build_object('a', repeat('x', 200000), 'b', repeat('y', 200001)), 'long strings');
SELECT is(jsonb_diff(jsonb_build_array(repeat('x', 300000) || 'a'), jsonb_build_array(repeat('x', 300000) || 'b')) -> 0 ->> 'path', '/0', 'that differ at their end');

-- Many operations do not cost as many copies: a second is plenty for what copies would take minutes for.
SET LOCAL statement_timeout = '10s';
SELECT is(pg_temp.state($$SELECT jsonb_array_length(jsonb_patch(elements, (SELECT jsonb_agg(jsonb_build_object('op', 'add', 'path', '/' || i * 7919 % 1000000, 'value', i))
    FROM generate_series(1, 20000) i))) FROM wide$$), '1020000', 'many insertions all over an array');
SELECT is(pg_temp.state($$SELECT jsonb_array_length(jsonb_patch(elements, (SELECT jsonb_agg('{"op":"remove","path":"/0"}'::jsonb)
    FROM generate_series(1, 20000) i))) FROM wide$$), '980000', 'many removals at its start');
SELECT is(pg_temp.state($$SELECT (SELECT count(*) FROM jsonb_object_keys(jsonb_patch(object, (SELECT jsonb_agg(jsonb_build_object('op', 'add', 'path', '/' || md5(i::text), 'value', i))
    FROM generate_series(1, 20000) i)))) FROM wide$$), '120000', 'many new members');
SELECT is(pg_temp.state($$SELECT jsonb_patch(jsonb_build_object('o', object), (SELECT jsonb_agg(x) FROM generate_series(1, 5000) i,
    LATERAL (VALUES (jsonb_build_object('op', 'replace', 'path', '/o/key7', 'value', i)), ('{"op":"copy","from":"/o","path":"/p"}')) v(x))) #> '{p,key7}' FROM wide$$),
    '5000', 'a large value changed and copied many times');
RESET statement_timeout;

-- What the server's own writer would refuse: 54000. Sixty doublings are 2^60 copies.
CREATE TEMPORARY TABLE doubling AS
SELECT jsonb_agg(jsonb_build_object('op', 'copy', 'from', '', 'path', '/x' || i)) AS operations FROM generate_series(1, 60) i;
SELECT is(pg_temp.state($$SELECT jsonb_patch('{}', operations) FROM doubling$$), '54000', 'more than 268435455 bytes');
SELECT is(jsonb_patch('{}', operations || pg_temp.operation('replace', '', '2')), '2', 'unless all of it goes again') FROM doubling;
SELECT is(pg_temp.state($$SELECT pg_column_size(jsonb_merge_patch(jsonb_build_object('a', repeat('x', 100000000)), jsonb_build_object('b', repeat('y', 168435434))))$$),
          '54000', 'one byte more');

-- Cancel works.
SET LOCAL statement_timeout = '20ms';
SELECT is(pg_temp.state($$SELECT jsonb_patch('{}', operations) FROM doubling$$), '57014', 'a long call is cancelled');
RESET statement_timeout;

-- Memory: what calls leave behind until their statement ends.
CREATE FUNCTION pg_temp.used() RETURNS numeric LANGUAGE sql VOLATILE AS 'SELECT sum(used_bytes) FROM pg_backend_memory_contexts';
SELECT cmp_ok(used[4] - used[2], '<', 1000::numeric, '100,000 calls of each keep no memory') FROM (
    SELECT array_agg(CASE WHEN g % 50000 = 0 THEN pg_temp.used() END ORDER BY g) FILTER (WHERE g % 50000 = 0) AS used,
           count(jsonb_merge_patch(d, jsonb_build_object('a', jsonb_build_object('g', g)))),
           count(jsonb_patch(d, jsonb_build_array(jsonb_build_object('op', 'add', 'path', '/a/b/1', 'value', g)))),
           count(jsonb_pointer(d, '/a/b/' || g % 4)),
           count(jsonb_diff(d, jsonb_build_object('a', g)))
      FROM (VALUES ('{"a":{"b":[1,2,{"c":null}]},"d":"a string"}'::jsonb)) v(d), generate_series(1, 200000) g) memory;

SELECT * FROM finish();
ROLLBACK;
