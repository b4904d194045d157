/*
 * metrics.h
 *		What the operator watches.
 */
#ifndef INGEST_METRICS_H
#define INGEST_METRICS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Metrics
{
	int64_t		sessions;
	bool		reading;		/* the session has come so far */
	int64_t		results_refused;	/* of results that are closed */
	int64_t		written_at;
} Metrics;

struct Ingest;
extern void metrics_write(const struct Ingest *ingest);
extern void metrics_tick(struct Ingest *ingest);

#endif							/* INGEST_METRICS_H */
