/*
 * verbs/verbs.c
 *		The SQL functions that change one item: each is a request of its own.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "access/maintenance.h"
#include "base/compat.h"
#include "base/errors.h"
#include "verbs/perform.h"
#include "verbs/verbs.h"

/* An argument that must be given. */
Datum
required_argument(FunctionCallInfo fcinfo, int number, const char *name, const char *table, const char *hint)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of(table),
				 errmsg("argument \"%s\" must not be null", name),
				 errhint("%s", hint)));
	return PG_GETARG_DATUM(number);
}

/* An argument of a verb of items that must be given. */
static Datum
required(FunctionCallInfo fcinfo, int number, const char *name)
{
	return required_argument(fcinfo, number, name, "item", "Only if_match and reason may be left out.");
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
Datum
receipt_datum(FunctionCallInfo fcinfo, const ItemRequest *request)
{
	const Receipt *receipt = &request->occasion.receipt;
	TupleDesc	desc;
	Datum		values[6];
	bool		nulls[6] = {false, request->item_id == NULL, false, false, !receipt->changed, !receipt->changed};

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

/* Perform a method with the arguments of its verb, in the order that all verbs have. */
static Datum
call_method(FunctionCallInfo fcinfo, const char *name)
{
	static const char *const body_names[] = {
		[BODY_ITEM] = "document",[BODY_PATCH] = "patch",[BODY_ALTERNATES] = "alternates"
	};
	const Method *method = find_method(name, strlen(name));
	ItemRequest request = {method};
	int			next = 0;

	require_open();
	request.collection_id = DatumGetTextPP(required(fcinfo, next++, "collection_id"));
	if (!method->creates)
		request.item_id = DatumGetTextPP(required(fcinfo, next++, "item_id"));
	if (method->takes_node)
		request.node = node_argument(fcinfo, next++);
	if (method->body != BODY_NONE)
		request.body = DatumGetJsonbP(required(fcinfo, next++, body_names[method->body]));
	if (next < PG_NARGS())
	{
		request.has_if_match = !PG_ARGISNULL(next);
		request.if_match = PG_GETARG_INT64(next++);
	}
	if (next < PG_NARGS() && !PG_ARGISNULL(next))
		request.reason = PG_GETARG_TEXT_PP(next);
	check_request_lengths(&request);
	perform_item_request(&request);
	return receipt_datum(fcinfo, &request);
}

/*
 * The C function of a verb. Its SQL function may have, in this order:
 * collection_id, item_id, node, the body, if_match, reason.
 */
#define ITEM_VERB(function, method) \
PG_FUNCTION_INFO_V1(function); \
Datum \
function(PG_FUNCTION_ARGS) \
{ \
	return call_method(fcinfo, method); \
} \
extern int	no_such_variable

ITEM_VERB(esgf_create_item, "POST");
ITEM_VERB(esgf_replace_item, "PUT");
ITEM_VERB(esgf_patch_item, "PATCH");
ITEM_VERB(esgf_delete_item, "DELETE");
ITEM_VERB(esgf_restore_item, "RESTORE");
ITEM_VERB(esgf_retract_item, "RETRACT");
ITEM_VERB(esgf_reinstate_item, "REINSTATE");
ITEM_VERB(esgf_add_replica, "ADD_REPLICA");
ITEM_VERB(esgf_remove_replica, "REMOVE_REPLICA");
