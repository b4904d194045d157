-- The catalogue: the tables of the truth. They are ordinary objects and no
-- members of the extension, so that dumps, publications and a DBA's own
-- indexes treat them like any table, and no DROP EXTENSION erases them.

-- Answers of the verbs.
CREATE TYPE esgf_stac.receipt AS (
    collection_id text,
    item_id text,
    version bigint,
    changed boolean,
    action text,
    event_id uuid
);
COMMENT ON TYPE esgf_stac.receipt IS 'what a writing verb did: nothing changed = the current version, changed false, action and event_id null';

CREATE TYPE esgf_stac.item_state AS (
    collection_id text,
    item_id text,
    version bigint,
    etag text,
    updated timestamptz,
    deleted boolean,
    document jsonb
);
COMMENT ON TYPE esgf_stac.item_state IS 'one version of an item as get_item answers it';

-- Trigger functions, in C: see the file that is named after the table.
CREATE FUNCTION esgf_stac.item_before_row() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_item_before_row' LANGUAGE C;
CREATE FUNCTION esgf_stac.item_after_row() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_item_after_row' LANGUAGE C;
CREATE FUNCTION esgf_stac.item_after_statement() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_item_after_statement' LANGUAGE C;
CREATE FUNCTION esgf_stac.collection_before_row() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_collection_before_row' LANGUAGE C;
CREATE FUNCTION esgf_stac.collection_after_row() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_collection_after_row' LANGUAGE C;
CREATE FUNCTION esgf_stac.refuse_removal() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_refuse_removal' LANGUAGE C;
CREATE FUNCTION esgf_stac.drop_caches() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_drop_caches' LANGUAGE C;
REVOKE ALL ON FUNCTION esgf_stac.item_before_row(), esgf_stac.item_after_row(), esgf_stac.item_after_statement(),
    esgf_stac.collection_before_row(), esgf_stac.collection_after_row(),
    esgf_stac.refuse_removal(), esgf_stac.drop_caches() FROM PUBLIC;

CREATE FUNCTION esgf_stac.only_close() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF OLD.revoked_by IS NOT NULL OR NEW.revoked_by IS NULL OR NEW.valid_to IS NULL
       OR (NEW.id, NEW.principal, NEW.role, NEW.scope, NEW.target, NEW.valid_from, NEW.granted_by)
          IS DISTINCT FROM (OLD.id, OLD.principal, OLD.role, OLD.scope, OLD.target, OLD.valid_from, OLD.granted_by)
       OR NEW.institution IS DISTINCT FROM OLD.institution THEN
        RAISE EXCEPTION 'a rule of access does not change'
            USING ERRCODE = 'PT400', CONSTRAINT = 'operation-not-permitted', SCHEMA = 'esgf_stac', TABLE = 'access_rule',
                  HINT = 'Call esgf_stac.revoke_access() and grant_access().';
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION esgf_stac.only_close() FROM PUBLIC;

-- The cluster that this server runs; a restored catalogue names another.
CREATE FUNCTION esgf_stac.system_identifier() RETURNS bigint
    AS 'MODULE_PATHNAME', 'esgf_system_identifier' LANGUAGE C STABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION esgf_stac.system_identifier() FROM PUBLIC;

-- The version of the extension as installed in this database.
CREATE FUNCTION esgf_stac.installed_version() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'esgf_stac'::name;
END;
COMMENT ON FUNCTION esgf_stac.installed_version() IS 'the version of the extension as installed in this database';

-- What hangs on the tables: views, triggers, grants. Laying them again changes
-- nothing, and brings back what a DROP EXTENSION ... CASCADE took.
CREATE FUNCTION esgf_stac.attach_catalogue() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $attach_catalogue$
BEGIN
    CREATE OR REPLACE VIEW esgf_stac.published_item WITH (security_barrier) AS
        SELECT collection_id, id, version, '"' || version || '"' AS etag, updated, base_id, dataset_version,
               latest, retracted, nodes,
               CASE WHEN retracted THEN document || '{"assets": {}}' ELSE document END AS document
          FROM esgf_stac.item
         WHERE NOT deleted;
    COMMENT ON VIEW esgf_stac.published_item IS 'what readers see: no deleted items; retracted ones without their assets';

    CREATE OR REPLACE VIEW esgf_stac.stream_status AS
        WITH slot AS (
            SELECT substr(slot_name, 11) COLLATE "default" AS name, slot_name, active, restart_lsn, confirmed_flush_lsn, wal_status, safe_wal_size
              FROM pg_replication_slots
             WHERE slot_name LIKE 'esgf\_stac\_%' AND database = current_database()
        ), publication AS (
            SELECT substr(pubname, 11) COLLATE "default" AS name, pubname FROM pg_publication WHERE pubname LIKE 'esgf\_stac\_%'
        ), here AS (
            SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END AS lsn
        )
        SELECT name, s.collections, s.filter, p.pubname::text AS publication, l.slot_name::text AS slot, l.active,
               l.wal_status, l.restart_lsn, l.confirmed_flush_lsn,
               pg_wal_lsn_diff(here.lsn, l.confirmed_flush_lsn)::bigint AS lag_bytes,
               behind.lag_events, behind.lag_seconds,
               pg_wal_lsn_diff(here.lsn, l.restart_lsn)::bigint AS wal_held_bytes, l.safe_wal_size,
               CASE WHEN s.name IS NULL THEN 'orphan: no such stream'
                    WHEN p.pubname IS NULL THEN 'publication is missing'
                    WHEN l.slot_name IS NULL THEN 'no slot: nobody has begun to read'
                    WHEN l.wal_status = 'lost' THEN 'slot is lost: the relay will replace it and replay'
                    WHEN l.wal_status = 'unreserved' THEN 'slot holds too much WAL and is about to be lost'
                    WHEN l.wal_status = 'extended' THEN 'slot holds too much WAL: more than max_wal_size'
                    WHEN NOT l.active THEN 'nobody reads the slot'
               END AS warning
          FROM esgf_stac.stream s
          FULL JOIN slot l USING (name)
          FULL JOIN publication p USING (name)
          CROSS JOIN here
          LEFT JOIN esgf_stac.consumer c ON c.stream = name
          LEFT JOIN LATERAL (
            SELECT count(*) AS lag_events,
                   coalesce(extract(epoch FROM clock_timestamp() - min(o.occurred_at)), 0)::float8 AS lag_seconds
              FROM esgf_stac.outbox o
             WHERE o.xid >= c.horizon
               AND (s.collections IS NULL OR o.aggregatetype = ANY (s.collections)
                    OR (o.aggregatetype = 'collection' AND o.aggregateid = ANY (s.collections)))
               AND (s.filter IS NULL OR o.aggregatetype = 'collection' OR o.streams @> ARRAY[name] OR o.left_streams @> ARRAY[name])
          ) behind ON c.stream IS NOT NULL;
    COMMENT ON VIEW esgf_stac.stream_status IS 'every stream, slot and publication of ours: lag, WAL held, health, orphans';

    CREATE OR REPLACE TRIGGER before_row BEFORE INSERT OR UPDATE ON esgf_stac.item
        FOR EACH ROW EXECUTE FUNCTION esgf_stac.item_before_row();
    CREATE OR REPLACE TRIGGER after_row AFTER INSERT OR UPDATE ON esgf_stac.item
        FOR EACH ROW EXECUTE FUNCTION esgf_stac.item_after_row();
    CREATE OR REPLACE TRIGGER after_statement AFTER INSERT OR UPDATE ON esgf_stac.item
        FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.item_after_statement();
    CREATE OR REPLACE TRIGGER before_row BEFORE INSERT OR UPDATE ON esgf_stac.collection
        FOR EACH ROW EXECUTE FUNCTION esgf_stac.collection_before_row();
    CREATE OR REPLACE TRIGGER after_row AFTER INSERT OR UPDATE ON esgf_stac.collection
        FOR EACH ROW EXECUTE FUNCTION esgf_stac.collection_after_row();

    CREATE OR REPLACE TRIGGER refuse_removal BEFORE DELETE OR TRUNCATE ON esgf_stac.item
        FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.refuse_removal('Call esgf_stac.delete_item(), or set deleted to true.');
    CREATE OR REPLACE TRIGGER refuse_removal BEFORE DELETE OR TRUNCATE ON esgf_stac.dataset
        FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.refuse_removal('Datasets keep the one latest version of their items; leave them to the database.');
    CREATE OR REPLACE TRIGGER refuse_removal BEFORE DELETE OR TRUNCATE ON esgf_stac.outbox
        FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.refuse_removal('Call esgf_stac.prune_outbox().');
    CREATE OR REPLACE TRIGGER refuse_removal BEFORE DELETE OR TRUNCATE ON esgf_stac.collection
        FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.refuse_removal('Call esgf_stac.delete_collection().');
    CREATE OR REPLACE TRIGGER refuse_removal BEFORE DELETE OR TRUNCATE ON esgf_stac.access_rule
        FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.refuse_removal('Call esgf_stac.revoke_access(): rules are closed, never deleted.');

    -- Each backend keeps what these tables say; whoever changes one tells all.
    CREATE OR REPLACE TRIGGER drop_caches AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.catalogue
        FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.drop_caches();
    CREATE OR REPLACE TRIGGER drop_caches AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.collection
        FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.drop_caches();
    CREATE OR REPLACE TRIGGER drop_caches AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.site
        FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.drop_caches();
    CREATE OR REPLACE TRIGGER drop_caches AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.access_rule
        FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.drop_caches();
    CREATE OR REPLACE TRIGGER drop_caches AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.stream
        FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.drop_caches();
    ALTER TABLE esgf_stac.catalogue ENABLE ALWAYS TRIGGER drop_caches;
    ALTER TABLE esgf_stac.collection ENABLE ALWAYS TRIGGER drop_caches;
    ALTER TABLE esgf_stac.site ENABLE ALWAYS TRIGGER drop_caches;
    ALTER TABLE esgf_stac.access_rule ENABLE ALWAYS TRIGGER drop_caches;
    ALTER TABLE esgf_stac.stream ENABLE ALWAYS TRIGGER drop_caches;

    -- What was decided stays readable: a rule may be closed, once, and no more.
    CREATE OR REPLACE TRIGGER only_close BEFORE UPDATE ON esgf_stac.access_rule
        FOR EACH ROW EXECUTE FUNCTION esgf_stac.only_close();

    GRANT SELECT ON esgf_stac.published_item, esgf_stac.collection TO esgf_stac_reader;
    GRANT SELECT, INSERT, UPDATE ON esgf_stac.item TO esgf_stac_writer;
    GRANT SELECT ON esgf_stac.dataset, esgf_stac.site TO esgf_stac_writer;
    GRANT INSERT, UPDATE ON esgf_stac.collection TO esgf_stac_admin;
    GRANT INSERT, UPDATE, DELETE ON esgf_stac.site TO esgf_stac_admin;
    GRANT SELECT ON esgf_stac.catalogue, esgf_stac.access_rule, esgf_stac.request, esgf_stac.outbox,
                    esgf_stac.stream, esgf_stac.consumer, esgf_stac.dead_letter, esgf_stac.stream_status TO esgf_stac_admin;
    GRANT SELECT ON esgf_stac.published_item, esgf_stac.collection, esgf_stac.catalogue, esgf_stac.stream,
                    esgf_stac.stream_status TO esgf_stac_relay;
    GRANT SELECT (seq, id, aggregatetype, aggregateid, type, version, payload, occurred_at, reason, batch,
                  streams, left_streams, request_id, xid) ON esgf_stac.outbox TO esgf_stac_relay;
    GRANT SELECT, INSERT, UPDATE ON esgf_stac.consumer, esgf_stac.dead_letter TO esgf_stac_relay;
END
$attach_catalogue$;
REVOKE ALL ON FUNCTION esgf_stac.attach_catalogue() FROM PUBLIC;

CREATE FUNCTION esgf_stac.create_catalogue() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $create_catalogue$
BEGIN
    IF to_regclass('esgf_stac.catalogue') IS NOT NULL THEN
        RAISE EXCEPTION 'this database has a catalogue already'
            USING ERRCODE = 'duplicate_table',
                  HINT = 'SELECT esgf_stac.upgrade_catalogue() moves it to the installed version.';
    END IF;

    CREATE TABLE esgf_stac.catalogue (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        version text NOT NULL,
        system_identifier bigint NOT NULL,
        pruned xid8 NOT NULL DEFAULT '0',
        created timestamptz NOT NULL DEFAULT now()
    );
    COMMENT ON COLUMN esgf_stac.catalogue.pruned IS 'events of this transaction and older ones may have been pruned';
    COMMENT ON TABLE esgf_stac.catalogue IS 'one row: which version laid these tables, and in which cluster their transaction ids mean something';

    CREATE TABLE esgf_stac.collection (
        id text PRIMARY KEY,
        document jsonb NOT NULL,
        version bigint NOT NULL,
        deleted boolean NOT NULL DEFAULT false,
        created timestamptz NOT NULL,
        updated timestamptz NOT NULL,
        require_version boolean NOT NULL DEFAULT false,
        complete_replicas boolean NOT NULL DEFAULT true,
        stamp_times boolean NOT NULL DEFAULT true,
        institution_path text NOT NULL CHECK (institution_path LIKE '/%'),
        null_members text NOT NULL DEFAULT 'reject' CHECK (null_members IN ('reject', 'ignore'))
    );
    COMMENT ON TABLE esgf_stac.collection IS 'STAC collections and the settings that their items obey';
    COMMENT ON COLUMN esgf_stac.collection.require_version IS 'verbs refuse changes of an item without a precondition (428)';
    COMMENT ON COLUMN esgf_stac.collection.complete_replicas IS 'a replica must cover every data file (409 replica-incomplete)';
    COMMENT ON COLUMN esgf_stac.collection.stamp_times IS 'properties.created and updated are written by the database';
    COMMENT ON COLUMN esgf_stac.collection.institution_path IS 'JSON Pointer to the institution in an item';
    COMMENT ON COLUMN esgf_stac.collection.null_members IS 'a merge patch that nulls a member which STAC requires is refused (reject), or those nulls are dropped (ignore)';

    CREATE TABLE esgf_stac.dataset (
        collection_id text NOT NULL,
        base_id text NOT NULL,
        latest_id text,
        PRIMARY KEY (collection_id, base_id)
    );
    COMMENT ON TABLE esgf_stac.dataset IS 'one row per base_id; its lock is the mutex of supersession and the guarantee of one latest';

    CREATE TABLE esgf_stac.item (
        collection_id text NOT NULL,
        id text NOT NULL,
        version bigint NOT NULL,
        base_id text NOT NULL,
        dataset_version text,
        latest boolean NOT NULL,
        retracted boolean NOT NULL,
        deleted boolean NOT NULL DEFAULT false,
        nodes text[] NOT NULL,
        reason text,
        document jsonb NOT NULL,
        created timestamptz NOT NULL,
        updated timestamptz NOT NULL,
        PRIMARY KEY (collection_id, id)
    );
    CREATE INDEX item_dataset ON esgf_stac.item (base_id, collection_id);
    CREATE INDEX item_nodes ON esgf_stac.item USING gin (nodes);
    COMMENT ON TABLE esgf_stac.item IS 'the truth: one row per item; write collection_id, id and document, change document, deleted and reason: all else is derived';
    COMMENT ON COLUMN esgf_stac.item.version IS '1, 2, 3, ... without gaps or reuse: the compare-and-swap token';
    COMMENT ON COLUMN esgf_stac.item.nodes IS 'the data nodes of all locations of all assets';
    COMMENT ON COLUMN esgf_stac.item.reason IS 'why the last change was made, as its author said';
    COMMENT ON COLUMN esgf_stac.item.document IS 'the STAC item as stored; what readers see is in published_item';

    CREATE TABLE esgf_stac.site (
        node text PRIMARY KEY CHECK (node <> ''),
        href_prefixes text[] NOT NULL,
        description text,
        active boolean NOT NULL DEFAULT true
    );
    COMMENT ON TABLE esgf_stac.site IS 'the data nodes, by the name that alternate:name gives them, and where their files may lie';

    CREATE TABLE esgf_stac.access_rule (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        principal text NOT NULL,
        role text NOT NULL CHECK (role IN ('CREATE', 'UPDATE', 'DELETE', 'REPLICATE', 'REVOKE', 'RETRACT', 'CITATION', 'ERRATA')),
        scope text NOT NULL CHECK (scope IN ('project', 'node')),
        target text NOT NULL,
        institution text,
        valid_from timestamptz NOT NULL DEFAULT now(),
        valid_to timestamptz,
        granted_by text NOT NULL,
        revoked_by text
    );
    COMMENT ON TABLE esgf_stac.access_rule IS 'who may do what where; rows are closed, never deleted, so that an old decision can be audited';

    CREATE TABLE esgf_stac.request (
        client text NOT NULL,
        request_id text NOT NULL,
        digest bytea NOT NULL,
        outcome jsonb,
        answered_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (client, request_id)
    );
    COMMENT ON TABLE esgf_stac.request IS 'what transact has answered, by idempotency key';

    CREATE TABLE esgf_stac.outbox (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id uuid NOT NULL,
        aggregatetype text NOT NULL,
        aggregateid text NOT NULL,
        type text NOT NULL,
        version bigint NOT NULL,
        payload jsonb,
        occurred_at timestamptz NOT NULL,
        reason text,
        batch text,
        streams text[],
        left_streams text[],
        request jsonb,
        identity jsonb NOT NULL,
        request_id text,
        xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        UNIQUE (aggregatetype, aggregateid, version)
    );
    CREATE INDEX outbox_xid ON esgf_stac.outbox (xid, seq);
    COMMENT ON TABLE esgf_stac.outbox IS 'what happened, complete and in order: insert-only, drained by logical decoding';
    COMMENT ON COLUMN esgf_stac.outbox.aggregatetype IS 'the collection of an item''s event; collection for a collection''s own';
    COMMENT ON COLUMN esgf_stac.outbox.aggregateid IS 'the item, or the collection';
    COMMENT ON COLUMN esgf_stac.outbox.payload IS 'the published document after the change; null after a deletion';
    COMMENT ON COLUMN esgf_stac.outbox.streams IS 'the filtered streams that the event is in';
    COMMENT ON COLUMN esgf_stac.outbox.left_streams IS 'the filtered streams that the item just left';
    COMMENT ON COLUMN esgf_stac.outbox.request IS 'the patch or the verb''s arguments as submitted; never published';
    COMMENT ON COLUMN esgf_stac.outbox.identity IS 'who made the change; never published';

    CREATE TABLE esgf_stac.stream (
        name text PRIMARY KEY CHECK (name ~ '^[a-z0-9_]{1,50}$'),
        collections text[],
        filter jsonpath,
        created timestamptz NOT NULL DEFAULT now()
    );
    COMMENT ON TABLE esgf_stac.stream IS 'who may follow the outbox: each has a publication and, once somebody reads, a slot named esgf_stac_<name>';

    CREATE TABLE esgf_stac.consumer (
        stream text PRIMARY KEY REFERENCES esgf_stac.stream ON DELETE CASCADE,
        system_identifier bigint NOT NULL,
        timeline int NOT NULL,
        lsn pg_lsn NOT NULL,
        confirmed pg_lsn NOT NULL,
        horizon xid8 NOT NULL,
        snapshot_position text[],
        seeded timestamptz,
        updated timestamptz NOT NULL DEFAULT now()
    );
    COMMENT ON TABLE esgf_stac.consumer IS 'how far the relay of a stream has come, so that a lost slot loses no event';
    COMMENT ON COLUMN esgf_stac.consumer.lsn IS 'the end of the last transaction delivered: a history that lacks it is not ours';
    COMMENT ON COLUMN esgf_stac.consumer.confirmed IS 'all that ended before it is durable at the sink; a slot that stands later has skipped events';
    COMMENT ON COLUMN esgf_stac.consumer.horizon IS 'every event of an older transaction is durable at the sink';
    COMMENT ON COLUMN esgf_stac.consumer.snapshot_position IS 'primary key of the last item of a snapshot under way, empty at its beginning; null when there is none';
    COMMENT ON COLUMN esgf_stac.consumer.seeded IS 'when --snapshot or --from-beginning was done';

    CREATE TABLE esgf_stac.dead_letter (
        stream text NOT NULL REFERENCES esgf_stac.stream ON DELETE CASCADE,
        event_id uuid,
        collection_id text NOT NULL,
        item_id text,
        version bigint NOT NULL,
        reason text NOT NULL,
        document jsonb,
        at timestamptz NOT NULL DEFAULT now(),
        redrive_at timestamptz,
        settled_at timestamptz
    );
    CREATE UNIQUE INDEX dead_letter_key ON esgf_stac.dead_letter (stream, collection_id, item_id, version) NULLS NOT DISTINCT;
    COMMENT ON TABLE esgf_stac.dead_letter IS 'events that a sink refused for good';
    COMMENT ON COLUMN esgf_stac.dead_letter.redrive_at IS 'when redrive() asked the relay to send the item''s current state';
    COMMENT ON COLUMN esgf_stac.dead_letter.settled_at IS 'when the sink took that state, or a later event of the item';

    -- lz4 updates three times as fast as pglz, where the server was built with it.
    BEGIN
        ALTER TABLE esgf_stac.item ALTER COLUMN document SET COMPRESSION lz4;
        ALTER TABLE esgf_stac.outbox ALTER COLUMN payload SET COMPRESSION lz4, ALTER COLUMN request SET COMPRESSION lz4;
    EXCEPTION WHEN feature_not_supported THEN
        NULL;
    END;

    PERFORM esgf_stac.attach_catalogue();
    INSERT INTO esgf_stac.catalogue (version, system_identifier)
        VALUES (esgf_stac.installed_version(), esgf_stac.system_identifier());
END
$create_catalogue$;
COMMENT ON FUNCTION esgf_stac.create_catalogue() IS 'lays tables, view, triggers and grants in this database';
REVOKE ALL ON FUNCTION esgf_stac.create_catalogue() FROM PUBLIC;

CREATE FUNCTION esgf_stac.upgrade_catalogue() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('esgf_stac.catalogue') IS NULL THEN
        RAISE EXCEPTION 'this database has no catalogue'
            USING ERRCODE = 'PT503', CONSTRAINT = 'no-catalogue', SCHEMA = 'esgf_stac',
                  HINT = 'SELECT esgf_stac.create_catalogue() makes one.';
    END IF;
    PERFORM esgf_stac.attach_catalogue();
    UPDATE esgf_stac.catalogue SET version = esgf_stac.installed_version();
END
$$;
COMMENT ON FUNCTION esgf_stac.upgrade_catalogue() IS 'moves an existing catalogue to the installed version of the extension';
REVOKE ALL ON FUNCTION esgf_stac.upgrade_catalogue() FROM PUBLIC;

CREATE FUNCTION esgf_stac.adopt_catalogue() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('esgf_stac.catalogue') IS NULL THEN
        RAISE EXCEPTION 'this database has no catalogue'
            USING ERRCODE = 'PT503', CONSTRAINT = 'no-catalogue', SCHEMA = 'esgf_stac',
                  HINT = 'SELECT esgf_stac.create_catalogue() makes one.';
    END IF;
    -- Ids that this cluster has not given yet would hide their events from
    -- every reader that waits for transactions to end.
    UPDATE esgf_stac.outbox SET xid = '3' WHERE xid >= pg_current_xact_id();
    UPDATE esgf_stac.catalogue SET system_identifier = esgf_stac.system_identifier(), pruned = '0';
END
$$;
COMMENT ON FUNCTION esgf_stac.adopt_catalogue() IS 'after a restore or pg_upgrade into another cluster: settles old transaction ids, so that the catalogue can be written again';
REVOKE ALL ON FUNCTION esgf_stac.adopt_catalogue() FROM PUBLIC;
