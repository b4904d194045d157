# Every shell example in doc/ runs. An example is a block ```sh; a
# block ```text directly after it is what it prints, "..." standing for anything on
# its line. (Commands that cannot be run here are indented, not in a block.)
#
# The examples of a page run in order, in one shell in an empty folder, and end it
# if they fail. They find a server of their own, with libpq's variables set for
# its database "catalogue", which holds the collection CMIP6 and the item that the
# example of doc/verbs/create_item.md publishes, and an empty database "index".

use strict;
use warnings;

use File::Basename qw(basename);
use File::Find ();
use FindBin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../..";

# The examples of a page: (line, commands, expected output or undef).
sub examples
{
	my ($text) = @_;
	my @found;
	while ($text =~ /^```sh\n(.*?)^```\n(?:```text\n(.*?)^```$)?/msg)
	{
		my ($commands, $output) = ($1, $2);
		my $line = 1 + (() = substr($text, 0, $-[0]) =~ /\n/g);
		push @found, [ $line, $commands, $output ];
	}
	return @found;
}

# A server as described above.
sub new_server
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, own_host => 1, port => 5432);
	$node->init;
	$node->append_conf('postgresql.conf', "wal_level = logical\nmax_wal_senders = 10");
	$node->start;
	my ($item) = slurp_file("$top/doc/verbs/create_item.md") =~ /^```sql\n(.*?)^```$/ms;
	$node->safe_psql('postgres', $_) for 'CREATE DATABASE catalogue', 'CREATE DATABASE index';
	$node->safe_psql('catalogue', qq{
		CREATE EXTENSION esgf_stac;
		SELECT esgf_stac.create_catalogue();
		SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6",
			"description": "CMIP6 model output", "license": "CC-BY-4.0", "links": [], "extent":
			{"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}');
		$item});
	return $node;
}

# What each of several examples prints on both channels; fewer if one fails.
sub run_examples
{
	my ($node, $folder, @examples) = @_;
	my $script = join "\n", 'set -euo pipefail', "trap 'kill \$(jobs -p) 2>/dev/null || true' EXIT",
	  map { ($_->[1], 'echo "-- end --"') } @examples;
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'catalogue', PGDATA => $node->data_dir);
	my $output = '';
	IPC::Run::run([ 'bash', '-c', 'cd "$1"; exec bash -c "$2" 2>&1', 'bash', $folder, $script ],
		'<', \undef, '>', \$output, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return split /^-- end --\n/m, $output, -1;
}

# Stop what an example has started beside the page's server.
sub stop_servers
{
	my ($folder) = @_;
	File::Find::find({ no_chdir => 1, wanted => sub {
				system_log('pg_ctl', '-D', $1, '-m', 'immediate', 'stop') if m{^(.*)/postmaster\.pid$};
	} }, $folder);
	return;
}

# Blanks at line ends and empty last lines do not count.
sub trim
{
	my ($text) = @_;
	$text =~ s/[ \t]+$//mg;
	$text =~ s/\n+\z/\n/;
	return $text;
}

my @pages;
File::Find::find({ no_chdir => 1, wanted => sub { push @pages, substr($_, length("$top/")) if /\.md$/ } }, "$top/doc");

foreach my $page (sort @pages)
{
	my @examples = examples(slurp_file("$top/$page"));
	next if !@examples;

	my $node = new_server(basename($page, '.md'));
	my $folder = PostgreSQL::Test::Utils::tempdir;
	my @outputs = run_examples($node, $folder, @examples);
	my $last = pop @outputs;
	foreach my $example (@examples)
	{
		my ($line, undef, $expected) = @$example;
		my $name = "$page, line $line";
		if (!@outputs)
		{
			fail($name) or diag 'the commands failed: ' . ($last // '');
			last;
		}
		my $output = trim(shift @outputs);
		my $pattern = defined $expected ? join('[^\n]*', map { quotemeta } split /\.\.\./, trim($expected), -1) : '.*';
		ok($output =~ /\A$pattern\z/s, $name) or diag "expected:\n$expected\ngot:\n$output";
	}
	stop_servers($folder);
	$node->stop('immediate', fail_ok => 1);
}

done_testing();
