# Documents near those that the federation's schemas are for: the same verdict and
# the same problems, by pointer and keyword, as python-jsonschema has
# (test/oracle/schema_mutations.py).
#
# ESGF_STAC_MUTATIONS documents, 600 unless said; ESGF_STAC_SEED chooses others.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PythonTest;
use Test::More;

my $count = $ENV{ESGF_STAC_MUTATIONS} // 600;
my $seed = $ENV{ESGF_STAC_SEED} // 20261130;
my $data = "$FindBin::RealBin/../../../shared/data";
plan skip_all => 'no ../shared/data/esgf-schemas beside the checkout' if !-d "$data/esgf-schemas";
my ($packages, $why) = python_packages('jsonschema==4.26.0');
plan skip_all => $why if !$packages;

local $ENV{PYTHONPATH} = $packages;
my $file = PostgreSQL::Test::Utils::tempdir . '/documents';
is(system("python3 $FindBin::RealBin/../oracle/schema_mutations.py $data $count $seed >$file 2>$file.left"), 0, "$count documents, seed $seed")
  or diag(slurp_file("$file.left"));

# Schemas that refer to other documents come below; one refers to what is not there.
is(join(' ', slurp_file("$file.left") =~ /^left out: (\S+):/mg),
	'alternate-assets.schema.json esgf_patch_roles.json:CREATE/1 bands.json catalog.json collection.json common.json item.json', 'schemas that are left out');

my $node = PostgreSQL::Test::Cluster->new('schema_mutations');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\njit = off");
$node->start;
# Whatever is in a line, COPY takes it as it is.
is($node->safe_psql('postgres', <<"SQL"), '', 'the same problems');
CREATE EXTENSION esgf_stac;
CREATE TABLE lines (number int GENERATED ALWAYS AS IDENTITY, line text);
\\copy lines (line) FROM '$file' (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')
CREATE TABLE schemas AS SELECT line::jsonb ->> 'name' AS name, line::jsonb -> 'schema' AS schema FROM lines WHERE line::jsonb -> 'schema' <> 'null';
CREATE TABLE documents AS SELECT number, line::jsonb ->> 'name' AS name, line::jsonb -> 'document' AS document, line::jsonb -> 'problems' AS problems, (line::jsonb ->> 'valid')::boolean AS valid FROM lines;
SELECT number, name, problem FROM documents JOIN schemas USING (name), LATERAL (
	SELECT concat('only python-jsonschema: ' || expected.pointer || ' ' || expected.keyword, 'only here: ' || rows.pointer || ' ' || rows.keyword) AS problem
	  FROM (SELECT problem ->> 0 AS pointer, problem ->> 1 AS keyword FROM jsonb_array_elements(problems) problem) AS expected
	  FULL JOIN (SELECT DISTINCT pointer, keyword FROM esgf_stac.jsonb_schema_problems(schema, document) WHERE pointer IS NOT NULL) AS rows
		ON expected.pointer = rows.pointer AND expected.keyword = rows.keyword
	 WHERE expected.pointer IS NULL OR rows.pointer IS NULL) AS difference
 WHERE jsonb_array_length(problems) <= 100
 ORDER BY number LIMIT 10;
SQL
is($node->safe_psql('postgres', 'SELECT number, name, valid FROM documents JOIN schemas USING (name) WHERE esgf_stac.jsonb_schema_valid(schema, document) <> valid LIMIT 10'),
	'', 'the same verdicts');
is($node->safe_psql('postgres', 'SELECT count(*) FROM documents'), $count, 'all documents');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM documents WHERE valid'), '>', $count / 5, 'some are valid');

# STAC's schemas, which refer to each other, by way of the registry.
is(system("python3 $FindBin::RealBin/../oracle/schema_mutations.py --registered $data $count $seed >$file 2>$file.left"), 0, "$count documents for schemas that refer to others")
  or diag(slurp_file("$file.left"));
is($node->safe_psql('postgres', <<"SQL"), '', 'the same problems');
SET client_min_messages = warning;
SELECT esgf_stac.create_catalogue() \\g /dev/null
TRUNCATE lines, documents;
\\copy lines (line) FROM '$file' (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')
DO 'BEGIN PERFORM esgf_stac.add_schema(line::jsonb ->> ''url'', line::jsonb -> ''schema'') FROM (SELECT * FROM lines WHERE line::jsonb ? ''schema'' ORDER BY number) l; END';
INSERT INTO documents SELECT number, line::jsonb ->> 'url', line::jsonb -> 'document', line::jsonb -> 'problems', (line::jsonb ->> 'valid')::boolean FROM lines WHERE line::jsonb ? 'document';
SELECT number, name, problem FROM documents, LATERAL (
	SELECT concat('only python-jsonschema: ' || expected.pointer || ' ' || expected.keyword, 'only here: ' || rows.pointer || ' ' || rows.keyword) AS problem
	  FROM (SELECT problem ->> 0 AS pointer, problem ->> 1 AS keyword FROM jsonb_array_elements(problems) problem) AS expected
	  FULL JOIN (SELECT DISTINCT pointer, keyword FROM esgf_stac.schema_problems(name, document) WHERE pointer IS NOT NULL) AS rows
		ON expected.pointer = rows.pointer AND expected.keyword = rows.keyword
	 WHERE expected.pointer IS NULL OR rows.pointer IS NULL) AS difference
 WHERE problems <> 'null'
 ORDER BY number LIMIT 10;
SQL
is($node->safe_psql('postgres', 'SELECT number, name, valid FROM documents WHERE NOT EXISTS (SELECT FROM esgf_stac.schema_problems(name, document)) <> valid LIMIT 10'), '', 'the same verdicts');
is($node->safe_psql('postgres', 'SELECT count(*) FROM documents'), $count, 'all documents');
is($node->safe_psql('postgres', 'SELECT count(DISTINCT name) FROM documents WHERE valid'), 6, 'some are valid by each schema');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.doctor() WHERE hazard = 'schema'}), 0, 'nothing is missing');

$node->stop;
done_testing();
