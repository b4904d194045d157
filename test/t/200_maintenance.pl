# Maintenance outlives a crash and a dump; beside it a relay delivers and administrators
# write, while an ingester waits: what it was refused has no outcome, and comes again.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IngestTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = ingest_node('maintenance');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";
my @api = ('--source', 'api', '--from', "ndjson:$log", '--follow', '--batch', 2);

$node->safe_psql('postgres', q{CREATE ROLE writer LOGIN IN ROLE esgf_stac_writer; SELECT esgf_stac.grant_access('role:writer', 'DELETE', 'project', '*'), esgf_stac.create_source('closed')});
new_stream($node, 'east');

# What a writer hears who deletes an item.
sub writer_hears
{
	my ($database) = @_;
	my (undef, undef, $stderr) = $node->psql($database // 'postgres', q{\set VERBOSITY verbose
		SELECT esgf_stac.delete_item('CMIP6', 'a.v1')}, extra_params => [ '-U', 'writer' ]);
	return $stderr =~ /ERROR:  (PT\d+: .*)/ ? $1 : 'nothing';
}

# An event that its source may not make; one that may.
my $ingest = sub {
	my ($source, $event) = @_;
	my $value = lines_of($event) =~ s/'/''/gr;
	return qq{SELECT string_agg(status::text, ' ') FROM esgf_stac.ingest('$source', 0, jsonb_build_array(jsonb_build_object('offset', 0, 'key', NULL, 'value', '$value'::jsonb)))};
};
is($node->safe_psql('postgres', $ingest->('closed', event('c0', post('c.v1')))), 403, 'an event is refused');
$node->safe_psql('postgres', q{SELECT esgf_stac.grant_access('source:closed', 'CREATE', scope, '*') FROM unnest('{project,node}'::text[]) scope});
write_log($log, event('e1', post('a.v1')));
my $ingester = start_ingest($node, "$dir/ingest.log", @api);
wait_for('an event comes in', sub { told($node, 'api') eq 'e1:201' });

# ---------------------------------------------------------------- set, and crashed

$node->safe_psql('postgres', q{SELECT esgf_stac.set_maintenance('a new disk', '10 min')});
write_log($log, event('e2', post('b.v1')), event('e3', patch_of('none.v1', { properties => { title => 't' } })), event('e4', post('c.v1')));
wait_for('an ingester is told', sub { slurp_file("$dir/ingest.log") =~ /a new disk/ });
$node->stop('immediate');
$node->start;
is(writer_hears(), 'PT503: a new disk', 'it outlives a crash');
my ($status, undef, $stderr) = run_ingest($node, '', '--source', 'api', '--from', "ndjson:$log", '--no-loop', '--batch', 1);
is($status, 3, 'an ingester that does not wait ends');
like($stderr, qr/a new disk/, 'and says why');
is(told($node, 'api'), 'e1:201', 'nothing has an outcome');
like(position($node, 'api'), qr/^1\|/, 'and it stands behind the first');

# ---------------------------------------------------------------- what goes on

is($node->safe_psql('postgres', q{SELECT string_agg(status::text, ' ') FROM esgf_stac.redrive_inbox('closed')}), 201, 'an administrator has an event performed again');
$node->safe_psql('postgres', q{SELECT esgf_stac.patch_item('CMIP6', 'a.v1', '{"properties": {"title": "meanwhile"}}')});
($status, undef, $stderr) = run_relay($node, '--stream', 'east', '--sink', "ndjson:$dir/east", '--endpos', wal_end($node));
is($status, 0, 'a relay goes on') or diag $stderr;
is(join(' ', map { "$_->{item_id}:$_->{version}" } read_events("$dir/east")), 'a.v1:1 c.v1:1 a.v1:2', 'and delivers what an administrator has changed');

# ---------------------------------------------------------------- a dump

$node->run_log([ 'pg_dump', '-d', $node->connstr('postgres'), '-Fc', '-f', "$dir/dump" ]) or BAIL_OUT('pg_dump failed');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
{
	local $ENV{PGOPTIONS} = '-c esgf_stac.accept_roles=on';
	$node->command_ok([ 'pg_restore', '-d', $node->connstr('copy'), '--exit-on-error', "$dir/dump" ], 'pg_restore');
}
is(writer_hears('copy'), 'PT503: a new disk', 'it is in a dump');
$node->safe_psql('copy', 'SELECT esgf_stac.end_maintenance()');
is(writer_hears('copy'), 'nothing', 'and ends there');
is(writer_hears(), 'PT503: a new disk', 'alone');

# ---------------------------------------------------------------- ended

$node->safe_psql('postgres', 'SELECT esgf_stac.end_maintenance()');
wait_for('what the ingester was refused comes again, once', sub { told($node, 'api') eq 'e1:201 e2:201 e3:404 e4:409' });
is(stop_relay($ingester), 0, 'the ingester ends as asked');
is($node->safe_psql('postgres', q{SELECT string_agg(attempt::text, ' ') FROM esgf_stac.inbox WHERE source = 'api'}), '1 1 1 1', 'as if for the first time');

done_testing();
