# examples/stac_fastapi, used and examined by programs of others: pystac-client and
# esgcet, as their users do; stac-api-validator; schemathesis, which sends whatever
# OpenAPI allows and forbids, and wants an answer that is described, and none of 500.
#
# They come from PyPI; what is not to be had is skipped.
use strict;
use warnings;

use Cwd qw(abs_path);
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

my $top = abs_path("$FindBin::RealBin/../..");
my $example = "$top/examples/stac_fastapi";
my $clients = "$top/test/stac_fastapi/clients";
my $deadline = $PostgreSQL::Test::Utils::timeout_default;

my ($application, $missing) =
  python_packages(grep { /\S/ } split /\n/, slurp_file("$example/requirements.txt"));
plan skip_all => "Python packages are not to be had: $missing" unless $application;

# A catalogue in which the testers may do all, with two items.
my $node = catalogue_node('clients', 'fsync = off');
$node->safe_psql('postgres', slurp_file("$example/roles.sql"));
$node->safe_psql('postgres', q{
	INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('a.org', '{https://a.org/}'), ('b.org', '{https://b.org/}');
	SELECT esgf_stac.grant_access('group:https://aai.example.org/testers', role, scope, '*')
	  FROM unnest(ARRAY['CREATE', 'UPDATE', 'DELETE', 'REPLICATE', 'RETRACT']) role, unnest(ARRAY['project', 'node']) scope;
	SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6", "title": "CMIP6", "description": "d", "license": "CC-BY-4.0",
		"links": [], "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}');
	SELECT esgf_stac.create_item('CMIP6', ('{"type": "Feature", "stac_version": "1.1.0", "id": "CMIP6.' || n || '.v1", "geometry": null,
		"properties": {"datetime": "1850-01-16T12:00:00Z"}, "assets": {}}')::jsonb) FROM unnest(ARRAY['a', 'b']) n;
});

my %environment = (
	PYTHONDONTWRITEBYTECODE => 1,
	STAC_TOKEN_KEY => 'a key of at least 32 bytes, for tests',
	STAC_CURATORS => 'group:https://aai.example.org/curators');
my ($token) = run_with($application, [], qw(python3 -c), <<'END');
import jwt, os, time
print(jwt.encode({"iss": "https://aai.example.org", "sub": "ada", "client_id": "test", "exp": time.time() + 36000,
                  "groups": ["testers", "curators"]}, os.environ["STAC_TOKEN_KEY"]))
END
chomp $token;

# Run a program with these packages: (output of both kinds, exit status).
sub run_with
{
	my ($packages, $variables, @command) = @_;
	local %ENV = (%ENV, %environment, PYTHONPATH => $packages, @$variables);
	my $output = '';
	IPC::Run::run(\@command, '<', \undef, '>', \$output, '2>', \$output, IPC::Run::timeout(5 * $deadline));
	return ($output, $? >> 8);
}

# Start the application; its URL.
my @servers;

sub start_application
{
	my @variables = @_;
	local %ENV = (%ENV, %environment, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres', PGUSER => 'stac_api',
		PYTHONPATH => $application, @variables);
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $log = "$PostgreSQL::Test::Utils::log_path/125_stac_clients_uvicorn.log";
	push @servers, IPC::Run::start(
		[ qw(setpriv --pdeathsig KILL -- bash -c), "cd $example && exec python3 -m uvicorn app:app --port $port" ],
		'<', \undef, '>>', $log, '2>>', $log);
	wait_for('the application answers',
		sub { HTTP::Tiny->new->get("http://127.0.0.1:$port/_mgmt/ping")->{success} || !$servers[-1]->pumpable });
	return "http://127.0.0.1:$port";
}

my $url = start_application();

SKIP:
{
	my ($packages, $why) = python_packages(qw(pystac-client==0.9.1 pystac[validation]==1.15.2));
	skip "pystac-client is not to be had: $why", 1 unless $packages;
	my ($output, $status) = run_with($packages, [], 'python3', "$clients/use_pystac_client.py", $url, $token);
	is($output, "done\n", 'pystac-client reads, creates, replaces, patches and deletes');
}

SKIP:
{
	my ($packages, $why) = python_packages(qw(--no-deps esgcet==5.5.3));
	(my $needed, $why) = python_packages(qw(requests==2.34.2 globus-sdk==4.9.0)) if $packages;
	skip "esgcet is not to be had: $why", 2 unless $packages && $needed;
	foreach my $status (200, 202)
	{
		my $here = $status == 200 ? $url : start_application(STAC_PATCH_STATUS => $status);
		my $patched = $status == 200 ? 'failed' : 'done';
		$node->safe_psql('postgres', q{SELECT esgf_stac.delete_item('CMIP6', id) FROM esgf_stac.published_item WHERE id ~ 'esgcet'});
		my ($output) = run_with("$packages:$needed", [], 'python3', "$clients/use_esgcet.py", $here, $token);
		like($output, qr/^publish: done, publish again: failed, replicate: $patched, retract: $patched, retract what is not there: failed$/m,
			"esgcet, which takes a patch answered by $status for $patched");
		is($node->safe_psql('postgres', q{SELECT nodes, retracted, document -> 'links' FROM esgf_stac.published_item WHERE id ~ 'esgcet'}),
			'{a.org,b.org}|t|[]', 'what it asked for is done');
	}
}

SKIP:
{
	my ($packages, $why) = python_packages('stac-api-validator==0.6.8');
	skip "stac-api-validator is not to be had: $why", 1 unless $packages;
	my ($output, $status) = run_with("$clients/schemas:$packages", [], qw(python3 -m stac_api_validator --root-url), "$url/",
		qw(--collection CMIP6 --conformance core --conformance collections --auth-bearer-token), $token);
	ok($status == 0 && $output =~ /^Errors: none/m, 'stac-api-validator finds no error in core and collections') or diag $output;
}

SKIP:
{
	my ($packages, $why) = python_packages('schemathesis==4.32.5');
	skip "schemathesis is not to be had: $why", 1 unless $packages;
	my $dir = PostgreSQL::Test::Utils::tempdir;
	my ($output, $status) = run_with($packages, [ HOME => $dir, SCHEMATHESIS_HOOKS => '' ], qw(env -C), $dir, 'python3', "$packages/bin/schemathesis",
		'run', "$url/api", '--header', "Authorization: Bearer $token", qw(--max-examples 5 --seed 1 --no-shrink --continue-on-failure
		  --checks all --exclude-checks positive_data_acceptance));
	my ($cases) = $output =~ /(\d+) generated/;
	is($status, 0, 'schemathesis finds no 500, and nothing that OpenAPI does not describe, in ' . ($cases // 0) . ' requests') or diag $output;
	cmp_ok($cases // 0, '>', 300, 'it asked enough');
}

foreach my $server (@servers)
{
	$server->signal('TERM');
	$server->finish;
}
$node->stop;
done_testing();
