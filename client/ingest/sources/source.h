/*
 * source.h
 *		Where events come from. A source is one C file that fills a SourceKind,
 *		which source.c lists.
 *
 * log			what a source is read from: a topic of Kafka, a file. It is the
 *				same one for ever
 * partition	a part of the log, whose events have an order and offsets; a file
 *				is one, partition 0
 *
 * Which partitions are ours to read may change while whatever is waited for. One
 * that is taken from us is marked as lost, and goes when the source is next asked
 * for events: until then whoever holds it may look at it.
 */
#ifndef INGEST_SOURCES_SOURCE_H
#define INGEST_SOURCES_SOURCE_H

#include "ingest/sources/arrivals.h"
#include "ingest/sources/batch.h"
#include "lib/pairs.h"
#include "lib/wait.h"

typedef struct SourceKind SourceKind;

/* What the operator says of it. */
typedef struct SourceSettings
{
	const char *name;			/* --from */
	const char *target;			/* behind its scheme */
	bool		follow;
	Pairs		options;		/* --source-option */
} SourceSettings;

typedef struct Partition
{
	int			number;
	bool		surveyed;		/* its position is known, and its log is ours */
	bool		lost;
	int64_t		position;		/* all below it is performed */
	int64_t		end;			/* of the log, as far as we know */
	bool		at_end;			/* nothing below the end is left to perform */
	Arrivals	arrivals;		/* since when what is left has been waiting */
	int64_t		noted_end;		/* as the database knows; -1: does not */
	int64_t		noted_position;
	int64_t		noted_at;
} Partition;

/* What a log says of itself. */
typedef struct Survey
{
	const char *cluster;		/* NULL: it is a file */
	const char *topic;
	int64_t		first;			/* where what can be read begins */
	int64_t		end;
	Buffer		last_line;		/* of a file: the line before its position;
								 * empty if there is none */
} Survey;

/* A source's own struct begins with this one. */
typedef struct Source
{
	const SourceKind *kind;
	Partition **partitions;
	int			partition_count;
	bool		unsurveyed;		/* one of them is */
	bool		once;			/* nor could it be read again: it is kept, as
								 * is what was taken from it */
	bool		ended;			/* no more will come */
	bool		down;			/* its server does not answer, and we know why */
	bool		no_loop;		/* do not wait for servers that are away */
} Source;

struct SourceKind
{
	const char *scheme;			/* --from is scheme:target */
	bool		takes_options;
	bool		takes_follow;

	/* Could that be opened? A problem if not; NULL: whatever it is. */
	bool		(*check) (const SourceSettings *settings, Buffer *problem);

	/*
	 * Open it; NULL and a problem if that cannot be done now, gone if it
	 * never can. The group is the name under which several of us share
	 * partitions.
	 */
	Source	   *(*open) (const SourceSettings *settings, const char *group, bool *gone, Buffer *problem);

	/*
	 * For --check: could it be opened, and is there something to read? For
	 * what opening joins others; NULL: it does not, and tells.
	 */
	bool		(*try) (const SourceSettings *settings, Buffer *problem);

	/*
	 * Look at the log of a partition that stands at next_offset (-1: was
	 * never read). The batch is what was taken and may not be performed.
	 */
	bool		(*survey) (Source *source, Partition *partition, int64_t next_offset, const Batch *batch, Survey *survey, Buffer *problem);

	/* Read all partitions from their positions on; NULL: take does. */
	bool		(*start) (Source *source, Buffer *problem);

	/*
	 * Take what has come of one partition, at most so many events; none if
	 * nothing has.
	 */
	bool		(*take) (Source *source, Batch *batch, int64_t most, Buffer *problem);

	/* Wait until there may be more, but not for long. */
	void		(*wait) (Source *source, Wait *wait, int64_t milliseconds);

	/* Called several times a second, whatever is waited for; may be NULL. */
	void		(*attend) (Source *source);

	void		(*close) (Source *source);
};

extern const SourceKind source_ndjson;
#ifdef WITH_KAFKA
extern const SourceKind source_kafka;
#endif

extern const SourceKind *source_find(const char *name, const char **target);

extern Partition *source_add_partition(Source *source, int number, size_t size);
extern Partition *source_partition(const Source *source, int number);
extern void source_remove_lost(Source *source);
extern void source_free_partitions(Source *source);

#endif							/* INGEST_SOURCES_SOURCE_H */
