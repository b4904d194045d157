\echo Use "ALTER EXTENSION esgf_stac UPDATE" to load this file. \quit

-- What the parts of sql/install cannot bring to an extension of 0.1.0. Make puts
-- them behind this file, but for schemas, new roles and types, with CREATE OR
-- REPLACE FUNCTION. So this is the place of new schemas, roles and types, of
-- functions that go, and of those whose arguments or result change: drop them.

CREATE SCHEMA esgf_stac_internal;
GRANT USAGE ON SCHEMA esgf_stac_internal TO esgf_stac_reader, esgf_stac_relay;

DROP FUNCTION esgf_stac.apply_patch(jsonb, jsonb);
ALTER FUNCTION esgf_stac.attach_catalogue() SET SCHEMA esgf_stac_internal;
ALTER FUNCTION esgf_stac.calling_role() SET SCHEMA esgf_stac_internal;
DROP FUNCTION esgf_stac.collection_receipt(text, bigint);
ALTER FUNCTION esgf_stac.delete_events(timestamptz, xid8, int) SET SCHEMA esgf_stac_internal;
DROP FUNCTION esgf_stac.event_is_known(jsonb);
ALTER FUNCTION esgf_stac.event_metadata(text, jsonb) SET SCHEMA esgf_stac_internal;
ALTER FUNCTION esgf_stac.is_predicate(jsonpath) SET SCHEMA esgf_stac_internal;
ALTER FUNCTION esgf_stac.lock_collection(text) SET SCHEMA esgf_stac_internal;
ALTER FUNCTION esgf_stac.one_line(text) SET SCHEMA esgf_stac_internal;
ALTER FUNCTION esgf_stac.past_version(text, text, bigint) SET SCHEMA esgf_stac_internal;
ALTER FUNCTION esgf_stac.publication_problem(text) SET SCHEMA esgf_stac_internal;
DROP FUNCTION esgf_stac.redrive_round(text);
ALTER FUNCTION esgf_stac.redrive_states(text, jsonb) SET SCHEMA esgf_stac_internal;
ALTER FUNCTION esgf_stac.require_catalogue() SET SCHEMA esgf_stac_internal;
ALTER FUNCTION esgf_stac.stream_items(text, text, text, int) SET SCHEMA esgf_stac_internal;
ALTER FUNCTION esgf_stac.system_identifier() SET SCHEMA esgf_stac_internal;

DROP FUNCTION esgf_stac.changes(text, int);
