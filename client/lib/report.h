/*
 * report.h
 *		What a program says of itself at one moment: its metrics, and whether it
 *		does its work. It is read later, by whoever watches: what grows with time
 *		is given as the time at which it began.
 */
#ifndef LIB_REPORT_H
#define LIB_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/buffer.h"

typedef enum MetricType
{
	METRIC_GAUGE,
	METRIC_COUNTER,
	METRIC_AGE,					/* a gauge: seconds since a time, which is
								 * given in seconds since 1970; 0: of nothing */
} MetricType;

typedef struct Metric
{
	const char *name;			/* behind the program's */
	MetricType	type;
	const char *help;
	double		value;
} Metric;

#define REPORT_METRICS 24

/* Each program has these metrics. */
#define METRIC_UP "up"
#define METRIC_EVENTS "events_total"
#define METRIC_LAG "lag_seconds"

typedef struct Report
{
	int64_t		made_at;		/* by the clock that nobody sets */
	Metric		metrics[REPORT_METRICS];
	int			count;

	const char *state;			/* what it does, for a person */

	/* What keeps it from its work, a word; NULL: nothing does. */
	const char *trouble;

	/* Of what it waits for an answer, and since when (0: it does not). */
	const char *waits_for;
	int64_t		waits_since;

	/* What holds it up when it says nothing any more. */
	const char *blocked_by;

	bool		catches_up;		/* its lag says nothing of how well it does */

	int64_t		ready_lag;		/* seconds; 0: any lag will do */
} Report;

extern void report_add(Report *report, const char *name, MetricType type, const char *help, double value);
extern double report_value(const Report *report, const char *name);
extern const char *report_unready(const Report *report);
extern void report_print(const Report *report, const char *label, const char *subject, Buffer *text);
extern double wall_clock(void);

#endif							/* LIB_REPORT_H */
