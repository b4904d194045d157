# Many clients write few items at random, by verbs, transact and hand, at mixed
# isolation levels. Afterwards the books balance: what was acknowledged is there
# once, what was not is nowhere, and the events tell each item's story. Two
# readers follow by changes() meanwhile, and take every event for the truth.
#
# ESGF_STAC_SECONDS says for how long (30), ESGF_STAC_SEED repeats the choices
# of an earlier run; how they interleave is the machine's.
#
# Three families of items: "life" is created, deleted, retracted and superseded;
# "log" keeps its document, where it collects appends and counts; "hand" is
# also written by bare statements, which alone may deadlock.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Open2 'open2';
use JSON::PP;
use List::Util 'shuffle';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX ();
use RelayTest;
use Test::More;
use Time::HiRes 'time';

my $clients = 8;
my $seconds = $ENV{ESGF_STAC_SECONDS} // 30;
my $seed = $ENV{ESGF_STAC_SEED} // int rand 1e9;
my $json = JSON::PP->new->canonical;
note "seed $seed, $clients clients, $seconds s";

my %versions = (life => 4, log => 2, hand => 3);
my $datasets = 3;

my $node = catalogue_node('writers', "max_connections = 30\ndeadlock_timeout = 100ms\nsynchronous_commit = off");

sub quoted { my ($value) = @_; return "'" . (ref $value ? $json->encode($value) : $value) . "'"; }

sub document
{
	my ($id, %properties) = @_;
	return {
		type => 'Feature', stac_version => '1.1.0', id => $id, collection => 'C', geometry => undef, links => [], assets => {},
		properties => { datetime => '2000-01-01T00:00:00Z', %properties } };
}

$node->safe_psql('postgres', 'SELECT esgf_stac.create_collection(' . quoted({
			type => 'Collection', stac_version => '1.1.0', id => 'C', description => 'd', license => 'MIT', links => [],
			extent => { spatial => { bbox => [ [ -180, -90, 180, 90 ] ] }, temporal => { interval => [ [ '1850-01-01T00:00:00Z', undef ] ] } } }) . ')');
for my $dataset (1 .. $datasets)
{
	$node->safe_psql('postgres', "SELECT esgf_stac.create_item('C', " . quoted(document("log$dataset.v$_", log => [], count => 0)) . ')')
	  for 1 .. $versions{log};
}
my $first = $node->safe_psql('postgres', 'SELECT max(seq) FROM esgf_stac.outbox');

# ---------------------------------------------------------------- a client

my ($number, $to, $from);    # of the client that this process is
my ($choices, $level) = (0, '');
my %done = (receipts => [], appends => [], counts => [], wrong => [], errors => {}, changes => 0);

sub any_of { return $_[ rand @_ ]; }
sub chance { my ($percent) = @_; return rand 100 < $percent; }
sub item_of { my ($family) = @_; return $family . (1 + int rand $datasets) . '.v' . (1 + int rand $versions{$family}); }
sub if_match { return chance(10) ? ', ' . int rand 30 : ', NULL'; }
sub append { my ($token) = @_; return [ { op => 'add', path => '/properties/log/-', value => $token } ]; }

# Run statements; the first error as "state slug", or '', and the rows.
sub ask
{
	my ($sql) = @_;
	my ($error, $slug, @rows) = ('', '');
	print $to "$sql\n\\echo END\n" or die "psql is gone: $!";
	while (defined(my $line = <$from>))
	{
		chomp $line;
		return ($error . ($slug && " $slug"), @rows) if $line eq 'END';
		if ($line =~ /^(?:ERROR|FATAL|PANIC):\s+(\w{5}):/) { $error ||= $1; }
		elsif ($line =~ /^CONSTRAINT NAME:\s+(.*)/) { $slug ||= $1; }
		elsif ($line =~ /^(?:receipt|outcome|state|undone)\b/)
		{
			@rows = $line eq 'undone' ? () : (@rows, [ split /\|/, $line, -1 ]);
			($error, $slug) = ('', '') if $line eq 'undone';
		}
	}
	die 'psql has ended';
}

# A new document, deprecated by its author or with the level at which it was published.
sub new_document
{
	my ($id) = @_;
	return document($id, title => any_of('a' .. 'e'), chance(10) ? (latest => JSON::PP::false) : (level => $level));
}

# A verb that changes the life of an item.
sub life_verb
{
	my ($id) = @_;
	return any_of(
		sub { "create_item('C', " . quoted(new_document($id)) . ')' },
		sub { "create_item('C', " . quoted(new_document($id)) . ')' },
		sub { "replace_item('C', '$id', " . quoted(new_document($id)) . if_match() . ')' },
		sub { "patch_item('C', '$id', " . quoted({ properties => { title => any_of('a' .. 'e') } }) . if_match() . ')' },
		sub { "patch_item('C', '$id', " . quoted({ properties => { latest => any_of(JSON::PP::true, JSON::PP::false) } }) . if_match() . ')' },
		map { my $verb = $_; sub { "${verb}_item('C', '$id'" . if_match() . ')' } } qw(delete delete restore retract reinstate))->();
}

sub receipt_of { my ($call) = @_; return "SELECT 'receipt', r.* FROM esgf_stac.$call r;"; }

# A request of transact; appends carry their token.
sub request
{
	my $method = any_of(qw(POST POST UPSERT UPSERT PATCH PATCH DELETE RESTORE RETRACT REINSTATE CHECK APPEND APPEND));
	my $id = item_of($method eq 'APPEND' ? 'log' : 'life');
	my %more =
	  $method eq 'APPEND' ? (patch => append(++$choices * $clients + $number))
	  : $method eq 'PATCH' ? (patch => { properties => { title => any_of('a' .. 'e') } })
	  : $method =~ /^(POST|UPSERT)/ ? (item => new_document($id))
	  : ();
	$more{if_match} = int rand 30 if chance(10) && $method ne 'POST';
	return { method => $method eq 'APPEND' ? 'PATCH' : $method, collection_id => 'C', item_id => $id, %more };
}

# Statements by hand, of one dataset.
sub hand_statement
{
	my $dataset = 'hand' . (1 + int rand $datasets);
	my @ids = shuffle map { "$dataset.v$_" } 1 .. $versions{hand};
	my $values = join ', ', map { "('C', '$_', " . quoted(new_document($_)) . ')' } @ids[ 0 .. rand @ids ];
	my $insert = "INSERT INTO esgf_stac.item (collection_id, id, document) VALUES $values";
	my $some = "base_id = '$dataset' AND hashtext(id || '" . int(rand 1000) . q{') % 2 = 0};
	return any_of(
		"$insert ON CONFLICT DO NOTHING;",
		"$insert ON CONFLICT (collection_id, id) DO UPDATE SET document = EXCLUDED.document;",
		"$insert ON CONFLICT (collection_id, id) DO UPDATE SET document = EXCLUDED.document, deleted = false;",
		"MERGE INTO esgf_stac.item i USING (VALUES $values) AS v(collection_id, id, document) ON i.collection_id = v.collection_id AND i.id = v.id
		  WHEN MATCHED AND i.deleted THEN UPDATE SET deleted = false WHEN MATCHED THEN UPDATE SET document = v.document::jsonb
		  WHEN NOT MATCHED THEN INSERT (collection_id, id, document) VALUES ('C', v.id, v.document::jsonb);",
		"UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,title}', '\"" . any_of('a' .. 'e') . "\"') WHERE base_id = '$dataset' AND NOT deleted AND NOT retracted;",
		"UPDATE esgf_stac.item SET deleted = NOT deleted WHERE $some;",
		"UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,retracted}', to_jsonb(NOT retracted)) WHERE $some AND NOT deleted;",
		receipt_of(life_verb($ids[0])), receipt_of(life_verb($ids[0])));
}

# Remember a change that was acknowledged.
sub acknowledge
{
	my ($id, $version, $changed, $action, $event, $token) = @_;
	return unless $changed eq 't';
	push @{ $done{receipts} }, [ $id, $version, $action, $event ];
	push @{ $done{appends} }, [ $id, $token ] if defined $token;
	return;
}

# Do statements in a transaction of their own: true if it committed. A
# serialization failure is tried again with the same statements.
sub transaction
{
	my ($family, $sql, $commit) = @_;
	my ($end, $before) = (chance(5) ? 'ROLLBACK' : 'COMMIT', '');
	$before = 'SAVEPOINT s; ' . receipt_of(life_verb(item_of('life'))) . " ROLLBACK TO s;\n\\echo undone\n" if $family ne 'hand' && chance(5);
	for (1 .. 5)
	{
		my ($error, @rows) = ask("BEGIN ISOLATION LEVEL $level; $before$sql $end;");
		$done{errors}{ "$family " . ($error || $end) }++;
		if (!$error)
		{
			$commit->(@rows) if $end eq 'COMMIT' && $commit;
			return;
		}
		next if $error eq '40001' || ($family eq 'hand' && $error eq '40P01');
		push @{ $done{wrong} }, "$error: $level: $before$sql"
		  unless $error =~ /^(PT404 item-does-not-exist|PT409 item-already-exists|PT409 item-retracted|PT412 version-conflict)$/
		  || ($sql =~ /^MERGE/ && $error eq '23505 item_pkey');    # as PostgreSQL says of it
		return;
	}
	return;
}

my %answered;    # by idempotency key

sub do_transact
{
	my @requests = map { request() } 0 .. rand 6;
	my $atomic = chance(50) ? 'true' : 'false';
	if (chance(50)) { $_->{request_id} = "$number-" . ++$choices for @requests; }
	my $sql = "SELECT 'outcome', o.ordinal, o.status, o.item_id, o.version, o.changed, o.action, o.event_id FROM esgf_stac.transact(" . quoted(\@requests) . ", $atomic) o;";
	for (0 .. chance(30))
	{
		transaction('life', $sql, sub {
				for my $row (@_)
				{
					my (undef, $ordinal, $status, @outcome) = @$row;
					my $request = $requests[ $ordinal - 1 ];
					my $key = $request->{request_id};
					push @{ $done{wrong} }, "outcome @$row" if $status !~ /^(200|201|404|409|412)$/;
					next if $status >= 300;
					if (defined $key && $answered{$key})
					{
						push @{ $done{wrong} }, "$key: @outcome instead of $answered{$key}" if $answered{$key} ne "$status @outcome";
						next;
					}
					$answered{$key} = "$status @outcome" if defined $key;
					my $patch = $request->{patch};
					acknowledge(@outcome, ref $patch eq 'ARRAY' ? $patch->[0]{value} : undef);
				}
		});
	}
	return;
}

sub do_append
{
	my ($id, $token) = (item_of('log'), ++$choices * $clients + $number);
	transaction('log', receipt_of("patch_item('C', '$id', " . quoted(append($token)) . ')'),
		sub { acknowledge(@{ $_[0] }[ 2 .. 6 ], $token) });
	return;
}

# Read a counter and write it one higher, under the version that was read.
sub do_count
{
	my $id = item_of('log');
	my ($error, $row) = ask("SELECT 'state', version, document #>> '{properties,count}' FROM esgf_stac.get_item('C', '$id');");
	return if $error;
	my (undef, $version, $count) = @$row;
	transaction('log', receipt_of("patch_item('C', '$id', " . quoted({ properties => { count => $count + 1 } }) . ", $version)"),
		sub { acknowledge(@{ $_[0] }[ 2 .. 6 ]); push @{ $done{counts} }, $id; });
	return;
}

# What keeps the document of a log, and may come in between.
sub do_disturb
{
	my $verb = any_of(qw(delete restore restore retract reinstate reinstate));
	transaction('log', receipt_of("${verb}_item('C', '" . item_of('log') . "')"), sub { acknowledge(@{ $_[0] }[ 2 .. 6 ]) });
	return;
}

sub do_life
{
	transaction('life', receipt_of(life_verb(item_of('life'))), sub { acknowledge(@{ $_[0] }[ 2 .. 6 ]) });
	return;
}

sub do_hand { transaction('hand', hand_statement()); return; }

sub client
{
	($number) = @_;
	srand $seed + $number;
	open2($from, $to, 'sh', '-c', 'exec psql "$@" 2>&1', 'psql', '-X', '-q', '-A', '-t', '-d', $node->connstr('postgres'));
	ask("\\set VERBOSITY verbose\nSET application_name = 'writer';");
	my @operations = ((\&do_append) x 3, (\&do_count) x 3, \&do_disturb, (\&do_life) x 6, (\&do_transact) x 4, (\&do_hand) x 3);
	my $end = time + $seconds;
	while (time < $end && !@{ $done{wrong} })
	{
		$level = any_of(('READ COMMITTED') x 4, 'REPEATABLE READ', 'SERIALIZABLE');
		any_of(@operations)->();
	}
	return;
}

# ---------------------------------------------------------------- a reader

# Follow page by page until the writers have ended and nothing is left: each
# event is the next version of its item. What came last is kept by item.
sub reader
{
	(my $n, my $writers_ended) = @_;
	srand $seed + $n;
	my ($cursor, %version, %document) = ('NULL');
	while (!@{ $done{wrong} })
	{
		my $ended = -e $writers_ended;
		my @page = rows("SELECT cursor, concat_ws(' ', event ->> 'collection_id', event ->> 'item_id'), event ->> 'version', md5(event ->> 'document') FROM esgf_stac.changes($cursor, " . any_of(1, 3, 10, 1000) . ')');
		last if $ended && !@page;
		for (@page)
		{
			my ($id, $version, $document) = @$_[ 1 .. 3 ];
			push @{ $done{wrong} }, "version $version of $id came after " . ($version{$id} // 'none') if $version != ($version{$id} // 0) + 1;
			($version{$id}, $document{$id}) = ($version, "$version $document");
			$cursor = "'$_->[0]'";
		}
		sleep 1 if !@page && chance(20);
	}
	$done{read} = \%document;
	return;
}

# ---------------------------------------------------------------- all of them

my $dir = PostgreSQL::Test::Utils::tempdir;
my $readers = 2;
my %child;
for my $n (0 .. $clients + $readers - 1)
{
	my $pid = fork // die "fork: $!";
	if ($pid)
	{
		$child{$pid} = $n;
		next;
	}
	eval { $n < $clients ? client($n) : reader($n, "$dir/ended"); 1 } or push @{ $done{wrong} }, "client $n: $@";
	PostgreSQL::Test::Utils::append_to_file("$dir/$n", $json->encode(\%done));
	POSIX::_exit(0);
}
local $SIG{ALRM} = sub { kill 'KILL', keys %child };
alarm $seconds + $PostgreSQL::Test::Utils::timeout_default;
waitpid $_, 0 for grep { $child{$_} < $clients } keys %child;
PostgreSQL::Test::Utils::append_to_file("$dir/ended", '');
waitpid $_, 0 for grep { $child{$_} >= $clients } keys %child;
alarm 0;

my (%acknowledged, %appended, %counted, %errors, @wrong, @read);
for my $n (grep { -s "$dir/$_" } 0 .. $clients + $readers - 1)
{
	my $of = $json->decode(PostgreSQL::Test::Utils::slurp_file("$dir/$n"));
	$acknowledged{ $_->[3] } = join ' ', @$_[ 0 .. 2 ] for @{ $of->{receipts} };
	push @{ $appended{ $_->[0] } }, $_->[1] for @{ $of->{appends} };
	$counted{$_}++ for @{ $of->{counts} };
	$errors{$_} += $of->{errors}{$_} for keys %{ $of->{errors} };
	push @wrong, @{ $of->{wrong} };
	push @read, $of->{read} if $of->{read};
}
note "$_: $errors{$_}" for sort keys %errors;
is(scalar(grep { -s "$dir/$_" } 0 .. $clients + $readers - 1), $clients + $readers, 'all clients came to their end');
is_deeply(\@wrong, [], 'none met an error that is not documented, nor a version of an item out of order');

# ---------------------------------------------------------------- the books

sub rows { my ($sql) = @_; return map { [ split /\|/, $_, -1 ] } split /\n/, $node->safe_psql('postgres', $sql); }
sub nothing_is { my ($sql, $what) = @_; is($node->safe_psql('postgres', $sql), '', $what); return; }

# What was acknowledged is there, and nothing else.
my @logs = rows(q{SELECT id, document #>> '{properties,log}', document #>> '{properties,count}' FROM esgf_stac.item WHERE id LIKE 'log%' ORDER BY id});
is_deeply({ map { $_->[0] => [ sort { $a <=> $b } @{ $json->decode($_->[1]) } ] } @logs },
	{ map { $_->[0] => [ sort { $a <=> $b } @{ $appended{ $_->[0] } // [] } ] } @logs }, 'every acknowledged append is there once');
is_deeply({ map { $_->[0] => $_->[2] } @logs }, { map { $_->[0] => $counted{ $_->[0] } // 0 } @logs }, 'every counter equals its successful writes');
my %events = map { $_->[0] => "$_->[1] $_->[2] $_->[3]" }
  rows("SELECT id, aggregateid, version, substr(type, 6) FROM esgf_stac.outbox WHERE seq > $first AND aggregateid !~ '^hand' AND type <> 'item.superseded'");
is_deeply([ grep { ($events{$_} // '') ne $acknowledged{$_} } keys %acknowledged ], [], 'every receipt has its event');
is_deeply([ grep { !$acknowledged{$_} } keys %events ], [], 'every event has its receipt, or is a demotion');
nothing_is(q{SELECT request_id FROM esgf_stac.outbox WHERE request_id IS NOT NULL AND type <> 'item.superseded' GROUP BY 1 HAVING count(*) > 1}, 'an idempotency key is used once');

# Who took what changes() gave has what there is.
my %newest = map { $_->[0] => $_->[1] } rows(q{SELECT DISTINCT ON (aggregatetype, aggregateid) CASE WHEN aggregatetype = 'collection' THEN aggregateid ELSE aggregatetype || ' ' || aggregateid END,
			  version || ' ' || coalesce(md5(nullif(payload, 'null')::text), '') FROM esgf_stac.outbox ORDER BY aggregatetype, aggregateid, version DESC});
is_deeply($_, \%newest, 'a reader of changes() has the truth') for @read;

# Each item's events.
nothing_is(q{SELECT aggregateid, version FROM (SELECT *, row_number() OVER w AS n, lag(occurred_at) OVER w AS before FROM esgf_stac.outbox WINDOW w AS (PARTITION BY aggregatetype, aggregateid ORDER BY seq)) o
			  WHERE version <> n OR occurred_at <= before}, 'events are versions 1 to n in the order of seq, and of time');
nothing_is(q{SELECT i.id FROM esgf_stac.item i LEFT JOIN LATERAL (SELECT * FROM esgf_stac.outbox o WHERE o.aggregatetype = i.collection_id AND o.aggregateid = i.id ORDER BY version DESC LIMIT 1) o ON true
			  LEFT JOIN esgf_stac.published_item p ON p.collection_id = i.collection_id AND p.id = i.id
			  WHERE o.version IS DISTINCT FROM i.version OR o.payload IS DISTINCT FROM p.document}, 'the last event is the item as it is published');
nothing_is(q{SELECT id FROM esgf_stac.item WHERE latest <> (document #>> '{properties,latest}')::boolean OR retracted <> (document #>> '{properties,retracted}')::boolean}, 'documents say what columns say');

# Each dataset's latest.
nothing_is(q{SELECT base_id FROM esgf_stac.item WHERE latest GROUP BY 1 HAVING count(*) > 1}, 'a dataset has one latest at most');
nothing_is(q{SELECT i.id FROM esgf_stac.item i WHERE latest AND (deleted OR retracted OR EXISTS (SELECT FROM esgf_stac.item o WHERE o.base_id = i.base_id AND NOT o.deleted AND NOT o.retracted
			  AND o.dataset_version::int > i.dataset_version::int))}, 'which is the newest that is active and unretracted');
nothing_is(q{SELECT d.base_id FROM esgf_stac.dataset d LEFT JOIN esgf_stac.item i ON i.collection_id = d.collection_id AND i.base_id = d.base_id AND i.latest WHERE d.latest_id IS DISTINCT FROM i.id}, 'and is the one that the dataset knows');
nothing_is(q{SELECT base_id FROM esgf_stac.dataset d WHERE NOT EXISTS (SELECT FROM esgf_stac.item i WHERE i.base_id = d.base_id)}, 'no dataset is without items');

# Its history. Whatever changes latest, or appears, holds the lock of the dataset, so seq is
# the order of these changes: between transactions none but the newest is latest. A publication
# that could see all others (READ COMMITTED) is so just if nothing newer is active and unretracted.
my (%state, %changed_by, @older, @wrongly);
for (rows(q{SELECT i.base_id, i.dataset_version, o.xid, o.type, o.payload #>> '{properties,latest}', o.payload #>> '{properties,retracted}', o.payload #>> '{properties,level}', o.aggregateid || ' ' || o.version
			  FROM esgf_stac.outbox o JOIN esgf_stac.item i ON i.collection_id = o.aggregatetype AND i.id = o.aggregateid ORDER BY o.seq}))
{
	my ($dataset, $version, $xid, $type, $latest, $retracted, $published_at, $event) = @$_;
	my $of = $state{$dataset} //= {};
	my %now = (latest => $latest eq 'true', candidate => $type ne 'item.deleted' && $retracted ne 'true');
	if ($dataset =~ /^life/ && $type eq 'item.published' && $published_at eq 'READ COMMITTED')
	{
		my @newer = grep { $_ > $version && $of->{$_}{candidate} } keys %$of;
		push @wrongly, "$event, beside @newer" if $now{latest} xor !@newer;
	}
	if (($of->{$version}{latest} // '') ne $now{latest} || $type =~ /published|restored|reinstated/)
	{
		if (($changed_by{$dataset} // $xid) ne $xid)
		{
			my ($newest) = sort { $b <=> $a } grep { $of->{$_}{candidate} } keys %$of;
			push @older, map { "$dataset.v$_ beside $newest before $event" } grep { $of->{$_}{latest} && $_ != $newest } keys %$of;
		}
		$changed_by{$dataset} = $xid;
	}
	$of->{$version} = \%now;
}
is_deeply(\@older, [], 'at no time was another latest');
is_deeply(\@wrongly, [], 'what was published was latest as it should');
note scalar(keys %events), ' changes, ', $node->safe_psql('postgres', 'SELECT count(*) FROM esgf_stac.outbox'), ' events, ',
  $node->safe_psql('postgres', q{SELECT pg_size_pretty(pg_database_size('postgres'))});
$node->stop('fast');

done_testing();
