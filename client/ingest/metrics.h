/*
 * metrics.h
 *		What the operator watches.
 */
#ifndef INGEST_METRICS_H
#define INGEST_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/watch.h"

typedef struct Metrics
{
	int64_t		sessions;
	bool		reading;		/* the session has come so far */
	const char *obstacle;		/* what keeps it from that, a word */
	int64_t		results_refused;	/* of results that are closed */
	int64_t		ticked_at;
} Metrics;

struct Ingest;
extern const PageSubject *metrics_subject(const struct Ingest *ingest);
extern void metrics_report(const struct Ingest *ingest);
extern void metrics_tick(struct Ingest *ingest);

#endif							/* INGEST_METRICS_H */
