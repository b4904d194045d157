/*
 * iteration.h
 *		Iteration jobs: the items of our stream, all or some, once more, several
 *		jobs at once and page by page in turn.
 */
#ifndef SOURCES_ITERATION_H
#define SOURCES_ITERATION_H

#include "sources/job.h"
#include "sources/source.h"

/* So many jobs run at once, the others are pending. */
#define MOST_JOBS 8

typedef struct IterationSettings
{
	const char *allowed;		/* targets; NULL: none */
	bool		only;			/* this program is a worker: it has no stream */
} IterationSettings;

typedef struct Iterations
{
	Source		source;
	const IterationSettings *settings;
	Delivery   *delivery;		/* of the stream */
	Job			jobs[MOST_JOBS];
	Job		   *asking;			/* whose query is under way */
	bool		looking;		/* the query for that is */
	Job		   *sending;
	PGresult  **rows;			/* of a slice, to be sent */
	int			row_count;
	int			row_space;
	int			next_row;
	size_t		row_bytes;
	int			turn;
	int64_t		slice_at;		/* the last one */
	int64_t		live_at;		/* an event came by the stream */
	int64_t		rest_until;		/* nothing is sent into its sink */
	PGresult   *seen;			/* the unfinished jobs of our stream */
	int64_t		seen_at;
	int64_t		sent;			/* items, since the program began */
	int64_t		rate_from;		/* since when, and how many had been sent
								 * then, the rate is taken */
	int64_t		rate_sent;
	int			rate_jobs;
	Buffer		keys;
} Iterations;

extern void iterations_note(Iterations *iterations, const Event *event);
extern PGresult *iterations_follow(Iterations *iterations);
extern int64_t iterations_due(const Iterations *iterations);
extern void iterations_progress(Iterations *iterations, Buffer *text);
extern bool iterations_between_slices(const Iterations *iterations);
extern void iterations_close_sinks(Iterations *iterations);
extern void iterations_forget(Iterations *iterations);

#endif							/* SOURCES_ITERATION_H */
