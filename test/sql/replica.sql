\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- Replicas: locations that come, change and go, through the verbs, both forms of patches and by hand.
SELECT plan(163);

-- An asset at some nodes, the first of them primary; two data files at the same nodes; what add_replica takes for them.
CREATE FUNCTION pg_temp.entry(key text, node text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('href', 'https://' || node || '/' || key, 'alternate:name', node) $$;
CREATE FUNCTION pg_temp.asset(key text, nodes text[], more jsonb DEFAULT '{"roles": ["data"]}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object(key, pg_temp.entry(key, nodes[1]) || more || CASE WHEN cardinality(nodes) = 1 THEN '{}' ELSE
        jsonb_build_object('alternate', (SELECT jsonb_object_agg(n, pg_temp.entry(key, n)) FROM unnest(nodes[2:]) n)) END) $$;
CREATE FUNCTION pg_temp.files(VARIADIC nodes text[]) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.asset('f1.nc', nodes) || pg_temp.asset('f2.nc', nodes) $$;
CREATE FUNCTION pg_temp.replica(node text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('f1.nc', pg_temp.entry('f1.nc', node), 'f2.nc', pg_temp.entry('f2.nc', node)) $$;
CREATE FUNCTION pg_temp.publish(id text, assets jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT action FROM esgf_stac.create_item('CMIP6', pg_temp.document(id, jsonb_build_object('assets', assets))) $$;
CREATE FUNCTION pg_temp.assets(id text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT document -> 'assets' FROM esgf_stac.item WHERE id = $1 $$;

-- The merge patch from one document to another.
CREATE FUNCTION pg_temp.merge_diff(source jsonb, target jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    patch jsonb := '{}';
    key text;
BEGIN
    FOR key IN SELECT jsonb_object_keys(source || target) LOOP
        IF NOT target ? key THEN
            patch := patch || jsonb_build_object(key, NULL);
        ELSIF jsonb_typeof(source -> key) = 'object' AND jsonb_typeof(target -> key) = 'object' THEN
            patch := patch || jsonb_build_object(key, pg_temp.merge_diff(source -> key, target -> key));
        ELSIF source -> key IS DISTINCT FROM target -> key THEN
            patch := patch || jsonb_build_object(key, target -> key);
        END IF;
    END LOOP;
    RETURN patch;
END
$$;

-- What a statement made of an item: the event, or why not.
CREATE FUNCTION pg_temp.outcome(id text, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT bigint := version FROM esgf_stac.item WHERE item.id = outcome.id;
    state text;
    slug text;
BEGIN
    EXECUTE query;
    RETURN coalesce((SELECT substr(type, 6) FROM pg_temp.last_event(id) e WHERE e.version > before), 'unchanged');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, slug = CONSTRAINT_NAME;
    RETURN concat_ws(' ', state, slug);
END
$$;

-- What comes of a change of assets, in every spelling: one outcome, or all where they differ. Afterwards the assets are those
-- wanted (those before, where it was refused), the column nodes names their nodes, and one node has one location of each.
CREATE FUNCTION pg_temp.outcomes(before jsonb, after jsonb, verb text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    wanted CONSTANT jsonb := (SELECT coalesce(jsonb_object_agg(key, CASE WHEN value -> 'alternate' = '{}' THEN value - 'alternate' ELSE value END), '{}') FROM jsonb_each(after));
    explicit CONSTANT jsonb := (SELECT coalesce(jsonb_object_agg(key, '{"alternate": {}}' || value), '{}') FROM jsonb_each(after));
    old CONSTANT jsonb := jsonb_build_object('assets', before);
    new CONSTANT jsonb := jsonb_build_object('assets', after);
    item_id text;
    spelling text;
    got text;
    found jsonb := '{}';
BEGIN
    FOREACH spelling IN ARRAY ARRAY['JSON patch', 'merge patch', 'replacement', 'transact', 'by hand', 'verb'] LOOP
        CONTINUE WHEN spelling = 'verb' AND verb IS NULL;
        item_id := 'outcome.v' || 1 + count(*) FROM esgf_stac.item;
        PERFORM pg_temp.publish(item_id, before);
        got := pg_temp.outcome(item_id, CASE spelling
            WHEN 'JSON patch' THEN format('SELECT esgf_stac.patch_item(''CMIP6'', %L, %L)', item_id, esgf_stac.jsonb_diff(old, new))
            WHEN 'merge patch' THEN format('SELECT esgf_stac.patch_item(''CMIP6'', %L, %L)', item_id, pg_temp.merge_diff(old, new))
            WHEN 'replacement' THEN format('SELECT esgf_stac.replace_item(''CMIP6'', %L, %L)', item_id, pg_temp.document(item_id, jsonb_build_object('assets', explicit)))
            WHEN 'transact' THEN format('SELECT esgf_stac.transact(%L)', jsonb_build_array(jsonb_build_object('method', 'PATCH', 'collection_id', 'CMIP6', 'item_id', item_id,
                                        'patch', jsonb_build_object('operations', esgf_stac.jsonb_diff(old, new)))))
            WHEN 'by hand' THEN format('UPDATE esgf_stac.item SET document = document || %L WHERE id = %L', new, item_id)
            ELSE format('SELECT esgf_stac.' || verb, 'CMIP6', item_id) END);
        IF pg_temp.assets(item_id) <> (CASE WHEN got LIKE 'PT%' OR got = 'unchanged' THEN before ELSE wanted END) THEN
            got := got || ', but ' || pg_temp.assets(item_id);
        ELSIF EXISTS (SELECT FROM esgf_stac.item i WHERE id = item_id AND nodes <> ARRAY(
                SELECT DISTINCT node COLLATE "C" FROM jsonb_each(document -> 'assets') a, LATERAL (
                    SELECT a.value ->> 'alternate:name' UNION ALL SELECT jsonb_object_keys(a.value -> 'alternate')) l (node) WHERE node IS NOT NULL ORDER BY 1)) THEN
            got := got || ', but nodes is wrong';
        END IF;
        found := jsonb_set(found, ARRAY[got], coalesce(found -> got, '[]') || to_jsonb(spelling));
    END LOOP;
    RETURN CASE WHEN (SELECT count(*) FROM jsonb_object_keys(found)) = 1 THEN (SELECT jsonb_object_keys(found)) ELSE found::text END;
END
$$;
CREATE FUNCTION pg_temp.set_complete(on_off boolean) RETURNS void LANGUAGE sql AS $$
    SELECT esgf_stac.configure_collection('CMIP6', jsonb_build_object('complete_replicas', on_off)) $$;

-- Added and removed.
SELECT is(pg_temp.outcomes(pg_temp.files('a.org'), pg_temp.files('a.org', 'b.org'), format('add_replica(%%L, %%L, ''b.org'', %L)', pg_temp.replica('b.org'))), 'replica_added', 'a first replica');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), pg_temp.files('a.org', 'b.org', 'c.org'), format('add_replica(%%L, %%L, ''c.org'', %L)', pg_temp.replica('c.org'))), 'replica_added', 'a second one');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org', 'c.org'), pg_temp.files('a.org', 'b.org'), 'remove_replica(%L, %L, ''c.org'')'), 'replica_removed', 'one of two removed');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), pg_temp.files('a.org'), 'remove_replica(%L, %L, ''b.org'')'), 'replica_removed', 'the only one: the alternate goes, too');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), pg_temp.asset('f1.nc', '{a.org}', '{"roles": ["data"], "alternate": {}}') || pg_temp.asset('f2.nc', '{a.org}', '{"roles": ["data"], "alternate": {}}')),
          'replica_removed', 'an empty alternate goes, too');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), pg_temp.files('a.org', 'c.org')), 'replica_removed', 'a location that leaves a node and appears at another is removed and added');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org'), pg_temp.files('b.org')), 'replica_removed', 'the primary one, too');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org'), pg_temp.files('a.org', 'a~/"b')), 'replica_added', 'nodes are any strings');

-- Altered.
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), jsonb_set(pg_temp.files('a.org', 'b.org'), '{f1.nc,alternate,b.org,href}', '"https://b.org/new"')), 'updated', 'another href');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), jsonb_set(pg_temp.files('a.org', 'b.org'), '{f1.nc,alternate,b.org,description}', '"x"')), 'updated', 'any difference of an entry');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), jsonb_set(pg_temp.files('a.org', 'b.org'), '{f1.nc,protocol}', '"https"')), 'updated', 'of the primary location');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), jsonb_set(pg_temp.files('a.org', 'b.org', 'c.org'), '{f1.nc,alternate,b.org,href}', '"https://b.org/new"')), 'updated', 'replaced and added');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), jsonb_set(pg_temp.files('a.org'), '{f1.nc,title}', '"t"')), 'updated', 'removed, and something else changed');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), pg_temp.files('b.org', 'a.org')), 'updated', 'the primary one exchanged for another');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), jsonb_set(pg_temp.files('a.org', 'b.org'), '{f1.nc,alternate,b.org,updated}', '"2026-08-01T00:00:00Z"')), 'unchanged', 'a stamp of an entry is no change');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), jsonb_set(pg_temp.files('a.org', 'b.org'), '{f1.nc,created}', '"2026-08-01T00:00:00Z"')), 'unchanged', 'nor is one of an asset');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org'), pg_temp.files('a.org') || '{"alternate": {"href": "https://a.org/x"}}'), 'updated', 'an asset may be called alternate');

-- One location a node.
SELECT is(pg_temp.outcomes(pg_temp.files('a.org'), pg_temp.files('a.org', 'a.org')), 'PT409 replica-already-exists', 'a second location at the primary''s node, the same');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org'), jsonb_set(pg_temp.files('a.org', 'a.org'), '{f1.nc,alternate,a.org,href}', '"https://a.org/other"')), 'PT409 replica-already-exists', 'another one');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), pg_temp.files('b.org', 'b.org')), 'PT409 replica-already-exists', 'a promoted one that is left behind');
SELECT pg_temp.refused($$SELECT pg_temp.publish('doubled.v1', pg_temp.files('a.org', 'a.org'))$$, 'PT409', 'replica-already-exists', 'at publication');
SELECT pg_temp.refused($$SELECT pg_temp.publish('wrong.v1', jsonb_set(pg_temp.files('a.org', 'b.org'), '{f1.nc,alternate,b.org,alternate:name}', '"c.org"'))$$, 'PT403', 'missing-permission', 'an entry names its own node, for administrators too');
SELECT pg_temp.refused($$SELECT pg_temp.publish('wrong.v1', pg_temp.files('a.org', 'b.org') #- '{f1.nc,alternate,b.org,alternate:name}')$$, 'PT403', 'missing-permission', 'and names it');

-- The primary location goes: another node's takes its place.
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'c.org', 'b.org'), pg_temp.files('b.org', 'c.org'), 'remove_replica(%L, %L, ''a.org'')'), 'replica_removed', 'ties are broken by name');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'c.org', 'bbb.org'), pg_temp.files('bbb.org', 'c.org'), 'remove_replica(%L, %L, ''a.org'')'), 'replica_removed', 'not by its length');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org', 'c.org'), pg_temp.files('c.org', 'b.org')), 'replica_removed', 'a patch may promote another');
SELECT is(pg_temp.outcomes(
    pg_temp.asset('f1.nc', '{a.org,b.org}', '{"roles": ["data"], "protocol": "https", "file:local_path": "x/f1.nc", "created": "2019-07-24T11:00:55Z", "file:size": 7, "type": "application/netcdf"}'),
    pg_temp.asset('f1.nc', '{b.org}', '{"roles": ["data"], "file:size": 7, "type": "application/netcdf"}'), 'remove_replica(%L, %L, ''a.org'')'),
    'replica_removed', 'what says where a file is changes, what says what it is stays');
SELECT is(pg_temp.outcomes(
    jsonb_set(pg_temp.asset('f1.nc', '{a.org,b.org}'), '{f1.nc,alternate,b.org}', pg_temp.entry('f1.nc', 'b.org') || '{"protocol": "globus", "file:local_path": "y", "updated": "2026-01-01T00:00:00Z", "description": "d", "roles": ["data"]}'),
    pg_temp.asset('f1.nc', '{b.org}', '{"roles": ["data"], "protocol": "globus", "file:local_path": "y", "updated": "2026-01-01T00:00:00Z"}'), 'remove_replica(%L, %L, ''a.org'')'),
    'replica_removed', 'an entry brings its protocol, path and stamps');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org') || pg_temp.asset('globus', '{a.org}'), pg_temp.files('b.org'), 'remove_replica(%L, %L, ''a.org'')'), 'replica_removed', 'the globus asset goes with its node');
SELECT is(pg_temp.outcomes(pg_temp.files('b.org', 'a.org') || pg_temp.asset('globus', '{a.org}'), pg_temp.files('b.org'), 'remove_replica(%L, %L, ''a.org'')'), 'replica_removed', 'also where it alone is primary there');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org') || pg_temp.asset('globus', '{a.org,c.org,b.org}'), pg_temp.files('b.org') || pg_temp.asset('globus', '{b.org,c.org}'), 'remove_replica(%L, %L, ''a.org'')'),
          'replica_removed', 'and stays where the other node has one');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org') || pg_temp.asset('globus', '{a.org,d.org,cc.org}'), pg_temp.files('b.org') || pg_temp.asset('globus', '{cc.org,d.org}'), 'remove_replica(%L, %L, ''a.org'')'),
          'replica_removed', 'or any other: no node''s location is touched but the one''s that goes');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org') || pg_temp.asset('thumbnail', '{a.org}', '{"roles": ["thumbnail"]}') || pg_temp.asset('reference_file', '{a.org}') || pg_temp.asset('agg', '{a.org}', '{"roles": ["data", "virtual"]}'),
          pg_temp.files('b.org'), 'remove_replica(%L, %L, ''a.org'')'), 'replica_removed', 'so do other assets that are no data files');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org') || pg_temp.asset('globus', '{a.org}'), pg_temp.files('a.org', 'b.org')), 'updated', 'without its node an asset does not go as a replica');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org'), '{}', 'remove_replica(%L, %L, ''a.org'')'), 'PT409 last-replica', 'the last one');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org') || pg_temp.asset('globus', '{b.org}'), pg_temp.asset('globus', '{b.org}'), 'remove_replica(%L, %L, ''a.org'')'), 'PT409 last-replica', 'a node without data files does not count');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), '{}'), 'PT409 last-replica', 'all at once');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), pg_temp.asset('f1.nc', '{a.org,b.org}')), 'updated', 'a file removed everywhere');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org'), pg_temp.asset('f3.nc', '{a.org}')), 'updated', 'all files replaced by another at the same node');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), pg_temp.asset('f1.nc', '{b.org}')), 'updated', 'a file removed, and a node that another takes over');

-- Whole replicas.
SELECT is(pg_temp.outcomes(pg_temp.files('a.org'), pg_temp.asset('f1.nc', '{a.org,b.org}') || pg_temp.asset('f2.nc', '{a.org}'), format('add_replica(%%L, %%L, ''b.org'', %L)', pg_temp.replica('b.org') - 'f2.nc')),
          'PT409 replica-incomplete', 'one of two files added');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), pg_temp.asset('f1.nc', '{a.org,b.org}') || pg_temp.asset('f2.nc', '{a.org}')), 'PT409 replica-incomplete', 'one of two files removed');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), pg_temp.asset('f1.nc', '{a.org,b.org}') || pg_temp.asset('f2.nc', '{b.org}')), 'PT409 replica-incomplete', 'one of two primary ones removed');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org'), pg_temp.files('a.org') || pg_temp.asset('f3.nc', '{c.org}')), 'PT409 replica-incomplete', 'a new file at a node that has no other');
SELECT pg_temp.refused($$SELECT pg_temp.publish('incomplete.v1', pg_temp.asset('f1.nc', '{a.org,b.org}') || pg_temp.asset('f2.nc', '{a.org}'))$$, 'PT409', 'replica-incomplete', 'at publication');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), pg_temp.files('a.org', 'b.org') || pg_temp.asset('f3.nc', '{a.org}')), 'updated', 'a new file obliges nobody');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), pg_temp.files('a.org', 'b.org') || pg_temp.asset('f3.nc', '{a.org,b.org}')), 'updated', 'but may come with its replicas');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org') || pg_temp.asset('v', '{a.org}', '{"roles": ["data", "virtual"]}'), pg_temp.files('a.org') || pg_temp.asset('v', '{a.org,b.org}', '{"roles": ["data", "virtual"]}')), 'replica_added', 'virtual files do not count');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org') || pg_temp.asset('reference_file', '{a.org}'), pg_temp.files('a.org') || pg_temp.asset('reference_file', '{a.org,b.org}')), 'replica_added', 'nor does reference_file');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org') || pg_temp.asset('globus', '{a.org}'), pg_temp.files('a.org') || pg_temp.asset('globus', '{a.org,b.org}'),
          format('add_replica(%%L, %%L, ''b.org'', %L)', jsonb_build_object('globus', pg_temp.entry('globus', 'b.org')))), 'replica_added', 'nor globus');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org') || pg_temp.asset('globus', '{a.org}') || pg_temp.asset('reference_file', '{a.org}'),
          pg_temp.files('a.org', 'b.org') || pg_temp.asset('globus', '{a.org}') || pg_temp.asset('reference_file', '{a.org}')), 'replica_added', 'no replica must have them');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org') || pg_temp.asset('doc', '{a.org}', '{"roles": ["metadata"]}'), pg_temp.files('a.org', 'b.org') || pg_temp.asset('doc', '{a.org}', '{"roles": ["metadata"]}')), 'replica_added', 'nor what is no data');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org') || pg_temp.asset('f3.nc', '{a.org}', '{}'), pg_temp.files('a.org', 'b.org') || pg_temp.asset('f3.nc', '{a.org}', '{}')), 'replica_added', 'nor what has no role');
SELECT lives_ok('SELECT pg_temp.set_complete(false)', 'where replicas need not be whole');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org'), pg_temp.asset('f1.nc', '{a.org,b.org}') || pg_temp.asset('f2.nc', '{a.org}'), format('add_replica(%%L, %%L, ''b.org'', %L)', pg_temp.replica('b.org') - 'f2.nc')),
          'replica_added', 'one of two files may be added');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org', 'b.org'), pg_temp.asset('f1.nc', '{a.org,b.org}') || pg_temp.asset('f2.nc', '{a.org}')), 'replica_removed', 'and removed');
SELECT is(pg_temp.outcomes(pg_temp.asset('f1.nc', '{a.org,b.org,c.org}') || pg_temp.asset('f2.nc', '{a.org,c.org}'), pg_temp.asset('f1.nc', '{c.org,b.org}') || pg_temp.asset('f2.nc', '{c.org}'),
          'remove_replica(%L, %L, ''a.org'')'), 'replica_removed', 'the node with every file takes over');
SELECT is(pg_temp.outcomes(pg_temp.asset('f1.nc', '{a.org,b.org}') || pg_temp.asset('f2.nc', '{a.org}'), pg_temp.asset('f1.nc', '{b.org}'), 'remove_replica(%L, %L, ''a.org'')'),
          'PT409 last-replica', 'where none has, none does');
SELECT is(pg_temp.outcomes(pg_temp.asset('f1.nc', '{a.org,b.org}') || pg_temp.asset('f2.nc', '{a.org}'), pg_temp.asset('f1.nc', '{a.org}') || pg_temp.asset('f2.nc', '{a.org}'),
          'remove_replica(%L, %L, ''b.org'')'), 'replica_removed', 'a part of a replica goes');
SELECT lives_ok('SELECT pg_temp.set_complete(true)', 'where they must again');
SELECT is(pg_temp.outcomes(pg_temp.files('a.org'), pg_temp.files('a.org', 'b.org'), format('add_replica(%%L, %%L, ''b.org'', %L)', pg_temp.replica('b.org'))), 'replica_added', 'they are');

-- A location without a name is at no node.
SELECT is(pg_temp.outcomes('{"x": {"href": "https://x.org/x", "roles": ["data"]}}', '{"x": {"href": "https://x.org/x", "roles": ["data"], "alternate": {"b.org": {"href": "https://b.org/x", "alternate:name": "b.org"}}}}',
          'add_replica(%L, %L, ''b.org'', ''{"x": {"href": "https://b.org/x"}}'')'), 'replica_added', 'a replica of an asset without a node');
SELECT is(pg_temp.outcomes('{"x": {"href": "https://x.org/x", "roles": ["data"]}}', '{"x": {"href": "https://x.org/x", "roles": ["data"], "alternate:name": "x.org"}}'), 'replica_removed', 'a node found out later is a location that leaves none');
SELECT is(pg_temp.publish('nameless.v1', '{"x": {"href": "https://x.org/x", "roles": ["data"], "alternate:name": null, "alternate": null}}'), 'published', 'nulls of a client');
SELECT row_eq($$SELECT nodes FROM esgf_stac.item WHERE id = 'nameless.v1'$$, ROW ('{}'::text[]), 'are no nodes');
SELECT pg_temp.refused($$SELECT esgf_stac.remove_replica('CMIP6', 'nameless.v1', '*')$$, 'PT404', 'replica-does-not-exist', 'nor can it be removed as one');
SELECT is(pg_temp.outcome('nameless.v1', $$SELECT esgf_stac.patch_item('CMIP6', 'nameless.v1', '{"properties": {"updated": "2026-01-01T00:00:00Z"}}')$$), 'unchanged', 'and stay as they are');
SELECT is((SELECT action FROM esgf_stac.add_replica('CMIP6', 'nameless.v1', 'b.org', '{"x": {"href": "https://b.org/x"}}')), 'replica_added', 'a replica takes the place of a null alternate');
SELECT is(pg_temp.assets('nameless.v1') #> '{x,alternate}', '{"b.org": {"href": "https://b.org/x", "alternate:name": "b.org"}}', 'and is there');
SELECT is(pg_temp.publish('nameless.v2', '{"x": {"href": "https://x.org/x", "roles": ["data"], "alternate": null}}'), 'published', 'again');
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'nameless.v2', '[{"op": "add", "path": "/assets/x/alternate/b.org", "value": {"href": "https://b.org/x", "alternate:name": "b.org"}}]')), 'replica_added', 'by a patch');
SELECT pg_temp.refused($$SELECT pg_temp.publish('empty.v1', pg_temp.asset('x', '{a.org}', '{"alternate": {}}'))$$, 'PT400', 'stac-validation', 'an empty alternate is not published');

-- The parent is made where a patch adds to it, when it does.
SELECT is(pg_temp.publish('parent.v1', pg_temp.files('a.org')), 'published', 'an item without alternates');
SELECT is(pg_temp.outcome('parent.v1', format('SELECT esgf_stac.patch_item(''CMIP6'', ''parent.v1'', %L)', jsonb_build_array(
    jsonb_build_object('op', 'test', 'path', '/assets', 'value', pg_temp.files('a.org')),
    jsonb_build_object('op', 'add', 'path', '/assets/f1.nc/alternate/b.org', 'value', pg_temp.entry('f1.nc', 'b.org')),
    jsonb_build_object('op', 'add', 'path', '/assets/f2.nc/alternate/b.org', 'value', pg_temp.entry('f2.nc', 'b.org'))))), 'replica_added', 'a test before it sees none');
SELECT is(pg_temp.outcome('parent.v1', format('SELECT esgf_stac.patch_item(''CMIP6'', ''parent.v1'', %L)', jsonb_build_array(
    jsonb_build_object('op', 'add', 'path', '/assets/f3.nc', 'value', pg_temp.asset('f3.nc', '{a.org}') -> 'f3.nc'),
    jsonb_build_object('op', 'add', 'path', '/assets/f3.nc/alternate/b.org', 'value', pg_temp.entry('f3.nc', 'b.org'))))), 'updated', 'of an asset that the patch adds');
SELECT is(pg_temp.outcome('parent.v1', $$SELECT esgf_stac.patch_item('CMIP6', 'parent.v1', '[
    {"op": "remove", "path": "/assets/f1.nc/alternate"}, {"op": "remove", "path": "/assets/f2.nc/alternate/b.org"}, {"op": "remove", "path": "/assets/f3.nc/alternate/b.org"},
    {"op": "add", "path": "/assets/f1.nc/alternate/c.org", "value": {"href": "https://c.org/f1.nc", "alternate:name": "c.org"}},
    {"op": "copy", "from": "/assets/f1.nc/alternate/c.org", "path": "/assets/f2.nc/alternate/c.org"},
    {"op": "add", "path": "/assets/f3.nc/alternate/d.org", "value": {"href": "https://c.org/f3.nc", "alternate:name": "c.org"}},
    {"op": "move", "from": "/assets/f3.nc/alternate/d.org", "path": "/assets/f3.nc/alternate/c.org"}]')$$), 'replica_removed', 'after a removal, for copies and for moves');
SELECT is((SELECT nodes FROM esgf_stac.item WHERE id = 'parent.v1'), '{a.org,c.org}', 'the nodes are right');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'parent.v1', '[{"op": "add", "path": "/assets/f9.nc/alternate/b.org", "value": {"href": "https://b.org/f9.nc", "alternate:name": "b.org"}}]')$$,
    'PT409', 'patch-does-not-apply', 'no parent is made for an asset that is not there');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'parent.v1', '[{"op": "replace", "path": "/assets/f1.nc/alternate/b.org", "value": {"href": "https://b.org/f1.nc", "alternate:name": "b.org"}}]')$$,
    'PT409', 'patch-does-not-apply', 'nor is anything replaced that is not there');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'parent.v1', '[{"op": "remove", "path": "/assets/f1.nc/alternate/b.org"}]')$$, 'PT409', 'patch-does-not-apply', 'nor removed');
SELECT is(pg_temp.outcome('parent.v1', $$SELECT esgf_stac.patch_item('CMIP6', 'parent.v1', '{"assets": {"f1.nc": {"alternate": {"b.org": null}}}}')$$), 'unchanged', 'a merge patch may');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'parent.v1', '[{"op": "add", "path": "/assets/f1.nc/alternate/b.org", "value": null}]')$$, 'PT400', 'stac-validation', 'a null is no entry');
SELECT is(pg_temp.outcome('parent.v1', $$SELECT esgf_stac.patch_item('CMIP6', 'parent.v1', '[
    {"op": "remove", "path": "/assets/f1.nc/alternate/c.org"}, {"op": "add", "path": "/assets/f1.nc/alternate/c.org", "value": null},
    {"op": "remove", "path": "/assets/f2.nc/alternate/c.org"}, {"op": "add", "path": "/assets/f2.nc/alternate/c.org", "value": null},
    {"op": "remove", "path": "/assets/f3.nc/alternate/c.org"}, {"op": "add", "path": "/assets/f3.nc/alternate/c.org", "value": null}]')$$), 'replica_removed', 'doubled removes');
SELECT is(pg_temp.assets('parent.v1'), pg_temp.files('a.org') || pg_temp.asset('f3.nc', '{a.org}'), 'leave the item as it was without replicas');

-- The verbs: receipts, events, what they leave alone.
SELECT is(pg_temp.publish('verb.v1', pg_temp.files('a.org')), 'published', 'an item');
SELECT row_eq($$SELECT collection_id, item_id, version, changed, action, event_id = (SELECT id FROM pg_temp.last_event('verb.v1'))
                  FROM esgf_stac.add_replica('CMIP6', 'verb.v1', 'b.org', '{"f1.nc": {"href": "https://b.org/f1.nc", "updated": "2026-08-01T00:00:00Z"}, "f2.nc": {"href": "https://b.org/f2.nc", "alternate:name": null}}')$$,
              ROW ('CMIP6'::text, 'verb.v1'::text, 2::bigint, true, 'replica_added'::text, true), 'add_replica answers a receipt');
SELECT is(pg_temp.assets('verb.v1'), jsonb_set(pg_temp.files('a.org', 'b.org'), '{f1.nc,alternate,b.org,updated}', '"2026-08-01T00:00:00Z"'), 'a missing or null alternate:name is filled in');
SELECT row_eq($$SELECT type, payload -> 'assets', request FROM pg_temp.last_event('verb.v1')$$,
              ROW ('item.replica_added'::text, pg_temp.assets('verb.v1'), '{"method": "ADD_REPLICA", "node": "b.org", "alternates": {"f1.nc": {"href": "https://b.org/f1.nc", "updated": "2026-08-01T00:00:00Z"}, "f2.nc": {"href": "https://b.org/f2.nc", "alternate:name": null}}}'::jsonb),
              'its event has the whole document, and what was asked');
SELECT row_eq($$SELECT version, changed, action, event_id FROM esgf_stac.add_replica('CMIP6', 'verb.v1', 'b.org', jsonb_set(pg_temp.replica('b.org'), '{f1.nc,updated}', '"2026-09-01T00:00:00Z"'))$$,
              ROW (2::bigint, false, NULL::text, NULL::uuid), 'the same again, stamped anew, changes nothing');
SELECT is((SELECT changed FROM esgf_stac.add_replica('CMIP6', 'verb.v1', 'a.org', pg_temp.replica('a.org'))), false, 'nor does the primary location');
SELECT is((SELECT changed FROM esgf_stac.add_replica('CMIP6', 'verb.v1', 'b.org', pg_temp.replica('b.org') - 'f1.nc')), false, 'nor a part of what is there');
SELECT pg_temp.refused($$SELECT esgf_stac.add_replica('CMIP6', 'verb.v1', 'b.org', jsonb_set(pg_temp.replica('b.org'), '{f1.nc,href}', '"https://b.org/other"'))$$, 'PT409', 'replica-already-exists', 'other content than the one there');
SELECT pg_temp.refused($$SELECT esgf_stac.add_replica('CMIP6', 'verb.v1', 'b.org', jsonb_set(pg_temp.replica('b.org'), '{f1.nc,description}', '"d"'))$$, 'PT409', 'replica-already-exists', 'in whatever member');
SELECT pg_temp.refused($$SELECT esgf_stac.add_replica('CMIP6', 'verb.v1', 'a.org', jsonb_set(pg_temp.replica('a.org'), '{f1.nc,href}', '"https://a.org/other"'))$$, 'PT409', 'replica-already-exists', 'or than the primary one');
SELECT pg_temp.refused($$SELECT esgf_stac.add_replica('CMIP6', 'verb.v1', 'c.org', pg_temp.replica('c.org') || '{"f9.nc": {"href": "https://c.org/f9.nc"}}')$$, 'PT409', 'patch-does-not-apply', 'an unknown asset key');
SELECT pg_temp.refused($$SELECT esgf_stac.add_replica('CMIP6', 'verb.v1', 'c.org', pg_temp.replica('d.org'))$$, 'PT403', 'missing-permission', 'entries of another node');
SELECT pg_temp.refused($$SELECT esgf_stac.add_replica('CMIP6', 'verb.v1', 'c.org', pg_temp.replica('c.org') #- '{f1.nc,href}')$$, 'PT400', 'stac-validation', 'an entry without href');
SELECT pg_temp.refused($$SELECT esgf_stac.add_replica('CMIP6', 'verb.v1', 'c.org', '{"f1.nc": {"href": 5}, "f2.nc": {"href": "https://c.org/f2.nc"}}')$$, 'PT400', 'stac-validation', 'an href that is no string');
SELECT pg_temp.refused(format('SELECT esgf_stac.add_replica(''CMIP6'', ''verb.v1'', ''c.org'', %L)', bad), 'PT400', 'bad-request', 'alternates that are none: ' || bad)
  FROM unnest(ARRAY['{}', '[]', 'null', '"x"', '{"f1.nc": null}', '{"f1.nc": []}', '{"f1.nc": "https://c.org/f1.nc"}']) bad;
SELECT pg_temp.refused(format('SELECT esgf_stac.add_replica(%s)', bad), 'PT400', 'bad-request', 'SQL NULL, or no node: ' || bad)
  FROM unnest(ARRAY[$$NULL, 'verb.v1', 'c.org', '{"f1.nc": {}}'$$, $$'CMIP6', NULL, 'c.org', '{"f1.nc": {}}'$$, $$'CMIP6', 'verb.v1', NULL, '{"f1.nc": {}}'$$, $$'CMIP6', 'verb.v1', '', '{"f1.nc": {}}'$$, $$'CMIP6', 'verb.v1', 'c.org', NULL$$]) bad;
SELECT pg_temp.refused(format('SELECT esgf_stac.remove_replica(%s)', bad), 'PT400', 'bad-request', 'removing none: ' || bad)
  FROM unnest(ARRAY[$$NULL, 'verb.v1', 'b.org'$$, $$'CMIP6', NULL, 'b.org'$$, $$'CMIP6', 'verb.v1', NULL$$, $$'CMIP6', 'verb.v1', ''$$]) bad;
SELECT pg_temp.refused($$SELECT esgf_stac.remove_replica('CMIP6', 'verb.v1', 'c.org')$$, 'PT404', 'replica-does-not-exist', 'an absent replica is not removed');
SELECT pg_temp.refused($$SELECT esgf_stac.remove_replica('CMIP6', 'nobody', 'c.org')$$, 'PT404', 'item-does-not-exist', 'nor one of an unknown item');
SELECT pg_temp.refused($$SELECT esgf_stac.add_replica('CMIP9', 'nobody', 'c.org', '{"f1.nc": {}}')$$, 'PT404', 'collection-does-not-exist', 'nor is one added in an unknown collection');
SELECT pg_temp.refused($$SELECT esgf_stac.add_replica('CMIP6', 'verb.v1', 'c.org', pg_temp.replica('c.org'), 1)$$, 'PT412', 'version-conflict', 'a stale if_match');
SELECT pg_temp.refused($$SELECT esgf_stac.add_replica('CMIP6', 'verb.v1', 'b.org', pg_temp.replica('b.org'), 1)$$, 'PT412', 'version-conflict', 'also where nothing would change');
SELECT pg_temp.refused($$SELECT esgf_stac.remove_replica('CMIP6', 'verb.v1', 'c.org', 1)$$, 'PT412', 'version-conflict', 'or nothing is there');
SELECT row_eq($$SELECT version, updated = (document #>> '{properties,updated}')::timestamptz, nodes FROM esgf_stac.item WHERE id = 'verb.v1'$$, ROW (2::bigint, true, '{a.org,b.org}'::text[]), 'nothing of this changed the item');
SELECT is((SELECT count(*) FROM esgf_stac.outbox WHERE aggregateid = 'verb.v1'), 2::bigint, 'or left an event');
SELECT row_eq($$SELECT version, changed, action FROM esgf_stac.remove_replica('CMIP6', 'verb.v1', 'b.org', 2)$$, ROW (3::bigint, true, 'replica_removed'::text), 'remove_replica, with if_match');
SELECT row_eq($$SELECT type, payload -> 'assets', request FROM pg_temp.last_event('verb.v1')$$,
              ROW ('item.replica_removed'::text, pg_temp.files('a.org'), '{"method": "REMOVE_REPLICA", "node": "b.org", "if_match": 2}'::jsonb), 'its event');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"require_version": true}')$$, 'where a version is required');
SELECT is((SELECT action FROM esgf_stac.add_replica('CMIP6', 'verb.v1', 'b.org', pg_temp.replica('b.org'))), 'replica_added', 'adding needs none');
SELECT is((SELECT action FROM esgf_stac.remove_replica('CMIP6', 'verb.v1', 'b.org')), 'replica_removed', 'nor does removing');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'verb.v1', '[{"op": "add", "path": "/assets/f1.nc/alternate/b.org", "value": {}}]')$$, 'PT428', 'version-required', 'a patch does');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"require_version": false}')$$, 'no more');
SELECT is((SELECT string_agg(concat_ws(' ', status, action, problem ->> 'status'), ', ' ORDER BY ordinal) FROM esgf_stac.transact(jsonb_build_array(
    jsonb_build_object('method', 'ADD_REPLICA', 'collection_id', 'CMIP6', 'item_id', 'verb.v1', 'node', 'b.org', 'alternates', pg_temp.replica('b.org')),
    jsonb_build_object('method', 'REMOVE_REPLICA', 'collection_id', 'CMIP6', 'item_id', 'verb.v1', 'node', 'a.org', 'if_match', 6),
    jsonb_build_object('method', 'REMOVE_REPLICA', 'collection_id', 'CMIP6', 'item_id', 'verb.v1', 'node', 'a.org')), false)), '200 replica_added, 200 replica_removed, 404 404', 'both in transact');
SELECT is(pg_temp.assets('verb.v1'), pg_temp.files('b.org'), 'the item has moved');

-- Deleted and retracted items.
SELECT is(pg_temp.publish('gone.v1', pg_temp.files('a.org', 'b.org')), 'published', 'an item');
SELECT is((SELECT action FROM esgf_stac.delete_item('CMIP6', 'gone.v1')), 'deleted', 'is deleted');
SELECT pg_temp.refused($$SELECT esgf_stac.add_replica('CMIP6', 'gone.v1', 'c.org', pg_temp.replica('c.org'))$$, 'PT404', 'item-does-not-exist', 'no replica is added');
SELECT pg_temp.refused($$SELECT esgf_stac.remove_replica('CMIP6', 'gone.v1', 'b.org')$$, 'PT404', 'item-does-not-exist', 'and none is removed');
SELECT is(pg_temp.publish('retracted.v1', pg_temp.files('a.org', 'b.org', 'c.org') || pg_temp.asset('globus', '{a.org}')), 'published', 'an item');
SELECT is((SELECT action FROM esgf_stac.retract_item('CMIP6', 'retracted.v1')), 'retracted', 'is retracted');
SELECT pg_temp.refused($$SELECT esgf_stac.add_replica('CMIP6', 'retracted.v1', 'd.org', pg_temp.replica('d.org'))$$, 'PT409', 'item-retracted', 'no replica is added');
SELECT pg_temp.refused($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{assets}', pg_temp.files('a.org', 'b.org', 'c.org', 'd.org')) WHERE id = 'retracted.v1'$$, 'PT409', 'item-retracted', 'nor by hand');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'retracted.v1', '{"assets": {"f1.nc": {"alternate": {"b.org": {"href": "https://b.org/other"}}}}}')$$, 'PT409', 'item-retracted', 'or altered');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'retracted.v1', '{"properties": {"title": "t"}, "assets": {"f1.nc": {"alternate": {"b.org": null}}, "f2.nc": {"alternate": {"b.org": null}}}}')$$, 'PT409', 'item-retracted', 'or removed with something else');
SELECT is(pg_temp.outcome('retracted.v1', $$SELECT esgf_stac.patch_item('CMIP6', 'retracted.v1', '{"assets": {"f1.nc": {"alternate": {"c.org": null}}, "f2.nc": {"alternate": {"c.org": null}}}}')$$), 'replica_removed', 'removal passes, by a patch');
SELECT is((SELECT action FROM esgf_stac.remove_replica('CMIP6', 'retracted.v1', 'a.org')), 'replica_removed', 'of the primary location, by the verb');
SELECT is((SELECT payload -> 'assets' FROM pg_temp.last_event('retracted.v1')), '{}', 'readers see no assets still');
SELECT pg_temp.refused($$SELECT esgf_stac.remove_replica('CMIP6', 'retracted.v1', 'b.org')$$, 'PT409', 'last-replica', 'but not of the last one');
SELECT is((SELECT action FROM esgf_stac.reinstate_item('CMIP6', 'retracted.v1')), 'reinstated', 'reinstated');
SELECT is(pg_temp.assets('retracted.v1'), pg_temp.files('b.org'), 'it has what is left');

-- A replica is a copy: checksum and size in an entry are the file's. And what comes first where much is wrong.
CREATE ROLE esgf_stac_test_writer IN ROLE esgf_stac_writer;
GRANT SELECT ON esgf_stac.outbox TO esgf_stac_test_writer;
INSERT INTO esgf_stac.site (node, href_prefixes) SELECT n, ARRAY['https://' || n || '/'] FROM unnest('{a.org,b.org,c.org}'::text[]) n;
DO $$ BEGIN
    PERFORM esgf_stac.grant_access('role:esgf_stac_test_writer', 'REPLICATE', 'project', 'CMIP6'), esgf_stac.grant_access('role:esgf_stac_test_writer', 'REPLICATE', 'node', n) FROM unnest('{b.org,c.org}'::text[]) n;
    PERFORM esgf_stac.create_item('CMIP6', pg_temp.document('copy.v1'));
END $$;
CREATE FUNCTION pg_temp.copy(node text, more jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT format('SELECT esgf_stac.add_replica(''CMIP6'', ''copy.v1'', %L, %L)', node, jsonb_build_object('tas.nc', pg_temp.entry('tas.nc', node) || more)) $$;
SET LOCAL ROLE esgf_stac_test_writer;
SELECT pg_temp.refused(pg_temp.copy('b.org', '{"file:checksum": "12200b"}'), 'PT409', 'content-changed', 'another checksum');
SELECT pg_temp.refused(pg_temp.copy('b.org', '{"file:size": 11}'), 'PT409', 'content-changed', 'another size');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'copy.v1', '{"assets": {"tas.nc": {"alternate": {"b.org": {"href": "https://b.org/tas.nc", "alternate:name": "b.org", "file:size": 11}}}}}')$$, 'PT409', 'content-changed', 'by a patch');
SELECT pg_temp.refused($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{assets,tas.nc,alternate}', '{"b.org": {"href": "https://b.org/tas.nc", "alternate:name": "b.org", "file:size": 11}}') WHERE id = 'copy.v1'$$, 'PT409', 'content-changed', 'by hand');
SELECT pg_temp.refused(pg_temp.copy('a.org', '{"href": "https://a.org/x"}'), 'PT409', 'replica-already-exists', 'what is there already is told before 403');
SELECT pg_temp.refused($$SELECT esgf_stac.remove_replica('CMIP6', 'copy.v1', 'a.org')$$, 'PT403', 'missing-permission', 'that it is the last one is not');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'copy.v1', '{"assets": {"tas.nc": null}}')$$, 'PT403', 'missing-permission', 'by a patch, too');
SELECT pg_temp.refused($$SELECT esgf_stac.patch_item('CMIP6', 'copy.v1', '[{"op": "add", "path": "/assets/tas.nc/alternate/a.org", "value": {"href": "https://a.org/tas.nc", "alternate:name": "a.org"}}]')$$, 'PT403', 'missing-permission', 'nor that there would be two at another''s node');
SELECT is(pg_temp.outcome('copy.v1', pg_temp.copy('b.org', '{"file:checksum": "12200a", "file:size": 10.0}')), 'replica_added', 'the same content');
SELECT is(pg_temp.outcome('copy.v1', pg_temp.copy('c.org', '{"file:checksum": null}')), 'replica_added', 'or no word of it');
SELECT pg_temp.refused($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{assets,tas.nc}', document #> '{assets,tas.nc}' || pg_temp.entry('tas.nc', 'b.org')
    || jsonb_build_object('alternate', (document #> '{assets,tas.nc,alternate}') - 'b.org' || jsonb_build_object('a.org', pg_temp.entry('tas.nc', 'a.org')))) WHERE id = 'copy.v1'$$,
    'PT403', 'missing-permission', 'who makes its own location the primary one alters the other''s');
RESET ROLE;
SELECT is(pg_temp.outcome('copy.v1', pg_temp.copy('d.org', '{"file:size": 11}')), 'replica_added', 'an administrator''s word is taken, at an unknown node, too');

-- What does a site hold?
SELECT results_eq($$SELECT id FROM esgf_stac.published_item WHERE nodes @> '{c.org,b.org,d.org,a.org}'$$, $$VALUES ('copy.v1')$$, 'nodes tells it');
SET LOCAL enable_seqscan = off;
CREATE FUNCTION pg_temp.plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query; END $$;
SELECT matches((SELECT string_agg(line, ' ') FROM pg_temp.plan_of($$SELECT id FROM esgf_stac.item WHERE nodes @> '{c.org,b.org,d.org,a.org}'$$) line), 'Bitmap Index Scan on item_nodes', 'by an index');

-- Another trigger BEFORE ROW may change the row once more: what is stored counts.
CREATE FUNCTION pg_temp.retitle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.document := jsonb_set(NEW.document, '{properties,title}', '"another"');
    RETURN NEW;
END
$$;
CREATE TRIGGER z_retitle BEFORE UPDATE ON esgf_stac.item FOR EACH ROW EXECUTE FUNCTION pg_temp.retitle();
SELECT is(pg_temp.publish('z.v1', pg_temp.files('a.org')), 'published', 'an item');
SELECT is(pg_temp.outcome('z.v1', format('SELECT esgf_stac.add_replica(''CMIP6'', ''z.v1'', ''b.org'', %L)', pg_temp.replica('b.org'))), 'updated', 'what a trigger makes of a replica is more than that');

SELECT * FROM finish();
ROLLBACK;
