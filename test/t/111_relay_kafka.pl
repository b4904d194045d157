# The sink kafka, read back by kcat. What needs no broker comes first, then what
# librdkafka's own mock of one can do, then the rest with a real one: refusals,
# outages, and relays that are killed.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use ServerTest;
use Test::More;
use Time::HiRes qw(usleep);

plan skip_all => 'the relay was built without librdkafka' if `esgf_stac_relay --version` !~ /^sinks:.* kafka\b/m;
plan skip_all => 'there is no kcat' if system('command -v kcat >/dev/null') != 0;

my $node = catalogue_node('kafka', 'wal_sender_timeout = 2s');
my $dir = PostgreSQL::Test::Utils::tempdir;

# ---------------------------------------------------------------- reading

# The messages of a topic: partition, key, headers, value (undef: null).
sub messages
{
	my ($address, $topic) = @_;
	my $text = kcat({ address => $address }, '', '-C', '-t', $topic, qw(-e -q -o beginning -X check.crcs=true),
		'-f', '%p\t%k\t%h\t%S\t%s\n');
	return map {
		my ($partition, $key, $headers, $length, $value) = split /\t/, $_, 5;
		{ partition => $partition, key => $key, headers => $headers, value => $length < 0 ? undef : $value }
	} split /\n/, $text;
}

# The versions of a key in the order of its topic: "1 2 3".
sub versions
{
	my ($key, @messages) = @_;
	return join ' ', map { $_->{headers} =~ /\bversion=(\d+)/ } grep { $_->{key} eq $key } @messages;
}

# Do messages of one item hold its versions up to the last one, in one
# partition, without a gap, and repeat only a tail of them? What is wrong if not.
sub out_of_order
{
	my ($last, @messages) = @_;
	my $before = 0;
	for my $message (@messages)
	{
		my ($version) = $message->{headers} =~ /\bversion=(\d+)/;
		return "$version after $before" if $version > $before + 1;
		return 'another partition' if $message->{partition} != $messages[0]{partition};
		$before = $version;
	}
	return $before == $last ? '' : "$before instead of $last";
}

# What a line of the relay's must have become: its topic, key and headers.
sub told_by
{
	my ($line) = @_;
	my $event = JSON::PP->new->decode($line);    # to bytes
	my $item = $event->{item_id};
	my @header = (
		[ id => $event->{id} ],
		[ type => $event->{type} ],
		[ aggregatetype => defined $item ? $event->{collection_id} : 'collection' ],
		[ aggregateid => $item // $event->{collection_id} ],
		[ version => $event->{version} ],
		[ occurred_at => $event->{time} ]);
	return ("all-$event->{collection_id}", join('/', $event->{collection_id}, $item // ()),
		join(',', map { "$_->[0]=$_->[1]" } grep { defined $_->[1] } @header), !defined $event->{document});
}

sub confirmed
{
	my ($stream, $position) = @_;
	return $node->safe_psql('postgres', "SELECT confirmed_flush_lsn >= '$position' FROM pg_replication_slots WHERE slot_name = 'esgf_stac_$stream'") eq 't';
}

sub wait_until_confirmed
{
	my ($stream, $position) = @_;
	$position //= wal_end($node);
	return wait_for("stream $stream to come to $position", sub { confirmed($stream, $position) });
}

sub dead_letters
{
	my ($stream) = @_;
	return $node->safe_psql('postgres', "SELECT collection_id, item_id, version, reason FROM esgf_stac.dead_letter
		 WHERE stream = '$stream' AND settled_at IS NULL ORDER BY 1, 2, 3");
}

# One event of an item, with a document of about that many bytes.
sub add_event
{
	my ($collection, $item, $version, $bytes) = @_;
	return qq{INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
		VALUES (gen_random_uuid(), '$collection', '$item', 'item.updated', $version, jsonb_build_object('text',
			(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, $bytes / 32))), now(), '{}');};
}

# ---------------------------------------------------------------- no broker

new_stream($node, 'usage');
for my $case (
	[ qr/no \/TOPIC/, 'localhost:9092' ],
	[ qr/no \/TOPIC/, '/topic' ],
	[ qr/no \/TOPIC/, 'localhost:9092/' ],
	[ qr/no name for a topic/, 'localhost:9092/a b' ],
	[ qr/no name for a topic/, 'localhost:9092/..' ],
	[ qr/no name for a topic/, 'localhost:9092/{item_id}' ],
	[ qr/no name for a topic/, 'localhost:9092/' . 'x' x 250 ],
	[ qr/No such configuration property: "no.such"/, 'localhost:9092/t', 'no.such=1' ],
	[ qr/Invalid value "x" for configuration property "compression.codec"/, 'localhost:9092/t', 'compression.codec=x' ],
	[ qr/`max.in.flight` must be set <= 5/, 'localhost:9092/t', 'max.in.flight=6' ],
	[ qr/sasl.username and sasl.password must be set/, 'localhost:9092/t', 'security.protocol=sasl_ssl', 'sasl.mechanism=PLAIN' ],
	[ qr/ssl.ca.location failed/, 'localhost:9092/t', 'security.protocol=ssl', "ssl.ca.location=$dir/none" ],
	[ qr/"enable.idempotence" is set by the relay/, 'localhost:9092/t', 'enable.idempotence=false' ],
	[ qr/"acks" is set by the relay/, 'localhost:9092/t', 'request.required.acks=1' ],
	[ qr/"retries" is set by the relay/, 'localhost:9092/t', 'message.send.max.retries=3' ],
	[ qr/"linger.ms" is set by the relay/, 'localhost:9092/t', 'queue.buffering.max.ms=5' ],
	[ qr/"message.timeout.ms" is set by the relay/, 'localhost:9092/t', 'delivery.timeout.ms=1000' ],
	[ qr/"partitioner" is set by the relay/, 'localhost:9092/t', 'partitioner=random' ],
	[ qr/"transactional.id" is set by the relay/, 'localhost:9092/t', 'transactional.id=t' ],
	[ qr/"bootstrap.servers" is set by the relay/, 'localhost:9092/t', 'metadata.broker.list=elsewhere' ],
	[ qr/"enable.gapless.guarantee" is set by the relay/, 'localhost:9092/t', 'enable.gapless.guarantee=true' ],
	[ qr/"delivery.report.only.error" is set by the relay/, 'localhost:9092/t', 'delivery.report.only.error=true' ])
{
	my ($problem, $target, @options) = @$case;
	my ($status, undef, $stderr) = run_relay($node, '--stream', 'usage', '--sink', "kafka:$target", map { ('--sink-option', $_) } @options);
	is($status, 2, "refused: @options $target");
	like($stderr, $problem, 'and why');
}
my $nowhere = PostgreSQL::Test::Cluster::get_free_port();
my ($status, undef, $stderr) = run_relay($node, '--stream', 'usage', '--sink', "kafka:127.0.0.1:$nowhere/t", '--no-loop');
is($status, 5, 'no broker there: exit status 5');
like($stderr, qr/sink is down, .*127.0.0.1:$nowhere.*Connection refused/, 'and why');

# ---------------------------------------------------------------- one by one

# Events of every form, to a topic for each collection, with tombstones; their
# lines are those that the sink ndjson writes.
new_items($node, 1, 3);

sub compare_messages
{
	my ($name, $target, @more) = @_;
	my @kafka = ('--stream', "kafka_$name", '--snapshot', '--tombstones', '--sink', "kafka:$target/all-{collection}");
	my $log = "$dir/$name.log";
	new_stream($node, "kafka_$name");
	new_stream($node, "lines_$name");
	my $relay = start_relay($node, $log, @kafka, @more, '--verbose');
	my $address = $target;
	wait_for('the mock', sub { ($address) = -e $log ? slurp_file($log) =~ /replaced with ([\d.:]+)/ : (); $address }) if $name eq 'mock';
	$node->safe_psql('postgres', <<'SQL');
		INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, reason, identity) VALUES
		(gen_random_uuid(), 'CMIP6', 'ä', 'item.published', (SELECT coalesce(max(version), 0) + 1 FROM esgf_stac.outbox),
		 '{"number": 1.50, "text": "ä\n\t\"\\", "large": 12345678901234567890.10}', '2026-01-31 13:00:00.25+01', 'because', '{}'),
		(gen_random_uuid(), 'CMIP6', 'ä', 'item.deleted', (SELECT coalesce(max(version), 0) + 2 FROM esgf_stac.outbox), NULL, now(), NULL, '{}'),
		(gen_random_uuid(), 'CMIP7', 'ä', 'item.published', (SELECT coalesce(max(version), 0) + 1 FROM esgf_stac.outbox), '{}', now(), NULL, '{}'),
		(gen_random_uuid(), 'a b', 'c', 'item.published', (SELECT coalesce(max(version), 0) + 1 FROM esgf_stac.outbox), '{}', now(), NULL, '{}'),
		(gen_random_uuid(), 'collection', 'CMIP7', 'collection.updated', (SELECT coalesce(max(version), 0) + 1 FROM esgf_stac.outbox), '{"id": "CMIP7"}', now(), NULL, '{}')
SQL
	add_events($node, 1, 700, $node->safe_psql('postgres', 'SELECT max(version) + 1 FROM esgf_stac.outbox'));
	wait_until_confirmed("kafka_$name");
	run_relay($node, '--stream', "lines_$name", '--snapshot', '--sink', "ndjson:$dir/$name", '--endpos', wal_end($node));

	my (%expected, %got);
	for my $line (read_lines("$dir/$name"))
	{
		my ($topic, $key, $headers, $gone) = told_by($line);
		next if $topic eq 'all-a b';
		push @{ $expected{"$topic $key"} }, "$headers $line", $gone ? "$headers null" : ();
	}
	for my $topic (qw(all-CMIP6 all-CMIP7))
	{
		push @{ $got{"$topic $_->{key}"} }, "$_->{headers} " . ($_->{value} // 'null') for messages($address, $topic);
	}
	is_deeply(\%got, \%expected, "$name: keys, headers, complete values, tombstones, each item in order");
	is(scalar(map { @$_ } values %got), 708, 'which are as many as there are');
	like(dead_letters("kafka_$name"), qr/^a b\|c\|\d+\|no topic can have the name of its collection$/,
		'a collection whose name no topic can have is a dead letter');
	like($got{'all-CMIP6 CMIP6/item-1.v1'}[0], qr/^type=item.seeded,/, 'a seeded item has no header "id"');
	is(stop_relay($relay), 0, 'stops as asked');
	return;
}
compare_messages('mock', 'none', '--sink-option', 'test.mock.num.brokers=1');

my $missing = server_missing('kafka');
if ($missing)
{
  SKIP: { skip "no real broker: $missing", 1 }
	done_testing();
	exit;
}

# ---------------------------------------------------------------- a real one

my $kafka = start_kafka('message.max.bytes' => 20_000, 'num.partitions' => 4);
my $address = $kafka->{address};

($status, undef, $stderr) = run_relay($node, '--stream', 'usage', '--sink', "kafka:$address/t", '--no-loop', '--sink-option', 'security.protocol=ssl');
is($status, 5, 'TLS to a broker that has none: exit status 5');
like($stderr, qr/sink is down, .*ssl:.*SSL handshake failed/, 'and why');

# --check looks for the topic, and makes none.
sub check_topic { return run_relay($node, '--stream', 'usage', '--create', '--if-not-exists', '--sink', "kafka:$address/checked", '--check') }
($status, undef, $stderr) = check_topic();
is($status, 5, '--check: no such topic');
like($stderr, qr/sink is down: .*checked/, 'and which');
is((check_topic())[0], 5, 'nor was it made by asking');
kcat($kafka, "x\n", '-P', '-t', 'checked');
is((check_topic())[0], 0, 'one that is there will do');
is((run_relay($node, '--stream', 'usage', '--create', '--if-not-exists', '--sink', "kafka:$address/checked", '--check', '--sink-option', 'security.protocol=ssl'))[0], 5, 'not by TLS');

# Record batches that are refused: only what is too large itself is a dead
# letter, and no item's later version comes before an earlier one, although a
# record batch of the last versions alone would be taken. The relay sleeps until
# all of them are there, so that it delivers them together.
new_stream($node, 'flow');
my @flow = ('--stream', 'flow', '--status-interval', 1, '--metrics-file', "$dir/metrics", '--sink', "kafka:$address/flow", '--sink-option', 'batch.size=50000');
my $log = "$dir/flow.log";
my $relay = start_relay($node, $log, @flow);
wait_until_confirmed('flow');
$relay->signal('STOP');
my @batch = map { add_event('CMIP6', 'small', $_, 5_000) } 1 .. 12;
splice @batch, 5, 0, add_event('CMIP6', 'large', 1, 30_000);
splice @batch, 7, 0, add_event('CMIP6', 'large', 2, 100);
$node->safe_psql('postgres', join "\n", 'BEGIN;', @batch, 'COMMIT;');
my $before = wal_end($node);
$node->poll_query_until('postgres', "SELECT sent_lsn >= '$before' FROM pg_stat_replication");
$relay->signal('CONT');
wait_until_confirmed('flow');
my @messages = messages($address, 'flow');
is(versions('CMIP6/small', @messages), join(' ', 1 .. 12), 'those that only travelled with a bad one arrive, once and in order');
is(versions('CMIP6/large', @messages), '2', 'the later version of the bad one flows on');
is(dead_letters('flow'), 'CMIP6|large|1|topic flow: Broker: Message size too large', 'which is a dead letter, with what the broker says');

# An item of 5 MB: refused, and redriven once the limit is raised.
my $item = q{jsonb_build_object('type', 'Feature', 'stac_version', '1.1.0', 'id', 'five.v1', 'geometry', NULL, 'links', '[]'::jsonb, 'assets', '{}'::jsonb,
	'properties', jsonb_build_object('datetime', '2020-01-01T00:00:00Z', 'text', repeat('0123456789', 500 * 1000)))};
$node->safe_psql('postgres', "SELECT esgf_stac.create_item('CMIP6', $item)");
add_events($node, 2, 2);
wait_until_confirmed('flow');
like(dead_letters('flow'), qr/^CMIP6\|five.v1\|1\|topic flow: Broker: Message size too large$/m, '5 MB are a dead letter');
is(versions('CMIP6/item-2', messages($address, 'flow')), 1, 'later events flow');

# A listener with TLS and a password, for when the broker is started again.
sub secure_listener
{
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my ($plain, $controller) = @{ $kafka->{command} }[ 3, 4 ];
	system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=broker -addext subjectAltName=IP:127.0.0.1 -keyout $dir/key.pem -out $dir/ca.pem 2>$dir/openssl") == 0 or return;
	append_to_file("$dir/broker.pem", slurp_file("$dir/$_.pem")) for qw(key ca);
	return {
		address => "127.0.0.1:$port",
		settings => [
			"listeners=PLAINTEXT://127.0.0.1:$plain,CONTROLLER://127.0.0.1:$controller,SECURE://127.0.0.1:$port",
			"advertised.listeners=PLAINTEXT://127.0.0.1:$plain,SECURE://127.0.0.1:$port",
			'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL',
			'listener.name.secure.ssl.keystore.type=PEM',
			"listener.name.secure.ssl.keystore.location=$dir/broker.pem",
			'listener.name.secure.sasl.enabled.mechanisms=PLAIN',
			'listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_relay="secret";',
		] };
}

# The broker is away: nothing is confirmed, memory stays bounded, and the
# server, which waits for two seconds, hears from us. Then its limit is higher.
my $refusals = dead_letters('flow');
stop_server($kafka);
truncate $log, 0;
$node->safe_psql('postgres', join "\n", map { add_event('CMIP6', 'away', $_, 40_000) } 1 .. 1000);
$before = wal_end($node);
wait_for('the relay to say so', sub { slurp_file($log) =~ /sink is down, .*Connection refused/ });
wait_for('the metrics', sub { slurp_file("$dir/metrics") =~ /^esgf_stac_relay_up\S* 0$/m });
ok(!confirmed('flow', $before), 'the broker is away: nothing is confirmed');
is($node->safe_psql('postgres', q{SELECT active FROM pg_replication_slots WHERE slot_name = 'esgf_stac_flow'}), 't', 'the relay still speaks to the server');
unlike(slurp_file($log), qr/trying again|streaming from/, 'and always did');
my $pid = $relay->{KIDS}[0]{PID};
my $peak = -e "/proc/$pid/status" && slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m ? $1 / 1024 : undef;
note 'peak memory of the relay: ' . ($peak // 'unknown') . ' MB';
SKIP:
{
	skip 'no /proc here', 1 unless defined $peak;
	cmp_ok($peak, '<', 64, 'memory stays bounded');
}
is(stop_relay($relay), 0, 'SIGTERM while it is away: exit status 0');
$relay = start_relay($node, $log, @flow);
my $secure = secure_listener();
$kafka->{command} = [ (map { s/^(message.max.bytes)=.*/$1=25000000/r } @{ $kafka->{command} }), $secure ? @{ $secure->{settings} } : () ];
start_server($kafka);
wait_until_confirmed('flow', $before);
is(out_of_order(1000, grep { $_->{key} eq 'CMIP6/away' } messages($address, 'flow')), '', 'then all arrives, in order');
is(dead_letters('flow'), $refusals, 'no outage is a dead letter');
$node->safe_psql('postgres', q{SELECT esgf_stac.redrive('flow', 'five.v1')});
wait_for('the redrive', sub { dead_letters('flow') !~ /five/ });
my ($five) = grep { $_->{key} eq 'CMIP6/five.v1' } messages($address, 'flow');
cmp_ok(length $five->{value}, '>', 5_000_000, 'the limit is raised: the redrive delivers the 5 MB');

# 20 MB, as the sink ndjson writes them.
new_stream($node, 'twenty');
$node->safe_psql('postgres', add_event('CMIP6', 'twenty', 1, 20_000_000));
wait_until_confirmed('flow');
run_relay($node, '--stream', 'twenty', '--sink', "ndjson:$dir/twenty", '--endpos', wal_end($node));
my ($twenty) = grep { $_->{key} eq 'CMIP6/twenty' } messages($address, 'flow');
ok($twenty->{value} . "\n" eq slurp_file("$dir/twenty"), 'a document of 20 MB is complete');
cmp_ok(-s "$dir/twenty", '>', 20_000_000, 'which it is');

# A topic that is missing is no fault of the documents. This one is, for Kafka
# makes none beside another whose name differs only by a dot for an underscore.
new_stream($node, 'missing');
my @missing = ('--stream', 'missing', '--sink', "kafka:$address/missing-{collection}", '--no-loop');
$node->safe_psql('postgres', add_event('x.y', 'a', 1, 32));
run_relay($node, @missing, '--endpos', wal_end($node));
is(versions('x.y/a', messages($address, 'missing-x.y')), 1, 'a topic is made');
$node->safe_psql('postgres', add_event('x_y', 'a', 1, 32));
$before = wal_end($node);
($status, undef, $stderr) = run_relay($node, @missing, '--endpos', $before);
is($status, 5, 'one that is missing, and not made: exit status 5');
like($stderr, qr/sink is down, .*topic missing-x_y: .*[Uu]nknown topic/, 'and why');
ok(!confirmed('missing', $before) && dead_letters('missing') eq '', 'nothing is confirmed or refused');

# The bare documents; and a collection whose name is one of Kafka's own topics.
new_stream($node, 'names');
$node->safe_psql('postgres', add_event('__consumer_offsets', 'a', 1, 32) . add_event('z', 'a', 1, 32));
($status, undef, $stderr) = run_relay($node, '--stream', 'names', '--sink', "kafka:$address/{collection}", '--format', 'document', '--no-loop', '--endpos', wal_end($node));
is($status, 0, '--format document') or diag $stderr;
like((messages($address, 'z'))[0]{value}, qr/^\{"text": "\w{32}"\}$/, 'is the document alone');
is(dead_letters('names'), '__consumer_offsets|a|1|topic __consumer_offsets: Broker: Invalid topic', "a topic of Kafka's own is a dead letter");

is(stop_relay($relay), 0, 'stops as asked');

# TLS and a password, by the file that doc/relay.md shows.
SKIP:
{
	skip 'there is no openssl', 4 unless $secure;
	my ($file) = slurp_file("$FindBin::RealBin/../../doc/relay.md") =~ /^(    # \S+\.conf\n(?:    .+\n)+)/m;
	$file =~ s/^    //mg;
	$file =~ s{/etc/esgf_stac/kafka-ca.pem}{$dir/ca.pem};
	$file =~ s{broker1:9093}{$secure->{address}};
	append_to_file("$dir/right.conf", $file);
	append_to_file("$dir/wrong.conf", $file =~ s/password=\S+/password=guess/r);
	new_stream($node, 'east');
	$node->safe_psql('postgres', add_event('CMIP6', 'secret', 1, 32));
	my $end = wal_end($node);
	($status, undef, $stderr) = run_relay($node, '--config', "$dir/wrong.conf", '--no-loop', '--endpos', $end);
	is($status, 5, 'a wrong password: exit status 5');
	like($stderr, qr/sink is down, .*authentication/i, 'and why');
	($status, undef, $stderr) = run_relay($node, '--config', "$dir/right.conf", '--no-loop', '--endpos', $end);
	is($status, 0, 'TLS and SASL as in doc/relay.md') or diag $stderr;
	is(versions('CMIP6/secret', messages($address, 'stac-events')), 1, 'the event came');
}

# ---------------------------------------------------------------- torture

# Twenty items get versions while relay and broker are killed; on a machine where the
# relay is slower than they come, the writer waits for it, or it would never catch up.
new_stream($node, 'torture');
my @torture = ('--stream', 'torture', '--sink', "kafka:$address/torture", '--batch', 50);
my $writer = open_session($node);
$writer->{in} .= q{
	DO $$ BEGIN
	FOR v IN 1..100000 LOOP
		EXIT WHEN EXISTS (SELECT FROM pg_class WHERE relname = 'enough');
		INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
		SELECT gen_random_uuid(), 'CMIP6', 'torture-' || i, 'item.updated', v, jsonb_build_object('text', repeat(md5(v::text), 20)), now(), '{}'
		  FROM generate_series(1, 20) i;
		COMMIT;
		LOOP
			PERFORM pg_sleep(0.01);
			EXIT WHEN NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'esgf_stac_torture' AND confirmed_flush_lsn < pg_current_wal_insert_lsn() - 5e6);
		END LOOP;
	END LOOP; END $$;
	\echo done
};
$writer->{psql}->pump_nb;
$relay = start_relay($node, "$dir/torture.log", @torture);

for my $kill (qw(relay relay broker relay relay relay restart relay relay relay))
{
	my $position = wal_end($node);
	wait_for('some progress', sub { confirmed('torture', $position) });
	note "kill: $kill";
	if ($kill eq 'relay')
	{
		kill_relay($relay);
		$relay = start_relay($node, "$dir/torture.log", @torture);
	}
	else
	{
		$kill eq 'broker' ? kill_server($kafka) : stop_server($kafka);
		start_server($kafka);
	}
}
$node->safe_psql('postgres', 'CREATE TABLE enough ()');
$writer->{psql}->pump until $writer->{out} =~ /done/;
$writer->{psql}->finish;
wait_until_confirmed('torture');
is(stop_relay($relay), 0, 'the relay stops');

my $last = $node->safe_psql('postgres', q{SELECT max(version) FROM esgf_stac.outbox WHERE aggregateid = 'torture-20'});
my %read;
@messages = messages($address, 'torture');
push @{ $read{ $_->{key} } }, $_ for @messages;
is(out_of_order($last, @{ $read{"CMIP6/torture-$_"} }), '', "torture-$_: every version, in order") for 1 .. 20;
is(scalar(keys %read), 20, 'and of no other');
cmp_ok($last, '>', 100, 'which are many');
diag 20 * $last . ' events, ' . (@messages - 20 * $last) . ' repetitions';

stop_server($kafka);
done_testing();
