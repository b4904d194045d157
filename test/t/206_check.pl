# --check tells everything that a run would lack, ends as that would and changes
# nothing; --log-format json writes what the text says, whatever that is. (Of brokers
# 111_relay_kafka.pl and 144_ingest_kafka.pl have some.)

use strict;
use warnings;

use Encode qw(decode);
use FindBin;
use lib $FindBin::RealBin;
use Fcntl qw(:flock);
use IngestTest;
use IO::Select;
use IO::Socket::INET;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = ingest_node('check');
my $dir = PostgreSQL::Test::Utils::tempdir;
my ($version) = run_command([ 'esgf_stac_relay', '--version' ]);
my $json = JSON::PP->new;
$node->safe_psql('postgres', q{
	SELECT esgf_stac.create_stream('a'); SELECT esgf_stac.create_stream('other');
	CREATE ROLE relay LOGIN REPLICATION IN ROLE esgf_stac_relay; CREATE ROLE plain LOGIN IN ROLE esgf_stac_relay; CREATE ROLE nobody LOGIN REPLICATION;
	CREATE ROLE owner LOGIN; CREATE ROLE guest LOGIN;
	CREATE DATABASE index; CREATE DATABASE bare});
$node->safe_psql('index', 'REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE SCHEMA own AUTHORIZATION owner; GRANT USAGE ON SCHEMA own TO guest');
my $dbname = $node->connstr('postgres');

# Everything that a check might change, where no relay does.
my $relay;

sub state_of_all
{
	return '' if $relay;
	return join "\n", $node->safe_psql('postgres', q{
		SELECT slot_name, restart_lsn, confirmed_flush_lsn FROM pg_replication_slots ORDER BY 1;
		SELECT c FROM esgf_stac.consumer c ORDER BY c.stream; SELECT s FROM esgf_stac.source s; SELECT p FROM esgf_stac.source_partition p; SELECT count(*) FROM esgf_stac.inbox}),
	  $node->safe_psql('index', 'SELECT relname, relnatts, reltuples FROM pg_class WHERE oid > 16384 ORDER BY 1'), map { "$_ " . (-s $_) } sort glob "$dir/*";
}

# One of both programs, checking: (exit status, log).
my $unchanged = '';

sub check
{
	my ($program, @arguments) = @_;
	my $stderr = '';
	my $before = state_of_all();
	IPC::Run::run([ $program, '--check', @arguments ], '<', \undef, '2>', \$stderr, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	my $status = $? >> 8;
	$unchanged .= "@arguments\n" if state_of_all() ne $before;
	return ($status, $stderr);
}

# A check of the relay ends with that status, and its log says all of that.
sub relay_checks
{
	my ($what, $arguments, $expected, @said) = @_;
	my ($status, $log) = check('esgf_stac_relay', '--dbname', "$dbname user=relay", @$arguments);
	my @missing = grep { $log !~ $_ } @said;
	is("$status @missing", "$expected ", $what) or diag $log;
	return;
}
my @file = ('--sink', "ndjson:$dir/out");
my @a = ('--stream', 'a');
my @made = (@a, '--create', '--if-not-exists');

# ---------------------------------------------------------------- the database

relay_checks('all is well', [ @made, @file ], 0, qr/level=note .*nothing is wrong/);
relay_checks('no slot', [ @a, @file ], 4, qr/problem=no-slot/);
relay_checks('a slot that is to be made, and no sink', [ @a, '--create' ], 0);
relay_checks('another stream', [ '--stream', 'b', @file ], 4, qr/problem=no-stream/);
relay_checks('another database', [ @made, @file, '--dbname', $node->connstr('bare') ], 4, qr/problem=extension-missing/);
relay_checks('no database, and no folder', [ @made, '--sink', "ndjson:$dir/none/out", '--dbname', "host=$dir port=1" ], 3, qr/database: .*No such file/, qr/sink is down: could not make a file in .*none.*: No such file/);
relay_checks('a login that is refused', [ @made, @file, '--dbname', "$dbname user=stranger" ], 3, qr/role .{1,2}stranger.{1,2} does not exist/);
relay_checks('one without rights', [ @made, @file, '--dbname', "$dbname user=nobody" ], 3, qr/permission denied/);
relay_checks('one without REPLICATION, and a lost slot', [ @a, @file, '--dbname', "$dbname user=plain" ], 3, qr/replication/i, qr/problem=no-slot/);
$node->safe_psql('postgres', q{ALTER PUBLICATION esgf_stac_other SET (publish = 'insert, update')});
relay_checks('another publication, and no folder', [ '--stream', 'other', '--create', '--sink', "ndjson:$dir/none/out" ], 4, qr/problem=publication-differs/, qr/sink is down/);
$node->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('esgf_stac_a', 'test_decoding')});
relay_checks('a slot of another plugin', [ @made, @file ], 4, qr/problem=slot-differs/);
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('esgf_stac_a')});
is((run_relay($node, @a, '--create'))[0], 0, 'a slot');
relay_checks('a slot that is there', [ @a, @file ], 0);
relay_checks('and is to be made', [ @a, '--create', @file ], 4, qr/problem=slot-exists/);

# ---------------------------------------------------------------- options

append_to_file("$dir/conf", "batch = many\nno option\nsink = nowhere:x\nstatus-interval = 0\n");
relay_checks('many a fault', [ '--config', "$dir/conf", '--stream', 'none', '--max-attempts', 0 ], 2,
	qr/option --batch/, qr/line 2 of/, qr/no such sink/, qr/option --status-interval/, qr/option --max-attempts/, qr/problem=no-stream/);
my ($status, $log) = check('esgf_stac_relay', '--config', "$dir/conf", '--log-format', 'json');
is($status, 2, 'as JSON');
is_deeply([ grep { !eval { $json->decode($_)->{level} eq 'error' } } split /\n/, $log ], [], 'each of them');
like($log, qr/no stream specified/, 'with what is not there');
relay_checks('what excludes it', [ @a, @file, '--verify' ], 2, qr/--verify excludes --check/);

# ---------------------------------------------------------------- sinks

sub sink_checks
{
	my ($what, $sink, $expected, @said) = @_;
	return relay_checks($what, [ @a, '--sink', @$sink ], $expected, @said);
}
mkdir "$dir/folder";
append_to_file("$dir/foreign", "{\"x\": half a line");
append_to_file("$dir/taken", '');
open(my $taken, '>>', "$dir/taken") or die "open: $!";
flock($taken, LOCK_EX);
sink_checks('a folder as a file', ["ndjson:$dir/folder"], 5, qr/Is a directory/);
sink_checks('what somebody else writes', ["ndjson:$dir/foreign"], 5, qr/neither complete nor an event/);
sink_checks('a file that is taken', ["ndjson:$dir/taken"], 5, qr/another relay writes to it/);
sink_checks('stdout', ['ndjson:-'], 0);
chmod oct(555), "$dir/folder";
SKIP:
{
	skip 'root may write everywhere', 1 if $> == 0;
	sink_checks('a folder that may not be written', ["ndjson:$dir/folder/out"], 5, qr/could not make a file in .*Permission denied/);
}

my $index = $node->connstr('index');
sink_checks('tables that may be made', ["postgres:$index user=owner#own.items"], 0);
sink_checks('and may not', ["postgres:$index user=guest#own.items"], 5, qr/own.*items.* is not there, and the login may not make it/);
sink_checks('nor in the default schema', ["postgres:$index user=guest#items"], 5, qr/may not make it/);
$node->safe_psql('index', q{SET ROLE owner; CREATE TABLE own.items (collection_id text, item_id text, version bigint NOT NULL, document jsonb, PRIMARY KEY (collection_id, item_id));
	CREATE TABLE own.items_source (source text PRIMARY KEY, newest jsonb NOT NULL)});
sink_checks('tables that are there', ["postgres:$index user=owner#own.items"], 0);
sink_checks('without rights on them', ["postgres:$index user=guest#own.items"], 5, qr/permission denied for table items/);
$node->safe_psql('index', 'GRANT SELECT, INSERT, UPDATE ON own.items TO guest');
sink_checks('without rights on one of them', ["postgres:$index user=guest#own.items"], 5, qr/permission denied for table items_source/);
$node->safe_psql('index', 'GRANT SELECT, INSERT, UPDATE ON own.items_source TO guest');
sink_checks('with all', ["postgres:$index user=guest#own.items"], 0);
$node->safe_psql('index', 'ALTER TABLE own.items DROP CONSTRAINT items_pkey');
sink_checks('without the key', ["postgres:$index user=owner#own.items"], 5, qr/unique/);
$node->safe_psql('index', 'ALTER TABLE own.items ADD PRIMARY KEY (collection_id, item_id), ALTER document TYPE text, ADD o text NOT NULL DEFAULT 1; ALTER TABLE own.items RENAME version TO v');
sink_checks('without a column', ["postgres:$index user=owner#own.items"], 5, qr/column ."version/);
$node->safe_psql('index', 'DROP TABLE own.items; CREATE UNLOGGED TABLE own.items (a int)');
sink_checks('an unlogged table', ["postgres:$index user=owner#own.items"], 5, qr/unlogged/);
sink_checks('no such server', ["postgres:host=$dir port=1 dbname=x#items"], 5, qr/sink is down/);

SKIP:
{
	skip 'the relay was built without libcurl', 6 if $version !~ /\bhttp\b/;
	my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', ReuseAddr => 1) // die "socket: $!";
	my $port = $server->sockport;

	# Whoever connects to that server gets an answer to what he asks; what he asked.
	my $answered = sub {
		my ($answer, $code) = @_;
		my $pid = fork;
		if ($pid == 0)
		{
			my $asked = '';
			while (my $client = $server->accept)
			{
				while (IO::Select->new($client)->can_read(30) && sysread($client, my $part, 4096))
				{
					append_to_file("$dir.asked", $part);
					syswrite($client, "HTTP/1.1 $answer\r\nContent-Length: 0\r\n\r\n") if $part =~ /\r\n\r\n/;
				}
			}
			POSIX::_exit(0);
		}
		unlink "$dir.asked";
		$code->();
		kill 'KILL', $pid;
		waitpid $pid, 0;
		return -e "$dir.asked" ? slurp_file("$dir.asked") : '';
	};
	require POSIX;
	is($answered->('500 No', sub { sink_checks('a URL', ["http://127.0.0.1:$port/x"], 0) }), '', 'is not asked anything');
	my $asked = $answered->('200 OK', sub { sink_checks('an index', ["opensearch:http://127.0.0.1:$port/items"], 0) });
	like($asked, qr/\AGET \/ HTTP/, 'is asked who it is') or diag $asked;
	$answered->('401 Unauthorized', sub { sink_checks('which lets nobody in', ["opensearch:http://127.0.0.1:$port/items"], 5, qr/login is refused: answered 401/) });
	close $server;
	sink_checks('a URL where nobody is', ["http://127.0.0.1:$port/x"], 5, qr/sink is down/);
	sink_checks('nor an index', ["opensearch:http://127.0.0.1:$port/items"], 5, qr/sink is down/);
}
SKIP:
{
	skip 'the relay was built without librdkafka', 1 if $version !~ /\bkafka\b/;
	sink_checks('brokers that are not there', ['kafka:127.0.0.1:1/t'], 5, qr/sink is down/);
}

SKIP:
{
	skip 'the programs were built without libmicrohttpd', 3 if (run_command([ 'esgf_stac_relay', @a, '--listen', '1', '--check', '--dbname', "host=$dir" ]))[1] =~ /libmicrohttpd/;
	my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') // die "socket: $!";
	my @taken = ('--listen', $taken->sockport);
	relay_checks('a port that is taken', [ @made, @file, @taken ], 2, qr/could not listen at .*Address already in use/);
	relay_checks('and no folder', [ @made, '--sink', "ndjson:$dir/none/out", @taken ], 2, qr/could not listen at/, qr/sink is down/);
	close $taken;
	relay_checks('a port that is free', [ @made, @file, @taken ], 0);
}

# Each as a run would end.
for my $case ([ @a, '--sink', "ndjson:$dir/foreign" ], [ @a, '--create', @file ], [ '--stream', 'b', @file ], [ '--stream', 'other', '--create', @file ], [ @a, '--sink', "postgres:$index user=guest#items" ])
{
	my ($checked) = check('esgf_stac_relay', '--dbname', $dbname, @$case);
	is((run_relay($node, @$case, '--no-loop'))[0], $checked, "a run of @$case[1 .. $#$case] ends so") if $checked != 0;
}

# Beside a relay that runs.
unlink "$dir/out";
append_to_file("$dir/hup.conf", '');
$relay = start_relay($node, "$dir/relay.log", @a, @file, '--config', "$dir/hup.conf");
wait_for('a relay', sub { -e "$dir/relay.log" && slurp_file("$dir/relay.log") =~ /streaming from/ });
relay_checks('beside a relay that reads the stream', [ @a, @file ], 0, qr/level=warning .*in use/);
relay_checks('which a run would not wait for', [ @a, @file, '--no-loop' ], 4, qr/problem=slot-in-use/);

is(stop_relay($relay), 0, 'it stops');
$relay = undef;

# ---------------------------------------------------------------- the ingester

write_log("$dir/log", event('e1', post('a.v1')), event('e2', post('b.v1')));
write_log("$dir/log2", event('x1', post('a.v1')), event('x2', post('c.v1')));

sub ingest_checks
{
	my ($what, $arguments, $expected, @said) = @_;
	my ($status, $log) = check('esgf_stac_ingest', '--dbname', ingester_dbname($node), @$arguments);
	my @missing = grep { $log !~ $_ } @said;
	is("$status @missing", "$expected ", "ingester: $what") or diag $log;
	return;
}
ingest_checks('all is well', [ '--source', 'api', '--from', "ndjson:$dir/log", '--results', "ndjson:$dir/results.{outcome}" ], 0, qr/nothing is wrong/);
ingest_checks('no source, no log and no folder', [ '--source', 'none', '--from', "ndjson:$dir/no-log", '--results', "ndjson:$dir/none/{outcome}" ], 5,
	qr/problem=source-does-not-exist/, qr/source is down/, qr/results are down/);
ingest_checks('no source', [ '--source', 'none', '--from', "ndjson:$dir/log" ], 4, qr/problem=source-does-not-exist/);
ingest_checks('a log that may yet come', [ '--source', 'api', '--from', "ndjson:$dir/no-log", '--follow' ], 0, qr/level=warning .*No such file/);
ingest_checks('no database', [ '--source', 'api', '--from', "ndjson:$dir/log", '--dbname', "host=$dir port=1" ], 3, qr/database:/);
ingest_checks('wrong options', [ '--from', "ndjson:$dir/no-log", '--batch', 0 ], 2, qr/--batch/, qr/no source specified/, qr/source is down/);
is((run_ingest($node, '', '--source', 'api', '--from', "ndjson:$dir/log"))[0], 0, 'the log is read');
SKIP:
{
	my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') // die "socket: $!";
	my @taken = ('--listen', $taken->sockport);
	skip 'the programs were built without libmicrohttpd', 1 if (check('esgf_stac_ingest', @taken))[1] =~ /libmicrohttpd/;
	ingest_checks('a port that is taken', [ '--source', 'api', '--from', "ndjson:$dir/log", @taken ], 2, qr/could not listen at .*Address already in use/);
}
ingest_checks('another log', [ '--source', 'api', '--from', "ndjson:$dir/log2" ], 4, qr/problem=source-differs/);
ingest_checks('the one that was read', [ '--source', 'api', '--from', "ndjson:$dir/log" ], 0);
is($unchanged, '', 'no check has changed anything');

# ---------------------------------------------------------------- the log as JSON

# What a log says, or dies.
sub said
{
	my ($text) = @_;
	return map { $json->decode(decode('UTF-8', $_, Encode::FB_CROAK)) } split /\n/, $text;
}
my $hostile = qq{x"y\\z\e[31m\x7f\tq\xff\xc2\x9b2K\xe2\x80\xae\xe6\xb0\xa3\nlast};
my $meant = qq{x"y\\z\e[31m\x7f\tq\x{fffd}\x{9b}2K\x{202e}\x{6c23}\nlast};
my @lines = said((run_relay($node, '--stream', 'other', '--create', '--no-loop', '--sink', "ndjson:$dir/none$hostile/out", '--log-format', 'json', '--check'))[2]);
is_deeply([ grep { "@{[ sort keys %$_ ]}" !~ /^level message (problem )?stream time$/ } @lines ], [], 'members as in the text');
is("$lines[0]{level} $lines[0]{stream} $lines[0]{problem}", 'error other publication-differs', 'of a problem its slug');
like($lines[0]{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'the time');
like($lines[1]{message}, qr/\Q$meant\E/, 'a message that means to direct a terminal is text');
my $raw = (run_relay($node, '--stream', $hostile, '--create', '--log-format', 'json'))[2];
unlike($raw, qr/[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]/, 'and directs none');
like((said($raw))[0]{message}, qr/no name for a stream: \Q$meant\E/, 'of wrong options as well');
s/\xff|\x{fffd}// for $hostile, $meant;    # the database has UTF-8 alone
@lines = said((run_ingest($node, '', '--source', $hostile, '--from', "ndjson:$dir/log", '--no-loop', '--log-format', 'json'))[2]);
is("$lines[0]{source} $lines[0]{problem}", "$meant source-does-not-exist", 'whatever a source is called');
like((run_ingest($node, '', '--source', 'a b"', '--from', "ndjson:$dir/log", '--no-loop'))[2], qr/^time=\S+ level=error source="a b\\"" problem=/m, 'which stands in quotes in the text');
append_to_file("$dir/secret", "dbname = host=$dir port=1 password=S3cret\nstream = a\nsink = ndjson:$dir/S3cret/x\nlog-format = json\n");
$raw = (check('esgf_stac_relay', '--config', "$dir/secret"))[1];
unlike($raw, qr/S3cret/, 'no secret is shown');
is(scalar(grep { $_->{message} =~ /\*\*\*/ } said($raw)), 1, 'but that there is one');
$relay = start_relay($node, "$dir/relay.log", @a, @file, '--config', "$dir/hup.conf");
wait_for('a relay', sub { slurp_file("$dir/relay.log") =~ /streaming from.*streaming from/s });
my $end = -s "$dir/relay.log";
append_to_file("$dir/hup.conf", "log-format = json\n");
$relay->signal('HUP');
wait_for('another format', sub { substr(slurp_file("$dir/relay.log"), $end) =~ /^\{.*opened the sink, anew/m });
is(stop_relay($relay), 0, 'a relay that was told to write JSON while it runs');
is((said((read_lines("$dir/relay.log"))[-1]))[0]{message} =~ s/;.*//r, 'stopped', 'does so to its end');

done_testing();
