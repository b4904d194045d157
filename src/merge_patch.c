/*
 * merge_patch.c
 *		RFC 7396, JSON merge patch.
 *
 * Target and patch are walked together, key by key; what lies between two
 * members of the patch is copied from the target as bytes.
 */
#include "document.h"

#include "fmgr.h"
#include "jsonb_writer.h"
#include "miscadmin.h"

/* What one member of a patch does to the target. */
typedef struct MergeStep
{
	uint32		place;			/* number of target members before it */
	bool		found;			/* the target has this key */
	bool		removes;		/* the patch says null */
} MergeStep;

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
	uint32		targetsize = JsonContainerSize(target);
	uint32		patchsize = JsonContainerSize(patch);
	uint32		done = 0;
	JsonbCursor cursor;
	JsonbSlice	key;

	cursor_init(&cursor, patch, 0);
	for (uint32 i = 0; i < patchsize; i++)
	{
		cursor_next(&cursor, &key);
		if (steps[i].found != steps[i].removes)
			continue;
		writer_run(writer, frame, target, done, steps[i].place - done);
		done = steps[i].place;
		if (steps[i].removes)
			done++;
		else
			writer_child(writer, frame, &key);
	}
	writer_run(writer, frame, target, done, targetsize - done);
}

/* Write the merge of two objects. */
static void
merge_objects(JsonbWriter *writer, JsonbFrame *parent,
			  const JsonbContainer *target, const JsonbContainer *patch)
{
	uint32		targetsize = JsonContainerSize(target);
	uint32		patchsize = JsonContainerSize(patch);
	MergeStep  *steps = palloc(patchsize * sizeof(MergeStep));
	uint32		done = 0;
	JsonbFrame	frame;
	JsonbCursor cursor;
	JsonbSlice	value;
	JsonbSlice	old;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();

	writer_begin(writer, &frame, parent,
				 plan_steps(target, patch, steps) | JB_FOBJECT);
	write_keys(writer, &frame, target, patch, steps);

	cursor_init(&cursor, patch, patchsize);
	for (uint32 i = 0; i < patchsize; i++)
	{
		const MergeStep *step = &steps[i];

		cursor_next(&cursor, &value);
		if (step->removes && !step->found)
			continue;
		writer_run(writer, &frame, target, targetsize + done, step->place - done);
		done = step->place + step->found;
		if (step->removes)
			continue;
		if (slice_is_object(&value))
		{
			const JsonbContainer *base = &empty_object;

			if (step->found)
			{
				container_child(target, targetsize + step->place, &old);
				if (slice_is_object(&old))
					base = slice_container(&old);
			}
			merge_objects(writer, &frame, base, slice_container(&value));
		}
		else
			writer_child(writer, &frame, &value);
	}
	writer_run(writer, &frame, target, targetsize + done, targetsize - done);
	writer_end(writer, &frame);
	pfree(steps);
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
	merge_objects(&writer, NULL, object ? &target->root : &empty_object, &patch->root);
	return writer_finish(&writer);
}

PG_FUNCTION_INFO_V1(jsonb_merge_patch);
Datum
jsonb_merge_patch(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(merge_patch(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1)));
}
