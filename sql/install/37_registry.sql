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

CREATE FUNCTION esgf_stac_internal.unmet_references(url text) RETURNS TABLE (holder text, pointer text, reference text, there boolean)
    AS 'MODULE_PATHNAME', 'esgf_unmet_references' LANGUAGE C STRICT ROWS 1;
REVOKE ALL ON FUNCTION esgf_stac_internal.unmet_references(text) FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac_internal.unmet_references(text) IS 'references that keep a URL''s newest revision from judging; there: the document is, but not what is meant in it';

CREATE FUNCTION esgf_stac_internal.referring_schemas() RETURNS TABLE (url text, revision int)
    AS 'MODULE_PATHNAME', 'esgf_referring_schemas' LANGUAGE C;
REVOKE ALL ON FUNCTION esgf_stac_internal.referring_schemas() FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac_internal.referring_schemas() IS 'the newest revisions of URLs that refer to other documents, perhaps';

-- The same of all URLs. A revision that is no schema any more, as a later version of
-- the extension reads it, has a problem and no references.
CREATE FUNCTION esgf_stac_internal.schema_gaps() RETURNS TABLE (url text, revision int, holder text, pointer text, reference text, there boolean, problem text)
    LANGUAGE plpgsql SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    referring record;
    details text;
BEGIN
    FOR referring IN SELECT * FROM esgf_stac_internal.referring_schemas() LOOP
        BEGIN
            RETURN QUERY SELECT referring.url, referring.revision, u.*, NULL::text FROM esgf_stac_internal.unmet_references(referring.url) u;
        EXCEPTION WHEN SQLSTATE 'PT400' THEN
            GET STACKED DIAGNOSTICS details = PG_EXCEPTION_DETAIL;
            RETURN QUERY SELECT referring.url, referring.revision, NULL::text, NULL::text, NULL::text, NULL::boolean, details;
        END;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION esgf_stac_internal.schema_gaps() FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac_internal.schema_gaps() IS 'what keeps the newest revisions of URLs from judging';

-- Refuses what would take from others that are in force what they refer to.
CREATE FUNCTION esgf_stac_internal.require_no_gaps() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    problems CONSTANT text[] := (SELECT array_agg(ARRAY['', format('%s refers at %s to %s, which would not be there', g.holder, g.pointer, g.reference)])
                                   FROM esgf_stac_internal.schema_gaps() g WHERE g.there);
BEGIN
    IF problems IS NOT NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-schema', 'schema', 'another schema refers to what would not be there', problems,
            hint => 'Register or retire that one first.');
    END IF;
END
$$;
REVOKE ALL ON FUNCTION esgf_stac_internal.require_no_gaps() FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac_internal.require_no_gaps() IS 'refuses what would take from other schemas what they refer to';

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
    answer int;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    IF problems IS NOT NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'schema', 'this is no schema to register', problems);
    END IF;
    answer := esgf_stac_internal.store_schema(normal, document, cv_version, assert_formats, retired, esgf_stac_internal.calling_role());
    PERFORM esgf_stac_internal.require_no_gaps();
    RETURN answer;
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
    PERFORM esgf_stac_internal.require_no_gaps();
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
