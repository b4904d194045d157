/*
 * change/stamps.c
 *		Which stamps does a changed document get? See change/stamps.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "change/compare.h"
#include "change/stamps.h"
#include "json/edit.h"
#include "stac/format.h"

/* What stamps are settled of. */
typedef struct Settlement
{
	Jsonb	   *document;
	DocumentEdit *edit;			/* NULL as long as nothing differs */
	bool		fine;			/* no stamp came that is no time */
} Settlement;

/* Is that value a time, or null? */
static bool
is_stamp(const JsonbValue *value)
{
	return value->type == jbvNull ||
		(value->type == jbvString && is_time(value->val.string.val, value->val.string.len));
}

/* Write a stamp, or take it away. */
static void
write_stamp(Settlement *settlement, const JsonbValue *stamp, int depth, const JsonKey *path)
{
	if (settlement->edit == NULL)
		settlement->edit = document_edit(settlement->document);
	if (stamp)
		document_set(settlement->edit, stamp, depth, path);
	else
		document_remove(settlement->edit, depth, path);
}

/*
 * Settle the stamps of an object, which was there before, at a path that has
 * room for one more key. Where they are all that changed they stay as they
 * were; what was stored before it had to be a time goes.
 */
static void
settle_object(Settlement *settlement, const JsonbContainer *old, const JsonbContainer *new,
			  bool otherwise_same, int depth, JsonKey *path)
{
	static const JsonKey names[] = {JSON_KEY("created"), JSON_KEY("updated")};

	for (int i = 0; i < (int) lengthof(names); i++)
	{
		JsonbValue	before;
		JsonbValue	given;
		bool		has_before = document_get(old, &before, 1, &names[i]);
		bool		has_given = document_get(new, &given, 1, &names[i]);
		bool		same = has_before && has_given && values_equal(&before, &given);

		path[depth] = names[i];
		if (has_given && !same && !is_stamp(&given))
			settlement->fine = false;
		else if (has_given && same && !is_stamp(&given))
			write_stamp(settlement, NULL, depth + 1, path);
		else if (otherwise_same && !same && has_before && is_stamp(&before))
			write_stamp(settlement, &before, depth + 1, path);
		else if (otherwise_same && !same && has_given)
			write_stamp(settlement, NULL, depth + 1, path);
	}
}

/* The member of an object that is an object itself, or NULL. */
static JsonbContainer *
member_object(const JsonbContainer *object, JsonKey key)
{
	JsonbValue	value;

	if (!document_get(object, &value, 1, &key) || value.type != jbvBinary ||
		!JsonContainerIsObject(value.val.binary.data))
		return NULL;
	return value.val.binary.data;
}

typedef void (*SettleMember) (Settlement *settlement, JsonbContainer *old, JsonbContainer *new,
							  bool same_bytes, JsonKey key, JsonKey *path);

/* Settle each member of an object that is an object, and was one before. */
static void
settle_members(Settlement *settlement, JsonbContainer *old, JsonbContainer *new, SettleMember settle, JsonKey *path)
{
	JsonbIterator *iterator = JsonbIteratorInit(new);
	JsonbValue	key;
	JsonbValue	value;

	JsonbIteratorNext(&iterator, &key, true);
	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		JsonKey		name = {key.val.string.val, key.val.string.len};
		JsonbValue	before;

		CHECK_FOR_INTERRUPTS();
		JsonbIteratorNext(&iterator, &value, true);
		if (value.type == jbvBinary && JsonContainerIsObject(value.val.binary.data) &&
			document_get(old, &before, 1, &name) &&
			before.type == jbvBinary && JsonContainerIsObject(before.val.binary.data))
			settle(settlement, before.val.binary.data, value.val.binary.data,
				   before.val.binary.len == value.val.binary.len &&
				   memcmp(before.val.binary.data, value.val.binary.data, value.val.binary.len) == 0, name, path);
	}
}

/* Settle the stamps of an entry of `alternate`. */
static void
settle_alternate(Settlement *settlement, JsonbContainer *old, JsonbContainer *new,
				 bool same_bytes, JsonKey node, JsonKey *path)
{
	Location	was = {path[1], node, false, old};
	Location	is = {path[1], node, false, new};

	path[3] = node;
	settle_object(settlement, old, new, same_bytes || same_location(&was, &is), 4, path);
}

/* Settle the stamps of an asset, and of its other locations. */
static void
settle_asset(Settlement *settlement, JsonbContainer *old, JsonbContainer *new,
			 bool same_bytes, JsonKey key, JsonKey *path)
{
	static const JsonKey alternate = JSON_KEY("alternate");
	Location	was = {key, {NULL, 0}, true, old};
	Location	is = {key, {NULL, 0}, true, new};
	JsonbContainer *old_alternates = member_object(old, alternate);
	JsonbContainer *new_alternates = member_object(new, alternate);

	path[1] = key;
	settle_object(settlement, old, new,
				  same_bytes || (same_content(old, new) && same_location(&was, &is)), 2, path);
	path[2] = alternate;
	if (old_alternates && new_alternates)
		settle_members(settlement, old_alternates, new_alternates, settle_alternate, path);
}

/*
 * A changed document in which stamps are as they were where they are all that
 * changed. It is not fine where one came that is no time: such are left where
 * they are, for check_item_document() to tell. May the item itself be updated?
 */
Jsonb *
settle_stamps(Jsonb *document, const Jsonb *old, bool may_update, bool *fine)
{
	Settlement	settlement = {document, NULL, true};
	JsonKey		path[5] = {JSON_KEY("assets")};
	JsonKey		properties_path[2] = {JSON_KEY("properties")};
	JsonbContainer *before;
	JsonbContainer *after;

	if (JB_ROOT_IS_OBJECT(document))
	{
		before = member_object(&old->root, properties_path[0]);
		after = member_object(&document->root, properties_path[0]);
		if (before && after)
			settle_object(&settlement, before, after, !may_update, 1, properties_path);
		before = member_object(&old->root, path[0]);
		after = member_object(&document->root, path[0]);
		if (before && after)
			settle_members(&settlement, before, after, settle_asset, path);
	}
	*fine = settlement.fine;
	return settlement.edit ? document_finish(settlement.edit) : document;
}
