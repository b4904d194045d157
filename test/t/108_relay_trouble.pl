# Large events, large transactions, a network that is cut within a message, a
# server that falls silent. RELAY_TEST_MB sets the size of the large
# transaction; memory must not follow it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IO::Select;
use IO::Socket::UNIX;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('trouble');
my $dir = PostgreSQL::Test::Utils::tempdir_short;
my $log = "$dir/log";
my $file = "$dir/events";
new_stream($node, 'a');

# The most memory that a process has used, in MB.
sub peak_memory
{
	my ($relay) = @_;
	my $pid = $relay->{KIDS}[0]{PID};
	return -e "/proc/$pid/status" && slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m ? $1 / 1024 : undef;
}

# A transaction that is larger than any buffer.
my $megabytes = $ENV{RELAY_TEST_MB} // 64;
my $count = $megabytes * 25;
my $relay = start_relay($node, $log, '--stream', 'a', '--sink', "ndjson:$file");
add_events($node, 1, $count, 1, join '', map { chr(97 + int rand 26) } 1 .. 40_000);
wait_for('the large transaction', sub { -e $file && `wc -l < $file` == $count });
cmp_ok(-s $file, '>', $megabytes * 1_000_000, "a transaction of $megabytes MB");
my $peak = peak_memory($relay);
note "peak memory of the relay: " . ($peak // 'unknown') . " MB";
SKIP:
{
	skip 'no /proc here', 1 unless defined $peak;
	cmp_ok($peak, '<', 32, 'memory stays bounded');
}

# A document of 50 MB, beside small ones, to a file and to a table.
$node->safe_psql('postgres', q{
	INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
	SELECT gen_random_uuid(), 'CMIP6', 'large-' || i, 'item.published', 1,
	       jsonb_build_object('text', repeat(md5(i::text), CASE i WHEN 2 THEN 50 * 1000 * 1000 / 32 ELSE 1 END)), now(), '{}'
	  FROM generate_series(1, 3) i});
wait_for('the large document', sub { `wc -l < $file` == $count + 3 });
my $line = `grep '"large-2"' $file`;
is(length $line, 50_000_000 + length(`grep '"large-1"' $file`) - 32, 'a document of 50 MB');
is(stop_relay($relay), 0, 'stops');
$node->safe_psql('postgres', q{CREATE DATABASE index});
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('esgf_stac_a'); UPDATE esgf_stac.consumer SET confirmed = '0/0',
	horizon = (SELECT xid FROM esgf_stac.outbox WHERE aggregateid = 'large-1')});
my ($status, undef, $stderr) = run_relay($node, '--stream', 'a', '--sink', 'postgres:' . $node->connstr('index') . '#items', '--endpos', wal_end($node));
is($status, 0, 'to a table') or diag $stderr;
is($node->safe_psql('index', q{SELECT length(document->>'text') FROM items WHERE item_id = 'large-2'}), 50_000_000, 'as well');

# A network that is cut again and again, each time after some bytes more: one
# process for each connection.
sub pass_bytes
{
	my ($client, $limit) = @_;
	my $server = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port) or return;
	my $select = IO::Select->new($client, $server);
	while (1)
	{
		for my $ready ($select->can_read)
		{
			my $count = sysread $ready, my $bytes, 4096;
			return unless $count;
			$limit -= $count;
			return if $limit < 0;
			syswrite($ready == $client ? $server : $client, $bytes);
		}
	}
	return;
}
my $proxy = fork() // die "fork: $!";
if ($proxy == 0)
{
	my $limit = 10_000;
	my $listener = IO::Socket::UNIX->new(Local => "$dir/.s.PGSQL.5555", Listen => 5) or POSIX::_exit(1);
	$SIG{CHLD} = 'IGNORE';
	while (my $client = $listener->accept)
	{
		$limit *= 1.2;
		next if fork();
		pass_bytes($client, $limit);
		POSIX::_exit(0);
	}
}
$SIG{PIPE} = 'IGNORE';
new_stream($node, 'cut');
$node->safe_psql('postgres', join "\n", map {
		qq{INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
	   VALUES (gen_random_uuid(), 'CMIP6', 'cut-$_', 'item.updated', 1, to_jsonb(repeat('x', 2000)), now(), '{}');}
} 1 .. 500);
wait_for('the proxy', sub { -S "$dir/.s.PGSQL.5555" });
$relay = start_relay($node, "$dir/cut.log", '--stream', 'cut', '--sink', "ndjson:$dir/cut", '--dbname', "host=$dir port=5555 dbname=postgres");
my %seen;
wait_for('all events through it', sub {
		%seen = map { $_->{item_id} => 1 } read_events("$dir/cut");
		keys %seen == 500;
});
cmp_ok(scalar(grep { /trying again/ } read_lines("$dir/cut.log")), '>', 2, 'a network that is cut within messages');
is(stop_relay($relay), 0, 'loses nothing');
kill 'KILL', $proxy;
waitpid $proxy, 0;

# An event that is committed while the relay stops comes with the next.
new_stream($node, 'stop');
my $version = 10;
for (1 .. 3)
{
	$relay = start_relay($node, $log, '--stream', 'stop', '--sink', "ndjson:$dir/stop");
	wait_for('the relay to stream', sub { $node->safe_psql('postgres', q{SELECT active FROM pg_replication_slots WHERE slot_name = 'esgf_stac_stop'}) eq 't' });
	$relay->signal('TERM');
	add_events($node, 1, 1, $version++);
	$relay->finish;
}
run_relay($node, '--stream', 'stop', '--sink', "ndjson:$dir/stop", '--endpos', wal_end($node));
is_deeply([ map { $_->{version} } read_events("$dir/stop") ], [ 10 .. $version - 1 ], 'events during a shutdown come, once');

done_testing();
