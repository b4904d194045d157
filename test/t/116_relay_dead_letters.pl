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
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";
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
	'the server crashes' => sub { $node->stop('immediate'); $node->start },
	'the server is restarted' => sub { $node->restart },
	'the relay is killed' => sub { kill_relay($relay); $relay = start_relay($node, $log, @read) });
my $number = 0;
for my $obstacle (sort keys %obstacles)
{
	$number++;
	my $session = open_session($node);
	in_session($session, 'BEGIN; LOCK TABLE esgf_stac.dead_letter IN SHARE MODE;');
	emit("bad-$number", '{"poison": 1}');
	emit("good-$number", '{}');
	my $position = wal_end($node);
	wait_for('the relay to wait', sub { relay_waits() });
	ok(!confirmed($position), "$obstacle: nothing is confirmed before");
	$obstacles{$obstacle}->();
	eval { in_session($session, 'COMMIT;') };    # the server may be gone
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

# Attempts are counted on where a session ends between them, for as many events
# as a batch may have now: SIGHUP has raised that.
$index->safe_psql('postgres', q{
	CREATE TABLE tried (LIKE items INCLUDING ALL);
	CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
	CREATE TRIGGER fail BEFORE INSERT ON tried FOR EACH ROW EXECUTE FUNCTION fail()});
new_stream($node, 'b');
my ($few, $many) = (2, 300);

sub configure
{
	my ($batch) = @_;
	unlink "$dir/conf";
	append_to_file("$dir/conf", "stream = b\nsink = postgres:" . $index->connstr('postgres') . "#tried\nmax-attempts = 1000\nbatch = $batch\n");
	return;
}

sub failed_attempts
{
	my ($item) = @_;
	return join ' ', slurp_file("$dir/tried.log") =~ /attempt (\d+) failed: \S+ of CMIP6 $item:/g;
}
configure($few);
$relay = start_relay($node, "$dir/tried.log", '--config', "$dir/conf");
add_events($node, 1, $many);
wait_for('attempts', sub { failed_attempts("item-$few") =~ /\b2\b/ });
configure($many);
my $end_session = q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type IN ('client backend', 'walsender')};
$relay->signal('HUP');
$node->safe_psql('postgres', $end_session);
wait_for('attempts with more', sub { (() = slurp_file("$dir/tried.log") =~ /attempt 2 failed/g) > 10 * $few });
$node->safe_psql('postgres', $end_session);
wait_for('more attempts', sub { failed_attempts('item-1') =~ /\b5\b/ });
like(failed_attempts('item-1'), qr/^1 2 3 4 5/, 'attempts are counted on');
$index->safe_psql('postgres', 'DROP TRIGGER fail ON tried');
wait_for('the items', sub { $index->safe_psql('postgres', 'SELECT count(*) FROM tried') == $many });
my %first;
$first{$_}++ for slurp_file("$dir/tried.log") =~ /attempt 1 failed: \S+ of CMIP6 (\S+):/g;
is(join(' ', grep { $first{$_} > 1 } sort keys %first), '', 'for each event');
is(stop_relay($relay), 0, 'and all of them are delivered in the end');

done_testing();
