\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set setup :srcdir '/setup.psql'
\i :setup

-- JSON Schema: what each keyword says of a value, what is no schema, and what a
-- call site keeps. Verdicts in general are the official suite's (t/155).
SET LOCAL search_path = esgf_stac, public;
SELECT plan(256);

-- All rows, "pointer keyword: detail", and the verdict beside them.
CREATE FUNCTION pg_temp.rows(schema jsonb, document jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text := (SELECT string_agg(format('%s %s: %s', coalesce(pointer, '-'), coalesce(keyword, '-'), detail), E'\n') FROM jsonb_schema_problems(schema, document));
BEGIN
    IF (found IS NULL) IS DISTINCT FROM jsonb_schema_valid(schema, document) THEN
        RETURN 'the functions differ: ' || found;
    END IF;
    RETURN coalesce(found, 'valid');
END $$;
-- The DETAIL of a refusal, or what was answered instead.
CREATE FUNCTION pg_temp.bad(schema jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    slug text;
    about text;
    details text;
BEGIN
    RETURN 'answered ' || jsonb_schema_valid(schema, '[]');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS slug = CONSTRAINT_NAME, about = TABLE_NAME, details = PG_EXCEPTION_DETAIL;
    IF (SQLSTATE, slug, about) <> ('PT400', 'bad-schema', 'schema') THEN
        RETURN format('%s %s: %s', SQLSTATE, slug, SQLERRM);
    END IF;
    RETURN details;
END $$;

SELECT is(pg_temp.rows(schema::jsonb, document::jsonb), problems, format('%s of %s', document, left(schema, 100)))
  FROM (VALUES
    -- Types and equality: as jsonb has them.
    (1, 'true', '1', 'valid'),
    (2, 'false', '1', ' false: can be nothing that this schema allows'),
    (3, '{"type": ["string", "null"]}', '1.5', ' type: must be null or string, not number'),
    (4, '{"type": "integer"}', '1.5', ' type: must be integer, not number'),
    (5, '{"type": "integer"}', '1.0', 'valid'),
    (6, '{"type": "integer"}', '1e400', 'valid'),
    (7, '{"type": "number"}', '1e-400', 'valid'),
    (8, '{"type": "number"}', 'true', ' type: must be number, not boolean'),
    (9, '{"type": "object"}', 'null', ' type: must be object, not null'),
    (10, '{"const": 1.0}', '1', 'valid'),
    (11, '{"const": {"a": [1, {"b": 2.0}]}}', '{"a": [1.00, {"b": 2}]}', 'valid'),
    (12, '{"const": false}', '0', ' const: must be false, not 0'),
    (13, '{"const": "a"}', '"b"', ' const: must be "a", not "b"'),
    (14, '{"const": [1]}', '[2]', ' const: must be another value than an array'),
    (15, '{"enum": [1, "a", null, [2]]}', '[2.0]', 'valid'),
    (16, '{"enum": []}', '1', ' enum: must be one of 0 values, not 1'),
    (17, '{"const": 1, "const": 2}', '2', 'valid'),
    -- Numbers: exact.
    (20, '{"multipleOf": 0.1}', '0.3', 'valid'),
    (21, '{"multipleOf": 0.01}', '123456789012345678901234567890.005', ' multipleOf: must be a multiple of 0.01, not 123456789012345678901234567890.005'),
    (22, '{"multipleOf": 3}', '-6', 'valid'),
    (23, '{"multipleOf": 1e-5}', '1e300', 'valid'),
    (24, '{"minimum": 1, "maximum": 1.0}', '1', 'valid'),
    (25, '{"minimum": 1}', '0.9999999999999999999999', ' minimum: must be at least 1, not 0.9999999999999999999999'),
    (26, '{"maximum": 1}', '1.0000000000000000000001', ' maximum: must be at most 1, not 1.0000000000000000000001'),
    (27, '{"exclusiveMinimum": 1, "exclusiveMaximum": 1}', '1', E' exclusiveMinimum: must be greater than 1, not 1\n exclusiveMaximum: must be less than 1, not 1'),
    -- Strings: code points.
    (30, '{"maxLength": 2, "minLength": 2}', '"é😀"', 'valid'),
    (31, '{"minLength": 3}', '"é😀"', ' minLength: must have at least 3 characters, not 2'),
    (32, '{"maxLength": 1}', '"é😀"', ' maxLength: must have at most 1 characters, not 2'),
    (33, '{"maxLength": 1e400, "minLength": 0.0}', '""', 'valid'),
    (34, '{"pattern": "^r\\d+$"}', '"r1x"', ' pattern: must match "^r\\d+$", not be "r1x"'),
    (35, '{"pattern": "b"}', '"abc"', 'valid'),
    (36, '{"pattern": "b", "minLength": 1}', '1', 'valid'),
    -- Arrays.
    (40, '{"items": {"type": "string"}}', '["a", 1, "b", 2]', E'/1 type: must be string, not integer\n/3 type: must be string, not integer'),
    (41, '{"items": [{"type": "string"}], "additionalItems": false}', '[1, 2]', E'/0 type: must be string, not integer\n/1 additionalItems: must not be here'),
    (42, '{"items": {"type": "string"}, "additionalItems": false}', '["a"]', 'valid'),
    (43, '{"items": false}', '[1]', '/0 items: must not be here'),
    (44, '{"minItems": 2, "contains": {"const": "x"}}', '["y"]', E' minItems: must have at least 2 elements, not 1\n contains: must have the element "x"'),
    (45, '{"maxItems": 0, "contains": {"minimum": 5}}', '[1]', E' maxItems: must have at most 0 elements, not 1\n contains: must have an element as "contains" asks'),
    (46, '{"uniqueItems": true}', '[{"a": 1, "b": 2}, 1, {"b": 2, "a": 1.0}]', ' uniqueItems: must not have equal elements, as 0 and 2 are'),
    (47, '{"uniqueItems": true}', '[1, true, "1", [1], 0, false, null, {}, [], "", [[]]]', 'valid'),
    (48, '{"uniqueItems": true}', '[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, "a", 3.0]', ' uniqueItems: must not have equal elements, as 2 and 12 are'),
    -- Objects: a missing or superfluous member has its own pointer.
    (50, '{"required": ["bb", "a", "c"]}', '{"c": 1}', E'/a required: is missing\n/bb required: is missing'),
    (51, '{"properties": {"a": {"type": "string"}}, "additionalProperties": false}', '{"a": 1, "b/c~": 2}', E'/a type: must be string, not integer\n/b~1c~0 additionalProperties: must not be here: the schema has no such member'),
    (52, '{"additionalProperties": {"type": "string"}}', '{"x": 1}', '/x type: must be string, not integer'),
    (53, '{"properties": {"a": false}, "patternProperties": {"^b": false}}', '{"a": 1, "bc": 2}', E'/a properties: must not be here\n/bc patternProperties: must not be here'),
    (54, '{"patternProperties": {"^(?!x:)": {}}, "properties": {"x:a": {}}, "additionalProperties": false}', '{"x:a": 1, "y": 2, "x:b": 3}', '/x:b additionalProperties: must not be here: the schema has no such member'),
    (55, '{"propertyNames": {"maxLength": 2}}', '{"abc": 1, "ab": 2, "abcd": 3}', E'/abc propertyNames: must not have this name, which must have at most 2 characters, not 3\n/abcd propertyNames: must not have this name, which must have at most 2 characters, not 4'),
    (56, '{"minProperties": 2, "maxProperties": 0}', '{"a": 1}', E' minProperties: must have at least 2 members, not 1\n maxProperties: must have at most 0 members, not 1'),
    (57, '{"dependencies": {"a": ["b", "c"], "d": {"required": ["e"]}, "f": ["g"]}}', '{"a": 1, "c": 1, "d": 1}', E'/b dependencies: is missing, though "a" is there\n/e required: is missing'),
    (58, '{"properties": {"a": {"type": "string"}}}', '{"a": null}', '/a type: must be string, not null'),
    (59, '{"properties": {"a": {"properties": {"b": {"items": {"const": 1}}}}}}', '{"a": {"b": [1, 2]}}', '/a/b/1 const: must be 1, not 2'),
    (60, '{"required": [""], "properties": {"": {"const": 1}}}', '{"": 2}', '/ const: must be 1, not 2'),
    -- Schemas of the same value.
    (70, '{"not": {"type": "string"}}', '"a"', ' not: must not be as "not" says'),
    (71, '{"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"minimum": 2}}', '"a"', ' minLength: must have at least 2 characters, not 1'),
    (72, '{"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"minimum": 2}}', '1', ' minimum: must be at least 2, not 1'),
    (73, '{"then": false}', '1', 'valid'),
    (74, '{"if": true, "then": false}', '1', ' then: must not be here'),
    (135, '{"allOf": [{"if": true, "then": {"required": ["a"]}}, {"if": true, "then": {"required": ["b"]}}]}', '{}', E'/b required: is missing\n/a required: is missing'),
    (136, '{"allOf": [{"if": {"$ref": "#/$defs/c"}, "else": {"minItems": 1}}, {"if": {"$ref": "#/$defs/c"}, "then": {"minItems": 1}, "else": {"maxItems": 3}}], "$defs": {"c": {"type": "object"}}}', '[]', ' minItems: must have at least 1 elements, not 0'),
    (137, '{"allOf": [{"$ref": "#/$defs/a"}, {"allOf": [{"$ref": "#/$defs/a"}], "minItems": 1}], "$defs": {"a": {"if": {"type": "array"}, "then": {"maxItems": 0}}}}', '[0]', ' maxItems: must have at most 0 elements, not 1'),
    (75, '{"allOf": [{"required": ["a"]}, {"required": ["a"]}, {"required": ["b"]}]}', '{}', E'/a required: is missing\n/b required: is missing'),
    (76, '{"allOf": [{"minimum": 3}, {"minimum": 3}, {"minimum": 4}]}', '1', E' minimum: must be at least 3, not 1\n minimum: must be at least 4, not 1'),
    (77, '{"allOf": [{"type": "string"}, {"type": "string"}], "type": "integer"}', 'null', E' type: must be integer, not null\n type: must be string, not null'),
    (78, '{"allOf": [{"properties": {"a": {"minimum": 2}}}, {"properties": {"a": {"minimum": 3}}, "required": ["b"]}]}', '{"a": 1}', E'/a minimum: must be at least 2, not 1\n/a minimum: must be at least 3, not 1\n/b required: is missing'),
    (79, '{"allOf": [false]}', '1', ' allOf: must not be here'),
    -- Of several, the one that is meant.
    (80, '{"anyOf": [{"type": "string"}, {"type": "object", "required": ["a"]}]}', '{}', '/a required: is missing'),
    (81, '{"anyOf": [{"pattern": "^a"}, {"pattern": "^b"}]}', '"c"', ' anyOf: must fit one of 2 schemas, and fits none'),
    (82, '{"oneOf": [{"properties": {"type": {"const": "A"}, "a": {"type": "string"}}, "required": ["a"]}, {"properties": {"type": {"const": "B"}}, "required": ["b"]}]}', '{"type": "B"}', '/b required: is missing'),
    (83, '{"oneOf": [{"minimum": 1}, {"minimum": 2}, {"minimum": 3}]}', '2', ' oneOf: must fit just one of 3 schemas, and fits 2'),
    (84, '{"oneOf": [{"minimum": 3}, {"minimum": 2}]}', '1', ' oneOf: must fit one of 2 schemas, and fits none'),
    (85, '{"oneOf": [{"$ref": "#/definitions/a"}, {"allOf": [{"type": "array"}, {"minItems": 1}]}], "definitions": {"a": {"type": "object"}}}', '[]', ' minItems: must have at least 1 elements, not 0'),
    (86, '{"oneOf": [{"allOf": [{"$ref": "#/definitions/a"}], "required": ["x"]}, {"properties": {"t": {"enum": ["B"]}}, "required": ["y"]}], "definitions": {"a": {"properties": {"t": {"const": "A"}}}}}', '{"t": "A"}', '/x required: is missing'),
    (87, '{"anyOf": [false, {"type": "string", "minLength": 2}]}', '"a"', ' minLength: must have at least 2 characters, not 1'),
    (88, '{"anyOf": [{"anyOf": [{"type": "integer"}, {"type": "string", "const": "x"}]}, {"type": "array"}]}', '"y"', ' const: must be "x", not "y"'),
    (89, '{"anyOf": [false, false]}', '1', ' anyOf: must fit one of 2 schemas, and fits none'),
    -- References; in draft-07 nothing beside them counts.
    (90, '{"$ref": "#/definitions/a", "minimum": 5, "definitions": {"a": {"type": "integer"}}}', '1', 'valid'),
    (91, '{"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": "#/$defs/a", "minimum": 5, "$defs": {"a": {"type": "string"}}}', '1', E' minimum: must be at least 5, not 1\n type: must be string, not integer'),
    (92, '{"$ref": "#/definitions/a", "definitions": {"a": false}}', '1', ' $ref: must not be here'),
    (93, '{"properties": {"a": {"$ref": "#"}}, "additionalProperties": false}', '{"a": {"a": {"b": 1}}}', '/a/a/b additionalProperties: must not be here: the schema has no such member'),
    (94, '{"$ref": "#/definitions/a~1b%25/0", "definitions": {"a/b%": [{"const": 1}]}}', '2', ' const: must be 1, not 2'),
    (95, '{"items": {"$ref": "#x"}, "definitions": {"y": {"$id": "#x", "const": 1}}}', '[2]', '/0 const: must be 1, not 2'),
    (96, '{"$id": "http://a.org/b/c.json", "items": {"$ref": "d.json#/definitions/e"}, "definitions": {"f": {"$id": "d.json", "definitions": {"e": {"const": 1}}}}}', '[2]', '/0 const: must be 1, not 2'),
    (97, '{"$ref": "http://json-schema.org/draft-07/schema#/definitions/nonNegativeInteger"}', '-1', ' minimum: must be at least 0, not -1'),
    -- Later drafts.
    (100, '{"$schema": "https://json-schema.org/draft/2020-12/schema#", "prefixItems": [{"const": 1}], "items": {"const": 2}}', '[2, 1]', E'/0 const: must be 1, not 2\n/1 const: must be 2, not 1'),
    (101, '{"$schema": "https://json-schema.org/draft/2019-09/schema", "contains": {"const": 1}, "minContains": 2, "maxContains": 3}', '[1]', ' minContains: must have at least 2 elements as "contains" asks, not 1'),
    (102, '{"$schema": "https://json-schema.org/draft/2019-09/schema", "contains": {"const": 1}, "minContains": 0, "maxContains": 1}', '[1, 1, 2]', ' maxContains: must have at most 1 elements as "contains" asks, not 2'),
    (103, '{"$schema": "https://json-schema.org/draft/2019-09/schema", "dependentRequired": {"a": ["b"]}, "dependentSchemas": {"a": false}}', '{"a": 1}', E' dependentSchemas: must not be here\n/b dependentRequired: is missing, though "a" is there'),
    (104, '{"$schema": "https://json-schema.org/draft/2020-12/schema", "items": {"$ref": "#x"}, "$defs": {"y": {"$anchor": "x", "const": 1}}}', '[2]', '/0 const: must be 1, not 2'),
    (105, '{"$schema": "https://json-schema.org/draft/2019-09/schema", "items": [true], "additionalItems": false}', '[1, 2]', '/1 additionalItems: must not be here'),
    -- What is said of no value.
    (110, '{"format": "date-time", "title": "t", "product": 1, "deprecated": true, "default": 1, "$comment": "c", "examples": [1], "contentEncoding": "base64"}', '"x"', 'valid')
  ) AS cases(number, schema, document, problems) ORDER BY number;
SELECT is(pg_temp.rows('{"$ref": "http://json-schema.org/draft-07/schema"}', '{"items": {"minLength": "x"}}'),
          '/items/minLength type: must be integer, not string', 'the metaschema judges schemas');

-- Details: an enum's nearest value, at most a third of the length away and at least 1, the first if several.
CREATE FUNCTION pg_temp.meant(given text, VARIADIC listed text[]) RETURNS text LANGUAGE sql AS $$
    SELECT substring(detail FROM '; (did you mean .*)$') FROM jsonb_schema_problems(jsonb_build_object('enum', listed), to_jsonb(given)) $$;
SELECT is(pg_temp.meant('CMIPS', 'ScenarioMIP', 'CMIP', 'CMIP5'), 'did you mean "CMIP"?', 'the first of the nearest');
SELECT is(pg_temp.meant('scenariomip', 'CMIP', 'ScenarioMIP'), NULL, 'four of eleven letters are too many');
SELECT is(pg_temp.meant('scenarioMIP', 'CMIP', 'ScenarioMIP'), 'did you mean "ScenarioMIP"?', 'one is not');
SELECT is(pg_temp.meant('b', 'a'), 'did you mean "a"?', 'one letter may always differ');
SELECT is(pg_temp.meant('ab', 'xy'), NULL, 'two of two may not');
SELECT is(pg_temp.meant('ééééééX', 'éééééé'), 'did you mean "éééééé"?', 'letters are counted, not bytes');
SELECT is(pg_temp.meant(repeat('x', 255), repeat('x', 254) || 'y') IS NOT NULL, true, 'up to 255 bytes');
SELECT is(pg_temp.meant(repeat('x', 256), repeat('x', 255)), NULL, 'longer ones are not compared');
SELECT is(pg_temp.meant('x', repeat('y', 300), 'y'), 'did you mean "y"?', 'nor longer candidates');
SELECT is(pg_temp.rows('{"enum": ["a", 1, null]}', '"b"'), ' enum: must be one of "a", 1, null, not "b"; did you mean "a"?', 'few values are named');
SELECT is(pg_temp.rows(jsonb_build_object('const', repeat('é', 300)), to_jsonb(repeat('ü', 201))),
          format(' const: must be "%s"..., not "%s"...', repeat('é', 200), repeat('ü', 200)), 'values are cut at 200 characters');
SELECT is(pg_temp.rows('{"maximum": 1}', repeat('9', 300)::jsonb), format(' maximum: must be at most 1, not %s...', repeat('9', 200)), 'numbers too');
SELECT is(pg_temp.rows('{"allOf": [{"enum": ["ax", "b"]}, {"enum": ["ay", "b"]}, {"enum": ["ax", "b"]}]}', '"a"'),
          E' enum: must be one of "ax", "b", not "a"; did you mean "ax"?\n enum: must be one of "ay", "b", not "a"; did you mean "ay"?', 'two enums are two rows, the same one is not');

-- A hundred rows, and the count of the rest.
SELECT is((SELECT count(*) FROM jsonb_schema_problems('{"items": {"type": "string"}}', (SELECT jsonb_agg(i) FROM generate_series(1, 100) i))), 100::bigint, '100 rows');
SELECT is((SELECT format('%s %s %s %s', count(*), count(pointer), count(keyword), max(detail) FILTER (WHERE pointer IS NULL))
             FROM jsonb_schema_problems('{"allOf": [{"items": {"$ref": "#/definitions/s"}}, {"items": {"$ref": "#/definitions/s"}}, {"items": {"type": "string"}}], "definitions": {"s": {"type": "string"}}}',
                                        (SELECT jsonb_agg(i) FROM generate_series(1, 250) i))), '101 100 100 and 150 more', 'each problem is counted once');
SELECT is((SELECT array_agg(pointer ORDER BY n) FROM jsonb_schema_problems('{"additionalProperties": false, "required": ["z"]}', '{"bb": 1, "a": 2, "ccc": 3}')
            WITH ORDINALITY AS p(pointer, keyword, detail, n)), '{/a,/z,/bb,/ccc}', 'in the order of jsonb''s keys');

-- What is no schema: pointer, and a sentence with the keyword, before the document is looked at.
SELECT is(pg_temp.bad(schema::jsonb), detail, left(schema, 100))
  FROM (VALUES
    (1, '1', ': a schema must be an object or a boolean'),
    (2, '{"properties": {"a/b": 1}}', '/properties/a~1b: "properties" must have a schema here, an object or a boolean'),
    (3, '{"minLength": -1}', '/minLength: "minLength" must be a whole number, and not negative'),
    (4, '{"minLength": 1.5}', '/minLength: "minLength" must be a whole number, and not negative'),
    (5, '{"maxItems": "1"}', '/maxItems: "maxItems" must be a whole number, and not negative'),
    (6, '{"type": "text"}', '/type: "type" must be null, boolean, integer, number, string, array or object, or an array of these'),
    (7, '{"type": []}', '/type: "type" must be null, boolean, integer, number, string, array or object, or an array of these'),
    (8, '{"type": ["string", 1]}', '/type: "type" must have an array of strings'),
    (9, '{"type": ["string", "string"]}', '/type: "type" must not have a string twice'),
    (10, '{"enum": {}}', '/enum: "enum" must be an array'),
    (11, '{"multipleOf": 0}', '/multipleOf: "multipleOf" must be greater than 0'),
    (12, '{"exclusiveMinimum": true}', '/exclusiveMinimum: "exclusiveMinimum" must be a number'),
    (13, '{"required": true}', '/required: "required" must have an array of strings'),
    (14, '{"required": ["a", "a"]}', '/required: "required" must not have a string twice'),
    (15, '{"allOf": []}', '/allOf: "allOf" must be an array of schemas that is not empty'),
    (16, '{"anyOf": [1]}', '/anyOf/0: "anyOf" must have a schema here, an object or a boolean'),
    (17, '{"uniqueItems": 1}', '/uniqueItems: "uniqueItems" must be true or false'),
    (18, '{"properties": []}', '/properties: "properties" must be an object'),
    (19, '{"items": []}', '/items: "items" must be an array of schemas that is not empty'),
    (20, '{"$ref": 1}', '/$ref: "$ref" must be a string'),
    (21, '{"title": 1}', '/title: "title" must be a string'),
    (22, '{"format": 1}', '/format: "format" must be a string'),
    (23, '{"dependencies": {"a": "b"}}', '/dependencies/a: "dependencies" must have a schema here, an object or a boolean'),
    (24, '{"dependencies": {"a": [1]}}', '/dependencies/a: "dependencies" must have an array of strings'),
    (25, '{"definitions": {"unused": {"minimum": "1"}}}', '/definitions/unused/minimum: "minimum" must be a number'),
    (26, '{"$id": 1}', '/$id: "$id" must be a string'),
    (27, '{"then": {"const": 1, "type": 1}}', '/then/type: "type" must be null, boolean, integer, number, string, array or object, or an array of these'),
    -- Keywords of other drafts, and those that are not implemented.
    (30, '{"prefixItems": [true]}', '/prefixItems: "prefixItems" is no keyword of draft-07'),
    (31, '{"$anchor": "a"}', '/$anchor: "$anchor" is no keyword of draft-07'),
    (32, '{"dependentRequired": {}}', '/dependentRequired: "dependentRequired" is no keyword of draft-07'),
    (33, '{"minContains": 1}', '/minContains: "minContains" is no keyword of draft-07'),
    (34, '{"unevaluatedProperties": false}', '/unevaluatedProperties: "unevaluatedProperties" is not implemented'),
    (35, '{"items": {"id": "x"}}', '/items/id: "id" is not implemented'),
    (36, '{"$schema": "https://json-schema.org/draft/2020-12/schema", "$dynamicRef": "#a"}', '/$dynamicRef: "$dynamicRef" is not implemented'),
    (37, '{"$schema": "https://json-schema.org/draft/2020-12/schema", "dependencies": {}}', '/dependencies: "dependencies" is no keyword of 2020-12'),
    (38, '{"$schema": "https://json-schema.org/draft/2020-12/schema", "additionalItems": true}', '/additionalItems: "additionalItems" is no keyword of 2020-12'),
    (39, '{"$schema": "https://json-schema.org/draft/2020-12/schema", "items": [true]}', '/items: "items" must have a schema here, an object or a boolean'),
    (40, '{"$schema": "https://json-schema.org/draft/2019-09/schema", "prefixItems": [true]}', '/prefixItems: "prefixItems" is no keyword of 2019-09'),
    (41, '{"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "a#b"}', '/$id: "$id" must have no fragment'),
    (42, '{"$schema": "https://json-schema.org/draft/2020-12/schema", "$anchor": "1"}', '/$anchor: "$anchor" must be a name, of letters, digits, "-", "_" and "."'),
    (43, '{"$schema": "http://json-schema.org/draft-04/schema#"}', '/$schema: "$schema" must name draft-07, 2019-09 or 2020-12 by its URL'),
    (44, '{"$schema": 7}', '/$schema: "$schema" must name draft-07, 2019-09 or 2020-12 by its URL'),
    (45, '{"items": {"$schema": "https://json-schema.org/draft/2020-12/schema"}}', '/items/$schema: "$schema" must name the draft of the whole document'),
    -- References.
    (50, '{"$ref": "#/definitions/a"}', '/$ref: "$ref" leads nowhere: #/definitions/a is not there'),
    (51, '{"items": {"$ref": "http://a.org/b"}}', '/items/$ref: "$ref" leads nowhere: http://a.org/b is not known here'),
    (52, '{"$id": "http://a.org/b/c", "items": {"$ref": "../d"}}', '/items/$ref: "$ref" leads nowhere: http://a.org/d is not known here'),
    (53, '{"$ref": "#nobody"}', '/$ref: "$ref" leads nowhere: #nobody is not there'),
    (54, '{"items": {"$ref": "#/title"}, "title": "t"}', '/items/$ref: "$ref" leads nowhere: #/title is no schema'),
    (55, '{"$ref": "#/%zz"}', '/$ref: "$ref" leads nowhere: #/%zz has no JSON pointer'),
    (56, '{"$ref": "#/a~2"}', '/$ref: "$ref" leads nowhere: #/a~2 has no JSON pointer'),
    (57, '{"items": {"$ref": "#/x"}, "x": {"type": 1}}', '/x/type: "type" must be null, boolean, integer, number, string, array or object, or an array of these'),
    (58, '{"$ref": "#"}', '/$ref: "$ref" leads in a circle that does not descend into the document'),
    (59, '{"items": {"$ref": "#/definitions/a"}, "definitions": {"a": {"allOf": [{"$ref": "#/definitions/b"}]}, "b": {"not": {"$ref": "#/definitions/a"}}}}',
         '/definitions/a/allOf/0/$ref: "$ref" leads in a circle that does not descend into the document'),
    (60, '{"dependencies": {"a": {"if": {"$ref": "#"}}}}', '/dependencies/a/if/$ref: "$ref" leads in a circle that does not descend into the document'),
    -- Patterns.
    (70, '{"pattern": "("}', '/pattern: "pattern" has "(" without ")"'),
    (71, '{"patternProperties": {"[": true}}', '/patternProperties/[: "patternProperties" has "[" without "]"'),
    (72, '{"pattern": "\\p{L}"}', '/pattern: "pattern" has \p{...}, which is not implemented'),
    (73, '{"pattern": "(a)\\1"}', '/pattern: "pattern" has a back reference, which is not implemented'),
    (74, '{"pattern": "(?<n>a)\\k<n>"}', '/pattern: "pattern" has a back reference, which is not implemented'),
    (75, '{"pattern": "***=a"}', '/pattern: "pattern" has a quantifier with nothing to repeat'),
    (76, '{"pattern": "(?i)a"}', '/pattern: "pattern" has a group that ECMA-262 does not have'),
    (77, '{"pattern": "(?#c)a"}', '/pattern: "pattern" has a group that ECMA-262 does not have'),
    (78, '{"pattern": "\\ma"}', '/pattern: "pattern" has an escape that ECMA-262 does not have'),
    (79, '{"pattern": "a\\Z"}', '/pattern: "pattern" has an escape that ECMA-262 does not have'),
    (80, '{"pattern": "a\\y"}', '/pattern: "pattern" has an escape that ECMA-262 does not have'),
    (81, '{"pattern": "\\x4"}', '/pattern: "pattern" has \x without two hexadecimal digits'),
    (82, '{"pattern": "\\u12"}', '/pattern: "pattern" has \u without four hexadecimal digits'),
    (83, '{"pattern": "\\u{110000}"}', '/pattern: "pattern" has \u{ without a code point and "}"'),
    (84, '{"pattern": "[z-a]"}', '/pattern: "pattern" has a range that ends before it begins'),
    (85, '{"pattern": "[\\d-x]"}', '/pattern: "pattern" has a range that begins with a class'),
    (86, '{"pattern": "a**"}', '/pattern: "pattern" has a quantifier with nothing to repeat'),
    (87, '{"pattern": "a{2,1}"}', '/pattern: "pattern" has a repetition whose bounds are out of order'),
    (88, '{"pattern": "^*"}', '/pattern: "pattern" has a quantifier with nothing to repeat'),
    (89, '{"pattern": "(?<n>a)(?<n>b)"}', '/pattern: "pattern" has two groups of one name'),
    (90, '{"pattern": "\\"}', '/pattern: "pattern" ends with a backslash'),
    (91, '{"pattern": "\\01"}', '/pattern: "pattern" has an octal escape, which ECMA-262 does not have'),
    (92, '{"pattern": "a{100001}"}', '/pattern: "pattern" is too complex for the server''s regular expressions'),
    (93, '{"pattern": ")"}', '/pattern: "pattern" has ")" without "("')
  ) AS cases(number, schema, detail) ORDER BY number;
SELECT is(pg_temp.bad(jsonb_build_object('pattern', (SELECT '^' || string_agg('[^' || chr(20000 + i) || chr(30000 + i) || ']*', '') FROM generate_series(1, 400) i))),
          '/pattern: "pattern" is too complex for the server''s regular expressions', 'before a string asks for it, too');
SELECT pg_temp.refused($$SELECT jsonb_schema_valid('{"pattern": "["}', '1')$$, 'PT400', 'bad-schema', 'a refusal has what each must have');
SELECT pg_temp.refused($$SELECT * FROM jsonb_schema_problems('{"pattern": "["}', '1')$$, 'PT400', 'bad-schema', 'of both functions');

-- Patterns: what ECMA-262 says, where the server would say something else.
SELECT is(jsonb_schema_valid(jsonb_build_object('pattern', pattern), to_jsonb(string)), found, format('%s in %s', pattern, to_json(string)))
  FROM (VALUES
    (1, '^.$', E'\u2028', false), (2, '^.$', '😀', true), (3, 'a$', E'a\n', false), (4, '^\s$', E'\u00a0', true), (5, '^[\s]$', E'\ufeff', true),
    (6, '^\S$', E'\u2003', false), (7, '\bb', 'a b', true), (8, '\bb', 'éb', true), (9, 'a\Bb', 'ab', true), (10, '^[\b]$', E'\b', true),
    (11, '^\x41B$', 'AB', true), (12, '^\u{1F600}$', '😀', true), (13, '^\ud83d\ude00$', '😀', true), (14, '[]', 'a', false), (15, '^[^]$', E'\n', true),
    (16, '^a{300}$', repeat('a', 300), true), (17, '^a{300}$', repeat('a', 299), false), (18, '^é{2,600}$', repeat('é', 601), false), (19, '^é{256,}$', repeat('é', 700), true),
    (20, '^(?<n>a)b$', 'ab', true), (21, '^(?P<n>a)b$', 'ab', true), (22, '^[[:alpha:]]$', ':]', true), (23, '^a{,2}$', 'a{,2}', true), (24, '^x]}$', 'x]}', true),
    (25, '^\-\/\_$', '-/_', true), (26, '^\d$', '٣', false), (27, '^\w$', 'é', false), (28, '^(?!x:)', 'x:a', false), (29, '^(?!x:)', 'y', true),
    (30, '^(?!x:)y+$', 'yy', true), (31, '^(?!y:)y', 'y:', false), (32, '(?<=a)b', 'ab', true), (33, '(?<!a)b$', 'ab', false), (34, '^(?:)$', '', true),
    (35, '^(a|)+$', 'aab', false), (36, 'a|^$', '', true), (37, '^\cA$', E'\x01', true), (38, '[\w-]', '-', true), (39, '^[^é]$', 'e', true), (40, '$^', '', true)
  ) AS cases(number, pattern, string, found) ORDER BY number;

-- A call site: its constant is compiled once, any other schema is known by its bytes.
CREATE TEMPORARY TABLE schemas AS SELECT i, jsonb_build_object('const', i) AS schema FROM generate_series(1, 20) i;
SELECT is((SELECT count(*) FROM schemas a, schemas b WHERE jsonb_schema_valid(a.schema, to_jsonb(b.i))), 20::bigint, 'more schemas than are kept');
SELECT is((SELECT count(*) FROM schemas a, schemas b, jsonb_schema_problems(a.schema, to_jsonb(b.i))), 380::bigint, 'row by row');
CREATE FUNCTION pg_temp.changing() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    schema jsonb;
    answers text := '';
BEGIN
    FOR i IN 1 .. 3 LOOP
        schema := jsonb_build_object('const', i % 2);
        answers := answers || jsonb_schema_valid(schema, '1')::text || ' ';
    END LOOP;
    RETURN answers;
END $$;
SELECT is(pg_temp.changing(), 'true false true ', 'a variable that changes in a loop');
PREPARE prepared(jsonb) AS SELECT jsonb_schema_valid($1, '1');
SET LOCAL plan_cache_mode = force_generic_plan;
CREATE TEMPORARY TABLE first_answer AS EXECUTE prepared('{"const": 1}');
CREATE TEMPORARY TABLE second_answer AS EXECUTE prepared('{"const": 2}');
SELECT is((SELECT (a.jsonb_schema_valid, b.jsonb_schema_valid)::text FROM first_answer a, second_answer b), '(t,f)', 'a parameter of a generic plan');
SELECT is(jsonb_schema_valid(NULL, '1'), NULL, 'SQL NULL in, SQL NULL out');
SELECT is((SELECT count(*) FROM jsonb_schema_problems('true', NULL)), 0::bigint, 'no rows of SQL NULL');
SELECT is((SELECT string_agg(format('%s%s%s%s', provolatile, proisstrict, proparallel, has_function_privilege('public', oid, 'EXECUTE')), ' ') FROM pg_proc WHERE proname IN ('jsonb_schema_valid', 'jsonb_schema_problems')),
          'itst itst', 'pure, and for everybody');

-- Hostile: an answer or a clear error.
CREATE FUNCTION pg_temp.chain(parts text, last text, n int) RETURNS jsonb LANGUAGE sql AS $$
    SELECT ('{"$ref": "#/definitions/a0", "definitions": {' || string_agg(format('"a%s": ' || parts, i, i + 1, i + 1), ', ') || format(', "a%s": %s}}', n + 1, last))::jsonb
      FROM generate_series(0, n) i $$;
SELECT is(pg_temp.rows(pg_temp.chain('{"allOf": [{"$ref": "#/definitions/a%s"}, {"$ref": "#/definitions/a%s"}]}', '{"type": "integer"}', 100), '"x"'), ' type: must be integer, not string', 'references that double, in allOf');
SELECT is(pg_temp.rows(pg_temp.chain('{"not": {"anyOf": [{"$ref": "#/definitions/a%s"}, {"$ref": "#/definitions/a%s"}]}}', '{"type": "integer"}', 99), '"x"'), ' not: must not be as "not" says', 'in not and anyOf');
SELECT is(pg_temp.rows(pg_temp.chain('{"oneOf": [{"$ref": "#/definitions/a%s"}, {"allOf": [{"minimum": 1}, {"$ref": "#/definitions/a%s"}]}]}', '{"type": "integer"}', 100), '"x"'), ' oneOf: must fit one of 2 schemas, and fits none', 'in oneOf');
SELECT is((SELECT count(*) FROM jsonb_schema_problems('{"properties": {"a": {"allOf": [{"anyOf": [{"$ref": "#"}]}, {"not": {"not": {"$ref": "#"}}}]}}, "required": ["b"]}', (repeat('{"a": ', 60) || '{}' || repeat('}', 60))::jsonb)), 101::bigint, 'and with each level of the document');
SELECT is(jsonb_schema_valid('{"items": {"$ref": "#"}}', (repeat('[', 2000) || repeat(']', 2000))::jsonb), true, 'a deep document');
CREATE TEMPORARY TABLE deep AS SELECT (repeat('[', 4000) || repeat(']', 4000))::jsonb AS document, (repeat('{"not":', 4000) || 'true' || repeat('}', 4000))::jsonb AS schema;
SET LOCAL max_stack_depth = '200kB';
SELECT throws_ok($$SELECT jsonb_schema_valid('{"items": {"$ref": "#"}}', document) FROM deep$$, '54001', NULL, 'no stack to descend');
SELECT throws_ok($$SELECT jsonb_schema_valid(schema, '1') FROM deep$$, '54001', NULL, 'nor into a schema');
SELECT throws_ok($$SELECT jsonb_schema_valid(jsonb_build_object('pattern', repeat('(', 4000) || repeat(')', 4000)), '1')$$, '54001', NULL, 'nor into a pattern');
RESET max_stack_depth;
SELECT is(jsonb_schema_valid(jsonb_build_object('enum', (SELECT jsonb_agg('v' || i) FROM generate_series(1, 1000000) i)), '"v999999"'), true, 'an enum of a million');
SELECT is(pg_temp.rows('{"uniqueItems": true}', (SELECT jsonb_agg(CASE i WHEN 90000 THEN '{"a": 5.0}'::jsonb WHEN 5 THEN '{"a": 5}' ELSE to_jsonb(i) END) FROM generate_series(1, 100000) i)),
          ' uniqueItems: must not have equal elements, as 4 and 89999 are', 'a hundred thousand unique elements');
SELECT is((SELECT format('%s %s', count(*), max(detail) FILTER (WHERE pointer IS NULL)) FROM jsonb_schema_problems(jsonb_build_object('items', jsonb_build_object('enum', (SELECT jsonb_agg('value' || i) FROM generate_series(1, 100000) i))),
                     (SELECT jsonb_agg('walue' || i) FROM generate_series(1, 1000) i))), '101 and 900 more', 'a thousand values that are near a hundred thousand others');
SELECT is((SELECT max(detail) FILTER (WHERE pointer IS NULL) FROM jsonb_schema_problems('{"items": {"allOf": [{"enum": ["a"]}, {"enum": ["a"]}]}}', (SELECT jsonb_agg(i) FROM generate_series(1, 150) i))), 'and 50 more', 'what is only counted counts once, too');
SELECT is(jsonb_schema_valid('{"pattern": "^(a+)+$"}', to_jsonb(repeat('a', 100000) || 'b')), false, 'a catastrophic pattern');
SELECT is(jsonb_schema_valid('{"pattern": "^(a|aa)*b\\b$"}', to_jsonb(repeat('a', 10000) || 'é')), false, 'another, for the server''s engine');
SELECT is(jsonb_schema_valid('{"pattern": "(a?){200}a{200}"}', to_jsonb(repeat('a', 199))), false, 'and one with many states');
SELECT is(jsonb_schema_valid('{"multipleOf": 1e-400}', '1e400'), true, 'far numbers');
SELECT is(jsonb_schema_valid(jsonb_build_object('multipleOf', a::numeric), b::jsonb), verdict, format('%s, %s...', a, left(b, 10)))
  FROM (VALUES (1, '1e131000', '1e-16000', false), (2, '1e-16000', '1e131000', true), (3, '1e131071', repeat('7', 131071) || '.' || repeat('3', 16000), false)) v(number, a, b, verdict) ORDER BY number;
SELECT is(jsonb_schema_valid(jsonb_build_object('multipleOf', ('0.' || repeat('7', 3000))::numeric), to_jsonb(('0.' || repeat('7', 3000))::numeric * repeat('9123', 3000)::numeric + more)), more = 0, 'long numbers')
  FROM (VALUES (0), (0.001)) v(more);

SELECT * FROM finish();
ROLLBACK;
