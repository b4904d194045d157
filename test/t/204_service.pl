# What a system runs the programs by: that the service manager hears when they are
# ready and when they end, that their units are good and hardened, that bash completes
# every option. (scripts/checks/manual holds the manual pages to --help.)

use strict;
use warnings;

use Cwd qw(abs_path);
use FindBin;
use lib $FindBin::RealBin;
use IngestTest;
use IO::Select;
use IO::Socket::UNIX;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Socket qw(SOCK_DGRAM);
use Test::More;

my $top = abs_path("$FindBin::RealBin/../..");
my $dir = PostgreSQL::Test::Utils::tempdir;
my @programs = qw(esgf_stac_relay esgf_stac_ingest);
my ($bindir) = map { s/\s+\z//r } scalar `pg_config --bindir`;

# ---------------------------------------------------------------- installed

for my $program (qw(relay ingest))
{
	is(system('make', '-s', '--no-print-directory', '-C', $top, 'with_llvm=no', "DESTDIR=$dir/root", 'system_prefix=/usr', "bindir=$bindir", "install-beside-$program"), 0,
		"what is beside $programs[$program eq 'ingest'] is installed");
}
my %beside = map { $_ => [
		"usr/share/man/man1/$_.1", "usr/lib/systemd/system/$_\@.service", "usr/lib/sysusers.d/$_.conf", "etc/logrotate.d/$_", "usr/share/bash-completion/completions/$_" ] } @programs;
for my $program (@programs)
{
	is_deeply([ grep { !-f "$dir/root/$_" || slurp_file("$dir/root/$_") =~ /\@[a-z]+\@/ } @{ $beside{$program} } ], [], "$program: all of it");
}
is(system('make', '-s', '--no-print-directory', '-C', $top, 'with_llvm=no', "DESTDIR=$dir/root", 'system_prefix=/usr', 'uninstall-beside-relay'), 0, 'and uninstalled');
is_deeply([ map { -e "$dir/root/$_" ? 1 : 0 } @{ $beside{esgf_stac_relay} }, @{ $beside{esgf_stac_ingest} } ], [ (0) x 5, (1) x 5 ], 'of one program alone');
system('make', '-s', '--no-print-directory', '-C', $top, 'with_llvm=no', "DESTDIR=$dir/root", 'system_prefix=/usr', "bindir=$bindir", 'install-beside-relay');

# ---------------------------------------------------------------- units

sub run_with_output
{
	my (@command) = @_;
	my $said = '';
	IPC::Run::run(\@command, '<', \undef, '>&', \$said);
	return ($? >> 8, $said);
}

SKIP:
{
	skip 'there is no systemd-analyze', 5 if system('command -v systemd-analyze >/dev/null') != 0;
	for my $program (@programs)
	{
		my $unit = "$dir/root/usr/lib/systemd/system/$program\@.service";
		my ($status, $said) = run_with_output('systemd-analyze', 'verify', '--man=no', $unit);
		is("$status$said", '0', "$program: systemd takes its unit without a warning");
		($status, $said) = run_with_output('systemd-analyze', 'security', '--offline=yes', '--threshold=30', $unit);
		is($status, 0, 'which leaves little to who takes it over') or diag $said;
	}
	my %lines = map { $_ => 1 } split /\n/, slurp_file("$dir/root/usr/lib/systemd/system/esgf_stac_relay\@.service");
	my @wanted = ('Type=notify', 'User=esgf_stac_relay', 'RestartPreventExitStatus=2 4', "ExecStart=$bindir/esgf_stac_relay --config=/etc/esgf_stac/%i.conf");
	is_deeply([ grep { !$lines{$_} } @wanted ], [], 'it says what is promised');
}

# ---------------------------------------------------------------- completion

# What bash offers for the last of some words.
sub completions
{
	my (@words) = @_;
	my ($status, $said) = run_with_output('bash', '--norc', '-c',
		'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _esgf_stac "$1"; printf "%s\n" "${COMPREPLY[@]}"',
		'bash', "$dir/root/usr/share/bash-completion/completions/esgf_stac_relay", @words);
	return grep { $_ ne '' } split /\n/, $said;
}

for my $program (@programs)
{
	my ($help) = run_command([ $program, '--help' ]);
	my @options = sort map { /^ +(?:-., )?(--[a-z-]+=?)/ ? $1 : () } split /\n/, $help;
	cmp_ok(scalar(@options), '>', 10, "$program has options");
	is_deeply([ sort(completions($program, '--')) ], \@options, 'bash offers each of them');
	is_deeply([ grep { !grep { $_ } completions($program, s/=?\z//r) } @options ], [], 'from its own name as well');
}
is_deeply([ completions('esgf_stac_relay', '--stat') ], ['--status-interval='], 'of a beginning what it can be');
append_to_file("$dir/some.conf", '');
is_deeply([ completions('esgf_stac_relay', '--config', '=', "$dir/so") ], ["$dir/some.conf"], 'behind an option that wants a file, files');
is_deeply([ completions('esgf_stac_relay', '--config', "$dir/so") ], ["$dir/some.conf"], 'or as the next word');
is_deeply([ completions('esgf_stac_relay', '--stream', '=', "$dir/so") ], [], 'and behind no other');

# ---------------------------------------------------------------- told the manager

# A service manager's socket; an abstract one has no file.
sub manager
{
	my ($path) = @_;
	return IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path =~ s/^@/\0/r) // die "socket: $!";
}

# The messages that have come, once there are so many; fewer if none comes any more.
sub messages
{
	my ($manager, $count) = @_;
	my @got;
	while (@got < $count && IO::Select->new($manager)->can_read($PostgreSQL::Test::Utils::timeout_default))
	{
		$manager->recv(my $message, 4096);
		push @got, $message;
	}
	return @got;
}
# Start a program, or run the relay to its end, under that manager. (The server would tell it of itself.)
sub start_under { local $ENV{NOTIFY_SOCKET} = shift; return start_program(@_) }
sub run_under { local $ENV{NOTIFY_SOCKET} = shift; return run_relay(@_) }
sub has_message { return scalar(IO::Select->new($_[0])->can_read($_[1] // 0)) }

my $node = ingest_node('service');
my $manager = manager("$dir/notify");
my @read = ('--stream', 'a', '--sink', "ndjson:$dir/events");
$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('a')});
new_items($node, 1, 5);

# The database is away, then the slot is not there: neither is ready.
my $relay = start_under("$dir/notify", 'esgf_stac_relay', $node, "$dir/away.log", '--dbname', "host=$dir port=1", '--verbose', @read);
wait_for('another try', sub { slurp_file("$dir/away.log") =~ /trying again.*trying again/s });
ok(!has_message($manager), 'without a database it is not ready');
is(stop_relay($relay), 0, 'stops');
is_deeply([ messages($manager, 1) ], ['STOPPING=1'], 'and says so');
is((run_under("$dir/notify", $node, @read))[0], 4, 'without its slot it ends');
is_deeply([ messages($manager, 1) ], ['STOPPING=1'], 'never ready');

# A snapshot that cannot go on holds it up: it is ready once it streams.
unlink "$dir/events";
mkdir "$dir/events";
$relay = start_under("$dir/notify", 'esgf_stac_relay', $node, "$dir/relay.log", @read, '--create', '--snapshot', '--iteration-target', "$dir/jobs-*");
wait_for('a sink that is down', sub { slurp_file("$dir/relay.log") =~ /sink is down/ });
ok(!has_message($manager), 'nor is it while its sink is down');
rmdir "$dir/events";
$relay->signal('HUP');
is_deeply([ messages($manager, 1) ], ['READY=1'], 'once it streams it is');
like(slurp_file("$dir/relay.log"), qr/streaming from/, 'which its log says, too');
is(scalar(read_lines("$dir/events")), 5, 'and its index is filled by then');
$node->restart;
add_events($node, 10, 10);
wait_for('an event of the next session', sub { read_lines("$dir/events") == 6 });
ok(!has_message($manager), 'that is told once; and by the relay, not by its worker, too');
is(stop_relay($relay), 0, 'stops');
is_deeply([ messages($manager, 1), has_message($manager, 0.5) ? 'more' : () ], ['STOPPING=1'], 'and says so, once');

# An ingester, by a socket of the abstract kind.
my $name = "\@esgf_stac_test_$$";
$manager = manager($name);
my @ingest = ($name, 'esgf_stac_ingest', $node, "$dir/ingest.log", '--dbname', ingester_dbname($node), '--from', "ndjson:$dir/log", '--follow', '--source');
my $ingest = start_under(@ingest, 'api');
wait_for('a connection', sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'ingester'}) == 1 });
ok(!has_message($manager), 'an ingester whose file is not there yet is not ready');
write_log("$dir/log", event('e1', post('a.v1')));
is_deeply([ messages($manager, 1) ], ['READY=1'], 'once it is, it is');
wait_for('an event', sub { inbox($node, 'api') ne '' });
is(stop_relay($ingest), 0, 'and stops');
is_deeply([ messages($manager, 1) ], ['STOPPING=1'], 'as it says');
$ingest = start_under(@ingest, 'none');
is_deeply([ messages($manager, 1) ], ['STOPPING=1'], 'without its source it never is');
$ingest->finish;

# A manager that is not there is no reason to fail.
my ($status, undef, $stderr) = run_under("$dir/gone", $node, @read, '--endpos', wal_end($node));
is($status, 0, 'a service manager that is gone');
like($stderr, qr/level=warning.*NOTIFY_SOCKET: No such file/, 'is missed by the log alone');

done_testing();
