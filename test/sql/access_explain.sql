\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set access :srcdir '/access.psql'
\i :access
-- explain_access says what the real thing would, for every case of access_matrix, and does nothing.
SELECT plan((SELECT 2 * count(target) + count(request) FROM access_case)::int + 32);

SELECT pg_temp.attempts(c, spelling)
  FROM access_case c, unnest(ARRAY['explain a patch', 'explain a replacement']) spelling
 WHERE c.target IS NOT NULL
 ORDER BY c.name, spelling;
SELECT pg_temp.attempts(c, 'explain it') FROM access_case c WHERE request IS NOT NULL ORDER BY c.name;

-- A writer asks about himself.
DO $$ BEGIN PERFORM esgf_stac.grant_access('role:esgf_stac_test_writer', 'UPDATE', 'project', 'CMIP6', 'MPI-M'); END $$;
CREATE FUNCTION pg_temp.title() RETURNS jsonb LANGUAGE sql AS $$ SELECT '{"method": "PATCH", "collection_id": "CMIP6", "item_id": "i.v1", "patch": {"properties": {"title": "t"}}}'::jsonb $$;
CREATE FUNCTION pg_temp.addition(href text DEFAULT 'https://c.org/') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('method', 'ADD_REPLICA', 'collection_id', 'CMIP6', 'item_id', 'i.v1', 'node', 'c.org', 'alternates',
                              jsonb_build_object('pr.nc', jsonb_build_object('href', href || 'pr.nc'), 'tas.nc', jsonb_build_object('href', href || 'tas.nc'))) $$;
SET LOCAL ROLE esgf_stac_test_writer;
SELECT row_eq($$SELECT role, scope, target, granted, rule_id IS NOT NULL, pointer, reason FROM esgf_stac.explain_access(pg_temp.title())$$,
              ROW ('UPDATE'::text, 'project'::text, 'CMIP6'::text, true, true, '/properties/title'::text, NULL::text), 'what is granted is told with its rule');
SELECT results_eq($$SELECT role, scope, target, granted, rule_id IS NOT NULL, pointer, reason FROM esgf_stac.explain_access(pg_temp.addition())$$,
                  $$VALUES ('UPDATE', 'project', 'CMIP6', true, true, '/assets/pr.nc/alternate/c.org', NULL),
                           ('REPLICATE', 'node', 'c.org', false, false, '/assets/pr.nc/alternate/c.org', 'no-right')$$, 'what is not, with the role that would do');
SELECT results_eq($$SELECT scope, target, pointer, reason FROM esgf_stac.explain_access(pg_temp.addition('https://evil.org/')) WHERE NOT granted$$,
                  $$VALUES ('node', 'c.org', '/assets/pr.nc/alternate/c.org', 'no-right'), ('node', 'c.org', '/assets/pr.nc/alternate/c.org', 'foreign-href'),
                           ('node', 'c.org', '/assets/tas.nc/alternate/c.org', 'foreign-href')$$, 'every part is told');
SELECT is_empty($$SELECT * FROM esgf_stac.explain_access(jsonb_set(pg_temp.title(), '{patch}', '{}'))$$, 'a change of nothing needs no right');
SELECT is_empty($$SELECT * FROM esgf_stac.explain_access('{"method": "CHECK", "collection_id": "CMIP6", "item_id": "i.v1"}')$$, 'nor does a condition');
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.explain_access(pg_temp.title(), '{"sub": "x"}')$$, '42501', NULL, 'a writer asks about nobody else');
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.explain_access(NULL)$$, 'PT400', 'bad-request', 'no request');
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.explain_access('[]')$$, 'PT400', 'bad-request', 'a request that is none');
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.explain_access(pg_temp.title() || '{"who": 1}')$$, 'PT400', 'bad-request', 'a member that no request has');
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.explain_access(pg_temp.title() || '{"item_id": "nobody"}')$$, 'PT404', 'item-does-not-exist', 'an item that is not there');
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.explain_access(pg_temp.title() || '{"if_match": 7}')$$, 'PT412', 'version-conflict', 'a condition that does not hold');
SELECT lives_ok($$SELECT * FROM esgf_stac.explain_access(pg_temp.title() || '{"request_id": "r"}')$$, 'an idempotency key');
SELECT is((SELECT version FROM esgf_stac.transact(jsonb_build_array(pg_temp.title() || '{"request_id": "r", "if_match": 1}'))), 2::bigint, 'is not used up');
SELECT is((SELECT changed FROM esgf_stac.transact(jsonb_build_array(pg_temp.title() || '{"request_id": "r", "if_match": 1}'))), true, 'before the request is made');
SELECT pg_temp.refused($$UPDATE esgf_stac.item SET document = document || '{"bbox": [0, 0, 1, 1]}', deleted = true$$, 'PT403', 'missing-permission', 'an explanation leaves nothing that would let the next change pass');
RESET ROLE;

-- A gateway asks about whom it acts for; without an identity it is refused.
CREATE ROLE esgf_stac_test_gateway IN ROLE esgf_stac_gateway;
SET LOCAL ROLE esgf_stac_test_gateway;
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.explain_access(pg_temp.addition())$$, 'PT401', 'identity-missing', 'a gateway without an identity');
SAVEPOINT identity;
SELECT lives_ok($$SELECT esgf_stac.set_identity('{"sub": "x", "principals": ["urn:mace:egi.eu:group:esgf.vo.egi.eu:node:c.org:role=REPLICATE#aai.egi.eu"]}')$$, 'with one');
SELECT results_eq($$SELECT role, scope, granted, rule_id, reason FROM esgf_stac.explain_access(pg_temp.addition())$$,
                  $$VALUES ('REPLICATE', 'project', false, NULL::bigint, 'no-right'), ('REPLICATE', 'node', true, NULL, NULL)$$, 'it hears what his entitlement gives, which is no rule of the table');
ROLLBACK TO identity;
RESET ROLE;

-- An administrator asks about anyone, and hears what would help.
SET LOCAL client_min_messages = error;
SELECT results_eq($$SELECT role, granted, rule_id IS NULL FROM esgf_stac.explain_access(pg_temp.addition())$$,
                  $$VALUES ('REPLICATE', true, true), ('REPLICATE', true, true)$$, 'about himself: he holds every right, by no rule');
SELECT results_eq($$SELECT role, scope, granted FROM esgf_stac.explain_access(pg_temp.addition(), '{"sub": "x", "principals": ["role:esgf_stac_test_writer"]}')$$,
                  $$VALUES ('UPDATE', 'project', true), ('REPLICATE', 'node', false)$$, 'about somebody else, a role too');
SELECT results_eq($$SELECT scope, reason FROM esgf_stac.explain_access(pg_temp.addition('https://evil.org/'), '{"sub": "x", "principals": ["role:esgf_stac_admin"]}') WHERE NOT granted$$,
                  $$VALUES ('project', 'no-right'), ('node', 'no-right'), ('node', 'foreign-href'), ('node', 'foreign-href')$$, 'whom no claim makes an administrator');
SELECT results_eq($$SELECT granted FROM esgf_stac.explain_access(pg_temp.addition(), '{"sub": "x"}')$$, 'VALUES (false), (false)', 'who has no principals has no rights');
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.explain_access(pg_temp.addition(), '{"principals": []}')$$, 'PT400', 'bad-request', 'an identity without a subject');
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.explain_access(pg_temp.addition(), '{"sub": "x", "principals": [1]}')$$, 'PT400', 'bad-request', 'principals that are no strings');
RESET client_min_messages;

-- The advice, as somebody sees it who sees only NOTICEs: its HINTs are calls, each of which gives what is missing.
CREATE FUNCTION pg_temp.grants_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    EXECUTE query;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN NEXT (regexp_match(hint, 'SELECT esgf_stac\.grant_access\(.*\)'))[1];
END $$;
SET LOCAL ROLE esgf_stac_test_writer;
SELECT is(pg_temp.grants_of($$SELECT * FROM esgf_stac.transact(jsonb_build_array(pg_temp.addition()))$$),
          $$SELECT esgf_stac.grant_access('role:esgf_stac_test_writer', 'REPLICATE', 'node', 'c.org', 'MPI-M')$$, 'a refusal names the call that would help');
RESET ROLE;
SELECT isnt(esgf_stac.grant_access('role:esgf_stac_test_writer', 'REPLICATE', 'node', 'c.org', 'MPI-M'), NULL, 'an administrator makes it');
SET LOCAL ROLE esgf_stac_test_writer;
SELECT is((SELECT bool_and(granted) FROM esgf_stac.explain_access(pg_temp.addition())), true, 'and it does');
RESET ROLE;

-- Nothing was done but the one change above.
SELECT is((SELECT version FROM esgf_stac.item WHERE id = 'i.v1'), 2::bigint, 'no version');
SELECT is((SELECT count(*) FROM esgf_stac.outbox WHERE aggregatetype = 'CMIP6'), 2::bigint, 'no event');
SELECT is((SELECT count(*) FROM esgf_stac.item), 1::bigint, 'no item');
SELECT is((SELECT count(*) FROM esgf_stac.dataset), 1::bigint, 'no dataset');
SELECT is((SELECT latest_id FROM esgf_stac.dataset), 'i.v1', 'which has the latest it had');

SELECT * FROM finish();
ROLLBACK;
