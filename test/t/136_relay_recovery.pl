# Recovery to an earlier point: a relay stops unless it knows, by itself or by its
# sink, that nothing was delivered beyond. A failover is none.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir;
my $first = PostgreSQL::Test::Cluster->new('first');
$first->init(allows_streaming => 'logical', has_archiving => 1);
$first->start;
$first->safe_psql('postgres', 'CREATE EXTENSION esgf_stac; SELECT esgf_stac.create_catalogue()');

# Sinks that cannot tell what they hold, and one that can.
my %sinks = (pipe => 'ndjson:-', calm_pipe => 'ndjson:-', file => "ndjson:$dir/file", calm_file => "ndjson:$dir/calm_file");
my $server;
if (`esgf_stac_relay --version` =~ /\bhttp\b/ && IPC::Run::run([qw(python3 --version)], '>', \my $version, '2>&1'))
{
	mkdir "$dir/server";
	$server = IPC::Run::start([ 'python3', "$FindBin::RealBin/http_server.py", "$dir/server" ], '<', \undef, '>>', "$dir/server/log", '2>&1');
	wait_for('the server', sub { -e "$dir/server/port" });
	$sinks{web} = $sinks{calm_web} = 'http://127.0.0.1:' . slurp_file("$dir/server/port") . '/';
}
END { my $status = $?; $server->kill_kill if $server; $? = $status }

sub deliver
{
	my ($node, $stream, @arguments) = @_;
	return run_relay($node, '--stream', $stream, '--sink', $sinks{$stream}, '--endpos', wal_end($node), '--no-loop', @arguments);
}

# A server with what the first one had up to a point, or all that was archived.
sub recover
{
	my ($name, $target) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init_from_backup($first, 'base', has_restoring => 1, standby => 0);
	$node->append_conf('postgresql.conf', "recovery_target_timeline = 1\n" . ($target ? "recovery_target_name = '$target'\nrecovery_target_action = 'promote'\n" : ''));
	$node->start;
	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
	return $node;
}

new_stream($first, $_) for 'held', sort keys %sinks;
$first->backup('base');
add_events($first, 1, 3);
is((deliver($first, $_))[0], 0, "$_ is delivered") for sort keys %sinks;
$first->safe_psql('postgres', q{SELECT pg_create_restore_point('early')});
my @held = ('--stream', 'held', '--sink', 'ndjson:-');
add_events($first, 4, 5);
is((deliver($first, $_))[0], 0, "$_: so is more") for grep { !/calm/ } sort keys %sinks;
run_relay($first, @held, '--endpos', wal_end($first));
$first->safe_psql('postgres', 'SELECT pg_switch_wal()');
my $archived = $first->safe_psql('postgres', q{SELECT pg_walfile_name(pg_current_wal_lsn() - 1)});
$first->safe_psql('postgres', 'CREATE TABLE other (); SELECT pg_switch_wal()');
$first->poll_query_until('postgres', "SELECT last_archived_wal >= '$archived' FROM pg_stat_archiver");
my $early = recover('early', 'early');
is($early->safe_psql('postgres', 'SELECT count(*) FROM esgf_stac.outbox'), 3, 'a recovery to an earlier point');

# One that runs has got nothing itself, but knows what was delivered before it was started.
my $running = start_relay($first, "$dir/held", @held, '--dbname', join(' ', 'dbname=postgres target_session_attrs=read-write',
		'host=' . join(',', map { $_->host } $first, $early), 'port=' . join(',', map { $_->port } $first, $early)));
wait_for('the stream', sub { slurp_file("$dir/held") =~ /streaming from/ });
$first->stop('fast');
wait_for('its next session', sub { slurp_file("$dir/held") =~ /history-diverged|streaming from.*streaming from/s });
is(stop_relay($running), 4, 'a relay that runs stops');
like(slurp_file("$dir/held"), qr/problem=history-diverged message="this relay:/, 'and says why');

for my $stream (sort keys %sinks)
{
	my ($status, undef, $stderr) = deliver($early, $stream);
	my $says = $stream =~ /file/ ? qr/the sink holds an event that never was/ : qr/recovered to an earlier point.*--create --from-beginning/;
	if ($stream eq 'calm_file') { is($status, 0, 'a file that holds no more goes on') or diag $stderr }
	else { ok($status == 4 && $stderr =~ /problem=history-diverged message="[^"]*$says/, "$stream stops") or diag "$status $stderr" }
}
is($early->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), 1, 'those that stop make no slot');

# A sink that surely has no more goes on with what it has.
my @calm = grep { /calm_/ && !/file/ } sort keys %sinks;
for my $stream (@calm)
{
	is((deliver($early, $stream, '--create', '--from-beginning'))[0], 4, "$stream: --create alone is no way out, for the slot may be lost for other reasons");
	$early->safe_psql('postgres', "SELECT esgf_stac.drop_stream('$stream'), esgf_stac.create_stream('$stream')");
	my ($status, undef, $stderr) = deliver($early, $stream, '--create', '--from-beginning');
	is($status, 0, "$stream: made anew") or diag $stderr;
	like($stderr, qr/sent 3 events from the outbox/, 'what the outbox keeps comes again');
}

# A failover is no such recovery; it hides none either.
my $standby = PostgreSQL::Test::Cluster->new('standby');
$early->backup('again');
$standby->init_from_backup($early, 'again', has_streaming => 1);
$standby->append_conf('postgresql.conf', "recovery_target_timeline = latest\nrecovery_target_name = ''\n");
$standby->start;
$early->wait_for_catchup($standby);
$early->stop('immediate');
$standby->promote;
add_events($standby, 6, 6);

for my $stream (sort keys %sinks)
{
	my ($status, undef, $stderr) = deliver($standby, $stream);
	is($status, $stream =~ /calm/ ? 0 : 4, "after a failover: $stream") or diag $stderr;
}

# All that was archived.
my $whole = recover('whole');
my ($status, undef, $stderr) = deliver($whole, 'pipe');
is($status, 0, 'a recovery of all there is takes nothing back') or diag $stderr;

done_testing();
