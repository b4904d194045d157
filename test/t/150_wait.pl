# wait_for_delivery(): what it waits for, when it ends, and what it holds
# meanwhile. What the relay writes is written by hand here.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;
use Time::HiRes qw(time);

my $node = catalogue_node('source');
my $dir = PostgreSQL::Test::Utils::tempdir;
$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('east'), esgf_stac.create_stream('west')});
new_items($node, 1, 3);

# The row of a relay that has delivered all, or nothing, of what is visible now.
sub say_delivered
{
	my ($stream, $all) = @_;
	my $snapshot = $all ? 'pg_current_snapshot()' : q{'3:3:'};
	$node->safe_psql('postgres', qq{
		INSERT INTO esgf_stac.consumer (stream, system_identifier, timeline, lsn, confirmed, horizon, outbox_oid, delivering_since, delivered)
		SELECT '$stream', esgf_stac_internal.system_identifier(), 1, '0/0', '0/0', '3', 'esgf_stac.outbox'::regclass, now(), $snapshot
		ON CONFLICT (stream) DO UPDATE SET delivered = excluded.delivered});
	return;
}

sub event
{
	my ($item) = @_;
	return $node->safe_psql('postgres', "SELECT id FROM esgf_stac.outbox WHERE aggregateid = 'item-$item.v1'");
}

# A session that waits, and what it has answered: nothing as long as it waits.
sub start_waiting
{
	my ($call, $user) = @_;
	my %waiter = (out => '', err => '');
	$waiter{psql} = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres') . ' application_name=waiter', '-c', "SELECT * FROM esgf_stac.wait_for_delivery($call)" ],
		'<', \undef, '>', \$waiter{out}, '2>', \$waiter{err}, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	wait_for('the wait', sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waiter' AND wait_event_type = 'Extension'}) > 0 });
	return \%waiter;
}

sub answer
{
	my ($waiter) = @_;
	$waiter->{psql}->finish;
	return $waiter->{out} . ($waiter->{err} =~ s/^(?:DETAIL|HINT|CONTEXT).*\n//mgr);
}

my $event = event(1);
say_delivered('east', 0);
is($node->safe_psql('postgres', "SELECT * FROM esgf_stac.wait_for_delivery('$event', timeout => '0')"), "east|pending\nwest|pending", 'what is pending at the timeout is the answer');
my $began = time;
is($node->safe_psql('postgres', "SELECT * FROM esgf_stac.wait_for_delivery('$event', '{east}', '0.5 s')"), 'east|pending', 'of the streams that are asked for');
cmp_ok(time - $began, '>=', 0.5, 'not before');
is($node->safe_psql('postgres', "SELECT * FROM esgf_stac.wait_for_delivery('$event', '{}')"), '', 'of none, at once');
is($node->safe_psql('postgres', "SET statement_timeout = '90 s'; SELECT * FROM esgf_stac.wait_for_delivery('$event', '{east}', '$_')"), 'east|pending', "a month has 30 days: $_")

  for '12 mons -360 days', '-12 mons 360 days', '1 day -24:00';

# Each look sees what is committed by then, though the statement began before.
my $waiter = start_waiting("'$event', '{east}', '60 s'");
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'waiter' AND l.locktype <> 'virtualxid'
	AND l.mode <> 'AccessShareLock'}), 0, 'it holds no lock that anybody would wait for');
is($node->safe_psql('postgres', q{SELECT backend_xid IS NULL FROM pg_stat_activity WHERE application_name = 'waiter'}), 't', 'it writes nothing');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'waiter' AND l.locktype = 'relation'}),
	'between two looks none at all');
$node->safe_psql('postgres', q{BEGIN; LOCK TABLE esgf_stac.outbox, esgf_stac.consumer, esgf_stac.stream, esgf_stac.dead_letter IN ACCESS EXCLUSIVE MODE; COMMIT});
pass('so that a table can be locked as by an upgrade');
say_delivered('west', 1);
say_delivered('east', 1);
is(answer($waiter), "east|delivered\n", 'delivered');
is($node->safe_psql('postgres', "SELECT * FROM esgf_stac.wait_for_delivery('$event')"), "east|delivered\nwest|delivered", 'by all, at once');

# A refusal ends the wait, too.
say_delivered('east', 0);
$waiter = start_waiting("'$event', timeout => '60 s'");
$node->safe_psql('postgres', q{INSERT INTO esgf_stac.dead_letter (stream, collection_id, item_id, version, reason) VALUES ('east', 'CMIP6', 'item-1.v1', 1, 'no')});
is(answer($waiter), "east|refused\nwest|delivered\n", 'refused');

# Cancelled, it ends at once; so it does with its server.
for my $way ('pg_cancel_backend', 'pg_terminate_backend')
{
	$event = event(2);
	$waiter = start_waiting("'$event', '{east}', '60 s'");
	$began = time;
	$node->safe_psql('postgres', "SELECT $way(pid) FROM pg_stat_activity WHERE application_name = 'waiter'");
	like(answer($waiter), qr/canceling statement|terminating connection/, "$way ends it");
	cmp_ok(time - $began, '<', 30, 'long before its time');
}
(undef, undef, my $stderr) = $node->psql('postgres', "SET statement_timeout = '300ms'; SELECT * FROM esgf_stac.wait_for_delivery('$event', timeout => '60 s')");
like($stderr, qr/statement timeout/, 'a timeout of the server as well');
is($node->safe_psql('postgres', qq{DO \$\$ BEGIN
	PERFORM set_config('statement_timeout', '0', false);
	BEGIN PERFORM esgf_stac.wait_for_delivery('$event', '{north}'); EXCEPTION WHEN OTHERS THEN NULL; END;
	IF (SELECT state FROM esgf_stac.wait_for_delivery('$event', '{east}', '0')) <> 'pending' THEN RAISE 'not pending'; END IF;
END \$\$; SELECT 1}), 1, 'what was refused can be caught');

# What is refused.
sub refused
{
	my ($command, $state, $slug, $what) = @_;
	my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$command");
	like($err, qr/ERROR:  $state: .*CONSTRAINT NAME:  $slug/s, $what);
	return;
}
my $wait = "SELECT * FROM esgf_stac.wait_for_delivery('$event', timeout => '0')";
refused("SELECT * FROM esgf_stac.wait_for_delivery(gen_random_uuid())", 'PT404', 'event-does-not-exist', 'no such event');
refused("SELECT * FROM esgf_stac.wait_for_delivery('$event', '{east,north}')", 'PT400', 'bad-request', 'no such stream');
refused("BEGIN; SELECT esgf_stac.patch_item('CMIP6', 'item-1.v1', '{\"properties\": {\"x\": 1}}'); $wait", 'PT400', 'operation-not-permitted', 'a transaction that has written');
refused("BEGIN; SELECT FROM esgf_stac.item FOR UPDATE; $wait", 'PT400', 'operation-not-permitted', 'or has locked rows');
refused("BEGIN; SAVEPOINT s; SELECT pg_current_xact_id(); RELEASE s; $wait", 'PT400', 'operation-not-permitted', 'in a savepoint, too');
refused("BEGIN ISOLATION LEVEL $_; $wait", 'PT400', 'operation-not-permitted', $_) for 'REPEATABLE READ', 'SERIALIZABLE';
refused("SELECT w.* FROM esgf_stac.patch_item('CMIP6', 'item-1.v1', '{\"properties\": {\"x\": 2}}') r, LATERAL esgf_stac.wait_for_delivery(r.event_id) w", 'PT400', 'operation-not-permitted', 'in the statement of the change');
is($node->safe_psql('postgres', q{SELECT version FROM esgf_stac.item WHERE id = 'item-1.v1'}), 1, 'nothing was changed');
$node->safe_psql('postgres', 'CREATE ROLE ada IN ROLE esgf_stac_writer LOGIN; CREATE ROLE api IN ROLE esgf_stac_gateway LOGIN');
refused("SET ROLE ada; $wait", 'PT404', 'event-does-not-exist', 'another author\'s event is none');
refused("SET ROLE api; $wait", 'PT401', 'identity-missing', 'a gateway says for whom it waits');

# Pruned meanwhile, the event is gone.
$event = event(3);
$waiter = start_waiting("'$event', '{east}', '60 s'");
is($node->safe_psql('postgres', q{SELECT esgf_stac.prune_outbox('0', true) > 0}), 't', 'events are pruned');
like(answer($waiter), qr/event $event does not exist/, 'who waited for one is told so');

$node->stop;
done_testing();
