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
named_entry(const JsonbValue *entry, JsonKey node)
{
	JsonbValue	name;
	JsonbValue	result = *entry;
	DocumentEdit *edit;
	Jsonb	   *named;

	if (document_get(entry->val.binary.data, &name, JSON_PATH(JSON_KEY("alternate:name"))) && name.type != jbvNull)
		return result;
	name.type = jbvString;
	name.val.string.val = (char *) node.data;
	name.val.string.len = node.len;
	edit = document_edit(JsonbValueToJsonb(&result));
	document_set(edit, &name, JSON_PATH(JSON_KEY("alternate:name")));
	named = document_finish(edit);
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
add_entry(DocumentEdit *edit, List *assets, JsonKey key, JsonKey node, const JsonbValue *entry)
{
	Asset	   *asset = find_asset(assets, key);
	JsonKey		path[4] = {JSON_KEY("assets"), key, JSON_KEY("alternate"), node};
	JsonbValue	value = named_entry(entry, node);
	Location	wanted = {key, node, false, value.val.binary.data};
	Location   *there;
	JsonbValue	alternate;

	if (asset == NULL)
		ereport(ERROR,
				(errproblem(PROBLEM_PATCH_DOES_NOT_APPLY), errtable_of("item"),
				 errsentence("the item has no asset \"%.*s\"", key.len, key.data),
				 errdetail("/assets/%.*s: does not exist", key.len, key.data)));
	there = location_at(asset, node);
	if (there && same_location(there, &wanted))
		return;
	if (there)
		ereport(ERROR,
				(errproblem(PROBLEM_REPLICA_ALREADY_EXISTS), errtable_of("item"),
				 errsentence("node \"%.*s\" has another location of asset \"%.*s\"", node.len, node.data, key.len, key.data),
				 errdetail("%s: is there, and differs", location_pointer(there)),
				 errhint("Remove the replica first, or replace the location by a patch.")));
	if (document_get(asset->object, &alternate, 1, &path[2]) && alternate.type == jbvNull)
		document_remove(edit, 3, path);
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
		add_entry(edit, assets, (JsonKey) {key.val.string.val, key.val.string.len}, key_of_text(node), &value);
	}
	return document_finish(edit);
}

/* Would a node have every data file that there was, some of which must be left? */
static bool
takes_over(List *old, List *new, JsonKey node)
{
	bool		had_files = false;
	bool		files_left = false;
	ListCell   *cell;

	foreach(cell, old)
	{
		Asset	   *was = lfirst(cell);
		Asset	   *is = old == new ? was : find_asset(new, was->key);

		if (!was->data_file)
			continue;
		if (location_at(is ? is : was, node) == NULL)
			return false;
		had_files = true;
		files_left |= is != NULL;
	}
	return files_left || !had_files;
}

/* Order nodes by their names. */
static bool
comes_before(JsonKey a, JsonKey b)
{
	int			result = memcmp(a.data, b.data, Min(a.len, b.len));

	return result ? result < 0 : a.len < b.len;
}

/* Choose the node whose locations become primary when another goes; false if none has every data file. */
static bool
choose_successor(List *old, List *new, JsonKey leaving, JsonKey *successor)
{
	bool		found = false;
	ListCell   *cell;
	ListCell   *other;

	foreach(cell, new)
	{
		foreach(other, ((Asset *) lfirst(cell))->locations)
		{
			Location   *location = lfirst(other);

			if (keys_equal(location->node, leaving) || (found && !comes_before(location->node, *successor)) ||
				!takes_over(old, new, location->node))
				continue;
			*successor = location->node;
			found = true;
		}
	}
	return found;
}

/* Refuse to leave files without a node that has all of them. */
void
refuse_last_replica(const Location *location)
{
	ereport(ERROR,
			(errproblem(PROBLEM_LAST_REPLICA), errtable_of("item"),
			 errsentence("no other node than \"%.*s\" has every data file", location->node.len, location->node.data),
			 errdetail("%s: is a primary location that no other node could take over", location_pointer(location)),
			 errhint("Retract or delete the item, or let another node add its replica first.")));
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
	Location   *entry = location_at(asset, successor);
	ListCell   *cell;

	foreach(cell, asset->locations)
	{
		Location   *location = lfirst(cell);

		if (!location->primary && (entry == NULL ||
								   (!keys_equal(entry->node, successor) && comes_before(location->node, entry->node))))
			entry = location;
	}
	if (entry)
		promote(edit, asset, entry);
	else
		document_remove(edit, 2, path);
}

/* The locations of an item at one node, as they are removed; refused if there are none. */
static List *
locations_to_remove(List *assets, JsonKey node)
{
	List	   *locations = NIL;
	ListCell   *cell;

	foreach(cell, assets)
	{
		Location   *location = location_at(lfirst(cell), node);
		LocationChange *removed;

		if (location == NULL || keys_equal(node, (JsonKey) JSON_KEY(ANY_NODE)))
			continue;
		removed = palloc(sizeof(LocationChange));
		removed->fate = LOCATION_REMOVED;
		removed->location = *location;
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
	List	   *assets = list_assets(document);
	JsonKey		successor = {NULL, 0};
	bool		has_successor = choose_successor(assets, assets, leaving, &successor);
	ListCell   *cell;

	memset(change, 0, sizeof(*change));
	change->locations = locations_to_remove(assets, leaving);
	foreach(cell, change->locations)
	{
		Location   *location = &((LocationChange *) lfirst(cell))->location;
		JsonKey		path[4] = {JSON_KEY("assets"), location->asset, JSON_KEY("alternate"), leaving};

		if (!location->primary)
			document_remove(edit, 4, path);
		else if (has_successor)
			remove_primary(edit, find_asset(assets, location->asset), successor);
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
			 errdetail("%s: is at the node of the primary location", location_pointer(location))));
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
				 errsentence("node \"%.*s\" would have %d of %d data files", node.len, node.data, present, present + missing),
				 errdetail("/assets/%.*s: has no location at this node", first_missing.len, first_missing.data),
				 errhint("Add or remove all files of a replica in one change.")));
}

/* Has a node any data file? */
static bool
has_data_files(List *assets, JsonKey node)
{
	ListCell   *cell;

	foreach(cell, assets)
		if (((Asset *) lfirst(cell))->data_file && location_at(lfirst(cell), node))
			return true;
	return false;
}

/* Refuse the removal of a node's primary locations that leaves no node with every data file. */
static void
check_successor(const Jsonb *old, List *assets, const Change *change)
{
	List	   *before = NIL;
	JsonKey		judged = JSON_KEY(ANY_NODE);
	JsonKey		successor;
	ListCell   *cell;

	foreach(cell, change->locations)
	{
		LocationChange *removed = lfirst(cell);
		Location   *location = &removed->location;

		if (removed->fate != LOCATION_REMOVED || !location->primary || keys_equal(location->node, judged) ||
			keys_equal(location->node, (JsonKey) JSON_KEY(ANY_NODE)) ||
			!is_data_file(location->asset, location->object) || has_data_files(assets, location->node))
			continue;
		judged = location->node;
		if (before == NIL)
			before = list_assets(old);
		if (!choose_successor(before, assets, location->node, &successor))
			refuse_last_replica(location);
	}
}

/* See that the replicas which a change adds or removes are whole, and that it leaves one. */
void
check_replicas(const Jsonb *old, const Jsonb *new, const Change *change, bool complete)
{
	List	   *assets = change->locations == NIL ? NIL : list_assets(new);
	List	   *judged = NIL;
	ListCell   *cell;

	if (change->doubled)
		refuse_doubled(change->doubled);
	check_successor(old, assets, change);
	foreach(cell, change->locations)
	{
		LocationChange *location = lfirst(cell);
		ListCell   *other;
		bool		known = false;

		CHECK_FOR_INTERRUPTS();
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
