/*
 * sink.h
 *		Where events go. A sink is one C file that fills a SinkKind, which
 *		sink.c lists; doc/relay.md shows how to write another.
 *
 * The relay calls one sink from one thread: open, reach, then write and flush as often
 * as needed, then close. Any of them may fail: the sink is down, the relay
 * closes it, waits, opens it again, and has the server send again all that no
 * flush made durable. So a sink sees an event once or more, the versions of
 * one item in order, and after a repetition all its later versions again.
 */
#ifndef SINKS_SINK_H
#define SINKS_SINK_H

#include <stdbool.h>

#include "formats/format.h"
#include "lib/pairs.h"
#include "lib/wait.h"

typedef struct SinkKind SinkKind;
typedef struct ReaderKind ReaderKind;

/* What the operator says of the sink. */
typedef struct SinkSettings
{
	const char *name;			/* --sink */
	const char *target;			/* behind its scheme */
	Format		format;
	const char *document_id;	/* a template; NULL if none was given */
	bool		tombstones;
	bool		of_job;			/* a place of its own, of an iteration job */
	Pairs		options;		/* --sink-option */
} SinkSettings;

/* A sink's own struct begins with this one. */
typedef struct Sink
{
	const SinkKind *kind;
	bool		gone;			/* opening it again would not help */
	int64_t		pause;			/* what is busy asks for so many milliseconds;
								 * 0: it does not say */

	/* Set by whom the sink serves, see sink_waits(). */
	bool		(*waits) (void *owner, Wait *wait, const char *problem);
	void	   *owner;
} Sink;

struct SinkKind
{
	const char *scheme;			/* --sink is scheme:target */
	const char *syntax;			/* for --help */

	/* Which settings it heeds; the others are refused. */
	bool		takes_format;
	bool		takes_document_id;
	bool		takes_tombstones;
	bool		takes_options;

	/*
	 * Behind the last of which characters its target ends with a place that a
	 * job may put another for; "": all of it. NULL: it has none.
	 */
	const char *place;

	/* Could that be opened? A problem if not; NULL: whatever it is. */
	bool		(*check) (const SinkSettings *settings, Buffer *problem);

	/* Does that target name a password? NULL: it cannot. */
	bool		(*names_password) (const char *target);

	/*
	 * Open it; NULL and a problem if that cannot be done now. The settings
	 * stay; the source names catalogue and stream, for sinks that several may
	 * feed.
	 */
	Sink	   *(*open) (const SinkSettings *settings, const char *source, Buffer *problem);

	/*
	 * For --check: would open() have what it needs? Changes nothing; beside a
	 * relay of the same stream, whose the sink then is. NULL: opening it
	 * changes nothing, and tells.
	 */
	bool		(*try) (const SinkSettings *settings, bool beside, Buffer *problem);

	/* Can its server be reached? NULL: open has seen to that. */
	bool		(*reach) (Sink *sink, Buffer *problem);

	/*
	 * Write a batch, in order. Every event comes as EVENT_DONE;
	 * event_refuse() says otherwise of one alone, with what the sink says of
	 * it. False and a problem: the sink itself is down, no outcome counts. It
	 * may take its time if it calls sink_waits().
	 *
	 * After an event that is to be tried again, later events of the same item
	 * must be so too, unless the sink compares versions.
	 */
	bool		(*write) (Sink *sink, Event *events, int count, Buffer *problem);

	/*
	 * Write what is said of a job, behind all that was written: in each
	 * partition, where there are some. NULL: it keeps no lines.
	 */
	bool		(*control) (Sink *sink, const Event *event, Buffer *problem);

	/*
	 * May a job that begins write there: is nothing there yet, or what that
	 * job has said when it began? NULL: always.
	 */
	bool		(*is_free) (const SinkSettings *settings, const char *job_id, Buffer *problem);

	/* Make durable all that was written; NULL: write did. */
	bool		(*flush) (Sink *sink, Buffer *problem);

	/*
	 * Append the newest event that it holds of its source, as event_head()
	 * writes it, closed: a witness of the history that it was fed from. False
	 * if it cannot tell; NULL: it never can.
	 */
	bool		(*newest) (Sink *sink, Buffer *event);

	/*
	 * How --verify reads back what it holds, see reader.h; NULL: it cannot
	 * be.
	 */
	const ReaderKind *reader;

	void		(*close) (Sink *sink);
};

extern const SinkKind sink_ndjson;
extern const SinkKind sink_postgres;
#ifdef WITH_KAFKA
extern const SinkKind sink_kafka;
#endif

#ifdef WITH_CURL
extern const SinkKind sink_opensearch;
extern const SinkKind sink_http;
extern const SinkKind sink_https;
#endif

extern const SinkKind *sink_find(const char *name, const char **target);
extern bool sink_options_known(const SinkSettings *settings, const char *const *names, Buffer *problem);
extern void sink_help(void);
extern void sink_list(void);
extern bool sink_waits(Sink *sink, Wait *wait, const char *problem);

#endif							/* SINKS_SINK_H */
