# Exit status and messages: part of the relay's contract.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('status');
my $dir = PostgreSQL::Test::Utils::tempdir;

# Run it, and compare status and stderr.
sub relay_ends
{
	my ($arguments, $status, $pattern, $what) = @_;
	my ($got, undef, $stderr) = run_relay($node, @$arguments);
	is($got, $status, "$what: exit status $status");
	like($stderr, $pattern, "$what: message");
	return;
}
my @sink = ('--sink', "ndjson:$dir/out", '--no-loop');

# Version and help.
my $version = (slurp_file("$FindBin::RealBin/../../esgf_stac.control") =~ /^default_version = '(.*)'/m)[0];
my ($status, $stdout) = run_relay($node, '--version');
like("$status $stdout", qr/^0 esgf_stac_relay \Q$version\E\nsinks: ndjson postgres\b.*\n\z/, '--version is that of the control file, and lists the sinks');
($status, $stdout) = run_relay($node, '--help');
is($status, 0, '--help');
like($stdout, qr/--$_\b/, "--help tells of --$_")
  for qw(dbname stream sink format document-id tombstones sink-option create if-not-exists no-loop endpos status-interval verbose version help);

# 2: usage.
relay_ends([@sink], 2, qr/no stream/, 'no stream');
relay_ends([ '--stream', 'a' ], 2, qr/no sink/, 'no sink');
relay_ends([ '--stream', 'A b', @sink ], 2, qr/no name for a stream/, 'a bad name');
relay_ends([ '--stream', 'a', '--sink', 'smoke:signals' ], 2, qr/no such sink/, 'unknown sink');
relay_ends([ '--stream', 'a', '--sink', 'ndjson:' ], 2, qr/no such sink/, 'sink without a target');
relay_ends([ '--stream', 'a', @sink, '--colour' ], 2, qr/colour/, 'unknown option');
relay_ends([ '--stream', 'a', @sink, 'more' ], 2, qr/more/, 'stray argument');
relay_ends([ '--stream', 'a', @sink, '--endpos', '0/' ], 2, qr/--endpos/, 'bad endpos');
relay_ends([ '--stream', 'a', @sink, '--status-interval', '0' ], 2, qr/--status-interval/, 'bad interval');
relay_ends([ '--stream', 'a', @sink, '--if-not-exists' ], 2, qr/goes with --create/, '--if-not-exists alone');
relay_ends([ '--stream', 'a', @sink, '--dbname', 'host=x nonsense' ], 2, qr/connection string/, 'bad conninfo');
relay_ends([ '--stream', 'a', @sink, '--dbname', $_ ], 2, qr/password on the command line/, 'a password')

  for 'dbname=postgres password=secret', 'postgresql://me:secret@localhost/postgres',
  "dbname=postgres sslpassword='secret'";
relay_ends([ '--stream', 'a', @sink, '--format', 'poem' ], 2, qr/--format: poem/, 'unknown format');
relay_ends([ '--stream', 'a', '--sink', 'postgres:dbname=x#t', '--format', 'document' ], 2, qr/takes no --format: postgres/, 'a format for a table');
relay_ends([ '--stream', 'a', '--sink', 'postgres:dbname=x' ], 2, qr/no #TABLE/, 'a table without a name');
relay_ends([ '--stream', 'a', @sink, '--document-id', '{item_id}' ], 2, qr/takes no --document-id: ndjson/, 'an id for lines');
relay_ends([ '--stream', 'a', @sink, '--tombstones' ], 2, qr/takes no --tombstones: ndjson/, 'tombstones for lines');
relay_ends([ '--stream', 'a', @sink, '--sink-option', 'a=b' ], 2, qr/takes no --sink-option: ndjson/, 'an option of no sink');
relay_ends([ '--stream', 'a', @sink, '--sink-option', $_ ], 2, qr/--sink-option/, "no option: $_") for 'a', '=b';
relay_ends([ '--stream', 'a', @sink, '--sink-option', "$_=hush" ], 2, qr/password on the command line/, "a secret: $_")

  for qw(password sasl.password api-key hmac-key sasl.oauthbearer.client.secret ssl.key.pem);
my (undef, undef, $stderr) = run_relay($node, '--stream', 'a', @sink, '--dbname', 'password=secret');
unlike($stderr, qr/secret/, 'which no message repeats');

# 3: the database.
relay_ends([ '--stream', 'a', @sink, '--dbname', 'host=' . $node->host . ' port=1 dbname=postgres' ],
	3, qr/level=error/, 'no server');
relay_ends([ '--stream', 'a', @sink, '--dbname', $node->connstr('absent') ], 3, qr/absent/, 'no such database');
$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN');
relay_ends([ '--stream', 'a', @sink, '--dbname', $node->connstr('postgres') . ' user=stranger' ],
	3, qr/permission denied/, 'a login without rights');

# 4: extension, catalogue, stream, publication, slot.
$node->safe_psql('template1', 'CREATE DATABASE bare');
relay_ends([ '--stream', 'a', @sink, '--dbname', $node->connstr('bare') ],
	4, qr/problem=extension-missing/, 'no extension');
$node->safe_psql('bare', 'CREATE EXTENSION esgf_stac');
relay_ends([ '--stream', 'a', @sink, '--dbname', $node->connstr('bare') ],
	4, qr/problem=no-catalogue/, 'no catalogue');
relay_ends([ '--stream', 'a', @sink ], 4, qr/problem=no-stream/, 'no stream of that name');
relay_ends([ '--stream', 'a', '--create' ], 4, qr/problem=no-stream/, '--create without a stream');

$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('a')});
relay_ends([ '--stream', 'a', @sink ], 4, qr/problem=no-slot/, 'no slot');
relay_ends([ '--stream', 'a', '--create' ], 0, qr/made slot esgf_stac_a/, '--create alone makes the slot');
relay_ends([ '--stream', 'a', '--create' ], 4, qr/problem=slot-exists/, '--create again');
relay_ends([ '--stream', 'a', '--create', '--if-not-exists' ], 0, qr/\A\z/, '--if-not-exists');
my $relay = start_relay($node, "$dir/log", '--stream', 'a', '--sink', "ndjson:$dir/a");
$node->poll_query_until('postgres', 'SELECT active FROM pg_replication_slots');
relay_ends([ '--stream', 'a', @sink ], 4, qr/problem=slot-in-use/, 'a second reader');
stop_relay($relay);

$node->safe_psql('postgres', q{UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'esgf_stac'});
relay_ends([ '--stream', 'a', @sink ], 4, qr/problem=version-mismatch.*0\.0\.9/, 'another version of the extension');
$node->safe_psql('postgres', qq{UPDATE pg_extension SET extversion = '$version' WHERE extname = 'esgf_stac'});
$node->safe_psql('postgres', q{UPDATE esgf_stac.catalogue SET version = '0.0.9'});
relay_ends([ '--stream', 'a', @sink ], 4, qr/problem=version-mismatch.*upgrade_catalogue/, 'an older catalogue');
$node->safe_psql('postgres', qq{UPDATE esgf_stac.catalogue SET version = '$version', system_identifier = 1});
relay_ends([ '--stream', 'a', @sink ], 4, qr/problem=catalogue-not-adopted/, 'a catalogue of another cluster');
$node->safe_psql('postgres', 'SELECT esgf_stac.adopt_catalogue()');

# A publication that is as create_stream() made it passes, whatever its filter.
my %streams = (
	plain => '',
	some => q{, '{CMIP6,CMIP7}'},
	part => q{, NULL, '$.n == 1'},
	both => q{, ARRAY['it''s', 'a"b', 'c\\d'], '$.n == 1'});
for my $name (sort keys %streams)
{
	$node->safe_psql('postgres', "SELECT esgf_stac.create_stream('$name' $streams{$name})");
	relay_ends([ '--stream', $name, '--create' ], 0, qr/made slot/, "stream $name");
}
my %changes = (
	'a column' => 'SET TABLE esgf_stac.outbox (id, payload)',
	'all columns' => 'SET TABLE esgf_stac.outbox',
	'updates' => q{SET (publish = 'insert, update')},
	'one more' => 'ADD TABLE esgf_stac.stream',
	'no table' => 'DROP TABLE esgf_stac.outbox',
	'no filter' => 'SET TABLE esgf_stac.outbox (seq, id, aggregatetype, aggregateid, type, version, payload,
		occurred_at, reason, batch, streams, left_streams, request_id, xid)');
for my $what (sort keys %changes)
{
	$node->safe_psql('postgres', "SELECT esgf_stac.drop_stream('both');
		SELECT esgf_stac.create_stream('both' $streams{both});
		ALTER PUBLICATION esgf_stac_both $changes{$what}");
	relay_ends([ '--stream', 'both', '--create' ], 4, qr/problem=publication-differs/, "publication: $what");
}
$node->safe_psql('postgres', 'DROP PUBLICATION esgf_stac_plain');
relay_ends([ '--stream', 'plain', @sink ], 4, qr/problem=publication-differs.*does not exist/, 'no publication');

# 5: the sink.
relay_ends([ '--stream', 'a', '--sink', "ndjson:$dir/no/such/folder", '--no-loop' ], 5, qr/sink is down/, 'a sink that cannot be opened');
SKIP:
{
	skip 'no /dev/full here', 2 unless -e '/dev/full';
	add_events($node, 1, 1);
	relay_ends([ '--stream', 'a', '--sink', 'ndjson:/dev/full', '--no-loop' ], 5, qr/No space/, 'a sink that is full');
}

# Without --no-loop the relay waits for a better day.
$relay = start_relay($node, "$dir/log", '--stream', 'a', '--sink', "ndjson:$dir/later/events");
wait_for('a first try', sub { slurp_file("$dir/log") =~ /trying again/ });
mkdir "$dir/later";
wait_for('the event', sub { read_lines("$dir/later/events") });
is(stop_relay($relay), 0, 'a sink that comes back is found');

done_testing();
