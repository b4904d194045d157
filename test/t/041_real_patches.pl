# Patch bodies as the federation's clients build them: each does what it is
# meant to do, or is refused for what is wrong with it. (test/sql/real_patches.sql
# has the same shapes of our own.)

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $data = "$FindBin::RealBin/../../../shared/data";
my @files = glob "$data/patches/*.json";
plan skip_all => 'no ../shared/data/patches beside the checkout' if !@files;

# The item that most of them are for: two files at ceda.ac.uk.
my $json = JSON::PP->new->utf8->canonical;
my $text = slurp_file("$data/items/cmip6-east-zg500-2-assets.json");
my $item = $json->decode($text);

my $node = catalogue_node('patches');
$node->safe_psql('postgres', q{SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6", "description": "d",
	"license": "CC-BY-4.0", "links": [], "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}')});

sub quoted
{
	my ($string) = @_;
	return "'" . $string =~ s/'/''/gr . "'";
}

sub body
{
	my ($file) = @_;
	return $json->encode($json->decode(slurp_file("$data/patches/$file.json"))->{body});
}

# What becomes of the item when these patches are sent one after the other: the
# answer to the last, and what a query then says of the document. Nothing stays.
sub outcome
{
	my ($query, @patches) = @_;
	my $patch = quoted(pop @patches);
	my $sql = 'BEGIN; SELECT FROM esgf_stac.create_item(' . quoted('CMIP6') . ',' . quoted($text) . ');';
	$sql .= "SELECT FROM esgf_stac.patch_item('CMIP6', " . quoted($item->{id}) . ', ' . quoted($_) . ');' foreach @patches;
	$sql .= qq{
		SELECT coalesce(action, problem ->> 'type', 'unchanged') FROM esgf_stac.transact(jsonb_build_array(jsonb_build_object(
			'method', 'PATCH', 'collection_id', 'CMIP6', 'item_id', } . quoted($item->{id}) . qq{, 'patch', $patch\::jsonb)), false);
		SELECT $query FROM esgf_stac.item; ROLLBACK};
	my @lines = grep { $_ ne '' } split /\n/, $node->safe_psql('postgres', $sql);
	return join ': ', map { s{.*/}{}r } @lines;
}

my $stamped_anew = sub { $_[0] =~ s/2026-08-01T00:00:00/2027-01-01T00:00:00/gr };
my $reference = "document #> '{assets,reference_file}'";
my ($first, $second) = map { body("aggregate_add_${_}__esgadd") } qw(first second_site);
my $at_osn = $first =~ s/ceda\.ac\.uk/osn.mghpcc.org/gr;
my $intact = q{document -> 'assets' = (SELECT payload -> 'assets' FROM esgf_stac.outbox WHERE version = 1 AND aggregateid = item.id)};

# For each file: what is tried, what is sent, what is asked, what is expected.
my %expected = (
	aggregate_add_first__esgadd => [
		[ 'a new asset', sub { $_[0] }, "$reference ->> 'description'", 'updated: TEST' ],
	],
	aggregate_add_second_site__esgadd => [
		[ 'a first alternate, whose parent is made', sub { ($first, $_[0]) }, "nodes", 'replica_added: {ceda.ac.uk,osn.mghpcc.org}' ],
		[ 'of an asset that is not there', sub { $_[0] }, $intact, 'patch-does-not-apply: t' ],
	],
	aggregate_add__update_assets_OVERWRITES => [
		[ 'all alternates, where there are none', sub { ($at_osn, $_[0]) }, 'nodes', 'replica_added: {ceda.ac.uk,osn.mghpcc.org}' ],
		[ 'all alternates, of which one goes', sub { ($at_osn, $second =~ s/osn\.mghpcc\.org/x.org/gr, $_[0]) }, 'nodes', 'replica_removed: {ceda.ac.uk,osn.mghpcc.org}' ],
		[ 'an alternate at the primary node', sub { ($first, $_[0]) }, "$reference ? 'alternate'", 'replica-already-exists: f' ],
	],
	aggregate_remove_alternate__esgunpublish => [
		[ 'the only alternate', sub { ($first, $second, $_[0]) }, "$reference ? 'alternate'", 'replica_removed: f' ],
		[ 'one that is not there', sub { ($first, $_[0]) }, 'version', 'patch-does-not-apply: 2' ],
	],
	aggregate_remove_primary__esgunpublish => [
		[ 'an asset', sub { ($first, $_[0]) }, $intact, 'updated: t' ],
		[ 'one that was at another node', sub { ($at_osn, $_[0]) }, $intact, 'replica_removed: t' ],
	],
	bbox__dc04 => [ [ 'operations in an object', sub { $_[0] }, "document -> 'bbox' = '[-180, -45, 180, 90]'", 'updated: t' ] ],
	variable_name__dc04 => [ [ 'operations in an object', sub { $_[0] }, "document #>> '{properties,variable_long_name}'", 'updated: Precipitation' ] ],
	'citation__cmip7-listeners' => [
		[ 'a link', sub { $_[0] }, "jsonb_array_length(document -> 'links')", 'updated: 1' ],
		[ 'the same link twice', sub { ($_[0], $_[0]) }, "jsonb_array_length(document -> 'links')", 'unchanged: 1' ],
	],
	errata__shape => [
		[ 'a link', sub { $_[0] }, "jsonb_array_length(document -> 'links')", 'updated: 1' ],
		[ 'the same link twice', sub { ($_[0], $_[0]) }, "jsonb_array_length(document -> 'links')", 'unchanged: 1' ],
	],
	links_update_WRONG__esgpublish => [ [ 'links that are no array', sub { $_[0] }, "document -> 'links'", 'stac-validation: []' ] ],
	replica_add_WRONG__data_challenge_04 => [ [ 'an asset that would lose its href', sub { $_[0] }, $intact, 'stac-validation: t' ] ],
	replica_add__esgadd => [
		[ 'a replica', sub { $_[0] }, 'nodes', 'replica_added: {ceda.ac.uk,esgf-data.dkrz.de}' ],
		[ 'the same, stamped anew', sub { ($_[0], $stamped_anew->($_[0])) }, 'version', 'unchanged: 2' ],
		[ 'one of its two files', sub { $json->encode([ $json->decode($_[0])->[0] ]) }, $intact, 'replica-incomplete: t' ],
	],
	retract__data_challenge_04 => [
		[ 'a retraction', sub { $_[0] }, "concat(retracted, latest, $intact)", 'retracted: tft' ],
		[ 'twice', sub { ($_[0], $_[0]) }, 'version', 'unchanged: 2' ],
	],
	retract__esgunpublish => [
		[ 'a retraction that empties assets', sub { $_[0] }, "concat(retracted, latest, $intact)", 'retracted: tft' ],
		[ 'twice', sub { ($_[0], $_[0]) }, "concat(version, $intact)", 'unchanged: 2t' ],
	],
	supersede_deprecate__esgpublish => [ [ 'a deprecation', sub { $_[0] }, "concat(latest, document #> '{properties,latest}')", 'updated: ffalse' ] ],
);

foreach my $file (map { m{([^/]+)\.json$} } @files)
{
	ok(exists $expected{$file}, "$file is expected") or next;
	my $body = body($file);
	foreach my $case (@{ $expected{$file} })
	{
		my ($what, $patches, $query, $result) = @$case;
		is(outcome($query, $patches->($body)), $result, "$file: $what");
	}

	# Sent as an older client wraps it, each is refused, and no member `patch` is stored.
	my $operations = $json->decode($body);
	$operations = $operations->{operations} if ref $operations eq 'HASH';
	is(outcome("document ? 'patch'", $json->encode({ id => $item->{id}, patch => $operations })), 'bad-patch: f', "$file: wrapped as a listener did");
}

done_testing();
