# The sink opensearch and a real node: whatever happens to either of them, the
# index equals the catalogue. 112 has the answers that a well node never gives.
#
# ESGF_STAC_SECONDS is how long the writers write (10), ESGF_STAC_ITEMS how many
# items a snapshot has (2000), ESGF_STAC_SEED repeats a run's choices.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP ();
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use ServerTest;
use Test::More;
use Time::HiRes qw(time usleep);

my $reason = server_missing('opensearch');
plan skip_all => $reason if $reason;
plan skip_all => 'the relay was built without libcurl, zlib, jansson and libcrypto' if `esgf_stac_relay --version` !~ /\bopensearch\b/;

my $seconds = $ENV{ESGF_STAC_SECONDS} // 10;
my $items = $ENV{ESGF_STAC_ITEMS} // 2000;
my $seed = $ENV{ESGF_STAC_SEED} // int(time) % 100_000;
note "seed $seed";
srand $seed;

my $node = catalogue_node('source', "log_statement = none\nlog_min_error_statement = panic\nlog_min_messages = log\n");
my $index = start_opensearch('http.max_content_length' => '2mb');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $page = slurp_file("$FindBin::RealBin/../../doc/relay.md");

# ---------------------------------------------------------------- helpers

# Ask the index; its answer, which must have one of the statuses given, 200 if none.
sub ask
{
	my ($method, $path, $body, @expected) = @_;
	my ($status, $answer) = http($index, $method, $path, $body);
	die "$method $path: $status $answer" if !grep { $_ == $status } @expected ? @expected : 200;
	return $answer;
}

# Everything in an index, as rows of the table in_index of the catalogue's database.
sub load_index
{
	my ($name) = @_;
	ask('POST', "/$name/_refresh");
	my $answer = ask('POST', "/$name/_search?scroll=1m&size=2000&version=true", '{"sort": ["_doc"]}');
	unlink "$dir/hits";
	while ($answer !~ /"hits":\[\]/)
	{
		append_to_file("$dir/hits", "$answer\n");
		my ($scroll) = $answer =~ /"_scroll_id":"([^"]+)"/;
		$answer = ask('POST', '/_search/scroll', qq({"scroll": "1m", "scroll_id": "$scroll"}));
	}
	append_to_file("$dir/hits", '');
	$node->safe_psql('postgres', 'DROP TABLE IF EXISTS answer; CREATE TABLE answer (hits jsonb)');
	$node->safe_psql('postgres', qq{\\copy answer FROM '$dir/hits' WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')});
	$node->safe_psql('postgres', q{
		DROP TABLE IF EXISTS in_index;
		CREATE TABLE in_index AS
		SELECT hit->>'_id' AS id, (hit->>'_version')::bigint AS version, (hit->'_source')::text AS document
		  FROM answer, jsonb_array_elements(hits->'hits'->'hits') hit});
	return;
}

# How many rows differ between what the index holds and what it should.
sub differences
{
	my ($id) = @_;
	my $truth = "SELECT $id, version, document::text FROM esgf_stac.published_item";
	return $node->safe_psql('postgres', qq{
		SELECT count(*) FROM (($truth EXCEPT ALL TABLE in_index) UNION ALL (TABLE in_index EXCEPT ALL $truth)) d});
}

sub in_index { my ($query) = @_; return $node->safe_psql('postgres', $query); }

sub emit
{
	my ($item, $version, $document, $collection) = @_;
	$collection //= 'emitted';
	$document = defined $document ? "'$document'" : 'NULL';
	$node->safe_psql('postgres', qq{
		INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
		VALUES (gen_random_uuid(), '$collection', '$item', 'item.updated', $version, $document, now(), '{}')});
	return;
}

# All that stands in an index by hand-made events, "id version document, ...".
sub contents
{
	my ($name) = @_;
	load_index($name);
	return in_index(q{SELECT string_agg(concat_ws(' ', id, version, document), ', ' ORDER BY id COLLATE "C") FROM in_index});
}

sub letters
{
	return in_index(q{SELECT string_agg(concat_ws(' ', item_id, version, left(reason, 1500)), "\n" ORDER BY at, item_id, version)
		FROM esgf_stac.dead_letter WHERE settled_at IS NULL} =~ s/"\\n"/E'\\n'/r);
}

# Deliver everything, and end: (exit status, log).
sub deliver
{
	my ($stream, @arguments) = @_;
	my ($status, undef, $stderr) = run_relay($node, '--stream', $stream, '--no-loop', '--endpos', wal_end($node), @arguments);
	return ($status, $stderr);
}

my $sink = "opensearch:http://$index->{address}/";
my ($status, $stderr);

# The page's template and alias.
my ($template) = $page =~ /^```json\n(.*?)^```$/ms;
ask('PUT', '/_index_template/items', $template =~ s/"number_of_replicas": 1/"number_of_replicas": 0/r);
my ($name, $alias) = $page =~ m{curl -X PUT https://\S+/(\S+) .* -d '(.*)'$}m;
ask('PUT', "/$name", $alias);

# ---------------------------------------------------------------- lines of all kinds

new_stream($node, 'lines');
emit('a', 1, '{"n": 1.50}');
emit('a', 5, '{"n": 5.50}');
emit('a', 3, '{"n": 3}');
emit('b', 1, '{"n": 1}');
emit('b', 2, undef);
emit('never', 1, undef);
emit('c', 1, '{"geometry": {"type": "Nonsense"}}');
emit('c', 2, '{"geometry": null}');
emit('d', 1, '{"properties": {"datetime": "2020-01-01T00:00:00.123456Z"}}');
emit('emitted', 1, '{}', 'collection');
($status, $stderr) = deliver('lines', '--sink', $sink . 'items_{collection}');
is($status, 0, 'lines of all kinds') or diag $stderr;
is(contents('items_emitted'), 'a 5 {"n": 5.50}, c 2 {"geometry": null}, d 1 {"properties": {"datetime": "2020-01-01T00:00:00.123456Z"}}',
	'the newest version of each; what is deleted is gone');
like(letters(), qr/^c 1 mapper_parsing_exception: failed to parse field \[geometry\][^\n]*$/, 'what the mapping refuses is a dead letter; nothing else is');
like(ask('GET', '/items_emitted/_mapping'), qr/"geometry":\{"type":"geo_shape"\}/, "the page's template is for indices that are made by the way");

emit('a', 6, '{"n": 6.50}');
emit('q', 1, '{}', 'with blank');
($status, $stderr) = deliver('lines', '--sink', $sink . 'items_{collection}', '--document-id', '{collection}/{item_id}', '--sink-option', 'gzip=on');
is($status, 0, 'another document id; compressed') or diag $stderr;
like(contents('items_emitted'), qr/, emitted\/a 6 \{"n": 6.50\}$/, 'is obeyed');

# The alias of a collection in upper case: without it, nobody's document is to blame.
emit('e', 1, '{}', 'UPPER');
($status, $stderr) = deliver('lines', '--sink', $sink . 'items_{collection}');
is($status, 5, 'no such alias, and no index can be called so');
like($stderr, qr/sink is down.*items_UPPER.*must be lowercase/, 'and the log tells');
ask('PUT', '/items_upper-1', '{}');
ask('PUT', '/items_upper-2', '{}');
ask('POST', '/_aliases', '{"actions": [{"add": {"index": "items_upper-*", "alias": "items_UPPER"}}]}');
($status, $stderr) = deliver('lines', '--sink', $sink . 'items_{collection}');
is($status, 5, 'an alias of two indices');
like($stderr, qr/sink is down.*items_UPPER.*no write index/, 'and the log tells');
ask('POST', '/_aliases', '{"actions": [{"add": {"index": "items_upper-2", "alias": "items_UPPER", "is_write_index": true}}]}');
ask('POST', '/items_upper-2/_close');
($status, $stderr) = deliver('lines', '--sink', $sink . 'items_{collection}');
is($status, 5, 'a closed index');
ask('POST', '/items_upper-2/_open');
ask('PUT', '/items_upper-2/_settings', '{"index.blocks.write": true}');
($status, $stderr) = deliver('lines', '--sink', $sink . 'items_{collection}');
is($status, 5, 'one that may not be written');
ask('PUT', '/items_upper-2/_settings', '{"index.blocks.write": false}');
is((deliver('lines', '--sink', $sink . 'items_{collection}'))[0], 0, 'one that may');
is(contents('items_upper-2'), 'e 1 {}', 'has it');
like(letters(), qr/^c 1 .*\nq 1 neither an index nor an alias[^\n]*$/, 'none of this made a dead letter');

# What the node takes only in parts, or not at all.
my $kilobyte = 'x' x 1024;
emit("part-$_", 1, '{"links": "' . $kilobyte x 700 . '"}') for 1 .. 5;
emit('whole', 1, '{"links": "' . $kilobyte x 3000 . '"}');
emit('i' x 600, 1, '{}');
emit('after', 1, '{}');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('esgf_stac_lines');
	UPDATE esgf_stac.consumer SET confirmed = '0/0', horizon = (SELECT xid FROM esgf_stac.outbox WHERE aggregateid = 'part-1') WHERE stream = 'lines'});
($status, $stderr) = deliver('lines', '--sink', $sink . 'items_{collection}');
is($status, 0, 'a request larger than the node takes') or diag $stderr;
load_index('items_emitted');
is(in_index(q{SELECT count(*) FROM in_index WHERE id LIKE 'part-%' OR id = 'after'}), 6, 'comes in parts');
like(letters(), qr/whole 1 answered 413/, 'one document larger than that is a dead letter');
like(letters(), qr/iii 1 answered 400.*too long/, 'so is one with an id that no index has');
$node->safe_psql('postgres', 'UPDATE esgf_stac.dead_letter SET settled_at = now()');

# A document that the node has too much of, though not of others.
ask('PUT', '/_cluster/settings', '{"transient": {"network.breaker.inflight_requests.limit": "500kb"}}');
emit('heavy', 1, '{"links": "' . $kilobyte x 700 . '"}');
emit('light', 1, '{}');
($status, $stderr) = deliver('lines', '--sink', $sink . 'items_{collection}', '--max-attempts', 3);
is($status, 0, 'a document that the node always answers 429 to') or diag $stderr;
like(letters(), qr/heavy 1 answered 429: .*circuit_breaking_exception[^\n]*$/, 'is a dead letter');
load_index('items_emitted');
is(in_index(q{SELECT string_agg(id, ' ') FROM in_index WHERE id IN ('light', 'heavy', 'esgf_stac_relay')}), 'light', 'the next one is there, and nothing else');
ask('PUT', '/_cluster/settings', '{"transient": {"network.breaker.inflight_requests.limit": null}}');
$node->safe_psql('postgres', 'UPDATE esgf_stac.dead_letter SET settled_at = now()');

# ---------------------------------------------------------------- everything at once

new_items($node, 1, 1);
new_stream($node, 'all', q{, ARRAY['CMIP6']});
my @all = ('--stream', 'all', '--sink', $sink . 'items_{collection}', '--document-id', '{item_id}|{collection}', '--batch', 20);
my $log = "$dir/all.log";
$node->safe_psql('postgres', q{SELECT esgf_stac.patch_item('CMIP6', 'item-1.v1', '{"properties": {"title": "first"}}')});

# A writer ends with its time; errors are its daily bread.
my @writers;
my $end = time + $seconds;
for my $number (1 .. 4)
{
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		srand $seed + $number;
		while (time < $end)
		{
			my $script = join ";\n", map { random_statement(40) } 1 .. 20;
			my $output = '';
			eval { IPC::Run::run([ 'psql', '-XqAt', '-d', $node->connstr('postgres') ], '<', \"$script;\n", '>', \$output, '2>', \$output) };
			usleep(100_000);
		}
		POSIX::_exit(0);
	}
	push @writers, $pid;
}

my $relay = start_relay($node, $log, @all);

# Each type of event once, whatever the writers draw.
$node->safe_psql('postgres', q{
	CREATE FUNCTION pg_temp.item(id text) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('type', 'Feature', 'stac_version', '1.1.0', 'id', id,
		'geometry', NULL, 'links', '[]'::jsonb, 'properties', '{"datetime": "2020-01-01T00:00:00Z"}'::jsonb,
		'assets', '{"data.nc": {"href": "https://a.example/data.nc", "roles": ["data"], "alternate:name": "a.example"}}'::jsonb) $$;
	SELECT esgf_stac.create_item('CMIP6', pg_temp.item('each.v1'));
	SELECT esgf_stac.patch_item('CMIP6', 'each.v1', '{"properties": {"title": "t"}}');
	SELECT esgf_stac.add_replica('CMIP6', 'each.v1', 'b.example', '{"data.nc": {"href": "https://b.example/data.nc"}}');
	SELECT esgf_stac.remove_replica('CMIP6', 'each.v1', 'b.example');
	SELECT esgf_stac.create_item('CMIP6', pg_temp.item('each.v2'));
	SELECT esgf_stac.retract_item('CMIP6', 'each.v2');
	SELECT esgf_stac.reinstate_item('CMIP6', 'each.v2');
	SELECT esgf_stac.delete_item('CMIP6', 'each.v1');
	SELECT esgf_stac.restore_item('CMIP6', 'each.v1')});

sub restart_relay { kill_relay($relay); $relay = start_relay($node, $log, @all); return; }
sub pause { usleep(200_000 + rand 800_000); return; }
for my $end_node (\&kill_server, \&stop_server, \&kill_server)
{
	pause();
	restart_relay();
	pause();
	$end_node->($index);
	restart_relay() if rand() < 0.5;
	start_server($index);
}
waitpid $_, 0 for @writers;
$node->safe_psql('postgres', q{SELECT esgf_stac.patch_collection('CMIP6', '{"description": "the last event"}')});
my $last = wal_end($node);
wait_for('the relay to come to the end',
	sub { $node->safe_psql('postgres', "SELECT confirmed_flush_lsn >= '$last' FROM pg_replication_slots WHERE slot_name = 'esgf_stac_all'") eq 't' });
is(stop_relay($relay), 0, 'the relay stops');
my $as_all = q{id || '|' || collection_id};
load_index('items_CMIP6');
is(differences($as_all), 0, 'after all verbs, kills of the node and of the relay, the index equals the catalogue');
cmp_ok(in_index('SELECT count(*) FROM in_index'), '>', 10, 'which is more than nothing');
note in_index('SELECT count(*) FROM esgf_stac.outbox') . ' events, ' . in_index('SELECT count(*) FROM in_index') . ' documents';
is(in_index(q{SELECT count(*) FROM unnest('{item.published,item.updated,item.superseded,item.retracted,item.reinstated,
	item.replica_added,item.replica_removed,item.deleted,item.restored}'::text[]) t WHERE t NOT IN (SELECT type FROM esgf_stac.outbox)}), 0, 'events of all types were among them');
like(slurp_file($log), qr/sink is down/, 'the node was missed');
is(letters(), '', 'and no document was blamed');

# Everything again, in an index that has forgotten what was deleted.
my $before = in_index('SELECT md5(string_agg(i::text, $$ $$ ORDER BY id)) FROM in_index i');
ask('PUT', '/items_CMIP6/_settings', '{"index.gc_deletes": "1ms"}');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('esgf_stac_all'); UPDATE esgf_stac.consumer SET horizon = '3', confirmed = '0/0' WHERE stream = 'all'});
(undef, undef, $stderr) = run_relay($node, @all, '--endpos', wal_end($node));
my $events = in_index(q{SELECT count(*) FROM esgf_stac.outbox WHERE aggregatetype = 'CMIP6' OR (aggregatetype, aggregateid) = ('collection', 'CMIP6')});
like($stderr, qr/sent \Q$events\E events from the outbox/, 'all events again');
load_index('items_CMIP6');
is(in_index('SELECT md5(string_agg(i::text, $$ $$ ORDER BY id)) FROM in_index i'), $before, 'change nothing');

# ---------------------------------------------------------------- a mapping, and its cure

ask('PUT', '/strict', '{"mappings": {"properties": {"properties": {"dynamic": "strict", "properties": {"datetime": {"type": "date"},
	"created": {"type": "date"}, "updated": {"type": "date"}, "latest": {"type": "boolean"}, "retracted": {"type": "boolean"}, "n": {"type": "long"}}}}}}');
new_stream($node, 'strict');
new_items($node, 101, 103);
$node->safe_psql('postgres', q{
	SELECT esgf_stac.patch_item('CMIP6', 'item-102.v1', '{"properties": {"unheard-of": true}}');
	SELECT esgf_stac.patch_item('CMIP6', 'item-101.v1', '{"properties": {"n": "many"}}')});
$relay = start_relay($node, $log, '--stream', 'strict', '--sink', $sink . 'strict');
wait_for('two dead letters', sub { letters() =~ /\n/ });
like(letters(), qr/^item-10[12].v1 2 .*\nitem-10[12].v1 2 [^\n]*$/, 'two documents that the mapping refuses');
like(letters(), qr/strict_dynamic_mapping_exception: .*unheard-of/, 'the one');
like(letters(), qr/mapper_parsing_exception: failed to parse field \[properties.n\] of type \[long\].*For input string: "many"/, 'the other');
load_index('strict');
is(in_index(q{SELECT string_agg(concat_ws(' ', id, version), ', ' ORDER BY id) FROM in_index}), 'item-101.v1 1, item-102.v1 1, item-103.v1 1', 'the others stand');
ask('PUT', '/strict/_mapping', '{"properties": {"properties": {"properties": {"unheard-of": {"type": "boolean"}}}}}');
$node->safe_psql('postgres', q{SELECT esgf_stac.patch_item('CMIP6', 'item-101.v1', '{"properties": {"n": 7}}'); SELECT esgf_stac.redrive('strict')});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM esgf_stac.dead_letter WHERE settled_at IS NULL}), 'the mapping mended, they are settled');
load_index('strict');
is(in_index(q{SELECT string_agg(concat_ws(' ', id, version), ', ' ORDER BY id) FROM in_index}), 'item-101.v1 3, item-102.v1 2, item-103.v1 1', 'in the index');

# An outsider has given a document a version of his own.
ask('PUT', '/strict/_doc/item-103.v1?version=9&version_type=external', '{}');
$node->safe_psql('postgres', q{SELECT esgf_stac.patch_item('CMIP6', 'item-103.v1', '{"properties": {"n": 7}}')});
ok($node->poll_query_until('postgres', q{SELECT foreign_version = 'version 9 of CMIP6 item-103.v1' AND foreign_versions = 1 FROM esgf_stac.consumer WHERE stream = 'strict'}), 'a version that was never given here is told');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.consumer WHERE foreign_versions IS NOT NULL}), 1, 'of all that was repeated, nothing was');
is(stop_relay($relay), 0, 'the relay stops');

# ---------------------------------------------------------------- a snapshot

new_items($node, 1000, 999 + $items);
$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('seed')});
my $began = time;
($status, $stderr) = deliver('seed', '--sink', $sink . 'items_seeded', '--create', '--snapshot');
is($status, 0, "a snapshot of $items items") or diag $stderr;
note sprintf('%.1f s', time - $began), "\n", $stderr;
my $published = in_index('SELECT count(*) FROM esgf_stac.published_item');
like($stderr, qr/snapshot: done, $published items sent/, 'tells how far it is');
load_index('items_seeded');
is(differences('id'), 0, 'fills an empty index');

stop_server($index);
done_testing();
