# Schemas and documents of whoever means harm: a cancel is heard within a tenth of
# a second in the midst of any of them, and a session keeps nothing, however many
# documents it judges.
#
# ESGF_STAC_HOSTILE=long judges 1,000,000 documents instead of 30,000.

use strict;
use warnings;

use List::Util qw(max min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $many = ($ENV{ESGF_STAC_HOSTILE} // '') =~ /^long/ ? 1_000_000 : 30_000;
my $late = 0.1;

plan skip_all => 'no /proc here' unless -r '/proc/self/status';

my $node = PostgreSQL::Test::Cluster->new('schema_hostile');
$node->init;
$node->append_conf('postgresql.conf', "shared_buffers = 4MB\nfsync = off\njit = off\nmax_stack_depth = 6MB");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION esgf_stac;
CREATE TABLE hostile (name text PRIMARY KEY, schema jsonb, document jsonb);
ALTER TABLE hostile ALTER schema SET STORAGE EXTERNAL, ALTER document SET STORAGE EXTERNAL;
INSERT INTO hostile VALUES
	('a large enum', jsonb_build_object('enum', (SELECT jsonb_agg('value' || i) FROM generate_series(1, 1000000) i)), '"value99999x"'),
	('enums that are near', jsonb_build_object('items', jsonb_build_object('enum', (SELECT jsonb_agg('value' || i) FROM generate_series(1, 100000) i))), (SELECT jsonb_agg('walue' || i) FROM generate_series(1, 1000) i)),
	('unique elements', '{"uniqueItems": true}', (SELECT jsonb_agg(i || 'x') FROM generate_series(1, 1000000) i)),
	('many problems', '{"items": {"type": "string", "minimum": 9999999}}', (SELECT jsonb_agg(i) FROM generate_series(1, 1000000) i)),
	('many members', '{"propertyNames": {"pattern": "^x\\b"}, "additionalProperties": {"type": "string"}}', (SELECT jsonb_object_agg('key' || i, i) FROM generate_series(1, 200000) i)),
	('many names', '{"propertyNames": {"enum": ["a", "b"]}}', (SELECT jsonb_object_agg('key' || i, i) FROM generate_series(1, 200000) i)),
	('a chain of references', ('{"$ref": "#/definitions/d1", "definitions": {' || (SELECT string_agg(format('"d%s": {"required": ["key%s"], "allOf": [{"$ref": "#/definitions/d%s"}]}', i, i, i + 1), ', ') FROM generate_series(1, 5000) i) || ', "d5001": {}}}')::jsonb, '{}'),
	('a chain of bare references', ('{"$ref": "#/definitions/d1", "definitions": {' || (SELECT string_agg(format('"d%s": {"$ref": "#/definitions/d%s"}', i, i + 1), ', ') FROM generate_series(1, 25000) i) || ', "d25001": {}}}')::jsonb, '{}'),
	('a long URL', (SELECT jsonb_build_object('$id', 'http://example.org/' || repeat('x', 100000), 'properties', jsonb_object_agg('key' || i, '{"$ref": "#"}'::jsonb)) FROM generate_series(1, 20000) i), '1'),
	('deep names', (repeat('{"pattern": "a", "properties": {"' || repeat('x', 1000) || '": ', 1000) || 'true' || repeat('}}', 1000))::jsonb, '1'),
	('a large schema', jsonb_build_object('properties', (SELECT jsonb_object_agg('key' || i, jsonb_build_object('pattern', '^(a|b){' || i % 100 || '}[^c]*$')) FROM generate_series(1, 100000) i)), '{}'),
	('a long string', '{"maxLength": 1, "pattern": "^(a+)+$"}', to_jsonb(repeat('a', 30000000) || 'b')),
	('a long string for the server', '{"pattern": "^(a|aa)+b\\b$"}', to_jsonb(repeat('a', 3000000) || 'é')),
	('a pattern with lookahead', '{"pattern": "(?=(a+)b)c"}', to_jsonb(repeat('a', 20000))),
	('a pattern of many states', '{"pattern": "(a{1,200}){1,200}"}', '"a"'),
	('an exponential automaton', '{"pattern": "(a|b)*a(a|b){14}c"}', (SELECT to_jsonb(string_agg(md5(i::text), '')) FROM generate_series(1, 100000) i)),
	('long numbers', ('{"multipleOf": 0.' || repeat('7', 16000) || '}')::jsonb, '1e131071'),
	('doubled references', ('{"$ref": "#/definitions/a0", "definitions": {' || (SELECT string_agg(format('"a%s": {"items": {"anyOf": [{"$ref": "#/definitions/a%s"}, {"not": {"$ref": "#/definitions/a%s"}}]}}', i, i + 1, i + 1), ', ') FROM generate_series(0, 99) i) || ', "a100": {}}}')::jsonb,
		(SELECT (repeat('[1, ', 100) || string_agg(i::text, ', ') || repeat(', 2]', 100))::jsonb FROM generate_series(1, 100000) i)),
	('nested unions', '{"properties": {"a": {"oneOf": [{"$ref": "#"}, {"required": ["b"], "$comment": "x", "properties": {"a": {"$ref": "#"}}}]}}, "required": ["c"]}', (repeat('{"a": ', 3000) || '1' || repeat('}', 3000))::jsonb),
	('deep', '{"items": {"$ref": "#"}, "maxItems": 0, "uniqueItems": true}', (repeat('[1, ', 5000) || '1' || repeat(']', 5000))::jsonb);
SQL

# Cancel judging after some milliseconds each: how much processor time it took
# after them, in seconds, which is never more than it was late.
sub lateness
{
	my ($statement, @timeouts) = @_;
	my $script = "SET client_min_messages = log;\nSET log_statement_stats = on;\n";
	foreach my $timeout (@timeouts)
	{
		$script .= <<"SQL";
SET statement_timeout = $timeout;
\\warn BEGIN $timeout
$statement \\g /dev/null
\\warn ERROR :SQLSTATE
RESET statement_timeout;
SQL
	}
	my ($stdout, $stderr) = ('', '');
	$node->psql('postgres', $script, stdout => \$stdout, stderr => \$stderr, on_error_stop => 0);
	my $total = qr/!\s+\[([\d.]+) s user, ([\d.]+) s system total\]/;
	my ($before, @attempts) = split /^BEGIN /m, $stderr;
	my ($cancelled, $worst, $said) = (0, 0, '');
	foreach my $attempt (@attempts)
	{
		my @before = $before =~ /.*$total/s;
		my @after = $attempt =~ /$total/;
		my ($timeout) = $attempt =~ /^(\d+)/;
		($said) = $attempt =~ /^ERROR (\w+)$/m;
		if ($said eq '57014')
		{
			$cancelled++;
			$worst = max($worst, $after[0] + $after[1] - $before[0] - $before[1] - $timeout / 1000);
		}
		$before = $attempt;
	}
	return ($worst, $cancelled, $said);
}

my %statements = map { ($_ => "SELECT count(*) FROM hostile, esgf_stac.jsonb_schema_problems(schema, document) WHERE name = '$_'") } split /\n/, $node->safe_psql('postgres', 'SELECT name FROM hostile');

# The registry: what is registered, draws on others, or makes others look whether all is there.
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
SELECT esgf_stac.create_catalogue();
SELECT count(esgf_stac.add_schema('https://x.org/drawing' || i, '{"items": {"$ref": "base#/definitions/d"}}')) FROM generate_series(1, 300) i;
SELECT esgf_stac.add_schema('https://x.org/base', ('{"definitions": {' || (SELECT string_agg(format('"d%s": {"type": ["null", "string"]}', i), ', ') FROM generate_series(1, 3000) i) || ', "d": {}}}')::jsonb);
SQL
$statements{'registering a large schema'} = "SELECT esgf_stac.add_schema('https://x.org/large', schema) FROM hostile WHERE name = 'a large schema'";
$statements{'registering what others draw on'} = q{SELECT esgf_stac.add_schema('https://x.org/base', document || '{"title": "x"}') FROM esgf_stac.schema WHERE url = 'https://x.org/base' ORDER BY revision DESC LIMIT 1};
$statements{'registering what draws on many'} = q{SELECT esgf_stac.add_schema('https://x.org/all', (SELECT jsonb_build_object('anyOf', jsonb_agg(jsonb_build_object('$ref', 'drawing' || i))) FROM generate_series(1, 300) i))};

my $cancelled_at_all = 0;
foreach my $name (sort keys %statements)
{
	my ($worst, $cancelled, $said) = lateness($statements{$name}, 2, 10, 50, 100, 200, 600_000);
	# What seems late is tried again.
	$worst = min($worst, (lateness($statements{$name}, 2, 10, 50, 100, 200))[0]) if $worst > $late;
	cmp_ok($worst, '<', $late, "$name: a cancel is heard");
	like($said, qr/^(00000|PT400|54001)$/, "$name: an answer or a clear error");
	note sprintf '%-30s cancelled %d times, the worst %.3f s late; in the end %s', $name, $cancelled, $worst, $said;
	$cancelled_at_all += $cancelled;
}
cmp_ok($cancelled_at_all, '>', 15, 'some were cancelled');

# Nor is there ever much of it in use, in kB.
my $peak = 'SELECT substring(pg_read_file(\'/proc/self/status\') FROM \'VmHWM:\s+(\d+) kB\')::int';
foreach my $name ('many names', 'a chain of references', 'a long URL', 'deep names')
{
	my (undef, $out) = $node->psql('postgres', "SELECT count(*) FROM esgf_stac.jsonb_schema_problems('false', (SELECT to_jsonb(hostile) FROM hostile WHERE name = '$name'));
		$peak; SELECT count(*) FROM hostile, esgf_stac.jsonb_schema_problems(schema, document) WHERE name = '$name'; $peak", on_error_stop => 0);
	my @lines = split /\n/, $out;
	cmp_ok($lines[-1] - $lines[1], '<', 120 * 1024, "$name: memory") or diag("@lines");
}

# What a session has in memory after each of some loops, in kB.
my @resident = split /\n/, $node->safe_psql('postgres', <<"SQL");
CREATE FUNCTION resident() RETURNS int LANGUAGE sql AS \$\$ SELECT substring(pg_read_file('/proc/self/status') FROM 'VmRSS:\\s+(\\d+) kB')::int \$\$;
CREATE FUNCTION judge(times int) RETURNS int LANGUAGE plpgsql AS \$\$
DECLARE
	schema jsonb;
	answer text;
BEGIN
	FOR i IN 1 .. times LOOP
		answer := esgf_stac.jsonb_schema_valid('{"required": ["a"], "properties": {"a": {"pattern": "^x+é?\$"}, "b": {"multipleOf": 0.01}, "c": {"uniqueItems": true}, "d": {"enum": [1, [2], "x"]}}}',
			jsonb_build_object('a', 'xxé', 'b', i / 100.0, 'c', '[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]'::jsonb, 'd', '[2]'::jsonb));
		CONTINUE WHEN i % 10 > 0;
		-- Other schemas, some of which are none; and problems.
		schema := jsonb_build_object('items', jsonb_build_object('pattern', CASE i % 70 WHEN 0 THEN '(' ELSE '^é+b' || i % 700 END), 'anyOf', '[{"minItems": 9}, {"type": "array", "maxItems": 1}]'::jsonb);
		BEGIN
			answer := (SELECT count(*) FROM esgf_stac.jsonb_schema_problems(schema, '["ééb10", 2, "c"]'));
		EXCEPTION WHEN SQLSTATE 'PT400' THEN
			answer := 'none';
		END;
	END LOOP;
	RETURN resident();
END \$\$;
SELECT judge(20000);
SELECT judge($many);
SQL
cmp_ok($resident[1] - $resident[0], '<', 4096, "nothing is kept of $many documents") or diag("@resident");

$node->stop;
done_testing();
