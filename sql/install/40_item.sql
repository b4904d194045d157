-- The verbs of items. Each is one request: see src/verbs/perform.c.

CREATE FUNCTION esgf_stac.create_item(collection_id text, document jsonb) RETURNS esgf_stac.receipt
    AS 'MODULE_PATHNAME', 'esgf_create_item' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.create_item(text, jsonb) IS
'publish an item under the id in its document, or bring back a deleted one';

CREATE FUNCTION esgf_stac.replace_item(collection_id text, item_id text, document jsonb, if_match bigint DEFAULT NULL) RETURNS esgf_stac.receipt
    AS 'MODULE_PATHNAME', 'esgf_replace_item' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.replace_item(text, text, jsonb, bigint) IS
'replace the document of an item';

CREATE FUNCTION esgf_stac.patch_item(collection_id text, item_id text, patch jsonb, if_match bigint DEFAULT NULL) RETURNS esgf_stac.receipt
    AS 'MODULE_PATHNAME', 'esgf_patch_item' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.patch_item(text, text, jsonb, bigint) IS
'apply a merge patch (an object, RFC 7396) or a JSON patch (an array, RFC 6902) to an item';

CREATE FUNCTION esgf_stac.delete_item(collection_id text, item_id text, if_match bigint DEFAULT NULL, reason text DEFAULT NULL) RETURNS esgf_stac.receipt
    AS 'MODULE_PATHNAME', 'esgf_delete_item' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.delete_item(text, text, bigint, text) IS
'hide an item from readers; restore_item brings it back';

CREATE FUNCTION esgf_stac.restore_item(collection_id text, item_id text, if_match bigint DEFAULT NULL) RETURNS esgf_stac.receipt
    AS 'MODULE_PATHNAME', 'esgf_restore_item' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.restore_item(text, text, bigint) IS
'bring back a deleted item as it was';

CREATE FUNCTION esgf_stac.retract_item(collection_id text, item_id text, if_match bigint DEFAULT NULL, reason text DEFAULT NULL) RETURNS esgf_stac.receipt
    AS 'MODULE_PATHNAME', 'esgf_retract_item' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.retract_item(text, text, bigint, text) IS
'retract an item: readers see it without its assets, which the database keeps';

CREATE FUNCTION esgf_stac.reinstate_item(collection_id text, item_id text, if_match bigint DEFAULT NULL, reason text DEFAULT NULL) RETURNS esgf_stac.receipt
    AS 'MODULE_PATHNAME', 'esgf_reinstate_item' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.reinstate_item(text, text, bigint, text) IS
'end the retraction of an item: it is as if it had never been retracted';

CREATE FUNCTION esgf_stac.add_replica(collection_id text, item_id text, node text, alternates jsonb, if_match bigint DEFAULT NULL) RETURNS esgf_stac.receipt
    AS 'MODULE_PATHNAME', 'esgf_add_replica' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.add_replica(text, text, text, jsonb, bigint) IS
'add the locations of a data node, {asset key: entry}';

CREATE FUNCTION esgf_stac.remove_replica(collection_id text, item_id text, node text, if_match bigint DEFAULT NULL) RETURNS esgf_stac.receipt
    AS 'MODULE_PATHNAME', 'esgf_remove_replica' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.remove_replica(text, text, text, bigint) IS
'remove all locations of a data node; where they are primary, another node that has every file takes their place';

-- A past version as it was published, from the outbox; none for what was never given, or is pruned.
CREATE FUNCTION esgf_stac_internal.past_version(collection_id text, item_id text, version bigint) RETURNS esgf_stac.item_state
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
    SELECT o.aggregatetype, o.aggregateid, o.version, '"' || o.version || '"', o.occurred_at, o.payload IS NULL, o.payload
      FROM esgf_stac.outbox o
     WHERE o.aggregatetype = $1 AND o.aggregateid = $2 AND o.version = $3 AND o.type LIKE 'item.%'
       AND EXISTS (SELECT FROM esgf_stac.published_item p WHERE p.collection_id = $1 AND p.id = $2)
$$;
COMMENT ON FUNCTION esgf_stac_internal.past_version(text, text, bigint) IS 'a version of an item as its event published it';

CREATE FUNCTION esgf_stac.get_item(collection_id text, item_id text, version bigint DEFAULT NULL, stored boolean DEFAULT false) RETURNS esgf_stac.item_state
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    answer esgf_stac.item_state;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    IF collection_id IS NULL OR item_id IS NULL OR stored IS NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'item', 'arguments "collection_id", "item_id" and "stored" must not be null',
            hint => 'Leave stored out for the published document.');
    END IF;
    IF stored THEN
        SELECT i.collection_id, i.id, i.version, '"' || i.version || '"', i.updated, i.deleted, i.document
          INTO answer
          FROM esgf_stac.item i
         WHERE i.collection_id = collection_id AND i.id = item_id AND NOT i.deleted;
    ELSE
        SELECT p.collection_id, p.id, p.version, p.etag, p.updated, false, p.document
          INTO answer
          FROM esgf_stac.published_item p
         WHERE p.collection_id = collection_id AND p.id = item_id;
    END IF;
    IF NOT FOUND THEN
        IF NOT EXISTS (SELECT FROM esgf_stac.collection c WHERE c.id = collection_id AND NOT c.deleted) THEN
            PERFORM esgf_stac_internal.refuse('collection-does-not-exist', 'collection', format('collection "%s" does not exist', esgf_stac_internal.one_line(collection_id)));
        END IF;
        PERFORM esgf_stac_internal.refuse('item-does-not-exist', 'item', format('item "%s" does not exist in collection "%s"', esgf_stac_internal.one_line(item_id), collection_id),
            hint => 'Look for it in esgf_stac.published_item.');
    END IF;
    IF version <> answer.version THEN
        answer := esgf_stac_internal.past_version(collection_id, item_id, version);
        IF answer.version IS NULL THEN
            PERFORM esgf_stac_internal.refuse('version-pruned', 'outbox', format('version %s of item "%s" is not kept', version, item_id));
        END IF;
    END IF;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION esgf_stac.get_item(text, text, bigint, boolean) IS
'the item as published, or as stored (writers only); of a past version what was published then';

CREATE FUNCTION esgf_stac.history(collection_id text, item_id text)
    RETURNS TABLE (seq bigint, event_id uuid, type text, version bigint, occurred_at timestamptz, reason text, batch text,
                   request_id text, request jsonb, identity jsonb, document jsonb,
                   validated_against jsonb, warnings jsonb)
    LANGUAGE sql STABLE SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
    SELECT o.seq, o.id, o.type, o.version, o.occurred_at, o.reason, o.batch, o.request_id, o.request, o.identity, o.payload,
           o.validated_against, o.warnings
      FROM esgf_stac.outbox o
     WHERE o.aggregatetype = $1 AND o.aggregateid = $2
     ORDER BY o.version
$$;
COMMENT ON FUNCTION esgf_stac.history(text, text) IS 'what happened to an item, oldest first, as far as the outbox is kept';

REVOKE ALL ON FUNCTION
    esgf_stac_internal.past_version(text, text, bigint),
    esgf_stac.get_item(text, text, bigint, boolean),
    esgf_stac.history(text, text),
    esgf_stac.create_item(text, jsonb),
    esgf_stac.replace_item(text, text, jsonb, bigint),
    esgf_stac.patch_item(text, text, jsonb, bigint),
    esgf_stac.delete_item(text, text, bigint, text),
    esgf_stac.restore_item(text, text, bigint),
    esgf_stac.retract_item(text, text, bigint, text),
    esgf_stac.reinstate_item(text, text, bigint, text),
    esgf_stac.add_replica(text, text, text, jsonb, bigint),
    esgf_stac.remove_replica(text, text, text, bigint)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    esgf_stac.create_item(text, jsonb),
    esgf_stac.replace_item(text, text, jsonb, bigint),
    esgf_stac.patch_item(text, text, jsonb, bigint),
    esgf_stac.delete_item(text, text, bigint, text),
    esgf_stac.restore_item(text, text, bigint),
    esgf_stac.retract_item(text, text, bigint, text),
    esgf_stac.reinstate_item(text, text, bigint, text),
    esgf_stac.add_replica(text, text, text, jsonb, bigint),
    esgf_stac.remove_replica(text, text, text, bigint)
TO esgf_stac_writer;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.past_version(text, text, bigint), esgf_stac.get_item(text, text, bigint, boolean) TO esgf_stac_reader;
GRANT EXECUTE ON FUNCTION esgf_stac.history(text, text) TO esgf_stac_admin;
