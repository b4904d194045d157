# What tests that need a real server share: Kafka, OpenSearch, the search API
# stac-fastapi-opensearch and the federation's transaction API, each on free ports of 127.0.0.1 with an empty folder,
# that can be stopped, killed, and started again where they were; and Debezium's
# engine, which reads from PostgreSQL. scripts/server says what they are.
#
#	my $reason = server_missing('kafka');
#	plan skip_all => $reason if $reason;
#	my $kafka = start_kafka('message.max.bytes' => 1_000_000);
#	kcat($kafka, "hello\n", '-P', '-t', 'topic');
#
# A server is a hash: kind, folder, log, port, and address "127.0.0.1:PORT"; an
# engine has no port, but the file "output".
package ServerTest;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(basename dirname);
use HTTP::Tiny;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(server_missing start_kafka start_opensearch start_stac_api start_transaction_api start_debezium
  start_server stop_server kill_server kcat http);

my $program = abs_path(dirname(__FILE__) . '/../../scripts/server');
my $deadline = $PostgreSQL::Test::Utils::timeout_default;

# The servers that run, to be killed should the test die.
my %running;

my %is_up = (kafka => \&kafka_is_up, opensearch => \&opensearch_is_up, stac_api => \&stac_api_is_up, transaction_api => \&transaction_api_is_up, debezium => sub { 1 });

# Why one of the servers named cannot run here; nothing if all can.
sub server_missing
{
	my @names = @_;
	my $reason = '';
	IPC::Run::run([ $program, 'check', @names ], '2>', \$reason);
	return $reason =~ s/\s+\z//r;
}

# A broker that makes topics when they are written to; settings of its own.
sub start_kafka
{
	my %settings = @_;
	return new_server('kafka', free_port(), map { "$_=$settings{$_}" } sort keys %settings);
}

# A node without security, and without indices; settings of its own.
sub start_opensearch
{
	my %settings = @_;
	return new_server('opensearch', free_port(), map { "$_=$settings{$_}" } sort keys %settings);
}

# The search API in front of a node.
sub start_stac_api
{
	my ($node) = @_;
	return new_server('stac_api', $node->{port});
}

# The transaction API, whose events go to a topic of a broker.
sub start_transaction_api
{
	my ($kafka, $topic) = @_;
	return new_server('transaction_api', $kafka->{port}, $topic);
}

sub free_port { return PostgreSQL::Test::Cluster::get_free_port(); }

sub new_server
{
	my ($kind, @arguments) = @_;
	my $port = free_port();
	my $folder = PostgreSQL::Test::Utils::tempdir($kind);
	my $server = {
		kind => $kind,
		folder => $folder,
		log => log_of($kind),
		port => $port,
		address => "127.0.0.1:$port",
		command => [ $program, $kind, $folder, $port, @arguments ],
	};
	start_server($server);
	return $server;
}

# Debezium's engine with these properties; it may not be reading yet.
sub start_debezium
{
	my ($properties) = @_;
	my $folder = PostgreSQL::Test::Utils::tempdir('debezium');
	append_to_file("$folder/properties", $properties);
	my $engine = {
		kind => 'debezium',
		folder => $folder,
		log => log_of('debezium'),
		output => "$folder/output",
		command => [ $program, 'debezium', $folder, "$folder/properties" ],
	};
	start_server($engine);
	return $engine;
}

sub log_of
{
	my ($kind) = @_;
	return "$PostgreSQL::Test::Utils::log_path/" . basename($0, '.pl') . "_$kind.log";
}

# Start it, or start it again, and wait until it answers. It dies with the test.
sub start_server
{
	my ($server) = @_;
	my $process = IPC::Run::start([ qw(setpriv --pdeathsig KILL --), @{ $server->{command} } ],
		'<', '/dev/null', '>>', $server->{output} // $server->{log}, '2>>', $server->{log});
	$server->{process} = $running{$server} = $process;

	my $end = time + $deadline;
	until ($is_up{ $server->{kind} }->($server))
	{
		if (time > $end || !$process->pumpable)
		{
			diag(substr(slurp_file($server->{log}), -2000));
			die "$server->{kind} did not start: see $server->{log}";
		}
		usleep(100_000);
	}
	return;
}

# Stop it in good order.
sub stop_server
{
	my ($server) = @_;
	end_process($server, 'TERM');
	return;
}

# End it as a power cut would, but for what the kernel still writes.
sub kill_server
{
	my ($server) = @_;
	end_process($server, 'KILL');
	return;
}

sub end_process
{
	my ($server, $signal) = @_;
	$server->{process}->signal($signal);
	$server->{process}->finish;
	delete $running{$server};
	return;
}

END
{
	my $status = $?;
	for my $process (values %running)
	{
		$process->signal('KILL');
		$process->finish;
	}
	$? = $status;
}

# ---------------------------------------------------------------- asking them

# Run kcat, which is built on librdkafka: what it prints; dies if it fails.
sub kcat
{
	my ($kafka, $input, @arguments) = @_;
	my ($output, $problem) = ('', '');
	IPC::Run::run([ 'kcat', '-b', $kafka->{address}, @arguments ],
		'<', \$input, '>', \$output, '2>', \$problem, IPC::Run::timeout($deadline))
	  or die "kcat @arguments: $problem";
	return $output;
}

sub kafka_is_up
{
	my ($kafka) = @_;
	my $brokers = eval { kcat($kafka, '', qw(-L -m 1)) } // '';
	return $brokers =~ /^ 1 brokers:/m;
}

# One request: (status, body).
sub http
{
	my ($server, $method, $path, $body) = @_;
	my $type = $path =~ /_bulk/ ? 'application/x-ndjson' : 'application/json';
	my $answer = HTTP::Tiny->new(timeout => $deadline)->request($method, "http://$server->{address}$path",
		{ headers => { 'content-type' => $type }, defined $body ? (content => $body) : () });
	return ($answer->{status}, $answer->{content});
}

# Its indices are there, too: until then the health is red.
sub opensearch_is_up
{
	my ($node) = @_;
	my ($status, $body) = http($node, 'GET', '/_cluster/health');
	return $status == 200 && $body =~ /"status":"(?:yellow|green)"/;
}

sub stac_api_is_up
{
	my ($api) = @_;
	return (http($api, 'GET', '/'))[0] == 200;
}

sub transaction_api_is_up
{
	my ($api) = @_;
	return (http($api, 'GET', '/healthcheck'))[0] == 200;
}

1;
