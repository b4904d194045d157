# What tests that ask somebody else's Python share: packages from PyPI, in a
# cache outside the checkout (ESGF_STAC_CACHE, by default esgf_stac in the user's
# cache), and programs that are run with them.
package PythonTest;

use strict;
use warnings;

use Exporter 'import';
use File::Path qw(make_path remove_tree);
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(python_packages python_source run_program run_pytest);

# Run a program; its exit status as truth, its output, its last line of errors.
sub run_program
{
	my ($stdin, @command) = @_;
	my ($stdout, $stderr) = ('', '');
	my $done =
	  eval { IPC::Run::run(\@command, '<', \$stdin, '>', \$stdout, '2>', \$stderr) };
	my ($last) = reverse split /\n/, $stderr || $@ || '';
	return ($done, $stdout, $last // '');
}

# The folder in which pip put these packages, now or earlier; or none, and why.
sub python_packages
{
	my @arguments = @_;
	my ($found, $python, $why) = run_program('', 'python3', '-c',
		'import sys; print("py%d.%d" % sys.version_info[:2])');
	return (undef, "no python3: $why") unless $found;
	chomp $python;

	my $cache = $ENV{ESGF_STAC_CACHE}
	  // ($ENV{XDG_CACHE_HOME} // "$ENV{HOME}/.cache") . '/esgf_stac';
	my $target = join '-', "$cache/$python", grep { !/^-/ } @arguments;
	return $target if -d $target;

	# Installed beside it and renamed: what has its name is complete.
	my $partial = "$target.$$";
	eval { make_path($cache); 1 } or return (undef, "no cache: $@");
	(my $done, undef, $why) = run_program(
		'', qw(python3 -m pip install --quiet --disable-pip-version-check
		  --no-input --timeout 15 --retries 1 --target), $partial, @arguments);
	if (!$done)
	{
		remove_tree($partial);
		return (undef, "pip: $why");
	}
	rename $partial, $target or remove_tree($partial);
	return $target;
}

# Run pytest on files of a folder: (outcome, test, why) of each test. What it wrote
# is told if one failed, or none ran.
sub run_pytest
{
	my ($folder, $files, @options) = @_;
	my $output = '';
	IPC::Run::run([ qw(python3 -m pytest -rA --tb=short -p no:cacheprovider), @options, '--rootdir', $folder, map { "$folder/$_" } @$files ],
		'<', \undef, '>', \$output, '2>', \$output, IPC::Run::timeout(10 * $PostgreSQL::Test::Utils::timeout_default));
	my @results = map { [/^(PASSED|FAILED|ERROR|XFAIL|SKIPPED) (?:at setup of )?(?:\S+\/)*(\S+\/\S+?\.py::.*?|\S+?\.py::.*?)(?: - (.*))?$/] }
	  split /\n/, $output;
	@results = grep { @$_ } @results;
	diag $output if !@results || grep { $_->[0] =~ /FAILED|ERROR/ } @results;
	return @results;
}

# The folder of a package's source distribution, downloaded now or earlier; or none, and why.
sub python_source
{
	my ($package) = @_;
	my $cache = $ENV{ESGF_STAC_CACHE} // ($ENV{XDG_CACHE_HOME} // "$ENV{HOME}/.cache") . '/esgf_stac';
	my $target = "$cache/source-$package";
	return $target if -d $target;

	my $partial = "$target.$$";
	eval { make_path($partial); 1 } or return (undef, "no cache: $@");
	my ($done, undef, $why) = run_program(
		'', qw(python3 -m pip download --quiet --disable-pip-version-check --no-input
		  --timeout 15 --retries 1 --no-deps --no-binary), $package =~ /^([^=]+)/, '--dest', $partial, $package);
	my ($archive) = glob "$partial/*.tar.gz";
	($done, undef, $why) = run_program('', qw(tar -xz --strip-components=1 -C), $partial, '-f', $archive) if $done;
	if (!$done)
	{
		remove_tree($partial);
		return (undef, "pip: $why");
	}
	rename $partial, $target or remove_tree($partial);
	return $target;
}

1;
