-- Trigger functions, in C: see the file of src/item that is named after the table
-- or the time. Those of one table in PL/pgSQL stand with its verbs.

CREATE FUNCTION esgf_stac.item_before_row() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_item_before_row' LANGUAGE C;
CREATE FUNCTION esgf_stac.item_after_row() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_item_after_row' LANGUAGE C;
CREATE FUNCTION esgf_stac.item_after_statement() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_item_after_statement' LANGUAGE C;
CREATE FUNCTION esgf_stac.collection_before_row() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_collection_before_row' LANGUAGE C;
CREATE FUNCTION esgf_stac.collection_after_row() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_collection_after_row' LANGUAGE C;
CREATE FUNCTION esgf_stac.before_statement() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_before_statement' LANGUAGE C;
CREATE FUNCTION esgf_stac.refuse_removal() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_refuse_removal' LANGUAGE C;
CREATE FUNCTION esgf_stac.drop_caches() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_drop_caches' LANGUAGE C;
CREATE FUNCTION esgf_stac.note_writer() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_note_writer' LANGUAGE C;
REVOKE ALL ON FUNCTION esgf_stac.item_before_row(), esgf_stac.item_after_row(), esgf_stac.item_after_statement(),
    esgf_stac.collection_before_row(), esgf_stac.collection_after_row(),
    esgf_stac.before_statement(), esgf_stac.refuse_removal(), esgf_stac.drop_caches(), esgf_stac.note_writer() FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac.item_before_row() IS 'trigger of item: checks the form of a row, derives its columns and gives its version';
COMMENT ON FUNCTION esgf_stac.item_after_row() IS 'trigger of item: asks for the rights of a change and writes its event';
COMMENT ON FUNCTION esgf_stac.item_after_statement() IS 'trigger of item: takes latest from what a statement has superseded';
COMMENT ON FUNCTION esgf_stac.collection_before_row() IS 'trigger of collection: checks a row and gives its version';
COMMENT ON FUNCTION esgf_stac.collection_after_row() IS 'trigger of collection: writes the event of a change';
COMMENT ON FUNCTION esgf_stac.before_statement() IS 'trigger: refuses a statement in maintenance, unless it is an administrator''s or its transaction has begun to write before';
COMMENT ON FUNCTION esgf_stac.refuse_removal() IS 'trigger: refuses DELETE and TRUNCATE, with its argument as the hint';
COMMENT ON FUNCTION esgf_stac.drop_caches() IS 'trigger: tells every session that rows of the table have changed';
COMMENT ON FUNCTION esgf_stac.note_writer() IS 'trigger: has a row say which transaction wrote it, as its header does';
