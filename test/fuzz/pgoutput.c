/*
 * pgoutput.c
 *		A fuzzer of the reader of replication messages, for scripts/fuzz.
 *
 * The outbox has been described, as relation 0. An input is a run of messages, each behind its length of one byte, which
 * stands for up to eight times as much where it is odd; one decoder reads all,
 * as in a session. Each message has an allocation of its own with room for the
 * NUL that libpq puts behind it, so that one byte too far is seen. What an event
 * says of itself must be one line, whatever came in.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/program.h"
#include "sources/pgoutput.h"

const char *const program_name = "fuzz";

/* What the sanitizers do not see: what no reader of lines could take. */
static void
must_be_a_line(const Buffer *line)
{
	for (size_t i = 0; i < line->length; i++)
		if ((unsigned char) line->data[i] < ' ')
			abort();
}

/* Decode one message; false once the session would be over. */
static bool
read_message(Decoder *decoder, const uint8_t *data, size_t length)
{
	char	   *bytes = malloc(length + 1);
	Message		message = {0};
	Buffer		problem = {0};
	Buffer		line = {0};
	bool		good;

	memcpy(bytes, data, length);
	bytes[length] = '\0';
	good = pgoutput_decode(decoder, bytes, length, &message, &problem);
	if (good != (problem.length == 0))
		abort();
	if (good && message.kind == MESSAGE_EVENT)
	{
		event_head(&line, &message.event);
		must_be_a_line(&line);
		event_release(&message.event);
	}
	buffer_free(&line);
	buffer_free(&problem);
	free(bytes);
	return good;
}

/* The outbox's columns, in their order. */
static void
describe_outbox(Decoder *decoder)
{
	decoder->relation = 0;
	for (int column = 0; column < COLUMN_COUNT; column++)
		decoder->place[column] = column;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Decoder		decoder = {.stream = "east"};
	const uint8_t *end = data + size;

	describe_outbox(&decoder);
	while (data < end)
	{
		size_t		length = *data & 1 ? (size_t) *data * 8 : *data;

		data++;
		if (length > (size_t) (end - data))
			length = (size_t) (end - data);
		if (!read_message(&decoder, data, length))
			break;
		data += length;
	}
	return 0;
}
