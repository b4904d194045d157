\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- Streams: rows, publications, and which events a filtered one is in.
SELECT plan(68);

SELECT is(esgf_stac.create_stream('all'), 'esgf_stac_all', 'a stream of everything');
SELECT is(esgf_stac.create_stream('mpi', ARRAY['CMIP6', 'CMIP7'], '$.properties."cmip6:institution_id" == "MPI-M"'), 'esgf_stac_mpi', 'a filtered one');
SELECT is((SELECT array_agg(pubname::text ORDER BY pubname) FROM pg_publication WHERE pubname LIKE 'esgf%'), ARRAY['esgf_stac_all', 'esgf_stac_mpi'], 'each has a publication');
SELECT row_eq($$SELECT pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication WHERE pubname = 'esgf_stac_mpi'$$, ROW (true, false, false, false), 'of inserts only');
SELECT is((SELECT attnames::text[] FROM pg_publication_tables WHERE pubname = 'esgf_stac_all'),
          ARRAY['seq', 'id', 'aggregatetype', 'aggregateid', 'type', 'version', 'payload', 'occurred_at', 'reason', 'batch',
                'streams', 'left_streams', 'request_id', 'xid', 'validated_against', 'warnings'], 'without request and identity');
SELECT results_eq('SELECT name, warning FROM esgf_stac.stream_status ORDER BY name',
                  $$VALUES ('all', 'no slot: nobody has begun to read'), ('mpi', 'no slot: nobody has begun to read')$$, 'stream_status shows them');

-- Judging.
SELECT lives_ok($$SELECT esgf_stac.create_item('CMIP6', pg_temp.document('s.v1'))$$, 'an item that satisfies the filter');
SELECT row_eq($$SELECT streams, left_streams FROM pg_temp.last_event('s.v1')$$, ROW (ARRAY['mpi'], NULL::text[]), 'is in the stream');
SELECT lives_ok($$SELECT esgf_stac.patch_item('CMIP6', 's.v1', '{"properties": {"cmip6:institution_id": "DKRZ"}}')$$, 'that ceases to');
SELECT row_eq($$SELECT streams, left_streams FROM pg_temp.last_event('s.v1')$$, ROW (NULL::text[], ARRAY['mpi']), 'leaves it');
SELECT lives_ok($$SELECT esgf_stac.patch_item('CMIP6', 's.v1', '{"properties": {"title": "t"}}')$$, 'that changes outside');
SELECT row_eq($$SELECT streams, left_streams FROM pg_temp.last_event('s.v1')$$, ROW (NULL::text[], NULL::text[]), 'does not concern it');
SELECT lives_ok($$SELECT esgf_stac.patch_item('CMIP6', 's.v1', '{"properties": {"cmip6:institution_id": "MPI-M"}}')$$, 'that satisfies it again');
SELECT row_eq($$SELECT streams, left_streams FROM pg_temp.last_event('s.v1')$$, ROW (ARRAY['mpi'], NULL::text[]), 'comes back');
SELECT lives_ok($$SELECT esgf_stac.retract_item('CMIP6', 's.v1')$$, 'that is retracted');
SELECT row_eq($$SELECT streams, left_streams, payload -> 'assets' FROM pg_temp.last_event('s.v1')$$, ROW (ARRAY['mpi'], NULL::text[], '{}'::jsonb), 'stays, without assets');
SELECT lives_ok($$SELECT esgf_stac.delete_item('CMIP6', 's.v1')$$, 'that is deleted');
SELECT row_eq($$SELECT streams, left_streams, payload FROM pg_temp.last_event('s.v1')$$, ROW (NULL::text[], ARRAY['mpi'], NULL::jsonb), 'leaves it');
DO $$ BEGIN PERFORM esgf_stac.create_collection(pg_temp.collection_document('CORDEX')); END $$;
SELECT lives_ok($$SELECT esgf_stac.create_item('CORDEX', pg_temp.document('s.v1', '{"collection": "CORDEX"}'))$$, 'an item of another collection');
SELECT row_eq($$SELECT streams FROM esgf_stac.outbox WHERE aggregatetype = 'CORDEX'$$, ROW (NULL::text[]), 'is not in a stream of these');

-- What stream_status counts is what the publication lets through.
CREATE FUNCTION pg_temp.published(stream text, collections text[], filtered boolean) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    events bigint;
BEGIN
    EXECUTE 'SELECT count(*) FROM esgf_stac.outbox WHERE ' || coalesce(esgf_stac_internal.row_filter(stream, collections, filtered), 'true') INTO events;
    RETURN events;
END $$;
SELECT lives_ok($$SELECT esgf_stac.create_stream('cordex', '{CORDEX}'), esgf_stac.create_stream('titled', filter => '$.properties.title == "t"'),
                  esgf_stac.create_item('CMIP6', pg_temp.document('titled.v1', '{"properties": {"title": "t", "datetime": "1800-01-01T00:00:00Z"}}'))$$, 'streams of each kind');
INSERT INTO esgf_stac.consumer (stream, system_identifier, timeline, lsn, confirmed, horizon, outbox_oid, delivering_since)
SELECT name, esgf_stac_internal.system_identifier(), 1, '0/0', '0/0', '0', outbox_oid, now() FROM esgf_stac.stream;
SELECT results_eq('SELECT name, lag_events, lag_events > 0 FROM esgf_stac.stream_status ORDER BY name',
                  'SELECT name, pg_temp.published(name, collections, filter IS NOT NULL), true FROM esgf_stac.stream ORDER BY name', 'have the events that their publications have');
DELETE FROM esgf_stac.consumer;
SELECT lives_ok($$SELECT esgf_stac.drop_stream('cordex'), esgf_stac.drop_stream('titled')$$, 'and go');

-- One that 0.1.0 made keeps its columns until it is refreshed; all else of it stays.
CREATE TEMPORARY TABLE fresh AS SELECT to_jsonb(t) - 'attnames' AS rest FROM pg_publication_tables t WHERE pubname = 'esgf_stac_mpi';
ALTER PUBLICATION esgf_stac_mpi SET TABLE esgf_stac.outbox (seq, id, aggregatetype, aggregateid, type, version, payload, occurred_at, reason, batch, streams, left_streams, request_id, xid)
    WHERE (((aggregatetype = ANY ('{CMIP6,CMIP7}'::text[])) OR ((aggregatetype = 'collection'::text) AND (aggregateid = ANY ('{CMIP6,CMIP7}'::text[]))))
           AND ((aggregatetype = 'collection'::text) OR (streams @> ARRAY['mpi'::text]) OR (left_streams @> ARRAY['mpi'::text])));
SELECT results_eq($$SELECT subject, detail, cure FROM esgf_stac.doctor() WHERE hazard IN ('columns', 'publication')$$,
    $$VALUES ('mpi', 'an earlier version made it: its publication lacks validated_against, warnings', 'SELECT esgf_stac.refresh_stream(''mpi''); -- if a subscription reads it, add them to its table before')$$, 'doctor() names a stream of an earlier version');
SELECT lives_ok(cure, 'and its cure') FROM esgf_stac.doctor() WHERE hazard = 'columns';
SELECT is_empty($$SELECT hazard FROM esgf_stac.doctor() WHERE hazard IN ('columns', 'publication')$$, 'helps');
SELECT is((SELECT attnames FROM pg_publication_tables WHERE pubname = 'esgf_stac_mpi'), (SELECT attnames FROM pg_publication_tables WHERE pubname = 'esgf_stac_all'), 'with the columns of a new one');
SELECT is((SELECT to_jsonb(t) - 'attnames' FROM pg_publication_tables t WHERE pubname = 'esgf_stac_mpi'), (SELECT rest FROM fresh), 'and its own rows');
SELECT lives_ok($$SELECT esgf_stac.refresh_stream('mpi'), esgf_stac.refresh_stream('all')$$, 'once more is no error');
SELECT is(esgf_stac_internal.publication_problem('all'), NULL, 'nor a change');
ALTER PUBLICATION esgf_stac_all SET TABLE esgf_stac.outbox (seq, id, aggregatetype, aggregateid, type, version, payload, occurred_at);
SELECT pg_temp.refused($$SELECT esgf_stac.refresh_stream('all')$$, 'PT400', 'operation-not-permitted', 'one with fewer columns than 0.1.0 had');
ALTER PUBLICATION esgf_stac_all SET TABLE esgf_stac.outbox (seq, id, aggregatetype, aggregateid, type, version, payload, occurred_at, reason, batch, streams, left_streams, request_id, request, xid);
SELECT pg_temp.refused($$SELECT esgf_stac.refresh_stream('all')$$, 'PT400', 'operation-not-permitted', 'or one that publishes what none does');
ALTER PUBLICATION esgf_stac_all SET TABLE esgf_stac.outbox (seq, id, aggregatetype, aggregateid, type, version, payload, occurred_at, reason, batch, streams, left_streams, request_id, xid) WHERE (seq > 7);
SELECT pg_temp.refused($$SELECT esgf_stac.refresh_stream('all')$$, 'PT400', 'operation-not-permitted', 'or has lacked events');
SELECT results_eq($$SELECT hazard FROM esgf_stac.doctor() WHERE subject = 'all'$$, $$VALUES ('publication')$$, 'is told by doctor() as before');
SELECT lives_ok($$SELECT esgf_stac.drop_stream('all'), esgf_stac.create_stream('all')$$, 'whose cure is another');

-- A stream that is dropped is judged no more.
SELECT lives_ok($$SELECT esgf_stac.drop_stream('mpi')$$, 'drop_stream');
SELECT is_empty($$SELECT FROM pg_publication WHERE pubname = 'esgf_stac_mpi'$$, 'takes the publication with it');
SELECT lives_ok($$SELECT esgf_stac.create_item('CMIP6', pg_temp.document('t.v1'))$$, 'and later events');
SELECT row_eq($$SELECT streams FROM pg_temp.last_event('t.v1')$$, ROW (NULL::text[]), 'know it no more');

-- A filter never keeps an item from being written: times without a zone are in
-- UTC, whoever writes; a variable, which 0.1.0 took, is never satisfied.
SELECT lives_ok($$SELECT esgf_stac.create_stream('since', filter => '$.properties.datetime.datetime() >= "1850-01-01 12:00".datetime("yyyy-mm-dd HH24:MI")')$$, 'a filter that compares times');
INSERT INTO esgf_stac.stream (name, filter, outbox_oid) VALUES ('variable', '$.properties.title == "t" && $.properties.source != $source', 'esgf_stac.outbox'::regclass);
SET LOCAL timezone = 'Asia/Tokyo';
SELECT results_eq($$SELECT (SELECT streams FROM esgf_stac.create_item('CMIP6', pg_temp.document(id, jsonb_build_object('properties', jsonb_build_object('title', 't', 'datetime', d)))), pg_temp.last_event(id)), id
                      FROM (VALUES (1, 'tz1.v1', '1850-01-01T12:00:00+00:00'), (2, 'tz2.v1', '1850-01-01T11:59:59+00:00'), (3, 'tz3.v1', '1850-01-01T13:00:00+01:00'), (4, 'tz4.v1', NULL)) v(n, id, d) WHERE d IS NOT NULL ORDER BY n$$,
                  $$VALUES (ARRAY['since'], 'tz1.v1'), (NULL, 'tz2.v1'), (ARRAY['since'], 'tz3.v1')$$, 'judges them alike in every zone');
SELECT results_eq($$SELECT item_id FROM esgf_stac_internal.stream_items('since', NULL, NULL, 10)$$, $$VALUES ('tz1.v1'), ('tz3.v1')$$, 'and for the relay''s snapshot');
SELECT is_empty($$SELECT FROM esgf_stac_internal.stream_items('variable', NULL, NULL, 10)$$, 'that of a variable holds nothing');
SELECT row_eq($$SELECT esgf_stac_internal.stream_item_count('since'), esgf_stac_internal.stream_item_count('variable')$$, ROW (2::bigint, 0::bigint), 'a snapshot knows how much that is');
SELECT is((SELECT subject FROM esgf_stac.doctor() WHERE hazard = 'filter'), 'variable', 'which doctor() says');
RESET timezone;
DELETE FROM esgf_stac.stream WHERE name = 'variable';
SELECT lives_ok($$SELECT esgf_stac.drop_stream('since')$$, 'and the stream goes');

-- What is refused.
SELECT pg_temp.refused(format('SELECT esgf_stac.create_stream(%L)', n), 'PT400', 'bad-request', 'a stream named ' || coalesce(quote_literal(left(n, 10)), 'NULL'))
  FROM unnest(ARRAY['', 'East', 'a-b', repeat('x', 51), NULL]) n;
SELECT pg_temp.refused($$SELECT esgf_stac.create_stream('all')$$, 'PT400', 'operation-not-permitted', 'a stream that is there');
SELECT pg_temp.refused(format('SELECT esgf_stac.create_stream(%L, filter => %L)', 's', f), 'PT400', 'bad-request', 'no predicate: ' || f)
  FROM unnest(ARRAY['$.properties', '$.properties ? (@.x == 1)', 'strict $.properties', '$.a == $b', '$.a == 1 && $.b == $"a \" $b"', '$ ? (@.a == $c) == 1']) f;
SELECT is(esgf_stac_internal.has_variable(f::jsonpath), false, 'no variable: ' || f)
  FROM unnest(ARRAY['$."$a" == "$b"', '$.a == "\"$x\""', '$.**{1 to 2} == 1', '$[*].a like_regex "^$"', '($).a == 1', '$.a[$.b] == 1']) f;
SELECT pg_temp.refused($$SELECT esgf_stac.create_stream('s', '{}')$$, 'PT400', 'bad-request', 'no collections');
SELECT pg_temp.refused($$SELECT esgf_stac.drop_stream('nobody')$$, 'PT400', 'bad-request', 'dropping a stream that is not there');
SELECT is((SELECT count(*) FROM esgf_stac.stream), 1::bigint, 'none of these left a stream');
SELECT is((SELECT count(*) FROM pg_publication WHERE pubname LIKE 'esgf%'), 1::bigint, 'or a publication');

SELECT * FROM finish();
ROLLBACK;
