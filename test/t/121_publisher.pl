# examples/publisher: the examples of its page, and what it promises: that it
# publishes, retracts and undoes, that a run which was killed goes on and does
# nothing twice, and that it tells what was refused.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $example = "$FindBin::RealBin/../../examples/publisher";
my $page = slurp_file("$example/README.md");

my ($python) = grep { IPC::Run::run([ $_, '-c', 'import psycopg' ], '>&', \my $why) } qw(python3 /usr/bin/python3);
plan skip_all => 'no python3 with psycopg 3' unless $python;

my $node = catalogue_node('publisher');
my $dir = PostgreSQL::Test::Utils::tempdir;
chdir $dir or die;

# What the page calls publisher.py, and the login that it describes.
append_to_file("$dir/publisher.py", sprintf qq{#!/bin/sh\nPGHOST='%s' PGPORT=%d PGDATABASE=postgres PGUSER=publisher exec '%s' '%s/publisher.py' "\$@"\n},
	$node->host, $node->port, $python, $example);
chmod 0755, "$dir/publisher.py";
local $ENV{PATH} = "$dir:$ENV{PATH}";

sub query { return $node->safe_psql('postgres', $_[0]) }

sub collection_document
{
	my ($id) = @_;
	return qq({"type": "Collection", "stac_version": "1.1.0", "id": "$id", "description": "d", "license": "CC-BY-4.0", "links": [],
		"extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}});
}

# An item on a line; n is a number whose spelling must survive.
sub item
{
	my ($id, %with) = (@_);
	my ($collection, $node_name) = ($with{collection} // 'CMIP6', $with{node} // 'esgf-data.dkrz.de');
	return qq({"type": "Feature", "stac_version": "1.1.0", "collection": "$collection", "id": "$id", "geometry": null, )
	  . qq("properties": {"datetime": "1850-01-16T12:00:00Z", "n": 1.50}, )
	  . qq("assets": {"f.nc": {"href": "https://$node_name/f.nc", "roles": ["data"], "alternate:name": "$node_name"}}}\n);
}

sub write_file
{
	my ($name, @lines) = @_;
	unlink "$dir/$name";
	append_to_file("$dir/$name", join '', @lines);
	return;
}

# Everything published, but for versions and stamps.
sub documents
{
	return query(q{SELECT md5(string_agg(concat(id, document #- '{properties,updated}' #- '{properties,created}'), ' ' ORDER BY id)) FROM esgf_stac.published_item});
}

# Run the script to its end: (exit status, stdout, stderr).
sub run_script
{
	my @arguments = @_;
	my ($stdout, $stderr) = ('', '');
	IPC::Run::run([ 'publisher.py', @arguments, '--identity', 'ada.json' ], '<', \undef, '>', \$stdout, '2>', \$stderr);
	return ($? >> 8, $stdout, $stderr);
}

# The slugs and ids of what was refused.
sub refusals
{
	my ($stdout) = @_;
	return join ' ', sort map { my $line = JSON::PP::decode_json($_); ($line->{type} =~ m{([^/]+)$})[0] . ":$line->{item_id}" } split /\n/, $stdout;
}

sub events
{
	my ($batch) = @_;
	return query("SELECT string_agg(concat(type, ' ', n), ', ' ORDER BY type) FROM (SELECT type, count(*) n FROM esgf_stac.outbox WHERE batch = '$batch' GROUP BY type) e");
}

# Start the script while somebody else holds an item of its second chunk; when it
# waits there, having done the first, interrupt it by that code and let the item go.
sub interrupt
{
	my ($lock, $interruption, @arguments) = @_;
	my $session = open_session($node, 'postgres');
	in_session($session, "BEGIN; $lock");
	my ($stdout, $stderr) = ('', '');
	local $SIG{INT} = 'DEFAULT';    # tests in the background of a shell inherit that it is ignored
	my $script = IPC::Run::start([ 'publisher.py', @arguments, '--identity', 'ada.json' ], '<', \undef, '>', \$stdout, '2>', \$stderr,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	wait_for('the second chunk to wait', sub {
			$script->pump_nb;
			return $stderr =~ /^500 of .*\n\z/ && query(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'publisher.py' AND wait_event_type = 'Lock'});
	});
	$interruption->($script);
	$script->finish;
	in_session($session, 'ROLLBACK;');
	$session->{psql}->finish;
	wait_for('its backend to end', sub { !query(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'publisher.py'}) });
	return ($script->full_result(0) >> 8, $stderr);
}

# The login and the identity of the page.
my ($setup) = $page =~ /^```sql\n(.*?)^```$/ms;
my ($identity) = $page =~ /^ {4}(\{"sub".*?\})$/ms;
query($setup);
write_file('ada.json', $identity);
query("SELECT esgf_stac.create_collection('" . collection_document($_) . "')") for qw(CMIP6 CMIP7);
query(q{INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('esgf-data.dkrz.de', '{https://esgf-data.dkrz.de/}'), ('elsewhere.org', '{https://elsewhere.org/}'), ('esgf.nci.org.au', '{https://esgf.nci.org.au/}')});

# One dataset has a version already; two of those to come belong to one dataset.
query("SELECT esgf_stac.create_item('CMIP6', '" . item('CMIP6.old.v1') . "')");
my $empty = documents();
my @ids = ('CMIP6.old.v2', 'CMIP6.twice.v1', 'CMIP6.twice.v2', map { "CMIP6.d$_.v1" } 4 .. 1200);
write_file('items.ndjson', map { item($_) } @ids);
write_file('withdrawn.txt', map { "$_\n" } @ids, 'CMIP6.unknown.v20261120');
write_file('copied.txt', "CMIP6.d1190.v1\n", "CMIP6.d1191.v1\n");
write_file('copied.ndjson', map { qq({"collection": "CMIP6", "id": "CMIP6.d$_.v1", "assets": {"f.nc": {"href": "https://esgf.nci.org.au/f.nc"}}}\n) } 1190, 1191);

# The page's examples.
while ($page =~ /^```sh\n(.*?)^```\n```text\n(.*?)^```$/msg)
{
	my ($command, $expected) = ($1, $2);
	my $output = '';
	IPC::Run::run([ 'sh', '-c', $command ], '<', \undef, '>', \$output, '2>&1');
	my $pattern = join '[^\n]*', map { quotemeta } split /\.\.\./, $expected, -1;
	ok($output =~ /\A$pattern\z/, "README.md: $command") or diag $output;
}
is(events('CanESM5 2026-11'), 'item.published 1200, item.superseded 2', 'the page publishes');
is(events('withdrawn 7'), 'item.retracted 1200', 'the page retracts');
is(events('undo withdrawn 7'), 'item.reinstated 1200', 'the page reinstates');
is(join('; ', map { events($_) } 'nci 12', 'nci 13', 'undo nci 13', 'errata 3', 'gone 1'),
	'item.replica_added 2; item.replica_removed 2; item.replica_added 2; item.updated 2; item.deleted 2', 'adds and removes replicas, patches and deletes');

# Each of these is undone; the last one leaves nothing of what the page did to these two items.
my $state = q{SELECT string_agg(DISTINCT concat_ws(' ', nodes, document #>> '{properties,cmip6:further_info}'), ', ') FROM esgf_stac.published_item WHERE id IN ('CMIP6.d1190.v1', 'CMIP6.d1191.v1')};
my ($status, $stdout, $stderr) = run_script('undo', '--batch', 'gone 1', '--dry-run');
is("$status $stdout", '0 ', 'a dry run of undoing refuses nothing');
like($stderr, qr/^Nothing was changed: 2 would be done, 0 refused\.$/m, 'and says so');
is(events('undo gone 1') . query($state), '', 'nothing is changed');
($status, $stdout) = run_script('undo', '--batch', 'gone 1');
is("$status $stdout" . events('undo gone 1') . ' ' . query($state), '0 item.restored 2 {esgf-data.dkrz.de,esgf.nci.org.au} see the errata', 'deleted items are restored');
write_file('other.json', '{"properties": {"cmip6:further_info": "see elsewhere"}}');
write_file('raw.json', '{"assets": {"f.nc": {"alternate": {"esgf.nci.org.au": {"href": "https://esgf.nci.org.au/f.nc", "alternate:name": "esgf.nci.org.au"}}}}}');
write_file('none.json', '[{"op": "remove", "path": "/properties/cmip6:further_info"}]');
my @by_id = ('copied.txt', '--collection', 'CMIP6');
my @node = ('--node', 'esgf.nci.org.au');

foreach my $case (
	[ 'patched items', 'item.updated 2', '{esgf-data.dkrz.de,esgf.nci.org.au} see elsewhere', 'patch', @by_id, '--patch', 'other.json' ],
	[ 'items without a replica', 'item.replica_removed 2', '{esgf-data.dkrz.de} see the errata', 'remove-replica', @by_id, @node ],
	[ undef, 'item.replica_removed 2', '{esgf-data.dkrz.de} see the errata', 'remove-replica', @by_id, @node ],
	[ 'items with a replica', 'item.replica_added 2', '{esgf-data.dkrz.de,esgf.nci.org.au} see the errata', 'add-replica', 'copied.ndjson', @node ],
	[ 'items with a replica by a patch', 'item.replica_added 2', '{esgf-data.dkrz.de,esgf.nci.org.au} see the errata', 'patch', @by_id, '--patch', 'raw.json' ],
	[ undef, 'item.updated 2', '{esgf-data.dkrz.de}', 'patch', @by_id, '--patch', 'none.json' ])
{
	my ($name, $events, $done, @arguments) = @$case;
	my ($batch, $before) = ('batch ' . ($name // $arguments[0]), documents());
	($status, $stdout) = run_script(@arguments, '--batch', $batch);
	is("$status $stdout" . events($batch) . ' ' . query($state), "0 $events $done", $batch);
	next unless defined $name;
	($status, $stdout) = run_script('undo', '--batch', $batch);
	is("$status $stdout" . documents(), "0 $before", "undo $batch");
}
is(query(q{SELECT DISTINCT reason FROM esgf_stac.outbox WHERE batch = 'withdrawn 7'}), 'wrong units', 'events carry the reason');
is(query(q{SELECT DISTINCT document #>> '{properties,n}' FROM esgf_stac.published_item}), '1.50', 'numbers keep their spelling');
my $published = documents();
is(query(q{SELECT string_agg(id, ' ' ORDER BY id) FROM esgf_stac.published_item WHERE NOT latest}), 'CMIP6.old.v1 CMIP6.twice.v1', 'the latest are as they were');

# The same again.
my $versions = query('SELECT sum(version) FROM esgf_stac.item');
($status, $stdout, $stderr) = run_script('publish', 'items.ndjson', '--batch', 'CanESM5 2026-11');
is("$status $stdout", '0 ', 'published again, nothing is refused');
is(events('CanESM5 2026-11'), 'item.published 1200, item.superseded 2', 'and nothing is done');
is(query('SELECT sum(version) FROM esgf_stac.item'), $versions, 'no item has a version more');

# Killed while the second chunk waits.
interrupt(q{SELECT FROM esgf_stac.item WHERE id = 'CMIP6.d700.v1' FOR UPDATE;},
	sub { $_[0]->signal('KILL') }, 'retract', 'withdrawn.txt', '--collection', 'CMIP6', '--batch', 'killed');
is(events('killed'), 'item.retracted 500', 'retracting, it is killed after the first chunk');
($status, $stdout) = run_script('retract', 'withdrawn.txt', '--collection', 'CMIP6', '--batch', 'killed');
is($status . ' ' . refusals($stdout), '1 item-does-not-exist:CMIP6.unknown.v20261120', 'started again, it tells what is refused');
is(events('killed'), 'item.retracted 1200', 'and goes on');

# Cut off from the server: the second chunk is not committed. One item has been changed since it was retracted.
query(q{SELECT esgf_stac.reinstate_item('CMIP6', 'CMIP6.d4.v1'), esgf_stac.patch_item('CMIP6', 'CMIP6.d4.v1', '{"properties": {"title": "t"}}')});
($status, $stderr) = interrupt(q{SELECT FROM esgf_stac.item WHERE id = 'CMIP6.d500.v1' FOR UPDATE;},
	sub { query(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'publisher.py'}) }, 'undo', '--batch', 'killed');
is($status, 2, 'undoing, it is cut off');
like($stderr, qr/^stopped: .*terminating connection.*^The same command goes on from here\.$/ms, 'and says so');
is(events('undo killed'), 'item.reinstated 500', 'after the first chunk');
($status, $stdout) = run_script('undo', '--batch', 'killed');
is($status . ' ' . refusals($stdout), '1 version-conflict:CMIP6.d4.v1', 'what has been changed since is not undone');
is(events('undo killed'), 'item.reinstated 1199', 'all else is');
is(query(q{SELECT document #>> '{properties,title}' FROM esgf_stac.published_item WHERE id = 'CMIP6.d4.v1'}), 't', 'the change stands');
query(q{SELECT esgf_stac.patch_item('CMIP6', 'CMIP6.d4.v1', '{"properties": {"title": null}}')});
is(documents(), $published, 'the documents are as before');

# Interrupted by a person, while publishing.
write_file('more.ndjson', map { item("CMIP6.more$_.v1") } 1 .. 1100);
($status, $stderr) = interrupt("SELECT esgf_stac.create_item('CMIP6', '" . item('CMIP6.more600.v0') . "');",
	sub { $_[0]->signal('INT') }, 'publish', 'more.ndjson', '--batch', 'more');
is($status, 2, 'publishing, it is interrupted');
like($stderr, qr/^stopped: interrupted$/m, 'and says so');
($status) = run_script('publish', 'more.ndjson', '--batch', 'more');
is($status . ' ' . events('more'), '0 item.published 1100', 'started again, it goes on');
($status) = run_script('undo', '--batch', 'more');
is($status . ' ' . events('undo more'), '0 item.deleted 1100', 'undone, all is deleted');
is(documents(), $published, 'and nothing else touched');
($status) = run_script('publish', 'more.ndjson', '--batch', 'more again');
is($status . ' ' . events('more again'), '0 item.restored 1100', 'published under another batch, the same items are restored');
($status) = run_script('undo', '--batch', 'more again');
is($status . ' ' . documents(), "0 $published", 'which can be undone as well');

# Undone, a publication gives back what it superseded.
write_file('new.ndjson', item('CMIP6.old.v3'), item('CMIP6.old.v4'), item('CMIP6.twice.v3'));
($status) = run_script('publish', 'new.ndjson', '--batch', 'new');
is($status . ' ' . events('new'), '0 item.published 3, item.superseded 3', 'newer versions');
($status) = run_script('undo', '--batch', 'new');
is($status . ' ' . documents(), "0 $published", 'undone: the older ones are latest again');

# What is refused changes nothing, and keeps nobody else from being published.
write_file('bad.ndjson', item('CMIP6.good.v1'), item('CMIP6.d5.v1'), item('CMIP7.a.v1', collection => 'CMIP7'), item('CMIP8.a.v1', collection => 'CMIP8'),
	item('CMIP6.there.v1', node => 'elsewhere.org'), item('CMIP6.bad.v1') =~ s/"Feature"/"feature"/r, item('CMIP6.good.v1') =~ s/1.50/2/r);
($status, $stdout) = run_script('publish', 'bad.ndjson', '--batch', 'bad');
is($status, 1, 'some are refused');
is(refusals($stdout),
	'collection-does-not-exist:CMIP8.a.v1 item-already-exists:CMIP6.d5.v1 missing-permission:CMIP6.there.v1 missing-permission:CMIP7.a.v1 request-id-reused:CMIP6.good.v1 stac-validation:CMIP6.bad.v1',
	'each with its problem');
is(events('bad'), 'item.published 1', 'the others are done');

# Names may be so long that they make no idempotency key together.
write_file('long.ndjson', item('CMIP6.' . 'x' x 240 . '.v1'));
($status, $stdout) = run_script('publish', 'long.ndjson', '--batch', 'a long name ' x 8) for 1, 2;
is("$status $stdout" . events('a long name ' x 8), '0 item.published 1', 'an item and a batch with long names');

# An item that has been deleted since does not keep the others from being undone.
run_script('patch', @by_id, '--patch', 'other.json', '--batch', 'half');
query(q{SELECT esgf_stac.delete_item('CMIP6', 'CMIP6.d1190.v1')});
($status, $stdout) = run_script('undo', '--batch', 'half');
is("$status " . refusals($stdout) . ' ' . events('undo half'), '1 item-does-not-exist:CMIP6.d1190.v1 item.updated 1', 'what was deleted since is refused, all else undone');

# What stops it before anything is done: (name, reason, arguments).
sub stops
{
	my ($name, $reason, @arguments) = @_;
	my $before = query('SELECT max(seq) FROM esgf_stac.outbox');
	my ($code, $out, $error) = run_script(@arguments);
	is("$code $out", '2 ', "$name: it stops");
	like($error, $reason, "$name: it says why");
	unlike($error, qr/The same command goes on from here/, "$name: it promises nothing");
	is(query('SELECT max(seq) FROM esgf_stac.outbox'), $before, "$name: nothing is done");
	return;
}

write_file('broken.ndjson', item('CMIP6.b1.v1'), "\n", item('CMIP6.b2.v1'), "{\"id\": \n");
write_file('nameless.ndjson', "{\"id\": \"CMIP6.b1.v1\"}\n");
stops('no JSON', qr/^stopped: broken\.ndjson:4 is no item /, 'publish', 'broken.ndjson', '--batch', 'x');
stops('no collection', qr/^stopped: nameless\.ndjson:1 is no item .*'collection'/, 'publish', 'nameless.ndjson', '--batch', 'x');
stops('no file', qr/^stopped: .*No such file.*absent\.txt/, 'retract', 'absent.txt', '--collection', 'CMIP6', '--batch', 'x');
stops('no batch', qr/required: --batch/, 'publish', 'items.ndjson');
stops('no files', qr/usage: /, 'publish', '--batch', 'x');
stops('no patch', qr/usage: patch needs --patch/, 'patch', 'withdrawn.txt', '--collection', 'CMIP6', '--batch', 'x');
write_file('broken.json', '{');
stops('a patch that is no JSON', qr/^stopped: Expecting/, 'patch', 'withdrawn.txt', '--collection', 'CMIP6', '--batch', 'x', '--patch', 'broken.json');
stops('a node for a retraction', qr/usage: retract takes no --node/, 'retract', 'withdrawn.txt', '--collection', 'CMIP6', '--batch', 'x', '--node', 'y');
stops('no replica', qr/^stopped: nameless\.ndjson:1 is no object with an id/, 'add-replica', 'nameless.ndjson', '--batch', 'x', '--node', 'y');
stops('no collection to retract from', qr/usage: /, 'retract', 'withdrawn.txt', '--batch', 'x');
stops('undo with files', qr/usage: /, 'undo', 'withdrawn.txt', '--batch', 'x');
stops('an unknown batch', qr/^stopped: there is no event of batch y$/m, 'undo', '--batch', 'y');
stops('what others did', qr/^stopped: item\.reinstated of CMIP6\..* cannot be undone here; nothing was done$/m, 'undo', '--batch', 'undo killed');
query('REVOKE SELECT (batch) ON esgf_stac.outbox FROM publisher');
stops('no grant on the outbox', qr/^stopped: permission denied for table outbox$/m, 'undo', '--batch', 'killed');
query('REVOKE esgf_stac_gateway FROM publisher');
stops('no gateway', qr/^stopped: permission denied/, 'publish', 'items.ndjson', '--batch', 'x');

$node->stop;
done_testing();
