# esgf_stac_ingest reads lines of a file and of stdin: once, in order, answered.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IngestTest;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = ingest_node('ndjson');
my $dir = PostgreSQL::Test::Utils::tempdir;
my ($status, $stdout, $stderr);

sub versions { return $node->safe_psql('postgres', q{SELECT string_agg(concat(id, ':', version), ' ' ORDER BY id) FROM esgf_stac.item}) }

# ---------------------------------------------------------------- a file

my $log = "$dir/log";
my @api = ('--source', 'api', '--from', "ndjson:$log", '--no-loop');
my @events = (event('e1', post('a.v1')), event('e2', patch_of('a.v1', { properties => { title => 'one' } })),
	event('e3', patch_of('b.v1', { properties => { title => 'none' } })), event('e4', post('a.v1')));
write_log($log, @events);
my $whole = -s $log;
append_to_file($log, substr lines_of(event('e5', post('c.v1'))), 0, 100);
($status, undef, $stderr) = run_ingest($node, '', @api, '--results', "ndjson:$dir/{outcome}.events");
is($status, 0, 'a file ends') or diag $stderr;
is(told($node, 'api'), 'e1:201 e2:200 e3:404 e4:409', 'each event has its outcome');
is(versions(), 'a.v1:2', 'and its effect');
my $last = $whole - length lines_of($events[3]);
is(position($node, 'api'), join('|', $last + 1, $last + 1, 0, $last + 1), 'a position is one behind where the last line begins');
is(results_of("$dir/success.events"), 'e1:success e2:success', 'successes');
is(results_of("$dir/error.events"), 'e3:item-does-not-exist e4:item-already-exists', 'and errors, each in its file');
my ($success) = read_events("$dir/success.events");
is_deeply([ @{ $success->{data}{payload} }{qw(method collection_id item_id version action)}, $success->{original_event}{offset} ],
	[ 'POST', 'CMIP6', 'a.v1', 1, 'published', 0 ], 'which say what became of it');

# Nothing comes twice; the line that was half there is taken when it is whole.
is((run_ingest($node, '', @api, '--results', "ndjson:$dir/{outcome}.events"))[0], 0, 'the same file again');
is(told($node, 'api'), 'e1:201 e2:200 e3:404 e4:409', 'changes nothing');
append_to_file($log, substr lines_of(event('e5', post('c.v1'))), 100);
append_to_file("$dir/error.events", '{"data": {"half');
($status, undef, $stderr) = run_ingest($node, '', @api, '--results', "ndjson:$dir/error.events");
is($status, 0, 'the rest of it') or diag $stderr;
is(told($node, 'api'), 'e1:201 e2:200 e3:404 e4:409 e5:201', 'is the next event');
is(results_of("$dir/error.events"), 'e3:item-does-not-exist e4:item-already-exists e5:success', 'an incomplete last line of results is cut off, and all go into one file');

# What was performed without results is for nobody.
write_log($log, event('e6', delete_of('c.v1')));
run_ingest($node, '', @api);
write_log($log, event('e7', delete_of('c.v1')));
run_ingest($node, '', @api, '--results', "ndjson:$dir/later");
is(results_of("$dir/later"), 'e6:success e7:item-does-not-exist', 'outcomes that an ingester without --results left are sent by the next one');

# ---------------------------------------------------------------- what cannot be read

my $bad = "$dir/bad";
new_source($node, 'bad');
my $good = lines_of(event('g1', post('good.v1')));
my @lines = (
	[ 'no JSON', '{"data": ' ],
	[ 'an empty line', '' ],
	[ 'more than one value', '{}},{"offset":99999999,"value":{}' ],
	[ 'a NUL character', '{"a": "\u0000"}' ],
	[ 'a NUL byte', "{\"a\": 1}\0{}" ],
	[ 'half a surrogate', '{"a": "\ud800"}' ],
	[ 'no UTF-8', "{\"a\": \"\xff\xfe\"}" ],
	[ 'too deep', '[' x 200_000 . ']' x 200_000 ],
	[ 'no number of SQL', '{"a": 1e200000}' ],
	[ 'what makes a long message', '{"a": x' . "\xc3\xa9" x 2000 ]);
append_to_file($bad, join '', $good, map { "$_->[1]\n" } @lines);
append_to_file($bad, lines_of(event('g2', patch_of('good.v1', { properties => { title => 'two' } }))));
($status, undef, $stderr) = run_ingest($node, '', '--source', 'bad', '--from', "ndjson:$bad", '--no-loop', '--verbose', '--results', "ndjson:$dir/bad.results");
is($status, 0, 'lines that the server cannot read do not stop the others') or diag $stderr;
is(told($node, 'bad'), join(' ', 'g1:201', ('-:400') x @lines, 'g2:200'), 'each is a refusal');
my @kept = split /\n/, $node->safe_psql('postgres', q{SELECT concat_ws(' ', octet_length(decode(value ->> 'bytes', 'base64')), encode(substr(decode(value ->> 'bytes', 'base64'), 1, 30), 'hex'), value ->> 'unreadable')
	FROM esgf_stac.inbox WHERE source = 'bad' AND status = 400 ORDER BY "offset"});
for my $case (@lines)
{
	my ($what, $line) = @$case;
	my $length = length $line < 49152 ? length $line : 49152;
	like(shift @kept, qr/^\Q$length \E\Q@{[ unpack 'H*', substr $line, 0, 30 ]}\E *\S+/, "$what: is kept, and why");
}
is(scalar(() = read_events("$dir/bad.results")), 2 + @lines, 'and answered');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.inbox WHERE value ->> 'unreadable' LIKE '%byte sequence%'}), 1, 'a message that is cut ends with a character');

# Larger than a jsonb can be; of one such line nothing is sent.
SKIP:
{
	skip 'only with ESGF_STAC_LONG', 3 unless $ENV{ESGF_STAC_LONG};
	new_source($node, 'large');
	my $large = "$dir/large";
	append_to_file($large, $good);
	truncate $large, 600 * 1024 * 1024;
	append_to_file($large, "\n" . lines_of(event('g3', delete_of('good.v1'))));
	append_to_file($large, '["' . '\u0001' x (40 * 1000 * 1000) . "\"]\n" . lines_of(event('g4', delete_of('good.v1'))));
	($status, undef, $stderr) = run_ingest($node, '', '--source', 'large', '--from', "ndjson:$large", '--no-loop');
	is($status, 0, 'lines that are too large') or diag $stderr;
	is(told($node, 'large'), 'g1:409 -:400 g3:200 -:400 g4:404', 'are refusals like any');
	is((run_ingest($node, '', '--source', 'large', '--from', "ndjson:$large", '--no-loop'))[0], 0, 'and passed over');
	unlink $large;
}

# 20 MB pass, and so do many at once that are more than one call takes.
new_source($node, 'twenty');
write_log("$dir/twenty", event('t1', post('twenty.v1')), event('t2', patch_of('twenty.v1', { properties => { text => 'x' x 20_000_000 } })),
	(map { event("t3$_", patch_of('twenty.v1', { properties => { text => "$_" x 5_000_000 } })) } 1 .. 5));
($status, undef, $stderr) = run_ingest($node, '', '--source', 'twenty', '--from', "ndjson:$dir/twenty", '--no-loop', '--results', "ndjson:$dir/twenty.results");
is($status, 0, '20 MB') or diag $stderr;
is(told($node, 'twenty'), 't1:201 ' . join(' ', 't2:200', map { "t3$_:200" } 1 .. 5), 'are an event like any other');

# ---------------------------------------------------------------- another log

sub differs
{
	my ($what, $slug, @from) = @_;
	($status, undef, $stderr) = run_ingest($node, '', '--source', 'api', '--from', @from);
	is($status, 4, "$what: exit status 4") or diag $stderr;
	like($stderr, qr/problem=$slug /, 'and why');
	return;
}
my $before = told($node, 'api');
append_to_file("$dir/short", $good);
differs('a shorter file', 'source-differs', "ndjson:$dir/short");
write_log("$dir/other", map { event("o$_", post("other-$_.v1")) } 1 .. 20);
differs('a longer one', 'source-differs', "ndjson:$dir/other");
append_to_file("$dir/copy", slurp_file($log) =~ s/"e7"/"x7"/r);
differs('one with another last event', 'source-differs', "ndjson:$dir/copy");
is(told($node, 'api'), $before, 'nothing of them was performed');
($status, undef, $stderr) = run_ingest($node, '', '--source', 'none', '--from', "ndjson:$log");
is($status, 4, 'a source that is not there: exit status 4');
like($stderr, qr/problem=source-does-not-exist /, 'and why');
is((run_ingest($node, '', '--source', 'api', '--from', "ndjson:$dir/absent"))[0], 5, 'a file that is not there is not waited for: exit status 5');
is((run_ingest($node, '', '--source', 'api', '--from', "ndjson:$dir"))[0], 5, 'nor is a folder');
is((run_ingest($node, '', '--source', 'api', '--from', "ndjson:$log", '--results', "ndjson:$dir/no/such", '--no-loop'))[0], 5, 'results that cannot be written: exit status 5');

# An administrator moves on, or back.
write_log($log, event('e8', post('d.v1')), event('e9', post('e.v1')));
$node->safe_psql('postgres', q{SELECT esgf_stac.seek_source('api', 0, } . ((-s $log) - length lines_of(event('e9', post('e.v1')))) . ')');
is((run_ingest($node, '', @api))[0], 0, 'from where a line begins');
is(told($node, 'api'), "$before e9:201", 'an event is skipped');
$node->safe_psql('postgres', q{SELECT esgf_stac.seek_source('api', 0, 0)});
is((run_ingest($node, '', @api))[0], 0, 'from the beginning');
is(told($node, 'api'), "$before e8:201 e9:201", 'what was skipped is performed, and the rest passed over');

# ---------------------------------------------------------------- stdin

new_source($node, 'piped');
my @piped = ('--source', 'piped', '--from', 'ndjson:-', '--no-loop');
my $input = lines_of(event('p1', post('p.v1')), event('p2', delete_of('p.v1')));
($status, $stdout, $stderr) = run_ingest($node, $input . lines_of(event('p3', delete_of('p.v1'))) =~ s/\n\z//r, @piped, '--results', 'ndjson:-');
is($status, 0, 'stdin, and results to stdout') or diag $stderr;
is(told($node, 'piped'), 'p1:201 p2:200 p3:404', 'a last line needs no newline there');
is(scalar(() = $stdout =~ /^\{"data":.*\}$/mg), 3, 'three outcomes');
($status, undef, $stderr) = run_ingest($node, $input . lines_of(event('p3', delete_of('p.v1')), event('p4', delete_of('p.v1'))), @piped);
is($status, 0, 'the same again, with one more') or diag $stderr;
is(told($node, 'piped'), 'p1:201 p2:200 p3:404 p4:404', 'goes on where it was');
($status, undef, $stderr) = run_ingest($node, $input, @piped);
is($status, 4, 'a shorter one: exit status 4') or diag $stderr;
($status, undef, $stderr) = run_ingest($node, lines_of(map { event("q$_", post("q-$_.v1")) } 1 .. 9), @piped);
is($status, 4, 'another one: exit status 4') or diag $stderr;
like($stderr, qr/problem=source-differs /, 'and why');

# ---------------------------------------------------------------- following

new_source($node, 'growing');
my $growing = "$dir/growing";
my @growing = ('--source', 'growing', '--from', "ndjson:$growing", '--follow', '--metrics-file', "$dir/metrics", '--results', "ndjson:$dir/growing.results", '--batch', 7);
my $ingester = start_ingest($node, "$dir/growing.log", @growing);
wait_for('a file that is not there yet', sub { -e "$dir/growing.log" && slurp_file("$dir/growing.log") =~ /source is down: could not open file/ });
write_log($growing, map { event("f$_", post("f-$_.v1")) } 1 .. 20);
$ingester->signal('HUP');
wait_for('the first events', sub { scalar(read_lines("$dir/growing.results")) == 20 });
append_to_file($growing, substr lines_of(event('f21', delete_of('f-1.v1'))), 0, 50);
append_to_file($growing, substr lines_of(event('f21', delete_of('f-1.v1'))), 50);
wait_for('another one', sub { scalar(read_lines("$dir/growing.results")) == 21 });

# The server dies, and comes back.
$node->stop('immediate');
write_log($growing, event('f22', delete_of('f-2.v1')));
wait_for('it to notice', sub { slurp_file("$dir/growing.log") =~ /trying again/ });
$node->start;
wait_for('the next', sub { scalar(read_lines("$dir/growing.results")) == 22 });

# Outcomes of others are sent too: a redriven one.
write_log($growing, event('f23', patch_of('g.v1', { properties => { title => 'late' } })));
wait_for('a refusal', sub { results_of("$dir/growing.results") =~ /f23:item-does-not-exist/ });
write_log($growing, event('f24', post('g.v1')));
wait_for('its cure', sub { results_of("$dir/growing.results") =~ /f24:success/ });
$node->safe_psql('postgres', q{SELECT * FROM esgf_stac.redrive_inbox('growing')});
wait_for('the new outcome', sub { results_of("$dir/growing.results") =~ /f23:success/ });
my %ids = map { $_->{metadata}{event_id} => 1 } read_events("$dir/growing.results");
is(scalar(keys %ids), 25, 'each outcome has an event_id of its own');
wait_for('the metrics', sub { slurp_file("$dir/metrics") =~ /^esgf_stac_ingest_results_total\S* 25$/m });
my $metrics = slurp_file("$dir/metrics");
like($metrics, qr/^esgf_stac_ingest_$_->[0]\{source="growing"\} $_->[1]$/m, "metric $_->[0]")

  for ([ up => 1 ], [ partitions => 1 ], [ refused_total => 1 ], [ events_total => 24 ], [ lag => 0 ], [ unreadable_total => 0 ], [ call_events => 7 ]);

# An administrator moves it back meanwhile: what is not in the inbox any more comes in again.
$node->safe_psql('postgres', q{DELETE FROM esgf_stac.inbox WHERE source = 'growing' AND event_id = 'f22'; SELECT esgf_stac.seek_source('growing', 0, 0)});
wait_for('the event to come in again', sub { told($node, 'growing') =~ /f22:404/ && results_of("$dir/growing.results") =~ /f22:item-does-not-exist/ });
like(slurp_file("$dir/growing.log"), qr/moved back where a partition stands/, 'a position that an administrator moves back is noticed');

# Results are moved away, and the log is cut.
rename "$dir/growing.results", "$dir/growing.results.1";
$ingester->signal('HUP');
wait_for('it to say so', sub { slurp_file("$dir/growing.log") =~ /(?:opened the results, anew.*){2}/s });
write_log($growing, event('f25', delete_of('g.v1')));
wait_for('results in a new file', sub { -e "$dir/growing.results" && results_of("$dir/growing.results") eq 'f25:success' });
truncate $growing, 500;
$ingester->finish;
is($ingester->full_result(0) >> 8, 4, 'a log that is cut is another one: exit status 4');
like(slurp_file("$dir/growing.log"), qr/growing\\" was cut.*problem=source-differs /s, 'and why');

# SIGTERM.
new_source($node, 'stopped');
write_log("$dir/stopped", event('s1', post('s.v1')));
$ingester = start_ingest($node, "$dir/stopped.log", '--source', 'stopped', '--from', "ndjson:$dir/stopped", '--follow');
wait_for('an event', sub { told($node, 'stopped') eq 's1:201' });
is(stop_relay($ingester), 0, 'stops as asked: exit status 0');
like(slurp_file("$dir/stopped.log"), qr/stopped; 1 events performed, 0 of them refused/, 'and says what it did');

done_testing();
