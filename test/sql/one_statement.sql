\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- What one statement may do to items that concern each other: change one twice,
-- by functions that it calls or in parts of its own, bring several versions of
-- a dataset, or take one from another institution. It is right, or refused.
SELECT plan(79);

-- All there is: it may not change where something is refused.
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE sql AS $$
    SELECT md5(concat((SELECT json_agg(i ORDER BY id) FROM esgf_stac.item i), (SELECT json_agg(d ORDER BY base_id) FROM esgf_stac.dataset d),
                      (SELECT json_agg(c ORDER BY id) FROM esgf_stac.collection c), (SELECT json_agg(o ORDER BY seq) FROM esgf_stac.outbox o)))
$$;
CREATE FUNCTION pg_temp.refused_whole(query text, state text, slug text, description text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT text := pg_temp.state();
BEGIN
    RETURN NEXT pg_temp.refused(query, state, slug, description);
    RETURN NEXT is(pg_temp.state(), before, description || ': nothing has changed');
END
$$;
-- The versions of a dataset, with an asterisk at the latest, which the dataset knows as well.
CREATE FUNCTION pg_temp.versions(base text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(dataset_version || CASE WHEN latest THEN '*' ELSE '' END || CASE WHEN id = latest_id THEN '*' ELSE '' END, ' ' ORDER BY length(dataset_version), dataset_version)
      FROM esgf_stac.item JOIN esgf_stac.dataset USING (collection_id, base_id) WHERE base_id = base
$$;
CREATE FUNCTION pg_temp.of(id text, institution text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_set(pg_temp.document(id), '{properties,cmip6:institution_id}', to_jsonb(institution))
$$;
-- Functions that a statement calls while it is under way.
CREATE FUNCTION pg_temp.titled(id text, document jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM esgf_stac.patch_item('CMIP6', id, '{"properties": {"title": "inner"}}');
    RETURN jsonb_set(document, '{properties,title}', '"outer"');
END
$$;
CREATE FUNCTION pg_temp.undone(id text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM esgf_stac.patch_item('CMIP6', id, '{"properties": {"title": "inner"}}');
    RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
    RETURN 'undone';
END
$$;

-- Changed twice.
DO $$ BEGIN PERFORM esgf_stac.create_item('CMIP6', pg_temp.document(id)) FROM unnest('{a.v1,b.v1,b.v2,e.v1,u.v1}'::text[]) id; END $$;
SELECT pg_temp.refused_whole($$WITH a AS (UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,latest}', 'false') WHERE id = 'a.v1' RETURNING id)
    SELECT esgf_stac.patch_item('CMIP6', id, '{"properties": {"latest": true}}') FROM a$$, '27000', NULL, 'an UPDATE whose rows go to a verb');
SELECT pg_temp.refused_whole($$WITH a AS (UPDATE esgf_stac.item SET deleted = true WHERE id = 'a.v1' RETURNING id)
    SELECT esgf_stac.restore_item('CMIP6', id) FROM a$$, '27000', NULL, 'a deletion that a verb takes back');
SELECT pg_temp.refused_whole($$WITH a AS (INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'n.v1', pg_temp.document('n.v1')) RETURNING id)
    SELECT esgf_stac.patch_item('CMIP6', id, '{"properties": {"title": "t"}}') FROM a$$, '27000', NULL, 'an INSERT whose row is patched');
SELECT pg_temp.refused_whole($$WITH a AS (INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'n.v1', pg_temp.document('n.v1')) RETURNING id)
    SELECT esgf_stac.transact('[{"method": "RETRACT", "collection_id": "CMIP6", "item_id": "n.v1"}]') FROM a$$, '27000', NULL, 'or retracted by transact');
SELECT pg_temp.refused_whole($$WITH a AS (INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'e.v2', pg_temp.document('e.v2')) RETURNING id)
    SELECT esgf_stac.create_item('CMIP6', pg_temp.document('e.v3')) FROM a$$, '27000', NULL, 'an INSERT whose row is superseded at once');
SELECT pg_temp.refused_whole($$UPDATE esgf_stac.item SET document = pg_temp.titled('b.v2', document) WHERE base_id = 'b'$$, '27000', NULL, 'a function in an UPDATE that changes one of its rows');
SELECT pg_temp.refused_whole($$UPDATE esgf_stac.item SET document = pg_temp.titled(id, document) WHERE id = 'b.v1'$$, '27000', NULL, 'the very row');
SELECT pg_temp.refused_whole($$WITH c AS (UPDATE esgf_stac.collection SET document = document || '{"title": "a"}' WHERE id = 'CMIP6' RETURNING id)
    SELECT esgf_stac.patch_collection(id, '{"title": "b"}') FROM c$$, '27000', NULL, 'a collection that is changed twice');
SELECT lives_ok($$WITH a AS (UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '"outer"') WHERE id = 'u.v1' RETURNING id)
    SELECT pg_temp.undone(id) FROM a$$, 'a second change that is undone is none');
SELECT is((SELECT string_agg(concat_ws(' ', version, payload #>> '{properties,title}'), ', ' ORDER BY seq) FROM esgf_stac.outbox WHERE aggregateid = 'u.v1'), '1, 2 outer', 'nor an event');
SELECT lives_ok($$WITH a AS (UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '"outer"') WHERE id = 'a.v1' RETURNING id)
    SELECT esgf_stac.patch_item('CMIP6', 'u.v1', '{"properties": {"title": "inner"}}') FROM a$$, 'two items by one statement');
SELECT lives_ok($$WITH a AS (INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'e.v4', pg_temp.document('e.v4')) RETURNING id)
    SELECT esgf_stac.create_item('CMIP6', pg_temp.document('e.v3')) FROM a$$, 'two versions of a dataset, one by a verb');
SELECT is(pg_temp.versions('e'), '1 3 4**', 'the newest is latest, though the other came last');
SELECT lives_ok($$WITH a AS (UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,latest}', 'false') WHERE id = 'e.v4' RETURNING id)
    SELECT esgf_stac.create_item('CMIP6', pg_temp.document('e.v5')) FROM a$$, 'one is deprecated while a newer one is published');
SELECT is(pg_temp.versions('e'), '1 3 4 5**', 'which is latest');

-- Parts of one statement, in any order.
SELECT lives_ok($$WITH a AS (UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,latest}', 'true') WHERE id = 'e.v4'),
    b AS (INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'e.v6', pg_temp.document('e.v6')))
    UPDATE esgf_stac.item SET deleted = true WHERE id = 'e.v5'$$, 'a claim, a publication and a deletion in one statement');
SELECT is(pg_temp.versions('e'), '1 3 4 5 6**', 'one is latest');
SELECT is_empty($$SELECT aggregateid FROM (SELECT aggregateid, version, row_number() OVER (PARTITION BY aggregateid ORDER BY seq) AS n FROM esgf_stac.outbox WHERE aggregatetype = 'CMIP6') o WHERE version <> n$$, 'events tell of versions in their order');

-- An item does not appear in a collection that the same statement deletes.
DO $$ BEGIN PERFORM esgf_stac.create_collection(pg_temp.collection_document('D')); PERFORM esgf_stac.create_item('D', pg_temp.document('x.v1', '{"collection": "D"}')); PERFORM esgf_stac.delete_item('D', 'x.v1'); END $$;
SELECT pg_temp.refused_whole($$WITH b AS (UPDATE esgf_stac.collection SET deleted = true WHERE id = 'D' RETURNING 1)
    INSERT INTO esgf_stac.item (collection_id, id, document) SELECT 'D', 'y.v1', pg_temp.document('y.v1', '{"collection": "D"}') FROM b$$, 'PT404', 'collection-does-not-exist', 'a collection deleted before its new item');
SELECT pg_temp.refused_whole($$WITH b AS (INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('D', 'y.v1', pg_temp.document('y.v1', '{"collection": "D"}')) RETURNING 1)
    UPDATE esgf_stac.collection SET deleted = true FROM b WHERE id = 'D'$$, 'PT409', 'collection-not-empty', 'after it');
SELECT pg_temp.refused_whole($$WITH b AS (UPDATE esgf_stac.item SET deleted = false WHERE id = 'x.v1')
    UPDATE esgf_stac.collection SET deleted = true WHERE id = 'D'$$, 'PT404', 'collection-does-not-exist', 'beside one that is restored');

-- A dataset is one institution's, by whatever route another one comes.
DO $$ BEGIN PERFORM esgf_stac.create_item('CMIP6', pg_temp.of(id, 'A')) FROM unnest('{crown.v1,crown.v5,gone.v1}'::text[]) id; PERFORM esgf_stac.delete_item('CMIP6', 'gone.v1'); END $$;
SELECT pg_temp.refused_whole(format($$INSERT INTO esgf_stac.item (collection_id, id, document) SELECT 'CMIP6', id, pg_temp.of(id, 'B') FROM unnest(%L::text[]) id$$, ids), 'PT409', 'institution-differs', 'INSERT of ' || ids)
  FROM unnest('{"{crown.v6,crown.v7}","{crown.v2,crown.v3}","{gone.v2,gone.v3}"}'::text[]) ids;
SELECT pg_temp.refused_whole($$INSERT INTO esgf_stac.item (collection_id, id, document) SELECT 'CMIP6', id, pg_temp.of(id, 'B') FROM unnest('{crown.v5,crown.v6}'::text[]) id
    ON CONFLICT (collection_id, id) DO UPDATE SET document = EXCLUDED.document$$, 'PT409', 'institution-differs', 'ON CONFLICT');
SELECT pg_temp.refused_whole($$MERGE INTO esgf_stac.item i USING (SELECT unnest('{crown.v6,crown.v7}'::text[])) v(id) ON i.collection_id = 'CMIP6' AND i.id = v.id
    WHEN NOT MATCHED THEN INSERT (collection_id, id, document) VALUES ('CMIP6', v.id, pg_temp.of(v.id, 'B'))$$, 'PT409', 'institution-differs', 'MERGE');
SELECT pg_temp.refused_whole($$WITH a AS (INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'crown.v6', pg_temp.of('crown.v6', 'B')) RETURNING id)
    SELECT esgf_stac.create_item('CMIP6', pg_temp.of('crown.v7', 'B')) FROM a$$, 'PT409', 'institution-differs', 'a verb within an INSERT');
SELECT pg_temp.refused_whole($$SELECT esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'POST', 'collection_id', 'CMIP6', 'item', pg_temp.of('crown.v6', 'B'))))$$, 'PT409', 'institution-differs', 'transact');
SELECT pg_temp.refused_whole($$SELECT esgf_stac.patch_item('CMIP6', 'crown.v5', '{"properties": {"cmip6:institution_id": "B"}}')$$, 'PT409', 'institution-differs', 'a patch of one version');
SELECT pg_temp.refused_whole($$SELECT esgf_stac.create_item('CMIP6', pg_temp.of('gone.v2', 'B'))$$, 'PT409', 'institution-differs', 'where the other version is deleted');
SELECT is((SELECT string_agg(concat_ws(' ', status, item_id, problem ->> 'type'), ', ' ORDER BY ordinal) FROM esgf_stac.import_items(ARRAY[pg_temp.of('crown.v6', 'B'), pg_temp.of('crown.v7', 'B')])),
    '409 crown.v6 https://esgf.io/publication/errors/institution-differs, 409 crown.v7 https://esgf.io/publication/errors/institution-differs', 'import');
SELECT is(pg_temp.versions('crown'), '1 5**', 'the dataset is as it was');
SELECT lives_ok($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,cmip6:institution_id}', '"B"') WHERE base_id = 'crown'$$, 'all versions of a dataset are moved by one UPDATE');
SELECT is((SELECT institution FROM esgf_stac.dataset WHERE base_id = 'crown'), '"B"'::jsonb, 'to that institution');
SELECT lives_ok($$SELECT esgf_stac.create_item('CMIP6', pg_temp.of('crown.v6', 'B'))$$, 'which goes on with it');
-- A check of one's own that tries a change, and catches its refusal, undoes nothing of what is judged when the statement ends.
CREATE FUNCTION pg_temp.try_another() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM esgf_stac.create_item('CMIP6', pg_temp.of('crown.v9', 'A'));
    RETURN NULL;
EXCEPTION WHEN SQLSTATE 'PT409' THEN
    RETURN NULL;
END
$$;
CREATE TRIGGER zz_try AFTER INSERT ON esgf_stac.item FOR EACH ROW WHEN (NEW.base_id = 'try') EXECUTE FUNCTION pg_temp.try_another();
SELECT lives_ok(format($$SELECT esgf_stac.create_item('CMIP6', pg_temp.of(%L, 'A'))$$, id), id) FROM unnest('{try.v1,try.v2}'::text[]) id;
SELECT is(pg_temp.versions('try'), '1 2**', 'has one latest');
SELECT pg_temp.refused_whole($$SELECT esgf_stac.create_item('CMIP6', pg_temp.of('try.v3', 'B'))$$, 'PT409', 'institution-differs', 'and one institution');
DROP TRIGGER zz_try ON esgf_stac.item;

SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"institution_path": "/properties/owner"}')$$, 'where the path is configured');
SELECT lives_ok($$SELECT esgf_stac.create_item('CMIP6', pg_temp.of('crown.v7', 'C'))$$, 'what stood at the old one is nobody''s');
SELECT pg_temp.refused_whole($$SELECT esgf_stac.create_item('CMIP6', jsonb_set(pg_temp.of('crown.v8', 'C'), '{properties,owner}', '"C"'))$$, 'PT409', 'institution-differs', 'what stands at the new one counts');

-- What a dataset is known to say is known of the path of that time: another one leaves items unwatched at the first.
CREATE FUNCTION pg_temp.configure(path text) RETURNS void LANGUAGE sql AS $$ SELECT esgf_stac.configure_collection('CMIP6', jsonb_build_object('institution_path', path)) $$;
DO $$ BEGIN PERFORM pg_temp.configure('/properties/cmip6:institution_id'); PERFORM esgf_stac.create_item('CMIP6', pg_temp.of(id, 'A')) FROM unnest('{away.v1,away.v2,home.v1}'::text[]) id; END $$;
DO $$ BEGIN PERFORM pg_temp.configure('/properties/owner'); END $$;
SELECT lives_ok($$SELECT esgf_stac.patch_item('CMIP6', 'away.v1', '{"properties": {"cmip6:institution_id": "B"}}')$$, 'what stands at another path is changed in one version');
UPDATE esgf_stac.collection SET institution_path = '/properties/cmip6:institution_id' WHERE id = 'CMIP6';
SELECT pg_temp.refused_whole(format($$SELECT esgf_stac.create_item('CMIP6', pg_temp.of('away.v3', %L))$$, i), 'PT409', 'institution-differs', 'a dataset of two cannot go on as ' || i) FROM unnest('{A,B}'::text[]) i;
SELECT lives_ok($$SELECT esgf_stac.patch_item('CMIP6', 'away.v1', '{"properties": {"cmip6:institution_id": "A"}}')$$, 'until it is one again');
SELECT lives_ok(format($$SELECT esgf_stac.create_item('CMIP6', pg_temp.of(%L, 'A'))$$, id), id) FROM unnest('{away.v3,home.v2}'::text[]) id;
SELECT is((SELECT array_agg(DISTINCT institution) FROM esgf_stac.dataset WHERE institution_generation = 4), '{"\"A\""}', 'which is what is known now');
SELECT lives_ok($$SELECT esgf_stac.configure_collection('CMIP6', '{"institution_path": "/properties/cmip6:institution_id", "stamp_times": true}')$$, 'a setting that stays');
SELECT is((SELECT institution_generation FROM esgf_stac.collection WHERE id = 'CMIP6'), 4, 'changes nothing');
SELECT pg_temp.refused_whole($$UPDATE esgf_stac.collection SET institution_generation = 0$$, 'PT400', 'operation-not-permitted', 'that count, by hand');
SELECT pg_temp.refused_whole($$INSERT INTO esgf_stac.collection (id, document, institution_generation) VALUES ('G', pg_temp.collection_document('G'), 0)$$, 'PT400', 'operation-not-permitted', 'nor at first');

SELECT * FROM finish();
ROLLBACK;
