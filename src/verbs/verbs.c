/*
 * verbs/verbs.c
 *		The SQL functions that change one item: each is a request of its own.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/errors.h"
#include "verbs/perform.h"

PG_FUNCTION_INFO_V1(esgf_create_item);
PG_FUNCTION_INFO_V1(esgf_replace_item);
PG_FUNCTION_INFO_V1(esgf_patch_item);
PG_FUNCTION_INFO_V1(esgf_delete_item);
PG_FUNCTION_INFO_V1(esgf_restore_item);
PG_FUNCTION_INFO_V1(esgf_retract_item);
PG_FUNCTION_INFO_V1(esgf_reinstate_item);
PG_FUNCTION_INFO_V1(esgf_add_replica);
PG_FUNCTION_INFO_V1(esgf_remove_replica);

/* An argument that must be given. */
static Datum
required(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
				 errmsg("argument \"%s\" must not be null", name),
				 errhint("Only if_match and reason may be left out.")));
	return PG_GETARG_DATUM(number);
}

/* An argument that names a node. */
static text *
node_argument(FunctionCallInfo fcinfo, int number)
{
	text	   *node = DatumGetTextPP(required(fcinfo, number, "node"));

	if (VARSIZE_ANY_EXHDR(node) == 0)
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
				 errmsg("argument \"%s\" must not be empty", "node"),
				 errhint("Give the data node's name, as alternate:name has it.")));
	return node;
}

/* Answer with what was done. */
static Datum
receipt_datum(FunctionCallInfo fcinfo, const ItemRequest *request)
{
	const Receipt *receipt = &request->occasion.receipt;
	TupleDesc	desc;
	Datum		values[6];
	bool		nulls[6] = {false, false, false, false, !receipt->changed, !receipt->changed};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = PointerGetDatum(request->collection_id);
	values[1] = PointerGetDatum(request->item_id);
	values[2] = Int64GetDatum(receipt->version);
	values[3] = BoolGetDatum(receipt->changed);
	values[4] = receipt->changed ? CStringGetTextDatum(receipt->action) : (Datum) 0;
	values[5] = UUIDPGetDatum(&receipt->event_id);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* Perform a request of an existing item; if_match and reason are its optional arguments. */
static Datum
change_item(FunctionCallInfo fcinfo, Method method, int body, int if_match, int reason)
{
	static const char *const body_names[] = {
		[METHOD_PUT] = "document", [METHOD_PATCH] = "patch", [METHOD_ADD_REPLICA] = "alternates"
	};
	ItemRequest request = {method};

	request.collection_id = DatumGetTextPP(required(fcinfo, 0, "collection_id"));
	request.item_id = DatumGetTextPP(required(fcinfo, 1, "item_id"));
	if (method == METHOD_ADD_REPLICA || method == METHOD_REMOVE_REPLICA)
		request.node = node_argument(fcinfo, 2);
	if (body)
		request.body = DatumGetJsonbP(required(fcinfo, body, body_names[method]));
	request.has_if_match = !PG_ARGISNULL(if_match);
	if (request.has_if_match)
		request.if_match = PG_GETARG_INT64(if_match);
	if (reason && !PG_ARGISNULL(reason))
		request.reason = PG_GETARG_TEXT_PP(reason);
	check_request_lengths(&request);
	perform_item_request(&request);
	return receipt_datum(fcinfo, &request);
}

/* create_item(collection_id, document) */
Datum
esgf_create_item(PG_FUNCTION_ARGS)
{
	ItemRequest request = {METHOD_POST};

	request.collection_id = DatumGetTextPP(required(fcinfo, 0, "collection_id"));
	request.body = DatumGetJsonbP(required(fcinfo, 1, "document"));
	check_request_lengths(&request);
	perform_item_request(&request);
	return receipt_datum(fcinfo, &request);
}

/* replace_item(collection_id, item_id, document, if_match) */
Datum
esgf_replace_item(PG_FUNCTION_ARGS)
{
	return change_item(fcinfo, METHOD_PUT, 2, 3, 0);
}

/* patch_item(collection_id, item_id, patch, if_match) */
Datum
esgf_patch_item(PG_FUNCTION_ARGS)
{
	return change_item(fcinfo, METHOD_PATCH, 2, 3, 0);
}

/* delete_item(collection_id, item_id, if_match, reason) */
Datum
esgf_delete_item(PG_FUNCTION_ARGS)
{
	return change_item(fcinfo, METHOD_DELETE, 0, 2, 3);
}

/* restore_item(collection_id, item_id, if_match) */
Datum
esgf_restore_item(PG_FUNCTION_ARGS)
{
	return change_item(fcinfo, METHOD_RESTORE, 0, 2, 0);
}

/* retract_item(collection_id, item_id, if_match, reason) */
Datum
esgf_retract_item(PG_FUNCTION_ARGS)
{
	return change_item(fcinfo, METHOD_RETRACT, 0, 2, 3);
}

/* reinstate_item(collection_id, item_id, if_match, reason) */
Datum
esgf_reinstate_item(PG_FUNCTION_ARGS)
{
	return change_item(fcinfo, METHOD_REINSTATE, 0, 2, 3);
}

/* add_replica(collection_id, item_id, node, alternates, if_match) */
Datum
esgf_add_replica(PG_FUNCTION_ARGS)
{
	return change_item(fcinfo, METHOD_ADD_REPLICA, 3, 4, 0);
}

/* remove_replica(collection_id, item_id, node, if_match) */
Datum
esgf_remove_replica(PG_FUNCTION_ARGS)
{
	return change_item(fcinfo, METHOD_REMOVE_REPLICA, 0, 3, 0);
}
