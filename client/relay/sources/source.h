/*
 * source.h
 *		What is sent beside the stream, page by page, by queries: a source tells
 *		whether it has something, asks for a page of it, and hears when all of
 *		that page is durable. What comes twice is told apart by its version.
 *
 * A source's own struct begins with a Source.
 */
#ifndef SOURCES_SOURCE_H
#define SOURCES_SOURCE_H

#include "delivery/delivery.h"

typedef struct Source Source;

/* What a page held. */
typedef struct Page
{
	int64_t		rows;
	char	   *collection_id;	/* of the last row */
	char	   *item_id;
} Page;

typedef struct SourceKind
{
	/* Is there something to send now? Then the first page is asked for. */
	ExitStatus	(*begin) (Source *source, bool *wanted);

	/*
	 * Send the query of the next page over a connection that has nothing else
	 * to do; false and a problem if that fails. Its rows are the columns of
	 * column_names and perhaps more: "sent", whether the event can be sent,
	 * else it is a dead letter at once; "repair", what it is for.
	 */
	bool		(*page) (Source *source, PGconn *reader, Buffer *problem);

	/* The next row of a page that is there; NULL: they come by that query. */
	PGresult   *(*next) (Source *source);

	/*
	 * All rows of the page are durable at the sink, unless it settles them
	 * itself: write that down. Is there another?
	 */
	ExitStatus	(*done) (Source *source, const Page *page, bool *more);

	/*
	 * Does a query that fails perhaps do so at an event that is to be
	 * skipped?
	 */
	bool		may_be_stuck;

	/*
	 * Take note of a row of which that event is made, and complete it; false:
	 * it is not to be sent. NULL: all are.
	 */
	bool		(*take) (Source *source, const PGresult *row, Event *event);

	/* Does it see itself to it that what was sent is durable? */
	bool		settles;

	/* Sending a page failed: is that the session's end? NULL: it is. */
	ExitStatus	(*failed) (Source *source, ExitStatus status);
} SourceKind;

struct Source
{
	const SourceKind *kind;
	Consumer   *consumer;
	Delivery   *delivery;		/* where it goes */
	PGconn	   *reader;			/* its own connection; NULL: it gets one while
								 * it has something to send */
};

extern const SourceKind source_replay;
extern const SourceKind source_snapshot;
extern const SourceKind source_redrive;
extern const SourceKind source_iteration;

#endif							/* SOURCES_SOURCE_H */
