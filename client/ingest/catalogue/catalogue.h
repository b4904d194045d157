/*
 * catalogue.h
 *		The database that performs the events of our source: where each partition
 *		of it stands, calls of ingest(), and outcomes that are to be sent.
 *
 * call			some events of a batch that are performed in one transaction
 * alone		by itself, as what the server cannot read is asked after
 */
#ifndef INGEST_CATALOGUE_CATALOGUE_H
#define INGEST_CATALOGUE_CATALOGUE_H

#include "ingest/results/results.h"
#include "ingest/sources/source.h"
#include "lib/handshake.h"

typedef struct CatalogueSettings
{
	const char *dbname;
	const char *source;
	int64_t		batch;			/* events of a call, at most */
} CatalogueSettings;

typedef struct Catalogue
{
	const CatalogueSettings *settings;
	PGconn	   *sql;

	int64_t		limit;			/* events of the next call; fewer than the
								 * settings say after one that failed */
	int			failures;		/* so many in a row */

	/* What came of it, since the program began. */
	int64_t		events;
	int64_t		bytes;
	int64_t		refused;
	int64_t		unreadable;
	int64_t		retries;
	int64_t		results;
} Catalogue;

/* failure.c */
extern bool failure_in_passing(void);
extern bool failure_for_now(void);
extern ExitStatus failure_status(Buffer *problem);

/* position.c */
extern ExitStatus position_group(const Catalogue *catalogue, Buffer *group);
extern ExitStatus position_begin(const Catalogue *catalogue, Source *source, Partition *partition, const Batch *batch, bool results);
extern ExitStatus position_check(const Catalogue *catalogue, Source *source);
extern ExitStatus position_note(const Catalogue *catalogue, Partition *partition, bool *moved);

/* call.c */
extern ExitStatus call_next(Catalogue *catalogue, Batch *batch);

/* outcomes.c */
extern ExitStatus outcomes_send(Catalogue *catalogue, Results *results, const Partition *partition);

#endif							/* INGEST_CATALOGUE_CATALOGUE_H */
