-- Is it STAC? What every write asks, for those who want to know before.
CREATE FUNCTION esgf_stac.validate_item(document jsonb) RETURNS TABLE (pointer text, detail text)
    AS 'MODULE_PATHNAME', 'esgf_validate_item' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 1;
COMMENT ON FUNCTION esgf_stac.validate_item(jsonb) IS 'all that keeps a document from being a STAC item, each with its JSON pointer; no row: it is one';

CREATE FUNCTION esgf_stac.validate_collection(document jsonb) RETURNS TABLE (pointer text, detail text)
    AS 'MODULE_PATHNAME', 'esgf_validate_collection' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 1;
COMMENT ON FUNCTION esgf_stac.validate_collection(jsonb) IS 'all that keeps a document from being a STAC collection, each with its JSON pointer; no row: it is one';
