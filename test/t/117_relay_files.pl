# The sink ndjson confirms what will be read again, and nothing else: files that
# are removed, cut, full or taken, stdout into a file, pipes that nobody reads.

use strict;
use warnings;

use Fcntl qw(O_NONBLOCK O_RDONLY);
use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use JSON::PP ();
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('files');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";
my $file = "$dir/events";
my $version = 0;
new_stream($node, 'a');
my @read = ('--stream', 'a', '--status-interval', 1, '--sink');

sub confirmed
{
	my ($position) = @_;
	return $node->safe_psql('postgres', "SELECT confirmed_flush_lsn >= '$position' FROM pg_replication_slots WHERE slot_name = 'esgf_stac_a'") eq 't';
}

sub wait_until_confirmed
{
	my $position = wal_end($node);
	return wait_for("a confirmation of $position", sub { confirmed($position) });
}

# The items and versions in a file, as "item-1:1"; dies where a line is none.
sub items { return map { "$_->{item_id}:$_->{version}" } read_events(@_); }

# How many of so many events of a version a file lacks, and how many it has twice.
sub missing_and_repeated
{
	my ($path, $count, $of) = @_;
	my %seen;
	$seen{$_}++ for grep { /:$of$/ } items($path);
	return ($count - keys %seen, scalar(grep { $_ > 1 } values %seen));
}

# The relay under a shell, its stdout as that says.
sub in_shell
{
	my ($script, @more) = @_;
	my $stderr = '';
	IPC::Run::run([ 'sh', '-c', $script, 'sh', 'esgf_stac_relay', '--dbname', $node->connstr('postgres'), @read, 'ndjson:-', '--endpos', wal_end($node), @more ],
		'2>', \$stderr);
	return ($? >> 8, $stderr);
}

# ---------------------------------------------------------------- removed, renamed, cut

my $relay = start_relay($node, $log, @read, "ndjson:$file");
add_events($node, 1, 1, ++$version);
wait_for('an event', sub { -s $file });
wait_until_confirmed();
rename $file, "$file.1";
add_events($node, 1, 1, ++$version);
wait_until_confirmed();
is_deeply([ items($file) ], ["item-1:$version"], 'a file that was renamed is made anew, and gets what comes then');
unlink $file;
add_events($node, 1, 1, ++$version);
wait_until_confirmed();
is_deeply([ items($file) ], ["item-1:$version"], 'so is one that was removed');
like(slurp_file($log), qr/sink is down.*was removed or renamed/, 'and the log tells');
truncate $file, 0;
add_events($node, 1, 1, ++$version);
wait_until_confirmed();
is((items($file))[-1], "item-1:$version", 'one that was cut goes on');
unlike(slurp_file($file), qr/\0/, 'without a hole');

# ---------------------------------------------------------------- one writer

new_stream($node, 'b');
my ($status, undef, $stderr) = run_relay($node, '--stream', 'b', '--sink', "ndjson:$file", '--no-loop', '--endpos', wal_end($node));
is($status, 5, 'a second relay on the same file');
like($stderr, qr/sink is down.*another relay writes to it/, 'is refused');
is(stop_relay($relay), 0, 'the first one stops');
($status, undef, $stderr) = run_relay($node, '--stream', 'b', '--sink', "ndjson:$file", '--no-loop', '--endpos', wal_end($node));
is($status, 0, 'then the file is free') or diag $stderr;

# ---------------------------------------------------------------- a full disk

SKIP:
{
	skip 'there is no prlimit', 5 if system('command -v prlimit >/dev/null') != 0;
	my $full = "$dir/full";
	$relay = start_relay($node, $log, @read, "ndjson:$full", '--verbose');
	add_events($node, 1, 10, ++$version);
	wait_until_confirmed();

	# To the process, a file that may not grow is a full disk.
	my $may_grow = sub {
		my ($bytes) = @_;
		system('prlimit', '--pid', $relay->{KIDS}[0]{PID}, '--fsize=' . ((-s $full) + $bytes) . ':') == 0 or die 'prlimit';
	};
	my $downs = sub { return scalar(() = slurp_file($log) =~ /sink is down.*File too large/g) };
	$may_grow->(200_100);
	add_events($node, 1, 1000, ++$version, 'x' x 1000);
	wait_for('the disk to be full', sub { $downs->() >= 2 });
	like(slurp_file($full), qr/\n\z/, 'a full disk leaves no half line');
	my $lines = scalar(read_lines($full));
	wait_for('another try', sub { $downs->() >= 4 });
	is(scalar(read_lines($full)), $lines, 'and is not filled with repetitions');
	my $before = $downs->();
	$may_grow->(300_100);
	wait_for('the disk to be full again', sub { $downs->() > $before });
	cmp_ok(scalar(read_lines($full)), '>', $lines + 100, 'what becomes free is used');
	$may_grow->(100_000_000);
	wait_until_confirmed();
	is_deeply([ missing_and_repeated($full, 1000, $version) ], [ 0, 0 ], 'in the end it has every event, once');
	is(stop_relay($relay), 0, 'stops');
}

# ---------------------------------------------------------------- stdout

my $out = "$dir/out";
append_to_file($out, '{"id":"half');
add_events($node, 1, 1, ++$version);
($status, $stderr) = in_shell('exec "$@" >>' . $out);
is($status, 0, 'stdout appended to a file') or diag $stderr;
is_deeply([ items($out) ], ["item-1:$version"], 'what was left of another line is cut off there, too');
add_events($node, 1, 2, ++$version);
in_shell('echo first; "$@"; echo last', '--format', 'document');
add_events($node, 1, 2, ++$version);
($status, $stderr) = in_shell("{ echo first; \"\$@\"; echo last; } >$out");
is_deeply([ map { substr $_, 0, 5 } read_lines($out) ], [ 'first', '{"id"', '{"id"', 'last' ], 'among what others write to it') or diag $stderr;
unlink $out;
append_to_file($out, '');
add_events($node, 1, 1000, ++$version, 'x' x 1000);
($status, $stderr) = in_shell("ulimit -f 200; exec \"\$@\" >>$out");
is($status, 5, 'stdout into a full disk') or diag $stderr;
like(slurp_file($out), qr/\n\z/, 'leaves no half line');
($status, $stderr) = in_shell("exec \"\$@\" >>$out");
is($status, 0, 'with space again') or diag $stderr;
is((missing_and_repeated($out, 1000, $version))[0], 0, 'all is there');
add_events($node, 1, 1000, ++$version, 'x' x 1000);
unlink $out;
($status) = in_shell("ulimit -f 200; exec \"\$@\" --verbose >>$out 2>&1");
is($status, 5, 'with the log in the same file');
my @broken = grep { /^\{/ && !eval { JSON::PP::decode_json($_) } } read_lines($out);
is(scalar(@broken), 0, 'there is no half line either');
in_shell("exec \"\$@\" >/dev/null");
SKIP:
{
	skip 'there is no strace', 1 if system('strace -o /dev/null true 2>/dev/null') != 0;
	add_events($node, 1, 1, ++$version);
	in_shell("exec strace -f -o $dir/strace -e trace=fsync \"\$@\" >>$out");
	like(slurp_file("$dir/strace"), qr/fsync\(1\) += 0/, 'a file on stdout is synced');
}

# ---------------------------------------------------------------- a pipe

my $pipe = "$dir/pipe";
POSIX::mkfifo($pipe, oct(600)) or die "mkfifo: $!";
add_events($node, 1, 1, ++$version);
($status, undef, $stderr) = run_relay($node, @read, "ndjson:$pipe", '--no-loop');
is($status, 5, 'a pipe that nobody reads');
like($stderr, qr/sink is down.*nobody reads it/, 'cannot be opened');
sysopen(my $reader, $pipe, O_RDONLY | O_NONBLOCK) or die "open: $!";
$relay = start_relay($node, $log, @read, "ndjson:$pipe");
my $taken = '';
wait_for('an event', sub { sysread($reader, $taken, 65536, length $taken); $taken =~ /"version":$version/ });
wait_until_confirmed();
add_events($node, 1, 1, ++$version);
my $position = wal_end($node);
wait_for('the next one', sub { my $ready = ''; vec($ready, fileno $reader, 1) = 1; select($ready, undef, undef, 0) });
ok(!confirmed($position), 'what its reader has not taken is not confirmed');
close $reader;
wait_for('the end of the reader', sub { slurp_file($log) =~ /sink is down.*(?:is gone|Broken pipe)/ });
ok(!confirmed($position), 'nor when the reader ends');
sysopen($reader, $pipe, O_RDONLY | O_NONBLOCK) or die "open: $!";
$taken = '';
wait_for('the event', sub { sysread($reader, $taken, 65536, length $taken); $taken =~ /"version":$version/ });
wait_until_confirmed();
pass('another reader gets it');
is(stop_relay($relay), 0, 'stops');

done_testing();
