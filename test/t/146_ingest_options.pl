# Options of esgf_stac_ingest at their edges, and what a database must be.

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

my $node = ingest_node('ingest_options');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $kafka = `esgf_stac_ingest --version` =~ /^sources:.* kafka\b/m;
write_log("$dir/log", event('e1', post('a.v1')));
my @from = ('--source', 'api', '--from', "ndjson:$dir/log");

# Run the ingester to its end: (exit status, all that it said).
sub run_bare
{
	my ($environment, @arguments) = @_;
	my $said = '';
	local %ENV = (%ENV, %$environment);
	IPC::Run::run([ 'esgf_stac_ingest', @arguments ], '<', \undef, '>', \$said, '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return ($? >> 8, $said);
}

# ---------------------------------------------------------------- wrong options

my @wrong = (
	[ qr/a number from 1 to 1000/, @from, '--batch', '0' ],
	[ qr/a number from 1 to 1000/, @from, '--batch', '1001' ],
	[ qr/no source specified/, '--from', "ndjson:$dir/log" ],
	[ qr/nothing specified to read from/, '--source', 'api' ],
	[ qr/no such source, .*: nosuch/, '--source', 'api', '--from', 'nosuch:x' ],
	[ qr/no such source, [^:]*$/m, '--source', 'api', '--from', 'S3cret' ],
	[ qr/no such results, .*: http/, @from, '--results', 'http://x' ],
	[ qr/its only placeholder is \{outcome\}/, @from, '--results', "ndjson:$dir/{collection}" ],
	[ qr/takes no --source-option/, @from, '--source-option', 'a=b' ],
	[ qr/take no --results-option/, @from, '--results', 'ndjson:-', '--results-option', 'a=b' ],
	[ qr/--results-option goes with --results/, @from, '--results-option', 'a=b' ],
	[ qr/only a file takes --follow/, '--source', 'api', '--from', 'ndjson:-', '--follow' ],
	[ qr/password on the command line/, @from, '--dbname', 'password=S3cret' ],
	[ qr/password on the command line/, @from, '--source-option', 'sasl.password=S3cret' ],
	[ qr/password on the command line/, @from, '--results-option', 'ssl.key.password=S3cret' ],
	[ qr/invalid connection string/, @from, '--dbname', 'dbname=x nonsense' ],
	[ qr/option --source is empty/, @from, '--source', '' ],
	[ qr/takes no value/, @from, '--follow=perhaps' ],
	[ qr/too many/, @from, 'more' ]);
push @wrong, (
	[ qr/no \/TOPIC/, '--source', 'api', '--from', 'kafka:b:9092' ],
	[ qr/no name for a topic/, '--source', 'api', '--from', 'kafka:b:9092/{outcome}' ],
	[ qr/only a file takes --follow/, '--source', 'api', '--from', 'kafka:b:9092/t', '--follow' ],
	[ qr/No such configuration property: "no.such"/, '--source', 'api', '--from', 'kafka:b:9092/t', '--source-option', 'no.such=1' ],
	(map { [ qr/"\Q$_->[0]\E" is set by the ingester/, '--source', 'api', '--from', 'kafka:b:9092/t', '--source-option', "$_->[0]=$_->[1]" ] }
		  [ 'isolation.level', 'read_uncommitted' ], [ 'enable.auto.commit', 'true' ], [ 'auto.offset.reset', 'latest' ],
		[ 'partition.assignment.strategy', 'cooperative-sticky' ], [ 'bootstrap.servers', 'elsewhere' ], [ 'enable.partition.eof', 'false' ]),
	[ qr/no \/TOPIC/, @from, '--results', 'kafka:b:9092' ],
	[ qr/no name for a topic/, @from, '--results', 'kafka:b:9092/{item}' ],
	[ qr/"acks" is set by the ingester/, @from, '--results', 'kafka:b:9092/t', '--results-option', 'acks=1' ]) if $kafka;
for my $case (@wrong)
{
	my ($problem, @arguments) = @$case;
	my ($status, $said) = run_bare({}, @arguments);
	is($status, 2, "refused: @arguments") or diag $said;
	like($said, $problem, 'and why');
	unlike($said, qr/S3cret/, 'without the secret');
}
my ($status, $said) = run_bare({}, '--help');
is($status, 0, '--help');
like($said, qr/--$_\b/, "tells of --$_") for qw(dbname source from source-option follow results results-option batch metrics-file no-loop config verbose);

# ---------------------------------------------------------------- everywhere

append_to_file("$dir/conf", "source = api\nfrom = ndjson:$dir/log\nmetrics-file = $dir/metrics\n");
($status, $said) = run_bare({ ESGF_STAC_INGEST_DBNAME => ingester_dbname($node), ESGF_STAC_INGEST_BATCH => 3 }, '--config', "$dir/conf", '--no-loop');
is($status, 0, 'options in the environment and in a file') or diag $said;
is(told($node, 'api'), 'e1:201', 'are heard');
like(slurp_file("$dir/metrics"), qr/^esgf_stac_ingest_up\{source="api"\} 0$/m, 'the metrics of an ingester that has ended');
is((run_bare({ ESGF_STAC_INGEST_BATCH => 'many' }, @from))[0], 2, 'a wrong one in the environment');

# ---------------------------------------------------------------- databases

sub ends
{
	my ($what, $expected, $message, $dbname, @arguments) = @_;
	($status, $said) = run_bare({}, '--dbname', $dbname, @from, '--no-loop', @arguments);
	is($status, $expected, "$what: exit status $expected") or diag $said;
	like($said, $message, 'and why');
	return;
}
my $nowhere = $node->connstr('postgres') =~ s/port=\d+/port=1/r;
ends('no server', 3, qr/database: connection to server/, $nowhere);
ends('no such login', 3, qr/role \\"nobody\\" does not exist/, $node->connstr('postgres') . ' user=nobody');
$node->safe_psql('postgres', $_) for 'CREATE DATABASE bare', 'CREATE ROLE stranger LOGIN';
ends('no extension', 4, qr/problem=extension-missing /, $node->connstr('bare'));
$node->safe_psql('bare', 'SET esgf_stac.accept_roles = on; CREATE EXTENSION esgf_stac');
ends('no catalogue', 4, qr/problem=no-catalogue /, $node->connstr('bare'));
ends('no rights', 3, qr/permission denied/, $node->connstr('postgres') . ' user=stranger');

# A source that is not active is waited for.
$node->safe_psql('postgres', q{SELECT esgf_stac.configure_source('api', '{"active": false}')});
ends('not active', 3, qr/source \\"api\\" is not active/, ingester_dbname($node));
write_log("$dir/log", event('e2', delete_of('a.v1')));
my $ingester = start_ingest($node, "$dir/inactive.log", @from, '--follow', '--metrics-file', "$dir/inactive.metrics");
wait_for('it to try again', sub { -e "$dir/inactive.metrics" && slurp_file("$dir/inactive.metrics") =~ /sessions_total\{source="api"\} [4-9]/ });
is(scalar(grep { /is not active|trying again/ } read_lines("$dir/inactive.log")), 2, 'that is said once');
$node->safe_psql('postgres', q{SELECT esgf_stac.configure_source('api', '{"active": true}')});
wait_for('the event', sub { told($node, 'api') eq 'e1:201 e2:200' });

# Statement timeouts that an administrator sets are not for us.
$node->safe_psql('postgres', q{ALTER ROLE ingester SET statement_timeout = '100ms'});
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ingester'});
write_log("$dir/log", map { event("m$_", post("m-$_.v1")) } 1 .. 500);
wait_for('the rest', sub { $node->safe_psql('postgres', 'SELECT count(*) FROM esgf_stac.inbox') == 502 });
is(stop_relay($ingester), 0, 'stops as asked');

# ---------------------------------------------------------------- others in the way

# Two writers lock items in the other order: calls fail, come again with fewer
# events, and then grow; no event is lost, none is an outcome of that.
new_source($node, 'contended');
write_log("$dir/contended", map { event("d$_", post("d-$_.v1", n => 0)) } 1 .. 200);
write_log("$dir/contended", map { event("u$_", patch_of('d-' . (1 + $_ % 200) . '.v1', { properties => { n => $_ } })) } 1 .. 2000);
my @writers = map { open_session($node) } 1 .. 2;
$_->{in} .= q{
	DO $$ DECLARE a int; b int; BEGIN
		LOOP
			EXIT WHEN EXISTS (SELECT FROM pg_class WHERE relname = 'enough');
			a := 1 + random() * 199; b := 1 + random() * 199;
			UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,w}', to_jsonb(random())) WHERE id = format('d-%s.v1', a) AND NOT deleted;
			PERFORM pg_sleep(0.002);
			BEGIN
				UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,w}', to_jsonb(random())) WHERE id = format('d-%s.v1', b) AND NOT deleted;
			EXCEPTION WHEN deadlock_detected THEN NULL;
			END;
			COMMIT;
		END LOOP; END $$;
	\echo done
} for @writers;
$_->{psql}->pump_nb for @writers;
$node->safe_psql('postgres', q{ALTER ROLE ingester RESET statement_timeout; ALTER SYSTEM SET deadlock_timeout = '10ms'; SELECT pg_reload_conf()});
($status, undef, $said) = run_ingest($node, '', '--source', 'contended', '--from', "ndjson:$dir/contended", '--no-loop', '--metrics-file', "$dir/contended.metrics");
is($status, 0, 'others in the way') or diag $said;
$node->safe_psql('postgres', 'CREATE TABLE enough ()');

for my $writer (@writers)
{
	$writer->{psql}->pump until $writer->{out} =~ /done/;
	$writer->{psql}->finish;
}
is($node->safe_psql('postgres', q{SELECT count(*), count(*) FILTER (WHERE status < 400) FROM esgf_stac.inbox WHERE source = 'contended'}), '2200|2200', 'each event was performed');
my ($retries) = slurp_file("$dir/contended.metrics") =~ /^esgf_stac_ingest_retries_total\S* (\d+)/m;
note "calls that came again: $retries";
like($said, qr/a call comes again, with \d+ of \d+ events: .*deadlock detected/, 'calls came again') if $retries;

# A lock that is not had in time, for certain.
$node->safe_psql('postgres', q{
	CREATE FUNCTION refuse_lock() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		IF (SELECT count(*) FROM esgf_stac.inbox WHERE source = 'halved' AND xmin = pg_current_xact_id()::xid) > 3 THEN RAISE lock_not_available; END IF;
		RETURN NULL; END$$;
	CREATE TRIGGER refuse_lock AFTER INSERT ON esgf_stac.inbox FOR EACH ROW WHEN (NEW.source = 'halved') EXECUTE FUNCTION refuse_lock()});
new_source($node, 'halved');
write_log("$dir/halved", map { event("h$_", post("h-$_.v1")) } 1 .. 40);
($status, undef, $said) = run_ingest($node, '', '--source', 'halved', '--from', "ndjson:$dir/halved", '--no-loop', '--batch', 40);
is($status, 0, 'a call that is too long for others') or diag $said;
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.inbox WHERE source = 'halved'}), 40, 'comes again in parts');
like($said, qr/with $_ of @{[ 2 * $_ ]} events/, "of half its size, $_") for 20, 10, 5;
like($said, qr/with 2 of 5 events.*with 2 of 4 events/s, 'and grows again');

# What else a call raises ends the program.
$node->safe_psql('postgres', q{
	CREATE OR REPLACE FUNCTION refuse_lock() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE division_by_zero; END$$});
write_log("$dir/halved", event('h41', post('h-41.v1')));
($status, undef, $said) = run_ingest($node, '', '--source', 'halved', '--from', "ndjson:$dir/halved");
is($status, 4, 'an error of the call itself: exit status 4') or diag $said;
like($said, qr/SQLSTATE 22012/, 'and why');
is(told($node, 'halved') =~ /h41/ ? 1 : 0, 0, 'nothing is performed');

done_testing();
