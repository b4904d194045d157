# The version stands in the control file; all others agree with it.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

sub first_match
{
	my ($file, $pattern) = @_;
	my ($match) = slurp_file($file) =~ $pattern;
	return $match;
}

my $version = first_match('esgf_stac.control', qr/^default_version = '([^']+)'/m);
like($version, qr/^\d+\.\d+\.\d+$/, 'the control file has a version');

my $meta = decode_json(slurp_file('META.json'));
is($meta->{version}, $version, 'META.json');
is($meta->{provides}{esgf_stac}{version}, $version, 'META.json, provides');
is(first_match('CHANGELOG.md', qr/^## (\S+)/m), $version, 'CHANGELOG.md, topmost release');
is(first_match('debian/changelog', qr/^esgf-stac \((\S+)\)/), $version, 'debian/changelog');

my ($output) = run_command([ 'esgf_stac_relay', '--version' ]);
is((split /\n/, $output)[0], "esgf_stac_relay $version", 'esgf_stac_relay --version');

done_testing();
