/*
 * json.c
 *		Finds values in JSON text.
 */
#include "lib/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *
skip_blanks(const char *next, const char *end)
{
	while (next < end && (*next == ' ' || *next == '\t' || *next == '\n' || *next == '\r'))
		next++;
	return next;
}

/* Where a string ends, behind its quote; NULL if it does not */
static const char *
skip_string(const char *next, const char *end)
{
	for (next++; next < end; next++)
	{
		if (*next == '"')
			return next + 1;
		if (*next == '\\')
			next++;
	}
	return NULL;
}

/* Where an object or an array ends, however deep it is; NULL if it does not */
static const char *
skip_container(const char *next, const char *end)
{
	int64_t		depth = 0;

	while (next < end)
	{
		if (*next == '"')
		{
			next = skip_string(next, end);
			if (next == NULL)
				return NULL;
			continue;
		}
		if (*next == '{' || *next == '[')
			depth++;
		else if (*next == '}' || *next == ']')
			depth--;
		next++;
		if (depth == 0)
			return next;
	}
	return NULL;
}

/* Where the value ends that begins there; NULL if none does */
static const char *
skip_value(const char *next, const char *end)
{
	const char *start = next;

	if (next == end)
		return NULL;
	if (*next == '"')
		return skip_string(next, end);
	if (*next == '{' || *next == '[')
		return skip_container(next, end);
	while (next < end && strchr("+-.0123456789Eaeflnrstu", *next) != NULL && *next != '\0')
		next++;
	return next > start ? next : NULL;
}

/* Take the value that comes next, with the blanks around it; NULL if none does, else what comes behind */
static const char *
take_value(const char *next, const char *end, Json *value)
{
	const char *start = skip_blanks(next, end);
	const char *behind = skip_value(start, end);

	if (behind == NULL)
		return NULL;
	*value = (Json)
	{
		.start = start,.length = (size_t) (behind - start)
	};
	return skip_blanks(behind, end);
}

/* Is the text one value? */
bool
json_whole(const char *text, size_t length, Json *value)
{
	return take_value(text, text + length, value) == text + length;
}

/* Is that string, with its quotes, a name of plain ASCII? */
static bool
is_name(Json string, const char *name)
{
	size_t		length = strlen(name);

	return string.length == length + 2 && memcmp(string.start + 1, name, length) == 0;
}

/* Find the next member of an object; the place is 0 before the first */
bool
json_entry(Json object, size_t *place, Json *name, Json *value)
{
	const char *end = object.start + object.length;
	const char *next = object.start + (*place > 0 ? *place : 1);

	if (object.length == 0 || object.start[0] != '{' || next >= end)
		return false;
	next = take_value(next, end, name);
	if (next == NULL || next == end || name->start[0] != '"' || *next != ':')
		return false;
	next = take_value(next + 1, end, value);
	if (next == NULL || next == end)
		return false;
	*place = (size_t) (next - object.start) + (*next == ',');
	return true;
}

/* Find a member of an object, by a name that needs no escapes */
bool
json_member(Json object, const char *name, Json *value)
{
	size_t		place = 0;
	Json		key;

	while (json_entry(object, &place, &key, value))
		if (is_name(key, name))
			return true;
	return false;
}

/* Find the next element of an array; the place is 0 before the first */
bool
json_element(Json array, size_t *place, Json *element)
{
	const char *end = array.start + array.length;
	const char *next = array.start + (*place > 0 ? *place : 1);

	if (array.length == 0 || array.start[0] != '[')
		return false;
	next = take_value(next, end, element);
	if (next == NULL || next == end)
		return false;
	*place = (size_t) (next - array.start) + 1;
	return true;
}

/* Append a code point in UTF-8 */
static void
append_code(Buffer *text, unsigned long code)
{
	char		bytes[4];
	size_t		length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	for (size_t i = length - 1; i > 0; i--)
	{
		bytes[i] = (char) (0x80 | (code & 0x3F));
		code >>= 6;
	}
	bytes[0] = (char) (length == 1 ? code : (0xF0 << (4 - length) & 0xFF) | code);
	buffer_append(text, bytes, length);
}

/* Read four hexadecimal digits */
static bool
read_hex(const char *next, const char *end, unsigned long *code)
{
	char		digits[5] = "";

	if (end - next < 4)
		return false;
	memcpy(digits, next, 4);
	*code = strtoul(digits, NULL, 16);
	return strspn(digits, "0123456789abcdefABCDEF") == 4;
}

/* Append what an escape behind a backslash stands for; NULL if it is none, or one that no text can hold */
static const char *
take_escape(const char *next, const char *end, Buffer *text)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char meant[] = "\"\\/\b\f\n\r\t";
	const char *letter = *next != '\0' ? strchr(letters, *next) : NULL;
	unsigned long code;
	unsigned long low;

	if (letter != NULL)
	{
		buffer_append(text, &meant[letter - letters], 1);
		return next + 1;
	}
	if (*next != 'u' || !read_hex(next + 1, end, &code) || code == 0)
		return NULL;
	next += 5;
	if (code >= 0xD800 && code < 0xDC00)
	{
		if (end - next < 6 || next[0] != '\\' || next[1] != 'u' || !read_hex(next + 2, end, &low) || low < 0xDC00 || low > 0xDFFF)
			return NULL;
		code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
		next += 6;
	}
	append_code(text, code);
	return next;
}

/* Append what a string says; false if it is none, or says what no text can hold */
bool
json_string(Json value, Buffer *text)
{
	const char *next = value.start + 1;
	const char *end = value.start + value.length - 1;

	if (value.length < 2 || value.start[0] != '"')
		return false;
	buffer_append(text, "", 0);
	while (next < end)
	{
		const char *escape = memchr(next, '\\', (size_t) (end - next));

		buffer_append(text, next, (size_t) ((escape != NULL ? escape : end) - next));
		if (escape == NULL)
			return true;
		next = take_escape(escape + 1, end, text);
		if (next == NULL)
			return false;
	}
	return true;
}

bool
json_integer(Json value, int64_t *number)
{
	char		digits[24];
	char	   *behind;

	if (value.length == 0 || value.length >= sizeof(digits))
		return false;
	memcpy(digits, value.start, value.length);
	digits[value.length] = '\0';
	errno = 0;
	*number = strtoll(digits, &behind, 10);
	return *behind == '\0' && errno == 0;
}

bool
json_is_null(Json value)
{
	return value.length == 4 && memcmp(value.start, "null", 4) == 0;
}
