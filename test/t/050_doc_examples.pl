# Every example in README.md and doc/ says what really happens.
#
# An example is a block ```sql directly followed by a block ```text with psql's
# output. The examples of a page run in order, in one session of a database with
# the extension, a catalogue and the collection CMIP6, unless the page begins by
# creating the extension itself. A page of doc/verbs/ finds there what the first
# example of create_item.md makes. "..." in an output stands for anything on its
# line.

use strict;
use warnings;

use File::Find ();
use FindBin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $node = PostgreSQL::Test::Cluster->new('doc');
$node->init(allows_streaming => 'logical');
$node->start;

my $catalogue = <<'SQL';
	CREATE EXTENSION esgf_stac;
	SELECT esgf_stac.create_catalogue();
	SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6",
		"description": "CMIP6 model output", "license": "CC-BY-4.0", "links": [], "extent":
		{"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}');
SQL

# The examples of a page: (line, SQL, expected output).
sub examples
{
	my ($text) = @_;
	my @found;
	while ($text =~ /^```sql\n(.*?)^```\n```text\n(.*?)^```$/msg)
	{
		my ($sql, $output) = ($1, $2);
		my $line = 1 + (() = substr($text, 0, $-[0]) =~ /\n/g);
		push @found, [ $line, $sql, $output ];
	}
	return @found;
}

# What psql prints for each of several scripts run in one session.
sub run_scripts
{
	my ($database, @scripts) = @_;
	my $input = join '', map { "$_\n\\echo -- end --\n\\warn -- end --\n" } @scripts;
	my ($stdout, $stderr) = ('', '');
	IPC::Run::run([ 'psql', '-X', '-q', '-d', $node->connstr($database) ], '<', \$input, '>', \$stdout, '2>', \$stderr);
	my @out = split /^-- end --\n/m, $stdout, -1;
	my @err = split /^-- end --\n/m, $stderr, -1;
	return map { $out[$_] . $err[$_] } 0 .. $#scripts;
}

# Blanks at line ends and empty last lines do not count.
sub trim
{
	my ($text) = @_;
	$text =~ s/[ \t]+$//mg;
	$text =~ s/\n+\z/\n/;
	return $text;
}

my @pages = ('README.md');
File::Find::find({ no_chdir => 1, wanted => sub { push @pages, substr($_, length("$top/")) if /\.md$/ } }, "$top/doc");
my $first_item = (examples(slurp_file("$top/doc/verbs/create_item.md")))[0][1];

$node->safe_psql('postgres', "CREATE DATABASE with_catalogue");
$node->safe_psql('with_catalogue', $catalogue);
$node->safe_psql('postgres', "CREATE DATABASE with_item TEMPLATE with_catalogue");
$node->safe_psql('with_item', $first_item);

foreach my $page (sort @pages)
{
	my $text = slurp_file("$top/$page");
	my @examples = examples($text);
	is(scalar(() = $text =~ /^```sql$/mg), scalar @examples, "$page: every example has its output");
	next if !@examples;

	my $template = $examples[0][1] =~ /CREATE EXTENSION/ ? 'template1'
	  : $page =~ m{^doc/verbs/(?!create_item\.md)} ? 'with_item' : 'with_catalogue';
	$node->safe_psql('postgres', qq{CREATE DATABASE "$page" TEMPLATE $template});
	my @outputs = run_scripts($page, map { $_->[1] } @examples);
	foreach my $example (@examples)
	{
		my ($line, undef, $expected) = @$example;
		my $output = trim(shift @outputs);
		my $pattern = join '[^\n]*', map { quotemeta } split /\.\.\./, trim($expected), -1;
		ok($output =~ /\A$pattern\z/, "$page, line $line") or diag "expected:\n$expected\ngot:\n$output";
	}
}

done_testing();
