# 10,000 replica adds and removes by 12 sites, in 4 sessions and random order,
# by the verbs and by JSON patches. Each site is a writer that holds rights on
# its own node only. Afterwards every document equals its original but for
# `updated`, and every item's events are its versions 1, 2, 3, ... in order.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $sites = 12;
my $sessions = 4;
my $items = 60;
my $changes = 10_000;

my $node = catalogue_node('replicas', 'fsync = off');
$node->safe_psql('postgres', qq{
	SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6", "description": "d",
		"license": "CC-BY-4.0", "links": [], "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}');
	SELECT esgf_stac.create_item('CMIP6', jsonb_build_object('type', 'Feature', 'stac_version', '1.1.0', 'id', 'i' || i || '.v1', 'geometry', null,
		'properties', jsonb_build_object('datetime', '2000-01-01T00:00:00Z', 'n', i + 0.50), 'assets', (
		SELECT jsonb_object_agg('f' || f, jsonb_build_object('href', format('https://origin.org/%s/f%s', i, f), 'alternate:name', 'origin.org',
			'roles', '["data"]'::jsonb, 'file:size', f)) FROM generate_series(1, 1 + i % 7) f))) FROM generate_series(1, $items) i;
	CREATE TABLE original AS SELECT id, document #- '{properties,updated}' AS document FROM esgf_stac.item;
	CREATE FUNCTION replica(item text, node text) RETURNS jsonb LANGUAGE sql SECURITY DEFINER AS
		\$\$SELECT jsonb_object_agg(f, jsonb_build_object('href', format('https://%s/%s/%s', node, item, f), 'alternate:name', node, 'created', clock_timestamp()))
		      FROM original, jsonb_object_keys(document -> 'assets') f WHERE id = item\$\$;
	CREATE FUNCTION operations(item text, node text, adds boolean) RETURNS jsonb LANGUAGE sql AS
		\$\$SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('op', CASE WHEN adds THEN 'add' ELSE 'remove' END, 'path', format('/assets/%s/alternate/%s', key, node),
			'value', CASE WHEN adds THEN value END))) FROM jsonb_each(replica(item, node))\$\$});
foreach my $site (1 .. $sites)
{
	$node->safe_psql('postgres', qq{
		INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('n$site.org', '{https://n$site.org/}');
		CREATE ROLE site_$site IN ROLE esgf_stac_writer;
		SELECT esgf_stac.grant_access('role:site_$site', 'REPLICATE', 'project', 'CMIP6'), esgf_stac.grant_access('role:site_$site', 'REPLICATE', 'node', 'n$site.org')});
}

# What each site does to each item: it adds, removes, adds again, ...; which comes
# when is drawn. A site stays in one session, so that it never removes too early.
srand 20260726;
my @scripts = map { "\\set ON_ERROR_STOP on\n" } 1 .. $sessions;
my $count = 0;
foreach my $session (0 .. $sessions - 1)
{
	my @own = grep { $_ % $sessions == $session } 1 .. $sites;
	my %left = map { $_ => int($changes / $sites / 2) + ($_ <= $changes / 2 % $sites ? 1 : 0) } @own;
	my %held;
	while (my @free = grep { $left{$_} > 0 || %{ $held{$_} // {} } } @own)
	{
		my $site = $free[ rand @free ];
		my $mine = $held{$site} //= {};
		my $id = 'i' . (1 + int rand $items) . '.v1';
		($id) = (sort keys %$mine)[ rand keys %$mine ] if $left{$site} == 0;
		my $adds = !delete $mine->{$id};
		if ($adds)
		{
			$mine->{$id} = 1;
			$left{$site}--;
		}
		my $call = rand() < 0.5
		  ? "patch_item('CMIP6', '$id', operations('$id', 'n$site.org', " . ($adds ? 'true' : 'false') . '))'
		  : $adds ? "add_replica('CMIP6', '$id', 'n$site.org', replica('$id', 'n$site.org'))"
		  : "remove_replica('CMIP6', '$id', 'n$site.org')";
		$scripts[$session] .= "SET ROLE site_$site; SELECT action FROM esgf_stac.$call;\n";
		$count++;
	}
}
is($count, $changes, "$changes changes are drawn");

my $dir = PostgreSQL::Test::Utils::tempdir;
my (@running, @out);
foreach my $session (0 .. $sessions - 1)
{
	append_to_file("$dir/$session.sql", $scripts[$session]);
	push @running, IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', "$dir/$session.sql" ], '<', \undef, '>', \$out[$session], '2>&1');
}
$_->finish foreach @running;
my %answers;
$answers{$_}++ foreach map { split /\n/ } @out;
is_deeply(\%answers, { replica_added => $changes / 2, replica_removed => $changes / 2 }, 'each is done and answered');

is($node->safe_psql('postgres', q{SELECT id FROM esgf_stac.item i JOIN original o USING (id)
	WHERE i.document #- '{properties,updated}' <> o.document OR (i.document #- '{properties,updated}')::text <> o.document::text OR i.nodes <> '{origin.org}'}), '',
	'every document equals its original but for updated');
is($node->safe_psql('postgres', q{SELECT type, count(*) FROM esgf_stac.outbox WHERE aggregatetype = 'CMIP6' GROUP BY 1 ORDER BY 1}),
	"item.published|$items\nitem.replica_added|" . $changes / 2 . "\nitem.replica_removed|" . $changes / 2, 'each has its event');
is($node->safe_psql('postgres', q{SELECT count(*) FROM (
	SELECT version, row_number() OVER (PARTITION BY aggregateid ORDER BY seq) AS n, identity ->> 'sub' AS sub, request FROM esgf_stac.outbox WHERE aggregatetype = 'CMIP6') e
	WHERE version <> n OR (n > 1 AND sub NOT LIKE 'site%')}), 0, 'versions 1, 2, 3, ... in the order of events, each in the name of a site');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.item i JOIN esgf_stac.outbox o ON o.aggregateid = i.id AND o.version = i.version WHERE o.payload = i.document}), $items,
	'the last events are the documents');

done_testing();
