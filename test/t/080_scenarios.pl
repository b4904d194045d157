# What the federation's data challenges and user stories tried, under their
# numbers, as far as it takes several sessions or a relay; the rest is in
# test/sql/scenarios.sql, 10,000 replicas in 081_random_replicas.pl.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('scenarios', 'max_prepared_transactions = 2');
my $dir = PostgreSQL::Test::Utils::tempdir;

$node->safe_psql('postgres', <<'SQL');
	SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6", "description": "d",
		"license": "CC-BY-4.0", "links": [], "extent":
		{"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}');
	CREATE FUNCTION public.document(id text, files int DEFAULT 1) RETURNS jsonb LANGUAGE sql AS $$
		SELECT jsonb_build_object('type', 'Feature', 'stac_version', '1.1.0', 'id', id, 'collection', 'CMIP6', 'geometry', null,
			'links', '[]'::jsonb, 'properties', '{"datetime": "2000-01-01T00:00:00Z"}'::jsonb, 'assets', (
			SELECT jsonb_object_agg('f' || i, jsonb_build_object('href', 'https://a.org/f' || i, 'alternate:name', 'a.org', 'roles', '["data"]'::jsonb))
			  FROM generate_series(1, files) i)) $$;
	CREATE FUNCTION public.replica(node text, files int) RETURNS jsonb LANGUAGE sql AS $$
		SELECT jsonb_object_agg('f' || i, jsonb_build_object('href', format('https://%s/f%s', node, i), 'alternate:name', node))
		  FROM generate_series(1, files) i $$;
	INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('b.org', '{https://b.org/}'), ('c.org', '{https://c.org/}');
	CREATE ROLE site_b IN ROLE esgf_stac_writer;
	CREATE ROLE site_c IN ROLE esgf_stac_writer;
	SELECT esgf_stac.grant_access('role:site_' || n, 'REPLICATE', 'project', 'CMIP6'),
		   esgf_stac.grant_access('role:site_' || n, 'REPLICATE', 'node', n || '.org') FROM unnest('{b,c}'::text[]) n;
SQL

# Run scripts at the same moment: all wait for a lock that is then let go.
# Answers what each has printed.
sub at_once
{
	my ($lock, @scripts) = @_;
	my (@sessions, @output);
	$node->safe_psql('postgres', "BEGIN; $lock FOR UPDATE; PREPARE TRANSACTION 'starter'");
	foreach my $i (0 .. $#scripts)
	{
		push @sessions, IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=sqlstate', '-d', $node->connstr('postgres'), '-c', $scripts[$i] ],
			'<', \undef, '>', \$output[$i], '2>&1');
	}
	wait_for('all to wait', sub {
			$node->safe_psql('postgres', q{SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted}) == @scripts });
	$node->safe_psql('postgres', "COMMIT PREPARED 'starter'");
	$_->finish foreach @sessions;
	chomp @output;
	return @output;
}

# 5. Two nodes add replicas to an item of 166 files at once: one by operations, one by the verb.
$node->safe_psql('postgres', q{SELECT esgf_stac.create_item('CMIP6', public.document('s5.v1', 166))});
my @answers = at_once(
	q{SELECT FROM esgf_stac.item WHERE id = 's5.v1'},
	q{SET ROLE site_b; SELECT action FROM esgf_stac.patch_item('CMIP6', 's5.v1', (
		SELECT jsonb_agg(jsonb_build_object('op', 'add', 'path', format('/assets/%s/alternate/b.org', key), 'value', value))
		  FROM jsonb_each(public.replica('b.org', 166))))},
	q{SET ROLE site_c; SELECT action FROM esgf_stac.add_replica('CMIP6', 's5.v1', 'c.org', public.replica('c.org', 166))});
is("@answers", 'replica_added replica_added', '5. two nodes add replicas at once');
is($node->safe_psql('postgres', q{
	SELECT count(*), bool_and(value -> 'alternate' -> 'b.org' = public.replica('b.org', 166) -> key),
	       bool_and(value -> 'alternate' -> 'c.org' = public.replica('c.org', 166) -> key)
	  FROM esgf_stac.item, jsonb_each(document -> 'assets') WHERE id = 's5.v1'}), '166|t|t', '5. both survive');
is($node->safe_psql('postgres', q{
	SELECT string_agg(type || ' ' || version, ', ' ORDER BY seq),
	       bool_or(payload #> '{assets,f1,alternate}' ?& '{b.org,c.org}') FROM esgf_stac.outbox WHERE aggregateid = 's5.v1'}),
	'item.published 1, item.replica_added 2, item.replica_added 3|t', '5. the last event has both');

# 10. Two publishers of a dataset's next versions at once.
$node->safe_psql('postgres', q{SELECT esgf_stac.create_item('CMIP6', public.document('s10.v1'))});
@answers = at_once(
	q{SELECT FROM esgf_stac.dataset WHERE base_id = 's10'},
	map { "SELECT action FROM esgf_stac.create_item('CMIP6', public.document('s10.v$_'))" } 2, 3);
is("@answers", 'published published', '10. two publishers at once');
is($node->safe_psql('postgres', q{SELECT string_agg(id, ' ') FROM esgf_stac.published_item WHERE base_id = 's10' AND latest}), 's10.v3', '10. one latest');
is($node->safe_psql('postgres', q{
	SELECT count(*) FILTER (WHERE e.payload #> '{properties,latest}' = 'true'), bool_and(e.payload = p.document)
	  FROM esgf_stac.published_item p CROSS JOIN LATERAL
	       (SELECT payload FROM esgf_stac.outbox WHERE aggregateid = p.id ORDER BY version DESC LIMIT 1) e WHERE base_id = 's10'}),
	'1|t', '10. the events say the same');
@answers = at_once(
	q{SELECT FROM esgf_stac.dataset WHERE base_id = 's10'},
	map { "SELECT action FROM esgf_stac.create_item('CMIP6', public.document('s10.v4'))" } 1, 2);
is(join(' ', sort @answers), 'ERROR:  PT409 published', '10. two of the same version: one of them');

# 11. The same request id from two sessions at once.
my $request = q{SELECT version, changed, action, event_id FROM esgf_stac.transact('[{"method": "PATCH", "collection_id": "CMIP6",
	"item_id": "s10.v4", "patch": {"properties": {"n": 1}}, "request_id": "one"}]')};
@answers = at_once(q{SELECT FROM esgf_stac.item WHERE id = 's10.v4'}, $request, $request);
like($answers[0], qr/^2\|t\|updated\|/, '11. one request id, two sessions');
is($answers[1], $answers[0], '11. one answer');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.outbox WHERE aggregateid = 's10.v4'}), 2, '11. one change');

# 12. A crash between commit and delivery: one logical event after restart.
new_stream($node, 'crash');
my $file = "$dir/events";
my @relay = ('--stream', 'crash', '--sink', "ndjson:$file");
my $relay = start_relay($node, "$dir/log", @relay);
$node->safe_psql('postgres', q{SELECT esgf_stac.create_item('CMIP6', public.document('s12.v1'))});
wait_for('the first event', sub { read_lines($file) >= 1 });
kill_relay($relay);
$node->safe_psql('postgres', q{SELECT esgf_stac.patch_item('CMIP6', 's12.v1', '{"properties": {"n": 1}}')});
$node->stop('immediate');
$node->start;
my $end = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
my ($status, undef, $stderr) = run_relay($node, @relay, '--endpos', $end);
is($status, 0, '12. the relay goes on after a crash') or diag $stderr;
my (%seen, @order);

foreach my $event (read_events($file))
{
	push @order, $event->{version} unless $seen{ $event->{id} }++;
}
is("@order", '1 2', '12. each event is there, in order, and repeated only as itself');

# 12. A poison document at the sink.
SKIP:
{
	my ($help) = run_command([ 'esgf_stac_relay', '--help' ]);
	skip 'this relay has no PostgreSQL sink', 3 if $help !~ /postgres:/;

	new_stream($node, 'poison');
	$node->safe_psql('postgres', q{
		CREATE DATABASE index;
		SELECT esgf_stac.create_item('CMIP6', public.document('s12.' || i || '.v1')) FROM generate_series(1, 9) i;
		SELECT esgf_stac.patch_item('CMIP6', 's12.5.v1', '{"properties": {"poison": true}}');
		SELECT esgf_stac.patch_item('CMIP6', 's12.' || i || '.v1', '{"properties": {"n": 1, "poison": null}}') FROM generate_series(1, 9) i});
	$node->safe_psql('index', q{
		CREATE TABLE items (collection_id text, item_id text, version bigint, document jsonb, PRIMARY KEY (collection_id, item_id),
			CHECK (document #> '{properties,poison}' IS NULL));
		CREATE TABLE log (seq serial, item_id text, version bigint);
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log (item_id, version) VALUES (NEW.item_id, NEW.version); RETURN NEW; END';
		CREATE TRIGGER note AFTER INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION note()});
	$end = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	run_relay($node, '--stream', 'poison', '--sink', 'postgres:' . $node->connstr('index') . '#public.items', '--endpos', $end);
	is($node->safe_psql('postgres', 'SELECT item_id, version FROM esgf_stac.dead_letter'), 's12.5.v1|2', '12. a poison document is a dead letter');
	is($node->safe_psql('index', q{SELECT count(*), sum(version) FROM items}), '9|19', '12. the others flow, and what comes after it');
	is($node->safe_psql('index', q{SELECT count(*) FROM (SELECT version, lag(version) OVER (PARTITION BY item_id ORDER BY seq) AS before FROM log) l
		WHERE version <= before}), 0, '12. in order');
}

done_testing();
