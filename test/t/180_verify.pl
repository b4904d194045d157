# The check of a table and of a file against the truth, while writers go on: it
# names exactly what differs, heals it, and then finds nothing.
#
# ESGF_STAC_ITEMS is how many items there are (600); the issue's is 100000.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;
use VerifyTest;

my $items = $ENV{ESGF_STAC_ITEMS} // 600;
my $node = catalogue_node('source', "log_statement = none\n");
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";
my $sink = 'postgres:' . $node->connstr('postgres') . '#public.items';
my $file = "ndjson:$dir/events";

sub in_node { return $node->safe_psql('postgres', @_) }

# ---------------------------------------------------------------- usage

for my $case (
	[ [ '--deep', '--sink', $sink ], qr/--deep and --repair go with --verify/ ],
	[ [ '--repair', '--sink', $sink ], qr/--deep and --repair go with --verify/ ],
	[ ['--verify'], qr/no sink specified/ ],
	[ [ '--verify', '--sink', $sink, '--snapshot' ], qr/--verify excludes/ ],
	[ [ '--verify', '--sink', 'ndjson:-' ], qr/only a file/ ],
	[ [ '--verify', '--sink', $file, '--format', 'document' ], qr/only a file with --format event/ ])
{
	my ($status, undef, $stderr) = run_relay($node, '--stream', 'all', @{ $case->[0] });
	is($status, 2, "refused: @{ $case->[0] }");
	like($stderr, $case->[1], 'and why');
}

# ---------------------------------------------------------------- a table

new_items($node, 1, $items);
in_node(q{SELECT esgf_stac.retract_item('CMIP6', 'item-1.v1'), esgf_stac.delete_item('CMIP6', 'item-2.v1'),
	esgf_stac.patch_item('CMIP6', 'item-3.v1', '{"properties": {"exact": 12345678901234567890.1, "one": 1.0}}')});
new_stream($node, 'all');
new_stream($node, 'file');
new_stream($node, 'even', q{, filter => '$.properties.even == true'});
my @table = ('--stream', 'all', '--sink', $sink);
my ($status, $stdout, $stderr) = run_relay($node, @table, '--snapshot', '--endpos', wal_end($node));
is($status, 0, 'the table is filled') or diag $stderr;

($status, $stdout, $stderr) = run_relay($node, @table, '--verify', '--deep');
is($status, 0, 'alone: nothing differs') or diag $stdout . $stderr;
like($stdout, qr/^missing +0$/m, 'and a table says so');
like($stdout, qr/ items of the stream were compared, 0 differ; verification [0-9a-f-]{36}$/m, 'of how many');
is(in_node('SELECT state, deep, items, differences, finished IS NOT NULL FROM esgf_stac.verification'), 'completed|t|' . ($items - 1) . '|0|t', 'and its row');

# A relay, and a writer who goes on.
my $relay = start_relay($node, $log, @table);
my $writer = start_writer($node, 'item-5%');

damage($node, 'items', 'item-1_%.v1');
my %expected = (missing => 37, differs => 23, surplus => 11, ahead => 5);
($status, $stdout, $stderr) = run_relay($node, @table, '--verify');
is($status, 6, 'beside the relay: it differs') or diag $stderr;
is_deeply(found($node), { map { $_ => damaged($node, $_) } qw(missing surplus ahead) }, 'exactly that, but for documents') or diag $stdout;
($status, $stdout, $stderr) = run_relay($node, @table, '--verify', '--deep');
is($status, 6, 'with --deep');
is_deeply(found($node), { map { $_ => damaged($node, $_) } keys %expected }, 'exactly that') or diag $stdout;
like($stdout, qr/^$_ +$expected{$_}$/m, "so many: $_") for sort keys %expected;

stop_writer($writer);

is(stop_relay($relay), 0, 'the relay stops');
done_testing();
