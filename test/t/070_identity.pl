# An identity ends with its transaction, however that ends, and nothing of it is
# left for the next one of a pooled connection.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('identity');
$node->init;
$node->append_conf('postgresql.conf', 'max_prepared_transactions = 5');
$node->start;
$node->safe_psql('postgres', <<'SQL');
	CREATE EXTENSION esgf_stac;
	SELECT esgf_stac.create_catalogue();
	SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "C", "description": "d", "license": "MIT", "links": [],
		"extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}');
	SELECT esgf_stac.create_item('C', '{"type": "Feature", "stac_version": "1.1.0", "id": "i", "geometry": null, "assets": {}, "properties": {"datetime": "2000-01-01T00:00:00Z"}}');
	SELECT esgf_stac.grant_access('group:x', 'UPDATE', 'project', 'C');
	CREATE ROLE gateway LOGIN IN ROLE esgf_stac_gateway;
	CREATE SCHEMA gateway AUTHORIZATION gateway;
	CREATE PROCEDURE gateway.commit_between() LANGUAGE plpgsql AS $$ BEGIN
		PERFORM esgf_stac.set_identity('{"sub": "x", "principals": ["group:x"]}');
		PERFORM esgf_stac.patch_item('C', 'i', '{"properties": {"a": 1}}');
		COMMIT;
		PERFORM esgf_stac.patch_item('C', 'i', '{"properties": {"a": 2}}');
	END $$;
SQL

my $say = q{SELECT esgf_stac.set_identity('{"sub": "x", "principals": ["group:x"]}');};
my $n = 0;

# A patch that always changes something.
sub patch { $n++; return qq{SELECT esgf_stac.patch_item('C', 'i', '{"properties": {"n": $n}}');} }

sub version { return $node->safe_psql('postgres', q{SELECT version FROM esgf_stac.item WHERE id = 'i'}) }

# In one connection of a gateway, statements and then a patch, which must be
# refused because nobody is there any more; $changes is what went before.
sub nobody_after
{
	my ($statements, $changes, $name) = @_;
	my $before = version();
	my (undef, undef, $stderr) = $node->psql('postgres', "$statements\n\\set VERBOSITY verbose\n" . patch(),
		extra_params => [ '-U', 'gateway' ], on_error_stop => 0);
	like($stderr, qr/ERROR:  PT401: a gateway must say for whom it acts\n(?!.*ERROR)/s, "$name: nobody is left");
	is(version() - $before, $changes, "$name: $changes changes were made");
	return;
}

nobody_after('', 0, 'a new connection');
nobody_after($say, 0, 'a statement by itself');
nobody_after("BEGIN; $say " . patch() . ' COMMIT;', 1, 'COMMIT');
nobody_after("BEGIN; $say " . patch() . ' ROLLBACK;', 0, 'ROLLBACK');
nobody_after("BEGIN; SAVEPOINT s; $say " . patch() . ' RELEASE s; COMMIT;', 1, 'RELEASE and COMMIT');
nobody_after("BEGIN; SAVEPOINT s; $say ROLLBACK TO s; END;", 0, 'ROLLBACK TO');
nobody_after("BEGIN; $say " . patch() . ' SELECT 1/0; COMMIT;', 0, 'an error');
nobody_after("BEGIN; $say " . patch() . ' COMMIT AND CHAIN;', 1, 'COMMIT AND CHAIN');
nobody_after("BEGIN; $say ROLLBACK AND CHAIN;", 0, 'ROLLBACK AND CHAIN');
nobody_after("BEGIN; $say " . patch() . " PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p';", 1, 'PREPARE TRANSACTION');
nobody_after("BEGIN; $say " . patch() . " PREPARE TRANSACTION 'p'; ROLLBACK PREPARED 'p';", 0, 'ROLLBACK PREPARED');
nobody_after("BEGIN; $say PREPARE TRANSACTION 'p'; BEGIN; " . patch() . " ROLLBACK; COMMIT PREPARED 'p';", 0, 'the transaction after a prepared one');
nobody_after('CALL gateway.commit_between();', 1, 'COMMIT in a procedure');
nobody_after("SELECT * FROM esgf_stac.transact('[]', true, '{\"sub\": \"x\"}');", 0, 'an identity given to transact');
nobody_after("BEGIN; $say COMMIT; DISCARD ALL; RESET ALL;", 0, 'DISCARD ALL');

# Who prepares is who is told of, whoever commits.
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT identity ->> 'sub', ' ') FROM esgf_stac.outbox WHERE type = 'item.updated'}), 'x', 'each event says who made the change');

# A failed transaction may be begun anew in the same connection.
is($node->safe_psql('postgres', "BEGIN; $say ROLLBACK; BEGIN; $say " . patch() . ' COMMIT; SELECT 1', extra_params => [ '-U', 'gateway', '-q' ]) =~ /\n1$/ ? 1 : 0, 1, 'said anew it holds anew');

done_testing();
