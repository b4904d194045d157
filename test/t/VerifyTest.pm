# What the tests of --verify share: somebody who writes into an index, and
# somebody who writes into the catalogue meanwhile.
package VerifyTest;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run ();
use PostgreSQL::Test::Utils;

our @EXPORT = qw(damage damaged found start_writer stop_writer);

# Delete 37 of a table's items that are like that, alter 23, set 5 ahead, and add
# 11 others; what was done stands in the table damage.
sub damage
{
	my ($node, $table, $items) = @_;
	$node->safe_psql('postgres', qq{
		CREATE TABLE IF NOT EXISTS damage (kind text, item_id text);
		TRUNCATE damage;
		INSERT INTO damage
		SELECT CASE WHEN n <= 37 THEN 'missing' WHEN n <= 60 THEN 'differs' ELSE 'ahead' END, item_id
		  FROM (SELECT item_id, row_number() OVER (ORDER BY md5(item_id)) n FROM $table WHERE item_id LIKE '$items' AND document IS NOT NULL) i
		 WHERE n <= 65;
		INSERT INTO damage SELECT 'surplus', 'outsider-' || i FROM generate_series(1, 11) i;
		DELETE FROM $table WHERE item_id IN (SELECT item_id FROM damage WHERE kind = 'missing');
		UPDATE $table SET document = jsonb_set(document, '{properties,title}', '"somebody was here"')
		 WHERE item_id IN (SELECT item_id FROM damage WHERE kind = 'differs');
		UPDATE $table SET version = version + 7 WHERE item_id IN (SELECT item_id FROM damage WHERE kind = 'ahead');
		INSERT INTO $table SELECT 'CMIP6', item_id, 3, '{}' FROM damage WHERE kind = 'surplus'});
	return;
}

# The items of a kind of damage, and those of each kind that the last verification found.
sub damaged
{
	my ($node, $kind) = @_;
	return [ split /\n/, $node->safe_psql('postgres', qq{SELECT item_id FROM damage WHERE kind = '$kind' ORDER BY item_id COLLATE "C"}) ];
}

sub found
{
	my ($node) = @_;
	my %found;
	for my $row (split /\n/, $node->safe_psql('postgres', q{
		SELECT kind, item_id FROM esgf_stac.drift
		 WHERE verification = (SELECT id FROM esgf_stac.verification ORDER BY started DESC LIMIT 1) ORDER BY item_id COLLATE "C"}))
	{
		my ($kind, $item) = split /\|/, $row;
		push @{ $found{$kind} }, $item;
	}
	return \%found;
}

# A session that changes, deletes and restores items that are like that until it is stopped.
sub start_writer
{
	my ($node, $items) = @_;
	my $in = qq{
		SELECT esgf_stac.patch_item('CMIP6', id, jsonb_build_object('properties', jsonb_build_object('n', clock_timestamp())))
		  FROM (SELECT id FROM esgf_stac.published_item WHERE id LIKE '$items' ORDER BY random() LIMIT 5) i;
		WITH one AS (SELECT id, deleted FROM esgf_stac.item WHERE id LIKE '$items' ORDER BY random() LIMIT 1)
		SELECT CASE WHEN deleted THEN esgf_stac.restore_item('CMIP6', id) ELSE esgf_stac.delete_item('CMIP6', id) END FROM one
		\\watch 0.05
	};
	return IPC::Run::start([ 'psql', '-Xqo/dev/null', '-d', $node->connstr('postgres'), '-c', 'SELECT' ], '<', \$in);
}

sub stop_writer
{
	my ($writer) = @_;
	$writer->kill_kill;
	return;
}

1;
