\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set access :srcdir '/access.psql'
\i :access
-- What became of requests, and which streams have delivered their events, by rows as relays write them. Waiting, and what relays and
-- slots do, is in test/t/150 to 153.
SELECT plan(71);

CREATE ROLE esgf_stac_test_gateway IN ROLE esgf_stac_gateway;
CREATE ROLE esgf_stac_test_admin IN ROLE esgf_stac_admin;
CREATE ROLE esgf_stac_test_reader IN ROLE esgf_stac_reader;
DO $$ BEGIN
    PERFORM esgf_stac.grant_access('group:x', 'UPDATE', 'project', 'CMIP6'), esgf_stac.grant_access('group:x', 'CREATE', 'project', 'CMIP6'),
            esgf_stac.grant_access('group:x', 'CREATE', 'node', '*');
    PERFORM esgf_stac.create_stream('all'), esgf_stac.create_stream('other', '{CORDEX}'), esgf_stac.create_stream('titled', filter => '$.properties.title starts with "T"'), esgf_stac.create_stream('unread');
END $$;
CREATE FUNCTION pg_temp.title(title text) RETURNS uuid LANGUAGE sql AS $$ SELECT event_id FROM esgf_stac.patch_item('CMIP6', 'i.v1', jsonb_build_object('properties', jsonb_build_object('title', title))) $$;
CREATE FUNCTION pg_temp.as_who(who text, batch text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    SELECT esgf_stac.set_identity(jsonb_build_object('sub', who, 'iss', 'https://iss', 'client_id', 'c', 'principals', '["group:x"]'::jsonb, 'request_id', 'r-' || who) || CASE WHEN batch IS NULL THEN '{}' ELSE jsonb_build_object('batch', batch) END) $$;

-- Versions 2 to 6 of i.v1: a title without T, one with, none, bob's, and ada's again; and a request under a key, and one that changes nothing.
SET LOCAL ROLE esgf_stac_test_gateway;
SELECT pg_temp.refused(query, 'PT401', 'identity-missing', 'without identity: ' || query) FROM unnest(ARRAY['SELECT * FROM esgf_stac.request_status(''x'')', 'SELECT * FROM esgf_stac.delivery_status(batch => ''x'')', 'SELECT * FROM esgf_stac.batch_status(''x'')']) query;
SELECT pg_temp.as_who('ada', 'campaign') \gset ignored_
SELECT pg_temp.title('a') AS e2 \gset
SELECT pg_temp.title('T') AS e3 \gset
SELECT pg_temp.title(NULL) AS e4 \gset
SELECT count(*) FROM esgf_stac.transact(jsonb_build_array(
    jsonb_build_object('method', 'POST', 'collection_id', 'CMIP6', 'request_id', 'key', 'item', pg_temp.access_document('k.v1')),
    jsonb_build_object('method', 'PATCH', 'collection_id', 'CMIP6', 'item_id', 'k.v1', 'request_id', 'nothing', 'patch', '{}'::jsonb))) \gset ignored_
SELECT pg_temp.as_who('bob') \gset ignored_
SELECT pg_temp.title('T') AS e5 \gset
SELECT pg_temp.as_who('ada') \gset ignored_
SELECT pg_temp.title('late') AS e6 \gset
RESET ROLE;
UPDATE esgf_stac.outbox SET xid = (version * 10)::text::xid8 WHERE aggregateid = 'i.v1';
UPDATE esgf_stac.outbox SET xid = '25' WHERE aggregateid <> 'i.v1';

-- The row that a relay writes, and its letters.
CREATE FUNCTION pg_temp.relay(stream text, delivered text, began text DEFAULT NULL, seeded timestamptz DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    INSERT INTO esgf_stac.consumer (stream, system_identifier, timeline, lsn, confirmed, horizon, outbox_oid, delivering_since, delivered, began, seeded)
    VALUES (stream, esgf_stac_internal.system_identifier(), 1, '0/0', '0/0', '15', 'esgf_stac.outbox'::regclass, now(), delivered::pg_snapshot, began::pg_snapshot, seeded)
    ON CONFLICT ON CONSTRAINT consumer_pkey DO UPDATE SET delivered = excluded.delivered, began = excluded.began, seeded = excluded.seeded $$;
CREATE FUNCTION pg_temp.letter(stream text, version bigint, settled boolean DEFAULT false) RETURNS void LANGUAGE sql AS $$
    INSERT INTO esgf_stac.dead_letter (stream, collection_id, item_id, version, reason, at, settled_at)
    VALUES (stream, 'CMIP6', 'i.v1', version, 'too long', '2000-01-01', CASE WHEN settled THEN now() END)
    ON CONFLICT (stream, collection_id, item_id, version) DO UPDATE SET settled_at = excluded.settled_at $$;
CREATE FUNCTION pg_temp.states(stream text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat(o.version, ' ', d.state), ', ' ORDER BY o.version) FROM esgf_stac.outbox o, esgf_stac.delivery_status(o.id) d WHERE o.aggregateid = 'i.v1' AND d.stream = $1 $$;

-- A relay's row.
SELECT is(pg_temp.states('all'), '1 pending, 2 pending, 3 pending, 4 pending, 5 pending, 6 pending', 'a stream without a reader: pending');
SELECT pg_temp.relay('all', NULL) \gset ignored_
SELECT is(pg_temp.states('all'), '1 delivered, 2 pending, 3 pending, 4 pending, 5 pending, 6 pending', 'the row of a relay of 0.1.0: what is older than its horizon');
SELECT pg_temp.relay('all', '25:45:30') \gset ignored_
SELECT is(pg_temp.states('all'), '1 delivered, 2 delivered, 3 pending, 4 delivered, 5 pending, 6 pending', 'what is visible in delivered, not what is older than its xmin');
SELECT pg_temp.relay('all', '55:55:', '25:25:') \gset ignored_
SELECT is(pg_temp.states('all'), '1 not-concerned, 2 not-concerned, 3 delivered, 4 delivered, 5 delivered, 6 pending', 'what is older than the stream does not concern it');
SELECT pg_temp.relay('all', '55:55:', '25:25:', now()) \gset ignored_
SELECT is(pg_temp.states('all'), '1 delivered, 2 delivered, 3 delivered, 4 delivered, 5 delivered, 6 pending', 'unless it was seeded');
SELECT pg_temp.relay('all', '55:55:', '26:26:', now()) \gset ignored_
SELECT is((SELECT state FROM esgf_stac.outbox o, esgf_stac.delivery_status(o.id) d WHERE o.aggregateid = 'CMIP6' AND stream = 'all'), 'not-concerned', 'by which it has items, and no collections');
SELECT pg_temp.relay('all', '45:45:', '45:45:', now()), pg_temp.letter('all', 4) \gset ignored_
SELECT is(pg_temp.states('all'), '1 refused, 2 refused, 3 refused, 4 refused, 5 pending, 6 pending', 'where the state that was seeded is refused, so is all that led to it');
SELECT pg_temp.relay('all', '55:55:', '45:45:', now()) \gset ignored_
SELECT is(pg_temp.states('all'), '1 delivered, 2 delivered, 3 delivered, 4 delivered, 5 delivered, 6 pending', 'until a later version is taken');
DELETE FROM esgf_stac.dead_letter;
SELECT pg_temp.relay('all', '55:55:', '25:25:', now()) \gset ignored_
UPDATE esgf_stac.consumer SET system_identifier = 1;
SELECT is(pg_temp.states('all'), '1 pending, 2 pending, 3 pending, 4 pending, 5 pending, 6 pending', 'the row of another cluster says nothing');
UPDATE esgf_stac.consumer SET system_identifier = esgf_stac_internal.system_identifier(), outbox_oid = 0;
SELECT is(pg_temp.states('all'), '1 pending, 2 pending, 3 pending, 4 pending, 5 pending, 6 pending', 'nor does one of before a restore');
UPDATE esgf_stac.consumer SET outbox_oid = 'esgf_stac.outbox'::regclass;
SELECT is(pg_temp.states('unread'), '1 pending, 2 pending, 3 pending, 4 pending, 5 pending, 6 pending', 'nor that of another stream');

-- What a stream carries, as its publication says.
SELECT pg_temp.relay('other', '99:99:') \gset ignored_
SELECT pg_temp.relay('titled', '45:45:') \gset ignored_
SELECT is(pg_temp.states('other'), '1 not-concerned, 2 not-concerned, 3 not-concerned, 4 not-concerned, 5 not-concerned, 6 not-concerned', 'another collection');
SELECT is(pg_temp.states('titled'), '1 not-concerned, 2 not-concerned, 3 delivered, 4 delivered, 5 pending, 6 pending', 'a filter: what enters it, and what leaves it');
CREATE FUNCTION pg_temp.differs(stream text) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE row_filter text := coalesce((SELECT p.rowfilter FROM pg_publication_tables p WHERE p.pubname = 'esgf_stac_' || stream), 'true');
BEGIN
    RETURN QUERY EXECUTE format('SELECT seq FROM esgf_stac.outbox WHERE coalesce(%s, false) <> ((SELECT state FROM esgf_stac.delivery_status(id) d WHERE d.stream = $1) <> ''not-concerned'')', row_filter) USING stream;
END $$;
SELECT is_empty(format('SELECT * FROM pg_temp.differs(%L)', name), name || ': as its row filter has it') FROM esgf_stac.stream ORDER BY name;

-- Refused, until the letter is settled or a later version is there.
SELECT pg_temp.relay('all', '65:65:') \gset ignored_
SELECT pg_temp.letter('all', 6) \gset ignored_
SELECT is(pg_temp.states('all'), '1 delivered, 2 delivered, 3 delivered, 4 delivered, 5 delivered, 6 refused', 'the newest version is refused');
SELECT results_eq(format('SELECT item_id, version, reason, since FROM esgf_stac.delivery_status(%L) WHERE stream = ''all''', :'e6'), $$VALUES ('i.v1', 6::bigint, 'too long', '2000-01-01'::timestamptz)$$, 'why, and since when');
SELECT results_eq(format('SELECT reason, since FROM esgf_stac.delivery_status(%L) WHERE stream = ''all''', :'e5'), $$SELECT NULL::text, occurred_at FROM esgf_stac.outbox WHERE aggregateid = 'i.v1' AND version = 5$$, 'else since when it happened');
SELECT pg_temp.letter('all', 4) \gset ignored_
SELECT is(pg_temp.states('all'), '1 delivered, 2 delivered, 3 delivered, 4 delivered, 5 delivered, 6 refused', 'one that a later version has overtaken is delivered');
SELECT pg_temp.letter('all', 5) \gset ignored_
SELECT is(pg_temp.states('all'), '1 delivered, 2 delivered, 3 delivered, 4 refused, 5 refused, 6 refused', 'if that was taken');
SELECT pg_temp.letter('titled', 4) \gset ignored_
SELECT is(pg_temp.states('titled'), '1 not-concerned, 2 not-concerned, 3 delivered, 4 refused, 5 pending, 6 pending', 'a later one that is yet to be delivered does not count');
SELECT pg_temp.relay('titled', '45:60:50') \gset ignored_
SELECT is(pg_temp.states('titled'), '1 not-concerned, 2 not-concerned, 3 delivered, 4 refused, 5 pending, 6 pending', 'nor');
SELECT pg_temp.relay('titled', '45:61:50,60') \gset ignored_
SELECT is(pg_temp.states('titled'), '1 not-concerned, 2 not-concerned, 3 delivered, 4 refused, 5 pending, 6 pending', 'does any other');
SELECT pg_temp.letter('all', 6, true) \gset ignored_
SELECT is(pg_temp.states('all'), '1 delivered, 2 delivered, 3 delivered, 4 delivered, 5 delivered, 6 delivered', 'a settled letter is none, also for those before');
UPDATE esgf_stac.consumer SET system_identifier = 1 WHERE stream = 'titled';
SELECT is(pg_temp.states('titled'), '1 not-concerned, 2 not-concerned, 3 pending, 4 pending, 5 pending, 6 pending', 'letters of another cluster''s row say nothing');
INSERT INTO esgf_stac.dead_letter (stream, collection_id, version, reason) VALUES ('all', 'CMIP6', 1, 'no collections');
SELECT is((SELECT state FROM esgf_stac.outbox o, esgf_stac.delivery_status(o.id) d WHERE o.aggregateid = 'CMIP6' AND stream = 'all'), 'refused', 'a collection''s event is refused, too');
SELECT results_eq($$SELECT collection_id, item_id FROM esgf_stac.outbox o, esgf_stac.delivery_status(o.id) d WHERE o.aggregateid = 'CMIP6' AND stream = 'all'$$, $$VALUES ('CMIP6', NULL::text)$$, 'which has no item');

-- By request and by batch.
SELECT results_eq($$SELECT status, collection_id, item_id, version, changed, action, event_id IS NULL, problem FROM esgf_stac.request_status('key')$$,
    $$VALUES (201, 'CMIP6', 'k.v1', 1::bigint, true, 'published', false, NULL::jsonb)$$, 'a request by its key');
SELECT results_eq($$SELECT status, collection_id, item_id, version, changed, action, event_id IS NULL, problem FROM esgf_stac.request_status('nothing')$$,
    $$VALUES (200, 'CMIP6', 'k.v1', 1::bigint, false, NULL, true, NULL::jsonb)$$, 'one that changed nothing');
SELECT results_eq($$SELECT status, item_id, version, action FROM esgf_stac.request_status('r-ada')$$,
    $$VALUES (200, 'i.v1', 2::bigint, 'updated'), (200, 'i.v1', 3, 'updated'), (200, 'i.v1', 4, 'updated'), (201, 'k.v1', 1, 'published'), (200, 'i.v1', 6, 'updated')$$, 'by the identity''s request, oldest first');
SELECT is_empty($$SELECT * FROM esgf_stac.request_status('r-none')$$, 'one that never was');
UPDATE esgf_stac.outbox SET request_id = 'key' WHERE aggregateid = 'k.v1';
SELECT is((SELECT count(*) FROM esgf_stac.request_status('key')), 1::bigint, 'a change that stands in two tables is one row');
SELECT results_eq($$SELECT event_id, item_id, version, stream FROM esgf_stac.delivery_status(request_id => 'r-ada')$$,
    format($$SELECT e.id, 'i.v1', e.version, s.name FROM (VALUES (%L::uuid, 2::bigint), (%L, 3), (%L, 4), (%L, 6)) e(id, version), esgf_stac.stream s ORDER BY e.version, s.name$$, :'e2', :'e3', :'e4', :'e6'), 'a row for each event and stream, in their order');
SELECT is((SELECT count(*) FROM esgf_stac.delivery_status(request_id => 'nothing')), 0::bigint, 'none where there is no event');
SELECT results_eq($$SELECT * FROM esgf_stac.batch_status('campaign')$$,
    $$VALUES ('all', 'delivered', 2::bigint), ('other', 'not-concerned', 2), ('titled', 'not-concerned', 1), ('titled', 'pending', 1), ('unread', 'pending', 2)$$, 'of each item the newest event in the batch');
SELECT is((SELECT count(*) FROM esgf_stac.delivery_status(batch => 'campaign')), 16::bigint, 'all events of a batch');
SELECT is_empty($$SELECT * FROM esgf_stac.batch_status('none')$$, 'no such batch');

-- Who sees what.
CREATE FUNCTION pg_temp.sees() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', (SELECT count(*) FROM esgf_stac.request_status('r-ada')), (SELECT count(*) FROM esgf_stac.request_status('key')), (SELECT count(*) FROM esgf_stac.request_status('r-bob')),
                          (SELECT count(*) FROM esgf_stac.delivery_status(request_id => 'r-ada')), (SELECT count(*) FROM esgf_stac.delivery_status(batch => 'campaign')), (SELECT sum(items) FROM esgf_stac.batch_status('campaign'))) $$;
SELECT is(pg_temp.sees(), '4 1 1 16 16 8', 'an administrator sees all');
SET LOCAL ROLE esgf_stac_test_admin;
SELECT is(pg_temp.sees(), '4 1 1 16 16 8', 'by his role as well');
SET LOCAL ROLE esgf_stac_test_writer;
SELECT is(pg_temp.sees(), '0 0 0 0 0', 'a writer what is his own');
SELECT is_empty(format('SELECT * FROM esgf_stac.delivery_status(%L)', :'e2'), 'by its id neither');
SET LOCAL ROLE esgf_stac_test_gateway;
SELECT pg_temp.as_who('ada') \gset ignored_
SELECT is(pg_temp.sees(), '4 1 0 16 16 8', 'an author sees what is his own');
SELECT isnt_empty(format('SELECT * FROM esgf_stac.delivery_status(%L)', :'e2'), 'an event by its id');
SELECT is_empty(format('SELECT * FROM esgf_stac.delivery_status(%L)', :'e5'), 'and not another''s');
SELECT esgf_stac.set_identity('{"sub": "ada", "iss": "https://iss", "client_id": "d"}') \gset ignored_
SELECT is(pg_temp.sees(), '0 0 0 0 0', 'of another client nothing');
SELECT esgf_stac.set_identity('{"sub": "ada", "client_id": "c"}') \gset ignored_
SELECT is(pg_temp.sees(), '0 0 0 0 0', 'nor of another issuer');
SET LOCAL ROLE esgf_stac_test_reader;
SELECT pg_temp.refused(query, '42501', NULL, 'a reader: ' || query) FROM unnest(ARRAY['SELECT * FROM esgf_stac.request_status(''x'')', 'SELECT * FROM esgf_stac.delivery_status(batch => ''x'')', 'SELECT * FROM esgf_stac.batch_status(''x'')',
    'SELECT * FROM esgf_stac.wait_for_delivery(gen_random_uuid())']) query;
RESET ROLE;

-- What is refused for its form.
SELECT pg_temp.refused(query, 'PT400', 'bad-request', query) FROM unnest(ARRAY['SELECT * FROM esgf_stac.request_status(NULL)', 'SELECT * FROM esgf_stac.batch_status(NULL)', 'SELECT * FROM esgf_stac.delivery_status()',
    'SELECT * FROM esgf_stac.delivery_status(batch => ''x'', request_id => ''x'')', 'SELECT * FROM esgf_stac.delivery_status(gen_random_uuid(), ''x'', ''x'')', 'SELECT * FROM esgf_stac.wait_for_delivery(NULL)',
    'SELECT * FROM esgf_stac.wait_for_delivery(gen_random_uuid(), timeout => NULL)', 'SELECT * FROM esgf_stac.wait_for_delivery(gen_random_uuid(), timeout => ''-1 us'')',
    'SELECT * FROM esgf_stac.wait_for_delivery(gen_random_uuid(), timeout => ''60.000001 s'')', 'SELECT * FROM esgf_stac.wait_for_delivery(gen_random_uuid(), timeout => ''178000000 years'')',
    'SELECT * FROM esgf_stac.wait_for_delivery(gen_random_uuid(), ''{all,NULL}'')', 'SELECT * FROM esgf_stac.wait_for_delivery(gen_random_uuid(), ''{{all}}'')']) query;
SELECT pg_temp.refused('SELECT * FROM esgf_stac.wait_for_delivery(gen_random_uuid())', 'PT400', 'operation-not-permitted', 'who has written does not wait');

-- An index that an upgrade does not make.
SELECT is_empty($$SELECT * FROM esgf_stac.doctor() WHERE hazard = 'missing index'$$, 'a fresh catalogue lacks none');
DROP INDEX esgf_stac.outbox_batch;
SELECT results_eq($$SELECT subject, cure FROM esgf_stac.doctor() WHERE hazard = 'missing index'$$,
    $$VALUES ('esgf_stac.outbox_batch', 'CREATE INDEX CONCURRENTLY outbox_batch ON esgf_stac.outbox (batch) WHERE batch IS NOT NULL;')$$, 'doctor() says how it is made');
SELECT is((SELECT sum(items) FROM esgf_stac.batch_status('campaign')), 8::numeric, 'without it the answer is the same');

SELECT * FROM finish();
ROLLBACK;
