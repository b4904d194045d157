-- The one way in which our PL/pgSQL refuses.

CREATE FUNCTION esgf_stac_internal.refuse(slug text, table_name text, message text, problems text[] DEFAULT NULL, hint text DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'esgf_refuse' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION esgf_stac_internal.refuse(text, text, text, text[], text) IS 'raises the error of a kind of problem (src/base/problem_kinds.h), with its hint where none is given; problems are pairs of a JSON pointer and what is wrong there';
REVOKE ALL ON FUNCTION esgf_stac_internal.refuse(text, text, text, text[], text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.refuse(text, text, text, text[], text) TO esgf_stac_reader;
