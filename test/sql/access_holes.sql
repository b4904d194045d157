\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set access :srcdir '/access.psql'
\i :access
-- Ways around "Who may", each as somebody would try it who holds something, but not this.
SELECT plan(269);

CREATE FUNCTION pg_temp.holds(VARIADIC rules text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM esgf_stac.revoke_access(id) FROM esgf_stac.access_rule WHERE revoked_by IS NULL;
    PERFORM esgf_stac.grant_access('role:esgf_stac_test_writer', split_part(r, ' ', 1), split_part(r, ' ', 2), split_part(r, ' ', 3), nullif(split_part(r, ' ', 4), '')) FROM unnest(rules) r;
END $$;

-- What the writer gets for a statement, which is undone: the events, or the error and its DETAIL in one line.
CREATE FUNCTION pg_temp.try(query text, as_role text DEFAULT 'esgf_stac_test_writer') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    events bigint := (SELECT max(seq) FROM esgf_stac.outbox);
    slug text;
    detail text;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', as_role);
    EXECUTE query;
    RESET ROLE;
    RAISE EXCEPTION USING ERRCODE = 'PT000', MESSAGE = coalesce((SELECT string_agg(substr(type, 6), ' ' ORDER BY seq) FROM esgf_stac.outbox WHERE seq > events), 'nothing');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS slug = CONSTRAINT_NAME, detail = PG_EXCEPTION_DETAIL;
    RETURN CASE WHEN SQLSTATE = 'PT000' THEN SQLERRM WHEN slug = 'missing-permission' THEN replace(detail, E'\n', '; ') ELSE concat_ws(' ', SQLSTATE, nullif(slug, '')) END;
END $$;
CREATE FUNCTION pg_temp.patch(patch text, as_role text DEFAULT 'esgf_stac_test_writer') RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.try(format('SELECT esgf_stac.patch_item(%L, %L, %L)', 'CMIP6', 'i.v1', patch), as_role) $$;
CREATE FUNCTION pg_temp.publish(id text, institution jsonb, more jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.try(format('SELECT esgf_stac.create_item(%L, %L)', 'CMIP6', jsonb_set(pg_temp.access_document(id), '{properties,cmip6:institution_id}', institution) || more)) $$;

-- The institution, which was parsed and never enforced.
DO $$ BEGIN PERFORM pg_temp.holds('UPDATE project CMIP6 MPI-M', 'CREATE project CMIP6 MPI-M', 'CREATE node *'); END $$;
SELECT is(pg_temp.patch('{"properties": {"title": "t"}}'), 'updated', 'institution: held');
SELECT is(pg_temp.patch('{"properties": {"cmip6:institution_id": "DKRZ"}}'), '/properties/cmip6:institution_id: UPDATE on project CMIP6 for DKRZ is missing', 'institution: given away to one that is not held');
SELECT is(pg_temp.patch('{"properties": {"cmip6:institution_id": ["MPI-M", "DKRZ"]}}'), '/properties/cmip6:institution_id: UPDATE on project CMIP6 for DKRZ is missing', 'institution: another one beside it');
SELECT is(pg_temp.publish('p.v1', '"MPI-M"'), 'published', 'institution: published');
SELECT is(pg_temp.publish('p.v1', '"DKRZ"'), ': CREATE on project CMIP6 for DKRZ is missing', 'institution: another one published');
SELECT is(pg_temp.publish('p.v1', '["MPI-M", "DKRZ", "MPI-M"]'), ': CREATE on project CMIP6 for DKRZ is missing', 'institution: each of an array, once');
SELECT is(pg_temp.publish('p.v1', '"mpi-m"'), ': CREATE on project CMIP6 for mpi-m is missing', 'institution: spelled otherwise');
SELECT is(pg_temp.publish('p.v1', 'null'), ': CREATE on project CMIP6 is missing', 'institution: none is not any');
SELECT is(pg_temp.publish('p.v1', '[]'), ': CREATE on project CMIP6 is missing', 'institution: nor is an empty array');
SELECT is(pg_temp.publish('p.v1', '{"name": "MPI-M"}'), ': CREATE on project CMIP6 is missing', 'institution: nor an object that names it');
SELECT is(pg_temp.publish('p.v1', '[["MPI-M"]]'), ': CREATE on project CMIP6 is missing', 'institution: nor an array in an array');
DO $$ BEGIN PERFORM esgf_stac.create_item('CMIP6', jsonb_set(pg_temp.access_document('both.v1'), '{properties,cmip6:institution_id}', '["MPI-M", "DKRZ"]')); END $$;
SELECT is(pg_temp.try($$SELECT esgf_stac.patch_item('CMIP6', 'both.v1', '{"properties": {"cmip6:institution_id": "MPI-M"}}')$$), '/properties/cmip6:institution_id: UPDATE on project CMIP6 for DKRZ is missing', 'institution: the old document counts, too');
SELECT is(pg_temp.try($$UPDATE esgf_stac.item SET document = document #- '{properties,cmip6:institution_id}' WHERE id = 'both.v1'$$), '/properties/cmip6:institution_id: UPDATE on project CMIP6 for DKRZ is missing', 'institution: also where the new one has none');
DO $$ BEGIN PERFORM pg_temp.holds('CREATE project CMIP6', 'CREATE node * DKRZ'); END $$;
SELECT is(pg_temp.publish('p.v1', '"MPI-M"'), '/assets/pr.nc: CREATE on node a.org for MPI-M is missing; /assets/pr.nc/alternate/b.org: CREATE on node b.org for MPI-M is missing', 'institution: a node for one institution only');
SELECT is(pg_temp.publish('p.v1', '"DKRZ"'), 'published', 'institution: of which it is');
DO $$ BEGIN PERFORM pg_temp.holds('UPDATE project CMIP MPI-M', 'UPDATE project cmip6', 'UPDATE project CMIP6.', 'UPDATE node CMIP6', 'UPDATE project %'); END $$;
SELECT is(pg_temp.patch('{"properties": {"title": "t"}}'), '/properties/title: UPDATE on project CMIP6 for MPI-M is missing', 'a target is compared whole, in its scope');

-- Whom a location is of: the path's key, alternate:name and the host of the href must agree, and the site must be known.
DO $$ BEGIN PERFORM pg_temp.holds('REPLICATE project CMIP6', 'REPLICATE node c.org', 'REPLICATE node z.org', 'UPDATE project CMIP6'); END $$;
CREATE FUNCTION pg_temp.add(key text, name text, href text) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.patch(jsonb_build_array(jsonb_build_object('op', 'add', 'path', '/assets/globus/alternate/' || key, 'value',
        jsonb_strip_nulls(jsonb_build_object('href', href, 'alternate:name', name))))::text) $$;
SELECT is(pg_temp.add('c.org', 'c.org', 'https://c.org/x'), 'replica_added', 'location: one''s own');
SELECT is(pg_temp.add('c.org', 'b.org', 'https://c.org/x'), '/assets/globus/alternate/c.org: the path''s key c.org and alternate:name must be the same', 'location: another name under one''s own key');
SELECT is(pg_temp.add('d.org', 'c.org', 'https://c.org/x'), '/assets/globus/alternate/d.org: REPLICATE on node d.org for MPI-M is missing; /assets/globus/alternate/d.org: the path''s key d.org and alternate:name must be the same; /assets/globus/alternate/d.org: data node d.org is not known', 'location: one''s own name under another key');
SELECT is(pg_temp.add('c.org', 'c.org', 'https://b.org/x'), '/assets/globus/alternate/c.org: the href "https://b.org/x" is not one of data node c.org, which has https://c.org/', 'location: another''s href');
SELECT is(pg_temp.add('c.org', NULL, 'https://c.org/x'), '/assets/globus/alternate/c.org: the path''s key c.org and alternate:name must be the same', 'location: no name');
SELECT is(pg_temp.add('c.org', 'C.ORG', 'https://c.org/x'), '/assets/globus/alternate/c.org: the path''s key c.org and alternate:name must be the same', 'location: a name in another case');
SELECT is(pg_temp.add('z.org', 'z.org', 'https://z.org/x'), '/assets/globus/alternate/z.org: data node z.org is not known', 'location: a node that is not in the table, right or not');
SELECT is(pg_temp.patch('[{"op": "add", "path": "/assets/globus/alternate/c.org", "value": {"href": "https://c.org/x", "alternate:name": "b.org"}}]', session_user::text), '/assets/globus/alternate/c.org: the path''s key c.org and alternate:name must be the same', 'location: names agree for an administrator, too');
SELECT is(pg_temp.patch('{"assets": {"x": {"href": "https://b.org/x", "alternate:name": "c.org"}}}'), '/assets/x: the href "https://b.org/x" is not one of data node c.org, which has https://c.org/', 'location: a primary one that declares itself of one''s node');
SELECT is(pg_temp.patch('{"assets": {"x": {"href": "https://b.org/x"}}}'), '/assets/x: REPLICATE on node * for MPI-M is missing', 'location: a primary one of no node');
SELECT is(pg_temp.patch('{"assets": {"x": {"href": "https://b.org/x", "alternate:name": "*"}}}'), '/assets/x: REPLICATE on node * for MPI-M is missing; /assets/x: data node * is not known', 'location: a node named as if it were any');
SELECT is(pg_temp.add('*', '*', 'https://evil.org/x'), '/assets/globus/alternate/*: REPLICATE on node * for MPI-M is missing; /assets/globus/alternate/*: data node * is not known', 'location: nor as a replica');
SELECT is(pg_temp.patch('{"assets": {"tas.nc": {"alternate": {"a.org": {"href": "https://c.org/x", "alternate:name": "a.org"}}}}}'), '/assets/tas.nc/alternate/a.org: REPLICATE on node a.org for MPI-M is missing; /assets/tas.nc/alternate/a.org: the href "https://c.org/x" is not one of data node a.org, which has https://a.org/', 'location: a second one at the node of the primary one');
SELECT is(pg_temp.patch('{"assets": {"tas.nc": {"alternate:name": "c.org"}}}'), '/assets/tas.nc: REPLICATE on node a.org for MPI-M is missing; /assets/tas.nc: the href "https://a.org/tas.nc" is not one of data node c.org, which has https://c.org/', 'location: taken over by its name');
SELECT is(pg_temp.patch('{"assets": {"tas.nc": {"alternate:name": "c.org", "href": "https://c.org/tas.nc"}}}'), '/assets/tas.nc: REPLICATE on node a.org for MPI-M is missing', 'location: taken over altogether');
SELECT is(pg_temp.patch('{"assets": {"tas.nc": {"alternate:name": "b.org", "href": "https://b.org/tas.nc", "alternate": {"b.org": null}}}}'), '/assets/tas.nc: REPLICATE on node a.org for MPI-M is missing', 'location: the primary one dropped for a replica');
SELECT is(pg_temp.patch('[{"op": "copy", "from": "/assets/tas.nc/alternate/b.org", "path": "/assets/tas.nc/alternate/c.org"}]'), '/assets/tas.nc/alternate/c.org: the path''s key c.org and alternate:name must be the same; /assets/tas.nc/alternate/c.org: the href "https://b.org/tas.nc" is not one of data node c.org, which has https://c.org/', 'location: copied from another site');
SELECT is(pg_temp.patch('[{"op": "copy", "from": "/assets/tas.nc/alternate/b.org", "path": "/assets/tas.nc/alternate/c.org"}, {"op": "replace", "path": "/assets/tas.nc/alternate/c.org/alternate:name", "value": "c.org"}]'), '/assets/tas.nc/alternate/c.org: the href "https://b.org/tas.nc" is not one of data node c.org, which has https://c.org/', 'location: copied and renamed');
SELECT is(pg_temp.patch('[{"op": "move", "from": "/assets/tas.nc/alternate/b.org", "path": "/assets/tas.nc/alternate/c.org"}]'), '/assets/tas.nc/alternate/b.org: REPLICATE on node b.org for MPI-M is missing; /assets/tas.nc/alternate/c.org: the path''s key c.org and alternate:name must be the same; /assets/tas.nc/alternate/c.org: the href "https://b.org/tas.nc" is not one of data node c.org, which has https://c.org/', 'location: moved from another site');
UPDATE esgf_stac.site SET active = false WHERE node = 'c.org';
SELECT is(pg_temp.add('c.org', 'c.org', 'https://c.org/x'), '/assets/globus/alternate/c.org: data node c.org is not active', 'location: of a site that is not active');
UPDATE esgf_stac.site SET active = true WHERE node = 'c.org';
DO $$ BEGIN PERFORM esgf_stac.patch_item('CMIP6', 'i.v1', '[{"op": "add", "path": "/assets/globus/alternate/c.org", "value": {"href": "https://c.org/x", "alternate:name": "c.org"}}]'); END $$;
UPDATE esgf_stac.site SET active = false WHERE node = 'c.org';
SELECT is(pg_temp.patch('[{"op": "replace", "path": "/assets/globus/alternate/c.org/href", "value": "https://c.org/y"}]'), '/assets/globus/alternate/c.org: data node c.org is not active', 'location: altered there');
SELECT is(pg_temp.patch('[{"op": "remove", "path": "/assets/globus/alternate/c.org"}]'), 'replica_removed', 'location: but a site that has shut down may be removed');
DELETE FROM esgf_stac.site WHERE node = 'c.org';
SELECT is(pg_temp.patch('[{"op": "remove", "path": "/assets/globus/alternate/c.org"}]'), 'replica_removed', 'location: also when it is forgotten');
INSERT INTO esgf_stac.site VALUES ('c.org', '{https://c.org/}');

-- What else was looked away from: whole assets, all but the last operation, what is stored.
DO $$ BEGIN PERFORM pg_temp.holds('UPDATE project CMIP6', 'REPLICATE node c.org', 'UPDATE node b.org'); END $$;
SELECT is(pg_temp.patch('[{"op": "replace", "path": "/assets", "value": {}}]'), '/assets/pr.nc: REPLICATE on node a.org for MPI-M is missing', '/assets {} needs the rights of all nodes');
SELECT is(pg_temp.patch('[{"op": "replace", "path": "/assets", "value": {}}, {"op": "add", "path": "/properties/retracted", "value": true}]'), '/properties/retracted: REVOKE on project CMIP6 for MPI-M is missing', 'or, as a retraction, the right to retract');
SELECT is(pg_temp.patch('[{"op": "remove", "path": "/assets/tas.nc"}]'), '/assets/tas.nc: REPLICATE on node a.org for MPI-M is missing', 'an asset goes with its locations');
SELECT is(pg_temp.patch('[{"op": "move", "from": "/assets/tas.nc", "path": "/assets/other.nc"}]'), '/assets/tas.nc: REPLICATE on node a.org for MPI-M is missing', 'an asset moved to another key');
SELECT is(pg_temp.patch('[{"op": "copy", "from": "/assets/tas.nc", "path": "/assets/other.nc"}]'), '/assets/other.nc: REPLICATE on node a.org for MPI-M is missing', 'an asset copied');
SELECT is(pg_temp.patch('[{"op": "replace", "path": "/assets/pr.nc/href", "value": "https://a.org/new"}, {"op": "add", "path": "/assets/globus/alternate/c.org", "value": {"href": "https://c.org/x", "alternate:name": "c.org"}}]'), '/assets/pr.nc: REPLICATE on node a.org for MPI-M is missing', 'the last operation alone is lawful');
SELECT is(pg_temp.patch('[{"op": "add", "path": "/assets/globus/alternate/c.org", "value": {"href": "https://c.org/x", "alternate:name": "c.org"}}, {"op": "replace", "path": "/assets/pr.nc/href", "value": "https://a.org/new"}]'), '/assets/pr.nc: REPLICATE on node a.org for MPI-M is missing', 'the first one alone is');
SELECT is(pg_temp.patch('[{"op": "replace", "path": "/assets/pr.nc/href", "value": "https://a.org/new"}, {"op": "replace", "path": "/assets/pr.nc/href", "value": "https://a.org/pr.nc"}, {"op": "add", "path": "/properties/title", "value": "t"}]'), 'updated', 'what is taken back is no change');
SELECT is(pg_temp.patch('{"assets": {"tas.nc": {"description": "t", "file:local_path": "/evil"}}}'), '/assets/tas.nc: REPLICATE on node a.org for MPI-M is missing', 'a location hidden behind what describes its file');
SELECT is(pg_temp.try($$SELECT esgf_stac.replace_item('CMIP6', 'i.v1', jsonb_set(jsonb_set(document, '{properties,title}', '"t"'), '{assets,pr.nc,href}', '"https://a.org/new"')) FROM esgf_stac.item WHERE id = 'i.v1'$$), '/assets/pr.nc: REPLICATE on node a.org for MPI-M is missing', 'a change hidden in a larger replacement');
SELECT is(pg_temp.patch((SELECT jsonb_build_array(jsonb_build_object('op', 'replace', 'path', '/assets', 'value', jsonb_set(document -> 'assets', '{tas.nc,alternate,c.org}', '{"href": "https://b.org/x", "alternate:name": "c.org"}'))) FROM esgf_stac.item WHERE id = 'i.v1')::text), '/assets/tas.nc/alternate/c.org: the href "https://b.org/x" is not one of data node c.org, which has https://c.org/', 'or of all assets');
DO $$ BEGIN PERFORM pg_temp.holds('REPLICATE project CMIP6', 'REPLICATE node c.org'); END $$;
SELECT is(pg_temp.patch('[{"op": "remove", "path": "/assets/tas.nc/alternate/b.org"}, {"op": "remove", "path": "/assets/pr.nc/alternate/b.org"}]'), '/assets/pr.nc/alternate/b.org: REPLICATE on node b.org for MPI-M is missing', 'another site''s replica removed');
SELECT is(pg_temp.try($$SELECT esgf_stac.remove_replica('CMIP6', 'i.v1', 'b.org')$$), '/assets/pr.nc/alternate/b.org: REPLICATE on node b.org for MPI-M is missing', 'by the verb');
SELECT is(pg_temp.try($$SELECT esgf_stac.add_replica('CMIP6', 'i.v1', 'b.org', '{"globus": {"href": "https://b.org/globus"}}')$$), 'nothing', 'another site''s replica, as it is');
SELECT is(pg_temp.patch('[{"op": "replace", "path": "/assets/tas.nc/alternate/b.org/href", "value": "https://b.org/evil"}]'), '/assets/tas.nc/alternate/b.org: REPLICATE on node b.org for MPI-M is missing', 'another site''s replica altered');
SELECT is(pg_temp.patch('[{"op": "add", "path": "/assets/tas.nc/alternate/b.org/storage", "value": "x"}]'), '/assets/tas.nc/alternate/b.org: REPLICATE on node b.org for MPI-M is missing', 'or described');
SELECT is(pg_temp.patch('[{"op": "add", "path": "/assets/tas.nc/protocol", "value": null}]'), '/assets/tas.nc: REPLICATE on node a.org for MPI-M is missing', 'a null is something');
SELECT is(pg_temp.patch('{"properties": {"title": "t"}, "assets": {"pr.nc": {"alternate": {"c.org": {"href": "https://c.org/pr.nc", "alternate:name": "c.org"}}}}}'), '/properties/title: UPDATE on project CMIP6 for MPI-M is missing', 'half of a change is lawful');
SELECT is(pg_temp.patch('[{"op": "add", "path": "/assets/globus/created", "value": "2001-01-01T00:00:00Z"}]'), 'nothing', 'stamps are no change');
SELECT is(pg_temp.patch('[{"op": "add", "path": "/assets/pr.nc/alternate/c.org", "value": {"href": "https://c.org/pr.nc", "alternate:name": "c.org", "file:size": 11}}, {"op": "add", "path": "/assets/tas.nc/alternate/c.org", "value": {"href": "https://c.org/tas.nc", "alternate:name": "c.org"}}]'), 'PT409 content-changed', 'a replica of other content');
DO $$ BEGIN PERFORM pg_temp.holds('CITATION project *'); END $$;
SELECT is(pg_temp.patch('[{"op": "add", "path": "/links/-", "value": {"rel": "cite-as", "href": "https://x.org/c"}}]'), 'updated', 'the citation listener appends citations');
SELECT is(pg_temp.patch('[{"op": "add", "path": "/links/0", "value": {"rel": "cite-as", "href": "https://x.org/c"}}]'), '/links: UPDATE on project CMIP6 for MPI-M is missing', 'it puts none before other links');
SELECT is(pg_temp.patch('[{"op": "add", "path": "/links/-", "value": {"rel": "related", "title": "Errata issue", "href": "https://x.org/c"}}]'), '/links: ERRATA on project CMIP6 for MPI-M is missing', 'nor errata');
SELECT is(pg_temp.patch('[{"op": "add", "path": "/links/-", "value": {"rel": "cite-as", "href": "https://x.org/c"}}, {"op": "add", "path": "/properties/latest", "value": false}]'), '/properties/latest: UPDATE on project CMIP6 for MPI-M is missing', 'nor anything beside them');

-- Another's dataset.
DO $$ BEGIN PERFORM pg_temp.holds('CREATE project * DKRZ', 'CREATE node *'); END $$;
SELECT is(pg_temp.publish('i.v2', '"DKRZ"'), 'PT409 institution-differs', 'a newer version would dethrone another institution''s');
SELECT is(pg_temp.publish('i.v2', '"MPI-M"'), ': CREATE on project CMIP6 for MPI-M is missing', 'nor under its name');
SELECT is(pg_temp.publish('mine.v9', '"DKRZ"', '{"properties": {"datetime": "2000-01-01T00:00:00Z", "base_id": "i", "cmip6:institution_id": "DKRZ"}}'), 'PT400 stac-validation', 'nor by a declared base_id');
SELECT is(pg_temp.publish('mine.v9', '"DKRZ"', '{"properties": {"datetime": "2000-01-01T00:00:00Z", "version": "10", "cmip6:institution_id": "DKRZ"}}'), 'PT400 stac-validation', 'nor a declared version');
SELECT is(pg_temp.publish('i', '"DKRZ"'), 'PT409 institution-differs', 'nor by the base_id as an id');
SELECT is(pg_temp.try($$INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'i.v2', jsonb_set(pg_temp.access_document('i.v2'), '{properties,cmip6:institution_id}', '"DKRZ"'))$$), 'PT409 institution-differs', 'nor by hand');
SELECT is((SELECT latest FROM esgf_stac.item WHERE id = 'i.v1'), true, 'it is the latest still');
SELECT is(pg_temp.publish('k.v1', '"DKRZ"'), 'published', 'an own dataset passes');

-- Prefixes that are a slip: no href can be under them.
SELECT pg_temp.refused(format('INSERT INTO esgf_stac.site VALUES (''slip.org'', ARRAY[''https://slip.org/'', %L])', prefix), 'PT400', 'bad-request', 'prefix ' || coalesce(to_json(prefix)::text, 'NULL'))
  FROM unnest(ARRAY[NULL, '', 'y.org', 'y.org/data/', '//y.org/', '/data/', 'https:/y.org/', 'https://', 'https:///data/', ' https://y.org/', 'https://y.org/ ', 'https://me@y.org/', 'https://*.y.org/', 'https://y%2eorg/', 'https://y.org&/',
                    'https://y.org,https://z.org/', 'https://y.org/../data/', 'https://y.org/%2e%2e/', 'https://y.org\data/', E'https://y.org/\t', 'https://:443/']) prefix;
SELECT lives_ok($$INSERT INTO esgf_stac.site VALUES ('empty.org', '{}'), ('fine.org', ARRAY['HTTPS://fine.org', 'https://[2001:db8::1]:8443/', 'gsiftp://f_1.fine.org:2811//~/'])$$, 'prefixes that are none');
SELECT pg_temp.refused($$UPDATE esgf_stac.site SET href_prefixes = '{y.org}' WHERE node = 'fine.org'$$, 'PT400', 'bad-request', 'nor by UPDATE');
-- Those that an earlier version has let in match nothing, and doctor() tells of them.
ALTER TABLE esgf_stac.site DISABLE TRIGGER check_site;
INSERT INTO esgf_stac.site VALUES ('s.org', ARRAY['https://s.org/data/', 'https://t.org', 'https://u.org/x?y=', 'https://v.org/x?y=/data/', 'https://app.globus.org/file-manager?origin_id=1a2b-3c', 'gsiftp://s.org:2811/', 'https://[2001:db8::1]/', 'https://w.org:443',
                                            'https://me@s.org/', 'https://', 'nothing', '', NULL]);
ALTER TABLE esgf_stac.site ENABLE TRIGGER check_site;
SELECT is((SELECT count(*) FROM esgf_stac.doctor() WHERE hazard = 'useless prefix' AND subject = 's.org'), 5::bigint, 'doctor shows what matches nothing');
SELECT lives_ok($$UPDATE esgf_stac.site SET description = 'd' WHERE node = 's.org'$$, 'which stands in the way of no other change');
DO $$ BEGIN PERFORM pg_temp.holds('REPLICATE project *', 'REPLICATE node *'); END $$;
CREATE FUNCTION pg_temp.verdict(href text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(reason, ' '), 'fine') FROM esgf_stac.explain_access(jsonb_build_object('method', 'ADD_REPLICA', 'collection_id', 'CMIP6', 'item_id', 'i.v1', 'node', 's.org',
        'alternates', jsonb_build_object('pr.nc', jsonb_build_object('href', href)))) WHERE NOT granted $$;
SET LOCAL ROLE esgf_stac_test_writer;
SELECT is(pg_temp.verdict(href), verdict, format('href %s', to_json(href)))
  FROM (VALUES
    (1, 'https://s.org/data/x.nc', 'fine'), (2, 'HTTPS://S.Org/data/x.nc', 'fine'), (3, 'https://s.org/data/', 'fine'), (4, 'https://s.org/data/a..b/.x', 'fine'), (5, 'https://s.org/data/x?y=/../z', 'fine'),
    (6, 'https://s.org/DATA/x.nc', 'foreign-href'), (7, 'http://s.org/data/x.nc', 'foreign-href'), (8, 'https://s.org/data', 'foreign-href'), (9, 'https://s.org/database/x', 'foreign-href'),
    (10, 'https://s.org:443/data/x.nc', 'foreign-href'), (11, 'https://s.org./data/x.nc', 'foreign-href'), (12, 'https://s.org.evil.org/data/x.nc', 'foreign-href'), (13, 'https://evil.org/https://s.org/data/x', 'foreign-href'),
    (14, 'https://s.org@evil.org/data/', 'foreign-href'), (15, 'https://user@s.org/data/x', 'foreign-href'), (16, 'https://user:pw@t.org/', 'foreign-href'), (17, 'https://s.org/data/../other/x', 'foreign-href'),
    (18, 'https://s.org/data/./x', 'foreign-href'), (19, 'https://s.org/data/..', 'foreign-href'), (20, 'https://s.org/data/%2e%2e/x', 'foreign-href'), (21, 'https://s.org/data/.%2E/x', 'foreign-href'),
    (22, 'https://s.org/data/..%2fx', 'foreign-href'), (23, 'https://s.org/data/%2E%2E%2Fx', 'foreign-href'), (24, 'https://s.org/data/..;v=1/x', 'foreign-href'), (25, 'https://s.org/data/..%3bv/x', 'foreign-href'),
    (26, 'https://s.org/data\..\x', 'foreign-href'), (27, 'https://s.org/data/..\x', 'foreign-href'), (28, 'https://s.org/data/..%5cx', 'foreign-href'), (29, 'https://s.org\@evil.org/data/', 'foreign-href'),
    (30, E'https://s.org/data/.\t./x', 'foreign-href'), (31, E'https://s.org/data/.\n./x', 'foreign-href'), (32, 'https://s.org/data/%00x', 'foreign-href'), (33, ' https://s.org/data/x', 'foreign-href'),
    (34, '//s.org/data/x', 'foreign-href'), (35, '/data/x', 'foreign-href'), (36, 'x', 'foreign-href'), (37, 'https:/s.org/data/x', 'foreign-href'), (38, 'https:///s.org/data/x', 'foreign-href'),
    (39, 'https://t.org', 'fine'), (40, 'https://t.org/x', 'fine'), (41, 'https://t.org?x', 'fine'), (42, 'https://t.org#x', 'fine'), (43, 'https://T.ORG/x', 'fine'),
    (44, 'https://t.org.evil', 'foreign-href'), (45, 'https://t.orgevil/', 'foreign-href'), (46, 'https://t.org:8443/x', 'foreign-href'), (47, 'https://t.org@evil.org/', 'foreign-href'), (48, 'https://t.org%2eevil.org/', 'foreign-href'),
    (49, 'https://t.org/../x', 'foreign-href'), (50, 'https://t.org&x', 'foreign-href'),
    (51, 'https://u.org/x?y=1', 'fine'), (52, 'https://u.org/x?z=1', 'foreign-href'), (53, 'https://u.org/x?Y=1', 'foreign-href'),
    (54, 'https://app.globus.org/file-manager?origin_id=1a2b-3c', 'fine'), (55, 'https://app.globus.org/file-manager?origin_id=1a2b-3c&origin_path=%2Fcmip6%2F', 'fine'), (56, 'https://APP.globus.org/file-manager?origin_id=1a2b-3c#x', 'fine'),
    (57, 'https://app.globus.org/file-manager?origin_id=1a2b-3c4d', 'foreign-href'), (58, 'https://app.globus.org/file-manager?origin_id=1A2B-3C', 'foreign-href'), (59, 'https://app.globus.org/file-manager?origin_id=ffff&x=1a2b-3c', 'foreign-href'),
    (60, 'https://app.globus.org/file-manager?x=1&origin_id=1a2b-3c', 'foreign-href'), (61, 'gsiftp://s.org:2811/x', 'fine'), (62, 'gsiftp://s.org:2812/x', 'foreign-href'), (63, 'https://anything.org/x', 'foreign-href'), (64, 'nothing/x', 'foreign-href'), (65, 'https://me@s.org/x', 'foreign-href'),
    (66, 'https://t.org&.evil.org/x', 'foreign-href'), (67, 'https://t.org&x=.evil.org:8443/x', 'foreign-href'), (68, 'https://t.org&@evil.org/', 'foreign-href'), (69, 'https://t.org;.evil.org/', 'foreign-href'), (70, E'https://t.org\t.evil.org/', 'foreign-href'),
    (71, 'https://t.org:443/x', 'foreign-href'), (72, 'https://w.org/x', 'foreign-href'), (73, 'https://w.org:443/x', 'fine'), (74, 'https://w.org:4433/x', 'foreign-href'), (75, 'https://t.org。evil.org/x', 'foreign-href'), (76, 'https://t%2eorg/x', 'foreign-href'),
    (77, 'https://[2001:DB8::1]/x', 'fine'), (78, 'https://[2001:db8::1].evil.org/x', 'foreign-href'), (79, 'https://[2001:db8::1]:1/x', 'foreign-href'), (80, 'https://t.org./x', 'foreign-href'), (81, 'https:t.org/x', 'foreign-href'), (82, 'ht+tps://t.org/x', 'foreign-href'),
    (83, 'https://t.org?@evil.org/', 'fine'), (84, 'https://t.org#@evil.org/', 'fine'), (85, 'https://t.org/%252e%252e/x', 'foreign-href'), (86, 'https://t.org/%25252e./x', 'foreign-href'), (87, 'https://t.org/%255cx', 'foreign-href'), (88, 'https://t.org/100%25/%25zz%2', 'fine'),
    (89, 'https://app.globus.org/file-manager?origin_id=1a2b-3c&origin_id=ffff', 'foreign-href'), (90, 'https://app.globus.org/file-manager?origin_id=1a2b-3c&origin_path=/&origin_id=ffff', 'foreign-href'), (91, 'https://app.globus.org/file-manager?origin_id=1a2b-3c&origin%5fid=ffff', 'foreign-href'),
    (92, 'https://app.globus.org/file-manager?origin_id=1a2b-3c&x;origin_id=ffff', 'foreign-href'), (93, 'https://app.globus.org/file-manager?origin_id=1a2b-3c&origin_id', 'foreign-href'), (94, 'https://app.globus.org/file-manager?origin_id=1a2b-3c?origin_id=ffff', 'foreign-href'),
    (95, 'https://app.globus.org/file-manager?origin_id=1a2b-3c&origin_ids=ffff&x=origin_id', 'fine'), (96, 'https://app.globus.org/file-manager?origin_id=1a2b-3c#&origin_id=ffff', 'fine'), (97, 'https://u.org/x?y=1&y=2', 'foreign-href'), (98, 'https://u.org/x?y=1&z=2', 'fine'),
    (99, 'https://v.org/x?y=/data/a..b/.x&z=..', 'fine'), (100, 'https://v.org/x?y=/data/../x', 'foreign-href'), (101, 'https://v.org/x?y=/data/%2e%2e%2fx', 'foreign-href'), (102, 'https://v.org/x?y=/data/..', 'foreign-href'),
    (103, 'https://v.org/x?y=/data/..&z=1', 'foreign-href'), (104, 'https://v.org/x?y=/data/x%2F..%2F..#z', 'foreign-href'), (105, 'https://v.org/x?y=/data/..#z', 'foreign-href'), (106, 'https://u.org/x?y=..', 'fine'),
    (107, 'https://app.globus.org/file-manager?origin_id=1a2b-3c&origin_path=..%2Fx', 'fine')) AS t(n, href, verdict)
 ORDER BY n;
RESET ROLE;

-- Principals that look like roles; rules that hold not yet, no longer, or for somebody of a similar name.
CREATE ROLE esgf_stac_test_gateway IN ROLE esgf_stac_gateway;
CREATE ROLE "urn:mace:egi.eu:group:esgf.vo.egi.eu:project:CMIP6:role=UPDATE#aai.egi.eu" IN ROLE esgf_stac_writer;
CREATE FUNCTION pg_temp.as_principal(principal text) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.try(format('SELECT esgf_stac.set_identity(%L); SELECT esgf_stac.patch_item(%L, %L, %L)',
                              jsonb_build_object('sub', 'esgf_stac_admin', 'iss', 'role:esgf_stac_admin', 'principals', jsonb_build_array(principal)),
                              'CMIP6', 'i.v1', '{"properties": {"title": "t"}}'), 'esgf_stac_test_gateway') $$;
\set missing '/properties/title: UPDATE on project CMIP6 for MPI-M is missing'
DO $$ BEGIN PERFORM pg_temp.holds('UPDATE project CMIP6'); END $$;
SELECT is(pg_temp.as_principal('role:esgf_stac_admin'), 'PT400 bad-request', 'principal: a claim that begins as a role does');
SELECT is(pg_temp.as_principal('role:esgf_stac_test_writer'), 'PT400 bad-request', 'principal: whatever role');
SELECT is(pg_temp.as_principal(p), :'missing', 'principal: ' || p) FROM unnest(ARRAY['esgf_stac_admin', 'Role:esgf_stac_test_writer', ' role:esgf_stac_test_writer', 'postgres', 'esgf_stac_test_writer', '']) p;
SELECT is(pg_temp.patch('{"properties": {"title": "t"}}', 'urn:mace:egi.eu:group:esgf.vo.egi.eu:project:CMIP6:role=UPDATE#aai.egi.eu'), :'missing', 'principal: a role named like an entitlement');
CREATE FUNCTION pg_temp.rule(principal text, valid_from timestamptz DEFAULT now(), valid_to timestamptz DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
    SELECT pg_temp.holds(VARIADIC '{}'); SELECT esgf_stac.grant_access($1, 'UPDATE', 'project', 'CMIP6', NULL, $2, $3) $$;
SELECT isnt(pg_temp.rule('esgf_stac_test_writer'), NULL, 'rule: for a name that is no principal');
SELECT is(pg_temp.patch('{"properties": {"title": "t"}}'), :'missing', 'rule: is not the role''s');
SELECT isnt(pg_temp.rule('role:esgf_stac_writer'), NULL, 'rule: for a role');
SELECT is(pg_temp.patch('{"properties": {"title": "t"}}'), 'updated', 'rule: is its members'', too');
SELECT is(pg_temp.as_principal('group:x/y'), :'missing', 'rule: but not of whom a gateway acts for, though it is one');
SELECT isnt(pg_temp.rule('group:x/y'), NULL, 'rule: for a group');
SELECT is(pg_temp.as_principal('group:x/y'), 'updated', 'rule: is its members''');
SELECT is(pg_temp.as_principal(p), :'missing', 'rule: not ' || p) FROM unnest(ARRAY['group:x/Y', 'group:x/y ', 'group:x', 'group:x/y/z', 'group:x/*', '*']) p;
SELECT isnt(pg_temp.rule('*'), NULL, 'rule: for everybody there is none');
SELECT is(pg_temp.as_principal('group:x/y'), :'missing', 'rule: a principal * is one of that name');
SELECT isnt(pg_temp.rule('group:x/y', now() + interval '1 hour'), NULL, 'rule: not yet valid');
SELECT is(pg_temp.as_principal('group:x/y'), :'missing', 'rule: gives nothing');
SELECT isnt(pg_temp.rule('group:x/y', now() - interval '2 hours', now() - interval '1 hour'), NULL, 'rule: no longer valid');
SELECT is(pg_temp.as_principal('group:x/y'), :'missing', 'rule: gives nothing');
SELECT isnt(pg_temp.rule('group:x/y', now() - interval '1 hour', now() + interval '1 hour'), NULL, 'rule: valid meanwhile');
SELECT is(pg_temp.as_principal('group:x/y'), 'updated', 'rule: gives what it says');
SELECT lives_ok($$SELECT esgf_stac.revoke_access(max(id)) FROM esgf_stac.access_rule$$, 'rule: revoked');
SELECT is(pg_temp.as_principal('group:x/y'), :'missing', 'rule: gives nothing');
-- A rule ends while it is in use, too.
SELECT isnt(pg_temp.rule('group:x/y', now() - interval '1 hour', clock_timestamp() + interval '0.3 s'), NULL, 'rule: for a moment');
SELECT is(pg_temp.as_principal('group:x/y'), 'updated', 'rule: gives what it says');
DO $$ BEGIN WHILE clock_timestamp() <= (SELECT max(valid_to) FROM esgf_stac.access_rule WHERE revoked_by IS NULL) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT is(pg_temp.as_principal('group:x/y'), :'missing', 'rule: until it ends');

-- Entitlements of EGI are rules by themselves, if they are just that.
SELECT is(pg_temp.as_principal(replace(urn, '~', 'urn:mace:egi.eu:group:esgf.vo.egi.eu:')), CASE WHEN good THEN 'updated' ELSE :'missing' END, 'entitlement ' || urn)
  FROM (VALUES
    (1, '~project:CMIP6:role=UPDATE#aai.egi.eu', true), (2, '~project:*:role=UPDATE#aai.egi.eu', true), (3, '~project:CMIP6:institution:MPI-M:role=UPDATE#aai.egi.eu', true), (4, '~project:*:institution:MPI-M:role=UPDATE#aai.egi.eu', true),
    (5, '~project:CMIP6:institution:DKRZ:role=UPDATE#aai.egi.eu', false), (6, '~project:CMIP6:institution::role=UPDATE#aai.egi.eu', false), (7, '~project:CMIP6:institution:*:role=UPDATE#aai.egi.eu', false),
    (8, '~project:CMIP7:role=UPDATE#aai.egi.eu', false), (9, '~project:cmip6:role=UPDATE#aai.egi.eu', false), (10, '~project::role=UPDATE#aai.egi.eu', false), (11, '~node:CMIP6:role=UPDATE#aai.egi.eu', false),
    (12, '~node:*:role=UPDATE#aai.egi.eu', false), (13, '~project:CMIP6:role=update#aai.egi.eu', false), (14, '~project:CMIP6:role=CREATE#aai.egi.eu', false), (15, '~project:CMIP6:role=UPDATES#aai.egi.eu', false),
    (16, '~project:CMIP6:role=UPDATE#aai.egi.eux', false), (17, '~project:CMIP6:role=UPDATE#aai.egi.eu ', false), (18, '~project:CMIP6:role=UPDATE', false), (19, '~project:CMIP6:role=UPDATE#', false), (20, '~project:CMIP6#aai.egi.eu', false),
    (21, ' ~project:CMIP6:role=UPDATE#aai.egi.eu', false), (22, '~PROJECT:CMIP6:role=UPDATE#aai.egi.eu', false), (23, 'urn:mace:egi.eu:group:other.vo.egi.eu:project:CMIP6:role=UPDATE#aai.egi.eu', false),
    (24, 'urn:mace:egi.eu:group:esgf.vo.egi.eu.evil:project:CMIP6:role=UPDATE#aai.egi.eu', false), (25, 'urn:mace:egi.eu:res:esgf.vo.egi.eu:project:CMIP6:role=UPDATE#aai.egi.eu', false),
    (26, '~project:CMIP6:institution:MPI-M:institution:DKRZ:role=UPDATE#aai.egi.eu', false), (27, '~project:CMIP6:role=CREATE:role=UPDATE#aai.egi.eu', false), (28, 'URN:mace:egi.eu:group:esgf.vo.egi.eu:project:CMIP6:role=UPDATE#aai.egi.eu', false)) AS t(n, urn, good)
 ORDER BY n;
DO $$ BEGIN PERFORM esgf_stac.create_item('CMIP6', jsonb_set(pg_temp.access_document('empty.v1'), '{properties,cmip6:institution_id}', '""')); END $$;
SELECT is(pg_temp.try($$SELECT esgf_stac.set_identity('{"sub": "x", "principals": ["urn:mace:egi.eu:group:esgf.vo.egi.eu:project:CMIP6:institution::role=DELETE#aai.egi.eu"]}'); SELECT esgf_stac.delete_item('CMIP6', 'empty.v1')$$, 'esgf_stac_test_gateway'),
          ': DELETE on project CMIP6 for  is missing', 'entitlement for an institution without a name');

-- What is no part of a change by the rules is one all the same.
DO $$ BEGIN PERFORM esgf_stac.create_item('CMIP6', pg_temp.document('null.v1', '{"assets": {"x": {"href": "https://a.org/x", "alternate:name": "a.org", "alternate": null}}}')); PERFORM pg_temp.holds('CITATION project CMIP6'); END $$;
SELECT is(pg_temp.try($$SELECT esgf_stac.patch_item('CMIP6', 'null.v1', '{"assets": {"x": {"alternate": null}}}')$$), ': UPDATE on project CMIP6 for MPI-M is missing', 'a null alternate taken away');

-- What readers do not see of the deleted, no function tells.
DO $$ BEGIN PERFORM esgf_stac.delete_item('CMIP6', 'i.v1'); END $$;
SELECT is(pg_temp.try($$DO 'BEGIN ASSERT (esgf_stac_internal.past_version(''CMIP6'', ''i.v1'', 1)).version IS NULL; END'$$, 'esgf_stac_reader'), 'nothing', 'a past version of a deleted item');

SELECT * FROM finish();
ROLLBACK;
