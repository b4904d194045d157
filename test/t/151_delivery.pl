# Is it known that a sink has an event? Never before it has, and soon after,
# whatever happens: sinks that are stopped, slow and refusing, relays and servers
# that are killed, transactions that stay open. How soon is printed.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;
use Time::HiRes qw(time usleep);

# The index is a server of its own: it outlives the catalogue's.
my $node = catalogue_node('source');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";
my $index = PostgreSQL::Test::Cluster->new('index');
$index->init;
$index->start;
$index->safe_psql('postgres', q{
	CREATE TABLE items (collection_id text, item_id text, version bigint NOT NULL, document jsonb CHECK (NOT document ? 'poison' AND NOT document -> 'properties' ? 'poison'),
		PRIMARY KEY (collection_id, item_id))});
$node->safe_psql('postgres', q{CREATE DATABASE elsewhere});
new_stream($node, 'east');
my @read = ('--stream', 'east', '--sink', 'postgres:' . $index->connstr('postgres') . '#items', '--status-interval', 3600);

# Write an event, a transaction of its own.
sub emit
{
	my ($item, $version, $document) = @_;
	$version //= 1;
	$document //= '{}';
	return $node->safe_psql('postgres', qq{
		INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
		VALUES (gen_random_uuid(), 'CMIP6', '$item', 'item.updated', $version, '$document', now(), '{}') RETURNING id});
}

sub state_of
{
	my ($event) = @_;
	return $node->safe_psql('postgres', "SELECT state FROM esgf_stac.delivery_status('$event')");
}

sub at_sink
{
	my ($item, $version) = @_;
	$version //= 1;
	return $index->safe_psql('postgres', "SELECT count(*) FROM items WHERE item_id = '$item' AND version >= $version");
}

# Wait until an event is known to be delivered, and see that its item is there then.
sub delivered
{
	my ($event, $item, $what, $version) = @_;
	my $there;
	my $early = 0;
	wait_for($what, sub {
			my $known = state_of($event) eq 'delivered';
			$there //= time if at_sink($item, $version);
			$early ||= $known && !$there;
			return $known;
	});
	ok(!$early, "$what: not before the sink has it");
	note(sprintf '%s: known %.2f s after it was seen at the sink', $what, time - ($there // time));
	return;
}

# A session that keeps the sink from taking an item.
sub hold_up
{
	my ($item) = @_;
	my $session = open_session($index);
	in_session($session, "BEGIN; INSERT INTO items VALUES ('CMIP6', '$item', 0, NULL);");
	return $session;
}

my $relay = start_relay($node, $log, @read);
delivered(emit('quiet'), 'quiet', 'an idle server');

# What an open transaction holds back is the horizon alone.
my %open = (in => '', out => '');
$open{psql} = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('elsewhere') ], '<', \$open{in}, '>', \$open{out}, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
in_session(\%open, 'BEGIN; CREATE TABLE t (a int); SELECT pg_current_xact_id();');
my ($held) = $open{out} =~ /^(\d+)$/m;
for my $i (1 .. 3)
{
	my $event = emit("open-$i");
	delivered($event, "open-$i", "a transaction stays open, $i");
}
is($node->safe_psql('postgres', "SELECT horizon <= '$held' FROM esgf_stac.consumer"), 't', 'the horizon waits for it');

# More transactions of others than a snapshot tells of: then the WAL must tell.
my $burn = q{DO $$ BEGIN FOR i IN 1 .. 1500 LOOP BEGIN PERFORM pg_current_xact_id(); RAISE 'no'; EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$};
$node->safe_psql('elsewhere', $burn);
delivered(emit('far'), 'far', 'after 1500 transactions of others');

# On an idle stream, nothing is written.
wait_for('the relay to be still', sub {
		my $row = $node->safe_psql('postgres', 'SELECT ctid, xmin, updated FROM esgf_stac.consumer');
		usleep(1_500_000);
		return $node->safe_psql('postgres', 'SELECT ctid, xmin, updated FROM esgf_stac.consumer') eq $row;
});
pass('an idle stream writes nothing');

# A slow sink: what it has is known, whatever it is about to take.
my $session = hold_up('slow-2');
my @slow = map { emit("slow-$_") } 1 .. 3;
wait_for('the sink to be held up', sub { sink_waits($index) });
ok(state_of($slow[1]) eq 'pending' && state_of($slow[2]) eq 'pending', 'what the sink has not taken is pending');
roll_back($session);
delivered($slow[ $_ - 1 ], "slow-$_", "a slow sink, $_") for 1 .. 3;
is(stop_relay($relay), 0, 'stops');

$relay = start_relay($node, $log, @read, '--batch', 1);
delivered(emit('again'), 'again', 'one by one');
$session = hold_up('one-2');
my @one = map { emit("one-$_") } 1 .. 2;
wait_for('the sink to be held up', sub { sink_waits($index) });
delivered($one[0], 'one-1', 'an event while the next one is held up');
is(state_of($one[1]), 'pending', 'which is pending');
roll_back($session);
delivered($one[1], 'one-2', 'until it is taken');
stop_relay($relay);
$relay = start_relay($node, $log, @read);

# A sink that is down.
delivered(emit('up'), 'up', 'a sink that is up');
$index->stop('immediate');
my $event = emit('down');
wait_for('the relay to notice', sub { slurp_file($log) =~ /sink is down/ });
is(state_of($event), 'pending', 'a sink that is down has nothing');
$index->start;
delivered($event, 'down', 'a sink that was down');

# A sink that refuses: the letter is there before anything says that the event is past.
my $bad = emit('bad', 1, '{"poison": 1}');
my $good = emit('good');
delivered($good, 'good', 'an event behind a refused one');
is(state_of($bad), 'refused', 'what is refused is not delivered');
delivered(emit('bad', 2), 'bad', 'a later version', 2);
is(state_of($bad), 'delivered', 'with a later version at the sink, it is');
new_items($node, 1, 1);
$bad = $node->safe_psql('postgres', q{SELECT event_id FROM esgf_stac.patch_item('CMIP6', 'item-1.v1', '{"properties": {"poison": 1}}')});
wait_for('the refusal', sub { state_of($bad) eq 'refused' });
is($node->safe_psql('postgres', "SELECT state FROM esgf_stac.wait_for_delivery('$bad')"), 'refused', 'who waits for it need not wait for long');
$index->safe_psql('postgres', 'ALTER TABLE items DROP CONSTRAINT items_document_check');
$node->safe_psql('postgres', q{SELECT esgf_stac.redrive('east')});
delivered($bad, 'item-1.v1', 'what redrive() has the sink take', 2);

# Kill the relay, its server, both: while the sink is held up, and while it is not.
my %kills = (
	'the relay is killed' => sub { kill_relay($relay); $relay = start_relay($node, $log, @read) },
	'the server crashes' => sub { $node->stop('immediate'); $node->start },
	'both are killed' => sub { kill_relay($relay); $node->stop('immediate'); $node->start; $relay = start_relay($node, $log, @read) },
	'the sink crashes' => sub { $index->stop('immediate'); $index->start });
my $number = 0;
for my $kill (sort keys %kills)
{
	$number++;
	$session = hold_up("kill-$number");
	$event = emit("kill-$number");
	wait_for('the sink to be held up', sub { sink_waits($index) });
	$kills{$kill}->();
	is(state_of($event), 'pending', "$kill while the sink is held up: pending");
	eval { roll_back($session) };
	eval { $session->{psql}->kill_kill };
	delivered($event, "kill-$number", $kill);
	$event = emit("free-$number");
	$kills{$kill}->();
	delivered($event, "free-$number", "$kill at any time");
}
$open{psql}->kill_kill;
is(stop_relay($relay), 0, 'stops');
$index->stop;
$node->stop;
done_testing();
