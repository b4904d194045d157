# Debezium reads a stream with nothing but the configuration of doc/debezium.md:
# every event arrives once or more, complete, under its key, over a kill -9, a
# lost slot and in a filtered stream.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use RelayTest;
use ServerTest;
use Test::More;

my $reason = server_missing('debezium');
plan skip_all => $reason if $reason;

my $page = slurp_file("$FindBin::RealBin/../../doc/debezium.md");
my ($sql) = $page =~ /^```sql\n(.*?)^```$/ms;
my ($basic, $repeating, $filtered) = $page =~ /^```properties\n(.*?)^```$/msg;

# Debezium comes by TCP and with the page's password, everybody else as always.
my $node = catalogue_node('debezium', "listen_addresses = '127.0.0.1'\n");
my $hba = $node->data_dir . '/pg_hba.conf';
unlink $hba;
append_to_file($hba, "local all,replication all trust\n" . "host postgres,replication debezium 127.0.0.1/32 scram-sha-256\n");
$node->reload;
$node->safe_psql('postgres', $sql);
$node->safe_psql('postgres', q{SELECT esgf_stac.create_stream('mpi', NULL, '$.properties.institution == "MPI-M"')});

# The properties of a stream, with what only this machine can say filled in.
sub properties
{
	my ($stream, @blocks) = @_;
	my $text = join '', @blocks;
	my %ours = (
		'database.hostname' => '127.0.0.1',
		'database.port' => $node->port,
		'database.dbname' => 'postgres',
		'offset.storage.file.filename' => $node->basedir . "/$stream.offsets");
	for my $name (sort keys %ours)
	{
		$text =~ s/^\Q$name\E=.*$/$name=$ours{$name}/m or BAIL_OUT("doc/debezium.md has no $name");
	}
	return $text =~ s/(name=(?:esgf_stac_)?)east$/$1$stream/mgr;
}

# What an engine has printed so far, without heartbeats and a line half written.
sub messages
{
	my ($engine) = @_;
	open my $output, '<', $engine->{output} or die "$engine->{output}: $!";
	seek $output, $engine->{read} // 0, 0;
	while (my $line = <$output>)
	{
		last unless $line =~ /\n\z/;
		$engine->{read} = tell $output;
		my $message = JSON::PP::decode_json($line);
		push @{ $engine->{messages} }, $message if $message->{topic} !~ /^__debezium-heartbeat/;
	}
	close $output;
	return @{ $engine->{messages} // [] };
}

# The messages that a stream's events should be, oldest first.
sub expected
{
	my ($condition) = @_;
	my $answer = $node->safe_psql('postgres', qq{
		SELECT jsonb_build_object('topic', 'outbox.event.' || aggregatetype, 'key', aggregateid, 'value', payload::text,
				'headers', jsonb_build_object('id', id, 'type', type, 'aggregatetype', aggregatetype, 'aggregateid', aggregateid,
					'version', version::text, 'occurred_at', to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
					'reason', reason, 'left_streams', array_to_json(left_streams)::text, 'validated_against', validated_against::text))
		  FROM esgf_stac.outbox WHERE $condition ORDER BY seq});
	return map { JSON::PP::decode_json($_) } split /\n/, $answer;
}

# Wait until each of those events is among what these engines have printed.
sub wait_for_events
{
	my ($what, $expected, @engines) = @_;
	return wait_for($what, sub {
			my %there = map { $_->{headers}{id} => 1 } map { messages($_) } @engines;
			return !grep { !$there{ $_->{headers}{id} } } @$expected;
	});
}

# The first of each event, in the order of arrival.
sub without_repetitions
{
	my %seen;
	return grep { !$seen{ $_->{headers}{id} }++ } @_;
}

# How often a version came after a higher one of the same item.
sub steps_back
{
	my (%newest, $count);
	for my $message (@_)
	{
		my $key = "$message->{topic}/$message->{key}";
		$count++ if $newest{$key} && $message->{headers}{version} < $newest{$key};
		$newest{$key} = $message->{headers}{version};
	}
	return $count // 0;
}

sub slot
{
	my ($column) = @_;
	return $node->safe_psql('postgres', "SELECT $column FROM pg_replication_slots WHERE slot_name = 'esgf_stac_east'");
}

# ---------------------------------------------------------------- all verbs

my $engine = start_debezium(properties('east', $basic));
wait_for('Debezium makes its slot and reads', sub { slot('active') eq 't' });

# As an item is in use: numbers whose spelling matters, text of all kinds, and TOAST.
my $document = q{jsonb_build_object('type', 'Feature', 'stac_version', '1.1.0', 'id', %s, 'geometry', NULL, 'links', '[]'::jsonb,
	'bbox', '[-180.0, -90, 1.50, 90.10]'::jsonb,
	'properties', jsonb_build_object('datetime', '2020-01-01T00:00:00Z', 'institution', 'MPI-M', 'scale', 1.500, 'large', 1e300, 'none', NULL,
		'text', E'"\\\\ \\n \u00e4\u20ac\U0001F30D', 'long', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 200) i)),
	'assets', '{"a.nc": {"href": "https://one.example/a.nc", "roles": ["data"], "alternate:name": "one.example"}}'::jsonb)};
$node->safe_psql('postgres', join ";\n",
	q{INSERT INTO esgf_stac.site VALUES ('one.example', ARRAY['https://one.example/']), ('two.example', ARRAY['https://two.example/'])},
	q{SELECT esgf_stac.create_collection('{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6", "description": "d", "license": "CC-BY-4.0",
		"links": [], "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}')},
	q{SELECT esgf_stac.patch_collection('CMIP6', '{"description": "CMIP6 model output"}')},
	sprintf("SELECT esgf_stac.create_item('CMIP6', $document)", q{'tas.v1'}),
	q{SELECT esgf_stac.patch_item('CMIP6', 'tas.v1', '{"properties": {"scale": 2.50}}')},
	q{SELECT esgf_stac.add_replica('CMIP6', 'tas.v1', 'two.example', '{"a.nc": {"href": "https://two.example/a.nc"}}')},
	q{SELECT esgf_stac.remove_replica('CMIP6', 'tas.v1', 'two.example')},
	sprintf("SELECT esgf_stac.create_item('CMIP6', $document)", q{'tas.v2'}),
	sprintf("SELECT esgf_stac.replace_item('CMIP6', 'tas.v2', $document || '{\"bbox\": [0, 0, 1.0, 1.00]}')", q{'tas.v2'}),
	q{SELECT pg_logical_emit_message(true, 'outbox', 'from a stranger')},
	q{SELECT esgf_stac.retract_item('CMIP6', 'tas.v2', reason => 'wrong, "units"')},
	q{SELECT esgf_stac.reinstate_item('CMIP6', 'tas.v2')},
	q{SELECT esgf_stac.delete_item('CMIP6', 'tas.v1')},
	q{SELECT esgf_stac.restore_item('CMIP6', 'tas.v1')},
	q{SELECT esgf_stac.patch_item('CMIP6', 'tas.v1', '{"properties": {"institution": "CERFACS"}}')},
	q{SELECT esgf_stac.delete_item('CMIP6', 'tas.v2', reason => 'gone')});

my @expected = expected('true');
is(scalar(keys %{ { map { $_->{headers}{type} => 1 } @expected } }), 11, 'events of all types but a deleted collection');
wait_for_events('the events of all verbs', \@expected, $engine);
is_deeply([ without_repetitions(messages($engine)) ], \@expected, 'each event: topic, key, headers and value, and nothing else');

# ---------------------------------------------------------------- idle

my $end = $node->safe_psql('postgres', 'CREATE TABLE noise AS SELECT generate_series(1, 10000); SELECT pg_current_wal_lsn()');
ok(wait_for('the heartbeat', sub { slot("confirmed_flush_lsn >= '$end'") eq 't' }), q{an idle stream's slot moves past others' WAL});

# ---------------------------------------------------------------- kill -9

my $writer = open_session($node);
my $write = q{DO $$ BEGIN FOR i IN %d..%d LOOP
	PERFORM esgf_stac.patch_item('CMIP6', 'tas.v1', jsonb_build_object('properties', jsonb_build_object('n', i)));
	COMMIT; END LOOP; END $$;};
in_session($writer, sprintf $write, 1, 200);
wait_for('events in mid-stream', sub { grep { $_->{headers}{version} > 20 } messages($engine) });
kill_server($engine);
in_session($writer, sprintf $write, 201, 300);
my $second = start_debezium(properties('east', $basic));
@expected = expected('true');
wait_for_events('the rest after kill -9', \@expected, $engine, $second);
is_deeply([ without_repetitions(messages($engine), messages($second)) ], \@expected, 'killed and started again, it has lost nothing');
is(steps_back(messages($second)), 0, 'in the order of versions');

# ---------------------------------------------------------------- a lost slot

kill_server($second);
wait_for('the slot is free', sub { slot('active') eq 'f' });
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('esgf_stac_east')});
in_session($writer, sprintf $write, 301, 310);
my $stopped = start_debezium(properties('east', $basic));
wait_for('it stops', sub { !$stopped->{process}->pumpable });
stop_server($stopped);
like(slurp_file($stopped->{log}), qr/this is no longer available on the server/, 'a lost slot is an error');
is_deeply([ messages($stopped) ], [], 'and nothing is skipped');

# Whatever the order of the rows in the table.
$node->safe_psql('postgres', q{CREATE INDEX at_random ON esgf_stac.outbox (id)});
$node->safe_psql('postgres', q{CLUSTER esgf_stac.outbox USING at_random});
my $third = start_debezium(properties('east', $basic, $repeating));
in_session($writer, sprintf $write, 311, 320);
@expected = expected('true');
wait_for_events('the whole outbox', \@expected, $third);
is_deeply([ without_repetitions(messages($third)) ], \@expected, 'as the page says, the outbox is repeated');
is(steps_back(messages($third)), 0, 'in the order of versions');
kill_server($third);

# ---------------------------------------------------------------- a filtered stream

my $fourth = start_debezium(properties('mpi', $basic, $repeating, $filtered));
@expected = expected(q{aggregatetype = 'collection' OR 'mpi' = ANY (streams) OR 'mpi' = ANY (left_streams)});
wait_for_events('the filtered outbox', \@expected, $fourth);
$node->safe_psql('postgres', q{
	SELECT esgf_stac.patch_item('CMIP6', 'tas.v1', '{"properties": {"institution": "MPI-M"}}');
	SELECT esgf_stac.patch_item('CMIP6', 'tas.v1', '{"properties": {"institution": "CERFACS"}}');
	SELECT esgf_stac.patch_item('CMIP6', 'tas.v1', '{"properties": {"n": 0}}');
	SELECT esgf_stac.patch_item('CMIP6', 'tas.v1', '{"properties": {"institution": "MPI-M"}}')});
@expected = expected(q{aggregatetype = 'collection' OR 'mpi' = ANY (streams) OR 'mpi' = ANY (left_streams)});
wait_for_events('the filtered stream', \@expected, $fourth);
is_deeply([ without_repetitions(messages($fourth)) ], \@expected, 'a filtered stream is filtered, repeated or read');
is(join(' ', map { "$_->{key} $_->{headers}{type}" } grep { ($_->{headers}{left_streams} // '') eq '["mpi"]' } @expected),
	'tas.v1 item.deleted tas.v1 item.updated tas.v2 item.deleted tas.v1 item.updated', 'with what has left it');

done_testing();
