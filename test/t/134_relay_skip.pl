# An event that cannot be sent, because its text is longer than a message may be:
# the relay names it, skip_event() has it passed over, and nothing else is lost.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('skip');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";
my $sql = sub { return $node->safe_psql('postgres', $_[0]) };

sub items { return join ' ', map { "$_->{item_id}:$_->{version}" } read_events("$dir/a") }

sub refused
{
	my ($query, $pattern, $name) = @_;
	my (undef, undef, $stderr) = $node->psql('postgres', "\\set VERBOSITY verbose\n$query", on_error_stop => 0);
	like($stderr, $pattern, $name);
	is($sql->('SELECT count(*) FROM esgf_stac.dead_letter WHERE skipped'), 0, "$name: no letter");
	return;
}

new_stream($node, 'a');
my $none = q{'00000000-0000-0000-0000-000000000000'};
refused("SELECT esgf_stac.skip_event('a', $none)", qr/PT400.*CONSTRAINT NAME:  operation-not-permitted/s, 'a stream that no relay has delivered from');
my $relay = start_relay($node, $log, '--stream', 'a', '--sink', "ndjson:$dir/a");
$node->poll_query_until('postgres', 'SELECT active FROM pg_replication_slots');
add_events($node, 1, 2);
wait_for('two events', sub { read_lines("$dir/a") == 2 });
refused("SELECT esgf_stac.skip_event('nowhere', $none)", qr/PT400.*CONSTRAINT NAME:  bad-request/s, 'no stream');
refused("SELECT esgf_stac.skip_event('a', $none)", qr/PT404.*CONSTRAINT NAME:  event-does-not-exist/s, 'no event');
refused("SELECT esgf_stac.skip_event('a', NULL)", qr/PT404.*CONSTRAINT NAME:  event-does-not-exist/s, 'NULL is no event');
$node->poll_query_until('postgres', q{SELECT lag_events = 0 FROM esgf_stac.stream_status});
my $delivered = $sql->(q{SELECT id FROM esgf_stac.outbox LIMIT 1});
refused("SELECT esgf_stac.skip_event('a', '$delivered')", qr/PT404.*CONSTRAINT NAME:  event-does-not-exist/s, 'one that was delivered');

# 8,500 numbers of 131,072 digits: little jsonb, and more than 1 GB of text. By hand, for a document has a bound.
$sql->(q{INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
	SELECT gen_random_uuid(), 'CMIP6', 'huge', 'item.published', 1, jsonb_build_object('n', jsonb_agg(1e131071)), now(), '{}' FROM generate_series(1, 8500)});
add_events($node, 3, 5);
my $huge = $sql->(q{SELECT id FROM esgf_stac.outbox WHERE aggregateid = 'huge'});
wait_for('the relay to name it', sub { slurp_file($log) =~ /problem=event-too-large .*\Q$huge\E \(item.published of CMIP6 huge, version 1\); SELECT esgf_stac.skip_event\('a', '\Q$huge\E'\)/ });
ok($node->poll_query_until('postgres', "SELECT warning LIKE 'an event cannot be sent: $huge%' FROM esgf_stac.stream_status"), 'so does stream_status');
is($sql->(q{SELECT cure FROM esgf_stac.doctor() WHERE hazard = 'stream stands still'}), "SELECT esgf_stac.skip_event('a', '$huge');", 'and doctor() says what to do');
is(items(), 'item-1:1 item-2:1', 'what comes after it waits');

$sql->("SELECT esgf_stac.skip_event('a', '$huge')");
wait_for('the others', sub { items() =~ /item-5:1/ });
unlike(items(), qr/huge/, 'it is passed over');
is($sql->(q{SELECT item_id || ' ' || reason FROM esgf_stac.dead_letter WHERE settled_at IS NULL}) =~ /^huge passed over by /, 1, 'and has left a dead letter');
add_events($node, 6, 6);
wait_for('what follows', sub { items() =~ /item-6:1/ });
ok($node->poll_query_until('postgres', q{SELECT warning IS NULL AND lag_events = 0 FROM esgf_stac.stream_status}), 'the stream is well');
is(stop_relay($relay), 0, 'the relay stops');

# Nor does it come back where the slot is lost, or where everything is repeated.
$sql->(q{SELECT pg_drop_replication_slot('esgf_stac_a'); UPDATE esgf_stac.consumer SET horizon = '3', confirmed = '0/0'});
my ($status, undef, $stderr) = run_relay($node, '--stream', 'a', '--sink', "ndjson:$dir/a", '--endpos', wal_end($node), '--no-loop');
is($status, 0, 'a replay passes it over') or diag $stderr;
is(() = items() =~ /item-2:1/g, 2, 'and repeats the others');

done_testing();
