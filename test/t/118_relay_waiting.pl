# Whatever the relay waits for, a busy, hung or unreachable sink, a lock, a
# network that swallows everything: the log says what it is, the server of the
# stream goes on and may stop, and SIGTERM ends the relay.

use strict;
use warnings;

use Fcntl;
use FindBin;
use lib $FindBin::RealBin;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use ServerTest;
use Test::More;

# A server that does not stop within that time does not stop.
$ENV{PGCTLTIMEOUT} = 30;

my $dir = PostgreSQL::Test::Utils::tempdir_short;
my $node = catalogue_node('waiting', "wal_sender_timeout = '3s'\nmax_replication_slots = 20\nmax_wal_senders = 20\n");
my $index = PostgreSQL::Test::Cluster->new('index');
$index->init;
$index->start;
$index->safe_psql('postgres', "CREATE DATABASE $_") for qw(locked hung slow);
my $has_http = `esgf_stac_relay --version` =~ /\bhttp\b/;

sub sink_in { return 'postgres:' . $index->connstr($_[0]) . '#items'; }

sub count_in { return $index->safe_psql($_[0], 'SELECT count(*) FROM items'); }

# The exit status of a relay that was told to stop; undef if it does not.
sub status_after_term
{
	my ($relay) = @_;
	my $status = eval {
		local $SIG{ALRM} = sub { die "late\n" };
		alarm 20;
		my $ended = stop_relay($relay);
		alarm 0;
		$ended;
	};
	kill_relay($relay) if !defined $status;
	return $status;
}

sub said
{
	my ($name, $what) = @_;
	return wait_for("$name: $what", sub { -e "$dir/$name.log" && slurp_file("$dir/$name.log") =~ $what });
}

# ---------------------------------------------------------------- a replay

# Timeouts that somebody has set for everybody; a sink that takes longer.
$node->safe_psql('postgres', q{CREATE ROLE carrier LOGIN REPLICATION IN ROLE esgf_stac_relay});
$node->safe_psql('postgres', "ALTER ROLE carrier SET $_ = '300ms'") for qw(statement_timeout lock_timeout idle_in_transaction_session_timeout idle_session_timeout);
$node->safe_psql('postgres', q{ALTER ROLE carrier SET transaction_timeout = '300ms'}) if $node->safe_psql('postgres', 'SHOW server_version_num') >= 170000;
$index->safe_psql('slow', q{
	CREATE TABLE items (collection_id text, item_id text, version bigint NOT NULL, document jsonb, PRIMARY KEY (collection_id, item_id));
	CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END$$;
	CREATE TRIGGER wait BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION wait()});
add_events($node, 1, 60, 1, 'x' x 300_000);
new_stream($node, 'replay');
my @replay = ('--dbname', $node->connstr('postgres') . ' user=carrier', '--stream', 'replay', '--sink', sink_in('slow'), '--batch', 5, '--from-beginning');
my ($status, undef, $stderr) = run_relay($node, @replay, '--no-loop', '--endpos', wal_end($node));
is($status, 0, 'a replay that outlasts the timeouts of its role') or diag $stderr;
is(count_in('slow'), 60, 'comes to its end');

# It is left when a stop is asked for.
add_events($node, 1, 2000, 2);
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('esgf_stac_replay')});
my $relay = start_relay($node, "$dir/replay.log", @replay);
wait_for('some of it', sub { $index->safe_psql('slow', 'SELECT count(*) FROM items WHERE version = 2') >= 5 });
is(status_after_term($relay), 0, 'SIGTERM ends a replay');
cmp_ok($index->safe_psql('slow', 'SELECT count(*) FROM items WHERE version = 2'), '<', 2000, 'before its end');

# ---------------------------------------------------------------- making a slot

$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('late')});
my $session = open_session($node);
in_session($session, 'BEGIN; SELECT pg_current_xact_id();');
$relay = start_relay($node, "$dir/late.log", '--stream', 'late', '--sink', "ndjson:$dir/late", '--create');
said('late', qr/waiting for database .*pg_create_logical_replication_slot.*blocked by process \d+ \(\w+ in database postgres, \\"psql\\"\)|waiting for database .*blocked by process \d+ \(\w+ in database postgres/);
is(status_after_term($relay), 0, 'SIGTERM ends a relay that waits for old transactions');
in_session($session, 'ROLLBACK;');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'esgf_stac_late'}), 0, 'no half a slot is left');

# ---------------------------------------------------------------- standbys, of which the relay is one

$index->safe_psql('slow', q{DROP TRIGGER wait ON items; ALTER TABLE items ADD CHECK (NOT document ? 'bad')});
$relay = start_relay($node, "$dir/sync.log", @replay);
wait_for('the rest', sub { $index->safe_psql('slow', 'SELECT count(*) FROM items WHERE version = 2') == 2000 });
$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = '*'});
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'}), 'the relay counts as the standby');
add_events($node, 1, 1, 3);
$node->safe_psql('postgres', q{
	INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
	VALUES (gen_random_uuid(), 'CMIP6', 'bad', 'item.published', 1, '{"bad": 1}', now(), '{}')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.dead_letter WHERE item_id = 'bad'}), 1, 'a commit waits for a dead letter, which waits for no standby');
$node->safe_psql('postgres', q{SET synchronous_commit = local; ALTER SYSTEM RESET synchronous_standby_names});
$node->reload;
is(status_after_term($relay), 0, 'stops');

# ---------------------------------------------------------------- a network that swallows everything

# Each connection is dead for ever once it has carried something while the file "hole" is there.
sub pass_bytes
{
	my ($client) = @_;
	my $server = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port) or return;
	my $select = IO::Select->new($client, $server);
	my $dead = 0;
	while (1)
	{
		for my $ready ($select->can_read)
		{
			sysread $ready, my $bytes, 65536 or return;
			$dead ||= -e "$dir/hole";
			syswrite($ready == $client ? $server : $client, $bytes) if !$dead;
		}
	}
	return;
}
my $proxy = fork() // die "fork: $!";
if ($proxy == 0)
{
	my $listener = IO::Socket::UNIX->new(Local => "$dir/.s.PGSQL.5555", Listen => 5) or POSIX::_exit(1);
	$SIG{CHLD} = 'IGNORE';
	while (my $client = $listener->accept)
	{
		next if fork();
		pass_bytes($client);
		POSIX::_exit(0);
	}
	POSIX::_exit(0);
}
$SIG{PIPE} = 'IGNORE';
wait_for('the proxy', sub { -S "$dir/.s.PGSQL.5555" });
new_stream($node, 'hole');
$relay = start_relay($node, "$dir/hole.log", '--stream', 'hole', '--sink', "ndjson:$dir/out", '--dbname', "host=$dir port=5555 dbname=postgres", '--status-interval', 1);
add_events($node, 1, 1, 4);
wait_for('an event', sub { 1 == (() = read_lines("$dir/out")) });
append_to_file("$dir/hole", '');
add_events($node, 1, 1, 5);
said('hole', qr/the server does not answer|said nothing|the server knows nothing of it|waiting for a connection/);
unlink "$dir/hole";
wait_for('the next one', sub { 2 <= (() = read_lines("$dir/out")) });
pass('what was swallowed comes by a new connection');
is(status_after_term($relay), 0, 'stops');
kill 'KILL', $proxy;
waitpid $proxy, 0;

# ---------------------------------------------------------------- sinks of every bad kind, at once

# One that accepts connections, and never says a word.
my $mute = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1') or die "no socket: $!";
my $mute_address = $mute->sockhost . ':' . $mute->sockport;

# A reader of a pipe who does not read.
POSIX::mkfifo("$dir/fifo", 0600) or die "mkfifo: $!";
sysopen my $reader, "$dir/fifo", O_RDONLY | O_NONBLOCK or die "fifo: $!";

# What the log has to say of each.
my %sinks = (
	locked => [ sink_in('locked'), qr/waiting for database \\"locked\\", for \d+ s now, .*Lock relation, blocked by process \d+/ ],
	hung => [ sink_in('hung'), qr/waiting for database \\"hung\\", for \d+ s now/ ],
	pipe => [ "ndjson:$dir/fifo", qr/waiting for the reader/ ],
	nobody => [ 'postgres:host=127.0.0.1 port=' . $mute->sockport . ' dbname=x sslmode=disable gssencmode=disable#items', qr/waiting for a connection to the sink, for \d s now/ ],
	$has_http ? (
		mute => [ "http://$mute_address/", qr/waiting for the sink to answer, for \d s now/ ],
	) : (),
);
my %relays;
for my $name (sort keys %sinks)
{
	new_stream($node, $name);
	$relays{$name} = start_relay($node, "$dir/$name.log", '--stream', $name, '--sink', $sinks{$name}[0], '--status-interval', 1, '--metrics-file', "$dir/$name.metrics");
}
add_events($node, 1, 1, 6);
wait_for("$_ to take an event", sub { $index->safe_psql($_, q{SELECT to_regclass('items') IS NOT NULL}) eq 't' && count_in($_) == 1 }) for qw(locked hung);
my $locker = open_session($index, 'locked');
in_session($locker, '\c locked');
in_session($locker, 'BEGIN; LOCK TABLE items;');
my $hung = $index->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE datname = 'hung'});
kill 'STOP', $hung;
add_events($node, 2, 2000, 6, 'x' x 200);
said($_, $sinks{$_}[1]) for sort keys %sinks;
pass('the log says what is waited for');

# The server hears of them all the time, and they write their metrics. (A hung
# process has never heard of its batch: another connection is made.)
my $began = $node->safe_psql('postgres', 'SELECT now()');
ok($node->poll_query_until('postgres', qq{SELECT count(*) > 1 AND min(reply_time) > '$began'::timestamptz + interval '4s' AND max(backend_start) < '$began'
	FROM pg_stat_replication JOIN pg_replication_slots ON pid = active_pid WHERE slot_name IN ('esgf_stac_locked', 'esgf_stac_mute', 'esgf_stac_pipe')}), 'the server hears of every relay, longer than wal_sender_timeout')
  or diag $node->safe_psql('postgres', 'SELECT slot_name, backend_start, reply_time, now() FROM pg_replication_slots LEFT JOIN pg_stat_replication ON pid = active_pid');
cmp_ok(time - (stat "$dir/locked.metrics")[9], '<', 10, 'metrics are written');
ok($node->stop('fast', fail_ok => 1), 'the server of the stream can stop');
$node->start;
is(status_after_term($relays{$_}), 0, "SIGTERM ends the relay: $_") for sort keys %sinks;

# The same while it streams, and nothing is lost by it.
%relays = map { $_ => start_relay($node, "$dir/$_.again.log", '--stream', $_, '--sink', $sinks{$_}[0]) } qw(locked pipe);
said("$_.again", $sinks{$_}[1]) for sort keys %relays;
is(status_after_term($relays{$_}), 0, "and another one: $_") for sort keys %relays;
in_session($locker, 'ROLLBACK;');
kill 'CONT', $hung;
for my $name (qw(locked hung))
{
	my ($status, undef, $stderr) = run_relay($node, '--stream', $name, '--sink', $sinks{$name}[0], '--endpos', wal_end($node));
	is($status, 0, "another relay: $name") or diag $stderr;
	is(count_in($name), 2000, 'brings all');
}

# ---------------------------------------------------------------- a sink that asks to wait

SKIP:
{
	skip 'the relay was built without its http sink', 3 if !$has_http;
	skip 'there is no python3', 3 if !IPC::Run::run([qw(python3 --version)], '>', \my $version, '2>&1');
	mkdir "$dir/busy";
	append_to_file("$dir/busy/answers", qq({"status": 503, "headers": {"Retry-After": "3600"}}\n));
	my $server = IPC::Run::start([ 'python3', "$FindBin::RealBin/http_server.py", "$dir/busy" ], '<', \undef, '>>', "$dir/busy/log", '2>&1');
	wait_for('the server', sub { -e "$dir/busy/port" });
	new_stream($node, 'busy');
	my $relay = start_relay($node, "$dir/busy.log", '--stream', 'busy', '--sink', 'http://127.0.0.1:' . slurp_file("$dir/busy/port") . '/');
	add_events($node, 1, 1, 7);
	said('busy', qr/sink is busy, 1 events wait/);
	ok($node->stop('fast', fail_ok => 1), 'the server can stop while a sink is busy');
	$node->start;
	wait_for('the event', sub { () = slurp_file("$dir/busy/requests") =~ /"status": 200/ });
	pass('the event comes in the next session');
	is(status_after_term($relay), 0, 'stops');
	$server->kill_kill;
}

# ---------------------------------------------------------------- a broker that stands still

SKIP:
{
	my $missing = `esgf_stac_relay --version` =~ /\bkafka\b/ ? server_missing('kafka') : 'the relay was built without its kafka sink';
	skip $missing, 4 if $missing;
	my $kafka = start_kafka();
	my @read = ('--stream', 'broker', '--sink', "kafka:$kafka->{address}/items");
	kcat($kafka, "the topic is made\n", qw(-P -t items));
	new_stream($node, 'broker');
	my $relay = start_relay($node, "$dir/broker.log", @read);
	add_events($node, 1, 1, 8);
	wait_for('a message', sub { kcat($kafka, '', qw(-C -t items -e -q)) =~ /item-1/ });
	my $pid = $kafka->{process}{KIDS}[0]{PID};
	kill 'STOP', $pid;
	add_events($node, 2, 100, 8);
	said('broker', qr/waiting for the sink to answer, for \d+ s now|sink is down/);
	ok($node->stop('fast', fail_ok => 1), 'the server can stop while a broker stands still');
	$node->start;
	is(status_after_term($relay), 0, 'SIGTERM ends the relay');
	kill 'CONT', $pid;
	my ($status, undef, $stderr) = run_relay($node, @read, '--endpos', wal_end($node));
	is($status, 0, 'another one') or diag $stderr;
	my %seen = map { $_ => 1 } kcat($kafka, '', qw(-C -t items -e -q)) =~ /"item_id":"(item-\d+)"/g;
	is(scalar(keys %seen), 100, 'brings all');
	stop_server($kafka);
}

done_testing();
