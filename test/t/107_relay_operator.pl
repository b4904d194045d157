# What an operator sees and sets: options from file and environment, metrics,
# the line on a terminal, log lines.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('operator');
my $dir = PostgreSQL::Test::Utils::tempdir;
new_stream($node, 'a');
my ($status, $stdout, $stderr);

# A configuration file, in which a password may stand.
append_to_file("$dir/conf", "# our relay\n\n  stream = a \nsink=ndjson:$dir/out\nno-loop = on\ndbname = "
	  . $node->connstr('postgres') . " password=secret\nbatch = 7\n");

sub run_bare
{
	my (%environment) = @_;
	my @arguments = @{ delete $environment{arguments} // [] };
	local %ENV = (%ENV, %environment);
	($stdout, $stderr) = ('', '');
	IPC::Run::run([ 'esgf_stac_relay', @arguments ], '<', \undef, '>', \$stdout, '2>', \$stderr);
	return $? >> 8;
}
my $file_wins = "$dir/out";
add_events($node, 1, 1);
is(run_bare(arguments => [ '--config', "$dir/conf", '--endpos', wal_end($node) ]), 0, 'options from a file') or diag $stderr;
is(scalar(read_lines("$dir/out")), 1, 'are obeyed');
unlike($stderr, qr/secret/, 'no message tells the password');
add_events($node, 2, 2);
is(run_bare(ESGF_STAC_RELAY_CONFIG => "$dir/conf", ESGF_STAC_RELAY_SINK => "ndjson:$dir/out2", ESGF_STAC_RELAY_ENDPOS => wal_end($node)),
	0, 'options from the environment') or diag $stderr;
is(scalar(read_lines("$dir/out2")), 1, 'overrule the file');
add_events($node, 3, 3);
is(run_bare(ESGF_STAC_RELAY_CONFIG => "$dir/conf", ESGF_STAC_RELAY_SINK => "ndjson:$dir/out2",
		arguments => [ '--sink', "ndjson:$dir/out3", '--endpos', wal_end($node) ]), 0, 'the command line');
is(scalar(read_lines("$dir/out3")), 1, 'overrules both');
for my $line ('colour = red', 'nonsense', 'batch = many', 'no-loop = perhaps')
{
	append_to_file("$dir/bad", "$line\n");
	is(run_bare(arguments => [ '--config', "$dir/bad", '--stream', 'a', '--sink', 'ndjson:-' ]), 2, "a bad line: $line");
	unlink "$dir/bad";
}
is(run_bare(arguments => [ '--config', "$dir/absent" ]), 2, 'no such file');
is(run_bare(ESGF_STAC_RELAY_BATCH => '0', arguments => [ '--stream', 'a', '--sink', 'ndjson:-' ]), 2, 'a bad value in the environment');

# Metrics.
my $relay = start_relay($node, "$dir/log", '--stream', 'a', '--sink', "ndjson:$dir/out", '--metrics-file', "$dir/metrics");
add_events($node, 1, 50, 2, 'x' x 100);
wait_for('the metrics', sub { -e "$dir/metrics" && slurp_file("$dir/metrics") =~ /^esgf_stac_relay_events_total\{stream="a"\} 50$/m });
my $metrics = slurp_file("$dir/metrics");
my %value = $metrics =~ /^esgf_stac_relay_(\w+)\{stream="a"\} (\S+)$/mg;
is($value{up}, 1, 'up');
is($value{sessions_total}, 1, 'sessions');
cmp_ok($value{bytes_total}, '>', 5000, 'bytes');
is($value{retries_total} + $value{dead_letters_total}, 0, 'retries and dead letters');
cmp_ok(abs($value{last_commit_timestamp_seconds} - time), '<', 60, 'last commit');
ok(exists $value{$_}, $_) for qw(lag_bytes lag_seconds wal_held_bytes);
my @lines = split /\n/, $metrics;
is_deeply([ grep { !/^# (HELP|TYPE) esgf_stac_relay_\w+ \S|^esgf_stac_relay_\w+\{stream="a"\} \S+$/ } @lines ], [], 'in the text format');
is(scalar(grep { /^# TYPE/ } @lines), scalar(keys %value), 'each with its type');
stop_relay($relay);
is((slurp_file("$dir/metrics") =~ /^esgf_stac_relay_up\{stream="a"\} (\d)/m)[0], 0, 'down');

# A sink that is down: what that costs is shown.
add_events($node, 1, 1, 3);
$relay = start_relay($node, "$dir/down", '--stream', 'a', '--sink', "ndjson:$dir/no/such", '--metrics-file', "$dir/metrics2");
wait_for('five tries', sub { -e "$dir/metrics2" && slurp_file("$dir/metrics2") =~ /sessions_total\{stream="a"\} ([5-9]|\d\d)/ });
is(scalar(grep { /sink is down|trying again/ } read_lines("$dir/down")), 2, 'the log says once why, and that it tries again');
like(slurp_file("$dir/down"), qr/sink is down, the slot holds \d+ bytes of WAL/, 'the log tells of the WAL that is held');
ok(wait_for('the bytes', sub { slurp_file("$dir/metrics2") =~ /^esgf_stac_relay_wal_held_bytes\{stream="a"\} [1-9]/m }), 'so do the metrics');
stop_relay($relay);

# Log lines.
is_deeply([ grep { !/^time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=(detail|note|warning|error) stream=a( problem=[a-z-]+)? message="([^"\\]|\\.)*"$/ }
		  read_lines("$dir/log"), read_lines("$dir/down") ], [], 'log lines have one form');

# The line on a terminal.
SKIP:
{
	skip 'no "script" to make a terminal', 2 if IPC::Run::run([ 'script', '--version' ], '>', \my $v, '2>&1') == 0;
	add_events($node, 1, 1, 4);
	my $command = join ' ', 'esgf_stac_relay', '--dbname', "'" . $node->connstr('postgres') . "'", '--stream a', '--sink', "ndjson:$dir/tty";
	$command =~ s/dbname='postgres'/dbname=postgres/;
	my $terminal = IPC::Run::start([ 'script', '-qfec', $command, "$dir/typescript" ], '<', \undef, '>', '/dev/null');
	wait_for('the status line', sub { -e "$dir/typescript" && slurp_file("$dir/typescript") =~ /a: \d+ events, [\d.]+\/s, [\d.]+ MB\/s, lag/ });
	pass('a terminal shows rate and lag');
	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots});
	wait_for('its return', sub { slurp_file("$dir/typescript") =~ /trying again/ });
	$terminal->kill_kill;
	pass('and log lines beside it');
}

done_testing();
