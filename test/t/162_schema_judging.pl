# Random changes of captured items, by every way in, under the federation's schemas,
# which change on the way: judged or not, refused or not, and affixed, as
# test/oracle/schema_judging.py says with python-jsonschema. And COPY.
#
# ESGF_STAC_CHANGES changes, 500 unless said; ESGF_STAC_SEED chooses others.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PythonTest;
use RelayTest;
use Test::More;

my $count = $ENV{ESGF_STAC_CHANGES} // 500;
my $seed = $ENV{ESGF_STAC_SEED} // 20261130;
my $data = "$FindBin::RealBin/../../../shared/data";
plan skip_all => 'no ../shared/data/esgf-schemas beside the checkout' if !-d "$data/esgf-schemas";
my ($packages, $why) = python_packages('jsonschema==4.26.0');
plan skip_all => $why if !$packages;

local $ENV{PYTHONPATH} = $packages;
my $folder = PostgreSQL::Test::Utils::tempdir;
my $oracle = "python3 $FindBin::RealBin/../oracle/schema_judging.py";
is(system("$oracle plan $data $count $seed >$folder/plan"), 0, "$count changes, seed $seed");

my $node = catalogue_node('schema_judging', 'synchronous_commit = off');
$node->safe_psql('postgres', <<"SQL");
SELECT esgf_stac.create_collection(jsonb_build_object('type', 'Collection', 'stac_version', '1.1.0', 'id', id, 'description', 'd', 'license', 'MIT',
	'links', '[]'::jsonb, 'extent', '{"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}'::jsonb))
  FROM unnest('{CMIP6,CMIP7}'::text[]) id;
CREATE TABLE plan (number int GENERATED ALWAYS AS IDENTITY, line text);
\\copy plan (line) FROM '$folder/plan' (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')
CREATE TABLE log (line jsonb);

CREATE FUNCTION state(item_id text) RETURNS jsonb LANGUAGE sql AS \$\$
	SELECT jsonb_build_object('version', version, 'document', document, 'deleted', deleted, 'retracted', retracted,
		'affixed', (SELECT jsonb_agg(jsonb_build_array(a -> 'url', a -> 'revision', a -> 'valid') ORDER BY n) FROM jsonb_array_elements(validated_against) WITH ORDINALITY l (a, n)))
	  FROM esgf_stac.item WHERE id = item_id \$\$;
CREATE FUNCTION configure(mode text) RETURNS void LANGUAGE sql AS \$\$
	SELECT esgf_stac.configure_collection(id, jsonb_build_object('schema_mode', mode)) FROM unnest('{CMIP6,CMIP7}'::text[]) id \$\$;

-- What a statement makes of an item where nothing is judged, which is undone; or why it does not; or neither, where it changes nothing.
CREATE FUNCTION unjudged(sql text, item_id text, OUT result jsonb, OUT reason text) LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM configure('off');
	result := state(item_id);
	EXECUTE sql;
	RAISE EXCEPTION USING errcode = 'ZZ001', message = coalesce(nullif(state(item_id), result)::text, '');
EXCEPTION
	WHEN SQLSTATE 'ZZ001' THEN result := nullif(SQLERRM, '')::jsonb;
	WHEN OTHERS THEN GET STACKED DIAGNOSTICS reason = CONSTRAINT_NAME;
		result := NULL;
END \$\$;
CREATE PROCEDURE take(step jsonb) LANGUAGE plpgsql AS \$\$
DECLARE
	id text := step ->> 'item';
	told jsonb := step - 'sql';
	events bigint := (SELECT count(*) FROM esgf_stac.outbox);
	answer text;
	slug text;
BEGIN
	IF step ->> 'what' = 'schema' THEN
		EXECUTE step ->> 'sql' INTO answer;
	ELSE
		told := told || jsonb_build_object('old', state(id)) || (SELECT jsonb_build_object('unjudged', u.result, 'reason', u.reason) FROM unjudged(step ->> 'sql', id) u);
		PERFORM configure('enforce');
		BEGIN
			EXECUTE step ->> 'sql';
		EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS slug = CONSTRAINT_NAME;
		END;
	END IF;
	INSERT INTO log VALUES (told || jsonb_build_object('answer', answer, 'slug', slug, 'new', state(id), 'events', (SELECT count(*) FROM esgf_stac.outbox) - events));
END \$\$;
DO \$\$
DECLARE step jsonb;
BEGIN
	FOR step IN SELECT line::jsonb || jsonb_build_object('number', number) FROM plan ORDER BY number LOOP
		CALL take(step);
		COMMIT;
	END LOOP;
END \$\$;
\\copy (SELECT line::text FROM log ORDER BY (line ->> 'number')::int) TO '$folder/log' (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')
SQL

is(`$oracle check $data <$folder/log 2>$folder/counts`, '', 'each is judged as python-jsonschema does, and affixed');
note(slurp_file("$folder/counts"));

# COPY is as any INSERT, all rows or none.
my $copied = sub {
	my ($title) = @_;
	my ($status, undef, $error) = $node->psql('postgres', <<"SQL");
\\set VERBOSITY verbose
CREATE TEMP TABLE source AS SELECT jsonb_set(jsonb_set(document, '{id}', to_jsonb('copied.' || n)), '{properties,title}', '"tas"') #- '{properties,base_id}' #- '{properties,version}' AS document, n
  FROM (SELECT (line::jsonb ->> 'sql') AS sql FROM plan WHERE number = 4) p, LATERAL (SELECT substring(sql from '\\\$json\\\$(.*)\\\$json\\\$')::jsonb AS document) d, generate_series(1, 3) n;
UPDATE source SET document = jsonb_set(document, '{properties,title}', '$title') WHERE n = 3;
\\copy (SELECT 'CMIP6', document ->> 'id', document FROM source ORDER BY n) TO '$folder/copy'
\\copy esgf_stac.item (collection_id, id, document) FROM '$folder/copy'
SQL
	return $error =~ /PT400.*stac-validation/s ? 'stac-validation' : $error || 'copied';
};
$node->safe_psql('postgres', q{SELECT esgf_stac.add_schema('https://links.example.org/v1/schema.json', '{"properties": {"properties": {"properties": {"title": {"minLength": 3}}}}}')});
$node->safe_psql('postgres', qq{SELECT esgf_stac.add_schema(line::jsonb ->> 'url', '{}') FROM plan WHERE number <= 3 AND line::jsonb ->> 'url' !~ 'links'});
is($copied->('"t"'), 'stac-validation', 'COPY of what one row is not good for');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.item WHERE id LIKE 'copied%'}), 0, 'brings none');
is($copied->('"tas"'), 'copied', 'else');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.item WHERE id LIKE 'copied%' AND jsonb_array_length(validated_against) = 2}), 3, 'all, and affixes');

$node->stop;
done_testing();
