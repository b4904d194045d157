# An index whose catalogue lost a part of its history, by the restore of an older
# dump or by a failover, is healed without being emptied; the stream goes on, and no
# version is given twice.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";
my $node = catalogue_node('node');

# The index: a table and a file, of servers that lose nothing.
my $index = PostgreSQL::Test::Cluster->new('index');
$index->init;
$index->start;
my %sinks = (
	table => 'postgres:' . $index->connstr('postgres') . '#items',
	evens => 'postgres:' . $index->connstr('postgres') . '#evens',
	file => "ndjson:$dir/file");

sub deliver
{
	my ($at, $stream, @arguments) = @_;
	return run_relay($at, '--stream', $stream, '--sink', $sinks{$stream}, '--no-loop', @arguments);
}

sub heal
{
	my ($at, $stream) = @_;
	my ($status, $stdout, $stderr) = deliver($at, $stream, '--verify', '--deep', '--repair');
	is($status, 0, "$stream is healed") or diag $stdout . $stderr;
	return $stdout;
}

sub patch
{
	my ($at, $item, $member, $value) = @_;
	$at->safe_psql('postgres', qq{SELECT esgf_stac.patch_item('CMIP6', 'item-$item.v1', '{"properties": {"$member": $value}}')});
	return;
}

new_items($node, 1, 20);
patch($node, $_, 'even', 'true') for grep { $_ % 2 == 0 } 1 .. 20;
$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('evens', filter => '$.properties.even == true'), esgf_stac.create_stream('table'), esgf_stac.create_stream('file')});
is((deliver($node, $_, '--create', '--snapshot', '--endpos', wal_end($node)))[0], 0, "$_ is filled") for sort keys %sinks;
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-Fc', '-f', "$dir/dump" ], 'a dump');

# What is lost: changes, an item, a deletion, and one that left the filtered stream.
patch($node, 1, 'title', '"lost"');
patch($node, 2, 'title', '"lost"') for 1;
patch($node, 2, 'title', '"lost again"');
patch($node, 4, 'even', 'false');
new_items($node, 21, 22);
$node->safe_psql('postgres', q{SELECT esgf_stac.delete_item('CMIP6', 'item-6.v1'), esgf_stac.retract_item('CMIP6', 'item-3.v1')});
patch($node, 8, 'same', '1');
is((deliver($node, $_, '--endpos', wal_end($node)))[0], 0, "$_ got it") for sort keys %sinks;

# The older dump comes back, and gives some of those versions to other changes.
my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init(allows_streaming => 'logical');
$restored->start;
$restored->safe_psql('postgres', q{CREATE ROLE anybody});
$restored->command_ok([ 'pg_restore', '-d', $restored->connstr('postgres'), '--exit-on-error', "$dir/dump" ], 'restored');
$restored->safe_psql('postgres', 'SELECT esgf_stac.adopt_catalogue()');
patch($restored, 1, 'title', '"true"');
patch($restored, 9, 'title', '"true"');
patch($restored, 8, 'same', '1');
is((deliver($restored, $_))[0], 4, "$_: the relay stops") for sort keys %sinks;
is((deliver($restored, 'table', '--verify'))[0], 4, 'nor is it compared as if nothing had been');
$node->stop('immediate');

my $table = heal($restored, 'table');
like($table, qr/^ahead +4 +4$/m, 'what is ahead');
like($table, qr/^differs +2 +2$/m, 'what has one version and two contents');
like($table, qr/^surplus +2 +2$/m, 'what is not here');
heal($restored, $_) for 'file', 'evens';
for my $stream (sort keys %sinks)
{
	my ($status, $stdout, $stderr) = deliver($restored, $stream, '--verify', '--deep');
	is($status, 0, "$stream: nothing differs") or diag $stdout . $stderr;
	patch($restored, 2, 'title', qq{"$stream"});
	($status, undef, $stderr) = deliver($restored, $stream, '--endpos', wal_end($restored));
	is($status, 0, "$stream goes on") or diag $stderr;
}

# A failover to a standby that lacked what was delivered, twice: the first time the cure is cut short.
$restored->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($restored, 'base', has_streaming => 1);
$standby->start;
$restored->wait_for_catchup($standby);
$standby->stop;
patch($restored, $_, 'title', '"lost by a failover"') for 10 .. 12;
new_items($restored, 30, 31);
is((deliver($restored, $_, '--endpos', wal_end($restored)))[0], 0, "$_ got more than the standby") for 'file', 'table';
$restored->stop('immediate');
$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
$standby->start;
$standby->promote;
patch($standby, 10, 'title', '"after the failover"');

# Killed before it has noted what it is to heal, it has begun nothing anew.
my $begun = q{SELECT concat_ws(' ', timeline, horizon, began) FROM esgf_stac.consumer WHERE stream = 'table'};
my $before = $standby->safe_psql('postgres', $begun);
my $session = open_session($standby);
in_session($session, 'BEGIN; LOCK TABLE esgf_stac.verification IN SHARE MODE;');
my $cure = start_relay($standby, $log, '--stream', 'table', '--sink', $sinks{table}, '--verify', '--deep', '--repair');
wait_for('a lock', sub { sink_waits($standby) });
kill_relay($cure);
roll_back($session);
is($standby->safe_psql('postgres', $begun), $before, 'nothing hides what is not noted');

for my $stream ('file', 'table')
{
	my ($status, undef, $stderr) = deliver($standby, $stream);
	is($status, 4, "$stream: the relay stops");
	like($stderr, qr/problem=history-diverged.*--verify --deep --repair/, 'and names the cure');
	heal($standby, $stream);
}
$standby->safe_psql('postgres', q{UPDATE esgf_stac.verification SET state = 'cancelled' WHERE stream = 'table' AND diverged});
my ($status, undef, $stderr) = deliver($standby, 'table');
is($status, 4, 'a cure that was cut short is none');
like($stderr, qr/healing it was interrupted/, 'and that is said');
heal($standby, 'table');
for my $stream ('file', 'table')
{
	patch($standby, 2, 'title', qq{"$stream"});
	($status, undef, $stderr) = deliver($standby, $stream, '--endpos', wal_end($standby));
	is($status, 0, "$stream goes on") or diag $stderr;
	my ($differs, $stdout) = deliver($standby, $stream, '--verify', '--deep');
	is($differs, 0, 'and nothing differs') or diag $stdout;
}

# No version was given twice; what was removed has none.
my %contents;
$contents{"$_->{item_id} $_->{version}"}{ JSON::PP->new->canonical->encode([ $_->{document} ]) } = 1
  for grep { $_->{item_id} && $_->{item_id} !~ /^item-(2[12]|3[01])/ } read_events("$dir/file");
is(join(', ', sort grep { keys %{ $contents{$_} } > 1 } keys %contents), '', 'no version has two contents');
done_testing();
