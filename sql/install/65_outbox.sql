-- The outbox through plain SQL: reading it page by page, and pruning it.

-- The system identifier keeps a cursor from being used on another cluster's
-- transaction ids.
CREATE FUNCTION esgf_stac.changes(INOUT cursor text DEFAULT NULL, max_events int DEFAULT 1000, stream text DEFAULT NULL, OUT event jsonb) RETURNS SETOF record
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    place CONSTANT text[] := regexp_match($1, '^([0-9]{1,20})/([0-9]{1,18})/([0-9]{1,18})(?:/([a-z0-9_]{1,50}))?$');
    cluster CONSTANT text := esgf_stac_internal.system_identifier();
    pruned xid8;
    wanted esgf_stac.stream;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    SELECT * INTO wanted FROM esgf_stac.stream s WHERE s.name = $3;
    IF max_events IS NULL OR max_events NOT BETWEEN 1 AND 10000 THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'outbox', 'max_events must be from 1 to 10000',
            hint => 'Read more in several calls: each goes on from the last cursor.');
    ELSIF $3 IS NOT NULL AND wanted.name IS NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'stream', format('stream "%s" does not exist', esgf_stac_internal.one_line($3)),
            hint => 'The view esgf_stac.stream_status lists the streams; null reads all events.');
    ELSIF $1 IS NOT NULL AND (place IS NULL OR place[1] <> cluster) THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'outbox', format('this cursor was not made here: %s', esgf_stac_internal.one_line($1)),
            hint => 'Read esgf_stac.published_item anew, and then go on from a null cursor.');
    ELSIF $1 IS NOT NULL AND place[4] IS DISTINCT FROM $3 THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'stream', format('this cursor is of %s, not of %s', coalesce('stream "' || place[4] || '"', 'all events'), coalesce('stream "' || $3 || '"', 'all events')),
            hint => 'Begin each stream with a null cursor: what one has passed another may not have read.');
    END IF;
    SELECT c.pruned INTO pruned FROM esgf_stac.catalogue c;
    IF place[2]::xid8 < pruned THEN
        PERFORM esgf_stac_internal.refuse('version-pruned', 'outbox', 'events after this cursor have been pruned',
            hint => 'Read esgf_stac.published_item anew, and then go on from a null cursor.');
    END IF;
    -- What is older than every running transaction is complete: nothing can
    -- still appear before it.
    RETURN QUERY
        SELECT concat_ws('/', cluster, o.xid, o.seq, wanted.name),
               jsonb_build_object('id', o.id, 'type', o.type,
                   'collection_id', CASE WHEN o.aggregatetype = 'collection' THEN o.aggregateid ELSE o.aggregatetype END,
                   'item_id', CASE WHEN o.aggregatetype <> 'collection' THEN o.aggregateid END,
                   'version', o.version,
                   'time', to_char(o.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                   'reason', o.reason,
                   -- Who has just left a filtered stream is gone from there, as the relay says it.
                   'document', CASE WHEN wanted.filter IS NULL OR o.aggregatetype = 'collection' OR o.streams @> ARRAY[wanted.name] THEN o.payload END)
          FROM esgf_stac.outbox o
         WHERE (o.xid, o.seq) > (coalesce(place[2], '0')::xid8, coalesce(place[3], '0')::bigint)
           AND o.xid < pg_snapshot_xmin(pg_current_snapshot())
           -- The row filter of the stream's publication.
           AND (wanted.collections IS NULL OR CASE WHEN o.aggregatetype = 'collection' THEN o.aggregateid ELSE o.aggregatetype END = ANY (wanted.collections))
           AND (wanted.filter IS NULL OR o.aggregatetype = 'collection' OR o.streams @> ARRAY[wanted.name] OR o.left_streams @> ARRAY[wanted.name])
         ORDER BY o.xid, o.seq
         LIMIT max_events;
END
$$;
COMMENT ON FUNCTION esgf_stac.changes(text, int, text) IS
'the events after a cursor, all or those of one stream, in an order without gaps, each with the cursor to go on from';

CREATE FUNCTION esgf_stac_internal.delete_events(before timestamptz, below xid8, max_events int) RETURNS bigint
    AS 'MODULE_PATHNAME', 'esgf_delete_events' LANGUAGE C STRICT;
COMMENT ON FUNCTION esgf_stac_internal.delete_events(timestamptz, xid8, int) IS 'deletes at most so many events older than that, by time and by transaction; answers how many';

CREATE FUNCTION esgf_stac.prune_outbox(keep interval DEFAULT '90 days', even_undelivered boolean DEFAULT false) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    before CONSTANT timestamptz := now() - keep;
    below xid8 := pg_snapshot_xmin(pg_current_snapshot());
    batch bigint;
    answer bigint := 0;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    IF keep IS NULL OR keep < interval '0' OR even_undelivered IS NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'outbox', 'keep must be an interval that is not negative',
            hint => 'For example interval ''90 days''; even_undelivered is true or false.');
    END IF;
    IF NOT even_undelivered THEN
        SELECT least(below, min(c.horizon)) INTO below
          FROM esgf_stac.consumer c
         WHERE c.delivering_since IS NOT NULL AND c.outbox_oid = 'esgf_stac.outbox'::regclass;
    END IF;
    LOOP
        batch := esgf_stac_internal.delete_events(before, below, 10000);
        answer := answer + batch;
        EXIT WHEN batch < 10000;
        RAISE INFO 'pruned % events', answer;
    END LOOP;
    DELETE FROM esgf_stac.request r WHERE r.answered_at < before;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION esgf_stac.prune_outbox(interval, boolean) IS
'delete events and remembered requests older than that, but none that a relay may still need, unless told; answers how many events';

REVOKE ALL ON FUNCTION
    esgf_stac.changes(text, int, text),
    esgf_stac_internal.delete_events(timestamptz, xid8, int),
    esgf_stac.prune_outbox(interval, boolean)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.changes(text, int, text) TO esgf_stac_reader;
GRANT EXECUTE ON FUNCTION esgf_stac.prune_outbox(interval, boolean) TO esgf_stac_admin;
