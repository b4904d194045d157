# examples/postgrest: the calls of its page, answered by PostgREST where there
# is one (POSTGREST, else in PATH), and otherwise by the same statements sent
# through psql (test/oracle/postgrest.pl). And that nobody gets more than his
# token says.

use strict;
use warnings;

use FindBin;
use IPC::Run ();
use MIME::Base64 qw(encode_base64url);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $top = "$FindBin::RealBin/../..";
my $example = "$top/examples/postgrest";
my $secret = 'for trying only, 32 bytes or more';
my $dir = PostgreSQL::Test::Utils::tempdir;

my $node = PostgreSQL::Test::Cluster->new('postgrest');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE catalogue');
$node->safe_psql('catalogue', <<'SQL');
	CREATE EXTENSION esgf_stac;
	SELECT esgf_stac.create_catalogue();
	SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6",
		"description": "d", "license": "CC-BY-4.0", "links": [], "extent":
		{"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}');
	INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('a.org', '{https://a.org/}'), ('b.org', '{https://b.org/}');
SQL
$node->command_ok([ 'psql', '-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('catalogue'), '-f', "$example/api.sql" ], 'api.sql');

sub query { return $node->safe_psql('catalogue', $_[0]) }

# ---------------------------------------------------------------- who answers

local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{API} = 'http://127.0.0.1:3000';
local $ENV{SECRET} = $secret;

my ($program) = grep { defined && -x } $ENV{POSTGREST}, map { "$_/postgrest" } split /:/, $ENV{PATH};
my $server;

# Start PostgREST with the example's configuration on a port that is free.
sub start_postgrest
{
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	append_to_file("$dir/jwks.json", sprintf '{"keys": [{"kty": "oct", "k": "%s"}]}', encode_base64url($secret));
	$ENV{API} = "http://127.0.0.1:$port";
	local $ENV{PGRST_SERVER_PORT} = $port;
	chdir $dir or die;
	$server = IPC::Run::start([ $program, "$example/postgrest.conf" ], '<', \undef, '>&', "$dir/log");
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;
	until (IPC::Run::run([ 'curl', '-sf', '-o', "$dir/root", "$ENV{API}/" ], '<', \undef))
	{
		BAIL_OUT('PostgREST does not answer: ' . slurp_file("$dir/log")) if time > $end;
		usleep(50_000);
	}
	return;
}

if ($program)
{
	start_postgrest();
}
else
{
	append_to_file("$dir/curl", qq{#!/bin/sh\nexec perl "$top/test/oracle/postgrest.pl" "$example/postgrest.conf" "\$@"\n});
	chmod 0755, "$dir/curl";
	$ENV{PATH} = "$dir:$ENV{PATH}";
}
END { my $status = $?; $server->kill_kill if $server; $? = $status; }

SKIP:
{
	skip 'no PostgREST: what it would send to the database is sent by psql', 1 unless $program;
	pass("answered by $program");
}

# ---------------------------------------------------------------- the page

# What several scripts print, run in one shell.
sub run_scripts
{
	my @scripts = @_;
	my ($input, $output) = (join('', map { "$_\necho -- end --\n" } @scripts), '');
	IPC::Run::run(['bash'], '<', \$input, '>', \$output, '2>&1');
	return split /^-- end --\n/m, $output, -1;
}

my $page = slurp_file("$example/README.md");
my ($preparation, @calls);
while ($page =~ /^```sh\n(.*?)^```\n(?:```text\n(.*?)^```$)?/msg)
{
	defined $2 ? push @calls, [ $1, $2 ] : ($preparation = $1);
}
cmp_ok(scalar @calls, '>', 5, 'the page has calls');
my (undef, @outputs) = run_scripts($preparation, map { $_->[0] } @calls);
foreach my $call (@calls)
{
	my ($command, $expected) = @$call;
	my $output = shift @outputs;
	my $pattern = join '[^\n]*', map { quotemeta } split /\.\.\./, $expected, -1;
	ok($output =~ /\A$pattern\z/, 'the page: ' . $command =~ s/\n.*//sr) or diag "expected:\n$expected\ngot:\n$output";
}

is(query(q{SELECT identity ->> 'sub', identity ->> 'iss', identity ->> 'client_id', jsonb_array_length(identity -> 'principals'), request_id, batch
	FROM esgf_stac.outbox WHERE aggregateid = 'tas.v1' AND version = 1}), 'ada|https://aai.egi.eu|publisher|5|4711|demo', 'the event says who asked for it');
is(query(q{SELECT count(*) FROM esgf_stac.outbox WHERE request_id IS NOT NULL OR batch IS NOT NULL}), '2', 'and nobody after him');

# ---------------------------------------------------------------- who gets no more

# A call with a token of these claims, or none; answers status and body.
sub call
{
	my ($claims, $path, $body) = @_;
	my $token = defined $claims ? qq{-H "Authorization: Bearer \$(token '$claims')"} : '';
	my $data = defined $body ? "-H 'Content-Type: application/json' -d '$body'" : '';
	my (undef, $output) = run_scripts($preparation, "curl \"\$API/$path\" $token $data");
	my ($text, $status) = $output =~ /\A(.*)\n(\d+)\n\z/s or return "no answer: $output";
	return ($status, $text);
}

sub refused
{
	my ($name, $status, $reason, @call) = @_;
	my $before = query('SELECT max(seq) FROM esgf_stac.outbox');
	my ($got, $text) = call(@call);
	is($got, $status, "$name: $status");
	like($text, $reason, "$name: the reason");
	is(query('SELECT max(seq) FROM esgf_stac.outbox'), $before, "$name: nothing is done");
	return;
}

query(q{SELECT esgf_stac.grant_access('group:aai.egi.eu/curators', 'UPDATE', 'project', 'CMIP6')});
my $eve = '{"sub": "eve", "iss": "https://aai.egi.eu"}';
my $patch = '"collection_id": "CMIP6", "item_id": "tas.v1", "patch": {"properties": {"title": "e"}}';
my $root = '{"sub": "root", "principals": ["urn:mace:egi.eu:group:esgf.vo.egi.eu:project:CMIP6:role=UPDATE#aai.egi.eu"]}';
refused('without entitlements', 403, qr/UPDATE on project CMIP6 is missing/, $eve, 'rpc/patch_item', "{$patch}");
refused('without sub', 401, qr/permission denied for function patch_item/, '{"iss": "https://aai.egi.eu"}', 'rpc/patch_item', "{$patch}");
refused('an identity of his own', 404, qr/PGRST202/, $eve, 'rpc/transact', qq({"requests": [{"method": "PATCH", $patch}], "identity": $root}));
refused('the function that says it', 404, qr/PGRST202/, $eve, 'rpc/set_identity', qq({"identity": $root}));
refused('a claim of a role of the database', 400, qr/must not begin with role:/, '{"sub": "eve", "eduperson_entitlement": ["role:postgres"]}', 'rpc/patch_item', "{$patch}");
refused('an entitlement that would pass for a group', 403, qr/UPDATE on project CMIP6 is missing/, '{"sub": "eve", "eduperson_entitlement": ["group:aai.egi.eu/curators", "urn:x:y"]}', 'rpc/patch_item', "{$patch}");
refused('entitlements that are no strings', 400, qr/must be a string/, '{"sub": "eve", "eduperson_entitlement": [7]}', 'rpc/patch_item', "{$patch}");
refused('a subject that is none', 400, qr/must be a string/, '{"sub": {"a": "b"}}', 'rpc/patch_item', "{$patch}");
refused('a client that is none', 400, qr/must be a string/, '{"sub": "eve", "azp": ["b"]}', 'rpc/patch_item', "{$patch}");
refused('claims that are null', 403, qr/UPDATE on project CMIP6 is missing/, '{"sub": "eve", "iss": null, "azp": null, "client_id": null, "eduperson_entitlement": null}', 'rpc/patch_item', "{$patch}");
refused('entitlements that are no list', 400, qr/must be an array/, '{"sub": "eve", "eduperson_entitlement": {"a": "b"}}', 'rpc/patch_item', "{$patch}");
refused("the role $_", 403, qr/42501/, qq({"sub": "eve", "role": "$_"}), 'rpc/patch_item', "{$patch}")

  for qw(esgf_stac_admin esgf_stac_gateway postgres);
refused('a gateway that is nobody', 401, qr/a gateway must say for whom it acts/, '{"role": "api_gateway"}', 'rpc/patch_item', "{$patch}");
refused('a line break for the status line', 404, qr/"message":"item \\"x  Set-Cookie: a=b\\" does not exist/, undef, 'rpc/get_item?collection_id=CMIP6&item_id=x%0d%0aSet-Cookie:%20a=b');
refused('a change by GET', 405, qr/read-only transaction/, $eve, 'rpc/delete_item?collection_id=CMIP6&item_id=tas.v1');

is(query(q{
	SELECT string_agg(DISTINCT p.proname, ' ' ORDER BY p.proname) FROM pg_proc p
	 WHERE pronamespace = 'esgf_stac'::regnamespace AND has_function_privilege('esgf_stac_gateway', p.oid, 'EXECUTE')
	   AND obj_description(p.oid, 'pg_proc') IS NOT NULL
	   AND prorettype IN ('esgf_stac.receipt'::regtype, 'esgf_stac.outcome'::regtype, 'esgf_stac.item_state'::regtype)}),
	query(q{
	SELECT string_agg(DISTINCT p.proname, ' ' ORDER BY p.proname) FROM pg_proc p
	 WHERE pronamespace = 'api'::regnamespace
	   AND prorettype IN ('esgf_stac.receipt'::regtype, 'esgf_stac.outcome'::regtype, 'esgf_stac.item_state'::regtype)}),
	'every verb of a gateway is shown');
is(query(q{
	SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p JOIN pg_proc own ON own.proname = p.proname AND own.pronamespace = 'esgf_stac'::regnamespace
	 WHERE p.pronamespace = 'api'::regnamespace
	   AND array_remove(array_remove(own.proargnames[:own.pronargs], 'identity'), 'stored') <> p.proargnames[:p.pronargs]}),
	'', 'with the arguments of the verb');
is(query(q{
	SELECT string_agg(p.proname, ' ' ORDER BY p.proname) FROM pg_proc p
	 WHERE p.pronamespace IN ('api'::regnamespace, 'gateway'::regnamespace) AND has_function_privilege('api_anonymous', p.oid, 'EXECUTE')}),
	'changes get_item identify', 'and to those without a token, what reads');
is(query(q{SELECT string_agg(p.proname, ' ') FROM pg_proc p WHERE p.pronamespace = 'api'::regnamespace AND p.prosecdef}), '', 'nothing runs as its owner');

$node->stop;
done_testing();
