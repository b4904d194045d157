# Iteration jobs as relays run them: into the stream's own sink, in its order, and by workers to targets; what steers them is
# heard, and what a sink cannot take, or nobody allows, is said. Under kills and random writers they are in 171.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use JSON::PP ();
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $node = catalogue_node('source', "max_prepared_transactions = 1\n");
my $dir = PostgreSQL::Test::Utils::tempdir;
my $log = "$dir/log";
my $file = "$dir/own.ndjson";
my $null = JSON::PP::null;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub job { return sql("SELECT esgf_stac.start_iteration($_[0])") }
sub told { my ($job, $columns) = @_; return sql("SELECT concat_ws('|', $columns) FROM esgf_stac.iteration_job WHERE id = '$job'") }
sub held { return sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}) }
sub finished { my ($job) = @_; return wait_for("job $job to finish", sub { told($job, 'finished IS NOT NULL') eq 't' }) }
sub lines_of { my ($job, $of) = @_; return grep { ($_->{job_id} // '') eq $job } read_events($of // $file) }
sub items_of { return grep { defined $_->{item_id} } lines_of(@_) }
sub said { return join ' ', map { $_->{type} } grep { !defined $_->{item_id} } lines_of(@_) }

new_items($node, 1, 60);
new_stream($node, 'a');
sql(q{SELECT esgf_stac.delete_item('CMIP6', 'item-7.v1'), esgf_stac.retract_item('CMIP6', 'item-8.v1')});
my @sink = ('--sink', "ndjson:$file");
my @read = ('--stream', 'a', @sink, '--metrics-file', "$dir/metrics");

# Into the own sink.
my $relay = start_relay($node, $log, @read);
my $job = job(q{'a', 'reindex'});
finished($job);
is(told($job, q{state, items_sent, items_total, position[1] IS NOT NULL, as_of IS NOT NULL, started >= created, heartbeat >= started, error}), 'completed|59|59|t|t|t|t', 'a job is done');
my @lines = lines_of($job);
is(said($job), 'iteration.started iteration.completed', 'it says that it starts, and that it is complete');
is($lines[0]{type} . $lines[-1]{type}, 'iteration.startediteration.completed', 'before and after all else');
my %control = %{ $lines[0] };
is(join(' ', map { defined $control{$_} ? $_ : () } sort keys %control), 'document job_id time type', 'all else but time is null in what it says');
is(join(' ', sort keys %control), 'collection_id document id item_id job_id reason time type validated_against version warnings', 'with the members of a line');
is($control{document}{id} . $control{document}{state}, "${job}running", 'its document is the job');
like($control{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/, 'its time is RFC 3339');
my %got = map { $_->{item_id} => $_ } items_of($job);
is(scalar keys %got, 59, 'each active item has come');
is(scalar items_of($job), 59, 'once');
ok(!exists $got{'item-7.v1'}, 'what is deleted has not');
is_deeply($got{'item-8.v1'}{document}{assets}, {}, 'the retracted has no assets');
my %line = %{ $got{'item-9.v1'} };
is_deeply([ @line{qw(id type collection_id version reason job_id)} ], [ undef, 'reindex', 'CMIP6', 1, undef, $job ], 'a line');
is($line{time}, sql(q{SELECT to_jsonb(updated AT TIME ZONE 'UTC') #>> '{}' || 'Z' FROM esgf_stac.item WHERE id = 'item-9.v1'}), 'its time is when the item was updated');
is(JSON::PP->new->canonical->encode($line{document}), JSON::PP->new->canonical->encode(JSON::PP::decode_json(sql(q{SELECT document FROM esgf_stac.published_item WHERE id = 'item-9.v1'}))), 'its document is the published one');

# Ids alone, some items, and a stream that goes on.
$job = job(q{'a', collections => '{CMIP6}', filter => '$.properties.n < 4', payload => 'id'});
finished($job);
is(join(' ', sort map { $_->{item_id} } items_of($job)), 'item-1.v1 item-2.v1 item-3.v1', 'what a filter chooses');
is(scalar(grep { exists $_->{document} } items_of($job)), 0, 'ids have no document');
like(slurp_file("$dir/metrics"), qr/^esgf_stac_relay_iterated_total\{stream="a"\} \d/m, 'metrics count what jobs sent') if wait_for('metrics', sub { -e "$dir/metrics" });
sql(q{SELECT esgf_stac.patch_item('CMIP6', 'item-1.v1', '{"properties": {"n": 100}}')});
wait_for('the stream to go on', sub { grep { ($_->{type} // '') eq 'item.updated' } read_events($file) });

# What ran when it began ends before it reads.
my $session = open_session($node);
in_session($session, q{BEGIN; SELECT esgf_stac.patch_item('CMIP6', 'item-2.v1', '{"properties": {"n": 200}}');});
$job = job(q{'a'});
wait_for('it to begin', sub { told($job, 'as_of IS NOT NULL') eq 't' });
my $later = job(q{'a', changed_since => (SELECT as_of FROM esgf_stac.iteration_job WHERE id = '} . $job . q{')});
sql('SELECT pg_sleep(0.5)');
is(told($job, 'position'), '', 'while somebody writes who began before, nothing is read');
in_session($session, q{PREPARE TRANSACTION 'writer';});
sql('SELECT pg_sleep(0.5)');
is(told($job, 'position'), '', 'nor while that is prepared');
in_session($session, q{COMMIT PREPARED 'writer';});
finished($job);
my %version = map { $_->{item_id} => $_->{version} } items_of($job);
is($version{'item-2.v1'}, 2, 'what was stamped before is in the job');
finished($later);
is(join(' ', map { $_->{item_id} } items_of($later)), '', 'and what is changed since as_of is the rest');
$session->{in} .= "\\q\n";
$session->{psql}->finish;

# The order: while the stream is held up, no line comes that is ahead of it.
sub is_in_order
{
	my ($of) = @_;
	my %live;
	my @wrong;
	foreach my $event (grep { defined $_->{item_id} } read_events($of))
	{
		my ($item, $version) = @$event{qw(item_id version)};
		$live{$item} = $version if defined $event->{id} && $version > ($live{$item} // 0);
		push @wrong, "$item $version, live $live{$item}" if !defined $event->{id} && exists $live{$item} && $version != $live{$item};
	}
	return is("@wrong", '', 'a line has the version that the stream brought last');
}
$job = job(q{'a'});
sql(q{SELECT esgf_stac.patch_item('CMIP6', 'item-' || (10 + i % 40) || '.v1', jsonb_build_object('properties', jsonb_build_object('n', i))) FROM generate_series(1, 40) i}) for 1 .. 5;
finished($job);
is_in_order($file);

# An item that changes all the time holds nothing up, nor one whose newer version no event tells.
my $restless = IPC::Run::start([ 'psql', '-Xqo/dev/null', '-d', $node->connstr('postgres') . ' application_name=restless', '-c',
		q{DO $$ BEGIN LOOP PERFORM esgf_stac.patch_item('CMIP6', 'item-20.v1', jsonb_build_object('properties', jsonb_build_object('n', clock_timestamp()))); COMMIT; PERFORM pg_sleep(0.002); END LOOP; END $$} ]);
$job = sql(q{SELECT esgf_stac.start_iteration('a', max_rate => 40);
	SET session_replication_role = replica; UPDATE esgf_stac.item SET version = version + 1 WHERE id = 'item-60.v1'});
finished($job);
is(told($job, 'state, items_sent'), 'completed|59', 'a job ends, however items change');
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'restless'});
$restless->finish;
is((map { $_->{version} } grep { $_->{item_id} eq 'item-60.v1' } items_of($job))[0], 2, 'with the version that the item has');
is_in_order($file);

# Pause, throttle, resume, cancel.
$job = job(q{'a', max_rate => 1});
wait_for('a line', sub { items_of($job) > 0 });
sql("SELECT esgf_stac.pause_iteration('$job')");
wait_for('its worker to leave it', sub { held() == 0 });
my $count = items_of($job);
cmp_ok($count, '<', 40, 'it is slow');
sql('SELECT pg_sleep(1.2)');
is(scalar items_of($job), $count, 'paused, it sends nothing more');
sql("SELECT esgf_stac.throttle_iteration('$job', 100), esgf_stac.resume_iteration('$job')");
finished($job);
is(told($job, 'state, items_sent'), 'completed|59', 'it goes on where it stood');
$job = job(q{'a', max_rate => 1});
wait_for('a line', sub { items_of($job) > 0 });
is(sql("SELECT state, finished IS NULL FROM esgf_stac.cancel_iteration('$job')"), 'cancelled|t', 'cancelled at once');
finished($job);
is(said($job), 'iteration.started iteration.cancelled', 'and says so');
cmp_ok(scalar items_of($job), '<', 20, 'before it is done');

# Killed, it goes on at its position.
$job = job(q{'a', max_rate => 2});
wait_for('a line', sub { items_of($job) > 0 });
sql("SELECT esgf_stac.pause_iteration('$job'), esgf_stac.resume_iteration('$job')");
wait_for('a page', sub { told($job, 'items_sent') > 0 });
kill_relay($relay);
my $sent = told($job, 'items_sent');
is(told($job, 'state'), 'running', 'paused and resumed at once, it runs; its worker is dead');
sql("SELECT esgf_stac.throttle_iteration('$job', NULL)");
$relay = start_relay($node, $log, @read);
finished($job);
%got = map { $_->{item_id} => 1 } items_of($job);
is(scalar keys %got, 59, 'each item has come');
is(told($job, 'items_sent'), 59, 'and counts once');
cmp_ok(scalar items_of($job), '<=', 59 + 10, 'no more than a page came twice');
is((grep { $_ eq 'iteration.started' } split / /, said($job)), 1, 'it started once');
is(stop_relay($relay), 0, 'the relay stops');
is((run_relay($node, @read, '--endpos', wal_end($node), '--no-loop'))[0], 0, 'its last line is known in this history');

# Targets, that nobody allows, and by workers without a slot, one of them the relay's own.
my $target = "$dir/out/x.ndjson";
mkdir "$dir/out";
$job = job(qq{'a', target => '$target'});
$relay = start_relay($node, $log, @read);
wait_for('an explanation', sub { told($job, 'error') ne '' });
is(told($job, 'state, error'), qq{pending|no worker so far allows target "$target"}, 'a target that no worker allows');
my @worker = ('--stream', 'a', @sink, '--iterations-only', '--iteration-target');
my $other = start_relay($node, $log, @worker, "$dir/*.ndjson");
sql('SELECT pg_sleep(1.5)');
is(told($job, 'state'), 'pending', 'a star is no slash');
stop_relay($other);
sql(q{CREATE ROLE worker LOGIN IN ROLE esgf_stac_relay});
$other = start_relay($node, $log, @worker, "$dir/out/*", '--dbname', $node->connstr('postgres') . ' user=worker');
finished($job);
is(told($job, 'state, error'), 'completed', 'one that allows it does it, without REPLICATION');
is(scalar items_of($job, $target), 59, 'there');
is(said($job, $target), 'iteration.started iteration.completed', 'and what is said of it');
is(scalar lines_of($job), 0, 'and not in the stream');

my @unsafe = map { job("'a', target => $_") } "'$dir/out/../out/y.ndjson'", "E'$dir/out/\\n.ndjson'", "'$dir/out/{collection}.ndjson'", "'$file'", "'-'";
append_to_file("$dir/out/there.ndjson", "{}\n");
POSIX::mkfifo("$dir/out/pipe", oct 600);
symlink "$dir/elsewhere", "$dir/out/link";
append_to_file("$dir/out/empty", '');
my ($pipe, $link, $empty, $there) = map { job("'a', target => '$dir/out/$_'") } qw(pipe link empty there.ndjson);
finished($_) for $pipe, $link, $empty, $there;
is(join(' ', map { told($_, 'state') } $pipe, $link, $empty), 'failed failed completed', 'nor is a pipe one, or a link, but an empty file, as a crash leaves it');
ok(!-e "$dir/elsewhere", 'nothing comes where the link leads');
like(told($there, 'state, error'), qr/^failed\|there is ".*there\.ndjson" already/, 'a file that is there already');
is(slurp_file("$dir/out/there.ndjson"), "{}\n", 'is left alone');
is(told($_, 'state'), 'pending', 'unsafe: ' . told($_, 'target')) for @unsafe;
stop_relay($other);
stop_relay($relay);
is(sql("SELECT bool_and(error IS NOT NULL AND error ~ 'no worker so far allows') FROM esgf_stac.iteration_job WHERE state = 'pending'"), 't', 'and it is said why they wait');
sql('SELECT count(esgf_stac.cancel_iteration(id)) FROM esgf_stac.iteration_job WHERE finished IS NULL');
$relay = start_relay($node, $log, @read, '--iteration-target', "$dir/out/*");
my @several = map { job("'a', 'several', target => '$dir/out/several-$_', max_rate => 1") } 1 .. 10;
wait_for('several at once', sub { 8 == grep { -e "$dir/out/several-$_" && items_of($several[ $_ - 1 ], "$dir/out/several-$_") } 1 .. 10 });
is(sql(q{SELECT count(*) FROM esgf_stac.iteration_job WHERE state = 'running'}), 8, 'eight at a time');
sql('SELECT count(esgf_stac.throttle_iteration(id, NULL)) FROM esgf_stac.iteration_job WHERE finished IS NULL');
finished($_) for @several;
is(join(' ', map { scalar items_of($several[ $_ - 1 ], "$dir/out/several-$_") } 1 .. 10), join(' ', (59) x 10), 'the relay\'s own worker does the others then');
stop_relay($relay);
ok(wait_for('nobody to have a job in hand', sub { held() == 0 }), 'nobody has a job in hand');

# A table takes no ids, and has no control lines. Its schema is that of the sink's own: no target is another name of that.
my $table = 'postgres:' . $node->connstr('postgres') . '#public.copy';
$relay = start_relay($node, "$log.table", '--stream', 'a', '--sink', $table, '--iterations-only', '--iteration-target', '*');
$job = job(q{'a', target => 'copy_1'});
my $ids = job(q{'a', target => 'copy_2', payload => 'id'});
my $alias = job(q{'a', target => 'public.copy'});
my $same = job(q{'a', target => 'copy'});
finished($_) for $job, $ids, $alias;
is(told($job, 'state') . sql('SELECT count(*), count(document) FROM public.copy_1'), 'completed59|59', 'a table of its own');
like(told($ids, 'state, error'), qr/^failed\|the sink takes no lines without a document/, 'ids are nothing for a table');
is(told($alias, 'state, error'), 'failed|that is no name for it', 'a target names no schema');
is(told($same, 'state, error'), 'pending|no worker so far allows target "copy"', 'and is not the table of the stream, whatever is allowed');
is(sql(q{SELECT to_regclass('public.copy')}), '', 'which none has made');
stop_relay($relay);

# Into a table that the stream feeds, in its order.
new_stream($node, 'b');
$relay = start_relay($node, "$log.own", '--stream', 'b', '--sink', $table);
wait_for('the table', sub { sql(q{SELECT to_regclass('public.copy')}) ne '' });
sql(q{CREATE TABLE told (place bigserial, item_id text, version bigint);
	CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO told (item_id, version) VALUES (NEW.item_id, NEW.version); RETURN NEW; END';
	CREATE TRIGGER tell BEFORE INSERT ON public.copy FOR EACH ROW EXECUTE FUNCTION tell()});
$job = job(q{'b', max_rate => 60});
foreach my $round (1 .. 5)
{
	sql(q{SELECT esgf_stac.patch_item('CMIP6', 'item-' || (10 + i % 40) || '.v1', jsonb_build_object('properties', jsonb_build_object('n', -i))) FROM generate_series(1, 40) i});
	sql("SELECT esgf_stac.delete_item('CMIP6', 'item-5$round.v1')");
}
finished($job);
is(told($job, 'state'), 'completed', 'a job into a table that the stream feeds');
my $unlike = q{SELECT string_agg(id, ' ') FROM esgf_stac.item i LEFT JOIN public.copy c ON c.item_id = i.id
	WHERE NOT i.deleted AND (c.version IS DISTINCT FROM i.version OR c.document IS NULL) OR i.deleted AND c.document IS NOT NULL};
wait_for('the stream', sub { sql($unlike) eq '' });
is(sql($unlike), '', 'it has each item, in its version, and nothing that is deleted');
is(sql('SELECT count(*) FROM (SELECT version < lag(version) OVER (PARTITION BY item_id ORDER BY place) AS falls FROM told) t WHERE falls'), 0, 'and was never told an older one');
stop_relay($relay);

# What makes no sense is refused.
is((run_relay($node, @read, '--iterations-only'))[0], 2, 'a worker needs to know which targets');
is((run_relay($node, '--stream', 'a', '--sink', 'http:http://localhost:1/', '--iteration-target', 'x'))[0], 2, 'a URL has none')
  if (run_relay($node, '--version'))[1] =~ /\bhttp\b/;

done_testing();
