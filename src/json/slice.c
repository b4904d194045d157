/*
 * json/slice.c
 *		Reading jsonb where it lies: children, keys, equality.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "json/slice.h"

#define DIFFERENCE_BLOCK	256
#define KEY_WINDOW			JB_OFFSET_STRIDE

const JsonbContainer empty_object = {JB_FOBJECT};

/* The whole document; a scalar document is unwrapped from its array. */
void
slice_of_jsonb(const Jsonb *jsonb, JsonbSlice *slice)
{
	if (JB_ROOT_IS_SCALAR(jsonb))
	{
		container_child(&jsonb->root, 0, slice);
		return;
	}
	slice->type = JENTRY_ISCONTAINER;
	slice->len = VARSIZE(jsonb) - VARHDRSZ;
	slice->data = (const char *) &jsonb->root;
}

/* The slice of a scalar or jbvBinary value, which it points into. */
void
slice_of_value(const JsonbValue *value, JsonbSlice *slice)
{
	slice->len = 0;
	slice->data = NULL;
	switch (value->type)
	{
		case jbvNull:
			slice->type = JENTRY_ISNULL;
			break;
		case jbvBool:
			slice->type = value->val.boolean ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE;
			break;
		case jbvString:
			slice->type = JENTRY_ISSTRING;
			slice->len = value->val.string.len;
			slice->data = value->val.string.val;
			break;
		case jbvNumeric:
			slice->type = JENTRY_ISNUMERIC;
			slice->len = VARSIZE_ANY(value->val.numeric);
			slice->data = (const char *) value->val.numeric;
			break;
		case jbvBinary:
			if (JsonContainerIsScalar(value->val.binary.data))
			{
				container_child(value->val.binary.data, 0, slice);
				break;
			}
			slice->type = JENTRY_ISCONTAINER;
			slice->len = value->val.binary.len;
			slice->data = (const char *) value->val.binary.data;
			break;
		default:
			elog(ERROR, "unexpected jsonb value type %d", (int) value->type);
	}
}

/* The same value as the server's functions take it. */
void
slice_to_value(const JsonbSlice *slice, JsonbValue *value)
{
	switch (slice->type)
	{
		case JENTRY_ISNULL:
			value->type = jbvNull;
			break;
		case JENTRY_ISBOOL_TRUE:
		case JENTRY_ISBOOL_FALSE:
			value->type = jbvBool;
			value->val.boolean = slice->type == JENTRY_ISBOOL_TRUE;
			break;
		case JENTRY_ISSTRING:
			value->type = jbvString;
			value->val.string.len = slice->len;
			value->val.string.val = unconstify(char *, slice->data);
			break;
		case JENTRY_ISNUMERIC:
			value->type = jbvNumeric;
			value->val.numeric = (Numeric) unconstify(char *, slice->data);
			break;
		default:
			value->type = jbvBinary;
			value->val.binary.len = slice->len;
			value->val.binary.data = (JsonbContainer *) unconstify(char *, slice->data);
			break;
	}
}

/* Read one child out of turn. */
void
container_child(const JsonbContainer *container, uint32 index, JsonbSlice *child)
{
	JsonbCursor cursor;

	cursor_init(&cursor, container, index);
	cursor_next(&cursor, child);
}

/*
 * Look for a key among the members first .. first + count - 1 of an object.
 * *place is the member's number from first, or where it would stand.
 */
bool
find_key(const JsonbContainer *object, uint32 first, uint32 count,
		 const char *key, uint32 keylen, uint32 *place)
{
	uint32		low = first;
	uint32		high = first + count;
	JsonbCursor cursor;
	JsonbSlice	candidate;
	int			order = 1;

	while (high - low > KEY_WINDOW)
	{
		uint32		middle = low + (high - low) / 2;

		container_child(object, middle, &candidate);
		if (compare_keys(candidate.data, candidate.len, key, keylen) < 0)
			low = middle + 1;
		else
			high = middle + 1;
	}

	cursor_init(&cursor, object, low);
	for (; low < high; low++)
	{
		cursor_next(&cursor, &candidate);
		order = compare_keys(candidate.data, candidate.len, key, keylen);
		if (order >= 0)
			break;
	}
	*place = low - first;
	return order == 0;
}

/* First position from "from" on where two byte strings differ, or len. */
uint32
first_difference(const char *a, const char *b, uint32 from, uint32 len)
{
	while (len - from >= DIFFERENCE_BLOCK && memcmp(a + from, b + from, DIFFERENCE_BLOCK) == 0)
		from += DIFFERENCE_BLOCK;
	while (from < len && a[from] == b[from])
		from++;
	return from;
}

static bool equal_from(const JsonbSlice *a, const JsonbSlice *b, uint32 same);

/*
 * Compare two containers child by child; the first "same" bytes are known to
 * be the same, so that no byte is read twice however deep the difference lies.
 */
static bool
containers_equal(const JsonbContainer *a, const JsonbContainer *b, uint32 same)
{
	uint32		entries = container_entries(a);
	JsonbCursor acursor;
	JsonbCursor bcursor;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();

	if (a->header != b->header)
		return false;
	cursor_init(&acursor, a, 0);
	cursor_init(&bcursor, b, 0);
	while (entries-- > 0)
	{
		JsonbSlice	achild;
		JsonbSlice	bchild;

		cursor_next(&acursor, &achild);
		cursor_next(&bcursor, &bchild);
		if (!equal_from(&achild, &bchild, same_of_child(a, same, &achild)))
			return false;
	}
	return true;
}

/* slices_equal where the first "same" bytes are known to be the same. */
static bool
equal_from(const JsonbSlice *a, const JsonbSlice *b, uint32 same)
{
	if (a->type != b->type)
		return false;
	if (a->type == JENTRY_ISSTRING)
		return a->len == b->len && memcmp(a->data + same, b->data + same, a->len - same) == 0;
	if (a->len == b->len)
	{
		same = first_difference(a->data, b->data, same, a->len);
		if (same == a->len)
			return true;
	}
	else
		same = 0;

	if (a->type == JENTRY_ISNUMERIC)
		return DatumGetBool(DirectFunctionCall2(numeric_eq, PointerGetDatum(a->data),
												PointerGetDatum(b->data)));
	if (a->type == JENTRY_ISCONTAINER)
		return containers_equal(slice_container(a), slice_container(b), same);
	return false;
}

/* Are two values equal as jsonb's "=" has it (1 and 1.0 are)? */
bool
slices_equal(const JsonbSlice *a, const JsonbSlice *b)
{
	return equal_from(a, b, 0);
}

/* Hash a value; those that slices_equal() holds for equal have one hash. */
uint64
hash_slice(const JsonbSlice *value, uint64 seed)
{
	const JsonbContainer *container;
	JsonbCursor cursor;
	JsonbSlice	child;
	uint64		hash;

	if (value->type == JENTRY_ISNUMERIC)
		return DatumGetUInt64(DirectFunctionCall2(hash_numeric_extended, PointerGetDatum(value->data), UInt64GetDatum(seed)));
	if (value->type != JENTRY_ISCONTAINER)
		return hash_bytes_extended((const unsigned char *) value->data, value->len, seed + value->type);

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	container = slice_container(value);
	hash = hash_bytes_extended((const unsigned char *) &container->header, sizeof(container->header), seed);
	cursor_init(&cursor, container, 0);
	while (cursor.index < container_entries(container))
	{
		cursor_next(&cursor, &child);
		hash = hash_slice(&child, hash);
	}
	return hash;
}
