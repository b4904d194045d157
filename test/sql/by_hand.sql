\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- Statements by hand, over many rows and in every form that SQL has: no event
-- without a change, no change without its event, and one latest of each dataset.
SELECT plan(70);

-- Run a statement; answer the events it made, in their order.
CREATE FUNCTION pg_temp.events(statement text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT bigint := (SELECT coalesce(max(seq), 0) FROM esgf_stac.outbox);
BEGIN
    EXECUTE statement;
    RETURN ARRAY (SELECT format('%s %s %s', aggregateid, substr(type, 6), version) FROM esgf_stac.outbox WHERE seq > before ORDER BY seq);
END
$$;
-- The same of an UPDATE of many, sorted: the order of its rows is nobody's
-- business, and whether a version is latest in passing depends on it.
CREATE FUNCTION pg_temp.changes(statement text) RETURNS text[] LANGUAGE sql AS $$
    SELECT ARRAY (SELECT regexp_replace(e, ' \d+$', '') FROM unnest(pg_temp.events(statement)) e WHERE e NOT LIKE '%superseded%' ORDER BY e COLLATE "C")
$$;
-- The versions of a dataset, with an asterisk at the latest, which the dataset knows as well.
CREATE FUNCTION pg_temp.versions(base text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(dataset_version || CASE WHEN latest THEN '*' ELSE '' END || CASE WHEN id = latest_id THEN '*' ELSE '' END, ' ' ORDER BY dataset_version::int)
      FROM esgf_stac.item JOIN esgf_stac.dataset USING (collection_id, base_id) WHERE base_id = base
$$;
CREATE FUNCTION pg_temp.titled(id text, title text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_set(pg_temp.document(id), '{properties,title}', to_jsonb(title))
$$;

-- One INSERT of several versions, in each order.
PREPARE publish(text[]) AS
    INSERT INTO esgf_stac.item (collection_id, id, document) SELECT 'CMIP6', id, pg_temp.document(id) FROM unnest($1) id;
SELECT is(pg_temp.events($$EXECUTE publish('{a.v1,a.v2,a.v10}')$$),
          '{a.v1 published 1,a.v2 published 1,a.v10 published 1,a.v1 superseded 2,a.v2 superseded 2}', 'versions that rise: each supersedes the one before');
SELECT is(pg_temp.versions('a'), '1 2 10**', 'the last is latest');
SELECT is(pg_temp.events($$EXECUTE publish('{b.v10,b.v2,b.v1}')$$),
          '{b.v10 published 1,b.v2 published 1,b.v1 published 1}', 'versions that fall: none is superseded');
SELECT is(pg_temp.versions('b'), '1 2 10**', 'the first is latest');
SELECT is(pg_temp.events($$EXECUTE publish('{c.v2,c.v10,c.v1,d.v1}')$$),
          '{c.v2 published 1,c.v10 published 1,c.v1 published 1,d.v1 published 1,c.v2 superseded 2}', 'versions in disorder, of two datasets');
SELECT is(pg_temp.versions('c'), '1 2 10**', 'one is latest');
SELECT is(pg_temp.events($$EXECUTE publish('{a.v3,b.v11,c.v11,e.v1}')$$),
          '{a.v3 published 1,b.v11 published 1,c.v11 published 1,e.v1 published 1,b.v10 superseded 2,c.v10 superseded 2}', 'new versions of several datasets');
SELECT is(pg_temp.events($$EXECUTE publish('{}')$$), '{}', 'an INSERT of nothing');
SELECT is(pg_temp.events($$WITH first AS (INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'f.v1', pg_temp.document('f.v1')))
                           INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'f.v2', pg_temp.document('f.v2'))$$),
          '{f.v2 published 1,f.v1 published 1}', 'two INSERTs in one statement');
SELECT is(pg_temp.versions('f'), '1 2**', 'one is latest');
SELECT pg_temp.refused($$INSERT INTO esgf_stac.item (collection_id, id, document) VALUES
                           ('CMIP6', 'a.v11', pg_temp.document('a.v11')), ('CMIP6', 'a.v12', pg_temp.document('a.v12') - 'geometry')$$,
                       'PT400', 'stac-validation', 'an INSERT whose last row is refused');
SELECT is(pg_temp.versions('a'), '1 2 3 10**', 'changes nothing');

-- A version that is deprecated from birth supersedes all the same, and is not latest itself.
PREPARE publish_deprecated(text[]) AS
    INSERT INTO esgf_stac.item (collection_id, id, document) SELECT 'CMIP6', id, jsonb_set(pg_temp.document(id), '{properties,latest}', to_jsonb(id NOT LIKE '%9')) FROM unnest($1) id;
SELECT is(pg_temp.events($$EXECUTE publish_deprecated('{f.v9}')$$), '{f.v9 published 1,f.v2 superseded 2}', 'a deprecated version');
SELECT is(pg_temp.versions('f'), '1 2 9', 'none is latest');
SELECT is(pg_temp.events($$EXECUTE publish_deprecated('{f.v3}')$$), '{f.v3 published 1}', 'an older one');
SELECT is(pg_temp.versions('f'), '1 2 3 9', 'is not latest beside it');
SELECT is(pg_temp.events($$EXECUTE publish_deprecated('{k.v1,k.v9,k.v2}')$$), '{k.v1 published 1,k.v9 published 1,k.v2 published 1,k.v1 superseded 2}', 'both in one statement');
SELECT is(pg_temp.versions('k'), '1 2 9', 'none is latest');
SELECT is(pg_temp.events($$UPDATE esgf_stac.item SET deleted = true WHERE id = 'k.v9'$$), '{k.v9 deleted 2}', 'the deprecated one is deleted');
SELECT is(pg_temp.events($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,latest}', 'true') WHERE id = 'k.v2'$$), '{k.v2 updated 2}', 'so another may be latest');
SELECT is(pg_temp.events($$UPDATE esgf_stac.item SET deleted = false, document = document || '{"bbox": [0, 0, 1, 1]}' WHERE id = 'k.v9'$$), '{k.v9 published 3,k.v2 superseded 3}', 'until it comes back');
SELECT is(pg_temp.versions('k'), '1 2 9', 'none is latest again');

-- COPY.
CREATE TEMP TABLE mark AS SELECT max(seq) AS seq FROM esgf_stac.outbox;
COPY esgf_stac.item (collection_id, id, document) FROM stdin;
CMIP6	copy.v1	{"type": "Feature", "stac_version": "1.1.0", "id": "copy.v1", "geometry": null, "properties": {"datetime": "2000-01-01T00:00:00Z"}, "assets": {}}
CMIP6	copy.v3	{"type": "Feature", "stac_version": "1.1.0", "id": "copy.v3", "geometry": null, "properties": {"datetime": "2000-01-01T00:00:00Z"}, "assets": {}}
CMIP6	copy.v2	{"type": "Feature", "stac_version": "1.1.0", "id": "copy.v2", "geometry": null, "properties": {"datetime": "2000-01-01T00:00:00Z"}, "assets": {}}
\.
SELECT is(ARRAY (SELECT format('%s %s %s', aggregateid, o.type, o.version) FROM esgf_stac.outbox o, mark WHERE o.seq > mark.seq ORDER BY o.seq),
          '{copy.v1 item.published 1,copy.v3 item.published 1,copy.v2 item.published 1,copy.v1 item.superseded 2}', 'COPY publishes');
SELECT is(pg_temp.versions('copy'), '1 2 3**', 'one is latest');

-- One UPDATE over several versions.
SELECT is(pg_temp.changes($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '"t"') WHERE base_id = 'copy'$$),
          '{copy.v1 updated,copy.v2 updated,copy.v3 updated}', 'an UPDATE of all versions');
SELECT is(pg_temp.changes($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '"t"') WHERE base_id = 'copy'$$), '{}', 'the same again changes nothing');
SELECT is(pg_temp.changes($$UPDATE esgf_stac.item SET document = document, deleted = deleted$$), '{}', 'nor does an UPDATE of nothing in all items');
SELECT is(pg_temp.changes($$UPDATE esgf_stac.item SET reason = 'r'$$), '{}', 'nor a reason alone');
SELECT is(pg_temp.changes($$UPDATE esgf_stac.item SET deleted = true WHERE base_id = 'copy'$$),
          '{copy.v1 deleted,copy.v2 deleted,copy.v3 deleted}', 'all versions are deleted');
SELECT is(pg_temp.versions('copy'), '1 2 3', 'none is latest');
SELECT is(pg_temp.changes($$UPDATE esgf_stac.item SET deleted = false WHERE base_id = 'copy' AND id <> 'copy.v3'$$),
          '{copy.v1 restored,copy.v2 restored}', 'two of them are restored');
SELECT is(pg_temp.versions('copy'), '1 2** 3', 'the newer one is latest');
SELECT is(pg_temp.changes($$UPDATE esgf_stac.item SET deleted = NOT deleted WHERE base_id = 'copy'$$),
          '{copy.v1 deleted,copy.v2 deleted,copy.v3 restored}', 'one is restored, the others deleted');
SELECT is(pg_temp.versions('copy'), '1 2 3**', 'it is latest');
SELECT is(pg_temp.changes($$UPDATE esgf_stac.item SET deleted = false WHERE base_id = 'copy'$$),
          '{copy.v1 restored,copy.v2 restored}', 'restoring older ones');
SELECT is(pg_temp.versions('copy'), '1 2 3**', 'takes latest from nobody');
SELECT is(pg_temp.changes($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,retracted}', 'true') WHERE base_id = 'copy'$$),
          '{copy.v1 retracted,copy.v2 retracted,copy.v3 retracted}', 'all versions are retracted');
SELECT is(pg_temp.versions('copy'), '1 2 3', 'none is latest');
SELECT is(pg_temp.changes($$UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,retracted}', 'false') WHERE base_id = 'copy'$$),
          '{copy.v1 reinstated,copy.v2 reinstated,copy.v3 reinstated}', 'all are reinstated');
SELECT is(pg_temp.versions('copy'), '1 2 3**', 'the newest is latest');
SELECT is(pg_temp.changes($$UPDATE esgf_stac.item i SET document = jsonb_set(document, '{properties,title}', to_jsonb(n::text)) FROM generate_series(1, 3) n WHERE i.id = 'copy.v1'$$),
          '{copy.v1 updated}', 'a row that meets several others is changed once');

-- INSERT ... ON CONFLICT DO NOTHING.
SELECT is(pg_temp.events($$INSERT INTO esgf_stac.item (collection_id, id, document)
                           VALUES ('CMIP6', 'a.v10', pg_temp.titled('a.v10', 'other')) ON CONFLICT DO NOTHING$$), '{}', 'DO NOTHING: the item is there');
SELECT is(pg_temp.events($$INSERT INTO esgf_stac.item (collection_id, id, document)
                           SELECT 'CMIP6', id, pg_temp.document(id) FROM unnest('{a.v10,a.v11,g.v1,g.v1}'::text[]) id ON CONFLICT (collection_id, id) DO NOTHING$$),
          '{a.v11 published 1,g.v1 published 1,a.v10 superseded 2}', 'DO NOTHING: some are there, one comes twice');
SELECT is(pg_temp.versions('a'), '1 2 3 10 11**', 'one is latest');
SELECT lives_ok($$SELECT esgf_stac.delete_item('CMIP6', 'g.v1')$$, 'an item is deleted');
SELECT is(pg_temp.events($$INSERT INTO esgf_stac.item (collection_id, id, document)
                           VALUES ('CMIP6', 'g.v1', pg_temp.document('g.v1')) ON CONFLICT DO NOTHING$$), '{}', 'DO NOTHING: the item is there, deleted');

-- INSERT ... ON CONFLICT DO UPDATE.
PREPARE upsert(text[], text) AS
    INSERT INTO esgf_stac.item AS i (collection_id, id, document) SELECT 'CMIP6', id, pg_temp.titled(id, $2) FROM unnest($1) id
        ON CONFLICT (collection_id, id) DO UPDATE SET document = EXCLUDED.document;
SELECT is(pg_temp.events($$EXECUTE upsert('{h.v1,h.v2}', 't')$$), '{h.v1 published 1,h.v2 published 1,h.v1 superseded 2}', 'DO UPDATE: items that are new');
SELECT is(pg_temp.events($$EXECUTE upsert('{h.v1,h.v2}', 't')$$), '{}', 'DO UPDATE: the same again');
SELECT is(pg_temp.events($$EXECUTE upsert('{h.v1,h.v2,h.v3}', 'u')$$), '{h.v1 updated 3,h.v2 updated 2,h.v3 published 1,h.v2 superseded 3}', 'DO UPDATE: two change, one is new');
SELECT is(pg_temp.versions('h'), '1 2 3**', 'one is latest');
SELECT is(pg_temp.events($$INSERT INTO esgf_stac.item AS i (collection_id, id, document) VALUES ('CMIP6', 'h.v3', pg_temp.titled('h.v3', 'v'))
                           ON CONFLICT (collection_id, id) DO UPDATE SET document = EXCLUDED.document WHERE i.version > 5$$), '{}', 'DO UPDATE: its condition is false');
SELECT pg_temp.refused($$INSERT INTO esgf_stac.item (collection_id, id, document) SELECT 'CMIP6', 'i.v1', pg_temp.titled('i.v1', t) FROM unnest('{t,u}'::text[]) t
                         ON CONFLICT (collection_id, id) DO UPDATE SET document = EXCLUDED.document$$, '21000', NULL, 'DO UPDATE of one item twice is PostgreSQL''s own error');
SELECT pg_temp.refused($$INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'g.v1', pg_temp.titled('g.v1', 't'))
                         ON CONFLICT (collection_id, id) DO UPDATE SET document = EXCLUDED.document$$, 'PT404', 'item-does-not-exist', 'DO UPDATE of a deleted item');
SELECT is(pg_temp.events($$INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'g.v1', pg_temp.titled('g.v1', 't'))
                           ON CONFLICT (collection_id, id) DO UPDATE SET document = EXCLUDED.document, deleted = false$$), '{g.v1 published 3}', 'DO UPDATE that brings it back');
SELECT is(pg_temp.versions('g'), '1**', 'it is latest');
SELECT lives_ok($$SELECT esgf_stac.patch_item('CMIP6', 'g.v1', '{"properties": {"latest": false}}')$$, 'an item is deprecated');
SELECT is(pg_temp.events($$EXECUTE upsert('{g.v1}', 't')$$), '{}', 'DO UPDATE: a document without latest keeps the item''s own');
SELECT is(pg_temp.events($$INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'g.v1', jsonb_set(pg_temp.titled('g.v1', 't'), '{properties,latest}', 'true'))
                           ON CONFLICT (collection_id, id) DO UPDATE SET document = EXCLUDED.document$$), '{g.v1 updated 5}', 'DO UPDATE: a document that claims latest gets it');

-- MERGE.
CREATE TEMP TABLE wanted (id text, document jsonb);
INSERT INTO wanted SELECT id, pg_temp.titled(id, 't') FROM unnest('{m.v1,m.v2,m.v3}'::text[]) id;
PREPARE merge AS
    MERGE INTO esgf_stac.item i USING wanted w ON i.collection_id = 'CMIP6' AND i.id = w.id
     WHEN MATCHED AND w.document IS NULL THEN UPDATE SET deleted = true
     WHEN MATCHED THEN UPDATE SET document = w.document
     WHEN NOT MATCHED AND w.document IS NULL THEN DO NOTHING
     WHEN NOT MATCHED THEN INSERT (collection_id, id, document) VALUES ('CMIP6', w.id, w.document);
SELECT is(pg_temp.events('EXECUTE merge'), '{m.v1 published 1,m.v2 published 1,m.v3 published 1,m.v1 superseded 2,m.v2 superseded 2}', 'MERGE inserts');
SELECT is(pg_temp.events('EXECUTE merge'), '{}', 'MERGE of the same changes nothing');
UPDATE wanted SET document = CASE id WHEN 'm.v1' THEN pg_temp.titled('m.v1', 'u') WHEN 'm.v2' THEN document END;
INSERT INTO wanted VALUES ('m.v4', pg_temp.document('m.v4')), ('m.v5', NULL);
SELECT set_eq($$SELECT unnest(pg_temp.events('EXECUTE merge'))$$, '{m.v1 updated 3,m.v3 deleted 2,m.v4 published 1}'::text[], 'MERGE updates, deletes and inserts in one');
SELECT is(pg_temp.versions('m'), '1 2 3 4**', 'one is latest');

-- What is undone leaves nothing behind, neither rows nor a demotion that waits
-- (institutions are compared after it has been noted).
SAVEPOINT undone;
SELECT is(pg_temp.events($$EXECUTE publish('{b.v12}')$$), '{b.v12 published 1,b.v11 superseded 2}', 'a new version');
ROLLBACK TO undone;
CREATE FUNCTION pg_temp.undone() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO esgf_stac.item (collection_id, id, document) VALUES
        ('CMIP6', 'b.v12', pg_temp.document('b.v12')),
        ('CMIP6', 'c.v12', jsonb_set(pg_temp.document('c.v12'), '{properties,cmip6:institution_id}', '"other"'));
EXCEPTION WHEN SQLSTATE 'PT409' THEN
    INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'c.v12', pg_temp.document('c.v12'));
END $$;
SELECT is(pg_temp.events('SELECT pg_temp.undone()'), '{c.v12 published 1,c.v11 superseded 2}', 'is undone: the next statement supersedes its own alone');
SELECT is(pg_temp.versions('b') || ', ' || pg_temp.versions('c'), '1 2 10 11**, 1 2 10 11 12**', 'one is latest');

-- After all that the books balance.
SELECT is_empty($$SELECT aggregateid, version FROM (SELECT *, row_number() OVER (PARTITION BY aggregatetype, aggregateid ORDER BY seq) AS n FROM esgf_stac.outbox) o WHERE version <> n$$, 'events are versions 1 to n, in order');
SELECT is_empty($$SELECT i.id FROM esgf_stac.item i LEFT JOIN LATERAL (SELECT * FROM esgf_stac.outbox o WHERE o.aggregatetype = i.collection_id AND o.aggregateid = i.id ORDER BY version DESC LIMIT 1) o ON true
                  LEFT JOIN esgf_stac.published_item p ON p.collection_id = i.collection_id AND p.id = i.id
                   WHERE o.version IS DISTINCT FROM i.version OR o.payload IS DISTINCT FROM p.document$$, 'the last is the item as it is published');
SELECT is_empty($$SELECT base_id FROM esgf_stac.item GROUP BY collection_id, base_id HAVING count(*) FILTER (WHERE latest) > 1$$, 'a dataset has one latest at most');
SELECT is_empty($$SELECT i.id FROM esgf_stac.item i JOIN esgf_stac.dataset d USING (collection_id, base_id) WHERE i.latest <> (i.id IS NOT DISTINCT FROM d.latest_id)$$, 'which it knows');
SELECT is_empty($$SELECT o.id FROM esgf_stac.outbox o WHERE o.aggregatetype <> 'collection' AND NOT EXISTS (SELECT FROM esgf_stac.item i WHERE i.collection_id = o.aggregatetype AND i.id = o.aggregateid)$$, 'no event tells of what never was');

SELECT * FROM finish();
ROLLBACK;
