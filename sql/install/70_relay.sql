-- What the relay asks of the database, beside plain SELECTs.

CREATE FUNCTION esgf_stac_internal.publication_problem(stream text) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, esgf_stac, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
    publication pg_publication;
    published record;
    expected text;
BEGIN
    SELECT * INTO publication FROM pg_publication WHERE pubname = 'esgf_stac_' || stream;
    IF NOT FOUND THEN
        RETURN 'it does not exist';
    ELSIF publication.puballtables OR NOT publication.pubinsert OR publication.pubupdate
          OR publication.pubdelete OR publication.pubtruncate OR publication.pubviaroot THEN
        RETURN 'it must publish the inserts of one table, and nothing else';
    END IF;

    SELECT array_agg(format('%s.%s', t.schemaname, t.tablename)) AS tables,
           min(t.attnames) AS columns,
           min(t.rowfilter) AS row_filter
      INTO published
      FROM pg_publication_tables t WHERE t.pubname = publication.pubname;
    IF published.tables IS DISTINCT FROM '{esgf_stac.outbox}' THEN
        RETURN 'it must hold the table esgf_stac.outbox alone';
    ELSIF published.columns <> esgf_stac_internal.published_columns() THEN
        RETURN 'its columns must be those that create_stream() publishes';
    END IF;

    SELECT esgf_stac_internal.row_filter(s.name, s.collections, s.filter) INTO expected FROM esgf_stac.stream s WHERE s.name = publication_problem.stream;
    IF published.row_filter IS DISTINCT FROM expected AND published.row_filter IS DISTINCT FROM '(' || expected || ')' THEN
        RETURN format('its row filter must be %s', coalesce(expected, 'absent'));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.publication_problem(text) IS 'how the publication of a stream differs from what create_stream() makes; null if it does not';
REVOKE ALL ON FUNCTION esgf_stac_internal.publication_problem(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.publication_problem(text) TO esgf_stac_relay;

-- A page of the published items that belong to a stream, by primary key: what
-- the relay's --snapshot sends. The filter is judged on the stored document, as
-- when a change is made.
CREATE FUNCTION esgf_stac_internal.stream_items(stream text, after_collection text, after_item text, max_items int)
    RETURNS TABLE (collection_id text, item_id text, version bigint, updated timestamptz, document jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    s esgf_stac.stream;
BEGIN
    SELECT t.* INTO STRICT s FROM esgf_stac.stream t WHERE t.name = stream_items.stream;
    RETURN QUERY
        SELECT i.collection_id, i.id, i.version, i.updated, p.document
          FROM esgf_stac.item i
          JOIN esgf_stac.published_item p ON p.collection_id = i.collection_id AND p.id = i.id
         WHERE (i.collection_id, i.id) > (coalesce(after_collection, ''), coalesce(after_item, ''))
           AND esgf_stac_internal.is_in_stream(i.collection_id, i.document, s.collections, s.filter)
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
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    s esgf_stac.stream;
    items CONSTANT real := (SELECT reltuples FROM pg_class WHERE oid = 'esgf_stac.item'::regclass);
    plan jsonb;
BEGIN
    SELECT t.* INTO STRICT s FROM esgf_stac.stream t WHERE t.name = stream_item_count.stream;
    IF items < (CASE WHEN s.filter IS NULL THEN 1000000 ELSE 50000 END) THEN
        RETURN (SELECT count(*) FROM esgf_stac.item i
                 WHERE NOT i.deleted AND esgf_stac_internal.is_in_stream(i.collection_id, i.document, s.collections, s.filter));
    ELSIF s.filter IS NOT NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT FROM esgf_stac.item i WHERE NOT i.deleted'
            || coalesce(format(' AND i.collection_id = ANY (%L::text[])', s.collections), '') INTO plan;
    RETURN (plan #>> '{0,Plan,Plan Rows}')::bigint;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.stream_item_count(text) IS 'how many items a snapshot of a stream will send, at a guess where they are many';
REVOKE ALL ON FUNCTION esgf_stac_internal.stream_item_count(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.stream_item_count(text) TO esgf_stac_relay;

-- Was that event, {"id", "collection_id", "item_id", "version"}, ever in this
-- history? Where the outbox no longer has it, the version must at least have
-- been given.
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
    RETURN EXISTS (SELECT FROM esgf_stac.item i
                    WHERE i.collection_id = its_collection AND i.id = its_item AND i.version >= its_version);
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
    SELECT s.filter IS NOT NULL INTO STRICT filtered FROM esgf_stac.stream s WHERE s.name = event_metadata.stream;
    RETURN QUERY
        SELECT m.metadata,
               CASE WHEN e.id IS NULL OR (filtered AND e.version > 1 AND NOT EXISTS (
                            SELECT FROM esgf_stac.outbox before
                             WHERE before.aggregatetype = e.collection_id AND before.aggregateid = e.item_id
                               AND before.version = e.version - 1 AND before.streams @> ARRAY[event_metadata.stream]))
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

-- Has the relay of a stream pass over an event.
CREATE FUNCTION esgf_stac.skip_event(stream text, event_id uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    row_filter text;
    consumer esgf_stac.consumer;
    skipped boolean;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    IF NOT EXISTS (SELECT FROM esgf_stac.stream s WHERE s.name = skip_event.stream) THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'stream', format('stream %s does not exist', coalesce(quote_literal(esgf_stac_internal.one_line(stream)), 'NULL')),
            hint => 'The view esgf_stac.stream_status lists the streams.');
    END IF;
    SELECT c.* INTO consumer FROM esgf_stac.consumer c
     WHERE c.stream = skip_event.stream AND c.delivering_since IS NOT NULL AND c.outbox_oid = 'esgf_stac.outbox'::regclass;
    IF NOT FOUND THEN
        PERFORM esgf_stac_internal.refuse('operation-not-permitted', 'consumer', format('no relay has begun to deliver stream "%s"', stream),
            hint => 'Only the relay passes an event over; start it first.');
    END IF;

    -- The publication's filter says what is in the stream.
    SELECT coalesce(p.rowfilter, 'true') INTO row_filter FROM pg_publication_tables p WHERE p.pubname = 'esgf_stac_' || stream;
    EXECUTE format(
        'INSERT INTO esgf_stac.dead_letter AS d (stream, event_id, collection_id, item_id, version, reason, skipped)
         SELECT $1, id, CASE WHEN aggregatetype = ''collection'' THEN aggregateid ELSE aggregatetype END,
                CASE WHEN aggregatetype <> ''collection'' THEN aggregateid END, version, ''passed over by '' || session_user, true
           FROM esgf_stac.outbox
          WHERE id = $2 AND xid >= $3 AND ($4 IS NULL OR NOT pg_visible_in_snapshot(xid, $4)) AND (%s)
         ON CONFLICT (stream, collection_id, item_id, version) DO UPDATE
            SET event_id = excluded.event_id, reason = excluded.reason, at = now(), redrive_at = NULL, settled_at = NULL, skipped = true
         RETURNING true', coalesce(row_filter, 'true'))
       INTO skipped USING stream, event_id, consumer.horizon, consumer.delivered;
    IF skipped IS NULL THEN
        PERFORM esgf_stac_internal.refuse('event-does-not-exist', 'outbox', format('event %s is none that stream "%s" has yet to deliver', coalesce(event_id::text, 'NULL'), stream));
    END IF;
END
$$;
COMMENT ON FUNCTION esgf_stac.skip_event(text, uuid) IS 'has the relay of a stream pass over an event that cannot be sent, and leaves a dead letter';
REVOKE ALL ON FUNCTION esgf_stac.skip_event(text, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.skip_event(text, uuid) TO esgf_stac_admin;

-- Asks the relay of a stream to send anew what its sink refused.
CREATE FUNCTION esgf_stac.redrive(stream text, item_id text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    asked bigint;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    IF NOT EXISTS (SELECT FROM esgf_stac.stream s WHERE s.name = redrive.stream) THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'stream', format('stream %s does not exist', coalesce(quote_literal(esgf_stac_internal.one_line(stream)), 'NULL')),
            hint => 'The view esgf_stac.stream_status lists the streams.');
    END IF;
    UPDATE esgf_stac.dead_letter d SET redrive_at = clock_timestamp()
     WHERE d.stream = redrive.stream AND d.settled_at IS NULL
       AND (redrive.item_id IS NULL OR d.item_id = redrive.item_id)
       AND NOT EXISTS (SELECT FROM esgf_stac.published_item i
                        WHERE i.collection_id = d.collection_id AND i.id = d.item_id
                          AND NOT esgf_stac_internal.can_be_sent(i.document));
    GET DIAGNOSTICS asked = ROW_COUNT;
    RETURN asked;
END
$$;
COMMENT ON FUNCTION esgf_stac.redrive(text, text) IS 'has the running relay of a stream send the current state of items whose events its sink refused; answers how many dead letters that will settle';
REVOKE ALL ON FUNCTION esgf_stac.redrive(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.redrive(text, text) TO esgf_stac_admin;

-- The items whose redrive was asked for, at most 1000 or so, with their versions
-- now and until when it was asked; in the order of bytes. The rest comes after.
CREATE FUNCTION esgf_stac_internal.redrive_round(stream text)
    RETURNS TABLE (collection_id text, item_id text, version bigint, asked timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
BEGIN
    RETURN QUERY
        WITH asked AS (
            SELECT d.collection_id, d.item_id, d.redrive_at
              FROM esgf_stac.dead_letter d
             WHERE d.stream = redrive_round.stream AND d.settled_at IS NULL AND d.redrive_at IS NOT NULL
             ORDER BY d.redrive_at
             FETCH FIRST 1000 ROWS WITH TIES
        ), letter AS (
            SELECT a.collection_id, a.item_id, max(a.redrive_at) AS redrive_at FROM asked a GROUP BY a.collection_id, a.item_id
        )
        SELECT l.collection_id, l.item_id, coalesce(i.version, c.version), l.redrive_at
          FROM letter l
          LEFT JOIN esgf_stac.item i ON i.collection_id = l.collection_id AND i.id = l.item_id
          LEFT JOIN esgf_stac.collection c ON l.item_id IS NULL AND c.id = l.collection_id
         ORDER BY l.collection_id COLLATE "C", l.item_id COLLATE "C" NULLS FIRST;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.redrive_round(text) IS 'the items whose redrive was asked for, at most 1000, with their versions now';
REVOKE ALL ON FUNCTION esgf_stac_internal.redrive_round(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.redrive_round(text) TO esgf_stac_relay;

-- The states of those of them that still have that version, in the columns of
-- the outbox. No document where the item is deleted or not in the stream.
CREATE FUNCTION esgf_stac_internal.redrive_states(stream text, keys jsonb)
    RETURNS TABLE (aggregatetype text, aggregateid text, type text, version bigint, document jsonb, updated timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    s esgf_stac.stream;
BEGIN
    SELECT t.* INTO STRICT s FROM esgf_stac.stream t WHERE t.name = redrive_states.stream;
    RETURN QUERY
        SELECT i.collection_id, i.id, CASE WHEN p.id IS NULL THEN 'item.deleted' ELSE 'item.seeded' END, i.version, p.document, i.updated
          FROM jsonb_array_elements(keys) k
          JOIN esgf_stac.item i ON i.collection_id = k ->> 0 AND i.id = k ->> 1 AND i.version = (k ->> 2)::bigint
          LEFT JOIN esgf_stac.published_item p ON p.collection_id = i.collection_id AND p.id = i.id
           AND esgf_stac_internal.is_in_stream(i.collection_id, i.document, s.collections, s.filter)
        UNION ALL
        SELECT 'collection', c.id, CASE WHEN c.deleted THEN 'collection.deleted' ELSE 'collection.updated' END, c.version,
               CASE WHEN NOT c.deleted THEN c.document END, c.updated
          FROM jsonb_array_elements(keys) k
          JOIN esgf_stac.collection c ON k ->> 1 IS NULL AND c.id = k ->> 0 AND c.version = (k ->> 2)::bigint;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.redrive_states(text, jsonb) IS 'the current states of those items that still have the version given';
REVOKE ALL ON FUNCTION esgf_stac_internal.redrive_states(text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.redrive_states(text, jsonb) TO esgf_stac_relay;

-- Settles what redrive_states() has answered of those items; without a version,
-- the stream has brought a later one. What changed meanwhile stays for the next
-- round, as do letters whose redrive was asked for later.
CREATE FUNCTION esgf_stac_internal.settle_letters(stream text, keys jsonb) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    settled bigint;
BEGIN
    UPDATE esgf_stac.dead_letter d SET settled_at = now()
      FROM jsonb_array_elements(keys) k
     WHERE d.stream = settle_letters.stream AND d.settled_at IS NULL
       AND d.collection_id = k ->> 0 AND coalesce(d.item_id, '') = coalesce(k ->> 1, '')
       AND d.redrive_at <= (k ->> 3)::timestamptz
       AND (k ->> 2 IS NULL
            OR EXISTS (SELECT FROM esgf_stac.item i
                        WHERE i.collection_id = k ->> 0 AND i.id = k ->> 1 AND i.version = (k ->> 2)::bigint)
            OR EXISTS (SELECT FROM esgf_stac.collection c
                        WHERE k ->> 1 IS NULL AND c.id = k ->> 0 AND c.version = (k ->> 2)::bigint));
    GET DIAGNOSTICS settled = ROW_COUNT;
    RETURN settled;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.settle_letters(text, jsonb) IS 'settles the dead letters of items whose states were sent';
REVOKE ALL ON FUNCTION esgf_stac_internal.settle_letters(text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.settle_letters(text, jsonb) TO esgf_stac_relay;
