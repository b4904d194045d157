# The PostgreSQL sink, and what happens to events that a sink does not take.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('source');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";

# The index is a server of its own, for it will go down.
my $index = PostgreSQL::Test::Cluster->new('index');
$index->init;
$index->append_conf('postgresql.conf', "synchronous_commit = off\nwal_writer_delay = 10s\n");
$index->start;
my $sink = 'postgres:' . $index->connstr('postgres') . '#public.items';
new_stream($node, 'a');
my @read = ('--stream', 'a', '--sink', $sink);

sub in_index
{
	my ($query) = @_;
	return $index->safe_psql('postgres', $query);
}

sub emit
{
	my ($item, $version, $document) = @_;
	$node->safe_psql('postgres', qq{
		INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
		VALUES (gen_random_uuid(), 'CMIP6', '$item', 'item.updated', $version, $document, now(), '{}')});
	return;
}

# Refused on the command line, and as nonsense.
my ($status, undef, $stderr) = run_relay($node, '--stream', 'a', '--sink', 'postgres:dbname=x password=secret#t');
is($status, 2, 'a password in --sink');
unlike($stderr, qr/secret/, 'is not repeated');
for my $target ('postgres:dbname=x', 'postgres:dbname=x#', 'postgres:dbname=x nonsense#t')
{
	($status) = run_relay($node, '--stream', 'a', '--sink', $target);
	is($status, 2, "no such target: $target");
}

# Upserts, deletions, repetitions; events of collections are left out.
emit('a', 1, q{'{"n": 1.50}'});
emit('a', 2, q{'{"n": 2.50}'});
emit('b', 1, q{'{}'});
emit('b', 2, 'NULL');
$node->safe_psql('postgres', q{
	INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
	VALUES (gen_random_uuid(), 'collection', 'OTHER', 'collection.updated', 1, '{}', now(), '{}')});
($status, undef, $stderr) = run_relay($node, @read, '--endpos', wal_end($node));
is($status, 0, 'the table is made') or diag $stderr;
my $everything = q{SELECT string_agg(concat_ws(' ', collection_id, item_id, version, document), ', ' ORDER BY item_id) FROM items};
is(in_index($everything), 'CMIP6 a 2 {"n": 2.50}, CMIP6 b 2', 'the newest version of each; a tombstone');
is(in_index(q{SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'items'::regclass AND attnum > 0}),
	'collection_id item_id version document', 'its columns');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('esgf_stac_a'); UPDATE esgf_stac.consumer SET horizon = '3', confirmed = '0/0'});
in_index(q{UPDATE items SET version = 9, document = '{"newer": true}' WHERE item_id = 'a'});
run_relay($node, @read, '--endpos', wal_end($node));
is(in_index($everything), 'CMIP6 a 9 {"newer": true}, CMIP6 b 2', 'a repetition overwrites nothing newer');

# A running relay.
my $relay = start_relay($node, $log, @read);
add_events($node, 1, 2000);
wait_for('2000 items', sub { in_index(q{SELECT count(*) FROM items WHERE item_id LIKE 'item-%'}) == 2000 });

# One refused document: the others, and its item's later events, go on.
in_index(q{ALTER TABLE items ADD CONSTRAINT no_poison CHECK (document IS NULL OR NOT document ? 'poison')});
emit('c', 1, q{'{"poison": 1}'});
emit('d', 1, q{'{}'});
emit('c', 2, q{'{"poison": 2}'});
emit('c', 3, q{'{"good": 3}'});
emit('e', 1, q{'{"poison": 1}'});
wait_for('the later events', sub { in_index(q{SELECT count(*) FROM items WHERE item_id IN ('c', 'd')}) == 2 });
is(in_index(q{SELECT version FROM items WHERE item_id = 'c'}), 3, 'an item goes on after a refused document');
my $letters = q{SELECT string_agg(concat_ws(' ', collection_id, item_id, version, document, reason ~ 'no_poison', event_id IS NOT NULL, settled_at IS NOT NULL), ', '
	ORDER BY item_id, version) FROM esgf_stac.dead_letter};
wait_for('dead letters', sub { $node->safe_psql('postgres', 'SELECT count(*) FROM esgf_stac.dead_letter') == 3 });
is($node->safe_psql('postgres', $letters),
	'CMIP6 c 1 {"poison": 1} t t f, CMIP6 c 2 {"poison": 2} t t f, CMIP6 e 1 {"poison": 1} t t f',
	'dead letters with reason and document');
like(slurp_file($log), qr/refused: item.updated of CMIP6 e, version 1: .*no_poison/, 'and a log line');

# Poison in a batch of many, all of them beside it pass.
$node->safe_psql('postgres', q{
	INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
	SELECT gen_random_uuid(), 'CMIP6', 'many-' || i, 'item.published', 1,
	       CASE WHEN i % 100 = 7 THEN '{"poison": 0}'::jsonb ELSE '{}' END, now(), '{}' FROM generate_series(1, 1000) i});
wait_for('the others', sub { in_index(q{SELECT count(*) FROM items WHERE item_id LIKE 'many-%'}) == 990 });
wait_for('ten letters', sub { $node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.dead_letter WHERE item_id LIKE 'many-%'}) == 10 });

# Redrive sends the current state of real items.
new_items($node, 1, 4);
wait_for('the items', sub { in_index(q{SELECT count(*) FROM items WHERE item_id LIKE 'item-%.v1'}) == 4 });
in_index(q{ALTER TABLE items DROP CONSTRAINT no_poison});
in_index(q{ALTER TABLE items ADD CONSTRAINT no_poison CHECK (document IS NULL OR NOT document->'properties' ? 'poison')});
$node->safe_psql('postgres', q{
	SELECT esgf_stac.patch_item('CMIP6', 'item-' || i || '.v1', '{"properties": {"poison": 1}}') FROM generate_series(1, 4) i;
	SELECT esgf_stac.delete_item('CMIP6', 'item-3.v1');
	SELECT esgf_stac.patch_item('CMIP6', 'item-4.v1', '{"properties": {"poison": null}}')});
wait_for('more letters', sub { $node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.dead_letter WHERE item_id LIKE 'item-%'}) == 4 });
is($node->safe_psql('postgres', q{SELECT esgf_stac.redrive('a', 'item-1.v1')}), 1, 'redrive of one item');
wait_for('a refusal anew', sub { () = slurp_file($log) =~ /refused: item.seeded of CMIP6 item-1.v1, version 2/ });
is($node->safe_psql('postgres', q{SELECT settled_at IS NULL AND redrive_at IS NULL FROM esgf_stac.dead_letter WHERE item_id = 'item-1.v1'}), 't',
	'what is refused again is not settled, and not tried for ever');
in_index(q{ALTER TABLE items DROP CONSTRAINT no_poison});
is($node->safe_psql('postgres', q{SELECT esgf_stac.redrive('a', 'item-1.v1')}), 1, 'redrive after a cure');
wait_for('its state', sub { in_index(q{SELECT version FROM items WHERE item_id = 'item-1.v1'}) == 2 });
is(in_index(q{SELECT version FROM items WHERE item_id = 'item-2.v1'}), 1, 'of that item alone');
cmp_ok($node->safe_psql('postgres', q{SELECT esgf_stac.redrive('a')}), '>', 3, 'redrive of all');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM esgf_stac.dead_letter WHERE settled_at IS NULL}), 'settles them');
is(in_index(q{SELECT string_agg(concat_ws(':', item_id, version, document IS NULL), ' ' ORDER BY item_id) FROM items WHERE item_id LIKE 'item-%.v1'}),
	'item-1.v1:2:f item-2.v1:2:f item-3.v1:3:t item-4.v1:3:f', 'the index has what the catalogue has');
is($node->safe_psql('postgres', q{SELECT esgf_stac.redrive('a')}), 0, 'and there is no more to redrive');
my ($code, undef, $error) = $node->psql('postgres', q{\set VERBOSITY verbose
	SELECT esgf_stac.redrive('nowhere')});
like($error, qr/PT400.*CONSTRAINT NAME:  bad-request/s, 'redrive of no stream');

# Failures that may pass: a trigger that fails three times; then one that always does.
in_index(q{
	CREATE SEQUENCE tries;
	CREATE FUNCTION moody() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF new.document ? 'moody' AND nextval('tries') < (new.document->>'moody')::int THEN RAISE 'not today'; END IF;
		RETURN new;
	END $$;
	CREATE TRIGGER moody BEFORE INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION moody()});
emit('f', 1, q{'{"moody": 4}'});
wait_for('a fourth try', sub { in_index(q{SELECT count(*) FROM items WHERE item_id = 'f'}) });
pass('what fails and may pass is tried again');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.dead_letter WHERE item_id = 'f'}), 0, 'and is no dead letter');
is(stop_relay($relay), 0, 'stops');
$relay = start_relay($node, $log, @read, '--max-attempts', 2);
emit('g', 1, q{'{"moody": 1000}'});
emit('h', 1, q{'{}'});
wait_for('the next', sub { in_index(q{SELECT count(*) FROM items WHERE item_id = 'h'}) });
wait_for('the letter', sub { $node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.dead_letter WHERE item_id = 'g' AND reason ~ 'not today'}) });
pass('until --max-attempts');

# The index goes down, and comes back; it trusts to luck, but we do not.
emit('durable', 1, q{'{}'});
my $durable = wal_end($node);
ok($node->poll_query_until('postgres', "SELECT confirmed_flush_lsn >= '$durable' FROM pg_replication_slots WHERE slot_name = 'esgf_stac_a'"), 'an event is confirmed');
$index->stop('immediate');
emit('i', 1, q{'{}'});
wait_for('a failure', sub { slurp_file($log) =~ /sink is down/ });
$index->start;
wait_for('the event', sub { in_index(q{SELECT count(*) FROM items WHERE item_id = 'i'}) });
pass('an index that was down gets what it missed');
is(in_index(q{SELECT count(*) FROM items WHERE item_id = 'durable'}), 1, 'and has what was confirmed, whatever its synchronous_commit is');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.dead_letter WHERE item_id = 'i'}), 0, 'not as a dead letter');

# Its table is gone: nobody's document is at fault.
in_index('ALTER TABLE items RENAME TO away');
emit('j', 1, q{'{}'});
wait_for('the table anew', sub { in_index(q{SELECT to_regclass('items') IS NOT NULL}) eq 't' && in_index(q{SELECT count(*) FROM items WHERE item_id = 'j'}) });
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.dead_letter WHERE item_id = 'j'}), 0, 'a table that is gone is made again');
is(stop_relay($relay), 0, 'stops');

# All of it as a login that has no more rights than a relay needs.
$node->safe_psql('postgres', q{CREATE ROLE carrier LOGIN REPLICATION IN ROLE esgf_stac_relay; SELECT esgf_stac.create_stream('b')});
in_index(q{DROP TRIGGER IF EXISTS moody ON away; DROP TABLE items, items_source; CREATE DATABASE carried});
my $carried = 'postgres:' . $index->connstr('carried') . '#items';
my @carry = ('--dbname', $node->connstr('postgres') . ' user=carrier', '--stream', 'b', '--sink', $carried);
($status, undef, $stderr) = run_relay($node, @carry, '--create', '--snapshot', '--endpos', wal_end($node));
is($status, 0, 'a login with the rights of esgf_stac_relay alone: snapshot') or diag $stderr;
is($index->safe_psql('carried', 'SELECT count(*) FROM items'), $node->safe_psql('postgres', 'SELECT count(*) FROM esgf_stac.published_item'), 'sends all');
$index->safe_psql('carried', q{ALTER TABLE items ADD CHECK (NOT document->'properties' ? 'bad')});
$node->safe_psql('postgres', q{SELECT esgf_stac.patch_item('CMIP6', 'item-1.v1', '{"properties": {"bad": 1}}'), pg_drop_replication_slot('esgf_stac_b')});
$relay = start_relay($node, $log, @carry);
wait_for('the letter', sub { $node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.dead_letter WHERE stream = 'b'}) == 1 });
$index->safe_psql('carried', q{ALTER TABLE items DROP CONSTRAINT items_document_check});
$node->safe_psql('postgres', q{SELECT esgf_stac.redrive('b')});
ok($node->poll_query_until('postgres', q{SELECT settled_at IS NOT NULL FROM esgf_stac.dead_letter WHERE stream = 'b'}), 'replay, dead letter and redrive as well');
is(stop_relay($relay), 0, 'stops');

# Tables that the index's administrator made, and rights on nothing else.
$index->safe_psql('carried', q{
	CREATE ROLE keeper LOGIN;
	CREATE TABLE kept (LIKE items INCLUDING ALL);
	CREATE TABLE kept_source (LIKE items_source INCLUDING ALL);
	GRANT SELECT, INSERT, UPDATE ON kept, kept_source TO keeper});
my $kept = 'postgres:' . $index->connstr('carried') . ' user=keeper#kept';
$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('c', filter => '$.properties.retracted == false')});
my @keep = ('--stream', 'c', '--sink', $kept, '--no-loop');
($status, undef, $stderr) = run_relay($node, @keep, '--create', '--snapshot', '--endpos', wal_end($node));
is($status, 0, 'a login that may make no table') or diag $stderr;
($status, undef, $stderr) = run_relay($node, '--stream', 'c', '--sink', $kept =~ s/#kept/#other/r, '--no-loop');
is($status, 5, 'in a table that is missing');
like($stderr, qr/sink is down.*permission denied/, 'it cannot write');

# An item that leaves one stream, and is in the next one that fills the same table.
$node->safe_psql('postgres', q{SELECT esgf_stac.retract_item('CMIP6', 'item-1.v1')});
run_relay($node, @keep, '--endpos', wal_end($node));
my $left = q{SELECT document IS NULL FROM kept WHERE item_id = 'item-1.v1'};
is($index->safe_psql('carried', $left), 't', 'an item that left the stream');
$node->safe_psql('postgres', $_) for q{SELECT esgf_stac.drop_stream('c')}, q{SELECT esgf_stac.create_stream('c')};
run_relay($node, @keep, '--create', '--snapshot', '--endpos', wal_end($node));
is($index->safe_psql('carried', $left), 'f', 'is back when a stream with another filter seeds the table');
run_relay($node, @keep, '--endpos', wal_end($node));

# Two catalogues, each with collections of its own, feed one table.
my $west = $node->connstr('west');
$node->safe_psql('postgres', 'CREATE DATABASE west');
$node->safe_psql('west', q{
	SET esgf_stac.accept_roles = on;
	CREATE EXTENSION esgf_stac;
	SELECT esgf_stac.create_catalogue(), esgf_stac.create_stream('west')});
$node->safe_psql('west', qq{
	INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
	VALUES (gen_random_uuid(), 'CMIP7', 'item-1.v1', 'item.published', 1, '{"of": "west"}', now(), '{}')});
($status, undef, $stderr) = run_relay($node, '--dbname', $west, '--stream', 'west', '--sink', $kept, '--create', '--from-beginning', '--endpos', wal_end($node));
is($status, 0, 'a second catalogue feeds the table') or diag $stderr;
$node->safe_psql('postgres', q{SELECT esgf_stac.patch_item('CMIP6', 'item-1.v1', '{"properties": {"of": "east"}}') FROM esgf_stac.reinstate_item('CMIP6', 'item-1.v1')});
run_relay($node, @keep, '--endpos', wal_end($node));
is($index->safe_psql('carried', q{SELECT string_agg(collection_id || ' ' || coalesce(document ->> 'of', document #>> '{properties,of}'), ', ' ORDER BY collection_id)
	FROM kept WHERE item_id = 'item-1.v1'}), 'CMIP6 east, CMIP7 west', 'each keeps its own');
is($index->safe_psql('carried', 'SELECT count(*) FROM kept_source'), 2, 'and its own newest event');

# What a crash would empty is no index.
$index->safe_psql('carried', 'ALTER TABLE kept SET UNLOGGED');
($status, undef, $stderr) = run_relay($node, @keep);
is($status, 5, 'an unlogged table');
like($stderr, qr/sink is down.*unlogged/, 'is refused');

done_testing();
