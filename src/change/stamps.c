/*
 * change/stamps.c
 *		Which stamps does a changed document get? See change/stamps.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "change/pairs.h"
#include "change/same.h"
#include "change/stamps.h"
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
is_time_or_null(const JsonbSlice *value)
{
	return value->type == JENTRY_ISNULL || (value->type == JENTRY_ISSTRING && is_time(value->data, value->len));
}

/* Write a stamp, or take it away. */
static void
write_stamp(Settlement *settlement, const JsonbSlice *stamp, int depth, const JsonKey *path)
{
	JsonbValue	value;

	if (settlement->edit == NULL)
		settlement->edit = document_edit(settlement->document);
	if (stamp)
	{
		slice_to_value(stamp, &value);
		document_set(settlement->edit, &value, depth, path);
	}
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
	for (int i = 0; i < STAMP_MEMBERS; i++)
	{
		JsonbSlice	before;
		JsonbSlice	given;
		bool		has_before = document_slice(old, &before, 1, &stamp_members[i]);
		bool		has_given = document_slice(new, &given, 1, &stamp_members[i]);
		bool		same = has_before && has_given && slices_equal(&before, &given);

		path[depth] = stamp_members[i];
		if (has_given && !same && !is_time_or_null(&given))
			settlement->fine = false;
		else if (has_given && same && !is_time_or_null(&given))
			write_stamp(settlement, NULL, depth + 1, path);
		else if (otherwise_same && !same && has_before && is_time_or_null(&before))
			write_stamp(settlement, &before, depth + 1, path);
		else if (otherwise_same && !same && has_given)
			write_stamp(settlement, NULL, depth + 1, path);
	}
}

typedef void (*SettleMember) (Settlement *settlement, const JsonbContainer *old, const JsonbContainer *new,
							  bool same, JsonKey key, JsonKey *path);

/* Settle each member of an object that is an object, and was one before. */
static void
settle_members(Settlement *settlement, const JsonbContainer *old, const JsonbContainer *new, SettleMember settle, JsonKey *path)
{
	Pairs		pairs;

	begin_pairs(&pairs, old, new);
	while (next_pair(&pairs))
		if (are_objects(&pairs))
			settle(settlement, slice_container(pairs.old), slice_container(pairs.new),
				   slices_identical(pairs.old, pairs.new), pairs.key, path);
}

/* Take away what was stored as a stamp of an object before it had to be a time. */
static void
remove_false_stamps(Settlement *settlement, const JsonbContainer *object, int depth, JsonKey *path)
{
	for (int i = 0; i < STAMP_MEMBERS; i++)
	{
		JsonbSlice	stamp;

		path[depth] = stamp_members[i];
		if (document_slice(object, &stamp, 1, &stamp_members[i]) && !is_time_or_null(&stamp))
			write_stamp(settlement, NULL, depth + 1, path);
	}
}

/* Settle the stamps of an entry of `alternate`. */
static void
settle_alternate(Settlement *settlement, const JsonbContainer *old, const JsonbContainer *new,
				 bool same, JsonKey node, JsonKey *path)
{
	Location	was = {path[1], node, false, old};
	Location	is = {path[1], node, false, new};

	path[3] = node;
	if (same)
		remove_false_stamps(settlement, new, 4, path);
	else
		settle_object(settlement, old, new, same_location(&was, &is), 4, path);
}

/* Settle the stamps of an asset, and of its other locations. */
static void
settle_asset(Settlement *settlement, const JsonbContainer *old, const JsonbContainer *new,
			 bool same, JsonKey key, JsonKey *path)
{
	static const JsonKey alternate = JSON_KEY("alternate");
	const JsonbContainer *new_alternates = document_object(new, 1, &alternate);
	const JsonbContainer *old_alternates = same ? new_alternates : document_object(old, 1, &alternate);

	path[1] = key;
	if (same)
		remove_false_stamps(settlement, new, 2, path);
	else
	{
		Asset		before = {key, old};
		Asset		after = {key, new};
		Location	is = primary_location(&after);
		Location	was;

		/*
		 * An entry that has become the primary location has brought its
		 * stamps.
		 */
		if (!find_location(&before, is.node, &was))
			was = primary_location(&before);
		settle_object(settlement, was.object, new, same_content(old, new) && same_location(&was, &is), 2, path);
	}
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
	const JsonbContainer *before = document_object(&old->root, 1, properties_path);
	const JsonbContainer *after = document_object(&document->root, 1, properties_path);

	if (before && after)
		settle_object(&settlement, before, after, !may_update, 1, properties_path);
	before = assets_of(old);
	after = assets_of(document);
	if (before && after)
		settle_members(&settlement, before, after, settle_asset, path);
	*fine = settlement.fine;
	return settlement.edit ? document_finish(settlement.edit) : document;
}
