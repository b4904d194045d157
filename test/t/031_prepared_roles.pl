# CREATE EXTENSION refuses roles of our names that have members which it did not
# make, whatever depends on those roles; a superuser who knows them accepts them.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('roles');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE mallory LOGIN CREATEROLE; CREATE DATABASE tenant OWNER mallory');

# Installing must fail, and leave nothing.
sub refused
{
	my ($sql, $message, $name, $first) = @_;
	$node->safe_psql('postgres', $sql);
	my ($status, undef, $stderr) = $node->psql('postgres', ($first // '') . 'CREATE EXTENSION esgf_stac');
	like($stderr, $message, $name);
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'esgf%'"), '0', 'nothing is left');
	return;
}

# As somebody would prepare them who may make roles, and has a database of his own.
$node->safe_psql('tenant', 'CREATE ROLE esgf_stac_admin ROLE mallory', extra_params => [ '-U', 'mallory' ]);
refused('', qr/roles of this extension exist already and have members\nDETAIL:  esgf_stac_admin: mallory/, 'a role that somebody joined');
$node->safe_psql('tenant', 'CREATE TABLE t (); GRANT SELECT ON t TO esgf_stac_admin; CREATE SCHEMA esgf_stac; GRANT USAGE ON SCHEMA esgf_stac TO esgf_stac_admin', extra_params => [ '-U', 'mallory' ]);
refused('', qr/have members\nDETAIL:  esgf_stac_admin: mallory/, 'and on which objects of his depend');
foreach my $target ('ROLE mallory', 'DATABASE tenant')
{
	my ($status) = $node->psql('tenant', "ALTER $target SET esgf_stac.accept_roles = on", extra_params => [ '-U', 'mallory' ]);
	isnt($status, 0, "which he cannot have accepted for $target");
}
refused('CREATE ROLE other; GRANT esgf_stac_admin TO other WITH ADMIN OPTION; CREATE ROLE esgf_stac_reader; GRANT esgf_stac_admin TO esgf_stac_reader',
	qr/DETAIL:  esgf_stac_admin: esgf_stac_reader, mallory( \(with admin option\))?, other \(with admin option\)/, 'all are named, our own roles too');
refused('GRANT esgf_stac_reader TO other', qr/DETAIL:  esgf_stac_admin: .*\nesgf_stac_reader: other\n/, 'role by role');
refused('CREATE ROLE esgf_stac_writer; GRANT esgf_stac_reader TO esgf_stac_writer WITH ADMIN OPTION', qr/esgf_stac_reader: esgf_stac_writer \(with admin option\), other\n/, 'and what the extension itself grants, if it is with admin option');
refused('ALTER ROLE esgf_stac_admin LOGIN', qr/there are roles of this extension with attributes that it never gives them\nDETAIL:  esgf_stac_admin\n/, 'a role that somebody may be', 'SET esgf_stac.accept_roles = on;');
$node->safe_psql('postgres', 'DROP OWNED BY esgf_stac_admin; ALTER ROLE esgf_stac_admin NOLOGIN; REVOKE esgf_stac_admin FROM mallory, other, esgf_stac_reader CASCADE; REVOKE esgf_stac_reader FROM other; REVOKE ADMIN OPTION FOR esgf_stac_reader FROM esgf_stac_writer');
$node->safe_psql('postgres', 'DO $$ BEGIN FOR i IN 1..150 LOOP EXECUTE format($x$CREATE ROLE many%s IN ROLE esgf_stac_reader$x$, i); END LOOP; END $$');
refused('', qr/DETAIL:  esgf_stac_reader: (many\d+, ){99}many\d+ and 50 more\n/, 'of many a hundred');
$node->safe_psql('postgres', 'DO $$ BEGIN FOR i IN 1..150 LOOP EXECUTE format($x$DROP ROLE many%s$x$, i); END LOOP; END $$');

$node->safe_psql('postgres', 'CREATE EXTENSION esgf_stac; DROP EXTENSION esgf_stac; CREATE EXTENSION esgf_stac; SELECT esgf_stac.create_catalogue()');
pass('roles that are nobody\'s are taken, as after DROP EXTENSION');

# A second database, now that the role has lawful members.
$node->safe_psql('postgres', 'CREATE ROLE ada LOGIN; GRANT esgf_stac_admin TO ada; CREATE DATABASE second');
my ($status, undef, $stderr) = $node->psql('second', 'CREATE EXTENSION esgf_stac');
like($stderr, qr/DETAIL:  esgf_stac_admin: ada\n.*SET esgf_stac.accept_roles = on/s, 'a second database takes them only if it is told so');
$node->safe_psql('second', 'SET esgf_stac.accept_roles = on; CREATE EXTENSION esgf_stac; SELECT esgf_stac.create_catalogue()');
is($node->safe_psql('second', q{SELECT esgf_stac.grant_access('group:x', 'UPDATE', 'project', '*')}, extra_params => [ '-U', 'ada' ]), '1', 'and knows them');

# Another cluster, with the roles of this one.
my $dir = PostgreSQL::Test::Utils::tempdir;
$node->run_log([ 'pg_dumpall', '--globals-only', '-d', $node->connstr('postgres'), '-f', "$dir/globals" ]) or BAIL_OUT('pg_dumpall failed');
$node->run_log([ 'pg_dump', '-d', $node->connstr('second'), '-Fc', '-f', "$dir/dump" ]) or BAIL_OUT('pg_dump failed');
my $other = PostgreSQL::Test::Cluster->new('restored');
$other->init;
$other->start;
# The role that runs the cluster is there already.
$other->run_log([ 'psql', '-X', '-q', '-d', $other->connstr('postgres'), '-f', "$dir/globals" ]);
$other->safe_psql('postgres', 'CREATE DATABASE second');
my @restore = ('pg_restore', '--exit-on-error', '-d', $other->connstr('second'), "$dir/dump");
$other->command_fails_like(\@restore, qr/roles of this extension exist already and have members\nDETAIL:  esgf_stac_admin: ada\n/, 'restored roles are named as well');
{
	local $ENV{PGOPTIONS} = '-c esgf_stac.accept_roles=on';
	$other->safe_psql('postgres', 'DROP DATABASE second');
	$other->safe_psql('postgres', 'CREATE DATABASE second');
	$other->command_ok(\@restore, 'and taken where PGOPTIONS says so');
}
$other->safe_psql('second', 'SELECT esgf_stac.adopt_catalogue()');
is($other->safe_psql('second', q{SELECT esgf_stac.revoke_access(1); SELECT count(*) FROM esgf_stac.access_rule WHERE revoked_by = 'ada'}, extra_params => [ '-U', 'ada' ]), "\n1", 'who was an administrator is one');

# What the dump carries closes the tables there, too.
$other->safe_psql('second', 'SET client_min_messages = error; DROP EXTENSION esgf_stac CASCADE');
($status, undef, $stderr) = $other->psql('second', "INSERT INTO esgf_stac.site VALUES ('x.org', '{}')", extra_params => [ '-U', 'ada' ]);
like($stderr, qr/table "site" is closed/, 'a restored table is closed when it loses its triggers');

done_testing();
