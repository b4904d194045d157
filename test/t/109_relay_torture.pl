# The proof: four writers use all verbs while server and relays are killed at
# random and slots are dropped; then every index equals the truth, and the
# stream held every committed version, in order per item, and nothing else.
#
# RELAY_TEST_SECONDS is how long (60); RELAY_TEST_SEED repeats a run's choices.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(shuffle);
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{RELAY_TEST_SECONDS} // 60;
my $seed = $ENV{RELAY_TEST_SEED} // int(time) % 100_000;
diag "seed $seed: RELAY_TEST_SEED=$seed repeats its choices";
srand $seed;

my $node = catalogue_node('torture', "checkpoint_timeout = 30s\nlog_statement = none\nlog_min_error_statement = panic\nlog_min_messages = log\n");
my $dir = PostgreSQL::Test::Utils::tempdir;
my $items = 40;
$node->safe_psql('postgres', 'CREATE DATABASE index');

my $filter = q{$.properties.n < 5 && $.properties.retracted == false};
my %arguments = (
	everything => [ '--sink', "ndjson:$dir/everything" ],
	indexed => [ '--sink', 'postgres:' . $node->connstr('index') . '#items', '--batch', 20 ],
	part => [ '--sink', "ndjson:$dir/part" ]);
new_stream($node, 'everything');
new_stream($node, 'indexed');
new_stream($node, 'part', qq{, NULL, '$filter'});

new_items($node, 1, 1);

# A writer ends with its time; errors are its daily bread.
sub run_writer
{
	my ($number, $end) = @_;
	srand $seed + $number;
	while (time < $end)
	{
		my $script = join ";\n", map { random_statement($items) } 1 .. 20;
		my $output = '';
		eval { IPC::Run::run([ 'psql', '-XqAt', '-d', $node->connstr('postgres') ], '<', \"$script;\n", '>', \$output, '2>', \$output) };
		usleep(50_000);
	}
	return;
}

my $end = time + $seconds;
my @writers;
for my $number (1 .. 4)
{
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		run_writer($number, $end);
		POSIX::_exit(0);
	}
	push @writers, $pid;
}

my %relay = map { $_ => start_relay($node, "$dir/$_.log", '--stream', $_, @{ $arguments{$_} }) } keys %arguments;

sub restart_relay
{
	my ($name, $between) = @_;
	kill_relay($relay{$name});
	$between->() if $between;
	$relay{$name} = start_relay($node, "$dir/$name.log", '--stream', $name, @{ $arguments{$name} });
	return;
}

# Everything dies now and then.
my @plan = shuffle((map { [ 'relay', $_ ] } ((sort keys %arguments) x 4)[ 0 .. 9 ]), ([ 'server', '' ]) x 10, map { [ 'slot', $_ ] } sort keys %arguments);
my $pause = $seconds / (@plan + 1);
for my $step (@plan)
{
	my ($what, $name) = @$step;
	usleep(1_000_000 * $pause * (0.3 + rand 0.8));
	note "kill: $what $name";
	if ($what eq 'server')
	{
		$node->stop('immediate');
		$node->start;
	}
	elsif ($what eq 'relay') { restart_relay($name) }
	else
	{
		restart_relay($name, sub {
				$node->poll_query_until('postgres', "SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'esgf_stac_$name'");
				$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('esgf_stac_$name')");
		});
	}
}
waitpid $_, 0 for @writers;

# Let the relays come to the end, and ask them to stop.
$node->safe_psql('postgres', q{SELECT esgf_stac.patch_collection('CMIP6', '{"description": "the last event"}')});
my $last = wal_end($node);
wait_for('the relays to come to the end', sub {
		$node->safe_psql('postgres', "SELECT count(*) FROM pg_replication_slots WHERE confirmed_flush_lsn >= '$last'") == 3;
});
is(stop_relay($relay{$_}), 0, "relay $_ stops") for sort keys %relay;

# Compare in the database. No line has these characters as they are.
sub load_lines
{
	my ($name) = @_;
	$node->safe_psql('postgres', "CREATE TABLE line_$name (number bigint GENERATED ALWAYS AS IDENTITY, event jsonb)");
	$node->safe_psql('postgres', qq{\\copy line_$name (event) FROM '$dir/$name' WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')});
	$node->safe_psql('postgres', qq{
		CREATE TABLE index_$name AS
		SELECT collection_id, item_id, version, document FROM (
			SELECT DISTINCT ON (collection_id, item_id) event->>'collection_id' AS collection_id, event->>'item_id' AS item_id,
			       (event->>'version')::bigint AS version, nullif(event->'document', 'null') AS document
			  FROM line_$name WHERE event->>'item_id' IS NOT NULL
			 ORDER BY collection_id, item_id, version DESC) newest
		 WHERE document IS NOT NULL});
	return;
}
load_lines($_) for qw(everything part);
my $dump = $node->safe_psql('index', q{SELECT collection_id, item_id, version, document FROM items WHERE document IS NOT NULL});
append_to_file("$dir/indexed", "$dump\n");
$node->safe_psql('postgres', q{CREATE TABLE index_indexed (collection_id text, item_id text, version bigint, document jsonb)});
$node->safe_psql('postgres', qq{\\copy index_indexed FROM '$dir/indexed' WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER '|')});

my %truth = (
	everything => 'SELECT collection_id, id, version, document FROM esgf_stac.published_item',
	part => qq{SELECT p.collection_id, p.id, p.version, p.document FROM esgf_stac.published_item p JOIN esgf_stac.item i USING (collection_id, id)
		WHERE jsonb_path_match(i.document, '$filter', silent => true)});
$truth{indexed} = $truth{everything};
for my $name (sort keys %truth)
{
	is($node->safe_psql('postgres', qq{
		SELECT count(*) FROM (($truth{$name} EXCEPT ALL SELECT * FROM index_$name) UNION ALL (SELECT * FROM index_$name EXCEPT ALL $truth{$name})) d}),
		0, "index $name equals the truth");
	cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM index_$name"), '>', 0, "which is more than nothing: $name");
}

is($node->safe_psql('postgres', q{
	SELECT count(*) FROM esgf_stac.outbox o WHERE NOT EXISTS (SELECT FROM line_everything l WHERE (l.event->>'id')::uuid = o.id)}),
	0, 'every committed version is in the stream');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM line_everything l WHERE NOT EXISTS (SELECT FROM esgf_stac.outbox o
		 WHERE o.id = (l.event->>'id')::uuid AND o.version = (l.event->>'version')::bigint AND o.payload IS NOT DISTINCT FROM nullif(l.event->'document', 'null'))}),
	0, 'and nothing else: what was rolled back is not');
is($node->safe_psql('postgres', q{
	WITH first AS (
		SELECT event->>'collection_id' AS c, event->>'item_id' AS i, (event->>'version')::bigint AS v, min(number) AS n
		  FROM line_everything GROUP BY 1, 2, 3
	), step AS (SELECT v, n, lag(v) OVER w AS before, lag(n) OVER w AS number_before FROM first WINDOW w AS (PARTITION BY c, i ORDER BY v))
	SELECT count(*) FROM step WHERE v <> coalesce(before, 0) + 1 OR n < number_before}),
	0, 'the versions of each item come in order, without a gap');
is($node->safe_psql('postgres', q{SELECT count(*) FROM unnest('{item.published,item.updated,item.superseded,item.retracted,item.reinstated,
	item.replica_added,item.replica_removed,item.deleted,item.restored,collection.updated}'::text[]) t WHERE t NOT IN (SELECT type FROM esgf_stac.outbox)}),
	0, 'events of all types were among them');
diag $node->safe_psql('postgres', q{
	SELECT format('%s events, %s lines, %s items, %s transactions of several events', (SELECT count(*) FROM esgf_stac.outbox), (SELECT count(*) FROM line_everything),
		(SELECT count(*) FROM esgf_stac.item), (SELECT count(*) FROM (SELECT xid FROM esgf_stac.outbox GROUP BY xid HAVING count(*) > 1) t))});

done_testing();
