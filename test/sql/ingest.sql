\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set ingest :srcdir '/ingest.psql'
\i :ingest
-- Events come in: what each asks is done once, as whoever it names, and kept with what became of it.
SELECT * FROM no_plan();

SELECT lives_ok($$SELECT esgf_stac.create_source('s')$$, 'a source');
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(0, pg_temp.event('e0', pg_temp.post('a.v1')))), '403 a.v1 missing-permission', 'which holds no right, whoever calls');
DO $$ BEGIN
    PERFORM esgf_stac.grant_access('source:s', role, scope, '*') FROM (VALUES ('CREATE', 'project'), ('UPDATE', 'project'), ('DELETE', 'project'), ('CREATE', 'node'), ('UPDATE', 'node')) r (role, scope);
END $$;
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(1, pg_temp.event('e1', pg_temp.post('a.v1')), pg_temp.event('e2', pg_temp.payload('PATCH', 'a.v1', '{"patch": {"properties": {"title": "t"}}}')),
          pg_temp.event('e3', pg_temp.payload('PUT', 'a.v1', jsonb_build_object('item', pg_temp.document('a.v1')))), pg_temp.event('e4', pg_temp.payload('DELETE', 'a.v1')),
          pg_temp.event('e5', pg_temp.payload('PATCH', 'b.v1', '{"patch": {"properties": {"title": "t"}}}')))),
          '201 a.v1 1 published, 200 a.v1 2 updated, 200 a.v1 3 updated, 200 a.v1 4 deleted, 404 b.v1 item-does-not-exist', 'each method');
SELECT * FROM finish();
ROLLBACK;
