/*
 * change/holdings.c
 *		Counts the data files of nodes, and finds who could take over: see
 *		change/holdings.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/errors.h"
#include "base/problems.h"
#include "change/holdings.h"

/* Count a file at each node that has it; a node may have two locations of it. */
static void
count_file(Holdings *holdings, const Asset *asset)
{
	LocationWalk locations;
	Location	location;
	JsonKey		primary = {"", 0};
	bool		found;

	holdings->data_files++;
	begin_locations(&locations, asset);
	while (next_location(&locations, &location))
	{
		if (location.primary)
			primary = location.node;
		else if (keys_equal(location.node, primary))
			continue;
		enter_entry(holdings->nodes, location.node, &found)->count++;
	}
}

/* How many data files has each node? Of a file that is in both documents, where the new one has it. */
Holdings
count_holdings(const JsonbContainer *files, const JsonbContainer *assets)
{
	Holdings	holdings = {0, make_key_table()};
	MemberCursor walk = begin_assets(files);
	Asset		file;
	Asset		asset;

	while (next_asset(&walk, &file))
		if (is_data_file(&file))
			count_file(&holdings, files != assets && find_asset(assets, file.key, &asset) ? &asset : &file);
	return holdings;
}

/* How many data files has a node? */
uint32
files_at(const Holdings *holdings, JsonKey node)
{
	KeyEntry   *entry = find_entry(holdings->nodes, node);

	return entry ? entry->count : 0;
}

/* Is a data file of one document still in another? */
static bool
files_left(const JsonbContainer *old, const JsonbContainer *new)
{
	MemberCursor walk = begin_assets(old);
	Asset		file;
	Asset		asset;

	while (next_asset(&walk, &file))
		if (is_data_file(&file) && find_asset(new, file.key, &asset))
			return true;
	return false;
}

/* Note a node that could take over, if it is one of the first two by name. */
static void
note_successor(Successors *successors, JsonKey node)
{
	for (int i = 0; i < successors->count; i++)
		if (keys_equal(successors->nodes[i], node))
			return;
	if (successors->count == 0 || comes_before(node, successors->nodes[0]))
	{
		successors->nodes[1] = successors->nodes[0];
		successors->nodes[0] = node;
	}
	else if (successors->count == 1 || comes_before(node, successors->nodes[1]))
		successors->nodes[1] = node;
	else
		return;
	successors->count = Min(successors->count + 1, 2);
}

/* Find the nodes of a new document that have every data file of the old one, some of which must be left. */
void
find_successors(const JsonbContainer *old, const JsonbContainer *new, Successors *successors)
{
	Holdings	holdings = count_holdings(old, new);
	MemberCursor walk = begin_assets(new);
	LocationWalk locations;
	Location	location;
	Asset		asset;

	successors->count = 0;
	if (holdings.data_files > 0 && old != new && !files_left(old, new))
		return;
	while (next_asset(&walk, &asset))
	{
		begin_locations(&locations, &asset);
		while (next_location(&locations, &location))
			if (files_at(&holdings, location.node) == holdings.data_files)
				note_successor(successors, location.node);
	}
}

/* Choose the node whose locations become primary when another goes; false if none has every data file. */
bool
choose_successor(const Successors *successors, JsonKey leaving, JsonKey *successor)
{
	int			i = successors->count > 0 && keys_equal(successors->nodes[0], leaving) ? 1 : 0;

	if (i >= successors->count)
		return false;
	*successor = successors->nodes[i];
	return true;
}

/* Refuse to leave files without a node that has all of them. */
void
refuse_last_replica(const Location *location)
{
	ereport(ERROR,
			(errproblem(PROBLEM_LAST_REPLICA), errtable_of("item"),
			 errsentence("no other node than \"%.*s\" has every data file", location->node.len, location->node.data),
			 errdetail_pointer(location_pointer(location), "is a primary location that no other node could take over")));
}
