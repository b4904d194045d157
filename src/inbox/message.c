/*
 * inbox/message.c
 *		Reads messages, and performs the events that they are: see
 *		inbox/message.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "access/identity.h"
#include "base/bytes.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/problems.h"
#include "inbox/message.h"
#include "json/build.h"
#include "json/edit.h"
#include "json/writer.h"
#include "verbs/perform.h"
#include "verbs/problem_json.h"
#include "verbs/request.h"

#define MAX_EVENTS 1000

#define PAYLOAD JSON_KEY("data"), JSON_KEY("payload")
#define AUTH JSON_KEY("metadata"), JSON_KEY("auth")

/* Refuse an event for its form. */
pg_noreturn static void
bad_event(const char *pointer, const char *problem)
{
	ereport(ERROR,
			(errproblem(PROBLEM_BAD_REQUEST), errtable_of("inbox"),
			 errmsg("bad event: \"%s\" %s", pointer, problem),
			 errdetail_pointer(pointer, problem)));
}

/* Refuse a whole call for the form of one of its events. */
pg_noreturn static void
bad_call(int ordinal, const char *member, const char *problem)
{
	ereport(ERROR,
			(errproblem(PROBLEM_BAD_REQUEST), errtable_of("inbox"),
			 errmsg("events are malformed: \"%s\" %s", member, problem),
			 errdetail_pointer(psprintf("/%d/%s", ordinal - 1, member), problem),
			 errhint("Give each as {\"offset\", \"key\", \"value\"} or {\"offset\", \"key\", \"unreadable\", \"bytes\"}, offsets ascending.")));
}

/* The object that a value is, or NULL. */
static const JsonbContainer *
object_of(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data) ? value->val.binary.data : NULL;
}

/* A message, with what can be told of it before it is read. */
Message *
make_message(const Source *source, int partition, int64 offset, const JsonbValue *value, bool readable)
{
	Message    *message = palloc0(sizeof(Message));
	const JsonbContainer *event = object_of(value);

	message->source = source;
	message->partition = partition;
	message->offset = offset;
	message->value = *value;
	message->readable = readable;
	message->outcome.place = psprintf("/sources/%s/%d/" INT64_FORMAT, text_to_cstring(source->name), partition, offset);
	if (!readable || event == NULL)
		return message;
	message->event_id = peek_at_string(event, JSON_PATH(JSON_KEY("metadata"), JSON_KEY("event_id")));
	if (message->event_id && VARSIZE_ANY_EXHDR(message->event_id) == 0)
		message->event_id = NULL;
	message->request_id = peek_at_string(event, JSON_PATH(JSON_KEY("metadata"), JSON_KEY("request_id")));
	message->method = peek_at_string(event, JSON_PATH(PAYLOAD, JSON_KEY("method")));
	return message;
}

/* Is what the inbox has kept of a message that it could not be read? */
bool
is_unreadable(const JsonbValue *kept)
{
	const JsonbContainer *object = object_of(kept);
	JsonbValue	why;

	return object && JsonContainerSize(object) <= 2 &&
		document_get(object, &why, JSON_PATH(JSON_KEY("unreadable"))) && why.type == jbvString;
}

/* What is kept of what nobody can read: why, and its bytes, if they came. */
static void
set_unreadable(int ordinal, JsonbValue *value, JsonbValue *why, JsonbValue *bytes)
{
	JsonbParseState *state = NULL;

	if (bytes && bytes->type != jbvNull && bytes->type != jbvString)
		bad_call(ordinal, "bytes", "must be a string");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (bytes)
	{
		push_key(&state, "bytes");
		pushJsonbValue(&state, WJB_VALUE, bytes);
	}
	push_key(&state, "unreadable");
	pushJsonbValue(&state, WJB_VALUE, why);
	set_to_jsonb(value, JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* Room for the messages of a call, of which there must not be too many. */
static Message **
allocate_messages(int count)
{
	if (count < 0 || count > MAX_EVENTS)
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("inbox"),
				 errmsg("events must be an array of at most %d", MAX_EVENTS),
				 errhint("Send more in several calls.")));
	return palloc(sizeof(Message *) * Max(1, count));
}

/* Add a message to those of a call that stand before it. */
static void
add_message(const Source *source, int partition, Message **messages, int place, int64 offset, text *key, const JsonbValue *value, bool readable)
{
	if (offset < 0)
		bad_call(place + 1, "offset", "must be a whole number from 0");
	if (offset == PG_INT64_MAX)
		bad_call(place + 1, "offset", "is too large");
	if (place > 0 && offset <= messages[place - 1]->offset)
		bad_call(place + 1, "offset", "must be greater than that of the event before");
	messages[place] = make_message(source, partition, offset, value, readable);
	messages[place]->outcome.ordinal = place + 1;
	messages[place]->key = key;
}

/* Read one element of the array of events. */
static void
read_element(const Source *source, int partition, Message **messages, int place, const JsonbSlice *element)
{
	const JsonbContainer *object = slice_is_object(element) ? slice_container(element) : NULL;
	JsonbValue	offset;
	JsonbValue	key;
	JsonbValue	value;
	JsonbValue	why;
	JsonbValue	bytes;
	int64		number;
	bool		readable;

	if (object == NULL)
		bad_call(place + 1, "", "must be an object");
	if (!document_get(object, &offset, JSON_PATH(JSON_KEY("offset"))) || !read_whole_number(&offset, &number))
		bad_call(place + 1, "offset", "must be a whole number from 0");
	if (!document_get(object, &key, JSON_PATH(JSON_KEY("key"))))
		key.type = jbvNull;
	if (key.type != jbvNull && key.type != jbvString)
		bad_call(place + 1, "key", "must be a string or null");
	readable = document_get(object, &value, JSON_PATH(JSON_KEY("value")));
	if (!readable)
	{
		bool		has_bytes = document_get(object, &bytes, JSON_PATH(JSON_KEY("bytes")));

		if (!document_get(object, &why, JSON_PATH(JSON_KEY("unreadable"))) || why.type != jbvString)
			bad_call(place + 1, "value", "is missing");
		set_unreadable(place + 1, &value, &why, has_bytes ? &bytes : NULL);
	}
	add_message(source, partition, messages, place, number,
				key.type == jbvNull ? NULL : cstring_to_text_with_len(key.val.string.val, key.val.string.len), &value, readable);
}

/* The events as messages, or 400 for the whole call. */
Message   **
read_messages(const Source *source, int partition, const Jsonb *events, int *count)
{
	Message   **messages;
	JsonbCursor elements;
	JsonbSlice	element;

	*count = events && JB_ROOT_IS_ARRAY(events) && !JB_ROOT_IS_SCALAR(events) ? (int) JB_ROOT_COUNT(events) : -1;
	messages = allocate_messages(*count);
	cursor_init(&elements, &events->root, 0);
	for (int i = 0; i < *count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		cursor_next(&elements, &element);
		read_element(source, partition, messages, i, &element);
	}
	return messages;
}

/* An array whose elements are one for each event. */
static void
read_array(ArrayType *array, Oid type, int count, Datum **elements, bool **nulls)
{
	int			length;

	deconstruct_array(array, type, -1, false, TYPALIGN_INT, elements, nulls, &length);
	if (length != count)
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("inbox"),
				 errmsg("%d events come with %d elements", count, length),
				 errhint("Give each array one element an event.")));
}

/* Read the value of one of them, or why nobody can, and its bytes. */
static void
read_value(int ordinal, const Jsonb *given, const text *unreadable, JsonbValue *value)
{
	JsonbValue	why;
	JsonbValue	bytes;

	if (unreadable == NULL)
	{
		if (given == NULL)
			bad_call(ordinal, "value", "is missing");
		set_to_jsonb(value, given);
		return;
	}
	why.type = jbvString;
	why.val.string.val = VARDATA_ANY(unreadable);
	why.val.string.len = VARSIZE_ANY_EXHDR(unreadable);
	if (given)
		JsonbExtractScalar((JsonbContainer *) &given->root, &bytes);
	set_unreadable(ordinal, value, &why, given ? &bytes : NULL);
}

/*
 * The same of events that come in columns, each value by itself; of what nobody
 * can read it is the bytes, as a string.
 */
Message   **
read_columns(const Source *source, int partition, const MessageColumns *columns, int *count)
{
	Message   **messages;
	Datum	   *offsets;
	Datum	   *keys;
	Datum	   *values;
	Datum	   *unreadable;
	bool	   *no_offset;
	bool	   *no_key;
	bool	   *no_value;
	bool	   *readable;

	deconstruct_array(columns->offsets, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &offsets, &no_offset, count);
	messages = allocate_messages(*count);
	read_array(columns->keys, TEXTOID, *count, &keys, &no_key);
	read_array(columns->values, JSONBOID, *count, &values, &no_value);
	read_array(columns->unreadable, TEXTOID, *count, &unreadable, &readable);
	for (int i = 0; i < *count; i++)
	{
		JsonbValue	value;

		CHECK_FOR_INTERRUPTS();
		read_value(i + 1, no_value[i] ? NULL : DatumGetJsonbP(values[i]), readable[i] ? NULL : DatumGetTextPP(unreadable[i]), &value);
		add_message(source, partition, messages, i, no_offset[i] ? -1 : DatumGetInt64(offsets[i]),
					no_key[i] ? NULL : DatumGetTextPP(keys[i]), &value, readable[i]);
	}
	return messages;
}

/* Find out what an event concerns, as far as it can be told; false: no item. */
bool
peek_at_message(const Message *message, ItemRequest *request)
{
	const JsonbContainer *event = object_of(&message->value);
	JsonbValue	payload;

	if (!message->readable || event == NULL || !document_get(event, &payload, JSON_PATH(PAYLOAD)))
		payload.type = jbvNull;
	return peek_at_request(&payload, request);
}

/* A member that must be a name, of who asks or of the event itself. */
static void
push_name(JsonbParseState **state, const JsonbContainer *event, const char *pointer, int depth, const JsonKey *path)
{
	JsonbValue	value;
	const char *name = path[depth - 1].data;

	if (!document_get(event, &value, depth, path) || value.type == jbvNull)
		bad_event(pointer, "is missing");
	if (value.type != jbvString || value.val.string.len == 0)
		bad_event(pointer, "must be a string that is not empty");
	push_string_member(state, name, value.val.string.val, value.val.string.len);
}

/* A member that goes on as it is, if it is there. */
static void
push_member(JsonbParseState **state, const JsonbContainer *event, int depth, const JsonKey *path)
{
	JsonbValue	value;

	if (!document_get(event, &value, depth, path) || value.type == jbvNull)
		return;
	push_key(state, path[depth - 1].data);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* As whom an event asks: who its auth says, with the principals of its source. */
static Jsonb *
read_identity(const Source *source, const JsonbContainer *event)
{
	JsonbParseState *state = NULL;
	JsonbValue	principals;
	Jsonb	   *identity;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_member(&state, event, JSON_PATH(AUTH, JSON_KEY("auth_policy_id")));
	push_name(&state, event, "/metadata/auth/requester_data/client_id", JSON_PATH(AUTH, JSON_KEY("requester_data"), JSON_KEY("client_id")));
	push_name(&state, event, "/metadata/auth/requester_data/iss", JSON_PATH(AUTH, JSON_KEY("requester_data"), JSON_KEY("iss")));
	push_key(&state, "principals");
	set_to_jsonb(&principals, source->principals);
	pushJsonbValue(&state, WJB_VALUE, &principals);
	push_member(&state, event, JSON_PATH(JSON_KEY("metadata"), JSON_KEY("publisher")));
	push_member(&state, event, JSON_PATH(JSON_KEY("metadata"), JSON_KEY("request_id")));
	push_name(&state, event, "/metadata/auth/requester_data/sub", JSON_PATH(AUTH, JSON_KEY("requester_data"), JSON_KEY("sub")));
	identity = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	check_identity(identity, false);
	return identity;
}

/* An item without the members that its client has not set: nulls, but for those that STAC knows. */
static Jsonb *
without_unset_members(Jsonb *item)
{
	Jsonb	   *stripped = without_null_members(item);
	JsonbValue	value;
	DocumentEdit *edit = document_edit(stripped);

	if (document_get(&item->root, &value, JSON_PATH(JSON_KEY("geometry"))) && value.type == jbvNull)
		document_set(edit, &value, JSON_PATH(JSON_KEY("geometry")));
	if (document_get(&item->root, &value, JSON_PATH(JSON_KEY("properties"), JSON_KEY("datetime"))) && value.type == jbvNull)
		document_set(edit, &value, JSON_PATH(JSON_KEY("properties"), JSON_KEY("datetime")));
	return document_finish(edit);
}

/* Refuse a merge patch that says nothing: a client meant something else by it, and would hear of a success. */
static void
check_patch_says_something(const Jsonb *patch)
{
	MemberCursor members;

	if (!JB_ROOT_IS_OBJECT(patch))
		return;
	members_init(&members, &patch->root);
	while (members_next(&members))
		if (members.value.type != JENTRY_ISNULL)
			return;
	ereport(ERROR,
			(errproblem(PROBLEM_BAD_PATCH), errtable_of("inbox"),
			 errmsg("bad merge patch: it says nothing"),
			 errdetail_pointer("/data/payload/patch", "must have a member that is not null"),
			 errhint("A JSON patch is sent as the array of operations itself; members are those of an item.")));
}

/* The body of an event's request, which must be there. */
static Jsonb *
read_body(const JsonbContainer *payload, const char *name, const char *pointer)
{
	JsonKey		key = {name, strlen(name)};
	JsonbSlice	body;

	if (!document_slice(payload, &body, 1, &key) || body.type == JENTRY_ISNULL)
		bad_event(pointer, "is missing");
	return slice_to_jsonb(&body);
}

/* What an event asks, of its payload: members that its method does not know are passed over. */
static void
read_payload(const Source *source, const JsonbContainer *payload, ItemRequest *request)
{
	static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE"};
	JsonbSlice	member;

	if (!document_slice(payload, &member, JSON_PATH(JSON_KEY("method"))) || member.type == JENTRY_ISNULL)
		bad_event("/data/payload/method", "is missing");
	for (int i = 0; i < (int) lengthof(methods); i++)
		if (slice_is_string(&member, methods[i]))
			request->method = find_method(methods[i], strlen(methods[i]));
	if (request->method == NULL)
		bad_event("/data/payload/method", "must be POST, PUT, PATCH or DELETE");
	if (!document_slice(payload, &member, JSON_PATH(JSON_KEY("collection_id"))) || member.type != JENTRY_ISSTRING)
		bad_event("/data/payload/collection_id", "must be given, as a string");
	request->collection_id = cstring_to_text_with_len(member.data, member.len);
	if (document_slice(payload, &member, JSON_PATH(JSON_KEY("item_id"))) && member.type != JENTRY_ISNULL)
	{
		if (member.type != JENTRY_ISSTRING)
			bad_event("/data/payload/item_id", "must be a string");
		request->item_id = cstring_to_text_with_len(member.data, member.len);
	}
	if (request->method->body == BODY_ITEM)
	{
		request->body = read_body(payload, "item", "/data/payload/item");
		if (source->drop_nulls && JB_ROOT_IS_OBJECT(request->body))
			request->body = without_unset_members(request->body);
	}
	else if (request->method->body == BODY_PATCH)
	{
		request->body = read_body(payload, "patch", "/data/payload/patch");
		request->null_members = source->null_members;
		check_patch_says_something(request->body);
	}
	check_request_names(request);
}

/* Read an event, or refuse it for its form. */
static void
read_event(Message *message)
{
	const JsonbContainer *event = object_of(&message->value);
	const JsonbContainer *payload;
	JsonbValue	value;

	if (!message->readable)
	{
		document_get(event, &value, JSON_PATH(JSON_KEY("unreadable")));
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("inbox"),
				 errsentence("event cannot be read: %s", pnstrdup(value.val.string.val, value.val.string.len)),
				 errhint("Its bytes are in the inbox; have its producer send it as JSON.")));
	}
	if (event == NULL)
		bad_event("", "must be an object");
	if (message->event_id == NULL)
		bad_event("/metadata/event_id", "must be a string that is not empty, of at most 255 bytes");
	message->identity = read_identity(message->source, event);
	if (document_get(event, &value, JSON_PATH(JSON_KEY("data"), JSON_KEY("type"))) &&
		value.type != jbvNull && !(value.type == jbvString && bytes_are(value.val.string.val, value.val.string.len, "STAC")))
		bad_event("/data/type", "must be STAC");
	payload = document_object(event, JSON_PATH(PAYLOAD));
	if (payload == NULL)
		bad_event("/data/payload", "is missing");
	memset(&message->request, 0, sizeof(message->request));
	read_payload(message->source, payload, &message->request);
}

/* Perform the request of an event that has been read. */
static void
perform_event(void *message)
{
	perform_task(&((Message *) message)->outcome, &((Message *) message)->request);
}

/* Whom an event names, which is not performed; NULL: nobody. */
static Jsonb *
named_identity(const JsonbContainer *event)
{
	static const char *const members[] = {"client_id", "iss", "sub"};
	text	   *policy = peek_at_string(event, JSON_PATH(AUTH, JSON_KEY("auth_policy_id")));
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (policy)
		push_string_member(&state, "auth_policy_id", VARDATA_ANY(policy), VARSIZE_ANY_EXHDR(policy));
	for (int i = 0; i < (int) lengthof(members); i++)
	{
		JsonKey		path[] = {AUTH, JSON_KEY("requester_data"), {members[i], strlen(members[i])}};
		text	   *name = peek_at_string(event, lengthof(path), path);

		if (name == NULL || VARSIZE_ANY_EXHDR(name) == 0)
			return NULL;
		push_string_member(&state, members[i], VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Answer an event whose event_id has come before as that was answered. */
static void
repeat_outcome(Message *message)
{
	Outcome    *outcome = &message->outcome;
	const Outcome *first;

	message->identity = named_identity(object_of(&message->value));
	if (message->first_outcome)
	{
		recall_outcome(outcome, message->first_outcome);
		return;
	}
	first = &message->first->outcome;
	outcome->status = first->status;
	outcome->collection_id = first->collection_id;
	outcome->item_id = first->item_id;
	outcome->receipt = first->receipt;
	outcome->problem = first->problem;
}

/* Perform an event as whoever it names; a refusal is an error. */
void
perform_message(Outcome *outcome)
{
	Message    *message = (Message *) outcome;

	CHECK_FOR_INTERRUPTS();
	message->identity = NULL;
	outcome->problem = NULL;
	if (message->first || message->first_outcome)
		repeat_outcome(message);
	else
	{
		read_event(message);
		act_as(message->identity, perform_event, message);
	}
}

/*
 * What an error is to an event. None may stop its partition; but what says
 * nothing of the event, and will pass, is the call's to meet again: connections,
 * transactions, resources, operators, locks, maintenance.
 */
int
message_status(const ErrorData *error)
{
	static const char *const passing[] = {"08", "25", "40", "53", "57", "58", "55P03", "55006", "55000", "PT503"};
	const char *state = unpack_sql_state(error->sqlerrcode);
	int			status = problem_status(error);

	for (int i = 0; i < (int) lengthof(passing); i++)
		if (strncmp(state, passing[i], strlen(passing[i])) == 0)
			return 0;
	return status ? status : 500;
}
