/*
 * change/compare.c
 *		Compares two versions of an item's document: see change/compare.h.
 *
 * The members of both objects are walked side by side, since jsonb keeps them
 * in one order; containers of equal bytes are equal and are not opened.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "change/compare.h"
#include "json/edit.h"
#include "json/key_table.h"
#include "json/slice.h"

/* Where in an item an object stands. */
typedef enum Level
{
	LEVEL_ITEM, LEVEL_PROPERTIES, LEVEL_ASSETS, LEVEL_ASSET, LEVEL_ALTERNATE, LEVEL_LOCATION, LEVEL_OTHER
} Level;

/* One of the two objects of a comparison, at one of its members. */
typedef struct Finger
{
	JsonbIterator *iterator;
	JsonbValue	key;
	JsonbValue	value;
	bool		at_end;
} Finger;

/* Is that member's key this one? */
static inline bool
key_is(const JsonbValue *key, const char *name)
{
	return (size_t) key->val.string.len == strlen(name) &&
		memcmp(key->val.string.val, name, key->val.string.len) == 0;
}

/* May that member differ? */
static bool
is_ignored(Level level, const JsonbValue *key, bool flags_too)
{
	if (level != LEVEL_PROPERTIES && level != LEVEL_ASSET && level != LEVEL_LOCATION)
		return false;
	if (key_is(key, "created") || key_is(key, "updated"))
		return true;
	return flags_too && level == LEVEL_PROPERTIES && (key_is(key, "latest") || key_is(key, "retracted"));
}

/* What the value of that member is. */
static Level
level_below(Level level, const JsonbValue *key)
{
	switch (level)
	{
		case LEVEL_ITEM:
			return key_is(key, "properties") ? LEVEL_PROPERTIES : key_is(key, "assets") ? LEVEL_ASSETS : LEVEL_OTHER;
		case LEVEL_ASSETS:
			return LEVEL_ASSET;
		case LEVEL_ASSET:
			return key_is(key, "alternate") ? LEVEL_ALTERNATE : LEVEL_OTHER;
		case LEVEL_ALTERNATE:
			return LEVEL_LOCATION;
		default:
			return LEVEL_OTHER;
	}
}

/* Go on to the next member that counts. */
static void
advance(Finger *finger, Level level, bool flags_too)
{
	do
	{
		finger->at_end = JsonbIteratorNext(&finger->iterator, &finger->key, true) != WJB_KEY;
		if (finger->at_end)
			return;
		JsonbIteratorNext(&finger->iterator, &finger->value, true);
	} while (is_ignored(level, &finger->key, flags_too));
}

/* Begin at the first member of an object that counts. */
static void
begin(Finger *finger, JsonbContainer *object, Level level, bool flags_too)
{
	JsonbValue	ignored;

	finger->iterator = JsonbIteratorInit(object);
	JsonbIteratorNext(&finger->iterator, &ignored, true);
	advance(finger, level, flags_too);
}

/* Is that value an object, seen as bytes? */
static inline bool
is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

/* Are two objects the same, but for what may differ? */
static bool
same_objects(JsonbContainer *a, JsonbContainer *b, Level level, bool flags_too)
{
	Finger		fa;
	Finger		fb;

	check_stack_depth();
	for (begin(&fa, a, level, flags_too), begin(&fb, b, level, flags_too);
		 !fa.at_end && !fb.at_end;
		 advance(&fa, level, flags_too), advance(&fb, level, flags_too))
	{
		Level		below = level_below(level, &fa.key);

		CHECK_FOR_INTERRUPTS();
		if (fa.key.val.string.len != fb.key.val.string.len ||
			memcmp(fa.key.val.string.val, fb.key.val.string.val, fa.key.val.string.len) != 0)
			return false;
		if (below != LEVEL_OTHER && is_object(&fa.value) && is_object(&fb.value))
		{
			bool		same_bytes = fa.value.val.binary.len == fb.value.val.binary.len &&
				memcmp(fa.value.val.binary.data, fb.value.val.binary.data, fa.value.val.binary.len) == 0;

			if (!same_bytes && !same_objects(fa.value.val.binary.data, fb.value.val.binary.data, below, flags_too))
				return false;
		}
		else if (!values_equal(&fa.value, &fb.value))
			return false;
	}
	return fa.at_end && fb.at_end;
}

/* Are two documents the same, whatever their stamps say? */
bool
same_but_for_stamps(const Jsonb *a, const Jsonb *b)
{
	return same_objects((JsonbContainer *) &a->root, (JsonbContainer *) &b->root, LEVEL_ITEM, false);
}

/* Are two documents the same, whatever their stamps, latest and retracted say? */
bool
same_but_for_stamps_and_flags(const Jsonb *a, const Jsonb *b)
{
	return same_objects((JsonbContainer *) &a->root, (JsonbContainer *) &b->root, LEVEL_ITEM, true);
}

/* Note a checksum or a size that an asset had and has no longer. */
static void
compare_content(const JsonbContainer *old, const JsonbContainer *new, const Place *asset,
				const char *name, ProblemList *problems)
{
	JsonKey		key = {name, strlen(name)};
	Place		place = {asset, name, strlen(name), 0};
	JsonbValue	before;
	JsonbValue	after;

	if (document_get(old, &before, 1, &key) && before.type != jbvNull &&
		(!document_get(new, &after, 1, &key) || !values_equal(&before, &after)))
		add_problem(problems, &place, "must not change");
}

/* Note where an asset that is in both documents has other content than it had. */
void
find_changed_content(const Jsonb *old, const Jsonb *new, ProblemList *problems)
{
	Place		assets_place = MEMBER_PLACE(NULL, "assets");
	JsonbValue	old_assets;
	JsonbValue	new_assets;
	JsonbIterator *iterator;
	JsonbValue	key;
	JsonbValue	before;
	JsonbValue	after;

	if (!document_get(&old->root, &old_assets, JSON_PATH(JSON_KEY("assets"))) || !is_object(&old_assets) ||
		!document_get(&new->root, &new_assets, JSON_PATH(JSON_KEY("assets"))) || !is_object(&new_assets))
		return;
	iterator = JsonbIteratorInit(old_assets.val.binary.data);
	JsonbIteratorNext(&iterator, &key, true);
	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		Place		place = {&assets_place, key.val.string.val, key.val.string.len, 0};
		JsonKey		name = {key.val.string.val, key.val.string.len};

		CHECK_FOR_INTERRUPTS();
		JsonbIteratorNext(&iterator, &before, true);
		if (!is_object(&before) || !document_get(new_assets.val.binary.data, &after, 1, &name) || !is_object(&after))
			continue;
		compare_content(before.val.binary.data, after.val.binary.data, &place, "file:checksum", problems);
		compare_content(before.val.binary.data, after.val.binary.data, &place, "file:size", problems);
	}
}

/* The order in which jsonb keeps the members of an object. */
static int
compare_key_values(const JsonbValue *a, const JsonbValue *b)
{
	return compare_keys(a->val.string.val, a->val.string.len, b->val.string.val, b->val.string.len);
}

/* Does an array of strings hold this one? */
static bool
has_string(const JsonbContainer *object, const char *member, const char *string)
{
	JsonKey		key = {member, strlen(member)};
	JsonbValue	array;
	JsonbValue	element;

	if (!document_get(object, &array, 1, &key) || array.type != jbvBinary ||
		!JsonContainerIsArray(array.val.binary.data))
		return false;
	element.type = jbvString;
	element.val.string.val = (char *) string;
	element.val.string.len = strlen(string);
	return findJsonbValueFromContainer(array.val.binary.data, JB_FARRAY, &element) != NULL;
}

/* Is an asset a file that every replica must have? */
bool
is_data_file(JsonKey key, const JsonbContainer *asset)
{
	return !keys_equal(key, (JsonKey) JSON_KEY("globus")) && !keys_equal(key, (JsonKey) JSON_KEY("reference_file")) &&
		has_string(asset, "roles", "data") && !has_string(asset, "roles", "virtual");
}

/* Begin to walk over the members of an object. */
static JsonbIterator *
walk(JsonbContainer *object)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbValue	ignored;

	JsonbIteratorNext(&iterator, &ignored, true);
	return iterator;
}

/* The location that an asset itself is. */
static Location
primary_location(JsonKey asset, JsonbContainer *object)
{
	Location	location = {asset, JSON_KEY(ANY_NODE), true, object};
	JsonbValue	value;

	if (document_get(object, &value, JSON_PATH(JSON_KEY("alternate:name"))) && value.type == jbvString)
		location.node = (JsonKey) {value.val.string.val, value.val.string.len};
	return location;
}

/* Begin to walk over the locations of an asset, the primary one first. */
void
begin_locations(LocationWalk *locations, JsonKey asset, JsonbContainer *object)
{
	locations->asset = asset;
	locations->object = object;
	locations->alternates = NULL;
	locations->at_primary = true;
}

/* The next location of an asset; false after the last. */
bool
next_location(LocationWalk *locations, Location *location)
{
	JsonbValue	key;
	JsonbValue	value;

	if (locations->at_primary)
	{
		*location = primary_location(locations->asset, locations->object);
		if (document_get(locations->object, &value, JSON_PATH(JSON_KEY("alternate"))) && is_object(&value))
			locations->alternates = walk(value.val.binary.data);
		locations->at_primary = false;
		return true;
	}
	while (locations->alternates && JsonbIteratorNext(&locations->alternates, &key, true) == WJB_KEY)
	{
		CHECK_FOR_INTERRUPTS();
		JsonbIteratorNext(&locations->alternates, &value, true);
		if (!is_object(&value))
			continue;
		*location = (Location) {locations->asset, {key.val.string.val, key.val.string.len}, false, value.val.binary.data};
		return true;
	}
	return false;
}

/* The location of an asset at a node, the primary one if it has two there; false if it has none. */
bool
find_location(JsonKey asset, JsonbContainer *object, JsonKey node, Location *location)
{
	JsonbValue	value;

	*location = primary_location(asset, object);
	if (keys_equal(location->node, node))
		return true;
	if (!document_get(object, &value, JSON_PATH(JSON_KEY("alternate"), node)) || !is_object(&value))
		return false;
	*location = (Location) {asset, node, false, value.val.binary.data};
	return true;
}

/* Is a member the same in two objects? Null may count as missing. */
static bool
same_member(const JsonbContainer *a, const JsonbContainer *b, JsonKey key, bool null_is_missing)
{
	JsonbValue	va;
	JsonbValue	vb;
	bool		has_a = document_get(a, &va, 1, &key) && !(null_is_missing && va.type == jbvNull);
	bool		has_b = document_get(b, &vb, 1, &key) && !(null_is_missing && vb.type == jbvNull);

	return has_a == has_b && (!has_a || values_equal(&va, &vb));
}

/*
 * Do two locations of one node say the same, whatever their stamps? Where one
 * is primary and the other is not, what both forms say counts.
 */
bool
same_location(const Location *a, const Location *b)
{
	static const JsonKey members[] = {
		JSON_KEY("href"), JSON_KEY("alternate:name"), JSON_KEY("protocol"), JSON_KEY("file:local_path")
	};

	if (!a->primary && !b->primary)
		return same_objects(a->object, b->object, LEVEL_LOCATION, false);
	for (int i = 0; i < (int) lengthof(members); i++)
		if (!same_member(a->object, b->object, members[i], a->primary != b->primary))
			return false;
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

/* Note what became of a location. */
static void
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
is_altered(const Location *was, const Location *is, JsonbContainer *old, JsonbContainer *new)
{
	Location	there;

	if (was->primary != is->primary &&
		(was->primary || find_location(is->asset, new, primary_location(was->asset, old).node, &there)))
		return true;
	return !same_location(was, is);
}

/* Compare the locations of one asset, before and after; NULL is no asset. */
static void
compare_locations(JsonKey key, JsonbContainer *old, JsonbContainer *new, Change *change)
{
	LocationWalk locations;
	Location	was;
	Location	is;

	if (old)
		begin_locations(&locations, key, old);
	while (old && next_location(&locations, &was))
	{
		if (new == NULL || !find_location(key, new, was.node, &is))
			note_location(change, LOCATION_REMOVED, &was);
		else if (is_altered(&was, &is, old, new))
			note_location(change, LOCATION_ALTERED, &is);
	}
	if (new)
		begin_locations(&locations, key, new);
	while (new && next_location(&locations, &is))
	{
		bool		doubled = !is.primary && keys_equal(is.node, primary_location(key, new).node);

		if (doubled || old == NULL || !find_location(key, old, is.node, &was))
			note_location(change, LOCATION_ADDED, &is);
		if (doubled)
			change->doubled = &((LocationChange *) llast(change->locations))->location;
	}
}

/* Does a member of an asset say where it is, rather than what it is? */
static bool
is_location_member(const JsonbValue *key)
{
	return key_is(key, "href") || key_is(key, "alternate:name") || key_is(key, "protocol") ||
		key_is(key, "file:local_path") || key_is(key, "alternate") || key_is(key, "created") || key_is(key, "updated");
}

/* Go on to the next member that describes the content of an asset. */
static void
advance_content(Finger *finger)
{
	do
		advance(finger, LEVEL_OTHER, false);
	while (!finger->at_end && is_location_member(&finger->key));
}

/* Do two assets describe the same content? */
bool
same_content(JsonbContainer *old, JsonbContainer *new)
{
	Finger		fa = {walk(old)};
	Finger		fb = {walk(new)};

	for (advance_content(&fa), advance_content(&fb); !fa.at_end && !fb.at_end; advance_content(&fa), advance_content(&fb))
		if (compare_key_values(&fa.key, &fb.key) != 0 || !values_equal(&fa.value, &fb.value))
			return false;
	return fa.at_end && fb.at_end;
}

/* Is an asset at one node only? */
static bool
has_one_location(JsonKey asset, JsonbContainer *object)
{
	LocationWalk locations;
	Location	location;

	begin_locations(&locations, asset, object);
	next_location(&locations, &location);
	return !next_location(&locations, &location);
}

/* Note an asset that may have gone with its one node. */
static void
note_gone(Change *change, JsonKey asset, JsonbContainer *object)
{
	Location   *location = palloc(sizeof(Location));

	*location = primary_location(asset, object);
	change->gone = lappend(change->gone, location);
}

/* Compare one asset, before and after; NULL is no asset. */
static void
compare_asset(const Place *place, const JsonbValue *key, const JsonbValue *old, const JsonbValue *new, Change *change)
{
	JsonbContainer *before = old && is_object(old) ? old->val.binary.data : NULL;
	JsonbContainer *after = new && is_object(new) ? new->val.binary.data : NULL;
	JsonKey		name = {key->val.string.val, key->val.string.len};

	compare_locations(name, before, after, change);
	if (before && new == NULL && !is_data_file(name, before) && has_one_location(name, before))
		note_gone(change, name, before);
	else if (before == NULL || after == NULL || !same_content(before, after))
		note_other(change, place);
}

/* Are two values equal by their bytes? Then they need not be opened. */
static bool
same_bytes(const JsonbValue *a, const JsonbValue *b)
{
	return a->type == jbvBinary && b->type == jbvBinary && a->val.binary.len == b->val.binary.len &&
		memcmp(a->val.binary.data, b->val.binary.data, a->val.binary.len) == 0;
}

typedef void (*MemberComparison) (const Place *place, const JsonbValue *key, const JsonbValue *old,
								  const JsonbValue *new, Change *change);

/* Walk two objects side by side and compare each member that is not the same, byte by byte. */
static void
compare_members(const Place *parent, JsonbContainer *old, JsonbContainer *new, MemberComparison compare, Change *change)
{
	Finger		fa = {walk(old)};
	Finger		fb = {walk(new)};

	advance(&fa, LEVEL_OTHER, false);
	advance(&fb, LEVEL_OTHER, false);
	while (!fa.at_end || !fb.at_end)
	{
		int			order = fa.at_end ? 1 : fb.at_end ? -1 : compare_key_values(&fa.key, &fb.key);
		const JsonbValue *key = order <= 0 ? &fa.key : &fb.key;
		Place		place = {parent, key->val.string.val, key->val.string.len, 0};

		CHECK_FOR_INTERRUPTS();
		if (order != 0 || !same_bytes(&fa.value, &fb.value))
			compare(&place, key, order <= 0 ? &fa.value : NULL, order >= 0 ? &fb.value : NULL, change);
		if (order <= 0)
			advance(&fa, LEVEL_OTHER, false);
		if (order >= 0)
			advance(&fb, LEVEL_OTHER, false);
	}
}

/* Compare one property; flags and stamps are judged elsewhere. */
static void
compare_property(const Place *place, const JsonbValue *key, const JsonbValue *old, const JsonbValue *new, Change *change)
{
	if (is_ignored(LEVEL_PROPERTIES, key, true))
		return;
	if (old == NULL || new == NULL || !values_equal(old, new))
		note_other(change, place);
}

/* A string member of a link, compared. */
static bool
link_says(const JsonbSlice *link, const char *member, const char *text)
{
	JsonKey		key = {member, strlen(member)};
	JsonbValue	value;

	return slice_is_object(link) && document_get(slice_container(link), &value, 1, &key) &&
		value.type == jbvString && key_is(&value, text);
}

/* Is a value an array, seen as bytes? */
static inline bool
is_array(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data);
}

/* Do the first elements of an array equal another? Then stand behind them. */
static bool
begins_with(JsonbCursor *array, const JsonbContainer *other)
{
	uint32		count = JsonContainerSize(other);
	JsonbCursor cursor;
	JsonbSlice	a;
	JsonbSlice	b;

	if (JsonContainerSize(array->container) < count)
		return false;
	cursor_init(&cursor, other, 0);
	while (count-- > 0)
	{
		CHECK_FOR_INTERRUPTS();
		cursor_next(array, &a);
		cursor_next(&cursor, &b);
		if (!slices_equal(&a, &b))
			return false;
	}
	return true;
}

/* Compare the links: appended ones of certain kinds have rights of their own. */
static void
compare_links(const Place *place, const JsonbValue *old, const JsonbValue *new, Change *change)
{
	bool		arrays = old && new && is_array(old) && is_array(new);
	JsonbCursor links;
	JsonbSlice	link;

	cursor_init(&links, arrays ? new->val.binary.data : &empty_object, 0);
	if (!arrays || !begins_with(&links, old->val.binary.data))
	{
		note_other(change, place);
		return;
	}
	while (links.index < JsonContainerSize(new->val.binary.data))
	{
		Place		link_place = {place, NULL, 0, links.index};

		CHECK_FOR_INTERRUPTS();
		cursor_next(&links, &link);
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
compare_top(const Place *place, const JsonbValue *key, const JsonbValue *old, const JsonbValue *new, Change *change)
{
	bool		objects = old && new && is_object(old) && is_object(new);

	if (objects && key_is(key, "properties"))
		compare_members(place, old->val.binary.data, new->val.binary.data, compare_property, change);
	else if (objects && key_is(key, "assets"))
		compare_members(place, old->val.binary.data, new->val.binary.data, compare_asset, change);
	else if (key_is(key, "links"))
		compare_links(place, old, new, change);
	else if (old == NULL || new == NULL || !values_equal(old, new))
		note_other(change, place);
}

/* The nodes of all locations of a document's assets. */
static KeyTable *
nodes_of(const Jsonb *document)
{
	KeyTable   *nodes = make_key_table();
	JsonbValue	assets;
	JsonbIterator *iterator;
	JsonbValue	key;
	JsonbValue	value;
	LocationWalk locations;
	Location	location;
	bool		found;

	if (!document_get(&document->root, &assets, JSON_PATH(JSON_KEY("assets"))) || !is_object(&assets))
		return nodes;
	iterator = walk(assets.val.binary.data);
	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		JsonbIteratorNext(&iterator, &value, true);
		if (!is_object(&value))
			continue;
		begin_locations(&locations, (JsonKey) {key.val.string.val, key.val.string.len}, value.val.binary.data);
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
	JsonbValue	assets;
	JsonbIterator *iterator;
	JsonbValue	key;
	JsonbValue	value;

	memset(change, 0, sizeof(*change));
	if (old)
	{
		compare_members(NULL, (JsonbContainer *) &old->root, (JsonbContainer *) &new->root, compare_top, change);
		judge_assets_gone(new, change);
		return;
	}
	if (!document_get(&new->root, &assets, JSON_PATH(JSON_KEY("assets"))) || !is_object(&assets))
		return;
	iterator = walk(assets.val.binary.data);
	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		JsonbIteratorNext(&iterator, &value, true);
		if (is_object(&value))
			compare_locations((JsonKey) {key.val.string.val, key.val.string.len}, NULL, value.val.binary.data, change);
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
