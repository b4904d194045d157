# Every verb takes documents of every shape that a caller may think of. Twice the
# document costs no more than three times the processor's time, memory is less
# than 40 times the document, and a cancel is heard in the midst of it.
#
# The short form has documents of 250 and 500 KB; with ESGF_STAC_HOSTILE=long they
# have 1, 2, 4 and 8 MB. Words behind it choose shapes: "long links assets".
#
# Processor time and memory are the backend's own: neither depends on who else
# uses the machine. What seems too slow is measured again, and the least counts.

use strict;
use warnings;

use List::Util qw(max min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($form, @chosen) = split ' ', $ENV{ESGF_STAC_HOSTILE} // 'short';
my @sizes = $form eq 'long' ? (1, 2, 4, 8) : (0.25, 0.5);
my $mb = 1_000_000;

my @shapes = qw(members deep links bare_links repeated_links alternates assets small_assets replicas scattered institutions one_institution roles extensions positions numbers large_numbers string keys);
my @operations = qw(add_members add_elements add_assets add_alternates test move copy doubled_remove);

# Times shorter than that say nothing about growth, nor does memory: the server's buffers and caches.
my $least_time = 0.02;
my $fixed_memory = 8 * $mb;

# A cancel is heard within a tenth of a second; statements are cancelled after so many milliseconds.
my $late = 0.1;
my $cancel_size = $form eq 'long' ? 8 : 1;
my @timeouts = $form eq 'long' ? (1, 3, 10, 20, 40, 80, 160, 320, 640) : (5, 20);

plan skip_all => 'no /proc here' unless -w "/proc/$$/clear_refs";

my $node = PostgreSQL::Test::Cluster->new('hostile');
$node->init;
# Shared memory that a backend touches counts as its own.
$node->append_conf('postgresql.conf', join "\n", 'shared_buffers = 4MB', 'fsync = off', 'synchronous_commit = off', 'autovacuum = off',
	'wal_level = minimal', 'max_wal_senders = 0', 'max_wal_size = 4GB', 'log_min_messages = panic', 'jit = off', '');
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION esgf_stac;
SELECT esgf_stac.create_catalogue();
SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "C", "description": "c", "license": "MIT", "links": [],
	"extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[null, null]]}}}');
SELECT esgf_stac.configure_collection('C', '{"max_document_bytes": 268435456}');
CREATE ROLE nobody_much IN ROLE esgf_stac_writer;
CREATE SCHEMA hostile;
GRANT USAGE ON SCHEMA hostile TO PUBLIC;

-- An item of a shape, of about so many bytes; no string in it is one of another variant's.
CREATE FUNCTION hostile.document(shape text, id text, bytes int, variant int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	base jsonb := jsonb_build_object('type', 'Feature', 'stac_version', '1.1.0', 'id', id, 'collection', 'C', 'geometry', null, 'links', '[]'::jsonb, 'assets', '{}'::jsonb,
		'properties', '{"datetime": "1850-01-01T00:00:00Z", "c:institution_id": "I"}'::jsonb);
	file jsonb := jsonb_build_object('href', 'h' || variant, 'roles', '["data"]'::jsonb, 'alternate:name', 'n0');
	v text := variant;
BEGIN
	RETURN CASE shape
		WHEN 'members' THEN jsonb_set(base, '{properties}', (base -> 'properties') || (SELECT jsonb_object_agg('k' || i, v || i) FROM generate_series(1, bytes / 22) i))
		WHEN 'deep' THEN jsonb_set(base, '{properties,x}', (SELECT jsonb_agg((repeat('[{"a":', 500) || i || v || repeat('}]', 500))::jsonb) FROM generate_series(1, bytes / 4500) i))
		WHEN 'links' THEN jsonb_set(base, '{links}', (SELECT jsonb_agg(jsonb_build_object('rel', 'x', 'href', v || i)) FROM generate_series(1, bytes / 34) i))
		WHEN 'bare_links' THEN jsonb_set(base, '{links}', (SELECT jsonb_agg(v || i) FROM generate_series(1, bytes / 11) i))
		WHEN 'repeated_links' THEN jsonb_set(base, '{links}', (SELECT jsonb_agg(jsonb_build_object('rel', 'x', 'href', v || (i % 1000))) FROM generate_series(1, bytes / 32) i))
		WHEN 'alternates' THEN jsonb_set(base, '{assets,f}', file || jsonb_build_object('alternate',
			(SELECT jsonb_object_agg('n' || i, jsonb_build_object('href', v || i, 'alternate:name', 'n' || i)) FROM generate_series(1, bytes / 55) i)))
		WHEN 'assets' THEN jsonb_set(base, '{assets}', (SELECT jsonb_object_agg('f' || i, file) FROM generate_series(1, bytes / 80) i))
		WHEN 'small_assets' THEN jsonb_set(base, '{assets}', (SELECT jsonb_object_agg(i, jsonb_build_object('href', v)) FROM generate_series(1, bytes / 24) i))
		WHEN 'replicas' THEN jsonb_set(base, '{assets}', (SELECT jsonb_object_agg('f' || i, file || jsonb_build_object('alternate',
			(SELECT jsonb_object_agg('n' || n, jsonb_build_object('href', v || i, 'alternate:name', 'n' || n)) FROM generate_series(1, 4) n))) FROM generate_series(1, bytes / 300) i))
		WHEN 'scattered' THEN jsonb_set(base, '{assets}', (SELECT jsonb_object_agg('f' || i, file || jsonb_build_object('alternate:name', 'n' || (i % 900 + variant))) FROM generate_series(1, bytes / 80) i))
		WHEN 'institutions' THEN jsonb_set(base, '{properties,c:institution_id}', (SELECT jsonb_agg(v || i) FROM generate_series(1, bytes / 11) i))
		WHEN 'one_institution' THEN jsonb_set(base, '{properties,c:institution_id}', (SELECT jsonb_agg('I'::text) FROM generate_series(1, bytes / 5) i))
		WHEN 'roles' THEN jsonb_set(base, '{assets,f}', file || jsonb_build_object('roles', (SELECT jsonb_agg(v || i) FROM generate_series(1, bytes / 11) i)))
		WHEN 'extensions' THEN jsonb_set(base, '{stac_extensions}', (SELECT jsonb_agg('https://x/' || v || i) FROM generate_series(1, bytes / 21) i))
		WHEN 'positions' THEN base || jsonb_build_object('bbox', '[0, 0, 1, 1]'::jsonb, 'geometry', jsonb_build_object('type', 'LineString', 'coordinates', (SELECT jsonb_agg(jsonb_build_array(i, variant)) FROM generate_series(1, bytes / 13) i)))
		WHEN 'numbers' THEN jsonb_set(base, '{properties,x}', (SELECT jsonb_agg(i % 1000 + variant) FROM generate_series(1, bytes / 5) i))
		WHEN 'large_numbers' THEN jsonb_set(base, '{properties,x}', (SELECT jsonb_agg(1e131071 + variant) FROM generate_series(1, bytes / 131072) i))
		WHEN 'string' THEN jsonb_set(base, '{properties,x}', to_jsonb(repeat(E'\x01' || v, bytes / 7)))
		WHEN 'keys' THEN jsonb_set(base, '{properties,x}', (SELECT jsonb_object_agg(repeat('k', 500) || v || i, '{}'::jsonb) FROM generate_series(1, bytes / 515) i))
	END;
END $$;
CREATE FUNCTION hostile.operations(shape text, bytes int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_agg(CASE shape
		WHEN 'add_members' THEN jsonb_build_object('op', 'add', 'path', '/properties/k' || i, 'value', i)
		WHEN 'add_elements' THEN jsonb_build_object('op', 'add', 'path', '/links/0', 'value', '{"rel": "x", "href": "h"}'::jsonb)
		WHEN 'add_assets' THEN jsonb_build_object('op', 'add', 'path', '/assets/f' || i, 'value', '{"href": "h"}'::jsonb)
		WHEN 'add_alternates' THEN jsonb_build_object('op', 'add', 'path', '/assets/f/alternate/n' || i % 900, 'value', jsonb_build_object('href', i, 'alternate:name', 'n' || i % 900))
		WHEN 'test' THEN '{"op": "test", "path": "/properties/datetime", "value": "1850-01-01T00:00:00Z"}'
		WHEN 'move' THEN jsonb_build_object('op', 'move', 'from', CASE WHEN i % 2 = 1 THEN '/properties/a' ELSE '/properties/b' END, 'path', CASE WHEN i % 2 = 1 THEN '/properties/b' ELSE '/properties/a' END)
		WHEN 'copy' THEN jsonb_build_object('op', 'copy', 'from', '/properties/datetime', 'path', '/properties/k' || i)
		WHEN 'doubled_remove' THEN CASE WHEN i % 2 = 1 THEN jsonb_build_object('op', 'remove', 'path', '/links/0') ELSE jsonb_build_object('op', 'add', 'path', '/links/0', 'value', null) END
		END ORDER BY i) FROM generate_series(1, 2 * (bytes / 90)) i $$;

-- What becomes of a statement: its SQLSTATE, or what it answers.
CREATE FUNCTION hostile.tried(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE statement INTO answer;
	RETURN left(coalesce(answer, ''), 40);
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
CREATE FUNCTION hostile.resident(what text) RETURNS bigint LANGUAGE sql AS $$
	SELECT substring(pg_read_file('/proc/self/status') FROM what || ':\s+(\d+) kB')::bigint * 1024 $$;
-- All that is sent stands here as it is sent: what makes it is not measured.
CREATE TABLE hostile.source (document jsonb, other jsonb, next jsonb, imported jsonb, alternates jsonb, patch jsonb, operations jsonb, request jsonb, requests jsonb);
GRANT SELECT ON hostile.source TO PUBLIC;
SQL

# What is done with a document, in this order: name => statement, or role: statement.
my @verbs = (
	validate => 'SELECT count(*) FROM hostile.source, esgf_stac.validate_item(document)',
	refused_create => q{nobody_much: SELECT esgf_stac.create_item('C', document) FROM hostile.source},
	explain => q{SELECT count(*) FROM hostile.source, esgf_stac.explain_access(request, '{"sub": "x"}')},
	create => q{SELECT esgf_stac.create_item('C', document) FROM hostile.source},
	small_patch => q{SELECT esgf_stac.patch_item('C', 'big.v1', '{"properties": {"title": "t"}}')},
	append_link => q{SELECT esgf_stac.patch_item('C', 'big.v1', '[{"op": "add", "path": "/links/-", "value": {"rel": "cite-as", "href": "h"}}]')},
	refused_patch => q{nobody_much: SELECT esgf_stac.patch_item('C', 'small.v1', patch) FROM hostile.source},
	merge_patch => q{SELECT esgf_stac.patch_item('C', 'small.v1', patch) FROM hostile.source},
	add_replica => q{SELECT esgf_stac.add_replica('C', 'big.v1', 'new', alternates) FROM hostile.source},
	remove_primary => q{SELECT esgf_stac.remove_replica('C', 'big.v1', 'n0')},
	remove_replica => q{SELECT esgf_stac.remove_replica('C', 'big.v1', 'new')},
	refused_replace => q{nobody_much: SELECT esgf_stac.replace_item('C', 'big.v1', other) FROM hostile.source},
	replace => q{SELECT esgf_stac.replace_item('C', 'big.v1', other) FROM hostile.source},
	replace_by_op => q{SELECT esgf_stac.patch_item('C', 'big.v1', operations) FROM hostile.source},
	by_hand => q{UPDATE esgf_stac.item SET document = other FROM hostile.source WHERE id = 'big.v1' RETURNING version},
	diff => 'SELECT jsonb_array_length(esgf_stac.jsonb_diff(document, other)) FROM hostile.source',
	retract => q{SELECT esgf_stac.retract_item('C', 'big.v1')},
	reinstate => q{SELECT esgf_stac.reinstate_item('C', 'big.v1')},
	delete => q{SELECT esgf_stac.delete_item('C', 'big.v1')},
	restore => q{SELECT esgf_stac.restore_item('C', 'big.v1')},
	supersede => q{SELECT esgf_stac.create_item('C', next) FROM hostile.source},
	transact => q{SELECT status FROM hostile.source, esgf_stac.transact(requests, false) LIMIT 1},
	import => q{SELECT status FROM hostile.source, esgf_stac.import_items(ARRAY[imported])});
my @operation_verbs = (
	patch => q{SELECT esgf_stac.patch_item('C', 'small.v1', operations) FROM hostile.source},
	refused_patch => q{nobody_much: SELECT esgf_stac.patch_item('C', 'small.v1', operations) FROM hostile.source},
	patch_and_undo => q{SELECT esgf_stac.patch_item('C', 'small.v1', patch) FROM hostile.source});

# Lay what a shape needs in so many bytes; answers the bytes, and those with a replica.
sub prepare
{
	my ($shape, $bytes) = @_;
	my $content = (grep { $_ eq $shape } @operations) ? <<OPERATIONS : <<DOCUMENT;
INSERT INTO hostile.source (operations, patch)
SELECT o, o || '[{"op": "replace", "path": "/properties", "value": {"datetime": "1850-01-01T00:00:00Z"}}]' FROM hostile.operations('$shape', $bytes) o;
OPERATIONS
INSERT INTO hostile.source (document, other, next, imported, alternates, patch, operations, request, requests)
SELECT d, hostile.document('$shape', 'big.v1', $bytes, 7001), jsonb_set(d, '{id}', '"big.v2"'), jsonb_set(d, '{id}', '"imported.v1"'),
       (SELECT jsonb_object_agg(k, '{"href": "h"}'::jsonb) FROM jsonb_object_keys(d -> 'assets') k), d - '{id,geometry}'::text[], jsonb_build_array(jsonb_build_object('op', 'replace', 'path', '', 'value', d)),
       jsonb_build_object('method', 'POST', 'collection_id', 'C', 'item', d), jsonb_build_array(jsonb_build_object('method', 'UPSERT', 'collection_id', 'C', 'request_id', 'r', 'item', d), '{"method": "CHECK"}'::jsonb)
  FROM hostile.document('$shape', 'big.v1', $bytes, 5001) d;
DOCUMENT
	return $node->safe_psql('postgres', <<SQL);
SET session_replication_role = replica;
TRUNCATE hostile.source, esgf_stac.item, esgf_stac.outbox, esgf_stac.dataset, esgf_stac.request;
RESET session_replication_role;
${content}DO \$\$ BEGIN PERFORM esgf_stac.create_item('C', '{"type": "Feature", "stac_version": "1.1.0", "id": "small.v1", "geometry": null, "links": [],
	"properties": {"datetime": "1850-01-01T00:00:00Z", "a": 1}, "assets": {"f": {"href": "h", "alternate:name": "p"}}}'); END \$\$;
CHECKPOINT;
SELECT octet_length(coalesce(document, operations)::text), octet_length(document::text || coalesce(alternates::text, '')) FROM hostile.source;
SQL
}

# One statement in a session that has done its like before: what it answers, time and memory it took.
# Statements are performed one after the other by one backend, each measured.
sub measure
{
	my (@statements) = @_;
	my $script = "SET client_min_messages = log; SET log_statement_stats = on;\n";
	while (my ($name, $statement) = splice @statements, 0, 2)
	{
		my $role = $statement =~ s/^(\w+): // ? $1 : 'postgres';
		$script .= <<SQL;
COPY (SELECT WHERE false) TO PROGRAM 'echo 5 > /proc/\$PPID/clear_refs';
SELECT hostile.resident('VmRSS') AS before \\gset
SET ROLE $role;
\\warn BEGIN $name
SELECT hostile.tried(\$statement\$$statement\$statement\$) AS answer \\gset
\\warn END :answer
RESET ROLE;
SELECT hostile.resident('VmHWM') - :before AS memory \\gset
\\warn MEMORY :memory
SQL
	}
	my ($stdout, $stderr) = ('', '');
	$node->psql('postgres', $script, stdout => \$stdout, stderr => \$stderr);
	my @measured;
	$stderr .= "\n";
	while ($stderr =~ /^BEGIN (\w+)\n(.*?)^END (.*?)\n.*?^MEMORY (-?\d+)\n/msg)
	{
		my ($name, $stats, $answer, $memory) = ($1, $2, $3, $4);
		my ($user, $system) = $stats =~ /!\s+([\d.]+) s user, ([\d.]+) s system/;
		push @measured, { name => $name, answer => $answer, time => $user + $system, memory => $memory };
	}
	die "nothing was measured:\n$stderr" unless @measured;
	return @measured;
}

# Cancel each statement after some of the times, and then let it be. Answers how much processor time each cancelled
# one took after its time: never more than it was late, however busy the machine is.
sub cancel
{
	my (@statements) = @_;
	my $script = "SET client_min_messages = log; SET log_statement_stats = on;\n";
	while (my ($name, $statement) = splice @statements, 0, 2)
	{
		my $role = $statement =~ s/^(\w+): // ? $1 : 'postgres';
		foreach my $timeout (@timeouts)
		{
			$script .= <<SQL;
SET ROLE $role;
SET statement_timeout = $timeout;
\\warn BEGIN $name $timeout
$statement \\g /dev/null
\\warn ERROR :LAST_ERROR_SQLSTATE
RESET statement_timeout;
SQL
		}
		$script .= "SELECT hostile.tried(\$statement\$$statement\$statement\$) \\g /dev/null\nRESET ROLE;\n";
	}
	my ($stdout, $stderr) = ('', '');
	$node->psql('postgres', $script, stdout => \$stdout, stderr => \$stderr, on_error_stop => 0);
	my $total = qr/!\s+\[([\d.]+) s user, ([\d.]+) s system total\]/;
	my ($before, @attempts) = split /^BEGIN /m, $stderr;
	my @late;
	foreach my $attempt (@attempts)
	{
		my @before = $before =~ /.*$total/s;
		my @after = $attempt =~ /$total/;
		my ($name, $timeout) = $attempt =~ /^(\w+) (\d+)/;
		push @late, { name => $name, timeout => $timeout, late => $after[0] + $after[1] - $before[0] - $before[1] - $timeout / 1000 }
		  if $attempt =~ /^ERROR 57014$/m;
		$before = $attempt;
	}
	return @late;
}

# Does every verb of a shape keep to its bounds?
sub try_shape
{
	my ($shape, @verbs) = @_;
	my (%time, %memory, %answer, %bytes);

	my $round = sub {
		my ($size) = @_;
		my ($document, $with_replica) = split /\|/, prepare($shape, $size * $mb);
		foreach my $measured (measure(@verbs))
		{
			my $name = $measured->{name};
			$time{$name}{$size} = min grep { defined } $measured->{time}, $time{$name}{$size};
			$memory{$name}{$size} = min grep { defined } $measured->{memory}, $memory{$name}{$size};
			$answer{$name} = $measured->{answer};
			$bytes{$name}{$size} = $name =~ /replica|primary/ ? $with_replica : $document;
		}
	};
	my $slow = sub {
		return map {
			my $name = $_;
			map { "$name: $_ MB cost " . sprintf('%.3f s after %.3f', $time{$name}{$_}, $time{$name}{ $_ / 2 }) }
			  grep { $_ > $sizes[0] && $time{$name}{$_} > 3 * max($time{$name}{ $_ / 2 }, $least_time) } @sizes
		} sort keys %time;
	};
	my $large = sub {
		return map {
			my $name = $_;
			map { sprintf '%s: %d times %s MB', $name, $memory{$name}{$_} / $bytes{$name}{$_}, $_ } grep { $memory{$name}{$_} > 40 * $bytes{$name}{$_} + $fixed_memory } @sizes
		} sort keys %memory;
	};
	$round->($_) foreach @sizes;
	for (1 .. 3)
	{
		last unless $slow->() || $large->();
		$round->($_) foreach @sizes;
	}
	is(join("\n", $slow->()), '', "$shape: time");
	is(join("\n", $large->()), '', "$shape: memory");

	prepare($shape, $cancel_size * $mb);
	my @cancelled = cancel(@verbs);
	is(join("\n", map { sprintf '%s: %.3f s after %d ms', @$_{qw(name late timeout)} } grep { $_->{late} > $late } @cancelled), '', "$shape: cancel");
	note sprintf '%-16s %d statements were cancelled, the worst %.3f s late', $shape, scalar @cancelled, max 0, map { $_->{late} } @cancelled;
	note sprintf '%-16s %-16s %-8.8s %.2f s %3.0f x', $shape, $_, $answer{$_} =~ s/^.*\.v\d,//r, $time{$_}{ $sizes[-1] }, $memory{$_}{ $sizes[-1] } / $bytes{$_}{ $sizes[-1] } foreach map { $verbs[ 2 * $_ ] } 0 .. $#verbs / 2;
	return;
}

my $asked = sub { my ($shape) = @_; return !@chosen || grep { $_ eq $shape } @chosen };

try_shape($_, @verbs) foreach grep { $asked->($_) } @shapes;
try_shape($_, @operation_verbs) foreach grep { $asked->($_) } @operations;

$node->stop;
done_testing();
