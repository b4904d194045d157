\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set setup :srcdir '/setup.psql'
\i :setup

-- JSON merge patch: RFC 7396.
SET LOCAL search_path = esgf_stac, public;
SELECT plan(43);

-- RFC 7396, appendix A.
SELECT is(jsonb_merge_patch(target, patch), result, format('%s + %s', target, patch))
  FROM (VALUES
    (1, '{"a":"b"}'::jsonb, '{"a":"c"}'::jsonb, '{"a":"c"}'::jsonb),
    (2, '{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    (3, '{"a":"b"}', '{"a":null}', '{}'),
    (4, '{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    (5, '{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    (6, '{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    (7, '{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    (8, '{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    (9, '["a","b"]', '["c","d"]', '["c","d"]'),
    (10, '{"a":"b"}', '["c"]', '["c"]'),
    (11, '{"a":"foo"}', 'null', 'null'),
    (12, '{"a":"foo"}', '"bar"', '"bar"'),
    (13, '{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    (14, '[1,2]', '{"a":"b","c":null}', '{"a":"b"}'),
    (15, '{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}')
  ) AS appendix(number, target, patch, result) ORDER BY number;

-- RFC 7396, section 3: the example.
SELECT is(
    jsonb_merge_patch(
        '{"title":"Goodbye!","author":{"givenName":"John","familyName":"Doe"},"tags":["example","sample"],"content":"This will be unchanged"}',
        '{"title":"Hello!","phoneNumber":"+01-123-456-7890","author":{"familyName":null},"tags":["example"]}'),
    '{"title":"Hello!","author":{"givenName":"John"},"tags":["example"],"content":"This will be unchanged","phoneNumber":"+01-123-456-7890"}',
    'the example of section 3');

-- What an object patch makes of a target that is none, and other corners.
SELECT is(jsonb_merge_patch(target, patch), result, format('%s + %s', target, patch))
  FROM (VALUES
    (1, 'null'::jsonb, '{}'::jsonb, '{}'::jsonb),
    (2, '1', '{"a":null}', '{}'),
    (3, '"x"', '{"a":{"b":null,"c":1}}', '{"a":{"c":1}}'),
    (4, '[1]', '{}', '{}'),
    (5, '{}', '{}', '{}'),
    (6, '{"a":1}', '{}', '{"a":1}'),
    (7, '{"a":1}', '[]', '[]'),
    (8, '{"a":1}', 'false', 'false'),
    (9, '{"a":{"b":1}}', '{"a":{}}', '{"a":{"b":1}}'),
    (10, '{"a":[1,{"x":null}]}', '{"b":[null,{"y":null}]}', '{"a":[1,{"x":null}],"b":[null,{"y":null}]}'),
    (11, '{"a":1}', '{"a":{"b":null}}', '{"a":{}}'),
    (12, '{"":1,"~":2,"/":3}', '{"":null,"/":{"":4}}', '{"~":2,"/":{"":4}}'),
    (13, '{"b":1,"aa":2}', '{"a":0,"c":3,"ab":4}', '{"a":0,"b":1,"c":3,"aa":2,"ab":4}')
  ) AS corners(number, target, patch, result) ORDER BY number;

-- Written values keep the spelling of the patch, others that of the target.
SELECT is(jsonb_merge_patch('{"a":1.0,"b":1.50,"c":100}', '{"a":1,"d":1.10,"c":1e2}')::text,
          '{"a": 1, "b": 1.50, "c": 100, "d": 1.10}', 'numbers keep their spelling');
SELECT is(jsonb_merge_patch('{"a":1}', '{"a":1.00}')::text, '{"a": 1.00}', 'an equal value is written too');

-- SQL NULL is absence, and no JSON null.
SELECT is(jsonb_merge_patch(NULL, '{}'), NULL, 'no target, no result');
SELECT is(jsonb_merge_patch('{"a":1}', NULL), NULL, 'no patch, no result');

-- Bytes are those that the parser would write, over many strides of entries.
SELECT ok(bool_and(record_image_eq(ROW(result), ROW(result::text::jsonb))), 'the bytes are the parser''s')
  FROM (SELECT jsonb_object_agg(repeat('k', i % 7) || i, CASE i % 5 WHEN 0 THEN to_jsonb(i) WHEN 1 THEN to_jsonb(repeat('x', i % 11))
                                       WHEN 2 THEN jsonb_build_object('n', i) WHEN 3 THEN 'true' ELSE '[1.5, "y", null]' END) AS target
          FROM generate_series(1, 300) i) t,
       generate_series(0, 299, 13) p,
       LATERAL jsonb_merge_patch(target, jsonb_build_object(
           repeat('k', p % 7) || p, repeat('z', p % 9), repeat('k', (p + 1) % 7) || (p + 1), NULL, 'new' || p, p)) AS result;

-- The functions as the catalogue has them.
SELECT is(concat(p.provolatile, p.proisstrict, p.proparallel), 'its', p.proname || ' is immutable, strict, parallel safe')
  FROM pg_catalog.pg_proc p
 WHERE p.pronamespace = 'esgf_stac'::regnamespace AND p.proname IN ('jsonb_merge_patch', 'jsonb_patch', 'jsonb_pointer', 'jsonb_diff')
 ORDER BY p.proname;
SELECT ok(bool_and(obj_description(p.oid, 'pg_proc') IS NOT NULL), 'each function is described')
  FROM pg_catalog.pg_proc p
 WHERE p.pronamespace = 'esgf_stac'::regnamespace AND p.proname IN ('jsonb_merge_patch', 'jsonb_patch', 'jsonb_pointer', 'jsonb_diff');

-- Anyone may call them.
CREATE ROLE document_reader;
GRANT USAGE ON SCHEMA public TO document_reader;
SELECT ok(has_schema_privilege('document_reader', 'esgf_stac', 'USAGE'), 'PUBLIC has USAGE on the schema');
SELECT ok(bool_and(has_function_privilege('document_reader', p.oid, 'EXECUTE')), 'PUBLIC has EXECUTE on the four')
  FROM pg_catalog.pg_proc p
 WHERE p.pronamespace = 'esgf_stac'::regnamespace AND p.proname IN ('jsonb_merge_patch', 'jsonb_patch', 'jsonb_pointer', 'jsonb_diff');

-- Long values, stored compressed and out of line.
CREATE TEMPORARY TABLE stored (document jsonb);
INSERT INTO stored
SELECT jsonb_build_object('big', string_agg(md5(i::text), ''), 'same', repeat('a', 100000), 'n', 1) FROM generate_series(1, 5000) i;
SELECT is(jsonb_merge_patch(document, '{"n":2}') - 'n', document - 'n', 'a stored document is read whole') FROM stored;
SELECT is(jsonb_merge_patch('{"n":3}', document), document, 'a stored patch as well') FROM stored;

SELECT * FROM finish();
ROLLBACK;
