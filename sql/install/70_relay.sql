-- What the relay asks of the database, beside plain SELECTs.

-- A page of the published items that belong to a stream, by primary key: what
-- the relay's --snapshot sends. The filter is judged on the stored document, as
-- when a change is made. (Settings and OFFSET 0 have it walk over the key, and look
-- each document up: no plan may read all items for a page of them.)
CREATE FUNCTION esgf_stac_internal.stream_items(stream text, after_collection text, after_item text, max_items int)
    RETURNS TABLE (collection_id text, item_id text, version bigint, updated timestamptz, document jsonb, validated_against jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    s esgf_stac.stream;
BEGIN
    SELECT t.* INTO STRICT s FROM esgf_stac.stream t WHERE t.name = stream_items.stream;
    RETURN QUERY
        SELECT i.collection_id, i.id, i.version, i.updated, p.document, i.validated_against
          FROM esgf_stac.item i
         CROSS JOIN LATERAL (SELECT t.document FROM esgf_stac.published_item t WHERE t.collection_id = i.collection_id AND t.id = i.id OFFSET 0) p
         WHERE (i.collection_id, i.id) > (coalesce(after_collection, ''), coalesce(after_item, ''))
           AND NOT i.deleted
           AND esgf_stac_internal.is_in_stream(s.name, i.collection_id, i.document, i.nodes)
         ORDER BY i.collection_id, i.id
         LIMIT max_items;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.stream_items(text, text, text, int) IS 'a page of the published items of a stream, by primary key';
REVOKE ALL ON FUNCTION esgf_stac_internal.stream_items(text, text, text, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.stream_items(text, text, text, int) TO esgf_stac_relay;

-- How many items a snapshot of a stream will send: counted while they are few,
-- then estimated; null where a filter would have to be judged on very many.
CREATE FUNCTION esgf_stac_internal.stream_item_count(stream text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    s esgf_stac.stream;
    items CONSTANT real := (SELECT reltuples FROM pg_class WHERE oid = 'esgf_stac.item'::regclass);
    plan jsonb;
BEGIN
    SELECT t.* INTO STRICT s FROM esgf_stac.stream t WHERE t.name = stream_item_count.stream;
    IF items < (CASE WHEN num_nonnulls(s.filter, s.node) > 0 THEN 50000 ELSE 1000000 END) THEN
        RETURN (SELECT count(*) FROM esgf_stac.item i
                 WHERE NOT i.deleted AND esgf_stac_internal.is_in_stream(s.name, i.collection_id, i.document, i.nodes));
    ELSIF num_nonnulls(s.filter, s.node) > 0 THEN
        RETURN NULL;
    END IF;
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT FROM esgf_stac.item i WHERE NOT i.deleted'
            || coalesce(' AND i.collection_id = ANY (' || quote_literal(s.collections) || '::text[])', '') INTO plan;
    RETURN (plan #>> '{0,Plan,Plan Rows}')::bigint;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.stream_item_count(text) IS 'how many items a snapshot of a stream will send, at a guess where they are many';
REVOKE ALL ON FUNCTION esgf_stac_internal.stream_item_count(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.stream_item_count(text) TO esgf_stac_relay;

-- Was that event, {"id", "collection_id", "item_id", "version"}, ever in this
-- history? Where the outbox no longer has it, the version must at least have
-- been given: events go in their order, so that none is gone behind one that is
-- kept, and a reissue says which versions it leapt over.
CREATE FUNCTION esgf_stac_internal.event_is_known(event text) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    its_id uuid;
    its_collection text;
    its_item text;
    its_version bigint;
    known uuid;
BEGIN
    BEGIN
        its_id := (event::jsonb ->> 'id')::uuid;
        its_collection := event::jsonb ->> 'collection_id';
        its_item := event::jsonb ->> 'item_id';
        its_version := (event::jsonb ->> 'version')::bigint;
    EXCEPTION WHEN data_exception THEN
        RETURN false;
    END;
    SELECT o.id INTO known
      FROM esgf_stac.outbox o
     WHERE o.aggregatetype = CASE WHEN its_item IS NULL THEN 'collection' ELSE its_collection END
       AND o.aggregateid = coalesce(its_item, its_collection)
       AND o.version = its_version;
    IF FOUND THEN
        RETURN its_id IS NULL OR known = its_id;
    ELSIF its_item IS NULL THEN
        RETURN EXISTS (SELECT FROM esgf_stac.collection c WHERE c.id = its_collection AND c.version >= its_version);
    END IF;

    -- A repair has removed what is unknown here.
    IF its_id IS NULL AND EXISTS (SELECT FROM esgf_stac.drift d
                                   WHERE d.collection_id = its_collection AND d.item_id = its_item AND d.version_there = its_version
                                     AND d.repair = 'remove' AND d.asked_at IS NOT NULL) THEN
        RETURN true;
    END IF;
    RETURN EXISTS (SELECT FROM esgf_stac.item i
                    WHERE i.collection_id = its_collection AND i.id = its_item AND i.version >= its_version)
           AND NOT EXISTS (SELECT FROM esgf_stac.outbox o
                            WHERE o.aggregatetype = its_collection AND o.aggregateid = its_item
                              AND (o.version < its_version OR o.type = 'item.reissued' AND (o.request -> 'version')::bigint < its_version AND o.version > its_version));
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.event_is_known(text) IS 'was that event ever in this history?';
REVOKE ALL ON FUNCTION esgf_stac_internal.event_is_known(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.event_is_known(text) TO esgf_stac_relay;

-- The transactions whose commits stand in the WAL, so that a stream may have told
-- of them, and that queries do not see yet.
CREATE FUNCTION esgf_stac_internal.pending_commits() RETURNS xid8[]
    AS 'MODULE_PATHNAME', 'esgf_pending_commits' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac_internal.pending_commits() IS 'transactions whose commits stand in the WAL and that queries do not see yet';
REVOKE ALL ON FUNCTION esgf_stac_internal.pending_commits() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.pending_commits() TO esgf_stac_relay;

-- What the federation's envelope says of events beside their documents: for each
-- of them, in their order, who made the change, on which request, with what
-- software. Where the outbox does not tell that there are stand-ins, the same at
-- every call. The introduction is for a POST that must come first, where a
-- consumer may not have the item: it is seeded, or comes into a filtered stream.
CREATE FUNCTION esgf_stac_internal.event_metadata(stream text, events jsonb) RETURNS TABLE (metadata jsonb, introduction jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    own_version CONSTANT text := esgf_stac.installed_version();
    filtered boolean;
BEGIN
    SELECT num_nonnulls(s.filter, s.node) > 0 INTO STRICT filtered FROM esgf_stac.stream s WHERE s.name = event_metadata.stream;
    RETURN QUERY
        SELECT m.metadata,
               CASE WHEN e.id IS NULL OR (filtered AND e.version > 1 AND (
                            SELECT before.streams @> ARRAY[event_metadata.stream] FROM esgf_stac.outbox before
                             WHERE before.aggregatetype = e.collection_id AND before.aggregateid = e.item_id AND before.version < e.version
                             ORDER BY before.version DESC LIMIT 1) IS NOT TRUE)
                    THEN m.metadata || jsonb_build_object('event_id', right(names.digest, 32)) END
          FROM ROWS FROM (jsonb_to_recordset(events) AS (id text, collection_id text, item_id text, version bigint, "time" text))
               WITH ORDINALITY e (id, collection_id, item_id, version, "time", place)
          LEFT JOIN esgf_stac.outbox o
            ON o.aggregatetype = e.collection_id AND o.aggregateid = e.item_id AND o.version = e.version
         CROSS JOIN LATERAL (
               SELECT encode(sha256(convert_to(jsonb_build_array(e.collection_id, e.item_id, e.version)::text, 'UTF8')), 'hex') AS digest
               ) names
         CROSS JOIN LATERAL (SELECT coalesce(replace(e.id, '-', ''), left(names.digest, 32)) AS event_id) own
         CROSS JOIN LATERAL (SELECT jsonb_build_object(
               'auth', jsonb_build_object(
                   'auth_policy_id', o.identity ->> 'auth_policy_id',
                   'requester_data', jsonb_build_object(
                       'client_id', coalesce(o.identity ->> 'client_id', 'esgf_stac'),
                       'iss', coalesce(o.identity ->> 'iss', 'esgf_stac'),
                       'sub', coalesce(o.identity ->> 'sub', 'esgf_stac'))),
               'event_id', own.event_id,
               'publisher', CASE WHEN o.identity #>> '{publisher,package}' IS NULL
                   THEN jsonb_build_object('package', 'esgf_stac', 'version', own_version)
                   ELSE jsonb_build_object('package', o.identity #>> '{publisher,package}',
                                           'version', coalesce(o.identity #>> '{publisher,version}', '')) END,
               'request_id', coalesce(o.request_id, own.event_id),
               'schema_version', '1.0.0',
               'time', e."time") AS metadata
               ) m
         ORDER BY e.place;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.event_metadata(text, jsonb) IS 'what the federation''s envelope says of events beside their documents';
REVOKE ALL ON FUNCTION esgf_stac_internal.event_metadata(text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.event_metadata(text, jsonb) TO esgf_stac_relay;

-- Can that be sent? The server makes no message of more than 1 GB.
CREATE FUNCTION esgf_stac_internal.can_be_sent(document jsonb) RETURNS boolean
    AS 'MODULE_PATHNAME', 'esgf_can_be_sent' LANGUAGE C STABLE;
COMMENT ON FUNCTION esgf_stac_internal.can_be_sent(jsonb) IS 'is the text of a document short enough for a message?';
REVOKE ALL ON FUNCTION esgf_stac_internal.can_be_sent(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.can_be_sent(jsonb) TO esgf_stac_relay;
