\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set setup :srcdir '/setup.psql'
\i :setup

-- jsonb_diff: the JSON patch between two documents.
SET LOCAL search_path = esgf_stac, public;
SELECT plan(58);

CREATE TEMPORARY TABLE pair (number int, source jsonb, target jsonb, operations jsonb);
INSERT INTO pair VALUES
    (1, '{}', '{}', '[]'),
    (2, '{"a":1,"b":[1,2.0]}', '{"b":[1.0,2],"a":1e0}', '[]'),
    (3, 'null', '{}', '[{"op":"replace","path":"","value":{}}]'),
    (4, '{}', '[]', '[{"op":"replace","path":"","value":[]}]'),
    (5, '1', '1.0', '[]'),
    (6, '"a"', '"b"', '[{"op":"replace","path":"","value":"b"}]'),
    (7, '{"a":1}', '{"a":null}', '[{"op":"replace","path":"/a","value":null}]'),
    (8, '{"a":null}', '{}', '[{"op":"remove","path":"/a"}]'),
    (9, '{}', '{"a":null}', '[{"op":"add","path":"/a","value":null}]'),
    (10, '{"a":{"b":1,"c":2},"d":3}', '{"a":{"b":1,"c":4},"d":3}', '[{"op":"replace","path":"/a/c","value":4}]'),
    (11, '{"~":1,"/":{"~1":2},"":3}', '{"~":4,"/":{"~1":5},"":6}',
         '[{"op":"replace","path":"/","value":6},{"op":"replace","path":"/~1/~01","value":5},{"op":"replace","path":"/~0","value":4}]'),
    (12, '{"a":1}', '{"b":1}', '[{"op":"remove","path":"/a"},{"op":"add","path":"/b","value":1}]'),
    (13, '{"a":{}}', '{"a":[]}', '[{"op":"replace","path":"/a","value":[]}]'),
    (14, '[1,2,3]', '[1,9,3]', '[{"op":"replace","path":"/1","value":9}]'),
    (15, '[1,2,3]', '[1,3]', '[{"op":"remove","path":"/1"}]'),
    (16, '[1,3]', '[1,2,3]', '[{"op":"add","path":"/1","value":2}]'),
    (17, '[1,2,3,4,5,6]', '[1,9,6]', '[{"op":"replace","path":"/1","value":9},{"op":"remove","path":"/4"},{"op":"remove","path":"/3"},{"op":"remove","path":"/2"}]'),
    (18, '[1,6]', '[1,2,3,6]', '[{"op":"add","path":"/1","value":2},{"op":"add","path":"/2","value":3}]'),
    (19, '[]', '[null]', '[{"op":"add","path":"/0","value":null}]'),
    (20, '[[1,{"a":2}],3]', '[[1,{"a":4}],3]', '[{"op":"replace","path":"/0/1/a","value":4}]'),
    (21, '[{"a":1,"b":2},5]', '[{"a":1,"b":3}]', '[{"op":"replace","path":"/0/b","value":3},{"op":"remove","path":"/1"}]'),
    (22, '[1,1,1]', '[1,1]', '[{"op":"remove","path":"/2"}]'),
    (23, '{"a":"xay"}', '{"a":"xby"}', '[{"op":"replace","path":"/a","value":"xby"}]'),
    (24, '{"a":true,"b":"x"}', '{"a":false,"b":"x"}', '[{"op":"replace","path":"/a","value":false}]'),
    (25, '{"a":1.0,"b":1}', '{"a":1,"b":2.50}', '[{"op":"replace","path":"/b","value":2.50}]');
SELECT is(jsonb_diff(source, target)::text, operations::text, format('%s to %s', source, target)) FROM pair ORDER BY number;
SELECT is(jsonb_patch(source, jsonb_diff(source, target)), target, 'and it makes the one of the other') FROM pair ORDER BY number;

-- A change deep in a long document touches only what changed.
CREATE TEMPORARY TABLE long AS
SELECT jsonb_object_agg('k' || i, jsonb_build_object('n', i, 'list', jsonb_build_array(i, i::text, NULL))) AS document FROM generate_series(1, 1000) i;
SELECT is(jsonb_diff(document, jsonb_set(document, '{k500,list,1}', '"x"')), '[{"op":"replace","path":"/k500/list/1","value":"x"}]', 'one leaf of many')
  FROM long;
SELECT is(jsonb_diff(document, document), '[]', 'nothing') FROM long;
SELECT is(jsonb_patch(document, jsonb_diff(document, '{}')), '{}', 'everything away') FROM long;
SELECT is(jsonb_patch('{}', jsonb_diff('{}', document)), document, 'everything anew') FROM long;
SELECT ok(record_image_eq(ROW(d), ROW(d::text::jsonb)), 'the bytes are the parser''s') FROM long, jsonb_diff('{}', document) d;

SELECT is(jsonb_diff(NULL, '{}'), NULL, 'no source, no operations');
SELECT is(jsonb_diff('{}', NULL), NULL, 'no target, no operations');
SELECT is(jsonb_diff('{}', 'null'), '[{"op":"replace","path":"","value":null}]', 'JSON null is a document');

SELECT * FROM finish();
ROLLBACK;
