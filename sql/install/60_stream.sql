-- Streams: who may follow the outbox. A stream is a row, a publication and,
-- made later by whoever reads, a replication slot; the three share a name.

-- Does a jsonpath use a variable? Nobody would give it a value: it is an error
-- that no silence suppresses. As text, all but a variable has its quotes after a dot.
CREATE FUNCTION esgf_stac_internal.has_variable(filter jsonpath) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT regexp_replace(filter::text, '"([^"\\]|\\.)*"', '""', 'g') ~ '\$""';
END;
COMMENT ON FUNCTION esgf_stac_internal.has_variable(jsonpath) IS 'does a jsonpath use a variable?';
REVOKE ALL ON FUNCTION esgf_stac_internal.has_variable(jsonpath) FROM PUBLIC;

-- Does a document satisfy a filter? Unknown is no; a time without a zone is in UTC.
CREATE FUNCTION esgf_stac_internal.satisfies(document jsonb, filter jsonpath) RETURNS boolean
    AS 'MODULE_PATHNAME', 'esgf_satisfies' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION esgf_stac_internal.satisfies(jsonb, jsonpath) IS 'does a document satisfy a filter of a stream?';
REVOKE ALL ON FUNCTION esgf_stac_internal.satisfies(jsonb, jsonpath) FROM PUBLIC;

-- Is an item in a stream? As it is judged when a change is made.
CREATE FUNCTION esgf_stac_internal.is_in_stream(stream text, collection_id text, document jsonb, nodes text[]) RETURNS boolean
    AS 'MODULE_PATHNAME', 'esgf_is_in_stream' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION esgf_stac_internal.is_in_stream(text, text, jsonb, text[]) IS 'is an item, by its stored document and the nodes that have it, in a stream?';
REVOKE ALL ON FUNCTION esgf_stac_internal.is_in_stream(text, text, jsonb, text[]) FROM PUBLIC;

-- Is that a jsonpath predicate, that is, does it answer true or false? And do its methods
-- take what they are given? A template that is none is an error that no silence suppresses.
CREATE FUNCTION esgf_stac_internal.is_predicate(filter jsonpath) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
AS $$
BEGIN
    -- A predicate answers even where nothing is found; any other path is an error then.
    PERFORM jsonb_path_match_tz('{}', filter) WHERE NOT esgf_stac_internal.has_variable(filter);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM jsonb_path_exists_tz(tried, ('$' || call[1])::jsonpath, silent => true)
       FROM regexp_matches(filter::text, '(\.[a-z_]+\((?:"(?:[^"\\]|\\.)*"|[^"()]*)\))|"(?:[^"\\]|\\.)*"', 'g') call, unnest(ARRAY['"1"', '1']::jsonb[]) tried
      WHERE call[1] IS NOT NULL;
    RETURN true;
EXCEPTION WHEN data_exception THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.is_predicate(jsonpath) IS 'does a jsonpath answer true or false?';
REVOKE ALL ON FUNCTION esgf_stac_internal.is_predicate(jsonpath) FROM PUBLIC;

-- What leaves the database: neither what was asked for nor by whom. A column that a
-- version adds stands last here as in the table, so that what an earlier one
-- published is a beginning of this list.
CREATE FUNCTION esgf_stac_internal.published_columns() RETURNS name[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT '{seq,id,aggregatetype,aggregateid,type,version,payload,occurred_at,reason,batch,streams,left_streams,request_id,xid,validated_against,warnings}'::name[];
END;
COMMENT ON FUNCTION esgf_stac_internal.published_columns() IS 'the columns of the outbox that streams publish, in the order of the table';
REVOKE ALL ON FUNCTION esgf_stac_internal.published_columns() FROM PUBLIC;

-- Which events are a stream's, as the row filter of its publication; null: all.
-- Filtered is a stream that has a filter or a node: its events name it.
-- In the words of the server, that prints it anew: there are no escapes, so that
-- it is read while standard_conforming_strings is on.
CREATE FUNCTION esgf_stac_internal.row_filter(name text, collections text[], filtered boolean) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT nullif(concat_ws(' AND ',
        CASE WHEN collections IS NOT NULL THEN format(
            '((aggregatetype = ANY (''%1$s''::text[])) OR ((aggregatetype = ''collection''::text) AND (aggregateid = ANY (''%1$s''::text[]))))',
            replace(collections::text, '''', '''''')) END,
        CASE WHEN filtered THEN format(
            '((aggregatetype = ''collection''::text) OR (streams @> ARRAY[%1$L::text]) OR (left_streams @> ARRAY[%1$L::text]))', name) END), '');
END;
COMMENT ON FUNCTION esgf_stac_internal.row_filter(text, text[], boolean) IS 'which events are a stream''s, as the row filter of its publication; null: all';
REVOKE ALL ON FUNCTION esgf_stac_internal.row_filter(text, text[], boolean) FROM PUBLIC;

-- What the publication of a stream holds, as CREATE and ALTER PUBLICATION take it.
CREATE FUNCTION esgf_stac_internal.published_table(name text, collections text[], filtered boolean) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT concat('TABLE esgf_stac.outbox (', array_to_string(esgf_stac_internal.published_columns(), ', '), ')',
                  ' WHERE (' || esgf_stac_internal.row_filter(name, collections, filtered) || ')');
END;
COMMENT ON FUNCTION esgf_stac_internal.published_table(text, text[], boolean) IS 'what the publication of a stream holds: the outbox, with its columns and row filter';
REVOKE ALL ON FUNCTION esgf_stac_internal.published_table(text, text[], boolean) FROM PUBLIC;

CREATE FUNCTION esgf_stac.create_stream(name text, collections text[] DEFAULT NULL, filter jsonpath DEFAULT NULL, node text DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, esgf_stac, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
    publication CONSTANT text := 'esgf_stac_' || name;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    IF name IS NULL OR name !~ '^[a-z0-9_]{1,50}$' THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'stream', format('no name for a stream: %s', coalesce(quote_literal(esgf_stac_internal.one_line(name)), 'NULL')),
            hint => 'A name has 1 to 50 of the characters a-z, 0-9 and _.');
    ELSIF EXISTS (SELECT FROM esgf_stac.stream s WHERE s.name = create_stream.name) THEN
        PERFORM esgf_stac_internal.refuse('operation-not-permitted', 'stream', format('stream "%s" exists already', name),
            hint => 'Choose another name, or call drop_stream() first.');
    ELSIF cardinality(collections) = 0 OR array_position(collections, NULL) IS NOT NULL OR array_ndims(collections) > 1 THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'stream', 'collections must be a plain list of collection ids',
            hint => 'Leave it null for a stream of all collections.');
    ELSIF NOT esgf_stac_internal.is_predicate(filter) THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'stream', format('filter is no jsonpath predicate: %s', left(filter::text, 200)),
            hint => 'A predicate answers true or false, for example $.properties."cmip6:source_id" == "CanESM5"; it has no variables.');
    END IF;
    IF node IS NOT NULL THEN
        PERFORM esgf_stac_internal.require_site(node);
        -- Whoever sets a rule for the site has either ended, or will see the stream and start a job; by an older snapshot he cannot.
        UPDATE esgf_stac.site s SET active = s.active WHERE s.node = create_stream.node;
    END IF;

    -- From here no writer runs who does not know the stream.
    LOCK TABLE esgf_stac.item, esgf_stac.collection IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO esgf_stac.stream (name, collections, filter, node, created, outbox_oid)
        VALUES (name, collections, filter, node, clock_timestamp(), 'esgf_stac.outbox'::regclass);

    EXECUTE format('CREATE PUBLICATION %I FOR %s WITH (publish = ''insert'')', publication,
                   esgf_stac_internal.published_table(name, collections, num_nonnulls(filter, node) > 0));
    RETURN publication;
END
$$;
COMMENT ON FUNCTION esgf_stac.create_stream(text, text[], jsonpath, text) IS 'makes a stream and its publication esgf_stac_<name>; whoever reads makes the slot of the same name after it';
REVOKE ALL ON FUNCTION esgf_stac.create_stream(text, text[], jsonpath, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.create_stream(text, text[], jsonpath, text) TO esgf_stac_admin;

CREATE FUNCTION esgf_stac.drop_stream(name text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    DELETE FROM esgf_stac.stream s WHERE s.name = drop_stream.name;
    IF NOT FOUND THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'stream', format('stream %s does not exist', coalesce(quote_literal(esgf_stac_internal.one_line(name)), 'NULL')),
            hint => 'The view esgf_stac.stream_status lists the streams.');
    END IF;
    PERFORM esgf_stac_internal.fail_iterations(name, 'stream-dropped');
    EXECUTE format('DROP PUBLICATION IF EXISTS %I', 'esgf_stac_' || name);
    -- Last, because no rollback brings a slot back; an active one is the server's error.
    PERFORM pg_drop_replication_slot(slot_name)
       FROM pg_replication_slots
      WHERE slot_name = 'esgf_stac_' || name AND database = current_database();
END
$$;
COMMENT ON FUNCTION esgf_stac.drop_stream(text) IS 'removes a stream, its publication and its slot; stop its reader first';
REVOKE ALL ON FUNCTION esgf_stac.drop_stream(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.drop_stream(text) TO esgf_stac_admin;

CREATE FUNCTION esgf_stac_internal.publication_problem(stream text) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, esgf_stac, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
    publication pg_publication;
    published record;
    expected text;
BEGIN
    SELECT * INTO publication FROM pg_publication WHERE pubname = 'esgf_stac_' || stream;
    IF NOT FOUND THEN
        RETURN 'it does not exist';
    ELSIF publication.puballtables OR NOT publication.pubinsert OR publication.pubupdate
          OR publication.pubdelete OR publication.pubtruncate OR publication.pubviaroot THEN
        RETURN 'it must publish the inserts of one table, and nothing else';
    END IF;

    SELECT array_agg(format('%s.%s', t.schemaname, t.tablename)) AS tables,
           min(t.attnames) AS columns,
           min(t.rowfilter) AS row_filter
      INTO published
      FROM pg_publication_tables t WHERE t.pubname = publication.pubname;
    IF published.tables IS DISTINCT FROM '{esgf_stac.outbox}' THEN
        RETURN 'it must hold the table esgf_stac.outbox alone';
    ELSIF published.columns <> (esgf_stac_internal.published_columns())[:cardinality(published.columns)]
          OR 'xid' <> ALL (published.columns) THEN
        -- 0.1.0 published as far as xid; what it made keeps its columns until refresh_stream().
        RETURN 'its columns must be those that create_stream() publishes';
    END IF;

    SELECT esgf_stac_internal.row_filter(s.name, s.collections, num_nonnulls(s.filter, s.node) > 0) INTO expected FROM esgf_stac.stream s WHERE s.name = publication_problem.stream;
    IF published.row_filter IS DISTINCT FROM expected AND published.row_filter IS DISTINCT FROM '(' || expected || ')' THEN
        RETURN format('its row filter must be %s', coalesce(expected, 'absent'));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.publication_problem(text) IS 'how the publication of a stream differs from what create_stream() makes; null if it does not';
REVOKE ALL ON FUNCTION esgf_stac_internal.publication_problem(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac_internal.publication_problem(text) TO esgf_stac_relay;

-- A reader gets a stream's columns of before with every event committed before
-- this, and the new ones with every later one: from the lock on no writer runs
-- whose events could be of either kind (a minor of before May 2025 would send
-- them all by the old list).
CREATE FUNCTION esgf_stac.refresh_stream(name text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, esgf_stac, pg_temp SET standard_conforming_strings = on
AS $$
DECLARE
    wanted esgf_stac.stream;
    problem text;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    SELECT s.* INTO wanted FROM esgf_stac.stream s WHERE s.name = refresh_stream.name;
    IF NOT FOUND THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'stream', format('stream %s does not exist', coalesce(quote_literal(esgf_stac_internal.one_line(name)), 'NULL')),
            hint => 'The view esgf_stac.stream_status lists the streams.');
    END IF;
    LOCK TABLE esgf_stac.item, esgf_stac.collection IN SHARE ROW EXCLUSIVE MODE;
    problem := esgf_stac_internal.publication_problem(name);
    IF problem IS NOT NULL THEN
        PERFORM esgf_stac_internal.refuse('operation-not-permitted', 'stream', format('publication "esgf_stac_%s" is not as its stream says: %s', name, problem),
            hint => 'Its reader may lack events: call drop_stream() and create_stream(), and begin it anew.');
    END IF;
    EXECUTE format('ALTER PUBLICATION %I SET %s', 'esgf_stac_' || name,
                   esgf_stac_internal.published_table(name, wanted.collections, num_nonnulls(wanted.filter, wanted.node) > 0));
END
$$;
COMMENT ON FUNCTION esgf_stac.refresh_stream(text) IS 'has a stream that an earlier version made publish the columns that this one adds, while its reader goes on';
REVOKE ALL ON FUNCTION esgf_stac.refresh_stream(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.refresh_stream(text) TO esgf_stac_admin;
