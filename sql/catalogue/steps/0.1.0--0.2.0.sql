-- What the tables of 0.1.0 lack.

CREATE TABLE esgf_stac.maintenance (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    message text NOT NULL,
    retry_after interval,
    since timestamptz NOT NULL,
    set_by text NOT NULL
);

ALTER TABLE esgf_stac.dataset ADD COLUMN institution jsonb, ADD COLUMN institution_generation int;
ALTER TABLE esgf_stac.collection ADD COLUMN max_document_bytes int NOT NULL DEFAULT 33554432 CHECK (max_document_bytes BETWEEN 1 AND 268435456),
    ADD COLUMN institution_generation int NOT NULL DEFAULT 0;
ALTER TABLE esgf_stac.collection ALTER COLUMN institution_generation DROP DEFAULT;
ALTER TABLE esgf_stac.item ADD COLUMN created_by jsonb, ADD COLUMN updated_by jsonb, ADD COLUMN validated_against jsonb;
-- A fillfactor of the DBA's stays.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class, unnest(reloptions) o(setting) WHERE oid = 'esgf_stac.item'::regclass AND setting LIKE 'fillfactor=%') THEN
        ALTER TABLE esgf_stac.item SET (fillfactor = 90);
    END IF;
END
$$;
ALTER TABLE esgf_stac.outbox ADD COLUMN validated_against jsonb, ADD COLUMN warnings jsonb;
ALTER TABLE esgf_stac.collection
    ADD COLUMN schema_mode text NOT NULL DEFAULT 'off' CHECK (schema_mode IN ('off', 'warn', 'enforce')),
    ADD COLUMN schemas jsonb,
    ADD COLUMN unknown_schemas text NOT NULL DEFAULT 'ignore' CHECK (unknown_schemas IN ('ignore', 'refuse'));

-- Who has a large catalogue makes the index before, concurrently: see doc/administration.md. One that was not finished is no index.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('esgf_stac.item_versions') AND indisvalid) THEN
        DROP INDEX IF EXISTS esgf_stac.item_versions;
        CREATE INDEX item_versions ON esgf_stac.item (base_id, collection_id COLLATE "C",
            (CASE WHEN latest THEN 0 WHEN deleted OR retracted THEN 2 ELSE 1 END), coalesce(dataset_version::numeric, -1));
    END IF;
END
$$;
DROP INDEX IF EXISTS esgf_stac.item_dataset;
ALTER INDEX esgf_stac.item_versions RENAME TO item_dataset;

ALTER TABLE esgf_stac.stream ADD COLUMN outbox_oid oid, ADD COLUMN node text;
ALTER TABLE esgf_stac.consumer
    ADD COLUMN outbox_oid oid,
    ADD COLUMN delivering_since timestamptz,
    ADD COLUMN delivered pg_snapshot,
    ADD COLUMN snapshot_sent bigint,
    ADD COLUMN snapshot_total bigint,
    ADD COLUMN problem text,
    ADD COLUMN problem_at timestamptz,
    ADD COLUMN began pg_snapshot,
    ADD COLUMN foreign_versions bigint,
    ADD COLUMN foreign_version text,
    ADD COLUMN foreign_at timestamptz,
    ADD COLUMN written xid8 NOT NULL DEFAULT '0';
ALTER TABLE esgf_stac.catalogue ADD COLUMN written xid8 NOT NULL DEFAULT '0';
-- A catalogue that was restored knows nothing of what was delivered before.
UPDATE esgf_stac.stream
   SET outbox_oid = CASE WHEN c.system_identifier = esgf_stac_internal.system_identifier() THEN 'esgf_stac.outbox'::regclass::oid ELSE 0 END
  FROM esgf_stac.catalogue c;
UPDATE esgf_stac.consumer
   SET outbox_oid = CASE WHEN c.system_identifier = esgf_stac_internal.system_identifier() THEN 'esgf_stac.outbox'::regclass::oid ELSE 0 END,
       delivering_since = updated
  FROM esgf_stac.catalogue c;
ALTER TABLE esgf_stac.stream ALTER COLUMN outbox_oid SET NOT NULL;
ALTER TABLE esgf_stac.consumer ALTER COLUMN outbox_oid SET NOT NULL;

ALTER TABLE esgf_stac.dead_letter ADD COLUMN skipped boolean NOT NULL DEFAULT false;

CREATE TABLE esgf_stac.verification (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    stream text NOT NULL REFERENCES esgf_stac.stream ON DELETE CASCADE,
    deep boolean NOT NULL,
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'completed', 'cancelled', 'failed')),
    items bigint NOT NULL DEFAULT 0,
    differences bigint NOT NULL DEFAULT 0,
    started timestamptz NOT NULL DEFAULT now(),
    finished timestamptz,
    diverged boolean NOT NULL DEFAULT false,
    witness text
);

CREATE TABLE esgf_stac.drift (
    verification uuid NOT NULL REFERENCES esgf_stac.verification ON DELETE CASCADE,
    collection_id text NOT NULL,
    item_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('missing', 'stale', 'ahead', 'surplus', 'differs', 'refused')),
    version_here bigint,
    version_there bigint,
    repaired_at timestamptz,
    repair text CHECK (repair IN ('send', 'remove', 'reissue')),
    asked_at timestamptz,
    sent_at timestamptz,
    PRIMARY KEY (verification, collection_id, item_id)
);
CREATE INDEX drift_asked ON esgf_stac.drift (asked_at) WHERE asked_at IS NOT NULL AND sent_at IS NULL;

CREATE TABLE esgf_stac.iteration_job (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    stream text NOT NULL,
    event_type text NOT NULL,
    target text,
    collections text[],
    filter jsonpath,
    node text,
    changed_since timestamptz,
    payload text NOT NULL CHECK (payload IN ('document', 'id')),
    max_rate int CHECK (max_rate >= 1),
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'paused', 'completed', 'cancelled', 'failed')),
    "position" text[],
    items_sent bigint NOT NULL DEFAULT 0,
    items_total bigint,
    as_of timestamptz,
    created timestamptz NOT NULL DEFAULT now(),
    started timestamptz,
    heartbeat timestamptz,
    finished timestamptz,
    error text
);
CREATE INDEX iteration_job_unfinished ON esgf_stac.iteration_job (stream, created) WHERE finished IS NULL;

CREATE TABLE esgf_stac.source (
    name text PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,49}$'),
    principals text[] NOT NULL DEFAULT '{}',
    drop_nulls boolean NOT NULL DEFAULT true,
    null_members text NOT NULL DEFAULT 'ignore' CHECK (null_members IN ('reject', 'ignore')),
    active boolean NOT NULL DEFAULT true,
    log jsonb,
    created timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE esgf_stac.source_partition (
    source text NOT NULL REFERENCES esgf_stac.source ON DELETE CASCADE,
    partition int NOT NULL CHECK (partition >= 0),
    next_offset bigint CHECK (next_offset >= 0),
    results_offset bigint CHECK (results_offset >= 0),
    high_watermark bigint,
    updated timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, partition)
);

-- A row is entered before its event is performed, and small; there is room on its page for what it becomes.
CREATE TABLE esgf_stac.inbox (
    source text NOT NULL,
    partition int NOT NULL,
    "offset" bigint NOT NULL,
    key text,
    event_id text,
    request_id text,
    identity jsonb,
    attempt int NOT NULL,
    status int NOT NULL,
    outcome jsonb NOT NULL,
    value jsonb,
    received_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    tried_at timestamptz NOT NULL DEFAULT now(),
    repeats boolean NOT NULL DEFAULT false,
    unsent jsonb,
    PRIMARY KEY (source, partition, "offset")
) WITH (fillfactor = 20);
CREATE UNIQUE INDEX inbox_event ON esgf_stac.inbox (source, event_id) WHERE NOT repeats;
CREATE INDEX inbox_open ON esgf_stac.inbox (source, tried_at, partition, "offset") WHERE settled_at IS NULL;
CREATE INDEX inbox_unsent ON esgf_stac.inbox (source, partition, "offset") WHERE unsent IS NOT NULL;
CREATE INDEX inbox_request ON esgf_stac.inbox (request_id) WHERE request_id IS NOT NULL;

CREATE TABLE esgf_stac.replication_rule (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node text NOT NULL,
    name text NOT NULL CHECK (name ~ '^[A-Za-z0-9_.-]{1,64}$'),
    collections text[],
    filter jsonpath,
    priority int NOT NULL DEFAULT 0,
    on_retracted text NOT NULL DEFAULT 'purge' CHECK (on_retracted IN ('purge', 'keep')),
    on_superseded text NOT NULL DEFAULT 'keep' CHECK (on_superseded IN ('keep', 'purge', 'fetch')),
    valid_from timestamptz NOT NULL DEFAULT clock_timestamp(),
    valid_to timestamptz,
    set_by jsonb NOT NULL,
    closed_by jsonb,
    applied timestamptz
);
CREATE UNIQUE INDEX replication_rule_name ON esgf_stac.replication_rule (node, name) WHERE closed_by IS NULL;

-- What an item is to a site whose rules match it. The rows of a site that stand alike are side by side in the index:
-- what follows from that, and in which order, is known by the rules of the day.
CREATE TABLE esgf_stac.site_item (
    collection_id text NOT NULL,
    item_id text NOT NULL,
    node text NOT NULL,
    standing text NOT NULL CHECK (standing IN ('latest', 'superseded', 'retracted')),
    holds text NOT NULL CHECK (holds IN ('none', 'part', 'whole', 'empty')),
    can_go boolean NOT NULL,
    bytes bigint NOT NULL,
    rules bigint[] NOT NULL,
    PRIMARY KEY (collection_id, item_id, node)
);
CREATE INDEX site_item_alike ON esgf_stac.site_item (node, standing, holds, can_go, rules, collection_id, item_id);

CREATE TABLE esgf_stac.rule_job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id bigint NOT NULL,
    ending boolean NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'completed', 'cancelled')),
    position text[],
    skipped text[] NOT NULL DEFAULT '{}',
    items_done bigint NOT NULL DEFAULT 0,
    items_total bigint,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    fence xid8,
    started timestamptz,
    updated timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished timestamptz,
    error text,
    UNIQUE (rule_id, ending)
);
CREATE INDEX rule_job_unfinished ON esgf_stac.rule_job (id) WHERE finished IS NULL;

-- Found by the "$id" of the document as well. A URL has one revision in force: the newest that is not retired.
CREATE TABLE esgf_stac.schema (
    url text NOT NULL,
    revision int NOT NULL CHECK (revision > 0),
    document jsonb NOT NULL,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    cv_version text,
    assert_formats boolean NOT NULL,
    added timestamptz NOT NULL,
    added_by text NOT NULL,
    retired timestamptz,
    PRIMARY KEY (url, revision)
);
CREATE INDEX schema_id ON esgf_stac.schema USING hash (rtrim(document ->> '$id', '#'));
-- Those that refer to other documents, perhaps.
CREATE INDEX schema_referring ON esgf_stac.schema (url, revision) WHERE retired IS NULL AND document @? 'strict $.**."$ref" ? (!(@ starts with "#"))';

-- A few hundred bytes that no compression makes fewer: not tried before it must be.
ALTER TABLE esgf_stac.item ALTER COLUMN validated_against SET STORAGE MAIN;
ALTER TABLE esgf_stac.outbox ALTER COLUMN validated_against SET STORAGE MAIN;

DO $$
BEGIN
    ALTER TABLE esgf_stac.item ALTER COLUMN validated_against SET COMPRESSION lz4;
    ALTER TABLE esgf_stac.outbox ALTER COLUMN validated_against SET COMPRESSION lz4, ALTER COLUMN warnings SET COMPRESSION lz4;
    ALTER TABLE esgf_stac.inbox ALTER COLUMN value SET COMPRESSION lz4;
    ALTER TABLE esgf_stac.schema ALTER COLUMN document SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$;
