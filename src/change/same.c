/*
 * change/same.c
 *		Are two documents the same, but for what may differ? See change/same.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "change/pairs.h"
#include "change/same.h"

/* Where in an item an object stands. */
typedef enum Level
{
	LEVEL_ITEM, LEVEL_PROPERTIES, LEVEL_ASSETS, LEVEL_ASSET, LEVEL_ALTERNATE, LEVEL_LOCATION, LEVEL_OTHER
} Level;

/* Is that property decided by the database, or a stamp? */
bool
is_stamp_or_flag(JsonKey property)
{
	return is_stamp(property) ||
		keys_equal(property, (JsonKey) JSON_KEY("latest")) || keys_equal(property, (JsonKey) JSON_KEY("retracted"));
}

/* May that member differ? */
static bool
is_ignored(Level level, JsonKey key, bool flags_too)
{
	if (level == LEVEL_PROPERTIES && flags_too)
		return is_stamp_or_flag(key);
	return (level == LEVEL_PROPERTIES || level == LEVEL_ASSET || level == LEVEL_LOCATION) && is_stamp(key);
}

/* What the value of that member is. */
static Level
level_below(Level level, JsonKey key)
{
	switch (level)
	{
		case LEVEL_ITEM:
			return keys_equal(key, (JsonKey) JSON_KEY("properties")) ? LEVEL_PROPERTIES :
				keys_equal(key, (JsonKey) JSON_KEY("assets")) ? LEVEL_ASSETS : LEVEL_OTHER;
		case LEVEL_ASSETS:
			return LEVEL_ASSET;
		case LEVEL_ASSET:
			return keys_equal(key, (JsonKey) JSON_KEY("alternate")) ? LEVEL_ALTERNATE : LEVEL_OTHER;
		case LEVEL_ALTERNATE:
			return LEVEL_LOCATION;
		default:
			return LEVEL_OTHER;
	}
}

/* Are two objects the same, but for what may differ? */
static bool
same_objects(const JsonbContainer *a, const JsonbContainer *b, Level level, bool flags_too)
{
	Pairs		pairs;

	begin_pairs(&pairs, a, b);
	while (next_difference(&pairs))
	{
		Level		below = level_below(level, pairs.key);

		if (is_ignored(level, pairs.key, flags_too))
			continue;
		if (below != LEVEL_OTHER && are_objects(&pairs) ?
			!same_objects(slice_container(pairs.old), slice_container(pairs.new), below, flags_too) : !are_equal(&pairs))
			return false;
	}
	return true;
}

/* Are two documents the same, whatever their stamps say? */
bool
same_but_for_stamps(const Jsonb *a, const Jsonb *b)
{
	return same_objects(&a->root, &b->root, LEVEL_ITEM, false);
}

/* Are two documents the same, whatever their stamps, latest and retracted say? */
bool
same_but_for_stamps_and_flags(const Jsonb *a, const Jsonb *b)
{
	return same_objects(&a->root, &b->root, LEVEL_ITEM, true);
}

/* Do two assets describe the same content? */
bool
same_content(const JsonbContainer *old, const JsonbContainer *new)
{
	Pairs		pairs;

	begin_pairs(&pairs, old, new);
	while (next_difference(&pairs))
		if (!is_location_member(pairs.key) && !are_equal(&pairs))
			return false;
	return true;
}

/* Is a member the same in two objects? Null may count as missing. */
static bool
same_member(const JsonbContainer *a, const JsonbContainer *b, JsonKey key, bool null_is_missing)
{
	JsonbSlice	va;
	JsonbSlice	vb;
	bool		has_a = document_slice(a, &va, 1, &key) && !(null_is_missing && va.type == JENTRY_ISNULL);
	bool		has_b = document_slice(b, &vb, 1, &key) && !(null_is_missing && vb.type == JENTRY_ISNULL);

	return has_a == has_b && (!has_a || slices_equal(&va, &vb));
}

/*
 * Do two locations of one node say the same, whatever their stamps? Where one
 * is primary and the other is not, what both forms say counts.
 */
bool
same_location(const Location *a, const Location *b)
{
	if (!a->primary && !b->primary)
		return same_objects(a->object, b->object, LEVEL_LOCATION, false);
	for (int i = 0; i < LOCATION_MEMBERS; i++)
		if (!same_member(a->object, b->object, location_members[i], a->primary != b->primary))
			return false;
	return true;
}
