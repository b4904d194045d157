-- What --verify of the relay asks of the database: what would the stream have put
-- into its sink? The relay walks over our items by verification_page(), and over
-- what the sink holds; whichever way it has come to an item, it reads the sink
-- first, and then asks verification_states(), which decides:
--
--   there \ here      in_stream                     not in_stream
--   nothing           missing                       as it should be
--   lower version     stale                         surplus
--   same version      same, or differs (same = f)   surplus, unless it is a deletion
--   higher version    ahead                         ahead; surplus where version is null
--
-- version is the highest that was ever given, of a deleted or retracted item, too;
-- null: no such item. in_stream: the sink should hold the published document, in
-- that version; otherwise nothing, or a deletion. same: the document that was
-- handed in is that one, as jsonb is equal (1.0 is 1); null where none was handed
-- in, or nothing should be there. refused: an unsettled dead letter of that version,
-- which explains missing, stale and surplus. redrive_states() has the documents to send.
--
-- Runs and what they find stand in the tables verification and drift, which the
-- relay writes; reissue_item() settles what is ahead.

-- A page of all items of the collections of a stream, by primary key, in the stream
-- or not: its last row is where the next page goes on, whatever the filter meets.
CREATE FUNCTION esgf_stac_internal.verification_page(stream text, after_collection text, after_item text, max_items int)
    RETURNS TABLE (collection_id text, item_id text, version bigint, in_stream boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp SET enable_sort = off SET jit = off
AS $$
DECLARE
    s esgf_stac.stream;
    collection text;
    room int := max_items;
    answered int;
BEGIN
    SELECT t.* INTO STRICT s FROM esgf_stac.stream t WHERE t.name = verification_page.stream;
    FOR collection IN
        SELECT c.id FROM esgf_stac.collection c
         WHERE (s.collections IS NULL OR c.id = ANY (s.collections)) AND c.id >= coalesce(after_collection, '')
         ORDER BY c.id
    LOOP
        RETURN QUERY
            SELECT i.collection_id, i.id, i.version,
                   (NOT i.deleted AND esgf_stac_internal.is_in_stream(s.name, i.collection_id, i.document, i.nodes)) IS TRUE
              FROM esgf_stac.item i
             WHERE i.collection_id = collection AND i.id > CASE WHEN collection = after_collection THEN coalesce(after_item, '') ELSE '' END
             ORDER BY i.id
             LIMIT room;
        GET DIAGNOSTICS answered = ROW_COUNT;
        room := room - answered;
        EXIT WHEN room = 0;
    END LOOP;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.verification_page(text, text, text, int) IS 'a page of the items of the collections of a stream, by primary key, with their versions and whether they are in the stream';

-- A document as a sink holds it; null for what jsonb cannot hold.
CREATE FUNCTION esgf_stac_internal.parsed(document text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN document::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.parsed(text) IS 'a text as jsonb, or null';

-- The states of those items, one row each, in the order given. (The settings have
-- each key looked up: no plan may read all items for a page of them.)
CREATE FUNCTION esgf_stac_internal.verification_states(stream text, collection_ids text[], item_ids text[], documents text[] DEFAULT NULL)
    RETURNS TABLE (collection_id text, item_id text, version bigint, in_stream boolean, same boolean, refused boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    s esgf_stac.stream;
BEGIN
    SELECT t.* INTO STRICT s FROM esgf_stac.stream t WHERE t.name = verification_states.stream;
    RETURN QUERY
        SELECT k.collection_id, k.item_id, i.version, state.in_stream,
               CASE WHEN state.in_stream AND k.document IS NOT NULL
                    THEN coalesce((SELECT p.document FROM esgf_stac.published_item p WHERE p.collection_id = k.collection_id AND p.id = k.item_id)
                                  = esgf_stac_internal.parsed(k.document), false) END,
               EXISTS (SELECT FROM esgf_stac.dead_letter d
                        WHERE d.stream = s.name AND d.collection_id = k.collection_id AND d.item_id = k.item_id AND d.version = i.version AND d.settled_at IS NULL)
          FROM ROWS FROM (unnest(collection_ids), unnest(item_ids), unnest(documents)) WITH ORDINALITY k (collection_id, item_id, document, place)
          LEFT JOIN esgf_stac.item i ON i.collection_id = k.collection_id AND i.id = k.item_id
         CROSS JOIN LATERAL (
               SELECT (NOT i.deleted AND esgf_stac_internal.is_in_stream(s.name, i.collection_id, i.document, i.nodes)) IS TRUE AS in_stream
               OFFSET 0
               ) state
         ORDER BY k.place;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.verification_states(text, text[], text[], text[]) IS 'what the sink of a stream should hold of those items, compared with documents that it holds where they are given';

-- Forgets what a run has found, all of it or beyond so many rows: first what was repaired.
CREATE FUNCTION esgf_stac_internal.trim_drift(verification uuid, max_rows int) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
    DELETE FROM esgf_stac.drift d
     USING (SELECT e.collection_id, e.item_id FROM esgf_stac.drift e WHERE e.verification = trim_drift.verification
             ORDER BY e.repaired_at IS NOT NULL, e.collection_id, e.item_id OFFSET max_rows) beyond
     WHERE d.verification = trim_drift.verification AND d.collection_id = beyond.collection_id AND d.item_id = beyond.item_id
$$;
COMMENT ON FUNCTION esgf_stac_internal.trim_drift(uuid, int) IS 'keeps at most so many rows of what a verification has found';

-- Of each run that goes on, its relay's session has this lock.
CREATE FUNCTION esgf_stac_internal.verification_lock(verification uuid) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT hashtextextended('esgf_stac.verification ' || verification, 0);
END;
COMMENT ON FUNCTION esgf_stac_internal.verification_lock(uuid) IS 'the advisory lock of a verification';

-- Those of a stream (null: of any) whose relay is no more have failed.
CREATE FUNCTION esgf_stac_internal.fail_verifications(stream text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run uuid;
BEGIN
    FOR run IN SELECT v.id FROM esgf_stac.verification v WHERE v.state = 'running' AND ($1 IS NULL OR v.stream = $1) LOOP
        IF pg_try_advisory_xact_lock(esgf_stac_internal.verification_lock(run)) THEN
            UPDATE esgf_stac.verification v SET state = 'failed', finished = now() WHERE v.id = run AND v.state = 'running';
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.fail_verifications(text) IS 'fails the verifications whose relays were killed, of a stream or all';

-- Begins a run, or anew that of an earlier session, which lost its connection.
CREATE FUNCTION esgf_stac_internal.begin_verification(stream text, deep boolean, verification uuid DEFAULT NULL, diverged boolean DEFAULT false, witness text DEFAULT NULL) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    run CONSTANT uuid := coalesce($3, gen_random_uuid());
BEGIN
    PERFORM esgf_stac_internal.fail_verifications($1);
    PERFORM pg_try_advisory_lock(esgf_stac_internal.verification_lock(run));
    PERFORM esgf_stac_internal.trim_drift(run, 0);
    INSERT INTO esgf_stac.verification AS v (id, stream, deep, diverged, witness) VALUES (run, $1, $2, $4, $5)
        ON CONFLICT (id) DO UPDATE SET state = 'running', items = 0, differences = 0, finished = NULL,
           diverged = v.diverged OR excluded.diverged, witness = coalesce(v.witness, excluded.witness);
    RETURN run;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.begin_verification(text, boolean, uuid, boolean, text) IS 'begins a verification, which ends with the session';

REVOKE ALL ON FUNCTION
    esgf_stac_internal.verification_lock(uuid),
    esgf_stac_internal.fail_verifications(text),
    esgf_stac_internal.begin_verification(text, boolean, uuid, boolean, text),
    esgf_stac_internal.trim_drift(uuid, int),
    esgf_stac_internal.verification_page(text, text, text, int),
    esgf_stac_internal.parsed(text),
    esgf_stac_internal.verification_states(text, text[], text[], text[])
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    esgf_stac_internal.begin_verification(text, boolean, uuid, boolean, text),
    esgf_stac_internal.trim_drift(uuid, int),
    esgf_stac_internal.verification_page(text, text, text, int),
    esgf_stac_internal.verification_states(text, text[], text[], text[])
TO esgf_stac_relay;
