\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set access :srcdir '/access.psql'
\i :access
-- Who acts: it is said by gateways, ends with the transaction, and is forged by nobody. What outlives a transaction is in test/t/070_identity.pl.
SELECT plan(147);

CREATE ROLE esgf_stac_test_gateway IN ROLE esgf_stac_gateway;
CREATE ROLE esgf_stac_test_admin IN ROLE esgf_stac_admin;
CREATE ROLE esgf_stac_test_both IN ROLE esgf_stac_admin, esgf_stac_gateway;
CREATE ROLE esgf_stac_test_reader IN ROLE esgf_stac_reader;
CREATE ROLE esgf_stac_test_noinherit NOINHERIT IN ROLE esgf_stac_admin, esgf_stac_writer;
GRANT esgf_stac_writer TO esgf_stac_test_noinherit;
DO $$ BEGIN
    PERFORM esgf_stac.grant_access('group:x', 'UPDATE', 'project', 'CMIP6');
    PERFORM esgf_stac.grant_access('role:esgf_stac_test_writer', 'CITATION', 'project', 'CMIP6');
END $$;
CREATE FUNCTION pg_temp.title(title text) RETURNS text LANGUAGE sql AS $$ SELECT action FROM esgf_stac.patch_item('CMIP6', 'i.v1', jsonb_build_object('properties', jsonb_build_object('title', title))) $$;
CREATE FUNCTION pg_temp.last() RETURNS esgf_stac.outbox LANGUAGE sql SECURITY DEFINER AS $$ SELECT o FROM esgf_stac.outbox o ORDER BY seq DESC LIMIT 1 $$;

-- The form of an identity.
SET LOCAL ROLE esgf_stac_test_gateway;
SELECT pg_temp.refused(format('SELECT esgf_stac.set_identity(%L)', identity), 'PT400', 'bad-request', 'no identity: ' || coalesce(identity, 'NULL'))
  FROM unnest(ARRAY[NULL, 'null', '[]', '"x"', '{}', '{"sub": null}', '{"sub": ""}', '{"sub": 1}', '{"sub": ["x"]}', '{"sub": "x", "iss": 1}', '{"sub": "x", "client_id": {}}', '{"sub": "x", "request_id": 1}',
                    '{"sub": "x", "batch": true}', '{"sub": "x", "publisher": "p"}', '{"sub": "x", "admin": true}', '{"sub": "x", "role": "esgf_stac_admin"}', '{"sub": "x", "principals": "group:x"}',
                    '{"sub": "x", "principals": {"group:x": 1}}', '{"sub": "x", "principals": [null]}', '{"sub": "x", "principals": [["group:x"]]}', '{"sub": "x", "principals": ["group:x", "role:esgf_stac_admin"]}']) identity;
SELECT pg_temp.refused(format('SELECT * FROM esgf_stac.transact(%L, true, %L)', '[]', identity), 'PT400', 'bad-request', 'nor to transact: ' || identity)
  FROM unnest(ARRAY['[]', '{}', '{"sub": "x", "principals": ["role:postgres"]}']) identity;

-- A gateway that does not say for whom it acts.
SELECT pg_temp.refused(query, 'PT401', 'identity-missing', 'without identity: ' || query)
  FROM unnest(ARRAY[
    'SELECT pg_temp.title(''t'')', 'SELECT esgf_stac.patch_item(''CMIP6'', ''nobody'', ''{}'')', 'SELECT esgf_stac.create_item(''CMIP6'', pg_temp.document(''n''))', 'SELECT esgf_stac.replace_item(''CMIP6'', ''i.v1'', pg_temp.document(''i.v1''))',
    'SELECT esgf_stac.delete_item(''CMIP6'', ''i.v1'')', 'SELECT esgf_stac.restore_item(''CMIP6'', ''i.v1'')', 'SELECT esgf_stac.retract_item(''CMIP6'', ''i.v1'')', 'SELECT esgf_stac.reinstate_item(''CMIP6'', ''i.v1'')',
    'SELECT esgf_stac.add_replica(''CMIP6'', ''i.v1'', ''c.org'', ''{"pr.nc": {"href": "https://c.org/x"}}'')', 'SELECT esgf_stac.remove_replica(''CMIP6'', ''i.v1'', ''b.org'')', 'SELECT esgf_stac.transact(''[]'')',
    'SELECT esgf_stac.explain_access(''{"method": "DELETE", "collection_id": "CMIP6", "item_id": "i.v1"}'')', 'INSERT INTO esgf_stac.item (collection_id, id, document) VALUES (''CMIP6'', ''n'', pg_temp.document(''n''))',
    'UPDATE esgf_stac.item SET deleted = true', 'UPDATE esgf_stac.item SET document = document', 'UPDATE esgf_stac.item SET reason = ''x''']) query;
SELECT pg_temp.refused('SELECT pg_temp.title(1)', '42883', NULL, 'an error of another kind');
SELECT isnt((esgf_stac.get_item('CMIP6', 'i.v1')).version, NULL, 'reading needs no identity');

-- No setting, no comment in the application_name, no second way in.
SELECT is(set_config('esgf_stac.identity', '{"sub": "x", "principals": ["group:x"]}', true), '{"sub": "x", "principals": ["group:x"]}', 'a setting of our name');
SELECT is(set_config('request.jwt.claims', '{"sub": "x", "principals": ["group:x"]}', true), '{"sub": "x", "principals": ["group:x"]}', 'or of PostgREST''s');
SELECT pg_temp.refused($$SELECT pg_temp.title('t')$$, 'PT401', 'identity-missing', 'are no identity');
RESET ROLE;
SELECT is(has_function_privilege(r, 'esgf_stac.set_identity(jsonb)', 'EXECUTE'), r = 'esgf_stac_gateway', r || ' and set_identity')
  FROM unnest(ARRAY['esgf_stac_reader', 'esgf_stac_writer', 'esgf_stac_gateway', 'esgf_stac_admin', 'esgf_stac_relay']) r;
SELECT pg_temp.refused($$SELECT esgf_stac.set_identity('{"sub": "x"}')$$, '42501', NULL, 'a superuser is no gateway');
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.transact('[]', true, '{"sub": "x"}')$$, '42501', NULL, 'to transact neither');
SET LOCAL ROLE esgf_stac_test_writer;
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.transact('[]', true, '{"sub": "x", "principals": ["group:x"]}')$$, '42501', NULL, 'nor is a writer');
SELECT set_config('esgf_stac.identity', '{"sub": "x", "principals": ["group:x"]}', true) \gset
SELECT pg_temp.refused($$SELECT pg_temp.title('t')$$, 'PT403', 'missing-permission', 'whom a setting gives nothing');
RESET ROLE;

-- What is said holds, is on the event, and is said anew.
SAVEPOINT said;
SET LOCAL ROLE esgf_stac_test_gateway;
SELECT lives_ok($$SELECT esgf_stac.set_identity('{"sub": "x", "iss": "https://iss", "client_id": "c", "principals": ["group:x"], "request_id": "r1", "batch": "b1", "publisher": {"package": "p", "version": "1"}, "auth_policy_id": null}')$$, 'a gateway says for whom it acts');
SELECT is(pg_temp.title('t'), 'updated', 'who has the right');
SELECT is((pg_temp.last()).identity, '{"sub": "x", "iss": "https://iss", "client_id": "c", "principals": ["group:x"], "request_id": "r1", "batch": "b1", "publisher": {"package": "p", "version": "1"}, "auth_policy_id": null}', 'his event says all of it');
SELECT is(concat((pg_temp.last()).request_id, ' ', (pg_temp.last()).batch), 'r1 b1', 'and his request and batch');
SAVEPOINT other;
SELECT lives_ok($$SELECT esgf_stac.set_identity('{"sub": "y"}')$$, 'said anew');
SELECT pg_temp.refused($$SELECT pg_temp.title('u')$$, 'PT403', 'missing-permission', 'it is another''s');
ROLLBACK TO other;
SELECT is(pg_temp.title('v'), 'updated', 'ROLLBACK TO brings back who was there');
SELECT lives_ok($$SELECT esgf_stac.set_identity('{"sub": "y"}')$$, 'said anew');
RELEASE other;
SELECT pg_temp.refused($$SELECT pg_temp.title('u')$$, 'PT403', 'missing-permission', 'RELEASE keeps who came');
SELECT lives_ok($$SELECT esgf_stac.set_identity('{"sub": "x", "principals": ["group:x"]}')$$, 'said anew');
DO $$ BEGIN
    BEGIN
        PERFORM esgf_stac.set_identity('{"sub": "y"}');
        BEGIN
            PERFORM esgf_stac.set_identity('{"sub": "z"}');
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
        RAISE 'enough';
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
END $$;
SELECT is(pg_temp.title('w'), 'updated', 'an exception block leaves nobody behind');
SELECT is((pg_temp.last()).identity ->> 'sub', 'x', 'but who was there');
SELECT is((SELECT count(*) FROM esgf_stac.transact('[{"method": "CHECK", "collection_id": "CMIP6", "item_id": "i.v1"}]', true, '{"sub": "y"}')), 1::bigint, 'an identity given to transact');
SELECT pg_temp.refused($$SELECT pg_temp.title('u')$$, 'PT403', 'missing-permission', 'is the transaction''s');
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.transact('[{"method": "CHECK", "collection_id": "CMIP6", "item_id": "nobody"}]', true, '{"sub": "x", "principals": ["group:x"]}')$$, 'PT404', 'item-does-not-exist', 'unless transact fails');
SELECT pg_temp.refused($$SELECT pg_temp.title('u')$$, 'PT403', 'missing-permission', 'which leaves nobody');
SELECT lives_ok($$SELECT esgf_stac.set_identity('{"sub": "x", "principals": ["group:x"]}')$$, 'said anew');

-- It is the gateway's alone.
SET LOCAL ROLE esgf_stac_test_writer;
SELECT pg_temp.refused($$SELECT pg_temp.title('u')$$, 'PT403', 'missing-permission', 'the gateway''s identity is not of the role that comes after it');
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'i.v1', '[{"op": "add", "path": "/links/-", "value": {"rel": "cite-as", "href": "https://x.org/c"}}]')), 'updated', 'which has its own rights');
SELECT row_eq($$SELECT (pg_temp.last()).identity ->> 'sub', (pg_temp.last()).identity ->> 'iss' LIKE 'postgresql:%', (pg_temp.last()).request_id, (pg_temp.last()).batch$$, ROW ('esgf_stac_test_writer'::text, true, NULL::text, NULL::text), 'and name');
SET LOCAL ROLE esgf_stac_test_gateway;
SELECT is(pg_temp.title('x'), 'updated', 'the gateway acts on for whom it did');
ROLLBACK TO said;

-- Who calls: SET ROLE counts, SECURITY DEFINER functions on the way do not.
CREATE SCHEMA esgf_stac_test;
GRANT ALL ON SCHEMA esgf_stac_test TO PUBLIC;
CREATE FUNCTION esgf_stac_test.title(title text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT action FROM esgf_stac.patch_item('CMIP6', 'i.v1', jsonb_build_object('properties', jsonb_build_object('title', title))) $$;
CREATE FUNCTION esgf_stac_test.by_hand(title text) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', to_jsonb(title)) $$;
SET LOCAL ROLE esgf_stac_test_writer;
SELECT pg_temp.refused($$SELECT esgf_stac_test.title('u')$$, 'PT403', 'missing-permission', 'a superuser''s function lends no rights');
SELECT pg_temp.refused($$SELECT esgf_stac_test.by_hand('u')$$, 'PT403', 'missing-permission', 'by hand neither');
SET LOCAL ROLE esgf_stac_test_gateway;
SELECT pg_temp.refused($$SELECT esgf_stac_test.title('u')$$, 'PT401', 'identity-missing', 'nor an identity');
RESET ROLE;
ALTER FUNCTION esgf_stac_test.title(text) OWNER TO esgf_stac_test_writer;
SET LOCAL ROLE esgf_stac_test_admin;
SELECT is(esgf_stac_test.title('a'), 'updated', 'a writer''s function takes none');
SELECT is((pg_temp.last()).identity ->> 'sub', 'esgf_stac_test_admin', 'its event says who called');
SET LOCAL ROLE esgf_stac_test_noinherit;
SELECT pg_temp.refused($$SELECT action FROM esgf_stac.patch_item('CMIP6', 'i.v1', '{"properties": {"title": "n"}}')$$, '42501', NULL, 'a member without INHERIT has nothing of its role');
SET LOCAL ROLE esgf_stac_test_both;
SELECT pg_temp.refused($$SELECT pg_temp.title('u')$$, 'PT401', 'identity-missing', 'who is a gateway and an administrator needs an identity');
SAVEPOINT before_both;
SELECT pg_temp.refused(query, 'PT401', 'identity-missing', 'for whatever it does: ' || query)
  FROM unnest(ARRAY['SELECT esgf_stac.grant_access(''group:y'', ''UPDATE'', ''project'', ''*'')', 'SELECT esgf_stac.revoke_access(1)', 'SELECT esgf_stac.create_stream(''both'')', 'SELECT esgf_stac.drop_stream(''both'')', 'SELECT esgf_stac.redrive(''both'')',
                    'SELECT esgf_stac.prune_outbox()', 'SELECT esgf_stac.patch_collection(''CMIP6'', ''{"title": "t"}'')', 'SELECT esgf_stac.configure_collection(''CMIP6'', ''{"require_version": true}'')', 'SELECT esgf_stac.delete_collection(''CMIP6'')',
                    'INSERT INTO esgf_stac.site VALUES (''y.org'', ''{}'')', 'UPDATE esgf_stac.site SET active = false', 'DELETE FROM esgf_stac.site', 'SELECT * FROM esgf_stac.import_items(''{}'')',
                    'SELECT * FROM esgf_stac.explain_access(''{"method": "DELETE", "collection_id": "CMIP6", "item_id": "i.v1"}'', ''{"sub": "x", "principals": ["group:x"]}'')']) query;
SELECT lives_ok($$SELECT esgf_stac.set_identity('{"sub": "y", "principals": ["group:x"]}')$$, 'with one');
SELECT is(pg_temp.title('b'), 'updated', 'what that may do is done');
SELECT is((SELECT string_agg(concat_ws(' ', role, granted, rule_id IS NOT NULL), ',') FROM esgf_stac.explain_access('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "i.v1"}')), 'DELETE f f', 'it is no administrator, says explain_access');
SELECT pg_temp.refused(query, sqlstate, slug, 'nor: ' || query)
  FROM (VALUES ('SELECT esgf_stac.delete_item(''CMIP6'', ''i.v1'')', 'PT403', 'missing-permission'), ('UPDATE esgf_stac.item SET deleted = true', 'PT403', 'missing-permission'),
               ('SELECT esgf_stac.patch_item(''CMIP6'', ''i.v1'', ''{"assets": {"pr.nc": {"file:size": 11}}}'')', 'PT409', 'content-changed'),
               ('SELECT esgf_stac.patch_item(''CMIP6'', ''i.v1'', ''{"assets": {"pr.nc": {"href": "https://evil.org/pr.nc"}}}'')', 'PT403', 'missing-permission'),
               ('SELECT esgf_stac.grant_access(''group:y'', ''UPDATE'', ''project'', ''*'')', '42501', NULL), ('SELECT esgf_stac.revoke_access(1)', '42501', NULL), ('SELECT esgf_stac.create_stream(''both'')', '42501', NULL),
               ('SELECT esgf_stac.drop_stream(''both'')', '42501', NULL), ('SELECT esgf_stac.redrive(''both'')', '42501', NULL), ('SELECT esgf_stac.prune_outbox()', '42501', NULL),
               ('SELECT esgf_stac.patch_collection(''CMIP6'', ''{"title": "t"}'')', '42501', NULL), ('SELECT esgf_stac.configure_collection(''CMIP6'', ''{"require_version": true}'')', '42501', NULL),
               ('INSERT INTO esgf_stac.site VALUES (''y.org'', ''{}'')', '42501', NULL), ('UPDATE esgf_stac.site SET active = false', '42501', NULL), ('DELETE FROM esgf_stac.site', '42501', NULL), ('SELECT * FROM esgf_stac.import_items(''{}'')', '42501', NULL),
               ('SELECT * FROM esgf_stac.explain_access(''{"method": "DELETE", "collection_id": "CMIP6", "item_id": "i.v1"}'', ''{"sub": "x", "principals": ["group:x"]}'')', '42501', NULL)) AS t(query, sqlstate, slug);
SET LOCAL ROLE esgf_stac_admin;
SELECT lives_ok($$UPDATE esgf_stac.site SET active = active$$, 'SET ROLE esgf_stac_admin makes it one, as it makes it no gateway');
RESET ROLE;
ALTER ROLE esgf_stac_test_both LOGIN;
SELECT set_eq($$SELECT subject, cure FROM esgf_stac.doctor() WHERE hazard = 'two roles'$$, $$VALUES ('esgf_stac_test_both', 'REVOKE esgf_stac_admin FROM esgf_stac_test_both;')$$, 'doctor shows such a login');
ROLLBACK TO before_both;
RESET ROLE;
-- It stays so whatever role such a login sets, be it a gateway by SET ROLE only; a superuser, as this file's, plays other people.
CREATE ROLE esgf_stac_test_authenticator NOINHERIT IN ROLE esgf_stac_test_both, esgf_stac_test_gateway, esgf_stac_test_admin, esgf_stac_test_writer;
CREATE FUNCTION pg_temp.not_as(login text, act_as text, role text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL SESSION AUTHORIZATION %I', login);
    EXECUTE format('SET LOCAL ROLE %I', act_as);
    PERFORM esgf_stac.set_identity('{"sub": "y", "principals": ["group:x"]}');
    EXECUTE format('SET LOCAL ROLE %I', role);
    RETURN NEXT is(pg_temp.title(login), 'updated', format('%s sets role %s: what the identity may do is done', login, role));
    RETURN NEXT is((pg_temp.last()).identity ->> 'sub', 'y', 'in its name');
    RETURN QUERY SELECT pg_temp.refused(query, sqlstate, slug, 'but not: ' || query)
      FROM (VALUES ('SELECT esgf_stac.delete_item(''CMIP6'', ''i.v1'')', 'PT403', 'missing-permission'), ('UPDATE esgf_stac.item SET deleted = true', 'PT403', 'missing-permission'),
                   ('SELECT esgf_stac.grant_access(''group:y'', ''UPDATE'', ''project'', ''*'')', '42501', NULL), ('UPDATE esgf_stac.site SET active = false', '42501', NULL),
                   ('SELECT * FROM esgf_stac.import_items(''{}'')', '42501', NULL)) AS t(query, sqlstate, slug);
    RESET ROLE;
    RESET SESSION AUTHORIZATION;
END
$$;
SELECT pg_temp.not_as('esgf_stac_test_both', 'esgf_stac_test_both', 'esgf_stac_admin');
SELECT pg_temp.not_as('esgf_stac_test_authenticator', 'esgf_stac_test_gateway', 'esgf_stac_test_admin');
ROLLBACK TO before_both;
SET LOCAL SESSION AUTHORIZATION esgf_stac_test_both;
SET LOCAL ROLE esgf_stac_admin;
SELECT lives_ok($$UPDATE esgf_stac.site SET active = active$$, 'without an identity the role that it sets is judged');
SELECT lives_ok($$SELECT esgf_stac.delete_item('CMIP6', 'i.v1')$$, 'as any other');
SELECT is((pg_temp.last()).identity ->> 'sub', 'esgf_stac_admin', 'in its own name');
RESET SESSION AUTHORIZATION;
ROLLBACK TO before_both;
SET LOCAL ROLE esgf_stac_test_reader;
SELECT pg_temp.refused($$SELECT pg_temp.title('u')$$, '42501', NULL, 'a reader writes nothing');
SELECT pg_temp.refused($$UPDATE esgf_stac.item SET deleted = true$$, '42501', NULL, 'by hand neither');
RESET ROLE;

-- ANALYZE calls the functions of anybody's index, with nobody's rights.
SET LOCAL ROLE esgf_stac_test_writer;
CREATE FUNCTION esgf_stac_test.trap(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
    IF current_setting('esgf_stac_test.armed', true) = 'yes' THEN PERFORM esgf_stac.delete_item('CMIP6', 'i.v1'); END IF;
    RETURN x;
END $$;
CREATE TABLE esgf_stac_test.bait AS SELECT 1 AS x;
CREATE INDEX ON esgf_stac_test.bait (esgf_stac_test.trap(x));
RESET ROLE;
SELECT set_config('esgf_stac_test.armed', 'yes', true) \gset
SELECT pg_temp.refused('ANALYZE esgf_stac_test.bait', '42501', NULL, 'an index function during a superuser''s ANALYZE');
SELECT is((SELECT deleted FROM esgf_stac.item), false, 'changes nothing');

-- A hostile search_path: whatever of ours, or of the server's, is looked up by an unqualified name raises an error here.
CREATE FUNCTION esgf_stac_test.planted() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
DO $$
DECLARE
    f text;
    o record;
BEGIN
    FOREACH f IN ARRAY ARRAY['now() RETURNS timestamptz', 'clock_timestamp() RETURNS timestamptz', 'length(text) RETURNS int', 'ltrim(text, text) RETURNS text', 'sha256(bytea) RETURNS bytea', 'concat(text, name) RETURNS text',
                             'concat(VARIADIC "any") RETURNS text', 'pg_has_role(oid, oid, text) RETURNS boolean', 'pg_current_xact_id() RETURNS xid8', 'concat_ws(text, VARIADIC text[]) RETURNS text', 'calling_role() RETURNS text',
                             'require_catalogue() RETURNS void', 'jsonb_typeof(jsonb) RETURNS text', 'left(text, int) RETURNS text', 'to_jsonb(text) RETURNS jsonb', 'set_identity(jsonb) RETURNS void'] LOOP
        EXECUTE format('CREATE FUNCTION esgf_stac_test.%s LANGUAGE plpgsql AS %L', replace(f, 'VARIADIC "any"', 'VARIADIC text[]'), 'BEGIN RAISE ''planted''; END');
    END LOOP;
    FOR o IN SELECT row_number() OVER () AS n, oprname, oprleft::regtype AS type, oprresult::regtype AS result FROM pg_operator
              WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprleft = oprright
                AND oprleft = ANY ('{text,name,int8,int4,oid,bool,timestamptz,jsonb,bytea,xid8}'::regtype[]) LOOP
        EXECUTE format('CREATE FUNCTION esgf_stac_test.planted_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L', o.n, o.type, o.type, o.result, 'BEGIN RAISE ''planted''; END');
        EXECUTE format('CREATE OPERATOR esgf_stac_test.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = esgf_stac_test.planted_%s)', o.oprname, o.type, o.type, o.n);
    END LOOP;
END $$;
GRANT CREATE ON DATABASE :"DBNAME" TO esgf_stac_test_admin;
CREATE FUNCTION pg_temp.under_a_hostile_path(as_role text, VARIADIC queries text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    step text;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', as_role);
    SET LOCAL search_path = esgf_stac_test, public, pg_catalog;
    FOREACH step IN ARRAY queries LOOP
        EXECUTE step;
    END LOOP;
    SET LOCAL search_path = public;
    RESET ROLE;
    RETURN 'fine';
EXCEPTION WHEN OTHERS THEN
    RETURN step OPERATOR(pg_catalog.||) ': ' OPERATOR(pg_catalog.||) SQLERRM;
END $$;
SELECT is(pg_temp.under_a_hostile_path('esgf_stac_test_admin', 'SELECT 1 = 1'), 'SELECT 1 = 1: planted', 'what is planted is found');
SELECT is(pg_temp.under_a_hostile_path('esgf_stac_test_admin',
    format('SELECT esgf_stac.create_item(%L, %L)', 'CMIP6', pg_temp.access_document('h.v1')), format('SELECT esgf_stac.create_item(%L, %L)', 'CMIP6', pg_temp.access_document('h.v2')),
    $$SELECT esgf_stac.patch_item('CMIP6', 'h.v1', '{"properties": {"title": "t"}}')$$, $$SELECT esgf_stac.patch_item('CMIP6', 'h.v1', '[{"op": "remove", "path": "/properties/title"}]', 3)$$,
    format('SELECT esgf_stac.replace_item(%L, %L, %L)', 'CMIP6', 'h.v2', pg_temp.access_document('h.v2', '{"bbox": [0, 0, 1, 1]}')),
    $$SELECT esgf_stac.add_replica('CMIP6', 'h.v2', 'c.org', '{"pr.nc": {"href": "https://c.org/pr.nc"}, "tas.nc": {"href": "https://c.org/tas.nc"}}')$$, $$SELECT esgf_stac.remove_replica('CMIP6', 'h.v2', 'a.org')$$,
    $$SELECT esgf_stac.retract_item('CMIP6', 'h.v2', 4, 'x')$$, $$SELECT esgf_stac.reinstate_item('CMIP6', 'h.v2')$$, $$SELECT esgf_stac.delete_item('CMIP6', 'h.v2')$$, $$SELECT esgf_stac.restore_item('CMIP6', 'h.v2')$$,
    $$SELECT esgf_stac.transact('[{"method": "DELETE", "collection_id": "CMIP6", "item_id": "h.v2", "request_id": "k"}]')$$, $$SELECT esgf_stac.transact('[{"method": "DELETE", "collection_id": "CMIP6", "item_id": "h.v2", "request_id": "k"}]', false)$$,
    $$SELECT esgf_stac.get_item('CMIP6', 'h.v1', 1)$$, $$SELECT esgf_stac.get_item('CMIP6', 'h.v1', 2::bigint, true)$$, $$SELECT esgf_stac.history('CMIP6', 'h.v1')$$,
    $$SELECT esgf_stac.grant_access('group:h', 'UPDATE', 'project', '*')$$, $$SELECT esgf_stac.explain_access('{"method": "DELETE", "collection_id": "CMIP6", "item_id": "h.v1"}', '{"sub": "x", "principals": ["group:h"]}')$$,
    $$SELECT esgf_stac.revoke_access(3)$$, format('SELECT esgf_stac.create_collection(%L)', pg_temp.collection_document('H')), $$SELECT esgf_stac.patch_collection('H', '{"title": "t"}')$$,
    $$SELECT esgf_stac.configure_collection('H', '{"require_version": true}')$$, $$SELECT esgf_stac.delete_collection('H')$$, $$SELECT esgf_stac.create_stream('h', NULL, '$.a == 1')$$,
    $$UPDATE esgf_stac.item SET reason = 'x', document = esgf_stac.jsonb_merge_patch(document, '{"properties": {"title": "u"}}') WHERE NOT deleted$$, $$SELECT esgf_stac.drop_stream('h')$$), 'fine', 'an administrator finds none of it');
SELECT is(pg_temp.under_a_hostile_path('esgf_stac_test_gateway', $$SELECT esgf_stac.set_identity('{"sub": "x", "principals": ["group:x", "urn:mace:egi.eu:group:esgf.vo.egi.eu:node:*:role=REPLICATE#aai.egi.eu"]}')$$,
    $$SELECT esgf_stac.patch_item('CMIP6', 'i.v1', '{"properties": {"title": "u"}}')$$, $$SELECT esgf_stac.add_replica('CMIP6', 'i.v1', 'c.org', '{"pr.nc": {"href": "https://c.org/pr.nc"}, "tas.nc": {"href": "https://c.org/tas.nc"}}')$$), 'fine', 'nor does a gateway');
SELECT matches(pg_temp.under_a_hostile_path('esgf_stac_test_writer', $$SELECT esgf_stac.delete_item('CMIP6', 'i.v1')$$), ': this change is not permitted$', 'nor is a writer helped by it');

-- What runs as its owner.
SELECT is(
    (SELECT string_agg(concat_ws(' ', p.proname, CASE WHEN o.rolsuper THEN 'superuser' ELSE o.rolname END, (SELECT array_agg(c) FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=%'),
                                 (SELECT string_agg(a.grantee::regrole::text, ' ' ORDER BY 1) FROM aclexplode(p.proacl) a WHERE a.grantee <> p.proowner)), E'\n' ORDER BY p.proname COLLATE "C")
       FROM pg_proc p JOIN pg_roles o ON o.oid = p.proowner
      WHERE p.pronamespace IN ('esgf_stac'::regnamespace, 'esgf_stac_internal'::regnamespace) AND p.prosecdef),
    (SELECT string_agg(concat_ws(' ', name, 'superuser', '{"search_path=pg_catalog, esgf_stac, pg_temp"}', grantee), E'\n' ORDER BY name COLLATE "C")
       FROM (VALUES ('batch_status', 'esgf_stac_writer'), ('changes', 'esgf_stac_reader'), ('check_site', NULL), ('create_stream', 'esgf_stac_admin'), ('delivery_status', 'esgf_stac_writer'), ('digest', 'esgf_stac_reader'), ('digest_items', 'esgf_stac_reader'), ('doctor', 'esgf_stac_admin'), ('drop_stream', 'esgf_stac_admin'), ('end_maintenance', 'esgf_stac_admin'),
                    ('event_is_known', 'esgf_stac_relay'), ('event_metadata', 'esgf_stac_relay'), ('grant_access', 'esgf_stac_admin'), ('metrics', 'esgf_stac_admin pg_monitor'), ('past_version', 'esgf_stac_reader'), ('prune_outbox', 'esgf_stac_admin'), ('publication_problem', 'esgf_stac_relay'),
                    ('redrive', 'esgf_stac_admin'), ('redrive_round', 'esgf_stac_relay'), ('redrive_states', 'esgf_stac_relay'), ('refresh_stream', 'esgf_stac_admin'), ('request_status', 'esgf_stac_writer'), ('revoke_access', 'esgf_stac_admin'), ('set_maintenance', 'esgf_stac_admin'), ('settle_letters', 'esgf_stac_relay'), ('skip_event', 'esgf_stac_admin'), ('stream_item_count', 'esgf_stac_relay'),
                    ('stream_items', 'esgf_stac_relay'),
                    ('start_iteration', 'esgf_stac_admin'), ('pause_iteration', 'esgf_stac_admin'), ('resume_iteration', 'esgf_stac_admin'), ('cancel_iteration', 'esgf_stac_admin'), ('throttle_iteration', 'esgf_stac_admin'),
                    ('take_iteration', 'esgf_stac_relay'), ('iteration_page', 'esgf_stac_relay'), ('iteration_states', 'esgf_stac_relay'),
                    ('begin_source', 'esgf_stac_ingest'), ('configure_source', 'esgf_stac_admin'), ('create_source', 'esgf_stac_admin'), ('drop_source', 'esgf_stac_admin'), ('note_results', 'esgf_stac_ingest'), ('note_source', 'esgf_stac_ingest'),
                    ('add_schema', 'esgf_stac_admin'), ('retire_schema', 'esgf_stac_admin'),
                    ('seek_source', 'esgf_stac_admin'), ('settle_inbox', 'esgf_stac_admin'), ('source_position', 'esgf_stac_ingest'), ('source_results', 'esgf_stac_ingest'),
                    ('trim_drift', 'esgf_stac_relay'), ('begin_verification', 'esgf_stac_relay'), ('verification_page', 'esgf_stac_relay'), ('verification_states', 'esgf_stac_relay'),
                    ('drop_replication_rule', 'esgf_stac_writer'), ('set_replication_rule', 'esgf_stac_writer'),
                    ('apply_rule', NULL), ('refresh_rules', 'esgf_stac_admin esgf_stac_relay'), ('site_usage', 'esgf_stac_reader'), ('site_work', 'esgf_stac_reader'), ('unreplicated', 'esgf_stac_reader')) AS t(name, grantee)),
    'every SECURITY DEFINER function: owner, search_path and grants');
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'esgf_stac'::regnamespace AND p.prosecdef AND p.provolatile = 'v' AND has_function_privilege('esgf_stac_admin', p.oid, 'EXECUTE')
                   AND NOT has_function_privilege('esgf_stac_writer', p.oid, 'EXECUTE') AND p.prosrc NOT LIKE '%require_own_rights()%' AND p.proname <> 'doctor'$$, 'what is an administrator''s alone is done for nobody else');
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.pronamespace IN ('esgf_stac'::regnamespace, 'esgf_stac_internal'::regnamespace) AND l.lanname IN ('sql', 'plpgsql') AND p.prosqlbody IS NULL
                   AND (p.proconfig IS NULL OR array_to_string(p.proconfig, ' ') NOT LIKE '%search_path=pg_catalog%pg_temp%')$$, 'no function leaves a name to the caller''s search_path');
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace IN ('esgf_stac'::regnamespace, 'esgf_stac_internal'::regnamespace) AND has_function_privilege('public', p.oid, 'EXECUTE') AND p.provolatile = 'v'$$,
                'PUBLIC may call nothing that writes');

SELECT * FROM finish();
ROLLBACK;
