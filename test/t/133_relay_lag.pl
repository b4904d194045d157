# What an operator sees of a stream that stands still, and of one that does not:
# metrics, stream_status and doctor() tell the same, and the truth.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('lag');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";

sub metric
{
	my ($file, $name) = @_;
	return undef unless -e $file;
	return slurp_file($file) =~ /^esgf_stac_relay_\Q$name\E\{.*\} (\S+)$/m ? $1 : undef;
}
sub status { return $node->safe_psql('postgres', "SELECT $_[1] FROM esgf_stac.stream_status WHERE name = '$_[0]'") }
sub hazards { return $node->safe_psql('postgres', q{SELECT coalesce(string_agg(hazard, ', ' ORDER BY hazard), '') FROM esgf_stac.doctor() WHERE hazard IN ('unread slot', 'stream stands still')}) }

# A clean stop stores the horizon, at once and beside a transaction that is open elsewhere.
new_items($node, 1, 10);
new_stream($node, 'a');
my $relay = start_relay($node, $log, '--stream', 'a', '--sink', "ndjson:$dir/a");
$node->poll_query_until('postgres', 'SELECT active FROM pg_replication_slots');
new_items($node, 11, 20);
wait_for('ten events', sub { read_lines("$dir/a") == 10 });
is(stop_relay($relay), 0, 'the relay stops');
is(status('a', 'lag_events'), 0, 'and nothing is left');
my $open = open_session($node);
in_session($open, 'BEGIN; SELECT pg_current_xact_id();');
$relay = start_relay($node, $log, '--stream', 'a', '--sink', "ndjson:$dir/a", '--metrics-file', "$dir/nowhere/a.prom");
$node->poll_query_until('postgres', 'SELECT active FROM pg_replication_slots');
new_items($node, 21, 30);
wait_for('ten more', sub { read_lines("$dir/a") == 20 });
ok($node->poll_query_until('postgres', q{SELECT lag_events = 0 AND lag_seconds = 0 AND lag_bytes = 0 FROM esgf_stac.stream_status WHERE name = 'a'}), 'no lag beside an open transaction');
ok($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM esgf_stac.outbox, esgf_stac.consumer WHERE xid >= horizon}) eq 't', 'which holds back the horizon');
new_items($node, 31, 31);
wait_for('one more', sub { read_lines("$dir/a") == 21 });
is(stop_relay($relay), 0, 'stopped');
is(status('a', 'lag_events'), 0, 'nor after a stop');
in_session($open, 'COMMIT;');
$open->{psql}->finish;
is(() = slurp_file($log) =~ /could not write metrics file/g, 1, 'a metrics file that cannot be written is told of once');

# --endpos, too.
new_items($node, 32, 33);
run_relay($node, '--stream', 'a', '--sink', "ndjson:$dir/a", '--endpos', wal_end($node));
is(status('a', 'lag_events'), 0, 'up to --endpos');

# A sink is tried before the first event: status 5.
my $port = PostgreSQL::Test::Cluster::get_free_port();
my %away = ('postgres' => "postgres:host=127.0.0.1 port=$port dbname=x#t", ndjson => "ndjson:$dir/nowhere/a");
my $built = `esgf_stac_relay --version`;
$away{$_} = "$_://127.0.0.1:$port/" for grep { $built =~ /\b$_\b/ } 'http';
$away{opensearch} = "opensearch:http://127.0.0.1:$port/i" if $built =~ /\bopensearch\b/;
$away{kafka} = "kafka:127.0.0.1:$port/t" if $built =~ /\bkafka\b/;
for my $sink (sort keys %away)
{
	my ($code, undef, $stderr) = run_relay($node, '--stream', 'a', '--sink', $away{$sink}, '--no-loop');
	ok($code == 5 && $stderr =~ /sink is down/, "$sink: a sink that is not there is noticed without an event") or diag "$code $stderr";
}

# Down, without an event and with one.
my $file = "$dir/down.prom";
$relay = start_relay($node, $log, '--stream', 'a', '--sink', $away{postgres}, '--metrics-file', $file);
ok($node->poll_query_until('postgres', q{SELECT warning LIKE 'sink is down: %' FROM esgf_stac.stream_status WHERE name = 'a'}), 'stream_status says that the sink is down');
like(status('a', 'warning'), qr/^sink is down: .*refused/s, 'and why');
is(hazards(), 'stream stands still', 'so does doctor(), which does not say that nobody reads');
wait_for('the metrics', sub { defined metric($file, 'up') });
is(metric($file, 'up'), 0, 'up is 0');
is(metric($file, 'lag_seconds'), 0, 'there is no lag while there is no event');
new_items($node, 40, 40);
wait_for('the lag', sub { metric($file, 'lag_seconds') > 2 });
my $before = metric($file, 'lag_seconds');
ok(wait_for('a longer lag', sub { metric($file, 'lag_seconds') > $before + 1 }), 'lag is the age of the oldest event, and grows between attempts');
my $size = $node->safe_psql('postgres', 'SELECT pg_column_size(payload) FROM esgf_stac.outbox ORDER BY seq DESC LIMIT 1');
wait_for('the bytes of it', sub { metric($file, 'lag_bytes') >= $size });
is(stop_relay($relay), 0, 'stopped');
is(status('a', 'lag_events'), 1, 'one event waits');
is(status('a', "lag_bytes BETWEEN $size AND wal_held_bytes"), 't', 'and the WAL that tells of it');

SKIP:
{
	skip 'the relay was built without the sink http', 7 if $built !~ /\bhttp\b/;
	skip 'there is no python3', 7 if !IPC::Run::run([qw(python3 --version)], '>', \my $version, '2>&1');

	mkdir "$dir/server";
	my $server = IPC::Run::start([ 'python3', "$FindBin::RealBin/http_server.py", "$dir/server" ], '<', \undef, '>>', "$dir/server/log", '2>&1');
	wait_for('the server', sub { -e "$dir/server/port" });
	my $url = 'http://127.0.0.1:' . slurp_file("$dir/server/port") . '/';

	# Busy for long is down.
	append_to_file("$dir/server/refused", '{"bytes": 0, "status": 503}');
	$file = "$dir/busy.prom";
	$relay = start_relay($node, $log, '--stream', 'a', '--sink', $url, '--metrics-file', $file);
	ok($node->poll_query_until('postgres', q{SELECT warning LIKE 'sink is down: %503%' FROM esgf_stac.stream_status WHERE name = 'a'}), 'a sink that is busy for long is down');
	wait_for('up to be 0', sub { metric($file, 'up') == 0 });
	cmp_ok(metric($file, 'lag_seconds'), '>', 3, 'and the event grows old');
	unlink "$dir/server/refused";
	ok($node->poll_query_until('postgres', q{SELECT warning IS NULL AND lag_events = 0 FROM esgf_stac.stream_status WHERE name = 'a'}), 'it is well again');
	wait_for('the metrics', sub { metric($file, 'up') == 1 && metric($file, 'lag_seconds') == 0 });
	is(hazards(), '', 'nor is there a hazard');
	stop_relay($relay);

	# Seeding.
	new_items($node, 100, 2565);
	$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('seed')});
	append_to_file("$dir/server/answers", qq{{"delay": 3}\n} x 5);
	$relay = start_relay($node, "$dir/seed.log", '--stream', 'seed', '--create', '--snapshot', '--sink', $url);
	ok($node->poll_query_until('postgres', q{SELECT warning = 'seeding: 1000 of 2500 items sent' FROM esgf_stac.stream_status WHERE name = 'seed'}), 'stream_status says how far a snapshot is');
	unlike(hazards(), qr/unread slot.*unread slot/, 'and doctor() not that nobody reads');
	wait_for('the log', sub { slurp_file("$dir/seed.log") =~ /snapshot: 2,000 of 2,500 items sent, \d+ s left, now at item/ });
	ok($node->poll_query_until('postgres', q{SELECT warning IS NULL AND lag_events = 0 FROM esgf_stac.stream_status WHERE name = 'seed'}), 'it is seeded');
	stop_relay($relay);
	$server->kill_kill;
}

# A sparse stream in an outage: where the oldest event was looked for once, and is not, nobody looks again.
new_stream($node, 'sparse', q{, filter => '$.properties.n == 77'});

sub raw
{
	my ($name, $stream, $count) = @_;
	return qq{INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity, streams, left_streams)
		SELECT gen_random_uuid(), 'CMIP6', '$name' || i, 'item.published', 1, '{}', now(), '{}', '{$stream}', '{}' FROM generate_series(1, $count) i;};
}
sub rows_read { return $node->safe_psql('postgres', q{SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'outbox'}) }
my $rows = 20_000;
$node->safe_psql('postgres', raw('other', 'other', $rows) . 'ANALYZE esgf_stac.outbox');
$open = open_session($node);
in_session($open, 'BEGIN; ' . raw('late', 'sparse', 1));
$node->safe_psql('postgres', raw('later', 'other', 1));
my $read = rows_read();
$file = "$dir/sparse.prom";
$relay = start_relay($node, "$dir/sparse.log", '--stream', 'sparse', '--sink', $away{postgres}, '--metrics-file', $file, '--verbose');
wait_for('some sessions', sub { (() = slurp_file("$dir/sparse.log") =~ /sink is down/g) >= 5 });
is(metric($file, 'lag_seconds'), 0, 'a sparse stream has no lag while no event is its own');
$node->poll_query_until('postgres', "SELECT seq_tup_read + idx_tup_fetch >= $read + $rows FROM pg_stat_user_tables WHERE relname = 'outbox'");
cmp_ok(rows_read() - $read, '<', 2 * $rows, 'and the others are looked at once, not in each session');
in_session($open, 'COMMIT;');
$open->{psql}->finish;
$relay->signal('HUP');
ok(wait_for('the lag', sub { metric($file, 'lag_seconds') > 0 }), 'one that commits behind later ones is not passed over');
stop_relay($relay);

done_testing();
