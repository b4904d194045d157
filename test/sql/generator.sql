\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set setup :srcdir '/setup.psql'
\i :setup
-- The generated items: as many as wished, always the same, like those of the federation.
\set generator :srcdir '/../scripts/generate_items.sql'
\i :generator
SELECT plan(11);

CREATE TEMPORARY TABLE sample AS
    SELECT n, document, length(replace(replace(document::text, ': ', ':'), ', ', ',')) AS compact, generator.files(n) AS files
      FROM generate_series(0, 999) n, generator.item(n) document;
SELECT is((SELECT md5(string_agg(document::text, ',' ORDER BY n)) FROM sample), '24fe4d4c6bf9e152a981290afa9b60e9', 'they follow from their number alone');
SELECT is((SELECT count(DISTINCT generator.item(n) ->> 'id') FROM generate_series(0, 20000, 7) n), 2858::bigint, 'each has an id of its own');
SELECT set_eq('SELECT generator.items(3, 5)', 'SELECT document FROM sample WHERE n BETWEEN 3 AND 5', 'a range of them');
SELECT is_empty('SELECT n, v.* FROM sample, esgf_stac.validate_item(document) v', 'all are STAC items');
SELECT is_empty('SELECT v.* FROM esgf_stac.validate_collection(generator.collection()) v', 'of a STAC collection');
SELECT ok((SELECT min(files) = 1 AND max(files) BETWEEN 55 AND 60 FROM sample), '1 to 60 files');
SELECT is((SELECT max(compact / 1000) FROM sample), 50, '50 KB at most');
SELECT is((SELECT percentile_disc(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY round(compact / 1000.0)) FROM sample), ARRAY[4, 15]::numeric[], '4 KB in the middle, 15 KB at the ninth decile');
SELECT is_empty($$SELECT n, key FROM sample, jsonb_each(document -> 'assets') WHERE NOT EXISTS (
                    SELECT FROM generator.node WHERE node = value ->> 'alternate:name'
                       AND (starts_with(value ->> 'href', prefix) OR value ->> 'href' LIKE '%origin_id=' || globus_endpoint || '&%'))$$,
                'each file lies where its node says');
SELECT is_empty($$SELECT n FROM sample, generator.replica(document, 'ceda.ac.uk') replica
                   WHERE NOT replica ?& ARRAY(SELECT jsonb_object_keys((document -> 'assets') - 'globus')) OR replica ? 'globus'$$,
                'a replica covers every data file');
SELECT is((SELECT generator.replica(document, 'nowhere') FROM sample WHERE n = 0), NULL, 'there is none at an unknown node');
SELECT * FROM finish();
ROLLBACK;
