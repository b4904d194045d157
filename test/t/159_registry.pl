# Schemas that are registered: dumped and restored, closed until adopted; many of
# them, large ones, rows that a superuser has put there; and a session that keeps
# nothing, however many documents it judges and schemas it registers.
#
# ESGF_STAC_HOSTILE=long registers 10,000 schemas instead of 1,000, and judges
# 1,000,000 documents instead of 30,000.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $long = ($ENV{ESGF_STAC_HOSTILE} // '') =~ /^long/;
my $schemas = $long ? 10_000 : 1_000;
my $documents = $long ? 1_000_000 : 30_000;

my $node = PostgreSQL::Test::Cluster->new('registry');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\njit = off\nclient_min_messages = warning");
$node->start;

sub query { return $node->safe_psql('postgres', @_) }
sub said { my (undef, undef, $stderr) = $node->psql('postgres', $_[0], extra_params => [ '-v', 'VERBOSITY=verbose' ]); return $stderr; }

query(<<'SQL');
CREATE EXTENSION esgf_stac;
SELECT esgf_stac.create_catalogue();
-- Two that need each other, one that draws on both, and one in force no more.
SELECT esgf_stac.add_schema('https://x.org/common', '{"properties": {"bands": {"$ref": "bands"}}}', '1'),
       esgf_stac.add_schema('https://x.org/bands', '{"items": {"$ref": "common"}, "type": "array"}'),
       esgf_stac.add_schema('https://x.org/item', '{"properties": {"properties": {"$ref": "common"}, "link": {"format": "uri"}}}', assert_formats => true),
       esgf_stac.add_schema('https://x.org/item', 'false'), esgf_stac.retire_schema('https://x.org/item', 2);
SQL

# A dump has them, and what hangs on the table comes back.
my $rows = q{SELECT string_agg(s::text, E'\n' ORDER BY url, revision) FROM esgf_stac.schema s};
my $asked = q{SELECT pointer, keyword FROM esgf_stac.schema_problems('https://x.org/item', '{"properties": {"bands": [{"bands": {}}]}, "link": "x"}') ORDER BY 1};
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'a dump');
query('CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ], 'is restored');
is($node->safe_psql('restored', $rows), query($rows), 'with every row');
is($node->safe_psql('restored', $asked), "/link|format\n/properties/bands/0/bands|type", 'which judge');
$node->safe_psql('restored', 'UPDATE esgf_stac.catalogue SET system_identifier = 1');

foreach my $statement (q{SELECT esgf_stac.add_schema('https://x.org/a', '{}')}, q{SELECT esgf_stac.retire_schema('https://x.org/item', 1)})
{
	my (undef, undef, $stderr) = $node->psql('restored', $statement);
	like($stderr, qr/comes from another cluster/, "closed until it is adopted: $statement");
}
is($node->safe_psql('restored', $asked), "/link|format\n/properties/bands/0/bands|type", 'while readers ask on');
is($node->safe_psql('restored', q{SELECT esgf_stac.adopt_catalogue(); SELECT esgf_stac.add_schema('https://x.org/a', '{}')}), "\n1", 'then it is open');

# What a superuser puts there against all triggers is an error where it is asked, and nowhere else.
query(<<'SQL');
SET session_replication_role = replica;
INSERT INTO esgf_stac.schema SELECT url, revision, document, sha256(''), NULL, false, now(), '', NULL
  FROM (VALUES ('https://x.org/text', 1, '"x"'::jsonb), ('https://x.org/type', 1, '{"type": "text", "$ref": 5}'), ('no URL', 1, '{}'),
               ('https://x.org/circle', 1, '{"allOf": [{"$ref": "circle"}]}'), ('https://x.org/gap', 1, '{"items": {"$ref": "common#/definitions/none"}}'),
               ('https://x.org/draws', 1, '{"items": [{"$ref": "type"}, {"$ref": "gap"}]}'), ('https://x.org/' || repeat('x', 2100), 1, '{}')) AS v(url, revision, document);
SQL
foreach my $url ('https://x.org/text', 'https://x.org/type', 'https://x.org/circle', 'https://x.org/gap', 'https://x.org/draws')
{
	like(said("SELECT esgf_stac.schema_problems('$url', '1')"), qr/^psql:\S+ ERROR:  PT400: .*\nDETAIL: .*^CONSTRAINT NAME:  bad-schema$/ms, "a row by hand: $url");
}
is(query(q{SELECT count(*) FROM esgf_stac.schema_problems('no URL', '1')}), 0, 'whatever the URL is');
like(said(q{SELECT esgf_stac.schema_problems('https://x.org/' || repeat('x', 2100), '1')}), qr/schema-does-not-exist/, 'unless it is longer than one can be');
is(query($asked), "/link|format\n/properties/bands/0/bands|type", 'others judge on');
is(query(q{SELECT string_agg(subject, ' ' ORDER BY subject) FROM esgf_stac.doctor() WHERE hazard = 'schema'}),
	'https://x.org/circle https://x.org/draws https://x.org/gap', 'doctor names those that refer to what is not there, or to themselves');
like(said(q{SELECT esgf_stac.add_schema('https://x.org/new', '{}')}), qr/https:\/\/x\.org\/gap refers at \/items\/\$ref to https:\/\/x\.org\/common#\/definitions\/none/, 'and nothing is registered until they are gone');
query(q{SET session_replication_role = replica; DELETE FROM esgf_stac.schema WHERE added_by = ''});

# Large documents.
like(said(q{SELECT esgf_stac.add_schema('https://x.org/33', jsonb_build_object('title', repeat('x', 33 * 1024 * 1024)))}), qr/^psql:\S+ ERROR:  PT413: .*^CONSTRAINT NAME:  document-too-large$/ms, '33 MB');
is(query(q{SELECT esgf_stac.add_schema('https://x.org/20', (SELECT jsonb_build_object('enum', jsonb_agg(i || repeat('x', 190))) FROM generate_series(1, 100000) i));
	SELECT detail LIKE '%did you mean%' FROM esgf_stac.schema_problems('https://x.org/20', to_jsonb('99999' || repeat('x', 189)))}), "1\nt", '20 MB');

# Many schemas; and one that draws on many. What a session has in memory of its own after each, in kB.
my $draws = $schemas / 10;
my @kept = split /\n/, query(<<"SQL");
CREATE FUNCTION own() RETURNS int LANGUAGE sql AS \$\$ SELECT substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\\s+(\\d+) kB')::int \$\$;
CREATE FUNCTION register(path text, first int, last int) RETURNS int LANGUAGE plpgsql AS \$\$
BEGIN
	FOR i IN first .. last LOOP
		PERFORM esgf_stac.add_schema('https://x.org/' || path || i, jsonb_build_object('enum', (SELECT jsonb_agg(i || '-' || j) FROM generate_series(1, 100) j)));
	END LOOP;
	RETURN own();
END \$\$;
CREATE FUNCTION revise(times int) RETURNS int LANGUAGE plpgsql AS \$\$
BEGIN
	FOR i IN 1 .. times LOOP
		PERFORM esgf_stac.add_schema('https://x.org/common', jsonb_build_object('title', i::text, 'properties', '{"bands": {"\$ref": "bands"}}'::jsonb));
		PERFORM esgf_stac.schema_problems('https://x.org/' || path, '{"properties": {"bands": [{"bands": {}}]}}') FROM unnest('{item,bands,common}'::text[]) path;
		BEGIN
			PERFORM esgf_stac.add_schema('https://x.org/common', '{"type": "text"}');
		EXCEPTION WHEN SQLSTATE 'PT400' THEN
			NULL;
		END;
	END LOOP;
	RETURN own();
END \$\$;
CREATE FUNCTION judge(times int) RETURNS int LANGUAGE plpgsql AS \$\$
DECLARE
	answer text;
BEGIN
	FOR i IN 1 .. times LOOP
		answer := (SELECT count(*) FROM esgf_stac.schema_problems('https://x.org/many' || i % 50 + 1, '"x"'));
		CONTINUE WHEN i % 20 > 0;
		answer := (SELECT count(*) FROM esgf_stac.schema_problems('https://x.org/item', '{"properties": {"bands": [{"bands": {}}]}, "link": "x"}'));
		BEGIN
			PERFORM esgf_stac.schema_problems('https://x.org/none' || i, '1');
		EXCEPTION WHEN SQLSTATE 'PT404' THEN
			NULL;
		END;
	END LOOP;
	RETURN own();
END \$\$;
SELECT register('many', 1, 100);
SELECT register('many', 101, $schemas);
SELECT revise(20);
SELECT revise($schemas / 5);
SELECT judge(20000);
SELECT judge($documents);
SQL
cmp_ok($kept[1] - $kept[0], '<', 4096, "nothing is kept of $schemas schemas that were registered");
cmp_ok($kept[3] - $kept[2], '<', 4096, 'nor of many revisions that judged');
cmp_ok($kept[5] - $kept[4], '<', 4096, "nor of $documents documents");
note "@kept";
is(query(qq{SELECT esgf_stac.add_schema('https://x.org/all', (SELECT jsonb_build_object('anyOf', jsonb_agg(jsonb_build_object('\$ref', 'many' || i))) FROM generate_series(1, $draws) i));
	SELECT count(*) FROM esgf_stac.schema_problems('https://x.org/all', '"$draws-100"'); SELECT count(*) FROM esgf_stac.schema_problems('https://x.org/all', '"x"')}), "1\n0\n1", "one that draws on $draws");

$node->stop;
done_testing();
