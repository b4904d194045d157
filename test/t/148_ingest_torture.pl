# The proof of ingest: two ingesters on twelve partitions of a topic take in
# events of all methods, in all forms that clients use, with refusals, repetitions
# and what is no event among them, while ingesters, broker and server are killed.
# Then every item has the versions, and every event the outcome, that it has when
# the same events are requests to transact(), one by one, in the order in which
# they came in: test/oracle/ingest_events.py says which. Every outcome went out,
# and the federation's own models read it. The topic once more changes nothing.
#
# INGEST_TEST_EVENTS (1500) and INGEST_TEST_KILLS (5) are how many;
# INGEST_TEST_SEED repeats a run's choices.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(shuffle);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PythonTest;
use RelayTest;
use ServerTest;
use Test::More;
use Time::HiRes qw(time usleep);

plan skip_all => 'esgf_stac_ingest was built without librdkafka' if `esgf_stac_ingest --version` !~ /\bkafka\b/;
my $missing = server_missing('kafka');
plan skip_all => $missing if $missing;

my $count = $ENV{INGEST_TEST_EVENTS} // 1500;
my $kills = $ENV{INGEST_TEST_KILLS} // 5;
my $seed = $ENV{INGEST_TEST_SEED} // int(time) % 100_000;
diag "seed $seed: INGEST_TEST_SEED=$seed repeats its choices";
srand $seed;

my $oracle = "$FindBin::RealBin/../oracle/ingest_events.py";
my $dir = PostgreSQL::Test::Utils::tempdir;
my $partitions = 12;

# When a transaction committed is the order in which events came in.
my $node = catalogue_node('ingest', "track_commit_timestamp = on\ncheckpoint_timeout = 30s\nlog_statement = none\nlog_min_error_statement = panic\n");
my $kafka = start_kafka('num.partitions' => $partitions, 'group.min.session.timeout.ms' => 500);

# ---------------------------------------------------------------- databases

sub query
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

# What both databases have: a collection, three sites, and rights at two of them.
sub prepare_catalogue
{
	my ($database, $principal) = @_;
	query(qq{
		SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6", "description": "d", "license": "CC-BY-4.0",
			"links": [], "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}');
		INSERT INTO esgf_stac.site (node, href_prefixes) SELECT n || '.example.org', ARRAY['https://' || n || '.example.org/data/'] FROM unnest('{a,b,c}'::text[]) n;
		SELECT esgf_stac.grant_access('$principal', role, 'project', 'CMIP6') FROM unnest('{CREATE,UPDATE,DELETE,REPLICATE,REVOKE}'::text[]) role;
		SELECT esgf_stac.grant_access('$principal', role, 'node', n || '.example.org') FROM unnest('{CREATE,UPDATE,REPLICATE}'::text[]) role, unnest('{a,b}'::text[]) n},
		$database);
	return;
}

# A query's rows of one database as a table of another.
sub copy_rows
{
	my ($select, $table, $database) = @_;
	my $file = "$dir/" . $table =~ s/\W/_/gr;
	unlink $file;
	append_to_file($file, query("COPY ($select) TO stdout CSV") . "\n");
	query("\\copy $table FROM '$file' CSV", $database);
	return;
}

prepare_catalogue('postgres', 'source:torture');
query('CREATE DATABASE oracle');
query('CREATE EXTENSION esgf_stac; SELECT esgf_stac.create_catalogue()', 'oracle');
prepare_catalogue('oracle', 'group:torture');
query(q{SELECT esgf_stac.create_source('torture')});

# ---------------------------------------------------------------- the topic

my ($made, undef, $problem) = run_program('', 'python3', $oracle, 'make', $seed, $count, $kills + 1, $dir);
ok($made, "$count events are made") or BAIL_OUT($problem);

# Write a part of the events to the topic; what is empty is null.
sub produce
{
	my ($part) = @_;
	for my $partition (0 .. $partitions - 1)
	{
		my $file = "$dir/$part.$partition";
		kcat($kafka, '', '-P', qw(-t events -Z -K), "\t", '-p', $partition, '-l', $file) if -e $file;
	}
	return;
}

# ---------------------------------------------------------------- kills

my @ingesters;

sub ingester
{
	my ($number) = @_;
	return start_program('esgf_stac_ingest', $node, "$dir/ingester.$number", qw(--source torture --batch 20),
		'--from', "kafka:$kafka->{address}/events", '--source-option', 'session.timeout.ms=1000',
		'--results', "kafka:$kafka->{address}/{outcome}");
}

my %kill = (
	ingester => sub {
		my $number = int rand @ingesters;
		kill_relay($ingesters[$number]);
		$ingesters[$number] = ingester($number);
	},
	broker => sub { kill_server($kafka); start_server($kafka) },
	server => sub { $node->stop('immediate'); $node->start });

produce(0);
@ingesters = map { ingester($_) } 0 .. 1;
my @plan = shuffle((qw(ingester server ingester broker) x $kills)[ 0 .. $kills - 1 ]);
for my $number (1 .. $kills)
{
	produce($number);
	usleep(rand 400_000);
	my $what = shift @plan;
	note "kill: $what";
	$kill{$what}->();
}

# Let the ingesters come to the end.
wait_for('the ingesters to come to the end', sub {
		query(qq{SELECT count(*) = $partitions AND bool_and(results_offset = next_offset) AND sum(next_offset) = $count
			FROM esgf_stac.source_partition WHERE source = 'torture'}) eq 't';
}) or diag query('TABLE esgf_stac.source_partition');
is(stop_relay($_), 0, 'an ingester stops') for @ingesters;

# ---------------------------------------------------------------- comparing

query(q{
	CREATE SCHEMA oracle;
	CREATE TABLE oracle.event (n int PRIMARY KEY, partition int, "offset" bigint, repeats int, identity jsonb, request jsonb);
	CREATE TABLE oracle.outcome (n int PRIMARY KEY, ordinal int, status int, collection_id text, item_id text, version bigint, changed boolean,
		action text, event_id uuid, problem jsonb);
	CREATE TABLE oracle.inbox (partition int, "offset" bigint, event_id text, request_id text, identity jsonb, attempt int, status int, outcome jsonb, settled boolean, kept boolean);
	CREATE TABLE oracle.outbox (item_id text, version bigint, type text, document jsonb, identity jsonb, request_id text, id uuid);
	CREATE TABLE oracle.result (key text, event_id text, partition int, "offset" bigint, original text, status int, method text, collection_id text, item_id text);
	CREATE PROCEDURE oracle.perform() LANGUAGE plpgsql AS $$
	DECLARE
		e oracle.event;
	BEGIN
		FOR e IN SELECT * FROM oracle.event WHERE request IS NOT NULL AND repeats IS NULL ORDER BY n LOOP
			INSERT INTO oracle.outcome SELECT e.n, o.* FROM esgf_stac.transact(jsonb_build_array(e.request), false, e.identity || '{"principals": ["group:torture"]}') o;
			COMMIT;
		END LOOP;
	END $$;
	CREATE ROLE gateway IN ROLE esgf_stac_gateway;
	GRANT USAGE ON SCHEMA oracle TO gateway;
	GRANT ALL ON ALL TABLES IN SCHEMA oracle TO gateway}, 'oracle');
copy_rows(q{SELECT partition, "offset", event_id, request_id, identity, attempt, status, outcome, settled_at IS NOT NULL, value IS NOT NULL FROM esgf_stac.inbox}, 'oracle.inbox', 'oracle');
my $versions = q{SELECT aggregateid, version, type, payload #- '{properties,created}' #- '{properties,updated}' AS document, identity - 'principals' AS identity, request_id, id
	FROM esgf_stac.outbox WHERE aggregatetype <> 'collection'};
copy_rows($versions, 'oracle.outbox', 'oracle');

my $order = query(q{SELECT partition, "offset" FROM esgf_stac.inbox ORDER BY pg_xact_commit_timestamp(xmin), partition, "offset"}) =~ tr/|/ /r;
my ($translated, $requests, $why) = run_program("$order\n", 'python3', $oracle, 'requests', $dir);
ok($translated, 'what they ask is told') or BAIL_OUT($why);
append_to_file("$dir/requests", $requests);
query("\\copy oracle.event FROM '$dir/requests' CSV", 'oracle');
query('SET ROLE gateway; CALL oracle.perform()', 'oracle');

# No row, but those of a difference.
sub nothing
{
	my ($name, $sql) = @_;
	is(query("SELECT * FROM ($sql) d LIMIT 5", 'oracle'), '', $name);
	return;
}

is(query('SELECT count(*) FROM oracle.inbox', 'oracle'), $count, 'each event is in the inbox, once');
my $expected = q{
	SELECT e.n, e.partition, e."offset", f.partition AS first_partition, f."offset" AS first_offset, coalesce(o.status, 400) AS status,
		o.version, o.changed, o.action, o.problem ->> 'type' AS type, e.request
	  FROM oracle.event e JOIN oracle.event f ON f.n = coalesce(e.repeats, e.n) LEFT JOIN oracle.outcome o ON o.n = f.n};
nothing('each event has the outcome that it has as a request', qq{
	SELECT x.*, i.event_id, i.status, i.outcome FROM ($expected) x LEFT JOIN oracle.inbox i USING (partition, "offset")
	 WHERE (x.status, x.version, x.changed, x.action) IS DISTINCT FROM (i.status, (i.outcome ->> 'version')::bigint, (i.outcome ->> 'changed')::boolean, i.outcome ->> 'action')
	    OR x.type IS DISTINCT FROM i.outcome #>> '{problem,type}' AND x.request IS NOT NULL});
nothing('a repetition says of which, and is settled', qq{
	SELECT x.*, i.outcome, i.settled FROM ($expected) x JOIN oracle.inbox i USING (partition, "offset")
	 WHERE jsonb_build_object('partition', first_partition, 'offset', first_offset) IS DISTINCT FROM
	       CASE WHEN i.outcome ? 'repeats' AND i.settled THEN i.outcome -> 'repeats' ELSE jsonb_build_object('partition', partition, 'offset', "offset") END});
nothing('open are the refused, and their events are kept', q{
	SELECT * FROM oracle.inbox WHERE settled IS DISTINCT FROM (status < 400 OR outcome ? 'repeats') OR kept IS DISTINCT FROM (status >= 400) OR attempt <> 1});
my $truth = $versions =~ s/, id\s/ /r;
nothing('each item has the versions, by whom they were made, that the requests make', qq{
	SELECT t.*, i.* FROM ($truth) t FULL JOIN oracle.outbox i ON (t.aggregateid, t.version) = (i.item_id, i.version)
	 WHERE (t.type, t.document, t.identity, t.request_id) IS DISTINCT FROM (i.type, i.document, i.identity, i.request_id)});
nothing('outcomes name the events of the outbox', q{
	SELECT o.* FROM oracle.outbox o FULL JOIN (SELECT DISTINCT outcome ->> 'event_id' AS id FROM oracle.inbox WHERE outcome ->> 'event_id' IS NOT NULL) i ON i.id = o.id::text
	 WHERE (i.id IS NULL AND o.type <> 'item.superseded') OR o.id IS NULL});

# ---------------------------------------------------------------- results

my $results = join '', map { kcat($kafka, '', qw(-C -e -q -o beginning -t), $_, '-f', '%k\t%s\n') } qw(success error);
my ($base, $models);
($base, $missing) = python_packages(qw(stac-fastapi.api==6.6.0 stac-pydantic==3.7.1 geojson-pydantic==2.2.0 pydantic==2.14.3));
($models, $missing) = python_packages(qw(--no-deps --ignore-requires-python esgf-core-utils==1.1.0 stac-fastapi.extensions==6.6.0)) if $base;
SKIP:
{
	skip "esgf-core-utils is not to be had: $missing", 5 unless $models;
	local $ENV{PYTHONPATH} = "$models:$base";
	my ($read, $rows, $refusal) = run_program($results, 'python3', $oracle, 'results');
	ok($read, 'the models of esgf-core-utils read all outcomes') or diag $refusal;
	append_to_file("$dir/results", $rows);
	query("\\copy oracle.result FROM '$dir/results' CSV", 'oracle');
	nothing('each event is answered, as it went', q{
		SELECT i.*, r.* FROM oracle.inbox i FULL JOIN oracle.result r USING (partition, "offset")
		 WHERE r.status IS DISTINCT FROM nullif(i.status, least(i.status, 399)) OR coalesce(i.event_id, '') <> r.original
		    OR coalesce(i.outcome ->> 'item_id', '') <> r.item_id});
	nothing('under one event_id, however often', q{
		SELECT partition, "offset", count(DISTINCT event_id), count(DISTINCT coalesce(key, '')) FROM oracle.result GROUP BY 1, 2 HAVING count(DISTINCT event_id) <> 1 OR count(DISTINCT coalesce(key, '')) <> 1});
	is(query('SELECT count(DISTINCT event_id) FROM oracle.result', 'oracle'), $count, 'which is its own');
}

# ---------------------------------------------------------------- once more

# The same topic from its beginning.
my $before = query(q{SELECT count(*), sum(version) FROM esgf_stac.item});
query(qq{SELECT esgf_stac.seek_source('torture', p, 0) FROM generate_series(0, $partitions - 1) p});
@ingesters = map { ingester($_) } 0 .. 1;
wait_for('the ingesters to come to the end again', sub {
		query(qq{SELECT count(*) = $partitions AND sum(next_offset) = $count FROM esgf_stac.source_partition WHERE source = 'torture'}) eq 't';
});
is(stop_relay($_), 0, 'an ingester stops') for @ingesters;
is(query(q{SELECT count(*), sum(version) FROM esgf_stac.item}), $before, 'the topic from offset 0 changes no item');
is(query('SELECT count(*) FROM esgf_stac.inbox'), $count, 'and no outcome');
is(query(q{SELECT count(*) FROM esgf_stac.outbox WHERE aggregatetype <> 'collection'}), query('SELECT count(*) FROM oracle.outbox', 'oracle'), 'and makes no event');

diag query(q{SELECT format('%s events, %s refused, %s repeated; %s versions of %s items; %s outcomes sent', (SELECT count(*) FROM oracle.inbox),
	(SELECT count(*) FROM oracle.inbox WHERE status >= 400), (SELECT count(*) FROM oracle.inbox WHERE outcome ? 'repeats'), (SELECT count(*) FROM oracle.outbox),
	(SELECT count(DISTINCT item_id) FROM oracle.outbox), (SELECT count(*) FROM oracle.result))}, 'oracle');

done_testing();
