# The check of an index against the truth, with a real node, while writers go on.
#
# ESGF_STAC_ITEMS is how many items there are (500); the issue's is 100000.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use ServerTest;
use Test::More;
use Time::HiRes qw(time);
use VerifyTest;

my $reason = server_missing('opensearch');
plan skip_all => $reason if $reason;
plan skip_all => 'the relay was built without libcurl, zlib, jansson and libcrypto' if `esgf_stac_relay --version` !~ /\bopensearch\b/;

my $items = $ENV{ESGF_STAC_ITEMS} // 500;
my $node = catalogue_node('source', "log_statement = none\nlog_min_error_statement = panic\n");
my $index = start_opensearch();
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";

sub ask
{
	my ($method, $path, $body) = @_;
	my ($status, $answer) = http($index, $method, $path, $body);
	die "$method $path: $status $answer" if $status >= 300;
	return $answer;
}

sub in_node { return $node->safe_psql('postgres', @_) }

# Write into the index as anybody could: lines of _bulk.
sub bulk
{
	my ($name, @lines) = @_;
	return if !@lines;
	my ($status, $answer) = http($index, 'POST', "/$name/_bulk?refresh=true", join('', map { "$_\n" } @lines), 'application/x-ndjson');
	die "_bulk: $status " . substr($answer, 0, 500) if $status >= 300 || $answer =~ /"errors":true/;
	return;
}

sub document { return in_node("SELECT document FROM esgf_stac.published_item WHERE id = '$_[0]'") }

my %settings = (settings => { 'index.gc_deletes' => '1s', number_of_replicas => 0 }, mappings => { dynamic => \0 });
ask('PUT', "/$_", JSON::PP::encode_json(\%settings)) for 'items-1', 'items_cmip6', 'other';
ask('POST', '/_aliases', '{"actions": [{"add": {"index": "items-1", "alias": "items"}}, {"add": {"index": "items_cmip6", "alias": "items_CMIP6"}},
	{"add": {"index": "items-1", "alias": "both"}}, {"add": {"index": "other", "alias": "both"}}]}');

new_items($node, 1, $items);
in_node(q{SELECT esgf_stac.retract_item('CMIP6', 'item-1.v1'), esgf_stac.delete_item('CMIP6', 'item-2.v1'),
	esgf_stac.patch_item('CMIP6', 'item-3.v1', '{"properties": {"exact": 12345678901234567890.1, "one": 1.0}}')});
in_node(q{SELECT esgf_stac.create_collection(document || '{"id": "CORDEX"}') FROM esgf_stac.collection});
new_stream($node, 'all');
new_stream($node, 'each');
my @all = ('--stream', 'all', '--sink', "opensearch:http://$index->{address}/items");
my ($status, $stdout, $stderr) = run_relay($node, @all, '--snapshot', '--endpos', wal_end($node));
is($status, 0, 'the index is filled') or diag $stderr;
($status, $stdout, $stderr) = run_relay($node, @all, '--verify', '--deep');
is($status, 0, 'alone: nothing differs') or diag $stdout . $stderr;
($status, $stdout, $stderr) = run_relay($node, '--stream', 'all', '--sink', "opensearch:http://$index->{address}/both", '--verify');
is($status, 2, 'an alias of several indices is refused');
like($stderr, qr/both.* is an alias of 2 indices/, 'and why');

my $relay = start_relay($node, $log, @all);
my $writer = start_writer($node, 'item-5%');

# Somebody writes into the index: 37 items are deleted, 23 altered, 11 added, 5 set ahead.
my @ids = split /\n/, in_node(q{SELECT id FROM esgf_stac.published_item WHERE id ~ '^item-(1|2)..*.v1' AND id !~ '^item-5' ORDER BY md5(id) LIMIT 65});
my %damage = (
	missing => [ sort @ids[ 0 .. 36 ] ],
	differs => [ sort @ids[ 37 .. 59 ] ],
	ahead => [ sort @ids[ 60 .. 64 ] ],
	surplus => [ sort map { "outsider-$_" } 1 .. 11 ]);
my %version = map { split /\|/ } split /\n/, in_node(q{SELECT id, version FROM esgf_stac.published_item});
bulk('items', map { qq({"delete": {"_id": "$_", "version": $version{$_}, "version_type": "external_gte"}}) } @{ $damage{missing} });
bulk('items', map { (qq({"index": {"_id": "$_", "version": $version{$_}, "version_type": "external_gte"}}), document($_) =~ s/"datetime":/"title": "altered", "datetime":/r) } @{ $damage{differs} });
bulk('items', map { (qq({"index": {"_id": "$_", "version": 9, "version_type": "external"}}), document($_)) } @{ $damage{ahead} });
bulk('items', map { (qq({"index": {"_id": "$_"}}), '{"id": "' . $_ . '", "collection": "CMIP6"}') } @{ $damage{surplus} });

($status, $stdout, $stderr) = run_relay($node, @all, '--verify', '--deep');
is($status, 6, 'beside the relay: it differs') or diag $stderr;
is_deeply(found($node), \%damage, 'in exactly that') or diag $stdout;
my $began = time;
($status, $stdout, $stderr) = run_relay($node, @all, '--verify', '--deep', '--repair');
is($status, 0, 'it is repaired') or diag $stdout . $stderr;
note sprintf 'repaired in %.1f s', time - $began;
like($stdout, qr/^$_ +$#{ $damage{$_} }?\d+ +\d+$/m, $_) for sort keys %damage;
($status, $stdout, $stderr) = run_relay($node, @all, '--verify', '--deep');
is($status, 0, 'and then nothing differs') or diag $stdout . $stderr;

# Jobs while writers go on: one into the index that the relay feeds, and a worker's into another.
sub job { return in_node("SELECT esgf_stac.start_iteration('all'$_[0])") }
sub state_of { return in_node("SELECT concat_ws('|', state, error) FROM esgf_stac.iteration_job WHERE id = '$_[0]' AND finished IS NOT NULL") }
my $worker = start_relay($node, "$log.worker", @all, '--iterations-only', '--iteration-target', 'copy-*');
my %job = (own => job(''), copy => job(q{, target => 'copy-1'}), unnamed => job(q{, target => 'copy-a b'}), ids => job(q{, target => 'copy-2', payload => 'id'}));
wait_for("job $_", sub { state_of($job{$_}) ne '' }) for sort keys %job;
is(state_of($job{$_}), 'completed', "the job: $_") for 'own', 'copy';
like(state_of($job{unnamed}), qr/^failed\|that cannot be an index/, 'an index has no spaces');
like(state_of($job{ids}), qr/^failed\|the sink takes no lines without a document/, 'nor does it take ids');
stop_writer($writer);
is(stop_relay($worker), 0, 'the worker stops');
($status, $stdout, $stderr) = run_relay($node, @all, '--verify', '--deep');
is($status, 0, 'the index that the stream feeds is as it should be') or diag $stdout . $stderr;
ask('POST', '/copy-1/_refresh');
my %copied = map { $_->{_id} => $_->{_version} } @{ JSON::PP::decode_json(ask('POST', '/copy-1/_search', '{"version": true, "size": 1000, "_source": false}'))->{hits}{hits} };
my %published = map { split /\|/ } split /\n/, in_node(q{SELECT id, version FROM esgf_stac.published_item WHERE id !~ '^item-5' ORDER BY id LIMIT 1000});
is_deeply({ map { $_ => $copied{$_} } grep { !/^item-5/ } keys %copied }, \%published, 'and so is the other, but for what changed later') if $items <= 900;

# Numbers as they were written, and damage.
bulk('items',
	qq({"index": {"_id": "item-3.v1", "version": 2, "version_type": "external_gte"}}), document('item-3.v1') =~ s/"one": 1.0/"one": 1/r,
	qq({"index": {"_id": "item-4.v1", "version": 2000000, "version_type": "external_gte"}}), '{}',
	qq({"index": {"_id": "item-6.v1", "version": 2000000, "version_type": "external_gte"}}), '{"collection": "CORDEX"}',
	qq({"index": {"_id": "later.v1", "version": 7, "version_type": "external_gte"}}), '{"collection": "CMIP6"}');
($status, $stdout, $stderr) = run_relay($node, @all, '--verify', '--deep');
is_deeply(found($node), { ahead => [ 'item-4.v1', 'item-6.v1' ], surplus => ['later.v1'] }, '1 is 1.0, and an item is known by its id, whatever its document says');
bulk('items', qq({"index": {"_id": "item-3.v1", "version": 2, "version_type": "external_gte"}}), document('item-3.v1') =~ s/67890\.1/67890/r);
($status, $stdout, $stderr) = run_relay($node, @all, '--verify', '--deep', '--repair');
is($status, 0, 'damage is removed, and sent anew') or diag $stdout . $stderr;
is_deeply(found($node), { ahead => [ 'item-4.v1', 'item-6.v1' ], differs => ['item-3.v1'], surplus => ['later.v1'] }, '12345678901234567890 is not 12345678901234567890.1');
like(ask('GET', '/items/_doc/item-4.v1'), qr/"_version":1,/, 'what was far ahead has its version again');
is(stop_relay($relay), 0, 'the relay stops');

# An index of each collection, and ids that tell it.
my @each = ('--stream', 'each', '--sink', "opensearch:http://$index->{address}/items_{collection}", '--document-id', '{item_id}|{collection}');
($status, $stdout, $stderr) = run_relay($node, @each, '--snapshot', '--endpos', wal_end($node));
is($status, 0, 'another index is filled') or diag $stderr;
bulk('items_CMIP6', '{"delete": {"_id": "item-7.v1|CMIP6"}}', '{"index": {"_id": "other.v1|CMIP6"}}', '{}', '{"index": {"_id": "nobody"}}', '{}');
($status, $stdout, $stderr) = run_relay($node, @each, '--verify', '--repair');
is($status, 0, 'and repaired, alone') or diag $stdout . $stderr;
is_deeply(found($node), { missing => ['item-7.v1'], surplus => ['other.v1'] }, 'the items are known by their ids');
like($stderr, qr/1 documents with ids that no item would get/, 'and others not looked at');
done_testing();
