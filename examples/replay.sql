-- replay.sql: is what the events say what the database holds?
--
--	psql -X -q -f examples/replay.sql < EVENTS
--
-- EVENTS is what esgf_stac_relay wrote with --sink ndjson: from the beginning
-- of a stream of all collections. An index does the same: of each item it
-- keeps the document of the highest version, and nothing where that is null.

CREATE TEMPORARY TABLE line (event jsonb);
-- A line is one field: its backslashes belong to JSON.
\copy line FROM pstdin WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')

CREATE TEMPORARY VIEW replayed AS
    SELECT DISTINCT ON (event ->> 'collection_id', event ->> 'item_id')
           event ->> 'collection_id' AS collection_id, event ->> 'item_id' AS id,
           (event -> 'version')::bigint AS version, event -> 'document' AS document
      FROM line
     WHERE event ->> 'item_id' IS NOT NULL
     ORDER BY event ->> 'collection_id', event ->> 'item_id', (event -> 'version')::bigint DESC;

SELECT (SELECT count(*) FROM line) AS events,
       count(r.id) AS items_replayed,
       count(p.id) AS items_published,
       count(*) FILTER (WHERE r.version = p.version AND r.document = p.document) AS equal,
       count(*) FILTER (WHERE (r.version, r.document) IS DISTINCT FROM (p.version, p.document)) AS different
  FROM (SELECT * FROM replayed WHERE document <> 'null') r
  FULL JOIN esgf_stac.published_item p USING (collection_id, id);
