-- What the relay asks of the database, beside plain SELECTs.

-- Compares a publication with what create_stream() makes.
CREATE FUNCTION esgf_stac.publication_problem(stream text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on
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
           min(array_to_string(t.attnames, ' ')) AS columns,
           min(t.rowfilter) AS row_filter
      INTO published
      FROM pg_publication_tables t WHERE t.pubname = publication.pubname;
    IF published.tables IS DISTINCT FROM '{esgf_stac.outbox}' THEN
        RETURN 'it must hold the table esgf_stac.outbox alone';
    ELSIF published.columns <> 'seq id aggregatetype aggregateid type version payload occurred_at reason batch'
                               ' streams left_streams request_id xid' THEN
        RETURN 'its columns must be those that create_stream() publishes';
    END IF;

    -- As the server prints it: it leaves backslashes as they are, where
    -- quote_literal() doubles them.
    SELECT concat_ws(' AND ',
        CASE WHEN s.collections IS NOT NULL THEN format(
            '((aggregatetype = ANY (''%1$s''::text[])) OR ((aggregatetype = ''collection''::text) AND (aggregateid = ANY (''%1$s''::text[]))))',
            replace(s.collections::text, '''', '''''')) END,
        CASE WHEN s.filter IS NOT NULL THEN format(
            '((aggregatetype = ''collection''::text) OR (streams @> ARRAY[%1$L::text]) OR (left_streams @> ARRAY[%1$L::text]))', s.name) END)
      INTO expected
      FROM esgf_stac.stream s WHERE s.name = publication_problem.stream;
    IF coalesce(published.row_filter, '') NOT IN (expected, '(' || expected || ')') THEN
        RETURN format('its row filter must be %s', coalesce(nullif(expected, ''), 'absent'));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION esgf_stac.publication_problem(text) IS 'how the publication of a stream differs from what create_stream() makes; null if it does not';
