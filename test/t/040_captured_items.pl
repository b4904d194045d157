# Items captured from ESGF catalogues are published, and come back as they were
# but for the stamps and the members that the database fills in.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my @files = glob "$FindBin::RealBin/../../../shared/data/items/*.json";
plan skip_all => 'no ../shared/data/items beside the checkout' if !@files;

my $node = catalogue_node('captured');
my $json = JSON::PP->new->utf8;

foreach my $file (@files)
{
	my $text = slurp_file($file);
	my $item = $json->decode($text);
	my ($collection, $id) = ($item->{collection}, $item->{id});
	my ($name) = $file =~ m{([^/]+)$};

	$node->safe_psql('postgres', qq{SELECT esgf_stac.create_collection(jsonb_build_object(
		'type', 'Collection', 'stac_version', '1.1.0', 'id', '$collection', 'description', 'd', 'license', 'CC-BY-4.0', 'links', '[]'::jsonb,
		'extent', '{"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}'::jsonb))
		WHERE NOT EXISTS (SELECT FROM esgf_stac.collection WHERE id = '$collection')});
	$text =~ s/'/''/g;
	is($node->safe_psql('postgres', "SELECT item_id FROM esgf_stac.create_item('$collection', '$text')"), $id, "$name is published");

	# The database writes stamps and flags, and fills in links.
	my $written = join ' ', map { "#- '{properties,$_}'" } qw(created updated latest retracted);
	is($node->safe_psql('postgres', qq{
		SELECT (got.document $written) = ('{"links": []}'::jsonb || '$text'::jsonb) $written
		  FROM esgf_stac.get_item('$collection', '$id') got}), 't', "$name comes back");
	is($node->safe_psql('postgres', qq{
		SELECT latest, retracted, document #> '{properties,latest}', document #> '{properties,retracted}'
		  FROM esgf_stac.published_item WHERE id = '$id'}), 't|f|true|false', "$name has its flags");
}

done_testing();
