# Plain pg_dump and pg_restore carry a catalogue: rows, triggers, publications;
# they invent no event, and the next version goes on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir;
my $generator = "$FindBin::RealBin/../../scripts/generate_items.sql";
my $old = catalogue_node('old');

# A server older in transactions than the one that will read its dump.
$old->safe_psql('postgres', 'SELECT pg_current_xact_id();' x 3000);

# A catalogue of 1,000 items with some history, a stream with a slot, a grant.
$old->safe_psql('postgres', 'BEGIN; ' . slurp_file($generator) . '; COMMIT');
$old->safe_psql('postgres', <<'SQL');
	SELECT esgf_stac.create_collection(generator.collection());
	SELECT count(esgf_stac.create_item('CMIP6', item)) FROM generator.items(0, 999) item;
	SELECT count(esgf_stac.patch_item('CMIP6', id, '{"properties": {"title": "t"}}')) FROM esgf_stac.published_item WHERE hashtext(id) % 3 = 0;
	SELECT count(esgf_stac.retract_item('CMIP6', id)) FROM (SELECT id FROM esgf_stac.published_item ORDER BY id LIMIT 20) i;
	SELECT count(esgf_stac.delete_item('CMIP6', id)) FROM (SELECT id FROM esgf_stac.published_item ORDER BY id DESC LIMIT 20) i;
	CREATE INDEX of_the_dba ON esgf_stac.item (updated);
	DROP SCHEMA generator CASCADE;
SQL
new_stream($old, 'east');
$old->safe_psql('postgres', "SELECT esgf_stac.patch_item('CMIP6', id, '{\"properties\": {\"pending\": 1}}') FROM (SELECT id FROM esgf_stac.published_item WHERE NOT retracted ORDER BY id LIMIT 1) i");

# All that a catalogue is, as one text; dumps may not change it.
my $everything = <<'SQL';
	SELECT md5(string_agg(i::text, E'\n' ORDER BY collection_id, id)) FROM esgf_stac.item i
	UNION ALL SELECT md5(string_agg(o::text, E'\n' ORDER BY seq)) FROM (SELECT seq, id, aggregatetype, aggregateid, type, version, payload, occurred_at, request, identity FROM esgf_stac.outbox) o
	UNION ALL SELECT md5(string_agg(d::text, E'\n' ORDER BY d::text)) FROM esgf_stac.dataset d
	UNION ALL SELECT md5(string_agg(c::text, E'\n' ORDER BY id)) FROM esgf_stac.collection c
	UNION ALL SELECT md5(string_agg(s::text, E'\n' ORDER BY name)) FROM esgf_stac.stream s
	UNION ALL SELECT md5(string_agg(concat_ws(' ', tgrelid::regclass, tgname, tgenabled), E'\n' ORDER BY tgrelid::regclass::text, tgname)) FROM pg_trigger WHERE NOT tgisinternal
	UNION ALL SELECT md5(string_agg(concat_ws(' ', oid::regclass, relacl, reloptions), E'\n' ORDER BY oid::regclass::text)) FROM pg_class WHERE relnamespace = 'esgf_stac'::regnamespace
	UNION ALL SELECT string_agg(concat_ws(' ', pubname, attnames, rowfilter), ',' ORDER BY pubname) FROM pg_publication_tables
SQL
my $truth = $old->safe_psql('postgres', $everything);
like($truth, qr/esgf_stac_east/, 'the stream has its publication');

# Each item's next version is one more than its last, and makes one event.
sub goes_on
{
	my ($node, $database, $name) = @_;
	my $result = $node->safe_psql($database, <<'SQL');
		WITH before AS (SELECT collection_id, id, version, (SELECT count(*) FROM esgf_stac.outbox) AS events
		                  FROM esgf_stac.published_item WHERE NOT retracted ORDER BY id LIMIT 1)
		SELECT r.version - b.version, r.changed FROM before b, esgf_stac.patch_item(b.collection_id, b.id, '{"properties": {"after": "restore"}}') r;
SQL
	is($result, '1|t', "$name: the next version goes on");
	is($node->safe_psql($database, 'SELECT max(seq) = count(*) FROM esgf_stac.outbox'), 't', "$name: as does seq");
	return;
}

# Another database of the same server, by a custom dump.
$old->run_log([ 'pg_dump', '-d', $old->connstr('postgres'), '-Fc', '-f', "$dir/custom" ]) or BAIL_OUT('pg_dump failed');
$old->safe_psql('postgres', 'CREATE DATABASE copy');
$old->command_ok([ 'pg_restore', '-d', $old->connstr('copy'), '--exit-on-error', "$dir/custom" ], 'pg_restore into another database of the server');
is($old->safe_psql('copy', $everything), $truth, 'everything is there, and nothing else');
$old->safe_psql('copy', 'SELECT esgf_stac.adopt_catalogue()');
goes_on($old, 'copy', 'same server');
is($old->safe_psql('postgres', $everything), $truth, 'each database has its own catalogue');

# Another server, by a plain dump.
my $new = PostgreSQL::Test::Cluster->new('new');
$new->init(allows_streaming => 'logical');
$new->start;
$old->run_log([ 'pg_dump', '-d', $old->connstr('postgres'), '-f', "$dir/plain" ]) or BAIL_OUT('pg_dump failed');
# As in a restore by hand: the roles come first, and the extension makes them.
$new->safe_psql('postgres', 'CREATE DATABASE copy');
$new->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $new->connstr('copy'), '-f', "$dir/plain" ], 'psql into another server');
is($new->safe_psql('copy', $everything), $truth, 'everything is there, and nothing else');
my ($status, undef, $stderr) = $new->psql('copy', "SELECT esgf_stac.patch_item('CMIP6', id, '{\"properties\": {\"x\": 1}}') FROM esgf_stac.published_item LIMIT 1");
like($stderr, qr/this catalogue comes from another cluster/, 'which refuses to write until it is adopted');
is($new->safe_psql('copy', 'SELECT count(*) > 0 FROM esgf_stac.outbox WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())'), 't', 'its transaction ids are of the other server');
$new->safe_psql('copy', 'SELECT esgf_stac.adopt_catalogue()');
is($new->safe_psql('copy', 'SELECT count(*) FROM esgf_stac.outbox WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())'), '0', 'adopt_catalogue settles them');
goes_on($new, 'copy', 'another server');

# A stream of the copy runs.
my ($created) = run_relay_at($new, 'copy', '--stream', 'east', '--create', '--from-beginning', '--sink', 'ndjson:-',
	'--endpos', $new->safe_psql('copy', 'SELECT pg_current_wal_insert_lsn()'));
is($created, 0, 'begun anew, with a new slot');
$new->safe_psql('copy', "SELECT esgf_stac.patch_item('CMIP6', id, '{\"properties\": {\"again\": 1}}') FROM (SELECT id FROM esgf_stac.published_item WHERE NOT retracted ORDER BY id LIMIT 3) i");
my $now = $new->safe_psql('copy', 'SELECT pg_current_wal_insert_lsn()');
my (undef, $lines) = run_relay_at($new, 'copy', '--stream', 'east', '--sink', 'ndjson:-', '--endpos', $now);
is(() = $lines =~ /"again": 1/g, 3, 'and streams what happens here');

($status, undef, $stderr) = $new->psql('copy', 'DROP EXTENSION esgf_stac');
like($stderr, qr/cannot drop extension esgf_stac because other objects depend on it/, 'DROP EXTENSION refuses');

done_testing();

sub run_relay_at
{
	my ($node, $database, @arguments) = @_;
	my ($stdout, $err) = ('', '');
	IPC::Run::run([ 'esgf_stac_relay', '--dbname', $node->connstr($database), @arguments ], '<', \undef, '>', \$stdout, '2>', \$err);
	diag $err if $?;
	return ($? >> 8, $stdout);
}
