# The federation's transaction API, as it is, produces the events: captured items
# and clients' patches are sent to it, it puts them on Kafka, and esgf_stac_ingest
# takes them in. What it answers with an internal error (remove, and links, which
# it dumps to nothing) goes onto the topic as its models would write it.
#
# Where the API or the captures are not to be had, this test is skipped.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use ServerTest;
use Test::More;

my $data = "$FindBin::RealBin/../../../shared/data";
plan skip_all => 'esgf_stac_ingest was built without librdkafka' if `esgf_stac_ingest --version` !~ /\bkafka\b/;
my $missing = server_missing('kafka', 'transaction_api');
plan skip_all => $missing if $missing;
plan skip_all => "there are no captures in $data" unless -d "$data/items";

my $json = JSON::PP->new->utf8->canonical;
my $dir = PostgreSQL::Test::Utils::tempdir;
my $node = catalogue_node('transaction');
my $kafka = start_kafka();
my $api = start_transaction_api($kafka, 'events');

sub query { return $node->safe_psql('postgres', $_[0]) }

query(q{
	SELECT esgf_stac.create_collection(jsonb_build_object('id', c) || '{"type": "Collection", "stac_version": "1.1.0", "description": "d", "license": "CC-BY-4.0",
		"links": [], "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}')
	  FROM unnest('{CMIP6,CMIP7}'::text[]) c;
	SELECT esgf_stac.create_source('api');
	SELECT esgf_stac.grant_access('source:api', role, 'project', '*'), esgf_stac.grant_access('source:api', role, 'node', '*')
	  FROM unnest('{CREATE,UPDATE,DELETE,REPLICATE,REVOKE}'::text[]) role});

# ---------------------------------------------------------------- requests

my $sent = 0;
my %identity = (sub => 'ada@example.org', iss => 'https://aai.example.org', client_id => 'portal');

# A request as a client sends it; whether the API queued it.
sub ask
{
	my ($method, $path, $body, $type) = @_;
	my $answer = HTTP::Tiny->new(keep_alive => 0)->request($method, "http://$api->{address}/collections/$path", {
			headers => { 'content-type' => $type // 'application/json', 'x-request-id' => 'request', authorization => 'Bearer ' . $json->encode(\%identity) },
			content => $json->encode($body) });
	$sent++ if $answer->{status} == 202;
	return $answer->{status} == 202;
}

# An event on the topic, as the API's models write it.
sub put_event
{
	my ($collection, $item_id, $patch) = @_;
	my $event = { data => { type => 'STAC', payload => { method => 'PATCH', collection_id => $collection, item_id => $item_id, patch => $patch } },
		metadata => { auth => { auth_policy_id => undef, requester_data => \%identity }, event_id => "by hand $sent", request_id => 'request',
			publisher => { package => '', version => '' }, time => '2026-07-17T09:18:58.880582', schema_version => '1.0.0' } };
	kcat($kafka, "$item_id\t" . $json->encode($event) . "\n", qw(-P -t events -K), "\t");
	$sent++;
	return;
}

sub read_json { return $json->decode(slurp_file($_[0])) }

# Let the node of each location be a site, which has the location's host.
sub add_sites
{
	my ($values) = @_;
	for my $value (grep { ref =~ /^(?:HASH|ARRAY)\z/ } ref $values eq 'HASH' ? values %$values : @$values)
	{
		add_sites($value);
		next unless ref $value eq 'HASH' && $value->{'alternate:name'};
		my ($prefix) = $value->{href} =~ m{^(\w+://[^/]+)};
		query(qq{INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('$value->{'alternate:name'}', ARRAY['$prefix'])
			ON CONFLICT (node) DO UPDATE SET href_prefixes = site.href_prefixes || excluded.href_prefixes});
	}
	return;
}
add_sites([ map { read_json($_) } glob "$data/{items,patches}/*.json" ]);

# The captured items, with what the API asks of an item, then of this one the patches.
my %item;
for my $file (glob "$data/items/*.json")
{
	my $item = read_json($file);
	$item->{links} //= [];
	$item->{stac_extensions} = [];
	$item->{stac_version} = '1.1.0';
	$item->{bbox} = [ -180, -90, 180, 90 ];
	$item->{geometry} //= { type => 'Point', coordinates => [ 0, 0 ] };
	$item{ $item->{id} } = $item if ask('POST', "$item->{collection}/items", $item);
}
cmp_ok(scalar keys %item, '>=', 4, 'items are queued');
my ($id) = grep { /zg500/ } keys %item;
ok(ask('POST', 'CMIP6/items', $item{$id}), 'one of them once more');

# [patch of a client, its outcome]; what the API wraps away says nothing.
my @patches = (
	[ 'replica_add__esgadd', '200 replica_added' ],
	[ 'replica_add__esgadd', '200' ],
	[ 'replica_add_WRONG__data_challenge_04', '400 bad-patch' ],
	[ 'aggregate_add_first__esgadd', '200 updated' ],
	[ 'aggregate_add_second_site__esgadd', '200 replica_added' ],
	[ 'aggregate_remove_alternate__esgunpublish', '200 replica_removed' ],
	[ 'aggregate_remove_primary__esgunpublish', '200 updated' ],
	[ 'bbox__dc04', '400 bad-patch' ],
	[ 'citation__cmip7-listeners', '200 updated' ],
	[ 'errata__shape', '200 updated' ],
	[ 'links_update_WRONG__esgpublish', '400 stac-validation' ],
	[ 'variable_name__dc04', '400 bad-patch' ],
	[ 'retract__data_challenge_04', '400 bad-patch' ],
	[ 'supersede_deprecate__esgpublish', '200 updated' ],
	[ 'retract__esgunpublish', '200 retracted' ],
	[ 'replica_add__esgadd', '200' ],
	[ 'aggregate_add_first__esgadd', '409 item-retracted' ]);
my $by_hand = 0;
for (@patches)
{
	my $patch = read_json("$data/patches/$_->[0].json")->{body};
	next if ask('PATCH', "CMIP6/items/$id", $patch, 'application/json-patch+json');
	put_event('CMIP6', $id, $patch);
	$by_hand++;
}
note "$by_hand of " . @patches . ' patches were put on the topic by hand';
cmp_ok($by_hand, '<', @patches / 2, 'most of the patches went through the API');
my ($other) = grep { /NIMS/ } keys %item;
ok(ask('PATCH', "CMIP6/items/$other", { properties => { title => 'A title' } }, 'application/merge-patch+json'), 'a merge patch is queued');
ok(ask('PATCH', 'CMIP6/items/nothing.v1', { properties => { title => 'A title' } }, 'application/merge-patch+json'), 'one of no item, too');

# ---------------------------------------------------------------- outcomes

my $ingester = start_program('esgf_stac_ingest', $node, "$dir/log", qw(--source api), '--from', "kafka:$kafka->{address}/events",
	'--results', "ndjson:$dir/{outcome}");
wait_for('the events to be taken in', sub { query(qq{SELECT sum(next_offset) = $sent AND bool_and(results_offset = next_offset) FROM esgf_stac.source_partition}) eq 't' })
  or diag slurp_file("$dir/log");
is(stop_relay($ingester), 0, 'the ingester stops');

is(query('SELECT count(*) FROM esgf_stac.published_item'), scalar keys %item, 'every item is published');
my @outcomes = split /\n/, query(q{SELECT trim(concat_ws(' ', status, outcome ->> 'action', substring(outcome #>> '{problem,type}' from '[^/]*$'))) FROM esgf_stac.inbox ORDER BY "offset"});
is(join(', ', splice @outcomes, 0, keys %item), join(', ', ('201 published') x keys %item), 'which is their outcome');
is(shift @outcomes, '409 item-already-exists', 'the second time it is there');
is(shift @outcomes, $_->[1], $_->[0]) for @patches;
is("@outcomes", '200 updated 404 item-does-not-exist', 'the nulls of a merge patch are none');
for my $name (sort keys %item)
{
	next if $name eq $id || $name eq $other;
	my $document = $json->decode(query("SELECT document FROM esgf_stac.published_item WHERE id = '$name'"));
	my %given = map { $_ => $item{$name}{properties}{$_} } grep { defined $item{$name}{properties}{$_} } keys %{ $item{$name}{properties} };
	delete @$_{qw(created updated latest retracted)} for \%given, $document->{properties};
	is_deeply($document->{properties}, { datetime => undef, %given }, "$name has no property that its client did not give");
	is_deeply([ sort keys %{ $document->{assets} } ], [ sort keys %{ $item{$name}{assets} } ], 'and its assets');
}
is_deeply($json->decode(query("SELECT identity - '{publisher,principals}'::text[] FROM esgf_stac.outbox WHERE aggregateid = '$id' LIMIT 1")),
	{ %identity, request_id => 'request' }, 'it is who asked that made them');

# The models that wrote the events read the outcomes.
my @results = map { read_lines("$dir/$_") } qw(success error);
is(scalar @results, $sent, 'every event is answered');

done_testing();
