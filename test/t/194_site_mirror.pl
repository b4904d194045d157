# examples/site: the examples of its page, and what it promises: that a list is
# worked off and reported, that a run which was killed goes on, in the middle of a
# file and between the report of a purge and the purge, and that nothing is
# reported which is not there, whole and right.

use strict;
use warnings;

use Digest::SHA ();
use File::Path ();
use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $example = "$FindBin::RealBin/../../examples/site";
my $page = slurp_file("$example/README.md");
my $site = 'esgf.nci.org.au';

my ($python) = grep { IPC::Run::run([ $_, '-c', 'import psycopg' ], '>&', \my $why) } qw(python3 /usr/bin/python3);
plan skip_all => 'no python3 with psycopg 3' unless $python;

my $node = catalogue_node('site_mirror');
my $dir = PostgreSQL::Test::Utils::tempdir;
chdir $dir or die;

sub query { return $node->safe_psql('postgres', $_[0]) }

sub write_file
{
	my ($name, $content) = @_;
	File::Path::make_path($name =~ s{/[^/]*$}{}r) if $name =~ m{/};
	unlink $name;
	append_to_file($name, $content);
	return;
}

# What a file of an item holds.
sub content { my ($id, $file) = @_; return substr(Digest::SHA::sha256_hex("$id $file"), 0, 16) }

# An item's asset at DKRZ, where the file lies, or something else.
sub asset
{
	my ($id, $file, $there) = @_;
	my $content = content($id, $file);
	write_file("peers/esgf-data.dkrz.de/$id/$file", $there // $content);
	return sprintf q("%s": {"href": "https://esgf-data.dkrz.de/%s/%s", "roles": ["data"], "alternate:name": "esgf-data.dkrz.de", "file:size": 16, "file:checksum": "1220%s"}),
	  $file, $id, $file, Digest::SHA::sha256_hex($content);
}

# Publish an item of two files; one may be broken at DKRZ.
sub publish
{
	my ($id, %there) = @_;
	query(sprintf q{SELECT esgf_stac.create_item('CMIP6', '{"type": "Feature", "stac_version": "1.1.0", "id": "%s", "geometry": null,
		"properties": {"datetime": "1850-01-16T12:00:00Z", "cmip6:variable_id": "tas"}, "assets": {%s}}')}, $id, join ', ', map { asset($id, $_, $there{$_}) } 'a.nc', 'b.nc');
	return;
}

# Programs that the page calls: each a line of sh.
sub program
{
	my ($name, $line) = @_;
	append_to_file("$dir/$name", sprintf qq{#!/bin/sh\nexport PGHOST='%s' PGPORT=%d PGDATABASE=postgres\n%s\n}, $node->host, $node->port, $line);
	chmod 0755, "$dir/$name";
	return;
}
program('mirror.py', qq{PGUSER=nci exec '$python' '$example/mirror.py' "\$@"});
program('nci', q{PGUSER=nci exec psql -X -q -A -t -c "$1"});
program('cron', q{exec psql -X -q -A -t -c "$1"});
# It has no way to make files: they are there, and so is the statement.
program('publish', q{exec psql -X -q -o /dev/null -f "$1.sql"});
local $ENV{PATH} = "$dir:$ENV{PATH}";

my @mirror = ('mirror.py', '--node', $site, '--root', 'files', '--href', "https://$site/", '--peers', 'peers');

# Run the script to its end: (exit status, stdout, stderr).
sub run_mirror
{
	my ($stdout, $stderr) = ('', '');
	IPC::Run::run([ @mirror, @_ ], '<', \undef, '>', \$stdout, '2>', \$stderr);
	return ($? >> 8, $stdout, $stderr);
}

# Kill it as nobody should.
sub kill_run { my ($process) = @_; $process->signal('KILL'); $process->finish; return; }

# What our site is said to have, and what it has.
sub reported { return query("SELECT coalesce(string_agg(id, ' ' ORDER BY id), '') FROM esgf_stac.published_item WHERE nodes \@> '{$site}'") }
sub work { return query("SELECT coalesce(string_agg(kind || ' ' || item_id, ', '), '') FROM esgf_stac.site_work('$site')") }

query(q{
	SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6", "description": "d", "license": "CC-BY-4.0", "links": [],
		"extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}');
	INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('esgf-data.dkrz.de', '{https://esgf-data.dkrz.de/}'), ('esgf.nci.org.au', '{https://esgf.nci.org.au/}')});
query(($page =~ /^```sql\n(.*?)^```$/ms)[0]);
publish('CMIP6.m1.tas.v1');
publish('CMIP6.m2.tas.v1');
publish('CMIP6.m3.tas.v1', 'b.nc' => 'this is not right');
write_file('CMIP6.m2.tas.v2.sql', sprintf q{SELECT esgf_stac.create_item('CMIP6', '{"type": "Feature", "stac_version": "1.1.0", "id": "CMIP6.m2.tas.v2", "geometry": null,
	"properties": {"datetime": "1850-01-16T12:00:00Z", "cmip6:variable_id": "tas"}, "assets": {%s}}')}, join ', ', map { asset('CMIP6.m2.tas.v2', $_) } 'a.nc', 'b.nc');

# The page's examples.
while ($page =~ /^```sh\n(.*?)^```\n```text\n(.*?)^```$/msg)
{
	my ($command, $expected) = ($1, $2);
	my $output = '';
	IPC::Run::run([ 'sh', '-c', $command ], '<', \undef, '>', \$output, '2>&1');
	my $pattern = join '[^\n]*', map { quotemeta } split /\.\.\./, $expected, -1;
	ok($output =~ /\A$pattern\z/, "README.md: $command") or diag $output;
}
is(slurp_file('files/CMIP6/CMIP6.m2.tas.v2/a.nc'), content('CMIP6.m2.tas.v2', 'a.nc'), 'a file is as it was published');
like(slurp_file('refused.ndjson'), qr/^\{"collection_id": "CMIP6", "item_id": "CMIP6\.m3\.tas\.v1", "kind": "fetch", "problem": ".* bytes instead of 16/, 'one of another size is told');

# What was broken is mended where it comes from.
write_file('peers/esgf-data.dkrz.de/CMIP6.m3.tas.v1/b.nc', 'B' x 16);
my ($status, $stdout, $stderr) = run_mirror();
is("$status " . reported(), '1 CMIP6.m2.tas.v2', 'a file of the right size and another checksum is not reported');
like($stdout, qr/its sha256 is /, 'and told');
is(join(' ', glob 'files/CMIP6/CMIP6.m3.tas.v1/*'), 'files/CMIP6/CMIP6.m3.tas.v1/a.nc', 'and not kept');
write_file('files/CMIP6/CMIP6.m3.tas.v1/a.nc', 'A' x 16);
write_file('peers/esgf-data.dkrz.de/CMIP6.m3.tas.v1/b.nc', content('CMIP6.m3.tas.v1', 'b.nc'));
is((run_mirror())[0] . ' ' . work(), '0 ', 'mended, it is fetched');
is(slurp_file('files/CMIP6/CMIP6.m3.tas.v1/a.nc'), content('CMIP6.m3.tas.v1', 'a.nc'), 'and what had become wrong on our disk');
is((run_mirror())[0], 0, 'there is nothing left to do');

# Another file: what is there is not fetched again, and the folder of another item stays.
publish('CMIP6.m4.tas.v1');
run_mirror();
write_file("peers/esgf-data.dkrz.de/CMIP6.m4.tas.v1/a.nc", 'A' x 16);
query(sprintf q{SELECT esgf_stac.patch_item('CMIP6', 'CMIP6.m4.tas.v1', '{"assets": {%s}}')}, asset('CMIP6.m4.tas.v1', 'c.nc'));
is(work(), 'complete CMIP6.m4.tas.v1', 'an item gets a file');
is((run_mirror('--kind', 'purge'))[0] . ' ' . work(), '0 complete CMIP6.m4.tas.v1', 'who only purges leaves it');
is((run_mirror())[0] . ' ' . work(), '0 ', 'it is completed');
is(slurp_file('files/CMIP6/CMIP6.m4.tas.v1/c.nc') . slurp_file('files/CMIP6/CMIP6.m4.tas.v1/a.nc'), content('CMIP6.m4.tas.v1', 'c.nc') . content('CMIP6.m4.tas.v1', 'a.nc'), 'by that file alone');

# Killed in the second of three items, while a file waits; the rest of it comes when it is started again.
publish("CMIP6.n$_.tas.v1") for 1 .. 3;
my $pipe = 'peers/esgf-data.dkrz.de/CMIP6.n2.tas.v1/a.nc';
unlink $pipe;
POSIX::mkfifo($pipe, 0600) or die;
my $run = IPC::Run::start(\@mirror, '<', \undef, '>', \my $out, '2>', \my $err);
wait_for('the first item is reported', sub { reported() =~ /n1/ });
is((run_mirror())[0], 2, 'a second run beside it stops');
kill_run($run);
unlike(reported(), qr/n2|n3/, 'killed, it has reported no more');
write_file($pipe, 'A' x 8 . substr content('CMIP6.n2.tas.v1', 'a.nc'), 8);
write_file('files/CMIP6/CMIP6.n2.tas.v1/.a.nc', substr content('CMIP6.n2.tas.v1', 'a.nc'), 0, 8);
is((run_mirror())[0] . ' ' . work(), '0 ', 'started again, it goes on');
is(slurp_file('files/CMIP6/CMIP6.n2.tas.v1/a.nc'), content('CMIP6.n2.tas.v1', 'a.nc'), 'in the middle of a file');
like(reported(), qr/n1.*n2.*n3/, 'and reports the others');

# Killed before a purge is reported, and after: nothing is promised that is not there, nothing stays that is not.
query(qq{SELECT esgf_stac.retract_item('CMIP6', 'CMIP6.n$_.tas.v1')}) for 1, 2;
my $session = open_session($node);
in_session($session, q{BEGIN; SELECT FROM esgf_stac.item WHERE id = 'CMIP6.n1.tas.v1' FOR UPDATE;});
$run = IPC::Run::start(\@mirror, '<', \undef, '>', \$out, '2>', \$err);
wait_for('it waits', sub { query(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mirror.py' AND wait_event_type = 'Lock'}) });
kill_run($run);
wait_for('its backend to end', sub {
		query(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'mirror.py'}) == 0;
});
roll_back($session);
ok(-e 'files/CMIP6/CMIP6.n1.tas.v1/a.nc', 'killed before it is reported, files are there');
query(qq{SELECT esgf_stac.remove_replica('CMIP6', 'CMIP6.n1.tas.v1', '$site')});
is((run_mirror())[0] . ' ' . work(), '0 ', 'what was reported meanwhile');
is(join(' ', map { -e "files/CMIP6/CMIP6.$_" ? $_ : () } 'n1.tas.v1', 'n2.tas.v1', 'n3.tas.v1') . ' ' . reported(), 'n3.tas.v1 CMIP6.m2.tas.v2 CMIP6.m3.tas.v1 CMIP6.m4.tas.v1 CMIP6.n3.tas.v1',
	'is deleted, as what is purged');

# Names that are no paths, and what keeps it from beginning.
query(sprintf q{SELECT esgf_stac.create_item('CMIP6', '{"type": "Feature", "stac_version": "1.1.0", "id": "CMIP6.p1.tas.v1", "geometry": null,
	"properties": {"datetime": "1850-01-16T12:00:00Z", "cmip6:variable_id": "tas"}, "assets": {"../../x": {"href": "https://esgf-data.dkrz.de/../../etc/passwd", "roles": ["data"], "alternate:name": "esgf-data.dkrz.de"}}}')});
($status, $stdout) = run_mirror();
is("$status " . work(), '1 fetch CMIP6.p1.tas.v1', 'a name that leads elsewhere');
like($stdout, qr{is no path that a file may have}, 'is told');
query('REVOKE esgf_stac_writer FROM nci');
($status, $stdout, $stderr) = run_mirror();
is("$status $stdout", '2 ', 'without rights it stops');
like($stderr, qr/^stopped: permission denied/m, 'and says so');
$node->stop;
done_testing();
