# Random changes of documents of 1 to 200 KB, by people who hold about what they
# need: what the database permits and finds missing is compared with
# test/oracle/access.py, which judges the documents by the words of doc/access.md.
# And random hrefs: none that is taken is elsewhere to another reader of URLs.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PythonTest;
use RelayTest;
use Test::More;

my $oracle = "$FindBin::RealBin/../oracle/access.py";
my ($python) = run_program('', 'python3', '-c', 'import json, urllib.parse');
plan skip_all => 'no python3' unless $python;

my $dir = PostgreSQL::Test::Utils::tempdir;
my $seed = $ENV{ESGF_STAC_SEED} // 20261130;
my $node = catalogue_node('rights', 'fsync = off');
note "ESGF_STAC_SEED=$seed";
$node->safe_psql('postgres', <<'SQL');
	SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6", "description": "d", "license": "MIT", "links": [],
		"extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}');
	SELECT esgf_stac.configure_collection('CMIP6', '{"complete_replicas": false}');
	INSERT INTO esgf_stac.site (node, href_prefixes, active) SELECT n, ARRAY['https://' || n || '/'], n <> 'closed.org' FROM unnest('{a.org,b.org,c.org,closed.org}'::text[]) n;
	CREATE ROLE gateway IN ROLE esgf_stac_gateway;
	CREATE TABLE given (n bigint GENERATED ALWAYS AS IDENTITY, c jsonb);
	CREATE TABLE answered (c jsonb);
	-- What is missing for a case, and what comes of it; all of it is undone.
	CREATE FUNCTION answer(c jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
	DECLARE
		identity CONSTANT jsonb := jsonb_build_object('sub', 'x', 'principals', c -> 'principals');
		request CONSTANT jsonb := jsonb_build_object('method', c -> 'method', 'collection_id', 'CMIP6', 'item_id', 'i.v1')
			|| (c -> 'request');
		missing jsonb;
		outcome text := 'done';
	BEGIN
		IF c ->> 'method' <> 'POST' THEN
			PERFORM esgf_stac.create_item('CMIP6', c -> 'old');
		END IF;
		PERFORM esgf_stac.grant_access(r ->> 0, r ->> 1, r ->> 2, r ->> 3, r ->> 4) FROM jsonb_array_elements(c -> 'rules') r;
		BEGIN
			SELECT jsonb_agg(jsonb_build_array(role, scope, target, reason)) INTO missing FROM esgf_stac.explain_access(request, identity) WHERE NOT granted;
		END;
		BEGIN
			SET LOCAL ROLE gateway;
			PERFORM esgf_stac.transact(jsonb_build_array(request), true, identity);
		EXCEPTION WHEN OTHERS THEN
			outcome := SQLSTATE;
		END;
		RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = (c || jsonb_build_object('missing', coalesce(missing, '[]'), 'outcome', outcome))::text;
	EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
		RETURN SQLERRM::jsonb;
	END $$;
	CREATE FUNCTION is_taken(prefix text, href text) RETURNS boolean LANGUAGE plpgsql AS $$
	DECLARE
		reasons text;
	BEGIN
		UPDATE esgf_stac.site SET href_prefixes = ARRAY[prefix] WHERE node = 'c.org';
		SELECT string_agg(reason, ' ') INTO reasons FROM esgf_stac.explain_access(jsonb_build_object('method', 'ADD_REPLICA', 'collection_id', 'CMIP6', 'item_id', 'h.v1', 'node', 'c.org',
			'alternates', jsonb_build_object('f.nc', jsonb_build_object('href', href))), '{"sub": "x"}') WHERE reason <> 'no-right';
		RETURN reasons IS NULL;
	END $$;
	SELECT esgf_stac.create_item('CMIP6', '{"type": "Feature", "stac_version": "1.1.0", "id": "h.v1", "geometry": null, "links": [], "properties": {"datetime": "2000-01-01T00:00:00Z"},
		"assets": {"f.nc": {"href": "https://a.org/f.nc", "alternate:name": "a.org", "roles": ["data"]}}}');
SQL

# Have the oracle make cases, the database answer them, and the oracle judge.
sub compare
{
	my ($kind, $judge, $count, $answer) = @_;
	my ($made, $cases, $why) = run_program('', 'python3', $oracle, $kind, $seed, $count);
	ok($made, "$count $kind are made") or diag $why;
	append_to_file("$dir/$kind", $cases);
	my $answers = $node->safe_psql('postgres', qq{SET client_min_messages = error;
		TRUNCATE given, answered;
		\\copy given (c) FROM '$dir/$kind' WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')
		DO \$\$ DECLARE g given; BEGIN FOR g IN SELECT * FROM given ORDER BY n LOOP INSERT INTO answered SELECT $answer FROM (SELECT g.c) AS x(c); END LOOP; END \$\$;
		SELECT c FROM answered});
	is(() = $answers =~ /^\{/mg, () = $cases =~ /^\{/mg, 'each is answered');
	my ($judged, $differences, $summary) = run_program($answers, 'python3', $oracle, $judge);
	ok($judged, "the oracle judges: $summary") or diag $summary;
	is(substr($differences, 0, 4000), '', "$kind: none is judged otherwise");
	return $summary;
}

my $summary = compare('cases', 'judge', 600, 'answer(c)');
like($summary, qr/PT403 \d{2,}.* done \d{2,}/, 'some are permitted, some are not');
compare('hrefs', 'judge_hrefs', 3000, q{c || jsonb_build_object('taken', is_taken(c ->> 'prefix', c ->> 'href'))});

done_testing();
