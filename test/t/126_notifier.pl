# examples/notifier: our own tests of it, with aiosmtpd as the mail server, and
# the commands of its page. ESGF_STAC_ITEMS says how large the campaign is that
# must be one mail.
#
# Python packages come from PyPI; where they are not to be had, it is skipped.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Copy qw(copy);
use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PythonTest;
use RelayTest;
use Test::More;

my $top = abs_path("$FindBin::RealBin/../..");
my $example = "$top/examples/notifier";
my $page = slurp_file("$example/README.md");
my $deadline = $PostgreSQL::Test::Utils::timeout_default;

my ($packages, $missing) = python_packages(qw(aiosmtpd==1.4.6 psycopg[binary]==3.3.9 pytest==9.2.0));
plan skip_all => "Python packages are not to be had: $missing" unless $packages;

my $node = catalogue_node('notifier');
@ENV{qw(PGHOST PGPORT PYTHONPATH)} = ($node->host, $node->port, $packages);
$ENV{PYTHONDONTWRITEBYTECODE} = 1;

# ---------------------------------------------------------------- our own

$node->safe_psql('postgres', slurp_file("$example/tables.sql"));
{
	local @ENV{qw(PGDATABASE PGUSER NOTIFIER NOTIFIER_ADMIN)} = ('postgres', 'notifier', $example, scalar getpwuid $<);
	local $ENV{NOTIFIER_CAMPAIGN} = $ENV{ESGF_STAC_ITEMS} // 50_000;
	my @results = run_pytest("$top/test/notifier", ['test_notifier.py']);
	cmp_ok(scalar @results, '>=', 25, 'our own tests ran');
	ok($_->[0] eq 'PASSED', $_->[1]) foreach @results;
}
$node->safe_psql('postgres', 'DROP OWNED BY notifier; DROP ROLE notifier');

# ---------------------------------------------------------------- the page

# Its folder, as one that may be written to, and a catalogue such as the demo's.
my $dir = PostgreSQL::Test::Utils::tempdir;
copy("$example/$_", $dir) or BAIL_OUT("copy: $!") foreach qw(notifier.py tables.sql);
$node->safe_psql('postgres', 'CREATE DATABASE catalogue');
$node->safe_psql('catalogue', 'SET esgf_stac.accept_roles = on; CREATE EXTENSION esgf_stac; SELECT esgf_stac.create_catalogue()');
$node->safe_psql('catalogue', slurp_file("$top/scripts/generate_items.sql") . 'SELECT esgf_stac.create_collection(generator.collection())');
$ENV{PGDATABASE} = 'catalogue';

my (@commands, @expected);
while ($page =~ /^```sh\n(.*?)^```\n(?:```text\n(.*?)^```$)?/msg)
{
	push @commands, $1;
	push @expected, $2 // '';
}

# All in one shell, as a reader's. The mail server that it starts has a port that is
# free, and listens before the first mail comes.
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $script = join "echo -- end --\n", @commands;
$script =~ s/^(python3 -u -m aiosmtpd .* &)$/$1\nuntil (: <>\/dev\/tcp\/127.0.0.1\/8025) 2>\/dev\/null; do sleep 0.1; done/m;
$script =~ s/\b8025\b/$port/g;
my $output = '';
IPC::Run::run([ qw(bash -uc), "cd '$dir'\ntrap 'kill \$(jobs -p) 2>/dev/null' EXIT\n$script" ],
	'<', \undef, '>', \$output, '2>', \$output, IPC::Run::timeout($deadline));
my @outputs = split /^-- end --\n/m, $output, -1;
is(scalar @outputs, @commands, 'every command of the page was run');
foreach my $command (@commands)
{
	my ($expected, $got) = (shift @expected, (shift @outputs // '') =~ s/[ \t]+$//mgr);
	my $pattern = join '[^\n]*', map { quotemeta } split /\.\.\./, $expected, -1;
	ok($got =~ /\A$pattern\z/, 'README.md: ' . ($command =~ /\A(.*)/)[0]) or diag("expected:\n$expected\ngot:\n$got");
}

$node->stop;
done_testing();
