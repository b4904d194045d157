# Servers that say nothing, that may not be written to, or that are gone: relay and
# ingester leave them by themselves, and are back soon after another has taken over.
use strict;
use warnings;

use Fcntl qw(O_RDONLY O_NONBLOCK);
use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(max);
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $primary = catalogue_node('primary');
my $dir = PostgreSQL::Test::Utils::tempdir;

new_stream($primary, $_) for qw(east pipe);
$primary->safe_psql('postgres', q{SELECT esgf_stac.create_source('api')});
$primary->backup('base');
my @standbys = map {
	my $standby = PostgreSQL::Test::Cluster->new($_);
	$standby->init_from_backup($primary, 'base', has_streaming => 1);
	$standby->start;
	$standby
} qw(one two);
my @hosts = ($primary, @standbys);
my @patience = ('--verbose', '--server-timeout', 4, '--dbname', join ' ', 'dbname=postgres target_session_attrs=read-write',
	'host=' . join(',', map { $_->host } @hosts), 'port=' . join(',', map { $_->port } @hosts));

# Has the log of a relay that since some offset?
sub said
{
	my ($name, $pattern, $offset) = @_;
	return -e "$dir/$name.log" && substr(slurp_file("$dir/$name.log"), $offset // 0) =~ $pattern;
}

# How long it has waited before trying again.
sub pauses
{
	my ($offset) = @_;
	return substr(slurp_file("$dir/east.log"), $offset) =~ /trying again in (\d+) ms/g;
}

sub has_event
{
	my ($item) = @_;
	return grep { /"$item"/ } read_lines("$dir/east");
}

# One relay writes a file; another waits for a reader who does not read.
my $east = start_relay($primary, "$dir/east.log", '--stream', 'east', '--sink', "ndjson:$dir/east", @patience);
POSIX::mkfifo("$dir/fifo", 0600) or die "mkfifo: $!";
sysopen my $reader, "$dir/fifo", O_RDONLY | O_NONBLOCK or die "fifo: $!";
my $pipe = start_relay($primary, "$dir/pipe.log", '--stream', 'pipe', '--sink', "ndjson:$dir/fifo", @patience);
append_to_file("$dir/api", '');
my $ingester = start_program('esgf_stac_ingest', $primary, "$dir/api.log", '--source', 'api', '--from', "ndjson:$dir/api", '--follow', @patience);
wait_for('the ingester', sub { said('api', qr/reading partition/) });
add_events($primary, 1, 1000, 1, 'x' x 200);
wait_for('events', sub { has_event('item-1000') });
wait_for('the pipe to be full', sub { said('pipe', qr/waiting for the reader/) });

# A server that is idle is asked, and answers.
my $asked = time + 6;
wait_for('more than --server-timeout', sub { time > $asked });
ok(!said($_, qr/trying again|said nothing/), "who is idle is not taken for silent: $_") for qw(east pipe api);

# Its process for our stream hangs, and keeps the slot.
my $walsender = $primary->safe_psql('postgres', q{SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'esgf_stac_east'});
kill 'STOP', $walsender;
ok(wait_for('it to be left', sub { said('east', qr/the server has said nothing for \d+ s/) }), 'a process that hangs is left');
ok(wait_for('the slot to be wanted', sub { said('east', qr/problem=slot-in-use/) }), 'its slot is not to be had');
kill 'CONT', $walsender;
add_events($primary, 1001, 1001);
ok(wait_for('the event', sub { has_event('item-1001') }), 'until it ends');

# The whole server hangs: its sockets go on accepting, and say nothing.
$primary->wait_for_catchup($_) for @standbys;
my $offset = -s "$dir/east.log";
my $postmaster = $primary->{_pid};
my @processes = ($postmaster, split ' ', `pgrep -P $postmaster`);
kill 'STOP', @processes;
ok(wait_for('it to be left', sub { said($_, qr/said nothing/, $_ eq 'east' ? $offset : 0) }), "a server that hangs is left: $_") for qw(east pipe api);
ok(wait_for('the others', sub { said('east', qr/trying again/, $offset) }), 'and the others are tried');

# It dies, and the others may not be written to: a new one is looked for all the time.
kill 'KILL', @processes;
$primary->{_pid} = undef;
wait_for('seven sessions', sub { 7 < (() = pauses($offset)) });
ok(said('east', qr/session is read-only/, $offset), 'the others are standbys');
cmp_ok(max(pauses($offset)), '<=', 3000, 'the pauses do not grow beyond 3 s');

# One is promoted, without our slot.
$standbys[1]->promote;
add_events($standbys[1], 1002, 1002);
ok(wait_for('the event', sub { has_event('item-1002') }), 'the relay is back by itself');
my $log = slurp_file("$dir/east.log");
my %seen = map { $_->{item_id} => 1 } read_events("$dir/east");
is(scalar(keys %seen), 1002, 'nothing is lost');
is(() = $log =~ /problem=slot-missing .*Patroni drops slots .*doc\/high-availability\.md/g, 1, 'the log says, once, who may have taken the slot');
is(stop_relay($_), 0, 'stops as asked') for $east, $pipe, $ingester;

done_testing();
