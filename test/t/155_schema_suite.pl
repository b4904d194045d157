# The official JSON-Schema-Test-Suite, as python-jsonschema's source distribution
# has it: every required test of draft-07, and those of the later drafts that need
# no keyword which is not implemented. What is left out is listed here by name,
# and must really be refused.

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

# References to other documents need a registry.
my $remote = q{outcome ~ '^bad-schema [^:]*/\$ref: "\$ref" leads nowhere: http://localhost:1234/[^ ]* is not known here$'};
is(query("SELECT string_agg(DISTINCT part, E'\\n' ORDER BY part) FROM cases WHERE draft = 'draft7' AND $remote"), join("\n", sort split /\n/, <<'PARTS'), 'draft-07: left to a registry');
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
query("DELETE FROM cases WHERE $remote");
is(query("SELECT string_agg(format('%s: %s: %s: %s', file, part, test, outcome), E'\\n') FROM cases WHERE draft = 'draft7' AND outcome <> expected"), '', 'draft-07: every other required test');

# Of the later drafts: keywords that are not implemented, their metaschemas, and metaschemas of one's own.
is(query(q{DELETE FROM cases WHERE draft <> 'draft7' AND outcome ~ '^bad-schema [^:]*/(unevaluated(Items|Properties)|\$(dynamic|recursive)(Ref|Anchor)): "[^"]*" is not implemented$'
	RETURNING 1}) ne '', 1, 'tests of other keywords are refused');
query(q{DELETE FROM cases WHERE draft <> 'draft7' AND file IN ('defs', 'ref') AND outcome ~ ': "\$ref" leads nowhere: https://json-schema.org/draft/[0-9-]+/schema is not known here$'});
query(q{DELETE FROM cases WHERE draft <> 'draft7' AND file = 'vocabulary' AND outcome LIKE 'bad-schema /$schema: %'});
foreach my $draft ('draft2019-09', 'draft2020-12')
{
	is(query("SELECT string_agg(format('%s: %s: %s: %s', file, part, test, outcome), E'\\n') FROM cases WHERE draft = '$draft' AND outcome <> expected"), '', "$draft: every other required test");
	cmp_ok(query("SELECT count(*) FROM cases WHERE draft = '$draft' AND outcome = expected"), '>', 900, "$draft: how many there are");
}

$node->stop;
done_testing();
