# The check of a table and of a file against the truth, while writers go on: it
# names exactly what differs, heals it, and then finds nothing.
#
# ESGF_STAC_ITEMS is how many items there are (600); the issue's is 100000.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;
use VerifyTest;

my $items = $ENV{ESGF_STAC_ITEMS} // 600;
my $node = catalogue_node('source', "log_statement = none\n");
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";
my $sink = 'postgres:' . $node->connstr('postgres') . '#public.items';
my $file = "ndjson:$dir/events";

sub in_node { return $node->safe_psql('postgres', @_) }

# ---------------------------------------------------------------- usage

for my $case (
	[ [ '--deep', '--sink', $sink ], qr/--deep and --repair go with --verify/ ],
	[ [ '--repair', '--sink', $sink ], qr/--deep and --repair go with --verify/ ],
	[ ['--verify'], qr/no sink specified/ ],
	[ [ '--verify', '--sink', $sink, '--snapshot' ], qr/--verify excludes/ ],
	[ [ '--verify', '--sink', 'ndjson:-' ], qr/only a file/ ],
	[ [ '--verify', '--sink', $file, '--format', 'document' ], qr/only a file with --format event/ ])
{
	my ($status, undef, $stderr) = run_relay($node, '--stream', 'all', @{ $case->[0] });
	is($status, 2, "refused: @{ $case->[0] }");
	like($stderr, $case->[1], 'and why');
}

# ---------------------------------------------------------------- a table

new_items($node, 1, $items);
in_node(q{SELECT esgf_stac.retract_item('CMIP6', 'item-1.v1'), esgf_stac.delete_item('CMIP6', 'item-2.v1'),
	esgf_stac.patch_item('CMIP6', 'item-3.v1', '{"properties": {"exact": 12345678901234567890.1, "one": 1.0}}')});
new_stream($node, 'all');
new_stream($node, 'file');
new_stream($node, 'even', q{, filter => '$.properties.even == true'});
my @table = ('--stream', 'all', '--sink', $sink);
my ($status, $stdout, $stderr) = run_relay($node, @table, '--snapshot', '--endpos', wal_end($node));
is($status, 0, 'the table is filled') or diag $stderr;

($status, $stdout, $stderr) = run_relay($node, @table, '--verify', '--deep');
is($status, 0, 'alone: nothing differs') or diag $stdout . $stderr;
like($stdout, qr/^missing +0$/m, 'and a table says so');
like($stdout, qr/ items of the stream were compared, 0 differ; verification [0-9a-f-]{36}$/m, 'of how many');
is(in_node('SELECT state, deep, items, differences, finished IS NOT NULL FROM esgf_stac.verification'), 'completed|t|' . ($items - 1) . '|0|t', 'and its row');

# A relay, and a writer who goes on.
my $relay = start_relay($node, $log, @table);
my $writer = start_writer($node, 'item-5%');

damage($node, 'items', 'item-1_%.v1');
my %expected = (missing => 37, differs => 23, surplus => 11, ahead => 5);
($status, $stdout, $stderr) = run_relay($node, @table, '--verify');
is($status, 6, 'beside the relay: it differs') or diag $stderr;
is_deeply(found($node), { map { $_ => damaged($node, $_) } qw(missing surplus ahead) }, 'exactly that, but for documents') or diag $stdout;
($status, $stdout, $stderr) = run_relay($node, @table, '--verify', '--deep');
is($status, 6, 'with --deep');
is_deeply(found($node), { map { $_ => damaged($node, $_) } keys %expected }, 'exactly that') or diag $stdout;
like($stdout, qr/^$_ +$expected{$_}$/m, "so many: $_") for sort keys %expected;

($status, $stdout, $stderr) = run_relay($node, @table, '--verify', '--deep', '--repair');
is($status, 0, 'it is repaired') or diag $stdout . $stderr;
like($stdout, qr/^$_ +$expected{$_} +$expected{$_}$/m, "all: $_") for sort keys %expected;
($status, $stdout, $stderr) = run_relay($node, @table, '--verify', '--deep');
is($status, 0, 'and then nothing differs') or diag $stdout . $stderr;
is(in_node(q{SELECT count(*) FROM items WHERE item_id LIKE 'outsider%'}), 0, 'a row of what is unknown here went without leaving a version');
stop_writer($writer);

# What is settled otherwise: one by one, as a login that may do no more than a relay.
in_node(q{CREATE ROLE checker LOGIN IN ROLE esgf_stac_relay; GRANT SELECT ON items TO checker;
	ALTER TABLE items ADD CONSTRAINT no_poison CHECK (document IS NULL OR NOT document->'properties' ? 'poison');
	SELECT esgf_stac.patch_item('CMIP6', 'item-20.v1', '{"properties": {"poison": 1}}')});
wait_for('a dead letter', sub { in_node(q{SELECT count(*) FROM esgf_stac.dead_letter WHERE settled_at IS NULL}) == 1 });
in_node(q{
	INSERT INTO items VALUES ('CMIP6', 'item-2.v1', 2, '{"risen": true}');
	UPDATE items SET document = jsonb_set(document, '{properties,one}', '1') WHERE item_id = 'item-3.v1';
	UPDATE items SET document = jsonb_set(document, '{properties,n}', '4.000') WHERE item_id = 'item-4.v1';
	UPDATE items SET version = 2000000 WHERE item_id = 'item-21.v1';
	UPDATE items SET version = 0 WHERE item_id = 'item-22.v1';
	UPDATE items SET document = NULL WHERE item_id = 'item-23.v1';
	INSERT INTO items VALUES ('CMIP6', 'deleted.v1', 4, NULL), ('OTHER', 'item "quoted\, {1}', 1, '{}')});
my @checker = ('--dbname', $node->connstr('postgres') . ' user=checker', @table, '--no-loop');
($status, $stdout, $stderr) = run_relay($node, @checker, '--verify', '--deep');
is($status, 6, 'other differences') or diag $stderr;
my $drift = q{SELECT string_agg(concat_ws(' ', kind, item_id, coalesce(version_here::text, '-'), coalesce(version_there::text, '-'), repaired_at IS NOT NULL), ', ' ORDER BY item_id COLLATE "C")
	FROM esgf_stac.drift WHERE verification = (SELECT id FROM esgf_stac.verification ORDER BY started DESC LIMIT 1)};
my $others = 'surplus deleted.v1 - 4 f, surplus item "quoted\, {1} - 1 f, surplus item-2.v1 2 2 f, refused item-20.v1 2 1 f,'
  . ' ahead item-21.v1 1 2000000 f, stale item-22.v1 1 0 f, missing item-23.v1 1 1 f';
is(in_node($drift), $others, 'and neither 1 for 1.0 nor 4.000 for 4');
in_node(q{UPDATE items SET document = jsonb_set(document, '{properties,exact}', '12345678901234567000') WHERE item_id = 'item-3.v1'});
($status, $stdout, $stderr) = run_relay($node, @table, '--verify', '--deep', '--repair');
is($status, 6, 'what is refused cannot be repaired') or diag $stderr;
is(in_node($drift), ($others =~ s/ f/ t/gr =~ s/2 1 t/2 1 f/r =~ s/missing item-23.v1 1 1 t/missing item-23.v1 1 1 t, differs item-3.v1 2 2 t/r), 'all else is');
is(in_node(q{SELECT string_agg(concat_ws(' ', item_id, version, document->'properties'->>'exact'), ', ' ORDER BY item_id COLLATE "C") FROM items WHERE item_id ~ 'item-(2|3|21|22|23).v1$' OR NOT item_id LIKE 'item-%.v1'}),
	'item-2.v1 2, item-21.v1 1, item-22.v1 1, item-23.v1 1, item-3.v1 2 12345678901234567890.1', 'the table is as it should be');

# Stopped while it waits for the table.
my $session = open_session($node);
in_session($session, 'BEGIN; LOCK TABLE items;');
my $verify = start_relay($node, "$log.verify", @table, '--verify');
wait_for('a lock', sub { sink_waits($node) });
is(stop_relay($verify), 0, 'it is cancelled');
is(in_node('SELECT state, finished IS NOT NULL FROM esgf_stac.verification ORDER BY started DESC LIMIT 1'), 'cancelled|t', 'and says so');

# Killed there.
sub last_state { return in_node('SELECT state FROM esgf_stac.verification ORDER BY started DESC LIMIT 1') }
$verify = start_relay($node, "$log.verify", @table, '--verify');
wait_for('a lock', sub { sink_waits($node) });
in_node(q{SELECT esgf_stac.prune_outbox('1 hour')});
is(last_state(), 'running', 'one that goes on is left alone');
kill_relay($verify);
wait_for('its end to be seen', sub { in_node(q{SELECT esgf_stac.prune_outbox('1 hour')}); last_state() eq 'failed' });
is(last_state(), 'failed', 'one that was killed has failed');
roll_back($session);
is(stop_relay($relay), 0, 'the relay stops');

# ---------------------------------------------------------------- a filtered stream

my @even = ('--stream', 'even', '--sink', $sink =~ s/items$/even/r);
in_node(q{SELECT esgf_stac.patch_item('CMIP6', 'item-' || i || '.v1', '{"properties": {"even": true}}') FROM generate_series(30, 40, 2) i;
	SELECT esgf_stac.patch_item('CMIP6', 'item-30.v1', '{"properties": {"even": false}}')});
($status) = run_relay($node, @even, '--endpos', wal_end($node));
in_node(q{DELETE FROM even WHERE item_id = 'item-32.v1'; UPDATE even SET version = 9 WHERE item_id = 'item-34.v1';
	UPDATE even SET document = '{}' WHERE item_id = 'item-30.v1';
	INSERT INTO even VALUES ('CMIP6', 'item-31.v1', 1, '{}'), ('CMIP6', 'item-33.v1', 7, '{}')});
($status, $stdout, $stderr) = run_relay($node, @even, '--verify', '--repair');
is($status, 0, 'a filtered stream, alone') or diag $stdout . $stderr;
is(in_node($drift), 'surplus item-30.v1 3 3 t, surplus item-31.v1 1 1 t, missing item-32.v1 2 - t, ahead item-33.v1 1 7 t, ahead item-34.v1 2 9 t', 'names what is not in it');
is(in_node(q{SELECT string_agg(concat_ws(' ', item_id, version, document IS NOT NULL), ', ' ORDER BY item_id) FROM even WHERE item_id ~ 'item-(3.|40).v1'}),
	'item-30.v1 3 f, item-31.v1 1 f, item-32.v1 2 t, item-33.v1 8 f, item-34.v1 10 t, item-36.v1 2 t, item-38.v1 2 t, item-40.v1 2 t', 'and heals it');

# ---------------------------------------------------------------- a file

my @file = ('--stream', 'file', '--sink', $file);
($status, $stdout, $stderr) = run_relay($node, @file, '--snapshot', '--endpos', wal_end($node));
is($status, 0, 'the file is written') or diag $stderr;
$relay = start_relay($node, $log, @file);
in_node(q{SELECT esgf_stac.patch_item('CMIP6', 'item-50.v1', '{"properties": {"title": "a"}}'), esgf_stac.delete_item('CMIP6', 'item-51.v1')});
($status, $stdout, $stderr) = run_relay($node, @file, '--verify', '--deep');
is($status, 0, 'beside its relay: nothing differs') or diag $stdout . $stderr;

# Half a line is read, which is cut and written anew as another one.
$relay->signal('STOP');
in_node(q{SELECT esgf_stac.delete_item('CMIP6', 'item-52.v1')});
my $size = -s "$dir/events";
append_to_file("$dir/events", '{"event_id"');
$verify = start_relay($node, "$log.verify", @file, '--verify');
wait_for('it is read', sub { in_node(q{SELECT count(*) FROM esgf_stac.verification WHERE stream = 'file' AND state = 'running' AND items > 0}) });
truncate "$dir/events", $size or die;
$relay->signal('CONT');
$verify->finish;
is($verify->full_result(0) >> 8, 0, 'nothing differs') or diag slurp_file("$log.verify") . slurp_file("$log.verify.out");
is(stop_relay($relay), 0, 'stops');
my @lines = read_lines("$dir/events");

for (@lines)
{
	$_ = '' if /"item_id":"item-6[0-4]\.v1"/;
	s/("datetime": )/"title": "altered", $1/ if /"item_id":"item-7[0-2]\.v1"/;
	s/"version":\d+/"version":8/ if /"item_id":"item-80\.v1"/;
}
my $line = (grep { /"item_id":"item-90\.v1"/ } @lines)[0];
push @lines, $line =~ s/item-90\.v1/item-91.v1/r =~ s/"version":\d+/"version":0/r, map({ $line =~ s/item-90\.v1/outsider-$_/gr } 1, 2), 'what is no event';
unlink "$dir/events";
append_to_file("$dir/events", join('', map { "$_\n" } grep { $_ ne '' } @lines));
$relay = start_relay($node, $log, @file);
wait_for('the relay', sub { in_node(q{SELECT active FROM pg_replication_slots WHERE slot_name = 'esgf_stac_file'}) eq 't' });
$writer = start_writer($node, 'item-5%');
($status, $stdout, $stderr) = run_relay($node, @file, '--verify', '--deep');
is($status, 6, 'a file differs') or diag $stdout . $stderr;
my %in_file = (
	missing => [ map { "item-6$_.v1" } 0 .. 4 ],
	differs => [ map { "item-7$_.v1" } 0 .. 2 ],
	ahead => ['item-80.v1'],
	surplus => [ 'outsider-1', 'outsider-2' ]);
is_deeply(found($node), \%in_file, 'and is told in what') or diag $stdout;
($status, $stdout, $stderr) = run_relay($node, @file, '--verify', '--deep', '--repair');
is($status, 0, 'it is repaired') or diag $stdout . $stderr;
($status, $stdout, $stderr) = run_relay($node, @file, '--verify', '--deep');
is($status, 0, 'and then nothing differs') or diag $stdout . $stderr;
stop_writer($writer);
is(stop_relay($relay), 0, 'the relay stops');
($status, $stdout, $stderr) = run_relay($node, @file, '--endpos', wal_end($node));
is($status, 0, 'and is not misled by the removal of what is unknown here') or diag $stderr;
done_testing();
