# Random statements of every shape, and an oracle that knows nothing of how the
# database decides: after each one the items are what it says, or nothing has
# changed where it says that they are refused. Then many clients at once, after
# whom the rules hold that need no oracle: at most one latest in a dataset, which
# is its newest version; one institution; the events of an item in their order.
#
# ESGF_STAC_SEED repeats the choices of an earlier run, ESGF_STAC_STATEMENTS and
# ESGF_STAC_SECONDS say how many (700) and for how long at once (15).
#
# An item is a hash: deleted, retracted, latest, institution. A change is one of
# one item: [kind, id, institution, what it says of latest]; it is made by a verb,
# or by a row of a statement, which passes over items to which it does not apply.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Open2 'open2';
use JSON::PP;
use List::Util qw(any none shuffle uniq);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX ();
use RelayTest;
use Test::More;
use Time::HiRes 'time';

my $seed = $ENV{ESGF_STAC_SEED} // int rand 1e9;
my $json = JSON::PP->new->canonical->allow_nonref;
note "seed $seed";
srand $seed;

# Versions of "tie" are equal as numbers: an UPDATE of several would have no order.
my %versions = (a => [ 1, 2, 10, 11 ], b => [ 1, 2, 10 ], c => [ 1, 2 ], tie => [qw(1 01 2 02)]);
my @ids = map { my $base = $_; map { "$base.v$_" } @{ $versions{$base} } } sort keys %versions;
my $path = '/properties/c:institution_id';

sub any_of { return $_[ rand @_ ]; }
sub chance { my ($percent) = @_; return rand 100 < $percent; }
sub base { my ($id) = @_; return $id =~ s/\.v\d+$//r; }
sub number { my ($id) = @_; return 0 + ($id =~ /\.v(\d+)$/)[0]; }
sub some_of { my (@of) = shuffle @_; return @of[ 0 .. rand @of ]; }

# ---------------------------------------------------------------- the oracle

sub versions_of { my ($items, $base) = @_; return grep { base($_) eq $base } keys %$items; }
sub is_candidate { my ($item) = @_; return !$item->{deleted} && !$item->{retracted}; }

# Is no newer candidate there, nor an equal one that is latest?
sub may_be_latest
{
	my ($items, $id) = @_;
	return none { is_candidate($items->{$_}) && (number($_) > number($id) || (number($_) == number($id) && $items->{$_}{latest})) }
	  grep { $_ ne $id } versions_of($items, base($id));
}

# What becomes of an item: "refused", "nothing" or "changed". Datasets whose institution is to be looked at are noted.
sub change_item
{
	my ($items, $change, $by_verb, $asked) = @_;
	my ($kind, $id, $institution, $says) = @$change;
	my $item = $items->{$id};
	my $passes = $by_verb ? 'refused' : 'nothing';
	my $appears = sub {
		$items->{$id} = { deleted => 0, retracted => 0, institution => $institution, latest => 0 };
		$items->{$id}{latest} = 1 if ($says // 'true') ne 'false' && may_be_latest($items, $id);
		$asked->{ base($id) } = 1;
		return 'changed';
	};
	if ($kind eq 'insert') { return $item ? 'refused' : $appears->(); }
	if ($kind eq 'create') { return $item && !$item->{deleted} ? 'refused' : $appears->(); }
	if ($kind eq 'upsert')
	{
		return $appears->() if !$item || $item->{deleted};
		return 'refused' if $item->{retracted};
		$asked->{ base($id) } = 1 if $item->{institution} ne $institution;
		$item->{institution} = $institution;
		$item->{latest} = $says eq 'true' ? $item->{latest} || (may_be_latest($items, $id) ? 1 : 0) : 0 if defined $says;
		return 'changed';
	}
	return $passes if !$item;
	if ($kind eq 'restore')
	{
		return $passes if !$item->{deleted};
		$item->{deleted} = 0;
		$item->{latest} = 1 if !$item->{retracted} && may_be_latest($items, $id);
		return 'changed';
	}
	return $passes if $item->{deleted};
	if ($kind eq 'delete') { @$item{qw(deleted latest)} = (1, 0); return 'changed'; }
	if ($kind eq 'retract')
	{
		return 'nothing' if $item->{retracted};
		@$item{qw(retracted latest)} = (1, 0);
		return 'changed';
	}
	if ($kind eq 'reinstate')
	{
		return 'nothing' if !$item->{retracted};
		$item->{retracted} = 0;
		$item->{latest} = 1 if may_be_latest($items, $id);
		return 'changed';
	}
	if ($kind eq 'say')
	{
		return 'nothing' if $item->{retracted} || ($says eq 'true') == $item->{latest} || ($says eq 'true' && !may_be_latest($items, $id));
		$item->{latest} = $says eq 'true' ? 1 : 0;
		return 'changed';
	}
	return 'nothing' if $kind eq 'institution' && $item->{institution} eq $institution;
	return $passes if $item->{retracted};
	return 'changed' if $kind eq 'title';
	$item->{institution} = $institution;
	$asked->{ base($id) } = 1;
	return 'changed';
}

# The end of a statement, for these datasets or all: undef if institutions differ, else the items that are superseded.
sub settle
{
	my ($items, $asked, @bases) = @_;
	my @superseded;
	for my $base (@bases ? @bases : keys %versions)
	{
		my @all = versions_of($items, $base);
		return if $asked->{$base} && uniq(map { $items->{$_}{institution} } @all) > 1;
		for my $id (grep { $items->{$_}{latest} } @all)
		{
			next if none { is_candidate($items->{$_}) && number($_) > number($id) } @all;
			$items->{$id}{latest} = 0;
			push @superseded, $id;
		}
	}
	return \@superseded;
}

sub copy { my ($items) = @_; return { map { $_ => { %{ $items->{$_} } } } keys %$items }; }

# Make changes, those of one statement; the ids that have changed, or undef.
sub make
{
	my ($items, $changes, $by_verb, $asked) = @_;
	my @changed;
	for my $change (@$changes)
	{
		my $became = change_item($items, $change, $by_verb, $asked);
		return if $became eq 'refused';
		push @changed, $change->[1] if $became eq 'changed';
	}
	return \@changed;
}

# A statement on its own: the items after it, or undef.
sub after_statement
{
	my ($items, $changes, $by_verb) = @_;
	my ($after, $asked) = (copy($items), {});
	return make($after, $changes, $by_verb, $asked) && settle($after, $asked) ? $after : undef;
}

sub permutations
{
	my (@of) = @_;
	return [] if !@of;
	return map { my $i = $_; map { [ $of[$i], @$_ ] } permutations(@of[ grep { $_ != $i } 0 .. $#of ]) } 0 .. $#of;
}

# Parts of one statement, in whatever order the server takes them: all that may come of it.
sub after_parts
{
	my ($items, @parts) = @_;
	return map {
		my ($after, $asked) = (copy($items), {});
		(none { !make($after, $_, 0, $asked) } @$_) && settle($after, $asked) ? $after : undef
	} permutations(@parts);
}

# A verb that is called once the rows of a statement are written, before its end.
sub after_nested
{
	my ($items, $rows, $verb) = @_;
	my ($after, $asked, $inner, $base) = (copy($items), {}, {}, base($verb->[1]));
	my $changed = make($after, $rows, 0, $asked) // return undef;
	my $between = $after->{ $verb->[1] } // {};
	my $stood = join ' ', is_candidate($between), $between->{latest} // '';
	my $by_verb = make($after, [$verb], 1, $inner) // return undef;
	my $stands = $after->{ $verb->[1] };
	my $superseded = @$by_verb && ($inner->{$base} || $stood ne join ' ', is_candidate($stands), $stands->{latest}) ? settle($after, $inner, $base) // return undef : [];
	for my $id (@$by_verb, @$superseded) { return undef if any { $_ eq $id } @$changed; }
	return undef if !settle($after, $asked);
	# Of several rows of that dataset one may have been latest in passing, and be superseded before that is told.
	return ($after, (grep { base($_) eq $base } @$changed) > 1 ? undef : ());
}

# A verb that is called to make the new value of the one row that a statement changes.
sub after_called
{
	my ($items, $row, $verb) = @_;
	my ($after, $asked) = (copy($items), {});
	my $selected = copy($items);
	my $changed = make($selected, [$row], 0, {}) // return undef;
	return $after if !@$changed && $row->[0] eq 'title';    # no row, no call
	my $by_verb = make($after, [$verb], 1, $asked) // return undef;
	my $superseded = settle($after, $asked) // return undef;
	return undef if any { $_ eq $row->[1] } @$by_verb, @$superseded;
	return make($after, [$row], 0, $asked) && settle($after, $asked) ? $after : undef;
}

# ---------------------------------------------------------------- statements

my $serial = 0;

sub quoted { my ($value) = @_; return "'" . (ref $value ? $json->encode($value) : $value) . "'"; }

sub document
{
	my ($id, $institution, $says) = @_;
	my %more = defined $says ? (latest => $says eq 'true' ? JSON::PP::true : JSON::PP::false) : ();
	return { type => 'Feature', stac_version => '1.1.0', id => $id, collection => 'C', geometry => undef, links => [], assets => {},
		properties => { datetime => '2000-01-01T00:00:00Z', title => 't' . ++$serial, 'c:institution_id' => $institution, %more } };
}

sub says { return chance(70) ? undef : any_of('true', 'false'); }
sub institution { return chance(85) ? 'A' : any_of('A', 'B'); }
sub change { my ($kind, $id) = @_; return [ $kind, $id, institution(), $kind eq 'say' ? any_of('true', 'false') : says() ]; }

# A verb, and how it is called.
sub verb
{
	my $change = change(any_of(qw(create create delete restore retract reinstate say title institution)), any_of(@ids));
	my ($kind, $id, $institution, $says) = @$change;
	my $call =
	  $kind eq 'create' ? "create_item('C', " . quoted(document($id, $institution, $says)) . ')'
	  : $kind eq 'say' ? "patch_item('C', '$id', '{\"properties\": {\"latest\": $says}}')"
	  : $kind eq 'title' ? "patch_item('C', '$id', '{\"properties\": {\"title\": \"t" . ++$serial . "\"}}')"
	  : $kind eq 'institution' ? "patch_item('C', '$id', '[{\"op\": \"add\", \"path\": \"$path\", \"value\": \"$institution\"}]')"
	  : "${kind}_item('C', '$id')";
	return ($change, "esgf_stac.$call");
}

sub values_of { return join ', ', map { "('C', '$_->[1]', " . quoted(document(@$_[ 1 .. 3 ])) . '::jsonb)' } @_; }

# Rows of several datasets, or of one, but of no two equal versions.
sub some_ids
{
	my (@of) = @_ ? @_ : chance(60) ? do { my $base = any_of(qw(a b c)); grep { base($_) eq $base } @ids } : grep { base($_) ne 'tie' } @ids;
	my @some = some_of(@of);
	return chance(10) ? @some[0] : @some;
}

sub insertion
{
	my @changes = map { change('insert', $_) } some_ids(@_);
	return (\@changes, 'INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ' . values_of(@changes));
}

sub upsertion
{
	my @changes = map { change('upsert', $_) } some_ids(@_);
	my $values = values_of(@changes);
	return (\@changes, chance(50)
		? "INSERT INTO esgf_stac.item (collection_id, id, document) VALUES $values ON CONFLICT (collection_id, id) DO UPDATE SET document = EXCLUDED.document, deleted = false"
		: "MERGE INTO esgf_stac.item i USING (VALUES $values) AS v (collection_id, id, document) ON i.collection_id = v.collection_id AND i.id = v.id
		   WHEN MATCHED THEN UPDATE SET document = " . merged('v.document', 'i.latest') . ", deleted = false WHEN NOT MATCHED THEN INSERT (collection_id, id, document) VALUES ('C', v.id, v.document)");
}

# A document as it replaces one that is there: without a word on latest the item keeps its own.
sub merged { my ($document, $latest) = @_; return "CASE WHEN i.deleted OR $document -> 'properties' ? 'latest' THEN $document ELSE jsonb_set($document, '{properties,latest}', to_jsonb($latest)) END"; }

sub update
{
	my $kind = any_of(qw(delete restore retract reinstate say title institution));
	my @some = some_ids(@_);
	my ($institution, $says) = (institution(), any_of('true', 'false'));
	my $in = "id IN (" . join(', ', map { "'$_'" } @some) . ')';
	my $set = sub { my ($at, $value) = @_; return "document = jsonb_set(document, '{properties,$at}', $value)"; };
	my ($what, $where) = @{ {
			delete => [ 'deleted = true', 'NOT deleted' ],
			restore => [ 'deleted = false', 'deleted' ],
			retract => [ $set->('retracted', "'true'"), 'NOT deleted AND NOT retracted' ],
			reinstate => [ $set->('retracted', "'false'"), 'NOT deleted AND retracted' ],
			say => [ $set->('latest', "'$says'"), 'NOT deleted AND NOT retracted' ],
			title => [ $set->('title', "'\"t" . ++$serial . "\"'"), 'NOT deleted AND NOT retracted' ],
			institution => [ $set->('c:institution_id', "'\"$institution\"'"), 'NOT deleted AND NOT retracted' ] }->{$kind} };
	return ([ map { [ $kind, $_, $institution, $says ] } @some ], "UPDATE esgf_stac.item SET $what WHERE $in AND $where");
}

sub part { return any_of(\&insertion, \&update, \&update)->(@_); }

# A statement of any shape; what it does to items: all that may come of it, of which undef is a refusal.
sub statement
{
	return any_of(
		(sub { my ($change, $call) = verb(); return ("SELECT $call", sub { after_statement($_[0], [$change], 1) }); }) x 4,
		(sub { my ($changes, $sql) = any_of(\&insertion, \&upsertion, \&update)->(); return ($sql, sub { after_statement($_[0], $changes, 0) }); }) x 5,
		sub {    # requests, of which each is a statement
			my @verbs = map { [ verb() ] } 0 .. rand 4;
			my $calls = join '; PERFORM ', map { $_->[1] } @verbs;
			return ("DO \$\$ BEGIN PERFORM $calls; END \$\$", sub { my ($items) = @_; $items = $items && after_statement($items, [ $_->[0] ], 1) for @verbs; return $items; });
		},
		sub {    # parts, of different items
			my @mine = shuffle grep { base($_) ne 'tie' } @ids;
			my @parts = map { [ part(@mine[ 3 * $_ .. 3 * $_ + 2 ]) ] } 0 .. rand 3;
			my $last = pop @parts;
			my $with = join ', ', map { "p$_ AS ($parts[$_][1])" } 0 .. $#parts;
			# One part may supersede what another has changed before that is told: then it is refused.
			return (($with && "WITH $with ") . $last->[1], sub { return (after_parts($_[0], map { $_->[0] } @parts, $last), undef); });
		},
		(sub {    # rows that go to a verb
				my ($rows, $sql) = part();
				my ($change, $call) = verb();
				return ("WITH a AS ($sql RETURNING id), n AS MATERIALIZED (SELECT count(*) FROM a) SELECT $call FROM n", sub { after_nested($_[0], $rows, $change) });
		}) x 2,
		(sub {    # a function that a statement calls
				my $id = any_of(@ids);
				my ($change, $call) = verb();
				return ("UPDATE esgf_stac.item SET document = jsonb_set(called(" . quoted($call =~ s/'/''/gr) . ", document), '{properties,title}', '\"t" . ++$serial . "\"') WHERE id = '$id' AND NOT deleted AND NOT retracted",
					sub { after_called($_[0], [ 'title', $id ], $change) });
		}) x 2,
		sub {    # what is undone is nothing
			my ($changes, $sql) = any_of(\&insertion, \&upsertion, \&update)->();
			my ($change, $call) = verb();
			return ("DO \$\$ BEGIN BEGIN $sql; PERFORM $call; RAISE division_by_zero; EXCEPTION WHEN OTHERS THEN NULL; END; PERFORM $call; END \$\$", sub { after_statement($_[0], [$change], 1) });
		})->();
}

# ---------------------------------------------------------------- one client

my $node = catalogue_node('statements', "max_connections = 30\ndeadlock_timeout = 100ms\nsynchronous_commit = off");
$node->safe_psql('postgres', 'SELECT esgf_stac.create_collection(' . quoted({
			type => 'Collection', stac_version => '1.1.0', id => 'C', description => 'd', license => 'MIT', links => [],
			extent => { spatial => { bbox => [ [ -180, -90, 180, 90 ] ] }, temporal => { interval => [ [ '1850-01-01T00:00:00Z', undef ] ] } } }) . ')');
$node->safe_psql('postgres', q{CREATE FUNCTION called(call text, document jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT ' || call; RETURN document; END $$});

my ($to, $from);

sub connect_psql
{
	open2($from, $to, 'sh', '-c', 'exec psql "$@" 2>&1', 'psql', '-X', '-q', '-A', '-t', '-d', $node->connstr('postgres'));
	ask('\set VERBOSITY verbose');
	return;
}

# Run statements: the first error as "state slug", or '', and the rows after the last mark.
sub ask
{
	my ($sql) = @_;
	my ($error, $slug, @rows) = ('', '');
	print $to "$sql\n\\echo END\n" or die "psql is gone: $!";
	while (defined(my $line = <$from>))
	{
		chomp $line;
		return ($error . ($slug && " $slug"), @rows) if $line eq 'END';
		if ($line =~ /^(?:ERROR|FATAL|PANIC):\s+(\w{5}):/) { $error ||= $1; }
		elsif ($line =~ /^CONSTRAINT NAME:\s+(.*)/) { $slug ||= $1; }
		elsif ($line =~ /^ROW (.*)/) { push @rows, $1; }
	}
	die 'psql has ended';
}

# All items as the oracle has them, one string each.
sub described { my ($items) = @_; return join ', ', map { my $i = $items->{$_}; "$_ $i->{institution}" . join '', map { $i->{$_} ? " $_" : '' } qw(latest retracted deleted) } sort keys %$items; }
my $look = q{SELECT 'ROW ' || coalesce(string_agg(concat(id, ' ', document #>> '{properties,c:institution_id}', CASE WHEN latest THEN ' latest' END, CASE WHEN retracted THEN ' retracted' END, CASE WHEN deleted THEN ' deleted' END), ', ' ORDER BY id COLLATE "C"), '') FROM esgf_stac.item;};
my $told = q{SELECT 'ROW ' || max(seq) FROM esgf_stac.outbox;};

my $refusals = qr/^(?:27000|21000|23505 item_pkey|PT404 item-does-not-exist|PT409 (?:item-already-exists|item-retracted|institution-differs))$/;

connect_psql();
my ($items, %errors, @wrong) = ({});
for my $n (1 .. $ENV{ESGF_STAC_STATEMENTS} // 700)
{
	my ($sql, $oracle) = statement();
	my @possible = $oracle->($items);
	my (undef, $before) = ask($told);
	my ($error) = ask("$sql;");
	my (undef, $found, $after) = ask("$look $told");
	$errors{ $error || 'done' }++;
	push @wrong, "$n: $error: $sql" if $error && $error !~ $refusals;
	if (none { defined $_ ? !$error && described($_) eq $found : $error && $found eq described($items) && $before eq $after } @possible)
	{
		push @wrong, join "\n", "statement $n: $sql", "before: " . described($items), "found $error: $found", map { 'expected: ' . (defined $_ ? described($_) : 'refused') } @possible;
		last;
	}
	($items) = grep { defined && described($_) eq $found } @possible if !$error;
}
is(join("\n\n", @wrong), '', 'every statement does what the oracle says, or is refused and does nothing');
note "$_: $errors{$_}" for sort keys %errors;

# ---------------------------------------------------------------- many

my $dir = PostgreSQL::Test::Utils::tempdir;
my %child;
for my $n (1 .. 6)
{
	my $pid = fork // die "fork: $!";
	if ($pid)
	{
		$child{$pid} = 1;
		next;
	}
	srand $seed + $n;
	my %met;
	eval {
		connect_psql();
		my $end = time + ($ENV{ESGF_STAC_SECONDS} // 15);
		while (time < $end)
		{
			my $level = any_of(('READ COMMITTED') x 4, 'REPEATABLE READ', 'SERIALIZABLE');
			my $sql = join ";\n", map { (statement())[0] } 0 .. rand 2;
			my ($error) = ask("BEGIN ISOLATION LEVEL $level; $sql; COMMIT; ROLLBACK;");
			$met{$error}++;
		}
		1;
	} or $met{$@}++;
	PostgreSQL::Test::Utils::append_to_file("$dir/$n", $json->encode(\%met));
	POSIX::_exit(0);
}
local $SIG{ALRM} = sub { kill 'KILL', keys %child };
alarm 15 + $PostgreSQL::Test::Utils::timeout_default;
waitpid $_, 0 for keys %child;
alarm 0;
my %met;
for my $file (glob "$dir/*")
{
	my $of = $json->decode(slurp_file($file));
	$met{$_} += $of->{$_} for keys %$of;
}
note "at once: " . ($_ || 'done') . ": $met{$_}" for sort keys %met;
is_deeply([ grep { $_ && $_ !~ $refusals && $_ !~ /^(?:40001|40P01|25P02)$/ } keys %met ], [], 'at once none met another error');
cmp_ok($met{''} // 0, '>', 50, 'and much was done');

sub nothing_is { my ($sql, $what) = @_; is($node->safe_psql('postgres', $sql), '', $what); return; }

nothing_is(q{SELECT base_id FROM esgf_stac.item WHERE latest GROUP BY 1 HAVING count(*) > 1}, 'a dataset has one latest at most');
nothing_is(q{SELECT i.id FROM esgf_stac.item i JOIN esgf_stac.item o USING (base_id) WHERE i.latest AND (i.deleted OR i.retracted OR (NOT o.deleted AND NOT o.retracted AND o.dataset_version::int > i.dataset_version::int))}, 'which is the newest that is active and unretracted');
nothing_is(q{SELECT d.base_id FROM esgf_stac.dataset d LEFT JOIN esgf_stac.item i ON i.base_id = d.base_id AND i.latest WHERE d.latest_id IS DISTINCT FROM i.id}, 'and is the one that the dataset knows');
nothing_is(q{SELECT base_id FROM esgf_stac.item GROUP BY 1 HAVING count(DISTINCT document #>> '{properties,c:institution_id}') > 1}, 'a dataset is one institution\'s');
nothing_is(q{SELECT i.id FROM esgf_stac.item i JOIN esgf_stac.dataset d USING (base_id) WHERE d.institution ->> '/properties/c:institution_id' <> document #>> '{properties,c:institution_id}'}, 'which it knows');
nothing_is(q{SELECT id FROM esgf_stac.item WHERE latest <> (document #>> '{properties,latest}')::boolean OR retracted <> (document #>> '{properties,retracted}')::boolean}, 'documents say what columns say');
nothing_is(q{SELECT aggregateid, version FROM (SELECT *, row_number() OVER w AS n, lag(occurred_at) OVER w AS before FROM esgf_stac.outbox WINDOW w AS (PARTITION BY aggregatetype, aggregateid ORDER BY seq)) o
			  WHERE version <> n OR occurred_at <= before}, 'events are versions 1 to n in the order of seq, and of time');
nothing_is(q{SELECT i.id FROM esgf_stac.item i LEFT JOIN esgf_stac.outbox o ON o.aggregatetype = 'C' AND o.aggregateid = i.id AND o.version = i.version
			  LEFT JOIN esgf_stac.published_item p ON p.id = i.id WHERE o.id IS NULL OR o.payload IS DISTINCT FROM p.document}, 'the last event is the item as it is published');

done_testing();
