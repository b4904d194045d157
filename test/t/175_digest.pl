# digest() and digest_items() say what an oracle says that has only been told what
# was done to each item, and what the ten lines of Python of doc/verify.md make of
# a copy: of thousands of items, some retracted, some deleted, in every stream.
#
# ESGF_STAC_SEED repeats the choices of an earlier run.

use strict;
use warnings;
use utf8;

use Digest::SHA qw(sha256);
use Encode 'encode';
use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $seed = $ENV{ESGF_STAC_SEED} // int rand 1e9;
note "seed $seed";
srand $seed;

my $node = catalogue_node('digest');
$node->safe_psql('postgres', <<'SQL');
	SELECT esgf_stac.create_collection(jsonb_build_object('type', 'Collection', 'stac_version', '1.1.0', 'id', id, 'description', 'd', 'license', 'CC-BY-4.0', 'links', '[]'::jsonb,
	           'extent', '{"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}'::jsonb)) FROM unnest('{CMIP6,CMIP7}'::text[]) id;
	SELECT esgf_stac.create_stream('all'), esgf_stac.create_stream('low', '{CMIP6}', '$.properties.n < 50'), esgf_stac.create_stream('other', '{CMIP7}');
	CREATE FUNCTION document(id text, n int) RETURNS jsonb LANGUAGE sql AS $$
	    SELECT jsonb_build_object('type', 'Feature', 'stac_version', '1.1.0', 'id', id, 'collection', 'CMIP6', 'geometry', null, 'links', '[]'::jsonb, 'assets', '{}'::jsonb,
	                              'properties', jsonb_build_object('datetime', '2000-01-01T00:00:00Z', 'n', n)) $$;
SQL

# What was done to each item: [version, n, deleted, retracted].
my %items;
my $script = '';
for my $number (1 .. 3000)
{
	my $id = (qw(tas größe 温度 x.y-z))[ rand 4 ] . "$number.v1";
	$items{$id} = [ 1, int rand 100, 0, 0 ];
	$script .= "SELECT esgf_stac.create_item('CMIP6', document('$id', $items{$id}[1]));\n";
}
my @ids = sort keys %items;
for (1 .. 4000)
{
	my $id = $ids[ rand @ids ];
	my $item = $items{$id};
	my $call;
	if ($item->[2])
	{
		($call, $item->[2]) = ('restore_item', 0);
	}
	elsif ($item->[3])
	{
		($call, $item->[3]) = ('reinstate_item', 0);
	}
	elsif (rand() < .4)
	{
		my $n = ($item->[1] + 1 + int rand 98) % 100;
		$item->[1] = $n;
		$script .= "SELECT esgf_stac.patch_item('CMIP6', '$id', '{\"properties\": {\"n\": $n}}');\n";
	}
	elsif (rand() < .5)
	{
		($call, $item->[2]) = ('delete_item', 1);
	}
	else
	{
		($call, $item->[3]) = ('retract_item', 1);
	}
	$script .= "SELECT esgf_stac.$call('CMIP6', '$id');\n" if $call;
	$item->[0]++;
}
$node->safe_psql('postgres', encode('UTF-8', "BEGIN;\n${script}COMMIT;"));

# The items of a stream, undef for all, as lines "id version".
sub copy_of
{
	my ($stream) = @_;
	my @in = grep { !$items{$_}[2] && (!defined $stream || $stream eq 'all' || ($stream eq 'low' && $items{$_}[1] < 50)) } @ids;
	return map { "$_ $items{$_}[0]" } @in;
}

# The digests of such lines, a line a bucket, and the lines of each bucket.
sub digests_of
{
	my ($bits, @lines) = @_;
	my @buckets = map { { items => [], digest => "\0" x 16 } } 1 .. 2**$bits;
	foreach my $line (@lines)
	{
		my ($id, $version) = $line =~ /^(.*) (\d+)$/;
		my $bucket = $buckets[ unpack('n', sha256(encode('UTF-8', $id))) >> 16 - $bits ];
		push @{ $bucket->{items} }, $line;
		$bucket->{digest} ^= substr sha256(encode('UTF-8', "$id/$version")), 0, 16;
	}
	return map { [ join("\n", sort { encode('UTF-8', $a) cmp encode('UTF-8', $b) } @{ $_->{items} }), scalar @{ $_->{items} }, unpack('H*', $_->{digest}) ] } @buckets;
}

my ($program) = slurp_file("$FindBin::RealBin/../../doc/verify.md") =~ /^```python\n(.*?)^```$/ms;
foreach my $case ([ undef, 8 ], [ 'all', 0 ], [ 'low', 8 ], [ 'low', 16 ], [ 'low', 3 ], [ 'other', 2 ])
{
	my ($stream, $bits) = @$case;
	my $argument = defined $stream ? "'$stream'" : 'NULL';
	my $name = "stream $argument, $bits bits";
	my @lines = copy_of($stream);
	my @expected = digests_of($bits, @lines);
	my $expected = join "\n", map { "$_ $expected[$_][1] $expected[$_][2]" } 0 .. $#expected;
	my $input = encode('UTF-8', join '', map { "$_\n" } @lines);

	is($node->safe_psql('postgres', "SELECT concat_ws(' ', bucket, items, encode(digest, 'hex')) FROM esgf_stac.digest('CMIP6', $bits, $argument)"), $expected, "$name: the digests of " . @lines . ' items');
	my $computed = '';
	IPC::Run::run([ 'python3', '-c', $program, $bits ], '<', \$input, '>', \$computed) or fail("$name: python3");
	is($computed, "$expected\n", "$name: by the lines of doc/verify.md");

	my $bucket = int rand @expected;
	my $found = $node->safe_psql('postgres', "SELECT item_id || ' ' || version FROM esgf_stac.digest_items('CMIP6', $bits, $bucket, $argument)");
	is($found, encode('UTF-8', $expected[$bucket][0]), "$name: the items of bucket $bucket");
}

done_testing();
