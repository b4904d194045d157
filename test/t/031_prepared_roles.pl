# CREATE EXTENSION refuses roles of our names that somebody else prepared, and
# takes those that another database of the cluster uses.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('roles');
$node->init;
$node->start;

# Installing must fail, and leave nothing.
sub refused
{
	my ($sql, $message, $name) = @_;
	$node->safe_psql('postgres', $sql);
	my ($status, undef, $stderr) = $node->psql('postgres', 'CREATE EXTENSION esgf_stac');
	like($stderr, $message, $name);
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_namespace WHERE nspname = 'esgf_stac'"), '0', 'nothing is left');
	return;
}

refused('CREATE ROLE mallory; CREATE ROLE esgf_stac_admin; GRANT esgf_stac_admin TO mallory',
	qr/role "esgf_stac_admin" exists already and has members/, 'a role that somebody joined');
refused('REVOKE esgf_stac_admin FROM mallory; ALTER ROLE esgf_stac_admin LOGIN',
	qr/role "esgf_stac_admin" exists already and has attributes/, 'a role that somebody may be');
$node->safe_psql('postgres', 'ALTER ROLE esgf_stac_admin NOLOGIN; CREATE EXTENSION esgf_stac; DROP EXTENSION esgf_stac; CREATE EXTENSION esgf_stac; SELECT esgf_stac.create_catalogue()');
pass('a role that is nobody\'s is taken, as after DROP EXTENSION');

$node->safe_psql('postgres', 'GRANT esgf_stac_admin TO mallory; CREATE DATABASE second');
$node->safe_psql('second', 'CREATE EXTENSION esgf_stac; SELECT esgf_stac.create_catalogue()');
is($node->safe_psql('second', 'SELECT count(*) FROM esgf_stac.collection'), '0', 'a second database, now that the role has lawful members');

done_testing();
