/*
 * jsonb_diff.c
 *		The JSON patch that makes one document of another.
 *
 * It is linear in both documents: bytes known to be the same are not read
 * again deeper down, and of arrays of different length only the elements up to
 * the first that differs, from either end, are compared before the walk.
 */
#include "document.h"

#include "fmgr.h"
#include "jsonb_writer.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

typedef struct DiffOperation
{
	const JsonbSlice *name;
	JsonbSlice	path;
	JsonbSlice	value;			/* unless it removes */
} DiffOperation;

typedef struct Diff
{
	StringInfoData path;		/* of the values in hand */
	DiffOperation *operations;
	uint32		count;
	uint32		capacity;
	Size		size;			/* a guess at the bytes of the result */
} Diff;

/* Bytes of an operation beside its path and value: header, entries, names. */
#define OPERATION_SIZE	64

static const JsonbSlice add_name = {JENTRY_ISSTRING, 3, "add"};
static const JsonbSlice remove_name = {JENTRY_ISSTRING, 6, "remove"};
static const JsonbSlice replace_name = {JENTRY_ISSTRING, 7, "replace"};

/* Note an operation at the path in hand; a removal has no value. */
static void
note_operation(Diff *diff, const JsonbSlice *name, const JsonbSlice *value)
{
	DiffOperation *operation;

	CHECK_FOR_INTERRUPTS();
	if (diff->count == diff->capacity)
	{
		diff->capacity *= 2;
		diff->operations = repalloc_huge(diff->operations,
										 (Size) diff->capacity * sizeof(DiffOperation));
	}
	operation = &diff->operations[diff->count++];
	operation->name = name;
	operation->path.type = JENTRY_ISSTRING;
	operation->path.len = diff->path.len;
	operation->path.data = pnstrdup(diff->path.data, diff->path.len);
	diff->size += OPERATION_SIZE + diff->path.len;
	if (value != NULL)
	{
		operation->value = *value;
		diff->size += value->len;
	}
}

/* Lengthen the path in hand by a key or, without one, an index. */
static void
enter_child(Diff *diff, const JsonbSlice *key, uint32 index)
{
	char		digits[10];

	appendStringInfoChar(&diff->path, '/');
	if (key == NULL)
	{
		appendBinaryStringInfo(&diff->path, digits, pg_ultoa_n(index, digits));
		return;
	}
	for (uint32 i = 0; i < key->len; i++)
	{
		if (key->data[i] == '~')
			appendStringInfoString(&diff->path, "~0");
		else if (key->data[i] == '/')
			appendStringInfoString(&diff->path, "~1");
		else
			appendStringInfoChar(&diff->path, key->data[i]);
	}
}

/* Note an operation on a child of the value in hand. */
static void
note_child(Diff *diff, const JsonbSlice *name, const JsonbSlice *key, uint32 index,
		   const JsonbSlice *value)
{
	int			len = diff->path.len;

	enter_child(diff, key, index);
	note_operation(diff, name, value);
	diff->path.len = len;
}

static void diff_values(Diff *diff, const JsonbSlice *a, const JsonbSlice *b, uint32 same);

/* Compare what stands at the same child's place in both. */
static void
diff_child(Diff *diff, const JsonbSlice *key, uint32 index,
		   const JsonbSlice *a, const JsonbSlice *b, uint32 same)
{
	int			len = diff->path.len;

	if (a->type == b->type && a->len == b->len)
	{
		same = first_difference(a->data, b->data, same, a->len);
		if (same == a->len)
			return;
	}
	else
		same = 0;
	enter_child(diff, key, index);
	diff_values(diff, a, b, same);
	diff->path.len = len;
}

/* Walk the members of two objects in the order of their keys. */
static void
diff_objects(Diff *diff, const JsonbContainer *a, const JsonbContainer *b, uint32 same)
{
	MemberCursor amember;
	MemberCursor bmember;
	bool		ahas;
	bool		bhas;

	members_init(&amember, a);
	members_init(&bmember, b);
	ahas = members_next(&amember);
	bhas = members_next(&bmember);
	while (ahas || bhas)
	{
		int			order = !ahas ? 1 : !bhas ? -1 :
			compare_keys(amember.key.data, amember.key.len, bmember.key.data, bmember.key.len);

		if (order < 0)
			note_child(diff, &remove_name, &amember.key, 0, NULL);
		else if (order > 0)
			note_child(diff, &add_name, &bmember.key, 0, &bmember.value);
		else
			diff_child(diff, &amember.key, 0, &amember.value, &bmember.value,
					   same_of_child(a, same, &amember.value));
		if (order <= 0)
			ahas = members_next(&amember);
		if (order >= 0)
			bhas = members_next(&bmember);
	}
}

/* Number of equal elements at the start of two arrays, at most "limit". */
static uint32
common_prefix(const JsonbContainer *a, const JsonbContainer *b, uint32 limit)
{
	uint32		prefix = 0;
	JsonbCursor acursor;
	JsonbCursor bcursor;
	JsonbSlice	aelement;
	JsonbSlice	belement;

	cursor_init(&acursor, a, 0);
	cursor_init(&bcursor, b, 0);
	for (; prefix < limit; prefix++)
	{
		CHECK_FOR_INTERRUPTS();
		cursor_next(&acursor, &aelement);
		cursor_next(&bcursor, &belement);
		if (!slices_equal(&aelement, &belement))
			break;
	}
	return prefix;
}

/* Number of equal elements at the end of two arrays, at most "limit". */
static uint32
common_suffix(const JsonbContainer *a, const JsonbContainer *b, uint32 limit)
{
	uint32		suffix = 0;
	JsonbSlice	aelement;
	JsonbSlice	belement;

	for (; suffix < limit; suffix++)
	{
		CHECK_FOR_INTERRUPTS();
		container_child(a, JsonContainerSize(a) - 1 - suffix, &aelement);
		container_child(b, JsonContainerSize(b) - 1 - suffix, &belement);
		if (!slices_equal(&aelement, &belement))
			break;
	}
	return suffix;
}

/*
 * Arrays of one length are compared element by element. Otherwise common
 * elements at both ends are left alone, what stands between is compared
 * element by element, and what is left over is removed or added.
 */
static void
diff_arrays(Diff *diff, const JsonbContainer *a, const JsonbContainer *b, uint32 same)
{
	uint32		acount = JsonContainerSize(a);
	uint32		bcount = JsonContainerSize(b);
	uint32		common = Min(acount, bcount);
	uint32		prefix = 0;
	uint32		suffix = 0;
	JsonbCursor acursor;
	JsonbCursor bcursor;
	JsonbSlice	aelement;
	JsonbSlice	belement;

	if (acount != bcount)
	{
		prefix = common_prefix(a, b, common);
		suffix = common_suffix(a, b, common - prefix);
	}

	cursor_init(&acursor, a, prefix);
	cursor_init(&bcursor, b, prefix);
	for (uint32 i = prefix; i < common - suffix; i++)
	{
		CHECK_FOR_INTERRUPTS();
		cursor_next(&acursor, &aelement);
		cursor_next(&bcursor, &belement);
		diff_child(diff, NULL, i, &aelement, &belement, same_of_child(a, same, &aelement));
	}
	for (uint32 i = acount - suffix; i > bcount - suffix; i--)
		note_child(diff, &remove_name, NULL, i - 1, NULL);
	for (uint32 i = acount - suffix; i < bcount - suffix; i++)
	{
		cursor_next(&bcursor, &belement);
		note_child(diff, &add_name, NULL, i, &belement);
	}
}

/* Compare two values, the first "same" bytes of which are the same. */
static void
diff_values(Diff *diff, const JsonbSlice *a, const JsonbSlice *b, uint32 same)
{
	check_stack_depth();

	if (slice_is_object(a) && slice_is_object(b))
		diff_objects(diff, slice_container(a), slice_container(b), same);
	else if (slice_is_array(a) && slice_is_array(b))
		diff_arrays(diff, slice_container(a), slice_container(b), same);
	else if (!slices_equal(a, b))
		note_operation(diff, &replace_name, b);
}

/* Write the operations as a JSON patch. */
static Jsonb *
write_operations(const Diff *diff)
{
	static const JsonbSlice op_key = {JENTRY_ISSTRING, 2, "op"};
	static const JsonbSlice path_key = {JENTRY_ISSTRING, 4, "path"};
	static const JsonbSlice value_key = {JENTRY_ISSTRING, 5, "value"};
	JsonbWriter writer;
	JsonbFrame	patch;
	JsonbFrame	frame;

	writer_init(&writer, diff->size);
	writer_begin(&writer, &patch, NULL, diff->count | JB_FARRAY);
	for (uint32 i = 0; i < diff->count; i++)
	{
		const DiffOperation *operation = &diff->operations[i];
		bool		removes = operation->name == &remove_name;

		CHECK_FOR_INTERRUPTS();
		writer_begin(&writer, &frame, &patch, (removes ? 2 : 3) | JB_FOBJECT);
		writer_child(&writer, &frame, &op_key);
		writer_child(&writer, &frame, &path_key);
		if (!removes)
			writer_child(&writer, &frame, &value_key);
		writer_child(&writer, &frame, operation->name);
		writer_child(&writer, &frame, &operation->path);
		if (!removes)
			writer_child(&writer, &frame, &operation->value);
		writer_end(&writer, &frame);
	}
	writer_end(&writer, &patch);
	return writer_finish(&writer);
}

/* Operations that make "target" of "source"; none if they are equal. */
Jsonb *
json_diff(const Jsonb *source, const Jsonb *target)
{
	Diff		diff = {.capacity = 16,.size = OPERATION_SIZE};
	JsonbSlice	a;
	JsonbSlice	b;

	initStringInfo(&diff.path);
	diff.operations = palloc(diff.capacity * sizeof(DiffOperation));
	slice_of_jsonb(source, &a);
	slice_of_jsonb(target, &b);
	diff_values(&diff, &a, &b,
				a.len == b.len ? first_difference(a.data, b.data, 0, a.len) : 0);
	return write_operations(&diff);
}

PG_FUNCTION_INFO_V1(jsonb_diff);
Datum
jsonb_diff(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(json_diff(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1)));
}
