-- JSON Schema: pure functions over jsonb (src/schema/judge.h). They know no
-- document but those they are given, so EXECUTE stays with PUBLIC.

CREATE FUNCTION esgf_stac.jsonb_schema_valid(schema jsonb, document jsonb)
RETURNS boolean
AS 'MODULE_PATHNAME', 'jsonb_schema_valid'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION esgf_stac.jsonb_schema_valid(jsonb, jsonb) IS
'is the document as the JSON Schema asks?';

CREATE FUNCTION esgf_stac.jsonb_schema_problems(schema jsonb, document jsonb)
RETURNS TABLE (pointer text, keyword text, detail text)
AS 'MODULE_PATHNAME', 'jsonb_schema_problems'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 1;

COMMENT ON FUNCTION esgf_stac.jsonb_schema_problems(jsonb, jsonb) IS
'all that keeps the document from being as the JSON Schema asks, each with its JSON pointer and the keyword; no row: it is';

GRANT EXECUTE ON FUNCTION
    esgf_stac.jsonb_schema_valid(jsonb, jsonb),
    esgf_stac.jsonb_schema_problems(jsonb, jsonb)
TO PUBLIC;
