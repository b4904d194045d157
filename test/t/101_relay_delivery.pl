# The relay writes one line per event, in order, and confirms what is durable.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('delivery');
my $dir = PostgreSQL::Test::Utils::tempdir;

# The line of an event.
new_stream($node, 'lines');
$node->safe_psql('postgres', <<'SQL');
	INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, reason, identity, validated_against, warnings) VALUES
	('11111111-1111-4111-8111-111111111111', 'CMIP6', 'a', 'item.published', 1,
	 '{"number": 1.50, "large": 12345678901234567890.10, "small": 1e-7, "text": "ä\n\"\\"}', '2026-01-31 13:00:00.25+01', NULL, '{}',
	 '[{"url": "https://a.org/ä/v1.0.0/schema.json", "valid": false, "revision": 3}]', '[{"slug": "stac-validation", "detail": "\"x\" is none of\n..."}]'),
	('22222222-2222-4222-8222-222222222222', 'CMIP6', 'a', 'item.deleted', 2, NULL, '2026-01-31 12:00:00+00', E'so "it" is\n\t\\', '{}', '[]', NULL),
	('33333333-3333-4333-8333-333333333333', 'collection', 'CMIP6', 'collection.updated', 7, '{"id": "CMIP6"}', '1850-01-01 00:00:00+00', NULL, '{}', NULL, NULL)
SQL
my $now = wal_end($node);
my ($status, $stdout, $stderr) =
  run_relay($node, '--stream', 'lines', '--sink', 'ndjson:-', '--endpos', $now);
is($status, 0, 'endpos ends the relay') or diag $stderr;
is($stdout, <<'LINES', 'lines on stdout');
{"id":"11111111-1111-4111-8111-111111111111","type":"item.published","collection_id":"CMIP6","item_id":"a","version":1,"time":"2026-01-31T12:00:00.25Z","reason":null,"document":{"text": "ä\n\"\\", "large": 12345678901234567890.10, "small": 0.0000001, "number": 1.50},"validated_against":[{"url": "https://a.org/ä/v1.0.0/schema.json", "valid": false, "revision": 3}],"warnings":[{"slug": "stac-validation", "detail": "\"x\" is none of\n..."}]}
{"id":"22222222-2222-4222-8222-222222222222","type":"item.deleted","collection_id":"CMIP6","item_id":"a","version":2,"time":"2026-01-31T12:00:00Z","reason":"so \"it\" is\u000a\u0009\\","document":null,"validated_against":[],"warnings":null}
{"id":"33333333-3333-4333-8333-333333333333","type":"collection.updated","collection_id":"CMIP6","item_id":null,"version":7,"time":"1850-01-01T00:00:00Z","reason":null,"document":{"id": "CMIP6"},"validated_against":null,"warnings":null}
LINES
ok((decode_json($_), 1), 'a line is JSON') for split /\n/, $stdout;

($status, $stdout) = run_relay($node, '--stream', 'lines', '--sink', 'ndjson:-', '--endpos', $now);
is("$status $stdout", '0 ', 'what was confirmed does not come again');

# The bare documents.
new_stream($node, 'documents');
$node->safe_psql('postgres', q{
	INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity) VALUES
	(gen_random_uuid(), 'CMIP6', 'bare', 'item.published', 1, '{"number": 1.50}', now(), '{}'),
	(gen_random_uuid(), 'CMIP6', 'bare', 'item.deleted', 2, NULL, now(), '{}')});
$now = wal_end($node);
($status, $stdout) = run_relay($node, '--stream', 'documents', '--sink', 'ndjson:-', '--format', 'document', '--endpos', $now);
is($stdout, qq({"number": 1.50}\nnull\n), '--format document');
$node->safe_psql('postgres', q{SELECT esgf_stac.drop_stream('documents')});

# The settings of the database do not change the line.
$node->safe_psql('postgres', q{ALTER DATABASE postgres SET datestyle = 'German'; ALTER DATABASE postgres SET timezone = 'Asia/Tokyo'});
add_events($node, 1, 1, 9);
$now = wal_end($node);
(undef, $stdout) = run_relay($node, '--stream', 'lines', '--sink', 'ndjson:-', '--endpos', $now);
like($stdout, qr/"time":"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z"/, 'dates whatever the database prefers');

# endpos: what ends later is not delivered.
add_events($node, 1, 1, 20);
$now = wal_end($node);
add_events($node, 1, 1, 21);
(undef, $stdout) = run_relay($node, '--stream', 'lines', '--sink', 'ndjson:-', '--endpos', $now);
like($stdout, qr/\A[^\n]*"version":20,[^\n]*\n\z/, 'endpos leaves later transactions for the next');
$now = wal_end($node);
(undef, $stdout) = run_relay($node, '--stream', 'lines', '--sink', 'ndjson:-', '--endpos', $now);
like($stdout, qr/\A[^\n]*"version":21,[^\n]*\n\z/, 'which delivers them');

# A filtered stream hears of what leaves it as of a deletion.
new_stream($node, 'part', q{, NULL, '$.n == 1'});
$node->safe_psql('postgres', q{
	INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, streams, left_streams, identity, validated_against, warnings)
	SELECT gen_random_uuid(), 'CMIP6', 'f' || v, 'item.updated', v, '{}', now(), streams::text[], left_streams::text[], '{}', '[1]', '[2]'
	  FROM (VALUES (1, '{part}', NULL), (2, NULL, '{part}'), (3, '{parts,other}', '{other2}'),
	               (4, '{other,part}', '{null}'), (5, '{parts}', '{apart,part}'), (6, '{}', '{}')) e (v, streams, left_streams)});
$now = wal_end($node);
(undef, $stdout) = run_relay($node, '--stream', 'part', '--sink', 'ndjson:-', '--endpos', $now);
is(join(' ', map { my $e = decode_json($_); join '', $e->{item_id}, map { $_ ? '+' : '-' } @$e{qw(document validated_against warnings)} } split /\n/, $stdout),
	'f1+++ f2--- f4+++ f5---', 'a filtered stream');

# A running relay: a transaction as it is committed, an idle slot that moves on.
my $file = "$dir/events";
new_stream($node, 'running');
my $relay = start_relay($node, "$dir/log", '--stream', 'running', '--sink', "ndjson:$file");
add_events($node, 1, 1000);
wait_for('1000 events', sub { read_lines($file) >= 1000 });
is_deeply([ map { $_->{item_id} } read_events($file) ], [ map { "item-$_" } 1 .. 1000 ], 'all events, in order');
$node->safe_psql('postgres', 'CREATE TABLE noise AS SELECT generate_series(1, 10000)');
$now = wal_end($node);
ok($node->poll_query_until('postgres',
		"SELECT confirmed_flush_lsn >= '$now' FROM pg_replication_slots WHERE slot_name = 'esgf_stac_running'"),
	'an idle stream confirms what is not its own');

# Stopping.
is(stop_relay($relay), 0, 'SIGTERM: exit status 0');
add_events($node, 1, 1, 30);
$relay = start_relay($node, "$dir/log", '--stream', 'running', '--sink', "ndjson:$file");
wait_for('one more event', sub { read_lines($file) >= 1001 });
is(stop_relay($relay, 'INT'), 0, 'SIGINT: exit status 0');
is(scalar(read_lines($file)), 1001, 'a stopped relay has confirmed everything');

# A server that is stopped waits for the confirmation, and is found again.
$relay = start_relay($node, "$dir/log", '--stream', 'running', '--sink', "ndjson:$file");
add_events($node, 1, 100, 40);
wait_for('the relay to read', sub { read_lines($file) > 1001 });
$node->restart;
add_events($node, 1, 1, 50);
wait_for('an event after the restart', sub { (read_lines($file))[-1] =~ /"version":50,/ });
is(scalar(read_lines($file)), 1102, 'no event twice over a fast restart');
is(stop_relay($relay), 0, 'still stops');

done_testing();
