# Three servers under Patroni and etcd, with synchronous replication: leaders die,
# step down and hang under writers and relays. No acknowledged change may be lost,
# both indices must be what they should, and the relays come back by themselves.
#
#	ESGF_STAC_PATRONI=10 scripts/test t/210
#
# kills ten leaders, which takes a quarter of an hour; unless that is set, all is
# skipped. PATRONI names the program, where it is not the one in the path.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use HTTP::Tiny;
use IPC::Run ();
use JSON::PP ();
use List::Util qw(max min);
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;
use Time::HiRes qw(time usleep);

my $kills = $ENV{ESGF_STAC_PATRONI} or plan skip_all => 'a run of a quarter of an hour: set ESGF_STAC_PATRONI=10';
my $patroni = $ENV{PATRONI} // 'patroni';
my ($version, $etcd_version) = ('', '');
eval { IPC::Run::run([ $patroni, '--version' ], '>', \$version) && IPC::Run::run([qw(etcd --version)], '>', \$etcd_version) }
  or plan skip_all => 'there is no patroni, or no etcd';

my $dir = PostgreSQL::Test::Utils::tempdir_short;
my $logs = $PostgreSQL::Test::Utils::log_path;
my $bin = `pg_config --bindir` =~ s/\n//r;
my $has_failover_slots = `postgres --version` =~ /(\d+)/ && $1 >= 17;
my @names = qw(node1 node2 node3);
my %node = map { $_ => { name => $_, port => free_port(), rest => free_port() } } @names;
my @streams = qw(east west);
my ($etcd, $etcd_peer) = (free_port(), free_port());

sub free_port { return PostgreSQL::Test::Cluster::get_free_port(); }

# ---------------------------------------------------------------- servers

my %programs;

# Start a program that dies with the test, in a process group of its own.
sub start
{
	my ($name, @command) = @_;
	$programs{$name} = IPC::Run::start([ qw(setpriv --pdeathsig KILL --), @command ], '<', '/dev/null', '>>', "$logs/210_$name.log", '2>&1');
	return;
}

sub configuration
{
	my ($node) = @_;
	my $others = join ',', grep { $_ ne $node->{name} } @names;
	my %own = (unix_socket_directories => $dir, fsync => 'off', $has_failover_slots ? (synchronized_standby_slots => $others) : ());
	my %common = (
		wal_level => 'logical', hot_standby_feedback => 'on', wal_log_hints => 'on', max_wal_senders => 20, max_replication_slots => 20,
		wal_keep_size => '512MB', $has_failover_slots ? (sync_replication_slots => 'on') : ());
	my @hba = ('local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust');
	return JSON::PP->new->canonical->encode({
			scope => 'esgf', name => $node->{name},
			restapi => { listen => "127.0.0.1:$node->{rest}", connect_address => "127.0.0.1:$node->{rest}" },
			etcd3 => { host => "127.0.0.1:$etcd" },
			bootstrap => {
				dcs => {
					ttl => 20, loop_wait => 5, retry_timeout => 5, synchronous_mode => JSON::PP::true,
					postgresql => { use_pg_rewind => JSON::PP::true, use_slots => JSON::PP::true, parameters => \%common },
				},
				initdb => [ { encoding => 'UTF8' }, { locale => 'C.UTF-8' } ],
			},
			postgresql => {
				listen => "127.0.0.1:$node->{port}", connect_address => "127.0.0.1:$node->{port}", data_dir => "$dir/$node->{name}", bin_dir => $bin,
				pgpass => "$dir/pgpass_$node->{name}", pg_hba => \@hba, parameters => \%own,
				authentication => { superuser => { username => 'postgres' }, replication => { username => 'replicator' } },
			},
	});
}

sub start_node
{
	my ($name) = @_;
	start($name, $patroni, "$dir/$name.yml");
	return;
}

# Every process of a node: Patroni, its server, and that one's children.
sub processes_of
{
	my ($name) = @_;
	my $program = $programs{$name}{KIDS}[0]{PID};
	my ($server) = -e "$dir/$name/postmaster.pid" ? slurp_file("$dir/$name/postmaster.pid") =~ /^(\d+)/ : ();
	return ($program, split(' ', `pgrep -P $program`), $server ? ($server, split ' ', `pgrep -P $server`) : ());
}

sub rest
{
	my ($name, $method, $path, $body) = @_;
	my $answer = HTTP::Tiny->new(timeout => 5)->request($method, "http://127.0.0.1:$node{$name}{rest}/$path",
		{ $body ? (content => JSON::PP::encode_json($body), headers => { 'content-type' => 'application/json' }) : () });
	return $answer->{success} ? eval { JSON::PP::decode_json($answer->{content}) } // {} : undef;
}

my $everyone = 'dbname=postgres user=postgres connect_timeout=3 target_session_attrs=read-write host='
  . join(',', map { '127.0.0.1' } @names) . ' port=' . join(',', map { $node{$_}{port} } @names);

# Run SQL at a node, or at the leader: what it prints; undef if that fails.
sub sql
{
	my ($query, $name) = @_;
	my ($out, $err) = ('', '');
	my $where = $name ? "dbname=postgres user=postgres connect_timeout=3 host=127.0.0.1 port=$node{$name}{port}" : $everyone;
	return IPC::Run::run([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $where, '-c', $query ], '<', \undef, '>', \$out, '2>', \$err) ? $out =~ s/\n\z//r : undef;
}

# The node that is written to, unless it is the one named.
sub leader
{
	my ($not) = @_;
	my $port = sql('SHOW port') // return;
	my ($name) = grep { $node{$_}{port} == $port } @names;
	return defined $not && $name eq $not ? undef : $name;
}

# Do both standbys stream, and may one of them take over, as far as Patroni knows?
sub is_whole
{
	my $count = sql(q{SELECT count(*) FROM pg_stat_replication WHERE application_name LIKE 'node%' AND state = 'streaming'}) // return;
	return $count == 2 && candidate(leader() // return);
}

# The standby that Patroni would have take over; undef if there is none.
sub candidate
{
	my ($leader) = @_;
	my $cluster = rest($leader, 'GET', 'cluster') // return;
	my ($name) = map { $_->{name} } grep { ($_->{role} // '') =~ /sync|quorum/ } @{ $cluster->{members} // [] };
	return $name;
}

# Has each standby a copy of each slot that it could go on with?
sub slots_are_ready
{
	my $leader = leader() // return;
	my $ready = $has_failover_slots ? 'synced AND NOT temporary' : 'true';
	my $query = "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'esgf_stac_%' AND $ready";
	return !grep { $_ ne $leader && (sql($query, $_) // 0) != @streams } @names;
}

# ---------------------------------------------------------------- writers

my @writers;

# Patch items of one's own, for ever, and wait for no server that hangs; write down what was acknowledged: when, item, version, number.
sub write_items
{
	my ($writer) = @_;
	my %exists;
	$SIG{TERM} = 'DEFAULT';
	for (my $n = 1;; $n++)
	{
		my $item = "w$writer-" . $n % 5;
		my $call = $exists{$item}
		  ? qq{patch_item('CMIP6', '$item', '{"properties": {"n": $n}}')}
		  : qq{create_item('CMIP6', '{"type": "Feature", "stac_version": "1.1.0", "id": "$item", "geometry": null, "links": [], "assets": {},
			"properties": {"datetime": "2020-01-01T00:00:00Z", "n": $n}}')};
		my ($out, $err) = ('', '');
		my $good = IPC::Run::run([ qw(timeout 10 psql -XqAt -d), $everyone, '-c', "SELECT version FROM esgf_stac.$call" ], '<', \undef, '>', \$out, '2>', \$err);

		# A COMMIT that was cancelled while it waited is acknowledged with a warning: that does not count.
		append_to_file("$dir/acknowledged", sprintf("%.3f %s %d %d\n", time, $item, $out, $n)) if $good && $err !~ /WARNING/;
		append_to_file("$dir/refused", "$n $err") if !$good;
		$exists{$item} = 1 if $good || $err =~ /already exists/;
		usleep($good ? 50_000 : 200_000);
	}
	return;
}

sub acknowledged
{
	return map { [ split / / ] } read_lines("$dir/acknowledged");
}

# The first write after an interruption that began then, once there is one: [when, item, version].
sub first_write
{
	my ($since, $least) = @_;
	my ($before) = ($since);
	for my $one (grep { $_->[0] > $since } acknowledged())
	{
		return $one if $one->[0] - $before > $least;
		$before = $one->[0];
	}
	return;
}

# ---------------------------------------------------------------- relays

my $index = PostgreSQL::Test::Cluster->new('index');
my %sink = (east => "ndjson:$dir/east.ndjson");
my %relay;

sub relay_arguments
{
	my ($stream, @more) = @_;
	return ('--dbname', $everyone =~ s/connect_timeout=\d+ //r, '--stream', $stream, '--sink', $sink{$stream}, @more);
}

sub start_stream
{
	my ($stream, @more) = @_;
	$relay{$stream} = IPC::Run::start([ 'esgf_stac_relay', relay_arguments($stream, @more) ], '<', \undef, '>', '/dev/null', '2>>', "$logs/210_relay_$stream.log");
	return;
}

# Which version of an item has an index?
sub delivered
{
	my ($stream, $item) = @_;
	return $index->safe_psql('postgres', "SELECT coalesce(max(version), 0) FROM items WHERE item_id = '$item'") if $stream eq 'west';
	return max(0, slurp_file("$dir/east.ndjson") =~ /"item_id":"$item","version":(\d+)/g);
}

# ---------------------------------------------------------------- the run

my @figures;

# After something was done to the leader: when was the first write, and when had the indices it?
sub measure
{
	my ($what, $since, $least, $bring_back) = @_;
	my %has;
	my $write;
	wait_for("a write after: $what", sub { $write = first_write($since, $least) }) or return;
	$bring_back->() if $bring_back;
	my $whole;
	wait_for("its delivery after: $what", sub {
			$has{$_} //= delivered($_, $write->[1]) >= $write->[2] ? time : undef for @streams;
			$whole //= is_whole() ? time : undef if $has_failover_slots;
			usleep(100_000);
			return !grep { !$has{$_} } @streams;
	});
	my $delivered = max(map { $_ // 0 } values %has);
	$whole //= $delivered;
	push @figures, { what => $what, write => $write->[0] - $since, delivery => $delivered - $write->[0], waited => $delivered - min($delivered, $whole) };
	diag sprintf('%-12s first write after %5.1f s, delivered %5.1f s later%s', $what, @{ $figures[-1] }{qw(write delivery)},
		$has_failover_slots ? sprintf(', %.1f s after the standbys were back', $figures[-1]{waited}) : '');

	# The next one finds a synchronous standby.
	wait_for('both standbys', \&is_whole);
	wait_for('the slots', \&slots_are_ready);
	return;
}

diag "$version$etcd_version" =~ s/Git SHA.*//sr, `postgres --version`;
mkdir "$dir/etcd";
start('etcd', 'etcd', '--data-dir', "$dir/etcd", '--listen-client-urls', "http://127.0.0.1:$etcd", '--advertise-client-urls', "http://127.0.0.1:$etcd",
	'--listen-peer-urls', "http://127.0.0.1:$etcd_peer", '--initial-advertise-peer-urls', "http://127.0.0.1:$etcd_peer",
	'--initial-cluster', "default=http://127.0.0.1:$etcd_peer", '--heartbeat-interval', 500, '--election-timeout', 5000);
append_to_file("$dir/$_.yml", configuration($node{$_})) for @names;
start_node('node1');
wait_for('a leader', sub { usleep(500_000); leader() }) or BAIL_OUT('there is no leader: see the logs');
start_node($_) for qw(node2 node3);
wait_for('two standbys', sub { usleep(500_000); is_whole() }) or BAIL_OUT('there are no standbys: see the logs');

sql(q{CREATE EXTENSION esgf_stac; SELECT esgf_stac.create_catalogue()});
sql(q{SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6", "description": "d", "license": "CC-BY-4.0", "links": [],
	"extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}')});
sql("SELECT esgf_stac.create_stream('$_')") for @streams;
rest(leader(), 'PATCH', 'config', { slots => { map { ("esgf_stac_$_" => { type => 'logical', database => 'postgres', plugin => 'pgoutput' }) } @streams } })
  if !$has_failover_slots;
$index->init;
$index->start;
$sink{west} = 'postgres:' . $index->connstr('postgres') . '#public.items';
start_stream($_, '--create', '--if-not-exists') for @streams;
for my $writer (1 .. 3)
{
	my $pid = fork() // die "fork: $!";
	if ($pid == 0) { write_items($writer); POSIX::_exit(0); }
	push @writers, $pid;
}
wait_for('events in both', sub { usleep(200_000); -e "$dir/east.ndjson" && delivered('east', 'w1-0') > 1 && eval { delivered('west', 'w1-0') > 1 } });
wait_for('the slots', \&slots_are_ready);

for my $round (1 .. $kills)
{
	my $leader = leader() // redo;
	my $since = time;
	kill 'KILL', processes_of($leader);
	$programs{$leader}->finish;
	measure("kill $round", $since, 2, sub { start_node($leader) });
}
for my $round (1 .. 2)
{
	my $leader = leader() // redo;
	my $since = time;
	my $candidate;
	wait_for('a candidate', sub { $candidate = candidate($leader) });
	$since = time;
	rest($leader, 'POST', 'switchover', { leader => $leader, candidate => $candidate });
	measure("switchover $round", $since, 0.4);
}
{
	my $leader = leader();
	my $since = time;
	my @processes = processes_of($leader);
	kill 'STOP', @processes;

	# It wakes when it has been left by everybody, and finds another leader.
	my $waker = fork() // die "fork: $!";
	if ($waker == 0) { sleep 80; kill 'CONT', @processes; POSIX::_exit(0); }
	measure('freeze', $since, 2);
	waitpid $waker, 0;
}

# No acknowledged change is lost, and none has another content.
kill 'TERM', @writers;
waitpid $_, 0 for @writers;
my %truth = map { $_ => 1 } split /\n/, sql(q{SELECT aggregateid || ' ' || version || ' ' || (payload #>> '{properties,n}') FROM esgf_stac.outbox WHERE aggregatetype = 'CMIP6' AND type LIKE 'item.%'});
my @acknowledged = acknowledged();
my @lost = grep { !$truth{"$_->[1] $_->[2] $_->[3]"} } @acknowledged;
is(scalar(@lost), 0, 'of ' . @acknowledged . ' acknowledged changes none is lost') or diag join "\n", map { "@$_" } @lost[ 0 .. min($#lost, 9) ];
is(scalar(keys %truth), scalar(keys %{ { map { join(' ', (split / /)[ 0, 1 ]) => 1 } keys %truth } }), 'no version was given twice');

# Both indices are what they should be.
for my $stream (@streams)
{
	my ($out, $err) = ('', '');
	wait_for('the last event', sub { usleep(200_000); sql("SELECT count(*) FROM esgf_stac.delivery_status('$stream')"); delivered($stream, $acknowledged[-1][1]) >= $acknowledged[-1][2] });
	IPC::Run::run([ 'esgf_stac_relay', relay_arguments($stream, '--verify', '--deep', '--no-loop') ], '<', \undef, '>', \$out, '2>', \$err);
	is($? >> 8, 0, "$stream is equal to the truth") or diag "$out$err";
	my $log = slurp_file("$logs/210_relay_$stream.log");
	unlike($log, qr/history-diverged/, 'its relay never had to stop');
	diag "$stream: slots made " . (() = $log =~ /message="made slot/g) . ', missing ' . (() = $log =~ /slot-missing/g) . ', sessions that were not to be had ' . (() = $log =~ /trying again/g);
}
my @times = grep { $_->{what} =~ /kill/ } @figures;
cmp_ok(max(map { $has_failover_slots ? $_->{waited} : $_->{delivery} } @times, grep { $_->{what} =~ /switchover/ } @figures), '<=', 10, 'each time the relays were back within 10 seconds');
stop_relay($_) for values %relay;

END
{
	my $status = $?;
	kill 'KILL', @writers;
	for my $name (@names, 'etcd')
	{
		next if !$programs{$name};
		kill 'KILL', $name eq 'etcd' ? $programs{$name}{KIDS}[0]{PID} : processes_of($name);
		$programs{$name}->kill_kill;
	}
	$_->kill_kill for values %relay;
	$? = $status;
}

done_testing();
