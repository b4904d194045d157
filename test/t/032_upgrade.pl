# A catalogue that 0.1.0 laid, built from its commit, moves to this version and
# is then as one laid anew, object by object; its rows stay where they are, and
# its events and streams go on. A dump of it moves as well, and one at which a relay,
# a transaction API and a writer are at work.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use HTTP::Tiny;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PythonTest;
use RelayTest;
use Test::More;

my $checkout = "$FindBin::RealBin/../..";
my $old = "$checkout/../0.1.0";
plan skip_all => 'the sources of 0.1.0 are not beside the checkout: scripts/test takes them from the history of git' unless -d $old;
my ($tree, $home) = `pg_config --bindir` =~ m{^(/.+?)(/usr/lib/postgresql/\d+)/bin$};
plan skip_all => 'the server is not a private one, as scripts/test lays it' unless $tree;

# A server of its own, into which each version can be installed in turn.
my $dir = PostgreSQL::Test::Utils::tempdir;
system_or_bail('cp', '-a', $tree, "$dir/tree");
$tree = "$dir/tree";

sub install_version
{
	my ($from) = @_;
	unlink glob("$tree$home/lib/esgf_stac*"), glob("$tree/usr/share/postgresql/*/extension/esgf_stac*");
	my $make = "make -s -C '$from' -j2 with_llvm=no COPT=-O0 PG_CONFIG='$tree$home/bin/pg_config' system_prefix='$tree/usr' sysconfdir='$tree/etc'";
	system_or_bail('sh', '-c', "{ $make all && $make relay && $make install; } >'$dir/make.log' 2>&1 || { cat '$dir/make.log'; exit 1; }");
	return;
}

install_version($old);
my $node = PostgreSQL::Test::Cluster->new('upgrade', install_path => "$tree$home");
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', 'max_connections = 50');
$node->start;

# The relay of the version that is installed, until all so far is delivered.
sub deliver
{
	local $ENV{PATH} = "$tree$home/bin:$ENV{PATH}";
	my ($status, undef, $stderr) = run_relay($node, '--stream', 'east', '--sink', "ndjson:$dir/east", '--endpos', wal_end($node), @_);
	is($status, 0, 'the relay delivers') or diag($stderr);
	return;
}

# What is in the catalogue: all columns that 0.1.0 knows.
sub content
{
	my ($database) = @_;
	return $node->safe_psql($database, q{
		SELECT 'item', md5(string_agg(concat_ws('|', collection_id, id, version, base_id, dataset_version, latest, retracted, deleted, nodes, reason, document, created, updated), E'\n' ORDER BY id)) FROM esgf_stac.item
		UNION ALL SELECT 'outbox', md5(string_agg(concat_ws('|', seq, id, aggregatetype, aggregateid, type, version, payload, occurred_at, reason, batch, streams, left_streams, request, identity, request_id), E'\n' ORDER BY seq)) FROM esgf_stac.outbox
		UNION ALL SELECT 'dataset', md5(string_agg(concat_ws('|', collection_id, base_id, latest_id), E'\n' ORDER BY base_id)) FROM esgf_stac.dataset
		UNION ALL SELECT 'collection', md5(string_agg(concat_ws('|', id, document, version, deleted, created, updated, require_version, complete_replicas, stamp_times, institution_path, null_members), E'\n' ORDER BY id)) FROM esgf_stac.collection
		UNION ALL SELECT 'site', md5(string_agg(concat_ws('|', node, href_prefixes, description, active), E'\n' ORDER BY node)) FROM esgf_stac.site
		UNION ALL SELECT 'access_rule', md5(string_agg(concat_ws('|', id, principal, role, scope, target, institution, valid_from, valid_to, granted_by, revoked_by), E'\n' ORDER BY id)) FROM esgf_stac.access_rule
		UNION ALL SELECT 'request', md5(string_agg(concat_ws('|', client, request_id, digest, outcome, answered_at), E'\n' ORDER BY client, request_id)) FROM esgf_stac.request
		UNION ALL SELECT 'stream', md5(string_agg(concat_ws('|', name, collections, filter, created), E'\n' ORDER BY name)) FROM esgf_stac.stream});
}

# A year in a few lines: items of each state, rules, keys, a stream half read.
my $generator = slurp_file("$old/scripts/generate_items.sql");
$node->safe_psql('postgres', "CREATE EXTENSION esgf_stac; SELECT esgf_stac.create_catalogue(); BEGIN; $generator; COMMIT");
$node->safe_psql('postgres', <<'SQL');
	SELECT esgf_stac.create_collection(generator.collection());
	INSERT INTO esgf_stac.site VALUES ('esgf-data.dkrz.de', '{https://esgf-data.dkrz.de/}', 'Hamburg');
	SELECT esgf_stac.grant_access('role:postgres', 'UPDATE', 'project', 'CMIP6'), esgf_stac.revoke_access(esgf_stac.grant_access('group:x', 'CREATE', 'node', '*'));
	SELECT esgf_stac.create_stream('east');
	SELECT esgf_stac.create_stream('some', '{CMIP6}', '$.properties.title == "t"');
	SELECT count(esgf_stac.create_item('CMIP6', item)) FROM generator.items(0, 99) item;
	SELECT count(esgf_stac.patch_item('CMIP6', id, '{"properties": {"title": "t"}}')) FROM esgf_stac.published_item WHERE hashtext(id) % 3 = 0;
	SELECT count(esgf_stac.retract_item('CMIP6', id, reason => 'wrong units')) FROM (SELECT id FROM esgf_stac.published_item ORDER BY id LIMIT 5) i;
	SELECT count(esgf_stac.delete_item('CMIP6', id)) FROM (SELECT id FROM esgf_stac.published_item ORDER BY id DESC LIMIT 5) i;
	SELECT esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'PATCH', 'collection_id', 'CMIP6', 'item_id', id, 'request_id', 'key', 'patch', '{"properties": {"access": "x"}}'::jsonb)))
	  FROM (SELECT id FROM esgf_stac.published_item WHERE NOT retracted ORDER BY id LIMIT 1) i;
	DROP SCHEMA generator CASCADE;
SQL
deliver('--create', '--from-beginning');
my $pending = q{SELECT count(esgf_stac.patch_item('CMIP6', id, '{"properties": {"title": "%s"}}')) FROM (SELECT id FROM esgf_stac.published_item WHERE NOT retracted ORDER BY id LIMIT 7) i};
$node->safe_psql('postgres', sprintf $pending, 'before');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/dump", $node->connstr('postgres') ], 'a dump of 0.1.0');

# ---------------------------------------------------------------- one at work

# Another catalogue: its relay, the API of examples/stac_fastapi, who calls it and who writes by SQL, in sessions that last.
my ($packages, $why) = python_packages(grep { /\S/ } split /\n/, slurp_file("$checkout/examples/stac_fastapi/requirements.txt"));
my ($relay, $api, %clients);
my $live = $node->connstr('live');

# The events that the relay of the catalogue at work has brought.
sub brought
{
	my %ids = map { $_->{id} => 1 } read_events("$dir/live");
	return scalar keys %ids;
}

sub start_api
{
	my ($from) = @_;
	local @ENV{qw(PGHOST PGPORT PGDATABASE PGUSER PYTHONPATH PYTHONDONTWRITEBYTECODE)} = ($node->host, $node->port, 'live', 'stac_api', $packages, 1);
	return IPC::Run::start(
		[ qw(setpriv --pdeathsig KILL -- bash -c), "cd '$from/examples/stac_fastapi' && exec python3 -m uvicorn app:app --port $clients{port}" ],
		'<', \undef, '>>', "$dir/api.log", '2>>', "$dir/api.log");
}

# How much have the clients done together?
sub changes { my $done = () = $clients{out} =~ /^changed$/mg; return $done }

# Wait until they have done more.
sub wait_for_clients
{
	my ($what) = @_;
	my $done = changes();
	wait_for($what, sub { $clients{process}->pump_nb; changes() > $done + 50 });
	return;
}

sub start_live
{
	local $ENV{PATH} = "$tree$home/bin:$ENV{PATH}";
	local $ENV{STAC_TOKEN_KEY} = 'a key of at least 32 bytes, for tests';
	$node->safe_psql('postgres', 'CREATE DATABASE live');
	$node->safe_psql('live', "CREATE EXTENSION esgf_stac; SELECT esgf_stac.create_catalogue(); BEGIN; $generator; COMMIT");
	$node->safe_psql('live', q{
		SELECT esgf_stac.create_collection(generator.collection());
		SELECT count(esgf_stac.create_item('CMIP6', item)) FROM generator.items(0, 9) item;
		SELECT esgf_stac.create_stream('live'), esgf_stac.create_stream('next');
		DROP SCHEMA generator CASCADE});
	$node->safe_psql('live', slurp_file("$old/examples/stac_fastapi/roles.sql"));
	$relay = start_relay($node, "$dir/live.log", '--dbname', $live, '--stream', 'live', '--create', '--from-beginning', '--sink', "ndjson:$dir/live");
	my ($token) = run_command([ 'env', "PYTHONPATH=$packages", 'python3', '-c', q{
import jwt, time
print(jwt.encode({"iss": "https://aai.example.org", "sub": "ada", "client_id": "x", "exp": time.time() + 36000,
    "eduperson_entitlement": ["urn:mace:egi.eu:group:esgf.vo.egi.eu:project:CMIP6:role=UPDATE#aai.egi.eu"]}, "a key of at least 32 bytes, for tests"))} ]);
	%clients = (in => '', out => '', err => '', port => PostgreSQL::Test::Cluster::get_free_port());
	$clients{url} = "http://127.0.0.1:$clients{port}";
	$api = start_api($old);
	wait_for('the API answers', sub { HTTP::Tiny->new->get("$clients{url}/_mgmt/ping")->{success} || !$api->pumpable });
	my @items = split /\n/, $node->safe_psql('live', 'SELECT id FROM esgf_stac.published_item ORDER BY id LIMIT 2');
	local $ENV{PYTHONPATH} = $packages;
	$clients{items} = \@items;
	$clients{process} = IPC::Run::start([ 'python3', "$checkout/test/t/upgrade_clients.py", $clients{url}, $token, $live, @items ],
		'<', \$clients{in}, '>', \$clients{out}, '2>', \$clients{err});
	wait_for_clients('they work before the upgrade');
	return;
}

sub upgrade_live
{
	local $ENV{STAC_TOKEN_KEY} = 'a key of at least 32 bytes, for tests';

	# A relay of this version that comes too early waits, and says so; the one of 0.1.0 goes on.
	my $early = start_relay($node, "$dir/early.log", '--dbname', $live, '--stream', 'next', '--create', '--sink', "ndjson:$dir/next");
	wait_for('it waits for the extension', sub { -e "$dir/early.log" && slurp_file("$dir/early.log") =~ /problem=version-mismatch .*extension has version 0\.1\.0/ });
	is((run_relay($node, '--dbname', $live, '--stream', 'next', '--create', '--no-loop'))[0], 4, 'without a loop that is status 4');

	# As long as it takes: each waits for transactions that run, no longer than that.
	for my $step ('ALTER EXTENSION esgf_stac UPDATE', 'SELECT esgf_stac.upgrade_catalogue()')
	{
		wait_for($step, sub { $node->psql('live', "SET lock_timeout = '2s'; $step") == 0 });
	}
	my ($reconnect) = slurp_file("$checkout/doc/administration.md") =~ /^ +(SELECT pg_terminate_backend.*?;)$/ms;
	$node->safe_psql('live', $reconnect);
	wait_for_clients('they work after the upgrade');

	# Then the new programs, one after the other.
	# That of 0.1.0 ends by itself where it had to connect anew.
	like(stop_relay($relay), qr/^[04]$/, 'the relay of 0.1.0 is stopped');
	$relay = start_relay($node, "$dir/live.log", '--dbname', $live, '--stream', 'live', '--sink', "ndjson:$dir/live");
	$api->signal('TERM');
	$api->finish;
	$node->safe_psql('live', 'DROP ROLE stac_api, stac_gateway, stac_curator');
	$node->safe_psql('live', slurp_file("$checkout/examples/stac_fastapi/roles.sql"));
	$api = start_api($checkout);
	wait_for_clients('they work with the new API');
	$clients{process}->finish;
	my $told = JSON::PP::decode_json((split /\n/, $clients{out})[-1]);
	diag("errors that a retry healed: " . JSON::PP->new->canonical->encode({ map { $_ => $told->{$_}{errors} } keys %$told }));

	for (0 .. 1)
	{
		my ($client) = (qw(api sql))[$_];
		my $done = $told->{$client}{done};
		is($told->{$client}{given_up}, undef, "$client: a retry healed every error");
		is($node->safe_psql('live', "SELECT version, document #>> '{properties,n}' FROM esgf_stac.published_item WHERE id = '$clients{items}[$_]'"),
			($done + 1) . "|$done", "$client: each of $done changes was made, once");
	}
	my $events = $node->safe_psql('live', 'SELECT count(*) FROM esgf_stac.outbox');
	ok(wait_for('the relay brings all', sub { brought() == $events }), "all of $events events are delivered");
	is(slurp_file("$dir/early.log") =~ /made slot esgf_stac_next/, 1, 'the relay that came too early went on by itself');
	is(stop_relay($_), 0, 'a relay is stopped') for $early, $relay;
	$api->signal('TERM');
	$api->finish;
	$node->safe_psql('live', 'DROP ROLE stac_api, stac_curator');
	return;
}

start_live() if $packages;

# ---------------------------------------------------------------- quiet ones

my $content = content('postgres');
my $files = q{SELECT string_agg(relname || pg_relation_filenode(oid), ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'esgf_stac'::regnamespace AND relkind = 'r'
	AND relname IN ('access_rule', 'catalogue', 'collection', 'consumer', 'dataset', 'dead_letter', 'item', 'outbox', 'request', 'site', 'stream')};
my $places = $node->safe_psql('postgres', $files);

# The index that doc/administration.md has a DBA make before; here it was not finished.
my ($index) = slurp_file("$checkout/doc/administration.md") =~ /^ +(CREATE INDEX CONCURRENTLY.*?;)$/ms;
$node->safe_psql('postgres', $index);
$node->safe_psql('postgres', q{UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'esgf_stac.item_versions'::regclass});

# Between the steps every verb says which comes next.
install_version($checkout);
my (undef, undef, $stderr) = $node->psql('postgres', "SELECT esgf_stac.get_item('CMIP6', 'x')");
like($stderr, qr/Run ALTER EXTENSION esgf_stac UPDATE/, 'the files are installed');
$node->safe_psql('postgres', 'CREATE ROLE esgf_stac_ingest; CREATE ROLE mallory IN ROLE esgf_stac_ingest');
(undef, undef, $stderr) = $node->psql('postgres', 'ALTER EXTENSION esgf_stac UPDATE');
like($stderr, qr/have members\nDETAIL:  esgf_stac_ingest: mallory\n/, 'a role of a new name that somebody has prepared and joined');
$node->safe_psql('postgres', 'DROP ROLE mallory');
$node->safe_psql('postgres', 'ALTER EXTENSION esgf_stac UPDATE');
(undef, undef, $stderr) = $node->psql('postgres', "SELECT esgf_stac.get_item('CMIP6', 'x')");
like($stderr, qr/Run SELECT esgf_stac\.upgrade_catalogue\(\)/, 'the extension is updated');
is($node->safe_psql('postgres', q{SELECT subject, cure FROM esgf_stac.doctor() WHERE hazard = 'version'}), 'catalogue|SELECT esgf_stac.upgrade_catalogue();', 'doctor() says so, too');
$node->safe_psql('postgres', 'SELECT esgf_stac.upgrade_catalogue()');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.doctor() WHERE hazard = 'version'}), 0, 'the catalogue is upgraded');

SKIP:
{
	skip "Python packages are not to be had: $why", 10 unless $packages;
	upgrade_live();
}

is(content('postgres'), $content, 'no row has changed');
is($node->safe_psql('postgres', $files), $places, 'no table was rewritten');
$node->safe_psql('postgres', 'SELECT esgf_stac.upgrade_catalogue()');
pass('to upgrade once more is no error');

# Streams go on: what 0.1.0 wrote and the relay had not read, then what is new.
is($node->safe_psql('postgres', sprintf $pending, 'after'), 7, 'verbs go on');
deliver();
my ($delivered) = $node->safe_psql('postgres', 'SELECT count(*) FROM esgf_stac.outbox');
my %ids = map { $_->{id} => 1 } read_events("$dir/east");
is(keys %ids, $delivered, 'every event is delivered');

# With the columns that streams had, until they are refreshed.
sub refresh
{
	my ($database) = @_;
	my @cures = split /\n/, $node->safe_psql($database, q{SELECT cure FROM esgf_stac.doctor() WHERE hazard = 'columns' ORDER BY subject});
	is(@cures, 2, "doctor() names both streams of $database");
	$node->safe_psql($database, $_) for @cures;
	return;
}
$node->safe_psql('postgres', q{INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity, validated_against, warnings)
	VALUES (gen_random_uuid(), 'CMIP6', 'before', 'item.updated', 1, '{}', now(), '{}', '[1]', '[2]')});
deliver();
like((read_lines("$dir/east"))[-1], qr/"item_id":"before".*,"document":\{\},"validated_against":null,"warnings":null\}$/, 'a stream has the columns of 0.1.0');
my $publications = q{SELECT string_agg(p::text, E'\n' ORDER BY pubname) FROM pg_publication_tables p};
my $old_publications = $node->safe_psql('postgres', $publications);
refresh('postgres');
isnt($node->safe_psql('postgres', $publications), $old_publications, 'refresh_stream() adds those of this version');
$node->safe_psql('postgres', q{INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity, validated_against, warnings)
	VALUES (gen_random_uuid(), 'CMIP6', 'after', 'item.updated', 1, '{}', now(), '{}', '[1]', '[2]')});
deliver();
like((read_lines("$dir/east"))[-1], qr/"item_id":"after".*,"document":\{\},"validated_against":\[1\],"warnings":\[2\]\}$/, 'and the relay has them');

# A dump of 0.1.0 is restored beside it, and a catalogue laid anew.
$node->safe_psql('postgres', 'CREATE DATABASE fresh; CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), "$dir/dump" ], 'the dump is restored by this version');
$node->safe_psql('restored', $index);
my $made = $node->safe_psql('restored', q{SELECT pg_relation_filenode('esgf_stac.item_versions')});
$node->safe_psql('restored', 'SELECT esgf_stac.upgrade_catalogue()');
is($node->safe_psql('restored', q{SELECT pg_relation_filenode('esgf_stac.item_dataset')}), $made, 'an index that was made before is used');
$node->safe_psql('restored', 'SELECT esgf_stac.adopt_catalogue()');
is(content('restored'), $content, 'with every row');
is($node->safe_psql('restored', sprintf $pending, 'restored'), 7, 'and verbs go on');
$node->safe_psql('fresh', q{CREATE EXTENSION esgf_stac; SELECT esgf_stac.create_catalogue();
	SELECT esgf_stac.create_stream('east'), esgf_stac.create_stream('some', '{CMIP6}', '$.properties.title == "t"')});

my $missing = q{SELECT cure FROM esgf_stac.doctor() WHERE hazard = 'missing index'};

# The tables and all that hangs on them, as pg_dump prints them; members of the
# extension by their definitions.
sub objects
{
	my ($database) = @_;
	my ($schema) = run_command([ 'pg_dump', '--schema-only', $node->connstr($database) ]);
	$schema =~ s/^(?:--.*|\\.*|)\n//mg;
	return join "\n", sort(split /;\n/, $schema), $node->safe_psql($database, q{
		SELECT pg_describe_object(d.classid, d.objid, 0), pg_get_functiondef(p.oid), p.proowner::regrole,
		       (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(coalesce(p.proacl, n.nspacl)) a),
		       obj_description(d.objid, d.classid::regclass::name),
		       (SELECT string_agg(concat_ws(' ', attname, atttypid::regtype, col_description(attrelid, attnum)), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = t.typrelid)
		  FROM pg_depend d
		  LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
		  LEFT JOIN pg_namespace n ON d.classid = 'pg_namespace'::regclass AND n.oid = d.objid
		  LEFT JOIN pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
		 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'esgf_stac')
		 ORDER BY 1});
}

# What an upgrade leaves to the DBA, for it would take long over a full outbox.
is($node->safe_psql('fresh', $missing), '', 'a fresh catalogue lacks no index');
for my $database ('postgres', 'restored')
{
	my @cures = split /\n/, $node->safe_psql($database, $missing);
	is(@cures, 4, 'doctor() has the indexes made that an upgrade does not');
	$node->safe_psql($database, $_) for @cures;
}

my $fresh = objects('fresh');
like($fresh, qr/CREATE TABLE esgf_stac\.item/, 'a catalogue is laid anew');
is(objects('postgres'), $fresh, 'the upgraded one is equal to it');
my ($all_but_publications) = map { s/^ALTER PUBLICATION .*\n//mgr } objects('restored');
is($all_but_publications, $fresh =~ s/^ALTER PUBLICATION .*\n//mgr, 'so is the restored one, but for publications');
refresh('restored');
is(objects('restored'), $fresh, 'and those, once its streams are refreshed');
SKIP:
{
	skip 'no other catalogue was at work', 1 unless $packages;
	$node->safe_psql('live', $_) for 'SET client_min_messages = error; SELECT esgf_stac.drop_stream(name) FROM esgf_stac.stream', split /\n/, $node->safe_psql('live', $missing);
	$node->safe_psql('fresh', 'SELECT esgf_stac.drop_stream(name) FROM esgf_stac.stream');
	is(objects('live'), objects('fresh'), 'the one at work is equal to a fresh one as well');
}

done_testing();
