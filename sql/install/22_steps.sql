-- The steps by which upgrade_catalogue() moves the tables of an older version,
-- one for each version that changed them. A step does what create_catalogue()
-- has come to do since, with short locks, and rewrites neither item nor outbox:
-- views, triggers, grants and comments follow by attach_catalogue(). Columns
-- that a step adds stand last in create_catalogue(), too.

CREATE FUNCTION esgf_stac_internal.upgrade_from_0_1_0() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A catalogue that was restored knows nothing of what was delivered before.
    outbox_oid CONSTANT oid := CASE WHEN c.system_identifier = esgf_stac_internal.system_identifier()
        THEN 'esgf_stac.outbox'::regclass::oid ELSE 0 END FROM esgf_stac.catalogue c;
BEGIN
    ALTER TABLE esgf_stac.dataset ADD COLUMN institution jsonb;
    ALTER TABLE esgf_stac.collection ADD COLUMN max_document_bytes int NOT NULL DEFAULT 33554432 CHECK (max_document_bytes BETWEEN 1 AND 268435456);
    ALTER TABLE esgf_stac.item ADD COLUMN created_by jsonb, ADD COLUMN updated_by jsonb;

    -- Who has a large catalogue makes the index before, concurrently: see doc/administration.md. One that was not finished is no index.
    IF NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('esgf_stac.item_versions') AND indisvalid) THEN
        DROP INDEX IF EXISTS esgf_stac.item_versions;
        CREATE INDEX item_versions ON esgf_stac.item (base_id, collection_id COLLATE "C",
            (CASE WHEN latest THEN 0 WHEN deleted OR retracted THEN 2 ELSE 1 END), coalesce(dataset_version::numeric, -1));
    END IF;
    DROP INDEX IF EXISTS esgf_stac.item_dataset;
    ALTER INDEX esgf_stac.item_versions RENAME TO item_dataset;

    EXECUTE format('ALTER TABLE esgf_stac.stream ADD COLUMN outbox_oid oid NOT NULL DEFAULT %s', outbox_oid);
    ALTER TABLE esgf_stac.stream ALTER COLUMN outbox_oid DROP DEFAULT;
    EXECUTE format('ALTER TABLE esgf_stac.consumer ADD COLUMN outbox_oid oid NOT NULL DEFAULT %s', outbox_oid);
    ALTER TABLE esgf_stac.consumer
        ALTER COLUMN outbox_oid DROP DEFAULT,
        ADD COLUMN delivering_since timestamptz,
        ADD COLUMN delivered pg_snapshot,
        ADD COLUMN snapshot_sent bigint,
        ADD COLUMN snapshot_total bigint,
        ADD COLUMN problem text,
        ADD COLUMN problem_at timestamptz;
    UPDATE esgf_stac.consumer SET delivering_since = updated;
    ALTER TABLE esgf_stac.dead_letter ADD COLUMN skipped boolean NOT NULL DEFAULT false;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.upgrade_from_0_1_0() IS 'what the tables of 0.1.0 lack';
REVOKE ALL ON FUNCTION esgf_stac_internal.upgrade_from_0_1_0() FROM PUBLIC;
