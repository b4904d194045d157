-- Schemas by their URLs, in revisions (src/registry/registry.h): administrators
-- register them, nothing is ever removed.

CREATE FUNCTION esgf_stac.schema_before_row() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_schema_before_row' LANGUAGE C;
REVOKE ALL ON FUNCTION esgf_stac.schema_before_row() FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac.schema_before_row() IS 'trigger of schema: refuses whoever writes it by hand';

CREATE FUNCTION esgf_stac_internal.schema_url(url text) RETURNS text
    AS 'MODULE_PATHNAME', 'esgf_schema_url' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION esgf_stac_internal.schema_url(text) FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac_internal.schema_url(text) IS 'a schema''s URL without an empty fragment; null where it can be none';

CREATE FUNCTION esgf_stac_internal.store_schema(url text, document jsonb, cv_version text, assert_formats boolean, retired boolean, added_by text) RETURNS int
    AS 'MODULE_PATHNAME', 'esgf_store_schema' LANGUAGE C;
REVOKE ALL ON FUNCTION esgf_stac_internal.store_schema(text, jsonb, text, boolean, boolean, text) FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac_internal.store_schema(text, jsonb, text, boolean, boolean, text) IS 'stores a revision that can be compiled, unless it is the same again';

CREATE FUNCTION esgf_stac_internal.retire_revision(url text, revision int, retired boolean) RETURNS void
    AS 'MODULE_PATHNAME', 'esgf_retire_revision' LANGUAGE C STRICT;
REVOKE ALL ON FUNCTION esgf_stac_internal.retire_revision(text, int, boolean) FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac_internal.retire_revision(text, int, boolean) IS 'takes a revision out of force, or puts it there';

CREATE FUNCTION esgf_stac.add_schema(url text, document jsonb, cv_version text DEFAULT NULL, assert_formats boolean DEFAULT false, retired boolean DEFAULT false) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    normal CONSTANT text := esgf_stac_internal.schema_url(url);
    problems CONSTANT text[] := (SELECT array_agg(ARRAY[pointer, problem]) FROM (VALUES
        ('/url', CASE WHEN url IS NULL THEN 'must be given' WHEN normal IS NULL THEN 'must be an absolute http or https URL without fragment, of at most 2000 bytes' END),
        ('/document', CASE WHEN document IS NULL THEN 'must be given' END),
        ('/cv_version', CASE WHEN octet_length(cv_version) > 255 THEN 'must not be longer than 255 bytes' END),
        ('/assert_formats', CASE WHEN assert_formats IS NULL THEN 'must be true or false' END),
        ('/retired', CASE WHEN retired IS NULL THEN 'must be true or false' END)) AS p(pointer, problem)
        WHERE problem IS NOT NULL);
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    IF problems IS NOT NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'schema', 'this is no schema to register', problems);
    END IF;
    RETURN esgf_stac_internal.store_schema(normal, document, cv_version, assert_formats, retired, esgf_stac_internal.calling_role());
END
$$;
COMMENT ON FUNCTION esgf_stac.add_schema(text, jsonb, text, boolean, boolean) IS
'register a JSON Schema at a URL; answers its revision, which is in force unless it is retired';

CREATE FUNCTION esgf_stac.retire_schema(url text, revision int, retired boolean DEFAULT true) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    normal CONSTANT text := esgf_stac_internal.schema_url(url);
    problems CONSTANT text[] := (SELECT array_agg(ARRAY[pointer, 'must be given']) FROM (VALUES
        ('/url', url IS NULL), ('/revision', revision IS NULL), ('/retired', retired IS NULL)) AS p(pointer, missing)
        WHERE missing);
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    IF problems IS NOT NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'schema', 'this is no revision of a schema', problems);
    END IF;
    PERFORM esgf_stac_internal.retire_revision(coalesce(normal, url), revision, retired);
END
$$;
COMMENT ON FUNCTION esgf_stac.retire_schema(text, int, boolean) IS
'take a revision of a schema out of force, so that the one before judges again; with retired false put it back';

CREATE FUNCTION esgf_stac.schema_problems(url text, document jsonb, revision int DEFAULT NULL) RETURNS TABLE (pointer text, keyword text, detail text)
    AS 'MODULE_PATHNAME', 'esgf_schema_problems' LANGUAGE C STABLE PARALLEL UNSAFE ROWS 1; -- it takes the latest snapshot
COMMENT ON FUNCTION esgf_stac.schema_problems(text, jsonb, int) IS
'all that keeps a document from being as a registered schema asks, by the revision in force or by that one; no row: it is';

REVOKE ALL ON FUNCTION
    esgf_stac.add_schema(text, jsonb, text, boolean, boolean),
    esgf_stac.retire_schema(text, int, boolean),
    esgf_stac.schema_problems(text, jsonb, int)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.add_schema(text, jsonb, text, boolean, boolean), esgf_stac.retire_schema(text, int, boolean) TO esgf_stac_admin;
GRANT EXECUTE ON FUNCTION esgf_stac.schema_problems(text, jsonb, int) TO esgf_stac_reader;
