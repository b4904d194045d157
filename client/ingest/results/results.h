/*
 * results.h
 *		Where outcomes go: to topics of Kafka or to files, one for successes and
 *		one for errors if the name says {outcome}.
 *
 * An outcome is given out as often as need be until it is acknowledged: after
 * a crash some come once more, with the same event_id.
 */
#ifndef INGEST_RESULTS_RESULTS_H
#define INGEST_RESULTS_RESULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/pairs.h"
#include "lib/template.h"
#include "lib/wait.h"

typedef struct ResultsKind ResultsKind;

typedef struct ResultsSettings
{
	const char *name;			/* --results; NULL: nobody wants them */
	const char *target;			/* behind its scheme */
	Pairs		options;		/* --results-option */
} ResultsSettings;

/* A success or error event of the federation. */
typedef struct Outcome
{
	int64_t		offset;
	bool		success;
	const char *key;			/* may be NULL */
	const char *value;
} Outcome;

/* A kind's own struct begins with this one. */
typedef struct Results
{
	const ResultsKind *kind;
	bool		gone;			/* opening it again would not help */
	bool		down;			/* its server does not answer, and we know why */
	bool		no_loop;		/* do not wait for servers that are away */
	int64_t		asked_at;		/* when they got what they have in hand; 0:
								 * they have nothing */
	int64_t		refused;		/* so many no broker has taken */
} Results;

struct ResultsKind
{
	const char *scheme;			/* --results is scheme:target */
	bool		takes_options;

	/* Could that be opened? A problem if not. */
	bool		(*check) (const ResultsSettings *settings, Buffer *problem);
	Results    *(*open) (const ResultsSettings *settings, Buffer *problem);

	/* For --check: would it be opened, and take outcomes? Changes nothing. */
	bool		(*try) (const ResultsSettings *settings, Buffer *problem);

	/* Have outcomes acknowledged, in order; false and a problem: it is down. */
	bool		(*write) (Results *results, const Outcome *outcomes, int count, Buffer *problem);
	void		(*close) (Results *results);
};

extern const ResultsKind results_ndjson;
#ifdef WITH_KAFKA
extern const ResultsKind results_kafka;
#endif

extern const ResultsKind *results_find(const char *name, const char **target);
extern bool results_target_valid(const char *target);
extern void results_target(Buffer *name, const char *target, bool success);
extern bool results_wait(Results *results, Wait *wait, const char *problem);

#endif							/* INGEST_RESULTS_RESULTS_H */
