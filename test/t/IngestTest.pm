# What the tests of esgf_stac_ingest share: a server with a catalogue and a source
# that may do everything, events as the federation's API makes them, and an ingester
# that is run, started, stopped and killed (RelayTest.pm: start_program, stop_relay,
# kill_relay). It logs in as a role that is a member of esgf_stac_ingest and nothing else.
package IngestTest;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Utils;
use RelayTest;

our @EXPORT = qw(ingest_node new_source ingester_dbname run_ingest start_ingest event post patch_of delete_of random_event lines_of write_log
  inbox position told results_of);

my $deadline = $PostgreSQL::Test::Utils::timeout_default;
my $json = JSON::PP->new->canonical->utf8;

# A running server with a catalogue, the collection CMIP6, and the source "api".
sub ingest_node
{
	my ($name, $conf) = @_;
	my $node = catalogue_node($name, "log_parameter_max_length = 200\n" . ($conf // ''));
	$node->safe_psql('postgres', q{
		CREATE ROLE ingester LOGIN IN ROLE esgf_stac_ingest;
		INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('a.example', '{https://a.example/}');
		SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6",
			"description": "d", "license": "CC-BY-4.0", "links": [],
			"extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}')});
	new_source($node, 'api');
	return $node;
}

# A source that may do everything.
sub new_source
{
	my ($node, $source) = @_;
	$node->safe_psql('postgres', qq{
		SELECT esgf_stac.create_source('$source');
		SELECT esgf_stac.grant_access('source:$source', role, scope, '*')
		  FROM (VALUES ('CREATE', 'project'), ('UPDATE', 'project'), ('DELETE', 'project'), ('CREATE', 'node'), ('UPDATE', 'node')) r (role, scope)});
	return;
}

# ---------------------------------------------------------------- programs

sub ingester_dbname
{
	my ($node) = @_;
	return $node->connstr('postgres') . ' user=ingester';
}

# Run the ingester to its end, with that on stdin: (exit status, stdout, stderr).
sub run_ingest
{
	my ($node, $input, @arguments) = @_;
	my ($stdout, $stderr) = ('', '');
	IPC::Run::run([ 'esgf_stac_ingest', '--dbname', ingester_dbname($node), @arguments ],
		'<', \$input, '>', \$stdout, '2>', \$stderr, IPC::Run::timeout($deadline));
	return ($? >> 8, $stdout, $stderr);
}

# Start the ingester, its log going to that file.
sub start_ingest
{
	my ($node, $log, @arguments) = @_;
	return start_program('esgf_stac_ingest', $node, $log, '--dbname', ingester_dbname($node), @arguments);
}

# ---------------------------------------------------------------- events

# An event on the wire; of several of one id the database performs the first.
sub event
{
	my ($event_id, $payload, %more) = @_;
	return {
		data => { type => 'STAC', payload => $payload },
		metadata => {
			auth => { auth_policy_id => undef, requester_data => { client_id => 'c1', iss => 'https://iss', sub => 'ada' } },
			event_id => $event_id,
			request_id => "r-$event_id",
			publisher => { package => 'stac-transaction-api', version => '1.0' },
			time => '2026-07-17T09:18:58.880582',
			schema_version => '1.0.0',
			%more } };
}

# Payloads. A POST is dumped with unset fields as null, as the API's models do.
sub post
{
	my ($id, %properties) = @_;
	return {
		method => 'POST',
		collection_id => 'CMIP6',
		item => {
			type => 'Feature', stac_version => '1.1.0', id => $id, collection => 'CMIP6', geometry => undef, bbox => undef, links => [],
			assets => { 'data.nc' => { href => 'https://a.example/data.nc', roles => ['data'], title => undef, 'alternate:name' => 'a.example' } },
			properties => { datetime => '2020-01-01T00:00:00Z', title => undef, %properties } } };
}

sub patch_of
{
	my ($id, $patch) = @_;
	return { method => 'PATCH', collection_id => 'CMIP6', item_id => $id, patch => $patch };
}

sub delete_of { return { method => 'DELETE', collection_id => 'CMIP6', item_id => $_[0] } }

# An event about one of so many items.
sub random_event
{
	my ($event_id, $items) = @_;
	my $id = 'item-' . int(rand $items) . '.v1';
	my @payloads = (
		post($id, n => int rand 5),
		patch_of($id, { properties => { n => int rand 5 } }),
		patch_of($id, [ { op => 'add', path => '/properties/m', value => int rand 5 } ]),
		patch_of($id, { properties => { n => int rand 5, text => 'x' x rand 2000 } }),
		delete_of($id));
	return event($event_id, $payloads[ rand @payloads ]);
}

# Events as lines.
sub lines_of { return join '', map { $json->encode($_) . "\n" } @_ }

sub write_log
{
	my ($file, @events) = @_;
	append_to_file($file, lines_of(@events));
	return;
}

# ---------------------------------------------------------------- what came of them

# Rows of the inbox: "partition offset event_id status attempt".
sub inbox
{
	my ($node, $source) = @_;
	return $node->safe_psql('postgres', qq{SELECT concat_ws(' ', partition, "offset", coalesce(event_id, '-'), status, attempt)
		FROM esgf_stac.inbox WHERE source = '$source' ORDER BY partition, "offset"});
}

# Outcomes of a source in its order: "event_id:status", those without an event_id "-".
sub told
{
	my ($node, $source) = @_;
	return $node->safe_psql('postgres', qq{SELECT string_agg(concat(coalesce(event_id, '-'), ':', status), ' ' ORDER BY partition, "offset")
		FROM esgf_stac.inbox WHERE source = '$source'});
}

# The positions of its partitions: "next_offset high_watermark lag results_offset".
sub position
{
	my ($node, $source) = @_;
	return $node->safe_psql('postgres', qq{SELECT next_offset, high_watermark, lag, results_offset FROM esgf_stac.source_status WHERE source = '$source' ORDER BY partition});
}

# Outcome events of a file, in order: "original event_id:success" or the slug of its error.
sub results_of
{
	my ($file) = @_;
	return join ' ', map {
		my $event = $_;
		my $what = $event->{error} ? $event->{error}{type} =~ s{.*/}{}r : 'success';
		($event->{original_event}{event_id} || '-') . ":$what"
	} read_events($file);
}

1;
