# doc/ has every public function, under a heading of its name: its arguments, its
# errors, its source, and on the same page an example (which 050_doc_examples.pl
# runs). Those of esgf_stac are public; any of esgf_stac_internal that a role may
# execute serves one of those, or the relay. And every link between pages leads somewhere.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Find ();
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $node = PostgreSQL::Test::Cluster->new('reference');
$node->init(allows_streaming => 'logical');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION esgf_stac');

# All pages: (path, text).
my %pages;
File::Find::find({ no_chdir => 1, wanted => sub { $pages{ substr($_, length("$top/")) } = slurp_file($_) if /\.md$/ } }, "$top/doc");

# The parts of all pages under a heading, each up to the next heading of its level:
# (part, page).
sub sections
{
	my ($heading) = @_;
	my @found;
	foreach my $text (values %pages)
	{
		push @found, [ $2, $text ] while $text =~ /^(#+) \Q$heading\E\n(.*?)(?=^(?!\1#)#+ |\z)/msg;
	}
	return @found;
}

# Arguments as the server writes them, in the short words of a page.
sub in_short
{
	my ($arguments) = @_;
	$arguments =~ s/timestamp with time zone/timestamptz/g;
	$arguments =~ s/\binteger\b/int/g;
	$arguments =~ s/::[a-z]+(\[\])?//g;
	$arguments =~ s/\b(?:INOUT|VARIADIC) //g;
	$arguments =~ s/,? ?OUT [a-z_]+ [a-z]+(\[\])?//g;
	return $arguments;
}

my @public = split /\n/, $node->safe_psql('postgres', q{
	SELECT p.proname || E'\t' || pg_get_function_arguments(p.oid)
	  FROM pg_proc p
	 WHERE p.pronamespace = 'esgf_stac'::regnamespace AND p.prorettype <> 'trigger'::regtype
	 ORDER BY p.proname});
ok(@public > 30, 'there are public functions');

foreach (@public)
{
	my ($name, $arguments) = split /\t/, $_, -1;
	my @sections = sections($name);
	is(@sections, 1, "$name has one place in doc/") or next;
	my ($section, $page) = @{ $sections[0] };

	my ($documented) = $section =~ /^    \Q$name\E\((.*?)\) -> /ms;
	$documented =~ s/\s+/ /g if defined $documented;
	is($documented, in_short($arguments), "$name: signature");
	is(join(' ', grep { $section !~ /`\Q$_\E[`,]/ } map { (split)[0] } split /, /, in_short($arguments)), '', "$name: what each argument is");
	like($section, qr/^\| SQLSTATE, slug \| when \|$|no\s+errors\s+of\s+its\s+own/m, "$name: errors");
	like($page, qr/^```sql\n(?:(?!^```).)*\besgf_stac\.\Q$name\E\((?:(?!^```).)*^```\n```text\n/ms, "$name: an example that is run");
	like($section, qr/^Source: \S/m, "$name: source");
}

# What roles may execute because functions that run as their callers need it.
my $internal = join ' ', sort qw(can_be_sent event_is_known event_metadata lock_collection past_version publication_problem
  pending_commits redrive_round redrive_states require_catalogue settle_letters stream_item_count stream_items one_line refuse wal_end
  item_writers metrics begin_verification trim_drift verification_page verification_states iteration_lock iteration_page iteration_states take_iteration writers_ended
  begin_source ingest_columns note_results note_source source_position source_results);
is($node->safe_psql('postgres', q{
	SELECT string_agg(DISTINCT p.proname, ' ' ORDER BY p.proname)
	  FROM pg_proc p, unnest('{public,esgf_stac_reader,esgf_stac_writer,esgf_stac_gateway,esgf_stac_admin,esgf_stac_relay,esgf_stac_ingest}'::text[]) r
	 WHERE p.pronamespace = 'esgf_stac_internal'::regnamespace
	   AND has_function_privilege(r, p.oid, 'EXECUTE')}), $internal, 'no other function is for anybody to call');

# The problems: those of the one table, each in that of doc/verbs.md; but for what
# the server's own refusals are called.
my %problems;
my $kinds = slurp_file("$top/src/base/problem_kinds.h");
$problems{$1} = "PT$2" while $kinds =~ /PROBLEM\([A-Z_]+, "([a-z-]+)", (\d{3}), /g;
is(delete $problems{unknown}, 'PT409', 'what the server refuses is unknown');
my %listed;
$listed{$2} = $1 while $pages{'doc/verbs.md'} =~ /^\| (PT\d+) `([a-z-]+)` \|/mg;
is_deeply(\%listed, \%problems, 'doc/verbs.md lists every problem');

# And no page has one that there is not.
foreach my $page (sort keys %pages)
{
	my @wrong;
	while ($pages{$page} =~ /\b(PT\d{3}) (`[a-z-]+`(?:, `[a-z-]+`)*)/g)
	{
		my ($state, $slugs) = ($1, $2);
		push @wrong, map { "$state $_" } grep { ($problems{$_} // '') ne $state } $slugs =~ /`([a-z-]+)`/g;
	}
	is("@wrong", '', "problems in $page");
}

# A heading as it stands in links.
sub anchor
{
	my ($heading) = @_;
	return lc($heading =~ s/[^\w\- ]//gr) =~ tr/ /-/r;
}

foreach my $page (sort('README.md', 'CONTRIBUTING.md', 'client/README.md', keys %pages))
{
	my $text = ($pages{$page} // slurp_file("$top/$page")) =~ s/^```.*?^```$//msgr;
	my @dead;
	foreach my $link ($text =~ /\]\((?!https?:)([^)\s]+)\)/g)
	{
		my ($file, $anchor) = split /#/, $link;
		my $target = $file ? dirname($page) . "/$file" : $page;
		push @dead, $link and next if !-e "$top/$target";
		push @dead, $link if defined $anchor && !grep { anchor($_) eq $anchor } slurp_file("$top/$target") =~ /^#+ (.*)$/mg;
	}
	is("@dead", '', "links of $page");
}

done_testing();
