/*
 * verbs/request.c
 *		Reads requests: see verbs/request.h.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "base/bytes.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/problems.h"
#include "json/edit.h"
#include "stac/format.h"
#include "verbs/perform.h"
#include "verbs/request.h"
#include "verbs/request_key.h"

/* Refuse a request for its form. */
void
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

/* Read a whole number from 0, as versions and offsets are; false: it is none. */
bool
read_whole_number(const JsonbValue *value, int64 *number)
{
	Datum		numeric;

	if (value->type != jbvNumeric)
		return false;
	numeric = NumericGetDatum(value->val.numeric);
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, numeric, DirectFunctionCall1(numeric_floor, numeric))) ||
		!DatumGetBool(DirectFunctionCall2(numeric_ge, numeric, NumericGetDatum(int64_to_numeric(0)))) ||
		!DatumGetBool(DirectFunctionCall2(numeric_le, numeric, NumericGetDatum(int64_to_numeric(PG_INT64_MAX)))))
		return false;
	*number = DatumGetInt64(DirectFunctionCall1(numeric_int8, numeric));
	return true;
}

/* A member that must be a version. */
static int64
version_member(const char *name, const JsonbValue *value)
{
	int64		version;

	if (!read_whole_number(value, &version))
		bad_request(name, "must be a version");
	return version;
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

/* See that a request says, within bounds, what it is about, and in one way. */
void
check_request_names(ItemRequest *request)
{
	const Method *method = request->method;
	text	   *own_id = method->body == BODY_ITEM ? document_id(request->body) : NULL;

	if (request->collection_id == NULL)
		bad_request("collection_id", "is missing");
	check_request_lengths(request);
	if (request->item_id == NULL && method->creates)
		request->item_id = own_id;
	else if (request->item_id == NULL)
		bad_request("item_id", "is missing");
	else if (own_id && compare_texts(own_id, request->item_id) != 0)
		bad_request("item_id", "differs from the item's id");
}

/* See that a request has the body that its method needs, and the one id. */
static void
check_request(ItemRequest *request, const Bodies *bodies)
{
	const Method *method = request->method;

	if (request->collection_id == NULL)
		bad_request("collection_id", "is missing");
	if (request->request_id && request_id_problem(request->request_id))
		bad_request("request_id", request_id_problem(request->request_id));
	check_request_lengths(request);
	check_presence("item", bodies->item != NULL, method->body == BODY_ITEM);
	check_presence("patch", bodies->patch != NULL, method->body == BODY_PATCH);
	check_presence("node", request->node != NULL, method->takes_node);
	check_presence("alternates", bodies->alternates != NULL, method->body == BODY_ALTERNATES);
	request->body = bodies->item ? bodies->item : bodies->patch ? bodies->patch : bodies->alternates;
	check_request_names(request);
}

/* Read a request, or refuse it for its form. */
void
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
text *
peek_at_string(const JsonbContainer *object, int depth, const JsonKey *path)
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
bool
peek_at_request(const JsonbValue *source, ItemRequest *request)
{
	JsonbContainer *object;
	JsonbValue	value;
	text	   *name;

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
	name = peek_at_string(object, JSON_PATH(JSON_KEY("method")));
	request->method = name ? find_method(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)) : NULL;
	if (request->method == NULL || request->collection_id == NULL || request->item_id == NULL)
		return false;
	if (request->method->creates && document_get(object, &value, JSON_PATH(JSON_KEY("item"))) && value.type == jbvBinary)
		request->body = JsonbValueToJsonb(&value);
	return true;
}
