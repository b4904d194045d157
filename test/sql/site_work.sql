\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set access :srcdir '/access.psql'
\i :access
-- What sites lack and what may go, as changes make it so. How rules reach items that are there is in test/t/190_sites.pl.
SELECT plan(79);

CREATE ROLE esgf_stac_test_reader IN ROLE esgf_stac_reader;
INSERT INTO esgf_stac.site (node, href_prefixes) SELECT n || '.org', ARRAY[format('https://%s.org/', n)] FROM unnest('{r,s}'::text[]) n;
-- An item at a.org with two data files and a quicklook; of a variable.
CREATE FUNCTION pg_temp.thing(id text, variable text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.document(id, jsonb_build_object(
        'properties', jsonb_build_object('datetime', '1850-01-16T12:00:00Z', 'cmip6:institution_id', 'MPI-M', 'variable', variable),
        'assets', '{"a.nc": {"href": "https://a.org/a.nc", "roles": ["data"], "alternate:name": "a.org", "file:size": 10},
                    "b.nc": {"href": "https://a.org/b.nc", "roles": ["data"], "alternate:name": "a.org", "file:size": 7},
                    "quicklook": {"href": "https://a.org/q.png", "roles": ["thumbnail"], "alternate:name": "a.org", "file:size": 1000}}'::jsonb)) $$;
CREATE FUNCTION pg_temp.copy_to(id text, node text, VARIADIC files text[]) RETURNS text LANGUAGE sql AS $$
    SELECT action FROM esgf_stac.add_replica('CMIP6', id, node, (SELECT jsonb_object_agg(f, jsonb_build_object('href', format('https://%s/%s', node, f))) FROM unnest(files) f)) $$;
-- The work of a site, a line an item.
CREATE FUNCTION pg_temp.work(node text, kind text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(concat_ws(' ', w.kind, w.item_id, w.bytes, w.priority, w.rules, w.sources, w.reason), ', ' ORDER BY w.n), 'nothing')
      FROM esgf_stac.site_work(node, kind) WITH ORDINALITY AS w(cursor, kind, collection_id, item_id, version, bytes, priority, rules, sources, reason, updated, n) $$;
DO $$ BEGIN
    PERFORM esgf_stac.set_replication_rule('r.org', 'tas', '{CMIP6}', '$.properties.variable == "tas"', 5, on_superseded => 'purge');
    PERFORM esgf_stac.set_replication_rule('s.org', 'all', NULL, NULL, on_retracted => 'keep', on_superseded => 'fetch');
END $$;

-- Fetching.
SELECT is((esgf_stac.create_item('CMIP6', pg_temp.thing('x.v1', 'tas'))).action, 'published', 'an item that two rules match');
SELECT is(pg_temp.work('r.org'), 'fetch x.v1 17 5 {tas} {a.org}', 'is to be fetched by the one');
SELECT is(pg_temp.work('s.org'), 'fetch x.v1 17 0 {all} {a.org}', 'and by the other');
SELECT is(pg_temp.work('a.org'), 'nothing', 'a site without rules has no work');
SELECT is((esgf_stac.create_item('CMIP6', pg_temp.thing('y.v1', 'pr'))).action, 'published', 'another item');
SELECT is(pg_temp.work('r.org'), 'fetch x.v1 17 5 {tas} {a.org}', 'is nothing to who wants tas');
SELECT is((esgf_stac.patch_item('CMIP6', 'y.v1', '{"properties": {"variable": "tas"}}')).action, 'updated', 'until it is tas');
SELECT is(pg_temp.work('r.org'), 'fetch x.v1 17 5 {tas} {a.org}, fetch y.v1 17 5 {tas} {a.org}', 'and is wanted');
SELECT is((esgf_stac.patch_item('CMIP6', 'y.v1', '{"properties": {"variable": "pr"}}')).action, 'updated', 'and is tas no more');
SELECT is(pg_temp.work('r.org'), 'fetch x.v1 17 5 {tas} {a.org}', 'and not wanted');
SELECT is(pg_temp.copy_to('x.v1', 'r.org', 'a.nc', 'b.nc'), 'replica_added', 'fetched');
SELECT is(pg_temp.work('r.org'), 'nothing', 'is done');
SELECT is(pg_temp.work('s.org'), 'fetch x.v1 17 0 {all} {a.org,r.org}, fetch y.v1 17 0 {all} {a.org}', 'and somewhere else to fetch from');
SELECT is((esgf_stac.patch_item('CMIP6', 'x.v1', '{"assets": {"c.nc": {"href": "https://a.org/c.nc", "roles": ["data"], "alternate:name": "a.org", "file:size": 100}}}')).action, 'updated', 'a file more');
SELECT is(pg_temp.work('r.org'), 'complete x.v1 100 5 {tas} {a.org}', 'is to be had as well');
UPDATE esgf_stac.site SET active = false WHERE node = 'a.org';
SELECT is(pg_temp.work('r.org'), 'complete x.v1 100 5 {tas} {}', 'nothing comes from a site that is switched off, nor from one that has less');
SELECT is(pg_temp.work('s.org'), 'fetch x.v1 117 0 {all} {r.org}, fetch y.v1 17 0 {all} {}', 'but from who has some');
UPDATE esgf_stac.site SET active = node <> 'r.org';
SELECT is(pg_temp.work('r.org'), 'nothing', 'a site that is switched off itself fetches nothing');
UPDATE esgf_stac.site SET active = true;
SELECT is(pg_temp.copy_to('x.v1', 'r.org', 'c.nc'), 'replica_added', 'fetched, too');
SELECT is(pg_temp.copy_to('x.v1', 's.org', 'a.nc', 'b.nc', 'c.nc'), 'replica_added', 'by both');
SELECT is(pg_temp.work('r.org') || '; ' || pg_temp.work('s.org'), 'nothing; fetch y.v1 17 0 {all} {a.org}', 'is whole');

-- What is superseded.
SELECT is((esgf_stac.create_item('CMIP6', pg_temp.thing('x.v2', 'tas'))).action, 'published', 'a newer version');
SELECT is(pg_temp.work('r.org'), 'purge x.v1 117 5 {tas} {a.org,s.org} superseded, fetch x.v2 17 5 {tas} {a.org}', 'takes the place of the older');
SELECT is(pg_temp.work('r.org', 'purge'), 'purge x.v1 117 5 {tas} {a.org,s.org} superseded', 'of one kind of work');
SELECT is(pg_temp.work('s.org'), 'fetch x.v2 17 0 {all} {a.org}, fetch y.v1 17 0 {all} {a.org}', 'or is held beside it');
SELECT is((esgf_stac.remove_replica('CMIP6', 'x.v1', 's.org')).action, 'replica_removed', 'what is held no more');
SELECT is(pg_temp.work('s.org'), 'fetch x.v1 117 0 {all} {a.org,r.org}, fetch x.v2 17 0 {all} {a.org}, fetch y.v1 17 0 {all} {a.org}', 'is wanted, though superseded');
SELECT is((esgf_stac.remove_replica('CMIP6', 'x.v1', 'a.org')).action, 'replica_removed', 'where the others leave');
SELECT is(pg_temp.work('r.org'), 'fetch x.v2 17 5 {tas} {a.org}', 'nobody is told to remove the last copy');
SELECT is(pg_temp.copy_to('x.v1', 's.org', 'a.nc', 'b.nc', 'c.nc'), 'replica_added', 'when there is another');
SELECT is(pg_temp.work('r.org', 'purge'), 'purge x.v1 117 5 {tas} {s.org} superseded', 'it may go');
SELECT is((esgf_stac.set_replication_rule('r.org', 'keep', NULL, '$.id == "x.v1"', 5)).name, 'keep', 'another rule keeps it');
SELECT is(pg_temp.work('r.org', 'purge'), 'nothing', 'at once, whatever the first one says');
DO $$ BEGIN PERFORM esgf_stac.drop_replication_rule('r.org', 'keep'); END $$;

-- What is retracted, and deleted.
SELECT is((esgf_stac.retract_item('CMIP6', 'x.v2')).action, 'retracted', 'a retraction');
SELECT is(pg_temp.work('r.org'), 'purge x.v1 117 5 {tas} {s.org} superseded', 'is not to be fetched');
SELECT is((esgf_stac.retract_item('CMIP6', 'x.v1')).action, 'retracted', 'of what is held');
SELECT is(pg_temp.work('r.org'), 'purge x.v1 117 5 {tas} {s.org} retracted', 'is a reason to purge');
SELECT is(pg_temp.work('s.org'), 'fetch y.v1 17 0 {all} {a.org}', 'unless the rule keeps it');
DELETE FROM esgf_stac.site WHERE node = 'r.org';
SELECT is(pg_temp.work('r.org'), 'purge x.v1 117 5 {tas} {s.org} retracted', 'a site that is gone may purge');
INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('r.org', '{https://r.org/}');
SELECT is((esgf_stac.remove_replica('CMIP6', 'x.v1', 'r.org')).action, 'replica_removed', 'purged');
SELECT is(pg_temp.work('r.org'), 'nothing', 'is done');
SELECT is((esgf_stac.reinstate_item('CMIP6', 'x.v2')).action, 'reinstated', 'what is reinstated');
SELECT is(pg_temp.work('r.org'), 'fetch x.v2 17 5 {tas} {a.org}', 'is wanted again');
SELECT is((esgf_stac.delete_item('CMIP6', 'x.v2')).action, 'deleted', 'what is deleted');
SELECT is(pg_temp.work('r.org'), 'nothing', 'is in no list');
SELECT is((esgf_stac.restore_item('CMIP6', 'x.v2')).action, 'restored', 'but comes back');
SELECT is(pg_temp.work('r.org'), 'fetch x.v2 17 5 {tas} {a.org}', 'with its work');

-- What no rule matches.
SELECT is(pg_temp.copy_to('y.v1', 'r.org', 'a.nc', 'b.nc'), 'replica_added', 'an item that the site does not want');
SELECT is(pg_temp.work('r.org'), 'fetch x.v2 17 5 {tas} {a.org}', 'is no order to remove it');
SELECT is(pg_temp.work('r.org', 'surplus'), 'surplus y.v1 17 {} {a.org} no-rule', 'but a hint for who asks');
SELECT is((SELECT string_agg(u.item_id || ' ' || u.bytes, ', ') FROM esgf_stac.unreplicated('CMIP6') u), NULL, 'all is wanted by somebody');
DO $$ BEGIN PERFORM esgf_stac.drop_replication_rule('s.org', 'all'); END $$;
SELECT is((SELECT string_agg(concat_ws(' ', u.item_id, u.bytes, u.nodes), ', ') FROM esgf_stac.unreplicated('CMIP6') u), 'i.v1 30 {a.org,b.org}, y.v1 17 {a.org,r.org}', 'until the rule is dropped');

-- Whatever happened, happened to items alone by their own changes.
SELECT is((SELECT count(*) FROM esgf_stac.outbox WHERE type NOT LIKE 'collection.%'), (SELECT sum(version) FROM esgf_stac.item)::bigint, 'rules make no event and no version');

-- What the form of a filter tells beforehand is what judging it would.
CREATE TABLE pg_temp.guarded AS SELECT n, filter, esgf_stac_internal.satisfies(pg_temp.thing('g.v1', 'tas'), filter) AS wanted
  FROM unnest(ARRAY['$.properties.variable == "tas"', '$.properties.variable == "pr"', '$.properties.variable == "pr" || $.properties.variable == "tas"',
    '$.properties.variable == "pr" || $.properties.variable == "psl" || $.properties.variable == "tas"', '$.properties.variable == "pr" || $.properties.variable == "psl"',
    '($.properties.variable == "pr" || $.properties.variable == "tas") && $.id starts with "g"', '($.properties.variable == "pr" || $.properties.variable == "psl") && $.id starts with "g"',
    '$.properties.variable == "pr" && $.id starts with "x" || $.id starts with "g"', '$.properties.variable == "pr" || $.id starts with "g" && $.type == "Feature"',
    '($.properties.variable == "pr" && $.id starts with "x") || $.id starts with "g"', '$.properties.variable == "tas" && ($.id starts with "x" || $.id starts with "g") && $.type == "Feature"',
    '!($.properties.variable == "pr")', '!($.properties.variable == "pr" || $.properties.variable == "psl")', '($.properties.variable == 1) is unknown', '($.properties.none == "pr" && $.id == "x") || $.properties.variable == "tas"',
    '$.properties.variable == "pr" || $.properties."cmip6:institution_id" == "MPI-M"', '$.properties.variable == "t\u0061s"', 'strict $.properties.variable == "tas"', '$.properties.none == "tas"',
    '$.properties.none == "tas" || $.properties.variable == "tas"', '$.properties.variable == "tas" && $.properties.variable == "pr"', '$.properties.variable == "pr" || $.properties.variable == $.properties.variable']::jsonpath[]) WITH ORDINALITY AS f(filter, n);
INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('t.org', '{https://t.org/}');
DO $$ BEGIN PERFORM esgf_stac.set_replication_rule('t.org', 'g' || n, NULL, filter) FROM pg_temp.guarded; END $$;
SELECT is((esgf_stac.create_item('CMIP6', pg_temp.thing('g.v1', 'tas'))).action, 'published', 'an item of some rules');
SELECT is((SELECT string_agg(r, E'\n' ORDER BY r) FROM esgf_stac.site_work('t.org') w, unnest(w.rules) r WHERE w.item_id = 'g.v1'),
          (SELECT string_agg('g' || n, E'\n' ORDER BY 'g' || n) FROM pg_temp.guarded WHERE wanted), 'filters that name strings of properties');

-- What a filter reads by the properties' own filter is what a change has judged anew.
DO $$ BEGIN PERFORM esgf_stac.set_replication_rule('t.org', 'p', NULL, 'exists($.properties ? (exists(@.deep ? (@.a == 1))) ? (@.n > 1).m ? (@ == "m"))'); END $$;
CREATE FUNCTION pg_temp.wanted_after(properties jsonb) RETURNS boolean LANGUAGE sql AS $$
    SELECT esgf_stac.patch_item('CMIP6', 'g.v1', jsonb_build_object('properties', properties));
    SELECT 'p' = ANY (w.rules) FROM esgf_stac.site_work('t.org') w WHERE w.item_id = 'g.v1' $$;
SELECT is((SELECT string_agg(pg_temp.wanted_after(p)::text, ' ' ORDER BY n) FROM unnest(ARRAY['{"deep": {"a": 1}, "n": 2}', '{"m": "m"}', '{"title": "t"}', '{"n": 1}', '{"n": 3}', '{"deep": {"a": 2}}', '{"deep": {"a": 1}}', '{"m": null}']::jsonb[]) WITH ORDINALITY AS x(p, n)),
    'false true true false true false true false', 'filters of the properties themselves');

-- What is no list.
SELECT pg_temp.refused(query, 'PT400', 'bad-request', query)
  FROM unnest(ARRAY['SELECT * FROM esgf_stac.site_work(NULL)', 'SELECT * FROM esgf_stac.site_work(''nowhere.org'')', 'SELECT * FROM esgf_stac.site_work(''r.org'', ''keep'')',
    'SELECT * FROM esgf_stac.site_work(''r.org'', NULL, ''x'')', 'SELECT * FROM esgf_stac.site_work(''r.org'', NULL, ''[1]'')', 'SELECT * FROM esgf_stac.site_work(''r.org'', NULL, repeat(''['', 100000))', 'SELECT * FROM esgf_stac.site_work(''r.org'', NULL, ''["s.org", null, 5, "CMIP6", "x"]'')',
    'SELECT * FROM esgf_stac.site_work(''r.org'', NULL, ''["r.org", "fetch", 5, "CMIP6", "x"]'')', 'SELECT * FROM esgf_stac.site_work(''r.org'', NULL, ''["r.org", null, "a", "CMIP6", "x"]'')', 'SELECT * FROM esgf_stac.site_work(''r.org'', NULL, ''["r.org", null, 1e99, "CMIP6", "x"]'')',
    'SELECT * FROM esgf_stac.site_work(''r.org'', max_items => 0)', 'SELECT * FROM esgf_stac.site_work(''r.org'', max_items => NULL)', 'SELECT * FROM esgf_stac.site_work(''r.org'', max_items => 10001)',
    'SELECT * FROM esgf_stac.site_usage(''nowhere.org'')', 'SELECT * FROM esgf_stac.unreplicated(NULL)', 'SELECT * FROM esgf_stac.unreplicated(''CMIP6'', max_items => 0)', 'SELECT esgf_stac.refresh_rules(0)']) query;
SELECT pg_temp.refused('SELECT * FROM esgf_stac.unreplicated(''CMIP9'')', 'PT404', 'collection-does-not-exist', 'of no collection');
SET LOCAL ROLE esgf_stac_test_reader;
SELECT isnt(pg_temp.work('r.org'), NULL, 'readers may read all of it');
SELECT lives_ok('SELECT * FROM esgf_stac.site_usage(''r.org''), esgf_stac.unreplicated(''CMIP6''), esgf_stac.replication_rule, esgf_stac.site_item, esgf_stac.rule_job', 'and what it stands on');
SELECT pg_temp.refused('SELECT esgf_stac.refresh_rules()', '42501', NULL, 'but apply no rules');
RESET ROLE;

-- The table may have more than we gave it: a column, a trigger, a check.
CREATE FUNCTION pg_temp.note_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := NEW.note || ' of ' || NEW.item_id; RETURN NEW; END $$;
ALTER TABLE esgf_stac.site_item ADD COLUMN note text DEFAULT 'a row', ADD COLUMN twice bigint GENERATED ALWAYS AS (bytes * 2) STORED, ADD CHECK (item_id <> 'no.v1');
CREATE TRIGGER note_row BEFORE INSERT ON esgf_stac.site_item FOR EACH ROW EXECUTE FUNCTION pg_temp.note_row();
DO $$ BEGIN PERFORM esgf_stac.create_item('CMIP6', pg_temp.thing('z.v1', 'tas')); END $$;
SELECT is((SELECT string_agg(concat_ws(' ', node, note, twice), ', ' ORDER BY node) FROM esgf_stac.site_item WHERE item_id = 'z.v1' AND node = 'r.org'), 'r.org a row of z.v1 34', 'what the table has besides is heeded');
SELECT pg_temp.refused($$SELECT esgf_stac.create_item('CMIP6', pg_temp.thing('no.v1', 'tas'))$$, '23514', 'site_item_item_id_check', 'and what it checks');
SELECT * FROM finish();
ROLLBACK;
