# Who follows by changes(): on a standby, with a cursor of 0.1.0, while events
# are pruned, with cursors that lie. (What overlaps is in specs/changes_order
# and t/060.)

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;
use Time::HiRes 'time';

my $node = catalogue_node('changes');
my $sql = sub { $node->safe_psql('postgres', @_) };

$sql->(q{SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "C", "description": "d", "license": "MIT",
	"links": [], "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}')});
$sql->(q{CREATE FUNCTION publish(id text) RETURNS bigint LANGUAGE sql AS $$ SELECT version FROM esgf_stac.create_item('C', jsonb_build_object(
	'type', 'Feature', 'stac_version', '1.1.0', 'id', id, 'geometry', null, 'properties', '{"datetime": "2000-01-01T00:00:00Z"}'::jsonb, 'assets', '{}'::jsonb)) $$;
	CREATE FUNCTION patch(id text) RETURNS bigint LANGUAGE sql AS $$ SELECT version FROM esgf_stac.patch_item('C', id, jsonb_build_object('properties', jsonb_build_object('n', random()))) $$});

# The next page: its events as one line, and the cursor to go on from.
sub page
{
	my ($of, $cursor, $size) = @_;
	my @rows = split /\n/, $of->safe_psql('postgres', "SELECT cursor, concat_ws(' ', event ->> 'item_id', event ->> 'version') FROM esgf_stac.changes("
		  . (defined $cursor ? "'$cursor'" : 'NULL') . ', ' . ($size // 1000) . ')');
	return (@rows ? $rows[-1] =~ s/\|.*//r : $cursor, join ', ', map { s/.*\|//r } @rows);
}

sub refused
{
	my ($of, $query, $state, $slug, $name) = @_;
	my (undef, undef, $stderr) = $of->psql('postgres', "\\set VERBOSITY verbose\n$query", on_error_stop => 0);
	ok($stderr =~ /ERROR:  $state: / && $stderr =~ /CONSTRAINT NAME:  $slug/, $name) or diag substr $stderr, 0, 1000;
	return;
}

# A standby tells the same, though its snapshots do not name what still runs, and
# waits where it has not come so far as its reader.
my ($cursor, $events) = page($node);
is($events, '1', 'the collection');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
my $early = $node->background_psql('postgres');
$early->query_safe("BEGIN; SELECT publish('early'); SAVEPOINT s; SELECT publish('part'); RELEASE s");
$sql->("SELECT publish('late')");
$node->wait_for_catchup($standby);
my ($there, $told) = page($standby, $cursor);
is($told, 'late 1', 'standby: what is committed');
$early->query_safe("SELECT patch('late')");
$early->query_safe('COMMIT');
$node->wait_for_catchup($standby);
($there, $told) = page($standby, $there, 1);
is($told, 'early 1', 'standby: and what ran then, page by page');
($there, $told) = page($standby, $there);
is($told, 'part 1, late 2', 'standby: to the end');
is((page($node, $there))[1], '', 'its cursor is good at the primary, too');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$sql->("SELECT publish('next')");
my ($ahead) = page($node, $there);
$early->query_safe("BEGIN; SELECT publish('last')");
is((page($standby, $ahead))[1], '', 'standby: it waits for what its reader has');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
$early->query_safe("COMMIT");
$early->quit;
$node->wait_for_catchup($standby);
is((page($standby, $ahead))[1], 'last 1', 'standby: then it goes on');
$standby->stop;

# Who keeps a snapshot that is older than his cursor waits for a new one.
my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$sql->("SELECT publish('meanwhile')");
($ahead) = page($node, $cursor);
$sql->("SELECT publish('after')");
is($old->query_safe("SELECT count(*) FROM esgf_stac.changes('$ahead')"), '0', 'an older snapshot has nothing for a newer cursor');
$old->quit;
is((page($node, $ahead))[1], 'after 1', 'a new one has');

# A cursor of 0.1.0 was a transaction and a seq.
my $all = $sql->(q{SELECT string_agg(concat_ws(' ', CASE WHEN aggregatetype <> 'collection' THEN aggregateid END, version), ', ' ORDER BY seq) FROM esgf_stac.outbox});
my $cluster = $sql->('SELECT esgf_stac_internal.system_identifier()');
$sql->("BEGIN; SELECT publish('x'), publish('y'), publish('z'); COMMIT; SELECT publish('end')");
my ($xid, $seq) = split /\|/, $sql->("SELECT xid, seq FROM esgf_stac.outbox WHERE aggregateid = 'y'");
my ($from, @from) = ("$cluster/$xid/$seq");
for (1 .. 3) { ($from, $from[@from]) = page($node, $from, 1); }
is(join(', ', @from), 'z 1, end 1, ', 'a cursor of 0.1.0 goes on where it stood');
is((page($node, $from))[1], '', 'and is one of ours then');
refused($node, "SELECT esgf_stac.changes('$cluster/$xid/$seq/nobody')", 'PT400', 'bad-request', 'but not of another stream');

# Cursors that lie are refused, or tell what anyone may read.
my $oid = $sql->("SELECT 'esgf_stac.outbox'::regclass::oid");
my $here = "$cluster/$oid";
my $future = $sql->('SELECT pg_current_xact_id()::text::bigint + 1000');
for ([ "$here/5:3:" => 'that ends before it begins' ], [ "$here/3:5:4,3" => 'without order' ], [ "$here/3:5:9" => 'with an id outside of it' ], [ "$here/0:0:" => 'of no transaction' ],
	[ "$here/3:5:,,4" => 'with holes' ], [ "$here/3:5:4/3:6:" => 'without a place' ], [ "$here/3:5" => 'cut off' ], [ "$here/" => 'of nothing' ], [ "$here//" => 'of less' ],
	[ "$cluster/" . ($oid + 1) . '/3:5:' => 'of another outbox' ], [ ($cluster + 1) . "/$oid/3:5:" => 'of another cluster' ], [ "$cluster/0/1" => 'of no transaction, as 0.1.0 had it' ],
	[ "$here/$future:$future:" => 'of the future' ], [ "$here/3:3:/$future:$future:/1" => 'up to the future' ], [ "$cluster/$future/1" => 'of the future, as 0.1.0 had it' ],
	[ "$here/999999999999999999:999999999999999999:" => 'of a far future' ], [ "$here/" . '9' x 30 . ':' . '9' x 30 . ':' => 'of ids that are none' ])
{
	refused($node, "SELECT esgf_stac.changes('$_->[0]')", 'PT400', 'bad-request', "a cursor $_->[1]");
}
for my $text (q{repeat('1', 10000000)}, qq{'$here/1:9:' || repeat('2,1,', 240000)}, qq{'$here/1:9:' || repeat('1,', 490000) || 'x'}, qq{'$here/1:9:' || repeat(':', 900000)},
	qq{'$here/1:999999:' || (SELECT string_agg(i::text, ',') FROM generate_series(1, 140000) i)}, qq{'$here/' || repeat('1:9:/', 190000)}, q{repeat('/', 900000)})
{
	my $began = time;
	refused($node, "SET statement_timeout = '20s'; SELECT esgf_stac.changes($text)", 'PT400', 'bad-request', substr($text, 0, 60) . ' ...');
	note sprintf '%.0f ms', (time - $began) * 1000;
}

is($sql->("SELECT count(*) FROM esgf_stac.changes('$here/1:9:' || repeat('1,', 490000), 10000)") > 0, 1, 'a long one that is true is taken');

# A restored outbox is another one.
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
($cursor) = page($node);
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'a dump');
$sql->('CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('restored'), $dump ], 'restored into the same cluster');
my (undef, undef, $stderr) = $node->psql('restored', "SELECT esgf_stac.changes('$cursor')");
like($stderr, qr/this cursor was not made here/, 'knows no cursor of the old one');

# A crash forgets transactions that left nothing, and their ids are given again.
$node->append_conf('postgresql.conf', "wal_writer_delay = '10s'");
$node->restart;
($cursor) = page($node);
$sql->("SELECT publish('kept')");
$sql->('BEGIN; SELECT pg_current_xact_id(); ROLLBACK') for 1 .. 5;
($cursor, $events) = page($node, $cursor);
is($events, 'kept 1', 'what is committed, before a crash');
$node->stop('immediate');
$node->start;
$sql->("SELECT publish('reborn')");
is((page($node, $cursor))[1], 'reborn 1', 'and what is after it');

# Pruning: who has read what goes does not notice, who has not is told.
my ($some) = page($node, undef, 3);
my ($most) = page($node, undef, 1000);
($most) = page($node, undef, 8);
my ($end) = page($node);
my $kept = $sql->("SELECT string_agg(concat_ws(' ', aggregateid, version), ', ' ORDER BY seq) FROM esgf_stac.outbox WHERE seq > (SELECT seq FROM esgf_stac.outbox ORDER BY seq OFFSET 7 LIMIT 1)");
$sql->(q{ALTER TABLE esgf_stac.outbox DISABLE TRIGGER USER; UPDATE esgf_stac.outbox SET occurred_at = occurred_at - interval '1 year' WHERE seq <= (SELECT seq FROM esgf_stac.outbox ORDER BY seq OFFSET 5 LIMIT 1)
	OR aggregateid = 'end'; UPDATE esgf_stac.outbox SET occurred_at = occurred_at + interval '1 year' WHERE seq = (SELECT seq FROM esgf_stac.outbox ORDER BY seq OFFSET 2 LIMIT 1); ALTER TABLE esgf_stac.outbox ENABLE TRIGGER USER});
is($sql->('SELECT esgf_stac.prune_outbox()'), '2', 'events go in their order, up to the first that stays');
isnt((page($node, $some))[1], '', 'who reads from there goes on');
$sql->(q{ALTER TABLE esgf_stac.outbox DISABLE TRIGGER USER; UPDATE esgf_stac.outbox SET occurred_at = now() + interval '9 years' WHERE seq = (SELECT min(seq) FROM esgf_stac.outbox); ALTER TABLE esgf_stac.outbox ENABLE TRIGGER USER});
is($sql->('SELECT esgf_stac.prune_outbox()'), '4', 'a time in the future holds up nothing');
refused($node, "SELECT esgf_stac.changes('$some')", 'PT404', 'version-pruned', 'who stood within what went is told');
is((page($node, $most))[1], $kept, 'who had read beyond goes on');
is((page($node, $end))[1], '', 'who had read all, too');
my ($new, $left) = page($node, undef, 1);
like(join(', ', $left, (page($node, $new))[1]), qr/\Q$kept\E$/, 'and who begins now is not told, page by page');
$sql->("SELECT publish('young')");
is($sql->("SELECT esgf_stac.prune_outbox('0') > 0"), 't', 'all goes');
refused($node, "SELECT esgf_stac.changes('$_')", 'PT404', 'version-pruned', 'who had not read all is told') for $most, $end, $new;

done_testing();
