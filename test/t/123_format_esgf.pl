# --format esgf: the federation's envelope. Every kind of change is told in it,
# read by the federation's own models where those are to be had from PyPI, and
# applied as its consumers do: a POST creates, or meets an item and changes
# nothing; a PATCH adds. Then they hold what published_item shows.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PythonTest;
use RelayTest;
use Test::More;

my $node = catalogue_node('esgf');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";
my @esgf = ('--format', 'esgf');

sub query
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

# Run a stream up to now, into a file: what this run has added to it.
sub deliver
{
	my ($stream, @arguments) = @_;
	my $file = "$dir/$stream";
	my $before = -s $file // 0;
	my ($status, undef, $stderr) = run_relay($node, '--stream', $stream, '--sink', "ndjson:$file", @esgf, '--endpos', wal_end($node), @arguments);
	is($status, 0, "$stream is delivered") or diag $stderr;
	return split /^/, substr(slurp_file($file), $before);
}

# "POST a.v1, PATCH a.v1": what lines say.
sub told
{
	return join ', ', map {
		my $payload = decode_json($_)->{data}{payload};
		join ' ', $payload->{method}, $payload->{item_id} // $payload->{item}{id};
	} @_;
}

# The consumers: an index for each name, and the lines that they are fed.
query(<<'SQL');
	CREATE SCHEMA consumer;
	CREATE TABLE consumer.line (n bigserial PRIMARY KEY, fed text DEFAULT current_setting('consumer.fed'), raw text, payload jsonb);
	CREATE TABLE consumer.item (fed text, collection_id text, id text, document jsonb, PRIMARY KEY (fed, collection_id, id));
	CREATE TABLE consumer.error (fed text, status int, id text);
	CREATE FUNCTION consumer.patched(document jsonb, operations jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
	DECLARE
		operation jsonb;
		path text[];
	BEGIN
		FOR operation IN SELECT jsonb_array_elements(operations) LOOP
			SELECT array_agg(replace(replace(name, '~1', '/'), '~0', '~')) INTO path
			  FROM unnest((string_to_array(operation ->> 'path', '/'))[2:]) name;
			IF operation ->> 'op' <> 'add' OR NOT operation ? 'value' OR jsonb_typeof(document #> path[:cardinality(path) - 1]) <> 'object' THEN
				RAISE 'does not apply: %', operation;
			END IF;
			document := jsonb_set(document, path, operation -> 'value');
		END LOOP;
		RETURN document;
	END $$;
	CREATE FUNCTION consumer.feed() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE
		key text;
	BEGIN
		NEW.payload := NEW.raw::jsonb #> '{data,payload}';
		key := coalesce(NEW.payload ->> 'item_id', NEW.payload #>> '{item,id}');
		IF NEW.payload ->> 'method' = 'POST' THEN
			INSERT INTO consumer.item VALUES (NEW.fed, NEW.payload ->> 'collection_id', key, NEW.payload -> 'item') ON CONFLICT DO NOTHING;
		ELSE
			UPDATE consumer.item i SET document = consumer.patched(i.document, NEW.payload -> 'patch')
			 WHERE i.fed = NEW.fed AND i.collection_id = NEW.payload ->> 'collection_id' AND i.id = key;
		END IF;
		IF NOT FOUND THEN
			INSERT INTO consumer.error VALUES (NEW.fed, CASE NEW.payload ->> 'method' WHEN 'POST' THEN 409 ELSE 404 END, key);
		END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER feed BEFORE INSERT ON consumer.line FOR EACH ROW EXECUTE FUNCTION consumer.feed();
SQL

# Feed lines to a consumer, and answer its errors.
sub feed
{
	my ($consumer, @lines) = @_;
	my $file = "$dir/lines";
	unlink $file;
	append_to_file($file, join '', @lines);
	query(qq{SET consumer.fed = '$consumer';\n\\copy consumer.line (raw) FROM '$file' WITH (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')});
	return query(qq{SELECT string_agg(status || ' ' || id, ', ' ORDER BY id) FROM consumer.error WHERE fed = '$consumer'});
}

# How a consumer differs from the database, to the letter; an item that is
# deleted, or not of its stream, is retracted and has no assets.
sub differences
{
	my ($consumer, $filter) = @_;
	$filter //= 'true';
	return query(qq{
		WITH published AS (SELECT * FROM esgf_stac.published_item WHERE $filter),
		held AS (SELECT *, document #> '{properties,retracted}' = 'true' AND document #> '{properties,latest}' = 'false'
		                   AND document -> 'assets' = '{}' AS gone FROM consumer.item WHERE fed = '$consumer')
		SELECT string_agg(concat_ws(' ', collection_id, id, h.document, p.document), E'\\n')
		  FROM held h FULL JOIN published p USING (collection_id, id)
		 WHERE h.document::text IS DISTINCT FROM p.document::text AND NOT (p.id IS NULL AND h.gone)});
}

# An item of two files, as a literal; numbers and names in it are easily spoilt.
my $item = <<'JSON';
	{"type": "Feature", "stac_version": "1.1.0", "id": "ID", "collection": "CMIP6", "links": [{"rel": "x, }]", "href": "https://a.org/\""}],
	 "geometry": {"type": "Point", "coordinates": [1.50, -2e1]}, "bbox": [1.50, -20, 1.50, -20],
	 "assets": {"pr.nc": {"href": "https://a.org/pr.nc", "alternate:name": "a.org", "roles": ["data"], "file:size": 5120},
	            "tas.nc": {"href": "https://a.org/tas.nc", "alternate:name": "a.org", "roles": ["data"], "file:size": 5120}},
	 "a/b~c\"d\\": {"}": "]", "large": 12345678901234567890.10, "small": 1e-7, "empty": [{}, [], "", "\\\"{"]}, "nothing": null,
	 "properties": {"datetime": "2020-01-01T00:00:00Z", "title": "ä \"quoted\", \\ {brace} [bracket]\n", "n": 1.10 MORE}}
JSON

sub item
{
	my ($id, $more) = @_;
	$more //= '';
	return "'" . $item =~ s/ID/$id/r =~ s/MORE/$more/r . "'";
}

# What a gateway does for somebody, in one transaction.
sub as_gateway
{
	my ($request, @statements) = @_;
	my $sql = join ";\n", @statements;
	query(qq{
		BEGIN;
		SET LOCAL ROLE gateway;
		SELECT esgf_stac.set_identity('{"sub": "ada", "iss": "https://issuer.example", "client_id": "portal", "principals": ["group:x"],
			"request_id": "$request", "batch": "b", "publisher": {"package": "esgcet", "version": "5.4"}, "auth_policy_id": "policy"}');
		$sql;
		COMMIT});
	return;
}

sub alternates
{
	return q('{"pr.nc": {"href": "https://b.org/pr.nc"}, "tas.nc": {"href": "https://b.org/tas.nc"}}');
}

query(q{CREATE ROLE gateway IN ROLE esgf_stac_gateway;
	INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('a.org', '{https://a.org/}'), ('b.org', '{https://b.org/}');
	SELECT esgf_stac.grant_access('group:x', role, scope, '*')
	  FROM unnest('{CREATE,UPDATE,DELETE,REPLICATE,RETRACT}'::text[]) role, unnest('{project,node}'::text[]) scope});
new_stream($node, 'all');
new_stream($node, 'few', q{, NULL, '$.properties.keep == true'});

# Every verb.
query(q{SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6", "description": "d", "license": "CC-BY-4.0",
	"links": [], "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}')});
as_gateway('r1', 'SELECT esgf_stac.create_item(\'CMIP6\', ' . item('a.v1') . ')');
as_gateway('r2', q{SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{"properties": {"n": 2.20}}')});
query(q{SELECT esgf_stac.patch_collection('CMIP6', '{"title": "t"}')});
query('SELECT esgf_stac.create_item(\'CMIP6\', ' . item('a.v2') . ')');
query('SELECT esgf_stac.replace_item(\'CMIP6\', \'a.v2\', ' . item('a.v2', ', "m": 3.30') . ')');
query(q{SELECT esgf_stac.add_replica('CMIP6', 'a.v2', 'b.org', } . alternates() . ')');
query(q{SELECT esgf_stac.remove_replica('CMIP6', 'a.v2', 'a.org')});
query(q{SELECT esgf_stac.retract_item('CMIP6', 'a.v1', reason => 'wrong')});
query(q{SELECT esgf_stac.retract_item('CMIP6', 'a.v2')});
query(q{SELECT esgf_stac.reinstate_item('CMIP6', 'a.v2')});
as_gateway('r3', q{SELECT esgf_stac.transact('[{"method": "PATCH", "collection_id": "CMIP6", "item_id": "a.v2", "patch": {"properties": {"m": 4.40}}, "request_id": "k1"}]')});
query(q{SELECT esgf_stac.transact('[{"method": "PATCH", "collection_id": "CMIP6", "item_id": "a.v2", "patch": {"properties": {"m": 5.50}}, "request_id": "k2"}]')});
query(q{UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,n}', '9.90') WHERE id = 'a.v2'});

for my $id (qw(gone.v1 back.v1 anew.v1))
{
	query('SELECT esgf_stac.create_item(\'CMIP6\', ' . item($id, ', "keep": true') . ')');
	query("SELECT esgf_stac.delete_item('CMIP6', '$id')");
}
query(q{SELECT esgf_stac.restore_item('CMIP6', 'back.v1')});
query('SELECT esgf_stac.create_item(\'CMIP6\', ' . item('anew.v1') . ')');

# Items that come and go in the filtered stream.
query('SELECT esgf_stac.create_item(\'CMIP6\', ' . item('comes.v1') . ')');
query("SELECT esgf_stac.patch_item('CMIP6', 'comes.v1', '$_')") for '{"properties": {"keep": true}}', '{"properties": {"n": 5.50}}';
query('SELECT esgf_stac.create_item(\'CMIP6\', ' . item('goes.v1', ', "keep": true') . ')');
query("SELECT esgf_stac.patch_item('CMIP6', 'goes.v1', '$_')") for '{"properties": {"keep": false}}', '{"properties": {"n": 5.50}}';
query('SELECT esgf_stac.create_item(\'CMIP6\', ' . item('returns.v1', ', "keep": true') . ')');
query("SELECT esgf_stac.patch_item('CMIP6', 'returns.v1', '{\"properties\": {\"keep\": $_, \"n\": 6.60}}')") for 'false', 'true';
query(q{SELECT esgf_stac.create_item('CMIP6', } . item('again.v1') . q{); SELECT esgf_stac.delete_item('CMIP6', 'again.v1')});

my $captures = "$FindBin::RealBin/../../../shared/data/items";
note 'no captured items beside the checkout' unless -d $captures;
for my $file (glob "$captures/*.json")
{
	my $text = slurp_file($file);
	my $collection = decode_json($text)->{collection};
	query(qq{SELECT esgf_stac.create_collection(jsonb_set(document, '{id}', '"$collection"')) FROM esgf_stac.collection
		WHERE id = 'CMIP6' AND NOT EXISTS (SELECT FROM esgf_stac.collection WHERE id = '$collection')});
	query("SELECT esgf_stac.create_item('$collection', \$item\$$text\$item\$);
		SELECT esgf_stac.patch_item('$collection', '" . decode_json($text)->{id} . q{', '{"properties": {"n": 1.10}}')});
}

# The lines are these, to the letter; events of collections have none.
my @all = deliver('all');
my $events = query(q{SELECT count(*) FROM esgf_stac.outbox WHERE aggregatetype <> 'collection'});
is(scalar(@all), $events, 'an event of an item is a line, one of a collection none');
is(feed('all', @all), '', 'a consumer has no complaint');
is(query(q{
	WITH expected AS (
		SELECT row_number() OVER (ORDER BY o.seq) AS n, CASE
			WHEN o.version = 1 THEN format('{"method":"POST","collection_id":"%s","item_id":"%s","item":%s}', o.aggregatetype, o.aggregateid, o.payload)
			ELSE format('{"method":"PATCH","collection_id":"%s","item_id":"%s","patch":[%s]}', o.aggregatetype, o.aggregateid, CASE
				WHEN o.payload IS NULL THEN '{"op":"add","path":"/properties/latest","value":false},'
					|| '{"op":"add","path":"/properties/retracted","value":true},{"op":"add","path":"/assets","value":{}}'
				ELSE (SELECT string_agg(format('{"op":"add","path":%s,"value":%s}', to_jsonb('/' || replace(replace(m.key, '~', '~0'), '/', '~1')), m.value), ',' ORDER BY m.place)
				        FROM jsonb_each(o.payload) WITH ORDINALITY m (key, value, place) WHERE m.key NOT IN ('id', 'collection')) END) END AS payload
		  FROM esgf_stac.outbox o WHERE o.aggregatetype <> 'collection'),
	line AS (SELECT row_number() OVER (ORDER BY n) AS n, raw FROM consumer.line)
	SELECT string_agg(concat_ws(' ', n, raw, payload), E'\n') FROM expected FULL JOIN line USING (n)
	 WHERE substr(raw, strpos(raw, ',"data":{"type":"STAC"')) IS DISTINCT FROM format(',"data":{"type":"STAC","payload":%s}}', payload)}),
	'', 'POST, and then PATCH with the members as they are');
is(differences('all'), '', 'and holds what is published, to the letter');
is(query(q{SELECT count(*) FROM consumer.item WHERE fed = 'all' AND (collection_id, id) NOT IN (SELECT collection_id, id FROM esgf_stac.published_item)}),
	2, 'what is deleted is retracted there');
isnt(query(q{SELECT document -> 'assets' FROM consumer.item WHERE fed = 'all' AND id = 'back.v1'}), '{}', 'what was restored has its assets again');
like($all[0], qr/"large": 12345678901234567890\.10, "small": 0\.0000001}/, 'numbers keep their spelling');

# What the envelope says.
my $system = query('SELECT system_identifier FROM pg_control_system()');
my $version = query(q{SELECT extversion FROM pg_extension WHERE extname = 'esgf_stac'});
my $expected_metadata = q{
	SELECT jsonb_build_object('event_id', replace(o.id::text, '-', ''), 'request_id', coalesce(o.request_id, replace(o.id::text, '-', '')), 'schema_version', '1.0.0',
		'time', CASE WHEN o.occurred_at::text LIKE '%+00' THEN replace(replace(o.occurred_at::text, ' ', 'T'), '+00', 'Z') END,
		'auth', jsonb_build_object('auth_policy_id', o.identity -> 'auth_policy_id', 'requester_data',
			jsonb_build_object('sub', o.identity -> 'sub', 'iss', o.identity -> 'iss', 'client_id', o.identity -> 'client_id')),
		'publisher', coalesce(o.identity -> 'publisher', '{"package": "esgf_stac", "version": "%s"}')) AS metadata
	  FROM esgf_stac.outbox o WHERE o.aggregatetype <> 'collection'};
is(query("SET timezone = 'UTC'; SELECT count(*) FROM (" . $expected_metadata =~ s/%s/$version/r . q{) e JOIN consumer.line l ON l.raw::jsonb -> 'metadata' = e.metadata WHERE l.fed = 'all'}),
	$events, 'who, on which request, with what and when is that of its row');
my %of = map { my $m = decode_json($_)->{metadata}; ($m->{request_id} => $m) } @all;
is_deeply($of{r1}{auth}, { auth_policy_id => 'policy', requester_data => { sub => 'ada', iss => 'https://issuer.example', client_id => 'portal' } }, 'a gateway says who asks');
is_deeply($of{r1}{publisher}, { package => 'esgcet', version => '5.4' }, 'and with what software');
is_deeply($of{k2}{auth}, { auth_policy_id => undef, requester_data => { sub => query('SELECT current_user'), iss => "postgresql:$system", client_id => query(q{SELECT current_setting('application_name')}) } }, 'else it is the role that called');
is_deeply([ grep { $_->{time} !~ /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/ || $_->{event_id} !~ /^[0-9a-f]{32}$/ } values %of ], [], 'times are RFC 3339, ids are hex');

# The filtered stream: who comes is made known first, who leaves is retracted.
my @few = deliver('few');
is(told(grep { /"CMIP6"/ && /comes|goes|returns|gone|back|anew/ } @few), join(', ',
		(map { ("POST $_.v1", "PATCH $_.v1") } qw(gone back anew)), 'POST back.v1', 'PATCH back.v1', 'POST comes.v1', 'PATCH comes.v1', 'PATCH comes.v1',
		'POST goes.v1', 'PATCH goes.v1', 'POST returns.v1', 'PATCH returns.v1', 'POST returns.v1', 'PATCH returns.v1'), 'a filtered stream');
is(feed('few', @few), '409 back.v1, 409 returns.v1', 'of which a consumer complains only where it has the item');
is(differences('few', q{document @@ '$.properties.keep == true'}), '', 'and holds what is published of it');

# A repetition changes nothing in the end.
query(q{SELECT esgf_stac.create_stream('repeated')});
my @repeated = deliver('repeated', '--create', '--from-beginning');
is_deeply(\@repeated, \@all, 'the outbox repeated is the same lines');
feed('all', @repeated);
is(differences('all'), '', 'which do no harm');

# Seeding: POST and PATCH of each item, the same each time.
query(q{SELECT esgf_stac.create_stream(s) FROM unnest('{seed,seed2}'::text[]) s});
my @seed = deliver('seed', '--create', '--snapshot');
is(told(@seed), query(q{SELECT string_agg(format('POST %1$s, PATCH %1$s', id), ', ' ORDER BY collection_id, id) FROM esgf_stac.published_item}), 'a snapshot');
is(feed('seed', @seed), '', 'seeds an empty consumer');
is(differences('seed'), '', 'with what is published');
feed('few', @seed);
is(differences('few'), '', 'and brings another up to date');
is_deeply([ deliver('seed2', '--create', '--snapshot') ], \@seed, 'twice the same lines');
my %ids = map { decode_json($_)->{metadata}{event_id} => 1 } @seed, @all;
is(scalar(keys %ids), @seed + @all, 'each with an id of its own');
my ($seeded) = grep { $_->{request_id} eq 'r2' } map { decode_json($_)->{metadata} } @seed;
ok(!$seeded, 'an older request is not that of a seeded item');
my ($patched) = grep { /"a\.v2","patch"/ } @seed;
is_deeply([ map { decode_json($patched)->{metadata}{auth}{requester_data}{$_} } qw(sub iss) ], [ query('SELECT current_user'), "postgresql:$system" ], 'its last author is');

# Redriven states.
query(q{
	INSERT INTO esgf_stac.dead_letter (stream, collection_id, item_id, version, reason)
	VALUES ('all', 'CMIP6', 'a.v2', 2, 'r'), ('all', 'CMIP6', 'gone.v1', 1, 'r'), ('all', 'CMIP6', NULL, 1, 'r');
	SELECT esgf_stac.redrive('all')});
my $relay = start_relay($node, $log, '--stream', 'all', '--sink', "ndjson:$dir/redriven", @esgf);
ok($node->poll_query_until('postgres', q{SELECT bool_and(settled_at IS NOT NULL) FROM esgf_stac.dead_letter}), 'dead letters are settled');
is(stop_relay($relay), 0, 'the relay stops');
my @redriven = split /^/, slurp_file("$dir/redriven");
is(told(sort @redriven), 'PATCH a.v2, POST a.v2, PATCH gone.v1', 'a redrive') or note @redriven;
feed('all', @redriven);
is(differences('all'), '', 'which is the current state');

# The federation's models read all of it.
my @models = (
	[ '1.0.6', qw(esgf-core-utils==1.0.6 stac-fastapi.extensions==6.0.0) ],
	[ '1.1.0', qw(esgf-core-utils==1.1.0 stac-fastapi.extensions==6.6.0) ]);
my @lines = (@all, @few, @seed, @redriven);
my ($base, $missing) = python_packages(qw(stac-fastapi.api==6.6.0 stac-pydantic==3.7.1 geojson-pydantic==2.2.0 pydantic==2.14.3));
for my $model (@models)
{
	my ($name, @packages) = @$model;
	my $folder;

	# 1.1 asks for Python 3.12; its models of events run on 3.11, Debian 12's, too.
	($folder, $missing) = python_packages(qw(--no-deps --ignore-requires-python), @packages) if $base;
  SKIP:
	{
		skip "esgf-core-utils $name is not to be had: $missing", 1 unless $base && $folder;
		local $ENV{PYTHONPATH} = "$folder:$base";
		my ($good, $read, $problem) = run_program(join('', @lines), 'python3', "$FindBin::RealBin/../oracle/esgf_events.py");
		is("$read$problem", join('', map { s/(\S+) /$name,$1,/r . "\n" } map { told($_) } @lines), "esgf-core-utils $name reads all lines");
	}
}

# Rows that were pruned before their events were delivered have stand-ins.
as_gateway('r9', q{SELECT esgf_stac.patch_item('CMIP6', 'a.v2', '{"properties": {"n": 7.70}}')});
my $id = query(q{SELECT replace(id::text, '-', '') FROM esgf_stac.outbox ORDER BY seq DESC LIMIT 1});
query(q{SELECT esgf_stac.prune_outbox('0', true)});
my ($pruned) = map { decode_json($_)->{metadata} } deliver('all');
is_deeply($pruned, { auth => { auth_policy_id => undef, requester_data => { sub => 'esgf_stac', iss => 'esgf_stac', client_id => 'esgf_stac' } },
		event_id => $id, request_id => $id, publisher => { package => 'esgf_stac', version => $version }, schema_version => '1.0.0', time => $pruned->{time} },
	'stand-ins where a row was pruned');
query(q{SELECT esgf_stac.create_stream('late')});
my @late = deliver('late', '--create', '--snapshot');
is(scalar(grep { /"sub": "esgf_stac"/ } @late), @late, 'also for seeded items');

# A row that is pruned is not mistaken for one that queries do not see yet: here
# its commit waits for a standby.
query(q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
$node->reload;
$relay = start_relay($node, $log, '--stream', 'all', '--sink', "ndjson:$dir/waiting", @esgf);
my $waiting = open_session($node);
$waiting->{in} = q{BEGIN; SET LOCAL ROLE gateway; SELECT esgf_stac.set_identity('{"sub": "eve", "principals": ["group:x"], "publisher": {"package": "curl"}}');
	SELECT esgf_stac.patch_item('CMIP6', 'a.v2', '{"properties": {"n": 8.80}}'); COMMIT;} . "\n";
$waiting->{psql}->pump_nb;
ok($node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%pg_visible_in_snapshot(x%' AND pid <> pg_backend_pid())
	AND EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')}), 'the relay asks for a commit that waits');
ok(!-s "$dir/waiting", 'and waits too');
query(q{ALTER SYSTEM RESET synchronous_standby_names});
$node->reload;
wait_for('the line', sub { -s "$dir/waiting" });
is(stop_relay($relay), 0, 'the relay stops');
$waiting->{psql}->finish;
my $eve = decode_json(slurp_file("$dir/waiting"))->{metadata};
is_deeply([ $eve->{auth}{requester_data}, $eve->{publisher} ],
	[ { sub => 'eve', iss => 'esgf_stac', client_id => 'esgf_stac' }, { package => 'curl', version => '' } ], 'for who made it, as far as he said');

# A signal to stop does not keep the transaction in hand from being asked for.
# Put to sleep until the outbox is locked, the relay waits at that question and not
# when it starts, as it did on PostgreSQL 17.
my $asking = q{FROM pg_stat_activity WHERE query LIKE '%event_metadata($1%' AND pid <> pg_backend_pid() AND wait_event_type = 'Lock'};
$relay = start_relay($node, $log, '--stream', 'all', '--sink', "ndjson:$dir/stopped", @esgf);
$node->poll_query_until('postgres', q{SELECT active FROM pg_replication_slots WHERE slot_name = 'esgf_stac_all'});
$relay->signal('STOP');
query(q{SELECT esgf_stac.patch_item('CMIP6', 'a.v2', '{"properties": {"n": 9.20}}')});
my $blocking = open_session($node);
in_session($blocking, 'BEGIN; LOCK TABLE esgf_stac.outbox;');
$relay->signal('CONT');
ok($node->poll_query_until('postgres', "SELECT EXISTS (SELECT $asking)"), 'the relay asks');
my $asked_at = query("SELECT query_start $asking");

# Half a second remains from then until the relay stops without an answer: who
# holds the lock looks for himself.
$blocking->{out} = '';
$blocking->{in} .= "DO \$\$ BEGIN WHILE EXISTS (SELECT $asking AND query_start <= '$asked_at') LOOP
	PERFORM pg_stat_clear_snapshot(), pg_sleep(0.001); END LOOP; END \$\$;\nCOMMIT;\n\\echo done\n";
$blocking->{psql}->pump_nb;
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active')});
$relay->signal('INT');
$blocking->{psql}->pump until $blocking->{out} =~ /done/;
pass('the signal ends that');
$blocking->{psql}->finish;
is(stop_relay($relay), 0, 'the relay stops');
is(told(read_lines("$dir/stopped")), 'PATCH a.v2', 'when it has delivered');

# A file of envelopes is no witness of a history; the next start takes it as it is.
query(q{SELECT esgf_stac.patch_item('CMIP6', 'a.v2', '{"properties": {"n": 9.90}}')});
my @appended = deliver('all');    # perhaps what the relay had no time to confirm as it stopped, too
is(told($appended[-1]), 'PATCH a.v2', 'a file is appended to');
like($appended[-1], qr/"n": ?9\.90/, 'with what is new');

# The lines of the documentation.
new_stream($node, 'doc');
as_gateway('r1', q{SELECT esgf_stac.create_item('CMIP6', '{"type": "Feature", "stac_version": "1.1.0", "id": "tas.v1", "geometry": null, "assets": {},
	"properties": {"datetime": "2020-01-01T00:00:00Z"}}')}, q{SELECT esgf_stac.patch_item('CMIP6', 'tas.v1', '{"properties": {"title": "t"}}')},
	q{SELECT esgf_stac.delete_item('CMIP6', 'tas.v1')});
my @doc = deliver('doc');
my @examples = slurp_file("$FindBin::RealBin/../../doc/relay.md") =~ /^    (\{"metadata".*\n)/mg;
is(scalar(@examples), scalar(@doc), 'doc/relay.md shows a line of each kind');
for my $example (@examples)
{
	my $pattern = quotemeta($example) =~ s/(?:0b4e|2026-)?\\\.\\\.\\\./.*/gr;
	like(shift @doc, qr/^$pattern\z/, 'as it is');
}

# What does not go with it.
for my $case ([ 'takes no --format: postgres', '--sink', 'postgres:dbname=x#t', @esgf ], [ '--tombstones does not go with --format: esgf', '--sink', 'ndjson:-', @esgf, '--tombstones' ])
{
	my ($message, @arguments) = @$case;
	my ($status, undef, $stderr) = run_relay($node, '--stream', 'all', @arguments);
	is($status, 2, $message);
	like($stderr, qr/$message/, 'says so');
}

done_testing();
