# An event that its sink refuses counts as done once its dead letter is
# committed, whatever happens on the way to that.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

# The index is a server of its own: it outlives the catalogue's.
my $node = catalogue_node('source', "synchronous_commit = off\nwal_writer_delay = 10s\n");
my $dir  = PostgreSQL::Test::Utils::tempdir;
my $log  = "$dir/log";
my $index = PostgreSQL::Test::Cluster->new('index');
$index->init;
$index->start;
$index->safe_psql('postgres', q{
	CREATE TABLE items (collection_id text, item_id text, version bigint NOT NULL, document jsonb CHECK (NOT document ? 'poison'),
		PRIMARY KEY (collection_id, item_id))});
new_stream($node, 'a');
my @read = ('--stream', 'a', '--sink', 'postgres:' . $index->connstr('postgres') . '#items', '--status-interval', 1);

sub emit
{
	my ($item, $document) = @_;
	$node->safe_psql('postgres', qq{
		INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
		VALUES (gen_random_uuid(), 'CMIP6', '$item', 'item.updated', 1, '$document', now(), '{}')});
	return;
}

sub has_letter
{
	my ($item) = @_;
	return $node->safe_psql('postgres', "SELECT count(*) FROM esgf_stac.dead_letter WHERE item_id = '$item'");
}

sub has_item
{
	my ($item) = @_;
	return $index->safe_psql('postgres', "SELECT count(*) FROM items WHERE item_id = '$item'");
}

sub confirmed
{
	my ($position) = @_;
	return $node->safe_psql('postgres', "SELECT confirmed_flush_lsn >= '$position' FROM pg_replication_slots WHERE slot_name = 'esgf_stac_a'") eq 't';
}

# Whether the relay waits to write a letter.
sub relay_waits
{
	return $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity
		 WHERE wait_event_type = 'Lock' AND query ~ '^INSERT INTO esgf_stac.dead_letter'});
}

my $relay = start_relay($node, $log, @read);
my $end_relay_session = q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query ~ '^INSERT INTO esgf_stac.dead_letter'};
my %obstacles = (
	'its session is terminated' => sub { $node->safe_psql('postgres', $end_relay_session) },
	'the server crashes'        => sub { $node->stop('immediate'); $node->start },
	'the server is restarted'   => sub { $node->restart },
	'the relay is killed' => sub { kill_relay($relay); $relay = start_relay($node, $log, @read) });
my $number = 0;
for my $obstacle (sort keys %obstacles)
{
	$number++;
	my $session = open_session($node);
	in_session($session, 'BEGIN; LOCK TABLE esgf_stac.dead_letter IN SHARE MODE;');
	emit("bad-$number",  '{"poison": 1}');
	emit("good-$number", '{}');
	my $position = wal_end($node);
	wait_for('the relay to wait', sub { relay_waits() });
	ok(!confirmed($position), "$obstacle: nothing is confirmed before");
	$obstacles{$obstacle}->();
	eval { in_session($session, 'COMMIT;') };   # the server may be gone
	eval { $session->{psql}->kill_kill };
	wait_for('the rest', sub { has_item("good-$number") });
	wait_for('the confirmation', sub { confirmed($position) });
	is(has_letter("bad-$number"), 1, "$obstacle: the letter is there once all is confirmed");
}

# It is committed then, for the server's own crash too.
emit('bad-last', '{"poison": 1}');
my $position = wal_end($node);
wait_for('the confirmation', sub { confirmed($position) });
$node->stop('immediate');
$node->start;
is(has_letter('bad-last'), 1, 'a crash with synchronous_commit off takes no letter back');
is(stop_relay($relay), 0, 'stops');

done_testing();
