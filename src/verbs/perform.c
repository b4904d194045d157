/*
 * verbs/perform.c
 *		Performs a request to change one item: see verbs/perform.h.
 *
 * The verbs see to the form of a request, to preconditions and to the patch;
 * all other rules are the triggers' (item/row.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "access/identity.h"
#include "base/catalogue.h"
#include "base/errors.h"
#include "base/limits.h"
#include "item/document.h"
#include "item/glance.h"
#include "json/build.h"
#include "verbs/lock.h"
#include "verbs/perform.h"

/* Refuse a request for an item that is not there. */
void
item_missing(const ItemRequest *request)
{
	ereport(ERROR,
			(errproblem(PROBLEM_ITEM_DOES_NOT_EXIST), errtable_of("item"),
			 errsentence("item \"%s\" does not exist in collection \"%s\"",
						 text_to_cstring(request->item_id), text_to_cstring(request->collection_id))));
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
	bool		exists;

	if (glance_at_item(values[0], values[1], &exists))
		return exists;
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
	if (settings->require_version && request->method->needs_version &&
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

/* Refuse an item that was neither inserted nor is there: to try again would never end. */
void
refuse_kept_out(const text *item_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 err_generic_string(PG_DIAG_SCHEMA_NAME, "esgf_stac"), errtable_of("item"),
			 errmsg("item \"%s\" is kept out of its table", text_to_cstring(item_id)),
			 errhint("A trigger or a policy of yours does that: have it raise an error that says why.")));
}

/* Create an item; false if one of that id is active. */
static bool
create_item(ItemRequest *request, const CollectionSettings *settings)
{
	CurrentItem current;

	if (!item_exists(request))
	{
		check_creation(request);
		if (insert_item(request))
			return true;
		if (!item_exists(request))
			refuse_kept_out(request->item_id);
	}
	lock_requested_item(request, settings, &current);
	if (!current.deleted)
		return false;
	check_creation(request);
	update_item(request, JsonbPGetDatum(request->body), false);
	return true;
}

/* Change an item that is there, if it may be changed: or only see whether it may. */
static void
change_item(ItemRequest *request, const CollectionSettings *settings)
{
	const Method *method = request->method;
	CurrentItem current;

	lock_requested_item(request, settings, &current);
	if (!current.exists || (current.deleted && !method->restores))
	{
		if (method->apply == NULL && request->has_if_match && request->if_match == 0)
			return;
		item_missing(request);
	}
	request->occasion.receipt.version = current.version;
	check_preconditions(request, &current);
	require_precondition(request, settings);
	if (method->restores && !current.deleted)
		ereport(ERROR,
				(errproblem(PROBLEM_ITEM_ALREADY_EXISTS), errtable_of("item"),
				 errmsg("item \"%s\" is not deleted", text_to_cstring(request->item_id)),
				 errhint("There is nothing to restore.")));
	if (method->apply)
		update_item(request, method->apply(request, settings, current.document), method->deletes);
}

/* What a request was asked to do, for its event; NULL where the document says it all. */
Jsonb *
describe_request(const ItemRequest *request)
{
	JsonbParseState *state = NULL;
	const char *method = request->method->name;
	Jsonb	   *described;

	if (request->method->body == BODY_PATCH)
		return request->body;
	if (request->method->body == BODY_ITEM)
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
	return request->method->body == BODY_ALTERNATES ? with_member(described, "alternates", request->body) : described;
}

/* Do what the method says. */
static void
dispatch(ItemRequest *request, const CollectionSettings *settings)
{
	const Method *method = request->method;

	request->occasion.receipt.created = method->creates && create_item(request, settings);
	if (request->occasion.receipt.created)
		return;
	if (method->creates && method->apply == NULL)
		ereport(ERROR,
				(errproblem(PROBLEM_ITEM_ALREADY_EXISTS), errtable_of("item"),
				 errmsg("item \"%s\" exists already in collection \"%s\"",
						text_to_cstring(request->item_id), text_to_cstring(request->collection_id))));
	change_item(request, settings);
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

	if (request->method->form)
		request->method->form(request);
	require_writable_catalogue();
	require_identity();
	get_collection_settings(VARDATA_ANY(request->collection_id), VARSIZE_ANY_EXHDR(request->collection_id), &settings);

	occasion->kind = BY_VERB;
	occasion->request = describe_request(request);
	occasion->request_id = request->request_id;
	occasion->document = NULL;
	SPI_connect();
	if (request->patch)
		settle_required_members(request->patch, request->null_members == NULLS_AS_COLLECTION ?
								settings.ignore_null_members : request->null_members == NULLS_IGNORED);
	dispatch(request, &settings);
	SPI_finish();
}

/* Perform a request as one of many tasks. */
void
perform_task(Outcome *outcome, ItemRequest *request)
{
	request->occasion.dataset_expected = true;
	perform_item_request(request);
	outcome->receipt = request->occasion.receipt;
	outcome->status = outcome->receipt.created ? 201 : 200;
	outcome->item_id = request->item_id;
}
