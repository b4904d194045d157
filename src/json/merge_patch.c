/*
 * json/merge_patch.c
 *		RFC 7396, JSON merge patch.
 *
 * Target and patch are walked together, key by key; what lies between two
 * members of the patch is copied from the target as bytes.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "json/edit.h"
#include "json/writer.h"

/* What one member of a patch does to the target. */
typedef struct MergeStep
{
	uint32		place;			/* number of target members before it */
	bool		found;			/* the target has this key */
	bool		removes;		/* the patch says null */
} MergeStep;

/* Two objects being merged; levels are on the heap, because documents may be deep. */
typedef struct MergeLevel
{
	struct MergeLevel *outer;
	JsonbFrame	frame;
	JsonbCursor targetvalues;
	JsonbCursor patchvalues;
	uint32		next;			/* step, of so many */
	uint32		count;
	MergeStep	steps[FLEXIBLE_ARRAY_MEMBER];
} MergeLevel;

/*
 * Find the place of each patch member in the target. Returns the number of
 * members of the result.
 */
static uint32
plan_steps(const JsonbContainer *target, const JsonbContainer *patch, MergeStep *steps)
{
	uint32		targetsize = JsonContainerSize(target);
	uint32		patchsize = JsonContainerSize(patch);
	uint32		size = targetsize;
	uint32		place = 0;
	int			order = -1;
	JsonbCursor targetcursor;
	JsonbCursor patchcursor;
	JsonbSlice	targetkey;
	JsonbSlice	patchkey;

	cursor_init(&patchcursor, patch, 0);
	cursor_init(&targetcursor, target, 0);
	if (targetsize > 0)
		cursor_next(&targetcursor, &targetkey);
	for (uint32 i = 0; i < patchsize; i++)
	{
		cursor_next(&patchcursor, &patchkey);
		while (place < targetsize &&
			   (order = compare_keys(targetkey.data, targetkey.len,
									 patchkey.data, patchkey.len)) < 0)
		{
			if (++place < targetsize)
				cursor_next(&targetcursor, &targetkey);
		}
		steps[i].place = place;
		steps[i].found = place < targetsize && order == 0;
		steps[i].removes = JBE_ISNULL(patch->children[patchsize + i]);
		if (steps[i].found && steps[i].removes)
			size--;
		else if (!steps[i].found && !steps[i].removes)
			size++;
	}
	return size;
}

/* Write the merged keys: only those that come or go interrupt a run. */
static void
write_keys(JsonbWriter *writer, JsonbFrame *frame, const JsonbContainer *target,
		   const JsonbContainer *patch, const MergeStep *steps)
{
	uint32		patchsize = JsonContainerSize(patch);
	JsonbCursor targetkeys;
	JsonbCursor patchkeys;
	JsonbSlice	key;
	JsonbSlice	removed;

	cursor_init(&targetkeys, target, 0);
	cursor_init(&patchkeys, patch, 0);
	for (uint32 i = 0; i < patchsize; i++)
	{
		cursor_next(&patchkeys, &key);
		if (steps[i].found != steps[i].removes)
			continue;
		writer_run(writer, frame, &targetkeys, steps[i].place - targetkeys.index);
		if (steps[i].removes)
			cursor_next(&targetkeys, &removed);
		else
			writer_child(writer, frame, &key);
	}
	writer_run(writer, frame, &targetkeys, JsonContainerSize(target) - targetkeys.index);
}

/* Begin to merge two objects: the keys are written at once. */
static MergeLevel *
begin_level(JsonbWriter *writer, MergeLevel *outer,
			const JsonbContainer *target, const JsonbContainer *patch)
{
	uint32		count = JsonContainerSize(patch);
	MergeLevel *level = palloc(offsetof(MergeLevel, steps) + count * sizeof(MergeStep));

	CHECK_FOR_INTERRUPTS();
	level->outer = outer;
	level->next = 0;
	level->count = count;
	cursor_init(&level->targetvalues, target, JsonContainerSize(target));
	cursor_init(&level->patchvalues, patch, count);
	writer_begin(writer, &level->frame, outer == NULL ? NULL : &outer->frame,
				 plan_steps(target, patch, level->steps) | JB_FOBJECT);
	write_keys(writer, &level->frame, target, patch, level->steps);
	return level;
}

/* Write target values up to the one at "place". */
static void
write_values_before(JsonbWriter *writer, MergeLevel *level, uint32 place)
{
	JsonbCursor *values = &level->targetvalues;

	writer_run(writer, &level->frame, values,
			   JsonContainerSize(values->container) + place - values->index);
}

/* End a level, and return to the one around it. */
static MergeLevel *
end_level(JsonbWriter *writer, MergeLevel *level)
{
	MergeLevel *outer = level->outer;

	write_values_before(writer, level, JsonContainerSize(level->targetvalues.container));
	writer_end(writer, &level->frame);
	pfree(level);
	return outer;
}

/* Has an object null members, at any depth of objects in objects? */
static bool
has_nulls(const JsonbContainer *object)
{
	uint32		count = JsonContainerSize(object);
	JsonbSlice	value;

	check_stack_depth();

	for (uint32 i = count; i < count * 2; i++)
	{
		JEntry		entry = object->children[i];

		if (JBE_ISNULL(entry))
			return true;
		if (!JBE_ISCONTAINER(entry))
			continue;
		container_child(object, i, &value);
		if (slice_is_object(&value) && has_nulls(slice_container(&value)))
			return true;
	}
	return false;
}

/*
 * Is an object of the patch copied as it is? It is, where it is new and has no
 * nulls. Below an object that had some, all is walked: looking for them again
 * at each level would make deep patches slow.
 */
static bool
is_copied(const MergeLevel *level, const JsonbContainer *base, const JsonbContainer *object)
{
	return base == &empty_object && level->targetvalues.container != &empty_object &&
		!has_nulls(object);
}

/* Write the merge of two objects, value by value. */
static void
merge_objects(JsonbWriter *writer, const JsonbContainer *target, const JsonbContainer *patch)
{
	MergeLevel *level = begin_level(writer, NULL, target, patch);

	while (level != NULL)
	{
		const MergeStep *step = &level->steps[level->next];
		const JsonbContainer *base = &empty_object;
		JsonbSlice	value;
		JsonbSlice	old;

		if (level->next++ == level->count)
		{
			level = end_level(writer, level);
			continue;
		}
		cursor_next(&level->patchvalues, &value);
		write_values_before(writer, level, step->place);
		if (step->found)
		{
			cursor_next(&level->targetvalues, &old);
			if (slice_is_object(&old))
				base = slice_container(&old);
		}
		if (step->removes)
			continue;
		if (slice_is_object(&value) && !is_copied(level, base, slice_container(&value)))
			level = begin_level(writer, level, base, slice_container(&value));
		else
			writer_child(writer, &level->frame, &value);
	}
}

/* RFC 7396: the target, or the patch itself, where that is the result. */
Jsonb *
merge_patch(Jsonb *target, Jsonb *patch)
{
	bool		object = JB_ROOT_IS_OBJECT(target);
	JsonbWriter writer;

	if (!JB_ROOT_IS_OBJECT(patch))
		return patch;
	if (object && JB_ROOT_COUNT(patch) == 0)
		return target;

	writer_init(&writer, (Size) (object ? VARSIZE(target) : 0) + VARSIZE(patch));
	merge_objects(&writer, object ? &target->root : &empty_object, &patch->root);
	return writer_finish(&writer);
}

PG_FUNCTION_INFO_V1(jsonb_merge_patch);
Datum
jsonb_merge_patch(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(merge_patch(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1)));
}
