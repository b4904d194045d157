# SIGHUP reopens the files that relays and ingesters write: rotated again and again
# under writers, while a relay seeds, of a job's target, with kill -9 between, nothing
# is lost, and nothing doubled but what a killed relay repeats. By logrotate itself, too.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IngestTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;
use Time::HiRes qw(usleep);

my $node = ingest_node('rotate');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";
my $rotations = 0;
append_to_file($log, '');

# Move a file away under a running program, and have it open another one.
sub rotate
{
	my ($file, $process) = @_;
	rename $file, sprintf('%s.%03d', $file, ++$rotations) if -e $file;
	$process->signal('HUP');
	return;
}

# The lines of a file, as "item:version" (of results: event ids; of jobs: what they say), of
# all that it was moved to first. By hand: there are many, and they are read often.
sub name_of
{
	my ($line) = @_;
	$line =~ /\A\{.*\}\z/ or return "torn: $line";
	return $1 if $line =~ /"original_event": \{[^}]*"event_id": "(e\d+)"/;
	return $line =~ /"item_id":"([^"]+)","version":(\d+)/ ? "$1:$2" : $line =~ /"type":"([^"]+)"/ ? $1 : $line;
}
sub names { my ($file) = @_; return map { name_of($_) } map { read_lines($_) } sort(glob "$file.*"), $file }

# Is each of those there, and once? "missing, more than once" of them.
sub counts
{
	my ($file, @wanted) = @_;
	my %seen;
	$seen{$_}++ for names($file);
	return scalar(grep { !$seen{$_} } @wanted) . ', ' . scalar(grep { ($seen{$_} // 0) > 1 } @wanted);
}
sub wait_for_all { my ($file, @wanted) = @_; wait_for('all lines', sub { counts($file, @wanted) =~ /^0,/ }); return; }
sub job_state { my ($job) = @_; return $node->safe_psql('postgres', "SELECT state FROM esgf_stac.iteration_job WHERE id = '$job'") }

# Rotate a file whenever it has grown, so many times or until that is so.
sub rotate_growing
{
	my ($times, $file, $process, $done) = @_;
	for (1 .. $times)
	{
		my $size = -s $file // 0;
		wait_for('more', sub { (-s $file // 0) > $size || $done->() });
		rotate($file, $process);
		wait_for('another file', sub { -e $file || $done->() });
	}
	wait_for('the end', $done);
	return;
}

# ---------------------------------------------------------------- while it seeds

new_items($node, 1, 2500);
new_stream($node, 'seeded');
my @seeded = map { "item-$_.v1:1" } 1 .. 2500;
my @read = ('--stream', 'seeded', '--batch', 10, '--sink', "ndjson:$dir/seeded");
my $relay = start_relay($node, $log, @read, '--snapshot');
my $is_seeded = sub { $node->safe_psql('postgres', 'SELECT count(*) FROM esgf_stac.consumer WHERE seeded IS NOT NULL') == 1 };
rotate_growing(8, "$dir/seeded", $relay, $is_seeded);
is(counts("$dir/seeded", @seeded), '0, 0', 'while it seeds: nothing is lost, nor doubled');

# ---------------------------------------------------------------- under writers

my $version = 10;
for (1 .. 15)
{
	add_events($node, 1, 40, ++$version);
	rotate("$dir/seeded", $relay);
	rotate("$dir/seeded", $relay) if $_ % 3 == 0;
	usleep(30_000);
}
sub written { my ($from) = @_; return map { my $of = $_; map { "item-$_:$of" } 1 .. 40 } $from .. $version }
wait_for_all("$dir/seeded", written(11));
is(counts("$dir/seeded", written(11)), '0, 0', 'under writers: nothing is lost, nor doubled');
is_deeply([ grep { /^item-7:/ } names("$dir/seeded") ], [ map { "item-7:$_" } 11 .. $version ], 'and the files follow on each other');

# As logrotate does: many files are moved, and only then is a program told.
my $slowly = $version + 1;
for (1 .. 2)
{
	rename "$dir/seeded", sprintf('%s.%03d', "$dir/seeded", ++$rotations);
	for (1 .. 5)
	{
		add_events($node, 1, 40, ++$version);
		usleep(100_000);
	}
	$relay->signal('HUP');
	wait_for('another file', sub { -e "$dir/seeded" });
}
wait_for_all("$dir/seeded", written($slowly));
is(counts("$dir/seeded", written($slowly)), '0, 0', 'nor where it is told some time after the file was moved');
unlike(slurp_file($log), qr/removed or renamed/, 'which is no fault');

# ---------------------------------------------------------------- killed between

for (1 .. 6)
{
	add_events($node, 1, 40, ++$version);
	rotate("$dir/seeded", $relay);
	usleep(int rand 60_000);
	kill_relay($relay);
	rename "$dir/seeded", sprintf('%s.%03d', "$dir/seeded", ++$rotations) if $_ % 2 && -e "$dir/seeded";
	$relay = start_relay($node, $log, @read);
}
wait_for_all("$dir/seeded", written(11));
like(counts("$dir/seeded", written(11)), qr/^0,/, 'killed between rotations: nothing is lost');
is(scalar(grep { /^torn/ } names("$dir/seeded")), 0, 'and each line is whole');
is(stop_relay($relay), 0, 'stops');
my $lines = names("$dir/seeded");
$relay = start_relay($node, $log, @read);
add_events($node, 1, 1, ++$version);
wait_for_all("$dir/seeded", "item-1:$version");
is(scalar(names("$dir/seeded")), $lines + 1, 'and what was delivered before a stop does not come again');

# ---------------------------------------------------------------- logrotate

SKIP:
{
	skip 'there is no logrotate', 3 if system('command -v logrotate >/dev/null') != 0;
	my $pid = $relay->{KIDS}[0]{PID};

	# As it is shipped, but for where the files are, who owns them and whom it tells.
	my $snippet = slurp_file("$FindBin::RealBin/../../service/program.logrotate");
	like($snippet, qr/^\tsu \@program\@ \@program\@$/m, 'the snippet rotates as the user of the service');
	$snippet =~ s{^/var/lib/\@program\@/\*\.ndjson}{$dir/seeded}m;
	$snippet =~ s/^\tsu .*\n//m;
	$snippet =~ s/systemctl kill .*/kill -HUP $pid/;
	append_to_file("$dir/rotate.conf", $snippet);
	my $before = -s "$dir/seeded";
	is(system('logrotate', '--force', '--state', "$dir/rotate.state", "$dir/rotate.conf"), 0, 'logrotate takes it');
	wait_for('another file', sub { -e "$dir/seeded" && -s "$dir/seeded" == 0 });
	add_events($node, 1, 3, ++$version);
	wait_for('events in it', sub { read_lines("$dir/seeded") == 3 });
	is(-s "$dir/seeded.1", $before, 'and what was written stands in the one before');
}
is(stop_relay($relay), 0, 'stops');

# ---------------------------------------------------------------- jobs

new_stream($node, 'jobs');
@read = ('--stream', 'jobs', '--sink', "ndjson:$dir/jobs", '--iteration-target', "$dir/target-*", '--batch', 10);
$relay = start_relay($node, $log, @read);

sub start_job { my ($options) = @_; return $node->safe_psql('postgres', "SELECT esgf_stac.start_iteration('jobs'$options)") }
my $job = start_job(", target => '$dir/target-1'");
rotate_growing(6, "$dir/target-1", $relay, sub { job_state($job) =~ /completed|failed/ });
is(job_state($job), 'completed', 'a job whose target is rotated ends');
is(counts("$dir/target-1", @seeded, 'iteration.started', 'iteration.completed'), '0, 0', 'nothing of it is lost, nor doubled');
$job = start_job('');
rotate_growing(6, "$dir/jobs", $relay, sub { job_state($job) =~ /completed|failed/ });
is(counts("$dir/jobs", @seeded, 'iteration.started', 'iteration.completed'), '0, 0', 'nor of one that goes where the stream goes');

# Before its first page is noted, whoever takes it next begins it again, in a file that was rotated.
$job = start_job(", target => '$dir/target-2', max_rate => 100");
wait_for('lines', sub { read_lines("$dir/target-2") > 5 });
rotate("$dir/target-2", $relay);
wait_for('lines in another file', sub { read_lines("$dir/target-2") > 1 });
kill_relay($relay);
$node->safe_psql('postgres', "UPDATE esgf_stac.iteration_job SET max_rate = NULL WHERE id = '$job'");
$relay = start_relay($node, $log, @read);
wait_for('the job', sub { job_state($job) =~ /completed|failed/ });
is(job_state($job), 'completed', 'one whose worker is killed after a rotation ends');
like(counts("$dir/target-2", @seeded), qr/^0,/, 'and nothing of it is lost');
is(stop_relay($relay), 0, 'stops');

# ---------------------------------------------------------------- results

my @events = map { event("e$_", post("r$_.v1")) } 1 .. 300;
append_to_file("$dir/events", '');
my $ingest = start_ingest($node, $log, '--source', 'api', '--from', "ndjson:$dir/events", '--follow', '--results', "ndjson:$dir/results", '--batch', 5);
wait_for('an ingester', sub { -e "$dir/results" });
for my $part (0 .. 9)
{
	write_log("$dir/events", @events[ $part * 30 .. $part * 30 + 29 ]);
	usleep(30_000);
	rotate("$dir/results", $ingest);
	wait_for('another file', sub { -e "$dir/results" });
}
wait_for_all("$dir/results", map { "e$_" } 1 .. 300);
is(counts("$dir/results", map { "e$_" } 1 .. 300), '0, 0', 'results of an ingester: nothing is lost, nor doubled');
is(stop_relay($ingest), 0, 'stops');

# ---------------------------------------------------------------- too early

# Told before it has done anything at all.
$relay = start_relay($node, $log, '--stream', 'seeded', '--sink', "ndjson:$dir/seeded");
wait_for('a process', sub { slurp_file("/proc/$relay->{KIDS}[0]{PID}/cmdline") =~ /^\S*esgf_stac_relay/ && slurp_file("/proc/$relay->{KIDS}[0]{PID}/status") =~ /^SigCgt:\s*0*[1-9a-f]/m });
$relay->signal('HUP');
add_events($node, 1, 1, ++$version);
wait_for_all("$dir/seeded", "item-1:$version");
is(stop_relay($relay), 0, 'SIGHUP right after the start ends nothing');

done_testing();
