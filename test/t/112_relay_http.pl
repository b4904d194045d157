# The sinks http and opensearch against a server that answers as it is told:
# what is sent, and what the relay makes of every answer. 114 has the real index.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_base64);
use FindBin;
use lib $FindBin::RealBin;
use HTTP::Tiny;
use IO::Socket::INET;
use IPC::Run ();
use JSON::PP ();
use List::Util qw(uniq);
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;
use Time::HiRes ();

plan skip_all => 'the relay was built without libcurl, zlib, jansson and libcrypto' if `esgf_stac_relay --version` !~ /\bhttp\b/;
plan skip_all => 'there is no python3' if !IPC::Run::run([qw(python3 --version)], '>', \my $version, '2>&1');

my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";
my $json = JSON::PP->new->utf8;
my $node = catalogue_node('http');
my %processes;

# ---------------------------------------------------------------- servers

# Start a Python program that writes its port; the port.
sub start_python
{
	my ($folder, @arguments) = @_;
	mkdir $folder;
	$processes{$folder} = IPC::Run::start([ 'python3', @arguments ], '<', \undef, '>>', "$folder/log", '2>&1');
	return;
}

# A server that answers as it is told, with a folder of its own.
sub start_server
{
	my ($name, @certificate) = @_;
	my $folder = "$dir/$name";
	start_python($folder, "$FindBin::RealBin/http_server.py", $folder, @certificate);
	wait_for("the server $name", sub { -e "$folder/port" });
	return { folder => $folder, address => '127.0.0.1:' . slurp_file("$folder/port") };
}

END
{
	my $status = $?;
	$_->kill_kill for values %processes;
	$? = $status;
}

my $server = start_server('server');

# What it shall say to the next requests.
sub answers
{
	my (@answers) = @_;
	append_to_file("$server->{folder}/told", join '', map { $json->encode($_) . "\n" } @answers);
	rename "$server->{folder}/told", "$server->{folder}/answers";
	return;
}

# The requests that it got since we last asked.
sub requests
{
	my $file = "$server->{folder}/requests";
	my @requests = map { $json->decode($_) } read_lines($file);
	unlink $file;
	return @requests;
}

# ---------------------------------------------------------------- events

sub emit
{
	my ($item, $version, $document, $collection) = @_;
	$collection //= 'CMIP6';
	$document = defined $document ? "'$document'" : 'NULL';
	$node->safe_psql('postgres', qq{
		INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
		VALUES (gen_random_uuid(), '$collection', '$item', 'item.updated', $version, $document, now(), '{}')});
	return;
}

# What is emitted now comes in as large batches as it can: from the outbox, as
# after the loss of a slot, for the stream itself makes pauses as it likes.
sub in_batches
{
	my ($emit) = @_;
	my $before = $node->safe_psql('postgres', 'SELECT pg_snapshot_xmax(pg_current_snapshot())');
	$emit->();
	$node->safe_psql('postgres', qq{SELECT pg_drop_replication_slot('esgf_stac_a');
		UPDATE esgf_stac.consumer SET confirmed = '0/0', horizon = '$before' WHERE stream = 'a'});
	return;
}

sub emit_batch
{
	my ($version, @items) = @_;
	my $values = join ', ', map { "('$_')" } @items;
	in_batches(sub { $node->safe_psql('postgres', qq{
		INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
		SELECT gen_random_uuid(), 'CMIP6', item, 'item.updated', $version, '{}', now(), '{}' FROM (VALUES $values) v(item)}) });
	return;
}

# The dead letters that nobody has looked at yet, one a line.
sub letters
{
	my $letters = $node->safe_psql('postgres', q{
		SELECT concat_ws(' ', collection_id, item_id, version, reason) FROM esgf_stac.dead_letter WHERE settled_at IS NULL ORDER BY at, item_id, version});
	$node->safe_psql('postgres', 'UPDATE esgf_stac.dead_letter SET settled_at = now()');
	return $letters;
}

new_stream($node, 'a');

# Deliver everything, and end: (exit status, log).
sub deliver
{
	my (@arguments) = @_;
	my ($status, undef, $stderr) = run_relay($node, '--stream', 'a', '--no-loop', '--endpos', wal_end($node), @arguments);
	return ($status, $stderr);
}

# A configuration file, in which secrets may stand.
sub config
{
	my (@options) = @_;
	unlink "$dir/conf";
	append_to_file("$dir/conf", join '', map { "$_\n" } @options);
	return ('--config', "$dir/conf");
}

my $http = "http://$server->{address}/items?to=west";
my $index = "opensearch:http://$server->{address}/base/items";

# ---------------------------------------------------------------- http: usage

my ($status, $stderr);

sub refused
{
	my ($what, $message, @arguments) = @_;
	($status, $stderr) = deliver(@arguments);
	is($status, 2, "usage: $what");
	like($stderr, $message, "$what: the message");
	return;
}

refused('no host', qr/no URL of http/, '--sink', 'http://:80/items');
refused('no URL behind a scheme', qr/no URL of http/, '--sink', 'http:ftp://host/items');
refused('less than the scheme promises', qr/no URL of https/, '--sink', 'https:http://host/items');
refused('a fragment', qr/fragment/, '--sink', 'http://host/items#there');
refused('a password in the URL', qr/password on the command line/, '--sink', 'http://me:hush@host/items');
refused('the same behind a scheme', qr/password on the command line/, '--sink', 'http:http://me:hush@host/items');
refused('a secret on the command line', qr/password on the command line/, '--sink', $http, '--sink-option', 'hmac-key=hush');
refused('an option of no sink', qr/no option gzip/, '--sink', $http, '--sink-option', 'gzip=on');
refused('a username alone', qr/username and password go together/, '--sink', $http, '--sink-option', 'username=me');
refused("timeout $_", qr/timeout is no number/, '--sink', $http, '--sink-option', "timeout=$_") for '0', '-1', '1s', '';
refused("hmac-key $_", qr/hmac-key is a text/, '--sink', $http, config("sink-option = hmac-key=$_")) for '', 'whsec_', 'whsec_???', 'whsec_YWI';
unlike($stderr, qr/YWI/, 'no message tells the key');
refused('a document id', qr/takes no --document-id/, '--sink', $http, '--document-id', '{item_id}');

# ---------------------------------------------------------------- http: what is sent

# Every request must be signed as Standard Webhooks says.
my $key = 'of thirty-two bytes or any number';

sub is_signed
{
	my ($request) = @_;
	my ($id, $time) = map { $request->{headers}{"webhook-$_"} } qw(id timestamp);
	my $signature = hmac_sha256_base64("$id.$time.$request->{body}", $key);
	$signature .= '=' while length($signature) % 4;
	return $request->{headers}{'webhook-signature'} eq "v1,$signature" && abs($time - time) < 60;
}

add_events($node, 1, 1200, 1);
emit('gone', 1, undef);
run_relay($node, '--stream', 'a', '--sink', "ndjson:$dir/lines", '--endpos', wal_end($node));
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('esgf_stac_a'); UPDATE esgf_stac.consumer SET horizon = '3', confirmed = '0/0'});
($status, $stderr) = deliver('--sink', $http, config('sink-option = hmac-key=whsec_' . encode_base64($key, '')));
is($status, 0, 'batches to a URL') or diag $stderr;
my @got = requests();
is(join('', map { $_->{body} } @got), slurp_file("$dir/lines"), 'the lines of the sink ndjson');
cmp_ok(scalar(@got), '>=', 3, 'in batches');
is(scalar(uniq map { $_->{peer} } @got), 1, 'over one connection');
is_deeply([ uniq map { @{$_}{'path'}, @{ $_->{headers} }{qw(content-type user-agent)} } @got ],
	[ '/items?to=west', 'application/x-ndjson', 'esgf_stac_relay/' . (`esgf_stac_relay --version` =~ /(\d\S*)/)[0] ], 'path and headers');
ok(!(grep { !is_signed($_) } @got), 'each is signed');
is(scalar(uniq map { $_->{headers}{'webhook-id'} } @got), scalar(@got), 'each batch has an id of its own');

# The same events, sent again, have the same id; a plain text will do as a key.
sub repeat
{
	my ($stream) = @_;
	$node->safe_psql('postgres', qq{SELECT esgf_stac.create_stream('$stream')});
	run_relay($node, '--stream', $stream, '--create', '--from-beginning', '--sink', $http, '--endpos', wal_end($node), config("sink-option = hmac-key=$key"));
	return requests();
}
my @one = repeat('one');
my ($again) = do { $node->safe_psql('postgres', q{SELECT esgf_stac.drop_stream('one')}); repeat('one') };
my ($other) = repeat('other');
is($again->{headers}{'webhook-id'}, $one[0]{headers}{'webhook-id'}, 'the same batch has the same id');
isnt($other->{headers}{'webhook-id'}, $one[0]{headers}{'webhook-id'}, 'that of another stream another');
ok(is_signed($again), 'a key of plain text');

emit('document', 1, '{"n": 1.50}');
emit('document', 2, undef);
is((deliver('--sink', "http:$http", '--format', 'document'))[0], 0, 'a URL behind its scheme, as documents');
@got = requests();
is(join('', map { $_->{body} } @got), qq({"n": 1.50}\nnull\n), 'the documents alone');
is($got[0]{headers}{'webhook-signature'}, undef, 'without a key there is no signature');

emit('CMIP6', 8, '{}', 'collection');
is((deliver('--sink', $http, '--format', 'esgf'))[0], 0, 'an event of which the format says nothing');
is(scalar(requests()), 0, 'makes no request');

emit('login', 1, '{}');
($status, $stderr) = deliver(config("sink = $http", 'sink-option = username=me', 'sink-option = password=hush:hush'));
is((requests())[0]{headers}{authorization}, 'Basic ' . encode_base64('me:hush:hush', ''), 'basic authentication');
emit('login', 2, '{}');
($status, $stderr) = deliver(config("sink = http://me:hush\@$server->{address}/items"));
is((requests())[0]{headers}{authorization}, 'Basic ' . encode_base64('me:hush', ''), 'or in the URL');

# ---------------------------------------------------------------- http: what comes back

answers((map { { status => $_ } } 408, 425, 429, 500), { status => 503, headers => { 'Retry-After' => 1 } });
emit('busy', 1, '{}');
($status, $stderr) = deliver('--sink', $http, '--max-attempts', 1);
is($status, 0, 'a server that is busy');
@got = requests();
is_deeply([ map { $_->{status} } @got ], [ 408, 425, 429, 500, 503, 200 ], 'is tried again, whatever --max-attempts says');
is(scalar(uniq map { $_->{headers}{'webhook-id'} } @got), 1, 'with the same id');
cmp_ok($got[5]{time} - $got[4]{time}, '>=', 1, 'not before it wants to be');
like($stderr, qr/sink is busy, 1 events wait: answered 429/, 'and the log tells');
is(letters(), '', 'no document is to blame');

# One of many is at fault.
sub set_refused
{
	my ($rule) = @_;
	unlink "$server->{folder}/refused";
	append_to_file("$server->{folder}/refused", $json->encode($rule)) if $rule;
	return;
}
sub delivered { return map { map { $json->decode($_) } split /\n/, $_->{body} } grep { $_->{status} == 200 } requests(); }

for my $refusal (400, 422)
{
	set_refused({ status => $refusal, text => 'poison', body => 'not poison, please' });
	$node->safe_psql('postgres', qq{
		INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
		SELECT gen_random_uuid(), 'CMIP6', '$refusal-' || i, 'item.updated', v,
		       CASE WHEN i IN (17, 18) AND v = 1 THEN '{"poison": true}'::jsonb ELSE '{}' END, now(), '{}'
		  FROM generate_series(1, 2) v, generate_series(1, 40) i});
	($status, $stderr) = deliver('--sink', $http);
	is($status, 0, "refused by $refusal") or diag $stderr;
	is(letters(), join("\n", map { "CMIP6 $refusal-$_ 1 answered $refusal: not poison, please" } 17, 18), 'what was refused is a dead letter');
	is_deeply([ map { "$_->{item_id} $_->{version}" } delivered() ], [ (map { "$refusal-$_ 1" } 1 .. 16, 19 .. 40), map { "$refusal-$_ 2" } 1 .. 40 ],
		'the others come, once and in order');
}
set_refused({ status => 413, bytes => 2000 });
emit('large', 1, '{"text": "' . 'x' x 2000 . '"}');
add_events($node, 1, 100, 2);
($status, $stderr) = deliver('--sink', $http);
is($status, 0, 'too large');
is(letters(), 'CMIP6 large 1 answered 413', 'one alone is refused');
is_deeply([ map { $_->{item_id} } delivered() ], [ map { "item-$_" } 1 .. 100 ], 'many come in smaller batches');
set_refused();

# The sink itself is down.
emit('down', 1, '{}');
for my $down (401, 403, 404, 410, 302)
{
	answers({ status => $down, headers => { Location => "http://$server->{address}/elsewhere" }, body => "nobody\nhere: \xE9" });
	($status, $stderr) = deliver(config("sink = $http", 'sink-option = username=me', 'sink-option = password=hush'));
	is($status, 5, "down: $down");
	like($stderr, qr/sink is down.*answered $down.*: nobody here/, 'what it answered is told');
	unlike($stderr, qr/hush/, 'the password is not');
	is(scalar(requests()), 1, 'it is asked once, and nobody else');
}
like($stderr, qr/redirects are not followed/, 'not even by a redirect');
is(letters(), '', 'no document is to blame');
answers({ drop => 1 });
is((deliver('--sink', $http))[0], 5, 'a connection that is cut');
answers({ delay => 5 });
($status, $stderr) = deliver('--sink', $http, '--sink-option', 'timeout=1');
is($status, 5, 'no answer in time');
like($stderr, qr/sink is down.*timed out/i, 'is told');
requests();
answers({ status => 404 }, { drop => 1 });
($status) = run_relay($node, '--stream', 'a', '--sink', $http, '--endpos', wal_end($node));
is($status, 0, 'without --no-loop it is tried again');
is_deeply([ map { $_->{item_id} } delivered() ], ['down'], 'until it takes the event');

# What comes while a slow server takes its time is one batch, though the database's
# server sends it in small portions.
set_refused({ status => 200, text => '', delay => 0.4 });
add_events($node, 1, 2000, 4, 'x' x 5000);
is((deliver('--sink', $http))[0], 0, 'a slow server');
@got = requests();
cmp_ok(scalar(@got), '<', 15, 'gets large batches');
set_refused();

# Meanwhile the database's server hears of us, and a stop is heard by us.
$node->safe_psql('postgres', $_) for q{ALTER SYSTEM SET wal_sender_timeout = '2s'}, 'SELECT pg_reload_conf()';
answers({ delay => 5 });
emit('slow', 1, '{}');
($status, $stderr) = deliver('--sink', $http, '--status-interval', 1);
is($status, 0, 'a server that is slower than wal_sender_timeout');
is(scalar(requests()), 1, 'is asked once');
unlike($stderr, qr/error/, 'no connection is lost');
$node->safe_psql('postgres', $_) for 'ALTER SYSTEM RESET wal_sender_timeout', 'SELECT pg_reload_conf()';
answers({ delay => 50 });
emit('slow', 2, '{}');
my $relay = start_relay($node, $log, '--stream', 'a', '--sink', $http);
wait_for('the request', sub { -e "$server->{folder}/requests" });
is(stop_relay($relay), 0, 'a relay that waits for an answer stops when told');
like(slurp_file($log), qr/no answer yet when we had to stop/, 'though not at once');

# SIGTERM ends the wait for a busy server; the event comes with the next relay.
answers({ status => 503, headers => { 'Retry-After' => 300 } });
emit('waiting', 1, '{}');
$relay = start_relay($node, $log, '--stream', 'a', '--sink', $http);
wait_for('a busy server', sub { slurp_file($log) =~ /sink is busy/ });
is(stop_relay($relay), 0, 'a relay that waits for a busy server stops when told');
requests();
deliver('--sink', $http);
is_deeply([ map { $_->{item_id} } delivered() ], [ 'slow', 'waiting' ], 'and loses nothing');

# ---------------------------------------------------------------- https

SKIP:
{
	my @make = (qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1), '-keyout', "$dir/key", '-out', "$dir/certificate");
	skip 'there is no openssl to make a certificate', 3 if !eval { IPC::Run::run(\@make, '>', \my $out, '2>&1') };
	my $secure = start_server('secure', "$dir/certificate", "$dir/key");
	emit('secure', 1, '{}');
	($status, $stderr) = deliver('--sink', "https://$secure->{address}/items");
	is($status, 5, 'a certificate that nobody vouches for');
	like($stderr, qr/sink is down.*certificate/i, 'is not trusted');
	is((deliver('--sink', "https://$secure->{address}/items", '--sink-option', "ca-file=$dir/certificate"))[0], 0, 'but with ca-file');
}

# ---------------------------------------------------------------- the receiver of doc/relay.md

my ($receiver) = slurp_file("$FindBin::RealBin/../../doc/relay.md") =~ /^```python\n(.*?)^```$/ms;
append_to_file("$dir/receiver.py", $receiver);
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $url = "http://127.0.0.1:$port/";
my $secret = 'whsec_' . encode_base64($key, '');
{
	local $ENV{WEBHOOK_KEY} = $secret;
	start_python("$dir/receiver", "$dir/receiver.py", $port, "$dir/items.db");
}
wait_for('the receiver', sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") });

sub in_items
{
	my ($query) = @_;
	my $output = '';
	IPC::Run::run([ 'python3', '-c', 'import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone()[0])', "$dir/items.db", $query ], '>', \$output);
	chomp $output;
	return $output;
}

$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('received')});
new_items($node, 1, 30);
$node->safe_psql('postgres', q{
	SELECT esgf_stac.patch_item('CMIP6', 'item-1.v1', '{"properties": {"n": 2.50}}'), esgf_stac.delete_item('CMIP6', 'item-2.v1')});
my @receive = ('--stream', 'received', '--sink', $url, '--no-loop');
($status, undef, $stderr) = run_relay($node, @receive, '--create', '--from-beginning', config("sink-option = hmac-key=$secret"), '--endpos', wal_end($node));
is($status, 0, "the page's receiver takes all") or diag $stderr, slurp_file("$dir/receiver/log");
my $everything = q{SELECT group_concat(id || ':' || version || ':' || coalesce(json_extract(document, '$.properties.n'), 'gone'), ' ') FROM (SELECT * FROM item WHERE id LIKE 'item-%.v1' ORDER BY id)};
my $truth = $node->safe_psql('postgres', q{
	SELECT string_agg(concat_ws(':', id, version, CASE WHEN deleted THEN 'gone' ELSE document->'properties'->>'n' END), ' ' ORDER BY id COLLATE "C") FROM esgf_stac.item});
$truth =~ s/2\.50/2.5/;
is(in_items($everything), $truth, 'and has what the catalogue has');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('esgf_stac_received'); UPDATE esgf_stac.consumer SET horizon = '3', confirmed = '0/0' WHERE stream = 'received'});
is((run_relay($node, @receive, config("sink-option = hmac-key=$secret"), '--endpos', wal_end($node)))[0], 0, 'events that come again');
is(in_items($everything), $truth, 'change nothing');
$node->safe_psql('postgres', q{SELECT esgf_stac.patch_item('CMIP6', 'item-1.v1', '{"properties": {"n": 3}}')});
($status, undef, $stderr) = run_relay($node, @receive, config('sink-option = hmac-key=another'), '--endpos', wal_end($node));
is($status, 5, 'another key');
like($stderr, qr/answered 401/, 'is not accepted');
my $old = time - 400;
my $signature = hmac_sha256_base64("id.$old.\n", $key);
is(HTTP::Tiny->new->post($url, { content => "\n", headers => { 'webhook-id' => 'id', 'webhook-timestamp' => $old, 'webhook-signature' => "v1,$signature=" } })->{status},
	401, 'nor is an old signature');
is(in_items($everything), $truth, 'none of them changes anything');
for my $line ('nonsense', 'null', '{}')
{
	my $now = time;
	$signature = hmac_sha256_base64("id.$now.$line\n", $key);
	is(HTTP::Tiny->new->post($url, { content => "$line\n", headers => { 'webhook-id' => 'id', 'webhook-timestamp' => $now, 'webhook-signature' => "v1,$signature=" } })->{status},
		400, "what is no event is refused: $line");
}
is((run_relay($node, @receive, config("sink-option = hmac-key=$secret"), '--endpos', wal_end($node)))[0], 0, 'the right key again');
is(in_items(q{SELECT version FROM item WHERE id = 'item-1.v1'}), 3, 'brings the change');
# ---------------------------------------------------------------- opensearch: usage

refused('no index', qr{no /INDEX}, '--sink', "opensearch:http://$server->{address}$_") for '', '/', '/items?refresh=true';
refused("no index can be $_", qr/cannot be an index/, '--sink', "opensearch:http://$server->{address}/$_") for 'a b', 'a*', 'a|b', 'items_{item_id}', '{collection';
refused('no URL', qr/no URL of http/, '--sink', 'opensearch:ftp://host/items');
refused('a password in the URL', qr/password on the command line/, '--sink', 'opensearch:http://me:hush@host/items_{collection}');
refused("a document id $_", qr/--document-id has/, '--sink', $index, '--document-id', $_) for 'one', '{collection}', '{item_id}{version}';
refused('an option of no sink', qr/no option hmac-key/, config("sink = $index", 'sink-option = hmac-key=hush'));
refused('gzip', qr/gzip is on or off/, '--sink', $index, '--sink-option', 'gzip=yes');
refused('two logins', qr/exclude each other/, config("sink = $index", map { "sink-option = $_=x" } qw(api-key username password)));
refused('a format', qr/takes no --format/, '--sink', $index, '--format', 'document');

# ---------------------------------------------------------------- opensearch: what is sent

deliver('--sink', $http);
requests();
emit(q{quote" and \\}, 3, '{"n": 1.50}');
emit('gone', 2, undef);
emit('CMIP6', 9, '{}', 'collection');
emit('last', 1, '{"text": "' . 'x' x 10000 . '"}');
($status, $stderr) = deliver('--sink', $index, '--sink-option', 'gzip=on');
is($status, 0, 'a _bulk request') or diag $stderr;
@got = requests();
is(join('', map { $_->{body} } @got), <<'LINES' . '{"text": "' . 'x' x 10000 . qq("}\n), 'its lines');
{"index":{"_index":"items","_id":"quote\" and \\","version":3,"version_type":"external_gte"}}
{"n": 1.50}
{"delete":{"_index":"items","_id":"gone","version":2,"version_type":"external_gte"}}
{"index":{"_index":"items","_id":"last","version":1,"version_type":"external_gte"}}
LINES
like($got[0]{path}, qr{^/base/_bulk\?}, 'its path');
is_deeply([ @{ $got[0]{headers} }{qw(content-type content-encoding authorization)} ], [ 'application/x-ndjson', 'gzip', undef ], 'its headers');
cmp_ok($got[-1]{size}, '<', 1000, 'compressed');

emit('plain', 1, '{"text": "' . 'x' x 10000 . '"}', 'obs4MIPs');
($status) = deliver(config("sink = opensearch:http://$server->{address}/items_{collection}", 'document-id = {item_id}|{collection}',
		'sink-option = api-key=aGk6aG8='));
@got = requests();
like($got[0]{body}, qr/^\{"index":\{"_index":"items_obs4MIPs","_id":"plain\|obs4MIPs",/, 'names made of collection and item');
is_deeply([ @{ $got[0]{headers} }{qw(content-encoding authorization)} ], [ undef, 'ApiKey aGk6aG8=' ], 'an API key; not compressed unless wanted');
cmp_ok($got[0]{size}, '>', 10000, 'as it is');
like($got[0]{path}, qr{^/_bulk\?}, 'without a path before the index');

# What can be the name of no index.
emit('named', 1, '{}', $_) for 'a b', '<now>', 'a,b', 'x' x 250, 'right';
is((deliver('--sink', "opensearch:http://$server->{address}/items_{collection}"))[0], 0, 'collections that no index can be called after');
is_deeply([ map { $json->decode((split /\n/, $_->{body})[0])->{index}{_index} } requests() ], ['items_right'], 'are not sent');
is(scalar(() = letters() =~ /neither an index nor an alias/g), 4, 'but dead letters');
emit('named', 2, '{}', '_x');
deliver('--sink', "opensearch:http://$server->{address}/{collection}");
like(letters(), qr/^_x named 2 neither/, 'nor one that begins so');

# A large document goes alone.
my $megabyte = 1024 * 1024;
in_batches(sub { emit("wide-$_", 1, '{"text": "' . 'x' x ($_ * $megabyte) . '"}') for 2, 1, 11 });
is((deliver('--sink', $index))[0], 0, 'a batch with a large document');
is_deeply([ map { int($_->{size} / $megabyte) } requests() ], [ 3, 11 ], 'sends that alone');

# ---------------------------------------------------------------- opensearch: what comes back

# The lines of requests: for each its items, a status said of the request before.
sub lines_of { return map { join ' ', map { /"_id":"([^"]+)"/ } split /\n/, $_->{body} } @_; }

sub said { my ($status, $type, $reason, %more) = @_; return { status => $status, error => { type => $type, reason => $reason, %more } }; }

emit_batch(1, qw(a b c d e));
answers(
	{ lines => {
			a => said(400, 'mapper_parsing_exception', 'failed to parse field [n]', caused_by => { type => 'x', reason => qq(for input "\x{f6}") }),
			b => said(429, 'rejected_execution_exception', 'full'),
			c => said(409, 'version_conflict_engine_exception', 'newer'),
			d => said(503, 'unavailable_shards_exception', 'no primary') } },
	{ lines => { b => said(500, 'exception', 'oh') } });
($status, $stderr) = deliver('--sink', $index, '--max-attempts', 1);
is($status, 0, 'lines of all outcomes') or diag $stderr;
is_deeply([ lines_of(requests()) ], [ 'a b c d e', 'b d', 'b' ], 'what is busy is sent again, and nothing else');
is(letters(), "CMIP6 a 1 mapper_parsing_exception: failed to parse field [n]: for input \"\xC3\xB6\"", 'what is refused is a dead letter, with the reason');

emit_batch(2, qw(a));
answers({ lines => { a => said(418, 'teapot', 'short') } });
is((deliver('--sink', $index, '--max-attempts', 2))[0], 0, 'a status that nobody knows');
is(scalar(requests()), 2, 'is tried again');
emit_batch(3, qw(a));
answers({ lines => { a => said(418, 'teapot', 'short') } });
deliver('--sink', $index, '--max-attempts', 1);
is(letters(), 'CMIP6 a 3 teapot: short', 'up to --max-attempts');
requests();

emit_batch(4, qw(a b));
for my $down (
	said(403, 'security_exception', 'no permissions'),
	said(404, 'index_not_found_exception', 'no such index [items]'),
	said(400, 'invalid_index_name_exception', 'must be lowercase'),
	said(400, 'index_closed_exception', 'closed'),
	said(400, 'illegal_argument_exception', 'no write index is defined for alias [items]'))
{
	answers({ lines => { b => $down } });
	($status, $stderr) = deliver('--sink', $index);
	is($status, 5, "the index is to blame: $down->{error}{type}");
	like($stderr, qr/sink is down.*index or alias \\"items\\" cannot be written: $down->{error}{type}: \Q$down->{error}{reason}\E/, 'and the log tells');
}
for my $answer ({ status => 401, body => 'Unauthorized' }, { status => 400, body => '<html>plain HTTP to an HTTPS port</html>' },
	{ status => 400, body => '{"error":"no handler found for uri"}' }, { body => '<html>Welcome</html>' }, { body => '{"errors":false,"items":[]}' }, { drop => 1 })
{
	answers($answer);
	($status, $stderr) = deliver('--sink', $index);
	is($status, 5, 'the server is to blame: ' . $json->encode($answer));
	like($stderr, qr/sink is down/, 'and the log tells');
}
requests();
answers({ status => 429, headers => { 'Retry-After' => 1 } }, { status => 503 });
is((deliver('--sink', $index, '--max-attempts', 1))[0], 0, 'a server that is busy');
is_deeply([ lines_of(requests()) ], [ ('a b') x 3 ], 'gets the same again');
is(letters(), '', 'and no document is to blame');

# Too large, or otherwise no request at all.
set_refused({ status => 413, bytes => 1000 });
emit_batch(5, map { sprintf 'many%02d', $_ } 1 .. 40);
emit('large', 2, '{"text": "' . 'x' x 2000 . '"}');
is((deliver('--sink', $index))[0], 0, 'too large');
is(letters(), 'CMIP6 large 2 answered 413', 'one alone is refused');
is(join(' ', lines_of(grep { $_->{status} == 200 } requests())), join(' ', map { sprintf 'many%02d', $_ } 1 .. 40), 'many come in smaller requests');
set_refused({ status => 400, text => 'b5', body => '{"error":{"type":"action_request_validation_exception","reason":"id is too long"},"status":400}' });
emit_batch(6, map { "b$_" } 1 .. 9);
is((deliver('--sink', $index))[0], 0, 'a line that fails the request');
like(letters(), qr/^CMIP6 b5 6 answered 400: .*id is too long/, 'is refused');
is(join(' ', lines_of(grep { $_->{status} == 200 } requests())), 'b1 b2 b3 b4 b6 b7 b8 b9', 'the others stand');

# What is no proper answer. A line has a status, and that decides.
emit_batch(7, qw(a b));
answers(
	{ body => '{"errors":true,"items":[{"index":{"status":503}},{"index":{"status":201}}]}' },
	{ body => '{"errors":false,"items":[{"index":{"status":503,"error":{"type":"x","reason":"y"}}}]}' });
is((deliver('--sink', $index))[0], 0, 'a line that failed, whatever else is said');
is_deeply([ lines_of(requests()) ], [ 'a b', 'a', 'a' ], 'is sent again');
emit_batch(8, qw(a b));
answers({ body => '{"errors":true,"items":[{"index":{"status":201,"error":null}},{"index":{"status":200}}]}' });
is((deliver('--sink', $index))[0], 0, 'an error that is null is none');
is(scalar(requests()), 1, 'and nothing is sent again');
emit_batch(9, qw(a b));
for my $items ('[null,null]', '[{"index":{}},{"index":{}}]', '[{"index":{"status":"201"}},{"index":{"status":201}}]', '[{},{}]')
{
	answers({ body => qq({"errors":true,"items":$items}) });
	($status, $stderr) = deliver('--sink', $index);
	is($status, 5, "the server is to blame: $items");
	like($stderr, qr/sink is down.*no answer to _bulk/, 'and the log tells');
}
deliver('--sink', $index);
requests();

# What a later version of the item has overtaken is not sent again: the index may have
# forgotten by then that it was a deletion.
emit('revenant', 1, '{}');
in_batches(sub { emit('revenant', 2, '{}'); emit('other', 1, '{}'); emit('revenant', 3, undef) });
answers({ lines => { 'revenant 2' => said(429, 'rejected_execution_exception', 'full'), other => said(429, 'rejected_execution_exception', 'full') } });
is((deliver('--sink', $index))[0], 0, 'a deletion that is taken, a version before it that is not');
@got = requests();
is((lines_of($got[-1]))[0], 'other', 'only what else was not is sent again');
is(scalar(grep { $_->{body} =~ /"revenant","version":2/ } @got), 1, 'that version is not');

# ---------------------------------------------------------------- opensearch: documents that it cannot bear

# Requests are counted before they are looked at.
sub times_sent { my ($text, @requests) = @_; return scalar(grep { $_->{body} =~ /$text/ } @requests); }

for my $case ([ 'breaks the connection', { drop => JSON::PP::true }, 11 ], [ 'is answered 429', { status => 429 }, 12 ])
{
	my ($what, $answer, $version) = @$case;
	set_refused({ %$answer, text => 'unbearable' });
	in_batches(sub { emit($_, $version, $_ eq 'm' ? '{"unbearable": 1}' : '{}') for qw(k l m n o) });
	my $relay = start_relay($node, $log, '--stream', 'a', '--sink', $index, '--max-attempts', 3);
	wait_for('the dead letter', sub { $node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.dead_letter WHERE settled_at IS NULL}) });
	my $end = wal_end($node);
	wait_for('all to be confirmed', sub { $node->safe_psql('postgres', "SELECT confirmed_flush_lsn >= '$end' FROM pg_replication_slots WHERE slot_name = 'esgf_stac_a'") eq 't' });
	is(stop_relay($relay), 0, "a document that $what");
	like(letters(), qr/^CMIP6 m $version [^\n]+$/, 'is a dead letter, and nothing else is');
	@got = requests();
	cmp_ok(times_sent('unbearable', grep { (() = lines_of($_) =~ /(\S+)/g) == 1 } @got), '>=', 3, 'after attempts with it alone');
	my ($last) = grep { $got[ $_ + 1 ]{body} =~ /unbearable/ && $got[$_]{body} !~ /unbearable/ } reverse 0 .. $#got - 1;
	like($got[$last]{body}, qr/^\{"delete":\{"_index":"items","_id":"esgf_stac_relay","version":0,/, 'before each of which the index has shown that it is well');
	is(scalar(grep { $_->{status} == 200 && $_->{body} =~ /"_id":"[no]","version":$version/ } @got) >= 1, 1, 'the others are there');
}

# An index that bears nothing is down, or busy.
my %unwell = ('breaks every connection' => [ { drop => JSON::PP::true }, qr/sink is down/ ], 'answers 429 to everything' => [ { status => 429 }, qr/sink is busy/ ]);
for my $what (sort keys %unwell)
{
	my ($answer, $told) = @{ $unwell{$what} };
	set_refused({ %$answer, text => '' });
	emit("patient-$what", 1, '{}');
	my $before = () = slurp_file($log) =~ /$told/g;
	my $relay = start_relay($node, $log, '--stream', 'a', '--sink', $index, '--max-attempts', 1, '--verbose');
	wait_for('some attempts', sub { (() = slurp_file($log) =~ /$told/g) >= $before + 3 });
	is(letters(), '', "an index that $what refuses nothing");
	set_refused();
	my $end = wal_end($node);
	wait_for('all to be confirmed', sub { $node->safe_psql('postgres', "SELECT confirmed_flush_lsn >= '$end' FROM pg_replication_slots WHERE slot_name = 'esgf_stac_a'") eq 't' });
	is(stop_relay($relay), 0, 'and gets everything once it is well');
	is(letters(), '', 'without a dead letter');
}
requests();

# Waits asked for that make no sense.
for my $when ('Wed, 21 Oct 2015 07:28:00 GMT', '-3600')
{
	emit("late-$when", 1, '{}');
	answers(map { { status => 503, headers => { 'Retry-After' => $when } } } 1 .. 4);
	is((deliver('--sink', $http))[0], 0, "Retry-After: $when");
	my @times = map { $_->{time} } requests();
	cmp_ok($times[4] - $times[3], '>', 0.15, 'is no wait at all, but the relay does wait');
}
emit('never', 1, '{}');
answers({ status => 503, headers => { 'Retry-After' => '9223372036854775807' } });
$relay = start_relay($node, $log, '--stream', 'a', '--sink', $http);
wait_for('the request', sub { -e "$server->{folder}/requests" });
Time::HiRes::sleep(1);
is(scalar(requests()), 1, 'a wait without end is waited for');
is(stop_relay($relay), 0, 'but not by a stop');

# Nobody has to be asked whether he wants what is large.
emit('large', 3, '{"text": "' . 'x' x 2_000_000 . '"}');
deliver('--sink', $http);
is(scalar(grep { exists $_->{headers}{expect} } requests()), 0, 'no Expect: 100-continue');

done_testing();
