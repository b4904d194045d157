# Commits that stand in the WAL, so that the stream tells of them, and that
# queries do not see yet, because they wait for a synchronous standby: no slot, no
# replay and no redrive passes them over, and no history is called diverged.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('pending', "max_prepared_transactions = 5\n");
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";

# What is asked for beside the commits that wait does not wait itself.
$ENV{PGOPTIONS} = '-c synchronous_commit=local';

sub sync_with
{
	my ($standby) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = '$standby'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('synchronous_standby_names') = '$standby'");
	return;
}

# Commit in a session that waits for its standby; end it with let_go().
sub commit_waiting
{
	my ($command) = @_;
	my $before = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'});
	my $session = open_session($node);
	in_session($session, 'SET synchronous_commit = on;');
	$session->{in} .= "$command;\n\\echo committed\n";
	$session->{psql}->pump_nb;
	wait_for('a commit that waits', sub {
			$session->{psql}->pump_nb;
			$node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) > $before });
	return $session;
}

sub let_go
{
	my (@sessions) = @_;
	sync_with('');
	for my $session (@sessions)
	{
		$session->{psql}->pump until $session->{out} =~ /^committed$/m;
		$session->{psql}->finish;
	}
	return;
}

sub create_item
{
	my ($name) = @_;
	return qq{SELECT 1 FROM esgf_stac.create_item('CMIP6', '{"type": "Feature", "stac_version": "1.1.0", "id": "$name", "geometry": null, "links": [], "assets": {},
		"properties": {"datetime": "2020-01-01T00:00:00Z", "title": "first"}}')};
}

sub items
{
	my ($file) = @_;
	return join ' ', map { $_->{item_id} } grep { defined $_->{item_id} } read_events($file);
}

sub streams_again
{
	my ($times) = @_;
	return sub { (() = slurp_file($log) =~ /streaming from/g) >= $times };
}

new_items($node, 1, 1);

# What the function tells.
my $pending = q{SELECT cardinality(esgf_stac_internal.pending_commits())};
my $open = open_session($node);
in_session($open, 'BEGIN; SELECT pg_current_xact_id();');
is($node->safe_psql('postgres', $pending), 0, 'a transaction that runs is not pending');
sync_with('nobody');
my $waiting = commit_waiting(create_item('waiting'));
is($node->safe_psql('postgres', $pending), 1, 'one that waits for its standby is');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.item WHERE id = 'waiting'}), 0, 'queries do not see it');
$node->safe_psql('postgres', q{BEGIN; SAVEPOINT s; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'two'});
is($node->safe_psql('postgres', $pending), 1, 'one that is prepared is not');
my $two = commit_waiting(q{COMMIT PREPARED 'two'});
is($node->safe_psql('postgres', $pending), 2, 'but when its commit waits');
let_go($waiting, $two);
ok($node->poll_query_until('postgres', "SELECT ($pending) = 0"), 'the standby is back: none is pending');
in_session($open, 'COMMIT;');
$open->{psql}->finish;

# Delivered, and not yet visible: that history has not diverged.
new_stream($node, 'a');
my $relay = start_relay($node, $log, '--stream', 'a', '--sink', "ndjson:$dir/a");
$node->poll_query_until('postgres', 'SELECT active FROM pg_replication_slots');
sync_with('nobody');
$waiting = commit_waiting(create_item('early'));
wait_for('it to be delivered', sub { items("$dir/a") =~ /early/ });
is(stop_relay($relay), 0, 'the relay stops while a commit waits');
$relay = start_relay($node, $log, '--stream', 'a', '--sink', "ndjson:$dir/a");
wait_for('the relay to say what it waits for', sub { slurp_file($log) =~ /waiting for commits/ });
let_go($waiting);
$node->safe_psql('postgres', create_item('later'));
wait_for('the next event', sub { items("$dir/a") =~ /later/ });
unlike(slurp_file($log), qr/history-diverged/, 'and goes on when it is started again');
is(stop_relay($relay), 0, 'to its end');

# Known to be delivered, and not yet visible when the relay is started again: what it takes for its next horizon does
# not make it less. (It does not wait for the commit, as the newest that the sink has is visible.)
$node->safe_psql('postgres', 'CREATE DATABASE index');
my @read = ('--stream', 'b', '--sink', 'postgres:' . $node->connstr('index') . '#items');
my $blog = "$dir/b.log";
new_stream($node, 'b');
$relay = start_relay($node, $blog, @read);
wait_for('the sink', sub { $node->safe_psql('index', q{SELECT to_regclass('items') IS NOT NULL}) eq 't' });
sync_with('nobody');
$waiting = commit_waiting(create_item('known'));
my $xid = $node->safe_psql('postgres', q{SELECT backend_xid FROM pg_stat_activity WHERE wait_event = 'SyncRep'});
my $told = sub { $node->safe_psql('postgres', "SELECT $_[0] FROM esgf_stac.consumer WHERE stream = 'b'") eq 't' };
wait_for('it to be known', sub { $told->("pg_visible_in_snapshot('$xid', delivered)") });
$node->safe_psql('postgres', create_item('newest'));
wait_for('the sink to have a newer one', sub { $node->safe_psql('index', q{SELECT count(*) FROM items WHERE item_id = 'newest'}) });
stop_relay($relay);
my $next = $node->safe_psql('postgres', 'SELECT pg_current_xact_id()');
$relay = start_relay($node, $blog, @read);
wait_for('the next horizon', sub { $told->("pg_snapshot_xmax(delivered)::text::bigint > $next") });
let_go($waiting);
is($node->safe_psql('postgres', q{SELECT state FROM esgf_stac.outbox o, esgf_stac.delivery_status(o.id) d WHERE o.aggregateid = 'known' AND d.stream = 'b'}), 'delivered', 'what was known to be delivered still is');
is(stop_relay($relay), 0, 'the relay stops');
$node->safe_psql('postgres', q{SELECT esgf_stac.drop_stream('b')});

# A slot that was advanced beyond it, or dropped and made anew beside one that is read.
new_stream($node, 'other');
my $other = start_relay($node, "$dir/other.log", '--stream', 'other', '--sink', 'ndjson:/dev/null');
for my $loss ('pg_drop_replication_slot(slot_name)', 'pg_replication_slot_advance(slot_name, pg_current_wal_lsn())')
{
	my $item = $loss =~ /drop/ ? 'dropped' : 'advanced';
	sync_with('nobody');
	$waiting = commit_waiting(create_item($item));
	$node->safe_psql('postgres', "SELECT $loss FROM pg_replication_slots WHERE slot_name = 'esgf_stac_a'");
	my $begun = () = slurp_file($log) =~ /streaming from/g;
	$relay = start_relay($node, $log, '--stream', 'a', '--sink', "ndjson:$dir/a");
	$node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pg_replication_slots});
	$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query ~ 'pg_visible|CREATE_REPLICATION_SLOT'});
	let_go($waiting);
	wait_for('the stream', streams_again($begun + 1));
	$node->safe_psql('postgres', create_item("after-$item"));
	wait_for("what came after $item", sub { items("$dir/a") =~ /after-$item/ });
	like(items("$dir/a"), qr/\b$item\b.*after-$item/, "a commit that waits is not lost: the slot was $item");
	stop_relay($relay);
}

# --create ends when what its slot will not deliver can be seen by who seeds.
$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('new')});
sync_with('nobody');
$waiting = commit_waiting(create_item('seed'));
my $create = start_relay($node, "$dir/create.log", '--stream', 'new', '--create');
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query ~ 'pg_visible|CREATE_REPLICATION_SLOT'});
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.consumer WHERE stream = 'new'}), 0, 'a slot is not done while a commit waits');
let_go($waiting);
$create->finish;
is($create->full_result(0), 0, 'and then is');

# What waits for nobody is not held up by transactions that merely run.
$open = open_session($node);
in_session($open, 'BEGIN; SELECT pg_current_xact_id();');
$node->safe_psql('postgres', q{SELECT pg_replication_slot_advance('esgf_stac_a', pg_current_wal_lsn())});
$relay = start_relay($node, $log, '--stream', 'a', '--sink', "ndjson:$dir/a");
$node->safe_psql('postgres', create_item('beside'));
wait_for('an event beside an open transaction', sub { items("$dir/a") =~ /beside/ });
ok(1, 'a replay does not wait for an open transaction');
stop_relay($relay);
in_session($open, 'COMMIT;');
$open->{psql}->finish;

# The envelope, which asks for each batch, does so sparingly.
new_stream($node, 'esgf');
$relay = start_relay($node, "$dir/esgf.log", '--stream', 'esgf', '--sink', "ndjson:$dir/esgf", '--format', 'esgf');
$node->poll_query_until('postgres', q{SELECT active FROM pg_replication_slots WHERE slot_name = 'esgf_stac_esgf'});
sync_with('nobody');
$waiting = commit_waiting(create_item('envelope'));
wait_for('the relay to say what it waits for', sub { slurp_file("$dir/esgf.log") =~ /waiting for commits/ });
is(-s "$dir/esgf", 0, 'no envelope before the commit is seen');
let_go($waiting);
wait_for('the envelope', sub { slurp_file("$dir/esgf") =~ /envelope/ });
is(stop_relay($relay), 0, 'the envelope comes then');
stop_relay($other);

# ---------------------------------------------------------------- redrive

SKIP:
{
	skip 'the relay was built without the sink http', 5 if `esgf_stac_relay --version` !~ /\bhttp\b/;
	skip 'there is no python3', 5 if !IPC::Run::run([qw(python3 --version)], '>', \my $version, '2>&1');

	mkdir "$dir/server";
	my $server = IPC::Run::start([ 'python3', "$FindBin::RealBin/http_server.py", "$dir/server" ], '<', \undef, '>>', "$dir/server/log", '2>&1');
	wait_for('the server', sub { -e "$dir/server/port" });

	# "item:version" of what the sink took, in order.
	my $taken = sub {
		return join ' ', map { my $event = JSON::PP::decode_json($_); "$event->{item_id}:$event->{version}" }
		  map { split /\n/, $_->{body} } grep { $_->{status} == 200 } map { JSON::PP::decode_json($_) } read_lines("$dir/server/requests");
	};
	my $letters = sub { $node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.dead_letter WHERE stream = 'sent' AND settled_at IS NULL}) };
	my $refuse = sub { append_to_file("$dir/server/refused.new", '{"text": "first", "status": 400}'); rename "$dir/server/refused.new", "$dir/server/refused" };

	new_stream($node, 'sent');
	$refuse->();
	$relay = start_relay($node, "$dir/sent.log", '--stream', 'sent', '--sink', 'http://127.0.0.1:' . slurp_file("$dir/server/port") . '/');
	$node->safe_psql('postgres', create_item('victim'));
	wait_for('a letter', sub { $letters->() == 1 });

	# A later version is delivered, and not yet seen, when the redrive begins.
	unlink "$dir/server/refused";
	sync_with('nobody');
	$waiting = commit_waiting(q{SELECT 1 FROM esgf_stac.patch_item('CMIP6', 'victim', '{"properties": {"title": "second"}}')});
	wait_for('the later version', sub { $taken->() =~ /victim:2/ });
	$node->safe_psql('postgres', q{SELECT esgf_stac.redrive('sent')});
	my $reported = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	$node->poll_query_until('postgres', "SELECT confirmed_flush_lsn >= '$reported' FROM pg_replication_slots WHERE slot_name = 'esgf_stac_sent'");
	$reported = $node->safe_psql('postgres', q{SELECT pg_current_wal_insert_lsn() FROM pg_logical_emit_message(false, 'test', 'more')});
	$node->poll_query_until('postgres', "SELECT confirmed_flush_lsn >= '$reported' FROM pg_replication_slots WHERE slot_name = 'esgf_stac_sent'");
	is($letters->(), 1, 'a redrive waits until the later commit is seen');
	let_go($waiting);
	wait_for('the letter to be settled', sub { $letters->() == 0 });
	unlike($taken->(), qr/victim:2.*victim:1/, 'no state is sent after a later version');

	# Two redrives overlap; each letter's item is sent before it is settled.
	$refuse->();
	$node->safe_psql('postgres', create_item($_)) for qw(one two);
	wait_for('two letters', sub { $letters->() == 2 });
	unlink "$dir/server/refused";
	my $first = open_session($node);
	in_session($first, q{BEGIN; SELECT esgf_stac.redrive('sent', 'one');});
	$node->safe_psql('postgres', q{SELECT esgf_stac.redrive('sent', 'two')});
	wait_for('a round of the second', sub { $node->safe_psql('postgres', q{
		SELECT count(*) FROM esgf_stac.dead_letter WHERE item_id = 'two' AND settled_at IS NOT NULL}) == 1 });
	is($letters->(), 1, 'the second redrive settles its own letter alone');
	in_session($first, 'COMMIT;');
	$first->{psql}->finish;
	wait_for('both letters', sub { $letters->() == 0 });
	like($taken->(), qr/\bone:1\b/, 'the first one comes too, and is sent');
	is(stop_relay($relay), 0, 'the relay stops');
	$server->kill_kill;
}

done_testing();
