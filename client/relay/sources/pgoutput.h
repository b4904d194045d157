/*
 * pgoutput.h
 *		Reads the messages of the server's pgoutput plugin, protocol version 1.
 */
#ifndef SOURCES_PGOUTPUT_H
#define SOURCES_PGOUTPUT_H

#include <stdbool.h>

#include "formats/event.h"

typedef enum MessageKind
{
	MESSAGE_OTHER,				/* nothing that we need */
	MESSAGE_BEGIN,				/* position: where the transaction's commit
								 * lies */
	MESSAGE_EVENT,
	MESSAGE_COMMIT,				/* position: the end of the transaction */
} MessageKind;

typedef struct Message
{
	MessageKind kind;
	uint64_t	position;
	int64_t		committed_at;	/* of MESSAGE_BEGIN and MESSAGE_COMMIT:
								 * microseconds since 2000 */
	Event		event;			/* its texts lie in the bytes decoded */
} Message;

/* What the server has told of the outbox: where its columns stand; -1: it lacks one. */
typedef struct Decoder
{
	const char *stream;
	uint32_t	relation;
	int			place[COLUMN_COUNT];
} Decoder;

extern uint64_t read_number(const char *bytes, int size);
extern void write_number(char *bytes, uint64_t number, int size);
extern bool pgoutput_decode(Decoder *decoder, char *bytes, size_t length, Message *message, Buffer *problem);

#endif							/* SOURCES_PGOUTPUT_H */
