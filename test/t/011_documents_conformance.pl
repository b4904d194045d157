
# The public conformance suite for JSON patch, where it is present: every
# enabled record, errors included.
use strict;
use warnings;

use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $suite = dirname(__FILE__) . '/../../../shared/data/json-patch-tests';

plan skip_all => "no $suite" unless -d $suite;

my $node = PostgreSQL::Test::Cluster->new('conformance');
$node->init;
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION esgf_stac;
	CREATE FUNCTION outcome(target jsonb, operations jsonb) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		slug text;
	BEGIN
		RETURN esgf_stac.jsonb_patch(target, operations);
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS slug = CONSTRAINT_NAME;
		RETURN slug;
	END $$;
});

foreach my $file (sort glob "$suite/*tests.json")
{
	my $records = slurp_file($file);
	my $name = $file =~ s/.*\///r;

	is($node->safe_psql(
			'postgres', qq{
			SELECT coalesce(r ->> 'comment', r ->> 'patch'), o
			  FROM jsonb_array_elements(\$suite\$$records\$suite\$) r,
				   outcome(r -> 'doc', r -> 'patch') o
			 WHERE r -> 'disabled' IS DISTINCT FROM 'true'
			   AND CASE WHEN r ? 'error' THEN o IS NULL OR o NOT IN ('bad-patch', 'patch-does-not-apply')
						ELSE o IS DISTINCT FROM coalesce(r -> 'expected', r -> 'doc')::text END}),
		'', "$name: every enabled record");
	cmp_ok(
		$node->safe_psql('postgres', "SELECT jsonb_array_length(\$suite\$$records\$suite\$)"),
		'>', 10, "$name: read");
}

$node->stop;
done_testing();
