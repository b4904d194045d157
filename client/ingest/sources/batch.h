/*
 * batch.h
 *		Events on their way to the database: some of one partition, in the order
 *		of their offsets.
 */
#ifndef INGEST_SOURCES_BATCH_H
#define INGEST_SOURCES_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/buffer.h"

/* A batch is full with that many bytes, too; a larger event has one to itself. */
#define BATCH_BYTES ((size_t) 16 * 1024 * 1024)

/* No jsonb is larger, so neither may the text of an event be: nothing is sent of it. */
#define EVENT_BYTES ((size_t) 256 * 1024 * 1024)
#define EVENT_TOO_LARGE "the value is larger than 256 MB"

typedef struct IngestEvent
{
	int64_t		offset;
	size_t		key;			/* where in the texts, each closed by a NUL;
								 * see event_key(), event_value() */
	size_t		value;
	size_t		value_length;
	const char *unreadable;		/* why the server cannot take it; NULL: as far
								 * as we know it can */
	char	   *told;			/* the same, where it was the server who said */
} IngestEvent;

typedef struct Batch
{
	int			partition;
	IngestEvent *events;
	int			count;
	int			space;
	int			done;			/* so many are performed */
	Buffer		texts;
} Batch;

extern bool batch_has_room(const Batch *batch, int64_t most, size_t bytes);
extern IngestEvent *batch_add(Batch *batch, int64_t offset, const char *key, size_t key_length, const char *value, size_t value_length);
extern const char *event_key(const Batch *batch, const IngestEvent *event);
extern const char *event_value(const Batch *batch, const IngestEvent *event);
extern void event_drop_key(IngestEvent *event);
extern void event_unreadable(IngestEvent *event, const char *why);
extern void batch_clear(Batch *batch);
extern void batch_free(Batch *batch);

#endif							/* INGEST_SOURCES_BATCH_H */
