-- The outbox through plain SQL: reading it page by page, pruning it, and
-- looking after all that hangs on it.

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

CREATE FUNCTION esgf_stac.doctor() RETURNS TABLE (hazard text, subject text, detail text, cure text)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
BEGIN
    IF to_regclass('esgf_stac.catalogue') IS NULL THEN
        RETURN QUERY SELECT 'no catalogue', current_database()::text, 'there are no tables', 'SELECT esgf_stac.create_catalogue();';
        RETURN;
    END IF;
    RETURN QUERY
        SELECT 'version', 'extension', format('the extension is of version %s, the installed files of %s', e.installed_version, e.default_version),
               'ALTER EXTENSION esgf_stac UPDATE; SELECT esgf_stac.upgrade_catalogue();'
          FROM pg_available_extensions e WHERE e.name = 'esgf_stac' AND e.installed_version <> e.default_version
        UNION ALL
        SELECT 'version', 'library', format('this session has the library of version %s, the extension is of %s', esgf_stac.library_version(), e.installed_version),
               '-- reconnect'
          FROM pg_available_extensions e WHERE e.name = 'esgf_stac' AND e.installed_version = e.default_version
           AND esgf_stac.library_version() <> e.installed_version;
    -- Tables of another version may lack what is asked for below.
    RETURN QUERY
        SELECT 'version', 'catalogue', format('the catalogue is of version %s, the extension of %s', c.version, esgf_stac.installed_version()),
               'SELECT esgf_stac.upgrade_catalogue();'
          FROM esgf_stac.catalogue c WHERE c.version <> esgf_stac.installed_version();
    IF FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
        SELECT 'wal_level', 'server', 'no stream can be read while wal_level is ' || current_setting('wal_level'),
               'ALTER SYSTEM SET wal_level = logical; -- then restart the server'
         WHERE current_setting('wal_level') <> 'logical'
        UNION ALL
        SELECT 'closed', format('esgf_stac.%I', t.relname), 'the table has lost triggers of the extension, and cannot be written', 'SELECT esgf_stac.upgrade_catalogue();'
          FROM pg_class t JOIN pg_trigger g ON g.tgrelid = t.oid AND g.tgname = 'require_triggers'
         WHERE t.relnamespace = 'esgf_stac'::regnamespace
           AND EXISTS (SELECT FROM string_to_table(encode(g.tgargs, 'escape'), '\000') AS name
                        WHERE name <> '' AND NOT EXISTS (SELECT FROM pg_trigger n WHERE n.tgrelid = t.oid AND n.tgname = name))
        UNION ALL
        SELECT 'not adopted', 'catalogue', 'the catalogue comes from another cluster and cannot be written', 'SELECT esgf_stac.adopt_catalogue();'
          FROM esgf_stac.catalogue c WHERE c.system_identifier <> esgf_stac_internal.system_identifier()
        UNION ALL
        SELECT 'unlimited WAL', 'server', 'a slot that nobody reads may fill the disk: max_slot_wal_keep_size is -1',
               'ALTER SYSTEM SET max_slot_wal_keep_size = ''64GB''; SELECT pg_reload_conf();'
         WHERE current_setting('max_slot_wal_keep_size') = '-1'
           AND EXISTS (SELECT FROM pg_replication_slots s WHERE s.slot_name LIKE 'esgf\_stac\_%')
        UNION ALL
        SELECT 'orphan slot', s.slot_name::text, 'the slot has no stream and holds WAL',
               format('SELECT pg_drop_replication_slot(%L);', s.slot_name)
          FROM pg_replication_slots s
         WHERE s.slot_name LIKE 'esgf\_stac\_%' AND s.database = current_database()
           AND NOT EXISTS (SELECT FROM esgf_stac.stream t WHERE 'esgf_stac_' || t.name = s.slot_name)
        UNION ALL
        SELECT 'orphan publication', p.pubname::text, 'the publication has no stream', format('DROP PUBLICATION %I;', p.pubname)
          FROM pg_publication p
         WHERE p.pubname LIKE 'esgf\_stac\_%' AND NOT EXISTS (SELECT FROM esgf_stac.stream t WHERE 'esgf_stac_' || t.name = p.pubname)
        UNION ALL
        SELECT 'publication', t.name, 'its publication is not as its stream: ' || esgf_stac_internal.publication_problem(t.name),
               format('SELECT esgf_stac.drop_stream(%L); SELECT esgf_stac.create_stream(%L, %L, %L);', t.name, t.name, t.collections, t.filter)
          FROM esgf_stac.stream t WHERE esgf_stac_internal.publication_problem(t.name) IS NOT NULL
        UNION ALL
        SELECT 'lost slot', s.slot_name::text, 'the slot was invalidated; its relay will replace it and replay the outbox',
               format('-- start the relay of stream %s', substr(s.slot_name, 11))
          FROM pg_replication_slots s
         WHERE s.slot_name LIKE 'esgf\_stac\_%' AND s.database = current_database() AND s.wal_status = 'lost'
        UNION ALL
        SELECT 'unread slot', s.slot_name::text, format('nobody reads the slot, which holds %s of WAL',
                   pg_size_pretty(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, s.restart_lsn))),
               format('-- start the relay; or SELECT esgf_stac.drop_stream(%L);', substr(s.slot_name, 11))
          FROM pg_replication_slots s
         WHERE s.slot_name LIKE 'esgf\_stac\_%' AND s.database = current_database() AND NOT s.active AND s.wal_status <> 'lost'
           AND NOT EXISTS (SELECT FROM esgf_stac.consumer c
                            WHERE 'esgf_stac_' || c.stream = s.slot_name
                              AND greatest(c.problem_at, CASE WHEN c.snapshot_position IS NOT NULL THEN c.updated END) > now() - interval '2 minutes')
        UNION ALL
        SELECT 'stream stands still', c.stream, c.problem,
               coalesce(substring(c.problem FROM 'SELECT esgf_stac\.skip_event\([^)]*\)') || ';', '-- mend what its relay complains of')
          FROM esgf_stac.consumer c WHERE c.problem_at > now() - interval '2 minutes'
        UNION ALL
        SELECT 'unknown history', t.name, 'the catalogue was restored: what the stream delivered before may not be in it',
               format('-- empty its index, then esgf_stac_relay --stream %s --create --snapshot', t.name)
          FROM esgf_stac.stream t
         WHERE t.outbox_oid <> 'esgf_stac.outbox'::regclass
           AND NOT EXISTS (SELECT FROM esgf_stac.consumer c WHERE c.stream = t.name AND c.outbox_oid = 'esgf_stac.outbox'::regclass)
        UNION ALL
        SELECT 'filter', t.name, 'its filter has a variable, so that no item satisfies it',
               format('SELECT esgf_stac.drop_stream(%L); -- then create_stream() with another filter', t.name)
          FROM esgf_stac.stream t WHERE esgf_stac_internal.has_variable(t.filter)
        UNION ALL
        SELECT 'dead letters', d.stream, format('%s events were refused by its sink and are not settled', count(*)),
               format('SELECT esgf_stac.redrive(%L);', d.stream)
          FROM esgf_stac.dead_letter d WHERE d.settled_at IS NULL GROUP BY d.stream
        UNION ALL
        SELECT 'two roles', r.rolname::text, 'a login that is a gateway and an administrator needs an identity for all that it does, and administers nothing',
               format('REVOKE esgf_stac_admin FROM %I;', r.rolname)
          FROM pg_roles r
         WHERE r.rolcanlogin AND NOT r.rolsuper
           AND pg_has_role(r.oid, 'esgf_stac_gateway', 'MEMBER') AND pg_has_role(r.oid, 'esgf_stac_admin', 'MEMBER')
        UNION ALL
        SELECT 'doubtful rule', r.id::text, format('%s on %s %s for %s: %s', r.role, r.scope, r.target, esgf_stac_internal.one_line(r.principal), doubt),
               format('SELECT esgf_stac.revoke_access(%s);', r.id)
          FROM esgf_stac.access_rule r, esgf_stac_internal.rule_doubts(r.principal, r.role, r.scope, r.target) AS doubt
         WHERE r.revoked_by IS NULL AND (r.valid_to IS NULL OR r.valid_to > now())
        UNION ALL
        SELECT 'useless prefix', s.node, format('no href can be under the prefix %s: it %s', coalesce(quote_literal(esgf_stac_internal.one_line(p.prefix)), 'NULL'),
                                               coalesce(esgf_stac_internal.prefix_problem(p.prefix), 'must not be null')),
               format('UPDATE esgf_stac.site SET href_prefixes = array_remove(href_prefixes, %L) WHERE node = %L;', p.prefix, s.node)
          FROM esgf_stac.site s, unnest(s.href_prefixes) AS p(prefix)
         WHERE p.prefix IS NULL OR esgf_stac_internal.prefix_problem(p.prefix) IS NOT NULL;
END
$$;
COMMENT ON FUNCTION esgf_stac.doctor() IS 'one row for each hazard, with the SQL that cures it; no row: all is well';

REVOKE ALL ON FUNCTION
    esgf_stac.changes(text, int, text),
    esgf_stac_internal.delete_events(timestamptz, xid8, int),
    esgf_stac.prune_outbox(interval, boolean),
    esgf_stac.doctor()
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.changes(text, int, text) TO esgf_stac_reader;
GRANT EXECUTE ON FUNCTION esgf_stac.prune_outbox(interval, boolean), esgf_stac.doctor() TO esgf_stac_admin;
