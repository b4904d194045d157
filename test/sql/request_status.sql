\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set ingest :srcdir '/ingest.psql'
\i :ingest
-- What became of ingested events: their refusals are kept, and asked after by their author.
SELECT plan(17);
CREATE ROLE esgf_stac_test_gateway IN ROLE esgf_stac_gateway;
DO $$ BEGIN
    PERFORM esgf_stac.create_source('s'), esgf_stac.create_stream('east');
    PERFORM esgf_stac.grant_access('source:s', role, scope, '*') FROM (VALUES ('CREATE', 'project'), ('UPDATE', 'project'), ('CREATE', 'node')) r (role, scope);
END $$;
SELECT is(pg_temp.ingest('s', 0, pg_temp.messages(0, pg_temp.event('e0', pg_temp.post('a.v1')), pg_temp.event('e1', pg_temp.post('a.v1')), pg_temp.event('e2', pg_temp.payload('PATCH', 'a.v1', '{"patch": {"properties": {"n": 1}}}')),
    pg_temp.event('e3', pg_temp.payload('PATCH', 'a.v1', '{"patch": {"properties": {"n": 1}}}')), pg_temp.event('e4', pg_temp.post('a.v2')))),
    '201 a.v1 1 published, 409 a.v1 item-already-exists, 200 a.v1 2 updated, 200 a.v1 2, 201 a.v2 1 published', 'events come in');
SELECT is(pg_temp.ingest('s', 1, pg_temp.messages(0, pg_temp.event('e0', pg_temp.post('a.v1')), pg_temp.event('e1', pg_temp.post('a.v1')))), '201 a.v1 1 published, 409 a.v1 item-already-exists', 'two of them again');
CREATE FUNCTION pg_temp.status_of(request_id text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(concat_ws(' ', status, item_id, version, action, changed, problem ->> 'type'), ', '), 'nothing') FROM esgf_stac.request_status(request_id) $$;
SELECT is(pg_temp.status_of('r-e0'), '201 a.v1 1 published t', 'a change is one row, repeated or not');
SELECT is(pg_temp.status_of('r-e1'), '409 a.v1 https://esgf.io/publication/errors/item-already-exists', 'so is a refusal, with its problem');
SELECT is(pg_temp.status_of('r-e3'), '200 a.v1 2 f', 'what changed nothing');
SELECT is(pg_temp.status_of('r-e4'), '201 a.v2 1 published t, 200 a.v1 3 superseded t', 'and what a request has brought with it');
SELECT results_eq($$SELECT item_id, version, state FROM esgf_stac.delivery_status(request_id => 'r-e4')$$, $$VALUES ('a.v2', 1::bigint, 'pending'), ('a.v1', 3, 'pending')$$, 'which are delivered');
SELECT is_empty($$SELECT * FROM esgf_stac.delivery_status(request_id => 'r-e1')$$, 'a refusal is not');

-- A repetition under another request is known by that as well.
UPDATE esgf_stac.inbox SET request_id = 'r-again' WHERE partition = 1;
SELECT is(pg_temp.status_of('r-again'), '201 a.v1 1 published t, 409 a.v1 https://esgf.io/publication/errors/item-already-exists', 'by its own request');
SELECT is(pg_temp.status_of('r-e0'), '201 a.v1 1 published t', 'as the first by its');

-- Done again, a refusal is what became of it then.
UPDATE esgf_stac.inbox SET request_id = 'r-e1' WHERE partition = 1 AND event_id = 'e1';
SELECT is((SELECT count(*) FROM esgf_stac.redrive_inbox('s')), 1::bigint, 'it is done again');
SELECT is(pg_temp.status_of('r-e1'), '409 a.v1 https://esgf.io/publication/errors/item-already-exists', 'one row, still');

-- Poison has no author: administrators see it.
UPDATE esgf_stac.inbox SET identity = NULL WHERE event_id = 'e3';
SET LOCAL ROLE esgf_stac_test_gateway;
SELECT esgf_stac.set_identity('{"sub": "ada", "iss": "https://iss", "client_id": "c1"}') \gset ignored_
SELECT is(pg_temp.status_of('r-e1'), '409 a.v1 https://esgf.io/publication/errors/item-already-exists', 'an author sees his own');
SELECT is(pg_temp.status_of('r-e3'), 'nothing', 'and not what names none');
SELECT esgf_stac.set_identity('{"sub": "bob", "iss": "https://iss", "client_id": "c1"}') \gset ignored_
SELECT is(pg_temp.status_of('r-e1'), 'nothing', 'nor another''s');
SELECT is(pg_temp.status_of('r-e0'), 'nothing', 'nor what another has changed');
RESET ROLE;
SELECT is(pg_temp.status_of('r-e3'), '200 a.v1 2 f', 'administrators do');

SELECT * FROM finish();
ROLLBACK;
