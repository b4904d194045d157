/*
 * json/build.c
 *		Objects of our own making, member by member.
 */
#include "postgres.h"

#include "utils/numeric.h"

#include "base/compat.h"
#include "base/problems.h"
#include "json/build.h"
#include "json/edit.h"

/* Begin a member. */
void
push_key(JsonbParseState **state, const char *key)
{
	JsonbValue	v;

	v.type = jbvString;
	v.val.string.val = (char *) key;
	v.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &v);
}

/* Add a string. */
void
push_string_member(JsonbParseState **state, const char *key, const char *value, int len)
{
	JsonbValue	v;

	push_key(state, key);
	v.type = jbvString;
	v.val.string.val = (char *) value;
	v.val.string.len = len;
	pushJsonbValue(state, WJB_VALUE, &v);
}

/* Add a number. */
void
push_number_member(JsonbParseState **state, const char *key, int64 value)
{
	JsonbValue	v;

	push_key(state, key);
	v.type = jbvNumeric;
	v.val.numeric = int64_to_numeric(value);
	pushJsonbValue(state, WJB_VALUE, &v);
}

/* Add a string unless it is NULL. */
void
push_if_given(JsonbParseState **state, const char *key, const char *value)
{
	if (value)
		push_string_member(state, key, value, strlen(value));
}

/* Add an array of what is wrong where; answers it, where it is all. */
JsonbValue *
push_problems(JsonbParseState **state, const List *problems, bool with_slugs)
{
	ListCell   *cell;

	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, problems)
	{
		Problem    *problem = lfirst(cell);

		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		push_if_given(state, "detail", problem->detail);
		push_if_given(state, "keyword", problem->keyword);
		push_if_given(state, "pointer", problem->pointer);
		push_if_given(state, "reason", problem->reason);
		push_if_given(state, "right", problem->right);
		push_if_given(state, "scope", problem->scope);
		push_if_given(state, "slug", with_slugs ? problem->slug : NULL);
		push_if_given(state, "target", problem->target);
		push_if_given(state, "url", problem->url);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	return pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* Make a value all of a document, which it points into. */
void
set_to_jsonb(JsonbValue *value, const Jsonb *jsonb)
{
	value->type = jbvBinary;
	value->val.binary.data = (JsonbContainer *) &jsonb->root;
	value->val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
}

/* An object with another member, whose value is not unpacked. */
Jsonb *
with_member(Jsonb *object, const char *key, const Jsonb *value)
{
	DocumentEdit *edit = document_edit(object);
	JsonKey		name = {key, strlen(key)};
	JsonbValue	v;

	set_to_jsonb(&v, value);
	document_set(edit, &v, 1, &name);
	return document_finish(edit);
}
