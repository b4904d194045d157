# A site that reads nothing but its stream ends up with its list: after random
# changes of all verbs by three sessions, other sites' replicas among them, while
# rules are set, changed and dropped and end by themselves, its index has each item
# of site_work() in its present version, and nothing that an oracle does not find.
# The relays of the streams are the only ones that have items told of rules.
#
# ESGF_STAC_CHANGES says how many changes (1500), ESGF_STAC_RULES how many acts of
# rules (90), ESGF_STAC_SEED repeats an earlier run.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PythonTest;
use RelayTest;
use Test::More;

plan skip_all => 'no python3' unless (run_program('', 'python3', '-c', 'import json'))[0];

my $oracle = "$FindBin::RealBin/../oracle/sites.py";
my $changes = $ENV{ESGF_STAC_CHANGES} // 1500;
my $acts = $ENV{ESGF_STAC_RULES} // 90;
my $seed = $ENV{ESGF_STAC_SEED} // int rand 1e9;
note "seed $seed, $changes changes, $acts acts of rules";

my $dir = PostgreSQL::Test::Utils::tempdir;
my $node = catalogue_node('sites', "max_connections = 40\ndeadlock_timeout = 100ms\nsynchronous_commit = off\njit = off");
my $json = JSON::PP->new->canonical;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sql(q{
	SELECT esgf_stac.create_collection(format('{"type": "Collection", "stac_version": "1.1.0", "id": "C%s", "description": "d", "license": "MIT", "links": [],
		"extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}', c)::jsonb) FROM generate_series(0, 2) c;
	SELECT esgf_stac.configure_collection('C1', '{"complete_replicas": false}');
	INSERT INTO esgf_stac.site (node, href_prefixes) SELECT format('n%s.org', n), ARRAY[format('https://n%s.org/', n)] FROM generate_series(0, 4) n});

# Run a program of the oracle's, of some input.
sub ask_oracle
{
	my ($input, @arguments) = @_;
	my ($done, $lines, $why) = run_program($input, 'python3', $oracle, @arguments);
	die "the oracle failed: $why" unless $done;
	return $lines;
}

# A script of the oracle's; a run of several at once.
sub script
{
	my ($name, @arguments) = @_;
	append_to_file("$dir/$name", ask_oracle('', @arguments));
	return "$dir/$name";
}

sub run_at_once
{
	my @sessions = map { IPC::Run::start([ 'psql', '-X', '-q', '-o', '/dev/null', '-d', $node->connstr('postgres'), '-f', $_ ], '2>', "$_.errors") } @_;
	$_->finish for @sessions;
	return;
}

# Before there are streams: what they seed, and rules that they never knew.
run_at_once(script('early', 'changes', $seed, int $changes / 6));
run_at_once(script('early_rules', 'rules', $seed + 1, int $acts / 6, 0));
sql('CREATE DATABASE there');
my %stream = (
	n1 => [ '--sink', "ndjson:$dir/n1" ],
	n2 => [ '--sink', 'postgres:' . $node->connstr('there') . '#public.items' ],
);
my %relay;
foreach my $name (sort keys %stream)
{
	sql("SELECT esgf_stac.create_stream('$name', node => '$name.org')");
	$relay{$name} = start_relay($node, "$dir/$name.log", '--stream', $name, @{ $stream{$name} }, '--create', '--snapshot');
}
wait_for('streams are read', sub { sql('SELECT count(*) FROM esgf_stac.consumer WHERE delivering_since IS NOT NULL') == 2 });

# The rules of refresh_rules() are the relays' business.
my @rules = map { script("rules$_", 'rules', $seed + 10 + $_, int $acts / 2, $changes / $acts / 1000) } 1, 2;
foreach my $file (@rules)
{
	my $text = slurp_file($file) =~ s/^SELECT esgf_stac\.refresh_rules\(\d+\);//gmr;
	unlink $file;
	append_to_file($file, $text);
}
run_at_once((map { script("changes$_", 'changes', $seed + 20 + $_, int $changes / 4) } 1 .. 3), @rules);
wait_for('rules have ended', sub { sql('SELECT count(*) FROM esgf_stac.replication_rule WHERE valid_to > clock_timestamp()') == 0 });
wait_for('relays have every rule told', sub { sql(q{
	SELECT (SELECT count(*) FROM esgf_stac.rule_job WHERE finished IS NULL)
	     + (SELECT count(*) FROM esgf_stac.replication_rule WHERE valid_to <= clock_timestamp() AND coalesce(applied < valid_to, true))}) == 0 });
wait_for('what rules add is sent', sub { sql('SELECT count(*) FROM esgf_stac.iteration_job WHERE finished IS NULL') == 0 });
cmp_ok(sql(q{SELECT count(*) FROM esgf_stac.iteration_job WHERE state = 'completed'}), '>', $acts / 15, 'rules have started jobs');
# Changes alone, with nobody who hides by a job what they should have told.
run_at_once(map { script("more$_", 'changes', $seed + 30 + $_, int $changes / 12) } 1 .. 3);
wait_for('all is delivered', sub { sql('SELECT sum(lag_events) FROM esgf_stac.stream_status') == 0 });
is(sql(q{SELECT string_agg(DISTINCT state || coalesce(' ' || error, ''), ', ') FROM esgf_stac.iteration_job}), 'completed', 'no job failed');
cmp_ok(sql(q{SELECT count(*) FROM esgf_stac.outbox WHERE left_streams && '{n1,n2}' AND type NOT IN ('item.deleted')}), '>', 0, 'items have left');

# What a site has in its index: the highest version counts, of equal ones the last.
sub held
{
	my ($name) = @_;
	my %held;
	my @lines = $name eq 'n1' ? grep { defined $_->{item_id} } read_events("$dir/n1")
	  : map { JSON::PP::decode_json($_) } split /\n/, $node->safe_psql('there', 'SELECT to_jsonb(i) FROM items i');
	foreach my $line (@lines)
	{
		my $before = $held{"$line->{collection_id} $line->{item_id}"};
		$held{"$line->{collection_id} $line->{item_id}"} = $line if !defined $before || $line->{version} >= $before->{version};
	}
	return map { $_ => $held{$_} } grep { defined $held{$_}{document} } keys %held;
}

my $rules = sql(q{SELECT coalesce(json_agg(json_build_object('node', node, 'name', name, 'collections', collections, 'filter', filter::text, 'priority', priority, 'on_retracted', on_retracted,
	'on_superseded', on_superseded, 'valid_from', extract(epoch FROM valid_from), 'valid_to', extract(epoch FROM valid_to))), '[]') FROM esgf_stac.replication_rule});
my $items = sql(q{SELECT json_agg(json_build_object('collection_id', collection_id, 'id', id, 'version', version, 'deleted', deleted, 'document', document)) FROM esgf_stac.item});
my $sites = sql('SELECT json_agg(s) FROM esgf_stac.site s');
foreach my $name (sort keys %stream)
{
	my %held = held($name);
	my $created = sql("SELECT extract(epoch FROM created) FROM esgf_stac.stream WHERE name = '$name'");
	my @expected = split /\n/, ask_oracle(qq({"created": $created, "rules": $rules, "items": $items}), 'stream', "$name.org");
	cmp_ok(scalar @expected, '>', 10, "$name: a stream of many items");
	is_deeply([ sort map { "$_ $held{$_}{version}" } keys %held ], \@expected, "$name: its index is what the oracle finds");

	my $work = q{FROM unnest(ARRAY[NULL, 'surplus']) k, esgf_stac.site_work('} . $name . q{.org', k, max_items => 10000)};
	my @work = split /\n/, sql("SELECT concat_ws(' ', collection_id, item_id, version) $work");
	cmp_ok(scalar @work, '>', 0, "$name: there is work");
	is(join("\n", grep { !/^(\S+ \S+) (\d+)$/ || !exists $held{$1} || $held{$1}{version} != $2 } @work), '', "$name: it has each item of its list in its present version");

	# From the documents that it has, and its rules, follows the list, but what is retracted, which has no assets there.
	my $known = $json->encode([ map { {
					collection_id => $_->{collection_id}, id => $_->{item_id}, version => $_->{version}, deleted => JSON::PP::false,
					latest => $_->{document}{properties}{latest}, retracted => $_->{document}{properties}{retracted} // JSON::PP::false, document => $_->{document} } } values %held ]);
	my $now = sql('SELECT extract(epoch FROM clock_timestamp())');
	my @found = grep { /^(work|surplus) $name\.org/ && !/ retracted$/ } split /\n/, ask_oracle(qq({"now": $now, "sites": $sites, "rules": $rules, "items": $known}), 'work');
	my %retracted = map { ("$_->{collection_id} $_->{item_id}" => 1) } grep { $_->{document}{properties}{retracted} } values %held;
	my @told = split /\n/, sql(qq{SELECT concat_ws(' ', CASE kind WHEN 'surplus' THEN 'surplus' ELSE 'work' END, '$name.org', kind, collection_id, item_id, version, bytes, coalesce(priority::text, 'None'),
		array_to_string(rules, ',')) || ' ' || array_to_string(sources, ',') || ' ' || coalesce(reason, 'None') $work WHERE reason IS DISTINCT FROM 'retracted'});
	is_deeply([ sort @found ], [ sort grep { !/^\S+ \S+ \S+ (\S+ \S+)/ || !$retracted{$1} } @told ], "$name: and makes the same list of it");
}

# Others find the same.
foreach my $name (sort keys %stream)
{
	my ($status, $table, $why) = run_relay($node, '--stream', $name, @{ $stream{$name} }, '--verify', '--deep');
	is($status, 0, "$name: verified") or diag $table, $why;
}
is(sql(q{SELECT count(*) FROM (SELECT collection_id, sum(items) AS n FROM unnest('{C0,C1,C2}'::text[]) c(collection_id), esgf_stac.digest(c.collection_id, 0, 'n1') GROUP BY 1) d
	WHERE n <> (SELECT count(*) FROM esgf_stac_internal.stream_items('n1', NULL, NULL, 100000) i WHERE i.collection_id = d.collection_id)}), 0, 'a digest counts the same');
sql(q{
	CREATE FUNCTION all_changes(stream text) RETURNS SETOF jsonb LANGUAGE plpgsql AS $$
	DECLARE place text; c record; n int;
	BEGIN
		LOOP
			n := 0;
			FOR c IN SELECT * FROM esgf_stac.changes(place, 1000, stream) LOOP n := n + 1; place := c.cursor; RETURN NEXT c.event; END LOOP;
			EXIT WHEN n = 0;
		END LOOP;
	END $$});
my ($entered, $left) = split /\|/, sql(q{SELECT count(*) FILTER (WHERE event -> 'document' <> 'null'), count(*) FILTER (WHERE event -> 'document' = 'null') FROM all_changes('n1') event WHERE event ->> 'item_id' IS NOT NULL});
is("$entered $left", join(' ', split /\|/, sql(q{SELECT count(*) FILTER (WHERE streams @> '{n1}'), count(*) FILTER (WHERE left_streams @> '{n1}') FROM esgf_stac.outbox})), 'changes() has the events of the stream, and what left');
is(stop_relay($relay{$_}), 0, "$_: its relay ends") for sort keys %relay;
done_testing();
