# What sites are told is what an oracle finds in exported documents, after random
# changes of all verbs by four sessions, while rules are set, changed and dropped,
# end by themselves and are applied by two more. Before every rule is applied,
# nothing wrong is told. A list read page by page is the whole list; what may be
# purged can be. A job that is cancelled, or whose server crashes, goes on.
#
# ESGF_STAC_CHANGES says how many changes (4000), ESGF_STAC_RULES how many acts of
# rules (240), which take about as long; ESGF_STAC_SEED repeats an earlier run.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PythonTest;
use RelayTest;
use Test::More;

plan skip_all => 'no python3' unless (run_program('', 'python3', '-c', 'import json'))[0];

my $oracle = "$FindBin::RealBin/../oracle/sites.py";
my $changes = $ENV{ESGF_STAC_CHANGES} // 4000;
my $acts = $ENV{ESGF_STAC_RULES} // 240;
my $seed = $ENV{ESGF_STAC_SEED} // int rand 1e9;
note "seed $seed, $changes changes, $acts acts of rules";

my $dir = PostgreSQL::Test::Utils::tempdir;
my $node = catalogue_node('sites', "max_connections = 30\ndeadlock_timeout = 100ms\nsynchronous_commit = off\njit = off");
$node->safe_psql('postgres', q{
	SELECT esgf_stac.create_collection(format('{"type": "Collection", "stac_version": "1.1.0", "id": "C%s", "description": "d", "license": "MIT", "links": [],
		"extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}', c)::jsonb) FROM generate_series(0, 2) c;
	SELECT esgf_stac.configure_collection('C1', '{"complete_replicas": false}');
	INSERT INTO esgf_stac.site (node, href_prefixes) SELECT format('n%s.org', n), ARRAY[format('https://n%s.org/', n)] FROM generate_series(0, 4) n});

# Run a program of the oracle's into a file.
sub oracle
{
	my ($out, @arguments) = @_;
	my ($done, $lines, $why) = run_program('', 'python3', $oracle, @arguments);
	die "the oracle failed: $why" unless $done;
	open my $file, '>', $out or die "$out: $!";
	print $file $lines;
	close $file;
	return $out;
}

# Run scripts at once, each in a session of its own; answers when all are done.
sub run_at_once
{
	my @sessions = map { IPC::Run::start([ 'psql', '-X', '-q', '-o', '/dev/null', '-d', $node->connstr('postgres'), '-f', $_ ], '2>', "$_.errors") } @_;
	$_->finish for @sessions;
	return;
}

# All that is told, a line each as the oracle writes them.
sub told
{
	my ($what) = @_;
	my %queries = (
		work => q{SELECT concat_ws(' ', CASE w.kind WHEN 'surplus' THEN 'surplus' ELSE 'work' END, n, w.kind, w.collection_id, w.item_id, w.version, w.bytes, coalesce(w.priority::text, 'None'),
		                           array_to_string(w.rules, ',')) || ' ' || array_to_string(w.sources, ',') || ' ' || coalesce(w.reason, 'None')
		            FROM generate_series(0, 4) i, format('n%s.org', i) n, unnest(ARRAY[NULL, 'surplus']) k, esgf_stac.site_work(n, k, max_items => 10000) WITH ORDINALITY w},
		usage => q{SELECT concat_ws(' ', 'usage', n, u.collection_id, u.rule, u.items, u.bytes, u.lacking_items, u.lacking_bytes)
		             FROM generate_series(0, 4) i, format('n%s.org', i) n, esgf_stac.site_usage(n) u},
		unreplicated => q{SELECT concat_ws(' ', 'unreplicated', c, u.item_id, u.bytes, array_to_string(u.nodes, ','))
		                    FROM unnest('{C0,C1,C2}'::text[]) c, esgf_stac.unreplicated(c, max_items => 10000) u});
	return split /\n/, $node->safe_psql('postgres', $queries{$what});
}

# All that the oracle finds.
sub found
{
	my $world = $node->safe_psql('postgres', q{SELECT json_build_object('now', extract(epoch FROM clock_timestamp()),
		'sites', (SELECT json_agg(s) FROM esgf_stac.site s),
		'rules', (SELECT coalesce(json_agg(json_build_object('node', node, 'name', name, 'collections', collections, 'filter', filter::text, 'priority', priority, 'on_retracted', on_retracted,
			'on_superseded', on_superseded, 'valid_from', extract(epoch FROM valid_from), 'valid_to', extract(epoch FROM valid_to))), '[]') FROM esgf_stac.replication_rule),
		'items', (SELECT coalesce(json_agg(json_build_object('collection_id', collection_id, 'id', id, 'version', version, 'latest', latest, 'retracted', retracted, 'deleted', deleted,
			'document', document)), '[]') FROM esgf_stac.item))});
	my ($done, $lines, $why) = run_program($world, 'python3', $oracle, 'work');
	die "the oracle failed: $why" unless $done;
	return split /\n/, $lines;
}

# Lines of one kind, sorted; of usage those that say something.
sub kind_of { my ($kind, @lines) = @_; return sort grep { /^$kind / } @lines; }

my @scripts = map { oracle("$dir/changes$_", 'changes', $seed + $_, int $changes / 4) } 1 .. 4;
my @rules = map { oracle("$dir/rules$_", 'rules', $seed + 10 + $_, int $acts / 2, $changes / $acts / 1000) } 1 .. 2;
run_at_once(@scripts, @rules);

my %errors;
foreach my $script (@scripts, @rules)
{
	$errors{$_}++ foreach slurp_file("$script.errors") =~ /ERROR:  (.*)/g;
}
my @strange = grep { !/could not serialize|deadlock detected|transaction is aborted|does not exist|is deleted|exists already|is retracted|is not deleted|node .* would have|no other node|another location|has no (replica|asset)|already active|must (not )?be|files does not change|two locations|not permitted|in force|no more|would change|cannot/ } sort keys %errors;
note map { "$errors{$_} x $_\n" } sort { $errors{$b} <=> $errors{$a} } keys %errors;
is("@strange", '', 'refusals are of the kinds that random changes meet');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM esgf_stac.outbox'), '>', $changes / 8, 'many changes were made');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM esgf_stac.replication_rule'), '>', $acts / 4, 'and many rules set');

# Rules that end by themselves have done so, and not every item has been told.
wait_for('rules have ended', sub { $node->safe_psql('postgres', 'SELECT count(*) FROM esgf_stac.replication_rule WHERE valid_to > clock_timestamp()') == 0 });
my @found = found();
my %true = map { $_ => 1 } @found;
is(join("\n", grep { !$true{$_} } told('work')), '', 'what is told before rules are applied is true');

sub apply_rules
{
	wait_for('rules are applied', sub { $node->safe_psql('postgres', 'SELECT esgf_stac.refresh_rules(100000)') == 0 });
	return;
}

# Everything is as the oracle finds it.
sub compare
{
	my ($when) = @_;
	my @expected = found();
	foreach my $what (qw(work usage unreplicated))
	{
		my @got = told($what);
		if ($what eq 'work')
		{
			is_deeply([ kind_of('surplus', @got) ], [ kind_of('surplus', @expected) ], "$when: surplus");
			is_deeply([ grep { /^work/ } @got ], [ grep { /^work/ } @expected ], "$when: work, in its order");
		}
		else
		{
			is_deeply([ sort grep { !/ 0 0 0 0$/ } @got ], [ sort grep { !/ 0 0 0 0$/ } kind_of($what, @expected) ], "$when: $what");
		}
	}
	return;
}
apply_rules();
compare('all rules applied');
# A job judges all of an item, and so hides what a change should have told.
run_at_once(map { oracle("$dir/more$_", 'changes', $seed + 20 + $_, int $changes / 8) } 1 .. 4);
compare('by changes alone');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.site_item s WHERE EXISTS (SELECT FROM unnest(s.rules) id JOIN esgf_stac.replication_rule r USING (id) WHERE r.valid_to <= clock_timestamp())
	OR NOT EXISTS (SELECT FROM esgf_stac.item i WHERE i.collection_id = s.collection_id AND i.id = s.item_id AND NOT i.deleted)}), 0, 'no row is left of a rule that ended, or of an item that is gone');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.replication_rule WHERE applied IS NULL AND valid_to IS NULL}), 0, 'each rule says so');

# Page by page, and of each kind.
$node->safe_psql('postgres', q{
	CREATE FUNCTION pages(node text, kind text, size int) RETURNS SETOF esgf_stac.work LANGUAGE plpgsql AS $$
	DECLARE place text; w esgf_stac.work; n int;
	BEGIN
		LOOP
			n := 0;
			FOR w IN SELECT * FROM esgf_stac.site_work(node, kind, place, size) LOOP n := n + 1; place := w.cursor; RETURN NEXT w; END LOOP;
			EXIT WHEN n = 0;
		END LOOP;
	END $$});
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM generate_series(1, 4) i, format('n%s.org', i) n, unnest(ARRAY[NULL, 'fetch', 'complete', 'purge', 'surplus']) k
	 WHERE (SELECT array_agg((w.collection_id, w.item_id)) FROM pages(n, k, 3) w)
	       IS DISTINCT FROM (SELECT array_agg((w.collection_id, w.item_id)) FROM esgf_stac.site_work(n, CASE k WHEN 'surplus' THEN k END, max_items => 10000) w WHERE w.kind = coalesce(k, w.kind))}),
	0, 'the pages of a list are the list');
# One site an item: where two are told so, the second one may be the last by then.
is($node->safe_psql('postgres', q{
	SELECT string_agg(w.item_id || ': ' || p.problem, ', ')
	  FROM (SELECT DISTINCT ON (w.collection_id, w.item_id) w.*, node FROM generate_series(1, 4) i, format('n%s.org', i) node, esgf_stac.site_work(node, 'purge') w) w,
	       LATERAL (SELECT o.problem ->> 'detail' FROM esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'REMOVE_REPLICA', 'collection_id', w.collection_id, 'item_id', w.item_id, 'node', w.node)), false) o) p(problem)}),
	'', 'what may be purged is purged');
compare('after purging');

# A job that is cancelled, or crashes, goes on where it stood; items in hand of a writer are passed over, and looked at again.
$node->safe_psql('postgres', q{SELECT esgf_stac.set_replication_rule('n4.org', 'everything', NULL, NULL, 9)});
my $writer = open_session($node);
in_session($writer, q{BEGIN; SELECT esgf_stac.patch_item(collection_id, id, '{"properties": {"title": "in hand"}}') FROM esgf_stac.item WHERE NOT deleted AND NOT retracted ORDER BY collection_id, id LIMIT 1;});
is($node->safe_psql('postgres', 'SELECT esgf_stac.refresh_rules(10)'), 1, 'a job waits for a writer who was there');
is($node->safe_psql('postgres', 'SELECT items_done FROM esgf_stac.rule_job WHERE finished IS NULL'), 0, 'who may not know its rule');
in_session($writer, "COMMIT;");
is($node->safe_psql('postgres', 'SELECT esgf_stac.refresh_rules(10)'), 1, 'begins when he has ended');
is($node->safe_psql('postgres', 'SELECT items_done FROM esgf_stac.rule_job WHERE finished IS NULL'), 10, 'and takes as many as it is told');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT items_done FROM esgf_stac.rule_job WHERE finished IS NULL'), 10, 'a crash loses nothing');
# As of a dump of a server that has counted further.
$node->safe_psql('postgres', q{UPDATE esgf_stac.rule_job SET fence = '1000000000' WHERE finished IS NULL; SELECT esgf_stac.refresh_rules(1)});
$writer = open_session($node);
in_session($writer, q{BEGIN; SELECT count(*) FROM (SELECT FROM esgf_stac.item WHERE NOT deleted ORDER BY collection_id DESC, id DESC LIMIT 3 FOR UPDATE) i;});
wait_for('all but those in hand are done', sub { $node->safe_psql('postgres', q{SELECT esgf_stac.refresh_rules(); SELECT cardinality(skipped) FROM esgf_stac.rule_job WHERE finished IS NULL}) =~ /^1\n6$/ });
roll_back($writer);
apply_rules();
compare('after a crash');
is($node->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.doctor() WHERE hazard IN ('unread rule', 'rule without site')}), 0, 'doctor finds nothing');
$node->safe_psql('postgres', q{DELETE FROM esgf_stac.site WHERE node = 'n4.org'; SELECT esgf_stac.drop_replication_rule('n4.org', 'everything');
	UPDATE esgf_stac.rule_job SET updated = now() - interval '1 hour'});
like($node->safe_psql('postgres', q{SELECT DISTINCT hazard FROM esgf_stac.doctor() ORDER BY 1}), qr/unread rule/, 'but a job that nobody runs');
done_testing();
