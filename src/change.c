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
