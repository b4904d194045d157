# Jobs that tell items of rules: they begin when every transaction that ran when the rule was set has ended, prepared ones too; one that
# is cancelled, or whose server is killed, goes on where it stood; several callers share them; what is finished is pruned, and not made
# again; doctor() tells of those that nobody runs. Jobs that a new rule starts on a site's stream wait for the same.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;
use Time::HiRes qw(time);

my $node = catalogue_node('jobs', "max_prepared_transactions = 2\nrestart_after_crash = on\njit = off");
my $dir = PostgreSQL::Test::Utils::tempdir;
my $items = 6000;
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub job { my ($columns, $name) = @_; return sql("SELECT concat_ws('|', $columns) FROM esgf_stac.rule_job j JOIN esgf_stac.replication_rule r ON r.id = j.rule_id WHERE r.name = '" . ($name // 'all') . "' ORDER BY j.id DESC LIMIT 1") }
sub refresh { my ($most) = @_; return sql('SELECT esgf_stac.refresh_rules(' . ($most // '') . ')') }

new_items($node, 1, 3);
sql(qq{
	INSERT INTO esgf_stac.site (node, href_prefixes) SELECT n || '.org', ARRAY['https://' || n || '.org/'] FROM unnest('{a,n}'::text[]) n;
	CREATE TABLE other (n int);
	SET session_replication_role = replica;
	INSERT INTO esgf_stac.item (collection_id, id, version, base_id, latest, retracted, nodes, document, created, updated)
	SELECT 'CMIP6', 'x' || lpad(n::text, 5, '0'), 1, 'x' || n, true, false, '{a.org}', jsonb_build_object('properties', jsonb_build_object('n', n, 'text', repeat('text ', 500)),
	       'assets', jsonb_build_object('f.nc', jsonb_build_object('href', 'https://a.org/f.nc', 'alternate:name', 'a.org', 'roles', '["data"]'::jsonb))), now(), now()
	  FROM generate_series(4, $items) n});

# Who wrote anything when the rule was set may not know it.
my $writer = open_session($node);
in_session($writer, 'BEGIN; INSERT INTO other VALUES (1);');
sql(q{BEGIN; SELECT esgf_stac.patch_item('CMIP6', 'item-1.v1', '{"properties": {"title": "prepared"}}'); PREPARE TRANSACTION 'p'});
sql(q{SELECT esgf_stac.set_replication_rule('n.org', 'all')});
is(refresh(100) . ' ' . job('state, items_done'), '1 pending|0', 'a job waits for who wrote something else');
in_session($writer, 'COMMIT;');
is(refresh(100) . ' ' . job('state, items_done'), '1 pending|0', 'and for who is prepared');
sql(q{COMMIT PREPARED 'p'});
is(refresh(100) . ' ' . job('state, items_done, items_total > 0, applied'), '1 running|100|t', 'then it begins');
in_session($writer, 'BEGIN; INSERT INTO other VALUES (2);');
is(refresh(100) . ' ' . job('state, items_done'), '1 running|200', 'who came later keeps nobody waiting');
roll_back($writer);

# Cancelled.
my $began = time;
my ($status, undef, $why) = $node->psql('postgres', q{SET statement_timeout = '20ms'; SELECT esgf_stac.refresh_rules(1000000)});
note sprintf 'a call with a timeout of 20 ms ended after %.0f ms', 1000 * (time - $began);
like($why, qr/canceling statement due to statement timeout/, 'a call is cancelled');
is(job('state, items_done, error, applied'), 'running|200', 'and has done nothing');
is(refresh(300) . ' ' . job('items_done'), '1 500', 'the next one goes on');

# The server is killed under it.
my $call = IPC::Run::start([ 'psql', '-Xq', '-d', $node->connstr('postgres'), '-c', 'SELECT esgf_stac.refresh_rules(1000000)' ], '<', \undef, '>', "$dir/call", '2>', "$dir/call.errors");
my $pid;
wait_for('it to run', sub { $pid = sql(q{SELECT pid FROM pg_stat_activity WHERE query = 'SELECT esgf_stac.refresh_rules(1000000)' AND state = 'active'}) });
kill 'KILL', $pid;
$call->finish;
like(slurp_file("$dir/call.errors"), qr/server closed the connection|terminating connection/, 'a call is killed');
$node->poll_query_until('postgres', 'SELECT true');
is(job('state, items_done, error, applied'), 'running|500', 'a crash loses what it did, and nothing else');

# Several at once, and a job more.
sql(q{SELECT esgf_stac.set_replication_rule('a.org', 'some', '{CMIP6}', '$.properties.n > 100')});
my @callers = map {
	IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-c', q{DO $$ BEGIN WHILE esgf_stac.refresh_rules(400) > 0 LOOP COMMIT; PERFORM pg_sleep(0.01); END LOOP; END $$} ], '<', \undef, '>', "$dir/caller$_", '2>&1')
} 1 .. 4;
$_->finish for @callers;
is(join('', map { slurp_file("$dir/caller$_") } 1 .. 4), '', 'several call it at once');
is(job('state, items_done, applied IS NOT NULL, error') . ' ' . job('state, items_done, applied IS NOT NULL, error', 'some'), "completed|$items|t completed|$items|t", 'each item is looked at once');
is(sql('SELECT node, count(*) FROM esgf_stac.site_item GROUP BY 1 ORDER BY 1'), 'a.org|' . ($items - 100) . "\nn.org|$items", 'and knows its rules');

# A rule that ends while its items are told of it, or later, is told to be over; finished jobs go, and none comes back.
sql(q{SELECT esgf_stac.set_replication_rule('n.org', 'short', NULL, '$.properties.n > 10', valid_to => clock_timestamp() + interval '700 ms')});
refresh(1000000);
wait_for('its end', sub { sql(q{SELECT valid_to <= clock_timestamp() FROM esgf_stac.replication_rule WHERE name = 'short'}) eq 't' });
wait_for('all is told', sub { refresh() == 0 });
is(job('ending, state, applied > valid_to', 'short'), 't|completed|t', 'items hear of its end');
is(sql(q{SELECT count(*) FROM esgf_stac.site_item s JOIN esgf_stac.replication_rule r ON r.id = ANY (s.rules) WHERE r.name = 'short'}), 0, 'every one');
my $jobs = sql('SELECT count(*) FROM esgf_stac.rule_job');
sql(q{SELECT esgf_stac.prune_outbox('1 hour')});
is(sql('SELECT count(*) FROM esgf_stac.rule_job'), $jobs, 'what finished lately stays');
sql(q{UPDATE esgf_stac.rule_job SET finished = finished - interval '2 hours'; SELECT esgf_stac.set_replication_rule('n.org', 'new', '{none}'); SELECT esgf_stac.prune_outbox('1 hour')});
is(sql('SELECT string_agg(r.name, $$ $$) FROM esgf_stac.rule_job j JOIN esgf_stac.replication_rule r ON r.id = j.rule_id'), 'new', 'what did long ago goes, and no other');
is(sql(q{SELECT esgf_stac.prune_outbox('0 seconds'), esgf_stac.refresh_rules(); SELECT count(*) FROM esgf_stac.rule_job WHERE ending}) =~ /\n0\z/, 1, 'and is not made again');
is(sql(q{SELECT count(*) FROM esgf_stac.doctor() WHERE hazard IN ('unread rule', 'rule without site')}), 0, 'all is well');

# What nobody runs.
sql(q{SELECT esgf_stac.set_replication_rule('a.org', 'idle'), esgf_stac.set_replication_rule('a.org', 'over', valid_to => now() + interval '1 hour');
	DELETE FROM esgf_stac.site WHERE node = 'a.org';
	UPDATE esgf_stac.rule_job SET updated = now() - interval '6 minutes' WHERE finished IS NULL;
	SET session_replication_role = replica;
	UPDATE esgf_stac.replication_rule SET valid_to = now() - interval '6 minutes', valid_from = now() - interval '1 hour' WHERE name = 'over'});
my $told = sql(q{SELECT hazard || ': ' || detail FROM esgf_stac.doctor() WHERE hazard IN ('unread rule', 'rule without site') ORDER BY 1});
like($told, qr/^unread rule: items are not told of the new rule "idle" of a\.org: nobody/m, 'doctor() tells of a job that nobody runs');
like($told, qr/^unread rule: items are not told of the end of rule "over" of a\.org: nobody/m, 'of an end that nobody tells');
like($told, qr/^rule without site: rule "some" is of node a\.org/m, 'and of a rule whose node is no site');
wait_for('all is told', sub { refresh(1000000) == 0 });
unlike(sql(q{SELECT string_agg(hazard, ' ') FROM esgf_stac.doctor()}), qr/unread rule/, 'until somebody does');

# The stream of a site: who may not know a rule when it is set is waited for, too, and what he has written is sent.
my $file = "$dir/n";
sql(q{SELECT esgf_stac.drop_replication_rule('n.org', name) FROM (VALUES ('all'), ('new')) r(name); SELECT esgf_stac.create_stream('n', node => 'n.org')});
my $relay = start_relay($node, "$dir/log", '--stream', 'n', '--sink', "ndjson:$file", '--create', '--snapshot');
wait_for('the stream is read', sub { sql('SELECT count(*) FROM esgf_stac.consumer WHERE delivering_since IS NOT NULL') == 1 });
$writer = open_session($node);
in_session($writer, q{BEGIN; SELECT esgf_stac.patch_item('CMIP6', 'item-1.v1', '{"properties": {"title": "before"}}');});
sql(q{SELECT esgf_stac.set_replication_rule('n.org', 'few', NULL, '$.properties.n < 4')});
my $iteration = q{SELECT concat_ws('|', state, items_sent, as_of IS NOT NULL) FROM esgf_stac.iteration_job};
wait_for('a worker has it', sub { sql($iteration) =~ /^running\|0\|t$/ });
in_session($writer, q{SELECT esgf_stac.patch_item('CMIP6', 'item-2.v1', '{"properties": {"title": "after"}}');});
sql(q{SELECT esgf_stac.patch_item('CMIP6', 'item-3.v1', '{"properties": {"title": "meanwhile"}}')});
wait_for('an event of who knows it', sub { grep { ($_->{item_id} // '') eq 'item-3.v1' } read_events($file) });
is(sql($iteration), 'running|0|t', 'the job of a new rule waits for who may not know it');
is(job('state', 'few'), 'pending', 'as does that which tells items, which the relay runs');
in_session($writer, 'COMMIT;');
wait_for('both are done', sub { sql($iteration) =~ /^completed/ && job('state', 'few') eq 'completed' });
wait_for('all is delivered', sub { sql('SELECT lag_events FROM esgf_stac.stream_status') == 0 });
my %last = map { $_->{item_id} => $_ } grep { defined $_->{item_id} } read_events($file);
is(join(' ', map { "$_:$last{$_}{version}:" . ($last{$_}{document}{properties}{title} // '') } sort keys %last), 'item-1.v1:3:before item-2.v1:2:after item-3.v1:2:meanwhile', 'then the site has all that the rule matches');
roll_back($writer);
is(stop_relay($relay), 0, 'the relay ends');
done_testing();
