-- Items of another catalogue: see src/verbs/import.c.

CREATE FUNCTION esgf_stac.import_items(documents jsonb[]) RETURNS SETOF esgf_stac.outcome
    AS 'MODULE_PATHNAME', 'esgf_import_items' LANGUAGE C ROWS 1000;
COMMENT ON FUNCTION esgf_stac.import_items(jsonb[]) IS
'bring in items of another catalogue as they are there, without events; what is there already stays as it is';
REVOKE ALL ON FUNCTION esgf_stac.import_items(jsonb[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.import_items(jsonb[]) TO esgf_stac_admin;
