\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set access :srcdir '/access.psql'
\i :access
-- What may I? And what a rule gives to nobody is not given silently.
SELECT plan(43);

CREATE ROLE esgf_stac_test_team;
GRANT esgf_stac_test_team TO esgf_stac_test_writer;
CREATE ROLE esgf_stac_test_gateway IN ROLE esgf_stac_gateway;
CREATE ROLE esgf_stac_test_both IN ROLE esgf_stac_admin, esgf_stac_gateway;
CREATE ROLE esgf_stac_test_admin IN ROLE esgf_stac_admin;
CREATE FUNCTION pg_temp.mine() RETURNS TABLE (answer text) LANGUAGE sql AS $$
    SELECT concat_ws(' ', role, scope, target, coalesce(institution, '-'), coalesce(extract(year FROM until)::text, '-'), by) FROM esgf_stac.my_access() $$;

SET LOCAL ROLE esgf_stac_test_writer;
SELECT is_empty('SELECT * FROM esgf_stac.my_access()', 'nobody has given anything');
RESET ROLE;
DO $$ BEGIN
    PERFORM esgf_stac.grant_access('role:esgf_stac_test_writer', 'UPDATE', 'project', 'CMIP6', 'MPI-M');
    PERFORM esgf_stac.grant_access('role:esgf_stac_test_team', 'REPLICATE', 'node', 'a.org', NULL, '2000-01-01', '2999-01-01');
    PERFORM esgf_stac.grant_access('role:esgf_stac_writer', 'CITATION', 'project', '*');
    PERFORM esgf_stac.grant_access('role:esgf_stac_test_writer', 'DELETE', 'project', '*', NULL, '2998-01-01');
    PERFORM esgf_stac.grant_access('role:esgf_stac_test_writer', 'DELETE', 'project', '*', NULL, '2000-01-01', '2001-01-01');
    PERFORM esgf_stac.grant_access('role:esgf_stac_test_gateway', 'DELETE', 'project', '*');
    PERFORM esgf_stac.grant_access('group:x/y', 'CREATE', 'project', 'CMIP6');
    PERFORM esgf_stac.grant_access('group:x', 'CREATE', 'node', 'b.org');
    PERFORM esgf_stac.revoke_access(esgf_stac.grant_access('group:x/y', 'DELETE', 'project', 'CMIP6'));
END $$;
SET LOCAL ROLE esgf_stac_test_writer;
SELECT results_eq('SELECT * FROM pg_temp.mine()', ARRAY['UPDATE project CMIP6 MPI-M - 1', 'REPLICATE node a.org - 2999 2', 'CITATION project * - - 3'], 'a role has the rules of all that it is in, as long as they hold');
SET LOCAL ROLE esgf_stac_test_gateway;
SELECT pg_temp.refused('SELECT * FROM esgf_stac.my_access()', 'PT401', 'identity-missing', 'a gateway must say for whom it asks');
SELECT lives_ok($$SELECT esgf_stac.set_identity('{"sub": "x", "principals": ["urn:mace:egi.eu:group:esgf.vo.egi.eu:node:c.org:institution:DKRZ:role=REPLICATE#aai.egi.eu", "group:x/y", "group:X", "nothing",
    "urn:mace:egi.eu:group:esgf.vo.egi.eu:project:*:role=RETRACT#aai.egi.eu", "urn:mace:egi.eu:group:esgf.vo.egi.eu:project::role=RETRACT#aai.egi.eu", "urn:mace:egi.eu:group:esgf.vo.egi.eu:project:CMIP6:role=ADMIN#aai.egi.eu"]}')$$, 'it does');
SELECT results_eq('SELECT * FROM pg_temp.mine()', ARRAY['CREATE project CMIP6 - - 7', 'REPLICATE node c.org DKRZ - urn:mace:egi.eu:group:esgf.vo.egi.eu:node:c.org:institution:DKRZ:role=REPLICATE#aai.egi.eu',
    'RETRACT project * - - urn:mace:egi.eu:group:esgf.vo.egi.eu:project:*:role=RETRACT#aai.egi.eu'], 'an identity has what its principals have, and what they are');
SET LOCAL ROLE esgf_stac_test_both;
SELECT results_eq('SELECT count(*) FROM pg_temp.mine()', ARRAY[3::bigint], 'whoever else the login is');
RESET ROLE;
SELECT is((SELECT count(*) FROM esgf_stac.my_access() WHERE target = '*' AND institution IS NULL AND by = 'esgf_stac_admin'), 16::bigint, 'a superuser has every right');
SET LOCAL ROLE esgf_stac_test_admin;
SELECT is((SELECT count(*) FROM esgf_stac.my_access() WHERE by = 'esgf_stac_admin'), 16::bigint, 'as an administrator has');
SET LOCAL ROLE esgf_stac_test_both;
SELECT is_empty($$SELECT * FROM esgf_stac.my_access() WHERE by = 'esgf_stac_admin'$$, 'but none who acts for another');
SET LOCAL ROLE esgf_stac_reader;
SELECT pg_temp.refused('SELECT * FROM esgf_stac.my_access()', '42501', NULL, 'a reader changes nothing');
RESET ROLE;
-- A right that goes in the same transaction is gone, even in an old snapshot.
DO $$ BEGIN PERFORM esgf_stac.revoke_access(1); END $$;
SET LOCAL ROLE esgf_stac_test_writer;
SELECT results_eq('SELECT count(*) FROM pg_temp.mine()', ARRAY[2::bigint], 'what is revoked is gone');
RESET ROLE;
DO $$ BEGIN PERFORM esgf_stac.grant_access('group:many' || i, 'UPDATE', 'project', 'CMIP6') FROM generate_series(1, 2000) i; END $$;
SET LOCAL ROLE esgf_stac_test_gateway;
SELECT lives_ok($$SELECT esgf_stac.set_identity(jsonb_build_object('sub', 'x', 'principals', (SELECT jsonb_agg('group:many' || i) FROM generate_series(1, 1000) i)))$$, 'somebody in a thousand groups');
SELECT is((SELECT count(*) FROM esgf_stac.my_access()), 1000::bigint, 'has a thousand rights');
RESET ROLE;

-- Rules that give nobody anything.
CREATE FUNCTION pg_temp.doubts(principal text, role text, scope text, target text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(doubt, '; '), 'none') FROM esgf_stac_internal.rule_doubts(principal, role, scope, target) doubt $$;
SELECT is(pg_temp.doubts(principal, 'UPDATE', 'project', '*'), 'none', principal || ' is a principal') FROM unnest(ARRAY['group:iss/x', 'role:esgf_stac_test_writer', 'urn:x', 'https://orcid.org/0000', 'a+b.c-1:x']) principal;
SELECT matches(pg_temp.doubts(principal, 'UPDATE', 'project', '*'), '^principal ".*" is neither a role of the database', to_json(principal) || ' is none') FROM unnest(ARRAY['dkrz', 'esgf_stac_test_writer', ' role:x', 'Role:esgf_stac_test_writer', '*', 'a b:c', ':x', 'group:', 'ROLE:x']) principal;
SELECT is(pg_temp.doubts('role:nobody' || chr(10) || 'x', 'UPDATE', 'project', '*'), 'there is no role "nobody x"', 'a role that is not there');
SELECT is(pg_temp.doubts('group:x', 'UPDATE', 'node', 'z.org'), 'there is no site "z.org"', 'a node that is not there');
SELECT is(pg_temp.doubts('group:x', 'UPDATE', 'node', 'a.org'), 'none', 'one that is');
SELECT is(pg_temp.doubts('group:x', 'UPDATE', 'project', 'CMIP5'), 'there is no collection "CMIP5"', 'a project that is not there');
SELECT is(pg_temp.doubts('group:x', r, 'node', '*'), CASE WHEN r IN ('CREATE', 'UPDATE', 'REPLICATE') THEN 'none' ELSE r || ' is not asked for on nodes' END, r || ' on nodes') FROM unnest(esgf_stac_internal.access_roles()) r;
SELECT is((SELECT count(*) FROM esgf_stac.doctor() WHERE hazard = 'doubtful rule'), 0::bigint, 'doctor finds no doubt');
SET client_min_messages = notice;
SELECT is(esgf_stac.grant_access('nobody', 'RETRACT', 'node', 'z.org'), max(id) + 1, 'a rule that gives nothing is taken, with a notice') FROM esgf_stac.access_rule;
SET client_min_messages = warning;
SELECT results_eq($$SELECT detail, cure FROM esgf_stac.doctor() WHERE hazard = 'doubtful rule' ORDER BY detail$$,
    $$SELECT 'RETRACT on node z.org for nobody: ' || d, 'SELECT esgf_stac.revoke_access(2010);' FROM esgf_stac_internal.rule_doubts('nobody', 'RETRACT', 'node', 'z.org') d ORDER BY 1$$, 'and doctor keeps showing it');
DO $$ BEGIN PERFORM esgf_stac.revoke_access(2010); END $$;
SELECT is((SELECT count(*) FROM esgf_stac.doctor() WHERE hazard = 'doubtful rule'), 0::bigint, 'until it is closed');

SELECT * FROM finish();
ROLLBACK;
