-- The tables of the truth, as a fresh catalogue has them: a step brings an older one here.

CREATE TABLE esgf_stac.catalogue (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version text NOT NULL,
    system_identifier bigint NOT NULL,
    pruned xid8 NOT NULL DEFAULT '0',
    created timestamptz NOT NULL DEFAULT now(),
    written xid8 NOT NULL DEFAULT '0'
);

CREATE TABLE esgf_stac.maintenance (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    message text NOT NULL,
    retry_after interval,
    since timestamptz NOT NULL,
    set_by text NOT NULL
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
    max_document_bytes int NOT NULL DEFAULT 33554432 CHECK (max_document_bytes BETWEEN 1 AND 268435456),
    institution_generation int NOT NULL,
    schema_mode text NOT NULL DEFAULT 'off' CHECK (schema_mode IN ('off', 'warn', 'enforce')),
    schemas jsonb,
    unknown_schemas text NOT NULL DEFAULT 'ignore' CHECK (unknown_schemas IN ('ignore', 'refuse'))
);

CREATE TABLE esgf_stac.dataset (
    collection_id text NOT NULL,
    base_id text NOT NULL,
    latest_id text,
    institution jsonb,
    institution_generation int,
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
    validated_against jsonb,
    PRIMARY KEY (collection_id, id)
) WITH (fillfactor = 90); -- room on the page for the next version: without it two patches of three enter every index anew
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
CREATE INDEX request_request_id ON esgf_stac.request (request_id);

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
    validated_against jsonb,
    warnings jsonb,
    UNIQUE (aggregatetype, aggregateid, version)
);
CREATE INDEX outbox_xid ON esgf_stac.outbox (xid, seq);
CREATE INDEX outbox_id ON esgf_stac.outbox (id);
CREATE INDEX outbox_request_id ON esgf_stac.outbox (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX outbox_batch ON esgf_stac.outbox (batch) WHERE batch IS NOT NULL;

CREATE TABLE esgf_stac.stream (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9_]{1,50}$'),
    collections text[],
    filter jsonpath,
    created timestamptz NOT NULL DEFAULT now(),
    outbox_oid oid NOT NULL,
    node text
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
    problem_at timestamptz,
    began pg_snapshot,
    foreign_versions bigint,
    foreign_version text,
    foreign_at timestamptz,
    written xid8 NOT NULL DEFAULT '0'
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

-- No reference to its stream: what it was outlives it.
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

-- lz4 updates three times as fast as pglz, where the server was built with it.
DO $$
BEGIN
    ALTER TABLE esgf_stac.item ALTER COLUMN document SET COMPRESSION lz4, ALTER COLUMN validated_against SET COMPRESSION lz4;
    ALTER TABLE esgf_stac.outbox ALTER COLUMN payload SET COMPRESSION lz4, ALTER COLUMN request SET COMPRESSION lz4,
        ALTER COLUMN validated_against SET COMPRESSION lz4, ALTER COLUMN warnings SET COMPRESSION lz4;
    ALTER TABLE esgf_stac.inbox ALTER COLUMN value SET COMPRESSION lz4;
    ALTER TABLE esgf_stac.schema ALTER COLUMN document SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$;
