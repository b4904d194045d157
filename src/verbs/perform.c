/*
 * verbs/perform.c
 *		Performs a request to change one item: see verbs/perform.h.
 *
 * The verbs see to the form of a request, to preconditions and to the patch;
 * all other rules are the triggers' (item/row.c). Locks are taken in one order,
 * dataset before item, so that verbs never deadlock.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "access/identity.h"
#include "access/judge.h"
#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/statement.h"
#include "change/client_patch.h"
#include "change/replica.h"
#include "item/collection.h"
#include "item/dataset.h"
#include "item/document.h"
#include "json/build.h"
#include "json/edit.h"
#include "json/slice.h"
#include "stac/item.h"
#include "verbs/perform.h"

static const char *const method_names[] = {
	[METHOD_POST] = "POST",
	[METHOD_PUT] = "PUT",
	[METHOD_UPSERT] = "UPSERT",
	[METHOD_PATCH] = "PATCH",
	[METHOD_DELETE] = "DELETE",
	[METHOD_RESTORE] = "RESTORE",
	[METHOD_RETRACT] = "RETRACT",
	[METHOD_REINSTATE] = "REINSTATE",
	[METHOD_ADD_REPLICA] = "ADD_REPLICA",
	[METHOD_REMOVE_REPLICA] = "REMOVE_REPLICA",
	[METHOD_CHECK] = "CHECK"
};

/* The item as it stands, locked. */
typedef struct CurrentItem
{
	bool		exists;
	bool		deleted;
	int64		version;
	TimestampTz updated;
	Datum		document;		/* as stored */
} CurrentItem;

/* Find a method by its name. */
bool
find_method(const char *name, int len, Method *method)
{
	for (int i = 0; i < (int) lengthof(method_names); i++)
	{
		if ((int) strlen(method_names[i]) == len && memcmp(method_names[i], name, len) == 0)
		{
			*method = i;
			return true;
		}
	}
	return false;
}

/* Refuse a request for an item that is not there. */
static void
item_missing(const ItemRequest *request)
{
	ereport(ERROR,
			(errproblem(PROBLEM_ITEM_DOES_NOT_EXIST), errtable_of("item"),
			 errsentence("item \"%s\" does not exist in collection \"%s\"",
						 text_to_cstring(request->item_id), text_to_cstring(request->collection_id))));
}

/* The id that a document gives itself, or NULL. */
text *
document_id(Jsonb *document)
{
	JsonbValue	id;

	if (document_get(&document->root, &id, JSON_PATH(JSON_KEY("id"))) && id.type == jbvString)
		return cstring_to_text_with_len(id.val.string.val, id.val.string.len);
	return NULL;
}

/* Refuse a document to be created that has no id, for all that is wrong with it. */
static void
refuse_without_id(Jsonb *document)
{
	ProblemList problems = {0};

	check_stac_item(&document->root, &problems);
	report_problems(&problems, "item", "document is not a STAC item");
}

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

/* Is the item there, seen without a lock? */
static bool
item_exists(const ItemRequest *request)
{
	static Statement statement = {
		"SELECT FROM esgf_stac.item"
		" WHERE collection_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
		2, {TEXTOID, TEXTOID}
	};
	Datum		values[2] = {PointerGetDatum(request->collection_id), PointerGetDatum(request->item_id)};

	return run_statement(&statement, values, NULL) == 1;
}

/* Refuse a request whose precondition does not hold for the item that is there. */
static void
check_preconditions(const ItemRequest *request, const CurrentItem *current)
{
	if ((request->has_if_match && request->if_match != current->version) ||
		(request->has_if_unmodified_since && current->updated > request->if_unmodified_since))
		ereport(ERROR,
				(errproblem(PROBLEM_VERSION_CONFLICT), errtable_of("item"),
				 errmsg("item \"%s\" has changed", text_to_cstring(request->item_id)),
				 errdetail_version(current->version,
								   psprintf("The current version is " INT64_FORMAT ", of %s.",
											current->version, format_time(current->updated)))));
}

/* Refuse a request without a precondition where the collection wants one. */
static void
require_precondition(const ItemRequest *request, const CollectionSettings *settings)
{
	if (settings->require_version && request->method != METHOD_ADD_REPLICA && request->method != METHOD_REMOVE_REPLICA &&
		!request->has_if_match && !request->has_if_unmodified_since)
		ereport(ERROR,
				(errproblem(PROBLEM_VERSION_REQUIRED), errtable_of("item"),
				 errmsg("collection \"%s\" wants a version with each change", text_to_cstring(request->collection_id))));
}

/* Insert the item; false if somebody else has done so meanwhile. */
static bool
insert_item(ItemRequest *request)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ($1, $2, $3)"
		" ON CONFLICT (collection_id, id) DO NOTHING",
		3, {TEXTOID, TEXTOID, JSONBOID}
	};
	Datum		values[3] = {PointerGetDatum(request->collection_id), PointerGetDatum(request->item_id),
	JsonbPGetDatum(request->body)};

	return run_on_occasion(&request->occasion, &statement, values, NULL) == 1;
}

/* Write the item's new state; the triggers find out what has changed. */
static void
update_item(ItemRequest *request, Datum document, bool deleted)
{
	static Statement statement = {
		"UPDATE esgf_stac.item SET document = $3, deleted = $4, reason = $5"
		" WHERE collection_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
		5, {TEXTOID, TEXTOID, JSONBOID, BOOLOID, TEXTOID}
	};
	Datum		values[5] = {PointerGetDatum(request->collection_id), PointerGetDatum(request->item_id),
	document, BoolGetDatum(deleted), PointerGetDatum(request->reason)};

	run_on_occasion(&request->occasion, &statement, values, request->reason ? NULL : "    n");
}

/* Refuse to create an item of which a version is expected. */
static void
check_creation(const ItemRequest *request)
{
	if (request->has_if_match && request->if_match != 0)
		ereport(ERROR,
				(errproblem(PROBLEM_VERSION_CONFLICT), errtable_of("item"),
				 errsentence("item \"%s\" does not exist, in no version", text_to_cstring(request->item_id)),
				 errdetail_version(0, "The current version is 0, which stands for none."),
				 errhint("Leave out if_match, or say 0, to create it.")));
}

/* Create an item; false if one of that id is active. */
static bool
create(ItemRequest *request)
{
	CurrentItem current;
	ParsedId	id;

	while (!item_exists(request))
	{
		check_creation(request);
		if (insert_item(request))
			return true;
	}
	parse_item_id(VARDATA_ANY(request->item_id), VARSIZE_ANY_EXHDR(request->item_id), &id);
	lock_dataset(PointerGetDatum(request->collection_id), &id);
	lock_item(request, &current);
	if (!current.deleted)
		return false;
	check_creation(request);
	update_item(request, JsonbPGetDatum(request->body), false);
	return true;
}

/* Create an item that must not be there. */
static void
post(ItemRequest *request)
{
	if (!create(request))
		ereport(ERROR,
				(errproblem(PROBLEM_ITEM_ALREADY_EXISTS), errtable_of("item"),
				 errmsg("item \"%s\" exists already in collection \"%s\"",
						text_to_cstring(request->item_id), text_to_cstring(request->collection_id))));
}

/* See whether a condition holds; nothing changes. */
static void
check(ItemRequest *request)
{
	CurrentItem current;

	lock_item(request, &current);
	if (!current.exists || current.deleted)
	{
		if (!request->has_if_match || request->if_match != 0)
			item_missing(request);
		return;
	}
	request->occasion.receipt.version = current.version;
	check_preconditions(request, &current);
}

/* A replacement, its id filled in where it has none. */
static Jsonb *
with_id(Jsonb *document, const text *id)
{
	JsonbValue	value;
	DocumentEdit *edit;

	if (!JB_ROOT_IS_OBJECT(document) ||
		(document_get(&document->root, &value, JSON_PATH(JSON_KEY("id"))) && value.type != jbvNull))
		return document;
	value.type = jbvString;
	value.val.string.val = VARDATA_ANY(id);
	value.val.string.len = VARSIZE_ANY_EXHDR(id);
	edit = document_edit(document);
	document_set(edit, &value, JSON_PATH(JSON_KEY("id")));
	return document_finish(edit);
}

/* A document without a replica; that the last one stays is told to those who may remove it. */
static Jsonb *
without_replica(ItemRequest *request, const CollectionSettings *settings, Jsonb *document)
{
	Change		removal;
	const Location *last;
	Jsonb	   *result = remove_replica(document, request->node, &removal, &last);
	JudgedChange judged = {text_to_cstring(request->collection_id), settings->institution_path, document, document};

	if (result)
		return result;
	judged.change = &removal;
	judged.explanation = request->occasion.explanation;
	judge_change(&judged);
	refuse_last_replica(last);
	return NULL;
}

/* Change an item that is there. */
static void
change(ItemRequest *request, const CollectionSettings *settings, const CurrentItem *current)
{
	Jsonb	   *document;

	switch (request->method)
	{
		case METHOD_PUT:
		case METHOD_UPSERT:
			document = keep_alternates(with_id(request->body, request->item_id), DatumGetJsonbP(current->document));
			update_item(request, JsonbPGetDatum(document), false);
			break;
		case METHOD_PATCH:
			document = apply_patch(DatumGetJsonbP(current->document), request->body, settings->max_document_bytes);
			update_item(request, JsonbPGetDatum(document), false);
			break;
		case METHOD_DELETE:
			update_item(request, current->document, true);
			break;
		case METHOD_RESTORE:
			update_item(request, current->document, false);
			break;
		case METHOD_RETRACT:
		case METHOD_REINSTATE:
			document = DatumGetJsonbP(current->document);
			if ((document_flag(document, "retracted") == FLAG_TRUE) != (request->method == METHOD_RETRACT))
				document = set_document_flags(document, false, request->method == METHOD_RETRACT);
			update_item(request, JsonbPGetDatum(document), false);
			break;
		case METHOD_ADD_REPLICA:
			document = add_replica(DatumGetJsonbP(current->document), request->node, request->body);
			update_item(request, JsonbPGetDatum(document), false);
			break;
		case METHOD_REMOVE_REPLICA:
			document = without_replica(request, settings, DatumGetJsonbP(current->document));
			update_item(request, JsonbPGetDatum(document), false);
			break;
		case METHOD_POST:
		case METHOD_CHECK:
			pg_unreachable();
	}
}

/* May this request make its item latest, end that, or give it to another institution? Then its dataset is locked first. */
static bool
concerns_dataset(const ItemRequest *request, const CollectionSettings *settings)
{
	switch (request->method)
	{
		case METHOD_PATCH:
			return patch_touches(request->body, "/properties/latest") || patch_touches(request->body, "/properties/retracted") ||
				patch_touches(request->body, settings->institution_path);
		case METHOD_ADD_REPLICA:
		case METHOD_REMOVE_REPLICA:
			return false;
		default:
			return true;
	}
}

/* Lock the item, see whether it may be changed, and change it. */
static void
find_and_change(ItemRequest *request, const CollectionSettings *settings)
{
	CurrentItem current;
	ParsedId		id;

	parse_item_id(VARDATA_ANY(request->item_id), VARSIZE_ANY_EXHDR(request->item_id), &id);
	/* An item that appears after this look is not locked, nor seen, out of order. */
	if (concerns_dataset(request, settings) && !lock_dataset(PointerGetDatum(request->collection_id), &id))
		item_missing(request);
	lock_item(request, &current);
	if (!current.exists || (current.deleted && request->method != METHOD_RESTORE))
		item_missing(request);
	request->occasion.receipt.version = current.version;
	check_preconditions(request, &current);
	require_precondition(request, settings);
	if (request->method == METHOD_RESTORE && !current.deleted)
		ereport(ERROR,
				(errproblem(PROBLEM_ITEM_ALREADY_EXISTS), errtable_of("item"),
				 errmsg("item \"%s\" is not deleted", text_to_cstring(request->item_id)),
				 errhint("There is nothing to restore.")));
	change(request, settings, &current);
}

/* Order requests by their collections. */
static int
compare_collections(const ItemRequest *a, const ItemRequest *b)
{
	return compare_bytes(VARDATA_ANY(a->collection_id), VARSIZE_ANY_EXHDR(a->collection_id),
						 VARDATA_ANY(b->collection_id), VARSIZE_ANY_EXHDR(b->collection_id));
}

/* Order requests by their items. */
static int
compare_items(const ListCell *a, const ListCell *b)
{
	const ItemRequest *ra = lfirst(a);
	const ItemRequest *rb = lfirst(b);
	int			result = compare_collections(ra, rb);

	return result ? result : compare_bytes(VARDATA_ANY(ra->item_id), VARSIZE_ANY_EXHDR(ra->item_id),
										   VARDATA_ANY(rb->item_id), VARSIZE_ANY_EXHDR(rb->item_id));
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

/*
 * Lock what many requests concern, in one order, so that two such calls never
 * wait for each other: all datasets, made where there are none so that no item
 * appears meanwhile, then all items. Answers the datasets that were made, for
 * forget_empty_datasets().
 */
List *
lock_items_of_requests(List *requests)
{
	List	   *sorted = list_copy(requests);
	List	   *made = NIL;
	ListCell   *cell;
	CurrentItem current;

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

/* What a request was asked to do, for its event; NULL where the document says it all. */
static Jsonb *
describe_request(const ItemRequest *request)
{
	JsonbParseState *state = NULL;
	const char *method = method_names[request->method];
	Jsonb	   *described;

	if (request->method == METHOD_PATCH)
		return request->body;
	if (request->body && request->method != METHOD_ADD_REPLICA)
		return NULL;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (request->has_if_match)
		push_number_member(&state, "if_match", request->if_match);
	push_string_member(&state, "method", method, strlen(method));
	if (request->node)
		push_string_member(&state, "node", VARDATA_ANY(request->node), VARSIZE_ANY_EXHDR(request->node));
	if (request->reason)
		push_string_member(&state, "reason", VARDATA_ANY(request->reason), VARSIZE_ANY_EXHDR(request->reason));
	described = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	return request->method == METHOD_ADD_REPLICA ? with_member(described, "alternates", request->body) : described;
}

/* Do what the method says. */
static void
dispatch(ItemRequest *request, const CollectionSettings *settings)
{
	switch (request->method)
	{
		case METHOD_POST:
			post(request);
			request->occasion.receipt.created = true;
			break;
		case METHOD_CHECK:
			check(request);
			break;
		case METHOD_UPSERT:
			request->occasion.receipt.created = create(request);
			if (!request->occasion.receipt.created)
				find_and_change(request, settings);
			break;
		default:
			find_and_change(request, settings);
	}
}

/* Refuse a request that names something too long. */
void
check_request_lengths(const ItemRequest *request)
{
	check_length("collection_id", request->collection_id, NAME_MAX_LENGTH);
	check_length("item_id", request->item_id, NAME_MAX_LENGTH);
	check_length("node", request->node, NAME_MAX_LENGTH);
	check_length("reason", request->reason, REASON_MAX_LENGTH);
}

/* Perform a request; the receipt of its occasion tells what that did. */
void
perform_item_request(ItemRequest *request)
{
	CollectionSettings settings;
	Occasion   *occasion = &request->occasion;

	if (request->method == METHOD_POST || (request->method == METHOD_UPSERT && request->item_id == NULL))
	{
		request->item_id = document_id(request->body);
		if (request->item_id == NULL)
			refuse_without_id(request->body);
	}
	else if (request->method == METHOD_PATCH)
		check_patch_form(request->body, "item");
	else if (request->method == METHOD_ADD_REPLICA)
		check_alternates_form(request->body);
	require_writable_catalogue();
	require_identity();
	get_collection_settings(VARDATA_ANY(request->collection_id), VARSIZE_ANY_EXHDR(request->collection_id), &settings);

	occasion->kind = BY_VERB;
	occasion->request = describe_request(request);
	occasion->request_id = request->request_id;
	SPI_connect();
	if (request->method == METHOD_PATCH)
		request->body = prepare_patch(request->body, settings.ignore_null_members);
	dispatch(request, &settings);
	SPI_finish();
}
