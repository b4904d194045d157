/*
 * change/completeness.c
 *		Does a change leave replicas whole? See change/completeness.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/errors.h"
#include "change/completeness.h"
#include "change/holdings.h"

/* Refuse a second location of an asset at one node. */
static void
refuse_doubled(const Location *location)
{
	ereport(ERROR,
			(errproblem(PROBLEM_REPLICA_ALREADY_EXISTS), errtable_of("item"),
			 errsentence("asset \"%.*s\" would have two locations at node \"%.*s\"",
						 location->asset.len, location->asset.data, location->node.len, location->node.data),
			 errdetail_pointer(location_pointer(location), "is at the node of the primary location")));
}

/* The first data file that a node lacks. */
static JsonKey
first_missing_file(const JsonbContainer *assets, JsonKey node)
{
	MemberCursor walk = begin_assets(assets);
	Asset		asset;
	Location	location;

	while (next_asset(&walk, &asset))
		if (is_data_file(&asset) && !find_location(&asset, node, &location))
			return asset.key;
	return (JsonKey) {"", 0};
}

/* Refuse a replica that has some data files and lacks others. */
static void
check_completeness(const JsonbContainer *assets, const Holdings *holdings, JsonKey node)
{
	uint32		present = files_at(holdings, node);
	JsonKey		missing;

	if (present == 0 || present == holdings->data_files)
		return;
	missing = first_missing_file(assets, node);
	ereport(ERROR,
			(errproblem(PROBLEM_REPLICA_INCOMPLETE), errtable_of("item"),
			 errsentence("node \"%.*s\" would have %u of %u data files", node.len, node.data, present, holdings->data_files),
			 errdetail_pointer(asset_pointer(missing), "has no location at this node")));
}

/* Refuse the removal of a node's primary locations that leaves no node with every data file. */
static void
check_successor(const Jsonb *old, const JsonbContainer *assets, const Holdings *holdings, const Change *change)
{
	Successors	successors;
	bool		found = false;
	JsonKey		successor;
	ListCell   *cell;

	foreach(cell, change->locations)
	{
		LocationChange *removed = lfirst(cell);
		Location   *location = &removed->location;

		CHECK_FOR_INTERRUPTS();
		if (removed->fate != LOCATION_REMOVED || !location->primary ||
			is_any_node(location->node) ||
			!is_data_file(&(Asset) {location->asset, location->object}) || files_at(holdings, location->node) > 0)
			continue;
		if (!found)
			find_successors(assets_of(old), assets, &successors);
		found = true;
		if (!choose_successor(&successors, location->node, &successor))
			refuse_last_replica(location);
	}
}

/* See that the replicas which a change adds or removes are whole, and that it leaves one. */
void
check_replicas(const Jsonb *old, const Jsonb *new, const Change *change, bool complete)
{
	const JsonbContainer *assets = assets_of(new);
	Holdings	holdings;
	ListCell   *cell;

	if (change->doubled)
		refuse_doubled(change->doubled);
	if (change->locations == NIL)
		return;
	holdings = count_holdings(assets, assets);
	check_successor(old, assets, &holdings, change);
	foreach(cell, change->locations)
	{
		LocationChange *location = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (complete && location->fate != LOCATION_ALTERED &&
			!is_any_node(location->location.node))
			check_completeness(assets, &holdings, location->location.node);
	}
}

/* Refuse a location that claims other content than its asset has. */
void
check_replica_content(const Jsonb *document, const Change *change)
{
	static const JsonKey members[] = {JSON_KEY("file:checksum"), JSON_KEY("file:size")};
	ListCell   *cell;

	foreach(cell, change->locations)
	{
		LocationChange *location = lfirst(cell);
		JsonKey		path[3] = {JSON_KEY("assets"), location->location.asset, {NULL, 0}};

		CHECK_FOR_INTERRUPTS();
		if (location->fate == LOCATION_REMOVED || location->location.primary)
			continue;
		for (int i = 0; i < (int) lengthof(members); i++)
		{
			JsonbValue	claimed;
			JsonbValue	actual;

			path[2] = members[i];
			if (document_get(location->location.object, &claimed, 1, &members[i]) && claimed.type != jbvNull &&
				document_get(&document->root, &actual, 3, path) && actual.type != jbvNull &&
				!values_equal(&claimed, &actual))
				ereport(ERROR,
						(errproblem(PROBLEM_CONTENT_CHANGED), errtable_of("item"),
						 errmsg("a replica has the content of its file"),
						 errdetail_pointer(psprintf("%s/%s", location_pointer(&location->location), members[i].data), "differs from the file's"),
						 errhint("Check the copy at the data node.")));
		}
	}
}
