-- Many requests in one call: see src/verbs/transact.c.

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

CREATE FUNCTION esgf_stac.transact(requests jsonb, atomic boolean DEFAULT true, identity jsonb DEFAULT NULL) RETURNS SETOF esgf_stac.outcome
    AS 'MODULE_PATHNAME', 'esgf_transact' LANGUAGE C ROWS 100;
COMMENT ON FUNCTION esgf_stac.transact(jsonb, boolean, jsonb) IS
'perform requests in order, all or nothing; or, if not atomic, each by itself';

CREATE FUNCTION esgf_stac.set_identity(identity jsonb) RETURNS void
    AS 'MODULE_PATHNAME', 'esgf_set_identity' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.set_identity(jsonb) IS
'a gateway says for whom this transaction acts';

CREATE FUNCTION esgf_stac.explain_access(request jsonb, identity jsonb DEFAULT NULL)
    RETURNS TABLE (role text, scope text, target text, granted boolean, rule_id bigint, pointer text, reason text)
    AS 'MODULE_PATHNAME', 'esgf_explain_access' LANGUAGE C ROWS 10;
COMMENT ON FUNCTION esgf_stac.explain_access(jsonb, jsonb) IS
'which rights a request of transact would need, and by which rules they are held or why not, without doing it';

CREATE FUNCTION esgf_stac.history(collection_id text, item_id text)
    RETURNS TABLE (seq bigint, event_id uuid, type text, version bigint, occurred_at timestamptz, reason text, batch text,
                   request_id text, request jsonb, identity jsonb, document jsonb)
    LANGUAGE sql STABLE SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
    SELECT o.seq, o.id, o.type, o.version, o.occurred_at, o.reason, o.batch, o.request_id, o.request, o.identity, o.payload
      FROM esgf_stac.outbox o
     WHERE o.aggregatetype = $1 AND o.aggregateid = $2
     ORDER BY o.version
$$;
COMMENT ON FUNCTION esgf_stac.history(text, text) IS 'what happened to an item, oldest first, as far as the outbox is kept';

REVOKE ALL ON FUNCTION
    esgf_stac.transact(jsonb, boolean, jsonb),
    esgf_stac.set_identity(jsonb),
    esgf_stac.explain_access(jsonb, jsonb),
    esgf_stac.history(text, text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.transact(jsonb, boolean, jsonb), esgf_stac.explain_access(jsonb, jsonb) TO esgf_stac_writer;
GRANT EXECUTE ON FUNCTION esgf_stac.set_identity(jsonb) TO esgf_stac_gateway;
GRANT EXECUTE ON FUNCTION esgf_stac.history(text, text) TO esgf_stac_admin;
