# No event is lost when the relay or the server is killed. Checkpoints stand
# between, for only they make the server remember what was confirmed: without
# them a premature confirmation would stay hidden.

use strict;
use warnings;

use Fcntl;
use FindBin;
use lib $FindBin::RealBin;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('resume');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $file = "$dir/events";
my $log = "$dir/log";
my @read = ('--stream', 'all', '--sink', "ndjson:$file");
new_stream($node, 'all');

# Every version once or more, and each first in order.
sub check_complete
{
	my ($count, $what) = @_;
	wait_for("version $count", sub { grep { /"version":$count,/ } read_lines($file) });
	my ($highest, @missing) = (0);
	for my $event (read_events($file))
	{
		push @missing, $event->{version} if $event->{version} > $highest + 1;
		$highest = $event->{version} if $event->{version} > $highest;
	}
	is_deeply([ $highest, @missing ], [$count], $what);
	return;
}

# The relay is killed while events flow.
my $version = 0;
for my $round (1 .. 5)
{
	my $relay = start_relay($node, $log, @read);
	for (1 .. 10)
	{
		$node->safe_psql('postgres', 'CHECKPOINT');
		add_events($node, 1, 1, ++$version, 'x' x 2000);
	}
	kill_relay($relay);
	$node->safe_psql('postgres', 'CHECKPOINT');
}
my $relay = start_relay($node, $log, @read);
check_complete($version, 'kill -9 of the relay loses nothing');

# So is the server.
for my $round (1 .. 3)
{
	add_events($node, 1, 1, ++$version) for 1 .. 10;
	$node->safe_psql('postgres', 'CHECKPOINT');
	add_events($node, 1, 1, ++$version) for 1 .. 5;
	$node->stop('immediate');
	$node->start;
}
check_complete($version, 'nor does an immediate shutdown of the server');
kill_relay($relay);

# A line that was torn is cut off, and its event comes again.
add_events($node, 1, 1, ++$version);
append_to_file($file, '{"id":"torn","version":9999,"doc');
$relay = start_relay($node, $log, @read);
check_complete($version, 'a torn last line');
is(scalar(grep { /torn/ } read_lines($file)), 0, 'is cut off');
is(stop_relay($relay), 0, 'and the relay stops cleanly');

# A file of nothing but a torn line.
my $torn = "$dir/torn";
append_to_file($torn, '{"id":' . 'y' x 20000);
add_events($node, 1, 1, ++$version);
my $now = wal_end($node);
run_relay($node, '--stream', 'all', '--sink', "ndjson:$torn", '--endpos', $now);
is_deeply([ map { $_->{version} } read_events($torn) ], [$version], 'a file without a complete line');

# SIGTERM within a transaction that the relay has begun to write: it is
# finished. Confirmed is only what the file holds.
$relay = start_relay($node, $log, '--stream', 'all', '--sink', "ndjson:$dir/large");
add_events($node, 1, 20000, ++$version, 'z' x 500);
wait_for('the transaction to begin', sub { -s "$dir/large" });
is(stop_relay($relay), 0, 'SIGTERM within a transaction');
my $lines = read_lines("$dir/large");
is($lines, 20000, 'finishes it');
$now = wal_end($node);
run_relay($node, '--stream', 'all', '--sink', "ndjson:$dir/large", '--endpos', $now);
is(scalar(read_lines("$dir/large")), 20000, 'and confirms it');

# Nothing is confirmed that the sink has not taken: here it is a pipe, which is
# full long before the last event.
my $pipe = "$dir/pipe";
POSIX::mkfifo($pipe, oct(600)) or die "mkfifo: $!";
sysopen(my $reader, $pipe, O_RDONLY | O_NONBLOCK) or die "open: $!";
my $first = $version + 1;
$version += 400;
$node->safe_psql('postgres', join "\n", map {
		qq{INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
	   VALUES (gen_random_uuid(), 'CMIP6', 'a', 'item.updated', $_, to_jsonb(repeat('x', 1000)), now(), '{}');}
} $first .. $version);
$relay = start_relay($node, $log, '--stream', 'all', '--sink', "ndjson:$pipe");
my $taken = '';
wait_for('the pipe to fill', sub { sysread($reader, $taken, 5000) });
$node->safe_psql('postgres', 'CHECKPOINT');
kill_relay($relay);
while (sysread $reader, $taken, 65536, length $taken) { }
$node->poll_query_until('postgres', q{SELECT NOT active FROM pg_replication_slots});
$now = wal_end($node);
run_relay($node, '--stream', 'all', '--sink', "ndjson:$dir/rest", '--endpos', $now);
my %seen = map { /"version":(\d+),.*\}$/ ? ($1 => 1) : () } split(/\n/, $taken), read_lines("$dir/rest");
is_deeply([ grep { !$seen{$_} } $first .. $version ], [], 'what a sink has not taken is not confirmed');

done_testing();
