# The view metrics, and examples/monitoring: what they measure has the same names
# everywhere, once each, and no expression asks for anything else. With Debian's
# Prometheus: its exporter says what the view says, its rules fire, it knows all of it.

use strict;
use warnings;

use CPAN::Meta::YAML;
use FindBin;
use lib $FindBin::RealBin;
use HTTP::Tiny;
use IngestTest;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use ServerTest;
use Test::More;

my $example = "$FindBin::RealBin/../../examples/monitoring";
my $dir = PostgreSQL::Test::Utils::tempdir;
my $node = ingest_node('monitoring');

# Programs of Prometheus, to be killed should the test die.
my @started;

END
{
	my $status = $?;
	$_->kill_kill for @started;
	$? = $status;
}

# As one who watches: a value of the view, or of any query.
sub watched { return $node->safe_psql('postgres', $_[0], extra_params => [ '-U', 'watcher' ]) }
sub value { return watched("SELECT value FROM esgf_stac.metrics WHERE name = 'esgf_stac_$_[0]' AND labels = '" . ($_[1] // '{}') . q{'}) }

# Something of everything: items, a stream that is read, a dead letter, a refusal.
$node->safe_psql('postgres', q{
	CREATE ROLE watcher LOGIN IN ROLE pg_monitor; CREATE ROLE manager LOGIN IN ROLE esgf_stac_admin; CREATE ROLE writer LOGIN IN ROLE esgf_stac_writer});
new_stream($node, 'east');
new_stream($node, 'part', q{, filter => '$.properties.n > 1000'});
new_items($node, 1, 20);
$node->safe_psql('postgres', q{SELECT esgf_stac.start_iteration('part')});
my $relay = start_relay($node, "$dir/relay.log", '--stream', 'east', '--sink', "ndjson:$dir/east", '--metrics-file', "$dir/relay.prom", '--status-interval', 1);
write_log("$dir/log", event('e1', post('a.v1')), event('e2', delete_of('none.v1')));
run_ingest($node, '', '--source', 'api', '--from', "ndjson:$dir/log", '--metrics-file', "$dir/ingest.prom");
$node->safe_psql('postgres', q{INSERT INTO esgf_stac.dead_letter (stream, event_id, collection_id, item_id, version, reason)
	SELECT 'east', gen_random_uuid(), 'CMIP6', 'item-' || i, 1, 'too large' FROM generate_series(1, 3) i});

# ---------------------------------------------------------------- the view

my @names = map { "esgf_stac_$_" } qw(access_rules dead_letters events hazards inbox_lag inbox_refused items jobs maintenance oldest_event_seconds
  oldest_transaction_seconds outbox_bytes stream_active stream_lag_bytes stream_lag_seconds stream_wal_held_bytes);
wait_for('the relay delivers', sub { value('stream_active', '{"stream": "east"}') eq 1 && value('stream_lag_seconds', '{"stream": "east"}') eq 0 });
is(watched('SELECT string_agg(DISTINCT name, E\'\n\' ORDER BY name) FROM esgf_stac.metrics'), join("\n", @names), 'the names');
is(watched(q{SELECT count(*) FROM esgf_stac.metrics WHERE type <> 'gauge' OR help !~ '^[A-Z1].*\.$' OR jsonb_typeof(labels) <> 'object' OR value IS NULL}), 0, 'with type, help, labels and value');
is(watched(q{SELECT max(count) FROM (SELECT count(*) FROM esgf_stac.metrics GROUP BY name, labels) m}), 1, 'each once');
wait_for('rows are counted', sub { value('items') == 21 && value('events') == 22 });
$node->safe_psql('postgres', 'ANALYZE esgf_stac.item');
is(value('items'), 21, 'items are estimated by what ANALYZE found');
is(value('outbox_bytes'), $node->safe_psql('postgres', q{SELECT pg_total_relation_size('esgf_stac.outbox')}), 'the outbox');
is(value('hazards'), $node->safe_psql('postgres', 'SELECT count(*) FROM esgf_stac.doctor()'), 'hazards');
is(value('access_rules'), $node->safe_psql('postgres', 'SELECT count(*) FROM esgf_stac.access_rule'), 'rules');
$node->safe_psql('postgres', 'SELECT esgf_stac.revoke_access(1)');
is(value('access_rules'), $node->safe_psql('postgres', 'SELECT count(*) - 1 FROM esgf_stac.access_rule'), 'those in force');
is(value('dead_letters', '{"stream": "east"}'), 3, 'dead letters');
is(value('inbox_refused', '{"source": "api", "partition": "0"}') . value('inbox_lag', '{"source": "api", "partition": "0"}'), '10', 'refusals, and the lag of an inbox');
is(value('maintenance'), 0, 'no maintenance');
$node->safe_psql('postgres', q{SELECT esgf_stac.set_maintenance('m')});
is(value('maintenance'), 1, 'maintenance');
my $open = open_session($node);
in_session($open, 'BEGIN; SELECT pg_current_xact_id();');
wait_for('a transaction grows old', sub { value('oldest_transaction_seconds') > 0.5 });
roll_back($open);
wait_for('it to be gone', sub { value('oldest_transaction_seconds') < 0.5 });
is(value('stream_active', '{"stream": "part"}'), 0, 'nobody reads that slot');
cmp_ok(value('stream_wal_held_bytes', '{"stream": "part"}'), '>', 0, 'which holds WAL');
is(value('stream_lag_seconds', '{"stream": "part"}'), '', 'of what never delivered no lag is known');

# One that stands still: events that are none of its own do not make it late, however many, as far as they are looked at.
$node->safe_psql('postgres', q{
	UPDATE esgf_stac.consumer SET horizon = pg_current_xact_id(), delivered = NULL, delivering_since = now() WHERE stream = 'part'});
is(value('stream_lag_seconds', '{"stream": "part"}'), 0, 'it is not late');
add_events($node, 1, 1000);
is(value('stream_lag_seconds', '{"stream": "part"}'), 0, 'nor by a thousand events of others');
add_events($node, 1001, 1001);
cmp_ok(value('stream_lag_seconds', '{"stream": "part"}'), '>', 0, 'behind these, nobody knows');

is($node->safe_psql('postgres', 'SELECT count(*) > 10 FROM esgf_stac.metrics', extra_params => [ '-U', 'manager' ]), 't', 'administrators read it');
my (undef, undef, $stderr) = $node->psql('postgres', 'SELECT * FROM esgf_stac.metrics', extra_params => [ '-U', 'writer' ]);
like($stderr, qr/permission denied/, 'others do not');

# ---------------------------------------------------------------- the same names

# What a file of metrics has: name => help.
sub metrics_of { return map { /^# HELP (\S+) (.*)/ ? ($1, $2) : () } @_ }

wait_for('the relay writes its metrics', sub { -s "$dir/relay.prom" });
my %of_programs = metrics_of(read_lines("$dir/relay.prom"), read_lines("$dir/ingest.prom"));
is(join(' ', grep { !/^esgf_stac_(relay|ingest)_/ } sort keys %of_programs), '', 'programs have names of their own');
my %of_view = map { split /\|/, $_, 2 } split /\n/, watched('SELECT DISTINCT name, help FROM esgf_stac.metrics');

my %of_exporter;
my $queries = CPAN::Meta::YAML->read("$example/queries.yaml")->[0];
foreach my $namespace (sort keys %$queries)
{
	my ($query, $metrics) = @{ $queries->{$namespace} }{qw(query metrics)};
	my @columns = map { (keys %$_)[0] } @$metrics;
	foreach my $metric (@$metrics)
	{
		my ($column) = keys %$metric;
		$of_exporter{"${namespace}_$column"} = $metric->{$column}{description} if $metric->{$column}{usage} ne 'LABEL';
	}
	is(watched("SELECT string_agg(key, ' ') FROM (SELECT k.key FROM (SELECT to_json(q) FROM ($query) q LIMIT 1) j (row), json_object_keys(row) k (key)) x"), "@columns", "$namespace: its columns");
}
is_deeply(\%of_exporter, \%of_view, 'the exporter has the metrics of the view, and their help');

# See that an expression asks for metrics that there are.
my %known = (%of_view, %of_programs, node_textfile_mtime_seconds => '');

sub check_expression
{
	my ($expression, $place) = @_;
	my @asked = ($expression =~ s/"[^"]*"|\{\{.*?\}\}//gr) =~ /\b((?:esgf_stac|node)_\w+)/g;
	ok(@asked > 0, "$place: asks for something");
	is(join(' ', grep { !exists $known{$_} } @asked), '', "$place: which there is");
	return;
}

my $dashboard = JSON::PP::decode_json(slurp_file("$example/dashboard.json"));
my @expressions = map { my $panel = $_; map { [ $_->{expr}, "panel \"$panel->{title}\"" ] } @{ $panel->{targets} } } @{ $dashboard->{panels} };
check_expression(@$_) for @expressions, [ $dashboard->{templating}{list}[1]{query}, 'variable stream' ];
ok(@expressions >= @{ $dashboard->{panels} }, 'every panel has one');
my @alerts = slurp_file("$example/alerts.yml") =~ /^ +expr: (.*)$/mg;
check_expression($_, "alert $_") for @alerts;
my $shown = join ' ', @alerts, map { $_->[0] } @expressions;
is(join(' ', grep { $shown !~ /\b$_\b/ } sort keys %of_view), '', 'and every metric of the view is shown or watched');
my @tests = slurp_file("$example/alerts_test.yml") =~ /alertname: (\w+)\n +exp_alerts:/g;
my @alert_names = slurp_file("$example/alerts.yml") =~ /alert: (\w+)/g;
is("@{[ sort @tests ]}", "@{[ sort @alert_names ]}", 'each alert has a test in which it fires');
is(stop_relay($relay), 0, 'the relay ends');

# ---------------------------------------------------------------- Prometheus

SKIP:
{
	my $missing = server_missing('prometheus');
	skip $missing, 1 if $missing;
	my @program = ("$FindBin::RealBin/../../scripts/server", 'prometheus');
	my ($exporter_port, $port) = map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 2;

	# The example, with ports of ours; and the dashboard's expressions, as rules.
	mkdir "$dir/prometheus";
	foreach my $file (qw(prometheus.yml alerts.yml alerts_test.yml))
	{
		append_to_file("$dir/prometheus/$file", slurp_file("$example/$file") =~ s/:9187/:$exporter_port/r =~ s/_interval: 30s/_interval: 1s/gr =~ s/scrape_timeout: 20s/scrape_timeout: 1s/r);
	}
	my @records = map { { record => "panel$_", expr => $expressions[$_][0] =~ s/\$stream/.*/r } } 0 .. $#expressions;
	append_to_file("$dir/dashboard.yml", JSON::PP::encode_json({ groups => [ { name => 'dashboard', rules => \@records } ] }));
	command_ok([ @program, 'promtool', 'test', 'rules', "$dir/prometheus/alerts_test.yml" ], 'the alerts fire, and are silent');
	command_ok([ @program, 'promtool', 'check', 'config', "$example/prometheus.yml" ], 'the configuration is one');
	command_ok([ @program, 'promtool', 'check', 'rules', '--lint=none', "$dir/dashboard.yml" ], 'the dashboard is PromQL');

	# Start one of its programs, its log going to a file.
	my $start = sub {
		my ($name, @arguments) = @_;
		push @started, IPC::Run::start([ @program, $name, @arguments ], '<', \undef, '>', "$dir/$name.log", '2>&1');
		return;
	};
	my $get = sub { return HTTP::Tiny->new(timeout => 10)->get("http://127.0.0.1:$_[0]$_[1]") };
	local $ENV{DATA_SOURCE_NAME} = 'user=watcher host=' . $node->host . ' port=' . $node->port . ' dbname=postgres sslmode=disable';
	$start->('prometheus-postgres-exporter', "--web.listen-address=127.0.0.1:$exporter_port", "--extend.query-path=$example/queries.yaml", '--disable-settings-metrics');
	$start->('prometheus', "--config.file=$dir/prometheus/prometheus.yml", "--storage.tsdb.path=$dir/data", "--web.listen-address=127.0.0.1:$port");
	my $said = '';
	wait_for('the exporter answers', sub { my $answer = $get->($exporter_port, '/metrics'); $said = $answer->{content}; $answer->{success} && $said =~ /^esgf_stac_items/m });
	my %said = metrics_of(split /\n/, $said);
	is_deeply({ map { $_ => $said{$_} } grep { /^esgf_stac/ } keys %said }, \%of_view, 'a real exporter has the metrics of the view, and their help');

	# The exporter has labels of its own beside ours.
	foreach (split /\n/, watched(q{SELECT concat_ws('|', name, value, (SELECT string_agg(format('%s="%s"', key, value), '|') FROM jsonb_each_text(labels))) FROM esgf_stac.metrics WHERE name !~ 'seconds|bytes'}))
	{
		my ($name, $value, @labels) = split /\|/;
		my $ours = join '', map { "(?=[^}]*\Q$_\E)" } @labels;
		my ($got) = $said =~ /^$name\{$ours[^}]*\} (\S+)$/m;
		is($got, $value, "$name\{@labels\}");
	}
	my $asked = sub {
		my $answer = $get->($port, "/api/v1/$_[0]");
		return $answer->{success} ? JSON::PP::decode_json($answer->{content})->{data} : {};
	};
	wait_for('Prometheus knows it', sub { (($asked->('query?query=esgf_stac_maintenance')->{result} // [])->[0]{value}[1] // '') eq 1 });
	my $rules = sub { return map { @{ $_->{rules} } } @{ $asked->('rules')->{groups} // [] } };
	wait_for('it judges the alerts', sub { grep { $_->{name} eq 'EsgfStacMaintenance' && $_->{state} eq 'pending' } $rules->() });
	is(scalar(grep { $_->{health} eq 'ok' } $rules->()), scalar @alert_names, 'all of them');
}

done_testing();
