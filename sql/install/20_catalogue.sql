-- The catalogue: laid, moved and adopted. Its tables and what hangs on them are
-- ordinary objects and no members of the extension, so that dumps, publications
-- and a DBA's own indexes treat them like any table, and no DROP EXTENSION
-- erases them. They stand in sql/catalogue: make lays a function around each file.

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
        PERFORM esgf_stac_internal.refuse('operation-not-permitted', 'access_rule', 'a rule of access does not change',
            hint => 'Call esgf_stac.revoke_access() and grant_access().');
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
        PERFORM esgf_stac_internal.refuse('bad-request', 'site', format('no href can be under a prefix of site "%s"', esgf_stac_internal.one_line(NEW.node)),
            detail => problems, hint => 'Give where files of the site lie, with scheme and host: https://esgf.example.org/thredds/.');
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

CREATE FUNCTION esgf_stac_internal.attach_catalogue() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM esgf_stac_internal.catalogue_views();
    PERFORM esgf_stac_internal.catalogue_triggers();
    PERFORM esgf_stac_internal.catalogue_grants();
    PERFORM esgf_stac_internal.catalogue_comments();
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.attach_catalogue() IS 'lays what hangs on the tables, anew where it is there; brings back what DROP EXTENSION ... CASCADE took';
REVOKE ALL ON FUNCTION esgf_stac_internal.attach_catalogue() FROM PUBLIC;

CREATE FUNCTION esgf_stac.create_catalogue() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('esgf_stac.catalogue') IS NOT NULL THEN
        RAISE EXCEPTION 'this database has a catalogue already'
            USING ERRCODE = 'duplicate_table',
                  HINT = 'SELECT esgf_stac.upgrade_catalogue() moves it to the installed version.';
    END IF;

    PERFORM esgf_stac_internal.catalogue_tables();
    PERFORM esgf_stac_internal.attach_catalogue();
    INSERT INTO esgf_stac.catalogue (version, system_identifier)
        VALUES (esgf_stac.installed_version(), esgf_stac_internal.system_identifier());
END
$$;
COMMENT ON FUNCTION esgf_stac.create_catalogue() IS 'lays tables, view, triggers and grants in this database';
REVOKE ALL ON FUNCTION esgf_stac.create_catalogue() FROM PUBLIC;

CREATE FUNCTION esgf_stac.upgrade_catalogue() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    laid_by text;
    step text;
BEGIN
    IF to_regclass('esgf_stac.catalogue') IS NULL THEN
        PERFORM esgf_stac_internal.refuse('no-catalogue', 'catalogue', 'this database has no catalogue');
    END IF;
    SELECT c.version INTO laid_by FROM esgf_stac.catalogue c FOR UPDATE;
    -- Each file of sql/catalogue/steps, OLD--NEW.sql, is a function.
    WHILE laid_by <> esgf_stac.installed_version() LOOP
        SELECT p.proname INTO step
          FROM pg_proc p
         WHERE p.pronamespace = 'esgf_stac_internal'::regnamespace AND starts_with(p.proname, 'catalogue_steps_' || laid_by || '--');
        IF NOT FOUND THEN
            RAISE EXCEPTION 'no step leads from a catalogue of version % to version %', laid_by, esgf_stac.installed_version()
                USING ERRCODE = 'object_not_in_prerequisite_state', SCHEMA = 'esgf_stac', TABLE = 'catalogue',
                      HINT = 'Install the version that laid it, or a later one: ALTER EXTENSION esgf_stac UPDATE.';
        END IF;
        EXECUTE format('SELECT esgf_stac_internal.%I()', step);
        laid_by := split_part(step, '--', 2);
    END LOOP;
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
        PERFORM esgf_stac_internal.refuse('no-catalogue', 'catalogue', 'this database has no catalogue');
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
