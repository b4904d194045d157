\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- Iteration jobs as the database has them: starting, steering, what is refused, and the pages that a relay reads. What relays make of them is in test/t/170 and 171.
SELECT plan(110);
\set realistic :srcdir '/realistic.sql'
\i :realistic

CREATE ROLE esgf_stac_test_admin IN ROLE esgf_stac_admin;
CREATE ROLE esgf_stac_test_relay IN ROLE esgf_stac_relay;
DO $$ BEGIN
    PERFORM esgf_stac.create_collection(pg_temp.collection_document('CORDEX'));
    PERFORM esgf_stac.create_stream('all'), esgf_stac.create_stream('mpi', '{CMIP6}', '$.properties."cmip6:institution_id" == "MPI-M"');
    PERFORM esgf_stac.create_item('CMIP6', realistic.item('a.v1', 5)), esgf_stac.create_item('CMIP6', realistic.item('b.v1', 40)),
            esgf_stac.create_item('CMIP6', realistic.item('c.v1', 200)), esgf_stac.create_item('CMIP6', realistic.item('d.v1', 5, '{"cmip6:institution_id": "DKRZ", "title": "t"}')),
            esgf_stac.create_item('CMIP6', realistic.item('e.v1', 5)), esgf_stac.create_item('CORDEX', pg_temp.document('f.v1', '{"collection": "CORDEX"}'));
    PERFORM esgf_stac.delete_item('CMIP6', 'e.v1'), esgf_stac.retract_item('CMIP6', 'b.v1');
END $$;
CREATE FUNCTION pg_temp.job(job uuid) RETURNS esgf_stac.iteration_job LANGUAGE sql AS $$ SELECT j FROM esgf_stac.iteration_job j WHERE id = job $$;

-- Who may.
SELECT is(has_function_privilege(r, f, 'EXECUTE'), r = 'esgf_stac_admin', r || ' and ' || f)
  FROM unnest(ARRAY['esgf_stac_gateway', 'esgf_stac_admin', 'esgf_stac_relay', 'esgf_stac_ingest']) r,
       unnest(ARRAY['esgf_stac.start_iteration(text,text,text,text[],jsonpath,text,timestamptz,text,int)', 'esgf_stac.pause_iteration(uuid)', 'esgf_stac.resume_iteration(uuid)', 'esgf_stac.cancel_iteration(uuid)', 'esgf_stac.throttle_iteration(uuid,int)']) f;
SELECT results_eq($$SELECT r, has_table_privilege(r, 'esgf_stac.iteration_job', 'SELECT'), has_table_privilege(r, 'esgf_stac.iteration_job', 'UPDATE'), has_table_privilege(r, 'esgf_stac.iteration_job', 'INSERT') OR has_table_privilege(r, 'esgf_stac.iteration_job', 'DELETE')
                     FROM unnest(ARRAY['esgf_stac_reader', 'esgf_stac_writer', 'esgf_stac_admin', 'esgf_stac_relay']) r$$,
                  $$VALUES ('esgf_stac_reader', false, false, false), ('esgf_stac_writer', false, false, false), ('esgf_stac_admin', true, false, false), ('esgf_stac_relay', true, true, false)$$, 'relays read and update the table');

-- What is refused leaves no job.
SELECT pg_temp.refused('SELECT esgf_stac.start_iteration(' || arguments || ')', 'PT400', 'bad-request', 'no job: ' || arguments)
  FROM unnest(ARRAY['NULL', $$'nobody'$$, $$'all', ''$$, $$'all', NULL$$, $$'all', 'a b'$$, $$'all', E'x\n'$$, $$'all', repeat('x', 65)$$, $$'all', 'iteration.started'$$, $$'all', 'iteration.x'$$, $$'all', 'item.updated'$$, $$'all', 'item.seeded'$$,
                    $$'all', 'item.reissued'$$, $$'all', 'collection.deleted'$$, $$'all', collections => '{}'$$, $$'all', collections => '{NULL}'$$, $$'all', filter => '$.properties'$$, $$'all', filter => '$.a == $b'$$,
                    $$'all', payload => 'ids'$$, $$'all', payload => NULL$$, $$'all', max_rate => 0$$, $$'all', max_rate => -1$$]) arguments;
SELECT pg_temp.refused(format('SELECT esgf_stac.%s', call), 'PT404', 'job-does-not-exist', 'no such job: ' || call)
  FROM unnest(ARRAY['pause_iteration(NULL)', $$pause_iteration('00000000-0000-0000-0000-000000000000')$$, 'resume_iteration(NULL)', 'cancel_iteration(NULL)', 'throttle_iteration(NULL, 1)']) call;
SELECT is_empty('SELECT FROM esgf_stac.iteration_job', 'none of these left a job');

-- Its life, as far as no worker has it.
SET LOCAL ROLE esgf_stac_test_admin;
SELECT esgf_stac.start_iteration('all', 'reindex.2026', 'topic', '{CMIP6}', '$.properties.title == "t"', 'a.org', '2026-01-01T00:00:00Z', 'id', 10) AS job \gset
SELECT row_eq(format($$SELECT stream, event_type, target, collections, filter::text, node, changed_since, payload, max_rate, state, position, items_sent, items_total, as_of, started, heartbeat, finished, error FROM esgf_stac.iteration_job WHERE id = %L$$, :'job'),
              ROW ('all'::text, 'reindex.2026'::text, 'topic'::text, '{CMIP6}'::text[], '($."properties"."title" == "t")'::text, 'a.org'::text, '2026-01-01T00:00:00Z'::timestamptz, 'id'::text, 10, 'pending'::text,
                   NULL::text[], 0::bigint, NULL::bigint, NULL::timestamptz, NULL::timestamptz, NULL::timestamptz, NULL::timestamptz, NULL::text), 'a job');
SELECT is((esgf_stac.resume_iteration(:'job')).state, 'pending', 'resuming what is not paused changes nothing');
SELECT is((esgf_stac.pause_iteration(:'job')).state, 'paused', 'it is paused');
SELECT is((SELECT ROW (p.*)::text FROM esgf_stac.pause_iteration(:'job') p), (SELECT ROW (j.*)::text FROM esgf_stac.iteration_job j), 'pausing the paused changes nothing; the answer is the row');
SELECT is((esgf_stac.throttle_iteration(:'job', 7)).max_rate, 7, 'throttled');
SELECT pg_temp.refused(format('SELECT esgf_stac.throttle_iteration(%L, 0)', :'job'), 'PT400', 'bad-request', 'but not to nothing');
SELECT is((esgf_stac.throttle_iteration(:'job', NULL)).max_rate, NULL, 'and no more');
SELECT is((esgf_stac.resume_iteration(:'job')).state, 'pending', 'resumed');
SELECT row_eq(format($$SELECT state, finished IS NOT NULL FROM esgf_stac.cancel_iteration(%L)$$, :'job'), ROW ('cancelled'::text, true), 'what never began is finished at once');
SELECT pg_temp.refused(format('SELECT esgf_stac.%s', format(call, :'job')), 'PT409', 'job-finished', 'over: ' || call)
  FROM unnest(ARRAY['pause_iteration(%L)', 'resume_iteration(%L)', 'cancel_iteration(%L)', 'throttle_iteration(%L, 1)', 'throttle_iteration(%L, 0)']) call;
SELECT pg_temp.refused('SELECT esgf_stac_internal.take_iteration(NULL)', '42501', NULL, 'an administrator is no relay');
RESET ROLE;

-- A relay takes it: of this session it is then.
SELECT esgf_stac.start_iteration('mpi') AS mpi \gset
SET LOCAL ROLE esgf_stac_test_relay;
SELECT row_eq(format('SELECT state, position, writers FROM esgf_stac_internal.take_iteration(%L)', :'mpi'), ROW ('running'::text, NULL::text[], '{}'::text[]), 'a relay takes a job');
SELECT row_eq(format('SELECT state, items_total, as_of = started, heartbeat = started, finished FROM pg_temp.job(%L)', :'mpi'), ROW ('running'::text, 3::bigint, true, true, NULL::timestamptz), 'which then runs');
SELECT is((SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()), 1::bigint, 'a lock says whose it is');
SELECT results_eq(format('SELECT * FROM esgf_stac_internal.iteration_page(%L, 1000)', :'mpi'),
                  $$VALUES ('CMIP6', 'a.v1', 1::bigint), ('CMIP6', 'b.v1', 2), ('CMIP6', 'c.v1', 1), ('CORDEX', 'f.v1', NULL)$$, 'what is active and in the stream, and the last that was looked at');
SELECT results_eq(format('SELECT * FROM esgf_stac_internal.iteration_page(%L, 2)', :'mpi'), $$VALUES ('CMIP6', 'a.v1', 1::bigint), ('CMIP6', 'b.v1', 2), ('CMIP6', 'b.v1', NULL)$$, 'a page of two');
UPDATE esgf_stac.iteration_job SET position = '{CMIP6,b.v1}', items_sent = 2 WHERE id = :'mpi';
SELECT results_eq(format('SELECT * FROM esgf_stac_internal.iteration_page(%L, 1000)', :'mpi'), $$VALUES ('CMIP6', 'c.v1', 1::bigint), ('CORDEX', 'f.v1', NULL)$$, 'and what is behind it');
UPDATE esgf_stac.iteration_job SET position = '{CORDEX,f.v1}' WHERE id = :'mpi';
SELECT is_empty(format('SELECT FROM esgf_stac_internal.iteration_page(%L, 1000)', :'mpi'), 'at the end there is nothing');
UPDATE esgf_stac.iteration_job SET position = NULL WHERE id = :'mpi';
RESET ROLE;

-- The states.
SELECT results_eq(format($$SELECT place, aggregatetype, aggregateid, type, version, payload = (SELECT document FROM esgf_stac.published_item WHERE id = aggregateid), sendable FROM esgf_stac_internal.iteration_states(%L, '[[4, "CMIP6", "a.v1"], [5, "CMIP6", "b.v1"], [6, "CMIP6", "c.v1"], [7, "CMIP6", "nobody"]]') ORDER BY place$$, :'mpi'),
                  $$VALUES (4, 'CMIP6', 'a.v1', 'item.iterated', 1::bigint, true, true), (5, 'CMIP6', 'b.v1', 'item.iterated', 2, true, true), (6, 'CMIP6', 'c.v1', 'item.iterated', 1, true, true)$$, 'as they are published');
SELECT is((SELECT payload -> 'assets' FROM esgf_stac_internal.iteration_states(:'mpi', '[[0, "CMIP6", "b.v1"]]')), '{}'::jsonb, 'the retracted without assets');
DO $$ BEGIN
    PERFORM esgf_stac.patch_item('CMIP6', 'a.v1', '{"properties": {"title": "x"}}'), esgf_stac.patch_item('CMIP6', 'c.v1', '{"properties": {"cmip6:institution_id": "DKRZ"}}'), esgf_stac.delete_item('CMIP6', 'b.v1');
END $$;
SELECT results_eq(format($$SELECT place, type, version, payload IS NULL FROM esgf_stac_internal.iteration_states(%L, '[[1, "CMIP6", "b.v1"], [2, "CMIP6", "c.v1"], [3, "CMIP6", "a.v1"]]') ORDER BY place$$, :'mpi'),
                  $$VALUES (1, NULL, 3::bigint, true), (2, NULL, 2, true), (3, 'item.iterated', 2, false)$$, 'what is deleted or left the stream never comes');

-- What a job itself asks, beside its stream.
CREATE FUNCTION pg_temp.selected(job uuid) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(item_id, ' ' ORDER BY item_id) FROM esgf_stac_internal.iteration_page(job, 1000) WHERE version IS NOT NULL $$;
SELECT is(pg_temp.selected(esgf_stac.start_iteration('all')), 'a.v1 c.v1 d.v1 f.v1', 'everything');
SELECT is(pg_temp.selected(esgf_stac.start_iteration('all', collections => '{CORDEX,nobody}')), 'f.v1', 'of collections');
SELECT is(pg_temp.selected(esgf_stac.start_iteration('all', filter => '$.properties.title == "t"')), 'd.v1', 'by a filter');
SELECT is(pg_temp.selected(esgf_stac.start_iteration('all', node => 'nobody.org')), NULL, 'of a node that has nothing');
SELECT is(pg_temp.selected(esgf_stac.start_iteration('all', node => 'a.org')), (SELECT string_agg(id, ' ' ORDER BY id) FROM esgf_stac.published_item WHERE nodes @> '{a.org}'), 'of a node');
SELECT is(pg_temp.selected(esgf_stac.start_iteration('all', changed_since => (SELECT updated FROM esgf_stac.item WHERE id = 'd.v1'))), 'a.v1 c.v1 d.v1 f.v1', 'changed since');
SELECT is(pg_temp.selected(esgf_stac.start_iteration('all', changed_since => (SELECT updated FROM esgf_stac.item WHERE id = 'a.v1'))), 'a.v1 c.v1', 'or later');
SELECT is(pg_temp.selected(esgf_stac.start_iteration('mpi', filter => '$.properties.title == "x"', collections => '{CMIP6}')), 'a.v1', 'all at once');
SELECT esgf_stac.start_iteration('all', payload => 'id') AS ids \gset
SELECT row_eq(format($$SELECT type, version, payload, sendable FROM esgf_stac_internal.iteration_states(%L, '[[0, "CMIP6", "a.v1"]]')$$, :'ids'), ROW ('item.iterated'::text, 2::bigint, NULL::jsonb, true), 'ids alone');

-- 10,000 looked at, though nothing is found, end a page.
SELECT esgf_stac.start_iteration('all', node => 'nobody.org') AS none \gset
SET LOCAL session_replication_role = replica;
INSERT INTO esgf_stac.item (collection_id, id, version, base_id, latest, retracted, nodes, document, created, updated)
SELECT 'BULK', lpad(n::text, 5, '0'), 1, n, true, false, '{}', '{}', now(), now() FROM generate_series(1, 12000) n;
RESET session_replication_role;
SELECT results_eq(format('SELECT * FROM esgf_stac_internal.iteration_page(%L, 1000)', :'none'), $$VALUES ('BULK', '10000', NULL::bigint)$$, '10,000 looked at are a page, though nothing is found');
UPDATE esgf_stac.iteration_job SET position = '{BULK,10000}' WHERE id = :'none';
SELECT row_eq(format('SELECT count(*), max(item_id) FROM esgf_stac_internal.iteration_page(%L, 1000)', :'none'), ROW (1::bigint, 'f.v1'::text), 'the next goes on behind it');
SELECT row_eq($$SELECT count(*), count(version) FROM esgf_stac_internal.iteration_page((SELECT id FROM esgf_stac.iteration_job WHERE stream = 'all' AND node IS NULL AND filter IS NULL AND collections IS NULL AND changed_since IS NULL AND payload = 'document' AND state = 'pending'), 1000)$$,
              ROW (1001::bigint, 1000::bigint), 'as are 1,000 found');
SELECT is(esgf_stac_internal.iteration_total('(all,,$.a == 1,,)'), NULL, 'with a filter that of many is not known, analyzed or not');
ANALYZE esgf_stac.item;
DO $$ BEGIN PERFORM esgf_stac.create_stream('bulk', '{BULK}'); END $$;
SELECT is(esgf_stac_internal.iteration_total(s::esgf_stac_internal.selection) BETWEEN low AND high, true, 'where items are many, their number is estimated: ' || s)
  FROM (VALUES ('(all,,,,)', 11000, 13000), ('(all,{CMIP6},,,)', 1, 1000), ('(bulk,,,,)', 11000, 12100), ('(all,,,a.org,)', 1, 1000), ('(all,,,,2100-01-01)', 0, 10)) v(s, low, high);
CREATE FUNCTION pg_temp.items_read(call text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    item CONSTANT regclass := 'esgf_stac.item';
    before CONSTANT bigint := pg_stat_get_xact_tuples_returned(item) + pg_stat_get_xact_tuples_fetched(item);
BEGIN
    EXECUTE call;
    RETURN pg_stat_get_xact_tuples_returned(item) + pg_stat_get_xact_tuples_fetched(item) - before;
END
$$;
SELECT is(pg_temp.items_read('SELECT FROM esgf_stac_internal.' || call) < 50, true, 'no more items are read than are asked for: ' || split_part(call, '(', 1))
  FROM (VALUES (format('iteration_page(%L, 10)', :'ids')), (format($$iteration_states(%L, '[[0, "BULK", "00001"], [1, "BULK", "00002"]]')$$, :'ids')), ($$stream_items('all', 'BULK', '05000', 10)$$),
               ($$verification_page('all', 'BULK', '05000', 10)$$), ($$verification_states('all', '{BULK,BULK}', '{00001,00002}')$$), ($$redrive_states('all', '[["BULK", "00001", 1], ["BULK", "00002", 1]]')$$)) c(call);
UPDATE pg_class SET reltuples = 2000000 WHERE oid = 'esgf_stac.item'::regclass;
SELECT cmp_ok(esgf_stac_internal.stream_item_count('all'), '>', 1000000::bigint, 'so is that of a snapshot');
SET LOCAL session_replication_role = replica;
DELETE FROM esgf_stac.item WHERE collection_id = 'BULK';
RESET session_replication_role;

-- Its end, as others bring it about.
SELECT is((esgf_stac.cancel_iteration(:'mpi')).finished, NULL, 'what has begun is finished once that is said');
SELECT lives_ok($$SELECT esgf_stac.drop_stream('mpi')$$, 'a stream goes');
SELECT row_eq(format('SELECT state, error, finished IS NOT NULL FROM pg_temp.job(%L)', :'mpi'), ROW ('cancelled'::text, 'stream-dropped'::text, true), 'what was cancelled is finished then');
SELECT results_eq($$SELECT DISTINCT state, error, finished IS NOT NULL FROM esgf_stac.iteration_job WHERE stream = 'mpi' AND state <> 'cancelled'$$, $$VALUES ('failed', 'stream-dropped', true)$$, 'and what ran has failed');
SELECT results_eq($$SELECT DISTINCT state, error, finished FROM esgf_stac.iteration_job WHERE stream = 'all' AND state <> 'cancelled'$$, $$VALUES ('pending', NULL::text, NULL::timestamptz)$$, 'others go on');
SELECT is_empty(format('SELECT FROM esgf_stac_internal.take_iteration(%L)', :'mpi'), 'nobody takes it again');
SELECT lives_ok($$SELECT esgf_stac.prune_outbox('1 hour')$$, 'pruning');
SELECT isnt((SELECT count(*) FROM esgf_stac.iteration_job WHERE finished IS NOT NULL), 0::bigint, 'keeps what finished lately');
UPDATE esgf_stac.iteration_job SET finished = finished - interval '2 hours', created = created - interval '2 hours';
SELECT lives_ok($$SELECT esgf_stac.prune_outbox('1 hour')$$, 'later');
SELECT results_eq('SELECT DISTINCT state FROM esgf_stac.iteration_job', $$VALUES ('pending')$$, 'it removes that, and nothing else');
SELECT lives_ok('SELECT esgf_stac.adopt_catalogue()', 'a copy is adopted');
SELECT results_eq('SELECT DISTINCT state, error, finished IS NOT NULL FROM esgf_stac.iteration_job', $$VALUES ('failed', 'adopted', true)$$, 'and goes on with nothing');

SELECT * FROM finish();
ROLLBACK;
