-- Versions leapt over were never given; what a copy has under them is overwritten.
CREATE FUNCTION esgf_stac.reissue_item(collection_id text, item_id text, above bigint) RETURNS esgf_stac.receipt
    AS 'MODULE_PATHNAME', 'esgf_reissue_item' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.reissue_item(text, text, bigint) IS
'gives an item, deleted or not, the version above one that a copy has and that was never given here; all else stays as it is';
REVOKE ALL ON FUNCTION esgf_stac.reissue_item(text, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.reissue_item(text, text, bigint) TO esgf_stac_relay, esgf_stac_admin;
