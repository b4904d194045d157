-- Sources: the logs whose events are taken in. Administrators make and configure
-- them; what reads one, as esgf_stac_ingest does, asks here where to go on.

-- What is wrong with the settings of a source, in pairs of pointer and problem; null: nothing.
CREATE FUNCTION esgf_stac_internal.source_setting_problems(settings jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN jsonb_typeof(settings) IS DISTINCT FROM 'object' THEN ARRAY[['', 'must be an object']]
                ELSE (SELECT array_agg(ARRAY['/' || esgf_stac_internal.one_line(given.key), given.problem] ORDER BY given.key)
                        FROM (SELECT s.key, CASE
                                  WHEN s.key IN ('drop_nulls', 'active')
                                      THEN CASE WHEN jsonb_typeof(s.value) <> 'boolean' THEN 'must be true or false' END
                                  WHEN s.key = 'null_members'
                                      THEN CASE WHEN s.value NOT IN ('"reject"', '"ignore"') THEN 'must be reject or ignore' END
                                  WHEN s.key = 'principals' THEN CASE
                                      WHEN jsonb_typeof(s.value) <> 'array' OR s.value @? 'strict $[*] ? (@.type() != "string")' THEN 'must be an array of strings'
                                      WHEN jsonb_array_length(s.value) > 999 THEN 'must not be more than 999'
                                      WHEN EXISTS (SELECT FROM jsonb_array_elements_text(s.value) p WHERE p = '' OR octet_length(p) > 255 OR p ~ '[[:cntrl:]]')
                                          THEN 'must be names, of at most 255 bytes each'
                                      WHEN EXISTS (SELECT FROM jsonb_array_elements_text(s.value) p WHERE p ~ '^(role|source):')
                                          THEN 'must not begin with role: or source:, which only the database says' END
                                  ELSE 'is no setting of a source'
                              END AS problem
                                FROM jsonb_each(settings) s LIMIT 100) given
                       WHERE given.problem IS NOT NULL) END
$$;
COMMENT ON FUNCTION esgf_stac_internal.source_setting_problems(jsonb) IS 'what is wrong with the settings of a source, in pairs of pointer and problem; null: nothing';

CREATE FUNCTION esgf_stac_internal.no_such_source(source text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('source %s does not exist', coalesce('"' || esgf_stac_internal.one_line(source) || '"', 'NULL'))
$$;
COMMENT ON FUNCTION esgf_stac_internal.no_such_source(text) IS 'what is said of a source that does not exist';

CREATE FUNCTION esgf_stac.configure_source(name text, settings jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    problems CONSTANT text[] := esgf_stac_internal.source_setting_problems(settings);
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    IF problems IS NOT NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'source', 'these are no settings of a source', problems,
            hint => 'The settings are principals, drop_nulls, null_members and active.');
    END IF;
    UPDATE esgf_stac.source s
       SET principals = CASE WHEN settings ? 'principals' THEN ARRAY(SELECT jsonb_array_elements_text(settings -> 'principals')) ELSE s.principals END,
           drop_nulls = coalesce((settings -> 'drop_nulls')::boolean, s.drop_nulls),
           null_members = coalesce(settings ->> 'null_members', s.null_members),
           active = coalesce((settings -> 'active')::boolean, s.active)
     WHERE s.name = configure_source.name;
    IF NOT FOUND THEN
        PERFORM esgf_stac_internal.refuse('source-does-not-exist', 'source', esgf_stac_internal.no_such_source(name));
    END IF;
END
$$;
COMMENT ON FUNCTION esgf_stac.configure_source(text, jsonb) IS 'change settings of a source';

CREATE FUNCTION esgf_stac.create_source(name text, settings jsonb DEFAULT '{}') RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    IF name IS NULL OR name !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,49}$' THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'source', 'a source''s name must be 1 to 50 letters, digits, dots, underscores or hyphens, and begin with a letter or digit',
            hint => 'It is the name under which rules of access know its events, source:<name>.');
    END IF;
    INSERT INTO esgf_stac.source AS s (name) VALUES (create_source.name) ON CONFLICT ON CONSTRAINT source_pkey DO NOTHING;
    IF NOT FOUND THEN
        PERFORM esgf_stac_internal.refuse('operation-not-permitted', 'source', format('source "%s" exists already', name),
            hint => 'Call esgf_stac.configure_source() to change it, or drop_source() first to begin anew.');
    END IF;
    PERFORM esgf_stac.configure_source(name, settings);
END
$$;
COMMENT ON FUNCTION esgf_stac.create_source(text, jsonb) IS 'makes a source: one log whose events are taken in; what they may do is what rules of access give source:<name>';

CREATE FUNCTION esgf_stac.drop_source(name text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    -- Who performs events holds a partition.
    PERFORM FROM esgf_stac.source_partition p WHERE p.source = drop_source.name ORDER BY p.partition FOR UPDATE;
    DELETE FROM esgf_stac.source s WHERE s.name = drop_source.name;
    IF NOT FOUND THEN
        PERFORM esgf_stac_internal.refuse('source-does-not-exist', 'source', esgf_stac_internal.no_such_source(name));
    END IF;
    DELETE FROM esgf_stac.inbox i WHERE i.source = drop_source.name;
END
$$;
COMMENT ON FUNCTION esgf_stac.drop_source(text) IS 'removes a source, its positions and its inbox; what its events changed stays';

CREATE FUNCTION esgf_stac.seek_source(source text, partition int, next_offset bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    IF NOT EXISTS (SELECT FROM esgf_stac.source s WHERE s.name = $1) THEN
        PERFORM esgf_stac_internal.refuse('source-does-not-exist', 'source', esgf_stac_internal.no_such_source(source));
    ELSIF partition IS NULL OR partition < 0 OR next_offset IS NULL OR next_offset < 0 THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'source_partition', 'partition and next_offset must be given, and not be negative',
            hint => 'SELECT * FROM esgf_stac.source_status shows where each partition stands.');
    END IF;
    INSERT INTO esgf_stac.source_partition AS p (source, partition, next_offset) VALUES ($1, $2, $3)
        ON CONFLICT ON CONSTRAINT source_partition_pkey DO UPDATE SET next_offset = excluded.next_offset;
END
$$;
COMMENT ON FUNCTION esgf_stac.seek_source(text, int, bigint) IS 'has a source go on elsewhere in its log: forward skips events, backward passes over those that the inbox still has';

-- The position of a partition, which is made where it is not there yet.
CREATE FUNCTION esgf_stac_internal.source_position(source text, partition int, OUT next_offset bigint, OUT results_offset bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    active boolean;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    SELECT s.active INTO active FROM esgf_stac.source s WHERE s.name = $1;
    IF NOT FOUND THEN
        PERFORM esgf_stac_internal.refuse('source-does-not-exist', 'source', esgf_stac_internal.no_such_source(source));
    ELSIF NOT active THEN
        PERFORM esgf_stac_internal.refuse('source-inactive', 'source', format('source "%s" is not active', source));
    ELSIF partition IS NULL OR partition < 0 THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'source_partition', 'partition must be given, and not be negative',
            hint => 'It is the number that the log has for it; 0 of a file.');
    END IF;
    SELECT p.next_offset, p.results_offset INTO next_offset, results_offset FROM esgf_stac.source_partition p WHERE p.source = $1 AND p.partition = $2;
    IF NOT FOUND THEN
        INSERT INTO esgf_stac.source_partition (source, partition) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT source_partition_pkey DO NOTHING;
    END IF;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.source_position(text, int) IS 'how far a partition has been performed, and its outcomes acknowledged';

-- Is that the log which the source was read from before, with all that is to be
-- read? Answers from where. Of a log of Kafka it is told cluster and topic; of a
-- file, log is null, and last_event_id that of the line before next_offset.
CREATE FUNCTION esgf_stac_internal.begin_source(source text, partition int, log jsonb, first_offset bigint, end_offset bigint, last_event_id text, results boolean) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    this CONSTANT jsonb := coalesce(log, 'null');
    known jsonb;
    performed bigint;
    last text;
BEGIN
    PERFORM esgf_stac_internal.source_position(source, partition);
    -- In the order of ingest(): the partition first.
    SELECT p.next_offset INTO performed FROM esgf_stac.source_partition p WHERE p.source = $1 AND p.partition = $2 FOR NO KEY UPDATE;
    UPDATE esgf_stac.source s SET log = this WHERE s.name = $1 AND s.log IS NULL;
    SELECT s.log INTO known FROM esgf_stac.source s WHERE s.name = $1;
    IF known <> this THEN
        PERFORM esgf_stac_internal.refuse('source-differs', 'source', format('source "%s" was read from another log', source),
            ARRAY[['', format('was %s, is %s', known, this)]]);
    ELSIF end_offset < performed THEN
        PERFORM esgf_stac_internal.refuse('source-differs', 'source', format('the log of source "%s" ends below what was read of it', source),
            ARRAY[['', format('partition %s ends at %s, and %s is next', partition, end_offset, performed)]]);
    ELSIF first_offset > performed THEN
        PERFORM esgf_stac_internal.refuse('events-lost', 'source', format('the log of source "%s" no longer has events that were not read', source),
            ARRAY[['', format('partition %s begins at %s, and %s is next', partition, first_offset, performed)]]);
    ELSIF log IS NULL THEN
        SELECT i.event_id INTO last FROM esgf_stac.inbox i WHERE i.source = $1 AND i.partition = $2 AND i."offset" = performed - 1;
        IF FOUND AND last IS DISTINCT FROM last_event_id THEN
            PERFORM esgf_stac_internal.refuse('source-differs', 'source', format('source "%s" was read from another file', source),
                ARRAY[['', format('the event at %s was %s, and is %s', performed - 1, coalesce('"' || last || '"', 'none'), coalesce('"' || esgf_stac_internal.one_line(last_event_id) || '"', 'none'))]]);
        END IF;
    END IF;
    UPDATE esgf_stac.source_partition p
       SET next_offset = coalesce(p.next_offset, first_offset, 0),
           results_offset = CASE WHEN results THEN coalesce(p.results_offset, p.next_offset, first_offset, 0) ELSE p.results_offset END,
           updated = clock_timestamp()
     WHERE p.source = $1 AND p.partition = $2
    RETURNING p.next_offset INTO performed;
    RETURN performed;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.begin_source(text, int, jsonb, bigint, bigint, text, boolean) IS 'sees that a log is the one that the source was read from; answers where to go on';

-- A reader says where its log ends, as often as it likes; that it is there is written
-- twice a minute. Where there is no event from read_from to read_to, as behind the markers
-- of a transaction, that is the position: else they would be missed once they expire. A
-- position below read_from is an administrator's, who has moved it back.
CREATE FUNCTION esgf_stac_internal.note_source(source text, partition int, high_watermark bigint, read_from bigint DEFAULT NULL, read_to bigint DEFAULT NULL) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
    UPDATE esgf_stac.source_partition p
       SET high_watermark = $3, next_offset = CASE WHEN p.next_offset >= $4 THEN greatest(p.next_offset, $5) ELSE p.next_offset END, updated = clock_timestamp()
     WHERE p.source = $1 AND p.partition = $2
       AND (p.high_watermark IS DISTINCT FROM $3 OR (p.next_offset >= $4 AND p.next_offset < $5) OR p.updated < clock_timestamp() - interval '30 s')
$$;
COMMENT ON FUNCTION esgf_stac_internal.note_source(text, int, bigint, bigint, bigint) IS 'the reader of a partition says where its log ends';

REVOKE ALL ON FUNCTION
    esgf_stac_internal.source_setting_problems(jsonb),
    esgf_stac_internal.no_such_source(text),
    esgf_stac.configure_source(text, jsonb),
    esgf_stac.create_source(text, jsonb),
    esgf_stac.drop_source(text),
    esgf_stac.seek_source(text, int, bigint),
    esgf_stac_internal.source_position(text, int),
    esgf_stac_internal.begin_source(text, int, jsonb, bigint, bigint, text, boolean),
    esgf_stac_internal.note_source(text, int, bigint, bigint, bigint)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    esgf_stac.configure_source(text, jsonb),
    esgf_stac.create_source(text, jsonb),
    esgf_stac.drop_source(text),
    esgf_stac.seek_source(text, int, bigint)
TO esgf_stac_admin;
GRANT EXECUTE ON FUNCTION
    esgf_stac_internal.source_position(text, int),
    esgf_stac_internal.begin_source(text, int, jsonb, bigint, bigint, text, boolean),
    esgf_stac_internal.note_source(text, int, bigint, bigint, bigint)
TO esgf_stac_ingest;
