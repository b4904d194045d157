# The servers that other tests talk to keep their data over a stop and a kill.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use ServerTest;
use Test::More;

my $reason = server_missing('kafka', 'opensearch');
plan skip_all => $reason if $reason;

my $kafka = start_kafka('message.max.bytes' => 2_000);
my $node = start_opensearch('action.auto_create_index' => 'items*');

# Everything written to the topic, as a new reader gets it.
sub messages { return kcat($kafka, '', qw(-C -t topic -e -q)); }

# The document's member n.
sub document
{
	my (undef, $body) = http($node, 'GET', '/items/_doc/a');
	return $body =~ /"n": (\d+)/ ? $1 : $body;
}

kcat($kafka, "one\n", qw(-P -t topic));
is(messages(), "one\n", 'Kafka takes a message');
ok(!eval { kcat($kafka, 'x' x 3_000, qw(-P -t topic)); 1 }, 'its own setting holds');

is((http($node, 'PUT', '/items/_doc/a', '{"n": 1}'))[0], 201, 'OpenSearch takes a document');
is((http($node, 'PUT', '/other/_doc/a', '{"n": 1}'))[0], 404, 'its own setting holds');

stop_server($_) for $kafka, $node;
start_server($_) for $kafka, $node;
is(messages(), "one\n", 'Kafka, stopped and started, has its message');
is(document(), 1, 'OpenSearch, stopped and started, its document');

kcat($kafka, "two\n", qw(-P -t topic));
is((http($node, 'PUT', '/items/_doc/a', '{"n": 2}'))[0], 200, 'a new version');
kill_server($_) for $kafka, $node;
start_server($_) for $kafka, $node;
is(messages(), "one\ntwo\n", 'Kafka, killed and started, has both');
is(document(), 2, 'OpenSearch, killed and started, the newer one');

stop_server($_) for $kafka, $node;
done_testing();
