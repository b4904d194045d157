# esgf_stac_ingest reads a topic of a real broker: what stands in it, in what state
# it may be, and that its outcomes get back.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IngestTest;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use ServerTest;
use Test::More;
use Time::HiRes qw(usleep);

plan skip_all => 'the ingester was built without librdkafka' if `esgf_stac_ingest --version` !~ /^sources:.* kafka\b/m;
my $missing = server_missing('kafka');
plan skip_all => $missing if $missing;
plan skip_all => 'there is no kcat' if system('command -v kcat >/dev/null') != 0;

my $node = ingest_node('ingest_kafka');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $nowhere = PostgreSQL::Test::Cluster::get_free_port();
my $json = JSON::PP->new->canonical->utf8;
my ($status, $stderr);

($status, undef, $stderr) = run_ingest($node, '', '--source', 'api', '--from', "kafka:127.0.0.1:$nowhere/t", '--no-loop');
is($status, 5, 'no broker there: exit status 5');
like($stderr, qr/source is down: .*127.0.0.1:$nowhere.*Connection refused/, 'and why');
write_log("$dir/one", event('one', delete_of('none.v1')));
new_source($node, 'one');
($status, undef, $stderr) = run_ingest($node, '', '--source', 'one', '--from', "ndjson:$dir/one", '--results', "kafka:127.0.0.1:$nowhere/t", '--no-loop');
is($status, 5, 'nor for results');
like($stderr, qr/results are down: .*127.0.0.1:$nowhere.*Connection refused/, 'and why');

my $kafka = start_kafka('message.max.bytes' => 30_000_000, 'num.partitions' => 3, 'group.initial.rebalance.delay.ms' => 0,
	'group.min.session.timeout.ms' => 1000, 'offsets.topic.num.partitions' => 1, 'transaction.state.log.replication.factor' => 1,
	'transaction.state.log.min.isr' => 1, 'transaction.state.log.num.partitions' => 1);
my $address = $kafka->{address};
my @quick = ('--source-option', 'session.timeout.ms=2000', '--source-option', 'heartbeat.interval.ms=500');

# Write to a partition: lines of key, tab, value.
sub produce
{
	my ($topic, $partition, @messages) = @_;
	kcat($kafka, join('', map { "$_->[0]\t" . (ref $_->[1] ? $json->encode($_->[1]) : $_->[1]) . "\n" } @messages),
		'-P', '-t', $topic, '-p', $partition, '-K', "\t", '-Z', '-X', 'message.max.bytes=30000000');
	return;
}

sub count_of { return $node->safe_psql('postgres', "SELECT count(*) FROM esgf_stac.inbox WHERE source = '$_[0]'"); }

# Partition and offset, and its success or slug, of the outcomes in a topic.
sub outcomes
{
	my ($topic) = @_;
	return map {
		my ($key, $text) = split /\t/, $_, 2;
		my $event = $json->decode($text);
		{ key => $key, event => $event, place => "$event->{original_event}{partition}/$event->{original_event}{offset}" }
	} split /\n/, kcat($kafka, '', '-C', '-t', $topic, qw(-e -q -o beginning), '-f', '%k\t%s\n');
}

# ---------------------------------------------------------------- --check

sub check_topics { return run_ingest($node, '', '--source', 'api', '--from', "kafka:$address/checked", '--results', "kafka:$address/checked-{outcome}", '--check') }
($status, undef, $stderr) = check_topics();
is($status, 5, '--check: no such topics');
like($stderr, qr/results are down: .*checked-/, 'none for results');
like($stderr, qr/source is down: .*checked/, 'nor to read');
is((check_topics())[0], 5, 'nor were they made by asking');
produce($_, 0, [ 'x', 'x' ]) for qw(checked checked-error checked-success);
is((check_topics())[0], 0, 'those that are there will do');

# ---------------------------------------------------------------- there and back

produce('events', 0, [ 'a.v1', event('e1', post('a.v1')) ], [ 'a.v1', event('e2', patch_of('a.v1', { properties => { title => 'one' } })) ]);
produce('events', 2, [ 'b.v1', event('e3', post('b.v1')) ], [ 'b.v1', 'no JSON' ], [ 'b.v1', '' ], [ 'b.v1', event('e4', patch_of('c.v1', { properties => { title => 'x' } })) ]);
my @api = ('--source', 'api', '--from', "kafka:$address/events", '--results', "kafka:$address/out-{outcome}", @quick, '--metrics-file', "$dir/metrics", '--verbose');
my $ingester = start_ingest($node, "$dir/log", @api);
wait_for('six events', sub { count_of('api') == 6 });
is(told($node, 'api'), 'e1:201 e2:200 e3:201 -:400 -:400 e4:404', 'each event has its outcome, a tombstone too');
wait_for('the outcomes', sub { slurp_file("$dir/metrics") =~ /^esgf_stac_ingest_results_total\S* 6$/m });
my @good = outcomes('out-success');
is(join(' ', sort map { "$_->{key}:$_->{place}" } @good), 'a.v1:0/0 a.v1:0/1 b.v1:2/0', 'successes have their topic, and the keys of what they answer');
my @bad = outcomes('out-error');
is(join(' ', map { "$_->{key}:$_->{place}" } @bad), 'b.v1:2/1 b.v1:2/2 b.v1:2/3', 'errors have theirs, in order');
wait_for('the lag', sub { position($node, 'api') eq "2|2|0|2\n0|0|0|0\n4|4|0|4" });
pass('positions, and no lag');
is($node->safe_psql('postgres', q{SELECT log ->> 'topic' FROM esgf_stac.source WHERE name = 'api'}), 'events', 'the log is remembered');

# 20 MB, and one that is larger than all queues may be. The key may be no text.
produce('events', 1, [ 'large', event('e5', patch_of('a.v1', { properties => { text => 'x' x 20_000_000 } })) ]);
produce('events', 1, [ "k\xff", event('e6', patch_of('a.v1', { properties => { title => 'two' } })) ]);
wait_for('20 MB', sub { count_of('api') == 8 });
is($node->safe_psql('postgres', q{SELECT concat_ws(' ', event_id, status, key) FROM esgf_stac.inbox WHERE source = 'api' AND partition = 1 ORDER BY "offset"}),
	"e5 200 large\n400", '20 MB pass; a key that is no text makes an event unreadable');

# Memory: many large events, of which queues and a call hold their share.
SKIP:
{
	skip 'no /proc here', 1 if !-e "/proc/$$/status";
	produce('events', $_ % 3, map { [ 'm', event("m$_-$a", patch_of('a.v1', { properties => { text => $a x 400_000 } })) ] } 1 .. 20) for 1 .. 15;
	wait_for('300 of 400 KB', sub { count_of('api') == 308 });
	my ($peak) = slurp_file("/proc/$ingester->{KIDS}[0]{PID}/status") =~ /^VmHWM:\s+(\d+) kB/m;
	note 'peak memory of the ingester: ' . int($peak / 1024) . ' MB';
	cmp_ok($peak / 1024, '<', 220, 'memory is bounded');
}

# The server, and the broker, go away and come back.
$node->stop('immediate');
produce('events', 0, [ 'a.v1', event('e7', delete_of('b.v1')) ]);
wait_for('it to notice', sub { slurp_file("$dir/log") =~ /trying again/ });
$node->start;
wait_for('the event', sub { count_of('api') == 309 });
kill_server($kafka);
start_server($kafka);
produce('events', 0, [ 'a.v1', event('e8', delete_of('b.v1')) ]);
wait_for('the next one', sub { count_of('api') == 310 });
wait_for('its outcome', sub { scalar(grep { $_->{event}{original_event}{event_id} eq 'e8' } outcomes('out-error')) });
pass('whatever was away');
is(stop_relay($ingester), 0, 'stops as asked');

# ---------------------------------------------------------------- the end of a partition

# While others are in the way of a partition's events, it is not taken to be at its end.
new_source($node, 'held');
$node->safe_psql('postgres', q{
	CREATE TABLE held (partition int);
	CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN
		IF EXISTS (SELECT FROM public.held h WHERE h.partition = NEW.partition) THEN RAISE lock_not_available; END IF;
		RETURN NEW; END$$;
	CREATE TRIGGER hold BEFORE INSERT ON esgf_stac.inbox FOR EACH ROW WHEN (NEW.source = 'held') EXECUTE FUNCTION hold()});
produce('held', $_, [ 'h', event("h$_", post("h-$_.v1")) ]) for 0 .. 1;
$ingester = start_ingest($node, "$dir/held", '--source', 'held', '--from', "kafka:$address/held", @quick);
wait_for('two events', sub { count_of('held') == 2 });
$node->safe_psql('postgres', 'INSERT INTO held VALUES (0), (1)');
produce('held', 0, [ 'h', event('h2', delete_of('h-0.v1')) ]);
wait_for('others to be in the way', sub { slurp_file("$dir/held") =~ /a call comes again/ });
produce('held', 1, map { [ 'h', event("h1-$_", patch_of('h-1.v1', { properties => { n => $_ } })) ] } 1 .. 20);
usleep(1_500_000);    # by now librdkafka has all of them, and the end behind them
$node->safe_psql('postgres', 'DELETE FROM held WHERE partition = 0');
wait_for('the end of the log to be noted', sub { $node->safe_psql('postgres', q{SELECT high_watermark FROM esgf_stac.source_status WHERE source = 'held' AND partition = 1}) == 21 });
$node->safe_psql('postgres', 'DELETE FROM held');
wait_for('no lag', sub { $node->safe_psql('postgres', q{SELECT lag FROM esgf_stac.source_status WHERE source = 'held' AND partition = 1}) eq '0' });
is(count_of('held'), 23, 'events before the end of a partition are performed, whatever comes in between');

# An administrator moves it back, while it is at its end.
$node->safe_psql('postgres', q{DELETE FROM esgf_stac.inbox WHERE source = 'held' AND partition < 2; SELECT esgf_stac.seek_source('held', p, 0) FROM generate_series(0, 1) p});
wait_for('all to come in again', sub { count_of('held') == 23 });
pass('a position that is moved back stays there until it is noticed');
is(stop_relay($ingester), 0, 'stops as asked');

# ---------------------------------------------------------------- topics in any state

sub ends
{
	my ($what, $expected, $slug, $source, $topic) = @_;
	($status, undef, $stderr) = run_ingest($node, '', '--source', $source, '--from', "kafka:$address/$topic", @quick);
	is($status, $expected, "$what: exit status $expected") or diag $stderr;
	like($stderr, qr/problem=$slug /, 'and why');
	return;
}

# What kcat cannot do: transactions, and to delete what is before an offset.
my $tool = "$dir/tool";
append_to_file("$tool.c", <<'C');
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int delete_before(rd_kafka_t *client, const char *topic, long offset)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	rd_kafka_DeleteRecords_t *request;
	rd_kafka_event_t *answer;
	rd_kafka_topic_partition_list_add(list, topic, 0)->offset = offset;
	request = rd_kafka_DeleteRecords_new(list);
	rd_kafka_DeleteRecords(client, &request, 1, NULL, queue);
	answer = rd_kafka_queue_poll(queue, 30000);
	return answer == NULL || rd_kafka_event_error(answer) != 0;
}
static int transaction(rd_kafka_t *producer, const char *topic, int commit)
{
	char line[65536];
	if (rd_kafka_init_transactions(producer, 30000) || rd_kafka_begin_transaction(producer))
		return 1;
	while (fgets(line, sizeof(line), stdin))
		rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
						  RD_KAFKA_V_VALUE(line, strcspn(line, "\n")), RD_KAFKA_V_END);
	rd_kafka_flush(producer, 30000);
	return (commit ? rd_kafka_commit_transaction(producer, 30000) : rd_kafka_abort_transaction(producer, 30000)) != NULL;
}
int main(int argc, char **argv)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *client;
	int delete = strcmp(argv[3], "delete") == 0;
	rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], NULL, 0);
	if (!delete)
		rd_kafka_conf_set(conf, "transactional.id", "test", NULL, 0);
	client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
	return delete ? delete_before(client, argv[2], atol(argv[4])) : transaction(client, argv[2], strcmp(argv[3], "commit") == 0);
}
C
my $has_tool = system("cc -w -o $tool $tool.c -lrdkafka 2>$tool.log") == 0;

sub tool
{
	my ($topic, $what, @more) = @_;
	my $input = $what eq 'delete' ? '' : lines_of(splice @more);
	return IPC::Run::run([ $tool, $address, $topic, $what, @more ], '<', \$input);
}

sub read_to_end
{
	my ($source, $topic, $events, @more) = @_;
	my $running = start_ingest($node, "$dir/$source.log", '--source', $source, '--from', "kafka:$address/$topic", @quick, @more);
	wait_for("$events events of $source", sub { count_of($source) == $events });
	wait_for("no lag of $source", sub { $node->safe_psql('postgres', "SELECT bool_and(coalesce(lag, 1) = 0) FROM esgf_stac.source_status WHERE source = '$source'") eq 't' });
	is(stop_relay($running), 0, "$source: stops as asked");
	return;
}

SKIP:
{
	skip 'no program of librdkafka can be built here', 8 if !$has_tool;
	new_source($node, 'transactions');
	tool('transactions', 'commit', event('t1', post('t.v1')), event('t2', delete_of('t.v1')));
	tool('transactions', 'abort', event('t3', post('t.v1')), event('t4', post('t.v1')));
	tool('transactions', 'commit', event('t5', delete_of('t.v1')));
	tool('transactions', 'abort', event('t6', post('t.v1')));
	read_to_end('transactions', 'transactions', 3);
	is(told($node, 'transactions'), 't1:201 t2:200 t5:404', 'what was aborted is no event');
	is($node->safe_psql('postgres', q{SELECT next_offset, lag FROM esgf_stac.source_status WHERE source = 'transactions' AND partition = 0}),
		'10|0', 'and what stands behind the last event is passed, markers and all');

	# Of a log that expires all was read; then not.
	tool('transactions', 'delete', 10);
	tool('transactions', 'commit', event('t7', post('t.v1')));
	read_to_end('transactions', 'transactions', 4);
	tool('transactions', 'commit', event('t8', delete_of('t.v1')), event('t9', delete_of('t.v1')));
	tool('transactions', 'delete', 13);
	ends('a log that begins above its position', 4, 'events-lost', 'transactions', 'transactions');
	$node->safe_psql('postgres', q{SELECT esgf_stac.seek_source('transactions', 0, 13)});
	read_to_end('transactions', 'transactions', 5);
	is(told($node, 'transactions'), 't1:201 t2:200 t5:404 t7:201 t9:200', 'what was lost is skipped when an administrator says so');
}

# ---------------------------------------------------------------- another log

new_source($node, 'short');
produce('short', 0, map { [ "k$_", event("g$_", post("g-$_.v1")) ] } 1 .. 5);
produce('short', 0, [ "k\0k", event('g6', delete_of('g-1.v1')) ]);
read_to_end('short', 'short', 6);
is($node->safe_psql('postgres', q{SELECT status, key FROM esgf_stac.inbox WHERE source = 'short' AND "offset" = 5}), '400|', 'a key with a NUL is none');
ends('another topic', 4, 'source-differs', 'api', 'short');
$node->safe_psql('postgres', q{SELECT esgf_stac.seek_source('short', 0, 1000)});
ends('a topic that ends below its position', 4, 'source-differs', 'short', 'short');
($status, undef, $stderr) = run_ingest($node, '', '--source', 'api', '--from', "kafka:$address/absent", '--no-loop');
is($status, 5, 'a topic that is not there: exit status 5, where nothing is waited for');
like($stderr, qr/source is down: topic absent: .*[Uu]nknown topic/, 'and why');

done_testing();
