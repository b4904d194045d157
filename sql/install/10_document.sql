-- Documents: pure functions over jsonb (src/json/edit.h). They show nobody's
-- data, so EXECUTE stays with PUBLIC.

CREATE FUNCTION esgf_stac.jsonb_merge_patch(target jsonb, patch jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'jsonb_merge_patch'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION esgf_stac.jsonb_merge_patch(jsonb, jsonb) IS
'apply a JSON merge patch (RFC 7396): its members are set, its nulls remove';

CREATE FUNCTION esgf_stac.jsonb_patch(target jsonb, operations jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'jsonb_patch'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION esgf_stac.jsonb_patch(jsonb, jsonb) IS
'apply a JSON patch (RFC 6902), all operations or none';

CREATE FUNCTION esgf_stac.jsonb_pointer(target jsonb, pointer text)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'jsonb_pointer'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION esgf_stac.jsonb_pointer(jsonb, text) IS
'the value at a JSON pointer (RFC 6901); SQL NULL if there is none';

CREATE FUNCTION esgf_stac.jsonb_diff(source jsonb, target jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'jsonb_diff'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION esgf_stac.jsonb_diff(jsonb, jsonb) IS
'the JSON patch (RFC 6902) that makes the target of the source; [] if they are equal';

GRANT EXECUTE ON FUNCTION
    esgf_stac.jsonb_merge_patch(jsonb, jsonb),
    esgf_stac.jsonb_patch(jsonb, jsonb),
    esgf_stac.jsonb_pointer(jsonb, text),
    esgf_stac.jsonb_diff(jsonb, jsonb)
TO PUBLIC;
