# What is known to be delivered where no relay tells: of a subscription, by its
# slot; and what a standby knows of both.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('source', "synchronous_commit = off\nwal_writer_delay = 1s\n");
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";
my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->start;
$other->safe_psql('postgres', q{
	CREATE SCHEMA esgf_stac;
	CREATE TABLE esgf_stac.outbox (seq bigint PRIMARY KEY, id uuid, aggregatetype text, aggregateid text, type text, version bigint, payload jsonb,
		occurred_at timestamptz, reason text, batch text, streams text[], left_streams text[], request_id text, xid xid8,
		validated_against jsonb, warnings jsonb)});
new_items($node, 1, 3);

sub patch
{
	my ($item) = @_;
	return $node->safe_psql('postgres', "SELECT event_id FROM esgf_stac.patch_item('CMIP6', 'item-$item.v1', jsonb_build_object('properties', jsonb_build_object('at', clock_timestamp())))");
}

sub state_of
{
	my ($event, $stream, $server) = @_;
	return ($server // $node)->safe_psql('postgres', "SELECT state FROM esgf_stac.delivery_status('$event') WHERE stream = '$stream'");
}

sub waited
{
	my ($event, $stream, $server, $time) = @_;
	$time //= '60 s';
	return ($server // $node)->safe_psql('postgres', "SELECT state FROM esgf_stac.wait_for_delivery('$event', '{$stream}', '$time')");
}

sub subscriber_has
{
	my ($event) = @_;
	return $other->safe_psql('postgres', "SELECT count(*) FROM esgf_stac.outbox WHERE id = '$event'");
}

# A subscription to a slot that --create made: its row is none of a relay's that delivers.
my $before = patch(1);
new_stream($node, 'theirs');
my $pending = patch(1);
is(state_of($before, 'theirs'), 'not-concerned', 'what is older than the slot does not concern its reader');
is(state_of($pending, 'theirs'), 'pending', 'nobody reads it yet');
my $source = $node->connstr('postgres') =~ s/'/''/gr;
$other->safe_psql('postgres', "CREATE SUBSCRIPTION theirs CONNECTION '$source' PUBLICATION esgf_stac_theirs WITH (slot_name = 'esgf_stac_theirs', create_slot = false, copy_data = false)");
is(waited($pending, 'theirs'), 'delivered', 'a subscription has it');
is(subscriber_has($pending), 1, 'it has');

# A commit that is visible before it is flushed is no less pending for that.
my $early = 0;
for my $i (1 .. 10)
{
	my $event = patch(2);
	my $known = state_of($event, 'theirs') eq 'delivered';
	$early ||= $known && !subscriber_has($event);
	$known = waited($event, 'theirs') eq 'delivered' if $i % 5 == 0;
	$early ||= $known && !subscriber_has($event);
}
ok(!$early, 'never before the subscriber has it');
$other->safe_psql('postgres', 'ALTER SUBSCRIPTION theirs DISABLE');
$node->poll_query_until('postgres', q{SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'esgf_stac_theirs'});
$pending = patch(2);
is(waited($pending, 'theirs', $node, '0.5 s'), 'pending', 'a subscription that is disabled has nothing');

# A relay that comes by mistake, and is refused, takes no stream away from its reader.
$other->safe_psql('postgres', 'ALTER SUBSCRIPTION theirs ENABLE');
$node->poll_query_until('postgres', q{SELECT active FROM pg_replication_slots WHERE slot_name = 'esgf_stac_theirs'});
my ($status) = run_relay($node, '--stream', 'theirs', '--sink', "ndjson:$dir/theirs", '--no-loop');
is($status, 4, 'a stream has one reader');
is(waited($pending, 'theirs'), 'delivered', 'which has gone on');
is(waited(patch(3), 'theirs'), 'delivered', 'and goes on');

# A slot without any row.
$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('bare')});
is(waited(patch(3), 'bare', $node, '0'), 'pending', 'a stream without a slot');
$node->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('esgf_stac_bare', 'pgoutput')});
$pending = patch(3);
is(waited($pending, 'bare', $node, '0.3 s'), 'pending', 'a slot that nobody reads');
ok(wait_for('its reader to confirm', sub {
			$node->safe_psql('postgres', q{CHECKPOINT; SELECT pg_replication_slot_advance('esgf_stac_bare', pg_current_wal_flush_lsn())});
			return waited($pending, 'bare', $node, '0') eq 'delivered' }), 'once its reader has confirmed it');

# On a standby, the row of a relay counts; slots are not there.
new_stream($node, 'east');
my $relay = start_relay($node, $log, '--stream', 'east', '--sink', "ndjson:$dir/east");
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
my $event = patch(1);
is(waited($event, 'east'), 'delivered', 'the relay delivers');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is(waited($event, 'east', $standby), 'delivered', 'the standby hears of it');
is(state_of($event, 'theirs', $standby), 'pending', 'of the slot of another it knows nothing');
is($standby->safe_psql('postgres', "SELECT count(*) FROM esgf_stac.delivery_status('$event')"), 3, 'each stream has a row there');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$standby->poll_query_until('postgres', q{SELECT pg_get_wal_replay_pause_state() = 'paused'});
$event = patch(2);
is(waited($event, 'east'), 'delivered', 'what the standby has not heard of');
my (undef, undef, $stderr) = $standby->psql('postgres', "SELECT * FROM esgf_stac.wait_for_delivery('$event')");
like($stderr, qr/event $event does not exist/, 'is not there');
is(state_of($event, 'east', $standby), '', 'nor has it a state');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is(waited($event, 'east', $standby), 'delivered', 'until it has heard of it');

stop_relay($relay);
$other->safe_psql('postgres', 'DROP SUBSCRIPTION theirs');
$standby->stop;
$node->stop;
$other->stop;
done_testing();
