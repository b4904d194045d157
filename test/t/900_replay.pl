# examples/replay.sql, by which scripts/demo proves that events give the
# database's documents: it must see what is missing, wrong or too much.
use strict;
use warnings;

use FindBin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $node = PostgreSQL::Test::Cluster->new('replay');
$node->init(allows_streaming => 'logical');
$node->start;
$node->safe_psql('postgres', slurp_file("$top/scripts/generate_items.sql"));
$node->safe_psql('postgres', q{
	CREATE EXTENSION esgf_stac;
	SELECT esgf_stac.create_catalogue();
	SELECT esgf_stac.create_stream('index');
});

sub run_relay
{
	my @arguments = @_;
	my ($output, $log);
	IPC::Run::run([ 'esgf_stac_relay', '--dbname', $node->connstr('postgres'), '--stream', 'index', @arguments ], '>', \$output, '2>', \$log)
	  or BAIL_OUT("the relay failed: $log");
	return $output;
}

run_relay('--create');
$node->safe_psql('postgres', q{
	SELECT esgf_stac.create_collection(generator.collection());
	SELECT esgf_stac.create_item('CMIP6', item) FROM generator.items(0, 9) item;
	SELECT esgf_stac.patch_item('CMIP6', generator.item(0) ->> 'id', '{"properties": {"title": "a \"quoted\\\\ title\t"}}');
	SELECT esgf_stac.delete_item('CMIP6', generator.item(1) ->> 'id');
});
my $position = $node->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
my @lines = split /^/, run_relay('--sink', 'ndjson:-', '--no-loop', '--endpos', $position);
is(@lines, 13, 'every event is a line');

# What replay.sql says of some lines: events, replayed, published, equal, different.
sub says
{
	my ($expected, $name, @events) = @_;
	my $output;
	IPC::Run::run([ 'psql', '-X', '-q', '-A', '-t', '-F', ' ', '-d', $node->connstr('postgres'), '-f', "$top/examples/replay.sql" ],
		'<', \join('', @events), '>', \$output);
	is($output, "$expected\n", $name);
	return;
}

says('13 9 9 9 0', 'events and database agree', @lines);
says('26 9 9 9 0', 'also when each arrives twice, the old ones last', @lines, reverse @lines);
says('12 8 9 8 1', 'a publication is missing', @lines[ 0 .. 9, 11 .. 12 ]);
says('12 9 9 8 1', 'a change is missing', @lines[ 0 .. 10, 12 ]);
says('12 10 9 9 1', 'a deletion is missing', @lines[ 0 .. 11 ]);
says('13 9 9 8 1', 'a document is wrong', @lines[ 0 .. 10 ], $lines[11] =~ s/quoted/quoth/r, $lines[12]);
says('0 0 9 0 9', 'nothing arrived');

done_testing();
