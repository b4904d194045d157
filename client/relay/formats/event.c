/*
 * event.c
 *		Makes an event of a row of the outbox, and a line of JSON of an event.
 */
#include "formats/event.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *const column_names[COLUMN_COUNT] = {
	"id", "aggregatetype", "aggregateid", "type", "version", "payload",
	"occurred_at", "xid", "reason", "streams", "left_streams",
	"validated_against", "warnings"
};

/*
 * Does a printed array hold that name? The names of streams need no quotes,
 * but for one called "null".
 */
static bool
array_holds(const char *array, const char *name)
{
	size_t		length = strlen(name);

	if (array == NULL)
		return false;
	while (*array != '\0')
	{
		array += strspn(array, "{,\"");
		if (strncmp(array, name, length) == 0 && strchr("\",}", array[length]) != NULL)
			return true;
		array += strcspn(array, ",}");
		if (*array == '}')
			break;
	}
	return false;
}

/*
 * Turn "2026-01-31 12:00:00.5+00" into "2026-01-31T12:00:00.5Z", in place; our
 * connections ask for ISO dates in UTC.
 */
static void
to_rfc3339(char *time)
{
	char	   *space = strchr(time, ' ');
	char	   *zone = strrchr(time, '+');

	if (space != NULL)
		*space = 'T';
	if (zone != NULL && strcmp(zone, "+00") == 0)
		strcpy(zone, "Z");
}

/*
 * Fill an event from the values of a row. An event that tells a filtered
 * stream that an item left it has no document, whatever the item has, and
 * nothing that is said of it.
 */
void
event_from_columns(Event *event, char *const *values, size_t payload_length, const char *stream)
{
	bool		of_collection = strcmp(values[COLUMN_AGGREGATETYPE], "collection") == 0;
	bool		left = array_holds(values[COLUMN_LEFT_STREAMS], stream) &&
	!array_holds(values[COLUMN_STREAMS], stream);

	memset(event, 0, sizeof(*event));
	to_rfc3339(values[COLUMN_OCCURRED_AT]);
	event->id = values[COLUMN_ID];
	event->type = values[COLUMN_TYPE];
	event->collection_id = values[of_collection ? COLUMN_AGGREGATEID : COLUMN_AGGREGATETYPE];
	event->item_id = of_collection ? NULL : values[COLUMN_AGGREGATEID];
	event->version = strtoll(values[COLUMN_VERSION], NULL, 10);
	event->time = values[COLUMN_OCCURRED_AT];
	event->xid = values[COLUMN_XID] != NULL ? strtoull(values[COLUMN_XID], NULL, 10) : 0;
	event->reason = values[COLUMN_REASON];
	if (left)
		return;
	if (values[COLUMN_PAYLOAD] != NULL)
	{
		event->document = values[COLUMN_PAYLOAD];
		event->document_length = payload_length;
	}
	event->validated_against = values[COLUMN_VALIDATED_AGAINST];
	event->warnings = values[COLUMN_WARNINGS];
}

/* Append a JSON string, or null */
void
append_string(Buffer *line, const char *text)
{
	const char *start = text;

	if (text == NULL)
	{
		buffer_append(line, "null", 4);
		return;
	}
	buffer_append(line, "\"", 1);
	for (; *text != '\0'; text++)
	{
		unsigned char byte = (unsigned char) *text;

		if (byte >= 0x20 && byte != '"' && byte != '\\')
			continue;
		buffer_append(line, start, (size_t) (text - start));
		if (byte < 0x20)
			buffer_printf(line, "\\u%04x", byte);
		else
		{
			buffer_append(line, "\\", 1);
			buffer_append(line, text, 1);
		}
		start = text + 1;
	}
	buffer_append(line, start, (size_t) (text - start));
	buffer_append(line, "\"", 1);
}

/* Append the members that say what happened to what, without the brace that closes them */
void
event_head(Buffer *line, const Event *event)
{
	buffer_text(line, "{\"id\":");
	append_string(line, event->id);
	buffer_text(line, ",\"type\":");
	append_string(line, event->type);
	buffer_text(line, ",\"collection_id\":");
	append_string(line, event->collection_id);
	buffer_text(line, ",\"item_id\":");
	append_string(line, event->item_id);
	if (event->version > 0)
		buffer_printf(line, ",\"version\":%" PRId64 ",\"time\":", event->version);
	else
		buffer_text(line, ",\"version\":null,\"time\":");
	append_string(line, event->time);
	buffer_text(line, ",\"reason\":");
	append_string(line, event->reason);
}

/* Append a member whose value is JSON already, or null */
static void
append_json(Buffer *line, const char *name, const char *value)
{
	buffer_printf(line, ",\"%s\":", name);
	buffer_text(line, value != NULL ? value : "null");
}

/* Append the line of an event, with its newline */
void
event_line(Buffer *line, const Event *event)
{
	event_head(line, event);
	if (event->job_id != NULL)
	{
		buffer_text(line, ",\"job_id\":");
		append_string(line, event->job_id);
	}
	if (!event->without_document)
		buffer_text(line, ",\"document\":");
	if (event->document != NULL)
		buffer_append(line, event->document, event->document_length);
	else if (!event->without_document)
		buffer_text(line, "null");
	append_json(line, "validated_against", event->validated_against);
	append_json(line, "warnings", event->warnings);
	buffer_append(line, "}\n", 2);
}

/* Note that a sink did not take an event, and why. Whatever bytes that is, a dead letter can hold it */
void
event_refuse(Event *event, Outcome outcome, const char *problem)
{
	event->outcome = outcome;
	free(event->problem);
	event->problem = copy_string(problem);
	for (char *next = event->problem; *next != '\0';)
	{
		size_t		length = *next == '\n' || *next == '\t' ? 1 : printable_length(next);

		if (length == 0)
			*next++ = '?';
		next += length;
	}
}

void
event_release(Event *event)
{
	free(event->problem);
	free(event->metadata);
	free(event->introduction);
	if (event->release != NULL)
		event->release(event->memory);
	memset(event, 0, sizeof(*event));
}
