# The proof of iteration jobs: three to targets and two into the stream's own sink, under four writers of all verbs, while relays
# are killed, and jobs paused, resumed, throttled and cancelled. Then what doc/iteration.md promises is compared with the history of every item.
#
# ITERATION_TEST_SECONDS (8) of writing, ITERATION_TEST_KILLS (4), ITERATION_TEST_ITEMS (150) are how much; with
# ITERATION_TEST_KAFKA=1 the targets are topics of a real Kafka, of three partitions; ITERATION_TEST_SEED repeats a run's choices.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX ();
use RelayTest;
use ServerTest;
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{ITERATION_TEST_SECONDS} // 8;
my $kills = $ENV{ITERATION_TEST_KILLS} // 4;
my $items = $ENV{ITERATION_TEST_ITEMS} // 150;
my $seed = $ENV{ITERATION_TEST_SEED} // int(time) % 100_000;
my $with_kafka = $ENV{ITERATION_TEST_KAFKA};
my $missing = $with_kafka ? server_missing('kafka') : '';
plan skip_all => $missing if $missing;
diag "seed $seed: ITERATION_TEST_SEED=$seed repeats its choices";
srand $seed;

my $node = catalogue_node('torture', "checkpoint_timeout = 30s\nlog_statement = none\nlog_min_error_statement = panic\nfsync = on\nmax_connections = 40\n");
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";
my $json = JSON::PP->new->canonical;
sub sql { return $node->safe_psql('postgres', $_[0]) }

new_items($node, 1, 1);
sql(qq{INSERT INTO esgf_stac.item (collection_id, id, document)
	SELECT 'CMIP6', id, jsonb_build_object('type', 'Feature', 'stac_version', '1.1.0', 'id', id, 'geometry', NULL, 'links', '[]'::jsonb,
		'assets', '{"data.nc": {"href": "https://a.example/data.nc", "roles": ["data"], "alternate:name": "a.example"}}'::jsonb,
		'properties', jsonb_build_object('datetime', '2020-01-01T00:00:00Z', 'n', i % 10, 'text', repeat(md5(id), 50)))
	  FROM generate_series(1, $items) i, LATERAL (SELECT 'item-' || i || '.v2' AS id) v});
new_stream($node, 'all');
my %before = map { split /\t/ } split /\n/, sql(q{SELECT id || E'\t' || version FROM esgf_stac.item});

# Where things are, and who sends them there. Whoever is killed is started again.
my $kafka = $with_kafka ? start_kafka('num.partitions' => 3) : undef;
my %place = map { $_ => $kafka ? "jobs-$_" : "$dir/jobs-$_" } qw(everything part ids cancelled);
my @sink = ('--stream', 'all', '--sink', $kafka ? "kafka:$kafka->{address}/live" : "ndjson:$dir/live");
my %arguments = (
	relay => [ @sink, '--iteration-target', $kafka ? 'jobs-*' : "$dir/jobs-*" ],
	worker => [ @sink, '--iterations-only', '--iteration-target', $kafka ? 'jobs-*' : "$dir/jobs-*" ]);
my %running = map { $_ => start_relay($node, "$log.$_", @{ $arguments{$_} }) } sort keys %arguments;

sub restart
{
	my ($name) = @_;
	kill_relay($running{$name});
	$running{$name} = start_relay($node, "$log.$name", @{ $arguments{$name} });
	return;
}

my $end = time + $seconds;
my @writers;
foreach my $number (1 .. 4)
{
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		srand $seed + $number;
		while (time < $end)
		{
			my $script = join ";\n", map { random_statement($items) } 1 .. 20;
			my $output = '';
			eval { IPC::Run::run([ 'psql', '-XqAt', '-d', $node->connstr('postgres') ], '<', \"$script;\n", '>', \$output, '2>', \$output) };
			usleep(20_000);
		}
		POSIX::_exit(0);
	}
	push @writers, $pid;
}

# The jobs, and which of the documents each wants.
my %wants = (
	everything => sub { 1 },
	part => sub { $_[0]{properties}{n} < 5 },
	ids => sub { 1 },
	cancelled => sub { 1 },
	own => sub { 1 },
	own_part => sub { $_[0]{properties}{n} >= 5 });
my %job = (
	everything => sql(qq{SELECT esgf_stac.start_iteration('all', 'a.everything', target => '$place{everything}')}),
	part => sql(qq{SELECT esgf_stac.start_iteration('all', 'a.part', target => '$place{part}', filter => '\$.properties.n < 5')}),
	ids => sql(qq{SELECT esgf_stac.start_iteration('all', 'a.ids', target => '$place{ids}', payload => 'id', max_rate => 40)}),
	cancelled => sql(qq{SELECT esgf_stac.start_iteration('all', 'a.cancelled', target => '$place{cancelled}', max_rate => 1)}),
	own => sql(q{SELECT esgf_stac.start_iteration('all', 'a.own', max_rate => 50)}),
	own_part => sql(q{SELECT esgf_stac.start_iteration('all', 'a.own_part', filter => '$.properties.n >= 5')}));

# All kinds of steering, of whatever is not over.
sub steer
{
	my ($call) = @_;
	$node->psql('postgres', "SELECT esgf_stac.$call FROM esgf_stac.iteration_job WHERE id <> '$job{cancelled}' AND state NOT IN ('completed', 'failed', 'cancelled') AND random() < 0.5");
	return;
}
foreach my $kill (1 .. $kills)
{
	usleep(1_000_000 * $seconds / ($kills + 1) * (0.2 + rand 0.4));
	steer('pause_iteration(id)');
	usleep(1_000_000 * $seconds / ($kills + 1) * (0.2 + rand 0.2));
	restart($kill % 2 ? 'relay' : 'worker');
	steer('throttle_iteration(id, 20 + (random() * 200)::int)');
	steer('resume_iteration(id)');
}
wait_for('what is cancelled to have begun', sub { sql("SELECT started IS NOT NULL FROM esgf_stac.iteration_job WHERE id = '$job{cancelled}'") eq 't' });
sql("SELECT esgf_stac.cancel_iteration('$job{cancelled}')");
waitpid $_, 0 for @writers;
sql(q{SELECT count(esgf_stac.throttle_iteration(id, NULL)), count(esgf_stac.resume_iteration(id)) FROM esgf_stac.iteration_job WHERE state NOT IN ('completed', 'failed', 'cancelled')});
wait_for('all jobs to finish', sub { sql('SELECT count(*) FROM esgf_stac.iteration_job WHERE finished IS NULL') eq '0' });
is(sql(q{SELECT string_agg(DISTINCT state, ' ' ORDER BY state) FROM esgf_stac.iteration_job}), 'cancelled completed', 'all are done, or cancelled');
my $last = wal_end($node);
wait_for('the stream to have come as far', sub { sql("SELECT confirmed_flush_lsn >= '$last' FROM pg_replication_slots") eq 't' });
stop_relay($_) for values %running;

# ---------------------------------------------------------------- what came

# Lines in their order; of Kafka, of each partition.
sub lines_at
{
	my ($place) = @_;
	return ([ read_events($place) ]) if !$kafka;
	my %partitions;
	foreach (split /\n/, kcat($kafka, '', '-C', '-t', $place, qw(-e -q -o beginning -f), '%p\t%h\t%s\n'))
	{
		my ($partition, $headers, $line) = split /\t/, $_, 3;
		my $event = JSON::PP::decode_json($line);
		is((($headers =~ /iteration-job-id=([-0-9a-f]+)/)[0] // ''), $event->{job_id} // '', 'the header iteration-job-id') if $headers !~ /iteration-job-id=/ != !defined $event->{job_id};
		push @{ $partitions{$partition} }, $event;
	}
	return map { $partitions{$_} } sort keys %partitions;
}
my @live = lines_at($kafka ? 'live' : "$dir/live");
my %lines = (own => \@live, own_part => \@live, map { $_ => [ lines_at($place{$_}) ] } keys %place);

# The history of every item: version => [ when, document or nothing ].
my %history;
foreach (split /\n/, sql(q{SELECT aggregateid || E'\t' || version || E'\t' || extract(epoch FROM occurred_at) || E'\t' || coalesce(payload::text, '') FROM esgf_stac.outbox WHERE aggregatetype <> 'collection'}))
{
	my ($item, $version, $at, $document) = split /\t/, $_, 4;
	$history{$item}{$version} = { at => $at, document => $document eq '' ? undef : JSON::PP::decode_json($document) };
}
cmp_ok(scalar keys %history, '>=', $items, 'items have a history');

# What is wrong with the lines of a job, by its promise.
sub wrong_of
{
	my ($name) = @_;
	my ($as_of, $finished) = split /\|/, sql("SELECT extract(epoch FROM as_of), extract(epoch FROM finished) FROM esgf_stac.iteration_job WHERE id = '$job{$name}'");
	my %sent;
	my @wrong;
	foreach my $event (grep { ($_->{job_id} // '') eq $job{$name} && defined $_->{item_id} } map { @$_ } @{ $lines{$name} })
	{
		my ($item, $version) = @$event{qw(item_id version)};
		my $true = $history{$item}{$version};
		my $next = $history{$item}{ $version + 1 };
		$sent{$item} = $version if $version > ($sent{$item} // 0);
		push @wrong, "$item $version was never so" if !$true || !defined $true->{document} || !$wants{$name}->($true->{document});
		push @wrong, "$item $version has another document" if $true && $name ne 'ids' && $json->encode($event->{document}) ne $json->encode($true->{document});
		push @wrong, "$item $version has a document" if $name eq 'ids' && exists $event->{document};
		push @wrong, "$item $version was no more when it began" if $next && $next->{at} < $as_of;
		push @wrong, "$item $version came later than it ended" if $true && $true->{at} > $finished;
	}
	return @wrong if $name eq 'cancelled';
	foreach my $item (keys %history)
	{
		my ($first) = grep { $history{$item}{$_}{at} < $as_of } sort { $b <=> $a } keys %{ $history{$item} };
		next if !defined $first;
		my @during = grep { $_ >= $first && $history{$item}{$_}{at} <= $finished } keys %{ $history{$item} };
		next if grep { my $document = $history{$item}{$_}{document}; !defined $document || !$wants{$name}->($document) } @during;
		push @wrong, "$item, which was there throughout, came " . (defined $sent{$item} ? "as $sent{$item}" : 'never') . ", not as $first or later" if ($sent{$item} // 0) < $first;
	}
	return @wrong;
}
foreach my $name (sort keys %job)
{
	my @wrong = wrong_of($name);
	is(scalar @wrong, 0, "$name: what came is what is promised") or diag join "\n", grep { defined } @wrong[ 0 .. 9 ];
}

# Each place has its own job, which says in each partition that it begins and ends.
foreach my $name (sort keys %place)
{
	my @partitions = @{ $lines{$name} };
	is(scalar @partitions, 3, "$name: each partition has lines") if $kafka;
	is(join(' ', sort keys %{ { map { ($_->{job_id} // 'none') => 1 } map { @$_ } @partitions } }), $job{$name}, "$name: no line of others");
	foreach my $lines (@partitions)
	{
		is("$lines->[0]{type} $lines->[-1]{type}", 'iteration.started iteration.' . ($name eq 'cancelled' ? 'cancelled' : 'completed'), "$name: between the first and the last that is said of it");
	}
}

# In the stream's own sink no line comes before the live event of its version, nor after one of a higher.
my @wrong;
foreach my $lines (@live)
{
	my %version = %before;
	foreach my $event (grep { defined $_->{item_id} } @$lines)
	{
		my ($item, $version) = @$event{qw(item_id version)};
		if (!defined $event->{job_id}) { $version{$item} = $version if $version > ($version{$item} // 0) }
		elsif ($version != ($version{$item} // 0)) { push @wrong, "$item $version, live " . ($version{$item} // 'none') }
	}
}
is(scalar @wrong, 0, 'lines come in the order of the stream') or diag join "\n", grep { defined } @wrong[ 0 .. 9 ];

done_testing();
