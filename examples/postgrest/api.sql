-- api.sql: what PostgREST shows of a catalogue, and to whom.
--
--	psql -X -1 -v ON_ERROR_STOP=1 -f api.sql	(a superuser, once, after create_catalogue())
--
-- authenticator	PostgREST's login; it may do nothing but become one of these two:
-- api_anonymous	who comes without a token; reads
-- api_gateway	who comes with one; may do what its claims say, see gateway.identify()
-- api	the schema that PostgREST shows: items, collections, and each verb as /rpc/VERB
--
-- PostgREST must not show the schema esgf_stac itself. There a gateway says for
-- whom it acts, in set_identity() and transact(), and so each of its users could
-- say that he is somebody else. What stands here takes no identity.

CREATE ROLE authenticator LOGIN NOINHERIT;
CREATE ROLE api_anonymous IN ROLE esgf_stac_reader;
CREATE ROLE api_gateway IN ROLE esgf_stac_gateway;
GRANT api_anonymous, api_gateway TO authenticator;

-- ---------------------------------------------------------------- who calls

CREATE SCHEMA gateway;
GRANT USAGE ON SCHEMA gateway TO api_anonymous, api_gateway;

-- Called at the begin of each transaction, when PostgREST has checked the token.
CREATE FUNCTION gateway.identify() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    claims CONSTANT jsonb := nullif(current_setting('request.jwt.claims', true), '');
    headers CONSTANT jsonb := nullif(current_setting('request.headers', true), '');
    entitlements CONSTANT jsonb := coalesce(nullif(claims -> 'eduperson_entitlement', 'null'), '[]');
BEGIN
    IF claims ->> 'sub' IS NULL THEN
        RETURN;
    END IF;
    PERFORM set_config('role', 'api_gateway', true);
    -- Claims go on as they are: set_identity() refuses those of another form, 400.
    PERFORM esgf_stac.set_identity(jsonb_build_object(
        'sub', claims -> 'sub',
        'iss', claims -> 'iss',
        'client_id', coalesce(nullif(claims -> 'client_id', 'null'), claims -> 'azp'),
        -- An entitlement is a URN; whatever else the claim lists must not pass for another principal ("group:..."),
        -- but for a role of the database, which set_identity() refuses.
        'principals', CASE WHEN jsonb_typeof(entitlements) = 'array'
            THEN jsonb_path_query_array(entitlements, '$[*] ? (@.type() != "string" || @ starts with "urn:" || @ starts with "role:")') ELSE entitlements END,
        'request_id', headers ->> 'x-request-id',
        'batch', headers ->> 'x-batch'));
END
$$;
COMMENT ON FUNCTION gateway.identify() IS 'tells the catalogue for whom PostgREST acts, by the claims of the token';

-- ---------------------------------------------------------------- what is shown

CREATE SCHEMA api;
GRANT USAGE ON SCHEMA api TO api_anonymous, api_gateway;

CREATE VIEW api.item WITH (security_invoker) AS
    SELECT collection_id, id, version, etag, updated, base_id, dataset_version, latest, retracted, nodes, document
      FROM esgf_stac.published_item;
CREATE VIEW api.collection WITH (security_invoker) AS
    SELECT id, version, updated, document FROM esgf_stac.collection WHERE NOT deleted;
GRANT SELECT ON api.item, api.collection TO api_anonymous, api_gateway;

CREATE FUNCTION api.create_item(collection_id text, document jsonb) RETURNS esgf_stac.receipt
    LANGUAGE sql AS 'SELECT esgf_stac.create_item($1, $2)';
CREATE FUNCTION api.replace_item(collection_id text, item_id text, document jsonb, if_match bigint DEFAULT NULL) RETURNS esgf_stac.receipt
    LANGUAGE sql AS 'SELECT esgf_stac.replace_item($1, $2, $3, $4)';
CREATE FUNCTION api.patch_item(collection_id text, item_id text, patch jsonb, if_match bigint DEFAULT NULL) RETURNS esgf_stac.receipt
    LANGUAGE sql AS 'SELECT esgf_stac.patch_item($1, $2, $3, $4)';
CREATE FUNCTION api.delete_item(collection_id text, item_id text, if_match bigint DEFAULT NULL, reason text DEFAULT NULL) RETURNS esgf_stac.receipt
    LANGUAGE sql AS 'SELECT esgf_stac.delete_item($1, $2, $3, $4)';
CREATE FUNCTION api.restore_item(collection_id text, item_id text, if_match bigint DEFAULT NULL) RETURNS esgf_stac.receipt
    LANGUAGE sql AS 'SELECT esgf_stac.restore_item($1, $2, $3)';
CREATE FUNCTION api.retract_item(collection_id text, item_id text, if_match bigint DEFAULT NULL, reason text DEFAULT NULL) RETURNS esgf_stac.receipt
    LANGUAGE sql AS 'SELECT esgf_stac.retract_item($1, $2, $3, $4)';
CREATE FUNCTION api.reinstate_item(collection_id text, item_id text, if_match bigint DEFAULT NULL, reason text DEFAULT NULL) RETURNS esgf_stac.receipt
    LANGUAGE sql AS 'SELECT esgf_stac.reinstate_item($1, $2, $3, $4)';
CREATE FUNCTION api.add_replica(collection_id text, item_id text, node text, alternates jsonb, if_match bigint DEFAULT NULL) RETURNS esgf_stac.receipt
    LANGUAGE sql AS 'SELECT esgf_stac.add_replica($1, $2, $3, $4, $5)';
CREATE FUNCTION api.remove_replica(collection_id text, item_id text, node text, if_match bigint DEFAULT NULL) RETURNS esgf_stac.receipt
    LANGUAGE sql AS 'SELECT esgf_stac.remove_replica($1, $2, $3, $4)';
CREATE FUNCTION api.transact(requests jsonb, atomic boolean DEFAULT true) RETURNS SETOF esgf_stac.outcome
    LANGUAGE sql AS 'SELECT esgf_stac.transact($1, $2)';
CREATE FUNCTION api.explain_access(request jsonb)
    RETURNS TABLE (role text, scope text, target text, granted boolean, rule_id bigint, pointer text, reason text)
    LANGUAGE sql AS 'SELECT * FROM esgf_stac.explain_access($1)';
CREATE FUNCTION api.get_item(collection_id text, item_id text, version bigint DEFAULT NULL) RETURNS esgf_stac.item_state
    LANGUAGE sql AS 'SELECT esgf_stac.get_item($1, $2, $3)';
CREATE FUNCTION api.changes(cursor text DEFAULT NULL, max_events int DEFAULT 1000, stream text DEFAULT NULL) RETURNS TABLE (next text, event jsonb)
    LANGUAGE sql STABLE AS 'SELECT * FROM esgf_stac.changes($1, $2, $3)';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA api FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA api TO api_gateway;
GRANT EXECUTE ON FUNCTION api.get_item(text, text, bigint), api.changes(text, int, text) TO api_anonymous;
