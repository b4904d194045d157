/*
 * json/writer.c
 *		Writing jsonb from pieces of other jsonb: see json/writer.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "json/writer.h"

/* What the server's writer makes at most, and would have to make from a dump. */
#define MAX_DOCUMENT	((Size) JENTRY_OFFLENMASK + VARHDRSZ)
#define MAX_ELEMENTS	Min(MaxAllocSize / sizeof(JsonbValue), JB_CMASK)
#define MAX_MEMBERS		Min(MaxAllocSize / sizeof(JsonbPair), JB_CMASK)

/* Start a document; "expected" bytes are a guess and need not suffice. */
void
writer_init(JsonbWriter *writer, Size expected)
{
	writer->capacity = Min(expected + VARHDRSZ, MAX_DOCUMENT);
	writer->buffer = palloc(writer->capacity);
	writer->len = VARHDRSZ;
}

/*
 * Make room for more bytes. Refuse, in its words, what the server's own writer
 * refuses: it limits each container, but the root holds all others.
 */
static pg_noinline void
writer_grow(JsonbWriter *writer, uint32 len)
{
	Size		needed = (Size) writer->len + len;

	if (needed > MAX_DOCUMENT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("total size of jsonb %s elements exceeds the maximum of %d bytes",
						JB_ROOT_IS_OBJECT((Jsonb *) writer->buffer) ? "object" : "array",
						JENTRY_OFFLENMASK)));
	writer->capacity = Min(Max(needed, (Size) writer->capacity * 2), MAX_DOCUMENT);
	writer->buffer = repalloc(writer->buffer, writer->capacity);
}

/* Claim the next bytes, to be filled by the caller. */
static inline char *
writer_reserve(JsonbWriter *writer, uint32 len)
{
	char	   *place;

	if (unlikely(len > writer->capacity - writer->len))
		writer_grow(writer, len);
	place = writer->buffer + writer->len;
	writer->len += len;
	return place;
}

/* Pad to a multiple of four bytes. */
static inline void
writer_align(JsonbWriter *writer)
{
	uint32		padding = INTALIGN(writer->len) - writer->len;

	if (padding > 0)
		memset(writer_reserve(writer, padding), 0, padding);
}

/* The container under a frame; moves when the buffer grows. */
static inline JsonbContainer *
frame_container(JsonbWriter *writer, const JsonbFrame *frame)
{
	return (JsonbContainer *) (writer->buffer + INTALIGN(frame->start));
}

/* The entry of a child that ends "end" bytes into the data. */
static inline JEntry
make_entry(uint32 index, JEntry type, uint32 len, uint32 end)
{
	if (index % JB_OFFSET_STRIDE == 0)
		return type | end | JENTRY_HAS_OFF;
	return type | len;
}

/* Enter a child, written from "start" to the end of the buffer, in its frame. */
static inline void
enter_child(JsonbWriter *writer, JsonbFrame *frame, JEntry type, uint32 start)
{
	frame_container(writer, frame)->children[frame->index] =
		make_entry(frame->index, type, writer->len - start, writer->len - frame->data);
	frame->index++;
}

/* Begin a container; the header holds its flags and number of children. */
void
writer_begin(JsonbWriter *writer, JsonbFrame *frame, JsonbFrame *parent, uint32 header)
{
	bool		object = (header & JB_FOBJECT) != 0;
	uint32		count = header & JB_CMASK;

	if (count > (object ? MAX_MEMBERS : MAX_ELEMENTS))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("number of jsonb %s exceeds the maximum allowed (%zu)",
						object ? "object pairs" : "array elements",
						object ? MAX_MEMBERS : MAX_ELEMENTS)));

	frame->parent = parent;
	frame->start = writer->len;
	frame->index = 0;
	writer_align(writer);
	*(uint32 *) writer_reserve(writer, sizeof(uint32)) = header;
	writer_reserve(writer, (object ? count * 2 : count) * sizeof(JEntry));
	frame->data = writer->len;
}

/* Append one child: a scalar or the bytes of a container. */
void
writer_child(JsonbWriter *writer, JsonbFrame *frame, const JsonbSlice *child)
{
	uint32		start = writer->len;

	if (entry_is_aligned(child->type))
		writer_align(writer);
	if (child->len > 0)
		memcpy(writer_reserve(writer, child->len), child->data, child->len);
	enter_child(writer, frame, child->type, start);
}

/*
 * Append the next children under a cursor. Where their data stands at the same
 * phase of alignment here and there, which it does at the latest after the
 * first aligned child, all of it is copied at once.
 */
void
writer_run(JsonbWriter *writer, JsonbFrame *frame, JsonbCursor *source, uint32 count)
{
	uint32		stop = source->index + count;
	JsonbSlice	child;
	JEntry	   *copy;
	uint32		start;
	uint32		shift;
	uint32		index;

	while (source->index < stop && ((source->offset ^ writer->len) & (sizeof(int32) - 1)) != 0)
	{
		cursor_next(source, &child);
		writer_child(writer, frame, &child);
	}
	if (source->index == stop)
		return;

	start = source->offset;
	shift = writer->len - frame->data - start;
	copy = frame_container(writer, frame)->children + frame->index;
	for (index = frame->index; source->index < stop; index++)
	{
		JEntry		entry = source->container->children[source->index++];
		uint32		before = source->offset;

		JBE_ADVANCE_OFFSET(source->offset, entry);
		*copy++ = make_entry(index, entry & JENTRY_TYPEMASK, source->offset - before,
							 source->offset + shift);
	}
	frame->index = index;
	memcpy(writer_reserve(writer, source->offset - start), source->base + start,
		   source->offset - start);
}

/* End a container and enter it in its parent. */
void
writer_end(JsonbWriter *writer, JsonbFrame *frame)
{
	Assert(frame->index == container_entries(frame_container(writer, frame)));
	if (frame->parent != NULL)
		enter_child(writer, frame->parent, JENTRY_ISCONTAINER, frame->start);
}

/* The document, once its root is ended. */
Jsonb *
writer_finish(JsonbWriter *writer)
{
	SET_VARSIZE(writer->buffer, writer->len);
	return (Jsonb *) writer->buffer;
}

/* A document of its own from one value. */
Jsonb *
slice_to_jsonb(const JsonbSlice *slice)
{
	JsonbWriter writer;
	JsonbFrame	frame;

	writer_init(&writer, slice->len + sizeof(uint32) + sizeof(JEntry));
	if (slice->type == JENTRY_ISCONTAINER)
		memcpy(writer_reserve(&writer, slice->len), slice->data, slice->len);
	else
	{
		writer_begin(&writer, &frame, NULL, 1 | JB_FARRAY | JB_FSCALAR);
		writer_child(&writer, &frame, slice);
		writer_end(&writer, &frame);
	}
	return writer_finish(&writer);
}

/* An array without some of its elements. */
Jsonb *
array_without(const JsonbContainer *array, const Bitmapset *left_out)
{
	uint32		count = JsonContainerSize(array);
	JsonbWriter writer;
	JsonbFrame	frame;
	JsonbCursor cursor;
	JsonbSlice	element;

	writer_init(&writer, count > 0 ? sizeof(uint32) + count * sizeof(JEntry) + getJsonbOffset(array, count - 1) : sizeof(uint32));
	writer_begin(&writer, &frame, NULL, (count - bms_num_members(left_out)) | JB_FARRAY);
	cursor_init(&cursor, array, 0);
	for (uint32 i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		cursor_next(&cursor, &element);
		if (!bms_is_member(i, left_out))
			writer_child(&writer, &frame, &element);
	}
	writer_end(&writer, &frame);
	return writer_finish(&writer);
}
