/*
 * stream.h
 *		The replication protocol: what the server sends of our slot, and what we
 *		confirm.
 */
#ifndef SOURCES_STREAM_H
#define SOURCES_STREAM_H

#include "catalogue/consumer.h"
#include "sources/pgoutput.h"

typedef struct StreamSettings
{
	uint64_t	endpos;			/* 0: none */
	int64_t		status_interval;	/* seconds */
	int64_t		server_timeout; /* seconds */
} StreamSettings;

/* What the server has sent. */
typedef enum StreamNews
{
	NEWS_NONE,
	NEWS_SMALL,					/* nothing that has to be done at once */
	NEWS_EVENT,
	NEWS_QUESTION,				/* it wants to know what is durable, and may
								 * wait for that to shut down */
} StreamNews;

typedef struct Stream
{
	const StreamSettings *settings;
	Consumer   *consumer;
	Decoder		decoder;
	bool		streaming;
	bool		in_transaction;
	uint64_t	xid;			/* of its events; 0: it has brought none yet */
	bool		ended;			/* endpos is reached */

	uint64_t	reported;		/* what we last confirmed to the server; 0:
								 * tell it anew */
	int64_t		reported_at;	/* when we last spoke to it */
	int64_t		heard_at;		/* when it last spoke to us */
	int64_t		asked_at;		/* when we asked it to */
	size_t		ahead;			/* bytes that were read before their time */

	uint64_t	server_end;		/* where the server's WAL ends */
	int64_t		begun_at;		/* the commit of the transaction under way:
								 * microseconds since 1970 */
	int64_t		committed_at;	/* that of the last one received */
} Stream;

extern ExitStatus stream_start(Stream *stream);
extern ExitStatus stream_next(Stream *stream, StreamNews *news, Event *event);
extern bool stream_wait(Stream *stream, int64_t until);
extern ExitStatus stream_confirm(Stream *stream, bool answer);
extern ExitStatus stream_report(Stream *stream);
extern bool stream_is_silent(const Stream *stream);
extern void stream_attend(Stream *stream);
extern void stream_finish(Stream *stream);
extern void stream_end(Stream *stream);

#endif							/* SOURCES_STREAM_H */
