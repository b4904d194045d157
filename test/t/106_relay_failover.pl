# Failover: nothing is lost when the standby was caught up; the relay stops
# when it was not, whichever of its witnesses is left.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $primary = catalogue_node('primary');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";

# An index that outlives all of them.
my $index = PostgreSQL::Test::Cluster->new('index');
$index->init;
$index->start;
my $table = 'postgres:' . $index->connstr('postgres') . '#public.items';

new_stream($primary, $_) for qw(file held indexed);
my $backup = $primary->backup('base');
my %standby;
for my $name (qw(good bad))
{
	$standby{$name} = PostgreSQL::Test::Cluster->new($name);
	$standby{$name}->init_from_backup($primary, 'base', has_streaming => 1);
	$standby{$name}->start;
}
add_events($primary, 1, 100);

# Read one stream to a file and one to the index; a third with a relay that
# stays, and knows the servers by one connection string.
my @file = ('--stream', 'file', '--sink', "ndjson:$dir/file");
my @indexed = ('--stream', 'indexed', '--sink', $table);
my @held = ('--stream', 'held', '--sink', "ndjson:$dir/held", '--dbname', join(' ',
		'dbname=postgres target_session_attrs=read-write',
		'host=' . join(',', map { $_->host } $primary, $standby{good}),
		'port=' . join(',', map { $_->port } $primary, $standby{good})));
my $held = start_relay($primary, $log, @held);
run_relay($primary, @$_, '--endpos', wal_end($primary)) for \@file, \@indexed;
wait_for('100 events', sub { read_lines("$dir/held") == 100 });

# A standby is no place to read from.
my ($status, undef, $stderr) = run_relay($standby{good}, @file, '--no-loop');
is($status, 3, 'a standby') or diag $stderr;

# One standby falls behind; then the primary dies.
$primary->wait_for_catchup($standby{bad});
$standby{bad}->stop;
add_events($primary, 101, 110);
run_relay($primary, @$_, '--endpos', wal_end($primary)) for \@file, \@indexed;
wait_for('110 events', sub { read_lines("$dir/held") == 110 });
add_events($primary, 111, 120);
wait_for('120 events', sub { read_lines("$dir/held") == 120 });
$primary->wait_for_catchup($standby{good});
$primary->stop('immediate');

# Caught up: what was pending comes, and what follows.
$standby{good}->promote;
add_events($standby{good}, 121, 121);
wait_for('an event after the failover', sub { grep { /"item-121"/ } read_lines("$dir/held") });
my %seen = map { $_->{item_id} => 1 } read_events("$dir/held");
is(scalar(keys %seen), 121, 'a relay that runs finds the promoted standby, and loses nothing');
is(stop_relay($held), 0, 'and stops as asked');
for my $read (\@file, \@indexed)
{
	($status, undef, $stderr) = run_relay($standby{good}, @$read, '--endpos', wal_end($standby{good}));
	is($status, 0, "a relay that is started after the failover: $read->[1]") or diag $stderr;
}
%seen = map { $_->{item_id} => 1 } read_events("$dir/file");
is(scalar(keys %seen), 121, 'loses nothing either, to a file');
is($index->safe_psql('postgres', 'SELECT count(*) FROM items'), 121, 'or to an index');

# Not caught up: the bad standby lacks events that were delivered.
$standby{bad}->append_conf('postgresql.conf', "primary_conninfo = ''");
$standby{bad}->start;
$standby{bad}->promote;
my @before = map { -s "$dir/$_" } qw(file held);
for my $read (\@file, \@indexed)
{
	($status, undef, $stderr) = run_relay($standby{bad}, @$read);
	is($status, 4, "a standby that was not caught up: $read->[1]");
	like($stderr, qr/problem=history-diverged/, 'says so');
}
add_events($standby{bad}, 101, 130);
($status) = run_relay($standby{bad}, @file);
is($status, 4, 'also when it has gone on meanwhile');
is_deeply([ map { -s "$dir/$_" } qw(file held) ], \@before, 'nothing was written');

# The relay that runs, by its own memory: its sink is a pipe without one.
SKIP:
{
	my $second = PostgreSQL::Test::Cluster->new('second');
	$standby{good}->backup('again');
	$second->init_from_backup($standby{good}, 'again', has_streaming => 1);
	$second->start;
	my $relay = start_relay($standby{good}, "$dir/memory", '--stream', 'held', '--sink', 'ndjson:-', '--dbname', join(' ',
			'dbname=postgres target_session_attrs=read-write',
			'host=' . join(',', map { $_->host } $standby{good}, $second),
			'port=' . join(',', map { $_->port } $standby{good}, $second)));
	add_events($standby{good}, 200, 200);
	wait_for('the event', sub { grep { /"item-200"/ } read_lines("$dir/memory.out") });
	$standby{good}->wait_for_catchup($second);
	$second->stop;
	add_events($standby{good}, 201, 201);
	wait_for('the lost event', sub { grep { /"item-201"/ } read_lines("$dir/memory.out") });
	my $end = wal_end($standby{good});
	$standby{good}->poll_query_until('postgres', "SELECT confirmed_flush_lsn >= '$end' FROM pg_replication_slots WHERE slot_name = 'esgf_stac_held'");
	$standby{good}->stop('immediate');
	$second->append_conf('postgresql.conf', "primary_conninfo = ''");
	$second->start;
	$second->promote;
	$relay->finish;
	is($relay->full_result(0) >> 8, 4, 'a relay that runs stops');
	like(slurp_file("$dir/memory"), qr/problem=history-diverged message="this relay:/, 'by its own memory');
}

done_testing();
