# Two ingesters share the partitions of a topic; they, the broker and the server are
# killed. In the end it is as if each event had come once, and was answered.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IngestTest;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use ServerTest;
use Test::More;

plan skip_all => 'the ingester was built without librdkafka' if `esgf_stac_ingest --version` !~ /^sources:.* kafka\b/m;
my $missing = server_missing('kafka');
plan skip_all => $missing if $missing;
plan skip_all => 'there is no kcat' if system('command -v kcat >/dev/null') != 0;

my $partitions = 6;
my $count = 1200;
my $node = ingest_node('ingest_kills');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $kafka = start_kafka('num.partitions' => $partitions, 'offsets.topic.num.partitions' => 1, 'group.initial.rebalance.delay.ms' => 0, 'group.min.session.timeout.ms' => 1000);
my $json = JSON::PP->new->canonical->utf8;

srand 143;
my @events = map { random_event("e$_", 40) } 1 .. $count;

# The API's key is the item's id, so that all of an item is in one partition.
sub produce
{
	my ($topic, @list) = @_;
	my $key = sub { $_[0]{data}{payload}{item_id} // $_[0]{data}{payload}{item}{id} };
	kcat($kafka, join('', map { $key->($_) . "\t" . $json->encode($_) . "\n" } @list), '-P', '-t', $topic, '-K', "\t");
	return;
}

my @log = ('--source', 'api', '--from', "kafka:$kafka->{address}/events", '--results', "kafka:$kafka->{address}/outcomes",
	'--batch', 20, '--source-option', 'session.timeout.ms=2000', '--source-option', 'heartbeat.interval.ms=500');

sub start
{
	my ($name) = @_;
	return start_ingest($node, "$dir/$name.log", @log, '--metrics-file', "$dir/$name.metrics");
}

sub reads
{
	my ($name) = @_;
	return -e "$dir/$name.metrics" && slurp_file("$dir/$name.metrics") =~ /^esgf_stac_ingest_partitions\S* (\d+)/m ? $1 : 0;
}

sub performed { return $node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.inbox WHERE source = 'api'}) }

# More events come, and some of them are performed.
sub progress
{
	my $before = performed();
	produce('events', splice @events, 0, $count / 8);
	wait_for('progress', sub { performed() >= $before + 20 });
	return;
}

produce('events', splice @events, 0, $count / 8);
my $one = start('one');
wait_for('one to have all', sub { reads('one') == $partitions });
my $two = start('two');
wait_for('two to have half', sub { reads('one') == $partitions / 2 && reads('two') == $partitions / 2 });
pass('two share the partitions');
progress();

kill_relay($two);
unlink "$dir/two.metrics";
progress();
wait_for('one to have all again', sub { reads('one') == $partitions });
pass('of one that was killed the other has all');
$two = start('two');
progress();

# One that sleeps is taken for dead, and wakes with a call in hand.
$one->signal('STOP');
progress();
wait_for('two to have all', sub { reads('two') == $partitions });
$one->signal('CONT');
progress();
$node->stop('immediate');
$node->start;
progress();
kill_server($kafka);
start_server($kafka);
progress();
is(stop_relay($one), 0, 'one stops as asked');

wait_for('all events', sub { performed() == $count });
wait_for('no lag, and all answered', sub { $node->safe_psql('postgres', q{SELECT bool_and(coalesce(lag, 1) = 0 AND results_offset = next_offset) FROM esgf_stac.source_status WHERE source = 'api'}) eq 't' });
is(stop_relay($two), 0, 'and so does two');

is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT event_id), count(*) FILTER (WHERE outcome ? 'repeats') FROM esgf_stac.inbox}), "$count|$count|0", 'each event was performed once');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM (SELECT (outcome ->> 'version')::bigint AS version, row_number() OVER (PARTITION BY outcome ->> 'item_id' ORDER BY partition, "offset") AS n
		FROM esgf_stac.inbox WHERE status < 400 AND (outcome ->> 'changed')::boolean) o WHERE version <> n}), 0, 'and those of an item in order, each with the next version');

# Every outcome went out, always with the same event_id.
my (%ids, %wrong);
my @outcomes = map { $json->decode($_) } split /\n/, kcat($kafka, '', '-C', '-t', 'outcomes', qw(-e -q -o beginning));
for my $outcome (@outcomes)
{
	my $id = \$ids{ $outcome->{original_event}{event_id} };
	$wrong{ $outcome->{original_event}{event_id} } = 1 if defined $$id && $$id ne $outcome->{metadata}{event_id};
	$$id = $outcome->{metadata}{event_id};
}
is(scalar(keys %ids), $count, 'each has its outcome');
is(scalar(keys %wrong), 0, 'the same one each time');
note @outcomes - $count . ' outcomes came more than once';

# The log from its beginning changes nothing.
my $versions = $node->safe_psql('postgres', 'SELECT id, version FROM esgf_stac.item ORDER BY id');
$node->safe_psql('postgres', q{SELECT esgf_stac.seek_source('api', p, 0) FROM generate_series(0, 5) p});
$two = start('two');
wait_for('the end of the log once more', sub { $node->safe_psql('postgres', q{SELECT bool_and(coalesce(lag, 1) = 0) FROM esgf_stac.source_status}) eq 't' });
is(stop_relay($two), 0, 'the log from its beginning once more');
is($node->safe_psql('postgres', 'SELECT id, version FROM esgf_stac.item ORDER BY id'), $versions, 'changes nothing');
is(performed(), $count, 'and is no event');

done_testing();
