# Streams that 0.1.0 made publish fewer columns. They go on as they are until
# refresh_stream(), which each reader notices between two events and loses none
# by, while others write: the relay, a subscription whose table has the columns,
# and one whose table lacks them until somebody adds them. What is affixed to an
# item stands in every line that the relay makes of it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('source');
my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->append_conf('postgresql.conf', "wal_retrieve_retry_interval = '200ms'\n");
$other->start;
my $dir = PostgreSQL::Test::Utils::tempdir;
my @sizes = (5, 40, 200);
my $columns = 'seq, id, aggregatetype, aggregateid, type, version, payload, occurred_at, reason, batch, streams, left_streams, request_id, xid';

# Items of each size with something affixed, which what changes no content keeps.
new_items($node, 1, 1);
$node->safe_psql('postgres', slurp_file("$FindBin::RealBin/../realistic.sql"));
$node->safe_psql('postgres', qq{
	SELECT esgf_stac.create_item('CMIP6', realistic.item('kb' || kilobytes || '.v1', kilobytes)) FROM unnest('{@{[join ',', @sizes]}}'::int[]) kilobytes;
	CREATE TABLE writing AS SELECT true AS go_on;
	SET session_replication_role = replica;
	UPDATE esgf_stac.item SET validated_against = (SELECT jsonb_agg(jsonb_build_object('url', 'https://s.org/' || n, 'revision', n, 'sha256', encode(sha256(n::text::bytea), 'hex'), 'cv_version', NULL, 'valid', true)) FROM generate_series(1, 30) n)
	 WHERE id LIKE 'kb%'});
my $affixed = $node->safe_psql('postgres', q{SELECT DISTINCT validated_against FROM esgf_stac.item WHERE id LIKE 'kb%'});

# A stream as 0.1.0 made it: row filter and all but its columns are the same today.
sub old_stream
{
	my ($name, $arguments) = @_;
	$node->safe_psql('postgres', "SELECT esgf_stac.create_stream('$name'" . ($arguments // '') . ')');
	my $filter = $node->safe_psql('postgres', "SELECT 'WHERE (' || rowfilter || ')' FROM pg_publication_tables WHERE pubname = 'esgf_stac_$name'");
	$node->safe_psql('postgres', "ALTER PUBLICATION esgf_stac_$name SET TABLE esgf_stac.outbox ($columns) $filter");
	return;
}
my @streams = qw(relayed ready late);
old_stream('relayed');
old_stream('ready', q{, '{CMIP6}', '$.properties.datetime == null'});
old_stream('late');

# A subscription into a database of its own.
sub subscribe
{
	my ($name, $more) = @_;
	$other->safe_psql('postgres', "CREATE DATABASE $name");
	$other->safe_psql($name, qq{
		CREATE SCHEMA esgf_stac;
		CREATE TABLE esgf_stac.outbox (seq bigint PRIMARY KEY, id uuid, aggregatetype text, aggregateid text, type text, version bigint, payload jsonb,
			occurred_at timestamptz, reason text, batch text, streams text[], left_streams text[], request_id text, xid xid8 $more)});
	my $source = $node->connstr('postgres') =~ s/'/''/gr;
	$other->safe_psql($name, "CREATE SUBSCRIPTION $name CONNECTION '$source' PUBLICATION esgf_stac_$name
		WITH (slot_name = 'esgf_stac_$name', copy_data = false)");
	return;
}
subscribe('ready', ', validated_against jsonb, warnings jsonb');
subscribe('late', '');

# What the relay has written, without the documents, which take long to read.
sub events
{
	return map { JSON::PP::decode_json($_) } map { s/"document":\{.*\},"validated_against"/"document":{},"validated_against"/r } read_lines("$dir/events");
}

# The relay seeds, and follows.
is((run_relay($node, '--stream', 'relayed', '--create'))[0], 0, 'the relay takes a stream of 0.1.0');
my $relay = start_relay($node, "$dir/log", '--stream', 'relayed', '--sink', "ndjson:$dir/events", '--snapshot', '--batch', 7, '--status-interval', 1);
wait_for('the items are seeded', sub { read_lines("$dir/events") == 4 });
is_deeply([ map { $_->{type} . ' ' . (defined $_->{validated_against} ? scalar @{ $_->{validated_against} } : 'null') . (defined $_->{warnings} ? ' warnings' : '') } sort { $a->{item_id} cmp $b->{item_id} } events() ],
	[ 'item.seeded null', ('item.seeded 30') x 3 ], 'a seeded line has what is affixed to its item');

# Writers, each of one item, in a transaction of two events and one that is rolled back; a writer who began before it.
my $early = open_session($node);
in_session($early, q{BEGIN; CREATE TEMPORARY TABLE t AS SELECT 1; SELECT version FROM esgf_stac.published_item LIMIT 1;});
my @writers = map {
	my $id = "kb$_.v1";
	IPC::Run::start([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c', qq{
		DO \$\$ BEGIN
			WHILE (SELECT go_on FROM writing) LOOP
				PERFORM esgf_stac.retract_item('CMIP6', '$id');
				PERFORM esgf_stac.reinstate_item('CMIP6', '$id');
				COMMIT;
				PERFORM esgf_stac.delete_item('CMIP6', '$id');
				ROLLBACK;
			END LOOP;
		END \$\$} ], '<', \undef, '>', "$dir/writer$_", '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default))
} @sizes;

sub wait_for_writers
{
	my $before = $node->safe_psql('postgres', 'SELECT max(seq) FROM esgf_stac.outbox');
	return wait_for('somebody writes', sub { $node->safe_psql('postgres', "SELECT count(*) >= 20 FROM esgf_stac.outbox WHERE seq > $before") eq 't' });
}
for my $stream (@streams)
{
	wait_for_writers();
	$node->safe_psql('postgres', "SELECT esgf_stac.refresh_stream('$stream')");
}
wait_for_writers();
$node->safe_psql('postgres', 'UPDATE writing SET go_on = false');
in_session($early, q{SELECT esgf_stac.retract_item('CMIP6', 'item-1.v1'); COMMIT;});
roll_back($early);
$_->finish for @writers;
is(join('', map { slurp_file("$dir/writer$_") } @sizes), '', 'writers write on');
$node->safe_psql('postgres', q{SELECT esgf_stac.retract_item('CMIP6', id) FROM esgf_stac.published_item WHERE id LIKE 'kb%'});

# Who lacks the columns stands still, and goes on once they are there.
like(slurp_file($other->logfile), qr/missing replicated columns: "validated_against", "warnings"/, 'a subscription without the columns stops')
  if wait_for('it stops', sub { slurp_file($other->logfile) =~ /missing replicated columns/ });
$other->safe_psql('late', 'ALTER TABLE esgf_stac.outbox ADD COLUMN validated_against jsonb, ADD COLUMN warnings jsonb');
for my $stream (qw(ready late))
{
	$node->wait_for_catchup($stream);
	my ($seqs, $marks, $values) = split /\|/, $other->safe_psql($stream, q{
		SELECT string_agg(seq::text, ' ' ORDER BY seq), string_agg(CASE WHEN validated_against IS NULL THEN '-' ELSE '+' END, '' ORDER BY seq) FILTER (WHERE aggregateid LIKE 'kb%'),
		       string_agg(DISTINCT validated_against::text, ' ')
		  FROM esgf_stac.outbox});
	is($seqs, $node->safe_psql('postgres', q{SELECT string_agg(seq::text, ' ' ORDER BY seq) FROM esgf_stac.outbox WHERE seq > 5 AND aggregateid LIKE } . ($stream eq 'ready' ? q{'kb%'} : q{'%'})), "$stream: every event, once");
	like($marks, qr/\A-{10,}\+{10,}\z/, 'without the new columns at first, then with them');
	is($values, $affixed, 'and what is in them');
}

# The relay's lines: all versions in their order, none twice, and null until the refresh.
wait_for('all is delivered', sub { $node->safe_psql('postgres', q{SELECT lag_events FROM esgf_stac.stream_status WHERE name = 'relayed'}) eq '0' });
my @lines = grep { defined $_->{id} } events();
is(join(' ', sort map { "$_->{item_id}:$_->{version}" } @lines),
	join(' ', sort split /\n/, $node->safe_psql('postgres', q{SELECT concat_ws(':', aggregateid, version) FROM esgf_stac.outbox WHERE seq > 5})), 'the relay: every event, once');
like(join('', map { !exists $_->{validated_against} ? '?' : defined $_->{validated_against} ? '+' : '-' } grep { $_->{item_id} =~ /^kb/ } @lines), qr/\A-{10,}\+{10,}\z/, 'null at first, then what is affixed');

# A redriven line has it, and no warnings; so has what is repeated from the outbox.
$node->safe_psql('postgres', q{
	INSERT INTO esgf_stac.dead_letter (stream, collection_id, item_id, version, reason) VALUES ('relayed', 'CMIP6', 'kb40.v1', 1, 'by hand');
	SELECT esgf_stac.redrive('relayed')});
wait_for('it is redriven', sub { grep { !defined $_->{id} && $_->{item_id} eq 'kb40.v1' && $_->{version} > 1 } events() });
my ($redriven) = grep { !defined $_->{id} && $_->{version} > 1 } events();
is_deeply([ scalar @{ $redriven->{validated_against} }, $redriven->{warnings} ], [ 30, undef ], 'a redriven line has what is affixed');
is(stop_relay($relay), 0, 'the relay has lived through all of it');
unlike(slurp_file("$dir/log"), qr/level=(?:error|warning)/, 'without a complaint');

$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('esgf_stac_relayed');
	INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity, validated_against, warnings)
	VALUES (gen_random_uuid(), 'CMIP6', 'late.v1', 'item.updated', 1, '{}', now(), '{}', '[1]', '[2]')});
is((run_relay($node, '--stream', 'relayed', '--sink', "ndjson:$dir/events", '--create', '--endpos', wal_end($node)))[0], 0, 'a lost slot');
my ($last) = reverse read_lines("$dir/events");
like($last, qr/"item_id":"late\.v1".*,"document":\{\},"validated_against":\[1\],"warnings":\[2\]\}$/, 'is replayed with all columns');

# By plain SQL.
is($node->safe_psql('postgres', q{SELECT event -> 'validated_against', event -> 'warnings' FROM esgf_stac.changes(NULL, 10000) WHERE event ->> 'item_id' = 'late.v1'}), '[1]|[2]', 'changes() has both');
is($node->safe_psql('postgres', q{SELECT count(*), count(*) FILTER (WHERE event -> 'validated_against' = 'null'), count(*) FILTER (WHERE event ? 'warnings') = count(*) FROM esgf_stac.changes(NULL, 10000) WHERE event ->> 'item_id' = 'item-1.v1'}), '2|2|t', 'null where nothing is');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT validated_against), count(warnings) FROM esgf_stac.history('CMIP6', 'kb5.v1')}), '1|0', 'so has history()');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.doctor() WHERE hazard IN ('columns', 'publication')}), 0, 'no stream is of before');

done_testing();
