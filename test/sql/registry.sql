\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- Schemas by their URLs: revisions, which one is in force, references between documents.
SELECT plan(87);
CREATE ROLE esgf_stac_test_reader IN ROLE esgf_stac_reader;
CREATE ROLE esgf_stac_test_admin IN ROLE esgf_stac_admin;

CREATE FUNCTION pg_temp.add(path text, document jsonb, cv_version text DEFAULT NULL, assert_formats boolean DEFAULT false, retired boolean DEFAULT false) RETURNS int LANGUAGE sql AS $$
    SELECT esgf_stac.add_schema('https://x.org/' || path, document, cv_version, assert_formats, retired) $$;
-- What a schema says of a document; or that it cannot.
CREATE FUNCTION pg_temp.says(path text, document jsonb, revision int DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    slug text;
    details text;
BEGIN
    RETURN (SELECT coalesce(string_agg(concat_ws(' ', pointer, keyword), ', '), 'fine') FROM esgf_stac.schema_problems('https://x.org/' || path, document, revision));
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS slug = CONSTRAINT_NAME, details = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', slug, nullif(details, ''));
END $$;
CREATE FUNCTION pg_temp.revisions(path text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(revision || CASE WHEN retired IS NULL THEN '' ELSE '-' END, ' ' ORDER BY revision) FROM esgf_stac.schema WHERE url = 'https://x.org/' || path $$;

-- Revisions of one URL.
SELECT is(pg_temp.add('a', '{"type": "string"}'), 1, 'the first revision');
SELECT is(pg_temp.add('a', '{"type": "string"}'), 1, 'the same again');
SELECT is(pg_temp.add('a#', '{"type":  "string"}'), 1, 'an empty fragment is none');
SELECT is(pg_temp.says('a', '1') || ', ' || pg_temp.says('a#', '"x"'), ' type, fine', 'is in force');
SELECT is(pg_temp.add('a', '{"type": "string"}', '6.2.58'), 2, 'another version of the CV');
SELECT is(pg_temp.add('a', '{"type": "string"}'), 2, 'null is whatever it is');
SELECT is(pg_temp.add('a', '{"type": "string"}', '6.2.58', true), 3, 'asserted formats');
SELECT is(pg_temp.add('a', '{"type": "number"}', '6.2.58'), 4, 'another document');
SELECT is(pg_temp.add('a', '{"type": "string"}', '6.2.58'), 5, 'what returns is a new revision');
SELECT is(pg_temp.add('a', '{"maximum": 5}', retired => true), 6, 'one for trial');
SELECT is(pg_temp.add('a', '{"maximum": 5.0}', retired => true), 6, 'the same again');
SELECT is(pg_temp.add('a', '{"type": "string"}', '6.2.58'), 5, 'which is not in force');
SELECT is(pg_temp.says('a', '6') || ', ' || pg_temp.says('a', '6', 6) || ', ' || pg_temp.says('a', '6', 4), ' type,  maximum, fine', 'nor judges, unless it is asked for');
SELECT is(pg_temp.add('a', '{"maximum": 5}'), 7, 'until it is registered');
SELECT is(pg_temp.add('a', '{"maximum": 5}', retired => true), 7, 'for trial again: it is the newest');
SELECT is(pg_temp.revisions('a'), '1 2 3 4 5 6- 7', 'all are kept');
SELECT is((SELECT format('%s %s %s %s', encode(sha256, 'hex') = encode(sha256(convert_to('{"type": "string"}', 'UTF8')), 'hex'), cv_version, assert_formats, added_by = current_user) FROM esgf_stac.schema WHERE revision = 3), 't 6.2.58 t t', 'a row');

-- What is in force.
SELECT lives_ok($$SELECT esgf_stac.retire_schema('https://x.org/a', 7)$$, 'to retire the one in force');
SELECT is(pg_temp.says('a', '6'), ' type', 'lets the one before judge again');
SELECT lives_ok($$SELECT esgf_stac.retire_schema('https://x.org/a', 7), esgf_stac.retire_schema('https://x.org/a#', 6, false)$$, 'to retire the retired is nothing; a trial is over');
SELECT is(pg_temp.says('a', '6') || ' ' || pg_temp.revisions('a'), ' maximum 1 2 3 4 5 6 7-', 'the newest that is not retired');
SELECT lives_ok($$SELECT esgf_stac.retire_schema('https://x.org/a', n) FROM generate_series(1, 6) n$$, 'to retire all');
SELECT is(pg_temp.says('a', '6'), 'schema-does-not-exist', 'none is in force');
SELECT is(pg_temp.says('a', '6', 7), ' maximum', 'each still judges when asked for');

-- What is refused.
SELECT pg_temp.refused(format('SELECT esgf_stac.add_schema(%L, ''{}'')', url), 'PT400', 'bad-request', coalesce(url, 'no URL'))
  FROM unnest(ARRAY[NULL, '', '#', 'a', '/a', 'x.org/a', '//x.org/a', 'ftp://x.org/a', 'urn:x', 'http:', 'http://', 'https:///a', 'https://?a', 'https://x.org/a b', 'https://x.org/a#b', 'https://x.org/a##']) url;
SELECT pg_temp.refused($$SELECT esgf_stac.add_schema('https://x.org/' || repeat('a', 2000), '{}')$$, 'PT400', 'bad-request', 'a long URL');
SELECT pg_temp.refused($$SELECT esgf_stac.add_schema('https://x.org/' || repeat('a', 1000000), '{}')$$, 'PT400', 'bad-request', 'and a very long one');
SELECT is(pg_temp.add('é' || repeat('a', 1900), '{}'), 1, 'one that may be');
SELECT pg_temp.refused(format('SELECT esgf_stac.add_schema(''https://x.org/a'', %s)', arguments), 'PT400', 'bad-request', arguments)
  FROM unnest(ARRAY['NULL', '''{}'', assert_formats => NULL', '''{}'', retired => NULL', '''{}'', repeat(''1'', 256)']) arguments;
SELECT pg_temp.refused(format('SELECT esgf_stac.retire_schema(%s)', arguments), 'PT400', 'bad-request', arguments) FROM unnest(ARRAY['NULL, 1', '''https://x.org/a'', NULL', '''https://x.org/a'', 1, NULL']) arguments;
SELECT pg_temp.refused(format('SELECT esgf_stac.retire_schema(%s)', arguments), 'PT404', 'schema-does-not-exist', arguments) FROM unnest(ARRAY['''https://x.org/a'', 8', '''https://x.org/A'', 1', '''a'', 1', 'E''a\nb'', 1', 'repeat(''https://x.org/'', 100000), 0']) arguments;
SELECT pg_temp.refused(format('SELECT * FROM esgf_stac.schema_problems(%s)', arguments), 'PT400', 'bad-request', arguments) FROM unnest(ARRAY['NULL, ''1''', '''https://x.org/a'', NULL']) arguments;
SELECT pg_temp.refused(format('SELECT * FROM esgf_stac.schema_problems(%s)', arguments), 'PT404', 'schema-does-not-exist', arguments)
  FROM unnest(ARRAY['''https://x.org/none'', ''1''', '''https://x.org/a'', ''1'', 8', '''https://x.org/a'', ''1'', 0', '''https://x.org/a'', ''1'', -1', 'repeat(''a'', 1000000), ''1''', 'E''a\nb'', ''1''']) arguments;
SELECT pg_temp.refused(format('SELECT pg_temp.add(''b'', %L)', document), 'PT400', 'bad-schema', document)
  FROM unnest(ARRAY['1', '{"type": "text"}', '{"$ref": "#/definitions/none"}', '{"$ref": "#"}', '{"unevaluatedProperties": false}', '{"$schema": "http://json-schema.org/draft-04/schema#"}']) document;
SELECT is(pg_temp.revisions('b'), NULL, 'and leaves nothing');

-- By hand nothing is written, whoever does it.
SELECT pg_temp.refused(query, 'PT400', 'operation-not-permitted', query) FROM unnest(ARRAY[
    $$INSERT INTO esgf_stac.schema VALUES ('https://x.org/c', 1, '{}', sha256(''), NULL, false, now(), 'me', NULL)$$,
    $$UPDATE esgf_stac.schema SET retired = now()$$, $$UPDATE esgf_stac.schema SET document = '{}' WHERE revision = 1$$,
    $$DELETE FROM esgf_stac.schema$$, $$TRUNCATE esgf_stac.schema$$]) query;
SET LOCAL ROLE esgf_stac_test_reader;
SELECT isnt((SELECT count(*) FROM esgf_stac.schema), 0::bigint, 'a reader reads schemas');
SELECT is(pg_temp.says('a', '6', 7), ' maximum', 'and asks them');
SELECT pg_temp.refused($$SELECT pg_temp.add('c', '{}')$$, '42501', NULL, 'he registers none');
SELECT pg_temp.refused($$SELECT esgf_stac.retire_schema('https://x.org/a', 1)$$, '42501', NULL, 'and retires none');
SET LOCAL ROLE esgf_stac_test_admin;
SELECT is(pg_temp.add('c', '{}'), 1, 'an administrator does');
RESET ROLE;
SELECT is((SELECT added_by FROM esgf_stac.schema WHERE url = 'https://x.org/c'), 'esgf_stac_test_admin', 'under his name');

-- Formats are asserted of that document which asks it.
SELECT is(pg_temp.add('format', '{"items": {"format": "uri"}}'), 1, 'formats are annotations');
SELECT is(pg_temp.says('format', '["x", "urn:x"]'), 'fine', 'which nothing asserts');
SELECT is(pg_temp.add('format', '{"items": {"format": "uri"}}', assert_formats => true), 2, 'they are asserted');
SELECT is((SELECT format('%s %s: %s', pointer, keyword, detail) FROM esgf_stac.schema_problems('https://x.org/format', '["x", "urn:x", 5]')), '/0 format: must be of format uri, not "x"', 'so that one fails');
SELECT is(pg_temp.add('format', '{"format": "email"}', assert_formats => true), 3, 'others are annotations all the same');
SELECT is(pg_temp.says('format', '"x"'), 'fine', 'of which nothing is asked');

SELECT * FROM finish();
ROLLBACK;
