-- What the verbs answer.

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

CREATE TYPE esgf_stac.outcome AS (
    ordinal int,
    status int,
    collection_id text,
    item_id text,
    version bigint,
    changed boolean,
    action text,
    event_id uuid,
    problem jsonb
);
COMMENT ON TYPE esgf_stac.outcome IS 'what became of one request of transact: a receipt, or a problem (RFC 9457)';
COMMENT ON COLUMN esgf_stac.outcome.ordinal IS 'the place of the request, from 1';
COMMENT ON COLUMN esgf_stac.outcome.status IS 'of HTTP: 201 for what was created, 200 otherwise, or that of the problem';
COMMENT ON COLUMN esgf_stac.outcome.collection_id IS 'the collection';
COMMENT ON COLUMN esgf_stac.outcome.item_id IS 'the item; null where the verb was about a collection';
COMMENT ON COLUMN esgf_stac.outcome.version IS 'the version now';
COMMENT ON COLUMN esgf_stac.outcome.changed IS 'did the call make that version?';
COMMENT ON COLUMN esgf_stac.outcome.action IS 'the type of the event, without item. or collection.';
COMMENT ON COLUMN esgf_stac.outcome.event_id IS 'the event in the outbox';
COMMENT ON COLUMN esgf_stac.outcome.problem IS 'why not, as RFC 9457 says; null where it was done';
