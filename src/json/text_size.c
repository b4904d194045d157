/*
 * json/text_size.c
 *		The size of a document as text: see json/text_size.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/limits.h"
#include "json/text_size.h"

/* A byte of a string is at most "\u0001" as text, and all else has more bytes in jsonb than as text, but for numbers. */
#define ESCAPED_MAX 6

/* The parts of a number's header, which has been on disk since PostgreSQL 9.1. */
#define NUMBER_SHORT			0x8000
#define NUMBER_SPECIAL			0xC000
#define NUMBER_NEGATIVE			0x4000
#define NUMBER_SCALE_MASK		0x3FFF
#define SHORT_NEGATIVE			0x2000
#define SHORT_SCALE_MASK		0x1F80
#define SHORT_SCALE_SHIFT		7
#define SHORT_WEIGHT_SIGN		0x0040
#define SHORT_WEIGHT_MASK		0x003F

/* The digits before the point, of a number whose first group of four is this. */
static uint32
digits_before_point(int weight, uint32 groups, uint16 first)
{
	if (weight < 0 || groups == 0)
		return 1;
	return weight * 4 + (first >= 1000 ? 4 : first >= 100 ? 3 : first >= 10 ? 2 : 1);
}

/* The length of a number as text. */
static uint32
number_text_size(const char *number)
{
	uint16		words[3] = {0};
	uint32		len = VARSIZE_ANY_EXHDR(number);
	bool		is_short;
	int			weight;
	uint32		scale;
	bool		negative;

	memcpy(words, VARDATA_ANY(number), Min(len, sizeof(words)));
	is_short = (words[0] & NUMBER_SHORT) != 0;
	if ((words[0] & NUMBER_SPECIAL) == NUMBER_SPECIAL)
		return strlen("-Infinity");
	if (is_short)
	{
		negative = (words[0] & SHORT_NEGATIVE) != 0;
		scale = (words[0] & SHORT_SCALE_MASK) >> SHORT_SCALE_SHIFT;
		weight = words[0] & SHORT_WEIGHT_MASK;
		if (words[0] & SHORT_WEIGHT_SIGN)
			weight -= SHORT_WEIGHT_MASK + 1;
	}
	else
	{
		negative = (words[0] & NUMBER_NEGATIVE) != 0;
		scale = words[0] & NUMBER_SCALE_MASK;
		weight = (int16) words[1];
	}
	return negative + digits_before_point(weight, len / sizeof(uint16) - (is_short ? 1 : 2), words[is_short ? 1 : 2]) +
		(scale > 0 ? 1 + scale : 0);
}

/* The length of a string as text, with its quotes. */
static uint64
string_text_size(const char *string, uint32 len)
{
	uint64		size = len + 2;

	for (uint32 i = 0; i < len; i++)
	{
		unsigned char c = string[i];

		if (c == '"' || c == '\\')
			size++;
		else if (c < ' ')
			size += strchr("\b\f\n\r\t", c) && c ? 1 : ESCAPED_MAX - 1;
	}
	return size;
}

/* The size of the next children under a cursor, without what is between them. */
uint64
run_text_size(JsonbCursor *children, uint32 count, uint64 max)
{
	uint64		size = 0;
	JsonbSlice	child;

	while (count-- > 0 && size <= max)
	{
		CHECK_FOR_INTERRUPTS();
		cursor_next(children, &child);
		size += slice_text_size(&child, max - size);
	}
	return size;
}

/* The size of a value. */
uint64
slice_text_size(const JsonbSlice *value, uint64 max)
{
	const JsonbContainer *container;
	JsonbCursor cursor;
	uint64		size;

	switch (value->type)
	{
		case JENTRY_ISNULL:
		case JENTRY_ISBOOL_TRUE:
			return strlen("true");
		case JENTRY_ISBOOL_FALSE:
			return strlen("false");
		case JENTRY_ISSTRING:
			return string_text_size(value->data, value->len);
		case JENTRY_ISNUMERIC:
			return number_text_size(value->data);
	}
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	container = slice_container(value);
	size = BRACKETS_SIZE + (container_entries(container) > 0 ? (container_entries(container) - 1) * (uint64) SEPARATOR_SIZE : 0);
	cursor_init(&cursor, container, 0);
	return size > max ? size : size + run_text_size(&cursor, container_entries(container), max - size);
}

/* The size of all numbers in a container. */
static uint64
numbers_text_size(const JsonbContainer *container, uint64 max)
{
	JsonbCursor cursor;
	JsonbSlice	child;
	uint64		size = 0;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	cursor_init(&cursor, container, JsonContainerIsObject(container) ? JsonContainerSize(container) : 0);
	while (cursor.index < container_entries(container) && size <= max)
	{
		cursor_next(&cursor, &child);
		if (child.type == JENTRY_ISNUMERIC)
			size += number_text_size(child.data);
		else if (child.type == JENTRY_ISCONTAINER)
			size += numbers_text_size(slice_container(&child), max - size);
	}
	return size;
}

/* The size of a document. */
uint64
text_size(const Jsonb *document, uint64 max)
{
	JsonbSlice	slice;

	slice_of_jsonb(document, &slice);
	return slice_text_size(&slice, max);
}

/* Is a document larger than that? Of most it is seen without looking at their strings. */
bool
text_exceeds(const Jsonb *document, uint64 max)
{
	uint64		bound = (uint64) VARSIZE(document) * ESCAPED_MAX;

	if (bound <= max && bound + numbers_text_size(&document->root, max) <= max)
		return false;
	return text_size(document, max) > max;
}

/* Is a value, which is a container, larger than that? */
bool
value_exceeds(const JsonbValue *value, uint64 max)
{
	JsonbSlice	slice;

	slice_of_value(value, &slice);
	return slice_text_size(&slice, max) > max;
}

/* Refuse a document whose text is larger than it may be, unless the old one, or NULL, was no smaller. */
void
check_text_size(const Jsonb *document, const Jsonb *old, const char *table, uint64 max)
{
	if (!text_exceeds(document, max))
		return;
	if (old == NULL || text_size(document, MAX_TEXT) > text_size(old, MAX_TEXT))
		document_too_large(table, max);
}
