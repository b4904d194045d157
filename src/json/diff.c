/*
 * json/diff.c
 *		The JSON patch that makes one document of another.
 *
 * It is linear in both documents: bytes known to be the same are not read
 * again deeper down, and of arrays of different length only the elements up to
 * the first that differs, from either end, are compared before the walk.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "json/edit.h"
#include "json/writer.h"

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

/* What stands at one place in both documents. */
typedef struct DiffPair
{
	JsonbSlice	key;			/* in objects */
	uint32		index;			/* in arrays */
	JsonbSlice	a;
	JsonbSlice	b;
	uint32		same;			/* bytes known to be the same */
} DiffPair;

/*
 * Two objects or two arrays being compared; levels are on the heap, because
 * documents may be deep.
 */
typedef struct DiffLevel
{
	struct DiffLevel *outer;
	const JsonbContainer *a;
	const JsonbContainer *b;
	uint32		same;
	int			pathlen;
	MemberCursor amember;		/* of objects */
	MemberCursor bmember;
	bool		ahas;			/* is a member in hand? */
	bool		bhas;
	JsonbCursor aelement;		/* of arrays */
	JsonbCursor belement;
	uint32		index;
	uint32		aend;			/* where the common suffix begins */
	uint32		bend;
} DiffLevel;

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

/* Note an operation on a child of the containers in hand. */
static void
note_child(Diff *diff, const JsonbSlice *name, const JsonbSlice *key, uint32 index,
		   const JsonbSlice *value)
{
	int			len = diff->path.len;

	enter_child(diff, key, index);
	note_operation(diff, name, value);
	diff->path.len = len;
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
 * Begin to compare two containers of one kind. Of arrays of different length
 * common elements at both ends are left alone.
 */
static DiffLevel *
begin_level(const Diff *diff, DiffLevel *outer,
			const JsonbContainer *a, const JsonbContainer *b, uint32 same)
{
	DiffLevel  *level = palloc0(sizeof(DiffLevel));
	uint32		acount = JsonContainerSize(a);
	uint32		bcount = JsonContainerSize(b);

	level->outer = outer;
	level->a = a;
	level->b = b;
	level->same = same;
	level->pathlen = diff->path.len;
	if (JsonContainerIsObject(a))
	{
		members_init(&level->amember, a);
		members_init(&level->bmember, b);
		level->ahas = members_next(&level->amember);
		level->bhas = members_next(&level->bmember);
		return level;
	}
	level->aend = acount;
	level->bend = bcount;
	if (acount != bcount)
	{
		uint32		common = Min(acount, bcount);
		uint32		suffix;

		level->index = common_prefix(a, b, common);
		suffix = common_suffix(a, b, common - level->index);
		level->aend -= suffix;
		level->bend -= suffix;
	}
	cursor_init(&level->aelement, a, level->index);
	cursor_init(&level->belement, b, level->index);
	return level;
}

/* Walk on to a key that both objects have; note the others on the way. */
static bool
next_members(Diff *diff, DiffLevel *level, DiffPair *pair)
{
	MemberCursor *a = &level->amember;
	MemberCursor *b = &level->bmember;

	while (level->ahas || level->bhas)
	{
		int			order = !level->ahas ? 1 : !level->bhas ? -1 :
		compare_keys(a->key.data, a->key.len, b->key.data, b->key.len);

		if (order < 0)
			note_child(diff, &remove_name, &a->key, 0, NULL);
		else if (order > 0)
			note_child(diff, &add_name, &b->key, 0, &b->value);
		else
		{
			pair->key = a->key;
			pair->a = a->value;
			pair->b = b->value;
		}
		if (order <= 0)
			level->ahas = members_next(a);
		if (order >= 0)
			level->bhas = members_next(b);
		if (order == 0)
			return true;
	}
	return false;
}

/* Walk on to the next elements of both arrays; after the last note the rest. */
static bool
next_elements(Diff *diff, DiffLevel *level, DiffPair *pair)
{
	uint32		common = Min(level->aend, level->bend);

	if (level->index < common)
	{
		cursor_next(&level->aelement, &pair->a);
		cursor_next(&level->belement, &pair->b);
		pair->index = level->index++;
		return true;
	}
	for (uint32 i = level->aend; i > common; i--)
		note_child(diff, &remove_name, NULL, i - 1, NULL);
	for (uint32 i = common; i < level->bend; i++)
	{
		cursor_next(&level->belement, &pair->b);
		note_child(diff, &add_name, NULL, i, &pair->b);
	}
	return false;
}

/* Compare a pair, at the root without a level; two containers are the next level. */
static DiffLevel *
diff_pair(Diff *diff, DiffLevel *level, const DiffPair *pair)
{
	const JsonbSlice *a = &pair->a;
	const JsonbSlice *b = &pair->b;
	uint32		same = 0;

	if (a->type == b->type && a->len == b->len)
	{
		same = first_difference(a->data, b->data, pair->same, a->len);
		if (same == a->len)
			return level;
	}
	if (level != NULL)
		enter_child(diff, JsonContainerIsObject(level->a) ? &pair->key : NULL, pair->index);
	if ((slice_is_object(a) && slice_is_object(b)) || (slice_is_array(a) && slice_is_array(b)))
		return begin_level(diff, level, slice_container(a), slice_container(b), same);
	if (!slices_equal(a, b))
		note_operation(diff, &replace_name, b);
	return level;
}

/* Note all that differs. */
static void
diff_documents(Diff *diff, const Jsonb *source, const Jsonb *target)
{
	DiffPair	pair = {{0}};
	DiffLevel  *level;

	slice_of_jsonb(source, &pair.a);
	slice_of_jsonb(target, &pair.b);
	level = diff_pair(diff, NULL, &pair);
	while (level != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		diff->path.len = level->pathlen;
		if (JsonContainerIsObject(level->a) ? next_members(diff, level, &pair) :
			next_elements(diff, level, &pair))
		{
			pair.same = same_of_child(level->a, level->same, &pair.a);
			level = diff_pair(diff, level, &pair);
		}
		else
		{
			DiffLevel  *outer = level->outer;

			pfree(level);
			level = outer;
		}
	}
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

	initStringInfo(&diff.path);
	diff.operations = palloc(diff.capacity * sizeof(DiffOperation));
	diff_documents(&diff, source, target);
	return write_operations(&diff);
}

PG_FUNCTION_INFO_V1(jsonb_diff);
Datum
jsonb_diff(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(json_diff(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1)));
}
