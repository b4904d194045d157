/*
 * verbs/lock.c
 *		Locks what requests concern: see verbs/lock.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/bytes.h"
#include "base/statement.h"
#include "item/dataset.h"
#include "item/settings.h"
#include "json/slice.h"
#include "stac/format.h"
#include "verbs/lock.h"
#include "verbs/outcome.h"

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

/* The longest institution with which a dataset is made before its item. */
#define INSTITUTION_EXPECTED 1000

/*
 * What a dataset is made with, if a request publishes an item: then the item has
 * nothing to add to it. Where it becomes of another kind, or none, this is corrected.
 */
static void
expect_item(ItemRequest *request, EnteredDataset *dataset)
{
	CollectionSettings settings;

	if (request->body == NULL)
		return;
	if (dataset->latest_id == (Datum) 0 &&
		find_collection_settings(VARDATA_ANY(request->collection_id), VARSIZE_ANY_EXHDR(request->collection_id), &settings))
	{
		dataset->latest_id = PointerGetDatum(request->item_id);
		dataset->institution = institution_of(request->body, &settings);
		if (VARSIZE(dataset->institution.value) > INSTITUTION_EXPECTED)
			dataset->institution.value = NULL;
	}
	pfree(request->body);
	request->body = NULL;
}

/*
 * Lock the datasets of requests, or make them; they come in the order of these.
 * Answers one request of each that was made.
 */
static List *
enter_datasets_of(List *requests)
{
	int			length = list_length(requests);
	EnteredDataset *datasets = palloc0(sizeof(EnteredDataset) * Max(1, length));
	ItemRequest **first = palloc(sizeof(ItemRequest *) * Max(1, length));
	List	   *made = NIL;
	int			count = 0;

	for (int i = 0; i < length; i++)
	{
		ItemRequest *request = list_nth(requests, i);

		if (i == 0 || compare_datasets(list_nth_cell(requests, i - 1), list_nth_cell(requests, i)) != 0)
		{
			ParsedId	id;

			parse_item_id(VARDATA_ANY(request->item_id), VARSIZE_ANY_EXHDR(request->item_id), &id);
			datasets[count].collection_id = PointerGetDatum(request->collection_id);
			datasets[count].base_id = PointerGetDatum(cstring_to_text_with_len(id.id, id.base_len));
			first[count++] = request;
		}
		expect_item(request, &datasets[count - 1]);
	}
	enter_datasets(datasets, count);
	for (int i = 0; i < count; i++)
		if (datasets[i].made)
			made = lappend(made, first[i]);
	return made;
}

/*
 * Lock the items of requests, which come in the order of these. Each is looked
 * for by itself, LATERAL, however many there are.
 */
static void
lock_items(List *requests)
{
	static Statement statement = {
		"SELECT pg_catalog.count(*) FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS k (collection_id, id),"
		" LATERAL (SELECT FROM esgf_stac.item AS i WHERE i.collection_id OPERATOR(pg_catalog.=) k.collection_id"
		" AND i.id OPERATOR(pg_catalog.=) k.id FOR NO KEY UPDATE) AS locked",
		2, {TEXTARRAYOID, TEXTARRAYOID}
	};
	int			length = list_length(requests);
	Datum	   *collections = palloc(sizeof(Datum) * Max(1, length));
	Datum	   *ids = palloc(sizeof(Datum) * Max(1, length));
	Datum		values[2];
	int			count = 0;

	for (int i = 0; i < length; i++)
	{
		const ItemRequest *request = list_nth(requests, i);

		if (i > 0 && compare_items(list_nth_cell(requests, i - 1), list_nth_cell(requests, i)) == 0)
			continue;
		collections[count] = PointerGetDatum(request->collection_id);
		ids[count++] = PointerGetDatum(request->item_id);
	}
	if (count == 0)
		return;
	values[0] = PointerGetDatum(construct_array(collections, count, TEXTOID, -1, false, TYPALIGN_INT));
	values[1] = PointerGetDatum(construct_array(ids, count, TEXTOID, -1, false, TYPALIGN_INT));
	SPI_connect();
	run_statement(&statement, values, NULL);
	SPI_finish();
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
	List	   *made;
	ListCell   *cell;

	foreach(cell, requests)
		if (is_possible(lfirst(cell)))
		sorted = lappend(sorted, lfirst(cell));
	list_sort(sorted, compare_datasets);
	made = enter_datasets_of(sorted);
	list_sort(sorted, compare_items);
	lock_items(sorted);
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

		if (request->outcome->problem == NULL && request->outcome->receipt.created)
			continue;
		parse_item_id(VARDATA_ANY(request->item_id), VARSIZE_ANY_EXHDR(request->item_id), &id);
		forget_dataset_if_empty(PointerGetDatum(request->collection_id), &id);
	}
}
