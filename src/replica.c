/*
 * replica.c
 *		Adds and removes replicas, and sees that none is left in pieces: see
 *		replica.h.
 *
 * To promote a location is to make an entry of `alternate` the primary one: its
 * href, alternate:name, protocol, file:local_path and stamps become the
 * asset's, and what describes the content stays.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "document.h"
#include "errors.h"
#include "replica.h"

/* The members of an asset that a promoted entry brings. */
static const JsonKey promoted_members[] = {
	JSON_KEY("href"), JSON_KEY("alternate:name"), JSON_KEY("protocol"), JSON_KEY("file:local_path"),
	JSON_KEY("created"), JSON_KEY("updated")
};

/* An asset of a document, with all its locations. */
typedef struct Asset
{
	JsonKey		key;
	JsonbContainer *object;
	List	   *locations;
	bool		data_file;
} Asset;

/* Is a value an object? */
static bool
is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

/* All assets of a document. */
static List *
list_assets(const Jsonb *document)
{
	List	   *assets = NIL;
	JsonbIterator *iterator;
	JsonbValue	key;
	JsonbValue	value;

	if (!document_get(&document->root, &value, JSON_PATH(JSON_KEY("assets"))) || !is_object(&value))
		return NIL;
	iterator = JsonbIteratorInit(value.val.binary.data);
	JsonbIteratorNext(&iterator, &key, true);
	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		Asset	   *asset;

		JsonbIteratorNext(&iterator, &value, true);
		if (!is_object(&value))
			continue;
		asset = palloc(sizeof(Asset));
		asset->key = (JsonKey) {key.val.string.val, key.val.string.len};
		asset->object = value.val.binary.data;
		asset->locations = asset_locations(asset->key, asset->object);
		asset->data_file = is_data_file(asset->key, asset->object);
		assets = lappend(assets, asset);
	}
	return assets;
}

/* The location of an asset at a node, or NULL. */
static Location *
location_at(const Asset *asset, JsonKey node)
{
	ListCell   *cell;

	foreach(cell, asset->locations)
		if (keys_equal(((Location *) lfirst(cell))->node, node))
			return lfirst(cell);
	return NULL;
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
				 errdetail("/alternates: must be an object of entries by asset key")));
	iterator = JsonbIteratorInit((JsonbContainer *) &alternates->root);
	JsonbIteratorNext(&iterator, &key, true);
	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		JsonbIteratorNext(&iterator, &value, true);
		if (!is_object(&value))
			ereport(ERROR,
					(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
					 errmsg("an entry of alternates must be an object"),
					 errdetail("/alternates/%.*s: must be an object", key.val.string.len, key.val.string.val)));
	}
}

/* An entry of `alternate` for a node, its alternate:name filled in. */
static JsonbValue
named_entry(JsonbContainer *entry, JsonKey node)
{
	JsonbValue	name;
	JsonbValue	source;
	JsonbValue	result;
	DocumentEdit *edit;
	Jsonb	   *named;

	source.type = jbvBinary;
	source.val.binary.data = entry;
	source.val.binary.len = 0;
	if (document_get(entry, &name, JSON_PATH(JSON_KEY("alternate:name"))) && name.type != jbvNull)
		return source;
	name.type = jbvString;
	name.val.string.val = (char *) node.data;
	name.val.string.len = node.len;
	edit = document_edit(JsonbValueToJsonb(&source));
	document_set(edit, &name, JSON_PATH(JSON_KEY("alternate:name")));
	named = document_finish(edit);
	result.type = jbvBinary;
	result.val.binary.data = &named->root;
	result.val.binary.len = VARSIZE(named) - VARHDRSZ;
	return result;
}

/* Find an asset by its key, or NULL. */
static Asset *
find_asset(List *assets, JsonKey key)
{
	ListCell   *cell;

	foreach(cell, assets)
		if (keys_equal(((Asset *) lfirst(cell))->key, key))
			return lfirst(cell);
	return NULL;
}

/* Add one entry of a replica; the same location again is nothing. */
static void
add_entry(DocumentEdit *edit, List *assets, JsonKey key, JsonKey node, JsonbContainer *entry)
{
	Asset	   *asset = find_asset(assets, key);
	JsonKey		path[4] = {JSON_KEY("assets"), key, JSON_KEY("alternate"), node};
	JsonbValue	value = named_entry(entry, node);
	Location	wanted = {key, node, false, value.val.binary.data};
	Location   *there;

	if (asset == NULL)
		ereport(ERROR,
				(errproblem(PROBLEM_PATCH_DOES_NOT_APPLY), errtable_of("item"),
				 errmsg("the item has no asset \"%.*s\"", key.len, key.data),
				 errdetail("/assets/%.*s: does not exist", key.len, key.data)));
	there = location_at(asset, node);
	if (there && same_location(there, &wanted))
		return;
	if (there)
		ereport(ERROR,
				(errproblem(PROBLEM_REPLICA_ALREADY_EXISTS), errtable_of("item"),
				 errmsg("node \"%.*s\" has another location of asset \"%.*s\"", node.len, node.data, key.len, key.data),
				 errdetail("%s: is there, and differs", location_pointer(there)),
				 errhint("Remove the replica first, or replace the location by a patch.")));
	document_set(edit, &value, 4, path);
}

/* A document with a replica at a node. */
Jsonb *
add_replica(Jsonb *document, const text *node, Jsonb *alternates)
{
	DocumentEdit *edit = document_edit(document);
	List	   *assets = list_assets(document);
	JsonbIterator *iterator = JsonbIteratorInit(&alternates->root);
	JsonbValue	key;
	JsonbValue	value;

	JsonbIteratorNext(&iterator, &key, true);
	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		JsonbIteratorNext(&iterator, &value, true);
		add_entry(edit, assets, (JsonKey) {key.val.string.val, key.val.string.len}, key_of_text(node),
				  value.val.binary.data);
	}
	return document_finish(edit);
}

/* Does a node hold every data file? */
static bool
covers_data_files(List *assets, JsonKey node)
{
	ListCell   *cell;

	foreach(cell, assets)
	{
		Asset	   *asset = lfirst(cell);

		if (asset->data_file && location_at(asset, node) == NULL)
			return false;
	}
	return true;
}

/* Order nodes by their names. */
static bool
comes_before(JsonKey a, JsonKey b)
{
	int			result = memcmp(a.data, b.data, Min(a.len, b.len));

	return result ? result < 0 : a.len < b.len;
}

/* Choose the node whose locations become primary when another goes; false if none covers every data file. */
static bool
choose_successor(List *assets, JsonKey leaving, JsonKey *successor)
{
	bool		found = false;
	ListCell   *cell;
	ListCell   *other;

	foreach(cell, assets)
	{
		foreach(other, ((Asset *) lfirst(cell))->locations)
		{
			Location   *location = lfirst(other);

			if (keys_equal(location->node, leaving) || (found && !comes_before(location->node, *successor)) ||
				!covers_data_files(assets, location->node))
				continue;
			*successor = location->node;
			found = true;
		}
	}
	return found;
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
 * any other node's; an asset that nobody else has goes with it.
 */
static void
remove_primary(DocumentEdit *edit, const Asset *asset, JsonKey successor)
{
	JsonKey		path[2] = {JSON_KEY("assets"), asset->key};
	Location   *entry = location_at(asset, successor);

	if (entry == NULL && list_length(asset->locations) > 1)
		entry = lsecond(asset->locations);
	if (entry)
		promote(edit, asset, entry);
	else
		document_remove(edit, 2, path);
}

/* A document without the replica of a node. */
Jsonb *
remove_replica(Jsonb *document, const text *node)
{
	JsonKey		leaving = key_of_text(node);
	DocumentEdit *edit = document_edit(document);
	List	   *assets = list_assets(document);
	JsonKey		successor = {NULL, 0};
	bool		found = false;
	bool		has_successor = choose_successor(assets, leaving, &successor);
	ListCell   *cell;

	foreach(cell, assets)
	{
		Asset	   *asset = lfirst(cell);
		Location   *location = location_at(asset, leaving);
		JsonKey		path[4] = {JSON_KEY("assets"), asset->key, JSON_KEY("alternate"), leaving};

		if (location == NULL)
			continue;
		found = true;
		if (!location->primary)
			document_remove(edit, 4, path);
		else if (has_successor)
			remove_primary(edit, asset, successor);
		else
			ereport(ERROR,
					(errproblem(PROBLEM_LAST_REPLICA), errtable_of("item"),
					 errmsg("no other node than \"%.*s\" has every data file", leaving.len, leaving.data),
					 errdetail("%s: is a primary location that no other node could take over", location_pointer(location)),
					 errhint("Retract or delete the item, or let another node add its replica first.")));
	}
	if (!found)
		ereport(ERROR,
				(errproblem(PROBLEM_REPLICA_DOES_NOT_EXIST), errtable_of("item"),
				 errmsg("node \"%.*s\" has no replica of the item", leaving.len, leaving.data)));
	return document_finish(edit);
}

/* Refuse two locations of one asset at one node. */
static void
check_one_location_a_node(const Asset *asset)
{
	ListCell   *cell;
	Location   *primary = linitial(asset->locations);

	foreach(cell, asset->locations)
	{
		Location   *location = lfirst(cell);

		if (!location->primary && keys_equal(location->node, primary->node))
			ereport(ERROR,
					(errproblem(PROBLEM_REPLICA_ALREADY_EXISTS), errtable_of("item"),
					 errmsg("asset \"%.*s\" would have two locations at node \"%.*s\"",
							asset->key.len, asset->key.data, location->node.len, location->node.data),
					 errdetail("%s: is at the node of the primary location", location_pointer(location))));
	}
}

/* Refuse a replica that has some data files and lacks others. */
static void
check_completeness(List *assets, JsonKey node)
{
	int			present = 0;
	int			missing = 0;
	JsonKey		first_missing = {NULL, 0};
	ListCell   *cell;

	foreach(cell, assets)
	{
		Asset	   *asset = lfirst(cell);

		if (!asset->data_file)
			continue;
		if (location_at(asset, node))
			present++;
		else if (missing++ == 0)
			first_missing = asset->key;
	}
	if (present > 0 && missing > 0)
		ereport(ERROR,
				(errproblem(PROBLEM_REPLICA_INCOMPLETE), errtable_of("item"),
				 errmsg("node \"%.*s\" would have %d of %d data files", node.len, node.data, present, present + missing),
				 errdetail("/assets/%.*s: has no location at this node", first_missing.len, first_missing.data),
				 errhint("Add or remove all files of a replica in one change.")));
}

/* See that the replicas which a change adds or removes are whole. */
void
check_replicas(const Jsonb *document, const Change *change, bool complete)
{
	List	   *assets = NIL;
	List	   *judged = NIL;
	ListCell   *cell;

	foreach(cell, change->locations)
	{
		LocationChange *location = lfirst(cell);
		Asset	   *asset;
		ListCell   *other;
		bool		known = false;

		CHECK_FOR_INTERRUPTS();
		if (assets == NIL)
			assets = list_assets(document);
		asset = find_asset(assets, location->location.asset);
		if (asset && location->fate != LOCATION_REMOVED)
			check_one_location_a_node(asset);
		foreach(other, judged)
			known |= keys_equal(*(JsonKey *) lfirst(other), location->location.node);
		if (known || !complete || location->fate == LOCATION_ALTERED ||
			keys_equal(location->location.node, (JsonKey) JSON_KEY(ANY_NODE)))
			continue;
		judged = lappend(judged, &location->location.node);
		check_completeness(assets, location->location.node);
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
						 errdetail("%s/%s: differs from the file's", location_pointer(&location->location), members[i].data),
						 errhint("Check the copy at the data node.")));
		}
	}
}
