# examples/stac_fastapi, a transaction API: our own tests of it over HTTP; the
# calls of its README.md, against it as started there; and the tests of
# stac-fastapi-pgstac, but for those that README.md names.
#
# Python packages come from PyPI, and so does the source of pgstac's tests, unless
# ESGF_STAC_PGSTAC names a checkout of it. What is not to be had is skipped.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Copy qw(copy);
use FindBin;
use lib $FindBin::RealBin;
use HTTP::Tiny;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PythonTest;
use RelayTest;
use Test::More;

my $top = abs_path("$FindBin::RealBin/../..");
my $example = "$top/examples/stac_fastapi";
my $readme = slurp_file("$example/README.md");
my $tests = "$top/test/stac_fastapi";
my $pgstac = 'stac-fastapi.pgstac==6.0.2';
my $dir = PostgreSQL::Test::Utils::tempdir;
my $deadline = $PostgreSQL::Test::Utils::timeout_default;

my ($application, $missing) =
  python_packages(grep { /\S/ } split /\n/, slurp_file("$example/requirements.txt"));
(my $testing, $missing) =
  python_packages(qw(httpx==0.28.1 pytest==9.2.0 pytest-asyncio==1.5.0 pystac[validation]==1.15.2))
  if $application;
plan skip_all => "Python packages are not to be had: $missing" unless $application && $testing;

# As many connections as the pools of the application may have, and those of the tests.
my $node = catalogue_node('stac', "fsync = off\nmax_connections = 50");
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PYTHONPATH} = "$application:$testing";
$ENV{PYTHONDONTWRITEBYTECODE} = 1;
$ENV{STAC_TOKEN_KEY} = 'a key of at least 32 bytes, for tests';
$node->safe_psql('postgres', slurp_file("$example/roles.sql"));

# A database of its own for each part.
sub new_catalogue
{
	my ($database) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'SET esgf_stac.accept_roles = on; CREATE EXTENSION esgf_stac; SELECT esgf_stac.create_catalogue()');
	$ENV{PGDATABASE} = $database;
	return;
}

# Run pytest in that folder, as the application's login.
sub run_tests
{
	my ($folder, @files) = @_;
	local $ENV{STAC_ADMIN} = getpwuid $<;
	local $ENV{STAC_EXAMPLE} = $example;
	local $ENV{PGUSER} = 'stac_api';
	return run_pytest($folder, \@files, qw(-o asyncio_mode=auto -o asyncio_default_fixture_loop_scope=function));
}

# ---------------------------------------------------------------- our own

new_catalogue('own');
my @own = run_tests($tests, qw(test_app.py test_http.py test_delivery.py));
cmp_ok(scalar @own, '>', 100, 'our own tests ran');
ok($_->[0] eq 'PASSED', $_->[1]) foreach @own;

# ---------------------------------------------------------------- the page

# The examples of a section: (shell commands, expected output, if there is one).
sub examples
{
	my ($section) = $readme =~ /^## $_[0]\n(.*?)(?=^## |\z)/ms;
	my @found;
	while ($section =~ /^((?:    [^\n]*\n)+)(?:\n```text\n(.*?)^```$)?/msg)
	{
		my ($commands, $output) = ($1, $2);
		push @found, [ $commands =~ s/^    //mgr, $output ];
	}
	return @found;
}

SKIP:
{
	my ($curl) = run_program('', qw(curl --version));
	skip 'there is no curl', 1 unless $curl;

	new_catalogue('page');
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $log = "$PostgreSQL::Test::Utils::log_path/120_stac_fastapi_uvicorn.log";
	my ($start) = (examples('Start'))[0][0] =~ /([^;\n]*)uvicorn app:app[^\n]* &$/m
	  or BAIL_OUT('README.md does not say how it starts');
	my $server = IPC::Run::start(
		[ qw(setpriv --pdeathsig KILL -- bash -c), "cd $example && $start exec python3 -m uvicorn app:app --port $port" ],
		'<', \undef, '>>', $log, '2>>', $log);
	wait_for('the application answers',
		sub { HTTP::Tiny->new->get("http://127.0.0.1:$port/_mgmt/ping")->{success} || !$server->pumpable });

	my @calls = examples('Calls');
	my $script = join '', map { "$_->[0]echo -- end --\n" } @calls;
	my $output = '';
	{
		local $ENV{API} = "http://127.0.0.1:$port";
		IPC::Run::run([ 'bash', '-uc', qq(python() { python3 "\$@"; }\n$script) ], '<', \undef, '>', \$output, '2>', \$output, IPC::Run::timeout($deadline));
	}
	# Without its database it says so, and comes back with it.
	$node->stop;
	foreach my $path (qw(/collections /_mgmt/health))
	{
		my $response = HTTP::Tiny->new->get("http://127.0.0.1:$port$path");
		is("$response->{status} $response->{headers}{'content-type'}", '503 application/problem+json', "$path without the database");
		ok($response->{headers}{'retry-after'}, "$path says when to try again");
	}
	$node->start;
	wait_for('the database is found again', sub { HTTP::Tiny->new->get("http://127.0.0.1:$port/_mgmt/health")->{success} });
	$server->signal('TERM');
	$server->finish;

	my @outputs = split /^-- end --\n/m, $output, -1;
	is(scalar @outputs, @calls + 1, 'every call of the page was made');
	foreach my $call (@calls)
	{
		my ($commands, $expected) = @$call;
		my $got = (shift @outputs // '') =~ s/[ \t]+$//mgr;
		my $pattern = join '[^\n]*', map { quotemeta } split /\.\.\./, $expected // '', -1;
		ok($got =~ /\A$pattern\z/, 'README.md: ' . ($commands =~ /\A(.*)/)[0])
		  or diag("expected:\n", $expected // '', "got:\n$got");
	}
}

# ---------------------------------------------------------------- pgstac's

# Its folder of tests; or none, and why.
sub pgstac_tests
{
	return "$ENV{ESGF_STAC_PGSTAC}/tests" if $ENV{ESGF_STAC_PGSTAC};
	my ($done, undef, $why) = run_program('',
		qw(python3 -m pip download --quiet --disable-pip-version-check --no-input --timeout 15 --retries 1
		  --no-deps --no-binary :all: --dest), $dir, $pgstac);
	return (undef, "pip: $why") if !$done;
	my ($archive) = glob "$dir/stac*.tar.gz";
	system_or_bail('tar', '-C', $dir, '-xzf', $archive);
	return $archive =~ s/\.tar\.gz\z/\/tests/r;
}

SKIP:
{
	my ($source, $why) = pgstac_tests();
	skip "the tests of $pgstac are not to be had: $why", 1 unless $source;

	# They are a package, and the conftest.py that they import from is ours.
	system_or_bail('cp', '-r', $source, "$dir/tests");
	append_to_file("$dir/tests/__init__.py", '');
	copy("$tests/conftest.py", "$dir/tests/conftest.py") or BAIL_OUT("copy: $!");

	new_catalogue('pgstac');
	my @results = run_tests("$dir/tests", qw(clients/test_postgres.py resources/test_item.py resources/test_collection.py api/test_api.py));
	my @left_out = grep { $_->[0] eq 'XFAIL' } @results;
	cmp_ok(@results - @left_out, '>=', 70, 'the tests of pgstac ran but for ' . @left_out . ' left out, as README.md says');
	foreach my $result (@results)
	{
		my ($outcome, $test) = @$result;
		ok($outcome eq 'PASSED', "pgstac: $test") if $outcome ne 'XFAIL';
	}
}

$node->stop;
done_testing();
