-- What would fall if a collection's schemas were enforced (src/item/revalidate.c).

CREATE FUNCTION esgf_stac.revalidate(collection_id text, url text DEFAULT NULL, revision int DEFAULT NULL)
    RETURNS TABLE (item_id text, pointer text, keyword text, detail text)
    AS 'MODULE_PATHNAME', 'esgf_revalidate' LANGUAGE C ROWS 1000000;
COMMENT ON FUNCTION esgf_stac.revalidate(text, text, int) IS 'what keeps the active items of a collection from being as the schemas ask that they declare, or as one revision of one schema asks; changes nothing';

REVOKE ALL ON FUNCTION esgf_stac.revalidate(text, text, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.revalidate(text, text, int) TO esgf_stac_admin;
