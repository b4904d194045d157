# Three servers under Patroni and etcd, with synchronous replication: leaders die,
# step down and hang under writers and relays. No acknowledged change may be lost,
# both indices must be what they should, and the relays come back by themselves.
#
#	ESGF_STAC_PATRONI=10 scripts/test t/210
#
# kills ten leaders, which takes a quarter of an hour.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use List::Util qw(max min);
use PatroniTest;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;
use Time::HiRes qw(time usleep);

my $reason = patroni_missing();
plan skip_all => $reason if $reason;

my $kills = $ENV{ESGF_STAC_PATRONI};
my $dir = PostgreSQL::Test::Utils::tempdir_short;
my $logs = $PostgreSQL::Test::Utils::log_path;
my $has_failover_slots = has_failover_slots();
my @streams = qw(east west);
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
		my $good = IPC::Run::run([ qw(timeout 10 psql -XqAt -d), conninfo(), '-c', "SELECT version FROM esgf_stac.$call" ], '<', \undef, '>', \$out, '2>', \$err);

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
	return ('--dbname', conninfo() =~ s/connect_timeout=\d+ //r, '--stream', $stream, '--sink', $sink{$stream}, @more);
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
	diag sprintf('figure: %-12s first write after %5.1f s, delivered %5.1f s later%s', $what, @{ $figures[-1] }{qw(write delivery)},
		$has_failover_slots ? sprintf(', %.1f s after the standbys were back', $figures[-1]{waited}) : '');

	# The next one finds a synchronous standby, with slots.
	wait_for('both standbys', \&is_whole);
	my $back = time;
	wait_for('the slots', sub { slots_are_ready(scalar @streams) });
	diag sprintf('figure: %-12s copies of the slots ready %.1f s after both standbys were back', $what, time - $back) if $has_failover_slots;
	return;
}

start_cluster();
sql("SELECT esgf_stac.create_stream('$_')") for @streams;
configure(slots => { map { ("esgf_stac_$_" => { type => 'logical', database => 'postgres', plugin => 'pgoutput' }) } @streams })
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
wait_for('the slots', sub { slots_are_ready(scalar @streams) });

for my $round (1 .. $kills)
{
	my $leader = leader() // redo;
	my $since = time;
	kill_node($leader);
	measure("kill $round", $since, 2, sub { start_node($leader) });
}
for my $round (1 .. 2)
{
	my (undef, undef, $since) = switch_over();
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
	diag "figure: $stream: slots made " . (() = $log =~ /message="made slot/g) . ', missing ' . (() = $log =~ /slot-missing/g);
}
my @times = grep { $_->{what} =~ /kill/ } @figures;
cmp_ok(max(map { $has_failover_slots ? $_->{waited} : $_->{delivery} } @times, grep { $_->{what} =~ /switchover/ } @figures), '<=', 10, 'each time the relays were back within 10 seconds');
stop_relay($_) for values %relay;

END
{
	my $status = $?;
	kill 'KILL', @writers;
	$_->kill_kill for values %relay;
	$? = $status;
}

done_testing();
