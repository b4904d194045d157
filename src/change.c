/*
 * change.c
 *		Compares two versions of an item's document: see change.h.
 *
 * The members of both objects are walked side by side, since jsonb keeps them
 * in one order; containers of equal bytes are equal and are not opened.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "change.h"
#include "document.h"

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

		JsonbIteratorNext(&iterator, &before, true);
		if (!is_object(&before) || !document_get(new_assets.val.binary.data, &after, 1, &name) || !is_object(&after))
			continue;
		compare_content(before.val.binary.data, after.val.binary.data, &place, "file:checksum", problems);
		compare_content(before.val.binary.data, after.val.binary.data, &place, "file:size", problems);
	}
}

/* Are two keys the same? */
bool
keys_equal(JsonKey a, JsonKey b)
{
	return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* The order in which jsonb keeps the members of an object. */
static int
compare_keys(const JsonbValue *a, const JsonbValue *b)
{
	if (a->val.string.len != b->val.string.len)
		return a->val.string.len - b->val.string.len;
	return memcmp(a->val.string.val, b->val.string.val, a->val.string.len);
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

/* A location in the memory of its list. */
static Location *
make_location(JsonKey asset, JsonKey node, bool primary, JsonbContainer *object)
{
	Location   *location = palloc(sizeof(Location));

	location->asset = asset;
	location->node = node;
	location->primary = primary;
	location->object = object;
	return location;
}

/* All locations of an asset, the primary one first. */
List *
asset_locations(JsonKey asset, JsonbContainer *object)
{
	List	   *locations = NIL;
	JsonKey		node = JSON_KEY(ANY_NODE);
	JsonbIterator *iterator;
	JsonbValue	key;
	JsonbValue	value;

	if (document_get(object, &value, JSON_PATH(JSON_KEY("alternate:name"))) && value.type == jbvString)
		node = (JsonKey) {value.val.string.val, value.val.string.len};
	locations = lappend(locations, make_location(asset, node, true, object));
	if (!document_get(object, &value, JSON_PATH(JSON_KEY("alternate"))) || !is_object(&value))
		return locations;
	iterator = walk(value.val.binary.data);
	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		node = (JsonKey) {key.val.string.val, key.val.string.len};
		JsonbIteratorNext(&iterator, &value, true);
		if (is_object(&value))
			locations = lappend(locations, make_location(asset, node, false, value.val.binary.data));
	}
	return locations;
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

/* A JSON pointer that need not be bounded. */
static char *
pointer_of(const Place *place)
{
	ProblemList list = {0};

	add_problem(&list, place, "");
	return ((Problem *) linitial(list.shown))->pointer;
}

/* Where a location stands in its document. */
char *
location_pointer(const Location *location)
{
	Place		assets = MEMBER_PLACE(NULL, "assets");
	Place		asset = {&assets, location->asset.data, location->asset.len, 0};
	Place		alternate = MEMBER_PLACE(&asset, "alternate");
	Place		node = {&alternate, location->node.data, location->node.len, 0};

	return pointer_of(location->primary ? &asset : &node);
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
	change->others = lappend(change->others, pointer_of(place));
}

/* The location of a node in a list, or NULL. */
static Location *
find_location(List *locations, JsonKey node)
{
	ListCell   *cell;

	foreach(cell, locations)
		if (keys_equal(((Location *) lfirst(cell))->node, node))
			return lfirst(cell);
	return NULL;
}

/*
 * Is a location altered? It is also where it becomes primary, or is no longer,
 * unless it takes the place of a primary one that left its node.
 */
static bool
is_altered(const Location *was, const Location *is, List *before, List *after)
{
	Location   *primary = linitial(before);

	if (was->primary != is->primary && (was->primary || find_location(after, primary->node)))
		return true;
	return !same_location(was, is);
}

/* Compare the locations of one asset, before and after; NULL is no asset. */
static void
compare_locations(JsonKey key, JsonbContainer *old, JsonbContainer *new, Change *change)
{
	List	   *before = old ? asset_locations(key, old) : NIL;
	List	   *after = new ? asset_locations(key, new) : NIL;
	ListCell   *cell;

	foreach(cell, before)
	{
		Location   *was = lfirst(cell);
		Location   *is = find_location(after, was->node);

		if (is == NULL)
			note_location(change, LOCATION_REMOVED, was);
		else if (is_altered(was, is, before, after))
			note_location(change, LOCATION_ALTERED, is);
	}
	foreach(cell, after)
	{
		Location   *is = lfirst(cell);
		bool		doubled = find_location(after, is->node) != is;

		if (doubled)
			change->doubled = is;
		if (doubled || find_location(before, is->node) == NULL)
			note_location(change, LOCATION_ADDED, is);
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
static bool
same_content(JsonbContainer *old, JsonbContainer *new)
{
	Finger		fa = {walk(old)};
	Finger		fb = {walk(new)};

	for (advance_content(&fa), advance_content(&fb); !fa.at_end && !fb.at_end; advance_content(&fa), advance_content(&fb))
		if (compare_keys(&fa.key, &fb.key) != 0 || !values_equal(&fa.value, &fb.value))
			return false;
	return fa.at_end && fb.at_end;
}

/* Compare one asset, before and after; NULL is no asset. */
static void
compare_asset(const Place *place, const JsonbValue *key, const JsonbValue *old, const JsonbValue *new, Change *change)
{
	JsonbContainer *before = old && is_object(old) ? old->val.binary.data : NULL;
	JsonbContainer *after = new && is_object(new) ? new->val.binary.data : NULL;
	JsonKey		name = {key->val.string.val, key->val.string.len};

	compare_locations(name, before, after, change);
	if (before && new == NULL && !is_data_file(name, before) && list_length(asset_locations(name, before)) == 1)
		change->gone = lappend(change->gone, linitial(asset_locations(name, before)));
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
		int			order = fa.at_end ? 1 : fb.at_end ? -1 : compare_keys(&fa.key, &fb.key);
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
link_says(const JsonbValue *link, const char *member, const char *text)
{
	JsonKey		key = {member, strlen(member)};
	JsonbValue	value;

	return is_object(link) && document_get(link->val.binary.data, &value, 1, &key) &&
		value.type == jbvString && key_is(&value, text);
}

/* Compare the links: appended ones of certain kinds have rights of their own. */
static void
compare_links(const Place *place, const JsonbValue *old, const JsonbValue *new, Change *change)
{
	bool		arrays = old && new && old->type == jbvBinary && new->type == jbvBinary &&
		JsonContainerIsArray(old->val.binary.data) && JsonContainerIsArray(new->val.binary.data);
	uint32		count = arrays ? JsonContainerSize(old->val.binary.data) : 0;

	if (arrays && JsonContainerSize(new->val.binary.data) < count)
		arrays = false;
	for (uint32 i = 0; arrays && i < count; i++)
		arrays = values_equal(getIthJsonbValueFromContainer(old->val.binary.data, i),
							  getIthJsonbValueFromContainer(new->val.binary.data, i));
	if (!arrays)
	{
		note_other(change, place);
		return;
	}
	for (uint32 i = count; i < JsonContainerSize(new->val.binary.data); i++)
	{
		JsonbValue *link = getIthJsonbValueFromContainer(new->val.binary.data, i);
		Place		link_place = {place, NULL, 0, i};

		if (link_says(link, "rel", "cite-as") || link_says(link, "rel", "citeas"))
			change->citation = true;
		else if (link_says(link, "rel", "related") && link_says(link, "title", "Errata issue"))
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

/* Is a node left without any location in a document? */
static bool
node_is_gone(JsonbContainer *assets, JsonKey node)
{
	JsonbIterator *iterator = walk(assets);
	JsonbValue	key;
	JsonbValue	value;

	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		JsonbIteratorNext(&iterator, &value, true);
		if (is_object(&value) &&
			find_location(asset_locations((JsonKey) {key.val.string.val, key.val.string.len}, value.val.binary.data), node))
			return false;
	}
	return true;
}

/*
 * An asset that is no data file, and was at one node only, goes with that node;
 * where the node stays, its going is a change of content.
 */
static void
judge_assets_gone(const Jsonb *new, Change *change)
{
	JsonbValue	assets;
	ListCell   *cell;

	foreach(cell, change->gone)
	{
		Location   *location = lfirst(cell);

		if (!document_get(&new->root, &assets, JSON_PATH(JSON_KEY("assets"))) || !is_object(&assets) ||
			!node_is_gone(assets.val.binary.data, location->node))
			change->others = lappend(change->others, location_pointer(location));
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
	return change->locations != NIL && change->others == NIL && !change->citation && !change->errata;
}
