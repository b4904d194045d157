# A stream is plain pgoutput: others read it as well as the relay does. Here it
# is a subscription into another database, which finds the columns that an
# outbox router expects, and inserts only.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('source');
my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->start;

$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('theirs', NULL, '$.properties.n >= 2')});
$other->safe_psql('postgres', q{
	CREATE SCHEMA esgf_stac;
	CREATE TABLE esgf_stac.outbox (seq bigint PRIMARY KEY, id uuid, aggregatetype text, aggregateid text, type text, version bigint, payload jsonb,
		occurred_at timestamptz, reason text, batch text, streams text[], left_streams text[], request_id text, xid xid8,
		validated_against jsonb, warnings jsonb)});
my $source = $node->connstr('postgres');
$source =~ s/'/''/g;
$other->safe_psql('postgres', "CREATE SUBSCRIPTION theirs CONNECTION '$source' PUBLICATION esgf_stac_theirs
	WITH (slot_name = 'esgf_stac_theirs', copy_data = false)");

new_items($node, 1, 3);
$node->safe_psql('postgres', q{
	SELECT esgf_stac.patch_item('CMIP6', 'item-2.v1', '{"properties": {"n": 1}}');
	SELECT esgf_stac.patch_item('CMIP6', 'item-2.v1', '{"properties": {"m": 1}}');
	SELECT esgf_stac.delete_item('CMIP6', 'item-3.v1')});
$node->wait_for_catchup('theirs');
is($other->safe_psql('postgres', q{SELECT string_agg(concat_ws(' ', aggregatetype, aggregateid, type, version, payload IS NOT NULL, streams, left_streams), ', ' ORDER BY seq)
	FROM esgf_stac.outbox}),
	'collection CMIP6 collection.published 1 t, CMIP6 item-2.v1 item.published 1 t {theirs}, CMIP6 item-3.v1 item.published 1 t {theirs}, '
	  . 'CMIP6 item-2.v1 item.updated 2 t {theirs}, CMIP6 item-3.v1 item.deleted 2 f {theirs}',
	'a subscription gets the events of its stream, complete');

# What happens to the outbox later is nobody's event.
$node->safe_psql('postgres', q{SET session_replication_role = replica; DELETE FROM esgf_stac.outbox});
$node->wait_for_catchup('theirs');
is($other->safe_psql('postgres', 'SELECT count(*) FROM esgf_stac.outbox'), 5, 'deletions from the outbox are not published');

# The relay leaves another reader's slot alone.
my ($status, undef, $stderr) = run_relay($node, '--stream', 'theirs', '--sink', 'ndjson:-', '--no-loop');
is($status, 4, 'a stream has one reader');
like($stderr, qr/problem=slot-in-use/, 'says the relay');

# The view counts what concerns a stream.
is($node->safe_psql('postgres', q{SELECT active, warning IS NULL, publication, slot FROM esgf_stac.stream_status WHERE name = 'theirs'}),
	't|t|esgf_stac_theirs|esgf_stac_theirs', 'stream_status shows the reader');

done_testing();
