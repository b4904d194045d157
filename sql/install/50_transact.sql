-- Many requests in one call: see src/verbs/transact.c.

CREATE FUNCTION esgf_stac.transact(requests jsonb, atomic boolean DEFAULT true, identity jsonb DEFAULT NULL) RETURNS SETOF esgf_stac.outcome
    AS 'MODULE_PATHNAME', 'esgf_transact' LANGUAGE C ROWS 100;
COMMENT ON FUNCTION esgf_stac.transact(jsonb, boolean, jsonb) IS
'perform requests in order, all or nothing; or, if not atomic, each by itself';

REVOKE ALL ON FUNCTION esgf_stac.transact(jsonb, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.transact(jsonb, boolean, jsonb) TO esgf_stac_writer;
