# Others write into an index of ours: a version there that was never given here is
# counted, logged, and told by doctor(); repetitions of ours are not. 114 has an
# index of OpenSearch.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('source');
my $dir = PostgreSQL::Test::Utils::tempdir;
$node->safe_psql('postgres', 'CREATE DATABASE index');
new_stream($node, 'east');
new_items($node, 1, 5);
my @read = ('--stream', 'east', '--sink', 'postgres:' . $node->connstr('index') . '#items', '--metrics-file', "$dir/metrics");

sub in_index { my ($query) = @_; return $node->safe_psql('index', $query); }
sub row { return $node->safe_psql('postgres', q{SELECT concat_ws(' ', foreign_versions, foreign_version) FROM esgf_stac.consumer}); }
sub hazards { return $node->safe_psql('postgres', q{SELECT concat_ws(' ', subject, detail) FROM esgf_stac.doctor() WHERE hazard = 'foreign writer'}); }
sub titled { my ($item, $title) = @_; return "SELECT esgf_stac.patch_item('CMIP6', '$item.v1', '{\"properties\": {\"title\": \"$title\"}}');"; }

# Deliver everything, and end: what the log tells of foreign versions, and the metric.
sub deliver
{
	my ($status, undef, $log) = run_relay($node, @read, '--endpos', wal_end($node));
	is($status, 0, 'delivered') or diag $log;
	my ($metric) = slurp_file("$dir/metrics") =~ /^esgf_stac_relay_foreign_versions_total\{stream="east"\} (\d+)$/m;
	return join "\n", $metric, $log =~ /message="(the sink has version.*)"$/mg;
}

is(deliver(), 0, 'nobody else has written');
in_index(q{UPDATE items SET version = 99, document = '{}' WHERE item_id = 'item-1.v1'; UPDATE items SET version = 7 WHERE item_id = 'item-2.v1'; DELETE FROM items WHERE item_id = 'item-3.v1'});
$node->safe_psql('postgres', join '', map { titled("item-$_", 'a'), titled("item-$_", 'b') } 1 .. 4);
is(deliver(), "4\nthe sink has version 7 of CMIP6 item-2.v1, which was never given here: somebody else writes into it; 4 such so far", 'an outsider did: counted, and logged once');
is(row(), '4 version 7 of CMIP6 item-2.v1', 'written down');
like(hazards(), qr/^east its sink has versions that were never given here: 4 were met, the last version 7 of CMIP6 item-2\.v1 at /, 'told by doctor()');
is(in_index(q{SELECT string_agg(version::text, ' ' ORDER BY item_id) FROM items}), '99 7 3 3 1', 'what is higher stays');

# A version that a reissue has leapt over was never given either.
in_index(q{UPDATE items SET version = 40 WHERE item_id = 'item-5.v1'});
$node->safe_psql('postgres', titled('item-5', 'c') . q{SELECT esgf_stac.reissue_item('CMIP6', 'item-5.v1', 50), esgf_stac.reissue_item('CMIP6', 'item-1.v1', 99), esgf_stac.reissue_item('CMIP6', 'item-2.v1', 7)});
like(deliver(), qr/^1\nthe sink has version 40 of CMIP6 item-5\.v1,/, 'one that was leapt over');
is(row(), '5 version 40 of CMIP6 item-5.v1', 'is counted with the others');
is(in_index(q{SELECT string_agg(version::text, ' ' ORDER BY item_id) FROM items}), '100 8 3 3 51', 'what was reissued is there');

# All events again: the index has later versions, and they are ours.
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('esgf_stac_east'); UPDATE esgf_stac.consumer SET horizon = '3', confirmed = '0/0', delivered = NULL});
is(deliver(), 0, 'a repetition is no foreign version');
is(row(), '5 version 40 of CMIP6 item-5.v1', 'and changes nothing');

# A verification that was begun later, and found nothing or saw it repaired, is the end of it.
my $run = $node->safe_psql('postgres', q{INSERT INTO esgf_stac.verification (stream, deep, state) VALUES ('east', true, 'running') RETURNING id});
isnt(hazards(), '', 'one that runs is not');
$node->safe_psql('postgres', qq{UPDATE esgf_stac.verification SET state = 'completed'; INSERT INTO esgf_stac.drift VALUES ('$run', 'CMIP6', 'item-1.v1', 'ahead', 3, 99)});
isnt(hazards(), '', 'nor one that found something');
$node->safe_psql('postgres', 'UPDATE esgf_stac.drift SET repaired_at = now()');
is(hazards(), '', 'which is repaired then');

done_testing();
