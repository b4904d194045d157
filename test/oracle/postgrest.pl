#!/usr/bin/env perl
# postgrest.pl: what PostgREST 11 does with a request, as far as the page of
# examples/postgrest needs it, for machines without PostgREST.
#
#	postgrest.pl CONFIGURATION [-sS] [-w FORMAT] [-H HEADER]... [-d BODY] URL
#
# Called like curl, it answers like curl: the body, and the status where the
# format asks for it. It sends the database, by psql as the configured login,
# the statements that PostgREST was seen to send: role and settings of the
# transaction, the function before the request, and the call with its arguments
# by name. It checks no signature: the test is of the database's side.

use strict;
use warnings;

use IPC::Run ();
use JSON::PP ();
use MIME::Base64 qw(decode_base64url);

# ---------------------------------------------------------------- the request

my %setting;
open my $configuration, '<', shift @ARGV or die "no configuration: $!";
while (<$configuration>)
{
	$setting{$1} = $2 if /^([a-z-]+) = "(.*)"$/;
}

my (%header, $body, $url, $format);
while (defined(my $argument = shift @ARGV))
{
	if ($argument eq '-H') { my ($name, $value) = split /: */, shift @ARGV, 2; $header{ lc $name } = $value; }
	elsif ($argument eq '-d') { $body = shift @ARGV; }
	elsif ($argument eq '-w') { $format = shift @ARGV; }
	elsif ($argument ne '-sS') { $url = $argument; }
}
my ($path, $query) = $url =~ m{^http://[^/]+/([^?]+)\??(.*)$};
my @parameters = map { [ map { s/\\//gr =~ s/%([0-9a-f]{2})/chr hex $1/gier } split /=/, $_, 2 ] } split /&/, $query;
my $claims = ($header{authorization} // '') =~ /^Bearer [^.]+\.([^.]+)\./ ? JSON::PP::decode_json(decode_base64url($1)) : {};
my $role = $claims->{role} //= $setting{'db-anon-role'};

# ---------------------------------------------------------------- the database

sub literal { return defined $_[0] ? "'" . $_[0] =~ s/'/''/gr . "'" : 'NULL' }
sub name { return '"' . $_[0] =~ s/"/""/gr . '"' }

# What psql prints, and its errors.
sub run_psql
{
	my ($sql) = @_;
	my ($stdout, $stderr) = ('', '');
	my $place = $setting{'db-uri'};
	IPC::Run::run([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-d', $place ], '<', \$sql, '>', \$stdout, '2>', \$stderr);
	chomp $stdout;
	return ($stdout, $stderr);
}

sub answer
{
	my ($status, $text) = @_;
	print $text;
	print $format =~ s/\\n/\n/gr =~ s/%\{http_code\}/$status/r if defined $format;
	exit 0;
}

# A transaction as PostgREST makes it, around one query that answers the body.
sub run_transaction
{
	my ($access, $main) = @_;
	my @settings = (
		[ 'search_path', "$setting{'db-schemas'}, public" ], [ 'role', $role ],
		[ 'request.jwt.claims', JSON::PP->new->utf8->encode($claims) ],
		[ 'request.method', defined $body ? 'POST' : 'GET' ], [ 'request.path', "/$path" ],
		[ 'request.headers', JSON::PP->new->utf8->encode(\%header) ]);
	my ($stdout, $stderr) = run_psql("START TRANSACTION $access;\nSELECT "
		  . join(', ', map { sprintf 'set_config(%s, %s, true)', map { literal($_) } @$_ } @settings) . " \\g /dev/null\n"
		  . "SELECT $setting{'db-pre-request'}() \\g /dev/null\n$main;\nCOMMIT;\n");
	if (my ($state, $message) = $stderr =~ /^ERROR:  (\w{5}): (.*)$/m)
	{
		my ($details) = $stderr =~ /^DETAIL:  (.*?)\n[A-Z ]+:  /ms;
		my ($hint) = $stderr =~ /^HINT:  (.*)$/m;
		my $status = $state =~ /^PT(\d+)$/ ? $1 : $state eq '25006' ? 405 : $state eq '42501' ? ($role eq $setting{'db-anon-role'} ? 401 : 403) : 400;
		answer($status, JSON::PP->new->canonical->encode({ code => $state, message => $message, details => $details, hint => $hint }));
	}
	die $stderr if $stderr =~ /\S/ && $stderr !~ /\A(NOTICE|HINT)/;
	answer(200, $stdout);
	return;
}

# ---------------------------------------------------------------- /rpc/FUNCTION

if ($path =~ m{^rpc/(\w+)$})
{
	my $function = $1;
	my @given = defined $body ? sort keys %{ JSON::PP::decode_json($body) } : sort map { $_->[0] } @parameters;
	my $schema = $setting{'db-schemas'};
	# The function that takes the arguments given, and their types.
	my ($found) = run_psql(sprintf q{
		SELECT p.proretset, p.provolatile, (SELECT json_object_agg(a.name, a.type::regtype) FROM unnest(p.proargnames, p.proargtypes::oid[]) a (name, type) WHERE a.type IS NOT NULL)
		  FROM pg_proc p WHERE p.pronamespace = %s::regnamespace AND p.proname = %s
		   AND %s::text[] <@ p.proargnames[:p.pronargs] AND p.proargnames[:p.pronargs - p.pronargdefaults] <@ %3$s::text[]},
		literal($schema), literal($function), literal('{' . join(',', @given) . '}'));
	answer(404, qq({"code":"PGRST202"})) if $found eq '';
	my ($set, $volatility, $types) = split /\|/, $found, 3;
	my $type = JSON::PP::decode_json($types);
	my $arguments = defined $body ? $body : JSON::PP->new->utf8->canonical->encode({ map { @$_ } @parameters });
	my $columns = join ', ', map { name($_) . " $type->{$_}" } @given;
	my $call = sprintf '%s.%s(%s)', name($schema), name($function), join ', ', map { name($_) . ' := body.' . name($_) } @given;
	run_transaction(
		defined $body && $volatility eq 'v' ? 'READ WRITE' : 'READ ONLY',
		sprintf 'SELECT coalesce(json_agg(_postgrest_t)%s, %s) FROM (SELECT call.* FROM %s, LATERAL %s call) _postgrest_t',
		$set eq 't' ? '' : '->0', $set eq 't' ? q{'[]'} : q{'null'},
		@given ? sprintf('json_to_record(%s) AS body (%s)', literal($arguments), $columns) : '(VALUES (1)) body', $call);
}

# ---------------------------------------------------------------- /VIEW

my ($columns, @conditions) = ('*');
foreach my $parameter (@parameters)
{
	my ($column, $value) = @$parameter;
	if ($column eq 'select') { $columns = join ', ', map { name($_) } split /,/, $value; }
	elsif ($value =~ /^eq\.(.*)$/) { push @conditions, name($column) . ' = ' . literal($1); }
	elsif ($value =~ /^is\.(\w+)$/) { push @conditions, name($column) . " IS $1"; }
	elsif ($value =~ /^cs\.(\{.*\})$/) { push @conditions, name($column) . ' @> ' . literal($1); }
	else { die "not imitated: $column=$value"; }
}
run_transaction('READ ONLY', sprintf 'SELECT coalesce(json_agg(_postgrest_t), %s) FROM (SELECT %s FROM %s.%s WHERE %s) _postgrest_t',
	q{'[]'}, $columns, name($setting{'db-schemas'}), name($path), join(' AND ', 'true', @conditions));
