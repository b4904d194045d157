# What stac-pydantic's Item refuses, validate_item refuses: the federation's
# consumers stop at such an item. What it refuses beyond that must be in the
# table of doc/validation.md. 2,000 items, damaged by test/oracle/damaged_items.py.
#
# stac-pydantic comes from PyPI; where that is not to be had, this test is
# skipped.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PythonTest;
use Test::More;

my @packages =
  qw(stac-pydantic==3.7.1 geojson-pydantic==2.2.0 pydantic==2.14.3);
my $count = 2000;

my $here = dirname(abs_path(__FILE__));
my $script = "$here/../oracle/damaged_items.py";
my $captured = "$here/../../../shared/data/items";
my $doc = "$here/../../doc/validation.md";

# What the documentation explains: the first column of its table.
sub explained
{
	my ($table) =
	  slurp_file($doc) =~ /^## Stricter than stac-pydantic\n(.*?)(?=^## |\z)/ms;
	return $table =~ /^\| `([^`]+)` \|/mg;
}

my ($target, $missing) = python_packages(@packages);
plan skip_all => "stac-pydantic is not to be had: $missing" unless $target;
note 'no captured items: generated ones only' unless -d $captured;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION esgf_stac;
	CREATE TABLE damaged (n int PRIMARY KEY, damage text, document jsonb);
	CREATE TABLE verdict (n int PRIMARY KEY, refused bool, reason text);
});

my $files = $node->basedir;
my ($generated, $items, $error) = run_program('', 'python3', $script,
	'generate', $count, -d $captured ? $captured : ());
ok($generated, "$count items") or BAIL_OUT($error);
append_to_file("$files/items", $items);
$node->safe_psql('postgres', "\\copy damaged FROM '$files/items' CSV");

# Judged is what a consumer is sent: the document as the database writes it.
my $documents = $node->safe_psql('postgres',
	'COPY (SELECT n, document FROM damaged ORDER BY n) TO stdout CSV');
my ($judged, $verdicts);
{
	local $ENV{PYTHONPATH} = $target;
	($judged, $verdicts, $error) =
	  run_program("$documents\n", 'python3', $script, 'judge');
}
ok($judged, 'judged by stac-pydantic') or BAIL_OUT($error);
append_to_file("$files/verdicts", $verdicts);
$node->safe_psql(
	'postgres', qq{
	\\copy verdict FROM '$files/verdicts' CSV
	CREATE TABLE ours AS
	SELECT n, pointer, detail FROM damaged, esgf_stac.validate_item(document);
});

is($node->safe_psql(
		'postgres', q{
		SELECT count(*), string_agg(reason, '; ') FILTER (WHERE refused)
		FROM damaged JOIN verdict USING (n) WHERE damage IS NULL}),
	$count / 10 . '|',
	'stac-pydantic takes every whole item');
is($node->safe_psql(
		'postgres', q{
		SELECT n, pointer, detail FROM damaged JOIN ours USING (n)
		WHERE damage IS NULL ORDER BY n LIMIT 5}),
	'',
	'and so do we');

my $refused = $node->safe_psql('postgres',
	'SELECT count(*) FROM verdict WHERE refused');
cmp_ok($refused, '>', $count / 2, "stac-pydantic refuses $refused of $count");
is($node->safe_psql(
		'postgres', q{
		SELECT n, damage, reason FROM damaged JOIN verdict USING (n)
		WHERE refused AND n NOT IN (SELECT n FROM ours) ORDER BY n LIMIT 5}),
	'',
	'what it refuses we refuse');

my %beyond = map { split /\|/, $_, 2 } split /\n/, $node->safe_psql(
	'postgres', q{
	SELECT detail, string_agg(pointer || ' after: ' || damage, E'\t' ORDER BY n)
	FROM ours JOIN damaged USING (n) JOIN verdict USING (n)
	WHERE NOT refused GROUP BY detail});
my %explained = map { $_ => 1 } explained();
is(join("\n", map { "$_: $beyond{$_}" } grep { !$explained{$_} } sort keys %beyond),
	'',
	'what we refuse beyond it is explained in doc/validation.md');
note "stricter: $_" for sort keys %beyond;

$node->stop;
done_testing();
