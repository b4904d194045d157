-- Digests of what is published, for an index that nobody can page through: whose
-- keeper computes the same of what he holds, and has to look only where they differ.

-- The published items of a collection, of a stream where one is named, each
-- with its bucket and with what it adds to the digest of that.
CREATE FUNCTION esgf_stac_internal.digest_entries(collection_id text, bits int, stream text)
    RETURNS TABLE (bucket int, item_id text, version bigint, entry bit)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (get_byte(h.hash, 0) << 8 | get_byte(h.hash, 1)) >> (16 - $2), i.id, i.version,
           ('x' || encode(substr(sha256(convert_to(i.id || '/' || i.version, 'UTF8')), 1, 16), 'hex'))::bit(128)
      FROM esgf_stac.item i
     CROSS JOIN LATERAL (SELECT sha256(convert_to(i.id, 'UTF8')) AS hash OFFSET 0) h
     WHERE i.collection_id = $1 AND NOT i.deleted AND ($3 IS NULL OR esgf_stac_internal.is_in_stream($3, i.collection_id, i.document, i.nodes))
$$;
COMMENT ON FUNCTION esgf_stac_internal.digest_entries(text, int, text) IS 'the published items of a collection, of a stream where one is named, with their buckets and what they add to those';

-- Refuses a digest of what is not there.
CREATE FUNCTION esgf_stac_internal.check_digest(collection_id text, bits int, stream text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    IF collection_id IS NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'item', 'argument "collection_id" must not be null',
            hint => 'Call it for each collection.');
    ELSIF bits IS NULL OR bits NOT BETWEEN 0 AND 16 THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'item', 'bits must be from 0 to 16',
            hint => 'There are 2 to the power of bits buckets; 8 make 256.');
    ELSIF stream IS NOT NULL AND NOT EXISTS (SELECT FROM esgf_stac.stream s WHERE s.name = $3) THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'stream', format('stream "%s" does not exist', esgf_stac_internal.one_line(stream)),
            hint => 'The view esgf_stac.stream_status lists the streams; null stands for all published items.');
    ELSIF NOT EXISTS (SELECT FROM esgf_stac.collection c WHERE c.id = $1 AND NOT c.deleted) THEN
        PERFORM esgf_stac_internal.refuse('collection-does-not-exist', 'collection', format('collection "%s" does not exist', esgf_stac_internal.one_line(collection_id)));
    END IF;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.check_digest(text, int, text) IS 'refuses a digest of what is not there';

CREATE FUNCTION esgf_stac.digest(collection_id text, bits int DEFAULT 8, stream text DEFAULT NULL)
    RETURNS TABLE (bucket int, items bigint, digest bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
BEGIN
    PERFORM esgf_stac_internal.check_digest(collection_id, bits, stream);
    -- What a bit string sends is its length in four bytes, and its bytes.
    RETURN QUERY
        SELECT b, coalesce(d.items, 0), substr(bit_send(coalesce(d.entries, repeat('0', 128)::bit(128))), 5)
          FROM generate_series(0, (1 << bits) - 1) b
          LEFT JOIN (SELECT e.bucket, count(*) AS items, bit_xor(e.entry) AS entries
                       FROM esgf_stac_internal.digest_entries($1, $2, $3) e
                      GROUP BY e.bucket) d ON d.bucket = b
         ORDER BY b;
END
$$;
COMMENT ON FUNCTION esgf_stac.digest(text, int, text) IS
'the published items of a collection, of a stream where one is named, in 2^bits buckets by the hash of their ids: how many, and a digest of their ids and versions';

CREATE FUNCTION esgf_stac.digest_items(collection_id text, bits int, bucket int, stream text DEFAULT NULL)
    RETURNS TABLE (item_id text, version bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
BEGIN
    PERFORM esgf_stac_internal.check_digest(collection_id, bits, stream);
    IF bucket IS NULL OR bucket < 0 OR bucket >= 1 << bits THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'item', format('bucket must be from 0 to %s', (1 << bits) - 1),
            hint => 'It is one of those that digest() answers for as many bits.');
    END IF;
    RETURN QUERY
        SELECT e.item_id, e.version
          FROM esgf_stac_internal.digest_entries($1, $2, $4) e
         WHERE e.bucket = $3
         ORDER BY e.item_id COLLATE "C";
END
$$;
COMMENT ON FUNCTION esgf_stac.digest_items(text, int, int, text) IS 'the items of one bucket of digest(), with their versions';

REVOKE ALL ON FUNCTION
    esgf_stac_internal.digest_entries(text, int, text),
    esgf_stac_internal.check_digest(text, int, text),
    esgf_stac.digest(text, int, text),
    esgf_stac.digest_items(text, int, int, text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.digest(text, int, text), esgf_stac.digest_items(text, int, int, text) TO esgf_stac_reader;
