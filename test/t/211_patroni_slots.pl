# What doc/high-availability.md says beside the cost of a failover: which slots
# outlive Patroni, HAProxy and pgbouncer before the leader, and a failover that
# loses changes. Three servers under Patroni and etcd.
#
#	ESGF_STAC_PATRONI=1 scripts/test t/211
#
# takes some minutes; unless that is set, all is skipped.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use JSON::PP ();
use PatroniTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PythonTest;
use RelayTest;
use Test::More;
use Time::HiRes qw(time usleep);

my $reason = patroni_missing();
plan skip_all => $reason if $reason;

my $page = slurp_file("$FindBin::RealBin/../../doc/high-availability.md");
my $dir = PostgreSQL::Test::Utils::tempdir;
my $index = PostgreSQL::Test::Cluster->new('index');
$index->init;
$index->start;
my @sink = ('--stream', 'east', '--sink', 'postgres:' . $index->connstr('postgres') . '#public.items');
my %slot = (type => 'logical', database => 'postgres', plugin => 'pgoutput');

# Write something about an item; its version.
sub write_item
{
	my ($n, $title) = @_;
	return sql(defined $title
		? qq{SELECT version FROM esgf_stac.patch_item('CMIP6', 'item-$n', '{"properties": {"title": "$title"}}')}
		: qq{SELECT version FROM esgf_stac.create_item('CMIP6', '{"type": "Feature", "stac_version": "1.1.0", "id": "item-$n", "geometry": null,
			"links": [], "assets": {}, "properties": {"datetime": "2020-01-01T00:00:00Z"}}')});
}

# Which version of an item has the index?
sub delivered { return $index->safe_psql('postgres', "SELECT coalesce(max(version), 0) FROM items WHERE item_id = 'item-$_[0]'"); }

sub start_east
{
	my ($conninfo, @more) = @_;
	return IPC::Run::start([ 'esgf_stac_relay', '--dbname', $conninfo =~ s/connect_timeout=\d+ //r, @sink, @more ], '<', \undef, '>', '/dev/null', '2>>', "$dir/relay");
}

# Run the relay once, with more options: its exit status; its log is added to the other's.
sub run_east
{
	my ($conninfo, @more) = @_;
	my $once = start_east($conninfo, '--no-loop', @more);
	$once->finish;
	return $once->full_result(0) >> 8;
}

# The slots of a node that are neither the relay's nor a standby's.
sub slots_at
{
	my ($name) = @_;
	return sql(q{SELECT coalesce(string_agg(slot_name, ' ' ORDER BY slot_name), '') FROM pg_replication_slots WHERE slot_name IN ('kept', 'other', 'stray')}, $name) // '?';
}

sub make_slot
{
	my ($name, $more) = @_;
	return sql("SELECT pg_create_logical_replication_slot('$name', 'pgoutput'" . ($more // '') . ')');
}

# Until that is so, asking every now and then.
sub wait_until
{
	my ($what, $test) = @_;
	return ok(wait_for($what, sub { usleep(300_000); $test->() }), $what);
}

start_cluster(loop_wait => 2, retry_timeout => 3);
sql(q{SELECT esgf_stac.create_stream('east')});
my $relay = start_east(conninfo(), '--create');
write_item($_) for 1 .. 5;
wait_until('the relay delivers', sub { eval { delivered(5) } });

# ---------------------------------------------------------------- slots that Patroni does not know

make_slot('other');
make_slot('kept', ', false, false, true') if has_failover_slots();
my $leader = leader();
restart_patroni($leader);
my $spared = has_failover_slots() ? 'kept' : '';
wait_until('Patroni that is started anew drops a slot that nobody reads' . ($spared && ', and spares a failover slot'), sub { slots_at($leader) eq $spared });
is(sql(q{SELECT active FROM pg_replication_slots WHERE slot_name = 'esgf_stac_east'}), 't', 'the one that the relay reads stays');
make_slot('other');

if (has_failover_slots())
{
	my ($standby) = grep { $_ ne $leader } node_names();
	kill_node($standby);
	start_node($standby);
	wait_until('a standby rejoins', \&is_whole);
	is(slots_at($leader), 'kept other', 'that alone costs no slot');
}
else
{
	# It tries to drop the relay's in each of its rounds, and finds those of others then.
	wait_until('while an unknown slot is read, one that is not is dropped without any occasion', sub { slots_at($leader) eq '' });
}
stop_relay($relay);
restart_patroni($leader) if has_failover_slots();
my $relays = q{SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'esgf_stac_east'};
wait_until('the one of a relay that is stopped ' . (has_failover_slots() ? 'stays' : 'is dropped, too'),
	sub { sql($relays) eq (has_failover_slots() ? 1 : 0) && slots_at($leader) eq $spared });
my $version = write_item(5, 'meanwhile');
$relay = start_east(conninfo());
wait_until('and it loses nothing', sub { delivered(5) == $version });
is(scalar(() = slurp_file("$dir/relay") =~ /problem=slot-missing/g), has_failover_slots() ? 0 : 1, 'its log says what it found');

if (has_failover_slots())
{
	# In the DCS it would name a node's own slot, too.
	sql(q{ALTER SYSTEM SET synchronized_standby_slots = 'node1,node2,node3'});
	sql('SELECT pg_reload_conf()');
	wait_until('a node that names itself', sub { sql('SHOW synchronized_standby_slots') eq 'node1,node2,node3' });
	$version = write_item(5, 'withheld');
	wait_until('delivers nothing', sub { (sql(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'WaitForStandbyConfirmation'}) // 0) > 0 });
	usleep(3_000_000);
	cmp_ok(delivered(5), '<', $version, 'all the time');
	sql('ALTER SYSTEM RESET synchronized_standby_slots');
	sql('SELECT pg_reload_conf()');
	wait_until('until that is put right', sub { delivered(5) == $version });
}

# ---------------------------------------------------------------- ignore_slots

configure(ignore_slots => [ { %slot, name => 'other' } ]);
restart_patroni($leader);    # which knows of it from here on
make_slot($_) for grep { slots_at($leader) !~ /$_/ } qw(other stray);
restart_patroni($leader);
wait_until('ignore_slots keeps one of two', sub { slots_at($leader) =~ /other/ && slots_at($leader) !~ /stray/ });
my ($former, $next) = switch_over();
wait_until('a new leader', sub { (leader() // $former) ne $former && is_whole() });
my $held = q{SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'other'};
my $before = sql($held, $former);
for (1 .. 3) { sql('SELECT pg_switch_wal()'); write_item(1, "wal $_"); sql('CHECKPOINT'); }
my $end = sql('SELECT pg_current_wal_lsn()');
wait_until('the former leader follows', sub { (sql("SELECT pg_last_wal_replay_lsn() >= '$end'", $former) // '') eq 't' });
sql('CHECKPOINT', $former);
is(sql($held, $former), $before, 'the copy that stays at the former leader does not move');
cmp_ok(sql(q{SELECT pg_last_wal_replay_lsn() - restart_lsn FROM pg_replication_slots WHERE slot_name = 'other'}, $former) // 0, '>', 2 * 16 * 1024 * 1024, 'and holds WAL');
unlike(slots_at($next), qr/other/, 'the new leader has none');

# ---------------------------------------------------------------- slots of the DCS

configure(ignore_slots => undef, slots => { other => {%slot}, has_failover_slots() ? () : (esgf_stac_east => {%slot}) });
wait_until('each node has the slot', sub { !grep { slots_at($_) !~ /other/ } node_names() });
isnt(sql($held, $former), $before, 'the one that stayed is moved, too');

# What a reader of that slot is given: how many rows.
sub read_slot
{
	return sql(q{SELECT count(*) FROM pg_logical_slot_get_binary_changes('other', NULL, NULL, 'proto_version', '1', 'publication_names', 'esgf_stac_east')
		WHERE get_byte(data, 0) = ascii('I')});
}
read_slot();
my $confirmed = sql(q{SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'other'});
wait_until('the copies move', sub { !grep { (sql("SELECT confirmed_flush_lsn >= '$confirmed' FROM pg_replication_slots WHERE slot_name = 'other'", $_) // '') ne 't' } node_names() });
write_item($_, 'before') for 1 .. 5;
($former, $next) = switch_over();
wait_until('a new leader', sub { (leader() // $former) ne $former });
write_item($_, 'after') for 1 .. 5;
is(read_slot(), 10, 'after a switchover a reader of it has all that was written before and after');
wait_until('both standbys', \&is_whole);

$leader = leader();
sql(q{SELECT pg_drop_replication_slot('other')});
wait_until('dropped by hand, Patroni makes it again', sub { slots_at($leader) =~ /other/ });
configure(slots => { other => undef });
wait_until('taken out of the DCS it is dropped everywhere', sub { !grep { slots_at($_) =~ /other/ } node_names() });

# ---------------------------------------------------------------- HAProxy and pgbouncer

# HAProxy as the page has it, at that port.
sub start_haproxy
{
	my ($port) = @_;
	my ($section) = $page =~ /^    (listen leader\n(?:    [^\n]*\n)+)/m;
	$section =~ s/\*:5000/127.0.0.1:$port/;
	$section =~ s/10\.0\.0\.(\d):5432 check port 8008/sprintf '127.0.0.1:%d check port %d', port_of("node$1"), rest_port_of("node$1")/ge;
	append_to_file("$dir/haproxy.cfg", "defaults\n    timeout connect 3s\n$section");
	start_beside('haproxy', qw(haproxy -db -f), "$dir/haproxy.cfg");
	return;
}

# pgbouncer at that port, with one connection for all of a login, behind the other.
sub start_pgbouncer
{
	my ($port, $behind) = @_;
	append_to_file("$dir/users", qq{"gateway" ""\n"postgres" ""\n});
	append_to_file("$dir/pgbouncer.ini", "[databases]\npostgres = host=127.0.0.1 port=$behind\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = $port\nunix_socket_dir =\n"
		  . "auth_type = trust\nauth_file = $dir/users\npool_mode = transaction\ndefault_pool_size = 1\n");
	start_beside('pgbouncer', 'pgbouncer', "$dir/pgbouncer.ini");
	return;
}

# What SQL through one of them prints, and what it is told.
sub ask
{
	my ($conninfo, @commands) = @_;
	my $output = '';
	IPC::Run::run([ 'psql', '-XqAt', '-d', $conninfo, map { ('-c', $_) } @commands ], '<', \undef, '>', \$output, '2>', \$output);
	return $output;
}

my $patch = q{SELECT version FROM esgf_stac.patch_item('CMIP6', 'item-1', jsonb_build_object('properties', jsonb_build_object('n', random())))};
my $proxy = 'user=postgres dbname=postgres connect_timeout=3 host=127.0.0.1 port=' . (my $proxy_port = free_port());
SKIP:
{
	skip 'there is no haproxy', 1 if !(run_program('', qw(haproxy -v)))[0];
	start_haproxy($proxy_port);
	wait_until('HAProxy finds the leader', sub { ($version) = ask($proxy, $patch) =~ /^(\d+)$/ });
	stop_relay($relay);
	$relay = start_east($proxy);
	wait_until('a relay delivers through it', sub { delivered(1) >= $version });
	wait_until('both standbys', \&is_whole);
	$leader = leader();
	my $killed = time;
	kill_node($leader);
	wait_until('HAProxy finds another', sub { ($version) = ask($proxy, $patch) =~ /^(\d+)$/ });
	my $written = time;
	start_node($leader);
	wait_until('and so does the relay', sub { delivered(1) >= $version });
	diag sprintf 'figure: through HAProxy: %.1f s until a write, delivered %.1f s later', $written - $killed, time - $written;
	wait_until('both standbys', \&is_whole);

	my ($found, $release) = run_program('', qw(pgbouncer --version));
	skip 'there is no pgbouncer', 1 if !$found;
	($release) = $release =~ /(\d+\.\d+)/;
	my $pool = 'dbname=postgres host=127.0.0.1 port=' . (my $pool_port = free_port());
	start_pgbouncer($pool_port, $proxy_port);
	sql(q{CREATE ROLE gateway LOGIN IN ROLE esgf_stac_gateway; SELECT esgf_stac.grant_access('group:g', 'UPDATE', 'project', 'CMIP6')});
	wait_until('pgbouncer answers', sub { ask("$pool user=gateway", 'SELECT 1') eq "1\n" });
	my $identity = q{SELECT esgf_stac.set_identity('{"sub": "ada", "principals": ["group:g"]}')};
	like(ask("$pool user=gateway", 'BEGIN', $identity, $patch, 'COMMIT'), qr/^\s*\d+$/, 'an identity and a verb in one transaction');
	is(ask("$pool user=gateway", 'SELECT pg_backend_pid()'), ask("$pool user=gateway", 'SELECT pg_backend_pid()'), 'all are on one connection');
	like(ask("$pool user=gateway", $patch), qr/must say for whom it acts/, 'the next client is told to say for whom he acts');
	ask("$pool user=gateway", q{SET statement_timeout = '77s'});
	is(ask("$pool user=gateway", 'SHOW statement_timeout'), "77s\n", "what SET sets without LOCAL is the next client's, too");

	is(run_east("$pool user=postgres", '--server-timeout', 5), 3, 'a relay is not served');
	like(slurp_file("$dir/relay"), qr/unsupported startup parameter: replication/, 'and told so') if $release < 1.23;

	my ($python) = python_packages('psycopg[binary]==3.3.9');
	skip 'psycopg is not to be had', 1 if !$python;
	local $ENV{PYTHONPATH} = $python;
	for my $threshold (0, 'None')
	{
		my ($done, undef, $why) = run_program(<<"END", qw(python3 -));
import psycopg
for n in range(2):
    with psycopg.connect("$pool user=gateway", prepare_threshold=$threshold, autocommit=True) as connection:
        for m in range(3):
            connection.execute("SELECT %s::int", [m])
END
		diag "figure: pgbouncer $release, prepare_threshold=$threshold: " . ($done ? 'works' : $why);
		ok($done, 'statements that psycopg does not prepare') if $threshold;
	}
}

# ---------------------------------------------------------------- a failover that loses changes

stop_relay($relay);
$relay = start_east(conninfo());
configure(synchronous_mode => JSON::PP::false);
wait_until('no COMMIT waits', sub { (sql('SHOW synchronous_standby_names') // '?') eq '' });
write_item(3, 'all have it');
my $last = write_item(4, 'all have it');
wait_until('that is delivered', sub { delivered(4) >= $last });
$leader = leader();
my @standbys = grep { $_ ne $leader } node_names();
kill_node($_) for @standbys;
my $lost = write_item(4, 'only the leader has it');

if (has_failover_slots())
{
	ok(wait_for('the leader to wait', sub { (sql(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'WaitForStandbyConfirmation'}) // 0) > 0 }), 'the leader waits for the standbys');
	is(delivered(4), $last, 'no index has what they have not');
}
else
{
	wait_until('the index has it', sub { delivered(4) == $lost });
}
kill_node($leader);
start_node($_) for @standbys;
wait_until('a standby takes over', sub { leader() });
start_node($leader);
is(sql(q{SELECT version FROM esgf_stac.published_item WHERE id = 'item-4'}), $last, 'the change is lost');
write_item(5, 'by the new leader');
if (!has_failover_slots())
{
	$relay->finish;
	is($relay->full_result(0) >> 8, 4, 'the relay has stopped');
	like(slurp_file("$dir/relay"), qr/problem=history-diverged/, 'and says why');
	my ($heal) = slurp_file("$FindBin::RealBin/../../doc/verify.md") =~ /^    esgf_stac_relay --dbname ... --stream east --sink ... (--verify --deep --repair)$/m;
	is(run_east(conninfo(), split ' ', $heal), 0, 'it is healed as the page says') or diag slurp_file("$dir/relay");
	$relay = start_east(conninfo());
}
write_item(4, 'once more');
wait_until('the relay goes on', sub { $index->safe_psql('postgres', q{SELECT document #>> '{properties,title}' FROM items WHERE item_id = 'item-4'}) eq 'once more' });
is(run_east(conninfo(), qw(--verify --deep)), 0, 'the index is equal to the truth') or diag slurp_file("$dir/relay");
is(stop_relay($relay), 0, 'the relay stops as asked');

done_testing();
