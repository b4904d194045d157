\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set access :srcdir '/access.psql'
\i :access
-- The stream of a site: what it has, and what a rule of its own matches, or has matched since the stream was made.
SELECT plan(49);

CREATE ROLE esgf_stac_test_reader IN ROLE esgf_stac_reader;
INSERT INTO esgf_stac.site (node, href_prefixes) SELECT n || '.org', ARRAY[format('https://%s.org/', n)] FROM unnest('{r,s}'::text[]) n;
-- An item at a.org, of a variable.
CREATE FUNCTION pg_temp.thing(id text, variable text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.document(id, jsonb_build_object('properties', jsonb_build_object('datetime', '1850-01-16T12:00:00Z', 'cmip6:institution_id', 'MPI-M', 'variable', variable),
        'assets', '{"a.nc": {"href": "https://a.org/a.nc", "roles": ["data"], "alternate:name": "a.org"}}'::jsonb)) $$;
CREATE FUNCTION pg_temp.make(id text, variable text) RETURNS text LANGUAGE sql AS $$ SELECT action FROM esgf_stac.create_item('CMIP6', pg_temp.thing(id, variable)) $$;
CREATE FUNCTION pg_temp.becomes(id text, variable text) RETURNS text LANGUAGE sql AS $$
    SELECT action FROM esgf_stac.patch_item('CMIP6', id, jsonb_build_object('properties', jsonb_build_object('variable', variable))) $$;
CREATE FUNCTION pg_temp.copied(id text) RETURNS text LANGUAGE sql AS $$ SELECT action FROM esgf_stac.add_replica('CMIP6', id, 'r.org', '{"a.nc": {"href": "https://r.org/a.nc"}}') $$;
-- Where the last event of an item is, and what it leaves.
CREATE FUNCTION pg_temp.told(item text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', type, streams, 'left ' || left_streams::text) FROM esgf_stac.outbox WHERE aggregateid = item ORDER BY version DESC LIMIT 1 $$;
CREATE FUNCTION pg_temp.jobs() RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(concat_ws(' ', stream, event_type, collections, filter, payload, state, error), ', ' ORDER BY created, filter::text), 'none') FROM esgf_stac.iteration_job $$;

DO $$ BEGIN
    PERFORM esgf_stac.set_replication_rule('r.org', 'before', NULL, '$.properties.variable == "old"');
    PERFORM esgf_stac.drop_replication_rule('r.org', 'before');
    PERFORM esgf_stac.set_replication_rule('r.org', 'tas', '{CMIP6}', '$.properties.variable == "tas"');
    PERFORM esgf_stac.set_replication_rule('s.org', 'all');
    PERFORM pg_temp.make('had.v1', 'pr'), pg_temp.copied('had.v1');
END $$;
SELECT is(esgf_stac.create_stream('r', node => 'r.org'), 'esgf_stac_r', 'the stream of a site');
SELECT lives_ok($$SELECT esgf_stac.create_stream('r_tas', '{CMIP6}', '$.properties.variable == "tas"', 'r.org')$$, 'and one with a filter beside');
SELECT is(pg_temp.jobs(), 'none', 'rules that are there need no job: a snapshot sends what they match');

SELECT is(pg_temp.make('t.v1', 'tas'), 'published', 'an item that a rule matches');
SELECT is(pg_temp.told('t.v1'), 'item.published {r,r_tas}', 'is in the stream');
SELECT is(pg_temp.make('p.v1', 'pr'), 'published', 'one that none matches');
SELECT is(pg_temp.told('p.v1'), 'item.published', 'is not, though another site wants it');
SELECT is(pg_temp.make('o.v1', 'old'), 'published', 'nor one of a rule that ended before the stream was made');
SELECT is(pg_temp.told('o.v1'), 'item.published', 'which was never in force since');
SELECT is(pg_temp.becomes('t.v1', 'uas'), 'updated', 'that it matches no more');
SELECT is(pg_temp.told('t.v1'), 'item.updated left {r,r_tas}', 'leaves');
SELECT is(pg_temp.copied('p.v1'), 'replica_added', 'that the site has');
SELECT is(pg_temp.told('p.v1'), 'item.replica_added {r}', 'comes in, where the filter lets it');
SELECT is(pg_temp.becomes('p.v1', 'tas'), 'updated', 'that it has and wants');
SELECT is(pg_temp.told('p.v1'), 'item.updated {r,r_tas}', 'stays');
SELECT is((esgf_stac.retract_item('CMIP6', 'p.v1')).action, 'retracted', 'that is retracted');
SELECT is(pg_temp.told('p.v1'), 'item.retracted {r,r_tas}', 'stays, too');
SELECT is((esgf_stac.remove_replica('CMIP6', 'p.v1', 'r.org')).action, 'replica_removed', 'and that it has no more');
SELECT is(pg_temp.told('p.v1'), 'item.replica_removed {r,r_tas}', 'as a rule matches it');
SELECT is((esgf_stac.remove_replica('CMIP6', 'had.v1', 'r.org')).action, 'replica_removed', 'what no rule matches');
SELECT is(pg_temp.told('had.v1'), 'item.replica_removed left {r}', 'leaves with its last copy there');

-- Rules that end, and new ones.
DO $$ BEGIN PERFORM esgf_stac.drop_replication_rule('r.org', 'tas'); END $$;
SELECT is(pg_temp.make('u.v1', 'tas'), 'published', 'a rule that ended');
SELECT is(pg_temp.told('u.v1'), 'item.published {r,r_tas}', 'counts on');
SELECT is(pg_temp.jobs(), 'none', 'and starts nothing');
DO $$ BEGIN PERFORM esgf_stac.set_replication_rule('r.org', 'pr', '{CMIP6}', '$.properties.variable == "pr"', 5), esgf_stac.set_replication_rule('s.org', 'all', priority => 3); END $$;
SELECT is(pg_temp.jobs(), $$r item.iterated {CMIP6} ($."properties"."variable" == "pr") document pending, r_tas item.iterated {CMIP6} ($."properties"."variable" == "pr") document pending$$, 'a new one starts a job of each stream of the site');
DO $$ BEGIN PERFORM esgf_stac.set_replication_rule('r.org', 'pr', '{CMIP6}', '$.properties.variable == "pr"', 5); END $$;
SELECT is((SELECT count(*) FROM esgf_stac.iteration_job), 2::bigint, 'an equal one starts none');
SELECT is_empty($$SELECT j.id FROM esgf_stac.iteration_job j, esgf_stac_internal.take_iteration(j.id)$$, 'nobody takes it before the rule is told to everybody');
SELECT results_eq($$SELECT item_id, version FROM esgf_stac_internal.iteration_page((SELECT id FROM esgf_stac.iteration_job WHERE stream = 'r'), 10) WHERE version IS NOT NULL$$,
                  $$VALUES ('had.v1', 3::bigint)$$, 'it sends what the rule adds');
SELECT is(pg_temp.becomes('had.v1', 'hus'), 'updated', 'what it matched');
SELECT is(pg_temp.told('had.v1'), 'item.updated left {r}', 'leaves when it does no more');

-- All that knows streams.
SELECT is(pg_temp.becomes('had.v1', 'pr'), 'updated', 'and comes back');
SELECT results_eq($$SELECT item_id FROM esgf_stac_internal.stream_items('r', NULL, NULL, 10)$$, $$VALUES ('had.v1'), ('p.v1'), ('u.v1')$$, 'a snapshot sends what is in the stream');
SELECT is(esgf_stac_internal.stream_item_count('r_tas'), 2::bigint, 'and knows how much that is');
SELECT results_eq($$SELECT item_id, in_stream FROM esgf_stac_internal.verification_page('r', NULL, NULL, 10)$$,
                  $$VALUES ('had.v1', true), ('i.v1', false), ('o.v1', false), ('p.v1', true), ('t.v1', false), ('u.v1', true)$$, 'so does who verifies');
SELECT results_eq($$SELECT item_id, in_stream FROM esgf_stac_internal.verification_states('r', '{CMIP6,CMIP6}', '{t.v1,u.v1}')$$, $$VALUES ('t.v1', false), ('u.v1', true)$$, 'and looks again');
SELECT results_eq($$SELECT aggregateid, type FROM esgf_stac_internal.redrive_states('r', '[["CMIP6", "t.v1", 2], ["CMIP6", "u.v1", 1]]') ORDER BY 1$$,
                  $$VALUES ('t.v1', 'item.deleted'), ('u.v1', 'item.seeded')$$, 'and who redrives');
SELECT results_eq($$SELECT item_id FROM esgf_stac.digest_items('CMIP6', 0, 0, 'r')$$, $$VALUES ('had.v1'), ('p.v1'), ('u.v1')$$, 'a digest has the same items');
INSERT INTO esgf_stac.consumer (stream, system_identifier, timeline, lsn, confirmed, horizon, outbox_oid, delivering_since)
SELECT name, esgf_stac_internal.system_identifier(), 1, '0/0', '0/0', '0', outbox_oid, now() FROM esgf_stac.stream;
CREATE FUNCTION pg_temp.published(stream text, collections text[], filtered boolean DEFAULT true) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    events bigint;
BEGIN
    EXECUTE 'SELECT count(*) FROM esgf_stac.outbox WHERE ' || esgf_stac_internal.row_filter(stream, collections, filtered) INTO events;
    RETURN events;
END $$;
SELECT results_eq('SELECT name, node, lag_events FROM esgf_stac.stream_status ORDER BY name', $$SELECT name, 'r.org', pg_temp.published(name, collections) FROM esgf_stac.stream ORDER BY name$$,
                  'stream_status counts what its publication has');
SELECT lives_ok($$SELECT esgf_stac.refresh_stream('r')$$, 'which can be refreshed');
SELECT is(esgf_stac_internal.publication_problem('r'), NULL, 'and is as it was');
ALTER PUBLICATION esgf_stac_r_tas SET TABLE esgf_stac.outbox;
SELECT is((SELECT cure FROM esgf_stac.doctor() WHERE hazard = 'publication'),
          $$SELECT esgf_stac.drop_stream('r_tas'); SELECT esgf_stac.create_stream('r_tas', '{CMIP6}', '($."properties"."variable" == "tas")', 'r.org');$$, 'one that is not is made anew for its site');
SELECT is((esgf_stac.reissue_item('CMIP6', 'o.v1', 9)).action, 'reissued', 'what is reissued');
SELECT is(pg_temp.told('o.v1'), 'item.reissued left {r,r_tas}', 'leaves what it is not in');
SELECT is((esgf_stac.delete_item('CMIP6', 'u.v1')).action, 'deleted', 'what is deleted');
SELECT is(pg_temp.told('u.v1'), 'item.deleted left {r,r_tas}', 'leaves');
DELETE FROM esgf_stac.consumer;
SELECT lives_ok($$SELECT esgf_stac.drop_stream('r'), esgf_stac.drop_stream('r_tas')$$, 'the streams go');
SELECT is((SELECT string_agg(DISTINCT state || ' ' || error, ', ') FROM esgf_stac.iteration_job), 'failed stream-dropped', 'with their jobs');

SELECT pg_temp.refused($$SELECT esgf_stac.create_stream('x', node => 'nowhere.org')$$, 'PT400', 'bad-request', 'a stream of no site');
SELECT is((SELECT count(*) FROM esgf_stac.stream), 0::bigint, 'is none');
SELECT * FROM finish();
ROLLBACK;
