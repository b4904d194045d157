# Options at their edges; what the log must not show; descriptors that are closed
# at the start; and SIGHUP, which reads the configuration again.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('options');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";
new_stream($node, 'a');
my @a = ('--dbname', $node->connstr('postgres'), '--stream', 'a');
my $version = `esgf_stac_relay --version`;

# Run the relay to its end: (exit status, all that it said).
sub run_bare
{
	my ($environment, @arguments) = @_;
	my $said = '';
	local %ENV = (%ENV, %$environment);
	IPC::Run::run([ 'esgf_stac_relay', @arguments ], '<', \undef, '>', \$said, '2>&1', IPC::Run::timeout(180));
	return ($? >> 8, $said);
}

sub config
{
	my ($text) = @_;
	unlink "$dir/conf";
	append_to_file("$dir/conf", $text);
	chmod 0600, "$dir/conf";
	return "$dir/conf";
}

# ---------------------------------------------------------------- wrong options

my @sink = ('--sink', "ndjson:$dir/never");
my @wrong = (
	[ 'a number that is none', '--batch', 'many' ],
	[ 'a number with more behind it', '--batch', '10x' ],
	[ 'a number with a sign', '--batch', '+10' ],
	[ 'too small', '--batch', '0' ],
	[ 'negative', '--batch=-1' ],
	[ 'too large for memory', '--batch', '2000000000' ],
	[ 'too large for any number', '--batch', '9' x 30 ],
	[ 'too long an interval', '--status-interval', '1000000' ],
	[ 'too many attempts', '--max-attempts', '10000000' ],
	[ 'no position', '--endpos', 'here' ],
	[ 'half a position', '--endpos', '1/' ],
	[ 'position none', '--endpos', '0/0' ],
	[ 'a signed position', '--endpos=-1/5' ],
	[ 'an unknown format', '--format', 'xml' ],
	[ 'an unknown option', '--colour', 'red' ],
	[ 'an option without its value', '--batch' ],
	[ 'a flag with a value', '--verbose=perhaps' ],
	[ 'a word too many', 'more' ],
	[ 'an empty dbname', '--dbname', '' ],
	[ 'an empty stream', '--stream', '' ],
	[ 'an empty sink', '--sink', '' ],
	[ 'an empty file name', '--metrics-file', '' ],
	[ 'an empty number', '--batch', '' ],
	[ 'an empty position', '--endpos', '' ],
	[ 'an empty sink option', '--sink-option', '' ],
	[ 'a sink option without a name', '--sink-option', '=x' ],
	[ 'a stream that cannot be', '--stream', 'East' ],
	[ 'a sink of no kind', '--sink', 'nosuch:x' ],
	[ 'a sink without a scheme', '--sink', 'file' ],
	[ 'a bad connection string', '--dbname', 'dbname=x nonsense' ],
	[ 'two beginnings', '--snapshot', '--from-beginning' ],
	[ 'if not exists alone', '--if-not-exists' ],
	[ 'a configuration that is a folder', '--config', $dir ],
	[ 'a configuration that is not there', '--config', "$dir/absent" ],
	[ 'a configuration that names another', '--config', config("config = $dir/other\n") ],
);
for my $case (@wrong)
{
	my ($what, @arguments) = @$case;
	my ($status, $said) = run_bare({}, @a, @sink, @arguments);
	is($status, 2, "$what: status 2") or diag $said;
	like($said, qr/^esgf_stac_relay: error: .{10,}\nesgf_stac_relay: hint: /, 'and why');
}
is((run_bare({}, @a, '--create', '--snapshot'))[0], 2, 'a snapshot without a sink');
is((run_bare({ ESGF_STAC_RELAY_BATCH => '1e3' }, @a, @sink))[0], 2, 'a wrong value in the environment');
ok(!-e "$dir/never", 'nothing was written');

# What is right, and what stands for nothing.
add_events($node, 1, 1);
my ($status, $said) = run_bare({ ESGF_STAC_RELAY_VERBOSE => '', ESGF_STAC_RELAY_CONFIG => '', ESGF_STAC_RELAY_METRICS_FILE => '' },
	@a, '--sink', "ndjson:$dir/out", '--endpos', wal_end($node));
is($status, 0, 'an empty variable is none') or diag $said;
($status, $said) = run_bare({}, @a, '--sink', "ndjson:$dir/out", '--config', config("\xef\xbb\xbfbatch = 7\r\n# x\r\n"), '--endpos', wal_end($node));
is($status, 0, 'a file as some editors write it') or diag $said;

# A file that is not ours.
append_to_file("$dir/foreign", '{"a": 1, "everything": "my only copy"}');
($status, $said) = run_bare({}, @a, '--sink', "ndjson:$dir/foreign", '--no-loop', '--endpos', wal_end($node));
is($status, 5, 'a file that ends with half a line of somebody else');
is(slurp_file("$dir/foreign"), '{"a": 1, "everything": "my only copy"}', 'is left as it is');
for my $line ('{"id":"no-uuid","version":"x","document":{}}', '{"id":nonsense,"document":', '{"id":null,"version":1e999,"document":{}}')
{
	unlink "$dir/odd";
	append_to_file("$dir/odd", "$line\n");
	($status, $said) = run_bare({}, @a, '--sink', "ndjson:$dir/odd");
	is($status, 4, 'a file whose last line only looks like an event') or diag $said;
	like($said, qr/problem=history-diverged/, 'is of no history of ours');
}

# ---------------------------------------------------------------- what the log must not show

my @secrets = (
	[ 'a mistyped scheme', "sink = postgress:host=i user=u password=S3cret#items" ],
	[ 'a mistyped scheme before a URL', 'sink = elastic:https://relay:S3cret@index:9200/items' ],
	[ 'no scheme', 'sink = S3cret' ],
	[ 'a sink option without =', "sink = ndjson:-\nsink-option = sasl.password S3cret" ],
	[ 'an option whose name is mistyped', "sink = ndjson:-\npasword S3cret = x" ],
	[ 'a line without =', 'password S3cret' ],
	[ 'a bad connection string', 'dbname = host=i password=S3cret nonsense' ],
	[ 'a bad connection string of a sink', 'sink = postgres:host=i password=S3cret nonsense#items' ],
	[ 'a sink option that the sink does not know', "sink = ndjson:-\nsink-option = password=S3cret" ],
);
push @secrets, [ 'a URL that is none', 'sink = http://u:S3cret@:9/' ], [ 'a URL with a fragment', 'sink = https://u:S3cret@host/#x' ] if $version =~ /\bhttp\b/;
push @secrets, [ 'what librdkafka says', "sink = kafka:b:9092/t\nsink-option = security.protocol=sasl_ssl\nsink-option = sasl.mechanism=OAUTHBEARER\n"
	  . "sink-option = enable.sasl.oauthbearer.unsecure.jwt=true\nsink-option = sasl.oauthbearer.config=S3cret" ] if $version =~ /\bkafka\b/;
for my $case (@secrets)
{
	my ($what, $text) = @$case;
	($status, $said) = run_bare({}, '--stream', 'a', '--no-loop', '--config', config("$text\n"), $text =~ /^dbname/ ? ('--sink', 'ndjson:-') : ());
	cmp_ok($status, '>', 1, "$what: refused");
	unlike($said, qr/S3cret/, 'and no secret shown');
}
($status, $said) = run_bare({}, @a, @sink, '--sink-option', 'password=S3cret');
is($status, 2, 'a secret on the command line');
unlike($said, qr/S3cret/, 'is not repeated');
config("dbname = " . $node->connstr('postgres') . " password=S3cret\n");
chmod 0644, "$dir/conf";
($status, $said) = run_bare({}, '--stream', 'a', '--config', "$dir/conf", '--sink', "ndjson:$dir/out", '--endpos', wal_end($node));
like($said, qr/every user can read the secrets/, 'a warning, where everybody can read a secret');

# What a sink says, who knows of which bytes: here an index without an encoding
# that quotes half a character, and a trigger that means to write on a terminal.
$node->safe_psql('postgres', q{CREATE DATABASE odd ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0});
$node->safe_psql('odd', q{
	CREATE TABLE items (collection_id text, item_id text, version bigint NOT NULL, document jsonb, PRIMARY KEY (collection_id, item_id),
		CONSTRAINT nothing_bad CHECK (document->>'bad' IS NULL));
	CREATE FUNCTION evil() RETURNS trigger LANGUAGE plpgsql AS
		$$BEGIN RAISE EXCEPTION USING ERRCODE = '23000', MESSAGE = E'x\r\x1b[2K\x1b[31mtime=2026 level=note\x1b[0m\x07\x7f ' || chr(194) || chr(155) || '2K'; END$$;
	CREATE TRIGGER evil BEFORE INSERT ON items FOR EACH ROW WHEN (NEW.item_id = 'evil') EXECUTE FUNCTION evil()});
new_stream($node, 'odd');
my $relay = start_relay($node, $log, '--stream', 'odd', '--sink', 'postgres:' . $node->connstr('odd') . '#items');
$node->safe_psql('postgres', q{
	INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
	SELECT gen_random_uuid(), 'CMIP6', id, 'item.published', 1, document::jsonb, now(), '{}'
	  FROM (VALUES ('bad', '{"bad": "' || repeat('é', 100) || '"}'), ('bad2', '{"bad": "x' || repeat('é', 100) || '"}'), ('evil', '{}'), ('good', '{}')) v (id, document)});
wait_for('three dead letters', sub { $node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.dead_letter WHERE stream = 'odd'}) == 3 });
wait_for('the good one', sub { $node->safe_psql('odd', 'SELECT count(*) FROM items') == 1 });
is(stop_relay($relay), 0, 'whatever a sink says, its dead letters are written');
unlike(slurp_file($log), qr/[^\n -~\x80-\xff]|\xc2[\x80-\x9f]/, 'and the log has no control characters');
like(slurp_file($log), qr/refused: item.published of CMIP6 evil, version 1: .*x/, 'but what was said');

# ---------------------------------------------------------------- descriptors

SKIP:
{
	skip 'no /proc here', 3 if !-e "/proc/$$/fd";
	my $command = join ' ', map { "'$_'" =~ s/dbname='(\w+)'/dbname=$1/r } 'esgf_stac_relay', @a;
	is(system('bash', '-c', "$command --sink ndjson:- 2>>$dir/closed >&-") >> 8, 5, 'stdout is closed, and is the sink');
	my $bare = IPC::Run::start([ 'bash', '-c', "exec $command --sink ndjson:$dir/out --metrics-file $dir/metrics <&- >&- 2>&-" ]);
	my $pid = $bare->{KIDS}[0]{PID};
	wait_for('a session', sub { -e "$dir/metrics" && slurp_file("$dir/metrics") =~ /_up\{stream="a"\} 1/ });
	is_deeply([ map { readlink "/proc/$pid/fd/$_" } 0 .. 2 ], [ ('/dev/null') x 3 ], 'no connection has the number of a closed descriptor');
	$bare->signal('TERM');
	$bare->finish;
	is($bare->full_result(0), 0, 'stops');
}

# ---------------------------------------------------------------- SIGHUP

my $end_of_log = 0;

# What the log says since the last call, once it says that.
sub log_says
{
	my ($what) = @_;
	my $said;
	wait_for("the log to say $what", sub { ($said = substr(slurp_file("$dir/hup.log"), $end_of_log)) =~ $what });
	$end_of_log += length $said;
	return $said;
}

sub lines_of { return scalar(() = read_lines($_[0])); }

my $dbname = "dbname = " . $node->connstr('postgres') . "\n";
config($dbname . "stream = a\nsink = ndjson:$dir/events\n");
append_to_file("$dir/hup.log", '');
$relay = start_relay($node, "$dir/hup.log", '--config', "$dir/conf");
log_says(qr/streaming from/);
add_events($node, 1, 3, 2);
wait_for('events', sub { lines_of("$dir/events") == 3 });

# Its file is moved away.
rename "$dir/events", "$dir/events.1";
$relay->signal('HUP');
log_says(qr/opened the sink, anew/);
add_events($node, 1, 2, 3);
wait_for('events in a new file', sub { lines_of("$dir/events") == 2 });
is(lines_of("$dir/events.1"), 3, 'a file that was moved away is left');

# Its configuration has changed.
config($dbname . "stream = a\nsink = ndjson:$dir/elsewhere\nmetrics-file = $dir/hup.metrics\nbatch = 9\nverbose = on\nformat = document\n");
$relay->signal('HUP');
my $news = log_says(qr/opened the sink, anew/);
like($news, qr/--$_ has changed/, "$_ is taken") for qw(metrics-file batch verbose);
like($news, qr/--$_ cannot change/, "$_ is named") for qw(sink format);
wait_for('the metrics', sub { -e "$dir/hup.metrics" });
add_events($node, 1, 20, 4);
wait_for('more events', sub { lines_of("$dir/events") == 22 });
ok(!-e "$dir/elsewhere", 'the sink is the same');

# It is wrong; or the same.
config($dbname . "stream = a\nsink = ndjson:$dir/events\nbatch = many\nverbose = off\n");
$relay->signal('HUP');
$news = log_says(qr/opened the sink, anew/);
like($news, qr/configuration: invalid value for option --batch.*nothing of it is taken/s, 'a wrong one is not taken');
unlike($news, qr/has changed/, 'not in part either');
config($dbname . "stream = a\nsink = ndjson:$dir/elsewhere\nmetrics-file = $dir/hup.metrics\nbatch = 9\nverbose = on\nformat = document\n");
$relay->signal('HUP');
unlike(log_says(qr/opened the sink, anew/), qr/change/, 'what was read before is no news');

# A sink that cannot be opened any more, until it can.
rename "$dir/events", "$dir/events.2";
mkdir "$dir/events";
$relay->signal('HUP');
log_says(qr/sink is down/);
$relay->signal('HUP');
log_says(qr/trying again/);
rmdir "$dir/events";
add_events($node, 1, 1, 5);
wait_for('the next event', sub { -f "$dir/events" && lines_of("$dir/events") >= 1 });
is(stop_relay($relay), 0, 'and it stops as ever');

done_testing();
