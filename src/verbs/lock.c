/*
 * verbs/lock.c
 *		Locks what requests concern: see verbs/lock.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "base/bytes.h"
#include "base/statement.h"
#include "item/dataset.h"

#include "item/settings.h"
#include "json/slice.h"
#include "stac/format.h"
#include "verbs/lock.h"

/* Read and lock the item; the caller has connected to SPI. */
static void
lock_item(const ItemRequest *request, CurrentItem *current)
{
	static Statement statement = {
		"SELECT version, deleted, updated, document FROM esgf_stac.item"
		" WHERE collection_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2 FOR NO KEY UPDATE",
		2, {TEXTOID, TEXTOID}
	};
	Datum		values[2] = {PointerGetDatum(request->collection_id), PointerGetDatum(request->item_id)};
	HeapTuple	row;
	TupleDesc	desc;
	bool		isnull;

	current->exists = run_statement(&statement, values, NULL) == 1;
	if (!current->exists)
		return;
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	current->version = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
	current->deleted = DatumGetBool(SPI_getbinval(row, desc, 2, &isnull));
	current->updated = DatumGetTimestampTz(SPI_getbinval(row, desc, 3, &isnull));
	current->document = SPI_getbinval(row, desc, 4, &isnull);
}

/* Does a change of this item concern other versions of its dataset? */
static bool
concerns_dataset(const ItemRequest *request, const CollectionSettings *settings)
{
	if (request->method->dataset != DATASET_LOCKED_BY_PATCH)
		return request->method->dataset == DATASET_LOCKED;
	return patch_touches(request->patch, "/properties/latest") || patch_touches(request->patch, "/properties/retracted") ||
		patch_touches(request->patch, settings->institution_path);
}

/* Lock the item of a request, and its dataset if that is concerned; SPI is connected. */
void
lock_requested_item(const ItemRequest *request, const CollectionSettings *settings, CurrentItem *current)
{
	ParsedId	id;

	current->exists = current->deleted = false;
	parse_item_id(VARDATA_ANY(request->item_id), VARSIZE_ANY_EXHDR(request->item_id), &id);

	/*
	 * An item that appears after this look is not locked, nor seen, out of
	 * order.
	 */
	if (!concerns_dataset(request, settings) || lock_dataset(PointerGetDatum(request->collection_id), &id))
		lock_item(request, current);
}

/* Order requests by their collections. */
static int
compare_collections(const ItemRequest *a, const ItemRequest *b)
{
	return compare_texts(a->collection_id, b->collection_id);
}

/* Order requests by their items. */
static int
compare_items(const ListCell *a, const ListCell *b)
{
	const ItemRequest *ra = lfirst(a);
	const ItemRequest *rb = lfirst(b);
	int			result = compare_collections(ra, rb);

	return result ? result : compare_texts(ra->item_id, rb->item_id);
}

/* Order requests by the datasets of their items. */
static int
compare_datasets(const ListCell *a, const ListCell *b)
{
	const ItemRequest *ra = lfirst(a);
	const ItemRequest *rb = lfirst(b);
	ParsedId	ida;
	ParsedId	idb;
	int			result = compare_collections(ra, rb);

	parse_item_id(VARDATA_ANY(ra->item_id), VARSIZE_ANY_EXHDR(ra->item_id), &ida);
	parse_item_id(VARDATA_ANY(rb->item_id), VARSIZE_ANY_EXHDR(rb->item_id), &idb);
	return result ? result : compare_bytes(ida.id, ida.base_len, idb.id, idb.base_len);
}

/* Could there be such an item? */
static bool
is_possible(const ItemRequest *request)
{
	CollectionSettings settings;

	return find_collection_settings(VARDATA_ANY(request->collection_id), VARSIZE_ANY_EXHDR(request->collection_id), &settings) &&
		id_problem(VARDATA_ANY(request->item_id), VARSIZE_ANY_EXHDR(request->item_id)) == NULL;
}

/*
 * Lock what many requests concern, in one order, so that two such calls never
 * wait for each other: all datasets, made where there are none so that no item
 * appears meanwhile, then all items. Answers the datasets that were made, for
 * forget_empty_datasets().
 */
List *
lock_items_of_requests(List *requests)
{
	List	   *sorted = NIL;
	List	   *made = NIL;
	ListCell   *cell;
	CurrentItem current;

	foreach(cell, requests)
		if (is_possible(lfirst(cell)))
		sorted = lappend(sorted, lfirst(cell));
	list_sort(sorted, compare_datasets);
	foreach(cell, sorted)
	{
		ItemRequest *request = lfirst(cell);
		Datum		collection = PointerGetDatum(request->collection_id);
		ParsedId	id;

		parse_item_id(VARDATA_ANY(request->item_id), VARSIZE_ANY_EXHDR(request->item_id), &id);
		if (!lock_dataset(collection, &id))
		{
			enter_dataset(collection, &id, false, NULL);
			made = lappend(made, request);
		}
	}
	list_sort(sorted, compare_items);
	SPI_connect();
	foreach(cell, sorted)
		lock_item(lfirst(cell), &current);
	SPI_finish();
	return made;
}

/* Remove the datasets that were made for items which did not appear after all. */
void
forget_empty_datasets(List *requests)
{
	ListCell   *cell;

	foreach(cell, requests)
	{
		ItemRequest *request = lfirst(cell);
		ParsedId	id;

		parse_item_id(VARDATA_ANY(request->item_id), VARSIZE_ANY_EXHDR(request->item_id), &id);
		forget_dataset_if_empty(PointerGetDatum(request->collection_id), &id);
	}
}
