/*
 * json/pointer.c
 *		RFC 6901, JSON pointer.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/errors.h"
#include "json/edit.h"
#include "json/pointer.h"
#include "json/writer.h"

/* What is wrong with the form of a pointer; NULL if nothing is. */
const char *
pointer_problem(const JsonbSlice *string)
{
	const char *end = string->data + string->len;

	if (string->len > 0 && string->data[0] != '/')
		return "a JSON pointer is empty or begins with \"/\"";
	for (const char *at = string->data; at < end; at++)
	{
		if (*at != '~')
			continue;
		if (++at == end || (*at != '0' && *at != '1'))
			return "in a JSON pointer \"~\" is followed by 0 or 1";
	}
	return NULL;
}

/* Read the next token of a pointer that is not at its end. */
void
pointer_next(JsonPointer *pointer, JsonbSlice *token)
{
	const char *start = pointer->next + 1;
	const char *slash = memchr(start, '/', pointer->end - start);
	const char *end = slash == NULL ? pointer->end : slash;

	pointer->next = end;
	token->type = JENTRY_ISSTRING;
	token->len = end - start;
	token->data = start;
	if (memchr(start, '~', end - start) != NULL)
	{
		char	   *plain = palloc(end - start);

		token->data = plain;
		for (; start < end; start++)
			*plain++ = *start != '~' ? *start : *++start == '0' ? '~' : '/';
		token->len = plain - token->data;
	}
}

/* Does a token mean the place after an array's last element? */
bool
token_is_end(const JsonbSlice *token)
{
	return token->len == 1 && token->data[0] == '-';
}

/* Read an array index; one beyond all arrays becomes PG_UINT32_MAX. */
bool
token_to_index(const JsonbSlice *token, uint32 *index)
{
	uint64		value = 0;

	if (token->len == 0 || (token->len > 1 && token->data[0] == '0'))
		return false;
	for (uint32 i = 0; i < token->len; i++)
	{
		if (token->data[i] < '0' || token->data[i] > '9')
			return false;
		value = Min(value * 10 + (token->data[i] - '0'), PG_UINT32_MAX);
	}
	*index = (uint32) value;
	return true;
}

/* Follow a pointer; false if it leads nowhere. */
static bool
resolve_pointer(const Jsonb *document, const JsonbSlice *string, JsonbSlice *value)
{
	const char *problem = pointer_problem(string);
	const JsonbContainer *container;
	JsonPointer pointer;
	JsonbSlice	token;
	uint32		place;

	if (problem != NULL)
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_PATCH),
				 errmsg("%s", problem),
				 errhint("In a JSON pointer (RFC 6901) each key follows a \"/\"; in a key \"~1\" stands for \"/\", \"~0\" for \"~\".")));

	slice_of_jsonb(document, value);
	for (pointer_init(&pointer, string); !pointer_at_end(&pointer);)
	{
		pointer_next(&pointer, &token);
		if (value->type != JENTRY_ISCONTAINER)
			return false;
		container = slice_container(value);
		if (JsonContainerIsObject(container))
		{
			if (!find_key(container, 0, JsonContainerSize(container),
						  token.data, token.len, &place))
				return false;
			place += JsonContainerSize(container);
		}
		else if (!token_to_index(&token, &place) || place >= JsonContainerSize(container))
			return false;
		container_child(container, place, value);
	}
	return true;
}

/* The value that a pointer leads to; it points into the document. */
bool
json_pointer_get(const Jsonb *document, const char *pointer, int len, JsonbValue *value)
{
	JsonbSlice	string = {JENTRY_ISSTRING, len, pointer};
	JsonbSlice	slice;

	if (!resolve_pointer(document, &string, &slice))
		return false;
	slice_to_value(&slice, value);
	return true;
}

PG_FUNCTION_INFO_V1(jsonb_pointer);
Datum
jsonb_pointer(PG_FUNCTION_ARGS)
{
	Jsonb	   *target = PG_GETARG_JSONB_P(0);
	text	   *pointer = PG_GETARG_TEXT_PP(1);
	JsonbSlice	path = {JENTRY_ISSTRING, VARSIZE_ANY_EXHDR(pointer), VARDATA_ANY(pointer)};
	JsonbSlice	value;

	if (!resolve_pointer(target, &path, &value))
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(slice_to_jsonb(&value));
}
