# Every refusal in the sources is of a kind in src/base/problem_kinds.h (and so has
# SQLSTATE, slug and schema), and has what else a caller needs: table, and DETAIL or
# HINT, unless its kind has a hint; each HINT names functions that there are. What
# the tests in test/sql meet is held to the same by pg_temp.flaws().
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;

# The calls of a function in a text of C, each with all its arguments.
sub calls
{
	my ($name, $text) = @_;
	my $nested;
	$nested = qr/\((?:[^()"']++|"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)'|(??{ $nested }))*+\)/;
	my @found;
	push @found, [ substr($text, 0, $-[0]) =~ tr/\n// + 1, $1 ] while $text =~ /\b$name\s*($nested)/g;
	return @found;
}

my %functions = map { $_ => 1 } map { slurp_file($_) =~ /CREATE FUNCTION (?:esgf_stac\.|esgf_stac_internal\.)(\w+)\(/g } glob "sql/install/*.sql";
my ($said, $found, $called, $raised) = (0, 0, 0, 0);
my (%slugs, %hints, %used);
my $kinds = slurp_file('src/base/problem_kinds.h');
($slugs{$1}, $hints{$1}) = ($2, $3) while $kinds =~ /PROBLEM\(([A-Z_]+), "([a-z-]+)", \d{3}, \\\n\s*"[^"]*", (?:\\\n\s*)?(NULL|".*")\)/g;
is(keys %hints, () = $kinds =~ /PROBLEM\([A-Z_]+, "/g, 'every kind of problem was read');

# See that words of ours name functions that there are, and list no collection that is not.
sub check_words
{
	my ($place, $words) = @_;
	is(join(' ', grep { !$functions{$_} } $words =~ /\b([a-z]\w+)\((?!s\))/g), '', "$place: names functions that there are") if $words =~ /\w\(/;
	like($words, qr/ collection WHERE NOT deleted /, "$place: lists the collections that there are") if $words =~ s/ FROM esgf_stac\.collection / collection /;
}

check_words("hint of $_", $hints{$_}) for sort keys %hints;

# Of C: errforbidden() has no kind; that of refuse() is looked at below.
for my $path (glob "src/*/*.c")
{
	my $name = $path =~ s{^src/}{}r;
	my $text = slurp_file($path) =~ s{/\*.*?\*/}{$& =~ tr/\n//cdr}gesr;
	$said += () = $text =~ /\b(?:errproblem\((?!(?:ProblemKind )?kind\))|errforbidden\()/g;
	unlike($text, qr/ERRCODE_INSUFFICIENT_PRIVILEGE/, "$name: a privilege is missing by errforbidden()");
	for (calls('ereport', $text))
	{
		my ($line, $call) = @$_;
		next unless $call =~ /^\(ERROR/ && $call =~ /\b(?:errproblem\((?!(?:ProblemKind )?kind\))|errforbidden\()/;
		$found++;
		# A JSON pointer alone is of no table.
		like($call, qr/\berrtable_of\(/, "$name, line $line: its table") unless $name eq 'json/pointer.c';
		my @of = $call =~ /\berrproblem\(PROBLEM_([A-Z_]+)\)/g;
		$used{$_} = 1 for @of;
		like($call, qr/\b(errhint\w*|errdetail\w*)\(/, "$name, line $line: DETAIL or HINT")
		  unless @of && !grep { ($hints{$_} // 'NULL') eq 'NULL' } @of;
		check_words("$name, line $line", join ' ', map { $_->[1] =~ /"(?:[^"\\]|\\.)*"/g } map { calls($_, $call) } qw(errmsg errhint));
	}
	# Of several problems the first one's kind is the refusal's.
	$used{$1} = 1 while $text =~ /\badd_extension_problem\(problems, PROBLEM_([A-Z_]+),/g;
}

# Of SQL: refuse() of a slug and a table, with a message, DETAIL and HINT of its own.
my $string = qr/'(?:[^']|'')*+'/;
for my $path (glob "sql/*/*.sql sql/*/*/*.sql")
{
	my $name = $path =~ s{^sql/}{}r;
	my $text = slurp_file($path) =~ s{--.*}{}gr;
	unlike($text, qr/ERRCODE = 'PT/, "$name: refuses by refuse()");
	while ($text =~ /\bPERFORM esgf_stac_internal\.refuse\(((?:[^';]|$string)*?)\);/g)
	{
		my ($call, $line) = ($1, substr($text, 0, $-[0]) =~ tr/\n// + 1);
		$raised++;
		my ($slug) = $call =~ /^'([a-z-]+)', '[a-z_]+', /;
		my ($kind) = grep { $slugs{$_} eq ($slug // '') } keys %slugs;
		ok($kind, "$name, line $line: a kind of problem and a table") or next;
		$used{$kind} = 1;
		like($call =~ s/$string//gr, qr/\b(problems|hint)\b/, "$name, line $line: DETAIL or HINT") if $hints{$kind} eq 'NULL';
		check_words("$name, line $line", $_) for map { s/^'|'$//gr } $call =~ /(?:\bhint => |^'[a-z-]+', '[a-z_]+', (?:format\()?)($string)/g;
	}
	$called += () = $text =~ /\brefuse\((?!slug text|text)/g;
}
is($raised, $called, "all $called of SQL were found");
is(join(' ', grep { !$used{$_} } sort keys %slugs), 'UNKNOWN', 'no kind without a refusal, but for what the server refuses');
is($found, $said, "all $said of C were found");

done_testing();
