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
COMMENT ON COLUMN esgf_stac.receipt.collection_id IS 'the collection';
COMMENT ON COLUMN esgf_stac.receipt.item_id IS 'the item; null where the verb was about a collection';
COMMENT ON COLUMN esgf_stac.receipt.version IS 'the version now';
COMMENT ON COLUMN esgf_stac.receipt.changed IS 'did the call make that version?';
COMMENT ON COLUMN esgf_stac.receipt.action IS 'the type of the event, without item. or collection.';
COMMENT ON COLUMN esgf_stac.receipt.event_id IS 'the event in the outbox';

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
COMMENT ON COLUMN esgf_stac.item_state.collection_id IS 'the collection';
COMMENT ON COLUMN esgf_stac.item_state.item_id IS 'the item';
COMMENT ON COLUMN esgf_stac.item_state.version IS 'which version this is';
COMMENT ON COLUMN esgf_stac.item_state.etag IS 'the version as a strong entity tag (RFC 9110)';
COMMENT ON COLUMN esgf_stac.item_state.updated IS 'when it was made';
COMMENT ON COLUMN esgf_stac.item_state.deleted IS 'was that version a deletion?';
COMMENT ON COLUMN esgf_stac.item_state.document IS 'the STAC item; null where deleted';

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
COMMENT ON FUNCTION esgf_stac.item_before_row() IS 'trigger of item: checks the form of a row, derives its columns and gives its version';
COMMENT ON FUNCTION esgf_stac.item_after_row() IS 'trigger of item: asks for the rights of a change and writes its event';
COMMENT ON FUNCTION esgf_stac.item_after_statement() IS 'trigger of item: takes latest from what a statement has superseded';
COMMENT ON FUNCTION esgf_stac.collection_before_row() IS 'trigger of collection: checks a row and gives its version';
COMMENT ON FUNCTION esgf_stac.collection_after_row() IS 'trigger of collection: writes the event of a change';
COMMENT ON FUNCTION esgf_stac.refuse_removal() IS 'trigger: refuses DELETE and TRUNCATE, with its argument as the hint';
COMMENT ON FUNCTION esgf_stac.drop_caches() IS 'trigger: tells every session that rows of the table have changed';

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
COMMENT ON FUNCTION esgf_stac.only_close() IS 'trigger of access_rule: a rule may be closed, once, and no more';

-- Refuses whoever acts for another, by set_identity(), what is for administrators.
CREATE FUNCTION esgf_stac_internal.require_own_rights() RETURNS void
    AS 'MODULE_PATHNAME', 'esgf_require_own_rights' LANGUAGE C STABLE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION esgf_stac_internal.require_own_rights() FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac_internal.require_own_rights() IS 'refuses whoever acts for another by set_identity()';

-- Why no href can be under a prefix of a site; null if one can.
CREATE FUNCTION esgf_stac_internal.prefix_problem(prefix text) RETURNS text
    AS 'MODULE_PATHNAME', 'esgf_prefix_problem' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION esgf_stac_internal.prefix_problem(text) FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac_internal.prefix_problem(text) IS 'why no href can be under a prefix of a site; null if one can';

CREATE FUNCTION esgf_stac.check_site() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    problems text;
BEGIN
    PERFORM esgf_stac_internal.require_own_rights();
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    SELECT string_agg(format('/href_prefixes/%s: %s', n - 1, problem), E'\n' ORDER BY n)
      INTO problems
      FROM unnest(NEW.href_prefixes) WITH ORDINALITY AS p(prefix, n),
           coalesce(esgf_stac_internal.prefix_problem(prefix), CASE WHEN prefix IS NULL THEN 'must not be null' END) AS problem
     WHERE problem IS NOT NULL;
    IF problems <> '' AND (TG_OP = 'INSERT' OR NEW.href_prefixes IS DISTINCT FROM OLD.href_prefixes) THEN
        RAISE EXCEPTION 'no href can be under a prefix of site "%"', esgf_stac_internal.one_line(NEW.node)
            USING ERRCODE = 'PT400', CONSTRAINT = 'bad-request', SCHEMA = 'esgf_stac', TABLE = 'site', DETAIL = problems,
                  HINT = 'Give where files of the site lie, with scheme and host: https://esgf.example.org/thredds/.';
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION esgf_stac.check_site() FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac.check_site() IS 'trigger of site: refuses prefixes that no href can be under';

-- The cluster that this server runs; a restored catalogue names another.
CREATE FUNCTION esgf_stac_internal.system_identifier() RETURNS bigint
    AS 'MODULE_PATHNAME', 'esgf_system_identifier' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION esgf_stac_internal.system_identifier() IS 'the cluster that this server runs';
REVOKE ALL ON FUNCTION esgf_stac_internal.system_identifier() FROM PUBLIC;

CREATE FUNCTION esgf_stac.installed_version() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'esgf_stac'::name;
END;
COMMENT ON FUNCTION esgf_stac.installed_version() IS 'the version of the extension as installed in this database';

CREATE FUNCTION esgf_stac.library_version() RETURNS text
    AS 'MODULE_PATHNAME', 'esgf_library_version' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION esgf_stac.library_version() IS 'the version of the library that this session has loaded; until ALTER EXTENSION esgf_stac UPDATE it is ahead of installed_version()';

-- What hangs on the tables: views, triggers, grants. Laying them again changes
-- nothing, and brings back what a DROP EXTENSION ... CASCADE took.
CREATE FUNCTION esgf_stac_internal.attach_catalogue() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $attach_catalogue$
BEGIN
    CREATE OR REPLACE VIEW esgf_stac.published_item WITH (security_barrier) AS
        SELECT collection_id, id, version, '"' || version || '"' AS etag, updated, base_id, dataset_version,
               latest, retracted, nodes,
               CASE WHEN retracted THEN document || '{"assets": {}}' ELSE document END AS document
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
               END AS warning
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
               AND (s.collections IS NULL OR o.aggregatetype = ANY (s.collections)
                    OR (o.aggregatetype = 'collection' AND o.aggregateid = ANY (s.collections)))
               AND (s.filter IS NULL OR o.aggregatetype = 'collection' OR o.streams @> ARRAY[name] OR o.left_streams @> ARRAY[name])
          ) behind ON c.delivering_since IS NOT NULL;

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

    CREATE OR REPLACE TRIGGER check_site BEFORE INSERT OR UPDATE OR DELETE ON esgf_stac.site
        FOR EACH ROW EXECUTE FUNCTION esgf_stac.check_site();

    -- What refuses writing while triggers above are missing, as after a DROP
    -- EXTENSION ... CASCADE, is no member of the extension, and outlives it.
    CREATE OR REPLACE FUNCTION esgf_stac.require_triggers() RETURNS trigger
        AS 'MODULE_PATHNAME', 'esgf_require_triggers' LANGUAGE C;
    REVOKE ALL ON FUNCTION esgf_stac.require_triggers() FROM PUBLIC;
    COMMENT ON FUNCTION esgf_stac.require_triggers() IS 'trigger: refuses writing while the triggers named by its arguments are missing';
    CREATE OR REPLACE TRIGGER require_triggers BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.item
        FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.require_triggers('before_row', 'after_row', 'after_statement', 'refuse_removal');
    CREATE OR REPLACE TRIGGER require_triggers BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.collection
        FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.require_triggers('before_row', 'after_row', 'refuse_removal', 'drop_caches');
    CREATE OR REPLACE TRIGGER require_triggers BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.site
        FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.require_triggers('check_site', 'drop_caches');
    CREATE OR REPLACE TRIGGER require_triggers BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.access_rule
        FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.require_triggers('only_close', 'refuse_removal', 'drop_caches');
    CREATE OR REPLACE TRIGGER require_triggers BEFORE UPDATE OR DELETE OR TRUNCATE ON esgf_stac.outbox
        FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.require_triggers('refuse_removal');

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

    PERFORM esgf_stac_internal.comment_on_catalogue();
END
$attach_catalogue$;
COMMENT ON FUNCTION esgf_stac_internal.attach_catalogue() IS 'lays views, triggers, grants and comments on the tables, anew where they are there';
REVOKE ALL ON FUNCTION esgf_stac_internal.attach_catalogue() FROM PUBLIC;

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
        null_members text NOT NULL DEFAULT 'reject' CHECK (null_members IN ('reject', 'ignore')),
        max_document_bytes int NOT NULL DEFAULT 33554432 CHECK (max_document_bytes BETWEEN 1 AND 268435456)
    );

    CREATE TABLE esgf_stac.dataset (
        collection_id text NOT NULL,
        base_id text NOT NULL,
        latest_id text,
        institution jsonb,
        PRIMARY KEY (collection_id, base_id)
    );

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
        created_by jsonb,
        updated_by jsonb,
        PRIMARY KEY (collection_id, id)
    );
    -- The versions of a dataset: the latest, other candidates, the rest; the newest of each at its end.
    CREATE INDEX item_dataset ON esgf_stac.item (base_id, collection_id COLLATE "C",
        (CASE WHEN latest THEN 0 WHEN deleted OR retracted THEN 2 ELSE 1 END), coalesce(dataset_version::numeric, -1));
    CREATE INDEX item_nodes ON esgf_stac.item USING gin (nodes);

    CREATE TABLE esgf_stac.site (
        node text PRIMARY KEY CHECK (node <> ''),
        href_prefixes text[] NOT NULL,
        description text,
        active boolean NOT NULL DEFAULT true
    );

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

    CREATE TABLE esgf_stac.request (
        client text NOT NULL,
        request_id text NOT NULL,
        digest bytea NOT NULL,
        outcome jsonb,
        answered_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (client, request_id)
    );

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

    CREATE TABLE esgf_stac.stream (
        name text PRIMARY KEY CHECK (name ~ '^[a-z0-9_]{1,50}$'),
        collections text[],
        filter jsonpath,
        created timestamptz NOT NULL DEFAULT now(),
        outbox_oid oid NOT NULL
    );

    CREATE TABLE esgf_stac.consumer (
        stream text PRIMARY KEY REFERENCES esgf_stac.stream ON DELETE CASCADE,
        system_identifier bigint NOT NULL,
        timeline int NOT NULL,
        lsn pg_lsn NOT NULL,
        confirmed pg_lsn NOT NULL,
        horizon xid8 NOT NULL,
        snapshot_position text[],
        seeded timestamptz,
        updated timestamptz NOT NULL DEFAULT now(),
        outbox_oid oid NOT NULL,
        delivering_since timestamptz,
        delivered pg_snapshot,
        snapshot_sent bigint,
        snapshot_total bigint,
        problem text,
        problem_at timestamptz
    );

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
        settled_at timestamptz,
        skipped boolean NOT NULL DEFAULT false
    );
    CREATE UNIQUE INDEX dead_letter_key ON esgf_stac.dead_letter (stream, collection_id, item_id, version) NULLS NOT DISTINCT;

    -- lz4 updates three times as fast as pglz, where the server was built with it.
    BEGIN
        ALTER TABLE esgf_stac.item ALTER COLUMN document SET COMPRESSION lz4;
        ALTER TABLE esgf_stac.outbox ALTER COLUMN payload SET COMPRESSION lz4, ALTER COLUMN request SET COMPRESSION lz4;
    EXCEPTION WHEN feature_not_supported THEN
        NULL;
    END;

    PERFORM esgf_stac_internal.attach_catalogue();
    INSERT INTO esgf_stac.catalogue (version, system_identifier)
        VALUES (esgf_stac.installed_version(), esgf_stac_internal.system_identifier());
END
$create_catalogue$;
COMMENT ON FUNCTION esgf_stac.create_catalogue() IS 'lays tables, view, triggers and grants in this database';
REVOKE ALL ON FUNCTION esgf_stac.create_catalogue() FROM PUBLIC;

CREATE FUNCTION esgf_stac.upgrade_catalogue() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    laid_by text;
BEGIN
    IF to_regclass('esgf_stac.catalogue') IS NULL THEN
        RAISE EXCEPTION 'this database has no catalogue'
            USING ERRCODE = 'PT503', CONSTRAINT = 'no-catalogue', SCHEMA = 'esgf_stac', TABLE = 'catalogue',
                  HINT = 'SELECT esgf_stac.create_catalogue() makes one.';
    END IF;
    SELECT c.version INTO laid_by FROM esgf_stac.catalogue c FOR UPDATE;
    IF laid_by = '0.1.0' THEN
        PERFORM esgf_stac_internal.upgrade_from_0_1_0();
    ELSIF laid_by <> esgf_stac.installed_version() THEN
        RAISE EXCEPTION 'no step leads from a catalogue of version % to version %', laid_by, esgf_stac.installed_version()
            USING ERRCODE = 'object_not_in_prerequisite_state', SCHEMA = 'esgf_stac', TABLE = 'catalogue',
                  HINT = 'Install the version that laid it, or a later one: ALTER EXTENSION esgf_stac UPDATE.';
    END IF;
    PERFORM esgf_stac_internal.attach_catalogue();
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
            USING ERRCODE = 'PT503', CONSTRAINT = 'no-catalogue', SCHEMA = 'esgf_stac', TABLE = 'catalogue',
                  HINT = 'SELECT esgf_stac.create_catalogue() makes one.';
    END IF;
    -- Where pg_upgrade moved the rows, each still says which transaction wrote it,
    -- and what relays know of transactions holds; a restore wrote them anew. What
    -- was delivered before that may not be in it: streams are to begin anew.
    IF (SELECT system_identifier FROM esgf_stac.catalogue) <> esgf_stac_internal.system_identifier() THEN
        IF (SELECT count(*) FILTER (WHERE o.xmin = o.xid::xid) * 2 < count(*)
              FROM (SELECT xmin, xid FROM esgf_stac.outbox ORDER BY seq DESC LIMIT 100) o) THEN
            UPDATE esgf_stac.stream SET outbox_oid = 0;
            UPDATE esgf_stac.consumer SET outbox_oid = 0;
        END IF;
        UPDATE esgf_stac.consumer
           SET system_identifier = esgf_stac_internal.system_identifier(), lsn = '0/0', confirmed = '0/0',
               timeline = (SELECT timeline_id FROM pg_control_checkpoint());
    END IF;
    -- Ids that this cluster has not given yet would hide their events from
    -- every reader that waits for transactions to end. They become the last one
    -- that it has given, so that they stay behind the smaller ones.
    UPDATE esgf_stac.outbox SET xid = (pg_current_xact_id()::text::numeric - 1)::text::xid8 WHERE xid >= pg_current_xact_id();
    UPDATE esgf_stac.catalogue SET system_identifier = esgf_stac_internal.system_identifier(), pruned = '0';
END
$$;
COMMENT ON FUNCTION esgf_stac.adopt_catalogue() IS 'after a restore or pg_upgrade into another cluster: settles old transaction ids, so that the catalogue can be written again';
REVOKE ALL ON FUNCTION esgf_stac.adopt_catalogue() FROM PUBLIC;
