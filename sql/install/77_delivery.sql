-- Has it arrived? What became of requests, and which streams have delivered
-- their events to their sinks. Authors ask after what is theirs, administrators
-- after everything; to all others there is nothing.

-- Whose requests and events may the caller ask after? Null: everybody's.
CREATE FUNCTION esgf_stac_internal.author() RETURNS text
    AS 'MODULE_PATHNAME', 'esgf_author' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION esgf_stac_internal.author() IS 'whose requests and events the caller may ask after: issuer, subject and client; null for administrators, who see all';

-- The same of an identity that an event keeps.
CREATE FUNCTION esgf_stac_internal.author_of(identity jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT jsonb_build_array(identity -> 'iss', identity -> 'sub', identity -> 'client_id')::text;
END;
COMMENT ON FUNCTION esgf_stac_internal.author_of(jsonb) IS 'issuer, subject and client of an identity, as author() has them';

CREATE FUNCTION esgf_stac_internal.wal_end() RETURNS pg_lsn
    AS 'MODULE_PATHNAME', 'esgf_wal_end' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION esgf_stac_internal.wal_end() IS 'the end of the last record of the WAL, be it flushed or not: what queries see committed before it; null on a standby';

-- Is an event in a stream? As esgf_stac_internal.row_filter() has it.
CREATE FUNCTION esgf_stac_internal.is_carried(stream text, collections text[], filtered boolean,
                                              aggregatetype text, aggregateid text, streams text[], left_streams text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT (collections IS NULL OR CASE WHEN aggregatetype = 'collection' THEN aggregateid ELSE aggregatetype END = ANY (collections))
           AND (NOT filtered OR aggregatetype = 'collection' OR coalesce(streams @> ARRAY[stream], false) OR coalesce(left_streams @> ARRAY[stream], false));
END;
COMMENT ON FUNCTION esgf_stac_internal.is_carried(text, text[], boolean, text, text, text[], text[]) IS 'is an event in a stream?';

-- The snapshot that shows all transactions before one, and no other.
CREATE FUNCTION esgf_stac_internal.all_before(transaction xid8) RETURNS pg_snapshot
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT format('%1$s:%1$s:', greatest(transaction, '1'))::pg_snapshot;
END;
COMMENT ON FUNCTION esgf_stac_internal.all_before(xid8) IS 'the snapshot that shows all transactions before one, and no other';

-- The id of a transaction that is not younger than all that queries know of.
CREATE FUNCTION esgf_stac_internal.with_epoch(transaction xid) RETURNS xid8
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT (n.xid - (n.xid % 4294967296 - transaction::text::bigint + 4294967296) % 4294967296)::text::xid8
      FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint) n(xid);
END;
COMMENT ON FUNCTION esgf_stac_internal.with_epoch(xid) IS 'the id of a transaction with its epoch, if it is not younger than all that queries know of';

-- Which streams have delivered events, given by seq? What a relay has delivered
-- its row says; what is visible in "began" is older than all that the stream
-- carries. Of any other reader the slot says how far it has come: against a
-- position of the WAL that was read when the events were visible, or else by the
-- transactions that had ended before all that the slot may still deliver.
CREATE FUNCTION esgf_stac_internal.delivery(events bigint[], wanted text[], past pg_lsn)
    RETURNS TABLE (event_id uuid, collection_id text, item_id text, version bigint, stream text, state text, reason text, since timestamptz)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, esgf_stac, pg_temp SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        WITH reader AS MATERIALIZED (
            SELECT s.name, s.collections, num_nonnulls(s.filter, s.node) > 0 AS filtered,
                   c.ours AND c.delivering_since IS NOT NULL AS relayed, CASE WHEN c.ours THEN c.began END AS began, c.seeded IS NOT NULL AS seeded,
                   CASE WHEN NOT c.ours THEN NULL
                        WHEN c.delivering_since IS NOT NULL THEN coalesce(c.delivered, esgf_stac_internal.all_before(c.horizon))
                        WHEN past IS NOT NULL THEN
                            (SELECT CASE WHEN l.confirmed_flush_lsn >= past THEN pg_current_snapshot()
                                         ELSE esgf_stac_internal.all_before(esgf_stac_internal.with_epoch(l.catalog_xmin)) END
                               FROM pg_replication_slots l
                              WHERE l.slot_name = 'esgf_stac_' || s.name AND l.database = current_database())
                   END AS delivered
              FROM esgf_stac.stream s
              LEFT JOIN (SELECT *, outbox_oid = 'esgf_stac.outbox'::regclass AND system_identifier = esgf_stac_internal.system_identifier() AS ours
                           FROM esgf_stac.consumer) c ON c.stream = s.name
             WHERE wanted IS NULL OR s.name = ANY (wanted)
        )
        SELECT o.id, event.collection_id, event.item_id, o.version, r.name, judged.state,
               CASE WHEN judged.state = 'refused' THEN letter.reason END,
               CASE WHEN judged.state = 'refused' THEN letter.at ELSE o.occurred_at END
          FROM unnest(events) AS asked(seq)
          JOIN esgf_stac.outbox o ON o.seq = asked.seq
         CROSS JOIN reader r
         CROSS JOIN LATERAL (
               SELECT CASE WHEN o.aggregatetype = 'collection' THEN o.aggregateid ELSE o.aggregatetype END AS collection_id,
                      CASE WHEN o.aggregatetype <> 'collection' THEN o.aggregateid END AS item_id,
                      esgf_stac_internal.is_carried(r.name, r.collections, r.filtered, o.aggregatetype, o.aggregateid, o.streams, o.left_streams) AS carried,
                      coalesce(pg_visible_in_snapshot(o.xid, r.began), false) AS older,
                      coalesce(pg_visible_in_snapshot(o.xid, r.delivered), false) AND o.xid IS DISTINCT FROM pg_current_xact_id_if_assigned() AS passed) event
          LEFT JOIN LATERAL (
               -- What is older was sent as the state that the item had later, which is no event.
               (SELECT d.reason, d.at FROM esgf_stac.dead_letter d
                 WHERE d.stream = r.name AND d.collection_id = event.collection_id AND d.item_id = event.item_id AND d.settled_at IS NULL
                   AND (d.version = o.version OR event.older AND d.version > o.version AND d.event_id IS NULL)
                 ORDER BY d.version LIMIT 1)
               UNION ALL
               SELECT d.reason, d.at FROM esgf_stac.dead_letter d
                WHERE d.stream = r.name AND d.collection_id = event.collection_id AND d.item_id IS NULL AND d.version = o.version AND d.settled_at IS NULL
                  AND event.item_id IS NULL) letter ON r.relayed
         CROSS JOIN LATERAL (
               SELECT CASE WHEN NOT event.carried OR event.older AND (NOT r.seeded OR event.item_id IS NULL) THEN 'not-concerned'
                           WHEN letter.at IS NULL THEN CASE WHEN event.passed OR event.older THEN 'delivered' ELSE 'pending' END
                           -- The sink may have a later version.
                           WHEN EXISTS (
                                SELECT FROM esgf_stac.outbox later
                                 WHERE later.aggregatetype = o.aggregatetype AND later.aggregateid = o.aggregateid AND later.version > o.version
                                   AND pg_visible_in_snapshot(later.xid, r.delivered) AND pg_visible_in_snapshot(later.xid, r.began) IS NOT TRUE
                                   AND esgf_stac_internal.is_carried(r.name, r.collections, r.filtered, later.aggregatetype, later.aggregateid, later.streams, later.left_streams)
                                   AND NOT EXISTS (
                                        SELECT FROM esgf_stac.dead_letter d
                                         WHERE d.stream = r.name AND d.collection_id = event.collection_id AND d.item_id = event.item_id AND d.version = later.version AND d.settled_at IS NULL)
                                   AND NOT EXISTS (
                                        SELECT FROM esgf_stac.dead_letter d
                                         WHERE d.stream = r.name AND d.collection_id = event.collection_id AND d.item_id IS NULL AND d.version = later.version AND d.settled_at IS NULL
                                           AND event.item_id IS NULL)) THEN 'delivered'
                           ELSE 'refused' END AS state) judged
         ORDER BY o.seq, r.name;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.delivery(bigint[], text[], pg_lsn) IS 'which streams, all or those wanted, have delivered events, given by seq, that were visible when the WAL ended there';

CREATE FUNCTION esgf_stac.request_status(INOUT request_id text, OUT status int, OUT collection_id text, OUT item_id text, OUT version bigint,
                                         OUT changed boolean, OUT action text, OUT event_id uuid, OUT problem jsonb, OUT received_at timestamptz) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    author text;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    IF $1 IS NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'request', 'argument "request_id" must not be null',
            hint => 'Give an idempotency key, or the request_id of an identity or of an ingested event.');
    END IF;
    author := esgf_stac_internal.author();
    RETURN QUERY
        WITH answered AS (
            SELECT (r.outcome ->> 'status')::int AS status, r.outcome ->> 'collection_id' AS collection_id, r.outcome ->> 'item_id' AS item_id,
                   (r.outcome ->> 'version')::bigint AS version, r.outcome ->> 'action' AS action, (r.outcome ->> 'event_id')::uuid AS event_id,
                   NULL::jsonb AS problem, r.answered_at AS received_at
              FROM esgf_stac.request r
             WHERE r.request_id = $1 AND r.outcome IS NOT NULL AND (author IS NULL OR r.client = author)
        ), ingested AS (
            -- A repetition has the outcome of the first.
            SELECT DISTINCT ON (i.source, first.partition, first."offset")
                   i.status, i.outcome ->> 'collection_id', i.outcome ->> 'item_id', (i.outcome ->> 'version')::bigint, i.outcome ->> 'action', (i.outcome ->> 'event_id')::uuid AS event_id,
                   nullif(i.outcome -> 'problem', 'null'), i.received_at
              FROM esgf_stac.inbox i
             CROSS JOIN LATERAL (SELECT coalesce((i.outcome #>> '{repeats,partition}')::int, i.partition) AS partition, coalesce((i.outcome #>> '{repeats,offset}')::bigint, i."offset") AS "offset") first
             WHERE i.request_id = $1 AND (author IS NULL OR esgf_stac_internal.author_of(i.identity) = author)
             ORDER BY i.source, first.partition, first."offset", i.repeats
        ), happened AS (
            SELECT CASE WHEN o.type LIKE '%.published' THEN 201 ELSE 200 END,
                   CASE WHEN o.aggregatetype = 'collection' THEN o.aggregateid ELSE o.aggregatetype END,
                   CASE WHEN o.aggregatetype <> 'collection' THEN o.aggregateid END,
                   o.version, split_part(o.type, '.', 2), o.id, NULL::jsonb, o.occurred_at
              FROM esgf_stac.outbox o
             WHERE o.request_id = $1 AND (author IS NULL OR esgf_stac_internal.author_of(o.identity) = author)
               AND NOT EXISTS (SELECT FROM answered a WHERE a.event_id = o.id)
               AND NOT EXISTS (SELECT FROM ingested i WHERE i.event_id = o.id)
        )
        SELECT $1, r.status, r.collection_id, r.item_id, r.version, CASE WHEN r.problem IS NULL THEN r.action IS NOT NULL END, r.action, r.event_id, r.problem, r.received_at
          FROM (TABLE answered UNION ALL TABLE ingested UNION ALL TABLE happened) r
         ORDER BY r.received_at, r.collection_id, r.item_id, r.version;
END
$$;
COMMENT ON FUNCTION esgf_stac.request_status(text) IS 'what became of a request, by its idempotency key, the request_id of its identity, or that of an ingested event: a row for each change or refusal, oldest first';

CREATE FUNCTION esgf_stac.delivery_status(INOUT event_id uuid DEFAULT NULL, request_id text DEFAULT NULL, batch text DEFAULT NULL,
                                          OUT collection_id text, OUT item_id text, OUT version bigint, OUT stream text, OUT state text, OUT reason text, OUT since timestamptz) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    author text;
    events bigint[];
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    IF num_nonnulls($1, $2, $3) <> 1 THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'outbox', 'exactly one of the arguments "event_id", "request_id" and "batch" must be given',
            hint => 'For example delivery_status(event_id => ''...''). A receipt has a null event_id where nothing has changed: nothing is to be delivered then.');
    END IF;
    author := esgf_stac_internal.author();
    IF $1 IS NOT NULL THEN
        events := ARRAY(SELECT o.seq FROM esgf_stac.outbox o WHERE o.id = $1 AND (author IS NULL OR esgf_stac_internal.author_of(o.identity) = author));
    ELSIF $2 IS NOT NULL THEN
        events := ARRAY(SELECT o.seq FROM esgf_stac.request_status($2) r JOIN esgf_stac.outbox o ON o.id = r.event_id);
    ELSE
        events := ARRAY(SELECT o.seq FROM esgf_stac.outbox o WHERE o.batch = $3 AND (author IS NULL OR esgf_stac_internal.author_of(o.identity) = author));
    END IF;
    RETURN QUERY SELECT d.event_id, d.collection_id, d.item_id, d.version, d.stream, d.state, d.reason, d.since FROM esgf_stac_internal.delivery(events, NULL, esgf_stac_internal.wal_end()) d;
END
$$;
COMMENT ON FUNCTION esgf_stac.delivery_status(uuid, text, text) IS
'which streams have delivered an event, the events of a request, or those of a batch: a row for each event and stream, state one of not-concerned, delivered, refused, pending';

CREATE FUNCTION esgf_stac.batch_status(batch text, OUT stream text, OUT state text, OUT items bigint) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    author text;
    events bigint[];
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    IF $1 IS NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'outbox', 'argument "batch" must not be null',
            hint => 'Give the batch of the identity under which the changes were made.');
    END IF;
    author := esgf_stac_internal.author();
    events := ARRAY(SELECT DISTINCT ON (o.aggregatetype, o.aggregateid) o.seq
                      FROM esgf_stac.outbox o
                     WHERE o.batch = $1 AND (author IS NULL OR esgf_stac_internal.author_of(o.identity) = author)
                     ORDER BY o.aggregatetype, o.aggregateid, o.version DESC);
    RETURN QUERY
        SELECT d.stream, d.state, count(*) FROM esgf_stac_internal.delivery(events, NULL, esgf_stac_internal.wal_end()) d
         GROUP BY d.stream, d.state
         ORDER BY d.stream, d.state;
END
$$;
COMMENT ON FUNCTION esgf_stac.batch_status(text) IS 'of each item that a batch has changed the state of its newest event in the batch: how many are in which state, stream by stream';

CREATE FUNCTION esgf_stac.wait_for_delivery(event_id uuid, streams text[] DEFAULT NULL, timeout interval DEFAULT '10 s', OUT stream text, OUT state text) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'esgf_wait_for_delivery' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.wait_for_delivery(uuid, text[], interval) IS
'waits until an event is pending in no stream, or none of those named, at most so long (60 s at most), and answers with the state in each';

REVOKE ALL ON FUNCTION
    esgf_stac_internal.author(),
    esgf_stac_internal.author_of(jsonb),
    esgf_stac_internal.wal_end(),
    esgf_stac_internal.is_carried(text, text[], boolean, text, text, text[], text[]),
    esgf_stac_internal.all_before(xid8),
    esgf_stac_internal.with_epoch(xid),
    esgf_stac_internal.delivery(bigint[], text[], pg_lsn),
    esgf_stac.request_status(text),
    esgf_stac.delivery_status(uuid, text, text),
    esgf_stac.batch_status(text),
    esgf_stac.wait_for_delivery(uuid, text[], interval)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    esgf_stac.request_status(text),
    esgf_stac.delivery_status(uuid, text, text),
    esgf_stac.batch_status(text),
    esgf_stac.wait_for_delivery(uuid, text[], interval)
TO esgf_stac_writer;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.wal_end() TO esgf_stac_relay;
