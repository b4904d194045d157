# Failover on PostgreSQL 17 and later, set up as doc/administration.md says: the
# standby has the relay's slot, and the relay never gets ahead of the standby.

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

if ($primary->safe_psql('postgres', 'SHOW server_version_num') < 170000)
{
	$primary->stop;
	plan skip_all => 'failover slots need PostgreSQL 17';
}

$primary->safe_psql('postgres', q{SELECT pg_create_physical_replication_slot('standby')});
$primary->append_conf('postgresql.conf', 'synchronized_standby_slots = standby');
$primary->reload;
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', join "\n",
	'primary_slot_name = standby', 'hot_standby_feedback = on', 'sync_replication_slots = on',
	"primary_conninfo = '" . ($primary->connstr('postgres') =~ s/'/''/gr) . "'");
new_stream($primary, 'east');
$standby->start;
my $relay = start_relay($primary, $log, '--stream', 'east', '--sink', "ndjson:$dir/east", '--dbname', join(' ',
		'dbname=postgres target_session_attrs=read-write',
		'host=' . join(',', map { $_->host } $primary, $standby),
		'port=' . join(',', map { $_->port } $primary, $standby)));

# The items that the index has by now.
sub items
{
	my %seen = map { $_->{item_id} => 1 } read_events("$dir/east");
	return scalar keys %seen;
}

add_events($primary, 1, 100);
wait_for('100 events', sub { items() == 100 });
ok(wait_for('the slot', sub {
			# A busy server does so every 15 seconds.
			$primary->safe_psql('postgres', 'SELECT pg_log_standby_snapshot()');
			$standby->safe_psql('postgres', q{SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = 'esgf_stac_east'}) eq 't';
}), 'the standby has the slot');

# Without the standby, the relay is given nothing.
my $stopped = time;
$standby->stop;
add_events($primary, 101, 110);
ok($primary->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'WaitForStandbyConfirmation'}),
	'the server waits for the standby');
is(items(), 100, 'and the relay with it');

# The server warns of it every second.
my $warning = qr/replication slot \\?"standby\\?" specified in parameter .* does not have active_pid/;
wait_for('five warnings', sub { 5 <= (() = slurp_file($primary->logfile) =~ /$warning/g) });
my @said = slurp_file($log) =~ /$warning/g;
ok(1 <= @said && @said <= 1 + (time - $stopped) / 60, 'the relay says so once, and then once a minute') or diag scalar @said;
$standby->start;
wait_for('110 events', sub { items() == 110 });

# The primary dies with a change that the standby lacks, and so does the index.
$standby->stop;
add_events($primary, 111, 120);
$primary->stop('immediate');
$standby->start;
$standby->promote;
# The setting came with the backup; its slot did not.
$standby->safe_psql('postgres', q{ALTER SYSTEM SET synchronized_standby_slots = ''});
$standby->reload;
add_events($standby, 121, 130);
wait_for('what follows', sub { items() == 120 });
is(scalar(grep { /"item-11[1-9]"|"item-120"/ } read_lines("$dir/east")), 0, 'what the standby never had reached no index');
is(stop_relay($relay), 0, 'the relay goes on with the standby');
unlike(slurp_file($log), qr/made slot|history-diverged/, 'in the slot that was there');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.outbox}), 120, 'as many events as the database has');

done_testing();
