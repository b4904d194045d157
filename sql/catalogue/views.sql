-- What readers see, and how the streams are doing.

CREATE OR REPLACE VIEW esgf_stac.published_item WITH (security_barrier) AS
    SELECT collection_id, id, version, '"' || version || '"' AS etag, updated, base_id, dataset_version,
           latest, retracted, nodes,
           CASE WHEN retracted THEN document || '{"assets": {}}' ELSE document END AS document,
           validated_against
      FROM esgf_stac.item
     WHERE NOT deleted;

CREATE OR REPLACE VIEW esgf_stac.stream_status AS
    WITH slot AS (
        SELECT substr(slot_name, 11) COLLATE "default" AS name, slot_name, active, restart_lsn, confirmed_flush_lsn, wal_status, safe_wal_size
          FROM pg_replication_slots
         WHERE slot_name LIKE 'esgf\_stac\_%' AND database = current_database()
    ), publication AS (
        SELECT substr(pubname, 11) COLLATE "default" AS name, pubname FROM pg_publication WHERE pubname LIKE 'esgf\_stac\_%'
    ), here AS (
        SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END AS lsn,
               'esgf_stac.outbox'::regclass::oid AS outbox
    )
    SELECT name, s.collections, s.filter, p.pubname::text AS publication, l.slot_name::text AS slot, l.active,
           l.wal_status, l.restart_lsn, l.confirmed_flush_lsn,
           pg_wal_lsn_diff(here.lsn, l.confirmed_flush_lsn)::bigint AS lag_bytes,
           behind.lag_events, behind.lag_seconds,
           pg_wal_lsn_diff(here.lsn, l.restart_lsn)::bigint AS wal_held_bytes, l.safe_wal_size,
           CASE WHEN s.name IS NULL THEN 'orphan: no such stream'
                WHEN p.pubname IS NULL THEN 'publication is missing'
                WHEN s.outbox_oid <> here.outbox AND c.stream IS NULL THEN 'unknown history: the catalogue was restored, begin the stream anew'
                WHEN l.slot_name IS NULL THEN 'no slot: nobody has begun to read'
                WHEN l.wal_status = 'lost' THEN 'slot is lost: the relay will replace it and replay'
                WHEN l.wal_status = 'unreserved' THEN 'slot holds too much WAL and is about to be lost'
                WHEN l.wal_status = 'extended' THEN 'slot holds too much WAL: more than max_wal_size'
                WHEN c.problem_at > now() - interval '2 minutes' THEN c.problem
                WHEN c.snapshot_position IS NOT NULL AND c.updated > now() - interval '2 minutes'
                    THEN concat('seeding: ', c.snapshot_sent, ' of ' || c.snapshot_total, ' items sent')
                WHEN NOT l.active THEN 'nobody reads the slot'
           END AS warning,
           s.node
      FROM esgf_stac.stream s
      FULL JOIN slot l USING (name)
      FULL JOIN publication p USING (name)
      CROSS JOIN here
      LEFT JOIN esgf_stac.consumer c ON c.stream = name AND c.outbox_oid = here.outbox
      LEFT JOIN LATERAL (
        SELECT count(*) AS lag_events,
               coalesce(extract(epoch FROM clock_timestamp() - min(o.occurred_at)), 0)::float8 AS lag_seconds
          FROM esgf_stac.outbox o
         WHERE o.xid >= c.horizon AND (c.delivered IS NULL OR NOT pg_visible_in_snapshot(o.xid, c.delivered))
           -- As esgf_stac_internal.row_filter() has it; a function of the extension would take the view along when it goes.
           AND (s.collections IS NULL OR o.aggregatetype = ANY (s.collections)
                OR (o.aggregatetype = 'collection' AND o.aggregateid = ANY (s.collections)))
           AND (num_nonnulls(s.filter, s.node) = 0 OR o.aggregatetype = 'collection' OR o.streams @> ARRAY[name] OR o.left_streams @> ARRAY[name])
      ) behind ON c.delivering_since IS NOT NULL;

-- How far the partitions of each source have been read, and what of them is refused.
CREATE OR REPLACE VIEW esgf_stac.source_status AS
    SELECT p.source, p.partition, p.next_offset, p.high_watermark,
           CASE WHEN p.high_watermark < p.next_offset THEN 0 ELSE p.high_watermark - p.next_offset END AS lag,
           p.results_offset, refusals.refused, refusals.last_problem, p.updated
      FROM esgf_stac.source_partition p
     CROSS JOIN LATERAL (
        SELECT count(*) AS refused,
               (SELECT i.outcome #>> '{problem,detail}' FROM esgf_stac.inbox i
                 WHERE i.source = p.source AND i.partition = p.partition AND i.settled_at IS NULL
                 ORDER BY i.tried_at DESC, i."offset" DESC LIMIT 1) AS last_problem
          FROM esgf_stac.inbox o
         WHERE o.source = p.source AND o.partition = p.partition AND o.settled_at IS NULL
     ) refusals;

-- What a monitoring system asks for; it goes with the extension's function, and comes back with upgrade_catalogue().
CREATE OR REPLACE VIEW esgf_stac.metrics AS
    SELECT name, labels, value, help, type FROM esgf_stac_internal.metrics();
