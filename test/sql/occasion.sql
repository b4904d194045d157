\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- What surrounds a change: what somebody's own trigger does beside a verb, an
-- import, a supersession, a cleaning or an explanation is a change of its own.
SELECT plan(30);

-- A trigger of the given name does once what it is told, beside a change of an item.
CREATE FUNCTION pg_temp.beside() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_NAME = current_setting('test.trigger', true) AND NEW.id = current_setting('test.id') THEN
        PERFORM set_config('test.trigger', '', true);
        EXECUTE current_setting('test.act');
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER a_before BEFORE INSERT OR UPDATE ON esgf_stac.item FOR EACH ROW EXECUTE FUNCTION pg_temp.beside();
CREATE TRIGGER z_before BEFORE INSERT OR UPDATE ON esgf_stac.item FOR EACH ROW EXECUTE FUNCTION pg_temp.beside();
CREATE TRIGGER a_after AFTER INSERT OR UPDATE ON esgf_stac.item FOR EACH ROW EXECUTE FUNCTION pg_temp.beside();
CREATE TRIGGER z_after AFTER INSERT OR UPDATE ON esgf_stac.item FOR EACH ROW EXECUTE FUNCTION pg_temp.beside();
-- What a statement answers, and the events that it leaves, while a trigger does something beside it.
CREATE FUNCTION pg_temp.with_trigger(trigger text, id text, act text, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT bigint := max(seq) FROM esgf_stac.outbox;
    answer text;
BEGIN
    PERFORM set_config('test.trigger', trigger, true), set_config('test.id', id, true), set_config('test.act', act, true);
    IF query ~ '^SELECT' THEN
        EXECUTE query INTO answer;
    ELSE
        EXECUTE query;
    END IF;
    PERFORM set_config('test.trigger', '', true);
    RETURN concat(answer, ': ', (SELECT string_agg(concat_ws(' ', substr(type, 6), aggregateid, version, request::text), ', ' ORDER BY seq) FROM esgf_stac.outbox WHERE seq > before));
EXCEPTION WHEN query_canceled OR OTHERS THEN
    RETURN concat_ws(' ', SQLSTATE, SQLERRM);
END
$$;
CREATE FUNCTION pg_temp.old(id text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.document(id) || jsonb_build_object('properties', pg_temp.document(id) -> 'properties' || '{"created": "2020-04-08T19:20:43Z", "updated": "2021-08-05T06:24:16.5Z"}') $$;
CREATE FUNCTION pg_temp.import(id text) RETURNS text LANGUAGE sql AS $$
    SELECT format($q$SELECT string_agg(concat_ws(' ', status, item_id, version, action, problem ->> 'detail'), ', ') FROM esgf_stac.import_items(ARRAY[pg_temp.old(%L)])$q$, id) $$;
CREATE FUNCTION pg_temp.insert(id text) RETURNS text LANGUAGE sql AS $$
    SELECT format('INSERT INTO esgf_stac.item (collection_id, id, document) VALUES (''CMIP6'', %L, pg_temp.old(%1$L))', id) $$;
CREATE FUNCTION pg_temp.titled(id text, title text) RETURNS text LANGUAGE sql AS $$
    SELECT format('UPDATE esgf_stac.item SET document = jsonb_set(document, ''{properties,title}'', %L) WHERE id = %L', to_jsonb(title), id) $$;
CREATE FUNCTION pg_temp.patch(id text, title text) RETURNS text LANGUAGE sql AS $$
    SELECT format($q$SELECT concat_ws(' ', item_id, version, changed, action) FROM esgf_stac.patch_item('CMIP6', %L, '{"properties": {"title": "%s"}}')$q$, id, title) $$;
CREATE FUNCTION pg_temp.caught(act text) RETURNS text LANGUAGE sql AS $$
    SELECT format('DO $d$ BEGIN EXECUTE %L; RAISE division_by_zero; EXCEPTION WHEN OTHERS THEN NULL; END $d$', act) $$;
-- Which items have old times, as an import gives them.
CREATE FUNCTION pg_temp.imported(ids text[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(id, ',' ORDER BY id) FROM esgf_stac.item WHERE id = ANY (ids) AND created < '2021-01-01' AND version = 1 $$;

-- Beside an import: a publication is stamped and told, the import is neither.
SELECT is(pg_temp.with_trigger(t, t || '1.v1', pg_temp.insert(t || '2.v1'), pg_temp.import(t || '1.v1')), format('201 %s1.v1 1 imported: published %1$s2.v1 1', t), 'an INSERT beside an import, ' || t)
  FROM unnest('{a_before,z_before,a_after,z_after}'::text[]) t;
SELECT is(pg_temp.imported((SELECT array_agg(id) FROM esgf_stac.item WHERE id ~ '^[az]_')), 'a_after1.v1,a_before1.v1,z_after1.v1,z_before1.v1', 'what is imported has its times, and nothing else');
SELECT is(pg_temp.with_trigger('a_before', 'iv1.v1', $$SELECT esgf_stac.create_item('CMIP6', pg_temp.old('iv2.v1'))$$, pg_temp.import('iv1.v1')), '201 iv1.v1 1 imported: published iv2.v1 1', 'a verb beside an import');
SELECT is(pg_temp.with_trigger('z_before', 'ii1.v1', $$SELECT esgf_stac.import_items(ARRAY[pg_temp.old('ii2.v1')])$$, pg_temp.import('ii1.v1')), '201 ii1.v1 1 imported: ', 'an import beside an import');
SELECT is(pg_temp.with_trigger('a_before', 'ie1.v1', pg_temp.caught(pg_temp.insert('ie2.v1')), pg_temp.import('ie1.v1')), '201 ie1.v1 1 imported: ', 'what fails and is caught there');
SELECT is(pg_temp.imported('{iv1.v1,iv2.v1,ii1.v1,ii2.v1,ie1.v1}'), 'ie1.v1,ii1.v1,ii2.v1,iv1.v1', 'have the times that they should have');
SELECT is(pg_temp.with_trigger(t, 'if1.v1', $$DO 'BEGIN RAISE query_canceled; END'$$, pg_temp.import('if1.v1')), '57014 query_canceled', 'an import that is canceled, ' || t)
  FROM unnest('{a_before,z_after}'::text[]) t;
SELECT is(pg_temp.with_trigger('', '', '', pg_temp.insert('if1.v1')), ': published if1.v1 1', 'is over');
SELECT is(pg_temp.imported('{if1.v1}'), NULL, 'what follows has times of its own');

-- Beside a verb: the receipt is of what was asked, and so is the event's request.
DO $$ BEGIN PERFORM esgf_stac.create_item('CMIP6', pg_temp.document(id)) FROM unnest('{v.v1,w.v1}'::text[]) id; PERFORM esgf_stac.retract_item('CMIP6', 'w.v1'), esgf_stac.reinstate_item('CMIP6', 'w.v1'); END $$;
SELECT is(pg_temp.with_trigger('z_after', 'v.v1', pg_temp.titled('w.v1', 'a'), pg_temp.patch('v.v1', 'a')), 'v.v1 2 t updated: updated v.v1 2 {"properties": {"title": "a"}}, updated w.v1 4', 'an UPDATE of another item after a verb''s');
SELECT is(pg_temp.with_trigger('a_before', 'v.v1', pg_temp.titled('w.v1', 'b'), pg_temp.patch('v.v1', 'b')), 'v.v1 3 t updated: updated w.v1 5, updated v.v1 3 {"properties": {"title": "b"}}', 'before it');
SELECT is(pg_temp.with_trigger('z_after', 'v.v1', pg_temp.patch('w.v1', 'c'), pg_temp.patch('v.v1', 'c')), 'v.v1 4 t updated: updated v.v1 4 {"properties": {"title": "c"}}, updated w.v1 6 {"properties": {"title": "c"}}', 'a verb beside a verb');
SELECT is(pg_temp.with_trigger('z_after', 'v.v1', pg_temp.caught(pg_temp.patch('w.v1', 'd')), pg_temp.patch('v.v1', 'd')), 'v.v1 5 t updated: updated v.v1 5 {"properties": {"title": "d"}}', 'one that fails and is caught');
SELECT is(pg_temp.with_trigger('z_after', 'v.v1', pg_temp.titled('v.v1', 'e2'), pg_temp.patch('v.v1', 'e')), 'v.v1 6 t updated: updated v.v1 6 {"properties": {"title": "e"}}, updated v.v1 7', 'an UPDATE of the same item');
SELECT is(pg_temp.with_trigger('z_after', 'v.v1', $$SELECT esgf_stac.patch_collection('CMIP6', '{"title": "f"}')$$, pg_temp.patch('v.v1', 'f')), 'v.v1 8 t updated: updated v.v1 8 {"properties": {"title": "f"}}, ction.updated CMIP6 2 {"title": "f"}', 'a verb of the collection');
SELECT is(pg_temp.with_trigger('z_after', 'v.v1', pg_temp.patch('w.v1', 'g'), pg_temp.titled('v.v1', 'g')), ': updated v.v1 9, updated w.v1 7 {"properties": {"title": "g"}}', 'a verb beside an UPDATE');
SELECT is(pg_temp.with_trigger('z_after', 'v.v1', pg_temp.titled('w.v1', 'h'), $$SELECT string_agg(concat_ws(' ', item_id, version, action), ', ') FROM esgf_stac.transact('[{"method": "PATCH", "collection_id": "CMIP6", "item_id": "v.v1", "patch": {"properties": {"title": "h"}}, "request_id": "k"}]')$$),
          'v.v1 10 updated: updated v.v1 10 {"properties": {"title": "h"}}, updated w.v1 8', 'an UPDATE beside a request of transact');
SELECT is((SELECT string_agg(concat_ws(' ', i, o.request_id), ', ') FROM unnest('{v.v1,w.v1}'::text[]) i, pg_temp.last_event(i) o), 'v.v1 k, w.v1 k', 'both come of one request');

-- Beside a supersession: what is not superseded is not demoted.
SELECT is(pg_temp.with_trigger('a_before', 'v.v1', $$UPDATE esgf_stac.item SET reason = 'seen' WHERE base_id = 'v' AND id <> 'v.v1'$$, $$SELECT concat_ws(' ', item_id, version, action) FROM esgf_stac.create_item('CMIP6', pg_temp.document('v.v2'))$$),
          'v.v2 1 published: published v.v2 1, superseded v.v1 11', 'an UPDATE of nothing in the dataset');
SELECT is((SELECT string_agg(concat(id, ' ', latest), ', ' ORDER BY id) FROM esgf_stac.item WHERE base_id = 'v'), 'v.v1 f, v.v2 t', 'leaves the newest latest');
SELECT is(pg_temp.with_trigger('a_before', 'v.v2', pg_temp.titled('w.v1', 'i'), $$SELECT concat_ws(' ', item_id, version, action) FROM esgf_stac.create_item('CMIP6', pg_temp.document('v.v3'))$$),
          'v.v3 1 published: published v.v3 1, updated w.v1 9, superseded v.v2 2', 'an UPDATE of another dataset');

-- Beside an explanation: what is explained is what was asked.
CREATE FUNCTION pg_temp.explained(id text) RETURNS text LANGUAGE sql AS $$
    SELECT format($q$SELECT string_agg(concat_ws(' ', role, target, granted, pointer), ', ') FROM esgf_stac.explain_access('{"method": "PATCH", "collection_id": "CMIP6", "item_id": "%s", "patch": {"properties": {"title": "x"}}}')$q$, id) $$;
SELECT is(pg_temp.with_trigger('a_before', 'v.v1', act, pg_temp.explained('v.v1')), pg_temp.with_trigger('', '', '', pg_temp.explained('v.v1')), 'beside an explanation: ' || act)
  FROM unnest(ARRAY[$$UPDATE esgf_stac.item SET deleted = true WHERE id = 'w.v1'$$, $$SELECT esgf_stac.delete_item('CMIP6', 'w.v1')$$]) act;
SELECT is((SELECT concat_ws(' ', version, deleted) FROM esgf_stac.item WHERE id = 'w.v1'), '9 f', 'and nothing is done');

-- Beside a cleaning: only we remove.
CREATE FUNCTION pg_temp.rob() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM esgf_stac.item; RETURN OLD; END $$;
CREATE TRIGGER rob BEFORE DELETE ON esgf_stac.outbox FOR EACH ROW EXECUTE FUNCTION pg_temp.rob();
SELECT pg_temp.refused($$SELECT esgf_stac_internal.delete_events(now() + interval '1 day', '9223372036854775807', 1)$$, 'PT400', 'operation-not-permitted', 'no trigger removes items while events are pruned');
DROP TRIGGER rob ON esgf_stac.outbox;
CREATE TRIGGER rob AFTER DELETE ON esgf_stac.dataset FOR EACH ROW EXECUTE FUNCTION pg_temp.rob();
SELECT pg_temp.refused($$SELECT * FROM esgf_stac.transact('[{"method": "CHECK", "collection_id": "CMIP6", "item_id": "none.v1", "if_match": 0}]')$$, 'PT400', 'operation-not-permitted', 'nor while a dataset goes');
DROP TRIGGER rob ON esgf_stac.dataset;

SELECT * FROM finish();
ROLLBACK;
