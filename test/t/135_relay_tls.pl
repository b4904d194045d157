# Over TLS, what OpenSSL has deciphered and libpq had no room for does not make a
# socket readable: nothing of the stream or of a sink's answers may wait for more.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

# Nobody writes into the stream unasked, which would have it go on.
my $node = catalogue_node('tls', "wal_sender_timeout = 0\n");
my $dir = PostgreSQL::Test::Utils::tempdir;
my $data = $node->data_dir;
my @make = (qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost), '-keyout', "$data/server.key", '-out', "$data/server.crt");
plan skip_all => 'there is no openssl to make a certificate' if !eval { IPC::Run::run(\@make, '>', \my $out, '2>&1') };
chmod 0600, "$data/server.key";
plan skip_all => 'the server was built without TLS' if $node->psql('postgres', 'ALTER SYSTEM SET ssl = on') != 0;
$node->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1'\n");
$node->append_conf('pg_hba.conf', "hostssl all all 127.0.0.1/32 trust\nhostssl replication all 127.0.0.1/32 trust\n");
$node->restart;
my $conninfo = 'host=127.0.0.1 port=' . $node->port . ' dbname=postgres user=' . $node->safe_psql('postgres', 'SELECT current_user') . ' sslmode=require';

# A sink that is slow: meanwhile more of the stream comes in.
$node->safe_psql('postgres', q{
	CREATE TABLE items (collection_id text, item_id text, version bigint NOT NULL, document jsonb, PRIMARY KEY (collection_id, item_id));
	CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.15); RETURN new; END $$;
	CREATE TRIGGER slow BEFORE INSERT ON items FOR EACH ROW WHEN (new.item_id = 'item-1') EXECUTE FUNCTION slow()});
new_stream($node, 'a');
my $relay = start_relay($node, "$dir/log", '--dbname', $conninfo, '--stream', 'a', '--sink', "postgres:$conninfo#items", '--status-interval', 3600);
$node->poll_query_until('postgres', 'SELECT active FROM pg_replication_slots');
is($node->safe_psql('postgres', q{SELECT count(*), bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL}),
	'3|t', 'queries, stream and sink are encrypted');

my $late = 0;
srand(1);
foreach my $version (1 .. 25)
{
	my $count = 20 + int rand 40;
	$node->safe_psql('postgres', qq{
		INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
		SELECT gen_random_uuid(), 'CMIP6', 'item-' || i, 'item.published', $version,
		       jsonb_build_object('x', repeat('x', (9000 + random() * 30000)::int)), now(), '{}' FROM generate_series(1, $count) i});
	last if $late += !wait_for("version $version", sub { $node->safe_psql('postgres', "SELECT count(*) FROM items WHERE version = $version") == $count });
}
is($late, 0, 'every transaction is delivered, whatever comes behind it');
is(stop_relay($relay), 0, 'and the relay stops');

done_testing();
