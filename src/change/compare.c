/*
 * change/compare.c
 *		What changed between two documents? See change/compare.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "change/compare.h"
#include "change/pairs.h"
#include "change/same.h"
#include "json/key_table.h"

/* Note what became of a location. */
void
note_location(Change *change, LocationFate fate, const Location *location)
{
	LocationChange *noted = palloc(sizeof(LocationChange));

	noted->fate = fate;
	noted->location = *location;
	change->locations = lappend(change->locations, noted);
}

/* Note a change of something that is neither a location nor a link appended. */
static void
note_other(Change *change, const Place *place)
{
	if (change->other == NULL)
		change->other = place_pointer(place);
}

/*
 * Is a location altered? It is also where it becomes primary, or is no longer,
 * unless it takes the place of a primary one that left its node.
 */
static bool
is_altered(const Location *was, const Location *is, const Asset *old, const Asset *new)
{
	Location	there;

	if (was->primary != is->primary &&
		(was->primary || find_location(new, primary_location(old).node, &there)))
		return true;
	return !same_location(was, is);
}

/* Compare the locations of one asset, before and after; NULL is no asset. */
static void
compare_locations(const Asset *old, const Asset *new, Change *change)
{
	LocationWalk locations;
	Location	was;
	Location	is;

	if (old)
		begin_locations(&locations, old);
	while (old && next_location(&locations, &was))
	{
		if (new == NULL || !find_location(new, was.node, &is))
			note_location(change, LOCATION_REMOVED, &was);
		else if (is_altered(&was, &is, old, new))
			note_location(change, LOCATION_ALTERED, &is);
	}
	if (new)
		begin_locations(&locations, new);
	while (new && next_location(&locations, &is))
	{
		bool		doubled = !is.primary && keys_equal(is.node, primary_location(new).node);

		if (doubled || old == NULL || !find_location(old, is.node, &was))
			note_location(change, LOCATION_ADDED, &is);
		if (doubled)
			change->doubled = &((LocationChange *) llast(change->locations))->location;
	}
}

/* Is an asset at one node only? */
static bool
has_one_location(const Asset *asset)
{
	LocationWalk locations;
	Location	location;

	begin_locations(&locations, asset);
	next_location(&locations, &location);
	return !next_location(&locations, &location);
}

/* Note an asset that may have gone with its one node. */
static void
note_gone(Change *change, const Asset *asset)
{
	Location   *location = palloc(sizeof(Location));

	*location = primary_location(asset);
	change->gone = lappend(change->gone, location);
}

/* The asset that a value is; NULL if it is none. */
static Asset *
asset_of(JsonKey key, const JsonbSlice *value, Asset *asset)
{
	if (value == NULL || !slice_is_object(value))
		return NULL;
	*asset = (Asset) {key, slice_container(value)};
	return asset;
}

/* Compare one asset. */
static void
compare_asset(const Place *place, const Pairs *pair, Change *change)
{
	Asset		before;
	Asset		after;
	Asset	   *old = asset_of(pair->key, pair->old, &before);
	Asset	   *new = asset_of(pair->key, pair->new, &after);

	compare_locations(old, new, change);
	if (old && pair->new == NULL && !is_data_file(old) && has_one_location(old))
		note_gone(change, old);
	else if (old == NULL || new == NULL || !same_content(old->object, new->object))
		note_other(change, place);
}

/* Compare one property; flags and stamps are judged elsewhere. */
static void
compare_property(const Place *place, const Pairs *pair, Change *change)
{
	if (!is_stamp_or_flag(pair->key) && !are_equal(pair))
		note_other(change, place);
}

typedef void (*Comparison) (const Place *place, const Pairs *pair, Change *change);

/* Compare two objects, at each of their differences. */
static void
compare_members(const Place *parent, const JsonbContainer *old, const JsonbContainer *new, Comparison compare, Change *change)
{
	Pairs		pairs;

	begin_pairs(&pairs, old, new);
	while (next_difference(&pairs))
	{
		Place		place = {parent, pairs.key.data, pairs.key.len, 0};

		compare(&place, &pairs, change);
	}
}

/* Does a string member of a link say this? */
static bool
link_says(const JsonbSlice *link, const char *member, const char *text)
{
	JsonKey		key = {member, strlen(member)};
	JsonbSlice	value;

	return slice_is_object(link) && document_slice(slice_container(link), &value, 1, &key) && slice_is_string(&value, text);
}

/* Do the first elements of an array equal another? Then stand behind them. */
static bool
begins_with(JsonbCursor *array, const JsonbContainer *other)
{
	JsonbCursor cursor;
	JsonbSlice	a;
	JsonbSlice	b;

	if (JsonContainerSize(array->container) < JsonContainerSize(other))
		return false;
	cursor_init(&cursor, other, 0);
	while (elements_next(&cursor, &b))
	{
		CHECK_FOR_INTERRUPTS();
		cursor_next(array, &a);
		if (!slices_equal(&a, &b))
			return false;
	}
	return true;
}

/* Compare the links: appended ones of certain kinds have rights of their own. */
static void
compare_links(const Place *place, const Pairs *pair, Change *change)
{
	bool		arrays = pair->old && pair->new && slice_is_array(pair->old) && slice_is_array(pair->new);
	Place		link_place = {place, NULL, 0, 0};
	JsonbCursor links;
	JsonbSlice	link;

	if (arrays)
		cursor_init(&links, slice_container(pair->new), 0);
	if (!arrays || !begins_with(&links, slice_container(pair->old)))
	{
		note_other(change, place);
		return;
	}
	while (link_place.index = links.index, elements_next(&links, &link))
	{
		CHECK_FOR_INTERRUPTS();
		if (link_says(&link, "rel", "cite-as") || link_says(&link, "rel", "citeas"))
			change->citation = true;
		else if (link_says(&link, "rel", "related") && link_says(&link, "title", "Errata issue"))
			change->errata = true;
		else
			note_other(change, &link_place);
	}
}

/* Compare one top-level member. */
static void
compare_top(const Place *place, const Pairs *pair, Change *change)
{
	bool		objects = are_objects(pair);

	if (objects && keys_equal(pair->key, (JsonKey) JSON_KEY("properties")))
		compare_members(place, slice_container(pair->old), slice_container(pair->new), compare_property, change);
	else if (objects && keys_equal(pair->key, (JsonKey) JSON_KEY("assets")))
		compare_members(place, slice_container(pair->old), slice_container(pair->new), compare_asset, change);
	else if (keys_equal(pair->key, (JsonKey) JSON_KEY("links")))
		compare_links(place, pair, change);
	else if (!are_equal(pair))
		note_other(change, place);
}

/* The nodes of all locations of a document's assets. */
static KeyTable *
nodes_of(const Jsonb *document)
{
	KeyTable   *nodes = make_key_table();
	MemberCursor assets = begin_assets(assets_of(document));
	Asset		asset;
	LocationWalk locations;
	Location	location;
	bool		found;

	while (next_asset(&assets, &asset))
	{
		begin_locations(&locations, &asset);
		while (next_location(&locations, &location))
			enter_entry(nodes, location.node, &found);
	}
	return nodes;
}

/*
 * An asset that is no data file, and was at one node only, goes with that node;
 * where the node stays, its going is a change of content.
 */
static void
judge_assets_gone(const Jsonb *new, Change *change)
{
	KeyTable   *nodes;
	ListCell   *cell;

	if (change->gone == NIL || change->other)
		return;
	nodes = nodes_of(new);
	foreach(cell, change->gone)
	{
		Location   *location = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (find_entry(nodes, location->node) == NULL)
			continue;
		change->other = location_pointer(location);
		return;
	}
}

/* Compare two documents; without an old one, all locations of the new are added. */
void
compare_documents(const Jsonb *old, const Jsonb *new, Change *change)
{
	MemberCursor assets;
	Asset		asset;

	memset(change, 0, sizeof(*change));
	if (old)
	{
		compare_members(NULL, &old->root, &new->root, compare_top, change);
		judge_assets_gone(new, change);
		return;
	}
	assets = begin_assets(assets_of(new));
	while (next_asset(&assets, &asset))
		compare_locations(NULL, &asset, change);
}

/* Note where an asset that is in both documents has lost or changed a checksum or a size. */
void
find_changed_content(const Jsonb *old, const Jsonb *new, ProblemList *problems)
{
	static const JsonKey members[] = {JSON_KEY("file:checksum"), JSON_KEY("file:size")};
	const JsonbContainer *old_assets = assets_of(old);
	const JsonbContainer *new_assets = assets_of(new);
	Place		assets_place = MEMBER_PLACE(NULL, "assets");
	Pairs		pairs;

	if (old_assets == NULL || new_assets == NULL)
		return;
	begin_pairs(&pairs, old_assets, new_assets);
	while (next_difference(&pairs))
	{
		Place		asset_place = {&assets_place, pairs.key.data, pairs.key.len, 0};
		JsonbSlice	before;
		JsonbSlice	after;

		for (int i = 0; are_objects(&pairs) && i < (int) lengthof(members); i++)
		{
			Place		place = {&asset_place, members[i].data, members[i].len, 0};

			if (document_slice(slice_container(pairs.old), &before, 1, &members[i]) && before.type != JENTRY_ISNULL &&
				(!document_slice(slice_container(pairs.new), &after, 1, &members[i]) || !slices_equal(&before, &after)))
				add_problem(problems, &place, "must not change");
		}
	}
}

/* Does a change take locations away, and nothing else? */
bool
only_removes_replicas(const Change *change)
{
	ListCell   *cell;

	foreach(cell, change->locations)
		if (((LocationChange *) lfirst(cell))->fate != LOCATION_REMOVED)
		return false;
	return change->locations != NIL && change->other == NULL && !change->citation && !change->errata;
}
