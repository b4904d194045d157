-- Documents: pure functions over jsonb (src/document.h).

CREATE FUNCTION esgf_stac.jsonb_merge_patch(target jsonb, patch jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'jsonb_merge_patch'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION esgf_stac.jsonb_merge_patch(jsonb, jsonb) IS
'apply a JSON merge patch (RFC 7396): members are set, null removes';

-- Anyone may read the documents' algebra: it shows nobody's data.
GRANT USAGE ON SCHEMA esgf_stac TO PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.jsonb_merge_patch(jsonb, jsonb) TO PUBLIC;
