-- Dead letters: what a sink refused, or was passed over, and how it is sent anew.

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

-- The items whose redrive was asked for, or whose repair, at most 1000 or so, with
-- their versions now and until when it was asked; in the order of bytes. The rest
-- comes after. What a sink is to remove has the version that it has there.
CREATE FUNCTION esgf_stac_internal.redrive_round(stream text)
    RETURNS TABLE (collection_id text, item_id text, version bigint, asked timestamptz, repair text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
BEGIN
    RETURN QUERY
        WITH asked AS (
            (SELECT d.collection_id, d.item_id, d.redrive_at, NULL AS repair, NULL::bigint AS version_there
               FROM esgf_stac.dead_letter d
              WHERE d.stream = redrive_round.stream AND d.settled_at IS NULL AND d.redrive_at IS NOT NULL
              ORDER BY d.redrive_at
              FETCH FIRST 1000 ROWS WITH TIES)
            UNION ALL
            (SELECT d.collection_id, d.item_id, d.asked_at, d.repair, d.version_there
               FROM esgf_stac.drift d
               JOIN esgf_stac.verification v ON v.id = d.verification
              WHERE v.stream = redrive_round.stream AND d.asked_at IS NOT NULL AND d.sent_at IS NULL AND d.repair IN ('send', 'remove')
              ORDER BY d.asked_at
              FETCH FIRST 1000 ROWS WITH TIES)
        ), letter AS (
            SELECT a.collection_id, a.item_id, max(a.redrive_at) AS redrive_at, min(a.repair) AS repair, max(a.version_there) AS version_there
              FROM asked a GROUP BY a.collection_id, a.item_id
        )
        SELECT l.collection_id, l.item_id, CASE WHEN l.repair = 'remove' THEN l.version_there ELSE coalesce(i.version, c.version) END, l.redrive_at, l.repair
          FROM letter l
          LEFT JOIN esgf_stac.item i ON i.collection_id = l.collection_id AND i.id = l.item_id
          LEFT JOIN esgf_stac.collection c ON l.item_id IS NULL AND c.id = l.collection_id
         ORDER BY l.collection_id COLLATE "C", l.item_id COLLATE "C" NULLS FIRST;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.redrive_round(text) IS 'the items whose redrive or repair was asked for, at most 1000 of each, with their versions now';
REVOKE ALL ON FUNCTION esgf_stac_internal.redrive_round(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.redrive_round(text) TO esgf_stac_relay;

-- The states of those of them that still have that version, in the columns of
-- the outbox. No document where the item is deleted or not in the stream, or is to
-- be removed; but not where the item has come to be meanwhile. A repair overwrites
-- the same version. (Settings and OFFSET 0 have each key looked up.)
CREATE FUNCTION esgf_stac_internal.redrive_states(stream text, keys jsonb)
    RETURNS TABLE (aggregatetype text, aggregateid text, type text, version bigint, document jsonb, updated timestamptz, validated_against jsonb, repair text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    s esgf_stac.stream;
BEGIN
    SELECT t.* INTO STRICT s FROM esgf_stac.stream t WHERE t.name = redrive_states.stream;
    RETURN QUERY
        SELECT i.collection_id, i.id, CASE WHEN p.id IS NULL THEN 'item.deleted' ELSE 'item.seeded' END, i.version, p.document, i.updated, p.validated_against, k ->> 4
          FROM jsonb_array_elements(keys) k
          JOIN esgf_stac.item i ON i.collection_id = k ->> 0 AND i.id = k ->> 1 AND i.version = (k ->> 2)::bigint
          LEFT JOIN LATERAL (
               SELECT t.id, t.document, t.validated_against FROM esgf_stac.published_item t
                WHERE t.collection_id = i.collection_id AND t.id = i.id AND esgf_stac_internal.is_in_stream(s.name, i.collection_id, i.document, i.nodes)
               OFFSET 0) p ON true
         WHERE k ->> 4 IS DISTINCT FROM 'remove'
        UNION ALL
        SELECT k ->> 0, k ->> 1, 'item.deleted', (k ->> 2)::bigint, NULL, now(), NULL, k ->> 4
          FROM jsonb_array_elements(keys) k
         WHERE k ->> 4 = 'remove' AND k ->> 2 IS NOT NULL
           AND NOT EXISTS (SELECT FROM esgf_stac.item i WHERE i.collection_id = k ->> 0 AND i.id = k ->> 1 AND i.version >= (k ->> 2)::bigint - 1000000)
        UNION ALL
        SELECT 'collection', c.id, CASE WHEN c.deleted THEN 'collection.deleted' ELSE 'collection.updated' END, c.version,
               CASE WHEN NOT c.deleted THEN c.document END, c.updated, NULL, NULL
          FROM jsonb_array_elements(keys) k
          JOIN esgf_stac.collection c ON k ->> 1 IS NULL AND c.id = k ->> 0 AND c.version = (k ->> 2)::bigint;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.redrive_states(text, jsonb) IS 'the current states of those items that still have the version given';
REVOKE ALL ON FUNCTION esgf_stac_internal.redrive_states(text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.redrive_states(text, jsonb) TO esgf_stac_relay;

-- Which of those keys are done with, once redrive_states() has answered of them?
-- Without a version, the stream has brought a later one. What changed meanwhile
-- stays for the next round.
CREATE FUNCTION esgf_stac_internal.redriven(keys jsonb) RETURNS TABLE (collection_id text, item_id text, asked timestamptz)
    LANGUAGE sql STABLE SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
    SELECT k ->> 0, k ->> 1, (k ->> 3)::timestamptz
      FROM jsonb_array_elements(keys) k
     WHERE k ->> 2 IS NULL OR k ->> 4 = 'remove'
           OR EXISTS (SELECT FROM esgf_stac.item i
                       WHERE i.collection_id = k ->> 0 AND i.id = k ->> 1 AND i.version = (k ->> 2)::bigint)
           OR EXISTS (SELECT FROM esgf_stac.collection c
                       WHERE k ->> 1 IS NULL AND c.id = k ->> 0 AND c.version = (k ->> 2)::bigint)
$$;
COMMENT ON FUNCTION esgf_stac_internal.redriven(jsonb) IS 'which of the items of a round are done with';
REVOKE ALL ON FUNCTION esgf_stac_internal.redriven(jsonb) FROM PUBLIC;

-- Settles their dead letters, and notes that their repairs were sent; not those
-- that were asked for later.
CREATE FUNCTION esgf_stac_internal.settle_letters(stream text, keys jsonb) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    settled bigint;
BEGIN
    UPDATE esgf_stac.drift d SET sent_at = clock_timestamp()
      FROM esgf_stac_internal.redriven(keys) k, esgf_stac.verification v
     WHERE v.id = d.verification AND v.stream = settle_letters.stream
       AND d.sent_at IS NULL AND d.asked_at <= k.asked AND d.repair IN ('send', 'remove') AND d.collection_id = k.collection_id AND d.item_id = k.item_id;
    UPDATE esgf_stac.dead_letter d SET settled_at = now()
      FROM esgf_stac_internal.redriven(keys) k
     WHERE d.stream = settle_letters.stream AND d.settled_at IS NULL
       AND d.collection_id = k.collection_id AND coalesce(d.item_id, '') = coalesce(k.item_id, '')
       AND d.redrive_at <= k.asked;
    GET DIAGNOSTICS settled = ROW_COUNT;
    RETURN settled;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.settle_letters(text, jsonb) IS 'settles the dead letters of items whose states were sent, and their repairs';
REVOKE ALL ON FUNCTION esgf_stac_internal.settle_letters(text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.settle_letters(text, jsonb) TO esgf_stac_relay;
