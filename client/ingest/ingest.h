/*
 * ingest.h
 *		The ingester: its parts, and how they work together.
 *
 * session		from connecting to losing a connection; main.c begins a new one
 */
#ifndef INGEST_INGEST_H
#define INGEST_INGEST_H

#include "ingest/details.h"
#include "ingest/metrics.h"
#include "ingest/options.h"
#include "lib/details.h"

typedef struct Ingest
{
	Options		options;
	Catalogue	catalogue;
	Source	   *source;			/* NULL: not open */
	Results    *results;		/* likewise */
	Batch		batch;
	bool		gone;			/* trying again would not help */
	bool		is_served;		/* this session has found a primary */
	bool		moved;			/* a partition stands elsewhere than we know */
	int64_t		looked_at;		/* for outcomes of others, and what to note */
	Metrics		metrics;
	Details		details;
} Ingest;

/* check.c */
extern ExitStatus check_run(Ingest *ingest, bool options_good);

/* session.c */
extern ExitStatus session_run(Ingest *ingest);
extern void session_close_results(Ingest *ingest);
extern void session_close_source(Ingest *ingest);

#endif							/* INGEST_INGEST_H */
