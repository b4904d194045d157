# What the tests of a catalogue under Patroni share: etcd, and three servers that
# replicate synchronously, configured as doc/high-availability.md says.
#
#	my $reason = patroni_missing();
#	plan skip_all => $reason if $reason;
#	start_cluster();
#	my $leader = leader();
#
# They take their time: ESGF_STAC_PATRONI asks for them. PATRONI names the program,
# where it is not the one in the path.
package PatroniTest;

use strict;
use warnings;

use Exporter 'import';
use HTTP::Tiny;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(patroni_missing start_cluster start_beside start_node kill_node restart_patroni processes_of configure
  has_failover_slots node_names conninfo port_of rest_port_of free_port rest sql leader candidate is_whole slots_are_ready switch_over);

my $patroni = $ENV{PATRONI} // 'patroni';
my $dir = PostgreSQL::Test::Utils::tempdir_short;
my @names = qw(node1 node2 node3);
my (%node, %programs, $etcd);

# Why there can be no such test; nothing if there can. Says which programs there are.
sub patroni_missing
{
	$ENV{ESGF_STAC_PATRONI} or return 'a run of some minutes: set ESGF_STAC_PATRONI=10';
	my ($version, $etcd_version) = ('', '');
	eval { IPC::Run::run([ $patroni, '--version' ], '>', \$version) && IPC::Run::run([qw(etcd --version)], '>', \$etcd_version) }
	  or return 'there is no patroni, or no etcd';
	diag 'figure: ', join ', ', map { s/\n.*//sr } $version, $etcd_version, scalar `postgres --version`;
	return '';
}

# Are the relays' slots copied by PostgreSQL, not by Patroni?
sub has_failover_slots { return `postgres --version` =~ /(\d+)/ && $1 >= 17; }

sub node_names { return @names; }

sub port_of { return $node{ $_[0] }{port}; }

sub rest_port_of { return $node{ $_[0] }{rest}; }

sub free_port { return PostgreSQL::Test::Cluster::get_free_port(); }

# ---------------------------------------------------------------- servers

# Start a program that dies with the test, in a process group of its own.
sub start_beside
{
	my ($name, @command) = @_;
	$programs{$name} = IPC::Run::start([ qw(setpriv --pdeathsig KILL --), @command ],
		'<', '/dev/null', '>>', "$PostgreSQL::Test::Utils::log_path/$name.log", '2>&1');
	return;
}

# The configuration of a node; more is for the DCS.
sub configuration
{
	my ($name, %dcs) = @_;
	my $node = $node{$name};
	my $others = join ',', grep { $_ ne $name } @names;
	my %own = (unix_socket_directories => $dir, fsync => 'off', has_failover_slots() ? (synchronized_standby_slots => $others) : ());
	my %common = (
		wal_level => 'logical', hot_standby_feedback => 'on', wal_log_hints => 'on', max_wal_senders => 20, max_replication_slots => 20,
		wal_keep_size => '512MB', has_failover_slots() ? (sync_replication_slots => 'on') : ());
	my @hba = ('local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust');
	return JSON::PP->new->canonical->encode({
			scope => 'esgf', name => $name,
			restapi => { listen => "127.0.0.1:$node->{rest}", connect_address => "127.0.0.1:$node->{rest}" },
			etcd3 => { host => "127.0.0.1:$etcd" },
			bootstrap => {
				dcs => {
					ttl => 20, loop_wait => 5, retry_timeout => 5, synchronous_mode => JSON::PP::true,
					postgresql => { use_pg_rewind => JSON::PP::true, use_slots => JSON::PP::true, parameters => \%common },
					%dcs,
				},
				initdb => [ { encoding => 'UTF8' }, { locale => 'C.UTF-8' } ],
			},
			postgresql => {
				listen => "127.0.0.1:$node->{port}", connect_address => "127.0.0.1:$node->{port}",
				data_dir => "$dir/$name", bin_dir => `pg_config --bindir` =~ s/\n//r, pgpass => "$dir/pgpass_$name",
				pg_hba => \@hba, parameters => \%own,
				authentication => { superuser => { username => 'postgres' }, replication => { username => 'replicator' } },
			},
	});
}

# etcd, a leader, two standbys that stream, and a catalogue with a collection; settings of its own are for the DCS.
sub start_cluster
{
	my (%dcs) = @_;
	my $peer = free_port();
	$etcd = free_port();
	%node = map { $_ => { port => free_port(), rest => free_port() } } @names;
	mkdir "$dir/etcd";
	start_beside('etcd', 'etcd', '--data-dir', "$dir/etcd", '--listen-client-urls', "http://127.0.0.1:$etcd", '--advertise-client-urls', "http://127.0.0.1:$etcd",
		'--listen-peer-urls', "http://127.0.0.1:$peer", '--initial-advertise-peer-urls', "http://127.0.0.1:$peer",
		'--initial-cluster', "default=http://127.0.0.1:$peer", '--heartbeat-interval', 500, '--election-timeout', 5000);
	append_to_file("$dir/$_.yml", configuration($_, %dcs)) for @names;
	start_node('node1');
	wait_for('a leader', sub { usleep(500_000); leader() }) or BAIL_OUT('there is no leader: see the logs');
	start_node($_) for qw(node2 node3);
	wait_for('two standbys', sub { usleep(500_000); is_whole() }) or BAIL_OUT('there are no standbys: see the logs');
	sql('CREATE EXTENSION esgf_stac; SELECT esgf_stac.create_catalogue()');
	sql(q{SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6", "description": "d", "license": "CC-BY-4.0", "links": [],
		"extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}')});
	return;
}

sub start_node
{
	my ($name) = @_;
	start_beside($name, $patroni, "$dir/$name.yml");
	return;
}

# Every process of a node: Patroni, its server, and that one's children.
sub processes_of
{
	my ($name) = @_;
	my $program = $programs{$name}{KIDS}[0]{PID};
	my ($server) = -e "$dir/$name/postmaster.pid" ? slurp_file("$dir/$name/postmaster.pid") =~ /^(\d+)/ : ();
	return ($program, split(' ', `pgrep -P $program`), $server ? ($server, split ' ', `pgrep -P $server`) : ());
}

sub kill_node
{
	my ($name) = @_;
	kill 'KILL', processes_of($name);
	$programs{$name}->finish;
	return;
}

# Start Patroni anew, and leave its server alone.
sub restart_patroni
{
	my ($name) = @_;
	my $program = $programs{$name}{KIDS}[0]{PID};
	kill 'KILL', $program;
	$programs{$name}->finish;
	start_node($name);
	wait_for("Patroni of $name", sub { usleep(200_000); rest($name, 'GET', 'patroni') });
	return;
}

# ---------------------------------------------------------------- asking

# What Patroni of a node answers; undef if that is no success.
sub rest
{
	my ($name, $method, $path, $body) = @_;
	my $answer = HTTP::Tiny->new(timeout => 5)->request($method, "http://127.0.0.1:$node{$name}{rest}/$path",
		{ $body ? (content => JSON::PP::encode_json($body), headers => { 'content-type' => 'application/json' }) : () });
	return $answer->{success} ? eval { JSON::PP::decode_json($answer->{content}) } // {} : undef;
}

# Change the configuration in the DCS; undef takes a setting out.
sub configure { return rest(leader(), 'PATCH', 'config', {@_}) }

# How the leader is found.
sub conninfo
{
	return 'dbname=postgres user=postgres connect_timeout=3 target_session_attrs=read-write host='
	  . join(',', map { '127.0.0.1' } @names) . ' port=' . join(',', map { $node{$_}{port} } @names);
}

# Run SQL at a node, or at the leader: what it prints; undef if that fails.
sub sql
{
	my ($query, $name) = @_;
	my ($out, $err) = ('', '');
	my $where = $name ? "dbname=postgres user=postgres connect_timeout=3 host=127.0.0.1 port=$node{$name}{port}" : conninfo();
	return IPC::Run::run([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $where, '-c', $query ], '<', \undef, '>', \$out, '2>', \$err) ? $out =~ s/\n\z//r : undef;
}

# The node that is written to.
sub leader
{
	my $port = sql('SHOW port') // return;
	my ($name) = grep { $node{$_}{port} == $port } @names;
	return $name;
}

# Do both standbys stream, and may one of them take over, as far as Patroni knows?
sub is_whole
{
	my $count = sql(q{SELECT count(*) FROM pg_stat_replication WHERE application_name LIKE 'node%' AND state = 'streaming'}) // return;
	return $count == 2 && candidate(leader() // return);
}

# The standby that Patroni would have take over; undef if there is none.
sub candidate
{
	my ($leader) = @_;
	my $cluster = rest($leader, 'GET', 'cluster') // return;
	my ($name) = map { $_->{name} } grep { ($_->{role} // '') =~ /sync|quorum/ } @{ $cluster->{members} // [] };
	return $name;
}

# Has each standby a copy of so many slots of ours that it could go on with?
sub slots_are_ready
{
	my ($count) = @_;
	my $leader = leader() // return;
	my $ready = has_failover_slots() ? 'synced AND NOT temporary' : 'true';
	my $query = "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'esgf_stac_%' AND $ready";
	return !grep { $_ ne $leader && (sql($query, $_) // 0) != $count } @names;
}

# Have the synchronous standby take over: who led, who does, and when that was asked for.
sub switch_over
{
	my ($leader, $candidate);
	wait_for('a candidate', sub { $leader = leader(); $candidate = $leader && candidate($leader) });
	my $since = time;
	rest($leader, 'POST', 'switchover', { leader => $leader, candidate => $candidate });
	return ($leader, $candidate, $since);
}

END
{
	my $status = $?;
	for my $name (keys %programs)
	{
		kill 'KILL', exists $node{$name} ? processes_of($name) : $programs{$name}{KIDS}[0]{PID};
		$programs{$name}->kill_kill;
	}
	$? = $status;
}

1;
