/*
 * change/replica.c
 *		Adds and removes replicas: see change/replica.h.
 *
 * To promote a location is to make an entry of `alternate` the primary one: its
 * href, alternate:name, protocol, file:local_path and stamps become the
 * asset's, and what describes the content stays.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/errors.h"
#include "base/problems.h"
#include "change/holdings.h"
#include "change/replica.h"
#include "change/same.h"

/* A text as a key. */
static JsonKey
key_of_text(const text *value)
{
	return (JsonKey) {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
}

/* Refuse what is no list of entries by asset. */
void
check_alternates_form(const Jsonb *alternates)
{
	MemberCursor entries;

	if (!JB_ROOT_IS_OBJECT(alternates) || JB_ROOT_COUNT(alternates) == 0)
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
				 errmsg("alternates must be an object of entries by asset key"),
				 errdetail_pointer("/alternates", "must be an object of entries by asset key")));
	members_init(&entries, &alternates->root);
	while (members_next(&entries))
	{
		if (!slice_is_object(&entries.value))
		{
			Place		all = MEMBER_PLACE(NULL, "alternates");
			Place		entry = {&all, entries.key.data, entries.key.len, 0};

			ereport(ERROR,
					(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
					 errmsg("an entry of alternates must be an object"),
					 errdetail_place(&entry, "must be an object")));
		}
	}
}

/* An entry of `alternate` for a node, its alternate:name filled in. */
static JsonbValue
named_entry(const JsonbSlice *entry, JsonKey node, MemoryContext scratch)
{
	JsonbValue	name;
	JsonbValue	result;
	DocumentEdit *edit;
	Jsonb	   *named;
	MemoryContext old;

	slice_to_value(entry, &result);
	if (document_get(slice_container(entry), &name, JSON_PATH(JSON_KEY("alternate:name"))) && name.type != jbvNull)
		return result;
	name.type = jbvString;
	name.val.string.val = (char *) node.data;
	name.val.string.len = node.len;
	old = MemoryContextSwitchTo(scratch);
	edit = document_edit(JsonbValueToJsonb(&result));
	document_set(edit, &name, JSON_PATH(JSON_KEY("alternate:name")));
	named = document_finish(edit);
	MemoryContextSwitchTo(old);
	named = memcpy(palloc(VARSIZE(named)), named, VARSIZE(named));
	MemoryContextReset(scratch);
	result.val.binary.data = &named->root;
	result.val.binary.len = VARSIZE(named) - VARHDRSZ;
	return result;
}

/* Add one entry of a replica; the same location again is nothing. */
static void
add_entry(DocumentEdit *edit, const JsonbContainer *assets, JsonKey key, JsonKey node, const JsonbSlice *entry, MemoryContext scratch)
{
	Asset		asset;
	JsonKey		path[4] = {JSON_KEY("assets"), key, JSON_KEY("alternate"), node};
	JsonbValue	value = named_entry(entry, node, scratch);
	Location	wanted = {key, node, false, value.val.binary.data};
	Location	there;
	JsonbValue	alternate;

	CHECK_FOR_INTERRUPTS();
	if (!find_asset(assets, key, &asset))
		ereport(ERROR,
				(errproblem(PROBLEM_PATCH_DOES_NOT_APPLY), errtable_of("item"),
				 errsentence("the item has no asset \"%.*s\"", key.len, key.data),
				 errdetail_pointer(asset_pointer(key), "does not exist")));
	if (find_location(&asset, node, &there))
	{
		if (same_location(&there, &wanted))
			return;
		ereport(ERROR,
				(errproblem(PROBLEM_REPLICA_ALREADY_EXISTS), errtable_of("item"),
				 errsentence("node \"%.*s\" has another location of asset \"%.*s\"", node.len, node.data, key.len, key.data),
				 errdetail_pointer(location_pointer(&there), "is there, and differs"),
				 errhint("Remove the replica first, or replace the location by a patch.")));
	}
	if (document_get(asset.object, &alternate, 1, &path[2]) && alternate.type == jbvNull)
		document_remove(edit, 3, path);
	document_set(edit, &value, 4, path);
}

/* A document with a replica at a node. */
Jsonb *
add_replica(Jsonb *document, const text *node, Jsonb *alternates)
{
	DocumentEdit *edit = document_edit(document);
	const JsonbContainer *assets = assets_of(document);
	MemberCursor entries;
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "esgf_stac entry of a replica", ALLOCSET_SMALL_SIZES);

	members_init(&entries, &alternates->root);
	while (members_next(&entries))
		add_entry(edit, assets, slice_key(&entries.key), key_of_text(node), &entries.value, scratch);
	return document_finish(edit);
}

/* Give an asset a member of an entry of its `alternate`, or its absence. */
static void
promote_member(DocumentEdit *edit, const Location *entry, JsonKey key)
{
	JsonKey		path[3] = {JSON_KEY("assets"), entry->asset, key};
	JsonbValue	value;

	if (document_get(entry->object, &value, 1, &key))
		document_set(edit, &value, 3, path);
	else
		document_remove(edit, 3, path);
}

/* Make an entry of an asset's `alternate` its primary location. */
static void
promote(DocumentEdit *edit, const Location *entry)
{
	JsonKey		path[4] = {JSON_KEY("assets"), entry->asset, JSON_KEY("alternate"), entry->node};

	for (int i = 0; i < LOCATION_MEMBERS; i++)
		promote_member(edit, entry, location_members[i]);
	for (int i = 0; i < STAMP_MEMBERS; i++)
		promote_member(edit, entry, stamp_members[i]);
	document_remove(edit, 4, path);
}

/*
 * Take the primary location of an asset away: the successor's becomes it, else
 * that of the first other node; an asset that nobody else has goes with it.
 */
static void
remove_primary(DocumentEdit *edit, const Asset *asset, JsonKey successor)
{
	JsonKey		path[2] = {JSON_KEY("assets"), asset->key};
	LocationWalk locations;
	Location	location;
	Location	entry;
	bool		found = find_location(asset, successor, &entry);

	if (!found)
	{
		begin_locations(&locations, asset);
		while (next_location(&locations, &location))
		{
			if (location.primary || (found && !comes_before(location.node, entry.node)))
				continue;
			entry = location;
			found = true;
		}
	}
	if (found)
		promote(edit, &entry);
	else
		document_remove(edit, 2, path);
}

/* Note the locations of an item at one node, as they are removed; refused if there are none. */
static void
note_removed(Change *change, const JsonbContainer *assets, JsonKey node)
{
	MemberCursor walk = begin_assets(assets);
	Asset		asset;
	Location	location;

	while (!is_any_node(node) && next_asset(&walk, &asset))
		if (find_location(&asset, node, &location))
			note_location(change, LOCATION_REMOVED, &location);
	if (change->locations == NIL)
		ereport(ERROR,
				(errproblem(PROBLEM_REPLICA_DOES_NOT_EXIST), errtable_of("item"),
				 errsentence("node \"%.*s\" has no replica of the item", node.len, node.data)));
}

/*
 * A document without the replica of a node, whose locations go to *change; or
 * NULL, and the primary location that no other node could take over.
 */
Jsonb *
remove_replica(Jsonb *document, const text *node, Change *change, const Location **last)
{
	JsonKey		leaving = key_of_text(node);
	DocumentEdit *edit = document_edit(document);
	const JsonbContainer *assets = assets_of(document);
	Successors	successors;
	JsonKey		successor = {NULL, 0};
	bool		has_successor;
	Asset		asset;
	ListCell   *cell;

	memset(change, 0, sizeof(*change));
	note_removed(change, assets, leaving);
	find_successors(assets, assets, &successors);
	has_successor = choose_successor(&successors, leaving, &successor);
	foreach(cell, change->locations)
	{
		Location   *location = &((LocationChange *) lfirst(cell))->location;
		JsonKey		path[4] = {JSON_KEY("assets"), location->asset, JSON_KEY("alternate"), leaving};

		CHECK_FOR_INTERRUPTS();
		if (!location->primary)
			document_remove(edit, 4, path);
		else if (has_successor && find_asset(assets, location->asset, &asset))
			remove_primary(edit, &asset, successor);
		else
		{
			*last = location;
			return NULL;
		}
	}
	return document_finish(edit);
}
