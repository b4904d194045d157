# Tests on items of realistic sizes, as a client meets them: each statement in a
# fresh connection, whose first plans are made for its very values, under each
# plan_cache_mode.
#
#	each_realistic($node, sub {
#		my ($ask, $kilobytes, $mode) = @_;
#		is($ask->("SELECT ... realistic.item('a.v1', $kilobytes) ..."), ..., "$kilobytes KB, $mode");
#	});
#
# $ask runs statements in a new connection and answers what they print; test/realistic.sql
# has the functions, which the first call lays.
package RealisticTest;

use strict;
use warnings;

use Exporter 'import';
use FindBin;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(each_realistic);

sub each_realistic
{
	my ($node, $code) = @_;
	$node->safe_psql('postgres', slurp_file("$FindBin::RealBin/../realistic.sql"))
	  if $node->safe_psql('postgres', q{SELECT to_regnamespace('realistic') IS NULL}) eq 't';
	for my $kilobytes (5, 40, 200)
	{
		for my $mode ('auto', 'force_custom_plan', 'force_generic_plan')
		{
			$code->(sub { $node->safe_psql('postgres', "SET plan_cache_mode = $mode;\n$_[0]") }, $kilobytes, $mode);
		}
	}
	return;
}

1;
