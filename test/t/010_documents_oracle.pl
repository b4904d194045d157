
# The document functions against an independent implementation (test/oracle),
# over random documents with a fixed seed.
#
# DOCUMENT_ORACLE_COUNT and DOCUMENT_ORACLE_SEED choose others.
use strict;
use warnings;

use File::Basename qw(dirname);
use File::Spec;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $count = $ENV{DOCUMENT_ORACLE_COUNT} // 200_000;
my $seed = $ENV{DOCUMENT_ORACLE_SEED} // 7396;
my $source = File::Spec->catfile(dirname(__FILE__), '..', 'oracle', 'document_oracle.cpp');
my $directory = PostgreSQL::Test::Utils::tempdir;
my $compiler = $ENV{CXX} // 'g++';

sub run_quietly
{
	my ($command) = @_;
	return system("$command >$directory/output 2>&1") == 0;
}

plan skip_all => "no C++ compiler ($compiler)" unless run_quietly("$compiler --version");
plan skip_all => 'no nlohmann/json.hpp (nlohmann-json3-dev)'
  unless run_quietly("echo '#include <nlohmann/json.hpp>' | $compiler -E -x c++ -");

ok(run_quietly("$compiler -std=c++17 -O1 -o $directory/oracle $source"), 'the oracle compiles')
  or diag(slurp_file("$directory/output"));
is(system("$directory/oracle $count $seed >$directory/triples"), 0, "$count triples, seed $seed");

my $node = PostgreSQL::Test::Cluster->new('documents');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off");
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION esgf_stac;
	CREATE UNLOGGED TABLE triple (number int GENERATED ALWAYS AS IDENTITY, source jsonb, target jsonb,
		merged jsonb, operations jsonb, patched jsonb, sqlstate text, difference jsonb);

	-- Is a document, byte by byte, what the server's parser makes of its text?
	CREATE FUNCTION canonical(document jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE
	RETURN record_image_eq(ROW(document), ROW(document::text::jsonb));

	CREATE FUNCTION try_patch(target jsonb, operations jsonb, OUT result jsonb, OUT state text)
	LANGUAGE plpgsql AS $$
	BEGIN
		result := esgf_stac.jsonb_patch(target, operations);
	EXCEPTION WHEN SQLSTATE 'PT400' OR SQLSTATE 'PT409' THEN
		state := SQLSTATE;
	END $$;
});
$node->safe_psql('postgres',
	"\\copy triple (source, target, merged, operations, patched, sqlstate, difference) from '$directory/triples'");

# Each rule, and the rows for which it does not hold.
sub holds
{
	my ($name, $from, $condition) = @_;
	my $rows = $node->safe_psql('postgres',
		"SELECT row_to_json(t) FROM $from WHERE ($condition) IS NOT TRUE ORDER BY number LIMIT 3");

	is($rows, '', $name);
	return;
}

is($node->safe_psql('postgres', 'SELECT count(*) FROM triple'), $count, 'all triples are here');
holds('jsonb_merge_patch: the result',
	'triple t, esgf_stac.jsonb_merge_patch(source, target) r', 'r = merged');
holds('jsonb_merge_patch: the bytes',
	'triple t, esgf_stac.jsonb_merge_patch(source, target) r', 'canonical(r)');
holds('jsonb_patch: the result or the error',
	'triple t, try_patch(source, operations) r',
	'r.result IS NOT DISTINCT FROM patched AND r.state IS NOT DISTINCT FROM sqlstate');
holds('jsonb_patch: the bytes',
	'triple t, LATERAL (SELECT esgf_stac.jsonb_patch(source, operations) r WHERE t.sqlstate IS NULL) p',
	'canonical(r)');
holds('jsonb_patch: a difference found by the oracle',
	'triple t', 'esgf_stac.jsonb_patch(source, difference) = target');
holds('jsonb_diff: lossless, and empty for equal documents',
	'triple t, esgf_stac.jsonb_diff(source, target) d',
	q{esgf_stac.jsonb_patch(source, d) = target AND (d = '[]') = (source = target)});
holds('jsonb_diff: only add, remove and replace; the bytes',
	'triple t, esgf_stac.jsonb_diff(source, target) d',
	q{canonical(d) AND NOT d @? '$[*] ? (@.op <> "add" && @.op <> "remove" && @.op <> "replace")'});
holds('jsonb_pointer: the value that a difference replaces',
	q{(SELECT t.*, d FROM triple t, jsonb_array_elements(esgf_stac.jsonb_diff(source, target)) WITH ORDINALITY o(d, n)
	   WHERE n = 1) t},
	q{(esgf_stac.jsonb_pointer(source, d ->> 'path') IS NOT NULL OR d ->> 'op' = 'add')
	  AND (d ->> 'op' = 'remove' OR
		   esgf_stac.jsonb_pointer(esgf_stac.jsonb_patch(source, jsonb_build_array(d)), d ->> 'path') = d -> 'value')});
holds('operators see a result as they see its text',
	'triple t, esgf_stac.jsonb_merge_patch(source, target) r, LATERAL (SELECT r::text::jsonb AS s) x',
	q{r @> s AND s @> r AND r || '[]' = s || '[]' AND r || '{}' = s || '{}' AND hash_record(ROW(r)) = hash_record(ROW(s))
	  AND (jsonb_typeof(r) <> 'object' OR NOT EXISTS (SELECT FROM jsonb_object_keys(s) k
		   WHERE (r ? k AND r -> k = s -> k) IS NOT TRUE))});

$node->stop;
done_testing();
