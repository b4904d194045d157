/*
 * reader.h
 *		What a sink holds, read back by --verify beside whoever writes into it. A
 *		sink that can be compared fills a ReaderKind, in a file of its own.
 *
 * holding		what a sink has of an item: a document, or of what is deleted
 *				perhaps the version alone
 *
 * Any of the calls may fail: the sink is down, the reader is closed, and a
 * comparison begins anew. One that waits for its server lets wait.h look after
 * the rest, and gives up when a stop is asked for.
 */
#ifndef SINKS_READER_H
#define SINKS_READER_H

#include "sinks/sink.h"

typedef enum Held
{
	HELD_NOTHING,
	HELD_DELETION,
	HELD_DOCUMENT,
} Held;

typedef struct Holding
{
	char	   *collection_id;
	char	   *item_id;
	Held		held;
	int64_t		version;		/* unless nothing is held */
	char	   *document;		/* as the sink has it, where documents are
								 * read */
} Holding;

/* Some of them, with their memory. */
typedef struct Holdings
{
	Holding    *list;
	int			count;
	int			space;
	size_t		bytes;			/* of their documents */
} Holdings;

/* A reader's own struct begins with this one. */
typedef struct SinkReader
{
	const ReaderKind *kind;
	bool		documents;		/* are they to be read? */
	char	  **collections;	/* that an item may be of; NULL ends them */
	bool		collection_told;	/* of an item by its document alone, which
									 * may be wrong */
	bool		unfit;			/* opening failed for good: what the settings
								 * name cannot be compared */
} SinkReader;

struct ReaderKind
{
	/* Could what the settings name be compared? A problem if not; NULL: yes. */
	bool		(*check) (const SinkSettings *settings, Buffer *problem);

	/*
	 * Open what the settings name; false and a problem if that cannot be done
	 * now, or (unfit) ever. The reader is to be closed in any case.
	 */
	SinkReader *(*make) (const SinkSettings *settings);
	bool		(*open) (SinkReader *reader, Buffer *problem);

	/* Begin to read all it holds: how much is that? -1: nobody knows. */
	bool		(*begin) (SinkReader *reader, int64_t *total, Buffer *problem);

	/* Add the next of what it holds, at most so many; none: that was all. */
	bool		(*page) (SinkReader *reader, int most, Holdings *page, Buffer *problem);

	/* What does it hold of those items now? */
	bool		(*lookup) (SinkReader *reader, Holdings *items, Buffer *problem);

	int			most;			/* items of a page without documents */

	/* Does a deletion stand there that keeps later versions out? */
	bool		keeps_deletions;

	/*
	 * For so many milliseconds after a removal, it may refuse what is older.
	 * NULL: no time.
	 */
	int64_t		(*remembers) (SinkReader *reader);

	void		(*close) (SinkReader *reader);
};

extern const ReaderKind ndjson_reader;
extern const ReaderKind postgres_reader;
#ifdef WITH_CURL
extern const ReaderKind opensearch_reader;
#endif

extern Holding *holdings_add(Holdings *holdings, const char *collection_id, const char *item_id);
extern void holding_set(Holdings *holdings, Holding *holding, Held held, int64_t version, const char *document, size_t length);
extern void holdings_clear(Holdings *holdings);
extern void holdings_free(Holdings *holdings);

#endif							/* SINKS_READER_H */
