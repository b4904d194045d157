# What is known to be delivered where a stream begins, loses its slot, or comes
# from another cluster: an event that it never carried is not its concern, and
# one that it will carry again, or may lack, is pending.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('source');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";
my $index = PostgreSQL::Test::Cluster->new('index');
$index->init;
$index->start;
$index->safe_psql('postgres', q{CREATE DATABASE other});

sub patch
{
	my ($item) = @_;
	return $node->safe_psql('postgres', "SELECT event_id FROM esgf_stac.patch_item('CMIP6', 'item-$item.v1', jsonb_build_object('properties', jsonb_build_object('at', clock_timestamp())))");
}

sub state_of
{
	my ($event, $stream) = @_;
	return $node->safe_psql('postgres', "SELECT state FROM esgf_stac.delivery_status('$event') WHERE stream = '$stream'");
}

sub becomes
{
	my ($event, $stream, $state, $what) = @_;
	return ok(wait_for($what, sub { state_of($event, $stream) eq $state }), $what);
}

sub sink
{
	my ($stream, $database) = @_;
	return ('--stream', $stream, '--sink', 'postgres:' . $index->connstr($database // 'postgres') . "#$stream");
}

# A session that keeps the sink from taking an item.
sub hold_up
{
	my ($stream, $item) = @_;
	my $session = open_session($index);
	in_session($session, "BEGIN; INSERT INTO $stream AS i VALUES ('CMIP6', 'item-$item.v1', 0, NULL) ON CONFLICT (collection_id, item_id) DO UPDATE SET version = i.version;");
	return $session;
}

new_items($node, 1, 5);

# Another stream is made before, and stands still.
new_stream($node, 'still');
my $old = patch(1);
new_stream($node, 'east');
my $new = patch(2);
is(state_of($old, 'east'), 'not-concerned', 'an event of before does not concern it');
is(state_of($new, 'east'), 'pending', 'one of after does');
my $relay = start_relay($node, $log, sink('east'));
becomes($new, 'east', 'delivered', 'the relay delivers it');
my $later = patch(3);
becomes($later, 'east', 'delivered', 'and so on');
is($node->safe_psql('postgres', "SELECT o.xid < c.horizon FROM esgf_stac.outbox o, esgf_stac.consumer c WHERE o.id = '$old' AND c.stream = 'east'"), 't', 'the horizon has passed the one of before');
is(state_of($old, 'east'), 'not-concerned', 'which still does not concern it');
is(state_of($old, 'still'), 'pending', 'another stream waits for it');

# The slot is lost: the one in its place stands beyond what is still to be repeated.
stop_relay($relay);
my @lost = map { patch($_) } 1 .. 2;
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('esgf_stac_east')});
my $session = hold_up('east', 1);
$relay = start_relay($node, $log, sink('east'));
wait_for('the sink to be held up', sub { sink_waits($index) });
is($node->safe_psql('postgres', q{SELECT confirmed_flush_lsn >= pg_current_wal_insert_lsn() - 10000 FROM pg_replication_slots WHERE slot_name = 'esgf_stac_east'}), 't', 'there is a new slot');
is(state_of($_, 'east'), 'pending', 'what it stands beyond is pending') for @lost;
is(state_of($later, 'east'), 'delivered', 'what was delivered before, is');
kill_relay($relay);
$relay = start_relay($node, $log, sink('east'));
is(state_of($_, 'east'), 'pending', 'also once the relay was killed') for @lost;
roll_back($session);
becomes($_, 'east', 'delivered', 'until it is repeated') for @lost;

# No relay has delivered from a slot that --create made; then one has a sink for it, and its slot is lost at once.
new_stream($node, 'late');
my $first = patch(4);
is(state_of($first, 'late'), 'pending', 'a slot that nobody reads');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('esgf_stac_late')});
$index->safe_psql('postgres', 'CREATE TABLE late (LIKE east INCLUDING ALL)');
$session = hold_up('late', 4);
my $late = start_relay($node, "$dir/late", sink('late'));
wait_for('the sink to be held up', sub { sink_waits($index) });
is(state_of($first, 'late'), 'pending', 'the one in its place says nothing');
roll_back($session);
becomes($first, 'late', 'delivered', 'its relay does');
stop_relay($late);

# Seeded, a stream has what is older than itself.
$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('seeded')});
$index->safe_psql('postgres', 'CREATE TABLE seeded (LIKE east INCLUDING ALL)');
$session = hold_up('seeded', 1);
my $seeding = start_relay($node, "$dir/seeding", sink('seeded'), '--create', '--snapshot');
wait_for('the sink to be held up', sub { sink_waits($index) });
my $meanwhile = patch(5);
is(state_of($old, 'seeded'), 'not-concerned', 'while it is seeded, what is older is not its concern');
is(state_of($meanwhile, 'seeded'), 'pending', 'what comes meanwhile is pending');
roll_back($session);
becomes($old, 'seeded', 'delivered', 'then the older is delivered');
becomes($meanwhile, 'seeded', 'delivered', 'and the newer');
stop_relay($seeding);

# From the beginning: what is older will be delivered, and is pending until then.
$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('whole')});
$index->safe_psql('postgres', 'CREATE TABLE whole (LIKE east INCLUDING ALL)');
$session = hold_up('whole', 1);
my $whole = start_relay($node, "$dir/whole", sink('whole'), '--create', '--from-beginning');
wait_for('the sink to be held up', sub { sink_waits($index) });
is(state_of($old, 'whole'), 'pending', 'from the beginning, what is older is pending');
roll_back($session);
becomes($old, 'whole', 'delivered', 'until the sink has it');
stop_relay($whole);

# A letter is known with what is behind its event, whichever of two snapshots one asks under.
$index->safe_psql('postgres', q{ALTER TABLE east ADD CHECK (NOT document -> 'properties' ? 'poison')});
$session = open_session($node);
my $bad = $node->safe_psql('postgres', q{SELECT event_id FROM esgf_stac.patch_item('CMIP6', 'item-1.v1', '{"properties": {"poison": 1}}')});
in_session($session, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 'snapshot';");
becomes($bad, 'east', 'refused', 'a sink refuses an event');
becomes(patch(2), 'east', 'delivered', 'one behind it is delivered');
in_session($session, "SELECT 'state ' || state FROM esgf_stac.delivery_status('$bad') WHERE stream = 'east';");
unlike($session->{out}, qr/state delivered/, 'an older snapshot does not take it for delivered');
in_session($session, 'COMMIT;');
$session->{in} .= "\\q\n";
$session->{psql}->finish;

# What was restored from elsewhere, before the stream is begun anew.
stop_relay($relay);
$node->safe_psql('postgres', 'CREATE DATABASE restored');
system_or_bail('sh', '-c', "pg_dump -Fc '" . $node->connstr('postgres') . "' | pg_restore -d '" . $node->connstr('restored') . "'");
my $restored = sub { $node->safe_psql('restored', "SELECT state FROM esgf_stac.delivery_status('$_[0]') WHERE stream = 'east'") };
is($restored->($later), 'pending', 'the row of a catalogue that was restored says nothing');
is($restored->($bad), 'pending', 'nor do its letters');
$node->safe_psql('postgres', q{UPDATE esgf_stac.consumer SET system_identifier = system_identifier + 1});
is(state_of($later, 'east'), 'pending', 'nor does that of another cluster');

$index->stop;
$node->stop;
done_testing();
