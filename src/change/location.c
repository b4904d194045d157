/*
 * change/location.c
 *		Walks over the assets of an item and their locations: see
 *		change/location.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/problems.h"
#include "change/location.h"

const JsonKey location_members[LOCATION_MEMBERS] = {
	JSON_KEY("href"), JSON_KEY("alternate:name"), JSON_KEY("protocol"), JSON_KEY("file:local_path")
};

const JsonKey stamp_members[STAMP_MEMBERS] = {JSON_KEY("created"), JSON_KEY("updated")};

/* The `assets` of a document; NULL if it has none. */
const JsonbContainer *
assets_of(const Jsonb *document)
{
	return document_object(&document->root, JSON_PATH(JSON_KEY("assets")));
}

/* Find an asset by its key; false if there is none. */
bool
find_asset(const JsonbContainer *assets, JsonKey key, Asset *asset)
{
	*asset = (Asset) {key, assets ? document_object(assets, 1, &key) : NULL};
	return asset->object != NULL;
}

/* Begin to walk over the assets of a document, which may have none. */
MemberCursor
begin_assets(const JsonbContainer *assets)
{
	MemberCursor walk;

	members_init(&walk, assets ? assets : &empty_object);
	return walk;
}

/* The next asset; false after the last. */
bool
next_asset(MemberCursor *walk, Asset *asset)
{
	CHECK_FOR_INTERRUPTS();
	if (!objects_next(walk))
		return false;
	*asset = (Asset) {slice_key(&walk->key), slice_container(&walk->value)};
	return true;
}

/* Is a role among those of an asset? */
static bool
has_role(const JsonbContainer *roles, const char *role)
{
	JsonbCursor elements;
	JsonbSlice	element;

	cursor_init(&elements, roles, 0);
	while (elements_next(&elements, &element))
		if (slice_is_string(&element, role))
			return true;
	return false;
}

/* Is an asset a file that every replica must have? */
bool
is_data_file(const Asset *asset)
{
	const JsonbContainer *roles;

	if (keys_equal(asset->key, (JsonKey) JSON_KEY("globus")) || keys_equal(asset->key, (JsonKey) JSON_KEY("reference_file")))
		return false;
	roles = document_array(asset->object, JSON_PATH(JSON_KEY("roles")));
	return roles && has_role(roles, "data") && !has_role(roles, "virtual");
}

/* Where an asset stands in its document. */
char *
asset_pointer(JsonKey key)
{
	Place		assets = MEMBER_PLACE(NULL, "assets");
	Place		asset = {&assets, key.data, key.len, 0};

	return place_pointer(&asset);
}

/* Is that the name of no node? */
bool
is_any_node(JsonKey node)
{
	return keys_equal(node, (JsonKey) JSON_KEY(ANY_NODE));
}

/* Is a key one of some? */
static bool
is_one_of(JsonKey key, const JsonKey *keys, int count)
{
	for (int i = 0; i < count; i++)
		if (keys_equal(key, keys[i]))
			return true;
	return false;
}

/* Is that the key of a stamp? */
bool
is_stamp(JsonKey key)
{
	return is_one_of(key, stamp_members, STAMP_MEMBERS);
}

/* Does a member of an asset say where it is, rather than what it is? */
bool
is_location_member(JsonKey key)
{
	return is_one_of(key, location_members, LOCATION_MEMBERS) || is_stamp(key) ||
		keys_equal(key, (JsonKey) JSON_KEY("alternate"));
}

/* The location that an asset itself is. */
Location
primary_location(const Asset *asset)
{
	Location	location = {asset->key, JSON_KEY(ANY_NODE), true, asset->object};
	JsonbSlice	name;

	if (document_slice(asset->object, &name, JSON_PATH(JSON_KEY("alternate:name"))) && name.type == JENTRY_ISSTRING)
		location.node = slice_key(&name);
	return location;
}

/* The location of an asset at a node, the primary one if it has two there; false if it has none. */
bool
find_location(const Asset *asset, JsonKey node, Location *location)
{
	*location = primary_location(asset);
	if (keys_equal(location->node, node))
		return true;
	*location = (Location) {asset->key, node, false, document_object(asset->object, JSON_PATH(JSON_KEY("alternate"), node))};
	return location->object != NULL;
}

/* Begin to walk over the locations of an asset, the primary one first. */
void
begin_locations(LocationWalk *locations, const Asset *asset)
{
	const JsonbContainer *alternates = document_object(asset->object, JSON_PATH(JSON_KEY("alternate")));

	locations->asset = *asset;
	members_init(&locations->alternates, alternates ? alternates : &empty_object);
	locations->at_primary = true;
}

/* The next location of an asset; false after the last. */
bool
next_location(LocationWalk *locations, Location *location)
{
	MemberCursor *alternates = &locations->alternates;

	CHECK_FOR_INTERRUPTS();
	if (locations->at_primary)
		*location = primary_location(&locations->asset);
	else if (objects_next(alternates))
		*location = (Location) {locations->asset.key, slice_key(&alternates->key), false, slice_container(&alternates->value)};
	else
		return false;
	locations->at_primary = false;
	return true;
}

/* Where a location stands in its document. */
char *
location_pointer(const Location *location)
{
	Place		assets = MEMBER_PLACE(NULL, "assets");
	Place		asset = {&assets, location->asset.data, location->asset.len, 0};
	Place		alternate = MEMBER_PLACE(&asset, "alternate");
	Place		node = {&alternate, location->node.data, location->node.len, 0};

	return place_pointer(location->primary ? &asset : &node);
}
