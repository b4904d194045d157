# The software behind the federation's East index, stac-fastapi-opensearch as it
# comes from PyPI, serves what the relay wrote: found by id, property, place and
# time; a retracted item is found as retracted, a deleted one is gone.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use ServerTest;
use Test::More;

my $reason = server_missing('opensearch', 'stac_api');
plan skip_all => $reason if $reason;

my $index = start_opensearch();
my $api = start_stac_api($index);
my $node = catalogue_node('search_api');
my $json = JSON::PP->new->utf8->canonical;

my $collection = q({"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6", "description": "d", "license": "CC-BY-4.0", "links": [],
	"extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}});

my @sink = ('--sink', "opensearch:http://$index->{address}/items_{collection}", '--document-id', '{item_id}|{collection}');

# Have the relay deliver all so far, and the index show it.
sub deliver
{
	my ($status, undef, $stderr) = run_relay($node, '--stream', 'east', @sink, '--no-loop', '--endpos', wal_end($node));
	is($status, 0, 'the relay delivers') or diag $stderr;
	is((http($index, 'POST', '/_refresh'))[0], 200, 'and the index shows it');
	return;
}

# Ask the API: status and what it answers.
sub ask
{
	my ($path) = @_;
	my ($status, $body) = http($api, 'GET', $path);
	return ($status, $status == 200 ? $json->decode($body) : $body);
}

# The ids that a search finds, without what all of them begin with.
sub found
{
	my ($query) = @_;
	my ($status, $answer) = ask("/search?collections=CMIP6&$query");
	return "$status $answer" if $status != 200;
	return join ' ', sort map { $_->{id} =~ s/^CMIP6\.//r } @{ $answer->{features} };
}

sub published
{
	my ($id) = @_;
	return $json->decode($node->safe_psql('postgres', "SELECT document FROM esgf_stac.published_item WHERE id = '$id'"));
}

# What is served is what is published, but for the links that the API adds.
sub served_as_published
{
	my ($id, $what) = @_;
	my (undef, $served) = ask("/collections/CMIP6/items/$id");
	my $expected = published($id);
	delete $_->{links} for $served, $expected;
	is_deeply($served, $expected, "$id is served as published: $what");
	return;
}

# An item of a rectangle, a year and a model.
sub create_item
{
	my ($id, $west, $year, $source) = @_;
	my $east = $west + 10;
	$node->safe_psql('postgres', qq{SELECT esgf_stac.create_item('CMIP6', '{"type": "Feature", "stac_version": "1.1.0", "id": "$id",
		"stac_extensions": ["https://stac-extensions.github.io/alternate-assets/v1.2.0/schema.json"],
		"geometry": {"type": "Polygon", "coordinates": [[[$west, 0], [$east, 0], [$east, 10], [$west, 10], [$west, 0]]]}, "bbox": [$west, 0, $east, 10],
		"properties": {"datetime": null, "start_datetime": "$year-01-16T12:00:00Z", "end_datetime": "$year-12-16T12:00:00Z",
			"cmip6:source_id": ["$source"], "title": "of $source"},
		"links": [], "assets": {"tas.nc": {"href": "https://data.example/$id/tas.nc", "type": "application/netcdf", "roles": ["data"],
			"alternate:name": "data.example", "file:size": 65536}}}')});
	return;
}

is((http($api, 'POST', '/collections', $collection))[0], 201, "the collection is made through the API");
$node->safe_psql('postgres', "SELECT esgf_stac.create_collection('$collection')");
new_stream($node, 'east');

create_item('CMIP6.a.v20190101', 0, 1850, 'CanESM5');
create_item('CMIP6.b.v20190101', 100, 1950, 'CanESM5');
create_item('CMIP6.c.v20190101', 100, 2014, 'MRI-ESM2-0');
deliver();

my ($status, $answer) = ask('/collections/CMIP6/items?limit=10');
is($answer->{numberMatched}, 3, 'all items are there');
served_as_published('CMIP6.a.v20190101', 'version 1');
is(found('filter-lang=cql2-text&filter=latest=true'), 'a.v20190101 b.v20190101 c.v20190101', 'found by a property');
is(found(q(filter-lang=cql2-text&filter=%22cmip6:source_id%22='CanESM5')), 'a.v20190101 b.v20190101', 'found by one with a prefix');
is(found('bbox=104,4,106,6'), 'b.v20190101 c.v20190101', 'found by place');
is(found('bbox=104,4,106,6&datetime=2014-06-01T00:00:00Z/2014-06-02T00:00:00Z'), 'c.v20190101', 'found by place and time');
is(found('datetime=1850-03-01T00:00:00Z/1850-04-01T00:00:00Z'), 'a.v20190101', 'found in 1850');

# A replica, a new version, a retraction and a deletion.
$node->safe_psql('postgres', q{SELECT esgf_stac.patch_item('CMIP6', 'CMIP6.a.v20190101',
	'{"assets": {"tas.nc": {"alternate": {"second.example": {"href": "https://second.example/tas.nc", "alternate:name": "second.example"}}}}}')});
create_item('CMIP6.c.v20200101', 100, 2014, 'MRI-ESM2-0');
$node->safe_psql('postgres', q{SELECT esgf_stac.retract_item('CMIP6', 'CMIP6.b.v20190101', reason => 'wrong units')});
deliver();
served_as_published('CMIP6.a.v20190101', 'with a replica');
served_as_published('CMIP6.c.v20190101', 'superseded');
served_as_published('CMIP6.b.v20190101', 'retracted');
is(found('filter-lang=cql2-text&filter=retracted=true'), 'b.v20190101', 'the retracted is found as retracted');
is(found('filter-lang=cql2-text&filter=latest=true'), 'a.v20190101 c.v20200101', 'only the latest are found as latest');

$node->safe_psql('postgres', q{SELECT esgf_stac.delete_item('CMIP6', 'CMIP6.a.v20190101')});
deliver();
($status) = ask('/collections/CMIP6/items/CMIP6.a.v20190101');
is($status, 404, 'the deleted is gone');
is(found('limit=10'), 'b.v20190101 c.v20190101 c.v20200101', 'from the search, too');

$node->safe_psql('postgres', q{SELECT esgf_stac.restore_item('CMIP6', 'CMIP6.a.v20190101')});
deliver();
served_as_published('CMIP6.a.v20190101', 'restored');
is($node->safe_psql('postgres', 'SELECT count(*) FROM esgf_stac.dead_letter'), 0, 'no dead letter');

done_testing();
