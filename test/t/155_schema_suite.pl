# The official JSON-Schema-Test-Suite, as python-jsonschema's source distribution
# has it: every required test of draft-07, and those of the later drafts that need
# no keyword which is not implemented; those with references to other documents by
# way of the registry; and the optional tests of formats that can be asserted. What
# is left out is listed here by name, and must really be refused.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PythonTest;
use Test::More;

my ($source, $why) = python_source('jsonschema==4.26.0');
plan skip_all => $why if !$source;

my $node = PostgreSQL::Test::Cluster->new('schema_suite');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\njit = off");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION esgf_stac;
-- What becomes of a document: the verdict, if the rows agree with it, each once; or the refusal.
CREATE FUNCTION outcome(schema jsonb, document jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	slug text;
	details text;
	verdict boolean;
BEGIN
	verdict := esgf_stac.jsonb_schema_valid(schema, document);
	IF (SELECT count(*) = 0 IS DISTINCT FROM verdict OR count(*) <> count(DISTINCT (pointer, keyword, detail)) FROM esgf_stac.jsonb_schema_problems(schema, document)) THEN
		RETURN 'rows that say something else';
	END IF;
	RETURN verdict;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS slug = CONSTRAINT_NAME, details = PG_EXCEPTION_DETAIL;
	RETURN slug || ' ' || details;
END $$;
CREATE TABLE cases (draft text, file text, part text, test text, schema jsonb, document jsonb, expected text, outcome text);
SQL

# No jsonb holds the character NUL: it is marked, and its tests are not counted.
my $nul = '<NUL>';
foreach my $draft (qw(draft7 draft2019-09 draft2020-12))
{
	foreach my $path (glob "$source/json/tests/$draft/*.json")
	{
		my ($file) = $path =~ m{([^/]+)\.json$};
		my $text = slurp_file($path) =~ s/\\u0000/$nul/gr;
		$node->safe_psql('postgres', "INSERT INTO cases SELECT '$draft', '$file', part ->> 'description', test ->> 'description', part -> 'schema', test -> 'data', test ->> 'valid'
			FROM jsonb_array_elements(\$suite\$$text\$suite\$) part, jsonb_array_elements(part -> 'tests') test");
	}
}
$node->safe_psql('postgres', 'UPDATE cases SET outcome = outcome(schema, document)');

sub query { return $node->safe_psql('postgres', @_) }

is(query("SELECT string_agg(file || ': ' || test, E'\\n' ORDER BY file, test) FROM cases WHERE draft = 'draft7' AND concat(schema, document) ~ '$nul'"),
	join("\n", map { ("$_: do not match string lacking nul", "$_: match string with nul") } qw(const enum)), 'four tests have what no jsonb can');
query("DELETE FROM cases WHERE concat(schema, document) ~ '$nul'");
cmp_ok(query("SELECT count(*) FROM cases WHERE draft = 'draft7'"), '>', 900, 'draft-07 is there');

# References to other documents need the registry, where they have the URLs of the suite.
my $remote = q{outcome ~ '^bad-schema [^:]*/\$ref: "\$ref" leads nowhere: http://localhost:1234/[^ ]* is not known here$'};
is(query("SELECT string_agg(DISTINCT part, E'\\n' ORDER BY part) FROM cases WHERE draft = 'draft7' AND $remote"), join("\n", sort split /\n/, <<'PARTS'), 'draft-07: left to the registry');
$ref to $ref finds location-independent $id
Location-independent identifier in remote ref
base URI change
base URI change - change folder
base URI change - change folder in subschema
fragment within remote ref
ref within remote ref
remote ref
remote ref with ref to definitions
retrieved nested refs resolve relative to their URI not $id
root ref in remote ref
PARTS
is(query("SELECT count(*) FROM cases WHERE draft = 'draft7' AND file <> 'refRemote' AND $remote"), 0, 'all of them in the tests of remote references');
query(<<'SQL');
SELECT esgf_stac.create_catalogue();
CREATE FUNCTION registered_outcome(url text, schema jsonb, document jsonb, assert_formats boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	slug text;
	details text;
BEGIN
	PERFORM esgf_stac.add_schema(url, schema, assert_formats => assert_formats);
	RETURN (SELECT count(*) = 0 FROM esgf_stac.schema_problems(url, document))::text;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS slug = CONSTRAINT_NAME, details = PG_EXCEPTION_DETAIL;
	RETURN slug || ' ' || details;
END $$;
SQL
my @refused;
foreach my $path (map { glob "$source/json/remotes/$_" } '*.json', '{base,nested}*/*.json', map { ("$_/*.json", "$_/*/*.json") } qw(draft7 draft2019-09 draft2020-12))
{
	my ($name) = $path =~ m{/remotes/(.*)$};
	my (undef, undef, $stderr) = $node->psql('postgres', "SELECT esgf_stac.add_schema('http://localhost:1234/$name', \$suite\$" . slurp_file($path) . '$suite$)');
	push @refused, $name if $stderr =~ /^psql:.* ERROR:  schema is not well-formed/m;
}
is(join(' ', @refused), join(' ', split ' ', <<'REFUSED'), 'documents that need other keywords');
extendible-dynamic-ref.json locationIndependentIdentifier.json tree.json
draft7/ignore-dependentRequired.json
draft2019-09/extendible-dynamic-ref.json draft2019-09/ignore-prefixItems.json draft2019-09/metaschema-no-validation.json
draft2019-09/metaschema-optional-vocabulary.json draft2019-09/tree.json
draft2020-12/detached-dynamicref.json draft2020-12/extendible-dynamic-ref.json draft2020-12/format-assertion-false.json draft2020-12/format-assertion-true.json
draft2020-12/metaschema-no-validation.json draft2020-12/metaschema-optional-vocabulary.json draft2020-12/tree.json
REFUSED
query("SET client_min_messages = warning; UPDATE cases SET outcome = registered_outcome('http://example.org/' || draft || '/' || md5(schema::text), schema, document) WHERE $remote");
is(query("SELECT string_agg(format('%s: %s: %s: %s', file, part, test, outcome), E'\\n') FROM cases WHERE draft = 'draft7' AND outcome <> expected"), '', 'draft-07: every required test');

# Formats, which a registered schema may assert.
foreach my $format (qw(uri uri-reference iri iri-reference date-time date))
{
	foreach my $draft (qw(draft7 draft2019-09 draft2020-12))
	{
		$node->safe_psql('postgres', "INSERT INTO cases SELECT 'formats', '$format', '$draft', test ->> 'description', part -> 'schema', test -> 'data', test ->> 'valid'
			FROM jsonb_array_elements(\$suite\$" . slurp_file("$source/json/tests/$draft/optional/format/$format.json") . "\$suite\$) part, jsonb_array_elements(part -> 'tests') test");
	}
}
query("UPDATE cases SET outcome = registered_outcome('http://example.org/formats/' || part || '/' || file, schema, document, true) WHERE draft = 'formats'");
is(query("SELECT string_agg(format('%s: %s: %s: %s', part, file, test, outcome), E'\\n') FROM cases WHERE draft = 'formats' AND outcome <> expected"), '', 'every optional test of these formats');
cmp_ok(query("SELECT count(*) FROM cases WHERE draft = 'formats' AND expected = 'false'"), '>', 100, 'which forbid something');

# Of the later drafts: keywords that are not implemented, their metaschemas, and metaschemas of one's own.
is(query(q{DELETE FROM cases WHERE draft <> 'draft7' AND outcome ~ '^bad-schema [^:]*/(unevaluated(Items|Properties)|\$(dynamic|recursive)(Ref|Anchor)): "[^"]*" is not implemented$'
	RETURNING 1}) ne '', 1, 'tests of other keywords are refused');
query(q{DELETE FROM cases WHERE draft <> 'draft7' AND file IN ('defs', 'ref') AND outcome ~ ': "\$ref" leads nowhere: https://json-schema.org/draft/[0-9-]+/schema is not known here$'});
# A document of no draft is of draft-07, in which nothing counts beside a reference.
query(q{DELETE FROM cases WHERE draft <> 'draft7' AND file = 'refRemote' AND outcome ~ '"\$ref" in http://localhost:1234/nested-absolute-ref-to-string.json leads nowhere: http://localhost:1234/the-nested-id.json is not registered$'});
query(q{DELETE FROM cases WHERE draft <> 'draft7' AND file = 'dynamicRef' AND outcome ~ ': "\$ref" leads nowhere: http://localhost:1234/draft2020-12/detached-dynamicref.json#/\$defs/foo is not registered$'});
query(q{DELETE FROM cases WHERE draft <> 'draft7' AND file = 'vocabulary' AND outcome LIKE 'bad-schema /$schema: %'});
foreach my $draft ('draft2019-09', 'draft2020-12')
{
	is(query("SELECT string_agg(format('%s: %s: %s: %s', file, part, test, outcome), E'\\n') FROM cases WHERE draft = '$draft' AND outcome <> expected"), '', "$draft: every other required test");
	cmp_ok(query("SELECT count(*) FROM cases WHERE draft = '$draft' AND outcome = expected"), '>', 900, "$draft: how many there are");
}

$node->stop;
done_testing();
