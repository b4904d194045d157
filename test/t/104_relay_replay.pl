# A slot that is lost, in whatever way, loses no event; an empty index can be
# seeded.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('replay', "max_wal_size = 64MB\nmin_wal_size = 32MB\nwal_keep_size = 0\n");
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";

# Run a stream up to now; the versions that come, as "item:version".
sub deliver
{
	my ($stream, @arguments) = @_;
	my ($status, $stdout, $stderr) =
	  run_relay($node, '--stream', $stream, '--sink', 'ndjson:-', '--endpos', wal_end($node), @arguments);
	is($status, 0, "$stream: exit status") or diag $stderr;
	return join ' ', map { /"item_id":"item-(\d+)[^"]*","version":(\d+),/ ? "$1:$2" : () } split /\n/, $stdout;
}

sub drop_slot
{
	my ($stream) = @_;
	$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('esgf_stac_$stream')");
	return;
}

# A slot dropped by hand, with events pending.
new_stream($node, 'a');
add_events($node, 1, 3, 1);
is(deliver('a'), '1:1 2:1 3:1', 'all events');
add_events($node, 1, 2, 2);
drop_slot('a');
add_events($node, 1, 1, 3);
like(deliver('a'), qr/\b1:2 2:2 1:3$/, 'a slot that was dropped loses nothing');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'esgf_stac_a'}),
	1, 'it was made again');
is(deliver('a'), '', 'and nothing comes twice afterwards');

# Dropped before anything was delivered.
new_stream($node, 'early');
add_events($node, 1, 1, 4);
drop_slot('early');
like(deliver('early'), qr/\b1:4$/, 'a slot dropped before the first delivery');

# Dropped, and made again by somebody else.
deliver('a');
add_events($node, 1, 1, 5);
drop_slot('a');
$node->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('esgf_stac_a', 'pgoutput')});
like(deliver('a'), qr/\b1:5$/, 'a slot that somebody made anew has skipped events, which come');

# Advanced by somebody else.
add_events($node, 1, 1, 6);
$node->safe_psql('postgres', q{SELECT pg_replication_slot_advance('esgf_stac_a', pg_current_wal_lsn())});
like(deliver('a'), qr/\b1:6$/, 'so has a slot that somebody advanced');

# A commit that is overtaken: it is older by sequence and by transaction than
# what was delivered, but younger by commit.
my $insert = q{INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
	VALUES (gen_random_uuid(), 'CMIP6', 'item-%d', 'item.published', 1, '{}', now(), '{}');};
my $slow = open_session($node);
in_session($slow, 'BEGIN; ' . sprintf($insert, 77));
$node->safe_psql('postgres', sprintf($insert, 78));
like(deliver('a'), qr/\b78:1$/, 'a transaction overtakes another');
drop_slot('a');
in_session($slow, 'COMMIT;');
$slow->{psql}->finish;
like(deliver('a'), qr/\b77:1\b/, 'the other is not forgotten when the slot is lost');

# Only the rows of the stream are repeated.
new_stream($node, 'part', q{, '{CMIP6}', '$.n == 1'});
$node->safe_psql('postgres', q{
	INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, streams, left_streams, identity)
	SELECT gen_random_uuid(), c, 'item-9', 'item.updated', v, '{}', now(), streams::text[], left_streams::text[], '{}'
	  FROM (VALUES ('CMIP6', 1, '{part}', NULL), ('CMIP6', 2, NULL, '{part}'), ('CMIP7', 3, '{part}', NULL), ('CMIP6', 4, NULL, NULL)) e (c, v, streams, left_streams)});
drop_slot('part');
is(deliver('part'), '9:1 9:2', 'a filtered stream is repeated filtered');

# Invalidated by max_slot_wal_keep_size.
deliver('a');
add_events($node, 1, 1, 7);
$node->safe_psql('postgres', q{ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'});
$node->reload;
$node->safe_psql('postgres', q{CREATE TABLE noise (t text)});
for (1 .. 5)
{
	$node->safe_psql('postgres', q{INSERT INTO noise SELECT repeat(md5(i::text), 50) FROM generate_series(1, 5000) i; SELECT pg_switch_wal()});
	$node->safe_psql('postgres', 'CHECKPOINT');
}
is($node->safe_psql('postgres', q{SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'esgf_stac_a'}), 'lost', 'an invalidated slot');
like(deliver('a'), qr/\b1:7$/, 'is replaced without loss');
$node->safe_psql('postgres', q{ALTER SYSTEM RESET max_slot_wal_keep_size});
$node->reload;

# A replay that was interrupted begins again.
deliver('a');
add_events($node, 1, 5000, 8, 'x' x 1000);
drop_slot('a');
my $relay = start_relay($node, $log, '--stream', 'a', '--sink', "ndjson:$dir/interrupted");
wait_for('the replay to begin', sub { -s "$dir/interrupted" });
kill_relay($relay);
run_relay($node, '--stream', 'a', '--sink', "ndjson:$dir/interrupted", '--endpos', wal_end($node));
my %seen = map { $_->{item_id} => 1 } grep { $_->{version} == 8 } read_events("$dir/interrupted");
is(scalar(keys %seen), 5000, 'a replay that was killed is done anew');

# The horizon follows, so that a later replay is short.
new_stream($node, 'b');
$relay = start_relay($node, $log, '--stream', 'b', '--sink', "ndjson:$dir/b");
add_events($node, 1, 10, 9);
wait_for('ten events', sub { read_lines("$dir/b") == 10 });
ok($node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM esgf_stac.outbox WHERE xid >= (SELECT horizon FROM esgf_stac.consumer WHERE stream = 'b')}),
	'the horizon passes what was delivered');

# An idle relay writes no more WAL.
my $before = wal_end($node);
$node->poll_query_until('postgres', "SELECT confirmed_flush_lsn >= '$before' FROM pg_replication_slots WHERE slot_name = 'esgf_stac_b'");
kill_relay($relay);
is(deliver('b'), '', 'after kill -9 of an idle relay nothing is repeated');

# --from-beginning: everything that the outbox keeps, once.
$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('all')});
my $all = $node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.outbox});
is(scalar(split / /, deliver('all', '--create', '--from-beginning')), $all, '--from-beginning');
add_events($node, 1, 1, 10);
is(deliver('all', '--from-beginning'), '1:10', 'is done once');

# --snapshot: every published item, then what follows.
new_items($node, 1, 2500);
$node->safe_psql('postgres', q{
	SELECT esgf_stac.patch_item('CMIP6', 'item-5.v1', '{"properties": {"m": 1}}');
	SELECT esgf_stac.delete_item('CMIP6', 'item-6.v1');
	SELECT esgf_stac.retract_item('CMIP6', 'item-7.v1');
	SELECT esgf_stac.create_stream('seed')});
my ($status, undef, $stderr) = run_relay($node, '--stream', 'seed', '--sink', "ndjson:$dir/seed", '--create', '--snapshot', '--endpos', wal_end($node));
is($status, 0, '--snapshot') or diag $stderr;
my @events = read_events("$dir/seed");
is(scalar(@events), 2499, 'sends every published item');
is_deeply([ grep { $_->{type} ne 'item.seeded' || defined $_->{id} } @events ], [], 'as item.seeded, without an id');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.published_item}), 2499, 'no more, no less');
my ($five) = grep { $_->{item_id} eq 'item-5.v1' } @events;
is("$five->{version} $five->{document}{properties}{m}", '2 1', 'with its version');
my ($seven) = grep { $_->{item_id} eq 'item-7.v1' } @events;
is_deeply($seven->{document}{assets}, {}, 'as published');
$node->safe_psql('postgres', q{SELECT esgf_stac.patch_item('CMIP6', 'item-8.v1', '{"properties": {"m": 1}}')});
is(deliver('seed', '--snapshot'), '8:2', 'once; then the stream follows');

# A snapshot that is interrupted goes on where it was.
$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('torn')});
POSIX::mkfifo("$dir/pipe", oct(600)) or die "mkfifo: $!";
$relay = start_relay($node, $log, '--stream', 'torn', '--sink', "ndjson:$dir/pipe", '--create', '--snapshot');
sysopen(my $pipe, "$dir/pipe", 0) or die "open: $!";
my $taken = '';
wait_for('a page', sub {
		sysread $pipe, $taken, 20000, length $taken;
		$node->safe_psql('postgres', q{SELECT snapshot_position[2] IS NOT NULL FROM esgf_stac.consumer WHERE stream = 'torn'}) eq 't';
});
kill_relay($relay);
while (sysread $pipe, $taken, 65536, length $taken) { }
$node->safe_psql('postgres', q{SELECT esgf_stac.patch_item('CMIP6', 'item-9.v1', '{"properties": {"m": 1}}')});
my $rest = deliver('torn');
cmp_ok(scalar(split / /, $rest), '<', 1600, 'an interrupted snapshot goes on, even without the option');
my %both = map { $_ => 1 } ($taken =~ /"item_id":"item-(\d+)\.v1"/g), ($rest =~ /(\d+):/g);
is(scalar(keys %both), 2499, 'and misses no item');
like($rest, qr/\b9:2$/, 'nor a change made meanwhile');

# A filtered snapshot.
$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('few', NULL, '$.properties.n <= 7')});
is(deliver('few', '--create', '--snapshot'), '1:1 2:1 3:1 4:1 5:2 7:2', 'a filtered snapshot');

# What excludes each other.
($status) = run_relay($node, '--stream', 'few', '--sink', 'ndjson:-', '--snapshot', '--from-beginning');
is($status, 2, '--snapshot with --from-beginning');

done_testing();
