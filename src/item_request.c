/*
 * item_request.c
 *		Performs a request to change one item: see item_request.h.
 *
 * The verbs see to the form of a request, to preconditions and to the patch;
 * all other rules are the triggers' (item.c). Locks are taken in one order,
 * dataset before item, so that verbs never deadlock.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "catalogue.h"
#include "collection.h"
#include "compat.h"
#include "dataset.h"
#include "document.h"
#include "errors.h"
#include "item_document.h"
#include "item_request.h"
#include "json_build.h"
#include "patch.h"
#include "stac_item.h"

/* The item as it stands, locked. */
typedef struct CurrentItem
{
	bool		exists;
	bool		deleted;
	int64		version;
	TimestampTz updated;
	Datum		document;		/* as stored */
} CurrentItem;

/* Refuse a request for an item that is not there. */
static void
item_missing(const ItemRequest *request)
{
	ereport(ERROR,
			(errproblem(PROBLEM_ITEM_DOES_NOT_EXIST), errtable_of("item"),
			 errmsg("item \"%s\" does not exist in collection \"%s\"",
					text_to_cstring(request->item_id), text_to_cstring(request->collection_id)),
			 errhint("Create it, or look for it in esgf_stac.published_item.")));
}

/* The id that a document to be created gives itself. */
static text *
document_id(Jsonb *document)
{
	ProblemList problems = {0};
	JsonbValue	id;

	if (document_get(&document->root, &id, JSON_PATH(JSON_KEY("id"))) && id.type == jbvString)
		return cstring_to_text_with_len(id.val.string.val, id.val.string.len);
	check_stac_item(&document->root, &problems);
	report_problems(&problems, "item", "document is not a STAC item");
	pg_unreachable();
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

/* Refuse a request whose precondition does not hold, or that lacks one. */
static void
check_preconditions(const ItemRequest *request, const CurrentItem *current, const CollectionSettings *settings)
{
	if ((request->if_match && *request->if_match != current->version) ||
		(request->if_unmodified_since && current->updated > *request->if_unmodified_since))
		ereport(ERROR,
				(errproblem(PROBLEM_VERSION_CONFLICT), errtable_of("item"),
				 errmsg("item \"%s\" has changed", text_to_cstring(request->item_id)),
				 errdetail("The current version is " INT64_FORMAT ", of %s.",
						   current->version, format_time(current->updated)),
				 errhint("Read it again, and decide whether your change still makes sense.")));
	if (settings->require_version && !request->if_match && !request->if_unmodified_since)
		ereport(ERROR,
				(errproblem(PROBLEM_VERSION_REQUIRED), errtable_of("item"),
				 errmsg("collection \"%s\" wants a version with each change", text_to_cstring(request->collection_id)),
				 errhint("Give the version that you have read as if_match.")));
}

/* Insert the item; false if somebody else has done so meanwhile. */
static bool
insert_item(const ItemRequest *request)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ($1, $2, $3)"
		" ON CONFLICT (collection_id, id) DO NOTHING",
		3, {TEXTOID, TEXTOID, JSONBOID}
	};
	Datum		values[3] = {PointerGetDatum(request->collection_id), PointerGetDatum(request->item_id),
	JsonbPGetDatum(request->body)};

	return run_statement(&statement, values, NULL) == 1;
}

/* Write the item's new state; the triggers find out what has changed. */
static void
update_item(const ItemRequest *request, Datum document, bool deleted)
{
	static Statement statement = {
		"UPDATE esgf_stac.item SET document = $3, deleted = $4, reason = $5"
		" WHERE collection_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
		5, {TEXTOID, TEXTOID, JSONBOID, BOOLOID, TEXTOID}
	};
	Datum		values[5] = {PointerGetDatum(request->collection_id), PointerGetDatum(request->item_id),
	document, BoolGetDatum(deleted), PointerGetDatum(request->reason)};

	run_statement(&statement, values, request->reason ? NULL : "    n");
}

/* Create an item that is not there, or bring back a deleted one. */
static void
create(const ItemRequest *request)
{
	CurrentItem current;
	ParsedId		id;

	while (!item_exists(request))
		if (insert_item(request))
			return;
	parse_item_id(VARDATA_ANY(request->item_id), VARSIZE_ANY_EXHDR(request->item_id), &id);
	lock_dataset(PointerGetDatum(request->collection_id), &id);
	lock_item(request, &current);
	if (!current.deleted)
		ereport(ERROR,
				(errproblem(PROBLEM_ITEM_ALREADY_EXISTS), errtable_of("item"),
				 errmsg("item \"%s\" exists already in collection \"%s\"",
						text_to_cstring(request->item_id), text_to_cstring(request->collection_id)),
				 errdetail("Its version is " INT64_FORMAT ".", current.version),
				 errhint("Patch or replace it, or publish another version of the dataset.")));
	update_item(request, JsonbPGetDatum(request->body), false);
}

/* Change an item that is there. */
static void
change(const ItemRequest *request, const CurrentItem *current)
{
	Jsonb	   *document;

	switch (request->method)
	{
		case METHOD_PUT:
			update_item(request, JsonbPGetDatum(request->body), false);
			break;
		case METHOD_PATCH:
			document = apply_patch(DatumGetJsonbP(current->document), request->body);
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
		case METHOD_POST:
			pg_unreachable();
	}
}

/* May this request make its item latest, or end that? Then its dataset is locked first. */
static bool
concerns_dataset(const ItemRequest *request)
{
	return request->method != METHOD_PATCH || patch_touches_flags(request->body);
}

/* Lock the item, see whether it may be changed, and change it. */
static void
find_and_change(const ItemRequest *request, const CollectionSettings *settings)
{
	CurrentItem current;
	ParsedId		id;

	parse_item_id(VARDATA_ANY(request->item_id), VARSIZE_ANY_EXHDR(request->item_id), &id);
	if (concerns_dataset(request))
		lock_dataset(PointerGetDatum(request->collection_id), &id);
	lock_item(request, &current);
	if (!current.exists || (current.deleted && request->method != METHOD_RESTORE))
		item_missing(request);
	last_receipt.version = current.version;
	check_preconditions(request, &current, settings);
	if (request->method == METHOD_RESTORE && !current.deleted)
		ereport(ERROR,
				(errproblem(PROBLEM_ITEM_ALREADY_EXISTS), errtable_of("item"),
				 errmsg("item \"%s\" is not deleted", text_to_cstring(request->item_id)),
				 errhint("There is nothing to restore.")));
	change(request, &current);
}

/* The method and the arguments of a request that has no body, for its event. */
Jsonb *
describe_request(const ItemRequest *request)
{
	static const char *const methods[] = {
		[METHOD_POST] = "POST", [METHOD_PUT] = "PUT", [METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE",
		[METHOD_RESTORE] = "RESTORE", [METHOD_RETRACT] = "RETRACT", [METHOD_REINSTATE] = "REINSTATE"
	};
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (request->if_match)
		push_number_member(&state, "if_match", *request->if_match);
	push_string_member(&state, "method", methods[request->method], strlen(methods[request->method]));
	if (request->reason)
		push_string_member(&state, "reason", VARDATA_ANY(request->reason), VARSIZE_ANY_EXHDR(request->reason));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Perform a request and tell what it did. */
void
perform_item_request(ItemRequest *request, Receipt *receipt)
{
	CollectionSettings settings;

	if (request->method == METHOD_POST)
		request->item_id = document_id(request->body);
	else if (request->method == METHOD_PATCH)
		check_patch_form(request->body);
	get_writable_catalogue();
	get_collection_settings(VARDATA_ANY(request->collection_id), VARSIZE_ANY_EXHDR(request->collection_id), &settings);
	if (request->method == METHOD_PATCH)
		request->body = prepare_patch(request->body, &settings);

	memset(&last_receipt, 0, sizeof(last_receipt));
	SPI_connect();
	request_under_way = request->as_submitted;
	PG_TRY();
	{
		if (request->method == METHOD_POST)
			create(request);
		else
			find_and_change(request, &settings);
	}
	PG_FINALLY();
	{
		request_under_way = NULL;
	}
	PG_END_TRY();
	SPI_finish();
	*receipt = last_receipt;
}
