-- The verbs of collections: the administrators' to call. The triggers of the
-- table give versions and write events (src/item/collection.c).

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

CREATE FUNCTION esgf_stac_internal.apply_patch(document jsonb, patch jsonb) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'esgf_apply_patch' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION esgf_stac_internal.apply_patch(jsonb, jsonb) IS 'what a patch of either form makes of a document';

CREATE FUNCTION esgf_stac_internal.change_collection(collection_id text, document jsonb, deleted boolean, request jsonb) RETURNS void
    AS 'MODULE_PATHNAME', 'esgf_change_collection' LANGUAGE C STRICT;
COMMENT ON FUNCTION esgf_stac_internal.change_collection(text, jsonb, boolean, jsonb) IS 'write a collection''s new state; its event holds the request';

CREATE FUNCTION esgf_stac_internal.collection_receipt(collection_id text, before bigint) RETURNS esgf_stac.receipt
    LANGUAGE plpgsql SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    answer esgf_stac.receipt;
BEGIN
    SELECT o.aggregateid, NULL, o.version, true, substr(o.type, length('collection.') + 1), o.id
      INTO answer
      FROM esgf_stac.outbox o
     WHERE o.aggregatetype = 'collection' AND o.aggregateid = collection_id AND o.version = before + 1;
    IF NOT FOUND THEN
        answer := ROW (collection_id, NULL, before, false, NULL, NULL);
    END IF;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.collection_receipt(text, bigint) IS 'the answer of a verb that made the newest event of a collection, or none';

CREATE FUNCTION esgf_stac_internal.lock_collection(collection_id text) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    version bigint;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    IF collection_id IS NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'collection', 'argument "collection_id" must not be null',
            hint => 'SELECT id FROM esgf_stac.collection WHERE NOT deleted lists the collections.');
    END IF;
    SELECT c.version INTO version FROM esgf_stac.collection c WHERE c.id = collection_id AND NOT c.deleted FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM esgf_stac_internal.refuse('collection-does-not-exist', 'collection', format('collection "%s" does not exist', esgf_stac_internal.one_line(collection_id)));
    END IF;
    RETURN version;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.lock_collection(text) IS 'locks a collection that must be there; answers its version';

CREATE FUNCTION esgf_stac.create_collection(document jsonb) RETURNS esgf_stac.receipt
    LANGUAGE plpgsql SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    -- A document without an id is refused by the trigger, with all else that it lacks.
    new_id CONSTANT text := coalesce(document ->> 'id', '');
    there record;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    IF document IS NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'collection', 'argument "document" must not be null',
            hint => 'Give it a STAC collection.');
    END IF;
    INSERT INTO esgf_stac.collection (id, document) VALUES (new_id, document) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN esgf_stac_internal.collection_receipt(new_id, 0);
    END IF;
    SELECT * INTO there FROM esgf_stac.collection c WHERE c.id = new_id FOR UPDATE;
    IF NOT there.deleted THEN
        PERFORM esgf_stac_internal.refuse('collection-already-exists', 'collection', format('collection "%s" exists already', new_id));
    END IF;
    UPDATE esgf_stac.collection c SET document = create_collection.document, deleted = false WHERE c.id = new_id;
    RETURN esgf_stac_internal.collection_receipt(new_id, there.version);
END
$$;
COMMENT ON FUNCTION esgf_stac.create_collection(jsonb) IS 'publish a STAC collection under the id in its document';

CREATE FUNCTION esgf_stac.replace_collection(collection_id text, document jsonb) RETURNS esgf_stac.receipt
    LANGUAGE plpgsql SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    before CONSTANT bigint := esgf_stac_internal.lock_collection(collection_id);
BEGIN
    IF document IS NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'collection', 'argument "document" must not be null',
            hint => 'Give it a STAC collection.');
    END IF;
    IF jsonb_typeof(document) = 'object' AND document ->> 'id' IS NULL THEN
        document := document || jsonb_build_object('id', collection_id);
    END IF;
    UPDATE esgf_stac.collection c SET document = replace_collection.document WHERE c.id = collection_id;
    RETURN esgf_stac_internal.collection_receipt(collection_id, before);
END
$$;
COMMENT ON FUNCTION esgf_stac.replace_collection(text, jsonb) IS 'replace the document of a collection';

CREATE FUNCTION esgf_stac.patch_collection(collection_id text, patch jsonb) RETURNS esgf_stac.receipt
    LANGUAGE plpgsql SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    before CONSTANT bigint := esgf_stac_internal.lock_collection(collection_id);
BEGIN
    IF patch IS NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'collection', 'argument "patch" must not be null',
            hint => 'Give it a merge patch (an object) or a JSON patch (an array).');
    END IF;
    PERFORM esgf_stac_internal.change_collection(c.id, esgf_stac_internal.apply_patch(c.document, patch), false, patch) FROM esgf_stac.collection c WHERE c.id = collection_id;
    RETURN esgf_stac_internal.collection_receipt(collection_id, before);
END
$$;
COMMENT ON FUNCTION esgf_stac.patch_collection(text, jsonb) IS 'apply a merge patch (an object) or a JSON patch (an array) to a collection';

CREATE FUNCTION esgf_stac.delete_collection(collection_id text) RETURNS esgf_stac.receipt
    LANGUAGE plpgsql SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    before CONSTANT bigint := esgf_stac_internal.lock_collection(collection_id);
BEGIN
    PERFORM esgf_stac_internal.change_collection(c.id, c.document, true, '{"method": "DELETE"}') FROM esgf_stac.collection c WHERE c.id = collection_id;
    RETURN esgf_stac_internal.collection_receipt(collection_id, before);
END
$$;
COMMENT ON FUNCTION esgf_stac.delete_collection(text) IS 'remove a collection that has no active items';

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
                WHEN s.key = 'null_members'
                    THEN CASE WHEN s.value NOT IN ('"reject"', '"ignore"') THEN 'must be reject or ignore' END
                ELSE 'is no setting of a collection'
            END AS problem
              FROM jsonb_each(CASE WHEN jsonb_typeof(settings) = 'object' THEN settings END) s LIMIT 100) given
     WHERE given.problem IS NOT NULL;
    IF problems IS NOT NULL OR jsonb_typeof(settings) IS DISTINCT FROM 'object' THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'collection', 'these are no settings of a collection',
            coalesce(problems, ARRAY[['', 'must be an object']]), hint => 'The settings are the columns of esgf_stac.collection from require_version to max_document_bytes.');
    END IF;
    UPDATE esgf_stac.collection c
       SET require_version = coalesce((settings -> 'require_version')::boolean, c.require_version),
           complete_replicas = coalesce((settings -> 'complete_replicas')::boolean, c.complete_replicas),
           stamp_times = coalesce((settings -> 'stamp_times')::boolean, c.stamp_times),
           institution_path = coalesce(settings ->> 'institution_path', c.institution_path),
           null_members = coalesce(settings ->> 'null_members', c.null_members),
           max_document_bytes = coalesce((settings -> 'max_document_bytes')::int, c.max_document_bytes)
     WHERE c.id = collection_id;
    RETURN esgf_stac_internal.collection_receipt(collection_id, before);
END
$$;
COMMENT ON FUNCTION esgf_stac.configure_collection(text, jsonb) IS 'change settings of a collection; makes no version and no event';

REVOKE ALL ON FUNCTION
    esgf_stac_internal.require_catalogue(),
    esgf_stac_internal.one_line(text),
    esgf_stac_internal.apply_patch(jsonb, jsonb),
    esgf_stac_internal.change_collection(text, jsonb, boolean, jsonb),
    esgf_stac_internal.collection_receipt(text, bigint),
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
TO esgf_stac_reader, esgf_stac_relay;
GRANT EXECUTE ON FUNCTION
    esgf_stac_internal.apply_patch(jsonb, jsonb),
    esgf_stac_internal.change_collection(text, jsonb, boolean, jsonb),
    esgf_stac_internal.collection_receipt(text, bigint),
    esgf_stac_internal.lock_collection(text),
    esgf_stac.create_collection(jsonb),
    esgf_stac.replace_collection(text, jsonb),
    esgf_stac.patch_collection(text, jsonb),
    esgf_stac.delete_collection(text),
    esgf_stac.configure_collection(text, jsonb)
TO esgf_stac_admin;
