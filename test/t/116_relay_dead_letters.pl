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
	my ($position, $stream) = @_;
	$stream //= 'a';
	return $node->safe_psql('postgres', "SELECT confirmed_flush_lsn >= '$position' FROM pg_replication_slots WHERE slot_name = 'esgf_stac_$stream'") eq 't';
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
$node->append_conf('postgresql.conf', "synchronous_commit = on\n");
$node->start;
is(has_letter('bad-last'), 1, 'a crash with synchronous_commit off takes no letter back');
is(stop_relay($relay), 0, 'stops');

# Attempts are counted on where a session ends between them, for as many events
# as a batch may have now: SIGHUP has raised that. Each fails as often as it may.
$index->safe_psql('postgres', q{
	CREATE TABLE tried (LIKE items INCLUDING ALL);
	CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
	CREATE TRIGGER fail BEFORE INSERT ON tried FOR EACH ROW EXECUTE FUNCTION fail()});
new_stream($node, 'b');
my ($few, $many, $attempts) = (2, 40, 6);
my ($first, $last) = ($few + 1, $few + $many);

sub configure
{
	my ($batch) = @_;
	unlink "$dir/conf";
	append_to_file("$dir/conf",
		"stream = b\nsink = postgres:" . $index->connstr('postgres') . "#tried\nmax-attempts = $attempts\nbatch = $batch\n");
	return;
}

sub failed_attempts
{
	my ($item) = @_;
	return join ' ', slurp_file("$dir/tried.log") =~ /attempt (\d+) failed: \S+ of CMIP6 $item:/g;
}

sub end_session
{
	$node->safe_psql('postgres', q{
		SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		 WHERE pid <> pg_backend_pid() AND backend_type IN ('client backend', 'walsender')});
	return;
}

# Have events come, all at once: they lie ready before the relay goes on.
sub add_at_once
{
	$relay->signal('STOP');
	add_events($node, @_);
	my $end = $node->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
	wait_for('the events to be sent', sub { $node->safe_psql('postgres', "SELECT sent_lsn >= '$end' FROM pg_stat_replication") eq 't' });
	$relay->signal('CONT');
	return;
}

configure($few);
$relay = start_relay($node, "$dir/tried.log", '--config', "$dir/conf");
add_events($node, 1, $few);
$position = wal_end($node);
wait_for('attempts', sub { -e "$dir/tried.log" && failed_attempts('item-1') =~ /\b2\b/ });
configure($many);
$relay->signal('HUP');
end_session();
wait_for('the end of the few', sub { confirmed($position, 'b') });
add_at_once($first, $last);
wait_for('attempts with more', sub { failed_attempts("item-$last") =~ /\b2\b/ });
end_session();
wait_for('the end of all', sub { has_letter("item-$last") });
like(slurp_file("$dir/tried.log"), qr/attempt 1 failed: \S+ of CMIP6 item-$last:.*attempt 2 failed: \S+ of CMIP6 item-$first:/s,
	'all of them are in one batch');
my @miscounted = grep { failed_attempts("item-$_") ne join(' ', 1 .. $attempts - 1) } 1 .. $last;
is("@miscounted", '', 'attempts are counted on, for each event');
is(stop_relay($relay), 0, 'stops');

done_testing();
