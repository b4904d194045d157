\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set setup :srcdir '/setup.psql'
\i :setup

-- JSON pointer: RFC 6901.
SET LOCAL search_path = esgf_stac, public;
SELECT plan(41);

CREATE FUNCTION pg_temp.refusal(target jsonb, pointer text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    slug text;
BEGIN
    RETURN 'found: ' || coalesce(jsonb_pointer(target, pointer)::text, 'NULL');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS slug = CONSTRAINT_NAME;
    RETURN SQLSTATE || ' ' || slug;
END $$;

-- RFC 6901, section 5.
CREATE TEMPORARY TABLE example AS
SELECT '{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}'::jsonb AS document;
SELECT is(jsonb_pointer(document, pointer), value, format('"%s"', pointer))
  FROM example, (VALUES
    (1, '/foo', '["bar","baz"]'::jsonb), (2, '/foo/0', '"bar"'), (3, '/', '0'), (4, '/a~1b', '1'), (5, '/c%d', '2'),
    (6, '/e^f', '3'), (7, '/g|h', '4'), (8, '/i\j', '5'), (9, '/k"l', '6'), (10, '/ ', '7'), (11, '/m~0n', '8')
  ) AS section5(number, pointer, value) ORDER BY number;
SELECT is(jsonb_pointer(document, ''), document, 'the whole document') FROM example;

-- Absent: SQL NULL.
SELECT is(jsonb_pointer(target, pointer), NULL, format('%s in %s', pointer, target))
  FROM (VALUES
    (1, '{"a":[1,2],"b":null,"c":"x"}'::jsonb, '/d'), (2, '{"a":[1,2]}', '/a/2'), (3, '{"a":[1,2]}', '/a/-'), (4, '{"a":[1,2]}', '/a/01'),
    (5, '{"a":[1,2]}', '/a/+1'), (6, '{"a":[1,2]}', '/a/-1'), (7, '{"a":[1,2]}', '/a/'), (8, '{"a":[1,2]}', '/a/x'), (9, '{"b":null}', '/b/c'),
    (10, '{"c":"x"}', '/c/0'), (11, '1', '/0'), (12, '{}', '/'), (13, '{"a":[1,2]}', '/a/4294967296'), (14, '{"a":[1,2]}', '/a/18446744073709551616')
  ) AS absent(number, target, pointer) ORDER BY number;

-- Present: JSON null is a value, scalars are documents of their own.
SELECT is(jsonb_pointer(target, pointer)::text, value, format('%s in %s', pointer, target))
  FROM (VALUES
    (1, '{"b":null}'::jsonb, '/b', 'null'), (2, '[1.50,true]', '/0', '1.50'), (3, '[1.50,true]', '/1', 'true'), (4, '"x"', '', '"x"'),
    (5, '{"~1":{"/":[{"":1}]}}', '/~01/~1/0/', '1'), (6, '{"é":{"0":2}}', '/é/0', '2')
  ) AS present(number, target, pointer, value) ORDER BY number;
SELECT ok(bool_and(record_image_eq(ROW(found), ROW(found::text::jsonb))), 'the bytes are the parser''s')
  FROM example, LATERAL (VALUES ('/foo'), ('/foo/1'), ('/m~0n'), ('')) p(pointer), LATERAL jsonb_pointer(document, pointer) AS found;

-- Wrong in itself: PT400.
SELECT is(pg_temp.refusal('{}', pointer), 'PT400 bad-patch', format('"%s"', pointer))
  FROM (VALUES (1, 'a'), (2, '#/a'), (3, '/~'), (4, '/a~'), (5, '/~2'), (6, '/~~0')) AS wrong(number, pointer) ORDER BY number;

SELECT is(jsonb_pointer(NULL, ''), NULL, 'no target, no value');
SELECT is(jsonb_pointer('{}', NULL), NULL, 'no pointer, no value');

SELECT * FROM finish();
ROLLBACK;
