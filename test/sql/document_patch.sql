\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set setup :srcdir '/setup.psql'
\i :setup

-- JSON patch: RFC 6902.
SET LOCAL search_path = esgf_stac, public;
SELECT plan(99);

-- What a patch is refused with: SQLSTATE, slug, schema and table.
CREATE FUNCTION pg_temp.refusal(target jsonb, operations jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    slug text;
    schema_name text;
    table_name text;
BEGIN
    RETURN 'applied: ' || coalesce(jsonb_patch(target, operations)::text, 'NULL');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS slug = CONSTRAINT_NAME, schema_name = SCHEMA_NAME, table_name = TABLE_NAME;
    RETURN concat_ws(' ', SQLSTATE, slug, schema_name, nullif(table_name, ''));
END $$;
CREATE FUNCTION pg_temp.words(target jsonb, operations jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    RETURN 'applied: ' || coalesce(jsonb_patch(target, operations)::text, 'NULL');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;

-- RFC 6902, appendix A. A.13, a doubled member, never reaches jsonb.
SELECT is(jsonb_patch(target, patch), result, 'A.' || number)
  FROM (VALUES
    (1, '{"foo":"bar"}'::jsonb, '[{"op":"add","path":"/baz","value":"qux"}]'::jsonb, '{"baz":"qux","foo":"bar"}'::jsonb),
    (2, '{"foo":["bar","baz"]}', '[{"op":"add","path":"/foo/1","value":"qux"}]', '{"foo":["bar","qux","baz"]}'),
    (3, '{"baz":"qux","foo":"bar"}', '[{"op":"remove","path":"/baz"}]', '{"foo":"bar"}'),
    (4, '{"foo":["bar","qux","baz"]}', '[{"op":"remove","path":"/foo/1"}]', '{"foo":["bar","baz"]}'),
    (5, '{"baz":"qux","foo":"bar"}', '[{"op":"replace","path":"/baz","value":"boo"}]', '{"baz":"boo","foo":"bar"}'),
    (6, '{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}', '[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]',
        '{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}'),
    (7, '{"foo":["all","grass","cows","eat"]}', '[{"op":"move","from":"/foo/1","path":"/foo/3"}]', '{"foo":["all","cows","eat","grass"]}'),
    (8, '{"baz":"qux","foo":["a",2,"c"]}', '[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]',
        '{"baz":"qux","foo":["a",2,"c"]}'),
    (10, '{"foo":"bar"}', '[{"op":"add","path":"/child","value":{"grandchild":{}}}]', '{"foo":"bar","child":{"grandchild":{}}}'),
    (11, '{"foo":"bar"}', '[{"op":"add","path":"/baz","value":"qux","xyz":123}]', '{"foo":"bar","baz":"qux"}'),
    (14, '{"/":9,"~1":10}', '[{"op":"test","path":"/~01","value":10}]', '{"/":9,"~1":10}'),
    (16, '{"foo":["bar"]}', '[{"op":"add","path":"/foo/-","value":["abc","def"]}]', '{"foo":["bar",["abc","def"]]}')
  ) AS appendix(number, target, patch, result) ORDER BY number;
SELECT is(pg_temp.refusal(target, patch), 'PT409 patch-does-not-apply esgf_stac', 'A.' || number)
  FROM (VALUES
    (9, '{"baz":"qux"}'::jsonb, '[{"op":"test","path":"/baz","value":"bar"}]'::jsonb),
    (12, '{"foo":"bar"}', '[{"op":"add","path":"/baz/bat","value":"qux"}]'),
    (15, '{"/":9,"~1":10}', '[{"op":"test","path":"/~01","value":"10"}]')
  ) AS appendix(number, target, patch) ORDER BY number;

-- What applies.
SELECT is(jsonb_patch(target, patch)::text, result, name)
  FROM (VALUES
    (1, 'no operations', '{"a":1.0}'::jsonb, '[]'::jsonb, '{"a": 1.0}'),
    (2, 'add replaces a member', '{"a":1}', '[{"op":"add","path":"/a","value":null}]', '{"a": null}'),
    (3, 'add at an array''s length', '[1]', '[{"op":"add","path":"/1","value":2}]', '[1, 2]'),
    (4, 'add to an empty array', '[]', '[{"op":"add","path":"/0","value":2}]', '[2]'),
    (5, 'add the whole document', '{"a":1}', '[{"op":"add","path":"","value":[1]}]', '[1]'),
    (6, 'replace the whole document by a scalar', '{"a":1}', '[{"op":"replace","path":"","value":1.50}]', '1.50'),
    (7, 'and a scalar by a document', '"x"', '[{"op":"test","path":"","value":"x"},{"op":"replace","path":"","value":{}}]', '{}'),
    (8, 'the empty key', '{"":{"":1}}', '[{"op":"replace","path":"//","value":2}]', '{"": {"": 2}}'),
    (9, 'a key that looks like an index', '{"0":1}', '[{"op":"replace","path":"/0","value":2},{"op":"add","path":"/01","value":3}]', '{"0": 2, "01": 3}'),
    (10, 'the key "-"', '{"-":1}', '[{"op":"replace","path":"/-","value":2}]', '{"-": 2}'),
    (11, 'escaped keys are made plain', '{}', '[{"op":"add","path":"/a~1b~0c~01","value":1}]', '{"a/b~c~1": 1}'),
    (12, 'keys beyond ASCII', '{"é":1}', '[{"op":"move","from":"/é","path":"/ü"}]', '{"ü": 1}'),
    (13, 'move to the same place', '{"a":[1,2]}', '[{"op":"move","from":"/a/0","path":"/a/0"}]', '{"a": [1, 2]}'),
    (14, 'move the whole document to itself', '{"a":1}', '[{"op":"move","from":"","path":""}]', '{"a": 1}'),
    (15, 'move a child over its parent', '{"a":{"b":1}}', '[{"op":"move","from":"/a/b","path":"/a"}]', '{"a": 1}'),
    (16, 'move a child over the whole', '{"a":{"b":1}}', '[{"op":"move","from":"/a","path":""}]', '{"b": 1}'),
    (17, 'move in an array: the index counts without it', '[1,2,3]', '[{"op":"move","from":"/0","path":"/2"}]', '[2, 3, 1]'),
    (18, 'move to a key that begins like its own', '{"a":1}', '[{"op":"move","from":"/a","path":"/ab"}]', '{"ab": 1}'),
    (19, 'copy into its own child', '{"a":{"b":1}}', '[{"op":"copy","from":"/a","path":"/a/c"}]', '{"a": {"b": 1, "c": {"b": 1}}}'),
    (20, 'copy the whole document', '{"a":1}', '[{"op":"copy","from":"","path":"/b"},{"op":"copy","from":"","path":"/c"}]',
         '{"a": 1, "b": {"a": 1}, "c": {"a": 1, "b": {"a": 1}}}'),
    (21, 'a copy is changed alone', '{"a":{"x":[1]}}',
         '[{"op":"add","path":"/a/x/-","value":2},{"op":"copy","from":"/a","path":"/b"},{"op":"add","path":"/b/x/-","value":3},{"op":"remove","path":"/a/x/0"}]',
         '{"a": {"x": [2]}, "b": {"x": [1, 2, 3]}}'),
    (22, 'later operations see earlier ones', '{}',
         '[{"op":"add","path":"/a","value":{}},{"op":"add","path":"/a/b","value":[]},{"op":"add","path":"/a/b/-","value":1},{"op":"test","path":"/a","value":{"b":[1]}}]',
         '{"a": {"b": [1]}}'),
    (23, 'test: numbers by value', '{"a":[1,1.0,100]}', '[{"op":"test","path":"/a","value":[1.00,1,1e2]}]', '{"a": [1, 1.0, 100]}'),
    (24, 'test: JSON null', '{"a":null}', '[{"op":"test","path":"/a","value":null}]', '{"a": null}'),
    (25, 'test: the order of members is none', '{"a":{"b":1,"c":2}}', '[{"op":"test","path":"","value":{"a":{"c":2,"b":1}}}]', '{"a": {"b": 1, "c": 2}}'),
    (26, 'a null value is a value', '{"a":1}', '[{"op":"replace","path":"/a","value":null}]', '{"a": null}'),
    (27, 'values keep their spelling', '{"a":1}', '[{"op":"add","path":"/b","value":1.10},{"op":"replace","path":"/a","value":1.0}]', '{"a": 1.0, "b": 1.10}'),
    (28, 'unknown members are ignored', '{"a":1}', '[{"op":"remove","path":"/a","from":1,"value":2,"else":3}]', '{}'),
    (29, 'the last element', '[1,2,3]', '[{"op":"remove","path":"/2"},{"op":"replace","path":"/1","value":4}]', '[1, 4]')
  ) AS applies(number, name, target, patch, result) ORDER BY number;

-- What depends on the document: PT409.
SELECT is(pg_temp.refusal(target, patch), 'PT409 patch-does-not-apply esgf_stac', name)
  FROM (VALUES
    (1, 'remove what is absent', '{}'::jsonb, '[{"op":"remove","path":"/a"}]'::jsonb),
    (2, 'replace what is absent', '{}', '[{"op":"replace","path":"/a","value":1}]'),
    (3, 'test what is absent, even for null', '{}', '[{"op":"test","path":"/a","value":null}]'),
    (4, 'move what is absent', '{}', '[{"op":"move","from":"/a","path":"/b"}]'),
    (5, 'copy what is absent', '{}', '[{"op":"copy","from":"/a","path":"/b"}]'),
    (6, 'add without a parent', '{}', '[{"op":"add","path":"/a/b","value":1}]'),
    (7, 'add below a string', '{"a":"b"}', '[{"op":"add","path":"/a/b","value":1}]'),
    (8, 'add below null', '{"a":null}', '[{"op":"add","path":"/a/b","value":1}]'),
    (9, 'add below a scalar document', '1', '[{"op":"add","path":"/a","value":1}]'),
    (10, 'a leading zero', '[1,2]', '[{"op":"replace","path":"/01","value":1}]'),
    (11, 'a sign', '[1,2]', '[{"op":"replace","path":"/+1","value":1}]'),
    (12, 'a minus sign', '[1,2]', '[{"op":"remove","path":"/-1"}]'),
    (13, 'a word', '[1,2]', '[{"op":"add","path":"/a","value":1}]'),
    (14, 'a number that is no index', '[1,2]', '[{"op":"test","path":"/1e0","value":2}]'),
    (15, 'the empty token', '[1,2]', '[{"op":"remove","path":"/"}]'),
    (16, 'beyond the end', '[1,2]', '[{"op":"remove","path":"/2"}]'),
    (17, 'add beyond the end', '[1,2]', '[{"op":"add","path":"/3","value":1}]'),
    (18, 'far beyond the end', '[1,2]', '[{"op":"add","path":"/4294967298","value":1}]'),
    (19, 'beyond all numbers', '[1,2]', '[{"op":"add","path":"/99999999999999999999999","value":1}]'),
    (20, 'nothing stands at "-"', '[1,2]', '[{"op":"remove","path":"/-"}]'),
    (21, 'nothing stands below "-"', '[[]]', '[{"op":"add","path":"/-/0","value":1}]'),
    (22, 'the whole document removed', '{"a":1}', '[{"op":"remove","path":""}]'),
    (23, 'test: another type', '{"a":1}', '[{"op":"test","path":"/a","value":"1"}]'),
    (24, 'test: another length', '{"a":[1,2]}', '[{"op":"test","path":"/a","value":[1]}]'),
    (25, 'test: of a changed value', '{"a":[1,2]}', '[{"op":"add","path":"/a/-","value":3},{"op":"test","path":"/a","value":[1,2,4]}]')
  ) AS states(number, name, target, patch) ORDER BY number;

-- What is wrong in itself: PT400, whatever the document and the operations before.
SELECT is(pg_temp.refusal('{"a":1}', patch), 'PT400 bad-patch esgf_stac', patch::text)
  FROM (VALUES
    (1, '{}'::jsonb), (2, '1'), (3, 'null'), (4, '[1]'), (5, '[[]]'), (6, '[null]'), (7, '[{}]'),
    (8, '[{"op":"spam","path":"/a"}]'), (9, '[{"op":"Add","path":"/a","value":1}]'), (10, '[{"op":1,"path":"/a"}]'),
    (11, '[{"op":"remove"}]'), (12, '[{"op":"remove","path":null}]'), (13, '[{"op":"remove","path":"a"}]'),
    (14, '[{"op":"remove","path":"/~"}]'), (15, '[{"op":"remove","path":"/~2"}]'), (16, '[{"op":"add","path":"/a"}]'),
    (17, '[{"op":"replace","path":"/a"}]'), (18, '[{"op":"test","path":"/a"}]'), (19, '[{"op":"move","path":"/a"}]'),
    (20, '[{"op":"copy","path":"/a","from":null}]'), (21, '[{"op":"copy","path":"/a","from":"b"}]'),
    (22, '[{"op":"move","from":"/a","path":"/a/b"}]'), (23, '[{"op":"move","from":"","path":"/a"}]'),
    (24, '[{"op":"remove","path":"/missing"},{"op":"remove","path":"a"}]')
  ) AS forms(number, patch) ORDER BY number;

-- The words.
SELECT is(pg_temp.words('{}', '[{"op":"add","path":"/a","value":1},{"op":"replace","path":"/b/c","value":1}]'),
          'JSON patch does not apply: there is nothing at this path | Operation 1: op "replace", path "/b/c".', 'index from 0, op and path');
SELECT is(pg_temp.words('{}', '[{"op":"move","from":"/a","path":"/a/b"}]'),
          'bad JSON patch: a value cannot be moved into itself | Operation 0: op "move", path "/a/b", from "/a".', 'from, too');
SELECT is(pg_temp.words('{}', '{"a":1}'),
          'bad JSON patch: a patch is an array of operations | An object is a JSON merge patch, for jsonb_merge_patch().', 'an object is a merge patch');
SELECT is(pg_temp.words('{}', jsonb_build_array(jsonb_build_object('op', repeat('é', 201), 'path', '/' || repeat('ü', 200)))),
          'bad JSON patch: "op" is none of add, remove, replace, move, copy, test | Operation 0: op "'
          || repeat('é', 200) || '...", path "/' || repeat('ü', 199) || '...".', 'each cut at 200 characters');

-- SQL NULL is absence, and no JSON null.
SELECT is(jsonb_patch(NULL, '[]'), NULL, 'no target, no result');
SELECT is(jsonb_patch('{}', NULL), NULL, 'no operations, no result');

SELECT * FROM finish();
ROLLBACK;
