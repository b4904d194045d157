# --listen of relay and ingester: what is answered, to whom, and that it goes on
# while a sink, the database or another client hangs; the same of the file of metrics.

use strict;
use warnings;

use Digest::SHA qw(sha256_base64);
use FindBin;
use lib $FindBin::RealBin;
use HTTP::Tiny;
use IngestTest;
use IO::Socket::INET;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

IPC::Run::run([qw(esgf_stac_relay --stream a --sink ndjson:- --listen x)], '<', \undef, '>', \my $nothing, '2>', \my $usage);
plan skip_all => 'the programs were built without libmicrohttpd' if $usage =~ /needs libmicrohttpd/;

my $dir = PostgreSQL::Test::Utils::tempdir;
my $node = ingest_node('listen');
my ($port, $other_port, $ingest_port) = map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 3;
my $http = HTTP::Tiny->new(timeout => 60);
my $hostile = qq{<script>alert("1")</script><img src='https://evil.example/x'> & \x{202e}abc\e[31m};

sub get { return $http->get("http://127.0.0.1:$_[0]$_[1]") }

sub ready
{
	my $answer = get($_[0], '/readyz');
	return "$answer->{status} $answer->{content}" =~ s/\n//r;
}

sub becomes
{
	my ($at, $word, $what) = @_;
	return wait_for("$word: $what", sub { ready($at) eq $word }) && pass($what);
}

# A metric, of an answer or a file.
sub metric { return $_[0] =~ /^esgf_stac_(?:relay|ingest)_\Q$_[1]\E\{.*\} (\S+)$/m ? $1 : undef }
sub metric_at { return metric(get($_[0], '/metrics')->{content}, $_[1]) }

# ---------------------------------------------------------------- options

$node->safe_psql('postgres', 'CREATE DATABASE index');
my @sink = ('--sink', 'postgres:' . $node->connstr('index') . '#items');
my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "no socket: $!";
for my $program (
	[ 'relay', '--stream', 'a', '--sink', 'ndjson:-' ],
	[ 'ingest', '--source', 'api', '--from', 'ndjson:-' ])
{
	my ($name, @arguments) = @$program;
	my $run = sub { return $name eq 'relay' ? run_relay($node, @arguments, @_) : run_ingest($node, '', @arguments, @_) };
	for my $wrong ('', 'x', '0', '65536', ':9000', '::1:9000', 'localhost:', '[::1]', '1 2')
	{
		my ($code, undef, $said) = $run->('--listen', $wrong);
		ok($code == 2 && $said =~ /--listen/, "$name: \"$wrong\" is no address") or diag "$code $said";
	}
	my ($code, undef, $said) = $run->('--listen', $taken->sockport);
	ok($code == 2 && $said =~ /could not listen at .*Address already in use/, "$name: a port that is taken") or diag "$code $said";
	($code, undef, $said) = $run->('--ready-lag', 5);
	ok($code == 2 && $said =~ /--ready-lag goes with --listen/, "$name: --ready-lag alone") or diag "$code $said";
}

# ---------------------------------------------------------------- what is answered

new_stream($node, $_) for qw(east late);
new_items($node, 1, 20);
$node->safe_psql('postgres', q{SELECT esgf_stac.start_iteration('east', target => 'elsewhere')});
$node->safe_psql('postgres', "INSERT INTO esgf_stac.dead_letter (stream, event_id, collection_id, item_id, version, reason)
	SELECT 'east', gen_random_uuid(), 'CMIP6', 'item-' || i, 1, \$reason\$$hostile\$reason\$ FROM generate_series(1, 25) i");
my $relay;
{
	# Passwords stand where only the relay reads them, and are shown to nobody, however they are spelled, or short.
	local $ENV{ESGF_STAC_RELAY_SINK} = 'postgres:' . $node->connstr('index') . q{ password=it\\'spssst sslpassword = '7$'#items};
	$relay = start_relay($node, "$dir/relay.log", '--stream', 'east', '--listen', $port, '--metrics-file', "$dir/relay.prom", '--status-interval', 1);
}
write_log("$dir/log", map { event("e$_", post("a$_.v1")) } 1 .. 3);
write_log("$dir/log", event('e4', delete_of('<b>none</b>.v1')));
my $ingest = start_ingest($node, "$dir/ingest.log", '--source', 'api', '--from', "ndjson:$dir/log", '--follow', '--results', "ndjson:$dir/results",
	'--listen', "127.0.0.1:$ingest_port", '--metrics-file', "$dir/ingest.prom");
wait_for('both listen', sub { get($port, '/healthz')->{status} == 200 && get($ingest_port, '/healthz')->{status} == 200 });
becomes($port, '200 ready', 'the relay is ready');
becomes($ingest_port, '200 ready', 'the ingester, too');
wait_for('events', sub { metric_at($port, 'events_total') == 23 && metric_at($ingest_port, 'events_total') == 4 });

for my $one ([ $port, "$dir/relay.prom" ], [ $ingest_port, "$dir/ingest.prom" ])
{
	my ($at, $file) = @$one;
	my $answer = get($at, '/metrics');
	like($answer->{headers}{'content-type'}, qr{^text/plain; version=0\.0\.4}, '/metrics is in Prometheus\' format');
	wait_for('the file', sub { -e $file && metric(slurp_file($file), 'events_total') == metric_at($at, 'events_total') });
	my ($of_file, $of_answer) = map { s/\}\K .*$//mgr } slurp_file($file), $answer->{content};
	is($of_answer, $of_file, 'and has what the file has');
	is(metric_at($at, 'up'), 1, 'up');
	is(metric_at($at, 'lag_seconds'), 0, 'no lag');
	is(get($at, $_)->{status}, 404, "$_ is not there") for '/nothing', '/metrics/', '//';

	for my $path ('/', '/metrics', '/healthz', '/readyz', '/nothing')
	{
		my $head = $http->head("http://127.0.0.1:$at$path");
		ok($head->{status} == get($at, $path)->{status} && $head->{content} eq '' && $head->{headers}{'content-length'} > 0, "HEAD of $path");
	}
	for my $method (qw(POST PUT DELETE PATCH OPTIONS TRACE))
	{
		my $refused = $http->request($method, "http://127.0.0.1:$at/metrics", { content => $method =~ /^P/ ? 'x' x 100_000 : '' });
		ok($refused->{status} == 405 && $refused->{headers}{allow} eq 'GET, HEAD', "$method is refused") or diag explain $refused;
	}
	cmp_ok($http->get("http://127.0.0.1:$at/", { headers => { more => 'x' x 100_000 } })->{status}, '>=', 400, 'headers that are too long');
	is(get($at, '/healthz')->{status}, 200, 'it lives on');
}

# ---------------------------------------------------------------- the page

my $page = get($port, '/');
my $policy = $page->{headers}{'content-security-policy'};
wait_for('the tables', sub { ($page = get($port, '/'))->{content} =~ /Open dead letters/ });

sub allows
{
	my ($what, $text) = @_;
	my $hash = sha256_base64($text);
	return index($policy, "$what-src 'sha256-$hash='") >= 0 || diag("PAGE_POLICY has to name the $what $hash=");
}
like($page->{content}, $_, "the page has $_") for qr/<h1>east</, qr/esgf_stac_east</, qr/#items</, qr/Open dead letters: 25</, qr/<bdi>elsewhere</, qr/data-metric="events_total">23</, qr/data-metric="lag_seconds">0&nbsp;s</,
  qr/>Ready<.*Streams\./;
like($page->{content}, qr/&#60;script&#62;alert\(&#34;1&#34;\)&#60;\/script&#62;&#60;img src=&#39;https:/, 'a hostile reason is text');
unlike($page->{content}, qr/\e|<img|<b>none/, 'and nothing else');
like($policy, qr/^default-src 'none';/, 'nothing may be fetched');
ok($page->{content} =~ m{<style>(.*?)</style>}s && allows('style', $1), 'but its style');
ok($page->{content} =~ m{<script>(.*?)</script>}s && allows('script', $1), 'and its script');
is(() = $page->{content} =~ /<script/g, 1, 'which is the only one');
unlike($page->{content}, qr{(?:src|href|action)="(?!data:,"|metrics"|readyz"|healthz")}, 'it leads nowhere else');
my $ingest_page;
wait_for('the tables', sub { ($ingest_page = get($ingest_port, '/'))->{content} =~ /Open refusals: 1</ });
like($ingest_page->{content}, qr/&#60;b&#62;none/, 'the page of the ingester tells what was refused, as text');
unlike($ingest_page->{content}, qr/<b>none/, 'and no other way');
like($ingest_page->{content}, qr/>Performed up to</, 'and of partitions');
unlike(join('', map { get($port, $_)->{content} } '/', '/metrics', '/readyz') . slurp_file("$dir/relay.log"), qr/pssst|7\$/, 'no password is shown');
like($page->{content}, qr/>postgres:.* password=\*\*\* sslpassword = \*\*\*#items</, 'where it would stand, that is');

SKIP:
{
	my $chromium = (grep { -x } map { "$_/chromium" } split /:/, $ENV{PATH})[0];
	skip 'there is no chromium', 3 if !defined $chromium;
	local $ENV{HOME} = $dir;
	my @browser = ($chromium, qw(--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking --disable-component-update --no-first-run --enable-logging=stderr),
		"--user-data-dir=$dir/chromium", "--log-net-log=$dir/net.json", '--virtual-time-budget=12000', '--window-size=360,800');
	IPC::Run::run([ @browser, '--dump-dom', "http://127.0.0.1:$port/" ], '<', \undef, '>', \my $dom, '2>', \my $said, IPC::Run::timeout(180));
	ok($dom =~ /Open dead letters: 25</ && $dom =~ /data-metric="events_total">23</, 'in a browser: the numbers') or diag $dom;
	unlike($said, qr/Refused to|violates/, 'what the policy allows is enough');

	# The browser has errands of its own; what the page asks for has it as initiator.
	my @asked = map { /"initiator":"http:.*"url":"([^"]*)"/ ? $1 : () } read_lines("$dir/net.json");
	ok(@asked > 0 && !grep({ $_ ne "http://127.0.0.1:$port/" } @asked), 'and nothing is asked of anybody else') or diag "@asked";
}

# ---------------------------------------------------------------- clients that say nothing

my @silent = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die "no connection: $!" } 1 .. 150;
$_->syswrite("GET /metrics HTTP/1.1\r\nHost: a\r\n") for @silent[ 0 .. 74 ];
is(get($port, '/healthz')->{status}, 200, "beside many silent ones a client is answered: $_") for 1 .. 20;
$SIG{PIPE} = 'IGNORE';
wait_for('one that goes on slowly to be sent away', sub { !defined $silent[0]->syswrite("X: y\r\n") });
pass('a slow one is sent away');
close $_ for @silent;

# ---------------------------------------------------------------- a sink that hangs

# To one of two relays a lag matters.
my $late = start_relay($node, "$dir/late.log", '--stream', 'late', @sink, '--listen', $other_port, '--ready-lag', 1);
wait_for('it listens', sub { get($other_port, '/healthz')->{status} == 200 });
becomes($other_port, '200 ready', 'a relay that is not late');
my $locker = open_session($node);
in_session($locker, '\c index');
in_session($locker, 'BEGIN; LOCK TABLE items;');
new_items($node, 21, 21);
becomes($other_port, '503 lag', 'one that is later than --ready-lag');
becomes($port, '503 sink', 'a sink that hangs: not ready');
is(metric_at($port, 'up'), 0, 'up is 0');
cmp_ok(metric_at($port, 'lag_seconds'), '>', 5, 'and there is a lag');
my $before = metric(slurp_file("$dir/relay.prom"), 'lag_seconds');
wait_for('the file goes on', sub { metric(slurp_file("$dir/relay.prom"), 'lag_seconds') > $before && metric(slurp_file("$dir/relay.prom"), 'up') == 0 });
like(get($port, '/')->{content}, qr/Not ready: sink/, 'the page says so');
is(get($port, '/healthz')->{status}, 200, 'it lives');
in_session($locker, 'ROLLBACK;');
becomes($_, '200 ready', 'the sink answers again') for $port, $other_port;
wait_for('no lag', sub { metric_at($port, 'lag_seconds') == 0 && metric_at($port, 'up') == 1 });
is(stop_relay($late), 0, 'the other relay stops');
is(get($other_port, '/healthz')->{status}, 599, 'and nobody listens there');

# ---------------------------------------------------------------- a database that does

my $walsender = $node->safe_psql('postgres', q{SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'esgf_stac_east'});
kill 'STOP', $walsender;
new_items($node, 22, 22);
becomes($port, '503 database', 'a walsender that is frozen');
wait_for('a lag', sub { metric_at($port, 'lag_seconds') > 0 });
kill 'CONT', $walsender;
becomes($port, '200 ready', 'it thaws');

in_session($locker, '\c postgres');
in_session($locker, 'BEGIN; LOCK TABLE esgf_stac.item IN ACCESS EXCLUSIVE MODE;');
write_log("$dir/log", event('e5', post('a5.v1')));
becomes($ingest_port, '503 database', 'an ingester whose call hangs');
is(metric_at($ingest_port, 'up'), 0, 'its up is 0');
cmp_ok(metric_at($ingest_port, 'lag_seconds'), '>', 0, 'it has a lag');
wait_for('its file', sub { metric(slurp_file("$dir/ingest.prom"), 'lag_seconds') > 0 });
in_session($locker, 'ROLLBACK;');
becomes($ingest_port, '200 ready', 'the call comes to its end');

# ---------------------------------------------------------------- what is away

$locker->{in} .= "\\q\n";
$locker->{psql}->finish;
$node->stop('fast');
becomes($port, '503 database', 'without a database');
becomes($ingest_port, '503 database', 'the ingester, too');
is(get($_, '/healthz')->{status}, 200, 'but they live') for $port, $ingest_port;
wait_for('the page says so', sub { get($port, '/')->{content} =~ /not connected/ });
is(stop_relay($_), 0, 'they stop') for $relay, $ingest;
is(metric(slurp_file("$dir/relay.prom"), 'up'), 0, 'the file says so');

$node->start;

# Seeding takes its time, and is no reason to worry, however late the stream is.
my $seed_port = PostgreSQL::Test::Cluster::get_free_port();
$node->safe_psql('index', q{
	CREATE TABLE seeded (collection_id text, item_id text, version bigint NOT NULL, document jsonb, PRIMARY KEY (collection_id, item_id));
	CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.15); RETURN NEW; END$$;
	CREATE TRIGGER wait BEFORE INSERT ON seeded FOR EACH ROW EXECUTE FUNCTION wait()});
$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('seed')});
my $seed = start_relay($node, "$dir/seed.log", '--stream', 'seed', '--sink', 'postgres:' . $node->connstr('index') . '#seeded', '--create', '--snapshot', '--listen', $seed_port, '--ready-lag', 1);
wait_for('it seeds', sub { get($seed_port, '/')->{content} =~ />Ready<.*Seeds the sink/ });
new_items($node, 23, 23);
is(ready($seed_port), '200 ready', 'a relay that seeds is ready');
is(metric_at($seed_port, 'up'), 0, 'and not up');
becomes($seed_port, '200 ready', 'it has seeded');
wait_for('all', sub { metric_at($seed_port, 'events_total') >= 26 });
is(stop_relay($seed), 0, 'stops');

my $down_port = PostgreSQL::Test::Cluster::get_free_port();
$relay = start_relay($node, "$dir/down.log", '--stream', 'east', '--sink', "postgres:host=127.0.0.1 port=$other_port dbname=x#t", '--listen', "localhost:$down_port");
wait_for('it listens', sub { get($down_port, '/healthz')->{status} == 200 });
becomes($down_port, '503 sink', 'a sink that is down');
wait_for('the page says why', sub { get($down_port, '/')->{content} =~ /sink is down: .*refused/ });
is(stop_relay($relay), 0, 'stops');

done_testing();
