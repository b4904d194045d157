# pg_upgrade from an older server that is installed beside this one: transaction
# ids live on, so every relay goes on from its horizon, with a slot that it makes
# or that came along; a dump into another cluster is no upgrade.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RelayTest;
use Test::More;

my $checkout = "$FindBin::RealBin/../..";
my ($tree, $major) = `pg_config --bindir` =~ m{^(/.+?)/usr/lib/postgresql/(\d+)/bin$};
plan skip_all => 'the server is not a private one, as scripts/test lays it' unless $tree;
my @older = grep { $_ < $major && -x "/usr/lib/postgresql/$_/bin/postgres" && -d "/usr/lib/postgresql/$_/lib/pgxs" } 15 .. 18;
plan skip_all => "no server older than $major is installed beside it, with its headers: scripts/fresh-machine --beside runs this where two are" unless @older;

my $dir = PostgreSQL::Test::Utils::tempdir;
my $new_home = "$tree/usr/lib/postgresql/$major";

# What is installed of another version, with our files added: a copy, as scripts/lib.sh makes of this one.
sub lay_tree
{
	my ($version) = @_;
	my $home = "/usr/lib/postgresql/$version";
	my $share = "/usr/share/postgresql/$version";
	my $laid = "$dir/$version";
	system_or_bail('sh', '-ec', qq{
		mkdir -p '$laid$home/lib' '$laid$share/extension' '$laid/usr/include'
		cp -r '$home/bin' '$laid$home/'
		ln -s '$home'/lib/* '$laid$home/lib/'
		ln -s '$share'/* '$laid$share/' 2>/dev/null || true
		ln -s '$share'/extension/* '$laid$share/extension/'
		ln -s /usr/include/postgresql '$laid/usr/include/'
		rm -f '$laid$home'/lib/esgf_stac* '$laid$share'/extension/esgf_stac*
		mkdir '$dir/source.$version'
		tar -C '$checkout' --exclude=./tmp_check -cf - . | tar -C '$dir/source.$version' -xf -
		make="make -s -C '$dir/source.$version' -j2 with_llvm=no COPT=-O0 PG_CONFIG='$laid$home/bin/pg_config'"
		{ eval \$make clean && eval \$make all && eval \$make install; } >'$dir/make.log' 2>&1 || { cat '$dir/make.log'; exit 1; }});
	return "$laid$home";
}

sub new_cluster
{
	my ($name, $home) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, install_path => $home);
	$node->init(allows_streaming => 'logical', extra => ['--data-checksums']);
	$node->adjust_conf('postgresql.conf', 'autovacuum_worker_slots', undef);    # which 18's module sets, and older servers do not know
	return $node;
}

# Since the minor releases of November 2026 (17.12) servers note a version of each column, which pg_upgrade of those
# before (18.6) takes for an option that it does not know.
sub forget_attribute_versions
{
	my ($old) = @_;
	return if slurp_file("$new_home/bin/pg_dump") =~ /pg_attver/ || slurp_file($old->config_data('--bindir') . '/pg_dump') !~ /pg_attver/;
	diag('the newer server is of an older minor release: versions of columns are forgotten before pg_upgrade');
	$old->safe_psql($_, q{UPDATE pg_attribute SET attoptions = nullif(ARRAY(SELECT o FROM unnest(attoptions) o WHERE o NOT LIKE 'pg\_attver=%'), '{}')
		WHERE attoptions::text LIKE '%pg\_attver=%'}) for qw(postgres template1);
	return;
}

# Which events should a stream have, and which has its file?
sub is_complete
{
	my ($node, $stream, $file) = @_;
	my $wanted = $node->safe_psql('postgres', qq{SELECT string_agg(id::text, ' ' ORDER BY id::text) FROM esgf_stac.outbox o, esgf_stac.stream s
		WHERE s.name = '$stream' AND (s.filter IS NULL OR o.aggregatetype = 'collection' OR o.streams \@> ARRAY[s.name] OR o.left_streams \@> ARRAY[s.name])});
	my %got = map { $_->{id} => 1 } grep { $_->{id} } read_events($file);
	return join(' ', sort keys %got) eq $wanted;
}

sub write_some
{
	my ($node, $title) = @_;
	$node->safe_psql('postgres', qq{
		SELECT count(esgf_stac.patch_item('CMIP6', id, '{"properties": {"title": "$title"}}')) FROM esgf_stac.published_item;
		DO \$\$ BEGIN FOR n IN 1..20 LOOP BEGIN
			PERFORM esgf_stac.patch_item('CMIP6', 'item-2.v1', jsonb_build_object('properties', jsonb_build_object('$title', n)));
			EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END \$\$});
	return;
}

for my $older (@older)
{
	my $old = new_cluster("from_$older", lay_tree($older));
	my $new = new_cluster("to_$older", $new_home);
	my %sinks = map { $_ => [ '--stream', $_, '--sink', "ndjson:$dir/$_.$older" ] } qw(kept late part);
	my %files = map { $_ => "$dir/$_.$older" } keys %sinks;

	# Three streams: one is read to the end, one is not, the relay of the third is killed.
	$old->start;
	$old->safe_psql('postgres', q{CREATE EXTENSION esgf_stac; SELECT esgf_stac.create_catalogue()});
	$old->safe_psql('postgres', qq{SELECT esgf_stac.create_stream('part', NULL, '\$.properties.title == "shown"'), esgf_stac.create_stream('kept'), esgf_stac.create_stream('late')});
	my %relays = map { $_ => start_relay($old, "$dir/log.$_.$older", @{ $sinks{$_} }, '--create') } sort keys %sinks;
	wait_for("$_ has a slot", sub { -e $files{$_} && $old->safe_psql('postgres', "SELECT active FROM pg_replication_slots WHERE slot_name = 'esgf_stac_$_'") eq 't' }) for keys %sinks;
	new_items($old, 1, 5);
	write_some($old, 'shown');

	for my $stream (keys %sinks)
	{
		wait_for("$stream is delivered", sub { is_complete($old, $stream, $files{$stream}) });
	}
	stop_relay($relays{late});
	kill_relay($relays{part});
	write_some($old, 'hidden');
	$old->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/dump.$older", '-d', $old->connstr('postgres') ], "$older: a dump");
	stop_relay($relays{kept});
	forget_attribute_versions($old);
	if ($older >= 17)
	{
		my ($advance) = slurp_file("$checkout/doc/administration.md") =~ /^ +(SELECT pg_replication_slot_advance\(.*?;)$/ms;
		$old->safe_psql('postgres', "SELECT pg_drop_replication_slot('esgf_stac_part')");
		$old->safe_psql('postgres', $advance);
	}
	$old->stop('fast');

	chdir $dir;
	$new->command_ok(
		[ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $old->config_data('--bindir'),
			'-B', "$new_home/bin", '-s', $new->host, '-p', $old->port, '-P', $new->port
		],
		"pg_upgrade from $older to $major");
	last if !Test::More->builder->is_passing;
	$new->start;
	is($new->safe_psql('postgres', 'SELECT string_agg(slot_name, $$ $$ ORDER BY slot_name) FROM pg_replication_slots'),
		$older >= 17 ? 'esgf_stac_kept esgf_stac_late' : '', $older >= 17 ? 'slots came along' : 'no slot came along');

	# A relay that is there first waits, whatever its configuration always says.
	for my $stream (sort keys %sinks)
	{
		my $log = "$dir/log2.$stream.$older";
		$relays{$stream} = start_relay($new, $log, @{ $sinks{$stream} }, $stream eq 'late' ? ('--create', '--if-not-exists') : ());
		wait_for("$stream waits", sub { slurp_file($log) =~ /problem=catalogue-not-adopted .*adopt_catalogue/ });
	}
	is((run_relay($new, @{ $sinks{kept} }, '--no-loop'))[0], 4, 'without a loop that is status 4');
	$new->safe_psql('postgres', 'SELECT esgf_stac.adopt_catalogue()');
	is($new->safe_psql('postgres', q{SELECT count(*) FROM esgf_stac.doctor() WHERE hazard = 'unknown history'}), 0, 'every history is known');
	for my $stream (sort keys %sinks)
	{
		ok(wait_for("$stream goes on", sub { is_complete($new, $stream, $files{$stream}) }), "$stream brings what was not delivered before");
	}
	write_some($new, 'shown');
	for my $stream (sort keys %sinks)
	{
		ok(wait_for("$stream is delivered", sub { is_complete($new, $stream, $files{$stream}) }), "and what is new");
		is(stop_relay($relays{$stream}), 0, "$stream is stopped");
		my $made = $older < 17 || $stream eq 'part';
		is(slurp_file("$dir/log2.$stream.$older") =~ /made slot/, $made ? 1 : '', $made ? 'a slot was made' : 'the slot was found');
		is(scalar(grep { $_->{type} eq 'item.seeded' } read_events($files{$stream})), 0, 'nothing was seeded');
	}
	$new->stop;

	# The dump, of the same rows: there they mean nothing.
	my $restored = new_cluster("restored_$older", $new_home);
	$restored->start;
	$restored->command_ok([ 'pg_restore', '--exit-on-error', '-d', $restored->connstr('postgres'), "$dir/dump.$older" ], 'the dump is restored');
	$restored->safe_psql('postgres', 'SELECT esgf_stac.adopt_catalogue()');
	my ($status, undef, $stderr) = run_relay($restored, @{ $sinks{kept} });
	like("$status $stderr", qr/^4 .*problem=unknown-history.*--create --snapshot.*--create --from-beginning/s, 'its relay says that it must begin anew');
	($status, undef, $stderr) = run_relay($restored, '--stream', 'kept', '--sink', "ndjson:$dir/restored.$older", '--create', '--from-beginning', '--endpos', wal_end($restored));
	is($status, 0, 'and can') or diag($stderr);
	ok(is_complete($restored, 'kept', "$dir/restored.$older"), 'with all that the dump has');
	$restored->stop;
}

done_testing();
