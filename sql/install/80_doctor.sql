-- What may go wrong with a catalogue and all that hangs on it.

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
               format('SELECT esgf_stac.drop_stream(%L); SELECT esgf_stac.create_stream(%L, %L, %L, %L);', t.name, t.name, t.collections, t.filter, t.node)
          FROM esgf_stac.stream t WHERE esgf_stac_internal.publication_problem(t.name) IS NOT NULL
        UNION ALL
        SELECT 'columns', t.name, format('an earlier version made it: its publication lacks %s', array_to_string(lacks, ', ')),
               format('SELECT esgf_stac.refresh_stream(%L); -- if a subscription reads it, add them to its table before', t.name)
          FROM esgf_stac.stream t
          JOIN pg_publication_tables p ON p.pubname = 'esgf_stac_' || t.name
         CROSS JOIN LATERAL (SELECT (esgf_stac_internal.published_columns())[cardinality(p.attnames) + 1:]) l (lacks)
         WHERE lacks <> '{}' AND esgf_stac_internal.publication_problem(t.name) IS NULL
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
        SELECT 'missing index', 'esgf_stac.' || x.name, 'the answers about requests and deliveries are slow without it',
               CASE WHEN i.indexrelid IS NOT NULL THEN format('REINDEX INDEX CONCURRENTLY esgf_stac.%s;', x.name)
                    ELSE format('CREATE INDEX CONCURRENTLY %s ON esgf_stac.%s;', x.name, x.definition) END
          FROM (VALUES ('outbox_id', 'outbox (id)'),
                       ('outbox_request_id', 'outbox (request_id) WHERE request_id IS NOT NULL'),
                       ('outbox_batch', 'outbox (batch) WHERE batch IS NOT NULL'),
                       ('request_request_id', 'request (request_id)')) AS x(name, definition)
          LEFT JOIN pg_index i ON i.indexrelid = to_regclass('esgf_stac.' || x.name)
         WHERE i.indisvalid IS NOT TRUE
        UNION ALL
        SELECT 'dead letters', d.stream, format('%s events were refused by its sink and are not settled', count(*)),
               format('SELECT esgf_stac.redrive(%L);', d.stream)
          FROM esgf_stac.dead_letter d WHERE d.settled_at IS NULL GROUP BY d.stream
        UNION ALL
        SELECT 'foreign writer', c.stream, format('its sink has versions that were never given here: %s were met, the last %s at %s', c.foreign_versions, c.foreign_version, date_trunc('second', c.foreign_at)),
               format('-- esgf_stac_relay --stream %s --sink ... --verify --repair; and find out who writes there', c.stream)
          FROM esgf_stac.consumer c
         WHERE c.foreign_at IS NOT NULL
           AND NOT EXISTS (SELECT FROM esgf_stac.verification v
                            WHERE v.stream = c.stream AND v.started > c.foreign_at AND v.state = 'completed'
                              AND NOT EXISTS (SELECT FROM esgf_stac.drift d WHERE d.verification = v.id AND d.repaired_at IS NULL AND d.kind <> 'refused'))
        UNION ALL
        SELECT 'unread source', s.name, 'nobody has read it for five minutes', format('-- esgf_stac_ingest --source %s; or SELECT esgf_stac.configure_source(%L, ''{"active": false}'');', s.name, s.name)
          FROM esgf_stac.source s
         WHERE s.active AND s.created < now() - interval '5 minutes'
           AND NOT EXISTS (SELECT FROM esgf_stac.source_partition p WHERE p.source = s.name AND p.updated > now() - interval '5 minutes')
        UNION ALL
        SELECT 'unsent results', p.source, format('nobody has sent outcomes of partition %s for five minutes', p.partition), format('-- esgf_stac_ingest --source %s --results ...', p.source)
          FROM esgf_stac.source_partition p
         WHERE (SELECT i.received_at FROM esgf_stac.inbox i WHERE i.source = p.source AND i.partition = p.partition AND i."offset" >= p.results_offset AND i.attempt = 1 ORDER BY i."offset" LIMIT 1) < now() - interval '5 minutes'
            OR EXISTS (SELECT FROM esgf_stac.inbox i WHERE i.source = p.source AND i.partition = p.partition AND i.unsent IS NOT NULL AND i.tried_at < now() - interval '5 minutes')
        UNION ALL
        SELECT 'refused events', i.source, format('%s events were refused and are not settled', count(*)), format('SELECT esgf_stac.redrive_inbox(%L);', i.source)
          FROM esgf_stac.inbox i WHERE i.settled_at IS NULL GROUP BY i.source
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
        SELECT 'unread rule', j.rule_id::text, format('items are not told of the %s rule "%s" of %s: nobody has done so for five minutes%s', CASE WHEN j.ending THEN 'end of the' ELSE 'new' END,
                                                      r.name, esgf_stac_internal.one_line(r.node), coalesce('; the last one stopped by: ' || esgf_stac_internal.one_line(j.error), '')), 'SELECT esgf_stac.refresh_rules();'
          FROM esgf_stac.rule_job j JOIN esgf_stac.replication_rule r ON r.id = j.rule_id
         WHERE j.finished IS NULL AND j.updated < now() - interval '5 minutes'
        UNION ALL
        SELECT 'unread rule', r.id::text, format('items are not told of the end of rule "%s" of %s: nobody has done so for five minutes', r.name, esgf_stac_internal.one_line(r.node)), 'SELECT esgf_stac.refresh_rules();'
          FROM esgf_stac.replication_rule r
         WHERE r.valid_to < now() - interval '5 minutes' AND (r.applied IS NULL OR r.applied < r.valid_to)
           AND NOT EXISTS (SELECT FROM esgf_stac.rule_job j WHERE j.rule_id = r.id AND j.ending)
        UNION ALL
        SELECT 'rule without site', r.id::text, format('rule "%s" is of node %s, which is not in the table site', r.name, esgf_stac_internal.one_line(r.node)),
               format('SELECT esgf_stac.drop_replication_rule(%L, %L);', r.node, r.name)
          FROM esgf_stac.replication_rule r
         WHERE esgf_stac_internal.is_in_force(r.valid_from, r.valid_to) AND NOT EXISTS (SELECT FROM esgf_stac.site s WHERE s.node = r.node)
        UNION ALL
        SELECT 'schema', g.url, format('revision %s judges nothing: ', g.revision)
                   || coalesce(g.problem, format('%s refers at %s to %s, which is not %s', g.holder, g.pointer, g.reference, CASE WHEN g.there THEN 'there' ELSE 'registered' END)),
               CASE WHEN g.there IS FALSE THEN format('-- SELECT esgf_stac.add_schema(%L, ...); with the document that is published there', split_part(g.reference, '#', 1))
                    ELSE format('-- SELECT esgf_stac.add_schema(%L, ...); with a document without that', coalesce(g.holder, g.url)) END
          FROM esgf_stac_internal.schema_gaps() g
        UNION ALL
        SELECT 'useless prefix', s.node, format('no href can be under the prefix %s: it %s', coalesce(quote_literal(esgf_stac_internal.one_line(p.prefix)), 'NULL'),
                                               coalesce(esgf_stac_internal.prefix_problem(p.prefix), 'must not be null')),
               format('UPDATE esgf_stac.site SET href_prefixes = array_remove(href_prefixes, %L) WHERE node = %L;', p.prefix, s.node)
          FROM esgf_stac.site s, unnest(s.href_prefixes) AS p(prefix)
         WHERE p.prefix IS NULL OR esgf_stac_internal.prefix_problem(p.prefix) IS NOT NULL;
END
$$;
COMMENT ON FUNCTION esgf_stac.doctor() IS 'one row for each hazard, with the SQL that cures it; no row: all is well';
REVOKE ALL ON FUNCTION esgf_stac.doctor() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.doctor() TO esgf_stac_admin;
