# The life of items of realistic sizes, stored out of line, in fresh connections
# under each plan_cache_mode: what is the same is so by its content, however a
# plan has handed it on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RealisticTest;
use RelayTest;
use Test::More;

my $node = catalogue_node('realistic', 'synchronous_commit = off');
$node->safe_psql('postgres', q{SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6", "description": "d", "license": "MIT",
	"links": [], "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}')});
$node->safe_psql('postgres', q{
	INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('a.org', '{https://a.org/}'), ('b.org', '{https://b.org/}');
	CREATE FUNCTION state(dataset text) RETURNS text LANGUAGE sql AS $$
		SELECT string_agg(concat(dataset_version, ':', version, CASE WHEN latest THEN ' latest' END, CASE WHEN retracted THEN ' retracted' END, CASE WHEN deleted THEN ' deleted' END), ', ' ORDER BY dataset_version)
		  FROM esgf_stac.item WHERE base_id = dataset $$;
	-- What is left of a document without what the database writes.
	CREATE FUNCTION bare(document jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT document #- '{properties,created}' #- '{properties,updated}' #- '{properties,latest}' #- '{properties,retracted}' $$;
	CREATE FUNCTION cycle(dataset text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE answer text := '';
	BEGIN
		FOR i IN 1..7 LOOP
			PERFORM esgf_stac.delete_item('CMIP6', dataset || '.v1');
			PERFORM esgf_stac.restore_item('CMIP6', dataset || '.v1');
			answer := answer || (SELECT latest FROM esgf_stac.item WHERE id = dataset || '.v1');
		END LOOP;
		RETURN answer;
	END $$;
});

each_realistic($node, sub {
		my ($ask, $kilobytes, $mode) = @_;
		my $base = "r$kilobytes.$mode";
		my $step = 0;
		# Do something; the receipt's action, and then the state of the dataset.
		my $does = sub {
			my ($statement, $action, $state, $what) = @_;
			is($ask->($statement), $action, "$kilobytes KB, $mode: $what");
			is($ask->("SELECT state('$base')"), $state, '... state');
		};
		my $verb = sub { my ($call) = @_; return "SELECT coalesce(action, 'nothing') FROM esgf_stac.$call"; };
		my $by_hand = sub { my ($set, $id) = @_; return "UPDATE esgf_stac.item SET $set WHERE id = '" . ($id // "$base.v1") . "'"; };
		my $stored = "(SELECT document FROM esgf_stac.item WHERE id = '$base.v1')";

		$does->($verb->("create_item('CMIP6', realistic.item('$base.v1', $kilobytes))"), 'published', '1:1 latest', 'published');
		is($ask->("SELECT pg_column_size(document) > 2000 FROM esgf_stac.item WHERE id = '$base.v1'"), 't', '... and stored out of line');
		$does->($verb->("delete_item('CMIP6', '$base.v1')"), 'deleted', '1:2 deleted', 'deleted');
		$does->($verb->("restore_item('CMIP6', '$base.v1')"), 'restored', '1:3 latest', 'restored');
		$does->($by_hand->('deleted = true'), '', '1:4 deleted', 'deleted by hand');
		$does->($by_hand->('deleted = false'), '', '1:5 latest', 'restored by hand');
		$does->($verb->("delete_item('CMIP6', '$base.v1')"), 'deleted', '1:6 deleted', 'deleted again');
		$does->($by_hand->('deleted = false, document = document'), '', '1:7 latest', 'restored with its document');
		$does->($verb->("delete_item('CMIP6', '$base.v1')"), 'deleted', '1:8 deleted', 'and again');
		$does->("DO \$\$ DECLARE d jsonb := $stored; BEGIN UPDATE esgf_stac.item SET deleted = false, document = d WHERE id = '$base.v1'; END \$\$", '', '1:9 latest', 'with its document in a variable');
		$does->($verb->("delete_item('CMIP6', '$base.v1')"), 'deleted', '1:10 deleted', 'and again');
		$does->($verb->("create_item('CMIP6', realistic.item('$base.v1', $kilobytes))"), 'restored', '1:11 latest', 'the same document published');

		$does->($verb->("replace_item('CMIP6', '$base.v1', $stored)"), 'nothing', '1:11 latest', 'replaced by itself');
		$does->($verb->("patch_item('CMIP6', '$base.v1', jsonb_build_object('assets', $stored -> 'assets'))"), 'nothing', '1:11 latest', 'patched with its own assets');
		$does->($by_hand->(q{document = document || '{}', nodes = nodes, updated_by = updated_by || '{}'}), '', '1:11 latest', 'what it is, by hand');
		$does->($by_hand->('deleted = true, document = document'), '', '1:12 deleted', 'deleted with its document');
		$does->($by_hand->('document = document'), '', '1:12 deleted', 'the document of a deleted one as it is');
		$does->($by_hand->('deleted = false'), '', '1:13 latest', 'restored');

		$does->($verb->("retract_item('CMIP6', '$base.v1')"), 'retracted', '1:14 retracted', 'retracted');
		$does->($by_hand->('deleted = true'), '', '1:15 retracted deleted', 'deleted while it is');
		$does->($verb->("restore_item('CMIP6', '$base.v1')"), 'restored', '1:16 retracted', 'restored while it is');
		$does->($verb->("reinstate_item('CMIP6', '$base.v1')"), 'reinstated', '1:17 latest', 'reinstated');

		$does->($verb->("add_replica('CMIP6', '$base.v1', 'b.org', realistic.alternates($kilobytes, 'b.org'))"), 'replica_added', '1:18 latest', 'a replica');
		$does->($verb->("add_replica('CMIP6', '$base.v1', 'b.org', realistic.alternates($kilobytes, 'b.org'))"), 'nothing', '1:18 latest', 'again');
		$does->($verb->("remove_replica('CMIP6', '$base.v1', 'b.org')"), 'replica_removed', '1:19 latest', 'removed');
		is($ask->("SELECT bare(document) = realistic.item('$base.v1', $kilobytes) FROM esgf_stac.item WHERE id = '$base.v1'"), 't', '... and it is what it was');

		$does->($verb->("create_item('CMIP6', realistic.item('$base.v2', $kilobytes))"), 'published', '1:20, 2:1 latest', 'a newer version');
		$does->($verb->("delete_item('CMIP6', '$base.v1')"), 'deleted', '1:21 deleted, 2:1 latest', 'the older one deleted');
		$does->($verb->("restore_item('CMIP6', '$base.v1')"), 'restored', '1:22, 2:1 latest', 'and restored');
		$does->(qq{SELECT string_agg(coalesce(action, 'nothing'), ' ' ORDER BY ordinal) FROM esgf_stac.transact('[{"method": "DELETE", "collection_id": "CMIP6", "item_id": "$base.v2"}, {"method": "RESTORE", "collection_id": "CMIP6", "item_id": "$base.v2"},
		{"method": "RETRACT", "collection_id": "CMIP6", "item_id": "$base.v2"}, {"method": "REINSTATE", "collection_id": "CMIP6", "item_id": "$base.v2"}]')}, 'deleted restored retracted reinstated', '1:22, 2:5 latest', 'all in one transaction');
		is($ask->("SELECT esgf_stac.create_item('CMIP6', realistic.item('$base.cycle.v1', $kilobytes)); SELECT cycle('$base.cycle')") =~ s/^.*\n//r, 'true' x 7, '... as often as a plan is kept');
		is($ask->("SELECT count(*) FROM esgf_stac.import_items(ARRAY[realistic.item('$base.v1', $kilobytes), realistic.item('$base.v2', $kilobytes)]) WHERE status = 200 AND NOT changed"), 2, '... and an import of what is there changes nothing');
});

is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT *, row_number() OVER (PARTITION BY aggregateid ORDER BY seq) AS n FROM esgf_stac.outbox WHERE aggregatetype = 'CMIP6') o WHERE version <> n}), 0, 'events tell of versions in their order');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.published_item p JOIN esgf_stac.outbox o ON o.aggregatetype = p.collection_id AND o.aggregateid = p.id AND o.version = p.version WHERE o.payload IS DISTINCT FROM p.document}), 0, 'the last one is what is published');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.item i JOIN esgf_stac.dataset d USING (collection_id, base_id) WHERE i.latest <> (i.id IS NOT DISTINCT FROM d.latest_id)}), 0, 'and datasets know their latest');

done_testing();
