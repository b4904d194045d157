\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- Schemas by their URLs: revisions, which one is in force, references between documents.
SELECT plan(136);
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
CREATE FUNCTION pg_temp.details(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    details text;
BEGIN
    EXECUTE query;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS details = PG_EXCEPTION_DETAIL;
    RETURN details;
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

-- References between documents.
SELECT is(pg_temp.add('r/item', '{"properties": {"common": {"$ref": "common"}, "b": {"$ref": "#/definitions/b"}}, "definitions": {"b": {"$ref": "bands#/definitions/b"}}}'), 1, 'a reference to what is not there');
SELECT is(pg_temp.says('r/item', '{}'), 'bad-schema /properties/common/$ref: "$ref" leads nowhere: https://x.org/r/common is not registered
/definitions/b/$ref: "$ref" leads nowhere: https://x.org/r/bands#/definitions/b is not registered', 'keeps the revision out of force');
SELECT is((SELECT string_agg(concat_ws(' | ', subject, detail, cure), E'\n' ORDER BY detail) FROM esgf_stac.doctor() WHERE hazard = 'schema'),
'https://x.org/r/item | revision 1 judges nothing: https://x.org/r/item refers at /definitions/b/$ref to https://x.org/r/bands#/definitions/b, which is not registered | -- SELECT esgf_stac.add_schema(''https://x.org/r/bands'', ...); with the document that is published there
https://x.org/r/item | revision 1 judges nothing: https://x.org/r/item refers at /properties/common/$ref to https://x.org/r/common, which is not registered | -- SELECT esgf_stac.add_schema(''https://x.org/r/common'', ...); with the document that is published there', 'as doctor says');
SELECT is(pg_temp.add('r/common', '{"items": {"$ref": "bands"}, "type": "array"}'), 1, 'one of two that need each other');
SELECT is(pg_temp.says('r/common', '[]'), 'bad-schema /items/$ref: "$ref" leads nowhere: https://x.org/r/bands is not registered', 'is not in force either');
SELECT pg_temp.refused($$SELECT pg_temp.add('r/bands', '{"properties": {"common": {"$ref": "common"}}}')$$, 'PT400', 'bad-schema', 'what others refer to must be there');
SELECT is(pg_temp.add('r/bands', '{"properties": {"common": {"$ref": "common"}}, "definitions": {"b": {"type": "null"}}}'), 1, 'the other one');
SELECT is(pg_temp.says('r/item', '{"common": [{"common": [{"common": {}}]}], "b": 5}'), '/b type, /common/0/common/0/common type', 'now all are in force');
SELECT is_empty($$SELECT FROM esgf_stac.doctor() WHERE hazard = 'schema'$$, 'and doctor is content');
SELECT is(pg_temp.add('r/bands', '{"properties": {"common": {"$ref": "common"}}, "definitions": {"b": {"type": "number"}}}'), 2, 'a new revision');
SELECT is(pg_temp.says('r/item', '{"b": 5}'), 'fine', 'is what references mean from now on');
SELECT is(pg_temp.says('r/item', '{"b": 5}', 1), 'fine', 'asked by its number, too');
SELECT pg_temp.refused($$SELECT pg_temp.add('r/bands', '{"definitions": {"a": true}}')$$, 'PT400', 'bad-schema', 'no revision takes from others what they refer to');
SELECT is(pg_temp.says('r/item', '{"b": 5}'), 'fine', 'nor has one that was refused left anything');
SELECT is(pg_temp.add('r/bands', '{"definitions": {"a": true}}', retired => true), 3, 'for trial it may');
SELECT pg_temp.refused($$SELECT esgf_stac.retire_schema('https://x.org/r/bands', 3, false)$$, 'PT400', 'bad-schema', 'but not be put into force');
SELECT pg_temp.refused($$SELECT pg_temp.add('r/other', '{"$ref": "bands#/definitions/a"}')$$, 'PT400', 'bad-schema', 'what is not there in a document that is');
SELECT lives_ok($$SELECT esgf_stac.retire_schema('https://x.org/r/bands', 2), esgf_stac.retire_schema('https://x.org/r/bands', 1)$$, 'what others refer to can be retired');
SELECT is(pg_temp.says('r/common', '[]'), 'bad-schema /items/$ref: "$ref" leads nowhere: https://x.org/r/bands is not registered', 'then they are out of force');
SELECT lives_ok($$SELECT esgf_stac.retire_schema('https://x.org/r/bands', 2, false)$$, 'until it is back');
SELECT is(pg_temp.says('r/common', '[{"common": 5}]'), '/0/common type', 'and they as well');

-- What a reference means: in the document, at a URL, by the "$id" of just one document.
SELECT is(pg_temp.add('i/a', '{"$id": "https://ids.org/a", "type": "null", "definitions": {"here": {"$id": "there", "type": "boolean"}, "anchor": {"$id": "#anchor", "type": "number"}}}'), 1, 'a document with another "$id"');
SELECT is(pg_temp.add('i/by_id', '{"items": [{"$ref": "https://ids.org/a#"}, {"$ref": "https://ids.org/a#anchor"}, {"$ref": "a"}]}'), 1, 'is meant by that as by its URL');
SELECT is(pg_temp.says('i/by_id', '[1, null, 1]'), '/0 type, /1 type, /2 type', 'it judges');
SELECT is(pg_temp.says('i/by_id', '[null, 1, null]'), 'fine', 'as it should');
SELECT is(pg_temp.add('i/embedded', '{"$ref": "https://ids.org/there"}'), 1, 'what is embedded in another document');
SELECT matches(pg_temp.says('i/embedded', '1'), 'leads nowhere', 'is not meant');
SELECT is(pg_temp.add('i/a2', '{"$id": "https://ids.org/a#", "type": "string"}'), 1, 'another one with that "$id"');
SELECT matches(pg_temp.says('i/by_id', '[null, 1, null]'), '/items/0/\$ref: "\$ref" leads nowhere: https://ids.org/a# is not registered', 'makes it mean neither');
SELECT is(esgf_stac.add_schema('https://ids.org/a', '{"$id": "https://x.org/i/a", "type": "integer", "definitions": {"anchor": {"$id": "#anchor", "type": "string"}}}'), 1, 'what is registered there');
SELECT is(pg_temp.says('i/by_id', '[1, "x", null]'), 'fine', 'is meant before, and its "$id" takes nobody''s URL');
SELECT is(pg_temp.add('i/own', '{"$id": "https://ids.org/own", "properties": {"a": {"$ref": "a"}, "b": {"$ref": "b"}}, "definitions": {"b": {"$id": "a", "type": "null"}}}'), 1, 'in the document itself');
SELECT matches(pg_temp.says('i/own', '{}'), '^bad-schema /properties/b/\$ref: "\$ref" leads nowhere: https://ids.org/b is not registered$', 'is meant first');
SELECT is(pg_temp.add('i/self', '{"properties": {"a": {"$ref": "https://x.org/i/self"}}, "required": ["a"]}'), 1, 'a schema that refers to itself');
SELECT is(pg_temp.add('i/self', '{"properties": {"a": {"$ref": "https://x.org/i/self"}}}', retired => true), 2, 'and one for trial');
SELECT is(pg_temp.says('i/self', '{"a": {"a": {}}}', 2) || ', ' || pg_temp.says('i/self', '{"a": {"a": {}}}', 1), 'fine, /a/a/a required', 'each means itself');
SELECT is(pg_temp.add('i/07', '{"$ref": "http://json-schema.org/draft-07/schema"}'), 1, 'draft-07''s own schema');
SELECT is(pg_temp.says('i/07', '{"type": "text"}'), '/type enum', 'is built in');
SELECT is(pg_temp.add('i/formats', '{"items": [{"format": "uri"}, {"$ref": "../format"}]}'), 1, 'formats');
SELECT is(pg_temp.add('format', '{"format": "uri"}', assert_formats => true), 4, 'are asserted');
SELECT is(pg_temp.says('i/formats', '["x", "x"]'), '/1 format', 'in the document that asks it');

-- Circles that do not descend.
SELECT is(pg_temp.add('o/a', '{"allOf": [{"$ref": "b"}]}') + pg_temp.add('o/b', '{"definitions": {"x": {"anyOf": [{"$ref": "c#/definitions/y"}]}}, "$ref": "#/definitions/x"}'), 2, 'two sides of a circle');
SELECT pg_temp.refused($$SELECT pg_temp.add('o/c', '{"definitions": {"y": {"not": {"$ref": "a"}}}}')$$, 'PT400', 'bad-schema', 'are not closed');
SELECT is((SELECT details FROM pg_temp.details($$SELECT pg_temp.add('o/c', '{"definitions": {"y": {"not": {"$ref": "a"}}}}')$$) details), '/definitions/y/not/$ref: "$ref" leads in a circle that does not descend into the document', 'the reference that would close it');
SELECT is(pg_temp.add('o/c', '{"definitions": {"y": {"items": {"$ref": "a"}}}}'), 1, 'one that descends');
SELECT is(pg_temp.says('o/a', '[[[]]]'), 'fine', 'may be');
SELECT pg_temp.refused($$SELECT pg_temp.add('o/c', '{"definitions": {"y": {"not": {"$ref": "a"}}}}', retired => true)$$, 'PT400', 'bad-schema', 'nor is one closed for trial');
SELECT is(pg_temp.add('o/d', '{"not": {"$ref": "e"}}', retired => true) + pg_temp.add('o/e', '{"$ref": "d"}'), 2, 'one side of another is for trial');
SELECT pg_temp.refused($$SELECT esgf_stac.retire_schema('https://x.org/o/d', 1, false)$$, 'PT400', 'bad-schema', 'and cannot be put into force');

SELECT * FROM finish();
ROLLBACK;
