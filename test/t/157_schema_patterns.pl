# Patterns: found where Node.js finds them (test/oracle/patterns.js), in databases
# of several encodings.
#
# ESGF_STAC_PATTERNS patterns, 3,000 unless said; ESGF_STAC_SEED chooses others.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PythonTest;
use Test::More;

my $count = $ENV{ESGF_STAC_PATTERNS} // 3000;
my $seed = $ENV{ESGF_STAC_SEED} // 20261130;
my ($found, undef, $why) = run_program('', qw(node --version));
plan skip_all => "no Node.js: $why" if !$found;

my $file = PostgreSQL::Test::Utils::tempdir . '/patterns';
is(system("node $FindBin::RealBin/../oracle/patterns.js $count $seed >$file"), 0, "$count patterns, seed $seed");

my $node = PostgreSQL::Test::Cluster->new('schema_patterns');
$node->init(extra => [ '--locale=C', '--encoding=UTF8' ]);
$node->append_conf('postgresql.conf', "fsync = off\njit = off");
$node->start;

is($node->safe_psql('postgres', <<"SQL"), '', 'found in the same strings');
CREATE EXTENSION esgf_stac;
CREATE TABLE lines (line text);
\\copy lines FROM '$file' (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')
SELECT line::jsonb -> 0, test FROM lines, jsonb_array_elements(line::jsonb) WITH ORDINALITY AS tests(test, number)
 WHERE number > 1 AND esgf_stac.jsonb_schema_valid(jsonb_build_object('pattern', line::jsonb -> 0), test -> 0) <> (test -> 1)::boolean LIMIT 10
SQL
is($node->safe_psql('postgres', 'SELECT count(*) FROM lines'), $count, 'all patterns');

# Code points are counted and matched in other encodings, too.
foreach (
	[ 'LATIN1', q{'{"minLength": 2, "maxLength": 2, "pattern": "^[\\\\u00e0-\\\\u00ff].$"}', '"éü"'} ],
	[ 'LATIN1', q{'{"not": {"pattern": "[^é]"}}', '"éé"'} ],
	[ 'EUC_JP', q{'{"minLength": 2, "maxLength": 2, "pattern": "^[\\\\u4e00-\\\\u9fff]+$"}', '"日本"'} ],
	[ 'EUC_JP', q{'{"not": {"pattern": "[ぁ-ん]"}, "enum": ["日", "本"]}', '"日"'} ])
{
	my ($encoding, $arguments) = @$_;
	my $database = lc $encoding;
	$node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0") if !$node->safe_psql('postgres', "SELECT count(*) FROM pg_database WHERE datname = '$database'");
	is($node->safe_psql($database, "SET client_min_messages = error; SET client_encoding = 'UTF8'; CREATE EXTENSION IF NOT EXISTS esgf_stac; SELECT esgf_stac.jsonb_schema_valid($arguments)"), 't', "$encoding: $arguments");
}

$node->stop;
done_testing();
