-- The inbox: events of a source are performed as requests (src/inbox), and what
-- became of them is told in the federation's own events.

CREATE FUNCTION esgf_stac.ingest(source text, partition int, events jsonb) RETURNS SETOF esgf_stac.outcome
    AS 'MODULE_PATHNAME', 'esgf_ingest' LANGUAGE C ROWS 500;
COMMENT ON FUNCTION esgf_stac.ingest(text, int, jsonb) IS
'perform events of a partition of a source, each by itself and once, as whoever it names; moves the position of the partition';

-- The same for the program. Each value is parsed by itself and read where it lies;
-- of what nobody can read it is the bytes, as a string in base64, or null.
CREATE FUNCTION esgf_stac_internal.ingest_columns(source text, partition int, offsets bigint[], keys text[], "values" jsonb[], unreadable text[])
    RETURNS SETOF esgf_stac.outcome
    AS 'MODULE_PATHNAME', 'esgf_ingest_columns' LANGUAGE C STRICT ROWS 500;
COMMENT ON FUNCTION esgf_stac_internal.ingest_columns(text, int, bigint[], text[], jsonb[], text[]) IS
'as ingest(), of events that come in columns; each array has one element an event';

CREATE FUNCTION esgf_stac.redrive_inbox(source text, partition int DEFAULT NULL, "offset" bigint DEFAULT NULL) RETURNS SETOF esgf_stac.outcome
    AS 'MODULE_PATHNAME', 'esgf_redrive_inbox' LANGUAGE C ROWS 100;
COMMENT ON FUNCTION esgf_stac.redrive_inbox(text, int, bigint) IS
'perform refused events of a source again, at most 1,000, those least recently tried first; their new outcomes are sent';

CREATE FUNCTION esgf_stac.settle_inbox(source text, partition int, "offset" bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    IF NOT EXISTS (SELECT FROM esgf_stac.source s WHERE s.name = $1) THEN
        PERFORM esgf_stac_internal.refuse('source-does-not-exist', 'source', esgf_stac_internal.no_such_source(source));
    END IF;
    UPDATE esgf_stac.inbox i SET settled_at = clock_timestamp()
     WHERE i.source = $1 AND i.partition = $2 AND i."offset" = $3 AND i.settled_at IS NULL;
    IF NOT FOUND THEN
        PERFORM esgf_stac_internal.refuse('event-does-not-exist', 'inbox', format('source "%s" has no open refusal at partition %s, offset %s', source, coalesce(partition::text, 'NULL'), coalesce("offset"::text, 'NULL')),
            hint => 'SELECT * FROM esgf_stac.inbox WHERE settled_at IS NULL lists those that are open.');
    END IF;
END
$$;
COMMENT ON FUNCTION esgf_stac.settle_inbox(text, int, bigint) IS 'closes a refused event of a source unperformed';

-- Outcomes that are to be sent next, in the order of their offsets: about 4 MB at
-- most. They are KafkaSuccessEvents and KafkaErrorEvents of esgf-core-utils: of
-- auth and request_id what the event said, cut where it is too long for a name,
-- stand-ins where it did not, and the same at every call. Those of which results_offset does not speak come again by
-- themselves, until note_results() names them.
CREATE FUNCTION esgf_stac_internal.source_results(source text, partition int, most int)
    RETURNS TABLE ("offset" bigint, attempt int, success boolean, key text, value text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    own_version CONSTANT text := esgf_stac.installed_version();
    acknowledged bigint;
    bytes bigint := 0;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    SELECT p.results_offset INTO acknowledged FROM esgf_stac.source_partition p WHERE p.source = $1 AND p.partition = $2;
    FOR "offset", attempt, success, key, value IN
        SELECT r."offset", r.attempt, r.outcome -> 'problem' = 'null', r.key, (jsonb_build_object(
                   'data', jsonb_build_object('type', 'STAC', 'payload', jsonb_build_object(
                       'collection_id', coalesce(r.outcome ->> 'collection_id', ''),
                       'item_id', coalesce(r.outcome ->> 'item_id', ''),
                       'version', r.outcome -> 'version', 'action', r.outcome -> 'action', 'changed', r.outcome -> 'changed')
                       || CASE WHEN r.outcome ->> 'method' IN ('POST', 'PUT', 'PATCH') THEN jsonb_build_object('method', r.outcome -> 'method')
                               ELSE jsonb_build_object('method', 'PATCH', 'original_method', coalesce(r.outcome ->> 'method', '')) END),
                   'metadata', jsonb_build_object(
                       'auth', jsonb_build_object(
                           'auth_policy_id', left(coalesce(r.identity ->> 'auth_policy_id', r.value #>> '{metadata,auth,auth_policy_id}'), 1000),
                           'requester_data', '{"client_id": "esgf_stac", "iss": "esgf_stac", "sub": "esgf_stac"}' || said.requester),
                       'event_id', own.event_id,
                       'request_id', coalesce(r.request_id, said.request_id, own.event_id),
                       'publisher', jsonb_build_object('package', 'esgf_stac', 'version', own_version),
                       'schema_version', '1.0.0',
                       'time', to_char(r.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
                   'original_event', jsonb_build_object('event_id', coalesce(r.event_id, ''), 'offset', r."offset", 'partition', $2))
               || CASE WHEN r.outcome -> 'problem' <> 'null' THEN jsonb_build_object('error', r.outcome -> 'problem') ELSE '{}' END)::text
          -- Each part is limited, or every call would sort all that waits.
          FROM ((SELECT i."offset", 1 AS attempt, i.received_at AS at, i.outcome, i.key, i.event_id, i.request_id, i.identity, i.value
                   FROM esgf_stac.inbox i
                  WHERE i.source = $1 AND i.partition = $2 AND i."offset" >= acknowledged AND i.attempt = 1
                  ORDER BY i."offset"
                  LIMIT greatest(most, 0))
                UNION ALL
                (SELECT i."offset", (u ->> 'attempt')::int AS attempt, (u ->> 'at')::timestamptz, u -> 'outcome', i.key, i.event_id, i.request_id, i.identity, i.value
                   FROM esgf_stac.inbox i, jsonb_array_elements(i.unsent) u
                  WHERE i.source = $1 AND i.partition = $2 AND i.unsent IS NOT NULL
                  ORDER BY i."offset", 2
                  LIMIT greatest(most, 0))
                ORDER BY 1, 2
                LIMIT greatest(most, 0)) r
         CROSS JOIN LATERAL (
               SELECT left(encode(sha256(convert_to(jsonb_build_array($1, $2, r."offset", r.attempt)::text, 'UTF8')), 'hex'), 32) AS event_id
               ) own
         CROSS JOIN LATERAL (
               SELECT (SELECT coalesce(jsonb_object_agg(m.key, left(m.value #>> '{}', 1000)), '{}')
                         FROM jsonb_each(CASE WHEN r.identity IS NOT NULL THEN r.identity
                                              WHEN jsonb_typeof(r.value #> '{metadata,auth,requester_data}') = 'object' THEN r.value #> '{metadata,auth,requester_data}' END) m
                        WHERE m.key IN ('client_id', 'iss', 'sub') AND jsonb_typeof(m.value) = 'string') AS requester,
                      CASE WHEN jsonb_typeof(r.value #> '{metadata,request_id}') = 'string' THEN left(r.value #>> '{metadata,request_id}', 1000) END AS request_id
               ) said
         ORDER BY r."offset", r.attempt
    LOOP
        EXIT WHEN bytes > 0 AND bytes + octet_length(value) > 4000000;
        bytes := bytes + octet_length(value);
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.source_results(text, int, int) IS 'outcomes of a partition that are to be sent next, as the federation''s success and error events';

-- All outcomes up to there are acknowledged; and, of those of which results_offset
-- does not speak, these: [[offset, attempt], ...]. Others may be among them.
CREATE FUNCTION esgf_stac_internal.note_results(source text, partition int, results_offset bigint, sent jsonb DEFAULT '[]') RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    -- As keys: of what contains what, [1, 2] and [2, 1] are the same.
    acknowledged CONSTANT jsonb := (SELECT jsonb_object_agg(s::text, true) FROM jsonb_array_elements(sent) s);
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    UPDATE esgf_stac.source_partition p SET results_offset = greatest(p.results_offset, $3), updated = clock_timestamp()
     WHERE p.source = $1 AND p.partition = $2 AND p.results_offset IS NOT NULL;
    UPDATE esgf_stac.inbox i SET unsent = nullif((
               SELECT coalesce(jsonb_agg(u ORDER BY u -> 'attempt'), '[]') FROM jsonb_array_elements(i.unsent) u
                WHERE NOT acknowledged ? jsonb_build_array(i."offset", u -> 'attempt')::text), '[]')
     WHERE i.source = $1 AND i.partition = $2 AND i.unsent IS NOT NULL
       AND i."offset" = ANY (ARRAY(SELECT (s -> 0)::bigint FROM jsonb_array_elements(sent) s));
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.note_results(text, int, bigint, jsonb) IS 'the outcomes up to an offset, and these, are acknowledged';

-- A batch of prune_outbox(): what came in before that, of each partition up to the
-- first that stays, but nothing that is still to be sent.
CREATE FUNCTION esgf_stac_internal.prune_inbox(before timestamptz) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    p record;
    stays bigint;
    batch bigint;
BEGIN
    FOR p IN SELECT s.source, s.partition, s.results_offset FROM esgf_stac.source_partition s ORDER BY 1, 2 LOOP
        stays := least(p.results_offset, (SELECT i."offset" FROM esgf_stac.inbox i
                                           WHERE i.source = p.source AND i.partition = p.partition AND i.received_at >= before
                                           ORDER BY i."offset" LIMIT 1));
        LOOP
            DELETE FROM esgf_stac.inbox d
             WHERE d.ctid = ANY (ARRAY(SELECT i.ctid FROM esgf_stac.inbox i
                                        WHERE i.source = p.source AND i.partition = p.partition
                                          AND (stays IS NULL OR i."offset" < stays) AND i.unsent IS NULL
                                        ORDER BY i."offset" LIMIT 10000));
            GET DIAGNOSTICS batch = ROW_COUNT;
            EXIT WHEN batch < 10000;
        END LOOP;
    END LOOP;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.prune_inbox(timestamptz) IS 'deletes what came in before that, but nothing whose outcome is still to be sent';

REVOKE ALL ON FUNCTION
    esgf_stac.ingest(text, int, jsonb),
    esgf_stac_internal.ingest_columns(text, int, bigint[], text[], jsonb[], text[]),
    esgf_stac.redrive_inbox(text, int, bigint),
    esgf_stac.settle_inbox(text, int, bigint),
    esgf_stac_internal.source_results(text, int, int),
    esgf_stac_internal.note_results(text, int, bigint, jsonb),
    esgf_stac_internal.prune_inbox(timestamptz)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.ingest(text, int, jsonb) TO esgf_stac_ingest, esgf_stac_admin;
GRANT EXECUTE ON FUNCTION esgf_stac.redrive_inbox(text, int, bigint), esgf_stac.settle_inbox(text, int, bigint) TO esgf_stac_admin;
GRANT EXECUTE ON FUNCTION
    esgf_stac_internal.ingest_columns(text, int, bigint[], text[], jsonb[], text[]),
    esgf_stac_internal.source_results(text, int, int),
    esgf_stac_internal.note_results(text, int, bigint, jsonb)
TO esgf_stac_ingest;
