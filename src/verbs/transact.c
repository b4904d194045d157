/*
 * verbs/transact.c
 *		transact(): many requests in one call.
 *
 * Turn: a request of the array and what became of it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "access/identity.h"
#include "base/bytes.h"
#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/problems.h"
#include "item/settings.h"
#include "json/build.h"
#include "json/edit.h"
#include "json/text_size.h"
#include "stac/format.h"
#include "verbs/lock.h"
#include "verbs/outcome.h"
#include "verbs/perform.h"
#include "verbs/request_key.h"
#include "verbs/transact.h"

#define MAX_REQUESTS 1000

typedef struct Turn
{
	Outcome		outcome;
	JsonbValue	source;
	ItemRequest request;
	RequestKey *key;			/* NULL: it has none */
} Turn;

PG_FUNCTION_INFO_V1(esgf_transact);

/* Refuse a request for its form. */
pg_noreturn static void
bad_request(const char *member, const char *problem)
{
	Place		place = {NULL, member, strlen(member), 0};

	ereport(ERROR,
			(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
			 errsentence("bad request: \"%s\" %s", member, problem),
			 errdetail_place(&place, problem)));
}

/* A member that must be a string. */
static text *
string_member(const char *name, const JsonbValue *value)
{
	if (value->type != jbvString)
		bad_request(name, "must be a string");
	return cstring_to_text_with_len(value->val.string.val, value->val.string.len);
}

/* Is a number a whole one from 0, as versions are? */
static bool
is_version(Numeric number)
{
	Datum		value = NumericGetDatum(number);

	return DatumGetBool(DirectFunctionCall2(numeric_eq, value, DirectFunctionCall1(numeric_floor, value))) &&
		DatumGetBool(DirectFunctionCall2(numeric_ge, value, NumericGetDatum(int64_to_numeric(0)))) &&
		DatumGetBool(DirectFunctionCall2(numeric_le, value, NumericGetDatum(int64_to_numeric(PG_INT64_MAX))));
}

/* A member that must be a version. */
static int64
version_member(const char *name, const JsonbValue *value)
{
	if (value->type != jbvNumeric || !is_version(value->val.numeric))
		bad_request(name, "must be a version");
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value->val.numeric)));
}

/* A member that must be a time. */
static TimestampTz
time_member(const char *name, const JsonbValue *value)
{
	TimestampTz time;

	if (value->type != jbvString || !parse_time(value->val.string.val, value->val.string.len, &time))
		bad_request(name, "must be an RFC 3339 time");
	return time;
}

/* The members of a request of which the method decides. */
typedef struct Bodies
{
	text	   *method;
	Jsonb	   *item;
	Jsonb	   *patch;
	Jsonb	   *alternates;
} Bodies;

/* Read one member of a request; null counts as missing. */
static void
read_member(const char *name, const JsonbValue *value, ItemRequest *request, Bodies *bodies)
{
	if (strcmp(name, "item") == 0)
		bodies->item = JsonbValueToJsonb((JsonbValue *) value);
	else if (strcmp(name, "method") == 0)
		bodies->method = string_member(name, value);
	else if (value->type == jbvNull)
		return;
	else if (strcmp(name, "alternates") == 0)
		bodies->alternates = JsonbValueToJsonb((JsonbValue *) value);
	else if (strcmp(name, "node") == 0)
		request->node = string_member(name, value);
	else if (strcmp(name, "collection_id") == 0)
		request->collection_id = string_member(name, value);
	else if (strcmp(name, "item_id") == 0)
		request->item_id = string_member(name, value);
	else if (strcmp(name, "patch") == 0)
		bodies->patch = JsonbValueToJsonb((JsonbValue *) value);
	else if (strcmp(name, "reason") == 0)
		request->reason = string_member(name, value);
	else if (strcmp(name, "request_id") == 0)
		request->request_id = string_member(name, value);
	else if (strcmp(name, "if_match") == 0)
	{
		request->has_if_match = true;
		request->if_match = version_member(name, value);
	}
	else
	{
		request->has_if_unmodified_since = true;
		request->if_unmodified_since = time_member(name, value);
	}
}

/* Refuse a member that no request has. */
static void
check_member_name(const char *name)
{
	static const char *const names[] = {
		"method", "collection_id", "item_id", "item", "patch", "node", "alternates", "if_match", "if_unmodified_since", "reason", "request_id"
	};

	for (int i = 0; i < (int) lengthof(names); i++)
		if (strcmp(name, names[i]) == 0)
			return;
	bad_request(name, "is no member of a request");
}

/* See that a member is there if the method needs it, and only then. */
static void
check_presence(const char *name, bool present, bool needed)
{
	if (present && !needed)
		bad_request(name, "does not go with this method");
	if (needed && !present)
		bad_request(name, "is missing");
}

/* See that a request has the body that its method needs, and the one id. */
static void
check_request(ItemRequest *request, const Bodies *bodies)
{
	const Method *method = request->method;
	Jsonb	   *item = bodies->item;
	text	   *own_id;

	if (request->collection_id == NULL)
		bad_request("collection_id", "is missing");
	if (request->request_id && request_id_problem(request->request_id))
		bad_request("request_id", request_id_problem(request->request_id));
	check_request_lengths(request);
	check_presence("item", item != NULL, method->body == BODY_ITEM);
	check_presence("patch", bodies->patch != NULL, method->body == BODY_PATCH);
	check_presence("node", request->node != NULL, method->takes_node);
	check_presence("alternates", bodies->alternates != NULL, method->body == BODY_ALTERNATES);
	request->body = item ? item : bodies->patch ? bodies->patch : bodies->alternates;
	own_id = item ? document_id(item) : NULL;
	if (request->item_id == NULL && method->creates)
		request->item_id = own_id;
	else if (request->item_id == NULL)
		bad_request("item_id", "is missing");
	else if (own_id && compare_texts(own_id, request->item_id) != 0)
		bad_request("item_id", "differs from the item's id");
}

/* Read a request, or refuse it for its form. */
static void
read_request(const JsonbValue *source, ItemRequest *request)
{
	MemberCursor members;
	JsonbValue	value;
	Bodies		bodies = {0};

	memset(request, 0, sizeof(*request));
	if (source->type != jbvBinary || !JsonContainerIsObject(source->val.binary.data))
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
				 errmsg("a request must be an object"),
				 errhint("Give a request as {\"method\": ..., \"collection_id\": ..., \"item_id\": ...}.")));
	members_init(&members, source->val.binary.data);
	while (members_next(&members))
	{
		char	   *name = pnstrdup(members.key.data, members.key.len);

		slice_to_value(&members.value, &value);
		check_member_name(name);
		read_member(name, &value, request, &bodies);
	}
	if (bodies.method == NULL)
		bad_request("method", "is missing");
	request->method = find_method(VARDATA_ANY(bodies.method), VARSIZE_ANY_EXHDR(bodies.method));
	if (request->method == NULL)
		bad_request("method", "is unknown");
	check_request(request, &bodies);
}

/* A name in a request under way to be read; NULL where there is none, or none that may be. */
static text *
peek_at_string(JsonbContainer *object, int depth, const JsonKey *path)
{
	JsonbValue	value;

	if (!document_get(object, &value, depth, path) || value.type != jbvString)
		return NULL;
	return value.val.string.len > NAME_MAX_LENGTH ? NULL :
		cstring_to_text_with_len(value.val.string.val, value.val.string.len);
}

/*
 * Find out what a request concerns, as far as it can be told; its form is
 * judged at its turn. False: no method on an item.
 */
static bool
peek_at_request(const JsonbValue *source, ItemRequest *request)
{
	JsonbContainer *object;
	JsonbValue	value;
	text	   *method;

	memset(request, 0, sizeof(*request));
	if (source->type != jbvBinary || !JsonContainerIsObject(source->val.binary.data))
		return false;
	object = source->val.binary.data;
	request->collection_id = peek_at_string(object, JSON_PATH(JSON_KEY("collection_id")));
	request->item_id = peek_at_string(object, JSON_PATH(JSON_KEY("item_id")));
	if (request->item_id == NULL)
		request->item_id = peek_at_string(object, JSON_PATH(JSON_KEY("item"), JSON_KEY("id")));
	if (document_get(object, &value, JSON_PATH(JSON_KEY("if_match"))) && value.type == jbvNumeric)
	{
		request->has_if_match = true;
		request->if_match = !DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(value.val.numeric),
															  NumericGetDatum(int64_to_numeric(0))));
	}
	method = peek_at_string(object, JSON_PATH(JSON_KEY("method")));
	return method && find_method(VARDATA_ANY(method), VARSIZE_ANY_EXHDR(method)) &&
		request->collection_id && request->item_id;
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
 * Find out and lock all that the requests concern; answers the datasets that
 * were made for it.
 */
static List *
lock_all(Outcome **outcomes, int count)
{
	List	   *requests = NIL;

	for (int i = 0; i < count; i++)
	{
		Turn	   *turn = (Turn *) outcomes[i];
		ItemRequest *request = palloc(sizeof(ItemRequest));

		if (peek_at_request(&turn->source, request) && is_possible(request))
			requests = lappend(requests, request);
		turn->outcome.collection_id = request->collection_id;
		turn->outcome.item_id = request->item_id;
	}
	return lock_items_of_requests(requests);
}

/* Enter the idempotency keys of all requests that have a proper one, and can be printed to be remembered. */
static void
enter_all_keys(Outcome **outcomes, int count)
{
	List	   *keys = NIL;

	for (int i = 0; i < count; i++)
	{
		Turn	   *turn = (Turn *) outcomes[i];
		text	   *request_id;

		if (turn->source.type != jbvBinary || !JsonContainerIsObject(turn->source.val.binary.data))
			continue;
		request_id = peek_at_string(turn->source.val.binary.data, JSON_PATH(JSON_KEY("request_id")));
		if (request_id == NULL || request_id_problem(request_id) || value_exceeds(&turn->source, REQUEST_MAX))
			continue;
		turn->key = make_request_key(request_id, &turn->source);
		keys = lappend(keys, turn->key);
	}
	enter_keys(keys);
}

/* Forget the keys of the requests that were refused. */
static void
forget_refused_keys(Outcome **outcomes, int count)
{
	for (int i = 0; i < count; i++)
		if (outcomes[i]->problem && ((Turn *) outcomes[i])->key)
			forget_unanswered_key(((Turn *) outcomes[i])->key);
}

/* What a turn came to, as it is remembered under its idempotency key. */
static Jsonb *
outcome_json(const Turn *turn)
{
	JsonbParseState *state = NULL;
	const Receipt *receipt = &turn->outcome.receipt;
	char	   *event_id;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (receipt->changed)
	{
		event_id = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&receipt->event_id)));
		push_string_member(&state, "action", receipt->action, strlen(receipt->action));
		push_string_member(&state, "event_id", event_id, strlen(event_id));
	}
	push_string_member(&state, "collection_id", VARDATA_ANY(turn->request.collection_id), VARSIZE_ANY_EXHDR(turn->request.collection_id));
	push_string_member(&state, "item_id", VARDATA_ANY(turn->request.item_id), VARSIZE_ANY_EXHDR(turn->request.item_id));
	push_number_member(&state, "status", turn->outcome.status);
	push_number_member(&state, "version", receipt->version);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* A string of a remembered outcome, or NULL. */
static char *
remembered_string(const Jsonb *outcome, const char *member)
{
	JsonKey		key = {member, strlen(member)};
	JsonbValue	value;

	return document_get(&outcome->root, &value, 1, &key) ? pnstrdup(value.val.string.val, value.val.string.len) : NULL;
}

/* A number of a remembered outcome. */
static int64
remembered_number(const Jsonb *outcome, const char *member)
{
	JsonKey		key = {member, strlen(member)};
	JsonbValue	value;

	if (!document_get(&outcome->root, &value, 1, &key))
		elog(ERROR, "remembered outcome has no %s", member);
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value.val.numeric)));
}

/* Answer a turn as the same request was answered the first time. */
static void
recall_outcome(Turn *turn, const Jsonb *outcome)
{
	char	   *event_id = remembered_string(outcome, "event_id");

	turn->outcome.status = (int) remembered_number(outcome, "status");
	turn->outcome.receipt.version = remembered_number(outcome, "version");
	turn->outcome.receipt.action = remembered_string(outcome, "action");
	turn->outcome.receipt.changed = turn->outcome.receipt.action != NULL;
	if (event_id)
		turn->outcome.receipt.event_id = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(event_id)));
	turn->request.item_id = cstring_to_text(remembered_string(outcome, "item_id"));
}

/* Take one turn; a refusal is an error. */
static void
take_turn(Outcome *outcome)
{
	Turn	   *turn = (Turn *) outcome;
	Jsonb	   *remembered;

	CHECK_FOR_INTERRUPTS();
	read_request(&turn->source, &turn->request);
	if (turn->request.request_id && turn->key == NULL)
		document_too_large("request", REQUEST_MAX);
	remembered = turn->key ? remembered_outcome(turn->key) : NULL;
	if (remembered)
		recall_outcome(turn, remembered);
	else
	{
		perform_item_request(&turn->request);
		outcome->receipt = turn->request.occasion.receipt;
		outcome->status = outcome->receipt.created ? 201 : 200;
		if (turn->key)
			remember_outcome(turn->key, outcome_json(turn));
	}
	outcome->item_id = turn->request.item_id;
}

/* Perform one request by itself, only to have it judged; it leaves no idempotency key. */
void
perform_to_be_judged(const JsonbValue *source, Explanation *explanation)
{
	ItemRequest request;

	read_request(source, &request);
	request.occasion.explanation = explanation;
	perform_item_request(&request);
}

/* The requests as turns, or 400 for the whole call. */
static Outcome **
read_turns(const Jsonb *requests, int *count)
{
	Outcome   **outcomes;
	JsonbCursor elements;
	JsonbSlice	request;

	if (requests == NULL || !JB_ROOT_IS_ARRAY(requests) || JB_ROOT_IS_SCALAR(requests) ||
		JB_ROOT_COUNT(requests) > MAX_REQUESTS)
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
				 errmsg("requests must be an array of at most %d", MAX_REQUESTS),
				 errhint("Send a longer list in several calls.")));
	*count = JB_ROOT_COUNT(requests);
	cursor_init(&elements, &requests->root, 0);
	outcomes = palloc(sizeof(Outcome *) * Max(1, *count));
	for (int i = 0; i < *count; i++)
	{
		Turn	   *turn = palloc0(sizeof(Turn));

		turn->outcome.ordinal = i + 1;
		cursor_next(&elements, &request);
		slice_to_value(&request, &turn->source);
		outcomes[i] = &turn->outcome;
	}
	return outcomes;
}

/* transact(requests, atomic, identity) */
Datum
esgf_transact(PG_FUNCTION_ARGS)
{
	Outcome   **outcomes;
	int			count;
	List	   *made;

	if (!PG_ARGISNULL(2))
		set_transaction_identity(PG_GETARG_JSONB_P(2));
	outcomes = read_turns(PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0), &count);
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
				 errmsg("argument \"%s\" must not be null", "atomic"),
				 errhint("True is all or nothing; false lets each request stand alone.")));
	require_writable_catalogue();
	require_identity();
	enter_all_keys(outcomes, count);
	made = lock_all(outcomes, count);
	if (PG_GETARG_BOOL(1))
		for (int i = 0; i < count; i++)
			take_turn(outcomes[i]);
	else
	{
		perform_apart(outcomes, count, take_turn);
		forget_refused_keys(outcomes, count);
	}
	forget_empty_datasets(made);
	return return_outcomes(fcinfo, outcomes, count);
}
