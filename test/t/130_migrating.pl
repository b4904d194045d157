# Catalogues of other makes come in as doc/migrating.md says: every command of
# that page is run here, but elasticdump's, on documents in the form that each
# source gives them. (050_doc_examples.pl runs its SQL on a few.)

use strict;
use warnings FATAL => 'all';

use File::Path qw(make_path);
use FindBin;
use IPC::Run ();
use JSON::PP ();
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PythonTest;
use RelayTest;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $page = slurp_file("$top/doc/migrating.md");
my $items = 1100;
my $dir = PostgreSQL::Test::Utils::tempdir;

my $node = PostgreSQL::Test::Cluster->new('migrating');
$node->init(allows_streaming => 'logical');
$node->start;
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(catalogue old);
@ENV{qw(PGHOST PGPORT)} = ($node->host, $node->port);

sub sql { return $node->safe_psql('catalogue', @_) }

# The commands of a section of the page, block by block, and its SQL that matches.
sub commands
{
	my ($heading) = @_;
	my ($section) = $page =~ /^#+ \Q$heading\E\n(.*?)(?=^#|\z)/ms or die "no section $heading";
	$section =~ s/^```.*?^```$//msg;
	return $section =~ /((?:^    .*\n)+)/mg;
}

sub example
{
	my ($pattern) = @_;
	my ($found) = grep { /$pattern/ } $page =~ /^```sql\n(.*?)^```/msg;
	return $found // die "no example has $pattern";
}

# Run a block of commands as somebody would who reads the page.
sub run_commands
{
	my ($what, $block) = @_;
	my ($stdout, $stderr) = ('', '');
	my $done = IPC::Run::run([ 'sh', '-e' ], '<', \$block, '>', \$stdout, '2>', \$stderr,
		init => sub { chdir $dir or die $! });
	ok($done, $what) or diag "$stdout$stderr";
	return;
}

# The rows of a query, each a line of a file as it is, wherever its JSON has backslashes.
sub write_lines
{
	my ($database, $query, $file) = @_;
	append_to_file("$dir/$file", $node->safe_psql($database, $query) . "\n");
	return;
}

sub empty_staging
{
	sql('TRUNCATE raw; TRUNCATE staging RESTART IDENTITY');
	unlink "$dir/dump.ndjson";
	return;
}

# How many of the source's documents are staged, as they were, newer versions first.
sub staged
{
	my $differ = sql('SELECT count(*) FROM (TABLE source EXCEPT SELECT document FROM staging) s');
	my $order = sql(q{SELECT bool_and(id < before) FROM (SELECT document ->> 'id' AS id, lag(document ->> 'id') OVER (ORDER BY n) AS before FROM staging) s});
	return sql('SELECT count(*) FROM staging') . " staged, $differ differ, order $order";
}

# The old catalogue: generated items, some with a version before and after, with
# text and numbers that are easily spoilt; and those captured, where there are some.
$node->safe_psql('catalogue', slurp_file("$top/scripts/generate_items.sql"));
sql(<<"SQL");
	CREATE EXTENSION esgf_stac;
	SELECT esgf_stac.create_catalogue();
	SELECT esgf_stac.create_collection(generator.collection() || jsonb_build_object('id', id)) FROM unnest('{CMIP6,CMIP7}'::text[]) id;
	CREATE TABLE source (document jsonb);
	INSERT INTO source SELECT jsonb_set(d, '{properties}', (d -> 'properties')
		|| '{"note": "\\"quoted\\" \\\\\\\\ \\\\n, \\t, caf\\u00e9 \\u2028", "exact": 12345678901234567890.10, "small": 1.50}')
		FROM generator.items(0, $items - 1) d;
	INSERT INTO source SELECT replace(document::text, document #>> '{properties,version}', v)::jsonb || '{"links": []}'
		FROM (SELECT * FROM source LIMIT 100) s, unnest('{20170101,20250101}'::text[]) v;
	UPDATE source SET document = document #- '{properties,latest}' || '{"assets": {}}'
		|| jsonb_build_object('properties', (document -> 'properties') || '{"retracted": true, "latest": false}') WHERE document ->> 'id' LIKE '%.v20250101' AND document ->> 'id' LIKE '%.tas.%';
SQL
my @captured = glob "$FindBin::RealBin/../../../shared/data/items/*.json";
sql('INSERT INTO source VALUES ($item$' . slurp_file($_) . '$item$)') for @captured;
note 'no ../shared/data/items beside the checkout' if !@captured;
sql(example('CREATE UNLOGGED TABLE raw'));
my $count = $items + 200 + @captured;
my $all = "$count staged, 0 differ, order t";

# Elasticsearch.
{
	my ($elasticdump, $copy, $hits, $answers, $assets) = commands('From Elasticsearch or OpenSearch');
	like($elasticdump, qr/--output=dump.ndjson/, 'elasticdump itself is not run');
	write_lines('catalogue', q{SELECT jsonb_build_object('_index', 'items_cmip6', '_id', document ->> 'id', '_score', 1, '_source', document) FROM source}, 'dump.ndjson');
	run_commands('elasticdump: \copy', $copy);
	run_commands('elasticdump: items', $hits);
	is(staged(), $all, 'what elasticdump wrote');

	empty_staging();
	write_lines('catalogue', q{SELECT jsonb_build_object('took', 1, 'hits', jsonb_build_object('total', 1, 'hits', jsonb_agg(jsonb_build_object('_id', document ->> 'id', '_source', document))))
		FROM (SELECT document, row_number() OVER () % 30 AS answer FROM source) s GROUP BY answer}, 'dump.ndjson');
	run_commands('answers: \copy', $copy);
	run_commands('answers: items', $answers);
	is(staged(), $all, 'what _search answers');

	sql(q{UPDATE staging SET document = document || jsonb_build_object('assets', (SELECT coalesce(jsonb_agg(jsonb_build_object('es_key', key) || value), '[]') FROM jsonb_each(document -> 'assets')))});
	isnt(staged(), $all, 'assets in a list');
	run_commands('assets get their keys back', $assets);
	is(staged(), $all, 'as they were');
}

# pgstac: what differs is what it does not keep, null members and some digits of a geometry.
SKIP:
{
	my ($blocks) = commands('From pgstac');
	skip 'PostGIS is not installed', 3
	  if $node->safe_psql('old', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgis'}) == 0;
	my ($pypgstac, $missing) = python_packages('--no-deps', 'pypgstac==0.10.0');
	skip "pypgstac: $missing", 3 if !$pypgstac;

	empty_staging();
	$node->safe_psql('old', "SET client_min_messages = warning;\n" . slurp_file("$pypgstac/pypgstac/migrations/pgstac.0.10.0.sql"));
	write_lines('catalogue', q{SELECT document FROM source WHERE document ->> 'collection' = 'CMIP6' AND document -> 'geometry' <> 'null' LIMIT 500}, 'pgstac.ndjson');
	$node->safe_psql('old', slurp_file("$top/scripts/generate_items.sql"));
	$node->safe_psql('old', <<"SQL");
		SELECT pgstac.create_collection(generator.collection());
		CREATE TEMPORARY TABLE source (document jsonb);
		\\copy source FROM '$dir/pgstac.ndjson' WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')
		SELECT pgstac.create_items((SELECT jsonb_agg(document) FROM source));
SQL
	run_commands('pgstac: all of it', $blocks);
	is(sql('SELECT count(*) FROM staging JOIN source USING (document)'), 500, 'what pgstac holds');
	is(sql('SELECT count(*) FROM staging, esgf_stac.validate_item(document)'), 0, 'is valid');
}

# A directory, as people write files.
{
	my ($blocks, $features) = commands('From a directory of JSON files');
	empty_staging();
	make_path("$dir/items/CMIP6/more");
	my $files = $node->safe_psql('catalogue', q{SELECT jsonb_pretty(document) || chr(1) FROM source});
	my $n = 0;
	foreach my $text (split /\x01\n?/, $files)
	{
		$text =~ s/\n/\r\n/g if $n % 2;
		append_to_file("$dir/items/CMIP6" . ($n % 3 ? '' : '/more') . "/$n.json", $text);
		$n++;
	}
	run_commands('files: all of it', $blocks);
	is(staged(), $all, 'what files hold');

	empty_staging();
	sql(q{INSERT INTO raw SELECT jsonb_build_object('type', 'FeatureCollection', 'features', jsonb_agg(document)) FROM source});
	run_commands('FeatureCollections', $features);
	is(staged(), $all, 'what FeatureCollections hold');
}

# Import, interrupted while its second transaction waits for a publisher, and begun again.
my $import = example('import_items\(chunk');
my $middle = sql(q{SELECT document FROM staging WHERE n = 1200});
my $publisher = open_session($node);
in_session($publisher, "\\c catalogue\nBEGIN; SELECT esgf_stac.create_item('CMIP6', \$item\$$middle\$item\$);");
my $stderr = '';
my $importer = IPC::Run::start([ 'psql', '-Xq', '-d', $node->connstr('catalogue'), '-c', $import ], '<', \undef, '2>', \$stderr);
ok($node->poll_query_until('catalogue', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'DO%' AND wait_event_type = 'Lock'}), 'an import waits');
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DO%' AND pid <> pg_backend_pid()});
$importer->finish;
in_session($publisher, 'ROLLBACK;');
$publisher->{psql}->kill_kill;
is(sql('SELECT count(*) FROM esgf_stac.item'), 1000, 'an import that was interrupted keeps the transactions that were done');

$node->psql('catalogue', $import, stderr => \$stderr);
like($stderr, qr/document 2000 is done, 0 are refused/, 'it is started again');
is(sql('SELECT count(*) FROM esgf_stac.item'), $count, 'and all are there');
is(sql('SELECT count(*) FROM refused'), 0, 'none is refused');
is(sql(q{SELECT count(*) FROM esgf_stac.outbox WHERE aggregatetype <> 'collection'}), 0, 'there are no events');
is(sql('SELECT count(*) FROM esgf_stac.item WHERE version <> 1'), 0, 'all have version 1');

# What is there is what was staged, but for what is told on the page.
sql(example('CREATE VIEW pairs'));
is(sql(q{SELECT count(*) FROM pairs WHERE new - 'links' #- '{properties,latest}' #- '{properties,retracted}' #- '{properties,created}' #- '{properties,updated}'
	IS DISTINCT FROM old - 'links' #- '{properties,latest}' #- '{properties,retracted}' #- '{properties,created}' #- '{properties,updated}'}), 0, 'documents are as they were');
is(sql(q{SELECT count(*) FROM pairs WHERE old #>> '{properties,updated}' <> new #>> '{properties,updated}' OR old #>> '{properties,created}' <> new #>> '{properties,created}'}), 0, 'with their times');
is(sql(q{SELECT count(*) FROM pairs JOIN esgf_stac.item USING (id) WHERE created <> (old #>> '{properties,created}')::timestamptz OR updated <> (old #>> '{properties,updated}')::timestamptz}), 0, 'as the columns have them');
is(sql(q{SELECT count(*) FROM pairs WHERE (old #>> '{properties,retracted}')::boolean <> (new #>> '{properties,retracted}')::boolean}), 0, 'what was retracted is');
is(sql(q{SELECT count(*) FROM pairs WHERE latest AND NOT coalesce((old #>> '{properties,latest}')::boolean, true)}), 0, 'none is latest that was not');
is(sql(q{SELECT count(*) FROM esgf_stac.item GROUP BY collection_id, base_id HAVING count(*) FILTER (WHERE latest) <> 1 AND count(*) FILTER (WHERE NOT retracted) > 0}), '', 'each dataset has one latest');
is(sql(q{SELECT count(*) FROM esgf_stac.dataset d LEFT JOIN esgf_stac.item i ON i.id = d.latest_id AND i.latest WHERE d.latest_id IS NOT NULL AND i.id IS NULL}), 0, 'and knows it');
is(sql(q{SELECT count(*) FROM esgf_stac.doctor() WHERE hazard <> 'unlimited WAL'}), 0, 'the doctor finds nothing');

# Seeding: every item that is published, then what changes.
my ($seed) = commands('5. Seed the indices');
{
	local $ENV{ESGF_STAC_RELAY_ENDPOS} = sql('SELECT pg_current_wal_insert_lsn()');
	run_commands('an index is seeded', $seed);
}
is(sql(example('seeded IS NOT NULL')), 't', 'and it is known when that is done');
sql(q{CREATE TABLE seeded (line jsonb)});
run_commands('what the index got', qq{psql -d catalogue -c "\\copy seeded FROM 'east.ndjson' WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"});
is(sql('SELECT count(*) FROM seeded'), $count, 'a line for each item');
is(sql(q{SELECT count(*) FROM seeded JOIN esgf_stac.published_item p ON p.id = line ->> 'item_id' AND p.document = line -> 'document' AND line ->> 'version' = '1' AND line ->> 'type' = 'item.seeded'}), $count, 'with what is published');

# A second dump: what is new comes in, what is the same is passed over, what differs or has gone is changed by hand.
sql(q{
	DELETE FROM staging WHERE n = 50;
	UPDATE staging SET document = jsonb_set(document, '{properties,title}', '"changed meanwhile"') WHERE n IN (10, 20);
	UPDATE staging SET document = jsonb_set(document || '{"assets": {}}', '{properties}', (document -> 'properties') || '{"retracted": true, "latest": false}') WHERE n = 30;
	INSERT INTO staging (document) SELECT document || '{"id": "new.v1"}' || jsonb_build_object('properties', (document -> 'properties') - '{base_id,version}'::text[]) FROM staging WHERE n = 40});
$node->psql('catalogue', $import, stderr => \$stderr);
like($stderr, qr/WARNING:  streams do not hear of imported items/, 'who imports beside a stream is warned');
is(sql(q{SELECT string_agg(concat(n, ' ', status), ', ' ORDER BY n) FROM refused}), '10 409, 20 409, 30 409', 'what differs is refused');
is(sql(q{SELECT version FROM esgf_stac.item WHERE id = 'new.v1'}), 1, 'what is new is there');
my ($by_hand) = example('UPDATE esgf_stac.item') =~ /(.*)^DROP TABLE/ms;
sql($by_hand);
is(sql(q{SELECT string_agg(concat_ws(' ', n, i.version, i.document #>> '{properties,title}' = 'changed meanwhile', i.retracted), ', ' ORDER BY n)
	FROM staging s JOIN esgf_stac.item i ON i.id = s.document ->> 'id' WHERE n IN (10, 20, 30, 40)}), '10 2 t f, 20 2 t f, 30 2 f t, 40 1 f f', 'and overwritten by hand');
is(sql(q{SELECT string_agg(type, ' ' ORDER BY type) FROM esgf_stac.outbox WHERE aggregatetype <> 'collection'}), 'item.deleted item.retracted item.updated item.updated', 'with events, and what has gone is deleted');

# ---------------------------------------------------------------- a federation goes over

# An event as the transaction API sends it, a line.
sub event
{
	my ($id, $method, $item_id, %payload) = @_;
	my $event = {
		metadata => { event_id => $id, request_id => "request of $id", time => '2026-07-17T09:18:58+00:00', schema_version => '1.0.0',
			publisher => { package => 'stac-transaction-api', version => '1.0' },
			auth => { auth_policy_id => undef, requester_data => { client_id => 'publisher', iss => 'https://aai.egi.eu', sub => 'ada' } } },
		data => { type => 'STAC', payload => { method => $method, collection_id => 'CMIP6', item_id => $item_id, %payload } } };
	return JSON::PP->new->ascii->canonical->encode($event) . "\n";
}

# Commands of the page with files where it has topics and an index.
sub run_with_files
{
	my ($what, $block) = @_;
	$block =~ s{kafka:broker:9092/}{ndjson:}g;
	$block =~ s{opensearch:\S+\}'}{ndjson:new_east.ndjson'};
	run_commands($what, $block);
	return;
}

# Which events the outcomes in a file are of.
sub events_of { return join ' ', map { $_->{original_event}{event_id} } read_events("$dir/$_[0]") }

{
	my $item = JSON::PP::decode_json(sql(q{SELECT document || '{"id": "over.v1", "assets": {}}' #- '{properties,base_id}' #- '{properties,version}' FROM source LIMIT 1}));
	append_to_file("$dir/esgf.transactions", join '', event('e1', 'POST', 'over.v1', item => { %$item, collection => 'CMIP6' }),
		event('e2', 'PATCH', 'over.v1', patch => { properties => { title => 'one' } }), event('e3', 'PATCH', 'none.v1', patch => { properties => { title => 'none' } }));
	my ($ends, $seek, $shadow, $copy, $compare) = commands('Step 1: shadow');
	like("$ends$seek", qr/kcat.*seek_source/s, 'kcat, and the offsets that it tells, are not of a file');
	sql(example("create_source\\('api'"));
	run_with_files('the shadow', $shadow);
	is(join('|', map { events_of("shadow.$_.ndjson") } qw(success error)), 'e1 e2|e3', 'performs and answers each event');

	# Of two consumers one took what is refused here, and has not heard of the last.
	my @theirs = map { JSON::PP::encode_json({ %$_, metadata => { publisher => { package => 'west-consumer' } } }) . "\n" } map { read_events("$dir/shadow.$_.ndjson") } qw(success error);
	append_to_file("$dir/theirs.ndjson", join '', $theirs[0], $theirs[2] =~ s/"error":\{[^}]*\}/"x":1/r);
	sql(example('VIEW disagreements'));
	run_commands('what consumers said', $copy =~ s/^.*kcat.*\n//mr);
	is(sql('SELECT * FROM disagreements ORDER BY example'), "|200|||1|e2\nwest-consumer|404|200|1|e3" =~ s/\|\|\|/||/r, 'is compared');
	run_commands('as the page does', $compare);

	my ($stream, $switch) = commands('Step 2: switch the indices to the relay');
	{
		local $ENV{ESGF_STAC_RELAY_ENDPOS} = sql('SELECT pg_current_wal_insert_lsn()');
		run_with_files('a new index', $stream);
	}
	is(scalar(grep { ($_->{item_id} // '') eq 'over.v1' && $_->{document}{properties}{title} eq 'one' } read_events("$dir/new_east.ndjson")), 1, 'has complete documents');
	append_to_file("$dir/esgf.transactions", event('e4', 'PATCH', 'over.v1', patch => { properties => { title => 'two' } }));
	run_with_files('the ingester, switched', $switch);
	is(events_of('esgf.success'), 'e4', 'answers what nobody has answered');

	my ($status, @close) = map { split /^(?=    psql)/m } commands('Step 3: call the verbs');
	run_commands('how far it is', $status);
	run_commands('the road is closed', join '', @close);
	is(sql(q{SELECT active FROM esgf_stac.source}) . sql(q{SELECT count(*) FROM esgf_stac.access_rule WHERE principal = 'source:api' AND (valid_to IS NULL OR valid_to > now())}), 'f0', 'to its events');
}

done_testing();
