# The outbox through plain SQL: changes() without gaps, prune_outbox() without
# loss, doctor() with cures that cure.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('outbox', "max_wal_size = '32MB'\nmin_wal_size = '32MB'");
my $sql = sub { $node->safe_psql('postgres', @_) };

$sql->(q{SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "C", "description": "d", "license": "MIT",
	"links": [], "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}')});
$sql->(q{CREATE FUNCTION publish(id text) RETURNS bigint LANGUAGE sql AS $$ SELECT version FROM esgf_stac.create_item('C', jsonb_build_object(
	'type', 'Feature', 'stac_version', '1.1.0', 'id', id, 'geometry', null, 'properties', '{"datetime": "2000-01-01T00:00:00Z"}'::jsonb, 'assets', '{}'::jsonb)) $$});

# Read page by page to the end, as a client does.
sub read_changes
{
	my ($cursor, $page) = @_;
	my @seen;
	while (1)
	{
		my $argument = defined $cursor ? "'$cursor'" : 'NULL';
		my @rows = split /\n/, $sql->("SELECT cursor || ' ' || (event ->> 'type') || ' ' || coalesce(event ->> 'item_id', '-') || ' ' || (event ->> 'version') FROM esgf_stac.changes($argument, $page)");
		return ($cursor, @seen) if !@rows;
		push @seen, map { /^\S+ (.*)/ } @rows;
		($cursor) = $rows[-1] =~ /^(\S+)/;
	}
}

$sql->("SELECT publish('a.v' || i) FROM generate_series(1, 3) i");
my ($cursor, @seen) = read_changes(undef, 2);
is(join(', ', @seen), 'collection.published - 1, item.published a.v1 1, item.published a.v2 1, item.superseded a.v1 2, item.published a.v3 1, item.superseded a.v2 2', 'all events, page by page');
is(join(', ', (read_changes($cursor, 1000))[ 1 .. 0 ]), '', 'and no more');

# A transaction that takes its seq early and commits late is not skipped, and holds up nobody.
my $late = $node->background_psql('postgres');
$late->query_safe("BEGIN; SELECT publish('late')");
$sql->("SELECT publish('early')");
my ($between, @meanwhile) = read_changes($cursor, 1000);
is("@meanwhile", 'item.published early 1', 'what is committed is there at once');
$late->query_safe('COMMIT');
$late->quit;
(undef, @meanwhile) = read_changes($between, 1000);
is("@meanwhile", 'item.published late 1', 'and what an older transaction wrote once it is');

my $event = decode_json($sql->("SELECT event FROM esgf_stac.changes('$cursor', 1)"));
is(join(' ', sort keys %$event), 'collection_id document id item_id reason time type validated_against version warnings', 'an event is as the relay writes it');
like($event->{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, 'its time is RFC 3339');
is($event->{document}{id}, $event->{item_id}, 'it is complete');

sub refused
{
	my ($query, $state, $slug, $name) = @_;
	my (undef, undef, $stderr) = $node->psql('postgres', "\\set VERBOSITY verbose\n$query", on_error_stop => 0);
	ok($stderr =~ /ERROR:  $state: / && $stderr =~ /CONSTRAINT NAME:  $slug/, $name) or diag $stderr;
	return;
}
refused("SELECT esgf_stac.changes('x')", 'PT400', 'bad-request', 'a cursor that is none');
refused("SELECT esgf_stac.changes('1/2/3')", 'PT400', 'bad-request', 'a cursor of another cluster');
refused('SELECT esgf_stac.changes(NULL, 0)', 'PT400', 'bad-request', 'no events');
refused('SELECT esgf_stac.changes(NULL, NULL)', 'PT400', 'bad-request', 'an unknown number of events');
refused("SELECT esgf_stac.prune_outbox('-1 day')", 'PT400', 'bad-request', 'pruning the future');
refused('SELECT esgf_stac.prune_outbox(NULL)', 'PT400', 'bad-request', 'pruning by an unknown time');

# One stream: what changes() tells is what the relay delivers, line by line.
$sql->(q{SELECT esgf_stac.create_collection(document || '{"id": "D"}') FROM esgf_stac.collection});
$sql->(q{SELECT esgf_stac.create_stream('d', '{D}'), esgf_stac.create_stream('titled', NULL, '$.properties.title starts with "T"'), esgf_stac.create_stream('c_titled', '{C}', '$.properties.title starts with "T"')});
run_relay($node, '--stream', $_, '--create') for qw(d titled c_titled);
my $before = $sql->('SELECT max(cursor) FROM (SELECT cursor FROM esgf_stac.changes(NULL, 10000) WITH ORDINALITY ORDER BY ordinality DESC LIMIT 1) c');
$sql->(qq{SELECT esgf_stac.$_}) for map { my $c = $_; map { s/\bC\b/'$c'/r } (
		q{create_item(C, document || '{"id": "s.v1", "collection": null}') FROM esgf_stac.item WHERE id = 'early'},
		q{patch_item(C, 's.v1', '{"properties": {"title": "T"}}')}, q{patch_item(C, 's.v1', '{"bbox": [0, 0, 1, 1]}')}, q{retract_item(C, 's.v1')},
		q{reinstate_item(C, 's.v1')}, q{patch_item(C, 's.v1', '{"properties": {"title": "U"}}')}, q{patch_item(C, 's.v1', '{"properties": {"title": "V"}}')},
		q{patch_item(C, 's.v1', '{"properties": {"title": "T"}}')}, q{delete_item(C, 's.v1')}, q{restore_item(C, 's.v1')}, q{patch_collection(C, '{"title": "t"}')}) } qw(C D);
for my $stream (qw(d titled c_titled))
{
	my $file = PostgreSQL::Test::Utils::tempdir . "/$stream";
	run_relay($node, '--stream', $stream, '--sink', "ndjson:$file", '--endpos', $sql->('SELECT pg_current_wal_insert_lsn()'));
	my $plain = sub { return map { my $e = decode_json($_); delete $e->{time}; JSON::PP->new->canonical->encode($e) } @_ };
	my @delivered = $plain->(split /\n/, slurp_file($file));
	my @told = $plain->(split /\n/, $sql->("SELECT event FROM esgf_stac.changes('$before/$stream', 10000, '$stream')"));
	is(join("\n", @told), join("\n", @delivered), "stream $stream: changes() tells what the relay delivers");
	cmp_ok(scalar(@told), '>', 5, scalar(@told) . ' events');
	my $cursor = $sql->("SELECT cursor FROM esgf_stac.changes(NULL, 3, '$stream') OFFSET 2");
	is($sql->("SELECT count(*) FROM esgf_stac.changes('$cursor', 10000, '$stream')"), $sql->("SELECT count(*) - 3 FROM esgf_stac.changes(NULL, 10000, '$stream')"), 'page by page');
	refused("SELECT esgf_stac.changes('$cursor')", 'PT400', 'bad-request', 'its cursor is not one of all events');
	refused("SELECT esgf_stac.changes('$cursor', 1, '" . ($stream eq 'd' ? 'titled' : 'd') . "')", 'PT400', 'bad-request', 'nor of another stream');
	refused("SELECT esgf_stac.changes('$before', 1, '$stream')", 'PT400', 'bad-request', 'and one of all events not its');
}
refused("SELECT esgf_stac.changes(stream => 'nobody')", 'PT400', 'bad-request', 'a stream that is not there');
$sql->("SELECT esgf_stac.drop_stream(name) FROM esgf_stac.stream");
$sql->('SELECT esgf_stac.patch_item(collection_id, id, \'{"properties": {"done": true}}\') FROM esgf_stac.published_item WHERE id = \'s.v1\'');

# Pruning keeps what is young, and what a relay has not delivered.
is($sql->('SELECT esgf_stac.prune_outbox()'), '0', 'nothing is 90 days old');
new_stream($node, 'east');
run_relay($node, '--stream', 'east', '--sink', 'ndjson:' . PostgreSQL::Test::Utils::tempdir . '/east', '--endpos', $sql->('SELECT pg_current_wal_insert_lsn()'));
$sql->("SELECT publish('pending')");
my $count = $sql->('SELECT count(*) FROM esgf_stac.outbox');
my $pruned = $sql->("SELECT esgf_stac.prune_outbox('0')");
is($sql->('SELECT count(*) FROM esgf_stac.outbox') + $pruned, $count, 'what is pruned is gone');
is($sql->("SELECT count(*) FROM esgf_stac.outbox WHERE aggregateid = 'pending'"), '1', 'what the relay has not delivered is kept');
ok($pruned > 0, 'what it has delivered is not');
refused("SELECT esgf_stac.changes('$cursor')", 'PT404', 'version-pruned', 'a cursor before what was pruned');
is($sql->("SELECT esgf_stac.prune_outbox('0', true) > 0"), 't', 'unless one says so');
is($sql->('SELECT count(*) FROM esgf_stac.outbox'), '0', 'all is pruned');
is($sql->("SELECT version FROM esgf_stac.patch_item('C', 'a.v1', '{\"bbox\": [0, 0, 1, 1]}')"), '3', 'versions go on');
refused("SELECT esgf_stac.get_item('C', 'a.v1', 1)", 'PT404', 'version-pruned', 'a pruned version');

# The doctor: each hazard is found, and its cure removes it.
sub hazards { return $sql->(q{SELECT coalesce(string_agg(hazard || ': ' || subject, ', ' ORDER BY hazard, subject), '') FROM esgf_stac.doctor() WHERE hazard NOT IN ('unread slot', 'unlimited WAL')}) }
sub cure { return $sql->($sql->("SELECT cure FROM esgf_stac.doctor() WHERE hazard = '$_[0]'")) }

is(hazards(), '', 'all is well');
like($sql->("SELECT cure FROM esgf_stac.doctor() WHERE hazard = 'unlimited WAL'"), qr/max_slot_wal_keep_size/, 'but for WAL without limit');
like($sql->("SELECT detail FROM esgf_stac.doctor() WHERE hazard = 'unread slot'"), qr/nobody reads the slot/, 'and a slot that is not read');
$sql->("SELECT pg_create_logical_replication_slot('esgf_stac_orphan', 'pgoutput')");
is(hazards(), 'orphan slot: esgf_stac_orphan', 'an orphan slot');
cure('orphan slot');
$sql->('CREATE PUBLICATION esgf_stac_nobody');
is(hazards(), 'orphan publication: esgf_stac_nobody', 'an orphan publication');
cure('orphan publication');
$sql->("ALTER PUBLICATION esgf_stac_east SET (publish = 'insert, update')");
is(hazards(), 'publication: east', 'a publication that is not as its stream');
cure('publication');
# (That its cure cures is what an upgrade's test tells.)
$sql->("UPDATE esgf_stac.catalogue SET version = '0.0.1'");
is(hazards(), 'version: catalogue', 'another version');
$sql->('UPDATE esgf_stac.catalogue SET version = esgf_stac.installed_version()');
$sql->('UPDATE esgf_stac.catalogue SET system_identifier = 1');
is(hazards(), 'not adopted: catalogue', 'a catalogue of another cluster');
cure('not adopted');
is(hazards(), '', 'all is well again');

# stream_status says what is wrong with a slot in plain words.
sub warning { return $sql->("SELECT warning FROM esgf_stac.stream_status WHERE name = 'east'") }
is(warning(), 'no slot: nobody has begun to read', 'the stream was cured by making it anew');
run_relay($node, '--stream', 'east', '--create');
is(warning(), 'nobody reads the slot', 'a slot without a reader');
$sql->('SELECT pg_logical_emit_message(true, \'x\', \'x\'); SELECT pg_switch_wal()') for 1 .. 4;
is(warning(), 'slot holds too much WAL: more than max_wal_size', 'and one that holds too much');

done_testing();
