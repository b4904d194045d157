/*
 * batch.c
 *		Events on their way to the database.
 */
#include "ingest/sources/batch.h"

#include <stdlib.h>
#include <string.h>

/* A text that is not there. */
#define NOWHERE SIZE_MAX

/* Is there room for one event more, of so many bytes? */
bool
batch_has_room(const Batch *batch, int64_t most, size_t bytes)
{
	return batch->count == 0 || (batch->count < most && batch->texts.length + bytes <= BATCH_BYTES);
}

/* Keep a text; where it stands */
static size_t
keep_text(Batch *batch, const char *text, size_t length)
{
	size_t		place = batch->texts.length;

	if (text == NULL)
		return NOWHERE;
	buffer_append(&batch->texts, text, length);
	buffer_append(&batch->texts, "", 1);
	return place;
}

/* Add an event; its key may be NULL, and so may its value, which is a tombstone then */
IngestEvent *
batch_add(Batch *batch, int64_t offset, const char *key, size_t key_length, const char *value, size_t value_length)
{
	IngestEvent *event;
	bool		no_key = key != NULL && memchr(key, '\0', key_length) != NULL;

	if (batch->count == batch->space)
	{
		batch->space = batch->space > 0 ? 2 * batch->space : 128;
		batch->events = reallocate(batch->events, (size_t) batch->space * sizeof(IngestEvent));
	}
	event = &batch->events[batch->count++];
	*event = (IngestEvent)
	{
		.offset = offset,.key = keep_text(batch, no_key ? NULL : key, key_length),
			.value = keep_text(batch, value, value_length),.value_length = value_length
	};

	/* The server would see only what stands before a NUL. */
	if (value == NULL)
		event->unreadable = "there is no value: it is a tombstone";
	else if (value_length > EVENT_BYTES)
		event->unreadable = EVENT_TOO_LARGE;
	else if (memchr(value, '\0', value_length) != NULL)
		event->unreadable = "the value holds a NUL byte";
	else if (no_key)
		event->unreadable = "the key holds a NUL byte";
	return event;
}

static const char *
text_at(const Batch *batch, size_t place)
{
	return place != NOWHERE ? batch->texts.data + place : NULL;
}

const char *
event_key(const Batch *batch, const IngestEvent *event)
{
	return text_at(batch, event->key);
}

const char *
event_value(const Batch *batch, const IngestEvent *event)
{
	return text_at(batch, event->value);
}

/* Its key is no text */
void
event_drop_key(IngestEvent *event)
{
	event->key = NOWHERE;
}

/* The server cannot take an event, and has said why */
void
event_unreadable(IngestEvent *event, const char *why)
{
	event->told = copy_string(why);
	event->unreadable = event->told;
}

/* Empty it for the next events */
void
batch_clear(Batch *batch)
{
	for (int i = 0; i < batch->count; i++)
		free(batch->events[i].told);
	batch->count = batch->done = 0;
	buffer_clear(&batch->texts);
}

void
batch_free(Batch *batch)
{
	batch_clear(batch);
	free(batch->events);
	buffer_free(&batch->texts);
	memset(batch, 0, sizeof(*batch));
}
