/*
 * pgoutput.c
 *		Reads the messages of the server's pgoutput plugin: "Logical
 *		Replication Message Formats" in PostgreSQL's documentation.
 *
 * Only relation, begin, insert and commit concern us: a stream publishes the
 * inserts of one table. Bytes are never trusted to be as long as they say.
 */
#include "sources/pgoutput.h"

#include <string.h>

/* A walk through the bytes of a message. */
typedef struct Reader
{
	char	   *next;
	char	   *end;
	bool		short_of_bytes;
} Reader;

/* Read an unsigned number in network byte order */
uint64_t
read_number(const char *bytes, int size)
{
	uint64_t	number = 0;

	for (int i = 0; i < size; i++)
		number = number << 8 | (unsigned char) bytes[i];
	return number;
}

void
write_number(char *bytes, uint64_t number, int size)
{
	for (int i = size - 1; i >= 0; i--, number >>= 8)
		bytes[i] = (char) (number & 0xff);
}

/* Step over some bytes, and answer where they begin */
static char *
take_bytes(Reader *reader, size_t count)
{
	static char nothing[16];
	char	   *bytes = reader->next;

	if ((size_t) (reader->end - reader->next) < count)
	{
		reader->short_of_bytes = true;
		reader->next = reader->end;
		return nothing;
	}
	reader->next += count;
	return bytes;
}

static uint64_t
take_number(Reader *reader, int size)
{
	return read_number(take_bytes(reader, (size_t) size), size);
}

static const char *
take_string(Reader *reader)
{
	char	   *end = memchr(reader->next, '\0', (size_t) (reader->end - reader->next));

	if (end == NULL)
	{
		reader->short_of_bytes = true;
		return "";
	}
	return take_bytes(reader, (size_t) (end - reader->next) + 1);
}

/* The outbox is described: find our columns in it */
static bool
decode_relation(Decoder *decoder, Reader *reader, Buffer *problem)
{
	uint32_t	relation = (uint32_t) take_number(reader, 4);
	const char *schema_name = take_string(reader);
	const char *table_name = take_string(reader);
	int			column_count;

	if (strcmp(schema_name, "esgf_stac") != 0 || strcmp(table_name, "outbox") != 0)
	{
		buffer_printf(problem, "the publication holds a foreign table, %s.%s", schema_name, table_name);
		return false;
	}
	take_number(reader, 1);		/* replica identity */
	column_count = (int) take_number(reader, 2);

	decoder->relation = relation;
	for (int column = 0; column < COLUMN_COUNT; column++)
		decoder->place[column] = -1;
	for (int i = 0; i < column_count && !reader->short_of_bytes; i++)
	{
		const char *name;

		take_number(reader, 1); /* flags */
		name = take_string(reader);
		take_number(reader, 4); /* type */
		take_number(reader, 4); /* type modifier */
		for (int column = 0; column < COLUMN_COUNT; column++)
			if (strcmp(name, column_names[column]) == 0)
				decoder->place[column] = i;
	}
	for (int column = 0; column < COLUMN_VALIDATED_AGAINST; column++)
	{
		if (decoder->place[column] < 0)
		{
			buffer_printf(problem, "the publication lacks column %s", column_names[column]);
			return false;
		}
	}
	return true;
}

/* Note the value of a column, if it is one of ours */
static void
keep_value(const Decoder *decoder, int place, char *value, size_t length, char **values, size_t *payload_length)
{
	for (int column = 0; column < COLUMN_COUNT; column++)
	{
		if (decoder->place[column] != place)
			continue;
		values[column] = value;
		if (column == COLUMN_PAYLOAD)
			*payload_length = length;
	}
}

/*
 * A row: each value stands between a kind and the next value's kind, so that,
 * with all kinds read, there is room to close every value with a NUL. (libpq
 * puts one behind the last.)
 */
static bool
decode_insert(const Decoder *decoder, Reader *reader, Event *event, Buffer *problem)
{
	char	   *values[COLUMN_COUNT] = {0};
	size_t		payload_length = 0;
	int			column_count;
	char	   *close_here = NULL;

	if ((uint32_t) take_number(reader, 4) != decoder->relation || take_number(reader, 1) != 'N')
	{
		buffer_text(problem, "the server sent a row of a table that it did not describe");
		return false;
	}
	column_count = (int) take_number(reader, 2);
	for (int i = 0; i < column_count; i++)
	{
		char		kind = (char) take_number(reader, 1);
		size_t		length;
		char	   *value;

		if (close_here != NULL)
			*close_here = '\0';
		close_here = NULL;
		if (kind == 'n')
			continue;
		if (kind != 't')
		{
			buffer_printf(problem, "the server sent a value of unknown kind \"%c\"", kind);
			return false;
		}
		length = (size_t) take_number(reader, 4);
		value = take_bytes(reader, length);
		if (reader->short_of_bytes)
			return true;
		close_here = value + length;
		keep_value(decoder, i, value, length, values, &payload_length);
	}
	if (close_here != NULL)
		*close_here = '\0';

	for (int column = 0; column <= COLUMN_OCCURRED_AT; column++)
	{
		if (values[column] == NULL && column != COLUMN_PAYLOAD)
		{
			buffer_printf(problem, "an event has no %s", column_names[column]);
			return false;
		}
	}
	event_from_columns(event, values, payload_length, decoder->stream);
	return true;
}

/* Decode one message; false and a problem if it is not as it should be */
bool
pgoutput_decode(Decoder *decoder, char *bytes, size_t length, Message *message, Buffer *problem)
{
	Reader		reader = {bytes, bytes + length, false};
	bool		good = true;

	message->kind = MESSAGE_OTHER;
	switch ((char) take_number(&reader, 1))
	{
		case 'B':
			message->kind = MESSAGE_BEGIN;
			message->position = take_number(&reader, 8);
			message->committed_at = (int64_t) take_number(&reader, 8);
			break;
		case 'C':
			take_bytes(&reader, 1 + 8); /* flags, where the commit begins */
			message->kind = MESSAGE_COMMIT;
			message->position = take_number(&reader, 8);
			message->committed_at = (int64_t) take_number(&reader, 8);
			break;
		case 'R':
			good = decode_relation(decoder, &reader, problem);
			break;
		case 'I':
			message->kind = MESSAGE_EVENT;
			good = decode_insert(decoder, &reader, &message->event, problem);
			break;
		case 'O':				/* origin */
		case 'Y':				/* type */
			break;
		default:
			buffer_printf(problem, "the server sent a message of unknown kind \"%c\"", bytes[0]);
			return false;
	}
	if (good && reader.short_of_bytes)
	{
		buffer_printf(problem, "a message of kind \"%c\" is cut short", bytes[0]);
		return false;
	}
	return good;
}
