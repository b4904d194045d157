# What the tests of esgf_stac_relay share: a server with a catalogue, events
# written by hand, and a relay that is run, watched and killed.
package RelayTest;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(catalogue_node new_stream add_events new_items random_statement wal_end open_session in_session roll_back sink_waits run_relay start_program start_relay stop_relay kill_relay
  wait_for read_lines read_events);

# The relays that run, to be killed should the test die.
my %running;

my $deadline = $PostgreSQL::Test::Utils::timeout_default;

# A running server with a catalogue.
sub catalogue_node
{
	my ($name, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', $conf // '');
	$node->start;
	$node->safe_psql('postgres',
		'CREATE EXTENSION esgf_stac; SELECT esgf_stac.create_catalogue()');
	return $node;
}

# A stream whose slot is made already.
sub new_stream
{
	my ($node, $name, $arguments) = @_;
	$node->safe_psql('postgres',
		"SELECT esgf_stac.create_stream('$name'" . ($arguments // '') . ')');
	my ($status, undef, $stderr) = run_relay($node, '--stream', $name, '--create');
	BAIL_OUT("could not make the slot: $stderr") if $status != 0;
	return;
}

# Events of items first to last, all of one version, in one transaction.
sub add_events
{
	my ($node, $first, $last, $version, $more) = @_;
	$version //= 1;
	$more //= '';
	$node->safe_psql('postgres', qq{
		INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
		SELECT gen_random_uuid(), 'CMIP6', 'item-' || i, 'item.published', $version,
		       jsonb_build_object('id', 'item-' || i, 'n', 1.50, 'more', '$more'), now(), '{}'
		  FROM generate_series($first, $last) i});
	return;
}

# Items first to last through the verbs; the first call makes the collection.
sub new_items
{
	my ($node, $first, $last) = @_;
	$node->safe_psql('postgres', qq{
		DO \$\$
		BEGIN
			IF NOT EXISTS (SELECT FROM esgf_stac.collection) THEN
				PERFORM esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6",
					"description": "d", "license": "CC-BY-4.0", "links": [],
					"extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}');
			END IF;
		END
		\$\$;
		SELECT esgf_stac.create_item('CMIP6', jsonb_build_object('type', 'Feature', 'stac_version', '1.1.0',
			'id', 'item-' || i || '.v1', 'geometry', NULL, 'links', '[]'::jsonb, 'assets', '{}'::jsonb,
			'properties', jsonb_build_object('datetime', '2020-01-01T00:00:00Z', 'n', i)))
		  FROM generate_series($first, $last) i});
	return;
}

# One statement of a writer, about one of so many items in each of three versions.
sub random_statement
{
	my ($items) = @_;
	my $id = 'item-' . int(rand $items) . '.v' . (1 + int rand 3);
	my $n = int rand 10;
	my $text = int rand 1_000_000;
	my $document = qq{jsonb_build_object('type', 'Feature', 'stac_version', '1.1.0', 'id', '$id', 'geometry', NULL, 'links', '[]'::jsonb,
		'assets', '{"data.nc": {"href": "https://a.example/data.nc", "roles": ["data"], "alternate:name": "a.example"}}'::jsonb,
		'properties', jsonb_build_object('datetime', '2020-01-01T00:00:00Z', 'n', $n, 'text', repeat('$text', 50)))};
	my $patch = qq{SELECT esgf_stac.patch_item('CMIP6', '$id', '{"properties": {"n": $n, "text": "$text"}}')};
	my @statements = (
		"SELECT esgf_stac.create_item('CMIP6', $document)",
		"SELECT esgf_stac.create_item('CMIP6', $document)",
		"SELECT esgf_stac.replace_item('CMIP6', '$id', $document)",
		$patch, $patch, $patch,
		qq{SELECT esgf_stac.patch_item('CMIP6', '$id', '[{"op": "add", "path": "/properties/m", "value": $text.50}]')},
		"SELECT esgf_stac.delete_item('CMIP6', '$id')",
		"SELECT esgf_stac.restore_item('CMIP6', '$id')",
		"SELECT esgf_stac.retract_item('CMIP6', '$id', reason => 'because $text')",
		"SELECT esgf_stac.reinstate_item('CMIP6', '$id')",
		qq{SELECT esgf_stac.add_replica('CMIP6', '$id', 'b.example', '{"data.nc": {"href": "https://b.example/data.nc"}}')},
		qq{SELECT esgf_stac.remove_replica('CMIP6', '$id', 'b.example')},
		qq{SELECT count(*) FROM esgf_stac.transact('[{"method": "PATCH", "collection_id": "CMIP6", "item_id": "$id", "patch": {"properties": {"n": $n}}},
			{"method": "DELETE", "collection_id": "CMIP6", "item_id": "$id"}]', atomic => false)},
		qq{UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,n}', '$n') WHERE id = '$id' AND NOT deleted},
		qq{SELECT esgf_stac.patch_collection('CMIP6', '{"description": "$text"}')},
		qq{BEGIN; $patch; SELECT esgf_stac.delete_item('CMIP6', '$id'); ROLLBACK},
		qq{BEGIN; SAVEPOINT s; $patch; ROLLBACK TO s; SELECT esgf_stac.delete_item('CMIP6', '$id'); COMMIT},
		qq{BEGIN; $patch; SELECT pg_sleep(random() / 20); COMMIT},
		'CHECKPOINT');
	return $statements[ rand @statements ];
}

# Where the WAL ends now: an --endpos by which all so far is delivered.
sub wal_end
{
	my ($node) = @_;
	return $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
}

# A session that stays open, and a command in it.
sub open_session
{
	my ($node) = @_;
	my %session = (in => '', out => '');
	$session{psql} = IPC::Run::start([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ],
		'<', \$session{in}, '>', \$session{out}, IPC::Run::timeout($deadline));
	return \%session;
}

sub in_session
{
	my ($session, $command) = @_;
	$session->{out} = '';
	$session->{in} .= "$command\n\\echo done\n";
	$session->{psql}->pump until $session->{out} =~ /^done$/m;
	return;
}

# End what such a session has begun, and itself.
sub roll_back
{
	my ($session) = @_;
	in_session($session, 'ROLLBACK;');
	$session->{in} .= "\\q\n";
	$session->{psql}->finish;
	return;
}

# Does a sink wait for a lock?
sub sink_waits
{
	my ($index) = @_;
	return $index->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE NOT granted});
}

# Run the relay to its end: (exit status, stdout, stderr).
sub run_relay
{
	my ($node, @arguments) = @_;
	my ($stdout, $stderr) = ('', '');
	IPC::Run::run(
		[ 'esgf_stac_relay', '--dbname', $node->connstr('postgres'), @arguments ],
		'<', \undef, '>', \$stdout, '2>', \$stderr, IPC::Run::timeout($deadline));
	return ($? >> 8, $stdout, $stderr);
}

# Start one of our programs, its log going to that file.
sub start_program
{
	my ($program, $node, $log, @arguments) = @_;
	my $process = IPC::Run::start(
		[ $program, '--dbname', $node->connstr('postgres'), @arguments ],
		'<', \undef, '>>', "$log.out", '2>>', $log);
	$running{$process} = $process;
	return $process;
}

sub start_relay { return start_program('esgf_stac_relay', @_) }

# Stop it as an operator would; its exit status.
sub stop_relay
{
	my ($relay, $signal) = @_;
	$relay->signal($signal // 'TERM');
	$relay->finish;
	delete $running{$relay};
	return $relay->full_result(0) >> 8;
}

# Kill it as nobody should.
sub kill_relay
{
	my ($relay) = @_;
	$relay->signal('KILL');
	$relay->finish;
	delete $running{$relay};
	return;
}

# Poll until the code answers true.
sub wait_for
{
	my ($what, $code) = @_;
	my $end = time + $deadline;
	while (time < $end)
	{
		return 1 if $code->();
		usleep(20_000);
	}
	fail("waited in vain: $what");
	return 0;
}

END
{
	my $status = $?;
	kill_relay($_) for values %running;
	$? = $status;
}

sub read_lines
{
	my ($file) = @_;
	return () unless -e $file;
	return split /\n/, slurp_file($file);
}

sub read_events
{
	my ($file) = @_;
	return map { JSON::PP::decode_json($_) } read_lines($file);
}

1;
