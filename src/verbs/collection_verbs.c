/*
 * verbs/collection_verbs.c
 *		The SQL functions that change one collection: each is a request, as those
 *		of items are, that names no item. The rules are the triggers'
 *		(item/collection.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "access/maintenance.h"
#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/statement.h"
#include "item/collection.h"
#include "verbs/perform.h"
#include "verbs/verbs.h"

PG_FUNCTION_INFO_V1(esgf_create_collection);
PG_FUNCTION_INFO_V1(esgf_replace_collection);
PG_FUNCTION_INFO_V1(esgf_patch_collection);
PG_FUNCTION_INFO_V1(esgf_delete_collection);
PG_FUNCTION_INFO_V1(esgf_lock_collection);

/* The argument that names the collection. */
static text *
collection_argument(FunctionCallInfo fcinfo)
{
	return DatumGetTextPP(required_argument(fcinfo, 0, "collection_id", "collection",
											"SELECT id FROM esgf_stac.collection WHERE NOT deleted lists the collections."));
}

/* The argument that is a document. */
static Jsonb *
document_argument(FunctionCallInfo fcinfo, int number)
{
	return DatumGetJsonbP(required_argument(fcinfo, number, "document", "collection", "Give it a STAC collection."));
}

/* Lock a collection, deleted or not, and read it; false: there is none. SPI is connected. */
static bool
lock_to_change(Datum collection_id, int64 *version, Datum *document, bool *deleted)
{
	static Statement statement = {
		"SELECT version, document, deleted FROM esgf_stac.collection WHERE id OPERATOR(pg_catalog.=) $1 FOR UPDATE",
		1, {TEXTOID}
	};
	HeapTuple	row;
	TupleDesc	desc;
	bool		isnull;

	if (run_statement(&statement, &collection_id, NULL) == 0)
		return false;
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	*version = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
	*document = SPI_getbinval(row, desc, 2, &isnull);
	*deleted = DatumGetBool(SPI_getbinval(row, desc, 3, &isnull));
	return true;
}

/* Lock and read a collection that must be there. */
static int64
lock_active(const text *collection_id, Datum *document)
{
	int64		version;
	bool		deleted;

	if (!lock_to_change(PointerGetDatum(collection_id), &version, document, &deleted) || deleted)
		collection_missing(VARDATA_ANY(collection_id), VARSIZE_ANY_EXHDR(collection_id));
	return version;
}

/* Insert the collection; false if there is one of that id, deleted or not. */
static bool
insert_collection(ItemRequest *request)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.collection (id, document) VALUES ($1, $2) ON CONFLICT DO NOTHING",
		2, {TEXTOID, JSONBOID}
	};
	Datum		values[2] = {PointerGetDatum(request->collection_id), JsonbPGetDatum(request->body)};

	return run_on_occasion(&request->occasion, &statement, values, NULL) == 1;
}

/* Write the collection's new state. */
static void
update_collection(ItemRequest *request, Datum document)
{
	static Statement statement = {
		"UPDATE esgf_stac.collection SET document = $2, deleted = $3 WHERE id OPERATOR(pg_catalog.=) $1",
		3, {TEXTOID, JSONBOID, BOOLOID}
	};
	Datum		values[3] = {PointerGetDatum(request->collection_id), document, BoolGetDatum(request->method->deletes)};

	run_on_occasion(&request->occasion, &statement, values, NULL);
}

/* Create a collection, or bring back a deleted one. */
static void
create_collection(ItemRequest *request)
{
	Datum		document;
	bool		deleted;

	if (insert_collection(request))
		return;
	if (lock_to_change(PointerGetDatum(request->collection_id), &request->occasion.receipt.version, &document, &deleted) && !deleted)
		ereport(ERROR,
				(errproblem(PROBLEM_COLLECTION_ALREADY_EXISTS), errtable_of("collection"),
				 errsentence("collection \"%s\" exists already", text_to_cstring(request->collection_id))));
	update_collection(request, JsonbPGetDatum(request->body));
}

/* What a request makes of the document of a collection. */
static Datum
new_document(const ItemRequest *request, Datum document)
{
	if (request->patch)
		return JsonbPGetDatum(apply_patch(DatumGetJsonbP(document), request->patch, COLLECTION_DOCUMENT_MAX));
	if (request->method->body == BODY_ITEM)
		return JsonbPGetDatum(with_id(request->body, request->collection_id));
	return document;
}

/* Perform a request that has been read. */
static Datum
perform_collection_request(FunctionCallInfo fcinfo, ItemRequest *request)
{
	Datum		document;

	require_open();
	require_writable_catalogue();
	request->occasion.kind = BY_VERB;
	request->occasion.request = describe_request(request);
	SPI_connect();
	if (request->method->creates)
		create_collection(request);
	else
	{
		request->occasion.receipt.version = lock_active(request->collection_id, &document);
		update_collection(request, new_document(request, document));
	}
	SPI_finish();
	return receipt_datum(fcinfo, request);
}

/* create_collection(document) */
Datum
esgf_create_collection(PG_FUNCTION_ARGS)
{
	ItemRequest request = {find_method("POST", 4)};

	request.body = document_argument(fcinfo, 0);
	request.collection_id = document_id(request.body);

	/*
	 * A document without an id is refused by the trigger, with all else that
	 * it lacks.
	 */
	if (request.collection_id == NULL)
		request.collection_id = cstring_to_text("");
	return perform_collection_request(fcinfo, &request);
}

/* replace_collection(collection_id, document) */
Datum
esgf_replace_collection(PG_FUNCTION_ARGS)
{
	ItemRequest request = {find_method("PUT", 3), collection_argument(fcinfo)};

	request.body = document_argument(fcinfo, 1);
	return perform_collection_request(fcinfo, &request);
}

/* patch_collection(collection_id, patch) */
Datum
esgf_patch_collection(PG_FUNCTION_ARGS)
{
	ItemRequest request = {find_method("PATCH", 5), collection_argument(fcinfo)};

	request.body = DatumGetJsonbP(required_argument(fcinfo, 1, "patch", "collection",
													"Give it a merge patch (an object) or a JSON patch (an array)."));
	request.patch = read_patch(request.body, "collection");
	return perform_collection_request(fcinfo, &request);
}

/* delete_collection(collection_id) */
Datum
esgf_delete_collection(PG_FUNCTION_ARGS)
{
	ItemRequest request = {find_method("DELETE", 6), collection_argument(fcinfo)};

	return perform_collection_request(fcinfo, &request);
}

/* lock_collection(collection_id): answers the version of one that must be there. */
Datum
esgf_lock_collection(PG_FUNCTION_ARGS)
{
	text	   *collection_id = collection_argument(fcinfo);
	Datum		document;
	int64		version;

	require_open();
	require_writable_catalogue();
	SPI_connect();
	version = lock_active(collection_id, &document);
	SPI_finish();
	PG_RETURN_INT64(version);
}
