/*
 * change/replica.c
 *		Adds and removes replicas, and sees that none is left in pieces: see
 *		change/replica.h.
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
#include "change/replica.h"
#include "json/edit.h"
#include "json/key_table.h"

/* The members of an asset that a promoted entry brings. */
static const JsonKey promoted_members[] = {
	JSON_KEY("href"), JSON_KEY("alternate:name"), JSON_KEY("protocol"), JSON_KEY("file:local_path"),
	JSON_KEY("created"), JSON_KEY("updated")
};

/* An asset of a document. */
typedef struct Asset
{
	JsonKey		key;
	JsonbContainer *object;
	bool		data_file;
} Asset;

/* The data files of a document, and how many of them each node has. */
typedef struct Holdings
{
	uint32		data_files;
	KeyTable   *nodes;
} Holdings;

/* The two nodes, first by name, that could take over from another. */
typedef struct Successors
{
	int			count;
	JsonKey		nodes[2];
} Successors;

/* Where an asset stands in its document. */
static char *
asset_pointer(JsonKey key)
{
	Place		assets = MEMBER_PLACE(NULL, "assets");
	Place		asset = {&assets, key.data, key.len, 0};

	return place_pointer(&asset);
}

/* Is a value an object? */
static bool
is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

/* The `assets` of a document; NULL if it has none. */
static JsonbContainer *
assets_of(const Jsonb *document)
{
	JsonbValue	value;

	if (!document_get(&document->root, &value, JSON_PATH(JSON_KEY("assets"))) || !is_object(&value))
		return NULL;
	return value.val.binary.data;
}

/* Find an asset by its key; false if there is none. */
static bool
find_asset(JsonbContainer *assets, JsonKey key, Asset *asset)
{
	JsonbValue	value;

	if (assets == NULL || !document_get(assets, &value, 1, &key) || !is_object(&value))
		return false;
	*asset = (Asset) {key, value.val.binary.data, is_data_file(key, value.val.binary.data)};
	return true;
}

/* Begin to walk over the assets of a document; NULL if it has none. */
static JsonbIterator *
begin_assets(JsonbContainer *assets)
{
	JsonbIterator *iterator;
	JsonbValue	ignored;

	if (assets == NULL)
		return NULL;
	iterator = JsonbIteratorInit(assets);
	JsonbIteratorNext(&iterator, &ignored, true);
	return iterator;
}

/* The next asset; false after the last. */
static bool
next_asset(JsonbIterator **iterator, Asset *asset)
{
	JsonbValue	key;
	JsonbValue	value;

	while (*iterator && JsonbIteratorNext(iterator, &key, true) == WJB_KEY)
	{
		CHECK_FOR_INTERRUPTS();
		JsonbIteratorNext(iterator, &value, true);
		if (!is_object(&value))
			continue;
		asset->key = (JsonKey) {key.val.string.val, key.val.string.len};
		asset->object = value.val.binary.data;
		asset->data_file = is_data_file(asset->key, asset->object);
		return true;
	}
	return false;
}

/* Count a file at each node that has it; a node may have two locations of it. */
static void
count_file(Holdings *holdings, const Asset *asset)
{
	LocationWalk locations;
	Location	location;
	JsonKey		primary = {"", 0};
	bool		found;

	holdings->data_files++;
	begin_locations(&locations, asset->key, asset->object);
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
static Holdings
count_holdings(JsonbContainer *files, JsonbContainer *assets)
{
	Holdings	holdings = {0, make_key_table()};
	JsonbIterator *iterator = begin_assets(files);
	Asset		file;
	Asset		asset;

	while (next_asset(&iterator, &file))
		if (file.data_file)
			count_file(&holdings, files != assets && find_asset(assets, file.key, &asset) ? &asset : &file);
	return holdings;
}

/* How many data files has a node? */
static uint32
files_at(const Holdings *holdings, JsonKey node)
{
	KeyEntry   *entry = find_entry(holdings->nodes, node);

	return entry ? entry->count : 0;
}

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
	JsonbIterator *iterator;
	JsonbValue	key;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(alternates) || JB_ROOT_COUNT(alternates) == 0)
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
				 errmsg("alternates must be an object of entries by asset key"),
				 errdetail_pointer("/alternates", "must be an object of entries by asset key")));
	iterator = JsonbIteratorInit((JsonbContainer *) &alternates->root);
	JsonbIteratorNext(&iterator, &key, true);
	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		JsonbIteratorNext(&iterator, &value, true);
		if (!is_object(&value))
		{
			Place		all = MEMBER_PLACE(NULL, "alternates");
			Place		entry = {&all, key.val.string.val, key.val.string.len, 0};

			ereport(ERROR,
					(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
					 errmsg("an entry of alternates must be an object"),
					 errdetail_place(&entry, "must be an object")));
		}
	}
}

/* An entry of `alternate` for a node, its alternate:name filled in. */
static JsonbValue
named_entry(const JsonbValue *entry, JsonKey node, MemoryContext scratch)
{
	JsonbValue	name;
	JsonbValue	result = *entry;
	DocumentEdit *edit;
	Jsonb	   *named;
	MemoryContext old;

	if (document_get(entry->val.binary.data, &name, JSON_PATH(JSON_KEY("alternate:name"))) && name.type != jbvNull)
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
add_entry(DocumentEdit *edit, JsonbContainer *assets, JsonKey key, JsonKey node, const JsonbValue *entry, MemoryContext scratch)
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
	if (find_location(key, asset.object, node, &there))
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
	JsonbContainer *assets = assets_of(document);
	JsonbIterator *iterator = JsonbIteratorInit(&alternates->root);
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "esgf_stac entry of a replica", ALLOCSET_SMALL_SIZES);
	JsonbValue	key;
	JsonbValue	value;

	JsonbIteratorNext(&iterator, &key, true);
	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		JsonbIteratorNext(&iterator, &value, true);
		add_entry(edit, assets, (JsonKey) {key.val.string.val, key.val.string.len}, key_of_text(node), &value, scratch);
	}
	return document_finish(edit);
}

/* Order nodes by their names. */
static bool
comes_before(JsonKey a, JsonKey b)
{
	int			result = memcmp(a.data, b.data, Min(a.len, b.len));

	return result ? result < 0 : a.len < b.len;
}

/* Is a data file of one document still in another? */
static bool
files_left(JsonbContainer *old, JsonbContainer *new)
{
	JsonbIterator *iterator = begin_assets(old);
	Asset		file;
	Asset		asset;

	while (next_asset(&iterator, &file))
		if (file.data_file && find_asset(new, file.key, &asset))
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
static void
find_successors(JsonbContainer *old, JsonbContainer *new, Successors *successors)
{
	Holdings	holdings = count_holdings(old, new);
	JsonbIterator *iterator = begin_assets(new);
	LocationWalk locations;
	Location	location;
	Asset		asset;

	successors->count = 0;
	if (holdings.data_files > 0 && old != new && !files_left(old, new))
		return;
	while (next_asset(&iterator, &asset))
	{
		begin_locations(&locations, asset.key, asset.object);
		while (next_location(&locations, &location))
			if (files_at(&holdings, location.node) == holdings.data_files)
				note_successor(successors, location.node);
	}
}

/* Choose the node whose locations become primary when another goes; false if none has every data file. */
static bool
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

/* Make an entry of an asset's `alternate` its primary location. */
static void
promote(DocumentEdit *edit, const Asset *asset, const Location *entry)
{
	JsonKey		path[4] = {JSON_KEY("assets"), asset->key, JSON_KEY("alternate"), entry->node};
	JsonbValue	value;

	for (int i = 0; i < (int) lengthof(promoted_members); i++)
	{
		JsonKey		member[3] = {path[0], asset->key, promoted_members[i]};

		if (document_get(entry->object, &value, 1, &promoted_members[i]))
			document_set(edit, &value, 3, member);
		else
			document_remove(edit, 3, member);
	}
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
	bool		found = find_location(asset->key, asset->object, successor, &entry);

	if (!found)
	{
		begin_locations(&locations, asset->key, asset->object);
		while (next_location(&locations, &location))
		{
			if (location.primary || (found && !comes_before(location.node, entry.node)))
				continue;
			entry = location;
			found = true;
		}
	}
	if (found)
		promote(edit, asset, &entry);
	else
		document_remove(edit, 2, path);
}

/* The locations of an item at one node, as they are removed; refused if there are none. */
static List *
locations_to_remove(JsonbContainer *assets, JsonKey node)
{
	List	   *locations = NIL;
	JsonbIterator *iterator = begin_assets(assets);
	Asset		asset;
	Location	location;

	while (!keys_equal(node, (JsonKey) JSON_KEY(ANY_NODE)) && next_asset(&iterator, &asset))
	{
		LocationChange *removed;

		if (!find_location(asset.key, asset.object, node, &location))
			continue;
		removed = palloc(sizeof(LocationChange));
		removed->fate = LOCATION_REMOVED;
		removed->location = location;
		locations = lappend(locations, removed);
	}
	if (locations == NIL)
		ereport(ERROR,
				(errproblem(PROBLEM_REPLICA_DOES_NOT_EXIST), errtable_of("item"),
				 errsentence("node \"%.*s\" has no replica of the item", node.len, node.data)));
	return locations;
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
	JsonbContainer *assets = assets_of(document);
	Successors	successors;
	JsonKey		successor = {NULL, 0};
	bool		has_successor;
	Asset		asset;
	ListCell   *cell;

	memset(change, 0, sizeof(*change));
	change->locations = locations_to_remove(assets, leaving);
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
first_missing_file(JsonbContainer *assets, JsonKey node)
{
	JsonbIterator *iterator = begin_assets(assets);
	Asset		asset;
	Location	location;

	while (next_asset(&iterator, &asset))
		if (asset.data_file && !find_location(asset.key, asset.object, node, &location))
			return asset.key;
	return (JsonKey) {"", 0};
}

/* Refuse a replica that has some data files and lacks others. */
static void
check_completeness(JsonbContainer *assets, const Holdings *holdings, JsonKey node)
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
check_successor(const Jsonb *old, JsonbContainer *assets, const Holdings *holdings, const Change *change)
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
			keys_equal(location->node, (JsonKey) JSON_KEY(ANY_NODE)) ||
			!is_data_file(location->asset, location->object) || files_at(holdings, location->node) > 0)
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
	JsonbContainer *assets = assets_of(new);
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
			!keys_equal(location->location.node, (JsonKey) JSON_KEY(ANY_NODE)))
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
