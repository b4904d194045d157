\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- Items are judged by the schemas that they declare, as their collection asks.
SELECT plan(25);

-- Settings.
SELECT row_eq($$SELECT schema_mode, schemas, unknown_schemas FROM esgf_stac.collection$$, ROW ('off'::text, NULL::jsonb, 'ignore'::text), 'the defaults');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"schema_mode": "warn", "unknown_schemas": "refuse",
    "schemas": [{"prefix": "https://a.org/cmip6/", "required": true, "minimum": "v2.0.0"}, {"prefix": "https://a.org/cmip6/more/"}, {"prefix": "http://b.org/", "minimum": null}]}')$$, 'all at once');
SELECT row_eq($$SELECT schema_mode, schemas -> 1, unknown_schemas FROM esgf_stac.collection$$, ROW ('warn'::text, '{"prefix": "https://a.org/cmip6/more/"}'::jsonb, 'refuse'::text), 'are set');
SELECT is((SELECT count(*) FROM esgf_stac.outbox WHERE aggregateid = 'CMIP6'), 1::bigint, 'without an event');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"stamp_times": true}')$$, 'others');
SELECT isnt((SELECT schemas FROM esgf_stac.collection), NULL, 'leave them');
SELECT pg_temp.refused(format($$SELECT esgf_stac.configure_collection('CMIP6', %L)$$, format('{"%s}', s)), 'PT400', 'bad-request', s)
  FROM unnest(ARRAY['schema_mode": "on"', 'schema_mode": null', 'unknown_schemas": "allow"', 'schemas": {}', 'schemas": "https://a.org/"', 'schemas": [1]', 'schemas": [{}]',
      'schemas": [{"prefix": "https://a.org/cmip6"}]', 'schemas": [{"prefix": "ftp://a.org/"}]', 'schemas": [{"prefix": null}]', 'schemas": [{"prefix": "https://a.org/", "require": true}]',
      'schemas": [{"prefix": "https://a.org/", "required": "yes"}]', 'schemas": [{"prefix": "https://a.org/", "minimum": "latest"}]', 'schemas": [{"prefix": "https://a.org/", "minimum": 2}]',
      'schemas": [{"prefix": "https://a.org/"}, {"prefix": "https://a.org/"}]']) s;
SELECT pg_temp.refused($$UPDATE esgf_stac.collection SET schemas = '[{"prefix": "https://a.org"}, 7, {"prefix": "https://b.org/", "minimum": "2."}]'$$, 'PT400', 'bad-request', 'by hand, too');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"schemas": []}')$$, 'none');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"schemas": null, "schema_mode": "off", "unknown_schemas": "ignore"}')$$, 'null is none');
SELECT is((SELECT schemas FROM esgf_stac.collection), NULL, 'as before');

SELECT * FROM finish();
ROLLBACK;
