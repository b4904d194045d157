-- The outbox through plain SQL: reading it page by page, and pruning it.

CREATE FUNCTION esgf_stac_internal.current_snapshot() RETURNS pg_snapshot
    AS 'MODULE_PATHNAME', 'esgf_current_snapshot' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION esgf_stac_internal.current_snapshot() IS 'pg_current_snapshot() in which the caller''s own transaction runs, and that is whole on a standby, too';

CREATE FUNCTION esgf_stac_internal.next_transaction() RETURNS xid8
    AS 'MODULE_PATHNAME', 'esgf_next_transaction' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION esgf_stac_internal.next_transaction() IS 'all transactions are older; null on a standby, which knows of each only later';

-- Events are read window by window: those that one snapshot sees and an earlier
-- one does not, in the order of seq. A change commits before the one that
-- builds on it is made, so that this one has the higher seq and is in the same
-- window or a later one. A cursor is cluster/outbox/read, where all that the
-- snapshot "read" sees has been read; or cluster/outbox/read/until/place, where
-- also what "until" sees has, as far as seq "place". One of 0.1.0 is
-- cluster/xid/seq. All may end in /stream. (The settings have the index on seq
-- used: without it each page would read all of the outbox.)
CREATE FUNCTION esgf_stac.changes(INOUT cursor text DEFAULT NULL, max_events int DEFAULT 1000, stream text DEFAULT NULL, OUT event jsonb) RETURNS SETOF record
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    given text[] := regexp_match(CASE WHEN octet_length($1) <= 1000000 THEN $1 END,
        '^([0-9]+)/([0-9]{1,18})/(?:([0-9]{1,18})|([0-9]{1,18}:[0-9]{1,18}:[0-9,]*)(?:/([0-9]{1,18}:[0-9]{1,18}:[0-9,]*)/([0-9]{1,18}))?)(?:/([a-z0-9_]{1,50}))?$');
    cluster CONSTANT text := esgf_stac_internal.system_identifier();
    now CONSTANT pg_snapshot := esgf_stac_internal.current_snapshot();
    outbox oid;
    wanted esgf_stac.stream;
    read pg_snapshot := '1:1:'::pg_snapshot;
    until pg_snapshot := now;
    place bigint := 0;
    room int;
    answered int;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    outbox := 'esgf_stac.outbox'::regclass;
    SELECT * INTO wanted FROM esgf_stac.stream s WHERE s.name = $3;
    IF max_events IS NULL OR max_events NOT BETWEEN 1 AND 10000 THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'outbox', 'max_events must be from 1 to 10000',
            hint => 'Read more in several calls: each goes on from the last cursor.');
    ELSIF $3 IS NOT NULL AND wanted.name IS NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'stream', format('stream "%s" does not exist', esgf_stac_internal.one_line($3)),
            hint => 'The view esgf_stac.stream_status lists the streams; null reads all events.');
    END IF;
    IF $1 IS NOT NULL THEN
        BEGIN
            IF given[3] IS NOT NULL THEN
                read := format('%1$s:%1$s:', given[2])::pg_snapshot;
                until := format('%1$s:%1$s:', given[2]::bigint + 1)::pg_snapshot;
                place := given[3]::bigint;
            ELSE
                read := given[4]::pg_snapshot;
                until := coalesce(given[5], given[4])::pg_snapshot;
                place := given[6]::bigint;
            END IF;
        EXCEPTION WHEN invalid_text_representation THEN
            given := NULL;
        END;
        IF given IS NULL OR given[1] <> cluster OR given[3] IS NULL AND given[2] <> outbox::text
            OR pg_snapshot_xmax(until) > esgf_stac_internal.next_transaction() THEN
            PERFORM esgf_stac_internal.refuse('bad-request', 'outbox', format('this cursor was not made here: %s', esgf_stac_internal.one_line($1)),
                hint => 'Read esgf_stac.published_item anew, and then go on from a null cursor.');
        ELSIF given[7] IS DISTINCT FROM $3 THEN
            PERFORM esgf_stac_internal.refuse('bad-request', 'stream', format('this cursor is of %s, not of %s', coalesce('stream "' || given[7] || '"', 'all events'), coalesce('stream "' || $3 || '"', 'all events')),
                hint => 'Begin each stream with a null cursor: what one has passed another may not have read.');
        END IF;
        -- An older snapshot, as of a standby that lags, does not see all that "until" sees: it waits.
        IF pg_snapshot_xmax(until) > pg_snapshot_xmax(now) OR EXISTS (SELECT FROM pg_snapshot_xip(now) x WHERE pg_visible_in_snapshot(x, until)) THEN
            RETURN;
        ELSIF EXISTS (SELECT FROM esgf_stac.catalogue c
                       WHERE c.pruned >= pg_snapshot_xmax(until) OR EXISTS (SELECT FROM pg_snapshot_xip(until) x WHERE x <= c.pruned))
            OR place > 0 AND NOT EXISTS (SELECT FROM esgf_stac.outbox o WHERE o.seq = place) THEN
            PERFORM esgf_stac_internal.refuse('version-pruned', 'outbox', 'events after this cursor have been pruned',
                hint => 'Read esgf_stac.published_item anew, and then go on from a null cursor.');
        END IF;
        IF place IS NULL THEN
            until := now;
        END IF;
    END IF;
    -- A cursor names what ran, and stands beside each event: long ones make short pages.
    room := least(max_events, 100000000 / octet_length(concat(read, until)));
    LOOP
        -- Where does a window begin? (The sum keeps the planner from the index on seq.)
        IF place IS NULL THEN
            place := least((SELECT min(o.seq + 0) FROM esgf_stac.outbox o
                             WHERE o.xid >= pg_snapshot_xmax(read) AND o.xid < pg_snapshot_xmax(until) AND pg_visible_in_snapshot(o.xid, until)),
                           (SELECT min(o.seq + 0) FROM esgf_stac.outbox o
                             WHERE o.xid = ANY (ARRAY(SELECT x FROM pg_snapshot_xip(read) x WHERE pg_visible_in_snapshot(x, until))))) - 1;
        END IF;
        RETURN QUERY
            SELECT concat_ws('/', cluster, outbox, CASE WHEN lead(o.seq) OVER (ORDER BY o.seq) IS NULL THEN until::text ELSE concat_ws('/', read, until, o.seq) END, wanted.name),
                   jsonb_build_object('id', o.id, 'type', o.type,
                       'collection_id', CASE WHEN o.aggregatetype = 'collection' THEN o.aggregateid ELSE o.aggregatetype END,
                       'item_id', CASE WHEN o.aggregatetype <> 'collection' THEN o.aggregateid END,
                       'version', o.version,
                       'time', to_char(o.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                       'reason', o.reason,
                       'document', CASE WHEN here.stays THEN o.payload END,
                       'validated_against', CASE WHEN here.stays THEN o.validated_against END,
                       'warnings', CASE WHEN here.stays THEN o.warnings END)
              FROM (SELECT * FROM esgf_stac.outbox o
                     WHERE o.seq > place AND pg_visible_in_snapshot(o.xid, until) AND NOT pg_visible_in_snapshot(o.xid, read)
                       -- The row filter of the stream's publication.
                       AND (wanted.collections IS NULL OR CASE WHEN o.aggregatetype = 'collection' THEN o.aggregateid ELSE o.aggregatetype END = ANY (wanted.collections))
                       AND (num_nonnulls(wanted.filter, wanted.node) = 0 OR o.aggregatetype = 'collection' OR o.streams @> ARRAY[wanted.name] OR o.left_streams @> ARRAY[wanted.name])
                     ORDER BY o.seq
                     LIMIT room + 1) o,
                   -- Who has just left a filtered stream is gone from there, as the relay says it.
                   LATERAL (SELECT num_nonnulls(wanted.filter, wanted.node) = 0 OR o.aggregatetype = 'collection' OR o.streams @> ARRAY[wanted.name] AS stays) here
             ORDER BY o.seq
             LIMIT room;
        GET DIAGNOSTICS answered = ROW_COUNT;
        room := room - answered;
        EXIT WHEN room = 0 OR until::text = now::text;
        read := until;
        until := now;
        place := NULL;
    END LOOP;
END
$$;
COMMENT ON FUNCTION esgf_stac.changes(text, int, text) IS
'the events after a cursor, all or those of one stream, each once and the versions of an item in their order, with the cursor to go on from';

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
    PERFORM esgf_stac_internal.prune_inbox(before);
    PERFORM esgf_stac_internal.fail_verifications(NULL);
    -- The last cure of a stream tells its relay whether to go on.
    DELETE FROM esgf_stac.verification v
     WHERE v.started < before AND v.state <> 'running'
       AND (NOT v.diverged OR EXISTS (SELECT FROM esgf_stac.verification w WHERE w.stream = v.stream AND w.diverged AND w.started > v.started));
    DELETE FROM esgf_stac.iteration_job j WHERE j.finished < before;
    DELETE FROM esgf_stac.rule_job j WHERE j.finished < before;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION esgf_stac.prune_outbox(interval, boolean) IS
'delete events, remembered requests, verifications, finished jobs and what came in older than that, but none that a relay may still need, unless told, and no outcome that is still to be sent; answers how many events';

REVOKE ALL ON FUNCTION
    esgf_stac_internal.current_snapshot(),
    esgf_stac_internal.next_transaction(),
    esgf_stac.changes(text, int, text),
    esgf_stac_internal.delete_events(timestamptz, xid8, int),
    esgf_stac.prune_outbox(interval, boolean)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.changes(text, int, text) TO esgf_stac_reader;
GRANT EXECUTE ON FUNCTION esgf_stac.prune_outbox(interval, boolean) TO esgf_stac_admin;
