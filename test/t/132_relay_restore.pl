# After a restore of an older dump a sink may hold what never was: every stream is
# begun anew, whatever its sink, or not at all. pg_upgrade is no restore.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir;
my $node = catalogue_node('restore');

# Run the relay of a database up to now.
sub deliver
{
	my ($at, $database, @arguments) = @_;
	return run_relay($at, '--dbname', $at->connstr($database), '--endpos', wal_end($at), '--no-loop', @arguments);
}

sub unknown
{
	my ($at, $database) = @_;
	return $at->safe_psql($database, q{SELECT coalesce(string_agg(subject, ' ' ORDER BY subject), '') FROM esgf_stac.doctor() WHERE hazard = 'unknown history'});
}

sub change
{
	my ($at, $database, $title) = @_;
	$at->safe_psql($database, qq{SELECT esgf_stac.patch_item('CMIP6', 'item-1.v1', '{"properties": {"title": "$title"}}')});
	return;
}

# A table, a file, and what others read.
my %sinks = (table => 'postgres:' . $node->connstr('target') . '#items', file => "ndjson:$dir/file");
$node->safe_psql('postgres', 'CREATE DATABASE target');
new_items($node, 1, 3);
$node->safe_psql('postgres', "SELECT esgf_stac.create_stream('$_')") for 'late', 'others', sort keys %sinks;
for my $stream (sort keys %sinks)
{
	my ($status, undef, $stderr) = deliver($node, 'postgres', '--stream', $stream, '--create', '--snapshot', '--sink', $sinks{$stream});
	is($status, 0, "$stream is seeded") or diag $stderr;
}
change($node, 'postgres', 'dumped');
is((deliver($node, 'postgres', '--stream', $_, '--sink', $sinks{$_}))[0], 0, "$_: what is dumped was delivered") for sort keys %sinks;
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-Fc', '-f', "$dir/dump" ], 'a dump');

# The other history goes on: a version that the dump lacks, and a stream that is begun after it.
change($node, 'postgres', 'lost');
is((deliver($node, 'postgres', '--stream', $_, '--sink', $sinks{$_}))[0], 0, "$_: so was what came later") for sort keys %sinks;
is((deliver($node, 'postgres', '--stream', 'late', '--create', '--snapshot', '--sink', "ndjson:$dir/late"))[0], 0, 'late is begun');

# Into another database of the same cluster, whose name the old one leaves to it.
$node->safe_psql('postgres', "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
$node->safe_psql('template1', 'ALTER DATABASE postgres RENAME TO before; CREATE DATABASE postgres');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('postgres'), '--exit-on-error', "$dir/dump" ], 'restored');
is(unknown($node, 'before'), '', 'the old catalogue knows its history');
is(unknown($node, 'postgres'), 'file late others table', 'the restored one knows none');
$node->safe_psql('postgres', 'SELECT esgf_stac.adopt_catalogue()');
is(unknown($node, 'postgres'), 'file late others table', 'nor when it is adopted');
like($node->safe_psql('postgres', q{SELECT DISTINCT warning FROM esgf_stac.stream_status}), qr/^unknown history[^\n]*\z/, 'stream_status says so');
change($node, 'postgres', 'true');

for my $stream ('late', sort keys %sinks)
{
	my $sink = $sinks{$stream} // 'ndjson:-';
	for my $arguments ([], ['--create'], ['--snapshot'], [ '--create', '--if-not-exists', '--snapshot' ])
	{
		my ($status, undef, $stderr) = deliver($node, 'postgres', '--stream', $stream, '--sink', $sink, @$arguments);
		ok($status == 4 && $stderr =~ /problem=unknown-history.*--create --snapshot/, "$stream @$arguments") or diag "$status $stderr";
	}
}
is((deliver($node, 'postgres', '--stream', 'others', '--create'))[0], 4, 'no slot is made for others either');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), 0, 'no slot was made');

# Begun anew, in an empty index, the truth is there.
my ($status, undef, $stderr) = deliver($node, 'postgres', '--stream', 'file', '--create', '--snapshot', '--sink', $sinks{file});
ok($status == 4 && $stderr =~ /problem=history-diverged/, 'a file that was not emptied is noticed') or diag "$status $stderr";
is($node->safe_psql('postgres', q{SELECT esgf_stac.prune_outbox('0') > 0}), 't', 'the rows of the dump hold up no pruning');
$node->safe_psql('target', 'DROP TABLE items, items_source');
($status, undef, $stderr) = deliver($node, 'postgres', '--stream', 'table', '--create', '--snapshot', '--sink', $sinks{table});
is($status, 0, 'a table is seeded anew') or diag $stderr;
is($node->safe_psql('target', q{SELECT document #>> '{properties,title}' FROM items WHERE item_id = 'item-1.v1'}), 'true', 'with the truth');
is(unknown($node, 'postgres'), 'file late others', 'its history is known');
is((deliver($node, 'postgres', '--stream', 'table', '--sink', $sinks{table}))[0], 0, 'from now on');
$node->safe_psql('postgres', q{SELECT esgf_stac.drop_stream('others'), esgf_stac.create_stream('others')});
is((deliver($node, 'postgres', '--stream', 'others', '--create'))[0], 0, 'a stream that is dropped and made anew is new');

# Into another cluster.
my $other = PostgreSQL::Test::Cluster->new('other');
$other->init(allows_streaming => 'logical');
$other->start;
$other->safe_psql('postgres', 'CREATE DATABASE copy');
$other->command_ok([ 'pg_restore', '-d', $other->connstr('copy'), '--exit-on-error', "$dir/dump" ], 'restored elsewhere');
$other->safe_psql('copy', 'SELECT esgf_stac.adopt_catalogue()');
is(unknown($other, 'copy'), 'file late others table', 'another cluster knows no history');
($status, undef, $stderr) = deliver($other, 'copy', '--stream', 'table', '--create', '--sink', "ndjson:$dir/other");
like("$status $stderr", qr/^4 .*problem=unknown-history/s, 'nor does its relay');

# There the table outbox might have the OID that it had, and there may be no event: rows tell who wrote them,
# whatever else is done to them before.
$other->safe_psql('postgres', 'CREATE DATABASE again');
$other->command_ok([ 'pg_restore', '-d', $other->connstr('again'), '--exit-on-error', "$dir/dump" ], 'restored once more');
$other->safe_psql('again', q{UPDATE esgf_stac.stream SET outbox_oid = 'esgf_stac.outbox'::regclass; UPDATE esgf_stac.consumer SET outbox_oid = 'esgf_stac.outbox'::regclass;
	SET session_replication_role = replica; DELETE FROM esgf_stac.outbox; RESET session_replication_role; SELECT esgf_stac.upgrade_catalogue()});
is(unknown($other, 'again'), '', 'an OID deceives');
$other->safe_psql('again', 'SELECT esgf_stac.adopt_catalogue()');
is(unknown($other, 'again'), 'file late others table', 'but not the rows');
$other->stop;

# pg_upgrade: what relays know of transactions holds, also where events were written in savepoints, as those of an ingester are.
change($node, 'postgres', 'pending');
$node->safe_psql('postgres', q{DO $$ BEGIN FOR n IN 1..110 LOOP BEGIN
	PERFORM esgf_stac.patch_item('CMIP6', 'item-2.v1', jsonb_build_object('properties', jsonb_build_object('n', n)));
	EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$});
$node->safe_psql('postgres', 'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots');
$node->safe_psql('template1', 'DROP DATABASE before');
$node->stop;
my $new = PostgreSQL::Test::Cluster->new('new');
$new->init(allows_streaming => 'logical');
my $bin = $node->config_data('--bindir');
chdir $dir;
$new->command_ok([ 'pg_upgrade', '--no-sync', '-d', $node->data_dir, '-D', $new->data_dir, '-b', $bin, '-B', $bin, '-s', $new->host, '-p', $node->port, '-P', $new->port ], 'pg_upgrade');
$new->start;
$new->safe_psql('postgres', 'SELECT esgf_stac.upgrade_catalogue()');
$new->safe_psql('postgres', 'BEGIN; SAVEPOINT s; SELECT esgf_stac.adopt_catalogue(); RELEASE s; COMMIT');
is($new->safe_psql('postgres', 'SELECT count(*) FROM esgf_stac.catalogue WHERE xmin = written::xid'), 1, 'in a savepoint, too, a row is noted as it is written');
is(unknown($new, 'postgres'), 'file late', 'pg_upgrade is no restore');
my $target = 'postgres:' . $new->connstr('target') . '#items';
($status, undef, $stderr) = deliver($new, 'postgres', '--stream', 'table', '--sink', $target);
is($status, 0, 'a relay goes on without --create') or diag $stderr;
is($new->safe_psql('target', q{SELECT document #>> '{properties,title}' FROM items WHERE item_id = 'item-1.v1'}), 'pending', 'and brings what was written before');

done_testing();
