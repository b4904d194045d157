\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- What the database itself writes of an item: which of two equal versions is
-- latest, the reason of the last change and no other, who made it, times that
-- leave room for more; and the order of events after a restore.
SELECT plan(67);

CREATE FUNCTION pg_temp.versions(base text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(dataset_version || CASE WHEN latest THEN '*' ELSE '' END || CASE WHEN id = latest_id THEN '*' ELSE '' END, ' ' ORDER BY dataset_version COLLATE "C")
      FROM esgf_stac.item JOIN esgf_stac.dataset USING (collection_id, base_id) WHERE base_id = base
$$;
CREATE FUNCTION pg_temp.publish(id text) RETURNS text LANGUAGE sql AS $$ SELECT action FROM esgf_stac.create_item('CMIP6', pg_temp.document(id)) $$;

-- Versions are numbers: neither of two equal ones takes latest from the other.
SELECT is(pg_temp.publish('eq.v1') || pg_temp.versions('eq'), 'published1**', 'a version');
SELECT is(pg_temp.publish('eq.v01') || pg_temp.versions('eq'), 'published01 1**', 'an equal one is not newer');
SELECT is((SELECT changed FROM esgf_stac.patch_item('CMIP6', 'eq.v01', '{"properties": {"latest": true}}')), false, 'nor does it get latest by saying so');
SELECT is(pg_temp.publish('qe.v01') || pg_temp.publish('qe.v1') || pg_temp.versions('qe'), 'publishedpublished01** 1', 'whichever came first');
SELECT lives_ok($$INSERT INTO esgf_stac.item (collection_id, id, document) SELECT 'CMIP6', id, pg_temp.document(id) FROM unnest('{both.v2,both.v02,both.v002}'::text[]) id$$, 'several in one statement');
SELECT is(pg_temp.versions('both'), '002 02 2**', 'the first is latest');
SELECT is((SELECT action FROM esgf_stac.retract_item('CMIP6', 'both.v2')), 'retracted', 'where that is retracted');
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'both.v02', '{"properties": {"latest": true}}')), 'updated', 'another may be');
SELECT is((SELECT action FROM esgf_stac.reinstate_item('CMIP6', 'both.v2')) || pg_temp.versions('both'), 'reinstated002 02** 2', 'and stays it');
SELECT is(pg_temp.publish('both') || pg_temp.publish('both.v' || repeat('9', 200)), 'publishedpublished', 'no number, and one of any length');
SELECT is((SELECT string_agg(length(id)::text, ' ') FROM esgf_stac.item WHERE base_id = 'both' AND latest), '206', 'are in order');

-- The reason is that of the last change.
SELECT is(pg_temp.publish('why.v1'), 'published', 'an item');
CREATE FUNCTION pg_temp.why() RETURNS text LANGUAGE sql AS $$
    SELECT concat(i.version, ' ', i.reason, CASE WHEN o.reason IS DISTINCT FROM i.reason THEN ' but ' || o.reason END) FROM esgf_stac.item i, pg_temp.last_event(i.id) o WHERE i.id = 'why.v1' $$;
CREATE FUNCTION pg_temp.reason(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN pg_temp.why();
END
$$;
CREATE FUNCTION pg_temp.merge(title text, reason text) RETURNS text LANGUAGE sql AS $$
    SELECT format($m$MERGE INTO esgf_stac.item i USING (VALUES ('why.v1')) v(id) ON i.collection_id = 'CMIP6' AND i.id = v.id
        WHEN MATCHED AND i.deleted THEN UPDATE SET deleted = false, reason = 'back'
        WHEN MATCHED AND %L IS NOT NULL THEN UPDATE SET document = jsonb_set(document, '{properties,title}', %L), reason = %1$L
        WHEN MATCHED THEN UPDATE SET document = jsonb_set(document, '{properties,title}', %2$L)$m$, reason, to_jsonb(title), reason) $$;
SELECT is(pg_temp.reason($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '"a"'), reason = 'because of a' WHERE id = 'why.v1'$$), '2 because of a', 'a reason by hand');
SELECT pg_temp.merge('b', NULL) \gexec
SELECT is(pg_temp.why(), '3 ', 'MERGE that gives none does not keep it');
SELECT pg_temp.merge('c', 'because of c') \gexec
SELECT is(pg_temp.why(), '4 because of c', 'one that gives one has it');
SELECT pg_temp.merge('d', NULL) \gexec
SELECT is(pg_temp.why(), '5 ', 'once');
UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '"e"'), reason = 'the same' WHERE id = 'why.v1';
UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '"f"'), reason = 'the same' WHERE id = 'why.v1';
SELECT is((SELECT concat_ws(' ', version, reason) FROM esgf_stac.item WHERE id = 'why.v1'), '7 the same', 'an UPDATE may give the same reason again');
SELECT is(pg_temp.reason($$SELECT esgf_stac.retract_item('CMIP6', 'why.v1', NULL, 'the same')$$), '8 the same', 'so may a verb');
SELECT is(pg_temp.reason($$SELECT esgf_stac.delete_item('CMIP6', 'why.v1', NULL, 'the same')$$), '9 the same', 'and the next one');
SELECT is(pg_temp.reason($$SELECT esgf_stac.restore_item('CMIP6', 'why.v1')$$), '10 ', 'one that gives none');
DO $$ BEGIN PERFORM esgf_stac.reinstate_item('CMIP6', 'why.v1', NULL, 'again'); END $$;
-- Wherever an UPDATE stands, it may give the same reason again, and keeps none that it does not give.
CREATE FUNCTION pg_temp.titled(title text) RETURNS text LANGUAGE sql AS $$
    UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', to_jsonb(title)), reason = 'again' WHERE id = 'why.v1' RETURNING reason $$;
SELECT is(pg_temp.titled('g') || pg_temp.why(), 'again12 again', 'in a function of SQL');
SELECT is(pg_temp.reason($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '"h"'), reason = 'again' WHERE id = 'why.v1'$$), '13 again', 'of PL/pgSQL');
DO $$ BEGIN UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '"i"'), reason = 'again' WHERE id = 'why.v1'; END $$;
SELECT is(pg_temp.why(), '14 again', 'in a DO');
WITH u AS (UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '"j"'), reason = 'again' WHERE id = 'why.v1') SELECT \g /dev/null
SELECT is(pg_temp.why(), '15 again', 'in a WITH');
SELECT is(pg_temp.reason($$INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'why.v1', pg_temp.document('why.v1')) ON CONFLICT (collection_id, id) DO UPDATE SET document = EXCLUDED.document, reason = 'again'$$), '16 again', 'in an upsert');
PREPARE again AS UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '"k"'), reason = 'again' WHERE id = 'why.v1';
EXECUTE again;
SELECT is(pg_temp.why(), '17 again', 'prepared');
CREATE TEMP TABLE titles (title text);
CREATE FUNCTION pg_temp.retitle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_temp.titled(NEW.title); RETURN NEW; END $$;
CREATE TRIGGER retitle BEFORE INSERT ON titles FOR EACH ROW EXECUTE FUNCTION pg_temp.retitle();
MERGE INTO titles t USING (VALUES ('l')) AS v (title) ON t.title = v.title WHEN NOT MATCHED THEN INSERT VALUES (v.title);
SELECT is(pg_temp.why(), '18 again', 'by a trigger of a MERGE');
MERGE INTO titles t USING (SELECT action FROM esgf_stac.retract_item('CMIP6', 'why.v1', NULL, 'again')) AS v (title) ON t.title = v.title WHEN MATCHED THEN DO NOTHING;
SELECT is(pg_temp.why(), '19 again', 'by a verb in a MERGE');
SELECT is(pg_temp.reason($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,retracted}', 'false') WHERE id = 'why.v1'$$), '20 ', 'none is kept in a function');
SELECT is(pg_temp.titled('m') || pg_temp.why(), 'again21 again', 'a reason');
SELECT is(pg_temp.reason(pg_temp.merge('n', NULL)), '22 again', 'MERGE in a function keeps it, which PostgreSQL does not tell');
SELECT is(pg_temp.reason(pg_temp.merge('o', 'again')), '23 again', 'as one that gives it again');
CREATE FUNCTION pg_temp.reasoned() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.reason := 'by a trigger'; RETURN NEW; END $$;
CREATE TRIGGER a_reasoned BEFORE UPDATE ON esgf_stac.item FOR EACH ROW EXECUTE FUNCTION pg_temp.reasoned();
SELECT is(pg_temp.reason($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '"p"') WHERE id = 'why.v1'$$), '24 by a trigger', 'a trigger may give one');
DROP TRIGGER a_reasoned ON esgf_stac.item;

-- A derived column may be set to what it is, however that is stored.
CREATE FUNCTION pg_temp.held_by(nodes int) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_object_agg('f' || i, jsonb_build_object('href', 'h', 'alternate:name', format('node%s.example.org', i))) FROM generate_series(1, nodes) i $$;
SELECT lives_ok($$SELECT esgf_stac.create_item('CMIP6', pg_temp.document('wide.v1', jsonb_build_object('assets', pg_temp.held_by(400))))$$, 'an item at many nodes');
SELECT lives_ok($$UPDATE esgf_stac.item SET nodes = nodes WHERE id = 'wide.v1'$$, 'its nodes as they are');
SELECT lives_ok($$UPDATE esgf_stac.item SET nodes = (SELECT array_agg(n ORDER BY o) FROM unnest(nodes) WITH ORDINALITY u(n, o)) WHERE id = 'wide.v1'$$, 'written anew');
SELECT lives_ok($$UPDATE esgf_stac.item SET collection_id = collection_id || '', id = id || '', version = version + 0, base_id = base_id || '', dataset_version = dataset_version || '', latest = NOT NOT latest,
    retracted = retracted, created = created + interval '0', updated = updated + interval '0', created_by = created_by || '{}', updated_by = updated_by || '{}', validated_against = validated_against || '[]'$$, 'and all others');
SELECT is((SELECT version FROM esgf_stac.item WHERE id = 'wide.v1'), 1::bigint, 'is no change');
SELECT pg_temp.refused($$UPDATE esgf_stac.item SET nodes = nodes || '{x.org}' WHERE id = 'wide.v1'$$, 'PT400', 'operation-not-permitted', 'another value');
SELECT is((SELECT changed FROM esgf_stac.replace_item('CMIP6', 'wide.v1', (SELECT document FROM esgf_stac.item WHERE id = 'wide.v1'))), false, 'the document as it is');

-- Who published it, and who changed it.
CREATE ROLE esgf_stac_test_gateway IN ROLE esgf_stac_gateway;
DO $$ BEGIN PERFORM esgf_stac.grant_access('urn:y', r, s, '*') FROM unnest('{CREATE,UPDATE,DELETE}'::text[]) r, unnest('{project,node}'::text[]) s; END $$;
INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('a.org', '{https://a.org/}');
CREATE FUNCTION pg_temp.authors(id text) RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', version, created_by, updated_by) FROM esgf_stac.item WHERE id = $1 $$;
SET LOCAL ROLE esgf_stac_test_gateway;
SELECT esgf_stac.set_identity('{"sub": "ann", "iss": "https://a", "client_id": "c", "request_id": "r", "principals": ["urn:y"]}') \g /dev/null
SELECT is(pg_temp.publish('who.v1') || pg_temp.authors('who.v1'), 'published1 {"iss": "https://a", "sub": "ann"} {"iss": "https://a", "sub": "ann"}', 'who published it');
SELECT esgf_stac.set_identity('{"sub": "bob", "principals": ["urn:y"]}') \g /dev/null
SELECT is((SELECT action FROM esgf_stac.patch_item('CMIP6', 'who.v1', '{"properties": {"title": "t"}}')) || pg_temp.authors('who.v1'), 'updated2 {"iss": "https://a", "sub": "ann"} {"sub": "bob"}', 'who changed it');
SELECT is((SELECT action FROM esgf_stac.delete_item('CMIP6', 'who.v1')) || pg_temp.publish('who.v1') || pg_temp.authors('who.v1'), 'deletedpublished4 {"iss": "https://a", "sub": "ann"} {"sub": "bob"}', 'first, over deletion and re-creation too');
SELECT pg_temp.refused($$UPDATE esgf_stac.item SET created_by = '{"sub": "bob"}' WHERE id = 'who.v1'$$, 'PT400', 'operation-not-permitted', 'nobody else says so');
SELECT pg_temp.refused($$INSERT INTO esgf_stac.item (collection_id, id, document, updated_by) VALUES ('CMIP6', 'who.v2', pg_temp.document('who.v2'), '{"sub": "ann"}')$$, 'PT400', 'operation-not-permitted', 'nor at birth');
SELECT is(pg_temp.publish('who.v2') || pg_temp.authors('who.v1'), 'published5 {"iss": "https://a", "sub": "ann"} {"sub": "bob"}', 'who superseded it');
RESET ROLE;
SELECT is_empty($$SELECT FROM esgf_stac.outbox WHERE payload::text ~ 'ann|bob'$$, 'none of it is published');
SELECT is((SELECT updated_by ->> 'sub' FROM esgf_stac.item WHERE id = 'why.v1'), current_user::text, 'a role of the database is its own author');

-- What is affixed to an item is in its events; what changes no content leaves it as it is.
SELECT pg_temp.publish('seal.v1') \g /dev/null
SELECT pg_temp.refused($$UPDATE esgf_stac.item SET validated_against = '[]' WHERE id = 'seal.v1'$$, 'PT400', 'operation-not-permitted', 'nobody affixes a verdict');
SELECT pg_temp.refused($$INSERT INTO esgf_stac.item (collection_id, id, document, validated_against) VALUES ('CMIP6', 'seal.v3', pg_temp.document('seal.v3'), '[]')$$, 'PT400', 'operation-not-permitted', 'nor at birth');
SET LOCAL session_replication_role = replica;
UPDATE esgf_stac.item SET validated_against = (SELECT jsonb_agg(jsonb_build_object('url', 'https://schema.org/' || n, 'sha256', sha256(n::text::bytea))) FROM generate_series(1, 100) n) WHERE id = 'seal.v1';
RESET session_replication_role;
SELECT is(pg_temp.publish('seal.v2'), 'published', 'another version supersedes it');
SELECT is((SELECT action FROM esgf_stac.retract_item('CMIP6', 'seal.v1')) || (SELECT action FROM esgf_stac.reinstate_item('CMIP6', 'seal.v1'))
    || (SELECT action FROM esgf_stac.delete_item('CMIP6', 'seal.v1')) || (SELECT action FROM esgf_stac.restore_item('CMIP6', 'seal.v1')), 'retractedreinstateddeletedrestored', 'its life goes on');
SELECT is((SELECT string_agg(o.type, ' ' ORDER BY o.version) FROM esgf_stac.outbox o JOIN esgf_stac.item i ON i.id = o.aggregateid
            WHERE i.id = 'seal.v1' AND o.validated_against = i.validated_against AND jsonb_array_length(o.validated_against) = 100 AND o.warnings IS NULL),
    'item.superseded item.retracted item.reinstated item.deleted item.restored', 'with what was affixed');
SELECT is((SELECT validated_against FROM esgf_stac.published_item WHERE id = 'seal.v1'), (SELECT validated_against FROM esgf_stac.item WHERE id = 'seal.v1'), 'as readers see it');

-- A time to come, from another catalogue, is no time of a change; any leaves room for the next.
CREATE FUNCTION pg_temp.dated(id text, created text, updated text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_set(pg_temp.document(id), '{properties}', document -> 'properties' || jsonb_build_object('created', created, 'updated', updated)) FROM pg_temp.document(id) document $$;
SELECT results_eq($$SELECT status FROM esgf_stac.import_items(ARRAY[pg_temp.dated('far.v1', '9999-12-31T23:59:59.999999Z', '9999-12-31T23:59:59.999999Z'),
    pg_temp.dated('far.v2', '3000-01-01T00:00:00Z', '2999-12-31T23:59:59Z'), pg_temp.dated('far.v3', '0001-01-01T00:00:00Z', '0001-01-01T00:00:00Z')])$$,
    'VALUES (201), (201), (201)', 'items from the ends of time');
SELECT is_empty($$SELECT FROM esgf_stac.item WHERE base_id = 'far' AND (created > clock_timestamp() OR updated > clock_timestamp()
    OR (created, updated) <> ((document #>> '{properties,created}')::timestamptz, (document #>> '{properties,updated}')::timestamptz))$$, 'are not of the future');
SELECT is((SELECT count(*) FROM generate_series(1, 3) n, generate_series(1, 3) i, esgf_stac.patch_item('CMIP6', 'far.v' || n, jsonb_build_object('properties', jsonb_build_object('title', i::text))) r WHERE r.action = 'updated'), 9::bigint, 'and change as any other');
ALTER TABLE esgf_stac.item DISABLE TRIGGER before_row, DISABLE TRIGGER after_row;
UPDATE esgf_stac.item SET updated = '9999-12-31T23:59:59.999999Z', document = jsonb_set(document, '{properties,updated}', '"9999-12-31T23:59:59.999999Z"') WHERE id = 'far.v3';
ALTER TABLE esgf_stac.item ENABLE TRIGGER before_row, ENABLE TRIGGER after_row;
SELECT is((SELECT count(*) FROM generate_series(4, 5) i, esgf_stac.patch_item('CMIP6', 'far.v3', jsonb_build_object('properties', jsonb_build_object('title', i::text))) r WHERE r.action = 'updated'), 2::bigint, 'one that 0.1.0 let in, too');

-- Segments that no client can ask for.
SELECT pg_temp.refused(format('SELECT pg_temp.publish(%L)', id), 'PT400', 'stac-validation', 'the id ' || id) FROM unnest('{.,..}'::text[]) id;
SELECT pg_temp.refused(format('SELECT esgf_stac.create_collection(pg_temp.collection_document(%L))', id), 'PT400', 'stac-validation', 'of a collection, ' || id) FROM unnest('{.,..}'::text[]) id;
SELECT is(pg_temp.publish('...') || pg_temp.publish('.a') || pg_temp.publish('..v1'), 'publishedpublishedpublished', 'others that begin so');

-- Adopted by a cluster whose transactions are numbered otherwise, events keep their order.
SELECT is(pg_temp.publish('old.v1'), 'published', 'an item');
DO $$ BEGIN FOR i IN 1..4 LOOP PERFORM esgf_stac.patch_item('CMIP6', 'old.v1', jsonb_build_object('properties', jsonb_build_object('title', i::text))); END LOOP; END $$;
UPDATE esgf_stac.outbox SET xid = '3';
UPDATE esgf_stac.outbox SET xid = (pg_current_xact_id()::text::bigint + CASE WHEN version < 4 THEN version * 1000 - 1010 ELSE 5000 END)::text::xid8 WHERE aggregateid = 'old.v1';
UPDATE esgf_stac.catalogue SET system_identifier = 1;
SELECT lives_ok('SELECT esgf_stac.adopt_catalogue()', 'a catalogue is adopted');
SELECT is((SELECT string_agg(event ->> 'version', ' ' ORDER BY place) FROM esgf_stac.changes() WITH ORDINALITY c(cursor, event, place) WHERE event ->> 'item_id' = 'old.v1'), '1 2 3 4 5', 'its events come in the order in which they were made');

-- However small a table was when it was last looked at, its indexes are used: it
-- may have grown by a million rows since, within the same statement.
ANALYZE esgf_stac.item, esgf_stac.dataset, esgf_stac.outbox, esgf_stac.collection;
CREATE FUNCTION pg_temp.scanned() RETURNS bigint LANGUAGE sql AS $$ SELECT sum(seq_scan)::bigint FROM pg_stat_xact_user_tables WHERE schemaname = 'esgf_stac' AND relname IN ('item', 'dataset', 'outbox', 'collection') $$;
CREATE FUNCTION pg_temp.scanned_by_verbs() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT bigint := pg_temp.scanned();
BEGIN
    PERFORM pg_temp.publish('scan.v1'), pg_temp.publish('scan.v2'), esgf_stac.retract_item('CMIP6', 'scan.v2'), esgf_stac.reinstate_item('CMIP6', 'scan.v2'),
            esgf_stac.patch_item('CMIP6', 'scan.v2', '{"properties": {"title": "t"}}'), esgf_stac.delete_item('CMIP6', 'scan.v1'), esgf_stac.restore_item('CMIP6', 'scan.v1');
    RETURN pg_temp.scanned() - before;
END
$$;
SELECT is(pg_temp.scanned_by_verbs(), 0::bigint, 'verbs read no table as a whole');

SELECT * FROM finish();
ROLLBACK;
