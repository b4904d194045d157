-- Metrics: what a monitoring system asks for, as numbers. Programs tell their own,
-- under names of theirs (esgf_stac_relay_..., esgf_stac_ingest_...).

-- How many rows a table has, from what VACUUM and ANALYZE found and how it has grown
-- since, as the planner estimates it; of one that none has seen yet, what the statistics counted.
CREATE FUNCTION esgf_stac_internal.estimated_rows(relation regclass) RETURNS double precision
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN c.reltuples <= 0 OR c.relpages = 0 THEN pg_stat_get_live_tuples(c.oid)
                ELSE round(c.reltuples::double precision / c.relpages * (pg_relation_size(c.oid) / current_setting('block_size')::int)) END
      FROM pg_class c WHERE c.oid = relation
$$;
COMMENT ON FUNCTION esgf_stac_internal.estimated_rows(regclass) IS 'how many rows a table has, about';

-- The view of this name, for those who may not read what it is made of.
CREATE FUNCTION esgf_stac_internal.metrics() RETURNS TABLE (name text, labels jsonb, value double precision, help text, type text)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp SET jit = off -- it would take a second
AS $$
    WITH stream AS (
        SELECT s.name, l.active,
               pg_wal_lsn_diff(here.lsn, l.confirmed_flush_lsn) AS lag_bytes, pg_wal_lsn_diff(here.lsn, l.restart_lsn) AS wal_held_bytes,
               CASE WHEN c.delivering_since IS NOT NULL THEN coalesce(extract(epoch FROM clock_timestamp() - (
                   -- The first of what stream_status counts, looked for among 1,000 events: it is no older than the next one.
                   SELECT o.occurred_at
                     FROM (SELECT e.*, row_number() OVER (ORDER BY e.xid, e.seq) AS n FROM esgf_stac.outbox e
                            WHERE e.xid >= c.horizon AND (c.delivered IS NULL OR NOT pg_visible_in_snapshot(e.xid, c.delivered))
                            ORDER BY e.xid, e.seq LIMIT 1001) o
                    WHERE o.n = 1001
                       OR esgf_stac_internal.is_carried(s.name, s.collections, num_nonnulls(s.filter, s.node) > 0, o.aggregatetype, o.aggregateid, o.streams, o.left_streams)
                    ORDER BY o.n LIMIT 1)), 0) END AS lag_seconds,
               (SELECT count(*) FROM esgf_stac.dead_letter d WHERE d.stream = s.name AND d.settled_at IS NULL) AS dead_letters
          FROM esgf_stac.stream s
         CROSS JOIN (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END AS lsn) here
          LEFT JOIN pg_replication_slots l ON l.slot_name = 'esgf_stac_' || s.name AND l.database = current_database()
          LEFT JOIN esgf_stac.consumer c ON c.stream = s.name AND c.outbox_oid = 'esgf_stac.outbox'::regclass
    ), measured (name, labels, value, help) AS (
        SELECT 'items', '{}'::jsonb, esgf_stac_internal.estimated_rows('esgf_stac.item'), 'Items, deleted ones too; estimated.'
        UNION ALL
        SELECT 'events', '{}', esgf_stac_internal.estimated_rows('esgf_stac.outbox'), 'Events that the outbox keeps; estimated.'
        UNION ALL
        SELECT 'outbox_bytes', '{}', pg_total_relation_size('esgf_stac.outbox'), 'Bytes of the outbox on disk, with TOAST and indexes.'
        UNION ALL
        SELECT 'oldest_event_seconds', '{}', coalesce((SELECT extract(epoch FROM clock_timestamp() - o.occurred_at) FROM esgf_stac.outbox o ORDER BY o.seq LIMIT 1), 0),
               'Age of the oldest event that the outbox keeps.'
        UNION ALL
        SELECT 'oldest_transaction_seconds', '{}', coalesce(extract(epoch FROM clock_timestamp() - least(
                   (SELECT min(a.xact_start) FROM pg_stat_activity a WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()),
                   (SELECT min(p.prepared) FROM pg_prepared_xacts p))), 0),
               'Age of the oldest transaction of any client of the cluster, prepared ones too.'
        UNION ALL
        SELECT 'hazards', '{}', (SELECT count(*) FROM esgf_stac.doctor()), 'Hazards that doctor() tells of.'
        UNION ALL
        SELECT 'access_rules', '{}', (SELECT count(*) FROM esgf_stac.access_rule r WHERE r.valid_from <= now() AND (r.valid_to IS NULL OR r.valid_to > now())),
               'Rules of access in force.'
        UNION ALL
        SELECT 'maintenance', '{}', (SELECT count(*) FROM esgf_stac.maintenance), '1 while nobody but administrators may change anything.'
        UNION ALL
        SELECT m.name, jsonb_build_object('stream', s.name), m.value, m.help
          FROM stream s CROSS JOIN LATERAL (VALUES
               ('stream_active', coalesce(s.active, false)::int, '1 while somebody reads the slot of the stream.'),
               ('stream_lag_seconds', s.lag_seconds, 'Age of the oldest event that the relay of the stream has not delivered.'),
               ('stream_lag_bytes', s.lag_bytes, 'WAL that is written and not confirmed by the reader of the stream.'),
               ('stream_wal_held_bytes', s.wal_held_bytes, 'WAL that the server keeps for the slot of the stream.'),
               ('dead_letters', s.dead_letters, 'Events that the sink of the stream refused for good and that are not settled.')) AS m (name, value, help)
        UNION ALL
        SELECT m.name, jsonb_build_object('source', p.source, 'partition', p.partition::text), m.value, m.help
          FROM esgf_stac.source_status p CROSS JOIN LATERAL (VALUES
               ('inbox_lag', p.lag, 'Offsets of the log, or bytes of a file, that are not performed.'),
               ('inbox_refused', p.refused, 'Events of the partition that were refused and are not settled.')) AS m (name, value, help)
        UNION ALL
        SELECT 'jobs', jsonb_build_object('stream', j.stream, 'state', j.state), count(*), 'Iteration jobs of the stream in a state; finished ones until they are pruned.'
          FROM esgf_stac.iteration_job j GROUP BY j.stream, j.state
    )
    SELECT 'esgf_stac_' || m.name, m.labels, m.value, m.help, 'gauge' FROM measured m WHERE m.value IS NOT NULL
$$;
COMMENT ON FUNCTION esgf_stac_internal.metrics() IS 'what the view metrics shows';

REVOKE ALL ON FUNCTION esgf_stac_internal.estimated_rows(regclass), esgf_stac_internal.metrics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.metrics() TO esgf_stac_admin, pg_monitor;
