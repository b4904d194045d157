-- The verbs of collections: the administrators' to call (src/verbs/collection_verbs.c).
-- The triggers of the table give versions and write events (src/item/collection.c).

CREATE FUNCTION esgf_stac_internal.require_catalogue() RETURNS void
    AS 'MODULE_PATHNAME', 'esgf_require_catalogue' LANGUAGE C STABLE PARALLEL UNSAFE; -- it takes the latest snapshot
COMMENT ON FUNCTION esgf_stac_internal.require_catalogue() IS '503 where this database has no catalogue, or one of another version';

-- A caller's words as they may stand in a message: see one_line in src/base/errors.c.
CREATE FUNCTION esgf_stac_internal.one_line(words text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT regexp_replace(left(words, 200), '[[:cntrl:]]', ' ', 'g');
END;
COMMENT ON FUNCTION esgf_stac_internal.one_line(text) IS 'a caller''s words as they may stand in a message';

CREATE FUNCTION esgf_stac.create_collection(document jsonb) RETURNS esgf_stac.receipt
    AS 'MODULE_PATHNAME', 'esgf_create_collection' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.create_collection(jsonb) IS 'publish a STAC collection under the id in its document';

CREATE FUNCTION esgf_stac.replace_collection(collection_id text, document jsonb) RETURNS esgf_stac.receipt
    AS 'MODULE_PATHNAME', 'esgf_replace_collection' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.replace_collection(text, jsonb) IS 'replace the document of a collection';

CREATE FUNCTION esgf_stac.patch_collection(collection_id text, patch jsonb) RETURNS esgf_stac.receipt
    AS 'MODULE_PATHNAME', 'esgf_patch_collection' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.patch_collection(text, jsonb) IS 'apply a merge patch (an object) or a JSON patch (an array) to a collection';

CREATE FUNCTION esgf_stac.delete_collection(collection_id text) RETURNS esgf_stac.receipt
    AS 'MODULE_PATHNAME', 'esgf_delete_collection' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.delete_collection(text) IS 'remove a collection that has no active items';

CREATE FUNCTION esgf_stac_internal.lock_collection(collection_id text) RETURNS bigint
    AS 'MODULE_PATHNAME', 'esgf_lock_collection' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac_internal.lock_collection(text) IS 'locks a collection that must be there; answers its version';

CREATE FUNCTION esgf_stac.configure_collection(collection_id text, settings jsonb) RETURNS esgf_stac.receipt
    LANGUAGE plpgsql SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    before CONSTANT bigint := esgf_stac_internal.lock_collection(collection_id);
    problems text[];
BEGIN
    SELECT array_agg(ARRAY['/' || esgf_stac_internal.one_line(given.key), given.problem] ORDER BY given.key)
      INTO problems
      FROM (SELECT s.key, CASE
                WHEN s.key IN ('require_version', 'complete_replicas', 'stamp_times')
                    THEN CASE WHEN jsonb_typeof(s.value) <> 'boolean' THEN 'must be true or false' END
                WHEN s.key = 'institution_path'
                    THEN CASE WHEN jsonb_typeof(s.value) <> 'string' OR s.value #>> '{}' !~ '^(/([^~/]|~[01])*)+$' THEN 'must be a JSON pointer' END
                WHEN s.key = 'max_document_bytes'
                    THEN CASE WHEN NOT s.value @? 'strict $ ? (@ >= 1 && @ <= 268435456 && @.floor() == @)' THEN 'must be a whole number from 1 to 268435456' END
                WHEN s.key = 'schema_mode'
                    THEN CASE WHEN s.value NOT IN ('"off"', '"warn"', '"enforce"') THEN 'must be off, warn or enforce' END
                WHEN s.key = 'unknown_schemas'
                    THEN CASE WHEN s.value NOT IN ('"ignore"', '"refuse"') THEN 'must be ignore or refuse' END
                WHEN s.key = 'schemas'
                    THEN NULL -- by the trigger of the table
                WHEN s.key = 'null_members'
                    THEN CASE WHEN s.value NOT IN ('"reject"', '"ignore"') THEN 'must be reject or ignore' END
                ELSE 'is no setting of a collection'
            END AS problem
              FROM jsonb_each(CASE WHEN jsonb_typeof(settings) = 'object' THEN settings END) s LIMIT 100) given
     WHERE given.problem IS NOT NULL;
    IF problems IS NOT NULL OR jsonb_typeof(settings) IS DISTINCT FROM 'object' THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'collection', 'these are no settings of a collection',
            coalesce(problems, ARRAY[['', 'must be an object']]), hint => 'The settings are the columns of esgf_stac.collection from require_version to max_document_bytes, and schema_mode, schemas and unknown_schemas.');
    END IF;
    UPDATE esgf_stac.collection c
       SET require_version = coalesce((settings -> 'require_version')::boolean, c.require_version),
           complete_replicas = coalesce((settings -> 'complete_replicas')::boolean, c.complete_replicas),
           stamp_times = coalesce((settings -> 'stamp_times')::boolean, c.stamp_times),
           institution_path = coalesce(settings ->> 'institution_path', c.institution_path),
           null_members = coalesce(settings ->> 'null_members', c.null_members),
           max_document_bytes = coalesce((settings -> 'max_document_bytes')::int, c.max_document_bytes),
           schema_mode = coalesce(settings ->> 'schema_mode', c.schema_mode),
           schemas = CASE WHEN settings ? 'schemas' THEN nullif(settings -> 'schemas', 'null') ELSE c.schemas END,
           unknown_schemas = coalesce(settings ->> 'unknown_schemas', c.unknown_schemas)
     WHERE c.id = collection_id;
    RETURN ROW (collection_id, NULL::text, before, false, NULL::text, NULL::uuid);
END
$$;
COMMENT ON FUNCTION esgf_stac.configure_collection(text, jsonb) IS 'change settings of a collection; makes no version and no event';

REVOKE ALL ON FUNCTION
    esgf_stac_internal.require_catalogue(),
    esgf_stac_internal.one_line(text),
    esgf_stac_internal.lock_collection(text),
    esgf_stac.create_collection(jsonb),
    esgf_stac.replace_collection(text, jsonb),
    esgf_stac.patch_collection(text, jsonb),
    esgf_stac.delete_collection(text),
    esgf_stac.configure_collection(text, jsonb)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    esgf_stac_internal.require_catalogue(),
    esgf_stac_internal.one_line(text)
TO esgf_stac_reader, esgf_stac_relay, esgf_stac_ingest;
GRANT EXECUTE ON FUNCTION
    esgf_stac_internal.lock_collection(text),
    esgf_stac.create_collection(jsonb),
    esgf_stac.replace_collection(text, jsonb),
    esgf_stac.patch_collection(text, jsonb),
    esgf_stac.delete_collection(text),
    esgf_stac.configure_collection(text, jsonb)
TO esgf_stac_admin;
