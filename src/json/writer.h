/*
 * json/writer.h
 *		Writing jsonb from pieces of other jsonb, which are copied as bytes.
 *
 * The result is what the server's own writer would make of the same value:
 * padding, an end offset in each 32nd entry, limits and their errors.
 *
 * frame		a container being written: begin it with the number of its
 *				children, append exactly these in stored order (an object's
 *				sorted keys, then its values), end it.
 */
#ifndef ESGF_STAC_JSON_WRITER_H
#define ESGF_STAC_JSON_WRITER_H

#include "nodes/bitmapset.h"

#include "json/slice.h"

typedef struct JsonbWriter
{
	char	   *buffer;
	uint32		len;
	uint32		capacity;
} JsonbWriter;

/* All positions count from the start of the buffer. */
typedef struct JsonbFrame
{
	struct JsonbFrame *parent;	/* NULL for the root */
	uint32		start;			/* first byte, before any padding */
	uint32		data;			/* start of the children's data */
	uint32		index;			/* children so far */
} JsonbFrame;

extern void writer_init(JsonbWriter *writer, Size expected);
extern void writer_begin(JsonbWriter *writer, JsonbFrame *frame, JsonbFrame *parent, uint32 header);
extern void writer_child(JsonbWriter *writer, JsonbFrame *frame, const JsonbSlice *child);
extern void writer_run(JsonbWriter *writer, JsonbFrame *frame, JsonbCursor *source, uint32 count);
extern void writer_end(JsonbWriter *writer, JsonbFrame *frame);
extern Jsonb *writer_finish(JsonbWriter *writer);
extern Jsonb *array_without(const JsonbContainer *array, const Bitmapset *left_out);
extern Jsonb *slice_to_jsonb(const JsonbSlice *slice);

#endif							/* ESGF_STAC_JSON_WRITER_H */
