\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set access :srcdir '/access.psql'
\i :access
-- Rules of replication: their form, who may set and close them, and that none changes or goes.
SELECT plan(107);

CREATE ROLE esgf_stac_test_gateway IN ROLE esgf_stac_gateway;
CREATE ROLE esgf_stac_test_reader IN ROLE esgf_stac_reader;
CREATE ROLE esgf_stac_test_admin IN ROLE esgf_stac_admin;
INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('r.org', '{https://r.org/}') ON CONFLICT DO NOTHING;
CREATE FUNCTION pg_temp.rules() RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(format('%s %s %s %s', id, name, priority, CASE WHEN closed_by IS NULL THEN 'open' ELSE 'closed' END), ', ' ORDER BY id), 'none') FROM esgf_stac.replication_rule $$;
CREATE FUNCTION pg_temp.set_rule(arguments text) RETURNS text LANGUAGE sql AS $$ SELECT 'SELECT esgf_stac.set_replication_rule(' || arguments || ')' $$;

-- The form of a rule.
SELECT pg_temp.refused(pg_temp.set_rule(arguments), 'PT400', 'bad-request', 'no rule: ' || left(arguments, 100))
  FROM unnest(ARRAY['NULL, ''n''', '''nowhere.org'', ''n''', '''*'', ''n''', '''r.org'', NULL', '''r.org'', ''''', '''r.org'', ''a b''', '''r.org'', E''a\n''', '''r.org'', repeat(''n'', 65)', '''r.org'', ''ä''',
    '''r.org'', ''n'', ''{}''', '''r.org'', ''n'', ''{NULL}''', '''r.org'', ''n'', ''{CMIP6,NULL}''', '''r.org'', ''n'', ''{{CMIP6}}''', '''r.org'', ''n'', ''{""}''',
    '''r.org'', ''n'', (SELECT array_agg(''c'' || i) FROM generate_series(1, 1001) i)',
    '''r.org'', ''n'', NULL, ''$.properties.title''', '''r.org'', ''n'', NULL, ''$.properties.title == $x''', '''r.org'', ''n'', NULL, ''"tas"''',
    '''r.org'', ''n'', NULL, ''$.a.datetime("xx") == 1''', '''r.org'', ''n'', NULL, ''$."a.datetime(".datetime(")xx") == 1''',
    '''r.org'', ''n'', priority => NULL', '''r.org'', ''n'', on_retracted => ''fetch''', '''r.org'', ''n'', on_retracted => NULL', '''r.org'', ''n'', on_superseded => ''Purge''', '''r.org'', ''n'', on_superseded => NULL',
    '''r.org'', ''n'', valid_to => ''2000-01-01''', '''r.org'', ''n'', valid_to => now()', '''r.org'', ''n'', valid_to => ''-infinity''']) arguments;
SELECT is(pg_temp.rules(), 'none', 'what is refused leaves no rule');

-- What a filter may have, of others than administrators.
SELECT is(esgf_stac_internal.filter_problem(filter), problem, 'filter ' || left(filter::text, 80))
  FROM (VALUES ('$.properties."cmip6:variable_id" == "tas" && exists($.assets.* ? (@."file:size" > 10 && (@.x == 1 || @.y == 2)))'::jsonpath, NULL),
               ('exists($.a ? (@ == 1)) && $.b == 2', NULL), ('$.** == 1', NULL), ('$.a == ".** like_regex $ ?( ($ "', NULL), ('$."a\"?($" == 1 || $.b == 2', NULL), ('$.a starts with "x"', NULL),
               ('$.**.a == 1 || $.**{2 to 3}.b == 1', 'must not have .** more than once'), ('exists($.** ? (@.**.a == 1))', 'must not have .** more than once'),
               ('exists($.assets.* ? (exists($.assets.* ? (@.x == 1))))', 'must not have $ inside of ? (...)'), ('exists($.a ? ((@.b + 1) * 2 == $.c))', 'must not have $ inside of ? (...)'),
               ('$.a like_regex "^t"', 'must not have like_regex'), ('exists($.a ? (@ like_regex "x" flag "i"))', 'must not have like_regex'),
               ('$.a == $.b', 'must not compare a path with another, nor calculate with two'), ('exists($.a ? (@.b > @.c.size()))', 'must not compare a path with another, nor calculate with two'),
               ('1 == 2 * ($.a + $.b)', 'must not compare a path with another, nor calculate with two'), ('($.a + 1) * 2 == 7 && 1 <= $.b || !($.c[last - 1] == "$.a == $.b" && $.d != null)', NULL),
               ('exists($.a ? (@.b == 1 && @.c == 2 || exists(@.d ? (@.e == "f"))) ? (@.g < 3))', NULL), ('$.a[0, 0][0, 0] == 1', 'must not have several subscripts in one [...]'), ('$.a[0 to last]."b,c" == "d,e"', NULL),
               ('exists($.a.keyvalue().keyvalue())', 'must not have .keyvalue() more than once'), ('exists($.a.keyvalue() ? (@.key starts with "b"))', NULL),
               (('$.a == "' || repeat('ä', 991) || '"')::jsonpath, 'must not be longer than 1000 characters'), (('$.a == "' || repeat('ä', 984) || '"')::jsonpath, NULL)) AS f(filter, problem);
SELECT is(length((SELECT ('$.a == "' || repeat('ä', 984) || '"')::jsonpath::text)) <= 1000, true, 'characters count, not bytes');

SELECT is(esgf_stac_internal.is_predicate('$.a.datetime("YYYY-MM-DD\"T\"HH24") > "2000-01-01".datetime() && $."datetime(" == ".datetime(\"xx\")" && $.b.type() == "x"'), true, 'a template that is one');

-- Who may: REPLICATE or UPDATE on the node and on each collection, for any institution.
CREATE FUNCTION pg_temp.attempt_rule(collections text[], VARIADIC rights text[]) RETURNS text LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    detail text;
    explained text;
BEGIN
    PERFORM esgf_stac.grant_access('role:esgf_stac_test_writer', p[1], p[2], p[3], p[4]) FROM unnest(rights) g, string_to_array(g, ' ') p WHERE g <> '';
    SET LOCAL ROLE esgf_stac_test_writer;
    SELECT coalesce(string_agg(format('%s: %s on %s %s', pointer, role, scope, target), ', '), 'granted') INTO explained
      FROM esgf_stac.explain_access(jsonb_build_object('method', 'SET_REPLICATION_RULE', 'node', 'r.org', 'collections', collections)) WHERE NOT granted;
    BEGIN
        PERFORM esgf_stac.set_replication_rule('r.org', 'mine', collections);
        PERFORM esgf_stac.drop_replication_rule('r.org', 'mine');
        detail := 'granted';
    EXCEPTION WHEN SQLSTATE 'PT403' THEN
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
        detail := replace(replace(detail, ' is missing', ''), E'\n', ', ');
    END;
    RESET ROLE;
    RAISE EXCEPTION USING ERRCODE = 'PT000', MESSAGE = CASE WHEN detail = explained THEN detail ELSE format('%s, but explained as %s', detail, explained) END;
EXCEPTION WHEN SQLSTATE 'PT000' THEN
    RETURN SQLERRM;
END $$;
SELECT is(pg_temp.attempt_rule('{CMIP6}', ''), '/node: REPLICATE on node r.org, /collections/0: REPLICATE on project CMIP6', 'without rights');
SELECT is(pg_temp.attempt_rule('{CMIP6}', 'REPLICATE node r.org'), '/collections/0: REPLICATE on project CMIP6', 'on the node alone');
SELECT is(pg_temp.attempt_rule('{CMIP6}', 'REPLICATE project CMIP6'), '/node: REPLICATE on node r.org', 'on the collection alone');
SELECT is(pg_temp.attempt_rule('{CMIP6}', 'REPLICATE node r.org', 'UPDATE project CMIP6'), 'granted', 'on both, REPLICATE or UPDATE');
SELECT is(pg_temp.attempt_rule('{CMIP6}', 'UPDATE node *', 'REPLICATE project *'), 'granted', 'on any');
SELECT is(pg_temp.attempt_rule('{CMIP6}', 'CREATE node r.org', 'CREATE project CMIP6', 'DELETE project CMIP6'), '/node: REPLICATE on node r.org, /collections/0: REPLICATE on project CMIP6', 'other roles will not do');
SELECT is(pg_temp.attempt_rule('{CMIP6,CMIP7}', 'REPLICATE node r.org', 'REPLICATE project CMIP6'), '/collections/1: REPLICATE on project CMIP7', 'on each collection');
SELECT is(pg_temp.attempt_rule(NULL, 'REPLICATE node r.org', 'REPLICATE project CMIP6'), '/collections: REPLICATE on project *', 'of all collections: on *');
SELECT is(pg_temp.attempt_rule(NULL, 'REPLICATE node r.org', 'REPLICATE project *'), 'granted', 'which is a right of its own');
SELECT is(pg_temp.attempt_rule('{CMIP6}', 'REPLICATE node r.org', 'REPLICATE project CMIP6 MPI-M'), '/collections/0: REPLICATE on project CMIP6', 'for one institution is not for all');

SELECT is((SELECT string_agg(format('%s: %s; reads %s, writes %s', role,
               coalesce((SELECT string_agg(f, ' ' ORDER BY f) FROM unnest('{set_replication_rule,drop_replication_rule,site_work,site_usage,unreplicated,refresh_rules}'::text[]) f
                          WHERE has_function_privilege(role, (SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'esgf_stac'::regnamespace AND p.proname = f), 'EXECUTE')), 'nothing'),
               (SELECT count(*) FROM unnest('{replication_rule,site_item,rule_job}'::text[]) t WHERE has_table_privilege(role, 'esgf_stac.' || t, 'SELECT')),
               (SELECT count(*) FROM unnest('{replication_rule,site_item,rule_job}'::text[]) t WHERE has_table_privilege(role, 'esgf_stac.' || t, 'INSERT, UPDATE, DELETE, TRUNCATE'))), E'\n' ORDER BY n)
             FROM unnest('{public,esgf_stac_ingest,esgf_stac_relay,esgf_stac_reader,esgf_stac_writer,esgf_stac_gateway,esgf_stac_admin}'::text[]) WITH ORDINALITY AS r(role, n)),
'public: nothing; reads 0, writes 0
esgf_stac_ingest: nothing; reads 0, writes 0
esgf_stac_relay: refresh_rules; reads 2, writes 0
esgf_stac_reader: site_usage site_work unreplicated; reads 3, writes 0
esgf_stac_writer: drop_replication_rule set_replication_rule site_usage site_work unreplicated; reads 3, writes 0
esgf_stac_gateway: drop_replication_rule set_replication_rule site_usage site_work unreplicated; reads 3, writes 0
esgf_stac_admin: drop_replication_rule refresh_rules set_replication_rule site_usage site_work unreplicated; reads 3, writes 0', 'which function is whose');

SET LOCAL ROLE esgf_stac_test_writer;
SELECT pg_temp.refused(pg_temp.set_rule('''r.org'', ''n'', NULL, ' || quote_literal(filter)), 'PT400', 'bad-request', 'too dear for a writer: ' || left(filter, 50))
  FROM unnest(ARRAY['$.a == "' || repeat('x', 1000) || '"', '$.**.a == 1 || $.**.b == 1', 'exists($.assets.* ? (exists($.assets.* ? (@.x == 1))))', '$.a like_regex "(a*)*b"', '$.a == $.b', '$.a * $.a == 1', '$[0, 0][0, 0].a == 1', '$.**.keyvalue().keyvalue().a == 1']) filter;
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.explain_access('{"method": "SET_REPLICATION_RULE", "node": "r.org", "collections": []}')$$, 'PT400', 'bad-request', 'explained: no collections');
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.explain_access('{"method": "SET_REPLICATION_RULE", "node": "r.org", "item_id": "x"}')$$, 'PT400', 'bad-request', 'explained: a member that does not go with it');
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.explain_access('{"method": "SET_REPLICATION_RULE"}')$$, 'PT400', 'bad-request', 'explained: no node');
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.transact('[{"method": "SET_REPLICATION_RULE", "node": "r.org"}]')$$, 'PT400', 'bad-request', 'transact knows no such method');
SET LOCAL ROLE esgf_stac_test_reader;
SELECT pg_temp.refused(pg_temp.set_rule('''r.org'', ''n'''), '42501', NULL, 'a reader sets none');
SELECT is(pg_temp.rules(), 'none', 'but reads them');
SET LOCAL ROLE esgf_stac_test_gateway;
SELECT pg_temp.refused(pg_temp.set_rule('''r.org'', ''n'''), 'PT401', 'identity-missing', 'a gateway says for whom');
SAVEPOINT s;
DO $$ BEGIN PERFORM esgf_stac.set_identity('{"sub": "s", "iss": "i", "client_id": "c", "principals": ["urn:mace:egi.eu:group:esgf.vo.egi.eu:node:r.org:role=REPLICATE#aai.egi.eu"]}'); END $$;
SELECT pg_temp.refused(pg_temp.set_rule('''r.org'', ''n'', ''{CMIP6}'''), 'PT403', 'missing-permission', 'and is judged by his rights');
SELECT pg_temp.refused('SELECT esgf_stac.refresh_rules()', '42501', NULL, 'which apply no rules');
DO $$ BEGIN PERFORM esgf_stac.set_identity('{"sub": "s", "iss": "i", "client_id": "c", "principals": ["urn:mace:egi.eu:group:esgf.vo.egi.eu:node:r.org:role=REPLICATE#aai.egi.eu", "urn:mace:egi.eu:group:esgf.vo.egi.eu:project:CMIP6:role=UPDATE#aai.egi.eu"]}'); END $$;
SELECT is((esgf_stac.set_replication_rule('r.org', 'n', '{CMIP6}')).set_by ->> 'sub', 's', 'who holds both may');
ROLLBACK TO s;
RESET ROLE;

-- One of a name is in force; an equal one changes nothing.
SET LOCAL ROLE esgf_stac_test_admin;
SELECT is((esgf_stac.set_replication_rule('r.org', 'n', '{CMIP6}', '$.a == 1')).name, 'n', 'an administrator may');
SELECT is((esgf_stac.set_replication_rule('r.org', 'n', '{CMIP6}', '$.a == 1')).closed_by, NULL, 'again');
SELECT matches(pg_temp.rules(), '^\d+ n 0 open$', 'is no other');
SELECT is((esgf_stac.set_replication_rule('r.org', 'n', '{CMIP6}', '$.a == 1', 5)).priority, 5, 'another');
SELECT matches(pg_temp.rules(), '^\d+ n 0 closed, \d+ n 5 open$', 'closes the one before');
SELECT lives_ok(pg_temp.set_rule('''r.org'', ''regex'', NULL, ''$.a like_regex "x"'''), 'to an administrator no filter is too dear');
RESET ROLE;
SELECT is((SELECT count(*) FROM esgf_stac.replication_rule WHERE set_by ->> 'sub' = 'esgf_stac_test_admin' AND (valid_to IS NULL) = (closed_by IS NULL) AND applied IS NULL), 3::bigint, 'who set them, and when they ended, is told');
SELECT pg_temp.refused($$SELECT esgf_stac.drop_replication_rule('r.org', 'other')$$, 'PT404', 'rule-does-not-exist', 'one that is not there is not closed');
SELECT pg_temp.refused($$SELECT esgf_stac.drop_replication_rule('r.org', NULL)$$, 'PT400', 'bad-request', 'nor one without a name');
SET LOCAL ROLE esgf_stac_test_writer;
SELECT pg_temp.refused($$SELECT esgf_stac.drop_replication_rule('r.org', 'n')$$, 'PT403', 'missing-permission', 'nor one of others');
RESET ROLE;
-- Who sets a rule of a name closes the one that is in force.
SAVEPOINT s;
DO $$ BEGIN PERFORM esgf_stac.grant_access('role:esgf_stac_test_writer', 'REPLICATE', 'node', 'r.org'), esgf_stac.grant_access('role:esgf_stac_test_writer', 'REPLICATE', 'project', 'CMIP7'); END $$;
SET LOCAL ROLE esgf_stac_test_writer;
SELECT pg_temp.refused(pg_temp.set_rule('''r.org'', ''n'', ''{CMIP7}'''), 'PT403', 'missing-permission', 'nor by setting another of its name');
SELECT matches(pg_temp.rules(), '\d+ n 5 open, \d+ regex 0 open$', 'it is in force');
SELECT lives_ok(pg_temp.set_rule('''r.org'', ''m'', ''{CMIP7}'''), 'beside which he sets his own');
ROLLBACK TO s;
DELETE FROM esgf_stac.site WHERE node = 'r.org';
SELECT lives_ok($$SELECT esgf_stac.drop_replication_rule('r.org', 'n')$$, 'one of a site that is gone is closed');
SELECT pg_temp.refused($$SELECT esgf_stac.drop_replication_rule('r.org', 'n')$$, 'PT404', 'rule-does-not-exist', 'once');

-- Of what an administrator asks too much, a writer can be cancelled.
CREATE FUNCTION pg_temp.attempt(query text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE query; RETURN 'done'; EXCEPTION WHEN query_canceled THEN RETURN 'cancelled'; END $$;
INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('r.org', '{https://r.org/}');
SELECT lives_ok(pg_temp.set_rule('''r.org'', ''endless'', NULL, (''$.**'' || repeat(''.keyvalue()'', 60) || '' == 1'')::jsonpath'), 'a filter without end');
SET LOCAL statement_timeout = '1s';
SELECT is(pg_temp.attempt($$SELECT esgf_stac.create_item('CMIP6', pg_temp.access_document('endless.v1'))$$), 'cancelled', 'keeps nobody for longer than he likes');
SET LOCAL statement_timeout = 0;
SELECT is((SELECT count(*) FROM esgf_stac.item WHERE id = 'endless.v1'), 0::bigint, 'and leaves nothing');

-- By hand.
SELECT pg_temp.refused(query, 'PT400', 'operation-not-permitted', query)
  FROM unnest(ARRAY['UPDATE esgf_stac.replication_rule SET priority = 7', 'UPDATE esgf_stac.replication_rule SET filter = ''$.b == 2''', 'UPDATE esgf_stac.replication_rule SET valid_to = now()',
                    'UPDATE esgf_stac.replication_rule SET closed_by = NULL WHERE closed_by IS NOT NULL', 'DELETE FROM esgf_stac.replication_rule', 'TRUNCATE esgf_stac.replication_rule CASCADE']) query;
SELECT * FROM finish();
ROLLBACK;
